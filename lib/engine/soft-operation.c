/*
 * Operations in flight: where they lie, how they are found, and how they end.
 *
 * They lie in chunks that are never given back before the engine's end, so that nothing is
 * allocated once as many were in flight as there are at a time. Some chunks have small ones. Only
 * those that outlast their submission are put into the table of owners: most are over at once.
 */
#include "engine/soft-operation.h"

#include "engine/soft-look.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

enum
{
    SOFT_FIRST_CHUNKS = 16,
    SOFT_FIRST_OWNERS = 64,
    SOFT_OWNERS_PER_CHAIN = 2,
    SOFT_COPY_VECTORS = 64, /* of those that are kept for the next */
    SOFT_CHUNK_SIZE = FAST_SOFT_BYTES - 16, /* the rest is the heap's */
    SOFT_SMALL_SIZE = offsetof(struct FastSoftOperation, address),
    SOFT_MOST_BYTES = 0x7ffff000, /* MAX_RW_COUNT of the kernel's, with pages of 4 KiB */
    SOFT_LINKS = IOSQE_IO_LINK | IOSQE_IO_HARDLINK,
};

/* ---- memory ---- */

int FastSoftMakeOperations(struct FastSoft* soft)
{
    soft->operations.owners = calloc(SOFT_FIRST_OWNERS, sizeof(*soft->operations.owners));
    soft->operations.mask = SOFT_FIRST_OWNERS - 1;
    soft->operations.chunkCount = 1;
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

/* Closed alone it would stay watched, as long as somebody has the file. */
static void closeDuplicate(struct FastSoft* soft, int handle)
{
    soft->system->functions->unwatch(soft->system, handle);
    (void)soft->system->functions->close(soft->system, handle);
}

static void drop(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->state & FAST_SOFT_LOOKED)
        FastSoftForgetLook(soft, operation);
    if (operation->state & FAST_SOFT_KEPT)
        freeCopy(soft, FastSoftCopyOf(operation));
    if (operation->state & FAST_SOFT_OWN)
        closeDuplicate(soft, operation->handle);
    if (operation->state & FAST_SOFT_OWN_SOURCE)
        closeDuplicate(soft, operation->extra);
}

static void dropWhatItHas(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->state &
        (FAST_SOFT_KEPT | FAST_SOFT_OWN | FAST_SOFT_OWN_SOURCE | FAST_SOFT_LOOKED))
        drop(soft, operation);
    operation->state &= FAST_SOFT_SMALL;
}

static uint32_t sizeOf(bool small)
{
    return small ? SOFT_SMALL_SIZE : sizeof(struct FastSoftOperation);
}

static void freeChunk(struct FastSoft* soft, uint32_t index)
{
    uint32_t first = index * FAST_SOFT_BYTES;
    uint32_t size = sizeOf(FastSoftAt(soft, first)->state & FAST_SOFT_SMALL);
    for (uint32_t place = 0; place + size <= SOFT_CHUNK_SIZE; place += size)
        dropWhatItHas(soft, FastSoftAt(soft, first + place));
    free(soft->operations.chunks[index]);
}

void FastSoftFreeOperations(struct FastSoft* soft)
{
    while (soft->operations.chunkCount > 1)
        freeChunk(soft, --soft->operations.chunkCount);
    free(soft->operations.chunks);
    soft->operations.chunks = NULL;
    while (soft->copies != NULL) {
        struct FastSoftCopy* copy = soft->copies;
        soft->copies = copy->next;
        free(copy);
    }
    free(soft->operations.owners);
    soft->operations.owners = NULL;
    soft->operations.free[false] = NULL;
    soft->operations.free[true] = NULL;
    soft->queue.first = NULL;
    soft->chain = NULL;
}

