/* What the library has allocated, as the simulation's own calls of the system count it. */
#ifndef TEST_SIMULATION_MEMORY_CALLS_H
#define TEST_SIMULATION_MEMORY_CALLS_H

#include <stdint.h>

int64_t memoryAllocations(void);

#endif
