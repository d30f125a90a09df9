/* Events of sockets: behaviour.md 2.1, row by row. What holds for every event is checked by the
 * automaton of the helper, here and everywhere. */
#include "fixture.h"

#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void openStream(void)
{
    pairStream(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
}

static void openTcp(void)
{
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
}

static void release(void)
{
    ReleaseFastSocket(recorder.socket);
    if (pair[1] >= 0)
        close(pair[1]);
}

static void resetPeer(void)
{
    closeReset(pair[1]);
    pair[1] = -1;
}

static void expectError(int error)
{
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.hup, 1);
    ck_assert_int_eq(recorder.lastError, error);
    ck_assert_int_eq(recorder.lastHangup, error);
    ck_assert_int_eq(GetFastSocketError(recorder.socket), error);
}

/* §2.1 POLLIN: all completions of a turn are merged */
START_TEST(mergesInput)
{
    pairUnix(pair, SOCK_DGRAM);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    runIdle(fixture.ring);
    for (int index = 0; index < 8; index++)
        sendText(pair[1], "12345");
    waitInput(&recorder, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in, 1);
    ck_assert_int_eq(recorder.parameterIn, 40);
    release();
}
END_TEST

/* §2.1 POLLIN: parameter is the payload, without headers of messages */
START_TEST(countsPayload)
{
    struct msghdr message = {.msg_namelen = 100, .msg_controllen = 100};

    pairUdp(pair);
    openRecorded(&fixture, pair[0], &message, 0, &recorder);
    sendText(pair[1], "1234567");
    waitInput(&recorder, 7);
    ck_assert_int_eq(recorder.parameterIn, 7);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 7);
    release();
}
END_TEST

/* §2.1 POLLIN: 0 when nothing but empty datagrams is queued */
START_TEST(tellsEmptyDatagram)
{
    char byte = 0;

    pairUdp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    ck_assert_int_eq(send(pair[1], "", 0, 0), 0);
    waitCount(fixture.ring, &recorder.in, 1);
    ck_assert_int_eq(recorder.parameterIn, 0);
    ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, &byte, 1, 0), 0);
    sendText(pair[1], "x");
    receiveText(&recorder, "x");
    ck_assert_int_eq(recorder.hup, 0);
    release();
}
END_TEST

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
START_TEST(dropsInputDrainedBefore)
{
    struct Recorder second = {0};
    struct Other other = {&recorder, &second};
    int more[2];

    recorder.then = drainBoth;
    recorder.closure = &other;
    second.then = drainBoth;
    second.closure = &other;
    openStream();
    pairStream(more);
    openRecorded(&fixture, more[0], NULL, 0, &second);
    runIdle(fixture.ring);
    sendText(pair[1], "first");
    sendText(more[1], "second");
    for (int turn = 0; (turn < 1000) && (recorder.in + second.in == 0); turn++)
        runTurns(fixture.ring, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in + second.in, 1);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(second.socket), 0);
    release();
    ReleaseFastSocket(second.socket);
    close(more[1]);
}
END_TEST

/* §2.1 POLLIN for unread data: an edge, with the full count when more comes */
START_TEST(tellsUnreadDataOnce)
{
    openStream();
    sendText(pair[1], "abc");
    waitInput(&recorder, 3);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in, 1);
    sendText(pair[1], "de");
    waitInput(&recorder, 5);
    ck_assert_int_eq(recorder.in, 2);
    ck_assert_int_eq(recorder.parameterIn, 5);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in, 2);
    release();
}
END_TEST

/* §2.1 POLLIN for unread data: again on resume */
START_TEST(tellsUnreadDataOnResume)
{
    openStream();
    sendText(pair[1], "abc");
    waitInput(&recorder, 3);
    runIdle(fixture.ring);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in, 1);
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    ck_assert_int_eq(recorder.in, 1);
    waitCount(fixture.ring, &recorder.in, 2);
    ck_assert_int_eq(recorder.parameterIn, 3);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in, 2);
    release();
}
END_TEST

/* §2.1 POLLOUT: (a) once when writable with an empty queue */
START_TEST(tellsFirstWritable)
{
    for (enum Kind kind = 0; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        pairKind(kind, pair);
        memset(&recorder, 0, sizeof(recorder));
        openRecorded(&fixture, pair[0], NULL, 0, &recorder);
        waitCount(fixture.ring, &recorder.out, 1);
        runIdle(fixture.ring);
        ck_assert_msg(recorder.out == 1, "%s", nameKind(kind));
        ck_assert_int_eq(recorder.events, 1);
        release();
    }
}
END_TEST

