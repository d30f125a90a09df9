/*
 * What kind of socket a descriptor is, and what may be asked of it.
 *
 * Good path: type, family and protocol are asked once, at creation. The type tells how it is read: as
 * bytes, as messages of a connection, or as messages each on its own. The family and the protocol tell
 * which of the sharper tools are known to work with it: the traits in struct FastSocket, which the other
 * files ask. A family that nobody has tried gets none of them: single buffers, short sends resumed, no
 * zero copy, and poll(2) for its state.
 *
 * Two kinds are not what their type says. SCTP keeps the borders of messages on its one-to-one
 * sockets, which call themselves streams; and its one-to-many sockets, which call themselves seqpacket,
 * have many peers and listen themselves.
 *
 * Failures: a kind whose data does not come by receiving is refused. A connect that has failed is told
 * by the first turn.
 */
#include "socket/state.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sctp.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

enum
{
    KIND_UDP4_MOST = 65535 - 20 - 8, /* payload of a datagram */
    KIND_UDP6_MOST = 65535 - 8,
};

struct look
{
    int type;
    int domain;
    int protocol;
    int listening;
};

/* ---- two meanings of ENOBUFS ---- */

/* Whether the kernel has dropped messages for this socket since the last time that this was asked. */
static bool hasDropped(struct FastSocket* socket)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof(memory);
    int silent = 0;
    socklen_t size = sizeof(silent);
    if (getsockopt(socket->handle, SOL_NETLINK, NETLINK_NO_ENOBUFS, &silent, &size) == 0 && silent)
        return false; /* the user does not want to know, and ENOBUFS never says it */
    if (getsockopt(socket->handle, SOL_SOCKET, SO_MEMINFO, memory, &length) < 0)
        return false;
    uint32_t before = socket->inbound.drops;
    socket->inbound.drops = memory[SK_MEMINFO_DROPS];
    return memory[SK_MEMINFO_DROPS] != before;
}

/*
 * Whether a receive's ENOBUFS is the socket's own error, and not a lack of provided buffers. Completions
 * come in order, so what the provider counts is what the kernel had then, and what was put since: with
 * none there, buffers lacked; with more than were put since the receive was armed, they did not. In
 * between, the socket's state tells: messages that were dropped, or an error that waits behind this one.
 */
bool FastSocketLostMessages(struct FastSocket* socket)
{
    const struct FastSocketInbound* inbound = &socket->inbound;
    uint32_t available = inbound->provider != NULL ? FastProviderAvailable(inbound->provider) : 0;
    if (!socket->ownShortage || available == 0)
        return false;
    bool dropped = socket->netlink && hasDropped(socket);
    if (available > FastProviderMark(inbound->provider) - inbound->mark)
        return true;
    return FastSocketTakeError(socket) != 0 || dropped;
}

/* ---- the descriptor ---- */

static int readNumber(int handle, int option, int* value)
{
    socklen_t length = sizeof(*value);
    return getsockopt(handle, SOL_SOCKET, option, value, &length) < 0 ? -errno : 0;
}

static int lookAt(int handle, struct look* look)
{
    int result = readNumber(handle, SO_TYPE, &look->type);
    if (result == 0)
        result = readNumber(handle, SO_DOMAIN, &look->domain);
    if (result == 0)
        result = readNumber(handle, SO_PROTOCOL, &look->protocol);
    if (result == 0)
        result = readNumber(handle, SO_ACCEPTCONN, &look->listening);
    return result;
}

static bool isInternet(const struct look* look)
{
    return look->domain == AF_INET || look->domain == AF_INET6;
}

static bool isProtocol(const struct look* look, int type, int protocol)
{
    return isInternet(look) && look->type == type && look->protocol == protocol;
}

static bool isOneToMany(const struct look* look)
{
    return isProtocol(look, SOCK_SEQPACKET, IPPROTO_SCTP);
}

static bool isRefused(const struct look* look)
{
    if (look->domain == AF_XDP || look->domain == AF_ALG)
        return true; /* packets are in rings of their own; what is read is made by reading */
    return look->listening && !isOneToMany(look);
}

static int findKind(const struct look* look)
{
    switch (look->type) {
    case SOCK_STREAM:
        return isProtocol(look, SOCK_STREAM, IPPROTO_SCTP) ? SOCKET_RECORD : SOCKET_STREAM;
    case SOCK_SEQPACKET:
        return isOneToMany(look) ? SOCKET_DATAGRAM : SOCKET_RECORD;
    case SOCK_DCCP:
        return SOCKET_RECORD;
    case SOCK_DGRAM:
    case SOCK_RDM:
    case SOCK_RAW:
    case SOCK_PACKET:
        return SOCKET_DATAGRAM;
    default:
        return -EOPNOTSUPP;
    }
}

/* ---- what is known of it ---- */

/* Whether receives understand MSG_TRUNC as a question for the length. On TCP it throws bytes away. */
static bool tellsLength(const struct FastSocket* socket, const struct look* look)
{
    if (socket->kind == SOCKET_STREAM || socket->sctp)
        return false;
    return socket->local || isInternet(look) || look->domain == AF_NETLINK || look->domain == AF_PACKET ||
           look->domain == AF_VSOCK;
}

/* Whether nothing but a lack of provided buffers ends a receive with ENOBUFS. On netlink sockets it also
 * says that messages were lost; of unknown families nobody knows. */
static bool onlyBuffersLack(const struct FastSocket* socket, const struct look* look)
{
    return socket->local || isInternet(look) || look->domain == AF_PACKET || look->domain == AF_VSOCK;
}

