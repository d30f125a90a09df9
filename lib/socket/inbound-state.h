/*
 * The inbound side of a socket: what is queued, and the receive. What becomes of it is in core.h,
 * and in the files that receive.
 */
#ifndef FASTSOCKET_SOCKET_INBOUND_STATE_H
#define FASTSOCKET_SOCKET_INBOUND_STATE_H

#include "ring/armed.h"
#include "socket/inbound.h"

/* Why nothing is received just now. A receive is in flight exactly when none of these is set. */
enum FastReceiveStop
{
    FAST_STOP_PAUSED = 1 << 0,     /* by the user */
    FAST_STOP_HIGH_MARK = 1 << 1,  /* until the low one */
    FAST_STOP_RING_LIMIT = 1 << 2, /* until the waiter is served */
    FAST_STOP_NO_BUFFERS = 1 << 3, /* until the waiter is served: the provider had none */
    FAST_STOP_BACKOFF = 1 << 4,    /* until the retry */
    FAST_STOP_RECORD = 1 << 5,     /* what comes next only the user can take */
    FAST_STOP_ENDED = 1 << 6,
    FAST_STOP_CLOSED = 1 << 7, /* released, or its failure was reported */
    FAST_STOP_CONNECTING = 1 << 8,
    FAST_STOP_UNREADABLE = 1 << 9, /* opened for writing only */
    /* What the user's own doing may keep up for ever: a final error doesn't wait for its end. */
    FAST_STOP_BY_USE = FAST_STOP_PAUSED | FAST_STOP_HIGH_MARK | FAST_STOP_RING_LIMIT |
                       FAST_STOP_RECORD,
};

enum FastInputEnd
{
    FAST_INPUT_OPEN,
    /* The connection is over, behind what is still to be received. Only a new receive finds the
     * end for certain: one that was in flight before may miss it. */
    FAST_INPUT_ENDING,
    FAST_INPUT_AWAITED, /* such a receive is in flight, and has brought nothing yet */
    FAST_INPUT_ENDED,
};

/* What the receive in flight is. */
enum FastReceiveForm
{
    FAST_RECEIVE_MULTISHOT,
    FAST_RECEIVE_BUNDLE, /* which may fill several buffers with one completion */
    FAST_RECEIVE_ONCE,   /* into one buffer, since the ring's limit is reached */
};

enum FastReceiveNote
{
    FAST_RECEIVE_SERVED = 1, /* it has waited, and its turn has come: until it is armed */
};

struct FastInbound
{
    struct FastInboundQueue queue;
    /* form: enum FastReceiveForm; notes: FAST_RECEIVE_SERVED; mark: of the provider, when it was
     * submitted */
    struct FastArmed receive;
    uint32_t turn;      /* in which the last bytes came */
    /* The first three stand together, since they are asked together for each completion. */
    uint16_t contrary;   /* completions, more or less in a row, for bundles or against */
    uint8_t end;         /* enum FastInputEnd */
    uint8_t errors;      /* of messages, in a row */
    bool discard;        /* what comes is dropped */
    bool unexpectedEnd;  /* it has ended once although nobody canceled it; another is an error */
    uint16_t stops;      /* FAST_STOP_* */
    uint16_t record;     /* errno of a record that only the user can take; 0 = none */
    uint8_t better : 4;  /* the form that pays, of the first two; another may be needed */
    uint8_t changes : 4; /* so often bundles were chosen */
    bool rearm : 1;      /* what is in flight has not the form that is wanted now */
    bool doubted : 1;    /* it gave -ECANCELED, which may be ours or the file's */
};

#endif
