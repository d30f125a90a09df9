/*
 * Which thread this is: the mark by which a ring knows its own, in a thread, in others, and in one
 * that comes back with the same pthread_t.
 */
#include "base/thread.h"
#include "fixture.h"

enum
{
    TRIES = 100, /* threads, one after the other, until one has the pthread_t of the first */
};

static bool isMine(const struct FastThreadMark* mark)
{
    return FastThreadIsSelf(mark) || FastThreadHasNumber(mark);
}

static void* set(void* closure)
{
    FastThreadSetMark(closure);
    ck_assert(FastThreadIsSelf(closure));
    return NULL;
}

static void* setTwoAndClearOne(void* closure)
{
    struct FastThreadMark other = {0};
    struct FastThreadMark last = {0};
    FastThreadSetMark(&other);
    FastThreadSetMark(closure);
    FastThreadSetMark(&last);
    FastThreadClearMark(&other);
    FastThreadClearMark(&last);
    ck_assert(!FastThreadIsSelf(&other));
    ck_assert(FastThreadHasNumber(&other));
    ck_assert(FastThreadIsSelf(closure));
    return NULL;
}

static void* look(void* closure)
{
    ck_assert(!isMine(closure));
    return NULL;
}

static pthread_t run(void* (*function)(void*), void* closure)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, function, closure), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return thread;
}

AREA(thread, "thread");

/* A mark is its thread's while that lives, and no other's. */
CASE(thread, knowsItsThread)
{
    struct FastThreadMark mark = {0};
    ck_assert(!isMine(&mark));
    FastThreadSetMark(&mark);
    ck_assert(FastThreadIsSelf(&mark));
    run(look, &mark);
    FastThreadClearMark(&mark);
    ck_assert(!FastThreadIsSelf(&mark));
    ck_assert(isMine(&mark)); /* the number stays */
}

/* A thread that has the pthread_t of one that has ended is another. */
CASE(thread, isNotDeceived)
{
    struct FastThreadMark mark = {0};
    pthread_t first = run(set, &mark);
    bool same = false;
    for (int count = 0; count < TRIES && !same; count++)
        same = pthread_equal(run(look, &mark), first);
    ck_assert(same);
}

/* Of several marks of a thread each may be cleared, and the rest end with it. */
CASE(thread, endsWithItsThread)
{
    struct FastThreadMark mark = {0};
    pthread_t first = run(setTwoAndClearOne, &mark);
    bool same = false;
    for (int count = 0; count < TRIES && !same; count++)
        same = pthread_equal(run(look, &mark), first);
    ck_assert(same);
    FastThreadClearMark(&mark); /* harmless */
}
