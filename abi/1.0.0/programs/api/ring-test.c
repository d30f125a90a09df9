/* The loop itself: waits, turns, flush handlers, options, statistics, its release. */
#include "services.h"

#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

enum
{
    MILLISECOND = 1000000,
};

static struct Fixture fixture;
static struct FastRing* ring;
static int calls;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
    ring = fixture.ring;
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

/* ---- creation ---- */

START_TEST(anyLengthWorks)
{
    static const uint32_t lengths[] = {1, 2, 3, 7, 64, 100, 1000, 4096, 5000, 32768};
    int before = countDescriptors();
    for (size_t index = 0; index < sizeof(lengths) / sizeof(lengths[0]); index++) {
        struct FastRing* other = CreateFastRing(lengths[index]);
        ck_assert_msg(other != NULL, "length %u: %s", lengths[index], strerror(errno));
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(other, NULL, NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
        runIdle(other);
        ck_assert_uint_ge(readRing(other).completions, 1);
        ReleaseFastRing(other);
    }
    ck_assert_int_eq(countDescriptors(), before);
}
END_TEST

START_TEST(refusesLengths)
{
    refuses(EINVAL, CreateFastRing(32769));
    refuses(EINVAL, CreateFastRing(UINT32_MAX));
}
END_TEST

START_TEST(tellsShortageOfDescriptors)
{
    struct rlimit before;
    struct rlimit tight;
    int probe = dup(0);

    close(probe);
    getrlimit(RLIMIT_NOFILE, &before);
    tight = before;
    /* one descriptor after the other becomes available, until it works */
    for (int spare = 0;; spare++) {
        tight.rlim_cur = (rlim_t)(probe + spare);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
        errno = 0;
        struct FastRing* other = CreateFastRing(0);
        int error = errno;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (other != NULL) {
            ck_assert_int_gt(spare, 0);
            ReleaseFastRing(other);
            break;
        }
        ck_assert_int_eq(error, EMFILE);
        int again = dup(0); /* nothing leaked */
        ck_assert_int_eq(again, probe);
        close(again);
        ck_assert_int_lt(spare, 10);
    }
}
END_TEST

START_TEST(unusedOneIsReleased)
{
    ReleaseFastRing(CreateFastRing(0));
    ReleaseFastRing(NULL);
}
END_TEST

START_TEST(manyRingsLiveTogether)
{
    struct FastRing* rings[8];
    for (int index = 0; index < 8; index++) {
        rings[index] = CreateFastRing(16);
        ck_assert_ptr_nonnull(rings[index]);
        runTurns(rings[index], 2);
    }
    for (int index = 0; index < 8; index++)
        ReleaseFastRing(rings[index]);
}
END_TEST

/* A program without standard descriptors doesn't find a ring in their place. */
START_TEST(leavesStandardDescriptors)
{
    struct FastRing* other = NULL;

    for (int handle = 0; handle <= 2; handle++)
        close(handle);
    other = CreateFastRing(0);
    ck_assert_ptr_nonnull(other);
    ck_assert_int_gt(GetFastRingHandle(other), 2);
    runTurns(other, 2);
    for (int handle = 0; handle <= 2; handle++)
        ck_assert_int_eq(fcntl(handle, F_GETFD), -1);
    ReleaseFastRing(other);
    for (int handle = 0; handle <= 2; handle++)
        ck_assert_int_eq(open("/dev/null", O_RDWR), handle);
}
END_TEST

START_TEST(tellsFeatures)
{
    uint64_t features = GetFastRingFeatures(ring);
    /* of the oldest kernel that is supported */
    ck_assert(features & FASTRING_FEATURE_RECEIVE_MULTISHOT);
    ck_assert(features & FASTRING_FEATURE_ACCEPT_MULTISHOT);
    ck_assert(features & FASTRING_FEATURE_SEND_ZERO_COPY);
    ck_assert(features & (FASTRING_FEATURE_DEFER_TASKRUN | FASTRING_FEATURE_COOP_TASKRUN));
    ck_assert_uint_eq(features >> 14, 0);
    ck_assert_uint_eq(GetFastRingFeatures(NULL), 0);
}
END_TEST

/* §2.8 set-up flags: without each of them the ring works */
START_TEST(masksFeatures)
{
    for (int bit = 0; bit < 14; bit++) {
        /* read with the first ring of a process, so each in a process of its own */
        pid_t child = fork();
        if (child == 0) {
            char text[32];
            snprintf(text, sizeof(text), "%#x", 1 << bit);
            setenv("FASTSOCKET_FEATURES_OFF", text, 1);
            struct FastRing* other = CreateFastRing(0);
            uint64_t features = GetFastRingFeatures(other);
            bool works = other != NULL && WaitForFastRing(other, 0, NULL) == 0;
            ReleaseFastRing(other);
            _exit(works && !(features & (UINT64_C(1) << bit)) ? 0 : 1);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(status == 0, "bit %d", bit);
    }
}
END_TEST

/* ---- waiting ---- */

/* §2.8 wait gives 0: an interval of 0 does not wait */
START_TEST(zeroDoesNotWait)
{
    runIdle(ring);
    for (int turn = 0; turn < 100; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}
END_TEST

/* §2.8 wait gives 0: the interval passed */
START_TEST(waitsForTheInterval)
{
    runIdle(ring);
    int64_t start = nowNs();
    ck_assert_int_eq(WaitForFastRing(ring, 30, NULL), 0);
    ck_assert_int_ge(nowNs() - start, 30 * MILLISECOND);
}
END_TEST

static void nothing(int number)
{
    (void)number;
    calls++;
}

static void startAlarm(long delayUs)
{
    struct sigaction action = {.sa_handler = nothing};
    struct itimerval timer = {.it_value.tv_usec = delayUs};
    sigaction(SIGALRM, &action, NULL);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* §2.8 signal, §2.8 interval UINT32_MAX: it ends a wait that has no other end */
START_TEST(aSignalEndsTheWait)
{
    runIdle(ring);
    startAlarm(20000);
    for (int turn = 0; calls == 0; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(aMaskedSignalDoesNot)
{
    sigset_t mask;
    sigset_t before;
    sigset_t after;

    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    runIdle(ring);
    sigprocmask(SIG_BLOCK, NULL, &before);
    startAlarm(1000);
    int64_t start = nowNs();
    ck_assert_int_eq(WaitForFastRing(ring, 100, &mask), 0);
    if (calls == 0) /* else it came before the wait */
        ck_abort_msg("the signal was lost");
    ck_assert_int_ge(nowNs() - start, 100 * MILLISECOND);
    sigprocmask(SIG_BLOCK, NULL, &after);
    ck_assert_int_eq(sigismember(&before, SIGALRM), sigismember(&after, SIGALRM));
}
END_TEST

/* §2.8 signal: blocked outside and let through inside, as with ppoll: no signal falls between */
START_TEST(maskLetsSignalsIn)
{
    sigset_t blocked;
    sigset_t open;

    signal(SIGALRM, nothing);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, &open);
    raise(SIGALRM);
    ck_assert_int_eq(calls, 0);
    runIdle(ring);
    ck_assert_int_eq(calls, 0);
    sigdelset(&open, SIGALRM);
    ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, &open), 0);
    ck_assert_int_eq(calls, 1);
}
END_TEST

static void waitInside(void* closure, int reason)
{
    (void)reason;
    ck_assert_int_eq(WaitForFastRing(closure, 0, NULL), -EBUSY);
    calls++;
}

/* §2.8 -EBUSY: in its own turn */
START_TEST(refusesNestedWaits)
{
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, waitInside, ring));
    runTurns(ring, 1);
    ck_assert_int_eq(calls, 1);
    runTurns(ring, 1);
}
END_TEST

static void waitForOther(void* closure, int reason)
{
    (void)reason;
    ck_assert_int_eq(WaitForFastRing(closure, 0, NULL), 0); /* another ring's turn is no nesting */
    calls++;
}

START_TEST(runsAnotherRingInside)
{
    struct FastRing* other = CreateFastRing(8);
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, waitForOther, other));
    runTurns(ring, 1);
    ck_assert_int_eq(calls, 1);
    ReleaseFastRing(other);
}
END_TEST

