/* The loop itself: waits, turns, flush handlers, options, statistics, its release. */
#include "services.h"

#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

enum
{
    MILLISECOND = 1000000,
};

static struct FastRing* ring;
static int calls;

static void setUp(void)
{
    openScene();
    ring = scene.ring;
}

AREA(ring, "ring", .open = setUp, .close = closeScene);

/* ---- creation ---- */

CASE(ring, anyLengthWorks)
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

CASE(ring, refusesLengths)
{
    refuses(EINVAL, CreateFastRing(32769));
    refuses(EINVAL, CreateFastRing(UINT32_MAX));
}

CASE(ring, tellsShortageOfDescriptors)
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

CASE(ring, unusedOneIsReleased)
{
    ReleaseFastRing(CreateFastRing(0));
    ReleaseFastRing(NULL);
}

CASE(ring, manyRingsLiveTogether)
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

/* A program without standard descriptors doesn't find a ring in their place. */
CASE(ring, leavesStandardDescriptors)
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

CASE(ring, tellsFeatures)
{
    uint64_t features = GetFastRingFeatures(ring);
    /* of the oldest kernel that is supported */
    ck_assert(features & FASTRING_FEATURE_RECEIVE_MULTISHOT);
    ck_assert(features & FASTRING_FEATURE_ACCEPT_MULTISHOT);
    if (runsOnUring(ring)) {
        ck_assert(features & FASTRING_FEATURE_SEND_ZERO_COPY);
        ck_assert(features & (FASTRING_FEATURE_DEFER_TASKRUN | FASTRING_FEATURE_COOP_TASKRUN));
    }
    ck_assert_uint_eq(features >> 17, 0);
    ck_assert_uint_eq(GetFastRingFeatures(NULL), 0);
}

CASE(ring, tellsEngine)
{
    const char* wanted = getenv("FASTSOCKET_ENGINE");
    const char* engine = GetFastRingEngine(ring);

    ck_assert(strcmp(engine, "io_uring") == 0 || strcmp(engine, "epoll") == 0);
    ck_assert(wanted == NULL || strcmp(engine, wanted) == 0);
    ck_assert_ptr_null(GetFastRingEngine(NULL));
}

AREA(process, "process");

/* Whoever names an engine gets that one or none. */
CASE(process, choosesEngine)
{
    setenv("FASTSOCKET_ENGINE", "epoll", 1);
    struct FastRing* other = CreateFastRing(0);
    ck_assert_str_eq(GetFastRingEngine(other), "epoll");
    ck_assert_int_eq(WaitForFastRing(other, 0, NULL), 0);
    ReleaseFastRing(other);
    setenv("FASTSOCKET_ENGINE", "kqueue", 1);
    errno = 0;
    ck_assert_ptr_null(CreateFastRing(0));
    ck_assert_int_eq(errno, EINVAL);
    setenv("FASTSOCKET_ENGINE", "io_uring", 1);
    waitsForMemory = false; /* a limit on it may refuse every ring of that kind */
    other = CreateFastRing(0);
    ck_assert(other == NULL || runsOnUring(other));
    ReleaseFastRing(other);
    waitsForMemory = true;
}

