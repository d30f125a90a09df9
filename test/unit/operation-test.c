/*
 * Users' own operations that buffers are lent to, on a ring without a kernel: the test says which
 * buffer the kernel takes, when, and of which of the providers that have had the number.
 */
#include "fixture.h"
#include "memory/provider.h"
#include "ring/life.h"
#include "simulated.h"

#include <liburing.h>

enum
{
    COUNT = 4,
    LENGTH = 64,
    GROUP = 7,
};

static struct FastRing* ring;
static struct Simulated kernel;
static struct FastRingDescriptor* descriptor;
static int told;
static int result;
static struct FastRingBufferProvider* asked; /* by the handler, for the buffer */
static uint8_t* buffer;                      /* that it had */
static int advanced;

/* ---- providers, which count what they have given back ---- */

struct Maker
{
    struct FastRingBufferProvider* provider;
    int made;
    int released;
};

static struct Maker makers[3];

static void* make(size_t length, void* closure)
{
    ((struct Maker*)closure)->made++;
    return malloc(length);
}

#define RELEASER(number)                      \
    static void release##number(void* memory) \
    {                                         \
        makers[number].released++;            \
        free(memory);                         \
    }

RELEASER(0)
RELEASER(1)
RELEASER(2)

static const ReleaseRingBufferFunction releasers[] = {release0, release1, release2};

static struct FastRingBufferProvider* create(int number, uint16_t group)
{
    struct Maker* maker = &makers[number];
    maker->provider = CreateFastRingBufferProvider(ring, group, COUNT, LENGTH, make, maker);
    ck_assert_ptr_nonnull(maker->provider);
    return maker->provider;
}

static void release(int number)
{
    ReleaseFastRingBufferProvider(makers[number].provider, releasers[number]);
    makers[number].provider = NULL;
}

/* ---- the operation ---- */

static int onCompletion(struct FastRingDescriptor* which, struct io_uring_cqe* completion,
                        int reason)
{
    ck_assert_ptr_eq(which, descriptor);
    if (reason == FASTRING_REASON_RELEASED)
        return 1;
    told++;
    result = completion->res;
    buffer = asked != NULL ? GetFastRingBuffer(asked, completion) : NULL;
    if (buffer != NULL)
        advanced += AdvanceFastRingBuffer(asked, completion, NULL, NULL) == 0;
    return 1;
}

