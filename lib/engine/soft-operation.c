/*
 * Operations in flight: where they lie, how they are found, and how they end.
 *
 * They lie in chunks that are never given back before the engine's end, so that nothing is
 * allocated once as many were in flight as there are at a time. Only those that outlast their
 * submission are put into the table of owners: most are over at once.
 */
#include "engine/soft-operation.h"

#include <errno.h>
#include <stdlib.h>

enum
{
    SOFT_FIRST_OWNERS = 64,
    SOFT_COPY_VECTORS = 64, /* of those that are kept for the next */
};

struct FastSoftChunk
{
    struct FastSoftChunk* next;
    struct FastSoftOperation operations[FAST_SOFT_CHUNK];
};

/* ---- memory ---- */

int FastSoftMakeOperations(struct FastSoft* soft)
{
    soft->operations.owners = calloc(SOFT_FIRST_OWNERS, sizeof(struct FastSoftOperation*));
    soft->operations.mask = SOFT_FIRST_OWNERS - 1;
    return soft->operations.owners != NULL ? 0 : -ENOMEM;
}

static void freeCopy(struct FastSoft* soft, struct FastSoftCopy* copy)
{
    if (copy->room != SOFT_COPY_VECTORS) {
        free(copy);
        return;
    }
    copy->next = soft->copies;
    soft->copies = copy;
}

static void dropWhatItHas(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->state & FAST_SOFT_KEPT)
        freeCopy(soft, FastSoftCopyOf(operation));
    if (operation->state & FAST_SOFT_OWN) {
        /* Closed alone it would stay watched, as long as somebody has the file. */
        soft->system->functions->unwatch(soft->system, operation->handle);
        (void)soft->system->functions->close(soft->system, operation->handle);
    }
    operation->state = 0;
}

void FastSoftFreeOperations(struct FastSoft* soft)
{
    while (soft->operations.chunks != NULL) {
        struct FastSoftChunk* chunk = soft->operations.chunks;
        soft->operations.chunks = chunk->next;
        for (int index = 0; index < FAST_SOFT_CHUNK; index++)
            dropWhatItHas(soft, &chunk->operations[index]);
        free(chunk);
    }
    while (soft->copies != NULL) {
        struct FastSoftCopy* copy = soft->copies;
        soft->copies = copy->next;
        free(copy);
    }
    free(soft->operations.owners);
    soft->operations.owners = NULL;
    soft->operations.free = NULL;
    soft->queue = NULL;
    soft->chain = NULL;
}

static bool addChunk(struct FastSoft* soft)
{
    struct FastSoftChunk* chunk = calloc(1, sizeof(*chunk));
    if (chunk == NULL)
        return false;
    chunk->next = soft->operations.chunks;
    soft->operations.chunks = chunk;
    for (int index = FAST_SOFT_CHUNK; index > 0; index--) {
        struct FastSoftOperation* operation = &chunk->operations[index - 1];
        operation->next = soft->operations.free;
        soft->operations.free = operation;
    }
    return true;
}

struct FastSoftOperation* FastSoftAllocate(struct FastSoft* soft, const struct io_uring_sqe* entry)
{
    if (soft->operations.free == NULL && !addChunk(soft))
        return NULL;
    struct FastSoftOperation* operation = soft->operations.free;
    soft->operations.free = operation->next;
    operation->owner = entry->user_data;
    operation->address = entry->addr;
    operation->offset = entry->off;
    operation->linked = NULL;
    operation->handle = entry->fd;
    operation->length = entry->len;
    operation->options = entry->msg_flags;
    operation->extra = entry->splice_fd_in;
    operation->done = 0;
    operation->priority = entry->ioprio;
    operation->group = entry->buf_group;
    operation->opcode = entry->opcode;
    operation->flags = entry->flags;
    operation->place = FAST_SOFT_NOWHERE;
    operation->state = 0;
    return operation;
}

static struct FastSoftCopy* takeCopy(struct FastSoft* soft, uint32_t vectors)
{
    struct FastSoftCopy* copy = soft->copies;
    if (vectors <= SOFT_COPY_VECTORS && copy != NULL) {
        soft->copies = copy->next;
        return copy;
    }
    uint32_t room = vectors > SOFT_COPY_VECTORS ? vectors : SOFT_COPY_VECTORS;
    copy = malloc(sizeof(*copy) + room * sizeof(copy->vectors[0]));
    if (copy != NULL)
        copy->room = room;
    return copy;
}

