/*
 * What sockets call of the kernel's buffer rings.
 */
#ifndef FASTSOCKET_PROVIDER_H
#define FASTSOCKET_PROVIDER_H

#include "base/checker.h"
#include "memory/provider-state.h"

/*
 * Where a provider's memory comes from, kept alive for as long as the provider refills itself from
 * it. The unit that has such sources names them by the function that makes buffers of them; the
 * provider itself knows nothing of what closure is. There is one kind; setting it again does
 * nothing.
 */
struct FastProviderSource
{
    CreateRingBufferFunction function;
    void (*hold)(void* closure);
    void (*drop)(void* closure);
};

void FastProviderSetSource(const struct FastProviderSource* source); /* any thread */

/* Its ring, the number of its slots, and the length of each buffer. */
static inline struct FastRing* FastProviderRing(const struct FastRingBufferProvider* provider)
{
    return provider->ring;
}

static inline uint32_t FastProviderCount(const struct FastRingBufferProvider* provider)
{
    return provider->count;
}

static inline uint32_t FastProviderLength(const struct FastRingBufferProvider* provider)
{
    return provider->length;
}

/* Whether its buffers are made by this function. */
static inline bool FastProviderMakes(const struct FastRingBufferProvider* provider,
                                     CreateRingBufferFunction function)
{
    return provider->create == function;
}

/* References of sockets; the last one ends the provider. */
void FastProviderHold(struct FastRingBufferProvider* provider);
void FastProviderDrop(struct FastRingBufferProvider* provider);

/* ---- buffers ---- */

/* The buffer of a slot that the kernel has filled; NULL if id is none. It stays the provider's
 * until Replace; Return gives it back to the kernel as it is. Every filled slot ends in one of
 * the two. */
static inline void* FastProviderPeek(const struct FastRingBufferProvider* provider, uint16_t id)
{
    return id < provider->count ? provider->slots[id].buffer : NULL;
}

void FastProviderReturn(struct FastRingBufferProvider* provider, uint16_t id);

/* buffer NULL: the slot is refilled later. */
void FastProviderReplace(struct FastRingBufferProvider* provider, uint16_t id, void* buffer);

/* The id of the buffer that follows id in the kernel's order; negative if that is not known. To
 * be asked before id is put back, which gives it a new place in the order. */
int FastProviderNext(const struct FastRingBufferProvider* provider, uint16_t id);

/* A completion says that the kernel has written length bytes from the start of a slot's buffer,
 * or all of it: before anybody reads them, for checkers that can't see it. */
static inline void FastProviderFilled(const struct FastRingBufferProvider* provider, uint16_t id,
                                      size_t length)
{
    if (!provider->closed && provider->engine->checked)
        FastCheckerDefine(provider->slots[id].buffer,
                          length < provider->length ? length : provider->length);
}

/* ---- completions ---- */

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

/*
 * The slots of one completion, in the kernel's order:
 *
 *     struct FastProviderSlots slots = FastProviderSlotsOf(provider, id, length, bundle);
 *     while (FastProviderNextSlot(&slots))
 *         ... slots.id, slots.length ...
 *
 * The first is there even without a byte. Each may be put back before the next is asked for.
 */
struct FastProviderSlots
{
    const struct FastRingBufferProvider* provider;
    size_t left;   /* bytes in the slots to come; at the end not 0 if those are not known */
    size_t length; /* bytes in this slot */
    int next;      /* the slot to come, negative: none */
    uint16_t id;   /* this slot */
    bool bundle;
};

static inline struct FastProviderSlots
FastProviderSlotsOf(const struct FastRingBufferProvider* provider, uint16_t id, size_t length,
                    bool bundle)
{
    return (struct FastProviderSlots){
        .provider = provider,
        .left = length,
        .next = id,
        .bundle = bundle,
    };
}

static inline bool FastProviderNextSlot(struct FastProviderSlots* slots)
{
    if (slots->next < 0)
        return false;
    size_t most = slots->provider->length;
    slots->id = (uint16_t)slots->next;
    slots->length = slots->left < most ? slots->left : most;
    slots->left -= slots->length;
    bool more = slots->bundle && slots->left > 0;
    slots->next = more ? FastProviderNext(slots->provider, slots->id) : -1;
    return true;
}

/* ---- waiting for buffers ---- */

/* The puts so far: to be noted when a receive is armed. */
static inline uint32_t FastProviderMark(const struct FastRingBufferProvider* provider)
{
    return provider->sequence;
}

/* The buffers that the kernel has, at most: put, and not yet seen taken. */
static inline uint32_t FastProviderAvailable(const struct FastRingBufferProvider* provider)
{
    return provider->available;
}

/* A receive that was armed at mark ended because there were no buffers: the waiter is served, first
 * come first served, when one has been put back since. FastWaiterRemove takes it back. */
void FastProviderWait(struct FastRingBufferProvider* provider, struct FastWaiter* waiter,
                      uint32_t mark);

#endif
