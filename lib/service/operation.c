/*
 * Raw operations.
 *
 * Good path: a submit copies the entry and queues work; the work reserves a place and the operation
 * flies; each completion is handed to the user's function; with the final one the descriptor is idle
 * again, before the function is called, so that the function may submit it anew.
 *
 * Cancelled before it has entered the kernel, the operation is «abandoned»: a notice tells -ECANCELED,
 * and nothing ever happens. Cancelled in flight, the kernel is asked, and whatever final completion
 * comes is told. A cancellation in flight names the operation, so that a new submission waits for
 * its end.
 *
 * Let go of (released, or its function returned zero) in flight, the descriptor cancels and absorbs
 * the rest; buffers of a provider that nobody hears of go back to it. When the ring ends, what is in
 * flight is cancelled; the final completion is told with FASTRING_REASON_RELEASED, but a result that
 * was on its way is told first, since it may own something.
 *
 * References: one each of the user, of the submission until its final completion, of every queued task,
 * of the cancellation in flight, of a call of the function, of a socket that has taken the descriptor.
 */
#include "base/checker.h"
#include "service/operation.h"
#include "engine/uring-compat.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/socket.h>

enum
{
    DESCRIPTOR_DATA = 256,
    DESCRIPTOR_REFUSED =
        IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_DRAIN | IOSQE_IO_LINK | IOSQE_IO_HARDLINK,
};

/* IDLE → QUEUED → FLYING → IDLE; QUEUED → ABANDONED → IDLE; QUEUED → IDLE; IDLE → TAKEN → IDLE. */
enum DescriptorState
{
    DESCRIPTOR_IDLE,
    DESCRIPTOR_QUEUED,    /* the submit task will start it */
    DESCRIPTOR_ABANDONED, /* cancelled before it started: the notice will tell */
    DESCRIPTOR_FLYING,
    DESCRIPTOR_TAKEN, /* by a socket */
};

struct FastRingDescriptor
{
    alignas(16) uint8_t data[DESCRIPTOR_DATA];
    struct io_uring_sqe submission; /* the user's */
    struct io_uring_sqe prepared;   /* as of the submit */
    struct FastRing* ring;
    HandleFastRingCompletionFunction function;
    void* closure;
    struct FastRingMember member;
    struct FastOperation operation;
    struct FastOperation cancel;
    struct
    {
        struct FastTask submit;
        struct FastTask cancel;
        struct FastTask abandon;
    } tasks;
    unsigned references;
    enum DescriptorState state;
    bool cancelling; /* a cancellation is in flight */
    bool released;   /* the user has let go */
    bool leaked;     /* the kernel may still write into the data */
};

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
        free(descriptor);
}

static void dropDescriptor(struct FastRingDescriptor* descriptor)
{
    assert(descriptor->references > 0);
    if (--descriptor->references == 0)
        freeDescriptor(descriptor);
}

static void deferTask(struct FastRingDescriptor* descriptor, struct FastTask* task)
{
    if (task->queued)
        return;
    holdDescriptor(descriptor);
    FastRingDefer(descriptor->ring, task);
}

/* Makes sure that the operation ends; true if its final completion is still to come. */
static bool endOperation(struct FastRingDescriptor* descriptor)
{
    switch (descriptor->state) {
    case DESCRIPTOR_QUEUED:
        descriptor->state = DESCRIPTOR_ABANDONED;
        holdDescriptor(descriptor);
        FastRingNotify(descriptor->ring, &descriptor->tasks.abandon);
        return true;
    case DESCRIPTOR_FLYING:
        if (!descriptor->cancelling)
            deferTask(descriptor, &descriptor->tasks.cancel);
        return true;
    case DESCRIPTOR_ABANDONED:
        return true;
    default:
        return false;
    }
}

/* Ends the user's part; nothing is called back any more. */
static void letGo(struct FastRingDescriptor* descriptor)
{
    if (descriptor->released)
        return;
    descriptor->released = true;
    (void)endOperation(descriptor);
    dropDescriptor(descriptor);
}

/* Returns whether there was somebody to tell. */
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

/* ---- buffers of a provider that a completion names ---- */

struct claim
{
    uint16_t group;
    uint16_t id;
    size_t length;
    bool bundle;
    bool made;
};

/* With MSG_TRUNC a message's length is told, whatever of it is there. */
static bool tellsTrueLength(const struct io_uring_sqe* entry)
{
    return (entry->opcode == IORING_OP_RECV || entry->opcode == IORING_OP_RECVMSG) &&
           entry->msg_flags & MSG_TRUNC;
}

/* Claims what a completion names for the user who is about to hear of it; a completion that can't be true
 * is made an error without a buffer. */
