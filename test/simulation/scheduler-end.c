/* Completions on their way up, and ends of what would go on. */
#include "scheduler-state.h"

#include "outcomes.h"
#include "schedule.h"

#include "engine/uring-compat.h"

#include <errno.h>

enum
{
    LONGEST_DELAY = 8, /* enters */
    LONGEST_NOTICE = 40,
};

void schedulerFreeIfOver(struct Operation* operation)
{
    if (operation->endedBelow && operation->endedAbove && operation->pending == 0)
        operation->used = false;
}

/* ---- kept back ---- */

static void keep(struct Operation* operation, int32_t result, uint32_t flags)
{
    uint64_t due = scheduler.clock;

    if (scheduler.pendingCount == SCHEDULER_PENDING)
        wrong("the simulation has too many completions");
    if (flags & IORING_CQE_F_NOTIF && happens(FAULT_NOTICE))
        due += choose(LONGEST_NOTICE);
    else if (happens(FAULT_DELAY))
        due += 1 + choose(LONGEST_DELAY);
    scheduler.pending[scheduler.pendingCount++] =
        (struct Pending){operation, result, flags, due};
    operation->pending++;
    if (!(flags & IORING_CQE_F_MORE))
        operation->endedAbove = true;
}

static bool isZeroCopy(const struct Operation* operation)
{
    return operation->opcode == IORING_OP_SEND_ZC || operation->opcode == IORING_OP_SENDMSG_ZC;
}

/* An error may come with a notification or without. */
static void keepError(struct Operation* operation, int32_t result)
{
    bool noticed = isZeroCopy(operation) && (run->calm || !happens(FAULT_NOTICE));

    keep(operation, result, noticed ? IORING_CQE_F_MORE : 0);
    if (noticed)
        keep(operation, 0, IORING_CQE_F_NOTIF);
}

/* What the engine says of one that it was given. */
static void take(struct Operation* operation, int32_t result, uint32_t flags)
{
    if (operation->answered) {
        keepError(operation, operation->answer);
        return;
    }
    if (result < 0 && flags & IORING_CQE_F_MORE && happens(FAULT_NOTICE)) {
        keep(operation, result, 0);
        return;
    }
    if (flags & IORING_CQE_F_NOTIF && result != 0 && happens(FAULT_NOTICE))
        result = 0; /* not copied after all */
    keep(operation, result, flags);
}

void schedulerCollect(void)
{
    const struct io_uring_cqe* entry;

    while ((entry = FastEnginePeek(scheduler.below)) != NULL) {
        struct io_uring_cqe copy = *entry;
        FastEngineAdvance(scheduler.below);
        if (copy.user_data == UINT64_MAX)
            continue;
        struct Operation* operation = &scheduler.operations[copy.user_data & UINT16_MAX];
        if (!operation->used || operation->below != copy.user_data || operation->endedBelow)
            wrong("the engine completes what is not in flight");
        if (!(copy.flags & IORING_CQE_F_MORE))
            operation->endedBelow = true;
        if (!operation->endedAbove)
            take(operation, copy.res, copy.flags);
        else if (copy.flags & IORING_CQE_F_BUFFER)
            wrong("the simulation loses a buffer");
        schedulerFreeIfOver(operation);
    }
}

/* ---- ends ---- */

static struct Pending* lastOf(const struct Operation* operation)
{
    for (uint32_t index = scheduler.pendingCount; index > 0; index--)
        if (scheduler.pending[index - 1].operation == operation)
            return &scheduler.pending[index - 1];
    return NULL;
}

static void cancelBelow(const struct Operation* operation)
{
    if (operation->endedBelow)
        return;
    if (scheduler.cancelCount == SCHEDULER_CANCELS)
        wrong("the simulation has too many ends");
    scheduler.cancels[scheduler.cancelCount++] = operation->below;
}

void schedulerCutOff(struct Operation* operation)
{
    struct Pending* last = lastOf(operation);

    if (operation->endedAbove || scheduler.cancelCount == SCHEDULER_CANCELS || last == NULL ||
        !(last->flags & IORING_CQE_F_MORE))
        return;
    tell("operation %u ends with its last completion", operation->opcode);
    last->flags &= ~(uint32_t)IORING_CQE_F_MORE;
    operation->endedAbove = true;
    cancelBelow(operation);
}

/* Behind data, so that nobody can take it for the second such end in a row. */
static void endByError(struct Operation* operation)
{
    bool receives = operation->opcode == IORING_OP_RECV || operation->opcode == IORING_OP_RECVMSG;
    bool empty = receives && groupAvailable(operation->group) == 0;

    tell("operation %u ends by an errno", operation->opcode);
    keep(operation, empty ? -ENOBUFS : -ECANCELED, 0);
    cancelBelow(operation);
}

void schedulerEndSome(void)
{
    for (uint32_t index = 0; index < scheduler.used; index++) {
        struct Operation* operation = &scheduler.operations[index];
        if (!operation->used || operation->endedAbove || operation->pending == 0 ||
            !schedulerIsMultishot(operation) || !happens(FAULT_END) ||
            scheduler.cancelCount == SCHEDULER_CANCELS)
            continue;
        if (choose(2) == 0)
            schedulerCutOff(operation);
        else
            endByError(operation);
    }
}
