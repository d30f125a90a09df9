#include "kernel.h"

#include "memory-allocate.h"
#include "memory-system.h"
#include "schedule.h"
#include "scheduler.h"

#include "engine/soft.h"
#include "ring/life.h"

#include <stdlib.h>

enum
{
    RING_ENTRIES = 16,
    CLOSE_TURNS = 20000,
    TURN_MS = 10,
    TURN_NS = 100000000, /* that pass beside: what is given up after a time is */
};

static struct Schedule what;
static struct FastSystem* kernelSystem;
static bool isOurs; /* no engine has it */
static int64_t allocations;

/* There is no scheduler: the engine looks by itself. */
void schedulerNoteWork(void)
{
}

struct Chance beginInput(const uint8_t* data, size_t size)
{
    static struct Run state;
    static const uint8_t nothing;

    what.bytes = size > 0 ? data : &nothing;
    what.size = size;
    what.verbose = getenv("FUZZ_VERBOSE") != NULL;
    run = &state;
    run->closed = true;
    beginSchedule(&what);
    allocations = memoryAllocations();
    kernelSystem = memorySystemBegin();
    isOurs = true;
    return chanceOfOpening();
}

const struct FastSystemFunctions* systemFunctions(void)
{
    return kernelSystem->functions;
}

struct FastRing* openRing(const struct FastSystemFunctions* functions)
{
    struct FastEngine* engine = NULL;

    kernelSystem->functions = functions;
    isOurs = false;
    if (FastSoftOpen(&engine, kernelSystem, RING_ENTRIES, 0) < 0)
        return NULL;
    return FastRingCreateOn(engine);
}

void runTurns(struct FastRing* ring, unsigned count)
{
    for (; count > 0; count--) {
        int result = WaitForFastRing(ring, 1, NULL);
        if (result != 0)
            wrong("WaitForFastRing gives %d", result);
    }
}

/* Volatile: compilers take malloc for a function that looks at nothing. */
void* makeBlock(size_t size)
{
    volatile bool* rich = &run->rich;

    *rich = true;
    void* block = malloc(size > 0 ? size : 1);
    *rich = false;
    if (block == NULL)
        abort();
    return block;
}

void becomeCalm(void)
{
    run->calm = true;
}

void closeRing(struct FastRing* ring)
{
    becomeCalm();
    for (int turn = 0; GetFastRingPending(ring) > 0; turn++) {
        if (turn == CLOSE_TURNS)
            wrong("%zu sockets are never closed", GetFastRingPending(ring));
        if (WaitForFastRing(ring, TURN_MS, NULL) != 0)
            wrong("WaitForFastRing fails");
        timePass(TURN_NS);
    }
    ReleaseFastRing(ring);
}

void endInput(void)
{
    if (isOurs)
        kernelSystem->functions->destroy(kernelSystem);
    if (handleCount() > 0)
        wrong("%u descriptors are left open", handleCount());
    if (memoryCountFiles() > 0)
        wrong("%u files are left", memoryCountFiles());
    if (memoryAllocations() != allocations)
        wrong("%lld pieces of memory are left", (long long)(memoryAllocations() - allocations));
    run = NULL; /* who asks for memory until the next one gets it */
}
