/* Ring/FastRing.h: the loop, its options, timeouts, watches, events. */
#include "consumer.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum
{
    UNKNOWN_OPTION = 0x7fffffff,
};

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000) + time.tv_nsec / 1000000;
}

/* ---- the loop ---- */

struct flush
{
    struct FastRing* ring;
    int count;
    int order; /* of the last call, counted over all */
    int reason;
};

static int flushes;
static volatile sig_atomic_t signals;

static void onSignal(int number)
{
    (void)number;
    signals++;
}

/* The mask is in force during the wait, and no longer. */
static void waitMasked(struct FastRing* ring)
{
    sigset_t none, blocked, before;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    signal(SIGUSR1, onSignal);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, &before) == 0);
    CHECK(raise(SIGUSR1) == 0);
    CHECK(WaitForFastRing(ring, 1, NULL) == 0 && signals == 0);
    for (int turn = 0; turn < 100 && signals == 0; ++turn)
        CHECK(WaitForFastRing(ring, 20, &none) == 0);
    CHECK(signals == 1);
    CHECK(raise(SIGUSR1) == 0);
    CHECK(WaitForFastRing(ring, 1, NULL) == 0 && WaitForFastRing(ring, 1, &blocked) == 0 && signals == 1);
    CHECK(sigprocmask(SIG_SETMASK, &before, NULL) == 0 && signals == 2);
}

static void onFlush(void* closure, int reason)
{
    struct flush* flush = closure;
    flush->count++;
    flush->order = ++flushes;
    flush->reason = reason;
    if (flush->ring != NULL)
        CHECK(WaitForFastRing(flush->ring, 0, NULL) == -EBUSY);
}

static int seeNone(struct FastSocket* socket, void* closure)
{
    CHECK(socket == NULL && closure == NULL);
    return 1;
}

/* What the lines say may change, that there are some may not. */
static void look(struct FastRing* ring)
{
    char text[4096] = "";
    FILE* stream = fmemopen(text, sizeof(text), "w");
    CHECK(stream != NULL);
    CHECK(DumpFastRing(ring, NULL) == -EINVAL && DumpFastRing(NULL, stream) == -EINVAL);
    CHECK(WalkFastRing(ring, NULL, NULL) == -EINVAL && WalkFastRing(NULL, seeNone, NULL) == -EINVAL);
    CHECK(DumpFastRing(ring, stream) == 0 && WalkFastRing(ring, seeNone, NULL) == 0);
    CHECK(fclose(stream) == 0);
    CHECK(strchr(text, '\n') != NULL);
}

static void askElsewhere(void* closure)
{
    struct FastRing* ring = closure;
    uint64_t value = 77;
    struct FastRingStatistics statistics;
    CHECK(IsFastRingThread(ring) == 0);
    CHECK(WaitForFastRing(ring, 0, NULL) == -EPERM);
    CHECK(GetFastRingHandle(ring) == -EPERM);
    CHECK(GetFastRingInterval(ring) == -EPERM);
    CHECK(GetFastRingPending(ring) == 0);
    CHECK(GetFastRingFeatures(ring) != 0);
    CHECK(strcmp(GetFastRingEngine(ring), "io_uring") == 0 ||
          strcmp(GetFastRingEngine(ring), "epoll") == 0);
    CHECK(DumpFastRing(ring, stderr) == -EPERM);
    CHECK(WalkFastRing(ring, seeNone, NULL) == -EPERM);
    CHECK(SetFastRingOption(ring, FASTRING_OPTION_SPIN, 1) == -EPERM);
    CHECK(GetFastRingOption(ring, FASTRING_OPTION_SPIN, &value) == -EPERM && value == 77);
    CHECK(GetFastRingStatistics(ring, &statistics, sizeof(statistics)) == -EPERM);
    CHECK_ERROR(SetFastRingFlushHandler(ring, onFlush, NULL), EPERM);
    CHECK_ERROR(AllocateFastRingDescriptor(ring, NULL, NULL), EPERM);
    CHECK_ERROR(CreateFastBufferPool(ring), EPERM);
}

