/* POLLERR: the first errno, once; what is fatal, and what a datagram socket outlives. */
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>

SCENE_AREA(event, "event");

/* §2.1 POLLERR fatal (stream), §2.1 POLLHUP, §2.1 queued input at POLLHUP, §2.4 -EPIPE: after a
 * reset, once each, with the data before it */
CASE(event, tellsResetAfterData)
{
    char data[16] = "";

    openPair(KIND_TCP);
    runIdle(scene.ring);
    sendText(scene.peer, "last words");
    resetPeer();
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    expectFailure(&scene.ours, ECONNRESET);
    /* A reset may overtake data in the peer's kernel only if it was never sent: ours was. */
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0), 10);
    ck_assert_str_eq(data, "last words");
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0), -ECONNRESET);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0), -ECONNRESET);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0), -EPIPE);
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), -EPIPE);
}

/* §2.1 data and RST together: before the receive was ever armed */
CASE(event, tellsResetBeforeStart)
{
    pairTcp(scene.pair);
    sendText(scene.peer, "early");
    resetPeer();
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    expectFailure(&scene.ours, ECONNRESET);
    receiveText(&scene.ours, "early");
}

/* §2.1 POLLERR fatal (stream): peer reset with 0, 1 and 1000 sends queued: the queue is dropped
 * silently, its length kept */
CASE(event, dropsQueueAtReset)
{
    const int counts[] = {0, 1, 1000};

    for (size_t index = 0; index < sizeof(counts) / sizeof(counts[0]); index++) {
        size_t total = 0;
        openPair(KIND_TCP);
        ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)),
                         0);
        ck_assert_int_eq(setsockopt(scene.peer, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int)),
                         0);
        runIdle(scene.ring);
        for (int count = 0; count < counts[index]; count++)
            transmitPattern(scene.ours.socket, 20000, 0);
        runIdle(scene.ring);
        resetPeer();
        waitHangup(&scene.ours);
        runIdle(scene.ring);
        expectFailure(&scene.ours, ECONNRESET);
        total = GetFastSocketOutboundLength(scene.ours.socket);
        ck_assert_uint_le(total, (size_t)counts[index] * 20000);
        if (counts[index] == 1000)
            ck_assert_uint_gt(total, 10000000);
        ck_assert_uint_eq(readSocket(scene.ours.socket).droppedBytes, total);
        ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes + total,
                          (size_t)counts[index] * 20000);
        closePair();
    }
}

/* §2.1 send error first, §2.1 EPIPE from send while recv has an errno pending: ECONNRESET by
 * whichever path, never the end of input, never EPIPE */
CASE(event, prefersResetWhileSending)
{
    for (int round = 0; round < 50; round++) {
        openPair(KIND_TCP);
        runTurns(scene.ring, round % 4);
        if (round & 1)
            transmitText(scene.ours.socket, "before");
        runTurns(scene.ring, round % 3);
        resetPeer();
        (void)TransmitFastSocketData(scene.ours.socket, NULL, 0, "after", 5, 0);
        waitHangup(&scene.ours);
        runIdle(scene.ring);
        expectFailure(&scene.ours, ECONNRESET);
        closePair();
    }
}

/* §2.1 EPIPE from send while recv has an errno pending: also where nothing is received, for a
 * pause: the socket is asked for a better errno */
CASE(event, prefersResetInPause)
{
    openPair(KIND_UNIX_STREAM);
    transmitText(scene.ours.socket, "never read");
    waitDrained(&scene.ours);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    closePeer();
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "late", 4, 0), 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    expectFailure(&scene.ours, ECONNRESET);
}

/* §2.1 POLLERR fatal (stream): AF_UNIX: a peer that closes with unread input resets */
CASE(event, tellsUnixReset)
{
    openPair(KIND_UNIX_STREAM);
    transmitText(scene.ours.socket, "never read");
    waitDrained(&scene.ours);
    closePeer();
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    expectFailure(&scene.ours, ECONNRESET);
}

static int refusedBefore;

/* At the first's POLLERR the second's error may be known already, and not yet reported. */
static void transmitToOther(struct FastSocket* socket, int event, int parameter,
                            struct Recorder* self)
{
    struct Recorder* victim = self->closure;

    (void)socket;
    (void)parameter;
    if ((event != POLLERR) || (victim->err > 0) || (GetFastSocketError(victim->socket) == 0))
        return;
    ck_assert_int_eq(TransmitFastSocketData(victim->socket, NULL, 0, "x", 1, 0), -EPIPE);
    ck_assert_int_eq(victim->err, 0);
    refusedBefore++;
}