/* §2.8 set-up flags: without each of them the ring works */
CASE(process, masksFeatures)
{
    for (int bit = 0; bit < 16; bit++) {
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

/* ---- waiting ---- */

/* §2.8 wait gives 0: an interval of 0 does not wait */
CASE(ring, zeroDoesNotWait)
{
    runIdle(ring);
    for (int turn = 0; turn < 100; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

/* §2.8 wait gives 0: the interval passed */
CASE(ring, waitsForTheInterval)
{
    runIdle(ring);
    int64_t start = nowNs();
    ck_assert_int_eq(WaitForFastRing(ring, 30, NULL), 0);
    ck_assert_int_ge(nowNs() - start, 30 * MILLISECOND);
}

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
CASE(ring, aSignalEndsTheWait)
{
    runIdle(ring);
    startAlarm(20000);
    for (int turn = 0; calls == 0; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(calls, 1);
}

CASE(ring, aMaskedSignalDoesNot)
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

/* §2.8 signal: blocked outside and let through inside, as with ppoll: no signal falls between */
CASE(ring, maskLetsSignalsIn)
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

static void waitInside(void* closure, int reason)
{
    (void)reason;
    ck_assert_int_eq(WaitForFastRing(closure, 0, NULL), -EBUSY);
    calls++;
}

/* §2.8 -EBUSY: in its own turn */
CASE(ring, refusesNestedWaits)
{
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, waitInside, ring));
    runTurns(ring, 1);
    ck_assert_int_eq(calls, 1);
    runTurns(ring, 1);
}

static void waitForOther(void* closure, int reason)
{
    (void)reason;
    ck_assert_int_eq(WaitForFastRing(closure, 0, NULL), 0); /* another ring's turn is no nesting */
    calls++;
}

CASE(ring, runsAnotherRingInside)
{
    struct FastRing* other = CreateFastRing(8);
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, waitForOther, other));
    runTurns(ring, 1);
    ck_assert_int_eq(calls, 1);
    ReleaseFastRing(other);
}

/* ---- flush handlers ---- */

static int order[16];
static struct FastRingFlusher* flushers[16];

static void note(void* closure, int reason)
{
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    order[calls++] = (int)(intptr_t)closure;
}

CASE(ring, flushersRunInOrderOnce)
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

static void setAnother(void* closure, int reason)
{
    struct FastRingFlusher* flusher = SetFastRingFlushHandler(ring, setAnother, closure);
    ck_assert_int_eq(flusher == NULL, reason == FASTRING_REASON_RELEASED);
    calls++;
}

CASE(ring, oneSetInsideRunsATurnLater)
{
    SetFastRingFlushHandler(ring, setAnother, NULL);
    for (int turn = 1; turn <= 10; turn++) {
        runTurns(ring, 1);
        ck_assert_int_eq(calls, turn);
        ck_assert_int_eq(GetFastRingInterval(ring), 0);
    }
    ReleaseFastRing(ring); /* one is always set; the end must not go on for ever */
    scene.ring = NULL;
}

CASE(ring, removedFlusherDoesNotRun)
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

static void removeFollowing(void* closure, int reason)
{
    (void)closure;
    (void)reason;
    calls++;
    for (int index = 1; index < 5; index++)
        ck_assert_int_eq(RemoveFastRingFlushHandler(ring, flushers[index]), 0);
}

CASE(ring, removesOthersInside)
{
    for (intptr_t index = 0; index < 5; index++)
        flushers[index] = SetFastRingFlushHandler(ring, removeFollowing, NULL);
    runTurns(ring, 2);
    ck_assert_int_eq(calls, 1);
}

static void setFlusher(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, note, closure));
}

/* Set by another callback of the turn, it runs at the end of that same turn. */
CASE(ring, runsAtTheEndOfItsTurn)
{
    SetFastRingTimeout(ring, NULL, 0, 0, setFlusher, NULL);
    runTurns(ring, 1);
    ck_assert_int_eq(calls, 1);
}

static void hearEnd(void* closure, int reason)
{
    ck_assert_int_eq(reason, FASTRING_REASON_RELEASED);
    refuses(ECANCELED, SetFastRingFlushHandler(ring, hearEnd, closure));
    calls++;
}

CASE(ring, flushersHearOfTheEnd)
{
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, hearEnd, NULL));
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, hearEnd, NULL));
    ReleaseFastRing(ring);
    scene.ring = NULL;
    ck_assert_int_eq(calls, 2);
}

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
CASE(ring, releaseInsideTakesEffectAtTheEndOfTheTurn)
{
    SetFastRingFlushHandler(ring, releaseRing, NULL);
    SetFastRingFlushHandler(ring, note, NULL);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), -ECANCELED);
    scene.ring = NULL;
    ck_assert_int_eq(calls, 2);
}

/* ---- options ---- */

static bool hasFeature(uint64_t feature)
{
    return GetFastRingFeatures(ring) & feature;
}

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

