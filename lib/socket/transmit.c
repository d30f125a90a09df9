/*
 * The outbound queue of a socket: what the Transmit functions do.
 *
 * Good path: bytes for a stream are copied behind those that were queued last, into the same buffer as
 * long as it has room, so that a burst of small messages becomes one piece of memory. Handed-over
 * buffers of some size are queued as they are. Messages (datagrams, records, bytes with control data)
 * are items of their own. Every item lies in a pool buffer, so a warm pool means no allocation. The
 * step sends what is queued (socket-send.c) when the turn comes.
 *
 * Failures: told by the return value, with nothing queued and nothing half copied: all memory is had
 * before the first byte is appended. Ownership passes in every case where the header says so.
 */
#include "socket/item.h"

#include "service/operation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
    QUEUE_MOST = 1 << 30,            /* bytes in one call */
    QUEUE_LEAST_PIECE = 4096,        /* memory of a copy, small bursts */
    QUEUE_LARGEST_SHARED = 64 << 10, /* … and large ones */
    QUEUE_LARGEST_PIECE = 256 << 10, /* a long message is cut, so that its memory returns as it is sent */
    QUEUE_COPY = 4096,               /* handed-over buffers below are copied: cheaper than a gather */
    QUEUE_CLASS_SLACK = 64,          /* pools have classes of powers of two and this much more */
    QUEUE_MOST_CONTROL = 65536,
    QUEUE_LOCAL_CHECK = 2 << 10, /* AF_UNIX messages from here on are compared with SO_SNDBUF */
    QUEUE_LOCAL_OVERHEAD = 32,
};

#define QUEUE_SEND_FLAGS                                                                        \
    (MSG_MORE | MSG_EOR | MSG_OOB | MSG_CONFIRM | MSG_DONTROUTE | MSG_ZEROCOPY | MSG_NOSIGNAL | \
     MSG_WAITALL | MSG_DONTWAIT)

#define QUEUE_FILE_FLAGS (MSG_MORE | MSG_NOSIGNAL)

/* ---- items ---- */

void FastItemAdvance(struct FastItem* item, size_t count)
{
    item->length -= count;
    if (item->position != UINT64_MAX)
        item->position += count;
    if (item->vector == NULL) {
        item->data += count;
        return;
    }
    while (item->vectorFirst < item->vectorCount) {
        struct iovec* part = &item->vector[item->vectorFirst];
        size_t taken = part->iov_len < count ? part->iov_len : count;
        part->iov_base = (uint8_t*)part->iov_base + taken;
        part->iov_len -= taken;
        count -= taken;
        if (part->iov_len > 0)
            break;
        item->vectorFirst++;
    }
}

void FastItemFree(struct FastItem* item)
{
    struct FastBuffer* home = item->home;
    struct FastBuffer* payload = item->payload;
    FastItemCloseRights(item);
    free(item->vector);
    if (item->descriptor != NULL)
        FastDescriptorDiscard(item->descriptor);
    if (payload != home)
        ReleaseFastBuffer(payload);
    ReleaseFastBuffer(home);
}

/* An item in a buffer of its own with room for size bytes behind it. */
struct FastItem* FastItemMake(struct FastSocket* socket, uint8_t kind, size_t size)
{
    struct FastBufferPool* pool = socket->outbound.pool;
    if (pool == NULL)
        pool = socket->inbound.pool; /* handed-over buffers and descriptors need no outbound pool */
    struct FastBuffer* home = AllocateFastBuffer(pool, sizeof(struct FastItem) + size, 0);
    if (home == NULL)
        return NULL;
    struct FastItem* item = (struct FastItem*)GetFastBufferData(home);
    *item = (struct FastItem){
        .home = home,
        .payload = home,
        .data = (uint8_t*)(item + 1),
        .room = size,
        .kind = kind,
        .socket = socket,
        .messages = 1,
        .position = UINT64_MAX,
    };
    return item;
}

void FastItemAppend(struct FastSocket* socket, struct FastItem* item)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    if (outbound->last != NULL)
        outbound->last->next = item;
    else
        outbound->first = item;
    outbound->last = item;
    outbound->length += item->length;
    FastSocketCountPending(socket);
    FastSocketDefer(socket);
}

