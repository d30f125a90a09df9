/*
 * A socket and its parts, and what every other file of this folder asks of it: references, tasks,
 * what is due.
 *
 * Two tasks make a socket go. The prepare task (prepare.c) submits whatever is due; the dispatch
 * task (dispatch.c) tells the user. Completions change the state and queue one of them, or both.
 *
 * References: the user's until ReleaseFastSocket, then the release's until the descriptor is
 * closed; one for each operation in flight and for each queued task. The memory goes with the last.
 */
#ifndef FASTSOCKET_SOCKET_CORE_H
#define FASTSOCKET_SOCKET_CORE_H

#include "memory/provider.h"
#include "ring/ring.h"
#include "socket/inbound-state.h"
#include "socket/outbound-state.h"
#include "socket/trait.h"

#include <Ring/FastSocket.h>
#include <assert.h>

/* How far a release has come; only upwards. */
enum FastSocketStage
{
    FAST_STAGE_LIVE,
    FAST_STAGE_FLUSHING, /* released: what is queued is sent, with a bound */
    /* The output is ended; input is discarded until its own end, or for a while. */
    FAST_STAGE_DRAINING,
    FAST_STAGE_CANCELING, /* every operation is being canceled */
    FAST_STAGE_CLOSED,    /* the descriptor is closed; nothing is left but memory */
};

enum FastConnection
{
    FAST_CONNECTION_MADE,    /* or never needed */
    FAST_CONNECTION_BEGUN,   /* what is queued waits for it */
    FAST_CONNECTION_SOUGHT,  /* likewise, and there is no descriptor yet */
    FAST_CONNECTION_FAILING, /* it has failed; what was received before is still to come */
    FAST_CONNECTION_FAILED,  /* nothing comes any more */
};

enum FastShutdown
{
    FAST_SHUTDOWN_NONE,
    FAST_SHUTDOWN_WANTED, /* when everything queued was sent */
    FAST_SHUTDOWN_DONE,
};

/* Parts of the prepare task. */
enum FastDue
{
    FAST_DUE_RECEIVE = 1,
    FAST_DUE_POLL = 2,
    FAST_DUE_SEND = 4,
    FAST_DUE_RELEASE = 8,
    FAST_DUE_ALL = 15,
};

/* What the user is still to hear of. */
enum FastNotify
{
    FAST_NOTIFY_INPUT = 1,  /* POLLIN is due */
    FAST_NOTIFY_OUTPUT = 2, /* POLLOUT is due, if nothing is queued when its turn comes */
    FAST_NOTIFY_STATE = 4,  /* a failure, or the end, is to be looked at */
    FAST_NOTIFY_CALLS = 8,  /* users of dropped barriers, or of notices, are to be called */
    FAST_NOTIFY_CONNECTED = 16, /* POLLOUT is due, whatever is queued: what was sought is found */
};

/* What was reported, and must not be again. */
enum FastNotified
{
    FAST_NOTIFIED_FAILURE = 1, /* POLLERR of the final failure */
    FAST_NOTIFIED_HANGUP = 2,  /* POLLHUP */
    FAST_NOTIFIED_RECORD = 4,  /* POLLERR of the record that the input stops at */
};

/* ---- the poll: what send and receive don't see ---- */

enum FastPollForm
{
    FAST_POLL_STATE,
    FAST_POLL_ROOM, /* for what is sent, or the end of connecting */
};

enum FastPollNote
{
    /* POLLERR is always on, since the user doesn't read the error queue, or POLLRDHUP, since the
     * peer has ended its output: only wake-ups say anything. */
    FAST_POLL_NOISY = 1,
    FAST_POLL_REFUSED = 2, /* the descriptor can't be polled */
    FAST_POLL_ERROR = 4,   /* POLLERR came before the end of input, which may not tell of it */
};

/* ---- the socket ---- */

struct FastConnector;
struct FastTiming;

/* What few sockets ever need: made when one first does, and there until its end. */
struct FastExtra
{
    struct FastSocket* socket;
    struct FastWaiter waiter;  /* for buffers, or for room below the ring's limit */
    struct FastTiming* timing; /* NULL: no timeout was ever set, see timing.h */
    struct msghdr header;      /* the template, if it has one */
    bool headed;               /* it has */
    struct FastConnector* connector; /* while its connection is sought; otherwise NULL */
    const char* errorText;           /* of its error, where the errno's own would not tell */
    struct
    {
        uint64_t truncated;
        uint64_t starvations;
        uint64_t pauses;
    } statistics; /* as in struct FastSocketStatistics */
};

