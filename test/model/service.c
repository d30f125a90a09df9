/*
 * The ring's services: watches, events, timeouts, flush handlers.
 *
 * Promised: a watch reports what holds, all of it in the end, and is quiet once nothing does; an
 * event's function gets the last parameter; timeouts run in the order of their time, flush handlers
 * in that of their making; nothing that was removed is called. Left out: how often a watch or an
 * event reports, since reports merge, and where a watch for changes looks (a change may still be
 * reported that is over).
 */
#include "model.h"

#include <fcntl.h>
#include <sys/eventfd.h>

enum
{
    WATCHES = 4,
    EVENTS = 3,
    TIMEOUTS = 6,
    FLUSHERS = 4,
    RUNS = 64, /* of timeouts and flush handlers in an epoch */
    FAR = 1000000000,
    PLACES = 30, /* of notePlace */
};

/* ---- watches --------------------------------------------------------------------------------- */

enum WatchKind
{
    WATCH_PIPE,
    WATCH_COUNTER,
    WATCH_SOCKET,
    WATCH_PIPE_OUT,
    WATCH_KINDS,
};

/* What its function does. */
enum WatchMode
{
    WATCH_TAKES, /* reads what is there, pauses where that is not enough */
    WATCH_PAUSES,
    WATCH_GOES, /* removes the watch */
    WATCH_MODES,
};

struct Watch
{
    struct FastRingWatch* watch;
    enum WatchKind kind;
    enum WatchMode mode;
    int handle;
    int peer;
    uint32_t mask; /* 0: paused */
    uint32_t flags;
    bool fired;   /* one that reports once: since the last update */
    bool changed; /* something was written since the last write */
    int bits;     /* reported since the last write */
    int calls;
    bool gone;   /* by itself, since the last write */
    bool active; /* something was done to it, or by it, since the last write */
    bool mixed;  /* room is one of several things that it is watched for */
};

static struct Watch watches[WATCHES];

static void openWatched(struct Watch* place)
{
    int pair[2];

    switch (place->kind) {
    case WATCH_COUNTER:
        place->handle = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ck_assert_int_ge(place->handle, 0);
        place->peer = -1;
        return;
    case WATCH_SOCKET:
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                         0);
        break;
    default:
        ck_assert_int_eq(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
    }
    place->handle = pair[place->kind == WATCH_PIPE_OUT];
    place->peer = pair[place->kind != WATCH_PIPE_OUT];
}

static void drain(int handle)
{
    char data[4096];

    while (read(handle, data, sizeof(data)) > 0)
        world.progress++;
}

static void pauseWatch(struct Watch* place)
{
    ck_assert_int_eq(UpdateFastRingWatch(place->watch, 0), 0);
    place->mask = 0;
}

static void onWatch(struct FastRingWatch* watch, int result, void* closure)
{
    struct Watch* place = closure;

    ck_assert_msg(place->watch == watch, "a watch that was removed is called");
    ck_assert_msg(place->mask != 0, "a watch that is paused is called");
    ck_assert_msg(!place->fired, "a watch that reports once is called twice");
    ck_assert_int_gt(result, 0);
    place->bits |= result;
    place->calls++;
    place->active = true;
    place->fired = (place->flags & FASTRING_WATCH_ONCE) != 0;
    if (place->mode == WATCH_GOES) {
        RemoveFastRingWatch(place->watch);
        place->watch = NULL;
        place->gone = true;
        return;
    }
    if ((place->mode == WATCH_TAKES) && (result & POLLIN))
        drain(place->handle);
    if ((place->mode == WATCH_PAUSES) || ((result & ~POLLIN) != 0))
        pauseWatch(place);
}

/* What it was and watched goes, and nobody is to have it for our sake. */
static void removeWatch(struct Watch* place)
{
    struct pollfd state = {.fd = place->peer, .events = POLLIN};

    if (place->watch != NULL)
        RemoveFastRingWatch(place->watch);
    place->watch = NULL;
    if (place->handle >= 0)
        close(place->handle);
    if (!world.ending && (place->peer >= 0)) {
        ck_assert_int_eq(poll(&state, 1, 0), 1);
        ck_assert_msg(state.revents & (POLLHUP | POLLERR), "what was watched is still open");
    }
    if (place->peer >= 0)
        close(place->peer);
    place->handle = -1;
    place->peer = -1;
}

