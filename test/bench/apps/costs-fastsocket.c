/* What sockets and timeouts of the library cost. */
#include <errno.h>
#include <stdlib.h>

#include <Ring/FastSocket.h>

#include "../bench.h"
#include "costs.h"

enum
{
    OBJECTS = 1 << 20
};

static struct FastRing* ring;
static struct FastBufferPool* pool;
static struct FastRingBufferProvider* provider;
static void** objects; /* sockets or timeouts */

static void begin(void)
{
    ring = CreateFastRing(0);
    if (ring == NULL)
        die("CreateFastRing", errno);
    pool = CreateFastBufferPool(ring);
    provider = CreateFastRingBufferProvider(ring, 0, 64, 4096, AllocateRingFastBuffer, pool);
    if ((pool == NULL) || (provider == NULL))
        die("buffers", errno);
    objects = makeObjects(OBJECTS, sizeof(*objects));
}

static void runTurn(void)
{
    int result = WaitForFastRing(ring, 0, NULL);

    if (result < 0)
        die("WaitForFastRing", result);
}

/* ---- sockets ---- */

static void handleEvent(struct FastSocket* socket, int event, int parameter)
{
    (void)socket;
    (void)event;
    (void)parameter;
}

static void adopt(size_t index, int handle)
{
    objects[index] = CreateFastSocket(ring, provider, pool, pool, handle, NULL, 0,
                                      FASTSOCKET_MODE_REGULAR, 0, handleEvent, NULL);
    if (objects[index] == NULL)
        die("CreateFastSocket", errno);
}

static void release(size_t count)
{
    for (size_t index = 0; index < count; index++)
        ReleaseFastSocket(objects[index]);
}

static size_t countLeft(void)
{
    return GetFastRingPending(ring);
}

/* ---- timeouts ---- */

static void handleTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
    expiredTimers++;
}

static void arm(size_t index, uint32_t milliseconds)
{
    objects[index] = SetFastRingTimeout(ring, NULL, milliseconds, 0, handleTimeout, NULL);
    if (objects[index] == NULL)
        die("SetFastRingTimeout", errno);
}

static void move(size_t index, uint32_t milliseconds)
{
    SetFastRingTimeout(ring, objects[index], milliseconds, 0, NULL, NULL);
}

static void removeTimer(size_t index)
{
    SetFastRingTimeout(ring, objects[index], -1, 0, NULL, NULL);
}

int main(int count, char** arguments)
{
    static const struct Costs costs = {
        .begin = begin,
        .adopt = adopt,
        .release = release,
        .runTurn = runTurn,
        .countLeft = countLeft,
        .arm = arm,
        .move = move,
        .removeTimer = removeTimer,
    };

    return runCosts(count, arguments, &costs);
}
