/*
 * Descriptors that are no sockets, as FASTSOCKET_MODE_FILE_IO takes them: streams of bytes that are
 * read and written instead of received and sent.
 *
 * Good path: creation looks at the file once. A pipe has one multishot read armed, where the kernel
 * has it; everything else is read once at a time, into a provided buffer just the same. What is
 * queued is gathered into one write, and a short count is resumed like that of a send.
 *
 * Only anonymous pipes are read by a multishot: they are what it is for, and files whose reads may
 * wait have shown completions without their buffer (before 6.12), or were refused in the middle.
 *
 * Terminals claim to serve reads and writes that don't wait, and wait all the same (6.18):
 * submitted as usual they would stop the loop, for as long as somebody holds the output by ^S. On a
 * thread of the kernel's they would take it for as long, and such threads are counted; on 6.1 a
 * read there whose input was flushed since the poll never ends, nor does its process. So they are
 * read and written by calls of our own that can't wait (socket-own.c), when a poll says so. The
 * poll also sees the hang-up, which an armed multishot read never does. Where there is no way to
 * make such calls, a read is a splice, and a write is short, after a poll, on a thread of the
 * kernel's: it takes one for long only if somebody else was faster. Files of FUSE claim and wait
 * likewise (6.18), until their server answers, and run there too.
 *
 * A FIFO is polled before each read too: while nobody has opened it for writing yet, a read would
 * give zero, which is the end of input, and a poll waits. Then it is read by a call of our own, and
 * so is every pipe where there is no multishot: a read by the ring waits inside the enter (before
 * 6.4) when another reader has taken what the poll saw.
 *
 * Failures: a file that doesn't want to wait (EAGAIN) is polled first, and left alone for a while
 * if that doesn't help. A hung-up terminal reads as EIO, which is the end of its input; so does one
 * that is another job's just now, which is waited for. A read that fails may bring its buffer back
 * all the same.
 *
 * SIGPIPE comes of writes to pipes alone: sockets are sent to. Where the kernel knows RWF_NOSIGNAL,
 * that is all. Elsewhere the write must happen inside the enter that submits it, where the signal
 * is blocked: so it is not allowed to wait, and made again after a poll. A pipe that the ring can't
 * write without waiting (before 6.4, or one with a name) is written by a call of our own. The
 * ring's write would be made anew by the kernel in some later enter, where the signal kills (6.1,
 * not blocking), or keep one of its threads for as long as the pipe is full. The last resort is
 * short and after a poll, as above.
 */
#include "socket/kind-file.h"

#include "engine/uring-compat.h"
#include "socket/flight.h"
#include "socket/intake.h"
#include "socket/kind-file-own.h"
#include "socket/kind-socket.h"
#include "socket/kind-stream.h"
#include "socket/system.h"

#include <errno.h>
#include <poll.h>
#include <termios.h>

enum
{
    /* PIPE_BUF: there is room for so much when a poll says that there is room. */
    FILE_CAREFUL_PIPE = 4096,
    FILE_CAREFUL_TERMINAL = 1024, /* a pseudo-terminal takes so much then */
    FILE_MAX_RELAYED = 64 << 10,  /* what a pipe holds */
    FILE_ERESTARTSYS = 512,       /* the kernel's EINTR, which a splice lets out */
    FILE_SEND_FLAGS = MSG_MORE | MSG_NOSIGNAL,
};

#define FILE_HERE UINT64_MAX /* offset of an operation: the file's own position */

static bool isPipe(const struct FastSocket* socket)
{
    return FastSocketHas(socket, FAST_TRAIT_PIPE);
}

static bool isTerminal(const struct FastSocket* socket)
{
    return FastSocketHas(socket, FAST_TRAIT_TERMINAL);
}

static bool isHungUp(const struct FastSocket* socket)
{
    int events = FastSystemPoll(socket->handle, 0);
    return events > 0 && events & POLLHUP;
}

/* ---- preparing a read ---- */

