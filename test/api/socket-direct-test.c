/* Large transmits on real connections, beside small ones: what is sent inside the call, and what is
 * queued, arrive as one stream, and are told as if all had been queued. */
#include "fixture.h"

#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/uio.h>

SCENE_AREA(direct, "direct");

enum
{
    LARGE = 1 << 20,
    BLOCK = 32 << 10, /* the least that is sent at once */
    KINDS = 2,
    VECTORS = 2000, /* more than a call takes (IOV_MAX) */
};

static const enum Kind kinds[KINDS] = {KIND_TCP, KIND_UNIX_STREAM};
static const size_t parts = 32; /* more than socket buffers hold */
static uint8_t data[8 << 20];

/* Something has come, so that the connection is known to be made; a block fits into its buffer. */
static void openWarm(enum Kind kind)
{
    int size = 2 * BLOCK;

    openPair(kind);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    sendText(scene.peer, "warm");
    receiveText(&scene.ours, "warm");
    runIdle(scene.ring);
}

static bool isSentAtOnce(size_t size)
{
    return readSocket(scene.ours.socket).sentBytes == size &&
           GetFastSocketOutboundLength(scene.ours.socket) == 0;
}

/* ---- taken whole ---- */

/* §2.4 at once, §2.1 POLLOUT, §2.6 GetFastRingPending: told by the next turn, and never inside the
 * call */
CASE_ROUNDS(direct, tellsInTheNextTurn, KINDS)
{
    openWarm(kinds[round]);
    int out = scene.ours.out;
    transmitPattern(scene.ours.socket, BLOCK, 0);
    ck_assert(isSentAtOnce(BLOCK));
    ck_assert_int_eq(scene.ours.out, out);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 0);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), 0);
    ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(scene.ours.out, out + 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, out + 1);
    expectPattern(scene.peer, BLOCK, 0);
}

/* Small bytes have been taken in this turn, and their POLLOUT is still to come. */
static int sendBlock(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                     int reason)
{
    (void)descriptor;
    (void)completion;
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
    transmitPattern(scene.ours.socket, BLOCK, 200);
    ck_assert(isSentAtOnce(BLOCK + 200));
    return 0;
}

/* §2.4 at once, §2.1 POLLOUT: one for all that was taken before it */
CASE_ROUNDS(direct, isToldWithWhatWasTakenBefore, KINDS)
{
    openWarm(kinds[round]);
    int out = scene.ours.out;
    transmitPattern(scene.ours.socket, 200, 0);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, sendBlock, NULL);
    ck_assert_ptr_nonnull(descriptor);
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(scene.ours.out, out + 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, out + 1);
    expectPattern(scene.peer, BLOCK + 200, 0);
}

static uint64_t lastTurn;
static int left;

/* The next block at each event, which the POLLOUT of another turn follows. */
static void sendNext(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    char text[16];
    (void)parameter;
    if (event == POLLIN)
        ck_assert_int_eq(ReceiveFastSocketData(socket, text, sizeof(text), 0), 2);
    ck_assert_uint_gt(currentTurn(), lastTurn);
    if (left-- <= 0)
        return;
    int out = self->out;
    transmitPattern(socket, BLOCK, 0);
    ck_assert_int_eq(self->out, out);
    lastTurn = currentTurn();
}

/* §2.4 at once in a callback, §2.1 POLLOUT, §2.1 when callbacks run: from handlers */
CASE_ROUNDS(direct, tellsHandlersInTheNextTurn, KINDS)
{
    openWarm(kinds[round]);
    scene.ours.then = sendNext;
    left = 40;
    int out = scene.ours.out;
    sendText(scene.peer, "go");
    for (int block = 0; block < 40; block++)
        expectPattern(scene.peer, BLOCK, 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, out + 40);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, UINT64_C(40) * BLOCK);
}

