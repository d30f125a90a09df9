/*
 * The loop: one turn of a ring, phase by phase.
 *
 * A turn runs the tasks of the prepare phase, the only one that reserves submissions; enters the
 * kernel once, to submit and to wait; reaps a bounded batch of completions into their owners; runs
 * the dispatch phase, in which owners call their users, merged; expires timers; runs flush
 * handlers. What callbacks queue is prepared at the start of the next turn, so that whatever the
 * program adds between turns is gathered with it.
 *
 * Failures: the submission queue is full: the task that found it so stays first in line, the kernel
 * is entered without waiting, and the preparing goes on. The kernel refuses for a while (EAGAIN,
 * EBUSY, ENOMEM): the turn goes on with what is there; when nothing is, it waits without
 * submitting, so that a refusal can't become a spin. The completion queue overflowed: the kernel
 * keeps what did not fit and hands it over as room comes; the next wait doesn't sleep until then,
 * and polls that complete often are prepared again behind that.
 */
#include "ring/turn.h"
#include "ring/call.h"
#include "ring/enter.h"
#include "ring/flusher.h"
#include "ring/later.h"
#include "ring/spare.h"
#include "ring/timers.h"
#include "ring/trace.h"
#include "base/trace.h"

#include <time.h>

enum
{
    TURN_REFUSED_MS = 10, /* pause when the kernel lacks memory */
    TURN_BEHIND_MS = 10,  /* sleep while tasks wait for what is said to be there */
    TURN_SPIN_RETRY = 64, /* waits until spinning that did not pay is tried again */
    TURN_DRAIN_MS = 5000, /* without any completion, before an operation is given up at the end */
};

/* Of one of its tasks. */
__attribute__((always_inline)) static inline struct FastRingWorker* workerOf(FastWork work)
{
    struct FastLink* links = FastWorkLink(work) - FastWorkNumber(work) + 1;
    return FAST_CONTAINER(links, struct FastRingWorker, links);
}

/* Inline, since it is what a turn does for each message. Its function may free what it belongs
 * to. */
__attribute__((always_inline)) static inline bool runWork(FastWork work)
{
    size_t number = FastWorkNumber(work);
    if (number == FAST_WORK_ALONE) {
        struct FastTask* task = FAST_CONTAINER(FastWorkLink(work), struct FastTask, link);
        return task->function(task);
    }
    struct FastRingWorker* worker = workerOf(work);
    return worker->member.functions->work[number - 1](worker);
}

/* ---- preparing ---- */

/* Makes room for submissions; false when the kernel takes none just now. */
static bool flushSubmissions(struct FastRing* ring)
{
    return FastRingEnterNow(ring) == 0 && FastEngineReserved(ring->engine) == 0;
}

static void runPrepare(struct FastRing* ring)
{
    FastWork work;
    while ((work = FastTaskTake(&ring->prepare)) != 0) {
        if (runWork(work))
            continue;
        FastTaskUnshift(&ring->prepare, work);
        if (!flushSubmissions(ring))
            break;
    }
}

static void runPrepareTraced(struct FastRing* ring)
{
    FastWork work;
    FastRingTraceEntries(ring);
    while ((work = FastTaskTake(&ring->prepare)) != 0) {
        bool done = runWork(work);
        FastRingTraceEntries(ring);
        if (done)
            continue;
        FastTaskUnshift(&ring->prepare, work);
        if (!flushSubmissions(ring))
            break;
    }
}

/* ---- waiting ---- */

static bool isRefusal(int result)
{
    return result == -EAGAIN || result == -EBUSY || result == -ENOMEM;
}

/* Something is queued for a phase of the next turn. */
static bool hasTasks(const struct FastRing* ring)
{
    return !FastTaskIsEmpty(&ring->prepare) || !FastTaskIsEmpty(&ring->dispatch) ||
           ring->flushers.first != NULL;
}

