/* TransmitFastSocketDescriptor: its rows of behaviour.md 2.4. */
#include "fixture.h"

#include <fcntl.h>
#include <liburing.h>
#include <sys/uio.h>

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

static void openKind(enum Kind kind)
{
    pairKind(kind, pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
}

static void release(void)
{
    ReleaseFastSocket(recorder.socket);
    if (pair[1] >= 0)
        close(pair[1]);
}

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
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, refuseCall,
                                                                       NULL);

    ck_assert_ptr_nonnull(descriptor);
    return descriptor;
}

static struct FastBuffer* makeBuffer(size_t size, uint64_t position)
{
    struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, size, 0);

    ck_assert_ptr_nonnull(buffer);
    fillPattern(GetFastBufferData(buffer), size, position);
    ck_assert_int_eq(SetFastBufferLength(buffer, size), 0);
    return buffer;
}

/* Reads the pattern from the peer while the ring runs. */
static void expectPattern(uint64_t size, uint64_t position)
{
    static uint8_t data[65536];
    uint64_t checked = 0;

    while (checked < size) {
        ssize_t length = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (length < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert_int_gt(length, 0);
        ck_assert(checkPattern(data, (size_t)length, position + checked));
        checked += (uint64_t)length;
    }
    ck_assert_uint_eq(checked, size);
    waitDrained(&recorder);
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
        io_uring_prep_send(submission, pair[0], data, size, 0);
        break;
    case WAY_SENDMSG:
        io_uring_prep_sendmsg(submission, pair[0], message, 0);
        break;
    case WAY_SEND_ZC:
        io_uring_prep_send_zc(submission, pair[0], data, size, 0, 0);
        break;
    case WAY_SENDMSG_ZC:
        io_uring_prep_sendmsg_zc(submission, pair[0], message, 0);
        break;
    case WAY_WRITE:
        io_uring_prep_write(submission, pair[0], data, (unsigned)size, 0);
        break;
    case WAY_WRITE_FIXED:
        io_uring_prep_write_fixed(submission, pair[0], data, (unsigned)size, 0, 0);
        break;
    default:
        io_uring_prep_writev(submission, pair[0], vectors, 3, 0);
        break;
    }
}

static void transmitWay(enum Way way, size_t size, uint64_t position)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makeBuffer(size, position);

    prepareWay(descriptor, way, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
}

/* §2.4 descriptor short count: every opcode, small and with short counts */
START_TEST(sendsEveryOpcode)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        for (enum Way way = 0; way < WAY_COUNT; way++) {
            bool zeroCopy = (way == WAY_SEND_ZC) || (way == WAY_SENDMSG_ZC);
            if (zeroCopy &&
                !(GetFastRingFeatures(fixture.ring) & FASTRING_FEATURE_SENDMSG_ZERO_COPY))
                continue;
            openKind(kinds[index]);
            ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)),
                             0);
            transmitWay(way, 10, 0);
            expectPattern(10, 0);
            transmitWay(way, 1000000, 10);
            ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 1000000);
            expectPattern(1000000, 10);
            ck_assert_int_eq(recorder.err, 0);
            ck_assert_uint_eq(readSocket(recorder.socket).sentBytes, 1000010);
            release();
        }
    }
}
END_TEST

/* §2.4 TransmitFastSocketDescriptor ownership: SPLICE out of a pipe */
START_TEST(splices)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makeBuffer(0, 0);
    char data[3000];
    int pipes[2];

    openKind(KIND_TCP);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    fillPattern(data, sizeof(data), 6);
    ck_assert_int_eq(write(pipes[1], data, sizeof(data)), sizeof(data));
    transmitPattern(recorder.socket, 6, 0);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, pair[0], -1,
                         sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
    transmitPattern(recorder.socket, 1000, 3006);
    expectPattern(4006, 0);
    close(pipes[0]);
    close(pipes[1]);
    release();
}
END_TEST

/* A try every ten milliseconds at most, however long the turns take */
static void triesNowAndThen(void)
{
    struct timespec start;
    struct timespec end;
    uint64_t before = readRing(fixture.ring).completions;
    int64_t elapsedMs = 0;

    clock_gettime(CLOCK_MONOTONIC, &start);
    runTurns(fixture.ring, 2000);
    clock_gettime(CLOCK_MONOTONIC, &end);
    elapsedMs = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
    ck_assert_uint_le(readRing(fixture.ring).completions - before, (uint64_t)elapsedMs / 10 + 20);
}

