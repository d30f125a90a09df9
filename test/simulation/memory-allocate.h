/* Memory that the library has, in pieces. */
#ifndef TEST_SIMULATION_MEMORY_ALLOCATE_H
#define TEST_SIMULATION_MEMORY_ALLOCATE_H

#include <stdint.h>

int64_t memoryAllocations(void);

#endif