bool FastRingHasWork(const struct FastRing* ring)
{
    return hasTasks(ring) || FastEngineReserved(ring->engine) > 0 || FastRingHasCompletions(ring);
}

/* How long the kernel may let us sleep, in nanoseconds; negative: without limit. */
static int64_t sleepTime(struct FastRing* ring, uint32_t interval)
{
    if (interval == 0 || hasTasks(ring) || FastEnginePeek(ring->engine) != NULL ||
        FastEngineOverflown(ring->engine))
        return 0;
    if (!FastTaskIsEmpty(&ring->behind) && interval > TURN_BEHIND_MS)
        interval = TURN_BEHIND_MS; /* should nothing come after all */
    int64_t limit = interval == UINT32_MAX ? INT64_MAX : (int64_t)interval * FAST_MILLISECOND;
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
    if (ring->spin.windowUs == 0) {
        if (++ring->spin.skipped < TURN_SPIN_RETRY)
            return false;
        ring->spin.skipped = 0;
        ring->spin.windowUs = ring->options.spinUs;
    }
    int64_t window = (int64_t)ring->spin.windowUs * 1000;
    if (timeout > 0 && timeout < window)
        window = timeout;
    int64_t end = FastRingNow(ring) + window;
    do {
        *result = FastRingEnterNow(ring);
        if (*result != 0 || FastEnginePeek(ring->engine) != NULL) {
            ring->spin.windowUs = ring->options.spinUs;
            return true;
        }
    } while (FastRingNow(ring) < end);
    ring->spin.windowUs /= 2;
    return false;
}

/* The engine says so when an enter would find something. */
static bool isTold(const struct FastRing* ring)
{
    const uint64_t tells = FASTRING_FEATURE_DEFER_TASKRUN | FASTRING_FEATURE_COOP_TASKRUN;
    return ring->engine->features & tells;
}

/* An enter would certainly find nothing. */
static bool isQuiet(const struct FastRing* ring)
{
    return isTold(ring) && !FastEngineHasWork(ring->engine);
}

/* When there is nothing to do. Where only an enter tells that, it is made first: a busy ring would
 * look at blocks that it is about to need. */
static void lookAtSpares(struct FastRing* ring)
{
    if (!FastRingHasSpares(ring) || FastRingHasWork(ring) || !FastRingSparesAreDue(ring))
        return;
    if (!isTold(ring))
        (void)FastRingEnterNow(ring);
    if (!FastRingHasWork(ring))
        FastRingLookAtSpares(ring);
}

/* There is something to do already, and the kernel has nothing that can't wait. With a mask a
 * signal may be what is waited for. */
static bool hasEnough(const struct FastRing* ring, const sigset_t* mask)
{
    if (FastEngineOverflown(ring->engine))
        return false;
    return FastEnginePeek(ring->engine) != NULL ||
           (mask == NULL && hasTasks(ring) && isQuiet(ring));
}

/* Submits and waits. Returns 0, -EINTR, or the errno of a dead engine. */
static int submitAndWait(struct FastRing* ring, uint32_t interval, const sigset_t* mask)
{
    lookAtSpares(ring);
    int64_t timeout = sleepTime(ring, interval);
    if (timeout == 0 && FastEngineReserved(ring->engine) == 0 && hasEnough(ring, mask))
        return 0;

    int result = 0;
    bool spins = ring->options.spinUs > 0 && timeout != 0 && mask == NULL;
    if (!spins || !spin(ring, timeout, &result))
        result = FastRingEnter(ring, timeout, mask);

    if (isRefusal(result) && interval != 0 && FastEnginePeek(ring->engine) == NULL) {
        /* The kernel lacks memory and nothing is there to be handled: not again at once. */
        struct timespec pause = {.tv_nsec = (long)TURN_REFUSED_MS * FAST_MILLISECOND};
        (void)nanosleep(&pause, NULL);
    }
    return isRefusal(result) ? 0 : result;
}

/* ---- handling what came ---- */

