/*
 * Files read and written without waiting, whatever the file says.
 *
 * Good path: by the kind of file. Sockets and pipes are asked not to wait. What is stored is read
 * and written as it is, since nobody else decides about how long that takes.
 *
 * Failures: where a file knows nothing of not waiting, or a terminal, which says yes and waits all
 * the same, a poll is asked first, and no more is written than there should be room for then. A
 * poll knows too little: an eventfd has room for less than is to be added, a terminal writes two
 * bytes for a line's end, or waits for more than it has, and another reader or writer comes in
 * between. So but for pipes, of which it knows enough, the call is made with O_NONBLOCK, which is
 * taken away again. So it is with files that look stored, and are made by the kernel when somebody
 * reads them (/proc/kmsg): what is not there yet is waited for. A splice has a flag for pipes,
 * which sockets don't look at: these get O_NONBLOCK, and keep it.
 *
 * Signals: SIGPIPE comes of writes to pipes, and SIGTTIN and SIGTTOU of what a job in the
 * background does to its terminal: they are blocked around such calls. The kernel then gives EIO
 * for a read, and lets a write pass.
 */
#include "engine/epoll-file.h"

#include "base/missing.h"
#include "base/pipe-signal.h"
#include "engine/epoll-nonblock.h"
#include "engine/uring-compat.h"

#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum
{
    FILE_CAREFUL_TERMINAL = 1024, /* a pseudo-terminal takes so much when it says that it does */
    FILE_HERE = -1,               /* an offset: where the file is */
    FILE_NAMELESS = 0,            /* the type of an eventfd, an epoll and others */
    FILE_MADE = 1,                /* a type beside S_IFMT: of what the kernel makes as it is read */
};

/* What of a file matters here: its place, and how it is treated. */
struct file
{
    struct FastSystem* system;
    int handle;
    int64_t offset;
    int flags; /* RWF_* */
    mode_t type;
};

static bool isReady(struct FastSystem* system, int handle, short events)
{
    struct pollfd state = {.fd = handle, .events = events};
    return FastEpollCount(system, poll(&state, 1, 0)) > 0;
}

/* These have no blocks, and no device. What is stored and looks so too (it is empty, and in memory,
 * say) is asked about. */
static bool isMade(struct FastSystem* system, int handle, const struct stat* status)
{
    struct statfs place;
    if (!S_ISREG(status->st_mode) || status->st_blocks != 0 || major(status->st_dev) != 0 ||
        FastEpollCount(system, fstatfs(handle, &place)) < 0)
        return false;
    switch ((uint32_t)place.f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
        return true;
    default:
        return false;
    }
}

static mode_t typeOf(struct FastSystem* system, int handle)
{
    struct stat status;
    if (FastEpollCount(system, fstat(handle, &status)) < 0)
        return 0;
    return isMade(system, handle, &status) ? FILE_MADE : status.st_mode & S_IFMT;
}

static bool isStored(mode_t type)
{
    return type == S_IFREG || type == S_IFBLK || type == S_IFDIR;
}

bool FastEpollIsStored(struct FastSystem* system, int handle)
{
    mode_t type = typeOf(system, handle);
    return isStored(type) || type == FILE_MADE;
}

/* not: O_WRONLY or O_RDONLY, what it must not be open for alone. */
static bool isOpenFor(const struct file* file, int not)
{
    int flags = (int)FastEpollCount(file->system, fcntl(file->handle, F_GETFL));
    return flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) != not;
}

/* ---- signals ---- */

static void blockTerminalSignals(sigset_t* before)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTTIN);
    sigaddset(&set, SIGTTOU);
    (void)pthread_sigmask(SIG_BLOCK, &set, before);
}

/* ---- reading ---- */

