/* A provider on a ring without a kernel: what it puts where, and what it believes. */
#include "fixture.h"
#include "memory/provider.h"
#include "ring/state.h"

#include <limits.h>

enum
{
    COUNT = 4,
    LENGTH = 64,
    GROUP = 7,
    BUFFERS = 32,
    UNTOLD = -1, /* countTakenBuffers can't say */
};

/* ---- the engine ---- */

static struct io_uring_buf* published; /* the kernel's view of the ring */
static uint32_t publishedCount;
static uint16_t publishedGroup;
static uint16_t taken; /* entries so far */
static int tellsTaken;
static int registration; /* what the next one gives, at first 0 */
static int registrations;
static bool allAreTaken; /* by others, all numbers of groups */
static int unregistrations;

static int registerBuffers(struct FastEngine* engine, uint16_t group, void* memory, uint32_t count)
{
    (void)engine;
    registrations++;
    if (registration < 0) {
        int result = registration;
        if (result == -EEXIST && registrations == 2 && !allAreTaken)
            registration = 0; /* the third number is free */
        return result;
    }
    published = memory;
    publishedCount = count;
    publishedGroup = group;
    return 0;
}

static void unregisterBuffers(struct FastEngine* engine, uint16_t group)
{
    (void)engine;
    ck_assert_int_eq(group, publishedGroup);
    unregistrations++;
}

static int countTaken(struct FastEngine* engine, uint16_t group)
{
    (void)engine;
    ck_assert_int_eq(group, publishedGroup);
    return tellsTaken == UNTOLD ? -EINVAL : taken;
}

static const struct FastEngineFunctions engineFunctions = {
    .registerBuffers = registerBuffers,
    .unregisterBuffers = unregisterBuffers,
    .countTakenBuffers = countTaken,
};

static unsigned completionHead;
static unsigned completionTail;

static struct FastEngine engine = {
    .functions = &engineFunctions,
    .completion = {.head = &completionHead, .tail = &completionTail},
};

static struct FastRing ring = {.engine = &engine, .references = 1};

static uint16_t tail(void)
{
    return ((const struct io_uring_buf_ring*)published)->tail;
}

/* Fills the next buffer, as the kernel does; -1 if it has none. */
static int take(void)
{
    if (taken == tail())
        return -1;
    return published[taken++ & (publishedCount - 1)].bid;
}

/* ---- the memory ---- */

static uint8_t memory[BUFFERS][LENGTH];
static int made;
static int madeUntil = BUFFERS; /* none beyond */
static int released;
static int sources; /* held */

static void* makeBuffer(size_t size, void* closure)
{
    ck_assert_uint_eq(size, LENGTH);
    ck_assert_ptr_eq(closure, &made);
    return made < madeUntil ? memory[made++] : NULL;
}

static void releaseBuffer(void* buffer)
{
    ck_assert((uint8_t*)buffer >= memory[0] && (uint8_t*)buffer <= memory[BUFFERS - 1]);
    released++;
}

static void holdSource(void* closure)
{
    ck_assert_ptr_eq(closure, &made);
    sources++;
}

static void dropSource(void* closure)
{
    ck_assert_ptr_eq(closure, &made);
    sources--;
}

/* ---- the provider ---- */

static struct FastRingBufferProvider* provider;

static struct FastRingBufferProvider* create(uint16_t group)
{
    return CreateFastRingBufferProvider(&ring, group, COUNT, LENGTH, makeBuffer, &made);
}

static void setUp(void)
{
    provider = create(GROUP);
    ck_assert_ptr_nonnull(provider);
}

static void tearDown(void)
{
    ReleaseFastRingBufferProvider(provider, releaseBuffer);
    ck_assert_int_eq(unregistrations, 1);
    ck_assert_uint_eq(atomic_load(&ring.references), 1);
    ck_assert_ptr_null(ring.members);
    ck_assert_ptr_null(ring.groups);
}

AREA(buffers, "buffers", .open = setUp, .close = tearDown);
AREA(life, "life");

/* A task of the provider's, in the next phase; nobody looks at the ring's own queue. */
static void runTask(struct FastTask* task)
{
    ck_assert(FastTaskIsQueued(task));
    task->link.next = 0;
    ring.prepare.last = NULL; /* it may have been the last */
    ring.dispatch.last = NULL;
    ring.memory.waiting.last = NULL;
    ck_assert(task->function(task));
}

static bool isPossible(int id, size_t length, bool bundle)
{
    return FastProviderIsPossible(provider, (uint16_t)id, length, bundle);
}

/* ---- what is put where ---- */

CASE(buffers, fillsEverySlotAtFirst)
{
    ck_assert_uint_eq(publishedCount, COUNT);
    ck_assert_int_eq(publishedGroup, GROUP);
    ck_assert_uint_eq(FastProviderAvailable(provider), COUNT);
    ck_assert_uint_eq(FastProviderMark(provider), COUNT);
    for (int id = 0; id < COUNT; id++) {
        ck_assert_uint_eq(published[id].addr, (uintptr_t)FastProviderPeek(provider, (uint16_t)id));
        ck_assert_uint_eq(published[id].len, LENGTH);
        ck_assert_int_eq(take(), id);
    }
    ck_assert_int_eq(take(), -1);
    ck_assert_ptr_null(FastProviderPeek(provider, COUNT));
}

