/*
 * Collects the cases, runs them and prints TAP. libcheck's own TAP has neither names as we want
 * them nor skips, so it goes to a file, and each line of it is printed again as «area/case».
 */
#define _GNU_SOURCE
#include "suite.h"
#include "mark.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum
{
    SKIP_CAPACITY = 64,
    SKIP_LENGTH = 200,
    LINE_LENGTH = 4096,
};

/* Written by the forked tests, so it lies in shared memory. */
struct Skip
{
    char file[SKIP_LENGTH];
    char reason[SKIP_LENGTH];
    int line;
};

static struct Skip* skips;

/* ---- cases ----------------------------------------------------------------------------------- */

static struct Case* cases;

/* The order of constructors is the compiler's choice; that of the lines is the author's. */
void registerCase(struct Case* self)
{
    struct Case** link = &cases;

    while ((*link != NULL) && ((*link)->test.line < self->test.line))
        link = &(*link)->next;
    self->next = *link;
    *link = self;
}

static bool isSelected(const struct Case* row, const char* filter)
{
    return (filter == NULL) || (strstr(row->test.name, filter) != NULL);
}

static bool isFirstOfArea(const struct Case* row)
{
    const struct Case* first = cases;

    while (first->area != row->area)
        first = first->next;
    return first == row;
}

/* The area's cases under the name of itself, or of one that runs them again. */
static void addArea(Suite* suite, const struct Area* area, const struct Area* as,
                    const char* filter)
{
    TCase* list = tcase_create(as->name);

    if (as->timeout > 0)
        tcase_set_timeout(list, as->timeout);
    tcase_add_checked_fixture(list, as->open, as->close);
    for (const struct Case* row = cases; row != NULL; row = row->next) {
        if ((row->area == area) && isSelected(row, filter))
            _tcase_add_test(list, &row->test, 0, 0, 0, row->rounds);
    }
    suite_add_tcase(suite, list);
}

static Suite* makeSuite(const char* filter)
{
    Suite* suite = suite_create("suite");

    for (const struct Case* row = cases; row != NULL; row = row->next) {
        if (!isFirstOfArea(row))
            continue;
        for (const struct Area* as = row->area; as != NULL; as = as->again)
            addArea(suite, row->area, as, filter);
    }
    return suite;
}

/* ---- skips ----------------------------------------------------------------------------------- */

void noteSkip(const char* file, int line, const char* reason)
{
    markAlways(file, line);
    for (int index = 0; (skips != NULL) && (index < SKIP_CAPACITY); index++) {
        struct Skip* skip = &skips[index];
        if (skip->line == 0) {
            snprintf(skip->file, sizeof(skip->file), "%s", file);
            snprintf(skip->reason, sizeof(skip->reason), "%s", reason);
            skip->line = line;
            return;
        }
    }
}

/* A skipped test passes with its last mark where skipTest stands. */
static const char* reasonOfSkip(TestResult* result)
{
    for (int index = 0; index < SKIP_CAPACITY; index++) {
        struct Skip* skip = &skips[index];
        if ((skip->line != 0) && (skip->line == tr_lno(result)) && (tr_lfile(result) != NULL) &&
            (strcmp(skip->file, tr_lfile(result)) == 0))
            return skip->reason;
    }
    return NULL;
}

/* ---- results --------------------------------------------------------------------------------- */

/* libcheck's line is «ok 1 - file:area:case: message». */
static void printLine(const char* line, int number, TestResult* result)
{
    const char* area = tr_tcname(result);
    const char* message = tr_msg(result);
    const char* reason = NULL;
    char title[SKIP_LENGTH] = "?";
    char key[SKIP_LENGTH];
    const char* start = NULL;

    snprintf(key, sizeof(key), ":%s:", area);
    start = strstr(line, key);
    if (start != NULL)
        sscanf(start + strlen(key), "%199[^:]", title);
    if (tr_rtype(result) == CK_PASS) {
        reason = reasonOfSkip(result);
        printf("ok %d - %s/%s%s%s\n", number, area, title, reason ? " # SKIP " : "",
               reason ? reason : "");
        return;
    }
    printf("not ok %d - %s/%s\n", number, area, title);
    printf("# %s:%d: ", tr_lfile(result) ? tr_lfile(result) : "?", tr_lno(result));
    for (; *message != '\0'; message++) {
        putchar(*message);
        if (*message == '\n')
            printf("# ");
    }
    putchar('\n');
}

