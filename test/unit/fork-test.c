/*
 * A forked child has one thread, and whatever its parent's others held is taken there for ever.
 * Here the thread that forks holds it itself.
 */
#include "fixture.h"
#include "memory/pool.h"
#include "ring/life.h"
#include "simulated.h"

#include <sys/syscall.h>
#include <sys/wait.h>

enum
{
    SIZE = 1000,
    PATIENCE = 30, /* seconds after which a child hangs for certain */
};

static struct FastBufferPool* pool;
static struct FastBuffer* buffer;

/* Of a mutex that a thread of the parent's may have locked it is undefined what that does. */
static int destroyed;

int __real_pthread_mutex_destroy(pthread_mutex_t* mutex);
int __wrap_pthread_mutex_destroy(pthread_mutex_t* mutex);

int __wrap_pthread_mutex_destroy(pthread_mutex_t* mutex)
{
    destroyed++;
    return __real_pthread_mutex_destroy(mutex);
}

static void openPool(struct FastRing* ring)
{
    pool = CreateFastBufferPool(ring);
    ck_assert_ptr_nonnull(pool);
    buffer = AllocateFastBuffer(pool, SIZE, 0);
    ck_assert_ptr_nonnull(buffer);
    memset(GetFastBufferData(buffer), 7, SIZE);
}

/* Runs a function in a child, which must come to its end. */
static void inChild(void (*function)(void))
{
    int status = -1;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(PATIENCE);
        destroyed = 0;
        function();
        _exit(destroyed);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

AREA(fork, "fork");

/* ---- a pool without a ring ---- */

/* All that there is to do with it. */
static void useAll(void)
{
    ck_assert_uint_eq(GetFastBufferData(buffer)[SIZE - 1], 7);
    ReleaseFastBuffer(buffer);
    struct FastBuffer* another = AllocateFastBuffer(pool, SIZE, 0);
    ck_assert_ptr_nonnull(another);
    memset(GetFastBufferData(another), 7, SIZE);
    ReleaseFastBufferPool(pool);
    ReleaseFastBuffer(another);
}

/* §2.8 forked child: while another thread allocates or releases */
CASE(fork, passesByABusyPool)
{
    openPool(NULL);
    ck_assert_int_eq(pthread_mutex_lock(&pool->lock), 0);
    inChild(useAll);
    ck_assert_int_eq(pthread_mutex_unlock(&pool->lock), 0);
    destroyed = 0;
    useAll();
    ck_assert_int_eq(destroyed, 1);
}

/* A child's own pool is its own. */
static void useOwn(void)
{
    pool = CreateFastBufferPool(NULL);
    ck_assert_ptr_nonnull(pool);
    ReleaseFastBufferPool(pool);
    ck_assert_int_eq(destroyed, 1);
    destroyed = 0;
}

CASE(fork, endsAChildsOwnPool)
{
    openPool(NULL);
    struct FastBufferPool* before = pool;
    inChild(useOwn);
    pool = before;
    useAll();
}

static void reuse(void)
{
    const struct FastBuffer* before = buffer;
    for (int round = 0; round < 10; round++) {
        ReleaseFastBuffer(buffer);
        buffer = AllocateFastBuffer(pool, SIZE, 0);
        ck_assert_ptr_eq(buffer, before);
    }
    useAll();
}

/* A daemon's pool is what it was before. */
CASE(fork, goesOnWithAPoolAtRest)
{
    openPool(NULL);
    inChild(reuse);
    reuse();
}

/* ---- a ring's pool ---- */

static struct Simulated kernel;
static struct FastBuffer* other;
static bool forks;

/* A child's buffer comes home when memory is wanted, too; and the pool is not the child's. */
static void releaseOther(void)
{
    atomic_store(&pool->wanted, true);
    ReleaseFastBuffer(other);
    ReleaseFastBufferPool(pool);
}

int __real_FastRingSubmitCall(struct FastRing* ring, struct FastRingCall* call);
int __wrap_FastRingSubmitCall(struct FastRing* ring, struct FastRingCall* call);

/* Called with the tie between pool and ring held. */
int __wrap_FastRingSubmitCall(struct FastRing* ring, struct FastRingCall* call)
{
    if (forks) {
        forks = false;
        inChild(releaseOther);
    }
    return __real_FastRingSubmitCall(ring, call);
}

/* §2.8 forked child: while a buffer of another thread's comes home; before the ring has a thread,
 * and forked by that */
CASE_ROUNDS(fork, passesByABusyRing, 2)
{
    struct FastRing* ring = FastRingCreateOn(simulatedOpen(&kernel));
    ck_assert_ptr_nonnull(ring);
    if (round == 1)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    openPool(ring);
    other = AllocateFastBuffer(pool, SIZE, 0);
    ck_assert_ptr_nonnull(other);
    atomic_store(&pool->wanted, true);
    forks = true;
    ReleaseFastBuffer(buffer);
    ck_assert(!forks);
    ReleaseFastBuffer(other);
    destroyed = 0;
    ReleaseFastBufferPool(pool);
    ReleaseFastRing(ring);
    ck_assert_int_eq(destroyed, 3); /* of the pool, of its tie to the ring, and of the ring */
}

static void releaseBoth(void)
{
    ReleaseFastBuffer(buffer);
    ReleaseFastBufferPool(pool);
}

/* A pool that its ring has left is forgotten in the child, too. */
CASE(fork, endsAPoolWithoutItsRing)
{
    struct FastRing* ring = FastRingCreateOn(simulatedOpen(&kernel));
    ck_assert_ptr_nonnull(ring);
    openPool(ring);
    ReleaseFastRing(ring);
    inChild(releaseBoth);
    destroyed = 0;
    releaseBoth();
    ck_assert_int_eq(destroyed, 2);
}

/* ---- forks that no handler hears of ---- */

static struct FastRing* parents;
static struct FastRingEvent* bell;

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event, (void)parameter, (void)closure;
}

