/*
 * Running operations: from an entry to its completion.
 *
 * Good path: an entry is tried as it is taken, and most are over then. What has to wait is kept,
 * with the headers and vectors that it points to, and tried again when its descriptor is ready.
 * What is linked behind another is kept until that is over.
 *
 * Receives of many that have found no buffer stand in their group's line. Each enter serves it, as
 * far as there are buffers, when it has taken its entries, which may cancel some, and before others
 * have one. Who has had its turn stands behind the rest. Where the owner of the buffers knows of
 * all that were filled, and has put none, nobody is there who would: all of the line are told.
 *
 * Failures: no room for completions: what is queued stays so. No memory for an operation: its entry
 * stays in the array; for what it needs to wait: -ENOMEM is its result, and -EMFILE or -ENFILE
 * where a duplicate is needed, or what it has done so far.
 */
#include "engine/soft-run.h"

#include "engine/soft-buffer.h"
#include "engine/soft-code.h"
#include "engine/soft-entry.h"
#include "engine/soft-fetch.h"
#include "engine/soft-look.h"
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
    [IORING_OP_READ] = FastSoftReadOrWrite,
    [IORING_OP_READV] = FastSoftReadOrWrite,
    [IORING_OP_WRITE] = FastSoftReadOrWrite,
    [IORING_OP_WRITEV] = FastSoftReadOrWrite,
    [IORING_OP_SPLICE] = FastSoftSplice,
    [IORING_OP_ACCEPT] = FastSoftAccept,
    [IORING_OP_CONNECT] = FastSoftConnect,
    [IORING_OP_SHUTDOWN] = FastSoftShutdown,
    [IORING_OP_CLOSE] = FastSoftClose,
};

/* ---- one try ---- */

/* Beyond this enter nothing that headers and vectors lie in need live. Returns 0, -ENOMEM, or what
 * is wrong with them. */
