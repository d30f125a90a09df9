/*
 * The ring: life, thread, members, questions and options. The turns stand in ring-loop.c.
 *
 * Good path: created on any thread, started by the first wait, released on its thread. The release
 * tells the members that the ring ends, so that they tell their users and cancel what is in flight;
 * runs the loop until every operation is final; closes the members, which become shells; closes the
 * engine. The memory stays until the last shell is released.
 *
 * Failures: released inside a callback: done when the turn ends. The ring's thread has exited: the
 * kernel refuses every call, so nothing can be reaped; members close what they can and leak what the
 * kernel may still write to.
 */
#include "ring/state.h"

#include <Ring/FastSocket.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum
{
    RING_DEFAULT_LENGTH = 256,
    RING_LEAST_LENGTH = 2, /* an operation of a file and what is linked behind it (SOCKET_TRAILED) go together */
    RING_MOST_LENGTH = 32768,
    RING_TURN_LIMIT = 256,
    RING_MOST_TURN_LIMIT = 65536,
    RING_MOST_SPIN_US = 10000,
    RING_LEAST_INBOUND = 4096,
};

#define RING_INBOUND_LIMIT (UINT64_C(256) << 20)
#define RING_POOL_RESERVE  (UINT64_C(256) << 20)

/* ---- checks ---- */

static bool isForked(const struct FastRing* ring)
{
    return ring->forks != FastForkCount();
}

static bool isOwner(const struct FastRing* ring)
{
    if (isForked(ring))
        return false;
    return atomic_load_explicit(&ring->state, memory_order_acquire) == RING_NEW ||
           ring->thread.number == FastThreadNumber();
}

bool FastRingIsReleased(const struct FastRing* ring)
{
    return atomic_load_explicit(&ring->state, memory_order_acquire) == RING_RELEASED;
}

bool FastRingIsEnding(const struct FastRing* ring)
{
    return atomic_load_explicit(&ring->state, memory_order_acquire) >= RING_ENDING;
}

bool FastRingIsStarted(const struct FastRing* ring)
{
    return atomic_load_explicit(&ring->state, memory_order_acquire) != RING_NEW;
}

int FastRingCheck(const struct FastRing* ring)
{
    if (ring == NULL)
        return -EINVAL;
    if (FastRingIsReleased(ring))
        return -ECANCELED;
    return isOwner(ring) ? 0 : -EPERM;
}

int FastRingCheckCall(const struct FastRing* ring)
{
    if (FastRingIsReleased(ring))
        return -ECANCELED;
    return isForked(ring) ? -EPERM : 0;
}

int FastRingCheckCreate(const struct FastRing* ring)
{
    int result = FastRingCheck(ring);
    return result == 0 && FastRingIsEnding(ring) ? -ECANCELED : result;
}

/* ---- references and members ---- */

static void freeRing(struct FastRing* ring)
{
    if (ring->engine != NULL)
        ring->engine->functions->destroy(ring->engine);
    free(ring->scratch.memory);
    FastThreadDestroyLife(&ring->thread.life);
    free(ring);
}

void FastRingHold(struct FastRing* ring)
{
    atomic_fetch_add(&ring->references, 1);
}

void FastRingDrop(struct FastRing* ring)
{
    if (atomic_fetch_sub(&ring->references, 1) == 1)
        freeRing(ring);
}

void FastRingLink(struct FastRing* ring, struct FastRingMember* member,
                  const struct FastRingMemberFunctions* functions)
{
    FastRingHold(ring);
    member->functions = functions;
    member->previous = NULL;
    member->next = ring->members;
    if (member->next != NULL)
        member->next->previous = member;
    ring->members = member;
}

void FastRingUnlink(struct FastRing* ring, struct FastRingMember* member)
{
    if (member->functions == NULL)
        return;
    if (ring->nextToEnd == member)
        ring->nextToEnd = member->next;
    if (member->previous != NULL)
        member->previous->next = member->next;
    else
        ring->members = member->next;
    if (member->next != NULL)
        member->next->previous = member->previous;
    member->functions = NULL;
}

void FastRingAddStarter(struct FastRing* ring, struct FastRingStarter* starter)
{
    starter->next = ring->starters;
    ring->starters = starter;
}

