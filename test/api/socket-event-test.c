/* Events of sockets: behaviour.md 2.1, row by row. What holds for every event is checked by the
 * automaton of the helper, here and everywhere. */
#include "fixture.h"

#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

SCENE_AREA(event, "event");

static void expectError(int error)
{
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.hup, 1);
    ck_assert_int_eq(scene.ours.lastError, error);
    ck_assert_int_eq(scene.ours.lastHangup, error);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), error);
}

/* §2.1 POLLIN: all completions of a turn are merged */
CASE(event, mergesInput)
{
    openPair(KIND_UNIX_DATAGRAM);
    runIdle(scene.ring);
    for (int index = 0; index < 8; index++)
        sendText(scene.peer, "12345");
    waitInput(&scene.ours, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.parameterIn, 40);
}

/* §2.1 POLLIN: parameter is the payload, without headers of messages */
CASE(event, countsPayload)
{
    struct msghdr message = {.msg_namelen = 100, .msg_controllen = 100};

    openPairWith(.kind = KIND_UDP, .message = &message);
    sendText(scene.peer, "1234567");
    waitInput(&scene.ours, 7);
    ck_assert_int_eq(scene.ours.parameterIn, 7);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 7);
}

/* §2.1 POLLIN: 0 when nothing but empty datagrams is queued */
CASE(event, tellsEmptyDatagram)
{
    char byte = 0;

    openPair(KIND_UDP);
    ck_assert_int_eq(send(scene.peer, "", 0, 0), 0);
    waitCount(scene.ring, &scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.parameterIn, 0);
    ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 0);
    sendText(scene.peer, "x");
    receiveText(&scene.ours, "x");
    ck_assert_int_eq(scene.ours.hup, 0);
}

struct Other
{
    struct Recorder* first;
    struct Recorder* second;
};

static void drainBoth(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    struct Other* other = self->closure;
    char data[64];

    (void)socket;
    (void)parameter;
    if (event != POLLIN)
        return;
    while (ReceiveFastSocketData(other->first->socket, data, sizeof(data), 0) > 0)
        ;
    while (ReceiveFastSocketData(other->second->socket, data, sizeof(data), 0) > 0)
        ;
}

/* §2.1 POLLIN: not at all if an earlier callback of the turn has drained the queue */
CASE(event, dropsInputDrainedBefore)
{
    struct Recorder second = {0};
    struct Other other = {&scene.ours, &second};
    int more[2];

    scene.ours.then = drainBoth;
    scene.ours.closure = &other;
    second.then = drainBoth;
    second.closure = &other;
    openPair(KIND_UNIX_STREAM);
    pairStream(more);
    openRecorded(&scene, more[0], NULL, 0, &second);
    runIdle(scene.ring);
    sendText(scene.peer, "first");
    sendText(more[1], "second");
    for (int turn = 0; (turn < 1000) && (scene.ours.in + second.in == 0); turn++)
        runTurns(scene.ring, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in + second.in, 1);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(second.socket), 0);
    closePair();
    ReleaseFastSocket(second.socket);
    close(more[1]);
}

/* §2.1 POLLIN for unread data: an edge, with the full count when more comes */
CASE(event, tellsUnreadDataOnce)
{
    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "abc");
    waitInput(&scene.ours, 3);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 1);
    sendText(scene.peer, "de");
    waitInput(&scene.ours, 5);
    ck_assert_int_eq(scene.ours.in, 2);
    ck_assert_int_eq(scene.ours.parameterIn, 5);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 2);
}

/* §2.1 POLLIN for unread data: again on resume */
CASE(event, tellsUnreadDataOnResume)
{
    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "abc");
    waitInput(&scene.ours, 3);
    runIdle(scene.ring);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(scene.ours.in, 1);
    waitCount(scene.ring, &scene.ours.in, 2);
    ck_assert_int_eq(scene.ours.parameterIn, 3);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 2);
}

/* §2.1 POLLOUT: (a) once when writable with an empty queue */
CASE(event, tellsFirstWritable)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        pairKind(kind, scene.pair);
        memset(&scene.ours, 0, sizeof(scene.ours));
        openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
        waitCount(scene.ring, &scene.ours.out, 1);
        runIdle(scene.ring);
        ck_assert_msg(scene.ours.out == 1, "%s", nameKind(kind));
        ck_assert_int_eq(scene.ours.events, 1);
        closePair();
    }
}

