/*
 * What the units above call of the ring: operations, work, notices, timers, membership.
 */
#ifndef FASTSOCKET_RING_H
#define FASTSOCKET_RING_H

#include "engine/engine.h"
#include "base/timer.h"

#include <Ring/FastRing.h>

#define FAST_CONTAINER(pointer, type, field) ((type*)((char*)(pointer)-offsetof(type, field)))

/*
 * Something that waits for completions: embedded in its owner, its address is the user_data. It is
 * over at the completion without IORING_CQE_F_MORE, and never earlier; until then its owner must
 * live. The function is called for each completion, in the reaping phase of a turn.
 */
struct FastOperation
{
    void (*function)(struct FastOperation* operation, const struct io_uring_cqe* completion);
};

/*
 * Something to run once in a later phase. The owner must live until it has run; queueing what is
 * queued already does nothing.
 */
struct FastTask
{
    struct FastTask* next;
    bool (*function)(struct FastTask* task); /* work: false = no submission entry was free, again after the next enter. notices: ignored */
    bool queued;
};

struct FastTaskQueue
{
    struct FastTask* first;
    struct FastTask* last;
};

struct FastRingMember;

struct FastRingMemberFunctions
{
    /* The ring is being released: tell the user what is promised, cancel what is in flight. Runs on
     * the ring's thread, the loop still works (work, completions and notices; no timers). Not called
     * when the ring's thread has exited. May be NULL. */
    void (*end)(struct FastRingMember* member);

    /* Nothing will complete any more. orderly: every operation of the ring is final; otherwise memory
     * that an operation in flight uses must be leaked. The member is unlinked already; it becomes a
     * shell, or is freed if its user has released it. Must drop the member's use of timers. */
    void (*close)(struct FastRingMember* member, bool orderly);

    /* The ring's inbound limit is reached: receive no more than must be. May be NULL. */
    void (*tighten)(struct FastRingMember* member);

    /* FastRingPoolReserve has changed. May be NULL. */
    void (*adjust)(struct FastRingMember* member);

    /* Adds the member's share to the ring's statistics. May be NULL. */
    void (*count)(const struct FastRingMember* member, struct FastRingStatistics* statistics);
};

/* What lives on a ring and must hear of its end. */
struct FastRingMember
{
    struct FastRingMember* next;
    struct FastRingMember* previous;
    const struct FastRingMemberFunctions* functions; /* NULL: not linked */
};

/* ---- checks at the exported edge: 0, -EINVAL (no ring), -EPERM, -ECANCELED ---- */

int FastRingCheck(const struct FastRing* ring);       /* calls on what exists: refused once the ring is gone */
int FastRingCheckCreate(const struct FastRing* ring); /* new members: refused as soon as its release began */
int FastRingCheckCall(const struct FastRing* ring);   /* any thread: -ECANCELED, or -EPERM in a forked child */
bool FastRingIsReleased(const struct FastRing* ring); /* the ring is gone, what lives on it is a shell */
bool FastRingIsEnding(const struct FastRing* ring);   /* its release has begun, or is over */

/* ---- life: a ring's memory lives until its last member or shell lets go. ---- */

void FastRingHold(struct FastRing* ring); /* any thread */
void FastRingDrop(struct FastRing* ring); /* any thread */

/* Link holds a reference on the ring until the member itself drops it by FastRingDrop, as a shell or
 * not; Unlink only takes it off the list and is harmless when that has happened. */
void FastRingLink(struct FastRing* ring, struct FastRingMember* member, const struct FastRingMemberFunctions* functions);
void FastRingUnlink(struct FastRing* ring, struct FastRingMember* member);

/* Keeps memory for ever that the kernel may still write to, so that a leak checker knows of it. It
 * stays as it is. */
void FastRingLeak(const void* memory);

/* ---- operations ---- */

struct FastEngine* FastRingEngine(struct FastRing* ring);

