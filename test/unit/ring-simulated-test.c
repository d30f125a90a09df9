/*
 * A ring on an engine without a kernel: nothing above the seam needs one.
 */
#include "fixture.h"
#include "ring/life.h"
#include "simulated.h"

#include <errno.h>
#include <time.h>

enum
{
    RESULT = 4096, /* a result that only the test gives */
};

static struct Simulated kernel;
static struct FastRing* ring;

/* An operation of the test's, prepared by a task. */
static struct
{
    struct FastTask task;
    struct FastOperation operation;
    struct FastOperation cancel;
    int completions;
    int result;
} owner;

static void setUp(void)
{
    memset(&owner, 0, sizeof(owner));
    ring = FastRingCreateOn(simulatedOpen(&kernel));
    ck_assert_ptr_nonnull(ring);
}

static void tearDown(void)
{
    ReleaseFastRing(ring);
    ck_assert(kernel.closed);
    ck_assert(kernel.destroyed);
}

static void onCompletion(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    (void)operation;
    owner.completions++;
    owner.result = completion->res;
}

static void ignore(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    (void)operation;
    (void)completion;
}

static bool prepare(struct FastTask* task)
{
    (void)task;
    struct io_uring_sqe* entry = FastRingReserve(ring, &owner.operation);
    if (entry == NULL)
        return false;
    entry->opcode = IORING_OP_POLL_ADD;
    return true;
}

static bool prepareCancel(struct FastTask* task)
{
    (void)task;
    return FastRingCancel(ring, &owner.cancel, &owner.operation);
}

static void start(void)
{
    owner.operation.function = onCompletion;
    owner.cancel.function = ignore;
    owner.task.function = prepare;
    FastRingDefer(ring, &owner.task);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

static void setRingOption(int option, uint64_t value)
{
    ck_assert_int_eq(SetFastRingOption(ring, option, value), 0);
}

/* What goes on for ever would be given up by the ring's end, after seconds. */
static void finish(void)
{
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0); /* so that there is room for one more */
    simulatedComplete(&kernel, (uintptr_t)&owner.operation, RESULT, 0);
}

AREA(ringSimulated, "ring-simulated", .open = setUp, .close = tearDown);

/* An operation enters, and its completion reaches its owner. */
CASE(ringSimulated, completes)
{
    start();
    ck_assert_ptr_nonnull(simulatedFind(&kernel, (uintptr_t)&owner.operation));
    ck_assert_int_eq(owner.completions, 0);
    simulatedComplete(&kernel, (uintptr_t)&owner.operation, RESULT, 0);
    ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(owner.completions, 1);
    ck_assert_int_eq(owner.result, RESULT);
}

/* A cancellation ends it. */
CASE(ringSimulated, isCanceled)
{
    start();
    owner.task.function = prepareCancel;
    FastRingDefer(ring, &owner.task);
    ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(owner.result, -ECANCELED);
}

static bool reserveAll(struct FastTask* task)
{
    while (owner.completions < SIMULATED_ENTRIES * 2) {
        struct io_uring_sqe* entry = FastRingReserve(ring, &owner.cancel);
        if (entry == NULL)
            return false;
        entry->opcode = IORING_OP_NOP;
        owner.completions++;
    }
    (void)task;
    return true;
}

static bool completeNop(struct Simulated* unused, const struct io_uring_sqe* entry)
{
    (void)unused;
    if (entry->opcode != IORING_OP_NOP)
        return false;
    simulatedComplete(&kernel, entry->user_data, 0, 0);
    return true;
}

/* A full queue is entered, and the task that found it so goes on. */
CASE(ringSimulated, goesOnAfterAFullQueue)
{
    kernel.enter = completeNop;
    owner.cancel.function = ignore;
    owner.task.function = reserveAll;
    FastRingDefer(ring, &owner.task);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ck_assert_int_eq(owner.completions, SIMULATED_ENTRIES * 2);
    ck_assert_uint_ge(kernel.entered, SIMULATED_ENTRIES * 2);
}

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    ++*(int*)closure;
}

/* A timer bounds the enter, and runs. */
CASE(ringSimulated, expiresTimers)
{
    int count = 0;
    ck_assert_ptr_nonnull(SetFastRingTimeout(ring, NULL, 1, 0, onTimeout, &count));
    ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, NULL), 0);
    ck_assert_int_le(kernel.timeout, 1000000);
    while (count == 0)
        ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(count, 1);
}

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event;
    *(uint32_t*)closure = parameter;
}