/* §2.1 POLLOUT: (a) only if the queue is empty; then (b) it is */
CASE(event, mergesFirstWritableAndDrain)
{
    openPair(KIND_TCP);
    transmitText(scene.ours.socket, "at once");
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 1);
    expectText(scene.peer, "at once");
}

/* §2.1 POLLOUT: (b) each time the queue becomes empty */
CASE(event, tellsEachDrain)
{
    openPair(KIND_TCP);
    waitCount(scene.ring, &scene.ours.out, 1);
    for (int round = 0; round < 5; round++) {
        transmitText(scene.ours.socket, "drain");
        waitDrained(&scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.out, 2 + round);
        expectText(scene.peer, "drain");
    }
}

/* §2.1 POLLOUT during a burst of queueing: one for all of it */
CASE(event, tellsBurstOnce)
{
    openPair(KIND_UNIX_STREAM);
    waitCount(scene.ring, &scene.ours.out, 1);
    for (int index = 0; index < 500; index++)
        transmitText(scene.ours.socket, "x");
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 2);
}

/* §2.1 POLLOUT, §2.4 empty: an empty transmit is a flush marker */
CASE(event, tellsFlushMarker)
{
    openPair(KIND_UNIX_STREAM);
    waitCount(scene.ring, &scene.ours.out, 1);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, NULL, 0, 0), 0);
    ck_assert_int_eq(scene.ours.out, 1);
    waitCount(scene.ring, &scene.ours.out, 2);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 2);
    transmitText(scene.ours.socket, "data");
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "", 0, 0), 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 3);
    expectText(scene.peer, "data");
    expectNothing(scene.peer);
}

/* §2.1 POLLOUT: with zero copy at the first completion, not the notification */
CASE(event, tellsDrainBeforeNotification)
{
    openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_ZERO_COPY);
    waitCount(scene.ring, &scene.ours.out, 1);
    transmitPattern(scene.ours.socket, 65536, 0);
    waitCount(scene.ring, &scene.ours.out, 2);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
}

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
    expectError(ECONNRESET);
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
    expectError(ECONNRESET);
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
        expectError(ECONNRESET);
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
        expectError(ECONNRESET);
        closePair();
    }
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
    expectError(ECONNRESET);
}

/* §2.1 POLLHUP, §2.1 queued input at POLLHUP, §2.3 nothing queued after orderly EOF: the
 * orderly end, after all data, once; receiving then gives 0 */
CASE(event, tellsEnd)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        char byte = 0;
        openPair(kinds[index]);
        runIdle(scene.ring);
        sendText(scene.peer, "the end");
        closePeer();
        waitHangup(&scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.hup, 1);
        ck_assert_int_eq(scene.ours.lastHangup, 0);
        ck_assert_int_eq(scene.ours.err, 0);
        ck_assert_int_eq(scene.ours.in, 1);
        ck_assert_int_eq(GetFastSocketError(scene.ours.socket), 0);
        receiveText(&scene.ours, "the end");
        ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 0);
        ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 0);
        closePair();
    }
}

/* §2.1 POLLHUP: the end of a connection that said nothing */
CASE(event, tellsEndWithoutData)
{
    openPair(KIND_TCP);
    closePeer();
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 0);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
}

/* §2.1 half-close, §2.4 after POLLHUP(0): sending goes on after POLLHUP(0); a later reset is
 * told by POLLERR alone */
CASE(event, sendsAfterHalfClose)
{
    int drains = 0;

    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    drains = scene.ours.out;
    transmitText(scene.ours.socket, "still talking");
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, drains + 1);
    expectText(scene.peer, "still talking");
    resetPeer();
    waitCount(scene.ring, &scene.ours.err, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.hup, 1);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), scene.ours.lastError);
    ck_assert_msg((scene.ours.lastError == EPIPE) || (scene.ours.lastError == ECONNRESET), "%d",
                  scene.ours.lastError);
}

/* §2.1 half-close: the poll that waits for a reset must not spin on RDHUP */
CASE(event, restsAfterHalfClose)
{
    uint64_t completions = 0;

    openPair(KIND_TCP);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    completions = readRing(scene.ring).completions;
    for (int turn = 0; turn < 50; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    ck_assert_uint_le(readRing(scene.ring).completions - completions, 2);
}

/* §2.1 half-close: both ways, then a reset */
CASE(event, survivesResetAfterBothEnds)
{
    openPair(KIND_TCP);
    transmitText(scene.ours.socket, "unread");
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    resetPeer();
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.hup, 1);
    ck_assert_int_le(scene.ours.err, 1);
}

static int refusedBefore;

