/*
 * The options of a socket.
 */
#include "socket/state.h"

#include <errno.h>

#define OPTION_MOST_BYTES (UINT64_C(1) << 40)

static int setHigh(struct FastSocketInbound* inbound, uint64_t value)
{
    if (value == 0)
        return -EINVAL;
    inbound->high = value;
    inbound->full = false; /* decided anew */
    if (inbound->low >= value)
        inbound->low = value / 4;
    return 0;
}

static int setLow(struct FastSocketInbound* inbound, uint64_t value)
{
    if (value >= inbound->high)
        return -EINVAL;
    inbound->low = value;
    inbound->full = false;
    return 0;
}

static int set(struct FastSocket* socket, int option, uint64_t value)
{
    switch (option) {
    case FASTSOCKET_OPTION_INBOUND_HIGH:
        return setHigh(&socket->inbound, value);
    case FASTSOCKET_OPTION_INBOUND_LOW:
        return setLow(&socket->inbound, value);
    case FASTSOCKET_OPTION_OUTBOUND_LIMIT:
        socket->outbound.limit = value;
        return 0;
    case FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD:
        socket->outbound.threshold = value;
        return 0;
    case FASTSOCKET_OPTION_RELEASE_TIMEOUT:
        if (value > UINT32_MAX)
            return -EINVAL;
        socket->releaseMs = (uint32_t)value;
        return 0;
    case FASTSOCKET_OPTION_TURN_LIMIT:
        if (value == 0)
            return -EINVAL;
        socket->inbound.turnLimit = value;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int SetFastSocketOption(struct FastSocket* socket, int option, uint64_t value)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    if (option < FASTSOCKET_OPTION_INBOUND_HIGH || option > FASTSOCKET_OPTION_TURN_LIMIT)
        return -ENOPROTOOPT;
    result = value <= OPTION_MOST_BYTES ? set(socket, option, value) : -EINVAL;
    FastSocketBalanceReceive(socket);
    return result;
}

int GetFastSocketOption(struct FastSocket* socket, int option, uint64_t* value)
{
    int result = value != NULL ? FastSocketCheck(socket) : -EINVAL;
    if (result < 0)
        return result;
    switch (option) {
    case FASTSOCKET_OPTION_INBOUND_HIGH:
        *value = socket->inbound.high;
        return 0;
    case FASTSOCKET_OPTION_INBOUND_LOW:
        *value = socket->inbound.low;
        return 0;
    case FASTSOCKET_OPTION_OUTBOUND_LIMIT:
        *value = socket->outbound.limit;
        return 0;
    case FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD:
        *value = socket->outbound.threshold;
        return 0;
    case FASTSOCKET_OPTION_RELEASE_TIMEOUT:
        *value = socket->releaseMs;
        return 0;
    case FASTSOCKET_OPTION_TURN_LIMIT:
        *value = socket->inbound.turnLimit;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}
