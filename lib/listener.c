/*
 * Accepting connections.
 *
 * Good path: one multishot accept, armed again whenever it ends; each completion is a connection,
 * handed to the user. Where the kernel has no multishot accept (known beforehand, or told by EINVAL),
 * one accept after the other.
 *
 * Failures of a single connection (ECONNABORTED and the network errors of accept(2)) are passed over.
 * Shortage of descriptors or memory is told once; the listener rests 100 ms and tries again, silently
 * until a connection has come, since a peer waits in the backlog meanwhile and would keep us
 * spinning. So does a long row of passed over failures. Any other error is told, and is the end.
 *
 * Release cancels; connections that come in spite of it are closed, and the listening socket with
 * the final completion. The end of the ring does the same and leaves a shell.
 *
 * References: one each of the user, of the accept in flight, of every queued task, of the
 * cancellation in flight, of a call of the function.
 */
#include "ring.h"

#include <Ring/FastSocket.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum
{
    LISTENER_REST_NS = 100 * 1000 * 1000,
    LISTENER_FAILURES = 16, /* passed over in a row before it rests */
};

enum ListenerFailure
{
    LISTENER_PASSING, /* of one connection */
    LISTENER_SHORTAGE,
    LISTENER_UNSUPPORTED, /* maybe of multishot alone */
    LISTENER_FINAL,
};

struct FastListener
{
    struct FastRing* ring;
    struct FastRingMember member;
    HandleFastListenerEvent function;
    void* closure;
    struct FastOperation operation;
    struct FastOperation cancel;
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
    bool multishot;
    bool flying;
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
    if (listener->flying) {
        if (!isWanted(listener) && !listener->cancelling)
            deferTask(listener, &listener->tasks.cancel);
        return;
    }
    if (listener->released)
        closeHandle(listener); /* now, and not when the last reference goes: the port is free */
    else if (isWanted(listener) && !listener->cancelling)
        deferTask(listener, &listener->tasks.arm);
}

static bool runArm(struct FastTask* task)
{
    struct FastListener* listener = FAST_CONTAINER(task, struct FastListener, tasks.arm);

    if (isWanted(listener) && !listener->flying && !listener->cancelling) {
        struct io_uring_sqe* entry = FastRingReserve(listener->ring, &listener->operation);
        if (entry == NULL)
            return false;
        if (listener->multishot)
            io_uring_prep_multishot_accept(entry, listener->handle, NULL, NULL, listener->flags);
        else
            io_uring_prep_accept(entry, listener->handle, NULL, NULL, listener->flags);
        listener->flying = true;
        listener->references++;
    }
    dropListener(listener);
    return true;
}

static bool runCancel(struct FastTask* task)
{
    struct FastListener* listener = FAST_CONTAINER(task, struct FastListener, tasks.cancel);

    if (!listener->flying || isWanted(listener) || listener->cancelling) {
        dropListener(listener);
        return true;
    }
    if (!FastRingCancel(listener->ring, &listener->cancel, &listener->operation))
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
    if (!listener->flying)
        settle(listener);
    dropListener(listener);
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

static enum ListenerFailure judge(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return LISTENER_SHORTAGE;
    case ECONNABORTED:
    case EINTR:
    case EAGAIN:
    case ECANCELED: /* by somebody else, by descriptor or in bulk */
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case ENONET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
        return LISTENER_PASSING;
    case EINVAL: /* also of a listening socket that was shut down */
        return LISTENER_UNSUPPORTED;
    default:
        return LISTENER_FINAL;
    }
}

static void fail(struct FastListener* listener, int error)
{
    switch (judge(error)) {
    case LISTENER_PASSING:
        if (++listener->failures >= LISTENER_FAILURES)
            rest(listener);
        return;
    case LISTENER_SHORTAGE:
        rest(listener);
        if (listener->shortage)
            return;
        listener->shortage = true;
        break;
    case LISTENER_UNSUPPORTED:
        if (listener->multishot) {
            listener->multishot = false;
            return;
        }
        listener->failed = true;
        break;
    case LISTENER_FINAL:
        listener->failed = true;
        break;
    }
    listener->function(listener, -error, listener->closure);
}

static void onCompletion(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastListener* listener = FAST_CONTAINER(operation, struct FastListener, operation);
    bool final = !(completion->flags & IORING_CQE_F_MORE);
    bool stopped = listener->released || listener->ending;
    int result = completion->res;

    listener->references++;
    if (final)
        listener->flying = false;
    if (result >= 0) {
        listener->failures = 0;
        listener->shortage = false;
        if (stopped)
            close(result);
        else
            listener->function(listener, result, listener->closure);
    } else if (!stopped) {
        fail(listener, -result);
    }
    settle(listener);
    if (final)
        dropListener(listener);
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

    (void)orderly; /* an accept without address uses no memory of ours */
    FastRingStopTimer(listener->ring, &listener->timer);
    closeHandle(listener);
    listener->ending = true;
    listener->flying = false;
    listener->references = 1;
    if (listener->released)
        dropListener(listener);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .end = endMember,
    .close = closeMember,
};

static int checkArguments(struct FastRing* ring, int handle, int flags,
                          HandleFastListenerEvent function)
{
    int listening = 0;
    socklen_t length = sizeof(listening);
    int result = FastRingCheckCreate(ring);

    if (result < 0)
        return result;
    if (function == NULL || (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -EINVAL;
    if (getsockopt(handle, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0)
        return -errno;
    return listening ? 0 : -EINVAL;
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
    listener->operation.function = onCompletion;
    listener->cancel.function = onCancelCompletion;
    listener->tasks.arm.function = runArm;
    listener->tasks.cancel.function = runCancel;
    listener->timer.function = onTimer;
    listener->handle = handle;
    listener->flags = flags | SOCK_CLOEXEC;
    listener->multishot = (GetFastRingFeatures(ring) & FASTRING_FEATURE_ACCEPT_MULTISHOT) != 0;
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
    settle(listener);
    dropListener(listener);
}