CASE(ring, optionsHaveBounds)
{
    checkOption(FASTRING_OPTION_INBOUND_LIMIT, 256 << 20, 4096, UINT64_MAX);
    checkOption(FASTRING_OPTION_TURN_LIMIT, 256, 1, 65536);
    checkOption(FASTRING_OPTION_SPIN, 0, 0, 10000);
    checkOption(FASTRING_OPTION_POOL_RESERVE, 256 << 20, 0, UINT64_MAX);
    if (hasFeature(FASTRING_FEATURE_NAPI)) {
        checkOption(FASTRING_OPTION_NAPI_BUSY_POLL, 0, 0, 1000000);
        checkOption(FASTRING_OPTION_NAPI_PREFER, 0, 0, 1);
    }
    if (hasFeature(FASTRING_FEATURE_MINIMUM_WAIT))
        checkOption(FASTRING_OPTION_MINIMUM_WAIT, 0, 0, 1000000);
}

/* Whatever else is wrong with it: a value of 0 is what there is. */
static void checkRefused(int option)
{
    uint64_t value = 12345;
    ck_assert_int_eq(SetFastRingOption(ring, option, 1), -EOPNOTSUPP);
    ck_assert_int_eq(GetFastRingOption(ring, option, &value), 0);
    ck_assert_uint_eq(value, 0);
    ck_assert_int_eq(SetFastRingOption(ring, option, 0), 0);
}

CASE(ring, optionsNeedTheirFeatures)
{
    closeScene();
    setenv("FASTSOCKET_FEATURES_OFF", "0xffffffff", 1);
    setUp();
    checkRefused(FASTRING_OPTION_NAPI_BUSY_POLL);
    checkRefused(FASTRING_OPTION_NAPI_PREFER);
    checkRefused(FASTRING_OPTION_MINIMUM_WAIT);
    unsetenv("FASTSOCKET_FEATURES_OFF");
}

CASE(ring, unknownOptionsAreToldApart)
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

static int countCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                           int reason)
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
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, countCompletion,
                                                                           NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    }
}

CASE(ring, turnLimitBoundsATurn)
{
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_TURN_LIMIT, 10), 0);
    submitNops(100);
    for (int turn = 0; calls < 100; turn++) {
        int before = calls;
        runTurns(ring, 1);
        ck_assert_int_le(calls - before, 10);
        if (calls < 100 && calls > before)
            ck_assert_int_eq(GetFastRingInterval(ring), 0); /* the rest is reported */
    }
}

/* A poll that completes after some milliseconds. Not the kernel's own timeouts, which end every
 * wait. */
static int submitTimer(int milliseconds)
{
    int handle = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    const struct itimerspec limit = {.it_value.tv_nsec = (long)milliseconds * MILLISECOND};
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, countCompletion, NULL);
    ck_assert_int_eq(timerfd_settime(handle, 0, &limit, NULL), 0);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), handle, POLLIN);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    return handle;
}

/* §2.8 minimum wait: five things that happen one after the other, as many as a turn may handle */
CASE(ring, minimumWaitGathersCompletions)
{
    int handles[5];
    if (!hasFeature(FASTRING_FEATURE_MINIMUM_WAIT))
        return;
    runIdle(ring);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_MINIMUM_WAIT, 1000000), 0);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_TURN_LIMIT, 5), 0);
    for (int index = 0; index < 5; index++)
        handles[index] = submitTimer(1 + 3 * index);
    ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(calls, 5);
    for (int index = 0; index < 5; index++)
        close(handles[index]);
}

/* §2.8 minimum wait: the interval is kept, however long the minimum is; and when that is over, the
 * first ends the wait */
