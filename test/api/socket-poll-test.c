/* Readiness that an operation can't consume: POLLERR stays on while an error queue is unread,
 * and neither a connection nor room comes of it. It costs no turns, and what is waited for is
 * seen when it comes. */
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

SCENE_AREA(poll, "poll");

/* Every send leaves time stamps in the error queue. */
static void askForStamps(int handle)
{
    int stamps = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED |
                 SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY;

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
    uint64_t before = readRing(scene.ring).completions;

    for (int wait = 0; wait < waits; wait++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 5, NULL), 0);
    return readRing(scene.ring).completions - before;
}

/* It comes to that nothing happens: waits run out, instead of ending with a completion that says
 * nothing. */
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

    pairTcp(scene.pair);
    askForStamps(scene.handle);
    ck_assert_int_eq(send(scene.handle, "x", 1, 0), 1);
    ck_assert_int_eq(recv(scene.peer, &byte, 1, MSG_WAITALL), 1);
    expectNoisy(scene.handle);
    beNonblocking(scene.handle);
}

static void drain(uint64_t size)
{
    static uint8_t data[65536];

    for (uint64_t checked = 0; checked < size;) {
        ssize_t length = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);
        if (length < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
            continue;
        }
        ck_assert_int_gt(length, 0);
        ck_assert(checkPattern(data, (size_t)length, checked));
        checked += (uint64_t)length;
    }
}

/* §2.1 fruitless readiness, §2.4 POLL_FIRST: a blocked send costs nothing, and goes on when
 * there is room */
CASE(poll, restsWhileBlocked)
{
    pairNoisyTcp();
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    transmitPattern(scene.ours.socket, MUCH, 0);
    expectQuiet();
    drain(MUCH);
    waitDrained(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 0);
}

/* §2.1 fruitless readiness: a reset ends what is blocked */
CASE(poll, seesResetWhileBlocked)
{
    pairNoisyTcp();
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    transmitPattern(scene.ours.socket, MUCH, 0);
    expectQuiet();
    resetPeer();
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, ECONNRESET);
}

/* §2.1 fruitless readiness, §2.6 flush: what a released socket has queued waits without turns,
 * and is sent */
CASE(poll, flushesWhileBlocked)
{
    pairNoisyTcp();
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    transmitPattern(scene.ours.socket, MUCH, 0);
    runTurns(scene.ring, WAITS);
    ReleaseFastSocket(scene.ours.socket);
    expectQuiet();
    drain(MUCH);
}

/* §2.1 fruitless readiness: a splice of the user's own */
CASE(poll, restsWhileSpliceIsBlocked)
{
    struct FastBuffer* buffer = NULL;
    struct FastRingDescriptor* descriptor = NULL;
    static char data[4096];
    int pipes[2];

    pairNoisyTcp();
    while (send(scene.handle, data, sizeof(data), MSG_DONTWAIT) > 0)
        ;
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq(write(pipes[1], "spliced", 7), 7);
    buffer = AllocateFastBuffer(scene.outbound, 1, 0);
    descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1,
                         GetFastSocketHandle(scene.ours.socket), -1, 7, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
    expectQuiet();
    while (GetFastSocketOutboundLength(scene.ours.socket) > 0) {
        (void)recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    }
    ck_assert_int_eq(scene.ours.err, 0);
    AbortFastSocket(scene.ours.socket);
    closePeer();
    close(pipes[0]);
    close(pipes[1]);
}

/* A connection attempt with something in the error queue, of the socket's last connection;
 * nobody answers until there is room in the backlog. */
static int connectNoisily(int listener, const struct sockaddr_storage* address, socklen_t length)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    pairNoisyTcp();
    closePeer();
    ck_assert_int_eq(connect(scene.handle, &nobody, sizeof(nobody)), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    scene.peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* fills the backlog */
    ck_assert_int_eq(connect(scene.peer, (const struct sockaddr*)address, length), 0);
    ck_assert_int_eq(connect(scene.handle, (const struct sockaddr*)address, length), -1);
    ck_assert_int_eq(errno, EINPROGRESS);
    return scene.handle;
}