struct FastKind;

/* What many sockets have alike, and what seldom changes: kept once by ring/shared, so that a change
 * makes another one. Compared as bytes: no padding. */
struct FastCommon
{
    struct FastInboundRules inbound; /* comes first: by these the queue refers to it all */
    const struct FastKind* kind;
    struct FastRingBufferProvider* provider;
    struct FastBufferPool* inboundPool;
    struct FastBufferPool* outboundPool; /* may be NULL */
    int receiveFlags;
    uint32_t mode;        /* FASTSOCKET_MODE_* */
    uint32_t releaseMs;   /* FASTSOCKET_OPTION_RELEASE_TIMEOUT */
    uint32_t maxMessages; /* that go out together; 0: no limit */
    uint32_t connectMs;   /* FASTSOCKET_OPTION_CONNECT_TIMEOUT, and so on */
    uint32_t idleMs;
    uint32_t transmitMs;
    uint32_t lingerMs;
    uint64_t outboundLow; /* FASTSOCKET_OPTION_OUTBOUND_LOW */
};

struct FastSocket
{
    struct FastRingWorker worker;
    struct FastRing* ring;
    HandleFastSocketEvent function;
    void* closure;
    struct FastInbound inbound;
    struct FastOutbound* outbound; /* NULL: nothing is queued, and all is as at the start */
    struct FastExtra* extra;       /* NULL: none of it was needed yet */
    struct FastArmed poll;         /* form: enum FastPollForm; notes: FAST_POLL_* */
    uint32_t references;
    int handle;         /* -1: its connection is sought, or was and is given up */
    uint32_t traits;    /* FAST_TRAIT_* */
    uint16_t error;     /* the first final one that names a cause */
    uint16_t streams;   /* of the C library that hold it */
    uint8_t stage;      /* enum FastSocketStage */
    uint8_t connection; /* enum FastConnection */
    uint8_t shutdown;   /* enum FastShutdown */
    uint8_t due;        /* FAST_DUE_* */
    uint8_t notifyDue;  /* FAST_NOTIFY_* */
    uint8_t notified;   /* FAST_NOTIFIED_* */
    bool counted;       /* in GetFastRingPending */
    bool claimed : 1;   /* a stream of the C library releases it */
    bool released : 1;  /* the user's reference is the release's now */
    bool resetting : 1; /* the close resets the connection: no orderly end comes before it */
    struct
    {
        uint64_t bytes;
        uint64_t messages;
        uint64_t sentBytes;
        uint64_t sentOperations;
    } statistics; /* as in struct FastSocketStatistics, but for what is in extra and outbound */
};

/* What it has in common with others. It may be another one after FastSocketShare. */
static inline const struct FastCommon* FastSocketCommon(const struct FastSocket* socket)
{
    return (const struct FastCommon*)socket->inbound.queue.rules;
}

/* What it can do. */
static inline const struct FastKind* FastSocketKind(const struct FastSocket* socket)
{
    return FastSocketCommon(socket)->kind;
}

/* Of the buffers that it receives into. */
static inline struct FastRingBufferProvider* FastSocketProvider(const struct FastSocket* socket)
{
    return FastSocketCommon(socket)->provider;
}

/* For what is received. */
static inline struct FastBufferPool* FastSocketInboundPool(const struct FastSocket* socket)
{
    return FastSocketCommon(socket)->inboundPool;
}

/* For what is sent; may be NULL. */
static inline struct FastBufferPool* FastSocketOutboundPool(const struct FastSocket* socket)
{
    return FastSocketCommon(socket)->outboundPool;
}

/* Whether it has a mode (FASTSOCKET_MODE_*). */
static inline bool FastSocketHasMode(const struct FastSocket* socket, uint32_t mode)
{
    return FastSocketCommon(socket)->mode & mode;
}

/* Gives it these values, as it has them in common with whoever has them too: 0 or -ENOMEM. */
int FastSocketShare(struct FastSocket* socket, const struct FastCommon* values);