void useRing(void)
{
    CHECK(GetFastRingCreateError() == NULL);
    CHECK_ERROR(CreateFastRing(32769), EINVAL);
    CHECK(GetFastRingCreateError() != NULL);
    ReleaseFastRing(NULL);
    CHECK(WaitForFastRing(NULL, 0, NULL) == -EINVAL);
    CHECK(GetFastRingHandle(NULL) == -EINVAL);
    CHECK(GetFastRingInterval(NULL) == -EINVAL);
    CHECK(GetFastRingPending(NULL) == 0);
    CHECK(GetFastRingFeatures(NULL) == 0);
    CHECK(GetFastRingEngine(NULL) == NULL);
    CHECK(IsFastRingThread(NULL) == 0);

    struct FastRing* ring = CreateFastRing(100);
    CHECK(ring != NULL && GetFastRingCreateError() == NULL);
    CHECK(IsFastRingThread(ring) == 1);
    CHECK(WaitForFastRing(ring, 0, NULL) == 0);
    CHECK(IsFastRingThread(ring) == 1);
    CHECK((GetFastRingFeatures(ring) & FASTRING_FEATURE_RECEIVE_MULTISHOT) != 0);
    CHECK(GetFastRingPending(ring) == 0);
    int handle = GetFastRingHandle(ring);
    CHECK(handle >= 0 && GetFastRingHandle(ring) == handle && isOpen(handle));
    runTurns(ring, 2);
    CHECK(GetFastRingInterval(ring) == -1);
    callElsewhere(askElsewhere, ring);
    look(ring);

    /* A wait ends with its interval, and under a mask of signals. */
    int64_t start = now();
    CHECK(WaitForFastRing(ring, 30, NULL) == 0);
    CHECK(now() - start >= 29);
    waitMasked(ring);

    struct flush first = { ring, 0, 0, -1 }, second = { NULL, 0, 0, -1 }, removed = { NULL, 0, 0, -1 };
    CHECK_ERROR(SetFastRingFlushHandler(ring, NULL, NULL), EINVAL);
    CHECK_ERROR(SetFastRingFlushHandler(NULL, onFlush, NULL), EINVAL);
    CHECK(SetFastRingFlushHandler(ring, onFlush, &first) != NULL);
    CHECK(GetFastRingInterval(ring) == 0);
    struct FastRingFlusher* flusher = SetFastRingFlushHandler(ring, onFlush, &removed);
    CHECK(flusher != NULL);
    CHECK(SetFastRingFlushHandler(ring, onFlush, &second) != NULL);
    CHECK(RemoveFastRingFlushHandler(ring, flusher) == 0);
    CHECK(RemoveFastRingFlushHandler(ring, NULL) == 0);
    CHECK(RemoveFastRingFlushHandler(NULL, NULL) == -EINVAL);
    runTurns(ring, 2);
    CHECK(first.count == 1 && second.count == 1 && removed.count == 0);
    CHECK(first.order < second.order && first.reason == FASTRING_REASON_COMPLETE);

    struct flush last = { NULL, 0, 0, -1 };
    CHECK(SetFastRingFlushHandler(ring, onFlush, &last) != NULL);
    ReleaseFastRing(ring);
    CHECK(last.count == 1 && last.reason == FASTRING_REASON_RELEASED);
}

/* ---- options ---- */

static void useOption(struct FastRing* ring, int option, uint64_t initial, uint64_t least, uint64_t most)
{
    uint64_t value = 12345;
    CHECK(GetFastRingOption(ring, option, &value) == 0 && value == initial);
    CHECK(SetFastRingOption(ring, option, most) == 0);
    CHECK(GetFastRingOption(ring, option, &value) == 0 && value == most);
    CHECK(SetFastRingOption(ring, option, least) == 0);
    if (least > 0)
        CHECK(SetFastRingOption(ring, option, least - 1) == -EINVAL);
    CHECK(GetFastRingOption(ring, option, &value) == 0 && value == least);
}

void useOptions(void)
{
    struct FastRing* ring = openRing();
    CHECK(ring != NULL);
    useOption(ring, FASTRING_OPTION_INBOUND_LIMIT, UINT64_C(256) << 20, 4096, UINT64_C(1) << 30);
    useOption(ring, FASTRING_OPTION_TURN_LIMIT, 256, 1, 65536);
    CHECK(SetFastRingOption(ring, FASTRING_OPTION_TURN_LIMIT, 65537) == -EINVAL);
    useOption(ring, FASTRING_OPTION_SPIN, 0, 0, 10000);
    CHECK(SetFastRingOption(ring, FASTRING_OPTION_SPIN, 10001) == -EINVAL);
    useOption(ring, FASTRING_OPTION_POOL_RESERVE, UINT64_C(256) << 20, 0, UINT64_MAX);

    uint64_t value = 99;
    CHECK(SetFastRingOption(ring, UNKNOWN_OPTION, 1) == -ENOPROTOOPT);
    CHECK(SetFastRingOption(ring, 0, 1) == -ENOPROTOOPT);
    CHECK(GetFastRingOption(ring, UNKNOWN_OPTION, &value) == -ENOPROTOOPT && value == 99);
    CHECK(GetFastRingOption(ring, FASTRING_OPTION_SPIN, NULL) == -EINVAL);
    CHECK(GetFastRingOption(NULL, FASTRING_OPTION_SPIN, &value) == -EINVAL && value == 99);
    CHECK(SetFastRingOption(NULL, FASTRING_OPTION_SPIN, 1) == -EINVAL);
    ReleaseFastRing(ring);
}

