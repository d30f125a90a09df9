/*
 * Questions to a socket, and its handler.
 */
#include "socket/core.h"

#include "base/missing.h"

#include <errno.h>

int SetFastSocketHandler(struct FastSocket* socket, HandleFastSocketEvent function, void* closure)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    socket->function = function;
    socket->closure = closure;
    return 0;
}

void* GetFastSocketClosure(struct FastSocket* socket)
{
    return socket != NULL ? socket->closure : NULL;
}

int GetFastSocketHandle(struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    return socket->handle >= 0 ? socket->handle : -ENOTCONN;
}

struct FastRing* GetFastSocketRing(struct FastSocket* socket)
{
    if (socket != NULL && FastCheckRuns())
        FastCheckUsed(socket);
    return socket != NULL ? socket->ring : NULL;
}

/* Also of a closed socket: what it failed of stays true. */
int GetFastSocketError(struct FastSocket* socket)
{
    return socket != NULL && FastSocketHasFailed(socket) ? socket->error : 0;
}

/* The text of an errno is not translated, and is nobody's to free. */
const char* GetFastSocketErrorText(struct FastSocket* socket)
{
    int error = GetFastSocketError(socket);
    if (error == 0)
        return NULL;
    if (socket->extra != NULL && socket->extra->errorText != NULL)
        return socket->extra->errorText;
    const char* text = strerrordesc_np(error);
    return text != NULL ? text : "Unknown error";
}

size_t GetFastSocketInboundLength(struct FastSocket* socket)
{
    return FastSocketCheck(socket) < 0 ? 0 : socket->inbound.queue.length;
}

/* Of a failed socket nothing is queued any more, and what matters is how much was lost. */
size_t GetFastSocketOutboundLength(struct FastSocket* socket)
{
    if (FastSocketCheck(socket) < 0 || socket->outbound == NULL)
        return 0;
    /* After a failure what was dropped, and what is about to be. */
    size_t dropped = FastSocketHasFailed(socket) ? socket->outbound->statistics.dropped : 0;
    return dropped + socket->outbound->queue.length;
}

int GetFastSocketStatistics(struct FastSocket* socket, struct FastSocketStatistics* statistics,
                            size_t size)
{
    int result = statistics != NULL ? FastSocketCheck(socket) : -EINVAL;
    if (result < 0)
        return result;
    /* Collected in our own struct: the caller's may be an older, shorter one. */
    struct FastSocketStatistics now = {
        .receivedBytes = socket->statistics.bytes,
        .receivedMessages = socket->statistics.messages,
        .sentBytes = socket->statistics.sentBytes,
        .sentOperations = socket->statistics.sentOperations,
    };
    if (socket->extra != NULL) {
        now.receivedTruncated = socket->extra->statistics.truncated;
        now.receiveStarvations = socket->extra->statistics.starvations;
        now.receivePauses = socket->extra->statistics.pauses;
    }
    if (socket->outbound != NULL) {
        now.sentZeroCopy = socket->outbound->statistics.zeroCopy;
        now.copiedZeroCopy = socket->outbound->statistics.copied;
        now.failedMessages = socket->outbound->statistics.failed;
        now.droppedBytes = socket->outbound->statistics.dropped;
    }
    FastCopyStatistics(statistics, size, &now, sizeof(now));
    return 0;
}
