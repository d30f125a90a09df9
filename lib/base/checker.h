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

#else

/* Nobody can be asked: every answer is no, and what is reported goes nowhere. */
#define RUNNING_ON_VALGRIND                       0
#define VALGRIND_GET_VBITS(memory, bits, length)  ((void)(memory), (void)(bits), (void)(length), 0)
#define VALGRIND_MAKE_MEM_DEFINED(memory, length) ((void)(memory), (void)(length), 0)
#define VALGRIND_MAKE_MEM_NOACCESS(memory, length) \
    ((void)(memory), (void)(length), 0)
#define VALGRIND_MAKE_MEM_UNDEFINED(memory, length) \
    ((void)(memory), (void)(length), 0)

#endif

/* Under one of valgrind's tools, whichever it is: all of them are slow. */
static inline bool FastCheckerRuns(void)
{
    return RUNNING_ON_VALGRIND > 0;
}

/* One runs that wants to know what memory holds: of valgrind's tools only memcheck does. */
static inline bool FastCheckerListens(void)
{
    char byte = 0;
    unsigned char bits = 0;
    return VALGRIND_GET_VBITS(&byte, &bits, 1) == 1;
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

/* FastCheckerListens, asked once: for what is done often. */
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
        known = FastCheckerListens() ? YES : NO;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == YES;
}

#endif
