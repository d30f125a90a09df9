/*
 * Operations in flight: where they lie, how they are found, and how they end.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_OPERATION_H
#define FASTSOCKET_ENGINE_SOFT_OPERATION_H

#include "engine/soft-state.h"

#include <string.h>

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

/* An operation of this entry, in no place; NULL without memory. held: FAST_SOFT_HELD. */
struct FastSoftOperation* FastSoftAllocate(struct FastSoft* soft, const struct io_uring_sqe* entry,
                                           bool held);

/* The operation of a number: a chunk's, and a place in it. */
static inline struct FastSoftOperation* FastSoftAt(const struct FastSoft* soft, uint32_t number)
{
    char* chunk = soft->operations.chunks[number / FAST_SOFT_BYTES];
    return (struct FastSoftOperation*)(void*)(chunk + number % FAST_SOFT_BYTES);
}

/* The same, or NULL for 0. */
static inline struct FastSoftOperation* FastSoftIfAny(const struct FastSoft* soft, uint32_t number)
{
    return number != 0 ? FastSoftAt(soft, number) : NULL;
}

/* To the end of a queue; it was in no place. */
static inline void FastSoftAppend(struct FastSoftQueue* queue, struct FastSoftOperation* operation,
                                  enum FastSoftPlace place)
{
    operation->place = (uint8_t)place;
    if (queue->first == NULL)
        queue->first = operation;
    else
        queue->last->next = operation->self;
    queue->last = operation;
}

/* The first of a queue, which has one. */
static inline struct FastSoftOperation* FastSoftTakeFirst(const struct FastSoft* soft,
                                                          struct FastSoftQueue* queue)
{
    struct FastSoftOperation* first = queue->first;
    queue->first = first != queue->last ? FastSoftAt(soft, first->next) : NULL;
    first->place = FAST_SOFT_NOWHERE;
    return first;
}

/* Out of the middle of those that are run later. */
void FastSoftRemoveLater(struct FastSoft* soft, const struct FastSoftOperation* operation);

/* To be run by the next pass; it was in no place. */
static inline void FastSoftEnqueue(struct FastSoft* soft, struct FastSoftOperation* operation)
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

/* The copy is that of a header, whose vectors are in it already: of not more bytes than one call of
 * the system's takes, since a result can count no more. */
void FastSoftCopyHeader(struct FastSoftCopy* copy, const struct msghdr* message);

/* So many bytes are done: the vectors are about the rest. */
void FastSoftSkipBytes(struct FastSoftCopy* copy, size_t bytes);

/* The flags of a completion that names the buffer, if one was taken for good before: its number is
 * kept in extra. */
static inline uint32_t FastSoftBufferFlags(const struct FastSoftOperation* operation)
{
    return operation->state & FAST_SOFT_TAKEN
               ? IORING_CQE_F_BUFFER | (uint32_t)operation->extra << IORING_CQE_BUFFER_SHIFT
               : 0;
}

/* The descriptor that was submitted, also where the operation goes on with a duplicate, which is
 * nobody's but ours. A poll, which counts no bytes, may have no other place for it than done. */
static inline int FastSoftSubmittedHandle(const struct FastSoftOperation* operation)
{
    if (!(operation->state & FAST_SOFT_OWN))
        return operation->handle;
    return operation->opcode == IORING_OP_POLL_ADD ? (int)operation->done : operation->number;
}

/* Of a send to an address: addr_len is the first half of what extra is, whichever half that is to
 * the machine. */
static inline uint16_t FastSoftNameLength(const struct FastSoftOperation* operation)
{
    uint16_t length;
    memcpy(&length, &operation->extra, sizeof(length));
    return length;
}

/* Of one with FAST_SOFT_KEPT. */
static inline struct FastSoftCopy* FastSoftCopyOf(const struct FastSoftOperation* operation)
{
    return (struct FastSoftCopy*)(uintptr_t)operation->address;
}

#endif
