/*
 * Who waits for what is queued: called once, in order, when the kernel has answered for it, with
 * every answer that there is.
 */
#include "sending.h"

#include "socket/run.h"

enum
{
    CALLS = 600,
    SOME = 300, /* notices */
};

struct Call
{
    int number; /* of the notice */
    int result;
    uint64_t turn;
    int drained; /* POLLOUT events before it */
};

static struct Countdown memory;
static struct Call calls[CALLS];
static int callCount;
static int asked;

FAILING_CALL(&memory, NULL, struct FastBuffer*, FastPoolAllocateAnyhow,
             (struct FastBufferPool* pool, size_t size), (pool, size))

static void setUp(void)
{
    callCount = 0;
    asked = 0;
    openSending();
}

AREA(notice, "notice", .open = setUp, .close = closeSending);

static uint64_t turn(void)
{
    struct FastRingStatistics statistics;
    ck_assert_int_eq(GetFastRingStatistics(ring, &statistics, sizeof(statistics)), 0);
    return statistics.turns;
}

static void onNotice(struct FastSocket* socket, int result, void* closure)
{
    ck_assert_int_lt(callCount, CALLS);
    (void)socket;
    calls[callCount++] = (struct Call){
        .number = (int)(intptr_t)closure,
        .result = result,
        .turn = turn(),
        .drained = drained,
    };
}

static void ask(void)
{
    ck_assert_int_eq(NotifyFastSocketTransmit(self, onNotice, (void*)(intptr_t)asked), 0);
    asked++;
}

/* That many were called by now, in order; the last ones with a result. */
static void expectCalls(int count, int from, int result)
{
    ck_assert_int_eq(callCount, count);
    for (int index = 0; index < count; index++) {
        ck_assert_int_eq(calls[index].number, index);
        if (index >= from)
            ck_assert_int_eq(calls[index].result, result);
    }
}

/* ---- bytes ---- */

/* §2.9 notice of nothing: in the next turn, and not before */
CASE(notice, callsWithNothingQueued)
{
    openStream(0);
    uint64_t before = turn();
    ask();
    ask();
    expectCalls(0, 0, 0);
    ck_assert_int_eq(GetFastRingInterval(ring), 0);
    run();
    expectCalls(2, 0, 0);
    ck_assert_uint_eq(calls[1].turn, before + 1);
    transmit(SMALL, 0);
    run();
    complete(0, SMALL, 0);
    expectCalls(2, 0, 0);
}

/* §2.9 notice: all that was queued, in the turn in which the kernel says so */
CASE(notice, callsWhenAllIsAccepted)
{
    openStream(0);
    transmit(SMALL, 0);
    ask();
    run();
    expectCalls(0, 0, 0);
    complete(0, SMALL - 1, 0);
    expectCalls(0, 0, 0);
    complete(1, 1, 0);
    expectCalls(1, 0, 0);
    ck_assert_int_eq(calls[0].drained, 1); /* behind the events of the turn */
}

/* Asked for while it is in flight already, in the shortest way that there is. */
CASE(notice, callsForWhatIsInFlight)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    ask();
    ask();
    run();
    expectCalls(0, 0, 0);
    complete(0, SMALL, 0);
    expectCalls(2, 0, 0);
    ck_assert_int_eq(drained, 1);
}

/* §2.9 notice before more: delays nobody, and all goes out together */
CASE(notice, gathersAcross)
{
    openStream(0);
    for (int index = 0; index < 4; index++) {
        transmit(SMALL, 0);
        ask();
    }
    transmit(SMALL, 0);
    run();
    expectSend(1, IORING_OP_SENDMSG, 0, 5 * SMALL);
    complete(0, 2 * SMALL + 1, 0);
    expectCalls(2, 0, 0);
    expectSend(2, IORING_OP_SENDMSG, 2 * SMALL + 1, 3 * SMALL - 1);
    complete(1, 2 * SMALL - 1, 0);
    expectCalls(4, 0, 0);
    complete(2, SMALL, 0);
    expectCalls(4, 0, 0);
}

/* Many, of which a turn brings all. */
CASE(notice, callsMany)
{
    openStream(0);
    for (int index = 0; index < SOME; index++) {
        if (index % (SOME / PARTS + 1) == 0)
            transmit(1, 0);
        ask();
    }
    for (unsigned number = 0; callCount < SOME; number++) {
        run();
        ck_assert_uint_lt(number, sendCount);
        expectCalls(callCount, 0, 0);
        if (sends[number].bytes > 0)
            complete(number, (int)sends[number].bytes, 0);
    }
    expectCalls(SOME, 0, 0);
}

