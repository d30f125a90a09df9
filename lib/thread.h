/*
 * Which thread this is.
 */
#ifndef FASTSOCKET_THREAD_H
#define FASTSOCKET_THREAD_H

#include <stdint.h>

/* A number of the calling thread's own, from 1, never given twice. Neither pthread_self() nor the
 * address of a thread-local variable would do: both may come back in a thread that starts after
 * another has exited. */
uint64_t FastThreadNumber(void);

#endif
