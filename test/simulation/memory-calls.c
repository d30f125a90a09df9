/*
 * What the library asks of the system directly, answered for descriptors of the simulation.
 *
 * The functions of lib/socket/system.c stand here instead of there: the program is linked with an
 * archive, of which that member is not needed then. A few calls are made elsewhere; the linker
 * wraps these (meson.build has their names). The time of the library's clock is the simulation's.
 */
#include "memory-control.h"
#include "memory-system.h"
#include "schedule.h"

#include "socket/system.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum
{
    SPACE_SEND = 1 << 16,
};

/* ---- lib/socket/system.h: any descriptor ---- */

int FastSystemPoll(int handle, short events)
{
    const struct MemoryFile* file = handleFile(handle);
    if (file == NULL)
        return POLLNVAL;
    return (int)(memoryLook(file) & ((uint32_t)(uint16_t)events | POLLERR | POLLHUP));
}

int FastSystemGetFlags(int handle)
{
    const struct MemoryFile* file = handleFile(handle);
    if (file == NULL)
        return -EBADF;
    if (file->reads && file->writes)
        return O_RDWR;
    return file->reads ? O_RDONLY : O_WRONLY;
}

void FastSystemSetFlags(int handle, int flags)
{
    (void)handle;
    (void)flags;
}

void FastSystemSetCloseOnExec(int handle)
{
    (void)handle;
}

void FastSystemClose(int handle)
{
    if (handleClose(handle) < 0)
        wrong("descriptor %d is closed, which is not open", handle);
}

/* ---- sockets ---- */

static int typeOf(const struct MemoryFile* file)
{
    if (file->kind == MEMORY_RECORDS)
        return SOCK_SEQPACKET;
    return memoryIsMessages(file) ? SOCK_DGRAM : SOCK_STREAM;
}

static int domainOf(const struct MemoryFile* file)
{
    return file->kind == MEMORY_TCP || file->kind == MEMORY_UDP || file->kind == MEMORY_LISTENER
               ? AF_INET
               : AF_UNIX;
}

static int protocolOf(const struct MemoryFile* file)
{
    if (domainOf(file) == AF_UNIX)
        return 0;
    return file->kind == MEMORY_UDP ? IPPROTO_UDP : IPPROTO_TCP;
}

