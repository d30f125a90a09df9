/*
 * Accepting connections.
 *
 * Good path: a poll waits for connections. When it says that there are some, they are accepted and handed
 * to the user one by one, each by an enter of its own that does not wait: whoever releases the listener in
 * its function leaves the others in the backlog, for whoever shares the socket. An armed multishot accept
 * would have taken them all by then.
 *
 * Failures of a single connection (whatever accept(2) calls a network error) are passed over. Shortage of
 * descriptors or memory is told once; the listener rests 100 ms and tries again, silently until a
 * connection has come, since a peer waits in the backlog meanwhile and would keep us spinning. So does a
 * long row of passed over failures, after a look whether the socket still listens. An error of the listener
 * itself is told, and is the end. A connection that somebody else has taken between poll and accept leaves
 * an accept in flight, which is cancelled.
 *
 * Release cancels what is in flight and closes the listening socket before it returns. The end of the ring
 * leaves a shell.
 *
 * References: one each of the user, of the poll and of the accept in flight, of every queued task, of the
 * cancellation in flight, of a call of the function.
 */
#include "ring/ring.h"

#include <Ring/FastSocket.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum
{
    LISTENER_REST_NS = 100 * 1000 * 1000,
    LISTENER_FAILURES = 16, /* passed over in a row before it rests */
    LISTENER_BATCH = 64,    /* connections before others have their turn */
};

enum ListenerFailure
{
    LISTENER_PASSING, /* of one connection */
    LISTENER_SHORTAGE,
    LISTENER_FINAL,
};

struct FastListener
{
    struct FastRing* ring;
    struct FastRingMember member;
    HandleFastListenerEvent function;
    void* closure;
    struct FastOperation poll;
    struct FastOperation accept;
    struct FastOperation cancel; /* of either: never is more than one in flight */
    struct
    {
        struct FastTask arm;
        struct FastTask cancel;
    } tasks;
    struct FastTimer timer; /* set while it rests */
    int handle;
    int flags;
    unsigned references;
    unsigned failures; /* in a row */
    bool polling;    /* the poll is in flight */
    bool accepting;  /* the accept is */
    bool cancelling; /* a cancellation is in flight */
    bool shortage;   /* told, and no connection since */
    bool failed;     /* finally */
    bool released;
    bool ending; /* the ring is */
};

static void closeHandle(struct FastListener* listener)
{
    if (listener->handle >= 0)
        close(listener->handle);
    listener->handle = -1;
}

static void dropListener(struct FastListener* listener)
{
    assert(listener->references > 0);
    if (--listener->references > 0)
        return;
    closeHandle(listener);
    FastRingUnlink(listener->ring, &listener->member);
    FastRingDrop(listener->ring);
    free(listener);
}

static void deferTask(struct FastListener* listener, struct FastTask* task)
{
    if (task->queued)
        return;
    listener->references++;
    FastRingDefer(listener->ring, task);
}

static bool isWanted(const struct FastListener* listener)
{
    return !listener->failed && !listener->released && !listener->ending &&
           !FastTimerIsSet(&listener->timer);
}

/* Brings what is armed in line with what is wanted. */
static void settle(struct FastListener* listener)
{
    if (listener->polling || listener->accepting) {
        if (!isWanted(listener) && !listener->cancelling)
            deferTask(listener, &listener->tasks.cancel);
        return;
    }
    if (listener->released)
        closeHandle(listener); /* now, and not when the last reference goes: the port is free */
    else if (isWanted(listener) && !listener->cancelling)
        deferTask(listener, &listener->tasks.arm);
}

/*
 * Not EPOLLEXCLUSIVE: one connection would wake one listener of all that share the socket; and if that one is
 * released, or rests, before it accepts, nobody would look for the connection until another comes.
 */
static bool runArm(struct FastTask* task)
{
    struct FastListener* listener = FAST_CONTAINER(task, struct FastListener, tasks.arm);

    if (isWanted(listener) && !listener->polling && !listener->accepting && !listener->cancelling) {
        struct io_uring_sqe* entry = FastRingReserve(listener->ring, &listener->poll);
        if (entry == NULL)
            return false;
        io_uring_prep_poll_add(entry, listener->handle, POLLIN);
        entry->user_data = (uintptr_t)&listener->poll;
        listener->polling = true;
        listener->references++;
    }
    dropListener(listener);
    return true;
}