/* §2.4 at once beside the queue, §2.4 order: a header before the body goes in the same call */
CASE_ROUNDS(direct, takesTheHeaderAlong, KINDS)
{
    openWarm(kinds[round]);
    transmitPattern(scene.ours.socket, 200, 0);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
    transmitPattern(scene.ours.socket, BLOCK, 200);
    ck_assert(isSentAtOnce(BLOCK + 200));
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentOperations, 1);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 0);
    expectPattern(scene.peer, BLOCK + 200, 0);
}

/* ---- taken in part, and not at all ---- */

/* §2.4 at once in part, §2.4 at once and refused, §2.4 short count: to a peer that reads nothing
 * yet */
CASE_ROUNDS(direct, queuesWhatIsNotTaken, KINDS)
{
    openWarm(kinds[round]);
    int out = scene.ours.out;
    for (uint64_t part = 0; part < parts; part++)
        transmitPattern(scene.ours.socket, LARGE, part * LARGE);
    size_t queued = GetFastSocketOutboundLength(scene.ours.socket);
    ck_assert_uint_gt(queued, 0);
    ck_assert_uint_lt(queued, parts * LARGE); /* some was taken */
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, parts * LARGE - queued);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, out);
    /* Still full, with a send in flight. */
    transmitPattern(scene.ours.socket, LARGE, parts * LARGE);
    expectPattern(scene.peer, (parts + 1) * LARGE, 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, out + 1);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, (parts + 1) * LARGE);
}

/* §2.4 -EAGAIN: the limit counts what was not taken, and is asked before */
CASE(direct, obeysTheLimit)
{
    openWarm(KIND_UNIX_STREAM);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 1000);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, LARGE, 0), 0);
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 1000);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, LARGE, 0), -EAGAIN);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, 1, 0), -EAGAIN);
    expectPattern(scene.peer, LARGE, 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, LARGE, 0), 0);
    expectPattern(scene.peer, LARGE, 0);
}

/* More vectors than one call takes, of odd sizes, with empty ones between. */
CASE_ROUNDS(direct, takesManyVectors, KINDS)
{
    static struct iovec vectors[VECTORS];
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = VECTORS};
    size_t size = 0;
    fillPattern(data, sizeof(data), 0);
    for (size_t index = 0; index < VECTORS; index++) {
        size_t length = index % 7 == 0 ? 0 : 1500 + index * 37 % 2999;
        vectors[index] = (struct iovec){.iov_base = data + size, .iov_len = length};
        size += length;
    }
    ck_assert_uint_lt(size, sizeof(data));
    openWarm(kinds[round]);
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), 0);
    ck_assert_uint_gt(readSocket(scene.ours.socket).sentBytes, 0); /* before any turn */
    expectPattern(scene.peer, size, 0);
    waitDrained(&scene.ours);
}

/* ---- errors ---- */

/* Reads all, and then sends what finds the connection gone. */
static void expectReset(int error)
{
    char text[16];
    expectFailure(&scene.ours, error);
    ck_assert_int_eq(scene.ours.out, 1);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, text, sizeof(text), 0), 8);
    ck_assert_mem_eq(text, "farewell", 8);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, LARGE, 0), -EPIPE);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), error);
}

/* §2.4 at once and reset, §2.1 POLLERR fatal (stream), §2.1 data and RST together: reset before the
 * call, which meets it */
CASE_ROUNDS(direct, meetsAReset, 2)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    transmitText(scene.ours.socket, "unread");
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    scene.ours.out = 1;
    sendText(scene.peer, "farewell");
    resetPeer();
    if (round == 1)
        transmitText(scene.ours.socket, "small");
    transmitPattern(scene.ours.socket, LARGE, 0);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup + scene.ours.in, 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), LARGE + (round ? 5 : 0));
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.order[scene.ours.events - 3], POLLIN);
    expectReset(ECONNRESET);
}

