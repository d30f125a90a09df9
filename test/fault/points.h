/*
 * Failure at every point. A scenario is played again and again, and each time the next one of the
 * library's own calls of a kind fails (for memory, to its engine, to the system), until a run came
 * to its end before one did.
 *
 * The programs link a copy of the archive in which the names of these calls are others, so that
 * the test's own never fail.
 */
#ifndef TEST_POINTS_H
#define TEST_POINTS_H

#include "fixture.h"

/*
 * Plays a scenario over every point of every kind, and prints how many there were. After each run
 * the library has given back all memory, and the process has as many descriptors as before.
 */
void playPoints(const char* name, const char* kind, void (*scenario)(int variant), int variant);

/* Whether a call of the test's is to be made again: it has failed, as it may where a call of the
 * library's own did. Fails the case at any other errno, and where nothing was made to fail. */
bool wasRefused(bool failed, int error);

/* The same of a call that has told by errno. */
bool wasRefusedByErrno(bool failed);

/* A call of the library's own was made to fail in this run. */
bool hasPointFailed(void);

/* MADE(pool, CreateFastBufferPool(ring)): calls again what gives NULL because of a failure. */
#define MADE(pointer, call) \
    do                      \
        errno = 0;          \
    while (wasRefusedByErrno(((pointer) = (call)) == NULL))

/* DONE(TransmitFastSocketData(…)): the same of what gives 0 or a negative errno. */
#define DONE(call)                                 \
    do {                                           \
        int result_ = 0;                           \
        do                                         \
            result_ = (int)(call);                 \
        while (wasRefused(result_ < 0, -result_)); \
    } while (0)

/* What openPlace does to a new ring: an engine before its own, where calls to it are to fail. */
void plantPoints(struct FastRing* ring);

#endif
