/*
 * The world of an episode: a ring with pools and providers, its parts, and how it becomes quiet.
 *
 * A synchronization lets the plain ends write and read, and the ring run, until everything that the
 * model expects has come, and then for some more turns, in which nothing may come. What comes later
 * still is in the trace behind the next batch, where it differs.
 */
#include "model.h"

#include <time.h>

enum
{
    QUIET_TURNS = 2,
    EAGER_TURNS = 8,  /* before a wait for what is missing */
    CLOCK_TURNS = 64, /* between looks at the time */
    LATE_SECONDS = 1, /* released sockets wait so long for their peers */
};

struct World world;
uint32_t patience = 20000; /* bounds a hang, nothing else */

static const struct Part* const parts[] = {&linkPart, &listenerPart, &servicePart, &rawPart};

enum
{
    PARTS = sizeof(parts) / sizeof(parts[0]),
};

/* ---- becoming quiet -------------------------------------------------------------------------- */

int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static bool pumpAll(bool all)
{
    bool moved = false;

    for (int index = 0; index < PARTS; index++)
        moved |= parts[index]->pump(all);
    return moved;
}

/* Handlers may have done something since the last time. */
static bool beginAll(void)
{
    bool acts = false;

    for (int index = 0; index < PARTS; index++)
        acts |= parts[index]->begin();
    return acts;
}

/* What is to come, as of now. */
static const char* findMissing(void)
{
    for (int index = 0; index < PARTS; index++) {
        const char* missing = parts[index]->missing();
        if (missing != NULL)
            return missing;
    }
    return NULL;
}

/* Returns whether something has happened. */
static bool turn(uint32_t interval)
{
    bool moved = pumpAll(false);
    uint64_t before = world.completions;

    ck_assert_int_eq(WaitForFastRing(world.ring, interval, NULL), 0);
    world.completions = readRing(world.ring).completions;
    return moved || (world.completions != before) || (GetFastRingInterval(world.ring) == 0);
}

/* What is missing is given up some time after the last progress. */
static void beImpatient(int64_t* start, uint64_t* progress, const char* missing)
{
    if (world.progress != *progress)
        *start = now();
    *progress = world.progress;
    ck_assert_msg(now() - *start < patience * INT64_C(1000000), "%s",
                  (missing != NULL) ? missing : "the ring never becomes quiet");
}

/* Most turns of a long way to quiet only move something: what that costs is an enter, and a system
 * call for each plain end that waits for something. The rest is looked at when nothing moves. */
static void becomeQuiet(void)
{
    int64_t begin = now();
    int64_t start = begin;
    uint64_t progress = world.progress;
    int quiet = 0;

    for (uint32_t turns = 1;; turns++) {
        bool happened = turn((quiet < EAGER_TURNS) ? 0 : 1);
        const char* missing = NULL;
        quiet = happened ? 0 : quiet + 1;
        if (turns % CLOCK_TURNS == 0)
            beImpatient(&start, &progress, NULL);
        if (quiet < QUIET_TURNS)
            continue;
        if (beginAll() || pumpAll(true)) {
            quiet = 0;
            continue;
        }
        missing = findMissing();
        if (missing == NULL)
            break;
        beImpatient(&start, &progress, missing);
    }
    if (now() - begin > LATE_SECONDS * INT64_C(500000000))
        report->late = true;
}

void synchronize(void)
{
    becomeQuiet();
    for (int index = 0; index < PARTS; index++)
        parts[index]->write();
    world.turned = false;
    world.entered = false;
    world.canceling = false;
    report->syncs++;
}

