/*
 * Waiting under valgrind.
 *
 * Valgrind runs one thread at a time, and lets go of its lock around system calls that it knows to
 * wait. io_uring_enter is none of them (3.19): a thread that sleeps there keeps all others, and
 * the delivery of signals, waiting. So the ring is entered without waiting, and the sleep is a
 * ppoll(2) of the ring's handle, the same that a foreign loop would get.
 *
 * Good path: enter, and if that brought nothing, sleep until the handle is readable, make it
 * unreadable and enter again; all else as the table in engine.h says it of a single enter.
 *
 * A mask of signals is set around the sleep: valgrind (3.19) answers EFAULT to a ppoll with one,
 * when a signal that the mask blocks has interrupted it. A signal may come between the two then,
 * and not end the sleep; so that is short, and a turn in which nothing came.
 *
 * Failure: without a handle (no descriptor is free) the caller waits in the kernel after all.
 */
#include "engine/uring-checked.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

enum
{
    CHECKED_SECOND = 1000000000,
    CHECKED_MASKED = 100000000, /* nanoseconds of a sleep with a mask */
};

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * CHECKED_SECOND + time.tv_nsec;
}

/* 1: the handle is readable; 0: time is up; or negative errno. left: nanoseconds, negative: no
 * limit. */
static int sleepOn(int handle, int64_t left)
{
    struct pollfd state = {.fd = handle, .events = POLLIN};
    struct timespec limit = {.tv_sec = left / CHECKED_SECOND, .tv_nsec = left % CHECKED_SECOND};
    int result = ppoll(&state, 1, left >= 0 ? &limit : NULL, NULL);
    return result < 0 ? -errno : result;
}

static int sleepMasked(int handle, int64_t left, const sigset_t* mask)
{
    sigset_t before;
    if (mask == NULL)
        return sleepOn(handle, left);
    pthread_sigmask(SIG_SETMASK, mask, &before);
    int result = sleepOn(handle, left >= 0 && left < CHECKED_MASKED ? left : CHECKED_MASKED);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
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
        *result = sleepMasked(handle, left, mask);
        if (*result <= 0)
            return true;
        if (engine->embedded)
            functions->clearHandle(engine);
    }
}
