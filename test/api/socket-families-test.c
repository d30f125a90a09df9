/*
 * Kinds of sockets beside TCP, UDP and AF_UNIX: a real exchange with each that this kernel has.
 * What needs addresses or settings of its own runs in a network namespace of its own.
 */
/* As the library is compiled, whose calls have other names where a time_t may have 32 bits. */
#define _TIME_BITS 64
#define _GNU_SOURCE
#include "network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

enum
{
    STRANGE = 250, /* a family, and a protocol, that nobody has */
    LARGE = 6 << 20,
    RECORD = 3000,
    FRAME_TYPE = 0x88b5, /* of the experimental ones */
};

static struct Recorder other;

SCENE_AREA_OF(families, "families", .bufferLength = 16384);

/* ---- sockets of a family that nobody has tried ----------------------------------------------- */

static bool strange; /* what the library asks of any socket's family and protocol */

/* Stands before the C library's for the library too. */
int getsockopt(int handle, int level, int option, void* value, socklen_t* length)
{
    if (strange && level == SOL_SOCKET && (option == SO_DOMAIN || option == SO_PROTOCOL)) {
        *(int*)value = STRANGE;
        return 0;
    }
    if (strange && level != SOL_SOCKET) {
        errno = ENOPROTOOPT;
        return -1;
    }
    return (int)syscall(SYS_getsockopt, handle, level, option, value, length);
}

static struct FastSocket* openStrange(int handle, struct msghdr* message, struct Recorder* to)
{
    strange = true;
    openRecorded(&scene, handle, message, FASTSOCKET_MODE_ZERO_COPY, to);
    strange = false;
    return to->socket;
}

/* ---- exchanges ------------------------------------------------------------------------------- */

/* Sends a long pattern from one socket of ours to the other, which reads it in odd pieces. */
static void transfer(struct Recorder* from, struct Recorder* to, size_t size)
{
    static uint8_t data[100003];
    size_t done = 0;

    transmitPattern(from->socket, size, 7);
    while (done < size) {
        ssize_t count = ReceiveFastSocketData(to->socket, data, sizeof(data), 0);
        ck_assert_msg(count >= 0, "%s", strerror((int)-count));
        ck_assert(checkPattern(data, (size_t)count, 7 + done));
        done += (size_t)count;
        ck_assert_int_eq(from->err + to->err, 0);
        if (count == 0)
            ck_assert_int_eq(WaitForFastRing(scene.ring, 100, NULL), 0);
    }
    waitDrained(from);
    ck_assert_uint_eq(GetFastSocketInboundLength(to->socket), 0);
}

/* Sends records of odd lengths in a burst; each arrives as one. */
static void transferRecords(struct Recorder* from, struct Recorder* to, int count)
{
    static uint8_t data[RECORD * 2];

    for (int index = 0; index < count; index++)
        transmitPattern(from->socket, (size_t)(1 + index * 37 % RECORD), (uint64_t)index);
    for (int index = 0; index < count; index++) {
        size_t size = (size_t)(1 + index * 37 % RECORD);
        waitInput(to, size);
        ck_assert_int_eq(ReceiveFastSocketData(to->socket, data, sizeof(data), 0), (ssize_t)size);
        ck_assert(checkPattern(data, size, (uint64_t)index));
    }
    ck_assert_int_eq(from->err + to->err, 0);
}

/* Both ends of a connection on the ring, both directions, then the one end, then the other. */
static void exchangeStream(int left, int right)
{
    openRecorded(&scene, left, NULL, FASTSOCKET_MODE_ZERO_COPY, &scene.ours);
    openRecorded(&scene, right, NULL, 0, &other);
    waitFor(scene.ring, isWritable, &scene.ours);
    transfer(&scene.ours, &other, LARGE);
    transfer(&other, &scene.ours, LARGE);
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    waitHangup(&other);
    ck_assert_int_eq(other.lastHangup, 0);
    transfer(&other, &scene.ours, 100000); /* the other direction goes on */
    ReleaseFastSocket(other.socket);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    ck_assert_int_eq(scene.ours.err + other.err, 0);
    ReleaseFastSocket(scene.ours.socket);
}

static void exchangeRecords(int left, int right)
{
    openRecorded(&scene, left, NULL, FASTSOCKET_MODE_ZERO_COPY, &scene.ours);
    openRecorded(&scene, right, NULL, 0, &other);
    waitFor(scene.ring, isWritable, &scene.ours);
    transferRecords(&scene.ours, &other, 200);
    transferRecords(&other, &scene.ours, 200);
    transmitText(other.socket, "the last one");
    ReleaseFastSocket(other.socket);
    receiveText(&scene.ours, "the last one");
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    ck_assert_int_eq(scene.ours.err, 0);
    ReleaseFastSocket(scene.ours.socket);
}

/* ---- connections ----------------------------------------------------------------------------- */

struct Address
{
    struct sockaddr_storage name;
    socklen_t length;
};

static struct Address loopback(void)
{
    struct Address address = {.length = sizeof(struct sockaddr_in)};
    struct sockaddr_in* name = (struct sockaddr_in*)&address.name;

    name->sin_family = AF_INET;
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static struct Address machine(unsigned context)
{
    struct Address address = {.length = sizeof(struct sockaddr_vm)};
    struct sockaddr_vm* name = (struct sockaddr_vm*)&address.name;

    name->svm_family = AF_VSOCK;
    name->svm_cid = context;
    name->svm_port = VMADDR_PORT_ANY;
    return address;
}

/* A listening socket on address, which becomes what to connect to. */
static int listenOn(int type, int protocol, struct Address* address)
{
    int handle = socket(address->name.ss_family, type | SOCK_CLOEXEC, protocol);

    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&address->name, address->length), 0);
    ck_assert_int_eq(listen(handle, 16), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)&address->name, &address->length), 0);
    if (address->name.ss_family == AF_VSOCK)
        ((struct sockaddr_vm*)&address->name)->svm_cid = VMADDR_CID_LOCAL;
    return handle;
}

