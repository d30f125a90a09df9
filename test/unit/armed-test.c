/* The states of an armed operation, on a ring whose engine is arrays in memory. */
#include "fixture.h"
#include "ring/armed.h"
#include "ring/state.h"

enum
{
    ENTRIES = 4,
    COMPLETIONS = 16,
    RESULT = 4711, /* what a completion brings that is none of a cancellation */
};

/* ---- the engine ---- */

static struct io_uring_sqe entries[ENTRIES];
static uint64_t completions[COMPLETIONS][2]; /* what C lets nobody make an array of */
static unsigned submissionHead;
static unsigned completionHead;
static unsigned completionTail;
static unsigned completionFlags;
static int enterResult;
static int endsAfter; /* enters, then the operation's last completion is there; 0: never */

static struct FastArmed armed;

static void post(const struct FastOperation* operation, int result, uint32_t flags)
{
    struct io_uring_cqe* cqe = (struct io_uring_cqe*)completions[completionTail++ % COMPLETIONS];
    cqe->user_data = (uintptr_t)operation;
    cqe->res = result;
    cqe->flags = flags;
}

static int enter(struct FastEngine* engine, int64_t timeout, const sigset_t* mask)
{
    (void)timeout;
    (void)mask;
    if (enterResult < 0)
        return enterResult;
    submissionHead = engine->submission.tail;
    if (endsAfter > 0 && --endsAfter == 0)
        post(&armed.operation, -ECANCELED, 0);
    return 0;
}

static const struct FastEngineFunctions engineFunctions = {.enter = enter};

static struct FastEngine engine = {
    .functions = &engineFunctions,
    .submission = {.entries = entries, .head = &submissionHead, .mask = ENTRIES - 1},
    .completion = {
        .entries = (struct io_uring_cqe*)completions,
        .head = &completionHead,
        .tail = &completionTail,
        .flags = &completionFlags,
        .mask = COMPLETIONS - 1,
    },
};

static struct FastRing ring = {.engine = &engine};

static int reserved(void)
{
    return (int)FastEngineReserved(&engine);
}

/* The entry that was reserved last. */
static const struct io_uring_sqe* lastEntry(void)
{
    return &entries[(engine.submission.tail - 1) % ENTRIES];
}

static void fillQueue(void)
{
    while (FastEngineReserve(&engine) != NULL)
        continue;
}

static void flush(void)
{
    submissionHead = engine.submission.tail;
}

/* ---- the owner ---- */

static int references;
static int ends;         /* completions that were the last */
static int parts;        /* completions that were not */
static int lastCanceled; /* the result of the last cancellation that is over; 1: none is */

static bool prepare(struct FastArmed* which)
{
    struct io_uring_sqe* entry = FastArmedReserve(&ring, which);

    if (entry == NULL)
        return false;
    entry->opcode = IORING_OP_POLL_ADD;
    return true;
}

static void onCanceled(struct FastArmed* which, int result)
{
    ck_assert_ptr_eq(which, &armed);
    ck_assert_int_gt(references, 0); /* it is dropped afterwards */
    lastCanceled = result;
}

static void hold(struct FastArmed* which)
{
    ck_assert_ptr_eq(which, &armed);
    references++;
}

static void drop(struct FastArmed* which)
{
    ck_assert_ptr_eq(which, &armed);
    ck_assert_int_gt(references--, 0);
}

static const struct FastArmedFunctions functions;

static void onCompletion(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    ck_assert_ptr_eq(operation, &armed.operation);
    if (FastArmedTakeCancel(&armed, &functions, completion))
        return;
    if (!FastArmedComplete(&armed, completion)) {
        parts++;
        return;
    }
    ends++;
    drop(&armed);
}

static const struct FastArmedFunctions functions = {
    .prepare = prepare,
    .canceled = onCanceled,
    .hold = hold,
    .drop = drop,
};

static void setUp(void)
{
    FastArmedInitialize(&armed, onCompletion);
    lastCanceled = 1;
}

static bool update(bool wanted, bool stale)
{
    bool isDue = FastArmedIsDue(&armed, wanted, stale);
    int before = reserved();
    bool result = FastArmedUpdate(&ring, &armed, &functions, wanted, stale);

    if (!isDue)
        ck_assert(result && reserved() == before);
    else if (result)
        ck_assert_int_eq(reserved(), before + 1);
    return result;
}

/* What a cancellation has as its user_data. */
static const void* canceler(void)
{
    return (const char*)&armed.operation + FAST_OPERATION_CANCEL;
}

