/*
 * Polls and cancellations in user space.
 *
 * A poll tries nothing: it waits at once, and the system says at once what holds already. What has
 * come lies in the operation until there is room to tell of it.
 */
#include "engine/soft-code.h"

#include "engine/soft-node.h"

#include <errno.h>
#include <poll.h>

enum
{
    POLL_MANY = 1, /* IORING_POLL_ADD_MULTI */
    CANCEL_ALL = 1 << 0, /* IORING_ASYNC_CANCEL_* */
    CANCEL_FD = 1 << 1,
    CANCEL_ANY = 1 << 2,
    CANCEL_FIXED = 1 << 3, /* IORING_ASYNC_CANCEL_FD_FIXED: there is no table */
    CANCEL_OWNER = 1 << 4, /* IORING_ASYNC_CANCEL_USERDATA */
    CANCEL_OPCODE = 1 << 5, /* IORING_ASYNC_CANCEL_OP */
    CANCEL_KNOWN = (1 << 6) - 1,
};

/* What it is told of: always also an error, a hang-up, and the end of the peer's output. */
static uint32_t eventsFor(const struct FastSoftOperation* operation)
{
    return (uint32_t)operation->extra & (FastSoftEventsOf(operation) | POLLERR | POLLHUP);
}

enum FastSoftOutcome FastSoftPoll(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (!(operation->state & FAST_SOFT_STARTED)) {
        operation->state |= FAST_SOFT_STARTED;
        operation->extra = 0;
        return FAST_SOFT_WAIT;
    }
    uint32_t events = eventsFor(operation);
    operation->extra = 0;
    if (events == 0)
        return FAST_SOFT_WAIT;
    if (!(operation->length & POLL_MANY))
        return FastSoftFinish(soft, operation, (int)events, 0);
    FastSoftPost(soft, operation->owner, (int)events, IORING_CQE_F_MORE);
    return FAST_SOFT_WAIT;
}

/* ---- taking back ---- */

/* The system does it already. What a send waits for may never come, and a part of its record may
 * have gone, behind which nothing else may follow: so its socket's output ends. */
static int cancelSlow(struct FastSoft* soft, struct FastSoftOperation* target)
{
    if (target->opcode == IORING_OP_SEND || target->opcode == IORING_OP_SENDMSG) {
        (void)soft->system->functions->shutdown(soft->system, target->handle, SHUT_WR);
        target->state |= FAST_SOFT_CANCELED;
    }
    return -EALREADY;
}

/* Of one in flight, which is not over yet. Returns 0, or -EALREADY: it ends when it ends. */
static int cancelOne(struct FastSoft* soft, struct FastSoftOperation* target)
{
    if (target->place == FAST_SOFT_SLOW)
        return cancelSlow(soft, target);
    if (target->place == FAST_SOFT_WAITING)
        FastSoftUnpark(soft, target);
    else if (target->place == FAST_SOFT_LATER)
        FastSoftRemoveLater(soft, target);
    else if (target->place == FAST_SOFT_STARVING)
        soft->groups.canceled = true; /* they are taken out together */
    else if (target->place == FAST_SOFT_LOOKING)
        target->place = FAST_SOFT_NOWHERE;
    target->state |= FAST_SOFT_CANCELED;
    if (target->place == FAST_SOFT_NOWHERE)
        FastSoftEnqueue(soft, target);
    return 0;
}

static bool isMeant(const struct FastSoftOperation* cancel, const struct FastSoftOperation* target)
{
    if (target == cancel || target->state & FAST_SOFT_CANCELED)
        return false;
    if (cancel->options & CANCEL_ANY)
        return true;
    if (cancel->options & CANCEL_FD && FastSoftSubmittedHandle(target) != cancel->handle)
        return false;
    if (cancel->options & CANCEL_OPCODE && target->opcode != cancel->length)
        return false;
    bool byOwner = cancel->options & CANCEL_OWNER ||
                   !(cancel->options & (CANCEL_FD | CANCEL_OPCODE));
    return !byOwner || target->owner == cancel->address;
}

/* All that are meant, or the first; returns how many. */
static int cancelMeant(struct FastSoft* soft, const struct FastSoftOperation* cancel)
{
    int count = 0;
    for (uint32_t chain = 0; chain <= soft->operations.mask; chain++) {
        uint32_t number = soft->operations.owners[chain];
        for (; number != 0; number = FastSoftAt(soft, number)->sameOwner) {
            struct FastSoftOperation* target = FastSoftAt(soft, number);
            if (!isMeant(cancel, target))
                continue;
            count += cancelOne(soft, target) == 0;
            if (!(cancel->options & (CANCEL_ALL | CANCEL_ANY)))
                return count;
        }
    }
    return count;
}

/* Of an owner's. A removal of a poll finds polls alone. */
static bool isWanted(const struct FastSoftOperation* cancel, const struct FastSoftOperation* target)
{
    if (target->owner != cancel->address || target->state & FAST_SOFT_CANCELED)
        return false;
    return cancel->opcode != IORING_OP_POLL_REMOVE || target->opcode == IORING_OP_POLL_ADD;
}

static struct FastSoftOperation* findTarget(const struct FastSoft* soft,
                                            const struct FastSoftOperation* cancel)
{
    struct FastSoftOperation* target = FastSoftFind(soft, cancel->address);
    while (target != NULL && !isWanted(cancel, target))
        target = FastSoftIfAny(soft, target->sameOwner);
    return target;
}

static enum FastSoftOutcome cancelOwner(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    struct FastSoftOperation* target = findTarget(soft, operation);
    if (target == NULL)
        return FastSoftFinish(soft, operation, -ENOENT, 0);
    return FastSoftFinish(soft, operation, cancelOne(soft, target), 0);
}

enum FastSoftOutcome FastSoftCancel(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    const uint32_t apart = CANCEL_FD | CANCEL_OPCODE; /* from any */
    if (operation->options & ~(uint32_t)CANCEL_KNOWN ||
        (operation->options & CANCEL_ANY && operation->options & apart))
        return FastSoftFinish(soft, operation, -EINVAL, 0);
    if (operation->options == 0)
        return cancelOwner(soft, operation);
    /* Nothing is meant by the number of no descriptor. */
    if (operation->options & CANCEL_FD &&
        (operation->options & CANCEL_FIXED ||
         !soft->system->functions->isOpen(soft->system, operation->handle)))
        return FastSoftFinish(soft, operation, -EBADF, 0);
    int count = cancelMeant(soft, operation);
    if (operation->options & (CANCEL_ALL | CANCEL_ANY))
        return FastSoftFinish(soft, operation, count, 0);
    return FastSoftFinish(soft, operation, count > 0 ? 0 : -ENOENT, 0);
}

enum FastSoftOutcome FastSoftRemovePoll(struct FastSoft* soft,
                                        struct FastSoftOperation* operation)
{
    return cancelOwner(soft, operation);
}
