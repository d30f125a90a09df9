/*
 * Making a socket, and beginning with it.
 *
 * Good path: memory with what the socket has in common with others; then a descriptor with what was
 * found out of it, which is taken; then it lives on the ring, and both tasks are queued. A socket
 * whose connection is still sought is begun without a descriptor, and takes one later.
 *
 * Failures: no memory. Until it is begun the socket holds nothing, and can be freed.
 *
 * All of it is inline: a server makes a socket of each connection, by one function.
 */
#ifndef FASTSOCKET_SOCKET_MAKE_H
#define FASTSOCKET_SOCKET_MAKE_H

#include "socket/failure.h"
#include "socket/joined.h"
#include "socket/kind.h"
#include "socket/poll.h"
#include "socket/receive.h"
#include "socket/system.h"

#include <stdlib.h>

enum
{
    FAST_MAKE_RELEASE_MS = 30000, /* FASTSOCKET_OPTION_RELEASE_TIMEOUT, until it is set */
    FAST_MAKE_LINGER_MS = 1000,   /* FASTSOCKET_OPTION_LINGER_TIMEOUT, the same */
    FAST_MAKE_MESSAGES = 1024,    /* that go out together at most */
};

/* What the ring calls of each. */
extern const struct FastRingMemberFunctions FastMakeFunctions;

/* The kernel wants the lengths alone: the caller's header may go when the call returns. */
static inline int FastMakeCopyHeader(struct FastSocket* socket, const struct msghdr* message)
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

/* Whatever is received by recvmsg has its header in front. */
static inline struct FastInboundRules FastMakeRules(const struct FastFinding* finding,
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

/* A socket of what was found out of its descriptor, that nobody knows of: for FastSocketFree, or to
 * be begun. message: the caller's header, or NULL. What common says of its kind, and of how that
 * keeps its input, is filled in. NULL: no memory. */
static inline struct FastSocket* FastMakeSocket(struct FastRing* ring, struct FastCommon* common,
                                                const struct FastFinding* finding,
                                                const struct msghdr* message)
{
    common->kind = finding->kind;
    common->inbound = FastMakeRules(finding, message);
    struct FastSocket* socket = calloc(1, common->kind->size);
    if (socket == NULL)
        return NULL;
    socket->ring = ring;
    socket->references = 1; /* the user's */
    if (FastSocketShare(socket, common) == 0 && FastMakeCopyHeader(socket, message) == 0)
        return socket;
    FastSocketFree(socket);
    return NULL;
}

/* What is known of its connection. */
static inline void FastMakeConnection(struct FastSocket* socket, const struct FastFinding* finding)
{
    socket->connection = finding->connection;
    socket->error = finding->error;
    if (!FastSocketHas(socket, FAST_TRAIT_READABLE))
        socket->inbound.stops |= FAST_STOP_UNREADABLE;
    if (finding->connection == FAST_CONNECTION_SOUGHT ||
        (finding->connection == FAST_CONNECTION_BEGUN &&
         !FastSocketHas(socket, FAST_TRAIT_RECEIVES_EARLY)))
        socket->inbound.stops |= FAST_STOP_CONNECTING;
}

/* It takes a descriptor, of its own or that was found: 0, or a negative errno. handle -1: its
 * connection is sought, and it is given one then. */
static inline int FastMakeTake(struct FastSocket* socket, int handle,
                               const struct FastFinding* finding)
{
    socket->handle = handle;
    socket->traits = finding->traits;
    if (socket->inbound.queue.rules->layout == FAST_INBOUND_MESSAGES)
        socket->traits &= ~(uint32_t)FAST_TRAIT_PLAIN;
    FastMakeConnection(socket, finding);
    FastReceiveInitialize(socket);
    FastPollInitialize(socket);
    return finding->kind->initialize != NULL ? finding->kind->initialize(socket, finding) : 0;
}

/* Nothing fails from here on: the socket holds what it uses, and its tasks are queued. */
static inline void FastMakeLive(struct FastSocket* socket)
{
    const struct FastCommon* common = FastSocketCommon(socket);
    if (!(common->mode & FASTSOCKET_MODE_FILE_IO) && socket->handle >= 0)
        FastSystemSetCloseOnExec(socket->handle);
    if (common->provider != NULL)
        FastProviderHold(common->provider);
    if (common->inboundPool != NULL)
        FastPoolHold(common->inboundPool);
    if (common->outboundPool != NULL)
        FastPoolHold(common->outboundPool);
    FastRingLink(socket->ring, &socket->worker.member, &FastMakeFunctions);
    if (FastCheckRuns())
        FastCheckTakeHandle(socket, socket->handle);
    if (socket->error != 0)
        FastSocketFail(socket, socket->error);
    FastSocketNotify(socket, FastSocketHas(socket, FAST_TRAIT_WRITABLE) ? FAST_NOTIFY_OUTPUT : 0);
    FastSocketDefer(socket, FAST_DUE_ALL);
}

/* It takes a descriptor, with close-on-exec if it is no file, and lives: 0, or a negative errno,
 * and nothing is done. */
static inline int FastMakeBegin(struct FastSocket* socket, int handle,
                                const struct FastFinding* finding)
{
    int result = FastMakeTake(socket, handle, finding);
    if (result == 0)
        FastMakeLive(socket);
    return result;
}

#endif
