/*
 * Memory of the user's that may not be there.
 */
#ifndef FASTSOCKET_ENGINE_EPOLL_COPY_H
#define FASTSOCKET_ENGINE_EPOLL_COPY_H

#include "engine/system.h"

/* FastSystemFunctions.copy */
unsigned FastEpollCopy(struct FastSystem* system, const struct iovec* to, const struct iovec* from,
                       unsigned count);

#endif