/* At the first's POLLERR the second's error may be known already, and not yet told. */
static void transmitToOther(struct FastSocket* socket, int event, int parameter,
                            struct Recorder* self)
{
    struct Other* other = self->closure;
    struct Recorder* victim = (self == other->first) ? other->second : other->first;

    (void)socket;
    (void)parameter;
    if ((event != POLLERR) || (victim->err > 0) || (GetFastSocketError(victim->socket) == 0))
        return;
    ck_assert_int_eq(TransmitFastSocketData(victim->socket, NULL, 0, "x", 1, 0), -EPIPE);
    ck_assert_int_eq(victim->err, 0);
    refusedBefore++;
}

/* §2.4 -EPIPE: from the moment the error is known, before its POLLERR was told */
CASE(event, refusesBeforeItIsTold)
{
    for (int round = 0; round < 20; round++) {
        struct Recorder second = {.then = transmitToOther};
        struct Other other = {&scene.ours, &second};
        int more[2];
        scene.ours.then = transmitToOther;
        scene.ours.closure = &other;
        second.closure = &other;
        openPair(KIND_TCP);
        pairTcp(more);
        openRecorded(&scene, more[0], NULL, 0, &second);
        runIdle(scene.ring);
        closeReset(more[1]);
        resetPeer();
        waitHangup(&scene.ours);
        waitHangup(&second);
        closePair();
        ReleaseFastSocket(second.socket);
    }
    ck_assert_int_gt(refusedBefore, 0);
    scene.ours.then = NULL;
}

static void callsThatTellNothing(void)
{
    int events = scene.ours.events;
    FILE* stream = NULL;
    char byte = 0;

    (void)TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0);
    ck_assert_int_eq(scene.ours.events, events);
    (void)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0);
    ck_assert_int_eq(scene.ours.events, events);
    ReleaseFastBuffer(ReceiveFastSocketBuffer(scene.ours.socket));
    ck_assert_int_eq(scene.ours.events, events);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(scene.ours.events, events);
    stream = GetFastSocketStream(scene.ours.socket, 0);
    ck_assert_ptr_nonnull(stream);
    (void)fputs("y", stream);
    (void)fgetc(stream);
    ck_assert_int_eq(fclose(stream), 0);
    ck_assert_int_eq(scene.ours.events, events);
}

/* §2.1 when callbacks run: inside a wait and in no other call, whatever there is to be told */
CASE(event, tellsInTurnsOnly)
{
    for (int reset = 0; reset < 2; reset++) {
        int events = 0;
        pairTcp(scene.pair);
        sendText(scene.peer, "waits already");
        openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
        ck_assert_int_eq(scene.ours.events, 0);
        callsThatTellNothing();
        waitInput(&scene.ours, 13);
        events = scene.ours.events;
        ck_assert_int_gt(events, 0);
        sendText(scene.peer, "more");
        callsThatTellNothing();
        if (reset)
            resetPeer();
        else
            ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
        callsThatTellNothing();
        waitHangup(&scene.ours);
        callsThatTellNothing();
        events = scene.ours.events;
        ReleaseFastSocket(scene.ours.socket);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.events, events);
        closePeer();
    }
}

static void expectOneBit(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)socket;
    (void)parameter;
    (void)self;
    ck_assert_msg(event == POLLIN || event == POLLOUT || event == POLLERR || event == POLLHUP,
                  "event 0x%x", (unsigned)event);
}

/* §2.1 event argument: one bit for each call, also for what is there to be told at once */
CASE(event, tellsOneBitAtATime)
{
    scene.ours.then = expectOneBit;
    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    scene.ours.events = 0;
    scene.ours.out = 0;
    sendText(scene.peer, "all of it");
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    transmitText(scene.ours.socket, "at once");
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 3);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.out, 1);
    ck_assert_int_eq(scene.ours.hup, 1);
    scene.ours.then = NULL;
}

/* §2.1 order, §2.1 data and RST together: input, then the error, then the hang-up, and nothing
 * more */
CASE(event, tellsInOrder)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 1);
    sendText(scene.peer, "last words");
    resetPeer();
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 4);
    ck_assert_int_eq(scene.ours.order[1], POLLIN);
    ck_assert_int_eq(scene.ours.order[2], POLLERR);
    ck_assert_int_eq(scene.ours.order[3], POLLHUP);
    expectError(ECONNRESET);
}

