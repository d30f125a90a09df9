/*
 * The options of a socket: a table.
 */
#include "socket/core.h"
#include "socket/receive.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define OPTION_MAX (UINT64_C(1) << 40)

struct option
{
    uint64_t min;
    uint64_t max;
    uint64_t initial; /* of the outbound side, while it is not made */
    size_t offset;    /* of the value */
    size_t size;      /* of the value: of uint32_t or uint64_t */
    bool outbound;    /* it lies in the outbound side */
    /* What the bounds can't say: 0 or -EINVAL. NULL: they say it all. */
    int (*check)(const struct FastSocket* socket, uint64_t value);
    /* What follows from the new value. NULL: nothing. */
    void (*adjust)(struct FastSocket* socket, uint64_t value);
};

/* Whether it is full is decided again with the new marks. */
static void adjustLow(struct FastSocket* socket, uint64_t value)
{
    (void)value;
    socket->inbound.stops &= (uint16_t)~FAST_STOP_HIGH_MARK;
}

static void adjustHigh(struct FastSocket* socket, uint64_t value)
{
    socket->inbound.stops &= (uint16_t)~FAST_STOP_HIGH_MARK;
    if (socket->inbound.queue.low >= value)
        socket->inbound.queue.low = value / 4;
}

static int checkLow(const struct FastSocket* socket, uint64_t value)
{
    return value < socket->inbound.queue.high ? 0 : -EINVAL;
}

#define AT(type, member) offsetof(type, member), sizeof(((type*)0)->member)
#define INBOUND(member)  AT(struct FastSocket, inbound.queue.member)
#define OUTBOUND(member) AT(struct FastOutbound, member)

/* By FASTSOCKET_OPTION_*, which begin with 1. */
static const struct option options[] = {
    [FASTSOCKET_OPTION_INBOUND_HIGH - 1] =
        {1, OPTION_MAX, 0, INBOUND(high), false, NULL, adjustHigh},
    [FASTSOCKET_OPTION_INBOUND_LOW - 1] =
        {0, OPTION_MAX, 0, INBOUND(low), false, checkLow, adjustLow},
    [FASTSOCKET_OPTION_OUTBOUND_LIMIT - 1] =
        {0, OPTION_MAX, 0, OUTBOUND(limit), true, NULL, NULL},
    [FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD - 1] =
        {0, OPTION_MAX, FAST_OUTBOUND_THRESHOLD, OUTBOUND(threshold), true, NULL, NULL},
    [FASTSOCKET_OPTION_RELEASE_TIMEOUT - 1] =
        {0, UINT32_MAX, 0, AT(struct FastSocket, releaseMs), false, NULL, NULL},
    [FASTSOCKET_OPTION_TURN_LIMIT - 1] =
        {1, OPTION_MAX, 0, INBOUND(turnLimit), false, NULL, NULL},
};

static const struct option* find(int option)
{
    size_t index = (size_t)option - 1; /* of 0 and below too large */
    return index < sizeof(options) / sizeof(options[0]) ? &options[index] : NULL;
}

static void store(const struct option* option, void* part, uint64_t value)
{
    uint32_t small = (uint32_t)value;
    memcpy((char*)part + option->offset,
           option->size == sizeof(small) ? (void*)&small : (void*)&value, option->size);
}

static uint64_t load(const struct option* option, const void* part)
{
    uint32_t small;
    uint64_t value;
    memcpy(&small, (const char*)part + option->offset, sizeof(small));
    if (option->size == sizeof(small))
        return small;
    memcpy(&value, (const char*)part + option->offset, sizeof(value));
    return value;
}

static int set(struct FastSocket* socket, const struct option* option, uint64_t value)
{
    if (value < option->min || value > option->max)
        return -EINVAL;
    int result = option->check != NULL ? option->check(socket, value) : 0;
    if (result == 0 && option->outbound)
        result = FastSocketMakeOutbound(socket);
    if (result < 0)
        return result;
    store(option, option->outbound ? (void*)socket->outbound : (void*)socket, value);
    if (option->adjust != NULL)
        option->adjust(socket, value);
    return 0;
}

int SetFastSocketOption(struct FastSocket* socket, int option, uint64_t value)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    const struct option* found = find(option);
    if (found == NULL)
        return -ENOPROTOOPT;
    result = set(socket, found, value);
    FastReceiveBalance(socket);
    return result;
}

int GetFastSocketOption(struct FastSocket* socket, int option, uint64_t* value)
{
    int result = value != NULL ? FastSocketCheck(socket) : -EINVAL;
    if (result < 0)
        return result;
    const struct option* found = find(option);
    if (found == NULL)
        return -ENOPROTOOPT;
    if (!found->outbound)
        *value = load(found, socket);
    else
        *value = socket->outbound != NULL ? load(found, socket->outbound) : found->initial;
    return 0;
}