/* SPLICE from a non-blocking pipe that is empty: tried again now and then */
START_TEST(splicesWhenThereIsData)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makeBuffer(0, 0);
    char data[3000];
    int pipes[2];

    openKind(KIND_TCP);
    runIdle(fixture.ring);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, pair[0], -1,
                         sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
    runTurns(fixture.ring, 5);
    triesNowAndThen();
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(write(pipes[1], data, sizeof(data)), sizeof(data));
    expectPattern(sizeof(data), 0);
    close(pipes[0]);
    close(pipes[1]);
    release();
}
END_TEST

/* SPLICE into a non-blocking socket that is full: the kernel does not wait, and neither do we spin */
START_TEST(splicesWhenThereIsRoom)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makeBuffer(0, 0);
    char data[3000];
    uint64_t position = 0;
    ssize_t size = 0;
    int pipes[2];

    openKind(KIND_TCP);
    runIdle(fixture.ring);
    ck_assert_int_eq(fcntl(pair[0], F_SETFL, O_RDWR | O_NONBLOCK), 0);
    while ((size = send(pair[0], data, sizeof(data), MSG_DONTWAIT)) > 0)
        position += (uint64_t)size;
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(write(pipes[1], data, sizeof(data)), sizeof(data));
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, pair[0], -1,
                         sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
    runTurns(fixture.ring, 5);
    triesNowAndThen();
    for (uint64_t left = position; left > 0; left -= (uint64_t)size) {
        static char sink[65536];
        size = recv(pair[1], sink, left < sizeof(sink) ? (size_t)left : sizeof(sink), 0);
        ck_assert_int_gt(size, 0);
    }
    expectPattern(sizeof(data), 0);
    close(pipes[0]);
    close(pipes[1]);
    release();
}
END_TEST

/* §2.4 order: strictly that of the calls across all transmits */
START_TEST(keepsOrder)
{
    unsigned seed = 3;
    uint64_t position = 0;

    openKind(KIND_TCP);
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    for (int round = 0; round < 200; round++) {
        size_t size = (size_t)rand_r(&seed) % 30000 + 1;
        int choice = rand_r(&seed) % (WAY_COUNT + 2);
        bool zeroCopy = (choice == WAY_SEND_ZC) || (choice == WAY_SENDMSG_ZC);
        if (zeroCopy && !(GetFastRingFeatures(fixture.ring) & FASTRING_FEATURE_SENDMSG_ZERO_COPY))
            choice = WAY_SEND;
        if (choice < WAY_COUNT)
            transmitWay((enum Way)choice, size, position);
        else if (choice == WAY_COUNT)
            transmitPattern(recorder.socket, size, position);
        else
            ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, NULL, 0,
                                                      makeBuffer(size, position), 0, size, 0),
                             0);
        position += size;
    }
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), position);
    expectPattern(position, 0);
    release();
}
END_TEST

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
        *received += (int)recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
    }
    barrierOutbound = GetFastSocketOutboundLength(recorder.socket);
    return 0;
}

/* §2.4 order: barriers start when everything before was accepted, later sends wait */
START_TEST(waitsAtBarrier)
{
    int received = 0;
    struct FastRingDescriptor* descriptor = NULL;

    openKind(KIND_UNIX_STREAM);
    runIdle(fixture.ring);
    transmitText(recorder.socket, "first");
    descriptor = AllocateFastRingDescriptor(fixture.ring, noteBarrier, &received);
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    GetFastRingDescriptorSubmission(descriptor)->fd = pair[0];
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, NULL), 0);
    transmitText(recorder.socket, "second");
    waitCount(fixture.ring, &barrierCalls, 1);
    ck_assert_int_eq(barrierResult, 0);
    ck_assert_int_eq(received, 5);
    ck_assert_uint_eq(barrierOutbound, 6);
    waitDrained(&recorder);
    expectText(pair[1], "second");
    release();
}
END_TEST

/* §2.4 order: a poll as a barrier that waits for the peer holds back what follows; its failure
 * is its own */