/* §2.1 POLLOUT: (a) only if the queue is empty; then (b) it is */
START_TEST(mergesFirstWritableAndDrain)
{
    openTcp();
    transmitText(recorder.socket, "at once");
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 1);
    expectText(pair[1], "at once");
    release();
}
END_TEST

/* §2.1 POLLOUT: (b) each time the queue becomes empty */
START_TEST(tellsEachDrain)
{
    openTcp();
    waitCount(fixture.ring, &recorder.out, 1);
    for (int round = 0; round < 5; round++) {
        transmitText(recorder.socket, "drain");
        waitDrained(&recorder);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.out, 2 + round);
        expectText(pair[1], "drain");
    }
    release();
}
END_TEST

/* §2.1 POLLOUT during a burst of queueing: one for all of it */
START_TEST(tellsBurstOnce)
{
    openStream();
    waitCount(fixture.ring, &recorder.out, 1);
    for (int index = 0; index < 500; index++)
        transmitText(recorder.socket, "x");
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 2);
    release();
}
END_TEST

/* §2.1 POLLOUT, §2.4 empty: an empty transmit is a flush marker */
START_TEST(tellsFlushMarker)
{
    openStream();
    waitCount(fixture.ring, &recorder.out, 1);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, NULL, 0, 0), 0);
    ck_assert_int_eq(recorder.out, 1);
    waitCount(fixture.ring, &recorder.out, 2);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 2);
    transmitText(recorder.socket, "data");
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "", 0, 0), 0);
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 3);
    expectText(pair[1], "data");
    expectNothing(pair[1]);
    release();
}
END_TEST

/* §2.1 POLLOUT: with zero copy at the first completion, not the notification */
START_TEST(tellsDrainBeforeNotification)
{
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &recorder);
    waitCount(fixture.ring, &recorder.out, 1);
    transmitPattern(recorder.socket, 65536, 0);
    waitCount(fixture.ring, &recorder.out, 2);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    release();
}
END_TEST

/* §2.1 POLLERR fatal (stream), §2.1 POLLHUP, §2.1 queued input at POLLHUP, §2.4 -EPIPE: after a
 * reset, once each, with the data before it */
START_TEST(tellsResetAfterData)
{
    char data[16] = "";

    openTcp();
    runIdle(fixture.ring);
    sendText(pair[1], "last words");
    resetPeer();
    waitHangup(&recorder);
    runIdle(fixture.ring);
    expectError(ECONNRESET);
    /* A reset may overtake data in the peer's kernel only if it was never sent: ours was. */
    ck_assert_int_eq(recorder.in, 1);
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, data, sizeof(data), 0), 10);
    ck_assert_str_eq(data, "last words");
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, data, sizeof(data), 0), -ECONNRESET);
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, data, sizeof(data), 0), -ECONNRESET);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "x", 1, 0), -EPIPE);
    ck_assert_int_eq(ShutdownFastSocket(recorder.socket), -EPIPE);
    release();
}
END_TEST

/* §2.1 data and RST together: before the receive was ever armed */
START_TEST(tellsResetBeforeStart)
{
    pairTcp(pair);
    sendText(pair[1], "early");
    resetPeer();
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    waitHangup(&recorder);
    runIdle(fixture.ring);
    expectError(ECONNRESET);
    receiveText(&recorder, "early");
    release();
}
END_TEST

/* §2.1 POLLERR fatal (stream): peer reset with 0, 1 and 1000 sends queued: the queue is dropped
 * silently, its length kept */
