/*
 * A schedule: what a seed decides of one run of the simulation, and how its decisions are named.
 *
 * Whether a fault happens is drawn from the seed, the running step, and the number of the question
 * within that step: so a step that is left out, or a fault that is kept from happening, says
 * nothing of those in other steps. That makes a failing schedule short.
 *
 * Bytes may decide in the seed's place, as a fuzzer makes them: from their front what is drawn for
 * the world and its steps, from their back the faults. Where they meet the schedule ends.
 */
#ifndef TEST_SIMULATION_SCHEDULE_H
#define TEST_SIMULATION_SCHEDULE_H

#include "chance.h"

/* What goes otherwise than it might, each by odds of the schedule's own. */
enum Fault
{
    FAULT_SHORT,    /* a call moves less than it could */
    FAULT_EDGE,     /* a wake-up for nothing */
    FAULT_DELAY,    /* a completion is kept back */
    FAULT_ORDER,    /* another operation's completion goes first */
    FAULT_ERRNO,    /* an operation fails at once */
    FAULT_END,      /* what goes on ends */
    FAULT_CANCEL,   /* a cancellation says that it found nothing, or its target at work */
    FAULT_NOTICE,   /* a notification comes late */
    FAULT_ENTER,    /* an enter is refused */
    FAULT_MEMORY,   /* an allocation fails */
    FAULT_REACTION, /* no fault: a handler does something beside */
    FAULT_CALL,     /* another call of the engine's, or of the system's, fails */
    FAULT_COUNT,
};

enum
{
    SCHEDULE_STEPS = 64,    /* at most */
    SCHEDULE_FAULTS = 1024, /* that happen and can be named: later ones can't be left out */
};

/* A fault that has happened: the step, and the number of the question. */
struct Happened
{
    uint16_t step;
    uint16_t number;
    uint8_t fault;
};

struct Schedule
{
    uint64_t seed;
    const uint8_t* bytes; /* that decide in the seed's place; NULL: none */
    size_t size;
    uint32_t steps;
    bool verbose;
    bool left[SCHEDULE_STEPS]; /* steps that are left out */
    bool blames;               /* of two kinds of faults the second in a later step is wrong, so */
    enum Fault blamed[2];      /* that it can be seen how what is wrong is told and made short */
    uint32_t keptCount;        /* faults that are kept from happening */
    struct Happened kept[SCHEDULE_FAULTS];
};

/* The running one, and what has happened in it. Both are in memory that outlives the process that
 * runs it. */
struct Run
{
    uint64_t seed;
    uint32_t step;
    uint32_t question;          /* in this step */
    uint32_t odds[FAULT_COUNT]; /* one in so many; 0: never */
    bool calm;                  /* nothing goes wrong any more */
    bool rich;                  /* there is memory enough just now */
    bool closed;                /* nobody opens a descriptor of the real system's, or closes one */
    uint64_t steps;             /* of all schedules */
    uint64_t questions;
    uint64_t faults[FAULT_COUNT]; /* of all schedules */
    uint32_t happenedCount;
    struct Happened happened[SCHEDULE_FAULTS];
    const char* taken[SCHEDULE_STEPS]; /* what each step was */
    char failure[1000];                /* what is wrong; empty: nothing */
};

extern struct Run* run;
extern const struct Schedule* schedule;

/* Begins a schedule, and each of its steps. */
void beginSchedule(const struct Schedule* what);
void beginStep(uint32_t step);
/* What a step is, for who reads of it. */
void nameStep(const char* name);
/* The bytes have ended; never of a seed. */
bool scheduleIsOver(void);

/* Whether it happens now. */
bool happens(enum Fault fault);

/* What else there is to be drawn about it, or about anything that is none: below a number. */
uint32_t choose(uint32_t below);

/* Steps are made of the seed and their number alone. */
struct Chance chanceOfStep(uint32_t step);
/* For the world's beginning and its end, and for what a handler does beside. */
struct Chance chanceOfOpening(void);
struct Chance chanceOfEnding(void);
struct Chance chanceOfReaction(void);

const char* faultName(enum Fault fault);

/* Something is wrong: the schedule ends, and so does the process that runs it. Of one that bytes
 * decide the steps and faults are printed, and the process aborts. */
void wrong(const char* format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Tells what happens, where the run was asked to. */
void tell(const char* format, ...) __attribute__((format(printf, 1, 2)));

#endif