/* Reserves an entry for an operation, zeroed, user_data set; counts it as in flight until its final
 * completion. NULL when the queue is full: return false from the work function. Only in work. */
struct io_uring_sqe* FastRingReserve(struct FastRing* ring, struct FastOperation* operation);

/* Entries that can be reserved right now: for chains, which must not be split. */
unsigned FastRingRoom(struct FastRing* ring);

/* Memory for message headers and io vectors of entries reserved in this phase: valid until the next
 * enter. NULL when it is used up: return false from the work function. At most 64 KiB each. */
void* FastRingScratch(struct FastRing* ring, size_t size);

/* Until what is reserved by now has entered the kernel, its SIGPIPE does not reach the program. */
void FastRingGuardPipe(struct FastRing* ring);

/* Prepares the cancellation of what has target as its user_data. operation reports the result, which
 * means nothing: only the target's own final completion counts. Returns false when the queue is
 * full. Only in work. While a cancellation is in flight, target must not be submitted again. */
bool FastRingCancel(struct FastRing* ring, struct FastOperation* operation, const struct FastOperation* target);

/* ---- buffer groups: for operations of users, whose completions name buffers of a provider ---- */

struct FastRingGroup
{
    struct FastRingGroup* next;
    uint16_t id;
    uint64_t first; /* completions before this one name buffers of another that had the id before */

    /*
     * A completion of a user's operation is about to be told: the buffer id, and those behind it if it is
     * a bundle of length bytes, are the user's from now on. Returns the user_data by which the completion,
     * and no later one of the same buffer, is known when they are advanced; or 0, with the buffers back in
     * their ring, if the completion can't be true.
     */
    uint64_t (*claim)(struct FastRingGroup* group, uint16_t id, size_t length, bool bundle);

    /* Nobody has taken what was claimed so: it goes back into its ring. What was advanced is left alone. */
    void (*unclaim)(struct FastRingGroup* group, uint16_t id, size_t length, bool bundle);
};

void FastRingAddGroup(struct FastRing* ring, struct FastRingGroup* group);
void FastRingRemoveGroup(struct FastRing* ring, struct FastRingGroup* group); /* harmless if it was not added */
struct FastRingGroup* FastRingFindGroup(const struct FastRing* ring, uint16_t id);

/* The number of the next completion to come; to be asked before a group's first buffer is published. */
uint64_t FastRingNextCompletion(const struct FastRing* ring);

/* The group that the completion which is being handled may name; NULL: none of ours. */
struct FastRingGroup* FastRingFindNamedGroup(const struct FastRing* ring, uint16_t id);

/* A completion contradicts what was given to the kernel, and is refused: it is counted, and the ring uses
 * neither bundles nor byte caps any more. */
void FastRingDistrust(struct FastRing* ring);

/* ---- what can't wait for the next turn: on the ring's thread, in callbacks and between turns; not in work ---- */

/* Ends target in the kernel, which then holds no file of its any more; its completion comes as ever.
 * *canceling: a cancellation is in flight, reported to cancel; becomes true if one was needed. Returns false
 * if the end comes later, by that cancellation or the next: the kernel took nothing. */
bool FastRingLetGo(struct FastRing* ring, struct FastOperation* cancel, bool* canceling,
                   const struct FastOperation* target);

/* Reserves as FastRingReserve, after an enter if the queue is full. */
struct io_uring_sqe* FastRingReserveNow(struct FastRing* ring, struct FastOperation* operation);
int FastRingEnterNow(struct FastRing* ring); /* submits and collects, handles nothing; as the engine's enter */

/* Takes the final completion of an operation out of the queue: its function won't be called. */
bool FastRingTakeNow(struct FastRing* ring, const struct FastOperation* operation, int* result);

/* ---- phases of the turn ---- */

void FastRingDefer(struct FastRing* ring, struct FastTask* task);  /* run before the next enter: the only place to reserve */
void FastRingNotify(struct FastRing* ring, struct FastTask* task); /* run when the batch is reaped: the place to call users */
uint64_t FastRingTurn(const struct FastRing* ring);                /* the number of this turn */
void FastRingYield(struct FastRing* ring);                         /* reap no more in this turn */