static void printResults(SRunner* runner, const char* path)
{
    TestResult** results = srunner_results(runner);
    int count = srunner_ntests_run(runner);
    FILE* file = fopen(path, "r");
    char line[LINE_LENGTH];
    int number = 0;

    printf("1..%d\n", count);
    while ((file != NULL) && (number < count) && (fgets(line, sizeof(line), file) != NULL)) {
        if ((strncmp(line, "ok ", 3) == 0) || (strncmp(line, "not ok ", 7) == 0)) {
            printLine(line, number + 1, results[number]);
            number++;
        }
    }
    if (file != NULL)
        fclose(file);
    if (number < count)
        printf("Bail out! the results of libcheck can't be read\n");
    free(results);
}

static bool isRefused(long result)
{
    return (result < 0) && ((errno == EPERM) || (errno == ENOSYS) || (errno == EACCES));
}

/* What came with receives that go on, which can't be asked for themselves. */
static bool knowsEnough(int handle)
{
    union
    {
        uint8_t space[sizeof(struct io_uring_probe) + 256 * sizeof(struct io_uring_probe_op)];
        struct io_uring_probe head;
    } probe = {.space = {0}}; /* all of it, or the kernel refuses */

    return (syscall(SYS_io_uring_register, handle, IORING_REGISTER_PROBE, &probe, 256) == 0) &&
           (probe.head.last_op >= IORING_OP_SEND_ZC);
}

const char* reasonAgainstUring(void)
{
    const char* reason = NULL;
    const char* engine = getenv("FASTSOCKET_ENGINE");
    struct io_uring_params parameters = {0};

    if ((engine != NULL) && (strcmp(engine, "epoll") == 0))
        return "FASTSOCKET_ENGINE=epoll asks for the other engine";
    int handle = (int)syscall(SYS_io_uring_setup, 1, &parameters);

    if (isRefused(handle) || isRefused(syscall(SYS_io_uring_enter, handle, 0, 0, 0, NULL, 0)) ||
        isRefused(syscall(SYS_io_uring_register, handle, IORING_UNREGISTER_EVENTFD, NULL, 0)))
        reason = "io_uring is refused here";
    else if ((handle >= 0) && !knowsEnough(handle))
        reason = "io_uring is older here than receives that go on";
    if (handle >= 0)
        close(handle);
    return reason;
}

/* Runs the suite and prints its results; 0 or 1 for main. */
static int runSuite(Suite* suite)
{
    const char* directory = getenv("TMPDIR");
    char path[256];
    SRunner* runner = srunner_create(suite);
    int handle = -1;
    int failed = 1;

    skips = mmap(NULL, SKIP_CAPACITY * sizeof(struct Skip), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(path, sizeof(path), "%s/fastsocket-test-XXXXXX", directory ? directory : "/tmp");
    handle = mkstemp(path);
    if ((skips == MAP_FAILED) || (handle < 0)) {
        printf("1..0\nBail out! no memory or no temporary file\n");
        srunner_free(runner);
        return 1;
    }
    close(handle);

    srunner_set_tap(runner, path);
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    printResults(runner, path);
    srunner_free(runner);
    unlink(path);
    munmap(skips, SKIP_CAPACITY * sizeof(struct Skip));
    return (failed != 0) ? 1 : 0;
}

int main(int count, char** arguments)
{
#ifdef SUITE_NEEDS_URING
    if (reasonAgainstUring() != NULL) {
        printf("1..0 # SKIP %s\n", reasonAgainstUring());
        return 0;
    }
#endif
    /* A bound for hangs only; busy machines and sanitizers are slow. */
    setenv("CK_DEFAULT_TIMEOUT", "240", 0);
    return runSuite(makeSuite((count > 1) ? arguments[1] : NULL));
}