static int keep(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    switch (operation->opcode) {
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
        return FastSoftKeepMessage(soft, operation);
    case IORING_OP_RECVMSG:
        return FastSoftBeginMessages(soft, operation);
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
        return FastSoftKeepVector(soft, operation);
    default:
        return 0;
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

/* What it has done so far is its result, or this. */
static void endEarly(struct FastSoft* soft, struct FastSoftOperation* operation, int result)
{
    bool counts = operation->opcode != IORING_OP_POLL_ADD &&
                  (operation->opcode != IORING_OP_RECV ||
                   !(operation->priority & IORING_RECV_MULTISHOT));
    if (operation->done > 0 && counts) {
        operation->state |= FAST_SOFT_SHORT;
        result = (int)operation->done;
    }
    if (operation->opcode == IORING_OP_SEND_ZC || operation->opcode == IORING_OP_SENDMSG_ZC)
        (void)FastSoftFinishSend(soft, operation, result);
    else
        (void)FastSoftFinish(soft, operation, result, FastSoftBufferFlags(operation));
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

/* What is needed beyond this enter. Returns 0, -ENOMEM, or what is wrong with it. Once is
 * enough. */
static int keepAll(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->state & FAST_SOFT_FOUND)
        return 0;
    bool needsNothing = operation->state & FAST_SOFT_DECIDED;
    int result = needsNothing ? 0 : keep(soft, operation);
    return result < 0 ? result : FastSoftRegister(soft, operation);
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

/* What it waits for: its next turn, a time, or a buffer. */
static int keepForTurn(struct FastSoft* soft, struct FastSoftOperation* operation,
                       enum FastSoftOutcome outcome)
{
    int result = FastSoftOwnHandle(soft, operation);
    if (result < 0)
        return result;
    if (outcome == FAST_SOFT_LOOK)
        return FastSoftAddLook(soft, operation);
    if (outcome == FAST_SOFT_STARVE)
        FastSoftStarve(soft, operation);
    else
        FastSoftAppend(&soft->later, operation, FAST_SOFT_LATER);
    return 0;
}

static int keepForHandle(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->state & FAST_SOFT_LOOKED)
        FastSoftForgetLook(soft, operation);
    return FastSoftPark(soft, operation);
}

/* What it waits for: that, or its descriptor. Inline, since each receive comes to this. */
__attribute__((always_inline)) static inline void keepFor(
    struct FastSoft* soft, struct FastSoftOperation* operation, enum FastSoftOutcome outcome)
{
    int result = keepAll(soft, operation);
    if (result == 0 && outcome == FAST_SOFT_WAIT)
        result = keepForHandle(soft, operation);
    else if (result == 0)
        result = keepForTurn(soft, operation, outcome);
    if (result < 0)
        onRefusedWatch(soft, operation, result);
}

/* There is room for what one step completes. The operation is in no place. */
static void step(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->state & (FAST_SOFT_CANCELED | FAST_SOFT_DECIDED)) {
        bool decided = operation->state & FAST_SOFT_DECIDED;
        endEarly(soft, operation, decided ? operation->number : -ECANCELED);
        return;
    }
    enum FastSoftOutcome outcome = tryOnce(soft, operation);
    if (outcome == FAST_SOFT_OVER)
        return;
    if (outcome == FAST_SOFT_BEGUN)
        beginSlow(soft, operation);
    else
        keepFor(soft, operation, outcome);
}

/* ---- the queue ---- */

static void lookAgain(struct FastSoft* soft, uint32_t number)
{
    FastSoftEnqueue(soft, FastSoftAt(soft, number));
}

void FastSoftLookAgain(struct FastSoft* soft)
{
    FastSoftTakeLooks(soft, lookAgain);
}

/* It comes to an end: what is run is over, waits, or has its next turn later. */
void FastSoftRunQueue(struct FastSoft* soft)
{
    while (soft->queue.first != NULL && FastSoftRoom(soft) >= FAST_SOFT_COMPLETIONS)
        step(soft, FastSoftTakeFirst(soft, &soft->queue));
}

/* Whether somebody is first in line, and learns something: there is a buffer, or there is none. */
static bool isDue(const struct FastSoft* soft, const struct FastSoftGroup* group)
{
    return group->line.first != NULL && FastSoftRoom(soft) >= FAST_SOFT_COMPLETIONS &&
           (FastSoftAvailable(group) > 0 || !FastSoftIsAwaited(soft, group));
}

/* It comes to an end: each takes a buffer, or stands in line no more. */
void FastSoftServeLines(struct FastSoft* soft)
{
    if (soft->groups.canceled)
        FastSoftQueueCanceled(soft);
    for (uint32_t index = 0; index < soft->groups.count; index++) {
        struct FastSoftGroup* group = &soft->groups.array[index];
        while (isDue(soft, group)) {
            struct FastSoftOperation* first = FastSoftTakeStarving(soft, group);
            first->state |= FAST_SOFT_SERVED;
            step(soft, first);
        }
    }
}

void FastSoftBeginPass(struct FastSoft* soft)
{
    while (soft->later.first != NULL)
        FastSoftEnqueue(soft, FastSoftTakeFirst(soft, &soft->later));
}

/* ---- submitting ---- */

static void forgetHeld(struct FastSoft* soft, unsigned place)
{
    soft->held[place / 64] &= ~(UINT64_C(1) << place % 64);
}

static void decide(struct FastSoftOperation* operation, int result)
{
    operation->number = result;
    operation->state |= FAST_SOFT_DECIDED;
}

/* What can't be run at once is canceled where there is no memory to keep it. What is wrong with it
 * is its result, when its turn comes. */
static void postpone(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    int result = keepAll(soft, operation);
    if (result < 0 && result != -ENOMEM) {
        decide(operation, result);
        result = keepAll(soft, operation);
    }
    if (result < 0)
        operation->state |= FAST_SOFT_CANCELED;
}

/* A close is about the number itself, and some are about none, or about others' files. */
static bool hasFile(const struct FastSoftOperation* operation)
{
    return tries[operation->opcode] != NULL && operation->opcode != IORING_OP_CLOSE &&
           operation->opcode != IORING_OP_ASYNC_CANCEL &&
           operation->opcode != IORING_OP_POLL_REMOVE && !(operation->flags & IOSQE_FIXED_FILE);
}

/* Its number may be another file's when it is run. What is stored has no duplicate, but doesn't
 * wait either: what it comes to is known before there is room to tell. Returns whether it goes on
 * by itself. */
static bool keepFile(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    const enum FastSoftState over = FAST_SOFT_CANCELED | FAST_SOFT_DECIDED;
    if (operation->state & over || !(operation->state & FAST_SOFT_HELD) || !hasFile(operation))
        return false;
    int result = FastSoftOwnHandle(soft, operation);
    if (result >= 0 && (operation->state & FAST_SOFT_OWN || !FastSoftIsTransfer(operation)))
        return false;
    if (result >= 0 && FastSoftTransfer(soft, operation, &result) == FAST_SOFT_BEGUN) {
        beginSlow(soft, operation);
        return true;
    }
    decide(operation, FastSoftBlame(soft, operation, result));
    return false;
}

/* What is canceled does no more, even if it is in the queue. */
static void runOrQueue(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    bool isFirst = soft->queue.first == NULL || operation->opcode == IORING_OP_ASYNC_CANCEL;
    if (isFirst && FastSoftRoom(soft) >= FAST_SOFT_COMPLETIONS) {
        step(soft, operation);
        return;
    }
    postpone(soft, operation);
    if (!keepFile(soft, operation))
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

/* Others wait for buffers of the same group: a receive of many stands behind them; anything else
 * can't, but comes when they have been served. Returns whether it stands there. */
static bool standBehind(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    const struct FastSoftGroup* group = FastSoftFindGroup(soft, operation->group);
    bool isReceive = operation->opcode == IORING_OP_RECV || operation->opcode == IORING_OP_RECVMSG;
    bool isLinked = operation->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK) || soft->chain != NULL;
    if (group == NULL || group->line.first == NULL)
        return false;
    if (isReceive && operation->priority & IORING_RECV_MULTISHOT && !isLinked) {
        keepFor(soft, operation, FAST_SOFT_STARVE);
        return true;
    }
    FastSoftServeLines(soft);
    return false;
}

/* It has its place among the others, and does nothing. */
static void startRefused(struct FastSoft* soft, struct FastSoftOperation* operation, int error)
{
    decide(operation, error);
    start(soft, operation);
}

/* Into an operation; false without memory. */
static bool takeOne(struct FastSoft* soft)
{
    const struct FastEngine* base = &soft->base;
    unsigned place = soft->submissionHead & base->submission.mask;
    struct io_uring_sqe* entry = &base->submission.entries[place];
    bool held = FastSoftIsHeld(soft, place);
    int error = FastSoftIsOdd(entry) ? FastSoftClassify(entry) : 0;
    struct FastSoftOperation* operation = FastSoftAllocate(soft, entry, held || error < 0);
    if (operation == NULL)
        return false;
    if (held)
        forgetHeld(soft, place);
    soft->submissionHead++;
    bool selects = operation->flags & IOSQE_BUFFER_SELECT;
    if (error < 0)
        startRefused(soft, operation, error);
    else if (soft->groups.starving == 0 || !selects || !standBehind(soft, operation))
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
