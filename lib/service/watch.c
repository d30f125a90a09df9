/*
 * Watches on descriptors that are not sockets of ours.
 *
 * Good path, level-triggered: a one-shot poll; its completion is reported, and the poll armed again
 * with the next turn, where it completes at once while the condition holds. Edge-triggered: one
 * multishot poll.
 *
 * The kernel reports POLLRDHUP though nobody asked for it, so that a one-shot poll on a half-closed
 * socket completes for ever with nothing to report. After such a completion a multishot poll waits
 * instead, which speaks of changes only; at its first real report the one-shot poll returns.
 *
 * A multishot poll of what wakes nobody (a regular file, a folder, /dev/null, a terminal that was
 * hung up before) has told all that it will ever tell with its first completion, which is also its
 * last one. Other such polls end so when a completion finds no room, and are armed again when there
 * is some. So the file is looked at, then and never else.
 *
 * A level-triggered watch asks poll(2) before it reports: a completion may be late.
 *
 * The kernel passes over wake-ups for who polls for POLLPRI alone (IO_ASYNC_POLL_COMMON of
 * io_uring/poll.c), and believes each that names it, though sockets name it with all input. So
 * POLLRDBAND is polled for along with it, and both are reported only as poll(2) says.
 *
 * Everything that changes what should be armed (update, pause, removal, the end of the ring) ends
 * in «reconcile»: a poll that is armed otherwise than wanted is stale, reports nothing any more,
 * and is canceled; ring/armed.h arms the new one when that is over. A removal does not leave its
 * cancellation to the next turn. An error that we did not cause is reported, and kills the watch.
 *
 * References: one each of the user, of the poll in flight, of the queued task, of the cancellation
 * in flight, of a call of the function.
 */
#include "base/trace.h"
#include "base/dump.h"
#include "ring/armed.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

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
    WATCH_MASK = POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLRDBAND | POLLWRNORM |
                 POLLWRBAND | POLLMSG | WATCH_ALWAYS, /* what poll(2) knows */
    WATCH_CLAIMED = POLLPRI | POLLRDBAND,             /* what a wake-up says without looking */
};

struct FastRingWatch
{
    struct FastRing* ring;
    struct FastRingMember member;
    HandleFastRingWatchFunction function;
    void* closure;
    struct FastArmed poll;
    struct FastTask prepare;
    int handle;
    uint32_t mask;
    uint32_t flags;
    unsigned references;

    struct
    {
        uint32_t mask;
        bool multishot;
    } armed;             /* what the poll in flight was made of */
    bool waitsForChange; /* nothing but what nobody asked for holds */
    bool reported;       /* with FASTRING_WATCH_ONCE: no poll until the update */
    bool toldAll;        /* a file that never changes has told its state: likewise */
    bool dead;           /* after an error */
    bool released;
    bool ending; /* the ring is */
    bool over;   /* the poll whose completion is being reported */
};

static const struct FastArmedFunctions pollFunctions;

static void dropWatch(struct FastRingWatch* watch)
{
    assert(watch->references > 0);
    if (--watch->references > 0)
        return;
    FastRingUnlink(watch->ring, &watch->member);
    FastRingDrop(watch->ring);
    FastRingBury(watch, sizeof(*watch), &watch->ring);
}

static bool isWanted(const struct FastRingWatch* watch)
{
    return watch->mask != 0 && !watch->reported && !watch->toldAll && !watch->dead &&
           !watch->released && !watch->ending;
}

static bool wantsMultishot(const struct FastRingWatch* watch)
{
    return (watch->flags & FASTRING_WATCH_EDGE) || watch->waitsForChange;
}

static bool isStale(const struct FastRingWatch* watch)
{
    return watch->armed.mask != watch->mask || watch->armed.multishot != wantsMultishot(watch);
}

static void reconcile(struct FastRingWatch* watch)
{
    if (FastTaskIsQueued(&watch->prepare) ||
        !FastArmedIsDue(&watch->poll, isWanted(watch), isStale(watch)))
        return;
    watch->references++;
    FastRingDefer(watch->ring, &watch->prepare);
}

/* It is to be submitted, and its completion would find no room. */
static bool lacksPlace(const struct FastRingWatch* watch)
{
    return watch->poll.state == FAST_ARMED_IDLE && isWanted(watch) && wantsMultishot(watch) &&
           !FastRingHasPlace(watch->ring);
}

static bool runPrepare(struct FastTask* task)
{
    struct FastRingWatch* watch = FAST_CONTAINER(task, struct FastRingWatch, prepare);

    if (lacksPlace(watch)) {
        FastRingAwaitPlace(watch->ring, &task->link, FAST_WORK_ALONE);
        return true;
    }
    if (!FastArmedUpdate(watch->ring, &watch->poll, &pollFunctions, isWanted(watch),
                         isStale(watch)))
        return false;
    dropWatch(watch);
    return true;
}

