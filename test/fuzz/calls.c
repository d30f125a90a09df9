/*
 * Schedules of the simulated kernel that bytes decide: calls of the library, what peers do, and the
 * order and the failures of what the kernel does (test/simulation). The model is the same.
 */
#include "fuzz.h"

#include "outcomes.h"
#include "world.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    static struct Run state;
    static struct Outcomes counts;
    static const uint8_t nothing;
    static struct Schedule what = {.steps = SCHEDULE_STEPS - 2};

    what.bytes = size > 0 ? data : &nothing;
    what.size = size;
    what.verbose = getenv("FUZZ_VERBOSE") != NULL;
    outcomes = &counts;
    run = &state;
    runSchedule(&what);
    run = NULL; /* who asks for memory until the next one gets it */
    return 0;
}
