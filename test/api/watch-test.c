/* Watches: level and edge, updates in every state, half-closed sockets without a spin. */
#include "services.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0x2000
#endif

static struct FastRingWatch* watch;
static int pair[2];
static int calls;
static int lastResult;

static void setUp(void)
{
    openScene();
    pair[0] = -1;
    pair[1] = -1;
}

static void tearDown(void)
{
    for (int index = 0; index < 2; index++)
        if (pair[index] >= 0)
            close(pair[index]);
    closeScene();
}

AREA(watch, "watch", .open = setUp, .close = tearDown);

static void count(struct FastRingWatch* which, int result, void* closure)
{
    ck_assert_ptr_eq(which, watch);
    ck_assert_ptr_eq(closure, &calls);
    calls++;
    lastResult = result;
}

static void countOther(struct FastRingWatch* which, int result, void* closure)
{
    (void)which;
    ck_assert(result & POLLIN);
    (*(int*)closure)++;
}

static void never(struct FastRingWatch* which, int result, void* closure)
{
    (void)which;
    (void)closure;
    ck_abort_msg("called with %d", result);
}

static void add(int handle, uint32_t mask, uint32_t flags, HandleFastRingWatchFunction function)
{
    watch = AddFastRingWatch(scene.ring, handle, mask, flags, function, &calls);
    ck_assert_msg(watch != NULL, "AddFastRingWatch: %s", strerror(errno));
}

static void putByte(int handle)
{
    ck_assert_int_eq(write(handle, "x", 1), 1);
}

static void takeByte(int handle)
{
    char byte;
    ck_assert_int_eq(read(handle, &byte, 1), 1);
}

static void fillPipe(int handle)
{
    char block[4096] = {0};
    fcntl(handle, F_SETFL, O_NONBLOCK);
    while (write(handle, block, sizeof(block)) > 0)
        continue;
    while (write(handle, block, 1) > 0)
        continue;
}

static void drain(int handle)
{
    char block[4096];
    fcntl(handle, F_SETFL, O_NONBLOCK);
    while (read(handle, block, sizeof(block)) > 0)
        continue;
}

/* ---- level ---- */

CASE(watch, reportsEachTurnWhileReadable)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, 0, count);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 0);
    putByte(pair[1]);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastResult, POLLIN);
    for (int turn = 0; turn < 10; turn++) {
        int before = calls;
        runTurns(scene.ring, 1);
        ck_assert_int_le(calls, before + 1); /* once a turn at most */
    }
    waitCount(scene.ring, &calls, 5);
    takeByte(pair[0]);
    runTurns(scene.ring, 2);
    int after = calls;
    runIdle(scene.ring);
    ck_assert_int_eq(calls, after);
    putByte(pair[1]);
    waitCount(scene.ring, &calls, after + 1);
    RemoveFastRingWatch(watch);
}

CASE(watch, reportsWritable)
{
    ck_assert_int_eq(pipe(pair), 0);
    fillPipe(pair[1]);
    add(pair[1], POLLOUT, 0, count);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 0);
    drain(pair[0]);
    waitCount(scene.ring, &calls, 2);
    ck_assert_int_eq(lastResult, POLLOUT);
    RemoveFastRingWatch(watch);
}

CASE(watch, reportsHangup)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, 0, count);
    runIdle(scene.ring);
    close(pair[1]);
    pair[1] = -1;
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastResult, POLLHUP);
    RemoveFastRingWatch(watch);
}

CASE(watch, reportsErrorOfPipe)
{
    ck_assert_int_eq(pipe(pair), 0);
    fillPipe(pair[1]);
    add(pair[1], POLLOUT, FASTRING_WATCH_ONCE, count);
    runIdle(scene.ring);
    close(pair[0]);
    pair[0] = -1;
    waitCount(scene.ring, &calls, 1);
    ck_assert(lastResult & POLLERR);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
    RemoveFastRingWatch(watch);
}

CASE(watch, watchesEventfd)
{
    pair[0] = eventfd(0, EFD_CLOEXEC);
    add(pair[0], POLLIN, 0, count);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(eventfd_write(pair[0], 1), 0);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastResult, POLLIN);
    RemoveFastRingWatch(watch);
}