START_TEST(pollsAsBarrier)
{
    struct FastRingDescriptor* descriptor = NULL;

    openKind(KIND_UNIX_STREAM);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    descriptor = AllocateFastRingDescriptor(fixture.ring, noteBarrier, NULL);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), pair[0], POLLIN);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, NULL), 0);
    transmitText(recorder.socket, "after");
    runIdle(fixture.ring);
    ck_assert_int_eq(barrierCalls, 0);
    expectNothing(pair[1]);
    sendText(pair[1], "go");
    waitCount(fixture.ring, &barrierCalls, 1);
    ck_assert_int_ne(barrierResult & POLLIN, 0);
    waitDrained(&recorder);
    expectText(pair[1], "after");
    release();
}
END_TEST

/* §2.4 order: SHUTDOWN as a barrier, in its place */
START_TEST(shutsDownInOrder)
{
    struct FastRingDescriptor* descriptor = NULL;

    openKind(KIND_TCP);
    transmitText(recorder.socket, "last words");
    descriptor = AllocateFastRingDescriptor(fixture.ring, noteBarrier, NULL);
    io_uring_prep_shutdown(GetFastRingDescriptorSubmission(descriptor), pair[0], SHUT_WR);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, NULL), 0);
    waitCount(fixture.ring, &barrierCalls, 1);
    ck_assert_int_eq(barrierResult, 0);
    expectText(pair[1], "last words");
    expectEnd(pair[1]);
    ck_assert_int_eq(recorder.err, 0);
    release();
}
END_TEST

/* barriers: what fails or is refused by the kernel is told to the function, not to the socket */
START_TEST(keepsFailureToItself)
{
    struct FastRingDescriptor* descriptor = NULL;

    openKind(KIND_TCP);
    descriptor = AllocateFastRingDescriptor(fixture.ring, noteBarrier, NULL);
    io_uring_prep_shutdown(GetFastRingDescriptorSubmission(descriptor), pair[0], 77);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, NULL), 0);
    transmitText(recorder.socket, "unharmed");
    waitCount(fixture.ring, &barrierCalls, 1);
    ck_assert_int_lt(barrierResult, 0);
    waitDrained(&recorder);
    expectText(pair[1], "unharmed");
    ck_assert_int_eq(recorder.err + recorder.hup, 0);
    release();
}
END_TEST

/* barriers without a function, many of them */
START_TEST(runsManyBarriers)
{
    openKind(KIND_TCP);
    for (uint64_t index = 0; index < 100; index++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, NULL,
                                                                           NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        GetFastRingDescriptorSubmission(descriptor)->fd = pair[0];
        transmitPattern(recorder.socket, 100, index * 100);
        ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, NULL), 0);
    }
    expectPattern(10000, 0);
    release();
}
END_TEST

/* §2.4 order: a command of the socket as a barrier; its result, or that the kernel has none, is
 * the function's */
START_TEST(runsSocketCommand)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, noteBarrier,
                                                                       NULL);
    struct io_uring_sqe* submission = GetFastRingDescriptorSubmission(descriptor);

    openKind(KIND_TCP);
    transmitText(recorder.socket, "before");
    io_uring_prep_rw(IORING_OP_URING_CMD, submission, pair[0], NULL, 0, 0);
    submission->off = 1; /* SIOCOUTQ */
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, NULL), 0);
    transmitText(recorder.socket, "behind");
    waitCount(fixture.ring, &barrierCalls, 1);
    ck_assert_msg((barrierResult >= 0) || (barrierResult == -EOPNOTSUPP) ||
                      (barrierResult == -EINVAL),
                  "%d", barrierResult);
    ck_assert_uint_eq(barrierOutbound, 6); /* what is behind waits for it */
    waitDrained(&recorder);
    expectText(pair[1], "beforebehind");
    ck_assert_int_eq(recorder.err, 0);
    release();
}
END_TEST

/* barriers behind output that a fatal error drops: their functions hear of it, once */
START_TEST(cancelsBarrierAtFailure)
{
    openKind(KIND_TCP);
    transmitPattern(recorder.socket, 20000000, 0);
    for (int count = 0; count < 3; count++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring,
                                                                           noteBarrier, NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        GetFastRingDescriptorSubmission(descriptor)->fd = pair[0];
        ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, NULL), 0);
    }
    transmitText(recorder.socket, "behind");
    runIdle(fixture.ring);
    ck_assert_int_eq(barrierCalls, 0);
    closeReset(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    waitCount(fixture.ring, &barrierCalls, 3);
    runIdle(fixture.ring);
    ck_assert_int_eq(barrierCalls, 3);
    ck_assert_int_eq(barrierResult, -ECANCELED);
    release();
}
END_TEST

