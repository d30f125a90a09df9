/*
 * What the completion of a raw operation says of memory that is not the descriptor's own.
 */
#ifndef FASTSOCKET_OPERATION_CLAIM_H
#define FASTSOCKET_OPERATION_CLAIM_H

#include "ring/ring.h"

/* The buffers of a provider that a completion names, while its user hears of it. */
struct FastOperationClaim
{
    size_t length;
    uint16_t group;
    uint16_t id;
    bool bundle;
    bool made; /* there are such buffers, and they are the user's now */
};

/* The group that an entry, which is about to enter, may take a buffer of: all are there from now
 * on, and it keeps them until it is given back, when the operation is over. NULL: none of ours;
 * that may be given back, too. */
struct FastRingGroup* FastOperationBorrow(struct FastRing* ring, const struct io_uring_sqe* entry);
void FastOperationGiveBack(struct FastRingGroup* lender);

/* Claims what a completion names for the user who is about to hear of it; a completion that
 * can't be true is made an error without a buffer. entry: the operation as it was submitted. */
struct FastOperationClaim FastOperationClaimBuffers(struct FastRing* ring,
                                                    const struct io_uring_sqe* entry,
                                                    struct io_uring_cqe* completion);

/* The user has not heard of them, or not of any bytes: they go back to their provider. */
void FastOperationUnclaimBuffers(struct FastRing* ring, const struct FastOperationClaim* claim);

/* For checkers: what the kernel has written where the entry itself says so. Vectors may be gone by
 * now, and buffers of a provider are its own to define. */
void FastOperationNoteWritten(const struct io_uring_sqe* entry,
                              const struct io_uring_cqe* completion);

#endif
