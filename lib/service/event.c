/*
 * Doorbells for other threads and signal handlers.
 *
 * A submit hands the event's call to the ring, with its parameter as the value, and the ring runs
 * it in its dispatch phase; submits until then find the call pending and merge. That takes atomic
 * operations and at most a write(2), so that a signal handler may do it.
 *
 * The ring's queue of calls may still name an event that is released: then it is freed by its
 * call, of which the end of the ring leaves none. After the ring, the event is defunct: it refuses
 * submits.
 */
#include "base/dump.h"
#include "ring/ring.h"

#include <errno.h>
#include <stdlib.h>

struct FastRingEvent
{
    struct FastRing* ring;
    struct FastRingMember member;
    struct FastRingCall call;
    HandleFastRingEventFunction function;
    void* closure;
    bool running; /* its function is being called */
    bool released;
};

static void freeEvent(struct FastRingEvent* event)
{
    FastRingUnlink(event->ring, &event->member);
    FastRingDrop(event->ring);
    FastRingBury(event, sizeof(*event), &event->ring);
}

static void freeUnused(struct FastRingEvent* event)
{
    if (event->released && !event->running && !FastRingCallIsPending(&event->call))
        freeEvent(event);
}

static void finishCall(void* closure)
{
    struct FastRingEvent* event = closure;

    event->running = false;
    freeUnused(event);
}

static void onCall(struct FastRingCall* call)
{
    struct FastRingEvent* event = FAST_CONTAINER(call, struct FastRingEvent, call);

    /* In another thread, which releases the ring after the end of its own, nothing is told. */
    if (!event->released && FastRingIsOwned(event->ring)) {
        event->running = true;
        FastRingLeave(event->ring, finishCall, event);
        event->function(event, event->call.value, event->closure);
    }
    finishCall(event);
}

/* Its call is the last to know of it, if that has not run yet. */
static void closeMember(struct FastRingMember* member, bool orderly)
{
    (void)orderly;
    freeUnused(FAST_CONTAINER(member, struct FastRingEvent, member));
}

static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    const struct FastRingEvent* event = FAST_CONTAINER(member, const struct FastRingEvent, member);
    FastDumpBegin(dump, "event", event);
    FastDumpYes(dump, "submitted", FastRingCallIsPending(&event->call));
    FastDumpYes(dump, "running", event->running);
    FastDumpYes(dump, "released", event->released);
    FastDumpEnd(dump);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .close = closeMember,
    .dump = dumpMember,
    .kind = "event",
    .offset = offsetof(struct FastRingEvent, member),
};

struct FastRingEvent* CreateFastRingEvent(struct FastRing* ring,
                                          HandleFastRingEventFunction function, void* closure)
{
    int result = function != NULL ? FastRingCheckCreate(ring) : -EINVAL;
    if (result < 0) {
        errno = -result;
        return NULL;
    }

    struct FastRingEvent* event = calloc(1, sizeof(*event));
    if (event == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    event->ring = ring;
    event->call.function = onCall;
    event->function = function;
    event->closure = closure;
    FastRingLink(ring, &event->member, &memberFunctions);
    return event;
}

int SubmitFastRingEvent(struct FastRingEvent* event, uint32_t parameter)
{
    if (event == NULL)
        return -EINVAL;
    int result = FastRingSubmitValue(event->ring, &event->call, parameter);
    if (result == -ECANCELED && FastCheckRuns())
        FastCheckAlive(event);
    return result;
}

void ReleaseFastRingEvent(struct FastRingEvent* event)
{
    if (event == NULL || FastRingCheckRelease(event->ring, event) == -EPERM)
        return;
    event->released = true;
    freeUnused(event);
}
