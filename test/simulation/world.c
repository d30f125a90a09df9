#include "world.h"

#include "kernel-memory.h"
#include "memory-allocate.h"
#include "memory-system.h"
#include "parts.h"
#include "scheduler.h"

#include "ring/life.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum
{
    QUIET_TURNS = 4000, /* in which all that is missing must come */
    CLOSE_TURNS = 20000,
    TURN_MS = 10,
    TURN_NS = 1000000,  /* that pass in any case: a watch that holds keeps turns from waiting */
    LONG_TURN_MS = 200, /* what is to be flushed is given up after 30 s without progress */
};

struct World world;

static const struct Part* const parts[] = {&timePart, &watchPart, &listenerPart, &rawPart,
                                           &connectionPart};

enum
{
    PARTS = sizeof(parts) / sizeof(parts[0]),
};

void runPart(struct Chance* chance)
{
    parts[draw(chance, PARTS)]->step(chance);
}

/* ---- turns ---- */

/* Each that was not released has heard of it. */
static void noteRingEnd(void)
{
    world.context = AUTOMATON_OUTSIDE;
    world.ending = true;
    world.ring = NULL;
    for (int index = 0; index < LINKS; index++) {
        struct Link* link = &world.links[index];
        if (link->used)
            checkNotices(link);
        if (!link->used || link->released)
            continue;
        const char* rule = automatonRingEnd(&link->automaton);
        if (rule != NULL)
            wrong("link %u: %s", link->number, rule);
    }
}

void releaseRingInTurn(void)
{
    tell("the ring is released in a turn");
    world.releasing = true;
    world.ending = true; /* events of this turn may be of the end */
    ReleaseFastRing(world.ring);
}

void runTurn(uint32_t interval)
{
    if (world.ring == NULL)
        return;
    world.turn++;
    world.context = AUTOMATON_WAIT;
    int result = WaitForFastRing(world.ring, interval, NULL);
    world.context = AUTOMATON_OUTSIDE;
    if (result == -ECANCELED && world.releasing) {
        noteRingEnd();
        return;
    }
    if (result != 0)
        wrong("WaitForFastRing gives %d", result);
    for (int index = 0; index < LINKS; index++) {
        struct Link* link = &world.links[index];
        if (link->used)
            checkNotices(link);
        if (!link->used || link->released)
            continue;
        const char* rule = automatonTurnEnd(&link->automaton);
        if (rule != NULL)
            wrong("link %u: %s", link->number, rule);
    }
    for (int index = 0; index < LINKS; index++)
        if (world.links[index].used && world.links[index].peerReads)
            (void)readAsPeer(&world.links[index], SIZE_MAX);
}

static struct FastRingStatistics readRing(void)
{
    struct FastRingStatistics statistics = {0};

    (void)GetFastRingStatistics(world.ring, &statistics, sizeof(statistics));
    return statistics;
}

/* What is counted for the ring is what its sockets have, and no completion was refused. */
static void checkRing(void)
{
    struct FastRingStatistics statistics = readRing();
    uint64_t unread = 0;
    uint64_t sockets = 0;

    for (int index = 0; index < LINKS; index++) {
        if (!world.links[index].used || world.links[index].socket == NULL)
            continue;
        unread += GetFastSocketInboundLength(world.links[index].socket);
        sockets++;
    }
    /* One that was released may have some until it is closed. */
    if (statistics.inboundLength != unread && statistics.sockets == sockets)
        wrong("%llu bytes are unread, and %llu are counted", (unsigned long long)unread,
              (unsigned long long)statistics.inboundLength);
    if (statistics.invalidCompletions > 0)
        wrong("a completion was refused that was true");
}

/* The kernel has the buffers that are provided, when nothing is on its way. */
static void awaitBuffers(void)
{
    for (int turn = 0; world.ring != NULL && readRing().providedBuffers != groupsCount(); turn++) {
        if (turn == QUIET_TURNS)
            wrong("%llu buffers are provided, and the kernel has %u",
                  (unsigned long long)readRing().providedBuffers, groupsCount());
        runTurn(TURN_MS);
        timePass(TURN_NS);
    }
}

static void checkAll(void)
{
    if (world.ring != NULL)
        checkRing();

    for (int index = 0; index < LINKS; index++)
        if (world.links[index].used)
            checkLink(&world.links[index]);
}

/* ---- the beginning ---- */

