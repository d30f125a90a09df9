/* Buffers of the caller's memory: what they are, and when the memory is given back. */
#include "services.h"

enum
{
    SMALL = 100,
    LARGE = 300000,
};

static char memory[LARGE];
static int calls;
static int inside; /* in how many calls of the library we are, which may give nothing back */
static pthread_t giver;

SCENE_AREA(wrap, "wrap");

static void count(void* data, size_t size, void* closure)
{
    ck_assert_ptr_eq(data, memory);
    ck_assert_uint_eq(size, (size_t)(uintptr_t)closure);
    ck_assert_int_eq(inside, 0);
    giver = pthread_self();
    calls++;
}

static void never(void* data, size_t size, void* closure)
{
    (void)data, (void)size, (void)closure;
    ck_abort_msg("given back");
}

static struct FastBuffer* wrap(struct FastBufferPool* pool, size_t size)
{
    struct FastBuffer* buffer = WrapFastBuffer(pool, memory, size, count, (void*)(uintptr_t)size);
    ck_assert_ptr_nonnull(buffer);
    return buffer;
}

/* §2.8 wrapped memory: is a buffer like others, and goes with the last reference */
CASE(wrap, isABuffer)
{
    for (int turns = 0; turns < 2; turns++) {
        calls = 0;
        runTurns(scene.ring, turns);
        struct FastBuffer* buffer = wrap(scene.outbound, SMALL);
        ck_assert_ptr_eq(GetFastBufferData(buffer), memory);
        ck_assert_uint_eq(GetFastBufferSize(buffer), SMALL);
        ck_assert_uint_eq(GetFastBufferLength(buffer), SMALL);
        ck_assert_int_eq(SetFastBufferLength(buffer, 7), 0);
        ck_assert_int_eq(SetFastBufferLength(buffer, SMALL + 1), -EINVAL);
        ck_assert_uint_eq(GetFastBufferLength(buffer), 7);
        ck_assert_ptr_eq(HoldFastBuffer(buffer), buffer);
        ReleaseFastBuffer(buffer);
        ck_assert_int_eq(calls, 0);
        ReleaseFastBuffer(buffer);
        ck_assert_int_eq(calls, 1);
    }
    /* what was its block is an ordinary buffer's again */
    struct FastBuffer* ordinary = AllocateFastBuffer(scene.outbound, SMALL, 0);
    ck_assert_ptr_eq(GetFastBuffer(GetFastBufferData(ordinary)), ordinary);
    ReleaseFastBuffer(ordinary);
    ReleaseFastBuffer(WrapFastBuffer(scene.outbound, memory, SMALL, NULL, NULL));
    ck_assert_int_eq(calls, 1);
}

static void* releaseElsewhere(void* buffer)
{
    ReleaseFastBuffer(buffer);
    return NULL;
}

/* §2.8 wrapped memory: on the thread that drops the last reference */
CASE(wrap, goesInAnyThread)
{
    runTurns(scene.ring, 1);
    inThread(releaseElsewhere, wrap(scene.outbound, SMALL));
    ck_assert_int_eq(calls, 1);
    ck_assert(!pthread_equal(giver, pthread_self()));
}

static void* wrapElsewhere(void* pool)
{
    return wrap(pool, SMALL);
}

CASE(wrap, isMadeInAnyThread)
{
    runTurns(scene.ring, 1);
    ReleaseFastBuffer(inThread(wrapElsewhere, scene.outbound));
    ck_assert_int_eq(calls, 1);
}

CASE(wrap, needsNoRing)
{
    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    struct FastBuffer* buffer = wrap(pool, LARGE);
    ReleaseFastBufferPool(pool);
    ck_assert_int_eq(calls, 0);
    ReleaseFastBuffer(buffer);
    ck_assert_int_eq(calls, 1);
}

/* ---- sending ---- */

static void transmit(size_t size)
{
    inside++; /* small ones are copied, and let go of in here */
    ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                              wrap(scene.outbound, size), 0, size, 0),
                     0);
    inside--;
    ck_assert_int_eq(calls, 0);
}

static void fill(void)
{
    for (size_t index = 0; index < LARGE; index++)
        memory[index] = (char)(index * 7 + index / 251);
}

static char received[LARGE];
static size_t come;

static bool hasAll(void* closure)
{
    ssize_t size = recv(scene.peer, received + come, (size_t)(uintptr_t)closure - come,
                        MSG_DONTWAIT);
    if (size > 0)
        come += (size_t)size;
    return come == (size_t)(uintptr_t)closure;
}

