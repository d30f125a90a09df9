/*
 * Ties a pool to a ring.
 *
 * The binding between the two is a member of the ring: it makes the ring's thread the pool's own at
 * the first wait, adds the pool's levels to the ring's statistics, wakes those who wait for memory
 * when a buffer comes home, has the pool's surplus decay by a timer, which stands still when there
 * is none, and closes the pool when the ring goes.
 *
 * It has two holders: the pool, until its last buffer has come home, which may happen in any thread
 * and long after the ring is gone; and the ring, until it goes or hears, by the farewell call, that
 * the pool is gone. So neither has to look whether the other still lives.
 */
#include "base/dump.h"
#include "memory/provider.h"
#include "memory/ring-pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum
{
    BINDING_NS_PER_MS = 1000000,
    BINDING_DECAY_NS = 1000000000, /* until the first look at what is not needed */
};

struct PoolBinding
{
    struct FastPoolOwner owner;
    struct FastRingMember member;
    struct FastRingStarter starter;
    struct FastRingCall home;
    struct FastRingCall farewell;
    struct FastRing* origin; /* only to be compared */
    uint64_t forks;          /* FastForkCount() when it was made */
    pthread_mutex_t lock;    /* of what follows, for threads that are not the ring's */
    struct FastRing* ring;   /* NULL after the ring: it need not wait for the last buffer */
    struct FastBufferPool* pool;
    atomic_int holders;
    struct FastTimer decay;
    atomic_bool surplus; /* onHome is to start it */
    atomic_bool started; /* from now on its ring tells threads apart */
    bool leaving;        /* onHome is still to run, and leaves then */
    bool left;
};

static void dropBinding(struct PoolBinding* binding)
{
    if (atomic_fetch_sub_explicit(&binding->holders, 1, memory_order_acq_rel) > 1)
        return;
    FastPoolFree(binding->pool);
    FastForkDestroyLock(&binding->lock, binding->forks);
    FastRingBury(binding, sizeof(*binding), &binding->ring);
}

/* The ring's thread, or whoever releases the ring after it. */
static void forgetRing(struct PoolBinding* binding)
{
    struct FastRing* ring = binding->ring;

    binding->left = true;
    FastRingStopTimer(ring, &binding->decay);
    pthread_mutex_lock(&binding->lock);
    binding->ring = NULL;
    pthread_mutex_unlock(&binding->lock);
    FastRingDrop(ring);
    dropBinding(binding);
}

/* The ring's thread: ends the ring's part. */
static void leaveRing(struct PoolBinding* binding)
{
    if (binding->left)
        return;
    if (FastRingCallIsPending(&binding->home)) {
        binding->leaving = true;
        return;
    }
    FastRingUnlink(binding->ring, &binding->member);
    forgetRing(binding);
}

/* false: it is taken, and this is a forked child, where the thread that has it may not be. The
 * child has nothing to ask or tell the ring. */
static bool lockBinding(struct PoolBinding* binding)
{
    return FastForkLock(&binding->lock, binding->forks, true);
}

static bool isRingThread(struct PoolBinding* binding)
{
    if (!lockBinding(binding))
        return false;
    bool result = atomic_load(&binding->started) && binding->ring != NULL &&
                  FastRingIsOwned(binding->ring);
    pthread_mutex_unlock(&binding->lock);
    return result;
}

/* Without a ring nobody waits for the call. */
static void submitCall(struct PoolBinding* binding, struct FastRingCall* call)
{
    if (!lockBinding(binding))
        return;
    if (binding->ring != NULL)
        (void)FastRingSubmitCall(binding->ring, call);
    pthread_mutex_unlock(&binding->lock);
}

/* ---- what the pool calls, in any thread ---- */

static void notifyHome(struct FastPoolOwner* owner)
{
    struct PoolBinding* binding = FAST_CONTAINER(owner, struct PoolBinding, owner);

    submitCall(binding, &binding->home);
}

static void startDecay(struct PoolBinding* binding)
{
    FastRingSetTimer(binding->ring, &binding->decay, BINDING_DECAY_NS);
}

static void notifySurplus(struct FastPoolOwner* owner)
{
    struct PoolBinding* binding = FAST_CONTAINER(owner, struct PoolBinding, owner);

    if (isRingThread(binding)) {
        startDecay(binding);
        return;
    }
    atomic_store(&binding->surplus, true);
    submitCall(binding, &binding->home);
}

static void notifyGone(struct FastPoolOwner* owner)
{
    struct PoolBinding* binding = FAST_CONTAINER(owner, struct PoolBinding, owner);

    if (isRingThread(binding))
        leaveRing(binding);
    else
        submitCall(binding, &binding->farewell); /* or the ring ends first: closeMember leaves */
    dropBinding(binding);
}

/* Before its first wait the ring can't tell its thread. */
static bool runLater(struct FastPoolOwner* owner, struct FastTask* task)
{
    struct PoolBinding* binding = FAST_CONTAINER(owner, struct PoolBinding, owner);

    if (!isRingThread(binding))
        return false;
    FastRingNotifyAnyhow(binding->ring, task);
    return true;
}

/* ---- what the ring calls ---- */

static void onHome(struct FastRingCall* call)
{
    struct PoolBinding* binding = FAST_CONTAINER(call, struct PoolBinding, home);

    FastRingMemoryReturned(binding->ring);
    if (atomic_exchange(&binding->surplus, false))
        startDecay(binding);
    if (binding->leaving)
        leaveRing(binding);
}

static void onFarewell(struct FastRingCall* call)
{
    leaveRing(FAST_CONTAINER(call, struct PoolBinding, farewell));
}

