/*
 * The outbound queue into the kernel.
 */
#ifndef FASTSOCKET_SOCKET_SEND_H
#define FASTSOCKET_SOCKET_SEND_H

#include "socket/core.h"

/* Its part of the prepare task. false: no submission entry is free. */
bool FastSendPrepare(struct FastSocket* socket);

#endif
