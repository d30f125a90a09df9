/*
 * Answers in place of the system's, for what kinds of sockets ask of their descriptor: every such
 * question goes through lib/socket/system.h, whose functions the linker replaces by these. A
 * program that includes it is linked with --wrap of each name below, see meson.build.
 */
#ifndef TEST_SIMULATED_SYSTEM_H
#define TEST_SIMULATED_SYSTEM_H

#include "socket/system.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <termios.h>

/* All zero: nothing has happened, and what is read is empty. */
struct SimulatedSystem
{
    int events;       /* that poll tells */
    int error;        /* SO_ERROR, until it is taken */
    ssize_t received; /* what a receive gives */
    size_t control;   /* bytes of control data with it */
    bool tls;         /* TCP_ULP says so */
    bool refuses;     /* to set an option */
    int passes;       /* SO_PASSCRED */
    int corked;       /* UDP_CORK */
    int silent;       /* NETLINK_NO_ENOBUFS */
    uint32_t drops;   /* messages, as SO_MEMINFO counts them */
    bool raw;         /* a terminal that lets reads return with nothing */
    bool background;  /* a terminal of another job's */
};

static struct SimulatedSystem simulated;

int __wrap_FastSystemPoll(int handle, short events);
int __wrap_FastSystemTakeError(int handle);
int __wrap_FastSystemGetNumber(int handle, int level, int option, int* value);
int __wrap_FastSystemGetOption(int handle, int level, int option, void* value, socklen_t* length);
int __wrap_FastSystemSetOption(int handle, int level, int option, const void* value,
                               socklen_t length);
ssize_t __wrap_FastSystemReceive(int handle, struct msghdr* message, int flags);
bool __wrap_FastSystemGetTerminal(int handle, struct termios* settings);
bool __wrap_FastSystemIsBackground(int handle);

/* Errors and hang-ups are told to who doesn't ask, too. */
int __wrap_FastSystemPoll(int handle, short events)
{
    (void)handle;
    return simulated.events & (events | POLLERR | POLLHUP);
}

int __wrap_FastSystemTakeError(int handle)
{
    int error = simulated.error;
    (void)handle;
    simulated.error = 0;
    return error;
}

int __wrap_FastSystemGetNumber(int handle, int level, int option, int* value)
{
    (void)handle;
    if (level == SOL_SOCKET && option == SO_PASSCRED)
        *value = simulated.passes;
    else if (level == IPPROTO_UDP && option == UDP_CORK)
        *value = simulated.corked;
    else if (level == SOL_NETLINK && option == NETLINK_NO_ENOBUFS)
        *value = simulated.silent;
    else
        return -ENOPROTOOPT;
    return 0;
}

int __wrap_FastSystemGetOption(int handle, int level, int option, void* value, socklen_t* length)
{
    (void)handle;
    if (level == IPPROTO_TCP && option == TCP_ULP && simulated.tls)
        memcpy(value, "tls", *length = 4);
    else if (level == SOL_SOCKET && option == SO_MEMINFO)
        ((uint32_t*)value)[SK_MEMINFO_DROPS] = simulated.drops;
    else
        return -ENOPROTOOPT;
    return 0;
}

int __wrap_FastSystemSetOption(int handle, int level, int option, const void* value,
                               socklen_t length)
{
    (void)handle;
    if (simulated.refuses || level != SOL_SOCKET || option != SO_PASSCRED ||
        length != sizeof(simulated.passes))
        return -ENOPROTOOPT;
    memcpy(&simulated.passes, value, length);
    return 0;
}

/* Credentials come to who has asked for them alone. */
ssize_t __wrap_FastSystemReceive(int handle, struct msghdr* message, int flags)
{
    (void)handle;
    (void)flags;
    message->msg_controllen = simulated.passes ? simulated.control : 0;
    return simulated.received;
}

bool __wrap_FastSystemGetTerminal(int handle, struct termios* settings)
{
    (void)handle;
    memset(settings, 0, sizeof(*settings));
    settings->c_cc[VMIN] = simulated.raw ? 0 : 1;
    return true;
}

bool __wrap_FastSystemIsBackground(int handle)
{
    (void)handle;
    return simulated.background;
}

#endif
