/*
 * Sends in flight: what entries ask for, and what becomes of answers that no kernel gives when it
 * is asked to.
 */
#include "sending.h"

#include "socket/failure.h"
#include "socket/kind-file-state.h"

AREA(flight, "flight", .open = openSending, .close = closeSending);

/* ---- streams ---- */

CASE(flight, sendsAnItemAsItIs)
{
    openStream(0);
    transmit(SMALL, 0);
    transmit(SMALL, 0);
    run();
    expectSend(1, IORING_OP_SEND, 0, 2 * SMALL);
    ck_assert_int_eq(sends[0].flags, MSG_NOSIGNAL | MSG_WAITALL);
    ck_assert_uint_eq(sends[0].priority, 0);
    complete(0, 2 * SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 0);
}

CASE(flight, gathersItems)
{
    openStream(0);
    transmit(SMALL, 0);
    transmitBuffer(LARGE);
    transmit(SMALL, 0);
    run();
    expectSend(1, IORING_OP_SENDMSG, 0, LARGE + 2 * SMALL);
    ck_assert_uint_eq(sends[0].count, 3);
    ck_assert_int_eq(sends[0].flags, MSG_NOSIGNAL | MSG_WAITALL);
    ck_assert_uint_eq(sends[0].nameLength + sends[0].controlLength, 0);
}

/* One at a time, or the bytes of two would mix. */
CASE(flight, waitsForTheLast)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sendCount, 1);
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SEND, SMALL, SMALL);
    ck_assert_int_eq(drained, 0);
}

CASE(flight, waitsForAllWhereItCan)
{
    openStream(0);
    self->traits &= ~(uint32_t)FAST_TRAIT_WAITS_FOR_ALL;
    transmit(SMALL, MSG_MORE);
    run();
    ck_assert_int_eq(sends[0].flags, MSG_NOSIGNAL | MSG_MORE);
    complete(0, SMALL, 0);
    transmit(SMALL, MSG_OOB);
    run();
    ck_assert_int_eq(sends[1].flags, MSG_NOSIGNAL | MSG_OOB);
}

CASE_ROUNDS(flight, corksWhereItHelps, 2)
{
    openStream(FASTSOCKET_MODE_AUTO_CORK);
    if (round == 1)
        self->traits |= FAST_TRAIT_CORKS;
    transmit(SMALL, 0);
    transmit(SMALL, MSG_OOB);
    run();
    ck_assert_uint_eq(sends[0].bytes, SMALL);
    ck_assert_int_eq((sends[0].flags & MSG_MORE) != 0, round == 1);
}

/* What is left goes on when the kernel's own poll says so. */
CASE(flight, resumesAShortCount)
{
    openStream(0);
    transmit(SMALL, 0);
    transmitBuffer(LARGE);
    run();
    complete(0, SMALL + 5, 0);
    expectSend(2, IORING_OP_SEND, SMALL + 5, LARGE - 5);
    ck_assert_uint_eq(sends[1].priority, IORING_RECVSEND_POLL_FIRST);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), LARGE - 5);
    ck_assert_int_eq(drained, 0);
    complete(1, LARGE - 5, 0);
    ck_assert_int_eq(drained, 1);
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sends[2].priority, 0);
}

/* Control data goes with the first byte, and no neighbour's bytes do. */
CASE(flight, sendsAMessageAlone)
{
    openStream(0);
    transmit(SMALL, 0);
    transmitControl(SMALL, SOL_SOCKET, SCM_RIGHTS, peer);
    transmit(SMALL, 0);
    run();
    expectSend(1, IORING_OP_SEND, 0, SMALL);
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SENDMSG, SMALL, SMALL);
    ck_assert_uint_eq(sends[1].controlLength, CMSG_SPACE(sizeof(int)));
    complete(1, SMALL - 1, 0);
    expectSend(3, IORING_OP_SEND, 2 * SMALL - 1, 1);
    complete(2, 1, 0);
    expectSend(4, IORING_OP_SEND, 2 * SMALL, SMALL);
}

