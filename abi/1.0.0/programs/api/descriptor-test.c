/* Descriptors: raw operations, submitted, cancelled, let go and outlived in every state. */
#include "services.h"

#include <liburing.h>

static struct Fixture fixture;
static int pair[2];
static int calls;
static int lastResult;
static int lastReason;
static int answer; /* what the functions return */
static char input[64];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    answer = 0;
}

static void tearDown(void)
{
    close(pair[0]);
    close(pair[1]);
    fixtureClose(&fixture);
}

static int count(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    ck_assert_ptr_nonnull(descriptor);
    ck_assert_int_eq(completion == NULL, reason == FASTRING_REASON_RELEASED);
    calls++;
    lastReason = reason;
    if (completion != NULL)
        lastResult = completion->res;
    return answer;
}

static int never(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    ck_abort_msg("called with %d for reason %d", completion != NULL ? completion->res : 0, reason);
    return 0;
}

static struct FastRingDescriptor* allocate(HandleFastRingCompletionFunction function)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, function, &calls);
    ck_assert_ptr_nonnull(descriptor);
    return descriptor;
}

static struct FastRingDescriptor* allocateNop(HandleFastRingCompletionFunction function)
{
    struct FastRingDescriptor* descriptor = allocate(function);
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    return descriptor;
}

/* Waits for input on a socket. */
static struct FastRingDescriptor* allocateReceive(HandleFastRingCompletionFunction function)
{
    struct FastRingDescriptor* descriptor = allocate(function);
    io_uring_prep_recv(GetFastRingDescriptorSubmission(descriptor), pair[0], input, sizeof(input), 0);
    return descriptor;
}

/* Reports each change of a socket. */
static struct FastRingDescriptor* allocatePoll(HandleFastRingCompletionFunction function)
{
    struct FastRingDescriptor* descriptor = allocate(function);
    io_uring_prep_poll_multishot(GetFastRingDescriptorSubmission(descriptor), pair[0], POLLIN);
    return descriptor;
}

static void submit(struct FastRingDescriptor* descriptor)
{
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
}

static void expectNoOperation(void)
{
    runIdle(fixture.ring);
    ck_assert_uint_eq(readRing(fixture.ring).operations, 0);
}

/* ---- the good path ---- */

START_TEST(isEmptyAtFirst)
{
    static const struct io_uring_sqe zero;
    struct FastRingDescriptor* descriptor = allocate(count);
    size_t size = 0;
    ck_assert_int_eq(memcmp(GetFastRingDescriptorSubmission(descriptor), &zero, 64), 0);
    ck_assert_ptr_eq(GetFastRingDescriptorClosure(descriptor), &calls);
    ck_assert_ptr_eq(GetFastRingDescriptorRing(descriptor), fixture.ring);
    uint8_t* data = GetFastRingDescriptorData(descriptor, &size);
    ck_assert_uint_ge(size, 256);
    ck_assert_uint_eq((uintptr_t)data % 16, 0);
    memset(data, 0x77, size);
    ck_assert_ptr_eq(GetFastRingDescriptorData(descriptor, NULL), data);
    ck_assert_int_eq(memcmp(GetFastRingDescriptorSubmission(descriptor), &zero, 64), 0);
    ReleaseFastRingDescriptor(descriptor);
}
END_TEST

START_TEST(completesAndGoes)
{
    submit(allocateNop(count));
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), 0);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, 0);
    ck_assert_int_eq(lastReason, FASTRING_REASON_COMPLETE);
    expectNoOperation();
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(receivesIntoItsData)
{
    struct FastRingDescriptor* descriptor = allocate(count);
    size_t size;
    uint8_t* data = GetFastRingDescriptorData(descriptor, &size);
    io_uring_prep_recv(GetFastRingDescriptorSubmission(descriptor), pair[0], data, size, 0);
    answer = 1;
    submit(descriptor);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 0);
    ck_assert_uint_eq(readRing(fixture.ring).operations, 1);
    sendText(pair[1], "hello");
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, 5);
    ck_assert_int_eq(memcmp(data, "hello", 5), 0);
    ReleaseFastRingDescriptor(descriptor);
}
END_TEST

