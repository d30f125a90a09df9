/*
 * Which thread this is, and whether its process is a forked one.
 */
#ifndef FASTSOCKET_THREAD_H
#define FASTSOCKET_THREAD_H

#include <stdint.h>

/* A number of the calling thread's own, from 1, never given twice. Neither pthread_self() nor the
 * address of a thread-local variable would do: both may come back in a thread that starts after
 * another has exited. */
uint64_t FastThreadNumber(void);

/* How many times this process and its parents have been born of a fork, since the first watch began: a
 * number that was noted before a fork is not the child's. Any thread, async-signal-safe. */
uint64_t FastForkCount(void);
void FastForkWatch(void); /* before the first number is noted */

#endif