/* A regular file is always ready, as poll(2) has it. */
CASE(watch, regularFileIsReady)
{
    char name[] = "/tmp/fastsocket-watch-XXXXXX";
    pair[0] = mkstemp(name);
    ck_assert_int_ge(pair[0], 0);
    unlink(name);
    add(pair[0], POLLIN, FASTRING_WATCH_ONCE, count);
    waitCount(scene.ring, &calls, 1);
    ck_assert(lastResult < 0 || (lastResult & POLLIN));
    RemoveFastRingWatch(watch);
}

/* ---- half-closed sockets ---- */

static void runQuiet(int turns)
{
    uint64_t before = readRing(scene.ring).completions;
    runTurns(scene.ring, turns);
    /* what comes to an end is allowed, a completion a turn is a spin */
    ck_assert_uint_le(readRing(scene.ring).completions - before, 6);
}

/* Fills a TCP connection that nobody reads, until the kernel has nothing left to move either: its
 * buffers don't grow, and what it takes after a refusal is filled up again. */
static void fillConnection(int handles[2])
{
    static char block[65536];
    struct pollfd state = {.fd = handles[0], .events = POLLOUT};
    int size = 16384;

    ck_assert_int_eq(setsockopt(handles[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    ck_assert_int_eq(setsockopt(handles[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
    do
        while (send(handles[0], block, sizeof(block), MSG_DONTWAIT) > 0)
            continue;
    while (poll(&state, 1, 300) > 0);
}

/* POLLRDHUP holds for ever, and nobody asked for it. */
static void checkHalfClosed(uint32_t flags)
{
    pairTcp(pair);
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    fillConnection(pair);
    shutdown(pair[1], SHUT_WR);
    add(pair[0], POLLOUT, flags, count);
    runTurns(scene.ring, 20);
    runQuiet(200);
    ck_assert_int_eq(calls, 0);
    drain(pair[1]); /* now it becomes writable */
    for (int turn = 0; calls == 0 && turn < 6000; turn++) {
        ck_assert_int_eq(WaitForFastRing(scene.ring, 10, NULL), 0);
        drain(pair[1]);
    }
    ck_assert_int_ge(calls, 1);
    ck_assert_int_eq(lastResult, POLLOUT);
    if (flags == 0)
        waitCount(scene.ring, &calls, calls + 5); /* and level-triggered again */
    RemoveFastRingWatch(watch);
}

CASE(watch, halfClosedDoesNotSpin)
{
    checkHalfClosed(0);
}

CASE(watch, halfClosedOnceDoesNotSpin)
{
    checkHalfClosed(FASTRING_WATCH_ONCE);
}

CASE(watch, halfClosedEdgeDoesNotSpin)
{
    checkHalfClosed(FASTRING_WATCH_EDGE);
}

CASE(watch, priorityOfHalfClosedDoesNotSpin)
{
    pairTcp(pair);
    shutdown(pair[1], SHUT_WR);
    add(pair[0], POLLPRI, 0, count);
    runTurns(scene.ring, 20);
    runQuiet(200);
    ck_assert_int_eq(calls, 0);
    RemoveFastRingWatch(watch);
}

CASE(watch, halfCloseIsReportedWhenAskedFor)
{
    pairTcp(pair);
    add(pair[0], POLLRDHUP, 0, count);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 0);
    shutdown(pair[1], SHUT_WR);
    waitCount(scene.ring, &calls, 3);
    ck_assert_int_eq(lastResult, POLLRDHUP);
    RemoveFastRingWatch(watch);
}

CASE(watch, unaskedBitsAreNotReported)
{
    pairTcp(pair);
    shutdown(pair[1], SHUT_WR);
    add(pair[0], POLLIN, 0, count);
    waitCount(scene.ring, &calls, 2); /* the end of input is readable */
    ck_assert_int_eq(lastResult, POLLIN);
    RemoveFastRingWatch(watch);
}

/* ---- once, edge ---- */

CASE(watch, onceRestsUntilTheUpdate)
{
    ck_assert_int_eq(pipe(pair), 0);
    putByte(pair[1]);
    add(pair[0], POLLIN, FASTRING_WATCH_ONCE, count);
    waitCount(scene.ring, &calls, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), 0);
    waitCount(scene.ring, &calls, 2);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 2);
    RemoveFastRingWatch(watch);
}

static void updateSelf(struct FastRingWatch* which, int result, void* closure)
{
    (void)result;
    (void)closure;
    calls++;
    ck_assert_int_eq(UpdateFastRingWatch(which, POLLIN), 0);
}

CASE(watch, onceIsRenewedInside)
{
    ck_assert_int_eq(pipe(pair), 0);
    putByte(pair[1]);
    add(pair[0], POLLIN, FASTRING_WATCH_ONCE, updateSelf);
    waitCount(scene.ring, &calls, 10);
    RemoveFastRingWatch(watch);
}

CASE(watch, edgeReportsChangesOnly)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, FASTRING_WATCH_EDGE, count);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 0);
    for (int round = 1; round <= 5; round++) {
        putByte(pair[1]);
        waitCount(scene.ring, &calls, round);
        ck_assert_int_eq(lastResult, POLLIN);
        runIdle(scene.ring);
        ck_assert_int_eq(calls, round); /* unread, and not reported again */
    }
    RemoveFastRingWatch(watch);
}

