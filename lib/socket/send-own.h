/*
 * The user's own operations that are no sends, in the order of sends.
 */
#ifndef FASTSOCKET_SOCKET_SEND_OWN_H
#define FASTSOCKET_SOCKET_SEND_OWN_H

#include "socket/core.h"

/* Submits a splice or a barrier. false: no room. */
bool FastSendOwnStart(struct FastSocket* socket, struct FastMessage* message);

#endif
