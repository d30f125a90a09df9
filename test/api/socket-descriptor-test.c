/* TransmitFastSocketDescriptor: the user's own operations in the order of the output. */
#include "fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <liburing.h>
#include <sys/resource.h>
#include <sys/uio.h>

SCENE_AREA(socketDescriptor, "socketDescriptor");

/* A descriptor's own function must not be called when the socket sends it. */
static int refuseCall(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                      int reason)
{
    (void)descriptor;
    (void)completion;
    (void)reason;
    ck_abort_msg("the function of a data descriptor was called");
    return 0;
}

static struct FastRingDescriptor* allocate(void)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, refuseCall,
                                                                       NULL);

    ck_assert_ptr_nonnull(descriptor);
    return descriptor;
}

/* The peer gets the pattern and no more. */
static void expectSent(uint64_t size, uint64_t position)
{
    expectPattern(scene.peer, size, position);
    waitDrained(&scene.ours);
    expectNothing(scene.peer);
}

enum Way
{
    WAY_SEND,
    WAY_SENDMSG,
    WAY_SEND_ZC,
    WAY_SENDMSG_ZC,
    WAY_WRITE,
    WAY_WRITEV,
    WAY_WRITE_FIXED,
    WAY_COUNT,
};

/* Scratch of the descriptor holds header and vectors, as documented. */
static void prepareWay(struct FastRingDescriptor* descriptor, enum Way way,
                       struct FastBuffer* buffer)
{
    struct io_uring_sqe* submission = GetFastRingDescriptorSubmission(descriptor);
    uint8_t* data = GetFastBufferData(buffer);
    size_t size = GetFastBufferLength(buffer);
    size_t room = 0;
    struct msghdr* message = GetFastRingDescriptorData(descriptor, &room);
    struct iovec* vectors = (struct iovec*)(message + 1);

    ck_assert_uint_ge(room, sizeof(*message) + 3 * sizeof(*vectors));
    memset(message, 0, sizeof(*message));
    vectors[0] = (struct iovec){data, size / 3};
    vectors[1] = (struct iovec){data + size / 3, 0};
    vectors[2] = (struct iovec){data + size / 3, size - size / 3};
    message->msg_iov = vectors;
    message->msg_iovlen = 3;
    switch (way) {
    case WAY_SEND:
        io_uring_prep_send(submission, scene.handle, data, size, 0);
        break;
    case WAY_SENDMSG:
        io_uring_prep_sendmsg(submission, scene.handle, message, 0);
        break;
    case WAY_SEND_ZC:
        io_uring_prep_send_zc(submission, scene.handle, data, size, 0, 0);
        break;
    case WAY_SENDMSG_ZC:
        io_uring_prep_sendmsg_zc(submission, scene.handle, message, 0);
        break;
    case WAY_WRITE:
        io_uring_prep_write(submission, scene.handle, data, (unsigned)size, 0);
        break;
    case WAY_WRITE_FIXED:
        io_uring_prep_write_fixed(submission, scene.handle, data, (unsigned)size, 0, 0);
        break;
    default:
        io_uring_prep_writev(submission, scene.handle, vectors, 3, 0);
        break;
    }
}

static void transmitWay(enum Way way, size_t size, uint64_t position)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makePattern(size, position);

    prepareWay(descriptor, way, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
}

/* §2.4 descriptor short count: every opcode, small and with short counts */
CASE(socketDescriptor, sendsEveryOpcode)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        for (enum Way way = 0; way < WAY_COUNT; way++) {
            bool zeroCopy = (way == WAY_SEND_ZC) || (way == WAY_SENDMSG_ZC);
            if (zeroCopy &&
                !(GetFastRingFeatures(scene.ring) & FASTRING_FEATURE_SENDMSG_ZERO_COPY))
                continue;
            openPair(kinds[index]);
            ck_assert_int_eq(
                setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
            transmitWay(way, 10, 0);
            expectSent(10, 0);
            transmitWay(way, 1000000, 10);
            ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 1000000);
            expectSent(1000000, 10);
            ck_assert_int_eq(scene.ours.err, 0);
            ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, 1000010);
            closePair();
        }
    }
}

