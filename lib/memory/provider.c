/*
 * The kernel's buffer rings: memory that receives are filled into.
 *
 * Good path: a provider fills its slots once. A completion names a slot (of a bundle, the first of
 * several); its owner takes the buffer and puts another one in its place, or gives the same one back,
 * at once. Buffers of a bundle follow each other in the order in which they were put back, neither by
 * id nor in the order of completions: so every put is logged, each slot knows its last entry in the
 * log, and the successor of a buffer is the log's next entry.
 *
 * Failures: no memory for a replacement: the slot stays vacant and is refilled when memory returns. A
 * receive that ends for want of buffers waits here; the kernel would answer it again at once. Waiters
 * are served, first come first served, as many a turn as there are buffers, so that one buffer shared
 * by many sockets costs one try a message; twice as many when those served before left the buffers
 * alone, because a socket without data takes none but must be armed all the same. The ring ends: the
 * provider is a shell and keeps its buffers until its user releases it.
 */
#include "memory/provider-state.h"
#include "base/checker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum
{
    PROVIDER_DEFAULT_COUNT = 256,
    PROVIDER_MOST_COUNT = 32768,
    PROVIDER_LEAST_LENGTH = 64,
    PROVIDER_MOST_LENGTH = 1 << 30,
    PROVIDER_FIRST_GROUP = 0x8000, /* those that we pick: away from the small numbers that people like */
    PROVIDER_LAST_GROUP = 0xffff,
};

/* ---- tasks: each holds the provider while it is queued ---- */

static void deferTask(struct FastRingBufferProvider* provider, struct FastTask* task)
{
    if (task->queued || provider->closed)
        return;
    FastProviderHold(provider);
    FastRingDefer(provider->ring, task);
}

/* ---- putting buffers into the kernel's ring ---- */

static void put(struct FastRingBufferProvider* provider, uint16_t id, void* buffer)
{
    provider->slots[id] = (struct FastProviderSlot){
        .buffer = buffer,
        .sequence = provider->sequence,
        .enter = FastProviderEnters(provider),
    };
    provider->log[provider->sequence & (2 * provider->count - 1)] = id;
    provider->sequence++;
    provider->available++;
    io_uring_buf_ring_add(provider->entries, buffer, provider->length, id,
                          io_uring_buf_ring_mask(provider->count), 0);
    io_uring_buf_ring_advance(provider->entries, 1);
    if (provider->waiting.list.first != NULL)
        deferTask(provider, &provider->waiting.serve);
}

static void vacate(struct FastRingBufferProvider* provider, uint16_t id)
{
    provider->slots[id].buffer = NULL;
    provider->slots[id].claimed = false;
    provider->vacant.ids[provider->vacant.count++] = id;
}

/* Fills vacant slots as far as memory goes. */
static bool fillSlots(struct FastRingBufferProvider* provider)
{
    while (provider->vacant.count > 0) {
        void* buffer = provider->create(provider->length, provider->closure);
        if (buffer == NULL)
            return false;
        put(provider, provider->vacant.ids[--provider->vacant.count], buffer);
    }
    return true;
}

static bool refill(struct FastTask* task)
{
    struct FastRingBufferProvider* provider = FAST_CONTAINER(task, struct FastRingBufferProvider, refill);
    bool alive = provider->references > 1; /* the task holds one */
    if (alive && !provider->closed && !FastRingIsEnding(provider->ring) && !fillSlots(provider))
        FastRingWaitMemory(provider->ring, &provider->refill);
    else
        FastProviderDrop(provider);
    return true;
}

/* ---- those who wait ---- */

/* Whether the first one waits in vain no longer: something was put since it was armed. What we count as
 * available says less, since users may keep buffers that their own operations have filled. */
static bool isServable(const struct FastRingBufferProvider* provider)
{
    const struct FastWaiter* first = provider->waiting.list.first;
    return first != NULL && provider->available > 0 && first->mark != provider->sequence;
}

static bool serveWaiters(struct FastTask* task)
{
    struct FastRingBufferProvider* provider =
        FAST_CONTAINER(task, struct FastRingBufferProvider, waiting.serve);
    uint32_t available = provider->available;
    bool untouched = available >= provider->waiting.available && provider->waiting.batch > 0;
    provider->waiting.batch = untouched ? provider->waiting.batch * 2 : available;
    if (provider->waiting.batch < available)
        provider->waiting.batch = available;
    provider->waiting.available = available;
    for (uint32_t index = 0; index < provider->waiting.batch && isServable(provider); index++)
        (void)FastWaiterServe(&provider->waiting.list);
    if (!isServable(provider))
        provider->waiting.batch = 0;
    else if (!provider->waiting.again.queued) {
        FastProviderHold(provider);
        FastRingNotify(provider->ring, &provider->waiting.again);
    }
    FastProviderDrop(provider);
    return true;
}

