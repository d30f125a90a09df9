/* CreateFastSocket: behaviour.md 2.2, row by row, and the questions a socket answers. */
#include "fixture.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>

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

static struct FastSocket* create(int handle, struct msghdr* message, int flags, int mode)
{
    return CreateFastSocket(fixture.ring, fixture.provider, fixture.inbound, fixture.outbound,
                            handle, message, flags, mode, 0, recordEvent, &recorder);
}

/* Expects NULL and errno, and the descriptor as it was. */
static void refuse(int error, int handle, struct msghdr* message, int flags, int mode)
{
    int before = fcntl(handle, F_GETFD);
    int status = fcntl(handle, F_GETFL);

    ck_assert_ptr_null(create(handle, message, flags, mode));
    ck_assert_int_eq(errno, error);
    ck_assert_int_eq(fcntl(handle, F_GETFD), before);
    ck_assert_int_eq(fcntl(handle, F_GETFL), status);
}

static void expectUnharmed(void)
{
    sendText(pair[0], "still here");
    expectText(pair[1], "still here");
    sendText(pair[1], "and back");
    expectText(pair[0], "and back");
    close(pair[0]);
    close(pair[1]);
}

/* §2.2 ring, provider, inbound, §2.2 returns: each of them is needed */
START_TEST(refusesNull)
{
    pairStream(pair);
    ck_assert_ptr_null(CreateFastSocket(NULL, fixture.provider, fixture.inbound, fixture.outbound,
                                        pair[0], NULL, 0, 0, 0, recordEvent, &recorder));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(CreateFastSocket(fixture.ring, NULL, fixture.inbound, fixture.outbound,
                                        pair[0], NULL, 0, 0, 0, recordEvent, &recorder));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(CreateFastSocket(fixture.ring, fixture.provider, NULL, fixture.outbound,
                                        pair[0], NULL, 0, 0, 0, recordEvent, &recorder));
    ck_assert_int_eq(errno, EINVAL);
    runIdle(fixture.ring);
    expectUnharmed();
}
END_TEST

/* §2.2 ring, provider, inbound: of the same ring */
START_TEST(refusesForeignRing)
{
    struct Fixture other;

    pairStream(pair);
    fixtureOpen(&other, 0, 0, 0);
    ck_assert_ptr_null(CreateFastSocket(fixture.ring, other.provider, fixture.inbound,
                                        fixture.outbound, pair[0], NULL, 0, 0, 0, recordEvent,
                                        &recorder));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(CreateFastSocket(fixture.ring, fixture.provider, other.inbound,
                                        fixture.outbound, pair[0], NULL, 0, 0, 0, recordEvent,
                                        &recorder));
    ck_assert_int_eq(errno, EINVAL);
    fixtureClose(&other);
    expectUnharmed();
}
END_TEST

/* §2.2 ring, provider, inbound: a pool of no ring serves as well */
START_TEST(takesPoolOfItsOwn)
{
    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    struct FastBuffer* buffer = NULL;

    pairStream(pair);
    recorder.socket = CreateFastSocket(fixture.ring, fixture.provider, pool, pool, pair[0], NULL, 0,
                                       0, 0, recordEvent, &recorder);
    ck_assert_ptr_nonnull(recorder.socket);
    for (int round = 0; round < 200; round++) {
        sendText(pair[1], "in");
        waitInput(&recorder, 2);
        buffer = ReceiveFastSocketBuffer(recorder.socket);
        ck_assert_ptr_nonnull(buffer);
        ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, NULL, 0, buffer, 0, 2, 0), 0);
        waitDrained(&recorder);
        expectText(pair[1], "in");
    }
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ReleaseFastRingBufferProvider(fixture.provider, ReleaseRingFastBuffer);
    fixture.provider = NULL;
    runIdle(fixture.ring);
    ReleaseFastBufferPool(pool);
}
END_TEST

static void* allocatePlain(size_t size, void* closure)
{
    (void)closure;
    return malloc(size);
}

