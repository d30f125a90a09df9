/*
 * Sockets of every kind: received by one multishot receive that fills provided buffers, sent to by
 * sends that raise no signal.
 *
 * Good path: plain streams are received in bundles, where they pay. Everything else is
 * received by recvmsg, also where the user asked for no metadata: only so is a truncated or an
 * empty message seen. The kernel's header is stripped then.
 *
 * Failures: where the kernel knows byte caps, the receive ends by itself at the high mark. A socket
 * whose ring has reached its limit receives into one buffer at a time.
 */
#include "socket/kind-socket.h"

#include "engine/uring-compat.h"
#include "socket/bundle.h"
#include "socket/flight.h"
#include "socket/system.h"

#include <errno.h>
#include <limits.h>
#include <linux/sctp.h>
#include <netinet/in.h>
#include <string.h>

enum
{
    KIND_MAX_SIZE = 1 << 30, /* bytes in one call */
    KIND_FILE_FLAGS = MSG_MORE | MSG_NOSIGNAL,
};

/* ---- receiving ---- */

/* Bytes until the receive ends by itself, before there is more unread than the user wants; 0: it
 * does not. For a reader who has shown that he keeps up to end it is in vain, and costs a
 * submission each time. Should he stop, it is canceled at the mark, and what the kernel has buffers
 * for may come meanwhile. */
static uint64_t boundOf(const struct FastSocket* socket)
{
    const struct FastInboundQueue* queue = &socket->inbound.queue;
    uint64_t mark = queue->rules->high > queue->wanted ? queue->rules->high : queue->wanted;
    if (queue->first == NULL && socket->statistics.bytes >= mark)
        return 0;
    return mark > queue->length ? mark - queue->length : 1;
}

static void boundReceive(struct FastSocket* socket, struct io_uring_sqe* entry)
{
    struct FastInbound* inbound = &socket->inbound;
    const struct FastInboundQueue* queue = &inbound->queue;
    uint64_t each = queue->rules->turnLimit;
    uint64_t bundle = FastBundleBegin(socket);
    if (bundle > 0) {
        inbound->receive.form = FAST_RECEIVE_BUNDLE;
        entry->ioprio |= FAST_URING_RECVSEND_BUNDLE;
        each = bundle;
    }
    if (!(FastRingEngine(socket->ring)->features & FASTRING_FEATURE_RECEIVE_CAP) ||
        inbound->discard)
        return;
    uint64_t left = boundOf(socket);
    entry->len = each < INT_MAX ? (uint32_t)each : 0;
    entry->splice_fd_in = left < INT_MAX ? (int)left : 0; /* optlen */
}

static bool prepareMessages(struct FastSocket* socket)
{
    struct FastInbound* inbound = &socket->inbound;
    const struct msghdr* given = FastSocketHeader(socket);
    struct msghdr* header = FastRingScratch(socket->ring, sizeof(*header));
    struct io_uring_sqe* entry = header != NULL ? FastArmedReserve(socket->ring, &inbound->receive)
                                                : NULL;
    if (entry == NULL)
        return false;
    *header = given != NULL ? *given : (struct msghdr){0};
    header->msg_controllen = inbound->queue.rules->headroom - sizeof(struct io_uring_recvmsg_out) -
                             header->msg_namelen;
    uint64_t owner = entry->user_data;
    unsigned flags = (unsigned)FastSocketCommon(socket)->receiveFlags |
                     (FastSocketHas(socket, FAST_TRAIT_TELLS_LENGTH) ? MSG_TRUNC : 0);
    io_uring_prep_recvmsg_multishot(entry, socket->handle, header, flags);
    entry->user_data = owner;
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = FastProviderGroup(FastSocketProvider(socket));
    inbound->receive.form = FAST_RECEIVE_MULTISHOT;
    return true;
}

static bool prepareBytes(struct FastSocket* socket)
{
    struct FastInbound* inbound = &socket->inbound;
    struct io_uring_sqe* entry = FastArmedReserve(socket->ring, &inbound->receive);
    if (entry == NULL)
        return false;
    uint64_t owner = entry->user_data;
    if (!inbound->discard && FastRingInboundIsFull(socket->ring)) {
        inbound->receive.form = FAST_RECEIVE_ONCE;
        io_uring_prep_recv(entry, socket->handle, NULL,
                           FastProviderLength(FastSocketProvider(socket)),
                           FastSocketCommon(socket)->receiveFlags);
    } else {
        inbound->receive.form = FAST_RECEIVE_MULTISHOT;
        io_uring_prep_recv_multishot(entry, socket->handle, NULL, 0,
                                     FastSocketCommon(socket)->receiveFlags);
        boundReceive(socket, entry);
    }
    entry->user_data = owner;
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = FastProviderGroup(FastSocketProvider(socket));
    return true;
}

