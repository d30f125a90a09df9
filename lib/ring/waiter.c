/*
 * Lists of waiters.
 *
 * A waiter is out of its list before its function runs, so that it may wait again at once, behind
 * all others.
 */
#include "ring/waiter.h"

void FastWaiterAdd(struct FastWaiterList* list, struct FastWaiter* waiter)
{
    if (waiter->list != NULL)
        return;
    waiter->list = list;
    waiter->next = NULL;
    waiter->previous = list->last;
    if (list->last != NULL)
        list->last->next = waiter;
    else
        list->first = waiter;
    list->last = waiter;
}

void FastWaiterRemove(struct FastWaiter* waiter)
{
    struct FastWaiterList* list = waiter->list;
    if (list == NULL)
        return;
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
