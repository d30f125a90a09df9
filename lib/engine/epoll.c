/*
 * The system as it is: epoll, and calls that don't wait.
 *
 * Sockets are asked with MSG_DONTWAIT, and for connections as epoll-connection.c does it.
 *
 * Descriptors are watched by edges. One that is closed is forgotten by the kernel when nobody has
 * its file any more.
 *
 * Under valgrind bytes are received as messages, of which it knows how much was written, and the
 * wait is one that it knows.
 *
 * Failures: the kernel has no wait with a limit in nanoseconds (before 5.11): a poll of the epoll
 * descriptor waits, and the events are taken then.
 */
#include "engine/epoll.h"

#include "base/cancel.h"
#include "base/checker.h"
#include "base/handle.h"
#include "engine/epoll-connection.h"
#include "engine/epoll-copy.h"
#include "engine/epoll-file.h"
#include "engine/epoll-nonblock.h"
#include "engine/epoll-slow.h"

#include <linux/time_types.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>

/* Of what the threads of slow work signal: no descriptor has this number. */
#define EPOLL_SLOW_TOKEN UINT64_MAX
/* Of what makes the handle readable for a foreign loop. */
#define EPOLL_SHOW_TOKEN (UINT64_MAX - 1)

enum
{
    NANOSECONDS = 1000000000,
    EPOLL_EVENTS = 256, /* of one wait */
};

struct FastEpoll
{
    struct FastSystem base;
    int handle;
    atomic_int wakeHandle;      /* eventfd, open until destroy: a late wake hits nobody else's */
    int showHandle;             /* eventfd, watched by edges; negative: no handle was asked for */
    bool shown;                 /* it was signaled, and no wait has seen that yet */
    bool lacksWait;             /* epoll_pwait2(2) was refused */
    bool checked;               /* valgrind watches */
    struct FastEpollSlow* slow; /* NULL: none was ever needed */
};

static struct FastEpoll* epollOf(struct FastSystem* system)
{
    return (struct FastEpoll*)system;
}

/* ---- sockets ---- */

static ssize_t receiveMessage(struct FastSystem* system, int handle, struct msghdr* message,
                              int flags)
{
    return FastEpollCount(system, recvmsg(handle, message, flags | MSG_DONTWAIT));
}