/* §2.4 TransmitFastSocketDescriptor ownership: SPLICE out of a pipe */
CASE(socketDescriptor, splices)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makePattern(0, 0);
    char data[3000];
    int pipes[2];

    openPair(KIND_TCP);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    fillPattern(data, sizeof(data), 6);
    ck_assert_int_eq(write(pipes[1], data, sizeof(data)), sizeof(data));
    transmitPattern(scene.ours.socket, 6, 0);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, scene.handle,
                         -1, sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
    transmitPattern(scene.ours.socket, 1000, 3006);
    expectSent(4006, 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* A try every ten milliseconds at most, however long the turns take */
static void triesNowAndThen(void)
{
    struct timespec start;
    struct timespec end;
    uint64_t before = readRing(scene.ring).completions;
    int64_t elapsedMs = 0;

    clock_gettime(CLOCK_MONOTONIC, &start);
    runTurns(scene.ring, 2000);
    clock_gettime(CLOCK_MONOTONIC, &end);
    elapsedMs = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
    ck_assert_uint_le(readRing(scene.ring).completions - before, (uint64_t)elapsedMs / 10 + 20);
}

/* SPLICE from a non-blocking pipe that is empty: tried again now and then */
CASE(socketDescriptor, splicesWhenThereIsData)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makePattern(0, 0);
    char data[3000];
    int pipes[2];

    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, scene.handle,
                         -1, sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
    runTurns(scene.ring, 5);
    triesNowAndThen();
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(write(pipes[1], data, sizeof(data)), sizeof(data));
    expectSent(sizeof(data), 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* SPLICE into a non-blocking socket that is full: the kernel does not wait, and neither do we
 * spin */
CASE(socketDescriptor, splicesWhenThereIsRoom)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makePattern(0, 0);
    char data[3000];
    uint64_t position = 0;
    ssize_t size = 0;
    int pipes[2];

    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(fcntl(scene.handle, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    while ((size = send(scene.handle, data, sizeof(data), MSG_DONTWAIT)) > 0)
        position += (uint64_t)size;
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(write(pipes[1], data, sizeof(data)), sizeof(data));
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, scene.handle,
                         -1, sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
    runTurns(scene.ring, 5);
    triesNowAndThen();
    for (uint64_t left = position; left > 0; left -= (uint64_t)size) {
        static char sink[65536];
        size = recv(scene.peer, sink, left < sizeof(sink) ? (size_t)left : sizeof(sink), 0);
        ck_assert_int_gt(size, 0);
    }
    expectSent(sizeof(data), 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* SPLICE that waits for a pipe's input keeps the pipe, whatever becomes of its number. With
 * io_uring a thread of the kernel's takes it when it runs, which can't be seen. */
CASE(socketDescriptor, splicesFromTheFirstPipe)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makePattern(0, 0);
    bool closes = !runsOnUring(scene.ring);
    char data[3000];
    int pipes[2];
    int others[2];

    openPair(KIND_TCP);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(others, O_CLOEXEC), 0);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, scene.handle,
                         -1, sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
    runTurns(scene.ring, 5);
    if (closes)
        ck_assert_int_eq(dup3(others[0], pipes[0], O_CLOEXEC), pipes[0]);
    ck_assert_int_eq(write(others[1], "other", 5), 5);
    runTurns(scene.ring, 5);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(write(pipes[1], data, sizeof(data)), sizeof(data));
    expectSent(sizeof(data), 0);
    for (int index = 0; index < 2; index++) {
        close(pipes[index]);
        close(others[index]);
    }
}

/* A waiting SPLICE may need a descriptor more: where there is none, it is made again later. */
CASE(socketDescriptor, splicesWithoutANumber)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makePattern(0, 0);
    struct rlimit usual;
    char data[3000];
    int pipes[2];

    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
    int lowest = dup(0);
    close(lowest);
    struct rlimit none = {.rlim_cur = (rlim_t)lowest, .rlim_max = usual.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, scene.handle,
                         -1, sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
    runTurns(scene.ring, 20);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(write(pipes[1], data, sizeof(data)), sizeof(data));
    expectSent(sizeof(data), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* §2.4 order: strictly that of the calls across all transmits */
CASE(socketDescriptor, keepsOrder)
{
    unsigned seed = 3;
    uint64_t position = 0;

    openPair(KIND_TCP);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    for (int round = 0; round < 200; round++) {
        size_t size = (size_t)rand_r(&seed) % 30000 + 1;
        int choice = rand_r(&seed) % (WAY_COUNT + 2);
        bool zeroCopy = (choice == WAY_SEND_ZC) || (choice == WAY_SENDMSG_ZC);
        if (zeroCopy && !(GetFastRingFeatures(scene.ring) & FASTRING_FEATURE_SENDMSG_ZERO_COPY))
            choice = WAY_SEND;
        if (choice < WAY_COUNT)
            transmitWay((enum Way)choice, size, position);
        else if (choice == WAY_COUNT)
            transmitPattern(scene.ours.socket, size, position);
        else
            ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                                      makePattern(size, position), 0, size, 0),
                             0);
        position += size;
    }
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), position);
    expectSent(position, 0);
}

static int barrierResult;
static int barrierCalls;
static size_t barrierOutbound;

static int noteBarrier(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                       int reason)
{
    int* received = GetFastRingDescriptorClosure(descriptor);

    ck_assert_int_ne(reason, FASTRING_REASON_RELEASED);
    barrierResult = completion->res;
    barrierCalls++;
    if (received != NULL) {
        char data[64];
        *received += (int)recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);
    }
    barrierOutbound = GetFastSocketOutboundLength(scene.ours.socket);
    return 0;
}

