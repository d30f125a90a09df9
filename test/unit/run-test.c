/*
 * Runs of datagrams: what goes together, in which order, and what becomes of answers that no kernel
 * gives when it is asked to.
 */
#include "sending.h"

#include "socket/run.h"

#include <linux/net_tstamp.h>

enum
{
    RUN = 64,        /* datagrams that go together */
    TRIES = 4,       /* of what fails, until it is believed */
    PORT = 1000,
    MANY = 5000,     /* destinations */
};

static struct Countdown tables;
static struct Countdown memory; /* of a pool's */
static int questions;           /* to the descriptor, about options */

FAILING_CALL(&tables, NULL, void*, calloc, (size_t count, size_t size), (count, size))

FAILING_CALL(&memory, NULL, struct FastBuffer*, FastPoolAllocateAnyhow,
             (struct FastBufferPool* pool, size_t size), (pool, size))

int __real_FastSystemGetNumber(int handle, int level, int option, int* value);
int __wrap_FastSystemGetNumber(int handle, int level, int option, int* value);

int __wrap_FastSystemGetNumber(int handle, int level, int option, int* value)
{
    questions += option == UDP_SEGMENT; /* one of several */
    return __real_FastSystemGetNumber(handle, level, option, value);
}

AREA(run, "run", .open = openSending, .close = closeSending);

/* ---- transmitting ---- */

static void transmitTo(unsigned port, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(TransmitFastSocketData(self, (struct sockaddr*)&address, sizeof(address),
                                            bytes + queued, size, 0),
                     0);
    queued += size;
}

static void transmitMany(unsigned count, size_t size)
{
    for (unsigned number = 0; number < count; number++)
        transmit(size, 0);
}

static void answer(unsigned number, int result)
{
    simulatedComplete(&kernel, sends[number].owner, result, 0);
}

/* One of several sends: so many datagrams of a size, the last perhaps shorter. */
static void expectRun(unsigned number, uint16_t segment, size_t size, bool linked)
{
    ck_assert_uint_lt(number, sendCount);
    ck_assert_uint_eq(sends[number].segment, segment);
    ck_assert_uint_eq(sends[number].bytes, size);
    ck_assert_int_eq(sends[number].linked, linked);
}

/* Tried so often, in case that the errno was another's. */
static void refuse(unsigned first, int error, unsigned tries)
{
    for (unsigned number = first; number < first + tries; number++) {
        ck_assert_uint_eq(sendCount, number + 1);
        complete(number, -error, 0);
    }
}

static struct FastSocketStatistics statisticsOf(void)
{
    struct FastSocketStatistics statistics;
    ck_assert_int_eq(GetFastSocketStatistics(self, &statistics, sizeof(statistics)), 0);
    return statistics;
}

/* ---- what goes together ---- */

CASE(run, joinsEqualDatagrams)
{
    openDatagram(0, 0);
    transmitMany(5, SMALL);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    run();
    expectSend(1, IORING_OP_SENDMSG, 0, 5 * SMALL);
    expectRun(0, SMALL, 5 * SMALL, false);
    ck_assert_int_eq(sends[0].flags, MSG_NOSIGNAL);
    ck_assert_uint_eq(sends[0].count, 1);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 5 * SMALL);
    complete(0, 5 * SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    ck_assert_uint_eq(statisticsOf().sentBytes, 5 * SMALL);
    ck_assert_uint_eq(statisticsOf().sentOperations, 1);
}

CASE(run, endsWithAShorterOne)
{
    openDatagram(0, 0);
    transmitMany(2, SMALL);
    transmit(SMALL - 1, 0);
    transmit(SMALL - 1, 0);
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sendCount, 3);
    expectRun(0, SMALL, 3 * SMALL - 1, true);
    expectRun(1, 0, SMALL - 1, true);
    expectRun(2, 0, SMALL, false);
}

/* An empty one would vanish among others. */
CASE(run, leavesEmptyOnesAlone)
{
    openDatagram(0, 0);
    transmit(SMALL, 0);
    transmit(0, 0);
    transmit(0, 0);
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sendCount, 4);
    for (unsigned number = 0; number < 4; number++)
        expectRun(number, 0, number % 3 == 0 ? SMALL : 0, number < 3);
    for (unsigned number = 0; number < 4; number++)
        answer(number, (int)sends[number].bytes);
    run();
    ck_assert_int_eq(drained, 1);
}

static void answerAll(unsigned first)
{
    for (unsigned number = first; number < sendCount; number++)
        answer(number, (int)sends[number].bytes);
    run();
}

/* At first there is little room for others behind one. */
static unsigned transmitOften(unsigned count, size_t size)
{
    unsigned first = 0;
    for (unsigned burst = 0; burst < 4; burst++) {
        answerAll(first);
        first = sendCount;
        queued = 0;
        transmitMany(count, size);
        run();
    }
    return first;
}

