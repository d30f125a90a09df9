/*
 * Receives in user space: of bytes and of messages, once or for as long as they are wanted, into
 * the caller's memory or into buffers of a ring.
 *
 * Good path: tried at once, and whenever the descriptor is ready, into the buffers that are next in
 * the ring; these are taken only when something has come. A receive of many goes on until nothing
 * is there, or as often as one turn allows, so that others have theirs.
 *
 * Failures: no buffers: a receive of many stands in line while their owner has not seen yet what
 * the last ones were filled with, since others may come back for them. One in an enter is told all
 * the same, so that the owner learns that it needs more. Otherwise -ENOBUFS ends it, without a look
 * whether there is something, as in the kernel; but who has had some asks for another buffer only
 * when there is more. An error ends it; what came before it was reported.
 */
#include "engine/soft-code.h"

#include "engine/soft-buffer.h"
#include "engine/soft-fetch.h"
#include "engine/soft-node.h"
#include "engine/uring-compat.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

enum
{
    RECEIVE_ROUNDS = 32,  /* of one operation in a pass */
    RECEIVE_VECTORS = 64, /* buffers of a bundle */
    RECEIVE_MESSAGES = 32, /* by one call */
    RECEIVE_FOREVER = 1 << 30, /* bytes, where the caller says nothing */
};

static bool isMultishot(const struct FastSoftOperation* operation)
{
    return operation->priority & IORING_RECV_MULTISHOT;
}

/* An empty queue of errors makes nobody wait, where there is something else to be read, or its end:
 * what would wake him is there. */
static bool mayWaitNoMore(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    if (!(operation->options & (MSG_DONTWAIT | MSG_ERRQUEUE)))
        return false;
    return operation->options & MSG_DONTWAIT ||
           soft->system->functions->look(soft->system, operation->handle, POLLIN) != 0;
}

enum FastSoftOutcome FastSoftOnNothing(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    operation->state |= FAST_SOFT_DRAINED;
    FastSoftNoteNothing(soft, operation);
    if (!mayWaitNoMore(soft, operation))
        return FAST_SOFT_WAIT;
    if (isMultishot(operation))
        return FastSoftFinish(soft, operation, -EAGAIN, 0);
    return FastSoftFinishPart(soft, operation, -EAGAIN);
}

enum FastSoftOutcome FastSoftFinishPart(struct FastSoft* soft, struct FastSoftOperation* operation,
                                        int result)
{
    if (operation->options & MSG_WAITALL)
        operation->state |= FAST_SOFT_SHORT;
    return FastSoftFinish(soft, operation, operation->done > 0 ? (int)operation->done : result,
                          FastSoftBufferFlags(operation));
}

bool FastSoftIsJoined(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    enum FastSystemKind kind = soft->system->functions->kind(soft->system, operation->handle);
    return kind != FAST_SYSTEM_DATAGRAMS && kind != FAST_SYSTEM_PACKETS;
}

/* ---- no buffers ---- */

int FastSoftLackOfBuffers(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    struct FastSystem* system = soft->system;
    if (!(operation->state & FAST_SOFT_HELD) || operation->state & FAST_SOFT_WAITED ||
        system->functions->kind(system, operation->handle) != FAST_SYSTEM_NONE)
        return -ENOBUFS;
    return system->functions->isOpen(system, operation->handle) ? -ENOTSOCK : -EBADF;
}

/*
 * Whether it waits for one in line, or is told that there is none. Who has neither waited nor been
 * served since it was submitted is not told: it may just have been, and would be again and again.
 */
static bool mayStarve(const struct FastSoft* soft, const struct FastSoftOperation* operation,
                      const struct FastSoftGroup* group)
{
    if (!isMultishot(operation) || group == NULL || !FastSoftIsAwaited(soft, group))
        return false;
    return group->told == soft->base.enters ||
           !(operation->state & (FAST_SOFT_WAITED | FAST_SOFT_SERVED));
}

/* What it has had may have been all, and have filled the last buffer: then none is needed yet. */
static enum FastSoftOutcome onNoBuffers(struct FastSoft* soft, struct FastSoftOperation* operation,
                                        struct FastSoftGroup* group)
{
    struct FastSystem* system = soft->system;
    if (mayStarve(soft, operation, group))
        return FAST_SOFT_STARVE;
    bool begun = operation->done > 0 || operation->state & FAST_SOFT_SERVED;
    if (begun && system->functions->look(system, operation->handle, POLLIN | POLLRDHUP) == 0)
        return FastSoftOnNothing(soft, operation);
    if (group != NULL)
        group->told = soft->base.enters;
    return FastSoftFinish(soft, operation, FastSoftLackOfBuffers(soft, operation), 0);
}

/* ---- bytes, into buffers of a ring ---- */

