/*
 * Schedules of the simulated kernel.
 *
 *     simulation-test [--schedules N] [--seed S] [--steps N] [--jobs N] [--keep-going] [--shrink]
 *                     [--verbose] [--without STEP,…] [--calm STEP.NUMBER,…] [--blame FAULT,FAULT]
 *
 * schedules  in all, 100 000
 * seed       of the first one, 1; the next ones have the next numbers
 * steps      of a schedule, 40: not more than it takes
 * jobs       at a time, 1
 * keep-going schedules behind one that is wrong
 * shrink     a failing schedule is made short: without the steps and faults that don't matter
 * verbose    every step, event and completion
 * without    steps that are left out
 * calm       faults that do not happen
 * blame      calls it wrong when the second kind of fault comes in a later step than the first: for
 *            who wants to see how what is wrong is told, replayed and made short
 */
#include "outcomes.h"
#include "world.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum
{
    DEFAULT_SCHEDULES = 100000,
    DEFAULT_STEPS = 40,
    MOST_JOBS = 64,
    MOST_FAILURES = 20,
    MOST_ROUNDS = 4, /* of making a schedule short */
};

struct Options
{
    uint64_t schedules;
    bool shrink;
    bool keepGoing;
    uint32_t jobs;
};

/* What a job has done, in memory that it shares with its parent. */
struct Job
{
    struct Run run;
    struct Outcomes outcomes;
    uint64_t next; /* schedule to be run */
    uint64_t done;
    uint64_t wrong;
};

static struct Options options = {.schedules = DEFAULT_SCHEDULES, .jobs = 1};
static struct Schedule first = {.seed = 1, .steps = DEFAULT_STEPS};
static struct Job* jobs;

/* ---- options ---- */

static bool readSwitch(const char* name)
{
    if (strcmp(name, "--shrink") == 0)
        options.shrink = true;
    else if (strcmp(name, "--keep-going") == 0)
        options.keepGoing = true;
    else if (strcmp(name, "--verbose") == 0)
        first.verbose = true;
    else
        return false;
    return true;
}

static void readSteps(char* text)
{
    for (char* word = strtok(text, ","); word != NULL; word = strtok(NULL, ",")) {
        unsigned long step = strtoul(word, NULL, 0);
        if (step < SCHEDULE_STEPS)
            first.left[step] = true;
    }
}

static void readFaults(char* text)
{
    for (char* word = strtok(text, ","); word != NULL; word = strtok(NULL, ",")) {
        struct Happened* kept = &first.kept[first.keptCount];
        if (first.keptCount == SCHEDULE_FAULTS ||
            sscanf(word, "%hu.%hu", &kept->step, &kept->number) != 2)
            continue;
        first.keptCount++;
    }
}

static void readBlamed(char* text)
{
    int count = 0;

    for (char* word = strtok(text, ","); word != NULL; word = strtok(NULL, ","))
        for (int fault = 0; fault < FAULT_COUNT && count < 2; fault++)
            if (strcmp(word, faultName((enum Fault)fault)) == 0)
                first.blamed[count++] = (enum Fault)fault;
    first.blames = count == 2;
}

static void readValue(const char* name, char* value)
{
    uint64_t number = strtoull(value, NULL, 0);

    if (strcmp(name, "--schedules") == 0)
        options.schedules = number;
    else if (strcmp(name, "--seed") == 0)
        first.seed = number;
    else if (strcmp(name, "--steps") == 0 && number < SCHEDULE_STEPS - 1)
        first.steps = (uint32_t)number;
    else if (strcmp(name, "--jobs") == 0 && number > 0 && number <= MOST_JOBS)
        options.jobs = (uint32_t)number;
    else if (strcmp(name, "--without") == 0)
        readSteps(value);
    else if (strcmp(name, "--calm") == 0)
        readFaults(value);
    else if (strcmp(name, "--blame") == 0)
        readBlamed(value);
}

static void readOptions(int count, char** arguments)
{
    for (int index = 1; index < count; index++) {
        if (readSwitch(arguments[index]))
            continue;
        if (index + 1 < count)
            readValue(arguments[index], arguments[index + 1]);
        index++;
    }
}

/* ---- runs ---- */

/* What a schedule needs is had from the system once. */
static void keepMemory(void)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 28);
    mallopt(M_TRIM_THRESHOLD, 1 << 28);
}

static void useJob(struct Job* job)
{
    run = &job->run;
    outcomes = &job->outcomes;
}