/* Frees its memory, of which nobody else knows. */
void FastSocketFree(struct FastSocket* socket);

/* What the last FastSocketDrop does. */
void FastSocketEnd(struct FastSocket* socket);

/* A socket's memory lives as long as somebody holds it; between its close and that it is defunct.
 * Only on the ring's thread. */
static inline void FastSocketHold(struct FastSocket* socket)
{
    socket->references++;
}

/* Gives a reference up: nothing of the socket may be used any more. */
static inline void FastSocketDrop(struct FastSocket* socket)
{
    if (--socket->references == 0)
        FastSocketEnd(socket);
}

/* As FastSocketCheck, in full. */
int FastSocketCheckAll(const struct FastSocket* socket);

/* Nothing is wrong with a call on it. false is to be asked again by FastSocketCheckAll. */
static inline bool FastSocketIsOpen(const struct FastSocket* socket)
{
    return socket != NULL && socket->stage != FAST_STAGE_CLOSED && FastRingIsOpen(socket->ring);
}

/* At the exported edge: 0, -EINVAL, -EPERM, -ECANCELED. */
static inline int FastSocketCheck(const struct FastSocket* socket)
{
    return FastSocketIsOpen(socket) ? 0 : FastSocketCheckAll(socket);
}

/* Whether a task is to be queued. It holds the socket then, since its user may release that before
 * it runs. A closed one has nothing to submit, and nobody to call. */
static inline bool FastSocketHoldFor(struct FastSocket* socket, enum FastRingWork number)
{
    if (FastRingWorkIsQueued(&socket->worker, number) || socket->stage == FAST_STAGE_CLOSED)
        return false;
    FastSocketHold(socket);
    return true;
}

/* Runs parts (FAST_DUE_*) of the prepare task soon. */
static inline void FastSocketDefer(struct FastSocket* socket, uint8_t parts)
{
    socket->due |= parts;
    if (FastSocketHoldFor(socket, FAST_RING_PREPARE))
        FastRingDeferWork(socket->ring, &socket->worker, FAST_RING_PREPARE);
}

/* Runs the dispatch task, for news (FAST_NOTIFY_*). */
static inline void FastSocketNotify(struct FastSocket* socket, uint8_t due)
{
    socket->notifyDue |= due;
    if (FastSocketHoldFor(socket, FAST_RING_DISPATCH))
        FastRingNotifyWork(socket->ring, &socket->worker, FAST_RING_DISPATCH);
}

/* The same in a turn. */
static inline void FastSocketNotifyInside(struct FastSocket* socket, uint8_t due)
{
    socket->notifyDue |= due;
    if (FastSocketHoldFor(socket, FAST_RING_DISPATCH))
        FastRingNotifyInside(socket->ring, &socket->worker, FAST_RING_DISPATCH);
}

/* The same of a living socket, of which the caller gives a reference up. */
static inline void FastSocketNotifyAndDrop(struct FastSocket* socket, uint8_t due)
{
    socket->notifyDue |= due;
    if (FastRingWorkIsQueued(&socket->worker, FAST_RING_DISPATCH))
        FastSocketDrop(socket);
    else /* it passes to the task */
        FastRingNotifyInside(socket->ring, &socket->worker, FAST_RING_DISPATCH);
}

/* Has what backs off, and cancellations that have failed, tried again after some milliseconds. The
 * other two say in addition that receiving, or sending, backs off until then. */
void FastSocketRetryLater(struct FastSocket* socket);
/* What it comes to: the function of the retry. */
bool FastSocketRetry(struct FastRingWorker* worker);
/* The same after a cancellation that found its target at work (-EALREADY); at the end of the ring,
 * which gives up what doesn't end, not at all. */
void FastSocketRetryCancel(struct FastSocket* socket, int result);

/* Has it tried again once completions have places (FastRingHasPlace). */
void FastSocketRetryWithPlace(struct FastSocket* socket);

/* Whether a cancellation that seems to have missed waits for what has come to be handled: the end
 * of its target may be there. Then it is tried again. */
bool FastSocketRetryBehind(struct FastSocket* socket);

/* As FastArmedUpdate. A cancellation that was effective is made again, but not while its target's
 * end may be among what came with its own: many sockets that are released at once would all cancel
 * again in each turn. */
