/*
 * What creation has to know of sockets of messages.
 */
#ifndef FASTSOCKET_SOCKET_KIND_MESSAGE_H
#define FASTSOCKET_SOCKET_KIND_MESSAGE_H

#include "socket/kind.h"

enum
{
    FAST_MESSAGE_FAILURES = 3, /* words of 64 errnos each */
};

struct FastMessageSocket
{
    struct FastSocket socket;
    /* Of datagrams: a bit for each errno, until it is taken. */
    uint64_t failures[FAST_MESSAGE_FAILURES];
    uint32_t largest;                         /* payload of a message; 0 = not known */
    /* Messages that the kernel had no room for, as far as known. */
    uint32_t drops;
};

/* Messages of a connection, and such that are each on their own. */
extern const struct FastKind FastKindRecord;
extern const struct FastKind FastKindDatagram;

/* Takes note of what netlink has dropped before, which is not ours to tell. */
void FastMessageInitialize(struct FastSocket* socket, uint32_t largest);

#endif