/* §2.4 -EPIPE: from the moment the error is known, before its POLLERR was reported */
CASE(event, refusesBeforeItIsTold)
{
    for (int round = 0; round < 20; round++) {
        struct Recorder second = {.then = transmitToOther, .closure = &scene.ours};
        scene.ours.then = transmitToOther;
        scene.ours.closure = &second;
        openPair(KIND_TCP);
        int more = openBeside(KIND_TCP, &second);
        runIdle(scene.ring);
        closeReset(more);
        resetPeer();
        waitHangup(&scene.ours);
        waitHangup(&second);
        closePair();
        ReleaseFastSocket(second.socket);
    }
    ck_assert_int_gt(refusedBefore, 0);
}

/* §2.1 connect failure: while paused, its errno read by somebody else: told, and no spin */
CASE(event, tellsStolenConnectError)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int listening = listenTcp(&address, &length);
    int first = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int second = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = 0;
    socklen_t size = sizeof(error);

    /* A backlog of 0 holds one: the second connect waits. */
    ck_assert_int_eq(listen(listening, 0), 0);
    ck_assert_int_eq(connect(first, (struct sockaddr*)&address, length), 0);
    ck_assert_int_eq(connect(second, (struct sockaddr*)&address, length), -1);
    ck_assert_int_eq(errno, EINPROGRESS);
    openRecorded(&scene, second, NULL, 0, &scene.ours);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out + scene.ours.err, 0);
    (void)shutdown(second, SHUT_RDWR);
    (void)getsockopt(second, SOL_SOCKET, SO_ERROR, &error, &size);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 1);
    close(first);
    close(listening);
    scene.peer = -1;
}

/* the user closes the descriptor behind our back, which is forbidden: no crash, no spin, also in
 * a pause */
CASE(event, survivesForeignClose)
{
    for (int paused = 0; paused < 2; paused++) {
        int handle = -1;
        uint64_t before = 0;
        openPair(KIND_TCP);
        runIdle(scene.ring);
        if (paused)
            ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
        runIdle(scene.ring);
        handle = GetFastSocketHandle(scene.ours.socket);
        close(handle);
        if (!paused) {
            ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
            ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
        }
        runTurns(scene.ring, 10);
        before = readRing(scene.ring).completions;
        runTurns(scene.ring, 1000);
        ck_assert_uint_le(readRing(scene.ring).completions - before, 10);
        /* Nobody else may get the number, which the socket closes. */
        ck_assert_int_eq(dup2(scene.peer, handle), handle);
        AbortFastSocket(scene.ours.socket);
        closePeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* a new socket takes the number of a descriptor that was closed behind our back, which is
 * forbidden: no crash, no spin */
CASE(event, survivesSharedNumber)
{
    struct Recorder second = {0};
    int more[2];
    int number = -1;
    uint64_t before = 0;

    openPair(KIND_TCP);
    runIdle(scene.ring);
    number = GetFastSocketHandle(scene.ours.socket);
    close(number);
    pairTcp(more);
    if (more[0] != number) {
        ck_assert_int_eq(dup3(more[0], number, O_CLOEXEC), number);
        close(more[0]);
    }
    openRecorded(&scene, number, NULL, 0, &second);
    sendText(scene.peer, "to the first");
    sendText(more[1], "to the second");
    runIdle(scene.ring);
    before = readRing(scene.ring).completions;
    runTurns(scene.ring, 500);
    ck_assert_uint_le(readRing(scene.ring).completions - before, 10);
    AbortFastSocket(scene.ours.socket);
    runIdle(scene.ring);
    AbortFastSocket(second.socket);
    closePeer();
    close(more[1]);
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.1 POLLERR fatal (stream): an error that a send swallows, since it reports the bytes before
 * it, is reported all the same */
CASE(event, tellsSwallowedError)
{
    openPair(KIND_TCP);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    transmitPattern(scene.ours.socket, 8000000, 0);
    runIdle(scene.ring);
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
    resetPeer();
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    expectFailure(&scene.ours, ECONNRESET);
}

static int polls;

static void countRefusal(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)socket;
    (void)parameter;
    (void)self;
    polls += (event == POLLERR);
}

/* §2.1 POLLERR non-fatal (datagram): a refused datagram, coalesced in a turn, and the socket
 * works on */
CASE(event, survivesRefusal)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    scene.ours.then = countRefusal;
    pairUdp(scene.pair);
    ck_assert_int_eq(getsockname(scene.peer, (struct sockaddr*)&address, &length), 0);
    closePeer();
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    runIdle(scene.ring);
    for (int round = 1; round <= 3; round++) {
        int before = polls;
        transmitText(scene.ours.socket, "anybody?");
        waitCount(scene.ring, &polls, before + 1);
        runIdle(scene.ring);
        ck_assert_int_eq(polls, before + 1);
        ck_assert_int_eq(scene.ours.lastError, ECONNREFUSED);
    }
    ck_assert_int_eq(scene.ours.hup, 0);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), 0);

    /* Somebody comes to live there. */
    scene.peer = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(scene.peer, (struct sockaddr*)&address, length), 0);
    transmitText(scene.ours.socket, "hello");
    waitDrained(&scene.ours);
    expectText(scene.peer, "hello");
}
