/*
 * Putting buffers into the kernel's ring.
 *
 * Good path: a completion names a slot (of a bundle, the first of several); its owner takes the
 * buffer and puts another one in its place, or gives the same one back, at once. Buffers of a
 * bundle follow each other in the order in which they were put back, neither by id nor in the order
 * of completions: so every put is logged, each slot knows its last entry in the log, and the
 * successor of a buffer is the log's next entry.
 *
 * Fewer slots may have a buffer than there are (provider-demand.c). The others are vacant.
 *
 * Failures: no memory for a replacement: the slot stays vacant and is refilled when memory returns.
 */
#include "memory/provider-slots.h"
#include "base/checker.h"

void FastProviderDefer(struct FastRingBufferProvider* provider, struct FastTask* task)
{
    if (FastTaskIsQueued(task) || provider->closed)
        return;
    FastProviderHold(provider);
    FastRingDefer(provider->ring, task);
}

static inline void put(struct FastRingBufferProvider* provider, uint16_t id, void* buffer)
{
    provider->available++;
    FastProviderSet(provider, id, buffer);
    FastProviderPublish(provider);
}

void FastProviderVacate(struct FastRingBufferProvider* provider, uint16_t id)
{
    provider->slots[id].buffer = NULL;
    provider->slots[id].claimed = false;
    provider->vacant.ids[provider->vacant.count++] = id;
}

bool FastProviderFill(struct FastRingBufferProvider* provider)
{
    while (FastProviderLacks(provider)) {
        void* buffer = provider->create(provider->length, provider->closure);
        if (buffer == NULL)
            return false;
        put(provider, provider->vacant.ids[--provider->vacant.count], buffer);
        provider->demand.begun++;
    }
    return true;
}

void FastProviderFillSoon(struct FastRingBufferProvider* provider)
{
    if (!FastTaskIsQueued(&provider->refill) && !FastProviderFill(provider))
        FastProviderDefer(provider, &provider->refill);
}

/* ---- what sockets call ---- */

/* A slot is seen to be filled: it is no longer available, if that wasn't known. */
static void countTaken(struct FastRingBufferProvider* provider, uint16_t id)
{
    provider->available -= !provider->slots[id].claimed;
    FastProviderNoteTaken(provider);
}

void FastProviderTellFilled(const struct FastRingBufferProvider* provider, uint16_t id,
                            size_t length)
{
    if (!provider->closed)
        FastCheckerDefine(provider->slots[id].buffer,
                          length < provider->length ? length : provider->length);
}

void FastProviderReturn(struct FastRingBufferProvider* provider, uint16_t id)
{
    countTaken(provider, id);
    put(provider, id, provider->slots[id].buffer);
}

void FastProviderReplace(struct FastRingBufferProvider* provider, uint16_t id, void* buffer)
{
    countTaken(provider, id);
    if (buffer != NULL) {
        put(provider, id, buffer);
        return;
    }
    FastProviderVacate(provider, id);
    provider->demand.begun--;
    if (FastProviderLacks(provider))
        FastProviderDefer(provider, &provider->refill);
}

void FastProviderEndReplacing(struct FastRingBufferProvider* provider, uint32_t number,
                              uint32_t vacant)
{
    provider->available -= vacant;
    provider->demand.begun -= vacant;
    if (vacant < number)
        FastProviderPublish(provider);
    if (vacant > 0 && FastProviderLacks(provider))
        FastProviderDefer(provider, &provider->refill);
}
