/*
 * Timeouts of users.
 *
 * Each is a timer in the ring's heap, so that setting one costs no kernel operation. When its time
 * comes, a repeating one is set again before its function is called, on the grid of its first
 * deadline, leaving out what has passed already; one that fires once is freed after its function,
 * unless the function has set it again or removed it.
 *
 * The end of the ring stops the timer, and leaves it defunct.
 *
 * On machines of 32 bits a struct timespec may have two layouts, by what the program was compiled
 * with, which the library can't see: each has a function of its own.
 */
#include "base/place.h"
#include "base/trace.h"
#include "base/dump.h"
#include "ring/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#undef SetFastRingPreciseTimeout /* which is a macro where it isn't what it is called: see below */

enum
{
    TIMEOUT_NS_PER_MS = 1000000,
    TIMEOUT_NS_PER_SECOND = 1000000000,
};

/* What no clock reaches: some 146 years, so that a deadline can be added up without overflow. */
static const int64_t intervalLimit = INT64_MAX / 2;

struct FastRingTimeout
{
    struct FastRing* ring;
    struct FastRingMember member;
    struct FastTimer timer;
    HandleFastRingTimeoutFunction function;
    void* closure;
    int64_t intervalNs; /* of a repeating one; 0 = fires once */
    bool running;       /* its function is being called */
    bool removed;       /* in there */
};

static void freeTimeout(struct FastRingTimeout* timeout)
{
    FastRingStopTimer(timeout->ring, &timeout->timer);
    FastRingUnlink(timeout->ring, &timeout->member);
    FastRingDrop(timeout->ring);
    FastRingBury(timeout, sizeof(*timeout), &timeout->ring);
}

static void removeTimeout(struct FastRingTimeout* timeout)
{
    if (!timeout->running) {
        freeTimeout(timeout);
        return;
    }
    FastRingStopTimer(timeout->ring, &timeout->timer);
    timeout->removed = true;
}

/* The first point of the grid that is still to come. */
static void repeatTimeout(struct FastRingTimeout* timeout)
{
    int64_t passed = FastRingNow(timeout->ring) - timeout->timer.deadline;
    if (passed < 0)
        passed = 0;
    FastRingSetTimer(timeout->ring, &timeout->timer,
                     timeout->intervalNs - passed % timeout->intervalNs);
}

static void finishTimer(void* closure)
{
    struct FastRingTimeout* timeout = closure;

    timeout->running = false;
    if (timeout->removed || !FastTimerIsSet(&timeout->timer))
        freeTimeout(timeout);
}

static void onTimer(struct FastTimer* timer)
{
    struct FastRingTimeout* timeout = FAST_CONTAINER(timer, struct FastRingTimeout, timer);

    if (timeout->intervalNs > 0)
        repeatTimeout(timeout);
    timeout->running = true;
    if (FastTraceRuns())
        FastTraceEvent(timeout, -1, "timeout", 0);
    FastRingLeave(timeout->ring, finishTimer, timeout);
    timeout->function(timeout, timeout->closure);
    finishTimer(timeout);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastRingTimeout* timeout = FAST_CONTAINER(member, struct FastRingTimeout, member);

    (void)orderly;
    FastRingStopTimer(timeout->ring, &timeout->timer);
}

/* Of one whose function is being called the time is over. */
static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    const struct FastRingTimeout* timeout =
        FAST_CONTAINER(member, const struct FastRingTimeout, member);
    FastDumpBegin(dump, "timeout", timeout);
    FastDumpText(dump, "state", timeout->running ? "running" : "set");
    if (FastTimerIsSet(&timeout->timer))
        FastDumpSigned(dump, "due-ms",
                       (timeout->timer.deadline - FastRingNow(timeout->ring)) / TIMEOUT_NS_PER_MS);
    else
        FastDumpText(dump, "due-ms", NULL);
    FastDumpSigned(dump, "repeat-ms", timeout->intervalNs / TIMEOUT_NS_PER_MS);
    FastDumpEnd(dump);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .close = closeMember,
    .dump = dumpMember,
    .kind = "timeout",
    .offset = offsetof(struct FastRingTimeout, member),
};

static int createTimeout(struct FastRing* ring, struct FastRingTimeout** created)
{
    int result = FastRingCheckCreate(ring);
    if (result < 0)
        return result;

    struct FastRingTimeout* timeout = calloc(1, sizeof(*timeout));
    if (timeout == NULL)
        return -ENOMEM;
    timeout->ring = ring;
    timeout->timer.function = onTimer;
    FastRingLink(ring, &timeout->member, &memberFunctions);
    *created = timeout;
    return 0;
}

/* Whether timeout may be used by this thread with this ring, which may be NULL. */
static int checkTimeout(struct FastRing* ring, const struct FastRingTimeout* timeout)
{
    if (ring != NULL && ring != timeout->ring && !FastCheckRuns())
        return -EINVAL;
    return FastRingCheckOf(timeout->ring, timeout);
}

static struct FastRingTimeout* fail(int result)
{
    errno = -result;
    return NULL;
}

