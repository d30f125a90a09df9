/*
 * The coarse list of a ring: when its members are looked at, on a clock that the test sets.
 */
#include "ring/life.h"
#include "ring/ring.h"
#include "simulated.h"
#include "suite.h"

#include <string.h>
#include <time.h>

enum
{
    MS = 1000000, /* nanoseconds */
    MANY = 10000,
    WALK = 1024, /* members that a turn looks at */
};

struct Member
{
    struct FastTick tick;
    int64_t within; /* that it asks for at each look */
    int looks;
    int64_t at; /* of the last one */
    struct FastTick* other; /* that it removes at its look; NULL: none */
};

static struct Simulated kernel;
static struct FastRing* ring;
static struct Member members[MANY];
static int64_t now;

int __wrap_clock_gettime(clockid_t clock, struct timespec* time);
int __wrap_clock_gettime(clockid_t clock, struct timespec* time)
{
    (void)clock;
    *time = (struct timespec){.tv_sec = now / (1000 * MS), .tv_nsec = now % (1000 * MS)};
    return 0;
}

static void openTicks(void)
{
    now = 5000 * (int64_t)MS;
    memset(members, 0, sizeof(members));
    ring = FastRingCreateOn(simulatedOpen(&kernel));
    ck_assert_ptr_nonnull(ring);
}

static void closeTicks(void)
{
    ReleaseFastRing(ring);
}

AREA(tick, "tick", .open = openTicks, .close = closeTicks);

static int64_t look(struct FastTick* tick, int64_t time)
{
    struct Member* member = FAST_CONTAINER(tick, struct Member, tick);
    ck_assert_int_eq(time, now);
    member->looks++;
    member->at = time;
    if (member->other != NULL)
        FastRingRemoveTick(ring, member->other);
    return member->within;
}

static void add(struct Member* member, int64_t within)
{
    member->tick.look = look;
    member->within = within;
    FastRingAddTick(ring, &member->tick, within);
}