/* ---- timeouts ---- */

struct clock
{
    struct FastRing* ring;
    struct FastRingTimeout* timeout; /* as told */
    int count;
    int enough; /* removes itself then, if not 0 */
};

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    struct clock* clock = closure;
    clock->timeout = timeout;
    clock->count++;
    if (clock->count == clock->enough)
        CHECK(SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL) == NULL);
}

void useTimeouts(void)
{
    struct FastRing* ring = openRing();
    CHECK(ring != NULL);
    struct clock once = { ring, NULL, 0, 0 };
    struct clock repeated = { ring, NULL, 0, 3 };
    struct clock precise = { ring, NULL, 0, 0 };
    struct clock other = { ring, NULL, 0, 0 };
    CHECK_ERROR(SetFastRingTimeout(NULL, NULL, 1, 0, onTimeout, NULL), EINVAL);
    CHECK_ERROR(SetFastRingTimeout(ring, NULL, 1, 0, NULL, NULL), EINVAL);
    CHECK_ERROR(SetFastRingTimeout(ring, NULL, 1, UINT64_C(1) << 63, onTimeout, NULL), EINVAL);

    int64_t start = now();
    struct FastRingTimeout* timeout = SetFastRingTimeout(ring, NULL, 25, 0, onTimeout, &once);
    CHECK(timeout != NULL);
    CHECK(GetFastRingInterval(ring) >= 0 && GetFastRingInterval(ring) <= 26);
    runUntil(ring, &once.count, 1);
    CHECK(once.timeout == timeout && now() - start >= 24);

    timeout = SetFastRingTimeout(ring, NULL, 1, FASTRING_TIMEOUT_REPEAT, onTimeout, &repeated);
    CHECK(timeout != NULL);
    runUntil(ring, &repeated.count, 3);
    CHECK(WaitForFastRing(ring, 5, NULL) == 0);
    CHECK(repeated.count == 3 && repeated.timeout == timeout);

    struct timespec span = { .tv_sec = 0, .tv_nsec = 2000000 };
    struct timespec wrong = { .tv_sec = 0, .tv_nsec = 1000000000 };
    struct timespec negative = { .tv_sec = -1, .tv_nsec = 0 };
    CHECK_ERROR(SetFastRingPreciseTimeout(ring, NULL, &wrong, 0, onTimeout, &precise), EINVAL);
    start = now();
    CHECK(SetFastRingPreciseTimeout(ring, NULL, &span, 0, onTimeout, &precise) != NULL);
    runUntil(ring, &precise.count, 1);
    CHECK(now() - start >= 1);
    CHECK_ERROR(SetFastRingPreciseTimeout64(ring, NULL, &wrong, 0, onTimeout, &precise), EINVAL);
    start = now();
    CHECK(SetFastRingPreciseTimeout64(ring, NULL, &span, 0, onTimeout, &precise) != NULL);
    runUntil(ring, &precise.count, 2);
    CHECK(now() - start >= 1);

    /* Changed, with another closure, and removed. */
    timeout = SetFastRingTimeout(ring, NULL, 100000, 0, onTimeout, &once);
    CHECK(timeout != NULL);
    CHECK(SetFastRingTimeout(NULL, timeout, 0, 0, onTimeout, &other) == timeout);
    runUntil(ring, &other.count, 1);
    timeout = SetFastRingPreciseTimeout(ring, NULL, &span, FASTRING_TIMEOUT_REPEAT, onTimeout, &once);
    CHECK(timeout != NULL);
    CHECK(SetFastRingPreciseTimeout(NULL, timeout, &negative, 0, NULL, NULL) == NULL);
    timeout = SetFastRingPreciseTimeout(ring, NULL, &span, 0, onTimeout, &once);
    CHECK(timeout != NULL);
    CHECK(SetFastRingPreciseTimeout(NULL, timeout, NULL, 0, NULL, NULL) == NULL);
    RemoveFastRingTimeout(SetFastRingTimeout(ring, NULL, 1, 0, onTimeout, &once));
    RemoveFastRingTimeout(NULL);
    CHECK(WaitForFastRing(ring, 5, NULL) == 0);
    CHECK(once.count == 1 && other.count == 1);
    ReleaseFastRing(ring);
}

