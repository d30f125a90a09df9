/*
 * From the queue into the kernel.
 *
 * Good path: bytes are gathered from the head of a stream's queue into one send, whose flight is
 * the outbound side's own; a message has a flight of its own. What the entry points to beside the
 * bytes is scratch memory of the ring.
 *
 * Without a copy: an operation of some size is submitted with zero copy, and a loan holds a
 * reference to each of its buffers. Two completions come: the first tells how many bytes the kernel
 * accepted, and lets the next send start; the second, a notification, tells that the memory is free
 * again. It may come late and in any order, after the socket's end too: the loan waits for it on
 * its own.
 *
 * Failures: a kind of socket that can't (EOPNOTSUPP, EINVAL) is sent to by copying from then on;
 * after a lack of memory (ENOMEM, ENOBUFS) zero copy backs off for some operations. Where the
 * kernel reports that it copied all the same, several times in a row, zero copy costs more than it
 * saves, and is given up. An error may come with a notification or without: the flags alone tell.
 */
#include "socket/flight.h"

#include "engine/uring-compat.h"

#include <assert.h>
#include <errno.h>

enum
{
    FLIGHT_BACKOFF = 64,   /* operations without zero copy, after memory lacked */
    FLIGHT_MAX_COPIED = 8, /* in a row, until zero copy is given up */
};

/* The buffers of one send without a copy, until the kernel gives them back. */
struct FastLoan
{
    struct FastFlight flight;
    struct FastLoan* next; /* of the socket's, which is held */
    struct FastBuffer* home;
    uint32_t accepted; /* first completions that are in: 0 or 1 */
    uint32_t count;
    struct FastBuffer* held[];
};

/* ---- loans ---- */

static void freeLoan(struct FastLoan* loan)
{
    struct FastLoan** place = &loan->flight.socket->outbound->loans;
    while (*place != loan)
        place = &(*place)->next; /* few are out at a time */
    *place = loan->next;
    struct FastBuffer* home = loan->home;
    for (uint32_t index = 0; index < loan->count; index++)
        FastBufferDrop(loan->held[index]);
    ReleaseFastBuffer(home);
}

void FastFlightLeakLoans(struct FastSocket* socket)
{
    for (const struct FastLoan* loan = socket->outbound->loans; loan != NULL; loan = loan->next)
        FastRingLeak(loan->home);
}

static void noteUsage(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    struct FastOutbound* outbound = socket->outbound;
    if (!((uint32_t)completion->res & FAST_URING_NOTIF_USAGE_ZC_COPIED)) {
        outbound->copied = 0;
        return;
    }
    outbound->statistics.copied++;
    if (++outbound->copied >= FLIGHT_MAX_COPIED)
        socket->traits &= ~(uint32_t)FAST_TRAIT_ZERO_COPIES;
}

/* Two completions: bytes or errno, then memory back; or an error alone. Only the flags tell. */
static void onLoan(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastFlight* flight = FAST_CONTAINER(operation, struct FastFlight, operation);
    struct FastLoan* loan = FAST_CONTAINER(flight, struct FastLoan, flight);
    struct FastSocket* socket = flight->socket;
    if (completion->flags & IORING_CQE_F_NOTIF)
        noteUsage(socket, completion);
    else if (loan->accepted == 0) {
        loan->accepted = 1;
        socket->outbound->finish(flight, completion->res);
    }
    if (completion->flags & IORING_CQE_F_MORE)
        return;
    freeLoan(loan);
    FastSocketDrop(socket);
}

/* Whether to try; counts the operations of a back-off down. */
static bool isLent(struct FastSocket* socket, const struct FastSend* send)
{
    struct FastOutbound* outbound = socket->outbound;
    bool wanted = send->flags & MSG_ZEROCOPY || FastSocketLends(socket, send->bytes);
    if (!wanted || send->bytes == 0 || !FastSocketHas(socket, FAST_TRAIT_ZERO_COPIES))
        return false;
    uint64_t needed = send->header != NULL ? FASTRING_FEATURE_SENDMSG_ZERO_COPY
                                           : FASTRING_FEATURE_SEND_ZERO_COPY;
    if (!(FastRingEngine(socket->ring)->features & needed))
        return false;
    if (outbound->backoff > 0) {
        outbound->backoff--;
        return false;
    }
    return true;
}

/* Keeps the payloads of count items; NULL without memory: then the kernel copies. */
static struct FastLoan* lend(struct FastSocket* socket, const struct FastFlight* flight,
                             const struct FastItem* items, uint32_t count)
{
    size_t size = sizeof(struct FastLoan) + count * sizeof(struct FastBuffer*);
    struct FastBuffer* home = AllocateFastBuffer(FastSocketPool(socket), size, 0);
    if (home == NULL)
        return NULL;
    struct FastLoan* loan = (struct FastLoan*)FastBufferData(home);
    *loan = (struct FastLoan){
        .flight.operation.function = onLoan,
        .flight.socket = socket,
        .flight.message = flight->message,
        .flight.count = flight->count,
        .flight.loan = loan,
        .home = home,
        .next = socket->outbound->loans,
    };
    socket->outbound->loans = loan;
    socket->outbound->usedZeroCopy = true;
    for (const struct FastItem* item = items; loan->count < count; item = item->next)
        loan->held[loan->count++] = HoldFastBuffer(item->payload);
    return loan;
}

bool FastFlightFallsBack(struct FastSocket* socket, const struct FastFlight* flight, int error)
{
    if (flight->loan == NULL)
        return false;
    switch (error) {
    case EOPNOTSUPP:
    case EINVAL:
        socket->traits &= ~(uint32_t)FAST_TRAIT_ZERO_COPIES;
        return true;
    case ENOMEM:
    case ENOBUFS:
        socket->outbound->backoff = FLIGHT_BACKOFF;
        return true;
    default:
        return false;
    }
}