static bool serveAgain(struct FastTask* task)
{
    struct FastRingBufferProvider* provider =
        FAST_CONTAINER(task, struct FastRingBufferProvider, waiting.again);
    if (isServable(provider))
        deferTask(provider, &provider->waiting.serve);
    FastProviderDrop(provider);
    return true;
}

uint32_t FastProviderMark(const struct FastRingBufferProvider* provider)
{
    return provider->sequence;
}

uint32_t FastProviderAvailable(const struct FastRingBufferProvider* provider)
{
    return provider->available;
}

void FastProviderWait(struct FastRingBufferProvider* provider, struct FastWaiter* waiter, uint32_t mark)
{
    waiter->mark = mark;
    FastWaiterAdd(&provider->waiting.list, waiter);
    provider->waiting.batch = 0; /* somebody found the ring empty: carefully again */
    if (isServable(provider))
        deferTask(provider, &provider->waiting.serve);
}

/* ---- what sockets ask ---- */

struct FastRing* FastProviderRing(const struct FastRingBufferProvider* provider)
{
    return provider->ring;
}

uint32_t FastProviderCount(const struct FastRingBufferProvider* provider)
{
    return provider->count;
}

uint32_t FastProviderLength(const struct FastRingBufferProvider* provider)
{
    return provider->length;
}

bool FastProviderMakes(const struct FastRingBufferProvider* provider, CreateRingBufferFunction function)
{
    return provider->create == function;
}

int FastProviderNext(const struct FastRingBufferProvider* provider, uint16_t id)
{
    uint32_t sequence = provider->slots[id].sequence + 1;
    if (sequence == provider->sequence)
        return -1;
    uint16_t next = provider->log[sequence & (2 * provider->count - 1)];
    return provider->slots[next].sequence == sequence ? next : -1;
}

void* FastProviderPeek(const struct FastRingBufferProvider* provider, uint16_t id)
{
    return id < provider->count ? provider->slots[id].buffer : NULL;
}

void FastProviderFilled(const struct FastRingBufferProvider* provider, uint16_t id, size_t length)
{
    if (!provider->closed && FastRingEngine(provider->ring)->checked)
        FastCheckerDefine(provider->slots[id].buffer, length < provider->length ? length : provider->length);
}

/* A slot is seen to be filled: it is no longer available, if that wasn't known. */
static void countTaken(struct FastRingBufferProvider* provider, uint16_t id)
{
    provider->available -= !provider->slots[id].claimed;
}

void FastProviderReturn(struct FastRingBufferProvider* provider, uint16_t id)
{
    countTaken(provider, id);
    put(provider, id, provider->slots[id].buffer);
}

void FastProviderReplace(struct FastRingBufferProvider* provider, uint16_t id, void* buffer)
{
    countTaken(provider, id);
    if (buffer != NULL) {
        put(provider, id, buffer);
        return;
    }
    vacate(provider, id);
    deferTask(provider, &provider->refill);
}

/* ---- life ---- */

static void releaseBuffers(struct FastRingBufferProvider* provider)
{
    for (uint32_t id = 0; id < provider->count; id++) {
        void* buffer = provider->slots[id].buffer;
        if (buffer == NULL || provider->release == NULL)
            continue;
        if (provider->leaked)
            FastRingLeak(buffer);
        else
            provider->release(buffer);
    }
}

static size_t entriesSize(const struct FastRingBufferProvider* provider)
{
    return provider->count * sizeof(struct io_uring_buf);
}

static const struct FastProviderKeeper* _Atomic knownKeeper;

void FastProviderSetKeeper(const struct FastProviderKeeper* keeper)
{
    atomic_store(&knownKeeper, keeper);
}

/* A provider refills itself also when its user has released what its buffers came from. */
static void keepSource(struct FastRingBufferProvider* provider)
{
    const struct FastProviderKeeper* keeper = atomic_load(&knownKeeper);
    if (keeper == NULL || keeper->function != provider->create)
        return;
    keeper->hold(provider->closure);
    provider->keeper = keeper;
}

static void freeProvider(struct FastRingBufferProvider* provider)
{
    if (provider->keeper != NULL)
        provider->keeper->drop(provider->closure);
    if (provider->entries != NULL && !provider->leaked)
        munmap(provider->entries, entriesSize(provider));
    free(provider->slots);
    free(provider->log);
    free(provider->vacant.ids);
    free(provider);
}

void FastProviderHold(struct FastRingBufferProvider* provider)
{
    provider->references++;
}

void FastProviderDrop(struct FastRingBufferProvider* provider)
{
    struct FastRing* ring = provider->ring;
    if (--provider->references > 0)
        return;
    if (!provider->closed) {
        struct FastEngine* engine = FastRingEngine(ring);
        engine->functions->unregisterBuffers(engine, provider->group.id);
        FastRingRemoveGroup(ring, &provider->group);
        FastRingUnlink(ring, &provider->member);
    }
    releaseBuffers(provider);
    freeProvider(provider);
    FastRingDrop(ring);
}

