/*
 * Calls from other threads.
 *
 * Good path: the ring keeps one operation in flight that a wake completes. A call is pushed on a
 * stack by compare and exchange; who finds no wake on its way makes one. The completion has the
 * calls run in the dispatch phase, and the operation prepared again. Who is in the ring's own
 * thread, and in no signal handler, makes no wake: the task that runs the calls is queued.
 *
 * What is taken off the stack stands in line until it is run, in the order of submitting, some in
 * each turn.
 *
 * The end of the ring closes the stack with the same exchange that empties it: what came before is
 * run, what comes later is refused, and nothing is in between.
 */
#include "ring/call.h"

/* On the stack: nothing is taken in any more. */
static struct FastRingCall closed;

static int push(struct FastRing* ring, struct FastRingCall* call)
{
    struct FastRingCall* first = atomic_load(&ring->calls.first);
    do {
        if (first == &closed) {
            atomic_store(&call->request, 0);
            return -ECANCELED;
        }
        atomic_store_explicit(&call->next, first, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak(&ring->calls.first, &first, call));
    return 0;
}

static void wake(struct FastRing* ring)
{
    if (!atomic_exchange(&ring->calls.woken, true))
        ring->engine->functions->wake(ring->engine);
}

int FastRingSubmitValue(struct FastRing* ring, struct FastRingCall* call, uint32_t value)
{
    int result = FastRingCheckCall(ring);
    if (result < 0)
        return result;
    if (atomic_exchange(&call->request, FAST_RING_CALL_PENDING | value) & FAST_RING_CALL_PENDING)
        return 0;
    result = push(ring, call);
    if (result == 0)
        wake(ring);
    return result;
}

int FastRingSubmitCall(struct FastRing* ring, struct FastRingCall* call)
{
    return FastRingSubmitValue(ring, call, 0);
}

/* As soon as it is pushed, it may run, and be the ring's end. */
int FastRingPostCall(struct FastRing* ring, struct FastRingCall* call)
{
    int result = FastRingCheckCall(ring);
    if (result < 0)
        return result;
    FastRingHold(ring);
    atomic_store_explicit(&call->request, FAST_RING_CALL_PENDING, memory_order_relaxed);
    result = push(ring, call);
    if (result == 0 && FastThreadIsSelf(&ring->owner))
        FastRingNotify(ring, &ring->calls.run);
    else if (result == 0)
        wake(ring);
    FastRingDrop(ring);
    return result;
}

/* Puts what is on the stack behind what stands in line. left: on the stack. */
static void takeCalls(struct FastRing* ring, struct FastRingCall* left)
{
    struct FastRingCall* taken = atomic_exchange(&ring->calls.first, left);
    struct FastRingCall* last = taken;
    struct FastRingCall* ordered = NULL;
    if (taken == NULL || taken == &closed)
        return;
    while (taken != NULL) {
        struct FastRingCall* next = atomic_load_explicit(&taken->next, memory_order_relaxed);
        atomic_store_explicit(&taken->next, ordered, memory_order_relaxed);
        ordered = taken;
        taken = next;
    }
    if (ring->calls.line == NULL)
        ring->calls.line = ordered;
    else
        atomic_store_explicit(&ring->calls.last->next, ordered, memory_order_relaxed);
    ring->calls.last = last;
}

/* Out of the line before it runs, and so not again whatever it does. false: none is there. Its
 * value is read as the next submit is let in: one that is refused behind that changes nothing. */
static bool runCall(struct FastRing* ring)
{
    struct FastRingCall* call = ring->calls.line;
    if (call == NULL)
        return false;
    ring->calls.line = atomic_load_explicit(&call->next, memory_order_relaxed);
    /* from here on it may be submitted again */
    call->value = (uint32_t)atomic_exchange(&call->request, 0);
    call->function(call);
    return true;
}

void FastRingGoOnCalls(struct FastRing* ring)
{
    if (ring->calls.line != NULL)
        FastRingNotify(ring, &ring->calls.run);
}

static bool runCalls(struct FastTask* task)
{
    struct FastRing* ring = FAST_CONTAINER(task, struct FastRing, calls.run);
    takeCalls(ring, NULL);
    for (uint64_t left = ring->options.turnLimit; left > 0 && runCall(ring); left--)
        continue;
    FastRingGoOnCalls(ring);
    return true;
}

bool FastRingCloseCalls(struct FastRing* ring)
{
    bool ran = false;
    takeCalls(ring, &closed);
    while (runCall(ring))
        ran = true;
    return ran;
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