/* In a process of its own, so that it may end in any way. */
static bool isRight(const struct Schedule* what)
{
    int status = 0;

    fflush(stdout);
    run->failure[0] = '\0';
    pid_t child = fork();
    if (child == 0) {
        runSchedule(what);
        fflush(stdout);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return false;
    if (WIFSIGNALED(status) && run->failure[0] == '\0')
        snprintf(run->failure, sizeof(run->failure), "signal %d", WTERMSIG(status));
    return status == 0;
}

static void printCommand(const struct Schedule* what)
{
    const char* word = " --without ";

    printf("# simulation-test --schedules 1 --seed %llu --steps %u",
           (unsigned long long)what->seed, what->steps);
    for (uint32_t step = 1; step <= what->steps; step++)
        if (what->left[step]) {
            printf("%s%u", word, step);
            word = ",";
        }
    word = " --calm ";
    for (uint32_t index = 0; index < what->keptCount; index++) {
        printf("%s%u.%u", word, what->kept[index].step, what->kept[index].number);
        word = ",";
    }
    printf(" --verbose\n");
}

/* ---- shrinking ---- */

static void shrinkSteps(struct Schedule* what)
{
    for (uint32_t size = what->steps; size > 0; size /= 2)
        for (uint32_t start = 1; start <= what->steps; start += size) {
            struct Schedule trial = *what;
            for (uint32_t step = start; step < start + size && step <= what->steps; step++)
                trial.left[step] = true;
            if (!isRight(&trial))
                *what = trial;
        }
}

/* Those that happen, which are others when some are gone. */
static bool shrinkFaults(struct Schedule* what, uint32_t size)
{
    bool any = false;

    (void)isRight(what);
    struct Run before = *run;
    for (uint32_t start = 0; start < before.happenedCount; start += size) {
        struct Schedule trial = *what;
        for (uint32_t index = start; index < start + size && index < before.happenedCount; index++)
            if (trial.keptCount < SCHEDULE_FAULTS)
                trial.kept[trial.keptCount++] = before.happened[index];
        if (!isRight(&trial)) {
            *what = trial;
            any = true;
        }
    }
    return any;
}

static void shrink(struct Schedule* what)
{
    bool verbose = what->verbose;

    what->verbose = false;
    shrinkSteps(what);
    for (uint32_t size = 128; size > 0; size /= 2)
        (void)shrinkFaults(what, size);
    shrinkSteps(what);
    for (int round = 0; round < MOST_ROUNDS && shrinkFaults(what, 1); round++)
        continue;
    what->verbose = true;
    (void)isRight(what);
    what->verbose = verbose;
    printCommand(what);
}

/* ---- jobs ---- */

static void runJob(struct Job* job, struct Schedule* what)
{
    for (; job->next < options.schedules; job->next += options.jobs) {
        what->seed = first.seed + job->next;
        runSchedule(what);
        job->done++;
    }
    fflush(stdout);
    _exit(0);
}

static void onFailure(struct Job* job, struct Schedule* what, int status)
{
    if (WIFSIGNALED(status) && run->failure[0] == '\0')
        snprintf(run->failure, sizeof(run->failure), "signal %d", WTERMSIG(status));
    job->wrong++;
    what->seed = first.seed + job->next;
    printf("# seed %llu, step %u: %s\n", (unsigned long long)what->seed, run->step, run->failure);
    printCommand(what);
    if (options.shrink) {
        struct Schedule trial = *what;
        shrink(&trial);
    }
    run->failure[0] = '\0';
    job->next += options.jobs;
}

/* A process runs schedule after schedule; after one that is wrong another takes its place. */
static void overseeJob(struct Job* job)
{
    struct Schedule what = first;
    int status = 1;

    useJob(job);
    while (status != 0 && job->next < options.schedules &&
           (job->wrong == 0 || (options.keepGoing && job->wrong < MOST_FAILURES))) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            runJob(job, &what);
        if (child < 0 || waitpid(child, &status, 0) < 0)
            break;
        if (status != 0)
            onFailure(job, &what, status);
    }
    fflush(stdout);
}

static void runJobs(void)
{
    pid_t children[MOST_JOBS];

    for (uint32_t index = 0; index < options.jobs; index++) {
        jobs[index].next = index;
        fflush(stdout);
        children[index] = fork();
        if (children[index] == 0) {
            overseeJob(&jobs[index]);
            _exit(0);
        }
    }
    for (uint32_t index = 0; index < options.jobs; index++)
        if (children[index] > 0)
            (void)waitpid(children[index], NULL, 0);
}

/* ---- all of it ---- */

static void addOutcomes(struct Outcomes* sum, const struct Outcomes* those)
{
    for (int row = 0; row < OUTCOME_ROWS; row++) {
        for (int column = 0; column < OUTCOME_COLUMNS; column++)
            sum->counts[row][column] += those->counts[row][column];
        if (those->others[row] != 0)
            sum->others[row] = those->others[row];
    }
}

static void addUp(struct Job* sum)
{
    for (uint32_t index = 0; index < options.jobs; index++) {
        const struct Job* job = &jobs[index];
        sum->done += job->done;
        sum->wrong += job->wrong;
        sum->run.steps += job->run.steps;
        sum->run.questions += job->run.questions;
        for (int fault = 0; fault < FAULT_COUNT; fault++)
            sum->run.faults[fault] += job->run.faults[fault];
        addOutcomes(&sum->outcomes, &job->outcomes);
    }
}

static void printSum(const struct Job* sum)
{
    struct rusage usage;

    getrusage(RUSAGE_CHILDREN, &usage);
    printf("# %llu schedules, %llu steps, %llu wrong; %.1f s of CPU time\n",
           (unsigned long long)sum->done, (unsigned long long)sum->run.steps,
           (unsigned long long)sum->wrong,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    printf("# faults:");
    for (int fault = 0; fault < FAULT_COUNT; fault++)
        printf(" %s %llu", faultName(fault), (unsigned long long)sum->run.faults[fault]);
    printf("\n");
}

int main(int count, char** arguments)
{
    static struct Job sum;

    readOptions(count, arguments);
    jobs = mmap(NULL, (MOST_JOBS + 1) * sizeof(struct Job), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (jobs == MAP_FAILED)
        return 1;
    keepMemory();
    printf("1..1\n");
    runJobs();
    addUp(&sum);
    printSum(&sum);
    outcomes = &sum.outcomes;
    bool complete = outcomePrint(sum.done >= DEFAULT_SCHEDULES);
    bool right = sum.wrong == 0 && sum.done == options.schedules && complete;
    printf("%s 1 - simulation/schedules\n", right ? "ok" : "not ok");
    return right ? 0 : 1;
}
