/* Readiness that an operation can't consume: POLLERR stays on while an error queue is unread, and neither a
 * connection nor room comes of it. It costs no turns, and what is waited for is seen when it comes. */
#include "network.h"

#include <fcntl.h>
#include <liburing.h>
#include <linux/net_tstamp.h>
#include <netinet/tcp.h>

enum
{
    WAITS = 20,
    ROUNDS = 10, /* … until what was queued is in the kernel */
    FEW = 4,     /* completions in so many waits */
    MUCH = 8 << 20,
};

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

/* Every send leaves time stamps in the error queue. */
static void askForStamps(int handle)
{
    int stamps = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_SOFTWARE |
                 SOF_TIMESTAMPING_OPT_TSONLY;

    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof(stamps)), 0);
}

static void expectNoisy(int handle)
{
    struct pollfd state = {.fd = handle};

    ck_assert_int_eq(poll(&state, 1, 0), 1);
    ck_assert_int_eq(state.revents, POLLERR);
}

static void beNonblocking(int handle)
{
    ck_assert_int_eq(fcntl(handle, F_SETFL, fcntl(handle, F_GETFL) | O_NONBLOCK), 0);
}

/* Completions of some waits, each of which ends with the first. */
static uint64_t countCompletions(int waits)
{
    uint64_t before = readRing(fixture.ring).completions;

    for (int wait = 0; wait < waits; wait++)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 5, NULL), 0);
    return readRing(fixture.ring).completions - before;
}

/* It comes to that nothing happens: waits run out, instead of ending with a completion that says nothing. */
static void expectQuiet(void)
{
    uint64_t count = WAITS;

    for (int round = 0; round < ROUNDS && count > FEW; round++)
        count = countCompletions(WAITS);
    ck_assert_msg(count <= FEW, "%llu completions in %d waits", (unsigned long long)count, WAITS);
}

/* A TCP connection with something in its error queue. */
static void pairNoisyTcp(void)
{
    char byte = 0;

    pairTcp(pair);
    askForStamps(pair[0]);
    ck_assert_int_eq(send(pair[0], "x", 1, 0), 1);
    ck_assert_int_eq(recv(pair[1], &byte, 1, MSG_WAITALL), 1);
    expectNoisy(pair[0]);
    beNonblocking(pair[0]);
}

static void drain(uint64_t size)
{
    static uint8_t data[65536];

    for (uint64_t checked = 0; checked < size;) {
        ssize_t length = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (length < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert_int_gt(length, 0);
        ck_assert(checkPattern(data, (size_t)length, checked));
        checked += (uint64_t)length;
    }
}

/* §2.1 fruitless readiness, §2.4 POLL_FIRST: a blocked send costs nothing, and goes on when there is room */
START_TEST(restsWhileBlocked)
{
    pairNoisyTcp();
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    transmitPattern(recorder.socket, MUCH, 0);
    expectQuiet();
    drain(MUCH);
    waitDrained(&recorder);
    ck_assert_int_eq(recorder.err, 0);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.1 fruitless readiness: a reset ends what is blocked */
START_TEST(seesResetWhileBlocked)
{
    pairNoisyTcp();
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    transmitPattern(recorder.socket, MUCH, 0);
    expectQuiet();
    closeReset(pair[1]);
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.lastError, ECONNRESET);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.1 fruitless readiness, §2.6 flush: what a released socket has queued waits without turns, and is sent */
START_TEST(flushesWhileBlocked)
{
    pairNoisyTcp();
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    transmitPattern(recorder.socket, MUCH, 0);
    runTurns(fixture.ring, WAITS);
    ReleaseFastSocket(recorder.socket);
    expectQuiet();
    drain(MUCH);
    close(pair[1]);
}
END_TEST

/* §2.1 fruitless readiness: a splice of the user's own */
START_TEST(restsWhileSpliceIsBlocked)
{
    struct FastBuffer* buffer = NULL;
    struct FastRingDescriptor* descriptor = NULL;
    static char data[4096];
    int pipes[2];

    pairNoisyTcp();
    while (send(pair[0], data, sizeof(data), MSG_DONTWAIT) > 0)
        ;
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq(write(pipes[1], "spliced", 7), 7);
    buffer = AllocateFastBuffer(fixture.outbound, 1, 0);
    descriptor = AllocateFastRingDescriptor(fixture.ring, NULL, NULL);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1,
                         GetFastSocketHandle(recorder.socket), -1, 7, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
    expectQuiet();
    while (GetFastSocketOutboundLength(recorder.socket) > 0) {
        (void)recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
    }
    ck_assert_int_eq(recorder.err, 0);
    AbortFastSocket(recorder.socket);
    close(pair[1]);
    close(pipes[0]);
    close(pipes[1]);
}
END_TEST

/* A connection attempt with something in the error queue, of the socket's last connection; nobody answers
 * until there is room in the backlog. */
static int connectNoisily(int listener, const struct sockaddr_storage* address, socklen_t length)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    pairNoisyTcp();
    close(pair[1]);
    ck_assert_int_eq(connect(pair[0], &nobody, sizeof(nobody)), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(pair[1], (const struct sockaddr*)address, length), 0); /* fills the backlog */
    ck_assert_int_eq(connect(pair[0], (const struct sockaddr*)address, length), -1);
    ck_assert_int_eq(errno, EINPROGRESS);
    return pair[0];
}

/* §2.1 fruitless readiness, §2.4 before connect completes: a connect costs nothing, and is told when it has come */
START_TEST(connectsBehindUnreadErrors)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int listener = listenTcp(&address, &length);
    int handle = connectNoisily(listener, &address, length);
    int others[2];
    char byte = 0;

    openRecorded(&fixture, handle, NULL, 0, &recorder);
    transmitText(recorder.socket, "hello");
    expectQuiet();
    ck_assert_int_eq(recorder.out + recorder.err, 0);
    others[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(others[0]);
    waitCount(fixture.ring, &recorder.out, 1); /* the second SYN gets through */
    others[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    expectText(others[1], "hello");
    ck_assert_int_eq(send(others[1], &byte, 1, 0), 1);
    waitInput(&recorder, 1);
    ck_assert_int_eq(recorder.err, 0);
    ReleaseFastSocket(recorder.socket);
    close(others[1]);
    close(pair[1]);
    close(listener);
}
END_TEST

/* §2.1 fruitless readiness, §2.1 connect failure: a refusal is told */
START_TEST(failsBehindUnreadErrors)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int listener = listenTcp(&address, &length);
    int handle = connectNoisily(listener, &address, length);

    openRecorded(&fixture, handle, NULL, 0, &recorder);
    expectQuiet();
    close(listener);
    close(pair[1]);
    waitHangup(&recorder); /* the second SYN meets nobody */
    ck_assert_int_eq(recorder.out, 0);
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.lastError, ECONNREFUSED);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.1 fruitless readiness: an idle socket of any kind with an unread error queue costs nothing */
START_TEST(restsWhileIdle)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UDP};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        pairKind(kinds[index], pair);
        askForStamps(pair[0]);
        ck_assert_int_eq(send(pair[0], "x", 1, 0), 1);
        expectText(pair[1], "x");
        expectNoisy(pair[0]);
        openRecorded(&fixture, pair[0], NULL, 0, &recorder);
        expectQuiet();
        sendText(pair[1], "works");
        receiveText(&recorder, "works");
        ReleaseFastSocket(recorder.socket);
        close(pair[1]);
    }
}
END_TEST