/* §2.2 ring, provider, inbound: the provider is made with AllocateRingFastBuffer */
START_TEST(refusesProviderOfOtherMemory)
{
    struct FastRingBufferProvider* plain = CreateFastRingBufferProvider(fixture.ring, 0, 4, 4096,
                                                                        allocatePlain, NULL);

    ck_assert_ptr_nonnull(plain);
    pairStream(pair);
    ck_assert_ptr_null(CreateFastSocket(fixture.ring, plain, fixture.inbound, fixture.outbound,
                                        pair[0], NULL, 0, 0, 0, recordEvent, &recorder));
    ck_assert_int_eq(errno, EINVAL);
    ReleaseFastRingBufferProvider(plain, free);
    expectUnharmed();
}
END_TEST

/* §2.2 outbound: may be NULL */
START_TEST(receivesWithoutOutbound)
{
    struct iovec vector = {"x", 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    struct FastBuffer* buffer = NULL;

    pairStream(pair);
    recorder.socket = CreateFastSocket(fixture.ring, fixture.provider, fixture.inbound, NULL,
                                       pair[0], NULL, 0, 0, 0, recordEvent, &recorder);
    ck_assert_ptr_nonnull(recorder.socket);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "x", 1, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EINVAL);
    sendText(pair[1], "pass me on");
    waitInput(&recorder, 10);
    buffer = ReceiveFastSocketBuffer(recorder.socket);
    ck_assert_ptr_nonnull(buffer);
    ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, NULL, 0, buffer, 0, 10, 0), 0);
    waitDrained(&recorder);
    expectText(pair[1], "pass me on");
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.2 handle, §2.2 returns: an open descriptor */
START_TEST(refusesBadHandle)
{
    int handle = dup(0);

    close(handle);
    ck_assert_ptr_null(create(-1, NULL, 0, 0));
    ck_assert_int_eq(errno, EBADF);
    ck_assert_ptr_null(create(handle, NULL, 0, 0));
    ck_assert_int_eq(errno, EBADF);
    ck_assert_ptr_null(create(INT32_MAX, NULL, 0, 0));
    ck_assert_int_eq(errno, EBADF);
}
END_TEST

/* §2.2 handle kinds, §2.2 returns: not a socket */
START_TEST(refusesFiles)
{
    int file = open("/dev/null", O_RDWR);
    int pipes[2];

    ck_assert_int_eq(pipe(pipes), 0);
    refuse(ENOTSOCK, pipes[0], NULL, 0, 0);
    refuse(ENOTSOCK, file, NULL, 0, 0);
    close(pipes[0]);
    close(pipes[1]);
    close(file);
}
END_TEST

/* §2.2 handle kinds, §2.2 returns: listening */
START_TEST(refusesListener)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int handle = listenTcp(&address, &length);

    refuse(EOPNOTSUPP, handle, NULL, 0, 0);
    close(handle);
}
END_TEST

/* §2.2 handle kinds: what we don't know */
START_TEST(refusesOtherKinds)
{
    int handle = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (handle < 0)
        skipTest("no netlink sockets");
    refuse(EOPNOTSUPP, handle, NULL, 0, 0);
    close(handle);
}
END_TEST

/* §2.2 not yet connected TCP, §2.2 returns: never connected */
START_TEST(refusesNeverConnected)
{
    int handle = socket(AF_INET, SOCK_STREAM, 0);

    refuse(ENOTCONN, handle, NULL, 0, 0);
    close(handle);
    handle = socket(AF_UNIX, SOCK_STREAM, 0);
    refuse(ENOTCONN, handle, NULL, 0, 0);
    close(handle);
    handle = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    refuse(ENOTCONN, handle, NULL, 0, 0);
    close(handle);
}
END_TEST

/* §2.2 handle kinds: a datagram socket needs no connection */
START_TEST(takesUnconnectedDatagram)
{
    int handle = socket(AF_INET, SOCK_DGRAM, 0);

    openRecorded(&fixture, handle, NULL, 0, &recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.err + recorder.hup + recorder.in, 0);
    ReleaseFastSocket(recorder.socket);
    handle = socket(AF_UNIX, SOCK_DGRAM, 0);
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.err + recorder.hup + recorder.in, 0);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.2 not yet connected TCP, §2.4 before connect completes: nothing comes before it resolves,
 * what is queued is sent then */
