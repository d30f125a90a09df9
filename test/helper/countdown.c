#include "countdown.h"

#include <limits.h>

bool countdownFails(struct Countdown* countdown)
{
    int call = atomic_fetch_add(&countdown->calls, 1) + 1;

    return (call >= atomic_load(&countdown->first)) && (call <= atomic_load(&countdown->last));
}

void failCall(struct Countdown* countdown, int call)
{
    int calls = atomic_load(&countdown->calls);

    atomic_store(&countdown->first, calls + call);
    atomic_store(&countdown->last, calls + call);
}

void failCalls(struct Countdown* countdown, int count)
{
    int calls = atomic_load(&countdown->calls);

    atomic_store(&countdown->first, calls + 1);
    atomic_store(&countdown->last, calls + count);
}

void failEveryCall(struct Countdown* countdown)
{
    atomic_store(&countdown->first, 0);
    atomic_store(&countdown->last, INT_MAX);
}

void failNoCall(struct Countdown* countdown)
{
    atomic_store(&countdown->last, -1);
}

bool isFailureAwaited(struct Countdown* countdown)
{
    return atomic_load(&countdown->calls) < atomic_load(&countdown->last);
}

int countCalls(struct Countdown* countdown)
{
    return atomic_load(&countdown->calls);
}

void forgetCalls(struct Countdown* countdown)
{
    failNoCall(countdown);
    atomic_store(&countdown->calls, 0);
}