CASE_ROUNDS(run, hasABound, 2)
{
    unsigned most = round == 0 ? RUN : 65000 / 1400;
    size_t size = round == 0 ? SMALL : 1400;
    openDatagram(0, 0);
    unsigned first = transmitOften(most + 1, size);
    ck_assert_uint_eq(sendCount, first + 2);
    expectRun(first, (uint16_t)size, most * size, true);
    expectRun(first + 1, 0, size, false);
}

CASE(run, keepsTheUsersLimit)
{
    openDatagram(0, 3);
    transmitMany(6, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 1);
    expectRun(0, SMALL, 3 * SMALL, false);
    complete(0, 3 * SMALL, 0);
    ck_assert_uint_eq(sendCount, 2);
    expectRun(1, SMALL, 3 * SMALL, false);
}

CASE(run, copiesSmallBuffers)
{
    openDatagram(0, 0);
    transmit(SMALL, 0);
    transmitBuffer(SMALL);
    transmitBuffer(SMALL);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    transmitBuffer(LARGE);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 3);
    run();
    ck_assert_uint_eq(sendCount, 2);
    expectRun(0, SMALL, 3 * SMALL, true);
    expectSend(2, IORING_OP_SEND, 3 * SMALL, LARGE);
}

/* §2.4 Message control data: of the user's, with nobody else */
CASE(run, leavesControlDataAlone)
{
    openDatagram(0, 0);
    transmit(SMALL, 0);
    transmitControl(SMALL, IPPROTO_IP, IP_TTL, 0);
    transmitControl(SMALL, IPPROTO_IP, IP_TTL, 0);
    transmitMany(3, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 4);
    expectRun(0, 0, SMALL, true);
    expectRun(1, 0, SMALL, true);
    expectRun(2, 0, SMALL, true);
    expectRun(3, SMALL, 3 * SMALL, false);
    ck_assert_uint_eq(sends[1].controlLength, CMSG_SPACE(sizeof(int)));
}

CASE(run, joinsEqualFlagsOnly)
{
    openDatagram(0, 0);
    transmit(SMALL, 0);
    for (unsigned number = 0; number < 3; number++)
        transmit(SMALL, MSG_DONTROUTE);
    run();
    ck_assert_uint_eq(sendCount, 2);
    expectRun(0, 0, SMALL, true);
    expectRun(1, SMALL, 3 * SMALL, false);
    ck_assert_int_eq(sends[1].flags, MSG_NOSIGNAL | MSG_DONTROUTE);
}

/* Where sends without a copy are asked for, from a size on. */
CASE(run, leavesLoansAlone)
{
    openDatagram(FASTSOCKET_MODE_ZERO_COPY, 0);
    transmitMany(2, LARGE);
    transmitMany(3, SMALL);
    run();
    expectSend(1, IORING_OP_SEND_ZC, 0, LARGE);
    complete(0, LARGE, 0);
    ck_assert_uint_eq(sendCount, 2);
    complete(1, LARGE, 0);
    ck_assert_uint_eq(sendCount, 3);
    expectRun(2, SMALL, 3 * SMALL, false);
}

/* ---- order ---- */

CASE(run, sortsByDestination)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < 9; number++)
        transmitTo(PORT + number % 3, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 3);
    for (unsigned number = 0; number < 3; number++) {
        expectRun(number, SMALL, 3 * SMALL, false);
        ck_assert_uint_eq(sends[number].port, PORT + number);
        for (unsigned part = 0; part < 3; part++)
            ck_assert_mem_eq((uint8_t*)sends[number].parts[0].iov_base + part * SMALL,
                             bytes + (part * 3 + number) * SMALL, SMALL);
    }
}

/* Only what goes to the same destination is linked. */
CASE(run, linksByDestination)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < 9; number++)
        transmitTo(PORT + number % 3, SMALL + number);
    run();
    ck_assert_uint_eq(sendCount, 9);
    for (unsigned number = 0; number < 9; number++) {
        expectRun(number, 0, SMALL + number / 3 + number % 3 * 3, number % 3 < 2);
        ck_assert_uint_eq(sends[number].port, PORT + number / 3);
    }
}

/* One destination waits for nobody else's failure, and is not sent past its own. */
CASE(run, keepsOrderAfterAFailure)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < 4; number++)
        transmitTo(PORT + number % 2, SMALL + number);
    run();
    ck_assert_uint_eq(sendCount, 4);
    answer(0, -EAGAIN);
    answer(1, -ECANCELED);
    answer(2, SMALL + 1);
    answer(3, SMALL + 3);
    run();
    ck_assert_uint_eq(sendCount, 6);
    expectRun(4, 0, SMALL, true);
    expectRun(5, 0, SMALL + 2, false);
    answer(4, SMALL);
    answer(5, SMALL + 2);
    run();
    ck_assert_int_eq(drained, 1);
}