/* The parent's ring is a stranger's, and one of its own works; and so on in its children. */
static void useRings(void)
{
    ck_assert_int_eq(WaitForFastRing(parents, 0, NULL), -EPERM);
    ck_assert_int_eq(SubmitFastRingEvent(bell, 1), -EPERM);
    ck_assert_int_eq(PostFastRingCall(parents, NULL, NULL), -EINVAL);
    ReleaseFastRing(parents);
    struct FastRing* own = CreateFastRing(0);
    ck_assert_ptr_nonnull(own);
    ck_assert_int_eq(WaitForFastRing(own, 0, NULL), 0);
    ck_assert_int_eq(WaitForFastRing(parents, 0, NULL), -EPERM);
    ReleaseFastRing(own);
    destroyed = 0;
}

static void useRingsAndFork(void)
{
    useRings();
    parents = CreateFastRing(0);
    bell = CreateFastRingEvent(parents, onEvent, NULL);
    ck_assert_int_eq(WaitForFastRing(parents, 0, NULL), 0);
    inChild(useRings);
    ck_assert_int_eq(WaitForFastRing(parents, 0, NULL), 0);
    destroyed = 0;
}

/* As _Fork(3), and as whoever calls clone(2) himself. */
static void inSilentChild(void (*function)(void))
{
    int status = -1;
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(PATIENCE);
        destroyed = 0;
        function();
        _exit(destroyed);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* §2.8 forked child: by a call that runs no handlers; its own children, too */
CASE(fork, isNoticedWithoutAHandler)
{
    parents = CreateFastRing(0);
    ck_assert_ptr_nonnull(parents);
    bell = CreateFastRingEvent(parents, onEvent, NULL);
    ck_assert_int_eq(WaitForFastRing(parents, 0, NULL), 0);
    inSilentChild(useRings);
    inSilentChild(useRingsAndFork);
    inChild(useRings);
    ck_assert_int_eq(WaitForFastRing(parents, 0, NULL), 0);
    ReleaseFastRingEvent(bell);
    ReleaseFastRing(parents);
}
