/*
 * Datagrams of UDP on their way out: what goes to the same destination goes together.
 *
 * Good path: a datagram is copied behind the last one that is queued for its destination, if it has
 * the same size. So a run needs one allocation, one operation, and one way through the kernel,
 * which takes it apart (UDP_SEGMENT). Runs to different destinations start together, and without
 * links: a link makes each send a task of its own in the kernel, which costs as much as the send.
 * What can't be joined to one destination is linked behind what goes there before it.
 *
 * Failures: the kernel takes all of a run or nothing. A run that is refused for certain is sent
 * datagram by datagram: then each fails, or not, as if it had never been joined, and the user hears
 * of nothing else. Where the kernel refuses the joining (a path that takes less, a device that
 * can't do checksums), the socket joins less, or nothing any more.
 *
 * What the user has set on the descriptor (UDP_CORK, UDP_SEGMENT, time stamps of what is sent) is
 * his, and he may set it at any time: it is asked for whenever runs are about to be sent, where
 * that saves enough. Otherwise, and where something is set, a run is taken apart again, and its
 * datagrams go one by one, in the same turn.
 */
#include "socket/run.h"

#include "socket/destination.h"
#include "socket/flight.h"
#include "socket/kind-socket.h"
#include "socket/system.h"

#include <errno.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum
{
    RUN_MAX = 64,           /* datagrams that every kernel joins */
    RUN_MAX_COPY = 4 << 10, /* bytes of a handed-over buffer that are copied into a run */
    RUN_MIN_PIECE = 1024,   /* memory of a message that others may be copied behind */
    RUN_ROOM = 2048,        /* what room is counted by */
    RUN_MAX_AHEAD = 128,    /* of these, before anything goes to fill them */
    RUN_START = 256,        /* sends that start together at most */
    /* Sends that joining must save, or the descriptor is not asked: a burst takes 1.4 us more with
     * the three questions, and 4.2 us for each datagram that goes by itself behind another. Two in
     * a row are level (8.7 and 9.4 us), of three a quarter is saved (9.2 and 12.8; loopback, Linux
     * 6.18). */
    RUN_MIN_SAVED = 2,
    RUN_OVERHEAD = sizeof(struct FastMessage) + sizeof(struct sockaddr_in6),
};

/* ---- queueing ---- */

/* Pieces of one datagram keep the order of the queue, and so does what ends it. */
static bool isPiece(const struct FastOutbound* outbound, int flags)
{
    const struct FastItem* last = outbound->queue.last;
    return flags & MSG_MORE || (last != NULL ? last->flags & MSG_MORE : outbound->corked);
}

/* Whether others may go together with a datagram: not where it is sent without a copy. */
static bool isJoinable(const struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    return parts->size > 0 && parts->size <= socket->outbound->joinMax &&
           parts->controlLength == 0 && !(flags & MSG_ZEROCOPY) &&
           (parts->buffer == NULL || parts->size <= RUN_MAX_COPY) &&
           !FastSocketLends(socket, parts->size);
}

/* A shorter datagram ends a run: the kernel cuts at equal distances. */
static bool fits(const struct FastMessage* run, const struct FastParts* parts, int flags)
{
    return FastRunHasRoom(run, parts->size, FastItemFlags(flags)) &&
           run->nameLength == parts->nameLength &&
           (run->nameLength == 0 || memcmp(run->name, parts->name, run->nameLength) == 0);
}

static void join(struct FastOutboundQueue* queue, struct FastMessage* run,
                 const struct FastParts* parts)
{
    FastVectorCopy(FastRunExtend(queue, run, parts->size), parts->vector, 0, parts->size);
}

/* As many as lately went together; but after a burst to one destination there may be a single one
 * to each of many others. */
static size_t expected(const struct FastOutbound* outbound)
{
    return outbound->ahead < RUN_MAX_AHEAD ? outbound->run : 0;
}

static void noteRoom(struct FastOutbound* outbound, size_t room)
{
    size_t ahead = outbound->ahead + room / RUN_ROOM;
    outbound->ahead = (uint8_t)(ahead < RUN_MAX_AHEAD ? ahead : RUN_MAX_AHEAD);
}

/* Room for as many more as are expected, or twice what the one before it has, in what the pool
 * gives anyway. */
