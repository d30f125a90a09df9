/*
 * SIGPIPE, or SIGXFSZ, kept from the calling thread while the kernel may raise it there.
 *
 * The kernel sends either to the thread that writes, not to the process; so it is enough to block
 * it in that thread, and to take off what is pending afterwards. One that was pending before
 * belongs to the program, and stays.
 */
#include "base/pipe-signal.h"

#include <errno.h>
#include <time.h>

static sigset_t setOf(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static bool isPending(int number)
{
    sigset_t set;
    return sigpending(&set) == 0 && sigismember(&set, number) == 1;
}

static void blockSignal(struct FastPipeSignal* guard, int number)
{
    sigset_t set = setOf(number);
    guard->number = number;
    (void)pthread_sigmask(SIG_BLOCK, &set, &guard->before);
    guard->pending = isPending(number);
}

void FastPipeSignalBlock(struct FastPipeSignal* guard)
{
    blockSignal(guard, SIGPIPE);
}

void FastSizeSignalBlock(struct FastPipeSignal* guard)
{
    blockSignal(guard, SIGXFSZ);
}

bool FastPipeSignalRestore(const struct FastPipeSignal* guard)
{
    sigset_t set = setOf(guard->number);
    const struct timespec now = {0};
    int error = errno;
    int taken = guard->pending ? -1 : sigtimedwait(&set, NULL, &now);
    while (!guard->pending && taken < 0 && errno == EINTR)
        taken = sigtimedwait(&set, NULL, &now);
    (void)pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
    errno = error;
    return taken == guard->number;
}
