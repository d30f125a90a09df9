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
static inline void FastSoftAppend(struct FastSoftOperation** first,
                                  struct FastSoftOperation* operation, enum FastSoftPlace place)
{
    operation->place = (uint8_t)place;
    if (*first == NULL) {
        operation->next = operation;
        operation->previous = operation;
        *first = operation;
        return;
    }
    struct FastSoftOperation* last = (*first)->previous;
    operation->next = *first;
    operation->previous = last;
    last->next = operation;
    (*first)->previous = operation;
}

/* Takes it out of the circle that it is in. */
static inline void FastSoftRemove(struct FastSoftOperation** first,
                                  struct FastSoftOperation* operation)
{
    operation->place = FAST_SOFT_NOWHERE;
    if (operation->next == operation) {
        *first = NULL;
        return;
    }
    operation->previous->next = operation->next;
    operation->next->previous = operation->previous;
    if (*first == operation)
        *first = operation->next;
}

/* To be run by the next pass; it was in no place. */
static inline void FastSoftQueue(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    FastSoftAppend(&soft->queue, operation, FAST_SOFT_QUEUED);
}

/* Makes it known by its owner, so that it can be canceled. Returns 0 or -ENOMEM. */
int FastSoftRegister(struct FastSoft* soft, struct FastSoftOperation* operation);

/* The first in flight that belongs to owner, or NULL. */
struct FastSoftOperation* FastSoftFind(const struct FastSoft* soft, uint64_t owner);

/* A completion; there must be room. */
static inline void FastSoftPost(struct FastSoft* soft, uint64_t owner, int32_t result,
                                uint32_t flags)
{
    struct io_uring_cqe* completion =
        &soft->base.completion.entries[soft->completionTail & soft->base.completion.mask];
    completion->user_data = owner;
    completion->res = result;
    completion->flags = flags;
    soft->completionTail++;
}

/*
 * The final completion of an operation that is in no place, with what is linked behind it: that is
 * queued to be run, or canceled where this one has failed. The operation is gone.
 */
enum FastSoftOutcome FastSoftFinish(struct FastSoft* soft, struct FastSoftOperation* operation,
                                    int32_t result, uint32_t flags);

/* A copy with room for vectors, of which address is from now on; NULL without memory. */
struct FastSoftCopy* FastSoftKeep(struct FastSoft* soft, struct FastSoftOperation* operation,
                                  uint32_t vectors);

/* The flags of a completion that names the buffer, if one was taken for good before: its number is
 * kept in extra. */
static inline uint32_t FastSoftBufferFlags(const struct FastSoftOperation* operation)
{
    return operation->state & FAST_SOFT_TAKEN
               ? IORING_CQE_F_BUFFER | (uint32_t)operation->extra << IORING_CQE_BUFFER_SHIFT
               : 0;
}

/* Of one with FAST_SOFT_KEPT. */
static inline struct FastSoftCopy* FastSoftCopyOf(const struct FastSoftOperation* operation)
{
    return (struct FastSoftCopy*)(uintptr_t)operation->address;
}

#endif
