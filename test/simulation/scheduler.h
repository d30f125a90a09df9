/*
 * A scheduler of completions: an engine between a ring and the engine in user space, which makes of
 * what that does what a kernel may do.
 *
 * All entries pass through it, and all completions. It may keep completions back, and hand those of
 * different operations over in any order; have an operation fail at once; end what goes on; say of
 * a cancellation that it found nothing; tell late that memory is free; refuse an enter; and its
 * array of completions may be full. What a kernel guarantees stays: the order of one operation, of
 * those of a chain, and of those that take buffers of one group.
 *
 * Meanwhile it looks whether what the kernel has is left alone: see kernel-memory.h.
 */
#ifndef TEST_SIMULATION_SCHEDULER_H
#define TEST_SIMULATION_SCHEDULER_H

#include "engine/engine.h"
#include "engine/system.h"

struct SchedulerPlan
{
    uint32_t length;      /* submission entries, a power of two */
    uint32_t completions; /* a power of two */
    uint64_t hidden;      /* features of the engine's that it behaves without */
    uint64_t claimed;     /* features that it claims beside */
    bool alert;           /* as the engine is */
    bool inside;          /* the same */
    bool counts;          /* knows how many buffers were taken */
};

/* Opens the engine and what is before it; there is one at a time. NULL without memory. */
struct FastEngine* schedulerOpen(struct FastSystem* system, const struct SchedulerPlan* plan);

/* Something has become ready: an enter would find it. */
void schedulerNoteWork(void);

/* Completions that are kept back. */
uint32_t schedulerKeptBack(void);

/* Operations that have not ended, on a descriptor that its owner may close. */
uint32_t schedulerHeld(int handle);

/* Operations on it that the kernel has; a program's own may mean another file by this number. */
uint32_t schedulerUses(int handle);
/* In this schedule a cancellation is made at once, and says what it has done. */
bool schedulerIsFaithful(void);

#endif
