/*
 * The creation of a socket.
 *
 * Good path: the arguments are checked, the descriptor's kind and connection looked at once
 * (socket-kind.c; files: socket-file.c), and the first step and notice queued; nothing is armed before the loop runs, so that options set meanwhile
 * are in force before the first byte.
 *
 * Failures: NULL and errno, the descriptor unchanged. A connect that has failed already is not one: it
 * is told by the first turn, since the kernel tells its errno only once and this look has taken it.
 */
#include "memory/ring-pool.h"
#include "socket/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

enum
{
    SOCKET_MOST_MESSAGES = 1024,
    SOCKET_KNOWN_MODES = FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK | FASTSOCKET_MODE_FILE_IO,
};

static bool isForeign(const struct FastBufferPool* pool, const struct FastRing* ring)
{
    const struct FastRing* owner = pool != NULL ? FastPoolRing(pool) : NULL;
    return owner != NULL && owner != ring;
}

static bool isSuitable(const struct FastRingBufferProvider* provider, const struct FastRing* ring)
{
    return FastProviderRing(provider) == ring && FastProviderMakes(provider, AllocateRingFastBuffer);
}

static int checkArguments(struct FastRing* ring, struct FastRingBufferProvider* provider,
                          struct FastBufferPool* inbound, struct FastBufferPool* outbound, int handle,
                          const struct msghdr* message, int flags, int mode)
{
    int result = FastRingCheckCreate(ring);
    if (result < 0)
        return result;
    if (mode & ~SOCKET_KNOWN_MODES || (mode & FASTSOCKET_MODE_FILE_IO && mode & FASTSOCKET_MODE_ZERO_COPY))
        return -EINVAL;
    if (flags & ~(MSG_CMSG_CLOEXEC | MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL))
        return -EINVAL;
    if (mode & FASTSOCKET_MODE_FILE_IO && message != NULL)
        return -EINVAL;
    bool reads = !(mode & FASTSOCKET_MODE_FILE_IO) || FastFileIsReadable(handle);
    if (reads && (provider == NULL || inbound == NULL))
        return -EINVAL;
    if (!reads && inbound == NULL && outbound == NULL)
        return -EINVAL; /* one pool is needed for whatever is queued */
    if (isForeign(inbound, ring) || isForeign(outbound, ring) || (provider != NULL && !isSuitable(provider, ring)))
        return -EINVAL;
    uint64_t room = sizeof(struct io_uring_recvmsg_out);
    if (message != NULL)
        room += (uint64_t)message->msg_namelen + message->msg_controllen;
    if (message != NULL && (message->msg_controllen > INT_MAX || message->msg_namelen > INT_MAX))
        return -EINVAL;
    if (message != NULL && room >= FastProviderLength(provider))
        return -EINVAL;
    return fcntl(handle, F_GETFD) < 0 ? -EBADF : 0;
}

static int copyHeader(struct FastSocket* socket, const struct msghdr* message)
{
    if (message == NULL)
        return 0;
    socket->inbound.header = calloc(1, sizeof(*socket->inbound.header));
    if (socket->inbound.header == NULL)
        return -ENOMEM;
    socket->inbound.header->msg_namelen = message->msg_namelen;
    socket->inbound.header->msg_controllen = message->msg_controllen;
    return 0;
}

struct FastSocket* CreateFastSocket(struct FastRing* ring, struct FastRingBufferProvider* provider,
                                    struct FastBufferPool* inbound, struct FastBufferPool* outbound,
                                    int handle, struct msghdr* message, int flags, int mode,
                                    uint32_t limit, HandleFastSocketEvent function, void* closure)
{
    struct FastSocket* socket = NULL;
    int result = checkArguments(ring, provider, inbound, outbound, handle, message, flags, mode);
    if (result < 0)
        goto failed;
    socket = calloc(1, sizeof(*socket));
    result = socket != NULL ? 0 : -ENOMEM;
    if (result == 0)
        result = copyHeader(socket, message);
    if (result < 0)
        goto failed;

    socket->ring = ring;
    socket->handle = handle;
    socket->mode = mode;
    socket->function = function;
    socket->closure = closure;
    socket->inbound.provider = provider;
    socket->inbound.pool = inbound;
    socket->inbound.flags = flags & MSG_CMSG_CLOEXEC;
    socket->outbound.pool = outbound;
    socket->outbound.most = limit < SOCKET_MOST_MESSAGES ? limit : SOCKET_MOST_MESSAGES;
    socket->readable = true;
    socket->writable = true;
    result = mode & FASTSOCKET_MODE_FILE_IO ? FastSocketFindFile(socket) : 0;
    if (result == 0)
        result = FastSocketFindKind(socket);
    if (result == 0 && !socket->file && socket->kind != SOCKET_DATAGRAM)
        result = FastSocketFindConnection(socket);
    if (result < 0)
        goto failed;

    if (!(mode & FASTSOCKET_MODE_FILE_IO))
        (void)fcntl(handle, F_SETFD, fcntl(handle, F_GETFD) | FD_CLOEXEC);
    FastSocketInitialize(socket);
    if (provider != NULL)
        FastProviderHold(provider);
    if (inbound != NULL)
        FastPoolHold(inbound);
    if (outbound != NULL)
        FastPoolHold(outbound);
    FastRingLink(ring, &socket->member, &FastSocketMember);
    if (socket->error != 0)
        FastSocketFail(socket, socket->error);
    socket->outbound.news = !socket->failed && !socket->connecting && socket->writable;
    FastSocketNotify(socket);
    FastSocketDefer(socket);
    return socket;

failed:
    if (socket != NULL)
        free(socket->inbound.header);
    free(socket);
    errno = -result;
    return NULL;
}
