/*
 * Datagrams that the kernel has joined in one buffer (UDP_GRO), one after the other again.
 */
#ifndef FASTSOCKET_SOCKET_JOINED_H
#define FASTSOCKET_SOCKET_JOINED_H

#include "socket/kind.h"

enum
{
    /* Bytes for control data in each buffer, between name and payload. What options of the user's
     * may put before UDP_GRO (time stamps, lost datagrams, mark, priority) has room with it. */
    FAST_JOINED_ROOM = 256,
    FAST_JOINED_MAX = 65535, /* bytes that the kernel joins */
};

/* Makes what was received ready for the queue, as FastMessageTake. */
struct FastAnswer FastJoinedTake(struct FastSocket* socket, struct io_uring_recvmsg_out* out,
                                 size_t length);

/* read: one datagram, or its beginning, as FastMessageRead. */
ssize_t FastJoinedRead(struct FastSocket* socket, uint8_t* data, size_t size, int flags);

/* Whether the first chunk, which is there, has datagrams that were joined. */
static inline bool FastJoinedIsFirst(const struct FastSocket* socket)
{
    return *FastBufferNote(socket->inbound.queue.first) >> 32 != 0;
}

/* Takes the first of them, in a buffer of its own as its new owner sees it. NULL: there is no
 * memory; it stays, and is told again after a while. */
struct FastBuffer* FastJoinedCut(struct FastSocket* socket);

#endif
