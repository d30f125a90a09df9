/*
 * The kernel's buffer rings: memory that receives are filled into. A provider's life.
 *
 * Good path: a provider fills its slots once, and gives the kernel its ring. What becomes of the
 * slots: provider-slots.c; what completions say of them: provider-claim.c; who waits for them:
 * provider-wait.c.
 *
 * Failures: memory lacks for some slots: they are filled when it returns; for all: there is no
 * provider. The ring ends: the provider is defunct and keeps its buffers until its user releases
 * it.
 */
#include "memory/provider.h"
#include "memory/buffer.h"

#include "base/dump.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum
{
    PROVIDER_DEFAULT_COUNT = 256,
    PROVIDER_MAX_COUNT = 32768,
    PROVIDER_MIN_LENGTH = 64,
    PROVIDER_MAX_LENGTH = 1 << 30,
    PROVIDER_FIRST_GROUP = 0x8000, /* of those that we pick: people like small numbers */
    PROVIDER_LAST_GROUP = 0xffff,
    PROVIDER_IDS = 0x10000, /* that buffers of groups with the same number have together */
};

/* Memory may be there again, or something was vacated. The user may be gone since: then nobody
 * wants it, and nothing is made. */
static bool refill(struct FastTask* task)
{
    struct FastRingBufferProvider* provider =
        FAST_CONTAINER(task, struct FastRingBufferProvider, refill);
    bool alive = provider->references > 1; /* the task holds one */
    bool mayFill = alive && !provider->closed && !FastRingIsEnding(provider->ring);
    if (mayFill && !FastProviderFill(provider))
        FastRingWaitMemory(provider->ring, &provider->refill);
    else
        FastProviderDrop(provider);
    return true;
}

/* ---- life ---- */