/* A connection, or one in progress. */
static int connectTo(int type, int protocol, const struct Address* address)
{
    int handle = socket(address->name.ss_family, type | SOCK_CLOEXEC, protocol);
    int result = 0;

    ck_assert_int_ge(handle, 0);
    /* A ring's work interrupts the wait of a connect. Begun again, SCTP's is connected already, or
     * still connecting. */
    do
        result = connect(handle, (const struct sockaddr*)&address->name, address->length);
    while (result < 0 && errno == EINTR);
    if (result < 0)
        ck_assert_msg(errno == EINPROGRESS || errno == EISCONN || errno == EALREADY, "%s",
                      strerror(errno));
    return handle;
}

static void pairOf(int type, int protocol, struct Address address, int pair[2])
{
    int listener = listenOn(type, protocol, &address);

    pair[0] = connectTo(type, protocol, &address);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(pair[1], 0);
    close(listener);
}

/* README's server: what it accepts is echoed. */
struct Server
{
    struct FastListener* listener;
    int accepted;
    int ended;
};

static void echo(struct FastSocket* socket, int event, int parameter)
{
    struct Server* server = GetFastSocketClosure(socket);
    struct FastBuffer* buffer;

    (void)parameter;
    if (event == POLLIN)
        while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL)
            ck_assert_int_eq(TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0,
                                                      GetFastBufferLength(buffer), 0), 0);
    if (event == POLLHUP) {
        server->ended++;
        ReleaseFastSocket(socket);
    }
}

static void onConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Server* server = closure;

    (void)listener;
    ck_assert_msg(handle >= 0, "%s", strerror(-handle));
    ck_assert_msg(CreateFastSocket(scene.ring, scene.provider, scene.inbound, scene.outbound,
                                   handle, NULL, 0, 0, 0, echo, server) != NULL,
                  "%s", strerror(errno));
    server->accepted++;
}

static void serve(struct Server* server, int type, int protocol, struct Address* address)
{
    *server = (struct Server){.listener = CreateFastListener(scene.ring,
                                                             listenOn(type, protocol, address), 0,
                                                             onConnection, server)};
    ck_assert_ptr_nonnull(server->listener);
}

/* A client of ours and a plain one get their words back. */
static void useServer(struct Server* server, int type, int protocol, const struct Address* address)
{
    int plain = connectTo(type, protocol, address);

    openRecorded(&scene, connectTo(type | SOCK_NONBLOCK, protocol, address), NULL, 0, &scene.ours);
    transmitText(scene.ours.socket, "of ours");
    sendText(plain, "plain");
    receiveText(&scene.ours, "of ours");
    waitCount(scene.ring, &server->accepted, 2);
    struct pollfd state = {.fd = plain, .events = POLLIN};
    while (poll(&state, 1, 0) == 0)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 10, NULL), 0);
    expectText(plain, "plain");
    close(plain);
    ReleaseFastSocket(scene.ours.socket);
    waitCount(scene.ring, &server->ended, 2);
    ck_assert_int_eq(scene.ours.err, 0);
}

/* Refused with errno, the descriptor unchanged. */
static void refuse(int error, int handle)
{
    int flags = fcntl(handle, F_GETFD);

    ck_assert_int_ge(handle, 0);
    errno = 0;
    ck_assert_ptr_null(CreateFastSocket(scene.ring, scene.provider, scene.inbound, scene.outbound,
                                        handle, NULL, 0, 0, 0, recordEvent, &scene.ours));
    ck_assert_int_eq(errno, error);
    ck_assert_int_eq(fcntl(handle, F_GETFD), flags);
    ck_assert_int_eq(close(handle), 0);
}

/* A connect that nobody answers is reported in the first turn, or when it fails. */
static void expectRefused(int type, int protocol, struct Address address, int error)
{
    close(listenOn(type, protocol, &address)); /* free again */
    int handle = socket(address.name.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address.name, address.length), -1);
    ck_assert(errno == EINPROGRESS || errno == error);
    if (errno != EINPROGRESS) { /* reported already, and never connected */
        refuse(ENOTCONN, handle);
        return;
    }
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.lastError, error);
    ck_assert_int_eq(scene.ours.lastHangup, error);
    ck_assert_int_eq(scene.ours.out, 0);
    ReleaseFastSocket(scene.ours.socket);
}

/* An abort is heard by the peer as more than an end. */
static void expectAborted(const int pair[2], int error)
{
    openRecorded(&scene, pair[0], NULL, 0, &scene.ours);
    openRecorded(&scene, pair[1], NULL, 0, &other);
    waitFor(scene.ring, isWritable, &scene.ours);
    AbortFastSocket(scene.ours.socket);
    waitHangup(&other);
    ck_assert_int_eq(other.lastHangup, error);
    ReleaseFastSocket(other.socket);
}

/* ---- MPTCP ----------------------------------------------------------------------------------- */

static bool lacks(int family, int type, int protocol)
{
    int handle = socket(family, type | SOCK_CLOEXEC, protocol);

    if (handle < 0)
        return true;
    close(handle);
    return false;
}

#define skipWithoutMptcp()                              \
    if (lacks(AF_INET, SOCK_STREAM, IPPROTO_MPTCP))     \
    skipTest("no MPTCP")