/* What reap does with a completion. */
static void complete(const void* owner, int result, uint32_t flags)
{
    uint64_t memory[2];
    struct io_uring_cqe* completion = (struct io_uring_cqe*)memory;

    completion->user_data = (uintptr_t)owner;
    completion->res = result;
    completion->flags = flags;
    armed.operation.function(&armed.operation, completion);
}

static void expect(enum FastArmedState state, int count)
{
    ck_assert_int_eq(armed.state, state);
    ck_assert_int_eq(references, count);
}

static void startFlight(void)
{
    ck_assert(update(true, false));
    flush();
    expect(FAST_ARMED_IN_FLIGHT, 1);
}

static void startCancel(void)
{
    startFlight();
    ck_assert(update(false, false));
    ck_assert_int_eq(lastEntry()->opcode, IORING_OP_ASYNC_CANCEL);
    ck_assert_uint_eq(lastEntry()->addr, (uintptr_t)&armed.operation);
    ck_assert_uint_eq(lastEntry()->user_data, (uintptr_t)canceler());
    flush();
    expect(FAST_ARMED_CANCELING, 2);
}

/* ---- submitting ---- */

AREA(armed, "armed", .open = setUp);

CASE(armed, isIdleAtFirst)
{
    ck_assert(update(false, false));
    ck_assert(update(false, true));
    ck_assert_int_eq(reserved(), 0);
    expect(FAST_ARMED_IDLE, 0);
}

CASE(armed, submitsWhatIsWantedOnce)
{
    ck_assert(update(true, false));
    ck_assert_uint_eq(lastEntry()->user_data, (uintptr_t)&armed.operation);
    ck_assert_int_eq(lastEntry()->opcode, IORING_OP_POLL_ADD);
    expect(FAST_ARMED_IN_FLIGHT, 1);
    ck_assert(update(true, false));
    ck_assert_int_eq(reserved(), 1);
}

CASE(armed, isSubmittedLaterWhereTheQueueIsFull)
{
    fillQueue();
    ck_assert(!update(true, false));
    expect(FAST_ARMED_IDLE, 0);
    flush();
    ck_assert(update(true, false));
    expect(FAST_ARMED_IN_FLIGHT, 1);
}

CASE(armed, isInFlightUntilItsLastCompletion)
{
    startFlight();
    complete(&armed.operation, RESULT, IORING_CQE_F_MORE);
    ck_assert_int_eq(parts, 1);
    expect(FAST_ARMED_IN_FLIGHT, 1);
    complete(&armed.operation, RESULT, 0);
    ck_assert_int_eq(ends, 1);
    expect(FAST_ARMED_IDLE, 0);
    startFlight();
}

/* ---- canceling ---- */

CASE(armed, waitsForTheCancellationOfWhatIsOver)
{
    startCancel();
    complete(&armed.operation, -ECANCELED, 0);
    expect(FAST_ARMED_AWAITING_CANCEL, 1);
    ck_assert(update(true, false));
    ck_assert(update(false, false));
    expect(FAST_ARMED_AWAITING_CANCEL, 1);
    complete(canceler(), -ENOENT, 0);
    ck_assert_int_eq(lastCanceled, -ENOENT);
    expect(FAST_ARMED_IDLE, 0);
    startFlight();
}

CASE(armed, waitsForTheEndOfWhatWasCanceled)
{
    startCancel();
    ck_assert(update(false, false));
    complete(&armed.operation, RESULT, IORING_CQE_F_MORE);
    expect(FAST_ARMED_CANCELING, 2);
    complete(canceler(), 0, 0);
    ck_assert_int_eq(lastCanceled, 0);
    expect(FAST_ARMED_AWAITING_END, 1);
    complete(&armed.operation, RESULT, IORING_CQE_F_MORE);
    expect(FAST_ARMED_AWAITING_END, 1);
    complete(&armed.operation, -ECANCELED, 0);
    expect(FAST_ARMED_IDLE, 0);
    startFlight();
}

/* Whatever a cancellation says, only the end of the operation ends it. */
CASE(armed, isCanceledAgainUntilItsEnd)
{
    startCancel();
    complete(canceler(), 0, 0);
    ck_assert(update(true, false));
    expect(FAST_ARMED_CANCELING_AGAIN, 2);
    complete(canceler(), -ENOENT, 0);
    expect(FAST_ARMED_AWAITING_END, 1);
    ck_assert(update(false, false));
    expect(FAST_ARMED_CANCELING_AGAIN, 2);
    complete(&armed.operation, -ECANCELED, 0);
    expect(FAST_ARMED_AWAITING_CANCEL, 1);
    complete(canceler(), -ENOENT, 0);
    expect(FAST_ARMED_IDLE, 0);
}

