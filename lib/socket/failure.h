/*
 * Errors: which one is kept, and when it may be reported.
 */
#ifndef FASTSOCKET_SOCKET_FAILURE_H
#define FASTSOCKET_SOCKET_FAILURE_H

#include "socket/core.h"

/* The socket has failed: error is positive, or 0 where nobody has said why. What is queued is
 * dropped. */
void FastSocketFail(struct FastSocket* socket, int error);

/* One message has failed. A socket whose errors are final fails by it. */
void FastSocketFailOne(struct FastSocket* socket, int error);

/* Takes what SO_ERROR says: a failure, or one message's. Returns false if it says nothing. */
bool FastSocketTakeFailure(struct FastSocket* socket);

/* The input has ended: in good order, or by an error, by which the socket fails. */
void FastSocketEndInput(struct FastSocket* socket);
void FastSocketFailInput(struct FastSocket* socket, int error);

/* POLLERR of a final error can be reported now. */
bool FastSocketFailureIsDue(const struct FastSocket* socket);

/* Fails a socket whose end of input was none, but came after an error that nobody has reported. */
void FastSocketReconsiderEnd(struct FastSocket* socket);

#endif
