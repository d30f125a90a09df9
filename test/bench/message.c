/*
 * Messages that tell who they are. A reader knows which one is due on its connection, byte by byte,
 * so that what is lost, doubled, changed or sent to another connection is refused.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
    SEQUENCE_BITS = 40,
    SHIFTS = 256
};

/* Of FNV-1a. */
static const uint64_t sumBegin = UINT64_C(14695981039346656037);
static const uint64_t sumFactor = UINT64_C(1099511628211);

static uint8_t pattern[MESSAGE_LONGEST + SHIFTS];

/* Made at load: an endless row of bytes without short periods. */
__attribute__((constructor)) static void makePattern(void)
{
    uint32_t state = 1;

    for (size_t i = 0; i < sizeof pattern; i++) {
        state = (state * 1664525) + 1013904223;
        pattern[i] = (uint8_t)(state >> 24);
    }
}

static uint64_t headerOf(uint32_t connection, uint64_t sequence)
{
    return ((uint64_t)connection << SEQUENCE_BITS) | sequence;
}

/* The pattern as the body of a message begins with it. */
static const uint8_t* bodyOf(uint32_t connection, uint64_t sequence)
{
    return pattern + (((connection * 41) + (sequence * 13)) % SHIFTS);
}

void stampMessage(uint8_t* data, uint32_t connection, uint64_t sequence)
{
    uint64_t header = headerOf(connection, sequence);

    memcpy(data, &header, MESSAGE_HEADER);
}

void fillMessage(uint8_t* data, size_t size, uint32_t connection, uint64_t sequence)
{
    stampMessage(data, connection, sequence);
    memcpy(data + MESSAGE_HEADER, bodyOf(connection, sequence), size - MESSAGE_HEADER);
}

void fillFixedMessage(uint8_t* data, size_t size)
{
    memcpy(data + MESSAGE_HEADER, pattern, size - MESSAGE_HEADER);
}

bool checkMessage(const uint8_t* data, size_t size, uint32_t connection, uint64_t sequence)
{
    uint64_t header = headerOf(connection, sequence);
    const uint8_t* body = bodyOf(connection, sequence);

    return (memcmp(data, &header, MESSAGE_HEADER) == 0) &&
           (memcmp(data + MESSAGE_HEADER, body, size - MESSAGE_HEADER) == 0);
}

uint64_t sequenceOf(const uint8_t* data)
{
    uint64_t header;

    memcpy(&header, data, MESSAGE_HEADER);
    return header & ((UINT64_C(1) << SEQUENCE_BITS) - 1);
}

noreturn void refuse(const char* what, uint32_t connection, uint64_t sequence)
{
    fprintf(stderr, "wrong data: %s on connection %u at message %llu\n", what, connection,
            (unsigned long long)sequence);
    exit(3);
}

/* Compares a part of the message that is due: header, body, or some of both. */
static void checkPart(const struct MessageReader* reader, const uint8_t* data, size_t length)
{
    uint64_t header = headerOf(reader->connection, reader->next);
    const uint8_t* body = reader->fixed ? pattern : bodyOf(reader->connection, reader->next);
    size_t at = reader->offset;
    size_t end = at + length;

    if (at < MESSAGE_HEADER) {
        size_t part = ((end < MESSAGE_HEADER) ? end : MESSAGE_HEADER) - at;
        if (memcmp(data, (const uint8_t*)&header + at, part) != 0)
            refuse("another header", reader->connection, reader->next);
        data += part;
        at += part;
    }
    if ((at < end) && (memcmp(data, body + at - MESSAGE_HEADER, end - at) != 0))
        refuse("another body", reader->connection, reader->next);
}

uint64_t readMessages(struct MessageReader* reader, const uint8_t* data, size_t length)
{
    uint64_t first = reader->next;

    while (length > 0) {
        size_t left = reader->size - reader->offset;
        size_t part = (left < length) ? left : length;
        checkPart(reader, data, part);
        data += part;
        length -= part;
        reader->offset += part;
        if (reader->offset == reader->size) {
            reader->offset = 0;
            reader->next++;
        }
    }
    return reader->next - first;
}

void beginReceipt(struct Receipt* receipt, uint64_t most)
{
    *receipt = (struct Receipt){.most = most, .sum = sumBegin};
}

void sumReceived(struct Receipt* receipt, const uint8_t* data, size_t length)
{
    uint64_t left = receipt->most - receipt->count;
    size_t part = (left < length) ? (size_t)left : length;
    uint64_t sum = receipt->sum;

    for (size_t i = 0; i < part; i++)
        sum = (sum ^ data[i]) * sumFactor;
    receipt->sum = sum;
}
