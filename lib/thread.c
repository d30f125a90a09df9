/*
 * Numbers threads in the order in which they first ask, knows which have ended, and counts forks in the
 * children.
 */
#include "thread.h"

#include <errno.h>
#include <stdatomic.h>

uint64_t FastThreadNumber(void)
{
    static _Atomic uint64_t last;
    static _Thread_local uint64_t number;

    if (number == 0)
        number = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    return number;
}

void FastThreadMakeLife(struct FastThreadLife* life)
{
    pthread_mutexattr_t attributes;
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    (void)pthread_mutex_init(&life->mutex, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
}

void FastThreadBeginLife(struct FastThreadLife* life)
{
    (void)pthread_mutex_lock(&life->mutex); /* nobody else has it */
}

void FastThreadEndLife(struct FastThreadLife* life)
{
    (void)pthread_mutex_unlock(&life->mutex);
}

bool FastThreadHasDied(struct FastThreadLife* life)
{
    int result = pthread_mutex_trylock(&life->mutex);
    if (result == EBUSY || result == ENOTRECOVERABLE)
        return result == ENOTRECOVERABLE;
    /* Given up without being mended: it says the same to the next who asks. */
    (void)pthread_mutex_unlock(&life->mutex);
    return result == EOWNERDEAD;
}

void FastThreadDestroyLife(struct FastThreadLife* life)
{
    (void)pthread_mutex_destroy(&life->mutex);
}

static _Atomic uint64_t forks;

static void countFork(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void watchForks(void)
{
    (void)pthread_atfork(NULL, NULL, countFork); /* without memory for it, children are on their own */
}

void FastForkWatch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watchForks);
}

uint64_t FastForkCount(void)
{
    return atomic_load_explicit(&forks, memory_order_relaxed);
}
