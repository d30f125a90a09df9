/*
 * What can't wait for the next turn.
 *
 * Good path: who gives up a descriptor has the operation on it canceled by one enter of its own,
 * which does not wait. The completions stay in the queue and are handled by the next turn as ever;
 * but once the final one is there, the kernel has let go of the file. A completion may also be
 * taken out of the queue before its turn: its place is then given to nobody.
 *
 * An enter that only submits would not do: with deferred task work the file is kept until the work
 * is run, which is what asking for events does (6.18; IORING_REGISTER_SYNC_CANCEL keeps it
 * likewise).
 *
 * Failures: the target has not entered the kernel yet, since that lacked memory: it becomes one
 * that does nothing but fail. A wake-up is just making the target's completion on another
 * processor: entered again, some hundred times at most. The kernel takes nothing, or the queue
 * overflows: the caller learns that the end comes later.
 */
#include "ring/now.h"

enum
{
    NOW_ENTERS = 256,
};

static void ignore(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    (void)operation;
    (void)completion;
}

static struct FastOperation nobody = {.function = ignore};

/* The final completion of an operation, if it is in the queue: the newest are looked at first. */
static struct io_uring_cqe* findEnd(const struct FastRing* ring,
                                    const struct FastOperation* operation)
{
    const struct FastEngine* engine = ring->engine;
    unsigned head = *engine->completion.head;
    unsigned tail = __atomic_load_n(engine->completion.tail, __ATOMIC_ACQUIRE);
    while (tail != head) {
        struct io_uring_cqe* entry = &engine->completion.entries[--tail & engine->completion.mask];
        if (entry->user_data == (uintptr_t)operation && !(entry->flags & IORING_CQE_F_MORE))
            return entry;
    }
    return NULL;
}

bool FastRingWithdraw(const struct FastRing* ring, const struct FastOperation* operation)
{
    const struct FastEngine* engine = ring->engine;
    unsigned first = engine->submission.tail - FastEngineReserved(engine);
    for (unsigned place = first; place != engine->submission.tail; place++) {
        struct io_uring_sqe* entry = &engine->submission.entries[place & engine->submission.mask];
        if (entry->user_data != (uintptr_t)operation)
            continue;
        *entry = (struct io_uring_sqe){0};
        io_uring_prep_cancel64(entry, (uintptr_t)&nobody, 0); /* fails, since there is nobody */
        entry->user_data = (uintptr_t)operation;
        return true;
    }
    return false;
}

struct io_uring_sqe* FastRingReserveNow(struct FastRing* ring, struct FastOperation* operation)
{
    if (FastRingRoom(ring) == 0)
        (void)FastRingEnterNow(ring);
    return FastRingReserve(ring, operation);
}

static bool awaitEnd(struct FastRing* ring, const struct FastOperation* operation)
{
    for (int count = 0; count < NOW_ENTERS; count++) {
        int result = FastRingEnterNow(ring);
        if (findEnd(ring, operation) != NULL)
            return true;
        if ((result < 0 && result != -EINTR) || FastEngineOverflown(ring->engine))
            return false;
    }
    return false;
}

bool FastRingLetGo(struct FastRing* ring, uint64_t cancel, bool* canceling,
                   const struct FastOperation* target)
{
    if (FastRingWithdraw(ring, target))
        return true;
    if (!*canceling) {
        struct io_uring_sqe* entry = FastRingReserveNow(ring, NULL);
        if (entry == NULL)
            return false;
        io_uring_prep_cancel64(entry, (uintptr_t)target, 0);
        entry->user_data = cancel;
        *canceling = true;
    }
    return awaitEnd(ring, target);
}

bool FastRingTakeNow(struct FastRing* ring, const struct FastOperation* operation,
                     struct io_uring_cqe* completion)
{
    struct io_uring_cqe* entry = findEnd(ring, operation);
    if (entry == NULL)
        return false;
    *completion = *entry;
    entry->user_data = (uintptr_t)&nobody;
    return true;
}
