/* Watches: level and edge, updates in every state, half-closed sockets without a spin. */
#include "services.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0x2000
#endif

static struct Fixture fixture;
static struct FastRingWatch* watch;
static int pair[2];
static int calls;
static int lastResult;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
    pair[0] = -1;
    pair[1] = -1;
}

static void tearDown(void)
{
    for (int index = 0; index < 2; index++)
        if (pair[index] >= 0)
            close(pair[index]);
    fixtureClose(&fixture);
}

static void count(struct FastRingWatch* which, int result, void* closure)
{
    ck_assert_ptr_eq(which, watch);
    ck_assert_ptr_eq(closure, &calls);
    calls++;
    lastResult = result;
}

static void never(struct FastRingWatch* which, int result, void* closure)
{
    (void)which;
    (void)closure;
    ck_abort_msg("called with %d", result);
}

static void add(int handle, uint32_t mask, uint32_t flags, HandleFastRingWatchFunction function)
{
    watch = AddFastRingWatch(fixture.ring, handle, mask, flags, function, &calls);
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

START_TEST(reportsEachTurnWhileReadable)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, 0, count);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 0);
    putByte(pair[1]);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, POLLIN);
    for (int turn = 0; turn < 10; turn++) {
        int before = calls;
        runTurns(fixture.ring, 1);
        ck_assert_int_le(calls, before + 1); /* once a turn at most */
    }
    waitCount(fixture.ring, &calls, 5);
    takeByte(pair[0]);
    runTurns(fixture.ring, 2);
    int after = calls;
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, after);
    putByte(pair[1]);
    waitCount(fixture.ring, &calls, after + 1);
    RemoveFastRingWatch(watch);
}
END_TEST

START_TEST(reportsWritable)
{
    ck_assert_int_eq(pipe(pair), 0);
    fillPipe(pair[1]);
    add(pair[1], POLLOUT, 0, count);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 0);
    drain(pair[0]);
    waitCount(fixture.ring, &calls, 2);
    ck_assert_int_eq(lastResult, POLLOUT);
    RemoveFastRingWatch(watch);
}
END_TEST

START_TEST(reportsHangup)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, 0, count);
    runIdle(fixture.ring);
    close(pair[1]);
    pair[1] = -1;
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, POLLHUP);
    RemoveFastRingWatch(watch);
}
END_TEST

START_TEST(reportsErrorOfPipe)
{
    ck_assert_int_eq(pipe(pair), 0);
    fillPipe(pair[1]);
    add(pair[1], POLLOUT, FASTRING_WATCH_ONCE, count);
    runIdle(fixture.ring);
    close(pair[0]);
    pair[0] = -1;
    waitCount(fixture.ring, &calls, 1);
    ck_assert(lastResult & POLLERR);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
    RemoveFastRingWatch(watch);
}
END_TEST

START_TEST(watchesEventfd)
{
    pair[0] = eventfd(0, EFD_CLOEXEC);
    add(pair[0], POLLIN, 0, count);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(eventfd_write(pair[0], 1), 0);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, POLLIN);
    RemoveFastRingWatch(watch);
}
END_TEST

/* A regular file is always ready, as poll(2) has it. */
START_TEST(regularFileIsReady)
{
    char name[] = "/tmp/fastsocket-watch-XXXXXX";
    pair[0] = mkstemp(name);
    ck_assert_int_ge(pair[0], 0);
    unlink(name);
    add(pair[0], POLLIN, FASTRING_WATCH_ONCE, count);
    waitCount(fixture.ring, &calls, 1);
    ck_assert(lastResult < 0 || (lastResult & POLLIN));
    RemoveFastRingWatch(watch);
}
END_TEST

/* ---- half-closed sockets ---- */

