#include "schedule.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
    STREAM_WORLD = 1 << 20, /* numbers of what is drawn: steps have those below */
    STREAM_FAULTS = 1 << 21,
    STREAM_OPENING = 1 << 22,

    ENDING_BYTES = 12,    /* of a schedule's bytes, the first ones: the end's own */
    NEAR_DISTANCES = 128, /* those from here on are so many times as far */
    FAR_DISTANCE = 32,
};

struct Run* run;
const struct Schedule* schedule;

static struct Chance details;

/* Of a schedule that bytes decide: they say when the next fault happens, rather than of each
 * question whether one does, so that few say much. */
static struct
{
    struct ChanceBytes ending;
    struct ChanceBytes rest;
    uint32_t distance; /* questions until the next one */
} given;

/* ---- the running schedule ---- */

/* Many schedules have few kinds of faults, and those often: that finds more than some of all. */
static void drawOdds(void)
{
    static const uint32_t odds[] = {0, 0, 100, 30, 10, 4};
    struct Chance chance = chanceOfStep(STREAM_WORLD);

    for (int fault = 0; fault < FAULT_COUNT; fault++)
        run->odds[fault] = odds[draw(&chance, sizeof(odds) / sizeof(odds[0]))];
    run->odds[FAULT_MEMORY] *= 4; /* each call asks for memory several times */
    run->odds[FAULT_CANCEL] /= 2; /* there are few of those that it is asked for */
    run->odds[FAULT_NOTICE] /= 2;
    run->odds[FAULT_END] /= 2;
}

/* Without bytes none comes. */
static uint32_t drawDistance(void)
{
    struct Chance chance = chanceOfBytes(&given.rest, true);

    if (scheduleIsOver())
        return UINT32_MAX;
    uint32_t drawn = draw(&chance, UINT8_MAX + 1);
    return drawn < NEAR_DISTANCES ? drawn : (drawn - NEAR_DISTANCES + 1) * FAR_DISTANCE;
}

static void beginBytes(const struct Schedule* what)
{
    size_t ending = what->size < ENDING_BYTES ? what->size : ENDING_BYTES;

    given.ending = (struct ChanceBytes){what->bytes, what->bytes + ending};
    given.rest = (struct ChanceBytes){what->bytes + ending, what->bytes + what->size};
    given.distance = drawDistance();
}

void beginSchedule(const struct Schedule* what)
{
    schedule = what;
    if (what->bytes != NULL)
        beginBytes(what);
    run->seed = what->seed;
    memset(run->taken, 0, sizeof(run->taken));
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

void nameStep(const char* name)
{
    run->taken[run->step] = name;
}

bool scheduleIsOver(void)
{
    return schedule->bytes != NULL && given.rest.first == given.rest.end;
}

struct Chance chanceOfStep(uint32_t step)
{
    return schedule->bytes != NULL ? chanceOfBytes(&given.rest, false) : chanceOf(run->seed, step);
}

struct Chance chanceOfOpening(void)
{
    return chanceOfStep(STREAM_OPENING);
}

/* Its bytes are its own: a schedule ends when there are no others. */
struct Chance chanceOfEnding(void)
{
    return schedule->bytes != NULL ? chanceOfBytes(&given.ending, false)
                                   : chanceOf(run->seed, STREAM_OPENING + 1);
}

struct Chance chanceOfReaction(void)
{
    return schedule->bytes != NULL ? details : (struct Chance){.state = run->question};
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

static void blame(enum Fault fault)
{
    for (uint32_t index = 0; index < run->happenedCount; index++)
        if (fault == schedule->blamed[1] && run->happened[index].fault == schedule->blamed[0] &&
            run->happened[index].step < run->step)
            wrong("%s behind %s", faultName(fault), faultName(schedule->blamed[0]));
}

/* Whether it happens by the schedule, and what decides the rest of it. */
static bool isDrawn(enum Fault fault, uint32_t number, struct Chance* chance)
{
    if (schedule->bytes == NULL) {
        *chance = chanceOf(run->seed, STREAM_FAULTS + ((uint64_t)run->step << 32) + number);
        return oneIn(chance, run->odds[fault]);
    }
    if (given.distance > 0) {
        given.distance -= given.distance < UINT32_MAX;
        return false;
    }
    *chance = chanceOfBytes(&given.rest, true);
    given.distance = drawDistance();
    return true;
}

bool happens(enum Fault fault)
{
    struct Chance chance;

    if (run == NULL || schedule == NULL || run->calm || run->odds[fault] == 0)
        return false;
    if (fault == FAULT_MEMORY && run->rich)
        return false;
    uint32_t number = run->question++;
    run->questions++;
    if (!isDrawn(fault, number, &chance) || (schedule->keptCount > 0 && isKept(number)))
        return false;
    details = chance;
    note(fault, number);
    if (schedule->blames)
        blame(fault);
    return true;
}

uint32_t choose(uint32_t below)
{
    return draw(&details, below);
}

/* ---- words ---- */

const char* faultName(enum Fault fault)
{
    static const char* const names[FAULT_COUNT] = {
        "short",
        "edge",
        "delay",
        "order",
        "errno",
        "end",
        "cancel",
        "notice",
        "enter",
        "memory",
        "reaction",
        "call",
    };
    return names[fault];
}

/* What bytes have come to, as far as it went. */
static void printTaken(void)
{
    for (uint32_t step = 1; step < SCHEDULE_STEPS; step++)
        if (run->taken[step] != NULL)
            fprintf(stderr, "# %u: %s\n", step, run->taken[step]);
    for (uint32_t index = 0; index < run->happenedCount; index++)
        fprintf(stderr, "# in step %u, at question %u: %s\n", run->happened[index].step,
                run->happened[index].number, faultName(run->happened[index].fault));
    fprintf(stderr, "# in step %u: %s\n", run->step, run->failure);
}

void wrong(const char* format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(run->failure, sizeof(run->failure), format, arguments);
    va_end(arguments);
    tell("WRONG: %s", run->failure);
    fflush(stdout);
    if (schedule->bytes == NULL)
        _exit(1);
    printTaken();
    abort();
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
