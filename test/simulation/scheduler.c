#include "scheduler.h"

#include "memory-system.h"
#include "outcomes.h"
#include "schedule.h"
#include "scheduler-state.h"

#include "engine/soft.h"
#include "engine/uring-compat.h"

#include <errno.h>
#include <string.h>

enum
{
    ENTER_NS = 1000,        /* that each enter takes */
    MOST_WAIT_NS = 1000000, /* until what is kept back comes */
};

struct Scheduler scheduler;

/* ---- completions go up ---- */

static unsigned roomAbove(void)
{
    return scheduler.base.completion.mask + 1 -
           (scheduler.completionTail - scheduler.completionHead);
}

static void checkGuard(const struct Pending* pending)
{
    const struct Operation* operation = pending->operation;

    if (!(pending->flags & IORING_CQE_F_MORE) && !guardIsUntouched(&operation->guard))
        wrong("what operation %u sends was touched before its end", operation->opcode);
}

static void giveBuffers(const struct Pending* pending)
{
    const struct Operation* operation = pending->operation;
    bool bundle = operation->opcode == IORING_OP_RECV &&
                  operation->priority & FAST_URING_RECVSEND_BUNDLE;

    if (pending->flags & IORING_CQE_F_BUFFER)
        groupGive(operation->group, (uint16_t)(pending->flags >> IORING_CQE_BUFFER_SHIFT),
                  pending->result > 0 ? (uint32_t)pending->result : 0, bundle);
}

static void deliver(uint32_t place)
{
    struct Pending pending = scheduler.pending[place];
    struct Operation* operation = pending.operation;
    unsigned tail = scheduler.completionTail;
    struct io_uring_cqe* entry =
        &scheduler.base.completion.entries[tail & scheduler.base.completion.mask];

    memmove(&scheduler.pending[place], &scheduler.pending[place + 1],
            (--scheduler.pendingCount - place) * sizeof(pending));
    tell("completion of %u on %d: %d, flags %x, group %u has %u", operation->opcode,
         operation->handle, pending.result, pending.flags, operation->group,
         groupAvailable(operation->group));
    checkGuard(&pending);
    giveBuffers(&pending);
    outcomeNote(operation->opcode, schedulerIsMultishot(operation), operation->wanted,
                pending.result, pending.flags);
    entry->user_data = operation->owner;
    entry->res = pending.result;
    entry->flags = pending.flags;
    scheduler.completionTail = tail + 1;
    operation->pending--;
    schedulerFreeIfOver(operation);
}

/* The first that is kept back of the class of the one at a place. */
static uint32_t firstOfClass(uint32_t place)
{
    uint64_t class = scheduler.pending[place].operation->class;
    uint32_t first = 0;

    while (scheduler.pending[first].operation->class != class)
        first++;
    return first;
}

/* Receives of one group of buffers may overtake each other, as a last completion does that waits
 * for the end of the enter, but none that comes in a later one. */
static bool mayOvertake(const struct Operation* operation, const struct Pending* earlier)
{
    return operation->class != earlier->operation->class ||
           (operation->class % CLASS_COUNT == CLASS_GROUP && operation != earlier->operation &&
            earlier->due <= scheduler.clock);
}

static bool isDue(uint32_t place)
{
    bool due = scheduler.pending[place].due <= scheduler.clock;

    for (uint32_t earlier = 0; earlier < place && due; earlier++)
        due = mayOvertake(scheduler.pending[place].operation, &scheduler.pending[earlier]);
    return due;
}

/* The next that goes up; pendingCount: none does. */
static uint32_t findNext(void)
{
    uint32_t count = scheduler.pendingCount;
    uint32_t start = count > 1 && happens(FAULT_ORDER) ? choose(count) : 0;

    for (uint32_t index = 0; index < count; index++) {
        uint32_t place = (start + index) % count;
        if (isDue(place))
            return place;
    }
    return count;
}

static bool deliverDue(void)
{
    while (roomAbove() > 0) {
        uint32_t place = findNext();
        if (place == scheduler.pendingCount)
            return false;
        deliver(place);
    }
    return findNext() != scheduler.pendingCount;
}

/* What there is no room for ends what goes on. */
static void overflow(void)
{
    for (uint32_t place = 0; place < scheduler.pendingCount; place++) {
        struct Operation* operation = scheduler.pending[place].operation;
        if (schedulerIsMultishot(operation))
            schedulerCutOff(operation);
    }
}