/* ---- flush handlers ---- */

static int order[16];
static struct FastRingFlusher* flushers[16];

static void note(void* closure, int reason)
{
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    order[calls++] = (int)(intptr_t)closure;
}

START_TEST(flushersRunInOrderOnce)
{
    for (intptr_t index = 0; index < 5; index++)
        ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, note, (void*)index));
    ck_assert_int_eq(GetFastRingInterval(ring), 0);
    runTurns(ring, 1);
    ck_assert_int_eq(calls, 5);
    for (int index = 0; index < 5; index++)
        ck_assert_int_eq(order[index], index);
    runTurns(ring, 3);
    ck_assert_int_eq(calls, 5);
}
END_TEST

static void setAnother(void* closure, int reason)
{
    struct FastRingFlusher* flusher = SetFastRingFlushHandler(ring, setAnother, closure);
    ck_assert_int_eq(flusher == NULL, reason == FASTRING_REASON_RELEASED);
    calls++;
}

START_TEST(oneSetInsideRunsATurnLater)
{
    SetFastRingFlushHandler(ring, setAnother, NULL);
    for (int turn = 1; turn <= 10; turn++) {
        runTurns(ring, 1);
        ck_assert_int_eq(calls, turn);
        ck_assert_int_eq(GetFastRingInterval(ring), 0);
    }
    ReleaseFastRing(ring); /* one is always set; the end must not go on for ever */
    fixture.ring = NULL;
}
END_TEST

