/*
 * What completions say of a provider's buffers.
 */
#ifndef FASTSOCKET_PROVIDER_CLAIM_H
#define FASTSOCKET_PROVIDER_CLAIM_H

#include "memory/provider-slots.h"

/*
 * Whether the kernel can have filled a slot, and, if it is a bundle, those behind it, with length
 * bytes together: they are published, and still were when it was entered last, and their entries in
 * its ring have room for what lies in each. A kernel was seen to say otherwise, and its bytes are
 * then not where they seem to be.
 */
bool FastProviderIsPossible(const struct FastRingBufferProvider* provider, uint16_t id,
                            size_t length, bool bundle);

/* Gives the slots of such a completion back to the kernel, as far as the entries tell which they
 * are. */
void FastProviderReject(struct FastRingBufferProvider* provider, uint16_t id, size_t length,
                        bool bundle);

/* The functions of the group, see ring/group.h. */
uint64_t FastProviderClaim(struct FastRingGroup* group, uint16_t id, size_t length, bool bundle);
void FastProviderUnclaim(struct FastRingGroup* group, uint16_t id, size_t length, bool bundle);
void FastProviderFillGroup(struct FastRingGroup* group);

#endif
