/*
 * The short ways of memory in a pool's own thread: each case is one in which a single one of their
 * conditions does not hold, so that only the long way does what was promised.
 */
#include "fixture.h"
#include "memory/pool.h"
#include "services.h"

enum
{
    SMALL = 1000,
    PIECE = 16384,
    LITTLE = 4 << 20, /* may stay for ever */
    MANY = 2 * LITTLE / PIECE,
};

static const size_t aboveSmall = (2 << 20) + 1; /* in the first class of large ones */
static const size_t large = 3 << 20;            /* in another one */
static const size_t loose = (65 << 20);         /* in none */

static struct Countdown systemMemory;

FAILING_CALL(&systemMemory, NULL, void*, aligned_alloc, (size_t alignment, size_t size),
             (alignment, size))

/* ---- an owner ---- */

static int homes;
static int surpluses;
static int ends;
static struct FastBufferPool* pool;

static void onHome(struct FastPoolOwner* owner)
{
    (void)owner;
    homes++;
}

static void onGone(struct FastPoolOwner* owner)
{
    (void)owner;
    FastPoolFree(pool);
    pool = NULL;
    ends++;
}

static void onSurplus(struct FastPoolOwner* owner)
{
    (void)owner;
    surpluses++;
}

static struct FastPoolOwner owner = {.home = onHome, .gone = onGone, .surplus = onSurplus};

static void openPool(void)
{
    homes = 0;
    surpluses = 0;
    ends = 0;
    failNoCall(&systemMemory);
    pool = FastPoolCreate(&owner);
    ck_assert_ptr_nonnull(pool);
    FastPoolAdopt(pool);
}

static void closePool(void)
{
    if (pool == NULL)
        return;
    ck_assert_uint_eq(FastPoolBuffers(pool), 0);
    FastPoolDrop(pool);
    ck_assert_int_eq(ends, 1);
}

AREA(shortPool, "short-pool", .open = openPool, .close = closePool);

/* Its block is at hand from now on. */
static void keepOne(size_t size)
{
    struct FastBuffer* buffer = FastPoolAllocate(pool, size);
    ck_assert_ptr_nonnull(buffer);
    FastPoolRelease(pool, buffer);
}

static void* allocateElsewhere(void* size)
{
    return AllocateFastBuffer(pool, *(size_t*)size, 0);
}

static void* releaseElsewhere(void* buffer)
{
    ReleaseFastBuffer(buffer);
    return NULL;
}

/* ---- taking (FastPoolTakeQuickly) ---- */

CASE(shortPool, takesTheBlockAtHand)
{
    keepOne(SMALL);
    size_t memory = FastPoolMemory(pool);
    struct FastBuffer* buffer = FastPoolAllocate(pool, SMALL);
    ck_assert_uint_eq(FastPoolMemory(pool), memory);
    ck_assert_uint_eq(FastPoolBuffers(pool), 1);
    ck_assert_uint_eq(FastBufferSize(buffer), SMALL);
    ck_assert_uint_eq(FastBufferLength(buffer), 0);
    FastPoolRelease(pool, buffer);
}

/* Classes above are counted in another way: a block of one would be too small. */
CASE(shortPool, findsTheClassOfLargeOnes)
{
    keepOne(aboveSmall);
    struct FastBuffer* buffer = FastPoolAllocate(pool, large);
    ck_assert_ptr_nonnull(buffer);
    ck_assert_uint_ge(FastBufferFootprint(buffer), large);
    FastPoolRelease(pool, buffer);
}

/* ---- giving back (FastPoolGiveQuickly) ---- */

/* A closed pool ends with its last buffer. */
CASE(shortPool, endsWithTheLastBuffer)
{
    struct FastBuffer* buffer = FastPoolAllocate(pool, SMALL);
    struct FastBufferPool* closed = pool;
    FastPoolDrop(pool);
    ck_assert_int_eq(ends, 0);
    ck_assert_ptr_null(FastPoolAllocate(closed, SMALL));
    FastPoolRelease(closed, buffer);
    ck_assert_int_eq(ends, 1);
}

/* Another thread finds its own again. */
CASE(shortPool, keepsWhatIsSharedThere)
{
    size_t size = SMALL;
    struct FastBuffer* buffer = inThread(allocateElsewhere, &size);
    ck_assert_ptr_nonnull(buffer);
    size_t memory = FastPoolMemory(pool);
    FastPoolRelease(pool, buffer);
    buffer = inThread(allocateElsewhere, &size);
    ck_assert_uint_eq(FastPoolMemory(pool), memory);
    FastPoolRelease(pool, buffer);
}

/* Blocks cut to measure are never kept. */
CASE(shortPool, keepsNoLooseOnes)
{
    size_t memory = FastPoolMemory(pool);
    keepOne(loose);
    ck_assert_uint_eq(FastPoolMemory(pool), memory);
}

/* Who holds it still has it. */
CASE(shortPool, keepsWhatIsHeld)
{
    struct FastBuffer* buffer = FastPoolAllocate(pool, SMALL);
    HoldFastBuffer(buffer);
    FastPoolRelease(pool, buffer);
    ck_assert_uint_eq(FastPoolBuffers(pool), 1);
    struct FastBuffer* other = FastPoolAllocate(pool, SMALL);
    ck_assert_ptr_ne(other, buffer);
    FastPoolRelease(pool, other);
    FastPoolRelease(pool, buffer);
}

static void onOtherGone(struct FastPoolOwner* unused)
{
    (void)unused;
}

/* A buffer of another pool goes home, also where that has the same thread. */
CASE(shortPool, sendsOthersHome)
{
    struct FastPoolOwner neighbour = {.home = onHome, .gone = onOtherGone, .surplus = onSurplus};
    struct FastBufferPool* other = FastPoolCreate(&neighbour);
    FastPoolAdopt(other);
    struct FastBuffer* buffer = FastPoolAllocate(other, SMALL);
    FastPoolRelease(pool, buffer);
    ck_assert_uint_eq(FastPoolBuffers(pool), 0);
    ck_assert_uint_eq(FastPoolBuffers(other), 0);
    FastPoolDrop(other);
    FastPoolFree(other);
}

/* ---- what a release has to see to (FastPoolNeedsCare) ---- */

CASE(shortPool, tellsOfASurplus)
{
    static struct FastBuffer* buffers[MANY];
    for (int index = 0; index < MANY; index++)
        buffers[index] = FastPoolAllocate(pool, PIECE);
    for (int index = 0; index < MANY; index++)
        FastPoolRelease(pool, buffers[index]);
    ck_assert_int_eq(surpluses, 1);
}

/* What others have returned comes home with the next release, and not at the next lack alone. */
CASE(shortPool, collectsWhatOthersReturned)
{
    struct FastBuffer* returned = FastPoolAllocate(pool, PIECE);
    struct FastBuffer* buffer = FastPoolAllocate(pool, SMALL);
    inThread(releaseElsewhere, returned);
    size_t before = FastStoreFree(&pool->own.store);
    FastPoolRelease(pool, buffer);
    ck_assert_uint_ge(FastStoreFree(&pool->own.store), before + PIECE);
}

CASE(shortPool, tellsThatMemoryIsBack)
{
    struct FastBuffer* buffer = FastPoolAllocate(pool, SMALL);
    failEveryCall(&systemMemory);
    ck_assert_ptr_null(FastPoolAllocate(pool, SMALL));
    failNoCall(&systemMemory);
    ck_assert_int_eq(homes, 0);
    FastPoolRelease(pool, buffer);
    ck_assert_int_eq(homes, 1);
}