void FastSocketPopItem(struct FastSocket* socket)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    struct FastItem* item = outbound->first;
    outbound->first = item->next;
    if (outbound->first == NULL) {
        outbound->last = NULL;
        outbound->news = true;
        FastSocketNotify(socket);
    }
    outbound->length -= item->length;
    FastItemFree(item);
    FastSocketCountPending(socket);
}

void FastSocketConsume(struct FastSocket* socket, size_t size)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    socket->statistics.sentBytes += size;
    while (size > 0) {
        struct FastItem* item = outbound->first;
        size_t count = item->length < size ? item->length : size;
        FastItemAdvance(item, count);
        outbound->length -= count;
        size -= count;
        if (item->length == 0)
            FastSocketPopItem(socket);
    }
}

/* A barrier's user waits for a completion, and gets one: but not from inside the caller's call. */
static void dropItem(struct FastSocket* socket, struct FastItem* item)
{
    socket->statistics.droppedBytes += item->length;
    socket->outbound.length -= item->length;
    if (item->kind == ITEM_BARRIER) {
        item->next = socket->outbound.canceled;
        socket->outbound.canceled = item;
        FastSocketNotify(socket);
        return;
    }
    FastItemFree(item);
}

void FastSocketDropOutput(struct FastSocket* socket)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    struct FastItem* item = outbound->first;
    /* A stream's one send in flight reads from the items at the head: they stay until it is over,
     * which calls this again. */
    if (socket->kind == SOCKET_STREAM && outbound->flying > 0)
        return;
    outbound->first = NULL;
    outbound->last = NULL;
    while (item != NULL) {
        struct FastItem* next = item->next;
        item->next = NULL;
        if (item->flying) {
            if (outbound->last != NULL)
                outbound->last->next = item;
            else
                outbound->first = item;
            outbound->last = item;
        } else
            dropItem(socket, item);
        item = next;
    }
    FastSocketCountPending(socket);
}

/* leak: the kernel may still read what is in flight. */
void FastSocketDropItems(struct FastSocket* socket, bool leak)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    struct FastItem* item = outbound->first;
    if (leak)
        FastSocketLeakBatches(socket);
    while (item != NULL) {
        struct FastItem* next = item->next;
        socket->statistics.droppedBytes += item->length;
        if (leak && outbound->flying > 0)
            FastRingLeak(item->home);
        else
            FastItemFree(item);
        item = next;
    }
    outbound->first = NULL;
    outbound->last = NULL;
    outbound->length = 0;
    while (outbound->canceled != NULL) {
        item = outbound->canceled;
        outbound->canceled = item->next;
        FastItemFree(item);
    }
}

void FastSocketFinishCanceled(struct FastSocket* socket)
{
    while (socket->outbound.canceled != NULL) {
        struct FastItem* item = socket->outbound.canceled;
        struct FastRingDescriptor* descriptor = item->descriptor;
        socket->outbound.canceled = item->next;
        item->descriptor = NULL;
        FastItemFree(item);
        FastDescriptorFinish(descriptor, -ECANCELED);
    }
}

/* ---- checks ---- */

/* What every transmit asks first: 0 or the errno to return. */
int FastSocketCheckState(const struct FastSocket* socket)
{
    if (socket == NULL)
        return -EINVAL;
    if (socket->shell)
        return -EPIPE;
    int result = FastRingCheck(socket->ring);
    if (result < 0)
        return result;
    if (!socket->writable)
        return -EBADF;
    return socket->failed || socket->shutdown || FastRingIsEnding(socket->ring) ? -EPIPE : 0;
}

static int checkFlags(const struct FastSocket* socket, int flags)
{
    int known = socket->mode & FASTSOCKET_MODE_FILE_IO ? QUEUE_FILE_FLAGS : QUEUE_SEND_FLAGS;
    if (flags & ~known)
        return -EINVAL;
    return flags & MSG_OOB && socket->kind != SOCKET_STREAM ? -EINVAL : 0;
}

