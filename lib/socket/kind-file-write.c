/*
 * How files are written: by the ring, or by calls of our own that can't wait.
 *
 * Good path: what was gathered from the queue is one write, whose short count is resumed like that
 * of a send.
 *
 * Terminals claim to serve writes that don't wait, and wait all the same (kind-file-read.c): they
 * are written by a call of our own (kind-file-own.c), after a poll. Where there is no way to make
 * such calls, a write is short, after a poll, on a thread of the kernel's: it takes one for long
 * only if somebody else was faster. Files of FUSE are written on such a thread too.
 *
 * SIGPIPE comes of writes to pipes alone: sockets are sent to. Where the kernel knows RWF_NOSIGNAL,
 * that is all. Elsewhere the write must happen inside the enter that submits it, where the signal
 * is blocked: so it is not allowed to wait, and made again after a poll. A pipe that the ring can't
 * write without waiting (before 6.4, or one with a name) is written by a call of our own. The
 * ring's write would be made again by the kernel in some later enter, where the signal kills (6.1,
 * not blocking), or keep one of its threads for as long as the pipe is full. The last resort is
 * short and after a poll, as above.
 */
#include "socket/kind-file-write.h"

#include "engine/uring-compat.h"
#include "socket/flight.h"
#include "socket/kind-file-own.h"
#include "socket/kind-socket.h"

#include <errno.h>

enum
{
    /* PIPE_BUF: there is room for so much when a poll says that there is room. */
    WRITE_CAREFUL_PIPE = 4096,
    WRITE_CAREFUL_TERMINAL = 1024, /* a pseudo-terminal takes so much then */
};

static int writeFlags(struct FastSocket* socket)
{
    if (!FastFileIsPipe(socket))
        return 0;
    if (FastRingEngine(socket->ring)->features & FASTRING_FEATURE_WRITE_NO_SIGNAL)
        return FAST_RWF_NOSIGNAL;
    FastRingGuardPipe(socket->ring);
    return RWF_NOWAIT;
}

/* Written by a call of our own, if that can be. */
static bool writesApart(const struct FastSocket* socket)
{
    return FastFileIsTerminal(socket) ||
           (FastFileIsPipe(socket) && FastFile(socket)->state & FAST_FILE_WRITES_APART);
}

/* Otherwise by a thread of the kernel's, which is not to wait there. */
bool FastFilePollsBeforeWrite(struct FastSocket* socket)
{
    return !(socket->outbound->room & FAST_ROOM_POLLED) && writesApart(socket) &&
           !FastFileHasOwn(FastFile(socket));
}

static void prepareCarefully(struct FastSocket* socket, struct io_uring_sqe* entry,
                             const struct iovec* vector, uint64_t position, int flags)
{
    size_t most = FastFileIsPipe(socket) ? WRITE_CAREFUL_PIPE : WRITE_CAREFUL_TERMINAL;
    size_t length = vector->iov_len < most ? vector->iov_len : most;
    io_uring_prep_write(entry, socket->handle, vector->iov_base, (unsigned)length, position);
    entry->rw_flags = flags;
    entry->flags |= IOSQE_ASYNC;
}

/* A message's own vector stays where it is. */
static const struct iovec* keepVector(struct FastFileSocket* file, const struct FastSend* send)
{
    if (send->message != NULL)
        return send->vector;
    return memcpy(file->parts, send->vector, send->count * sizeof(*send->vector));
}

static void prepareWrite(struct FastSocket* socket, struct io_uring_sqe* entry,
                         const struct FastSend* send, uint64_t position, int flags)
{
    if (send->count == 1)
        io_uring_prep_write(entry, socket->handle, send->vector->iov_base,
                            (unsigned)send->vector->iov_len, position);
    else
        io_uring_prep_writev(entry, socket->handle, keepVector(FastFile(socket), send),
                             (unsigned)send->count, position);
    entry->rw_flags = flags | writeFlags(socket);
    if (FastSocketHas(socket, FAST_TRAIT_NEEDS_WORKER))
        entry->flags |= IOSQE_ASYNC;
}

void FastFilePrepareWrite(struct FastSocket* socket, struct io_uring_sqe* entry,
                          const struct FastSend* send)
{
    struct FastFileSocket* file = FastFile(socket);
    uint64_t owner = entry->user_data;
    uint64_t position = send->message != NULL ? send->message->position : FAST_FILE_HERE;
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
    if (file->state & (FAST_FILE_TRAILS | FAST_FILE_WRITES_APART) &&
        !(file->state & FAST_FILE_WRITTEN))
        FastSocketTrail(socket, entry);
}

struct FastAnswer FastFileClassifyWrite(struct FastSocket* socket, struct FastFlight* flight,
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
    if (result == -EOPNOTSUPP && FastFileIsPipe(socket) &&
        !(file->state & FAST_FILE_WRITES_APART)) {
        file->state |= FAST_FILE_WRITES_APART;
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    }
    return FastKindSendError(-result);
}
