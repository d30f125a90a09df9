/*
 * What may become of an operation, by its opcode: which errors a scheduler may give in the place of
 * what the engine says, and a table of all that has come.
 */
#ifndef TEST_SIMULATION_OUTCOMES_H
#define TEST_SIMULATION_OUTCOMES_H

#include "memory-file.h"

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

/* An errno with which an operation may fail at once, whatever the file is; 0: there is none. */
int outcomeDrawError(const struct io_uring_sqe* entry, const struct MemoryFile* file);

enum
{
    OUTCOME_ROWS = 24,
    OUTCOME_COLUMNS = 48,
};

/* How often each has come, in memory that outlives the process. */
struct Outcomes
{
    uint64_t counts[OUTCOME_ROWS][OUTCOME_COLUMNS];
    int others[OUTCOME_ROWS]; /* the last errno that has no column */
};

extern struct Outcomes* outcomes;

/* What is asked of it, as far as it matters: bytes, or 0. */
void outcomeNote(uint8_t opcode, bool multishot, uint64_t wanted, int32_t result, uint32_t flags);

/* Prints the table. Returns whether each cell that is possible was hit, or has a reason not to. */
bool outcomePrint(bool whole);

#endif
