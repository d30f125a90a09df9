/*
 * What is received enters and leaves the inbound queue through these, for the queue itself knows
 * neither the provider, nor the ring's total, nor the statistics.
 */
#ifndef FASTSOCKET_SOCKET_INTAKE_H
#define FASTSOCKET_SOCKET_INTAKE_H

#include "socket/core.h"

/* Queues what one completion brought: length bytes in the slot id and, of a bundle, those behind
 * it. */
void FastIntakeSlots(struct FastSocket* socket, uint16_t id, size_t length);

/* Counts what has come: length bytes in so many buffers. */
static inline void FastIntakeCount(struct FastSocket* socket, size_t length, uint32_t buffers)
{
    struct FastInbound* inbound = &socket->inbound;
    uint32_t turn = (uint32_t)FastRingTurn(socket->ring);
    if (inbound->turn != turn) {
        inbound->turn = turn;
        inbound->queue.recent = 0;
    }
    inbound->queue.recent += (uint32_t)length; /* no turn brings 4 GiB */
    socket->statistics.messages += buffers;
    socket->statistics.bytes += length;
    FastRingAddInbound(socket->ring, length);
    if (inbound->queue.recent >= inbound->queue.rules->turnLimit)
        FastRingYield(socket->ring); /* answers go out first, and others have their turn */
}

/* Memory for the place of a buffer that is taken. NULL: there is none, or it is not wanted. */
static inline void* FastIntakeMakeNext(const struct FastCommon* common)
{
    uint32_t length = FastProviderLength(common->provider);
    struct FastBuffer* next = FastProviderIsPlenty(common->provider)
                                  ? NULL
                                  : FastPoolAllocate(common->inboundPool, length);
    return next != NULL ? FastBufferData(next) : NULL;
}

/* Puts another buffer in the place of one that no operation of a user's has claimed. */
static inline void FastIntakeExchange(const struct FastCommon* common, uint16_t id)
{
    void* next = FastIntakeMakeNext(common);
    if (next != NULL)
        FastProviderExchange(common->provider, id, next);
    else
        FastProviderReplace(common->provider, id, NULL);
}

/* What FastIntakeSlots comes to with one slot with bytes, which is possible
 * (FastProviderIsPossible), and an empty queue. */
static inline void FastIntakeFirst(struct FastSocket* socket, uint16_t id, size_t length)
{
    const struct FastCommon* common = FastSocketCommon(socket);
    struct FastBuffer* chunk = FastBufferOf(FastProviderPeek(common->provider, id));
    FastProviderFilled(common->provider, id, length);
    FastIntakeExchange(common, id);
    FastInboundPushFirst(&socket->inbound.queue, chunk, length);
    FastIntakeCount(socket, length, 1);
}

/* Of a message, whose header lies at the start of its buffer: what its reader sees is the length
 * that is there, and the buffer's note tells the true one. */
static inline void FastIntakeNoteLength(struct io_uring_recvmsg_out* out, size_t stored)
{
    size_t real = out->payloadlen;
    out->payloadlen = (uint32_t)stored;
    *FastBufferNote(FastBufferOf(out)) = real > stored ? real : stored;
}

/* What FastIntakeSlots, and what comes before it, does with one message of a datagram socket, while
 * nothing is amiss and it stays in its buffer. false: nothing is done. */
bool FastIntakeMessage(struct FastSocket* socket, const struct io_uring_cqe* completion);

/* Queues length bytes of a buffer that did not come from the provider, and is ours now. */
void FastIntakeBuffer(struct FastSocket* socket, void* data, size_t length);

/* Takes the first chunk off, whatever of it is unread; the caller's now. */
static inline struct FastBuffer* FastIntakePop(struct FastSocket* socket)
{
    struct FastInboundQueue* queue = &socket->inbound.queue;
    size_t before = queue->length;
    struct FastBuffer* chunk = FastInboundPop(queue);
    FastRingTakeInbound(socket->ring, before - queue->length);
    return chunk;
}

/* Drop it, or all of them. */
void FastIntakeDrop(struct FastSocket* socket);
void FastIntakeDropAll(struct FastSocket* socket);

/* Size bytes of the first chunk are read; more of it are not. */
void FastIntakeSkip(struct FastSocket* socket, size_t size);

/* Reads up to size bytes from the front, over the borders of chunks; those without unread bytes are
 * dropped. Returns how many. */
size_t FastIntakeRead(struct FastSocket* socket, uint8_t* data, size_t size);

/* The same of the only chunk, without a header, which there is room for. */
size_t FastIntakeReadAll(struct FastSocket* socket, uint8_t* data);

#endif