static void deliverAll(void)
{
    bool full = deliverDue();

    if (full)
        overflow();
    bool more = *scheduler.below->completion.flags != 0 || memorySystemIsReady();
    scheduler.flags = more ? IORING_SQ_TASKRUN : 0;
    if (full)
        scheduler.flags = IORING_SQ_CQ_OVERFLOW;
}

/* Time goes by until one of those that are kept back comes. */
static void skipToNext(void)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t place = 0; place < scheduler.pendingCount; place++)
        if (firstOfClass(place) == place && scheduler.pending[place].due < next)
            next = scheduler.pending[place].due;
    if (next > scheduler.clock)
        scheduler.clock = next;
}

/* ---- the enter ---- */

static int runBelow(int64_t timeout)
{
    int result = scheduler.below->functions->enter(scheduler.below, timeout, NULL);

    run->rich = false;
    schedulerTakeBack();
    groupsLeave();
    schedulerCollect();
    schedulerEndSome();
    deliverAll();
    scheduler.base.due = scheduler.below->due;
    return result;
}

static bool hasNothing(void)
{
    return scheduler.completionHead == scheduler.completionTail;
}

/* Until there is a completion, or the time is over. */
static int waitFor(int64_t timeout)
{
    if (scheduler.pendingCount == 0) {
        int result = runBelow(timeout);
        if (!hasNothing() || scheduler.pendingCount == 0)
            return result;
    } else {
        timePass(timeout > 0 && timeout < MOST_WAIT_NS ? timeout : MOST_WAIT_NS);
        if (timeout > 0 && happens(FAULT_DELAY))
            return 0;
    }
    skipToNext();
    deliverAll();
    return 0;
}

/* What an enter says that the kernel refuses; so many entries it has taken all the same. */
static int refuse(uint32_t* most)
{
    static const int errors[] = {EINTR, EAGAIN, EBUSY, ENOMEM};

    *most = UINT32_MAX;
    if (!happens(FAULT_ENTER))
        return 0;
    int error = errors[choose(4)];
    *most = choose(2) == 0 ? 0 : choose(SCHEDULER_ENTRIES);
    tell("enter says %d", error);
    return -error;
}

static int enter(struct FastEngine* base, int64_t timeout, const sigset_t* mask)
{
    uint32_t most;
    int refused = refuse(&most);

    (void)mask;
    base->enters++;
    scheduler.clock++;
    timePass(ENTER_NS);
    groupsEnter();
    schedulerPassCancels();
    schedulerPassEntries(most);
    int result = runBelow(0);
    if (refused == 0 && result == 0 && timeout != 0 && hasNothing())
        result = waitFor(timeout);
    groupsForbid();
    return refused != 0 ? refused : result;
}

/* ---- the rest of the table ---- */

static int registerBuffers(struct FastEngine* base, uint16_t group, void* memory, uint32_t entries)
{
    (void)base;
    if (happens(FAULT_CALL))
        return -ENOMEM;
    int result = scheduler.below->functions->registerBuffers(scheduler.below, group, memory,
                                                             entries);
    if (result == 0)
        groupAdd(group, memory, entries);
    return result;
}

static void unregisterBuffers(struct FastEngine* base, uint16_t group)
{
    (void)base;
    groupRemove(group);
    scheduler.below->functions->unregisterBuffers(scheduler.below, group);
}

static uint16_t headOf(uint16_t group)
{
    return (uint16_t)scheduler.below->functions->countTakenBuffers(scheduler.below, group);
}

static int countTakenBuffers(struct FastEngine* base, uint16_t group)
{
    (void)base;
    if (!scheduler.counts)
        return -EINVAL;
    return scheduler.below->functions->countTakenBuffers(scheduler.below, group);
}

static void hold(struct FastEngine* base, const struct io_uring_sqe* entry)
{
    (void)base;
    scheduler.held[entry - scheduler.entries] = true;
}

static void forget(struct FastEngine* base, int handle)
{
    (void)base;
    FastEngineForget(scheduler.below, handle);
}

static void prepareWake(struct FastEngine* base, struct io_uring_sqe* entry)
{
    (void)base;
    scheduler.below->functions->prepareWake(scheduler.below, entry);
}

