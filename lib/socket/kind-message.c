/*
 * What sockets of messages have in common, be they records or datagrams.
 *
 * Good path: each message is an operation of its own, a burst is a chain of links, which keeps the
 * order. What is received has its true length as the buffer's note.
 *
 * Failures: a message that fails cancels those behind it in its chain, which are then sent again:
 * in order, whether or not the one that failed is tried again. What the kernel has no memory for is
 * tried again so many times, and is then that message's failure.
 */
#include "socket/kind-message.h"

#include "socket/flight.h"
#include "socket/intake.h"
#include "socket/system.h"

#include <errno.h>
#include <string.h>

enum
{
    MESSAGE_MAX_TRIES = 100,       /* of one that the kernel has no memory for */
    MESSAGE_CHAIN = 64,            /* in flight at once */
    MESSAGE_LOCAL_CHECK = 2 << 10, /* AF_UNIX messages from here on are compared with SO_SNDBUF */
    MESSAGE_LOCAL_OVERHEAD = 32,   /* that the kernel needs of SO_SNDBUF beside the bytes */
};

/* ---- what was received ---- */

static void countTruncated(struct FastSocket* socket)
{
    struct FastExtra* extra = FastSocketMakeExtra(socket);
    if (extra != NULL)
        extra->statistics.truncated++;
}

/* The length beyond the buffer is reported by the kernel (MSG_TRUNC among our flags); what the user
 * sees is the length that is there. */
struct FastAnswer FastMessageTake(struct FastSocket* socket, struct io_uring_recvmsg_out* out,
                                  size_t length)
{
    size_t stored = length - socket->inbound.queue.rules->headroom;
    if (out->flags & MSG_TRUNC &&
        (out->payloadlen > stored || !FastSocketHas(socket, FAST_TRAIT_TELLS_LENGTH)))
        countTruncated(socket);
    FastIntakeNoteLength(out, stored);
    return FastAnswer(FAST_VERDICT_DATA, 0);
}

struct io_uring_recvmsg_out* FastMessageHeader(const struct FastSocket* socket,
                                               const struct io_uring_cqe* completion)
{
    return FastProviderPeek(FastSocketProvider(socket),
                            (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT));
}

/* ---- reading ---- */

ssize_t FastMessageRead(struct FastSocket* socket, uint8_t* data, size_t size, int flags)
{
    struct FastInboundQueue* queue = &socket->inbound.queue;
    struct FastBuffer* chunk = queue->first;
    queue->wanted = 0;
    if (chunk == NULL)
        return FastSocketHasFailed(socket) ? -(ssize_t)socket->error : 0;
    size_t length = FastInboundPayloadLength(queue, chunk);
    size_t count = length < size ? length : size;
    size_t real = (size_t)*FastBufferNote(chunk);
    memcpy(data, FastInboundPayload(queue, chunk), count);
    if (!(flags & MSG_PEEK))
        FastIntakeDrop(socket);
    return (ssize_t)((flags & MSG_TRUNC) != 0 ? real : count);
}

/* ---- queueing ---- */

/* What the kind can never carry; a smaller limit of the path is the kernel's to tell. */
int FastMessageCheckSpace(const struct FastSocket* socket, size_t size)
{
    int space = 0;
    if (!FastSocketHas(socket, FAST_TRAIT_LOCAL) || size < MESSAGE_LOCAL_CHECK ||
        FastSystemGetNumber(socket->handle, SOL_SOCKET, SO_SNDBUF, &space) < 0)
        return 0;
    return size + MESSAGE_LOCAL_OVERHEAD > (size_t)space ? -EMSGSIZE : 0;
}

/* ---- sending ---- */

/* Each starts when the one before was sent. */
bool FastMessageStartChain(struct FastSocket* socket, FastMessageFunction before)
{
    struct FastOutbound* outbound = socket->outbound;
    uint32_t most = outbound->burst;
    if (outbound->queue.messages > 0 && outbound->queue.messages < most)
        most = outbound->queue.messages;
    outbound->burst = most * 2 < MESSAGE_CHAIN ? most * 2 : MESSAGE_CHAIN;
    struct io_uring_sqe* last = NULL;
    for (struct FastItem* item = outbound->queue.first;
         item != NULL && item->kind == FAST_ITEM_MESSAGE &&
         item->order == FAST_ORDER_QUEUE && outbound->inFlight < most;
         item = item->next) {
        if (item->state == FAST_ITEM_DONE)
            continue;
        if (before != NULL)
            before(socket, FastItemMessage(item));
        struct io_uring_sqe* entry = FastFlightStartMessage(socket, FastItemMessage(item),
                                                            last == NULL);
        if (entry == NULL)
            break;
        if (last != NULL)
            last->flags |= IOSQE_IO_LINK;
        last = entry;
        if (outbound->current != NULL)
            break; /* without a copy: alone */
    }
    return last != NULL;
}

/* Lack of memory, which is tried again so often; then it is the message's. */
struct FastAnswer FastMessageRetryMemory(struct FastSocket* socket, struct FastFlight* flight,
                                         int error)
{
    if (FastFlightFallsBack(socket, flight, error))
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    return FastAnswer(++flight->message->tries <= MESSAGE_MAX_TRIES ? FAST_VERDICT_BACKOFF
                                                                    : FAST_VERDICT_FAIL,
                      error);
}