/* A task in a queue of the ring holds the provider; the queues are never run again. */
static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastRingBufferProvider* provider = FAST_CONTAINER(member, struct FastRingBufferProvider, member);
    provider->closed = true;
    provider->leaked = !orderly;
    FastRingRemoveGroup(provider->ring, &provider->group);
    FastProviderHold(provider);
    const struct FastTask* tasks[] = {&provider->refill, &provider->waiting.serve,
                                      &provider->waiting.again};
    for (size_t index = 0; index < sizeof(tasks) / sizeof(tasks[0]); index++)
        if (tasks[index]->queued)
            FastProviderDrop(provider);
    FastProviderDrop(provider);
}

static void countMember(const struct FastRingMember* member, struct FastRingStatistics* statistics)
{
    const struct FastRingBufferProvider* provider =
        FAST_CONTAINER(member, const struct FastRingBufferProvider, member);
    statistics->providedBuffers += provider->available;
}

static const struct FastRingMemberFunctions memberFunctions = {
    .close = closeMember,
    .count = countMember,
};

static int registerGroup(struct FastRingBufferProvider* provider, uint16_t group)
{
    struct FastEngine* engine = FastRingEngine(provider->ring);
    uint32_t last = group != 0 ? group : PROVIDER_LAST_GROUP;
    int result = -EEXIST;
    for (uint32_t next = group != 0 ? group : PROVIDER_FIRST_GROUP; result == -EEXIST && next <= last; next++) {
        provider->group.id = (uint16_t)next;
        result = engine->functions->registerBuffers(engine, provider->group.id, provider->entries,
                                                    provider->count);
    }
    return result == -EEXIST && group == 0 ? -ENOSPC : result;
}

static int allocateTables(struct FastRingBufferProvider* provider)
{
    provider->slots = calloc(provider->count, sizeof(*provider->slots));
    provider->log = calloc(2 * (size_t)provider->count, sizeof(*provider->log));
    provider->vacant.ids = calloc(provider->count, sizeof(*provider->vacant.ids));
    void* entries = mmap(NULL, entriesSize(provider), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    provider->entries = entries != MAP_FAILED ? entries : NULL;
    if (provider->slots == NULL || provider->log == NULL || provider->vacant.ids == NULL ||
        provider->entries == NULL)
        return -ENOMEM;
    for (uint32_t id = provider->count; id > 0; id--)
        vacate(provider, (uint16_t)(id - 1));
    return 0;
}

struct FastRingBufferProvider* CreateFastRingBufferProvider(struct FastRing* ring, uint16_t group,
                                                            uint16_t count, uint32_t length,
                                                            CreateRingBufferFunction function,
                                                            void* closure)
{
    struct FastRingBufferProvider* provider = NULL;
    int result = FastRingCheckCreate(ring);
    if (result == 0 && (count > PROVIDER_MOST_COUNT || length < PROVIDER_LEAST_LENGTH ||
                        length > PROVIDER_MOST_LENGTH || function == NULL))
        result = -EINVAL;
    if (result < 0)
        goto failed;
    provider = calloc(1, sizeof(*provider));
    if (provider == NULL) {
        result = -ENOMEM;
        goto failed;
    }
    provider->ring = ring;
    provider->references = 1;
    provider->create = function;
    provider->closure = closure;
    provider->count = FastRingRoundUp(count != 0 ? count : PROVIDER_DEFAULT_COUNT);
    provider->length = length;
    provider->group.claim = FastProviderClaim;
    provider->group.unclaim = FastProviderUnclaim;
    provider->refill.function = refill;
    provider->waiting.serve.function = serveWaiters;
    provider->waiting.again.function = serveAgain;
    result = allocateTables(provider);
    provider->group.first = FastRingNextCompletion(ring);
    if (result == 0)
        result = registerGroup(provider, group);
    if (result < 0)
        goto failed;

    /* With one buffer the provider works, and those missing come when memory does; without any, it
     * is of no use, and there is nothing to be given back. */
    if (!fillSlots(provider) && provider->available == 0) {
        struct FastEngine* engine = FastRingEngine(ring);
        engine->functions->unregisterBuffers(engine, provider->group.id);
        result = -ENOMEM;
        goto failed;
    }
    keepSource(provider);
    FastRingAddGroup(ring, &provider->group);
    FastRingLink(ring, &provider->member, &memberFunctions);
    if (provider->vacant.count > 0)
        deferTask(provider, &provider->refill);
    return provider;

failed:
    if (provider != NULL)
        freeProvider(provider);
    errno = -result;
    return NULL;
}

void ReleaseFastRingBufferProvider(struct FastRingBufferProvider* provider,
                                   ReleaseRingBufferFunction function)
{
    if (provider == NULL || FastRingCheck(provider->ring) == -EPERM)
        return;
    provider->release = function;
    FastProviderDrop(provider);
}