static void findTraits(struct FastSocket* socket, const struct look* look)
{
    bool udp = isProtocol(look, SOCK_DGRAM, IPPROTO_UDP);
    bool lite = isProtocol(look, SOCK_DGRAM, IPPROTO_UDPLITE);
    bool stream = socket->local && socket->kind == SOCKET_STREAM;
    socket->waitsForAll = socket->tcp || stream;
    socket->bundles = socket->tcp || stream;
    socket->zeroCopies = socket->tcp || udp;
    socket->tellsLength = tellsLength(socket, look);
    socket->ownShortage = !onlyBuffersLack(socket, look);
    if (udp || lite)
        socket->largest = look->domain == AF_INET ? KIND_UDP4_MOST : KIND_UDP6_MOST;
}

int FastSocketFindKind(struct FastSocket* socket)
{
    struct look look;
    int result = lookAt(socket->handle, &look);
    if (result == 0)
        result = isRefused(&look) ? -EOPNOTSUPP : findKind(&look);
    if (result < 0)
        return result;
    socket->kind = (uint8_t)result;
    socket->local = look.domain == AF_UNIX;
    socket->tcp = isProtocol(&look, SOCK_STREAM, IPPROTO_TCP);
    socket->mptcp = isProtocol(&look, SOCK_STREAM, IPPROTO_MPTCP);
    socket->netlink = look.domain == AF_NETLINK;
    socket->sctp = isInternet(&look) && look.protocol == IPPROTO_SCTP;
    findTraits(socket, &look);
    if (socket->netlink)
        (void)hasDropped(socket); /* what was lost before is not ours to tell */
    return 0;
}

/* ---- its connection ---- */

static bool tcpIsConnecting(int handle)
{
    struct tcp_info information = {0};
    socklen_t length = sizeof(information);
    return getsockopt(handle, IPPROTO_TCP, TCP_INFO, &information, &length) == 0 &&
           (information.tcpi_state == TCP_SYN_SENT || information.tcpi_state == TCP_SYN_RECV);
}

/* A family without names of peers has no connections that could lack. */
static bool hasPeer(int handle)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    return getpeername(handle, (struct sockaddr*)&peer, &length) == 0 || errno == EOPNOTSUPP;
}

/* A socket that can neither be read nor written, and is no error either, is about to be connected. SCTP's
 * are so too before: they are asked. */
static bool isConnecting(const struct FastSocket* socket, short events)
{
    struct sctp_status status = {0};
    socklen_t length = sizeof(status);
    if (events != 0 || socket->tcp || socket->local)
        return false;
    return !socket->sctp || getsockopt(socket->handle, IPPROTO_SCTP, SCTP_STATUS, &status, &length) == 0;
}

/* Connected, connecting, failed (the error is kept for the first turn) or never connected. */
int FastSocketFindConnection(struct FastSocket* socket)
{
    if (socket->tcp && tcpIsConnecting(socket->handle)) {
        socket->connecting = true;
        return 0;
    }
    if (hasPeer(socket->handle))
        return 0;
    socket->error = FastSocketTakeError(socket);
    if (socket->error != 0)
        return 0;
    struct pollfd state = {.fd = socket->handle, .events = POLLIN | POLLOUT};
    if (poll(&state, 1, 0) < 0)
        return -ENOTCONN;
    socket->connecting = isConnecting(socket, state.revents);
    /* A reset connection whose error was read before still has its input, or the end of it. And one that was
     * about to be may have been made since it was asked. */
    return socket->connecting || state.revents & POLLIN || hasPeer(socket->handle) ? 0 : -ENOTCONN;
}

/* ---- the end of records ---- */

/*
 * Whether a record is queued in the kernel: also an empty one, which reads like the end. With
 * SO_PASSCRED every record comes with its sender's credentials, and the end with nothing. There is no
 * room for descriptors, so none is made by looking.
 */
static bool hasRecord(const struct FastSocket* socket)
{
    union
    {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    char byte;
    struct iovec vector = {.iov_base = &byte, .iov_len = sizeof(byte)};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    int before = 0;
    int on = 1;
    socklen_t length = sizeof(before);
    if (getsockopt(socket->handle, SOL_SOCKET, SO_PASSCRED, &before, &length) < 0 ||
        setsockopt(socket->handle, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
        return false;
    ssize_t result = recvmsg(socket->handle, &message, MSG_PEEK | MSG_DONTWAIT);
    (void)setsockopt(socket->handle, SOL_SOCKET, SO_PASSCRED, &before, sizeof(before));
    return result > 0 || (result == 0 && message.msg_controllen > 0);
}

/* An empty record and the end of a seqpacket socket look alike. It is the end if the peer has ended and
 * no record is left: only an empty record that is the very last one, and has no control data, can't be
 * told from it. */
static bool localRecordsHaveEnded(const struct FastSocket* socket)
{
    struct pollfd state = {.fd = socket->handle, .events = POLLRDHUP};
    return poll(&state, 1, 0) > 0 && state.revents & (POLLRDHUP | POLLHUP) && !hasRecord(socket);
}

/* Other families have no such mark. What reads as nothing again and again is the end: of several empty
 * records in a row only the last is told, rather than one for ever where an end has no sign. Some say
 * EAGAIN for ever once their end was read (TIPC). */
static bool otherRecordsHaveEnded(const struct FastSocket* socket)
{
    char byte;
    struct pollfd state = {.fd = socket->handle, .events = POLLRDHUP};
    ssize_t result = recv(socket->handle, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);
    if (result >= 0)
        return result == 0;
    return poll(&state, 1, 0) > 0 && state.revents & (POLLRDHUP | POLLHUP);
}

/* Asked when a receive has brought nothing. */
bool FastSocketRecordsHaveEnded(const struct FastSocket* socket)
{
    return socket->local ? localRecordsHaveEnded(socket) : otherRecordsHaveEnded(socket);
}