/* §2.4 order: barriers start when everything before was accepted, later sends wait */
CASE(socketDescriptor, waitsAtBarrier)
{
    int received = 0;
    struct FastRingDescriptor* descriptor = NULL;

    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    transmitText(scene.ours.socket, "first");
    descriptor = AllocateFastRingDescriptor(scene.ring, noteBarrier, &received);
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    GetFastRingDescriptorSubmission(descriptor)->fd = scene.handle;
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    transmitText(scene.ours.socket, "second");
    waitCount(scene.ring, &barrierCalls, 1);
    ck_assert_int_eq(barrierResult, 0);
    ck_assert_int_eq(received, 5);
    ck_assert_uint_eq(barrierOutbound, 6);
    waitDrained(&scene.ours);
    expectText(scene.peer, "second");
}

/* §2.4 TransmitFastSocketDescriptor ownership: the flags of a barrier are ours as well: its
 * function is called, and what is sent behind it waits for nothing else */
CASE(socketDescriptor, stripsFlagsOfBarriers)
{
    static const uint8_t flags[] = {IOSQE_IO_LINK, IOSQE_IO_HARDLINK, IOSQE_IO_DRAIN,
                                    IOSQE_CQE_SKIP_SUCCESS};

    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    for (int index = 0; index < 4; index++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, noteBarrier,
                                                                           NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        GetFastRingDescriptorSubmission(descriptor)->fd = scene.handle;
        GetFastRingDescriptorSubmission(descriptor)->flags = flags[index];
        ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
        transmitText(scene.ours.socket, "behind");
        waitCount(scene.ring, &barrierCalls, 1 + index);
        ck_assert_int_eq(barrierResult, 0);
        waitDrained(&scene.ours);
        expectText(scene.peer, "behind");
    }
}

/* §2.4 order: a poll as a barrier that waits for the peer holds back what follows; its failure
 * is its own */
CASE(socketDescriptor, pollsAsBarrier)
{
    struct FastRingDescriptor* descriptor = NULL;

    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    descriptor = AllocateFastRingDescriptor(scene.ring, noteBarrier, NULL);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), scene.handle, POLLIN);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    transmitText(scene.ours.socket, "after");
    runIdle(scene.ring);
    ck_assert_int_eq(barrierCalls, 0);
    expectNothing(scene.peer);
    sendText(scene.peer, "go");
    waitCount(scene.ring, &barrierCalls, 1);
    ck_assert_int_ne(barrierResult & POLLIN, 0);
    waitDrained(&scene.ours);
    expectText(scene.peer, "after");
}

