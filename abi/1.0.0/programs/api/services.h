/* What the tests of the ring's services share. */
#ifndef TEST_SERVICES_H
#define TEST_SERVICES_H

#include "fixture.h"

#include <pthread.h>
#include <time.h>

/* Runs a function in a thread of its own, and waits for its end. */
static inline void* inThread(void* (*function)(void*), void* closure)
{
    pthread_t thread;
    void* result = NULL;

    ck_assert_int_eq(pthread_create(&thread, NULL, function, closure), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    return result;
}

static inline int64_t nowNs(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* expect(errno, pointer): a call that fails as told. */
#define refuses(error, call)              \
    do {                                  \
        errno = 0;                        \
        ck_assert_ptr_null(call);         \
        ck_assert_int_eq(errno, (error)); \
    } while (0)

#endif
