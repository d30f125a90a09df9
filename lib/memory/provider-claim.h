/*
 * What completions say of a provider's buffers.
 */
#ifndef FASTSOCKET_PROVIDER_CLAIM_H
#define FASTSOCKET_PROVIDER_CLAIM_H

#include "memory/provider-slots.h"

#include <Ring/FastRing.h>

/* What was put after the last enter no completion knows of, where all are made inside one. */
static inline bool FastProviderIsUnseen(const struct FastRingBufferProvider* provider,
                                        const struct FastProviderSlot* slot)
{
    return slot->enter == FastProviderEnters(provider) &&
           provider->engine->inside;
}

/*
 * Bytes that the kernel can have put into a slot; 0: it can't have filled it. The kernel may
 * shorten an entry when it takes it for less than a buffer. Some (6.17 to 7.0.4) do so without
 * taking it, and the next receive, whose buffers would be taken for longer than they were, then
 * uses it as it is.
 */
static inline size_t FastProviderRoom(const struct FastRingBufferProvider* provider, uint16_t id)
{
    if (id >= provider->group.endBuffer)
        return 0;
    const struct FastProviderSlot* slot = &provider->slots[id];
    if (slot->buffer == NULL || slot->claimed || FastProviderIsUnseen(provider, slot))
        return 0;
    if (provider->sequence - slot->sequence > provider->count)
        return provider->length; /* another was put over its entry since */
    const struct io_uring_buf* entry = FastProviderEntry(provider, slot->sequence);
    if (entry->addr != (uintptr_t)slot->buffer || entry->bid != id)
        return 0;
    return entry->len < provider->length ? entry->len : provider->length;
}

/* As FastProviderIsPossible, of several slots; id names one. */
bool FastProviderIsBundlePossible(const struct FastRingBufferProvider* provider, uint16_t id,
                                  size_t length);

/*
 * Whether the kernel can have filled a slot, and, if it is a bundle, those behind it, with length
 * bytes together: they are published, and still were when it was entered last, and their entries in
 * its ring have room for what lies in each. A kernel was seen to say otherwise, and its bytes are
 * then not where they seem to be.
 */
static inline bool FastProviderIsPossible(const struct FastRingBufferProvider* provider,
                                          uint16_t id, size_t length, bool bundle)
{
    size_t room = FastProviderRoom(provider, id);
    if (length <= room)
        return room > 0;
    return room > 0 && bundle && FastProviderIsBundlePossible(provider, id, length);
}

/* Gives the slots of such a completion back to the kernel, as far as the entries tell which they
 * are. */
void FastProviderReject(struct FastRingBufferProvider* provider, uint16_t id, size_t length,
                        bool bundle);

/* The functions of the group, see ring/group.h. */
uint64_t FastProviderClaim(struct FastRingGroup* group, uint16_t id, size_t length, bool bundle);
void FastProviderUnclaim(struct FastRingGroup* group, uint16_t id, size_t length, bool bundle);
void FastProviderFillGroup(struct FastRingGroup* group);

#endif