/* What is queued behind one that waits for room goes with it. */
CASE(run, growsWhileItWaits)
{
    openDatagram(0, 0);
    transmitMany(3, SMALL);
    run();
    transmit(SMALL, 0); /* what is in flight doesn't change */
    run();
    ck_assert_uint_eq(sendCount, 1);
    complete(0, -EAGAIN, 0);
    ck_assert_uint_eq(sendCount, 3);
    expectRun(1, SMALL, 3 * SMALL, true);
    expectRun(2, 0, SMALL, false);
}

/* The same destination may be written in several ways. */
CASE(run, knowsADestinationByItsMeaning)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(&mapped.sin6_addr.s6_addr[10], 0xff, 2);
    memcpy(&mapped.sin6_addr.s6_addr[12], &address.sin_addr, 4);
    openDatagram(0, 0);
    transmitTo(PORT, SMALL);
    transmitTo(PORT + 1, SMALL);
    address.sin_zero[3] = 1;
    ck_assert_int_eq(TransmitFastSocketData(self, (struct sockaddr*)&address, sizeof(address),
                                            bytes, SMALL, 0),
                     0);
    ck_assert_int_eq(TransmitFastSocketData(self, (struct sockaddr*)&mapped, sizeof(mapped),
                                            bytes, SMALL, 0),
                     0);
    run();
    ck_assert_uint_eq(sendCount, 4);
    expectRun(0, 0, SMALL, true);
    expectRun(1, 0, SMALL, true);
    expectRun(2, 0, SMALL, false);
    expectRun(3, 0, SMALL, false);
    ck_assert_uint_eq(sends[3].port, PORT + 1);
}

/* Whether a datagram without an address goes to the same place, nobody can say. */
CASE(run, keepsTheOrderOfUnknownDestinations)
{
    struct sockaddr unknown = {.sa_family = AF_UNSPEC};
    openDatagram(0, 0);
    transmitTo(PORT, SMALL);
    transmit(SMALL, 0);
    ck_assert_int_eq(TransmitFastSocketData(self, &unknown, sizeof(unknown), bytes, SMALL, 0), 0);
    transmitTo(PORT, SMALL);
    for (unsigned number = 0; number < 4; number++) {
        run();
        unsigned first = sendCount;
        ck_assert_uint_ge(first, number + 1);
        for (unsigned sent = number; sent < first; sent++)
            expectRun(sent, 0, SMALL, sent + 1 < first);
        for (unsigned sent = number; sent < first; sent++)
            answer(sent, SMALL);
        number = first - 1;
    }
    run();
    ck_assert_uint_eq(sendCount, 4);
    ck_assert_int_eq(drained, 1);
}

/* §2.4 flags (send): pieces of one datagram keep their place among all */
CASE(run, keepsPiecesInTheirPlace)
{
    openDatagram(0, 0);
    transmitTo(PORT, SMALL);
    transmit(SMALL, MSG_MORE);
    transmit(SMALL, 0);
    transmitMany(3, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 1);
    complete(0, SMALL, 0);
    ck_assert_uint_eq(sendCount, 3);
    expectRun(1, 0, SMALL, true);
    expectRun(2, 0, SMALL, false);
    ck_assert_int_eq(sends[1].flags, MSG_NOSIGNAL | MSG_MORE);
    answer(1, SMALL);
    answer(2, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 4);
    expectRun(3, SMALL, 3 * SMALL, false);
}

/* … and nothing behind them goes before them, whoever it goes to. */
CASE(run, passesNoPiece)
{
    openDatagram(0, 0);
    transmitTo(PORT, SMALL);
    transmitTo(PORT + 1, SMALL);
    transmit(SMALL, MSG_MORE);
    transmit(SMALL, 0);
    transmitTo(PORT, SMALL);
    transmitTo(PORT + 1, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 2);
    expectRun(0, 0, SMALL, false);
    expectRun(1, 0, SMALL, false);
    answerAll(0);
    ck_assert_uint_eq(sendCount, 4);
    answerAll(2);
    ck_assert_uint_eq(sendCount, 6);
    ck_assert_uint_eq(sends[4].port, PORT);
    ck_assert_uint_eq(sends[5].port, PORT + 1);
}

/* … also when the first one has gone already. */
CASE(run, knowsThatAPieceWasSent)
{
    openDatagram(0, 0);
    transmit(SMALL, MSG_MORE);
    run();
    complete(0, SMALL, 0);
    transmitMany(2, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 2);
    expectRun(1, 0, SMALL, false);
}

/* ---- what the user has set ---- */

static void setOnDescriptor(int level, int option, int value)
{
    ck_assert_int_eq(setsockopt(GetFastSocketHandle(self), level, option, &value, sizeof(value)),
                     0);
}

/* Whatever of it the test sets, and whenever: all go in the same turn, one behind the other. */
static void respectAll(int level, int option, int value)
{
    openDatagram(0, 0);
    unsigned first = transmitOften(5, SMALL);
    expectRun(first, SMALL, 5 * SMALL, false);
    answerAll(first);
    for (unsigned burst = 0; burst < 3; burst++) {
        first = sendCount;
        queued = 0;
        questions = 0;
        if (burst == 0)
            setOnDescriptor(level, option, value);
        transmitMany(5, SMALL);
        run();
        ck_assert_int_le(questions, burst == 0); /* who has set it once may do so again */
        ck_assert_uint_eq(sendCount, first + 5);
        for (unsigned number = 0; number < 5; number++) {
            expectRun(first + number, 0, SMALL, number < 4);
            ck_assert_mem_eq(sends[first + number].parts[0].iov_base, bytes + number * SMALL,
                             SMALL);
        }
        answerAll(first);
    }
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 0);
}

