/*
 * The engine in user space: submission entries run by system calls that don't wait.
 *
 * Good path: an enter runs the entries that were reserved, most of which are over by then; waits
 * until descriptors are ready; and runs what has waited for these. All completions are made inside
 * an enter, and none without room: what can't be told yet is not done yet.
 *
 * A wait costs a system call. An enter whose entries have made completions leaves it to the next
 * one, but never twice in a row, so that what is always busy hears of others too.
 *
 * Failures: what is ready brings no completion (a part of what was to be sent has gone): it waits
 * on, for what is left of the time. The array of completions is full: the flag that io_uring has
 * for completions kept elsewhere says that an enter will bring more.
 */
#include "engine/soft.h"

#include "engine/soft-buffer.h"
#include "engine/soft-look.h"
#include "engine/soft-node.h"
#include "engine/soft-operation.h"
#include "engine/soft-run.h"

#include <Ring/FastRing.h>
#include <errno.h>
#include <stdlib.h>

enum
{
    SOFT_COMPLETIONS = 512, /* few enough to stay in the processor's cache */
    SOFT_COMPLETIONS_PER_ENTRY = 16,
};

static struct FastSoft* softOf(struct FastEngine* engine)
{
    return (struct FastSoft*)engine;
}

/* ---- the enter ---- */

/* Where somebody waits for a buffer, there are completions that nobody has seen yet. */
static bool isBusy(const struct FastSoft* soft)
{
    return soft->completionHead != soft->completionTail || soft->queue.first != NULL ||
           soft->later.first != NULL || soft->slowLeft;
}

/* What FastEngineHasMore and FastEngineOverflown will see. */
static void publish(struct FastSoft* soft)
{
    bool more = soft->queue.first != NULL || soft->later.first != NULL || soft->slowLeft ||
                soft->groups.starving > 0;
    bool full = FastSoftRoom(soft) < FAST_SOFT_COMPLETIONS;
    soft->completionFlags = 0;
    if (more)
        soft->completionFlags = full ? IORING_SQ_CQ_OVERFLOW : IORING_SQ_TASKRUN;
}

static int waitOnce(struct FastSoft* soft, int64_t timeout, const sigset_t* mask)
{
    struct FastSystem* system = soft->system;
    int64_t limit = FastSoftBoundWait(soft, timeout);
    int result = system->functions->wait(system, soft->events, FAST_SOFT_EVENTS, limit, mask);
    for (int index = 0; index < result; index++)
        FastSoftHandleEvent(soft, &soft->events[index]);
    FastSoftTakeSlow(soft);
    FastSoftLookAgain(soft);
    FastSoftRunQueue(soft);
    return result < 0 ? result : 0;
}

/* Until there is a completion, or the time is over. */
static int waitForCompletion(struct FastSoft* soft, int64_t timeout, const sigset_t* mask)
{
    struct FastSystem* system = soft->system;
    int64_t end = timeout > 0 ? system->functions->now(system) + timeout : 0;
    for (;;) {
        int result = waitOnce(soft, timeout, mask);
        if (isBusy(soft))
            return 0;
        if (result < 0 || timeout == 0)
            return result;
        if (timeout > 0)
            timeout = end - system->functions->now(system);
        if (end > 0 && timeout <= 0)
            return 0;
    }
}

static int enter(struct FastEngine* base, int64_t timeout, const sigset_t* mask)
{
    struct FastSoft* soft = softOf(base);
    bool fresh = soft->submissionHead != base->submission.tail;
    base->enters++;
    if (soft->later.first != NULL)
        FastSoftBeginPass(soft);
    int result = FastSoftSubmit(soft);
    if (soft->groups.starving > 0)
        FastSoftServeLines(soft);
    if (soft->queue.first != NULL)
        FastSoftRunQueue(soft);
    bool busy = isBusy(soft);
    if (busy && fresh && mask == NULL && !soft->skipped) {
        soft->skipped = true;
    } else {
        soft->skipped = false;
        /* What could not be submitted may be what would wake us. */
        int waited = waitForCompletion(soft, busy || result < 0 ? 0 : timeout, mask);
        if (result == 0)
            result = waited;
    }
    publish(soft);
    return result;
}

/* ---- the rest of the table ---- */

static int registerBuffers(struct FastEngine* base, uint16_t group, void* memory, uint32_t entries)
{
    return FastSoftAddGroup(softOf(base), group, memory, entries);
}

static void unregisterBuffers(struct FastEngine* base, uint16_t group)
{
    FastSoftRemoveGroup(softOf(base), group);
}

static int countTakenBuffers(struct FastEngine* base, uint16_t group)
{
    const struct FastSoftGroup* found = FastSoftFindGroup(softOf(base), group);
    return found != NULL ? found->head : -ENOENT;
}

static void hold(struct FastEngine* base, const struct io_uring_sqe* submission)
{
    struct FastSoft* soft = softOf(base);
    size_t place = (size_t)(submission - base->submission.entries);
    soft->held[place / 64] |= UINT64_C(1) << place % 64;
}