START_TEST(takesConnecting)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int listener = listenTcp(&address, &length);
    int first = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int accepted[2];

    /* A backlog of 0 holds one: the second connect waits until the first is accepted. */
    ck_assert_int_eq(listen(listener, 0), 0);
    ck_assert_int_eq(connect(first, (struct sockaddr*)&address, length), 0);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), -1);
    ck_assert_int_eq(errno, EINPROGRESS);
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    transmitText(recorder.socket, "early");
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.events, 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 5);
    ck_assert_uint_eq(GetFastRingPending(fixture.ring), 1);

    accepted[0] = accept(listener, NULL, NULL);
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 1);
    accepted[1] = accept(listener, NULL, NULL);
    expectText(accepted[1], "early");
    sendText(accepted[1], "late");
    receiveText(&recorder, "late");
    ReleaseFastSocket(recorder.socket);
    close(accepted[0]);
    close(accepted[1]);
    close(first);
    close(listener);
}
END_TEST

static void refusedConnect(struct FastRing* ring, bool transmit)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* keeps the port from others */
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    ck_assert_int_eq(bind(bound, (struct sockaddr*)&any, sizeof(any)), 0);
    ck_assert_int_eq(getsockname(bound, (struct sockaddr*)&address, &length), 0);
    (void)connect(handle, (struct sockaddr*)&address, length);
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    if (transmit) {
        int result = TransmitFastSocketData(recorder.socket, NULL, 0, "lost", 4, 0);
        ck_assert_msg((result == 0) || (result == -EPIPE), "%d", result);
    }
    ck_assert_int_eq(recorder.events, 0);
    runTurns(ring, 1);
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.lastError, ECONNREFUSED);
    ck_assert_int_eq(recorder.lastHangup, ECONNREFUSED);
    ck_assert_int_eq(recorder.out, 0);
    ck_assert_int_eq(GetFastSocketError(recorder.socket), ECONNREFUSED);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "x", 1, 0), -EPIPE);
    ReleaseFastSocket(recorder.socket);
    close(bound);
}

/* §2.1 connect refused before Create: told in the first turn */
START_TEST(tellsRefusedConnect)
{
    refusedConnect(fixture.ring, false);
}
END_TEST

/* §2.4 before connect completes, §2.1 connect refused before Create: dropped with the connect
 * error */
START_TEST(dropsOutputOfRefusedConnect)
{
    refusedConnect(fixture.ring, true);
}
END_TEST

/* §2.1 connect failure: one POLLERR and one POLLHUP with its errno, no POLLOUT, the queue dropped */
START_TEST(tellsFailedConnect)
{
    for (int transmit = 0; transmit < 2; transmit++) {
        struct sockaddr_storage address;
        socklen_t length = 0;
        int listener = listenTcp(&address, &length);
        int first = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        /* A backlog of 0 holds one: the second connect waits, and finds nobody when it asks again. */
        ck_assert_int_eq(listen(listener, 0), 0);
        ck_assert_int_eq(connect(first, (struct sockaddr*)&address, length), 0);
        ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), -1);
        ck_assert_int_eq(errno, EINPROGRESS);
        openRecorded(&fixture, handle, NULL, 0, &recorder);
        if (transmit)
            transmitText(recorder.socket, "never sent");
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.events, 0);
        close(listener);
        waitHangup(&recorder);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.events, 2);
        ck_assert_int_eq(recorder.err, 1);
        ck_assert_int_eq(recorder.lastError, ECONNREFUSED);
        ck_assert_int_eq(recorder.lastHangup, ECONNREFUSED);
        ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), transmit ? 10 : 0);
        ck_assert_uint_eq(GetFastRingPending(fixture.ring), 0);
        ReleaseFastSocket(recorder.socket);
        close(first);
    }
}
END_TEST

