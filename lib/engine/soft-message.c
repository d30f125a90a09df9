/*
 * The receive of a message in user space, with its header; those of many are in soft-receive.c.
 *
 * Good path: tried at once, and again when the descriptor is ready. The caller's header receives
 * what the system says of the message, so it is read and written where it lies; only what is left
 * of a message that is to be whole (MSG_WAITALL) has vectors of its own.
 *
 * Failures: an error, or the end of input, behind a part: the part is the result. No memory for
 * what is left: the same.
 */
#include "engine/soft-code.h"

#include "engine/soft-buffer.h"

#include <errno.h>

/* Beside a copy there is another place for the header's address. */
static struct msghdr* headerOf(const struct FastSoftOperation* operation)
{
    bool kept = operation->state & FAST_SOFT_KEPT;
    return (struct msghdr*)(uintptr_t)(kept ? operation->offset : operation->address);
}

static struct msghdr restOf(const struct FastSoftOperation* operation)
{
    return operation->state & FAST_SOFT_KEPT ? FastSoftCopyOf(operation)->header
                                             : *headerOf(operation);
}

/* Into the buffer that is next, of which the first vector says how much; false: there is none. */
static bool selectBuffer(struct FastSoft* soft, const struct FastSoftOperation* operation,
                         struct msghdr* message, struct iovec* vector)
{
    const struct FastSoftGroup* group = FastSoftFindGroup(soft, operation->group);
    if (FastSoftAvailable(group) == 0)
        return false;
    const struct io_uring_buf* buffer = FastSoftBuffer(group, 0);
    size_t length = message->msg_iovlen > 0 ? message->msg_iov->iov_len : 0;
    vector->iov_base = (void*)(uintptr_t)buffer->addr;
    vector->iov_len = length > 0 && length < buffer->len ? length : buffer->len;
    message->msg_iov = vector;
    message->msg_iovlen = 1;
    return true;
}

static bool isWhole(const struct FastSoftOperation* operation, const struct msghdr* message,
                    size_t bytes)
{
    /* Control data belongs to the bytes that it came with. */
    if (!(operation->options & MSG_WAITALL) || message->msg_controllen > 0)
        return true;
    for (size_t index = 0; index < message->msg_iovlen; index++) {
        if (bytes < message->msg_iov[index].iov_len)
            return false;
        bytes -= message->msg_iov[index].iov_len;
    }
    return true;
}

/* message: what has just been filled in part. */
static bool keepRest(struct FastSoft* soft, struct FastSoftOperation* operation,
                     const struct msghdr* message, size_t bytes)
{
    if (!(operation->state & FAST_SOFT_KEPT)) {
        uint64_t header = operation->address;
        struct FastSoftCopy* copy = FastSoftKeep(soft, operation, (uint32_t)message->msg_iovlen);
        if (copy == NULL)
            return false;
        operation->offset = header;
        FastSoftCopyMessage(copy, message);
    }
    FastSoftSkipBytes(FastSoftCopyOf(operation), bytes);
    return true;
}

static ssize_t receiveRest(struct FastSoft* soft, const struct FastSoftOperation* operation,
                           struct msghdr message)
{
    struct FastSystem* system = soft->system;
    ssize_t result = system->functions->receiveMessage(system, operation->handle, &message,
                                                       (int)operation->options);
    if (result >= 0) {
        struct msghdr* header = headerOf(operation);
        header->msg_namelen = message.msg_namelen;
        header->msg_controllen = message.msg_controllen;
        header->msg_flags = message.msg_flags;
    }
    return result;
}

static enum FastSoftOutcome receiveOne(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    for (;;) {
        struct msghdr message = restOf(operation);
        struct iovec vector;
        bool selects = operation->flags & IOSQE_BUFFER_SELECT &&
                       !(operation->state & FAST_SOFT_KEPT);
        if (selects && !selectBuffer(soft, operation, &message, &vector))
            return FastSoftFinish(soft, operation, -ENOBUFS, 0);
        ssize_t result = receiveRest(soft, operation, message);
        if (result == -EAGAIN)
            return FastSoftOnNothing(soft, operation);
        if (result <= 0)
            return FastSoftFinishPart(soft, operation, (int)result);
        if (selects)
            FastSoftTakeBuffer(soft, operation);
        operation->done += (uint32_t)result;
        if (isWhole(operation, &message, (size_t)result))
            break;
        if (!FastSoftIsJoined(soft, operation) ||
            !keepRest(soft, operation, &message, (size_t)result))
            return FastSoftFinishPart(soft, operation, 0);
    }
    return FastSoftFinish(soft, operation, (int)operation->done, FastSoftBufferFlags(operation));
}

enum FastSoftOutcome FastSoftReceiveMessage(struct FastSoft* soft,
                                            struct FastSoftOperation* operation)
{
    bool many = operation->priority & IORING_RECV_MULTISHOT;
    return many ? FastSoftReceiveMessages(soft, operation) : receiveOne(soft, operation);
}