/* §2.2 other kinds: both ends, megabytes in both directions, and the ends one after the other */
CASE(families, mptcpExchanges)
{
    int pair[2];

    skipWithoutMptcp();
    pairOf(SOCK_STREAM, IPPROTO_MPTCP, loopback(), pair);
    exchangeStream(pair[0], pair[1]);
}

/* §2.2 other kinds: a server accepts clients of MPTCP and plain ones of TCP */
CASE(families, mptcpServes)
{
    struct Address address = loopback();
    struct Server server;

    skipWithoutMptcp();
    serve(&server, SOCK_STREAM, IPPROTO_MPTCP, &address);
    useServer(&server, SOCK_STREAM, IPPROTO_MPTCP, &address);
    server.accepted = server.ended = 0;
    useServer(&server, SOCK_STREAM, IPPROTO_TCP, &address);
    ReleaseFastListener(server.listener);
}

/* §2.2 other kinds: a client of MPTCP falls back to TCP, and works */
CASE(families, mptcpFallsBack)
{
    struct Address address = loopback();
    int pair[2];

    skipWithoutMptcp();
    int listener = listenOn(SOCK_STREAM, IPPROTO_TCP, &address);
    pair[0] = connectTo(SOCK_STREAM, IPPROTO_MPTCP, &address);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    exchangeStream(pair[0], pair[1]);
}

/* §2.2 not yet connected: a connect that hangs is waited for, and nothing is reported before */
CASE(families, mptcpWaitsForItsConnection)
{
    struct Address address = loopback();
    int fillers[8];
    int count = 0;

    skipWithoutMptcp();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    ck_assert_int_eq(bind(listener, (struct sockaddr*)&address.name, address.length), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr*)&address.name, &address.length), 0);
    for (; count < 4; count++)
        fillers[count] = connectTo(SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP, &address);
    int handle = connectTo(SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_MPTCP, &address);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    transmitText(scene.ours.socket, "at last");
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 7);
    for (; count > 0; count--)
        close(fillers[count - 1]);
    ck_assert_int_eq(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    while (scene.ours.out == 0) { /* the handshake is tried again after a second */
        fillers[count] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        count += fillers[count] >= 0;
        ck_assert_int_eq(WaitForFastRing(scene.ring, 10, NULL), 0);
        ck_assert_int_eq(scene.ours.err, 0);
    }
    ck_assert_int_eq(scene.ours.err, 0);
    ReleaseFastSocket(scene.ours.socket);
    while (count > 0)
        close(fillers[--count]);
    close(listener);
}

/* §2.2 not yet connected: never connected is refused, and a refused connect reported */
CASE(families, mptcpNeedsAConnection)
{
    skipWithoutMptcp();
    refuse(ENOTCONN, socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP));
    expectRefused(SOCK_STREAM, IPPROTO_MPTCP, loopback(), ECONNREFUSED);
}

/* §2.6 AbortFastSocket: resets the connection */
CASE(families, mptcpAborts)
{
    int pair[2];

    skipWithoutMptcp();
    pairOf(SOCK_STREAM, IPPROTO_MPTCP, loopback(), pair);
    expectAborted(pair, ECONNRESET);
}

/* §2.1 data and RST together: what came before a reset in the middle is read, the reset is
 * reported */
CASE(families, mptcpTellsReset)
{
    static uint8_t data[4096];
    int pair[2];

    skipWithoutMptcp();
    pairOf(SOCK_STREAM, IPPROTO_MPTCP, loopback(), pair);
    openRecorded(&scene, pair[0], NULL, 0, &scene.ours);
    transmitPattern(scene.ours.socket, LARGE, 0); /* more than the peer takes */
    runIdle(scene.ring);
    receiveAll(pair[1], data, sizeof(data));
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    ck_assert_int_eq(connect(pair[1], &nobody, sizeof(nobody)), 0);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.lastError, ECONNRESET);
    ReleaseFastSocket(scene.ours.socket);
    close(pair[1]);
}

/* ---- vsock ----------------------------------------------------------------------------------- */

#define skipWithoutVsock()                                   \
    if (access("/sys/module/vsock_loopback", F_OK) != 0)     \
    skipTest("no vsock loopback")

/* It came later than the rest: the first system call for it knows. */
#define skipWithoutVsockRecords()                    \
    skipWithoutVsock();                              \
    if (lacks(AF_VSOCK, SOCK_SEQPACKET, 0))          \
    skipTest("vsock has no SOCK_SEQPACKET")

/* §2.2 other kinds: a vsock stream, megabytes in both directions */
CASE(families, vsockExchanges)
{
    int pair[2];

    skipWithoutVsock();
    pairOf(SOCK_STREAM, 0, machine(VMADDR_CID_ANY), pair);
    exchangeStream(pair[0], pair[1]);
}

/* §2.2 other kinds: vsock records keep their borders */
CASE(families, vsockKeepsRecords)
{
    int pair[2];

    skipWithoutVsockRecords();
    pairOf(SOCK_SEQPACKET, 0, machine(VMADDR_CID_ANY), pair);
    exchangeRecords(pair[0], pair[1]);
}

static void serveMachine(int type)
{
    struct Address address = machine(VMADDR_CID_ANY);
    struct Server server;

    serve(&server, type, 0, &address);
    useServer(&server, type, 0, &address);
    ReleaseFastListener(server.listener);
}

/* §2.2 other kinds: a vsock server */
CASE(families, vsockServes)
{
    skipWithoutVsock();
    serveMachine(SOCK_STREAM);
}