void FastRingRemoveStarter(struct FastRing* ring, struct FastRingStarter* starter)
{
    struct FastRingStarter** place = &ring->starters;
    while (*place != NULL && *place != starter)
        place = &(*place)->next;
    if (*place != NULL)
        *place = starter->next;
}

/* ---- buffer groups: few, one for each provider ---- */

void FastRingAddGroup(struct FastRing* ring, struct FastRingGroup* group)
{
    group->next = ring->groups;
    ring->groups = group;
}

void FastRingRemoveGroup(struct FastRing* ring, struct FastRingGroup* group)
{
    struct FastRingGroup** place = &ring->groups;
    while (*place != NULL && *place != group)
        place = &(*place)->next;
    if (*place != NULL)
        *place = group->next;
}

struct FastRingGroup* FastRingFindGroup(const struct FastRing* ring, uint16_t id)
{
    struct FastRingGroup* group = ring->groups;
    while (group != NULL && group->id != id)
        group = group->next;
    return group;
}

void FastRingDistrust(struct FastRing* ring)
{
    ring->statistics.invalidCompletions++;
    ring->engine->features &= ~(FASTRING_FEATURE_RECEIVE_BUNDLE | FASTRING_FEATURE_RECEIVE_CAP);
}

struct FastEngine* FastRingEngine(struct FastRing* ring)
{
    return ring->engine;
}

/* ---- memory that the kernel may still write to ---- */

void FastRingLeak(const void* memory)
{
    struct leak
    {
        struct leak* next;
        const void* memory;
    };
    static struct leak* _Atomic leaks; /* kept for the reader of a leak report, and for its maker */
    struct leak* leak = malloc(sizeof(*leak));
    if (leak == NULL)
        return;
    leak->memory = memory;
    leak->next = atomic_load(&leaks);
    while (!atomic_compare_exchange_weak(&leaks, &leak->next, leak))
        continue;
}

/* ---- waiters ---- */

void FastWaiterAdd(struct FastWaiterList* list, struct FastWaiter* waiter)
{
    if (waiter->list != NULL)
        return;
    waiter->list = list;
    waiter->next = NULL;
    waiter->previous = list->last;
    if (list->last != NULL)
        list->last->next = waiter;
    else
        list->first = waiter;
    list->last = waiter;
}

void FastWaiterRemove(struct FastWaiter* waiter)
{
    struct FastWaiterList* list = waiter->list;
    if (list == NULL)
        return;
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        list->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        list->last = waiter->previous;
    waiter->list = NULL;
}

bool FastWaiterServe(struct FastWaiterList* list)
{
    struct FastWaiter* waiter = list->first;
    if (waiter == NULL)
        return false;
    FastWaiterRemove(waiter);
    waiter->function(waiter);
    return true;
}

/* ---- levels ---- */

void FastRingAddInbound(struct FastRing* ring, size_t length)
{
    ring->inbound.length += length;
    if (ring->inbound.length < ring->inbound.limit || ring->inbound.tight)
        return;
    ring->inbound.tight = true;
    for (struct FastRingMember* member = ring->members; member != NULL; member = member->next)
        if (member->functions->tighten != NULL)
            member->functions->tighten(member);
}

static void serveInbound(struct FastRing* ring)
{
    ring->inbound.tight = false;
    while (FastWaiterServe(&ring->inbound.waiting))
        continue;
}

void FastRingTakeInbound(struct FastRing* ring, size_t length)
{
    ring->inbound.length -= length;
    /* A quarter below the limit, so that the sockets don't stop and go with every buffer. */
    if (ring->inbound.length <= ring->inbound.limit - ring->inbound.limit / 4)
        serveInbound(ring);
}

bool FastRingInboundIsFull(const struct FastRing* ring)
{
    return ring->inbound.length >= ring->inbound.limit;
}

uint64_t FastRingInboundLimit(const struct FastRing* ring)
{
    return ring->inbound.limit;
}

void FastRingWaitInbound(struct FastRing* ring, struct FastWaiter* waiter)
{
    FastWaiterAdd(&ring->inbound.waiting, waiter);
}

size_t FastRingPoolReserve(const struct FastRing* ring)
{
    return ring->options.poolReserve < SIZE_MAX ? (size_t)ring->options.poolReserve : SIZE_MAX;
}

