/*
 * What a listener remembers.
 *
 * References: one each of the user, of the poll and of the accept in flight, of each queued task,
 * of each cancellation in flight, of a call of the function.
 */
#ifndef FASTSOCKET_SERVICE_LISTENER_STATE_H
#define FASTSOCKET_SERVICE_LISTENER_STATE_H

#include "ring/armed.h"
#include "service/local-path.h"

#include <Ring/FastSocket.h>

struct FastListenerOperation
{
    struct FastArmed armed;
    struct FastListener* listener;
};

struct FastListener
{
    struct FastRing* ring;
    struct FastRingMember member;
    HandleFastListenerEvent function;
    void* closure;
    struct FastListenerOperation poll;
    struct FastListenerOperation accept; /* of one connection; never beside the poll */
    struct FastTask prepare;
    struct FastTask handKept;
    struct FastTimer timer;    /* set while it backs off */
    struct FastLocalPath path; /* of its socket, to be removed */
    int handle;
    int kept; /* a connection that came while it was paused; -1: none */
    int flags;
    unsigned references;
    unsigned failures; /* in a row */
    bool ended;        /* the socket listens no more, though it may have connections yet */
    bool shortage;     /* was reported, and no connection has come since */
    bool failed;       /* for good */
    bool paused;
    bool released;
    bool ending; /* the ring is */
    bool tcp;    /* and so is each of its connections */
};

/* Closes the listening socket and what was kept, and removes its path. Harmless when repeated. */
void FastListenerClose(struct FastListener* listener);

/* Gives a reference up: with the last one the listener goes. */
void FastListenerDrop(struct FastListener* listener);

#endif
