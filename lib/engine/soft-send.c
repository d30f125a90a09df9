/*
 * Sends in user space: of bytes and of messages.
 *
 * Good path: tried at once, from the caller's memory. With MSG_WAITALL what is left is sent when
 * there is room, until all is; without, a short count is the result.
 *
 * Failures: an error, or a cancellation, behind a part: the part is the result, and what is linked
 * behind is canceled. A send that goes without a copy in the kernel is copied here, and says so.
 * Records that a send that doesn't wait would cut are sent by a thread of the system's, if asked.
 * What goes to an address may find no room there while our own socket has some, and polls so: it is
 * tried again after a time.
 */
#include "engine/soft-code.h"

#include "engine/soft-entry.h"
#include "engine/soft-fetch.h"
#include "engine/soft-look.h"
#include "engine/soft-node.h"
#include "engine/uring-compat.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum
{
    SEND_TOGETHER = 32, /* messages by one call */
    SEND_FEW = 4,       /* that take no more calls each by itself */
};

static bool isZeroCopy(const struct FastSoftOperation* operation)
{
    return operation->opcode == IORING_OP_SEND_ZC || operation->opcode == IORING_OP_SENDMSG_ZC;
}

/* The buffers of a send without a copy are given back by a completion of their own. */
enum FastSoftOutcome FastSoftFinishSend(struct FastSoft* soft, struct FastSoftOperation* operation,
                                        int result)
{
    if (!isZeroCopy(operation))
        return FastSoftFinish(soft, operation, result, 0);
    bool tells = operation->priority & FAST_URING_SEND_ZC_REPORT_USAGE;
    uint32_t copied = FAST_URING_NOTIF_USAGE_ZC_COPIED;
    FastSoftPost(soft, operation->owner, result, IORING_CQE_F_MORE);
    if (result < 0)
        operation->state |= FAST_SOFT_SHORT;
    return FastSoftFinish(soft, operation, tells ? (int)copied : 0, IORING_CQE_F_NOTIF);
}

/* An error, or 0 for an end that is neither. */
static enum FastSoftOutcome fail(struct FastSoft* soft, struct FastSoftOperation* operation,
                                 int result)
{
    if (operation->done == 0)
        return FastSoftFinishSend(soft, operation, result);
    operation->state |= FAST_SOFT_SHORT;
    return FastSoftFinishSend(soft, operation, (int)operation->done);
}

/* name: where it should have gone, if that is its own. Whose queue is full is told by ours. */
static enum FastSoftOutcome onFull(struct FastSoft* soft, struct FastSoftOperation* operation,
                                   const void* name, socklen_t length)
{
    struct FastSystem* system = soft->system;
    operation->state |= FAST_SOFT_DRAINED;
    if (operation->options & MSG_DONTWAIT)
        return fail(soft, operation, -EAGAIN);
    bool elsewhere = FastSoftIsElsewhere(name, length) &&
                     system->functions->look(system, operation->handle, POLLOUT) != 0;
    return elsewhere ? FAST_SOFT_LOOK : FAST_SOFT_WAIT;
}

/* Whether it may be a thread's; what has begun here goes on here. */
static bool asksForThread(const struct FastSoftOperation* operation)
{
    return operation->flags & IOSQE_ASYNC && !isZeroCopy(operation) && operation->done == 0 &&
           operation->address != 0 && !(operation->options & MSG_DONTWAIT);
}

/* Whoever asks for another thread gets one, where the socket is such that it matters. Returns 0,
 * -EOPNOTSUPP (it doesn't), or the errno that is the send's: trying it here would not do. */
static int beginSlow(struct FastSoft* soft, struct FastSoftOperation* operation,
                     const struct iovec* vector, size_t count)
{
    const struct FastSystemSlow work = {
        .closure = operation,
        .vector = vector,
        .count = (unsigned)count,
        .handle = FastSoftOwnHandle(soft, operation),
        .flags = (int)operation->options,
        .work = FAST_SYSTEM_SENDS,
    };
    int result = soft->system->functions->beginSlow(soft->system, &work);
    return result == 0 || result == -EOPNOTSUPP ? result : -ENOBUFS;
}

/* ---- bytes ---- */