/* ---- watches ---- */

struct sight
{
    struct FastRingWatch* watch;
    int result;
    int count;
};

static void onWatch(struct FastRingWatch* watch, int result, void* closure)
{
    struct sight* sight = closure;
    sight->watch = watch;
    sight->result = result;
    sight->count++;
}

void useWatches(void)
{
    struct FastRing* ring = openRing();
    CHECK(ring != NULL);
    int ends[2];
    CHECK(pipe(ends) == 0);
    struct sight reader = { NULL, 0, 0 }, writer = { NULL, 0, 0 };
    CHECK_ERROR(AddFastRingWatch(ring, -1, POLLIN, 0, onWatch, NULL), EBADF);
    CHECK_ERROR(AddFastRingWatch(ring, ends[0], POLLIN, 0, NULL, NULL), EINVAL);
    CHECK_ERROR(AddFastRingWatch(ring, ends[0], POLLIN, UINT32_C(1) << 31, onWatch, NULL), EINVAL);
    CHECK_ERROR(AddFastRingWatch(NULL, ends[0], POLLIN, 0, onWatch, NULL), EINVAL);

    struct FastRingWatch* watch = AddFastRingWatch(ring, ends[0], POLLIN, 0, onWatch, &reader);
    CHECK(watch != NULL);
    runTurns(ring, 3);
    CHECK(reader.count == 0);
    CHECK(write(ends[1], "x", 1) == 1);
    runUntil(ring, &reader.count, 1);
    CHECK(reader.watch == watch && reader.result == POLLIN);
    runUntil(ring, &reader.count, 2); /* level-triggered */
    CHECK(UpdateFastRingWatch(watch, 0) == 0);
    runTurns(ring, 3);
    CHECK(reader.count == 2);
    CHECK(UpdateFastRingWatch(watch, POLLIN) == 0);
    runUntil(ring, &reader.count, 3);
    CHECK(UpdateFastRingWatch(NULL, POLLIN) == -EINVAL);
    CHECK(GetFastRingWatchHandle(watch) == ends[0]);
    CHECK(GetFastRingWatchHandle(NULL) == -EINVAL);
    RemoveFastRingWatch(watch);
    RemoveFastRingWatch(NULL);

    watch = AddFastRingWatch(ring, ends[1], POLLOUT, FASTRING_WATCH_ONCE, onWatch, &writer);
    CHECK(watch != NULL);
    runUntil(ring, &writer.count, 1);
    CHECK(writer.result == POLLOUT);
    runTurns(ring, 4);
    CHECK(writer.count == 1 && reader.count == 3);
    RemoveFastRingWatch(watch);

    watch = AddFastRingWatch(ring, ends[0], POLLIN, FASTRING_WATCH_EDGE, onWatch, &reader);
    CHECK(watch != NULL);
    runUntil(ring, &reader.count, 4);
    runTurns(ring, 4);
    CHECK(reader.count == 4);
    RemoveFastRingWatch(watch);
    ReleaseFastRing(ring);
    CHECK(isOpen(ends[0]) && isOpen(ends[1]));
    close(ends[0]);
    close(ends[1]);
}

/* ---- events ---- */

struct bell
{
    struct FastRingEvent* event;
    uint32_t parameter;
    int count;
};

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    struct bell* bell = closure;
    bell->event = event;
    bell->parameter = parameter;
    bell->count++;
}

static void submitElsewhere(void* closure)
{
    CHECK(SubmitFastRingEvent(closure, 42) == 0);
}