/* What the kernel may still write to is kept, and so is what the user did not want released. */
static void releaseBuffers(struct FastRingBufferProvider* provider)
{
    for (uint32_t id = provider->group.firstBuffer; id < provider->group.endBuffer; id++) {
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

/* Set by the first pool of any thread, and never changed after. */
static const struct FastProviderSource* _Atomic knownSource;

void FastProviderSetSource(const struct FastProviderSource* source)
{
    atomic_store(&knownSource, source);
}

/* Whether this thread may hold and drop what the known source's buffers come from. */
static bool isSuitable(const void* closure)
{
    const struct FastProviderSource* source = atomic_load(&knownSource);
    return source == NULL || source->suits == NULL || source->suits(closure);
}

static void attachSource(struct FastRingBufferProvider* provider,
                         const struct FastProviderSource* source)
{
    source->hold(provider->closure);
    provider->source = source;
}

/* A provider refills itself also when its user has released what its buffers come from. Where there
 * is nothing to be held, the first buffer is refused. */
static void holdSource(struct FastRingBufferProvider* provider)
{
    const struct FastProviderSource* source = atomic_load(&knownSource);
    if (source != NULL && source->function == provider->create && provider->closure != NULL)
        attachSource(provider, source);
}

/* The last buffer that the source's function has made of this closure, told once. */
static const void* takeMade(const struct FastRingBufferProvider* provider)
{
    const struct FastProviderSource* source = atomic_load(&knownSource);
    bool knows = source != NULL && source->takeMade != NULL && provider->closure != NULL;
    return knows ? source->takeMade(provider->closure) : NULL;
}

/*
 * The source's function has other addresses, too: in a program that is linked at a fixed address
 * that of its own stub, which the library doesn't use if it was linked to prefer its own names. So
 * what was made tells. All buffers are there by then, as for any other maker: one that asks the
 * source's for each, and counts them, say, is called as often as ever.
 */
static void recognizeSource(struct FastRingBufferProvider* provider)
{
    const void* made = takeMade(provider);
    uint16_t last = provider->log[FastProviderPlace(provider, provider->sequence - 1)];
    if (provider->source == NULL && made != NULL && made == provider->slots[last].buffer &&
        isSuitable(provider->closure))
        attachSource(provider, atomic_load(&knownSource));
}

/* Also of one that was never finished: what is not there is NULL. */
static void freeProvider(struct FastRingBufferProvider* provider)
{
    if (provider->source != NULL)
        provider->source->drop(provider->closure);
    if (provider->entries != NULL && !provider->leaked)
        munmap(provider->entries, entriesSize(provider));
    free(provider->slots);
    free(provider->log);
    free(provider->vacant.ids);
    FastRingBury(provider, sizeof(*provider), &provider->ring);
}

static void unregisterGroup(struct FastRingBufferProvider* provider)
{
    provider->engine->functions->unregisterBuffers(provider->engine, provider->group.id);
}

static struct FastRingBufferProvider* ofGroup(struct FastRingGroup* group)
{
    return FAST_CONTAINER(group, struct FastRingBufferProvider, group);
}

/* The buffers are nobody's any more, but those of a ring that left operations in the kernel. */
static void freeAll(struct FastRingBufferProvider* provider)
{
    struct FastRing* ring = provider->ring;
    FastRingEndLoan(ring, &provider->group);
    provider->leaked |= FastRingIsDisorderly(ring);
    releaseBuffers(provider);
    freeProvider(provider);
    FastRingDrop(ring);
}

/* Each that goes may have been the last to borrow of the next one. */
static void finish(struct FastRingBufferProvider* provider)
{
    while (provider->references == 0 && provider->borrowers == 0) {
        struct FastRingGroup* successor = provider->group.successor;
        freeAll(provider);
        if (successor == NULL)
            break;
        provider = ofGroup(successor);
        provider->borrowers--;
    }
}

/* The last reference is gone: of a provider whose ring is gone the kernel knows no more. */
static void endProvider(struct FastRingBufferProvider* provider)
{
    if (!provider->closed) {
        unregisterGroup(provider);
        FastRingRemoveGroup(provider->ring, &provider->group);
        FastRingLendGroup(provider->ring, &provider->group);
        FastRingUnlink(provider->ring, &provider->member);
    }
    finish(provider);
}

static void borrow(struct FastRingGroup* group)
{
    ofGroup(group)->borrowers++;
}

static void giveBack(struct FastRingGroup* group)
{
    struct FastRingBufferProvider* provider = ofGroup(group);
    provider->borrowers--;
    finish(provider);
}

/* A task in a queue of the ring holds the provider; the queues are never run again. */
/* The provider outlives the ring, and so do buffers of a pool that it still has. */
static void noteKept(const struct FastRingBufferProvider* provider)
{
    for (uint32_t id = provider->group.firstBuffer; id < provider->group.endBuffer; id++)
        if (provider->slots[id].buffer != NULL)
            FastCheckKept((const struct FastBuffer*)provider->slots[id].buffer - 1);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastRingBufferProvider* provider =
        FAST_CONTAINER(member, struct FastRingBufferProvider, member);
    provider->closed = true;
    provider->leaked = !orderly;
    FastRingRemoveGroup(provider->ring, &provider->group);
    if (FastCheckRuns())
        noteKept(provider);
    FastProviderHold(provider);
    const struct FastTask* tasks[] = {&provider->refill, &provider->waiting.serve,
                                      &provider->waiting.again};
    for (size_t index = 0; index < sizeof(tasks) / sizeof(tasks[0]); index++)
        if (FastTaskIsQueued(tasks[index]))
            FastProviderDrop(provider);
    FastProviderDrop(provider);
}

/* An upper bound, as is what it counts. */
static void countMember(const struct FastRingMember* member, struct FastRingStatistics* statistics)
{
    const struct FastRingBufferProvider* provider =
        FAST_CONTAINER(member, const struct FastRingBufferProvider, member);
    statistics->providedBuffers += provider->available;
}

static uint64_t countWaiting(const struct FastRingBufferProvider* provider)
{
    uint64_t count = 0;
    const struct FastWaiter* waiter = provider->waiting.list.first;
    for (; waiter != NULL; waiter = waiter->next)
        count++;
    return count;
}

static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    const struct FastRingBufferProvider* provider =
        FAST_CONTAINER(member, const struct FastRingBufferProvider, member);
    FastDumpBegin(dump, "provider", provider);
    FastDumpNumber(dump, "group", provider->group.id);
    FastDumpNumber(dump, "count", provider->count);
    FastDumpNumber(dump, "length", provider->length);
    FastDumpNumber(dump, "available", provider->available);
    FastDumpNumber(dump, "wanted", provider->demand.wanted);
    FastDumpNumber(dump, "starved", countWaiting(provider));
    FastDumpObject(dump, "source", provider->source != NULL ? provider->closure : NULL);
    FastDumpEnd(dump);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .close = closeMember,
    .count = countMember,
    .kind = "provider",
    .offset = offsetof(struct FastRingBufferProvider, member),
    .dump = dumpMember,
};

static int registerNumber(struct FastRingBufferProvider* provider, uint32_t number)
{
    struct FastEngine* engine = provider->engine;
    provider->group.id = (uint16_t)number;
    return engine->functions->registerBuffers(engine, provider->group.id, provider->entries,
                                              provider->count);
}

/* number 0: any that is free, and that no operation in the kernel names. */
static int registerGroup(struct FastRingBufferProvider* provider, uint16_t number)
{
    if (number != 0)
        return registerNumber(provider, number);
    for (uint32_t next = PROVIDER_FIRST_GROUP; next <= PROVIDER_LAST_GROUP; next++) {
        if (FastRingGroupIsLent(provider->ring, (uint16_t)next))
            continue;
        int result = registerNumber(provider, next);
        if (result != -EEXIST)
            return result;
    }
    return -ENOSPC;
}

/* By ids of its own among all that operations may name by this number. */
static int chooseIds(struct FastRingBufferProvider* provider, uint16_t number)
{
    uint32_t begin = FastRingFreeBuffers(provider->ring, number, provider->count);
    if (begin + provider->count > PROVIDER_IDS)
        return -EEXIST;
    provider->group.firstBuffer = (uint16_t)begin;
    provider->group.endBuffer = begin + provider->count;
    return 0;
}

/* The slots are made vacant from the last on, so that they are filled from the first. */
static int allocateTables(struct FastRingBufferProvider* provider)
{
    uint32_t begin = provider->group.firstBuffer;
    uint32_t end = provider->group.endBuffer;
    provider->slots = calloc(end, sizeof(*provider->slots));
    provider->log = calloc(2 * (size_t)provider->count, sizeof(*provider->log));
    provider->vacant.ids = calloc(provider->count, sizeof(*provider->vacant.ids));
    void* entries = mmap(NULL, entriesSize(provider), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    provider->entries = entries != MAP_FAILED ? entries : NULL;
    if (provider->slots == NULL || provider->log == NULL || provider->vacant.ids == NULL ||
        provider->entries == NULL)
        return -ENOMEM;
    for (uint32_t id = end; id > begin; id--)
        FastProviderVacate(provider, (uint16_t)(id - 1));
    return 0;
}

static int checkArguments(struct FastRing* ring, uint16_t count, uint32_t length,
                          CreateRingBufferFunction function)
{
    int result = FastRingCheckCreate(ring);
    if (result < 0)
        return result;
    bool isKnown = count <= PROVIDER_MAX_COUNT && length >= PROVIDER_MIN_LENGTH &&
                   length <= PROVIDER_MAX_LENGTH && function != NULL;
    return isKnown ? 0 : -EINVAL;
}

/* What is not known as a source is not held, and may be the maker's in any thread. */
static bool isUnsuitable(CreateRingBufferFunction function, const void* closure)
{
    const struct FastProviderSource* source = atomic_load(&knownSource);
    return source != NULL && source->function == function && !isSuitable(closure);
}

static struct FastRingBufferProvider* makeProvider(struct FastRing* ring, uint32_t count,
                                                   uint32_t length,
                                                   CreateRingBufferFunction function, void* closure)
{
    struct FastRingBufferProvider* provider = calloc(1, sizeof(*provider));
    if (provider == NULL)
        return NULL;
    provider->ring = ring;
    provider->engine = FastRingEngine(ring);
    provider->references = 1;
    provider->end = endProvider;
    provider->create = function;
    provider->closure = closure;
    provider->count = FastRingRoundUp(count);
    provider->length = length;
    provider->group.claim = FastProviderClaim;
    provider->group.unclaim = FastProviderUnclaim;
    provider->group.fill = FastProviderFillGroup;
    provider->group.borrow = borrow;
    provider->group.giveBack = giveBack;
    provider->refill.function = refill;
    FastProviderPrepareWaiting(provider);
    holdSource(provider);
    FastProviderBeginDemand(provider);
    return provider;
}

/* With one buffer the provider works, and those missing come when memory does; without any, it is
 * of no use. Why there is none is told where it is not memory that lacks; whoever makes buffers
 * need not set errno. */
static int fillFirst(struct FastRingBufferProvider* provider)
{
    (void)takeMade(provider); /* of others */
    errno = ENOMEM;
    if (FastProviderFill(provider) || provider->available > 0) {
        recognizeSource(provider);
        return 0;
    }
    return errno == EINVAL || errno == ECANCELED ? -errno : -ENOMEM;
}

/* Gives the kernel its ring, and what buffers can be had. Without any there is nothing to be given
 * back. */
static int startProvider(struct FastRingBufferProvider* provider, uint16_t number)
{
    int result = chooseIds(provider, number);
    provider->group.first = FastRingNextCompletion(provider->ring);
    if (result == 0)
        result = allocateTables(provider);
    if (result == 0)
        result = registerGroup(provider, number);
    if (result < 0)
        return result;
    result = fillFirst(provider);
    if (result < 0)
        unregisterGroup(provider);
    return result;
}

/* Nothing can fail any more: what has to be undone at the end begins here. */
static void joinRing(struct FastRingBufferProvider* provider)
{
    FastRingAddGroup(provider->ring, &provider->group);
    FastRingSucceed(provider->ring, &provider->group);
    FastRingLink(provider->ring, &provider->member, &memberFunctions);
    if (FastProviderLacks(provider))
        FastProviderDefer(provider, &provider->refill);
}

static struct FastRingBufferProvider* fail(int result)
{
    errno = -result;
    return NULL;
}

struct FastRingBufferProvider* CreateFastRingBufferProvider(struct FastRing* ring, uint16_t group,
                                                            uint16_t count, uint32_t length,
                                                            CreateRingBufferFunction function,
                                                            void* closure)
{
    int result = checkArguments(ring, count, length, function);
    if (result == 0 && isUnsuitable(function, closure))
        result = -EINVAL;
    if (result < 0)
        return fail(result);
    if (count == 0)
        count = PROVIDER_DEFAULT_COUNT;
    struct FastRingBufferProvider* provider = makeProvider(ring, count, length, function, closure);
    if (provider == NULL)
        return fail(-ENOMEM);
    result = startProvider(provider, group);
    if (result < 0) {
        freeProvider(provider);
        return fail(result);
    }
    joinRing(provider);
    return provider;
}

void ReleaseFastRingBufferProvider(struct FastRingBufferProvider* provider,
                                   ReleaseRingBufferFunction function)
{
    if (provider == NULL || FastRingCheckRelease(provider->ring, provider) == -EPERM)
        return;
    provider->release = function;
    FastProviderDrop(provider);
}
