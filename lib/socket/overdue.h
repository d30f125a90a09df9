/*
 * The timeouts of a socket: whether they are over, and what follows.
 */
#ifndef FASTSOCKET_SOCKET_OVERDUE_H
#define FASTSOCKET_SOCKET_OVERDUE_H

#include "socket/timing.h"

/* Before a timeout is set: has memory for it. 0 or -ENOMEM. */
int FastOverduePrepare(struct FastSocket* socket);

/* The timeout of a clock (FAST_TIMING_*) was set: its time begins now, but for that of connecting,
 * which goes on. */
void FastOverdueBegin(struct FastSocket* socket, uint8_t clock);

#endif