START_TEST(removedFlusherDoesNotRun)
{
    for (intptr_t index = 0; index < 5; index++)
        flushers[index] = SetFastRingFlushHandler(ring, note, (void*)index);
    ck_assert_int_eq(RemoveFastRingFlushHandler(ring, flushers[0]), 0);
    ck_assert_int_eq(RemoveFastRingFlushHandler(ring, flushers[2]), 0);
    ck_assert_int_eq(RemoveFastRingFlushHandler(ring, flushers[4]), 0);
    ck_assert_int_eq(RemoveFastRingFlushHandler(ring, NULL), 0);
    runTurns(ring, 2);
    ck_assert_int_eq(calls, 2);
    ck_assert_int_eq(order[0], 1);
    ck_assert_int_eq(order[1], 3);
}
END_TEST

static void removeFollowing(void* closure, int reason)
{
    (void)closure;
    (void)reason;
    calls++;
    for (int index = 1; index < 5; index++)
        ck_assert_int_eq(RemoveFastRingFlushHandler(ring, flushers[index]), 0);
}

START_TEST(removesOthersInside)
{
    for (intptr_t index = 0; index < 5; index++)
        flushers[index] = SetFastRingFlushHandler(ring, removeFollowing, NULL);
    runTurns(ring, 2);
    ck_assert_int_eq(calls, 1);
}
END_TEST

static void setFlusher(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, note, closure));
}

/* Set by another callback of the turn, it runs at the end of that same turn. */
START_TEST(runsAtTheEndOfItsTurn)
{
    SetFastRingTimeout(ring, NULL, 0, 0, setFlusher, NULL);
    runTurns(ring, 1);
    ck_assert_int_eq(calls, 1);
}
END_TEST

static void hearEnd(void* closure, int reason)
{
    ck_assert_int_eq(reason, FASTRING_REASON_RELEASED);
    refuses(ECANCELED, SetFastRingFlushHandler(ring, hearEnd, closure));
    calls++;
}

START_TEST(flushersHearOfTheEnd)
{
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, hearEnd, NULL));
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, hearEnd, NULL));
    ReleaseFastRing(ring);
    fixture.ring = NULL;
    ck_assert_int_eq(calls, 2);
}
END_TEST

/* ---- release ---- */

static void releaseRing(void* closure, int reason)
{
    (void)closure;
    if (reason == FASTRING_REASON_COMPLETE) {
        ReleaseFastRing(ring);
        ReleaseFastRing(ring); /* once more is harmless before the turn ends */
        ck_assert_int_eq(IsFastRingThread(ring), 1);
    }
    calls++;
}

/* §2.8 -ECANCELED: released inside, once more too */
START_TEST(releaseInsideTakesEffectAtTheEndOfTheTurn)
{
    SetFastRingFlushHandler(ring, releaseRing, NULL);
    SetFastRingFlushHandler(ring, note, NULL);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), -ECANCELED);
    fixture.ring = NULL;
    ck_assert_int_eq(calls, 2);
}
END_TEST

/* ---- options ---- */

static void checkOption(int option, uint64_t initial, uint64_t least, uint64_t most)
{
    uint64_t value = 12345;

    ck_assert_int_eq(GetFastRingOption(ring, option, &value), 0);
    ck_assert_uint_eq(value, initial);
    ck_assert_int_eq(SetFastRingOption(ring, option, least), 0);
    ck_assert_int_eq(GetFastRingOption(ring, option, &value), 0);
    ck_assert_uint_eq(value, least);
    ck_assert_int_eq(SetFastRingOption(ring, option, most), 0);
    ck_assert_int_eq(GetFastRingOption(ring, option, &value), 0);
    ck_assert_uint_eq(value, most);
    if (least > 0)
        ck_assert_int_eq(SetFastRingOption(ring, option, least - 1), -EINVAL);
    if (most < UINT64_MAX)
        ck_assert_int_eq(SetFastRingOption(ring, option, most + 1), -EINVAL);
    ck_assert_int_eq(GetFastRingOption(ring, option, &value), 0);
    ck_assert_uint_eq(value, most);
    ck_assert_int_eq(SetFastRingOption(ring, option, initial), 0);
}

