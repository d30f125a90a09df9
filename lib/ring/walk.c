/*
 * A walk over the sockets of a ring.
 *
 * Good path: members stand in the order in which they were made, the youngest first, and so those
 * that are made meanwhile are behind the walk. A socket leaves the list with its close, which takes
 * a turn, or the end of the ring; neither comes while the function runs: so nothing is remembered
 * of the walk but where it stands, and a function that never returns leaves nothing behind.
 */
#include "ring/life.h"

int WalkFastRing(struct FastRing* ring, HandleFastRingWalk function, void* closure)
{
    struct FastRingVisit visit;
    int result = function != NULL ? FastRingCheck(ring) : -EINVAL;
    if (result < 0)
        return result;
    FastRingBeginVisit(ring, &visit, FAST_FRAME_PLACE);
    struct FastRingMember* member = ring->members;
    for (; member != NULL && result == 0; member = member->next)
        if (member->functions->walk != NULL)
            result = member->functions->walk(member, function, closure);
    int end = FastRingEndVisit(ring, &visit);
    return end < 0 ? end : result;
}
