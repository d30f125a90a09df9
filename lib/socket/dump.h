/*
 * What is known of a socket, as a line.
 */
#ifndef FASTSOCKET_SOCKET_DUMP_H
#define FASTSOCKET_SOCKET_DUMP_H

#include "socket/core.h"

/* Writes it. Asks the system what the socket does not know itself: its addresses, what the kernel
 * has queued, and how long a connection of TCP has been silent. */
void FastSocketDump(const struct FastSocket* socket, struct FastDump* dump);

#endif