/* §2.1 user pause: no POLLIN, bytes in flight are kept and told on resume */
CASE(event, keepsInputOfPause)
{
    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    sendText(scene.peer, "in flight");
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    sendText(scene.peer, " and later");
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    receiveText(&scene.ours, "in flight and later");
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    sendText(scene.peer, "next");
    receiveText(&scene.ours, "next");
}

/* §2.1 user pause: no more is read, the peer feels it */
CASE(event, pauseStopsReceiving)
{
    char block[4096] = "";
    size_t before = 0;
    int queued = 0;

    openPair(KIND_TCP);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    before = GetFastSocketInboundLength(scene.ours.socket);
    ck_assert_uint_eq(before, 0);
    for (int index = 0; index < 16; index++)
        sendAll(scene.peer, block, sizeof(block));
    runIdle(scene.ring);
    ck_assert_int_eq(ioctl(scene.handle, FIONREAD, &queued), 0);
    ck_assert_int_eq(scene.ours.in, 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
    ck_assert_int_eq(queued, 16 * sizeof(block));
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitInput(&scene.ours, 16 * sizeof(block));
}

/* §2.1 paused socket: the end behind the pause is told after resume */
CASE(event, holdsEndOfPause)
{
    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    sendText(scene.peer, "behind");
    closePeer();
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in + scene.ours.hup + scene.ours.err, 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    receiveText(&scene.ours, "behind");
}

static void answerAndPause(struct FastSocket* socket, int event, int parameter,
                           struct Recorder* seen)
{
    (void)parameter;
    if ((event == POLLIN) && (seen->in == 1)) {
        ck_assert_int_eq(PauseFastSocket(socket), 0);
        transmitText(socket, "answer");
    } else if (event == POLLOUT) {
        ck_assert_int_eq(ResumeFastSocket(socket), 0);
    }
}

/* §2.1 paused socket: input comes before the end also when the handler of POLLOUT resumes */
CASE(event, tellsInputBeforeEndOfPause)
{
    scene.ours.then = answerAndPause;
    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "question");
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.order[0], POLLIN);
    ck_assert_int_eq(scene.ours.order[1], POLLOUT);
    ck_assert_int_eq(scene.ours.order[2], POLLIN);
    ck_assert_int_eq(scene.ours.order[3], POLLHUP);
    receiveText(&scene.ours, "question");
    closePair();
    scene.ours.then = NULL;
}

/* §2.1 paused socket: so is a reset behind the pause */
CASE(event, holdsResetOfPause)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    sendText(scene.peer, "behind");
    resetPeer();
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in + scene.ours.hup + scene.ours.err, 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    expectError(ECONNRESET);
    receiveText(&scene.ours, "behind");
}

/* §2.1 paused socket: a fatal send error is told at once, queued input kept */
CASE(event, tellsSendErrorInPause)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    sendText(scene.peer, "kept");
    waitInput(&scene.ours, 4);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    resetPeer();
    (void)TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    expectError(ECONNRESET);
    receiveText(&scene.ours, "kept");
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

/* §2.1 half-close: what the user finds in the error queue is no end */
CASE(event, survivesErrorQueue)
{
    const int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;

    openPair(KIND_TCP);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)),
                     0);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    for (int count = 0; count < 3; count++) {
        transmitText(scene.ours.socket, "still");
        waitDrained(&scene.ours);
        runIdle(scene.ring);
        expectText(scene.peer, "still");
    }
    ck_assert_int_eq(scene.ours.err, 0);
}

/* §2.1 POLLERR fatal (stream): an error that a send swallows, since it reports the bytes before
 * it, is told all the same */
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
    expectError(ECONNRESET);
}

static uint64_t drained;

static void drain(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    static uint8_t data[4096];
    ssize_t size = 0;

    (void)parameter;
    ck_assert_int_eq(self->err, event == POLLERR || event == POLLHUP);
    while (event == POLLIN && (size = ReceiveFastSocketData(socket, data, sizeof(data), 0)) > 0)
        drained += (uint64_t)size;
}

/* §2.1 order: what was received before the end is told before a send error that came first */
CASE(event, tellsInputBeforeSendError)
{
    static char data[65536];
    uint64_t sent = 0;
    ssize_t size = 0;

    scene.ours.then = drain;
    drained = 0;
    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_TURN_LIMIT, 4096);
    runIdle(scene.ring);
    while ((size = send(scene.peer, data, sizeof(data), MSG_DONTWAIT)) > 0)
        sent += (uint64_t)size;
    ck_assert_uint_gt(sent, 65536);
    /* What is still on its way would be lost by the reset: the kernel's loss, not ours. */
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    closePeer();
    for (int count = 0; count < 3; count++) {
        (void)TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0);
        runTurns(scene.ring, 1);
    }
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_uint_gt(drained, 65536);
}

