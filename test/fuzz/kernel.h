/*
 * The simulated kernel's files (test/simulation) for targets that need no model of the rest: there
 * is one ring at most, on the engine in user space, and what is open at the end is a leak.
 */
#ifndef TEST_FUZZ_KERNEL_H
#define TEST_FUZZ_KERNEL_H

#include "chance.h"

#include "engine/system.h"

#include <Ring/FastRing.h>

/* From now on the input decides, also of what fails. Returns what decides the target's own. */
struct Chance beginInput(const uint8_t* data, size_t size);

/* The system as it is: memory-system.c. */
const struct FastSystemFunctions* systemFunctions(void);

/* A ring whose engine asks these functions; NULL: no memory. */
struct FastRing* openRing(const struct FastSystemFunctions* functions);

/* Turns in which all that can be done is done. */
void runTurns(struct FastRing* ring, unsigned count);

/* The target's own memory, of exactly this size: a sanitizer sees who goes beyond. For free(). */
void* makeBlock(size_t size);

/* Nothing fails any more. */
void becomeCalm(void);

/* Until its sockets are closed; then it is released. */
void closeRing(struct FastRing* ring);

/* Descriptors, files and memory are as they were. */
void endInput(void);

#endif