static bool isBundle(const struct FastSoftOperation* operation)
{
    return operation->priority & FAST_URING_RECVSEND_BUNDLE;
}

/* How much the next receive may bring: by the length of one, and by what is left of the whole. */
static size_t limitOf(const struct FastSoftOperation* operation)
{
    size_t limit = operation->length > 0 ? operation->length : RECEIVE_FOREVER;
    size_t whole = isMultishot(operation) && operation->extra > 0
                       ? (size_t)operation->extra - operation->done
                       : RECEIVE_FOREVER;
    return limit < whole ? limit : whole;
}

/* The buffers that are next; returns how many, with their bytes. */
static int gatherBuffers(const struct FastSoftGroup* group,
                         const struct FastSoftOperation* operation, struct iovec* vector,
                         size_t* size)
{
    uint32_t available = FastSoftAvailable(group);
    uint32_t most = isBundle(operation) ? RECEIVE_VECTORS : 1;
    size_t left = limitOf(operation);
    int count = 0;
    *size = 0;
    if (available < most)
        most = available;
    while ((uint32_t)count < most && left > 0) {
        const struct io_uring_buf* buffer = FastSoftBuffer(group, (uint32_t)count);
        size_t length = buffer->len < left ? buffer->len : left;
        vector[count].iov_base = (void*)(uintptr_t)buffer->addr;
        vector[count].iov_len = length;
        *size += length;
        left -= length;
        count++;
    }
    return count;
}

/* Of count buffers, those that have some of the bytes. */
static uint32_t countFilled(const struct iovec* vector, int count, size_t bytes)
{
    int filled = 1;
    for (; filled < count && bytes > vector->iov_len; filled++)
        bytes -= (vector++)->iov_len;
    return (uint32_t)filled;
}

static ssize_t receiveVector(struct FastSoft* soft, const struct FastSoftOperation* operation,
                             struct iovec* vector, int count)
{
    struct FastSystem* system = soft->system;
    if (count == 1)
        return system->functions->receive(system, operation->handle, vector->iov_base,
                                          vector->iov_len, (int)operation->options);
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = (size_t)count};
    return system->functions->receiveMessage(system, operation->handle, &message,
                                             (int)operation->options);
}

/* What has come is reported; FAST_SOFT_MORE: go on. */
static enum FastSoftOutcome onBytes(struct FastSoft* soft, struct FastSoftOperation* operation,
                                    struct FastSoftGroup* group, const struct iovec* vector,
                                    int count, size_t bytes)
{
    uint32_t id = FastSoftBuffer(group, 0)->bid;
    uint32_t flags = IORING_CQE_F_BUFFER | id << IORING_CQE_BUFFER_SHIFT;
    FastSoftTake(soft, group, countFilled(vector, count, bytes));
    operation->done += (uint32_t)bytes;
    bool whole = operation->extra > 0 && operation->done >= (uint32_t)operation->extra;
    if (!isMultishot(operation) || whole)
        return FastSoftFinish(soft, operation, (int)bytes, flags);
    FastSoftPost(soft, operation->owner, (int)bytes, flags | IORING_CQE_F_MORE);
    return FAST_SOFT_MORE;
}

static enum FastSoftOutcome receiveSelected(struct FastSoft* soft,
                                            struct FastSoftOperation* operation)
{
    struct iovec vector[RECEIVE_VECTORS];
    for (int round = 0; round < RECEIVE_ROUNDS && FastSoftRoom(soft) > 1; round++) {
        struct FastSoftGroup* group = FastSoftFindGroup(soft, operation->group);
        size_t size;
        int count = gatherBuffers(group, operation, vector, &size);
        if (count == 0)
            return onNoBuffers(soft, operation, group);
        ssize_t result = receiveVector(soft, operation, vector, count);
        if (result == -EAGAIN)
            return FastSoftOnNothing(soft, operation);
        if (result <= 0)
            return FastSoftFinish(soft, operation, (int)result, 0);
        if (onBytes(soft, operation, group, vector, count, (size_t)result) == FAST_SOFT_OVER)
            return FAST_SOFT_OVER;
        if ((size_t)result < size && !FastSoftMayHaveMore(soft, operation)) {
            operation->state &= (uint16_t)~FAST_SOFT_DRAINED;
            return FAST_SOFT_WAIT;
        }
    }
    return FAST_SOFT_MORE;
}

/* ---- bytes, into one piece of memory ---- */

void FastSoftTakeBuffer(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    struct FastSoftGroup* group = FastSoftFindGroup(soft, operation->group);
    if (operation->state & FAST_SOFT_TAKEN || group == NULL)
        return;
    operation->extra = FastSoftBuffer(group, 0)->bid;
    operation->state |= FAST_SOFT_TAKEN;
    FastSoftTake(soft, group, 1);
}