static const struct FastOperation* flyingOperation(const struct FastListener* listener)
{
    return listener->polling ? &listener->poll : &listener->accept;
}

static bool runCancel(struct FastTask* task)
{
    struct FastListener* listener = FAST_CONTAINER(task, struct FastListener, tasks.cancel);

    if ((!listener->polling && !listener->accepting) || isWanted(listener) || listener->cancelling) {
        dropListener(listener);
        return true;
    }
    if (!FastRingCancel(listener->ring, &listener->cancel, flyingOperation(listener)))
        return false;
    listener->cancelling = true; /* the task's reference is the cancellation's from here on */
    return true;
}

static void onCancelCompletion(struct FastOperation* operation,
                               const struct io_uring_cqe* completion)
{
    struct FastListener* listener = FAST_CONTAINER(operation, struct FastListener, cancel);

    (void)completion;
    listener->cancelling = false;
    if (!listener->polling && !listener->accepting)
        settle(listener);
    dropListener(listener);
}

/* Ends what is in flight, if that can be. */
static void letGo(struct FastListener* listener)
{
    bool cancelling = listener->cancelling;
    if (!listener->polling && !listener->accepting)
        return;
    (void)FastRingLetGo(listener->ring, &listener->cancel, &listener->cancelling, flyingOperation(listener));
    if (listener->cancelling && !cancelling)
        listener->references++; /* the cancellation's */
}

static void onTimer(struct FastTimer* timer)
{
    settle(FAST_CONTAINER(timer, struct FastListener, timer));
}

static void rest(struct FastListener* listener)
{
    listener->failures = 0;
    FastRingSetTimer(listener->ring, &listener->timer, LISTENER_REST_NS);
}

static int readOption(int handle, int option)
{
    int value = 0;
    socklen_t length = sizeof(value);
    return getsockopt(handle, SOL_SOCKET, option, &value, &length) < 0 ? -errno : value;
}

static enum ListenerFailure judge(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return LISTENER_SHORTAGE;
    case EBADF:
    case EFAULT:
    case EINVAL: /* of a listening socket that was shut down */
    case ENOSYS:
    case ENOTSOCK:
        return LISTENER_FINAL;
    default:
        return LISTENER_PASSING; /* a connection's own, a firewall's, or a cancellation by somebody else */
    }
}

static void fail(struct FastListener* listener, int error)
{
    switch (judge(error)) {
    case LISTENER_PASSING:
        if (++listener->failures < LISTENER_FAILURES)
            return;
        rest(listener);
        if (readOption(listener->handle, SO_ACCEPTCONN) > 0)
            return;
        listener->failed = true;
        break;
    case LISTENER_SHORTAGE:
        rest(listener);
        if (listener->shortage)
            return;
        listener->shortage = true;
        break;
    case LISTENER_FINAL:
        listener->failed = true;
        break;
    }
    listener->function(listener, -error, listener->closure);
}

/* result: a connection, or a negative errno. */
static void deliver(struct FastListener* listener, int result)
{
    bool stopped = listener->released || listener->ending;

    if (result < 0) {
        if (!stopped)
            fail(listener, -result);
        return;
    }
    listener->failures = 0;
    listener->shortage = false;
    if (stopped)
        close(result);
    else
        listener->function(listener, result, listener->closure);
}

/* ---- accepting ---- */

static void onAccept(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastListener* listener = FAST_CONTAINER(operation, struct FastListener, accept);

    listener->references++;
    listener->accepting = false;
    deliver(listener, completion->res);
    settle(listener);
    dropListener(listener); /* the accept's */
    dropListener(listener);
}

static bool hasConnection(const struct FastListener* listener)
{
    struct pollfd state = {.fd = listener->handle, .events = POLLIN};
    return poll(&state, 1, 0) > 0;
}

