/*
 * Real networks: packets that are lost, late, doubled, out of order or answered by errors, and
 * paths that are no more. Where the kernel has netem or not: path.c carries the packets.
 */
#include "load.h"
#include "network.h"
#include "path.h"

#include <fcntl.h>
#include <netinet/tcp.h>

SCENE_AREA(path, "path");

enum
{
    LARGEST = 300000, /* of a message */
};

/* What a bad network does, and where time is no matter, a slow one. */
static struct PathFaults badNetwork(void)
{
    return (struct PathFaults){
        .lostPerMille = 50,
        .doubledPerMille = 20,
        .reorderedPerMille = 250,
        .delayMs = isLong() ? 200 : 0,
        .bytesPerSecond = isLong() ? 125000 : 0,
    };
}

static void tellCounts(const char* what, uint64_t bytes)
{
    struct PathCounts counts = countPath();

    tell("%s: %llu bytes; packets: %llu passed, %llu lost, %llu doubled, %llu late", what,
         (unsigned long long)bytes, (unsigned long long)counts.passed,
         (unsigned long long)counts.lost, (unsigned long long)counts.doubled,
         (unsigned long long)counts.reordered);
}

/* ---- bytes ---- */

/* One message by one of the calls, by chance. */
static void transmitOne(size_t size, uint64_t position, unsigned* seed)
{
    struct FastBuffer* buffer = makePattern(size, position);
    uint8_t* data = GetFastBufferData(buffer);
    struct iovec vectors[] = {{data, size / 2}, {data + size / 2, size - size / 2}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
    struct FastSocket* socket = scene.ours.socket;

    switch (rand_r(seed) % 3) {
    case 0:
        ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, data, size, 0), 0);
        ReleaseFastBuffer(buffer);
        break;
    case 1:
        ck_assert_int_eq(TransmitFastSocketMessage(socket, &message, 0), 0);
        ReleaseFastBuffer(buffer);
        break;
    default:
        ck_assert_int_eq(TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, size, 0), 0);
        break;
    }
}

/* The peer's side of a turn: reads what there is, writes what there is room for. */
struct Peer
{
    uint64_t received;
    uint64_t sent;
};

static void runPeer(struct Peer* peer, uint64_t total)
{
    static uint8_t data[65536];
    ssize_t size = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);

    if (size > 0) {
        ck_assert(checkPattern(data, (size_t)size, peer->received));
        peer->received += (uint64_t)size;
    }
    if (peer->sent == total)
        return;
    size = total - peer->sent < 10000 ? (ssize_t)(total - peer->sent) : 10000;
    fillPattern(data, (size_t)size, peer->sent);
    size = send(scene.peer, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size > 0)
        peer->sent += (uint64_t)size;
}

/* Both ways over the scene's pair. */
static void exchange(int mode, uint64_t total, unsigned seed)
{
    struct Peer peer = {0, 0};
    uint64_t sent = 0;
    uint64_t taken = 0;
    int drains = 0;

    openRecorded(&scene, scene.handle, NULL, mode, &scene.ours);
    waitCount(scene.ring, &scene.ours.out, 1);
    while ((peer.received < total) || (taken < total)) {
        int before = scene.ours.out;
        size_t queued = GetFastSocketOutboundLength(scene.ours.socket);
        if ((sent < total) && (queued < LARGEST)) {
            size_t size = (size_t)rand_r(&seed) % LARGEST;
            if (size > total - sent)
                size = (size_t)(total - sent);
            transmitOne(size, sent, &seed);
            sent += size;
        }
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
        drains += scene.ours.out - before;
        if (scene.ours.out > before) /* the last byte has gone, and no other says so twice */
            ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
        runPeer(&peer, total);
        taken = takePattern(scene.ours.socket, taken);
    }
    ck_assert_int_gt(drains, 0);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, total);
}

/* bytes, both ways, by all calls and sizes: exact, over a bad network */
CASE_ROUNDS(path, carriesBytes, 2)
{
    const int modes[] = {FASTSOCKET_MODE_REGULAR,
                         FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK};
    uint64_t total = (uint64_t)loadOf(100000, 1000000);

    if (!openPath())
        skipTest(PATH_SKIP);
    setPath(badNetwork());
    pairPath(scene.pair);
    exchange(modes[round], total, 7U + (unsigned)round);
    tellCounts(round == 0 ? "TCP both ways" : "TCP both ways, zero copy, corked", 2 * total);
    setPath((struct PathFaults){0});
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    closePath();
}