/* §2.4 order: SHUTDOWN as a barrier, in its place */
CASE(socketDescriptor, shutsDownInOrder)
{
    struct FastRingDescriptor* descriptor = NULL;

    openPair(KIND_TCP);
    transmitText(scene.ours.socket, "last words");
    descriptor = AllocateFastRingDescriptor(scene.ring, noteBarrier, NULL);
    io_uring_prep_shutdown(GetFastRingDescriptorSubmission(descriptor), scene.handle, SHUT_WR);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    waitCount(scene.ring, &barrierCalls, 1);
    ck_assert_int_eq(barrierResult, 0);
    expectText(scene.peer, "last words");
    expectEnd(scene.peer);
    ck_assert_int_eq(scene.ours.err, 0);
}

/* barriers: what fails or is refused by the kernel is reported to the function, not to the
 * socket */
CASE(socketDescriptor, keepsFailureToItself)
{
    struct FastRingDescriptor* descriptor = NULL;

    openPair(KIND_TCP);
    descriptor = AllocateFastRingDescriptor(scene.ring, noteBarrier, NULL);
    io_uring_prep_shutdown(GetFastRingDescriptorSubmission(descriptor), scene.handle, 77);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    transmitText(scene.ours.socket, "unharmed");
    waitCount(scene.ring, &barrierCalls, 1);
    ck_assert_int_lt(barrierResult, 0);
    waitDrained(&scene.ours);
    expectText(scene.peer, "unharmed");
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
}

/* barriers without a function, many of them */
CASE(socketDescriptor, runsManyBarriers)
{
    openPair(KIND_TCP);
    for (uint64_t index = 0; index < 100; index++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, NULL,
                                                                           NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        GetFastRingDescriptorSubmission(descriptor)->fd = scene.handle;
        transmitPattern(scene.ours.socket, 100, index * 100);
        ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    }
    expectSent(10000, 0);
}

/* §2.4 order: a command of the socket as a barrier; its result, or that the kernel has none, is
 * the function's */
CASE(socketDescriptor, runsSocketCommand)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, noteBarrier,
                                                                       NULL);
    struct io_uring_sqe* submission = GetFastRingDescriptorSubmission(descriptor);

    openPair(KIND_TCP);
    transmitText(scene.ours.socket, "before");
    io_uring_prep_rw(IORING_OP_URING_CMD, submission, scene.handle, NULL, 0, 0);
    submission->off = 1; /* SIOCOUTQ */
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    transmitText(scene.ours.socket, "behind");
    waitCount(scene.ring, &barrierCalls, 1);
    ck_assert_msg((barrierResult >= 0) || (barrierResult == -EOPNOTSUPP) ||
                      (barrierResult == -EINVAL),
                  "%d", barrierResult);
    ck_assert_uint_eq(barrierOutbound, 6); /* what is behind waits for it */
    waitDrained(&scene.ours);
    expectText(scene.peer, "beforebehind");
    ck_assert_int_eq(scene.ours.err, 0);
}

/* barriers behind output that a fatal error drops: their functions hear of it, once */
CASE(socketDescriptor, cancelsBarrierAtFailure)
{
    openPair(KIND_TCP);
    transmitPattern(scene.ours.socket, 20000000, 0);
    for (int count = 0; count < 3; count++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring,
                                                                           noteBarrier, NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        GetFastRingDescriptorSubmission(descriptor)->fd = scene.handle;
        ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    }
    transmitText(scene.ours.socket, "behind");
    runIdle(scene.ring);
    ck_assert_int_eq(barrierCalls, 0);
    resetPeer();
    waitHangup(&scene.ours);
    waitCount(scene.ring, &barrierCalls, 3);
    runIdle(scene.ring);
    ck_assert_int_eq(barrierCalls, 3);
    ck_assert_int_eq(barrierResult, -ECANCELED);
}