START_TEST(dropsQueueAtReset)
{
    const int counts[] = {0, 1, 1000};

    for (size_t index = 0; index < sizeof(counts) / sizeof(counts[0]); index++) {
        size_t total = 0;
        openTcp();
        ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
        ck_assert_int_eq(setsockopt(pair[1], SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int)), 0);
        runIdle(fixture.ring);
        for (int count = 0; count < counts[index]; count++)
            transmitPattern(recorder.socket, 20000, 0);
        runIdle(fixture.ring);
        resetPeer();
        waitHangup(&recorder);
        runIdle(fixture.ring);
        expectError(ECONNRESET);
        total = GetFastSocketOutboundLength(recorder.socket);
        ck_assert_uint_le(total, (size_t)counts[index] * 20000);
        if (counts[index] == 1000)
            ck_assert_uint_gt(total, 10000000);
        ck_assert_uint_eq(readSocket(recorder.socket).droppedBytes, total);
        ck_assert_uint_eq(readSocket(recorder.socket).sentBytes + total,
                          (size_t)counts[index] * 20000);
        release();
    }
}
END_TEST

/* §2.1 send error first, §2.1 EPIPE from send while recv has an errno pending: ECONNRESET by
 * whichever path, never the end of input, never EPIPE */
START_TEST(prefersResetWhileSending)
{
    for (int round = 0; round < 50; round++) {
        openTcp();
        runTurns(fixture.ring, round % 4);
        if (round & 1)
            transmitText(recorder.socket, "before");
        runTurns(fixture.ring, round % 3);
        resetPeer();
        (void)TransmitFastSocketData(recorder.socket, NULL, 0, "after", 5, 0);
        waitHangup(&recorder);
        runIdle(fixture.ring);
        expectError(ECONNRESET);
        release();
    }
}
END_TEST

/* §2.1 POLLERR fatal (stream): AF_UNIX: a peer that closes with unread input resets */
START_TEST(tellsUnixReset)
{
    openStream();
    transmitText(recorder.socket, "never read");
    waitDrained(&recorder);
    close(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    runIdle(fixture.ring);
    expectError(ECONNRESET);
    release();
}
END_TEST

/* §2.1 POLLHUP, §2.1 queued input at POLLHUP, §2.3 nothing queued after orderly EOF: the
 * orderly end, after all data, once; receiving then gives 0 */
START_TEST(tellsEnd)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        char byte = 0;
        pairKind(kinds[index], pair);
        openRecorded(&fixture, pair[0], NULL, 0, &recorder);
        runIdle(fixture.ring);
        sendText(pair[1], "the end");
        close(pair[1]);
        pair[1] = -1;
        waitHangup(&recorder);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.hup, 1);
        ck_assert_int_eq(recorder.lastHangup, 0);
        ck_assert_int_eq(recorder.err, 0);
        ck_assert_int_eq(recorder.in, 1);
        ck_assert_int_eq(GetFastSocketError(recorder.socket), 0);
        receiveText(&recorder, "the end");
        ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, &byte, 1, 0), 0);
        ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, &byte, 1, 0), 0);
        release();
    }
}
END_TEST

/* §2.1 POLLHUP: the end of a connection that said nothing */
START_TEST(tellsEndWithoutData)
{
    openTcp();
    close(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in, 0);
    ck_assert_int_eq(recorder.lastHangup, 0);
    release();
}
END_TEST

/* §2.1 half-close, §2.4 after POLLHUP(0): sending goes on after POLLHUP(0); a later reset is
 * told by POLLERR alone */
START_TEST(sendsAfterHalfClose)
{
    int drains = 0;

    openTcp();
    runIdle(fixture.ring);
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.lastHangup, 0);
    drains = recorder.out;
    transmitText(recorder.socket, "still talking");
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, drains + 1);
    expectText(pair[1], "still talking");
    resetPeer();
    waitCount(fixture.ring, &recorder.err, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.hup, 1);
    ck_assert_int_eq(recorder.lastHangup, 0);
    ck_assert_int_eq(GetFastSocketError(recorder.socket), recorder.lastError);
    ck_assert_msg((recorder.lastError == EPIPE) || (recorder.lastError == ECONNRESET), "%d",
                  recorder.lastError);
    release();
}
END_TEST

/* §2.1 half-close: the poll that waits for a reset must not spin on RDHUP */
START_TEST(restsAfterHalfClose)
{
    uint64_t completions = 0;

    openTcp();
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    waitHangup(&recorder);
    runIdle(fixture.ring);
    completions = readRing(fixture.ring).completions;
    for (int turn = 0; turn < 50; turn++)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
    ck_assert_uint_le(readRing(fixture.ring).completions - completions, 2);
    release();
}
END_TEST