static void onStart(struct FastRingStarter* starter)
{
    struct PoolBinding* binding = FAST_CONTAINER(starter, struct PoolBinding, starter);

    FastPoolAdopt(binding->pool);
    atomic_store(&binding->started, true);
}

static void onDecay(struct FastTimer* timer)
{
    struct PoolBinding* binding = FAST_CONTAINER(timer, struct PoolBinding, decay);
    uint32_t milliseconds = FastPoolDecay(binding->pool);

    if (milliseconds > 0)
        FastRingSetTimer(binding->ring, timer, (int64_t)milliseconds * BINDING_NS_PER_MS);
}

static void adjustMember(struct FastRingMember* member)
{
    const struct PoolBinding* binding = FAST_CONTAINER(member, struct PoolBinding, member);

    FastPoolSetReserve(binding->pool, FastRingPoolReserve(binding->ring));
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct PoolBinding* binding = FAST_CONTAINER(member, struct PoolBinding, member);

    (void)orderly; /* buffers that the kernel may still own are leaked by who gave them to it */
    FastPoolClose(binding->pool);
    forgetRing(binding);
}

static void countMember(const struct FastRingMember* member, struct FastRingStatistics* statistics)
{
    const struct PoolBinding* binding = FAST_CONTAINER(member, struct PoolBinding, member);

    statistics->buffers += FastPoolBuffers(binding->pool);
    statistics->bufferBytes += FastPoolMemory(binding->pool);
}

static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    const struct FastBufferPool* pool =
        FAST_CONTAINER(member, const struct PoolBinding, member)->pool;
    FastDumpBegin(dump, "pool", pool);
    FastDumpNumber(dump, "buffers", FastPoolBuffers(pool));
    FastDumpNumber(dump, "bytes", FastPoolMemory(pool));
    FastDumpNumber(dump, "free-bytes", FastPoolFreeBytes(pool));
    FastDumpNumber(dump, "reserve", FastPoolReserve(pool));
    FastDumpEnd(dump);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .close = closeMember,
    .adjust = adjustMember,
    .count = countMember,
    .kind = "pool",
    .offset = offsetof(struct PoolBinding, member),
    .dump = dumpMember,
};

static struct FastBufferPool* createBoundPool(struct FastRing* ring)
{
    struct PoolBinding* binding = calloc(1, sizeof(*binding));

    if (binding == NULL)
        return NULL;
    binding->pool = FastPoolCreate(&binding->owner);
    if (binding->pool == NULL) {
        free(binding);
        return NULL;
    }
    binding->owner.home = notifyHome;
    binding->owner.gone = notifyGone;
    binding->owner.surplus = notifySurplus;
    binding->owner.later = runLater;
    binding->decay.function = onDecay;
    binding->home.function = onHome;
    binding->farewell.function = onFarewell;
    binding->starter.function = onStart;
    binding->ring = ring;
    binding->origin = ring;
    binding->forks = FastForkCount(); /* the pool watches them */
    pthread_mutex_init(&binding->lock, NULL);
    atomic_init(&binding->holders, 2);
    FastPoolSetReserve(binding->pool, FastRingPoolReserve(ring));
    FastRingLink(ring, &binding->member, &memberFunctions);
    if (FastRingIsStarted(ring))
        onStart(&binding->starter);
    else
        FastRingAddStarter(ring, &binding->starter);
    return binding->pool;
}

/* Whether the calling thread may hold and drop the pool: the ring's, or any after the ring. */
static bool isThreads(struct FastPoolOwner* owner)
{
    struct PoolBinding* binding = FAST_CONTAINER(owner, struct PoolBinding, owner);
    if (!lockBinding(binding))
        return false;
    bool result = binding->ring == NULL || FastRingCheck(binding->ring) != -EPERM;
    pthread_mutex_unlock(&binding->lock);
    return result;
}

/* ---- for providers whose buffers come from a pool ---- */

static bool suitsThread(const void* closure)
{
    struct FastPoolOwner* owner = closure != NULL ? FastPoolGetOwner(closure) : NULL;
    return owner == NULL || isThreads(owner);
}

static void holdSource(void* closure)
{
    FastPoolHold(closure);
}

static void dropSource(void* closure)
{
    FastPoolDrop(closure);
}

static const struct FastProviderSource poolSource = {
    .function = AllocateRingFastBuffer,
    .hold = holdSource,
    .drop = dropSource,
    .suits = suitsThread,
    .takeMade = FastPoolTakeMade,
};

/* ---- what users call ---- */

struct FastBufferPool* CreateFastBufferPool(struct FastRing* ring)
{
    FastProviderSetSource(&poolSource);
    if (ring == NULL)
        return FastPoolCreate(NULL);

    int result = FastRingCheckCreate(ring);
    if (result < 0) {
        errno = -result;
        return NULL;
    }
    return createBoundPool(ring);
}

/* Check mode knows pools by their own address, from their release on. A forked child only gives
 * back a copy. */
static void noteRelease(const struct FastBufferPool* pool, bool may)
{
    if (may)
        FastCheckReleased(pool, "pool");
    else if (pool->forks == FastForkCount())
        FastCheckForeign(pool);
}

void ReleaseFastBufferPool(struct FastBufferPool* pool)
{
    if (pool == NULL)
        return;

    struct FastPoolOwner* owner = FastPoolGetOwner(pool);
    bool may = owner == NULL || isThreads(owner);
    if (FastCheckRuns())
        noteRelease(pool, may);
    if (may)
        FastPoolDrop(pool);
}

struct FastRing* FastPoolRing(const struct FastBufferPool* pool)
{
    struct FastPoolOwner* owner = FastPoolGetOwner(pool);
    return owner != NULL ? FAST_CONTAINER(owner, struct PoolBinding, owner)->origin : NULL;
}
