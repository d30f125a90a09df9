/* How much a fault is played: little in every run, and much where FAULT_LOAD=long says so. */
#ifndef TEST_LOAD_H
#define TEST_LOAD_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

static inline bool isLong(void)
{
    const char* load = getenv("FAULT_LOAD");

    return (load != NULL) && (strcmp(load, "long") == 0);
}

static inline int64_t loadOf(int64_t little, int64_t much)
{
    return isLong() ? much : little;
}

/* A line for README.md: what was measured. */
__attribute__((format(printf, 1, 2))) static inline void tell(const char* format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    printf("# ");
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    va_end(arguments);
}

static inline double secondsNow(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Kilobytes of the process that are in memory. */
static inline long residentKb(void)
{
    FILE* file = fopen("/proc/self/statm", "re");
    long all = 0;
    long resident = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld %ld", &all, &resident), 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* As many descriptors as needed; false: the limit is lower, and may not be raised. */
static inline bool allowDescriptors(rlim_t needed)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur >= needed)
        return true;
    limit.rlim_cur = needed;
    if (limit.rlim_max < needed)
        limit.rlim_max = needed;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

#endif
