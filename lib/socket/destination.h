/*
 * Datagrams in the order of their destinations. Knows the queue, and no socket.
 */
#ifndef FASTSOCKET_SOCKET_DESTINATION_H
#define FASTSOCKET_SOCKET_DESTINATION_H

#include "socket/outbound.h"

/* Finds the last datagram to the same destination that is queued, or in flight; NULL: there is
 * none. false: nobody can say, so that what is sent there keeps the order of the queue. */
bool FastDestinationFind(struct FastOutboundQueue* queue, const void* name, socklen_t length,
                         struct FastDestination* destination, struct FastMessage** last);

/* Appends a message to the queue, behind last, which was just found. */
void FastDestinationAppend(struct FastOutboundQueue* queue, struct FastMessage* message,
                           const struct FastDestination* destination, struct FastMessage* last);

/* Puts a message into the queue right behind one that is there, with the same destination. */
void FastDestinationInsert(struct FastOutboundQueue* queue, struct FastMessage* message,
                           struct FastMessage* before);

/* Whether nothing to the same destination has to go out before a message. */
bool FastDestinationIsFirst(const struct FastMessage* message);

#endif
