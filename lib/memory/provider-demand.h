/*
 * How many of a provider's slots are to have a buffer.
 *
 * The kernel takes buffers in the order of its ring, and walks through all that are there: many
 * large ones are always cold. So a provider that can have more at any time, since its buffers come
 * from a pool, gives the kernel few.
 */
#ifndef FASTSOCKET_PROVIDER_DEMAND_H
#define FASTSOCKET_PROVIDER_DEMAND_H

#include "memory/provider-state.h"

enum
{
    /* Receives that a kernel with deferred work serves in an enter, or somewhat more. */
    FAST_PROVIDER_BATCH = 32,
};

/* At creation, when it is known whether there is a source. */
void FastProviderBeginDemand(struct FastRingBufferProvider* provider);

/* At least so many are wanted, until a period has passed in which fewer were enough. */
void FastProviderExpect(struct FastRingBufferProvider* provider, uint32_t number);

/* All are wanted, from now on. */
void FastProviderWantAll(struct FastRingBufferProvider* provider);

/* A receive found no buffer: more are wanted, if there are slots without one. */
void FastProviderWantMore(struct FastRingBufferProvider* provider);

/* A receive is armed, maybe for one socket more than there were: as many at least, up to what one
 * enter may fill. */
static inline void FastProviderExpectSocket(struct FastRingBufferProvider* provider)
{
    uint32_t users = provider->references;
    if (provider->demand.users < users)
        FastProviderExpect(provider, users < FAST_PROVIDER_BATCH ? users : FAST_PROVIDER_BATCH);
    provider->demand.users = users;
}

/*
 * Whether a receive that found no buffer ended before there were more for another one's sake.
 * Completions come in order: what is counted as available now was put after the receive had ended.
 */
static inline bool FastProviderSharesGrowth(const struct FastRingBufferProvider* provider)
{
    return provider->available > provider->sequence - provider->demand.grown;
}

/* It is another round than when the last slot was taken: how many were in that? Where a period is
 * over, part of the surplus is no longer wanted. */
void FastProviderEndRound(struct FastRingBufferProvider* provider);

/* Slots with a buffer. */
static inline uint32_t FastProviderFilledSlots(const struct FastRingBufferProvider* provider)
{
    return provider->count - provider->vacant.count;
}

/* Fewer have a buffer than are wanted. */
static inline bool FastProviderLacks(const struct FastRingBufferProvider* provider)
{
    return FastProviderFilledSlots(provider) < provider->demand.wanted;
}

/* More have one: a slot that was taken need not get another. */
static inline bool FastProviderIsPlenty(const struct FastRingBufferProvider* provider)
{
    return FastProviderFilledSlots(provider) > provider->demand.wanted;
}

/* A slot was taken, and is about to be put back or to stay vacant. What is filled between two
 * enters had to be there at once: that is a round. How many were taken in it is told by the puts in
 * their place, so that nothing is counted for each. */
static inline void FastProviderNoteTaken(struct FastRingBufferProvider* provider)
{
    if (provider->demand.round != FastProviderEnters(provider))
        FastProviderEndRound(provider);
}

#endif
