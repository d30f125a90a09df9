/*
 * Raw operations.
 *
 * Good path: a submit copies the entry and queues the preparation, which reserves a place; each
 * completion is handed to the user's function; with the final one the descriptor is idle again,
 * before the function is called, so that the function may submit it again.
 *
 * Canceled before it has entered the kernel, the operation is abandoned: -ECANCELED is reported in
 * the dispatch phase, and nothing ever happens. Canceled in flight, the kernel is asked, and
 * whatever final completion comes is reported. A cancellation in flight names the operation, so
 * that a new submission waits for its end (ring/armed.h).
 *
 * Let go of (released, or its function returned zero) in flight, the descriptor cancels and absorbs
 * the rest; buffers of a provider that nobody hears of go back to it. When the ring ends, what is
 * in flight is canceled; the final completion is reported with FASTRING_REASON_RELEASED, but a
 * result that was on its way is reported first, since it may own something.
 *
 * References: one each of the user, of the operation and of the cancellation in flight, of every
 * queued task, of a call of the function, of a socket that has taken the descriptor.
 */
#include "service/operation.h"

#include "base/dump.h"
#include "service/operation-state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum
{
    DESCRIPTOR_MISSES = 8, /* cancellations that find nothing, one after the other */
    DESCRIPTOR_REFUSED =
        IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_DRAIN | IOSQE_IO_LINK | IOSQE_IO_HARDLINK,
};

static const struct FastArmedFunctions armedFunctions;

static void holdDescriptor(struct FastRingDescriptor* descriptor)
{
    descriptor->references++;
}

static void freeDescriptor(struct FastRingDescriptor* descriptor)
{
    FastRingUnlink(descriptor->ring, &descriptor->member);
    FastRingDrop(descriptor->ring);
    if (descriptor->leaked)
        FastRingLeak(descriptor);
    else
        FastRingBury(descriptor, sizeof(*descriptor), &descriptor->ring);
}

static void dropDescriptor(struct FastRingDescriptor* descriptor)
{
    assert(descriptor->references > 0);
    if (--descriptor->references == 0)
        freeDescriptor(descriptor);
}

/* ---- in flight and out again ---- */

static void reconcile(struct FastRingDescriptor* descriptor)
{
    bool wanted = descriptor->state == DESCRIPTOR_SUBMITTED;
    if (FastTaskIsQueued(&descriptor->tasks.prepare) ||
        !FastArmedIsDue(&descriptor->armed, wanted, false))
        return;
    holdDescriptor(descriptor);
    FastRingDefer(descriptor->ring, &descriptor->tasks.prepare);
}

/* A poll that completes often would find no room to do so, and its user may submit it again. */
static bool lacksPlace(const struct FastRingDescriptor* descriptor)
{
    return descriptor->prepared.opcode == IORING_OP_POLL_ADD &&
           descriptor->prepared.len & IORING_POLL_ADD_MULTI &&
           FastArmedIsIdle(&descriptor->armed) && !FastRingHasPlace(descriptor->ring);
}

static bool runPrepare(struct FastTask* task)
{
    struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(task, struct FastRingDescriptor, tasks.prepare);
    bool wanted = descriptor->state == DESCRIPTOR_SUBMITTED;
    if (wanted && lacksPlace(descriptor)) {
        FastRingAwaitPlace(descriptor->ring, &task->link, FAST_WORK_ALONE);
        return true;
    }
    if (!FastArmedUpdate(descriptor->ring, &descriptor->armed, &armedFunctions, wanted, false))
        return false;
    dropDescriptor(descriptor);
    return true;
}

static struct FastRingDescriptor* ofArmed(struct FastArmed* armed)
{
    return FAST_CONTAINER(armed, struct FastRingDescriptor, armed);
}

