/*
 * The other end of sockperf's ping-pong. Each message begins with a header in network order:
 *
 *     sequence number  8 bytes
 *     flags            2 bytes: the sender is the client (1), wants an answer (2), warms up (4)
 *     length           4 bytes, of the whole message
 *
 * The answer is the message itself, without the client's flag. sockperf counts what it misses and
 * what comes twice.
 */
#include <string.h>

#include "service.h"

enum
{
    FLAG_AT = 9,
    LENGTH_AT = 10,
    HEADER_SIZE = 14,
    FROM_CLIENT = 1,
    WANTS_ANSWER = 2,
    SIZE_LIMIT = 64 * 1024
};

static void answer(struct Session* session, const uint8_t* data, size_t size)
{
    uint8_t message[SIZE_LIMIT];

    if ((data[FLAG_AT] & WANTS_ANSWER) == 0)
        return;
    memcpy(message, data, size);
    message[FLAG_AT] &= (uint8_t)~FROM_CLIENT;
    say(session, message, size);
}

static size_t getLength(const uint8_t* data)
{
    const uint8_t* length = data + LENGTH_AT;

    return ((size_t)length[0] << 24) | ((size_t)length[1] << 16) | ((size_t)length[2] << 8) |
           length[3];
}

static size_t take(struct Session* session, const uint8_t* data, size_t size)
{
    size_t used = 0;
    size_t length;

    while (size - used >= HEADER_SIZE) {
        length = getLength(data + used);
        if ((length < HEADER_SIZE) || (length > SIZE_LIMIT)) {
            endSession(session);
            return size;
        }
        if (size - used < length)
            break;
        answer(session, data + used, length);
        used += length;
    }
    return used;
}

static size_t takeDatagram(struct Session* session, const uint8_t* data, size_t size)
{
    if ((size >= HEADER_SIZE) && (size <= SIZE_LIMIT))
        answer(session, data, size);
    return size;
}

const struct Service pongService = {.name = "pong", .take = take};
const struct Service datagramPongService = {
    .name = "pong-udp", .datagrams = true, .take = takeDatagram};