/* Who waits for it yet needs it. */
static void forget(struct FastEngine* base, int handle)
{
    const struct FastSoftNode* node = FastSoftKnownNode(softOf(base), handle);
    if (node != NULL && node->last == 0)
        FastSoftForget(softOf(base), handle);
}

static void prepareWake(struct FastEngine* base, struct io_uring_sqe* submission)
{
    struct FastSoft* soft = softOf(base);
    uint64_t owner = submission->user_data;
    io_uring_prep_read(submission, soft->system->functions->wakeHandle(soft->system),
                       &soft->wakeValue, sizeof(soft->wakeValue), UINT64_MAX);
    submission->user_data = owner;
}

static void wake(struct FastEngine* base)
{
    struct FastSystem* system = softOf(base)->system;
    system->functions->wake(system);
}

static int getHandle(struct FastEngine* base)
{
    struct FastSystem* system = softOf(base)->system;
    int handle = system->functions->pollable(system);
    base->embedded = base->embedded || handle >= 0;
    return handle;
}

static void showHandle(struct FastEngine* base)
{
    struct FastSystem* system = softOf(base)->system;
    system->functions->show(system);
}

/* It is readable while something is ready that no wait has reported. */
static void clearHandle(struct FastEngine* base)
{
    (void)base;
}

static uint64_t countCalls(const struct FastEngine* base)
{
    return ((const struct FastSoft*)base)->system->calls;
}

static void closeEngine(struct FastEngine* base)
{
    struct FastSoft* soft = softOf(base);
    FastSoftFreeLooks(soft);
    FastSoftFreeOperations(soft);
    FastSoftFreeNodes(soft);
    FastSoftFreeGroups(soft);
    soft->system->functions->end(soft->system);
}

static void closeHandles(struct FastEngine* base)
{
    struct FastSystem* system = softOf(base)->system;
    system->functions->closeHandles(system);
}

static void freeMemory(struct FastSoft* soft)
{
    free(soft->held);
    free(soft->base.submission.entries);
    free(soft->base.completion.entries);
    free(soft);
}

static void destroyEngine(struct FastEngine* base)
{
    struct FastSoft* soft = softOf(base);
    soft->system->functions->destroy(soft->system);
    freeMemory(soft);
}

static const struct FastEngineFunctions functions = {
    .name = "epoll",
    .enter = enter,
    .registerBuffers = registerBuffers,
    .unregisterBuffers = unregisterBuffers,
    .countTakenBuffers = countTakenBuffers,
    .hold = hold,
    .forget = forget,
    .prepareWake = prepareWake,
    .wake = wake,
    .getHandle = getHandle,
    .showHandle = showHandle,
    .clearHandle = clearHandle,
    .countCalls = countCalls,
    .close = closeEngine,
    .closeHandles = closeHandles,
    .destroy = destroyEngine,
};

/* ---- opening ---- */

static void exposeQueues(struct FastSoft* soft, uint32_t length, uint32_t completions)
{
    struct FastEngine* base = &soft->base;
    base->submission.head = &soft->submissionHead;
    base->submission.mask = length - 1;
    base->completion.head = &soft->completionHead;
    base->completion.tail = &soft->completionTail;
    base->completion.flags = &soft->completionFlags;
    base->completion.mask = completions - 1;
}

int FastSoftOpen(struct FastEngine** result, struct FastSystem* system, uint32_t length,
                 uint64_t hidden)
{
    const uint64_t features = FASTRING_FEATURE_RECEIVE_MULTISHOT | FASTRING_FEATURE_RECEIVE_BUNDLE |
                              FASTRING_FEATURE_RECEIVE_CAP | FASTRING_FEATURE_ACCEPT_MULTISHOT |
                              FASTRING_FEATURE_ACCEPT_AT_ONCE | FASTRING_FEATURE_WRITE_NO_SIGNAL;
    uint32_t completions = length < SOFT_COMPLETIONS / SOFT_COMPLETIONS_PER_ENTRY
                               ? length * SOFT_COMPLETIONS_PER_ENTRY
                               : SOFT_COMPLETIONS;
    struct FastSoft* soft = calloc(1, sizeof(*soft));
    if (soft == NULL)
        goto failed;
    soft->base.functions = &functions;
    soft->base.features = features & ~hidden;
    soft->base.inside = true;
    soft->base.alert = true;
    soft->base.submission.entries = calloc(length, sizeof(struct io_uring_sqe));
    soft->base.completion.entries = calloc(completions, sizeof(struct io_uring_cqe));
    soft->held = calloc(length / 64 + 1, sizeof(*soft->held));
    exposeQueues(soft, length, completions);
    soft->system = system;
    if (soft->base.submission.entries == NULL || soft->base.completion.entries == NULL ||
        soft->held == NULL || FastSoftMakeOperations(soft) < 0) {
        freeMemory(soft);
        goto failed;
    }
    *result = &soft->base;
    return 0;

failed:
    system->functions->end(system);
    system->functions->destroy(system);
    return -ENOMEM;
}
