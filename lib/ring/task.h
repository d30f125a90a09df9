/*
 * Queues of what is to be run once in a later phase of a turn. Knows nothing of rings.
 */
#ifndef FASTSOCKET_RING_TASK_H
#define FASTSOCKET_RING_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What stands in a queue: the address of a link, and in the bits that addresses leave free which of
 * its owner's it is. 0: nothing. So whoever has several tasks, and is one of many, needs no more
 * for each than the link.
 */
typedef uintptr_t FastWork;

enum
{
    FAST_WORK_ALONE = 0, /* a FastTask, which has a function of its own */
    FAST_WORK_BITS = 7,
    FAST_WORK_END = 7, /* follows the last */
};

struct FastLink
{
    _Alignas(8) FastWork next; /* 0: in none of the queues; aligned for FAST_WORK_BITS anywhere */
};

_Static_assert(_Alignof(struct FastLink) > FAST_WORK_BITS, "an address has room for a number");

/* Something to run once. The owner must live until it has run. */
struct FastTask
{
    struct FastLink link;

    /* In the prepare phase false says that no submission entry was free: it is called again after
     * the next enter. Elsewhere the result is ignored. */
    bool (*function)(struct FastTask* task);
};

struct FastTaskQueue
{
    FastWork first;
    struct FastLink* last; /* NULL: it is empty */
};

/* It waits in a queue, whichever it is. No more once its function runs: that may queue it again. */
static inline bool FastLinkIsQueued(const struct FastLink* link)
{
    return link->next != 0;
}

/* The same of a task's. */
static inline bool FastTaskIsQueued(const struct FastTask* task)
{
    return FastLinkIsQueued(&task->link);
}

/* Which of its owner's it is. */
static inline size_t FastWorkNumber(FastWork work)
{
    return work & FAST_WORK_BITS;
}

/* And where it is linked. */
static inline struct FastLink* FastWorkLink(FastWork work)
{
    return (struct FastLink*)(work - FastWorkNumber(work));
}

/* Nothing waits in the queue. */
static inline bool FastTaskIsEmpty(const struct FastTaskQueue* queue)
{
    return queue->last == NULL;
}

/* Puts it first. It is in no queue. */
static inline void FastTaskUnshift(struct FastTaskQueue* queue, FastWork work)
{
    struct FastLink* link = FastWorkLink(work);
    bool empty = queue->last == NULL;
    link->next = empty ? FAST_WORK_END : queue->first;
    if (empty)
        queue->last = link;
    queue->first = work;
}

/* Puts a link at the end. It is in no queue. */
static inline void FastTaskAppend(struct FastTaskQueue* queue, struct FastLink* link,
                                  size_t number)
{
    FastWork work = (FastWork)link + number;
    link->next = FAST_WORK_END;
    if (queue->last != NULL)
        queue->last->next = work;
    else
        queue->first = work;
    queue->last = link;
}

/* Puts a task at the end, unless it is in a queue already. */
static inline void FastTaskPush(struct FastTaskQueue* queue, struct FastTask* task)
{
    if (!FastTaskIsQueued(task))
        FastTaskAppend(queue, &task->link, FAST_WORK_ALONE);
}

/* Takes the first out; 0: there is none. */
static inline FastWork FastTaskTake(struct FastTaskQueue* queue)
{
    if (queue->last == NULL)
        return 0;
    FastWork work = queue->first;
    struct FastLink* link = FastWorkLink(work);
    queue->first = link->next;
    if (link == queue->last)
        queue->last = NULL;
    link->next = 0;
    return work;
}

/* Empties the queue for whoever runs all that stood in it: the first, or FAST_WORK_END. */
static inline FastWork FastTaskTakeAll(struct FastTaskQueue* queue)
{
    FastWork first = queue->last != NULL ? queue->first : FAST_WORK_END;
    queue->last = NULL;
    return first;
}

/* Of these: the one behind, or FAST_WORK_END; this one may be queued again. */
static inline FastWork FastTaskPass(FastWork work)
{
    struct FastLink* link = FastWorkLink(work);
    FastWork next = link->next;
    link->next = 0;
    return next;
}

/* Takes the first out of one and puts it at the end of another. false: there is none. */
static inline bool FastTaskMove(struct FastTaskQueue* from, struct FastTaskQueue* to)
{
    FastWork work = FastTaskTake(from);
    if (work != 0)
        FastTaskAppend(to, FastWorkLink(work), FastWorkNumber(work));
    return work != 0;
}

#endif
