/*
 * The Transmit functions: what is handed over is checked, and queued as the kind has it. The
 * prepare task sends it (send.c) when the turn comes.
 *
 * Failures: returned, with nothing queued and nothing half copied. Ownership passes in every case
 * where the header says so.
 */
#include "socket/transmit.h"

#include "base/trace.h"
#include "socket/direct.h"
#include "socket/run.h"
#include "memory/wrap.h"

#include <errno.h>
#include <string.h>

enum
{
    TRANSMIT_MAX = 1 << 30, /* bytes in one call */
    TRANSMIT_MAX_CONTROL = 65536,
};

/* ---- checks ---- */

/* Closed or ending is EPIPE here, as for a peer that is gone: a program handles that anyway. */
int FastTransmitCheckState(const struct FastSocket* socket)
{
    if (socket == NULL)
        return -EINVAL;
    if (socket->stage == FAST_STAGE_CLOSED)
        return -EPIPE;
    int result = FastRingCheckOf(socket->ring, socket);
    if (result < 0)
        return result;
    if (!FastSocketHas(socket, FAST_TRAIT_WRITABLE))
        return -EBADF;
    bool over = FastSocketHasFailed(socket) || socket->shutdown != FAST_SHUTDOWN_NONE;
    return over || FastRingIsEnding(socket->ring) ? -EPIPE : 0;
}

/* A queue below the limit takes any size, so that one large message is never refused for ever. */
static int checkLimit(const struct FastSocket* socket)
{
    const struct FastOutbound* outbound = socket->outbound;
    return outbound != NULL && outbound->limit > 0 && outbound->queue.length >= outbound->limit
               ? -EAGAIN
               : 0;
}

/* EPIPE waits for the arguments: wrong ones are wrong on a living socket and on a dead one. */
int FastTransmitCheck(const struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    int state = FastTransmitCheckState(socket);
    if (state != 0 && state != -EPIPE)
        return state;
    int result = FastSocketKind(socket)->checkSend(socket, parts, flags);
    if (result == 0)
        result = state;
    return result == 0 ? checkLimit(socket) : result;
}

/* Whether a result blames the arguments, and not the state of the socket. */
static bool isOfArguments(int result)
{
    return result != 0 && result != -EPIPE && result != -EAGAIN;
}

/* ---- queueing ---- */

void FastTransmitNote(struct FastSocket* socket)
{
    FastSocketCountPending(socket);
    FastSocketDefer(socket, FAST_DUE_SEND);
}

static int appendQuietly(struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    int result = FastSocketMakeOutbound(socket);
    if (result < 0)
        return result;
    result = parts->size >= FAST_DIRECT_MIN ? FastDirectSend(socket, parts, flags)
                                            : FAST_DIRECT_NOT;
    if (result == FAST_DIRECT_NOT)
        result = FastSocketKind(socket)->append(socket, parts, flags);
    if (result == 0)
        FastTransmitNote(socket);
    return result;
}

static int append(struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    int result = appendQuietly(socket, parts, flags);
    if (FastTraceRuns())
        FastTraceTransmit(socket, socket->handle, parts->size, result);
    return result;
}

/* ---- the exported functions ---- */

/* All that is asked, in the order that the errors need. Not inline, as all that is no part of the
 * short way: that would save registers for it. */
__attribute__((noinline)) static int transmitData(struct FastSocket* socket,
                                                  struct sockaddr* address, socklen_t length,
                                                  const void* data, size_t size, int flags)
{
    const struct iovec vector = {.iov_base = (void*)(uintptr_t)data, .iov_len = size};
    const struct FastParts parts = {
        .name = address,
        .nameLength = length,
        .vector = &vector,
        .size = size,
    };
    int result = FastTransmitCheck(socket, &parts, flags);
    if (isOfArguments(result))
        return result;
    if ((data == NULL && size > 0) || FastSocketOutboundPool(socket) == NULL)
        return -EINVAL;
    return result < 0 ? result : append(socket, &parts, flags);
}

