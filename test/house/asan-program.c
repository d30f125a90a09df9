/* What a program does that AddressSanitizer watches while the library knows nothing of it. The
 * argument says which fault it has; «echo» has none. */
#include <Ring/FastSocket.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile uint8_t seen;

static void need(int condition, const char* text)
{
    if (condition)
        return;
    fprintf(stderr, "%s failed\n", text);
    exit(3);
}

/* ---- faults ---- */

static void* release(void* buffer)
{
    ReleaseFastBuffer(buffer);
    return NULL;
}

static void releaseInThread(struct FastBuffer* buffer)
{
    pthread_t thread;
    need(pthread_create(&thread, NULL, release, buffer) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

static void fail(const char* fault, struct FastRing* ring)
{
    struct FastBufferPool* pool = CreateFastBufferPool(strstr(fault, "shared") ? NULL : ring);
    size_t size = strstr(fault, "large") ? 100000 : 100;
    if (!strstr(fault, "early"))
        WaitForFastRing(ring, 0, NULL);
    struct FastBuffer* buffer = AllocateFastBuffer(pool, size, 0);
    need(buffer != NULL, "AllocateFastBuffer");
    uint8_t* data = GetFastBufferData(buffer);
    memset(data, 1, size);
    if (strstr(fault, "beyond")) {
        seen = data[size];
        return;
    }
    if (strstr(fault, "thread"))
        releaseInThread(buffer);
    else
        ReleaseFastBuffer(buffer);
    seen = data[size / 2];
}

/* ---- none: bytes of many sizes come back as they went ---- */

enum
{
    LARGEST = 300000
};

static struct FastBufferPool* pool;
static struct FastSocket* sockets[2];
static size_t received;
static uint8_t sent[LARGEST];

static void onEvent(struct FastSocket* socket, int event, int parameter)
{
    struct FastBuffer* buffer;
    (void)parameter;
    if (event != POLLIN)
        return;
    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        size_t length = GetFastBufferLength(buffer);
        if (socket == sockets[0]) {
            need(memcmp(GetFastBufferData(buffer), sent + received, length) == 0, "the echo");
            received += length;
            ReleaseFastBuffer(buffer);
        } else {
            need(TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, length, 0) == 0,
                 "TransmitFastSocketBuffer");
        }
    }
}

static void echo(struct FastRing* ring)
{
    int pair[2];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
    pool = CreateFastBufferPool(ring);
    struct FastRingBufferProvider* provider =
        CreateFastRingBufferProvider(ring, 0, 16, 5000, AllocateRingFastBuffer, pool);
    for (int index = 0; index < 2; index++) {
        sockets[index] = CreateFastSocket(ring, provider, pool, pool, pair[index], NULL, 0, 0, 0,
                                          onEvent, NULL);
        need(sockets[index] != NULL, "CreateFastSocket");
    }
    for (int index = 0; index < LARGEST; index++)
        sent[index] = (uint8_t)(index * 7 + index / 256);
    for (size_t size = 1; size <= LARGEST; size += size / 3 + 1) {
        received = 0;
        for (size_t offset = 0; offset < size; offset += size / 2 + 1) /* two calls, gathered */
            need(TransmitFastSocketData(sockets[0], NULL, 0, sent + offset,
                                        size - offset < size / 2 + 1 ? size - offset : size / 2 + 1,
                                        0) == 0,
                 "TransmitFastSocketData");
        while (received < size)
            need(WaitForFastRing(ring, 60000, NULL) == 0, "WaitForFastRing");
    }
    ReleaseFastSocket(sockets[0]);
    ReleaseFastSocket(sockets[1]);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(pool);
}

int main(int count, char** arguments)
{
    struct FastRing* ring = CreateFastRing(0);
    need(count == 2 && ring != NULL, "CreateFastRing");
    if (strcmp(arguments[1], "echo") == 0)
        echo(ring);
    else
        fail(arguments[1], ring);
    ReleaseFastRing(ring);
    puts("done");
    return 0;
}