static void addWatch(struct Watch* place, struct Chance* chance)
{
    static const uint32_t masks[] = {POLLIN, POLLIN, POLLIN | POLLRDHUP, POLLIN | POLLOUT};

    beforeEnter();
    removeWatch(place);
    place->kind = (enum WatchKind)draw(chance, WATCH_KINDS);
    place->mode = (enum WatchMode)draw(chance, WATCH_MODES);
    place->flags = oneIn(chance, 3) ? 1 + draw(chance, 2) : 0;
    place->mask = (place->kind == WATCH_PIPE_OUT) ? POLLOUT : masks[draw(chance, 4)];
    if (place->flags & FASTRING_WATCH_EDGE)
        place->mask = (place->kind == WATCH_PIPE_OUT) ? POLLOUT : POLLIN;
    place->fired = false;
    place->changed = false;
    place->mixed = (place->mask & POLLOUT) && (place->kind != WATCH_PIPE_OUT);
    openWatched(place);
    place->watch =
        AddFastRingWatch(world.ring, place->handle, place->mask, place->flags, onWatch, place);
    ck_assert_msg(place->watch != NULL, "AddFastRingWatch: %s", strerror(errno));
    say("watch %u: kind %d, mode %d, flags %u, mask %x", (unsigned)(place - watches), place->kind,
        place->mode, place->flags, place->mask);
}

static void triggerWatch(struct Watch* place)
{
    uint64_t value = 1;

    if (place->kind == WATCH_COUNTER)
        ck_assert_int_eq(write(place->handle, &value, sizeof(value)), sizeof(value));
    else if ((place->kind != WATCH_PIPE_OUT) && (place->peer >= 0))
        (void)!write(place->peer, "data", 4);
    else
        return;
    say("watch %u: something to read", (unsigned)(place - watches));
    place->changed = true;
}

static void endWatched(struct Watch* place)
{
    if (place->peer < 0)
        return;
    say("watch %u: the peer closes", (unsigned)(place - watches));
    close(place->peer);
    place->peer = -1;
    place->changed = true;
}

static void updateWatch(struct Watch* place, struct Chance* chance)
{
    bool edge = (place->flags & FASTRING_WATCH_EDGE) != 0;

    place->mask = oneIn(chance, 3) ? 0 : (place->kind == WATCH_PIPE_OUT) ? POLLOUT : POLLIN;
    if (!edge && (place->mask != 0) && oneIn(chance, 2))
        place->mask |= POLLRDHUP;
    place->mixed = false;
    say("watch %u: mask %x", (unsigned)(place - watches), place->mask);
    ck_assert_int_eq(UpdateFastRingWatch(place->watch, place->mask), 0);
    place->fired = false;
}

static void readWatched(struct Watch* place)
{
    say("watch %u: read by the program", (unsigned)(place - watches));
    drain(place->handle);
}

static void stepRemove(struct Watch* place)
{
    beforeEnter();
    say("watch %u: remove", (unsigned)(place - watches));
    removeWatch(place);
}

/* Its only report may be on its way, of the room that there was at once, or of what has just come:
 * what comes now may be in it or not. */
static bool mayBeReporting(const struct Watch* place)
{
    return (place->mixed && (world.turned || place->active)) || place->changed;
}

static void stepWatch(struct Chance* chance)
{
    struct Watch* place = &watches[draw(chance, WATCHES)];
    uint32_t what = draw(chance, 16);

    notePlace(PLACES + (unsigned)(place - watches));
    if ((world.turned && ((what != 1) || (place->mode == WATCH_GOES))) || mayBeReporting(place))
        synchronize();
    if ((place->watch == NULL) || (what == 0))
        addWatch(place, chance);
    else if (what < 9)
        triggerWatch(place);
    else if (what == 9)
        endWatched(place);
    else if (what < 13)
        updateWatch(place, chance);
    else if ((what == 13) && !(place->flags & FASTRING_WATCH_EDGE) &&
             (place->kind != WATCH_PIPE_OUT))
        readWatched(place);
    else if (what == 14)
        stepRemove(place);
    place->active = true;
}

/* Nothing that is watched for holds, or it is reported no more. */
static const char* missingWatch(const struct Watch* place)
{
    struct pollfd state = {.fd = place->handle, .events = (short)place->mask};

    if (!place->active && !world.thorough)
        return NULL;
    if ((place->watch == NULL) || (place->mask == 0) || place->fired)
        return NULL;
    if (poll(&state, 1, 0) <= 0)
        return NULL;
    if (!(place->flags & FASTRING_WATCH_EDGE))
        return "a watch does not report what holds";
    return (place->changed && (place->calls == 0)) ? "a watch does not report a change" : NULL;
}

