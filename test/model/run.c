/*
 * One episode, run on each engine in a process of its own: what goes wrong in one, up to a crash or
 * a hang, is told by the other, its parent.
 */
#include "run.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum
{
    TAIL = 25, /* entries of a trace that are shown */
    HANG_SECONDS = 180,
    LATE_REPEATS = 3,
};

extern bool signalExpected;

struct Engines engines = {.names = {"io_uring", "epoll"}, .count = 2};
struct Report* reports[2];

bool openReports(void)
{
    for (int index = 0; index < 2; index++) {
        reports[index] = mmap(NULL, sizeof(struct Report), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (reports[index] == MAP_FAILED)
            return false;
    }
    return true;
}

/* ---- one run, in a process of its own -------------------------------------------------------- */

static void onPipeSignal(int number)
{
    static const char text[] = "SIGPIPE was raised\n";

    (void)number;
    if (signalExpected)
        return;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(3);
}

/* The linker makes these names. NOLINTBEGIN(bugprone-reserved-identifier): reserved for it, that
 * is. Assertions come here instead of to the check library, for which each that holds is a message
 * to its runner, by a write to a file. */
void __wrap__mark_point(const char* file, int line);
void __wrap__ck_assert_failed(const char* file, int line, const char* expression,
                              const char* format, ...) __attribute__((format(printf, 4, 5)));

void __wrap__mark_point(const char* file, int line)
{
    (void)file;
    (void)line;
}

/* The first one that fails ends the run. */
void __wrap__ck_assert_failed(const char* file, int line, const char* expression,
                              const char* format, ...)
{
    char text[REPORT_TEXT / 2];
    va_list arguments;

    va_start(arguments, format);
    if (format != NULL)
        vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (report == NULL) /* no run has begun */
        fprintf(stderr, "%s:%d: %s\n", file, line, expression);
    else
        snprintf(report->text, sizeof(report->text), "%s:%d: %s", file, line,
                 (format != NULL) ? text : expression);
    _exit(1);
}
/* NOLINTEND(bugprone-reserved-identifier): what follows has names of its own. */

static pid_t startRun(int index, const struct Plan* what)
{
    pid_t child = 0;

    report = reports[index];
    memset(report, 0, offsetof(struct Report, trace));
    fflush(NULL);
    child = fork();
    if (child != 0)
        return child;
    setenv("FASTSOCKET_ENGINE", engines.names[index], 1);
    alarm(HANG_SECONDS);
    signal(SIGPIPE, onPipeSignal);
    runEpisode(what);
    _exit(0);
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

    if (engines.count < 2)
        return -1;
    if (reports[1]->entries < count)
        count = reports[1]->entries;
    for (uint32_t index = 0; index < count; index++) {
        if (!isSame(&reports[0]->trace[index], &reports[1]->trace[index]))
            return index;
    }
    return (reports[0]->entries == reports[1]->entries) ? -1 : (int64_t)count;
}

bool runBoth(const struct Plan* what)
{
    pid_t children[2];
    bool right = true;

    for (int index = 0; index < engines.count; index++)
        children[index] = startRun(index, what);
    for (int index = 0; index < engines.count; index++)
        awaitRun(index, children[index]);
    for (int index = 0; index < engines.count; index++)
        right = right && reports[index]->done;
    return right && (findDifference() < 0);
}

/* What is bounded by time (a released socket lingers for a second) was delayed by as much: that it
 * then differs says nothing, but what always differs does so again. */
static bool wasLate(void)
{
    bool late = false;

    for (int index = 0; index < engines.count; index++)
        late = late || reports[index]->late;
    return late;
}

bool runInTime(const struct Plan* what)
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

    printf("# %s:\n", engines.names[index]);
    if (end > result->entries)
        end = result->entries;
    for (int64_t place = (end > TAIL) ? end - TAIL : 0; place < end; place++) {
        const struct Entry* entry = &result->trace[place];
        printf("#  %c step %u %s %u: %lld\n", (place == last) ? '*' : ' ', entry->step,
               nameFact((enum Fact)entry->fact), entry->who, (long long)entry->value);
    }
}

void printFailure(const struct Plan* what)
{
    int64_t difference = findDifference();
    bool ran = true;

    for (int index = 0; index < engines.count; index++) {
        if (reports[index]->done)
            continue;
        ran = false;
        printf("# seed %llu, %s, step %u: %s\n", (unsigned long long)what->seed,
               engines.names[index], reports[index]->step, reports[index]->text);
    }
    if (ran && (difference >= 0))
        printf("# seed %llu: the traces differ at entry %lld\n", (unsigned long long)what->seed,
               (long long)difference);
    for (int index = 0; index < engines.count; index++) {
        if (ran || !reports[index]->done)
            printTail(index, ran ? difference : -1);
    }
    printf("# again: model-test --seed %llu --length %u --steps %u\n",
           (unsigned long long)what->seed, what->steps, what->steps);
    fflush(stdout);
}
