/*
 * How many of a provider's slots are to have a buffer.
 *
 * Good path: few at first; more when sockets that may receive at once are known, and twice as many
 * when a receive finds none. How many are taken in a round says what is needed: where that
 * was far less in a long row of buffers, half of the surplus is not replaced when it comes back. A
 * period is a multiple of what is there, so that getting it again costs little beside what it
 * brought.
 *
 * Failures: a provider without a source has all, always: its maker was promised that, and may not
 * be asked later. Without input nothing comes back, for the kernel gives a buffer up only by
 * filling it.
 */
#include "memory/provider-demand.h"

enum
{
    DEMAND_BYTES = 256 << 10, /* in so many there is no gain in having fewer */
    DEMAND_LEAST = 4,
    DEMAND_PERIOD = 32, /* times what is there: buffers taken until the next look */
};

static uint32_t bounded(const struct FastRingBufferProvider* provider, uint32_t number)
{
    return number < provider->count ? number : provider->count;
}

static void beginPeriod(struct FastProviderDemand* demand)
{
    demand->left = demand->wanted * DEMAND_PERIOD;
    demand->peak = 0;
    demand->expected = 0;
}

void FastProviderBeginDemand(struct FastRingBufferProvider* provider)
{
    uint32_t least = DEMAND_BYTES / provider->length;
    if (provider->source == NULL)
        least = provider->count;
    else if (least < DEMAND_LEAST)
        least = DEMAND_LEAST;
    provider->demand.least = bounded(provider, least);
    provider->demand.wanted = provider->demand.least;
}

void FastProviderExpect(struct FastRingBufferProvider* provider, uint32_t number)
{
    struct FastProviderDemand* demand = &provider->demand;
    number = bounded(provider, number);
    if (demand->wanted < number) {
        demand->wanted = number;
        beginPeriod(demand);
    }
    if (demand->expected < number)
        demand->expected = number;
}

void FastProviderWantAll(struct FastRingBufferProvider* provider)
{
    provider->demand.least = provider->count;
    provider->demand.wanted = provider->count;
}

/* Twice as many; for those that share in that, no more than they are. */
void FastProviderWantMore(struct FastRingBufferProvider* provider)
{
    struct FastProviderDemand* demand = &provider->demand;
    bool shares = FastProviderSharesGrowth(provider);
    uint32_t filled = FastProviderFilledSlots(provider);
    demand->unserved = shares ? demand->unserved + 1 : 1;
    if (!shares)
        FastProviderExpect(provider, 2 * filled);
    else if (demand->unserved > provider->available)
        FastProviderExpect(provider, filled + 1);
}

static void endPeriod(struct FastProviderDemand* demand)
{
    uint32_t need = demand->peak + demand->peak / 2;
    if (need < demand->expected)
        need = demand->expected;
    if (need < demand->wanted / 2)
        need = demand->wanted / 2;
    if (need < demand->least)
        need = demand->least;
    if (need < demand->wanted)
        demand->wanted = need;
    beginPeriod(demand);
}

void FastProviderEndRound(struct FastRingBufferProvider* provider)
{
    struct FastProviderDemand* demand = &provider->demand;
    uint32_t taken = provider->sequence - demand->begun;
    demand->round = FastProviderEnters(provider);
    demand->begun = provider->sequence;
    if (demand->wanted == demand->least)
        return;
    if (demand->peak < taken)
        demand->peak = taken;
    demand->left -= taken < demand->left ? taken : demand->left;
    if (demand->left == 0)
        endPeriod(demand);
}
