/* Pools from the inside: which thread pays what, where memory goes, and what a refusal leaves. */
#include "fixture.h"
#include "memory/pool.h"
#include "services.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

enum
{
    THREADS = 4,
    ROUNDS = 20000,
    BATCH = 64,
    RESERVE = 4 << 20, /* stays for ever */
    SHARED_RESERVE = 64 << 20,
};

/* ---- the system, taken over by the linker's --wrap ---- */

static struct Countdown systemMemory; /* its calls, whichever they are */

FAILING_CALL(&systemMemory, NULL, void*, aligned_alloc, (size_t alignment, size_t size),
             (alignment, size))

FAILING_CALL(&systemMemory, MAP_FAILED, void*, mmap,
             (void* address, size_t length, int protection, int flags, int handle, off_t offset),
             (address, length, protection, flags, handle, offset))

/* Its name in the object, where off_t was asked to have 64 bits. */
void* __wrap_mmap64(void* address, size_t length, int protection, int flags, int handle,
                    off_t offset);

void* __wrap_mmap64(void* address, size_t length, int protection, int flags, int handle,
                    off_t offset)
{
    return __wrap_mmap(address, length, protection, flags, handle, offset);
}

static int64_t seconds; /* the time of day that pools see */

int __wrap_clock_gettime(clockid_t clock, struct timespec* now);

int __wrap_clock_gettime(clockid_t clock, struct timespec* now)
{
    (void)clock;
    *now = (struct timespec){.tv_sec = (time_t)seconds};
    return 0;
}

/* ---- an owner ---- */

static atomic_int homes;
static atomic_int surpluses;
static atomic_int ends;
static struct FastBufferPool* pool;

static void onHome(struct FastPoolOwner* owner)
{
    (void)owner;
    atomic_fetch_add(&homes, 1);
}

static void onGone(struct FastPoolOwner* owner)
{
    (void)owner;
    FastPoolFree(pool);
    pool = NULL;
    atomic_fetch_add(&ends, 1);
}

static void onSurplus(struct FastPoolOwner* owner)
{
    (void)owner;
    atomic_fetch_add(&surpluses, 1);
}

static struct FastPoolOwner owner = {.home = onHome, .gone = onGone, .surplus = onSurplus};

/* What an owner does who has heard of a surplus, with the time taken out. A period without a
 * burst halves it, so the number is bounded. */
static void decay(void)
{
    int calls = 0;
    while (FastPoolDecay(pool) > 0)
        ck_assert_int_lt(++calls, 10000);
}

static void openPool(void)
{
    pool = FastPoolCreate(&owner);
    ck_assert_ptr_nonnull(pool);
    FastPoolAdopt(pool);
}

static void closePool(void)
{
    int before = atomic_load(&ends);
    ck_assert_uint_eq(FastPoolBuffers(pool), 0);
    FastPoolDrop(pool);
    ck_assert_int_eq(atomic_load(&ends), before + 1);
}

/* Writes all of it, so that a sanitizer may object. */
static struct FastBuffer* allocate(struct FastBufferPool* from, size_t size)
{
    struct FastBuffer* buffer = AllocateFastBuffer(from, size, 0);
    ck_assert_ptr_nonnull(buffer);
    memset(GetFastBufferData(buffer), 0xa5, size);
    return buffer;
}

static void* releaseIt(void* buffer)
{
    ReleaseFastBuffer(buffer);
    return NULL;
}

/* ---- the good path ---- */

AREA(pool, "pool");

CASE(pool, headerStandsBeforeData)
{
    static const size_t sizes[] = {0, 1, 64, 255, 256, 257, 4096,
                                   4097, 32767, 32768, 32769, 65536, 1 << 20, (2 << 20) - 1,
                                   2 << 20, (2 << 20) + 1, 3000000, (size_t)64 << 20};
    openPool();
    for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
        struct FastBuffer* buffer = allocate(pool, sizes[index]);
        uint8_t* data = GetFastBufferData(buffer);
        ck_assert_uint_eq((uintptr_t)data % 64, 0);
        ck_assert_ptr_eq(data, (uint8_t*)buffer + 64);
        ck_assert_ptr_eq(GetFastBuffer(data), buffer);
        ck_assert_uint_eq(GetFastBufferSize(buffer), sizes[index]);
        ck_assert_uint_eq(GetFastBufferLength(buffer), 0);
        ck_assert_uint_ge(FastBufferFootprint(buffer), sizes[index] + 64);
        ck_assert_uint_eq(FastPoolBuffers(pool), 1);
        ck_assert_uint_ge(FastPoolMemory(pool), FastBufferFootprint(buffer));
        ReleaseFastBuffer(buffer);
    }
    closePool();
}

