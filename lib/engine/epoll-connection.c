/*
 * Connections, by calls that don't wait.
 *
 * accept(2) and connect(2) know no flag for that, but O_NONBLOCK, which others share. A listening
 * socket gets it and keeps it: taken away, it would be taken from another ring or process that is
 * about to accept, too, and would then wait for a connection that somebody else has had. A poll
 * before the call doesn't help him. A connect has it for the time of the call: its socket is one
 * user's, who may want it to be a blocking one afterwards.
 *
 * Failures: what is no listener keeps no flag.
 */
#include "engine/epoll-connection.h"

#include "engine/epoll-nonblock.h"

#include <poll.h>

/* AF_UNIX tells it to who waits in the call alone: to others there is nothing yet, for ever. */
static bool hasEnded(struct FastSystem* system, int handle)
{
    struct pollfd state = {.fd = handle, .events = POLLRDHUP};
    return FastEpollCount(system, poll(&state, 1, 0)) > 0 &&
           state.revents & (POLLRDHUP | POLLHUP);
}

/* It listens no more, or never did: nobody waits in a call for it. */
static bool isNoListener(int result)
{
    return result == -EINVAL || result == -EOPNOTSUPP || result == -ENOTSOCK;
}

/* SO_RCVTIMEO, which an accept has for its limit, means nothing with O_NONBLOCK. */
int FastEpollAccept(struct FastSystem* system, int handle, struct sockaddr* address,
                    socklen_t* length, int options)
{
    int made = FastEpollMakeNonblock(system, handle);
    if (made < 0)
        return made;
    int result = (int)FastEpollCount(system, accept4(handle, address, length, options));
    if (made > 0 && isNoListener(result))
        (void)FastEpollSetNonblock(system, handle, 0);
    return result == -EAGAIN && hasEnded(system, handle) ? -EINVAL : result;
}

int FastEpollConnect(struct FastSystem* system, int handle, const struct sockaddr* address,
                     socklen_t length)
{
    int made = FastEpollMakeNonblock(system, handle);
    if (made < 0)
        return made;
    int result = (int)FastEpollCount(system, connect(handle, address, length));
    if (made > 0)
        (void)FastEpollSetNonblock(system, handle, 0);
    /* A backlog of AF_UNIX is full: to who has set the flag himself it is an answer. */
    return result == -EAGAIN && made > 0 ? FAST_SYSTEM_LATER : result;
}