CASE(watch, edgeTellsWhatHoldsAtFirst)
{
    ck_assert_int_eq(pipe(pair), 0);
    putByte(pair[1]);
    add(pair[0], POLLIN, FASTRING_WATCH_EDGE, count);
    waitCount(scene.ring, &calls, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
    RemoveFastRingWatch(watch);
}

/* Of several: what has changed is told, and nothing that does not hold. */
CASE(watch, edgeOfSeveralTellsWhatChanged)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    add(pair[0], POLLIN | POLLOUT | POLLRDHUP, FASTRING_WATCH_EDGE, count);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastResult, POLLOUT);
    for (int round = 2; round <= 5; round++) {
        putByte(pair[1]);
        waitCount(scene.ring, &calls, round);
        ck_assert_int_eq(lastResult & ~POLLOUT, POLLIN); /* on epoll with what holds beside it */
        runIdle(scene.ring);
        ck_assert_int_eq(calls, round);
    }
    RemoveFastRingWatch(watch);
}

/* Beside another watch of the same descriptor, which is told each turn of what holds. */
CASE(watch, edgeBesideLevelReportsChangesOnly)
{
    for (int round = 0; round < 2; round++) {
        int others = 0;
        struct FastRingWatch* level = NULL;
        ck_assert_int_eq(pipe(pair), 0);
        calls = 0;
        if (round == 0)
            level = AddFastRingWatch(scene.ring, pair[0], POLLIN, 0, countOther, &others);
        add(pair[0], POLLIN, FASTRING_WATCH_EDGE, count);
        if (round == 1)
            level = AddFastRingWatch(scene.ring, pair[0], POLLIN, 0, countOther, &others);
        runIdle(scene.ring);
        ck_assert_int_eq(calls, 0);
        for (int change = 1; change <= 3; change++) {
            putByte(pair[1]);
            waitCount(scene.ring, &others, others + 10);
            ck_assert_int_eq(calls, change);
        }
        drain(pair[0]);
        runIdle(scene.ring);
        putByte(pair[1]);
        waitCount(scene.ring, &others, others + 10);
        ck_assert_int_eq(calls, 4);
        RemoveFastRingWatch(level);
        RemoveFastRingWatch(watch);
        close(pair[0]);
        close(pair[1]);
    }
    pair[0] = -1;
    pair[1] = -1;
}

/* ---- updates ---- */

CASE(watch, pausesAndGoesOn)
{
    ck_assert_int_eq(pipe(pair), 0);
    putByte(pair[1]);
    add(pair[0], 0, 0, count);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), 0);
    waitCount(scene.ring, &calls, 2);
    ck_assert_int_eq(UpdateFastRingWatch(watch, 0), 0);
    int before = calls;
    runIdle(scene.ring);
    ck_assert_int_eq(calls, before);
    ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), 0);
    waitCount(scene.ring, &calls, before + 1);
    RemoveFastRingWatch(watch);
}

/* A paused watch hears of nothing, not even of a hang-up. */
CASE(watch, pausedHearsNothing)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, 0, never);
    runIdle(scene.ring);
    ck_assert_int_eq(UpdateFastRingWatch(watch, 0), 0);
    close(pair[1]);
    pair[1] = -1;
    runIdle(scene.ring);
    RemoveFastRingWatch(watch);
}

