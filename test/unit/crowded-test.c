/*
 * A kernel that has few places for completions. A poll that completes often (IORING_POLL_ADD_MULTI)
 * ends there when a completion of its own finds no place, or comes while older ones wait for one:
 * with a last completion, which waits for its place, too. What such a poll waits for holds all the
 * time here, so that it completes as soon as it enters. Whoever arms it again at once, while the
 * last completions of others wait, ends it again.
 */
#include "fixture.h"
#include "ring/life.h"
#include "simulated.h"

#include <sys/eventfd.h>

enum
{
    PLACES = 8,
    MANY = 40, /* polls, so that they fill the places several times */
    TURNS = 2000,
    BUFFERS = 64,
    LENGTH = 1024,
};

static struct Simulated kernel;
static struct FastRing* ring;

/* What waits for a place: of an operation that is over with it. */
static struct
{
    uint64_t owner;
    int32_t result;
} waiting[SIMULATED_FLIGHT];
static unsigned waits;
static bool stays; /* some always wait */

static bool hasPlace(void)
{
    return kernel.completionTail - kernel.completionHead < PLACES;
}

static void tell(uint64_t owner, int32_t result, uint32_t flags)
{
    if (waits == 0 && hasPlace()) {
        simulatedComplete(&kernel, owner, result, flags);
        return;
    }
    ck_assert_uint_lt(waits, SIMULATED_FLIGHT);
    waiting[waits].owner = owner;
    waiting[waits++].result = result;
    kernel.flags |= IORING_SQ_CQ_OVERFLOW;
}

/* Before each enter: those that have waited longest get the places that are free. */
static int givePlaces(struct Simulated* unused)
{
    (void)unused;
    unsigned given = 0;
    while (given < waits && hasPlace()) {
        simulatedComplete(&kernel, waiting[given].owner, waiting[given].result, 0);
        given++;
    }
    waits -= given;
    memmove(waiting, waiting + given, waits * sizeof(waiting[0]));
    if (waits == 0 && !stays)
        kernel.flags = 0;
    return 0;
}

static bool isOver(uint64_t owner)
{
    for (unsigned place = 0; place < waits; place++)
        if (waiting[place].owner == owner)
            return true;
    return simulatedFind(&kernel, owner) == NULL;
}

static void cancel(uint64_t target, uint64_t owner)
{
    bool found = !isOver(target);
    if (found)
        tell(target, -ECANCELED, 0);
    tell(owner, found ? 0 : -ENOENT, 0);
}

static bool isPollOfMany(const struct io_uring_sqe* entry)
{
    return entry->opcode == IORING_OP_POLL_ADD && entry->len & IORING_POLL_ADD_MULTI;
}

static bool onEnter(struct Simulated* unused, const struct io_uring_sqe* entry)
{
    (void)unused;
    if (isPollOfMany(entry))
        tell(entry->user_data, POLLIN | POLLRDHUP, IORING_CQE_F_MORE);
    else if (entry->opcode == IORING_OP_RECV)
        tell(entry->user_data, 0, 0); /* the end of input */
    else if (entry->opcode == IORING_OP_ASYNC_CANCEL)
        cancel(entry->addr, entry->user_data);
    else
        return false;
    return true;
}

static void setUp(void)
{
    waits = 0;
    stays = false;
    struct FastEngine* engine = simulatedOpen(&kernel);
    kernel.base.completion.mask = PLACES - 1;
    kernel.enter = onEnter;
    kernel.refuse = givePlaces;
    ring = FastRingCreateOn(engine);
    ck_assert_ptr_nonnull(ring);
}

static void tearDown(void)
{
    ReleaseFastRing(ring);
    ck_assert(kernel.destroyed);
}

AREA(crowded, "crowded", .open = setUp, .close = tearDown);

static unsigned polls(void)
{
    unsigned count = 0;
    for (unsigned place = 0; place < kernel.inFlightCount; place++)
        count += isPollOfMany(&kernel.inFlight[place]);
    return count;
}

/* Until a turn brings nothing, and nothing is left for the next. */
static void rest(void)
{
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t before = readRing(ring).completions;
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
        if (readRing(ring).completions == before && GetFastRingInterval(ring) != 0)
            return;
    }
    ck_abort_msg("the ring never comes to rest");
}

static void count(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    ck_assert_int_gt(result, 0);
    ++*(int*)closure;
}

static struct FastRingWatch* watches[MANY];
static int handles[MANY];
static int counts[MANY];

static void openWatches(void)
{
    memset(counts, 0, sizeof(counts));
    for (int index = 0; index < MANY; index++) {
        handles[index] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        ck_assert_int_ge(handles[index], 0);
        watches[index] = AddFastRingWatch(ring, handles[index], POLLIN, FASTRING_WATCH_EDGE, count,
                                          &counts[index]);
        ck_assert_ptr_nonnull(watches[index]);
    }
}

