/*
 * The receive of a socket: when it is in flight, and what becomes of its completions.
 */
#ifndef FASTSOCKET_SOCKET_RECEIVE_H
#define FASTSOCKET_SOCKET_RECEIVE_H

#include "socket/core.h"

/* At the creation: nothing is received before the prepare task runs. */
void FastReceiveInitialize(struct FastSocket* socket);

/* Its part of the prepare task. false: no submission entry is free. */
bool FastReceivePrepare(struct FastSocket* socket);

/* After the queue, the marks or the user's pause have changed: looks at what that means. */
void FastReceiveReconsider(struct FastSocket* socket);

/* The same for callers that have mostly changed nothing: where everything is read and nothing stops
 * the receive in flight, it ends here. */
static inline void FastReceiveBalance(struct FastSocket* socket)
{
    const struct FastInbound* inbound = &socket->inbound;
    bool balanced = inbound->queue.first == NULL && inbound->stops == 0 &&
                    inbound->receive.state == FAST_ARMED_IN_FLIGHT &&
                    socket->connection == FAST_CONNECTION_MADE;
    if (!balanced)
        FastReceiveReconsider(socket);
}

/* The same where a chunk was taken, and nothing else has changed. While nothing stops the receive
 * in flight, less in the queue is no reason to: what has come since that was asked is looked at
 * when it is told (dispatch.c). */
static inline void FastReceiveLessen(struct FastSocket* socket)
{
    const struct FastInbound* inbound = &socket->inbound;
    bool goesOn = inbound->stops == 0 && inbound->receive.state == FAST_ARMED_IN_FLIGHT &&
                  socket->connection == FAST_CONNECTION_MADE &&
                  (inbound->queue.first == NULL || !FastRingInboundIsFull(socket->ring));
    if (!goesOn)
        FastReceiveReconsider(socket);
}

/* The ring's limit is reached: receives one buffer at a time from now on. */
void FastReceiveThrottle(struct FastSocket* socket);

/* The socket was released: unread input is dropped, and what comes, too, if there is a peer that
 * must get on. */
void FastReceiveDiscard(struct FastSocket* socket);

#endif
