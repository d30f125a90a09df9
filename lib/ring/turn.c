/*
 * The loop: one turn of a ring, phase by phase.
 *
 * A turn runs the deferred work, which is the only place that prepares submissions; enters the kernel
 * once, to submit and to wait; reaps a bounded batch of completions into their owners; runs notices,
 * in which owners call their users, merged; expires timers; runs flush handlers. What callbacks
 * queue is prepared at the start of the next turn, so that whatever the program adds between turns is
 * gathered with it.
 *
 * Failures: the submission queue is full: the work that found it so stays first in line, the kernel
 * is entered without waiting, and the work goes on. The kernel refuses for a while (EAGAIN, EBUSY,
 * ENOMEM): the turn goes on with what is there; when nothing is, it waits without submitting, so that
 * a refusal can't become a spin. The completion queue overflowed: the kernel keeps what did not fit
 * and hands it over as room comes; the next wait doesn't sleep until then.
 */
#include "base/pipe-signal.h"
#include "ring/state.h"
#include "base/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum
{
    LOOP_MILLISECOND = 1000000,
    LOOP_REFUSED_MS = 10, /* pause when the kernel lacks memory */
    LOOP_MEMORY_MS = 10,  /* work that lacks memory is tried again after */
    LOOP_SPIN_RETRY = 64, /* waits until spinning that did not pay is tried again */
    LOOP_DRAIN_MS = 5000, /* without any completion, before an operation is given up at the end */
};

struct FastRingFlusher
{
    struct FastRingFlusher* next;
    struct FastRingFlusher* previous;
    uint64_t round; /* of running handlers that takes this one along */
    HandleFastRingFlushFunction function;
    void* closure;
};

/* ---- tasks ---- */

static void pushTask(struct FastTaskQueue* queue, struct FastTask* task)
{
    task->queued = true;
    task->next = NULL;
    if (queue->last != NULL)
        queue->last->next = task;
    else
        queue->first = task;
    queue->last = task;
}

static void unshiftTask(struct FastTaskQueue* queue, struct FastTask* task)
{
    task->queued = true;
    task->next = queue->first;
    queue->first = task;
    if (queue->last == NULL)
        queue->last = task;
}

static struct FastTask* takeTask(struct FastTaskQueue* queue)
{
    struct FastTask* task = queue->first;
    if (task == NULL)
        return NULL;
    queue->first = task->next;
    if (queue->first == NULL)
        queue->last = NULL;
    task->queued = false;
    return task;
}

void FastRingDefer(struct FastRing* ring, struct FastTask* task)
{
    if (!task->queued)
        pushTask(&ring->tasks.work, task);
}

void FastRingNotify(struct FastRing* ring, struct FastTask* task)
{
    if (!task->queued)
        pushTask(&ring->tasks.notices, task);
}

uint64_t FastRingTurn(const struct FastRing* ring)
{
    return ring->statistics.turns;
}

void FastRingYield(struct FastRing* ring)
{
    ring->turn.yielded = true;
}

void FastRingWaitMemory(struct FastRing* ring, struct FastTask* task)
{
    if (task->queued)
        return;
    pushTask(&ring->tasks.memory, task);
    if (!FastTimerIsSet(&ring->memoryTimer))
        FastRingSetTimer(ring, &ring->memoryTimer, (int64_t)LOOP_MEMORY_MS * LOOP_MILLISECOND);
}

void FastRingMemoryReturned(struct FastRing* ring)
{
    struct FastTask* task;
    while ((task = takeTask(&ring->tasks.memory)) != NULL)
        FastRingDefer(ring, task);
}

static void onMemoryTimer(struct FastTimer* timer)
{
    FastRingMemoryReturned(FAST_CONTAINER(timer, struct FastRing, memoryTimer));
}

void FastRingMakeMemoryTimer(struct FastRing* ring)
{
    ring->memoryTimer.function = onMemoryTimer;
}

/* ---- reserving ---- */

struct io_uring_sqe* FastRingReserve(struct FastRing* ring, struct FastOperation* operation)
{
    struct io_uring_sqe* entry = FastEngineReserve(ring->engine);
    if (entry == NULL)
        return NULL;
    entry->user_data = (uintptr_t)operation;
    ring->statistics.operations++;
    ring->statistics.submissions++;
    return entry;
}

unsigned FastRingRoom(struct FastRing* ring)
{
    return FastEngineRoom(ring->engine);
}

void* FastRingScratch(struct FastRing* ring, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (ring->scratch.used + size > RING_SCRATCH)
        return NULL;
    void* result = ring->scratch.memory + ring->scratch.used;
    ring->scratch.used += size;
    return result;
}