static struct claim claimBuffers(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion)
{
    const struct io_uring_sqe* entry = &descriptor->prepared;
    struct claim claim = {
        .group = entry->buf_group,
        .id = (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT),
        .length = completion->res > 0 && !tellsTrueLength(entry) ? (size_t)completion->res : 0,
        .bundle = entry->opcode == IORING_OP_RECV && entry->ioprio & FAST_URING_RECVSEND_BUNDLE,
    };
    if (!(completion->flags & IORING_CQE_F_BUFFER) || !(entry->flags & IOSQE_BUFFER_SELECT))
        return claim;
    struct FastRingGroup* group = FastRingFindNamedGroup(descriptor->ring, claim.group);
    if (group == NULL)
        return claim; /* the user's own, or a released provider's whose number has come again */
    completion->user_data = group->claim(group, claim.id, claim.length, claim.bundle);
    claim.made = completion->user_data != 0;
    if (!claim.made) {
        FastRingDistrust(descriptor->ring);
        completion->res = -EIO;
        completion->flags &= IORING_CQE_F_MORE;
    }
    return claim;
}

/* Looked up anew, since the user may have released the provider in between. */
static void unclaimBuffers(const struct FastRingDescriptor* descriptor, const struct claim* claim)
{
    struct FastRingGroup* group = claim->made ? FastRingFindGroup(descriptor->ring, claim->group) : NULL;
    if (group != NULL)
        group->unclaim(group, claim->id, claim->length, claim->bundle);
}

static void tellCompletion(struct FastRingDescriptor* descriptor,
                           const struct io_uring_cqe* completion)
{
    struct io_uring_cqe copy = {
        .user_data = 0,
        .res = completion->res,
        .flags = completion->flags,
    };
    bool final = !(copy.flags & IORING_CQE_F_MORE);
    bool ending = final && FastRingIsEnding(descriptor->ring);
    bool told = false;
    struct claim claim = claimBuffers(descriptor, &copy);

    holdDescriptor(descriptor);
    if (!final)
        told = callFunction(descriptor, &copy, FASTRING_REASON_INCOMPLETE);
    else if (!ending || copy.res >= 0)
        told = callFunction(descriptor, &copy, FASTRING_REASON_COMPLETE);
    /* Who was told of bytes may take them later; a buffer without any is of no use to him. */
    if (!told || copy.res <= 0)
        unclaimBuffers(descriptor, &claim);
    if (ending)
        (void)callFunction(descriptor, NULL, FASTRING_REASON_RELEASED);
    dropDescriptor(descriptor);
}

/* ---- what the ring calls ---- */

/* For checkers: what the kernel has written where the entry itself says so. Vectors may be gone by now, and
 * buffers of a provider are its own to tell of. */
static void noteWritten(const struct FastRingDescriptor* descriptor, const struct io_uring_cqe* completion)
{
    const struct io_uring_sqe* entry = &descriptor->prepared;
    bool reads = entry->opcode == IORING_OP_READ || entry->opcode == IORING_OP_RECV;
    if (!reads || completion->res <= 0 || entry->flags & IOSQE_BUFFER_SELECT)
        return;
    uint32_t length = (uint32_t)completion->res; /* with MSG_TRUNC that of the message */
    FastCheckerDefine((const void*)(uintptr_t)entry->addr, length < entry->len ? length : entry->len);
}

static void onCompletion(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(operation, struct FastRingDescriptor, operation);
    bool final = !(completion->flags & IORING_CQE_F_MORE);

    if (FastRingEngine(descriptor->ring)->checked)
        noteWritten(descriptor, completion);
    if (final)
        descriptor->state = DESCRIPTOR_IDLE;
    tellCompletion(descriptor, completion);
    if (final)
        dropDescriptor(descriptor);
}

static void onCancelCompletion(struct FastOperation* operation,
                               const struct io_uring_cqe* completion)
{
    struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(operation, struct FastRingDescriptor, cancel);

    (void)completion;
    descriptor->cancelling = false;
    if (descriptor->state == DESCRIPTOR_QUEUED)
        deferTask(descriptor, &descriptor->tasks.submit);
    dropDescriptor(descriptor);
}

static bool runSubmit(struct FastTask* task)
{
    struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(task, struct FastRingDescriptor, tasks.submit);

    if (descriptor->state == DESCRIPTOR_QUEUED && !descriptor->cancelling) {
        struct io_uring_sqe* entry = FastRingReserve(descriptor->ring, &descriptor->operation);
        if (entry == NULL)
            return false;
        uint64_t user = entry->user_data;
        *entry = descriptor->prepared;
        entry->user_data = user;
        descriptor->state = DESCRIPTOR_FLYING;
    }
    dropDescriptor(descriptor);
    return true;
}

