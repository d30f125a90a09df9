/*
 * Those who wait for buffers of a provider.
 */
#ifndef FASTSOCKET_PROVIDER_WAIT_H
#define FASTSOCKET_PROVIDER_WAIT_H

#include "memory/provider-slots.h"

/* At creation. */
void FastProviderPrepareWaiting(struct FastRingBufferProvider* provider);

/* A receive ended because there were no buffers: puts more, if there can be more. false: all are
 * there, or no memory is, which is a shortage for real. Either way the receive waits. */
bool FastProviderGrow(struct FastRingBufferProvider* provider);

/* A receive that was armed at mark ended because there were no buffers: the waiter is served, first
 * come first served, when one has been put back since. fed: changes with all that it receives, or
 * is 0; who has waited with the same number before has had none since, and comes before the others.
 * FastWaiterRemove takes it back. */
void FastProviderWait(struct FastRingBufferProvider* provider, struct FastWaiter* waiter,
                      uint32_t mark, uint32_t fed);

/* Somebody waits. */
static inline bool FastProviderHasLine(const struct FastRingBufferProvider* provider)
{
    return provider->waiting.list.first != NULL;
}

/* Those who wait are being served, or will be in this prepare phase or the next. */
bool FastProviderServesLine(const struct FastRingBufferProvider* provider);

/* Then: waits behind them, without having found that there are no buffers. As FastProviderWait. */
void FastProviderJoinLine(struct FastRingBufferProvider* provider, struct FastWaiter* waiter,
                          uint32_t fed);

#endif