CASE(pool, reusesWithoutTheSystem)
{
    struct FastBuffer* buffers[BATCH];

    openPool();
    for (int round = 0; round < 100; round++) {
        if (round == 1)
            forgetCalls(&systemMemory);
        for (int index = 0; index < BATCH; index++)
            buffers[index] = allocate(pool, (size_t)100 << (index % 10));
        for (int index = 0; index < BATCH; index++)
            ReleaseFastBuffer(buffers[index]);
    }
    ck_assert_int_eq(countCalls(&systemMemory), 0);
    closePool();
}

CASE(pool, holdsKeepIt)
{
    openPool();
    struct FastBuffer* buffer = allocate(pool, 100);
    ck_assert_ptr_eq(HoldFastBuffer(buffer), buffer);
    ck_assert_ptr_eq(HoldFastBuffer(buffer), buffer);
    ReleaseFastBuffer(buffer);
    inThread(releaseIt, buffer);
    ck_assert_uint_eq(FastPoolBuffers(pool), 1);
    memset(GetFastBufferData(buffer), 1, 100);
    ReleaseFastBuffer(buffer);
    closePool();
}

/* ---- where memory goes ---- */

/* Takes COUNT buffers of a size, and releases them. */
static void burst(struct FastBufferPool* from, int count, size_t size)
{
    static struct FastBuffer* buffers[1024];

    for (int index = 0; index < count; index++)
        buffers[index] = allocate(from, size);
    for (int index = 0; index < count; index++)
        ReleaseFastBuffer(buffers[index]);
}

static void expectReuse(struct FastBufferPool* from, size_t size)
{
    forgetCalls(&systemMemory);
    burst(from, 64, size);
    ck_assert_int_eq(countCalls(&systemMemory), 0);
}

/* The thread sanitizer takes a minute for what follows, and has nothing to see in one thread. */
#if !defined(__SANITIZE_THREAD__)

static const size_t burstSizes[] = {1000, 16384, 65536, 200000};

CASE(pool, burstIsGivenBack)
{
    openPool();
    for (int index = 0; index < 6; index++) { /* larger ones, then smaller */
        int kind = index < 4 ? index : 6 - index;
        int told = atomic_load(&surpluses);
        bool large = kind > 0;
        burst(pool, 1024, burstSizes[kind]);
        ck_assert_int_eq(atomic_load(&surpluses) - told, large); /* once */
        decay();
        ck_assert_uint_le(FastPoolMemory(pool), RESERVE);
    }
    closePool();
}

/* Nobody would come to decay what is left of it. */
CASE(pool, burstOfASharedPoolIsGivenBack)
{
    enum
    {
        COUNT = 1024
    };
    static struct FastBuffer* buffers[COUNT];
    struct FastBufferPool* shared = FastPoolCreate(NULL);

    for (size_t kind = 0; kind < sizeof(burstSizes) / sizeof(burstSizes[0]); kind++) {
        size_t used = 0;
        seconds += 100;
        for (int index = 0; index < COUNT; index++) {
            buffers[index] = allocate(shared, burstSizes[kind]);
            used += FastBufferFootprint(buffers[index]);
        }
        ck_assert_uint_ge(FastPoolMemory(shared), used);
        for (int index = 0; index < COUNT; index++) {
            used -= FastBufferFootprint(buffers[index]);
            ReleaseFastBuffer(buffers[index]);
            /* at every release, not only in the end */
            ck_assert_uint_le(FastPoolMemory(shared) - used, used > RESERVE ? used : RESERVE);
        }
        ck_assert_uint_le(FastPoolMemory(shared), RESERVE);
    }
    FastPoolDrop(shared);
}

/* ---- what comes again and again ---- */

CASE(pool, repeatedBurstIsKept)
{
    static const size_t sizes[] = {20000, 262144, 1500000, 3000000};

    openPool();
    FastPoolSetReserve(pool, 1 << 30);
    for (int index = 0; index < 4; index++) {
        burst(pool, 64, sizes[index]);
        for (int round = 0; round < 12; round++) {
            expectReuse(pool, sizes[index]);
            (void)FastPoolDecay(pool); /* many periods, and in each of them the burst */
        }
    }
    closePool();
}

