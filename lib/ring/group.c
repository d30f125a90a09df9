/*
 * Buffer groups: few, one for each provider.
 *
 * An id may be given away again while completions still name a buffer of the one that had it
 * before: so a group notes the completion from which on it is meant.
 *
 * And while operations in the kernel name it: one of them may have a buffer of the old group, or
 * take one of the new. So the buffers of the two have different ids, and the new one's live for as
 * long as the old one's.
 */
#include "ring/group.h"

void FastRingAddGroup(struct FastRing* ring, struct FastRingGroup* group)
{
    group->next = ring->groups;
    ring->groups = group;
}

static void removeFrom(struct FastRingGroup** place, const struct FastRingGroup* group)
{
    while (*place != NULL && *place != group)
        place = &(*place)->next;
    if (*place != NULL)
        *place = group->next;
}

void FastRingRemoveGroup(struct FastRing* ring, struct FastRingGroup* group)
{
    removeFrom(&ring->groups, group);
}

/* From this one on. */
static struct FastRingGroup* findFrom(struct FastRingGroup* group, uint16_t id)
{
    while (group != NULL && group->id != id)
        group = group->next;
    return group;
}

struct FastRingGroup* FastRingFindGroup(const struct FastRing* ring, uint16_t id)
{
    return findFrom(ring->groups, id);
}

/* Those that wait in the kernel for room are not seen, and taken for newer. */
uint64_t FastRingNextCompletion(const struct FastRing* ring)
{
    const struct FastEngine* engine = ring->engine;
    unsigned waiting = __atomic_load_n(engine->completion.tail, __ATOMIC_ACQUIRE) -
                       *engine->completion.head;
    return ring->statistics.completions + waiting;
}

struct FastRingGroup* FastRingFindNamedGroup(const struct FastRing* ring, uint16_t id,
                                             uint16_t buffer)
{
    struct FastRingGroup* group = FastRingFindGroup(ring, id);
    bool isMeant = group != NULL && group->first < ring->statistics.completions &&
                   buffer >= group->firstBuffer;
    return isMeant ? group : NULL;
}

/* ---- ended, with operations in the kernel ---- */

void FastRingLendGroup(struct FastRing* ring, struct FastRingGroup* group)
{
    group->next = ring->lent;
    ring->lent = group;
}

void FastRingEndLoan(struct FastRing* ring, struct FastRingGroup* group)
{
    removeFrom(&ring->lent, group);
}

bool FastRingGroupIsLent(const struct FastRing* ring, uint16_t id)
{
    return findFrom(ring->lent, id) != NULL;
}

uint32_t FastRingFreeBuffers(const struct FastRing* ring, uint16_t id, uint32_t count)
{
    uint32_t begin = 0;
    const struct FastRingGroup* group = findFrom(ring->lent, id);
    while (group != NULL) {
        bool isFree = begin + count <= group->firstBuffer || begin >= group->endBuffer;
        if (!isFree)
            begin = group->endBuffer;
        group = findFrom(isFree ? group->next : ring->lent, id);
    }
    return begin;
}

void FastRingSucceed(struct FastRing* ring, struct FastRingGroup* group)
{
    struct FastRingGroup* lent = findFrom(ring->lent, group->id);
    while (lent != NULL && lent->successor != NULL)
        lent = findFrom(lent->next, group->id);
    if (lent == NULL)
        return;
    lent->successor = group;
    group->borrow(group);
}
