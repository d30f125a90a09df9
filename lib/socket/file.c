/*
 * Descriptors that are no sockets, as FASTSOCKET_MODE_FILE_IO takes them: streams of bytes that are read
 * and written instead of received and sent.
 *
 * Good path: creation looks at the file once. A pipe has one multishot read armed, where the kernel has
 * it; everything else is read once at a time, into a provided buffer just the same. What is queued is
 * gathered into one write, and a short count is resumed like that of a send.
 *
 * Only anonymous pipes are read by a multishot: they are what it is for, and files whose reads may wait
 * have shown completions without their buffer (before 6.12), or were refused in the middle.
 *
 * Terminals claim to serve reads and writes that don't wait, and wait all the same (6.18): submitted as
 * usual they would stop the loop, for as long as somebody holds the output by ^S. On a thread of the
 * kernel's they would take it for as long, and such threads are counted; on 6.1 a read there whose input
 * was flushed since the poll never ends, nor does its process. So they are read and written by calls of
 * our own that can't wait (socket-own.c), when a poll says so. The poll also sees the hang-up, which an
 * armed multishot read never does. Where there is no way to make such calls, a read is a splice, and a
 * write is short, after a poll, on a thread of the kernel's: it takes one for long only if somebody else
 * was faster. Files of FUSE claim and wait likewise (6.18), until their server answers, and run there too.
 *
 * A FIFO is polled before each read too: while nobody has opened it for writing yet, a read would give
 * zero, which is the end of input, and a poll waits. Then it is read by a call of our own, and so is every
 * pipe where there is no multishot: a read by the ring waits inside the enter (before 6.4) when another
 * reader has taken what the poll saw.
 *
 * Failures: a file that doesn't want to wait (EAGAIN) is polled first, and left alone for a while if that
 * doesn't help. A hung-up terminal reads as EIO, which is the end of its input; so does one that is
 * another job's just now, which is waited for. A read that fails may bring its buffer back all the same.
 *
 * SIGPIPE comes of writes to pipes alone: sockets are sent to. Where the kernel knows RWF_NOSIGNAL, that
 * is all. Elsewhere the write must happen inside the enter that submits it, where the signal is blocked:
 * so it is not allowed to wait, and made again after a poll. A pipe that the ring can't write without
 * waiting (before 6.4, or one with a name) is written by a call of our own. The ring's write would be
 * made anew by the kernel in some later enter, where the signal kills (6.1, not blocking), or keep one of
 * its threads for as long as the pipe is full. The last resort is short and after a poll, as above.
 */
#include "socket/state.h"
#include "engine/uring-compat.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

enum
{
    FILE_PIPEFS_MAGIC = 0x50495045, /* of <linux/magic.h> */
    FILE_FUSE_MAGIC = 0x65735546,
};

enum
{
    FILE_CAREFUL_PIPE = 4096,     /* PIPE_BUF: there is room for so much when a poll tells of room */
    FILE_CAREFUL_TERMINAL = 1024, /* a pseudo-terminal takes so much then */
    FILE_MOST_RELAYED = 64 << 10, /* what a pipe holds */
    FILE_ERESTARTSYS = 512,       /* the kernel's EINTR, which a splice lets out */
};

#define FILE_HERE UINT64_MAX /* offset of an operation: the file's own position */

/* ---- creation ---- */

/* The magic number of the file's file system; FUSE's where it can't be told, as that is for a server to
 * answer there. */
static unsigned long fileSystem(int handle)
{
    struct statfs information;
    return fstatfs(handle, &information) == 0 ? (unsigned long)information.f_type : FILE_FUSE_MAGIC;
}

