/*
 * The end of a socket.
 */
#ifndef FASTSOCKET_SOCKET_RELEASE_H
#define FASTSOCKET_SOCKET_RELEASE_H

#include "socket/core.h"

/* Its part of the prepare task; never finds the queue full. */
bool FastReleasePrepare(struct FastSocket* socket);

/* Resets the connection of a released socket, whatever is queued. */
void FastReleaseReset(struct FastSocket* socket);

/* Its connection is sought no more, if it was. */
void FastReleaseSeeking(struct FastSocket* socket);

/* What a socket does as a member of its ring: at the end of that. */
void FastReleaseEndMember(struct FastRingMember* member);
void FastReleaseCloseMember(struct FastRingMember* member, bool orderly);

#endif