static void setPoolReserve(struct FastRing* ring, uint64_t bytes)
{
    ring->options.poolReserve = bytes;
    for (struct FastRingMember* member = ring->members; member != NULL; member = member->next)
        if (member->functions->adjust != NULL)
            member->functions->adjust(member);
}

void FastRingCountPending(struct FastRing* ring, int change)
{
    ring->pending = (size_t)((ssize_t)ring->pending + change);
}

void FastRingCountStarvation(struct FastRing* ring)
{
    ring->statistics.starvations++;
}

/* ---- creation ---- */

uint32_t FastRingRoundUp(uint32_t length)
{
    uint32_t result = 1;
    while (result < length)
        result *= 2;
    return result;
}

struct FastRing* CreateFastRing(uint32_t length)
{
    int result = length <= RING_MOST_LENGTH ? -ENOMEM : -EINVAL;
    struct FastRing* ring = result == -ENOMEM ? calloc(1, sizeof(*ring)) : NULL;
    if (ring == NULL)
        goto failed;
    FastThreadMakeLife(&ring->thread.life);
    ring->scratch.memory = malloc(RING_SCRATCH);
    if (ring->scratch.memory == NULL)
        goto failed;
    if (length == 0)
        length = RING_DEFAULT_LENGTH;
    else if (length < RING_LEAST_LENGTH)
        length = RING_LEAST_LENGTH;
    result = FastEngineOpen(&ring->engine, FastRingRoundUp(length));
    if (result < 0)
        goto failed;

    atomic_init(&ring->references, 1);
    FastForkWatch();
    ring->forks = FastForkCount();
    ring->options.turnLimit = RING_TURN_LIMIT;
    ring->options.poolReserve = RING_POOL_RESERVE;
    ring->inbound.limit = RING_INBOUND_LIMIT;
    FastRingMakeMemoryTimer(ring);
    FastRingPrepareCalls(ring);
    return ring;

failed:
    if (ring != NULL)
        freeRing(ring);
    errno = -result;
    return NULL;
}

/* ---- release ---- */

/* Whether the thread that the ring belongs to is no more: its end has cancelled what it had in the kernel. */
static bool ownerIsGone(struct FastRing* ring)
{
    return !isOwner(ring) && FastThreadHasDied(&ring->thread.life);
}

static void endMembers(struct FastRing* ring)
{
    ring->nextToEnd = ring->members;
    while (ring->nextToEnd != NULL) {
        struct FastRingMember* member = ring->nextToEnd;
        ring->nextToEnd = member->next;
        if (member->functions->end != NULL)
            member->functions->end(member);
    }
}

static void closeMembers(struct FastRing* ring, bool orderly)
{
    while (ring->members != NULL) {
        struct FastRingMember* member = ring->members;
        const struct FastRingMemberFunctions* functions = member->functions;
        FastRingUnlink(ring, member);
        functions->close(member, orderly);
    }
}

/* From here on the ring is memory for shells. */
static void closeRing(struct FastRing* ring, bool orderly)
{
    closeMembers(ring, orderly);
    if (isOwner(ring))
        FastThreadEndLife(&ring->thread.life);
    atomic_store(&ring->state, RING_RELEASED);
    ring->engine->functions->close(ring->engine);
    if (!orderly)
        ring->engine->functions->deafen(ring->engine); /* what is leaked may hold the ring for ever */
    FastRingDrop(ring);
}

void FastRingEnd(struct FastRing* ring)
{
    if (!FastRingIsStarted(ring))
        FastRingStart(ring);
    atomic_store(&ring->state, RING_ENDING);
    ring->turn.running = true; /* a callback may not run the loop */
    endMembers(ring);
    FastRingRunFlushers(ring, FASTRING_REASON_RELEASED);
    FastRingDrain(ring);
    closeRing(ring, ring->statistics.operations == 0);
}

void ReleaseFastRing(struct FastRing* ring)
{
    if (ring == NULL || FastRingIsReleased(ring) || atomic_load(&ring->state) == RING_ENDING || isForked(ring))
        return;
    if (ownerIsGone(ring))
        closeRing(ring, false);
    else if (FastRingCheck(ring) < 0)
        return;
    else if (ring->turn.running)
        ring->turn.releaseWanted = true;
    else
        FastRingEnd(ring);
}

