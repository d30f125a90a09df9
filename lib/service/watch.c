/*
 * Watches on descriptors that are not sockets of ours.
 *
 * Good path, level-triggered: a one-shot poll; its completion is reported, and the poll armed again
 * with the next turn, where it completes at once while the condition holds. Edge-triggered: one
 * multishot poll.
 *
 * The kernel reports POLLRDHUP though nobody asked for it, so that a one-shot poll on a half-closed
 * socket completes for ever with nothing to tell. After such a completion a multishot poll waits
 * instead, which speaks of changes only; at its first real report the one-shot poll returns.
 *
 * A level-triggered watch asks poll(2) before it reports: a completion may be late.
 *
 * Everything that changes what should be armed (update, pause, removal, the end of the ring) ends in
 * «settle»: a poll that is armed otherwise than wanted is stale, says nothing any more, and is
 * cancelled; the new one is armed after the final completion of both the poll and its cancellation. A
 * removal does not leave its cancellation to the next turn.
 * An error that we did not cause is reported, and kills the watch.
 *
 * References: one each of the user, of the poll in flight, of every queued task, of the cancellation
 * in flight, of a call of the function.
 */
#include "ring/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

/* <poll.h> has them with _GNU_SOURCE only, and tells the kernel's values. */
#ifndef POLLRDHUP
#define POLLRDHUP 0x2000
#endif
#ifndef POLLMSG
#define POLLMSG 0x400
#endif

enum
{
    WATCH_ALWAYS = POLLERR | POLLHUP | POLLNVAL, /* reported without being asked for */
    WATCH_MASK = POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND |
                 POLLMSG | WATCH_ALWAYS, /* what poll(2) knows */
};

struct FastRingWatch
{
    struct FastRing* ring;
    struct FastRingMember member;
    HandleFastRingWatchFunction function;
    void* closure;
    struct FastOperation operation;
    struct FastOperation cancel;
    struct
    {
        struct FastTask arm;
        struct FastTask cancel;
    } tasks;
    int handle;
    uint32_t mask;
    uint32_t flags;
    unsigned references;

    struct
    {
        bool flying;
        bool multishot;
        bool cancelled; /* the kernel was asked to */
        uint32_t mask;
    } armed;
    bool cancelling;     /* that request is in flight */
    bool waitsForChange; /* nothing but what nobody asked for holds */
    bool reported;       /* and FASTRING_WATCH_ONCE: rests until the update */
    bool dead;           /* after an error */
    bool released;
    bool ending; /* the ring is */
};

static void dropWatch(struct FastRingWatch* watch)
{
    assert(watch->references > 0);
    if (--watch->references > 0)
        return;
    FastRingUnlink(watch->ring, &watch->member);
    FastRingDrop(watch->ring);
    free(watch);
}

static void deferTask(struct FastRingWatch* watch, struct FastTask* task)
{
    if (task->queued)
        return;
    watch->references++;
    FastRingDefer(watch->ring, task);
}

static bool isWanted(const struct FastRingWatch* watch)
{
    return watch->mask != 0 && !watch->reported && !watch->dead && !watch->released &&
           !watch->ending;
}

static bool wantsMultishot(const struct FastRingWatch* watch)
{
    return (watch->flags & FASTRING_WATCH_EDGE) || watch->waitsForChange;
}

static bool isStale(const struct FastRingWatch* watch)
{
    return !isWanted(watch) || watch->armed.cancelled || watch->armed.mask != watch->mask ||
           watch->armed.multishot != wantsMultishot(watch);
}

static void settle(struct FastRingWatch* watch)
{
    if (watch->armed.flying) {
        if (isStale(watch) && !watch->cancelling)
            deferTask(watch, &watch->tasks.cancel);
    } else if (isWanted(watch) && !watch->cancelling) {
        deferTask(watch, &watch->tasks.arm);
    }
}

/* No poll keeps the file when its owner closes it: whoever waits for its end hears of it then. */
static void letGo(struct FastRingWatch* watch)
{
    bool cancelling = watch->cancelling;
    if (!watch->armed.flying)
        return;
    watch->armed.cancelled = FastRingLetGo(watch->ring, &watch->cancel, &watch->cancelling, &watch->operation);
    if (watch->cancelling && !cancelling)
        watch->references++; /* the cancellation's */
}

static bool runArm(struct FastTask* task)
{
    struct FastRingWatch* watch = FAST_CONTAINER(task, struct FastRingWatch, tasks.arm);

    if (isWanted(watch) && !watch->armed.flying && !watch->cancelling) {
        struct io_uring_sqe* entry = FastRingReserve(watch->ring, &watch->operation);
        if (entry == NULL)
            return false;
        watch->armed.flying = true;
        watch->armed.cancelled = false;
        watch->armed.multishot = wantsMultishot(watch);
        watch->armed.mask = watch->mask;
        io_uring_prep_poll_add(entry, watch->handle, watch->mask);
        if (watch->armed.multishot)
            entry->len = IORING_POLL_ADD_MULTI;
        watch->references++;
    }
    dropWatch(watch);
    return true;
}