void beforeEnter(void)
{
    if (world.canceling)
        synchronize();
    world.entered = true;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void openPool(struct Pool* pool, uint16_t count, uint32_t length)
{
    pool->count = count;
    pool->length = length;
    pool->provider = CreateFastRingBufferProvider(world.ring, 0, count, length,
                                                  AllocateRingFastBuffer, world.inbound);
    ck_assert_msg(pool->provider != NULL, "CreateFastRingBufferProvider: %s", strerror(errno));
}

static void openWorld(struct Chance* chance)
{
    static const uint32_t lengths[] = {8, 32, 256, 256};
    static const uint16_t counts[] = {16, 64, 256};
    static const uint32_t sizes[] = {512, 4096, 16384};
    static const uint64_t limits[] = {1, 7, 256, 256};
    uint32_t length = lengths[draw(chance, 4)];
    uint64_t limit = limits[draw(chance, 4)];
    bool own = !oneIn(chance, 4);

    world.ring = CreateFastRing(length);
    for (uint32_t tries = 0; (world.ring == NULL) && (errno == EPERM) && (tries < 100); tries++) {
        usleep(100000); /* somebody tries what the machine's switch does */
        world.ring = CreateFastRing(length);
    }
    ck_assert_msg(world.ring != NULL, "CreateFastRing: %s", strerror(errno));
    world.inbound = CreateFastBufferPool(own ? world.ring : NULL);
    world.outbound = CreateFastBufferPool(own ? world.ring : NULL);
    ck_assert_ptr_nonnull(world.inbound);
    ck_assert_ptr_nonnull(world.outbound);
    openPool(&world.pools[0], counts[draw(chance, 3)], sizes[draw(chance, 3)]);
    openPool(&world.pools[1], (uint16_t)(1 << draw(chance, 3)), 64U << draw(chance, 4));
    ck_assert_int_eq(SetFastRingOption(world.ring, FASTRING_OPTION_TURN_LIMIT, limit), 0);
    say("ring %s of %u, turn limit %llu, %u buffers of %u, %u of %u", GetFastRingEngine(world.ring),
        length, (unsigned long long)limit, world.pools[0].count, world.pools[0].length,
        world.pools[1].count, world.pools[1].length);
    for (int index = 0; index < PARTS; index++)
        parts[index]->open(chance);
}

static void releaseMemory(void)
{
    for (int index = 0; index < POOLS; index++)
        ReleaseFastRingBufferProvider(world.pools[index].provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(world.inbound);
    ReleaseFastBufferPool(world.outbound);
}

static bool isEmpty(void* closure)
{
    struct FastRingStatistics statistics = readRing(world.ring);

    (void)closure;
    pumpAll(true);
    return (GetFastRingPending(world.ring) == 0) && (statistics.sockets == 0);
}

/* All is asked to end, does, and nothing is left. */
static void endInOrder(void)
{
    struct FastRingStatistics statistics;

    for (int index = 0; index < PARTS; index++)
        parts[index]->finish();
    synchronize();
    ck_assert_msg(runUntil(world.ring, isEmpty, NULL), "%llu sockets stay, %zu of them pending",
                  (unsigned long long)readRing(world.ring).sockets, GetFastRingPending(world.ring));
    for (int index = 0; index < PARTS; index++)
        parts[index]->close();
    releaseMemory();
    runIdle(world.ring);
    statistics = readRing(world.ring);
    ck_assert_msg(statistics.buffers == 0, "%llu buffers stay",
                  (unsigned long long)statistics.buffers);
    ck_assert_uint_eq(statistics.inboundLength, 0);
    ck_assert_uint_eq(statistics.invalidCompletions, 0);
    ReleaseFastRing(world.ring);
}

/* The ring goes first, and leaves the others defunct. */
static void endAtOnce(void)
{
    world.ending = true;
    ReleaseFastRing(world.ring);
    for (int index = 0; index < PARTS; index++)
        parts[index]->close();
    releaseMemory();
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void stepTurn(void)
{
    say("turn");
    ck_assert_int_eq(WaitForFastRing(world.ring, 0, NULL), 0);
    world.completions = readRing(world.ring).completions;
    world.turned = true;
}

static void stepAny(struct Chance* chance)
{
    uint32_t what = draw(chance, 100);

    if (what < 62)
        stepLink(chance);
    else if (what < 66)
        stepTurn();
    else if (what < 71)
        stepListener(chance);
    else if (what < 83)
        stepService(chance);
    else
        stepRaw(chance);
}

static void step(struct Chance* chance)
{
    world.acted = false;
    stepAny(chance);
    report->steps++;
    report->acted += world.acted;
}

void runEpisode(const struct Plan* plan)
{
    struct Chance chance = chanceOf(plan->seed, 0);
    int descriptors = countDescriptors();
    bool orderly = !oneIn(&chance, 4);

    world = (struct World){.verbose = plan->verbose};
    openWorld(&chance);
    for (uint32_t number = 1; number <= plan->steps; number++) {
        bool last = false;
        if ((plan->dropped != NULL) && plan->dropped[number])
            continue;
        chance = chanceOf(plan->seed, number);
        report->step = number;
        last = draw(&chance, 3) == 0;
        step(&chance);
        if (last)
            synchronize();
    }
    report->step = plan->steps + 1;
    world.thorough = true;
    synchronize();
    if (orderly)
        endInOrder();
    else
        endAtOnce();
    ck_assert_int_eq(countDescriptors(), descriptors);
    report->done = true;
}
