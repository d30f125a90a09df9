/*
 * What becomes of a send when the kernel has answered it.
 */
#ifndef FASTSOCKET_SOCKET_SENT_H
#define FASTSOCKET_SOCKET_SENT_H

#include "socket/kind.h"

/* The function that gets the results of flights. */
void FastSentFinish(struct FastFlight* flight, int result);

/* The function of a plain flight: the same, in few steps where all of it was accepted. */
void FastSentOver(struct FastOperation* operation, const struct io_uring_cqe* completion);

/* For send-own.c, which gets its results itself. They carry out a verdict that is not DATA; take
 * the first items off as far as they are done; and start what had to wait for a send's end. */
void FastSentCarry(struct FastSocket* socket, struct FastFlight* flight, struct FastAnswer answer);
void FastSentPopDone(struct FastSocket* socket);
void FastSentGoOn(struct FastSocket* socket);

/* The next send waits for a poll of ours. */
void FastSentWaitForRoom(struct FastSocket* socket);

/* Carries ShutdownFastSocket out, once nothing is queued. */
void FastSentEndOutput(struct FastSocket* socket);

#endif