/* ---- what the poll calls ---- */

static bool preparePoll(struct FastArmed* poll)
{
    struct FastRingWatch* watch = FAST_CONTAINER(poll, struct FastRingWatch, poll);
    struct io_uring_sqe* entry = FastArmedReserve(watch->ring, poll);

    if (entry == NULL)
        return false;
    watch->armed.multishot = wantsMultishot(watch);
    watch->armed.mask = watch->mask;
    uint32_t urgent = (watch->mask & POLLPRI) != 0 ? POLLRDBAND : 0;
    io_uring_prep_poll_add(entry, watch->handle, watch->mask | urgent);
    if (watch->armed.multishot)
        entry->len = IORING_POLL_ADD_MULTI;
    return true;
}

/* A poll still in flight ends by itself now, and is not canceled over and over. */
static void onCanceled(struct FastArmed* poll, int result)
{
    struct FastRingWatch* watch = FAST_CONTAINER(poll, struct FastRingWatch, poll);

    (void)result;
    if (FastArmedIsIdle(poll))
        reconcile(watch);
}

static void holdPoll(struct FastArmed* poll)
{
    FAST_CONTAINER(poll, struct FastRingWatch, poll)->references++;
}

static void dropPoll(struct FastArmed* poll)
{
    dropWatch(FAST_CONTAINER(poll, struct FastRingWatch, poll));
}

static const struct FastArmedFunctions pollFunctions = {
    .prepare = preparePoll,
    .canceled = onCanceled,
    .hold = holdPoll,
    .drop = dropPoll,
};

/* ---- reporting ---- */

/*
 * A wake-up speaks of what was true when it was made, and the kernel does not look again: it may be
 * a late one, for bytes that were read since. Who reads from a blocking descriptor then waits in
 * its handler.
 */
static int stillHolds(const struct FastRingWatch* watch, int result)
{
    struct pollfd state = {.fd = watch->handle, .events = (short)watch->mask};
    if (poll(&state, 1, 0) < 0 || state.revents & POLLNVAL)
        return result;
    return state.revents;
}

/* What a change may be told by its wake-up, but for what that only claims. */
static int looked(const struct FastRingWatch* watch, int result)
{
    if (!(watch->flags & FASTRING_WATCH_EDGE))
        return stillHolds(watch, result);
    int claimed = result & WATCH_CLAIMED;
    if (claimed == 0)
        return result;
    return (result & ~WATCH_CLAIMED) | (claimed & stillHolds(watch, result));
}

/* What follows a completion, and a call of the function. */
static void finishCompletion(void* closure)
{
    struct FastRingWatch* watch = closure;

    bool isOver = watch->over;
    reconcile(watch);
    if (isOver)
        dropWatch(watch);
    dropWatch(watch);
}

static void report(struct FastRingWatch* watch, int result)
{
    if (result < 0) {
        watch->dead = true;
    } else {
        result &= (int)watch->mask | WATCH_ALWAYS;
        if (result != 0)
            result = looked(watch, result);
        watch->waitsForChange = result == 0;
        if (result == 0)
            return;
        watch->reported = (watch->flags & FASTRING_WATCH_ONCE) != 0;
    }
    FastRingLeave(watch->ring, finishCompletion, watch);
    if (FastTraceRuns())
        FastTraceEvent(watch, watch->handle, "watch", result);
    watch->function(watch, result, watch->closure);
}

/* What epoll says of it. Without a descriptor for the question it may be. */
static bool canBePolled(int handle)
{
    struct epoll_event event = {.events = EPOLLET};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        return true;
    bool refused = epoll_ctl(epoll, EPOLL_CTL_ADD, handle, &event) < 0 && errno == EPERM;
    close(epoll);
    return !refused;
}

/* A terminal says both when it is hung up for good. */
static bool isGone(int handle, int result)
{
    struct stat status;
    return (result & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP) && fstat(handle, &status) == 0 &&
           S_ISCHR(status.st_mode);
}

/* Of the completion of a poll that was wanted. */
static bool tellsAll(const struct FastRingWatch* watch, const struct io_uring_cqe* completion)
{
    if (!watch->armed.multishot || completion->flags & IORING_CQE_F_MORE || completion->res <= 0)
        return false;
    return isGone(watch->handle, completion->res) || !canBePolled(watch->handle);
}

