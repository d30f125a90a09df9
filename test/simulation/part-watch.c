/* Watches on plain connections, both of whose ends are the test's. */
#include "parts.h"

#include "memory-system.h"
#include "scheduler.h"
#include "world.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum
{
    WATCHES = 3,
    ALWAYS = POLLERR | POLLHUP | POLLNVAL,
    CAPACITY = 900,
    PATIENCE = 64, /* turns: a ring may handle one completion in each */
};

struct Watch
{
    struct FastRingWatch* watch;
    int handle; /* -1: none */
    struct MemoryFile* peer;
    uint32_t mask;
    uint32_t flags;
    bool dead;
    uint64_t turn; /* of the last call */
};

static struct Watch watches[WATCHES];

static bool isLevel(const struct Watch* own)
{
    return own->flags == 0;
}

static void onWatch(struct FastRingWatch* watch, int result, void* closure)
{
    struct Watch* own = closure;
    uint32_t events = memoryLook(handleFile(own->handle));

    tell("watch of %d: %d", own->handle, result);
    if (own->watch != watch)
        wrong("a watch is told that was removed");
    if (world.context != AUTOMATON_WAIT)
        wrong("a watch is told from nowhere");
    if (own->mask == 0 || own->dead)
        wrong("a watch is told that is paused, or dead");
    if (result < 0) {
        own->dead = true;
        if (result != -ENOMEM && result != -EAGAIN && result != -ECANCELED)
            wrong("a watch dies with %d", result);
        return;
    }
    if ((uint32_t)result & ~(own->mask | ALWAYS))
        wrong("a watch for %x is told %x", own->mask, (unsigned)result);
    if (isLevel(own) && (uint32_t)result & ~events)
        wrong("a watch is told %x, and %x holds", (unsigned)result, events);
    if (isLevel(own) && own->turn == world.turn)
        wrong("a watch is told twice in a turn");
    own->turn = world.turn;
    if (own->flags == FASTRING_WATCH_ONCE)
        own->mask = 0;
}

/* ---- steps ---- */

static void openOne(struct Watch* own, struct Chance* chance)
{
    static const uint32_t masks[] = {POLLIN, POLLOUT, POLLIN | POLLOUT, POLLRDHUP, POLLPRI};
    static const uint32_t flags[] = {0, 0, FASTRING_WATCH_ONCE, FASTRING_WATCH_EDGE};
    struct MemoryFile* ours = memoryOpen(oneIn(chance, 2) ? MEMORY_TCP : MEMORY_LOCAL, CAPACITY);

    *own = (struct Watch){.mask = masks[draw(chance, 5)], .flags = flags[draw(chance, 4)]};
    own->peer = memoryOpen(ours->kind, CAPACITY);
    memoryJoin(ours, own->peer);
    own->handle = handleOpen(ours);
    if (own->handle >= 0)
        own->watch = AddFastRingWatch(world.ring, own->handle, own->mask, own->flags, onWatch, own);
    if (own->watch != NULL) {
        tell("watch of %d for %x, flags %x", own->handle, own->mask, own->flags);
        return;
    }
    if (own->handle >= 0 && (errno != ENOMEM || run->calm))
        wrong("AddFastRingWatch: %s", strerror(errno));
    if (own->handle >= 0)
        (void)handleClose(own->handle);
    else
        memoryDrop(ours);
    memoryDrop(own->peer);
    own->handle = -1;
}

static void closeOne(struct Watch* own)
{
    tell("watch of %d is removed", own->handle);
    RemoveFastRingWatch(own->watch);
    if (schedulerIsFaithful() && schedulerUses(own->handle) > 0)
        wrong("a watch is removed, and the kernel has its file");
    own->watch = NULL;
    if (handleClose(own->handle) < 0)
        wrong("a watch has closed its descriptor");
    memoryDrop(own->peer);
    own->handle = -1;
}

static void move(struct Watch* own, struct Chance* chance)
{
    uint8_t data[CAPACITY] = {0};
    struct iovec vector = {data, 1 + draw(chance, CAPACITY)};
    struct MemoryFile* ours = handleFile(own->handle);

    switch (draw(chance, 6)) {
    case 0:
        (void)memorySend(own->peer, &vector, 1, NULL);
        break;
    case 1:
        (void)memoryReceive(ours, &vector, 1, false, NULL);
        break;
    case 2:
        (void)memorySend(ours, &vector, 1, NULL);
        break;
    case 3:
        (void)memoryReceive(own->peer, &vector, 1, false, NULL);
        break;
    case 4:
        if (oneIn(chance, 4))
            (void)memoryShutdown(own->peer, 1);
        break;
    default:
        if (oneIn(chance, 6))
            memoryReset(own->peer);
        break;
    }
}

static void update(struct Watch* own, struct Chance* chance)
{
    static const uint32_t masks[] = {0, POLLIN, POLLOUT, POLLIN | POLLOUT | POLLRDHUP};

    own->mask = masks[draw(chance, 4)];
    int result = UpdateFastRingWatch(own->watch, own->mask);
    tell("watch of %d for %x", own->handle, own->mask);
    if (result != 0 && !(own->dead && result == -ECANCELED))
        wrong("UpdateFastRingWatch gives %d", result);
}

static void step(struct Chance* chance)
{
    struct Watch* own = &watches[draw(chance, WATCHES)];

    if (own->watch == NULL)
        openOne(own, chance);
    else if (oneIn(chance, 8))
        closeOne(own);
    else if (oneIn(chance, 3))
        update(own, chance);
    else
        move(own, chance);
}

/* ---- the part ---- */

static void openAll(void)
{
    for (int index = 0; index < WATCHES; index++)
        watches[index] = (struct Watch){.handle = -1};
}

static bool isMissing(struct Watch* own)
{
    if (own->watch == NULL || own->dead || !isLevel(own) || own->mask == 0)
        return false;
    if ((memoryLook(handleFile(own->handle)) & (own->mask | ALWAYS)) == 0)
        return false;
    return own->turn + PATIENCE < world.turn;
}

/* One by levels is told again and again. */
static const char* missing(void)
{
    for (int index = 0; index < WATCHES; index++)
        if (isMissing(&watches[index]))
            return "word of a watch";
    return NULL;
}

static void releaseAll(struct Chance* chance)
{
    for (int index = 0; index < WATCHES; index++)
        if (watches[index].watch != NULL && !oneIn(chance, 3))
            closeOne(&watches[index]);
}

static void closeAll(void)
{
    for (int index = 0; index < WATCHES; index++)
        if (watches[index].watch != NULL)
            closeOne(&watches[index]);
}

const struct Part watchPart = {openAll, step, missing, releaseAll, closeAll};
