#include "schedule.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum
{
    STREAM_WORLD = 1 << 20, /* numbers of what is drawn: steps have those below */
    STREAM_FAULTS = 1 << 21,
};

struct Run* run;
const struct Schedule* schedule;

static struct Chance details;

/* ---- the running schedule ---- */

/* Many schedules have few kinds of faults, and those often: that finds more than some of all. */
static void drawOdds(void)
{
    static const uint32_t odds[] = {0, 0, 100, 30, 10, 4};
    struct Chance chance = chanceOf(run->seed, STREAM_WORLD);

    for (int fault = 0; fault < FAULT_COUNT; fault++)
        run->odds[fault] = odds[draw(&chance, sizeof(odds) / sizeof(odds[0]))];
    run->odds[FAULT_MEMORY] *= 4; /* each call asks for memory several times */
    run->odds[FAULT_CANCEL] /= 2; /* there are few of those that it is asked for */
    run->odds[FAULT_NOTICE] /= 2;
    run->odds[FAULT_END] /= 2;
}

void beginSchedule(const struct Schedule* what)
{
    schedule = what;
    run->seed = what->seed;
    run->happenedCount = 0;
    run->calm = false;
    run->rich = false;
    drawOdds();
    beginStep(0);
}

void beginStep(uint32_t step)
{
    run->step = step;
    run->question = 0;
}

struct Chance chanceOfStep(uint32_t step)
{
    return chanceOf(run->seed, step);
}

/* ---- faults ---- */

static bool isKept(uint32_t number)
{
    for (uint32_t index = 0; index < schedule->keptCount; index++)
        if (schedule->kept[index].step == run->step && schedule->kept[index].number == number)
            return true;
    return false;
}

static void note(enum Fault fault, uint32_t number)
{
    run->faults[fault]++;
    if (run->happenedCount < SCHEDULE_FAULTS)
        run->happened[run->happenedCount++] = (struct Happened){
            .step = (uint16_t)run->step,
            .number = (uint16_t)number,
            .fault = (uint8_t)fault,
        };
}

bool happens(enum Fault fault)
{
    if (run == NULL || schedule == NULL || run->calm || run->odds[fault] == 0)
        return false;
    if (fault == FAULT_MEMORY && run->rich)
        return false;
    uint32_t number = run->question++;
    run->questions++;
    uint64_t stream = STREAM_FAULTS + ((uint64_t)run->step << 32);
    struct Chance chance = chanceOf(run->seed, stream + number);
    if (!oneIn(&chance, run->odds[fault]) || (schedule->keptCount > 0 && isKept(number)))
        return false;
    details = chance;
    note(fault, number);
    return true;
}

uint32_t choose(uint32_t below)
{
    return draw(&details, below);
}

/* ---- words ---- */

void wrong(const char* format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(run->failure, sizeof(run->failure), format, arguments);
    va_end(arguments);
    tell("WRONG: %s", run->failure);
    fflush(stdout);
    _exit(1);
}

void tell(const char* format, ...)
{
    va_list arguments;

    if (!schedule->verbose)
        return;
    printf("# %u: ", run->step);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}