/* They double from the first, whose number is a power of two, as that of those that follow is. */
static bool growChunks(struct FastSoft* soft)
{
    uint32_t count = soft->operations.chunkCount;
    if (soft->operations.chunks != NULL && (count < SOFT_FIRST_CHUNKS || count & (count - 1)))
        return true;
    size_t room = count < SOFT_FIRST_CHUNKS ? SOFT_FIRST_CHUNKS : (size_t)count * 2;
    char** chunks = realloc(soft->operations.chunks, room * sizeof(*chunks));
    if (chunks == NULL)
        return false;
    soft->operations.chunks = chunks;
    return true;
}

static void push(struct FastSoft* soft, struct FastSoftOperation* operation, bool small)
{
    operation->nextFree = soft->operations.free[small];
    soft->operations.free[small] = operation;
}

static bool addChunk(struct FastSoft* soft, bool small)
{
    uint32_t index = soft->operations.chunkCount;
    char* chunk = NULL;
    if (index < UINT32_MAX / FAST_SOFT_BYTES && growChunks(soft))
        chunk = calloc(1, SOFT_CHUNK_SIZE);
    if (chunk == NULL)
        return false;
    soft->operations.chunks[index] = chunk;
    soft->operations.chunkCount++;
    uint32_t size = sizeOf(small);
    for (uint32_t count = SOFT_CHUNK_SIZE / size; count > 0; count--) {
        uint32_t number = index * FAST_SOFT_BYTES + (count - 1) * size;
        struct FastSoftOperation* operation = FastSoftAt(soft, number);
        operation->self = number;
        operation->state = small ? FAST_SOFT_SMALL : 0;
        push(soft, operation, small);
    }
    return true;
}

/* Those that idle connections have: they point to nothing. */
static bool isSmall(const struct io_uring_sqe* entry)
{
    bool pointless = entry->opcode == IORING_OP_RECV ? entry->ioprio & IORING_RECV_MULTISHOT
                                                     : entry->opcode == IORING_OP_POLL_ADD;
    return pointless && !(entry->flags & SOFT_LINKS);
}

/* The two halves of a poll's events change places on big-endian machines. */
static uint32_t optionsOf(const struct io_uring_sqe* entry)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    if (entry->opcode == IORING_OP_POLL_ADD)
        return entry->poll32_events << 16 | entry->poll32_events >> 16;
#endif
    return entry->msg_flags;
}