CASE(ring, minimumWaitEndsWithTheInterval)
{
    if (!hasFeature(FASTRING_FEATURE_MINIMUM_WAIT))
        return;
    runIdle(ring);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_MINIMUM_WAIT, 1000000), 0);
    int64_t took = 1000 * (int64_t)MILLISECOND;
    for (int round = 0; round < 20 && took >= 1000 * (int64_t)MILLISECOND; round++) {
        int64_t start = nowNs();
        ck_assert_int_eq(WaitForFastRing(ring, 5, NULL), 0);
        took = nowNs() - start; /* of each round, if the minimum is kept; of one where all stands */
    }
    ck_assert_int_lt(took, 1000 * (int64_t)MILLISECOND);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_MINIMUM_WAIT, 1000), 0);
    int handle = submitTimer(10);
    for (int wait = 0; wait < 10 && calls == 0; wait++) /* a kernel may be woken by less than one */
        ck_assert_int_eq(WaitForFastRing(ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(calls, 1);
    close(handle);
}

/* What the kernel has of it, which is gone then: the ring is the only one of this process. */
struct BusyPoll
{
    uint32_t microseconds;
    uint8_t prefer;
    uint8_t others[11];
};

static struct BusyPoll takeBusyPoll(void)
{
    enum
    {
        UNREGISTER_NAPI = 28,
    };
    struct BusyPoll poll = {.microseconds = 12345};
    char path[64];
    char name[64] = "";
    for (int handle = 0; handle < 1024 && strcmp(name, "anon_inode:[io_uring]") != 0; handle++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
        ssize_t length = readlink(path, name, sizeof(name) - 1);
        name[length > 0 ? length : 0] = 0;
        if (strcmp(name, "anon_inode:[io_uring]") == 0)
            ck_assert_int_eq(syscall(SYS_io_uring_register, handle, UNREGISTER_NAPI, &poll, 1), 0);
    }
    ck_assert_uint_ne(poll.microseconds, 12345);
    return poll;
}

static void checkBusyPoll(uint32_t microseconds, bool prefer)
{
    struct BusyPoll poll = takeBusyPoll();
    ck_assert_uint_eq(poll.microseconds, microseconds);
    ck_assert_uint_eq(poll.prefer, prefer);
}

/* §2.8 busy polling: it is the kernel that polls, as long as was asked, and with interrupts or
 * without; what is given up it no longer does */
CASE(ring, busyPollingIsTheKernels)
{
    if (!hasFeature(FASTRING_FEATURE_NAPI))
        return;
    checkBusyPoll(0, false);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_BUSY_POLL, 50), 0);
    checkBusyPoll(50, false);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_PREFER, 1), 0);
    checkBusyPoll(50, true);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_BUSY_POLL, 70), 0);
    checkBusyPoll(70, true);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_PREFER, 0), 0);
    checkBusyPoll(70, false);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_PREFER, 1), 0);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_BUSY_POLL, 0), 0);
    checkBusyPoll(0, false); /* also what it would prefer */
}

/* … and a ring works as ever, with it and after it. */
CASE(ring, busyPollingIsGivenBack)
{
    if (!hasFeature(FASTRING_FEATURE_NAPI))
        return;
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_BUSY_POLL, 50), 0);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_PREFER, 1), 0);
    submitNops(10);
    waitCount(ring, &calls, 10);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_NAPI_BUSY_POLL, 0), 0);
    submitNops(10);
    waitCount(ring, &calls, 20);
}

CASE(ring, spinningWaitsToo)
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

/* ---- statistics ---- */

CASE(ring, statisticsCount)
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

    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, 100, 0);
    ck_assert_uint_eq(readRing(ring).buffers, 65);
    ReleaseFastBuffer(buffer);
    ck_assert_uint_eq(readRing(ring).buffers, 64);
}

CASE(ring, statisticsFitAnySize)
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

/* What the loop asks of the system is counted: an entry for all operations, or calls for each. */
CASE(ring, statisticsCountSystemCalls)
{
    const int count = 20;
    pairUnix(scene.pair, SOCK_STREAM);
    runIdle(ring);
    struct FastRingStatistics before = readRing(ring);
    for (int index = 0; index < count; index++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, countCompletion,
                                                                           NULL);
        io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), scene.handle, "x", 1, 0);
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    }
    waitCount(ring, &calls, count);
    struct FastRingStatistics after = readRing(ring);
    uint64_t made = after.systemCalls - before.systemCalls;
    if (runsOnUring(ring))
        ck_assert_uint_le(made, after.turns - before.turns);
    else
        ck_assert_uint_ge(made, (uint64_t)count);
    close(scene.handle);
}

/* Nothing is asked of the kernel twice for one turn. */
CASE(ring, oneSystemCallATurn)
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

/* ---- questions and bad input ---- */

CASE(ring, answersNull)
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

CASE(ring, hasAHandle)
{
    int handle = GetFastRingHandle(ring);
    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(fcntl(handle, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    ck_assert_int_eq(GetFastRingHandle(ring), handle);
}

CASE(ring, hasAVersion)
{
    char text[32];

    snprintf(text, sizeof(text), "%d.%d.%d", FASTSOCKET_VERSION_MAJOR, FASTSOCKET_VERSION_MINOR,
             FASTSOCKET_VERSION_PATCH);
    ck_assert_str_eq(GetFastSocketVersion(), text);
}