static bool readsMultishot(const struct FastSocket* socket)
{
    return !(FastFile(socket)->state & FAST_FILE_READS_ONCE) &&
           !FastRingInboundIsFull(socket->ring) &&
           FastRingEngine(socket->ring)->features & FASTRING_FEATURE_READ_MULTISHOT;
}

/* What is read by a call of our own, or else through the relay: a terminal, and a pipe without
 * multishot. */
static bool readsApart(const struct FastSocket* socket)
{
    if (isTerminal(socket))
        return true;
    return isPipe(socket) &&
           (FastFile(socket)->state & FAST_FILE_READS_ONCE ||
            !(FastRingEngine(socket->ring)->features & FASTRING_FEATURE_READ_MULTISHOT));
}

static uint8_t chooseForm(struct FastSocket* socket)
{
    struct FastFileSocket* file = FastFile(socket);
    bool apart = readsApart(socket);
    bool relayed = file->state & FAST_FILE_RELAYED;
    if (apart && FastFileHasOwn(file) && !relayed)
        return FAST_FILE_POLL_OWN;
    if (!relayed && (apart || file->state & FAST_FILE_POLLS) && !(file->state & FAST_FILE_READY))
        return FAST_FILE_POLL;
    if (apart)
        return FAST_FILE_RELAY;
    return readsMultishot(socket) ? FAST_FILE_READ_MULTISHOT : FAST_FILE_READ;
}

static void prepareRead(struct FastSocket* socket, struct io_uring_sqe* entry, bool multishot)
{
    struct FastInbound* inbound = &socket->inbound;
    uint32_t length = multishot ? 0 : FastProviderLength(inbound->provider);
    io_uring_prep_read(entry, socket->handle, NULL, length, FILE_HERE);
    if (multishot)
        entry->opcode = FAST_URING_OP_READ_MULTISHOT;
    entry->flags |= IOSQE_BUFFER_SELECT;
    if (FastSocketHas(socket, FAST_TRAIT_NEEDS_WORKER))
        entry->flags |= IOSQE_ASYNC;
    entry->buf_group = GetFastRingBufferGroup(inbound->provider);
}

static void prepareRelay(struct FastSocket* socket, struct io_uring_sqe* entry)
{
    struct FastFileSocket* file = FastFile(socket);
    uint32_t length = FastProviderLength(socket->inbound.provider);
    if (length > FILE_MAX_RELAYED)
        length = FILE_MAX_RELAYED;
    if (file->state & FAST_FILE_RELAYED)
        io_uring_prep_nop(entry); /* what lacked memory is taken first */
    else
        io_uring_prep_splice(entry, socket->handle, -1, file->relay[1], -1, length, 0);
}

static void fillRead(struct FastSocket* socket, struct io_uring_sqe* entry, uint8_t form)
{
    uint64_t owner = entry->user_data;
    switch (form) {
    case FAST_FILE_POLL:
    case FAST_FILE_POLL_OWN:
        io_uring_prep_poll_add(entry, socket->handle, POLLIN);
        break;
    case FAST_FILE_RELAY:
        prepareRelay(socket, entry);
        break;
    default:
        prepareRead(socket, entry, form == FAST_FILE_READ_MULTISHOT);
        break;
    }
    entry->user_data = owner;
}

/* The next read, or the poll that comes before it. */
static bool prepareReceive(struct FastSocket* socket)
{
    struct FastFileSocket* file = FastFile(socket);
    if (FastRingRoom(socket->ring) < FAST_TRAILED)
        return false;
    struct io_uring_sqe* entry = FastArmedReserve(socket->ring, &socket->inbound.receive);
    file->form = chooseForm(socket);
    socket->inbound.form = FastRingInboundIsFull(socket->ring) ? FAST_RECEIVE_ONCE
                                                               : FAST_RECEIVE_MULTISHOT;
    file->state &= (uint16_t)~FAST_FILE_POLLED;
    if (file->state & FAST_FILE_READY)
        file->state |= FAST_FILE_POLLED;
    file->state &= (uint16_t)~FAST_FILE_READY;
    fillRead(socket, entry, file->form);
    if (file->state & FAST_FILE_BY_WORKER &&
        (file->form == FAST_FILE_READ || file->form == FAST_FILE_RELAY))
        FastSocketTrail(socket, entry);
    return true;
}