/* §2.4 at once and reset: the same of AF_UNIX, with EPIPE; no signal is raised */
CASE(direct, meetsAClosedPeer)
{
    openWarm(KIND_UNIX_STREAM);
    closePeer();
    transmitPattern(scene.ours.socket, LARGE, 0);
    ck_assert_int_eq(scene.ours.err, 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, scene.ours.lastHangup != 0 || scene.ours.err);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, LARGE, 0), -EPIPE);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), EPIPE);
}

/* The connection is reset, a transmit is told so, and the receive comes to an end that is none, all
 * in one turn. */
static FILE* stream;
static struct FastRingWatch* idleWatch;

static void ignoreWatch(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    (void)result;
    (void)closure;
}

/* The end has come, and what it means is not told yet. */
static void readAtTheEnd(void* closure, int reason)
{
    (void)closure;
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
    errno = 0;
    ck_assert_int_eq(fgetc(stream), EOF);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert(!feof(stream));
}

static int meetFirst(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                     int reason)
{
    (void)descriptor;
    (void)completion;
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    resetPeer();
    transmitPattern(scene.ours.socket, LARGE, 0);
    RemoveFastRingWatch(idleWatch); /* enters the kernel */
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(scene.ring, readAtTheEnd, NULL));
    return 0;
}

/* Has the function called while nothing else happens, and waits for the end. */
static void meetInOneTurn(HandleFastRingCompletionFunction function)
{
    int idle[2];
    pairStream(idle);
    idleWatch = AddFastRingWatch(scene.ring, idle[0], POLLIN, 0, ignoreWatch, NULL);
    ck_assert_ptr_nonnull(idleWatch);
    runIdle(scene.ring);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, function, NULL);
    ck_assert_ptr_nonnull(descriptor);
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    close(idle[0]);
    close(idle[1]);
}

/* §2.4 at once and reset, §2.1 send error first, §2.7 read at EOF: also where the end of input is
 * seen before the error is told */
CASE(direct, tellsTheErrorBeforeTheEnd)
{
    openPair(KIND_TCP);
    stream = GetFastSocketStream(scene.ours.socket, 0);
    ck_assert_ptr_nonnull(stream);
    meetInOneTurn(meetFirst);
    expectFailure(&scene.ours, ECONNRESET);
    ck_assert_int_eq(fgetc(stream), EOF);
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_int_eq(fclose(stream), 0);
}

static int meetTheEnd(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                      int reason)
{
    (void)descriptor;
    (void)completion;
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    transmitPattern(scene.ours.socket, sizeof(data), 0);
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
    RemoveFastRingWatch(idleWatch);
    return 0;
}

/* §2.4 at once in part, §2.1 half-close: an end that is one is told all the same, while there is no
 * room */
CASE_ROUNDS(direct, tellsTheEndBehindAShortCount, KINDS)
{
    openWarm(kinds[round]);
    meetInOneTurn(meetTheEnd);
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
    expectOrderlyEnd(&scene.ours);
    expectPattern(scene.peer, sizeof(data), 0);
    waitDrained(&scene.ours);
}

/* ---- states ---- */

/* §2.4 at once and paused, §2.1 user pause: stops receiving alone */
CASE(direct, sendsWhilePaused)
{
    openWarm(KIND_TCP);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    int out = scene.ours.out;
    transmitPattern(scene.ours.socket, BLOCK, 0);
    ck_assert(isSentAtOnce(BLOCK));
    expectPattern(scene.peer, BLOCK, 0);
    waitCount(scene.ring, &scene.ours.out, out + 1);
}

/* §2.4 -EPIPE: after a shutdown in the same turn; all before it is sent, then the end */
CASE_ROUNDS(direct, isShutDownInTheSameTurn, 2 * KINDS)
{
    size_t size = round < KINDS ? BLOCK : sizeof(data);
    openWarm(kinds[round % KINDS]);
    transmitPattern(scene.ours.socket, size, 0);
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, LARGE, 0), -EPIPE);
    expectPattern(scene.peer, size, 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    expectEnd(scene.peer);
}

