/*
 * TLS by the kernel, as far as a stream of TCP has to know of it.
 */
#ifndef FASTSOCKET_SOCKET_KIND_TLS_H
#define FASTSOCKET_SOCKET_KIND_TLS_H

#include "socket/kind.h"

/* What a receive's errno means on such a connection: RECORD, NOTHING (it was discarded), or FAIL:
 * not its. */
struct FastAnswer FastTlsReceiveError(struct FastSocket* socket, int error);

#endif