bool FastKindPrepareReceive(struct FastSocket* socket)
{
    return socket->inbound.queue.rules->layout == FAST_INBOUND_MESSAGES ? prepareMessages(socket)
                                                                        : prepareBytes(socket);
}

/*
 * Completions come in order, so what the provider counts is what the kernel had then, and what was
 * put since: with none there, buffers lacked; with more than were put since the receive was
 * submitted, they did not. In between, the socket's state tells: messages that were dropped, or an
 * error that waits behind this one.
 */
static bool lostMessages(struct FastSocket* socket, bool (*hasDropped)(struct FastSocket* socket))
{
    const struct FastInbound* inbound = &socket->inbound;
    uint32_t available = FastSocketProvider(socket) != NULL
                             ? FastProviderAvailable(FastSocketProvider(socket))
                             : 0;
    if (!FastSocketHas(socket, FAST_TRAIT_OWN_SHORTAGE) || available == 0)
        return false;
    bool dropped = hasDropped != NULL && hasDropped(socket);
    if (available > FastProviderMark(FastSocketProvider(socket)) - inbound->receive.mark)
        return true;
    return FastSystemTakeError(socket->handle) != 0 || dropped;
}

struct FastAnswer FastKindReceiveError(struct FastSocket* socket, int error,
                                       bool (*hasDropped)(struct FastSocket* socket))
{
    switch (error) {
    case ENOBUFS:
        return FastAnswer(lostMessages(socket, hasDropped) ? FAST_VERDICT_FAIL
                                                           : FAST_VERDICT_NO_BUFFERS,
                          error);
    case EINTR:
        return FastAnswer(FAST_VERDICT_NOTHING, error);
    case EAGAIN:
    case ENOMEM: /* the kernel's own, for the request */
        return FastAnswer(FAST_VERDICT_BACKOFF, error);
    case ECANCELED:
        return FastAnswer(FAST_VERDICT_CANCELED, error);
    default:
        return FastAnswer(FAST_VERDICT_FAIL, error);
    }
}

/* ---- queueing ---- */

int FastKindCheckSend(const struct FastSocket* socket, const struct FastParts* parts, int flags,
                      int known, int named)
{
    if (FastSocketHasMode(socket, FASTSOCKET_MODE_FILE_IO)) {
        if (parts->controlLength > 0)
            return -EINVAL;
        known &= KIND_FILE_FLAGS; /* as if it were one: write(2) has neither flags nor addresses */
        named = -EINVAL;
    }
    if (flags & ~known)
        return -EINVAL;
    if (parts->nameLength > sizeof(struct sockaddr_storage) ||
        (parts->name == NULL && parts->nameLength > 0))
        return -EINVAL;
    if (parts->name != NULL && parts->nameLength > 0 &&
        (parts->nameLength < sizeof(sa_family_t) || named < 0))
        return parts->nameLength < sizeof(sa_family_t) ? -EINVAL : named;
    return parts->size > KIND_MAX_SIZE ? -EMSGSIZE : 0;
}

