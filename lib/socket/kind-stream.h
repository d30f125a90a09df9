/*
 * What files share with streams: they are bytes too.
 */
#ifndef FASTSOCKET_SOCKET_KIND_STREAM_H
#define FASTSOCKET_SOCKET_KIND_STREAM_H

#include "socket/kind.h"

/* Bytes of a connection. */
extern const struct FastKind FastKindStream;

/* read and append of the table, which files use, too. */
ssize_t FastStreamRead(struct FastSocket* socket, uint8_t* data, size_t size, int flags);
int FastStreamAppend(struct FastSocket* socket, const struct FastParts* parts, int flags);

enum
{
    FAST_STREAM_READ_FLAGS = MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT | MSG_NOSIGNAL,
};

#endif
