/*
 * Numbers threads in the order in which they first ask, and counts forks in the children.
 */
#include "thread.h"

#include <pthread.h>
#include <stdatomic.h>

uint64_t FastThreadNumber(void)
{
    static _Atomic uint64_t last;
    static _Thread_local uint64_t number;

    if (number == 0)
        number = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    return number;
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