/* ---- what a read gave ---- */

/* Not again at once: a poll says that there is something, and a read that there is nothing for
 * us. */
static struct FastAnswer backOff(void)
{
    return FastAnswer(FAST_VERDICT_BACKOFF, 0);
}

static struct FastAnswer onAgain(struct FastFileSocket* file)
{
    file->state |= FAST_FILE_POLLS;
    return file->state & FAST_FILE_POLLED ? backOff() : FastAnswer(FAST_VERDICT_NOTHING, 0);
}

/* No multishot here: once at a time, which shows if it was something else. */
static struct FastAnswer onRefused(struct FastSocket* socket, int error)
{
    struct FastFileSocket* file = FastFile(socket);
    if (file->form == FAST_FILE_RELAY && isHungUp(socket))
        return FastAnswer(FAST_VERDICT_END, 0); /* then it can't be spliced */
    if (file->form != FAST_FILE_READ_MULTISHOT)
        return FastAnswer(FAST_VERDICT_FAIL, error);
    file->state |= FAST_FILE_READS_ONCE;
    return FastAnswer(FAST_VERDICT_NOTHING, 0);
}

/* What is typed may belong to another job of the shell's: a thread of the kernel's gets EIO where a
 * thread of the program's would be stopped. */
static struct FastAnswer onTerminalError(struct FastSocket* socket)
{
    if (isHungUp(socket))
        return FastAnswer(FAST_VERDICT_END, 0);
    return FastSystemIsBackground(socket->handle) ? backOff() : FastAnswer(FAST_VERDICT_FAIL, EIO);
}

static struct FastAnswer onReadError(struct FastSocket* socket, int error)
{
    switch (error) {
    case EAGAIN:
        return onAgain(FastFile(socket));
    case EBADFD:
    case EINVAL:
    case EOPNOTSUPP:
        return onRefused(socket, error);
    case FILE_ERESTARTSYS:
        return FastAnswer(FastFile(socket)->form == FAST_FILE_RELAY ? FAST_VERDICT_NOTHING
                                                                    : FAST_VERDICT_FAIL,
                          error);
    case EIO:
        return isTerminal(socket) ? onTerminalError(socket) : FastAnswer(FAST_VERDICT_FAIL, error);
    default:
        return FastKindReceiveError(error, false);
    }
}

/* A terminal whose settings let reads return empty-handed (VMIN of 0) says nothing by it, unless it
 * is hung up. Everything else says that it has ended. */
static struct FastAnswer onNothing(const struct FastSocket* socket)
{
    struct termios settings;
    bool waits = isTerminal(socket) && FastSystemGetTerminal(socket->handle, &settings) &&
                 !(settings.c_lflag & ICANON) && settings.c_cc[VMIN] == 0 && !isHungUp(socket);
    return waits ? backOff() : FastAnswer(FAST_VERDICT_END, 0);
}

/* When the poll has come. */
static struct FastAnswer readOwn(struct FastSocket* socket)
{
    struct FastFileSocket* file = FastFile(socket);
    uint32_t length = FastProviderLength(socket->inbound.provider);
    uint8_t* data = AllocateRingFastBuffer(length, socket->inbound.pool);
    file->state |= FAST_FILE_POLLED;
    if (data == NULL)
        return backOff();
    ssize_t result = FastFileReadOwn(file, data, length);
    if (result > 0) {
        FastIntakeBuffer(socket, data, (size_t)result);
        return FastAnswer(FAST_VERDICT_TAKEN, 0);
    }
    ReleaseFastBuffer(FastBufferOf(data));
    if (result == 0)
        return onNothing(socket);
    return result == -EINTR ? FastAnswer(FAST_VERDICT_NOTHING, 0)
                            : onReadError(socket, (int)-result);
}

