/*
 * Sends without a copy: whether to try, and who keeps the memory meanwhile.
 *
 * Good path: an operation of some size is submitted with zero copy, and a batch holds a reference to each
 * of its buffers. Two completions come: the first tells how many bytes the kernel accepted, and lets the
 * next send start; the second, a notification, tells that the memory is free again. It may come late and
 * in any order, after the socket's end too: the batch waits for it on its own.
 *
 * Failures: a kind of socket that can't (EOPNOTSUPP, EINVAL) is sent to by copying from then on; for want
 * of memory (ENOMEM, ENOBUFS) zero copy rests for some operations. Where the kernel reports that it
 * copied all the same, several times in a row, zero copy costs more than it saves, and is given up. An
 * error may come with a notification or without: the flags alone tell.
 */
#include "socket/item.h"
#include "engine/uring-compat.h"

#include <errno.h>

enum
{
    ZERO_COPY_REST = 64,       /* operations without it, after a refusal for want of memory */
    ZERO_COPY_MOST_COPIED = 8, /* in a row, until it is given up */
};

/* The buffers of one operation with zero copy, until the kernel gives them back. */
struct batch
{
    struct FastOperation operation;
    struct batch* next;        /* of the socket's */
    struct FastSocket* socket; /* held */
    struct FastBuffer* home;
    struct FastItem* item; /* a message's; NULL: a stream's gather */
    bool accepted;         /* the first completion is in */
    uint32_t count;
    struct FastBuffer* held[];
};

/* ---- whether ---- */

bool FastZeroCopyIsChosen(struct FastSocket* socket, size_t size, int flags, bool vector)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    uint64_t features = FastRingEngine(socket->ring)->features;
    uint64_t needed = vector ? FASTRING_FEATURE_SENDMSG_ZERO_COPY : FASTRING_FEATURE_SEND_ZERO_COPY;
    bool wanted = flags & MSG_ZEROCOPY ||
                  (socket->mode & FASTSOCKET_MODE_ZERO_COPY && size >= outbound->threshold);
    if (!wanted || size == 0 || !socket->zeroCopies || outbound->never || !(features & needed))
        return false;
    if (outbound->rest > 0) {
        outbound->rest--;
        return false;
    }
    return true;
}

bool FastZeroCopyFallsBack(struct FastSocket* socket, int error)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    switch (error) {
    case EOPNOTSUPP:
    case EINVAL:
        outbound->never = true;
        return true;
    case ENOMEM:
    case ENOBUFS:
        outbound->rest = ZERO_COPY_REST;
        return true;
    default:
        return false;
    }
}

/* ---- batches ---- */

static void freeBatch(struct batch* batch)
{
    struct batch** place = &batch->socket->outbound.batches;
    while (*place != batch)
        place = &(*place)->next; /* few are out at a time */
    *place = batch->next;
    struct FastBuffer* home = batch->home;
    for (uint32_t index = 0; index < batch->count; index++)
        ReleaseFastBuffer(batch->held[index]);
    ReleaseFastBuffer(home);
}

void FastSocketLeakBatches(struct FastSocket* socket)
{
    for (const struct batch* batch = socket->outbound.batches; batch != NULL; batch = batch->next)
        FastRingLeak(batch->home);
}

static void noteUsage(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    if (!((uint32_t)completion->res & FAST_URING_NOTIF_USAGE_ZC_COPIED)) {
        outbound->copied = 0;
        return;
    }
    socket->statistics.copiedZeroCopy++;
    if (++outbound->copied >= ZERO_COPY_MOST_COPIED)
        outbound->never = true;
}

/* Two completions: bytes or errno, then memory back; or an error alone. Only the flags tell. */
static void onZeroCopy(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct batch* batch = FAST_CONTAINER(operation, struct batch, operation);
    struct FastSocket* socket = batch->socket;
    bool over = !(completion->flags & IORING_CQE_F_MORE);
    if (completion->flags & IORING_CQE_F_NOTIF)
        noteUsage(socket, completion);
    else if (!batch->accepted) {
        batch->accepted = true;
        FastSocketFinishSend(socket, batch->item, completion->res, true);
    }
    if (!over)
        return;
    freeBatch(batch);
    FastSocketDrop(socket);
}

struct FastOperation* FastZeroCopyBegin(struct FastSocket* socket, struct FastItem* message,
                                        const struct FastItem* items, uint32_t count)
{
    struct FastBufferPool* pool = socket->outbound.pool;
    if (pool == NULL)
        pool = socket->inbound.pool;
    struct FastBuffer* home =
        AllocateFastBuffer(pool, sizeof(struct batch) + count * sizeof(struct FastBuffer*), 0);
    if (home == NULL)
        return NULL;
    struct batch* batch = (struct batch*)GetFastBufferData(home);
    *batch = (struct batch){
        .operation.function = onZeroCopy,
        .socket = socket,
        .home = home,
        .item = message,
        .next = socket->outbound.batches,
    };
    socket->outbound.batches = batch;
    for (const struct FastItem* item = items; batch->count < count; item = item->next)
        batch->held[batch->count++] = HoldFastBuffer(item->payload);
    return &batch->operation;
}