/* §2.1 half-close: both ways, then a reset */
START_TEST(survivesResetAfterBothEnds)
{
    openTcp();
    transmitText(recorder.socket, "unread");
    ck_assert_int_eq(ShutdownFastSocket(recorder.socket), 0);
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    waitHangup(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.lastHangup, 0);
    resetPeer();
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.hup, 1);
    ck_assert_int_le(recorder.err, 1);
    release();
}
END_TEST

static int refusedBefore;

/* At the first's POLLERR the second's error may be known already, and not yet told. */
static void transmitToOther(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
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
START_TEST(refusesBeforeItIsTold)
{
    for (int round = 0; round < 20; round++) {
        struct Recorder second = {.then = transmitToOther};
        struct Other other = {&recorder, &second};
        int more[2];
        recorder.then = transmitToOther;
        recorder.closure = &other;
        second.closure = &other;
        openTcp();
        pairTcp(more);
        openRecorded(&fixture, more[0], NULL, 0, &second);
        runIdle(fixture.ring);
        closeReset(more[1]);
        resetPeer();
        waitHangup(&recorder);
        waitHangup(&second);
        release();
        ReleaseFastSocket(second.socket);
    }
    ck_assert_int_gt(refusedBefore, 0);
    recorder.then = NULL;
}
END_TEST

static void callsThatTellNothing(void)
{
    int events = recorder.events;
    FILE* stream = NULL;
    char byte = 0;

    (void)TransmitFastSocketData(recorder.socket, NULL, 0, "x", 1, 0);
    ck_assert_int_eq(recorder.events, events);
    (void)ReceiveFastSocketData(recorder.socket, &byte, 1, 0);
    ck_assert_int_eq(recorder.events, events);
    ReleaseFastBuffer(ReceiveFastSocketBuffer(recorder.socket));
    ck_assert_int_eq(recorder.events, events);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    ck_assert_int_eq(recorder.events, events);
    stream = GetFastSocketStream(recorder.socket, 0);
    ck_assert_ptr_nonnull(stream);
    (void)fputs("y", stream);
    (void)fgetc(stream);
    ck_assert_int_eq(fclose(stream), 0);
    ck_assert_int_eq(recorder.events, events);
}

/* §2.1 when callbacks run: inside a wait and in no other call, whatever there is to be told */
START_TEST(tellsInTurnsOnly)
{
    for (int reset = 0; reset < 2; reset++) {
        int events = 0;
        pairTcp(pair);
        sendText(pair[1], "waits already");
        openRecorded(&fixture, pair[0], NULL, 0, &recorder);
        ck_assert_int_eq(recorder.events, 0);
        callsThatTellNothing();
        waitInput(&recorder, 13);
        events = recorder.events;
        ck_assert_int_gt(events, 0);
        sendText(pair[1], "more");
        callsThatTellNothing();
        if (reset)
            resetPeer();
        else
            ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
        callsThatTellNothing();
        waitHangup(&recorder);
        callsThatTellNothing();
        events = recorder.events;
        ReleaseFastSocket(recorder.socket);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.events, events);
        if (pair[1] >= 0)
            close(pair[1]);
    }
}
END_TEST

static void expectOneBit(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)socket;
    (void)parameter;
    (void)self;
    ck_assert_msg(event == POLLIN || event == POLLOUT || event == POLLERR || event == POLLHUP,
                  "event 0x%x", (unsigned)event);
}

/* §2.1 event argument: one bit for each call, also for what is there to be told at once */
START_TEST(tellsOneBitAtATime)
{
    recorder.then = expectOneBit;
    openStream();
    runIdle(fixture.ring);
    recorder.events = 0;
    recorder.out = 0;
    sendText(pair[1], "all of it");
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    transmitText(recorder.socket, "at once");
    waitHangup(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.events, 3);
    ck_assert_int_eq(recorder.in, 1);
    ck_assert_int_eq(recorder.out, 1);
    ck_assert_int_eq(recorder.hup, 1);
    recorder.then = NULL;
    release();
}
END_TEST

/* §2.1 order, §2.1 data and RST together: input, then the error, then the hang-up, and nothing more */
START_TEST(tellsInOrder)
{
    openTcp();
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.events, 1);
    sendText(pair[1], "last words");
    resetPeer();
    waitHangup(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.events, 4);
    ck_assert_int_eq(recorder.order[1], POLLIN);
    ck_assert_int_eq(recorder.order[2], POLLERR);
    ck_assert_int_eq(recorder.order[3], POLLHUP);
    expectError(ECONNRESET);
    release();
}
END_TEST

