/*
 * The dispatch task: what the user is called for.
 */
#ifndef FASTSOCKET_SOCKET_DISPATCH_H
#define FASTSOCKET_SOCKET_DISPATCH_H

#include "socket/core.h"

/* The function of the dispatch task. */
bool FastDispatchRun(struct FastTask* task);

/* POLLHUP with ECANCELED, unless it was told: the ring ends. */
void FastDispatchRingEnd(struct FastSocket* socket);

#endif