static enum FastSoftOutcome receiveOnce(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    struct FastSystem* system = soft->system;
    bool all = operation->options & MSG_WAITALL;
    for (;;) {
        ssize_t result = system->functions->receive(
            system, operation->handle, (char*)(uintptr_t)operation->address + operation->done,
            operation->length - operation->done, (int)operation->options);
        if (result == -EAGAIN)
            return FastSoftOnNothing(soft, operation);
        if (result <= 0)
            return FastSoftFinishPart(soft, operation, (int)result);
        if (operation->flags & IOSQE_BUFFER_SELECT)
            FastSoftTakeBuffer(soft, operation);
        bool first = operation->done == 0;
        operation->done += (uint32_t)result;
        if (!all || operation->done >= operation->length)
            break;
        if (first && !FastSoftIsJoined(soft, operation))
            return FastSoftFinishPart(soft, operation, 0);
    }
    return FastSoftFinish(soft, operation, (int)operation->done, FastSoftBufferFlags(operation));
}

/* One buffer that is to be full: the first bytes make it the operation's, until the last. */
static enum FastSoftOutcome receiveFull(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    const struct FastSoftGroup* group = FastSoftFindGroup(soft, operation->group);
    if (operation->state & FAST_SOFT_TAKEN)
        return receiveOnce(soft, operation);
    if (FastSoftAvailable(group) == 0)
        return FastSoftFinish(soft, operation, FastSoftLackOfBuffers(soft, operation), 0);
    const struct io_uring_buf* buffer = FastSoftBuffer(group, 0);
    bool bounded = operation->state & FAST_SOFT_STARTED || operation->length > 0;
    operation->state |= FAST_SOFT_STARTED; /* its length is set */
    operation->address = buffer->addr;
    if (!bounded || operation->length > buffer->len)
        operation->length = buffer->len;
    return receiveOnce(soft, operation);
}

enum FastSoftOutcome FastSoftReceive(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    bool selects = operation->flags & IOSQE_BUFFER_SELECT;
    if (isMultishot(operation) && !selects)
        return FastSoftFinish(soft, operation, -EINVAL, 0);
    if (!selects)
        return receiveOnce(soft, operation);
    if (operation->options & MSG_WAITALL)
        return isMultishot(operation) ? FastSoftFinish(soft, operation, -EINVAL, 0)
                                      : receiveFull(soft, operation);
    return receiveSelected(soft, operation);
}

/* ---- messages ---- */

/* A receive of many needs two numbers of its header: they are kept in the place of its address. */
int FastSoftBeginMessages(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    const size_t most = INT_MAX - sizeof(struct io_uring_recvmsg_out);
    struct msghdr header;
    if (!isMultishot(operation) || operation->state & FAST_SOFT_STARTED)
        return 0;
    int result = FastSoftFetch(soft, operation, &header, operation->address, sizeof(header));
    if (result < 0)
        return result;
    if (header.msg_namelen > most || header.msg_controllen > most - header.msg_namelen)
        return -EOVERFLOW;
    operation->address = (uint64_t)header.msg_controllen << 32 | (uint32_t)header.msg_namelen;
    operation->state |= FAST_SOFT_STARTED;
    return 0;
}

/* Where in a buffer the parts of a message lie, behind a header of their lengths. */
static bool layOut(const struct FastSoftOperation* operation, const struct io_uring_buf* buffer,
                   struct msghdr* message, struct iovec* vector)
{
    char* start = (char*)(uintptr_t)buffer->addr;
    size_t name = (uint32_t)operation->address;
    size_t control = operation->address >> 32;
    size_t front = sizeof(struct io_uring_recvmsg_out) + name + control;
    if (front > buffer->len)
        return false;
    *vector = (struct iovec){.iov_base = start + front, .iov_len = buffer->len - front};
    *message = (struct msghdr){
        .msg_name = name > 0 ? start + sizeof(struct io_uring_recvmsg_out) : NULL,
        .msg_namelen = (socklen_t)name,
        .msg_control = control > 0 ? start + sizeof(struct io_uring_recvmsg_out) + name : NULL,
        .msg_controllen = control,
        .msg_iov = vector,
        .msg_iovlen = 1,
    };
    return true;
}

/*
 * The completion counts what is in the buffer: also of a message that was longer. Where it may be
 * a connection's end, an empty message ends the receive, as it does in the kernel.
 */