/* §2.1 user pause: no POLLIN, bytes in flight are kept and told on resume */
START_TEST(keepsInputOfPause)
{
    openStream();
    runIdle(fixture.ring);
    sendText(pair[1], "in flight");
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    sendText(pair[1], " and later");
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in, 0);
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    receiveText(&recorder, "in flight and later");
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    sendText(pair[1], "next");
    receiveText(&recorder, "next");
    release();
}
END_TEST

/* §2.1 user pause: no more is read, the peer feels it */
START_TEST(pauseStopsReceiving)
{
    char block[4096] = "";
    size_t before = 0;
    int queued = 0;

    openTcp();
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    before = GetFastSocketInboundLength(recorder.socket);
    ck_assert_uint_eq(before, 0);
    for (int index = 0; index < 16; index++)
        sendAll(pair[1], block, sizeof(block));
    runIdle(fixture.ring);
    ck_assert_int_eq(ioctl(pair[0], FIONREAD, &queued), 0);
    ck_assert_int_eq(recorder.in, 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 0);
    ck_assert_int_eq(queued, 16 * sizeof(block));
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    waitInput(&recorder, 16 * sizeof(block));
    release();
}
END_TEST

/* §2.1 paused socket: the end behind the pause is told after resume */
START_TEST(holdsEndOfPause)
{
    openStream();
    runIdle(fixture.ring);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    sendText(pair[1], "behind");
    close(pair[1]);
    pair[1] = -1;
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in + recorder.hup + recorder.err, 0);
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.in, 1);
    ck_assert_int_eq(recorder.lastHangup, 0);
    receiveText(&recorder, "behind");
    release();
}
END_TEST

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
START_TEST(tellsInputBeforeEndOfPause)
{
    recorder.then = answerAndPause;
    openStream();
    sendText(pair[1], "question");
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.order[0], POLLIN);
    ck_assert_int_eq(recorder.order[1], POLLOUT);
    ck_assert_int_eq(recorder.order[2], POLLIN);
    ck_assert_int_eq(recorder.order[3], POLLHUP);
    receiveText(&recorder, "question");
    release();
    recorder.then = NULL;
}
END_TEST

/* §2.1 paused socket: so is a reset behind the pause */
START_TEST(holdsResetOfPause)
{
    openTcp();
    runIdle(fixture.ring);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    sendText(pair[1], "behind");
    resetPeer();
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in + recorder.hup + recorder.err, 0);
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    waitHangup(&recorder);
    runIdle(fixture.ring);
    expectError(ECONNRESET);
    receiveText(&recorder, "behind");
    release();
}
END_TEST

/* §2.1 paused socket: a fatal send error is told at once, queued input kept */
START_TEST(tellsSendErrorInPause)
{
    openTcp();
    runIdle(fixture.ring);
    sendText(pair[1], "kept");
    waitInput(&recorder, 4);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    resetPeer();
    (void)TransmitFastSocketData(recorder.socket, NULL, 0, "x", 1, 0);
    waitHangup(&recorder);
    runIdle(fixture.ring);
    expectError(ECONNRESET);
    receiveText(&recorder, "kept");
    release();
}
END_TEST

/* §2.1 connect failure: while paused, its errno read by somebody else: told, and no spin */
START_TEST(tellsStolenConnectError)
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
    openRecorded(&fixture, second, NULL, 0, &recorder);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out + recorder.err, 0);
    (void)shutdown(second, SHUT_RDWR);
    (void)getsockopt(second, SOL_SOCKET, SO_ERROR, &error, &size);
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.err, 1);
    close(first);
    close(listening);
    pair[1] = -1;
    release();
}
END_TEST

/* the user closes the descriptor behind our back, which is forbidden: no crash, no spin, also in a pause */
START_TEST(survivesForeignClose)
{
    for (int paused = 0; paused < 2; paused++) {
        int handle = -1;
        uint64_t before = 0;
        openTcp();
        runIdle(fixture.ring);
        if (paused)
            ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
        runIdle(fixture.ring);
        handle = GetFastSocketHandle(recorder.socket);
        close(handle);
        if (!paused) {
            ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
            ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
        }
        runTurns(fixture.ring, 10);
        before = readRing(fixture.ring).completions;
        runTurns(fixture.ring, 1000);
        ck_assert_uint_le(readRing(fixture.ring).completions - before, 10);
        /* Nobody else may get the number, which the socket closes. */
        ck_assert_int_eq(dup2(pair[1], handle), handle);
        AbortFastSocket(recorder.socket);
        close(pair[1]);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
    }
}
END_TEST

