/* Entries on their way down. */
#include "scheduler-state.h"

#include "memory-system.h"
#include "outcomes.h"
#include "schedule.h"

#include "engine/soft-state.h"

#include <errno.h>

enum
{
    LIES = 3, /* about one target, in a row */
    OPCODE_NONE = 254,
};

#define LINKS (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)

/* ---- operations ---- */

static struct Operation* allocate(const struct io_uring_sqe* entry)
{
    uint32_t index = 0;

    while (index < SCHEDULER_OPERATIONS && scheduler.operations[index].used)
        index++;
    if (index == SCHEDULER_OPERATIONS)
        wrong("the simulation has too many operations");
    if (index >= scheduler.used)
        scheduler.used = index + 1;
    struct Operation* operation = &scheduler.operations[index];
    *operation = (struct Operation){
        .used = true,
        .opcode = entry->opcode,
        .flags = entry->flags,
        .priority = entry->ioprio,
        .group = entry->buf_group,
        .owner = entry->user_data,
        .below = ++scheduler.serial << 16 | index,
    };
    return operation;
}

/* Two in flight of one owner could not be told from each other. What only tells that something else
 * is over is no harm. */
static void checkOwner(const struct io_uring_sqe* entry)
{
    if (entry->opcode == IORING_OP_NOP)
        return;
    for (uint32_t index = 0; index < scheduler.used; index++) {
        const struct Operation* other = &scheduler.operations[index];
        if (other->used && other->owner == entry->user_data && !other->endedAbove)
            wrong("an operation (%u) is submitted while it is in flight", other->opcode);
    }
}

static struct Operation* findTarget(uint64_t owner)
{
    for (uint32_t index = 0; index < scheduler.used; index++) {
        struct Operation* operation = &scheduler.operations[index];
        if (operation->used && operation->owner == owner && !operation->endedAbove)
            return operation;
    }
    return NULL;
}

static void classify(struct Operation* operation)
{
    if (operation->flags & LINKS && scheduler.chain == 0)
        scheduler.chain = operation->below;
    if (scheduler.chain != 0)
        operation->class = scheduler.chain * CLASS_COUNT + CLASS_OWN;
    else if (operation->flags & IOSQE_BUFFER_SELECT)
        operation->class = (uint64_t)operation->group * CLASS_COUNT + CLASS_GROUP;
    else
        operation->class = operation->below * CLASS_COUNT + CLASS_OWN;
    if (!(operation->flags & LINKS))
        scheduler.chain = 0;
}

static uint64_t sizeOf(const struct iovec* vector, size_t count)
{
    uint64_t size = 0;

    for (size_t index = 0; index < count; index++)
        size += vector[index].iov_len;
    return size;
}

static uint64_t wantedOf(const struct io_uring_sqe* entry)
{
    const struct msghdr* message = (const struct msghdr*)(uintptr_t)entry->addr;

    if (entry->opcode == IORING_OP_WRITEV)
        return sizeOf((const struct iovec*)(uintptr_t)entry->addr, entry->len);
    if (entry->opcode != IORING_OP_SENDMSG && entry->opcode != IORING_OP_SENDMSG_ZC)
        return entry->len;
    return sizeOf(message->msg_iov, message->msg_iovlen);
}

/* ---- what becomes of an entry ---- */

/* The engine below has one that fails, so that what is linked behind it is canceled; another result
 * than its own is told. */
static void answer(struct Operation* operation, struct io_uring_sqe* entry, int error)
{
    operation->answered = true;
    operation->answer = -error;
    *entry = (struct io_uring_sqe){
        .opcode = OPCODE_NONE,
        .flags = entry->flags & LINKS,
        .fd = -1,
        .user_data = operation->below,
    };
}

static void passCancel(struct Operation* operation, struct io_uring_sqe* entry)
{
    struct Operation* target = entry->cancel_flags == 0 ? findTarget(entry->addr) : NULL;

    if (target == NULL) {
        entry->addr = entry->cancel_flags == 0 ? 0 : entry->addr;
        return;
    }
    entry->addr = target->below;
    if (target->lies >= LIES || !happens(FAULT_CANCEL))
        return;
    target->lies++;
    /* A poll is found as long as it is armed. Others are made again when they are woken, and then
     * nobody finds them; but a listener accepts when a poll has told it to, and no thread does. */
    bool isFound = target->opcode == IORING_OP_POLL_ADD ||
                   (target->opcode == IORING_OP_ACCEPT && !target->held);
    bool works = isFound || choose(2) == 0;
    if (works && scheduler.cancelCount == SCHEDULER_CANCELS)
        return;
    if (works) /* a thread is at it, and is told to end */
        scheduler.cancels[scheduler.cancelCount++] = target->below;
    answer(operation, entry, works ? EALREADY : ENOENT);
    tell("cancellation of %u says %d", target->opcode, operation->answer);
}