CASE(run, respectsACork)
{
    respectAll(IPPROTO_UDP, UDP_CORK, 1);
}

CASE(run, respectsASegment)
{
    respectAll(IPPROTO_UDP, UDP_SEGMENT, SMALL / 2);
}

CASE(run, respectsTimeStamps)
{
    respectAll(SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SOFTWARE);
}

/* Those of what is received are no hindrance. */
CASE(run, joinsInSpiteOfReceivedStamps)
{
    openDatagram(0, 0);
    setOnDescriptor(SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE);
    transmitMany(5, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 1);
    expectRun(0, SMALL, 5 * SMALL, false);
}

/* … also where the first one to a destination goes alone. */
CASE(run, asksForARunBehindAnother)
{
    openDatagram(0, 0);
    setOnDescriptor(IPPROTO_UDP, UDP_SEGMENT, SMALL / 2);
    transmit(SMALL, 0);
    transmitMany(3, 2 * SMALL);
    run();
    ck_assert_uint_eq(sendCount, 4);
    expectRun(0, 0, SMALL, true);
    for (unsigned number = 1; number < 4; number++)
        expectRun(number, 0, 2 * SMALL, number < 3);
}

/* ---- what is not worth a question ---- */

CASE(run, asksOnceATurn)
{
    openDatagram(0, 0);
    for (unsigned burst = 0; burst < 5; burst++) {
        unsigned first = sendCount;
        questions = 0;
        for (unsigned number = 0; number < 40; number++)
            transmitTo(PORT + number % 4, SMALL);
        run();
        ck_assert_int_eq(questions, 1);
        answerAll(first);
    }
    ck_assert_int_eq(questions, 1);
}

/* One send is not worth the questions, be it saved here or there. */
CASE_ROUNDS(run, asksNothingForFew, 3)
{
    const unsigned joined[] = {1, 2, 3}; /* to the first of some destinations */
    openDatagram(0, 0);
    transmitTo(PORT, SMALL);
    for (unsigned number = 0; number < 4; number++)
        transmitTo(PORT + 1 + number, SMALL);
    for (unsigned number = 1; number < joined[round]; number++)
        transmitTo(PORT, SMALL);
    questions = 0;
    run();
    ck_assert_int_eq(questions, round == 2);
    ck_assert_uint_eq(sendCount, round < 2 ? 4 + joined[round] : 5);
    for (unsigned number = 0; number < sendCount; number++)
        ck_assert_uint_eq(sends[number].segment, round == 2 && number == 0 ? SMALL : 0);
}

/* Of several destinations the sends that are saved count together. */
CASE(run, countsWhatIsSavedAnywhere)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < 4; number++)
        transmitTo(PORT + number % 2, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 2);
    expectRun(0, SMALL, 2 * SMALL, false);
    expectRun(1, SMALL, 2 * SMALL, false);
}

/* What can't go now counts for nothing. */
CASE(run, countsWhatMayGo)
{
    openDatagram(0, 2);
    for (unsigned number = 0; number < 4; number++)
        transmitTo(PORT + number / 2, SMALL);
    questions = 0;
    run();
    ck_assert_int_eq(questions, 0);
    ck_assert_uint_eq(sendCount, 2);
    answerAll(0);
    ck_assert_uint_eq(sendCount, 4);
    ck_assert_int_eq(questions, 0);
}

/* Few are as they would be if they had never been joined: each has its bytes and its destination,
 * what follows stands behind them, and what comes later joins none of them. */
CASE(run, takesFewApart)
{
    openDatagram(0, 0);
    transmitTo(PORT, SMALL);
    transmitTo(PORT + 1, SMALL);
    transmitTo(PORT, SMALL / 2);
    run();
    ck_assert_uint_eq(sendCount, 3);
    expectRun(0, 0, SMALL, true);
    expectRun(1, 0, SMALL / 2, false);
    expectRun(2, 0, SMALL, false);
    ck_assert_uint_eq(sends[1].port, PORT);
    ck_assert_mem_eq(sends[1].parts[0].iov_base, bytes + 2 * SMALL, SMALL / 2);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 2 * SMALL + SMALL / 2);
    for (unsigned number = 0; number < 2; number++)
        transmitTo(PORT, SMALL / 2);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 3 * SMALL + SMALL / 2);
    answerAll(0);
    ck_assert_uint_eq(sendCount, 5);
    expectRun(3, 0, SMALL / 2, true);
    ck_assert_uint_eq(sends[3].port, PORT);
    answerAll(3);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(statisticsOf().sentOperations, 5);
    ck_assert_uint_eq(statisticsOf().sentBytes, 3 * SMALL + SMALL / 2);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* … also with another one behind them, and with one that comes while they are in flight. */