/* An event wakes it. */
CASE(ringSimulated, isWoken)
{
    uint32_t parameter = 0;
    struct FastRingEvent* event = CreateFastRingEvent(ring, onEvent, &parameter);
    ck_assert_ptr_nonnull(event);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ck_assert_int_eq(SubmitFastRingEvent(event, RESULT), 0);
    ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, NULL), 0);
    ck_assert_uint_eq(parameter, RESULT);
    ReleaseFastRingEvent(event);
}

static int refuse(struct Simulated* unused)
{
    (void)unused;
    return -ENODEV;
}

/* An engine that dies says so. */
CASE(ringSimulated, reportsADeadEngine)
{
    kernel.refuse = refuse;
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), -ENODEV);
    kernel.refuse = NULL;
}

static int refusal;
static int pauses;

int __wrap_nanosleep(const struct timespec* time, struct timespec* left);
int __wrap_nanosleep(const struct timespec* time, struct timespec* left)
{
    (void)left;
    ck_assert(time->tv_sec > 0 || time->tv_nsec > 0);
    pauses++;
    return 0;
}

static int refuseForAWhile(struct Simulated* unused)
{
    (void)unused;
    return -refusal;
}

/* §2.8 transient refusals: who would wait rests, for what is tried again at once is refused again;
 * who would not does not */
CASE_ROUNDS(ringSimulated, restsWhereItIsRefused, 3)
{
    static const int refusals[] = {EAGAIN, EBUSY, ENOMEM};
    refusal = refusals[round];
    kernel.refuse = refuseForAWhile;
    for (int count = 1; count <= 3; count++) {
        ck_assert_int_eq(WaitForFastRing(ring, 1000, NULL), 0);
        ck_assert_int_eq(pauses, count);
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
        ck_assert_int_eq(pauses, count);
    }
    kernel.refuse = NULL;
}

/* ---- a ring that has never handled all that has come ---- */

static int ran;

static bool runRetry(struct FastRingWorker* worker)
{
    (void)worker;
    ran++;
    return true;
}

static void closeNothing(struct FastRingMember* member, bool orderly)
{
    (void)member;
    (void)orderly;
}

static const struct FastRingMemberFunctions workerFunctions = {
    .close = closeNothing,
    .work = {[FAST_RING_RETRY - 1] = runRetry},
};

/* One more completion in each turn than it handles. */
static void runFloodedTurn(void)
{
    for (int count = 0; count < 2; count++)
        if (kernel.completionTail - kernel.completionHead < SIMULATED_COMPLETIONS)
            simulatedComplete(&kernel, (uintptr_t)&owner.operation, RESULT, IORING_CQE_F_MORE);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

/* What waits until all is handled waits for so many turns at most. */
CASE(ringSimulated, keepsNobodyWaitingForTheLastCompletion)
{
    struct FastRingWorker worker = {.member.functions = NULL};
    int turns = 0;

    start();
    setRingOption(FASTRING_OPTION_TURN_LIMIT, 1);
    FastRingLink(ring, &worker.member, &workerFunctions);
    runFloodedTurn();
    FastRingDeferBehind(ring, &worker, FAST_RING_RETRY);
    for (ran = 0; ran == 0 && turns < 100000; turns++)
        runFloodedTurn();
    ck_assert_int_eq(ran, 1);
    ck_assert_int_gt(turns, 10); /* and mostly not at once */
    ck_assert_ptr_nonnull(FastEnginePeek(&kernel.base));
    FastRingUnlink(ring, &worker.member);
    FastRingDrop(ring);
    finish();
}

/* ---- options that are the engine's ---- */

static void expectPolling(unsigned calls, uint32_t microseconds, bool prefers)
{
    ck_assert_uint_eq(kernel.polls, calls);
    ck_assert_uint_eq(kernel.pollMicroseconds, microseconds);
    ck_assert_int_eq(kernel.pollPrefers, prefers);
}

/* §2.8 busy polling: each change is told to the engine at once, with what the other option is */
CASE(ringSimulated, hasTheEngineBusyPoll)
{
    kernel.base.features |= FASTRING_FEATURE_NAPI;
    setRingOption(FASTRING_OPTION_NAPI_BUSY_POLL, 50);
    expectPolling(1, 50, false);
    setRingOption(FASTRING_OPTION_NAPI_PREFER, 1);
    expectPolling(2, 50, true);
    setRingOption(FASTRING_OPTION_NAPI_BUSY_POLL, 1000000);
    expectPolling(3, 1000000, true);
    setRingOption(FASTRING_OPTION_NAPI_PREFER, 0);
    expectPolling(4, 1000000, false);
    setRingOption(FASTRING_OPTION_NAPI_PREFER, 1);
    setRingOption(FASTRING_OPTION_NAPI_BUSY_POLL, 0);
    expectPolling(6, 0, true);
}

/* … and one that the engine refuses is none. */
CASE(ringSimulated, keepsWhatTheEngineRefuses)
{
    uint64_t value = 0;
    kernel.base.features |= FASTRING_FEATURE_NAPI;
    setRingOption(FASTRING_OPTION_NAPI_BUSY_POLL, 50);
    kernel.polling = -ENOMEM;
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_BUSY_POLL, 70), -ENOMEM);
    ck_assert_int_eq(GetFastRingOption(ring, FASTRING_OPTION_NAPI_BUSY_POLL, &value), 0);
    ck_assert_uint_eq(value, 50);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_PREFER, 1), -ENOMEM);
    ck_assert_int_eq(GetFastRingOption(ring, FASTRING_OPTION_NAPI_PREFER, &value), 0);
    ck_assert_uint_eq(value, 0);
    kernel.polling = 0;
    setRingOption(FASTRING_OPTION_NAPI_BUSY_POLL, 60);
    expectPolling(4, 60, false);
}

