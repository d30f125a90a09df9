/*
 * Out of the outbound queue: what the queue itself does not know of, which is the news and the
 * statistics.
 */
#ifndef FASTSOCKET_SOCKET_OUTPUT_H
#define FASTSOCKET_SOCKET_OUTPUT_H

#include "socket/core.h"

/* So many bytes from the front were accepted; or the first item is done, whatever is left of it. */
void FastOutputConsume(struct FastSocket* socket, size_t size);
void FastOutputPop(struct FastSocket* socket);

/* Drops everything that is not in flight. Who waits for a barrier of his hears of it later. */
void FastOutputDrop(struct FastSocket* socket);

/* Drops everything, at the end. leak: the kernel may still read what is in flight. */
void FastOutputDropAll(struct FastSocket* socket, bool leak);

/* Tells the users of barriers that were dropped, in their order; where users may be called. The outbound side
 * is there. */
void FastOutputFinishCanceled(struct FastSocket* socket);

#endif
