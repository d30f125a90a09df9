/*
 * What sockets of messages have in common.
 */
#ifndef FASTSOCKET_SOCKET_KIND_MESSAGE_H
#define FASTSOCKET_SOCKET_KIND_MESSAGE_H

#include "socket/kind.h"

enum
{
    FAST_MESSAGE_SEND_FLAGS = MSG_MORE | MSG_EOR | MSG_CONFIRM | MSG_DONTROUTE | MSG_ZEROCOPY |
                              MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT,
    FAST_MESSAGE_READ_FLAGS = MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_TRUNC,
};

/* Called with a message that is about to be submitted. */
typedef void (*FastMessageFunction)(struct FastSocket* socket, const struct FastMessage* message);

/* What a completion's buffer begins with. The completion has one. */
struct io_uring_recvmsg_out* FastMessageHeader(const struct FastSocket* socket,
                                               const struct io_uring_cqe* completion);

/* Makes a received message ready for the queue: DATA. length: of its buffer's contents, header
 * included. */
struct FastAnswer FastMessageTake(struct FastSocket* socket, struct io_uring_recvmsg_out* out,
                                  size_t length);

/* read of both: one message, or its beginning. */
ssize_t FastMessageRead(struct FastSocket* socket, uint8_t* data, size_t size, int flags);

/* Whether the socket's buffer in the kernel can ever have room for a message: 0 or -EMSGSIZE. Only
 * AF_UNIX is asked. */
int FastMessageCheckSpace(const struct FastSocket* socket, size_t size);

/* startSend of both. before: called for each message; NULL: there is nothing to do. */
bool FastMessageStartChain(struct FastSocket* socket, FastMessageFunction before);

/* What a send's ENOMEM or ENOBUFS means: NOTHING (the same by copying), BACKOFF, or FAIL, since it
 * was tried often enough. */
struct FastAnswer FastMessageRetryMemory(struct FastSocket* socket, struct FastFlight* flight,
                                         int error);

#endif