/* What has no positions doesn't like to be given one. */
static ssize_t readOnce(const struct file* file, const struct iovec* vector, unsigned count,
                        int flags)
{
    ssize_t result = FastEpollCount(
        file->system, preadv2(file->handle, vector, (int)count, file->offset, flags));
    if (result == -EINVAL && file->offset < FILE_HERE)
        return isOpenFor(file, O_WRONLY) ? result : -EBADF;
    if (result != -ESPIPE || file->offset < 0)
        return result;
    return FastEpollCount(file->system, preadv2(file->handle, vector, (int)count, -1, flags));
}

/* What reads wholes of some size (an eventfd, a timerfd) refuses less, which a call of vectors does
 * not ask it about. */
static ssize_t readNothing(const struct file* file)
{
    bool begun = FastEpollBeginNonblock(file->system, file->handle);
    ssize_t result = FastEpollCount(file->system, read(file->handle, NULL, 0));
    FastEpollEndNonblock(file->system, file->handle, begun);
    return result;
}

static ssize_t readPolled(const struct file* file, const struct iovec* vector, unsigned count)
{
    sigset_t before;
    if (!isReady(file->system, file->handle, POLLIN))
        return -EAGAIN;
    if (file->type == S_IFIFO)
        return readOnce(file, vector, count, file->flags);
    if (file->type == S_IFCHR)
        blockTerminalSignals(&before);
    bool begun = FastEpollBeginNonblock(file->system, file->handle);
    ssize_t result = readOnce(file, vector, count, file->flags);
    FastEpollEndNonblock(file->system, file->handle, begun);
    if (file->type == S_IFCHR)
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* Read nothing, and it is not waited for. */
static bool isEmpty(const struct iovec* vector, unsigned count)
{
    while (count > 0 && vector->iov_len == 0) {
        vector++;
        count--;
    }
    return count == 0;
}

static ssize_t receiveVector(const struct file* file, const struct iovec* vector, unsigned count)
{
    struct iovec parts[FAST_SYSTEM_VECTORS];
    int error = FastSystemTakeVector(file->system, vector, count, parts);
    if (error < 0 || isEmpty(parts, count))
        return error;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    return FastEpollCount(file->system, recvmsg(file->handle, &message, MSG_DONTWAIT));
}

/* A socket has no positions, but for the one where it is. */
static int refuseOffset(int64_t offset)
{
    if (offset > 0)
        return -ESPIPE;
    return offset < FILE_HERE ? -EINVAL : 0;
}

/* Sockets are read without waiting from Linux 6.4 on; before, the vectors have to be looked at. */
static ssize_t readSocket(const struct file* file, const struct iovec* vector, unsigned count)
{
    static atomic_bool lacksRead;
    int refusal = refuseOffset(file->offset);
    if (refusal < 0)
        return refusal;
    if (atomic_load_explicit(&lacksRead, memory_order_relaxed))
        return receiveVector(file, vector, count);
    ssize_t result = FastEpollCount(
        file->system, preadv2(file->handle, vector, (int)count, -1, RWF_NOWAIT));
    if (result != -EOPNOTSUPP)
        return result;
    atomic_store_explicit(&lacksRead, true, memory_order_relaxed);
    return receiveVector(file, vector, count);
}

ssize_t FastEpollRead(struct FastSystem* system, int handle, const struct iovec* vector,
                      unsigned count, int64_t offset, int flags)
{
    struct file file = {system, handle, offset, flags, typeOf(system, handle)};
    if (file.type == S_IFSOCK)
        return readSocket(&file, vector, count);
    if (isStored(file.type))
        return readOnce(&file, vector, count, flags);
    if (file.type == S_IFCHR || file.type == FILE_MADE)
        return readPolled(&file, vector, count);
    ssize_t result = readOnce(&file, vector, count, flags | RWF_NOWAIT);
    if (result == -EOPNOTSUPP && !(flags & RWF_NOWAIT))
        result = readPolled(&file, vector, count);
    return result == 0 && file.type == FILE_NAMELESS ? readNothing(&file) : result;
}

/* ---- writing ---- */

static ssize_t writeOnce(const struct file* file, const struct iovec* vector, unsigned count,
                         int flags)
{
    struct FastPipeSignal guard;
    FastPipeSignalBlock(&guard);
    ssize_t result = FastEpollCount(
        file->system, pwritev2(file->handle, vector, (int)count, file->offset, flags));
    if (result == -ESPIPE && file->offset >= 0)
        result =
            FastEpollCount(file->system, pwritev2(file->handle, vector, (int)count, -1, flags));
    FastPipeSignalRestore(&guard);
    if (result == -EINVAL && file->offset < FILE_HERE)
        return isOpenFor(file, O_RDONLY) ? result : -EBADF;
    return result;
}

/* How far what is stored is written, and where, means nothing to a device: io_uring doesn't ask it,
 * a system call does. */
static ssize_t writeDevice(const struct file* file, const struct iovec* vector, unsigned count)
{
    const int stored = RWF_DSYNC | RWF_SYNC | RWF_APPEND;
    ssize_t result = writeOnce(file, vector, count, file->flags);
    if (result != -EOPNOTSUPP || file->flags == 0 || file->flags & ~stored)
        return result;
    return writeOnce(file, vector, count, 0);
}

/* There is room for so much, as a rule, when a poll says that there is room. */
static ssize_t writePart(const struct file* file, const struct iovec* vector, unsigned count,
                         size_t most)
{
    struct iovec parts[FAST_SYSTEM_VECTORS];
    int error = FastSystemTakeVector(file->system, vector, count, parts);
    if (error < 0)
        return error;
    for (unsigned index = 0; index < count; index++) {
        if (parts[index].iov_len > most)
            parts[index].iov_len = most;
        most -= parts[index].iov_len;
    }
    return writeOnce(file, parts, count, file->flags);
}

static ssize_t writeTerminal(const struct file* file, const struct iovec* vector, unsigned count)
{
    sigset_t before;
    blockTerminalSignals(&before);
    ssize_t result = isatty(file->handle) == 1
                         ? writePart(file, vector, count, FILE_CAREFUL_TERMINAL)
                         : writeDevice(file, vector, count);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static ssize_t writePolled(const struct file* file, const struct iovec* vector, unsigned count)
{
    if (!isReady(file->system, file->handle, POLLOUT))
        return -EAGAIN;
    if (file->type == S_IFIFO)
        return count > 0 ? writePart(file, vector, count, PIPE_BUF)
                         : writeOnce(file, vector, count, file->flags);
    bool begun = FastEpollBeginNonblock(file->system, file->handle);
    ssize_t result = file->type == S_IFCHR && count > 0
                         ? writeTerminal(file, vector, count)
                         : writeDevice(file, vector, count);
    FastEpollEndNonblock(file->system, file->handle, begun);
    return result;
}

static ssize_t sendVector(const struct file* file, const struct iovec* vector, unsigned count)
{
    int refusal = count > FAST_SYSTEM_VECTORS ? -EINVAL : refuseOffset(file->offset);
    if (refusal < 0)
        return refusal;
    struct msghdr message = {.msg_iov = (struct iovec*)vector, .msg_iovlen = count};
    return FastEpollCount(file->system,
                          sendmsg(file->handle, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

ssize_t FastEpollWrite(struct FastSystem* system, int handle, const struct iovec* vector,
                       unsigned count, int64_t offset, int flags)
{
    bool asksForSilence = flags & FAST_RWF_NOSIGNAL; /* which is kept in any case */
    flags &= ~FAST_RWF_NOSIGNAL;
    struct file file = {system, handle, offset, flags, typeOf(system, handle)};
    if (file.type == S_IFSOCK)
        return sendVector(&file, vector, count);
    if (isStored(file.type))
        return writeOnce(&file, vector, count, flags);
    if (file.type == S_IFCHR || file.type == FILE_MADE)
        return writePolled(&file, vector, count);
    ssize_t result = writeOnce(&file, vector, count, flags | RWF_NOWAIT);
    if (result != -EOPNOTSUPP || flags & RWF_NOWAIT ||
        (asksForSilence && file.type == S_IFIFO))
        return result; /* who asks so has another way, for kernels that don't know it */
    return writePolled(&file, vector, count);
}

/* ---- from one into another ---- */

/* Signals: as for reads and writes. */
static ssize_t spliceOnce(struct FastSystem* system, int from, int64_t* fromOffset, int to,
                          int64_t* toOffset, size_t size, unsigned flags)
{
    struct FastPipeSignal guard;
    sigset_t before;
    blockTerminalSignals(&before);
    FastPipeSignalBlock(&guard);
    ssize_t result = FastEpollCount(
        system, splice(from, fromOffset, to, toOffset, size, flags | SPLICE_F_NONBLOCK));
    FastPipeSignalRestore(&guard);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* The flag of the call speaks of pipes alone. Sockets heed O_NONBLOCK, and what is stored is done
 * as it is. Whatever else there is may wait, ready or not. */
static bool mayWait(mode_t type)
{
    return type != S_IFIFO && type != S_IFSOCK && !isStored(type);
}

/* Which of the two would keep us waiting: as splice gives it; 0: neither. */
static int whoIsNotReady(struct FastSystem* system, int from, int to)
{
    struct pollfd ends[2] = {{.fd = from, .events = POLLIN}, {.fd = to, .events = POLLOUT}};
    (void)FastEpollCount(system, poll(ends, 2, 0));
    if (ends[0].revents == 0)
        return -EAGAIN;
    return ends[1].revents == 0 ? -ENOBUFS : 0;
}

/* Nameless files take part in none, and say so only when they are asked. */
static bool isPolledFirst(mode_t type)
{
    return mayWait(type) && type != FILE_NAMELESS;
}

/* As splice gives it where it would keep us waiting, and bounds the size. lent: who of the two has
 * got O_NONBLOCK for the time of the call, or -1. */
static int prepareSplice(struct FastSystem* system, int from, int to, size_t* size, int* lent)
{
    mode_t source = typeOf(system, from);
    mode_t target = typeOf(system, to);
    if (target == S_IFCHR && *size > FILE_CAREFUL_TERMINAL && isatty(to) == 1)
        *size = FILE_CAREFUL_TERMINAL;
    if (source != S_IFIFO && target != S_IFIFO)
        return 0; /* it is refused */
    if (source == S_IFSOCK || target == S_IFSOCK)
        return FastEpollMakeNonblock(system, source == S_IFSOCK ? from : to);
    if (!mayWait(source) && !mayWait(target))
        return 0;
    bool polls = isPolledFirst(source) || isPolledFirst(target);
    int error = polls ? whoIsNotReady(system, from, to) : 0;
    int shy = mayWait(source) ? from : to; /* the other one is a pipe */
    if (error == 0 && FastEpollBeginNonblock(system, shy))
        *lent = shy;
    return error;
}

/* An offset is given, and there are no offsets: it is refused. */
static bool hasNoPlace(struct FastSystem* system, int handle, const int64_t* offset)
{
    return offset != NULL && FastEpollCount(system, lseek(handle, 0, SEEK_CUR)) == -ESPIPE;
}

/* It needs both all the same. */
static int spliceNothing(struct FastSystem* system, int from, int to)
{
    bool both = system->functions->isOpen(system, from) && system->functions->isOpen(system, to);
    return both ? 0 : -EBADF;
}

ssize_t FastEpollSplice(struct FastSystem* system, int from, int64_t* fromOffset, int to,
                        int64_t* toOffset, size_t size, unsigned flags)
{
    int lent = -1;
    bool refused = hasNoPlace(system, from, fromOffset) || hasNoPlace(system, to, toOffset);
    if (size == 0)
        return spliceNothing(system, from, to);
    int error = refused ? 0 : prepareSplice(system, from, to, &size, &lent);
    if (error < 0)
        return error;
    ssize_t result = spliceOnce(system, from, fromOffset, to, toOffset, size, flags);
    FastEpollEndNonblock(system, lent, lent >= 0);
    if (result != -EAGAIN)
        return result;
    return isReady(system, from, POLLIN) ? -ENOBUFS : -EAGAIN;
}
