/*
 * What kind of socket a descriptor is, and what may be asked of it.
 *
 * Good path: type, family and protocol are asked once, at creation; one of TCP tells all that is
 * asked, and whether it is connected, by its state. One that a listener of TCP has just accepted
 * need not tell its protocol. The type tells how it is read: as bytes, as
 * messages of a connection, or as messages each on its own. The family and the protocol tell which
 * of the sharper tools are known to work with it: the traits, which the other files ask. A family
 * that nobody has tried gets none of them: single buffers, short sends resumed, no zero copy, and
 * poll(2) for its state.
 *
 * Two kinds are not what their type says. SCTP keeps the borders of messages on its one-to-one
 * sockets, which call themselves streams; and its one-to-many sockets, which call themselves
 * seqpacket, have many peers and listen themselves.
 *
 * Failures: a kind whose data does not come by receiving is refused. A connect that has failed is
 * reported by the first turn.
 */
#include "socket/kind-find.h"

#include "socket/control.h"
#include "socket/kind-datagram.h"
#include "socket/kind-file.h"
#include "socket/kind-record.h"
#include "socket/kind-stream.h"
#include "socket/system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sctp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

enum
{
    FIND_UDP4_MAX = 65535 - 20 - 8, /* payload of a datagram */
    FIND_UDP6_MAX = 65535 - 8,
    FIND_PIPEFS_MAGIC = 0x50495045, /* of <linux/magic.h> */
    FIND_FUSE_MAGIC = 0x65735546,
};

struct look
{
    int type;
    int domain;
    int protocol;
    int listening;
    uint8_t tcpState; /* 0 = none: it is not of TCP */
};

/* ---- the descriptor ---- */

/* Servers make a socket for each connection, and nearly all are of TCP: each question is a system
 * call of every connection. Other families have a protocol of this number too, but no such state.
 * AF_INET stands for AF_INET6 too, which streams don't tell apart. */
static bool lookAtTcp(int handle, struct look* look)
{
    struct tcp_info information = {0};
    if (look->protocol != IPPROTO_TCP || !FastSystemGetTcp(handle, &information))
        return false;
    look->type = SOCK_STREAM;
    look->domain = AF_INET;
    look->listening = information.tcpi_state == TCP_LISTEN;
    look->tcpState = information.tcpi_state;
    return true;
}