/* a new socket takes the number of a descriptor that was closed behind our back, which is forbidden: no
 * crash, no spin */
START_TEST(survivesSharedNumber)
{
    struct Recorder second = {0};
    int more[2];
    int number = -1;
    uint64_t before = 0;

    openTcp();
    runIdle(fixture.ring);
    number = GetFastSocketHandle(recorder.socket);
    close(number);
    pairTcp(more);
    if (more[0] != number) {
        ck_assert_int_eq(dup3(more[0], number, O_CLOEXEC), number);
        close(more[0]);
    }
    openRecorded(&fixture, number, NULL, 0, &second);
    sendText(pair[1], "to the first");
    sendText(more[1], "to the second");
    runIdle(fixture.ring);
    before = readRing(fixture.ring).completions;
    runTurns(fixture.ring, 500);
    ck_assert_uint_le(readRing(fixture.ring).completions - before, 10);
    AbortFastSocket(recorder.socket);
    runIdle(fixture.ring);
    AbortFastSocket(second.socket);
    close(pair[1]);
    close(more[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}
END_TEST

/* §2.1 half-close: what the user finds in the error queue is no end */
START_TEST(survivesErrorQueue)
{
    const int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;

    openTcp();
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)), 0);
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    waitHangup(&recorder);
    for (int count = 0; count < 3; count++) {
        transmitText(recorder.socket, "still");
        waitDrained(&recorder);
        runIdle(fixture.ring);
        expectText(pair[1], "still");
    }
    ck_assert_int_eq(recorder.err, 0);
    release();
}
END_TEST

/* §2.1 POLLERR fatal (stream): an error that a send swallows, since it reports the bytes before
 * it, is told all the same */
START_TEST(tellsSwallowedError)
{
    openTcp();
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    runIdle(fixture.ring);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    transmitPattern(recorder.socket, 8000000, 0);
    runIdle(fixture.ring);
    ck_assert_uint_gt(GetFastSocketOutboundLength(recorder.socket), 0);
    resetPeer();
    waitHangup(&recorder);
    runIdle(fixture.ring);
    expectError(ECONNRESET);
    release();
}
END_TEST

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
START_TEST(tellsInputBeforeSendError)
{
    static char data[65536];
    uint64_t sent = 0;
    ssize_t size = 0;

    recorder.then = drain;
    drained = 0;
    openTcp();
    setOption(recorder.socket, FASTSOCKET_OPTION_TURN_LIMIT, 4096);
    runIdle(fixture.ring);
    while ((size = send(pair[1], data, sizeof(data), MSG_DONTWAIT)) > 0)
        sent += (uint64_t)size;
    ck_assert_uint_gt(sent, 65536);
    /* What is still on its way would be lost by the reset: the kernel's loss, not ours. */
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    close(pair[1]);
    pair[1] = -1;
    for (int count = 0; count < 3; count++) {
        (void)TransmitFastSocketData(recorder.socket, NULL, 0, "x", 1, 0);
        runTurns(fixture.ring, 1);
    }
    waitHangup(&recorder);
    runIdle(fixture.ring);
    ck_assert_uint_gt(drained, 65536);
    release();
}
END_TEST

/* §2.1 local close: the user's own shutdown(2) of the handle */
START_TEST(tellsLocalShutdown)
{
    for (int how = 0; how < 2; how++) {
        openTcp();
        runIdle(fixture.ring);
        ck_assert_int_eq(shutdown(GetFastSocketHandle(recorder.socket), how ? SHUT_RDWR : SHUT_RD),
                         0);
        waitHangup(&recorder);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.lastHangup, 0);
        ck_assert_int_eq(recorder.err, 0);
        release();
    }
}
END_TEST

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
START_TEST(changesHandler)
{
    next.lastHangup = -1;
    recorder.then = handOver;
    openStream();
    waitCount(fixture.ring, &recorder.out, 1);
    sendText(pair[1], "first");
    receiveText(&recorder, "first");
    ck_assert_int_eq(recorder.in, 1);
    ck_assert_ptr_eq(GetFastSocketClosure(recorder.socket), &next);
    sendText(pair[1], "second");
    receiveText(&recorder, "second");
    ck_assert_int_eq(recorder.in, 1);
    ck_assert_int_eq(next.in, 1);
    ck_assert_int_eq(SetFastSocketHandler(recorder.socket, NULL, NULL), 0);
    sendText(pair[1], "third");
    receiveText(&recorder, "third");
    close(pair[1]);
    pair[1] = -1;
    runIdle(fixture.ring);
    ck_assert_int_eq(next.in + next.hup, 1);
    release();
}
END_TEST

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

