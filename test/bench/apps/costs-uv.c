/* What streams and timers of libuv cost. A timer stays initialized, as a program that arms it again
 * has it. */
#include <stdlib.h>

#include <uv.h>

#include "../bench.h"
#include "costs.h"

enum
{
    OBJECTS = 1 << 20
};

static uv_loop_t* loop;
static uv_pipe_t* streams;
static uv_timer_t* timers;
static size_t left;

static void begin(void)
{
    loop = uv_default_loop();
    streams = makeObjects(OBJECTS, sizeof(*streams));
    timers = makeObjects(OBJECTS, sizeof(*timers));
}

static void runTurn(void)
{
    uv_run(loop, UV_RUN_NOWAIT);
}

/* ---- sockets ---- */

static void giveMemory(uv_handle_t* handle, size_t size, uv_buf_t* buffer)
{
    static char memory[4096];

    (void)handle;
    (void)size;
    *buffer = uv_buf_init(memory, sizeof(memory));
}

static void handleRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer)
{
    (void)stream;
    (void)size;
    (void)buffer;
}

static void adopt(size_t index, int handle)
{
    uv_pipe_t* stream = &streams[index];

    if ((uv_pipe_init(loop, stream, 0) != 0) || (uv_pipe_open(stream, handle) != 0) ||
        (uv_read_start((uv_stream_t*)stream, giveMemory, handleRead) != 0))
        die("uv_pipe_open", 0);
}

static void handleClosed(uv_handle_t* handle)
{
    (void)handle;
    left--;
}

static void release(size_t count)
{
    left = count;
    for (size_t index = 0; index < count; index++)
        uv_close((uv_handle_t*)&streams[index], handleClosed);
}

static size_t countLeft(void)
{
    return left;
}

/* ---- timers ---- */

static void handleTimer(uv_timer_t* timer)
{
    (void)timer;
    expiredTimers++;
}

static void move(size_t index, uint32_t milliseconds)
{
    if (uv_timer_start(&timers[index], handleTimer, milliseconds, 0) != 0)
        die("uv_timer_start", 0);
}

static void arm(size_t index, uint32_t milliseconds)
{
    uv_timer_t* timer = &timers[index];

    if (timer->loop == NULL)
        uv_timer_init(loop, timer);
    move(index, milliseconds);
}

static void removeTimer(size_t index)
{
    uv_timer_stop(&timers[index]);
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
