/*
 * What kind of socket a descriptor is.
 */
#ifndef FASTSOCKET_SOCKET_KIND_FIND_H
#define FASTSOCKET_SOCKET_KIND_FIND_H

#include "socket/kind.h"

struct FastFinding
{
    const struct FastKind* kind;
    uint32_t traits;    /* FAST_TRAIT_* */
    uint32_t largest;   /* payload of a message; 0 = not known */
    uint16_t fileState; /* of a file, for FastFileInitialize */
    uint16_t maxWrites; /* of a file: writes that may be put together; 0 = any number */
    uint8_t connection; /* enum FastConnection */
    uint16_t error;     /* of a connection that has failed already */
};

/* Looks at the descriptor. files: takes those that are no sockets, too. 0; -EOPNOTSUPP (a
 * kind whose data does not come by receiving), -ENOTSOCK or -EBADF. Nothing is changed. */
int FastKindFind(int handle, bool files, struct FastFinding* finding);

/* Finds connection and error, which is taken from the descriptor. 0, or -ENOTCONN: there never was
 * one. */
int FastKindFindConnection(int handle, struct FastFinding* finding);

/* Whether a descriptor is opened for reading, so that its socket needs a provider and a pool. Also
 * true of a number that is no descriptor, which the creation refuses by itself. */
bool FastKindReads(int handle);

#endif
