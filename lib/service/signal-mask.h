/*
 * Which signals a thread has blocked for its rings, and as it was before.
 */
#ifndef FASTSOCKET_SIGNAL_MASK_H
#define FASTSOCKET_SIGNAL_MASK_H

#include <stdatomic.h>
#include <stdint.h>

enum
{
    FAST_SIGNALS = 65, /* one more than the largest number */
};

struct FastSignalSet;

/* What a thread's rings have in common. The thread's alone, while it lives; the memory stays as
 * long as somebody holds it. */
struct FastSignalThread
{
    atomic_uint references;        /* the thread's, and one for each that names it */
    uint64_t forks;                /* FastForkCount() when it was made */
    struct FastSignalSet* sets;    /* of its rings, in the order of their first waits */
    uint64_t rounds;               /* signals that were told */
    uint32_t counts[FAST_SIGNALS]; /* who wants the number blocked */
    uint64_t were;                 /* numbers that were blocked before, a bit each */
};

/* That of the calling thread; NULL: no memory. */
struct FastSignalThread* FastSignalFindThread(void);

/* Returns it, with one reference more. */
struct FastSignalThread* FastSignalHold(struct FastSignalThread* thread);

/* Any thread. */
void FastSignalDrop(struct FastSignalThread* thread);

/* One more wants the number blocked in the calling thread, whose record this is. */
void FastSignalBlock(struct FastSignalThread* thread, int number);

/* One less; the last one leaves the mask as the first has found it. */
void FastSignalUnblock(struct FastSignalThread* thread, int number);

#endif
