/*
 * Programs that measure themselves: what a library's own objects cost, without a load.
 *
 *     PROGRAM release|timers [-n COUNT] [-C CPU]
 *
 * release  COUNT connected sockets are released in one turn; then their peers close. Counted until
 *          the last descriptor is closed.
 * timers   COUNT timeouts are armed for different times, moved, and removed; then as many run out.
 */
#ifndef COSTS_H
#define COSTS_H

#include <stddef.h>
#include <stdint.h>

/* What a contender does; each function gets count. */
struct Costs
{
    void (*begin)(void);
    /* Makes a socket of a descriptor, number index. */
    void (*adopt)(size_t index, int handle);
    void (*release)(size_t count);
    void (*runTurn)(void);
    size_t (*countLeft)(void); /* sockets that were released and are not closed */
    void (*arm)(size_t index, uint32_t milliseconds);
    void (*move)(size_t index, uint32_t milliseconds);
    void (*removeTimer)(size_t index);
};

/* Runs what the command line says and writes one line of JSON. Returns the exit status. */
int runCosts(int count, char** arguments, const struct Costs* contender);

/* How many timers have run out: the contender's handler counts. */
extern size_t expiredTimers;

/* The objects' memory, of the contender's own size, zeroed. */
void* makeObjects(size_t count, size_t size);

#endif