static void writeWatch(struct Watch* place, unsigned who)
{
    if (place->calls > 0)
        note(FACT_WATCH, who, place->bits);
    if (place->gone)
        note(FACT_WATCH, who, -1);
    place->bits = 0;
    place->calls = 0;
    place->gone = false;
    place->changed = false;
    place->active = false;
}

/* ---- events ---------------------------------------------------------------------------------- */

struct Event
{
    struct FastRingEvent* event;
    uint32_t submitted;
    uint32_t told;
    bool awaited;
    bool goes; /* its function releases it */
};

static struct Event events[EVENTS];

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    struct Event* place = closure;

    ck_assert_msg(place->event == event, "an event that was released is called");
    ck_assert_msg(place->awaited, "an event that nobody has submitted");
    place->told = parameter;
    if (!place->goes || (parameter != place->submitted))
        return;
    ReleaseFastRingEvent(event);
    place->event = NULL;
}

static void stepEvent(struct Chance* chance)
{
    struct Event* place = &events[draw(chance, EVENTS)];
    uint32_t what = draw(chance, 8);

    notePlace(PLACES + 10 + (unsigned)(place - events));
    if (world.turned)
        synchronize();
    if (place->event == NULL) {
        *place = (struct Event){.goes = oneIn(chance, 4)};
        place->event = CreateFastRingEvent(world.ring, onEvent, place);
        ck_assert_ptr_nonnull(place->event);
        say("event %u", (unsigned)(place - events));
    } else if (what == 0) {
        say("event %u: release", (unsigned)(place - events));
        ReleaseFastRingEvent(place->event);
        *place = (struct Event){0};
    } else {
        place->submitted = draw(chance, 1000) + 1;
        place->awaited = true;
        say("event %u: %u", (unsigned)(place - events), place->submitted);
        ck_assert_int_eq(SubmitFastRingEvent(place->event, place->submitted), 0);
    }
}

static void writeEvent(struct Event* place, unsigned who)
{
    if (place->awaited)
        note(FACT_EVENT, who, place->told);
    place->awaited = false;
    place->told = 0;
}

/* ---- timeouts and flush handlers ------------------------------------------------------------- */

struct Timeout
{
    struct FastRingTimeout* timeout;
    bool near;   /* it is due */
    int again;   /* as often it sets itself again */
    int removes; /* another one that it removes, or -1 */
};

static struct Timeout timeouts[TIMEOUTS];

struct Flusher
{
    struct FastRingFlusher* flusher;
    int again;
};

static struct Flusher flushers[FLUSHERS];

/* Who ran in this epoch, in order. */
static struct
{
    enum Fact fact;
    unsigned who;
} runs[RUNS];
static int runCount;

static void noteRun(enum Fact fact, unsigned who)
{
    if (runCount == RUNS)
        return;
    runs[runCount].fact = fact;
    runs[runCount].who = who;
    runCount++;
}

static void removeTimeout(struct Timeout* place)
{
    if (place->timeout != NULL)
        SetFastRingTimeout(world.ring, place->timeout, -1, 0, NULL, NULL);
    place->timeout = NULL;
    place->near = false;
}

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    struct Timeout* place = closure;
    int removes = place->removes;

    ck_assert_msg(place->timeout == timeout, "a timeout that was removed runs");
    ck_assert_msg(place->near, "a timeout runs before its time");
    noteRun(FACT_TIMEOUT, (unsigned)(place - timeouts));
    if (place->again > 0) {
        place->again--;
        ck_assert_ptr_eq(SetFastRingTimeout(world.ring, timeout, 0, 0, NULL, NULL), timeout);
    } else {
        place->timeout = NULL;
        place->near = false;
    }
    if ((removes >= 0) && (&timeouts[removes] != place))
        removeTimeout(&timeouts[removes]);
}