/* ---- a full queue, and no scratch memory ---- */

static unsigned left; /* entries that the queue has room for */
static struct FastTask filler;
static struct FastOperation nothing;

static void ignore(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    (void)operation;
    (void)completion;
}

static bool fillQueue(struct FastTask* task)
{
    (void)task;
    while (FastRingRoom(ring) > left)
        FastRingReserve(ring, &nothing)->opcode = IORING_OP_NOP;
    return true;
}

/* Before the sends that are queued from now on. */
static void leaveRoom(unsigned entries)
{
    left = entries;
    nothing.function = ignore;
    filler.function = fillQueue;
    FastRingDefer(ring, &filler);
}

CASE(flight, goesOnAfterAFullQueue)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    leaveRoom(0);
    transmit(SMALL, 0);
    transmitBuffer(LARGE);
    run();
    expectSend(1, IORING_OP_SENDMSG_ZC, 0, SMALL + LARGE);
    complete(0, SMALL + LARGE, IORING_CQE_F_MORE);
    complete(0, 0, IORING_CQE_F_NOTIF);
}

/* For the vector, or for the header. */
CASE_ROUNDS(flight, goesOnWithoutScratchMemory, 2)
{
    openStream(0);
    transmit(SMALL, 0);
    transmitBuffer(LARGE);
    failCall(&scratch, round + 1);
    run();
    ck_assert(!isFailureAwaited(&scratch));
    expectSend(1, IORING_OP_SENDMSG, 0, SMALL + LARGE);
}

/* §2.4 transient send results: what lacks memory rests. A turn may take longer than that, and is
 * made again then; without the rest it would be sent again in each. */
CASE(flight, restsWithoutMemory)
{
    bool rested = false;
    openStream(0);
    transmit(SMALL, 0);
    run();
    for (int round = 0; round < 100 && !rested; round++) {
        unsigned before = sendCount;
        simulatedComplete(&kernel, sends[before - 1].owner, -ENOBUFS, 0);
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
        rested = sendCount == before;
        while (sendCount == before)
            ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    }
    ck_assert(rested);
    complete(sendCount - 1, SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_int_eq(failed, 0);
}

/* ---- datagrams ---- */

static void expectChain(unsigned first, unsigned count)
{
    ck_assert_uint_eq(sendCount, first + count);
    for (unsigned number = first; number < sendCount; number++)
        ck_assert_int_eq(sends[number].linked, number < sendCount - 1);
}

CASE(flight, linksDatagrams)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < 5; number++)
        transmit(SMALL + number, 0);
    run();
    expectChain(0, 5);
    for (unsigned number = 0; number < 5; number++)
        ck_assert_uint_eq(sends[number].bytes, SMALL + number);
    expectSend(5, IORING_OP_SEND, 4 * SMALL + 6, SMALL + 4);
    for (unsigned number = 0; number < 5; number++)
        complete(number, (int)(SMALL + number), 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(sendCount, 5);
}

/* §2.4 order: records, too: each starts when the one before it was sent */
CASE(flight, linksRecords)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    openSocket(pair[0], 0, 0);
    for (unsigned number = 0; number < 3; number++)
        transmit(SMALL + number, 0);
    run();
    expectChain(0, 3);
    for (unsigned number = 0; number < 3; number++)
        complete(number, (int)(SMALL + number), 0);
    ck_assert_int_eq(drained, 1);
}

/* Those behind one that failed are sent again, in order. */
CASE(flight, sendsCanceledDatagramsAgain)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < 4; number++)
        transmit(SMALL + number, 0);
    run();
    simulatedComplete(&kernel, sends[0].owner, SMALL, 0);
    simulatedComplete(&kernel, sends[1].owner, -EAGAIN, 0);
    simulatedComplete(&kernel, sends[2].owner, -ECANCELED, 0);
    simulatedComplete(&kernel, sends[3].owner, -ECANCELED, 0);
    run();
    expectChain(4, 3);
    for (unsigned number = 4; number < 7; number++)
        ck_assert_uint_eq(sends[number].bytes, SMALL + number - 3);
    ck_assert_uint_eq(sends[4].priority, IORING_RECVSEND_POLL_FIRST);
}

