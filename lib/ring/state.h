/*
 * What a ring remembers. The members are for lib/ring alone, each part's for the unit that is named
 * there; other rooms see them only so that the short functions of base.h can be inline.
 */
#ifndef FASTSOCKET_RING_STATE_H
#define FASTSOCKET_RING_STATE_H

#include "base/frame.h"
#include "base/thread.h"
#include "base/timer.h"
#include "engine/engine.h"
#include "ring/task.h"
#include "ring/waiter.h"

#include <Ring/FastRing.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAST_CONTAINER(pointer, type, field) ((type*)((char*)(pointer)-offsetof(type, field)))

enum
{
    FAST_OPERATION_CANCEL = 1, /* in a user_data: of the cancellation of the operation there */
};

/* In the place of a number of forks: no process has had so many. */
#define FAST_RING_SHUT UINT64_MAX

/*
 * Something that waits for completions: embedded in its owner, its address is the user_data. It is
 * over at the completion without IORING_CQE_F_MORE, and never earlier; until then its owner must
 * live. The function is called for each completion, in the reaping phase of a turn; and for that of
 * a cancellation whose user_data says so, since addresses are even.
 */
struct FastOperation
{
    void (*function)(struct FastOperation* operation, const struct io_uring_cqe* completion);
};

enum
{
    FAST_RING_SCRATCH = 256 * 1024, /* bytes of message headers and io vectors for one enter */
};

enum FastRingState
{
    RING_NEW,      /* any one thread at a time; nothing has entered the kernel */
    RING_RUNNING,  /* one thread's */
    RING_ENDING,   /* being released: the loop works, nothing new is taken in */
    RING_RELEASED, /* only memory for what outlives it */
};

struct FastRingCall;
struct FastRingFlusher;
struct FastRingGroup;
struct FastRingMember;
struct FastRingStarter;
struct FastRingStock;
struct FastShared;
struct FastSignalSet;
struct FastSpare;
struct FastTick;

enum
{
    FAST_RING_SHARED = 4, /* values that are remembered, see shared.h */
};

struct FastRing
{
    struct FastEngine* engine;
    _Atomic int state;      /* enum FastRingState; other threads look before they wake the ring */
    atomic_uint references; /* the user's, and one for each member, defunct or not */
    /* at creation: a forked child shares the kernel's ring, and must not touch it */
    uint64_t forks;
    uint64_t open;   /* opened, but FAST_RING_SHUT while turn.outside */
    uint64_t opened; /* forks; FAST_RING_SHUT where every call is to be looked at closely */
    bool closing;                /* its members are, and no turn runs any more */
    bool disorderly;             /* it has ended with operations left in the kernel */
    int tcpHandle;               /* a listener of TCP is just handing it over; -1: none */
    struct FastThreadMark owner; /* known by its short name while the ring is running */
    struct FastThreadLife life;  /* of the owner */

    /* base */
    struct FastTaskQueue prepare;
    struct FastTaskQueue dispatch;
    struct FastTaskQueue behind; /* for when all that has come is handled */
    struct FastTaskQueue crowd;  /* for when completions have places: FastRingAwaitPlace */
    struct FastTaskQueue lastly; /* FastRingNotifyAnyhow */
    struct FastTask runLastly;
    struct FastRingMember* members;
    struct FastRingMember* nextToEnd; /* where the end goes on, whatever a callback unlinks */
    struct FastRingStarter* starters;
    size_t pending;
    struct FastRingStatistics statistics; /* the counters; levels are added when asked */

    struct
    {
        uint8_t* memory;
        size_t used;
    } scratch;

    /* group */
    struct FastRingGroup* groups;
    struct FastRingGroup* lent; /* ended ones: operations in the kernel may have their buffers */

    /* timers */
    struct FastTimerHeap timers;
    struct
    {
        struct FastTaskQueue waiting;
        struct FastTimer timer;
    } memory;

    struct /* tick */
    {
        struct FastTick* first;
        struct FastTick* next; /* with which a walk goes on; NULL: none is under way */
        struct FastTimer timer;
        int64_t period;   /* nanoseconds to the next tick */
        int64_t shortest; /* that was asked for in this walk */
        uint32_t waited;  /* turns for which a walk that came late has been put off */
    } ticks;

    struct /* flusher */
    {
        struct FastRingFlusher* first;
        struct FastRingFlusher* last;
        uint64_t round;
    } flushers;

    struct /* call */
    {
        struct FastRingCall* _Atomic first; /* pushed by any thread */
        struct FastRingCall* line;          /* taken off there, to be run in this order */
        struct FastRingCall* last;          /* of the line, if there is one */
        atomic_bool woken;                  /* a wake is on its way */
        struct FastOperation operation;     /* completes after a wake */
        struct FastTask arm;
        struct FastTask run;
        bool armed;
    } calls;

    struct /* limit */
    {
        uint64_t length;
        struct FastWaiterList waiting;
        bool throttled; /* members have heard of the limit since there was room */
    } inbound;

    struct /* spare */
    {
        struct FastSpare* free; /* the one given back last */
        struct FastSpare* row;  /* to be looked at */
        uint32_t count;         /* free ones */
        uint32_t taken;         /* since the last look */
        uint32_t rowed;         /* in the row */
        uint32_t idles;         /* times that the ring had nothing to do since the last look */
        uint32_t keep;          /* free ones that are not too many */
    } spares;

    struct /* shared */
    {
        struct FastShared* latest[FAST_RING_SHARED];
        uint32_t next; /* place to be given to the next one */
    } shared;

    struct
    {
        struct FastSignalSet* set;
        const sigset_t* numbers;
    } signals; /* of a service: NULL, or numbers that are blocked in each wait */

    bool guarded; /* enter: entries that may raise SIGPIPE are reserved */

    struct /* turn */
    {
        bool running;       /* inside WaitForFastRing, or the end */
        bool outside;       /* it is not, and what is queued is to show in the handle */
        bool asked;         /* the program has asked for the handle */
        uint64_t left;      /* completions that may be reaped in it */
        uint32_t behind;    /* turns that tasks have waited for all to be handled */
        uint32_t crowded;   /* turns that tasks have waited for places */
        bool releaseWanted; /* ReleaseFastRing was called inside */
        FastWork work;      /* what runs of it, unless it has said what follows by FastRingLeave */
        FastWork rest;      /* and what stands behind that; 0: nothing */
        struct FastFrame frame;    /* of the function that is running it */
        void (*goOn)(void* owner); /* FastRingLeave */
        void* owner;
    } turn;

    struct /* turn */
    {
        uint64_t windowUs; /* how long it has been worth it lately */
        uint32_t skipped;
    } spin;

    struct /* option */
    {
        uint64_t inboundLimit;
        uint64_t turnLimit;
        uint64_t spinUs;
        uint64_t poolReserve;
        uint64_t busyPollUs;
        uint64_t busyPollPrefer;
        uint64_t minimumWaitUs;
        uint64_t bufferCount;
        uint64_t bufferLength;
    } options;

    struct FastRingStock* stock; /* base: the ring's own provider and pools; NULL: none yet */
};

#endif