CASE_ROUNDS(run, keepsTheOrderOfWhatIsApart, 2)
{
    unsigned count = round == 0 ? 2 : 3;
    openDatagram(0, 0);
    transmit(SMALL, MSG_MORE); /* what comes now has another epoch */
    transmit(SMALL, 0);
    run();
    answerAll(0);
    sendCount = 0;
    for (unsigned number = 0; number < count; number++)
        transmitTo(PORT, SMALL + number / 2);
    transmitTo(PORT + 1, SMALL);
    run();
    ck_assert_uint_eq(sendCount, count + 1);
    transmitTo(PORT, SMALL + 2);
    answer(0, SMALL);
    answer(1, -EAGAIN);
    if (round == 1)
        answer(2, -ECANCELED);
    answer(count, SMALL);
    run();
    unsigned first = count + 1;
    ck_assert_uint_eq(sendCount, first + count);
    expectRun(first, 0, SMALL, true);
    if (round == 1)
        expectRun(first + 1, 0, SMALL + 1, true);
    expectRun(first + count - 1, 0, SMALL + 2, false);
    answer(first, SMALL);
    for (unsigned number = first + 1; number < first + count; number++)
        answer(number, number == first + 1 ? -EAGAIN : -ECANCELED);
    run();
    ck_assert_uint_eq(sendCount, first + 2 * count - 1);
    expectRun(sendCount - 1, 0, SMALL + 2, false);
}

/* … where they are the last in the queue, too; and as many are expected next time. */
CASE(run, goesOnBehindWhatIsApart)
{
    openDatagram(0, 0);
    transmitMany(2, SMALL);
    run();
    ck_assert_uint_eq(self->outbound->run, 2);
    transmitMany(2, SMALL);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 4 * SMALL);
    answerAll(0);
    ck_assert_uint_eq(sendCount, 4);
    for (unsigned number = 2; number < 4; number++)
        ck_assert_mem_eq(sends[number].parts[0].iov_base, bytes + number * SMALL, SMALL);
    answerAll(2);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* … also one that fails: it alone is lost, and those behind it keep their order. */
