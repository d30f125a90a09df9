/*
 * A listening socket, made of an address.
 */
#ifndef FASTSOCKET_LISTEN_H
#define FASTSOCKET_LISTEN_H

#include "base/address.h"
#include "service/local-path.h"

/* A descriptor, or a negative errno; flags: FASTLISTENER_*. What is to be removed at its end goes
 * to path, which tells of none before. A name is looked up here, which may take its time. */
int FastListenOpen(const struct FastAddress* address, int flags, struct FastLocalPath* path);

#endif
