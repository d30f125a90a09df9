/*
 * The queue of what a socket has to send, and how bytes are gathered from its head. Knows items,
 * and no socket.
 */
#ifndef FASTSOCKET_SOCKET_OUTBOUND_H
#define FASTSOCKET_SOCKET_OUTBOUND_H

#include "socket/item.h"

#include <string.h>

enum
{
    /* Memory of a copy, with its item, in small bursts: pools have classes of powers of two. */
    FAST_OUTBOUND_PIECE = 8192,
    /* Bytes of a handed-over buffer that are gathered; fewer are copied, which is cheaper. */
    FAST_OUTBOUND_MIN_GATHER = 4096,
};

struct FastOutboundQueue
{
    struct FastItem* first; /* sent next, or in flight */
    struct FastItem* last;
    size_t length;     /* bytes that were not accepted */
    uint32_t messages; /* as many may go out together; 0: no limit */
    uint32_t epoch;    /* counts what is no message in the order of its destination */
    /* The last message to each destination; NULL: there is one at most, see destination.c. */
    struct FastMessage** buckets;
    uint32_t bucketCount;
    uint32_t noted; /* items that have left it, and whose end somebody waits for */
};

/* Appends an item, or takes the first one off: the caller's now. */
void FastOutboundAppend(struct FastOutboundQueue* queue, struct FastItem* item);
struct FastItem* FastOutboundPop(struct FastOutboundQueue* queue);

/* Puts an item right behind one that is in the queue. */
void FastOutboundInsert(struct FastOutboundQueue* queue, struct FastItem* item,
                        struct FastItem* before);

/* Takes off everything that is not in flight: a list in the queue's order, the caller's now. */
struct FastItem* FastOutboundTakeIdle(struct FastOutboundQueue* queue);

/* Copies a stream's bytes to the end of the queue: behind those that were queued last, as far as
 * they have room and flags are of the same kind, then into pieces of the pool's memory. 0, or
 * -ENOMEM with nothing copied. No bytes at all leave a marker. */
int FastOutboundCopy(struct FastOutboundQueue* queue, struct FastBufferPool* pool,
                     const struct iovec* vector, size_t size, int flags);

/* The same of bytes without flags, where that is a copy and nothing else: they fit behind those
 * that were queued last, which have no flags either. A place for them, who are there already as far
 * as the queue knows. NULL: nothing is done. */
static inline void* FastOutboundJoin(struct FastOutboundQueue* queue, size_t size)
{
    struct FastItem* last = queue->last;
    /* A size of 0 is larger than any room. Messages count where they have a limit. */
    if (last == NULL || size - 1 >= last->room || last->kind != FAST_ITEM_BYTES ||
        last->flags != 0 || queue->messages != 0)
        return NULL;
    void* place = last->data + last->length;
    last->length += size;
    last->room -= (uint32_t)size;
    queue->length += size;
    return place;
}

/* The same to an empty queue, where a block that is at hand holds all of them. */
static inline void* FastOutboundBegin(struct FastOutboundQueue* queue, struct FastBufferPool* pool,
                                      size_t size)
{
    const size_t room = FAST_OUTBOUND_PIECE - sizeof(struct FastItem);
    struct FastBuffer* home = size - 1 < room ? FastPoolTakeQuickly(pool, FAST_OUTBOUND_PIECE)
                                              : NULL;
    if (home == NULL)
        return NULL;
    struct FastItem* item = FastItemPlace(home, FAST_ITEM_BYTES, room - size);
    item->length = size;
    queue->first = item;
    queue->last = item;
    queue->length = size;
    return item + 1;
}

/* The same in two steps: pieces for size bytes, which the queue does not know yet (NULL: no
 * memory), and their filling with what is left of a vector from offset on. What is left of them is
 * freed. */
struct FastItem* FastOutboundReserve(const struct FastOutboundQueue* queue,
                                     struct FastBufferPool* pool, size_t size);
void FastOutboundFill(struct FastOutboundQueue* queue, struct FastItem* pieces,
                      const struct iovec* vector, size_t offset, size_t size, int flags);

/* Moves the head of the queue over bytes that were accepted; items that are done are freed. */
void FastOutboundConsume(struct FastOutboundQueue* queue, size_t size);

/* Takes datagrams with so many bytes off the beginning of a run, of which some are left. */
void FastOutboundShorten(struct FastOutboundQueue* queue, struct FastMessage* message,
                         size_t bytes);

/* The items from the head of a stream's queue that go out together; at least 1, if there are
 * bytes. */
size_t FastOutboundCountGather(const struct FastOutboundQueue* queue);

/* Points count vectors to the items at the head; returns how many bytes these are. They have a
 * bound: the last item may be taken in part. flags: of the send; corks: it gets MSG_MORE if more
 * bytes follow at once. */
size_t FastOutboundGather(const struct FastOutboundQueue* queue, struct iovec* vector, size_t count,
                          bool corks, int* flags);

/* Copies size bytes from offset on out of a vector that has so many. */
void FastVectorCopy(uint8_t* target, const struct iovec* vector, size_t offset, size_t size);

#endif
