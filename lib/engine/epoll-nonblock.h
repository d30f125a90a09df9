/*
 * O_NONBLOCK, for calls that know no flag of their own for not waiting.
 *
 * It belongs to the open file description, which others may share. It is set and stays, as every
 * event library demands it of its user: taken away again it would be taken from whoever else is
 * about to make the same call, another ring or process, and he waits in it with his whole loop.
 * Nobody can know that he is the last.
 *
 * Terminals, devices and the like are another matter: a terminal is shared by all that run on it,
 * most of which are written for a blocking one. These have it for the time of a call that a poll
 * has found worth making, so that what the poll knew too little of doesn't wait. Who gets hurt: a
 * call of somebody else's that has nothing to do in just this moment gives him EAGAIN; who sets the
 * flag himself in it has it taken away; and if the process dies in it, the flag stays.
 */
#ifndef FASTSOCKET_ENGINE_EPOLL_NONBLOCK_H
#define FASTSOCKET_ENGINE_EPOLL_NONBLOCK_H

#include "engine/system.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

/* What a call has returned, a negative errno where it has failed; and that there was one. */
static inline ssize_t FastEpollCount(struct FastSystem* system, ssize_t result)
{
    system->calls++;
    return result < 0 ? -errno : result;
}

/* Sets or clears this flag alone: others that somebody changes meanwhile stay as he wants them. */
static inline int FastEpollSetNonblock(struct FastSystem* system, int handle, int on)
{
    return (int)FastEpollCount(system, ioctl(handle, FIONBIO, &on));
}

/* Asked before each call, since anybody may take it away. Returns 1 where it was not set, 0 where
 * it was, or a negative errno. */
static inline int FastEpollMakeNonblock(struct FastSystem* system, int handle)
{
    int flags = (int)FastEpollCount(system, fcntl(handle, F_GETFL));
    if (flags < 0 || flags & O_NONBLOCK)
        return flags < 0 ? flags : 0;
    int result = FastEpollSetNonblock(system, handle, 1);
    return result < 0 ? result : 1;
}

/* For the time of a call; returns what FastEpollEndNonblock takes. Where it can't be had, what the
 * poll has said must do. */
static inline bool FastEpollBeginNonblock(struct FastSystem* system, int handle)
{
    return FastEpollMakeNonblock(system, handle) > 0;
}

/* begun: as it was returned. */
static inline void FastEpollEndNonblock(struct FastSystem* system, int handle, bool begun)
{
    if (begun)
        (void)FastEpollSetNonblock(system, handle, 0);
}

#endif
