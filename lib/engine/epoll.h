/*
 * The system as it is: epoll, and calls that don't wait.
 */
#ifndef FASTSOCKET_ENGINE_EPOLL_H
#define FASTSOCKET_ENGINE_EPOLL_H

#include "engine/system.h"

/* Returns 0 or negative errno. */
int FastEpollOpen(struct FastSystem** result);

#endif
