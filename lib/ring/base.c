/*
 * The ring as those who live on it know it.
 *
 * A ring's memory is counted: the user has one reference, each member one. A member that is closed
 * at the ring's end stays as memory until its user releases it, and so does the ring.
 */
#include "ring/base.h"

#include <stdlib.h>
#include <string.h>

enum
{
    SCRATCH_ALIGNMENT = 16, /* of whatever is put there: headers and vectors */
};

/* ---- checks ---- */

int FastRingCheckAll(const struct FastRing* ring)
{
    if (ring == NULL)
        return -EINVAL;
    if (FastCheckRuns())
        FastCheckAlive(ring);
    if (FastRingIsReleased(ring))
        return -ECANCELED;
    return FastRingIsOwned(ring) ? 0 : -EPERM;
}

/* No thread is asked for: such calls are for all of them. But a forked child has only a copy of the
 * ring's memory: the kernel and the other threads know nothing of it. */
int FastRingCheckCall(const struct FastRing* ring)
{
    if (FastRingIsReleased(ring))
        return -ECANCELED;
    return FastRingIsForked(ring) ? -EPERM : 0;
}

int FastRingCheckCreate(const struct FastRing* ring)
{
    int result = FastRingCheck(ring);
    return result == 0 && FastRingIsEnding(ring) ? -ECANCELED : result;
}

/* ---- references and members ---- */

/* The engine was closed with the ring; only its memory has waited for the last member. */
static void freeRing(struct FastRing* ring)
{
    ring->engine->functions->destroy(ring->engine);
    free(ring->scratch.memory);
    FastThreadDestroyLife(&ring->life);
    if (!FastCheckRuns()) {
        free(ring);
        return;
    }
    FastCheckBury(ring, sizeof(*ring), sizeof(*ring));
    atomic_store(&ring->state, RING_RELEASED);
    ring->open = FAST_RING_SHUT;
    FastCheckSeal(ring);
}

void FastRingHold(struct FastRing* ring)
{
    atomic_fetch_add(&ring->references, 1);
}

void FastRingDrop(struct FastRing* ring)
{
    if (atomic_fetch_sub(&ring->references, 1) == 1)
        freeRing(ring);
}

/* In front, for no reason but that it takes no search: the ring's end begins with the youngest. */
void FastRingLink(struct FastRing* ring, struct FastRingMember* member,
                  const struct FastRingMemberFunctions* functions)
{
    FastRingHold(ring);
    member->functions = functions;
    member->previous = NULL;
    member->next = ring->members;
    if (member->next != NULL)
        member->next->previous = member;
    ring->members = member;
    if (FastCheckRuns() && functions->kind != NULL)
        FastCheckMade((const char*)member - functions->offset, functions->kind, ring);
}

void FastRingUnlink(struct FastRing* ring, struct FastRingMember* member)
{
    if (member->functions == NULL || member->next == member)
        return;
    /* A callback of the ring's end may free any member, also the one whose turn would be next. */
    if (ring->nextToEnd == member)
        ring->nextToEnd = member->next;
    if (member->previous != NULL)
        member->previous->next = member->next;
    else
        ring->members = member->next;
    if (member->next != NULL)
        member->next->previous = member->previous;
    member->next = member;
}

void FastRingAddStarter(struct FastRing* ring, struct FastRingStarter* starter)
{
    starter->next = ring->starters;
    ring->starters = starter;
}

/* ---- what a foreign loop sees ---- */

void FastRingShow(struct FastRing* ring)
{
    FastRingSetOutside(ring, false);
    if (ring->engine->functions->showHandle != NULL)
        ring->engine->functions->showHandle(ring->engine);
}

/* ---- memory that the kernel may still write to ---- */

void FastRingLeak(const void* memory)
{
    struct leak
    {
        struct leak* next;
        const void* memory;
    };
    static struct leak* _Atomic leaks; /* kept for the reader of a leak report, and for its maker */
    struct leak* leak = malloc(sizeof(*leak));
    if (leak == NULL)
        return; /* it is leaked all the same, only nobody can tell */
    leak->memory = memory;
    leak->next = atomic_load(&leaks);
    while (!atomic_compare_exchange_weak(&leaks, &leak->next, leak))
        continue;
}

/* ---- operations ---- */

void* FastRingScratch(struct FastRing* ring, size_t size)
{
    size = (size + SCRATCH_ALIGNMENT - 1) & ~(size_t)(SCRATCH_ALIGNMENT - 1);
    if (ring->scratch.used + size > FAST_RING_SCRATCH)
        return NULL;
    void* result = ring->scratch.memory + ring->scratch.used;
    ring->scratch.used += size;
    return result;
}

bool FastRingCancel(struct FastRing* ring, struct FastOperation* operation,
                    const struct FastOperation* target)
{
    struct io_uring_sqe* entry = FastRingReserve(ring, operation);
    if (entry == NULL)
        return false;
    /* user_data is set behind this, which may clear it. */
    io_uring_prep_cancel64(entry, (uintptr_t)target, 0);
    entry->user_data = (uintptr_t)operation;
    return true;
}

/* Of both the kernel must say how much it has put where: one that is wrong about that may be so
 * again. */
void FastRingDistrust(struct FastRing* ring)
{
    ring->statistics.invalidCompletions++;
    ring->engine->features &= ~(FASTRING_FEATURE_RECEIVE_BUNDLE | FASTRING_FEATURE_RECEIVE_CAP);
}

/* The turn has taken its end for an operation's. */
void FastRingPassOver(struct FastRing* ring, const struct io_uring_cqe* completion)
{
    ring->statistics.invalidCompletions++;
    if (!(completion->flags & IORING_CQE_F_MORE))
        ring->statistics.operations++;
}

/* ---- numbers ---- */

uint32_t FastRingRoundUp(uint32_t length)
{
    uint32_t result = 1;
    while (result < length)
        result *= 2;
    return result;
}

/* Programs and library may know a different number of members; those that we don't know are 0. */
void FastCopyStatistics(void* target, size_t size, const void* source, size_t known)
{
    memcpy(target, source, size < known ? size : known);
    if (size > known)
        memset((char*)target + known, 0, size - known);
}
