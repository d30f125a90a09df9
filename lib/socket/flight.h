/*
 * Sends in flight: how what stands in the queue becomes an operation, with or without a copy.
 */
#ifndef FASTSOCKET_SOCKET_FLIGHT_H
#define FASTSOCKET_SOCKET_FLIGHT_H

#include "socket/kind.h"

enum
{
    FAST_FLIGHT_PLAIN = 64 << 10, /* bytes, at most, of a plain send */
};

/* One send that is about to be submitted. */
struct FastSend
{
    struct iovec* vector;
    size_t count;
    size_t bytes;
    int flags;
    const void* name; /* NULL: where the socket is connected to */
    socklen_t nameLength;
    void* control; /* lives until the send is over */
    size_t controlLength;
    const struct FastMessage* message; /* the user's own write has a position; NULL: bytes */
    struct msghdr* header;             /* if the vector alone does not say it all */
    struct FastLoan* loan;             /* NULL: the kernel copies */
};

/* startSend of streams: gathers bytes from the head of the queue, or takes the one message
 * there. */
bool FastFlightStartStream(struct FastSocket* socket);

/* Submits one message. alone: nothing else is in flight, and it may go without a copy. NULL: no
 * room. */
struct io_uring_sqe* FastFlightStartMessage(struct FastSocket* socket, struct FastMessage* message,
                                            bool alone);

/* Describes a message as a send. false: no memory for its vector before the next enter. */
bool FastFlightDescribe(struct FastSocket* socket, const struct FastMessage* message,
                        struct FastSend* send);

/* Submits a send as flight: of flight->count messages from flight->message on, or of bytes from the
 * head (flight->message is NULL). count items from first on may be lent to the kernel, where zero
 * copy is asked for; with 0 they are copied. NULL: no room. */
struct io_uring_sqe* FastFlightSubmit(struct FastSocket* socket, struct FastFlight* flight,
                                      struct FastSend* send, const struct FastItem* first,
                                      uint32_t count);

/* The function of every flight that is no loan's, and no plain one. */
void FastFlightOver(struct FastOperation* operation, const struct io_uring_cqe* completion);

/* Whether a stream's queue is a single piece that goes out as it is. */
static inline bool FastFlightIsPlain(const struct FastSocket* socket)
{
    const struct FastItem* item = socket->outbound->queue.first;
    return item->next == NULL && item->kind == FAST_ITEM_BYTES &&
           item->length - 1 < FAST_FLIGHT_PLAIN && !(item->flags & MSG_ZEROCOPY) &&
           !FastSocketHasMode(socket, FASTSOCKET_MODE_ZERO_COPY);
}

/* Reserves an entry for that piece, which the caller fills, and counts it; who has asked for a send
 * has said whose the completion is. NULL: no room. */
static inline struct io_uring_sqe* FastFlightReservePlain(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    struct FastFlight* flight = &outbound->flight;
    size_t length = outbound->queue.first->length;
    struct io_uring_sqe* entry = FastRingReserve(socket->ring, &flight->operation);
    if (entry == NULL)
        return NULL;
    flight->bytes = length;
    outbound->current = flight;
    outbound->inFlight = 1;
    outbound->canceling = FAST_SEND_CANCEL_NONE; /* that was the one before */
    FastSocketHold(socket);
    return entry;
}

/* Counts a send, of whatever kind, that an entry was just reserved for. */
void FastFlightBegin(struct FastSocket* socket, struct FastFlight* flight);

/* Counts it off again: it is no longer in flight, whatever becomes of it. */
void FastFlightEnd(struct FastFlight* flight);

/* Whether a failure is zero copy's alone: then the same goes out by copying, which this sees to. */
bool FastFlightFallsBack(struct FastSocket* socket, const struct FastFlight* flight, int error);

/* At the end of the ring: keeps the memory of sends without a copy, whose completions will never
 * come. */
void FastFlightLeakLoans(struct FastSocket* socket);

#endif