/* The old mask has come true before the update; nothing of it is reported. */
CASE(watch, formerMaskIsForgotten)
{
    pairStream(pair);
    for (int round = 0; round < 3; round++) {
        uint32_t flags = round == 1 ? FASTRING_WATCH_EDGE : round == 2 ? FASTRING_WATCH_ONCE
                                                                       : 0;
        calls = 0;
        add(pair[0], POLLIN, flags, count);
        runIdle(scene.ring);
        putByte(pair[1]); /* its completion is on the way */
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLOUT), 0);
        waitCount(scene.ring, &calls, 1);
        ck_assert_int_eq(lastResult, POLLOUT);
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLPRI), 0);
        int before = calls;
        runIdle(scene.ring);
        ck_assert_int_eq(calls, before);
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), 0);
        waitCount(scene.ring, &calls, before + 1);
        ck_assert_int_eq(lastResult, POLLIN);
        RemoveFastRingWatch(watch);
        takeByte(pair[0]);
        runIdle(scene.ring);
    }
}

/* To and fro, at every distance from the arming. */
CASE(watch, updatesInEveryState)
{
    pairStream(pair);
    putByte(pair[1]);
    for (int round = 0; round < 64; round++) {
        static const uint32_t masks[] = {POLLIN, 0, POLLOUT, POLLPRI};
        uint32_t flags = (round / 16) % 3;
        add(pair[0], masks[round % 4], flags, count);
        for (int step = 0; step < 8; step++) {
            runTurns(scene.ring, (round >> (step % 4)) & 1);
            ck_assert_int_eq(UpdateFastRingWatch(watch, masks[(round + step * 3) % 4]), 0);
        }
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLPRI), 0);
        runIdle(scene.ring);
        calls = 0;
        lastResult = 0;
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN | POLLOUT), 0);
        waitCount(scene.ring, &calls, 1);
        ck_assert_int_eq(lastResult, POLLIN | POLLOUT);
        RemoveFastRingWatch(watch);
        runTurns(scene.ring, round % 3);
    }
    runIdle(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).operations, 0);
}

/* ---- removal ---- */

CASE(watch, removedInEveryState)
{
    ck_assert_int_eq(pipe(pair), 0);
    for (uint32_t flags = 0; flags <= FASTRING_WATCH_EDGE; flags++) {
        for (int turns = 0; turns < 4; turns++) {
            add(pair[0], POLLIN, flags, never);
            runTurns(scene.ring, turns);
            putByte(pair[1]);
            RemoveFastRingWatch(watch);
            runTurns(scene.ring, turns);
            takeByte(pair[0]);
        }
    }
    runIdle(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).operations, 0);
    RemoveFastRingWatch(NULL);
}

static void removeSelf(struct FastRingWatch* which, int result, void* closure)
{
    (void)closure;
    ck_assert_int_eq(result, POLLIN);
    calls++;
    RemoveFastRingWatch(which);
    close(pair[0]); /* at once */
    pair[0] = -1;
}

CASE(watch, removesItself)
{
    for (uint32_t flags = 0; flags <= FASTRING_WATCH_EDGE; flags++) {
        ck_assert_int_eq(pipe(pair), 0);
        putByte(pair[1]);
        add(pair[0], POLLIN, flags, removeSelf);
        waitCount(scene.ring, &calls, (int)flags + 1);
        runIdle(scene.ring);
        ck_assert_int_eq(calls, (int)flags + 1);
        close(pair[1]);
    }
    pair[1] = -1;
}

static struct FastRingWatch* watches[8];

static void removeAll(struct FastRingWatch* which, int result, void* closure)
{
    (void)which;
    (void)result;
    (void)closure;
    calls++;
    for (int index = 0; index < 8; index++) {
        RemoveFastRingWatch(watches[index]);
        watches[index] = NULL;
    }
}

/* All are due in the same batch of completions. */
CASE(watch, removesAllOthers)
{
    for (uint32_t flags = 0; flags <= FASTRING_WATCH_EDGE; flags++) {
        ck_assert_int_eq(pipe(pair), 0);
        for (int index = 0; index < 8; index++)
            watches[index] = AddFastRingWatch(scene.ring, pair[0], POLLIN, flags, removeAll, NULL);
        runTurns(scene.ring, 2);
        putByte(pair[1]);
        waitCount(scene.ring, &calls, (int)flags + 1);
        runIdle(scene.ring);
        ck_assert_int_eq(calls, (int)flags + 1);
        close(pair[0]);
        close(pair[1]);
    }
    pair[0] = -1;
    pair[1] = -1;
}

