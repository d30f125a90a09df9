/*
 * Runs episodes of the model on two engines, each in a process of its own, and compares the traces.
 *
 *     model-test [--steps N] [--seed S] [--length N] [--engines A,B] [--patience MS] [--keep-going]
 *                [--shrink] [--verbose]
 *
 * steps      in all, 100 000
 * seed       of the first episode, 1; the next ones have the next numbers
 * length     steps of an episode, 1000: with steps not above it, one episode is run again exactly
 * engines    which two; both may be the same: what then differs is a fault of the test
 * patience   milliseconds after which what is missing is given up
 * keep-going episodes behind one that differs
 * shrink     a failing episode is made short: fewer steps, then without those that don't matter
 * verbose    every step, event and fact, on standard error
 *
 * Where io_uring is refused, epoll runs alone, and the test says so.
 */
#include "model.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum
{
    DEFAULT_STEPS = 100000,
    DEFAULT_LENGTH = 1000,
    TAIL = 25,       /* entries of a trace that are shown */
    HANG_SECONDS = 180,
    SHRINK_PATIENCE = 250, /* milliseconds */
    LATE_REPEATS = 3,
    REPEATS = 2,     /* runs of a shorter episode, before it counts as right */
};

extern bool signalExpected;

struct Options
{
    uint64_t steps;
    uint64_t seed;
    uint32_t length;
    const char* engines[2];
    int count; /* of engines */
    bool shrink;
    bool verbose;
    bool keepGoing;
};

static struct Options options = {
    .steps = DEFAULT_STEPS,
    .seed = 1,
    .length = DEFAULT_LENGTH,
    .engines = {"io_uring", "epoll"},
    .count = 2,
};

static struct Report* reports[2];

/* ---- one run, in a process of its own -------------------------------------------------------- */

static const struct Plan* plan;

START_TEST(episode)
{
    runEpisode(plan);
}
END_TEST

static void onPipeSignal(int number)
{
    static const char text[] = "SIGPIPE was raised\n";

    (void)number;
    if (signalExpected)
        return;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(3);
}

/* The check library catches what fails, and says where. */
static int runHere(void)
{
    Suite* suite = suite_create("model");
    TCase* list = tcase_create("model");
    SRunner* runner = srunner_create(suite);
    TestResult** results = NULL;
    int failed = 0;

    signal(SIGPIPE, onPipeSignal);
    tcase_add_test(list, episode);
    suite_add_tcase(suite, list);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    results = srunner_results(runner);
    if (failed > 0)
        snprintf(report->text, sizeof(report->text), "%s:%d: %s", tr_lfile(results[0]),
                 tr_lno(results[0]), tr_msg(results[0]));
    free(results);
    srunner_free(runner);
    return (failed > 0) ? 1 : 0;
}

static pid_t startRun(int index, const struct Plan* what)
{
    pid_t child = 0;

    report = reports[index];
    memset(report, 0, offsetof(struct Report, trace));
    fflush(NULL);
    child = fork();
    if (child != 0)
        return child;
    setenv("FASTSOCKET_ENGINE", options.engines[index], 1);
    alarm(HANG_SECONDS);
    plan = what;
    _exit(runHere());
}

static void awaitRun(int index, pid_t child)
{
    struct Report* result = reports[index];
    int status = 0;

    waitpid(child, &status, 0);
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 0) && result->done)
        return;
    result->done = false;
    if (WIFSIGNALED(status))
        snprintf(result->text, sizeof(result->text), "ended by signal %d", WTERMSIG(status));
    else if (result->text[0] == '\0')
        snprintf(result->text, sizeof(result->text), "exit status %d", WEXITSTATUS(status));
}

/* ---- comparing ------------------------------------------------------------------------------- */

static bool isSame(const struct Entry* first, const struct Entry* second)
{
    return (first->step == second->step) && (first->fact == second->fact) &&
           (first->who == second->who) && (first->value == second->value);
}

/* The first entry that differs, or -1. */
static int64_t findDifference(void)
{
    uint32_t count = reports[0]->entries;

    if (options.count < 2)
        return -1;
    if (reports[1]->entries < count)
        count = reports[1]->entries;
    for (uint32_t index = 0; index < count; index++) {
        if (!isSame(&reports[0]->trace[index], &reports[1]->trace[index]))
            return index;
    }
    return (reports[0]->entries == reports[1]->entries) ? -1 : (int64_t)count;
}

/* True if all is as it should be. */
static bool runBoth(const struct Plan* what)
{
    pid_t children[2];
    bool right = true;

    for (int index = 0; index < options.count; index++)
        children[index] = startRun(index, what);
    for (int index = 0; index < options.count; index++)
        awaitRun(index, children[index]);
    for (int index = 0; index < options.count; index++)
        right = right && reports[index]->done;
    return right && (findDifference() < 0);
}

/* What is bounded by time (a released socket lingers for a second) was delayed by as much: that it
 * then differs says nothing, but what always differs does so again. */