void useEvents(void)
{
    struct FastRing* ring = openRing();
    CHECK(ring != NULL);
    CHECK(WaitForFastRing(ring, 0, NULL) == 0);
    struct bell bell = { NULL, 0, 0 };
    CHECK_ERROR(CreateFastRingEvent(ring, NULL, NULL), EINVAL);
    CHECK_ERROR(CreateFastRingEvent(NULL, onEvent, NULL), EINVAL);
    CHECK(SubmitFastRingEvent(NULL, 0) == -EINVAL);
    struct FastRingEvent* event = CreateFastRingEvent(ring, onEvent, &bell);
    CHECK(event != NULL);
    callElsewhere(submitElsewhere, event);
    runUntil(ring, &bell.count, 1);
    CHECK(bell.event == event && bell.parameter == 42);
    CHECK(SubmitFastRingEvent(event, 1) == 0);
    CHECK(SubmitFastRingEvent(event, UINT32_MAX) == 0);
    runUntil(ring, &bell.count, 2);
    runTurns(ring, 2);
    CHECK(bell.count == 2 && bell.parameter == UINT32_MAX);
    struct FastRingStatistics statistics;
    CHECK(GetFastRingStatistics(ring, &statistics, sizeof(statistics)) == 0);
    CHECK(statistics.wakes >= 1);
    ReleaseFastRing(ring);
    CHECK(SubmitFastRingEvent(event, 1) == -ECANCELED);
    ReleaseFastRingEvent(event);
    ReleaseFastRingEvent(NULL);
}

/* ---- signals ---- */

static void noteSignal(struct FastRingSignal* signal, int number, int code, int process, int value,
                       void* closure)
{
    int* count = closure;
    (void)code;
    CHECK(signal != NULL && number == SIGUSR2 && process == (int)getpid() && value == 0);
    ++*count;
}

void useSignals(void)
{
    int count = 0;
    struct FastRing* ring = openRing();
    CHECK(ring != NULL);
    CHECK(WaitForFastRing(ring, 0, NULL) == 0);
    CHECK_ERROR(AddFastRingSignal(NULL, SIGUSR2, noteSignal, &count), EINVAL);
    CHECK_ERROR(AddFastRingSignal(ring, SIGUSR2, NULL, &count), EINVAL);
    CHECK_ERROR(AddFastRingSignal(ring, SIGKILL, noteSignal, &count), EINVAL);
    CHECK_ERROR(AddFastRingSignal(ring, SIGSTOP, noteSignal, &count), EINVAL);
    CHECK_ERROR(AddFastRingSignal(ring, 0, noteSignal, &count), EINVAL);
    CHECK_ERROR(AddFastRingSignal(ring, 65, noteSignal, &count), EINVAL);
    struct FastRingSignal* signal = AddFastRingSignal(ring, SIGUSR2, noteSignal, &count);
    CHECK(signal != NULL);
    CHECK(kill(getpid(), SIGUSR2) == 0);
    runUntil(ring, &count, 1);
    RemoveFastRingSignal(signal);
    RemoveFastRingSignal(NULL);
    signal = AddFastRingSignal(ring, SIGUSR2, noteSignal, &count);
    CHECK(signal != NULL);
    ReleaseFastRing(ring);
    RemoveFastRingSignal(signal);
}

/* ---- calls that other threads post ---- */

static void onCall(struct FastRing* ring, void* closure)
{
    int* count = closure;
    CHECK(IsFastRingThread(ring) == 1);
    ++*count;
}

struct post
{
    struct FastRing* ring;
    int count;
};

static void postElsewhere(void* closure)
{
    struct post* post = closure;
    CHECK(PostFastRingCall(post->ring, onCall, &post->count) == 0);
    CHECK(PostFastRingCall(post->ring, onCall, &post->count) == 0);
}

void useCalls(void)
{
    struct post post = { openRing(), 0 };
    CHECK(post.ring != NULL);
    CHECK(WaitForFastRing(post.ring, 0, NULL) == 0);
    CHECK(PostFastRingCall(NULL, onCall, NULL) == -EINVAL);
    CHECK(PostFastRingCall(post.ring, NULL, NULL) == -EINVAL);
    callElsewhere(postElsewhere, &post);
    runUntil(post.ring, &post.count, 2);
    runTurns(post.ring, 2);
    CHECK(post.count == 2);
    struct bell bell = { NULL, 0, 0 };
    struct FastRingEvent* event = CreateFastRingEvent(post.ring, onEvent, &bell);
    CHECK(event != NULL);
    CHECK(PostFastRingCall(post.ring, onCall, &post.count) == 0);
    ReleaseFastRing(post.ring);
    CHECK(post.count == 3);
    CHECK(PostFastRingCall(post.ring, onCall, &post.count) == -ECANCELED); /* the event keeps it */
    ReleaseFastRingEvent(event);
}