static int checkAddress(const struct FastSocket* socket, const void* address, socklen_t length)
{
    if (length > sizeof(struct sockaddr_storage) || (address == NULL && length > 0))
        return -EINVAL;
    if (address == NULL || length == 0)
        return 0;
    if (length < sizeof(sa_family_t) || socket->mode & FASTSOCKET_MODE_FILE_IO)
        return -EINVAL;
    return socket->kind == SOCKET_DATAGRAM ? 0 : -EISCONN;
}

static int checkSize(const struct FastSocket* socket, size_t size)
{
    if (size > QUEUE_MOST)
        return -EMSGSIZE;
    if (socket->kind == SOCKET_STREAM)
        return 0;
    /* What the kind can never carry; a smaller limit of the path is the kernel's to tell. */
    if (socket->largest > 0)
        return size > socket->largest ? -EMSGSIZE : 0;
    if (!socket->local || size < QUEUE_LOCAL_CHECK)
        return 0;
    int space = 0;
    socklen_t length = sizeof(space);
    if (getsockopt(socket->handle, SOL_SOCKET, SO_SNDBUF, &space, &length) < 0)
        return 0;
    return size + QUEUE_LOCAL_OVERHEAD > (size_t)space ? -EMSGSIZE : 0;
}

static int checkLimit(const struct FastSocket* socket)
{
    const struct FastSocketOutbound* outbound = &socket->outbound;
    return outbound->limit > 0 && outbound->length >= outbound->limit ? -EAGAIN : 0;
}

/* Arguments first, then the state, then the limit. */
int FastSocketCheckTransmit(const struct FastSocket* socket, const void* address, socklen_t length,
                            size_t size, int flags)
{
    int state = FastSocketCheckState(socket);
    if (state != 0 && state != -EPIPE)
        return state;
    int result = checkFlags(socket, flags);
    if (result == 0)
        result = checkAddress(socket, address, length);
    if (result == 0)
        result = checkSize(socket, size);
    if (result == 0)
        result = state;
    return result == 0 ? checkLimit(socket) : result;
}

/* ---- copying ---- */

int FastItemFlags(int flags)
{
    return flags & (MSG_MORE | ITEM_KIND_FLAGS);
}

static void copyVector(uint8_t* target, const struct iovec* vector, size_t offset, size_t size)
{
    while (size > 0) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): the vector has offset + size bytes */
        size_t length = vector->iov_len;
        if (offset < length) {
            size_t count = length - offset < size ? length - offset : size;
            memcpy(target, (const uint8_t*)vector->iov_base + offset, count);
            target += count;
            size -= count;
            offset = length;
        }
        offset -= length;
        vector++;
    }
}

/* The last item, if bytes with these flags may go on where it ends. */
static struct FastItem* growingItem(const struct FastSocket* socket, int flags)
{
    struct FastItem* last = socket->outbound.last;
    uint32_t most = socket->outbound.most;
    if (last == NULL || last->kind != ITEM_BYTES || last->room == 0 || flags & (MSG_OOB | MSG_EOR))
        return NULL;
    if ((last->flags & ITEM_KIND_FLAGS) != (flags & ITEM_KIND_FLAGS))
        return NULL;
    return most == 0 || last->messages < most ? last : NULL;
}

/* Memory of the next piece: as large as what is queued, so that a burst soon has few pieces. */
static size_t pieceSize(const struct FastSocket* socket, size_t size)
{
    size_t piece = QUEUE_LEAST_PIECE;
    while (piece < QUEUE_LARGEST_SHARED && piece < socket->outbound.length)
        piece *= 2;
    while (piece < QUEUE_LARGEST_PIECE && piece + QUEUE_CLASS_SLACK < size + sizeof(struct FastItem))
        piece *= 2;
    return piece + QUEUE_CLASS_SLACK - sizeof(struct FastItem);
}

/* Pieces for size bytes, none of them linked to the queue yet; NULL when memory lacks. */
static struct FastItem* makePieces(struct FastSocket* socket, size_t size, int flags)
{
    struct FastItem* first = NULL;
    struct FastItem** place = &first;
    while (size > 0) {
        struct FastItem* item = FastItemMake(socket, ITEM_BYTES, pieceSize(socket, size));
        if (item == NULL)
            break;
        item->flags = FastItemFlags(flags);
        item->messages = 0;
        *place = item;
        place = &item->next;
        size -= item->room < size ? item->room : size;
    }
    while (size > 0 && first != NULL) {
        struct FastItem* next = first->next;
        FastItemFree(first);
        first = next;
    }
    return first;
}