/* release, barriers: one that lasts is canceled, and what is behind it is sent before the reset */
CASE(socketDescriptor, releaseLooksIntoABarrier)
{
    struct FastRingDescriptor* descriptor = NULL;

    barrierCalls = 0;
    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 50);
    descriptor = AllocateFastRingDescriptor(scene.ring, noteBarrier, NULL);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), scene.handle, POLLPRI);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    transmitText(scene.ours.socket, "behind");
    runIdle(scene.ring);
    ReleaseFastSocket(scene.ours.socket);
    waitCount(scene.ring, &barrierCalls, 1);
    ck_assert_int_eq(barrierResult, -ECANCELED);
    runUntil(scene.ring, isNothingPending, scene.ring);
    expectText(scene.peer, "behind");
    expectEnd(scene.peer);
}

static int barrierOrder[3];
static int barrierNumbers[3] = {1, 2, 3};

static int noteOrder(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                     int reason)
{
    (void)completion;
    (void)reason;
    barrierOrder[barrierCalls++] = *(int*)GetFastRingDescriptorClosure(descriptor);
    return 0;
}

/* barriers: those that are dropped are reported in the order in which they were queued */
CASE(socketDescriptor, cancelsBarriersInOrder)
{
    barrierCalls = 0;
    openPair(KIND_TCP);
    transmitPattern(scene.ours.socket, 20000000, 0);
    for (int count = 0; count < 3; count++) {
        struct FastRingDescriptor* descriptor =
            AllocateFastRingDescriptor(scene.ring, noteOrder, &barrierNumbers[count]);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        GetFastRingDescriptorSubmission(descriptor)->fd = scene.handle;
        ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    }
    runIdle(scene.ring);
    AbortFastSocket(scene.ours.socket);
    waitCount(scene.ring, &barrierCalls, 3);
    for (int count = 0; count < 3; count++)
        ck_assert_int_eq(barrierOrder[count], count + 1);
}

/* barriers: one in flight when the connection dies */
CASE(socketDescriptor, endsBarrierInFlight)
{
    struct FastRingDescriptor* descriptor = NULL;

    openPair(KIND_TCP);
    runIdle(scene.ring);
    descriptor = AllocateFastRingDescriptor(scene.ring, noteBarrier, NULL);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), scene.handle, POLLPRI);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    transmitText(scene.ours.socket, "behind");
    runIdle(scene.ring);
    ck_assert_int_eq(barrierCalls, 0);
    resetPeer();
    waitHangup(&scene.ours);
    waitCount(scene.ring, &barrierCalls, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(barrierCalls, 1);
}

/* SPLICE: a pipe that has ended ends the operation alone; one that is none is the socket's
 * failure */
CASE(socketDescriptor, endsSplice)
{
    struct FastRingDescriptor* descriptor = allocate();
    int pipes[2];

    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    ck_assert_int_eq(write(pipes[1], "ab", 2), 2);
    close(pipes[1]);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, scene.handle,
                         -1, 100, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, makePattern(0, 0)),
                     0);
    transmitText(scene.ours.socket, "cd");
    waitDrained(&scene.ours);
    expectText(scene.peer, "abcd");
    ck_assert_int_eq(scene.ours.err, 0);
    close(pipes[0]);

    descriptor = allocate();
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), scene.peer, -1, scene.handle,
                         -1, 100, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, makePattern(0, 0)),
                     0);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, EINVAL);
}

/* §2.4 TransmitFastSocketDescriptor ownership: descriptor and buffer are consumed in every
 * case; ASan tells the rest */