START_TEST(optionsHaveBounds)
{
    checkOption(FASTRING_OPTION_INBOUND_LIMIT, 256 << 20, 4096, UINT64_MAX);
    checkOption(FASTRING_OPTION_TURN_LIMIT, 256, 1, 65536);
    checkOption(FASTRING_OPTION_SPIN, 0, 0, 10000);
}
END_TEST

START_TEST(unknownOptionsAreToldApart)
{
    uint64_t value = 7;
    ck_assert_int_eq(SetFastRingOption(ring, 0, 1), -ENOPROTOOPT);
    ck_assert_int_eq(SetFastRingOption(ring, 4711, 1), -ENOPROTOOPT);
    ck_assert_int_eq(GetFastRingOption(ring, 4711, &value), -ENOPROTOOPT);
    ck_assert_int_eq(GetFastRingOption(ring, -1, &value), -ENOPROTOOPT);
    ck_assert_uint_eq(value, 7);
    ck_assert_int_eq(GetFastRingOption(ring, FASTRING_OPTION_SPIN, NULL), -EINVAL);
    ck_assert_int_eq(SetFastRingOption(NULL, FASTRING_OPTION_SPIN, 1), -EINVAL);
    ck_assert_int_eq(GetFastRingOption(NULL, FASTRING_OPTION_SPIN, &value), -EINVAL);
}
END_TEST

static int countCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    (void)completion;
    (void)reason;
    calls++;
    return 0;
}

static void submitNops(int number)
{
    for (; number > 0; number--) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, countCompletion, NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    }
}

START_TEST(turnLimitBoundsATurn)
{
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_TURN_LIMIT, 10), 0);
    submitNops(100);
    for (int turn = 0; calls < 100; turn++) {
        int before = calls;
        runTurns(ring, 1);
        ck_assert_int_le(calls - before, 10);
        if (calls < 100 && calls > before)
            ck_assert_int_eq(GetFastRingInterval(ring), 0); /* the rest is told */
    }
}
END_TEST

START_TEST(spinningWaitsToo)
{
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_SPIN, 50), 0);
    runIdle(ring);
    for (int round = 0; round < 200; round++) {
        submitNops(1);
        waitCount(ring, &calls, round + 1);
    }
    int64_t start = nowNs();
    ck_assert_int_eq(WaitForFastRing(ring, 20, NULL), 0);
    ck_assert_int_ge(nowNs() - start, 20 * MILLISECOND);
}
END_TEST

/* ---- statistics ---- */

START_TEST(statisticsCount)
{
    struct FastRingStatistics before = readRing(ring);
    submitNops(10);
    waitCount(ring, &calls, 10);
    struct FastRingStatistics after = readRing(ring);
    ck_assert_uint_gt(after.turns, before.turns);
    ck_assert_uint_gt(after.systemCalls, before.systemCalls);
    ck_assert_uint_ge(after.submissions, before.submissions + 10);
    ck_assert_uint_ge(after.completions, before.completions + 10);
    ck_assert_uint_eq(after.operations, 0);
    ck_assert_uint_eq(after.sockets, 0);
    ck_assert_uint_eq(after.inboundLength, 0);
    ck_assert_uint_eq(after.providedBuffers, 64);
    ck_assert_uint_eq(after.buffers, 64);
    ck_assert_uint_ge(after.bufferBytes, 64 * 4096);

    struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, 100, 0);
    ck_assert_uint_eq(readRing(ring).buffers, 65);
    ReleaseFastBuffer(buffer);
    ck_assert_uint_eq(readRing(ring).buffers, 64);
}
END_TEST

