/*
 * What a listener asks the kernel for, and what it is told.
 *
 * Good path: a poll waits for connections. When it says that there are some, they are accepted and
 * handed to the user one by one, each by an enter of its own that does not wait: whoever releases
 * the listener in its function leaves the others in the backlog, for whoever shares the socket. An
 * armed multishot accept would have taken them all by then. An accept of TCP tells whether there
 * is another connection; of others, and without FASTRING_FEATURE_ACCEPT_AT_ONCE, poll(2) does.
 *
 * Failures of a single connection (whatever accept(2) calls a network error) are passed over.
 * Shortage of descriptors or memory is reported once; the listener backs off for 100 ms and tries
 * again, silently until a connection has come, since a peer waits in the backlog meanwhile and
 * would keep us spinning. So does a long row of passed over failures, after a look whether the
 * socket still listens. An error of the listener itself is reported, and is the end. What
 * somebody else has taken meanwhile leaves nothing, or an accept in flight, which is canceled.
 *
 * While it is paused nothing is waited for. An accept that was in flight may bring a connection all
 * the same: that one is kept, and handed over after the resume, before any other is accepted.
 */
#include "service/listener-accept.h"

#include "base/trace.h"
#include "engine/uring-compat.h"
#include "service/listener-failure.h"

#include <Ring/FastSocket.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum
{
    LISTENER_BACKOFF_NS = 100 * 1000 * 1000,
    LISTENER_FAILURES = 16, /* passed over in a row before it backs off */
    LISTENER_BATCH = 64,    /* connections before others have their turn */
};

static const struct FastArmedFunctions acceptFunctions, pollFunctions;

static bool isWanted(const struct FastListener* listener)
{
    return !listener->failed && !listener->released && !listener->ending && !listener->paused &&
           listener->kept < 0 && !FastTimerIsSet(&listener->timer);
}

/* The poll waits also for the cancellation of an accept, which may bring a connection yet. */
static bool wantsPoll(const struct FastListener* listener)
{
    return isWanted(listener) && FastArmedIsIdle(&listener->accept.armed);
}

/* It is submitted by acceptNow alone. */
static bool wantsAccept(const struct FastListener* listener)
{
    return isWanted(listener) && FastArmedIsInFlight(&listener->accept.armed);
}

void FastListenerReconcile(struct FastListener* listener)
{
    bool isDue = FastArmedIsDue(&listener->poll.armed, wantsPoll(listener), false) ||
                 FastArmedIsDue(&listener->accept.armed, wantsAccept(listener), false);

    if (!isDue || FastTaskIsQueued(&listener->prepare))
        return;
    listener->references++;
    FastRingDefer(listener->ring, &listener->prepare);
}

static bool runPrepare(struct FastTask* task)
{
    struct FastListener* listener = FAST_CONTAINER(task, struct FastListener, prepare);
    if (!FastArmedUpdate(listener->ring, &listener->accept.armed, &acceptFunctions,
                         wantsAccept(listener), false) ||
        !FastArmedUpdate(listener->ring, &listener->poll.armed, &pollFunctions,
                         wantsPoll(listener), false))
        return false;
    FastListenerDrop(listener);
    return true;
}

/* ---- what both operations call ---- */

static struct FastListener* ownerOf(struct FastArmed* armed)
{
    return FAST_CONTAINER(armed, struct FastListenerOperation, armed)->listener;
}

/* What is still in flight ends by itself now, and is not canceled over and over. */
static void onCanceled(struct FastArmed* armed, int result)
{
    struct FastListener* listener = ownerOf(armed);
    (void)result;
    if (FastArmedIsIdle(&listener->poll.armed) && FastArmedIsIdle(&listener->accept.armed))
        FastListenerReconcile(listener);
}

static void holdListener(struct FastArmed* armed)
{
    ownerOf(armed)->references++;
}

static void dropOwner(struct FastArmed* armed)
{
    FastListenerDrop(ownerOf(armed));
}

/* ---- failures ---- */

/* What follows the completion of a poll or an accept, and a call of the function. */
static void finishCompletion(void* closure)
{
    struct FastListener* listener = closure;
    FastListenerReconcile(listener);
    FastListenerDrop(listener); /* the operation's */
    FastListenerDrop(listener);
}