/* The number of a closed descriptor is taken again: a removed watch must not touch it. */
CASE(watch, removedOneForgetsTheNumber)
{
    ck_assert_int_eq(pipe(pair), 0);
    int handle = pair[0];
    add(handle, POLLIN, 0, never);
    RemoveFastRingWatch(watch); /* before it was ever armed */
    close(pair[0]);
    pair[0] = eventfd(1, EFD_CLOEXEC);
    ck_assert_int_eq(pair[0], handle);
    runIdle(scene.ring);
}

/* Whoever has the file as well goes on with it, and wakes nobody here. */
CASE(watch, removedOneLeavesTheFileToOthers)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, 0, never);
    runIdle(scene.ring);
    int handle = pair[0];
    pair[0] = dup(handle);
    RemoveFastRingWatch(watch);
    close(handle);
    runIdle(scene.ring);
    struct pollfd state = {.fd = GetFastRingHandle(scene.ring), .events = POLLIN};
    runIdle(scene.ring);
    for (int round = 0; round < 3; round++) {
        putByte(pair[1]);
        ck_assert_int_eq(poll(&state, 1, 0), 0);
        takeByte(pair[0]);
    }
}

/* ---- what never changes ---- */

/* §2.8 overflow: watches by edges that are told of more at once than the ring has room for go on */
CASE(watch, edgesSurviveOverflow)
{
    enum
    {
        MANY = 300,
    };
    static struct FastRingWatch* watches[MANY];
    static int counts[MANY];
    static int handles[MANY];
    uint64_t value = 1;

    reopenScene(.ringLength = 2);
    for (int index = 0; index < MANY; index++) {
        handles[index] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ck_assert_int_ge(handles[index], 0);
        watches[index] = AddFastRingWatch(scene.ring, handles[index], POLLIN, FASTRING_WATCH_EDGE,
                                          countOther, &counts[index]);
        ck_assert_ptr_nonnull(watches[index]);
    }
    runIdle(scene.ring);
    for (int round = 1; round <= 3; round++) {
        for (int index = 0; index < MANY; index++)
            ck_assert_int_eq((int)write(handles[index], &value, sizeof(value)), sizeof(value));
        for (int index = 0; index < MANY; index++)
            waitCount(scene.ring, &counts[index], round);
        runIdle(scene.ring);
        for (int index = 0; index < MANY; index++)
            ck_assert_int_eq((int)read(handles[index], &value, sizeof(value)), sizeof(value));
        value = 1;
    }
    for (int index = 0; index < MANY; index++) {
        RemoveFastRingWatch(watches[index]);
        close(handles[index]);
    }
}

/* Its state is told once, and again when something else is asked. */
static void expectToldOnce(int handle)
{
    pair[0] = handle;
    ck_assert_int_ge(handle, 0);
    calls = 0;
    add(handle, POLLIN, FASTRING_WATCH_EDGE, count);
    waitCount(scene.ring, &calls, 1);
    runTurns(scene.ring, 20);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
    ck_assert(lastResult & POLLIN);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
    ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), 0); /* it is what it was */
    runTurns(scene.ring, 20);
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(UpdateFastRingWatch(watch, POLLOUT), 0);
    waitCount(scene.ring, &calls, 2);
    runTurns(scene.ring, 20);
    ck_assert_int_eq(calls, 2);
    RemoveFastRingWatch(watch);
    close(handle);
    pair[0] = -1;
    runTurns(scene.ring, 2);
}

