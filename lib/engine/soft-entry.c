/*
 * Which entries are refused as they are, before anything is done: the rules are those of Linux
 * 6.18, in the functions that prepare an operation there. What a later kernel allows we don't do,
 * and say so as an older one would.
 */
#include "engine/soft-entry.h"

#include "engine/uring-compat.h"

#include <errno.h>
#include <sys/socket.h>

/* ---- what is forbidden ---- */

enum
{
    ENTRY_SEND_FLAGS = IORING_RECVSEND_POLL_FIRST,
    ENTRY_ZERO_COPY_FLAGS = IORING_RECVSEND_POLL_FIRST | FAST_URING_SEND_ZC_REPORT_USAGE,
    ENTRY_MESSAGE_FLAGS = IORING_RECVSEND_POLL_FIRST | IORING_RECV_MULTISHOT,
    ENTRY_RECEIVE_FLAGS = ENTRY_MESSAGE_FLAGS | FAST_URING_RECVSEND_BUNDLE,
    ENTRY_ACCEPT_FLAGS = IORING_ACCEPT_MULTISHOT | FAST_URING_ACCEPT_DONTWAIT |
                         1 << 2, /* IORING_ACCEPT_POLL_FIRST */
    ENTRY_UPDATE_FLAGS = IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA,
    ENTRY_POLL_FLAGS = IORING_POLL_ADD_MULTI | ENTRY_UPDATE_FLAGS,
    ENTRY_RWF = 0x1ff,       /* up to RWF_NOSIGNAL */
    ENTRY_UNKNOWN = 1 << 7,  /* of the flags that all have */
    ENTRY_MOST = 0x7ffff000, /* bytes by one call: MAX_RW_COUNT, with pages of 4 KiB */
};

#define ENTRY_ALL  UINT64_MAX
#define ENTRY_SIGN (UINT32_C(1) << 31) /* lengths that are signed */

#define ENTRY_SPLICE (SPLICE_F_FD_IN_FIXED | UINT32_C(0xf)) /* the others up to SPLICE_F_GIFT */

/* Those that know no buffers of a group, and those that do. */
#define ENTRY_PLAIN        .flags = ENTRY_UNKNOWN | IOSQE_BUFFER_SELECT, .personality = UINT16_MAX
#define ENTRY_SELECTING    .flags = ENTRY_UNKNOWN, .personality = UINT16_MAX
#define ENTRY_NO_FLAGS     .ioprio = UINT16_MAX
#define ENTRY_FLAGS(known) .ioprio = (uint16_t) ~(known)

