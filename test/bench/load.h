/* What the workloads of the load share: its arguments, what it measures, how it connects. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <sys/types.h>

#include "bench.h"

struct LoadOptions
{
    uint16_t port;
    pid_t server;         /* whose time and memory is measured; 0: nobody's */
    uint32_t connections; /* or sources */
    uint32_t depth;       /* messages outstanding on each */
    uint32_t burst;       /* of a push */
    uint64_t count;       /* messages that one push asks for */
    size_t size;          /* of a message or write */
    uint64_t summed;      /* bytes of a source that go into the sum of a receipt */
    double warm;          /* seconds before the measured ones */
    double seconds;
    uint32_t patience; /* seconds without an answer until the load gives up */
};

/* ---- the workloads: each measures, reports and returns ---- */

void loadEcho(const struct LoadOptions* options);
void loadDatagrams(const struct LoadOptions* options);
void loadSink(const struct LoadOptions* options);
void loadSource(const struct LoadOptions* options);
void loadIdle(const struct LoadOptions* options);
void loadChurn(const struct LoadOptions* options);

/* ---- connections ---- */

/* Connects from one of some loopback addresses, so that ports don't run out. Blocking, and no call
 * on it waits longer than the patience. */
int dialStream(const struct LoadOptions* options, uint32_t number);
int dialDatagrams(const struct LoadOptions* options);

/* ---- what is measured ---- */

enum
{
    HISTOGRAM_FINE = 32, /* steps in each power of two */
    HISTOGRAM_STEPS = 64 * HISTOGRAM_FINE
};

/* A level at one moment. */
struct Snapshot
{
    uint64_t time;
    uint64_t messages;
    uint64_t lost;
    uint64_t server; /* CPU time, nanoseconds */
    uint64_t own;
};

struct Measure
{
    const struct LoadOptions* options;
    uint64_t messages; /* answered so far: the workload counts */
    uint64_t lost;
    uint64_t begin;    /* of the whole */
    uint64_t progress; /* when messages last changed */
    uint64_t seen;     /* what they were then */
    bool recording;
    struct Snapshot from;
    uint64_t histogram[HISTOGRAM_STEPS]; /* of answers, by nanoseconds */
};

/* The measured time begins when the warm-up is over. */
void beginMeasure(struct Measure* measure, const struct LoadOptions* options);

/* To be called again and again. False when the measured time is over. Gives up when the patience
 * is. */
bool measureGoesOn(struct Measure* measure);

/* Ends the program with 4: the patience is over. */
noreturn void giveUp(uint64_t messages);

/* Counts the time of an answer, if it is measured. */
void recordAnswer(struct Measure* measure, uint64_t nanoseconds);

/* Writes the results: one line of JSON. */
void reportMeasure(const struct Measure* measure);

/* Resident bytes of a process, 0 if it has ended. */
uint64_t residentBytes(pid_t process);

#endif
