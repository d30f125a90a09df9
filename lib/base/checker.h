/*
 * What valgrind must learn: that memory was written by the kernel behind its back.
 *
 * Valgrind sees system calls, and io_uring's work is none: every byte that it brings would count
 * as never written. Whether we run under valgrind is its own request to answer, a few instructions
 * that do nothing otherwise. Built without valgrind's headers (see meson's summary), the answer is
 * no.
 */
#ifndef FASTSOCKET_CHECKER_H
#define FASTSOCKET_CHECKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef FASTSOCKET_VALGRIND

#include <valgrind/memcheck.h>

static inline bool FastCheckerRuns(void)
{
    return RUNNING_ON_VALGRIND > 0;
}

/* The kernel has written this. Does nothing where no checker runs. */
static inline void FastCheckerDefine(const void* memory, size_t length)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(memory, length);
}

/* Nobody may touch it from now on. */
static inline void FastCheckerForbid(const void* memory, size_t length)
{
    (void)VALGRIND_MAKE_MEM_NOACCESS(memory, length);
}

/* It may be used, and nothing has been written to it yet. */
static inline void FastCheckerForget(const void* memory, size_t length)
{
    (void)VALGRIND_MAKE_MEM_UNDEFINED(memory, length);
}

#else

static inline bool FastCheckerRuns(void)
{
    return false;
}

static inline void FastCheckerDefine(const void* memory, size_t length)
{
    (void)memory;
    (void)length;
}

static inline void FastCheckerForbid(const void* memory, size_t length)
{
    (void)memory;
    (void)length;
}

static inline void FastCheckerForget(const void* memory, size_t length)
{
    (void)memory;
    (void)length;
}

#endif

/* FastCheckerRuns, asked once: for what is done often. */
static inline bool FastCheckerWatches(void)
{
    enum
    {
        UNKNOWN,
        NO,
        YES,
    };
    static _Atomic int answer; /* several threads may ask first, and hear the same */
    int known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known == UNKNOWN) {
        known = FastCheckerRuns() ? YES : NO;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == YES;
}

#endif
