/*
 * Consumers that don't consume, and providers that have too little: memory stays within bounds, the
 * loop rests, and nothing is lost in the end.
 */
#include "load.h"
#include "fixture.h"

#include <pthread.h>

enum
{
    SOCKETS = 1000,
    INPUT = 4000, /* bytes to each */
    BLOCK = 1 << 20,
};

AREA(starve, "starve", .timeout = 1800);

/* ---- nobody reads ---- */

struct Writer
{
    pthread_t thread;
    int handle;
    uint64_t size;
    bool good;
};

static void* writeAll(void* closure)
{
    static uint8_t data[BLOCK];
    struct Writer* writer = closure;

    for (uint64_t sent = 0; sent < writer->size;) {
        size_t size = writer->size - sent < BLOCK ? (size_t)(writer->size - sent) : BLOCK;
        fillPattern(data, size, sent);
        for (size_t done = 0; done < size;) {
            ssize_t result = send(writer->handle, data + done, size - done, MSG_NOSIGNAL);
            if (result <= 0)
                return NULL;
            done += (size_t)result;
        }
        sent += size;
    }
    writer->good = shutdown(writer->handle, SHUT_WR) == 0;
    return NULL;
}

/* §2.3 back-pressure: a peer that writes as fast as it can while nobody reads: memory is bounded,
 * the loop rests, and all comes afterwards */
CASE_ROUNDS(starve, nobodyReads, 2)
{
    const uint64_t high = 1 << 20; /* the default */
    const uint64_t batch = 256 * 1024 + 64 * 4096;
    struct Writer writer = {.size = (uint64_t)loadOf(32 << 20, 1 << 30)};
    double end = secondsNow(CLOCK_MONOTONIC) + (double)loadOf(0, 10);
    double start = 0;
    uint64_t taken = 0;
    uint64_t most = 0;

    openScene();
    openPair(round == 0 ? KIND_TCP : KIND_UNIX_STREAM);
    writer.handle = scene.peer;
    ck_assert_int_eq(pthread_create(&writer.thread, NULL, writeAll, &writer), 0);
    waitInput(&scene.ours, high);
    runIdle(scene.ring);
    start = secondsNow(CLOCK_THREAD_CPUTIME_ID);
    uint64_t turns = readRing(scene.ring).turns;
    for (int turn = 0; (turn < 30) || (secondsNow(CLOCK_MONOTONIC) < end); turn++) {
        ck_assert_int_eq(WaitForFastRing(scene.ring, isLong() ? 100 : 1, NULL), 0);
        ck_assert_int_lt(turn, 1000); /* in ten seconds: it rests */
    }
    turns = readRing(scene.ring).turns - turns;
    start = secondsNow(CLOCK_THREAD_CPUTIME_ID) - start;
    most = readRing(scene.ring).bufferBytes;
    ck_assert_uint_le(GetFastSocketInboundLength(scene.ours.socket), high + batch);
    ck_assert_uint_le(most, 4 * (high + batch));
    while (scene.ours.hup == 0) {
        taken = takePattern(scene.ours.socket, taken);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 100, NULL), 0);
    }
    taken = takePattern(scene.ours.socket, taken);
    ck_assert_int_eq(pthread_join(writer.thread, NULL), 0);
    ck_assert(writer.good);
    ck_assert_uint_eq(taken, writer.size);
    expectOrderlyEnd(&scene.ours);
    tell("nobody reads: %llu turns, %.3f s of CPU, %llu kB of buffers; then %llu bytes",
         (unsigned long long)turns, start, (unsigned long long)most / 1024,
         (unsigned long long)taken);
    closeScene();
}

/* ---- few buffers ---- */

static struct Recorder recorders[SOCKETS];
static int peers[SOCKETS];

static void openMany(void)
{
    memset(recorders, 0, sizeof(recorders));
    for (int index = 0; index < SOCKETS; index++) {
        int pair[2];
        pairStream(pair);
        peers[index] = pair[1];
        openRecorded(&scene, pair[0], NULL, 0, &recorders[index]);
    }
    runIdle(scene.ring);
}

static void closeMany(void)
{
    for (int index = 0; index < SOCKETS; index++) {
        AbortFastSocket(recorders[index].socket);
        close(peers[index]);
    }
    waitFor(scene.ring, isNothingPending, scene.ring);
}

static void sendToMany(uint64_t position)
{
    uint8_t data[INPUT];

    fillPattern(data, sizeof(data), position);
    for (int index = 0; index < SOCKETS; index++)
        sendAll(peers[index], data, sizeof(data));
}

/* Runs the ring while it lacks what it needs; tells what that costs. */
static void rest(const char* what)
{
    double seconds = (double)loadOf(0, 10);
    double end = secondsNow(CLOCK_MONOTONIC) + seconds;
    double start = 0;
    struct FastRingStatistics before;

    runIdle(scene.ring);
    before = readRing(scene.ring);
    start = secondsNow(CLOCK_THREAD_CPUTIME_ID);
    for (int turn = 0; (turn < 20) || (secondsNow(CLOCK_MONOTONIC) < end); turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, isLong() ? 1000 : 2, NULL), 0);
    start = secondsNow(CLOCK_THREAD_CPUTIME_ID) - start;
    ck_assert_uint_le(readRing(scene.ring).completions - before.completions,
                      20 + (uint64_t)seconds * 100);
    tell("%s: %llu turns, %llu completions, %.4f s of CPU%s", what,
         (unsigned long long)(readRing(scene.ring).turns - before.turns),
         (unsigned long long)(readRing(scene.ring).completions - before.completions), start,
         isLong() ? " in 10 s" : "");
}

/* §2.3 buffers and provider: the ring's limit is reached and nobody takes anything: the loop rests;
 * it goes on as soon as somebody does, and all comes */
CASE_ROUNDS(starve, limitIsReached, 3)
{
    const uint16_t counts[] = {1, 2, 4};
    uint8_t data[INPUT];

    if (!allowDescriptors(2 * SOCKETS + 200))
        skipTest("as many descriptors are not allowed");
    sceneOpen(&scene, (struct SceneOptions){.buffers = counts[round], .bufferLength = 512});
    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_INBOUND_LIMIT, 4096), 0);
    openMany();
    sendToMany(0);
    rest("at the ring's limit");
    for (int index = 0; index < SOCKETS; index++) {
        for (uint64_t taken = 0; taken < INPUT;) {
            ssize_t size = 0;
            waitInput(&recorders[index], 1);
            size = ReceiveFastSocketData(recorders[index].socket, data, sizeof(data), 0);
            ck_assert_int_gt(size, 0);
            ck_assert(checkPattern(data, (size_t)size, taken));
            taken += (uint64_t)size;
        }
    }
    closeMany();
    closeScene();
}
