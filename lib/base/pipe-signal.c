/*
 * SIGPIPE, kept from the calling thread while the kernel may raise it there.
 *
 * The kernel sends SIGPIPE to the thread that writes, not to the process; so it is enough to block
 * it in that thread, and to take off what is pending afterwards. One that was pending before
 * belongs to the program, and stays.
 */
#include "base/pipe-signal.h"

#include <errno.h>
#include <time.h>

static sigset_t onlyPipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

static bool isPending(void)
{
    sigset_t set;
    return sigpending(&set) == 0 && sigismember(&set, SIGPIPE) == 1;
}

void FastPipeSignalBlock(struct FastPipeSignal* guard)
{
    sigset_t set = onlyPipe();
    (void)pthread_sigmask(SIG_BLOCK, &set, &guard->before);
    guard->pending = isPending();
}

bool FastPipeSignalRestore(const struct FastPipeSignal* guard)
{
    sigset_t set = onlyPipe();
    const struct timespec now = {0};
    int error = errno;
    int taken = guard->pending ? -1 : sigtimedwait(&set, NULL, &now);
    while (!guard->pending && taken < 0 && errno == EINTR)
        taken = sigtimedwait(&set, NULL, &now);
    (void)pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
    errno = error;
    return taken == SIGPIPE;
}
