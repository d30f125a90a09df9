/* Buffers and pools as a user sees them; the inside is tested in test/unit. */
#include "services.h"

static struct Fixture fixture;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void checkBuffer(struct FastBufferPool* pool, size_t size)
{
    struct FastBuffer* buffer = AllocateFastBuffer(pool, size, 0);
    ck_assert_ptr_nonnull(buffer);
    uint8_t* data = GetFastBufferData(buffer);
    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq((uintptr_t)data % 64, 0);
    ck_assert_ptr_eq(GetFastBuffer(data), buffer);
    ck_assert_uint_eq(GetFastBufferSize(buffer), size);
    ck_assert_uint_eq(GetFastBufferLength(buffer), 0);
    ck_assert_int_eq(SetFastBufferLength(buffer, size), 0);
    ck_assert_int_eq(SetFastBufferLength(buffer, size + 1), -EINVAL);
    ck_assert_uint_eq(GetFastBufferLength(buffer), size);
    ck_assert_int_eq(SetFastBufferLength(buffer, 0), 0);
    if (size > 0) {
        data[0] = 1;
        data[size - 1] = 2;
    }
    ck_assert_ptr_eq(HoldFastBuffer(buffer), buffer);
    ReleaseFastBuffer(buffer);
    ReleaseFastBuffer(buffer);
}

static const size_t sizes[] = {0, 1, 255, 256, 257, 4096, 65536, 100000, 2 << 20, (2 << 20) + 1, (size_t)1 << 30};

START_TEST(hasAnySize)
{
    for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++)
        checkBuffer(fixture.outbound, sizes[index]);
    runTurns(fixture.ring, 1); /* now the pool has its thread */
    for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++)
        checkBuffer(fixture.outbound, sizes[index]);
}
END_TEST

START_TEST(needsNoRing)
{
    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    ck_assert_ptr_nonnull(pool);
    for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++)
        checkBuffer(pool, sizes[index]);
    struct FastBuffer* last = AllocateFastBuffer(pool, 10, 0);
    ReleaseFastBufferPool(pool);
    memset(GetFastBufferData(last), 0, 10); /* lives on */
    ReleaseFastBuffer(last);
}
END_TEST

START_TEST(nullIsHarmless)
{
    ReleaseFastBufferPool(NULL);
    ReleaseFastBuffer(NULL);
    ReleaseRingFastBuffer(NULL);
    ck_assert_ptr_null(HoldFastBuffer(NULL));
    ck_assert_ptr_null(GetFastBuffer(NULL));
    ck_assert_ptr_null(GetFastBufferData(NULL));
    ck_assert_uint_eq(GetFastBufferLength(NULL), 0);
    ck_assert_uint_eq(GetFastBufferSize(NULL), 0);
    ck_assert_int_eq(SetFastBufferLength(NULL, 0), -EINVAL);
}
END_TEST

START_TEST(refusesBadArguments)
{
    refuses(EINVAL, AllocateFastBuffer(NULL, 10, 0));
    refuses(EINVAL, AllocateFastBuffer(fixture.outbound, 10, 1));
    refuses(EMSGSIZE, AllocateFastBuffer(fixture.outbound, ((size_t)1 << 30) + 1, 0));
    refuses(EMSGSIZE, AllocateFastBuffer(fixture.outbound, SIZE_MAX, 0));
    refuses(EINVAL, AllocateRingFastBuffer(10, NULL));
    refuses(EMSGSIZE, AllocateRingFastBuffer(SIZE_MAX, fixture.outbound));
}
END_TEST

START_TEST(ringBuffersAreBuffers)
{
    void* data = AllocateRingFastBuffer(5000, fixture.outbound);
    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq(GetFastBufferSize(GetFastBuffer(data)), 5000);
    HoldFastBuffer(GetFastBuffer(data));
    ReleaseRingFastBuffer(data);
    memset(data, 0, 5000);
    ReleaseRingFastBuffer(data);
}
END_TEST

/* ---- pool, ring and buffers may go in any order ---- */

static struct FastBufferPool* pool;
static struct FastRing* ring;
static struct FastBuffer* buffer;

static void* releaseInThread(void* closure)
{
    ReleaseFastBuffer(closure);
    return NULL;
}

static void releasePart(int part)
{
    switch (part) {
    case 0:
        ReleaseFastBufferPool(pool);
        break;
    case 1:
        ReleaseFastRing(ring);
        break;
    case 2:
        ReleaseFastBuffer(buffer);
        break;
    default:
        inThread(releaseInThread, buffer);
        break;
    }
}

START_TEST(goInAnyOrder)
{
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}, {0, 1, 3}, {0, 3, 1}, {1, 0, 3}, {1, 3, 0}, {3, 0, 1}, {3, 1, 0}};
    for (size_t index = 0; index < sizeof(orders) / sizeof(orders[0]); index++) {
        for (int turns = 0; turns < 2; turns++) {
            ring = CreateFastRing(8);
            pool = CreateFastBufferPool(ring);
            runTurns(ring, turns);
            buffer = AllocateFastBuffer(pool, 1000, 0);
            ck_assert_ptr_nonnull(buffer);
            for (int step = 0; step < 3; step++)
                releasePart(orders[index][step]);
        }
    }
}
END_TEST

