/*
 * The outbound queue into the kernel.
 *
 * Good path, streams: one send is in flight, gathered from the head of the queue, with MSG_WAITALL, so
 * that the kernel goes on by itself as room comes; two sends at once would mix their bytes when the
 * first one blocks. Messages: each is an operation of its own, a burst is a chain of links, which keeps
 * the order; a message that fails cancels those behind it, and they are sent anew. The next send starts
 * when the kernel has accepted the last one, also with zero copy (socket-zero-copy.c).
 *
 * Failures: socket-result.c.
 */
#include "service/operation.h"
#include "socket/item.h"
#include "engine/uring-compat.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

enum
{
    SEND_MOST_BYTES = 1 << 20, /* of one operation */
    SEND_MOST_VECTOR = 1024,   /* the kernel's limit */
    SEND_CHAIN = 64,           /* messages in flight at once */
    SEND_THRESHOLD = 16 << 10,
};

/* ---- preparing ---- */

/* Name, control data and vector of one operation. */
struct parts
{
    struct iovec* vector;
    size_t count;
    size_t size;
    int flags;
    const struct FastItem* item; /* with name and control data, or NULL */
};

static bool needsHeader(const struct parts* parts)
{
    return parts->count != 1 ||
           (parts->item != NULL && (parts->item->nameLength > 0 || parts->item->controlLength > 0));
}

static struct msghdr* makeHeader(struct FastSocket* socket, const struct parts* parts)
{
    struct msghdr* header = FastRingScratch(socket->ring, sizeof(*header));
    if (header == NULL)
        return NULL;
    *header = (struct msghdr){.msg_iov = parts->vector, .msg_iovlen = parts->count};
    if (parts->item != NULL && parts->item->nameLength > 0) {
        header->msg_name = parts->item->name;
        header->msg_namelen = parts->item->nameLength;
    }
    if (parts->item != NULL && parts->item->controlLength > 0) {
        header->msg_control = parts->item->control;
        header->msg_controllen = parts->item->controlLength;
    }
    return header;
}

/* Fills a reserved entry with a send, or a file's write, of parts. */
static void fillEntry(struct FastSocket* socket, struct io_uring_sqe* entry, const struct parts* parts,
                      struct msghdr* header, bool zeroCopy)
{
    FastSocketHold(socket);
    socket->outbound.flying++;
    socket->outbound.unmoved = false;
    if (socket->file) {
        FastSocketPrepareWrite(socket, entry, parts->vector, parts->count,
                               parts->item != NULL ? parts->item->position : UINT64_MAX,
                               parts->item != NULL ? parts->item->writeFlags : 0);
        return;
    }
    uint64_t owner = entry->user_data;
    int flags = (parts->flags & ~MSG_ZEROCOPY) | MSG_NOSIGNAL;
    if (socket->waitsForAll)
        flags |= MSG_WAITALL;
    if (FastSocketWaitsForPeer(socket))
        flags |= MSG_DONTWAIT;
    unsigned report = (FastRingEngine(socket->ring)->features & FASTRING_FEATURE_ZERO_COPY_REPORT)
                          ? FAST_URING_SEND_ZC_REPORT_USAGE
                          : 0;
    if (header != NULL && zeroCopy) {
        io_uring_prep_sendmsg_zc(entry, socket->handle, header, (unsigned)flags);
        entry->ioprio = (uint16_t)report;
    } else if (header != NULL)
        io_uring_prep_sendmsg(entry, socket->handle, header, (unsigned)flags);
    else if (zeroCopy)
        io_uring_prep_send_zc(entry, socket->handle, parts->vector->iov_base, parts->vector->iov_len,
                              flags, report);
    else
        io_uring_prep_send(entry, socket->handle, parts->vector->iov_base, parts->vector->iov_len, flags);
    if (socket->outbound.pollFirst && !FastSocketWaitsForPeer(socket))
        entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
    entry->user_data = owner;
    if (zeroCopy)
        socket->usedZeroCopy = true;
}

/* ---- streams ---- */

/* Items from the head that go out together. */
static size_t countGather(const struct FastSocket* socket)
{
    const struct FastSocketOutbound* outbound = &socket->outbound;
    size_t count = 0;
    size_t bytes = 0;
    uint32_t messages = 0;
    for (const struct FastItem* item = outbound->first; item != NULL; item = item->next) {
        if (item->kind != ITEM_BYTES || count == SEND_MOST_VECTOR || bytes >= SEND_MOST_BYTES)
            break;
        if (count > 0 && (item->flags & ITEM_KIND_FLAGS) != (outbound->first->flags & ITEM_KIND_FLAGS))
            break;
        if (count > 0 && item->flags & (MSG_OOB | MSG_EOR))
            break;
        /* A long message's first pieces count nothing: the last does. */
        if (outbound->most > 0 && count > 0 &&
            (messages >= outbound->most || messages + item->messages > outbound->most))
            break;
        messages += item->messages;
        bytes += item->length;
        count++;
    }
    return count;
}

