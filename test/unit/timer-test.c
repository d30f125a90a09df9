/* The heap of timers, against a sorted reference. */
#include "fixture.h"
#include "base/timer.h"

enum
{
    TIMERS = 500,
    STEPS = 200000,
    MANY = 1000000,
};

static struct FastTimerHeap heap;
static struct FastTimer timers[TIMERS];

/* A generator of our own, so that every run is the same. */
static uint32_t draw(uint32_t limit)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % limit;
}

static bool isBefore(const struct FastTimer* one, const struct FastTimer* other)
{
    return one->deadline < other->deadline ||
           (one->deadline == other->deadline && one->order < other->order);
}

static struct FastTimer* findFirst(void)
{
    struct FastTimer* first = NULL;
    for (int index = 0; index < TIMERS; index++) {
        if (FastTimerIsSet(&timers[index]) && (first == NULL || isBefore(&timers[index], first)))
            first = &timers[index];
    }
    return first;
}

AREA(timer, "timer");

CASE(timer, isEmptyAtFirst)
{
    ck_assert_ptr_null(FastTimerFirst(&heap));
    ck_assert(!FastTimerIsSet(&timers[0]));
    FastTimerStop(&heap, &timers[0]);
    ck_assert_ptr_null(FastTimerFirst(&heap));
}

CASE(timer, keepsOrderOfSettingAmongEquals)
{
    for (int index = 0; index < TIMERS; index++)
        FastTimerSet(&heap, &timers[index], 7);
    for (int index = 0; index < TIMERS; index++) {
        ck_assert_ptr_eq(FastTimerFirst(&heap), &timers[index]);
        FastTimerStop(&heap, &timers[index]);
    }
    ck_assert_ptr_null(FastTimerFirst(&heap));
}

CASE(timer, setMovesWhatIsSet)
{
    FastTimerSet(&heap, &timers[0], 10);
    FastTimerSet(&heap, &timers[1], 20);
    FastTimerSet(&heap, &timers[0], 30);
    ck_assert_ptr_eq(FastTimerFirst(&heap), &timers[1]);
    FastTimerSet(&heap, &timers[0], INT64_MIN);
    ck_assert_ptr_eq(FastTimerFirst(&heap), &timers[0]);
    FastTimerSet(&heap, &timers[0], INT64_MAX);
    ck_assert_ptr_eq(FastTimerFirst(&heap), &timers[1]);
    FastTimerStop(&heap, &timers[1]);
    ck_assert_ptr_eq(FastTimerFirst(&heap), &timers[0]);
    FastTimerStop(&heap, &timers[0]);
    ck_assert_ptr_null(FastTimerFirst(&heap));
}

/* Sets, moves and stops at random; after each step the first is the one that a search finds. */
CASE(timer, agreesWithReference)
{
    for (int step = 0; step < STEPS; step++) {
        struct FastTimer* timer = &timers[draw(TIMERS)];
        switch (draw(4)) {
        case 0:
            FastTimerStop(&heap, timer);
            ck_assert(!FastTimerIsSet(timer));
            break;
        case 1:
            if (FastTimerFirst(&heap) != NULL)
                FastTimerStop(&heap, FastTimerFirst(&heap));
            break;
        default:
            FastTimerSet(&heap, timer, draw(1000));
            ck_assert(FastTimerIsSet(timer));
            break;
        }
        if (step % 16 == 0)
            ck_assert_ptr_eq(FastTimerFirst(&heap), findFirst());
    }
    struct FastTimer* last = NULL;
    while (FastTimerFirst(&heap) != NULL) {
        struct FastTimer* timer = FastTimerFirst(&heap);
        FastTimerStop(&heap, timer);
        ck_assert(last == NULL || isBefore(last, timer));
        last = timer;
    }
    ck_assert_ptr_null(findFirst());
}

/* The shapes that would go deep: rising and falling deadlines, a million timers. */
CASE(timer, needsNoStack)
{
    struct FastTimer* many = calloc(MANY, sizeof(*many));
    ck_assert_ptr_nonnull(many);
    for (int round = 0; round < 2; round++) {
        for (int index = 0; index < MANY; index++)
            FastTimerSet(&heap, &many[index], round == 0 ? index : -index);
        int64_t last = INT64_MIN;
        int count = 0;
        while (FastTimerFirst(&heap) != NULL) {
            struct FastTimer* timer = FastTimerFirst(&heap);
            ck_assert(timer->deadline >= last);
            last = timer->deadline;
            FastTimerStop(&heap, timer);
            count++;
        }
        ck_assert_int_eq(count, MANY);
    }
    free(many);
}