static bool openRing(struct Chance* chance)
{
    static const uint32_t lengths[] = {2, 4, 8, 32, 32};
    static const uint32_t completions[] = {4, 16, 128, 128};
    static const uint64_t limits[] = {1, 3, 256, 256};
    const uint64_t zeroCopy = FASTRING_FEATURE_SEND_ZERO_COPY | FASTRING_FEATURE_SENDMSG_ZERO_COPY;
    struct SchedulerPlan plan = {
        .length = lengths[draw(chance, 5)],
        .completions = completions[draw(chance, 4)],
        .alert = oneIn(chance, 2),
        .inside = oneIn(chance, 2),
        .counts = !oneIn(chance, 3),
    };
    if (plan.completions < plan.length)
        plan.completions = plan.length;
    if (oneIn(chance, 4))
        plan.hidden |= FASTRING_FEATURE_RECEIVE_BUNDLE;
    if (oneIn(chance, 4))
        plan.hidden |= FASTRING_FEATURE_RECEIVE_CAP;
    if (oneIn(chance, 4))
        plan.hidden |= FASTRING_FEATURE_ACCEPT_AT_ONCE;
    if (oneIn(chance, 3))
        plan.hidden |= FASTRING_FEATURE_WRITE_NO_SIGNAL;
    if (!oneIn(chance, 4))
        plan.claimed |= zeroCopy;
    if (oneIn(chance, 2))
        plan.claimed |= FASTRING_FEATURE_ZERO_COPY_REPORT;
    if (oneIn(chance, 3)) /* and with it the engine says when an enter would find something */
        plan.claimed |= FASTRING_FEATURE_DEFER_TASKRUN;
    struct FastEngine* engine = schedulerOpen(memorySystemBegin(), &plan);
    if (engine == NULL)
        return false;
    world.ring = FastRingCreateOn(engine);
    tell("ring of %u entries and %u completions, hidden %llx, claimed %llx%s", plan.length,
         plan.completions, (unsigned long long)plan.hidden, (unsigned long long)plan.claimed,
         plan.alert ? ", alert" : "");
    if (world.ring == NULL)
        return false;
    (void)SetFastRingOption(world.ring, FASTRING_OPTION_TURN_LIMIT, limits[draw(chance, 4)]);
    return true;
}

static bool openPools(struct Chance* chance)
{
    bool own = !oneIn(chance, 4);

    world.inbound = CreateFastBufferPool(own ? world.ring : NULL);
    world.outbound = CreateFastBufferPool(own ? world.ring : NULL);
    if (world.inbound == NULL || world.outbound == NULL)
        return false;
    for (int index = 0; index < PROVIDERS; index++) {
        static const uint32_t lengths[] = {96, 256, 700, 2000};
        world.providers[index].length = lengths[draw(chance, 4)];
        world.providers[index].count = 1U << draw(chance, 5);
        world.providers[index].provider = CreateFastRingBufferProvider(
            world.ring, 0, (uint16_t)world.providers[index].count, world.providers[index].length,
            AllocateRingFastBuffer, world.inbound);
        tell("provider %d: %u of %u", index, world.providers[index].count,
             world.providers[index].length);
    }
    return true;
}

static void openWorld(struct Chance* chance)
{
    memset(&world, 0, sizeof(world));
    for (int index = 0; index < PARTS; index++)
        parts[index]->open();
    keepNothing();
    if (!openRing(chance) || !openPools(chance))
        return;
    (void)openLink(chance);
    if (oneIn(chance, 2))
        (void)openLink(chance);
}

/* ---- becoming quiet ---- */

static void letGo(struct Link* link)
{
    link->peerReads = true;
    finishConnect(link, 0);
    link->lags |= link->habit != HABIT_READ && link->habit != HABIT_BUFFERS;
    link->habit = HABIT_READ;
    if (link->socket == NULL)
        return;
    (void)SetFastSocketOption(link->socket, FASTSOCKET_OPTION_INBOUND_HIGH, 1 << 20);
    (void)SetFastSocketOption(link->socket, FASTSOCKET_OPTION_TURN_LIMIT, 256 << 10);
    if (link->paused && ResumeFastSocket(link->socket) == 0) {
        link->paused = false;
        automatonResume(&link->automaton);
    }
}

/* Raw operations may have what others wait for. What a link leaves unread keeps others from
 * nothing. */
static const char* findMissing(const struct Link* hoarder, uint32_t* number)
{
    const char* missing = NULL;

    dropKept(NULL);

    *number = 0;
    for (int index = 0; index < PARTS; index++) {
        const char* ofPart = parts[index]->missing();
        missing = ofPart != NULL ? ofPart : missing;
    }
    for (int index = 0; index < LINKS && missing == NULL; index++) {
        struct Link* link = &world.links[index];
        if (!link->used || link == hoarder)
            continue;
        if (link->socket != NULL)
            takeInput(link, SIZE_MAX);
        missing = missingOfLink(link);
        *number = link->number;
    }
    return missing;
}

static void awaitAll(const struct Link* hoarder)
{
    const char* missing = NULL;
    uint32_t number = 0;

    for (int turn = 0; turn < QUIET_TURNS && world.ring != NULL; turn++) {
        runTurn(TURN_MS);
        timePass(TURN_NS);
        missing = findMissing(hoarder, &number);
        if (missing == NULL && turn > 4)
            return;
    }
    if (world.ring != NULL)
        wrong("link %u: %s never comes", number, missing);
}