CASE(buffers, returnsInTheOrderOfReturning)
{
    const void* buffer = FastProviderPeek(provider, 1);
    while (take() >= 0)
        continue;
    FastProviderReturn(provider, 1);
    FastProviderReturn(provider, 3);
    FastProviderReturn(provider, 0);
    ck_assert_uint_eq(FastProviderAvailable(provider), COUNT);
    ck_assert_ptr_eq(FastProviderPeek(provider, 1), buffer);
    ck_assert_int_eq(FastProviderNext(provider, 1), 3);
    ck_assert_int_eq(FastProviderNext(provider, 3), 0);
    ck_assert_int_eq(FastProviderNext(provider, 0), -1);
    ck_assert_int_eq(FastProviderNext(provider, 2), -1); /* 3 stood behind it before */
    ck_assert_int_eq(take(), 1);
    ck_assert_int_eq(take(), 3);
    ck_assert_int_eq(take(), 0);
    ck_assert_int_eq(take(), -1);
}

CASE(buffers, replacesByAnotherBuffer)
{
    ck_assert_int_eq(take(), 0);
    FastProviderReplace(provider, 0, memory[BUFFERS - 1]);
    ck_assert_ptr_eq(FastProviderPeek(provider, 0), memory[BUFFERS - 1]);
    ck_assert_uint_eq(published[0].addr, (uintptr_t)memory[BUFFERS - 1]);
    ck_assert_uint_eq(FastProviderMark(provider), COUNT + 1);
    ck_assert_int_eq(FastProviderNext(provider, COUNT - 1), 0);
}

/* Several at once: the kernel sees all of them at the end, and none before. */
CASE(buffers, replacesSeveral)
{
    for (int id = 0; id < 3; id++)
        ck_assert_int_eq(take(), id);
    FastProviderReplaceOne(provider, 0, memory[BUFFERS - 1]);
    FastProviderReplaceOne(provider, 1, NULL);
    FastProviderReplaceOne(provider, 2, memory[BUFFERS - 2]);
    ck_assert_uint_eq(tail(), COUNT);
    FastProviderEndReplacing(provider, 3, 1);
    ck_assert_uint_eq(tail(), COUNT + 2);
    ck_assert_uint_eq(FastProviderAvailable(provider), COUNT - 1);
    ck_assert_int_eq(FastProviderNext(provider, COUNT - 1), 0);
    ck_assert_int_eq(FastProviderNext(provider, 0), 2);
    ck_assert_int_eq(take(), COUNT - 1);
    ck_assert_int_eq(take(), 0);
    ck_assert_int_eq(take(), 2);
    ck_assert_ptr_eq(FastProviderPeek(provider, 2), memory[BUFFERS - 2]);
    ck_assert_uint_eq(published[1].addr, (uintptr_t)memory[BUFFERS - 2]);
    ck_assert_ptr_null(FastProviderPeek(provider, 1));
    runTask(&provider->refill);
    ck_assert_ptr_nonnull(FastProviderPeek(provider, 1));
}

CASE(buffers, refillsWhatIsVacant)
{
    ck_assert_int_eq(take(), 0);
    ck_assert_int_eq(take(), 1);
    FastProviderReplace(provider, 0, NULL);
    FastProviderReplace(provider, 1, NULL);
    ck_assert_ptr_null(FastProviderPeek(provider, 0));
    ck_assert_uint_eq(FastProviderAvailable(provider), COUNT - 2);
    ck_assert(!isPossible(0, 1, false));
    madeUntil = made + 1;
    runTask(&provider->refill);
    ck_assert_uint_eq(FastProviderAvailable(provider), COUNT - 1);
    ck_assert(FastTaskIsQueued(&provider->refill)); /* until there is memory */
    madeUntil = BUFFERS;
    runTask(&provider->refill);
    ck_assert_uint_eq(FastProviderAvailable(provider), COUNT);
    ck_assert_ptr_nonnull(FastProviderPeek(provider, 0));
    ck_assert_ptr_nonnull(FastProviderPeek(provider, 1));
    ck_assert(!FastTaskIsQueued(&provider->refill));
}

/* Long after the log has come round. */
CASE(buffers, knowsTheOrderForEver)
{
    for (int round = 0; round < 1000; round++) {
        int first = take();
        int second = take();
        ck_assert_int_eq(FastProviderNext(provider, (uint16_t)first), second);
        ck_assert(isPossible(first, LENGTH + 1, true));
        FastProviderReturn(provider, (uint16_t)second);
        FastProviderReturn(provider, (uint16_t)first);
        ck_assert_int_eq(FastProviderNext(provider, (uint16_t)second), first);
        ck_assert_int_eq(FastProviderNext(provider, (uint16_t)first), -1);
    }
}

/* A kernel that has filled 0 and 1 for one receive, and then the others for another one, may tell
 * of the later ones first; by then those have been put once more. */
