/*
 * What a socket has decided, as a set: nobody has to tell of it when it happens.
 */
#include "socket/look.h"

enum LookBit
{
    /* the first bits are FAST_STOP_* */
    LOOK_SEND_BACKOFF = 16,
    LOOK_SEND_ROOM,
    LOOK_RECEIVING,
    LOOK_QUEUED,
    LOOK_COPYING,
    LOOK_ENDED_OUTPUT,
    LOOK_FAILED,
    LOOK_FLUSHING,
    LOOK_DRAINING,
    LOOK_CANCELING,
    LOOK_BITS,
};

static const char* const names[LOOK_BITS] = {
    "paused",
    "high-mark",
    "ring-limit",
    "starved",
    "receive-retry",
    "record-waits",
    "input-ended",
    "receive-closed",
    "connecting",
    "not-readable",
    [LOOK_SEND_BACKOFF] = "send-retry",
    [LOOK_SEND_ROOM] = "send-awaits-room",
    [LOOK_RECEIVING] = "receiving",
    [LOOK_QUEUED] = "output-queued",
    [LOOK_COPYING] = "zero-copy-given-up",
    [LOOK_ENDED_OUTPUT] = "output-ended",
    [LOOK_FAILED] = "failed",
    [LOOK_FLUSHING] = "release-sends",
    [LOOK_DRAINING] = "release-awaits-peer",
    [LOOK_CANCELING] = "release-cancels",
};

static uint64_t bit(enum LookBit number, bool holds)
{
    return (uint64_t)holds << number;
}

static uint64_t outboundBits(const struct FastOutbound* outbound)
{
    return bit(LOOK_SEND_BACKOFF, outbound->stops & FAST_SEND_STOP_BACKOFF) |
           bit(LOOK_SEND_ROOM, outbound->stops & FAST_SEND_STOP_ROOM) |
           bit(LOOK_COPYING, outbound->backoff > 0);
}

void FastLookAtSocket(const struct FastRingMember* member, struct FastLook* look)
{
    const struct FastSocket* socket = FAST_CONTAINER(member, struct FastSocket, worker.member);
    look->object = socket;
    look->handle = socket->handle;
    look->names = names;
    look->bits = socket->inbound.stops |
                 bit(LOOK_RECEIVING, FastArmedIsInFlight(&socket->inbound.receive)) |
                 bit(LOOK_QUEUED, FastSocketHasOutput(socket)) |
                 bit(LOOK_ENDED_OUTPUT, socket->shutdown != FAST_SHUTDOWN_NONE) |
                 bit(LOOK_FAILED, FastSocketHasFailed(socket)) |
                 bit(LOOK_FLUSHING, socket->stage == FAST_STAGE_FLUSHING) |
                 bit(LOOK_DRAINING, socket->stage == FAST_STAGE_DRAINING) |
                 bit(LOOK_CANCELING, socket->stage == FAST_STAGE_CANCELING);
    if (socket->outbound != NULL)
        look->bits |= outboundBits(socket->outbound);
    if (socket->extra != NULL) {
        /* what was over again by the end of the turn */
        look->counts[0] = socket->extra->statistics.starvations;
        look->countNames[0] = "starved-once-more";
        look->counts[1] = socket->extra->statistics.pauses;
        look->countNames[1] = "stopped-once-more";
    }
}
