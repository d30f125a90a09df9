/*
 * Buffer rings, read as the kernel reads them.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_BUFFER_H
#define FASTSOCKET_ENGINE_SOFT_BUFFER_H

#include "engine/soft-state.h"

/* entries is a power of two. Returns 0, -EEXIST or -ENOMEM. */
int FastSoftAddGroup(struct FastSoft* soft, uint16_t id, void* memory, uint32_t entries);

/* One of them, if it is there, or all at the engine's end. */
void FastSoftRemoveGroup(struct FastSoft* soft, uint16_t id);
void FastSoftFreeGroups(struct FastSoft* soft);

/* NULL: there is none of this number. */
static inline struct FastSoftGroup* FastSoftFindGroup(const struct FastSoft* soft, uint16_t id)
{
    for (uint32_t index = 0; index < soft->groups.count; index++)
        if (soft->groups.array[index].id == id)
            return &soft->groups.array[index];
    return NULL;
}

/* Entries that were put into the ring and not yet taken; 0 without a group. */
static inline uint32_t FastSoftAvailable(const struct FastSoftGroup* group)
{
    if (group == NULL)
        return 0;
    uint16_t tail = __atomic_load_n(&group->ring->tail, __ATOMIC_ACQUIRE);
    return (uint16_t)(tail - group->head);
}

/* An entry that is available, counted from the next. */
static inline const struct io_uring_buf* FastSoftBuffer(const struct FastSoftGroup* group,
                                                        uint32_t index)
{
    return &group->ring->bufs[(group->head + index) & group->mask];
}

#endif
