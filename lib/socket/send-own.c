/*
 * Barriers and splices.
 *
 * Good path: a barrier runs alone when everything before it is accepted, and its completion goes to
 * the descriptor's own function. A splice takes bytes from a pipe of the user's, until so many are
 * accepted as were asked for, or the pipe has ended.
 *
 * Failures: on a non-blocking socket the kernel doesn't wait in a splice, for either end: it is
 * made again after a poll of the socket, or later if not the socket but the pipe is why. Where a
 * waiting operation needs a descriptor more (on epoll), and there is none: later, too.
 */
#include "socket/send-own.h"

#include "service/operation.h"
#include "socket/failure.h"
#include "socket/flight.h"
#include "socket/output.h"
#include "socket/sent.h"
#include "socket/system.h"

#include <errno.h>
#include <poll.h>

/* ---- splices ---- */

static bool isWritable(const struct FastSocket* socket)
{
    int events = FastSystemPoll(socket->handle, POLLOUT);
    return events > 0 && events & (POLLOUT | POLLHUP);
}

static void onSpliceError(struct FastSocket* socket, struct FastFlight* flight, int result)
{
    if (result == -ENOMEM || result == -ENOBUFS || result == -EMFILE || result == -ENFILE)
        FastSocketBackOffSend(socket); /* for as long as it takes: nothing else may go first */
    else if (result != -EAGAIN || !FastSocketHas(socket, FAST_TRAIT_FINDS_ROOM))
        FastSentCarry(socket, flight, FastSocketKind(socket)->classifySend(socket, flight, result));
    else if (isWritable(socket))
        FastSocketBackOffSend(socket);
    else
        FastSentWaitForRoom(socket);
}

static void acceptSpliced(struct FastSocket* socket, struct FastMessage* message, size_t count)
{
    struct FastOutbound* outbound = socket->outbound;
    socket->statistics.sentOperations++;
    outbound->progress++;
    outbound->room &= (uint8_t)~FAST_ROOM_POLLED;
    FastOutputConsume(socket, count < message->item.length ? count : message->item.length);
}

static void onSplice(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastFlight* flight = FAST_CONTAINER(operation, struct FastFlight, operation);
    struct FastSocket* socket = flight->socket;
    struct FastMessage* message = flight->message;
    int result = completion->res;
    FastFlightEnd(flight);
    if (result >= 0)
        /* An errno that it has met before was an earlier datagram's. */
        (void)FastSocketKind(socket)->classifySend(socket, flight, result);
    if (result > 0)
        acceptSpliced(socket, message, (size_t)result);
    else if (result == 0)
        FastOutputPop(socket); /* the pipe has ended */
    else
        onSpliceError(socket, flight, result);
    FastSentPopDone(socket);
    FastSentGoOn(socket);
    FastSocketDrop(socket);
}

/* ---- barriers ---- */

static void onBarrier(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastFlight* flight = FAST_CONTAINER(operation, struct FastFlight, operation);
    struct FastSocket* socket = flight->socket;
    struct FastMessage* message = flight->message;
    struct FastRingDescriptor* descriptor = message->descriptor;
    if (completion->flags & IORING_CQE_F_MORE)
        return; /* a barrier ends once */
    message->descriptor = NULL;
    FastFlightEnd(flight);
    FastOutputPop(socket);
    FastSentGoOn(socket);
    FastSocketDrop(socket);
    FastDescriptorComplete(descriptor, completion); /* last: its user may never return */
}

/* ---- both ---- */

bool FastSendOwnStart(struct FastSocket* socket, struct FastMessage* message)
{
    struct FastFlight* flight = &message->flight;
    bool splices = message->item.kind == FAST_ITEM_SPLICE;
    if (FastRingRoom(socket->ring) < FAST_TRAILED)
        return false;
    if (message->doubt != 0)
        (void)FastSocketTakeFailure(socket);
    struct io_uring_sqe* entry = FastRingReserve(socket->ring, &flight->operation);
    uint64_t owner = entry->user_data;
    *entry = *GetFastRingDescriptorSubmission(message->descriptor);
    entry->user_data = owner;
    entry->flags &= (uint8_t) ~(IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_IO_DRAIN |
                                IOSQE_CQE_SKIP_SUCCESS);
    if (splices) {
        entry->len = (uint32_t)message->item.length;
        FastEngineHold(FastRingEngine(socket->ring), entry); /* the pipe is the user's to close */
    }
    flight->operation.function = splices ? onSplice : onBarrier;
    flight->message = message;
    flight->count = 1;
    FastFlightBegin(socket, flight);
    FastSocketTrail(socket, entry); /* splices, and some others, are a thread's on sockets too */
    return true;
}