/* §2.1 fruitless readiness: AF_UNIX, blocked */
START_TEST(restsWhileLocalIsBlocked)
{
    const enum Kind kinds[] = {KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET, KIND_UNIX_DATAGRAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        pairKind(kinds[index], pair);
        beNonblocking(pair[0]);
        openRecorded(&fixture, pair[0], NULL, 0, &recorder);
        for (int count = 0; count < 400; count++)
            transmitPattern(recorder.socket, 4096, 0);
        expectQuiet();
        ck_assert_uint_gt(GetFastSocketOutboundLength(recorder.socket), 0);
        AbortFastSocket(recorder.socket);
        close(pair[1]);
    }
}
END_TEST

/* §2.1 fruitless readiness: UDP with IP_RECVERR, blocked by a neighbour that doesn't answer */
START_TEST(restsWhileDatagramsAreBlocked)
{
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x0a090002)};
    struct sockaddr_in ours = {.sin_family = AF_INET};
    struct sockaddr_in dead = loopbackAddress();
    socklen_t length = sizeof(ours);
    int small = 1;
    int on = 1;
    int error = 0;

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    if (system("ip link add v0 type veth peer name v1 && ip addr add 10.9.0.1/24 dev v0 && "
               "ip link set v0 up && ip link set v1 up && "
               "echo 3600000 > /proc/sys/net/ipv4/neigh/v0/retrans_time_ms") != 0)
        skipTest("a pair of virtual network devices is needed");
    dead.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 8);
    dead.sin_port = htons(9);
    pair[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(pair[0], (struct sockaddr*)&ours, length), 0);
    ck_assert_int_eq(getsockname(pair[0], (struct sockaddr*)&ours, &length), 0);
    ours.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(setsockopt(pair[0], IPPROTO_IP, IP_RECVERR, &on, sizeof(on)), 0);
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    sendUnreachable(&ours, &dead, ICMP_HOST_UNREACH);
    length = sizeof(error);
    ck_assert_int_eq(getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &error, &length), 0);
    ck_assert_int_eq(error, EHOSTUNREACH);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    for (int count = 0; count < WAITS; count++)
        ck_assert_int_eq(TransmitFastSocketData(recorder.socket, (struct sockaddr*)&target, sizeof(target),
                                                "0123456789", 10, 0),
                         0);
    expectQuiet();
    ck_assert_uint_gt(GetFastSocketOutboundLength(recorder.socket), 0);
    AbortFastSocket(recorder.socket);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-poll");
    TCase* area = tcase_create("poll");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, restsWhileBlocked);
    tcase_add_test(area, seesResetWhileBlocked);
    tcase_add_test(area, flushesWhileBlocked);
    tcase_add_test(area, restsWhileSpliceIsBlocked);
    tcase_add_test(area, connectsBehindUnreadErrors);
    tcase_add_test(area, failsBehindUnreadErrors);
    tcase_add_test(area, restsWhileIdle);
    tcase_add_test(area, restsWhileLocalIsBlocked);
    tcase_add_test(area, restsWhileDatagramsAreBlocked);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