/* intervalNs is not negative. */
static struct FastRingTimeout* setTimeout(struct FastRing* ring, struct FastRingTimeout* timeout,
                                          int64_t intervalNs, uint64_t flags,
                                          HandleFastRingTimeoutFunction function, void* closure)
{
    if ((flags & ~(uint64_t)FASTRING_TIMEOUT_REPEAT) != 0)
        return fail(-EINVAL);
    if (timeout == NULL && function == NULL)
        return fail(-EINVAL);
    int result = timeout != NULL ? checkTimeout(ring, timeout) : createTimeout(ring, &timeout);
    if (result < 0)
        return fail(result);
    if (timeout->removed)
        return fail(-EINVAL);

    if (function != NULL) {
        timeout->function = function;
        timeout->closure = closure;
    }
    timeout->intervalNs = flags & FASTRING_TIMEOUT_REPEAT ? intervalNs : 0;
    FastRingSetTimer(timeout->ring, &timeout->timer, intervalNs);
    return timeout;
}

/* A defunct one goes too; a foreign thread's call does nothing. */
static struct FastRingTimeout* endTimeout(struct FastRing* ring, struct FastRingTimeout* timeout)
{
    if (timeout == NULL)
        return ring == NULL ? fail(-EINVAL) : NULL;
    bool fits = ring == NULL || ring == timeout->ring || FastCheckRuns();
    int result = fits ? FastRingCheckRelease(timeout->ring, timeout) : -EINVAL;
    if (result < 0 && result != -ECANCELED)
        return fail(result);
    removeTimeout(timeout);
    return NULL;
}

void RemoveFastRingTimeout(struct FastRingTimeout* timeout)
{
    if (timeout != NULL)
        (void)endTimeout(NULL, timeout);
    FastPlaceStay();
}

struct FastRingTimeout* SetFastRingTimeout(struct FastRing* ring, struct FastRingTimeout* timeout,
                                           int64_t interval, uint64_t flags,
                                           HandleFastRingTimeoutFunction function, void* closure)
{
    if (interval < 0)
        return endTimeout(ring, timeout);
    if (interval == 0 && (flags & FASTRING_TIMEOUT_REPEAT))
        interval = 1;
    int64_t intervalNs = interval < intervalLimit / TIMEOUT_NS_PER_MS
                             ? interval * TIMEOUT_NS_PER_MS
                             : intervalLimit;
    timeout = setTimeout(ring, timeout, intervalNs, flags, function, closure);
    FastPlaceStay();
    return timeout;
}

/* An interval that was read, whatever it was in. */
struct Precise
{
    int64_t seconds;
    int64_t nanoseconds;
};

static struct FastRingTimeout* setPrecise(struct FastRing* ring, struct FastRingTimeout* timeout,
                                          struct Precise interval, uint64_t flags,
                                          HandleFastRingTimeoutFunction function, void* closure)
{
    if (interval.seconds < 0)
        return endTimeout(ring, timeout);
    if (interval.nanoseconds < 0 || interval.nanoseconds >= TIMEOUT_NS_PER_SECOND)
        return fail(-EINVAL);
    int64_t intervalNs = interval.seconds < intervalLimit / TIMEOUT_NS_PER_SECOND
                             ? interval.seconds * TIMEOUT_NS_PER_SECOND + interval.nanoseconds
                             : intervalLimit;
    if (intervalNs == 0 && (flags & FASTRING_TIMEOUT_REPEAT))
        intervalNs = 1;
    return setTimeout(ring, timeout, intervalNs, flags, function, closure);
}

/*
 * A program's struct timespec need not be ours. With seconds of 64 bits it has room for nanoseconds
 * of as many, of which a machine of 32 bits uses the lower half: the other one is padding, wherever
 * its byte order puts it.
 */
static struct Precise readWide(const void* interval)
{
    struct Precise read;

    if (interval == NULL)
        return (struct Precise){.seconds = -1};
    memcpy(&read, interval, sizeof(read));
    read.nanoseconds = (__typeof__(((struct timespec*)NULL)->tv_nsec))read.nanoseconds;
    return read;
}

/* What the older name takes depends on the machine alone (see Ring/FastRing.h): two longs where a
 * time_t was one. */
static struct Precise readPinned(const void* interval)
{
#if defined(__TIMESIZE) && __TIMESIZE == 32
    int32_t read[2];

    if (interval == NULL)
        return (struct Precise){.seconds = -1};
    memcpy(read, interval, sizeof(read));
    return (struct Precise){.seconds = read[0], .nanoseconds = read[1]};
#else
    return readWide(interval);
#endif
}

struct FastRingTimeout* SetFastRingPreciseTimeout(struct FastRing* ring,
                                                  struct FastRingTimeout* timeout,
                                                  const struct timespec* interval, uint64_t flags,
                                                  HandleFastRingTimeoutFunction function,
                                                  void* closure)
{
    timeout = setPrecise(ring, timeout, readPinned(interval), flags, function, closure);
    FastPlaceStay();
    return timeout;
}

struct FastRingTimeout* SetFastRingPreciseTimeout64(struct FastRing* ring,
                                                    struct FastRingTimeout* timeout,
                                                    const struct timespec* interval, uint64_t flags,
                                                    HandleFastRingTimeoutFunction function,
                                                    void* closure)
{
    timeout = setPrecise(ring, timeout, readWide(interval), flags, function, closure);
    FastPlaceStay();
    return timeout;
}
