/*
 * Running operations: from an entry to its completion.
 *
 * Good path: an entry is tried as it is taken, and most are over then. What has to wait is kept,
 * with the headers and vectors that it points to, and tried again when its descriptor is ready.
 * What is linked behind another is kept until that is over.
 *
 * Failures: no room for completions: what is queued stays so. No memory for an operation: its entry
 * stays in the array; for what it needs to wait: -ENOMEM is its result, and -EMFILE or -ENFILE
 * where a duplicate is needed, or what it has done so far.
 */
#include "engine/soft-run.h"

#include "engine/soft-code.h"
#include "engine/soft-node.h"

#include <errno.h>
#include <poll.h>

static const FastSoftTry tries[UINT8_MAX + 1] = {
    [IORING_OP_POLL_ADD] = FastSoftPoll,
    [IORING_OP_POLL_REMOVE] = FastSoftRemovePoll,
    [IORING_OP_ASYNC_CANCEL] = FastSoftCancel,
    [IORING_OP_RECV] = FastSoftReceive,
    [IORING_OP_RECVMSG] = FastSoftReceiveMessage,
    [IORING_OP_SEND] = FastSoftSend,
    [IORING_OP_SENDMSG] = FastSoftSendMessage,
    [IORING_OP_SEND_ZC] = FastSoftSend,
    [IORING_OP_SENDMSG_ZC] = FastSoftSendMessage,
    [IORING_OP_READ] = FastSoftRead,
    [IORING_OP_READV] = FastSoftRead,
    [IORING_OP_WRITE] = FastSoftWrite,
    [IORING_OP_WRITEV] = FastSoftWrite,
    [IORING_OP_SPLICE] = FastSoftSplice,
    [IORING_OP_ACCEPT] = FastSoftAccept,
    [IORING_OP_CONNECT] = FastSoftConnect,
    [IORING_OP_SHUTDOWN] = FastSoftShutdown,
    [IORING_OP_CLOSE] = FastSoftClose,
};

/* ---- one try ---- */

/* Beyond this enter nothing that headers and vectors lie in need live. */
static bool keep(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    switch (operation->opcode) {
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
        return FastSoftKeepMessage(soft, operation);
    case IORING_OP_RECVMSG:
        FastSoftBeginMessages(operation);
        return true;
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
        return FastSoftKeepVector(soft, operation);
    default:
        return true;
    }
}

/* A file that is always ready: as in the kernel a poll is over when it has said so, also one of
 * many, and asking for what never comes is a mistake. */
static void pollAlwaysReady(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    const uint32_t always = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    int events = (int)(operation->options & always);
    (void)FastSoftFinish(soft, operation, events != 0 ? events : -EINVAL, 0);
}

/* What it has done so far is its result, or the error. */
static void endEarly(struct FastSoft* soft, struct FastSoftOperation* operation, int error)
{
    bool counts = operation->opcode != IORING_OP_POLL_ADD &&
                  (operation->opcode != IORING_OP_RECV ||
                   !(operation->priority & IORING_RECV_MULTISHOT));
    if (operation->done > 0 && counts) {
        operation->state |= FAST_SOFT_SHORT;
        (void)FastSoftFinish(soft, operation, (int)operation->done,
                             FastSoftBufferFlags(operation));
        return;
    }
    (void)FastSoftFinish(soft, operation, error, 0);
}

/* It can't wait: without memory or a number for a duplicate, or since its descriptor is always
 * ready, or none any more. */
static void onRefusedWatch(struct FastSoft* soft, struct FastSoftOperation* operation, int error)
{
    if (error == -EPERM && operation->opcode == IORING_OP_POLL_ADD)
        pollAlwaysReady(soft, operation);
    else
        endEarly(soft, operation, error == -EPERM ? -EAGAIN : error);
}

static enum FastSoftOutcome tryOnce(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->opcode == IORING_OP_NOP)
        return FastSoftFinish(soft, operation, 0, 0);
    if (operation->flags & IOSQE_FIXED_FILE)
        return FastSoftFinish(soft, operation, -EBADF, 0);
    FastSoftTry function = tries[operation->opcode];
    if (function == NULL)
        return FastSoftFinish(soft, operation, -EOPNOTSUPP, 0);
    return function(soft, operation);
}

/* What is needed beyond this enter; false: there is no memory for it. Once is enough. */
static bool keepAll(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    return operation->state & FAST_SOFT_FOUND ||
           (keep(soft, operation) && FastSoftRegister(soft, operation) == 0);
}

/* The system has it: one that can't be found can't be canceled, and that couldn't be anyway. */
static void beginSlow(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    operation->place = FAST_SOFT_SLOW;
    soft->slow++;
    (void)FastSoftRegister(soft, operation);
}

void FastSoftTakeSlow(struct FastSoft* soft)
{
    void* operation;
    ssize_t result;
    while (soft->slow > 0 && FastSoftRoom(soft) >= FAST_SOFT_COMPLETIONS &&
           soft->system->functions->takeSlow(soft->system, &operation, &result)) {
        soft->slow--;
        FastSoftFinishSlow(soft, operation, result);
    }
    /* The system tells once: whether there are more is asked again when there is room. */
    soft->slowLeft = soft->slow > 0 && FastSoftRoom(soft) < FAST_SOFT_COMPLETIONS;
}

/* The next enter goes on with it. */
static int putOff(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    int result = FastSoftOwnHandle(soft, operation);
    if (result < 0)
        return result;
    FastSoftAppend(&soft->later, operation, FAST_SOFT_LATER);
    return 0;
}