static bool runCancel(struct FastTask* task)
{
    struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(task, struct FastRingDescriptor, tasks.cancel);

    if (descriptor->state != DESCRIPTOR_FLYING || descriptor->cancelling) {
        dropDescriptor(descriptor);
        return true;
    }
    if (!FastRingCancel(descriptor->ring, &descriptor->cancel, &descriptor->operation))
        return false;
    descriptor->cancelling = true; /* the task's reference is the cancellation's from here on */
    return true;
}

static bool runAbandon(struct FastTask* task)
{
    struct FastRingDescriptor* descriptor =
        FAST_CONTAINER(task, struct FastRingDescriptor, tasks.abandon);
    const struct io_uring_cqe completion = {.res = -ECANCELED};

    assert(descriptor->state == DESCRIPTOR_ABANDONED);
    descriptor->state = DESCRIPTOR_IDLE;
    tellCompletion(descriptor, &completion);
    dropDescriptor(descriptor); /* the submission's */
    dropDescriptor(descriptor); /* the task's */
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
    descriptor->leaked = !orderly && (taken || descriptor->state == DESCRIPTOR_FLYING);
    descriptor->references = 0u + !descriptor->released + taken;
    if (!taken)
        descriptor->state = DESCRIPTOR_IDLE;
    if (descriptor->references == 0)
        freeDescriptor(descriptor);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .end = endMember,
    .close = closeMember,
};

/* ---- what sockets call ---- */

int FastDescriptorTake(struct FastRingDescriptor* descriptor, const struct FastRing* ring)
{
    if (descriptor == NULL)
        return -EINVAL;
    if (descriptor->ring != ring)
        return -EXDEV;
    if (descriptor->state != DESCRIPTOR_IDLE || descriptor->cancelling)
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
    tellCompletion(descriptor, completion);
    dropDescriptor(descriptor);
}

void FastDescriptorFinish(struct FastRingDescriptor* descriptor, int result)
{
    const struct io_uring_cqe completion = {.res = result};

    FastDescriptorComplete(descriptor, &completion);
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
    descriptor->operation.function = onCompletion;
    descriptor->cancel.function = onCancelCompletion;
    descriptor->tasks.submit.function = runSubmit;
    descriptor->tasks.cancel.function = runCancel;
    descriptor->tasks.abandon.function = runAbandon;
    descriptor->references = 1;
    FastRingLink(ring, &descriptor->member, &memberFunctions);
    return descriptor;
}

/* A shell's content may be looked at: 0 for it too. */
static bool mayLook(const struct FastRingDescriptor* descriptor)
{
    if (descriptor == NULL) {
        errno = EINVAL;
        return false;
    }
    if (FastRingCheck(descriptor->ring) == -EPERM) {
        errno = EPERM;
        return false;
    }
    return true;
}

struct io_uring_sqe* GetFastRingDescriptorSubmission(struct FastRingDescriptor* descriptor)
{
    return mayLook(descriptor) ? &descriptor->submission : NULL;
}

void* GetFastRingDescriptorClosure(struct FastRingDescriptor* descriptor)
{
    return mayLook(descriptor) ? descriptor->closure : NULL;
}

struct FastRing* GetFastRingDescriptorRing(struct FastRingDescriptor* descriptor)
{
    return mayLook(descriptor) ? descriptor->ring : NULL;
}

void* GetFastRingDescriptorData(struct FastRingDescriptor* descriptor, size_t* size)
{
    if (!mayLook(descriptor))
        return NULL;
    if (size != NULL)
        *size = sizeof(descriptor->data);
    return descriptor->data;
}

int SubmitFastRingDescriptor(struct FastRingDescriptor* descriptor)
{
    if (descriptor == NULL)
        return -EINVAL;
    int result = FastRingCheckCreate(descriptor->ring);
    if (result < 0)
        return result;
    if (descriptor->submission.flags & DESCRIPTOR_REFUSED)
        return -EINVAL;
    if (descriptor->state != DESCRIPTOR_IDLE)
        return -EBUSY;

    descriptor->prepared = descriptor->submission;
    descriptor->state = DESCRIPTOR_QUEUED;
    holdDescriptor(descriptor);
    deferTask(descriptor, &descriptor->tasks.submit);
    return 0;
}

int CancelFastRingDescriptor(struct FastRingDescriptor* descriptor)
{
    if (descriptor == NULL)
        return -EINVAL;
    int result = FastRingCheck(descriptor->ring);
    if (result < 0)
        return result;
    return endOperation(descriptor) ? 0 : -ENOENT;
}

void ReleaseFastRingDescriptor(struct FastRingDescriptor* descriptor)
{
    if (descriptor == NULL || FastRingCheck(descriptor->ring) == -EPERM)
        return;
    letGo(descriptor);
}