/* §2.1 local close: the user's own shutdown(2) of the handle */
CASE(event, tellsLocalShutdown)
{
    for (int how = 0; how < 2; how++) {
        openPair(KIND_TCP);
        runIdle(scene.ring);
        ck_assert_int_eq(
            shutdown(GetFastSocketHandle(scene.ours.socket), how ? SHUT_RDWR : SHUT_RD), 0);
        waitHangup(&scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.lastHangup, 0);
        ck_assert_int_eq(scene.ours.err, 0);
        closePair();
    }
}

static struct Recorder next;

static void handOver(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)parameter;
    (void)self;
    if (event == POLLIN)
        ck_assert_int_eq(SetFastSocketHandler(socket, recordEvent, &next), 0);
}

/* §2.2 function, §2.2 closure: SetFastSocketHandler, from the next event on, inside and outside
 * of an event */
CASE(event, changesHandler)
{
    next.lastHangup = -1;
    scene.ours.then = handOver;
    openPair(KIND_UNIX_STREAM);
    waitCount(scene.ring, &scene.ours.out, 1);
    sendText(scene.peer, "first");
    receiveText(&scene.ours, "first");
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_ptr_eq(GetFastSocketClosure(scene.ours.socket), &next);
    sendText(scene.peer, "second");
    receiveText(&scene.ours, "second");
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(next.in, 1);
    ck_assert_int_eq(SetFastSocketHandler(scene.ours.socket, NULL, NULL), 0);
    sendText(scene.peer, "third");
    receiveText(&scene.ours, "third");
    closePeer();
    runIdle(scene.ring);
    ck_assert_int_eq(next.in + next.hup, 1);
}

/* Three layers of a protocol: a line of greeting, the data behind it, and whoever comes last. */
static struct Recorder greeting;
static struct Recorder body;
static struct Recorder rest;

static void readGreeting(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    char line[6] = "";

    (void)self;
    if ((event != POLLIN) || (parameter < (int)sizeof(line)))
        return;
    ck_assert_int_eq((int)ReceiveFastSocketData(socket, line, sizeof(line), 0), (int)sizeof(line));
    ck_assert_int_eq(memcmp(line, "HELLO\n", sizeof(line)), 0);
    ck_assert_int_eq(SetFastSocketHandler(socket, recordEvent, &body), 0);
    ck_assert_int_eq(ResumeFastSocket(socket), 0); /* what is left is told to the next layer */
    transmitText(socket, "welcome");
}

static void readBody(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    char data[8] = "";

    (void)parameter;
    (void)self;
    if (event != POLLIN)
        return;
    ck_assert_int_eq((int)ReceiveFastSocketData(socket, data, 4, 0), 4);
    ck_assert_str_eq(data, "body");
    ck_assert_int_eq(SetFastSocketHandler(socket, recordEvent, &rest), 0);
}

/* §2.2 function, §2.2 closure: between layers of a protocol, each hears of its own and of
 * nothing else */
CASE(event, handsOverBetweenLayers)
{
    for (int reset = 0; reset < 2; reset++) {
        struct Recorder fresh = {.lastHangup = -1};
        greeting = body = rest = fresh;
        greeting.then = readGreeting;
        body.then = readBody;
        pairTcp(scene.pair);
        openRecorded(&scene, scene.handle, NULL, 0, &greeting);
        scene.ours.socket = greeting.socket;
        waitCount(scene.ring, &greeting.out, 1);
        sendText(scene.peer, "HELL");
        waitInput(&greeting, 4);
        runIdle(scene.ring);
        sendText(scene.peer, "O\nbody, and more");
        waitCount(scene.ring, &body.in, 1);
        ck_assert_int_eq(body.parameterIn, 14);
        runIdle(scene.ring);
        expectText(scene.peer, "welcome");
        /* The drain of what the first layer sent is the second's or the third's to hear. */
        ck_assert_int_eq(body.out + rest.out, 1);
        ck_assert_int_eq(greeting.in, 2);
        ck_assert_int_eq(greeting.out, 1);
        if (reset) {
            resetPeer();
        } else {
            closePeer();
        }
        waitFor(scene.ring, hasHungUp, &rest);
        runIdle(scene.ring);
        ck_assert_int_eq(greeting.err + greeting.hup + body.err + body.hup, 0);
        ck_assert_int_eq(rest.err, reset);
        ck_assert_int_eq(rest.hup, 1);
        ck_assert_int_eq(body.in, 1);
        ck_assert_ptr_eq(GetFastSocketClosure(scene.ours.socket), &rest);
        closePair();
    }
}