/* There is room for what one step completes. The operation is in no place. */
static void step(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->state & (FAST_SOFT_CANCELED | FAST_SOFT_REFUSED)) {
        bool refused = operation->state & FAST_SOFT_REFUSED;
        endEarly(soft, operation, refused ? operation->number : -ECANCELED);
        return;
    }
    enum FastSoftOutcome outcome = tryOnce(soft, operation);
    if (outcome == FAST_SOFT_OVER)
        return;
    if (outcome == FAST_SOFT_BEGUN) {
        beginSlow(soft, operation);
        return;
    }
    int result = keepAll(soft, operation) ? 0 : -ENOMEM;
    if (result == 0 && outcome == FAST_SOFT_WAIT)
        result = FastSoftPark(soft, operation);
    else if (result == 0)
        result = putOff(soft, operation);
    if (result < 0)
        onRefusedWatch(soft, operation, result);
}

/* ---- the queue ---- */

/* It comes to an end: what is run is over, waits, or has its next turn later. */
void FastSoftRunQueue(struct FastSoft* soft)
{
    while (soft->queue.first != NULL && FastSoftRoom(soft) >= FAST_SOFT_COMPLETIONS)
        step(soft, FastSoftTakeFirst(soft, &soft->queue));
}

void FastSoftBeginPass(struct FastSoft* soft)
{
    while (soft->later.first != NULL)
        FastSoftEnqueue(soft, FastSoftTakeFirst(soft, &soft->later));
}

/* ---- submitting ---- */

/* Whether an entry was marked by FastEngineFunctions.hold. */
static bool isHeld(const struct FastSoft* soft, unsigned place)
{
    return soft->held[place / 64] & UINT64_C(1) << place % 64;
}

static void forgetHeld(struct FastSoft* soft, unsigned place)
{
    soft->held[place / 64] &= ~(UINT64_C(1) << place % 64);
}

/* What can't be run at once is canceled where it can't be kept. */
static void postpone(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (!keepAll(soft, operation))
        operation->state |= FAST_SOFT_CANCELED;
}

/* A close is about the number itself, and some are about none, or about others' files. */
static bool hasFile(const struct FastSoftOperation* operation)
{
    return tries[operation->opcode] != NULL && operation->opcode != IORING_OP_CLOSE &&
           operation->opcode != IORING_OP_ASYNC_CANCEL &&
           operation->opcode != IORING_OP_POLL_REMOVE && !(operation->flags & IOSQE_FIXED_FILE);
}

/* Its number may be another file's when it is run. */
static void keepFile(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    int result = hasFile(operation) ? FastSoftOwnHandle(soft, operation) : 0;
    if (result >= 0 || !(operation->state & FAST_SOFT_HELD))
        return;
    operation->number = result;
    operation->state |= FAST_SOFT_REFUSED;
}

static void runOrQueue(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (soft->queue.first == NULL && FastSoftRoom(soft) >= FAST_SOFT_COMPLETIONS) {
        step(soft, operation);
        return;
    }
    postpone(soft, operation);
    keepFile(soft, operation);
    FastSoftEnqueue(soft, operation);
}

/* A chain is run from its first operation on when its last has come. */
static void startChain(struct FastSoft* soft)
{
    struct FastSoftOperation* operation = soft->head;
    soft->chain = NULL;
    soft->head = NULL;
    if (operation != NULL)
        runOrQueue(soft, operation);
}

static void start(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    bool linksNext = operation->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK);
    if (soft->chain == NULL && !linksNext) {
        runOrQueue(soft, operation);
        return;
    }
    if (soft->chain != NULL) {
        soft->chain->linked = operation->self;
        operation->place = FAST_SOFT_LINKED;
        postpone(soft, operation);
    } else {
        soft->head = operation;
    }
    soft->chain = operation;
    if (!linksNext)
        startChain(soft);
}

/* Messages that go by one call; returns how many. What is held is so for a wait, and none waits. */
static unsigned takeTogether(struct FastSoft* soft)
{
    const struct FastEngine* base = &soft->base;
    unsigned place = soft->submissionHead & base->submission.mask;
    if (base->submission.entries[place].opcode != IORING_OP_SENDMSG || soft->chain != NULL ||
        soft->queue.first != NULL)
        return 0;
    unsigned count = FastSoftSendTogether(soft, soft->submissionHead);
    for (unsigned index = 0; index < count; index++)
        forgetHeld(soft, (soft->submissionHead + index) & base->submission.mask);
    return count;
}

/* Into an operation; false without memory. */
static bool takeOne(struct FastSoft* soft)
{
    const struct FastEngine* base = &soft->base;
    unsigned place = soft->submissionHead & base->submission.mask;
    bool held = isHeld(soft, place);
    struct FastSoftOperation* operation =
        FastSoftAllocate(soft, &base->submission.entries[place], held);
    if (operation == NULL)
        return false;
    if (held)
        forgetHeld(soft, place);
    soft->submissionHead++;
    start(soft, operation);
    return true;
}

int FastSoftSubmit(struct FastSoft* soft)
{
    int result = 0;
    while (soft->submissionHead != soft->base.submission.tail && result == 0) {
        unsigned together = takeTogether(soft);
        soft->submissionHead += together;
        if (together == 0 && !takeOne(soft))
            result = -ENOMEM;
    }
    if (result < 0)
        return result;
    startChain(soft); /* one that the last entry has left open */
    /* All are taken: the next ones have the first places again, which are in the cache. */
    soft->submissionHead = 0;
    soft->base.submission.tail = 0;
    return 0;
}