static void runQuiet(int turns)
{
    uint64_t before = readRing(fixture.ring).completions;
    runTurns(fixture.ring, turns);
    /* what settles is allowed, a completion a turn is a spin */
    ck_assert_uint_le(readRing(fixture.ring).completions - before, 6);
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
    runTurns(fixture.ring, 20);
    runQuiet(200);
    ck_assert_int_eq(calls, 0);
    drain(pair[1]); /* now it becomes writable */
    for (int turn = 0; calls == 0 && turn < 6000; turn++) {
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 10, NULL), 0);
        drain(pair[1]);
    }
    ck_assert_int_ge(calls, 1);
    ck_assert_int_eq(lastResult, POLLOUT);
    if (flags == 0)
        waitCount(fixture.ring, &calls, calls + 5); /* and level-triggered again */
    RemoveFastRingWatch(watch);
}

START_TEST(halfClosedDoesNotSpin)
{
    checkHalfClosed(0);
}
END_TEST

START_TEST(halfClosedOnceDoesNotSpin)
{
    checkHalfClosed(FASTRING_WATCH_ONCE);
}
END_TEST

START_TEST(halfClosedEdgeDoesNotSpin)
{
    checkHalfClosed(FASTRING_WATCH_EDGE);
}
END_TEST

START_TEST(priorityOfHalfClosedDoesNotSpin)
{
    pairTcp(pair);
    shutdown(pair[1], SHUT_WR);
    add(pair[0], POLLPRI, 0, count);
    runTurns(fixture.ring, 20);
    runQuiet(200);
    ck_assert_int_eq(calls, 0);
    RemoveFastRingWatch(watch);
}
END_TEST

START_TEST(halfCloseIsReportedWhenAskedFor)
{
    pairTcp(pair);
    add(pair[0], POLLRDHUP, 0, count);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 0);
    shutdown(pair[1], SHUT_WR);
    waitCount(fixture.ring, &calls, 3);
    ck_assert_int_eq(lastResult, POLLRDHUP);
    RemoveFastRingWatch(watch);
}
END_TEST

START_TEST(unaskedBitsAreNotReported)
{
    pairTcp(pair);
    shutdown(pair[1], SHUT_WR);
    add(pair[0], POLLIN, 0, count);
    waitCount(fixture.ring, &calls, 2); /* the end of input is readable */
    ck_assert_int_eq(lastResult, POLLIN);
    RemoveFastRingWatch(watch);
}
END_TEST

/* ---- once, edge ---- */

START_TEST(onceRestsUntilTheUpdate)
{
    ck_assert_int_eq(pipe(pair), 0);
    putByte(pair[1]);
    add(pair[0], POLLIN, FASTRING_WATCH_ONCE, count);
    waitCount(fixture.ring, &calls, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), 0);
    waitCount(fixture.ring, &calls, 2);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 2);
    RemoveFastRingWatch(watch);
}
END_TEST

static void updateSelf(struct FastRingWatch* which, int result, void* closure)
{
    (void)result;
    (void)closure;
    calls++;
    ck_assert_int_eq(UpdateFastRingWatch(which, POLLIN), 0);
}

START_TEST(onceIsRenewedInside)
{
    ck_assert_int_eq(pipe(pair), 0);
    putByte(pair[1]);
    add(pair[0], POLLIN, FASTRING_WATCH_ONCE, updateSelf);
    waitCount(fixture.ring, &calls, 10);
    RemoveFastRingWatch(watch);
}
END_TEST

START_TEST(edgeReportsChangesOnly)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, FASTRING_WATCH_EDGE, count);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 0);
    for (int round = 1; round <= 5; round++) {
        putByte(pair[1]);
        waitCount(fixture.ring, &calls, round);
        ck_assert_int_eq(lastResult, POLLIN);
        runIdle(fixture.ring);
        ck_assert_int_eq(calls, round); /* unread, and not told again */
    }
    RemoveFastRingWatch(watch);
}
END_TEST