CASE(armed, replacesWhatIsStale)
{
    startFlight();
    ck_assert(update(true, true));
    expect(FAST_ARMED_CANCELING, 2);
    ck_assert_uint_eq(lastEntry()->addr, (uintptr_t)&armed.operation);
}

/* §2.6 submission queue full: the cancellation is made when there is room */
CASE(armed, isCanceledLaterWhereTheQueueIsFull)
{
    startFlight();
    fillQueue();
    ck_assert(!update(false, false));
    expect(FAST_ARMED_IN_FLIGHT, 1);
    ck_assert(!FastArmedIsCanceled(&armed));
    flush();
    ck_assert(update(false, false));
    expect(FAST_ARMED_CANCELING, 2);
}

/* Also when it is wanted again: one half of it may be on its way out. */
CASE(armed, isCanceledAgainWhereItWasMissed)
{
    startCancel();
    complete(canceler(), -ENOENT, 0);
    expect(FAST_ARMED_CANCEL_MISSED, 1);
    fillQueue();
    ck_assert(!update(true, false));
    expect(FAST_ARMED_CANCEL_MISSED, 1);
    flush();
    ck_assert(update(true, false));
    expect(FAST_ARMED_CANCELING, 2);
    complete(canceler(), -ENOENT, 0);
    complete(&armed.operation, RESULT, 0);
    expect(FAST_ARMED_IDLE, 0);
}

CASE(armed, isCanceledAfterAWhileWhereThatFailed)
{
    startCancel();
    complete(canceler(), -EALREADY, 0);
    ck_assert_int_eq(lastCanceled, -EALREADY);
    expect(FAST_ARMED_CANCEL_FAILED, 1);
    ck_assert(update(false, false));
    ck_assert(update(true, true));
    expect(FAST_ARMED_CANCEL_FAILED, 1);
    FastArmedRetry(&armed);
    ck_assert(update(false, false));
    expect(FAST_ARMED_CANCELING, 2);
    complete(canceler(), -EALREADY, 0);
    complete(&armed.operation, RESULT, 0);
    expect(FAST_ARMED_IDLE, 0);
}

/* ---- backing off ---- */

CASE(armed, isNotSubmittedWhileItBacksOff)
{
    FastArmedBackOff(&armed);
    ck_assert(update(true, false));
    ck_assert(update(false, false));
    expect(FAST_ARMED_BACKOFF, 0);
    FastArmedRetry(&armed);
    expect(FAST_ARMED_IDLE, 0);
    startFlight();
}

CASE(armed, backsOffOnlyWhenIdle)
{
    for (int state = FAST_ARMED_IN_FLIGHT; state <= FAST_ARMED_AWAITING_CANCEL; state++) {
        armed.state = (uint8_t)state;
        bool failed = state == FAST_ARMED_CANCEL_FAILED;
        FastArmedBackOff(&armed);
        ck_assert_int_eq(armed.state, state);
        FastArmedRetry(&armed);
        ck_assert_int_eq(armed.state, failed ? FAST_ARMED_CANCEL_MISSED : state);
    }
}

/* ---- what can't wait ---- */

CASE(armed, letsGoOfNothing)
{
    ck_assert(FastArmedLetGo(&ring, &armed, &functions));
    FastArmedBackOff(&armed);
    ck_assert(FastArmedLetGo(&ring, &armed, &functions));
    armed.state = FAST_ARMED_AWAITING_CANCEL;
    ck_assert(FastArmedLetGo(&ring, &armed, &functions));
    ck_assert_int_eq(reserved(), 0);
}

CASE(armed, withdrawsWhatHasNotEntered)
{
    ck_assert(update(true, false));
    ck_assert(FastArmedLetGo(&ring, &armed, &functions));
    ck_assert_int_eq(reserved(), 1);
    ck_assert_int_eq(lastEntry()->opcode, IORING_OP_ASYNC_CANCEL);
    ck_assert_uint_eq(lastEntry()->user_data, (uintptr_t)&armed.operation);
    expect(FAST_ARMED_AWAITING_END, 1);
    complete(&armed.operation, -ENOENT, 0);
    expect(FAST_ARMED_IDLE, 0);
}

