/*
 * What an engine in user space asks of the system: readiness, and calls that never wait.
 *
 * The engine (soft.c) knows what an operation means; the system knows descriptors. The real one is
 * epoll.c; another, whose sockets are memory, can take its place.
 *
 * Unless something else is said, a function returns a count or 0, or a negative errno: -EAGAIN
 * where it would have to wait. None raises SIGPIPE. What other processes share stays as it is, but
 * for O_NONBLOCK: a socket from which is accepted, or which is spliced from or into, is given it,
 * and one that is connected has it for the time of the call, as has what is neither socket nor pipe
 * nor stored.
 */
#ifndef FASTSOCKET_ENGINE_SYSTEM_H
#define FASTSOCKET_ENGINE_SYSTEM_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct FastSystem;
struct mmsghdr;

struct FastSystemEvent
{
    uint64_t token;  /* of the watch */
    uint32_t events; /* POLL* bits that hold now */
};

enum FastSystemWork
{
    FAST_SYSTEM_READS,
    FAST_SYSTEM_WRITES,
    FAST_SYSTEM_SENDS,
};

/* What may keep us waiting. */
struct FastSystemSlow
{
    void* closure; /* by which the result is known */
    const struct iovec* vector;
    unsigned count;
    int handle;
    int64_t offset; /* not of a send */
    int flags;      /* RWF_*; of a send MSG_* */
    enum FastSystemWork work;
};

enum
{
    FAST_SYSTEM_VECTORS = 1024, /* of one call: UIO_MAXIOV */
    FAST_SYSTEM_LATER = -4096,  /* no errno is as low */
};

enum FastSystemKind
{
    FAST_SYSTEM_NONE, /* no socket */
    FAST_SYSTEM_OTHER,
    /* Bytes without borders, of which a receive that brings fewer than it has room for has brought
     * all, but where input has ended or urgent data is there. */
    FAST_SYSTEM_TCP,
    FAST_SYSTEM_DATAGRAMS, /* an empty message is no end */
    FAST_SYSTEM_PACKETS,   /* messages, too, of other types of sockets */
};

struct FastSystemFunctions
{
    /* ---- sockets; -ENOTSOCK for what is none ---- */

    ssize_t (*receive)(struct FastSystem* system, int handle, void* data, size_t size, int flags);
    ssize_t (*receiveMessage)(struct FastSystem* system, int handle, struct msghdr* message,
                              int flags);
    /* Several messages; returns how many there are. */
    int (*receiveMessages)(struct FastSystem* system, int handle, struct mmsghdr* messages,
                           unsigned count, int flags);
    ssize_t (*send)(struct FastSystem* system, int handle, const void* data, size_t size,
                    int flags);
    ssize_t (*sendMessage)(struct FastSystem* system, int handle, const struct msghdr* message,
                           int flags);
    /* Several, in order; returns how many have gone: the next tells by itself why it has not, but
     * for an errno that an earlier one has met (hearsErrors), which is gone. */
    int (*sendMessages)(struct FastSystem* system, int handle, struct mmsghdr* messages,
                        unsigned count, int flags);
    int (*accept)(struct FastSystem* system, int handle, struct sockaddr* address,
                  socklen_t* length, int flags);
    /* -EINPROGRESS or -EALREADY: to be called again when the socket is writable;
     * FAST_SYSTEM_LATER: after a time, since nothing tells when. */
    int (*connect)(struct FastSystem* system, int handle, const struct sockaddr* address,
                   socklen_t length);
    int (*shutdown)(struct FastSystem* system, int handle, int how);
    /* The error that the socket has, negative or 0, which is forgotten. */
    int (*takeError)(struct FastSystem* system, int handle);
    enum FastSystemKind (*kind)(struct FastSystem* system, int handle);
    /* Whether what a message has met may be told to one that is sent after it. */
    bool (*hearsErrors)(struct FastSystem* system, int handle);

    /* ---- files and sockets; offset negative: the file's own position ---- */

    ssize_t (*read)(struct FastSystem* system, int handle, const struct iovec* vector,
                    unsigned count, int64_t offset, int flags);
    ssize_t (*write)(struct FastSystem* system, int handle, const struct iovec* vector,
                     unsigned count, int64_t offset, int flags);
    /* -EAGAIN: from has nothing; -ENOBUFS: to has no room. */
    ssize_t (*splice)(struct FastSystem* system, int from, int64_t* fromOffset, int to,
                      int64_t* toOffset, size_t size, unsigned flags);
    int (*close)(struct FastSystem* system, int handle);