static bool prepareOperation(struct FastArmed* armed)
{
    struct FastRingDescriptor* descriptor = ofArmed(armed);
    struct io_uring_sqe* entry = FastArmedReserve(descriptor->ring, armed);
    if (entry == NULL)
        return false;
    uint64_t user = entry->user_data;
    *entry = descriptor->prepared;
    entry->user_data = user;
    FastEngineHold(FastRingEngine(descriptor->ring), entry);
    descriptor->lender = FastOperationBorrow(descriptor->ring, entry);
    return true;
}

/* What is still in flight may have been on its way to a thread, or back. A notification that comes
 * late is not found either: so it is asked again for a while, or if the user or the end ask. */
static void onCanceled(struct FastArmed* armed, int result)
{
    struct FastRingDescriptor* descriptor = ofArmed(armed);
    bool missed = result == -ENOENT && descriptor->misses < DESCRIPTOR_MISSES;
    descriptor->misses += missed;
    if (FastArmedIsIdle(armed) || missed)
        reconcile(descriptor);
}

static void holdOperation(struct FastArmed* armed)
{
    holdDescriptor(ofArmed(armed));
}

static void dropOperation(struct FastArmed* armed)
{
    dropDescriptor(ofArmed(armed));
}

static const struct FastArmedFunctions armedFunctions = {
    .prepare = prepareOperation,
    .canceled = onCanceled,
    .hold = holdOperation,
    .drop = dropOperation,
};

/* Makes sure that the operation ends; true if its final completion is still to come. */
static bool endOperation(struct FastRingDescriptor* descriptor)
{
    switch (descriptor->state) {
    case DESCRIPTOR_SUBMITTED:
    case DESCRIPTOR_CANCELED:
        if (!FastArmedIsInFlight(&descriptor->armed)) {
            descriptor->state = DESCRIPTOR_ABANDONED;
            holdDescriptor(descriptor);
            FastRingNotify(descriptor->ring, &descriptor->tasks.abandon);
            return true;
        }
        descriptor->state = DESCRIPTOR_CANCELED;
        descriptor->misses = 0;
        if (FastRingWithdraw(descriptor->ring, &descriptor->armed.operation)) {
            descriptor->withdrawn = true;
            return true;
        }
        FastArmedRetry(&descriptor->armed);
        reconcile(descriptor);
        return true;
    case DESCRIPTOR_ABANDONED:
        return true;
    default:
        return false;
    }
}

/* ---- reporting ---- */

/* Ends the user's part; nothing is called back any more. */
static void letGo(struct FastRingDescriptor* descriptor)
{
    if (descriptor->released)
        return;
    descriptor->released = true;
    (void)endOperation(descriptor);
    dropDescriptor(descriptor);
}

/* Returns whether the user has heard of it. */
static bool callFunction(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                         int reason)
{
    if (descriptor->released)
        return false;
    if (descriptor->function == NULL) {
        if (reason != FASTRING_REASON_INCOMPLETE)
            letGo(descriptor);
        return false;
    }
    if (descriptor->function(descriptor, completion, reason) == 0)
        letGo(descriptor);
    return true;
}

/* Behind the last call. */
static void finishReport(void* closure)
{
    struct FastRingDescriptor* descriptor = closure;
    if (descriptor->report.ending) {
        descriptor->report.ending = false;
        FastRingLeave(descriptor->ring, finishReport, descriptor);
        (void)callFunction(descriptor, NULL, FASTRING_REASON_RELEASED);
    }
    struct FastRingGroup* lender = descriptor->report.lender;
    bool last = descriptor->report.last;
    dropDescriptor(descriptor);
    if (!last)
        return;
    FastOperationGiveBack(lender);
    dropDescriptor(descriptor);
}

/* Behind the call of a completion. A buffer without bytes is of no use to who has heard of it. */
static void finishCall(void* closure)
{
    struct FastRingDescriptor* descriptor = closure;
    if (!descriptor->report.bytes)
        FastOperationUnclaimBuffers(descriptor->ring, &descriptor->report.claim);
    finishReport(descriptor);
}