CASE(socketDescriptor, consumesOnError)
{
    struct FastRingDescriptor* descriptor = NULL;
    struct FastBuffer* buffer = NULL;
    struct io_uring_sqe* submission = NULL;
    uint64_t held = 0;

    openPair(KIND_UNIX_STREAM);
    held = liveBuffers();

    /* no descriptor: the buffer is released */
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, NULL, makePattern(10, 0)),
                     -EINVAL);
    ck_assert_uint_eq(liveBuffers(), held);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, NULL, NULL), -EINVAL);

    /* no socket */
    descriptor = allocate();
    buffer = makePattern(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(NULL, descriptor, buffer), -EINVAL);
    ck_assert_uint_eq(liveBuffers(), held);

    /* another file's number */
    descriptor = allocate();
    buffer = makePattern(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    GetFastRingDescriptorSubmission(descriptor)->fd = scene.peer;
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), -EINVAL);
    ck_assert_uint_eq(liveBuffers(), held);

    /* opcodes that are not allowed, or not without, or not with a buffer */
    for (int opcode = 0; opcode < 60; opcode++) {
        bool data = (opcode == IORING_OP_SEND) || (opcode == IORING_OP_SENDMSG) ||
                    (opcode == IORING_OP_SEND_ZC) || (opcode == IORING_OP_SENDMSG_ZC) ||
                    (opcode == IORING_OP_WRITE) || (opcode == IORING_OP_WRITEV) ||
                    (opcode == IORING_OP_WRITE_FIXED) || (opcode == IORING_OP_SPLICE);
        bool barrier = (opcode == IORING_OP_POLL_ADD) || (opcode == IORING_OP_URING_CMD) ||
                       (opcode == IORING_OP_NOP) || (opcode == IORING_OP_SHUTDOWN);
        for (int with = 0; with < 2; with++) {
            if (with ? data : barrier)
                continue;
            descriptor = allocate();
            buffer = makePattern(10, 0);
            prepareWay(descriptor, WAY_SEND, buffer);
            GetFastRingDescriptorSubmission(descriptor)->opcode = (uint8_t)opcode;
            if (!with)
                ReleaseFastBuffer(buffer);
            ck_assert_int_eq(
                TransmitFastSocketDescriptor(scene.ours.socket, descriptor, with ? buffer : NULL),
                -EINVAL);
            ck_assert_uint_eq(liveBuffers(), held);
        }
    }

    /* flags: buffer selection is refused; links and the like are stripped */
    descriptor = allocate();
    buffer = makePattern(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    GetFastRingDescriptorSubmission(descriptor)->flags = IOSQE_BUFFER_SELECT;
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), -EINVAL);
    descriptor = allocate();
    buffer = makePattern(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    submission = GetFastRingDescriptorSubmission(descriptor);
    submission->flags = IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_IO_DRAIN | IOSQE_CQE_SKIP_SUCCESS;
    submission->user_data = 0x1234567812345678;
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
    expectSent(10, 0);
    runIdle(scene.ring);
    ck_assert_uint_eq(liveBuffers(), held);
}

/* §2.4 TransmitFastSocketDescriptor ownership: what holds for all transmits: sizes, addresses,
 * the limit, and the shutdown; consumed all the same */
CASE(socketDescriptor, refusesLikeOtherCalls)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    struct msghdr message = {.msg_name = &address, .msg_namelen = sizeof(address)};
    struct FastRingDescriptor* descriptor = NULL;
    struct FastBuffer* buffer = NULL;
    uint64_t held = 0;

    openPair(KIND_TCP);
    held = liveBuffers();
    descriptor = allocate();
    buffer = makePattern(10, 0);
    io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), scene.handle,
                       GetFastBufferData(buffer), (1u << 30) + 1, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer),
                     -EMSGSIZE);
    ck_assert_uint_eq(liveBuffers(), held);

    descriptor = allocate();
    buffer = makePattern(10, 0);
    io_uring_prep_sendmsg(GetFastRingDescriptorSubmission(descriptor), scene.handle, &message, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), -EISCONN);
    ck_assert_uint_eq(liveBuffers(), held);

    setOption(scene.ours.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 10);
    transmitWay(WAY_SEND, 20, 0);
    descriptor = allocate();
    buffer = makePattern(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), -EAGAIN);
    expectSent(20, 0);
    runIdle(scene.ring);
    ck_assert_uint_eq(liveBuffers(), held);

    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    descriptor = allocate();
    buffer = makePattern(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), -EPIPE);
    ck_assert_uint_eq(liveBuffers(), held);
}

/* §2.4 TransmitFastSocketDescriptor ownership: no header, no vector or more of it than a call
 * takes: consumed all the same */
