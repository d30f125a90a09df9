/*
 * What kind of socket a descriptor is.
 */
#ifndef FASTSOCKET_SOCKET_KIND_FIND_H
#define FASTSOCKET_SOCKET_KIND_FIND_H

#include "socket/kind.h"

/* Looks at the descriptor. files: takes those that are no sockets, too. apart: what the kernel
 * joins is to be taken apart. 0; -EOPNOTSUPP (a kind whose data does not come by receiving),
 * -ENOTSOCK or -EBADF. Nothing is changed. */
int FastKindFind(int handle, bool files, bool apart, struct FastFinding* finding);

/* Finds connection and error, which is taken from the descriptor. 0, or -ENOTCONN: there never was
 * one. */
int FastKindFindConnection(int handle, struct FastFinding* finding);

/* Whether a descriptor is opened for reading, so that its socket needs a provider and a pool. Also
 * true of a number that is no descriptor, which the creation refuses by itself. */
bool FastKindReads(int handle);

#endif