static bool wasLate(void)
{
    bool late = false;

    for (int index = 0; index < options.count; index++)
        late = late || reports[index]->late;
    return late;
}

static bool runInTime(const struct Plan* what)
{
    bool right = runBoth(what);

    for (int repeat = 0; !right && wasLate() && (repeat < LATE_REPEATS); repeat++) {
        printf("# seed %llu again: it was delayed\n", (unsigned long long)what->seed);
        right = runBoth(what);
    }
    return right;
}

static void printTail(int index, int64_t last)
{
    const struct Report* result = reports[index];
    int64_t end = (last >= 0) ? last + 4 : (int64_t)result->entries;

    printf("# %s:\n", options.engines[index]);
    if (end > result->entries)
        end = result->entries;
    for (int64_t place = (end > TAIL) ? end - TAIL : 0; place < end; place++) {
        const struct Entry* entry = &result->trace[place];
        printf("#  %c step %u %s %u: %lld\n", (place == last) ? '*' : ' ', entry->step,
               nameFact((enum Fact)entry->fact), entry->who, (long long)entry->value);
    }
}

static void printFailure(const struct Plan* what)
{
    int64_t difference = findDifference();
    bool ran = true;

    for (int index = 0; index < options.count; index++) {
        if (reports[index]->done)
            continue;
        ran = false;
        printf("# seed %llu, %s, step %u: %s\n", (unsigned long long)what->seed,
               options.engines[index], reports[index]->step, reports[index]->text);
    }
    if (ran && (difference >= 0))
        printf("# seed %llu: the traces differ at entry %lld\n", (unsigned long long)what->seed,
               (long long)difference);
    for (int index = 0; index < options.count; index++) {
        if (ran || !reports[index]->done)
            printTail(index, ran ? difference : -1);
    }
    printf("# again: model-test --seed %llu --length %u --steps %u\n",
           (unsigned long long)what->seed, what->steps, what->steps);
    fflush(stdout);
}

/* ---- making short ---------------------------------------------------------------------------- */

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

static void shrink(struct Plan what)
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

/* ---- all of it ------------------------------------------------------------------------------- */

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

    options.engines[0] = text;
    if (comma == NULL) {
        options.count = 1;
        return;
    }
    *comma = '\0';
    options.engines[1] = comma + 1;
}

static void readOptions(int count, char** arguments)
{
    for (int index = 1; index < count; index++) {
        char* value = arguments[index + 1];
        if (strcmp(arguments[index], "--shrink") == 0) {
            options.shrink = true;
            continue;
        }
        if (strcmp(arguments[index], "--verbose") == 0) {
            options.verbose = true;
            continue;
        }
        if (strcmp(arguments[index], "--keep-going") == 0) {
            options.keepGoing = true;
            continue;
        }
        index++;
        if (value == NULL)
            continue;
        if (strcmp(arguments[index - 1], "--steps") == 0)
            options.steps = readNumber(value);
        else if (strcmp(arguments[index - 1], "--seed") == 0)
            options.seed = readNumber(value);
        else if (strcmp(arguments[index - 1], "--length") == 0)
            options.length = (uint32_t)readNumber(value);
        else if (strcmp(arguments[index - 1], "--patience") == 0)
            patience = (uint32_t)readNumber(value);
        else if (strcmp(arguments[index - 1], "--engines") == 0)
            readEngines(value);
    }
}

static int64_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static bool runAll(void)
{
    uint64_t steps = 0;
    uint64_t syncs = 0;
    uint64_t facts = 0;
    int64_t start = seconds();
    bool right = true;

    for (uint64_t seed = options.seed; steps < options.steps; seed++) {
        struct Plan what = {.seed = seed, .steps = options.length, .verbose = options.verbose};
        if (options.steps - steps < what.steps)
            what.steps = (uint32_t)(options.steps - steps);
        steps += what.steps;
        if (!runInTime(&what)) {
            right = false;
            printFailure(&what);
            if (options.shrink)
                shrink(what);
            if (!options.keepGoing)
                break;
        }
        syncs += reports[0]->syncs;
        facts += reports[0]->entries;
    }
    printf("# %llu steps from seed %llu, %llu times quiet, %llu facts, %lld s\n",
           (unsigned long long)steps, (unsigned long long)options.seed, (unsigned long long)syncs,
           (unsigned long long)facts, (long long)(seconds() - start));
    return right;
}

int main(int count, char** arguments)
{
    bool right = false;

    readOptions(count, arguments);
    for (int index = 0; index < 2; index++) {
        reports[index] = mmap(NULL, sizeof(struct Report), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (reports[index] == MAP_FAILED)
            return 1;
    }
    printf("1..1\n");
    if (isRefused("io_uring")) {
        printf("# io_uring is refused here (%s): epoll alone, against the model\n",
               strerror(errno));
        options.engines[0] = "epoll";
        options.count = 1;
    }
    right = runAll();
    printf("%s 1 - model/%s\n", right ? "ok" : "not ok",
           (options.count > 1) ? "bothEnginesAlike" : "asTheModelSays");
    return right ? 0 : 1;
}
