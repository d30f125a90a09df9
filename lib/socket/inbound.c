/*
 * Chunks in a row, and how full that is.
 *
 * Good path: a chunk is pushed as it came, read from the front, and popped when it is empty. On a
 * stream, what arrives while older bytes are unread is copied behind them, if there is room, and
 * its buffer goes back at once: so a slow reader of small writes holds little more memory than it
 * has unread bytes.
 *
 * Many small messages hold far more memory than they have bytes. So beyond one turn's share they
 * count with their memory, and are then put into buffers of their own size.
 */
#include "socket/inbound.h"

#include <string.h>

enum
{
    INBOUND_HIGH = 1 << 20,
    INBOUND_LOW = 256 << 10,
    INBOUND_TURN_LIMIT = 256 << 10,
    /* Of packets 1/16 of the memory counts: readers may wait for single bytes. */
    INBOUND_PACKET_SHARE = 16,
    INBOUND_FILL_SHARE = 8, /* tail room of at least 1/8 of a buffer is filled by copying */
};

struct FastInboundRules FastInboundMakeRules(uint32_t layout, uint32_t headroom)
{
    return (struct FastInboundRules){
        .high = INBOUND_HIGH,
        .low = INBOUND_LOW,
        .turnLimit = INBOUND_TURN_LIMIT,
        .headroom = headroom,
        .layout = layout,
    };
}

uint8_t* FastInboundPayload(const struct FastInboundQueue* queue, struct FastBuffer* chunk)
{
    return FastBufferData(chunk) + queue->rules->headroom;
}

size_t FastInboundPayloadLength(const struct FastInboundQueue* queue, struct FastBuffer* chunk)
{
    return FastBufferLength(chunk) - queue->rules->headroom;
}

/* ---- filling ---- */

/* Room behind the last bytes that is worth to be filled with some of so many. */
static size_t roomBehind(struct FastBuffer* tail, size_t length)
{
    size_t size = FastBufferSize(tail);
    size_t room = size - FastBufferLength(tail);
    return room < length && room < size / INBOUND_FILL_SHARE ? 0 : room;
}

bool FastInboundTakesFull(const struct FastInboundQueue* queue, size_t length)
{
    return queue->rules->layout == FAST_INBOUND_BYTES &&
           (queue->last == NULL || roomBehind(queue->last, length) == 0);
}

size_t FastInboundFill(struct FastInboundQueue* queue, const uint8_t* data, size_t length)
{
    struct FastBuffer* tail = queue->last;
    if (tail == NULL || queue->rules->layout != FAST_INBOUND_BYTES)
        return 0;
    size_t room = roomBehind(tail, length);
    if (room == 0)
        return 0;
    if (room > length)
        room = length;
    size_t used = FastBufferLength(tail);
    memcpy(FastBufferData(tail) + used, data, room);
    FastBufferSetLength(tail, used + room);
    queue->length += room;
    return room;
}

/* ---- emptying ---- */

size_t FastInboundCopy(const struct FastInboundQueue* queue, uint8_t* data, size_t size)
{
    struct FastBuffer* chunk = queue->first;
    size_t offset = queue->offset;
    size_t copied = 0;
    while (chunk != NULL && copied < size) {
        size_t length = FastInboundPayloadLength(queue, chunk) - offset;
        size_t count = length < size - copied ? length : size - copied;
        memcpy(data + copied, FastInboundPayload(queue, chunk) + offset, count);
        copied += count;
        offset = 0;
        chunk = *FastBufferLink(chunk);
    }
    return copied;
}

/* ---- marks ---- */

/* Bytes, or what memory they hold beyond one turn's share, if that is more. */
static size_t levelOf(const struct FastInboundQueue* queue)
{
    uint64_t share = queue->rules->turnLimit < queue->rules->high ? queue->rules->turnLimit
                                                                  : queue->rules->high;
    if (queue->rules->layout == FAST_INBOUND_BYTES || queue->footprint < share)
        return queue->length;
    size_t memory = queue->footprint - (size_t)share;
    if (queue->rules->layout == FAST_INBOUND_PACKETS)
        memory /= INBOUND_PACKET_SHARE;
    return memory > queue->length ? memory : queue->length;
}

bool FastInboundIsFull(const struct FastInboundQueue* queue, bool before)
{
    /* A reader that waits for so many bytes takes none before: memory must not keep them away. */
    if (queue->first == NULL || queue->length < queue->wanted)
        return false;
    size_t level = levelOf(queue);
    return before ? level > queue->rules->low : level >= queue->rules->high;
}