/* §2.2 other kinds: a vsock server of records */
CASE(families, vsockServesRecords)
{
    skipWithoutVsockRecords();
    serveMachine(SOCK_SEQPACKET);
}

/* §2.2 not yet connected: never connected is refused, and a refused connect reported */
CASE(families, vsockNeedsAConnection)
{
    skipWithoutVsock();
    refuse(ENOTCONN, socket(AF_VSOCK, SOCK_STREAM, 0));
    expectRefused(SOCK_STREAM, 0, machine(VMADDR_CID_ANY), ECONNRESET);
}

/* §2.2 not yet connected: never connected is refused for records, too */
CASE(families, vsockNeedsAConnectionForRecords)
{
    skipWithoutVsockRecords();
    refuse(ENOTCONN, socket(AF_VSOCK, SOCK_SEQPACKET, 0));
}

/* §2.3 truncation: a vsock record's true length is reported */
CASE(families, vsockTellsTruncation)
{
    static uint8_t data[40000];
    int pair[2];

    skipWithoutVsockRecords();
    pairOf(SOCK_SEQPACKET, 0, machine(VMADDR_CID_ANY), pair);
    openRecorded(&scene, pair[0], NULL, 0, &scene.ours);
    runIdle(scene.ring);
    fillPattern(data, sizeof(data), 0);
    sendAll(pair[1], data, sizeof(data));
    waitInput(&scene.ours, 1);
    ck_assert_uint_eq(readSocket(scene.ours.socket).receivedTruncated, 1);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), MSG_TRUNC),
                     40000);
    ReleaseFastSocket(scene.ours.socket);
    close(pair[1]);
}

/* ---- SCTP ------------------------------------------------------------------------------------ */

#define skipWithoutSctp()                              \
    if (lacks(AF_INET, SOCK_STREAM, IPPROTO_SCTP))     \
    skipTest("no SCTP")

/* §2.2 other kinds: one-to-one SCTP keeps the borders of messages */
CASE(families, sctpKeepsRecords)
{
    int pair[2];

    skipWithoutSctp();
    pairOf(SOCK_STREAM, IPPROTO_SCTP, loopback(), pair);
    exchangeRecords(pair[0], pair[1]);
}

/* §2.2 other kinds: an SCTP server */
CASE(families, sctpServes)
{
    struct Address address = loopback();
    struct Server server;

    skipWithoutSctp();
    serve(&server, SOCK_STREAM, IPPROTO_SCTP, &address);
    useServer(&server, SOCK_STREAM, IPPROTO_SCTP, &address);
    ReleaseFastListener(server.listener);
}

/* §2.2 not yet connected: never connected is refused, and a refused connect reported */
CASE(families, sctpNeedsAConnection)
{
    skipWithoutSctp();
    refuse(ENOTCONN, socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP));
    expectRefused(SOCK_STREAM, IPPROTO_SCTP, loopback(), ECONNREFUSED);
}

/* §2.6 AbortFastSocket: resets the association */
CASE(families, sctpAborts)
{
    int pair[2];

    skipWithoutSctp();
    pairOf(SOCK_STREAM, IPPROTO_SCTP, loopback(), pair);
    expectAborted(pair, ECONNRESET);
}

/* §2.3 recvmsg layout: a message larger than the buffers comes in pieces, and MSG_EOR is in the
 * last one's flags only */
CASE(families, sctpTellsTheEndOfMessages)
{
    static uint8_t data[50000];
    struct msghdr header = {.msg_namelen = 16, .msg_controllen = 64};
    size_t done = 0;
    int pair[2];

    skipWithoutSctp();
    pairOf(SOCK_STREAM, IPPROTO_SCTP, loopback(), pair);
    openRecorded(&scene, pair[0], &header, 0, &scene.ours);
    fillPattern(data, sizeof(data), 0);
    sendAll(pair[1], data, sizeof(data));
    while (done < sizeof(data)) {
        uint32_t lengths[4];
        waitInput(&scene.ours, 1);
        struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.ours.socket);
        memcpy(lengths, GetFastBufferData(buffer), sizeof(lengths));
        ck_assert(checkPattern(GetFastBufferData(buffer) + 16 + 16 + 64, lengths[2], done));
        done += lengths[2];
        ck_assert_int_eq((lengths[3] & MSG_EOR) != 0, done == sizeof(data));
        ReleaseFastBuffer(buffer);
    }
    ck_assert_uint_eq(readSocket(scene.ours.socket).receivedTruncated, 0);
    ReleaseFastSocket(scene.ours.socket);
    close(pair[1]);
}

static void ignoreConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    (void)handle;
    (void)closure;
}

/* §2.2 other kinds: one-to-many SCTP is a socket of messages with addresses, which listens
 * itself */
CASE(families, sctpServesMany)
{
    struct msghdr header = {.msg_namelen = sizeof(struct sockaddr_in)};
    struct Address address = loopback();
    int clients[3];

    skipWithoutSctp();
    int handle = listenOn(SOCK_SEQPACKET, IPPROTO_SCTP, &address);
    errno = 0;
    ck_assert_ptr_null(CreateFastListener(scene.ring, handle, 0, ignoreConnection, NULL));
    ck_assert_int_eq(errno, EOPNOTSUPP);
    openRecorded(&scene, handle, &header, 0, &scene.ours);
    for (int index = 0; index < 3; index++) {
        clients[index] = connectTo(SOCK_STREAM, IPPROTO_SCTP, &address);
        sendText(clients[index], "word");
    }
    for (int index = 0; index < 3; index++) {
        uint32_t lengths[4];
        waitInput(&scene.ours, 4);
        struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.ours.socket);
        uint8_t* start = GetFastBufferData(buffer);
        memcpy(lengths, start, sizeof(lengths));
        ck_assert_uint_eq(lengths[0], sizeof(struct sockaddr_in));
        ck_assert_int_eq(
            TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)(start + sizeof(lengths)),
                                   lengths[0], start + sizeof(lengths) + header.msg_namelen,
                                   lengths[2], 0),
            0);
        ReleaseFastBuffer(buffer);
    }
    waitDrained(&scene.ours);
    for (int index = 0; index < 3; index++) {
        expectText(clients[index], "word");
        close(clients[index]);
    }
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
}