/* Points the vector to the items; the operation's bytes have a bound, whatever the last item holds. */
static void gather(const struct FastSocket* socket, struct parts* parts)
{
    const struct FastItem* item = socket->outbound.first;
    const struct FastItem* last = item;
    assert(parts->count > 0);
    for (size_t index = 0; index < parts->count; index++, item = item->next) {
        size_t left = SEND_MOST_BYTES - parts->size;
        size_t length = item->length < left ? item->length : left;
        parts->vector[index] = (struct iovec){.iov_base = item->data, .iov_len = length};
        parts->size += length;
        last = item;
    }
    bool more = last->next != NULL || parts->vector[parts->count - 1].iov_len < last->length;
    bool bytesFollow = more && (last->next == NULL || last->next->kind <= ITEM_MESSAGE);
    parts->flags = last->flags;
    if (more && !bytesFollow)
        parts->flags &= ~MSG_MORE; /* what follows may take its time */
    if (bytesFollow && socket->tcp && socket->mode & FASTSOCKET_MODE_AUTO_CORK)
        parts->flags |= MSG_MORE;
}

/* A stream's one operation, by a batch of its own if it is zero copy. */
static bool submitStream(struct FastSocket* socket, const struct parts* parts, const struct FastItem* items)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    struct msghdr* header = NULL;
    if (FastRingRoom(socket->ring) < (socket->file ? SOCKET_TRAILED : 1))
        return false;
    if (needsHeader(parts) && !socket->file) {
        header = makeHeader(socket, parts);
        if (header == NULL)
            return false;
    }
    struct FastOperation* batch = NULL;
    if (FastZeroCopyIsChosen(socket, parts->size, parts->flags, header != NULL))
        batch = FastZeroCopyBegin(socket, NULL, items,
                                  items->kind == ITEM_BYTES ? (uint32_t)parts->count : 1);
    outbound->current = batch != NULL ? batch : &outbound->operation;
    outbound->requested = parts->size;
    struct io_uring_sqe* entry = FastRingReserve(socket->ring, outbound->current);
    fillEntry(socket, entry, parts, header, batch != NULL);
    return true;
}

static bool sendBytes(struct FastSocket* socket)
{
    struct iovec single;
    struct parts parts = {.vector = &single, .count = countGather(socket)};
    if (parts.count > 1)
        parts.vector = FastRingScratch(socket->ring, parts.count * sizeof(*parts.vector));
    if (parts.vector == NULL)
        return false;
    gather(socket, &parts);
    return submitStream(socket, &parts, socket->outbound.first);
}

/* ---- messages ---- */

static bool itemParts(struct FastSocket* socket, struct FastItem* item, struct parts* parts)
{
    size_t count = item->vector != NULL ? item->vectorCount - item->vectorFirst : 1;
    *parts = (struct parts){
        .vector = FastRingScratch(socket->ring, (count > 0 ? count : 1) * sizeof(struct iovec)),
        .count = count,
        .size = item->length,
        .flags = item->flags,
        .item = item,
    };
    if (parts->vector == NULL)
        return false;
    if (item->vector == NULL)
        *parts->vector = (struct iovec){.iov_base = item->data, .iov_len = item->length};
    else
        memcpy(parts->vector, item->vector + item->vectorFirst, count * sizeof(struct iovec));
    return true;
}

static bool sendStreamMessage(struct FastSocket* socket)
{
    struct FastItem* item = socket->outbound.first;
    struct parts parts;
    return itemParts(socket, item, &parts) && submitStream(socket, &parts, item);
}

/* One message of a chain. NULL: no room; the chain ends before it. */
static struct io_uring_sqe* prepareMessage(struct FastSocket* socket, struct FastItem* item, bool alone,
                                           bool* zeroCopy)
{
    struct parts parts;
    struct msghdr* header = NULL;
    *zeroCopy = false;
    if (FastRingRoom(socket->ring) == 0 || !itemParts(socket, item, &parts))
        return NULL;
    if (needsHeader(&parts)) {
        header = makeHeader(socket, &parts);
        if (header == NULL)
            return NULL;
    }
    struct FastOperation* batch = NULL;
    if (alone && FastZeroCopyIsChosen(socket, parts.size, parts.flags, header != NULL))
        batch = FastZeroCopyBegin(socket, item, item, 1);
    if (item->doubt != 0)
        FastSocketClearErrors(socket);
    item->operation.function = FastItemSent;
    item->flying = true;
    *zeroCopy = batch != NULL;
    socket->outbound.current = batch;
    struct io_uring_sqe* entry = FastRingReserve(socket->ring, batch != NULL ? batch : &item->operation);
    fillEntry(socket, entry, &parts, header, batch != NULL);
    return entry;
}