static ssize_t sendBytes(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    struct FastSystem* system = soft->system;
    char* data = (char*)(uintptr_t)operation->address + operation->done;
    size_t size = operation->length - operation->done;
    int flags = (int)operation->options & ~MSG_WAITALL;
    if (operation->offset == 0)
        return system->functions->send(system, operation->handle, data, size, flags);
    if (FastSoftNameLength(operation) > sizeof(struct sockaddr_storage))
        return -EINVAL;
    struct iovec vector = {.iov_base = data, .iov_len = size};
    struct msghdr message = {
        .msg_name = (void*)(uintptr_t)operation->offset,
        .msg_namelen = FastSoftNameLength(operation),
        .msg_iov = &vector,
        .msg_iovlen = 1,
    };
    return system->functions->sendMessage(system, operation->handle, &message, flags);
}

static int beginSlowBytes(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    const struct iovec vector = {(void*)(uintptr_t)operation->address, operation->length};
    return operation->offset == 0 ? beginSlow(soft, operation, &vector, 1) : -EOPNOTSUPP;
}

enum FastSoftOutcome FastSoftSend(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    int begun = asksForThread(operation) ? beginSlowBytes(soft, operation) : -EOPNOTSUPP;
    if (begun != -EOPNOTSUPP)
        return begun == 0 ? FAST_SOFT_BEGUN : FastSoftFinishSend(soft, operation, begun);
    for (;;) {
        ssize_t result = sendBytes(soft, operation);
        if (result == -EAGAIN)
            return onFull(soft, operation, (const void*)(uintptr_t)operation->offset,
                          FastSoftNameLength(operation));
        if (result < 0)
            return fail(soft, operation, FastSoftBlame(soft, operation, (int)result));
        operation->done += (uint32_t)result;
        if (operation->done >= operation->length || !(operation->options & MSG_WAITALL) ||
            result == 0)
            return FastSoftFinishSend(soft, operation, (int)operation->done);
    }
}

/* ---- messages ---- */

/* What is left of a header, in a copy of ours. */
static void skipSent(struct FastSoftCopy* copy, size_t bytes)
{
    FastSoftSkipBytes(copy, bytes);
    /* What goes with the first byte has gone. */
    copy->header.msg_control = NULL;
    copy->header.msg_controllen = 0;
}

static size_t sizeOf(const struct msghdr* message)
{
    size_t size = 0;
    for (size_t index = 0; index < (size_t)message->msg_iovlen; index++)
        size += message->msg_iov[index].iov_len;
    return size;
}

static const struct msghdr* headerOf(const struct FastSoftOperation* operation)
{
    if (operation->state & FAST_SOFT_KEPT)
        return &FastSoftCopyOf(operation)->header;
    return (const struct msghdr*)(uintptr_t)operation->address;
}

int FastSoftKeepMessage(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    struct msghdr message;
    if (operation->state & FAST_SOFT_KEPT)
        return 0;
    int result = FastSoftFetchHeader(soft, operation, operation->address, &message);
    if (result < 0)
        return result;
    struct FastSoftCopy* copy = FastSoftKeep(soft, operation, (uint32_t)message.msg_iovlen);
    if (copy == NULL)
        return -ENOMEM;
    result = FastSoftFetchVector(soft, operation, message.msg_iov, message.msg_iovlen,
                                 copy->vectors);
    if (result == 0)
        FastSoftCopyHeader(copy, &message);
    return result;
}

static int beginSlowMessage(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    int result = FastSoftKeepMessage(soft, operation);
    if (result < 0)
        return result;
    const struct msghdr* message = headerOf(operation);
    if (message->msg_namelen > 0)
        return -EOPNOTSUPP;
    return beginSlow(soft, operation, message->msg_iov, message->msg_iovlen);
}

enum FastSoftOutcome FastSoftSendMessage(struct FastSoft* soft,
                                         struct FastSoftOperation* operation)
{
    struct FastSystem* system = soft->system;
    int flags = (int)operation->options & ~MSG_WAITALL;
    int begun = asksForThread(operation) ? beginSlowMessage(soft, operation) : -EOPNOTSUPP;
    if (begun != -EOPNOTSUPP)
        return begun == 0 ? FAST_SOFT_BEGUN : FastSoftFinishSend(soft, operation, begun);
    for (;;) {
        const struct msghdr* message = headerOf(operation);
        ssize_t result =
            system->functions->sendMessage(system, operation->handle, message, flags);
        if (result == -EAGAIN)
            return onFull(soft, operation, message->msg_name, message->msg_namelen);
        if (result < 0)
            return fail(soft, operation, FastSoftBlame(soft, operation, (int)result));
        operation->done += (uint32_t)result;
        if (!(operation->options & MSG_WAITALL) || result == 0 ||
            (size_t)result >= sizeOf(message))
            return FastSoftFinishSend(soft, operation, (int)operation->done);
        int kept = FastSoftKeepMessage(soft, operation);
        if (kept < 0)
            return fail(soft, operation, kept);
        skipSent(FastSoftCopyOf(operation), (size_t)result);
    }
}