START_TEST(poolIsAShellAfterTheRing)
{
    ring = CreateFastRing(8);
    pool = CreateFastBufferPool(ring);
    ReleaseFastRing(ring);
    refuses(ECANCELED, AllocateFastBuffer(pool, 10, 0));
    ReleaseFastBufferPool(pool);
}
END_TEST

START_TEST(countsUntilTheLastBufferIsHome)
{
    pool = CreateFastBufferPool(fixture.ring);
    runTurns(fixture.ring, 1);
    uint64_t before = readRing(fixture.ring).buffers;
    buffer = AllocateFastBuffer(pool, 1000, 0);
    struct FastBuffer* other = AllocateFastBuffer(pool, 1000, 0);
    ReleaseFastBufferPool(pool);
    ck_assert_uint_eq(readRing(fixture.ring).buffers, before + 2);
    inThread(releaseInThread, buffer);
    ck_assert_uint_eq(readRing(fixture.ring).buffers, before + 1);
    inThread(releaseInThread, other);
    ck_assert_uint_eq(readRing(fixture.ring).buffers, before);
    runIdle(fixture.ring);
}
END_TEST

/* ---- threads ---- */

static void* allocateInThread(void* closure)
{
    struct FastBuffer* made = AllocateFastBuffer(closure, 100, 0);
    ck_assert_ptr_nonnull(made);
    memset(GetFastBufferData(made), 3, 100);
    SetFastBufferLength(made, 100);
    return made;
}

START_TEST(isMadeInAnyThread)
{
    runTurns(fixture.ring, 1);
    uint64_t before = readRing(fixture.ring).buffers;
    buffer = inThread(allocateInThread, fixture.outbound);
    ck_assert_uint_eq(readRing(fixture.ring).buffers, before + 1);
    ck_assert_uint_eq(GetFastBufferLength(buffer), 100);
    ck_assert_uint_eq(GetFastBufferData(buffer)[99], 3);
    ReleaseFastBuffer(buffer);
    ck_assert_uint_eq(readRing(fixture.ring).buffers, before);
}
END_TEST

static void* createInThread(void* closure)
{
    refuses(EPERM, CreateFastBufferPool(fixture.ring));
    ReleaseFastBufferPool(closure); /* does nothing */
    return NULL;
}

START_TEST(poolIsTheRingsThreads)
{
    runTurns(fixture.ring, 1);
    inThread(createInThread, fixture.outbound);
    checkBuffer(fixture.outbound, 100);
}
END_TEST

static void* churn(void* closure)
{
    struct FastBuffer* kept[16] = {NULL};
    for (int round = 0; round < 20000; round++) {
        ReleaseFastBuffer(kept[round % 16]);
        kept[round % 16] = AllocateFastBuffer(closure, (size_t)(round % 5000), 0);
        ck_assert_ptr_nonnull(kept[round % 16]);
    }
    for (int index = 0; index < 16; index++)
        ReleaseFastBuffer(kept[index]);
    return NULL;
}

START_TEST(churnsInManyThreads)
{
    pthread_t threads[4];
    runTurns(fixture.ring, 1);
    uint64_t before = readRing(fixture.ring).buffers;
    for (int index = 0; index < 4; index++)
        ck_assert_int_eq(pthread_create(&threads[index], NULL, churn, fixture.outbound), 0);
    churn(fixture.outbound);
    for (int index = 0; index < 4; index++)
        pthread_join(threads[index], NULL);
    ck_assert_uint_eq(readRing(fixture.ring).buffers, before);
}
END_TEST

START_TEST(memoryReturnsAfterABurst)
{
    static struct FastBuffer* many[1000];
    runTurns(fixture.ring, 1);
    uint64_t before = readRing(fixture.ring).bufferBytes;
    for (int index = 0; index < 1000; index++)
        many[index] = AllocateFastBuffer(fixture.outbound, 100000, 0);
    ck_assert_uint_ge(readRing(fixture.ring).bufferBytes, before + 100000000);
    for (int index = 0; index < 1000; index++)
        ReleaseFastBuffer(many[index]);
    ck_assert_uint_le(readRing(fixture.ring).bufferBytes, before + (4 << 20));
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("buffer");
    TCase* tcase = tcase_create("buffer");

    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_test(tcase, hasAnySize);
    tcase_add_test(tcase, needsNoRing);
    tcase_add_test(tcase, nullIsHarmless);
    tcase_add_test(tcase, refusesBadArguments);
    tcase_add_test(tcase, ringBuffersAreBuffers);
    tcase_add_test(tcase, goInAnyOrder);
    tcase_add_test(tcase, poolIsAShellAfterTheRing);
    tcase_add_test(tcase, countsUntilTheLastBufferIsHome);
    tcase_add_test(tcase, isMadeInAnyThread);
    tcase_add_test(tcase, poolIsTheRingsThreads);
    tcase_add_test(tcase, churnsInManyThreads);
    tcase_add_test(tcase, memoryReturnsAfterABurst);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
