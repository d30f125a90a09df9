/*
 * What an entry points to beside data, read where that is needed: a raw operation's may not be
 * there.
 *
 * Good path: mostly nothing is read here, since the system call that is tried reads it, and says so
 * if it can't. What has to be kept, or changed, is copied by the system, which can fail; NULL needs
 * no asking. Of the library's own entries all is there.
 *
 * Failures: the errno is that of io_uring, which reads everything before it looks for the
 * descriptor; a system call does it the other way round, so that where one has refused the
 * descriptor, the rest is looked at here.
 */
#include "engine/soft-fetch.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

int FastSoftFetch(struct FastSoft* soft, const struct FastSoftOperation* operation, void* to,
                  uint64_t address, size_t size)
{
    const struct iovec from = {(void*)(uintptr_t)address, size};
    /* cppcheck-suppress ctuuninitvar ; it is written to */
    const struct iovec place = {to, size};
    if (!(operation->state & FAST_SOFT_HELD)) {
        memcpy(to, from.iov_base, size);
        return 0;
    }
    if (address == 0 || soft->system->functions->copy(soft->system, &place, &from, 1) == 0)
        return -EFAULT;
    return 0;
}

int FastSoftFetchHeader(struct FastSoft* soft, const struct FastSoftOperation* operation,
                        uint64_t address, struct msghdr* header)
{
    int result = FastSoftFetch(soft, operation, header, address, sizeof(*header));
    if (result < 0)
        return result;
    if (header->msg_namelen > INT_MAX)
        return -EINVAL;
    return header->msg_iovlen > FAST_SYSTEM_VECTORS ? -EMSGSIZE : 0;
}

int FastSoftFetchVector(struct FastSoft* soft, const struct FastSoftOperation* operation,
                        const struct iovec* vector, size_t count, struct iovec* to)
{
    if (count > FAST_SYSTEM_VECTORS)
        return -EINVAL;
    if (operation->state & FAST_SOFT_HELD)
        return FastSystemTakeVector(soft->system, vector, (unsigned)count, to);
    if (count > 0)
        memcpy(to, vector, count * sizeof(*vector));
    return 0;
}

/* ---- who is to blame ---- */

static int blameAddress(struct FastSoft* soft, const struct FastSoftOperation* operation,
                        uint64_t address, size_t length)
{
    struct sockaddr_storage name;
    if (length > sizeof(name))
        return -EINVAL;
    return length > 0 ? FastSoftFetch(soft, operation, &name, address, length) : 0;
}

static int blameVector(struct FastSoft* soft, const struct FastSoftOperation* operation,
                       const struct iovec* vector, size_t count)
{
    struct iovec vectors[FAST_SYSTEM_VECTORS];
    return FastSoftFetchVector(soft, operation, vector, count, vectors);
}

static int blameMessage(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    struct msghdr header;
    int result = FastSoftFetchHeader(soft, operation, operation->address, &header);
    if (result < 0)
        return result;
    if (operation->flags & IOSQE_BUFFER_SELECT) /* one vector says how much */
        return header.msg_iovlen > 1
                   ? -EINVAL
                   : blameVector(soft, operation, header.msg_iov, header.msg_iovlen);
    if (operation->opcode != IORING_OP_RECVMSG && header.msg_name != NULL) {
        size_t most = sizeof(struct sockaddr_storage); /* what is longer is cut */
        size_t length = header.msg_namelen < most ? header.msg_namelen : most;
        result = blameAddress(soft, operation, (uintptr_t)header.msg_name, length);
    }
    return result < 0 ? result
                      : blameVector(soft, operation, header.msg_iov, header.msg_iovlen);
}

static int blame(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    switch (operation->opcode) {
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_RECVMSG:
        return blameMessage(soft, operation);
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
        return blameVector(soft, operation, (const struct iovec*)(uintptr_t)operation->address,
                           operation->length);
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
        return operation->offset != 0
                   ? blameAddress(soft, operation, operation->offset,
                                  FastSoftNameLength(operation))
                   : 0;
    case IORING_OP_CONNECT:
        return blameAddress(soft, operation, operation->address, operation->offset);
    default:
        return 0;
    }
}

int FastSoftBlame(struct FastSoft* soft, const struct FastSoftOperation* operation, int result)
{
    const enum FastSoftState read = FAST_SOFT_KEPT | FAST_SOFT_STARTED;
    bool early = result == -EBADF || result == -ENOTSOCK || result == -EINVAL;
    if (!early || operation->state & read || !(operation->state & FAST_SOFT_HELD))
        return result;
    int cause = blame(soft, operation);
    return cause < 0 ? cause : result;
}
