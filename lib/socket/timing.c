/*
 * The block that a socket's timeouts need, until the socket's memory goes.
 */
#include "socket/timing.h"

#include <errno.h>
#include <stdlib.h>

int FastTimingMake(struct FastSocket* socket, int64_t (*look)(struct FastTick* tick, int64_t now))
{
    struct FastExtra* extra = FastSocketMakeExtra(socket);
    if (extra == NULL)
        return -ENOMEM;
    if (extra->timing != NULL)
        return 0;
    struct FastTiming* timing = calloc(1, sizeof(*timing));
    if (timing == NULL)
        return -ENOMEM;
    timing->tick.look = look;
    timing->socket = socket;
    extra->timing = timing;
    return 0;
}

void FastTimingStop(struct FastSocket* socket)
{
    struct FastTiming* timing = FastTimingOf(socket);
    if (timing != NULL)
        FastRingRemoveTick(socket->ring, &timing->tick);
}
