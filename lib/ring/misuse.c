/*
 * What check mode asks of rings, and of what was made on them.
 *
 * All of it is on the way of calls that found the ring not to be open: in check mode that is every
 * call.
 */
#include "ring/misuse.h"

/* Whose everything is that is gone. It belongs to no thread and to no process. */
static struct FastRing grave = {.state = RING_RELEASED, .open = FAST_RING_SHUT};

int FastRingCheckOfAll(const struct FastRing* ring, const void* object)
{
    if (FastCheckRuns())
        FastCheckUsed(object);
    return FastRingCheckAll(ring);
}

/* A forked child gives back what it has a copy of, and nothing comes of that. */
int FastRingCheckReleaseAll(const struct FastRing* ring, const void* object)
{
    if (FastCheckRuns() && FastRingIsReleased(ring)) {
        FastCheckReleased(object, "object");
        return -ECANCELED;
    }
    int result = FastRingCheckAll(ring);
    if (!FastCheckRuns())
        return result;
    if (result != -EPERM)
        FastCheckReleased(object, "object");
    else if (!FastRingIsForked(ring))
        FastCheckForeign(object);
    return result;
}

void FastRingBuryAll(void* object, size_t size, struct FastRing** ring)
{
    FastCheckBury(object, size, size);
    *ring = &grave;
    FastCheckSeal(object);
}

void FastRingCheckMembers(const struct FastRing* ring)
{
    FastCheckLeft("socket", ring);
    FastCheckLeft("listener", ring);
    FastCheckLeft("timeout", ring);
}

void FastRingCheckBuffers(const struct FastRing* ring)
{
    FastCheckLeft("buffer", ring);
    FastCheckGraves();
}