/* §2.2 function, §2.2 closure: between layers of a protocol, each hears of its own and of nothing else */
START_TEST(handsOverBetweenLayers)
{
    for (int reset = 0; reset < 2; reset++) {
        struct Recorder fresh = {.lastHangup = -1};
        greeting = body = rest = fresh;
        greeting.then = readGreeting;
        body.then = readBody;
        pairTcp(pair);
        openRecorded(&fixture, pair[0], NULL, 0, &greeting);
        recorder.socket = greeting.socket;
        waitCount(fixture.ring, &greeting.out, 1);
        sendText(pair[1], "HELL");
        waitInput(&greeting, 4);
        runIdle(fixture.ring);
        sendText(pair[1], "O\nbody, and more");
        waitCount(fixture.ring, &body.in, 1);
        ck_assert_int_eq(body.parameterIn, 14);
        runIdle(fixture.ring);
        expectText(pair[1], "welcome");
        /* The drain of what the first layer sent is the second's or the third's to hear. */
        ck_assert_int_eq(body.out + rest.out, 1);
        ck_assert_int_eq(greeting.in, 2);
        ck_assert_int_eq(greeting.out, 1);
        if (reset) {
            resetPeer();
        } else {
            close(pair[1]);
            pair[1] = -1;
        }
        waitFor(fixture.ring, hasHungUp, &rest);
        runIdle(fixture.ring);
        ck_assert_int_eq(greeting.err + greeting.hup + body.err + body.hup, 0);
        ck_assert_int_eq(rest.err, reset);
        ck_assert_int_eq(rest.hup, 1);
        ck_assert_int_eq(body.in, 1);
        ck_assert_ptr_eq(GetFastSocketClosure(recorder.socket), &rest);
        release();
    }
}
END_TEST

static void waitInside(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)event;
    (void)parameter;
    *(int*)self->closure = WaitForFastRing(GetFastSocketRing(socket), 0, NULL);
}