/* ---- timers: functions run after the notices ---- */

int64_t FastRingNow(struct FastRing* ring);                                                 /* nanoseconds, CLOCK_MONOTONIC */
void FastRingSetTimer(struct FastRing* ring, struct FastTimer* timer, int64_t nanoseconds); /* from now */
void FastRingStopTimer(struct FastRing* ring, struct FastTimer* timer);

/* ---- waking ---- */

/* Something that another thread wants run on the ring's thread, in the notices' phase. */
struct FastRingCall
{
    void (*function)(struct FastRingCall* call);
    struct FastRingCall* _Atomic next;
    atomic_bool pending;
};

/* Any thread, async-signal-safe. The call must live until it has run; submits before that merge.
 * Returns -ECANCELED when the ring is gone, -EPERM in a forked child. Calls pending when the ring ends are run before it is
 * gone or are dropped (pending stays true: nothing of the ring refers to them then). */
int FastRingSubmitCall(struct FastRing* ring, struct FastRingCall* call);

/* Work of those that an allocation has failed, to be run when memory may be had again: told by
 * FastRingMemoryReturned, or after a while at the latest. */
void FastRingWaitMemory(struct FastRing* ring, struct FastTask* task);
void FastRingMemoryReturned(struct FastRing* ring); /* ring's thread */

/* Runs when the first WaitForFastRing has made the calling thread the ring's. */
struct FastRingStarter
{
    struct FastRingStarter* next;
    void (*function)(struct FastRingStarter* starter);
};
bool FastRingIsStarted(const struct FastRing* ring);
void FastRingAddStarter(struct FastRing* ring, struct FastRingStarter* starter);
void FastRingRemoveStarter(struct FastRing* ring, struct FastRingStarter* starter);

/* ---- levels that sockets share ---- */

/* Waits for something that is scarce; in at most one list at a time. Zeroed with a function is idle. */
struct FastWaiter
{
    struct FastWaiter* next;
    struct FastWaiterList* list; /* NULL: not waiting */
    struct FastWaiter* previous;
    void (*function)(struct FastWaiter* waiter);
    uint32_t mark; /* the list's owner's: when the shortage was met */
};

struct FastWaiterList
{
    struct FastWaiter* first; /* served next */
    struct FastWaiter* last;
};

void FastWaiterAdd(struct FastWaiterList* list, struct FastWaiter* waiter); /* at the end, unless it waits already */
void FastWaiterRemove(struct FastWaiter* waiter);                           /* harmless when it does not wait */
bool FastWaiterServe(struct FastWaiterList* list);                          /* removes the first and calls it; false: empty */

/* Unread bytes of all sockets, against FASTRING_OPTION_INBOUND_LIMIT. A waiter of a socket that
 * stopped because of the limit is served when there is room again. */
void FastRingAddInbound(struct FastRing* ring, size_t length);
void FastRingTakeInbound(struct FastRing* ring, size_t length);
bool FastRingInboundIsFull(const struct FastRing* ring);
uint64_t FastRingInboundLimit(const struct FastRing* ring);
void FastRingWaitInbound(struct FastRing* ring, struct FastWaiter* waiter);

/* Bytes that each pool may keep free: FASTRING_OPTION_POOL_RESERVE. */
size_t FastRingPoolReserve(const struct FastRing* ring);

/* The next power of two; length is at most 2^31. */
uint32_t FastRingRoundUp(uint32_t length);

/* What every Get…Statistics does: min(size, known) bytes, the rest of size zeroed. */
void FastCopyStatistics(void* target, size_t size, const void* source, size_t known);

void FastRingCountPending(struct FastRing* ring, int change); /* GetFastRingPending */
void FastRingCountStarvation(struct FastRing* ring);

#endif
