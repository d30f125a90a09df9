/*
 * A large transmit, sent at once from the caller's memory.
 *
 * Good path: nothing is in flight and nothing stops the next send, so that one call, made inside
 * the transmit, may take what is queued and then the caller's bytes. It costs a system call and
 * saves a copy. POLLOUT follows in the next turn, as for everything that is queued.
 *
 * Failures: the kernel takes a part: the rest is copied into the queue, whose next send waits for
 * room. It takes nothing: all is queued, and what it said becomes the result of the next send
 * (send.c), so that errors are told like those of sends in flight, and never inside the call; an
 * end of input that is seen meanwhile waits for them (FastDirectAwaitsError).
 * Memory for all is had before the call, since bytes that went out can't be taken back.
 */
#include "socket/direct.h"

#include "socket/kind-socket.h"
#include "socket/notice.h"
#include "socket/output.h"
#include "socket/system.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum
{
    /* Of another one in the same turn: several of less are cheaper gathered than sent each. */
    DIRECT_MIN_AGAIN = 512 << 10,
    DIRECT_MAX_VECTOR = 64, /* pieces of one call; what is left is queued */
};

/* ---- whether ---- */

/* A deferred connect of TCP Fast Open looks like a connection until its first bytes are sent. */
static bool isMade(const struct FastSocket* socket)
{
    struct tcp_info information = {0};
    if (socket->connection != FAST_CONNECTION_MADE)
        return false;
    if (socket->statistics.sentBytes > 0 || socket->statistics.bytes > 0 ||
        !FastSocketHas(socket, FAST_TRAIT_RECEIVES_EARLY))
        return true;
    return FastSystemGetTcp(socket->handle, &information) &&
           information.tcpi_state != TCP_SYN_SENT && information.tcpi_state != TCP_SYN_RECV;
}

/* What is to go without a copy has to stay in memory of ours. */
static bool isLent(const struct FastSocket* socket, size_t size)
{
    return FastSocketLends(socket, size) && FastSocketHas(socket, FAST_TRAIT_ZERO_COPIES);
}

/* Room may have come since the last one: a call that finds none costs little beside such a copy. */
static bool mayAgain(const struct FastOutbound* outbound, size_t size)
{
    return outbound->direct == 0 ||
           (size >= DIRECT_MIN_AGAIN &&
            (outbound->direct == FAST_DIRECT_SENT || outbound->direct == -EAGAIN));
}

/* As if the queue's next send could start now; and all that makes these parts more than bytes. */
static bool maySend(const struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    const struct FastOutbound* outbound = socket->outbound;
    return FastSocketHas(socket, FAST_TRAIT_SENDS_AT_ONCE) && parts->buffer == NULL &&
           parts->controlLength == 0 && FastItemFlags(flags) == 0 &&
           !FastSocketHasMode(socket, FASTSOCKET_MODE_AUTO_CORK) &&
           outbound->inFlight == 0 && outbound->stops == 0 && outbound->room == 0 &&
           outbound->canceling == FAST_SEND_CANCEL_NONE &&
           mayAgain(outbound, parts->size) &&
           !isLent(socket, outbound->queue.length + parts->size) && isMade(socket);
}

/* ---- what ---- */

/* Vectors of what is queued, which goes first. DIRECT_MAX_VECTOR, so that none is left for the
 * caller's: it can't go together with them. A limit of messages is left to the queue. */
static size_t gather(const struct FastOutboundQueue* queue, struct iovec* vector)
{
    size_t count = 0;
    for (const struct FastItem* item = queue->first; item != NULL; item = item->next) {
        if (item->kind != FAST_ITEM_BYTES || item->flags & FAST_ITEM_KIND_FLAGS ||
            count == DIRECT_MAX_VECTOR - 1 || queue->messages > 0)
            return DIRECT_MAX_VECTOR;
        vector[count++] = (struct iovec){.iov_base = item->data, .iov_len = item->length};
    }
    return count;
}

/* Adds the caller's, as far as there is room for them; returns how many bytes these are. */
static size_t addParts(const struct FastParts* parts, struct iovec* vector, size_t* count)
{
    size_t bytes = 0;
    for (const struct iovec* part = parts->vector;
         bytes < parts->size && *count < DIRECT_MAX_VECTOR; part++) {
        vector[(*count)++] = *part;
        bytes += part->iov_len;
    }
    return bytes;
}

/* ---- what came of it ---- */

/* Less than all means that there is no room for more just now. After all nothing leaves the queue
 * that would tell that the outbound side may not be needed any more. */
static void note(struct FastSocket* socket, ssize_t result, size_t size)
{
    struct FastOutbound* outbound = socket->outbound;
    if (result < 0) {
        outbound->direct = (int)result;
        return;
    }
    socket->statistics.sentOperations++;
    socket->statistics.sentBytes += (size_t)result;
    outbound->progress += result > 0;
    outbound->direct = (size_t)result == size ? FAST_DIRECT_SENT : -EAGAIN;
    FastSocketReconsiderOutbound(socket);
}

int FastDirectSend(struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    struct FastOutbound* outbound = socket->outbound;
    struct FastOutboundQueue* queue = &outbound->queue;
    struct iovec vector[DIRECT_MAX_VECTOR];
    size_t count = maySend(socket, parts, flags) ? gather(queue, vector) : DIRECT_MAX_VECTOR;
    size_t bytes = addParts(parts, vector, &count);
    if (bytes < FAST_DIRECT_MIN)
        return FAST_DIRECT_NOT;
    struct FastItem* pieces = FastOutboundReserve(queue, FastSocketOutboundPool(socket),
                                                  parts->size);
    if (pieces == NULL)
        return -ENOMEM;
    const struct msghdr message = {.msg_iov = vector, .msg_iovlen = count};
    size_t before = queue->length;
    ssize_t result = FastSystemSend(socket->handle, &message, 0);
    size_t accepted = result > 0 ? (size_t)result : 0;
    note(socket, result, before + bytes);
    FastOutboundConsume(queue, accepted < before ? accepted : before);
    FastOutboundFill(queue, pieces, parts->vector, accepted < before ? 0 : accepted - before,
                     parts->size, 0);
    FastNoticeAccept(socket);
    FastOutputNoteFall(socket, before);
    return 0;
}

bool FastDirectAwaitsError(const struct FastSocket* socket)
{
    const struct FastOutbound* outbound = socket->outbound;
    return outbound != NULL && outbound->direct < 0 &&
           FastKindSendError(-outbound->direct).verdict == FAST_VERDICT_FAIL;
}