CASE(buffers, knowsTheOrderOfWhatIsOvertaken)
{
    for (int index = 0; index < COUNT; index++)
        ck_assert_int_eq(take(), index);
    for (int index = 2; index < COUNT; index++)
        FastProviderReturn(provider, (uint16_t)index);
    ck_assert_int_eq(FastProviderNext(provider, 0), 1);
    ck_assert(isPossible(0, 2 * LENGTH, true));
    ck_assert_int_eq(FastProviderNext(provider, 1), -1); /* it is told already */
    struct FastProviderSlots slots = FastProviderSlotsOf(provider, 0, 2 * LENGTH, true);
    for (int index = 0; index < 2; index++) {
        ck_assert(FastProviderNextSlot(&slots));
        ck_assert_uint_eq(slots.id, index);
        FastProviderReturn(provider, slots.id);
    }
    ck_assert(!FastProviderNextSlot(&slots));
    for (int index = 0; index < COUNT; index++)
        ck_assert_int_eq(take(), (index + 2) % COUNT);
}

/* ---- what a completion can't say ---- */

CASE(buffers, believesWhatFits)
{
    ck_assert(isPossible(0, 0, false));
    ck_assert(isPossible(0, LENGTH, false));
    ck_assert(!isPossible(0, LENGTH + 1, false));
    ck_assert(!isPossible(COUNT, 0, false));
    ck_assert(!isPossible(COUNT, LENGTH + 1, true));
    ck_assert(isPossible(0, COUNT * LENGTH, true));
    ck_assert(!isPossible(0, COUNT * LENGTH + 1, true));
    ck_assert(!isPossible(1, COUNT * LENGTH, true));
}

CASE(buffers, believesNoMoreThanAnEntryHasRoomFor)
{
    published[1].len = LENGTH / 2;
    ck_assert(isPossible(1, LENGTH / 2, false));
    ck_assert(!isPossible(1, LENGTH / 2 + 1, false));
    ck_assert(!isPossible(1, LENGTH, true));
    ck_assert(isPossible(0, LENGTH + LENGTH / 2, true));
    ck_assert(!isPossible(0, 2 * LENGTH, true));
    published[2].len = 2 * LENGTH;
    ck_assert(!isPossible(2, LENGTH + 1, false));
    published[3].bid = 2;
    ck_assert(!isPossible(3, 1, false));
    published[3].bid = 3;
    published[3].addr++;
    ck_assert(!isPossible(3, 1, false));
}

/* Its entry was given to another slot: what the kernel made of it can't be seen any more. */
CASE(buffers, believesALengthWhereTheEntryIsGone)
{
    while (take() >= 0)
        continue;
    for (int round = 0; round < 2; round++)
        for (uint16_t id = 1; id < COUNT; id++)
            FastProviderReturn(provider, id);
    ck_assert(isPossible(0, LENGTH, false));
    ck_assert(!isPossible(0, LENGTH + 1, false));
}

CASE(buffers, believesNothingOfWhatWasPutSinceTheLastEnter)
{
    ck_assert(isPossible(0, 1, false));
    engine.inside = true;
    ck_assert(!isPossible(0, 1, false));
    engine.enters++;
    ck_assert(isPossible(0, 1, false));
    (void)take();
    FastProviderReturn(provider, 0);
    ck_assert(!isPossible(0, 1, false));
    ck_assert(isPossible(1, (COUNT - 1) * LENGTH, true));
    ck_assert(!isPossible(1, (COUNT - 1) * LENGTH + 1, true));
}

CASE(buffers, rejectsWhatTheKernelHasTaken)
{
    (void)take();
    (void)take();
    FastProviderReject(provider, 0, COUNT * LENGTH + 1, true);
    ck_assert_uint_eq(FastProviderMark(provider), COUNT + 2);
    ck_assert_int_eq(FastProviderNext(provider, 3), 0);
    ck_assert_int_eq(FastProviderNext(provider, 0), 1);
    FastProviderReject(provider, 2, LENGTH, false); /* not taken: it is still there */
    FastProviderReject(provider, COUNT, LENGTH, false);
    ck_assert_uint_eq(FastProviderMark(provider), COUNT + 2);
}

/* §2.3 impossible completions: what they name goes back to the kernel, whose count has 16 bits, and
 * begins anew */
CASE(buffers, rejectsForEver)
{
    for (uint32_t round = 0; round <= UINT16_MAX + COUNT; round++) {
        int id = take();
        ck_assert_int_ge(id, 0);
        FastProviderReject(provider, (uint16_t)id, 0, false);
        ck_assert_uint_eq(FastProviderMark(provider), COUNT + round + 1);
    }
}

CASE(buffers, rejectsTheNamedOneWhereTheKernelCantSay)
{
    tellsTaken = UNTOLD;
    FastProviderReject(provider, 1, COUNT * LENGTH, true);
    ck_assert_uint_eq(FastProviderMark(provider), COUNT + 1);
    ck_assert_int_eq(FastProviderNext(provider, 3), 1);
}

/* ---- the slots of a completion ---- */

CASE(buffers, walksOverABundle)
{
    static const size_t lengths[] = {LENGTH, LENGTH, 5};
    struct FastProviderSlots slots = FastProviderSlotsOf(provider, 0, 2 * LENGTH + 5, true);
    for (int id = 0; id < 3; id++) {
        ck_assert(FastProviderNextSlot(&slots));
        ck_assert_int_eq(slots.id, id);
        ck_assert_uint_eq(slots.length, lengths[id]);
        (void)take();
        FastProviderReturn(provider, slots.id); /* which gives it a new place */
    }
    ck_assert(!FastProviderNextSlot(&slots));
    ck_assert_uint_eq(slots.left, 0);
}

