/*
 * O_NONBLOCK for the time of a call that knows no flag of its own for not waiting.
 *
 * It belongs to the open file description, which other processes may share: they find nothing, in
 * that moment, where they would wait.
 */
#ifndef FASTSOCKET_ENGINE_EPOLL_NONBLOCK_H
#define FASTSOCKET_ENGINE_EPOLL_NONBLOCK_H

#include "engine/system.h"

#include <errno.h>
#include <fcntl.h>

/* What a call has returned, a negative errno where it has failed; and that there was one. */
static inline ssize_t FastEpollCount(struct FastSystem* system, ssize_t result)
{
    system->calls++;
    return result < 0 ? -errno : result;
}

/* Returns the flags that were there, for the end, or a negative errno. */
static inline int FastEpollBeginNonblock(struct FastSystem* system, int handle)
{
    int flags = (int)FastEpollCount(system, fcntl(handle, F_GETFL));
    if (flags >= 0 && !(flags & O_NONBLOCK))
        (void)FastEpollCount(system, fcntl(handle, F_SETFL, flags | O_NONBLOCK));
    return flags;
}

/* After a beginning that did not fail. */
static inline void FastEpollEndNonblock(struct FastSystem* system, int handle, int flags)
{
    if (!(flags & O_NONBLOCK))
        (void)FastEpollCount(system, fcntl(handle, F_SETFL, flags));
}

#endif