CASE(armed, endsAtOnce)
{
    startFlight();
    endsAfter = 3;
    ck_assert(FastArmedLetGo(&ring, &armed, &functions));
    ck_assert_uint_eq(lastEntry()->addr, (uintptr_t)&armed.operation);
    expect(FAST_ARMED_CANCELING, 2);
    complete(canceler(), 0, 0);
    complete(&armed.operation, -ECANCELED, 0);
    expect(FAST_ARMED_IDLE, 0);
}

CASE(armed, isNotCanceledTwiceAtATime)
{
    startCancel();
    endsAfter = 1;
    ck_assert(FastArmedLetGo(&ring, &armed, &functions));
    ck_assert_ptr_eq(lastEntry(), &entries[1]);
    expect(FAST_ARMED_CANCELING, 2);
}

CASE(armed, isCanceledAgainWhereItsEndIsLate)
{
    startCancel();
    complete(canceler(), 0, 0);
    endsAfter = 1;
    ck_assert(FastArmedLetGo(&ring, &armed, &functions));
    expect(FAST_ARMED_CANCELING, 2);
    complete(&armed.operation, -ECANCELED, 0);
    complete(canceler(), -ENOENT, 0);
    expect(FAST_ARMED_IDLE, 0);
}

CASE(armed, endsLaterWhereTheKernelTakesNothing)
{
    startFlight();
    enterResult = -EBUSY;
    ck_assert(!FastArmedLetGo(&ring, &armed, &functions));
    ck_assert_int_eq(reserved(), 1);
    expect(FAST_ARMED_CANCELING, 2);
}

CASE(armed, isCanceledLaterWhereNothingCanBeReserved)
{
    startFlight();
    fillQueue();
    enterResult = -EBUSY;
    ck_assert(!FastArmedLetGo(&ring, &armed, &functions));
    expect(FAST_ARMED_CANCEL_MISSED, 1);
    ck_assert(FastArmedIsCanceled(&armed));
    flush();
    ck_assert(update(false, false));
    expect(FAST_ARMED_CANCELING, 2);
}

CASE(armed, takesALastCompletion)
{
    struct io_uring_cqe completion = {0};
    ck_assert(!FastArmedTakeNow(&ring, &armed, &completion));
    startFlight();
    post(&armed.operation, RESULT, IORING_CQE_F_MORE);
    ck_assert(!FastArmedTakeNow(&ring, &armed, &completion));
    post(&armed.operation, RESULT, 0);
    ck_assert(FastArmedTakeNow(&ring, &armed, &completion));
    ck_assert_int_eq(completion.res, RESULT);
    ck_assert_int_eq(ends, 0);
    expect(FAST_ARMED_IDLE, 1); /* the taker drops what the operation held */
    ck_assert(!FastArmedTakeNow(&ring, &armed, &completion));
}

CASE(armed, takesALastCompletionWhileCanceling)
{
    struct io_uring_cqe completion = {0};
    startCancel();
    post(&armed.operation, RESULT, 0);
    ck_assert(FastArmedTakeNow(&ring, &armed, &completion));
    expect(FAST_ARMED_AWAITING_CANCEL, 2);
}

/* ---- asking ---- */

CASE(armed, saysWhatIsInFlight)
{
    static const struct
    {
        enum FastArmedState state;
        bool isIdle;
        bool isInFlight;
        bool isCanceled;
    } rows[] = {
        {FAST_ARMED_IDLE, true, false, false},
        {FAST_ARMED_BACKOFF, true, false, false},
        {FAST_ARMED_IN_FLIGHT, false, true, false},
        {FAST_ARMED_CANCELING, false, true, true},
        {FAST_ARMED_CANCEL_MISSED, false, true, true},
        {FAST_ARMED_CANCEL_FAILED, false, true, true},
        {FAST_ARMED_AWAITING_END, false, true, true},
        {FAST_ARMED_AWAITING_CANCEL, false, false, true},
    };
    for (size_t index = 0; index < sizeof(rows) / sizeof(rows[0]); index++) {
        armed.state = (uint8_t)rows[index].state;
        ck_assert_int_eq(FastArmedIsIdle(&armed), rows[index].isIdle);
        ck_assert_int_eq(FastArmedIsInFlight(&armed), rows[index].isInFlight);
        ck_assert_int_eq(FastArmedIsCanceled(&armed), rows[index].isCanceled);
        FastArmedForget(&armed);
        ck_assert_int_eq(armed.state, FAST_ARMED_IDLE);
    }
}
