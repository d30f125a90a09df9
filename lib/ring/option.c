/*
 * The options of a ring: a table, and what follows from a change.
 */
#include "ring/option.h"
#include "ring/limit.h"

#define MEBIBYTES(count) (UINT64_C(count) << 20)
#define NAMED(name)      FASTRING_OPTION_##name, #name

enum
{
    OPTION_SECOND = 1000000, /* microseconds */
};

struct option
{
    int number; /* FASTRING_OPTION_* */
    const char* name;
    uint64_t minimum;
    uint64_t maximum;
    uint64_t initial;
    size_t offset;    /* of a uint64_t in a ring */
    uint64_t feature; /* FASTRING_FEATURE_* that all but 0 needs; 0: none */
    /* What follows: 0, or a negative errno, and all is as it was. NULL: nothing. */
    int (*changed)(struct FastRing* ring);
};

/* The next wait spins as long as it may. */
static int restartSpin(struct FastRing* ring)
{
    ring->spin.windowUs = ring->options.spinUs;
    return 0;
}

/* A pool that keeps more than the new reserve allows gives it back now, not at its next use. */
static int adjustMembers(struct FastRing* ring)
{
    for (struct FastRingMember* member = ring->members; member != NULL; member = member->next)
        if (member->functions->adjust != NULL)
            member->functions->adjust(member);
    return 0;
}

static int reconsiderLimit(struct FastRing* ring)
{
    FastRingReconsiderLimit(ring);
    return 0;
}

/* Where neither was ever set, the engine need not know what that is. */
static int setBusyPoll(struct FastRing* ring)
{
    struct FastEngine* engine = ring->engine;
    if (!(engine->features & FASTRING_FEATURE_NAPI))
        return 0;
    return engine->functions->setBusyPoll(engine, (uint32_t)ring->options.busyPollUs,
                                          ring->options.busyPollPrefer != 0);
}

/* A turn handles no more than its limit: more are not waited for. */
static int setMinimumWait(struct FastRing* ring)
{
    ring->engine->minimum.microseconds = (uint32_t)ring->options.minimumWaitUs;
    ring->engine->minimum.count = (uint32_t)ring->options.turnLimit;
    return 0;
}

/* The ring's own provider is as it was made. */
static int checkStock(struct FastRing* ring)
{
    return ring->stock != NULL ? -EBUSY : 0;
}

/* A turn without completions, or no inbound bytes at all, would stop all: neither takes 0. */
static const struct option options[] = {
    {NAMED(INBOUND_LIMIT), 4096, UINT64_MAX, MEBIBYTES(256),
     offsetof(struct FastRing, options.inboundLimit), 0, reconsiderLimit},
    {NAMED(TURN_LIMIT), 1, 65536, 256, offsetof(struct FastRing, options.turnLimit), 0,
     setMinimumWait},
    {NAMED(SPIN), 0, 10000, 0, offsetof(struct FastRing, options.spinUs), 0, restartSpin},
    {NAMED(POOL_RESERVE), 0, UINT64_MAX, MEBIBYTES(256),
     offsetof(struct FastRing, options.poolReserve), 0, adjustMembers},
    {NAMED(NAPI_BUSY_POLL), 0, OPTION_SECOND, 0,
     offsetof(struct FastRing, options.busyPollUs), FASTRING_FEATURE_NAPI, setBusyPoll},
    {NAMED(NAPI_PREFER), 0, 1, 0, offsetof(struct FastRing, options.busyPollPrefer),
     FASTRING_FEATURE_NAPI, setBusyPoll},
    {NAMED(MINIMUM_WAIT), 0, OPTION_SECOND, 0,
     offsetof(struct FastRing, options.minimumWaitUs), FASTRING_FEATURE_MINIMUM_WAIT,
     setMinimumWait},
    {NAMED(BUFFER_COUNT), 1, 32768, 256, offsetof(struct FastRing, options.bufferCount), 0,
     checkStock},
    {NAMED(BUFFER_LENGTH), 64, MEBIBYTES(16), 16384,
     offsetof(struct FastRing, options.bufferLength), 0, checkStock},
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

static int change(struct FastRing* ring, const struct option* option, uint64_t value)
{
    uint64_t before = *valueOf(ring, option);
    *valueOf(ring, option) = value;
    int result = option->changed != NULL ? option->changed(ring) : 0;
    if (result < 0)
        *valueOf(ring, option) = before;
    return result;
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
    if (value != 0 && found->feature != 0 && !(ring->engine->features & found->feature))
        return -EOPNOTSUPP;
    return change(ring, found, value);
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

const char* FastRingNameOption(const struct FastRing* ring, size_t index, uint64_t* value)
{
    if (index >= OPTION_COUNT)
        return NULL;
    *value = *(const uint64_t*)((const char*)ring + options[index].offset);
    return options[index].name;
}
