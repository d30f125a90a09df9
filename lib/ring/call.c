/*
 * Calls from other threads.
 *
 * Good path: the ring keeps one operation in flight that a wake completes. A call is pushed on a
 * stack by compare and exchange; who finds no wake on its way makes one. The completion has the
 * calls run in the dispatch phase, and the operation prepared again.
 */
#include "ring/call.h"

int FastRingSubmitCall(struct FastRing* ring, struct FastRingCall* call)
{
    int result = FastRingCheckCall(ring);
    if (result < 0)
        return result;
    if (atomic_exchange(&call->pending, true))
        return 0;
    struct FastRingCall* first = atomic_load(&ring->calls.first);
    do
        atomic_store_explicit(&call->next, first, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&ring->calls.first, &first, call));
    if (!atomic_exchange(&ring->calls.woken, true))
        ring->engine->functions->wake(ring->engine);
    return 0;
}

/* In the order of submitting: the stack is taken as a whole and turned over. */
void FastRingRunCalls(struct FastRing* ring)
{
    struct FastRingCall* taken = atomic_exchange(&ring->calls.first, NULL);
    struct FastRingCall* ordered = NULL;
    while (taken != NULL) {
        struct FastRingCall* next = atomic_load_explicit(&taken->next, memory_order_relaxed);
        atomic_store_explicit(&taken->next, ordered, memory_order_relaxed);
        ordered = taken;
        taken = next;
    }
    while (ordered != NULL) {
        struct FastRingCall* call = ordered;
        ordered = atomic_load_explicit(&call->next, memory_order_relaxed);
        atomic_store(&call->pending, false); /* from here on it may be submitted, or freed, again */
        call->function(call);
    }
}

static bool runCalls(struct FastTask* task)
{
    FastRingRunCalls(FAST_CONTAINER(task, struct FastRing, calls.run));
    return true;
}

static void onWake(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastRing* ring = FAST_CONTAINER(operation, struct FastRing, calls.operation);
    (void)completion;
    ring->calls.armed = false;
    ring->statistics.wakes++;
    /* before the stack is read: a later submit wakes again */
    atomic_store(&ring->calls.woken, false);
    FastRingNotify(ring, &ring->calls.run);
    if (atomic_load(&ring->state) == RING_RUNNING)
        FastRingDefer(ring, &ring->calls.arm);
}

static bool armWake(struct FastTask* task)
{
    struct FastRing* ring = FAST_CONTAINER(task, struct FastRing, calls.arm);
    if (ring->calls.armed || atomic_load(&ring->state) != RING_RUNNING)
        return true;
    struct io_uring_sqe* entry = FastRingReserve(ring, &ring->calls.operation);
    if (entry == NULL)
        return false;
    ring->engine->functions->prepareWake(ring->engine, entry);
    ring->calls.armed = true;
    return true;
}

void FastRingPrepareCalls(struct FastRing* ring)
{
    ring->calls.operation.function = onWake;
    ring->calls.arm.function = armWake;
    ring->calls.run.function = runCalls;
}

void FastRingArmCalls(struct FastRing* ring)
{
    FastRingDefer(ring, &ring->calls.arm);
}

void FastRingEndCalls(struct FastRing* ring)
{
    if (ring->calls.armed)
        ring->engine->functions->wake(ring->engine);
}
