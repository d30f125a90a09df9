/*
 * The poll beside receive and send: what they don't see.
 */
#ifndef FASTSOCKET_SOCKET_POLL_H
#define FASTSOCKET_SOCKET_POLL_H

#include "socket/core.h"

/* At the creation: nothing is polled before the prepare task runs. */
void FastPollInitialize(struct FastSocket* socket);

/* Its part of the prepare task. false: no submission entry is free. */
bool FastPollPrepare(struct FastSocket* socket);

/* The connection has begun only now, with the first bytes. */
void FastPollConnection(struct FastSocket* socket);

#endif
