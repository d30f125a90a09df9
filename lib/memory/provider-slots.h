/*
 * The slots of a provider, and what is put into them.
 */
#ifndef FASTSOCKET_PROVIDER_SLOTS_H
#define FASTSOCKET_PROVIDER_SLOTS_H

#include "memory/provider-demand.h"

/* Runs a task of the provider's in the next phase of preparation. It holds the provider
 * meanwhile. */
void FastProviderDefer(struct FastRingBufferProvider* provider, struct FastTask* task);

/* Enters a buffer into a slot, the log and the kernel's ring, whose tail is still to be set: what
 * its put is made of. */
static inline void FastProviderSet(struct FastRingBufferProvider* provider, uint16_t id,
                                   void* buffer)
{
    uint32_t sequence = provider->sequence++;
    struct io_uring_buf* entry = FastProviderEntry(provider, sequence);
    provider->slots[id] = (struct FastProviderSlot){
        .buffer = buffer,
        .sequence = sequence,
        .enter = FastProviderEnters(provider),
    };
    provider->log[FastProviderPlace(provider, sequence)] = id;
    entry->addr = (uintptr_t)buffer;
    entry->len = provider->length;
    entry->bid = id;
}

/* Shows the kernel what was set. Its tail and our sequence count the same. An entry's last member
 * is the tail itself in the first. */
static inline void FastProviderPublish(struct FastRingBufferProvider* provider)
{
    __atomic_store_n(&provider->entries->tail, (uint16_t)provider->sequence, __ATOMIC_RELEASE);
    if (provider->waiting.list.first != NULL)
        FastProviderDefer(provider, &provider->waiting.serve);
}

/* Takes the buffer out of a slot, which is filled by one of the next. */
void FastProviderVacate(struct FastRingBufferProvider* provider, uint16_t id);

/* Fills vacant slots, as many as are wanted, as far as memory goes; false: not all. */
bool FastProviderFill(struct FastRingBufferProvider* provider);

/* The same, and what lacks memory is filled when there is some. */
void FastProviderFillSoon(struct FastRingBufferProvider* provider);

/* The buffer of a slot that the kernel has filled; NULL if id is none. It stays the provider's
 * until Replace. Every filled slot ends in Return or Replace. */
static inline void* FastProviderPeek(const struct FastRingBufferProvider* provider, uint16_t id)
{
    return id < provider->group.endBuffer ? provider->slots[id].buffer : NULL;
}

/* Gives the buffer of a filled slot back to the kernel as it is. */
void FastProviderReturn(struct FastRingBufferProvider* provider, uint16_t id);

/* Gives the kernel another buffer in its place; NULL: the slot is refilled later, if it is wanted
 * (FastProviderIsPlenty). */
void FastProviderReplace(struct FastRingBufferProvider* provider, uint16_t id, void* buffer);

/* The same of a slot that no operation of a user's has claimed, with a buffer that is there. */
static inline void FastProviderExchange(struct FastRingBufferProvider* provider, uint16_t id,
                                        void* buffer)
{
    FastProviderNoteTaken(provider);
    FastProviderSet(provider, id, buffer);
    FastProviderPublish(provider);
}

/* The id of the buffer that follows id in the kernel's order; negative if that is not known. To
 * be asked before id is put back, which gives it a new place in the order. */
static inline int FastProviderNext(const struct FastRingBufferProvider* provider, uint16_t id)
{
    uint32_t sequence = provider->slots[id].sequence + 1;
    if (sequence == provider->sequence)
        return -1;
    uint16_t next = provider->log[FastProviderPlace(provider, sequence)];
    return provider->slots[next].sequence == sequence ? next : -1;
}

/* FastProviderReplace of a filled slot that no operation of a user's has claimed, as one of
 * several, behind one that was replaced by itself: the kernel sees none of them before
 * FastProviderEndReplacing has counted them. */
static inline void FastProviderReplaceOne(struct FastRingBufferProvider* provider, uint16_t id,
                                          void* buffer)
{
    if (buffer != NULL)
        FastProviderSet(provider, id, buffer);
    else
        FastProviderVacate(provider, id);
}

/* number were replaced so, vacant of them without a buffer. */
void FastProviderEndReplacing(struct FastRingBufferProvider* provider, uint32_t number,
                              uint32_t vacant);

/* What follows does where a checker listens. */
void FastProviderTellFilled(const struct FastRingBufferProvider* provider, uint16_t id,
                            size_t length);

/* A completion says that the kernel has written length bytes from the start of a slot's buffer,
 * or all of it: before anybody reads them, for checkers that can't see it. */
static inline void FastProviderFilled(const struct FastRingBufferProvider* provider, uint16_t id,
                                      size_t length)
{
    if (provider->engine->listens)
        FastProviderTellFilled(provider, id, length);
}

/* The number by which receives name it. */
static inline uint16_t FastProviderGroup(const struct FastRingBufferProvider* provider)
{
    return provider->group.id;
}

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

/* Before the first of them. */
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

/* Goes to the next; false: there is none. */
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

#endif
