/*
 * A pairing heap.
 *
 * Setting a timer melds it with the root: constant time. Taking one out cuts its subtree off and
 * merges its children in two passes, iteratively: n children in a row, as n settings in falling
 * order of deadline leave them, must not become n frames of stack. The cost is logarithmic,
 * amortised.
 */
#include "base/timer.h"

#include <assert.h>

static bool isBefore(const struct FastTimer* one, const struct FastTimer* other)
{
    if (one->deadline != other->deadline)
        return one->deadline < other->deadline;
    return one->order < other->order;
}

/* Joins two trees, neither of them NULL; the root that comes out has no links upward or
 * sideways. */
static struct FastTimer* meld(struct FastTimer* one, struct FastTimer* other)
{
    struct FastTimer* parent = isBefore(other, one) ? other : one;
    struct FastTimer* child = parent == one ? other : one;

    child->previous = parent;
    child->next = parent->child;
    if (child->next != NULL)
        child->next->previous = child;
    parent->child = child;
    parent->next = NULL;
    parent->previous = NULL;
    return parent;
}

/* Makes one tree of a row of siblings: pairs from the left, then all of them from the right. */
static struct FastTimer* mergeRow(struct FastTimer* first)
{
    struct FastTimer* pairs = NULL; /* a stack by next: the rightmost pair on top */

    while (first != NULL) {
        struct FastTimer* one = first;
        struct FastTimer* other = one->next;
        first = other != NULL ? other->next : NULL;
        struct FastTimer* pair = other != NULL ? meld(one, other) : one;
        pair->next = pairs;
        pairs = pair;
    }

    struct FastTimer* root = pairs;
    if (root == NULL)
        return NULL;
    pairs = root->next;
    root->next = NULL;
    while (pairs != NULL) {
        struct FastTimer* pair = pairs;
        pairs = pair->next;
        root = meld(root, pair);
    }
    return root;
}

static void setRoot(struct FastTimerHeap* heap, struct FastTimer* root)
{
    heap->root = root;
    if (root != NULL)
        root->previous = root; /* marks it as being in a heap */
}

/* Takes the tree under a timer that is not the root out of its row. */
static void cut(struct FastTimer* timer)
{
    if (timer->previous->child == timer)
        timer->previous->child = timer->next;
    else
        timer->previous->next = timer->next;
    if (timer->next != NULL)
        timer->next->previous = timer->previous;
    timer->next = NULL;
}

void FastTimerStop(struct FastTimerHeap* heap, struct FastTimer* timer)
{
    if (!FastTimerIsSet(timer))
        return;

    struct FastTimer* children = mergeRow(timer->child);
    if (heap->root == timer) {
        setRoot(heap, children);
    } else {
        cut(timer);
        if (children != NULL)
            setRoot(heap, meld(heap->root, children));
    }
    timer->child = NULL;
    timer->next = NULL;
    timer->previous = NULL;
}

void FastTimerSet(struct FastTimerHeap* heap, struct FastTimer* timer, int64_t deadline)
{
    FastTimerStop(heap, timer);
    assert(timer->child == NULL);
    timer->deadline = deadline;
    timer->order = heap->order++;
    setRoot(heap, heap->root != NULL ? meld(heap->root, timer) : timer);
}