CASE(run, losesOneOfFew)
{
    openDatagram(0, 0);
    transmitTo(PORT, SMALL);
    transmitTo(PORT, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 2);
    answer(0, -EPERM);
    answer(1, -ECANCELED);
    run();
    refuse(2, EPERM, TRIES - 1);
    ck_assert_int_eq(failed, 1);
    ck_assert_mem_eq(sends[sendCount - 1].parts[0].iov_base, bytes + SMALL, SMALL);
    complete(sendCount - 1, SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(statisticsOf().failedMessages, 1);
    ck_assert_uint_eq(statisticsOf().sentBytes, SMALL);
}

/* Without memory for messages of their own they go one after the other. */
CASE_ROUNDS(run, takesNoneApartWithoutMemory, 3)
{
    openDatagram(0, 0);
    setOnDescriptor(IPPROTO_UDP, UDP_CORK, 1);
    transmitMany(4, SMALL);
    if (round < 2)
        failCall(&memory, round + 1);
    else
        failEveryCall(&memory);
    unsigned sent = 0;
    for (unsigned turn = 0; turn < 4 && drained == 0; turn++) {
        run();
        failNoCall(&memory);
        for (; sent < sendCount; sent++) {
            expectRun(sent, 0, SMALL, sent + 1 < sendCount);
            ck_assert_mem_eq(sends[sent].parts[0].iov_base, bytes + sent * SMALL, SMALL);
            answer(sent, SMALL);
        }
        if (turn == 0)
            ck_assert_uint_eq(sendCount, 1);
    }
    run();
    ck_assert_uint_eq(sendCount, 4);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* A run that was refused is made again as it was, however few are left: else the socket would never
 * learn that it can't join them. */
CASE(run, makesARefusedRunAgainAsItWas)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < 4; number++)
        transmitTo(PORT + number % 2, SMALL);
    run();
    answer(0, -EIO);
    answer(1, 2 * SMALL);
    run();
    for (unsigned number = 2; number < TRIES + 1; number++) {
        ck_assert_uint_eq(sendCount, number + 1);
        expectRun(number, SMALL, 2 * SMALL, false);
        complete(number, -EIO, 0);
    }
    ck_assert_uint_eq(sendCount, TRIES + 2);
    expectRun(TRIES + 1, 0, SMALL, false);
    complete(TRIES + 1, SMALL, 0);
    ck_assert_uint_eq(self->outbound->joinMax, 0);
    complete(TRIES + 2, SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_int_eq(failed, 0);
}

/* … and one that must be taken apart then has met nothing: what it was refused for is told to
 * nobody. An earlier one's errno is, once. */
CASE_ROUNDS(run, forgetsARefusalApart, 2)
{
    openDatagram(0, 0);
    transmitMany(4, SMALL);
    run();
    setOnDescriptor(SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SOFTWARE);
    complete(0, round == 0 ? -EINVAL : -ECONNREFUSED, 0);
    for (unsigned number = 1; number < sendCount; number++)
        complete(number, SMALL, 0);
    ck_assert_uint_eq(sendCount, 5);
    ck_assert_int_eq(drained, 1);
    ck_assert_int_eq(failed, round);
}

CASE(run, needsTheTrait)
{
    openDatagram(0, 0);
    self->traits &= ~(uint32_t)FAST_TRAIT_JOINS;
    transmitMany(3, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 3);
    for (unsigned number = 0; number < 3; number++)
        expectRun(number, 0, SMALL, number < 2);
}

/* A burst to one destination is no reason to expect one to each of many others. */
CASE_ROUNDS(run, expectsFewBursts, 2)
{
    const size_t sizes[] = {1400, 32};
    const unsigned counts[] = {100, MANY};
    openDatagram(0, 0);
    answerAll(transmitOften(RUN, sizes[round]));
    queued = 0;
    size_t before = FastPoolMemory(outbound);
    for (unsigned number = 0; number < counts[round]; number++)
        transmitTo(PORT + number, sizes[round]);
    ck_assert_uint_lt(FastPoolMemory(outbound) - before, (1 << 20) + counts[round] * 1024);
}

/* ---- failures ---- */

/* Joining alone was refused: nothing is lost, and the user hears of nothing. */
CASE_ROUNDS(run, sendsOneByOneWhatCantBeJoined, 3)
{
    const int errors[] = {EINVAL, EMSGSIZE, EIO};
    const size_t most[] = {SMALL / 2, SMALL - 1, 0};
    openDatagram(0, 0);
    transmitMany(2, SMALL);
    transmit(SMALL - 1, 0);
    run();
    refuse(0, errors[round], TRIES);
    for (unsigned number = TRIES; number < TRIES + 3; number++) {
        ck_assert_uint_eq(sendCount, number + 1);
        expectRun(number, 0, number < TRIES + 2 ? SMALL : SMALL - 1, false);
        ck_assert_mem_eq(sends[number].parts[0].iov_base, bytes + (number - TRIES) * SMALL,
                         sends[number].bytes);
        complete(number, (int)sends[number].bytes, 0);
    }
    ck_assert_int_eq(drained, 1);
    ck_assert_int_eq(failed, 0);
    ck_assert_uint_eq(statisticsOf().failedMessages, 0);
    ck_assert_uint_eq(statisticsOf().sentBytes, 3 * SMALL - 1);
    ck_assert_uint_eq(self->outbound->joinMax, most[round]);
}

/* What no joining gives came from the destination, however often (ICMP): the socket goes on to
 * join, also what was sent one by one. */
CASE_ROUNDS(run, blamesNoJoiningForAnAnswer, 2)
{
    const int errors[] = {ENOPROTOOPT, EOPNOTSUPP};
    openDatagram(0, 0);
    transmitMany(3, SMALL);
    run();
    refuse(0, errors[round], TRIES);
    for (unsigned number = 0; number < 3; number++)
        complete(TRIES + number, SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(self->outbound->joinMax, UINT16_MAX);
    transmitMany(3, SMALL);
    run();
    ck_assert_uint_eq(sendCount, TRIES + 4);
    expectRun(TRIES + 3, SMALL, 3 * SMALL, false);
}

/* … nor when another's errno comes in between, which is told. */
CASE_ROUNDS(run, hidesWhatCantBeJoined, 4)
{
    const int errors[] = {EINVAL, EMSGSIZE, EIO, ENOPROTOOPT};
    openDatagram(0, 0);
    transmitMany(3, SMALL);
    run();
    complete(0, -errors[round], 0);
    complete(1, -ECONNREFUSED, 0);
    while (sends[sendCount - 1].segment != 0)
        complete(sendCount - 1, -errors[round], 0);
    unsigned all = sendCount + 3;
    while (sendCount < all && drained == 0)
        complete(sendCount - 1, SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_int_eq(failed, round < 3 ? 1 : 2); /* no joining gives that one */
    ck_assert_int_eq(failure, ECONNREFUSED);
}

/* What a datagram that is alone has met may have been an earlier one's, and is told. */
CASE(run, tellsWhatASingleOneHasMet)
{
    openDatagram(0, 0);
    transmit(SMALL, 0);
    run();
    questions = 0;
    complete(0, -EMSGSIZE, 0);
    complete(1, -ECONNREFUSED, 0);
    ck_assert_int_eq(questions, 0);
    ck_assert_int_eq(failure, EMSGSIZE);
    complete(2, SMALL, 0);
    ck_assert_int_eq(failure, ECONNREFUSED);
    ck_assert_int_eq(failed, 2);
}

/* What is refused once is not tried again, whatever is queued. */
CASE(run, remembersWhatCantBeJoined)
{
    openDatagram(0, 0);
    transmitTo(PORT, SMALL);
    transmitTo(PORT, SMALL);
    transmitTo(PORT + 1, SMALL);
    transmitTo(PORT + 1, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 2);
    answer(0, -EMSGSIZE);
    answer(1, -EMSGSIZE);
    run();
    for (unsigned number = 2; number < 5; number++)
        complete(number, -EMSGSIZE, 0);
    complete(5, SMALL, 0);
    ck_assert_uint_eq(sendCount, 8);
    expectRun(7, 0, SMALL, false); /* of the other one, without being asked again */
    answer(6, SMALL);
    answer(7, SMALL);
    run();
    complete(8, SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_int_eq(failed, 0);
    transmitTo(PORT + 1, SMALL);
    transmitTo(PORT + 1, SMALL);
    for (unsigned number = 0; number < 3; number++)
        transmitTo(PORT + 2, SMALL / 2);
    run();
    ck_assert_uint_eq(sendCount, 12);
    expectRun(9, 0, SMALL, true);
    expectRun(10, 0, SMALL, false);
    expectRun(11, SMALL / 2, SMALL / 2 * 3, false);
}

/* … also of runs that nobody has refused yet. */
CASE(run, sparesOthersTheRefusal)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < 4; number++)
        transmitTo(PORT + number / 2, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 2);
    answer(0, -EIO);
    answer(1, -ECANCELED);
    run();
    for (unsigned number = 2; number < 5; number++)
        complete(number, -EIO, 0);
    complete(5, SMALL, 0);
    ck_assert_uint_eq(sendCount, 8);
    expectRun(6, 0, SMALL, false);
    expectRun(7, 0, SMALL, false);
    ck_assert_uint_eq(sends[7].port, PORT + 1);
}

/* What each alone is refused for was not the joining: the socket goes on to join what goes to
 * others. */
CASE_ROUNDS(run, blamesNoJoiningForADestination, 2)
{
    const int errors[] = {EINVAL, EOPNOTSUPP};
    openDatagram(0, 0);
    for (unsigned number = 0; number < 3; number++)
        transmitTo(PORT, SMALL);
    run();
    for (unsigned row = 0; row < 4; row++) /* together, and each alone */
        refuse(row * TRIES, errors[round], TRIES);
    ck_assert_uint_eq(statisticsOf().failedMessages, 3);
    ck_assert_int_eq(drained, 1);
    for (unsigned number = 0; number < 3; number++)
        transmitTo(PORT + 1, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 4 * TRIES + 1);
    expectRun(4 * TRIES, SMALL, 3 * SMALL, false);
}

/* §2.4 earlier error: told once, and the run that met it is sent */
CASE(run, passesAnEarlierErrorOn)
{
    openDatagram(0, 0);
    transmitMany(3, SMALL);
    run();
    complete(0, -ECONNREFUSED, 0);
    ck_assert_uint_eq(sendCount, 2);
    expectRun(1, SMALL, 3 * SMALL, false);
    complete(1, 3 * SMALL, 0);
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(statisticsOf().failedMessages, 0);
    ck_assert_uint_eq(self->outbound->joinMax, UINT16_MAX);
}

/* What the run has met with is over with it: each alone may meet an earlier one's again. */
CASE(run, doubtsAnewAfterASplit)
{
    openDatagram(0, 0);
    transmitMany(3, SMALL);
    run();
    refuse(0, EIO, TRIES);
    complete(4, -EIO, 0);
    complete(5, SMALL, 0);
    complete(6, SMALL, 0);
    complete(7, SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_int_eq(failed, 1);
    ck_assert_uint_eq(statisticsOf().failedMessages, 0);
}

/* Whose errno it is, tells each alone. */
CASE(run, findsTheOneThatFails)
{
    openDatagram(0, 0);
    transmitMany(3, SMALL);
    run();
    refuse(0, EPERM, TRIES);
    complete(4, SMALL, 0);
    ck_assert_int_eq(failed, 0);
    refuse(5, EPERM, TRIES);
    ck_assert_int_eq(failed, 1);
    ck_assert_uint_eq(sendCount, 10);
    ck_assert_mem_eq(sends[9].parts[0].iov_base, bytes + 2 * SMALL, SMALL);
    complete(9, SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(statisticsOf().failedMessages, 1);
    ck_assert_uint_eq(statisticsOf().sentBytes, 2 * SMALL);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 0);
}

/* What stands behind a run that is sent one by one waits for all of it. */
CASE(run, keepsOrderBehindWhatIsSplit)
{
    openDatagram(0, 0);
    transmitMany(3, SMALL);
    transmit(SMALL + 1, 0);
    run();
    ck_assert_uint_eq(sendCount, 2);
    answer(0, -EIO);
    answer(1, -ECANCELED);
    run();
    for (unsigned number = 2; number < 5; number++)
        complete(number, -EIO, 0);
    ck_assert_uint_eq(sendCount, 6);
    expectRun(5, 0, SMALL, false);
    complete(5, SMALL, 0);
    ck_assert_uint_eq(sendCount, 7);
    expectRun(6, 0, SMALL, false);
    complete(6, SMALL, 0);
    ck_assert_uint_eq(sendCount, 9);
    expectRun(7, 0, SMALL, true);
    expectRun(8, 0, SMALL + 1, false);
}

/* For the vector or the header. */
CASE_ROUNDS(run, goesOnWithoutScratchMemory, 2)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < 3; number++)
        transmitTo(PORT, SMALL);
    failCall(&scratch, round + 1);
    run();
    ck_assert(!isFailureAwaited(&scratch));
    expectSend(1, IORING_OP_SENDMSG, 0, 3 * SMALL);
    expectRun(0, SMALL, 3 * SMALL, false);
}

/* Without memory to know destinations by, all keep the order of the queue. */
CASE(run, goesOnWithoutATable)
{
    openDatagram(0, 0);
    transmitTo(PORT, SMALL);
    failCall(&tables, 1);
    transmitTo(PORT + 1, SMALL);
    ck_assert(!isFailureAwaited(&tables));
    transmitTo(PORT, SMALL);
    for (unsigned number = 0; number < 3; number++) {
        run();
        ck_assert_uint_eq(sendCount, number + 1);
        ck_assert_uint_eq(sends[number].port, number == 1 ? PORT + 1 : PORT);
        answer(number, SMALL);
    }
    run();
    ck_assert_int_eq(drained, 1);
}

/* ---- many destinations ---- */

static void transmitTo6(uint32_t first, uint32_t last)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    memcpy(&address.sin6_addr.s6_addr[8], &first, sizeof(first));
    memcpy(&address.sin6_addr.s6_addr[12], &last, sizeof(last));
    ck_assert_int_eq(TransmitFastSocketData(self, (struct sockaddr*)&address, sizeof(address),
                                            bytes, SMALL, 0),
                     0);
}