struct FastSoftCopy* FastSoftKeep(struct FastSoft* soft, struct FastSoftOperation* operation,
                                  uint32_t vectors)
{
    struct FastSoftCopy* copy = takeCopy(soft, vectors);
    if (copy == NULL)
        return NULL;
    copy->skipped = 0;
    operation->address = (uintptr_t)copy;
    operation->state |= FAST_SOFT_KEPT;
    return copy;
}

/* ---- the table of owners ---- */

/* Owners are addresses mostly, whose low bits say little. */
static uint32_t chainOf(const struct FastSoft* soft, uint64_t owner)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(owner * factor >> 32) & soft->operations.mask;
}

static void enterTable(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    struct FastSoftOperation** chain =
        &soft->operations.owners[chainOf(soft, operation->owner)];
    while (*chain != NULL)
        chain = &(*chain)->sameOwner; /* the oldest of an owner's is the first to be found */
    operation->sameOwner = NULL;
    *chain = operation;
}

static int growTable(struct FastSoft* soft)
{
    struct FastSoftOperation** old = soft->operations.owners;
    uint32_t oldCount = soft->operations.mask + 1;
    struct FastSoftOperation** owners =
        calloc((size_t)oldCount * 2, sizeof(struct FastSoftOperation*));
    if (owners == NULL)
        return -ENOMEM;
    soft->operations.owners = owners;
    soft->operations.mask = oldCount * 2 - 1;
    for (uint32_t index = 0; index < oldCount; index++) {
        struct FastSoftOperation* operation = old[index];
        while (operation != NULL) {
            struct FastSoftOperation* next = operation->sameOwner;
            enterTable(soft, operation);
            operation = next;
        }
    }
    free(old);
    return 0;
}

int FastSoftRegister(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->state & FAST_SOFT_FOUND)
        return 0;
    if (soft->operations.count > soft->operations.mask && growTable(soft) < 0)
        return -ENOMEM;
    enterTable(soft, operation);
    operation->state |= FAST_SOFT_FOUND;
    soft->operations.count++;
    return 0;
}

static void unregister(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    struct FastSoftOperation** place =
        &soft->operations.owners[chainOf(soft, operation->owner)];
    while (*place != operation)
        place = &(*place)->sameOwner;
    *place = operation->sameOwner;
    soft->operations.count--;
}

struct FastSoftOperation* FastSoftFind(const struct FastSoft* soft, uint64_t owner)
{
    struct FastSoftOperation* operation = soft->operations.owners[chainOf(soft, owner)];
    while (operation != NULL && operation->owner != owner)
        operation = operation->sameOwner;
    return operation;
}

/* ---- the end ---- */

/* What is linked is queued in order; one that is canceled needs room for its completion, too. */
static void queueLinked(struct FastSoft* soft, struct FastSoftOperation* linked, bool cancel)
{
    if (linked == NULL)
        return;
    if (!cancel) {
        FastSoftQueue(soft, linked);
        return;
    }
    while (linked != NULL) {
        struct FastSoftOperation* next = linked->linked;
        linked->linked = NULL;
        linked->state |= FAST_SOFT_CANCELED;
        FastSoftQueue(soft, linked);
        linked = next;
    }
}

enum FastSoftOutcome FastSoftFinish(struct FastSoft* soft, struct FastSoftOperation* operation,
                                    int32_t result, uint32_t flags)
{
    bool failed = result < 0 || operation->state & FAST_SOFT_SHORT;
    if (failed || !(operation->flags & IOSQE_CQE_SKIP_SUCCESS))
        FastSoftPost(soft, operation->owner, result, flags);
    if (operation->state & FAST_SOFT_FOUND)
        unregister(soft, operation);
    struct FastSoftOperation* linked = operation->linked;
    bool hard = operation->flags & IOSQE_IO_HARDLINK;
    dropWhatItHas(soft, operation);
    operation->next = soft->operations.free;
    soft->operations.free = operation;
    queueLinked(soft, linked, failed && !hard);
    return FAST_SOFT_OVER;
}
