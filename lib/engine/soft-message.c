/*
 * The receive of a message in user space, with its header; those of many are in soft-receive.c.
 *
 * Good path: tried at once, and again when the descriptor is ready. The caller's header receives
 * what the system says of the message, so the system reads and writes it where it lies. Where it is
 * to be received into a buffer of a ring, or whole (MSG_WAITALL), which needs vectors of its own, a
 * copy is used.
 *
 * Failures: an error, or the end of input, behind a part: the part is the result. No memory for
 * what is left: the same.
 */
#include "engine/soft-code.h"

#include "engine/soft-buffer.h"
#include "engine/soft-fetch.h"

#include <errno.h>
#include <string.h>

/* Beside a copy there is another place for the header's address. */
static struct msghdr* headerOf(const struct FastSoftOperation* operation)
{
    bool kept = operation->state & FAST_SOFT_KEPT;
    return (struct msghdr*)(uintptr_t)(kept ? operation->offset : operation->address);
}

/* What is left of a message, or its header as the caller has it. */
static int fetchRest(struct FastSoft* soft, const struct FastSoftOperation* operation,
                     struct msghdr* message)
{
    if (!(operation->state & FAST_SOFT_KEPT))
        return FastSoftFetchHeader(soft, operation, operation->address, message);
    *message = FastSoftCopyOf(operation)->header;
    return 0;
}

/* Into the buffer that is next, of which the one vector says how much. */
static int selectBuffer(struct FastSoft* soft, const struct FastSoftOperation* operation,
                        struct msghdr* message, struct iovec* vector)
{
    const struct FastSoftGroup* group = FastSoftFindGroup(soft, operation->group);
    size_t length = 0;
    if (message->msg_iovlen > 1)
        return -EINVAL;
    if (message->msg_iovlen > 0) {
        int result = FastSoftFetchVector(soft, operation, message->msg_iov, 1, vector);
        if (result < 0)
            return result;
        length = vector->iov_len;
    }
    if (FastSoftAvailable(group) == 0)
        return FastSoftLackOfBuffers(soft, operation);
    const struct io_uring_buf* buffer = FastSoftBuffer(group, 0);
    vector->iov_base = (void*)(uintptr_t)buffer->addr;
    vector->iov_len = length > 0 && length < buffer->len ? length : buffer->len;
    message->msg_iov = vector;
    message->msg_iovlen = 1;
    return 0;
}

static bool isWhole(const struct FastSoftOperation* operation, const struct msghdr* message,
                    size_t bytes)
{
    /* Control data belongs to the bytes that it came with. */
    if (!(operation->options & MSG_WAITALL) || message->msg_controllen > 0)
        return true;
    for (size_t index = 0; index < (size_t)message->msg_iovlen; index++) { /* an int in musl's */
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
        memcpy(copy->vectors, message->msg_iov, message->msg_iovlen * sizeof(copy->vectors[0]));
        FastSoftCopyHeader(copy, message);
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

/* As it is, by the caller's header. */
static enum FastSoftOutcome receivePlain(struct FastSoft* soft,
                                         struct FastSoftOperation* operation)
{
    struct FastSystem* system = soft->system;
    ssize_t result = system->functions->receiveMessage(
        system, operation->handle, headerOf(operation), (int)operation->options);
    if (result == -EAGAIN)
        return FastSoftOnNothing(soft, operation);
    return FastSoftFinish(soft, operation, FastSoftBlame(soft, operation, (int)result), 0);
}

static enum FastSoftOutcome receiveCopy(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    for (;;) {
        struct msghdr message;
        struct iovec vector;
        bool selects = operation->flags & IOSQE_BUFFER_SELECT &&
                       !(operation->state & FAST_SOFT_KEPT);
        int error = fetchRest(soft, operation, &message);
        if (error == 0 && selects)
            error = selectBuffer(soft, operation, &message, &vector);
        if (error < 0)
            return FastSoftFinish(soft, operation, error, 0);
        ssize_t result = receiveRest(soft, operation, message);
        if (result == -EAGAIN)
            return FastSoftOnNothing(soft, operation);
        if (result <= 0)
            return FastSoftFinishPart(soft, operation,
                                      FastSoftBlame(soft, operation, (int)result));
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
    if (operation->priority & IORING_RECV_MULTISHOT)
        return FastSoftReceiveMessages(soft, operation);
    bool copies = operation->flags & IOSQE_BUFFER_SELECT || operation->options & MSG_WAITALL;
    return copies ? receiveCopy(soft, operation) : receivePlain(soft, operation);
}