/* ---- TIPC: a family that the library doesn't know -------------------------------------------- */

#define skipWithoutTipc()                  \
    if (lacks(AF_TIPC, SOCK_STREAM, 0))    \
    skipTest("no TIPC")

/* §2.2 other kinds: TIPC's stream, megabytes in both directions */
CASE(families, tipcExchanges)
{
    int pair[2];

    skipWithoutTipc();
    ck_assert_int_eq(socketpair(AF_TIPC, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    openRecorded(&scene, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &scene.ours);
    openRecorded(&scene, pair[1], NULL, 0, &other);
    transfer(&scene.ours, &other, LARGE);
    transfer(&other, &scene.ours, LARGE);
    ReleaseFastSocket(other.socket);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.hup, 1);
}

/* §2.2 other kinds: TIPC's records */
CASE(families, tipcKeepsRecords)
{
    int pair[2];

    skipWithoutTipc();
    ck_assert_int_eq(socketpair(AF_TIPC, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    openRecorded(&scene, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &scene.ours);
    openRecorded(&scene, pair[1], NULL, 0, &other);
    transferRecords(&scene.ours, &other, 200);
    transferRecords(&other, &scene.ours, 200);
    ReleaseFastSocket(other.socket);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.hup, 1);
}

/* ---- datagrams over IP ----------------------------------------------------------------------- */

/* §2.2 other kinds: UDP-Lite, of both families of addresses */
CASE(families, udpLiteEchoes)
{
    struct msghdr header = {.msg_namelen = sizeof(struct sockaddr_in)};
    struct Address address = loopback();

    if (lacks(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE))
        skipTest("no UDP-Lite");
    int plain = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDPLITE);
    ck_assert_int_eq(bind(plain, (struct sockaddr*)&address.name, address.length), 0);
    struct Address back = loopback();
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDPLITE);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&back.name, back.length), 0);
    ck_assert_int_eq(getsockname(plain, (struct sockaddr*)&address.name, &address.length), 0);
    openRecorded(&scene, handle, &header, FASTSOCKET_MODE_ZERO_COPY, &scene.ours);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&address.name,
                                            address.length, "ping", 4, 0),
                     0);
    waitDrained(&scene.ours);
    char data[16] = "";
    ck_assert_int_eq(
        recvfrom(plain, data, sizeof(data), 0, (struct sockaddr*)&back.name, &back.length), 4);
    ck_assert_int_eq(sendto(plain, data, 4, 0, (struct sockaddr*)&back.name, back.length), 4);
    receiveText(&scene.ours, "ping");
    static uint8_t large[65536];
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&address.name,
                                            address.length, large, sizeof(large), 0),
                     -EMSGSIZE);
    ck_assert_int_eq(scene.ours.err, 0);
    ReleaseFastSocket(scene.ours.socket);
    close(plain);
}

/* Sets the loopback device, whose name the request has. */
static void setLoopback(unsigned long command, struct ifreq* request)
{
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strcpy(request->ifr_name, "lo");
    ck_assert_int_eq(ioctl(handle, command, request), 0);
    close(handle);
}

static void raiseLoopback(bool up)
{
    struct ifreq request = {.ifr_flags = (short)(up ? IFF_UP | IFF_RUNNING : 0)};

    setLoopback(SIOCSIFFLAGS, &request);
}

/* Waits for the message that has text behind offset bytes of headers, among whatever else comes. */
static void expectPayload(struct Recorder* from, size_t offset, const char* text)
{
    size_t length = strlen(text);

    for (;;) {
        waitInput(from, 1);
        struct FastBuffer* buffer = ReceiveFastSocketBuffer(from->socket);
        bool right = GetFastBufferLength(buffer) >= offset + length &&
                     memcmp(GetFastBufferData(buffer) + offset, text, length) == 0;
        ReleaseFastBuffer(buffer);
        if (right)
            return;
    }
}

/* An echo request with text, and what answers it, by one kind of socket. */
static void ping(int type, struct Address address, size_t headers, const char* text)
{
    bool six = address.name.ss_family == AF_INET6;
    int handle = socket(address.name.ss_family, type | SOCK_CLOEXEC,
                        six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    uint8_t packet[64] = {six ? ICMP6_ECHO_REQUEST : ICMP_ECHO};
    size_t size = 8 + strlen(text);
    uint32_t sum = 0;

    ck_assert_int_ge(handle, 0);
    memcpy(packet + 8, text, strlen(text));
    for (size_t index = 0; !six && index < size + size % 2; index += 2)
        sum += (uint32_t)(packet[index] << 8 | packet[index + 1]);
    sum = ~((sum & 0xffff) + (sum >> 16));
    packet[2] = (uint8_t)(sum >> 8);
    packet[3] = (uint8_t)sum;
    openRecorded(&scene, handle, NULL, FASTSOCKET_MODE_ZERO_COPY, &scene.ours);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&address.name,
                                            address.length, packet, size, 0),
                     0);
    expectPayload(&scene.ours, headers + 8, text);
    ck_assert_int_eq(scene.ours.err, 0);
    ReleaseFastSocket(scene.ours.socket);
}