/* Nothing goes wrong any more: then all that is to come comes. */
static void becomeQuiet(struct Chance* chance)
{
    struct Link* hoarder = &world.links[draw(chance, LINKS)];

    run->calm = true;
    tell("calm");
    /* With a small limit the ring may never have handled all that has come. */
    (void)SetFastRingOption(world.ring, FASTRING_OPTION_TURN_LIMIT, oneIn(chance, 4) ? 1 : 256);
    for (int index = 0; index < LINKS; index++)
        if (world.links[index].used)
            letGo(&world.links[index]);
    if (hoarder->used && oneIn(chance, 3)) {
        hoarder->habit = HABIT_LEAVE;
        hoarder->lags = true;
        (void)SetFastRingOption(world.ring, FASTRING_OPTION_INBOUND_LIMIT, 4096);
        awaitAll(hoarder);
    }
    (void)SetFastRingOption(world.ring, FASTRING_OPTION_INBOUND_LIMIT, 256 << 20);
    awaitAll(NULL);
    awaitBuffers();
}

/* ---- the end ---- */

static void closePeers(void)
{
    for (int index = 0; index < LINKS; index++)
        if (world.links[index].used && world.links[index].peer != NULL)
            closeAsPeer(&world.links[index]);
}

static void releaseSockets(struct Chance* chance)
{
    for (int index = 0; index < LINKS; index++)
        if (world.links[index].used && world.links[index].socket != NULL)
            releaseLink(&world.links[index], oneIn(chance, 3));
}

static void awaitClose(void)
{
    for (int turn = 0; GetFastRingPending(world.ring) > 0; turn++) {
        if (turn == CLOSE_TURNS)
            wrong("%zu sockets are never closed", GetFastRingPending(world.ring));
        runTurn(turn < CLOSE_TURNS / 20 ? TURN_MS : LONG_TURN_MS);
        timePass(turn < CLOSE_TURNS / 20 ? TURN_NS : LONG_TURN_MS * TURN_NS);
        checkAll();
    }
}

static void releaseRing(void)
{
    world.ending = true;
    world.turn++;
    world.context = AUTOMATON_END;
    ReleaseFastRing(world.ring);
    world.context = AUTOMATON_OUTSIDE;
    noteRingEnd();
}

static void releaseProviders(void)
{
    for (int index = 0; index < PROVIDERS; index++)
        ReleaseFastRingBufferProvider(world.providers[index].provider, ReleaseRingFastBuffer);
}

static void releasePools(void)
{
    ReleaseFastBufferPool(world.inbound);
    ReleaseFastBufferPool(world.outbound);
}

/* In any order, but that what is asked is still there. */
static void closeWorld(struct Chance* chance)
{
    uint32_t order = draw(chance, 4);

    if (world.ring != NULL)
        for (int index = 0; index < PARTS; index++)
            parts[index]->release(chance);

    if (order & 1) {
        releaseProviders();
        releasePools();
    }
    if (world.ring != NULL && oneIn(chance, 2)) {
        releaseSockets(chance);
        awaitClose();
    }
    if (world.ring != NULL)
        releaseRing();
    for (int index = 0; index < PARTS; index++)
        parts[index]->close();
    releaseSockets(chance);
    if (order & 2)
        dropKept(NULL);
    if (!(order & 1)) {
        releasePools();
        releaseProviders();
    }
    dropKept(NULL);
    closePeers();
}

/* Nothing is left of it. */
static void checkEmpty(int64_t allocations)
{
    if (schedulerKeptBack() > 0)
        wrong("%u completions are left", schedulerKeptBack());
    if (handleCount() > 0)
        wrong("%u descriptors are left open", handleCount());
    if (memoryCountFiles() > 0)
        wrong("%u files are left", memoryCountFiles());
    if (groupsCount() > 0)
        wrong("the kernel still has %u buffers", groupsCount());
    if (memoryAllocations() != allocations)
        wrong("%lld pieces of memory are left",
              (long long)(memoryAllocations() - allocations));
}

void runSchedule(const struct Schedule* what)
{
    int64_t allocations = memoryAllocations();

    beginSchedule(what);
    struct Chance chance = chanceOfOpening();
    openWorld(&chance);
    for (uint32_t step = 1; step <= what->steps && world.ring != NULL && !scheduleIsOver();
         step++) {
        if (what->left[step])
            continue;
        beginStep(step);
        runStep(step);
        checkAll();
        run->steps++;
    }
    beginStep(what->steps + 1);
    chance = chanceOfEnding();
    if (world.ring != NULL && !oneIn(&chance, 4))
        becomeQuiet(&chance);
    closeWorld(&chance);
    checkEmpty(allocations);
}
