/*
 * What the examples use of <sys/queue.h>, for C libraries that have none, as musl. The build finds it
 * where the system's is missing; by hand it is «cc -Iqueue …» in this folder.
 *
 * LIST     each element knows its successor, and the pointer that leads to itself: so it can be
 *          taken out of a list that nobody names.
 * STAILQ   each knows its successor, and the queue the pointer that the next newcomer is put into.
 */
#ifndef EXAMPLES_SYS_QUEUE_H
#define EXAMPLES_SYS_QUEUE_H

#include <stddef.h>

#define LIST_HEAD(name, type)  struct name { struct type* first; }
#define LIST_ENTRY(type)       struct { struct type* next; struct type** place; }
#define LIST_HEAD_INITIALIZER(head) { NULL }
#define LIST_INIT(head)        ((void)((head)->first = NULL))
#define LIST_FIRST(head)       ((head)->first)
#define LIST_EMPTY(head)       (LIST_FIRST(head) == NULL)
#define LIST_NEXT(element, field) ((element)->field.next)
#define LIST_FOREACH(element, head, field) \
    for ((element) = LIST_FIRST(head); (element) != NULL; (element) = LIST_NEXT(element, field))

#define LIST_INSERT_HEAD(head, element, field)                         \
    do {                                                               \
        (element)->field.next = (head)->first;                         \
        (element)->field.place = &(head)->first;                       \
        if ((head)->first != NULL)                                     \
            (head)->first->field.place = &(element)->field.next;       \
        (head)->first = (element);                                     \
    } while (0)

#define LIST_REMOVE(element, field)                                            \
    do {                                                                       \
        *(element)->field.place = (element)->field.next;                       \
        if ((element)->field.next != NULL)                                     \
            (element)->field.next->field.place = (element)->field.place;       \
    } while (0)

#define STAILQ_HEAD(name, type) struct name { struct type* first; struct type** last; }
#define STAILQ_ENTRY(type)      struct { struct type* next; }
#define STAILQ_HEAD_INITIALIZER(head) { NULL, &(head).first }
#define STAILQ_INIT(head)       ((void)((head)->first = NULL, (head)->last = &(head)->first))
#define STAILQ_FIRST(head)      ((head)->first)
#define STAILQ_EMPTY(head)      (STAILQ_FIRST(head) == NULL)
#define STAILQ_NEXT(element, field) ((element)->field.next)
#define STAILQ_FOREACH(element, head, field) \
    for ((element) = STAILQ_FIRST(head); (element) != NULL; (element) = STAILQ_NEXT(element, field))

#define STAILQ_INSERT_TAIL(head, element, field)        \
    do {                                                \
        (element)->field.next = NULL;                   \
        *(head)->last = (element);                      \
        (head)->last = &(element)->field.next;          \
    } while (0)

#define STAILQ_REMOVE_HEAD(head, field)                         \
    do {                                                        \
        (head)->first = (head)->first->field.next;              \
        if ((head)->first == NULL)                              \
            (head)->last = &(head)->first;                      \
    } while (0)

/* All of the second goes behind the first, and the second is empty then. */
#define STAILQ_CONCAT(head, other)                      \
    do {                                                \
        if ((other)->first != NULL) {                   \
            *(head)->last = (other)->first;             \
            (head)->last = (other)->last;               \
            STAILQ_INIT(other);                         \
        }                                               \
    } while (0)

#endif