/* ---- submitting ---- */

void FastFlightOver(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastFlight* flight = FAST_CONTAINER(operation, struct FastFlight, operation);
    struct FastSocket* socket = flight->socket;
    socket->outbound->finish(flight, completion->res);
    FastSocketDrop(socket);
}

static void setState(const struct FastFlight* flight, uint8_t state)
{
    struct FastItem* item = flight->message != NULL ? &flight->message->item : NULL;
    for (uint32_t index = 0; index < flight->count && item != NULL; index++, item = item->next)
        item->state = state;
}

void FastFlightBegin(struct FastSocket* socket, struct FastFlight* flight)
{
    struct FastOutbound* outbound = socket->outbound;
    outbound->inFlight++;
    if (outbound->canceling > FAST_SEND_CANCEL_IN_FLIGHT)
        outbound->canceling = FAST_SEND_CANCEL_NONE; /* that was the one before */
    setState(flight, FAST_ITEM_IN_FLIGHT);
    FastSocketHold(socket);
}

void FastFlightEnd(struct FastFlight* flight)
{
    flight->socket->outbound->inFlight--;
    setState(flight, FAST_ITEM_QUEUED);
}

static bool needsHeader(const struct FastSend* send)
{
    return send->count != 1 || send->nameLength > 0 || send->controlLength > 0;
}

static bool makeHeader(struct FastSocket* socket, struct FastSend* send)
{
    struct msghdr* header = FastRingScratch(socket->ring, sizeof(*header));
    if (header == NULL)
        return false;
    *header = (struct msghdr){.msg_iov = send->vector, .msg_iovlen = send->count};
    if (send->nameLength > 0) {
        header->msg_name = (void*)(uintptr_t)send->name;
        header->msg_namelen = send->nameLength;
    }
    if (send->controlLength > 0) {
        header->msg_control = send->control;
        header->msg_controllen = send->controlLength;
    }
    send->header = header;
    return true;
}

struct io_uring_sqe* FastFlightSubmit(struct FastSocket* socket, struct FastFlight* flight,
                                      struct FastSend* send, const struct FastItem* first,
                                      uint32_t count)
{
    unsigned entries = FastSocketHas(socket, FAST_TRAIT_BY_WORKER) ? FAST_TRAILED : 1;
    if (FastRingRoom(socket->ring) < entries || (needsHeader(send) && !makeHeader(socket, send)))
        return NULL;
    if (count > 0 && isLent(socket, send))
        send->loan = lend(socket, flight, first, count);
    if (send->loan != NULL)
        flight = &send->loan->flight;
    else
        flight->operation.function = FastFlightOver;
    flight->bytes = send->bytes;
    struct io_uring_sqe* entry = FastRingReserve(socket->ring, &flight->operation);
    assert(entry != NULL);
    FastFlightBegin(socket, flight);
    socket->outbound->current = flight->message == NULL || send->loan != NULL ? flight : NULL;
    FastSocketKind(socket)->prepareSend(socket, entry, send);
    return entry;
}

/* ---- streams: one at a time, since two would mix their bytes when the first one blocks ---- */

static bool startGather(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    size_t most = FastSocketKind(socket)->mostParts;
    struct iovec single;
    struct FastSend send = {.vector = &single, .count = 1};
    if (outbound->queue.first->next != NULL)
        send.count = FastOutboundCountGather(&outbound->queue);
    if (most > 0 && send.count > most)
        send.count = most;
    if (send.count > 1)
        send.vector = FastRingScratch(socket->ring, send.count * sizeof(*send.vector));
    if (send.vector == NULL)
        return false;
    bool corks = FastSocketHas(socket, FAST_TRAIT_CORKS) &&
                 FastSocketHasMode(socket, FASTSOCKET_MODE_AUTO_CORK);
    send.bytes = FastOutboundGather(&outbound->queue, send.vector, send.count, corks, &send.flags);
    return FastFlightSubmit(socket, &outbound->flight, &send, outbound->queue.first,
                            (uint32_t)send.count) != NULL;
}

bool FastFlightDescribe(struct FastSocket* socket, const struct FastMessage* message,
                        struct FastSend* send)
{
    *send = (struct FastSend){
        .vector = FastMessageVector(message),
        .count = FastMessageCountVectors(message),
        .bytes = message->item.length,
        .flags = message->item.flags,
        .name = message->name,
        .nameLength = message->nameLength,
        .control = message->control,
        .controlLength = message->controlLength,
        .message = message,
    };
    if (send->vector != NULL)
        return true;
    send->vector = FastRingScratch(socket->ring, sizeof(*send->vector));
    if (send->vector == NULL)
        return false;
    *send->vector = (struct iovec){message->item.data, message->item.length};
    return true;
}

bool FastFlightStartStream(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    struct FastItem* first = outbound->queue.first;
    struct FastSend send;
    if (first->kind == FAST_ITEM_BYTES)
        return startGather(socket);
    return FastFlightDescribe(socket, FastItemMessage(first), &send) &&
           FastFlightSubmit(socket, &outbound->flight, &send, first, 1) != NULL;
}

/* ---- messages: each is an operation of its own ---- */

struct io_uring_sqe* FastFlightStartMessage(struct FastSocket* socket, struct FastMessage* message,
                                            bool alone)
{
    struct FastSend send;
    message->flight.message = message;
    message->flight.count = 1;
    return FastFlightDescribe(socket, message, &send)
               ? FastFlightSubmit(socket, &message->flight, &send, &message->item, alone)
               : NULL;
}