/* An empty transmit is one, too, and so is an operation that is no send. */
CASE(notice, waitsForWhatHasNoBytes)
{
    openStream(0);
    transmit(0, 0);
    ask();
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, NULL, NULL);
    ck_assert_ptr_nonnull(descriptor);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), self->handle, POLLIN);
    ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, NULL), 0);
    ask();
    run();
    expectCalls(1, 0, 0);
    const struct io_uring_sqe* entry = NULL;
    for (unsigned index = 0; index < kernel.inFlightCount; index++)
        if (kernel.inFlight[index].opcode == IORING_OP_POLL_ADD && kernel.inFlight[index].len == 0)
            entry = &kernel.inFlight[index];
    ck_assert_ptr_nonnull(entry);
    simulatedComplete(&kernel, entry->user_data, POLLIN, 0);
    run();
    expectCalls(2, 0, 0);
}

/* §2.9 notice without a copy: when the bytes are accepted, not when the memory is free */
CASE(notice, callsBeforeTheMemoryIsFree)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    transmitBuffer(LARGE);
    ask();
    run();
    expectSend(1, IORING_OP_SEND_ZC, 0, LARGE);
    simulatedComplete(&kernel, sends[0].owner, LARGE, IORING_CQE_F_MORE);
    run();
    expectCalls(1, 0, 0);
    simulatedComplete(&kernel, sends[0].owner, 0, IORING_CQE_F_NOTIF);
    run();
    expectCalls(1, 0, 0);
}

/* Of a file whatever it takes. */
CASE(notice, callsForAFile)
{
    openRegular();
    transmit(SMALL, 0);
    ask();
    transmit(SMALL, 0);
    run();
    expectSend(1, IORING_OP_WRITEV, 0, 2 * SMALL);
    complete(0, 2 * SMALL, 0);
    expectCalls(1, 0, 0);
}

/* ---- datagrams ---- */

static void transmitTo(unsigned port, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    ck_assert_int_eq(TransmitFastSocketData(self, (struct sockaddr*)&address, sizeof(address),
                                            bytes + queued, size, 0),
                     0);
    queued += size;
}

/* §2.9 notice of datagrams: in the order of the queue, whatever comes first */
CASE(notice, keepsTheOrderOfDatagrams)
{
    openDatagram(0, 0);
    for (unsigned index = 0; index < 3; index++) {
        transmitTo(1000 + index, SMALL);
        ask();
    }
    run();
    ck_assert_uint_eq(sendCount, 3); /* none waits for the one before it */
    complete(2, SMALL, 0);
    complete(1, SMALL, 0);
    expectCalls(0, 0, 0);
    complete(0, SMALL, 0);
    expectCalls(3, 0, 0);
}

/* §2.9 notice of datagrams: one that is lost is told to the first who waits for it, and to no
 * other; this one is of AF_UNIX, where a refusal is certain at once */
CASE(notice, tellsWhichDatagramIsLost)
{
    openDatagram(0, 0);
    self->traits |= FAST_TRAIT_LOCAL;
    for (unsigned index = 0; index < 4; index++) {
        transmitTo(1000 + index, SMALL);
        if (index != 0)
            ask();
    }
    run();
    complete(2, -ECONNREFUSED, 0);
    ck_assert_int_eq(failed, 1);
    expectCalls(0, 0, 0);
    complete(3, SMALL, 0);
    complete(0, SMALL, 0);
    complete(1, SMALL, 0);
    expectCalls(3, 3, 0);
    for (int index = 0; index < 3; index++)
        ck_assert_int_eq(calls[index].result, index == 1 ? ECONNREFUSED : 0);
}

/* What goes to one destination together is as far as the one who asks wants it. */
CASE(notice, endsARun)
{
    openDatagram(0, 0);
    for (int index = 0; index < 8; index++) {
        transmitTo(1000, SMALL);
        if (index == 3)
            ask();
    }
    run();
    ck_assert_uint_eq(sendCount, 2);
    ck_assert_uint_eq(sends[0].bytes, 4 * SMALL);
    complete(0, 4 * SMALL, 0);
    expectCalls(1, 0, 0);
    complete(1, 4 * SMALL, 0);
    expectCalls(1, 0, 0);
}

/* A run that is taken apart is over with its last datagram, also where memory lacks for some. */
CASE_ROUNDS(notice, waitsForAllOfARun, 3)
{
    openDatagram(0, 0);
    int one = 1;
    ck_assert_int_eq(setsockopt(self->handle, IPPROTO_UDP, UDP_CORK, &one, sizeof(one)), 0);
    for (int index = 0; index < 4; index++)
        transmitTo(1000, SMALL);
    ask();
    if (round > 0)
        failCall(&memory, round);
    unsigned sent = 0;
    for (int turns = 0; turns < 8 && drained == 0; turns++) {
        run();
        failNoCall(&memory);
        for (; sent < sendCount; sent++) {
            expectCalls(0, 0, 0);
            complete(sent, (int)sends[sent].bytes, 0);
        }
    }
    ck_assert_uint_eq(sent, 4);
    expectCalls(1, 0, 0);
}