static bool runCancel(struct FastTask* task)
{
    struct FastRingWatch* watch = FAST_CONTAINER(task, struct FastRingWatch, tasks.cancel);

    if (!watch->armed.flying || !isStale(watch) || watch->cancelling) {
        dropWatch(watch);
        return true;
    }
    if (!FastRingCancel(watch->ring, &watch->cancel, &watch->operation))
        return false;
    watch->armed.cancelled = true;
    watch->cancelling = true; /* the task's reference is the cancellation's from here on */
    return true;
}

static void onCancelCompletion(struct FastOperation* operation,
                               const struct io_uring_cqe* completion)
{
    struct FastRingWatch* watch = FAST_CONTAINER(operation, struct FastRingWatch, cancel);

    (void)completion;
    watch->cancelling = false;
    /* Not «settle»: a poll still flying ends by itself now, and is not cancelled over and over. */
    if (!watch->armed.flying)
        settle(watch);
    dropWatch(watch);
}

/*
 * A wake-up tells of what was true when it was made, and the kernel does not look again: it may be a late
 * one, for bytes that were read since. Who reads from a blocking descriptor then waits in its handler.
 */
static int stillHolds(const struct FastRingWatch* watch, int result)
{
    struct pollfd state = {.fd = watch->handle, .events = (short)watch->mask};
    if (poll(&state, 1, 0) < 0 || state.revents & POLLNVAL)
        return result;
    return state.revents;
}

static void report(struct FastRingWatch* watch, int result)
{
    if (result < 0) {
        watch->dead = true;
    } else {
        result &= (int)watch->mask | WATCH_ALWAYS;
        if (result != 0 && !(watch->flags & FASTRING_WATCH_EDGE))
            result = stillHolds(watch, result);
        watch->waitsForChange = result == 0;
        if (result == 0)
            return;
        watch->reported = (watch->flags & FASTRING_WATCH_ONCE) != 0;
    }
    watch->function(watch, result, watch->closure);
}

static void onCompletion(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastRingWatch* watch = FAST_CONTAINER(operation, struct FastRingWatch, operation);
    bool final = !(completion->flags & IORING_CQE_F_MORE);
    bool stale = isStale(watch);

    watch->references++;
    if (final)
        watch->armed.flying = false;
    if (!stale)
        report(watch, completion->res);
    settle(watch);
    if (final)
        dropWatch(watch);
    dropWatch(watch);
}

static void endMember(struct FastRingMember* member)
{
    struct FastRingWatch* watch = FAST_CONTAINER(member, struct FastRingWatch, member);

    watch->ending = true;
    settle(watch);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastRingWatch* watch = FAST_CONTAINER(member, struct FastRingWatch, member);

    (void)orderly; /* a poll uses no memory of ours */
    watch->ending = true;
    watch->armed.flying = false;
    watch->references = 1;
    if (watch->released)
        dropWatch(watch);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .end = endMember,
    .close = closeMember,
};

static int checkArguments(struct FastRing* ring, int handle, uint32_t mask, uint32_t flags,
                          HandleFastRingWatchFunction function)
{
    int result = FastRingCheckCreate(ring);

    if (result < 0)
        return result;
    if (function == NULL || (mask & ~(uint32_t)WATCH_MASK) != 0)
        return -EINVAL;
    if (flags != 0 && flags != FASTRING_WATCH_ONCE && flags != FASTRING_WATCH_EDGE)
        return -EINVAL;
    return fcntl(handle, F_GETFD) < 0 ? -EBADF : 0;
}

struct FastRingWatch* AddFastRingWatch(struct FastRing* ring, int handle, uint32_t mask,
                                       uint32_t flags, HandleFastRingWatchFunction function,
                                       void* closure)
{
    int result = checkArguments(ring, handle, mask, flags, function);
    if (result < 0) {
        errno = -result;
        return NULL;
    }

    struct FastRingWatch* watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    watch->ring = ring;
    watch->function = function;
    watch->closure = closure;
    watch->operation.function = onCompletion;
    watch->cancel.function = onCancelCompletion;
    watch->tasks.arm.function = runArm;
    watch->tasks.cancel.function = runCancel;
    watch->handle = handle;
    watch->mask = mask;
    watch->flags = flags;
    watch->references = 1;
    FastRingLink(ring, &watch->member, &memberFunctions);
    settle(watch);
    return watch;
}

int UpdateFastRingWatch(struct FastRingWatch* watch, uint32_t mask)
{
    if (watch == NULL || (mask & ~(uint32_t)WATCH_MASK) != 0)
        return -EINVAL;
    int result = FastRingCheck(watch->ring);
    if (result < 0)
        return result;
    if (watch->dead || watch->released)
        return -ECANCELED;

    if (watch->mask != mask)
        watch->waitsForChange = false;
    watch->mask = mask;
    watch->reported = false;
    settle(watch);
    return 0;
}

void RemoveFastRingWatch(struct FastRingWatch* watch)
{
    if (watch == NULL || watch->released || FastRingCheck(watch->ring) == -EPERM)
        return;
    watch->released = true;
    letGo(watch);
    settle(watch);
    dropWatch(watch);
}
