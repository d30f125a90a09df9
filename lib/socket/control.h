/*
 * Control data: what in it has to be given back, and what kind of record it belongs to.
 */
#ifndef FASTSOCKET_SOCKET_CONTROL_H
#define FASTSOCKET_SOCKET_CONTROL_H

#include <netinet/udp.h>
#include <stdbool.h>
#include <stddef.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* Duplicates the descriptors (SCM_RIGHTS) in control data, in place. 0, -EBADF, -EMFILE, or -EINVAL
 * (not control data, or too many); on failure none is left open. */
int FastControlDuplicateRights(void* control, size_t size);

/* Closes such duplicates. */
void FastControlCloseRights(void* control, size_t size);

/* Closes the descriptors in received control data, which nobody takes and which would stay open for
 * ever. Any alignment. */
void FastControlCloseReceived(const void* control, size_t size);

/* The size of each of joined datagrams (UDP_GRO) that received control data tells; 0: it tells
 * none. others: whether there is something else. Any alignment. */
size_t FastControlFindSegment(const void* control, size_t size, bool* others);

/* Whether it names a TLS record's type, which each piece of the record needs. */
bool FastControlNamesRecord(const void* control, size_t size);

#endif
