/*
 * The options of a ring: a table, and what follows from a change.
 */
#include "ring/option.h"
#include "ring/limit.h"

#define MEBIBYTES(count) (UINT64_C(count) << 20)

struct option
{
    int number; /* FASTRING_OPTION_* */
    uint64_t minimum;
    uint64_t maximum;
    uint64_t initial;
    size_t offset;                          /* of a uint64_t in a ring */
    void (*changed)(struct FastRing* ring); /* may be NULL */
};

/* The next wait spins as long as it may. */
static void restartSpin(struct FastRing* ring)
{
    ring->spin.windowUs = ring->options.spinUs;
}

/* A pool that keeps more than the new reserve allows gives it back now, not at its next use. */
static void adjustMembers(struct FastRing* ring)
{
    for (struct FastRingMember* member = ring->members; member != NULL; member = member->next)
        if (member->functions->adjust != NULL)
            member->functions->adjust(member);
}

/* A turn without completions, or no inbound bytes at all, would stop all: neither takes 0. */
static const struct option options[] = {
    {FASTRING_OPTION_INBOUND_LIMIT, 4096, UINT64_MAX, MEBIBYTES(256),
     offsetof(struct FastRing, options.inboundLimit), FastRingReconsiderLimit},
    {FASTRING_OPTION_TURN_LIMIT, 1, 65536, 256, offsetof(struct FastRing, options.turnLimit), NULL},
    {FASTRING_OPTION_SPIN, 0, 10000, 0, offsetof(struct FastRing, options.spinUs), restartSpin},
    {FASTRING_OPTION_POOL_RESERVE, 0, UINT64_MAX, MEBIBYTES(256),
     offsetof(struct FastRing, options.poolReserve), adjustMembers},
};

enum
{
    OPTION_COUNT = sizeof(options) / sizeof(options[0]),
};

static uint64_t* valueOf(struct FastRing* ring, const struct option* option)
{
    return (uint64_t*)((char*)ring + option->offset);
}

static const struct option* findOption(int number)
{
    for (int index = 0; index < OPTION_COUNT; index++)
        if (options[index].number == number)
            return &options[index];
    return NULL;
}

/* Without what follows from a change: nothing lives on the ring yet. */
void FastRingSetDefaults(struct FastRing* ring)
{
    for (int index = 0; index < OPTION_COUNT; index++)
        *valueOf(ring, &options[index]) = options[index].initial;
}

int SetFastRingOption(struct FastRing* ring, int option, uint64_t value)
{
    int result = FastRingCheck(ring);
    if (result < 0)
        return result;
    const struct option* found = findOption(option);
    if (found == NULL)
        return -ENOPROTOOPT;
    if (value < found->minimum || value > found->maximum)
        return -EINVAL;
    *valueOf(ring, found) = value;
    if (found->changed != NULL)
        found->changed(ring);
    return 0;
}

int GetFastRingOption(struct FastRing* ring, int option, uint64_t* value)
{
    int result = value != NULL ? FastRingCheck(ring) : -EINVAL;
    if (result < 0)
        return result;
    const struct option* found = findOption(option);
    if (found == NULL)
        return -ENOPROTOOPT;
    *value = *valueOf(ring, found);
    return 0;
}
