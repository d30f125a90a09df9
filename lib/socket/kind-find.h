/*
 * What kind of socket a descriptor is.
 */
#ifndef FASTSOCKET_SOCKET_KIND_FIND_H
#define FASTSOCKET_SOCKET_KIND_FIND_H

#include "socket/kind.h"

enum FastFindHint
{
    FAST_FIND_FILES = 1 << 0, /* takes those that are no sockets, too */
    FAST_FIND_APART = 1 << 1, /* what the kernel joins is to be taken apart */
    FAST_FIND_TCP = 1 << 2,   /* it should be of TCP: so it is, if it has a state of TCP's */
};

/* Looks at the descriptor. 0; -EOPNOTSUPP (a kind whose data does not come by receiving), -ENOTSOCK
 * or -EBADF. Nothing is changed. */
int FastKindFind(int handle, unsigned hints, struct FastFinding* finding);

/* Finds connection and error, which is taken from the descriptor. 0, or -ENOTCONN: there never was
 * one. */
int FastKindFindConnection(int handle, struct FastFinding* finding);

/* Whether a descriptor is opened for reading, so that its socket needs a provider and a pool. Also
 * true of a number that is no descriptor, which the creation refuses by itself. */
bool FastKindReads(int handle);

#endif