/* 1: a file; 0: a socket, to be looked at as such; or negative errno. */
int FastSocketFindFile(struct FastSocket* socket)
{
    struct stat status;
    int flags = fcntl(socket->handle, F_GETFL);
    if (flags < 0 || flags & O_PATH || fstat(socket->handle, &status) < 0)
        return -EBADF;
    if (S_ISSOCK(status.st_mode))
        return 0;
    if (S_ISDIR(status.st_mode))
        return -EOPNOTSUPP;
    socket->kind = SOCKET_STREAM;
    socket->file = true;
    socket->pipe = S_ISFIFO(status.st_mode);
    socket->terminal = isatty(socket->handle) == 1;
    socket->slow = S_ISREG(status.st_mode) && fileSystem(socket->handle) == FILE_FUSE_MAGIC;
    /* The reading end of a pipe can't tell whether its writes are packets (O_DIRECT). */
    socket->packets = !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode);
    FastSocketInitializeOwn(socket);
    socket->readable = (flags & O_ACCMODE) != O_WRONLY;
    socket->writable = (flags & O_ACCMODE) != O_RDONLY;
    socket->inbound.single = !socket->pipe || fileSystem(socket->handle) != FILE_PIPEFS_MAGIC;
    socket->inbound.polls = socket->terminal || (socket->pipe && socket->inbound.single);
    socket->threaded = socket->inbound.single; /* of pipes only those with a name */
    bool gathers = socket->pipe ? !(flags & O_DIRECT) : socket->terminal || S_ISREG(status.st_mode);
    if (!gathers)
        socket->outbound.most = 1; /* a device may take a write for a message */
    return 1;
}

/* Whether a descriptor needs something to read into. */
bool FastFileIsReadable(int handle)
{
    int flags = fcntl(handle, F_GETFL);
    return flags < 0 || (flags & O_ACCMODE) != O_WRONLY;
}

/* A timer's clock was set, or a server says so; pipes and terminals know nothing of the kind. */
bool FastFileCancelsItself(const struct FastSocket* socket)
{
    return socket->file && !socket->pipe && !socket->terminal;
}

/* ---- reading ---- */

static bool readsMany(const struct FastSocket* socket)
{
    const struct FastSocketInbound* inbound = &socket->inbound;
    return !inbound->single && !inbound->modest &&
           FastRingEngine(socket->ring)->features & FASTRING_FEATURE_READ_MULTISHOT;
}

/* A pipe that is not read by a multishot. */
static bool readsPolled(const struct FastSocket* socket)
{
    return socket->pipe && (socket->inbound.single ||
                            !(FastRingEngine(socket->ring)->features & FASTRING_FEATURE_READ_MULTISHOT));
}

static void prepareRead(struct FastSocket* socket, struct io_uring_sqe* entry)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    uint32_t length = inbound->many ? 0 : FastProviderLength(inbound->provider);
    io_uring_prep_read(entry, socket->handle, NULL, length, FILE_HERE);
    if (inbound->many)
        entry->opcode = FAST_URING_OP_READ_MULTISHOT;
    entry->flags |= IOSQE_BUFFER_SELECT;
    if (socket->slow)
        entry->flags |= IOSQE_ASYNC;
    entry->buf_group = GetFastRingBufferGroup(inbound->provider);
}

static void prepareRelay(struct FastSocket* socket, struct io_uring_sqe* entry)
{
    uint32_t length = FastProviderLength(socket->inbound.provider);
    if (length > FILE_MOST_RELAYED)
        length = FILE_MOST_RELAYED;
    if (socket->own.relayed)
        io_uring_prep_nop(entry); /* what lacked memory is taken first */
    else
        io_uring_prep_splice(entry, socket->handle, -1, socket->own.relay[1], -1, length, 0);
}

/* Fills a reserved entry with the next read, or with the poll that comes before it. */
void FastSocketPrepareRead(struct FastSocket* socket, struct io_uring_sqe* entry)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    uint64_t owner = entry->user_data;
    bool apart = socket->terminal || readsPolled(socket);
    inbound->direct = apart && FastSocketHasOwnFile(socket);
    inbound->waits = !socket->own.relayed && (inbound->direct || ((inbound->polls || apart) && !inbound->ready));
    inbound->relays = apart && !inbound->waits;
    inbound->many = !inbound->waits && readsMany(socket);
    inbound->polled = inbound->ready;
    inbound->ready = false;
    if (inbound->waits)
        io_uring_prep_poll_add(entry, socket->handle, POLLIN);
    else if (inbound->relays)
        prepareRelay(socket, entry);
    else
        prepareRead(socket, entry);
    entry->user_data = owner;
    if (socket->threaded && !inbound->waits && !inbound->many)
        FastSocketTrail(socket, entry);
}

static bool isHungUp(const struct FastSocket* socket)
{
    struct pollfd state = {.fd = socket->handle};
    return poll(&state, 1, 0) > 0 && state.revents & POLLHUP;
}

