/*
 * Messages that are each on their own.
 */
#ifndef FASTSOCKET_SOCKET_KIND_DATAGRAM_H
#define FASTSOCKET_SOCKET_KIND_DATAGRAM_H

#include "socket/kind.h"

/* Borders are kept, there is no end of input, and an error is one datagram's. */
extern const struct FastKind FastKindDatagram;

/* The same where the kernel may join datagrams (UDP_GRO). */
extern const struct FastKind FastKindJoined;

#endif
