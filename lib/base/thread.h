/*
 * Which thread this is, and whether its process is a forked one.
 */
#ifndef FASTSOCKET_THREAD_H
#define FASTSOCKET_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A number of the calling thread's own, from 1, never given twice. Neither pthread_self() nor the
 * address of a thread-local variable would do: both may come back in a thread that starts after
 * another has exited. */
uint64_t FastThreadNumber(void);

/*
 * A thread's sign of life, that others can look for. The kernel itself takes it away when the thread ends,
 * however it ends, and before anybody who joins it goes on; its number is seen as living for a while longer
 * (and that of the first thread of a process for as long as the others run).
 */
struct FastThreadLife
{
    pthread_mutex_t mutex; /* a robust one, held */
};
void FastThreadMakeLife(struct FastThreadLife* life); /* begins before anybody looks */
void FastThreadBeginLife(struct FastThreadLife* life);
void FastThreadEndLife(struct FastThreadLife* life);    /* in the same thread, before the memory goes */
bool FastThreadHasDied(struct FastThreadLife* life);    /* in another thread: it began, and the thread has ended since */
void FastThreadDestroyLife(struct FastThreadLife* life); /* when it has ended, or never began */

/* How many times this process and its parents have been born of a fork, since the first watch began: a
 * number that was noted before a fork is not the child's. Any thread, async-signal-safe. */
uint64_t FastForkCount(void);
/* A descriptor that a forked child doesn't know of, and would keep open: closed in the child at once. To be closed
 * here by FastForkClose. */
void FastForkHide(int handle);
void FastForkClose(int handle);

void FastForkWatch(void); /* before the first number is noted */

#endif
