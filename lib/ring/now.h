/*
 * What can't wait for the next turn: on the ring's thread, in callbacks and between turns; not in
 * the prepare phase.
 */
#ifndef FASTSOCKET_RING_NOW_H
#define FASTSOCKET_RING_NOW_H

#include "ring/enter.h"

/* Ends target in the kernel, which then holds no file of its any more; its completion comes as
 * ever. *canceling: a cancellation is in flight, whose user_data is cancel; becomes true if one was
 * needed. Returns false if the end comes later, by that cancellation or the next: the kernel took
 * nothing. */
bool FastRingLetGo(struct FastRing* ring, uint64_t cancel, bool* canceling,
                   const struct FastOperation* target);

/* Makes an operation harmless that is reserved and has not entered the kernel yet: false if it has.
 * Its completion comes as ever, with an errno that says nothing. */
bool FastRingWithdraw(const struct FastRing* ring, const struct FastOperation* operation);

/* Reserves as FastRingReserve, after an enter if the queue is full. */
struct io_uring_sqe* FastRingReserveNow(struct FastRing* ring, struct FastOperation* operation);

/* Takes the final completion of an operation out of the queue: its function won't be called. */
bool FastRingTakeNow(struct FastRing* ring, const struct FastOperation* operation,
                     struct io_uring_cqe* completion);

#endif
