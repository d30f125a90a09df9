/*
 * Those who wait for buffers of a provider.
 *
 * Good path: a receive that ends because the kernel had no buffer waits here; the kernel would
 * answer it again at once. Waiters are served, first come first served, as many a turn as there are
 * buffers, so that one buffer shared by many sockets costs one try a message. The first of them may
 * take all of the buffers: who was served and had none is served again before the others. They are
 * armed in this order, whatever else their tasks have been queued for: who sends as well, and takes
 * all that there is, would be armed before those that were served before him, for ever.
 *
 * Those served before left the buffers alone, because a socket without data takes none but must be
 * armed all the same: twice as many are served the next time.
 */
#include "memory/provider-wait.h"

/* Whether the first one waits in vain no longer: something was put since it was armed. What we
 * count as available says less, since users may keep buffers that their own operations have
 * filled. */
static bool isServable(const struct FastRingBufferProvider* provider)
{
    const struct FastWaiter* first = provider->waiting.list.first;
    return first != NULL && provider->available > 0 && first->mark != provider->sequence;
}

/* How many are served now. */
static void beginBatch(struct FastRingBufferProvider* provider)
{
    uint32_t available = provider->available;
    bool untouched = available >= provider->waiting.available && provider->waiting.batch > 0;

    provider->waiting.batch = untouched ? provider->waiting.batch * 2 : available;
    if (provider->waiting.batch < available)
        provider->waiting.batch = available;
    provider->waiting.available = available;
    provider->waiting.left = provider->waiting.batch;
}

static void forgetBatch(struct FastRingBufferProvider* provider)
{
    provider->waiting.batch = 0;
    provider->waiting.left = 0;
}

/* One at a time, and the next behind whatever task the first has queued, or had before. */
static bool serveWaiters(struct FastTask* task)
{
    struct FastRingBufferProvider* provider =
        FAST_CONTAINER(task, struct FastRingBufferProvider, waiting.serve);

    if (provider->waiting.left == 0)
        beginBatch(provider);
    if (isServable(provider)) {
        provider->waiting.left--;
        (void)FastWaiterServe(&provider->waiting.list);
    }
    if (!isServable(provider))
        forgetBatch(provider);
    else if (provider->waiting.left > 0)
        FastProviderDefer(provider, &provider->waiting.serve);
    else if (!FastTaskIsQueued(&provider->waiting.again)) {
        FastProviderHold(provider);
        FastRingNotify(provider->ring, &provider->waiting.again);
    }
    FastProviderDrop(provider);
    return true;
}

static bool serveAgain(struct FastTask* task)
{
    struct FastRingBufferProvider* provider =
        FAST_CONTAINER(task, struct FastRingBufferProvider, waiting.again);
    if (isServable(provider))
        FastProviderDefer(provider, &provider->waiting.serve);
    FastProviderDrop(provider);
    return true;
}

bool FastProviderGrow(struct FastRingBufferProvider* provider)
{
    bool shares = FastProviderSharesGrowth(provider);
    uint32_t before = provider->sequence;
    FastProviderWantMore(provider);
    FastProviderFillSoon(provider);
    if (provider->sequence == before)
        return shares;
    provider->demand.grown = provider->sequence;
    return true;
}

void FastProviderWait(struct FastRingBufferProvider* provider, struct FastWaiter* waiter,
                      uint32_t mark, uint32_t fed)
{
    bool again = fed != 0 && waiter->fed == fed;
    waiter->mark = mark;
    waiter->fed = fed;
    if (again)
        FastWaiterAddAhead(&provider->waiting.list, waiter);
    else
        FastWaiterAdd(&provider->waiting.list, waiter);
    forgetBatch(provider); /* somebody found the ring empty: carefully again */
    if (isServable(provider))
        FastProviderDefer(provider, &provider->waiting.serve);
}

bool FastProviderServesLine(const struct FastRingBufferProvider* provider)
{
    return isServable(provider) && !provider->closed;
}

void FastProviderJoinLine(struct FastRingBufferProvider* provider, struct FastWaiter* waiter,
                          uint32_t fed)
{
    waiter->mark = provider->sequence - 1; /* for what is there */
    waiter->fed = fed;
    FastWaiterAdd(&provider->waiting.list, waiter);
    if (!FastTaskIsQueued(&provider->waiting.again)) /* the batch of this turn is not over */
        FastProviderDefer(provider, &provider->waiting.serve);
}

void FastProviderPrepareWaiting(struct FastRingBufferProvider* provider)
{
    provider->waiting.serve.function = serveWaiters;
    provider->waiting.again.function = serveAgain;
}
