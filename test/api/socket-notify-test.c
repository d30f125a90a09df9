/* NotifyFastSocketTransmit: who waits for what is queued. */
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>

enum
{
    CALLS = 256,
    PART = 100000,
};

static struct
{
    int number;
    int result;
} calls[CALLS];

static int callCount;
static int asked;

static void setUp(void)
{
    callCount = 0;
    asked = 0;
    openScene();
}

AREA(notify, "notify", .open = setUp, .close = closeScene);

static void onNotice(struct FastSocket* socket, int result, void* closure)
{
    ck_assert_int_lt(callCount, CALLS);
    ck_assert_ptr_nonnull(socket);
    calls[callCount].number = (int)(intptr_t)closure;
    calls[callCount++].result = result;
}

static void ask(void)
{
    ck_assert_int_eq(NotifyFastSocketTransmit(scene.ours.socket, onNotice,
                                              (void*)(intptr_t)asked),
                     0);
    asked++;
}

static bool isCalled(void* closure)
{
    return callCount >= *(int*)closure;
}

static void waitCalls(int count)
{
    waitFor(scene.ring, isCalled, &count);
    ck_assert_int_eq(callCount, count);
    for (int index = 0; index < count; index++)
        ck_assert_int_eq(calls[index].number, index);
}

static void expectResults(int from, int result)
{
    for (int index = from; index < callCount; index++)
        ck_assert_int_eq(calls[index].result, result);
}

/* §2.9 notice, §2.9 notice of nothing: on every kind of socket, interleaved with transmits */
CASE(notify, tellsWhatIsAccepted)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        callCount = 0;
        asked = 0;
        openPair(kind);
        ask();
        ck_assert_int_eq(callCount, 0);
        for (int part = 0; part < 5; part++) {
            transmitText(scene.ours.socket, "part");
            ask();
            ask();
        }
        waitCalls(11);
        expectResults(0, 0);
        ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
        ask();
        ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
        waitCalls(12);
        closePair();
    }
}

/* §2.9 notice: not before, where the peer takes nothing; and no later than the bytes before it */
CASE(notify, waitsForThePeer)
{
    uint64_t sent = 0;

    openPair(KIND_TCP);
    for (; callCount == asked || sent < 4; sent++) {
        ck_assert_uint_lt(sent, CALLS);
        transmitPattern(scene.ours.socket, PART, sent * PART);
        ask();
        runIdle(scene.ring);
    }
    int before = callCount;
    ck_assert_int_lt(before, asked);
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
    expectPattern(scene.peer, sent * PART, 0);
    waitCalls(asked);
    expectResults(0, 0);
}

/* §2.9 notice without a copy: large buffers of a socket that sends so */
CASE(notify, tellsOfZeroCopy)
{
    openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_ZERO_COPY);
    for (uint64_t part = 0; part < 3; part++) {
        ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                                  makePattern(65536, part * 65536), 0, 65536, 0),
                         0);
        ask();
    }
    expectPattern(scene.peer, 3 * 65536, 0);
    waitCalls(3);
    expectResults(0, 0);
}

/* A large transmit that goes out inside its call, together with what somebody waits for. */
CASE(notify, tellsOfWhatGoesAtOnce)
{
    openPair(KIND_TCP);
    waitFor(scene.ring, isWritable, &scene.ours);
    transmitText(scene.ours.socket, "first");
    ask();
    transmitPattern(scene.ours.socket, 65536, 0);
    ck_assert_int_eq(callCount, 0); /* never inside the call */
    ask();
    expectText(scene.peer, "first");
    expectPattern(scene.peer, 65536, 0);
    waitCalls(2);
    expectResults(0, 0);
}

/* A pipe that is written to. */
CASE(notify, tellsOfAPipe)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    scene.handle = ends[1];
    scene.peer = ends[0];
    openRecorded(&scene, ends[1], NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
    for (uint64_t part = 0; part < 4; part++) {
        transmitPattern(scene.ours.socket, 32768, part * 32768);
        ask();
    }
    runIdle(scene.ring);
    ck_assert_int_lt(callCount, 4);
    for (uint64_t got = 0; got < 4 * 32768;) {
        static uint8_t data[8192];
        ssize_t size = read(scene.peer, data, sizeof(data));
        ck_assert_int_gt((int)size, 0);
        ck_assert(checkPattern(data, (size_t)size, got));
        got += (uint64_t)size;
        runIdle(scene.ring);
    }
    waitCalls(4);
    expectResults(0, 0);
}