static void pass(int64_t nanoseconds)
{
    now += nanoseconds;
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

static int looksOfAll(int count)
{
    int looks = 0;
    for (int index = 0; index < count; index++)
        looks += members[index].looks;
    return looks;
}

CASE(tick, hasNoTimerWithoutMembers)
{
    pass(0);
    ck_assert_int_eq(GetFastRingInterval(ring), -1);
    add(&members[0], 100 * MS);
    ck_assert_int_eq(GetFastRingInterval(ring), 100);
    FastRingRemoveTick(ring, &members[0].tick);
    FastRingRemoveTick(ring, &members[0].tick); /* harmless */
    ck_assert_int_eq(GetFastRingInterval(ring), -1);
    add(&members[0], 100 * MS);
    members[0].within = 0;
    pass(100 * MS);
    ck_assert_int_eq(members[0].looks, 1);
    ck_assert_int_eq(GetFastRingInterval(ring), -1);
    pass(1000 * (int64_t)MS);
    ck_assert_int_eq(members[0].looks, 1);
}

CASE(tick, looksWhenTheTimeIsOver)
{
    add(&members[0], 100 * MS);
    pass(100 * MS - 1);
    ck_assert_int_eq(members[0].looks, 0);
    pass(1);
    ck_assert_int_eq(members[0].looks, 1);
    pass(99 * MS);
    ck_assert_int_eq(members[0].looks, 1);
    pass(1 * MS);
    ck_assert_int_eq(members[0].looks, 2);
}

/* Who asks for less has all looked at sooner; who asks for more waits for nobody. */
CASE(tick, followsTheShortest)
{
    add(&members[0], 400 * MS);
    pass(300 * MS);
    add(&members[1], 200 * MS); /* the tick that is due before stays */
    ck_assert_int_eq(GetFastRingInterval(ring), 100);
    pass(100 * MS);
    ck_assert_int_eq(looksOfAll(2), 2);
    ck_assert_int_eq(GetFastRingInterval(ring), 200);
    add(&members[2], 10 * MS);
    ck_assert_int_eq(GetFastRingInterval(ring), 10);
    pass(10 * MS);
    ck_assert_int_eq(looksOfAll(3), 5);
    FastRingRemoveTick(ring, &members[2].tick);
    pass(10 * MS); /* it is found out at the next one */
    ck_assert_int_eq(looksOfAll(2), 6);
    ck_assert_int_eq(GetFastRingInterval(ring), 200);
    add(&members[3], 900 * MS);
    ck_assert_int_eq(GetFastRingInterval(ring), 200);
}

/* A turn looks at some of many, and the next ones at the others; each is looked at once. */
CASE(tick, walksInParts)
{
    for (int index = 0; index < MANY; index++)
        add(&members[index], 100 * MS);
    pass(100 * MS);
    for (int walked = WALK; walked < MANY; walked += WALK) {
        ck_assert_int_eq(looksOfAll(MANY), walked);
        ck_assert_int_eq(GetFastRingInterval(ring), 0);
        pass(0);
    }
    ck_assert_int_eq(looksOfAll(MANY), MANY);
    for (int index = 0; index < MANY; index++)
        ck_assert_int_eq(members[index].looks, 1);
    ck_assert_int_eq(GetFastRingInterval(ring), 100);
    pass(99 * MS);
    ck_assert_int_eq(looksOfAll(MANY), MANY);
}

/* Of those that a walk still has before it, all but one go, that one's turn comes, and who comes
 * meanwhile is looked at next time, as soon as he asks. */
CASE(tick, changesWhileItWalks)
{
    for (int index = 0; index < 3 * WALK; index++)
        add(&members[index], 100 * MS);
    pass(100 * MS); /* the last ones are the first */
    for (int index = 1; index < 2 * WALK; index++)
        FastRingRemoveTick(ring, &members[index].tick);
    add(&members[5000], 30 * MS);
    pass(0);
    ck_assert_int_eq(members[0].looks, 1);
    ck_assert_int_eq(looksOfAll(3 * WALK), WALK + 1);
    ck_assert_int_eq(members[5000].looks, 0);
    ck_assert_int_eq(GetFastRingInterval(ring), 30);
    pass(30 * MS);
    ck_assert_int_eq(members[5000].looks, 1);
}

/* Operations that are over as soon as the kernel has them, one of which a turn handles. */
static bool onEnter(struct Simulated* simulated, const struct io_uring_sqe* entry)
{
    if (entry->opcode != IORING_OP_NOP)
        return false;
    simulatedComplete(simulated, entry->user_data, 0, 0);
    return true;
}

static void submit(int count)
{
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_TURN_LIMIT, 1), 0);
    kernel.enter = onEnter;
    for (int index = 0; index < count; index++) {
        struct FastRingDescriptor* operation = AllocateFastRingDescriptor(ring, NULL, NULL);
        ck_assert_ptr_nonnull(operation);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(operation));
        ck_assert_int_eq(SubmitFastRingDescriptor(operation), 0);
    }
}

/* §2.9 never early: what came while the program did something else is handled first, turn by turn;
 * a tick that is in time waits for nothing */
CASE_ROUNDS(tick, hearsFirst, 2)
{
    add(&members[0], 100 * MS);
    submit(4);
    pass(round == 0 ? 300 * MS : 110 * MS);
    for (int turn = 1; turn < 4 && round == 0; turn++) {
        ck_assert_int_eq(members[0].looks, 0);
        pass(0);
    }
    ck_assert_int_eq(members[0].looks, 1);
    for (int turn = 0; turn < 4; turn++)
        pass(0);
    ck_assert_int_eq(members[0].looks, 1);
}

/* A ring that never has handled all has waited long enough some time. */
CASE(tick, looksInTheEnd)
{
    int turns = 0;
    add(&members[0], 100 * MS);
    submit(2);
    pass(300 * MS);
    for (; turns < 4 * WALK && members[0].looks == 0; turns++) {
        submit(1);
        pass(0);
    }
    ck_assert_int_eq(members[0].looks, 1);
    ck_assert_int_ge(turns, WALK);
}

/* A look may take others off, the next one too. */
CASE(tick, removesInALook)
{
    for (int index = 0; index < 4; index++)
        add(&members[index], 100 * MS);
    members[3].other = &members[2].tick;
    members[1].other = &members[1].tick; /* itself */
    members[1].within = 0;
    pass(100 * MS);
    ck_assert_int_eq(members[2].looks, 0);
    ck_assert_int_eq(looksOfAll(4), 3);
    pass(100 * MS);
    ck_assert_int_eq(looksOfAll(4), 5);
    ck_assert_int_eq(members[0].looks, 2);
}
