/* What a pool keeps of the memory that was released: what turn after turn needs, and the rest
 * for seconds. */
#include "services.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum
{
    BODY = 256 << 10,
    CONNECTIONS = 50,
    BURST = 64,
    LITTLE = 4 << 20, /* stays for ever */
    REQUEST = 16,
    REQUESTS = 500, /* in a round of the server */
    ROUNDS = 200,   /* until which a round without page faults must have come */
};

AREA(poolReserve, "pool-reserve", .open = openScene, .close = closeScene, .timeout = 120);

static long pageFaults(void)
{
    struct rusage usage;
    ck_assert_int_eq(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_minflt;
}

/* ---- a burst in each turn ---- */

static struct FastBuffer* buffers[BURST];

static void* takeBurst(void* closure)
{
    struct FastBufferPool* pool = closure;
    for (int index = 0; index < BURST; index++) {
        buffers[index] = AllocateFastBuffer(pool, BODY, 0);
        ck_assert_ptr_nonnull(buffers[index]);
        memset(GetFastBufferData(buffers[index]), index, BODY);
    }
    return NULL;
}

static void* releaseBurst(void* closure)
{
    (void)closure;
    for (int index = 0; index < BURST; index++)
        ReleaseFastBuffer(buffers[index]);
    return NULL;
}

/* Some round has none, or a few if a sanitizer keeps books; without the reserve each had
 * thousands, one for each page of a buffer. */
static void expectNoFaults(struct FastBufferPool* pool)
{
    long faults = BURST;
    for (int round = 0; round < ROUNDS && faults >= BURST / 4; round++) {
        long before = pageFaults();
        takeBurst(pool);
        releaseBurst(NULL);
        faults = pageFaults() - before;
    }
    ck_assert_int_lt(faults, BURST / 4);
}

/* §2.8 pool at work: in the ring's thread */
CASE(poolReserve, keepsWhatTurnsNeed)
{
    runTurns(scene.ring, 1);
    expectNoFaults(scene.outbound);
}

/* §2.8 pool at work: before the first wait, when the pool has no thread yet */
CASE(poolReserve, keepsBeforeTheFirstWait)
{
    expectNoFaults(scene.outbound);
}

/* §2.8 pool at work: without a ring */
CASE(poolReserve, keepsWithoutRing)
{
    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    expectNoFaults(pool);
    ReleaseFastBufferPool(pool);
}

/* ---- a server ---- */

static uint8_t body[BODY];
static int served;

static void answer(struct FastSocket* socket, int event, int parameter, struct Recorder* recorder)
{
    char request[REQUEST];
    (void)parameter;
    (void)recorder;
    if (event != POLLIN || GetFastSocketInboundLength(socket) < REQUEST)
        return;
    ck_assert_int_eq(ReceiveFastSocketData(socket, request, REQUEST, 0), REQUEST);
    ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, body, BODY, 0), 0);
    served++;
}

static void askAll(const int* handles)
{
    static const char request[REQUEST] = "GET / HTTP/1.1\r\n";
    for (int index = 0; index < CONNECTIONS; index++)
        sendAll(handles[index], request, REQUEST);
}

/* Asks on all connections at once, and reads all answers, until the server's end is closed. */
static void runClients(const int* handles, const int* others)
{
    static uint8_t data[BODY];
    for (int index = 0; index < CONNECTIONS; index++)
        close(others[index]);
    for (;;) {
        askAll(handles);
        for (int index = 0; index < CONNECTIONS; index++)
            for (size_t got = 0; got < BODY;) {
                ssize_t count = read(handles[index], data, BODY - got);
                if (count <= 0)
                    _exit(0);
                got += (size_t)count;
            }
    }
}

static bool hasServed(void* closure)
{
    return served >= *(int*)closure;
}

/* Page faults while so many requests are answered. */
static long serve(int requests)
{
    long before = pageFaults();
    int goal = served + requests;
    waitFor(scene.ring, hasServed, &goal);
    return pageFaults() - before;
}

