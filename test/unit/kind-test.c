/*
 * What each kind of socket is asked for, and the errors of receives that not every kind has: the
 * test looks at the entries on their way to the kernel, and changes some.
 */
#define _GNU_SOURCE
#include "between.h"
#include "fixture.h"
#include "ring/state.h"
#include "socket/core.h"
#include "engine/uring-compat.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>

enum
{
    STRANGE = 250,        /* a family and protocol that nobody has */
    NO_GROUP = 0x7ffe,    /* of buffers */
    LARGE = 64 << 10,     /* where zero copy is worth it */
    MAX_RECEIVES = 1000, /* far more than are to be armed */
    BUFFER = 16384,
    ROUNDS = 20, /* after fewer a stream has found its form */
};

static struct
{
    int receives;
    int receiveFlags; /* of the last */
    bool bundle;      /* … whether it may fill several buffers */
    uint32_t most;    /* … what it may bring; 0: anything */
    int sendFlags;
    bool zeroCopy;
    struct Countdown starved; /* receives that find no buffers */
    int place;                /* descriptor that receives go to instead; 0 = their own */
} between;

static void look(struct io_uring_sqe* entry)
{
    switch (entry->opcode) {
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
        between.receives++;
        between.receiveFlags = (int)entry->msg_flags;
        between.bundle = entry->ioprio & FAST_URING_RECVSEND_BUNDLE;
        between.most = entry->len;
        if (countdownFails(&between.starved))
            entry->buf_group = NO_GROUP;
        if (between.place > 0)
            entry->fd = between.place;
        break;
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG_ZC:
        between.zeroCopy = true;
        break;
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
        between.sendFlags = (int)entry->msg_flags;
        break;
    default:
        break;
    }
}

/* The connection is made just after it was asked for. */
static struct Countdown peerNames, states;

int __real_getpeername(int handle, struct sockaddr* address, socklen_t* length);
int __wrap_getpeername(int handle, struct sockaddr* address, socklen_t* length);

int __wrap_getpeername(int handle, struct sockaddr* address, socklen_t* length)
{
    if (countdownFails(&peerNames)) {
        errno = ENOTCONN;
        return -1;
    }
    return __real_getpeername(handle, address, length);
}

static void setUp(void)
{
    sceneOpen(&scene, (struct SceneOptions){.buffers = 64, .bufferLength = BUFFER});
    memset(&between, 0, sizeof(between));
    betweenPut(scene.ring->engine, (struct Between){.look = look});
}

AREA(kind, "kind", .open = setUp, .close = closeScene);

/* ---- what is asked for ---- */

static bool strange;

/* Stands before the C library's for the library too. */
int getsockopt(int handle, int level, int option, void* value, socklen_t* length)
{
    if (strange && level == SOL_SOCKET && (option == SO_DOMAIN || option == SO_PROTOCOL)) {
        *(int*)value = STRANGE;
        return 0;
    }
    if (level == IPPROTO_TCP && option == TCP_INFO && countdownFails(&states)) {
        memset(value, 0, *length);
        ((struct tcp_info*)value)->tcpi_state = TCP_CLOSE;
        return 0;
    }
    return (int)syscall(SYS_getsockopt, handle, level, option, value, length);
}

/* Connected over loopback; false: the kernel has no such sockets. */
static bool pairProtocol(int protocol, int pair[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol);

    if (listener < 0)
        return false;
    ck_assert_int_eq(bind(listener, (struct sockaddr*)&address, length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr*)&address, &length), 0);
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol);
    /* A ring's work interrupts the wait of SCTP's connect; begun again, it is connected already, or
     * on the way there, which the accept waits for. */
    ck_assert(connect(pair[0], (struct sockaddr*)&address, length) == 0 || errno == EISCONN ||
              errno == EALREADY);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(pair[1], 0);
    close(listener);
    return true;
}