const struct io_uring_sqe FastSoftForbidden[FAST_SOFT_CODES] = {
    [IORING_OP_NOP] = {ENTRY_PLAIN, ENTRY_NO_FLAGS, .rw_flags = -1},
    [IORING_OP_READ] = {ENTRY_SELECTING, .rw_flags = ~ENTRY_RWF},
    [IORING_OP_READV] = {ENTRY_SELECTING, .rw_flags = ~ENTRY_RWF},
    [IORING_OP_WRITE] = {ENTRY_PLAIN, .rw_flags = ~ENTRY_RWF},
    [IORING_OP_WRITEV] = {ENTRY_PLAIN, .rw_flags = ~ENTRY_RWF},
    [IORING_OP_SPLICE] = {ENTRY_PLAIN, ENTRY_NO_FLAGS, .rw_flags = ~ENTRY_SPLICE},
    [IORING_OP_RECV] = {ENTRY_SELECTING, ENTRY_FLAGS(ENTRY_RECEIVE_FLAGS), .off = ENTRY_ALL,
                        .len = ENTRY_SIGN, .splice_fd_in = -1},
    [IORING_OP_RECVMSG] = {ENTRY_SELECTING, ENTRY_FLAGS(ENTRY_MESSAGE_FLAGS), .off = ENTRY_ALL,
                           .len = ENTRY_SIGN, .splice_fd_in = -1},
    [IORING_OP_SEND] = {ENTRY_PLAIN, ENTRY_FLAGS(ENTRY_SEND_FLAGS), .len = ENTRY_SIGN},
    [IORING_OP_SENDMSG] = {ENTRY_PLAIN, ENTRY_FLAGS(ENTRY_SEND_FLAGS), .off = ENTRY_ALL,
                           .len = ENTRY_SIGN, .splice_fd_in = -1},
    [IORING_OP_SEND_ZC] = {ENTRY_PLAIN, ENTRY_FLAGS(ENTRY_ZERO_COPY_FLAGS), .len = ENTRY_SIGN},
    [IORING_OP_SENDMSG_ZC] = {ENTRY_PLAIN, ENTRY_FLAGS(ENTRY_ZERO_COPY_FLAGS), .off = ENTRY_ALL,
                              .splice_fd_in = -1},
    [IORING_OP_POLL_ADD] = {ENTRY_PLAIN, ENTRY_NO_FLAGS, .off = ENTRY_ALL, .addr = ENTRY_ALL,
                            .len = ~IORING_POLL_ADD_MULTI, .buf_index = UINT16_MAX},
    [IORING_OP_POLL_REMOVE] = {ENTRY_PLAIN, ENTRY_NO_FLAGS, .off = ENTRY_ALL,
                               .len = UINT32_MAX, .rw_flags = -1, .buf_index = UINT16_MAX,
                               .splice_fd_in = -1},
    [IORING_OP_ASYNC_CANCEL] = {ENTRY_PLAIN, ENTRY_NO_FLAGS, .off = ENTRY_ALL,
                                .splice_fd_in = -1},
    [IORING_OP_ACCEPT] = {ENTRY_PLAIN, ENTRY_FLAGS(ENTRY_ACCEPT_FLAGS), .len = UINT32_MAX,
                          .rw_flags = ~(SOCK_NONBLOCK | SOCK_CLOEXEC),
                          .buf_index = UINT16_MAX},
    [IORING_OP_CONNECT] = {ENTRY_PLAIN, ENTRY_NO_FLAGS, .len = UINT32_MAX, .rw_flags = -1,
                           .buf_index = UINT16_MAX, .splice_fd_in = -1},
    [IORING_OP_SHUTDOWN] = {ENTRY_PLAIN, ENTRY_NO_FLAGS, .off = ENTRY_ALL, .addr = ENTRY_ALL,
                            .rw_flags = -1, .buf_index = UINT16_MAX, .splice_fd_in = -1},
    [IORING_OP_CLOSE] = {ENTRY_PLAIN, ENTRY_NO_FLAGS, .off = ENTRY_ALL, .addr = ENTRY_ALL,
                         .len = UINT32_MAX, .rw_flags = -1, .buf_index = UINT16_MAX},
};

/* ---- what follows ---- */

/* Fine but for what only a receive of many may have: how much all of them may bring. */
static bool isReceiveOfMany(const struct io_uring_sqe* entry)
{
    struct io_uring_sqe rest = *entry;
    rest.splice_fd_in = 0;
    return entry->opcode == IORING_OP_RECV && entry->ioprio & IORING_RECV_MULTISHOT &&
           !FastSoftIsOdd(&rest);
}

/* Fine but for its length, which is no error here: it is shortened. */
static bool isLongSend(struct io_uring_sqe* entry)
{
    struct io_uring_sqe rest = *entry;
    rest.len = ENTRY_MOST;
    if (entry->opcode != IORING_OP_SEND_ZC || FastSoftIsOdd(&rest))
        return false;
    entry->len = ENTRY_MOST;
    return true;
}

/* What is polled for is to be changed. */
static bool isPollUpdate(const struct io_uring_sqe* entry)
{
    return entry->opcode == IORING_OP_POLL_REMOVE && entry->len & ENTRY_UPDATE_FLAGS &&
           !(entry->len & ~(uint32_t)ENTRY_POLL_FLAGS);
}

static bool isTransfer(const struct io_uring_sqe* entry)
{
    return entry->opcode == IORING_OP_READ || entry->opcode == IORING_OP_READV ||
           entry->opcode == IORING_OP_WRITE || entry->opcode == IORING_OP_WRITEV;
}

int FastSoftClassify(struct io_uring_sqe* entry)
{
    const struct io_uring_sqe* forbidden = &FastSoftForbidden[entry->opcode];
    if (entry->flags & ENTRY_UNKNOWN)
        return -EINVAL;
    if (entry->flags & forbidden->flags) /* there are no buffers for it */
        return -EOPNOTSUPP;
    if (entry->personality != 0)
        return -EINVAL;
    if (isTransfer(entry) || isPollUpdate(entry)) /* by a flag that no file knows; or not here */
        return -EOPNOTSUPP;
    return isReceiveOfMany(entry) || isLongSend(entry) ? 0 : -EINVAL;
}
