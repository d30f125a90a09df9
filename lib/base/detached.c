/*
 * Threads of the library's own, that nobody joins.
 *
 * What is inherited is a thread's for its life: it hears of no signal, which are the program's.
 *
 * Failures: there is no thread left, or no memory for its stack.
 */
#include "base/detached.h"

#include <pthread.h>
#include <signal.h>

int FastDetachedStart(void* (*function)(void* argument), void* argument, size_t stack)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, stack);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&thread, &attributes, function, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -result;
}
