/*
 * Operations in flight: where they lie, how they are found, and how they end.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_OPERATION_H
#define FASTSOCKET_ENGINE_SOFT_OPERATION_H

#include "engine/soft-state.h"

/* What an operation points to beside data, kept beyond the enter that submits it. */
struct FastSoftCopy
{
    struct FastSoftCopy* next; /* among unused ones */
    struct msghdr header;
    uint32_t room;    /* vectors */
    uint32_t skipped; /* of them, since they are done */
    struct iovec vectors[];
};

/* Memory for the tables. Returns 0 or -ENOMEM. */
int FastSoftMakeOperations(struct FastSoft* soft);

/* Gives up all operations, and what they have. */
void FastSoftFreeOperations(struct FastSoft* soft);

/* An operation of this entry, in no place; NULL without memory. */
struct FastSoftOperation* FastSoftAllocate(struct FastSoft* soft, const struct io_uring_sqe* entry);

/* Appends to a circle. */
void FastSoftAppend(struct FastSoftOperation** first, struct FastSoftOperation* operation,
                    enum FastSoftPlace place);

/* Takes it out of the circle that it is in. */
void FastSoftRemove(struct FastSoftOperation** first, struct FastSoftOperation* operation);

/* To be run by the next pass; it was in no place. */
void FastSoftQueue(struct FastSoft* soft, struct FastSoftOperation* operation);

/* Makes it known by its owner, so that it can be canceled. Returns 0 or -ENOMEM. */
int FastSoftRegister(struct FastSoft* soft, struct FastSoftOperation* operation);

/* The first in flight that belongs to owner, or NULL. */
struct FastSoftOperation* FastSoftFind(const struct FastSoft* soft, uint64_t owner);

/* A completion; there must be room. */
void FastSoftPost(struct FastSoft* soft, uint64_t owner, int32_t result, uint32_t flags);

/*
 * The final completion of an operation that is in no place, with what is linked behind it: that is
 * queued to be run, or canceled where this one has failed. The operation is gone.
 */
enum FastSoftOutcome FastSoftFinish(struct FastSoft* soft, struct FastSoftOperation* operation,
                                    int32_t result, uint32_t flags);

/* A copy with room for vectors, of which address is from now on; NULL without memory. */
struct FastSoftCopy* FastSoftKeep(struct FastSoft* soft, struct FastSoftOperation* operation,
                                  uint32_t vectors);

/* Of one with FAST_SOFT_KEPT. */
static inline struct FastSoftCopy* FastSoftCopyOf(const struct FastSoftOperation* operation)
{
    return (struct FastSoftCopy*)(uintptr_t)operation->address;
}

#endif
