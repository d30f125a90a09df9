/*
 * Flush handlers: functions of users that run once, at the end of a turn.
 *
 * Good path: handlers stand in a list in the order in which they were set, and run in that order.
 * One that is set by a running handler belongs to the next round: a handler that sets itself again
 * runs once a turn, and does not keep the turn from ending.
 *
 * Failures: no memory is the setter's to hear. Nothing can fail later.
 */
#include "ring/flusher.h"

#include <stdlib.h>

struct FastRingFlusher
{
    struct FastRingFlusher* next;
    struct FastRingFlusher* previous;
    uint64_t round; /* number of the run that it waits for: the next to begin */
    HandleFastRingFlushFunction function;
    void* closure;
};

struct FastRingFlusher* SetFastRingFlushHandler(struct FastRing* ring,
                                                HandleFastRingFlushFunction function, void* closure)
{
    int result = function != NULL ? FastRingCheckCreate(ring) : -EINVAL;
    struct FastRingFlusher* flusher = NULL;
    if (result == 0) {
        flusher = malloc(sizeof(*flusher));
        result = flusher != NULL ? 0 : -ENOMEM;
    }
    if (result != 0) {
        errno = -result;
        return NULL;
    }
    *flusher = (struct FastRingFlusher){
        .previous = ring->flushers.last,
        .round = ring->flushers.round,
        .function = function,
        .closure = closure,
    };
    if (flusher->previous != NULL)
        flusher->previous->next = flusher;
    else
        ring->flushers.first = flusher;
    ring->flushers.last = flusher;
    if (ring->turn.outside)
        FastRingShow(ring);
    return flusher;
}

static void unlinkFlusher(struct FastRing* ring, struct FastRingFlusher* flusher)
{
    if (flusher->previous != NULL)
        flusher->previous->next = flusher->next;
    else
        ring->flushers.first = flusher->next;
    if (flusher->next != NULL)
        flusher->next->previous = flusher->previous;
    else
        ring->flushers.last = flusher->previous;
}

int RemoveFastRingFlushHandler(struct FastRing* ring, struct FastRingFlusher* flusher)
{
    int result = FastRingCheck(ring);
    if (result < 0)
        return result;
    if (flusher == NULL)
        return 0;
    unlinkFlusher(ring, flusher);
    free(flusher);
    return 0;
}

/* Each handler is taken off before it runs, so that it can't be removed while it does. */
void FastRingRunFlushers(struct FastRing* ring, int reason)
{
    uint64_t round = ring->flushers.round++;
    /* Whatever a handler sets or removes, the list ends where this round's do. */
    while (ring->flushers.first != NULL && ring->flushers.first->round <= round) {
        struct FastRingFlusher* flusher = ring->flushers.first;
        HandleFastRingFlushFunction function = flusher->function;
        void* closure = flusher->closure;
        unlinkFlusher(ring, flusher);
        free(flusher);
        FastRingLeave(ring, NULL, NULL);
        function(closure, reason);
    }
}