static struct Address loopback6(void)
{
    struct Address address = {.length = sizeof(struct sockaddr_in6)};
    struct sockaddr_in6* name = (struct sockaddr_in6*)&address.name;

    name->sin6_family = AF_INET6;
    name->sin6_addr = in6addr_loopback;
    return address;
}

/* §2.2 other kinds: ping by raw sockets; those of IPv4 give the IP header too */
CASE(families, rawPings)
{
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    ping(SOCK_RAW, loopback(), sizeof(struct iphdr), "four");
    if (hasKind(KIND_UDP6))
        ping(SOCK_RAW, loopback6(), 0, "six");
}

/* §2.2 other kinds: ping by datagram sockets of ICMP */
CASE(families, datagramPings)
{
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    writeSetting("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    if (lacks(AF_INET, SOCK_DGRAM, IPPROTO_ICMP))
        skipTest("no datagram sockets of ICMP");
    ping(SOCK_DGRAM, loopback(), 0, "four");
    if (hasKind(KIND_UDP6))
        ping(SOCK_DGRAM, loopback6(), 0, "six");
}

/* §2.2 other kinds: a raw socket of TCP has messages, and no connection that could lack */
CASE(families, rawSeesTcp)
{
    int pair[2];

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openRecorded(&scene, socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP), NULL, 0,
                 &scene.ours);
    pairTcp(pair); /* three packets */
    waitInput(&scene.ours, 1);
    runIdle(scene.ring);
    ck_assert_uint_eq(readSocket(scene.ours.socket).receivedMessages, 3);
    ck_assert_int_eq(scene.ours.err, 0);
    ck_assert_int_eq(scene.ours.hup, 0);
    close(pair[0]);
    close(pair[1]);
}

/* §2.1 POLLERR non-fatal (datagram): a message that is too long for a raw socket is that
 * message's error */
CASE(families, rawTellsTooLong)
{
    static uint8_t large[70000] = {ICMP_ECHO};
    struct Address address = loopback();

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openRecorded(&scene, socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP), NULL, 0,
                 &scene.ours);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&address.name,
                                            address.length, large, sizeof(large), 0),
                     0);
    waitFor(scene.ring, hasFailed, &scene.ours);
    ck_assert_int_eq(scene.ours.lastError, EMSGSIZE);
    ck_assert_int_eq(scene.ours.hup, 0);
}

/* ---- packets --------------------------------------------------------------------------------- */

static int openPacket(int type)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(FRAME_TYPE),
                                  .sll_ifindex = (int)if_nametoindex("lo")};
    int handle = socket(AF_PACKET, type | SOCK_CLOEXEC, htons(FRAME_TYPE));

    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&address, sizeof(address)), 0);
    return handle;
}

/* §2.2 other kinds: whole frames, and packets whose frame the kernel makes from the address */
CASE(families, packetsGoRound)
{
    struct msghdr header = {.msg_namelen = 32};
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET, .sll_protocol = htons(FRAME_TYPE), .sll_halen = ETH_ALEN};
    uint8_t frame[ETH_HLEN + 5] = {0};

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    to.sll_ifindex = (int)if_nametoindex("lo");
    openRecorded(&scene, openPacket(SOCK_RAW), NULL, FASTSOCKET_MODE_ZERO_COPY, &scene.ours);
    openRecorded(&scene, openPacket(SOCK_DGRAM), &header, FASTSOCKET_MODE_ZERO_COPY, &other);
    ck_assert_int_eq(
        TransmitFastSocketData(other.socket, (struct sockaddr*)&to, sizeof(to), "above", 5, 0), 0);
    expectPayload(&scene.ours, ETH_HLEN, "above");
    memcpy(frame + 12, (const uint8_t[]){FRAME_TYPE >> 8, FRAME_TYPE & 0xff}, 2);
    memcpy(frame + ETH_HLEN, "below", 5);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, frame, sizeof(frame), 0),
                     0);
    expectPayload(&other, 16 + 32, "below");
    ck_assert_int_eq(scene.ours.err + other.err, 0);
    ReleaseFastSocket(scene.ours.socket);
    ReleaseFastSocket(other.socket);
}

/* §2.1 POLLERR non-fatal (datagram): a device that goes down is reported, and what comes later is
 * received */
CASE(families, packetsOutliveTheirDevice)
{
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET, .sll_protocol = htons(FRAME_TYPE), .sll_halen = ETH_ALEN};

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    to.sll_ifindex = (int)if_nametoindex("lo");
    openRecorded(&scene, openPacket(SOCK_DGRAM), NULL, 0, &scene.ours);
    runIdle(scene.ring);
    raiseLoopback(false);
    waitFor(scene.ring, hasFailed, &scene.ours);
    ck_assert_int_eq(scene.ours.lastError, ENETDOWN);
    ck_assert_int_eq(scene.ours.hup, 0);
    raiseLoopback(true);
    ck_assert_int_eq(
        TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&to, sizeof(to), "again", 5, 0),
        0);
    expectPayload(&scene.ours, 0, "again");
}

/* ---- netlink --------------------------------------------------------------------------------- */

static int openNetlink(int type, unsigned groups)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int handle = socket(AF_NETLINK, type | SOCK_CLOEXEC, NETLINK_ROUTE);

    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&address, sizeof(address)), 0);
    return handle;
}

struct Request
{
    struct nlmsghdr header;
    struct ifaddrmsg body;
};

/* Asks for all addresses and counts those that come until the end; other messages are passed
 * over. */
