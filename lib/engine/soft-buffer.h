/*
 * Buffer rings, read as the kernel reads them, and who waits for a buffer.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_BUFFER_H
#define FASTSOCKET_ENGINE_SOFT_BUFFER_H

#include "engine/soft-operation.h"

/* entries is a power of two. Returns 0, -EEXIST or -ENOMEM. */
int FastSoftAddGroup(struct FastSoft* soft, uint16_t id, void* memory, uint32_t entries);

/* One of them, if it is there, whose line is queued to be told; or all at the engine's end. */
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

/* Takes the next entries; the completion that is made next tells of them. */
static inline void FastSoftTake(const struct FastSoft* soft, struct FastSoftGroup* group,
                                uint32_t count)
{
    group->head = (uint16_t)(group->head + count);
    group->taken = soft->completionTail + 1;
}

/* A completion that tells of entries taken is there, and not yet seen: their owner may still put
 * others. */
static inline bool FastSoftIsAwaited(const struct FastSoft* soft, const struct FastSoftGroup* group)
{
    unsigned unseen = soft->completionTail - soft->completionHead;
    return soft->completionTail - group->taken < unseen;
}

/* ---- the line of those that wait for a buffer ---- */

/* To its end; the operation is in no place, and its group is there. */
void FastSoftStarve(struct FastSoft* soft, struct FastSoftOperation* operation);

/* Its first, which is there, and in no place from then on. */
struct FastSoftOperation* FastSoftTakeStarving(struct FastSoft* soft, struct FastSoftGroup* group);

/* Queues those that were canceled, of all lines. */
void FastSoftQueueCanceled(struct FastSoft* soft);

#endif
