/*
 * A receive that waits: for buffers of its provider, or for room below the ring's limit.
 */
#ifndef FASTSOCKET_SOCKET_SHORTAGE_H
#define FASTSOCKET_SOCKET_SHORTAGE_H

#include "socket/core.h"

/* Room below the ring's limit: FAST_STOP_RING_LIMIT until then. */
void FastShortageAwaitRoom(struct FastSocket* socket);

/* The receive has found no buffer: FAST_STOP_NO_BUFFERS until there is one. */
void FastShortageAwaitBuffers(struct FastSocket* socket);

/* Whether a receive that is to be armed waits behind those who stand in line at its provider, and
 * for whom there are buffers. Not if its own turn has come. */
bool FastShortageJoinsLine(struct FastSocket* socket);

#endif
