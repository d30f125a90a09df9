/*
 * A bound of time in which something must move.
 */
#ifndef FASTSOCKET_SOCKET_STALL_H
#define FASTSOCKET_SOCKET_STALL_H

#include "socket/core.h"

/* Has expire called when the kernel has neither accepted nor brought anything that is kept for so
 * many milliseconds. One bound at a time: it takes the place of the one before. The outbound side
 * is there. */
void FastStallWatch(struct FastSocket* socket, uint32_t milliseconds,
                    void (*expire)(struct FastSocket* socket));

/* If something has moved, the time begins again now. */
void FastStallUpdate(struct FastSocket* socket);

/* Ends it. Harmless where there is none. */
void FastStallStop(struct FastSocket* socket);

#endif