/* The function may never return: what follows is done by what stands in the descriptor alone. */
static void reportCompletion(struct FastRingDescriptor* descriptor,
                             const struct io_uring_cqe* completion, struct FastRingGroup* lender,
                             bool last)
{
    struct io_uring_cqe copy = {
        .user_data = 0,
        .res = descriptor->withdrawn ? -ECANCELED : completion->res,
        .flags = completion->flags,
    };
    descriptor->withdrawn = false; /* that was its only completion */
    bool final = !(copy.flags & IORING_CQE_F_MORE);
    bool isReported = false;
    descriptor->report.claim =
        FastOperationClaimBuffers(descriptor->ring, &descriptor->prepared, &copy);
    descriptor->report.lender = lender;
    descriptor->report.bytes = copy.res > 0;
    descriptor->report.ending = final && FastRingIsEnding(descriptor->ring);
    descriptor->report.last = last;

    holdDescriptor(descriptor);
    FastRingLeave(descriptor->ring, finishCall, descriptor);
    if (!final)
        isReported = callFunction(descriptor, &copy, FASTRING_REASON_INCOMPLETE);
    else if (!descriptor->report.ending || copy.res >= 0)
        isReported = callFunction(descriptor, &copy, FASTRING_REASON_COMPLETE);
    descriptor->report.bytes = descriptor->report.bytes && isReported;
    finishCall(descriptor);
}

/* ---- what the ring calls ---- */

static void onCompletion(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(operation, struct FastRingDescriptor, armed.operation);
    if (FastArmedTakeOther(descriptor->ring, &descriptor->armed, &armedFunctions, completion))
        return;
    bool final = FastArmedComplete(&descriptor->armed, completion);
    if (FastRingEngine(descriptor->ring)->checked)
        FastOperationNoteWritten(&descriptor->prepared, completion);
    if (final)
        descriptor->state = DESCRIPTOR_IDLE;
    reportCompletion(descriptor, completion, descriptor->lender, final);
}

static bool runAbandon(struct FastTask* task)
{
    struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(task, struct FastRingDescriptor, tasks.abandon);
    const struct io_uring_cqe completion = {.res = -ECANCELED};
    assert(descriptor->state == DESCRIPTOR_ABANDONED);
    descriptor->state = DESCRIPTOR_IDLE;
    reportCompletion(descriptor, &completion, NULL, true);
    return true;
}

static void endMember(struct FastRingMember* member)
{
    struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(member, struct FastRingDescriptor, member);

    if (descriptor->state != DESCRIPTOR_TAKEN)
        (void)endOperation(descriptor);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(member, struct FastRingDescriptor, member);
    bool taken = descriptor->state == DESCRIPTOR_TAKEN;
    /* Nothing runs any more that held a reference, but for the user and a socket that has taken the
     * descriptor and will discard it. */
    descriptor->leaked = !orderly && (taken || FastArmedIsInFlight(&descriptor->armed));
    if (FastArmedIsInFlight(&descriptor->armed))
        FastOperationGiveBack(descriptor->lender);
    FastArmedForget(&descriptor->armed);
    descriptor->references = 0u + !descriptor->released + taken;
    if (!taken)
        descriptor->state = DESCRIPTOR_IDLE;
    if (descriptor->references == 0)
        freeDescriptor(descriptor);
}

/* An opcode is told by its number: names are the kernel's headers'. */
static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    static const char* const states[] = {"idle", "submitted", "canceled", "abandoned", "taken"};
    const struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(member, const struct FastRingDescriptor, member);
    FastDumpBegin(dump, "descriptor", descriptor);
    FastDumpNumber(dump, "opcode", descriptor->prepared.opcode);
    FastDumpSigned(dump, "handle", descriptor->prepared.fd);
    FastDumpText(dump, "state", states[descriptor->state]);
    FastDumpYes(dump, "in-flight", FastArmedIsInFlight(&descriptor->armed));
    FastDumpYes(dump, "released", descriptor->released);
    FastDumpEnd(dump);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .end = endMember,
    .close = closeMember,
    .kind = "descriptor",
    .offset = offsetof(struct FastRingDescriptor, member),
    .dump = dumpMember,
};