START_TEST(edgeTellsWhatHoldsAtFirst)
{
    ck_assert_int_eq(pipe(pair), 0);
    putByte(pair[1]);
    add(pair[0], POLLIN, FASTRING_WATCH_EDGE, count);
    waitCount(fixture.ring, &calls, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
    RemoveFastRingWatch(watch);
}
END_TEST

/* ---- updates ---- */

START_TEST(pausesAndGoesOn)
{
    ck_assert_int_eq(pipe(pair), 0);
    putByte(pair[1]);
    add(pair[0], 0, 0, count);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), 0);
    waitCount(fixture.ring, &calls, 2);
    ck_assert_int_eq(UpdateFastRingWatch(watch, 0), 0);
    int before = calls;
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, before);
    ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), 0);
    waitCount(fixture.ring, &calls, before + 1);
    RemoveFastRingWatch(watch);
}
END_TEST

/* A paused watch hears of nothing, not even of a hang-up. */
START_TEST(pausedHearsNothing)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, 0, never);
    runIdle(fixture.ring);
    ck_assert_int_eq(UpdateFastRingWatch(watch, 0), 0);
    close(pair[1]);
    pair[1] = -1;
    runIdle(fixture.ring);
    RemoveFastRingWatch(watch);
}
END_TEST

/* The old mask has come true before the update; nothing of it is told. */
START_TEST(formerMaskIsForgotten)
{
    pairStream(pair);
    for (int round = 0; round < 3; round++) {
        uint32_t flags = round == 1 ? FASTRING_WATCH_EDGE : round == 2 ? FASTRING_WATCH_ONCE
                                                                       : 0;
        calls = 0;
        add(pair[0], POLLIN, flags, count);
        runIdle(fixture.ring);
        putByte(pair[1]); /* its completion is on the way */
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLOUT), 0);
        waitCount(fixture.ring, &calls, 1);
        ck_assert_int_eq(lastResult, POLLOUT);
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLPRI), 0);
        int before = calls;
        runIdle(fixture.ring);
        ck_assert_int_eq(calls, before);
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), 0);
        waitCount(fixture.ring, &calls, before + 1);
        ck_assert_int_eq(lastResult, POLLIN);
        RemoveFastRingWatch(watch);
        takeByte(pair[0]);
        runIdle(fixture.ring);
    }
}
END_TEST

/* To and fro, at every distance from the arming. */
START_TEST(updatesInEveryState)
{
    pairStream(pair);
    putByte(pair[1]);
    for (int round = 0; round < 64; round++) {
        static const uint32_t masks[] = {POLLIN, 0, POLLOUT, POLLPRI};
        uint32_t flags = (round / 16) % 3;
        add(pair[0], masks[round % 4], flags, count);
        for (int step = 0; step < 8; step++) {
            runTurns(fixture.ring, (round >> (step % 4)) & 1);
            ck_assert_int_eq(UpdateFastRingWatch(watch, masks[(round + step * 3) % 4]), 0);
        }
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLPRI), 0);
        runIdle(fixture.ring);
        calls = 0;
        lastResult = 0;
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN | POLLOUT), 0);
        waitCount(fixture.ring, &calls, 1);
        ck_assert_int_eq(lastResult, POLLIN | POLLOUT);
        RemoveFastRingWatch(watch);
        runTurns(fixture.ring, round % 3);
    }
    runIdle(fixture.ring);
    ck_assert_uint_eq(readRing(fixture.ring).operations, 0);
}
END_TEST

/* ---- removal ---- */

START_TEST(removedInEveryState)
{
    ck_assert_int_eq(pipe(pair), 0);
    for (uint32_t flags = 0; flags <= FASTRING_WATCH_EDGE; flags++) {
        for (int turns = 0; turns < 4; turns++) {
            add(pair[0], POLLIN, flags, never);
            runTurns(fixture.ring, turns);
            putByte(pair[1]);
            RemoveFastRingWatch(watch);
            runTurns(fixture.ring, turns);
            takeByte(pair[0]);
        }
    }
    runIdle(fixture.ring);
    ck_assert_uint_eq(readRing(fixture.ring).operations, 0);
    RemoveFastRingWatch(NULL);
}
END_TEST

