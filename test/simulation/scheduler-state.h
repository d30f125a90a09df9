/* The state of the scheduler, for its own files: what is in flight, and what is kept back. */
#ifndef TEST_SIMULATION_SCHEDULER_STATE_H
#define TEST_SIMULATION_SCHEDULER_STATE_H

#include "kernel-memory.h"
#include "scheduler.h"

#include <liburing.h>

enum
{
    SCHEDULER_ENTRIES = 64,
    SCHEDULER_COMPLETIONS = 256,
    SCHEDULER_OPERATIONS = 512,
    SCHEDULER_PENDING = 2048,
    SCHEDULER_CANCELS = 64,
    CLASS_GROUP = 1, /* of receives that take buffers of one group */
    CLASS_OWN = 2,   /* of an operation, or of a chain */
    CLASS_COUNT = 4,
};

struct Operation
{
    bool used;
    bool endedBelow; /* the engine has no more for it */
    bool endedAbove; /* its last completion is known */
    bool answered;   /* with answer, in place of what the engine says */
    bool held;       /* a program's own: its descriptor may be closed */
    uint8_t opcode;
    uint8_t flags;
    uint16_t priority;
    uint16_t group;
    uint32_t pending; /* completions that are kept back */
    uint32_t lies;    /* of cancellations of it, that nothing was found */
    int32_t answer;
    int32_t handle;
    uint64_t owner;
    uint64_t below;  /* its name below */
    uint64_t class;  /* those of one keep their order, but for mayOvertake */
    uint64_t wanted; /* bytes, for the table */
    struct Guard guard;
};

/* A completion on its way. */
struct Pending
{
    struct Operation* operation;
    int32_t result;
    uint32_t flags;
    uint64_t due;
};

/* An entry that was given to the engine below, which may not have the memory to take it. */
struct Passed
{
    struct Operation* operation; /* NULL: a cancellation of ours */
    uint64_t target;
    bool held;
};

struct Scheduler
{
    struct FastEngine base;
    struct FastEngine* below;
    bool counts;
    uint64_t clock; /* enters, in which what is kept back becomes due */

    struct io_uring_sqe entries[SCHEDULER_ENTRIES];
    bool held[SCHEDULER_ENTRIES];
    unsigned submissionHead;

    uint64_t completions[SCHEDULER_COMPLETIONS][2]; /* struct io_uring_cqe */
    unsigned completionHead;
    unsigned completionTail;
    unsigned flags;

    struct Operation operations[SCHEDULER_OPERATIONS];
    uint32_t used; /* operations that were ever used: those from here on never were */
    uint64_t serial;
    uint64_t chain; /* class of the chain that is being submitted, or 0 */

    struct Passed passed[2 * SCHEDULER_ENTRIES]; /* by the running enter */
    uint32_t passedCount;

    struct Pending pending[SCHEDULER_PENDING];
    uint32_t pendingCount;

    uint64_t cancels[SCHEDULER_CANCELS]; /* names below of what has ended above */
    uint32_t cancelCount;
};

extern struct Scheduler scheduler;

static inline bool schedulerIsMultishot(const struct Operation* operation)
{
    switch (operation->opcode) {
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
        return operation->priority & IORING_RECV_MULTISHOT;
    case IORING_OP_ACCEPT:
        return operation->priority & IORING_ACCEPT_MULTISHOT;
    case IORING_OP_POLL_ADD:
        return operation->wanted & IORING_POLL_ADD_MULTI;
    default:
        return false;
    }
}

/* scheduler-entry.c: gives entries to the engine below, at most so many; what it should cancel
 * first. */
void schedulerPassEntries(uint32_t most);
void schedulerPassCancels(void);
/* Those that it has not taken are as if they had not been given to it. */
void schedulerTakeBack(void);

/* scheduler-end.c: completions of the engine below are taken over; and what goes on may end. */
void schedulerCollect(void);
void schedulerEndSome(void);
/* What goes on ends with the last completion that is kept back of it, if there is one that can be
 * the last. */
void schedulerCutOff(struct Operation* operation);

void schedulerFreeIfOver(struct Operation* operation);

#endif