bool FastRingCancel(struct FastRing* ring, struct FastOperation* operation,
                    const struct FastOperation* target)
{
    struct io_uring_sqe* entry = FastRingReserve(ring, operation);
    if (entry == NULL)
        return false;
    io_uring_prep_cancel64(entry, (uintptr_t)target, 0);
    entry->user_data = (uintptr_t)operation;
    return true;
}

/* ---- entering the kernel ---- */

int64_t FastRingNow(struct FastRing* ring)
{
    (void)ring;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 * LOOP_MILLISECOND + now.tv_nsec;
}

void FastRingGuardPipe(struct FastRing* ring)
{
    ring->guarded = true;
}

static int enterGuarded(struct FastRing* ring, int64_t timeout, const sigset_t* mask)
{
    struct FastPipeSignal guard;
    /* UNTESTED: the caller's mask would let the signal in while the kernel waits, but it does not wait
     * when a write has failed, since that is a completion. */
    sigset_t without;
    if (mask != NULL) {
        without = *mask;
        sigaddset(&without, SIGPIPE);
        mask = &without;
    }
    FastPipeSignalBlock(&guard);
    int result = ring->engine->functions->enter(ring->engine, timeout, mask);
    (void)FastPipeSignalRestore(&guard);
    return result;
}

static int enterOnce(struct FastRing* ring, int64_t timeout, const sigset_t* mask)
{
    ring->statistics.systemCalls++;
    if (FastEngineOverflown(ring->engine))
        ring->statistics.overflows++;
    int result = ring->guarded ? enterGuarded(ring, timeout, mask)
                               : ring->engine->functions->enter(ring->engine, timeout, mask);
    if (FastEngineReserved(ring->engine) == 0) {
        ring->scratch.used = 0;
        ring->guarded = false;
    }
    return result;
}

int FastRingEnterNow(struct FastRing* ring)
{
    return enterOnce(ring, 0, NULL);
}

static bool isRefusal(int result)
{
    return result == -EAGAIN || result == -EBUSY || result == -ENOMEM;
}

/* Makes room for submissions; false when the kernel takes none just now. */
static bool flushSubmissions(struct FastRing* ring)
{
    return enterOnce(ring, 0, NULL) == 0 && FastEngineReserved(ring->engine) == 0;
}

static void runWork(struct FastRing* ring)
{
    struct FastTask* task;
    while ((task = takeTask(&ring->tasks.work)) != NULL) {
        if (task->function(task))
            continue;
        if (!task->queued)
            unshiftTask(&ring->tasks.work, task);
        if (!flushSubmissions(ring))
            break;
    }
}

bool FastRingHasWork(const struct FastRing* ring)
{
    return ring->tasks.work.first != NULL || ring->tasks.notices.first != NULL ||
           ring->flushers.first != NULL || FastEngineReserved(ring->engine) > 0 ||
           FastEnginePeek(ring->engine) != NULL || FastEngineHasMore(ring->engine);
}

/* How long the kernel may let us sleep, in nanoseconds; negative: without limit. */
static int64_t sleepTime(struct FastRing* ring, uint32_t interval)
{
    if (interval == 0 || ring->tasks.work.first != NULL || ring->tasks.notices.first != NULL ||
        ring->flushers.first != NULL || FastEnginePeek(ring->engine) != NULL ||
        FastEngineOverflown(ring->engine))
        return 0;
    int64_t limit = interval == UINT32_MAX ? INT64_MAX : (int64_t)interval * LOOP_MILLISECOND;
    /* At the end of the ring timers don't run any more. */
    bool ending = atomic_load(&ring->state) == RING_ENDING;
    const struct FastTimer* timer = ending ? NULL : FastTimerFirst(&ring->timers);
    if (timer != NULL) {
        int64_t left = timer->deadline - FastRingNow(ring);
        if (left < limit)
            limit = left > 0 ? left : 0;
    }
    return limit == INT64_MAX ? -1 : limit;
}

/*
 * Looks for completions for a while before the thread goes to sleep. The window grows while that
 * pays, and shrinks to nothing when it does not, with a new try now and then.
 * Returns true when completions are there.
 */
static bool spin(struct FastRing* ring, int64_t timeout, int* result)
{
    if (ring->spinWindowUs == 0) {
        if (++ring->spinSkipped < LOOP_SPIN_RETRY)
            return false;
        ring->spinSkipped = 0;
        ring->spinWindowUs = ring->options.spinUs;
    }
    int64_t window = (int64_t)ring->spinWindowUs * 1000;
    if (timeout > 0 && timeout < window)
        window = timeout;
    int64_t end = FastRingNow(ring) + window;
    do {
        *result = enterOnce(ring, 0, NULL);
        if (*result != 0 || FastEnginePeek(ring->engine) != NULL) {
            ring->spinWindowUs = ring->options.spinUs;
            return true;
        }
    } while (FastRingNow(ring) < end);
    ring->spinWindowUs /= 2;
    return false;
}