struct Wanted
{
    bool waitsForAll;
    bool bundle;
    bool zeroCopy;
    bool length;
};

static void dropInput(void)
{
    struct FastBuffer* buffer;

    while ((buffer = ReceiveFastSocketBuffer(scene.ours.socket)) != NULL)
        ReleaseFastBuffer(buffer);
}

/* More than a buffer holds, for long enough: a stream is then received in bundles, if it may be. */
static void overflowBuffers(int peer)
{
    static uint8_t data[8 * BUFFER];

    for (int round = 0; round < ROUNDS && !between.bundle; round++) {
        while (send(peer, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            continue;
        runIdle(scene.ring);
        dropInput();
    }
}

/* Sends and receives a little, and looks at what entered the kernel. */
static void expectAsked(int pair[2], size_t size, struct Wanted wanted)
{
    uint64_t features = scene.ring->engine->features;

    openRecorded(&scene, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &scene.ours);
    strange = false;
    runIdle(scene.ring);
    between.sendFlags = 0;
    between.zeroCopy = false;
    transmitPattern(scene.ours.socket, size, 0);
    runIdle(scene.ring);
    ck_assert_int_eq(between.zeroCopy,
                     wanted.zeroCopy && features & FASTRING_FEATURE_SEND_ZERO_COPY);
    transmitText(scene.ours.socket, "small");
    runIdle(scene.ring);
    ck_assert_int_eq((between.sendFlags & MSG_WAITALL) != 0, wanted.waitsForAll);
    ck_assert(!between.bundle);
    overflowBuffers(pair[1]);
    ck_assert_int_eq(between.bundle, wanted.bundle && features & FASTRING_FEATURE_RECEIVE_BUNDLE);
    ck_assert_int_eq((between.receiveFlags & MSG_TRUNC) != 0, wanted.length);
    ReleaseFastSocket(scene.ours.socket);
    close(pair[1]);
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.2 other kinds: the sharper tools are for those that are known to have them */
CASE(kind, asksTheKnown)
{
    int pair[2];

    pairTcp(pair);
    expectAsked(pair, LARGE,
                (struct Wanted){.waitsForAll = true, .bundle = true, .zeroCopy = true});
    pairStream(pair);
    expectAsked(pair, LARGE, (struct Wanted){.waitsForAll = true, .bundle = true});
    pairUdp(pair);
    expectAsked(pair, LARGE / 2, (struct Wanted){.zeroCopy = true, .length = true});
    pairUnix(pair, SOCK_SEQPACKET);
    expectAsked(pair, LARGE / 2, (struct Wanted){.length = true});
}

/* §2.2 other kinds: MPTCP's sends that wait for all would hide the errno of a reset */
CASE(kind, asksMptcpForNothing)
{
    int pair[2];

    if (!pairProtocol(IPPROTO_MPTCP, pair))
        skipTest("no MPTCP");
    expectAsked(pair, LARGE, (struct Wanted){0});
}

/* §2.2 other kinds: SCTP is not asked for the length of a message, since what is behind it comes
 * next */
CASE(kind, asksSctpForNothing)
{
    int pair[2];

    if (!pairProtocol(IPPROTO_SCTP, pair))
        skipTest("no SCTP");
    expectAsked(pair, LARGE / 2, (struct Wanted){0});
}

/* §2.2 other kinds: of a family that nobody tried nothing is asked that only some understand */
CASE(kind, asksTheUntriedForNothing)
{
    int pair[2];

    for (int index = 0; index < 4; index++) {
        if (index == 0)
            pairTcp(pair);
        else if (index == 1)
            pairStream(pair);
        else if (index == 2)
            pairUdp(pair);
        else
            pairUnix(pair, SOCK_SEQPACKET);
        strange = true;
        expectAsked(pair, LARGE / 2, (struct Wanted){0});
    }
}

/* ---- single buffers, or bundles ---- */

static uint64_t position; /* in the pattern, of what was sent and received */

/* Everything at once, and then all of it is received. */
static void exchange(size_t size)
{
    static uint8_t data[8 * BUFFER];

    fillPattern(data, size, position);
    sendAll(scene.peer, data, size);
    waitInput(&scene.ours, size);
    position = takePattern(scene.ours.socket, position);
}

/* So many messages of a size, in each of them as many receives as must be. */
static void exchangeMany(size_t size, int messages)
{
    for (; messages > 0; messages--)
        exchange(size);
    runIdle(scene.ring);
}

/* §2.3 bundles: a stream of small messages is received into single buffers, for ever */
CASE(kind, receivesSmallMessagesSingly)
{
    openPair(KIND_TCP);
    exchangeMany(100, 500);
    exchangeMany(BUFFER, 500); /* nothing is behind it */
    ck_assert(!between.bundle);
    ck_assert_int_le(between.receives, 10); /* one ends at the high mark, whatever is read before */
}

/* §2.1 starvation: one receive brings what the user lets a turn bring, but no more than 1 MiB */
CASE_ROUNDS(kind, receivesATurnsShare, 3)
{
    const uint64_t limits[] = {256 << 10, 512 << 10, 16 << 20};
    const uint64_t features = FASTRING_FEATURE_RECEIVE_BUNDLE | FASTRING_FEATURE_RECEIVE_CAP;

    if ((GetFastRingFeatures(scene.ring) & features) != features)
        skipTest("the kernel has no bundles, or can't bound them");
    reopenScene(.buffers = 1024, .bufferLength = BUFFER);
    betweenPut(scene.ring->engine, (struct Between){.look = look});
    position = 0;
    openPair(KIND_TCP);
    if (round > 0) /* it is 256 KiB by itself */
        setOption(scene.ours.socket, FASTSOCKET_OPTION_TURN_LIMIT, limits[round]);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 64 << 20);
    (void)GetFastRingBufferGroup(scene.provider); /* which has all its buffers then: 16 MiB */
    for (int exchanges = 0; exchanges < 50 && !between.bundle; exchanges++)
        exchangeMany(8 * BUFFER, 1);
    ck_assert(between.bundle);
    /* The first one had the buffers that were there. */
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ck_assert_uint_eq(between.most, limits[round] < 1 << 20 ? limits[round] : 1 << 20);
    exchangeMany(8 * BUFFER, 20);
}

/* §2.3 bundles: begun when buffers are too small, and given up when they are not, with no byte lost
 * and none out of order */
CASE(kind, changesItsForm)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    if (!(GetFastRingFeatures(scene.ring) & FASTRING_FEATURE_RECEIVE_BUNDLE))
        skipTest("the kernel has no bundles");
    for (int index = 0; index < 2; index++) {
        position = 0;
        between.bundle = false;
        openPair(kinds[index]);
        exchangeMany(8 * BUFFER, 20);
        ck_assert(between.bundle);
        exchangeMany(100, 50);
        ck_assert(between.bundle);
        exchangeMany(100, 500);
        ck_assert(!between.bundle);
        exchangeMany(8 * BUFFER, 20);
        ck_assert(between.bundle);
        closePair();
    }
}

/* §2.3 bundles: each change doubles what it takes to come to the next */
CASE(kind, changesItsFormSeldom)
{
    openPair(KIND_TCP);
    for (int round = 0; round < 50; round++) {
        exchangeMany(8 * BUFFER, 5);
        exchangeMany(100, 300);
    }
    /* Which of the receives ended by themselves is the kernel's business; 50 times a change and
     * back would be 100 more. */
    int changes = scene.ours.socket->inbound.changes;
    ck_assert_int_le(changes, 4);
    ck_assert_int_ge(changes, !!(scene.ring->engine->features & FASTRING_FEATURE_RECEIVE_BUNDLE));
}

/* ---- errors ---- */

static void openNetlink(void)
{
    int handle = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    ck_assert_int_ge(handle, 0);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
}

/* A question that the kernel answers. */
static void ask(void)
{
    struct
    {
        struct nlmsghdr header;
        struct rtgenmsg body;
    } request = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)),
                   .nlmsg_type = RTM_GETLINK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
    };

    ck_assert_int_eq(
        TransmitFastSocketData(scene.ours.socket, NULL, 0, &request, request.header.nlmsg_len, 0),
        0);
}

