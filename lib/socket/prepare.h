/*
 * The prepare task of a socket: the one place that submits its operations.
 */
#ifndef FASTSOCKET_SOCKET_PREPARE_H
#define FASTSOCKET_SOCKET_PREPARE_H

#include "socket/core.h"

/* The function of the prepare task. false: no submission entry is free, again after the next
 * enter. */
bool FastPrepareRun(struct FastRingWorker* worker);

#endif