START_TEST(entryIsKeptForTheNextSubmit)
{
    struct FastRingDescriptor* descriptor = allocateReceive(count);
    answer = 1;
    for (int round = 1; round <= 3; round++) {
        submit(descriptor);
        sendText(pair[1], "text");
        waitCount(fixture.ring, &calls, round);
        ck_assert_int_eq(lastResult, 4);
    }
    ReleaseFastRingDescriptor(descriptor);
}
END_TEST

START_TEST(entryIsReadAtSubmit)
{
    struct FastRingDescriptor* descriptor = allocateNop(count);
    submit(descriptor);
    io_uring_prep_recv(GetFastRingDescriptorSubmission(descriptor), -1, input, 1, 0);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, 0);
}
END_TEST

static int resubmit(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    ck_assert_int_eq(completion->res, 0);
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    ck_assert_ptr_eq(GetFastRingDescriptorClosure(descriptor), &calls);
    if (++calls == 100)
        return 0;
    submit(descriptor);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), -EBUSY);
    return 1;
}

START_TEST(isSubmittedAgainInside)
{
    submit(allocateNop(resubmit));
    waitCount(fixture.ring, &calls, 100);
    expectNoOperation();
}
END_TEST

static int resubmitAndLetGo(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)completion;
    (void)reason;
    calls++;
    submit(descriptor);
    return 0;
}

/* Zero lets it go, though it was submitted again. */
START_TEST(isLetGoAfterSubmitInside)
{
    submit(allocateNop(resubmitAndLetGo));
    expectNoOperation();
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(worksWithoutFunction)
{
    struct FastRingDescriptor* descriptor = allocate(NULL);
    io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), pair[0], "ok", 2, 0);
    submit(descriptor);
    expectNoOperation();
    expectText(pair[1], "ok");
    ReleaseFastRingDescriptor(allocate(NULL)); /* never submitted */
}
END_TEST

START_TEST(manyOutnumberTheQueue)
{
    struct FastRing* ring = CreateFastRing(1);
    ck_assert_ptr_nonnull(ring);
    for (int index = 0; index < 1000; index++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, count, &calls);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        submit(descriptor);
    }
    waitCount(ring, &calls, 1000);
    ReleaseFastRing(ring);
}
END_TEST

START_TEST(unknownOpcodeCompletes)
{
    struct FastRingDescriptor* descriptor = allocateNop(count);
    GetFastRingDescriptorSubmission(descriptor)->opcode = 250;
    submit(descriptor);
    waitCount(fixture.ring, &calls, 1);
    ck_assert(lastResult == -EINVAL || lastResult == -EOPNOTSUPP);
}
END_TEST

START_TEST(badHandleCompletes)
{
    struct FastRingDescriptor* descriptor = allocate(count);
    io_uring_prep_recv(GetFastRingDescriptorSubmission(descriptor), 100000, input, 1, 0);
    submit(descriptor);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, -EBADF);
}
END_TEST

/* ---- several completions ---- */

START_TEST(tellsOfMoreToCome)
{
    struct FastRingDescriptor* descriptor = allocatePoll(count);
    answer = 1;
    submit(descriptor);
    for (int round = 1; round <= 3; round++) {
        sendText(pair[1], "x");
        waitCount(fixture.ring, &calls, round);
        ck_assert_int_eq(lastReason, FASTRING_REASON_INCOMPLETE);
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), -EBUSY);
    }
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    waitCount(fixture.ring, &calls, 4);
    ck_assert_int_eq(lastReason, FASTRING_REASON_COMPLETE);
    ck_assert_int_eq(lastResult, -ECANCELED);
    ReleaseFastRingDescriptor(descriptor);
}
END_TEST

START_TEST(zeroAbsorbsTheRest)
{
    submit(allocatePoll(count));
    for (int round = 0; round < 3; round++)
        sendText(pair[1], "x");
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastReason, FASTRING_REASON_INCOMPLETE);
    sendText(pair[1], "x");
    expectNoOperation();
    ck_assert_int_eq(calls, 1);
}
END_TEST

/* ---- cancelling ---- */

