/*
 * Memory of the whole process, counted: the names are the C library's, and whatever the library
 * under test allocates or maps comes here first.
 */
#undef _FILE_OFFSET_BITS /* which would make one of mmap and mmap64 */
#include "counted.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

/* The C library's own, behind the names that are taken here. */
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);

static struct Memory counted;

struct Memory memoryNow(void)
{
    return counted;
}

static void* noteMemory(void* memory)
{
    if (memory != NULL) {
        counted.allocations++;
        counted.bytes += (int64_t)malloc_usable_size(memory);
    }
    return memory;
}

void* malloc(size_t size)
{
    return noteMemory(__libc_malloc(size));
}

void* calloc(size_t count, size_t size)
{
    return noteMemory(__libc_calloc(count, size));
}

void* aligned_alloc(size_t alignment, size_t size)
{
    return noteMemory(__libc_memalign(alignment, size));
}

int posix_memalign(void** memory, size_t alignment, size_t size)
{
    *memory = noteMemory(__libc_memalign(alignment, size));
    return *memory == NULL ? ENOMEM : 0;
}

void* realloc(void* memory, size_t size)
{
    int64_t before = memory == NULL ? 0 : (int64_t)malloc_usable_size(memory);
    void* now = __libc_realloc(memory, size);
    if (now != NULL)
        counted.bytes -= before;
    return noteMemory(now);
}

void free(void* memory)
{
    if (memory != NULL)
        counted.bytes -= (int64_t)malloc_usable_size(memory);
    __libc_free(memory);
}

typedef void* (*Map)(void*, size_t, int, int, int, off_t);
typedef void* (*Map64)(void*, size_t, int, int, int, off64_t);
typedef int (*Unmap)(void*, size_t);

/* The next definition of a name that is taken here; ISO C knows no functions behind void*. */
#define BEHIND(type, name) (__extension__(type) dlsym(RTLD_NEXT, (name)))

static void* noteMapping(void* memory, size_t length)
{
    counted.mappings++;
    if (memory != MAP_FAILED)
        counted.bytes += (int64_t)length;
    return memory;
}

void* mmap(void* address, size_t length, int protection, int flags, int handle, off_t offset)
{
    static Map map;
    if (map == NULL)
        map = BEHIND(Map, "mmap");
    return noteMapping(map(address, length, protection, flags, handle, offset), length);
}

void* mmap64(void* address, size_t length, int protection, int flags, int handle, off64_t offset)
{
    static Map64 map;
    if (map == NULL)
        map = BEHIND(Map64, "mmap64");
    return noteMapping(map(address, length, protection, flags, handle, offset), length);
}

int munmap(void* memory, size_t length)
{
    static Unmap unmap;
    if (unmap == NULL)
        unmap = BEHIND(Unmap, "munmap");
    int result = unmap(memory, length);
    counted.mappings++;
    if (result == 0)
        counted.bytes -= (int64_t)length;
    return result;
}