/* §2.2 message, §2.3 GetFastSocketMessageHeader: only the two lengths are used */
START_TEST(copiesMessage)
{
    struct msghdr message;
    struct msghdr* header = NULL;

    memset(&message, 0xa5, sizeof(message));
    message.msg_namelen = 28;
    message.msg_controllen = 64;
    pairUdp(pair);
    openRecorded(&fixture, pair[0], &message, 0, &recorder);
    header = GetFastSocketMessageHeader(recorder.socket);
    memset(&message, 0x5a, sizeof(message));
    ck_assert_ptr_nonnull(header);
    ck_assert_uint_eq(header->msg_namelen, 28);
    ck_assert_uint_eq(header->msg_controllen, 64);
    ck_assert_ptr_null(header->msg_name);
    ck_assert_ptr_null(header->msg_control);
    ck_assert_ptr_null(header->msg_iov);
    ck_assert_uint_eq(header->msg_iovlen, 0);
    ck_assert_int_eq(header->msg_flags, 0);
    sendText(pair[1], "hello");
    receiveText(&recorder, "hello");
    ck_assert_ptr_eq(GetFastSocketMessageHeader(recorder.socket), header);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.2 message: room for it and one byte at least */
START_TEST(bordersOfMessage)
{
    struct msghdr message = {.msg_namelen = 2048, .msg_controllen = 2032};

    pairUdp(pair);
    refuse(EINVAL, pair[0], &message, 0, 0);
    message.msg_namelen = UINT32_MAX;
    refuse(EINVAL, pair[0], &message, 0, 0);
    message.msg_namelen = 0;
    message.msg_controllen = SIZE_MAX;
    refuse(EINVAL, pair[0], &message, 0, 0);
    message.msg_controllen = SIZE_MAX - 15;
    refuse(EINVAL, pair[0], &message, 0, 0);
    message.msg_namelen = 2047;
    message.msg_controllen = 2032;
    openRecorded(&fixture, pair[0], &message, 0, &recorder);
    sendText(pair[1], "x");
    receiveText(&recorder, "x");
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.2 flags (receive): taken, dropped or refused */
START_TEST(checksFlags)
{
    const int refused[] = {MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_ERRQUEUE,
                           MSG_DONTROUTE, MSG_MORE, MSG_EOR, 1 << 24};
    const int accepted[] = {MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, MSG_DONTWAIT, MSG_WAITALL,
                            MSG_CMSG_CLOEXEC | MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL};

    pairTcp(pair);
    for (size_t index = 0; index < sizeof(refused) / sizeof(refused[0]); index++)
        refuse(EINVAL, pair[0], NULL, refused[index], 0);
    expectUnharmed();
    for (size_t index = 0; index < sizeof(accepted) / sizeof(accepted[0]); index++) {
        struct msghdr message = {.msg_controllen = 64};
        for (int plain = 0; plain < 2; plain++) {
            pairStream(pair);
            recorder.socket = create(pair[0], plain ? NULL : &message, accepted[index], 0);
            ck_assert_ptr_nonnull(recorder.socket);
            sendText(pair[1], "one");
            receiveText(&recorder, "one");
            runIdle(fixture.ring);
            sendText(pair[1], "two");
            receiveText(&recorder, "two");
            ReleaseFastSocket(recorder.socket);
            close(pair[1]);
        }
    }
}
END_TEST

/* §2.2 mode: known bits that fit together */
START_TEST(checksMode)
{
    const int refused[] = {1, 2, 8, 0x10, 0x4000, 0x10000, 0x2000000, INT32_MIN, -1};

    pairTcp(pair);
    for (size_t index = 0; index < sizeof(refused) / sizeof(refused[0]); index++)
        refuse(EINVAL, pair[0], NULL, 0, refused[index]);
    refuse(EINVAL, pair[0], NULL, 0, FASTSOCKET_MODE_FILE_IO | FASTSOCKET_MODE_ZERO_COPY);
    expectUnharmed();
    ck_assert_int_eq(FASTSOCKET_MODE_REGULAR, 0);
    ck_assert_int_eq(FASTSOCKET_MODE_ZERO_COPY, MSG_ZEROCOPY);
    ck_assert_int_eq(FASTSOCKET_MODE_AUTO_CORK, MSG_MORE);
    ck_assert_int_eq(FASTSOCKET_MODE_FILE_IO, MSG_DONTROUTE);
}
END_TEST

/* §2.2 limit: from one message at a time to whatever is allowed */
START_TEST(takesAnyLimit)
{
    const uint32_t limits[] = {1, 2, 1024, 1025, UINT32_MAX};

    for (size_t index = 0; index < sizeof(limits) / sizeof(limits[0]); index++) {
        uint8_t data[100];
        pairTcp(pair);
        recorder.socket = CreateFastSocket(fixture.ring, fixture.provider, fixture.inbound,
                                           fixture.outbound, pair[0], NULL, 0, 0, limits[index],
                                           recordEvent, &recorder);
        ck_assert_ptr_nonnull(recorder.socket);
        for (uint64_t message = 0; message < 3000; message++)
            transmitPattern(recorder.socket, 10, message * 10);
        ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 30000);
        waitDrained(&recorder);
        for (uint64_t position = 0; position < 30000; position += sizeof(data)) {
            receiveAll(pair[1], data, sizeof(data));
            ck_assert(checkPattern(data, sizeof(data), position));
        }
        ReleaseFastSocket(recorder.socket);
        close(pair[1]);
    }
}
END_TEST

/* §2.2 limit: so many messages at once and no more; 0 leaves it to the library */
START_TEST(handsOverNoMoreThanLimit)
{
    const uint32_t limits[] = {0, 1, 4};

    for (size_t index = 0; index < sizeof(limits) / sizeof(limits[0]); index++) {
        uint64_t least = limits[index] > 0 ? 40 / limits[index] : 1;
        uint64_t operations = 0;
        pairTcp(pair);
        recorder.socket = CreateFastSocket(fixture.ring, fixture.provider, fixture.inbound,
                                           fixture.outbound, pair[0], NULL, 0, 0, limits[index],
                                           recordEvent, &recorder);
        ck_assert_ptr_nonnull(recorder.socket);
        runIdle(fixture.ring);
        for (uint64_t message = 0; message < 40; message++)
            transmitPattern(recorder.socket, 10, message * 10);
        waitDrained(&recorder);
        operations = readSocket(recorder.socket).sentOperations;
        ck_assert_uint_ge(operations, least);
        ck_assert_uint_le(operations, least + 3);
        ReleaseFastSocket(recorder.socket);
        close(pair[1]);
    }
}
END_TEST

/* §2.2 handle: CLOEXEC is set; blocking or not makes no difference and is not changed */
START_TEST(setsCloseOnExec)
{
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int status = 0;
        ck_assert_int_eq(
            socketpair(AF_UNIX, SOCK_STREAM | (nonblocking ? SOCK_NONBLOCK : 0), 0, pair), 0);
        status = fcntl(pair[0], F_GETFL);
        openRecorded(&fixture, pair[0], NULL, 0, &recorder);
        ck_assert_int_eq(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
        ck_assert_int_eq(fcntl(pair[0], F_GETFL), status);
        sendText(pair[1], "ping");
        receiveText(&recorder, "ping");
        transmitText(recorder.socket, "pong");
        waitDrained(&recorder);
        ck_assert_int_eq(fcntl(pair[1], F_SETFL, 0), 0);
        expectText(pair[1], "pong");
        ReleaseFastSocket(recorder.socket);
        close(pair[1]);
    }
}
END_TEST

/* §2.2 handle: ours on success */
START_TEST(ownsHandle)
{
    pairStream(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    runIdle(fixture.ring);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ck_assert_int_eq(fcntl(pair[0], F_GETFD), -1);
}
END_TEST

/* §2.2 function: may be NULL */
START_TEST(worksWithoutHandler)
{
    char data[8] = "";

    pairStream(pair);
    recorder.socket = CreateFastSocket(fixture.ring, fixture.provider, fixture.inbound,
                                       fixture.outbound, pair[0], NULL, 0, 0, 0, NULL, NULL);
    ck_assert_ptr_nonnull(recorder.socket);
    ck_assert_ptr_null(GetFastSocketClosure(recorder.socket));
    sendText(pair[1], "polled");
    waitInput(&recorder, 6);
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, data, 8, 0), 6);
    ck_assert_str_eq(data, "polled");
    transmitText(recorder.socket, "answer");
    waitDrained(&recorder);
    expectText(pair[1], "answer");
    close(pair[1]);
    runIdle(fixture.ring);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.2 start: nothing before Create returns; what came before is received */
START_TEST(startsWithFirstTurn)
{
    pairStream(pair);
    sendText(pair[1], "before");
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    ck_assert_int_eq(recorder.events, 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 0);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), 0);
    receiveText(&recorder, "before");
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in, 1);
    ck_assert_int_eq(recorder.out, 1);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.2 closure, §2.3 GetFastSocketMessageHeader: given back, among the other questions */
