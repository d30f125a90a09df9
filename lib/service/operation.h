/*
 * What sockets call of descriptors: to run one in the order of their own sends.
 */
#ifndef FASTSOCKET_DESCRIPTOR_H
#define FASTSOCKET_DESCRIPTOR_H

#include "ring/ring.h"

/*
 * Takes an idle descriptor from its user, who can no longer submit it. Ends with one of the
 * functions below, at the latest when the ring closes the taker. Its entry and its data stay until
 * then, for a taker that submits the entry by an operation of its own.
 *
 * Returns 0, -EINVAL (NULL), -EXDEV (of another ring) or -EBUSY (in flight); then nothing is taken.
 */
int FastDescriptorTake(struct FastRingDescriptor* descriptor, const struct FastRing* ring);

/* Gives a taken descriptor back with a completion: its function is called, and decides whether the
 * user keeps it. Where users may be called. */
void FastDescriptorComplete(struct FastRingDescriptor* descriptor,
                            const struct io_uring_cqe* completion);

/* The same for an operation that never entered the kernel: -ECANCELED, told in the next turn. */
void FastDescriptorAbandon(struct FastRingDescriptor* descriptor);

/* Frees a taken descriptor; its function is not called. */
void FastDescriptorDiscard(struct FastRingDescriptor* descriptor);

#endif