/* Submits and waits. Returns 0, -EINTR, or the errno of a dead engine. */
static int submitAndWait(struct FastRing* ring, uint32_t interval, const sigset_t* mask)
{
    int64_t timeout = sleepTime(ring, interval);
    if (timeout == 0 && FastEngineReserved(ring->engine) == 0 && FastEnginePeek(ring->engine) != NULL &&
        !FastEngineOverflown(ring->engine))
        return 0; /* enough to do already */

    int result = 0;
    bool spins = ring->options.spinUs > 0 && timeout != 0 && mask == NULL;
    if (!spins || !spin(ring, timeout, &result))
        result = enterOnce(ring, timeout, mask);

    if (isRefusal(result) && interval != 0 && FastEnginePeek(ring->engine) == NULL) {
        /* The kernel lacks memory and nothing is there to be handled: not again at once. */
        struct timespec pause = {.tv_nsec = (long)LOOP_REFUSED_MS * LOOP_MILLISECOND};
        (void)nanosleep(&pause, NULL);
    }
    return isRefusal(result) ? 0 : result;
}

/* ---- handling what came ---- */

/* Hands up to a turn's limit of completions to their operations; returns how many. */
static unsigned reap(struct FastRing* ring)
{
    unsigned count = 0;
    ring->turn.yielded = false;
    while (count < ring->options.turnLimit && !ring->turn.yielded) {
        const struct io_uring_cqe* entry = FastEnginePeek(ring->engine);
        if (entry == NULL)
            break;
        struct io_uring_cqe completion = {
            .user_data = entry->user_data,
            .res = entry->res,
            .flags = entry->flags,
        };
        FastEngineAdvance(ring->engine);
        count++;
        ring->statistics.completions++;
        struct FastOperation* operation = (struct FastOperation*)(uintptr_t)completion.user_data;
        if (!(completion.flags & IORING_CQE_F_MORE))
            ring->statistics.operations--;
        operation->function(operation, &completion);
    }
    return count;
}

/* Those that wait in the kernel for room are not seen, and taken for newer. */
uint64_t FastRingNextCompletion(const struct FastRing* ring)
{
    const struct FastEngine* engine = ring->engine;
    unsigned waiting = __atomic_load_n(engine->completion.tail, __ATOMIC_ACQUIRE) - *engine->completion.head;
    return ring->statistics.completions + waiting;
}

struct FastRingGroup* FastRingFindNamedGroup(const struct FastRing* ring, uint16_t id)
{
    struct FastRingGroup* group = FastRingFindGroup(ring, id);
    return group != NULL && group->first < ring->statistics.completions ? group : NULL;
}

/* Runs what is queued now; what is added meanwhile belongs to the next turn. */
static void runNotices(struct FastRing* ring)
{
    struct FastTask* last = ring->tasks.notices.last;
    while (last != NULL) {
        struct FastTask* task = takeTask(&ring->tasks.notices);
        bool wasLast = task == last;
        task->function(task);
        if (wasLast)
            break;
    }
}

static void expireTimers(struct FastRing* ring)
{
    struct FastTimer* timer = FastTimerFirst(&ring->timers);
    if (timer == NULL)
        return;
    int64_t now = FastRingNow(ring);
    uint64_t order = ring->timers.order;
    while ((timer = FastTimerFirst(&ring->timers)) != NULL && timer->deadline <= now &&
           timer->order < order) {
        FastTimerStop(&ring->timers, timer);
        timer->function(timer);
    }
}

void FastRingSetTimer(struct FastRing* ring, struct FastTimer* timer, int64_t nanoseconds)
{
    int64_t now = FastRingNow(ring);
    FastTimerSet(&ring->timers, timer, nanoseconds < INT64_MAX - now ? now + nanoseconds : INT64_MAX);
}

void FastRingStopTimer(struct FastRing* ring, struct FastTimer* timer)
{
    FastTimerStop(&ring->timers, timer);
}

/* ---- calls from other threads ---- */

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

/* Runs calls in the order of submitting: the stack is taken as a whole and turned over. */
static bool runCalls(struct FastTask* task)
{
    struct FastRing* ring = FAST_CONTAINER(task, struct FastRing, calls.run);
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
    return true;
}