static ssize_t receive(struct FastSystem* system, int handle, void* data, size_t size, int flags)
{
    if (!epollOf(system)->checked)
        return FastEpollCount(system, recv(handle, data, size, flags | MSG_DONTWAIT));
    struct iovec vector = {.iov_base = data, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    return receiveMessage(system, handle, &message, flags);
}

static int receiveMessages(struct FastSystem* system, int handle, struct mmsghdr* messages,
                           unsigned number, int flags)
{
    return (int)FastEpollCount(
        system, recvmmsg(handle, messages, number, flags | MSG_DONTWAIT, NULL));
}

static ssize_t sendBytes(struct FastSystem* system, int handle, const void* data, size_t size,
                         int flags)
{
    return FastEpollCount(system, send(handle, data, size, flags | MSG_DONTWAIT | MSG_NOSIGNAL));
}

static ssize_t sendMessage(struct FastSystem* system, int handle, const struct msghdr* message,
                           int flags)
{
    return FastEpollCount(system, sendmsg(handle, message, flags | MSG_DONTWAIT | MSG_NOSIGNAL));
}

static int sendMessages(struct FastSystem* system, int handle, struct mmsghdr* messages,
                        unsigned number, int flags)
{
    return (int)FastEpollCount(
        system, sendmmsg(handle, messages, number, flags | MSG_DONTWAIT | MSG_NOSIGNAL));
}

static uint32_t look(struct FastSystem* system, int handle, uint32_t events)
{
    struct pollfd state = {.fd = handle, .events = (short)events};
    return FastEpollCount(system, poll(&state, 1, 0)) > 0 ? (uint16_t)state.revents : 0;
}

static int endConnection(struct FastSystem* system, int handle, int how)
{
    return (int)FastEpollCount(system, shutdown(handle, how));
}

/* Negative: there is none. */
static int numberOf(struct FastSystem* system, int handle, int level, int option)
{
    int value = -1;
    socklen_t length = sizeof(value);
    (void)FastEpollCount(system, getsockopt(handle, level, option, &value, &length));
    return value;
}

static int takeError(struct FastSystem* system, int handle)
{
    int error = 0;
    socklen_t length = sizeof(error);
    int result = (int)FastEpollCount(
        system, getsockopt(handle, SOL_SOCKET, SO_ERROR, &error, &length));
    return result < 0 ? result : -error;
}

static enum FastSystemKind kindOf(struct FastSystem* system, int handle)
{
    int type = numberOf(system, handle, SOL_SOCKET, SO_TYPE);
    if (type < 0)
        return FAST_SYSTEM_NONE;
    if (type == SOCK_DGRAM)
        return FAST_SYSTEM_DATAGRAMS;
    if (type != SOCK_STREAM)
        return type == SOCK_SEQPACKET ? FAST_SYSTEM_OTHER : FAST_SYSTEM_PACKETS;
    bool isTcp = numberOf(system, handle, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP;
    return isTcp ? FAST_SYSTEM_TCP : FAST_SYSTEM_OTHER;
}

/* Who is connected does, and who wants to. Anybody may change that at any time. */
static bool hearsErrors(struct FastSystem* system, int handle)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    ssize_t peer = FastEpollCount(
        system, getpeername(handle, (struct sockaddr*)&name, &length));
    return peer != -ENOTCONN || numberOf(system, handle, IPPROTO_IP, IP_RECVERR) > 0 ||
           numberOf(system, handle, IPPROTO_IPV6, IPV6_RECVERR) > 0;
}

/* ---- what takes its time ---- */

/* vsock takes a part of a record for which there is no room, and says that it has taken nothing
 * (af_vsock.c): a send that waits is whole. */
static bool cutsRecords(struct FastSystem* system, int handle)
{
    return numberOf(system, handle, SOL_SOCKET, SO_DOMAIN) == AF_VSOCK &&
           numberOf(system, handle, SOL_SOCKET, SO_TYPE) == SOCK_SEQPACKET;
}

static int beginSlow(struct FastSystem* system, const struct FastSystemSlow* work)
{
    struct FastEpoll* epoll = epollOf(system);
    bool slow = work->work == FAST_SYSTEM_SENDS ? cutsRecords(system, work->handle)
                                                : FastEpollIsStored(system, work->handle);
    if (!slow)
        return -EOPNOTSUPP;
    return FastEpollBeginSlow(&epoll->slow, epoll->handle, EPOLL_SLOW_TOKEN, work);
}

static bool takeSlow(struct FastSystem* system, void** closure, ssize_t* result)
{
    return FastEpollTakeSlow(epollOf(system)->slow, closure, result);
}

/* ---- descriptors ---- */

/* After EINTR it is closed all the same. */
static int closeHandle(struct FastSystem* system, int handle)
{
    int result = (int)FastEpollCount(system, close(handle));
    return result == -EINTR ? 0 : result;
}

static bool isOpen(struct FastSystem* system, int handle)
{
    int flags = (int)FastEpollCount(system, fcntl(handle, F_GETFL));
    return flags >= 0 && !(flags & O_PATH);
}

static int duplicate(struct FastSystem* system, int handle)
{
    if (FastEpollIsStored(system, handle))
        return -EOPNOTSUPP;
    int result =
        (int)FastEpollCount(system, fcntl(handle, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    return result == -EINVAL ? -EMFILE : result; /* RLIMIT_NOFILE allows no number as high */
}

static int control(struct FastSystem* system, int operation, int handle, uint32_t events,
                   uint64_t token)
{
    struct epoll_event event = {.events = events | EPOLLET, .data.u64 = token};
    int result =
        (int)FastEpollCount(system, epoll_ctl(epollOf(system)->handle, operation, handle, &event));
    return result == -ENOSPC ? -ENOMEM : result; /* fs.epoll.max_user_watches: it may come back */
}

static int watch(struct FastSystem* system, int handle, uint32_t events, uint64_t token, bool fresh)
{
    int result = control(system, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, handle, events, token);
    if (fresh && result == -EEXIST)
        result = control(system, EPOLL_CTL_MOD, handle, events, token);
    if (fresh || result != -ENOENT)
        return result;
    result = control(system, EPOLL_CTL_ADD, handle, events, token);
    return result < 0 ? result : 1;
}

static void unwatch(struct FastSystem* system, int handle)
{
    (void)control(system, EPOLL_CTL_DEL, handle, 0, 0);
}

/* ---- waiting ---- */

/* Sleeps as long as nothing is ready; 0: take what is there. */
static int sleepLong(struct FastSystem* system, const struct timespec* limit, const sigset_t* mask)
{
    struct pollfd state = {.fd = epollOf(system)->handle, .events = POLLIN};
    int result = (int)FastEpollCount(system, ppoll(&state, 1, limit, mask));
    return result < 0 ? result : 0;
}

static int takeEvents(struct FastSystem* system, struct epoll_event* events, int room,
                      const struct timespec* limit, const sigset_t* mask)
{
    struct FastEpoll* epoll = epollOf(system);
    if (limit != NULL && limit->tv_sec == 0 && limit->tv_nsec == 0)
        return (int)FastEpollCount(system, epoll_pwait(epoll->handle, events, room, 0, mask));
    if (limit == NULL)
        return (int)FastEpollCount(system, epoll_pwait(epoll->handle, events, room, -1, mask));
    if (!epoll->lacksWait) {
        const struct __kernel_timespec time = {.tv_sec = limit->tv_sec, .tv_nsec = limit->tv_nsec};
        int former = FastCancelAllow();
        long found = syscall(SYS_epoll_pwait2, epoll->handle, events, room, &time, mask, _NSIG / 8);
        FastCancelRefuse(former);
        int result = (int)FastEpollCount(system, found);
        /* Filters of system calls say so too. */
        epoll->lacksWait = result == -ENOSYS || result == -EPERM;
        if (!epoll->lacksWait)
            return result;
    }
    int result = sleepLong(system, limit, mask);
    if (result < 0)
        return result;
    return (int)FastEpollCount(system, epoll_pwait(epoll->handle, events, room, 0, NULL));
}

/* Of our own eventfds. */
static void handleOwn(struct FastEpoll* epoll, uint64_t token)
{
    if (token == EPOLL_SLOW_TOKEN)
        FastEpollQuietSlow(epoll->slow);
    else
        epoll->shown = false;
}

static int wait(struct FastSystem* system, struct FastSystemEvent* events, int room,
                int64_t timeout, const sigset_t* mask)
{
    struct epoll_event found[EPOLL_EVENTS];
    struct timespec limit = {.tv_sec = timeout / NANOSECONDS, .tv_nsec = timeout % NANOSECONDS};
    if (room > EPOLL_EVENTS)
        room = EPOLL_EVENTS;
    int result = takeEvents(system, found, room, timeout >= 0 ? &limit : NULL, mask);
    int count = 0;
    for (int index = 0; index < result; index++) {
        if (found[index].data.u64 >= EPOLL_SHOW_TOKEN) {
            handleOwn(epollOf(system), found[index].data.u64);
            continue;
        }
        events[count].token = found[index].data.u64;
        events[count++].events = found[index].events;
    }
    return result < 0 ? result : count;
}

static int64_t now(struct FastSystem* system)
{
    struct timespec time;
    (void)system;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * (int64_t)NANOSECONDS + time.tv_nsec;
}

/* ---- for the engine's table ---- */

static int wakeHandle(struct FastSystem* system)
{
    return atomic_load(&epollOf(system)->wakeHandle);
}

static void wake(struct FastSystem* system)
{
    int error = errno; /* a signal handler's caller must not see ours */
    int handle = wakeHandle(system);
    if (handle >= 0) /* the counter can't be full: it is read at every wake */
        FastHandleCount(handle, 1);
    errno = error;
}

/* Its edge makes the descriptor that others poll readable, until a wait has taken it: nobody need
 * read it. */
static int makeShowHandle(struct FastEpoll* epoll)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = EPOLL_SHOW_TOKEN};
    int handle = FastHandleMove(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    int error = handle < 0 || epoll_ctl(epoll->handle, EPOLL_CTL_ADD, handle, &event) < 0 ? -errno
                                                                                          : 0;
    if (error < 0 && handle >= 0)
        close(handle);
    epoll->showHandle = error < 0 ? -1 : handle;
    return error;
}

static int pollable(struct FastSystem* system)
{
    struct FastEpoll* epoll = epollOf(system);
    int result = epoll->showHandle < 0 ? makeShowHandle(epoll) : 0;
    return result < 0 ? result : epoll->handle;
}

static void show(struct FastSystem* system)
{
    struct FastEpoll* epoll = epollOf(system);
    const uint64_t value = 1;
    if (epoll->shown)
        return;
    epoll->shown = true;
    FastEpollCount(system, write(epoll->showHandle, &value, sizeof(value)));
}

static void end(struct FastSystem* system)
{
    FastEpollEndSlow(epollOf(system)->slow);
    if (epollOf(system)->showHandle >= 0)
        close(epollOf(system)->showHandle);
    close(epollOf(system)->handle);
}

static void closeHandles(struct FastSystem* system)
{
    int handle = atomic_exchange(&epollOf(system)->wakeHandle, -1);
    if (handle >= 0)
        close(handle);
}

static void destroy(struct FastSystem* system)
{
    closeHandles(system);
    free(system);
}

static const struct FastSystemFunctions functions = {
    .receive = receive,
    .receiveMessage = receiveMessage,
    .receiveMessages = receiveMessages,
    .send = sendBytes,
    .sendMessage = sendMessage,
    .sendMessages = sendMessages,
    .accept = FastEpollAccept,
    .connect = FastEpollConnect,
    .shutdown = endConnection,
    .takeError = takeError,
    .kind = kindOf,
    .hearsErrors = hearsErrors,
    .read = FastEpollRead,
    .write = FastEpollWrite,
    .splice = FastEpollSplice,
    .close = closeHandle,
    .beginSlow = beginSlow,
    .takeSlow = takeSlow,
    .look = look,
    .isOpen = isOpen,
    .copy = FastEpollCopy,
    .duplicate = duplicate,
    .watch = watch,
    .unwatch = unwatch,
    .wait = wait,
    .now = now,
    .wakeHandle = wakeHandle,
    .wake = wake,
    .pollable = pollable,
    .show = show,
    .end = end,
    .closeHandles = closeHandles,
    .destroy = destroy,
};

int FastEpollOpen(struct FastSystem** result)
{
    struct FastEpoll* epoll = calloc(1, sizeof(*epoll));
    if (epoll == NULL)
        return -ENOMEM;
    epoll->base.functions = &functions;
    epoll->showHandle = -1;
    epoll->checked = FastCheckerRuns();
    epoll->lacksWait = epoll->checked;
    epoll->handle = FastHandleMove(epoll_create1(EPOLL_CLOEXEC));
    int error = epoll->handle < 0 ? -errno : 0;
    if (error < 0) {
        free(epoll);
        return error;
    }
    atomic_init(&epoll->wakeHandle, FastHandleMove(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
    error = atomic_load(&epoll->wakeHandle) < 0 ? -errno : 0;
    if (error < 0) {
        close(epoll->handle);
        free(epoll);
        return error;
    }
    *result = &epoll->base;
    return 0;
}