CASE(buffers, walksOverOneSlot)
{
    struct FastProviderSlots slots = FastProviderSlotsOf(provider, 2, 0, true);
    ck_assert(FastProviderNextSlot(&slots));
    ck_assert_int_eq(slots.id, 2);
    ck_assert_uint_eq(slots.length, 0);
    ck_assert(!FastProviderNextSlot(&slots));
    slots = FastProviderSlotsOf(provider, 2, LENGTH + 1, false);
    ck_assert(FastProviderNextSlot(&slots));
    ck_assert(!FastProviderNextSlot(&slots));
    ck_assert_uint_eq(slots.left, 1);
}

CASE(buffers, walksNoFartherThanTheOrderIsKnown)
{
    struct FastProviderSlots slots = FastProviderSlotsOf(provider, 3, 2 * LENGTH, true);
    ck_assert(FastProviderNextSlot(&slots));
    ck_assert(!FastProviderNextSlot(&slots));
    ck_assert_uint_eq(slots.left, LENGTH);
}

/* ---- claims ---- */

static uint64_t claim(uint16_t id, size_t length, bool bundle)
{
    return provider->group.claim(&provider->group, id, length, bundle);
}

static void unclaim(uint16_t id, size_t length, bool bundle)
{
    provider->group.unclaim(&provider->group, id, length, bundle);
}

CASE(buffers, claimsABundle)
{
    (void)take();
    (void)take();
    ck_assert_uint_ne(claim(0, LENGTH + 1, true), 0);
    ck_assert_uint_eq(FastProviderAvailable(provider), COUNT - 2);
    ck_assert(!isPossible(0, 1, false));
    ck_assert(!isPossible(1, 1, false));
    ck_assert_uint_eq(claim(0, 1, false), 0); /* nor put back: it is its user's */
    ck_assert_uint_eq(FastProviderMark(provider), COUNT);
    unclaim(0, LENGTH + 1, true);
    ck_assert_uint_eq(FastProviderAvailable(provider), COUNT);
    ck_assert_uint_eq(FastProviderMark(provider), COUNT + 2);
    unclaim(0, LENGTH + 1, true); /* it is claimed no more */
    unclaim(COUNT, 0, false);
    ck_assert_uint_eq(FastProviderMark(provider), COUNT + 2);
}

CASE(buffers, leavesAloneWhatWasAdvanced)
{
    struct
    {
        uint64_t words[2];
    } room = {0};
    struct io_uring_cqe* completion = (struct io_uring_cqe*)&room;
    (void)take();
    completion->user_data = claim(0, 1, false);
    completion->res = 1;
    completion->flags = IORING_CQE_F_BUFFER;
    ck_assert_ptr_eq(GetFastRingBuffer(provider, completion), FastProviderPeek(provider, 0));
    ck_assert_int_eq(AdvanceFastRingBuffer(provider, completion, NULL, NULL), 0);
    ck_assert_uint_eq(FastProviderMark(provider), COUNT + 1);
    ck_assert_int_eq(AdvanceFastRingBuffer(provider, completion, NULL, NULL), -EINVAL);
    unclaim(0, 1, false);
    ck_assert_uint_eq(FastProviderMark(provider), COUNT + 1);
    (void)take();
    ck_assert_uint_ne(claim(0, 1, false), completion->user_data); /* another put, another stamp */
    ck_assert_ptr_null(GetFastRingBuffer(provider, completion));
}

CASE(buffers, claimsNothingImpossible)
{
    (void)take();
    ck_assert_uint_eq(claim(0, LENGTH + 1, false), 0);
    ck_assert_uint_eq(FastProviderMark(provider), COUNT + 1); /* it went back */
    ck_assert_uint_eq(FastProviderAvailable(provider), COUNT);
}

/* ---- those who wait ---- */

static struct FastWaiter waiters[COUNT * 3];
static int served;

static void serve(struct FastWaiter* waiter)
{
    ck_assert_ptr_eq(waiter, &waiters[served]);
    served++;
}

static void wait(int count)
{
    for (int index = 0; index < count; index++) {
        waiters[index].function = serve;
        FastProviderWait(provider, &waiters[index], FastProviderMark(provider), 1);
    }
}

/* All that are served in a turn. */
static void runServe(void)
{
    do
        runTask(&provider->waiting.serve);
    while (FastTaskIsQueued(&provider->waiting.serve));
}

/* §2.3 who waits for buffers: and nobody before there is one */
CASE(buffers, servesWhenABufferIsPutBack)
{
    while (take() >= 0)
        continue;
    wait(1);
    ck_assert(!FastTaskIsQueued(&provider->waiting.serve));
    FastProviderReturn(provider, 2);
    runTask(&provider->waiting.serve);
    ck_assert_int_eq(served, 1);
    ck_assert(!FastTaskIsQueued(&provider->waiting.again));
}