/* Accepts one connection; -EAGAIN if there is none, or if it is told by a completion later. */
static int acceptNow(struct FastListener* listener)
{
    int result = -EAGAIN;
    struct io_uring_sqe* entry = FastRingReserveNow(listener->ring, &listener->accept);
    if (entry == NULL)
        return result;
    io_uring_prep_accept(entry, listener->handle, NULL, NULL, listener->flags);
    entry->user_data = (uintptr_t)&listener->accept;
    listener->accepting = true;
    listener->references++;
    (void)FastRingEnterNow(listener->ring);
    if (!FastRingTakeNow(listener->ring, &listener->accept, &result)) {
        letGo(listener);
        if (!FastRingTakeNow(listener->ring, &listener->accept, &result))
            return result;
    }
    listener->accepting = false;
    dropListener(listener);
    return result;
}

/* Nothing is taken from the backlog that is not handed over before anybody can release the listener. */
static void acceptWaiting(struct FastListener* listener)
{
    for (int count = 0; count < LISTENER_BATCH && hasConnection(listener); count++) {
        deliver(listener, acceptNow(listener));
        if (!isWanted(listener) || listener->accepting || listener->cancelling)
            return;
    }
}

static void onPoll(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastListener* listener = FAST_CONTAINER(operation, struct FastListener, poll);

    listener->references++;
    listener->polling = false;
    if (completion->res < 0)
        deliver(listener, completion->res);
    else if (isWanted(listener) && !listener->cancelling)
        acceptWaiting(listener);
    settle(listener);
    dropListener(listener); /* the poll's */
    dropListener(listener);
}

static void endMember(struct FastRingMember* member)
{
    struct FastListener* listener = FAST_CONTAINER(member, struct FastListener, member);

    listener->ending = true;
    settle(listener);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastListener* listener = FAST_CONTAINER(member, struct FastListener, member);

    (void)orderly; /* a poll, and an accept without address, use no memory of ours */
    FastRingStopTimer(listener->ring, &listener->timer);
    closeHandle(listener);
    listener->ending = true;
    listener->polling = false;
    listener->accepting = false;
    listener->references = 1;
    if (listener->released)
        dropListener(listener);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .end = endMember,
    .close = closeMember,
};

/* SCTP's one-to-many sockets listen, and serve all their peers themselves. */
static bool hasConnections(int handle)
{
    return readOption(handle, SO_PROTOCOL) != IPPROTO_SCTP || readOption(handle, SO_TYPE) != SOCK_SEQPACKET;
}

static int checkArguments(struct FastRing* ring, int handle, int flags,
                          HandleFastListenerEvent function)
{
    int result = FastRingCheckCreate(ring);

    if (result < 0)
        return result;
    if (function == NULL || (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -EINVAL;
    result = readOption(handle, SO_ACCEPTCONN);
    if (result <= 0)
        return result < 0 ? result : -EINVAL;
    return hasConnections(handle) ? 0 : -EOPNOTSUPP;
}

struct FastListener* CreateFastListener(struct FastRing* ring, int handle, int flags,
                                        HandleFastListenerEvent function, void* closure)
{
    int result = checkArguments(ring, handle, flags, function);
    if (result < 0) {
        errno = -result;
        return NULL;
    }

    struct FastListener* listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    listener->ring = ring;
    listener->function = function;
    listener->closure = closure;
    listener->poll.function = onPoll;
    listener->accept.function = onAccept;
    listener->cancel.function = onCancelCompletion;
    listener->tasks.arm.function = runArm;
    listener->tasks.cancel.function = runCancel;
    listener->timer.function = onTimer;
    listener->handle = handle;
    listener->flags = flags | SOCK_CLOEXEC;
    listener->references = 1;
    FastRingLink(ring, &listener->member, &memberFunctions);
    settle(listener);
    return listener;
}

void ReleaseFastListener(struct FastListener* listener)
{
    if (listener == NULL || listener->released || FastRingCheck(listener->ring) == -EPERM)
        return;
    listener->released = true;
    FastRingStopTimer(listener->ring, &listener->timer);
    /* What is still in flight, since its end could not be seen (the queue of completions is full), has entered
     * the kernel, and needs the number no more. */
    letGo(listener);
    closeHandle(listener);
    settle(listener);
    dropListener(listener);
}