static void closeWatches(void)
{
    for (int index = 0; index < MANY; index++) {
        RemoveFastRingWatch(watches[index]);
        close(handles[index]);
    }
}

/* All change at once: the kernel tells as many as it has places for, and ends the others. */
static void changeAll(void)
{
    struct io_uring_sqe told[SIMULATED_FLIGHT];
    unsigned number = kernel.inFlightCount;
    memcpy(told, kernel.inFlight, sizeof(told));
    for (unsigned place = 0; place < number; place++)
        if (isPollOfMany(&told[place]))
            tell(told[place].user_data, POLLIN, IORING_CQE_F_MORE);
}

/* §2.8 overflow: watches by edges come to rest, each armed and told of each change */
CASE(crowded, watchesRest)
{
    openWatches();
    rest();
    ck_assert_uint_eq(polls(), MANY);
    for (int round = 0; round < 3; round++) {
        int before[MANY];
        memcpy(before, counts, sizeof(counts));
        changeAll();
        rest();
        ck_assert_uint_eq(polls(), MANY);
        for (int index = 0; index < MANY; index++)
            ck_assert_int_gt(counts[index], before[index]);
    }
    closeWatches();
}

/* §2.8 overflow: those that wait for places may be removed, and whoever stays is armed */
CASE(crowded, watchesAreRemoved)
{
    openWatches();
    rest();
    changeAll();
    ck_assert_uint_gt(waits, 0);
    for (int turn = 0; turn < 3; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ck_assert_uint_gt(waits, 0);
    for (int index = 0; index < MANY; index += 2)
        RemoveFastRingWatch(watches[index]);
    rest();
    ck_assert_uint_eq(polls(), MANY / 2);
    for (int index = 0; index < MANY; index++)
        if (index % 2 != 0)
            RemoveFastRingWatch(watches[index]);
    for (int index = 0; index < MANY; index++)
        close(handles[index]);
}

/* §2.8 overflow: the end of a ring finds those that wait for places */
CASE(crowded, ringEnds)
{
    openWatches();
    rest();
    changeAll();
    for (int turn = 0; turn < 3; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ck_assert_uint_gt(waits, 0);
    ReleaseFastRing(ring);
    ck_assert(kernel.closed);
    closeWatches();
    setUp();
}

static void submitAgain(struct FastRingDescriptor* descriptor)
{
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_poll_multishot(entry, 0, POLLIN);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
}

static int again(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    if (reason == FASTRING_REASON_COMPLETE && completion->res > 0)
        submitAgain(descriptor);
    return 1;
}

/* §2.8 overflow: a program's own polls, which it submits again as they end, come to rest */
CASE(crowded, ownPollsRest)
{
    struct FastRingDescriptor* descriptors[MANY];
    for (int index = 0; index < MANY; index++) {
        descriptors[index] = AllocateFastRingDescriptor(ring, again, NULL);
        ck_assert_ptr_nonnull(descriptors[index]);
        submitAgain(descriptors[index]);
    }
    rest();
    ck_assert_uint_eq(polls(), MANY);
    for (int index = 0; index < MANY; index++)
        ReleaseFastRingDescriptor(descriptors[index]);
}

static void ignoreEvent(struct FastSocket* socket, int event, int parameter)
{
    (void)socket;
    (void)event;
    (void)parameter;
}

/* §2.8 overflow: connections whose peers have ended their output come to rest */
CASE(crowded, halfClosedConnectionsRest)
{
    struct FastSocket* sockets[MANY];
    int peers[MANY];
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    struct FastRingBufferProvider* provider =
        CreateFastRingBufferProvider(ring, 0, BUFFERS, LENGTH, AllocateRingFastBuffer, pool);
    ck_assert_ptr_nonnull(provider);
    for (int index = 0; index < MANY; index++) {
        int pair[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        peers[index] = pair[1];
        sockets[index] = CreateFastSocket(ring, provider, pool, pool, pair[0], NULL, 0, 0, 0,
                                          ignoreEvent, NULL);
        ck_assert_ptr_nonnull(sockets[index]);
    }
    rest();
    ck_assert_uint_eq(polls(), MANY);
    for (int index = 0; index < MANY; index++) {
        AbortFastSocket(sockets[index]);
        close(peers[index]);
    }
    rest();
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(pool);
}

/* §2.8 overflow: where some always wait for places, a watch is armed all the same after a time */
CASE(crowded, armsWithoutPlaces)
{
    stays = true;
    kernel.flags = IORING_SQ_CQ_OVERFLOW;
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0); /* which hears of it */
    openWatches();
    for (int turn = 0; turn < TURNS && counts[0] == 0; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ck_assert_int_gt(counts[0], 0);
    stays = false;
    rest();
    ck_assert_uint_eq(polls(), MANY);
    closeWatches();
}
