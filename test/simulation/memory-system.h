/* The system of the simulation: descriptors of files that are memory, and the time. */
#ifndef TEST_SIMULATION_MEMORY_SYSTEM_H
#define TEST_SIMULATION_MEMORY_SYSTEM_H

#include "memory-handle.h"

#include <stdbool.h>
#include <stdint.h>

struct FastSystem;

/* Forgets all, and begins at time 0. The same system at each call. */
struct FastSystem* memorySystemBegin(void);

/* Nanoseconds. It moves in waits, and by this. */
int64_t timeNow(void);
void timePass(int64_t nanoseconds);

#endif
