/*
 * Runs episodes of the model on two engines, and compares the traces.
 *
 *     model-test [--steps N] [--seed S] [--length N] [--jobs N] [--engines A,B] [--patience MS]
 *                [--keep-going] [--shrink] [--verbose]
 *
 * steps      in all, 100 000
 * seed       of the first episode, 1; the next ones have the next numbers
 * length     steps of an episode, 1000: with steps not above it, one episode is run again exactly
 * jobs       episodes at a time, 1: each job takes the next seed that none has had
 * engines    which two; both may be the same: what then differs is a fault of the test
 * patience   milliseconds after which what is missing is given up
 * keep-going episodes behind one that differs
 * shrink     a failing episode is made short: fewer steps, then without those that don't matter
 * verbose    every step, event and fact, on standard error
 *
 * Where io_uring is refused, epoll runs alone, and the test says so.
 */
#include "run.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum
{
    DEFAULT_STEPS = 100000,
    DEFAULT_LENGTH = 1000,
    MOST_JOBS = 256,
    PROGRESS_STEPS = 5000000, /* between words on how far it is */
};

struct Options
{
    uint64_t steps;
    uint64_t seed;
    uint32_t length;
    uint32_t jobs;
    bool shrink;
    bool verbose;
    bool keepGoing;
};

static struct Options options = {
    .steps = DEFAULT_STEPS,
    .seed = 1,
    .length = DEFAULT_LENGTH,
    .jobs = 1,
};

/* What all jobs have done, in memory that they share. */
struct Tally
{
    atomic_uint_fast64_t next; /* episode, that no job has had */
    atomic_uint_fast64_t steps;
    atomic_uint_fast64_t acted; /* of these, that did something */
    atomic_uint_fast64_t syncs;
    atomic_uint_fast64_t facts;
    atomic_uint_fast64_t wrong; /* episodes */
};

static struct Tally* tally;
static int64_t start;

/* ---- options --------------------------------------------------------------------------------- */

static bool isRefused(const char* engine)
{
    struct FastRing* ring = NULL;

    setenv("FASTSOCKET_ENGINE", engine, 1);
    ring = CreateFastRing(8);
    if (ring != NULL)
        ReleaseFastRing(ring);
    return (ring == NULL) && ((errno == EPERM) || (errno == EACCES) || (errno == ENOSYS));
}

static uint64_t readNumber(const char* text)
{
    return (text != NULL) ? strtoull(text, NULL, 0) : 0;
}

static void readEngines(char* text)
{
    char* comma = strchr(text, ',');

    engines.names[0] = text;
    if (comma == NULL) {
        engines.count = 1;
        return;
    }
    *comma = '\0';
    engines.names[1] = comma + 1;
}

static bool readSwitch(const char* name)
{
    if (strcmp(name, "--shrink") == 0)
        options.shrink = true;
    else if (strcmp(name, "--verbose") == 0)
        options.verbose = true;
    else if (strcmp(name, "--keep-going") == 0)
        options.keepGoing = true;
    else
        return false;
    return true;
}

static void readValue(const char* name, char* value)
{
    if (strcmp(name, "--steps") == 0)
        options.steps = readNumber(value);
    else if (strcmp(name, "--seed") == 0)
        options.seed = readNumber(value);
    else if (strcmp(name, "--length") == 0)
        options.length = (uint32_t)readNumber(value);
    else if (strcmp(name, "--jobs") == 0)
        options.jobs = (uint32_t)readNumber(value);
    else if (strcmp(name, "--patience") == 0)
        patience = (uint32_t)readNumber(value);
    else if (strcmp(name, "--engines") == 0)
        readEngines(value);
}

static void readOptions(int count, char** arguments)
{
    for (int index = 1; index < count; index++) {
        if (readSwitch(arguments[index]))
            continue;
        if (arguments[index + 1] != NULL)
            readValue(arguments[index], arguments[index + 1]);
        index++;
    }
    if (options.length == 0)
        options.length = DEFAULT_LENGTH;
    if ((options.jobs == 0) || (options.jobs > MOST_JOBS))
        options.jobs = 1;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void addSteps(uint64_t steps)
{
    uint64_t before = atomic_fetch_add(&tally->steps, steps);

    if (before / PROGRESS_STEPS == (before + steps) / PROGRESS_STEPS)
        return;
    printf("# %llu steps, %llu wrong episodes, %lld s\n", (unsigned long long)(before + steps),
           (unsigned long long)tally->wrong, (long long)((now() - start) / 1000000000));
    fflush(stdout);
}

static void runEpisodeOf(uint64_t number)
{
    struct Plan plan = {
        .seed = options.seed + number,
        .steps = options.length,
        .verbose = options.verbose,
    };
    uint64_t left = options.steps - number * options.length;

    if (left < plan.steps)
        plan.steps = (uint32_t)left;
    if (!runInTime(&plan)) {
        tally->wrong++;
        printFailure(&plan);
        if (options.shrink)
            shrink(plan);
    }
    tally->acted += reports[0]->acted;
    tally->syncs += reports[0]->syncs;
    tally->facts += reports[0]->entries;
    addSteps(plan.steps);
}

/* Takes one episode after the other, until there are no more. */
static bool runJob(void)
{
    if (!openReports())
        return false;
    while (options.keepGoing || (tally->wrong == 0)) {
        uint64_t number = tally->next++;
        if (number * options.length >= options.steps)
            break;
        runEpisodeOf(number);
    }
    fflush(stdout);
    return true;
}

static bool runJobs(void)
{
    pid_t jobs[MOST_JOBS];
    bool right = true;

    if (options.jobs == 1)
        return runJob();
    fflush(NULL);
    for (uint32_t index = 0; index < options.jobs; index++) {
        jobs[index] = fork();
        if (jobs[index] == 0)
            _exit(runJob() ? 0 : 1);
    }
    for (uint32_t index = 0; index < options.jobs; index++) {
        int status = 0;
        if ((jobs[index] < 0) || (waitpid(jobs[index], &status, 0) < 0) || (status != 0)) {
            printf("# a job was not run to its end\n");
            right = false;
        }
    }
    return right;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Of the runs: the processes that have ended. */
static double processorSeconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static bool runAll(void)
{
    bool right = false;
    double processor = 0;

    start = now();
    right = runJobs();
    processor = processorSeconds();
    printf("# %llu steps from seed %llu, %llu of which did something; %llu times quiet, "
           "%llu facts\n",
           (unsigned long long)tally->steps, (unsigned long long)options.seed,
           (unsigned long long)tally->acted, (unsigned long long)tally->syncs,
           (unsigned long long)tally->facts);
    printf("# %llu wrong episodes; %.1f s, %.1f s of CPU time: %.0f steps a second of it\n",
           (unsigned long long)tally->wrong, (double)(now() - start) / 1e9, processor,
           (processor > 0) ? (double)tally->steps / processor : 0);
    return right && (tally->wrong == 0);
}

int main(int count, char** arguments)
{
    bool right = false;

    readOptions(count, arguments);
    tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tally == MAP_FAILED)
        return 1;
    printf("1..1\n");
    if (isRefused("io_uring")) {
        printf("# io_uring is refused here (%s): epoll alone, against the model\n",
               strerror(errno));
        engines.names[0] = "epoll";
        engines.count = 1;
    }
    right = runAll();
    printf("%s 1 - model/%s\n", right ? "ok" : "not ok",
           (engines.count > 1) ? "bothEnginesAlike" : "asTheModelSays");
    return right ? 0 : 1;
}
