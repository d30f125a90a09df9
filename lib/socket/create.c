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
#include "memory/ring-stock.h"
#include "socket/joined.h"
#include "socket/kind-find.h"
#include "socket/make.h"

#include <errno.h>
#include <limits.h>

enum
{
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
    return FastProviderRing(provider) == ring && FastProviderHasSource(provider);
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
        .releaseMs = FAST_MAKE_RELEASE_MS,
        .lingerMs = FAST_MAKE_LINGER_MS,
        .maxMessages = limit < FAST_MAKE_MESSAGES ? limit : FAST_MAKE_MESSAGES,
    };
    int result = checkArguments(ring, provider, inbound, outbound, handle, message, flags, mode);
    if (result == 0)
        result = FastKindFind(handle, hintsOf(ring, provider, handle, message, mode), &finding);
    if (result < 0)
        goto failed;
    if (finding.maxWrites > 0)
        common.maxMessages = finding.maxWrites;
    socket = FastMakeSocket(ring, &common, &finding, message);
    result = socket != NULL ? 0 : -ENOMEM;
    if (result == 0)
        /* What this takes is lost if anything fails later. */
        result = FastKindFindConnection(handle, &finding);
    if (result < 0)
        goto failed;

    socket->function = function;
    socket->closure = closure;
    result = FastMakeBegin(socket, handle, &finding);
    if (result < 0)
        goto failed;
    return socket;

failed:
    if (socket != NULL)
        FastSocketFree(socket);
    errno = -result;
    return NULL;
}

struct FastSocket* OpenFastSocket(struct FastRing* ring, int handle, int mode,
                                  HandleFastSocketEvent function, void* closure)
{
    int result = FastRingCheckCreate(ring);
    if (result < 0) {
        errno = -result;
        return NULL;
    }
    const struct FastRingStock* stock = FastRingStockGet(ring);
    if (stock == NULL)
        return NULL;
    return CreateFastSocket(ring, stock->provider, stock->inbound, stock->outbound, handle, NULL, 0,
                            mode, 0, function, closure);
}