/* What is typed belongs to another job of the shell's: a thread of the kernel's gets EIO where a thread of
 * the program's would be stopped. */
static bool isInBackground(const struct FastSocket* socket)
{
    pid_t foreground = tcgetpgrp(socket->handle);
    return foreground >= 0 && foreground != getpgrp();
}

/* Not again at once: a poll says that there is something, and a read that there is nothing for us. */
static void rest(struct FastSocket* socket)
{
    socket->inbound.resting = true;
    FastSocketRetryLater(socket);
}

/* A failed read; returns whether it is one of those that only a file has. */
static bool onReadError(struct FastSocket* socket, int error)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    switch (error) {
    case EAGAIN:
        if (inbound->polled)
            rest(socket);
        inbound->polls = true;
        return true;
    case EBADFD:
    case EINVAL:
    case EOPNOTSUPP: /* no multishot here: once at a time, which tells if it was something else */
        if (inbound->relays && isHungUp(socket)) {
            FastSocketEndInput(socket); /* then it can't be spliced */
            return true;
        }
        if (!inbound->many)
            return false;
        inbound->single = true;
        return true;
    case FILE_ERESTARTSYS:
        return inbound->relays;
    case EIO:
        if (!socket->terminal)
            return false;
        if (isHungUp(socket))
            FastSocketEndInput(socket);
        else if (isInBackground(socket))
            rest(socket);
        else
            return false;
        return true;
    default:
        return false;
    }
}

/* A terminal whose settings let reads return empty-handed (VMIN of 0) says nothing by it, unless it is
 * hung up. Everything else says that it has ended. */
static void onNothing(struct FastSocket* socket)
{
    struct termios settings;
    if (socket->terminal && tcgetattr(socket->handle, &settings) == 0 && !(settings.c_lflag & ICANON) &&
        settings.c_cc[VMIN] == 0 && !isHungUp(socket))
        rest(socket);
    else
        FastSocketEndInput(socket);
}

/* What a read of our own gave: negative errno, 0 or a count of bytes in the buffer, which this consumes. */
static void finishRead(struct FastSocket* socket, uint8_t* data, ssize_t result)
{
    if (result > 0) {
        FastSocketTakeInput(socket, data, (size_t)result);
        return;
    }
    ReleaseFastBuffer(GetFastBuffer(data));
    if (result == 0)
        onNothing(socket);
    else if (result != -EINTR && !onReadError(socket, (int)-result))
        FastSocketFailInput(socket, (int)-result);
}

static void readDirectly(struct FastSocket* socket)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    uint32_t length = FastProviderLength(inbound->provider);
    uint8_t* data = AllocateRingFastBuffer(length, inbound->pool);
    inbound->polled = true;
    if (data == NULL)
        rest(socket);
    else
        finishRead(socket, data, FastSocketReadOwn(socket, data, length));
}

/* Takes what the relay holds, a packet for each buffer. */
static void readRelay(struct FastSocket* socket)
{
    uint32_t length = FastProviderLength(socket->inbound.provider);
    while (socket->own.relayed) {
        uint8_t* data = AllocateRingFastBuffer(length, socket->inbound.pool);
        if (data == NULL) {
            rest(socket);
            return;
        }
        ssize_t result = FastSocketReadRelay(socket, data, length);
        socket->own.relayed = result > 0;
        if (result > 0)
            FastSocketTakeInput(socket, data, (size_t)result);
        else
            ReleaseFastBuffer(GetFastBuffer(data));
    }
}

static void onRelay(struct FastSocket* socket, int result)
{
    socket->own.relayed = socket->own.relayed || result > 0;
    if (socket->own.relayed)
        readRelay(socket);
    else
        onNothing(socket);
}

static void onReadable(struct FastSocket* socket)
{
    socket->inbound.waits = false;
    if (!FastSocketWantsInput(socket))
        return; /* it is polled anew when it does */
    if (socket->inbound.direct)
        readDirectly(socket);
    else if ((socket->terminal || readsPolled(socket)) && !FastSocketHasRelay(socket))
        rest(socket);
    else
        socket->inbound.ready = true;
}

/* What can't be polled is read without. */
static void onPollFailure(struct FastSocket* socket, int error)
{
    socket->inbound.waits = false;
    if (error == ECANCELED)
        return;
    if (socket->terminal || readsPolled(socket))
        rest(socket);
    else
        socket->inbound.polls = false;
}

