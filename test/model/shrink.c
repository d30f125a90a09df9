/* An episode that fails, made short: fewer steps, then without those that don't matter. */
#include "run.h"

enum
{
    SHRINK_PATIENCE = 250, /* milliseconds */
    REPEATS = 2,           /* runs of a shorter episode, before it counts as right */
};

/* A run that fails but sometimes gets more than one chance to. */
static bool fails(const struct Plan* what)
{
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        if (!runBoth(what))
            return true;
    }
    return false;
}

static void shrinkLength(struct Plan* what)
{
    uint32_t right = 0;
    uint32_t wrong = what->steps;

    while (wrong - right > 1) {
        struct Plan trial = *what;
        trial.steps = right + (wrong - right) / 2;
        if (fails(&trial))
            wrong = trial.steps;
        else
            right = trial.steps;
    }
    what->steps = wrong;
}

static void shrinkSteps(struct Plan* what, bool* dropped)
{
    for (uint32_t size = what->steps / 2; size > 0; size /= 2) {
        for (uint32_t start = 1; start + size <= what->steps + 1; start += size) {
            bool before[1024];
            uint32_t kept = (size < 1024) ? size : 1024;
            if (memchr(dropped + start, false, kept) == NULL)
                continue;
            memcpy(before, dropped + start, kept);
            memset(dropped + start, true, kept);
            if (!fails(what))
                memcpy(dropped + start, before, kept);
        }
    }
}

/* All steps about one thing at once. */
static void shrinkPlaces(struct Plan* what, bool* dropped)
{
    static uint8_t places[REPORT_STEPS];
    bool* before = calloc(what->steps + 2, sizeof(bool));

    memcpy(places, reports[0]->places, sizeof(places));
    for (int place = 0; place <= UINT8_MAX; place++) {
        bool any = false;
        memcpy(before, dropped, what->steps + 2);
        for (uint32_t number = 1; (number <= what->steps) && (number < REPORT_STEPS); number++) {
            any |= (places[number] == place) && !dropped[number];
            dropped[number] |= places[number] == place;
        }
        if (any && !fails(what))
            memcpy(dropped, before, what->steps + 2);
    }
    free(before);
}

void shrink(struct Plan what)
{
    bool* dropped = calloc(what.steps + 2, sizeof(bool));

    what.dropped = dropped;
    patience = SHRINK_PATIENCE;
    shrinkLength(&what);
    printf("# %u steps are enough\n", what.steps);
    fflush(stdout);
    (void)fails(&what); /* to know what its steps were about */
    shrinkPlaces(&what, dropped);
    shrinkSteps(&what, dropped);
    what.verbose = true;
    for (int repeat = 0; (repeat < 10) && runBoth(&what); repeat++)
        continue;
    printf("# the steps that matter:");
    for (uint32_t number = 1; number <= what.steps; number++) {
        if (!dropped[number])
            printf(" %u", number);
    }
    printf("\n");
    what.verbose = false;
    printFailure(&what);
    free(dropped);
}