START_TEST(cancelledInFlight)
{
    struct FastRingDescriptor* descriptor = allocateReceive(count);
    answer = 1;
    submit(descriptor);
    runTurns(fixture.ring, 2);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    ck_assert_int_eq(calls, 0);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, -ECANCELED);
    ck_assert_int_eq(lastReason, FASTRING_REASON_COMPLETE);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), -ENOENT);
    expectNoOperation();
    ck_assert_int_eq(calls, 1);
    sendText(pair[1], "kept");
    expectText(pair[0], "kept");
    ReleaseFastRingDescriptor(descriptor);
}
END_TEST

/* It never enters the kernel. */
START_TEST(cancelledBeforeItStarts)
{
    struct FastRingDescriptor* descriptor = allocate(count);
    io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), pair[0], "no", 2, 0);
    answer = 1;
    submit(descriptor);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), -EBUSY);
    ck_assert_int_eq(calls, 0);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, -ECANCELED);
    ck_assert_int_eq(lastReason, FASTRING_REASON_COMPLETE);
    expectNoOperation();
    expectNothing(pair[1]);
    submit(descriptor);
    waitCount(fixture.ring, &calls, 2);
    ck_assert_int_eq(lastResult, 2);
    ReleaseFastRingDescriptor(descriptor);
}
END_TEST

/* The result was on its way: it wins. */
START_TEST(cancelledTooLate)
{
    for (int round = 1; round <= 20; round++) {
        struct FastRingDescriptor* descriptor = allocateReceive(count);
        submit(descriptor);
        runTurns(fixture.ring, 2);
        sendText(pair[1], "x");
        ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
        waitCount(fixture.ring, &calls, round);
        ck_assert(lastResult == 1 || lastResult == -ECANCELED);
        if (lastResult != 1)
            expectText(pair[0], "x");
        expectNoOperation();
        ck_assert_int_eq(calls, round);
    }
}
END_TEST

static int resubmitCancelled(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)reason;
    calls++;
    lastResult = completion->res;
    if (completion->res != -ECANCELED)
        return 0;
    submit(descriptor); /* the cancellation itself may not have reported yet */
    return 1;
}

START_TEST(cancelledOneIsSubmittedAgain)
{
    submit(allocateReceive(resubmitCancelled));
    struct FastRingDescriptor* descriptor = allocateReceive(resubmitCancelled);
    submit(descriptor);
    for (int round = 1; round <= 20; round++) {
        runTurns(fixture.ring, round % 3);
        ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
        waitCount(fixture.ring, &calls, round);
    }
    sendText(pair[1], "x");
    waitCount(fixture.ring, &calls, 21);
    sendText(pair[1], "x");
    waitCount(fixture.ring, &calls, 22);
    expectNoOperation();
}
END_TEST

static struct FastRingDescriptor* other;

static int cancelOther(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    (void)completion;
    (void)reason;
    ck_assert_int_eq(CancelFastRingDescriptor(other), 0);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), -ENOENT);
    return 0;
}

START_TEST(cancelledInsideAnother)
{
    other = allocateReceive(count);
    submit(other);
    submit(allocateNop(cancelOther));
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, -ECANCELED);
}
END_TEST

/* ---- letting go ---- */

START_TEST(releasedInEveryState)
{
    ReleaseFastRingDescriptor(NULL);
    ReleaseFastRingDescriptor(allocateNop(never));
    for (int turns = 0; turns < 4; turns++) {
        struct FastRingDescriptor* receive = allocateReceive(never);
        struct FastRingDescriptor* poll = allocatePoll(never);
        struct FastRingDescriptor* silent = allocateReceive(NULL);
        submit(receive);
        submit(poll);
        submit(silent);
        runTurns(fixture.ring, turns);
        ReleaseFastRingDescriptor(receive);
        ReleaseFastRingDescriptor(poll);
        ReleaseFastRingDescriptor(silent);
        expectNoOperation();
    }
    sendText(pair[1], "still there");
    expectText(pair[0], "still there");
}
END_TEST

START_TEST(releasedWhileCancelling)
{
    for (int turns = 0; turns < 3; turns++) {
        struct FastRingDescriptor* descriptor = allocateReceive(never);
        submit(descriptor);
        runTurns(fixture.ring, turns);
        ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
        ReleaseFastRingDescriptor(descriptor);
        expectNoOperation();
    }
}
END_TEST