/* Looks at a completion of the receive first; returns whether nothing is left to do with it. */
bool FastSocketTakeRead(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    if (socket->inbound.waits && completion->res >= 0)
        onReadable(socket);
    else if (socket->inbound.waits)
        onPollFailure(socket, -completion->res);
    else if (completion->res < 0)
        return onReadError(socket, -completion->res);
    else if (socket->inbound.relays)
        onRelay(socket, completion->res);
    else if (completion->res == 0)
        onNothing(socket);
    else if (completion->flags & IORING_CQE_F_BUFFER)
        return false;
    else
        FastSocketFailInput(socket, EIO); /* UNTESTED: bytes in a buffer that the kernel does not name */
    return true;
}

/* ---- writing ---- */

static int writeFlags(struct FastSocket* socket)
{
    if (!socket->pipe)
        return 0;
    if (FastRingEngine(socket->ring)->features & FASTRING_FEATURE_WRITE_NO_SIGNAL)
        return FAST_RWF_NOSIGNAL;
    FastRingGuardPipe(socket->ring);
    return RWF_NOWAIT;
}

/* Written by a call of our own, if that can be. */
static bool writesApart(const struct FastSocket* socket)
{
    return socket->terminal || (socket->pipe && socket->outbound.patient);
}

/* Otherwise by a thread of the kernel's, which is not to wait there. */
bool FastSocketPollsFirst(struct FastSocket* socket)
{
    return socket->file && !socket->outbound.polled && writesApart(socket) && !FastSocketHasOwnFile(socket);
}

static void prepareCarefully(struct FastSocket* socket, struct io_uring_sqe* entry, const struct iovec* vector,
                             uint64_t position, int flags)
{
    size_t most = socket->pipe ? FILE_CAREFUL_PIPE : FILE_CAREFUL_TERMINAL;
    size_t length = vector->iov_len < most ? vector->iov_len : most;
    io_uring_prep_write(entry, socket->handle, vector->iov_base, (unsigned)length, position);
    entry->rw_flags = flags;
    entry->flags |= IOSQE_ASYNC;
}

/* Fills a reserved entry with a write. position: FILE_HERE, or where the user's own write goes. */
void FastSocketPrepareWrite(struct FastSocket* socket, struct io_uring_sqe* entry, const struct iovec* vector,
                            size_t count, uint64_t position, int flags)
{
    uint64_t owner = entry->user_data;
    if (writesApart(socket) && FastSocketHasOwnFile(socket)) {
        socket->outbound.direct = true;
        socket->outbound.result = FastSocketWriteOwn(socket, vector, count, flags);
        io_uring_prep_nop(entry); /* whose completion comes when that of a write would */
    } else if (writesApart(socket))
        prepareCarefully(socket, entry, vector, position, flags);
    else {
        if (count == 1)
            io_uring_prep_write(entry, socket->handle, vector->iov_base, (unsigned)vector->iov_len, position);
        else
            io_uring_prep_writev(entry, socket->handle, vector, (unsigned)count, position);
        entry->rw_flags = flags | writeFlags(socket);
        if (socket->slow)
            entry->flags |= IOSQE_ASYNC;
    }
    entry->user_data = owner;
    if ((socket->threaded || socket->outbound.patient) && !socket->outbound.direct)
        FastSocketTrail(socket, entry);
}

/* A short count of a call of our own means that there is no more room. */
int FastSocketWriteResult(struct FastSocket* socket, int result)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    if (!outbound->direct)
        return result;
    outbound->direct = false;
    outbound->blocked = outbound->result >= 0 && (size_t)outbound->result < outbound->requested;
    return (int)outbound->result;
}

/* Whether a write that failed is simply done again. */
bool FastSocketWritesAgain(struct FastSocket* socket, int error)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    switch (error) {
    case EAGAIN: /* after a poll too: a device that says yes and means no */
        if (outbound->polled)
            FastSocketHoldOutput(socket);
        else
            outbound->blocked = true;
        FastSocketDefer(socket);
        return true;
    case EOPNOTSUPP:
        if (!socket->pipe || outbound->patient)
            return false;
        outbound->patient = true;
        return true;
    default:
        return false;
    }
}
