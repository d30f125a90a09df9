/*
 * Items in a row.
 *
 * Good path: bytes for a stream are copied behind those that were queued last, into the same buffer
 * as long as it has room, so that a burst of small messages becomes one piece of memory. What is
 * sent is gathered from the head, and leaves it as it is accepted.
 *
 * Failures: all memory is had before the first byte is copied.
 */
#include "socket/outbound.h"

#include <errno.h>
#include <string.h>

enum
{
    OUTBOUND_MAX_SHARED = 64 << 10, /* memory of a copy, with its item, in large bursts */
    /* A long message is cut, so that its memory returns as it is sent. */
    OUTBOUND_MAX_PIECE = 256 << 10,
    OUTBOUND_MAX_GATHER = 1 << 20, /* bytes of one operation */
    OUTBOUND_MAX_VECTOR = 1024,    /* the kernel's limit */
};

void FastOutboundAppend(struct FastOutboundQueue* queue, struct FastItem* item)
{
    if (queue->last != NULL)
        queue->last->next = item;
    else
        queue->first = item;
    queue->last = item;
    queue->length += item->length;
    queue->epoch += item->order == FAST_ORDER_QUEUE;
}

void FastOutboundInsert(struct FastOutboundQueue* queue, struct FastItem* item,
                        struct FastItem* before)
{
    item->next = before->next;
    before->next = item;
    if (queue->last == before)
        queue->last = item;
    queue->length += item->length;
}

struct FastItem* FastOutboundPop(struct FastOutboundQueue* queue)
{
    struct FastItem* item = queue->first;
    queue->first = item->next;
    if (queue->first == NULL)
        queue->last = NULL;
    queue->length -= item->length;
    queue->noted += item->noted;
    return item;
}

struct FastItem* FastOutboundTakeIdle(struct FastOutboundQueue* queue)
{
    struct FastItem* idle = NULL;
    struct FastItem** place = &idle;
    struct FastItem* item = queue->first;
    *queue = (struct FastOutboundQueue){
        .messages = queue->messages,
        .epoch = queue->epoch,
        .buckets = queue->buckets,
        .bucketCount = queue->bucketCount,
        .noted = queue->noted,
    };
    while (item != NULL) {
        struct FastItem* next = item->next;
        item->next = NULL;
        if (item->state == FAST_ITEM_IN_FLIGHT)
            FastOutboundAppend(queue, item);
        else {
            *place = item;
            place = &item->next;
        }
        item = next;
    }
    return idle;
}

void FastOutboundConsume(struct FastOutboundQueue* queue, size_t size)
{
    while (size > 0) {
        struct FastItem* item = queue->first;
        size_t count = item->length < size ? item->length : size;
        FastItemAdvance(item, count);
        queue->length -= count;
        size -= count;
        if (item->length == 0)
            FastItemFree(FastOutboundPop(queue));
    }
}

void FastOutboundShorten(struct FastOutboundQueue* queue, struct FastMessage* message, size_t bytes)
{
    FastMessageShorten(message, bytes);
    queue->length -= bytes;
}

/* ---- copying ---- */

void FastVectorCopy(uint8_t* target, const struct iovec* vector, size_t offset, size_t size)
{
    while (size > 0) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): the vector has offset + size
         * bytes */
        size_t length = vector->iov_len;
        if (offset < length) {
            size_t count = length - offset < size ? length - offset : size;
            memcpy(target, (const uint8_t*)vector->iov_base + offset, count);
            target += count;
            size -= count;
            offset = length;
        }
        offset -= length;
        vector++;
    }
}

/* The last item, if bytes with these flags may go on where it ends. */
static struct FastItem* growingItem(const struct FastOutboundQueue* queue, int flags)
{
    struct FastItem* last = queue->last;
    if (last == NULL || last->kind != FAST_ITEM_BYTES || last->room == 0 ||
        flags & (MSG_OOB | MSG_EOR))
        return NULL;
    if ((last->flags & FAST_ITEM_KIND_FLAGS) != (flags & FAST_ITEM_KIND_FLAGS))
        return NULL;
    return queue->messages == 0 || last->messages < queue->messages ? last : NULL;
}

/* Memory of the next piece: as large as what is queued, so that a burst soon has few pieces. */
static size_t pieceSize(const struct FastOutboundQueue* queue, size_t size)
{
    size_t piece = FAST_OUTBOUND_PIECE;
    while (piece < OUTBOUND_MAX_SHARED && piece < queue->length)
        piece *= 2;
    while (piece < OUTBOUND_MAX_PIECE && piece < size + sizeof(struct FastItem))
        piece *= 2;
    return piece - sizeof(struct FastItem);
}

static void freePieces(struct FastItem* piece)
{
    while (piece != NULL) {
        struct FastItem* next = piece->next;
        FastItemFree(piece);
        piece = next;
    }
}

struct FastItem* FastOutboundReserve(const struct FastOutboundQueue* queue,
                                     struct FastBufferPool* pool, size_t size)
{
    struct FastItem* first = NULL;
    struct FastItem** place = &first;
    while (size > 0) {
        struct FastItem* item = FastItemMake(pool, FAST_ITEM_BYTES, pieceSize(queue, size));
        if (item == NULL)
            break;
        *place = item;
        place = &item->next;
        size -= item->room < size ? item->room : size;
    }
    if (size == 0)
        return first;
    freePieces(first);
    return NULL;
}