static int releaseSelf(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)completion;
    (void)reason;
    calls++;
    ReleaseFastRingDescriptor(descriptor);
    return answer; /* no matter what */
}

START_TEST(releasesItself)
{
    for (answer = 0; answer < 2; answer++) {
        submit(allocateNop(releaseSelf));
        submit(allocatePoll(releaseSelf));
        sendText(pair[1], "x");
        waitCount(fixture.ring, &calls, 2 * answer + 2);
        expectNoOperation();
    }
    ck_assert_int_eq(calls, 4);
}
END_TEST

static struct FastRingDescriptor* several[8];

static int releaseAll(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    (void)completion;
    (void)reason;
    calls++;
    for (int index = 0; index < 8; index++) {
        ReleaseFastRingDescriptor(several[index]);
        several[index] = NULL;
    }
    return 1;
}

/* All complete in the same batch. */
START_TEST(releasesAllOthers)
{
    for (int index = 0; index < 8; index++) {
        several[index] = allocateNop(releaseAll);
        submit(several[index]);
    }
    expectNoOperation();
    ck_assert_int_eq(calls, 1);
}
END_TEST

/* ---- the ring's end ---- */

START_TEST(isToldOfTheRingsEnd)
{
    for (int turns = 0; turns < 3; turns++) {
        struct FastRing* ring = CreateFastRing(8);
        struct FastRingDescriptor* descriptors[3];
        calls = 0;
        for (int index = 0; index < 3; index++) {
            descriptors[index] = AllocateFastRingDescriptor(ring, count, &calls);
            struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptors[index]);
            if (index == 0)
                io_uring_prep_recv(entry, pair[0], input, sizeof(input), 0);
            else
                io_uring_prep_poll_add(entry, pair[0], POLLIN);
            submit(descriptors[index]);
        }
        answer = turns; /* 0: freed by its own word, else a shell */
        runTurns(ring, turns);
        ReleaseFastRing(ring);
        ck_assert_int_eq(calls, 3);
        ck_assert_int_eq(lastReason, FASTRING_REASON_RELEASED);
        for (int index = 0; index < 3 && answer != 0; index++) {
            ck_assert_int_eq(SubmitFastRingDescriptor(descriptors[index]), -ECANCELED);
            ck_assert_int_eq(CancelFastRingDescriptor(descriptors[index]), -ECANCELED);
            ReleaseFastRingDescriptor(descriptors[index]);
        }
    }
}
END_TEST

START_TEST(idleOneIsAShell)
{
    struct FastRingDescriptor* descriptor = allocateNop(never);
    struct FastRingDescriptor* silent = allocateReceive(NULL);
    submit(silent);
    runTurns(fixture.ring, 1);
    ReleaseFastRing(fixture.ring);
    fixture.ring = NULL;
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), -ECANCELED);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), -ECANCELED);
    ReleaseFastRingDescriptor(descriptor);
}
END_TEST

/* A descriptor that submits itself again for ever does not keep the ring from ending. */
static int insist(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)completion;
    calls++;
    int result = SubmitFastRingDescriptor(descriptor);
    ck_assert_int_eq(result, reason == FASTRING_REASON_RELEASED ? -ECANCELED : result);
    return reason != FASTRING_REASON_RELEASED;
}

START_TEST(insistingOneEndsWithTheRing)
{
    submit(allocateNop(insist));
    waitCount(fixture.ring, &calls, 3);
    ReleaseFastRing(fixture.ring);
    fixture.ring = NULL;
}
END_TEST

static int releaseRing(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    (void)completion;
    if (reason == FASTRING_REASON_COMPLETE)
        ReleaseFastRing(fixture.ring);
    calls++;
    return 0;
}

START_TEST(releasesTheRingInside)
{
    int result = 0;
    struct FastRingDescriptor* receive = allocateReceive(releaseRing);
    submit(receive);
    submit(allocateNop(releaseRing));
    while (result == 0)
        result = WaitForFastRing(fixture.ring, 100, NULL);
    ck_assert_int_eq(result, -ECANCELED);
    fixture.ring = NULL;
    ck_assert_int_eq(calls, 2);
}
END_TEST

