/*
 * The user's own operations in the order of a socket's sends: TransmitFastSocketDescriptor.
 *
 * Good path: the descriptor is taken from its user, its entry is read into an item, and the item is
 * queued like any other. A stream's bytes are then gathered with those before and behind them; any
 * other send becomes a message of the queue; short counts, flags and zero copy are as for
 * everything else. An operation that is no send becomes a barrier, which runs alone and whose
 * completion goes to the descriptor's own function.
 *
 * Failures: descriptor and buffer are consumed, and the errno is returned, but for a descriptor
 * that is not ours to free: a foreign ring's, a foreign thread's, or one in flight.
 */
#include "base/trace.h"
#include "service/operation.h"
#include "socket/system.h"
#include "socket/transmit.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static bool needsNoBuffer(const struct io_uring_sqe* entry)
{
    switch (entry->opcode) {
    case IORING_OP_POLL_ADD:
        return entry->len == 0; /* one shot: a barrier must come to an end */
    case IORING_OP_URING_CMD:
    case IORING_OP_NOP:
    case IORING_OP_SHUTDOWN:
        return true;
    default:
        return false;
    }
}

/* The flags of a send; other operations have something else in their place. */
static int entryFlags(const struct io_uring_sqe* entry)
{
    bool sends = entry->opcode == IORING_OP_SEND || entry->opcode == IORING_OP_SEND_ZC ||
                 entry->opcode == IORING_OP_SENDMSG || entry->opcode == IORING_OP_SENDMSG_ZC;
    return sends ? (int)entry->msg_flags : 0;
}

/* Our own copy of the vector, which short counts advance. */
static int copyEntryVector(struct FastMessage* message, const struct iovec* vector, size_t count)
{
    if (count > IOV_MAX || (vector == NULL && count > 0))
        return -EINVAL;
    message->vector = malloc((count > 0 ? count : 1) * sizeof(*vector));
    if (message->vector == NULL)
        return -ENOMEM;
    if (count > 0)
        memcpy(message->vector, vector, count * sizeof(*vector));
    message->vectorCount = (uint32_t)count;
    for (size_t index = 0; index < count; index++) {
        if (vector[index].iov_len > SIZE_MAX - message->item.length)
            return -EMSGSIZE;
        message->item.length += vector[index].iov_len;
    }
    return 0;
}

/*
 * The user's send as an item. On a socket every kind of write becomes a send: a write would raise
 * SIGPIPE, and short counts, flags and zero copy are then as for everything else.
 */
static int readEntry(struct FastMessage* message, const struct io_uring_sqe* entry)
{
    struct FastItem* item = &message->item;
    const struct msghdr* header = (const struct msghdr*)(uintptr_t)entry->addr;
    if (entry->opcode == IORING_OP_SEND_ZC || entry->opcode == IORING_OP_SENDMSG_ZC)
        item->flags |= MSG_ZEROCOPY;
    item->flags |= FastItemFlags(entryFlags(entry));
    switch (entry->opcode) {
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
        if (header == NULL)
            return -EINVAL;
        message->name = header->msg_name;
        message->nameLength = header->msg_name != NULL ? header->msg_namelen : 0;
        message->control = header->msg_control;
        message->controlLength = (uint32_t)header->msg_controllen;
        return copyEntryVector(message, header->msg_iov, header->msg_iovlen);
    case IORING_OP_WRITEV:
        message->position = entry->off;
        message->writeFlags = entry->rw_flags;
        return copyEntryVector(message, (const struct iovec*)(uintptr_t)entry->addr, entry->len);
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
        message->name = (struct sockaddr*)(uintptr_t)entry->addr2;
        message->nameLength = message->name != NULL ? entry->addr_len : 0;
        break;
    default:
        message->position = entry->off;
        message->writeFlags = entry->rw_flags;
        break;
    }
    item->data = (uint8_t*)(uintptr_t)entry->addr;
    item->length = entry->len;
    return 0;
}

static int checkEntry(const struct FastSocket* socket, const struct io_uring_sqe* entry,
                      bool buffer)
{
    if (entry->opcode != IORING_OP_NOP && (socket->handle < 0 || entry->fd != socket->handle))
        return -EINVAL;
    if (entry->flags & (IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE))
        return -EINVAL;
    bool sends = entry->opcode < 64 &&
                 FastSocketKind(socket)->ownSends & FAST_OPCODE(entry->opcode);
    bool allowed = buffer ? sends : needsNoBuffer(entry);
    return allowed ? 0 : -EINVAL;
}

static uint8_t kindOf(const struct io_uring_sqe* entry, const struct FastBuffer* buffer)
{
    if (buffer == NULL)
        return FAST_ITEM_BARRIER;
    return entry->opcode == IORING_OP_SPLICE ? FAST_ITEM_SPLICE : FAST_ITEM_MESSAGE;
}

