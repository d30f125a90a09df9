/*
 * Queues of what is to be run once in a later phase of a turn. Knows nothing of rings.
 */
#ifndef FASTSOCKET_RING_TASK_H
#define FASTSOCKET_RING_TASK_H

#include <stdbool.h>
#include <stddef.h>

/* Something to run once. The owner must live until it has run. */
struct FastTask
{
    struct FastTask* next;

    /* In the prepare phase false says that no submission entry was free: it is called again after
     * the next enter. Elsewhere the result is ignored. */
    bool (*function)(struct FastTask* task);

    bool queued; /* in one of the queues */
};

struct FastTaskQueue
{
    struct FastTask* first;
    struct FastTask* last;
};

/* Puts a task at the end, unless it is in a queue already. */
static inline void FastTaskPush(struct FastTaskQueue* queue, struct FastTask* task)
{
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    if (queue->last != NULL)
        queue->last->next = task;
    else
        queue->first = task;
    queue->last = task;
}

/* Puts a task first, unless it is in a queue already. */
static inline void FastTaskUnshift(struct FastTaskQueue* queue, struct FastTask* task)
{
    if (task->queued)
        return;
    task->queued = true;
    task->next = queue->first;
    queue->first = task;
    if (queue->last == NULL)
        queue->last = task;
}

/* Takes the first task out; NULL: there is none. */
static inline struct FastTask* FastTaskTake(struct FastTaskQueue* queue)
{
    struct FastTask* task = queue->first;
    if (task == NULL)
        return NULL;
    queue->first = task->next;
    if (queue->first == NULL)
        queue->last = NULL;
    task->queued = false;
    return task;
}

#endif
