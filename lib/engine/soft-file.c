/*
 * Reads and writes in user space.
 *
 * The system is asked for one that does not wait; what it can't do without, it does where a poll
 * has said that it need not wait. Regular files are always ready.
 */
#include "engine/soft-code.h"

#include "engine/soft-buffer.h"
#include "engine/soft-fetch.h"
#include "engine/soft-node.h"
#include "engine/uring-compat.h"

#include <errno.h>
#include <sys/uio.h>

/* ---- where the bytes are ---- */

static bool hasVector(const struct FastSoftOperation* operation)
{
    return operation->opcode == IORING_OP_READV || operation->opcode == IORING_OP_WRITEV;
}

int FastSoftKeepVector(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    const struct iovec* vector = (const struct iovec*)(uintptr_t)operation->address;
    if (operation->state & FAST_SOFT_KEPT)
        return 0;
    if (operation->length > FAST_SYSTEM_VECTORS)
        return -EINVAL;
    struct FastSoftCopy* copy = FastSoftKeep(soft, operation, operation->length);
    if (copy == NULL)
        return -ENOMEM;
    return FastSoftFetchVector(soft, operation, vector, operation->length, copy->vectors);
}

static const struct iovec* vectorOf(const struct FastSoftOperation* operation,
                                    struct iovec* single, unsigned* count)
{
    *count = operation->length;
    if (hasVector(operation) && operation->state & FAST_SOFT_KEPT)
        return FastSoftCopyOf(operation)->vectors;
    if (hasVector(operation))
        return (const struct iovec*)(uintptr_t)operation->address;
    *single = (struct iovec){
        .iov_base = (void*)(uintptr_t)operation->address,
        .iov_len = operation->length,
    };
    *count = 1;
    return single;
}

/* Nothing can be done now: wait, unless the caller wants to hear of it. */
static enum FastSoftOutcome onNothing(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    operation->state |= FAST_SOFT_DRAINED;
    if (operation->opcode != IORING_OP_SPLICE && operation->options & RWF_NOWAIT)
        return FastSoftFinish(soft, operation, -EAGAIN, 0);
    return FAST_SOFT_WAIT;
}

/* ---- what takes its time ---- */

/* Whoever asks for another thread gets one, where the file is such that it matters. The thread
 * looks for the file when it runs: where there is no number to keep it by, there is no thread. */
static bool beginSlow(struct FastSoft* soft, struct FastSoftOperation* operation,
                      const struct iovec* vector, unsigned count, bool writes)
{
    if (!(operation->flags & IOSQE_ASYNC) || FastSoftOwnHandle(soft, operation) < 0)
        return false;
    const struct FastSystemSlow work = {
        .closure = operation,
        .vector = vector,
        .count = count,
        .handle = operation->handle,
        .offset = (int64_t)operation->offset,
        .flags = (int)operation->options & ~FAST_RWF_NOSIGNAL,
        .work = writes ? FAST_SYSTEM_WRITES : FAST_SYSTEM_READS,
    };
    return soft->system->functions->beginSlow(soft->system, &work) == 0;
}

void FastSoftFinishSlow(struct FastSoft* soft, struct FastSoftOperation* operation, ssize_t result)
{
    if (operation->opcode == IORING_OP_WRITE && result >= 0 &&
        (size_t)result < operation->length)
        operation->state |= FAST_SOFT_SHORT;
    if (result < 0 && operation->state & FAST_SOFT_CANCELED)
        result = -ECANCELED;
    (void)FastSoftFinish(soft, operation, (int)result, FastSoftBufferFlags(operation));
}

/* ---- reading and writing ---- */

/* What its one vector says. Returns 0 or -EFAULT. */
static int lengthOf(struct FastSoft* soft, const struct FastSoftOperation* operation,
                    size_t* length)
{
    struct iovec one;
    int result = 0;
    if (operation->state & FAST_SOFT_KEPT)
        one = FastSoftCopyOf(operation)->vectors[0];
    else
        result = FastSoftFetch(soft, operation, &one, operation->address, sizeof(one));
    if (result == 0)
        *length = one.iov_len;
    return result;
}

/* Into the buffer that is next: as much as it has room for, or as the entry says. */
static int selectBuffer(struct FastSoft* soft, const struct FastSoftOperation* operation,
                        struct iovec* single)
{
    const struct FastSoftGroup* group = FastSoftFindGroup(soft, operation->group);
    size_t length = operation->length;
    if (hasVector(operation) && length != 1)
        return -EINVAL;
    if (hasVector(operation)) {
        int result = lengthOf(soft, operation, &length);
        if (result < 0)
            return result;
    }
    if (FastSoftAvailable(group) == 0)
        return !(operation->state & FAST_SOFT_HELD) ||
                       soft->system->functions->isOpen(soft->system, operation->handle)
                   ? -ENOBUFS
                   : -EBADF;
    const struct io_uring_buf* buffer = FastSoftBuffer(group, 0);
    single->iov_base = (void*)(uintptr_t)buffer->addr;
    single->iov_len = length > 0 && length < buffer->len ? length : buffer->len;
    return 0;
}

