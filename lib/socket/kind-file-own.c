/*
 * Files that are read and written without waiting, whatever the file says: an open file description
 * of the socket's own, and where there can be none, a relay.
 *
 * O_NONBLOCK is a flag of the open file description, which others may share (a shell and its jobs
 * have one for their terminal), so it is not ours to set. But a pipe, a FIFO and a terminal can be
 * opened once more through /proc, which gives a description for us alone: on that, read(2) and
 * write(2) return at once, on every kernel. Nothing in the kernel then waits for a peer on our
 * behalf: none of its threads is taken, no signal comes later than in the call, and what was
 * flushed or taken by another reader is EAGAIN.
 *
 * Signals: SIGPIPE is kept from the thread around a write to a pipe; SIGTTIN and SIGTTOU around
 * what is done to a terminal: the kernel then gives EIO for a read in the background, and lets a
 * write pass, instead of stopping the job.
 *
 * Failures: the file is another user's now, /proc is not there, or no descriptor is left: the
 * caller reads by the relay and writes by a thread of the kernel's. A pseudo-terminal's master
 * can't be opened again, as that would make a new one. The relay is a pipe into which a terminal
 * without a description of ours is spliced: the kernel does that on a thread of its own, where it
 * may wait, and be canceled.
 */
#include "socket/kind-file-own.h"

#include "base/handle.h"
#include "base/missing.h"
#include "base/pipe-signal.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum
{
    OWN_PATH = 64,
};

/* ---- the description ---- */

/* Opened again, /dev/ptmx would make another terminal. */
static bool isMaster(int handle)
{
    unsigned number;
    return ioctl(handle, TIOCGPTN, &number) == 0;
}

static bool isSameDevice(int one, int other)
{
    /* What TIOCGDEV tells: /dev/tty, for one, is not always the same terminal. */
    unsigned first = 0;
    unsigned second = 0;
    return ioctl(one, TIOCGDEV, &first) == 0 && ioctl(other, TIOCGDEV, &second) == 0 &&
           first == second;
}

static bool isSame(const struct FastFileSocket* file, int other)
{
    struct stat first;
    struct stat second;
    if (fstat(file->socket.handle, &first) < 0 || fstat(other, &second) < 0)
        return false;
    if (first.st_dev != second.st_dev || first.st_ino != second.st_ino)
        return false;
    return !FastSocketHas(&file->socket, FAST_TRAIT_TERMINAL) ||
           isSameDevice(file->socket.handle, other);
}

static int openAgain(const struct FastFileSocket* file)
{
    char path[OWN_PATH];
    int flags = fcntl(file->socket.handle, F_GETFL);
    if (flags < 0 ||
        (FastSocketHas(&file->socket, FAST_TRAIT_TERMINAL) && isMaster(file->socket.handle)))
        return -1;
    (void)snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", file->socket.handle);
    int handle = FastHandleMove(
        open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (handle >= 0 && !isSame(file, handle)) {
        close(handle);
        handle = -1;
    }
    if (handle >= 0)
        FastForkHide(handle);
    return handle;
}

bool FastFileHasOwn(struct FastFileSocket* file)
{
    if (!(file->state & FAST_FILE_TRIED)) {
        file->state |= FAST_FILE_TRIED;
        file->own = openAgain(file);
    }
    return file->own >= 0;
}

/* ---- reading and writing ---- */

static void blockTerminalSignals(sigset_t* before)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTTIN);
    sigaddset(&set, SIGTTOU);
    (void)pthread_sigmask(SIG_BLOCK, &set, before);
}

ssize_t FastFileReadOwn(struct FastFileSocket* file, void* data, size_t size)
{
    sigset_t before;
    if (FastSocketHas(&file->socket, FAST_TRAIT_TERMINAL))
        blockTerminalSignals(&before);
    ssize_t result = read(file->own, data, size);
    if (result < 0)
        result = -errno;
    if (FastSocketHas(&file->socket, FAST_TRAIT_TERMINAL))
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* Whether a write is a packet is a flag of the description too, and anybody may change it. */
static void followPacketMode(const struct FastFileSocket* file)
{
    int theirs = fcntl(file->socket.handle, F_GETFL);
    int ours = fcntl(file->own, F_GETFL);
    if (theirs >= 0 && ours >= 0 && (theirs ^ ours) & O_DIRECT)
        (void)fcntl(file->own, F_SETFL, ours ^ O_DIRECT);
}

static ssize_t writeOnce(const struct FastFileSocket* file, const struct iovec* vector,
                         size_t count, int flags)
{
    ssize_t result = flags == 0 ? writev(file->own, vector, (int)count)
                                : pwritev2(file->own, vector, (int)count, -1, flags);
    return result < 0 ? -errno : result;
}

ssize_t FastFileWriteOwn(struct FastFileSocket* file, const struct iovec* vector, size_t count,
                         int flags)
{
    struct FastPipeSignal guard;
    sigset_t before;
    ssize_t result;
    flags &= ~RWF_NOWAIT;
    if (FastSocketHas(&file->socket, FAST_TRAIT_TERMINAL)) {
        blockTerminalSignals(&before);
        result = writeOnce(file, vector, count, flags);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        return result;
    }
    followPacketMode(file);
    FastPipeSignalBlock(&guard);
    result = writeOnce(file, vector, count, flags);
    FastPipeSignalRestore(&guard);
    return result;
}

/* ---- the relay ---- */

static bool openRelay(int relay[2])
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    relay[0] = FastHandleMove(ends[0]);
    relay[1] = FastHandleMove(ends[1]);
    if (relay[0] >= 0 && relay[1] >= 0) {
        FastForkHide(relay[0]);
        FastForkHide(relay[1]);
        return true;
    }
    for (int end = 0; end < 2; end++) {
        if (relay[end] >= 0)
            close(relay[end]);
        relay[end] = -1;
    }
    return false;
}

bool FastFileHasRelay(struct FastFileSocket* file)
{
    return file->relay[0] >= 0 || openRelay(file->relay);
}

ssize_t FastFileReadRelay(struct FastFileSocket* file, void* data, size_t size)
{
    ssize_t result = read(file->relay[0], data, size);
    return result < 0 ? -errno : result;
}

/* ---- life ---- */

void FastFileCloseOwn(struct FastFileSocket* file)
{
    if (file->own >= 0)
        FastForkClose(file->own);
    if (file->relay[0] >= 0) {
        FastForkClose(file->relay[0]);
        FastForkClose(file->relay[1]);
    }
    file->own = -1;
    file->relay[0] = -1;
    file->relay[1] = -1;
}
