/*
 * What everything on a ring needs of it: checks of the exported edge, references and members,
 * tasks, submission entries.
 */
#ifndef FASTSOCKET_RING_BASE_H
#define FASTSOCKET_RING_BASE_H

#include "base/check.h"
#include "ring/state.h"

#include <errno.h>

struct FastLook;
struct FastDump;
struct FastRingMember;
struct FastRingWorker;

/* The tasks of a FastRingWorker. */
enum FastRingWork
{
    FAST_RING_PREPARE = FAST_WORK_ALONE + 1,
    FAST_RING_DISPATCH,
    FAST_RING_RETRY, /* in the prepare phase, too: what waits for memory, or for what has come */
    FAST_RING_WORKS = FAST_RING_RETRY,
};

struct FastRingMemberFunctions
{
    /* The ring is being released: tell the user what is promised, cancel what is in flight. Runs on
     * the ring's thread, the loop still works (prepare, completions and dispatch; no timers). Not
     * called when the ring's thread has exited. May be NULL. */
    void (*end)(struct FastRingMember* member);

    /* Nothing will complete any more. orderly: every operation of the ring is final; otherwise
     * memory that an operation in flight uses must be leaked. The member is unlinked already; it
     * becomes defunct, or is freed if its user has released it. Must drop the member's use of
     * timers. */
    void (*close)(struct FastRingMember* member, bool orderly);

    /* The ring's inbound limit is reached: receive no more than must be. May be NULL. */
    void (*throttle)(struct FastRingMember* member);

    /* FastRingPoolReserve has changed. May be NULL. */
    void (*adjust)(struct FastRingMember* member);

    /* Adds the member's share to the ring's statistics. May be NULL. */
    void (*count)(const struct FastRingMember* member, struct FastRingStatistics* statistics);

    /* Tells of itself, in a line, and calls nobody. May be NULL. */
    void (*dump)(const struct FastRingMember* member, struct FastDump* dump);

    /* A socket: calls the function of WalkFastRing, unless its user has released it. 0, or what
     * that returns. NULL: it is none. */
    int (*walk)(struct FastRingMember* member, HandleFastRingWalk function, void* closure);

    /* Of a FastRingWorker: its dispatch task has called a user, who did not return. It is in no
     * queue, unless it was queued since, and does what is left of it. */
    void (*goOn)(struct FastRingWorker* worker);

    /* Of a FastRingWorker, by enum FastRingWork less 1: as the function of a FastTask. */
    bool (*work[FAST_RING_WORKS])(struct FastRingWorker* worker);

    /* Of a FastRingWorker: as the function of its dispatch task, in a turn that is traced: tells of
     * each call of the user. May be NULL. */
    bool (*traced)(struct FastRingWorker* worker);

    /* For traces. May be NULL. */
    void (*look)(const struct FastRingMember* member, struct FastLook* look);

    /* What users call it whose object this is a part of, for check mode, and where in there it is.
     * NULL: they know nothing of it. */
    const char* kind;
    size_t offset;
};

/* What lives on a ring and must hear of its end. */
struct FastRingMember
{
    struct FastRingMember* next; /* itself: it is not linked any more */
    struct FastRingMember* previous;
    const struct FastRingMemberFunctions* functions; /* NULL: it never was */
};

/* A member with the same tasks as many others. */
struct FastRingWorker
{
    struct FastRingMember member;
    struct FastLink links[FAST_RING_WORKS]; /* by enum FastRingWork less 1 */
};

/* ---- checks at the exported edge ---- */

/* The ring is gone, what lives on it is defunct. */
static inline bool FastRingIsReleased(const struct FastRing* ring)
{
    return atomic_load_explicit(&ring->state, memory_order_acquire) == RING_RELEASED;
}

/* Its release has begun, or is over. */
static inline bool FastRingIsEnding(const struct FastRing* ring)
{
    return atomic_load_explicit(&ring->state, memory_order_acquire) >= RING_ENDING;
}

/* It has ended, or is ending its members, with operations that may still write to memory which was
 * given to them: that is never given back. */
static inline bool FastRingIsDisorderly(const struct FastRing* ring)
{
    return ring->disorderly;
}

