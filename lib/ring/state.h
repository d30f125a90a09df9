/*
 * The ring's own state: for ring.c (life, questions, options) and ring-loop.c (turns) alone.
 */
#ifndef FASTSOCKET_RING_STATE_H
#define FASTSOCKET_RING_STATE_H

#include "ring/ring.h"
#include "base/thread.h"

#include <sys/types.h>

enum
{
    RING_SCRATCH = 256 * 1024, /* bytes of message headers and io vectors for one enter */
};

enum FastRingState
{
    RING_NEW,      /* any one thread at a time; nothing has entered the kernel */
    RING_RUNNING,  /* one thread's */
    RING_ENDING,   /* being released: the loop works, nothing new is taken in */
    RING_RELEASED, /* only memory for shells */
};

struct FastRing
{
    struct FastEngine* engine;
    _Atomic int state;      /* enum FastRingState; other threads look before they wake the ring */
    atomic_uint references; /* the user's, and one for each member or shell */

    struct
    {
        uint64_t number; /* see thread.h */
        struct FastThreadLife life;
    } thread;
    uint64_t forks; /* at creation: a forked child shares the kernel's ring, and must not touch it */

    bool guarded; /* entries that may raise SIGPIPE are reserved */

    struct
    {
        bool running;       /* inside WaitForFastRing */
        bool yielded;       /* reap no more */
        bool releaseWanted; /* ReleaseFastRing was called inside */
    } turn;

    struct
    {
        struct FastTaskQueue work;
        struct FastTaskQueue notices;
        struct FastTaskQueue memory; /* work that waits for memory */
    } tasks;

    struct FastTimer memoryTimer;
    struct FastTimerHeap timers;
    struct FastRingMember* members;
    struct FastRingMember* nextToEnd; /* where FastRingEnd goes on, whatever a callback unlinks */
    struct FastRingStarter* starters;
    struct FastRingGroup* groups;

    struct
    {
        struct FastRingFlusher* first;
        struct FastRingFlusher* last;
        uint64_t round;
    } flushers;

    struct
    {
        struct FastRingCall* _Atomic first; /* pushed by any thread */
        atomic_bool woken;                  /* a wake is on its way */
        struct FastOperation operation;     /* completes after a wake */
        struct FastTask arm;
        struct FastTask run;
        bool armed;
    } calls;

    struct
    {
        uint8_t* memory;
        size_t used;
    } scratch;

    struct
    {
        uint64_t length;
        uint64_t limit;
        struct FastWaiterList waiting;
        bool tight; /* members were told of the limit, since there was room */
    } inbound;

    struct
    {
        uint32_t turnLimit;
        uint32_t spinUs;
        uint64_t poolReserve;
    } options;
    uint32_t spinWindowUs; /* how long spinning has been worth it lately */
    uint32_t spinSkipped;

    size_t pending;
    struct FastRingStatistics statistics; /* the counters; levels are added when asked */
};

/* ring-loop.c */
void FastRingStart(struct FastRing* ring);        /* the calling thread becomes the ring's */
void FastRingPrepareCalls(struct FastRing* ring); /* at creation */
void FastRingDrain(struct FastRing* ring);        /* at the end: until nothing is in flight */
void FastRingRunFlushers(struct FastRing* ring, int reason);
void FastRingMakeMemoryTimer(struct FastRing* ring);
bool FastRingHasWork(const struct FastRing* ring); /* something to do without waiting */

/* ring.c */
void FastRingEnd(struct FastRing* ring); /* what ReleaseFastRing does, on the ring's thread */

#endif
