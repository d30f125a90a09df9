/*
 * The errnos of accept(2). What it calls a network error is one connection's own, and the list of
 * those is not closed: so what is not known passes.
 */
#include "service/listener-failure.h"

#include <errno.h>

enum FastAcceptFailure FastAcceptClassify(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return FAST_ACCEPT_SHORTAGE;
    case EBADF:
    case EFAULT:
    case EINVAL: /* of a listening socket that was shut down */
    case ENOSYS:
    case ENOTSOCK:
        return FAST_ACCEPT_FINAL;
    default:
        return FAST_ACCEPT_PASSING; /* also a firewall's, or others have canceled it */
    }
}