/* §2.8 watch edge: what can't be polled is always ready, and says so once */
CASE(watch, edgeTellsOnceOfWhatCantBePolled)
{
    expectToldOnce(memfd_create("file", MFD_CLOEXEC));
    expectToldOnce(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    expectToldOnce(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    expectToldOnce(open("/dev/null", O_RDWR | O_CLOEXEC));
}

/* What such a one never says can't be waited for. */
CASE(watch, diesOfWhatNeverComes)
{
    static const uint32_t flags[] = {0, FASTRING_WATCH_ONCE, FASTRING_WATCH_EDGE};
    pair[0] = memfd_create("file", MFD_CLOEXEC);
    ck_assert_int_ge(pair[0], 0);
    for (int index = 0; index < 3; index++) {
        calls = 0;
        add(pair[0], POLLPRI, flags[index], count);
        waitCount(scene.ring, &calls, 1);
        runTurns(scene.ring, 5);
        ck_assert_int_eq(calls, 1);
        ck_assert_int_eq(lastResult, -EINVAL);
        RemoveFastRingWatch(watch);
    }
}

/* §2.8 watch edge: and so does a terminal that was hung up before */
CASE(watch, edgeTellsOnceOfAHungUpTerminal)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        skipTest("no pseudo-terminals here");
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    close(master);
    expectToldOnce(slave);
}

/* ---- death ---- */

CASE(watch, diesOfAClosedHandle)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, 0, count);
    close(pair[0]); /* against the rule */
    pair[0] = -1;
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastResult, -EBADF);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
    ck_assert_int_lt(UpdateFastRingWatch(watch, POLLIN), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
    RemoveFastRingWatch(watch);
}

static void releaseRing(struct FastRingWatch* which, int result, void* closure)
{
    (void)which;
    (void)result;
    (void)closure;
    calls++;
    ReleaseFastRing(scene.ring);
}

CASE(watch, releasesTheRingInside)
{
    ck_assert_int_eq(pipe(pair), 0);
    putByte(pair[1]);
    add(pair[0], POLLIN, 0, releaseRing);
    waitRingEnd();
    ck_assert_int_eq(calls, 1);
    RemoveFastRingWatch(watch);
}

CASE(watch, isAShellAfterTheRing)
{
    for (int turns = 0; turns < 3; turns++) {
        struct FastRing* ring = CreateFastRing(8);
        ck_assert_int_eq(pipe(pair), 0);
        watch = AddFastRingWatch(ring, pair[0], POLLIN, turns == 2 ? FASTRING_WATCH_EDGE : 0, never,
                                 NULL);
        ck_assert_ptr_nonnull(watch);
        runTurns(ring, turns);
        putByte(pair[1]);
        ReleaseFastRing(ring);
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), -ECANCELED);
        ck_assert_int_eq(GetFastRingWatchHandle(watch), -ECANCELED);
        RemoveFastRingWatch(watch);
        close(pair[0]);
        close(pair[1]);
    }
    pair[0] = -1;
    pair[1] = -1;
}

/* ---- bad input ---- */

static void* useInThread(void* closure)
{
    refuses(EPERM, AddFastRingWatch(scene.ring, pair[0], POLLIN, 0, never, NULL));
    ck_assert_int_eq(UpdateFastRingWatch(closure, POLLOUT), -EPERM);
    ck_assert_int_eq(GetFastRingWatchHandle(closure), -EPERM);
    RemoveFastRingWatch(closure); /* does nothing */
    return NULL;
}

CASE(watch, refusesBadInput)
{
    ck_assert_int_eq(pipe(pair), 0);
    refuses(EINVAL, AddFastRingWatch(NULL, pair[0], POLLIN, 0, never, NULL));
    refuses(EINVAL, AddFastRingWatch(scene.ring, pair[0], POLLIN, 0, NULL, NULL));
    refuses(EINVAL, AddFastRingWatch(scene.ring, pair[0], POLLIN | 0x10000, 0, never, NULL));
    refuses(EINVAL, AddFastRingWatch(scene.ring, pair[0], POLLIN, 4, never, NULL));
    refuses(EINVAL, AddFastRingWatch(scene.ring, pair[0], POLLIN, 3, never, NULL));
    refuses(EBADF, AddFastRingWatch(scene.ring, -1, POLLIN, 0, never, NULL));
    refuses(EBADF, AddFastRingWatch(scene.ring, 1000000, POLLIN, 0, never, NULL));
    ck_assert_int_eq(UpdateFastRingWatch(NULL, POLLIN), -EINVAL);
    ck_assert_int_eq(GetFastRingWatchHandle(NULL), -EINVAL);

    add(pair[0], POLLIN, 0, count);
    runTurns(scene.ring, 2);
    ck_assert_int_eq(GetFastRingWatchHandle(watch), pair[0]);
    ck_assert_int_eq(UpdateFastRingWatch(watch, 0x10000), -EINVAL);
    inThread(useInThread, watch);
    putByte(pair[1]);
    waitCount(scene.ring, &calls, 1); /* as it was */
    ck_assert_int_eq(lastResult, POLLIN);
    RemoveFastRingWatch(watch);
}
