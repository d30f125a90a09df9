/*
 * All that a ring knows, in lines.
 *
 * Good path: a few lines of the ring's own, then each member tells of itself. A line is put
 * together before it is written, and nobody removes members meanwhile: so nothing is held, and
 * nothing allocated. Whoever wants to know what each word means reads DumpFastRing(3).
 */
#include "base/dump.h"
#include "ring/option.h"
#include "ring/timers.h"

#include <Ring/FastRing.h>

#define FEATURE(name) FASTRING_FEATURE_##name, #name
#define COUNT(name)   #name, offsetof(struct FastRingStatistics, name)
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const struct FastDumpWord features[] = {
    {FEATURE(SINGLE_ISSUER)},
    {FEATURE(DEFER_TASKRUN)},
    {FEATURE(COOP_TASKRUN)},
    {FEATURE(NO_SQARRAY)},
    {FEATURE(NO_IOWAIT)},
    {FEATURE(RECEIVE_MULTISHOT)},
    {FEATURE(RECEIVE_BUNDLE)},
    {FEATURE(RECEIVE_CAP)},
    {FEATURE(ACCEPT_MULTISHOT)},
    {FEATURE(SEND_ZERO_COPY)},
    {FEATURE(SENDMSG_ZERO_COPY)},
    {FEATURE(ZERO_COPY_REPORT)},
    {FEATURE(READ_MULTISHOT)},
    {FEATURE(WRITE_NO_SIGNAL)},
    {FEATURE(NAPI)},
    {FEATURE(MINIMUM_WAIT)},
    {FEATURE(ACCEPT_AT_ONCE)},
};

static const struct
{
    const char* name;
    size_t offset; /* of a uint64_t */
} counts[] = {
    {COUNT(turns)},
    {COUNT(systemCalls)},
    {COUNT(submissions)},
    {COUNT(completions)},
    {COUNT(overflows)},
    {COUNT(wakes)},
    {COUNT(starvations)},
    {COUNT(operations)},
    {COUNT(sockets)},
    {COUNT(inboundLength)},
    {COUNT(buffers)},
    {COUNT(bufferBytes)},
    {COUNT(providedBuffers)},
    {COUNT(invalidCompletions)},
};
_Static_assert(sizeof(struct FastRingStatistics) == LENGTH(counts) * sizeof(uint64_t),
               "each of them is told");

static const char* stateOf(const struct FastRing* ring)
{
    if (FastRingIsEnding(ring))
        return "ending";
    return FastRingIsStarted(ring) ? "running" : "new";
}

static void dumpRing(struct FastRing* ring, struct FastDump* dump)
{
    const struct FastTimer* timer = FastTimerFirst(&ring->timers);
    FastDumpBegin(dump, "ring", ring);
    FastDumpText(dump, "engine", ring->engine->functions->name);
    FastDumpText(dump, "state", stateOf(ring));
    FastDumpYes(dump, "in-turn", ring->turn.running);
    FastDumpNumber(dump, "entries", (uint64_t)ring->engine->submission.mask + 1);
    FastDumpNumber(dump, "pending", ring->pending);
    FastDumpYes(dump, "flush-handlers", ring->flushers.first != NULL);
    if (timer == NULL)
        FastDumpText(dump, "next-timer-ms", NULL);
    else
        FastDumpSigned(dump, "next-timer-ms",
                       (timer->deadline - FastRingNow(ring)) / FAST_MILLISECOND);
    FastDumpEnd(dump);
}

static void dumpFeatures(const struct FastRing* ring, struct FastDump* dump)
{
    FastDumpBegin(dump, "features", ring);
    FastDumpNumber(dump, "bits", ring->engine->features);
    FastDumpWords(dump, "names", ring->engine->features, features, LENGTH(features), NULL);
    FastDumpEnd(dump);
}

static void dumpOptions(const struct FastRing* ring, struct FastDump* dump)
{
    uint64_t value;
    const char* name;
    FastDumpBegin(dump, "options", ring);
    for (size_t index = 0; (name = FastRingNameOption(ring, index, &value)) != NULL; index++)
        FastDumpNumber(dump, name, value);
    FastDumpEnd(dump);
}

static void dumpStatistics(struct FastRing* ring, struct FastDump* dump)
{
    struct FastRingStatistics statistics;
    if (GetFastRingStatistics(ring, &statistics, sizeof(statistics)) < 0)
        return;
    FastDumpBegin(dump, "statistics", ring);
    for (size_t index = 0; index < LENGTH(counts); index++)
        FastDumpNumber(dump, counts[index].name,
                       *(const uint64_t*)((const char*)&statistics + counts[index].offset));
    FastDumpEnd(dump);
}

int DumpFastRing(struct FastRing* ring, FILE* stream)
{
    struct FastDump dump;
    int result = stream != NULL ? FastRingCheck(ring) : -EINVAL;
    if (result < 0)
        return result;
    FastDumpOpen(&dump, stream);
    dumpRing(ring, &dump);
    dumpFeatures(ring, &dump);
    dumpOptions(ring, &dump);
    dumpStatistics(ring, &dump);
    for (const struct FastRingMember* member = ring->members; member != NULL; member = member->next)
        if (member->functions->dump != NULL)
            member->functions->dump(member, &dump);
    return FastDumpClose(&dump);
}