CASE(buffers, servesWhenSeveralAreReplaced)
{
    while (take() >= 0)
        continue;
    wait(1);
    FastProviderReplaceOne(provider, 0, NULL);
    FastProviderEndReplacing(provider, 1, 1);
    ck_assert(!FastTaskIsQueued(&provider->waiting.serve));
    FastProviderReplaceOne(provider, 1, memory[BUFFERS - 1]);
    FastProviderEndReplacing(provider, 1, 0);
    runTask(&provider->waiting.serve);
    ck_assert_int_eq(served, 1);
    runTask(&provider->refill); /* of the vacant one */
}

CASE(buffers, servesAtOnceWhatWasPutBackBefore)
{
    waiters[0].function = serve;
    FastProviderWait(provider, &waiters[0], FastProviderMark(provider) - 1, 1);
    runTask(&provider->waiting.serve);
    ck_assert_int_eq(served, 1);
}

static int order[COUNT * 3];

static void noteServed(struct FastWaiter* waiter)
{
    order[served++] = (int)(waiter - waiters);
}

static void waitFed(int number, uint32_t fed)
{
    waiters[number].function = noteServed;
    FastProviderWait(provider, &waiters[number], FastProviderMark(provider), fed);
}

/* §2.3 who waits for buffers: who was served in vain comes before the others, in order, and who is
 * gone takes no place */
CASE(buffers, servesAgainWhoHadNone)
{
    static const int expected[] = {2, 4, 0, 1, 3};
    while (take() >= 0)
        continue;
    for (int number = 0; number < 5; number++) {
        waitFed(number, 1);
        FastWaiterRemove(&waiters[number]);
    }
    waitFed(0, 2);
    waitFed(1, 0);
    for (int number = 2; number < 5; number++)
        waitFed(number, 1);
    FastWaiterRemove(&waiters[3]);
    FastWaiterRemove(&waiters[4]);
    waitFed(4, 1);
    waitFed(3, 3);
    while (FastWaiterServe(&provider->waiting.list))
        continue;
    ck_assert_int_eq(served, 5);
    ck_assert_mem_eq(order, expected, sizeof(expected));
    waitFed(1, 0); /* of whom nobody knows */
    waitFed(0, 2);
    ck_assert_ptr_eq(provider->waiting.list.first, &waiters[0]);
    ck_assert_ptr_eq(provider->waiting.list.last, &waiters[1]);
    FastWaiterRemove(&waiters[0]);
    FastWaiterRemove(&waiters[1]);
    ck_assert_ptr_null(provider->waiting.list.first);
}

/* §2.3 who waits for buffers, §2.3 one buffer: twice as many where it was left alone, until none is
 * there */
CASE(buffers, servesAsManyAsThereAreBuffers)
{
    while (take() >= 0)
        continue;
    for (uint16_t id = 0; id < COUNT - 1; id++)
        FastProviderReplace(provider, id, NULL);
    wait(COUNT);
    FastProviderReturn(provider, COUNT - 1);
    runServe();
    ck_assert_int_eq(served, 1);
    runTask(&provider->waiting.again);
    runServe();
    ck_assert_int_eq(served, 3); /* the first left it alone: twice as many */
    ck_assert_int_eq(take(), COUNT - 1);
    FastProviderReplace(provider, COUNT - 1, NULL);
    ck_assert_uint_eq(FastProviderAvailable(provider), 0);
    runTask(&provider->waiting.again);
    ck_assert(!FastTaskIsQueued(&provider->waiting.serve));
    ck_assert_int_eq(served, 3);
    runTask(&provider->refill);
    runServe();
    ck_assert_int_eq(served, COUNT);
}

/* §2.3 who waits for buffers: between two of them is room for the tasks of the first */
CASE(buffers, servesOneByOne)
{
    while (take() >= 0)
        continue;
    wait(COUNT);
    for (int id = 0; id < COUNT; id++)
        FastProviderReturn(provider, (uint16_t)id);
    for (int number = 1; number <= COUNT; number++) {
        runTask(&provider->waiting.serve);
        ck_assert_int_eq(served, number);
    }
    ck_assert(!FastTaskIsQueued(&provider->waiting.serve));
    ck_assert(!FastTaskIsQueued(&provider->waiting.again));
}

CASE(buffers, servesNobodyWhoHasLeft)
{
    while (take() >= 0)
        continue;
    wait(2);
    FastWaiterRemove(&waiters[1]);
    FastProviderReturn(provider, 0);
    runTask(&provider->waiting.serve);
    ck_assert_int_eq(served, 1);
}

/* ---- how many there are ---- */

enum
{
    MANY = 64,
    LARGE = 64 << 10, /* bytes in a buffer, so that a few are enough */
    FEW = 4,          /* of those */
    LONG = 100000,    /* messages in which the last surplus is gone */
};

/* Nobody looks into them. */
static void* makeLarge(size_t size, void* closure)
{
    ck_assert_uint_eq(size, LARGE);
    ck_assert_ptr_eq(closure, &made);
    if (made == madeUntil)
        return NULL;
    made++;
    return malloc(1);
}

static void releaseLarge(void* buffer)
{
    released++;
    free(buffer);
}

static struct FastRingBufferProvider* createLarge(uint32_t count)
{
    return CreateFastRingBufferProvider(&ring, GROUP, (uint16_t)count, LARGE, makeLarge, &made);
}

