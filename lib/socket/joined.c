/*
 * Datagrams that the kernel has joined in one buffer (UDP_GRO), one after the other again.
 *
 * Good path: of what was received the size of its datagrams is noted beside its true length. They
 * stay where they are until they are read: the queue's offset is where the next one begins, and the
 * chunk goes with the last one.
 *
 * Failures: a kernel that joins more than the buffer holds, which none does, loses those behind
 * it, which are counted; the one that was cut is a truncated one like any other. No memory for a
 * copy: the datagram stays, and POLLIN is told again.
 *
 * The note: the true length of all in the lower half; the size of each but the last, which may be
 * shorter, in the upper one, 0 of what was not joined.
 */
#include "socket/joined.h"

#include "socket/control.h"
#include "socket/intake.h"
#include "socket/kind-message.h"

#include <string.h>

/* The first unread datagram. */
struct piece
{
    const uint8_t* data;
    size_t length; /* of it is there */
    size_t real;   /* it had */
    bool last;     /* nothing of the chunk is behind it */
};

static struct piece firstPiece(const struct FastInboundQueue* queue)
{
    uint64_t note = *FastBufferNote(queue->first);
    size_t segment = (size_t)(note >> 32);
    size_t stored = FastInboundPayloadLength(queue, queue->first) - queue->offset;
    size_t real = (size_t)(uint32_t)note - queue->offset;
    return (struct piece){
        .data = FastInboundPayload(queue, queue->first) + queue->offset,
        .length = stored < segment ? stored : segment,
        .real = real < segment ? real : segment,
        .last = stored <= segment,
    };
}

/* ---- what was received ---- */

/* The size of the datagrams; 0: there is one. The user has no room for control data, and sees what
 * recvmsg shows then: none, and that other than ours was lost. */
static size_t takeControl(const struct FastSocket* socket, struct io_uring_recvmsg_out* out)
{
    const uint8_t* payload = (const uint8_t*)out + socket->inbound.queue.rules->headroom;
    size_t size = out->controllen < FAST_JOINED_ROOM ? out->controllen : FAST_JOINED_ROOM;
    bool others = false;
    size_t segment = FastControlFindSegment(payload - FAST_JOINED_ROOM, size, &others);
    if (others)
        out->flags |= MSG_CTRUNC;
    out->controllen = 0;
    return segment;
}

/* One has been counted of what came, and one of what was cut: the others. */
static void countOthers(struct FastSocket* socket, size_t segment, size_t stored, size_t real)
{
    size_t all = (real + segment - 1) / segment;
    size_t there = (stored + segment - 1) / segment;
    size_t whole = stored < real ? stored / segment : all;
    if (!socket->inbound.discard)
        socket->statistics.messages += there - 1;
    if (whole < all && socket->extra != NULL)
        socket->extra->statistics.truncated += all - whole - 1;
}

struct FastAnswer FastJoinedTake(struct FastSocket* socket, struct io_uring_recvmsg_out* out,
                                 size_t length)
{
    size_t stored = length - socket->inbound.queue.rules->headroom;
    size_t segment = takeControl(socket, out);
    struct FastAnswer answer = FastMessageTake(socket, out, length);
    uint64_t* note = FastBufferNote(FastBufferOf(out));
    if (segment > 0 && segment < *note && stored > 0) {
        countOthers(socket, segment, stored, (size_t)*note);
        *note |= (uint64_t)segment << 32;
    }
    return answer;
}

/* ---- reading ---- */

static void drop(struct FastSocket* socket, const struct piece* piece)
{
    if (piece->last)
        FastIntakeDrop(socket);
    else
        FastIntakeSkip(socket, piece->length);
}

ssize_t FastJoinedRead(struct FastSocket* socket, uint8_t* data, size_t size, int flags)
{
    struct FastInboundQueue* queue = &socket->inbound.queue;
    if (queue->first == NULL || !FastJoinedIsFirst(socket))
        return FastMessageRead(socket, data, size, flags);
    struct piece piece = firstPiece(queue);
    size_t count = piece.length < size ? piece.length : size;
    memcpy(data, piece.data, count);
    if (!(flags & MSG_PEEK))
        drop(socket, &piece);
    return (ssize_t)((flags & MSG_TRUNC) != 0 ? piece.real : count);
}

/* The header that the user has asked for, as that of the piece alone. */
static void copyHeader(struct FastBuffer* buffer, struct FastBuffer* chunk, size_t header,
                       const struct piece* piece)
{
    struct io_uring_recvmsg_out* out = (struct io_uring_recvmsg_out*)FastBufferData(buffer);
    memcpy(out, FastBufferData(chunk), header);
    out->payloadlen = (uint32_t)piece->length;
    out->flags &= ~(uint32_t)MSG_TRUNC;
    if (piece->length < piece->real)
        out->flags |= MSG_TRUNC;
}

/* A copy: a buffer begins where its memory does, and joined ones would keep each other's. */
struct FastBuffer* FastJoinedCut(struct FastSocket* socket)
{
    struct FastInboundQueue* queue = &socket->inbound.queue;
    size_t header = FastSocketHeader(socket) != NULL ? queue->rules->headroom - FAST_JOINED_ROOM
                                                     : 0;
    struct piece piece = firstPiece(queue);
    struct FastBuffer* buffer = FastPoolAllocate(FastSocketInboundPool(socket),
                                                 header + piece.length);
    if (buffer == NULL) {
        socket->notifyDue |= FAST_NOTIFY_INPUT; /* by the retry */
        FastSocketRetryLater(socket);
        return NULL;
    }
    FastBufferSetLength(buffer, header + piece.length);
    if (header > 0)
        copyHeader(buffer, queue->first, header, &piece);
    memcpy(FastBufferData(buffer) + header, piece.data, piece.length);
    drop(socket, &piece);
    return buffer;
}
