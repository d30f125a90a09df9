/*
 * A system call that may sleep, and that the C library doesn't know: pthread_cancel ends the thread
 * in it all the same, as in any other that sleeps.
 *
 * Nothing but the call may stand between the two: the thread may end at each instruction.
 */
#ifndef FASTSOCKET_CANCEL_H
#define FASTSOCKET_CANCEL_H

#include <pthread.h>
#include <stdbool.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif

/* There is nobody to cancel the thread. */
static inline bool FastCancelIsAlone(void)
{
#if __has_include(<sys/single_threaded.h>)
    return __libc_single_threaded;
#else
    return false;
#endif
}

/* From now on. Returns what FastCancelRefuse is to be given; negative: nothing was done. */
static inline int FastCancelAllow(void)
{
    int former = -1;
    /* cppcheck-suppress knownConditionTrueFalse ; it sees what is without glibc's header */
    if (!FastCancelIsAlone())
        (void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &former);
    return former;
}

/* No more. */
static inline void FastCancelRefuse(int former)
{
    if (former >= 0)
        (void)pthread_setcanceltype(former, NULL);
}

#endif