/* §2.1 fruitless readiness, §2.4 before connect completes: a connect costs nothing, and is reported
 * when it has come */
CASE(poll, connectsBehindUnreadErrors)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int listener = listenTcp(&address, &length);
    int handle = connectNoisily(listener, &address, length);
    int others[2];
    char byte = 0;

    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    transmitText(scene.ours.socket, "hello");
    expectQuiet();
    ck_assert_int_eq(scene.ours.out + scene.ours.err, 0);
    others[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(others[0]);
    waitCount(scene.ring, &scene.ours.out, 1); /* the second SYN gets through */
    others[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    expectText(others[1], "hello");
    ck_assert_int_eq(send(others[1], &byte, 1, 0), 1);
    waitInput(&scene.ours, 1);
    ck_assert_int_eq(scene.ours.err, 0);
    ReleaseFastSocket(scene.ours.socket);
    close(others[1]);
    closePeer();
    close(listener);
}

/* §2.1 fruitless readiness, §2.1 connect failure: a refusal is reported */
CASE(poll, failsBehindUnreadErrors)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int listener = listenTcp(&address, &length);
    int handle = connectNoisily(listener, &address, length);

    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    expectQuiet();
    close(listener);
    closePeer();
    waitHangup(&scene.ours); /* the second SYN meets nobody */
    ck_assert_int_eq(scene.ours.out, 0);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, ECONNREFUSED);
}

/* §2.1 fruitless readiness: an idle socket of any kind with an unread error queue costs nothing */
CASE(poll, restsWhileIdle)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UDP};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        pairKind(kinds[index], scene.pair);
        askForStamps(scene.handle);
        ck_assert_int_eq(send(scene.handle, "x", 1, 0), 1);
        expectText(scene.peer, "x");
        expectNoisy(scene.handle);
        openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
        expectQuiet();
        sendText(scene.peer, "works");
        receiveText(&scene.ours, "works");
        closePair();
    }
}

/* §2.1 fruitless readiness: AF_UNIX, blocked */
CASE(poll, restsWhileLocalIsBlocked)
{
    const enum Kind kinds[] = {KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET, KIND_UNIX_DATAGRAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        pairKind(kinds[index], scene.pair);
        beNonblocking(scene.handle);
        openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
        for (int count = 0; count < 400; count++)
            transmitPattern(scene.ours.socket, 4096, 0);
        expectQuiet();
        ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
        AbortFastSocket(scene.ours.socket);
        closePeer();
    }
}

/* §2.1 fruitless readiness: UDP with IP_RECVERR, blocked by a neighbour that doesn't answer */
CASE(poll, restsWhileDatagramsAreBlocked)
{
    struct sockaddr_in target = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x0a090002)};
    struct sockaddr_in ours = {.sin_family = AF_INET};
    struct sockaddr_in dead = loopbackAddress();
    socklen_t length = sizeof(ours);
    static const char data[WAITS];
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
    scene.handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(scene.handle, (struct sockaddr*)&ours, length), 0);
    ck_assert_int_eq(getsockname(scene.handle, (struct sockaddr*)&ours, &length), 0);
    ours.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(setsockopt(scene.handle, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)), 0);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    sendUnreachable(&ours, &dead, ICMP_HOST_UNREACH);
    length = sizeof(error);
    ck_assert_int_eq(getsockopt(scene.handle, SOL_SOCKET, SO_ERROR, &error, &length), 0);
    ck_assert_int_eq(error, EHOSTUNREACH);
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    for (int count = 0; count < WAITS; count++) /* each longer, so that none go together */
        ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&target,
                                                sizeof(target), data, (size_t)count + 1, 0),
                         0);
    expectQuiet();
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
    AbortFastSocket(scene.ours.socket);
}