static void setUpMany(void)
{
    static const struct FastProviderSource source = {.function = makeLarge,
                                                      .hold = holdSource,
                                                      .drop = dropSource};
    FastProviderSetSource(&source);
    madeUntil = INT_MAX;
    provider = createLarge(MANY);
    ck_assert_ptr_nonnull(provider);
}

static void tearDownMany(void)
{
    uint32_t filled = FastProviderFilledSlots(provider);
    ReleaseFastRingBufferProvider(provider, releaseLarge);
    ck_assert_int_eq(released, (int)filled);
    ck_assert_int_eq(sources, 0);
    ck_assert(atomic_load(&ring.references) == 1 && ring.members == NULL && ring.groups == NULL);
}

AREA(demand, "demand", .open = setUpMany, .close = tearDownMany);

/* The kernel has entered, and takes so many; false: there were not so many. */
static bool takeSome(int count, uint16_t* ids)
{
    engine.enters++;
    ring.statistics.turns++;
    for (int index = 0; index < count; index++) {
        int id = take();
        if (id < 0)
            return false;
        ids[index] = (uint16_t)id;
    }
    return true;
}

/* What a socket does with a buffer that it keeps. */
static void replaceLarge(uint16_t id)
{
    void* old = FastProviderPeek(provider, id);
    void* next = FastProviderIsPlenty(provider) ? NULL : makeLarge(LARGE, &made);
    FastProviderReplace(provider, id, next);
    free(old);
}

/* So many at a time, until so many messages have come. */
static void receiveMany(int count, int messages)
{
    uint16_t ids[MANY];
    for (; messages > 0; messages -= count) {
        ck_assert(takeSome(count, ids));
        for (int index = 0; index < count; index++)
            replaceLarge(ids[index]);
    }
}

/* All that there are, and what the others then find. */
static void takeAllThere(void)
{
    uint16_t ids[MANY];
    int count = (int)FastProviderAvailable(provider);
    ck_assert(takeSome(count, ids));
    ck_assert_int_eq(take(), -1);
    for (int index = 0; index < count; index++)
        replaceLarge(ids[index]);
}

/* So many receives find nothing in one enter; those that were starved. */
static int starve(int receives)
{
    int starved = 0;
    for (int index = 0; index < receives; index++)
        starved += !FastProviderGrow(provider);
    return starved;
}

static uint32_t filled(void)
{
    ck_assert_uint_le(provider->available, FastProviderFilledSlots(provider));
    return FastProviderFilledSlots(provider);
}

/* §2.3 adaptive provider: few at first */
CASE(demand, beginsWithFew)
{
    ck_assert_int_eq(made, FEW);
    ck_assert_uint_eq(filled(), FEW);
    ck_assert(!FastTaskIsQueued(&provider->refill));
}

/* §2.3 adaptive provider: twice as many each time */
CASE(demand, growsWhenAReceiveFindsNone)
{
    takeAllThere();
    ck_assert_int_eq(starve(1), 0);
    ck_assert_uint_eq(filled(), 2 * FEW);
    takeAllThere();
    ck_assert_int_eq(starve(1), 0);
    ck_assert_uint_eq(filled(), 4 * FEW);
}

/* §2.3 burst on many sockets: those that ended before there were more share in them, one each, and
 * no more */
CASE(demand, growsByWhatIsUnserved)
{
    takeAllThere();
    ck_assert_int_eq(starve(2 * FEW), 0);
    ck_assert_uint_eq(filled(), 2 * FEW);
    ck_assert_int_eq(starve(10), 0);
    ck_assert_uint_eq(filled(), 2 * FEW + 10);
    ck_assert_uint_eq(FastProviderAvailable(provider), 2 * FEW + 10);
}

/* §2.3 burst on many sockets: of 1 000, all in one step, and nobody has starved */
CASE(demand, growsToAllInOneStep)
{
    takeAllThere();
    ck_assert_int_eq(starve(1000), 0);
    ck_assert_uint_eq(filled(), MANY);
    ck_assert_uint_eq(FastProviderAvailable(provider), MANY);
}

/* §2.3 burst on many sockets: who finds none where all are in use is told */
CASE(demand, starvesWhenAllAreTaken)
{
    takeAllThere();
    ck_assert_int_eq(starve(MANY), 0);
    takeAllThere();
    ck_assert_int_eq(starve(3), 3);
    ck_assert_uint_eq(filled(), MANY);
}

/* Without memory it is a shortage, and the rest comes when memory does. */
CASE(demand, growsWhenThereIsMemory)
{
    takeAllThere();
    madeUntil = made;
    ck_assert_int_eq(starve(2), 2);
    ck_assert_uint_eq(filled(), FEW);
    waiters[0].function = serve;
    FastProviderWait(provider, &waiters[0], FastProviderMark(provider), 1);
    ck_assert(!FastTaskIsQueued(&provider->waiting.serve));
    runTask(&provider->refill);
    ck_assert(FastTaskIsQueued(&provider->refill));
    madeUntil = INT_MAX;
    runTask(&provider->refill);
    ck_assert_uint_eq(filled(), 2 * FEW);
    runTask(&provider->waiting.serve);
    ck_assert_int_eq(served, 1);
}

