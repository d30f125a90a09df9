/*
 * Runs a suite and prints TAP. libcheck's own TAP has neither names as we want them nor skips, so it
 * goes to a file, and each line of it is printed anew as «area/promise».
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <errno.h>
#include <linux/io_uring.h>
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
static const char* filter;

/* glibc hands main's arguments to constructors: that spares every test program to pass them on. */
__attribute__((constructor)) static void noteArguments(int count, char** arguments)
{
    if (count > 1)
        filter = arguments[1];
    /* A bound for hangs only; busy machines and sanitizers are slow. */
    setenv("CK_DEFAULT_TIMEOUT", "240", 0);
}

bool isSelected(const char* name)
{
    return (filter == NULL) || (strstr(name, filter) != NULL);
}

void noteSkip(const char* file, int line, const char* reason)
{
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

/* libcheck's line is «ok 1 - file:area:promise: message». */
static void printLine(const char* line, int number, TestResult* result)
{
    const char* area = tr_tcname(result);
    const char* message = tr_msg(result);
    const char* reason = NULL;
    char promise[SKIP_LENGTH] = "?";
    char key[SKIP_LENGTH];
    const char* start = NULL;

    snprintf(key, sizeof(key), ":%s:", area);
    start = strstr(line, key);
    if (start != NULL)
        sscanf(start + strlen(key), "%199[^:]", promise);
    if (tr_rtype(result) == CK_PASS) {
        reason = reasonOfSkip(result);
        printf("ok %d - %s/%s%s%s\n", number, area, promise, reason ? " # SKIP " : "",
               reason ? reason : "");
        return;
    }
    printf("not ok %d - %s/%s\n", number, area, promise);
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

/* Why this system makes no ring, or NULL. The kernel is asked, not the library: a fault of ours must
 * not pass for a refusal. */
static const char* reasonOfRefusal(void)
{
#ifdef SUITE_NEEDS_RING
    struct io_uring_params parameters = {0};
    int handle = (int)syscall(SYS_io_uring_setup, 1, &parameters);

    if (handle >= 0)
        close(handle);
    else if ((errno == EPERM) || (errno == ENOSYS) || (errno == EACCES))
        return strerror(errno);
#endif
    return NULL;
}

int runSuite(Suite* suite)
{
    const char* directory = getenv("TMPDIR");
    char path[256];
    SRunner* runner = NULL;
    int handle = -1;
    int failed = 1;

    const char* refusal = reasonOfRefusal();
    /* cppcheck-suppress knownConditionTrueFalse ; without SUITE_NEEDS_RING there is none */
    if (refusal != NULL) {
        printf("1..0 # SKIP io_uring is refused here: %s\n", refusal);
        return 0;
    }

    skips = mmap(NULL, SKIP_CAPACITY * sizeof(struct Skip), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(path, sizeof(path), "%s/fastsocket-test-XXXXXX", directory ? directory : "/tmp");
    handle = mkstemp(path);
    if ((skips == MAP_FAILED) || (handle < 0)) {
        printf("1..0\nBail out! no memory or no temporary file\n");
        return 1;
    }
    close(handle);

    runner = srunner_create(suite);
    srunner_set_tap(runner, path);
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    printResults(runner, path);
    srunner_free(runner);
    unlink(path);
    munmap(skips, SKIP_CAPACITY * sizeof(struct Skip));
    return (failed != 0) ? 1 : 0;
}