static void removeSelf(struct FastRingWatch* which, int result, void* closure)
{
    (void)closure;
    ck_assert_int_eq(result, POLLIN);
    calls++;
    RemoveFastRingWatch(which);
    close(pair[0]); /* at once */
    pair[0] = -1;
}

START_TEST(removesItself)
{
    for (uint32_t flags = 0; flags <= FASTRING_WATCH_EDGE; flags++) {
        ck_assert_int_eq(pipe(pair), 0);
        putByte(pair[1]);
        add(pair[0], POLLIN, flags, removeSelf);
        waitCount(fixture.ring, &calls, (int)flags + 1);
        runIdle(fixture.ring);
        ck_assert_int_eq(calls, (int)flags + 1);
        close(pair[1]);
    }
    pair[1] = -1;
}
END_TEST

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
START_TEST(removesAllOthers)
{
    for (uint32_t flags = 0; flags <= FASTRING_WATCH_EDGE; flags++) {
        ck_assert_int_eq(pipe(pair), 0);
        for (int index = 0; index < 8; index++)
            watches[index] = AddFastRingWatch(fixture.ring, pair[0], POLLIN, flags, removeAll, NULL);
        runTurns(fixture.ring, 2);
        putByte(pair[1]);
        waitCount(fixture.ring, &calls, (int)flags + 1);
        runIdle(fixture.ring);
        ck_assert_int_eq(calls, (int)flags + 1);
        close(pair[0]);
        close(pair[1]);
    }
    pair[0] = -1;
    pair[1] = -1;
}
END_TEST

/* The number of a closed descriptor is taken again: a removed watch must not touch it. */
START_TEST(removedOneForgetsTheNumber)
{
    ck_assert_int_eq(pipe(pair), 0);
    int handle = pair[0];
    add(handle, POLLIN, 0, never);
    RemoveFastRingWatch(watch); /* before it was ever armed */
    close(pair[0]);
    pair[0] = eventfd(1, EFD_CLOEXEC);
    ck_assert_int_eq(pair[0], handle);
    runIdle(fixture.ring);
}
END_TEST

/* ---- death ---- */

START_TEST(diesOfAClosedHandle)
{
    ck_assert_int_eq(pipe(pair), 0);
    add(pair[0], POLLIN, 0, count);
    close(pair[0]); /* against the rule */
    pair[0] = -1;
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, -EBADF);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
    ck_assert_int_lt(UpdateFastRingWatch(watch, POLLIN), 0);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
    RemoveFastRingWatch(watch);
}
END_TEST

static void releaseRing(struct FastRingWatch* which, int result, void* closure)
{
    (void)which;
    (void)result;
    (void)closure;
    calls++;
    ReleaseFastRing(fixture.ring);
}

START_TEST(releasesTheRingInside)
{
    int result = 0;
    ck_assert_int_eq(pipe(pair), 0);
    putByte(pair[1]);
    add(pair[0], POLLIN, 0, releaseRing);
    while (result == 0)
        result = WaitForFastRing(fixture.ring, 100, NULL);
    ck_assert_int_eq(result, -ECANCELED);
    fixture.ring = NULL;
    ck_assert_int_eq(calls, 1);
    RemoveFastRingWatch(watch);
}
END_TEST

START_TEST(isAShellAfterTheRing)
{
    for (int turns = 0; turns < 3; turns++) {
        struct FastRing* ring = CreateFastRing(8);
        ck_assert_int_eq(pipe(pair), 0);
        watch = AddFastRingWatch(ring, pair[0], POLLIN, turns == 2 ? FASTRING_WATCH_EDGE : 0, never, NULL);
        ck_assert_ptr_nonnull(watch);
        runTurns(ring, turns);
        putByte(pair[1]);
        ReleaseFastRing(ring);
        ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), -ECANCELED);
        RemoveFastRingWatch(watch);
        close(pair[0]);
        close(pair[1]);
    }
    pair[0] = -1;
    pair[1] = -1;
}
END_TEST

