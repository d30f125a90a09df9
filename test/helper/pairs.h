/* Pairs of connected sockets, of each kind, and plain calls on them that fail the case. */
#ifndef TEST_PAIRS_H
#define TEST_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum Kind
{
    KIND_NONE,
    KIND_TCP,
    KIND_TCP6,
    KIND_UDP,
    KIND_UDP6,
    KIND_UNIX_STREAM,
    KIND_UNIX_DATAGRAM,
    KIND_UNIX_SEQPACKET,
    KIND_COUNT,
    KIND_FIRST = KIND_TCP,
};

const char* nameKind(enum Kind kind);
int typeKind(enum Kind kind);               /* SOCK_* */
bool hasKind(enum Kind kind);               /* false: the machine has no IPv6 */
void pairKind(enum Kind kind, int pair[2]); /* two connected blocking sockets */
void pairStream(int pair[2]);               /* AF_UNIX stream */
void pairUnix(int pair[2], int type);
void pairTcp(int pair[2]); /* over loopback */
void pairUdp(int pair[2]);
/* A pseudo-terminal: the program's side, blocking, and the one that a person would sit at. */
void pairTerminal(int pair[2], int flags); /* flags: of the person's side */

/* A loopback address that other processes' tests don't use, as in_addr has it: a port of it that
 * was closed is nobody else's a moment later. */
uint32_t ownLoopback(void);

/* A listening socket on it; the kernel chooses the port. */
int listenTcp(struct sockaddr_storage* address, socklen_t* length);

/* These block until all is sent, or has come. */
void sendAll(int handle, const void* data, size_t size);
void receiveAll(int handle, void* data, size_t size);
void sendText(int handle, const char* text);
void expectText(int handle, const char* text);
void expectEnd(int handle); /* the end of input */

void expectNothing(int handle); /* there is no input now */
void closeReset(int handle);    /* closes with a TCP reset */

#endif