static size_t roomFor(struct FastOutbound* outbound, const struct FastParts* parts,
                      const struct FastMessage* last)
{
    size_t first = RUN_OVERHEAD + parts->size;
    size_t before = last != NULL ? 2 * (size_t)last->item.messages : 0;
    size_t more = (before > expected(outbound) ? before : expected(outbound)) * parts->size;
    size_t most = FAST_RUN_MAX_BYTES > parts->size ? FAST_RUN_MAX_BYTES - parts->size : 0;
    size_t piece = RUN_MIN_PIECE;
    while (piece < first + (more < most ? more : most))
        piece *= 2;
    noteRoom(outbound, piece - first);
    return piece - first;
}

static struct FastMessage* makeRun(struct FastSocket* socket, const struct FastParts* parts,
                                   int flags, const struct FastMessage* last, int* result)
{
    struct FastParts copied = *parts;
    copied.buffer = NULL;
    size_t room = roomFor(socket->outbound, parts, last);
    struct FastMessage* message = FastKindMakeMessage(socket, &copied, flags, room, result);
    if (message != NULL) {
        message->segment = (uint16_t)parts->size;
        message->together = RUN_MAX;
    }
    return message;
}

/* Mostly it goes where the last one goes: then nothing else need be known. */
static bool joinsLast(struct FastOutbound* outbound, const struct FastParts* parts, int flags)
{
    struct FastItem* last = outbound->queue.last;
    if (last == NULL || last->order != FAST_ORDER_DESTINATION || flags & MSG_MORE ||
        parts->size == 0 || parts->controlLength > 0 ||
        !fits(FastItemMessage(last), parts, flags))
        return false;
    join(&outbound->queue, FastItemMessage(last), parts);
    if (parts->buffer != NULL)
        FastBufferDrop(parts->buffer);
    return true;
}

/* Not inline: the short way needs nothing of this. */
__attribute__((noinline)) static int appendApart(struct FastSocket* socket,
                                                 const struct FastParts* parts, int flags)
{
    struct FastOutbound* outbound = socket->outbound;
    struct FastDestination destination;
    struct FastMessage* last;
    int result = 0;
    if (isPiece(outbound, flags) || !FastDestinationFind(&outbound->queue, parts->name,
                                                         parts->nameLength, &destination, &last))
        return FastKindAppendMessage(socket, parts, flags);
    bool joinable = isJoinable(socket, parts, flags);
    if (joinable && last != NULL && fits(last, parts, flags))
        join(&outbound->queue, last, parts);
    else {
        struct FastMessage* message = joinable
                                          ? makeRun(socket, parts, flags, last, &result)
                                          : FastKindMakeMessage(socket, parts, flags, 0, &result);
        if (message == NULL)
            return result;
        FastDestinationAppend(&outbound->queue, message, &destination, last);
    }
    if (joinable && parts->buffer != NULL)
        FastBufferDrop(parts->buffer); /* its bytes were copied */
    return 0;
}

int FastRunAppend(struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    if (joinsLast(socket->outbound, parts, flags))
        return 0;
    return appendApart(socket, parts, flags);
}

/* ---- what was refused ---- */

bool FastRunIsRefusal(int error)
{
    return error == EMSGSIZE || error == EINVAL || error == EIO;
}

/* From now on its datagrams go one by one, each as if none had been tried before. */
static void split(struct FastMessage* message)
{
    message->together = 1;
    message->item.room = 0;
    message->doubt = 0;
    message->doubts = 0;
    message->tries = 0;
}

bool FastRunIsJoined(const struct FastFlight* flight)
{
    return flight->message->item.messages > 1 && flight->bytes > flight->message->segment;
}

/* Older kernels say EINVAL of a size that the path doesn't take, and of all that they can't
 * join. */
static void learn(struct FastOutbound* outbound, const struct FastMessage* message, int error)
{
    uint16_t most = 0;
    if (error == EMSGSIZE)
        most = (uint16_t)(message->segment - 1);
    else if (error == EINVAL)
        most = message->segment / 2;
    if (most < outbound->joinMax)
        outbound->joinMax = most;
}

/* Only EMSGSIZE speaks of the size for certain. The others may be the destination's: whoever sends
 * from port 0 and is answered would else have the socket join nothing any more. */
void FastRunSplit(struct FastSocket* socket, struct FastMessage* message, int error)
{
    if (error == EMSGSIZE)
        learn(socket->outbound, message, error);
    else if (FastRunIsRefusal(error))
        message->refused = (uint16_t)error;
    split(message);
}