CASE(socketDescriptor, refusesBadHeaders)
{
    struct iovec vector = {"x", 1};
    struct msghdr endless = {.msg_iov = &vector, .msg_iovlen = IOV_MAX + 1};
    struct msghdr hollow = {.msg_iovlen = 1};
    struct msghdr* const headers[] = {NULL, &endless, &hollow};

    openPair(KIND_TCP);
    uint64_t held = liveBuffers();
    for (size_t index = 0; index < 2 * sizeof(headers) / sizeof(headers[0]); index++) {
        struct FastRingDescriptor* descriptor = allocate();
        struct io_uring_sqe* submission = GetFastRingDescriptorSubmission(descriptor);
        io_uring_prep_sendmsg(submission, scene.handle, headers[index / 2], 0);
        if (index % 2 != 0)
            submission->opcode = IORING_OP_SENDMSG_ZC;
        ck_assert_int_eq(
            TransmitFastSocketDescriptor(scene.ours.socket, descriptor, makePattern(10, 0)),
            -EINVAL);
        ck_assert_uint_eq(liveBuffers(), held);
    }
    struct FastRingDescriptor* descriptor = allocate();
    io_uring_prep_writev(GetFastRingDescriptorSubmission(descriptor), scene.handle, NULL, 1, 0);
    ck_assert_int_eq(
        TransmitFastSocketDescriptor(scene.ours.socket, descriptor, makePattern(10, 0)), -EINVAL);
    ck_assert_uint_eq(liveBuffers(), held);
}

/* §2.4 TransmitFastSocketDescriptor ownership, §2.4 -EMSGSIZE: vectors whose sum is beyond what
 * a size_t holds, and so looks small */
CASE(socketDescriptor, refusesEndlessVectors)
{
    char text[] = "text";
    struct iovec vector[] = {{text, SIZE_MAX / 2}, {text, SIZE_MAX / 2}, {text, 3}};
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = 3};

    openPair(KIND_TCP);
    for (int whole = 0; whole < 2; whole++) {
        struct FastRingDescriptor* descriptor = allocate();
        struct FastBuffer* buffer = makePattern(10, 0);
        if (whole)
            io_uring_prep_sendmsg(GetFastRingDescriptorSubmission(descriptor), scene.handle,
                                  &message, 0);
        else
            io_uring_prep_writev(GetFastRingDescriptorSubmission(descriptor), scene.handle, vector,
                                 3, 0);
        ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer),
                         -EMSGSIZE);
    }
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
}

/* §2.4 TransmitFastSocketDescriptor ownership, §2.4 -EPIPE: after a fatal error, consumed all
 * the same */
CASE(socketDescriptor, consumesOnDeadSocket)
{
    struct FastRingDescriptor* descriptor = NULL;
    struct FastBuffer* buffer = NULL;
    uint64_t held = 0;

    openPair(KIND_TCP);
    resetPeer();
    waitHangup(&scene.ours);
    held = liveBuffers();
    descriptor = allocate();
    buffer = makePattern(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), -EPIPE);
    ck_assert_uint_eq(liveBuffers(), held);
    ck_assert_int_lt(TransmitFastSocketDescriptor(scene.ours.socket, allocate(), NULL), 0);
}

/* §2.4 descriptor of another ring, §2.4 TransmitFastSocketDescriptor ownership: -EXDEV, it is
 * left alone, the buffer released */
CASE(socketDescriptor, refusesForeignDescriptor)
{
    struct Scene other;
    struct FastRingDescriptor* descriptor = NULL;
    struct FastBuffer* buffer = NULL;
    uint64_t held = 0;

    openPair(KIND_TCP);
    sceneOpen(&other, (struct SceneOptions){0});
    held = liveBuffers();
    descriptor = AllocateFastRingDescriptor(other.ring, NULL, NULL);
    buffer = makePattern(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), -EXDEV);
    ck_assert_uint_eq(liveBuffers(), held);
    ck_assert_ptr_eq(GetFastRingDescriptorRing(descriptor), other.ring);
    ReleaseFastRingDescriptor(descriptor);
    sceneClose(&other);
}

static int countCompletions(struct FastRingDescriptor* descriptor,
                            struct io_uring_cqe* completion, int reason)
{
    (void)completion;
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    ++*(int*)GetFastRingDescriptorClosure(descriptor);
    return 1;
}

/* §2.4 TransmitFastSocketDescriptor ownership, §2.4 descriptor of another ring: what is left alone
 * goes on to serve where it belongs */