/* A first wait has made a thread the ring's. */
static inline bool FastRingIsStarted(const struct FastRing* ring)
{
    return atomic_load_explicit(&ring->state, memory_order_acquire) != RING_NEW;
}

/* The process was forked since the ring was made. */
static inline bool FastRingIsForked(const struct FastRing* ring)
{
    return ring->forks != FastForkCount();
}

/* The calling thread is the ring's, or the ring has none yet. */
static inline bool FastRingIsOwned(const struct FastRing* ring)
{
    return !FastRingIsForked(ring) && (FastThreadIsSelf(&ring->owner) || !FastRingIsStarted(ring) ||
                                       FastThreadHasNumber(&ring->owner));
}

/* It is running, the calling thread is its own, the process the one that made it, and no foreign
 * loop need hear of what is queued: nothing is wrong with a call. false is to be asked again by
 * FastRingCheckAll, which says what is, if anything. */
static inline bool FastRingIsOpen(const struct FastRing* ring)
{
    return FastThreadIsSelf(&ring->owner) && ring->open == FastForkCount();
}

/* As FastRingCheck, in full. */
int FastRingCheckAll(const struct FastRing* ring);

/* For calls on what exists: 0, -EINVAL (no ring), -EPERM, or -ECANCELED once the ring is gone. */
static inline int FastRingCheck(const struct FastRing* ring)
{
    return ring != NULL && FastRingIsOpen(ring) ? 0 : FastRingCheckAll(ring);
}

/* For what is made on a ring: as FastRingCheck, and -ECANCELED as soon as its release began. */
int FastRingCheckCreate(const struct FastRing* ring);

/* For calls of any thread: 0, -ECANCELED when the ring is gone, or -EPERM in a forked child. */
int FastRingCheckCall(const struct FastRing* ring);

/* ---- what creations need not ask ---- */

/* A listener of TCP hands this connection to its user now; -1: it has. */
static inline void FastRingTellTcp(struct FastRing* ring, int handle)
{
    ring->tcpHandle = handle;
}

/* Whether this is the connection, as long as nothing else has taken its number. */
static inline bool FastRingKnowsTcp(const struct FastRing* ring, int handle)
{
    return ring->tcpHandle == handle;
}

/* ---- signals ---- */

/* What the service of signals has for the ring, or NULL, and the numbers that no wait lets in,
 * whatever its mask is. */
static inline void FastRingSetSignals(struct FastRing* ring, struct FastSignalSet* set,
                                      const sigset_t* numbers)
{
    ring->signals.set = set;
    ring->signals.numbers = numbers;
}

/* What was set. */
static inline struct FastSignalSet* FastRingGetSignals(const struct FastRing* ring)
{
    return ring->signals.set;
}

/* ---- life: a ring's memory lives until its last member, defunct or not, lets go. ---- */

/* Any thread. */
void FastRingHold(struct FastRing* ring);

/* Any thread. The last one frees the ring. */
void FastRingDrop(struct FastRing* ring);

/* Links a member, and holds a reference on the ring until the member itself drops it by
 * FastRingDrop, defunct or not. */
void FastRingLink(struct FastRing* ring, struct FastRingMember* member,
                  const struct FastRingMemberFunctions* functions);

/* Takes a member off the list, and does no more; harmless when that has happened. */
void FastRingUnlink(struct FastRing* ring, struct FastRingMember* member);

/* Keeps memory for ever that the kernel may still read or write, so that a leak checker knows of
 * it. It stays as it is. */
void FastRingLeak(const void* memory);

/* Runs when the first WaitForFastRing has made the calling thread the ring's. */
struct FastRingStarter
{
    struct FastRingStarter* next;
    void (*function)(struct FastRingStarter* starter);
};

/* Only before the ring is started, which its end does, too: none is taken back. */
void FastRingAddStarter(struct FastRing* ring, struct FastRingStarter* starter);

/* ---- phases of the turn ---- */

/* A foreign loop polls the handle, and nothing was queued since the last turn: now something is. */
__attribute__((cold)) void FastRingShow(struct FastRing* ring);