static int lookAt(int handle, bool tcp, struct look* look)
{
    look->protocol = IPPROTO_TCP;
    if (tcp && lookAtTcp(handle, look))
        return 0;
    int result = FastSystemGetNumber(handle, SOL_SOCKET, SO_PROTOCOL, &look->protocol);
    if (result == 0 && lookAtTcp(handle, look))
        return 0;
    if (result == 0)
        result = FastSystemGetNumber(handle, SOL_SOCKET, SO_TYPE, &look->type);
    if (result == 0)
        result = FastSystemGetNumber(handle, SOL_SOCKET, SO_DOMAIN, &look->domain);
    if (result == 0)
        result = FastSystemGetNumber(handle, SOL_SOCKET, SO_ACCEPTCONN, &look->listening);
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

static bool isSctp(const struct look* look)
{
    return isInternet(look) && look->protocol == IPPROTO_SCTP;
}

static bool isOneToMany(const struct look* look)
{
    return isProtocol(look, SOCK_SEQPACKET, IPPROTO_SCTP);
}

static bool isRefused(const struct look* look)
{
    if (look->domain == AF_XDP || look->domain == AF_ALG)
        return true; /* the one has its packets in rings of its own, the other makes what is read */
    return look->listening && !isOneToMany(look);
}

/* UDP_GRO, as the program has set it. */
static bool joins(int handle, const struct look* look)
{
    int on = 0;
    return isProtocol(look, SOCK_DGRAM, IPPROTO_UDP) &&
           FastSystemGetNumber(handle, IPPROTO_UDP, UDP_GRO, &on) == 0 && on != 0;
}

static const struct FastKind* kindOf(const struct look* look)
{
    switch (look->type) {
    case SOCK_STREAM:
        return isProtocol(look, SOCK_STREAM, IPPROTO_SCTP) ? &FastKindRecord : &FastKindStream;
    case SOCK_SEQPACKET:
        if (look->domain == AF_VSOCK)
            return &FastKindWhole;
        return isOneToMany(look) ? &FastKindDatagram : &FastKindRecord;
    case SOCK_DCCP:
        return &FastKindRecord;
    case SOCK_DGRAM:
    case SOCK_RDM:
    case SOCK_RAW:
    case SOCK_PACKET:
        return &FastKindDatagram;
    default:
        return NULL;
    }
}

/* ---- what is known of it ---- */

struct familyTraits
{
    int domain;
    uint32_t always;
    uint32_t stream;
    uint32_t messages;
};

/*
 * What a family is known to do. TELLS_LENGTH: receives understand MSG_TRUNC as a question for the
 * length (on TCP it throws bytes away). Nothing but a lack of provided buffers ends a receive with
 * ENOBUFS in those without OWN_SHORTAGE; on netlink sockets it also says that messages were lost;
 * of unknown families nobody knows.
 */
static const struct familyTraits families[] = {
    {AF_INET, 0, 0, FAST_TRAIT_TELLS_LENGTH},
    {AF_INET6, 0, 0, FAST_TRAIT_TELLS_LENGTH},
    {AF_UNIX, FAST_TRAIT_LOCAL,
     FAST_TRAIT_WAITS_FOR_ALL | FAST_TRAIT_BUNDLES | FAST_TRAIT_SENDS_AT_ONCE,
     FAST_TRAIT_TELLS_LENGTH},
    {AF_VSOCK, 0, FAST_TRAIT_SENDS_AT_ONCE, FAST_TRAIT_TELLS_LENGTH},
    {AF_PACKET, 0, 0, FAST_TRAIT_TELLS_LENGTH},
    {AF_NETLINK, FAST_TRAIT_NETLINK | FAST_TRAIT_OWN_SHORTAGE, 0, FAST_TRAIT_TELLS_LENGTH},
};

static uint32_t traitsOfFamily(const struct look* look, bool stream)
{
    for (size_t index = 0; index < sizeof(families) / sizeof(families[0]); index++)
        if (families[index].domain == look->domain)
            return families[index].always |
                   (stream ? families[index].stream : families[index].messages);
    return FAST_TRAIT_OWN_SHORTAGE;
}

static uint32_t traitsOfProtocol(const struct look* look)
{
    if (isProtocol(look, SOCK_STREAM, IPPROTO_TCP))
        return FAST_TRAIT_TCP | FAST_TRAIT_WAITS_FOR_ALL | FAST_TRAIT_BUNDLES |
               FAST_TRAIT_ZERO_COPIES | FAST_TRAIT_RECEIVES_EARLY | FAST_TRAIT_FEELS_END |
               FAST_TRAIT_STATE_TELLS_ERROR | FAST_TRAIT_CORKS | FAST_TRAIT_SENDS_AT_ONCE;
    if (isProtocol(look, SOCK_STREAM, IPPROTO_MPTCP))
        return FAST_TRAIT_MPTCP | FAST_TRAIT_SENDS_AT_ONCE;
    if (isProtocol(look, SOCK_DGRAM, IPPROTO_UDP))
        return FAST_TRAIT_ZERO_COPIES | FAST_TRAIT_JOINS;
    return isSctp(look) ? FAST_TRAIT_SCTP : 0;
}

static void findTraits(const struct look* look, struct FastFinding* finding)
{
    bool lite = isProtocol(look, SOCK_DGRAM, IPPROTO_UDPLITE);
    finding->traits = FAST_TRAIT_READABLE | FAST_TRAIT_WRITABLE | FAST_TRAIT_FINDS_ROOM |
                      finding->kind->traits |
                      traitsOfFamily(look, finding->kind->layout == FAST_INBOUND_BYTES) |
                      traitsOfProtocol(look);
    if (isSctp(look))
        finding->traits &= ~(uint32_t)FAST_TRAIT_TELLS_LENGTH;
    if (lite || isProtocol(look, SOCK_DGRAM, IPPROTO_UDP))
        finding->largest = look->domain == AF_INET ? FIND_UDP4_MAX : FIND_UDP6_MAX;
}

/* ---- its connection ---- */

static bool tcpIsConnecting(const struct FastFinding* finding)
{
    return finding->tcpState == TCP_SYN_SENT || finding->tcpState == TCP_SYN_RECV;
}

static bool tcpIsConnected(const struct FastFinding* finding)
{
    return finding->tcpState != 0 && finding->tcpState != TCP_CLOSE;
}

/* A family without names of peers has no connections that could lack. */
static bool hasPeer(int handle)
{
    int result = FastSystemHasPeer(handle);
    return result == 1 || result == -EOPNOTSUPP;
}

/* A socket that can neither be read nor written, and has no error either, is about to be connected.
 * Those of SCTP look the same before any connect: they are asked for their status. */
static bool isConnecting(int handle, uint32_t traits, int events)
{
    struct sctp_status status = {0};
    socklen_t length = sizeof(status);
    if (events != 0 || traits & (FAST_TRAIT_TCP | FAST_TRAIT_LOCAL))
        return false;
    return !(traits & FAST_TRAIT_SCTP) ||
           FastSystemGetOption(handle, IPPROTO_SCTP, SCTP_STATUS, &status, &length) == 0;
}

/* Connected, connecting, failed (the error is kept for the first turn) or never connected. */
int FastKindFindConnection(int handle, struct FastFinding* finding)
{
    if (!(finding->traits & FAST_TRAIT_CONNECTED))
        return 0;
    if (tcpIsConnecting(finding)) {
        finding->connection = FAST_CONNECTION_BEGUN;
        return 0;
    }
    if (tcpIsConnected(finding) || hasPeer(handle))
        return 0;
    finding->error = (uint16_t)FastSystemTakeError(handle);
    if (finding->error != 0)
        return 0;
    int events = FastSystemPoll(handle, POLLIN | POLLOUT);
    if (events < 0)
        return -ENOTCONN;
    if (isConnecting(handle, finding->traits, events)) {
        finding->connection = FAST_CONNECTION_BEGUN;
        return 0;
    }
    /* A reset connection whose error was read before still has its input, or the end of it. And one
     * that was about to be may have been made since it was asked. */
    return events & POLLIN || hasPeer(handle) ? 0 : -ENOTCONN;
}

static int findSocket(int handle, unsigned hints, struct FastFinding* finding)
{
    struct look look = {0};
    int result = lookAt(handle, hints & FAST_FIND_TCP, &look);
    if (result < 0)
        return result;
    finding->tcpState = look.tcpState;
    finding->kind = isRefused(&look) ? NULL : kindOf(&look);
    if (finding->kind == NULL)
        return -EOPNOTSUPP;
    if (hints & FAST_FIND_APART && joins(handle, &look))
        finding->kind = &FastKindJoined;
    findTraits(&look, finding);
    return 0;
}

/* ---- files ---- */

static uint32_t traitsOfFile(int handle, const struct stat* status, int flags)
{
    uint32_t traits = FAST_TRAIT_BY_WORKER;
    if ((flags & O_ACCMODE) != O_WRONLY)
        traits |= FAST_TRAIT_READABLE;
    if ((flags & O_ACCMODE) != O_RDONLY)
        traits |= FAST_TRAIT_WRITABLE;
    if (S_ISFIFO(status->st_mode))
        traits |= FAST_TRAIT_PIPE;
    if (FastSystemIsTerminal(handle))
        traits |= FAST_TRAIT_TERMINAL;
    if (traits & FAST_TRAIT_TERMINAL && !(traits & FAST_TRAIT_READABLE))
        traits |= FAST_TRAIT_WATCHED;
    /* A timer whose clock was set gives ECANCELED, and a server of FUSE may give any errno. Pipes
     * and terminals never give this one. */
    if (!(traits & (FAST_TRAIT_PIPE | FAST_TRAIT_TERMINAL)))
        traits |= FAST_TRAIT_CANCELS_ITSELF;
    unsigned long system = FastSystemFileSystem(handle);
    /* 0: it is not known, and may be FUSE, whose server did not answer. */
    if (S_ISREG(status->st_mode) && (system == FIND_FUSE_MAGIC || system == 0))
        traits |= FAST_TRAIT_NEEDS_WORKER;
    /* The reading end of a pipe can't tell whether its writes are packets (O_DIRECT). */
    if (!S_ISREG(status->st_mode) && !S_ISBLK(status->st_mode))
        traits |= FAST_TRAIT_PACKETS;
    return traits;
}

static void findFile(int handle, const struct stat* status, int flags, struct FastFinding* finding)
{
    finding->kind = &FastKindFile;
    finding->traits = traitsOfFile(handle, status, flags);
    bool pipe = finding->traits & FAST_TRAIT_PIPE;
    bool terminal = finding->traits & FAST_TRAIT_TERMINAL;
    bool anonymous = pipe && FastSystemFileSystem(handle) == FIND_PIPEFS_MAGIC;
    if (!anonymous)
        finding->fileState |= FAST_FILE_READS_ONCE | FAST_FILE_TRAILS;
    if (terminal || (pipe && !anonymous))
        finding->fileState |= FAST_FILE_POLLS;
    bool gathers = pipe ? !(flags & O_DIRECT) : terminal || S_ISREG(status->st_mode);
    if (!gathers)
        finding->maxWrites = 1; /* a device may take a write for a message */
}

int FastKindFind(int handle, unsigned hints, struct FastFinding* finding)
{
    struct stat status;
    *finding = (struct FastFinding){.kind = NULL};
    if (!(hints & FAST_FIND_FILES))
        return findSocket(handle, hints, finding);
    int flags = FastSystemGetFlags(handle);
    if (flags < 0 || flags & O_PATH || FastSystemStatus(handle, &status) < 0)
        return -EBADF;
    if (S_ISSOCK(status.st_mode))
        return findSocket(handle, hints, finding);
    if (S_ISDIR(status.st_mode))
        return -EOPNOTSUPP;
    findFile(handle, &status, flags, finding);
    return 0;
}

bool FastKindReads(int handle)
{
    int flags = FastSystemGetFlags(handle);
    return flags < 0 || (flags & O_ACCMODE) != O_WRONLY;
}