static void fillItem(struct FastItem* item, const struct iovec* vector, size_t offset, size_t size)
{
    FastVectorCopy(item->data + item->length, vector, offset, size);
    item->length += size;
    item->room -= (uint32_t)size;
}

void FastOutboundFill(struct FastOutboundQueue* queue, struct FastItem* pieces,
                      const struct iovec* vector, size_t offset, size_t size, int flags)
{
    while (offset < size) {
        struct FastItem* piece = pieces;
        size_t count = piece->room < size - offset ? piece->room : size - offset;
        pieces = piece->next;
        piece->next = NULL;
        piece->flags = flags;
        fillItem(piece, vector, offset, count);
        FastOutboundAppend(queue, piece);
        offset += count;
        piece->messages = offset == size; /* the message ends in the last one */
    }
    freePieces(pieces);
}

static int appendMarker(struct FastOutboundQueue* queue, struct FastBufferPool* pool)
{
    struct FastItem* item = FastItemMake(pool, FAST_ITEM_MARKER, 0);
    if (item == NULL)
        return -ENOMEM;
    FastOutboundAppend(queue, item);
    return 0;
}

/* What the last item has no room for: mostly one piece holds it. */
static int copyPieces(struct FastOutboundQueue* queue, struct FastBufferPool* pool,
                      const struct iovec* vector, size_t offset, size_t size, int flags)
{
    size_t room = pieceSize(queue, size - offset);
    bool single = size - offset <= room;
    struct FastItem* piece = single ? FastItemMake(pool, FAST_ITEM_BYTES, room)
                                    : FastOutboundReserve(queue, pool, size - offset);
    if (piece == NULL)
        return -ENOMEM;
    if (!single) {
        FastOutboundFill(queue, piece, vector, offset, size, flags);
        return 0;
    }
    piece->flags = flags;
    fillItem(piece, vector, offset, size - offset);
    FastOutboundAppend(queue, piece);
    return 0;
}

static void grow(struct FastOutboundQueue* queue, struct FastItem* item, const struct iovec* vector,
                 size_t head, size_t size, int flags)
{
    fillItem(item, vector, 0, head);
    item->flags = flags;
    item->messages += head == size;
    queue->length += head;
}

int FastOutboundCopy(struct FastOutboundQueue* queue, struct FastBufferPool* pool,
                     const struct iovec* vector, size_t size, int flags)
{
    struct FastItem* growing = queue->last != NULL ? growingItem(queue, flags) : NULL;
    flags = FastItemFlags(flags);
    if (size == 0)
        return appendMarker(queue, pool);
    if (growing == NULL)
        return copyPieces(queue, pool, vector, 0, size, flags);
    size_t head = growing->room < size ? growing->room : size;
    struct FastItem* before = queue->last;
    int result = head < size ? copyPieces(queue, pool, vector, head, size, flags) : 0;
    if (result == 0)
        grow(queue, before, vector, head, size, flags);
    return result;
}

/* ---- gathering ---- */

/* Whether an item, behind count others with so many bytes and messages, goes out together with the
 * first. */
static bool joins(const struct FastOutboundQueue* queue, const struct FastItem* item, size_t count,
                  size_t bytes, uint32_t messages)
{
    if (item->kind != FAST_ITEM_BYTES || count == OUTBOUND_MAX_VECTOR ||
        bytes >= OUTBOUND_MAX_GATHER)
        return false;
    if (count == 0)
        return true;
    if ((item->flags & FAST_ITEM_KIND_FLAGS) != (queue->first->flags & FAST_ITEM_KIND_FLAGS) ||
        item->flags & (MSG_OOB | MSG_EOR))
        return false;
    /* A long message's first pieces count nothing: the last does. */
    return queue->messages == 0 ||
           (messages < queue->messages && messages + item->messages <= queue->messages);
}

size_t FastOutboundCountGather(const struct FastOutboundQueue* queue)
{
    size_t count = 0;
    size_t bytes = 0;
    uint32_t messages = 0;
    for (const struct FastItem* item = queue->first; item != NULL; item = item->next) {
        if (!joins(queue, item, count, bytes, messages))
            break;
        messages += item->messages;
        bytes += item->length;
        count++;
    }
    return count;
}

size_t FastOutboundGather(const struct FastOutboundQueue* queue, struct iovec* vector, size_t count,
                          bool corks, int* flags)
{
    const struct FastItem* item = queue->first;
    const struct FastItem* last = item;
    size_t bytes = 0;
    for (size_t index = 0; index < count; index++, item = item->next) {
        size_t left = OUTBOUND_MAX_GATHER - bytes;
        size_t length = item->length < left ? item->length : left;
        vector[index] = (struct iovec){.iov_base = item->data, .iov_len = length};
        bytes += length;
        last = item;
    }
    bool more = last->next != NULL || vector[count - 1].iov_len < last->length;
    bool bytesFollow = more && (last->next == NULL || last->next->kind <= FAST_ITEM_MESSAGE);
    *flags = last->flags;
    if (more && !bytesFollow)
        *flags &= ~MSG_MORE; /* what follows may take its time */
    if (bytesFollow && corks)
        *flags |= MSG_MORE;
    return bytes;
}