static void fillItem(struct FastItem* item, const struct iovec* vector, size_t offset, size_t size)
{
    copyVector(item->data + item->length, vector, offset, size);
    item->length += size;
    item->room -= size;
}

static int appendMarker(struct FastSocket* socket)
{
    struct FastItem* item = FastItemMake(socket, ITEM_MARKER, 0);
    if (item == NULL)
        return -ENOMEM;
    FastItemAppend(socket, item);
    return 0;
}

/* Copies a stream's bytes to the end of the queue: all of them, or none. */
static int appendBytes(struct FastSocket* socket, const struct iovec* vector, size_t size, int flags)
{
    if (size == 0)
        return appendMarker(socket);
    struct FastItem* growing = growingItem(socket, flags);
    size_t head = growing == NULL ? 0 : growing->room < size ? growing->room
                                                             : size;
    struct FastItem* piece = NULL;
    if (head < size) {
        piece = makePieces(socket, size - head, flags);
        if (piece == NULL)
            return -ENOMEM;
    }
    if (head > 0) {
        fillItem(growing, vector, 0, head);
        growing->flags = FastItemFlags(flags);
        growing->messages += head == size;
        socket->outbound.length += head;
        FastSocketDefer(socket);
    }
    for (size_t offset = head; piece != NULL;) {
        struct FastItem* next = piece->next;
        size_t count = piece->room < size - offset ? piece->room : size - offset;
        piece->next = NULL;
        piece->messages = next == NULL;
        fillItem(piece, vector, offset, count);
        FastItemAppend(socket, piece);
        offset += count;
        piece = next;
    }
    return 0;
}

/* ---- messages ---- */