/* §2.4 at once and released, §2.6 flush: taken whole or in part, and released in the same turn */
CASE_ROUNDS(direct, isReleasedInTheSameTurn, 2 * KINDS)
{
    size_t size = round < KINDS ? BLOCK : sizeof(data);
    openWarm(kinds[round % KINDS]);
    int events = scene.ours.events;
    transmitPattern(scene.ours.socket, size, 0);
    ReleaseFastSocket(scene.ours.socket);
    expectPattern(scene.peer, size, 0);
    runTurns(scene.ring, 3);
    expectEnd(scene.peer);
    ck_assert_int_eq(scene.ours.events, events);
}

CASE_ROUNDS(direct, isAbortedInTheSameTurn, KINDS)
{
    openWarm(kinds[round]);
    transmitPattern(scene.ours.socket, sizeof(data), 0);
    AbortFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* ---- beside everything else ---- */

static uint64_t randomState;

static uint64_t draw(uint64_t bound)
{
    randomState = randomState * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (randomState >> 33) % bound;
}

static size_t drawSize(void)
{
    const size_t bounds[] = {10, 3000, 70000, 300000, 1200000};
    return 1 + draw(bounds[draw(5)]);
}

static void transmitVectors(size_t size, uint64_t position, int flags)
{
    struct iovec vectors[80];
    struct msghdr message = {.msg_iov = vectors};
    fillPattern(data, size, position);
    for (size_t done = 0; done < size; message.msg_iovlen++) {
        size_t length = message.msg_iovlen == 79 ? size - done : draw(size - done + 1);
        vectors[message.msg_iovlen] = (struct iovec){.iov_base = data + done, .iov_len = length};
        done += length;
    }
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, flags), 0);
}

/* One transmit of whatever kind, whose memory is spoilt at once. */
static uint64_t transmitAny(uint64_t position)
{
    size_t size = drawSize();
    int flags = draw(8) == 0 ? MSG_MORE : 0;
    uint64_t form = draw(8);
    if (form == 0) {
        ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                                  makePattern(size, position), 0, size, flags),
                         0);
    } else if (form < 3)
        transmitVectors(size, position, flags);
    else {
        fillPattern(data, size, position);
        ck_assert_int_eq(
            TransmitFastSocketData(scene.ours.socket, NULL, 0, data, size, flags), 0);
    }
    memset(data, 0xee, size);
    return position + size;
}

/* Reads some of what has come. */
static uint64_t readSome(uint64_t position)
{
    static uint8_t input[1 << 20];
    ssize_t size = recv(scene.peer, input, 1 + draw(sizeof(input)), MSG_DONTWAIT);
    if (size < 0) {
        ck_assert_int_eq(errno, EAGAIN);
        return position;
    }
    ck_assert(checkPattern(input, (size_t)size, position));
    return position + (uint64_t)size;
}

/* §2.4 at once beside the queue, §2.4 order: every transmit's bytes in the order of the calls,
 * whichever way they went */
CASE_ROUNDS(direct, keepsTheOrder, 20)
{
    static const int modes[] = {0, FASTSOCKET_MODE_AUTO_CORK, FASTSOCKET_MODE_ZERO_COPY, 0, 0};
    uint64_t sent = 0;
    uint64_t received = 0;
    randomState = (uint64_t)round + 1;
    openPairWith(.kind = kinds[round % KINDS], .mode = modes[round % 5]);
    for (int step = 0; step < 400; step++) {
        switch (draw(4)) {
        case 0:
            runTurns(scene.ring, 1);
            break;
        case 1:
            received = readSome(received);
            break;
        default:
            if (sent - received < sizeof(data) * 4)
                sent = transmitAny(sent);
        }
    }
    /* What a MSG_MORE holds back waits for more. */
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "", 0, 0), 0);
    fillPattern(data, 1, sent);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, 1, 0), 0);
    expectPattern(scene.peer, sent + 1 - received, received);
    waitDrained(&scene.ours);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, sent + 1);
    ck_assert_int_eq(scene.ours.err, 0);
}