/* Whether what is queued from now on shows. */
static inline void FastRingSetOutside(struct FastRing* ring, bool outside)
{
    ring->turn.outside = outside;
    ring->open = outside ? FAST_RING_SHUT : ring->opened;
}

/* As FastTaskAppend. What is queued between turns shows in the handle: the first of it does. */
static inline void FastRingAppend(struct FastRing* ring, struct FastTaskQueue* queue,
                                  struct FastLink* link, size_t number)
{
    if (FastTaskIsEmpty(queue) && ring->turn.outside)
        FastRingShow(ring);
    FastTaskAppend(queue, link, number);
}

/* As FastTaskPush. */
static inline void FastRingPush(struct FastRing* ring, struct FastTaskQueue* queue,
                                struct FastTask* task)
{
    if (!FastTaskIsQueued(task))
        FastRingAppend(ring, queue, &task->link, FAST_WORK_ALONE);
}

/* Before a function of the user's is called, which may never return (longjmp, an exception): what
 * the next wait does then in the place of what follows the call. NULL: nothing does. */
static inline void FastRingLeave(struct FastRing* ring, void (*goOn)(void* owner), void* owner)
{
    ring->turn.work = 0;
    ring->turn.goOn = goOn;
    ring->turn.owner = owner;
}

/* Runs a task before the next enter: the only place to reserve entries. */
static inline void FastRingDefer(struct FastRing* ring, struct FastTask* task)
{
    FastRingPush(ring, &ring->prepare, task);
}

/* One of its tasks waits in a queue. */
static inline bool FastRingWorkIsQueued(const struct FastRingWorker* worker,
                                        enum FastRingWork number)
{
    return FastLinkIsQueued(&worker->links[number - 1]);
}

/* For its tasks that wait in none: as FastRingDefer. */
static inline void FastRingDeferWork(struct FastRing* ring, struct FastRingWorker* worker,
                                     enum FastRingWork number)
{
    FastRingAppend(ring, &ring->prepare, &worker->links[number - 1], number);
}

/* The same where FastRingIsOpen says yes: without a call, and so without registers to save. */
static inline void FastRingDeferInside(struct FastRing* ring, struct FastRingWorker* worker,
                                       enum FastRingWork number)
{
    FastTaskAppend(&ring->prepare, &worker->links[number - 1], number);
}

/* The same as soon as FastRingHasCompletions says no. */
static inline void FastRingDeferBehind(struct FastRing* ring, struct FastRingWorker* worker,
                                       enum FastRingWork number)
{
    FastTaskAppend(&ring->behind, &worker->links[number - 1], number);
}

/* As FastRingNotify. */
static inline void FastRingNotifyWork(struct FastRing* ring, struct FastRingWorker* worker,
                                      enum FastRingWork number)
{
    FastRingAppend(ring, &ring->dispatch, &worker->links[number - 1], number);
}

/* The same in a turn. */
static inline void FastRingNotifyInside(struct FastRing* ring, struct FastRingWorker* worker,
                                        enum FastRingWork number)
{
    FastTaskAppend(&ring->dispatch, &worker->links[number - 1], number);
}

/* Runs a task when the batch is reaped: the place to call users. */
static inline void FastRingNotify(struct FastRing* ring, struct FastTask* task)
{
    FastRingPush(ring, &ring->dispatch, task);
}

/* The same until the ring is gone, of what calls a user and has nothing to do behind that: what the
 * ring's last steps bring runs behind them. */
static inline void FastRingNotifyAnyhow(struct FastRing* ring, struct FastTask* task)
{
    FastTaskPush(&ring->lastly, task);
    if (!ring->closing)
        FastRingNotify(ring, &ring->runLastly);
}

/* The number of this turn. */
static inline uint64_t FastRingTurn(const struct FastRing* ring)
{
    return ring->statistics.turns;
}

/* Reap no more in this turn. */
static inline void FastRingYield(struct FastRing* ring)
{
    ring->turn.left = 0;
}

/* ---- operations ---- */

/* For its features, and for what one file of this room does with it alone. Entries are reserved by
 * FastRingReserve, which counts them. */
static inline struct FastEngine* FastRingEngine(struct FastRing* ring)
{
    return ring->engine;
}

