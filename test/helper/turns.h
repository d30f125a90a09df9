/* Running a ring, turn by turn, until something holds. */
#ifndef TEST_TURNS_H
#define TEST_TURNS_H

#include <stdbool.h>

#include <Ring/FastRing.h>

/* Entries of /proc/self/fd. */
int countDescriptors(void);

typedef bool (*Condition)(void* closure);

/* Runs turns until the condition holds; false after 60 seconds without it, which only bounds a
 * hang. */
bool runUntil(struct FastRing* ring, Condition condition, void* closure);

/* Conditions of runUntil. */
bool isPositive(void* closure);       /* int: is above 0 */
bool isNothingPending(void* closure); /* struct FastRing: GetFastRingPending is 0 */

/* Turns that don't wait. */
void runTurns(struct FastRing* ring, int turns);

/* Runs until several turns in a row handle no completion and no work is queued. */
void runIdle(struct FastRing* ring);

/* Run until that holds, and fail the case if it never does. */
void waitFor(struct FastRing* ring, Condition condition, void* closure);
void waitCount(struct FastRing* ring, const int* count, int atLeast);

struct FastRingStatistics readRing(struct FastRing* ring);

/* Whether the kernel's rings run its operations, rather than system calls. */
bool runsOnUring(struct FastRing* ring);

#endif
