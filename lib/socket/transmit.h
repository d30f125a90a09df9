/*
 * What every transmit asks first, also that of the user's own operations.
 */
#ifndef FASTSOCKET_SOCKET_TRANSMIT_H
#define FASTSOCKET_SOCKET_TRANSMIT_H

#include "socket/kind.h"

/* 0, -EINVAL (no socket), -EPERM, -EBADF (opened for reading), -EPIPE. */
int FastTransmitCheckState(const struct FastSocket* socket);

/* Arguments first, then the state, then the limit: 0, or the errno to return. */
int FastTransmitCheck(const struct FastSocket* socket, const struct FastParts* parts, int flags);

/* Copies bytes without flags to where they wait, if nothing refuses them and that is all there is
 * to do. false: nothing is done, and the longer way knows why. */
bool FastTransmitBytes(struct FastSocket* socket, const void* data, size_t size);

/* After something was appended to the queue: it is sent in this turn. */
void FastTransmitNote(struct FastSocket* socket);

#endif
