/*
 * Those who wait for something that is scarce, in the order in which they came. Knows nothing of
 * rings.
 */
#ifndef FASTSOCKET_RING_WAITER_H
#define FASTSOCKET_RING_WAITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In at most one list at a time. Zeroed with a function is idle. */
struct FastWaiter
{
    struct FastWaiter* next;
    struct FastWaiterList* list; /* NULL: not waiting */
    struct FastWaiter* previous;
    void (*function)(struct FastWaiter* waiter);
    uint32_t mark; /* the list's owner's: when the shortage was met */
    uint32_t fed;  /* and what it had had by then */
};

struct FastWaiterList
{
    struct FastWaiter* first; /* served next */
    struct FastWaiter* last;
    struct FastWaiter* ahead; /* the last of those that were put ahead; NULL: none */
};

/* Puts a waiter at the end, unless it waits already. */
void FastWaiterAdd(struct FastWaiterList* list, struct FastWaiter* waiter);

/* The same of one that was served in vain: before all others, but those that were put so before. */
void FastWaiterAddAhead(struct FastWaiterList* list, struct FastWaiter* waiter);

/* Takes a waiter out of its list; harmless when it does not wait. */
void FastWaiterRemove(struct FastWaiter* waiter);

/* Removes the first and calls it. false: nobody waits. */
bool FastWaiterServe(struct FastWaiterList* list);

#endif