/* the same over the kernel's own bad network, where it has one */
CASE_ROUNDS(path, carriesBytesOverNetem, 2)
{
    static const char* const netem[] = {"tc", "qdisc", "add", "dev", "lo",
                                        "root", "netem", "delay", "20ms", "10ms",
                                        "loss", "5%", "reorder", "25%", "duplicate",
                                        "2%", NULL};
    const int modes[] = {FASTSOCKET_MODE_REGULAR,
                         FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK};
    uint64_t total = (uint64_t)loadOf(100000, 1000000);

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    if (!runTool(netem))
        skipTest("tc and a kernel with netem are needed");
    pairKind(KIND_TCP, scene.pair);
    exchange(modes[round], total, 9U + (unsigned)round);
    tell("TCP both ways over netem: %llu bytes", (unsigned long long)(2 * total));
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* ---- datagrams ---- */

enum
{
    DATAGRAM = 1000,
    PENDING = 100,
};

static uint64_t takeDatagrams(uint8_t* seen, uint32_t total)
{
    uint8_t data[DATAGRAM + 1];
    uint64_t count = 0;
    ssize_t size = 0;

    while ((size = ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0)) > 0) {
        uint32_t number = 0;
        ck_assert_int_eq(size, DATAGRAM);
        memcpy(&number, data, sizeof(number));
        ck_assert_uint_lt(number, total);
        ck_assert(checkPattern(data + sizeof(number), DATAGRAM - sizeof(number), number));
        seen[number]++;
        count++;
    }
    return count;
}

/* What was sent has reached the path, which is slower than we are: few wait before it. */
static void keepPace(uint64_t sent)
{
    struct PathCounts counts = countPath();

    while (counts.passed + counts.lost + PENDING < sent) {
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
        counts = countPath();
    }
}

/* datagrams: those that come are whole, and none comes that the network hasn't made */
CASE(path, carriesDatagrams)
{
    static uint8_t seen[50000];
    uint32_t total = (uint32_t)loadOf(2000, 50000);
    uint8_t data[DATAGRAM];
    uint64_t count = 0;

    if (!openPath())
        skipTest(PATH_SKIP);
    setPath((struct PathFaults){
        .lostPerMille = 50, .doubledPerMille = 20, .reorderedPerMille = 250});
    pairPathUdp(scene.pair);
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    for (uint32_t number = 0; number < total; number++) {
        memcpy(data, &number, sizeof(number));
        fillPattern(data + sizeof(number), sizeof(data) - sizeof(number), number);
        (void)send(scene.peer, data, sizeof(data), 0);
        ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, sizeof(data), 0),
                         0);
        if (number % 8 == 7) {
            runTurns(scene.ring, 1);
            keepPace(2 * number);
        }
        count += takeDatagrams(seen, total);
        while (recv(scene.peer, data, sizeof(data), MSG_DONTWAIT) > 0)
            continue;
    }
    while (count < total / 2) { /* the rest may be lost */
        ck_assert_int_eq(WaitForFastRing(scene.ring, 100, NULL), 0);
        count += takeDatagrams(seen, total);
    }
    for (uint32_t number = 0; number < total; number++)
        ck_assert_uint_le(seen[number], 2);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
    tell("UDP: %u datagrams each way, %llu came", total, (unsigned long long)count);
    tellCounts("UDP", count * DATAGRAM);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    closePath();
}

/* ---- paths that are no more ---- */

static void openOverPath(int mode, unsigned timeoutMs)
{
    pairPath(scene.pair);
    ck_assert_int_eq(setsockopt(scene.handle, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeoutMs,
                                sizeof(timeoutMs)),
                     0);
    openRecorded(&scene, scene.handle, NULL, mode, &scene.ours);
    waitCount(scene.ring, &scene.ours.out, 1);
}

