/*
 * Messages that are each on their own.
 */
#ifndef FASTSOCKET_SOCKET_KIND_DATAGRAM_H
#define FASTSOCKET_SOCKET_KIND_DATAGRAM_H

#include "socket/kind.h"

/* Borders are kept, there is no end of input, and an error is one datagram's. */
extern const struct FastKind FastKindDatagram;

/* largest: payload of a datagram, 0 = not known. What netlink has dropped before is not ours to
 * tell: this takes note of it. */
void FastDatagramInitialize(struct FastSocket* socket, uint32_t largest);

#endif