/* … also by what is left when a larger one is over. */
CASE(pool, largestBurstDecays)
{
    openPool();
    burst(pool, 256, 65536);
    for (int round = 0; round < 1000; round++) {
        burst(pool, 128, 65536);
        (void)FastPoolDecay(pool);
    }
    forgetCalls(&systemMemory);
    burst(pool, 128, 65536);
    ck_assert_int_eq(countCalls(&systemMemory), 0);
    size_t kept = FastPoolMemory(pool);
    burst(pool, 128, 65536);
    ck_assert_uint_eq(FastPoolMemory(pool), kept);
    ck_assert_uint_lt(kept, (size_t)130 * (65536 + 4096));
    closePool();
}

/* One call gives back a bounded amount, so that the ring goes on meanwhile. */
CASE(pool, decayGoesByPieces)
{
    enum
    {
        STEP = (16 << 20) + (1 << 20) /* a step's cost, and what the last block exceeds it by */
    };
    openPool();
    FastPoolSetReserve(pool, 1 << 30);
    burst(pool, 1024, 200000);
    size_t before = FastPoolMemory(pool);
    while (FastPoolDecay(pool) > 0) {
        ck_assert_uint_le(before - FastPoolMemory(pool), STEP);
        before = FastPoolMemory(pool);
    }
    closePool();
}

CASE(pool, reserveBoundsWhatIsKept)
{
    openPool();
    for (size_t reserve = 0; reserve <= 32 << 20; reserve += 8 << 20) {
        FastPoolSetReserve(pool, reserve);
        burst(pool, 1024, 65536);
        ck_assert_uint_le(FastPoolMemory(pool), reserve);
        ck_assert_uint_ge(FastPoolMemory(pool) + 2 * 65536, reserve);
    }
    FastPoolSetReserve(pool, 1 << 20); /* and at once */
    ck_assert_uint_le(FastPoolMemory(pool), 1 << 20);
    decay();
    ck_assert_uint_ge(FastPoolMemory(pool) + 2 * 65536, 1 << 20); /* a little stays for ever */
    FastPoolSetReserve(pool, 0);
    ck_assert_uint_eq(FastPoolMemory(pool), 0);
    closePool();
}

#endif

/* A ring's pool before the first wait, or one that has no ring. */
CASE(pool, poolsWithoutAnOwnersThreadReuse)
{
    struct FastBufferPool* pools[] = {FastPoolCreate(NULL), FastPoolCreate(&owner)};

    for (int index = 0; index < 2; index++) {
        burst(pools[index], 64, 262144);
        burst(pools[index], 64, 262144);
        for (int round = 0; round < 100; round++) {
            expectReuse(pools[index], 262144);
            seconds++;
        }
        /* … and are smaller, when they are used so */
        for (int round = 0; round < 100; round++) {
            burst(pools[index], 17, 262144);
            seconds++;
        }
        ck_assert_uint_le(FastPoolMemory(pools[index]), RESERVE + 2 * (262144 + 4096));
        burst(pools[index], 64, 262144); /* once is not again and again */
        ck_assert_uint_le(FastPoolMemory(pools[index]), RESERVE + 2 * (262144 + 4096));
    }
    FastPoolDrop(pools[0]);
    pool = pools[1];
    closePool();
}

CASE(pool, burstSparesOtherClasses)
{
    static struct FastBuffer* buffers[256];

    openPool();
    struct FastBuffer* small = allocate(pool, 256);
    ReleaseFastBuffer(small);
    for (int index = 0; index < 256; index++)
        buffers[index] = allocate(pool, 65536);
    for (int index = 0; index < 256; index++)
        ReleaseFastBuffer(buffers[index]);
    ck_assert_ptr_eq(allocate(pool, 200), small);
    ReleaseFastBuffer(small);
    closePool();
}

CASE(pool, largestOnesAreNeverKept)
{
    openPool();
    size_t before = FastPoolMemory(pool);
    struct FastBuffer* buffer = allocate(pool, (64 << 20) + 1);
    ReleaseFastBuffer(buffer);
    ck_assert_uint_eq(FastPoolMemory(pool), before);
    buffer = allocate(pool, (64 << 20) + 1);
    inThread(releaseIt, buffer);
    ck_assert_uint_eq(FastPoolMemory(pool), before);
    closePool();
}