/* §2.8 pool at work: 50 connections that are answered with 256 KiB each, copied */
CASE(poolReserve, serverHasNoPageFaults)
{
    static struct Recorder recorders[CONNECTIONS];
    int server[CONNECTIONS];
    int client[CONNECTIONS];
    for (int index = 0; index < CONNECTIONS; index++) {
        int pair[2];
        pairTcp(pair);
        server[index] = pair[0];
        client[index] = pair[1];
    }
    pid_t child = fork();
    if (child == 0)
        runClients(client, server);
    for (int index = 0; index < CONNECTIONS; index++) {
        close(client[index]);
        recorders[index].then = answer;
        openRecorded(&scene, server[index], NULL, 0, &recorders[index]);
    }
    long faults = REQUESTS;
    for (int round = 0; round < ROUNDS && faults >= REQUESTS / 4; round++)
        faults = serve(REQUESTS);
    ck_assert_int_lt(faults, REQUESTS / 4); /* it was 45 for each */
    for (int index = 0; index < CONNECTIONS; index++) {
        AbortFastSocket(recorders[index].socket);
        ReleaseFastSocket(recorders[index].socket);
    }
    runUntil(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

/* ---- what it doesn't need ---- */

static bool hasLittle(void* closure)
{
    (void)closure;
    return readRing(scene.ring).bufferBytes <= 2 * LITTLE; /* of the two pools together */
}

static bool rests(void* closure)
{
    (void)closure;
    return GetFastRingInterval(scene.ring) == -1;
}

static void expectDecay(void)
{
    ck_assert(!hasLittle(NULL));
    ck_assert_int_ge(GetFastRingInterval(scene.ring), 0); /* a foreign loop is told to come back */
    waitFor(scene.ring, hasLittle, NULL);
    waitFor(scene.ring, rests, NULL);
}

/* §2.8 pool after a burst: by itself, in a ring that waits; then the ring has no time to wait
 * for */
CASE(poolReserve, burstReturns)
{
    runTurns(scene.ring, 1);
    takeBurst(scene.outbound);
    releaseBurst(NULL);
    expectDecay();
}

/* §2.8 pool after a burst: that came before the first wait */
CASE(poolReserve, burstBeforeTheFirstWaitReturns)
{
    expectNoFaults(scene.outbound); /* so that it is kept */
    ck_assert(!hasLittle(NULL));
    runTurns(scene.ring, 1);
    expectDecay();
}

/* §2.8 pool after a burst: that another thread released, while the ring slept */
CASE(poolReserve, burstOfAnotherThreadReturns)
{
    runTurns(scene.ring, 1);
    takeBurst(scene.outbound);
    runIdle(scene.ring);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
    inThread(releaseBurst, NULL);
    ck_assert(!hasLittle(NULL));
    waitFor(scene.ring, hasLittle, NULL);
    waitFor(scene.ring, rests, NULL);
}

/* §2.8 pool after a burst: that another thread allocated, and the ring released */
CASE(poolReserve, burstForAnotherThreadReturns)
{
    runTurns(scene.ring, 1);
    inThread(takeBurst, scene.outbound);
    releaseBurst(NULL);
    expectDecay();
}

/* §2.8 pool after a burst: the pool, and the ring, may end in the middle of it */
CASE(poolReserve, endsWithSurplus)
{
    runTurns(scene.ring, 1);
    struct FastBufferPool* pool = CreateFastBufferPool(scene.ring);
    takeBurst(pool);
    releaseBurst(NULL);
    ReleaseFastBufferPool(pool);
    waitFor(scene.ring, rests, NULL);
    pool = CreateFastBufferPool(scene.ring);
    takeBurst(pool);
    inThread(releaseBurst, NULL);
    ReleaseFastBufferPool(pool);
    waitFor(scene.ring, rests, NULL);
    takeBurst(scene.outbound);
    releaseBurst(NULL); /* … and then the scene's end */
}

/* ---- the option ---- */

/* §2.8 pool reserve: 0 keeps nothing, whoever releases */
CASE(poolReserve, reserveOfZeroKeepsNothing)
{
    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_POOL_RESERVE, 0), 0);
    runIdle(scene.ring);
    uint64_t before = readRing(scene.ring).bufferBytes;
    for (int way = 0; way < 4; way++) {
        if (way < 2)
            takeBurst(scene.outbound);
        else
            inThread(takeBurst, scene.outbound);
        if (way % 2 == 0)
            releaseBurst(NULL);
        else
            inThread(releaseBurst, NULL);
        ck_assert_uint_eq(readRing(scene.ring).bufferBytes, before);
        ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
    }
}

/* §2.8 pool reserve: of pools that are there, and of those to come; what is kept already goes at
 * once */
CASE(poolReserve, reserveBoundsEachPool)
{
    enum
    {
        BOUND = 8 << 20
    };
    runTurns(scene.ring, 1);
    takeBurst(scene.outbound);
    releaseBurst(NULL);
    uint64_t before = readRing(scene.ring).bufferBytes;
    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_POOL_RESERVE, BOUND), 0);
    uint64_t kept = readRing(scene.ring).bufferBytes;
    ck_assert_uint_le(kept, before - (uint64_t)BURST * BODY + BOUND);
    struct FastBufferPool* pool = CreateFastBufferPool(scene.ring);
    takeBurst(pool);
    releaseBurst(NULL);
    ck_assert_uint_le(readRing(scene.ring).bufferBytes, kept + BOUND);
    ck_assert_uint_gt(readRing(scene.ring).bufferBytes, kept + BOUND - BODY - LITTLE / 8);
    ReleaseFastBufferPool(pool);
}