void FastRunAccept(struct FastSocket* socket, struct FastMessage* message)
{
    if (message->refused == 0)
        return;
    learn(socket->outbound, message, message->refused);
    message->refused = 0;
}

/* ---- taking apart ---- */

/* The last datagram of a run, as a message of its own; NULL without memory. */
static struct FastMessage* copyLast(struct FastSocket* socket, const struct FastMessage* run)
{
    size_t before = FastMessageLength(run, run->item.messages - 1);
    const struct iovec vector = {run->item.data + before, run->item.length - before};
    const struct FastParts parts = {
        .vector = &vector,
        .size = vector.iov_len,
        .name = run->name,
        .nameLength = run->nameLength,
    };
    int result;
    return FastKindMakeMessage(socket, &parts, run->item.flags, 0, &result);
}

/* Each datagram becomes a message of its own. Those for which there is no memory stay behind the
 * first, and go one a turn. What several together were refused for, none of them has met. */
static void takeApart(struct FastSocket* socket, struct FastMessage* run)
{
    struct FastOutboundQueue* queue = &socket->outbound->queue;
    if (FastRunIsRefusal(run->doubt)) {
        run->doubt = 0;
        run->doubts = 0;
    }
    while (run->item.messages > 1) {
        struct FastMessage* last = copyLast(socket, run);
        if (last == NULL)
            return;
        last->segment = run->segment;
        last->item.noted = run->item.noted; /* it is the last of them, or stands before that */
        run->item.noted = 0;
        run->item.length -= last->item.length;
        queue->length -= last->item.length;
        run->item.messages--;
        FastDestinationInsert(queue, last, run);
    }
}

/* ---- sending ---- */

/* What starts together. */
struct start
{
    struct FastSocket* socket;
    FastMessageFunction before;
    uint32_t sends; /* that may still start */
    uint32_t datagrams;
    bool joins;
};

static uint32_t countTogether(const struct start* start, const struct FastMessage* message)
{
    uint32_t count = message->item.messages;
    if (!start->joins || message->segment > start->socket->outbound->joinMax)
        return 1;
    count = count < message->together ? count : message->together;
    return count < start->datagrams ? count : start->datagrams;
}

/* Sends that joining saves, of what is queued, as far as that matters. A run that was refused is
 * made again as it was, or nobody would know whose the errno is. */
static uint32_t countSaved(struct start start)
{
    const struct FastItem* item = start.socket->outbound->queue.first;
    uint32_t saved = 0;
    for (uint32_t index = 0; index < RUN_START && saved < RUN_MIN_SAVED && start.datagrams > 0 &&
                             item != NULL && item->order == FAST_ORDER_DESTINATION;
         index++, item = item->next) {
        const struct FastMessage* message = FAST_CONTAINER(item, struct FastMessage, item);
        if (item->state != FAST_ITEM_QUEUED)
            continue;
        uint32_t count = countTogether(&start, message);
        saved += count > 1 && message->doubt != 0 ? RUN_MIN_SAVED : count - 1;
        start.datagrams -= count;
    }
    return saved;
}

/* A corked datagram has no borders inside, who has set a size wants his datagrams cut by it, and
 * who has asked for time stamps wants one of each datagram. */
static bool isUncut(int handle)
{
    int cork = 0;
    int segment = 0;
    int stamps = 0;
    return FastSystemGetNumber(handle, IPPROTO_UDP, UDP_CORK, &cork) == 0 && cork == 0 &&
           FastSystemGetNumber(handle, IPPROTO_UDP, UDP_SEGMENT, &segment) == 0 && segment == 0 &&
           FastSystemGetNumber(handle, SOL_SOCKET, FAST_SYSTEM_STAMPS, &stamps) == 0 &&
           (stamps & SOF_TIMESTAMPING_TX_RECORD_MASK) == 0;
}

/* Who has set something once may do so again: his datagrams are not joined any more, and nothing
 * is asked. */
static bool joinsNow(const struct start* start)
{
    struct FastSocket* socket = start->socket;
    if (!start->joins || countSaved(*start) < RUN_MIN_SAVED)
        return false;
    if (isUncut(socket->handle))
        return true;
    socket->traits &= ~(uint32_t)FAST_TRAIT_JOINS;
    return false;
}