/* The array's entry is free before the function runs, which may enter the kernel. */
static inline void handleCompletion(struct FastRing* ring, struct FastEngine* engine,
                                    const struct io_uring_cqe* entry)
{
    uintptr_t address = (uintptr_t)entry->user_data & ~(uintptr_t)FAST_OPERATION_CANCEL;
    struct FastOperation* operation = (struct FastOperation*)address;
    struct io_uring_cqe completion = *entry;
    FastEngineAdvance(engine);
    ring->statistics.completions++;
    if (!(completion.flags & IORING_CQE_F_MORE))
        ring->statistics.operations--;
    operation->function(operation, &completion);
}

/* Hands up to a turn's limit of completions to their operations; returns how many. */
__attribute__((always_inline)) static inline uint64_t reap(struct FastRing* ring, bool traced)
{
    uint64_t before = ring->statistics.completions;
    struct FastEngine* engine = ring->engine;
    const struct io_uring_cqe* entry;
    ring->turn.left = ring->options.turnLimit;
    while (ring->turn.left > 0 && (entry = FastEnginePeek(engine)) != NULL) {
        ring->turn.left--;
        if (traced)
            FastRingTraceCompletion(ring, entry);
        handleCompletion(ring, engine, entry);
        if (traced)
            FastRingTraceEntries(ring);
    }
    return ring->statistics.completions - before;
}

/* Runs what is queued now; what is added meanwhile belongs to the next turn. */
static void runDispatch(struct FastRing* ring)
{
    FastWork work = FastTaskTakeAll(&ring->dispatch);
    while (work != FAST_WORK_END) {
        FastWork next = FastTaskPass(work);
        ring->turn.work = work;
        ring->turn.rest = next;
        runWork(work);
        work = next;
    }
}

/* Whether it is a member's that tells of its calls; then it has run. */
static bool runTraced(FastWork work)
{
    if (FastWorkNumber(work) != FAST_RING_DISPATCH)
        return false;
    struct FastRingWorker* worker = workerOf(work);
    bool (*function)(struct FastRingWorker*) = worker->member.functions->traced;
    if (function != NULL)
        (void)function(worker);
    return function != NULL;
}

static void runDispatchTraced(struct FastRing* ring)
{
    FastWork work = FastTaskTakeAll(&ring->dispatch);
    while (work != FAST_WORK_END) {
        FastWork next = FastTaskPass(work);
        ring->turn.work = work;
        ring->turn.rest = next;
        if (!runTraced(work))
            (void)runWork(work);
        work = next;
    }
}

/* ---- a turn that a function of the user's has left ---- */

/* What should have followed it goes before what was queued since. */
static void returnRest(struct FastRing* ring)
{
    struct FastTaskQueue later = ring->dispatch;
    FastWork work = ring->turn.rest;
    ring->turn.rest = 0;
    ring->dispatch = (struct FastTaskQueue){0};
    while (work != 0 && work != FAST_WORK_END) {
        FastWork next = FastTaskPass(work);
        FastTaskAppend(&ring->dispatch, FastWorkLink(work), FastWorkNumber(work));
        work = next;
    }
    while (FastTaskMove(&later, &ring->dispatch))
        continue;
}

static void goOnLastly(void* closure)
{
    struct FastRing* ring = closure;
    if (!FastTaskIsEmpty(&ring->lastly) && !ring->closing)
        FastRingNotify(ring, &ring->runLastly);
}

void FastRingRunLastly(struct FastRing* ring)
{
    FastWork work;
    while ((work = FastTaskTake(&ring->lastly)) != 0) {
        FastRingLeave(ring, goOnLastly, ring);
        runWork(work);
    }
}

static bool runLastly(struct FastTask* task)
{
    FastRingRunLastly(FAST_CONTAINER(task, struct FastRing, runLastly));
    return true;
}

void FastRingPrepareLastly(struct FastRing* ring)
{
    ring->runLastly.function = runLastly;
}

