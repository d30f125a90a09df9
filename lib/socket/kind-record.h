/*
 * Messages of a connection.
 */
#ifndef FASTSOCKET_SOCKET_KIND_RECORD_H
#define FASTSOCKET_SOCKET_KIND_RECORD_H

#include "socket/kind.h"

/* Borders are kept, the input has an end, and an error is the connection's end. */
extern const struct FastKind FastKindRecord;

/* The same where a send that doesn't wait may cut a record, and not say so. */
extern const struct FastKind FastKindWhole;

#endif
