/*
 * How files are read.
 */
#ifndef FASTSOCKET_SOCKET_KIND_FILE_READ_H
#define FASTSOCKET_SOCKET_KIND_FILE_READ_H

#include "socket/kind-file-state.h"

/* prepareReceive of files: the next read, or the poll that comes before it. */
bool FastFilePrepareRead(struct FastSocket* socket);

/* classifyReceive of files. What is read by a call of our own is in the queue when it returns, as
 * TAKEN. */
struct FastAnswer FastFileClassifyRead(struct FastSocket* socket,
                                       const struct io_uring_cqe* completion);

#endif
