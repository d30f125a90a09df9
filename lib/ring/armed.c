/*
 * The states of an armed operation.
 *
 * Good path: idle, submitted, in flight until its last completion. What is in flight and no longer
 * wanted is canceled; the next one is submitted when both the operation and its cancellation are
 * over, since a cancellation names its target by an address that the next one would have too.
 *
 * Failures: the queue is full: the caller comes again. A cancellation's result means nothing for
 * certain, only the end of the operation does. It found nothing, since its target was on its way to
 * a thread or back, or says that it was effective: made again, if the end has not come meanwhile.
 * It found the target at work, where nothing may move it for long: made again only when the owner
 * has waited a while.
 */
#include "ring/armed.h"

#include <errno.h>

static uint8_t afterCancel(uint8_t state, int result)
{
    if (state == FAST_ARMED_AWAITING_CANCEL)
        return FAST_ARMED_IDLE;
    if (result == -EALREADY)
        return FAST_ARMED_CANCEL_FAILED;
    return result == -ENOENT && state == FAST_ARMED_CANCELING ? FAST_ARMED_CANCEL_MISSED
                                                              : FAST_ARMED_AWAITING_END;
}

void FastArmedEndCancel(struct FastArmed* armed, const struct FastArmedFunctions* functions,
                        int result)
{
    if (FastArmedIsCanceling(armed) || armed->state == FAST_ARMED_AWAITING_CANCEL)
        armed->state = afterCancel(armed->state, result);
    functions->canceled(armed, result);
    functions->drop(armed);
}

void FastArmedInitialize(struct FastArmed* armed,
                         void (*function)(struct FastOperation*, const struct io_uring_cqe*))
{
    *armed = (struct FastArmed){.operation.function = function};
}

struct io_uring_sqe* FastArmedReserve(struct FastRing* ring, struct FastArmed* armed)
{
    return FastRingReserve(ring, &armed->operation);
}

static bool submit(struct FastArmed* armed, const struct FastArmedFunctions* functions)
{
    if (!functions->prepare(armed))
        return false;
    armed->state = FAST_ARMED_IN_FLIGHT;
    functions->hold(armed);
    return true;
}

static uint64_t cancelOf(const struct FastArmed* armed)
{
    return (uintptr_t)&armed->operation | FAST_OPERATION_CANCEL;
}

static bool cancel(struct FastRing* ring, struct FastArmed* armed,
                   const struct FastArmedFunctions* functions)
{
    struct io_uring_sqe* entry = FastRingReserve(ring, NULL);
    if (entry == NULL)
        return false;
    io_uring_prep_cancel64(entry, (uintptr_t)&armed->operation, 0);
    entry->user_data = cancelOf(armed);
    bool again = armed->state == FAST_ARMED_AWAITING_END;
    armed->state = again ? FAST_ARMED_CANCELING_AGAIN : FAST_ARMED_CANCELING;
    functions->hold(armed);
    return true;
}

bool FastArmedUpdate(struct FastRing* ring, struct FastArmed* armed,
                     const struct FastArmedFunctions* functions, bool wanted, bool stale)
{
    if (!FastArmedIsDue(armed, wanted, stale))
        return true;
    return armed->state == FAST_ARMED_IDLE ? submit(armed, functions)
                                           : cancel(ring, armed, functions);
}

bool FastArmedLetGo(struct FastRing* ring, struct FastArmed* armed,
                    const struct FastArmedFunctions* functions)
{
    if (!FastArmedIsInFlight(armed))
        return true;
    bool was = FastArmedIsCanceling(armed);
    bool canceling = was;
    bool over = FastRingLetGo(ring, cancelOf(armed), &canceling, &armed->operation);
    if (canceling && !was) {
        armed->state = FAST_ARMED_CANCELING;
        functions->hold(armed);
    } else if (!canceling)
        armed->state = over ? FAST_ARMED_AWAITING_END : FAST_ARMED_CANCEL_MISSED;
    return over;
}

bool FastArmedTakeNow(struct FastRing* ring, struct FastArmed* armed,
                      struct io_uring_cqe* completion)
{
    return FastArmedIsInFlight(armed) && FastRingTakeNow(ring, &armed->operation, completion) &&
           FastArmedComplete(armed, completion);
}

void FastArmedBackOff(struct FastArmed* armed)
{
    if (armed->state == FAST_ARMED_IDLE)
        armed->state = FAST_ARMED_BACKOFF;
}

void FastArmedRetry(struct FastArmed* armed)
{
    if (armed->state == FAST_ARMED_BACKOFF)
        armed->state = FAST_ARMED_IDLE;
    else if (armed->state == FAST_ARMED_CANCEL_FAILED)
        armed->state = FAST_ARMED_CANCEL_MISSED;
}

void FastArmedForget(struct FastArmed* armed)
{
    armed->state = FAST_ARMED_IDLE;
}