static int dumpAddresses(struct Recorder* from, uint32_t number)
{
    struct Request request = {
        .header = {.nlmsg_len = sizeof(request),
                   .nlmsg_type = RTM_GETADDR,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                   .nlmsg_seq = number},
        .body = {.ifa_family = AF_INET},
    };
    int count = 0;

    ck_assert_int_eq(TransmitFastSocketData(from->socket, NULL, 0, &request, sizeof(request), 0),
                     0);
    for (;;) {
        waitInput(from, 1);
        struct FastBuffer* buffer = ReceiveFastSocketBuffer(from->socket);
        bool over = false;
        int length = (int)GetFastBufferLength(buffer);
        for (struct nlmsghdr* header = (struct nlmsghdr*)GetFastBufferData(buffer);
             NLMSG_OK(header, (uint32_t)length) && !over; header = NLMSG_NEXT(header, length)) {
            ck_assert_int_ne(header->nlmsg_type, NLMSG_ERROR);
            over = header->nlmsg_seq == number && header->nlmsg_type == NLMSG_DONE;
            count += header->nlmsg_seq == number && header->nlmsg_type == RTM_NEWADDR;
        }
        ReleaseFastBuffer(buffer);
        if (over)
            return count;
    }
}

/* Each gives a message to those who listen for addresses. */
static void changeAddresses(int count)
{
    for (int index = 0; index < count; index++) {
        struct ifreq request = {0};
        struct sockaddr_in* address = (struct sockaddr_in*)&request.ifr_addr;
        address->sin_family = AF_INET;
        address->sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)index);
        setLoopback(SIOCSIFADDR, &request);
    }
}

/* §2.2 other kinds: a dump of many parts comes whole, by both types of netlink socket */
CASE(families, netlinkDumps)
{
    static const int types[] = {SOCK_RAW, SOCK_DGRAM};

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    /* addresses beside each other, each by a name of its own */
    for (int index = 0; index < 400; index++) {
        struct ifreq request = {0};
        struct sockaddr_in* address = (struct sockaddr_in*)&request.ifr_addr;
        int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        snprintf(request.ifr_name, sizeof(request.ifr_name), "lo:%d", index);
        address->sin_family = AF_INET;
        address->sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)index);
        ck_assert_int_eq(ioctl(handle, SIOCSIFADDR, &request), 0);
        close(handle);
    }
    for (int index = 0; index < 2; index++) {
        openRecorded(&scene, openNetlink(types[index], 0), NULL, 0, &scene.ours);
        ck_assert_int_eq(dumpAddresses(&scene.ours, 1), 401);
        ck_assert_uint_ge(readSocket(scene.ours.socket).receivedMessages, 3);
        ck_assert_uint_eq(readSocket(scene.ours.socket).receivedTruncated, 0);
        ck_assert_int_eq(scene.ours.err, 0);
        ReleaseFastSocket(scene.ours.socket);
    }
}

static void openListening(int space)
{
    int handle = openNetlink(SOCK_RAW, RTMGRP_IPV4_IFADDR);

    if (space > 0)
        ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_RCVBUF, &space, sizeof(space)), 0);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    runIdle(scene.ring);
}

/* §2.3 lost messages: are reported as a datagram's error, and the socket works on */
CASE(families, netlinkTellsLoss)
{
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openListening(1);
    for (int round = 1; round <= 3; round++) {
        changeAddresses(200);
        waitCount(scene.ring, &scene.ours.err, round);
        ck_assert_int_eq(scene.ours.lastError, ENOBUFS);
        ck_assert_int_eq(dumpAddresses(&scene.ours, (uint32_t)round), 1);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.err, round); /* once each */
    }
    ck_assert_int_eq(scene.ours.hup, 0);
    ck_assert_uint_eq(readSocket(scene.ours.socket).receiveStarvations, 0);
}

static void openFewBuffers(void)
{
    reopenScene(.buffers = 2, .bufferLength = 4096);
}

/* §2.3 lost messages: a lack of buffers loses none, and isn't reported as if it did */
CASE(families, netlinkStarves)
{
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openFewBuffers();
    openListening(1 << 20);
    changeAddresses(100);
    runIdle(scene.ring);
    ck_assert_uint_ge(readSocket(scene.ours.socket).receiveStarvations, 1);
    ck_assert_uint_ge(readSocket(scene.ours.socket).receivedMessages, 100);
    ck_assert_int_eq(scene.ours.err, 0);
}

/* §2.3 lost messages: both at once: the loss is reported, the rest received, and nothing spins */
CASE(families, netlinkLosesAndStarves)
{
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openFewBuffers();
    openListening(4096);
    for (int round = 1; round <= 3; round++) {
        int before = scene.ours.err;
        changeAddresses(200);
        waitCount(scene.ring, &scene.ours.err, before + 1);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.lastError, ENOBUFS);
        ck_assert_int_eq(dumpAddresses(&scene.ours, (uint32_t)round), 1);
    }
    ck_assert_uint_ge(readSocket(scene.ours.socket).receiveStarvations, 1);
    ck_assert_uint_lt(readRing(scene.ring).completions, 2000);
}

/* §2.3 lost messages: not reported to one who asked the kernel for silence */
CASE(families, netlinkLosesInSilence)
{
    int on = 1;

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openFewBuffers();
    int handle = openNetlink(SOCK_RAW, RTMGRP_IPV4_IFADDR);
    int space = 4096;
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_RCVBUF, &space, sizeof(space)), 0);
    ck_assert_int_eq(setsockopt(handle, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on)), 0);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    runIdle(scene.ring);
    changeAddresses(200);
    runIdle(scene.ring);
    ck_assert_uint_ge(readSocket(scene.ours.socket).receiveStarvations, 1);
    ck_assert_int_eq(dumpAddresses(&scene.ours, 1), 1);
    ck_assert_int_eq(scene.ours.err, 0);
}