/* Each longer than the last, so that they are not sent together. */
static void transmitSeparate(unsigned count)
{
    for (unsigned number = 0; number < count; number++)
        transmit(1 + number, 0);
}

CASE(flight, boundsAChain)
{
    openDatagram(0, 0);
    transmitSeparate(CHAIN + 10);
    run();
    expectChain(0, CHAIN);
    for (unsigned number = 0; number < CHAIN; number++)
        simulatedComplete(&kernel, sends[number].owner, 1 + (int)number, 0);
    run();
    expectChain(CHAIN, 10);
}

CASE(flight, boundsAChainAsTheUserDid)
{
    openDatagram(0, 3);
    transmitSeparate(5);
    run();
    expectChain(0, 3);
}

/* A chain is not torn in two by a full queue, which would undo the order. */
CASE(flight, endsAChainWithTheQueue)
{
    openDatagram(0, 0);
    leaveRoom(2);
    transmitSeparate(5);
    run();
    expectChain(0, 2);
    simulatedComplete(&kernel, sends[0].owner, 1, 0);
    simulatedComplete(&kernel, sends[1].owner, 2, 0);
    run();
    expectChain(2, 3);
}

/* … and begins behind it, where there is no room at all. */
CASE(flight, beginsAChainAfterAFullQueue)
{
    openDatagram(0, 0);
    leaveRoom(0);
    transmitSeparate(2);
    run();
    expectChain(0, 2);
}

CASE(flight, namesItsReceiver)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    openDatagram(0, 0);
    ck_assert_int_eq(TransmitFastSocketData(self, (struct sockaddr*)&address, sizeof(address),
                                            bytes, SMALL, 0), 0);
    run();
    expectSend(1, IORING_OP_SENDMSG, 0, SMALL);
    ck_assert_uint_eq(sends[0].nameLength, sizeof(address));
    complete(0, -EACCES, 0);
    for (unsigned number = 1; number <= 3; number++) {
        ck_assert_uint_eq(sendCount, number + 1);
        complete(number, -EACCES, 0);
    }
    ck_assert_uint_eq(sendCount, 4); /* its own, after so many */
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(drained, 1);
}

/* ---- cancellations ---- */

static void cancelSend(void)
{
    holdsCancels = true;
    self->outbound->canceling = FAST_SEND_CANCEL_WANTED;
    FastSocketDefer(self, FAST_DUE_SEND);
    run();
    ck_assert_uint_ne(canceler, 0);
}

/* A cancellation in flight must not hit the next send, which has the same owner. */
CASE(flight, waitsForACancellation)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    const struct FastOperation* owner = &self->outbound->flight.operation;
    cancelSend();
    ck_assert_uint_eq(simulatedFind(&kernel, canceler)->addr, (uintptr_t)owner);
    complete(0, SMALL / 2, 0);
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sendCount, 1);
    simulatedComplete(&kernel, canceler, -ENOENT, 0);
    run();
    ck_assert_uint_eq(sendCount, 2);
    ck_assert_mem_eq(sends[1].parts[0].iov_base, bytes + SMALL / 2, SMALL / 2);
    ck_assert(!self->outbound->cutShort);
}

/* … whichever of the two completes first. */
CASE(flight, waitsForTheCanceledSend)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    cancelSend();
    simulatedComplete(&kernel, canceler, 0, 0);
    run();
    ck_assert_uint_eq(sendCount, 1);
    complete(0, -ECANCELED, 0);
    expectSend(2, IORING_OP_SEND, 0, SMALL);
}

/* One that failed is not made again at once, and holds nothing up. */
CASE(flight, passesOverAFailedCancellation)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    cancelSend();
    simulatedComplete(&kernel, canceler, -EALREADY, 0);
    run();
    ck_assert_int_eq(self->outbound->canceling, FAST_SEND_CANCEL_FAILED);
    complete(0, SMALL / 2, 0);
    expectSend(2, IORING_OP_SEND, SMALL / 2, SMALL / 2);
    ck_assert_int_eq(self->outbound->canceling, FAST_SEND_CANCEL_NONE);
}

