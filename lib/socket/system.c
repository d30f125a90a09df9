/*
 * Calls of the system on a socket's descriptor.
 */
#include "socket/system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

/* ---- any descriptor ---- */

/* POLLERR and POLLHUP come whether they are asked for or not. */
int FastSystemPoll(int handle, short events)
{
    struct pollfd state = {.fd = handle, .events = events};
    int result = poll(&state, 1, 0);
    return result < 0 ? -errno : state.revents;
}

int FastSystemGetFlags(int handle)
{
    int flags = fcntl(handle, F_GETFL);
    return flags < 0 ? -EBADF : flags;
}

void FastSystemSetFlags(int handle, int flags)
{
    (void)fcntl(handle, F_SETFL, flags);
}

void FastSystemSetCloseOnExec(int handle)
{
    int flags = fcntl(handle, F_GETFD);
    if (flags >= 0 && !(flags & FD_CLOEXEC))
        (void)fcntl(handle, F_SETFD, flags | FD_CLOEXEC);
}

/* After EINTR the descriptor is closed all the same; a second try would close somebody else's. */
void FastSystemClose(int handle)
{
    close(handle);
}

/* ---- sockets ---- */

int FastSystemGetOption(int handle, int level, int option, void* value, socklen_t* length)
{
    return getsockopt(handle, level, option, value, length) < 0 ? -errno : 0;
}

int FastSystemSetOption(int handle, int level, int option, const void* value, socklen_t length)
{
    return setsockopt(handle, level, option, value, length) < 0 ? -errno : 0;
}

int FastSystemGetNumber(int handle, int level, int option, int* value)
{
    socklen_t length = sizeof(*value);
    return FastSystemGetOption(handle, level, option, value, &length);
}

/* What can't answer has no error to tell: a file, for one. */
int FastSystemTakeError(int handle)
{
    int error = 0;
    return FastSystemGetNumber(handle, SOL_SOCKET, SO_ERROR, &error) < 0 ? 0 : error;
}

bool FastSystemGetTcp(int handle, struct tcp_info* information)
{
    socklen_t length = sizeof(*information);
    return getsockopt(handle, IPPROTO_TCP, TCP_INFO, information, &length) == 0;
}

/* The name may be cut short: only whether there is one counts. */
int FastSystemHasPeer(int handle)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    if (getpeername(handle, (struct sockaddr*)&peer, &length) == 0)
        return 1;
    return errno == ENOTCONN ? 0 : -errno;
}

int FastSystemGetName(int handle, bool peer, struct sockaddr_storage* name, socklen_t* length)
{
    struct sockaddr* plain = (struct sockaddr*)name;
    int result = peer ? getpeername(handle, plain, length) : getsockname(handle, plain, length);
    return result < 0 ? -errno : 0;
}

int FastSystemGetQueued(int handle, bool output)
{
    int bytes = 0;
    return ioctl(handle, output ? SIOCOUTQ : SIOCINQ, &bytes) < 0 ? -errno : bytes;
}

ssize_t FastSystemReceive(int handle, struct msghdr* message, int flags)
{
    ssize_t result = recvmsg(handle, message, flags | MSG_DONTWAIT);
    return result < 0 ? -errno : result;
}

ssize_t FastSystemSend(int handle, const struct msghdr* message, int flags)
{
    ssize_t result = sendmsg(handle, message, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    return result < 0 ? -errno : result;
}

void FastSystemShutdown(int handle, int how)
{
    (void)shutdown(handle, how);
}

/* Unlike a close with SO_LINGER this works while a forked child has the descriptor, too. */
void FastSystemDisconnect(int handle)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    (void)connect(handle, &nobody, sizeof(nobody));
}

/* ---- files ---- */

int FastSystemStatus(int handle, struct stat* status)
{
    return fstat(handle, status) < 0 ? -errno : 0;
}

unsigned long FastSystemFileSystem(int handle)
{
    struct statfs information;
    return fstatfs(handle, &information) == 0 ? (unsigned long)information.f_type : 0;
}

bool FastSystemIsTerminal(int handle)
{
    return isatty(handle) == 1;
}

bool FastSystemGetTerminal(int handle, struct termios* settings)
{
    return tcgetattr(handle, settings) == 0;
}

/* tcgetpgrp fails for a terminal that is not the process's own: that one stops nobody. */
bool FastSystemIsBackground(int handle)
{
    pid_t foreground = tcgetpgrp(handle);
    return foreground >= 0 && foreground != getpgrp();
}
