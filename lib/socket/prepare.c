/*
 * Whatever is due, in the order receive, poll, send, release: so nothing else has to think of full
 * queues or of the order of calls.
 */
#include "socket/prepare.h"

#include "socket/poll.h"
#include "socket/receive.h"
#include "socket/release.h"
#include "socket/send.h"

/* Runs one part, which stays due if it found no room. */
static bool run(struct FastSocket* socket, uint8_t part, bool (*function)(struct FastSocket*))
{
    if (!(socket->due & part))
        return true;
    socket->due &= (uint8_t)~part;
    if (function(socket))
        return true;
    socket->due |= part;
    return false;
}

/* Whether the state is polled may depend on whether the socket receives. */
static bool runAll(struct FastSocket* socket)
{
    if (socket->due & FAST_DUE_RECEIVE)
        socket->due |= FAST_DUE_POLL;
    return run(socket, FAST_DUE_RECEIVE, FastReceivePrepare) &&
           run(socket, FAST_DUE_POLL, FastPollPrepare) &&
           run(socket, FAST_DUE_SEND, FastSendPrepare) &&
           run(socket, FAST_DUE_RELEASE, FastReleasePrepare);
}

/* Mostly a send, and nothing else. */
bool FastPrepareRun(struct FastRingWorker* worker)
{
    struct FastSocket* socket = FAST_CONTAINER(worker, struct FastSocket, worker);
    bool done = socket->stage == FAST_STAGE_CLOSED ||
                (socket->due == FAST_DUE_SEND ? run(socket, FAST_DUE_SEND, FastSendPrepare)
                                              : runAll(socket));
    if (!done && !FastRingWorkIsQueued(worker, FAST_RING_PREPARE))
        return false;
    FastSocketDrop(socket); /* queued again meanwhile, the task has another reference */
    return true;
}