bool FastSocketUpdate(struct FastSocket* socket, struct FastArmed* armed,
                      const struct FastArmedFunctions* functions, bool wanted, bool stale);

/* Receives, or sends, no more before that. */
void FastSocketBackOffReceive(struct FastSocket* socket);
void FastSocketBackOffSend(struct FastSocket* socket);

/* Where the release has come to; lower stages change nothing. */
void FastSocketEnterStage(struct FastSocket* socket, uint8_t stage);

/* Looks whether the socket counts in GetFastRingPending now; after its queue or stage changed. */
void FastSocketCountPending(struct FastSocket* socket);

/* The same where it certainly does, with something queued. */
static inline void FastSocketCountOn(struct FastSocket* socket)
{
    FastRingCountPending(socket->ring, !socket->counted);
    socket->counted = true;
}

/* The same where it counted, and certainly does no more. */
static inline void FastSocketCountOff(struct FastSocket* socket)
{
    assert(socket->counted);
    socket->counted = false;
    FastRingCountPending(socket->ring, -1);
}

/* What few need, made if it is not there; NULL: no memory. What is counted there is not counted
 * then. */
struct FastExtra* FastSocketMakeExtra(struct FastSocket* socket);

/* The header that it was created with, or NULL. */
static inline struct msghdr* FastSocketHeader(const struct FastSocket* socket)
{
    return socket->extra != NULL && socket->extra->headed ? &socket->extra->header : NULL;
}

/* Waits neither for buffers nor for room below the ring's limit. */
static inline void FastSocketStopWaiting(struct FastSocket* socket)
{
    if (socket->extra != NULL)
        FastWaiterRemove(&socket->extra->waiter);
}

/* Makes the outbound side, if it is not there: 0 or -ENOMEM. */
int FastSocketMakeOutbound(struct FastSocket* socket);

/* It may not be needed any more: the ring looks when it has nothing to do, and takes it away if
 * nothing is in it and all of it is as it was made. */
static inline void FastSocketReconsiderOutbound(struct FastSocket* socket)
{
    FastRingLookLater(socket->ring, &socket->outbound->spare);
}

/* Takes it away, whatever is in it. */
void FastSocketDropOutbound(struct FastSocket* socket);

enum
{
    FAST_TRAILED = 2, /* entries of an operation with its trail */
};

/* Links a second entry, the trail, to the one just reserved: core.c says why. The caller has seen
 * that there is room for both (FAST_TRAILED), and that the outbound side is there. */
void FastSocketTrail(struct FastSocket* socket, struct io_uring_sqe* entry);

/* Whether it has a trait (FAST_TRAIT_*), or one of several. */
static inline bool FastSocketHas(const struct FastSocket* socket, uint32_t trait)
{
    return socket->traits & trait;
}

/* Its connection is over by an error: nothing is sent any more, and no call may queue anything. */
static inline bool FastSocketHasFailed(const struct FastSocket* socket)
{
    return socket->connection >= FAST_CONNECTION_FAILING;
}

/* Sends are queued or in flight. */
static inline bool FastSocketHasOutput(const struct FastSocket* socket)
{
    const struct FastOutbound* outbound = socket->outbound;
    return outbound != NULL && (outbound->queue.first != NULL || outbound->inFlight > 0);
}

/* Where items come from: the pool for sending, or that for receiving where there is none, since
 * buffers and descriptors may be queued without one. */
static inline struct FastBufferPool* FastSocketPool(const struct FastSocket* socket)
{
    struct FastBufferPool* pool = FastSocketOutboundPool(socket);
    return pool != NULL ? pool : FastSocketInboundPool(socket);
}

/* Whether so many bytes are to be sent without a copy, as the mode asks for it. The outbound side
 * is there. */
static inline bool FastSocketLends(const struct FastSocket* socket, size_t size)
{
    return FastSocketHasMode(socket, FASTSOCKET_MODE_ZERO_COPY) &&
           size >= socket->outbound->threshold;
}

/* How many sends are in flight. */
static inline uint32_t FastSocketInFlight(const struct FastSocket* socket)
{
    return socket->outbound != NULL ? socket->outbound->inFlight : 0;
}

#endif
