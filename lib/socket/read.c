/*
 * Reading from a socket: how the inbound queue, which receive.c fills, reaches the user.
 *
 * Every function that takes bytes out looks afterwards whether receiving may go on.
 */
#include "socket/intake.h"
#include "socket/joined.h"
#include "socket/kind.h"
#include "socket/receive.h"
#include "socket/timing.h"

#include <errno.h>
#include <string.h>

/* Bytes flow in, nothing stops them, and there is nothing to say beside them: when all of them were
 * read, that is still so. */
static inline bool isFlowing(const struct FastSocket* socket)
{
    return socket->stage == FAST_STAGE_LIVE && socket->connection == FAST_CONNECTION_MADE &&
           socket->inbound.stops == 0 && socket->inbound.receive.state == FAST_ARMED_IN_FLIGHT &&
           FastSocketHas(socket, FAST_TRAIT_PLAIN);
}

/* Not inline: the short way would save registers for it. */
__attribute__((noinline)) static ssize_t readAny(struct FastSocket* socket, void* data, size_t size,
                                                 int flags)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    if (!FastSocketHas(socket, FAST_TRAIT_READABLE))
        return -EBADF;
    if (data == NULL || size == 0 || flags & ~FastSocketKind(socket)->readFlags)
        return -EINVAL;
    ssize_t count = FastSocketKind(socket)->read(socket, data, size, flags);
    FastReceiveBalance(socket);
    return count;
}

/* Mostly there is one chunk, which is read whole; or nothing, as a reader finds it who asks until
 * he gets no more. */
ssize_t ReceiveFastSocketData(struct FastSocket* socket, void* data, size_t size, int flags)
{
    if (socket != NULL && data != NULL && size > 0 && flags == 0 &&
        FastRingIsOpen(socket->ring) && isFlowing(socket)) {
        struct FastInboundQueue* queue = &socket->inbound.queue;
        if (queue->first == queue->last && queue->length <= size) {
            queue->wanted = 0;
            return queue->first != NULL ? (ssize_t)FastIntakeReadAll(socket, data) : 0;
        }
    }
    return readAny(socket, data, size, flags);
}

/* A chunk as its new owner sees it: without what was read of it, and without a header that only we
 * asked for. */
static void trimChunk(const struct FastSocket* socket, struct FastBuffer* chunk, size_t offset)
{
    const struct FastInboundQueue* queue = &socket->inbound.queue;
    bool headed = FastSocketHeader(socket) != NULL;
    size_t strip = headed ? 0 : queue->rules->headroom;
    if (headed && FastSocketHas(socket, FAST_TRAIT_JOINED))
        strip = FAST_JOINED_ROOM;
    if (strip + offset == 0)
        return;
    uint8_t* data = FastBufferData(chunk) + queue->rules->headroom - strip;
    size_t kept = FastInboundPayloadLength(queue, chunk) - offset;
    memmove(data, FastInboundPayload(queue, chunk) + offset, kept);
    FastBufferSetLength(chunk, FastBufferLength(chunk) - strip - offset);
    if (headed)
        ((struct io_uring_recvmsg_out*)FastBufferData(chunk))->payloadlen = (uint32_t)kept;
}

/* The first chunk, which there is, goes out as it lies there, and nobody waits for more. */
static inline bool hasWhole(const struct FastSocket* socket)
{
    const struct FastInbound* inbound = &socket->inbound;
    return inbound->queue.offset == 0 && inbound->queue.wanted == 0 &&
           (inbound->queue.rules->headroom == 0 ||
            (FastSocketHeader(socket) != NULL && !FastSocketHas(socket, FAST_TRAIT_JOINED)));
}

/* The first chunk, or what of it is one datagram. It is there. NULL: no memory. */
static struct FastBuffer* takeFirst(struct FastSocket* socket)
{
    if (FastSocketHas(socket, FAST_TRAIT_JOINED) && FastJoinedIsFirst(socket))
        return FastJoinedCut(socket);
    size_t offset = socket->inbound.queue.offset;
    struct FastBuffer* chunk = FastIntakePop(socket);
    trimChunk(socket, chunk, offset);
    return chunk;
}

static struct FastBuffer* fail(int error)
{
    errno = error;
    return NULL;
}

/* Not inline, like what follows: the short way would save registers for it. */
__attribute__((noinline)) static struct FastBuffer* receiveNothing(const struct FastSocket* socket)
{
    return fail(FastSocketHas(socket, FAST_TRAIT_READABLE) ? EAGAIN : EBADF);
}

__attribute__((noinline)) static struct FastBuffer* receiveAny(struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return fail(-result);
    if (socket->inbound.queue.first == NULL)
        return receiveNothing(socket);
    struct FastBuffer* chunk = takeFirst(socket);
    socket->inbound.queue.wanted = 0;
    FastReceiveBalance(socket);
    return chunk != NULL ? chunk : fail(ENOMEM);
}

/* Mostly a chunk goes out as it lies there; or there is none, as a reader finds it who asks until
 * he gets no more. */
struct FastBuffer* ReceiveFastSocketBuffer(struct FastSocket* socket)
{
    bool open = FastSocketIsOpen(socket);
    if (open && socket->inbound.queue.first == NULL)
        return receiveNothing(socket);
    if (!open || !hasWhole(socket))
        return receiveAny(socket);
    struct FastBuffer* chunk = FastIntakePop(socket);
    FastReceiveLessen(socket);
    return chunk;
}

struct msghdr* GetFastSocketMessageHeader(struct FastSocket* socket)
{
    return socket != NULL ? FastSocketHeader(socket) : NULL;
}

/* ---- pausing ---- */

int PauseFastSocket(struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    socket->inbound.stops |= FAST_STOP_PAUSED;
    FastReceiveBalance(socket);
    return 0;
}

/* Where nothing was held back there is nothing to tell, and a dispatch would cost a turn: programs
 * resume whenever their output has left. */
int ResumeFastSocket(struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    bool holds = socket->inbound.stops & (FAST_STOP_PAUSED | FAST_STOP_RECORD) ||
                 socket->inbound.record != 0;
    if (!holds && socket->inbound.queue.first == NULL)
        return 0;
    FastTimingRest(socket, FAST_TIMING_IDLE); /* it has not been idle meanwhile */
    socket->inbound.stops &= (uint16_t) ~(FAST_STOP_PAUSED | FAST_STOP_RECORD);
    socket->inbound.record = 0; /* read meanwhile, or met again */
    socket->notifyDue &= (uint8_t)~FAST_NOTIFY_INPUT;
    FastSocketNotify(socket, socket->inbound.queue.first != NULL ? FAST_NOTIFY_INPUT : 0);
    FastReceiveBalance(socket);
    return 0;
}
