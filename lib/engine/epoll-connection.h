/*
 * Accepting and making connections without waiting.
 */
#ifndef FASTSOCKET_ENGINE_EPOLL_CONNECTION_H
#define FASTSOCKET_ENGINE_EPOLL_CONNECTION_H

#include "engine/system.h"

/* FastSystemFunctions.accept */
int FastEpollAccept(struct FastSystem* system, int handle, struct sockaddr* address,
                    socklen_t* length, int options);

/* FastSystemFunctions.connect */
int FastEpollConnect(struct FastSystem* system, int handle, const struct sockaddr* address,
                     socklen_t length);

#endif