struct FastSoftOperation* FastSoftAllocate(struct FastSoft* soft, const struct io_uring_sqe* entry,
                                           bool held)
{
    bool small = !held && isSmall(entry);
    if (soft->operations.free[small] == NULL && !addChunk(soft, small))
        return NULL;
    struct FastSoftOperation* operation = soft->operations.free[small];
    soft->operations.free[small] = operation->nextFree;
    operation->owner = entry->user_data;
    operation->handle = entry->fd;
    operation->length = entry->len;
    operation->options = optionsOf(entry);
    operation->extra = entry->splice_fd_in;
    operation->done = 0;
    operation->priority = (uint8_t)entry->ioprio;
    operation->group = entry->buf_group;
    operation->opcode = entry->opcode;
    operation->flags = entry->flags;
    operation->place = FAST_SOFT_NOWHERE;
    if (small)
        return operation;
    operation->state = held ? FAST_SOFT_HELD : 0;
    operation->address = entry->addr;
    operation->offset = entry->off;
    operation->linked = 0;
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

void FastSoftCopyHeader(struct FastSoftCopy* copy, const struct msghdr* message)
{
    size_t left = SOFT_MOST_BYTES;
    copy->header = *message;
    copy->header.msg_iov = copy->vectors;
    for (size_t index = 0; index < (size_t)message->msg_iovlen; index++) {
        struct iovec* vector = &copy->vectors[index];
        if (vector->iov_len > left)
            vector->iov_len = left;
        left -= vector->iov_len;
    }
}

void FastSoftSkipBytes(struct FastSoftCopy* copy, size_t bytes)
{
    struct iovec* vector = copy->vectors + copy->skipped;
    while (copy->header.msg_iovlen > 0 && bytes >= vector->iov_len) {
        bytes -= vector->iov_len;
        vector++;
        copy->skipped++;
        copy->header.msg_iovlen--;
    }
    if (copy->header.msg_iovlen > 0) {
        vector->iov_base = (char*)vector->iov_base + bytes;
        vector->iov_len -= bytes;
    }
    copy->header.msg_iov = vector;
}

/* There are not many: each has made a completion at least, in one enter. */
void FastSoftRemoveLater(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    struct FastSoftQueue all = soft->later;
    soft->later.first = NULL;
    while (all.first != NULL) {
        struct FastSoftOperation* first = FastSoftTakeFirst(soft, &all);
        if (first != operation)
            FastSoftAppend(&soft->later, first, FAST_SOFT_LATER);
    }
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
    uint32_t* chain = &soft->operations.owners[chainOf(soft, operation->owner)];
    while (*chain != 0) /* the oldest of an owner's is the first to be found */
        chain = &FastSoftAt(soft, *chain)->sameOwner;
    operation->sameOwner = 0;
    *chain = operation->self;
}

static int growTable(struct FastSoft* soft)
{
    uint32_t* old = soft->operations.owners;
    uint32_t oldCount = soft->operations.mask + 1;
    uint32_t* owners = calloc((size_t)oldCount * 2, sizeof(*owners));
    if (owners == NULL)
        return -ENOMEM;
    soft->operations.owners = owners;
    soft->operations.mask = oldCount * 2 - 1;
    for (uint32_t index = 0; index < oldCount; index++) {
        struct FastSoftOperation* operation = FastSoftIfAny(soft, old[index]);
        while (operation != NULL) {
            struct FastSoftOperation* next = FastSoftIfAny(soft, operation->sameOwner);
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
    if (soft->operations.count / SOFT_OWNERS_PER_CHAIN > soft->operations.mask &&
        growTable(soft) < 0)
        return -ENOMEM;
    enterTable(soft, operation);
    operation->state |= FAST_SOFT_FOUND;
    soft->operations.count++;
    return 0;
}

static void unregister(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    uint32_t* place = &soft->operations.owners[chainOf(soft, operation->owner)];
    while (*place != operation->self)
        place = &FastSoftAt(soft, *place)->sameOwner;
    *place = operation->sameOwner;
    soft->operations.count--;
}

struct FastSoftOperation* FastSoftFind(const struct FastSoft* soft, uint64_t owner)
{
    uint32_t number = soft->operations.owners[chainOf(soft, owner)];
    struct FastSoftOperation* operation = FastSoftIfAny(soft, number);
    while (operation != NULL && operation->owner != owner)
        operation = FastSoftIfAny(soft, operation->sameOwner);
    return operation;
}

/* ---- the end ---- */

/* What has none by its flags may have no place for it. */
static struct FastSoftOperation* linkedOf(const struct FastSoft* soft,
                                          const struct FastSoftOperation* operation)
{
    bool links = operation->flags & SOFT_LINKS;
    return links ? FastSoftIfAny(soft, operation->linked) : NULL;
}

/* What is linked is queued in order; one that is canceled needs room for its completion, too. */
static void queueLinked(struct FastSoft* soft, struct FastSoftOperation* linked, bool cancel)
{
    if (linked == NULL)
        return;
    if (!cancel) {
        FastSoftEnqueue(soft, linked);
        return;
    }
    while (linked != NULL) {
        struct FastSoftOperation* next = linkedOf(soft, linked);
        if (next != NULL)
            linked->linked = 0;
        linked->state |= FAST_SOFT_CANCELED;
        FastSoftEnqueue(soft, linked);
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
    struct FastSoftOperation* linked = linkedOf(soft, operation);
    bool hard = operation->flags & IOSQE_IO_HARDLINK;
    dropWhatItHas(soft, operation);
    push(soft, operation, operation->state & FAST_SOFT_SMALL);
    queueLinked(soft, linked, failed && !hard);
    return FAST_SOFT_OVER;
}
