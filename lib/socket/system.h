/*
 * Every call of the system on a socket's own descriptor that is no operation of the ring: questions
 * about its state, and how it is shut down and closed. One place, so that a test can answer instead
 * of the kernel.
 *
 * None of them waits. Errors are negative errnos, unless it says otherwise.
 */
#ifndef FASTSOCKET_SOCKET_SYSTEM_H
#define FASTSOCKET_SOCKET_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct tcp_info;
struct termios;

/* Where a time_t may have 32 bits or 64 there are two options for time stamps. The older one tells
 * what was set by either, the newer one only its own. */
#ifdef SO_TIMESTAMPING_OLD
#define FAST_SYSTEM_STAMPS SO_TIMESTAMPING_OLD
#else
#define FAST_SYSTEM_STAMPS SO_TIMESTAMPING
#endif

/* ---- any descriptor ---- */

/* What poll(2) says at once: events, 0 or negative errno. */
int FastSystemPoll(int handle, short events);

/* File status flags, or -EBADF; others set; and the close-on-exec flag set. */
int FastSystemGetFlags(int handle);
void FastSystemSetFlags(int handle, int flags);
void FastSystemSetCloseOnExec(int handle);

/* Closes it. An error says nothing that could still be done. */
void FastSystemClose(int handle);

/* ---- sockets ---- */

/* As getsockopt and setsockopt; 0 or negative errno. A number is an int. */
int FastSystemGetOption(int handle, int level, int option, void* value, socklen_t* length);
int FastSystemSetOption(int handle, int level, int option, const void* value, socklen_t length);
int FastSystemGetNumber(int handle, int level, int option, int* value);

/* Takes SO_ERROR, positive; 0 = none. */
int FastSystemTakeError(int handle);

/* The state of a TCP connection; false of everything else. */
bool FastSystemGetTcp(int handle, struct tcp_info* information);

/* Whether it has a peer: 1, 0, or negative errno. */
int FastSystemHasPeer(int handle);

/* Its own name, or its peer's; length as for getsockname. 0 or negative errno. */
int FastSystemGetName(int handle, bool peer, struct sockaddr_storage* name, socklen_t* length);

/* Bytes that the kernel has for it, or has not got rid of; negative errno. */
int FastSystemGetQueued(int handle, bool output);

/* As recvmsg and sendmsg with MSG_DONTWAIT and without a signal. */
ssize_t FastSystemReceive(int handle, struct msghdr* message, int flags);
ssize_t FastSystemSend(int handle, const struct msghdr* message, int flags);

/* As shutdown, whose error is the state that was asked for. */
void FastSystemShutdown(int handle, int how);

/* Ends a connection of TCP by a reset, for every process that has the descriptor. */
void FastSystemDisconnect(int handle);

/* ---- files ---- */

/* As fstat: 0 or negative errno. */
int FastSystemStatus(int handle, struct stat* status);

/* The magic number of its file system; 0 if it is not known. */
unsigned long FastSystemFileSystem(int handle);

/* Whether it is a terminal; and its settings, false if there are none. */
bool FastSystemIsTerminal(int handle);
bool FastSystemGetTerminal(int handle, struct termios* settings);

/* Whether another job of the shell's has the terminal just now. */
bool FastSystemIsBackground(int handle);

#endif