static void addSegment(struct FastMessage* message, struct FastSend* send)
{
    struct cmsghdr* control = (struct cmsghdr*)message->cut;
    *control = (struct cmsghdr){
        .cmsg_level = IPPROTO_UDP,
        .cmsg_type = UDP_SEGMENT,
        .cmsg_len = CMSG_LEN(sizeof(message->segment)),
    };
    memcpy(CMSG_DATA(control), &message->segment, sizeof(message->segment));
    send->control = control;
    send->controlLength = sizeof(message->cut);
}

static struct io_uring_sqe* startMessage(struct start* start, struct FastMessage* message)
{
    struct FastSocket* socket = start->socket;
    struct FastSend send;
    bool run = message->item.messages > 1;
    if (run && message->together > 1 && message->segment > socket->outbound->joinMax &&
        FastRunIsRefusal(message->doubt))
        split(message); /* another one's refusal was this one's too */
    uint32_t count = run ? countTogether(start, message) : 1;
    bool alone = socket->outbound->inFlight == 0 && !run;
    start->before(socket, message);
    if (!FastFlightDescribe(socket, message, &send))
        return NULL;
    if (run) {
        send.bytes = FastMessageLength(message, count);
        send.vector->iov_len = send.bytes;
    }
    if (count > 1)
        addSegment(message, &send);
    message->flight.message = message;
    message->flight.count = 1;
    start->datagrams -= count;
    start->sends--;
    return FastFlightSubmit(socket, &message->flight, &send, &message->item, alone);
}

/* What went to one destination at once would have been one run if there had been room. */
static void noteRun(struct FastOutbound* outbound, uint32_t datagrams)
{
    uint32_t before = outbound->run;
    if (datagrams > before)
        outbound->run = (uint8_t)(datagrams < RUN_MAX ? datagrams : RUN_MAX);
    else
        outbound->run = (uint8_t)(before - (before + 7) / 8);
}

/* What goes to one destination, each when the one before was sent. false: nothing more goes now. */
static bool startRow(struct start* start, struct FastMessage* message)
{
    struct FastOutbound* outbound = start->socket->outbound;
    struct io_uring_sqe* last = NULL;
    uint32_t datagrams = 0;
    for (; message != NULL && start->sends > 0 && start->datagrams > 0; message = message->behind) {
        if (!start->joins && message->item.messages > 1 && message->together > 1)
            takeApart(start->socket, message);
        struct io_uring_sqe* entry = startMessage(start, message);
        if (entry == NULL || outbound->current != NULL)
            return false; /* no room; or without a copy: alone */
        if (message->segment > 0)
            datagrams += message->item.messages;
        noteRun(outbound, datagrams);
        if (last != NULL)
            last->flags |= IOSQE_IO_LINK;
        last = entry;
        if (message->flight.bytes < message->item.length)
            return true; /* its rest comes first */
    }
    return start->sends > 0 && start->datagrams > 0;
}

static struct start makeStart(struct FastSocket* socket, FastMessageFunction before)
{
    struct FastOutbound* outbound = socket->outbound;
    uint32_t limit = outbound->queue.messages;
    struct start start = {
        .socket = socket,
        .before = before,
        .sends = outbound->burst,
        .datagrams = limit > 0 ? limit : UINT32_MAX,
        .joins = FastSocketHas(socket, FAST_TRAIT_JOINS),
    };
    start.joins = joinsNow(&start);
    outbound->ahead = 0;
    outbound->burst = start.sends * 2 < RUN_START ? start.sends * 2 : RUN_START;
    return start;
}

/* Nothing is in flight. */
bool FastRunStart(struct FastSocket* socket, FastMessageFunction before)
{
    struct FastOutbound* outbound = socket->outbound;
    if (outbound->queue.first->order == FAST_ORDER_QUEUE)
        return FastMessageStartChain(socket, before);
    struct start start = makeStart(socket, before);
    for (struct FastItem* item = outbound->queue.first;
         item != NULL && item->kind == FAST_ITEM_MESSAGE; item = item->next) {
        struct FastMessage* message = FastItemMessage(item);
        if (item->state != FAST_ITEM_QUEUED)
            continue;
        if (item->order == FAST_ORDER_QUEUE)
            break;
        if (FastDestinationIsFirst(message) && !startRow(&start, message))
            break;
    }
    return outbound->inFlight > 0;
}
