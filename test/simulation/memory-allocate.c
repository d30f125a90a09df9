/* Memory that the library asks for: it may lack, and what is there is counted. */
#include "memory-allocate.h"

#include "schedule.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

void* __real_malloc(size_t size);
void* __wrap_malloc(size_t size);
void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size);
void* __real_realloc(void* memory, size_t size);
void* __wrap_realloc(void* memory, size_t size);
void* __real_aligned_alloc(size_t alignment, size_t size);
void* __wrap_aligned_alloc(size_t alignment, size_t size);
void __real_free(void* memory);
void __wrap_free(void* memory);
void* __real_mmap64(void* place, size_t size, int access, int flags, int handle, off_t offset);
void* __wrap_mmap64(void* place, size_t size, int access, int flags, int handle, off_t offset);
int __real_munmap(void* memory, size_t size);
int __wrap_munmap(void* memory, size_t size);

static int64_t allocations;

int64_t memoryAllocations(void)
{
    return allocations;
}

static bool lacks(void)
{
    if (!happens(FAULT_MEMORY))
        return false;
    errno = ENOMEM;
    return true;
}

static void* count(void* memory)
{
    allocations += memory != NULL;
    return memory;
}

void* __wrap_malloc(size_t size)
{
    return lacks() ? NULL : count(__real_malloc(size));
}

void* __wrap_calloc(size_t number, size_t size)
{
    return lacks() ? NULL : count(__real_calloc(number, size));
}

void* __wrap_realloc(void* memory, size_t size)
{
    if (lacks())
        return NULL;
    void* result = __real_realloc(memory, size);
    allocations += memory == NULL && result != NULL;
    return result;
}

void* __wrap_aligned_alloc(size_t alignment, size_t size)
{
    return lacks() ? NULL : count(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void* memory)
{
    allocations -= memory != NULL;
    __real_free(memory);
}

void* __wrap_mmap64(void* place, size_t size, int access, int flags, int handle, off_t offset)
{
    if (lacks())
        return MAP_FAILED;
    void* result = __real_mmap64(place, size, access, flags, handle, offset);
    allocations += result != MAP_FAILED;
    return result;
}

int __wrap_munmap(void* memory, size_t size)
{
    int result = __real_munmap(memory, size);
    allocations -= result == 0;
    return result;
}
