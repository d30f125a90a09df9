/*
 * The states of an armed operation.
 *
 * Good path: idle, submitted, in flight until its last completion. What is in flight and no longer
 * wanted is canceled; the next one is submitted when both the operation and its cancellation are over,
 * since a cancellation names its target by an address that the next one would have too.
 *
 * Failures: the queue is full: the caller comes again. A cancellation found nothing, since its target was
 * on its way to a thread or back: made again. It found the target at work, where nothing may move it for
 * long: made again only when the owner has waited a while.
 */
#include "ring/armed.h"

#include <errno.h>

static uint8_t afterCancel(int result)
{
    switch (result) {
    case -ENOENT:
        return FAST_ARMED_CANCEL_MISSED;
    case -EALREADY:
        return FAST_ARMED_CANCEL_FAILED;
    default:
        return FAST_ARMED_AWAITING_END;
    }
}

static void onCancel(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastArmed* armed = FAST_CONTAINER(operation, struct FastArmed, cancel);
    if (armed->state == FAST_ARMED_AWAITING_CANCEL)
        armed->state = FAST_ARMED_IDLE;
    else if (armed->state == FAST_ARMED_CANCELING)
        armed->state = afterCancel(completion->res);
    armed->functions->canceled(armed, completion->res);
    armed->functions->drop(armed);
}

void FastArmedInitialize(struct FastArmed* armed, const struct FastArmedFunctions* functions,
                         void (*function)(struct FastOperation*, const struct io_uring_cqe*))
{
    *armed = (struct FastArmed){
        .functions = functions,
        .operation.function = function,
        .cancel.function = onCancel,
    };
}

struct io_uring_sqe* FastArmedReserve(struct FastRing* ring, struct FastArmed* armed)
{
    return FastRingReserve(ring, &armed->operation);
}

static bool submit(struct FastArmed* armed)
{
    if (!armed->functions->prepare(armed))
        return false;
    armed->state = FAST_ARMED_IN_FLIGHT;
    armed->functions->hold(armed);
    return true;
}

static bool cancel(struct FastRing* ring, struct FastArmed* armed)
{
    if (!FastRingCancel(ring, &armed->cancel, &armed->operation))
        return false;
    armed->state = FAST_ARMED_CANCELING;
    armed->functions->hold(armed);
    return true;
}

bool FastArmedUpdate(struct FastRing* ring, struct FastArmed* armed, bool wanted, bool stale)
{
    switch (armed->state) {
    case FAST_ARMED_IDLE:
        return !wanted || submit(armed);
    case FAST_ARMED_IN_FLIGHT:
        return (wanted && !stale) || cancel(ring, armed);
    case FAST_ARMED_CANCEL_MISSED:
        return cancel(ring, armed);
    default:
        return true;
    }
}

bool FastArmedLetGo(struct FastRing* ring, struct FastArmed* armed)
{
    if (!FastArmedIsInFlight(armed))
        return true;
    bool was = armed->state == FAST_ARMED_CANCELING;
    bool canceling = was;
    bool over = FastRingLetGo(ring, &armed->cancel, &canceling, &armed->operation);
    if (canceling && !was) {
        armed->state = FAST_ARMED_CANCELING;
        armed->functions->hold(armed);
    } else if (!canceling)
        armed->state = over ? FAST_ARMED_AWAITING_END : FAST_ARMED_CANCEL_MISSED;
    return over;
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
