/*
 * Files read and written without waiting, whatever the file says.
 */
#ifndef FASTSOCKET_ENGINE_EPOLL_FILE_H
#define FASTSOCKET_ENGINE_EPOLL_FILE_H

#include "engine/system.h"

/* FastSystemFunctions.read, write and splice. */
ssize_t FastEpollRead(struct FastSystem* system, int handle, const struct iovec* vector,
                      unsigned count, int64_t offset, int flags);
ssize_t FastEpollWrite(struct FastSystem* system, int handle, const struct iovec* vector,
                       unsigned count, int64_t offset, int flags);
ssize_t FastEpollSplice(struct FastSystem* system, int from, int64_t* fromOffset, int to,
                        int64_t* toOffset, size_t size, unsigned flags);

/* Whether it is a regular file or a disk, which is always ready, and takes its time. */
bool FastEpollIsStored(struct FastSystem* system, int handle);

#endif