/* ---- bad input ---- */

START_TEST(refusesFlags)
{
    static const uint8_t flags[] = {IOSQE_CQE_SKIP_SUCCESS, IOSQE_IO_DRAIN, IOSQE_IO_LINK, IOSQE_IO_HARDLINK};
    struct FastRingDescriptor* descriptor = allocateNop(count);
    for (size_t index = 0; index < sizeof(flags); index++) {
        GetFastRingDescriptorSubmission(descriptor)->flags = flags[index];
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), -EINVAL);
    }
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 0);
    GetFastRingDescriptorSubmission(descriptor)->flags = IOSQE_ASYNC;
    GetFastRingDescriptorSubmission(descriptor)->user_data = 12345; /* ours to set */
    submit(descriptor);
    waitCount(fixture.ring, &calls, 1);
}
END_TEST

static void* useInThread(void* closure)
{
    refuses(EPERM, AllocateFastRingDescriptor(fixture.ring, never, NULL));
    ck_assert_int_eq(SubmitFastRingDescriptor(closure), -EPERM);
    ck_assert_int_eq(CancelFastRingDescriptor(closure), -EPERM);
    refuses(EPERM, GetFastRingDescriptorSubmission(closure));
    refuses(EPERM, GetFastRingDescriptorData(closure, NULL));
    ReleaseFastRingDescriptor(closure); /* does nothing */
    return NULL;
}

START_TEST(refusesBadInput)
{
    refuses(EINVAL, AllocateFastRingDescriptor(NULL, never, NULL));
    ck_assert_ptr_null(GetFastRingDescriptorSubmission(NULL));
    ck_assert_ptr_null(GetFastRingDescriptorClosure(NULL));
    ck_assert_ptr_null(GetFastRingDescriptorRing(NULL));
    ck_assert_ptr_null(GetFastRingDescriptorData(NULL, NULL));
    ck_assert_int_eq(SubmitFastRingDescriptor(NULL), -EINVAL);
    ck_assert_int_eq(CancelFastRingDescriptor(NULL), -EINVAL);

    struct FastRingDescriptor* descriptor = allocateNop(count);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), -ENOENT);
    runTurns(fixture.ring, 1);
    inThread(useInThread, descriptor);
    submit(descriptor);
    waitCount(fixture.ring, &calls, 1);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("descriptor");
    TCase* tcase = tcase_create("descriptor");

    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_test(tcase, isEmptyAtFirst);
    tcase_add_test(tcase, completesAndGoes);
    tcase_add_test(tcase, receivesIntoItsData);
    tcase_add_test(tcase, entryIsKeptForTheNextSubmit);
    tcase_add_test(tcase, entryIsReadAtSubmit);
    tcase_add_test(tcase, isSubmittedAgainInside);
    tcase_add_test(tcase, isLetGoAfterSubmitInside);
    tcase_add_test(tcase, worksWithoutFunction);
    tcase_add_test(tcase, manyOutnumberTheQueue);
    tcase_add_test(tcase, unknownOpcodeCompletes);
    tcase_add_test(tcase, badHandleCompletes);
    tcase_add_test(tcase, tellsOfMoreToCome);
    tcase_add_test(tcase, zeroAbsorbsTheRest);
    tcase_add_test(tcase, cancelledInFlight);
    tcase_add_test(tcase, cancelledBeforeItStarts);
    tcase_add_test(tcase, cancelledTooLate);
    tcase_add_test(tcase, cancelledOneIsSubmittedAgain);
    tcase_add_test(tcase, cancelledInsideAnother);
    tcase_add_test(tcase, releasedInEveryState);
    tcase_add_test(tcase, releasedWhileCancelling);
    tcase_add_test(tcase, releasesItself);
    tcase_add_test(tcase, releasesAllOthers);
    tcase_add_test(tcase, isToldOfTheRingsEnd);
    tcase_add_test(tcase, idleOneIsAShell);
    tcase_add_test(tcase, insistingOneEndsWithTheRing);
    tcase_add_test(tcase, releasesTheRingInside);
    tcase_add_test(tcase, refusesFlags);
    tcase_add_test(tcase, refusesBadInput);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