/* ---- what sockets call ---- */

int FastDescriptorTake(struct FastRingDescriptor* descriptor, const struct FastRing* ring)
{
    if (descriptor == NULL)
        return -EINVAL;
    if (descriptor->ring != ring)
        return -EXDEV;
    if (descriptor->state != DESCRIPTOR_IDLE || !FastArmedIsIdle(&descriptor->armed))
        return -EBUSY;
    descriptor->state = DESCRIPTOR_TAKEN;
    holdDescriptor(descriptor);
    return 0;
}

void FastDescriptorComplete(struct FastRingDescriptor* descriptor,
                            const struct io_uring_cqe* completion)
{
    assert(descriptor->state == DESCRIPTOR_TAKEN);
    descriptor->state = DESCRIPTOR_IDLE;
    reportCompletion(descriptor, completion, NULL, true);
}

void FastDescriptorAbandon(struct FastRingDescriptor* descriptor)
{
    assert(descriptor->state == DESCRIPTOR_TAKEN);
    descriptor->state = DESCRIPTOR_ABANDONED;
    FastRingNotify(descriptor->ring, &descriptor->tasks.abandon);
}

void FastDescriptorDiscard(struct FastRingDescriptor* descriptor)
{
    assert(descriptor->state == DESCRIPTOR_TAKEN);
    descriptor->state = DESCRIPTOR_IDLE;
    letGo(descriptor);
    dropDescriptor(descriptor);
}

/* ---- what users call ---- */

struct FastRingDescriptor* AllocateFastRingDescriptor(struct FastRing* ring,
                                                      HandleFastRingCompletionFunction function,
                                                      void* closure)
{
    int result = FastRingCheckCreate(ring);
    if (result < 0) {
        errno = -result;
        return NULL;
    }

    struct FastRingDescriptor* descriptor = calloc(1, sizeof(*descriptor));
    if (descriptor == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    descriptor->ring = ring;
    descriptor->function = function;
    descriptor->closure = closure;
    FastArmedInitialize(&descriptor->armed, onCompletion);
    descriptor->tasks.prepare.function = runPrepare;
    descriptor->tasks.abandon.function = runAbandon;
    descriptor->references = 1;
    FastRingLink(ring, &descriptor->member, &memberFunctions);
    return descriptor;
}

int SubmitFastRingDescriptor(struct FastRingDescriptor* descriptor)
{
    if (descriptor == NULL)
        return -EINVAL;
    int result = FastRingCheckOf(descriptor->ring, descriptor);
    if (result == 0 && FastRingIsEnding(descriptor->ring))
        result = -ECANCELED;
    if (result < 0)
        return result;
    if (descriptor->submission.flags & DESCRIPTOR_REFUSED)
        return -EINVAL;
    if (descriptor->state != DESCRIPTOR_IDLE)
        return -EBUSY;

    descriptor->prepared = descriptor->submission;
    descriptor->state = DESCRIPTOR_SUBMITTED;
    reconcile(descriptor);
    return 0;
}

int CancelFastRingDescriptor(struct FastRingDescriptor* descriptor)
{
    if (descriptor == NULL)
        return -EINVAL;
    int result = FastRingCheckOf(descriptor->ring, descriptor);
    if (result < 0)
        return result;
    return endOperation(descriptor) ? 0 : -ENOENT;
}

void ReleaseFastRingDescriptor(struct FastRingDescriptor* descriptor)
{
    if (descriptor == NULL || FastRingCheckRelease(descriptor->ring, descriptor) == -EPERM)
        return;
    letGo(descriptor);
}
