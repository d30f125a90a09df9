/*
 * Cases that register themselves, and the main of every test program: it runs them in the order of
 * their definition and prints TAP, each named «area/case».
 *
 * An argument of the program is a filter: only the cases whose name contains it run.
 */
#ifndef TEST_SUITE_H
#define TEST_SUITE_H

#include <stdbool.h>

#include <check.h>

/* What the cases of an area have in common. */
struct Area
{
    const char* name;         /* before the slash */
    void (*open)(void);       /* before each case; NULL: nothing */
    void (*close)(void);      /* after each case; NULL: nothing */
    double timeout;           /* seconds of a case; 0: what hangs for certain */
    const struct Area* again; /* its cases run again, as those of this area; NULL: once */
};

/* A row of the list of cases; made by CASE. */
struct Case
{
    const struct Area* area;
    TTest test;
    int rounds;
    struct Case* next;
};

void registerCase(struct Case* self);

/* AREA(fastOpen, "fast-open", .open = setUp, .close = tearDown); the cases below are
 * CASE(fastOpen, …). */
#define AREA(identifier, ...) static const struct Area identifier##Area = {.name = __VA_ARGS__}

/* CASE(fastOpen, sendsWithTheSyn) { … } is the case «fast-open/sendsWithTheSyn». */
#define CASE(place, name) CASE_ROUNDS(place, name, 1)

/* The same as often as said, each time as a case of its own; round is 0, 1, 2 … */
#define CASE_ROUNDS(place, name, count)                            \
    static void name(int round);                                   \
    static struct Case name##Case = {                              \
        .area = &place##Area,                                      \
        .test = {#name, name, __FILE__, __LINE__},                 \
        .rounds = (count),                                         \
    };                                                             \
    __attribute__((constructor)) static void name##Register(void)  \
    {                                                              \
        registerCase(&name##Case);                                 \
    }                                                              \
    static void name(__attribute__((unused)) int round)

/* Ends the running case as skipped; the place lets the results find the reason. */
#define skipTest(reason)                        \
    do {                                        \
        noteSkip(__FILE__, __LINE__, (reason)); \
        return;                                 \
    } while (0)

/* In the same way, for a case that is about io_uring itself, where there is none. */
#define needUring()                          \
    do {                                     \
        if (reasonAgainstUring() != NULL)    \
            skipTest(reasonAgainstUring());  \
    } while (0)

void noteSkip(const char* file, int line, const char* reason);

/* Why no ring on io_uring is to be had here, or NULL: for what is about io_uring itself. The kernel
 * is asked, not the library, a fault of which must not pass for a refusal; each of the three calls
 * may be refused alone, and all may be there without what the library needs. Programs all of whose
 * cases are about it are compiled with SUITE_NEEDS_URING. */
const char* reasonAgainstUring(void);

#endif
