/*
 * The queue of what a socket has received and nobody has read yet. Knows buffers, and no socket.
 *
 * Layout of a chunk: plain bytes alone; or, of messages, the header that recvmsg with provided
 * buffers leaves (struct io_uring_recvmsg_out, name, control data) and then the payload.
 */
#ifndef FASTSOCKET_SOCKET_INBOUND_H
#define FASTSOCKET_SOCKET_INBOUND_H

#include "memory/pool.h"

#include <stddef.h>

enum FastInboundLayout
{
    FAST_INBOUND_BYTES,    /* borders mean nothing: small pieces are put together */
    FAST_INBOUND_PACKETS,  /* bytes whose borders are kept, since a device may mean them */
    FAST_INBOUND_MESSAGES, /* each behind a header */
};

enum
{
    /* Buffers of their own size when the queue's memory reaches 1/4 of the high mark. */
    FAST_INBOUND_ROOMY_SHARE = 4,
};

/* What never changes, for many queues. */
struct FastInboundRules
{
    uint64_t high;      /* FASTSOCKET_OPTION_INBOUND_HIGH */
    uint64_t low;       /* FASTSOCKET_OPTION_INBOUND_LOW */
    uint64_t turnLimit; /* FASTSOCKET_OPTION_TURN_LIMIT */
    uint32_t headroom;  /* bytes before the payload in each chunk */
    uint32_t layout;    /* enum FastInboundLayout */
};

/* Zeroed with its rules it is empty. */
struct FastInboundQueue
{
    const struct FastInboundRules* rules;
    struct FastBuffer* first;
    struct FastBuffer* last;
    size_t length;    /* unread payload bytes */
    size_t footprint; /* memory of the chunks */
    size_t wanted;    /* bytes that a reader waits for, who leaves them all there until then */
    uint32_t offset;  /* of the first chunk's payload that was read */
    uint32_t recent;  /* its owner's: bytes that came in the turn that it counts */
};

/* The marks that a new socket is documented to have. */
struct FastInboundRules FastInboundMakeRules(uint32_t layout, uint32_t headroom);

/* Where a chunk's payload begins, and how long it is. */
uint8_t* FastInboundPayload(const struct FastInboundQueue* queue, struct FastBuffer* chunk);
size_t FastInboundPayloadLength(const struct FastInboundQueue* queue, struct FastBuffer* chunk);

/* Copies new bytes behind unread ones, where borders mean nothing and enough room is there; returns
 * how many were copied. */
size_t FastInboundFill(struct FastInboundQueue* queue, const uint8_t* data, size_t length);

/* Whether a message of so many bytes, header included, had better be put into a buffer of its own
 * size, since the queue holds much memory for its bytes. room: that of the buffer in which it
 * lies. */
static inline bool FastInboundIsRoomy(const struct FastInboundQueue* queue, size_t length,
                                      size_t room)
{
    return queue->rules->layout != FAST_INBOUND_BYTES &&
           queue->footprint >= queue->rules->high / FAST_INBOUND_ROOMY_SHARE && length <= room / 2;
}

/* Appends a chunk, whose length is set. Of messages its note is the true length, for its reader. */
static inline void FastInboundPush(struct FastInboundQueue* queue, struct FastBuffer* chunk)
{
    *FastBufferLink(chunk) = NULL;
    if (queue->last != NULL)
        *FastBufferLink(queue->last) = chunk;
    else
        queue->first = chunk;
    queue->last = chunk;
    queue->footprint += FastBufferFootprint(chunk);
    queue->length += FastBufferLength(chunk) - queue->rules->headroom;
}

/* The same to an empty queue, of bytes, which are not there yet: length of them. */
static inline void FastInboundPushFirst(struct FastInboundQueue* queue, struct FastBuffer* chunk,
                                        size_t length)
{
    FastBufferSetLength(chunk, length);
    *FastBufferLink(chunk) = NULL;
    queue->first = chunk;
    queue->last = chunk;
    queue->footprint = FastBufferFootprint(chunk);
    queue->length = length;
}

/* Whether a chunk of so many bytes, full of them, is appended as it is, and so are those behind
 * it. */
bool FastInboundTakesFull(const struct FastInboundQueue* queue, size_t length);

/* Takes the first chunk off, whatever of it is unread; the caller's now. Not when empty. */
static inline struct FastBuffer* FastInboundPop(struct FastInboundQueue* queue)
{
    struct FastBuffer* chunk = queue->first;
    queue->first = *FastBufferLink(chunk);
    if (queue->first == NULL)
        queue->last = NULL;
    *FastBufferLink(chunk) = NULL;
    queue->footprint -= FastBufferFootprint(chunk);
    queue->length -= FastBufferLength(chunk) - queue->rules->headroom - queue->offset;
    queue->offset = 0;
    return chunk;
}

/* Takes all chunks off, which are the caller's now. */
static inline void FastInboundEmpty(struct FastInboundQueue* queue)
{
    queue->first = NULL;
    queue->last = NULL;
    queue->length = 0;
    queue->footprint = 0;
    queue->offset = 0;
}

/* Copies bytes over the borders of chunks, from the first unread one on; nothing is taken off. */
size_t FastInboundCopy(const struct FastInboundQueue* queue, uint8_t* data, size_t size);

/* Whether receiving has to stop, or to stay stopped: at the high mark, until the low one. */
bool FastInboundIsFull(const struct FastInboundQueue* queue, bool before);

#endif