/* A chain of messages. Each starts when the one before was sent. A failure cancels those behind it, which
 * are then sent anew: in order, whether or not the one that failed is tried again. */
static bool sendMessages(struct FastSocket* socket)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    uint32_t most = outbound->burst;
    if (outbound->most > 0 && outbound->most < most)
        most = outbound->most;
    outbound->burst = most * 2 < SEND_CHAIN ? most * 2 : SEND_CHAIN;
    struct io_uring_sqe* last = NULL;
    bool zeroCopy = false;
    for (struct FastItem* item = outbound->first;
         item != NULL && item->kind == ITEM_MESSAGE && outbound->flying < most && !zeroCopy;
         item = item->next) {
        if (item->done)
            continue;
        struct io_uring_sqe* entry = prepareMessage(socket, item, last == NULL, &zeroCopy);
        if (entry == NULL)
            break;
        if (last != NULL)
            last->flags |= IOSQE_IO_LINK;
        last = entry;
    }
    return last != NULL;
}

/* ---- the user's own operations ---- */

static bool submitOwn(struct FastSocket* socket, struct FastItem* item)
{
    if (FastRingRoom(socket->ring) < SOCKET_TRAILED)
        return false;
    if (item->doubt != 0)
        FastSocketClearErrors(socket);
    struct io_uring_sqe* entry = FastRingReserve(socket->ring, &item->operation);
    uint64_t owner = entry->user_data;
    bool splices = item->kind == ITEM_SPLICE;
    *entry = *GetFastRingDescriptorSubmission(item->descriptor);
    entry->user_data = owner;
    entry->flags &= (uint8_t) ~(IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_IO_DRAIN |
                                IOSQE_CQE_SKIP_SUCCESS);
    if (splices)
        entry->len = (uint32_t)item->length;
    item->operation.function = splices ? FastItemSpliced : FastItemPassed;
    item->flying = true;
    socket->outbound.flying++;
    socket->outbound.unmoved = false;
    FastSocketHold(socket);
    FastSocketTrail(socket, entry); /* splices, and some others, are a thread's on sockets too */
    return true;
}

/* ---- the step ---- */

static bool sendFirst(struct FastSocket* socket)
{
    struct FastItem* item = socket->outbound.first;
    switch (item->kind) {
    case ITEM_BYTES:
        return sendBytes(socket);
    case ITEM_MESSAGE:
        return socket->kind == SOCKET_STREAM ? sendStreamMessage(socket) : sendMessages(socket);
    default:
        return submitOwn(socket, item);
    }
}

/* What is in flight of this socket, if anything. */
static const struct FastOperation* flyingOperation(const struct FastSocket* socket)
{
    if (socket->outbound.current != NULL)
        return socket->outbound.current;
    for (const struct FastItem* item = socket->outbound.first; item != NULL; item = item->next)
        if (item->flying)
            return &item->operation;
    return NULL;
}

static void onSendCancel(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastSocket* socket = FAST_CONTAINER(operation, struct FastSocket, outbound.cancel);
    socket->outbound.canceling = false;
    socket->outbound.unmoved = FastSocketCancelRests(socket, completion);
    FastSocketDefer(socket);
    FastSocketDrop(socket);
}

/* A cancellation that found nothing yet (the target was on its way) is made again by the next step. */
static bool stepCancel(struct FastSocket* socket)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    const struct FastOperation* target = flyingOperation(socket);
    if (target == NULL || outbound->canceling || outbound->unmoved)
        return true;
    if (socket->stage < SOCKET_CANCELING && !outbound->cancelWanted)
        return true;
    outbound->cancelWanted = false;
    return FastSocketPrepareCancel(socket, &outbound->cancel, target, &outbound->canceling);
}

bool FastSocketStepSend(struct FastSocket* socket)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    if (socket->shell)
        return true;
    if (outbound->flying > 0)
        return stepCancel(socket);
    /* A cancellation in flight must not hit what we would send now. */
    if (outbound->holding || outbound->blocked || outbound->canceling || socket->connecting || socket->failed ||
        socket->stage >= SOCKET_CANCELING)
        return true;
    while (outbound->first != NULL && outbound->first->kind == ITEM_MARKER)
        FastSocketPopItem(socket);
    if (outbound->first != NULL && outbound->first->kind <= ITEM_MESSAGE && FastSocketPollsFirst(socket)) {
        outbound->blocked = true;
        FastSocketDefer(socket);
        return true;
    }
    if (outbound->first != NULL)
        return sendFirst(socket);
    FastSocketEndOutput(socket);
    return true;
}

void FastSocketInitializeSend(struct FastSocket* socket)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    outbound->operation.function = FastSocketSent;
    outbound->cancel.function = onSendCancel;
    outbound->retry.function = FastSocketRetry;
    outbound->threshold = SEND_THRESHOLD;
    outbound->burst = SEND_CHAIN;
}