/* nothing passes any more: the connection times out, once, and what was queued is dropped */
CASE_ROUNDS(path, timesOut, 2)
{
    if (!openPath())
        skipTest(PATH_SKIP);
    openOverPath(round == 0 ? 0 : FASTSOCKET_MODE_ZERO_COPY, 500);
    setPath((struct PathFaults){.lostPerMille = 1000});
    transmitPattern(scene.ours.socket, 1000000, 0);
    waitHangup(&scene.ours);
    expectFailure(&scene.ours, ETIMEDOUT);
    ck_assert_int_eq(scene.ours.order[scene.ours.events - 1], POLLHUP);
    setPath((struct PathFaults){0});
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    closePath();
}

/* the device goes down under a connection that sends */
CASE(path, losesItsDevice)
{
    if (!openPath())
        skipTest(PATH_SKIP);
    openOverPath(0, 500);
    transmitPattern(scene.ours.socket, 100000, 0);
    runTurns(scene.ring, 1);
    cutPath();
    transmitPattern(scene.ours.socket, 1000000, 100000);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastHangup, scene.ours.lastError);
    tell("a device that went down: errno %d", scene.ours.lastError);
    AbortFastSocket(scene.ours.socket);
    closePeer();
    waitFor(scene.ring, isNothingPending, scene.ring);
    closePath();
}

static int beginConnect(void)
{
    struct sockaddr_in address;
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    close(listenPath(&address));
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, sizeof(address)), -1);
    ck_assert_int_eq(errno, EINPROGRESS);
    return handle;
}

/* a connect that nobody answers: silence, and a release that closes at once */
CASE(path, releasesAConnectIntoNowhere)
{
    if (!openPath())
        skipTest(PATH_SKIP);
    setPath((struct PathFaults){.lostPerMille = 1000});
    for (int round = 0; round < loadOf(20, 1000); round++) {
        scene.pair[0] = beginConnect();
        openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
        transmitText(scene.ours.socket, "never");
        runTurns(scene.ring, round % 4);
        ck_assert_int_eq(scene.ours.events, 0);
        if (round & 1)
            AbortFastSocket(scene.ours.socket);
        else
            ReleaseFastSocket(scene.ours.socket);
        for (int turn = 0; GetFastRingPending(scene.ring) > 0; turn++) {
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1000, NULL), 0);
            ck_assert_int_lt(turn, 8); /* none of which is for a timer's end */
        }
        ck_assert_int_eq(fcntl(scene.handle, F_GETFD), -1);
    }
    closePath();
}

/* … and one that waits for it has its end, after three seconds of the kernel's: in the long form */
CASE(path, connectTimesOut)
{
    if (!isLong())
        return;
    if (!openPath())
        skipTest(PATH_SKIP);
    setPath((struct PathFaults){.lostPerMille = 1000});
    scene.pair[0] = beginConnect();
    ck_assert_int_eq(setsockopt(scene.handle, IPPROTO_TCP, TCP_SYNCNT, &(int){1}, sizeof(int)), 0);
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    transmitText(scene.ours.socket, "never");
    waitHangup(&scene.ours);
    expectFailure(&scene.ours, ETIMEDOUT);
    closePath();
}

/* a connect that a router refuses */
CASE(path, connectIsUnreachable)
{
    int result = 0;

    if (!openPath())
        skipTest(PATH_SKIP);
    setPath((struct PathFaults){.unreachable = true});
    scene.pair[0] = beginConnect();
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    result = TransmitFastSocketData(scene.ours.socket, NULL, 0, "never", 5, 0);
    ck_assert((result == 0) || (result == -EPIPE)); /* it may have failed by now */
    waitHangup(&scene.ours);
    expectFailure(&scene.ours, EHOSTUNREACH);
    closePath();
}

/* zero copy, and the peer acknowledges nothing: the release is bounded, and the buffers, which the
 * kernel has until then, come home */
CASE(path, releasesWithoutAcknowledgements)
{
    if (!openPath())
        skipTest(PATH_SKIP);
    openOverPath(FASTSOCKET_MODE_ZERO_COPY, 0);
    setPath((struct PathFaults){.lostPerMille = 1000});
    setOption(scene.ours.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 50);
    for (uint64_t part = 0; part < 10; part++) {
        struct FastBuffer* buffer = makePattern(100000, part * 100000);
        ck_assert_int_eq(
            TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, 100000, 0), 0);
    }
    runTurns(scene.ring, 5);
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    setPath((struct PathFaults){0});
    closePath();
}