CASE(socketDescriptor, leavesForeignDescriptorAlone)
{
    struct Scene other;
    int count = 0;

    openPair(KIND_TCP);
    sceneOpen(&other, (struct SceneOptions){0});
    struct FastRingDescriptor* descriptor =
        AllocateFastRingDescriptor(other.ring, countCompletions, &count);
    for (int round = 1; round <= 2; round++) {
        struct FastBuffer* buffer = makePattern(10, 0);
        prepareWay(descriptor, WAY_SEND, buffer);
        ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer),
                         -EXDEV);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
        waitCount(other.ring, &count, round);
    }
    ReleaseFastRingDescriptor(descriptor);
    sceneClose(&other);
}

static int keepAlive(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                     int reason)
{
    (void)descriptor;
    (void)completion;
    (void)reason;
    return 1;
}

/* -EBUSY: a descriptor in flight is left alone */
CASE(socketDescriptor, refusesBusyDescriptor)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, keepAlive,
                                                                       NULL);
    struct FastBuffer* buffer = NULL;
    uint64_t held = 0;

    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), scene.handle, POLLIN);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runTurns(scene.ring, 2);
    held = liveBuffers();
    buffer = makePattern(10, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), -EBUSY);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), -EBUSY);
    ck_assert_uint_eq(liveBuffers(), held);
    ReleaseFastRingDescriptor(descriptor);
    runIdle(scene.ring);
}

/* datagrams: each descriptor one datagram, in order */
CASE(socketDescriptor, sendsDatagrams)
{
    uint8_t data[256];

    openPair(KIND_UNIX_DATAGRAM);
    for (int index = 0; index < 60; index++)
        transmitWay((index % 2) ? WAY_SEND : WAY_SENDMSG, 100 + (size_t)index, (uint64_t)index);
    for (int index = 0; index < 60; index++) {
        while (recv(scene.peer, data, sizeof(data), MSG_DONTWAIT | MSG_PEEK) < 0)
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
        ck_assert_int_eq(recv(scene.peer, data, sizeof(data), 0), 100 + index);
        ck_assert(checkPattern(data, 100 + (size_t)index, (uint64_t)index));
    }
    waitDrained(&scene.ours);
}

/* §2.4 TransmitFastSocketDescriptor ownership: the caller keeps a buffer by holding it;
 * HoldFastBuffer first */
CASE(socketDescriptor, leavesHeldBuffer)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makePattern(5000, 0);

    openPair(KIND_TCP);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_ptr_eq(HoldFastBuffer(buffer), buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
    expectSent(5000, 0);
    ck_assert(checkPattern(GetFastBufferData(buffer), 5000, 0));
    ReleaseFastBuffer(buffer);
}

/* release and abort with descriptors queued and in flight */
CASE(socketDescriptor, releasesQueued)
{
    for (int abort = 0; abort < 2; abort++) {
        openPair(KIND_TCP);
        ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)),
                         0);
        transmitWay(WAY_SEND, 1000000, 0);
        transmitWay(WAY_SENDMSG, 1000000, 1000000);
        runIdle(scene.ring);
        if (abort) {
            AbortFastSocket(scene.ours.socket);
            closePeer();
        } else {
            static uint8_t data[65536];
            uint64_t checked = 0;
            ReleaseFastSocket(scene.ours.socket);
            for (ssize_t size = 1; size != 0;) {
                size = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);
                if (size < 0) {
                    ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
                    continue;
                }
                ck_assert(checkPattern(data, (size_t)size, checked));
                checked += (uint64_t)size;
            }
            ck_assert_uint_eq(checked, 2000000);
            closePeer();
        }
    }
}

/* a barrier that waits when its socket is released or aborted */
CASE(socketDescriptor, releasesWaitingBarrier)
{
    for (int abort = 0; abort < 2; abort++) {
        struct FastRingDescriptor* descriptor = NULL;
        openPair(KIND_UNIX_STREAM);
        setOption(scene.ours.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 0);
        ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
        runIdle(scene.ring);
        descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
        io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), scene.handle, POLLPRI);
        ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
        transmitText(scene.ours.socket, "never");
        runIdle(scene.ring);
        if (abort)
            AbortFastSocket(scene.ours.socket);
        else
            ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        closePeer();
    }
}