static void onTimer(struct FastTimer* timer)
{
    FastListenerReconcile(FAST_CONTAINER(timer, struct FastListener, timer));
}

static void backOff(struct FastListener* listener)
{
    listener->failures = 0;
    FastRingSetTimer(listener->ring, &listener->timer, LISTENER_BACKOFF_NS);
}

int FastListenerAsk(int handle, int option)
{
    int value = 0;
    socklen_t length = sizeof(value);
    return getsockopt(handle, SOL_SOCKET, option, &value, &length) < 0 ? -errno : value;
}

static void fail(struct FastListener* listener, int error)
{
    switch (FastAcceptClassify(error)) {
    case FAST_ACCEPT_PASSING:
        if (++listener->failures < LISTENER_FAILURES)
            return;
        backOff(listener);
        if (FastListenerAsk(listener->handle, SO_ACCEPTCONN) > 0)
            return;
        listener->failed = true;
        break;
    case FAST_ACCEPT_SHORTAGE:
        backOff(listener);
        if (listener->shortage)
            return;
        listener->shortage = true;
        break;
    case FAST_ACCEPT_FINAL:
        listener->failed = true;
        break;
    }
    FastRingLeave(listener->ring, finishCompletion, listener);
    if (FastTraceRuns())
        FastTraceEvent(listener, listener->handle, "accept-failed", error);
    listener->function(listener, -error, listener->closure);
}

/* finish: what follows, also where the function never returns. */
static void handOver(struct FastListener* listener, int handle, void (*finish)(void* listener))
{
    if (listener->tcp)
        FastRingTellTcp(listener->ring, handle);
    FastRingLeave(listener->ring, finish, listener);
    if (FastTraceRuns())
        FastTraceEvent(listener, listener->handle, "accepted", handle);
    listener->function(listener, handle, listener->closure);
    FastRingTellTcp(listener->ring, -1);
}

/* result: a connection, or a negative errno, of which accept may not know that it is final. */
static void deliver(struct FastListener* listener, int result)
{
    bool stopped = listener->released || listener->ending;
    if (listener->ended && (result == -EAGAIN || result == -ECANCELED))
        result = -EINVAL;
    if (result < 0) {
        if (!stopped && !listener->paused)
            fail(listener, -result); /* what goes on is met again after a pause */
        return;
    }
    listener->failures = 0;
    listener->shortage = false;
    if (stopped)
        close(result);
    else if (listener->paused)
        listener->kept = result;
    else
        handOver(listener, result, finishCompletion);
}

/* ---- what was kept ---- */

static void finishKept(void* closure)
{
    struct FastListener* listener = closure;
    FastListenerReconcile(listener);
    FastListenerDrop(listener);
}

static bool runKept(struct FastTask* task)
{
    struct FastListener* listener = FAST_CONTAINER(task, struct FastListener, handKept);
    if (listener->kept >= 0 && !listener->paused && !listener->released && !listener->ending) {
        int handle = listener->kept;
        listener->kept = -1;
        handOver(listener, handle, finishKept);
    }
    finishKept(listener);
    return true;
}

void FastListenerHandKept(struct FastListener* listener)
{
    if (listener->kept < 0 || FastTaskIsQueued(&listener->handKept))
        return;
    listener->references++;
    FastRingNotify(listener->ring, &listener->handKept);
}

/* ---- accepting one connection, at once ---- */

/* Whether an accept can be told not to wait, and tells whether there is another connection. */
static bool isAtOnce(const struct FastListener* listener)
{
    return FastRingEngine(listener->ring)->features & FASTRING_FEATURE_ACCEPT_AT_ONCE;
}

static bool prepareAccept(struct FastArmed* accept)
{
    const struct FastListener* listener = ownerOf(accept);
    struct io_uring_sqe* entry = FastRingReserveNow(listener->ring, &accept->operation);
    if (entry == NULL)
        return false;
    io_uring_prep_accept(entry, listener->handle, NULL, NULL, listener->flags);
    if (isAtOnce(listener))
        entry->ioprio |= FAST_URING_ACCEPT_DONTWAIT;
    return true;
}

static const struct FastArmedFunctions acceptFunctions = {
    .prepare = prepareAccept,
    .canceled = onCanceled,
    .hold = holdListener,
    .drop = dropOwner,
};