static int getSocketNumber(struct MemoryFile* file, int option, int* value)
{
    switch (option) {
    case SO_TYPE:
        *value = typeOf(file);
        return 0;
    case SO_DOMAIN:
        *value = domainOf(file);
        return 0;
    case SO_PROTOCOL:
        *value = protocolOf(file);
        return 0;
    case SO_ACCEPTCONN:
        *value = file->kind == MEMORY_LISTENER;
        return 0;
    case SO_ERROR:
        *value = memoryTakeError(file);
        return 0;
    case SO_PASSCRED:
        *value = file->passesCredentials;
        return 0;
    case SO_SNDBUF:
        *value = SPACE_SEND;
        return 0;
    case SO_TIMESTAMP:
    case SO_TIMESTAMPNS:
    case SO_TIMESTAMPING:
        *value = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int FastSystemGetNumber(int handle, int level, int option, int* value)
{
    struct MemoryFile* file = handleFile(handle);
    if (file == NULL)
        return -EBADF;
    if (file->kind == MEMORY_PIPE || file->kind == MEMORY_EVENT)
        return -ENOTSOCK;
    if (level == SOL_SOCKET)
        return getSocketNumber(file, option, value);
    if (level != IPPROTO_UDP || file->kind != MEMORY_UDP)
        return -ENOPROTOOPT;
    *value = option == UDP_GRO && file->joins;
    return 0;
}

int FastSystemGetOption(int handle, int level, int option, void* value, socklen_t* length)
{
    const struct MemoryFile* file = handleFile(handle);
    if (file == NULL)
        return -EBADF;
    if (level != SOL_SOCKET || option != SO_LINGER || *length < sizeof(struct linger))
        return -ENOPROTOOPT;
    const struct linger linger = {.l_onoff = file->lingersNot};
    memcpy(value, &linger, sizeof(linger));
    *length = sizeof(linger);
    return 0;
}

int FastSystemSetOption(int handle, int level, int option, const void* value, socklen_t length)
{
    struct MemoryFile* file = handleFile(handle);
    struct linger linger;
    int number;
    if (file == NULL)
        return -EBADF;
    if (level == SOL_SOCKET && option == SO_LINGER && length == sizeof(linger)) {
        memcpy(&linger, value, sizeof(linger));
        file->lingersNot = linger.l_onoff && linger.l_linger == 0;
        return 0;
    }
    if (level == SOL_SOCKET && option == SO_PASSCRED && length == sizeof(number)) {
        memcpy(&number, value, sizeof(number));
        file->passesCredentials = number != 0;
        return 0;
    }
    return -ENOPROTOOPT;
}

int FastSystemTakeError(int handle)
{
    struct MemoryFile* file = handleFile(handle);
    return file != NULL ? memoryTakeError(file) : 0;
}

bool FastSystemGetTcp(int handle, struct tcp_info* information)
{
    const struct MemoryFile* file = handleFile(handle);
    if (file == NULL || (file->kind != MEMORY_TCP && file->kind != MEMORY_LISTENER))
        return false;
    memset(information, 0, sizeof(*information));
    if (file->kind == MEMORY_LISTENER)
        information->tcpi_state = TCP_LISTEN;
    else if (file->closed)
        information->tcpi_state = TCP_CLOSE;
    else if (file->connecting)
        information->tcpi_state = TCP_SYN_SENT;
    else if (file->inputEnded)
        information->tcpi_state = TCP_CLOSE_WAIT;
    else
        information->tcpi_state = file->outputEnded ? TCP_FIN_WAIT2 : TCP_ESTABLISHED;
    return true;
}

/* What was reset has none any more. */
int FastSystemHasPeer(int handle)
{
    const struct MemoryFile* file = handleFile(handle);
    if (file == NULL)
        return -EBADF;
    if (file->kind == MEMORY_LOCAL || file->kind == MEMORY_RECORDS)
        return 1;
    return !file->closed && !file->connecting && file->peer != NULL;
}

/* With SO_PASSCRED a record comes with its sender's credentials, and the end with nothing. */
/* Nobody asks here what the kernel has queued: that is for who looks inside. */
int FastSystemGetQueued(int handle, bool output)
{
    (void)handle, (void)output;
    return -EOPNOTSUPP;
}

ssize_t FastSystemReceive(int handle, struct msghdr* message, int flags)
{
    struct MemoryFile* file = handleFile(handle);
    if (file == NULL)
        return -EBADF;
    bool credentials = file->passesCredentials && file->queue.count > 0;
    size_t room = message->msg_controllen;
    ssize_t result = controlReceive(file, message, flags);
    if (credentials && result >= 0)
        message->msg_controllen = room;
    return result;
}

/* Nothing in memory has a name: one that could be bound has an empty one. */
int FastSystemGetName(int handle, bool peer, struct sockaddr_storage* name, socklen_t* length)
{
    const struct MemoryFile* file = handleFile(handle);
    if (file == NULL)
        return -EBADF;
    if (file->kind == MEMORY_PIPE)
        return -ENOTSOCK;
    if (peer && FastSystemHasPeer(handle) != 1)
        return -ENOTCONN;
    memset(name, 0, sizeof(*name));
    name->ss_family = AF_UNIX;
    *length = sizeof(sa_family_t);
    return 0;
}

ssize_t FastSystemSend(int handle, const struct msghdr* message, int flags)
{
    struct MemoryFile* file = handleFile(handle);
    return file != NULL ? controlSend(file, message, flags) : -EBADF;
}

void FastSystemShutdown(int handle, int how)
{
    struct MemoryFile* file = handleFile(handle);
    if (file != NULL)
        (void)memoryShutdown(file, how);
}

void FastSystemDisconnect(int handle)
{
    struct MemoryFile* file = handleFile(handle);
    if (file != NULL)
        memoryReset(file);
}

/* ---- files: what is no socket is a pipe ---- */

int FastSystemStatus(int handle, struct stat* status)
{
    const struct MemoryFile* file = handleFile(handle);
    if (file == NULL)
        return -EBADF;
    memset(status, 0, sizeof(*status));
    status->st_mode = file->kind == MEMORY_PIPE ? S_IFIFO : S_IFSOCK;
    return 0;
}

unsigned long FastSystemFileSystem(int handle)
{
    (void)handle;
    return 0x50495045;
}

bool FastSystemIsTerminal(int handle)
{
    (void)handle;
    return false;
}

bool FastSystemGetTerminal(int handle, struct termios* settings)
{
    (void)handle;
    (void)settings;
    return false;
}

bool FastSystemIsBackground(int handle)
{
    (void)handle;
    return false;
}

/* ---- calls that are made elsewhere ---- */

int __real_fcntl(int handle, int command, ...);
int __wrap_fcntl(int handle, int command, ...);
int __real_fcntl64(int handle, int command, ...);
int __wrap_fcntl64(int handle, int command, ...);
int __real_close(int handle);
int __wrap_close(int handle);
int __real_poll(struct pollfd* states, nfds_t count, int timeout);
int __wrap_poll(struct pollfd* states, nfds_t count, int timeout);
int __real_getsockopt(int handle, int level, int option, void* value, socklen_t* length);
int __wrap_getsockopt(int handle, int level, int option, void* value, socklen_t* length);
int __real_clock_gettime(clockid_t clock, struct timespec* time);
int __wrap_clock_gettime(clockid_t clock, struct timespec* time);
int __real_nanosleep(const struct timespec* time, struct timespec* left);
int __wrap_nanosleep(const struct timespec* time, struct timespec* left);

static int fail(int result)
{
    if (result >= 0)
        return result;
    errno = -result;
    return -1;
}

static int controlOurs(int handle, int command)
{
    switch (command) {
    case F_GETFD:
    case F_SETFD:
    case F_SETFL:
        return fail(handleFile(handle) != NULL ? 0 : -EBADF);
    case F_GETFL:
        return fail(FastSystemGetFlags(handle));
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return fail(handleDuplicate(handle));
    default:
        return fail(-EINVAL);
    }
}

int __wrap_fcntl(int handle, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return handleIsOurs(handle) ? controlOurs(handle, command)
                                : __real_fcntl(handle, command, argument);
}

int __wrap_fcntl64(int handle, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return handleIsOurs(handle) ? controlOurs(handle, command)
                                : __real_fcntl64(handle, command, argument);
}

int __wrap_close(int handle)
{
    if (!handleIsOurs(handle) && run != NULL && run->closed)
        wrong("descriptor %d is closed, which is none of the simulation's", handle);
    if (!handleIsOurs(handle))
        return __real_close(handle);
    FastSystemClose(handle);
    return 0;
}

int __wrap_poll(struct pollfd* states, nfds_t count, int timeout)
{
    if (count != 1 || !handleIsOurs(states->fd))
        return __real_poll(states, count, timeout);
    states->revents = (short)FastSystemPoll(states->fd, states->events);
    return states->revents != 0;
}

int __wrap_getsockopt(int handle, int level, int option, void* value, socklen_t* length)
{
    if (!handleIsOurs(handle))
        return __real_getsockopt(handle, level, option, value, length);
    return fail(FastSystemGetNumber(handle, level, option, value));
}

int __wrap_clock_gettime(clockid_t clock, struct timespec* time)
{
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE)
        return __real_clock_gettime(clock, time);
    time->tv_sec = timeNow() / 1000000000;
    time->tv_nsec = timeNow() % 1000000000;
    return 0;
}

int __wrap_nanosleep(const struct timespec* time, struct timespec* left)
{
    (void)left;
    timePass(time->tv_sec * INT64_C(1000000000) + time->tv_nsec);
    return 0;
}