/* barriers: one in flight when the connection dies */
START_TEST(endsBarrierInFlight)
{
    struct FastRingDescriptor* descriptor = NULL;

    openKind(KIND_TCP);
    runIdle(fixture.ring);
    descriptor = AllocateFastRingDescriptor(fixture.ring, noteBarrier, NULL);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), pair[0], POLLPRI);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, NULL), 0);
    transmitText(recorder.socket, "behind");
    runIdle(fixture.ring);
    ck_assert_int_eq(barrierCalls, 0);
    closeReset(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    waitCount(fixture.ring, &barrierCalls, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(barrierCalls, 1);
    release();
}
END_TEST

/* SPLICE: a pipe that has ended ends the operation alone; one that is none is the socket's failure */
START_TEST(endsSplice)
{
    struct FastRingDescriptor* descriptor = allocate();
    int pipes[2];

    openKind(KIND_UNIX_STREAM);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    ck_assert_int_eq(write(pipes[1], "ab", 2), 2);
    close(pipes[1]);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, pair[0], -1,
                         100, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, makeBuffer(0, 0)),
                     0);
    transmitText(recorder.socket, "cd");
    waitDrained(&recorder);
    expectText(pair[1], "abcd");
    ck_assert_int_eq(recorder.err, 0);
    close(pipes[0]);

    descriptor = allocate();
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pair[1], -1, pair[0], -1, 100,
                         0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, makeBuffer(0, 0)),
                     0);
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.lastError, EINVAL);
    release();
}
END_TEST

static uint64_t heldBuffers(void)
{
    return readRing(fixture.ring).buffers;
}

/* §2.4 TransmitFastSocketDescriptor ownership: descriptor and buffer are consumed in every
 * case; ASan tells the rest */
START_TEST(consumesOnError)
{
    struct FastRingDescriptor* descriptor = NULL;
    struct FastBuffer* buffer = NULL;
    struct io_uring_sqe* submission = NULL;
    uint64_t held = 0;

    openKind(KIND_UNIX_STREAM);
    held = heldBuffers();

    /* no descriptor: the buffer is released */
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, NULL, makeBuffer(10, 0)),
                     -EINVAL);
    ck_assert_uint_eq(heldBuffers(), held);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, NULL, NULL), -EINVAL);

    /* no socket */
    descriptor = allocate();
    buffer = makeBuffer(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(NULL, descriptor, buffer), -EINVAL);
    ck_assert_uint_eq(heldBuffers(), held);

    /* another file's number */
    descriptor = allocate();
    buffer = makeBuffer(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    GetFastRingDescriptorSubmission(descriptor)->fd = pair[1];
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EINVAL);
    ck_assert_uint_eq(heldBuffers(), held);

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
            buffer = makeBuffer(10, 0);
            prepareWay(descriptor, WAY_SEND, buffer);
            GetFastRingDescriptorSubmission(descriptor)->opcode = (uint8_t)opcode;
            if (!with)
                ReleaseFastBuffer(buffer);
            ck_assert_int_eq(
                TransmitFastSocketDescriptor(recorder.socket, descriptor, with ? buffer : NULL),
                -EINVAL);
            ck_assert_uint_eq(heldBuffers(), held);
        }
    }

    /* flags: buffer selection is refused; links and the like are stripped */
    descriptor = allocate();
    buffer = makeBuffer(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    GetFastRingDescriptorSubmission(descriptor)->flags = IOSQE_BUFFER_SELECT;
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EINVAL);
    descriptor = allocate();
    buffer = makeBuffer(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    submission = GetFastRingDescriptorSubmission(descriptor);
    submission->flags = IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_IO_DRAIN | IOSQE_CQE_SKIP_SUCCESS;
    submission->user_data = 0x1234567812345678;
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
    expectPattern(10, 0);
    runIdle(fixture.ring);
    ck_assert_uint_eq(heldBuffers(), held);
    release();
}
END_TEST

/* §2.4 TransmitFastSocketDescriptor ownership: what holds for all transmits: sizes, addresses,
 * the limit, and the shutdown; consumed all the same */
