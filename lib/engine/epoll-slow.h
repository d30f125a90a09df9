/*
 * What may take as long as somebody else likes, each on a thread of its own.
 */
#ifndef FASTSOCKET_ENGINE_EPOLL_SLOW_H
#define FASTSOCKET_ENGINE_EPOLL_SLOW_H

#include "engine/system.h"

#include <stdatomic.h>

struct FastEpollSlow;

/* FastSystemFunctions.beginSlow, of what needs it. *slow is made when it is first needed, and
 * what it signals is watched by the epoll descriptor under the token. */
int FastEpollBeginSlow(struct FastEpollSlow** slow, int epoll, uint64_t token,
                       const struct FastSystemSlow* work);

/* After an event of the token: it gives none before more is over. */
void FastEpollQuietSlow(struct FastEpollSlow* slow);

/* FastSystemFunctions.takeSlow. */
bool FastEpollTakeSlow(struct FastEpollSlow* slow, void** closure, ssize_t* result);

/* What is still going on is waited for by nobody, and frees itself. slow may be NULL. */
void FastEpollEndSlow(struct FastEpollSlow* slow);

#endif