/* A descriptor on which nothing is in flight is about to be closed, and others may have its file:
 * they go on with it unheard. */
static inline void FastRingForgetHandle(struct FastRing* ring, int handle)
{
    if (FastRingCheck(ring) == 0)
        FastEngineForget(ring->engine, handle);
}

/* Reserves an entry for an operation, zeroed, user_data set; counts it as in flight until its final
 * completion. NULL when the queue is full: return false from the task's function. Only in the
 * prepare phase. */
static inline struct io_uring_sqe* FastRingReserve(struct FastRing* ring,
                                                   struct FastOperation* operation)
{
    struct io_uring_sqe* entry = FastEngineReserve(ring->engine);
    if (entry == NULL)
        return NULL;
    entry->user_data = (uintptr_t)operation;
    ring->statistics.operations++;
    ring->statistics.submissions++;
    return entry;
}

/* Completions are there, or about to be, that nobody has handled yet: whatever seems to be in
 * flight may be over. */
static inline bool FastRingHasCompletions(const struct FastRing* ring)
{
    return FastEnginePeek(ring->engine) != NULL || FastEngineHasMore(ring->engine);
}

/* Entries that can be reserved right now: for chains, which must not be split. */
static inline unsigned FastRingRoom(const struct FastRing* ring)
{
    return FastEngineRoom(ring->engine);
}

/* Memory for message headers and io vectors of entries reserved in this phase, which the kernel
 * copies as they enter: valid until the next enter. Not for control data, which it reads whenever
 * it tries the operation. NULL when it is used up: return false from the task's function. At most
 * 64 KiB each. */
void* FastRingScratch(struct FastRing* ring, size_t size);

/* Prepares the cancellation of what has target as its user_data. operation reports the result,
 * which means nothing: only the target's own final completion counts. Returns false when the queue
 * is full. Only in the prepare phase. While a cancellation is in flight, target must not be
 * submitted again. */
bool FastRingCancel(struct FastRing* ring, struct FastOperation* operation,
                    const struct FastOperation* target);

/* A completion contradicts what was given to the kernel, and is refused: it is counted, and the
 * ring uses neither bundles nor byte caps any more. */
void FastRingDistrust(struct FastRing* ring);

/* A completion of what is not in flight, which its owner passes over: it is counted, and ends
 * nothing. */
void FastRingPassOver(struct FastRing* ring, const struct io_uring_cqe* completion);

/* ---- numbers ---- */

/* What GetFastRingPending tells. */
static inline void FastRingCountPending(struct FastRing* ring, int change)
{
    ring->pending += (size_t)(ptrdiff_t)change;
}

/* A receive found no buffer. */
static inline void FastRingCountStarvation(struct FastRing* ring)
{
    ring->statistics.starvations++;
}

/* Bytes that each pool may keep free: FASTRING_OPTION_POOL_RESERVE. */
static inline size_t FastRingPoolReserve(const struct FastRing* ring)
{
    return ring->options.poolReserve < SIZE_MAX ? (size_t)ring->options.poolReserve : SIZE_MAX;
}

/* Buffers of the ring's own provider: FASTRING_OPTION_BUFFER_COUNT. */
static inline uint16_t FastRingBufferCount(const struct FastRing* ring)
{
    return (uint16_t)ring->options.bufferCount;
}

/* Bytes of each of them: FASTRING_OPTION_BUFFER_LENGTH. */
static inline uint32_t FastRingBufferLength(const struct FastRing* ring)
{
    return (uint32_t)ring->options.bufferLength;
}

/* What a room above keeps of that provider and its pools; NULL: there is nothing yet. */
static inline struct FastRingStock* FastRingStock(const struct FastRing* ring)
{
    return ring->stock;
}

/* Keeps it. From then on those options are fixed. */
static inline void FastRingSetStock(struct FastRing* ring, struct FastRingStock* stock)
{
    ring->stock = stock;
}

/* The next power of two; length is at most 2^31. */
uint32_t FastRingRoundUp(uint32_t length);

/* What every Get…Statistics does: min(size, known) bytes, the rest of size zeroed. */
void FastCopyStatistics(void* target, size_t size, const void* source, size_t known);

#endif