/* ---- bad input ---- */

static void* useInThread(void* closure)
{
    refuses(EPERM, AddFastRingWatch(fixture.ring, pair[0], POLLIN, 0, never, NULL));
    ck_assert_int_eq(UpdateFastRingWatch(closure, POLLOUT), -EPERM);
    RemoveFastRingWatch(closure); /* does nothing */
    return NULL;
}

START_TEST(refusesBadInput)
{
    ck_assert_int_eq(pipe(pair), 0);
    refuses(EINVAL, AddFastRingWatch(NULL, pair[0], POLLIN, 0, never, NULL));
    refuses(EINVAL, AddFastRingWatch(fixture.ring, pair[0], POLLIN, 0, NULL, NULL));
    refuses(EINVAL, AddFastRingWatch(fixture.ring, pair[0], POLLIN | 0x10000, 0, never, NULL));
    refuses(EINVAL, AddFastRingWatch(fixture.ring, pair[0], POLLIN, 4, never, NULL));
    refuses(EINVAL, AddFastRingWatch(fixture.ring, pair[0], POLLIN, 3, never, NULL));
    refuses(EBADF, AddFastRingWatch(fixture.ring, -1, POLLIN, 0, never, NULL));
    refuses(EBADF, AddFastRingWatch(fixture.ring, 1000000, POLLIN, 0, never, NULL));
    ck_assert_int_eq(UpdateFastRingWatch(NULL, POLLIN), -EINVAL);

    add(pair[0], POLLIN, 0, count);
    runTurns(fixture.ring, 2);
    ck_assert_int_eq(UpdateFastRingWatch(watch, 0x10000), -EINVAL);
    inThread(useInThread, watch);
    putByte(pair[1]);
    waitCount(fixture.ring, &calls, 1); /* as it was */
    ck_assert_int_eq(lastResult, POLLIN);
    RemoveFastRingWatch(watch);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("watch");
    TCase* tcase = tcase_create("watch");

    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_test(tcase, reportsEachTurnWhileReadable);
    tcase_add_test(tcase, reportsWritable);
    tcase_add_test(tcase, reportsHangup);
    tcase_add_test(tcase, reportsErrorOfPipe);
    tcase_add_test(tcase, watchesEventfd);
    tcase_add_test(tcase, regularFileIsReady);
    tcase_add_test(tcase, halfClosedDoesNotSpin);
    tcase_add_test(tcase, halfClosedOnceDoesNotSpin);
    tcase_add_test(tcase, halfClosedEdgeDoesNotSpin);
    tcase_add_test(tcase, priorityOfHalfClosedDoesNotSpin);
    tcase_add_test(tcase, halfCloseIsReportedWhenAskedFor);
    tcase_add_test(tcase, unaskedBitsAreNotReported);
    tcase_add_test(tcase, onceRestsUntilTheUpdate);
    tcase_add_test(tcase, onceIsRenewedInside);
    tcase_add_test(tcase, edgeReportsChangesOnly);
    tcase_add_test(tcase, edgeTellsWhatHoldsAtFirst);
    tcase_add_test(tcase, pausesAndGoesOn);
    tcase_add_test(tcase, pausedHearsNothing);
    tcase_add_test(tcase, formerMaskIsForgotten);
    tcase_add_test(tcase, updatesInEveryState);
    tcase_add_test(tcase, removedInEveryState);
    tcase_add_test(tcase, removesItself);
    tcase_add_test(tcase, removesAllOthers);
    tcase_add_test(tcase, removedOneForgetsTheNumber);
    tcase_add_test(tcase, diesOfAClosedHandle);
    tcase_add_test(tcase, releasesTheRingInside);
    tcase_add_test(tcase, isAShellAfterTheRing);
    tcase_add_test(tcase, refusesBadInput);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