/* What lacks memory is tried once, and then by the task. */
CASE(demand, asksForMemoryOnce)
{
    takeAllThere();
    madeUntil = made + 1;
    ck_assert_int_eq(starve(1), 0);
    ck_assert_uint_eq(filled(), FEW + 1);
    madeUntil = INT_MAX;
    ck_assert_int_eq(starve(10), 0);
    ck_assert_uint_eq(filled(), FEW + 1);
    runTask(&provider->refill);
    ck_assert_uint_ge(filled(), 2 * FEW);
}

/* §2.3 adaptive provider: what is not needed goes */
CASE(demand, ebbsToTheLeast)
{
    takeAllThere();
    ck_assert_int_eq(starve(1000), 0);
    receiveMany(2, LONG);
    ck_assert_uint_eq(filled(), FEW);
    ck_assert_uint_eq(FastProviderAvailable(provider), FEW);
}

/* §2.3 adaptive provider: but for the least */
CASE(demand, ebbsNoFurther)
{
    FastProviderExpect(provider, FEW + 2);
    FastProviderFillSoon(provider);
    ck_assert_uint_eq(filled(), FEW + 2);
    receiveMany(1, LONG);
    ck_assert_uint_eq(filled(), FEW);
}

/* §2.3 adaptive provider: what is needed again and again stays, and half as much */
CASE(demand, keepsWhatIsNeeded)
{
    takeAllThere();
    ck_assert_int_eq(starve(1000), 0);
    receiveMany(20, LONG);
    ck_assert_uint_eq(filled(), 30);
}

/* Where completions are made by an enter alone, it may take several turns to handle them all. */
CASE(demand, countsWhatOneEnterHasFilled)
{
    uint16_t ids[20];
    engine.inside = true;
    takeAllThere();
    ck_assert_int_eq(starve(1000), 0);
    for (int round = 0; round < LONG / 20; round++) {
        ck_assert(takeSome(20, ids));
        for (int index = 0; index < 20; index++) {
            ring.statistics.turns += index % 4 == 0;
            replaceLarge(ids[index]);
        }
    }
    ck_assert_uint_eq(filled(), 30);
}

/* §2.3 adaptive provider: a burst is not forgotten at once, for it pays for its next growth */
CASE(demand, ebbsSlowly)
{
    takeAllThere();
    ck_assert_int_eq(starve(1000), 0);
    receiveMany(1, 16 * MANY);
    ck_assert_uint_eq(filled(), MANY);
    receiveMany(1, 64 * MANY);
    ck_assert_uint_ge(filled(), MANY / 8);
    ck_assert_uint_lt(filled(), MANY);
}

/* §2.3 burst on many sockets: the next one, too */
CASE(demand, growsAgainAfterTheEbb)
{
    for (int round = 0; round < 3; round++) {
        takeAllThere();
        ck_assert_int_eq(starve(1000), 0);
        ck_assert_uint_eq(filled(), MANY);
        receiveMany(2, LONG);
        ck_assert_uint_eq(filled(), FEW);
    }
}

/* §2.3 adaptive provider: as many sockets as may receive at once are known by their references */
CASE(demand, expectsSockets)
{
    for (uint32_t sockets = 1; sockets < 100; sockets++) {
        FastProviderHold(provider);
        FastProviderExpectSocket(provider);
        FastProviderFillSoon(provider);
    }
    ck_assert_uint_eq(filled(), FAST_PROVIDER_BATCH);
    receiveMany(2, LONG);
    ck_assert_uint_eq(filled(), FEW);
    FastProviderExpectSocket(provider); /* one of them is armed again */
    FastProviderFillSoon(provider);
    ck_assert_uint_eq(filled(), FEW);
    for (uint32_t sockets = 1; sockets < 100; sockets++)
        FastProviderDrop(provider);
}

CASE(demand, isAllForAUsersOperation)
{
    uint16_t ids[MANY];
    struct io_uring_sqe entry = {.opcode = IORING_OP_RECV};
    PrepareFastRingBuffer(provider, &entry);
    ck_assert_uint_eq(filled(), MANY);
    ck_assert(takeSome(MANY, ids));
    for (int index = 0; index < MANY; index++)
        replaceLarge(ids[index]);
    receiveMany(1, LONG);
    ck_assert_uint_eq(filled(), MANY);
}

CASE(demand, isAllForWhoAsksForTheNumber)
{
    ck_assert_uint_eq(GetFastRingBufferGroup(provider), GROUP);
    ck_assert_uint_eq(filled(), MANY);
}

CASE(demand, isAllForWhoKnowsTheNumber)
{
    madeUntil = made + 1;
    provider->group.fill(&provider->group);
    ck_assert_uint_eq(filled(), FEW + 1);
    madeUntil = INT_MAX;
    runTask(&provider->refill);
    ck_assert_uint_eq(filled(), MANY);
}

CASE(life, hasAllWithoutASource)
{
    madeUntil = INT_MAX;
    provider = createLarge(MANY);
    ck_assert_int_eq(made, MANY);
    ReleaseFastRingBufferProvider(provider, releaseLarge);
    ck_assert_int_eq(released, MANY);
}

CASE(life, mayHaveOneBuffer)
{
    uint16_t ids[1];
    madeUntil = INT_MAX;
    provider = createLarge(1);
    ck_assert_uint_eq(filled(), 1);
    ck_assert(takeSome(1, ids));
    ck_assert_int_eq(starve(2), 2);
    replaceLarge(ids[0]);
    receiveMany(1, 1000);
    ck_assert_uint_eq(filled(), 1);
    ReleaseFastRingBufferProvider(provider, releaseLarge);
}

