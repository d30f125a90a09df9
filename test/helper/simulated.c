#include "simulated.h"

#include <Ring/FastRing.h>
#include <check.h>
#include <errno.h>
#include <string.h>

enum
{
    OPCODE_WAKE = 255, /* no kernel's */
};

static struct Simulated* simulated(struct FastEngine* engine)
{
    return (struct Simulated*)engine;
}

/* ---- operations ---- */

static unsigned placeOf(const struct Simulated* kernel, uint64_t owner)
{
    unsigned place = 0;
    while (place < kernel->inFlightCount && kernel->inFlight[place].user_data != owner)
        place++;
    return place;
}

const struct io_uring_sqe* simulatedFind(const struct Simulated* kernel, uint64_t owner)
{
    unsigned place = placeOf(kernel, owner);
    return place < kernel->inFlightCount ? &kernel->inFlight[place] : NULL;
}

const struct io_uring_sqe* simulatedFindCode(const struct Simulated* kernel, uint8_t opcode)
{
    for (unsigned place = 0; place < kernel->inFlightCount; place++)
        if (kernel->inFlight[place].opcode == opcode)
            return &kernel->inFlight[place];
    return NULL;
}

static void addInFlight(struct Simulated* kernel, const struct io_uring_sqe* entry)
{
    ck_assert_uint_lt(kernel->inFlightCount, SIMULATED_FLIGHT);
    kernel->inFlight[kernel->inFlightCount++] = *entry;
}

static void removeInFlight(struct Simulated* kernel, unsigned place)
{
    unsigned behind = --kernel->inFlightCount - place;
    memmove(&kernel->inFlight[place], &kernel->inFlight[place + 1],
            behind * sizeof(kernel->inFlight[0]));
}

void simulatedComplete(struct Simulated* kernel, uint64_t owner, int32_t result, uint32_t flags)
{
    unsigned place = placeOf(kernel, owner);
    ck_assert_uint_lt(place, kernel->inFlightCount);
    ck_assert_uint_lt(kernel->completionTail - kernel->completionHead, SIMULATED_COMPLETIONS);
    if (!(flags & IORING_CQE_F_MORE))
        removeInFlight(kernel, place);
    struct io_uring_cqe* completion =
        &kernel->base.completion.entries[kernel->completionTail & kernel->base.completion.mask];
    completion->user_data = owner;
    completion->res = result;
    completion->flags = flags;
    __atomic_store_n(&kernel->completionTail, kernel->completionTail + 1, __ATOMIC_RELEASE);
}

/* ---- what becomes of an entry ---- */

static void cancel(struct Simulated* kernel, const struct io_uring_sqe* entry)
{
    uint64_t target = entry->addr;
    bool found = simulatedFind(kernel, target) != NULL;
    if (found)
        simulatedComplete(kernel, target, -ECANCELED, 0);
    simulatedComplete(kernel, entry->user_data, found ? 0 : -ENOENT, 0);
}

static void enterEntry(struct Simulated* kernel, const struct io_uring_sqe* entry)
{
    struct io_uring_sqe copy = *entry; /* the queue's place may be reserved again */
    kernel->entered++;
    addInFlight(kernel, &copy);
    if (kernel->enter != NULL && kernel->enter(kernel, &copy))
        return;
    if (copy.opcode == IORING_OP_ASYNC_CANCEL)
        cancel(kernel, &copy);
}

static void completeWake(struct Simulated* kernel)
{
    const struct io_uring_sqe* entry = simulatedFindCode(kernel, OPCODE_WAKE);
    if (entry != NULL && atomic_exchange(&kernel->woken, false))
        simulatedComplete(kernel, entry->user_data, sizeof(uint64_t), 0);
}

/* ---- the table ---- */

static int enter(struct FastEngine* engine, int64_t timeout, const sigset_t* mask)
{
    struct Simulated* kernel = simulated(engine);
    (void)mask;
    kernel->timeout = timeout;
    int result = kernel->refuse != NULL ? kernel->refuse(kernel) : 0;
    if (result != 0)
        return result;
    while (kernel->submissionHead != engine->submission.tail) {
        unsigned place = kernel->submissionHead & engine->submission.mask;
        enterEntry(kernel, &kernel->entries[place]);
        kernel->submissionHead++;
    }
    completeWake(kernel);
    engine->enters++;
    return 0;
}