CASE(pool, foreignReleaseComesHome)
{
    openPool();
    struct FastBuffer* buffer = allocate(pool, 3000);
    inThread(releaseIt, buffer);
    ck_assert_uint_eq(FastPoolBuffers(pool), 0);
    forgetCalls(&systemMemory);
    ck_assert_ptr_eq(allocate(pool, 3000), buffer);
    ck_assert_int_eq(countCalls(&systemMemory), 0);
    ReleaseFastBuffer(buffer);
    closePool();
}

static void* releaseAll(void* closure)
{
    for (struct FastBuffer** buffers = closure; *buffers != NULL; buffers++)
        ReleaseFastBuffer(*buffers);
    return NULL;
}

/* The owner sleeps while another thread gives back all that a burst took. */
CASE(pool, idleOwnerHoldsNoBurst)
{
    static struct FastBuffer* buffers[1025];

    openPool();
    for (int index = 0; index < 1024; index++)
        buffers[index] = allocate(pool, 65536);
    ck_assert_int_eq(atomic_load(&surpluses), 0);
    inThread(releaseAll, buffers);
    ck_assert_uint_eq(FastPoolBuffers(pool), 0);
    ck_assert_int_eq(atomic_load(&surpluses), 1);
    decay();
    ck_assert_uint_le(FastPoolMemory(pool), RESERVE);
    closePool();
}

/* Workers release the owner's buffers, a burst in each turn. */
CASE(pool, whatStrangersReleaseIsKept)
{
    static struct FastBuffer* buffers[257];

    openPool();
    for (int round = 0; round < 20; round++) {
        if (round == 1)
            forgetCalls(&systemMemory);
        for (int index = 0; index < 256; index++)
            buffers[index] = allocate(pool, 65536);
        inThread(releaseAll, buffers);
    }
    ck_assert_int_eq(countCalls(&systemMemory), 0);
    closePool();
}

static void* allocateAll(void* closure)
{
    struct FastBuffer** buffers = closure;
    for (int index = 0; index < 256; index++)
        buffers[index] = allocate(pool, 65536);
    return NULL;
}

/* Workers fill buffers, the owner sends and releases them: they are the workers' again, and
 * don't pile up with the owner. */
CASE(pool, whatStrangersAllocateComesBack)
{
    static struct FastBuffer* buffers[257];
    size_t memory = 0;

    openPool();
    for (int round = 0; round < 20; round++) {
        inThread(allocateAll, buffers);
        releaseAll(buffers);
        if (round == 0)
            memory = FastPoolMemory(pool);
        if (round == 0)
            forgetCalls(&systemMemory);
    }
    ck_assert_int_eq(countCalls(&systemMemory), 0);
    ck_assert_uint_eq(FastPoolMemory(pool), memory);
    decay();
    ck_assert_uint_le(FastPoolMemory(pool), RESERVE);
    closePool();
}

/* What was released before the ring's first wait is of use after it. */
CASE(pool, ownerTakesWhatIsShared)
{
    pool = FastPoolCreate(&owner);
    struct FastBuffer* buffer = allocate(pool, 65536);
    ReleaseFastBuffer(buffer);
    FastPoolAdopt(pool);
    ck_assert_ptr_eq(allocate(pool, 65536), buffer);
    ReleaseFastBuffer(buffer);
    ck_assert_ptr_eq(allocate(pool, 65536), buffer);
    ReleaseFastBuffer(buffer);
    closePool();
}

/* ---- threads ---- */

static void* allocateAndRelease(void* closure)
{
    struct FastBuffer* buffers[BATCH] = {NULL};
    struct FastBufferPool* from = closure;
    for (int round = 0; round < ROUNDS; round++) {
        int index = (round * 7) % BATCH;
        ReleaseFastBuffer(buffers[index]);
        buffers[index] = AllocateFastBuffer(from, (size_t)64 << (round % 11), 0);
        if (buffers[index] == NULL)
            return NULL;
        memset(GetFastBufferData(buffers[index]), round, 64);
    }
    for (int index = 0; index < BATCH; index++)
        ReleaseFastBuffer(buffers[index]);
    return closure;
}

static void hammer(struct FastBufferPool* from)
{
    pthread_t threads[THREADS];
    void* result;

    for (int index = 0; index < THREADS; index++)
        ck_assert_int_eq(pthread_create(&threads[index], NULL, allocateAndRelease, from), 0);
    ck_assert_ptr_nonnull(allocateAndRelease(from));
    for (int index = 0; index < THREADS; index++) {
        ck_assert_int_eq(pthread_join(threads[index], &result), 0);
        ck_assert_ptr_nonnull(result);
    }
    ck_assert_uint_eq(FastPoolBuffers(from), 0);
}