static enum FastSoftOutcome onMessage(struct FastSoft* soft, struct FastSoftOperation* operation,
                                      struct FastSoftGroup* group, const struct mmsghdr* received,
                                      bool mayEnd)
{
    const struct msghdr* message = &received->msg_hdr;
    size_t length = received->msg_len;
    const struct io_uring_buf* buffer = FastSoftBuffer(group, 0);
    size_t front = (size_t)((char*)message->msg_iov->iov_base - (char*)(uintptr_t)buffer->addr);
    size_t stored = length < message->msg_iov->iov_len ? length : message->msg_iov->iov_len;
    struct io_uring_recvmsg_out header = {
        .namelen = message->msg_namelen,
        .controllen = (uint32_t)message->msg_controllen,
        .payloadlen = (uint32_t)length,
        .flags = (uint32_t)message->msg_flags,
    };
    memcpy((void*)(uintptr_t)buffer->addr, &header, sizeof(header));
    uint32_t flags = IORING_CQE_F_BUFFER | (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT;
    FastSoftTake(soft, group, 1);
    if (length == 0 && mayEnd)
        return FastSoftFinish(soft, operation, (int)front, flags);
    FastSoftPost(soft, operation->owner, (int)(front + stored), flags | IORING_CQE_F_MORE);
    return FAST_SOFT_MORE;
}

/* Of datagrams one more than came together lately: that fewer come says that none are left. */
static unsigned guess(const struct FastSoft* soft, const struct FastSoftOperation* operation,
                      const struct FastSoftGroup* group, bool datagrams)
{
    const struct FastSoftNode* node = FastSoftKnownNode(soft, operation->handle);
    unsigned count = datagrams ? node->burst + 1U : 1;
    uint32_t available = FastSoftAvailable(group);
    unsigned room = FastSoftRoom(soft) - 1;
    if (count > available)
        count = available;
    return count < room ? count : room;
}

static void learn(struct FastSoft* soft, const struct FastSoftOperation* operation, int came)
{
    struct FastSoftNode* node = FastSoftKnownNode(soft, operation->handle);
    if (node == NULL)
        return;
    if (came > node->burst)
        node->burst = (uint8_t)(2 * came < RECEIVE_MESSAGES ? 2 * came : RECEIVE_MESSAGES - 1);
    else
        node->burst -= node->burst > 1 && came < node->burst / 2;
}

/* As many as come with one call. Returns how many there are, after what there was room for. */
static int receiveBurst(struct FastSoft* soft, const struct FastSoftOperation* operation,
                        const struct FastSoftGroup* group, struct mmsghdr* messages,
                        struct iovec* vectors, unsigned count)
{
    struct FastSystem* system = soft->system;
    for (unsigned index = 0; index < count; index++)
        if (!layOut(operation, FastSoftBuffer(group, index), &messages[index].msg_hdr,
                    &vectors[index]))
            return -EFAULT;
    if (count > 1)
        return system->functions->receiveMessages(system, operation->handle, messages, count,
                                                  (int)operation->options);
    ssize_t result = system->functions->receiveMessage(
        system, operation->handle, &messages->msg_hdr, (int)operation->options);
    messages->msg_len = (unsigned)result;
    return result < 0 ? (int)result : 1;
}

static enum FastSoftOutcome receiveMessages(struct FastSoft* soft,
                                            struct FastSoftOperation* operation)
{
    struct mmsghdr messages[RECEIVE_MESSAGES];
    struct iovec vectors[RECEIVE_MESSAGES];
    int begun = FastSoftBeginMessages(soft, operation);
    if (begun < 0)
        return FastSoftFinish(soft, operation, begun, 0);
    for (int round = 0; round < RECEIVE_ROUNDS && FastSoftRoom(soft) > 1; round++) {
        struct FastSoftGroup* group = FastSoftFindGroup(soft, operation->group);
        bool datagrams = FastSoftHasDatagrams(soft, operation);
        unsigned count = guess(soft, operation, group, datagrams);
        if (count == 0)
            return onNoBuffers(soft, operation, group);
        int came = receiveBurst(soft, operation, group, messages, vectors, count);
        if (came == -EAGAIN)
            return FastSoftOnNothing(soft, operation);
        if (came < 0)
            return FastSoftFinish(soft, operation, came, 0);
        for (int index = 0; index < came; index++)
            if (onMessage(soft, operation, group, &messages[index], !datagrams) == FAST_SOFT_OVER)
                return FAST_SOFT_OVER;
        if (!datagrams)
            continue;
        learn(soft, operation, came);
        if (came < (int)count && !FastSoftMayFail(soft, operation))
            return FAST_SOFT_WAIT;
    }
    return FAST_SOFT_MORE;
}

enum FastSoftOutcome FastSoftReceiveMessages(struct FastSoft* soft,
                                             struct FastSoftOperation* operation)
{
    if (!(operation->flags & IOSQE_BUFFER_SELECT) || operation->options & MSG_WAITALL)
        return FastSoftFinish(soft, operation, -EINVAL, 0);
    return receiveMessages(soft, operation);
}
