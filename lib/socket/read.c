/*
 * Reading from a socket: how the inbound queue, which socket-receive.c fills, reaches the user.
 *
 * Every function that takes bytes out looks afterwards whether receiving may go on.
 */
#include "socket/state.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Copies a stream's bytes over the borders of chunks. */
static size_t copyBytes(struct FastSocket* socket, uint8_t* data, size_t size, bool peek)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    struct FastBuffer* chunk = inbound->first;
    size_t offset = inbound->offset;
    size_t copied = 0;
    while (chunk != NULL && copied < size) {
        size_t length = FastChunkLength(inbound, chunk) - offset;
        size_t count = length < size - copied ? length : size - copied;
        memcpy(data + copied, FastChunkPayload(inbound, chunk) + offset, count);
        copied += count;
        offset += count;
        struct FastBuffer* next = *FastBufferLink(chunk);
        if (!peek) {
            inbound->offset = offset;
            FastSocketCountOut(socket, count);
            if (count == length) /* cppcheck-suppress knownConditionTrueFalse ; the caller's room may end before the chunk */
                FastSocketDropChunk(socket);
        }
        chunk = next;
        offset = 0;
    }
    return copied;
}

static size_t copyMessage(struct FastSocket* socket, uint8_t* data, size_t size, int flags)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    struct FastBuffer* chunk = inbound->first;
    size_t length = FastChunkLength(inbound, chunk);
    size_t count = length < size ? length : size;
    size_t real = (size_t)*FastBufferNote(chunk);
    memcpy(data, FastChunkPayload(inbound, chunk), count);
    if (!(flags & MSG_PEEK))
        FastSocketDropChunk(socket);
    return (flags & MSG_TRUNC) ? real : count;
}

/* Makes sure that a MSG_WAITALL for size bytes can be satisfied. */
static int raiseMarks(struct FastSocket* socket, size_t size)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    if (size > FastRingInboundLimit(socket->ring))
        return -ENOBUFS;
    inbound->wanted = size;
    if (size > inbound->high)
        inbound->high = size;
    /* Stopped or not: the next bytes are waited for. */
    inbound->full = false;
    FastSocketRetryLimit(socket);
    FastSocketBalanceReceive(socket);
    return 0;
}

/* Who looks at all that is there and asked for more leaves it until more has come: then memory alone must
 * not keep it away, as for a MSG_WAITALL; the high mark still does. */
static void expectMore(struct FastSocketInbound* inbound, size_t size)
{
    size_t most = inbound->high < size ? (size_t)inbound->high : size;
    if (inbound->apart && inbound->length < most)
        inbound->wanted = most;
}

static ssize_t emptyResult(const struct FastSocket* socket)
{
    return socket->failed ? -socket->error : 0;
}

ssize_t ReceiveFastSocketData(struct FastSocket* socket, void* data, size_t size, int flags)
{
    int known = MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT | MSG_NOSIGNAL;
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    if (!socket->readable)
        return -EBADF;
    if (FastSocketHasMessages(socket))
        known |= MSG_TRUNC;
    if (data == NULL || size == 0 || flags & ~known)
        return -EINVAL;

    struct FastSocketInbound* inbound = &socket->inbound;
    bool more = !inbound->ended && !socket->failed;
    if (flags & MSG_WAITALL && !FastSocketHasMessages(socket) && inbound->length < size && more)
        return raiseMarks(socket, size);
    inbound->wanted = 0;
    if (inbound->first == NULL)
        return emptyResult(socket);
    size_t count = FastSocketHasMessages(socket) ? copyMessage(socket, data, size, flags)
                                                 : copyBytes(socket, data, size, flags & MSG_PEEK);
    if (flags & MSG_PEEK && !FastSocketHasMessages(socket) && more)
        expectMore(inbound, size);
    FastSocketBalanceReceive(socket);
    return count < SSIZE_MAX ? (ssize_t)count : SSIZE_MAX;
}

/* A chunk as its new owner sees it: without what was read of it, and without a header that only we
 * asked for. */
static void trimChunk(const struct FastSocket* socket, struct FastBuffer* chunk, size_t offset)
{
    const struct FastSocketInbound* inbound = &socket->inbound;
    size_t strip = inbound->header == NULL ? inbound->headroom : 0;
    uint8_t* data = GetFastBufferData(chunk) + (strip > 0 ? 0 : inbound->headroom);
    size_t length = GetFastBufferLength(chunk);
    if (strip + offset == 0)
        return;
    size_t kept = FastChunkLength(inbound, chunk) - offset;
    memmove(data, FastChunkPayload(inbound, chunk) + offset, kept);
    SetFastBufferLength(chunk, length - strip - offset);
    if (inbound->header != NULL)
        ((struct io_uring_recvmsg_out*)GetFastBufferData(chunk))->payloadlen = (uint32_t)kept;
}

struct FastBuffer* ReceiveFastSocketBuffer(struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    if (result == 0 && socket->inbound.first == NULL)
        result = socket->readable ? -EAGAIN : -EBADF;
    if (result < 0) {
        errno = -result;
        return NULL;
    }
    size_t offset = socket->inbound.offset;
    struct FastBuffer* chunk = FastSocketPopChunk(socket);
    trimChunk(socket, chunk, offset);
    socket->inbound.wanted = 0;
    FastSocketBalanceReceive(socket);
    return chunk;
}

struct msghdr* GetFastSocketMessageHeader(struct FastSocket* socket)
{
    return socket != NULL ? socket->inbound.header : NULL;
}

/* ---- pausing ---- */

int PauseFastSocket(struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    socket->inbound.paused = true;
    FastSocketBalanceReceive(socket);
    return 0;
}

int ResumeFastSocket(struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    socket->inbound.paused = false;
    socket->inbound.record = 0; /* read meanwhile, or met again */
    socket->inbound.news = socket->inbound.first != NULL;
    FastSocketNotify(socket); /* what is queued, and an end that the pause has hidden */
    FastSocketBalanceReceive(socket);
    return 0;
}
