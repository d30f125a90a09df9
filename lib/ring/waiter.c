/*
 * Lists of waiters.
 *
 * A waiter is out of its list before its function runs, so that it may wait again at once, behind
 * all others. But one that found nothing, since another took it first, has not had its turn: it
 * would be the second of every two for ever.
 */
#include "ring/waiter.h"

/* NULL: before all others. */
static void insertBehind(struct FastWaiterList* list, struct FastWaiter* former,
                         struct FastWaiter* waiter)
{
    struct FastWaiter* next = former != NULL ? former->next : list->first;
    waiter->list = list;
    waiter->previous = former;
    waiter->next = next;
    if (former != NULL)
        former->next = waiter;
    else
        list->first = waiter;
    if (next != NULL)
        next->previous = waiter;
    else
        list->last = waiter;
}

void FastWaiterAdd(struct FastWaiterList* list, struct FastWaiter* waiter)
{
    if (waiter->list == NULL)
        insertBehind(list, list->last, waiter);
}

void FastWaiterAddAhead(struct FastWaiterList* list, struct FastWaiter* waiter)
{
    if (waiter->list != NULL)
        return;
    insertBehind(list, list->ahead, waiter);
    list->ahead = waiter;
}

void FastWaiterRemove(struct FastWaiter* waiter)
{
    struct FastWaiterList* list = waiter->list;
    if (list == NULL)
        return;
    if (list->ahead == waiter)
        list->ahead = waiter->previous;
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        list->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        list->last = waiter->previous;
    waiter->list = NULL;
}

bool FastWaiterServe(struct FastWaiterList* list)
{
    struct FastWaiter* waiter = list->first;
    if (waiter == NULL)
        return false;
    FastWaiterRemove(waiter);
    waiter->function(waiter);
    return true;
}