static void onWake(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastRing* ring = FAST_CONTAINER(operation, struct FastRing, calls.operation);
    (void)completion;
    ring->calls.armed = false;
    ring->statistics.wakes++;
    atomic_store(&ring->calls.woken, false); /* before the stack is read: a later submit wakes anew */
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

/* ---- flush handlers ---- */

struct FastRingFlusher* SetFastRingFlushHandler(struct FastRing* ring,
                                                HandleFastRingFlushFunction function, void* closure)
{
    int result = function != NULL ? FastRingCheckCreate(ring) : -EINVAL;
    struct FastRingFlusher* flusher = NULL;
    if (result == 0) {
        flusher = malloc(sizeof(*flusher));
        result = flusher != NULL ? 0 : -ENOMEM;
    }
    if (result != 0) {
        errno = -result;
        return NULL;
    }
    *flusher = (struct FastRingFlusher){
        .previous = ring->flushers.last,
        .round = ring->flushers.round,
        .function = function,
        .closure = closure,
    };
    if (flusher->previous != NULL)
        flusher->previous->next = flusher;
    else
        ring->flushers.first = flusher;
    ring->flushers.last = flusher;
    return flusher;
}

static void unlinkFlusher(struct FastRing* ring, struct FastRingFlusher* flusher)
{
    if (flusher->previous != NULL)
        flusher->previous->next = flusher->next;
    else
        ring->flushers.first = flusher->next;
    if (flusher->next != NULL)
        flusher->next->previous = flusher->previous;
    else
        ring->flushers.last = flusher->previous;
}

int RemoveFastRingFlushHandler(struct FastRing* ring, struct FastRingFlusher* flusher)
{
    int result = FastRingCheck(ring);
    if (result < 0)
        return result;
    if (flusher == NULL)
        return 0;
    unlinkFlusher(ring, flusher);
    free(flusher);
    return 0;
}

/* Each handler is taken off before it runs, so that it can't be removed while it does. */
void FastRingRunFlushers(struct FastRing* ring, int reason)
{
    uint64_t round = ring->flushers.round++;
    while (ring->flushers.first != NULL && ring->flushers.first->round <= round) {
        struct FastRingFlusher* flusher = ring->flushers.first;
        HandleFastRingFlushFunction function = flusher->function;
        void* closure = flusher->closure;
        unlinkFlusher(ring, flusher);
        free(flusher);
        function(closure, reason);
    }
}

/* ---- the turn ---- */

void FastRingStart(struct FastRing* ring)
{
    ring->thread.number = FastThreadNumber();
    FastThreadBeginLife(&ring->thread.life);
    atomic_store(&ring->state, RING_RUNNING);
    FastRingDefer(ring, &ring->calls.arm);
    while (ring->starters != NULL) {
        struct FastRingStarter* starter = ring->starters;
        ring->starters = starter->next;
        starter->function(starter);
    }
}

static int runTurn(struct FastRing* ring, uint32_t interval, const sigset_t* mask)
{
    ring->statistics.turns++;
    size_t pending = ring->pending;
    runWork(ring);
    /* Programs wait, without a limit, for GetFastRingPending to reach 0: it may have done so just now,
     * and nothing else be left to wake us. */
    if (ring->pending < pending)
        interval = 0;
    int result = submitAndWait(ring, interval, mask);
    if (result < 0 && result != -EINTR)
        return result == -EEXIST ? -EOWNERDEAD : result;
    reap(ring);
    runNotices(ring);
    expireTimers(ring);
    FastRingRunFlushers(ring, FASTRING_REASON_COMPLETE);
    if (ring->engine->embedded)
        ring->engine->functions->quiet(ring->engine);
    return 0;
}

int WaitForFastRing(struct FastRing* ring, uint32_t interval, sigset_t* mask)
{
    int result = FastRingCheck(ring);
    if (result < 0)
        return result;
    if (ring->turn.running)
        return -EBUSY;
    if (atomic_load(&ring->state) == RING_NEW)
        FastRingStart(ring);

    ring->turn.running = true;
    result = runTurn(ring, interval, mask);
    ring->turn.running = false;
    if (ring->turn.releaseWanted) {
        FastRingEnd(ring);
        return -ECANCELED;
    }
    return result;
}

/*
 * Runs the loop until every operation is final. Only what the kernel can't end (zero copy to a peer
 * that never answers) outlasts the bound.
 */
void FastRingDrain(struct FastRing* ring)
{
    int64_t last = FastRingNow(ring);
    if (ring->calls.armed)
        ring->engine->functions->wake(ring->engine);
    for (;;) {
        FastRingMemoryReturned(ring); /* its timer runs no more, and who waits holds its owner */
        runWork(ring);
        if (ring->statistics.operations == 0 && ring->tasks.work.first == NULL &&
            ring->tasks.notices.first == NULL)
            break;
        int64_t now = FastRingNow(ring);
        if (now - last > (int64_t)LOOP_DRAIN_MS * LOOP_MILLISECOND)
            break;
        int result = submitAndWait(ring, LOOP_REFUSED_MS, NULL);
        if (result < 0 && result != -EINTR)
            break;
        if (reap(ring) > 0)
            last = now;
        runNotices(ring);
    }
    struct FastTask* task = &ring->calls.run;
    (void)task->function(task); /* calls that came without their wake being handled */
}
