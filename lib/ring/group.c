/*
 * Buffer groups: few, one for each provider.
 *
 * An id may be given away again while completions still name a buffer of the one that had it
 * before: so a group notes the completion from which on it is meant.
 */
#include "ring/group.h"

void FastRingAddGroup(struct FastRing* ring, struct FastRingGroup* group)
{
    group->next = ring->groups;
    ring->groups = group;
}

void FastRingRemoveGroup(struct FastRing* ring, struct FastRingGroup* group)
{
    struct FastRingGroup** place = &ring->groups;
    while (*place != NULL && *place != group)
        place = &(*place)->next;
    if (*place != NULL)
        *place = group->next;
}

struct FastRingGroup* FastRingFindGroup(const struct FastRing* ring, uint16_t id)
{
    struct FastRingGroup* group = ring->groups;
    while (group != NULL && group->id != id)
        group = group->next;
    return group;
}

/* Those that wait in the kernel for room are not seen, and taken for newer. */
uint64_t FastRingNextCompletion(const struct FastRing* ring)
{
    const struct FastEngine* engine = ring->engine;
    unsigned waiting = __atomic_load_n(engine->completion.tail, __ATOMIC_ACQUIRE) -
                       *engine->completion.head;
    return ring->statistics.completions + waiting;
}

struct FastRingGroup* FastRingFindNamedGroup(const struct FastRing* ring, uint16_t id)
{
    struct FastRingGroup* group = FastRingFindGroup(ring, id);
    return group != NULL && group->first < ring->statistics.completions ? group : NULL;
}
