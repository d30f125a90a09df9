/*
 * Values that are kept once.
 *
 * Good path: what is asked for is what was asked for last, or among the few before. The ring has a
 * reference to each of these, so that a program that has one connection at a time makes them
 * once, too.
 *
 * Failures: more of them in turn than are remembered: then there are copies, which is a matter of
 * memory alone. Members outlive their ring, and may be released by any thread: so references are
 * atomic, and what is remembered is the ring's thread's.
 */
#include "ring/shared.h"

#include <stdlib.h>
#include <string.h>

struct FastShared
{
    atomic_uint references;
    uint32_t size;
    unsigned char values[];
};

static struct FastShared* sharedOf(const void* values)
{
    return FAST_CONTAINER(values, struct FastShared, values);
}

static struct FastShared* find(const struct FastRing* ring, const void* values, size_t size)
{
    for (size_t index = 0; index < FAST_RING_SHARED; index++) {
        struct FastShared* shared = ring->shared.latest[index];
        if (shared != NULL && shared->size == size && memcmp(shared->values, values, size) == 0)
            return shared;
    }
    return NULL;
}

/* In the place of the one that was made longest ago. */
static void remember(struct FastRing* ring, struct FastShared* shared)
{
    struct FastShared** place = &ring->shared.latest[ring->shared.next++ % FAST_RING_SHARED];
    if (*place != NULL)
        FastRingUnshare((*place)->values);
    *place = shared;
}

const void* FastRingShare(struct FastRing* ring, const void* values, size_t size)
{
    struct FastShared* shared = find(ring, values, size);
    if (shared == NULL) {
        shared = malloc(sizeof(*shared) + size);
        if (shared == NULL)
            return NULL;
        atomic_init(&shared->references, 1);
        shared->size = (uint32_t)size;
        memcpy(shared->values, values, size);
        remember(ring, shared);
    }
    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return shared->values;
}

void FastRingUnshare(const void* values)
{
    struct FastShared* shared = sharedOf(values);
    if (atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) == 1)
        free(shared);
}

void FastRingForgetShared(struct FastRing* ring)
{
    for (size_t index = 0; index < FAST_RING_SHARED; index++)
        if (ring->shared.latest[index] != NULL) {
            FastRingUnshare(ring->shared.latest[index]->values);
            ring->shared.latest[index] = NULL;
        }
}