/* §2.1 re-entrancy: no turn inside a turn */
START_TEST(refusesNestedTurn)
{
    int result = 1;

    recorder.then = waitInside;
    recorder.closure = &result;
    openStream();
    waitCount(fixture.ring, &recorder.out, 1);
    ck_assert_int_eq(result, -EBUSY);
    release();
}
END_TEST

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
START_TEST(allowsCallsInside)
{
    for (int reset = 0; reset < 2; reset++) {
        recorder.then = callEverything;
        openTcp();
        sendText(pair[1], "some input");
        runIdle(fixture.ring);
        if (reset) {
            resetPeer();
            runIdle(fixture.ring);
        } else {
            close(pair[1]);
            pair[1] = -1;
            waitHangup(&recorder);
        }
        release();
    }
}
END_TEST

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
START_TEST(boundsTurn)
{
    int peers[FLOOD];
    int total = 0;

    ck_assert_int_eq(SetFastRingOption(fixture.ring, FASTRING_OPTION_TURN_LIMIT, 16), 0);
    for (int index = 0; index < FLOOD; index++) {
        pairUnix(pair, SOCK_DGRAM);
        many[index].then = countInTurn;
        openRecorded(&fixture, pair[0], NULL, 0, &many[index]);
        peers[index] = pair[1];
    }
    runIdle(fixture.ring);
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
END_TEST

/* §2.1 starvation: a flooding socket leaves turns to the others */
START_TEST(boundsSocketInTurn)
{
    struct Recorder quiet = {0};
    char block[65536] = "";
    int more[2];
    uint64_t first = 0;

    openStream();
    setOption(recorder.socket, FASTSOCKET_OPTION_TURN_LIMIT, 4096);
    pairStream(more);
    openRecorded(&fixture, more[0], NULL, 0, &quiet);
    runIdle(fixture.ring);
    sendAll(pair[1], block, sizeof(block));
    sendText(more[1], "x");
    first = currentTurn();
    waitInput(&quiet, 1);
    ck_assert_uint_le(currentTurn() - first, 40);
    waitInput(&recorder, sizeof(block));
    ck_assert_int_ge(recorder.in, 2);
    release();
    ReleaseFastSocket(quiet.socket);
    close(more[1]);
}
END_TEST

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
START_TEST(survivesRefusal)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    recorder.then = countRefusal;
    pairUdp(pair);
    ck_assert_int_eq(getsockname(pair[1], (struct sockaddr*)&address, &length), 0);
    close(pair[1]);
    pair[1] = -1;
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    runIdle(fixture.ring);
    for (int round = 1; round <= 3; round++) {
        int before = polls;
        transmitText(recorder.socket, "anybody?");
        waitCount(fixture.ring, &polls, before + 1);
        runIdle(fixture.ring);
        ck_assert_int_eq(polls, before + 1);
        ck_assert_int_eq(recorder.lastError, ECONNREFUSED);
    }
    ck_assert_int_eq(recorder.hup, 0);
    ck_assert_int_eq(GetFastSocketError(recorder.socket), 0);

    /* Somebody comes to live there. */
    pair[1] = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(pair[1], (struct sockaddr*)&address, length), 0);
    transmitText(recorder.socket, "hello");
    waitDrained(&recorder);
    expectText(pair[1], "hello");
    release();
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-event");
    TCase* area = tcase_create("event");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, mergesInput);
    tcase_add_test(area, countsPayload);
    tcase_add_test(area, tellsEmptyDatagram);
    tcase_add_test(area, dropsInputDrainedBefore);
    tcase_add_test(area, tellsUnreadDataOnce);
    tcase_add_test(area, tellsUnreadDataOnResume);
    tcase_add_test(area, tellsFirstWritable);
    tcase_add_test(area, mergesFirstWritableAndDrain);
    tcase_add_test(area, tellsEachDrain);
    tcase_add_test(area, tellsBurstOnce);
    tcase_add_test(area, tellsFlushMarker);
    tcase_add_test(area, tellsDrainBeforeNotification);
    tcase_add_test(area, tellsResetAfterData);
    tcase_add_test(area, tellsResetBeforeStart);
    tcase_add_test(area, dropsQueueAtReset);
    tcase_add_test(area, prefersResetWhileSending);
    tcase_add_test(area, tellsUnixReset);
    tcase_add_test(area, tellsEnd);
    tcase_add_test(area, tellsEndWithoutData);
    tcase_add_test(area, sendsAfterHalfClose);
    tcase_add_test(area, restsAfterHalfClose);
    tcase_add_test(area, survivesResetAfterBothEnds);
    tcase_add_test(area, refusesBeforeItIsTold);
    tcase_add_test(area, tellsInTurnsOnly);
    tcase_add_test(area, tellsOneBitAtATime);
    tcase_add_test(area, tellsInOrder);
    tcase_add_test(area, keepsInputOfPause);
    tcase_add_test(area, pauseStopsReceiving);
    tcase_add_test(area, holdsEndOfPause);
    tcase_add_test(area, tellsInputBeforeEndOfPause);
    tcase_add_test(area, holdsResetOfPause);
    tcase_add_test(area, tellsSendErrorInPause);
    tcase_add_test(area, tellsStolenConnectError);
    tcase_add_test(area, survivesForeignClose);
    tcase_add_test(area, survivesSharedNumber);
    tcase_add_test(area, survivesErrorQueue);
    tcase_add_test(area, tellsSwallowedError);
    tcase_add_test(area, tellsInputBeforeSendError);
    tcase_add_test(area, tellsLocalShutdown);
    tcase_add_test(area, changesHandler);
    tcase_add_test(area, handsOverBetweenLayers);
    tcase_add_test(area, refusesNestedTurn);
    tcase_add_test(area, allowsCallsInside);
    tcase_add_test(area, boundsTurn);
    tcase_add_test(area, boundsSocketInTurn);
    tcase_add_test(area, survivesRefusal);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
