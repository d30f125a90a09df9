/*
 * Runs: several datagrams to one destination, queued as one item and sent by one operation.
 */
#ifndef FASTSOCKET_SOCKET_RUN_H
#define FASTSOCKET_SOCKET_RUN_H

#include "socket/kind-message.h"

/* append of UDP: behind what is queued for the same destination, or as a message of its own. */
int FastRunAppend(struct FastSocket* socket, const struct FastParts* parts, int flags);

/* The same of a plain datagram that goes where the last one in the queue goes, with no flags that
 * its item would keep: true, if it is small enough to go together with that. false: nothing is
 * done. */
bool FastRunJoin(struct FastOutboundQueue* queue, const void* name, socklen_t length,
                 const void* data, size_t size);

/* startSend of UDP: whatever is queued, as far as its order allows. before: called for each
 * message. */
bool FastRunStart(struct FastSocket* socket, FastMessageFunction before);

/* Whether a send had several datagrams. */
bool FastRunIsJoined(const struct FastFlight* flight);

/* Several datagrams together were refused for certain: they go out one by one, which tells whether
 * it was the joining, and otherwise whose the errno is. */
void FastRunSplit(struct FastSocket* socket, struct FastMessage* message, int error);

/* A datagram was sent: if several together were refused before, it was the joining. */
void FastRunAccept(struct FastSocket* socket, struct FastMessage* message);

#endif