/* What is only read has nothing to wait for. */
CASE(notify, refusesReaders)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    scene.handle = ends[0];
    scene.peer = ends[1];
    openRecorded(&scene, ends[0], NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
    ck_assert_int_eq(NotifyFastSocketTransmit(scene.ours.socket, onNotice, NULL), -EBADF);
}

/* §2.9 notice of an error: in the middle of what is queued */
CASE(notify, tellsAnError)
{
    openPair(KIND_TCP);
    for (uint64_t part = 0; part < 100; part++) {
        transmitPattern(scene.ours.socket, PART, part * PART);
        ask();
    }
    runIdle(scene.ring);
    int before = callCount;
    ck_assert_int_lt(before, asked);
    resetPeer();
    waitCalls(asked);
    waitHangup(&scene.ours);
    /* what was on its way may have been accepted in part */
    for (; before < asked && calls[before].result == 0; before++)
        continue;
    ck_assert_int_lt(before, asked);
    expectResults(before, scene.ours.lastError);
    ck_assert_int_eq(NotifyFastSocketTransmit(scene.ours.socket, onNotice, NULL), -EPIPE);
    runIdle(scene.ring);
    ck_assert_int_eq(callCount, asked);
}

/* §2.9 notice at a release, §2.9 notice at an abort: within the next turn, and what is queued
 * before a release is still sent */
CASE_ROUNDS(notify, tellsTheRelease, 2)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    transmitText(scene.ours.socket, "goes out");
    ask();
    if (round == 0)
        ReleaseFastSocket(scene.ours.socket);
    else
        AbortFastSocket(scene.ours.socket);
    scene.ours.socket = NULL;
    ck_assert_int_eq(callCount, 0);
    ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
    waitCalls(1);
    expectResults(0, ECANCELED);
    if (round == 0)
        expectText(scene.peer, "goes out");
    closePeer();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.9 notice at the ring's end: called then, and never later */
CASE(notify, tellsTheEndOfTheRing)
{
    openPair(KIND_TCP);
    waitFor(scene.ring, isWritable, &scene.ours);
    transmitText(scene.ours.socket, "x");
    ask();
    ask();
    endRing();
    ck_assert_int_eq(callCount, 2);
    expectResults(0, ECANCELED);
    ck_assert_int_eq(NotifyFastSocketTransmit(scene.ours.socket, onNotice, NULL), -ECANCELED);
}

static void askInside(struct FastSocket* socket, int result, void* closure)
{
    onNotice(socket, result, closure);
    if (callCount < 10) {
        transmitText(socket, "again");
        ck_assert_int_eq(NotifyFastSocketTransmit(socket, askInside, (void*)(intptr_t)callCount),
                         0);
    }
}

/* §2.9 notice in a callback: transmits and asks */
CASE(notify, asksInACall)
{
    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(NotifyFastSocketTransmit(scene.ours.socket, askInside, (void*)0), 0);
    waitCalls(10);
    expectResults(0, 0);
    for (int index = 0; index < 9; index++)
        expectText(scene.peer, "again");
}

static void releaseInside(struct FastSocket* socket, int result, void* closure)
{
    onNotice(socket, result, closure);
    ReleaseFastSocket(socket);
    scene.ours.socket = NULL;
}

/* §2.9 notice in a callback: releases its socket, and each is called once */
CASE(notify, releasesInACall)
{
    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(NotifyFastSocketTransmit(scene.ours.socket, releaseInside, (void*)0), 0);
    transmitText(scene.ours.socket, "sent");
    asked = 1;
    ask();
    waitCalls(2);
    expectResults(0, calls[0].result);
    expectText(scene.peer, "sent");
}

/* behind a shutdown, too */
CASE(notify, tellsOfWhatIsBeforeTheEnd)
{
    openPair(KIND_TCP);
    transmitText(scene.ours.socket, "last");
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    ask();
    waitCalls(1);
    expectResults(0, 0);
    expectText(scene.peer, "last");
}

/* wrong arguments */
CASE(notify, refusesWrongArguments)
{
    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(NotifyFastSocketTransmit(NULL, onNotice, NULL), -EINVAL);
    ck_assert_int_eq(NotifyFastSocketTransmit(scene.ours.socket, NULL, NULL), -EINVAL);
    runIdle(scene.ring);
    ck_assert_int_eq(callCount, 0);
}
