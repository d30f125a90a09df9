/* The n-th call of something fails: of an allocation, a system call, a function of the test. */
#ifndef TEST_COUNTDOWN_H
#define TEST_COUNTDOWN_H

#include <stdatomic.h>
#include <stdbool.h>

/* All zero: no call fails. Any thread may ask it. */
struct Countdown
{
    atomic_int calls; /* made since forgetCalls */
    atomic_int first; /* the calls that fail, counted as calls is; none if last is below it */
    atomic_int last;
};

/* Asked once a call: true if that call is to fail. */
bool countdownFails(struct Countdown* countdown);

/* What is to come, counted from now. Each replaces what was said before. */
void failCall(struct Countdown* countdown, int call);   /* 1: the next one, and that alone */
void failCalls(struct Countdown* countdown, int count); /* the next ones */
void failEveryCall(struct Countdown* countdown);
void failNoCall(struct Countdown* countdown);

/* True if a call that is to fail has not come yet. */
bool isFailureAwaited(struct Countdown* countdown);

int countCalls(struct Countdown* countdown); /* since forgetCalls */
void forgetCalls(struct Countdown* countdown);

/* Takes the place of a function that the linker wraps (ld --wrap), and gives the failure when it is
 * time: FAILING_CALL(&memory, NULL, void*, calloc, (size_t count, size_t size), (count, size)) */
#define FAILING_CALL(countdown, failure, type, name, parameters, arguments)      \
    type __real_##name parameters;                                               \
    type __wrap_##name parameters;                                               \
    type __wrap_##name parameters                                                \
    {                                                                            \
        return countdownFails(countdown) ? (failure) : __real_##name arguments;  \
    }

#endif