/* Nothing refuses bytes without flags just now, but the limit. false: FastTransmitCheck says what
 * does, if anything. */
static inline bool isReady(const struct FastSocket* socket)
{
    return socket != NULL && FastRingIsOpen(socket->ring) && socket->stage == FAST_STAGE_LIVE &&
           socket->connection == FAST_CONNECTION_MADE && socket->shutdown == FAST_SHUTDOWN_NONE &&
           FastSocketOutboundPool(socket) != NULL && socket->outbound != NULL;
}

static inline bool isStream(const struct FastSocket* socket)
{
    return FastSocketKind(socket)->layout == FAST_INBOUND_BYTES &&
           FastSocketHas(socket, FAST_TRAIT_WRITABLE);
}

/* The first bytes of a burst: an empty queue is below any limit. Inline like what uses it, for
 * nobody then has registers to save. */
__attribute__((always_inline)) static inline void* begin(struct FastSocket* socket, size_t size)
{
    struct FastBufferPool* pool = FastSocketOutboundPool(socket);
    void* place = isStream(socket) ? FastOutboundBegin(&socket->outbound->queue, pool, size) : NULL;
    if (place != NULL)
        FastSocketCountOn(socket);
    return place;
}

/* As FastSocketDefer, where FastRingIsOpen says yes. */
static inline void deferSend(struct FastSocket* socket)
{
    socket->due |= FAST_DUE_SEND;
    if (FastSocketHoldFor(socket, FAST_RING_PREPARE))
        FastRingDeferInside(socket->ring, &socket->worker, FAST_RING_PREPARE);
}

/* A place for bytes without flags, where nothing refuses them, and where to queue them is to copy
 * them there: queue and ring know of them already. NULL: nothing is done. */
__attribute__((always_inline)) static inline void* placeFor(struct FastSocket* socket, size_t size)
{
    void* place = NULL;
    if (socket->outbound->queue.last == NULL)
        place = begin(socket, size);
    else if (checkLimit(socket) == 0)
        place = FastOutboundJoin(&socket->outbound->queue, size);
    if (place != NULL)
        deferSend(socket);
    return place;
}

/* Whether checkSend has nothing to say of a datagram but of its address and size. Where these are
 * those of one that it has let through, they are right: what it goes by never changes. */
static inline bool isDatagram(const struct FastSocket* socket, const void* data, int flags)
{
    return socket != NULL && FastSocketHas(socket, FAST_TRAIT_JOINS) && data != NULL &&
           !(flags & ~MSG_NOSIGNAL) && isReady(socket);
}

/* What lies behind other bytes is counted already: so is a datagram that joins another. */
__attribute__((noinline)) static int transmitAny(struct FastSocket* socket,
                                                 struct sockaddr* address, socklen_t length,
                                                 const void* data, size_t size, int flags)
{
    void* place = isDatagram(socket, data, flags) && checkLimit(socket) == 0
                      ? FastRunJoin(&socket->outbound->queue, address, length, size)
                      : NULL;
    if (place == NULL)
        return transmitData(socket, address, length, data, size, flags);
    deferSend(socket);
    memcpy(place, data, size);
    return 0;
}

bool FastTransmitBytes(struct FastSocket* socket, const void* data, size_t size)
{
    void* place = isReady(socket) ? placeFor(socket, size) : NULL;
    if (place != NULL)
        memcpy(place, data, size);
    return place != NULL;
}

/* MSG_NOSIGNAL means nothing, so that nothing but bytes need be kept for the long way. */
int TransmitFastSocketData(struct FastSocket* socket, struct sockaddr* address, socklen_t length,
                           const void* data, size_t size, int flags)
{
    if (address != NULL || length != 0 || data == NULL || flags & ~MSG_NOSIGNAL)
        return transmitAny(socket, address, length, data, size, flags);
    void* place = isReady(socket) ? placeFor(socket, size) : NULL;
    if (place == NULL)
        return transmitAny(socket, NULL, 0, data, size, 0);
    memcpy(place, data, size);
    return 0;
}