static bool isCancel(uint8_t opcode)
{
    return opcode == IORING_OP_ASYNC_CANCEL || opcode == IORING_OP_POLL_REMOVE;
}

static void fail(struct Operation* operation, struct io_uring_sqe* entry)
{
    const struct MemoryFile* file = handleFile(entry->fd);

    if (file == NULL || file->kind == MEMORY_EVENT || !happens(FAULT_ERRNO))
        return;
    int error = outcomeDrawError(entry, file);
    if (error == 0)
        return;
    tell("operation %u of %d fails: %d", entry->opcode, entry->fd, error);
    answer(operation, entry, error);
}

static void notePassed(struct Operation* operation, uint64_t target, bool held)
{
    scheduler.passed[scheduler.passedCount++] = (struct Passed){operation, target, held};
}

static void passEntry(unsigned place)
{
    const struct io_uring_sqe* entry = &scheduler.entries[place];
    struct io_uring_sqe* below = FastEngineReserve(scheduler.below);

    checkOwner(entry);
    struct Operation* operation = allocate(entry);
    *below = *entry;
    below->user_data = operation->below;
    classify(operation);
    operation->wanted = wantedOf(entry);
    operation->handle = entry->fd;
    operation->held = scheduler.held[place];
    guardBegin(&operation->guard, entry);
    tell("entry %u of %d, flags %x, ioprio %x, len %u", entry->opcode, entry->fd, entry->flags,
         entry->ioprio, entry->len);
    if (isCancel(entry->opcode))
        passCancel(operation, below);
    else
        fail(operation, below);
    if (scheduler.held[place] && !operation->answered)
        FastEngineHold(scheduler.below, below);
    notePassed(operation, 0, scheduler.held[place]);
    scheduler.held[place] = false;
}

/* A chain is not taken apart. */
void schedulerPassEntries(uint32_t most)
{
    bool linked = false;

    while (scheduler.submissionHead != scheduler.base.submission.tail && (most > 0 || linked)) {
        unsigned place = scheduler.submissionHead & scheduler.base.submission.mask;
        linked = scheduler.entries[place].flags & LINKS;
        passEntry(place);
        scheduler.submissionHead++;
        most -= most > 0;
    }
}

/* Not into a chain that the engine has begun. */
void schedulerPassCancels(void)
{
    scheduler.passedCount = 0;
    if (scheduler.chain != 0)
        return;
    run->rich = scheduler.cancelCount > 0; /* else what is to be canceled would go on */
    for (uint32_t index = 0; index < scheduler.cancelCount; index++) {
        struct io_uring_sqe* entry = FastEngineReserve(scheduler.below);
        io_uring_prep_cancel64(entry, scheduler.cancels[index], 0);
        entry->user_data = UINT64_MAX;
        notePassed(NULL, scheduler.cancels[index], false);
    }
    scheduler.cancelCount = 0;
}

static void takeBack(const struct Passed* passed)
{
    if (passed->operation == NULL) {
        scheduler.cancels[scheduler.cancelCount++] = passed->target;
        return;
    }
    passed->operation->used = false;
    scheduler.submissionHead--;
    scheduler.held[scheduler.submissionHead & scheduler.base.submission.mask] = passed->held;
}

/* The next entry in its place in the engine's queue is another one. */
static void forgetHeld(unsigned place)
{
    struct FastSoft* soft = (struct FastSoft*)scheduler.below;

    place &= scheduler.below->submission.mask;
    soft->held[place / 64] &= ~(UINT64_C(1) << place % 64);
}

void schedulerTakeBack(void)
{
    uint32_t left = FastEngineReserved(scheduler.below);
    bool all = left == 0;

    scheduler.chain = 0;
    scheduler.below->submission.tail -= left;
    for (; left > 0; left--) {
        forgetHeld(scheduler.below->submission.tail + left - 1);
        takeBack(&scheduler.passed[--scheduler.passedCount]);
    }
    if (all || scheduler.passedCount == 0)
        return;
    const struct Operation* last = scheduler.passed[scheduler.passedCount - 1].operation;
    bool open = last != NULL && last->flags & LINKS;
    scheduler.chain = open ? last->class / CLASS_COUNT : 0;
}
