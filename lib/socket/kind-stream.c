/*
 * Bytes of a connection: TCP, MPTCP, AF_UNIX, AF_VSOCK and others.
 *
 * Good path: what is queued is gathered into one send with MSG_WAITALL, so that the kernel goes on
 * by itself as room comes; what is read goes over the borders of chunks.
 *
 * Failures: a short count is resumed from where it ended. A receive that brings nothing is the end.
 * TCP Fast Open: what was taken for connected has only just sent its SYN with the first bytes.
 */
#include "socket/kind-stream.h"

#include "socket/flight.h"
#include "socket/intake.h"
#include "socket/kind-socket.h"
#include "socket/kind-tls.h"

#include <errno.h>

enum
{
    STREAM_SEND_FLAGS = MSG_MORE | MSG_EOR | MSG_OOB | MSG_CONFIRM | MSG_DONTROUTE | MSG_ZEROCOPY |
                        MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT,
};

/* ---- receiving ---- */

static struct FastAnswer classifyReceive(struct FastSocket* socket,
                                         const struct io_uring_cqe* completion)
{
    if (completion->res > 0 && (size_t)completion->res > socket->inbound.queue.rules->headroom)
        return FastAnswer(FAST_VERDICT_DATA, 0);
    if (completion->res >= 0)
        return FastAnswer(FAST_VERDICT_END, 0);
    struct FastAnswer answer = FastKindReceiveError(socket, -completion->res, NULL);
    return answer.verdict == FAST_VERDICT_FAIL ? FastTlsReceiveError(socket, answer.value) : answer;
}

/* For this reader what he waits for is enough: so it does not matter if no memory is there. Not
 * inline: the short way would make room for it. */
__attribute__((noinline)) static void raiseMark(struct FastSocket* socket, size_t size)
{
    struct FastCommon common = *FastSocketCommon(socket);
    common.inbound.high = size;
    (void)FastSocketShare(socket, &common);
}

/* A reader that waits for so many bytes takes none before: the marks must let them all come. */
static ssize_t waitForAll(struct FastSocket* socket, size_t size)
{
    struct FastInbound* inbound = &socket->inbound;
    if (size > FastRingInboundLimit(socket->ring))
        return -ENOBUFS;
    inbound->queue.wanted = size;
    if (size > inbound->queue.rules->high)
        raiseMark(socket, size);
    /* Stopped or not: the next bytes are waited for. */
    inbound->stops &= (uint16_t)~FAST_STOP_HIGH_MARK;
    if (inbound->stops & FAST_STOP_RING_LIMIT && !FastRingInboundIsFull(socket->ring)) {
        FastSocketStopWaiting(socket);
        inbound->stops &= (uint16_t)~FAST_STOP_RING_LIMIT;
    }
    return 0;
}

/* A reader that peeks at everything and asked for more may take nothing until more has come. So the
 * memory of what is queued must not stop receiving, as for MSG_WAITALL; its bytes still do. */
static void expectMore(struct FastInboundQueue* queue, size_t size)
{
    size_t most = queue->rules->high < size ? (size_t)queue->rules->high : size;
    if (queue->rules->layout != FAST_INBOUND_BYTES && queue->length < most)
        queue->wanted = most;
}

static ssize_t readWithFlags(struct FastSocket* socket, uint8_t* data, size_t size, int flags)
{
    struct FastInbound* inbound = &socket->inbound;
    bool more = inbound->end != FAST_INPUT_ENDED && !FastSocketHasFailed(socket);
    if (flags & MSG_WAITALL && inbound->queue.length < size && more)
        return waitForAll(socket, size);
    inbound->queue.wanted = 0;
    if (inbound->queue.first == NULL)
        return FastSocketHasFailed(socket) ? -(ssize_t)socket->error : 0;
    if (!(flags & MSG_PEEK))
        return (ssize_t)FastIntakeRead(socket, data, size);
    if (more)
        expectMore(&inbound->queue, size);
    return (ssize_t)FastInboundCopy(&inbound->queue, data, size);
}

ssize_t FastStreamRead(struct FastSocket* socket, uint8_t* data, size_t size, int flags)
{
    struct FastInbound* inbound = &socket->inbound;
    if (flags != 0 || FastSocketHasFailed(socket))
        return readWithFlags(socket, data, size, flags);
    inbound->queue.wanted = 0;
    return inbound->queue.first != NULL ? (ssize_t)FastIntakeRead(socket, data, size) : 0;
}