/* A read, into a buffer that was selected or where the entry says. The end of input takes a buffer,
 * too. */
static enum FastSoftOutcome readInto(struct FastSoft* soft, struct FastSoftOperation* operation,
                                     const struct iovec* vector, unsigned count, int* result)
{
    struct FastSystem* system = soft->system;
    bool begun = beginSlow(soft, operation, vector, count, false);
    if (!begun)
        *result = (int)system->functions->read(system, operation->handle, vector, count,
                                               (int64_t)operation->offset,
                                               (int)operation->options);
    if (operation->flags & IOSQE_BUFFER_SELECT && (begun || *result >= 0))
        FastSoftTakeBuffer(soft, operation); /* nobody else fills it meanwhile */
    return begun ? FAST_SOFT_BEGUN : FAST_SOFT_OVER;
}

static size_t sizeOf(const struct iovec* vector, unsigned count)
{
    size_t size = 0;
    for (unsigned index = 0; index < count; index++)
        size += vector[index].iov_len;
    return size;
}

static enum FastSoftOutcome writeFrom(struct FastSoft* soft, struct FastSoftOperation* operation,
                                      const struct iovec* vector, unsigned count, int* result)
{
    struct FastSystem* system = soft->system;
    if (beginSlow(soft, operation, vector, count, true))
        return FAST_SOFT_BEGUN;
    *result = (int)system->functions->write(system, operation->handle, vector, count,
                                            (int64_t)operation->offset, (int)operation->options);
    if (*result >= 0 && (size_t)*result < sizeOf(vector, count))
        operation->state |= FAST_SOFT_SHORT;
    return FAST_SOFT_OVER;
}

enum FastSoftOutcome FastSoftTransfer(struct FastSoft* soft, struct FastSoftOperation* operation,
                                      int* result)
{
    struct iovec single;
    unsigned count = 1;
    /* Another thread is given what it can't find missing. */
    *result = operation->flags & IOSQE_ASYNC && hasVector(operation)
                  ? FastSoftKeepVector(soft, operation)
                  : 0;
    if (*result < 0)
        return FAST_SOFT_OVER;
    if (operation->opcode == IORING_OP_WRITE || operation->opcode == IORING_OP_WRITEV) {
        const struct iovec* vector = vectorOf(operation, &single, &count);
        return writeFrom(soft, operation, vector, count, result);
    }
    if (!(operation->flags & IOSQE_BUFFER_SELECT)) {
        const struct iovec* vector = vectorOf(operation, &single, &count);
        return readInto(soft, operation, vector, count, result);
    }
    *result = selectBuffer(soft, operation, &single);
    return *result < 0 ? FAST_SOFT_OVER : readInto(soft, operation, &single, 1, result);
}

enum FastSoftOutcome FastSoftReadOrWrite(struct FastSoft* soft,
                                         struct FastSoftOperation* operation)
{
    int result;
    if (FastSoftTransfer(soft, operation, &result) == FAST_SOFT_BEGUN)
        return FAST_SOFT_BEGUN;
    if (result == -EAGAIN)
        return onNothing(soft, operation);
    return FastSoftFinish(soft, operation, FastSoftBlame(soft, operation, result),
                          FastSoftBufferFlags(operation));
}

/* ---- from one into another ---- */

static int64_t* positionOf(uint64_t offset, int64_t* position)
{
    *position = (int64_t)offset;
    return *position >= 0 ? position : NULL;
}

enum FastSoftOutcome FastSoftSplice(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    struct FastSystem* system = soft->system;
    int64_t from;
    int64_t to;
    if (operation->options & SPLICE_F_FD_IN_FIXED)
        return FastSoftFinish(soft, operation, -EBADF, 0); /* a table's place: there is none */
    ssize_t result = system->functions->splice(
        system, operation->extra, positionOf(operation->address, &from), operation->handle,
        positionOf(operation->offset, &to), operation->length, operation->options);
    bool wasFull = operation->state & FAST_SOFT_STARTED;
    bool isFull = result == -ENOBUFS; /* it waits for room, and not for input */
    if (wasFull != isFull)
        operation->state ^= FAST_SOFT_STARTED | (operation->state & FAST_SOFT_WAITED);
    if (isFull)
        return FAST_SOFT_WAIT;
    if (result == -EAGAIN)
        return onNothing(soft, operation);
    return FastSoftFinish(soft, operation, (int)result, 0);
}
