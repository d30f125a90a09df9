/*
 * How files are read: by the ring, by calls of our own that can't wait, or through a relay.
 *
 * Good path: an anonymous pipe has one multishot read armed, where the kernel has it; everything
 * else is read once at a time, into a provided buffer just the same. Multishot is for nothing but
 * those pipes: files whose reads may wait have shown completions without their buffer (before
 * 6.12), or were refused in the middle.
 *
 * Terminals claim to serve reads that don't wait, and wait all the same (6.18): submitted as usual
 * they would stop the loop, for as long as somebody holds the output by ^S. On a thread of the
 * kernel's they would take it for as long, and such threads are counted; on 6.1 a read there whose
 * input was flushed since the poll never ends, nor does its process. So they are read by calls of
 * our own that can't wait (kind-file-own.c), when a poll says so. The poll also sees the hang-up,
 * which an armed multishot read never does. Where there is no way to make such calls, a read is a
 * splice into the relay. Files of FUSE claim and wait likewise (6.18), until their server answers,
 * and are read on a thread of the kernel's too.
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
 */
#include "socket/kind-file-read.h"

#include "engine/uring-compat.h"
#include "socket/intake.h"
#include "socket/kind-file-own.h"
#include "socket/kind-socket.h"
#include "socket/system.h"

#include <errno.h>
#include <poll.h>
#include <termios.h>

enum
{
    READ_MAX_RELAYED = 64 << 10, /* what a pipe holds */
    READ_ERESTARTSYS = 512,      /* the kernel's EINTR, which a splice lets out */
};

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
    if (FastFileIsTerminal(socket))
        return true;
    return FastFileIsPipe(socket) &&
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
    uint32_t length = multishot ? 0 : FastProviderLength(FastSocketProvider(socket));
    io_uring_prep_read(entry, socket->handle, NULL, length, FAST_FILE_HERE);
    if (multishot)
        entry->opcode = FAST_URING_OP_READ_MULTISHOT;
    entry->flags |= IOSQE_BUFFER_SELECT;
    if (FastSocketHas(socket, FAST_TRAIT_NEEDS_WORKER))
        entry->flags |= IOSQE_ASYNC;
    entry->buf_group = FastProviderGroup(FastSocketProvider(socket));
}

static void prepareRelay(struct FastSocket* socket, struct io_uring_sqe* entry)
{
    struct FastFileSocket* file = FastFile(socket);
    uint32_t length = FastProviderLength(FastSocketProvider(socket));
    if (length > READ_MAX_RELAYED)
        length = READ_MAX_RELAYED;
    if (file->state & FAST_FILE_RELAYED)
        io_uring_prep_nop(entry); /* the relay still holds what no memory was there for */
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

bool FastFilePrepareRead(struct FastSocket* socket)
{
    struct FastFileSocket* file = FastFile(socket);
    if (FastRingRoom(socket->ring) < FAST_TRAILED)
        return false;
    struct io_uring_sqe* entry = FastArmedReserve(socket->ring, &socket->inbound.receive);
    file->form = chooseForm(socket);
    socket->inbound.receive.form = FastRingInboundIsFull(socket->ring) ? FAST_RECEIVE_ONCE
                                                                       : FAST_RECEIVE_MULTISHOT;
    file->state &= (uint16_t)~FAST_FILE_POLLED;
    if (file->state & FAST_FILE_READY)
        file->state |= FAST_FILE_POLLED;
    file->state &= (uint16_t)~FAST_FILE_READY;
    fillRead(socket, entry, file->form);
    if (file->state & FAST_FILE_TRAILS &&
        (file->form == FAST_FILE_READ || file->form == FAST_FILE_RELAY))
        FastSocketTrail(socket, entry);
    return true;
}

/* ---- what a read gave ---- */

/* The poll says that there is something, the read that there is nothing for us: tried again at
 * once, they would say so for ever. */
static struct FastAnswer backOff(void)
{
    return FastAnswer(FAST_VERDICT_BACKOFF, 0);
}

static struct FastAnswer onAgain(struct FastFileSocket* file)
{
    file->state |= FAST_FILE_POLLS;
    return file->state & FAST_FILE_POLLED ? backOff() : FastAnswer(FAST_VERDICT_NOTHING, 0);
}

/* Multishot was refused, or something else was: a single read shows which. */
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

/* While another job of the shell's has the terminal, what is typed is not ours: a thread of the
 * kernel's gets EIO then, where one of the program's would be stopped. */
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
    case READ_ERESTARTSYS:
        return FastAnswer(FastFile(socket)->form == FAST_FILE_RELAY ? FAST_VERDICT_NOTHING
                                                                    : FAST_VERDICT_FAIL,
                          error);
    case EIO:
        return FastFileIsTerminal(socket) ? onTerminalError(socket)
                                          : FastAnswer(FAST_VERDICT_FAIL, error);
    case ENOBUFS: /* never the file's own */
        return FastAnswer(FAST_VERDICT_NO_BUFFERS, error);
    default:
        return FastKindReceiveError(socket, error, NULL);
    }
}

/* A terminal whose settings let reads return empty-handed (VMIN of 0) says nothing by it, unless it
 * is hung up. Everything else says that it has ended. */
static struct FastAnswer onNothing(const struct FastSocket* socket)
{
    struct termios settings;
    bool waits = FastFileIsTerminal(socket) && FastSystemGetTerminal(socket->handle, &settings) &&
                 !(settings.c_lflag & ICANON) && settings.c_cc[VMIN] == 0 && !isHungUp(socket);
    return waits ? backOff() : FastAnswer(FAST_VERDICT_END, 0);
}

/* When the poll has come. */
static struct FastAnswer readOwn(struct FastSocket* socket)
{
    struct FastFileSocket* file = FastFile(socket);
    uint32_t length = FastProviderLength(FastSocketProvider(socket));
    uint8_t* data = AllocateRingFastBuffer(length, FastSocketInboundPool(socket));
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
    uint32_t length = FastProviderLength(FastSocketProvider(socket));
    enum FastVerdict verdict = FAST_VERDICT_NOTHING;
    while (file->state & FAST_FILE_RELAYED) {
        uint8_t* data = AllocateRingFastBuffer(length, FastSocketInboundPool(socket));
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

struct FastAnswer FastFileClassifyRead(struct FastSocket* socket,
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
    /* In a buffer that the kernel does not name. */
    return FastAnswer(FAST_VERDICT_FAIL, EIO);
}