static void onCompletion(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastRingWatch* watch = FAST_CONTAINER(operation, struct FastRingWatch, poll.operation);
    if (FastArmedTakeOther(watch->ring, &watch->poll, &pollFunctions, completion))
        return;
    bool counts = isWanted(watch) && !isStale(watch) && !FastArmedIsCanceled(&watch->poll);
    watch->over = FastArmedComplete(&watch->poll, completion);

    watch->references++;
    if (counts) {
        watch->toldAll = tellsAll(watch, completion);
        report(watch, completion->res);
    }
    finishCompletion(watch);
}

/* ---- what the ring calls ---- */

static void endMember(struct FastRingMember* member)
{
    struct FastRingWatch* watch = FAST_CONTAINER(member, struct FastRingWatch, member);

    watch->ending = true;
    reconcile(watch);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastRingWatch* watch = FAST_CONTAINER(member, struct FastRingWatch, member);

    (void)orderly; /* a poll uses no memory of ours */
    watch->ending = true;
    FastArmedForget(&watch->poll);
    watch->references = 1;
    if (watch->released)
        dropWatch(watch);
}

static const char* stateOf(const struct FastRingWatch* watch)
{
    if (watch->released)
        return "removed";
    if (watch->dead)
        return "dead";
    if (watch->mask == 0)
        return "paused";
    return watch->reported || watch->toldAll ? "reported" : "waiting";
}

static const char* reportsOf(const struct FastRingWatch* watch)
{
    if (watch->flags == FASTRING_WATCH_ONCE)
        return "once";
    return watch->flags == FASTRING_WATCH_EDGE ? "changes" : "levels";
}

static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    static const struct FastDumpWord names[] = {
        {POLLIN, "POLLIN"},
        {POLLOUT, "POLLOUT"},
        {POLLPRI, "POLLPRI"},
        {POLLRDHUP, "POLLRDHUP"},
        {POLLRDNORM, "POLLRDNORM"},
        {POLLRDBAND, "POLLRDBAND"},
        {POLLWRNORM, "POLLWRNORM"},
        {POLLWRBAND, "POLLWRBAND"},
        {POLLMSG, "POLLMSG"},
        {POLLERR, "POLLERR"},
        {POLLHUP, "POLLHUP"},
        {POLLNVAL, "POLLNVAL"},
    };
    const struct FastRingWatch* watch = FAST_CONTAINER(member, const struct FastRingWatch, member);
    FastDumpBegin(dump, "watch", watch);
    FastDumpSigned(dump, "handle", watch->handle);
    FastDumpText(dump, "state", stateOf(watch));
    FastDumpWords(dump, "mask", watch->mask, names, sizeof(names) / sizeof(names[0]), NULL);
    FastDumpText(dump, "reports", reportsOf(watch));
    FastDumpEnd(dump);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .end = endMember,
    .close = closeMember,
    .kind = "watch",
    .offset = offsetof(struct FastRingWatch, member),
    .dump = dumpMember,
};

/* ---- what users call ---- */

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
    *watch = (struct FastRingWatch){
        .ring = ring, .function = function, .closure = closure,
        .handle = handle, .mask = mask, .flags = flags, .references = 1};
    FastArmedInitialize(&watch->poll, onCompletion);
    watch->prepare.function = runPrepare;
    FastRingLink(ring, &watch->member, &memberFunctions);
    if (FastCheckRuns())
        FastCheckTakeHandle(watch, handle);
    reconcile(watch);
    return watch;
}

int UpdateFastRingWatch(struct FastRingWatch* watch, uint32_t mask)
{
    if (watch == NULL || (mask & ~(uint32_t)WATCH_MASK) != 0)
        return -EINVAL;
    int result = FastRingCheckOf(watch->ring, watch);
    if (result < 0)
        return result;
    if (watch->dead || watch->released)
        return -ECANCELED;

    if (watch->mask != mask) {
        watch->waitsForChange = false;
        watch->toldAll = false;
    }
    watch->mask = mask;
    watch->reported = false;
    reconcile(watch);
    return 0;
}

int GetFastRingWatchHandle(struct FastRingWatch* watch)
{
    int result = watch != NULL ? FastRingCheckOf(watch->ring, watch) : -EINVAL;
    if (result < 0)
        return result;
    return watch->released ? -ECANCELED : watch->handle;
}

void RemoveFastRingWatch(struct FastRingWatch* watch)
{
    if (watch == NULL || FastRingCheckRelease(watch->ring, watch) == -EPERM || watch->released)
        return;
    if (FastCheckRuns() && !FastRingIsReleased(watch->ring))
        FastCheckHandle(watch, watch->handle);
    watch->released = true;
    /* No poll keeps the file when its owner closes it: whoever waits for its end hears of it
     * then. */
    (void)FastArmedLetGo(watch->ring, &watch->poll, &pollFunctions);
    FastRingForgetHandle(watch->ring, watch->handle);
    reconcile(watch);
    dropWatch(watch);
}