CASE(pool, allThreadsUseAnOwnedPool)
{
    openPool();
    hammer(pool);
    decay(); /* how much is left depends on who of them had most, and when the owner was through */
    ck_assert_uint_le(FastPoolMemory(pool), RESERVE);
    closePool();
}

CASE(pool, allThreadsUseASharedPool)
{
    struct FastBufferPool* shared = FastPoolCreate(NULL);
    ck_assert_ptr_nonnull(shared);
    ck_assert_ptr_null(FastPoolGetOwner(shared));
    hammer(shared);
    ck_assert_uint_le(FastPoolMemory(shared), SHARED_RESERVE);
    FastPoolDrop(shared);
}

/* What one thread makes, others hold, read and release, in any order. */
static struct FastBuffer* _Atomic slots[BATCH];
static atomic_bool finished;

static void* consume(void* closure)
{
    (void)closure;
    uintptr_t wrong = 0;
    while (!atomic_load(&finished)) {
        for (int index = 0; index < BATCH; index++) {
            struct FastBuffer* buffer = atomic_exchange(&slots[index], NULL);
            if (buffer == NULL)
                continue;
            HoldFastBuffer(buffer);
            wrong += GetFastBufferData(buffer)[0] != 0x5a;
            ReleaseFastBuffer(buffer);
            ReleaseFastBuffer(buffer);
        }
    }
    return (void*)wrong;
}

CASE(pool, buffersWanderBetweenThreads)
{
    pthread_t threads[THREADS];
    void* result;

    openPool();
    for (int index = 0; index < THREADS; index++)
        ck_assert_int_eq(pthread_create(&threads[index], NULL, consume, NULL), 0);
    for (int round = 0; round < ROUNDS * 4; round++) {
        struct FastBuffer* buffer = AllocateFastBuffer(pool, 2000, 0);
        ck_assert_ptr_nonnull(buffer);
        GetFastBufferData(buffer)[0] = 0x5a;
        ReleaseFastBuffer(atomic_exchange(&slots[round % BATCH], buffer));
    }
    atomic_store(&finished, true);
    for (int index = 0; index < THREADS; index++) {
        ck_assert_int_eq(pthread_join(threads[index], &result), 0);
        ck_assert_ptr_null(result);
    }
    for (int index = 0; index < BATCH; index++)
        ReleaseFastBuffer(atomic_exchange(&slots[index], NULL));
    closePool();
}

CASE(pool, anotherThreadMayAdoptBeforeUse)
{
    pool = FastPoolCreate(&owner);
    struct FastBuffer* buffer = allocate(pool, 4096); /* nobody's pool yet */
    ck_assert_uint_eq(FastPoolBuffers(pool), 1);
    FastPoolAdopt(pool);
    struct FastBuffer* other = allocate(pool, 4096);
    ck_assert_uint_eq(FastPoolBuffers(pool), 2);
    ReleaseFastBuffer(buffer);
    ReleaseFastBuffer(other);
    closePool();
}

/* ---- the end ---- */

CASE(pool, lastBufferEndsThePool)
{
    openPool();
    struct FastBuffer* one = allocate(pool, 100);
    struct FastBuffer* other = allocate(pool, 100000);
    FastPoolHold(pool);
    FastPoolDrop(pool);
    ck_assert_uint_eq(FastPoolBuffers(pool), 2);
    FastPoolDrop(pool);
    ck_assert_int_eq(atomic_load(&ends), 0);
    ck_assert_uint_eq(FastPoolBuffers(pool), 2);
    ck_assert_uint_eq(FastPoolMemory(pool), FastBufferFootprint(one) + FastBufferFootprint(other));
    ReleaseFastBuffer(one);
    ck_assert_int_eq(atomic_load(&ends), 0);
    ck_assert_uint_eq(FastPoolMemory(pool), FastBufferFootprint(other));
    inThread(releaseIt, other);
    ck_assert_int_eq(atomic_load(&ends), 1);
}

CASE(pool, closedPoolRefuses)
{
    openPool();
    struct FastBuffer* buffer = allocate(pool, 100);
    FastPoolClose(pool);
    FastPoolClose(pool);
    errno = 0;
    ck_assert_ptr_null(AllocateFastBuffer(pool, 100, 0));
    ck_assert_int_eq(errno, ECANCELED);
    ck_assert_uint_eq(FastPoolBuffers(pool), 1);
    ReleaseFastBuffer(buffer);
    ck_assert_uint_eq(FastPoolMemory(pool), 0);
    ck_assert_int_eq(atomic_load(&ends), 0);
    closePool();
}