void FastRingGoOn(struct FastRing* ring)
{
    FastWork work = ring->turn.work;
    void (*goOn)(void* owner) = ring->turn.goOn;
    void* owner = ring->turn.owner;
    FastRingLeave(ring, NULL, NULL);
    returnRest(ring);
    FastRingGoOnCalls(ring);
    ring->tcpHandle = -1;
    if (FastWorkNumber(work) != FAST_WORK_ALONE) {
        struct FastRingWorker* worker = workerOf(work);
        worker->member.functions->goOn(worker);
    } else if (goOn != NULL)
        goOn(owner);
}

/* ---- the turn ---- */

/* What is left for the next turn shows in the handle, and so does what is queued before it. */
static void reconcileHandle(struct FastRing* ring)
{
    bool work = ring->turn.asked && FastRingHasWork(ring);
    if (work)
        FastRingShow(ring);
    else
        ring->engine->functions->clearHandle(ring->engine);
    FastRingSetOutside(ring, ring->turn.asked && !work);
}

/* traced is known to the compiler: there are two turns, of which one asks for nothing. */
__attribute__((always_inline)) static inline int runTurn(struct FastRing* ring, uint32_t interval,
                                                         const sigset_t* mask, bool traced)
{
    ring->statistics.turns++;
    size_t pending = ring->pending;
    if (traced) {
        FastRingTraceTurn(ring);
        runPrepareTraced(ring);
    } else
        runPrepare(ring);
    /* Programs wait, without a limit, for GetFastRingPending to reach 0: it may have done so just
     * now, and nothing else be left to wake us. */
    if (ring->pending < pending)
        interval = 0;
    int result = submitAndWait(ring, interval, mask);
    if (result < 0 && result != -EINTR)
        return result == -EEXIST ? -EOWNERDEAD : result;
    reap(ring, traced);
    FastRingBringLater(ring);
    if (traced)
        runDispatchTraced(ring);
    else
        runDispatch(ring);
    FastRingExpireTimers(ring);
    FastRingRunFlushers(ring, FASTRING_REASON_COMPLETE);
    if (ring->engine->embedded)
        reconcileHandle(ring);
    return 0;
}

__attribute__((noinline, cold)) static int runTracedTurn(struct FastRing* ring, uint32_t interval,
                                                         const sigset_t* mask)
{
    int result = runTurn(ring, interval, mask, true);
    FastRingTraceMembers(ring);
    return result;
}

int FastRingRunTurn(struct FastRing* ring, uint32_t interval, const sigset_t* mask)
{
    return FastTraceRuns() ? runTracedTurn(ring, interval, mask)
                           : runTurn(ring, interval, mask, false);
}

/* Only what the kernel can't end (zero copy to a peer that never answers) outlasts the bound. */
void FastRingDrain(struct FastRing* ring)
{
    int64_t last = FastRingNow(ring);
    FastRingEndCalls(ring);
    for (;;) {
        FastRingMemoryReturned(ring); /* its timer runs no more, and who waits holds its owner */
        runPrepare(ring);
        if (ring->statistics.operations == 0 && FastTaskIsEmpty(&ring->prepare) &&
            FastTaskIsEmpty(&ring->dispatch) && FastTaskIsEmpty(&ring->behind) &&
            FastTaskIsEmpty(&ring->crowd)) {
            if (!FastRingCloseCalls(ring)) /* those that came without their wake being handled */
                break;
            continue;
        }
        int64_t now = FastRingNow(ring);
        if (now - last > (int64_t)TURN_DRAIN_MS * FAST_MILLISECOND)
            break;
        int result = submitAndWait(ring, TURN_REFUSED_MS, NULL);
        if (result < 0 && result != -EINTR)
            break;
        if (reap(ring, false) > 0)
            last = now;
        FastRingBringLater(ring);
        runDispatch(ring);
    }
    (void)FastRingCloseCalls(ring);
}
