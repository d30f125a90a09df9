/*
 * The end of a socket.
 */
#ifndef FASTSOCKET_SOCKET_RELEASE_H
#define FASTSOCKET_SOCKET_RELEASE_H

#include "socket/core.h"

/* Its part of the prepare task; never finds the queue full. */
bool FastReleasePrepare(struct FastSocket* socket);

/* What the ring calls of a socket. */
extern const struct FastRingMemberFunctions FastSocketMember;

#endif
