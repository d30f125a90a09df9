/*
 * Waiting under valgrind.
 *
 * Valgrind runs one thread at a time, and lets go of its lock around system calls that it knows to wait.
 * io_uring_enter is none of them (3.19): a thread that sleeps there keeps all others, and the delivery of
 * signals, waiting. So the ring is entered without waiting, and the sleep is a ppoll(2) of the ring's
 * handle, the same that a foreign loop would get.
 *
 * Good path: enter, and if that brought nothing, sleep until the handle is readable, make it unreadable
 * and enter again; all else as the table in engine.h says it of a single enter. Failure: without a handle
 * (no descriptor is free) the caller waits in the kernel after all.
 */
#include "engine-uring.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

enum
{
    CHECKED_SECOND = 1000000000,
};

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * CHECKED_SECOND + time.tv_nsec;
}

/* 1: the handle is readable; 0: time is up; or negative errno. left: nanoseconds, negative: no limit. */
static int sleepOn(int handle, int64_t left, const sigset_t* mask)
{
    struct pollfd state = {.fd = handle, .events = POLLIN};
    struct timespec limit = {.tv_sec = left / CHECKED_SECOND, .tv_nsec = left % CHECKED_SECOND};
    int result = ppoll(&state, 1, left >= 0 ? &limit : NULL, mask);
    return result < 0 ? -errno : result;
}

bool FastEngineWaitChecked(struct FastEngine* engine, const struct FastEngineFunctions* functions,
                           int64_t timeout, const sigset_t* mask, int* result)
{
    int64_t end = timeout > 0 ? now() + timeout : -1;
    int handle = functions->getHandle(engine);
    if (handle < 0)
        return false;
    for (;;) {
        *result = functions->enter(engine, 0, NULL);
        if (*result < 0 || FastEnginePeek(engine) != NULL || FastEngineReserved(engine) > 0)
            return true;
        int64_t left = end >= 0 ? end - now() : -1;
        if (end >= 0 && left <= 0)
            return true;
        *result = sleepOn(handle, left, mask);
        if (*result <= 0)
            return true;
        if (engine->embedded)
            functions->quiet(engine);
    }
}