START_TEST(statisticsFitAnySize)
{
    struct
    {
        struct FastRingStatistics known;
        uint64_t unknown[4];
    } large;
    struct FastRingStatistics small;

    runTurns(ring, 3);
    memset(&large, 0xff, sizeof(large));
    ck_assert_int_eq(GetFastRingStatistics(ring, &large.known, sizeof(large)), 0);
    ck_assert_uint_eq(large.known.turns, 3);
    for (int index = 0; index < 4; index++)
        ck_assert_uint_eq(large.unknown[index], 0);
    memset(&small, 0xff, sizeof(small));
    ck_assert_int_eq(GetFastRingStatistics(ring, &small, sizeof(uint64_t)), 0);
    ck_assert_uint_eq(small.turns, 3);
    ck_assert_uint_eq(small.systemCalls, UINT64_MAX);
    ck_assert_int_eq(GetFastRingStatistics(ring, &small, 0), 0);
    ck_assert_int_eq(GetFastRingStatistics(ring, NULL, sizeof(small)), -EINVAL);
    ck_assert_int_eq(GetFastRingStatistics(NULL, &small, sizeof(small)), -EINVAL);
}
END_TEST

/* Nothing is asked of the kernel twice for one turn. */
START_TEST(oneSystemCallATurn)
{
    runIdle(ring);
    struct FastRingStatistics before = readRing(ring);
    for (int round = 0; round < 100; round++) {
        submitNops(20);
        runTurns(ring, 1);
    }
    struct FastRingStatistics after = readRing(ring);
    ck_assert_int_eq(calls, 2000);
    ck_assert_uint_le(after.systemCalls - before.systemCalls, after.turns - before.turns);
}
END_TEST

/* ---- questions and bad input ---- */

START_TEST(answersNull)
{
    ck_assert_int_eq(WaitForFastRing(NULL, 0, NULL), -EINVAL);
    ck_assert_int_eq(GetFastRingHandle(NULL), -EINVAL);
    ck_assert_int_eq(GetFastRingInterval(NULL), -EINVAL);
    ck_assert_uint_eq(GetFastRingPending(NULL), 0);
    ck_assert_int_eq(IsFastRingThread(NULL), 0);
    refuses(EINVAL, SetFastRingFlushHandler(NULL, note, NULL));
    refuses(EINVAL, SetFastRingFlushHandler(ring, NULL, NULL));
    ck_assert_int_eq(RemoveFastRingFlushHandler(NULL, NULL), -EINVAL);
}
END_TEST

START_TEST(hasAHandle)
{
    int handle = GetFastRingHandle(ring);
    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(fcntl(handle, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    ck_assert_int_eq(GetFastRingHandle(ring), handle);
}
END_TEST

START_TEST(hasAVersion)
{
    ck_assert_str_eq(GetFastSocketVersion(), "1.0.0");
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("ring");
    TCase* tcase = tcase_create("ring");

    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_test(tcase, anyLengthWorks);
    tcase_add_test(tcase, refusesLengths);
    tcase_add_test(tcase, leavesStandardDescriptors);
    tcase_add_test(tcase, tellsShortageOfDescriptors);
    tcase_add_test(tcase, unusedOneIsReleased);
    tcase_add_test(tcase, manyRingsLiveTogether);
    tcase_add_test(tcase, tellsFeatures);
    tcase_add_test(tcase, zeroDoesNotWait);
    tcase_add_test(tcase, waitsForTheInterval);
    tcase_add_test(tcase, aSignalEndsTheWait);
    tcase_add_test(tcase, aMaskedSignalDoesNot);
    tcase_add_test(tcase, maskLetsSignalsIn);
    tcase_add_test(tcase, refusesNestedWaits);
    tcase_add_test(tcase, runsAnotherRingInside);
    tcase_add_test(tcase, flushersRunInOrderOnce);
    tcase_add_test(tcase, oneSetInsideRunsATurnLater);
    tcase_add_test(tcase, removedFlusherDoesNotRun);
    tcase_add_test(tcase, removesOthersInside);
    tcase_add_test(tcase, runsAtTheEndOfItsTurn);
    tcase_add_test(tcase, flushersHearOfTheEnd);
    tcase_add_test(tcase, releaseInsideTakesEffectAtTheEndOfTheTurn);
    tcase_add_test(tcase, optionsHaveBounds);
    tcase_add_test(tcase, unknownOptionsAreToldApart);
    tcase_add_test(tcase, turnLimitBoundsATurn);
    tcase_add_test(tcase, spinningWaitsToo);
    tcase_add_test(tcase, statisticsCount);
    tcase_add_test(tcase, statisticsFitAnySize);
    tcase_add_test(tcase, oneSystemCallATurn);
    tcase_add_test(tcase, answersNull);
    tcase_add_test(tcase, hasAHandle);
    tcase_add_test(tcase, hasAVersion);
    suite_add_tcase(suite, tcase);

    tcase = tcase_create("process");
    tcase_add_test(tcase, masksFeatures);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