/* Fills a message with what the entry says, and checks that. */
static int fill(const struct FastSocket* socket, struct FastMessage* message,
                const struct io_uring_sqe* entry)
{
    int result = 0;
    if (message->item.kind == FAST_ITEM_BARRIER)
        return 0;
    if (message->item.kind == FAST_ITEM_SPLICE)
        message->item.length = entry->len;
    else
        result = readEntry(message, entry);
    const struct FastParts parts = {
        .name = message->name,
        .nameLength = message->nameLength,
        .size = message->item.length,
    };
    return result < 0 ? result : FastTransmitCheck(socket, &parts, entryFlags(entry));
}

/* Whether it is nothing but bytes. What is wrong with it is told by the longer way. */
static bool isBytes(const struct FastSocket* socket, const struct io_uring_sqe* entry)
{
    bool writes = entry->opcode == IORING_OP_WRITE || entry->opcode == IORING_OP_WRITE_FIXED;
    return FastSocketKind(socket)->ownBytes & FAST_OPCODE(entry->opcode) && entry->addr != 0 &&
           entry->len > 0 && (writes || entry->addr2 == 0);
}

static int appendBytes(struct FastSocket* socket, const struct io_uring_sqe* entry,
                       struct FastBuffer* buffer)
{
    const struct iovec vector = {
        .iov_base = (void*)(uintptr_t)entry->addr,
        .iov_len = entry->len,
    };
    const struct FastParts parts = {.vector = &vector, .size = entry->len, .buffer = buffer};
    int flags = entryFlags(entry);
    int result = FastTransmitCheck(socket, &parts, flags);
    if (entry->opcode == IORING_OP_SEND_ZC)
        flags |= MSG_ZEROCOPY;
    return result < 0 ? result : FastSocketKind(socket)->append(socket, &parts, flags);
}

static int appendMessage(struct FastSocket* socket, struct FastRingDescriptor* descriptor,
                         const struct io_uring_sqe* entry, struct FastBuffer* buffer)
{
    struct FastMessage* message = FastMessageMake(FastSocketPool(socket), kindOf(entry, buffer), 0);
    if (message == NULL)
        return -ENOMEM;
    message->flight.socket = socket;
    int result = fill(socket, message, entry);
    if (result < 0) {
        FastItemFree(&message->item);
        return result;
    }
    message->descriptor = descriptor;
    if (buffer != NULL)
        message->item.payload = buffer;
    FastOutboundAppend(&socket->outbound->queue, &message->item);
    return 0;
}

/* Few bytes, without flags, are copied wherever they may be sent: as TransmitFastSocketBuffer has
 * it, if nothing refuses them. */
static bool copyBytes(struct FastSocket* socket, const struct io_uring_sqe* entry)
{
    return entry->len < FAST_OUTBOUND_MIN_GATHER && entry->opcode != IORING_OP_SEND_ZC &&
           !(entryFlags(entry) & ~MSG_NOSIGNAL) && isBytes(socket, entry) &&
           FastTransmitBytes(socket, (const void*)(uintptr_t)entry->addr, entry->len);
}

static int appendDescriptor(struct FastSocket* socket, struct FastRingDescriptor* descriptor,
                            struct FastBuffer* buffer)
{
    const struct FastParts nothing = {.size = 0};
    const struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    int result = checkEntry(socket, entry, buffer != NULL);
    if (result == 0 && buffer != NULL && copyBytes(socket, entry)) {
        FastPoolRelease(FastSocketInboundPool(socket), buffer);
        FastDescriptorDiscard(descriptor);
        return 0;
    }
    if (result == 0)
        result = FastTransmitCheck(socket, &nothing, 0);
    if (result == 0)
        result = FastSocketMakeOutbound(socket);
    if (result < 0)
        return result;
    bool bytes = buffer != NULL && isBytes(socket, entry);
    result = bytes ? appendBytes(socket, entry, buffer)
                   : appendMessage(socket, descriptor, entry, buffer);
    if (result < 0)
        return result;
    if (FastTraceRuns())
        FastTraceTransmit(socket, socket->handle, entry->len, 0);
    if (bytes)
        FastDescriptorDiscard(descriptor);
    FastTransmitNote(socket);
    return 0;
}

int TransmitFastSocketDescriptor(struct FastSocket* socket, struct FastRingDescriptor* descriptor,
                                 struct FastBuffer* buffer)
{
    int result = FastTransmitCheckState(socket);
    if (result == -EINVAL || result == -EPERM) {
        /* Without a socket we can't tell whose descriptor it is: only a foreign thread's is
         * spared. */
        if (result == -EINVAL && descriptor != NULL)
            ReleaseFastRingDescriptor(descriptor);
        FastBufferDrop(buffer);
        return result;
    }
    if (descriptor == NULL)
        result = -EINVAL;
    else {
        result = FastDescriptorTake(descriptor, socket->ring);
        if (result == 0) {
            result = appendDescriptor(socket, descriptor, buffer);
            if (result == 0)
                return 0;
            FastDescriptorDiscard(descriptor);
        }
    }
    FastBufferDrop(buffer);
    return result;
}