/* ---- questions ---- */

int GetFastRingHandle(struct FastRing* ring)
{
    int result = FastRingCheck(ring);
    return result < 0 ? result : ring->engine->functions->getHandle(ring->engine);
}

int GetFastRingInterval(struct FastRing* ring)
{
    int result = FastRingCheck(ring);
    if (result < 0)
        return result;
    if (!FastRingIsStarted(ring) || FastRingHasWork(ring))
        return 0;
    const struct FastTimer* timer = FastTimerFirst(&ring->timers);
    if (timer == NULL)
        return -1;
    int64_t left = timer->deadline - FastRingNow(ring);
    int64_t milliseconds = left > 0 ? (left + 999999) / 1000000 : 0;
    return milliseconds < INT_MAX ? (int)milliseconds : INT_MAX;
}

size_t GetFastRingPending(struct FastRing* ring)
{
    return FastRingCheck(ring) < 0 ? 0 : ring->pending;
}

int IsFastRingThread(struct FastRing* ring)
{
    return ring != NULL && isOwner(ring);
}

uint64_t GetFastRingFeatures(struct FastRing* ring)
{
    return ring != NULL ? ring->engine->features : 0;
}

/* ---- options ---- */

int SetFastRingOption(struct FastRing* ring, int option, uint64_t value)
{
    int result = FastRingCheck(ring);
    if (result < 0)
        return result;
    switch (option) {
    case FASTRING_OPTION_INBOUND_LIMIT:
        if (value < RING_LEAST_INBOUND)
            return -EINVAL;
        ring->inbound.limit = value;
        if (!FastRingInboundIsFull(ring))
            serveInbound(ring);
        return 0;
    case FASTRING_OPTION_TURN_LIMIT:
        if (value < 1 || value > RING_MOST_TURN_LIMIT)
            return -EINVAL;
        ring->options.turnLimit = (uint32_t)value;
        return 0;
    case FASTRING_OPTION_SPIN:
        if (value > RING_MOST_SPIN_US)
            return -EINVAL;
        ring->options.spinUs = (uint32_t)value;
        ring->spinWindowUs = (uint32_t)value;
        return 0;
    case FASTRING_OPTION_POOL_RESERVE:
        setPoolReserve(ring, value);
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int GetFastRingOption(struct FastRing* ring, int option, uint64_t* value)
{
    int result = value != NULL ? FastRingCheck(ring) : -EINVAL;
    if (result < 0)
        return result;
    switch (option) {
    case FASTRING_OPTION_INBOUND_LIMIT:
        *value = ring->inbound.limit;
        return 0;
    case FASTRING_OPTION_TURN_LIMIT:
        *value = ring->options.turnLimit;
        return 0;
    case FASTRING_OPTION_SPIN:
        *value = ring->options.spinUs;
        return 0;
    case FASTRING_OPTION_POOL_RESERVE:
        *value = ring->options.poolReserve;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

/* ---- statistics ---- */

void FastCopyStatistics(void* target, size_t size, const void* source, size_t known)
{
    memcpy(target, source, size < known ? size : known);
    if (size > known)
        memset((char*)target + known, 0, size - known);
}

int GetFastRingStatistics(struct FastRing* ring, struct FastRingStatistics* statistics, size_t size)
{
    int result = statistics != NULL ? FastRingCheck(ring) : -EINVAL;
    if (result < 0)
        return result;
    struct FastRingStatistics now = ring->statistics;
    now.inboundLength = ring->inbound.length;
    now.operations -= ring->calls.armed; /* our own ear for other threads is no news */
    for (const struct FastRingMember* member = ring->members; member != NULL; member = member->next)
        if (member->functions->count != NULL)
            member->functions->count(member, &now);
    FastCopyStatistics(statistics, size, &now, sizeof(now));
    return 0;
}

const char* GetFastSocketVersion(void)
{
#define TEXT(value)                  #value
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)
    return VERSION(FASTSOCKET_VERSION_MAJOR, FASTSOCKET_VERSION_MINOR, FASTSOCKET_VERSION_PATCH);
#undef VERSION
#undef TEXT
}