START_TEST(refusesLikeOtherCalls)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    struct msghdr message = {.msg_name = &address, .msg_namelen = sizeof(address)};
    struct FastRingDescriptor* descriptor = NULL;
    struct FastBuffer* buffer = NULL;
    uint64_t held = 0;

    openKind(KIND_TCP);
    held = heldBuffers();
    descriptor = allocate();
    buffer = makeBuffer(10, 0);
    io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), pair[0],
                       GetFastBufferData(buffer), (1u << 30) + 1, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EMSGSIZE);
    ck_assert_uint_eq(heldBuffers(), held);

    descriptor = allocate();
    buffer = makeBuffer(10, 0);
    io_uring_prep_sendmsg(GetFastRingDescriptorSubmission(descriptor), pair[0], &message, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EISCONN);
    ck_assert_uint_eq(heldBuffers(), held);

    setOption(recorder.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 10);
    transmitWay(WAY_SEND, 20, 0);
    descriptor = allocate();
    buffer = makeBuffer(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EAGAIN);
    expectPattern(20, 0);
    runIdle(fixture.ring);
    ck_assert_uint_eq(heldBuffers(), held);

    ck_assert_int_eq(ShutdownFastSocket(recorder.socket), 0);
    descriptor = allocate();
    buffer = makeBuffer(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EPIPE);
    ck_assert_uint_eq(heldBuffers(), held);
    release();
}
END_TEST

/* §2.4 TransmitFastSocketDescriptor ownership, §2.4 -EMSGSIZE: vectors whose sum is beyond what a size_t
 * holds, and so looks small */
START_TEST(refusesEndlessVectors)
{
    char text[] = "text";
    struct iovec vector[] = {{text, SIZE_MAX / 2}, {text, SIZE_MAX / 2}, {text, 3}};
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = 3};

    openKind(KIND_TCP);
    for (int whole = 0; whole < 2; whole++) {
        struct FastRingDescriptor* descriptor = allocate();
        struct FastBuffer* buffer = makeBuffer(10, 0);
        if (whole)
            io_uring_prep_sendmsg(GetFastRingDescriptorSubmission(descriptor), pair[0], &message, 0);
        else
            io_uring_prep_writev(GetFastRingDescriptorSubmission(descriptor), pair[0], vector, 3, 0);
        ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EMSGSIZE);
    }
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    release();
}
END_TEST

/* §2.4 TransmitFastSocketDescriptor ownership, §2.4 -EPIPE: after a fatal error, consumed all
 * the same */
START_TEST(consumesOnDeadSocket)
{
    struct FastRingDescriptor* descriptor = NULL;
    struct FastBuffer* buffer = NULL;
    uint64_t held = 0;

    openKind(KIND_TCP);
    closeReset(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    held = heldBuffers();
    descriptor = allocate();
    buffer = makeBuffer(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EPIPE);
    ck_assert_uint_eq(heldBuffers(), held);
    ck_assert_int_lt(TransmitFastSocketDescriptor(recorder.socket, allocate(), NULL), 0);
    release();
}
END_TEST

/* §2.4 descriptor of another ring, §2.4 TransmitFastSocketDescriptor ownership: -EXDEV, it is
 * left alone, the buffer released */
START_TEST(refusesForeignDescriptor)
{
    struct Fixture other;
    struct FastRingDescriptor* descriptor = NULL;
    struct FastBuffer* buffer = NULL;
    uint64_t held = 0;

    openKind(KIND_TCP);
    fixtureOpen(&other, 0, 0, 0);
    held = heldBuffers();
    descriptor = AllocateFastRingDescriptor(other.ring, NULL, NULL);
    buffer = makeBuffer(10, 0);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EXDEV);
    ck_assert_uint_eq(heldBuffers(), held);
    ck_assert_ptr_eq(GetFastRingDescriptorRing(descriptor), other.ring);
    ReleaseFastRingDescriptor(descriptor);
    fixtureClose(&other);
    release();
}
END_TEST

static int keepAlive(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                     int reason)
{
    (void)descriptor;
    (void)completion;
    (void)reason;
    return 1;
}

/* -EBUSY: a descriptor in flight is left alone */
START_TEST(refusesBusyDescriptor)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, keepAlive,
                                                                       NULL);
    struct FastBuffer* buffer = NULL;
    uint64_t held = 0;

    openKind(KIND_UNIX_STREAM);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), pair[0], POLLIN);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runTurns(fixture.ring, 2);
    held = heldBuffers();
    buffer = makeBuffer(10, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, NULL), -EBUSY);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EBUSY);
    ck_assert_uint_eq(heldBuffers(), held);
    ReleaseFastRingDescriptor(descriptor);
    runIdle(fixture.ring);
    release();
}
END_TEST

