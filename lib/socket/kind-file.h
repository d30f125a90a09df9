/*
 * What FASTSOCKET_MODE_FILE_IO takes beside sockets.
 */
#ifndef FASTSOCKET_SOCKET_KIND_FILE_H
#define FASTSOCKET_SOCKET_KIND_FILE_H

#include "socket/kind-file-state.h"

/* What is read and written instead of received and sent. */
extern const struct FastKind FastKindFile;


#endif