/* Each length is looked at alone first, so that the sum can't overflow. */
static int checkVector(const struct msghdr* message, size_t* size)
{
    *size = 0;
    if (message == NULL || (message->msg_iov == NULL && message->msg_iovlen > 0))
        return -EINVAL;
    if ((message->msg_control == NULL && message->msg_controllen > 0) ||
        message->msg_controllen > TRANSMIT_MAX_CONTROL)
        return -EINVAL;
    for (size_t index = 0; index < (size_t)message->msg_iovlen; index++) {
        const struct iovec* part = &message->msg_iov[index];
        if (part->iov_base == NULL && part->iov_len > 0)
            return -EINVAL;
        if (part->iov_len > TRANSMIT_MAX || *size + part->iov_len > TRANSMIT_MAX)
            return -EMSGSIZE;
        *size += part->iov_len;
    }
    return 0;
}

int TransmitFastSocketMessage(struct FastSocket* socket, struct msghdr* message, int flags)
{
    size_t size;
    int result = FastTransmitCheckState(socket);
    if (result != 0 && result != -EPIPE)
        return result;
    result = checkVector(message, &size);
    if (result == 0 && FastSocketOutboundPool(socket) == NULL)
        result = -EINVAL;
    if (result < 0)
        return result;
    const struct FastParts parts = {
        .name = message->msg_name,
        .nameLength = message->msg_namelen,
        .control = message->msg_control,
        .controlLength = message->msg_controllen,
        .vector = message->msg_iov,
        .size = size,
    };
    result = FastTransmitCheck(socket, &parts, flags);
    return result < 0 ? result : append(socket, &parts, flags);
}

/* Bytes of a buffer that there are. */
static inline bool isInside(size_t capacity, size_t offset, size_t size)
{
    return offset <= capacity && size <= capacity - offset;
}

__attribute__((noinline)) static int transmitBuffer(struct FastSocket* socket,
                                                    const struct sockaddr* address,
                                                    socklen_t length, struct FastBuffer* buffer,
                                                    size_t offset, size_t size, int flags)
{
    struct FastParts parts = {
        .name = address,
        .nameLength = length,
        .size = size,
        .buffer = buffer,
    };
    if (FastCheckRuns())
        FastCheckAlive(buffer);
    int result = FastTransmitCheck(socket, &parts, flags);
    if (buffer == NULL)
        return isOfArguments(result) ? result : -EINVAL;
    if (!isOfArguments(result) && !isInside(FastBufferCapacity(buffer), offset, size))
        result = -EINVAL;
    if (result == 0) {
        const struct iovec vector = {.iov_base = FastBufferContent(buffer) + offset,
                                     .iov_len = size};
        parts.vector = &vector;
        result = append(socket, &parts, flags);
    }
    if (result < 0)
        FastBufferDrop(buffer);
    return result;
}

/* What is copied all the same goes as TransmitFastSocketData has it, and the buffer goes home. A
 * wrapped one has no bytes for that. */
int TransmitFastSocketBuffer(struct FastSocket* socket, const struct sockaddr* address,
                             socklen_t length, struct FastBuffer* buffer, size_t offset,
                             size_t size, int flags)
{
    if (address != NULL || length != 0 || buffer == NULL || flags & ~MSG_NOSIGNAL)
        return transmitBuffer(socket, address, length, buffer, offset, size, flags);
    bool copied = size < FAST_OUTBOUND_MIN_GATHER && isInside(FastBufferSize(buffer), offset, size);
    void* place = copied && isReady(socket) ? placeFor(socket, size) : NULL;
    if (place == NULL)
        return transmitBuffer(socket, NULL, 0, buffer, offset, size, 0);
    memcpy(place, FastBufferData(buffer) + offset, size);
    FastPoolRelease(FastSocketInboundPool(socket), buffer);
    return 0;
}
