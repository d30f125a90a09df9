/*
 * The creation of a socket.
 *
 * Good path: the arguments are checked, the descriptor's kind and connection looked at once
 * (kind-find.c), and both tasks queued; nothing is submitted before the loop runs, so that options
 * set meanwhile are in force before the first byte.
 *
 * Failures: NULL and errno, the descriptor unchanged. A connect that has failed already is not one:
 * it is reported by the first turn, since the kernel tells its errno only once and this look has
 * taken it.
 */
#include "memory/ring-pool.h"
#include "socket/dispatch.h"
#include "socket/failure.h"
#include "socket/joined.h"
#include "socket/kind-find.h"
#include "socket/poll.h"
#include "socket/prepare.h"
#include "socket/receive.h"
#include "socket/release.h"
#include "socket/system.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum
{
    CREATE_MAX_MESSAGES = 1024,
    CREATE_RELEASE_MS = 30000,
    CREATE_LINGER_MS = 1000,
    CREATE_KNOWN_MODES = FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK |
                         FASTSOCKET_MODE_FILE_IO,
};

/* A pool that another ring's thread owns can't be used on this one; one without an owner can. */
static bool isForeign(const struct FastBufferPool* pool, const struct FastRing* ring)
{
    const struct FastRing* owner = pool != NULL ? FastPoolRing(pool) : NULL;
    return owner != NULL && owner != ring;
}

/* What was received is handed to the user as a buffer, so the provider's memory must be buffers. */
static bool isSuitable(const struct FastRingBufferProvider* provider, const struct FastRing* ring)
{
    return FastProviderRing(provider) == ring &&
           FastProviderMakes(provider, AllocateRingFastBuffer);
}

/* The descriptor comes last: a wrong argument is reported whatever the descriptor is. */
static int checkArguments(struct FastRing* ring, struct FastRingBufferProvider* provider,
                          struct FastBufferPool* inbound, struct FastBufferPool* outbound,
                          int handle, const struct msghdr* message, int flags, int mode)
{
    int result = FastRingCheckCreate(ring);
    if (result < 0)
        return result;
    if (mode & ~CREATE_KNOWN_MODES ||
        (mode & FASTSOCKET_MODE_FILE_IO && mode & FASTSOCKET_MODE_ZERO_COPY))
        return -EINVAL;
    if (flags & ~(MSG_CMSG_CLOEXEC | MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL))
        return -EINVAL;
    if (mode & FASTSOCKET_MODE_FILE_IO && message != NULL)
        return -EINVAL;
    bool reads = !(mode & FASTSOCKET_MODE_FILE_IO) || FastKindReads(handle);
    if (reads && (provider == NULL || inbound == NULL))
        return -EINVAL;
    if (!reads && inbound == NULL && outbound == NULL)
        return -EINVAL; /* one pool is needed for whatever is queued */
    if (isForeign(inbound, ring) || isForeign(outbound, ring) ||
        (provider != NULL && !isSuitable(provider, ring)))
        return -EINVAL;
    uint64_t room = sizeof(struct io_uring_recvmsg_out);
    if (message != NULL)
        room += (uint64_t)message->msg_namelen + message->msg_controllen;
    if (message != NULL && (message->msg_controllen > INT_MAX || message->msg_namelen > INT_MAX))
        return -EINVAL;
    if (message != NULL && room >= FastProviderLength(provider))
        return -EINVAL;
    return 0;
}

/* The kernel wants the lengths alone: the caller's header may go when the call returns. */
static int copyHeader(struct FastSocket* socket, const struct msghdr* message)
{
    if (message == NULL)
        return 0;
    struct FastExtra* extra = FastSocketMakeExtra(socket);
    if (extra == NULL)
        return -ENOMEM;
    extra->headed = true;
    extra->header.msg_namelen = message->msg_namelen;
    extra->header.msg_controllen = message->msg_controllen;
    return 0;
}

static struct FastSocket* make(struct FastRing* ring, const struct FastCommon* common,
                               const struct msghdr* message)
{
    struct FastSocket* socket = calloc(1, common->kind->size);
    if (socket == NULL)
        return NULL;
    socket->ring = ring;
    if (FastSocketShare(socket, common) == 0 && copyHeader(socket, message) == 0)
        return socket;
    FastSocketFree(socket);
    return NULL;
}

/* Whatever is received by recvmsg has its header in front. */
static struct FastInboundRules rulesOf(const struct FastFinding* finding,
                                       const struct msghdr* header)
{
    uint32_t headroom = sizeof(struct io_uring_recvmsg_out);
    if (header != NULL)
        headroom += (uint32_t)(header->msg_namelen + header->msg_controllen);
    if (finding->kind->traits & FAST_TRAIT_JOINED)
        headroom += FAST_JOINED_ROOM;
    if (header != NULL || finding->kind->layout == FAST_INBOUND_MESSAGES)
        return FastInboundMakeRules(FAST_INBOUND_MESSAGES, headroom);
    bool packets = finding->traits & FAST_TRAIT_PACKETS;
    return FastInboundMakeRules(packets ? FAST_INBOUND_PACKETS : FAST_INBOUND_BYTES, 0);
}

/* Joined datagrams are taken apart for who has no room for control data to do it himself, and whose
 * buffers hold all that may be joined: others would lose what version 1.0 gave them. */