/* §2.8 wrapped memory: sent as it lies, and given back inside a turn */
CASE_ROUNDS(wrap, isSent, 4)
{
    size_t size = round % 2 == 0 ? SMALL : LARGE;
    fill();
    openPairWith(.kind = KIND_TCP, .mode = round < 2 ? 0 : FASTSOCKET_MODE_ZERO_COPY);
    runTurns(scene.ring, 2);
    transmit(size);
    waitFor(scene.ring, hasAll, (void*)(uintptr_t)size);
    ck_assert_mem_eq(received, memory, size);
    waitCount(scene.ring, &calls, 1);
    ck_assert(pthread_equal(giver, pthread_self()));
}

CASE(wrap, datagramsToo)
{
    fill();
    openPair(KIND_UDP);
    runTurns(scene.ring, 2);
    transmit(SMALL);
    waitFor(scene.ring, hasAll, (void*)(uintptr_t)SMALL);
    waitCount(scene.ring, &calls, 1);
}

static void transmitMore(void* data, size_t size, void* closure)
{
    (void)data, (void)size, (void)closure;
    if (calls++ < 3)
        ck_assert_int_eq(
            TransmitFastSocketBuffer(
                scene.ours.socket, NULL, 0,
                WrapFastBuffer(scene.outbound, memory, LARGE, transmitMore, NULL), 0, SMALL, 0),
            0);
    else {
        ReleaseFastSocket(scene.ours.socket);
        scene.ours.socket = NULL;
    }
}

/* Every call is allowed where the library gives memory back. */
CASE(wrap, functionMayCallEverything)
{
    openPair(KIND_TCP);
    runTurns(scene.ring, 2);
    ck_assert_int_eq(
        TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                 WrapFastBuffer(scene.outbound, memory, LARGE, transmitMore, NULL),
                                 0, LARGE, 0),
        0);
    come = 0;
    waitFor(scene.ring, hasAll, (void*)(uintptr_t)LARGE);
    waitCount(scene.ring, &calls, 4);
}

/* §2.8 wrapped memory: what is refused or dropped goes back, too */
CASE(wrap, isDroppedByTheLibrary)
{
    openPair(KIND_TCP);
    runTurns(scene.ring, 2);
    inside++;
    ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                              wrap(scene.outbound, SMALL), 1, SMALL, 0),
                     -EINVAL);
    inside--;
    waitCount(scene.ring, &calls, 1);
    inside++;
    ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                              wrap(scene.outbound, LARGE), 0, LARGE, 0),
                     0);
    AbortFastSocket(scene.ours.socket);
    inside--;
    scene.ours.socket = NULL;
    waitCount(scene.ring, &calls, 2);
}

/* §2.8 wrapped memory: the end of the ring gives back what is queued */
CASE(wrap, goesWithTheRing)
{
    openPair(KIND_TCP);
    runTurns(scene.ring, 2);
    for (int index = 0; index < 50; index++)
        ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                                  wrap(scene.outbound, LARGE), 0, LARGE, 0),
                         0);
    runTurns(scene.ring, 3);
    endRing();
    ck_assert_int_eq(calls, 50);
}

static void* sendAndExit(void* closure)
{
    (void)closure;
    runTurns(scene.ring, 1);
    openPair(KIND_TCP);
    runTurns(scene.ring, 2);
    for (int index = 0; index < 50; index++)
        ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                                  wrap(scene.outbound, LARGE), 0, LARGE, 0),
                         0);
    return NULL;
}

/* Where an operation that the kernel has is not known to be over, its memory is left to it. */
CASE(wrap, goesWithARingWhoseThreadHasExited)
{
    inThread(sendAndExit, NULL);
    endRing();
    ck_assert_int_ge(calls, 1);
    ck_assert_int_le(calls, 50);
    reopenScene(.ringLength = 0);
}

/* ---- bad input ---- */

CASE(wrap, refusesBadInput)
{
    refuses(EINVAL, WrapFastBuffer(NULL, memory, SMALL, never, NULL));
    refuses(EINVAL, WrapFastBuffer(scene.outbound, NULL, SMALL, never, NULL));
    refuses(EINVAL, WrapFastBuffer(scene.outbound, NULL, 0, never, NULL));
    refuses(EMSGSIZE, WrapFastBuffer(scene.outbound, memory, ((size_t)1 << 30) + 1, never, NULL));
    struct FastBuffer* empty = wrap(scene.outbound, 0);
    ck_assert_uint_eq(GetFastBufferSize(empty), 0);
    ReleaseFastBuffer(empty);
    ck_assert_int_eq(calls, 1);
    endRing();
    refuses(ECANCELED, WrapFastBuffer(scene.outbound, memory, SMALL, never, NULL));
}
