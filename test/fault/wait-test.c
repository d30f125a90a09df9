/* What lasts: files that nobody reads, and a process that is stopped while its timers run. */
#include "load.h"
#include "files.h"

#include <signal.h>
#include <sys/wait.h>

SCENE_AREA(lasting, "lasting");

/* How long the long form waits: FAULT_SECONDS, or a minute. */
static double secondsOf(double little)
{
    const char* text = getenv("FAULT_SECONDS");

    if (!isLong())
        return little;
    return (text != NULL) ? strtod(text, NULL) : 60;
}

enum
{
    QUEUED = 300000,
};

/* §2.5 writes: a reader who doesn't read: the loop rests for as long as it takes, and all arrives
 * in the end */
CASE_ROUNDS(lasting, nobodyReads, 2)
{
    double seconds = secondsOf(0);
    double end = secondsNow(CLOCK_MONOTONIC) + seconds;
    double busy = 0;
    struct FastRingStatistics before;
    static uint8_t data[QUEUED];
    int ends[2];

    if (round == 0)
        ck_assert_int_eq(pipe(ends), 0);
    else
        openTerminal(ends, true);
    openFile(&scene, ends[1 - round], &scene.ours);
    transmitPattern(scene.ours.socket, QUEUED, 0);
    runIdle(scene.ring);
    before = readRing(scene.ring);
    busy = secondsNow(CLOCK_THREAD_CPUTIME_ID);
    for (int turn = 0; (turn < 30) || (secondsNow(CLOCK_MONOTONIC) < end); turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, isLong() ? 1000 : 1, NULL), 0);
    busy = secondsNow(CLOCK_THREAD_CPUTIME_ID) - busy;
    ck_assert_uint_le(readRing(scene.ring).completions - before.completions,
                      20 + (uint64_t)seconds * 60);
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
    tell("a full %s for %.0f s: %llu turns, %.4f s of CPU", round == 0 ? "pipe" : "terminal",
         seconds, (unsigned long long)(readRing(scene.ring).turns - before.turns), busy);
    for (size_t taken = 0; taken < QUEUED;) {
        struct pollfd state = {.fd = ends[round], .events = POLLIN};
        ssize_t size = 0;
        if (poll(&state, 1, 0) == 1) {
            size = read(ends[round], data + taken, QUEUED - taken);
            ck_assert_int_gt(size, 0);
        }
        taken += (size_t)size;
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    }
    ck_assert(checkPattern(data, QUEUED, 0));
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    close(ends[round]);
}

/* ---- a slow reader ---- */

enum
{
    SIP = 1000, /* bytes at a time */
    MUCH = 16 << 20,
};

/* §2.4 short count: one message to a reader who takes a kilobyte a second, through the smallest
 * buffers of both sides; and takes the rest at once in the end */
CASE(lasting, readsSlowly)
{
    double seconds = secondsOf(0);
    double end = secondsNow(CLOCK_MONOTONIC) + seconds;
    double busy = 0;
    uint64_t taken = 0;
    uint8_t data[SIP];

    pairTcp(scene.pair);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    ck_assert_int_eq(setsockopt(scene.peer, SOL_SOCKET, SO_RCVBUF, &(int){1}, sizeof(int)), 0);
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    waitCount(scene.ring, &scene.ours.out, 1);
    transmitPattern(scene.ours.socket, MUCH, 0);
    busy = secondsNow(CLOCK_THREAD_CPUTIME_ID);
    for (int turn = 0; (turn < 20) || (secondsNow(CLOCK_MONOTONIC) < end); turn++) {
        ssize_t size = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);
        if (size > 0) {
            ck_assert(checkPattern(data, (size_t)size, taken));
            taken += (uint64_t)size;
        }
        double next = secondsNow(CLOCK_MONOTONIC) + (isLong() ? 1 : 0);
        do
            ck_assert_int_eq(WaitForFastRing(scene.ring, isLong() ? 1000 : 1, NULL), 0);
        while (secondsNow(CLOCK_MONOTONIC) < next);
    }
    busy = secondsNow(CLOCK_THREAD_CPUTIME_ID) - busy;
    tell("a reader of 1 kB/s for %.0f s: %llu bytes, %.4f s of CPU", seconds,
         (unsigned long long)taken, busy);
    ck_assert_int_eq(setsockopt(scene.peer, SOL_SOCKET, SO_RCVBUF, &(int){1 << 20}, sizeof(int)),
                     0);
    expectPattern(scene.peer, loadOf(200000, MUCH) - taken, taken);
    if (isLong()) {
        waitDrained(&scene.ours);
        ck_assert_int_eq(scene.ours.out, 2);
        ReleaseFastSocket(scene.ours.socket);
    } else {
        AbortFastSocket(scene.ours.socket); /* so little at a time takes its time */
    }
    closePeer();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* ---- a stop ---- */

enum
{
    ONCE = 100,
};

static int fired[ONCE];
static int order;
static int repeats;

static void onOnce(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    ck_assert_int_eq(*(int*)closure, 0);
    *(int*)closure = ++order;
}

static void onRepeat(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
    repeats++;
}

static bool haveAllFired(void* closure)
{
    (void)closure;
    return order == ONCE;
}

/* timeouts that were due while the process was stopped come once each, in order, and one that
 * repeats doesn't catch up */
CASE(lasting, isStopped)
{
    double seconds = secondsOf(0.3);
    struct FastRingTimeout* repeating = NULL;
    pid_t child = 0;
    pid_t self = getpid();

    repeating = SetFastRingTimeout(scene.ring, NULL, 20, FASTRING_TIMEOUT_REPEAT, onRepeat, NULL);
    ck_assert_ptr_nonnull(repeating);
    for (int index = 0; index < ONCE; index++)
        ck_assert_ptr_nonnull(
            SetFastRingTimeout(scene.ring, NULL, 100 + index, 0, onOnce, &fired[index]));
    runTurns(scene.ring, 1);
    child = fork();
    if (child == 0) {
        kill(self, SIGSTOP);
        usleep((useconds_t)(seconds * 1e6));
        kill(self, SIGCONT);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    int before = repeats;
    runTurns(scene.ring, 1);
    ck_assert_int_le(repeats - before, 1);
    waitFor(scene.ring, haveAllFired, NULL);
    for (int index = 0; index < ONCE; index++)
        ck_assert_int_eq(fired[index], index + 1);
    tell("stopped for %.1f s: %d timeouts, once each", seconds, ONCE);
    ck_assert_ptr_null(SetFastRingTimeout(scene.ring, repeating, -1, 0, NULL, NULL));
}