static bool takesApart(const struct FastRingBufferProvider* provider, const struct msghdr* message)
{
    size_t headroom = sizeof(struct io_uring_recvmsg_out) + FAST_JOINED_ROOM;
    if (message != NULL && message->msg_controllen > 0)
        return false;
    if (message != NULL)
        headroom += message->msg_namelen;
    return provider != NULL && FastProviderLength(provider) >= headroom + FAST_JOINED_MAX;
}

static unsigned hintsOf(const struct FastRing* ring, const struct FastRingBufferProvider* provider,
                        int handle, const struct msghdr* message, int mode)
{
    unsigned hints = 0;
    if (mode & FASTSOCKET_MODE_FILE_IO)
        hints |= FAST_FIND_FILES;
    if (takesApart(provider, message))
        hints |= FAST_FIND_APART;
    if (FastRingKnowsTcp(ring, handle))
        hints |= FAST_FIND_TCP;
    return hints;
}

static void initializeConnection(struct FastSocket* socket, const struct FastFinding* finding)
{
    socket->connection = finding->connection;
    socket->error = finding->error;
    if (!FastSocketHas(socket, FAST_TRAIT_READABLE))
        socket->inbound.stops |= FAST_STOP_UNREADABLE;
    if (finding->connection == FAST_CONNECTION_BEGUN &&
        !FastSocketHas(socket, FAST_TRAIT_RECEIVES_EARLY))
        socket->inbound.stops |= FAST_STOP_CONNECTING;
}

/* Everything that can fail: until it has succeeded the socket holds nothing, and can be freed. */
static int initialize(struct FastSocket* socket, const struct FastFinding* finding)
{
    socket->traits = finding->traits;
    if (socket->inbound.queue.rules->layout == FAST_INBOUND_MESSAGES)
        socket->traits &= ~(uint32_t)FAST_TRAIT_PLAIN;
    socket->references = 1; /* the user's */
    initializeConnection(socket, finding);
    FastReceiveInitialize(socket);
    FastPollInitialize(socket);
    return finding->kind->initialize != NULL ? finding->kind->initialize(socket, finding) : 0;
}

static void throttleMember(struct FastRingMember* member)
{
    FastReceiveThrottle(FAST_CONTAINER(member, struct FastSocket, worker.member));
}

static void countMember(const struct FastRingMember* member, struct FastRingStatistics* statistics)
{
    (void)member;
    statistics->sockets++;
}

static const struct FastRingMemberFunctions functions = {
    .end = FastReleaseEndMember,
    .close = FastReleaseCloseMember,
    .throttle = throttleMember,
    .count = countMember,
    .goOn = FastDispatchGoOn,
    .work =
        {
            [FAST_RING_PREPARE - 1] = FastPrepareRun,
            [FAST_RING_DISPATCH - 1] = FastDispatchRun,
            [FAST_RING_RETRY - 1] = FastSocketRetry,
        },
};

/* Nothing fails from here on: the socket holds what it uses, and its tasks are queued. */
static void start(struct FastSocket* socket)
{
    const struct FastCommon* common = FastSocketCommon(socket);
    if (!(common->mode & FASTSOCKET_MODE_FILE_IO))
        FastSystemSetCloseOnExec(socket->handle);
    if (common->provider != NULL)
        FastProviderHold(common->provider);
    if (common->inboundPool != NULL)
        FastPoolHold(common->inboundPool);
    if (common->outboundPool != NULL)
        FastPoolHold(common->outboundPool);
    FastRingLink(socket->ring, &socket->worker.member, &functions);
    if (socket->error != 0)
        FastSocketFail(socket, socket->error);
    FastSocketNotify(socket, FastSocketHas(socket, FAST_TRAIT_WRITABLE) ? FAST_NOTIFY_OUTPUT : 0);
    FastSocketDefer(socket, FAST_DUE_ALL);
}

struct FastSocket* CreateFastSocket(struct FastRing* ring, struct FastRingBufferProvider* provider,
                                    struct FastBufferPool* inbound, struct FastBufferPool* outbound,
                                    int handle, struct msghdr* message, int flags, int mode,
                                    uint32_t limit, HandleFastSocketEvent function, void* closure)
{
    struct FastSocket* socket = NULL;
    struct FastFinding finding;
    struct FastCommon common = {
        .provider = provider,
        .inboundPool = inbound,
        .outboundPool = outbound,
        .receiveFlags = flags & MSG_CMSG_CLOEXEC,
        .mode = (uint32_t)mode,
        .releaseMs = CREATE_RELEASE_MS,
        .lingerMs = CREATE_LINGER_MS,
        .maxMessages = limit < CREATE_MAX_MESSAGES ? limit : CREATE_MAX_MESSAGES,
    };
    int result = checkArguments(ring, provider, inbound, outbound, handle, message, flags, mode);
    if (result == 0)
        result = FastKindFind(handle, hintsOf(ring, provider, handle, message, mode), &finding);
    if (result < 0)
        goto failed;
    common.kind = finding.kind;
    common.inbound = rulesOf(&finding, message);
    if (finding.maxWrites > 0)
        common.maxMessages = finding.maxWrites;
    socket = make(ring, &common, message);
    result = socket != NULL ? 0 : -ENOMEM;
    if (result == 0)
        /* What this takes is lost if anything fails later. */
        result = FastKindFindConnection(handle, &finding);
    if (result < 0)
        goto failed;

    socket->handle = handle;
    socket->function = function;
    socket->closure = closure;
    result = initialize(socket, &finding);
    if (result < 0)
        goto failed;
    start(socket);
    return socket;

failed:
    if (socket != NULL)
        FastSocketFree(socket);
    errno = -result;
    return NULL;
}