/* §2.3 lost messages: ENOBUFS while there are buffers is the socket's own, and receiving goes on
 * at once */
CASE(kind, tellsTheSocketsShortage)
{
    failCall(&between.starved, 1);
    openNetlink();
    waitFor(scene.ring, hasFailed, &scene.ours);
    ck_assert_int_eq(scene.ours.lastError, ENOBUFS);
    ck_assert_uint_eq(readSocket(scene.ours.socket).receiveStarvations, 0);
    ask();
    waitInput(&scene.ours, 1);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.hup, 0);
}

/* §2.3 lost messages: also of a family that nobody tried */
CASE(kind, tellsAnUntriedShortage)
{
    int pair[2];

    pairUdp(pair);
    failCall(&between.starved, 1);
    strange = true;
    openRecorded(&scene, pair[0], NULL, 0, &scene.ours);
    strange = false;
    waitFor(scene.ring, hasFailed, &scene.ours);
    ck_assert_int_eq(scene.ours.lastError, ENOBUFS);
    sendText(pair[1], "later");
    receiveText(&scene.ours, "later");
    ck_assert_int_eq(scene.ours.err, 1);
    ReleaseFastSocket(scene.ours.socket);
    close(pair[1]);
}

/* §2.1 POLLERR non-fatal (datagram): a socket that gives nothing but errors keeps no turn busy,
 * and is heard when it has something */