static size_t align(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

static int fillMessage(struct FastMessage* message, const struct FastParts* parts)
{
    struct FastItem* item = &message->item;
    uint8_t* place = item->data;
    if (parts->nameLength > 0) {
        message->name = memcpy(place, parts->name, parts->nameLength);
        message->nameLength = parts->nameLength;
    }
    place += align(parts->nameLength);
    if (parts->controlLength > 0) {
        message->control = memcpy(place, parts->control, parts->controlLength);
        message->controlLength = (uint32_t)parts->controlLength;
        int result = FastMessageOwnRights(message);
        if (result < 0)
            return result;
    }
    item->data = place + align(parts->controlLength);
    item->length = parts->size;
    if (parts->buffer == NULL)
        FastVectorCopy(item->data, parts->vector, 0, parts->size);
    else {
        item->data = parts->vector->iov_base;
        item->payload = parts->buffer;
    }
    return 0;
}

struct FastMessage* FastKindMakeMessage(struct FastSocket* socket, const struct FastParts* parts,
                                        int flags, size_t room, int* result)
{
    size_t needed = align(parts->nameLength) + align(parts->controlLength) +
                    (parts->buffer == NULL ? parts->size : 0);
    struct FastMessage* message = FastMessageMake(FastSocketPool(socket), FAST_ITEM_MESSAGE,
                                                  needed + room);
    *result = message != NULL ? 0 : -ENOMEM;
    if (message == NULL)
        return NULL;
    message->flight.socket = socket;
    message->item.flags = FastItemFlags(flags);
    message->item.room = (uint32_t)room;
    *result = fillMessage(message, parts);
    if (*result == 0)
        return message;
    FastItemFree(&message->item);
    return NULL;
}

int FastKindAppendMessage(struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    int result;
    struct FastMessage* message = FastKindMakeMessage(socket, parts, flags, 0, &result);
    if (message != NULL)
        FastOutboundAppend(&socket->outbound->queue, &message->item);
    return result;
}

/* ---- sending ---- */

/* A kernel of 64 bits turns control data of a program of 32 into its own, which is longer, and a
 * request that is tried again inside (6.18 at least) reads that length of the program's: -EINVAL,
 * for all that had to wait. So these are never made to wait there: they come back. */
static bool waitsOutside(const struct FastSend* send)
{
    return sizeof(void*) < sizeof(uint64_t) && send->header != NULL && send->controlLength > 0;
}

void FastKindPrepareSend(struct FastSocket* socket, struct io_uring_sqe* entry,
                         const struct FastSend* send)
{
    uint64_t owner = entry->user_data;
    uint64_t features = FastRingEngine(socket->ring)->features;
    int flags = (send->flags & ~MSG_ZEROCOPY) | MSG_NOSIGNAL;
    if (FastSocketHas(socket, FAST_TRAIT_WAITS_FOR_ALL))
        flags |= MSG_WAITALL;
    unsigned report = (features & FASTRING_FEATURE_ZERO_COPY_REPORT) != 0
                          ? FAST_URING_SEND_ZC_REPORT_USAGE
                          : 0;
    if (send->header != NULL && send->loan != NULL) {
        io_uring_prep_sendmsg_zc(entry, socket->handle, send->header, (unsigned)flags);
        entry->ioprio = (uint16_t)report;
    } else if (send->header != NULL)
        io_uring_prep_sendmsg(entry, socket->handle, send->header, (unsigned)flags);
    else if (send->loan != NULL)
        io_uring_prep_send_zc(entry, socket->handle, send->vector->iov_base, send->vector->iov_len,
                              flags, report);
    else
        io_uring_prep_send(entry, socket->handle, send->vector->iov_base, send->vector->iov_len,
                           flags);
    if (waitsOutside(send))
        entry->msg_flags |= MSG_DONTWAIT;
    else if (socket->outbound->room & FAST_ROOM_POLL_FIRST)
        entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
    entry->user_data = owner;
}

struct FastAnswer FastKindSendError(int error)
{
    switch (error) {
    case EAGAIN:
        return FastAnswer(FAST_VERDICT_ROOM, error);
    case EINTR:
    case ECANCELED: /* ours, or a link's */
        return FastAnswer(FAST_VERDICT_NOTHING, error);
    case ENOMEM:
    case ENOBUFS:
        return FastAnswer(FAST_VERDICT_BACKOFF, error);
    default:
        return FastAnswer(FAST_VERDICT_FAIL, error);
    }
}

/* ---- the end ---- */

/* A lingering close would block the ring's thread. */
static void makeCloseQuick(int handle)
{
    struct linger linger = {0};
    socklen_t length = sizeof(linger);
    if (FastSystemGetOption(handle, SOL_SOCKET, SO_LINGER, &linger, &length) < 0 ||
        !linger.l_onoff || linger.l_linger == 0)
        return;
    linger.l_onoff = 0;
    (void)FastSystemSetOption(handle, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* SCTP knows no disconnecting; an association ends by a message that says so. */
static void abortAssociation(int handle)
{
    union
    {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(struct sctp_sndrcvinfo))];
    } control = {.header = {.cmsg_level = IPPROTO_SCTP,
                            .cmsg_type = SCTP_SNDRCV,
                            .cmsg_len = CMSG_LEN(sizeof(struct sctp_sndrcvinfo))}};
    const struct sctp_sndrcvinfo information = {.sinfo_flags = SCTP_ABORT};
    const struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof(control)};
    memcpy(CMSG_DATA(&control.header), &information, sizeof(information));
    (void)FastSystemSend(handle, &message, 0);
}

/* Each side has told the other that nothing more comes from it. */
static bool isOver(const struct FastSocket* socket)
{
    return socket->shutdown == FAST_SHUTDOWN_DONE && socket->inbound.end == FAST_INPUT_ENDED &&
           !FastSocketHasFailed(socket);
}

/* For everyone: a forked child may have the descriptor too, and close() alone says nothing then. */
void FastKindEnd(struct FastSocket* socket, bool reset)
{
    if (reset && socket->traits & (FAST_TRAIT_TCP | FAST_TRAIT_MPTCP))
        FastSystemDisconnect(socket->handle);
    else if (reset && FastSocketHas(socket, FAST_TRAIT_SCTP))
        abortAssociation(socket->handle);
    else {
        if (!isOver(socket))
            FastSystemShutdown(socket->handle, SHUT_RDWR); /* others know no reset */
        makeCloseQuick(socket->handle);
    }
}