/* … nor is an engine asked that knows nothing of it. */
CASE(ringSimulated, asksNoEngineWithoutBusyPolling)
{
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_BUSY_POLL, 50), -EOPNOTSUPP);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_PREFER, 1), -EOPNOTSUPP);
    setRingOption(FASTRING_OPTION_NAPI_BUSY_POLL, 0);
    setRingOption(FASTRING_OPTION_NAPI_PREFER, 0);
    expectPolling(0, 0, false);
}

/* §2.8 minimum wait: for as many as a turn handles, whichever of the two is set first */
CASE_ROUNDS(ringSimulated, tellsTheEngineTheMinimum, 2)
{
    kernel.base.features |= FASTRING_FEATURE_MINIMUM_WAIT;
    if (round == 0)
        setRingOption(FASTRING_OPTION_TURN_LIMIT, 7);
    setRingOption(FASTRING_OPTION_MINIMUM_WAIT, 300);
    ck_assert_uint_eq(kernel.base.minimum.microseconds, 300);
    setRingOption(FASTRING_OPTION_TURN_LIMIT, 7);
    ck_assert_uint_eq(kernel.base.minimum.count, 7);
    setRingOption(FASTRING_OPTION_MINIMUM_WAIT, 0);
    ck_assert_uint_eq(kernel.base.minimum.microseconds, 0);
}

/* ---- spinning ---- */

static unsigned enters;
static bool pays; /* the next enter finds something */

static int countEnter(struct Simulated* unused)
{
    (void)unused;
    enters++;
    if (pays)
        simulatedComplete(&kernel, (uintptr_t)&owner.operation, RESULT, IORING_CQE_F_MORE);
    pays = false;
    return 0;
}

static unsigned entersOfAWait(void)
{
    enters = 0;
    ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, NULL), 0);
    return enters;
}

/* A window in which nothing came is halved; where none is left it is tried again after so many
 * waits, and goes on when that pays. */
CASE(ringSimulated, spinsAgainNowAndThen)
{
    enum
    {
        RETRY = 64, /* turn.c */
    };
    start();
    kernel.refuse = countEnter;
    setRingOption(FASTRING_OPTION_SPIN, 1);
    for (int round = 0; round < 2; round++) {
        ck_assert_uint_gt(entersOfAWait(), 1);
        for (int wait = 1; wait < RETRY; wait++)
            ck_assert_uint_eq(entersOfAWait(), 1);
    }
    pays = true;
    ck_assert_uint_eq(entersOfAWait(), 1);
    ck_assert_int_eq(owner.completions, 1);
    ck_assert_uint_gt(entersOfAWait(), 1);
    ck_assert_uint_eq(entersOfAWait(), 1);
    kernel.refuse = NULL;
    finish();
}
