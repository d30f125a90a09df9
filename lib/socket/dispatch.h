/*
 * The dispatch task: what the user is called for.
 */
#ifndef FASTSOCKET_SOCKET_DISPATCH_H
#define FASTSOCKET_SOCKET_DISPATCH_H

#include "socket/core.h"

/* The function of the dispatch task. */
bool FastDispatchRun(struct FastRingWorker* worker);

/* The same in a turn that is traced. */
bool FastDispatchRunTraced(struct FastRingWorker* worker);

/* What follows it, when a handler has not returned. */
void FastDispatchGoOn(struct FastRingWorker* worker);

/* The ring ends: POLLHUP with ECANCELED, unless one was reported before. goOn is what follows. */
void FastDispatchRingEnd(struct FastSocket* socket, void (*goOn)(void* socket));

#endif