CASE(kind, restsWithoutAnythingButErrors)
{
    int never = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* not connected */
    int pair[2];

    pairUdp(pair);
    between.place = never;
    openRecorded(&scene, pair[0], NULL, 0, &scene.ours);
    waitCount(scene.ring, &scene.ours.err, 3);
    ck_assert_int_eq(scene.ours.lastError, ENOTCONN);
    runIdle(scene.ring);
    ck_assert_int_lt(between.receives, MAX_RECEIVES);
    between.place = 0;
    sendText(pair[1], "later");
    receiveText(&scene.ours, "later");
    ck_assert_int_eq(scene.ours.hup, 0);
    ReleaseFastSocket(scene.ours.socket);
    close(pair[1]);
    close(never);
}

/* §2.6 shutdown and close: a copy of the descriptor keeps no connection that has failed for us
 * alone, though its output was ended before */
CASE(kind, endsWhatHasFailed)
{
    int never = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* not connected */

    openPair(KIND_TCP);
    int copy = dup(GetFastSocketHandle(scene.ours.socket));
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    between.place = never;
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitFor(scene.ring, hasFailed, &scene.ours);
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    struct pollfd state = {.fd = copy, .events = POLLRDHUP};
    ck_assert_int_eq(poll(&state, 1, 0), 1);
    ck_assert_int_eq(state.revents & (POLLRDHUP | POLLHUP), POLLRDHUP | POLLHUP);
    closePeer();
    close(copy);
    close(never);
}

/* §2.2 not yet connected: a connection that is made while it is looked at counts */
CASE(kind, takesWhatIsJustConnected)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        int pair[2];
        pairKind(kinds[index], pair);
        failCall(&peerNames, 1);
        failCall(&states, kinds[index] == KIND_TCP);
        openRecorded(&scene, pair[0], NULL, 0, &scene.ours);
        ck_assert(!isFailureAwaited(&peerNames));
        ck_assert(!isFailureAwaited(&states));
        sendText(pair[1], "word");
        receiveText(&scene.ours, "word");
        ReleaseFastSocket(scene.ours.socket);
        close(pair[1]);
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}