/* ---- what is dropped ---- */

/* §2.9 notice of an error: behind what was accepted before, and for all that waits */
CASE(notice, tellsAnError)
{
    openStream(0);
    for (int index = 0; index < 3; index++) {
        transmit(SMALL, 0);
        ask();
    }
    run();
    complete(0, SMALL, 0);
    expectCalls(1, 0, 0);
    complete(1, -ECONNRESET, 0);
    expectCalls(3, 1, ECONNRESET);
    ck_assert_int_eq(NotifyFastSocketTransmit(self, onNotice, NULL), -EPIPE);
    run();
    expectCalls(3, 1, ECONNRESET);
}

/* §2.9 notice at a release, §2.9 notice at an abort: within the next turn, whatever is in flight or
 * still sent */
CASE_ROUNDS(notice, tellsTheEnd, 4)
{
    openStream(0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_LINGER_TIMEOUT, 0), 0);
    transmit(SMALL, 0);
    ask();
    if (round & 1)
        run();
    ask();
    uint64_t before = turn();
    if (round & 2)
        AbortFastSocket(self);
    else
        ReleaseFastSocket(self);
    self = NULL;
    expectCalls(0, 0, 0);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    expectCalls(2, 0, ECANCELED);
    ck_assert_uint_eq(calls[0].turn, before + 1);
    run();
    if (sendCount > 0 && !(round & 2))
        complete(0, SMALL, 0); /* nobody hears of it */
    run();
    expectCalls(2, 0, ECANCELED);
}

/* What is accepted before the release is told as accepted. */
CASE(notice, tellsWhatWasAcceptedBeforeTheEnd)
{
    openStream(0);
    ask();
    AbortFastSocket(self);
    self = NULL;
    run();
    expectCalls(1, 0, 0);
}

static void releaseSelf(struct FastSocket* socket, int result, void* closure)
{
    onNotice(socket, result, closure);
    AbortFastSocket(socket);
    self = NULL;
}

/* §2.9 notice in a callback: a release there ends those that are still waiting, once each */
CASE(notice, releasesInACall)
{
    openStream(0);
    transmit(SMALL, 0);
    ck_assert_int_eq(NotifyFastSocketTransmit(self, releaseSelf, (void*)0), 0);
    asked = 1;
    ask();
    transmit(SMALL, 0);
    ask();
    run();
    complete(0, SMALL, 0);
    run();
    ck_assert_int_eq(callCount, 3);
    ck_assert_int_eq(calls[0].result, 0);
    ck_assert_int_eq(calls[1].result, 0); /* it was over, too */
    ck_assert_int_eq(calls[2].result, ECANCELED);
}

static void askAgain(struct FastSocket* socket, int result, void* closure)
{
    onNotice(socket, result, closure);
    if (callCount < 5)
        ck_assert_int_eq(NotifyFastSocketTransmit(socket, askAgain, (void*)(intptr_t)callCount), 0);
}

/* §2.9 notice in a callback: the next one's turn is the next */
CASE(notice, asksInACall)
{
    openStream(0);
    uint64_t before = turn();
    ck_assert_int_eq(NotifyFastSocketTransmit(self, askAgain, (void*)0), 0);
    for (int turns = 0; turns < 5; turns++) {
        expectCalls(turns, 0, 0);
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    }
    expectCalls(5, 0, 0);
    for (int index = 0; index < 5; index++)
        ck_assert_uint_eq(calls[index].turn, before + 1 + (uint64_t)index);
}

/* §2.9 notice without memory: nothing is lost */
CASE(notice, lacksMemory)
{
    openStream(0);
    transmit(SMALL, 0);
    ask();
    failEveryCall(&memory);
    int result = NotifyFastSocketTransmit(self, onNotice, NULL);
    /* the pool may have one at hand */
    for (int index = 0; index < SOME && result == 0; index++) {
        asked++;
        result = NotifyFastSocketTransmit(self, onNotice, (void*)(intptr_t)asked);
    }
    failNoCall(&memory);
    ck_assert_int_eq(result, -ENOMEM);
    int accepted = asked;
    callCount = 0;
    run();
    complete(0, SMALL, 0);
    ck_assert_int_ge(callCount, accepted);
    ck_assert_int_eq(drained, 1);
}
