/*
 * How files are written.
 */
#ifndef FASTSOCKET_SOCKET_KIND_FILE_WRITE_H
#define FASTSOCKET_SOCKET_KIND_FILE_WRITE_H

#include "socket/kind-file-state.h"

/* pollsFirst of files: those that no call of our own writes, where the write might wait. */
bool FastFilePollsBeforeWrite(struct FastSocket* socket);

/* prepareSend of files. The write may be made here already, by a call of our own: what it gave is
 * in the socket, and the entry only brings the completion. */
void FastFilePrepareWrite(struct FastSocket* socket, struct io_uring_sqe* entry,
                          const struct FastSend* send);

/* classifySend of files, for the completion of such an entry. */
struct FastAnswer FastFileClassifyWrite(struct FastSocket* socket, struct FastFlight* flight,
                                        int result);

#endif
