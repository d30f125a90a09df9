/*
 * The options of a socket: a table.
 */
#include "socket/overdue.h"
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
    bool outbound;    /* it lies in the outbound side; otherwise in what sockets have in common */
    /* What the bounds can't say: 0 or -EINVAL. NULL: they say it all. */
    int (*check)(const struct FastSocket* socket, uint64_t value);
    /* What follows from the new value, for another one. NULL: nothing. */
    void (*adjust)(struct FastCommon* common, uint64_t value);
    bool mark;     /* whether the socket is full is decided again */
    uint8_t clock; /* FAST_TIMING_*, whose timeout it is; 0: of none */
};

static void adjustHigh(struct FastCommon* common, uint64_t value)
{
    if (common->inbound.low >= value)
        common->inbound.low = value / 4;
}

static int checkLow(const struct FastSocket* socket, uint64_t value)
{
    return value < socket->inbound.queue.rules->high ? 0 : -EINVAL;
}

#define AT(type, member) offsetof(type, member), sizeof(((type*)0)->member)
#define COMMON(member)   AT(struct FastCommon, member)
#define OUTBOUND(member) AT(struct FastOutbound, member)

/* By FASTSOCKET_OPTION_*, which begin with 1. */
static const struct option options[] = {
    [FASTSOCKET_OPTION_INBOUND_HIGH - 1] =
        {1, OPTION_MAX, 0, COMMON(inbound.high), false, NULL, adjustHigh, true, 0},
    [FASTSOCKET_OPTION_INBOUND_LOW - 1] =
        {0, OPTION_MAX, 0, COMMON(inbound.low), false, checkLow, NULL, true, 0},
    [FASTSOCKET_OPTION_OUTBOUND_LIMIT - 1] =
        {0, OPTION_MAX, 0, OUTBOUND(limit), true, NULL, NULL, false, 0},
    [FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD - 1] =
        {0, OPTION_MAX, FAST_OUTBOUND_THRESHOLD, OUTBOUND(threshold), true, NULL, NULL, false, 0},
    [FASTSOCKET_OPTION_RELEASE_TIMEOUT - 1] =
        {0, UINT32_MAX, 0, COMMON(releaseMs), false, NULL, NULL, false, 0},
    [FASTSOCKET_OPTION_TURN_LIMIT - 1] =
        {1, OPTION_MAX, 0, COMMON(inbound.turnLimit), false, NULL, NULL, false, 0},
    [FASTSOCKET_OPTION_CONNECT_TIMEOUT - 1] =
        {0, UINT32_MAX, 0, COMMON(connectMs), false, NULL, NULL, false, FAST_TIMING_CONNECT},
    [FASTSOCKET_OPTION_IDLE_TIMEOUT - 1] =
        {0, UINT32_MAX, 0, COMMON(idleMs), false, NULL, NULL, false, FAST_TIMING_IDLE},
    [FASTSOCKET_OPTION_TRANSMIT_TIMEOUT - 1] =
        {0, UINT32_MAX, 0, COMMON(transmitMs), false, NULL, NULL, false, FAST_TIMING_TRANSMIT},
    [FASTSOCKET_OPTION_LINGER_TIMEOUT - 1] =
        {0, UINT32_MAX, 0, COMMON(lingerMs), false, NULL, NULL, false, 0},
    [FASTSOCKET_OPTION_OUTBOUND_LOW - 1] =
        {0, OPTION_MAX, 0, COMMON(outboundLow), false, NULL, NULL, false, 0},
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

static int setOutbound(struct FastSocket* socket, const struct option* option, uint64_t value)
{
    int result = FastSocketMakeOutbound(socket);
    if (result < 0)
        return result;
    store(option, socket->outbound, value);
    FastSocketReconsiderOutbound(socket); /* it may have been all that was remembered */
    return 0;
}

static int setCommon(struct FastSocket* socket, const struct option* option, uint64_t value)
{
    struct FastCommon common = *FastSocketCommon(socket);
    bool times = option->clock != 0 && value > 0;
    store(option, &common, value);
    if (option->adjust != NULL)
        option->adjust(&common, value);
    int result = times ? FastOverduePrepare(socket) : 0;
    if (result == 0)
        result = FastSocketShare(socket, &common);
    if (result == 0 && option->mark)
        socket->inbound.stops &= (uint16_t)~FAST_STOP_HIGH_MARK;
    if (result == 0 && times)
        FastOverdueBegin(socket, option->clock);
    return result;
}

static int set(struct FastSocket* socket, const struct option* option, uint64_t value)
{
    if (value < option->min || value > option->max)
        return -EINVAL;
    int result = option->check != NULL ? option->check(socket, value) : 0;
    if (result < 0)
        return result;
    return option->outbound ? setOutbound(socket, option, value)
                            : setCommon(socket, option, value);
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
        *value = load(found, FastSocketCommon(socket));
    else
        *value = socket->outbound != NULL ? load(found, socket->outbound) : found->initial;
    return 0;
}
