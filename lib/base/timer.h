/*
 * A heap of timers, intrusive and without allocation: a pairing heap. Knows nothing of rings.
 */
#ifndef FASTSOCKET_TIMER_H
#define FASTSOCKET_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct FastTimer;
typedef void (*FastTimerFunction)(struct FastTimer* timer);

/* Zeroed memory with a function is an idle timer. */
struct FastTimer
{
    FastTimerFunction function;
    int64_t deadline; /* nanoseconds, CLOCK_MONOTONIC; ties are expired in the order of setting */
    uint64_t order;   /* of setting */
    struct FastTimer* child;
    struct FastTimer* next;
    struct FastTimer* previous; /* elder sibling, or parent if first child; itself for the root */
};

struct FastTimerHeap
{
    struct FastTimer* root;
    uint64_t order;
};

/* Whether the timer is in a heap. */
static inline bool FastTimerIsSet(const struct FastTimer* timer)
{
    return timer->previous != NULL;
}

/* Puts a timer in, or moves one that is in already. */
void FastTimerSet(struct FastTimerHeap* heap, struct FastTimer* timer, int64_t deadline);

/* Takes a timer out; one that is not in is left alone. */
void FastTimerStop(struct FastTimerHeap* heap, struct FastTimer* timer);

/* The timer that expires first, or NULL. */
static inline struct FastTimer* FastTimerFirst(const struct FastTimerHeap* heap)
{
    return heap->root;
}

#endif
