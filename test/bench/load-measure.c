/*
 * What is measured: answers and their times, and the server's CPU time by the clock of its process,
 * which counts all threads and what the kernel does for it in them. A warm-up comes first; then two
 * snapshots, and what lies between is the result.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum
{
    FINE_BITS = 5
};

static const double second = 1e9;

static uint64_t timeOf(pid_t process)
{
    clockid_t clock;
    struct timespec time;

    if ((process <= 0) || (clock_getcpuclockid(process, &clock) != 0))
        return 0;
    if (clock_gettime(clock, &time) < 0)
        return 0;
    return ((uint64_t)time.tv_sec * 1000000000) + (uint64_t)time.tv_nsec;
}

static struct Snapshot snapshotOf(const struct Measure* measure)
{
    struct Snapshot snapshot = {.time = timeNow(),
                                .messages = measure->messages,
                                .lost = measure->lost,
                                .server = timeOf(measure->options->server),
                                .own = timeOf(getpid())};

    return snapshot;
}

void beginMeasure(struct Measure* measure, const struct LoadOptions* options)
{
    memset(measure, 0, sizeof *measure);
    measure->options = options;
    measure->begin = measure->progress = timeNow();
}

noreturn void giveUp(uint64_t messages)
{
    fprintf(stderr, "no answer after %llu messages\n", (unsigned long long)messages);
    exit(4);
}

bool measureGoesOn(struct Measure* measure)
{
    uint64_t now = timeNow();

    if (measure->messages != measure->seen) {
        measure->seen = measure->messages;
        measure->progress = now;
    } else if (now - measure->progress > measure->options->patience * UINT64_C(1000000000)) {
        giveUp(measure->messages);
    }
    if (!measure->recording) {
        measure->recording = ((double)(now - measure->begin) >= measure->options->warm * second);
        if (measure->recording)
            measure->from = snapshotOf(measure);
        return true;
    }
    /* On a machine that stood still the time goes on until there is something to measure. */
    return ((double)(now - measure->from.time) < measure->options->seconds * second) ||
           (measure->messages == measure->from.messages);
}

/* ---- times of answers ---- */

static unsigned stepOf(uint64_t nanoseconds)
{
    unsigned power;

    if (nanoseconds < HISTOGRAM_FINE)
        return (unsigned)nanoseconds;
    power = 63 - (unsigned)__builtin_clzll(nanoseconds);
    return ((power - FINE_BITS + 1) * HISTOGRAM_FINE) +
           (unsigned)((nanoseconds >> (power - FINE_BITS)) % HISTOGRAM_FINE);
}

static uint64_t nanosecondsOf(unsigned step)
{
    unsigned power = (step / HISTOGRAM_FINE) + FINE_BITS - 1;

    if (step < HISTOGRAM_FINE)
        return step;
    return ((uint64_t)HISTOGRAM_FINE + (step % HISTOGRAM_FINE)) << (power - FINE_BITS);
}

void recordAnswer(struct Measure* measure, uint64_t nanoseconds)
{
    if (measure->recording)
        measure->histogram[stepOf(nanoseconds)]++;
}

/* Microseconds within which this part of the answers came. */
static double percentile(const struct Measure* measure, double part)
{
    uint64_t total = 0;
    uint64_t sum = 0;

    for (unsigned step = 0; step < HISTOGRAM_STEPS; step++)
        total += measure->histogram[step];
    for (unsigned step = 0; step < HISTOGRAM_STEPS; step++) {
        sum += measure->histogram[step];
        if ((sum > 0) && ((double)sum >= part * (double)total))
            return (double)nanosecondsOf(step) / 1000;
    }
    return 0;
}

/* ---- results ---- */

void reportMeasure(const struct Measure* measure)
{
    struct Snapshot to = snapshotOf(measure);
    double elapsed = (double)(to.time - measure->from.time);
    uint64_t messages = to.messages - measure->from.messages;
    double each = (messages > 0) ? (double)messages : 1;
    double server = (double)(to.server - measure->from.server);

    printf("{\"rate\": %.1f, \"cpu\": %.2f, \"utilization\": %.3f, \"own\": %.2f, \"p50\": %.2f, "
           "\"p99\": %.2f, \"messages\": %llu, \"bytes\": %llu, \"lost\": %llu, "
           "\"seconds\": %.3f}\n",
           each * second / elapsed, server / each, server / elapsed,
           (double)(to.own - measure->from.own) / each, percentile(measure, 0.5),
           percentile(measure, 0.99), (unsigned long long)messages,
           (unsigned long long)(messages * measure->options->size),
           (unsigned long long)(to.lost - measure->from.lost), elapsed / second);
}

uint64_t residentBytes(pid_t process)
{
    char path[64];
    unsigned long pages = 0;
    FILE* file;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)process);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