static size_t align(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

struct parts
{
    const void* name;
    size_t nameLength;
    const void* control;
    size_t controlLength;
    const struct iovec* vector;
    size_t size;
};

/* An item of its own: name, control data and bytes behind each other. */
static int appendMessage(struct FastSocket* socket, const struct parts* parts, int flags)
{
    size_t nameRoom = align(parts->nameLength);
    size_t controlRoom = align(parts->controlLength);
    struct FastItem* item = FastItemMake(socket, ITEM_MESSAGE, nameRoom + controlRoom + parts->size);
    if (item == NULL)
        return -ENOMEM;
    uint8_t* place = item->data;
    item->flags = FastItemFlags(flags);
    item->room = 0;
    if (parts->nameLength > 0) {
        item->name = memcpy(place, parts->name, parts->nameLength);
        item->nameLength = (socklen_t)parts->nameLength;
    }
    if (parts->controlLength > 0) {
        item->control = memcpy(place + nameRoom, parts->control, parts->controlLength);
        item->controlLength = (uint32_t)parts->controlLength;
        int result = FastItemDuplicateRights(item);
        if (result < 0) {
            FastItemFree(item);
            return result;
        }
    }
    item->data = place + nameRoom + controlRoom;
    item->length = parts->size;
    copyVector(item->data, parts->vector, 0, parts->size);
    FastItemAppend(socket, item);
    return 0;
}

/* ---- the exported functions ---- */

int TransmitFastSocketData(struct FastSocket* socket, struct sockaddr* address, socklen_t length,
                           const void* data, size_t size, int flags)
{
    int result = FastSocketCheckTransmit(socket, address, length, size, flags);
    if (result != 0 && result != -EPIPE && result != -EAGAIN)
        return result;
    if ((data == NULL && size > 0) || socket->outbound.pool == NULL)
        return -EINVAL;
    if (result < 0)
        return result;
    struct iovec vector = {.iov_base = (void*)(uintptr_t)data, .iov_len = size};
    if (socket->kind == SOCKET_STREAM)
        return appendBytes(socket, &vector, size, flags);
    struct parts parts = {
        .name = address,
        .nameLength = address != NULL ? length : 0,
        .vector = &vector,
        .size = size,
    };
    return appendMessage(socket, &parts, flags);
}

static int checkVector(const struct msghdr* message, size_t* size)
{
    *size = 0;
    if (message == NULL || (message->msg_iov == NULL && message->msg_iovlen > 0))
        return -EINVAL;
    if ((message->msg_control == NULL && message->msg_controllen > 0) ||
        message->msg_controllen > QUEUE_MOST_CONTROL)
        return -EINVAL;
    for (size_t index = 0; index < message->msg_iovlen; index++) {
        const struct iovec* part = &message->msg_iov[index];
        if (part->iov_base == NULL && part->iov_len > 0)
            return -EINVAL;
        if (part->iov_len > QUEUE_MOST || *size + part->iov_len > QUEUE_MOST)
            return -EMSGSIZE;
        *size += part->iov_len;
    }
    return 0;
}

int TransmitFastSocketMessage(struct FastSocket* socket, struct msghdr* message, int flags)
{
    size_t size;
    int state = FastSocketCheckState(socket);
    if (state != 0 && state != -EPIPE)
        return state;
    int result = checkVector(message, &size);
    if (result == 0 && socket->outbound.pool == NULL)
        result = -EINVAL;
    if (result == 0)
        result = FastSocketCheckTransmit(socket, message->msg_name, message->msg_namelen, size, flags);
    if (result < 0)
        return result;
    if (socket->kind == SOCKET_STREAM && message->msg_controllen == 0)
        return appendBytes(socket, message->msg_iov, size, flags);
    if (message->msg_controllen > 0 && socket->mode & FASTSOCKET_MODE_FILE_IO)
        return -EINVAL;
    if (socket->kind == SOCKET_STREAM && size == 0)
        return -EINVAL; /* a stream carries control data with bytes only */
    struct parts parts = {
        .name = message->msg_name,
        .nameLength = message->msg_name != NULL ? message->msg_namelen : 0,
        .control = message->msg_control,
        .controlLength = message->msg_controllen,
        .vector = message->msg_iov,
        .size = size,
    };
    return appendMessage(socket, &parts, flags);
}

/* An item that refers to the buffer, and takes over its reference on success. */
static int appendBuffer(struct FastSocket* socket, const struct sockaddr* address, socklen_t length,
                        struct FastBuffer* buffer, size_t offset, size_t size, int flags)
{
    bool stream = socket->kind == SOCKET_STREAM;
    struct FastItem* item = FastItemMake(socket, stream ? ITEM_BYTES : ITEM_MESSAGE,
                                         address != NULL ? length : 0);
    if (item == NULL)
        return -ENOMEM;
    if (address != NULL && length > 0) {
        item->name = memcpy(item->data, address, length);
        item->nameLength = length;
    }
    item->flags = FastItemFlags(flags);
    item->payload = buffer;
    item->data = GetFastBufferData(buffer) + offset;
    item->length = size;
    item->room = 0;
    FastItemAppend(socket, item);
    return 0;
}

int TransmitFastSocketBuffer(struct FastSocket* socket, const struct sockaddr* address,
                             socklen_t length, struct FastBuffer* buffer, size_t offset, size_t size,
                             int flags)
{
    int result = FastSocketCheckTransmit(socket, address, length, size, flags);
    if (buffer == NULL)
        return result != 0 && result != -EPIPE && result != -EAGAIN ? result : -EINVAL;
    size_t capacity = GetFastBufferSize(buffer);
    if ((result == 0 || result == -EPIPE || result == -EAGAIN) &&
        (offset > capacity || size > capacity - offset))
        result = -EINVAL;
    if (result == 0 && socket->kind == SOCKET_STREAM && size < QUEUE_COPY) {
        struct iovec vector = {.iov_base = GetFastBufferData(buffer) + offset, .iov_len = size};
        result = appendBytes(socket, &vector, size, flags);
    } else if (result == 0) {
        result = appendBuffer(socket, address, length, buffer, offset, size, flags);
        if (result == 0)
            return 0;
    }
    ReleaseFastBuffer(buffer);
    return result;
}