static pthread_barrier_t barrier;

static void* releaseAtBarrier(void* closure)
{
    pthread_barrier_wait(&barrier);
    return releaseAll(closure);
}

/* Threads release while the owner closes: one end, no matter who is last. */
CASE(pool, closeRacesWithReleases)
{
    enum
    {
        RACES = 300,
        EACH = 8
    };
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int race = 0; race < RACES; race++) {
        pthread_t threads[THREADS];
        struct FastBuffer* buffers[THREADS][EACH + 1] = {{NULL}};
        openPool();
        for (int index = 0; index < THREADS; index++) {
            for (int each = 0; each < EACH; each++)
                buffers[index][each] = AllocateFastBuffer(pool, each % 2 ? 100 : 65536, 0);
            pthread_create(&threads[index], NULL, releaseAtBarrier, buffers[index]);
        }
        pthread_barrier_wait(&barrier);
        FastPoolDrop(pool);
        for (int index = 0; index < THREADS; index++)
            pthread_join(threads[index], NULL);
        ck_assert_int_eq(atomic_load(&ends), race + 1);
    }
    pthread_barrier_destroy(&barrier);
}

/* ---- shortage ---- */

static void* allocateInThread(void* closure)
{
    ck_assert_ptr_eq(closure, pool);
    return AllocateFastBuffer(closure, 70000, 0);
}

/* Fails each call to the system in turn, until all of it succeeds. */
CASE(pool, everyRefusalIsSurvived)
{
    static const size_t sizes[] = {100, 70000, 3 << 20, 5000, 0};
    enum
    {
        COUNT = sizeof(sizes) / sizeof(sizes[0])
    };
    int refusals = 0;

    for (int call = 1;; call++) {
        struct FastBuffer* buffers[COUNT];
        bool refused = false;
        failCall(&systemMemory, call);
        pool = FastPoolCreate(&owner);
        if (pool == NULL) {
            ck_assert_int_eq(errno, ENOMEM);
            refusals++;
            continue;
        }
        FastPoolAdopt(pool);
        for (int index = 0; index < COUNT; index++) {
            errno = 0;
            buffers[index] = AllocateFastBuffer(pool, sizes[index], 0);
            if (buffers[index] == NULL) {
                ck_assert_int_eq(errno, ENOMEM);
                refused = true;
            }
        }
        int before = atomic_load(&homes);
        for (int index = 0; index < COUNT; index++)
            ReleaseFastBuffer(buffers[index]);
        ck_assert_int_eq(atomic_load(&homes), before + refused); /* reported once */
        failNoCall(&systemMemory);
        closePool();
        refusals += refused;
        if (!refused)
            break;
    }
    ck_assert_int_eq(refusals, COUNT + 1);
}

CASE(pool, foreignRefusalIsTold)
{
    pthread_t thread;
    void* result;

    openPool();
    struct FastBuffer* buffer = allocate(pool, 100);
    failEveryCall(&systemMemory);
    pthread_create(&thread, NULL, allocateInThread, pool);
    pthread_join(thread, &result);
    ck_assert_ptr_null(result);
    failNoCall(&systemMemory);
    ck_assert_int_eq(atomic_load(&homes), 0);
    inThread(releaseIt, buffer);
    ck_assert_int_eq(atomic_load(&homes), 1);
    ReleaseFastBuffer(allocate(pool, 100));
    ck_assert_int_eq(atomic_load(&homes), 1);
    closePool();
}

/* What is kept for other sizes is given up before an allocation fails. */
CASE(pool, reserveIsGivenUpFirst)
{
    openPool();
    struct FastBuffer* small = allocate(pool, 100);
    struct FastBuffer* large = allocate(pool, 1 << 20);
    ReleaseFastBuffer(small);
    ReleaseFastBuffer(large);
    failCall(&systemMemory, 1);
    struct FastBuffer* buffer = AllocateFastBuffer(pool, 65536, 0);
    ck_assert_ptr_nonnull(buffer);
    ck_assert_uint_eq(FastPoolMemory(pool), FastBufferFootprint(buffer));
    ReleaseFastBuffer(buffer);
    closePool();
}