/* Takes what the relay holds, a packet for each buffer. */
static struct FastAnswer readRelay(struct FastSocket* socket)
{
    struct FastFileSocket* file = FastFile(socket);
    uint32_t length = FastProviderLength(socket->inbound.provider);
    enum FastVerdict verdict = FAST_VERDICT_NOTHING;
    while (file->state & FAST_FILE_RELAYED) {
        uint8_t* data = AllocateRingFastBuffer(length, socket->inbound.pool);
        if (data == NULL) {
            FastSocketBackOffReceive(socket);
            break;
        }
        ssize_t result = FastFileReadRelay(file, data, length);
        if (result > 0) {
            FastIntakeBuffer(socket, data, (size_t)result);
            verdict = FAST_VERDICT_TAKEN;
        } else {
            file->state &= (uint16_t)~FAST_FILE_RELAYED;
            ReleaseFastBuffer(FastBufferOf(data));
        }
    }
    return FastAnswer(verdict, 0);
}

static struct FastAnswer onRelay(struct FastSocket* socket, int result)
{
    if (result > 0)
        FastFile(socket)->state |= FAST_FILE_RELAYED;
    return FastFile(socket)->state & FAST_FILE_RELAYED ? readRelay(socket) : onNothing(socket);
}

static struct FastAnswer onReadable(struct FastSocket* socket)
{
    struct FastFileSocket* file = FastFile(socket);
    if (socket->inbound.stops != 0)
        return FastAnswer(FAST_VERDICT_NOTHING, 0); /* it is polled again when it is wanted */
    if (file->form == FAST_FILE_POLL_OWN)
        return readOwn(socket);
    if (readsApart(socket) && !FastFileHasRelay(file))
        return backOff();
    file->state |= FAST_FILE_READY;
    return FastAnswer(FAST_VERDICT_NOTHING, 0);
}

/* What can't be polled is read without. */
static struct FastAnswer onPollFailure(struct FastSocket* socket, int error)
{
    if (error == ECANCELED)
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    if (readsApart(socket))
        return backOff();
    FastFile(socket)->state &= (uint16_t)~FAST_FILE_POLLS;
    return FastAnswer(FAST_VERDICT_NOTHING, 0);
}

static struct FastAnswer classifyReceive(struct FastSocket* socket,
                                         const struct io_uring_cqe* completion)
{
    uint8_t form = FastFile(socket)->form;
    bool polls = form == FAST_FILE_POLL || form == FAST_FILE_POLL_OWN;
    int result = completion->res;
    if (polls)
        return result >= 0 ? onReadable(socket) : onPollFailure(socket, -result);
    if (result < 0)
        return onReadError(socket, -result);
    if (form == FAST_FILE_RELAY)
        return onRelay(socket, result);
    if (result == 0)
        return onNothing(socket);
    if (completion->flags & IORING_CQE_F_BUFFER)
        return FastAnswer(FAST_VERDICT_DATA, 0);
    /* UNTESTED: in a buffer that the kernel does not name. */
    return FastAnswer(FAST_VERDICT_FAIL, EIO);
}

/* ---- writing ---- */

static int checkSend(const struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    return FastKindCheckSend(socket, parts, flags, FILE_SEND_FLAGS, -EINVAL);
}

static int writeFlags(struct FastSocket* socket)
{
    if (!isPipe(socket))
        return 0;
    if (FastRingEngine(socket->ring)->features & FASTRING_FEATURE_WRITE_NO_SIGNAL)
        return FAST_RWF_NOSIGNAL;
    FastRingGuardPipe(socket->ring);
    return RWF_NOWAIT;
}

/* Written by a call of our own, if that can be. */
static bool writesApart(const struct FastSocket* socket)
{
    return isTerminal(socket) ||
           (isPipe(socket) && FastFile(socket)->state & FAST_FILE_WRITES_APART);
}

/* Otherwise by a thread of the kernel's, which is not to wait there. */
static bool pollsFirst(struct FastSocket* socket)
{
    return !(socket->outbound->room & FAST_ROOM_POLLED) && writesApart(socket) &&
           !FastFileHasOwn(FastFile(socket));
}