/* ---- life ---- */

static bool endsWell(void)
{
    return atomic_load(&ring.references) == 1 && ring.members == NULL && ring.groups == NULL;
}

CASE(life, beginsWithWhatThereIs)
{
    madeUntil = 1;
    setUp();
    ck_assert_uint_eq(FastProviderAvailable(provider), 1);
    madeUntil = BUFFERS;
    runTask(&provider->refill);
    ck_assert_uint_eq(FastProviderAvailable(provider), COUNT);
    tearDown();
    ck_assert_int_eq(released, COUNT);
}

CASE(life, isNoneWithoutABuffer)
{
    madeUntil = 0;
    errno = EINVAL; /* of something before: the maker sets none */
    ck_assert_ptr_null(create(GROUP));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_int_eq(unregistrations, 1);
    ck_assert(endsWell());
}

CASE(life, isNoneWhereTheKernelRefuses)
{
    registration = -EEXIST;
    ck_assert_ptr_null(create(GROUP));
    ck_assert_int_eq(errno, EEXIST);
    registration = -ENOMEM;
    ck_assert_ptr_null(create(0));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_int_eq(registrations, 2);
    ck_assert_int_eq(unregistrations, 0);
    ck_assert_int_eq(made, 0);
    ck_assert(endsWell());
}

CASE(life, looksForAFreeNumber)
{
    registration = -EEXIST;
    provider = create(0);
    ck_assert_ptr_nonnull(provider);
    ck_assert_int_eq(registrations, 3);
    ck_assert_int_eq(GetFastRingBufferGroup(provider), publishedGroup);
    ck_assert_ptr_eq(FastRingFindGroup(&ring, publishedGroup), &provider->group);
    tearDown();
}

/* Each is asked for once. */
CASE(life, isNoneWhereNoNumberIsFree)
{
    registration = -EEXIST;
    allAreTaken = true;
    ck_assert_ptr_null(create(0));
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_int_gt(registrations, 1000);
    ck_assert_int_le(registrations, UINT16_MAX + 1);
    ck_assert_int_eq(unregistrations, 0);
    ck_assert_int_eq(made, 0);
    ck_assert(endsWell());
}

CASE(life, holdsItsSource)
{
    static const struct FastProviderSource source = {.function = makeBuffer,
                                                      .hold = holdSource,
                                                      .drop = dropSource};
    FastProviderSetSource(&source);
    setUp();
    ck_assert_int_eq(sources, 1);
    FastProviderHold(provider);
    ReleaseFastRingBufferProvider(provider, releaseBuffer);
    ck_assert_int_eq(sources, 1);
    ck_assert_int_eq(unregistrations, 0);
    FastProviderDrop(provider);
    ck_assert_int_eq(sources, 0);
    ck_assert_int_eq(released, COUNT);
    ck_assert(endsWell());
}

/* What the ring does at its end; a task that is queued is never run. */
static void closeProvider(bool orderly)
{
    const struct FastRingMemberFunctions* functions = provider->member.functions;
    FastRingUnlink(&ring, &provider->member);
    functions->close(&provider->member, orderly);
}

CASE(life, outlivesTheRing)
{
    setUp();
    FastProviderReplace(provider, 0, NULL);
    ck_assert(FastTaskIsQueued(&provider->refill));
    closeProvider(true);
    ck_assert_int_eq(released, 0);
    ReleaseFastRingBufferProvider(provider, releaseBuffer);
    ck_assert_int_eq(released, COUNT - 1);
    ck_assert_int_eq(unregistrations, 0);
    ck_assert(endsWell());
}

/* A socket has the last reference, and is ended before any provider. */
CASE(life, leaksWithASocketToo)
{
    setUp();
    FastProviderHold(provider);
    ReleaseFastRingBufferProvider(provider, releaseBuffer);
    ring.disorderly = true;
    FastProviderDrop(provider);
    ck_assert_int_eq(unregistrations, 1);
    ck_assert_int_eq(released, 0);
    ck_assert(endsWell());
}

/* An operation of the user's own may have a buffer, which is there until it is over: though the
 * provider is no more, and has left its number to others. */
CASE_ROUNDS(life, waitsForWhatIsInTheKernel, 2)
{
    setUp();
    struct FastRingGroup* group = FastRingFindGroup(&ring, publishedGroup);
    group->borrow(group);
    group->borrow(group);
    ReleaseFastRingBufferProvider(provider, releaseBuffer);
    ck_assert_int_eq(unregistrations, 1);
    ck_assert_ptr_null(FastRingFindGroup(&ring, publishedGroup));
    group->giveBack(group);
    ck_assert_int_eq(released, 0);
    ring.disorderly = round == 1;
    group->giveBack(group);
    ck_assert_int_eq(released, round == 0 ? COUNT : 0);
    ck_assert(endsWell());
}

CASE(life, leaksWhatTheKernelMayStillFill)
{
    setUp();
    closeProvider(false);
    ReleaseFastRingBufferProvider(provider, releaseBuffer);
    ck_assert_int_eq(released, 0);
    ck_assert(endsWell());
}
