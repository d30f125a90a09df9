/*
 * A socket as traces tell of it.
 */
#ifndef FASTSOCKET_SOCKET_LOOK_H
#define FASTSOCKET_SOCKET_LOOK_H

#include "ring/trace.h"
#include "socket/core.h"

/* What holds of it just now. */
void FastLookAtSocket(const struct FastRingMember* member, struct FastLook* look);

#endif
