/*
 * Operations that are looked at again after a time, since no event would tell that they can go on.
 *
 * Good path: what is refused for somebody else's sake (a datagram to an address whose socket is
 * full, while our own has room) is tried again after a millisecond, and then after twice as long
 * each time, up to some bound. It must not wait for its descriptor: each try that is refused makes
 * an edge of that. The engine waits no longer than until the next look. There are few of them,
 * mostly none, which costs a comparison a wait.
 *
 * Failures: no memory for one more: the operation ends with ENOMEM.
 */
#include "engine/soft-look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
    LOOK_FIRST = 1000000, /* nanoseconds */
    LOOK_LONGEST = 50 * LOOK_FIRST,
    LOOK_ROOM = 16, /* at first; it doubles */
};

/* Of the internet's sockets it is always our own queue that is full. */
bool FastSoftIsElsewhere(const void* name, socklen_t length)
{
    sa_family_t family;
    if (name == NULL || length < sizeof(family))
        return false;
    memcpy(&family, name, sizeof(family));
    return family != AF_INET && family != AF_INET6;
}

static bool grow(struct FastSoft* soft)
{
    if (soft->looks.count < soft->looks.room)
        return true;
    uint32_t room = soft->looks.room > 0 ? soft->looks.room * 2 : LOOK_ROOM;
    struct FastSoftLook* array = realloc(soft->looks.array, room * sizeof(*array));
    if (array == NULL)
        return false;
    soft->looks.array = array;
    soft->looks.room = room;
    return true;
}

/* The time of the next one stands where the ring sees it, too: 0 if there is none. */
static void findNext(struct FastSoft* soft)
{
    int64_t next = INT64_MAX;
    for (uint32_t index = 0; index < soft->looks.count; index++)
        if (soft->looks.array[index].due < next)
            next = soft->looks.array[index].due;
    soft->base.due = next < INT64_MAX ? next : 0;
}

/* Of one that is looked at; NULL at the engine's end. */
static struct FastSoftLook* findLook(const struct FastSoft* soft,
                                     const struct FastSoftOperation* operation)
{
    for (uint32_t index = 0; index < soft->looks.count; index++)
        if (soft->looks.array[index].operation == operation->self)
            return &soft->looks.array[index];
    return NULL;
}

int FastSoftAddLook(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    struct FastSoftLook* look = NULL;
    if (operation->state & FAST_SOFT_LOOKED) {
        look = findLook(soft, operation);
        look->interval = look->interval < LOOK_LONGEST / 2 ? look->interval * 2 : LOOK_LONGEST;
    } else if (grow(soft)) {
        look = &soft->looks.array[soft->looks.count++];
        *look = (struct FastSoftLook){.interval = LOOK_FIRST, .operation = operation->self};
        operation->state |= FAST_SOFT_LOOKED;
    } else
        return -ENOMEM;
    operation->place = FAST_SOFT_LOOKING;
    look->due = soft->system->functions->now(soft->system) + look->interval;
    if (soft->base.due == 0 || look->due < soft->base.due)
        soft->base.due = look->due;
    return 0;
}

/* The last one takes its place. */
void FastSoftForgetLook(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    struct FastSoftLook* look = findLook(soft, operation);
    operation->state &= (uint16_t)~FAST_SOFT_LOOKED;
    if (look == NULL)
        return;
    int64_t due = look->due;
    *look = soft->looks.array[--soft->looks.count];
    if (due == soft->base.due)
        findNext(soft);
}

int64_t FastSoftBoundWait(const struct FastSoft* soft, int64_t timeout)
{
    if (soft->base.due == 0 || timeout == 0)
        return timeout;
    int64_t left = soft->base.due - soft->system->functions->now(soft->system);
    if (left < 0)
        left = 0;
    return timeout < 0 || left < timeout ? left : timeout;
}

void FastSoftTakeLooks(struct FastSoft* soft, void (*look)(struct FastSoft* soft, uint32_t number))
{
    if (soft->base.due == 0)
        return;
    int64_t now = soft->system->functions->now(soft->system);
    if (now < soft->base.due)
        return;
    for (uint32_t index = 0; index < soft->looks.count; index++) {
        struct FastSoftLook* one = &soft->looks.array[index];
        if (now < one->due)
            continue;
        one->due = INT64_MAX; /* until it is refused again */
        look(soft, one->operation);
    }
    findNext(soft);
}

void FastSoftFreeLooks(struct FastSoft* soft)
{
    free(soft->looks.array);
    soft->looks.array = NULL;
    soft->looks.count = 0;
    soft->looks.room = 0;
    soft->base.due = 0;
}