static void wake(struct FastEngine* base)
{
    (void)base;
    scheduler.below->functions->wake(scheduler.below);
}

static int getHandle(struct FastEngine* base)
{
    (void)base;
    return scheduler.below->functions->getHandle(scheduler.below);
}

static void clearHandle(struct FastEngine* base)
{
    (void)base;
}

static void closeEngine(struct FastEngine* base)
{
    (void)base;
    groupsEnd();
    scheduler.below->functions->close(scheduler.below);
}

static void closeHandles(struct FastEngine* base)
{
    (void)base;
    scheduler.below->functions->closeHandles(scheduler.below);
}

static void destroyEngine(struct FastEngine* base)
{
    (void)base;
    scheduler.below->functions->destroy(scheduler.below);
}

static const struct FastEngineFunctions functions = {
    .name = "simulated",
    .enter = enter,
    .registerBuffers = registerBuffers,
    .unregisterBuffers = unregisterBuffers,
    .countTakenBuffers = countTakenBuffers,
    .hold = hold,
    .forget = forget,
    .prepareWake = prepareWake,
    .wake = wake,
    .getHandle = getHandle,
    .clearHandle = clearHandle,
    .close = closeEngine,
    .closeHandles = closeHandles,
    .destroy = destroyEngine,
};

/* Who is told that there is work hears of it when it comes. */
void schedulerNoteWork(void)
{
    scheduler.flags |= IORING_SQ_TASKRUN;
}

uint32_t schedulerHeld(int handle)
{
    uint32_t count = 0;

    for (uint32_t index = 0; index < scheduler.used; index++) {
        const struct Operation* operation = &scheduler.operations[index];
        count += operation->used && operation->held && operation->handle == handle;
    }
    return count;
}

uint32_t schedulerUses(int handle)
{
    uint32_t count = 0;

    for (uint32_t index = 0; index < scheduler.used; index++) {
        const struct Operation* operation = &scheduler.operations[index];
        count += operation->used && !operation->endedBelow && !operation->held &&
                 operation->handle == handle;
    }
    return count;
}

bool schedulerIsFaithful(void)
{
    return run->odds[FAULT_CANCEL] == 0 && run->odds[FAULT_ENTER] == 0 &&
           run->odds[FAULT_MEMORY] == 0 && run->odds[FAULT_END] == 0;
}

uint32_t schedulerKeptBack(void)
{
    return scheduler.pendingCount;
}

/* ---- opening ---- */

static void forgetAll(void)
{
    memset(scheduler.operations, 0, scheduler.used * sizeof(scheduler.operations[0]));
    memset(scheduler.held, 0, sizeof(scheduler.held));
    scheduler.used = 0;
    scheduler.clock = 0;
    scheduler.serial = 0;
    scheduler.chain = 0;
    scheduler.pendingCount = 0;
    scheduler.cancelCount = 0;
    scheduler.submissionHead = 0;
    scheduler.completionHead = 0;
    scheduler.completionTail = 0;
    scheduler.flags = 0;
    groupsBegin(headOf);
}

static void describe(const struct SchedulerPlan* plan)
{
    struct FastEngine* base = &scheduler.base;

    *base = (struct FastEngine){
        .functions = &functions,
        .features = (scheduler.below->features & ~plan->hidden) | plan->claimed,
        .inside = plan->inside,
        .alert = plan->alert,
    };
    base->submission.entries = scheduler.entries;
    base->submission.head = &scheduler.submissionHead;
    base->submission.mask = plan->length - 1;
    base->completion.entries = (struct io_uring_cqe*)scheduler.completions;
    base->completion.head = &scheduler.completionHead;
    base->completion.tail = &scheduler.completionTail;
    base->completion.flags = &scheduler.flags;
    base->completion.mask = plan->completions - 1;
}

struct FastEngine* schedulerOpen(struct FastSystem* system, const struct SchedulerPlan* plan)
{
    const uint32_t length = 2 * SCHEDULER_ENTRIES; /* and for cancellations of our own */

    forgetAll();
    scheduler.counts = plan->counts;
    if (FastSoftOpen(&scheduler.below, system, length, plan->hidden) < 0)
        return NULL;
    describe(plan);
    return &scheduler.base;
}