/* ---- families that nobody has tried ---------------------------------------------------------- */

static bool hasSent(void* closure)
{
    return readSocket(((struct Recorder*)closure)->socket).sentOperations > 0;
}

/* §2.2 other kinds: an untried stream; short sends are resumed, since waiting for all is not
 * asked for */
CASE(families, untriedStreams)
{
    static const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        int pair[2];
        pairKind(kinds[index], pair);
        openStrange(pair[0], NULL, &scene.ours);
        openStrange(pair[1], NULL, &other);
        setOption(other.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 1);
        transmitPattern(scene.ours.socket, LARGE, 0); /* more than the kernel takes at once */
        /* although nobody reads, and not all can be sent */
        waitFor(scene.ring, hasSent, &scene.ours);
        ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
        static uint8_t data[LARGE];
        for (size_t done = 0; done < LARGE;) {
            ssize_t count = ReceiveFastSocketData(other.socket, data + done, LARGE - done, 0);
            ck_assert_int_ge(count, 0);
            done += (size_t)count;
            ck_assert_int_eq(WaitForFastRing(scene.ring, count > 0 ? 0 : 100, NULL), 0);
        }
        ck_assert(checkPattern(data, LARGE, 0));
        transfer(&other, &scene.ours, LARGE);
        ck_assert_uint_eq(readSocket(scene.ours.socket).sentZeroCopy, 0);
        ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
        waitHangup(&other);
        ck_assert_int_eq(other.lastHangup, 0);
        transfer(&other, &scene.ours, 1000);
        ReleaseFastSocket(scene.ours.socket);
        ReleaseFastSocket(other.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* §2.2 other kinds: an untried seqpacket socket: records keep their borders, and the end is
 * reported once */
CASE(families, untriedRecords)
{
    int pair[2];

    pairKind(KIND_UNIX_SEQPACKET, pair);
    openStrange(pair[0], NULL, &scene.ours);
    openStrange(pair[1], NULL, &other);
    transferRecords(&scene.ours, &other, 200);
    transferRecords(&other, &scene.ours, 200);
    /* an empty one is no end */
    ck_assert_int_eq(TransmitFastSocketData(other.socket, NULL, 0, NULL, 0, 0), 0);
    int before = scene.ours.in;
    waitCount(scene.ring, &scene.ours.in, before + 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.hup, 0);
    transmitText(other.socket, "the last one");
    ReleaseFastSocket(other.socket);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 12);
    ck_assert_int_eq(scene.ours.err, 0);
}

/* §2.2 other kinds: an untried datagram socket, connected or not */
CASE(families, untriedDatagrams)
{
    static const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        int pair[2];
        pairKind(kinds[index], pair);
        openStrange(pair[0], NULL, &scene.ours);
        openStrange(pair[1], NULL, &other);
        transferRecords(&scene.ours, &other, 60);
        transferRecords(&other, &scene.ours, 60);
        ck_assert_uint_eq(readSocket(scene.ours.socket).sentZeroCopy, 0);
        ReleaseFastSocket(scene.ours.socket);
        ReleaseFastSocket(other.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* §2.3 truncation: also where a receive can't be asked for the length, the loss is counted */
CASE(families, untriedTruncation)
{
    static uint8_t data[40000];
    int pair[2];

    pairKind(KIND_UDP, pair);
    openStrange(pair[0], NULL, &scene.ours);
    runIdle(scene.ring);
    sendAll(pair[1], data, sizeof(data));
    waitInput(&scene.ours, 1);
    ck_assert_uint_eq(readSocket(scene.ours.socket).receivedTruncated, 1);
    ReleaseFastSocket(scene.ours.socket);
    close(pair[1]);
}

/* §2.2 not yet connected: of an untried kind poll(2) tells it */
CASE(families, untriedConnections)
{
    struct Address address = loopback();
    int pair[2];

    strange = true;
    refuse(ENOTCONN, socket(AF_INET, SOCK_STREAM, 0));
    refuse(ENOTCONN, socket(AF_UNIX, SOCK_STREAM, 0));
    refuse(ENOTCONN, socket(AF_UNIX, SOCK_SEQPACKET, 0));
    strange = false;
    int listener = listenOn(SOCK_STREAM, 0, &address);
    strange = true;
    refuse(EOPNOTSUPP, fcntl(listener, F_DUPFD_CLOEXEC, 0));
    strange = false;
    pair[0] = connectTo(SOCK_STREAM | SOCK_NONBLOCK, 0, &address);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    openStrange(pair[0], NULL, &scene.ours);
    openStrange(pair[1], NULL, &other);
    transfer(&scene.ours, &other, 100000);
    ReleaseFastSocket(scene.ours.socket);
    ReleaseFastSocket(other.socket);
}

/* ---- refused --------------------------------------------------------------------------------- */

/* §2.2 handle kinds: sockets whose data comes by rings of their own, or is made by reading, are
 * refused */
CASE(families, refusesXdp)
{
    if (lacks(AF_XDP, SOCK_RAW, 0))
        skipTest("no AF_XDP");
    refuse(EOPNOTSUPP, socket(AF_XDP, SOCK_RAW, 0));
}

/* §2.2 handle kinds: the same */
CASE(families, refusesAlg)
{
    if (lacks(AF_ALG, SOCK_SEQPACKET, 0))
        skipTest("no AF_ALG");
    refuse(EOPNOTSUPP, socket(AF_ALG, SOCK_SEQPACKET, 0));
}
