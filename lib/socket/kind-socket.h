/*
 * What the kinds of sockets have in common; files share only how bytes are gathered.
 */
#ifndef FASTSOCKET_SOCKET_KIND_SOCKET_H
#define FASTSOCKET_SOCKET_KIND_SOCKET_H

#include "socket/kind.h"

/* The functions of the table that all sockets share. */
bool FastKindPrepareReceive(struct FastSocket* socket);
void FastKindPrepareSend(struct FastSocket* socket, struct io_uring_sqe* entry,
                         const struct FastSend* send);
void FastKindEnd(struct FastSocket* socket, bool reset);

/* What an errno of a receive means on every socket; FAIL: it is the kind's to say. hasDropped: says
 * whether the kernel has dropped messages since it was called last; NULL: nobody can say. */
struct FastAnswer FastKindReceiveError(struct FastSocket* socket, int error,
                                       bool (*hasDropped)(struct FastSocket* socket));

/* The same of a send's errno. */
struct FastAnswer FastKindSendError(int error);

/* Whether flags, address and size may be sent. known: the flags that the kind takes; named: 0, or
 * the errno with which it refuses addresses. Returns 0, -EINVAL, named or -EMSGSIZE. */
int FastKindCheckSend(const struct FastSocket* socket, const struct FastParts* parts, int flags,
                      int known, int named);

/* A message of its own, with room bytes more behind its own: copies of its parts, or the buffer
 * that is handed over. NULL with a negative errno in result, and nothing taken over. */
struct FastMessage* FastKindMakeMessage(struct FastSocket* socket, const struct FastParts* parts,
                                        int flags, size_t room, int* result);

/* Queues a message of its own, with nothing behind it. As append. */
int FastKindAppendMessage(struct FastSocket* socket, const struct FastParts* parts, int flags);

#endif