/* ---- queueing ---- */

static int checkSend(const struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    return FastKindCheckSend(socket, parts, flags, STREAM_SEND_FLAGS, -EISCONN);
}

/* An item that refers to the buffer. */
static int appendBuffer(struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    struct FastItem* item = FastItemMake(FastSocketPool(socket), FAST_ITEM_BYTES, 0);
    if (item == NULL)
        return -ENOMEM;
    item->flags = FastItemFlags(flags);
    item->payload = parts->buffer;
    item->data = parts->vector->iov_base;
    item->length = parts->size;
    FastOutboundAppend(&socket->outbound->queue, item);
    return 0;
}

int FastStreamAppend(struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    if (parts->controlLength > 0)
        /* On a stream control data goes with a byte, or nowhere. */
        return parts->size > 0 ? FastKindAppendMessage(socket, parts, flags) : -EINVAL;
    if (parts->buffer != NULL && parts->size >= FAST_OUTBOUND_MIN_GATHER)
        return appendBuffer(socket, parts, flags);
    int result = FastOutboundCopy(&socket->outbound->queue, FastSocketPool(socket), parts->vector,
                                  parts->size, flags);
    if (result == 0)
        FastBufferDrop(parts->buffer);
    return result;
}

/* ---- sending ---- */

/* As FastKindPrepareSend has it. */
static bool sendPlainly(struct FastSocket* socket)
{
    const struct FastOutbound* outbound = socket->outbound;
    const struct FastItem* item = outbound->queue.first;
    struct io_uring_sqe* entry = FastFlightReservePlain(socket);
    if (entry == NULL)
        return false;
    bool whole = FastSocketHas(socket, FAST_TRAIT_WAITS_FOR_ALL);
    bool polls = outbound->room & FAST_ROOM_POLL_FIRST;
    entry->opcode = IORING_OP_SEND;
    entry->ioprio = polls ? IORING_RECVSEND_POLL_FIRST : 0;
    entry->fd = socket->handle;
    entry->addr = (uintptr_t)item->data;
    entry->len = (uint32_t)item->length;
    entry->msg_flags = (uint32_t)item->flags | MSG_NOSIGNAL | (whole ? MSG_WAITALL : 0);
    return true;
}

static bool startSend(struct FastSocket* socket)
{
    return FastFlightIsPlain(socket) ? sendPlainly(socket) : FastFlightStartStream(socket);
}

/* MSG_WAITALL is refused by TLS: the same again without; short counts are resumed. */
static bool dropsWaitAll(struct FastSocket* socket, int error)
{
    if (!FastSocketHas(socket, FAST_TRAIT_WAITS_FOR_ALL) ||
        (error != EOPNOTSUPP && error != EINVAL))
        return false;
    socket->traits &= ~(uint32_t)FAST_TRAIT_WAITS_FOR_ALL;
    return true;
}

static struct FastAnswer classifySend(struct FastSocket* socket, struct FastFlight* flight,
                                      int result)
{
    int error = -result;
    if (result >= 0)
        return FastAnswer(FAST_VERDICT_DATA, result);
    if (FastFlightFallsBack(socket, flight, error) ||
        (flight->message == NULL && dropsWaitAll(socket, error)))
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    if (error == EINPROGRESS || error == EALREADY)
        return FastAnswer(FAST_VERDICT_CONNECT, 0);
    return FastKindSendError(error);
}

const struct FastKind FastKindStream = {
    .name = "stream",
    .traits = FAST_TRAIT_CONNECTED | FAST_TRAIT_WATCHED | FAST_TRAIT_PLAIN,
    .layout = FAST_INBOUND_BYTES,
    .size = sizeof(struct FastSocket),
    .readFlags = FAST_STREAM_READ_FLAGS,
    .ownSends = FAST_OPCODES_SEND,
    .ownBytes = FAST_OPCODES_BYTES,
    .prepareReceive = FastKindPrepareReceive,
    .classifyReceive = classifyReceive,
    .read = FastStreamRead,
    .checkSend = checkSend,
    .append = FastStreamAppend,
    .startSend = startSend,
    .prepareSend = FastKindPrepareSend,
    .classifySend = classifySend,
    .end = FastKindEnd,
};
