/*
 * Memory that nobody may touch for a while, as whoever watches the program has to know: valgrind,
 * or AddressSanitizer.
 *
 * AddressSanitizer is asked for by the program, rarely by the library: so its runtime is looked for
 * when the library is loaded, by weak references, which are null in all other programs.
 */
#ifndef FASTSOCKET_POISON_H
#define FASTSOCKET_POISON_H

#include "base/checker.h"

#include <stddef.h>

/* NOLINTBEGIN(bugprone-reserved-identifier): the names are the runtime's. */
__attribute__((weak, visibility("default"))) void
__asan_poison_memory_region(const volatile void* address, size_t size);
__attribute__((weak, visibility("default"))) void
__asan_unpoison_memory_region(const volatile void* address, size_t size);
/* NOLINTEND(bugprone-reserved-identifier): no more of them. */

/* Somebody has to hear of memory that nobody may touch. */
static inline bool FastPoisonIsHeard(void)
{
    return __asan_poison_memory_region != NULL || FastCheckerWatches();
}

/* From now on a program that reads or writes it is wrong. address is a multiple of 8. */
static inline void FastPoison(const void* address, size_t size)
{
    if (__asan_poison_memory_region != NULL)
        __asan_poison_memory_region(address, size);
    if (FastCheckerWatches())
        FastCheckerForbid(address, size);
}

/* It may be used again; what is in it is undefined. */
static inline void FastUnpoison(const void* address, size_t size)
{
    if (__asan_unpoison_memory_region != NULL)
        __asan_unpoison_memory_region(address, size);
    if (FastCheckerWatches())
        FastCheckerForget(address, size);
}

#endif
