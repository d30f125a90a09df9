/*
 * Buffer groups: for operations of users, whose completions name buffers of a provider.
 */
#ifndef FASTSOCKET_RING_GROUP_H
#define FASTSOCKET_RING_GROUP_H

#include "ring/base.h"

struct FastRingGroup
{
    struct FastRingGroup* next;
    uint16_t id;
    /* Its buffers' ids, from the first to before the end: a lent group with its id has others. */
    uint16_t firstBuffer;
    uint32_t endBuffer;
    uint64_t first; /* completions before this one name buffers of another that had the id before */
    /* Of a lent one: what got the id then, borrowed for it. */
    struct FastRingGroup* successor;

    /*
     * A completion of a user's operation is about to be reported: the buffer id, and those behind
     * it if it is a bundle of length bytes, are the user's from now on. Returns the user_data by
     * which the completion, and no later one of the same buffer, is known when they are advanced;
     * or 0, with the buffers back in their ring, if the completion can't be true.
     */
    uint64_t (*claim)(struct FastRingGroup* group, uint16_t id, size_t length, bool bundle);

    /* Nobody has taken what was claimed so: it goes back into its ring. What was advanced is left
     * alone. */
    void (*unclaim)(struct FastRingGroup* group, uint16_t id, size_t length, bool bundle);

    /* A user's operation is about to take of its buffers: all are to be there from now on. */
    void (*fill)(struct FastRingGroup* group);

    /* Such an operation is in the kernel, which may have taken a buffer for it long before it
     * completes: the buffers live until it is over, though the group may end. */
    void (*borrow)(struct FastRingGroup* group);
    void (*giveBack)(struct FastRingGroup* group);
};

/* The group's id must be free. */
void FastRingAddGroup(struct FastRing* ring, struct FastRingGroup* group);

/* Harmless if it was not added. */
void FastRingRemoveGroup(struct FastRing* ring, struct FastRingGroup* group);

/* The group that has this id now, or NULL. */
struct FastRingGroup* FastRingFindGroup(const struct FastRing* ring, uint16_t id);

/* The group whose buffer the completion which is being handled may name; NULL: none of ours, or
 * one that is lent. */
struct FastRingGroup* FastRingFindNamedGroup(const struct FastRing* ring, uint16_t id,
                                             uint16_t buffer);

/* A group has ended, and was removed: operations in the kernel may still have buffers of it. */
void FastRingLendGroup(struct FastRing* ring, struct FastRingGroup* group);

/* None have any more, and it goes. Harmless if it was not lent. */
void FastRingEndLoan(struct FastRing* ring, struct FastRingGroup* group);

/* Whether an operation in the kernel names a group that has ended by this id. */
bool FastRingGroupIsLent(const struct FastRing* ring, uint16_t id);

/* The first of so many buffer ids in a row that no lent group with this id has; there may be too
 * few behind it. */
uint32_t FastRingFreeBuffers(const struct FastRing* ring, uint16_t id, uint32_t count);

/* The group was added, and an operation in the kernel that names its id may take of it: it is
 * borrowed by the lent group that such an operation has borrowed, until that goes. */
void FastRingSucceed(struct FastRing* ring, struct FastRingGroup* group);

/* The number of the next completion to come; to be asked before a group's first buffer is
 * published. */
uint64_t FastRingNextCompletion(const struct FastRing* ring);

#endif
