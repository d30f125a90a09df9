/*
 * An operation that its owner wants in the kernel for as long as a condition holds: a poll, a
 * receive, an accept.
 *
 * The owner says in its prepare phase what it wants (FastArmedUpdate), and this does what leads
 * there: submits, cancels, waits for both ends, and submits again. Its own completion handler asks
 * FastArmedTakeOther and calls FastArmedComplete first.
 *
 * References to the owner: one for the operation in flight, which the completion handler drops when
 * the operation is over; one for the cancellation in flight, which is dropped here.
 */
#ifndef FASTSOCKET_RING_ARMED_H
#define FASTSOCKET_RING_ARMED_H

#include "ring/ring.h"

enum FastArmedState
{
    FAST_ARMED_IDLE,
    FAST_ARMED_BACKOFF,   /* not submitted before FastArmedRetry */
    FAST_ARMED_IN_FLIGHT, /* as it was wanted */
    FAST_ARMED_CANCELING, /* the operation and its cancellation are both in flight */
    /* The same, though a cancellation before said that it was effective. */
    FAST_ARMED_CANCELING_AGAIN,
    FAST_ARMED_CANCEL_MISSED,   /* the cancellation found nothing yet: it is made again */
    FAST_ARMED_CANCEL_FAILED,   /* it found the operation at work: made again after Retry */
    FAST_ARMED_AWAITING_END,    /* it was effective; made again until the completion has come */
    FAST_ARMED_AWAITING_CANCEL, /* the operation is over; its cancellation would hit the next one */
};

struct FastArmed;

struct FastArmedFunctions
{
    /* Reserves an entry by FastArmedReserve and fills it. false: no room, called again after an
     * enter. */
    bool (*prepare)(struct FastArmed* armed);

    /* A cancellation is over; result as the kernel gave it (0, -ENOENT, -EALREADY). Another
     * update is due: at once where what was missed must end soon, else with the next reason for
     * one. */
    void (*canceled)(struct FastArmed* armed, int result);

    void (*hold)(struct FastArmed* armed); /* the owner */
    void (*drop)(struct FastArmed* armed);
};

/* Zeroed with operation.function is idle. Its owner hands over the same functions at each call;
 * they are not kept here, since there may be very many of these. */
struct FastArmed
{
    struct FastOperation operation; /* its function is the owner's, and hears of cancellations */
    uint32_t mark;                  /* the owner's, and so are those that follow */
    uint16_t notes;
    uint8_t form;
    uint8_t state; /* enum FastArmedState */
};

/* Makes it idle; function gets the completions. */
void FastArmedInitialize(struct FastArmed* armed,
                         void (*function)(struct FastOperation*, const struct io_uring_cqe*));

/* Whether an update would do anything: an owner that defers a task for it need not where it
 * would not. */
static inline bool FastArmedIsDue(const struct FastArmed* armed, bool wanted, bool stale)
{
    switch (armed->state) {
    case FAST_ARMED_IDLE:
        return wanted;
    case FAST_ARMED_IN_FLIGHT:
        return !wanted || stale;
    default:
        return armed->state == FAST_ARMED_CANCEL_MISSED || armed->state == FAST_ARMED_AWAITING_END;
    }
}

/* Brings what is in flight in line with what is wanted. stale: what is in flight is not what is
 * wanted now, and is replaced. false: the queue is full, call again after the next enter. Only
 * where entries may be reserved. */
bool FastArmedUpdate(struct FastRing* ring, struct FastArmed* armed,
                     const struct FastArmedFunctions* functions, bool wanted, bool stale);

/* For prepare: as FastRingReserve. */
struct io_uring_sqe* FastArmedReserve(struct FastRing* ring, struct FastArmed* armed);

/* Ends it at once where the kernel lets it, as FastRingLetGo: for a descriptor that is about to
 * be given up. Its completion comes as ever. false: its end comes later. */
bool FastArmedLetGo(struct FastRing* ring, struct FastArmed* armed,
                    const struct FastArmedFunctions* functions);

/* As FastRingTakeNow: the operation is over, its function won't be called, and the caller drops the
 * reference that it held. false: its last completion is not there yet. */
bool FastArmedTakeNow(struct FastRing* ring, struct FastArmed* armed,
                      struct io_uring_cqe* completion);

/* Not again before FastArmedRetry; only while nothing is in flight. */
void FastArmedBackOff(struct FastArmed* armed);

/* The time of a back-off, or of a cancellation that had failed, is over: another update is due. */
void FastArmedRetry(struct FastArmed* armed);

/* Nothing completes any more, the ring is gone: whatever was in flight counts as over. Its
 * references are the owner's to forget. */
void FastArmedForget(struct FastArmed* armed);

/* The operation is in flight. */
static inline bool FastArmedIsInFlight(const struct FastArmed* armed)
{
    return armed->state >= FAST_ARMED_IN_FLIGHT && armed->state <= FAST_ARMED_AWAITING_END;
}

/* Neither the operation nor a cancellation is in flight. */
static inline bool FastArmedIsIdle(const struct FastArmed* armed)
{
    return armed->state <= FAST_ARMED_BACKOFF;
}

/* Its end was asked for: an errno of a cancellation is ours. To be asked before
 * FastArmedComplete. */
static inline bool FastArmedIsCanceled(const struct FastArmed* armed)
{
    return armed->state > FAST_ARMED_IN_FLIGHT;
}

/* The operation and a cancellation are both in flight. */
static inline bool FastArmedIsCanceling(const struct FastArmed* armed)
{
    return armed->state == FAST_ARMED_CANCELING || armed->state == FAST_ARMED_CANCELING_AGAIN;
}

/* What FastArmedTakeCancel does with one. */
void FastArmedEndCancel(struct FastArmed* armed, const struct FastArmedFunctions* functions,
                        int result);

/* Whether a completion is a cancellation's: then all is done here, and the owner may be gone. */
static inline bool FastArmedTakeCancel(struct FastArmed* armed,
                                       const struct FastArmedFunctions* functions,
                                       const struct io_uring_cqe* completion)
{
    if (!(completion->user_data & FAST_OPERATION_CANCEL))
        return false;
    FastArmedEndCancel(armed, functions, completion->res);
    return true;
}

/* Whether a completion is a cancellation's, as FastArmedTakeCancel, or nobody's: some kernels have
 * completed once more what was over. No reference is held for that one, and it changes nothing. */
static inline bool FastArmedTakeOther(struct FastRing* ring, struct FastArmed* armed,
                                      const struct FastArmedFunctions* functions,
                                      const struct io_uring_cqe* completion)
{
    if (FastArmedTakeCancel(armed, functions, completion))
        return true;
    if (FastArmedIsInFlight(armed))
        return false;
    FastRingPassOver(ring, completion);
    return true;
}

/* Takes note of a completion. true: it was the last one, and the handler drops its reference at
 * its end. */
static inline bool FastArmedComplete(struct FastArmed* armed, const struct io_uring_cqe* completion)
{
    if (completion->flags & IORING_CQE_F_MORE)
        return false;
    bool isCancelLeft = FastArmedIsCanceling(armed);
    armed->state = isCancelLeft ? FAST_ARMED_AWAITING_CANCEL : FAST_ARMED_IDLE;
    return true;
}

#endif
