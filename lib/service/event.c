/*
 * Doorbells for other threads and signal handlers.
 *
 * A submit stores its parameter and hands the event's call to the ring, which runs it in its
 * dispatch phase; submits until then find the call pending and merge. Both steps are atomic
 * operations and at most a write(2), so that a signal handler may take them.
 *
 * The ring's queue of calls may still name an event that is released: then it is freed by its call,
 * or by the end of the ring, which forgets the queue. After the ring, the event is defunct: it
 * refuses submits.
 */
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
    _Atomic uint32_t parameter;
    bool running; /* its function is being called */
    bool released;
    bool closed; /* the ring is gone */
};

static void freeEvent(struct FastRingEvent* event)
{
    FastRingUnlink(event->ring, &event->member);
    FastRingDrop(event->ring);
    free(event);
}

static void freeUnused(struct FastRingEvent* event)
{
    bool queued = !event->closed && atomic_load(&event->call.pending);

    if (event->released && !event->running && !queued)
        freeEvent(event);
}

static void onCall(struct FastRingCall* call)
{
    struct FastRingEvent* event = FAST_CONTAINER(call, struct FastRingEvent, call);

    if (!event->released) {
        event->running = true;
        event->function(event, atomic_load(&event->parameter), event->closure);
        event->running = false;
    }
    freeUnused(event);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastRingEvent* event = FAST_CONTAINER(member, struct FastRingEvent, member);

    (void)orderly;
    event->closed = true;
    freeUnused(event);
}

static const struct FastRingMemberFunctions memberFunctions = {.close = closeMember};

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
    atomic_store(&event->parameter, parameter);
    return FastRingSubmitCall(event->ring, &event->call);
}

void ReleaseFastRingEvent(struct FastRingEvent* event)
{
    if (event == NULL || FastRingCheck(event->ring) == -EPERM)
        return;
    event->released = true;
    freeUnused(event);
}
