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
    struct FastTask* next; /* NULL: in none of the queues */

    /* In the prepare phase false says that no submission entry was free: it is called again after
     * the next enter. Elsewhere the result is ignored. */
    bool (*function)(struct FastTask* task);
};

/* A ring of tasks, so that also the last one has a next. */
struct FastTaskQueue
{
    struct FastTask* last; /* NULL: none */
};

/* It waits in a queue, whichever it is. No more once its function runs: that may queue it again. */
static inline bool FastTaskIsQueued(const struct FastTask* task)
{
    return task->next != NULL;
}

/* Nothing waits in the queue. */
static inline bool FastTaskIsEmpty(const struct FastTaskQueue* queue)
{
    return queue->last == NULL;
}

/* Puts a task first, unless it is in a queue already. */
static inline void FastTaskUnshift(struct FastTaskQueue* queue, struct FastTask* task)
{
    struct FastTask* last = queue->last;
    if (FastTaskIsQueued(task))
        return;
    task->next = last != NULL ? last->next : task;
    if (last != NULL)
        last->next = task;
    else
        queue->last = task;
}

/* Puts a task at the end, unless it is in a queue already. */
static inline void FastTaskPush(struct FastTaskQueue* queue, struct FastTask* task)
{
    if (FastTaskIsQueued(task))
        return;
    FastTaskUnshift(queue, task);
    queue->last = task;
}

/* Takes the first task out; NULL: there is none. */
static inline struct FastTask* FastTaskTake(struct FastTaskQueue* queue)
{
    struct FastTask* last = queue->last;
    if (last == NULL)
        return NULL;
    struct FastTask* task = last->next;
    last->next = task->next;
    if (task == last)
        queue->last = NULL;
    task->next = NULL;
    return task;
}

#endif
