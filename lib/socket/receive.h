/*
 * The receive of a socket: when it is in flight, and what becomes of its completions.
 */
#ifndef FASTSOCKET_SOCKET_RECEIVE_H
#define FASTSOCKET_SOCKET_RECEIVE_H

#include "socket/core.h"

void FastReceiveInitialize(struct FastSocket* socket);

/* Its part of the prepare task. false: no submission entry is free. */
bool FastReceivePrepare(struct FastSocket* socket);

/* After the queue, the marks or the user's pause have changed. */
void FastReceiveBalance(struct FastSocket* socket);

/* The ring's limit is reached: no more than must be. */
void FastReceiveThrottle(struct FastSocket* socket);

/* The socket was released: unread input is dropped, and what comes, too, if there is a peer that
 * must get on. */
void FastReceiveDiscard(struct FastSocket* socket);

#endif