/* The longest search for one that isn't there. */
static unsigned longestSearch(void)
{
    unsigned longest = 0;
    for (uint32_t index = 0; index < self->outbound->queue.bucketCount; index++) {
        unsigned steps = 0;
        const struct FastMessage* message = self->outbound->queue.buckets[index];
        for (; message != NULL; message = message->next)
            steps++;
        longest = steps > longest ? steps : longest;
    }
    return longest;
}

/* … and addresses that a hostile peer has chosen are searched for no longer. */
CASE_ROUNDS(run, findsOneOfMany, 2)
{
    openDatagram(0, 0);
    for (uint32_t number = 0; number < MANY; number++)
        transmitTo6(round == 0 ? 0 : number, number);
    ck_assert_uint_le(longestSearch(), 32);
    unsigned before = FastPoolBuffers(outbound);
    for (uint32_t number = 0; number < MANY; number++)
        transmitTo6(round == 0 ? 0 : number, number);
    ck_assert_uint_eq(FastPoolBuffers(outbound), before); /* each was found */
}

CASE(run, goesOnWithoutALargerTable)
{
    openDatagram(0, 0);
    transmitTo6(0, 0);
    transmitTo6(0, 1);
    failCall(&tables, 1);
    for (uint32_t number = 2; number < MANY; number++)
        transmitTo6(0, number);
    ck_assert(!isFailureAwaited(&tables));
    ck_assert_uint_le(longestSearch(), 32);
    unsigned before = FastPoolBuffers(outbound);
    for (uint32_t number = 0; number < MANY; number++)
        transmitTo6(0, number);
    ck_assert_uint_eq(FastPoolBuffers(outbound), before);
}

