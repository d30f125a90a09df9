/* Timeouts, flush handlers and events. */
#include "parts.h"

#include "memory-system.h"
#include "world.h"

#include <errno.h>
#include <string.h>

enum
{
    TIMEOUTS = 6,
    FLUSHERS = 4,
    EVENTS = 2,
};

struct Timeout
{
    struct FastRingTimeout* timeout; /* NULL: none is set */
    int64_t due;
    int64_t interval; /* nanoseconds */
    bool repeats;
};

struct Flusher
{
    struct FastRingFlusher* flusher;
    uint64_t order;
};

struct Event
{
    struct FastRingEvent* event;
    bool submitted;
    uint32_t parameter;
};

static struct
{
    struct Timeout timeouts[TIMEOUTS];
    struct Flusher flushers[FLUSHERS];
    uint64_t set;   /* flush handlers so far */
    uint64_t order; /* of the one that ran last */
    struct Event events[EVENTS];
} state;

static void checkContext(const char* what)
{
    if (world.context != AUTOMATON_WAIT && world.context != AUTOMATON_END)
        wrong("%s is called from nowhere", what);
}

static void refused(const char* what)
{
    if (errno != ENOMEM || run->calm)
        wrong("%s: %s", what, strerror(errno));
}

/* ---- timeouts ---- */

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    struct Timeout* own = closure;

    checkContext("a timeout");
    if (own->timeout != timeout)
        wrong("a timeout fires that was removed");
    if (timeNow() < own->due)
        wrong("a timeout fires %lld ns too early", (long long)(own->due - timeNow()));
    if (own->repeats) {
        /* It keeps to the points at which it is due, and leaves out those that have passed. */
        while (own->due <= timeNow())
            own->due += own->interval;
        return;
    }
    own->timeout = NULL;
    if (!happens(FAULT_REACTION))
        return;
    own->interval = (int64_t)choose(20) * 1000000;
    own->due = timeNow() + own->interval;
    if (SetFastRingTimeout(world.ring, timeout, own->interval / 1000000, 0, NULL, NULL) != NULL)
        own->timeout = timeout;
}

static void setTimeout(struct Timeout* own, struct Chance* chance)
{
    static const int milliseconds[] = {0, 1, 5, 30, 500};
    int interval = milliseconds[draw(chance, 5)];
    uint64_t flags = oneIn(chance, 4) ? FASTRING_TIMEOUT_REPEAT : 0;

    if (own->timeout != NULL && oneIn(chance, 3)) {
        (void)SetFastRingTimeout(world.ring, own->timeout, -1, 0, NULL, NULL);
        own->timeout = NULL;
        return;
    }
    struct FastRingTimeout* result =
        SetFastRingTimeout(world.ring, own->timeout, interval, flags, onTimeout, own);
    if (result == NULL) {
        refused("SetFastRingTimeout");
        return;
    }
    own->timeout = result;
    own->repeats = flags != 0;
    own->interval = (int64_t)(own->repeats && interval == 0 ? 1 : interval) * 1000000;
    own->due = timeNow() + own->interval;
}

/* ---- flush handlers ---- */

static void onFlush(void* closure, int reason)
{
    struct Flusher* own = closure;

    checkContext("a flush handler");
    if (own->flusher == NULL)
        wrong("a flush handler runs that was removed, or has run");
    if (own->order <= state.order)
        wrong("flush handlers run in another order than they were set");
    bool either = world.releasing && reason == FASTRING_REASON_COMPLETE;
    if (reason != (world.ending ? FASTRING_REASON_RELEASED : FASTRING_REASON_COMPLETE) && !either)
        wrong("a flush handler is told %d", reason);
    state.order = own->order;
    own->flusher = NULL;
}

static void setFlusher(struct Flusher* own)
{
    if (own->flusher != NULL) {
        if (RemoveFastRingFlushHandler(world.ring, own->flusher) != 0)
            wrong("RemoveFastRingFlushHandler fails");
        own->flusher = NULL;
        return;
    }
    own->flusher = SetFastRingFlushHandler(world.ring, onFlush, own);
    own->order = ++state.set;
    if (own->flusher == NULL)
        refused("SetFastRingFlushHandler");
}

/* ---- events ---- */

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    struct Event* own = closure;

    checkContext("an event");
    if (own->event != event || !own->submitted)
        wrong("an event comes that was not submitted");
    if (parameter != own->parameter)
        wrong("an event comes with %u, not %u", parameter, own->parameter);
    own->submitted = false;
}

static void useEvent(struct Event* own, struct Chance* chance)
{
    if (own->event == NULL) {
        own->event = CreateFastRingEvent(world.ring, onEvent, own);
        own->submitted = false;
        if (own->event == NULL)
            refused("CreateFastRingEvent");
        return;
    }
    if (oneIn(chance, 6)) {
        ReleaseFastRingEvent(own->event);
        own->event = NULL;
        return;
    }
    own->parameter = draw(chance, 1000);
    own->submitted = true;
    if (SubmitFastRingEvent(own->event, own->parameter) != 0)
        wrong("SubmitFastRingEvent fails");
}

/* ---- the part ---- */

static void openAll(void)
{
    memset(&state, 0, sizeof(state));
}

static void step(struct Chance* chance)
{
    switch (draw(chance, 3)) {
    case 0:
        setTimeout(&state.timeouts[draw(chance, TIMEOUTS)], chance);
        break;
    case 1:
        setFlusher(&state.flushers[draw(chance, FLUSHERS)]);
        break;
    default:
        useEvent(&state.events[draw(chance, EVENTS)], chance);
        break;
    }
}

static const char* missing(void)
{
    for (int index = 0; index < TIMEOUTS; index++)
        if (state.timeouts[index].timeout != NULL && !state.timeouts[index].repeats)
            return "a timeout";
    for (int index = 0; index < FLUSHERS; index++)
        if (state.flushers[index].flusher != NULL)
            return "a flush handler";
    for (int index = 0; index < EVENTS; index++)
        if (state.events[index].event != NULL && state.events[index].submitted)
            return "an event";
    return NULL;
}

static void releaseAll(struct Chance* chance)
{
    for (int index = 0; index < TIMEOUTS; index++) {
        if (state.timeouts[index].timeout == NULL || oneIn(chance, 3))
            continue;
        (void)SetFastRingTimeout(world.ring, state.timeouts[index].timeout, -1, 0, NULL, NULL);
        state.timeouts[index].timeout = NULL;
    }
}

/* What is left is defunct. */
static void closeAll(void)
{
    for (int index = 0; index < TIMEOUTS; index++)
        if (state.timeouts[index].timeout != NULL)
            (void)SetFastRingTimeout(NULL, state.timeouts[index].timeout, -1, 0, NULL, NULL);
    for (int index = 0; index < FLUSHERS; index++)
        if (state.flushers[index].flusher != NULL)
            wrong("a flush handler is not told of the ring's end");
    for (int index = 0; index < EVENTS; index++)
        ReleaseFastRingEvent(state.events[index].event);
}

const struct Part timePart = {openAll, step, missing, releaseAll, closeAll};