/* §2.1 POLLERR fatal (stream): of several errnos, before any is told, the first that names a
 * cause */
CASE(flight, tellsTheFirstErrno)
{
    openStream(0);
    FastSocketFail(self, ECANCELED);
    FastSocketFail(self, ETIMEDOUT);
    FastSocketFail(self, ECONNRESET);
    run();
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(failure, ETIMEDOUT);
    ck_assert_int_eq(GetFastSocketError(self), ETIMEDOUT);
}

/* ---- vectors of files ---- */

/* Gathered: the file has a place for so many parts. */
CASE(flight, keepsTheVectorOfAFile)
{
    openRegular();
    for (int part = 0; part < FAST_FILE_PARTS + 2; part++)
        transmitBuffer(LARGE);
    run();
    expectSend(1, IORING_OP_WRITEV, 0, FAST_FILE_PARTS * LARGE);
    complete(0, FAST_FILE_PARTS * LARGE - 1, 0);
    expectSend(2, IORING_OP_WRITEV, FAST_FILE_PARTS * LARGE - 1, 2 * LARGE + 1);
    complete(1, 2 * LARGE + 1, 0);
    ck_assert_int_eq(drained, 1);
}

/* The user's own: our copy of it lives as long as its message. */
CASE(flight, keepsAnOwnVector)
{
    openRegular();
    struct FastBuffer* buffer = AllocateFastBuffer(outbound, 3 * LARGE, 0);
    memcpy(GetFastBufferData(buffer), bytes, 3 * LARGE);
    struct iovec vector[3];
    for (size_t part = 0; part < 3; part++)
        vector[part] = (struct iovec){GetFastBufferData(buffer) + part * LARGE, LARGE};
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, NULL, NULL);
    io_uring_prep_writev(GetFastRingDescriptorSubmission(descriptor), GetFastSocketHandle(self),
                         vector, 3, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, buffer), 0);
    run();
    expectSend(1, IORING_OP_WRITEV, 0, 3 * LARGE);
    complete(0, LARGE + 1, 0);
    expectSend(2, IORING_OP_WRITEV, LARGE + 1, 2 * LARGE - 1);
    complete(1, 2 * LARGE - 1, 0);
    ck_assert_int_eq(drained, 1);
}

/* ---- a ring that ends with operations in the kernel ---- */

static int leaks; /* of the socket's own memory */

void __real_FastRingLeak(const void* memory);
void __wrap_FastRingLeak(const void* memory);

void __wrap_FastRingLeak(const void* memory)
{
    leaks += memory == self;
    __real_FastRingLeak(memory);
}

static int refuse(struct Simulated* unused)
{
    (void)unused;
    return -ENXIO;
}

static void endDisorderly(void)
{
    kernel.refuse = refuse;
    ReleaseFastRing(ring);
    ck_assert(kernel.closed);
    ck_assert_int_eq(leaks, 0); /* it is its user's */
    ReleaseFastSocket(self);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(inbound);
    ReleaseFastBufferPool(outbound);
}

AREA(flightEnd, "flight-end", .open = openSending);

/* A thread of the kernel's may still read the vector. */
CASE(flightEnd, leavesTheVectorOfAFile)
{
    openRegular();
    transmitBuffer(LARGE);
    transmitBuffer(LARGE);
    run();
    expectSend(1, IORING_OP_WRITEV, 0, 2 * LARGE);
    endDisorderly();
    ck_assert_int_eq(leaks, 1);
}

/* What is read goes into buffers, which are another's to leave. */
CASE(flightEnd, leavesNothingOfAReader)
{
    openRegular();
    ck_assert_ptr_nonnull(simulatedFindCode(&kernel, IORING_OP_READ));
    endDisorderly();
    ck_assert_int_eq(leaks, 0);
}
