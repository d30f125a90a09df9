/*
 * What the FILE* bridge asks of a socket beside the public calls: a reference to hold, and three
 * questions.
 */
#ifndef FASTSOCKET_SOCKET_H
#define FASTSOCKET_SOCKET_H

#include <Ring/FastSocket.h>
#include <stdbool.h>

/* A socket's memory lives as long as somebody holds it; released, it is a shell. The ring's thread. */
void FastSocketHold(struct FastSocket* socket);
void FastSocketDrop(struct FastSocket* socket);

int FastSocketCheck(const struct FastSocket* socket);        /* 0, -EINVAL, -EPERM, -ECANCELED */
bool FastSocketIsReleased(const struct FastSocket* socket);  /* by its user */
bool FastSocketHasMessages(const struct FastSocket* socket); /* datagrams or records, not a stream */
bool FastSocketHasEnded(const struct FastSocket* socket);    /* nothing is unread, and nothing will come */

/* Lets one stream own the socket: false when another does already. */
bool FastSocketClaim(struct FastSocket* socket);

#endif