static void prepareCarefully(struct FastSocket* socket, struct io_uring_sqe* entry,
                             const struct iovec* vector, uint64_t position, int flags)
{
    size_t most = isPipe(socket) ? FILE_CAREFUL_PIPE : FILE_CAREFUL_TERMINAL;
    size_t length = vector->iov_len < most ? vector->iov_len : most;
    io_uring_prep_write(entry, socket->handle, vector->iov_base, (unsigned)length, position);
    entry->rw_flags = flags;
    entry->flags |= IOSQE_ASYNC;
}

static void prepareWrite(struct FastSocket* socket, struct io_uring_sqe* entry,
                         const struct FastSend* send, uint64_t position, int flags)
{
    if (send->count == 1)
        io_uring_prep_write(entry, socket->handle, send->vector->iov_base,
                            (unsigned)send->vector->iov_len, position);
    else
        io_uring_prep_writev(entry, socket->handle, send->vector, (unsigned)send->count, position);
    entry->rw_flags = flags | writeFlags(socket);
    if (FastSocketHas(socket, FAST_TRAIT_NEEDS_WORKER))
        entry->flags |= IOSQE_ASYNC;
}

static void prepareSend(struct FastSocket* socket, struct io_uring_sqe* entry,
                        const struct FastSend* send)
{
    struct FastFileSocket* file = FastFile(socket);
    uint64_t owner = entry->user_data;
    uint64_t position = send->message != NULL ? send->message->position : FILE_HERE;
    int flags = send->message != NULL ? send->message->writeFlags : 0;
    if (writesApart(socket) && FastFileHasOwn(file)) {
        file->state |= FAST_FILE_WRITTEN;
        file->result = FastFileWriteOwn(file, send->vector, send->count, flags);
        io_uring_prep_nop(entry); /* whose completion comes when that of a write would */
    } else if (writesApart(socket))
        prepareCarefully(socket, entry, send->vector, position, flags);
    else
        prepareWrite(socket, entry, send, position, flags);
    entry->user_data = owner;
    if (file->state & (FAST_FILE_BY_WORKER | FAST_FILE_WRITES_APART) &&
        !(file->state & FAST_FILE_WRITTEN))
        FastSocketTrail(socket, entry);
}

static struct FastAnswer classifySend(struct FastSocket* socket, struct FastFlight* flight,
                                      int result)
{
    struct FastFileSocket* file = FastFile(socket);
    (void)flight;
    if (file->state & FAST_FILE_WRITTEN)
        result = (int)file->result;
    file->state &= (uint16_t)~FAST_FILE_WRITTEN;
    if (result >= 0)
        return FastAnswer(FAST_VERDICT_DATA, result);
    if (result == -EAGAIN) /* after a poll too: a device that says yes and means no */
        return FastAnswer(socket->outbound->room & FAST_ROOM_POLLED ? FAST_VERDICT_BACKOFF
                                                                    : FAST_VERDICT_POLL,
                          EAGAIN);
    if (result == -EOPNOTSUPP && isPipe(socket) && !(file->state & FAST_FILE_WRITES_APART)) {
        file->state |= FAST_FILE_WRITES_APART;
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    }
    return FastKindSendError(-result);
}

/* ---- life ---- */

int FastFileInitialize(struct FastSocket* socket, uint16_t state)
{
    struct FastFileSocket* file = FastFile(socket);
    file->own = -1;
    file->relay[0] = -1;
    file->relay[1] = -1;
    file->state = state;
    return FastSocketMakeOutbound(socket); /* its trail belongs to reads, too */
}

static void closeFile(struct FastSocket* socket)
{
    FastFileCloseOwn(FastFile(socket));
}

const struct FastKind FastKindFile = {
    .size = sizeof(struct FastFileSocket),
    .readFlags = FAST_STREAM_READ_FLAGS,
    .ownSends = FAST_OPCODES_WRITE,
    .prepareReceive = prepareReceive,
    .classifyReceive = classifyReceive,
    .read = FastStreamRead,
    .checkSend = checkSend,
    .append = FastStreamAppend,
    .startSend = FastFlightStartStream,
    .prepareSend = prepareSend,
    .classifySend = classifySend,
    .pollsFirst = pollsFirst,
    .close = closeFile,
};