static void run(void)
{
    for (int turn = 0; turn < 3; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

static void submit(uint16_t group)
{
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv(entry, 0, NULL, LENGTH, MSG_WAITALL);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = group;
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    run();
    ck_assert_ptr_nonnull(simulatedFindCode(&kernel, IORING_OP_RECV));
}

/* The kernel has taken a buffer, and fills it. */
static const struct io_uring_buf* take(uint16_t group)
{
    const struct io_uring_buf* taken = simulatedTakeBuffer(&kernel, group);
    ck_assert_ptr_nonnull(taken);
    memset((void*)(uintptr_t)taken->addr, 'x', LENGTH);
    return taken;
}

static void complete(uint16_t id, uint32_t flags)
{
    const struct io_uring_sqe* entry = simulatedFindCode(&kernel, IORING_OP_RECV);
    ck_assert_ptr_nonnull(entry);
    simulatedComplete(&kernel, entry->user_data, LENGTH,
                      flags | IORING_CQE_F_BUFFER | (uint32_t)id << IORING_CQE_BUFFER_SHIFT);
    run();
    ck_assert_int_eq(result, LENGTH);
}

static void setUp(void)
{
    ring = FastRingCreateOn(simulatedOpen(&kernel));
    ck_assert_ptr_nonnull(ring);
    descriptor = AllocateFastRingDescriptor(ring, onCompletion, NULL);
    ck_assert_ptr_nonnull(descriptor);
}

static void tearDown(void)
{
    struct FastRingStatistics statistics;
    ck_assert_int_eq(GetFastRingStatistics(ring, &statistics, sizeof(statistics)), 0);
    ck_assert_uint_eq(statistics.invalidCompletions, 0);
    ReleaseFastRingDescriptor(descriptor);
    for (int number = 0; number < 3; number++)
        release(number);
    ReleaseFastRing(ring);
    for (int number = 0; number < 3; number++)
        ck_assert_int_eq(makers[number].released, makers[number].made);
}

AREA(operation, "operation", .open = setUp, .close = tearDown);

/* All buffers wait for input, each once. */
static void expectAll(const struct FastRingBufferProvider* provider)
{
    const void* found[COUNT] = {NULL};
    for (int index = 0; index < COUNT; index++) {
        found[index] = (const void*)(uintptr_t)take(FastProviderGroup(provider))->addr;
        for (int other = 0; other < index; other++)
            ck_assert_ptr_ne(found[other], found[index]);
    }
    ck_assert_ptr_null(simulatedTakeBuffer(&kernel, FastProviderGroup(provider)));
}

/* ---- a maker that cancels ---- */

static int asks; /* of the maker since it was refused the first time */

/* One at first, and then it cancels the operation that waits for more. */
static void* makeLate(size_t length, void* closure)
{
    if (((struct Maker*)closure)->made == 0)
        return make(length, closure);
    if (asks++ == 0)
        return NULL;
    (void)CancelFastRingDescriptor(descriptor);
    return make(length, closure);
}

static void createLate(void)
{
    makers[0].provider = CreateFastRingBufferProvider(ring, GROUP, COUNT, LENGTH, makeLate,
                                                      &makers[0]);
    ck_assert_ptr_nonnull(makers[0].provider);
}

/* As an operation enters, the group is filled by what the library makes alone: a user's maker is
 * asked by the refill, before or after, and may cancel there. That is told once. */
CASE_ROUNDS(operation, mayBeCanceledByAMaker, 2)
{
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    if (round == 0)
        createLate();
    io_uring_prep_recv(entry, 0, NULL, LENGTH, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = GROUP;
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    if (round == 1)
        createLate();
    for (int turn = 0; turn < 1000 && told == 0; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 1, NULL), 0);
    run();
    ck_assert_int_gt(asks, 1);
    ck_assert_int_eq(told, 1);
    ck_assert_int_eq(result, -ECANCELED);
    ck_assert_ptr_null(simulatedFindCode(&kernel, IORING_OP_RECV));
}

/* ---- a number that has come again ---- */

/* §2.3 own operations: a number that an operation in the kernel names is not picked for others */
CASE(operation, keepsItsNumber)
{
    uint16_t group = GetFastRingBufferGroup(create(0, 0));
    submit(group);
    uint16_t id = take(group)->bid;
    release(0);
    ck_assert_uint_ne(GetFastRingBufferGroup(create(1, 0)), group);
    complete(id, 0);
    ck_assert_int_eq(makers[0].released, COUNT);
    ck_assert_uint_eq(GetFastRingBufferGroup(create(2, 0)), group);
}

/* §2.3 own operations: the buffer of a released provider is not taken for one of the next */
CASE_ROUNDS(operation, isNotFilledByAnother, 2)
{
    create(0, GROUP);
    submit(GROUP);
    (void)take(GROUP);
    uint16_t id = take(GROUP)->bid;
    release(0);
    asked = create(1, GROUP);
    if (round == 1) { /* with all ids out */
        release(1);
        asked = create(2, GROUP);
    }
    complete(id, 0);
    ck_assert_int_eq(told, 1);
    ck_assert_ptr_null(buffer);
    ck_assert_int_eq(makers[0].released, COUNT);
    expectAll(asked);
}

/* §2.3 own operations: it may take one of the next provider's, and has it then, whatever becomes
 * of that one */
CASE(operation, mayTakeTheNextOnes)
{
    create(0, GROUP);
    submit(GROUP);
    release(0);
    asked = create(1, GROUP);
    const struct io_uring_buf* taken = take(GROUP);
    const void* address = (const void*)(uintptr_t)taken->addr;
    complete(taken->bid, IORING_CQE_F_MORE);
    ck_assert_ptr_eq(buffer, address);
    ck_assert_int_eq(advanced, 1);
    ck_assert_int_eq(makers[0].released, 0); /* it may have one of these, too */
    uint16_t id = take(GROUP)->bid;
    asked = NULL;
    release(1);
    ck_assert_int_eq(makers[1].released, 0);
    asked = create(2, GROUP);
    complete(id, 0);
    ck_assert_ptr_null(buffer);
    ck_assert_int_eq(makers[0].released, COUNT);
    ck_assert_int_eq(makers[1].released, COUNT);
    expectAll(asked);
}

static void* makeAnything(size_t length, void* closure)
{
    (void)length;
    (void)closure;
    return &makers;
}

static struct FastRingBufferProvider* createLargest(void)
{
    return CreateFastRingBufferProvider(ring, GROUP, 32768, LENGTH, makeAnything, NULL);
}

/* Two of the largest have all ids that there are. */
CASE(operation, mayHaveBuffersOfTwoLargest)
{
    ReleaseFastRingBufferProvider(createLargest(), NULL);
    struct FastRingBufferProvider* first = createLargest();
    ck_assert_ptr_nonnull(first);
    submit(GROUP);
    uint16_t id = simulatedTakeBuffer(&kernel, GROUP)->bid;
    ReleaseFastRingBufferProvider(first, NULL);
    struct FastRingBufferProvider* second = createLargest();
    ck_assert_ptr_nonnull(second);
    ReleaseFastRingBufferProvider(second, NULL);
    ck_assert_ptr_null(createLargest());
    ck_assert_int_eq(errno, EEXIST);
    complete(id, 0);
    second = createLargest();
    ck_assert_ptr_nonnull(second);
    ReleaseFastRingBufferProvider(second, NULL);
}

/* ---- cancellations that miss ---- */

static int misses;
static int cancels;

/* The target is on its way to a thread, or back: it is not found, and not over either. */
static bool miss(struct Simulated* which, const struct io_uring_sqe* entry)
{
    if (entry->opcode != IORING_OP_ASYNC_CANCEL)
        return false;
    cancels++;
    if (misses-- <= 0)
        return false;
    simulatedComplete(which, entry->user_data, -ENOENT, 0);
    return true;
}

static void missCancels(int count)
{
    create(0, GROUP);
    submit(GROUP);
    kernel.enter = miss;
    misses = count;
    cancels = 0;
    told = 0;
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    for (int turn = 0; turn < 100; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

/* It is made again, and the operation ends. */
CASE(operation, isCanceledThoughItWasMissed)
{
    missCancels(3);
    ck_assert_int_eq(told, 1);
    ck_assert_int_eq(result, -ECANCELED);
    ck_assert_int_eq(cancels, 4);
}

/* Not for ever, since what is never found may be waited for by nothing but a notification; another
 * call asks again. */
CASE(operation, isNotCanceledForEver)
{
    missCancels(1000);
    ck_assert_int_eq(told, 0);
    ck_assert_int_lt(cancels, 20);
    misses = 1;
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    run();
    run();
    ck_assert_int_eq(told, 1);
}
