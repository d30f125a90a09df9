/*
 * The timeouts of a socket: what is remembered of them, in a block that is made when the first is
 * set. What follows from them is in overdue.h.
 */
#ifndef FASTSOCKET_SOCKET_TIMING_H
#define FASTSOCKET_SOCKET_TIMING_H

#include "socket/core.h"

enum FastTimingClock
{
    FAST_TIMING_CONNECT = 1 << 0,
    FAST_TIMING_IDLE = 1 << 1,
    FAST_TIMING_TRANSMIT = 1 << 2,
    FAST_TIMING_CLOCKS = 3,
};

struct FastTiming
{
    struct FastTick tick;
    struct FastSocket* socket;
    int64_t since[FAST_TIMING_CLOCKS]; /* when each began to run; 0: never */
    /* For each, what is in flight was canceled then, to see how far it came; 0: it was not. */
    int64_t lookedAt[FAST_TIMING_CLOCKS];
    uint64_t received; /* bytes and messages, when it was looked at last */
    uint64_t sent;     /* bytes */
    uint32_t progress; /* sends */
    uint32_t lost;     /* messages */
    uint8_t stopped;   /* FAST_TIMING_* that do not run: they begin with the next look */
    uint8_t told;      /* FAST_TIMING_* whose end the user of datagrams has heard of */
};

/* The block; NULL: none was made. */
static inline struct FastTiming* FastTimingOf(const struct FastSocket* socket)
{
    return socket->extra != NULL ? socket->extra->timing : NULL;
}

/* Makes it, if it is not there: 0 or -ENOMEM. */
int FastTimingMake(struct FastSocket* socket,
                   int64_t (*look)(struct FastTick* tick, int64_t now));

/* A clock (FAST_TIMING_*) has not run for a while; it begins again with the next look, so that it
 * is never early. */
static inline void FastTimingRest(const struct FastSocket* socket, uint8_t clock)
{
    struct FastTiming* timing = FastTimingOf(socket);
    if (timing != NULL)
        timing->stopped |= clock;
}

/* It is not looked at any more. */
void FastTimingStop(struct FastSocket* socket);

#endif
