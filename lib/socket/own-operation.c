/*
 * The user's own operations in the order of a socket's sends: TransmitFastSocketDescriptor.
 *
 * Good path: the descriptor is taken from its user, its entry is read into an item, and the item is
 * queued like any other. A send becomes a message of the queue, whose short counts, flags and zero copy
 * are then as for everything else; an operation that is no send becomes a barrier, which runs alone
 * and whose completion goes to the descriptor's own function.
 *
 * Failures: descriptor and buffer are consumed with the errno told, but for a descriptor that is not
 * ours to free: a foreign ring's, a foreign thread's, or one in flight.
 */
#include "service/operation.h"
#include "socket/item.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static bool sendsFromBuffer(const struct FastSocket* socket, uint8_t opcode)
{
    switch (opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG_ZC:
        return !socket->file;
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
    case IORING_OP_WRITE_FIXED:
    case IORING_OP_SPLICE:
        return true;
    default:
        return false;
    }
}

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
static int copyEntryVector(struct FastItem* item, const struct iovec* vector, size_t count)
{
    if (count > IOV_MAX || (vector == NULL && count > 0))
        return -EINVAL;
    item->vector = malloc((count > 0 ? count : 1) * sizeof(*vector));
    if (item->vector == NULL)
        return -ENOMEM;
    if (count > 0)
        memcpy(item->vector, vector, count * sizeof(*vector));
    item->vectorCount = (uint32_t)count;
    for (size_t index = 0; index < count; index++) {
        if (vector[index].iov_len > SIZE_MAX - item->length)
            return -EMSGSIZE;
        item->length += vector[index].iov_len;
    }
    return 0;
}

/*
 * The user's send as an item. On a socket every kind of write becomes a send: a write would raise
 * SIGPIPE, and short counts, flags and zero copy are then as for everything else.
 */
static int readEntry(struct FastItem* item, const struct io_uring_sqe* entry)
{
    bool sends = entry->opcode == IORING_OP_SEND || entry->opcode == IORING_OP_SEND_ZC;
    const struct msghdr* message = (const struct msghdr*)(uintptr_t)entry->addr;
    if (entry->opcode == IORING_OP_SEND_ZC || entry->opcode == IORING_OP_SENDMSG_ZC)
        item->flags |= MSG_ZEROCOPY;
    switch (entry->opcode) {
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
        item->flags |= FastItemFlags(entryFlags(entry));
        if (message == NULL)
            return -EINVAL;
        item->name = message->msg_name;
        item->nameLength = message->msg_name != NULL ? message->msg_namelen : 0;
        item->control = message->msg_control;
        item->controlLength = (uint32_t)message->msg_controllen;
        return copyEntryVector(item, message->msg_iov, message->msg_iovlen);
    case IORING_OP_WRITEV:
        item->position = entry->off;
        item->writeFlags = entry->rw_flags;
        return copyEntryVector(item, (const struct iovec*)(uintptr_t)entry->addr, entry->len);
    default:
        if (sends) {
            item->flags |= FastItemFlags(entryFlags(entry));
            item->name = (struct sockaddr*)(uintptr_t)entry->addr2;
            item->nameLength = item->name != NULL ? entry->addr_len : 0;
        } else {
            item->position = entry->off;
            item->writeFlags = entry->rw_flags;
        }
        item->data = (uint8_t*)(uintptr_t)entry->addr;
        item->length = entry->len;
        return 0;
    }
}

static int checkEntry(const struct FastSocket* socket, const struct io_uring_sqe* entry, bool buffer)
{
    if (entry->opcode != IORING_OP_NOP && entry->fd != socket->handle)
        return -EINVAL;
    if (entry->flags & (IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE))
        return -EINVAL;
    bool allowed = buffer ? sendsFromBuffer(socket, entry->opcode) : needsNoBuffer(entry);
    return allowed ? 0 : -EINVAL;
}

static int appendDescriptor(struct FastSocket* socket, struct FastRingDescriptor* descriptor,
                            struct FastBuffer* buffer)
{
    const struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    int result = checkEntry(socket, entry, buffer != NULL);
    if (result == 0)
        result = FastSocketCheckTransmit(socket, NULL, 0, 0, 0);
    if (result < 0)
        return result;
    uint8_t kind = buffer == NULL                      ? ITEM_BARRIER
                   : entry->opcode == IORING_OP_SPLICE ? ITEM_SPLICE
                                                       : ITEM_MESSAGE;
    struct FastItem* item = FastItemMake(socket, kind, 0);
    if (item == NULL)
        return -ENOMEM;
    item->room = 0;
    if (kind == ITEM_SPLICE)
        item->length = entry->len;
    else if (kind == ITEM_MESSAGE)
        result = readEntry(item, entry);
    if (result == 0 && kind != ITEM_BARRIER)
        result = FastSocketCheckTransmit(socket, item->name, item->nameLength, item->length,
                                         entryFlags(entry));
    if (result < 0) {
        FastItemFree(item);
        return result;
    }
    item->descriptor = descriptor;
    if (buffer != NULL)
        item->payload = buffer;
    FastItemAppend(socket, item);
    return 0;
}

int TransmitFastSocketDescriptor(struct FastSocket* socket, struct FastRingDescriptor* descriptor,
                                 struct FastBuffer* buffer)
{
    int result = FastSocketCheckState(socket);
    if (result == -EINVAL || result == -EPERM) {
        /* Without a socket we can't tell whose descriptor it is: only a foreign thread's is spared. */
        if (result == -EINVAL && descriptor != NULL)
            ReleaseFastRingDescriptor(descriptor);
        ReleaseFastBuffer(buffer);
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
    ReleaseFastBuffer(buffer);
    return result;
}