    /* Begins a read or write of what is stored, whatever its server takes for it, or a send of a
     * record that would be cut without waiting; wait ends with it, and takeSlow gives it. Memory
     * and descriptor are needed until then. -EOPNOTSUPP: it is nothing that needs it; another
     * errno: it can't be begun. A send ends when the output is shut down. */
    int (*beginSlow)(struct FastSystem* system, const struct FastSystemSlow* work);
    /* One that is over; false: none. Asked while some are begun and not taken. */
    bool (*takeSlow)(struct FastSystem* system, void** closure, ssize_t* result);

    /* Which of these POLL* bits hold now, with POLLERR, POLLHUP and POLLNVAL. */
    uint32_t (*look)(struct FastSystem* system, int handle, uint32_t events);

    /* To more than its place (O_PATH). */
    bool (*isOpen)(struct FastSystem* system, int handle);

    /* Copies pieces of memory, each of which may not be there, and has a place of its size. Returns
     * how many were before the first that is not. */
    unsigned (*copy)(struct FastSystem* system, const struct iovec* to, const struct iovec* from,
                     unsigned count);

    /* Another descriptor of the same file, which stays open whatever becomes of the first.
     * -EOPNOTSUPP of what is stored: its close would take all locks (F_SETLK) that the process has
     * on the file. */
    int (*duplicate)(struct FastSystem* system, int handle);

    /* ---- readiness ---- */

    /*
     * From now on wait gives the token with each change of these POLL* bits, POLLERR and POLLHUP in
     * any case, and at once if one of them holds. Replaces what the descriptor was watched for.
     * fresh: it should not have been watched before; what is known of it may be another file's.
     * Returns 1 where it was not watched yet, 0 where it was; -EPERM where it is always ready.
     */
    int (*watch)(struct FastSystem* system, int handle, uint32_t events, uint64_t token,
                 bool fresh);
    void (*unwatch)(struct FastSystem* system, int handle);

    /*
     * Waits until something is ready, timeout nanoseconds have passed (0: doesn't wait, negative:
     * no limit) or a signal comes (-EINTR). mask, or NULL, is the thread's signal mask meanwhile.
     * Returns how many events there are.
     */
    int (*wait)(struct FastSystem* system, struct FastSystemEvent* events, int room,
                int64_t timeout, const sigset_t* mask);

    /* Nanoseconds of a clock that only goes forward. */
    int64_t (*now)(struct FastSystem* system);

    /* ---- for the engine's table ---- */

    /* A descriptor that reads 8 bytes after each wake: a watch of it ends waits. */
    int (*wakeHandle)(struct FastSystem* system);
    void (*wake)(struct FastSystem* system); /* any thread, async-signal-safe */
    int (*pollable)(struct FastSystem* system); /* polls readable when wait would give events */
    void (*show)(struct FastSystem* system); /* has it be so until a wait; after it was asked for */
    void (*end)(struct FastSystem* system);          /* no more waits */
    void (*closeHandles)(struct FastSystem* system); /* after end, and nobody is in wake */
    void (*destroy)(struct FastSystem* system);      /* after end */
};

struct FastSystem
{
    const struct FastSystemFunctions* functions;
    uint64_t calls; /* of the kernel, for the statistics */
};

/* Copies vectors as the kernel does it, from where they may not be. Returns 0, -EFAULT, or -EINVAL:
 * there are too many, or one is too long. */
static inline int FastSystemTakeVector(struct FastSystem* system, const struct iovec* vector,
                                       unsigned count, struct iovec* to)
{
    const struct iovec from = {(void*)vector, count * sizeof(*vector)};
    const struct iovec place = {to, from.iov_len};
    if (count > FAST_SYSTEM_VECTORS)
        return -EINVAL;
    if (count > 0 && system->functions->copy(system, &place, &from, 1) == 0)
        return -EFAULT;
    for (unsigned index = 0; index < count; index++)
        if ((ssize_t)to[index].iov_len < 0)
            return -EINVAL;
    return 0;
}

#endif
