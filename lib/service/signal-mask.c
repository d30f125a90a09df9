/*
 * Blocking signals in a thread, by count.
 *
 * A thread's record is made when it is first needed, and goes with the thread and its rings, of
 * which other threads may release some afterwards. A forked child has a
 * copy of its parent's, with the mask that goes with it, but not its rings: it makes another one.
 */
#include "service/signal-mask.h"

#include "base/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

static pthread_key_t threadKey;
static bool hasThreadKey;

struct FastSignalThread* FastSignalHold(struct FastSignalThread* thread)
{
    atomic_fetch_add(&thread->references, 1);
    return thread;
}

void FastSignalDrop(struct FastSignalThread* thread)
{
    if (atomic_fetch_sub(&thread->references, 1) == 1)
        free(thread);
}

static void onExit(void* closure)
{
    FastSignalDrop(closure);
}

static void makeKey(void)
{
    hasThreadKey = pthread_key_create(&threadKey, onExit) == 0;
}

struct FastSignalThread* FastSignalFindThread(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, makeKey);
    struct FastSignalThread* thread = hasThreadKey ? pthread_getspecific(threadKey) : NULL;
    if (thread != NULL && thread->forks == FastForkCount())
        return thread;
    struct FastSignalThread* fresh = hasThreadKey ? calloc(1, sizeof(*fresh)) : NULL;
    if (fresh == NULL)
        return NULL;
    fresh->forks = FastForkCount();
    atomic_init(&fresh->references, 1);
    if (pthread_setspecific(threadKey, fresh) != 0) {
        free(fresh);
        return NULL;
    }
    if (thread != NULL)
        FastSignalDrop(thread);
    return fresh;
}

/* Of a number that can be blocked this can't fail. */
static void change(int how, int number, sigset_t* former)
{
    sigset_t one;
    (void)sigemptyset(&one);
    (void)sigaddset(&one, number);
    (void)pthread_sigmask(how, &one, former);
}

void FastSignalBlock(struct FastSignalThread* thread, int number)
{
    const uint64_t bit = UINT64_C(1) << (number - 1);
    sigset_t former;
    if (thread->counts[number]++ > 0)
        return;
    change(SIG_BLOCK, number, &former);
    thread->were = sigismember(&former, number) > 0 ? thread->were | bit : thread->were & ~bit;
}

void FastSignalUnblock(struct FastSignalThread* thread, int number)
{
    if (--thread->counts[number] == 0 && !(thread->were & UINT64_C(1) << (number - 1)))
        change(SIG_UNBLOCK, number, NULL);
}