/* datagrams: each descriptor one datagram, in order */
START_TEST(sendsDatagrams)
{
    uint8_t data[256];

    openKind(KIND_UNIX_DATAGRAM);
    for (int index = 0; index < 60; index++)
        transmitWay((index % 2) ? WAY_SEND : WAY_SENDMSG, 100 + (size_t)index, (uint64_t)index);
    for (int index = 0; index < 60; index++) {
        while (recv(pair[1], data, sizeof(data), MSG_DONTWAIT | MSG_PEEK) < 0)
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
        ck_assert_int_eq(recv(pair[1], data, sizeof(data), 0), 100 + index);
        ck_assert(checkPattern(data, 100 + (size_t)index, (uint64_t)index));
    }
    waitDrained(&recorder);
    release();
}
END_TEST

/* §2.4 TransmitFastSocketDescriptor ownership: the caller keeps a buffer by holding it;
 * HoldFastBuffer first */
START_TEST(leavesHeldBuffer)
{
    struct FastRingDescriptor* descriptor = allocate();
    struct FastBuffer* buffer = makeBuffer(5000, 0);

    openKind(KIND_TCP);
    prepareWay(descriptor, WAY_SEND, buffer);
    ck_assert_ptr_eq(HoldFastBuffer(buffer), buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
    expectPattern(5000, 0);
    ck_assert(checkPattern(GetFastBufferData(buffer), 5000, 0));
    ReleaseFastBuffer(buffer);
    release();
}
END_TEST

/* release and abort with descriptors queued and in flight */
START_TEST(releasesQueued)
{
    for (int abort = 0; abort < 2; abort++) {
        openKind(KIND_TCP);
        ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
        transmitWay(WAY_SEND, 1000000, 0);
        transmitWay(WAY_SENDMSG, 1000000, 1000000);
        runIdle(fixture.ring);
        if (abort) {
            AbortFastSocket(recorder.socket);
            close(pair[1]);
        } else {
            static uint8_t data[65536];
            uint64_t checked = 0;
            ReleaseFastSocket(recorder.socket);
            for (ssize_t size = 1; size != 0;) {
                size = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
                if (size < 0) {
                    ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
                    continue;
                }
                ck_assert(checkPattern(data, (size_t)size, checked));
                checked += (uint64_t)size;
            }
            ck_assert_uint_eq(checked, 2000000);
            close(pair[1]);
        }
    }
}
END_TEST

/* a barrier that waits when its socket is released or aborted */
START_TEST(releasesWaitingBarrier)
{
    for (int abort = 0; abort < 2; abort++) {
        struct FastRingDescriptor* descriptor = NULL;
        openKind(KIND_UNIX_STREAM);
        setOption(recorder.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 0);
        ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
        runIdle(fixture.ring);
        descriptor = AllocateFastRingDescriptor(fixture.ring, NULL, NULL);
        io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), pair[0], POLLPRI);
        ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, NULL), 0);
        transmitText(recorder.socket, "never");
        runIdle(fixture.ring);
        if (abort)
            AbortFastSocket(recorder.socket);
        else
            ReleaseFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        close(pair[1]);
    }
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-descriptor");
    TCase* area = tcase_create("socketDescriptor");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, sendsEveryOpcode);
    tcase_add_test(area, splices);
    tcase_add_test(area, splicesWhenThereIsData);
    tcase_add_test(area, splicesWhenThereIsRoom);
    tcase_add_test(area, keepsOrder);
    tcase_add_test(area, waitsAtBarrier);
    tcase_add_test(area, pollsAsBarrier);
    tcase_add_test(area, shutsDownInOrder);
    tcase_add_test(area, keepsFailureToItself);
    tcase_add_test(area, runsManyBarriers);
    tcase_add_test(area, runsSocketCommand);
    tcase_add_test(area, cancelsBarrierAtFailure);
    tcase_add_test(area, endsBarrierInFlight);
    tcase_add_test(area, endsSplice);
    tcase_add_test(area, consumesOnError);
    tcase_add_test(area, refusesLikeOtherCalls);
    tcase_add_test(area, refusesEndlessVectors);
    tcase_add_test(area, consumesOnDeadSocket);
    tcase_add_test(area, refusesForeignDescriptor);
    tcase_add_test(area, refusesBusyDescriptor);
    tcase_add_test(area, sendsDatagrams);
    tcase_add_test(area, leavesHeldBuffer);
    tcase_add_test(area, releasesQueued);
    tcase_add_test(area, releasesWaitingBarrier);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
