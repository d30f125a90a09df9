/*
 * The limit of what sockets keep unread.
 *
 * Good path: bytes are added and taken, two instructions each. At the limit every member is asked
 * once to receive no more than it must; those that stopped wait in a list, and go on when a good
 * part is read.
 */
#include "ring/limit.h"

void FastRingThrottle(struct FastRing* ring)
{
    ring->inbound.throttled = true;
    for (struct FastRingMember* member = ring->members; member != NULL; member = member->next)
        if (member->functions->tighten != NULL)
            member->functions->tighten(member);
}

static void serveWaiting(struct FastRing* ring)
{
    ring->inbound.throttled = false;
    while (FastWaiterServe(&ring->inbound.waiting))
        continue;
}

void FastRingRelieve(struct FastRing* ring)
{
    uint64_t limit = ring->options.inboundLimit;
    /* A quarter below the limit, so that the sockets don't stop and go with every buffer. */
    if (ring->inbound.length <= limit - limit / 4)
        serveWaiting(ring);
}

void FastRingReconsiderLimit(struct FastRing* ring)
{
    if (!FastRingInboundIsFull(ring))
        serveWaiting(ring);
}

void FastRingWaitInbound(struct FastRing* ring, struct FastWaiter* waiter)
{
    FastWaiterAdd(&ring->inbound.waiting, waiter);
}
