/*
 * Files that are read and written without waiting, whatever the file says.
 */
#ifndef FASTSOCKET_SOCKET_KIND_FILE_OWN_H
#define FASTSOCKET_SOCKET_KIND_FILE_OWN_H

#include "socket/kind-file-state.h"

#include <sys/uio.h>

/* Whether there is an open file description of our own, or a relay; made at the first question. */
bool FastFileHasOwn(struct FastFileSocket* file);
bool FastFileHasRelay(struct FastFileSocket* file);

/* A count, 0 for the end, or negative errno; they never wait, and never raise a signal. */
ssize_t FastFileReadOwn(struct FastFileSocket* file, void* data, size_t size);
ssize_t FastFileWriteOwn(struct FastFileSocket* file, const struct iovec* vector, size_t count,
                         int flags);
ssize_t FastFileReadRelay(struct FastFileSocket* file, void* data, size_t size);

void FastFileCloseOwn(struct FastFileSocket* file); /* both */

#endif