/* One that was not over at once. */
static void onAccept(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastListener* listener =
        FAST_CONTAINER(operation, struct FastListener, accept.armed.operation);
    if (FastArmedTakeOther(listener->ring, &listener->accept.armed, &acceptFunctions, completion))
        return;
    listener->references++;
    (void)FastArmedComplete(&listener->accept.armed, completion);
    deliver(listener, completion->res);
    finishCompletion(listener);
}

/* Accepts one connection. false: there is none, or it is reported by a completion later. */
static bool acceptNow(struct FastListener* listener, struct io_uring_cqe* completion)
{
    struct FastArmed* accept = &listener->accept.armed;
    if (!FastArmedUpdate(listener->ring, accept, &acceptFunctions, true, false))
        return false;
    (void)FastRingEnterNow(listener->ring);
    if (!FastArmedTakeNow(listener->ring, accept, completion)) {
        (void)FastArmedLetGo(listener->ring, accept, &acceptFunctions);
        if (!FastArmedTakeNow(listener->ring, accept, completion))
            return false;
    }
    FastListenerDrop(listener);
    return completion->res != -EAGAIN && completion->res != -ECANCELED;
}

/* ---- waiting for connections ---- */

/*
 * Not EPOLLEXCLUSIVE: one connection would wake one listener of all that share the socket; and if
 * that one is released, or backs off, before it accepts, nobody would look for the connection until
 * another comes.
 */
static bool preparePoll(struct FastArmed* poll)
{
    const struct FastListener* listener = ownerOf(poll);
    struct io_uring_sqe* entry = FastArmedReserve(listener->ring, poll);
    if (entry == NULL)
        return false;
    io_uring_prep_poll_add(entry, listener->handle, POLLIN | POLLRDHUP);
    return true;
}

static const struct FastArmedFunctions pollFunctions = {
    .prepare = preparePoll,
    .canceled = onCanceled,
    .hold = holdListener,
    .drop = dropOwner,
};

/* last: the accept before, which tells if it is of TCP. NULL: there was none, but a poll. */
static bool hasConnection(const struct FastListener* listener, const struct io_uring_cqe* last)
{
    struct pollfd state = {.fd = listener->handle, .events = POLLIN};
    if (isAtOnce(listener) && (last == NULL || listener->tcp))
        return last == NULL || last->flags & IORING_CQE_F_SOCK_NONEMPTY;
    return poll(&state, 1, 0) > 0;
}

/* What is taken from the backlog is handed over before anybody can release the listener. */
static void acceptWaiting(struct FastListener* listener)
{
    struct io_uring_cqe accepted;
    const struct io_uring_cqe* last = NULL;
    for (int count = 0; count < LISTENER_BATCH && hasConnection(listener, last); count++) {
        if (acceptNow(listener, &accepted))
            deliver(listener, accepted.res);
        else if (listener->ended && FastArmedIsIdle(&listener->accept.armed))
            deliver(listener, -EAGAIN);
        else
            return;
        if (!wantsPoll(listener))
            return; /* released, or it backs off */
        last = &accepted;
    }
}

static void onPoll(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastListener* listener =
        FAST_CONTAINER(operation, struct FastListener, poll.armed.operation);
    if (FastArmedTakeOther(listener->ring, &listener->poll.armed, &pollFunctions, completion))
        return;
    listener->references++;
    (void)FastArmedComplete(&listener->poll.armed, completion);
    if (completion->res >= 0)
        listener->ended = completion->res & (POLLRDHUP | POLLHUP | POLLERR);
    if (completion->res < 0)
        deliver(listener, completion->res);
    else if (isWanted(listener))
        acceptWaiting(listener);
    finishCompletion(listener);
}

/* ---- for its life ---- */

void FastListenerPrepare(struct FastListener* listener)
{
    listener->kept = -1;
    listener->poll.listener = listener;
    listener->accept.listener = listener;
    FastArmedInitialize(&listener->poll.armed, onPoll);
    FastArmedInitialize(&listener->accept.armed, onAccept);
    listener->prepare.function = runPrepare;
    listener->handKept.function = runKept;
    listener->timer.function = onTimer;
}

void FastListenerLetGo(struct FastListener* listener)
{
    (void)FastArmedLetGo(listener->ring, &listener->poll.armed, &pollFunctions);
    (void)FastArmedLetGo(listener->ring, &listener->accept.armed, &acceptFunctions);
}