/* What stands before something that keeps its place is forgotten when it is in the way. */
CASE(run, forgetsWhatIsOfNoUse)
{
    openDatagram(0, 0);
    for (uint32_t round = 0; round < MANY; round++) {
        transmitTo6(0, 1);
        transmitTo6(0, 2);
        transmit(0, MSG_MORE);
        transmit(0, 0);
    }
    transmitTo6(0, 2);
    transmitTo6(0, 1);
    ck_assert_uint_le(longestSearch(), 16);
    ck_assert_uint_le(self->outbound->queue.bucketCount, 64);
}

/* Each of several that are in flight is canceled. */
CASE(run, abortsAll)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < 30; number++)
        transmitTo(PORT + number % 10, SMALL);
    run();
    ck_assert_uint_eq(sendCount, 10);
    transmitTo(PORT, SMALL);
    transmitTo(PORT + 20, SMALL);
}

CASE(run, isSentAfterTheRelease)
{
    openDatagram(0, 0);
    FastSocketHold(self);
    for (unsigned number = 0; number < 4; number++)
        transmitTo(PORT + number % 2, SMALL);
    ReleaseFastSocket(self);
    run();
    ck_assert_uint_eq(sendCount, 2);
    expectRun(0, SMALL, 2 * SMALL, false);
    answer(0, 2 * SMALL);
    answer(1, 2 * SMALL);
    run();
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    FastSocketDrop(self);
    self = NULL;
}