START_TEST(answersQuestions)
{
    pairStream(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    ck_assert_ptr_eq(GetFastSocketClosure(recorder.socket), &recorder);
    ck_assert_ptr_eq(GetFastSocketRing(recorder.socket), fixture.ring);
    ck_assert_int_eq(GetFastSocketHandle(recorder.socket), pair[0]);
    ck_assert_int_eq(GetFastSocketError(recorder.socket), 0);
    ck_assert_ptr_null(GetFastSocketMessageHeader(recorder.socket));
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    ck_assert_uint_eq(readRing(fixture.ring).sockets, 1);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.6 NULL: release and abort do nothing, the others refuse it */
START_TEST(answersNull)
{
    struct FastSocketStatistics statistics;
    uint64_t value = 7;
    char byte = 0;

    ck_assert_ptr_null(GetFastSocketClosure(NULL));
    ck_assert_ptr_null(GetFastSocketRing(NULL));
    ck_assert_int_eq(GetFastSocketHandle(NULL), -EINVAL);
    ck_assert_ptr_null(GetFastSocketMessageHeader(NULL));
    ck_assert_uint_eq(GetFastSocketInboundLength(NULL), 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(NULL), 0);
    ck_assert_int_eq(SetFastSocketHandler(NULL, recordEvent, NULL), -EINVAL);
    ck_assert_int_eq(ShutdownFastSocket(NULL), -EINVAL);
    ck_assert_int_eq(PauseFastSocket(NULL), -EINVAL);
    ck_assert_int_eq(ResumeFastSocket(NULL), -EINVAL);
    ck_assert_int_eq(SetFastSocketOption(NULL, FASTSOCKET_OPTION_INBOUND_HIGH, 1), -EINVAL);
    ck_assert_int_eq(GetFastSocketOption(NULL, FASTSOCKET_OPTION_INBOUND_HIGH, &value), -EINVAL);
    ck_assert_uint_eq(value, 7);
    ck_assert_int_eq(GetFastSocketStatistics(NULL, &statistics, sizeof(statistics)), -EINVAL);
    ck_assert_int_eq((int)ReceiveFastSocketData(NULL, &byte, 1, 0), -EINVAL);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(NULL));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(TransmitFastSocketData(NULL, NULL, 0, "x", 1, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketMessage(NULL, NULL, 0), -EINVAL);
    ReleaseFastSocket(NULL);
    AbortFastSocket(NULL);
    (void)GetFastSocketError(NULL);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-create");
    TCase* area = tcase_create("create");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, refusesNull);
    tcase_add_test(area, refusesForeignRing);
    tcase_add_test(area, takesPoolOfItsOwn);
    tcase_add_test(area, refusesProviderOfOtherMemory);
    tcase_add_test(area, receivesWithoutOutbound);
    tcase_add_test(area, refusesBadHandle);
    tcase_add_test(area, refusesFiles);
    tcase_add_test(area, refusesListener);
    tcase_add_test(area, refusesOtherKinds);
    tcase_add_test(area, refusesNeverConnected);
    tcase_add_test(area, takesUnconnectedDatagram);
    tcase_add_test(area, takesConnecting);
    tcase_add_test(area, tellsRefusedConnect);
    tcase_add_test(area, dropsOutputOfRefusedConnect);
    tcase_add_test(area, tellsFailedConnect);
    tcase_add_test(area, copiesMessage);
    tcase_add_test(area, bordersOfMessage);
    tcase_add_test(area, checksFlags);
    tcase_add_test(area, checksMode);
    tcase_add_test(area, takesAnyLimit);
    tcase_add_test(area, handsOverNoMoreThanLimit);
    tcase_add_test(area, setsCloseOnExec);
    tcase_add_test(area, ownsHandle);
    tcase_add_test(area, worksWithoutHandler);
    tcase_add_test(area, startsWithFirstTurn);
    tcase_add_test(area, answersQuestions);
    tcase_add_test(area, answersNull);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