static void waitInside(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)event;
    (void)parameter;
    *(int*)self->closure = WaitForFastRing(GetFastSocketRing(socket), 0, NULL);
}

/* §2.1 re-entrancy: no turn inside a turn */
CASE(event, refusesNestedTurn)
{
    int result = 1;

    scene.ours.then = waitInside;
    scene.ours.closure = &result;
    openPair(KIND_UNIX_STREAM);
    waitCount(scene.ring, &scene.ours.out, 1);
    ck_assert_int_eq(result, -EBUSY);
}

static void callEverything(struct FastSocket* socket, int event, int parameter,
                           struct Recorder* self)
{
    struct FastBuffer* buffer = NULL;
    char byte = 0;

    (void)parameter;
    (void)event;
    (void)self;
    (void)ReceiveFastSocketData(socket, &byte, 1, 0);
    (void)ReceiveFastSocketData(socket, &byte, 1, MSG_PEEK);
    ck_assert_int_eq(PauseFastSocket(socket), 0);
    ck_assert_int_eq(ResumeFastSocket(socket), 0);
    setOption(socket, FASTSOCKET_OPTION_INBOUND_HIGH, 65536);
    (void)TransmitFastSocketData(socket, NULL, 0, "echo", 4, 0);
    buffer = ReceiveFastSocketBuffer(socket);
    if (buffer != NULL)
        (void)TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, GetFastBufferLength(buffer), 0);
    (void)ShutdownFastSocket(socket);
}

/* §2.1 re-entrancy: any other call, in every event */
CASE(event, allowsCallsInside)
{
    for (int reset = 0; reset < 2; reset++) {
        scene.ours.then = callEverything;
        openPair(KIND_TCP);
        sendText(scene.peer, "some input");
        runIdle(scene.ring);
        if (reset) {
            resetPeer();
            runIdle(scene.ring);
        } else {
            closePeer();
            waitHangup(&scene.ours);
        }
        closePair();
    }
}

enum
{
    FLOOD = 300,
};

static struct Recorder many[FLOOD];
static int inTurn;
static int mostInTurn;
static uint64_t thisTurn;

static void countInTurn(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)socket;
    (void)parameter;
    (void)self;
    if (event != POLLIN)
        return;
    if (thisTurn != currentTurn())
        inTurn = 0;
    thisTurn = currentTurn();
    inTurn++;
    if (inTurn > mostInTurn)
        mostInTurn = inTurn;
}

/* §2.1 starvation: the ring handles no more than its limit of completions in a turn */
CASE(event, boundsTurn)
{
    int peers[FLOOD];
    int total = 0;

    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_TURN_LIMIT, 16), 0);
    for (int index = 0; index < FLOOD; index++) {
        pairUnix(scene.pair, SOCK_DGRAM);
        many[index].then = countInTurn;
        openRecorded(&scene, scene.handle, NULL, 0, &many[index]);
        peers[index] = scene.peer;
    }
    runIdle(scene.ring);
    for (int index = 0; index < FLOOD; index++)
        sendText(peers[index], "x");
    for (int index = 0; index < FLOOD; index++)
        waitInput(&many[index], 1);
    ck_assert_int_le(mostInTurn, 16);
    for (int index = 0; index < FLOOD; index++) {
        total += many[index].in;
        ReleaseFastSocket(many[index].socket);
        close(peers[index]);
    }
    ck_assert_int_eq(total, FLOOD);
}

/* §2.1 starvation: a flooding socket leaves turns to the others */
CASE(event, boundsSocketInTurn)
{
    struct Recorder quiet = {0};
    char block[65536] = "";
    int more[2];
    uint64_t first = 0;

    openPair(KIND_UNIX_STREAM);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_TURN_LIMIT, 4096);
    pairStream(more);
    openRecorded(&scene, more[0], NULL, 0, &quiet);
    runIdle(scene.ring);
    sendAll(scene.peer, block, sizeof(block));
    sendText(more[1], "x");
    first = currentTurn();
    waitInput(&quiet, 1);
    ck_assert_uint_le(currentTurn() - first, 40);
    waitInput(&scene.ours, sizeof(block));
    ck_assert_int_ge(scene.ours.in, 2);
    closePair();
    ReleaseFastSocket(quiet.socket);
    close(more[1]);
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