static struct SimulatedGroup* findGroup(struct Simulated* kernel, uint16_t id)
{
    for (int index = 0; index < SIMULATED_GROUPS; index++)
        if (kernel->groups[index].entries != NULL && kernel->groups[index].id == id)
            return &kernel->groups[index];
    return NULL;
}

static int registerBuffers(struct FastEngine* engine, uint16_t group, void* memory,
                           uint32_t entries)
{
    struct Simulated* kernel = simulated(engine);
    if (kernel->registration < 0)
        return kernel->registration;
    if (findGroup(kernel, group) != NULL)
        return -EEXIST;
    int index = 0;
    while (index < SIMULATED_GROUPS && kernel->groups[index].entries != NULL)
        index++;
    if (index == SIMULATED_GROUPS)
        return -ENOMEM;
    kernel->groups[index] = (struct SimulatedGroup){
        .entries = memory, .count = entries, .id = group};
    return 0;
}

static void unregisterBuffers(struct FastEngine* engine, uint16_t group)
{
    struct SimulatedGroup* found = findGroup(simulated(engine), group);
    ck_assert_ptr_nonnull(found);
    found->entries = NULL;
}

static int countTakenBuffers(struct FastEngine* engine, uint16_t group)
{
    const struct SimulatedGroup* found = findGroup(simulated(engine), group);
    return found != NULL ? found->head : -ENOENT;
}

const struct io_uring_buf* simulatedTakeBuffer(struct Simulated* kernel, uint16_t group)
{
    struct SimulatedGroup* found = findGroup(kernel, group);
    ck_assert_ptr_nonnull(found);
    const struct io_uring_buf_ring* ring = (const struct io_uring_buf_ring*)found->entries;
    if (found->head == __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE))
        return NULL;
    return &found->entries[found->head++ & (found->count - 1)];
}

static int setBusyPoll(struct FastEngine* engine, uint32_t microseconds, bool prefer)
{
    struct Simulated* kernel = simulated(engine);
    kernel->polls++;
    kernel->pollMicroseconds = microseconds;
    kernel->pollPrefers = prefer;
    return kernel->polling;
}

static void prepareWake(struct FastEngine* engine, struct io_uring_sqe* submission)
{
    (void)engine;
    submission->opcode = OPCODE_WAKE;
}

static void wake(struct FastEngine* engine)
{
    atomic_store(&simulated(engine)->woken, true);
}

static int getHandle(struct FastEngine* engine)
{
    (void)engine;
    return -ENOTSUP;
}

static void ignore(struct FastEngine* engine)
{
    (void)engine;
}

static void closeEngine(struct FastEngine* engine)
{
    simulated(engine)->inFlightCount = 0;
    simulated(engine)->closed = true;
}

static void destroyEngine(struct FastEngine* engine)
{
    simulated(engine)->destroyed = true;
}

static const struct FastEngineFunctions functions = {
    .enter = enter,
    .registerBuffers = registerBuffers,
    .unregisterBuffers = unregisterBuffers,
    .countTakenBuffers = countTakenBuffers,
    .setBusyPoll = setBusyPoll,
    .prepareWake = prepareWake,
    .wake = wake,
    .getHandle = getHandle,
    .clearHandle = ignore,
    .close = closeEngine,
    .closeHandles = ignore,
    .destroy = destroyEngine,
};

struct FastEngine* simulatedOpen(struct Simulated* kernel)
{
    memset(kernel, 0, sizeof(*kernel));
    kernel->base.functions = &functions;
    kernel->base.features = FASTRING_FEATURE_RECEIVE_MULTISHOT;
    kernel->base.submission.entries = kernel->entries;
    kernel->base.submission.head = &kernel->submissionHead;
    kernel->base.submission.mask = SIMULATED_ENTRIES - 1;
    kernel->base.completion.entries = (struct io_uring_cqe*)kernel->completions;
    kernel->base.completion.head = &kernel->completionHead;
    kernel->base.completion.tail = &kernel->completionTail;
    kernel->base.completion.flags = &kernel->flags;
    kernel->base.completion.mask = SIMULATED_COMPLETIONS - 1;
    return &kernel->base;
}