/* ---- messages of several operations ---- */

static const struct io_uring_sqe* entryAt(const struct FastSoft* soft, unsigned place)
{
    return &soft->base.submission.entries[place & soft->base.submission.mask];
}

static bool isAlone(const struct io_uring_sqe* entry)
{
    const unsigned apart = IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_IO_HARDLINK |
                           IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS | IOSQE_ASYNC;
    return entry->opcode != IORING_OP_SENDMSG || entry->flags & apart ||
           entry->msg_flags & MSG_WAITALL || FastSoftIsOdd(entry);
}

/* The headers of raw operations, which may not be there: returns how many are. */
static unsigned fetchHeaders(struct FastSoft* soft, unsigned place, struct mmsghdr* messages,
                             unsigned count)
{
    struct iovec from[SEND_TOGETHER];
    struct iovec to[SEND_TOGETHER];
    for (unsigned index = 0; index < count; index++) {
        const struct io_uring_sqe* entry = entryAt(soft, place + index);
        from[index] = (struct iovec){(void*)(uintptr_t)entry->addr, sizeof(struct msghdr)};
        to[index] = (struct iovec){&messages[index].msg_hdr, sizeof(struct msghdr)};
    }
    return soft->system->functions->copy(soft->system, to, from, count);
}

/* Each with its own result, until one has to wait. */
static unsigned sendEach(struct FastSoft* soft, unsigned place, const struct mmsghdr* messages,
                         unsigned count)
{
    const struct io_uring_sqe* first = entryAt(soft, place);
    unsigned done = 0;
    for (; done < count; done++) {
        ssize_t result = soft->system->functions->sendMessage(
            soft->system, first->fd, &messages[done].msg_hdr, (int)first->msg_flags);
        if (result == -EAGAIN)
            break;
        FastSoftPost(soft, entryAt(soft, place + done)->user_data, (int)result, 0);
    }
    return done;
}

/* Of those that have gone the results are told. */
static unsigned sendAtOnce(struct FastSoft* soft, unsigned place, struct mmsghdr* messages,
                           unsigned count)
{
    const struct io_uring_sqe* first = entryAt(soft, place);
    int sent = soft->system->functions->sendMessages(soft->system, first->fd, messages, count,
                                                     (int)first->msg_flags);
    if (sent < 0 && sent != -EAGAIN) {
        /* Sent again, it would not tell: an earlier datagram's error has gone with this call. */
        FastSoftPost(soft, first->user_data, sent, 0);
        return 1;
    }
    for (int index = 0; index < sent; index++)
        FastSoftPost(soft, entryAt(soft, place + (unsigned)index)->user_data,
                     (int)messages[index].msg_len, 0);
    return sent > 0 ? (unsigned)sent : 0;
}

unsigned FastSoftSendTogether(struct FastSoft* soft, unsigned place)
{
    struct mmsghdr messages[SEND_TOGETHER];
    bool held = FastSoftIsHeld(soft, place);
    const struct io_uring_sqe* first = entryAt(soft, place);
    unsigned left = soft->base.submission.tail - place;
    unsigned count = 0;
    while (count < left && count < SEND_TOGETHER && count + 1 < FastSoftRoom(soft)) {
        const struct io_uring_sqe* entry = entryAt(soft, place + count);
        if (isAlone(entry) || entry->fd != first->fd || entry->msg_flags != first->msg_flags ||
            FastSoftIsHeld(soft, place + count) != held)
            break;
        if (!held)
            messages[count].msg_hdr = *(const struct msghdr*)(uintptr_t)entry->addr;
        count++;
    }
    if (held && count > 1)
        count = fetchHeaders(soft, place, messages, count);
    if (count < 2)
        return 0;
    /* One call for all does not tell what stops it in the middle. */
    bool apart = count <= SEND_FEW ||
                 soft->system->functions->hearsErrors(soft->system, first->fd);
    return apart ? sendEach(soft, place, messages, count)
                 : sendAtOnce(soft, place, messages, count);
}