static void stepTimeout(struct Chance* chance)
{
    struct Timeout* place = &timeouts[draw(chance, TIMEOUTS)];
    bool far = oneIn(chance, 3);
    int64_t interval = far ? FAR : 0;

    notePlace(PLACES + 20 + (unsigned)(place - timeouts));
    if (place->timeout == NULL) {
        place->near = !far;
        place->again = oneIn(chance, 3) ? (int)draw(chance, 4) : 0;
        place->removes = oneIn(chance, 4) ? (int)draw(chance, TIMEOUTS) : -1;
        place->timeout = SetFastRingTimeout(world.ring, NULL, interval, 0, onTimeout, place);
        ck_assert_ptr_nonnull(place->timeout);
        say("timeout %u: %d", (unsigned)(place - timeouts), (int)interval);
    } else if (oneIn(chance, 3)) {
        say("timeout %u: remove", (unsigned)(place - timeouts));
        removeTimeout(place);
    } else {
        say("timeout %u: update %d", (unsigned)(place - timeouts), (int)interval);
        place->near = !far;
        ck_assert_ptr_eq(
            SetFastRingTimeout(world.ring, place->timeout, interval, 0, NULL, NULL),
            place->timeout);
    }
}

static void onFlush(void* closure, int reason)
{
    struct Flusher* place = closure;

    noteRun(FACT_FLUSH, (unsigned)(place - flushers));
    place->flusher = NULL;
    if ((place->again-- > 0) && (reason == FASTRING_REASON_COMPLETE))
        place->flusher = SetFastRingFlushHandler(world.ring, onFlush, place);
}

static void stepFlusher(struct Chance* chance)
{
    struct Flusher* place = &flushers[draw(chance, FLUSHERS)];

    notePlace(PLACES + 30 + (unsigned)(place - flushers));
    if (place->flusher == NULL) {
        place->again = (int)draw(chance, 3);
        place->flusher = SetFastRingFlushHandler(world.ring, onFlush, place);
        ck_assert_ptr_nonnull(place->flusher);
        say("flusher %u", (unsigned)(place - flushers));
    } else {
        ck_assert_int_eq(RemoveFastRingFlushHandler(world.ring, place->flusher), 0);
        place->flusher = NULL;
        say("flusher %u: remove", (unsigned)(place - flushers));
    }
}

/* ---- the part -------------------------------------------------------------------------------- */

void stepService(struct Chance* chance)
{
    uint32_t what = draw(chance, 10);

    if (what < 5)
        stepWatch(chance);
    else if (what < 7)
        stepEvent(chance);
    else if (what < 9)
        stepTimeout(chance);
    else
        stepFlusher(chance);
}

static void openServices(struct Chance* chance)
{
    (void)chance;
    memset(watches, 0, sizeof(watches));
    memset(events, 0, sizeof(events));
    memset(timeouts, 0, sizeof(timeouts));
    memset(flushers, 0, sizeof(flushers));
    for (int index = 0; index < WATCHES; index++) {
        watches[index].handle = -1;
        watches[index].peer = -1;
    }
    runCount = 0;
}

static bool beginServices(void)
{
    return false;
}

static bool pumpServices(bool all)
{
    (void)all;
    return false;
}

static const char* missingServices(void)
{
    for (int index = 0; index < WATCHES; index++) {
        const char* missing = missingWatch(&watches[index]);
        if (missing != NULL)
            return missing;
    }
    for (int index = 0; index < EVENTS; index++) {
        if (events[index].awaited && (events[index].told != events[index].submitted))
            return "an event's function is not called";
    }
    for (int index = 0; index < TIMEOUTS; index++) {
        if (timeouts[index].near)
            return "a timeout does not run";
    }
    for (int index = 0; index < FLUSHERS; index++) {
        if (flushers[index].flusher != NULL)
            return "a flush handler does not run";
    }
    return NULL;
}

static void writeServices(void)
{
    for (int index = 0; index < WATCHES; index++)
        writeWatch(&watches[index], (unsigned)index);
    for (int index = 0; index < EVENTS; index++)
        writeEvent(&events[index], (unsigned)index);
    for (int index = 0; index < runCount; index++)
        note(runs[index].fact, runs[index].who, index);
    runCount = 0;
}

static void finishServices(void)
{
    for (int index = 0; index < WATCHES; index++)
        removeWatch(&watches[index]);
    for (int index = 0; index < EVENTS; index++) {
        ReleaseFastRingEvent(events[index].event);
        events[index].event = NULL;
    }
    for (int index = 0; index < TIMEOUTS; index++) {
        if (world.ending) {
            if (timeouts[index].timeout != NULL)
                SetFastRingTimeout(NULL, timeouts[index].timeout, -1, 0, NULL, NULL);
            timeouts[index].timeout = NULL;
        } else {
            removeTimeout(&timeouts[index]);
        }
    }
}

const struct Part servicePart = {
    .open = openServices,
    .begin = beginServices,
    .pump = pumpServices,
    .missing = missingServices,
    .write = writeServices,
    .finish = finishServices,
    .close = finishServices,
};
