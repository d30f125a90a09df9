/*
 * What is around the library: time, threads, the process.
 *
 * Where time matters, something else of a known length runs beside: which of the two comes first
 * doesn't depend on how busy the machine is, but for a stall that is longer than their difference;
 * so there are several tries.
 */
#include "fixture.h"

#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

enum
{
    SOON_MS = 150,
    LATE_MS = 1200, /* less than ten times as much */
    TRIES = 8,
    ROUNDS = 400000,
    SIGNALS = 64,
};

SCENE_AREA(time, "time");
SCENE_AREA(threads, "threads");
AREA(process, "process");

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* ---- time ---- */

/* The order in which two things came. */
struct Race
{
    int soon;
    int late;
    bool first; /* the soon one was */
};

static void onSoon(struct FastRingTimeout* timeout, void* closure)
{
    struct Race* race = closure;
    (void)timeout;
    race->first = race->soon++ == 0 ? race->late == 0 : race->first;
}

/* A thread's sleep, which the library has no part in, rings an event. */
static void* sleepAndSubmit(void* closure)
{
    const struct timespec pause = {LATE_MS / 1000, LATE_MS % 1000 * 1000000L};
    nanosleep(&pause, NULL);
    SubmitFastRingEvent(closure, 1);
    return NULL;
}

static void onLate(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event;
    ((struct Race*)closure)->late += (int)parameter;
}

/* Runs what start has begun beside a sleep; whether it came first in any try. */
static bool comesFirst(void (*start)(struct Race* race), void (*stop)(struct Race* race), int count)
{
    for (int try = 0; try < TRIES; try++) {
        struct Race race = {0};
        struct FastRingEvent* event = CreateFastRingEvent(scene.ring, onLate, &race);
        pthread_t thread;
        runTurns(scene.ring, 1);
        start(&race);
        ck_assert_int_eq(pthread_create(&thread, NULL, sleepAndSubmit, event), 0);
        waitCount(scene.ring, &race.late, 1);
        bool first = race.first && race.soon >= count;
        pthread_join(thread, NULL);
        stop(&race);
        ReleaseFastRingEvent(event);
        runTurns(scene.ring, 2);
        if (first)
            return true;
    }
    return false;
}

static struct FastRingTimeout* timeout;

static void stopNothing(struct Race* race)
{
    (void)race;
}

static void stopTimeout(struct Race* race)
{
    (void)race;
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}

static void startOnce(struct Race* race)
{
    timeout = SetFastRingTimeout(scene.ring, NULL, SOON_MS, 0, onSoon, race);
}

/* a timeout of 150 ms comes before 1200 ms are over */
CASE(time, onceInTime)
{
    ck_assert(comesFirst(startOnce, stopNothing, 1));
}

static void startRepeating(struct Race* race)
{
    timeout = SetFastRingTimeout(scene.ring, NULL, SOON_MS, FASTRING_TIMEOUT_REPEAT, onSoon, race);
}

/* a repeating one comes again and again meanwhile, and waits its interval each time */
CASE(time, repeatsInTime)
{
    ck_assert(comesFirst(startRepeating, stopTimeout, 3));
}

static void startPrecise(struct Race* race)
{
    const struct timespec interval = {0, SOON_MS * 1000000L};
    timeout = SetFastRingPreciseTimeout(scene.ring, NULL, &interval, 0, onSoon, race);
}

CASE(time, preciseInTime)
{
    ck_assert(comesFirst(startPrecise, stopNothing, 1));
}

static void startUpdated(struct Race* race)
{
    timeout = SetFastRingTimeout(scene.ring, NULL, 100000, 0, onSoon, race);
    ck_assert_ptr_eq(SetFastRingTimeout(scene.ring, timeout, SOON_MS, 0, NULL, NULL), timeout);
}

/* what is set again runs from then */
CASE(time, updatedInTime)
{
    ck_assert(comesFirst(startUpdated, stopNothing, 1));
}

/* no timeout comes before its time */
CASE(time, neverEarly)
{
    for (int interval = 1; interval <= 64; interval *= 4) {
        struct Race race = {0};
        const struct timespec precise = {0, interval * 1000000L};
        int64_t start = now();
        SetFastRingTimeout(scene.ring, NULL, interval, 0, onSoon, &race);
        waitCount(scene.ring, &race.soon, 1);
        ck_assert_int_ge(now() - start, interval * INT64_C(1000000));
        race.soon = 0;
        start = now();
        SetFastRingPreciseTimeout(scene.ring, NULL, &precise, 0, onSoon, &race);
        waitCount(scene.ring, &race.soon, 1);
        ck_assert_int_ge(now() - start, interval * INT64_C(1000000));
    }
}

/* a released socket whose peer reads nothing is given up after its timeout */
static struct Race* released;
static int peer;

static void onFlush(void* closure, int reason)
{
    (void)closure;
    if (reason != FASTRING_REASON_COMPLETE || released == NULL)
        return;
    if (released->soon == 0 && GetFastRingPending(scene.ring) == 0) {
        released->soon = 1;
        released->first = released->late == 0;
    } else if (released->soon == 0)
        SetFastRingFlushHandler(scene.ring, onFlush, NULL);
}

static void onTick(struct FastRingTimeout* tick, void* closure)
{
    (void)tick, (void)closure; /* so that there are turns, and with them flush handlers */
}

static void startRelease(struct Race* race)
{
    struct Recorder recorder = {0};
    int pair[2];
    released = race;
    pairStream(pair);
    peer = pair[1];
    openRecorded(&scene, pair[0], NULL, 0, &recorder);
    setOption(recorder.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, SOON_MS);
    transmitPattern(recorder.socket, 8 << 20, 0);
    ReleaseFastSocket(recorder.socket);
    timeout = SetFastRingTimeout(scene.ring, NULL, 10, FASTRING_TIMEOUT_REPEAT, onTick, NULL);
    SetFastRingFlushHandler(scene.ring, onFlush, NULL);
}

static void stopRelease(struct Race* race)
{
    released = NULL;
    stopTimeout(race);
    close(peer);
    waitFor(scene.ring, isNothingPending, scene.ring);
}

CASE(time, releaseInTime)
{
    ck_assert(comesFirst(startRelease, stopRelease, 1));
}

/* a foreign loop is told no more than what is left */
CASE(time, intervalOfTimeouts)
{
    struct Race race = {0};
    runIdle(scene.ring);
    timeout = SetFastRingTimeout(scene.ring, NULL, SOON_MS, 0, onSoon, &race);
    runTurns(scene.ring, 1);
    int interval = GetFastRingInterval(scene.ring);
    ck_assert_int_ge(interval, 0);
    ck_assert_int_le(interval, SOON_MS);
    waitCount(scene.ring, &race.soon, 1);
}

/* ---- threads ---- */

static pthread_t here;
static int elsewhere;
static int calls;

static void note(void)
{
    calls++;
    elsewhere += pthread_equal(pthread_self(), here) ? 0 : 1;
}

static void noteSocket(struct FastSocket* socket, int event, int parameter,
                       struct Recorder* recorder)
{
    (void)socket, (void)event, (void)parameter, (void)recorder;
    note();
}

static void noteTimeout(struct FastRingTimeout* one, void* closure)
{
    (void)one, (void)closure;
    note();
}

static void noteEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event, (void)parameter, (void)closure;
    note();
}

static void noteWatch(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch, (void)result, (void)closure;
    note();
}

static void noteFlush(void* closure, int reason)
{
    (void)closure, (void)reason;
    note();
}

/* every function is called in the thread that waits */
CASE(threads, callsInTheRingsThread)
{
    struct Recorder recorder = {.then = noteSocket};
    int pair[2], pipes[2];
    here = pthread_self();
    pairStream(pair);
    ck_assert_int_eq(pipe(pipes), 0);
    openRecorded(&scene, pair[0], NULL, 0, &recorder);
    struct FastRingEvent* event = CreateFastRingEvent(scene.ring, noteEvent, NULL);
    struct FastRingWatch* watch =
        AddFastRingWatch(scene.ring, pipes[1], POLLOUT, FASTRING_WATCH_ONCE, noteWatch, NULL);
    SetFastRingTimeout(scene.ring, NULL, 1, 0, noteTimeout, NULL);
    SetFastRingFlushHandler(scene.ring, noteFlush, NULL);
    ck_assert_int_eq(SubmitFastRingEvent(event, 1), 0);
    sendText(pair[1], "input");
    transmitText(recorder.socket, "output");
    /* a timeout, an event, a watch, a flush handler, input, output */
    waitCount(scene.ring, &calls, 6);
    ck_assert_int_eq(elsewhere, 0);
    RemoveFastRingWatch(watch);
    ReleaseFastRingEvent(event);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    close(pipes[0]);
    close(pipes[1]);
}

static void* holdAndRelease(void* closure)
{
    for (int round = 0; round < ROUNDS; round++) {
        HoldFastBuffer(closure);
        ReleaseFastBuffer(closure);
    }
    return NULL;
}

/* references are counted right, whichever threads hold them */
CASE(threads, countsReferencesOfAllThreads)
{
    pthread_t threads[3];
    runTurns(scene.ring, 1);
    uint64_t before = readRing(scene.ring).buffers;
    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, 100, 0);
    for (int round = 0; round < 5; round++) {
        for (int index = 0; index < 3; index++)
            ck_assert_int_eq(pthread_create(&threads[index], NULL, holdAndRelease, buffer), 0);
        holdAndRelease(buffer);
        for (int index = 0; index < 3; index++)
            pthread_join(threads[index], NULL);
        ck_assert_uint_eq(readRing(scene.ring).buffers, before + 1);
    }
    ReleaseFastBuffer(buffer);
    ck_assert_uint_eq(readRing(scene.ring).buffers, before);
}

/* ---- the process ---- */

/* What a library must leave alone. */
struct Around
{
    struct sigaction actions[SIGNALS];
    sigset_t mask;
    mode_t creation;
    char locale[64];
    char directory[256];
    struct rlimit files;
    struct itimerval timer;
    int handles;
};

static void look(struct Around* around)
{
    memset(around, 0, sizeof(*around));
    for (int number = 1; number < SIGNALS; number++)
        sigaction(number, NULL, &around->actions[number]);
    pthread_sigmask(SIG_SETMASK, NULL, &around->mask);
    around->creation = umask(0);
    umask(around->creation);
    snprintf(around->locale, sizeof(around->locale), "%s", setlocale(LC_ALL, NULL));
    if (getcwd(around->directory, sizeof(around->directory)) == NULL)
        around->directory[0] = '\0';
    getrlimit(RLIMIT_NOFILE, &around->files);
    getitimer(ITIMER_REAL, &around->timer);
    around->handles = countDescriptors();
}

/* The first thing that is another one, or NULL. */
static const char* compare(const struct Around* one, const struct Around* other)
{
    for (int number = 1; number < SIGNALS; number++)
        if (one->actions[number].sa_handler != other->actions[number].sa_handler)
            return strsignal(number);
    for (int number = 1; number < SIGNALS; number++)
        if (sigismember(&one->mask, number) != sigismember(&other->mask, number))
            return "the mask of signals";
    if (one->creation != other->creation)
        return "the umask";
    if (strcmp(one->locale, other->locale) != 0)
        return "the locale";
    if (strcmp(one->directory, other->directory) != 0)
        return "the directory";
    if (one->files.rlim_cur != other->files.rlim_cur)
        return "the limit of descriptors";
    if (one->timer.it_value.tv_sec != other->timer.it_value.tv_sec &&
        (one->timer.it_value.tv_sec == 0 || other->timer.it_value.tv_sec == 0))
        return "the timer";
    return one->handles != other->handles ? "open descriptors" : NULL;
}

/* A ring with all that may concern the process: a pipe without a reader, a peer that is gone. */
static void live(void)
{
    struct Recorder recorder = {0};
    int pair[2], pipes[2];
    static struct Scene own;
    sceneOpen(&own, (struct SceneOptions){0});
    pairStream(pair);
    openRecorded(&own, pair[0], NULL, 0, &recorder);
    close(pair[1]);
    transmitText(recorder.socket, "to nobody");
    waitHangup(&recorder);
    ReleaseFastSocket(recorder.socket);
    if (pipe(pipes) == 0) {
        struct Recorder writer = {0};
        openRecorded(&own, pipes[1], NULL, FASTSOCKET_MODE_FILE_IO, &writer);
        close(pipes[0]);
        TransmitFastSocketData(writer.socket, NULL, 0, "to nobody", 9, 0);
        waitHangup(&writer);
        ReleaseFastSocket(writer.socket);
    }
    waitFor(own.ring, isNothingPending, own.ring);
    sceneClose(&own);
}

/* rings come and go, and the process is as it was */
CASE(process, leavesTheProcessAlone)
{
    static struct Around before, after;
    live(); /* what the C library and libcheck do at their first use */
    look(&before);
    live();
    look(&after);
    const char* what = compare(&before, &after);
    ck_assert_msg(what == NULL, "changed: %s", what);
}

/* likewise from the first ring on */
CASE(process, leavesTheProcessAloneAtFirst)
{
    static struct Around before, after;
    look(&before);
    struct FastRing* ring = CreateFastRing(0);
    ck_assert_ptr_nonnull(ring);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ReleaseFastRing(ring);
    look(&after);
    const char* what = compare(&before, &after);
    ck_assert_msg(what == NULL, "changed: %s", what);
}

/* The program once more, before it does anything: nothing but constructors has run. */
static int tellStart(void)
{
    /* Those of faults are what sanitizers take. */
    static const int ordinary[] = {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGCHLD,
                                   SIGALRM, SIGIO, SIGUSR1, SIGUSR2, SIGURG, SIGWINCH};
    sigset_t mask;
    struct sigaction action;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (size_t index = 0; index < sizeof(ordinary) / sizeof(ordinary[0]); index++) {
        if (sigaction(ordinary[index], NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            return 2;
        if (sigismember(&mask, ordinary[index]) == 1)
            return 3;
    }
    if (strcmp(setlocale(LC_ALL, NULL), "C") != 0)
        return 4;
    if (umask(0) != 027)
        return 5;
    return 0;
}

/* Behind the library's constructors, and before main: as the program that startAgain has begun. */
__attribute__((constructor)) static void tellAtStart(void)
{
    if (getenv("AROUND_START") != NULL)
        _exit(tellStart());
}

/* Everything as execve(2) leaves it. */
static void startAgain(int output)
{
    sigset_t none;
    for (int number = 1; number < 32; number++)
        (void)signal(number, SIG_DFL);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    umask(027);
    setenv("AROUND_START", "1", 1);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execl("/proc/self/exe", "around-test", (char*)NULL);
    _exit(1);
}

/* being loaded does nothing to the process, and says nothing */
CASE(process, isLoadedQuietly)
{
    int pipes[2], status = -1;
    char byte;
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0)
        startAgain(pipes[1]);
    close(pipes[1]);
    ck_assert_int_eq((int)read(pipes[0], &byte, 1), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    close(pipes[0]);
}

/* and neither does a ring */
CASE(process, worksQuietly)
{
    int pipes[2], status = -1;
    char byte;
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        dup2(pipes[1], STDERR_FILENO);
        live();
        _exit(0);
    }
    close(pipes[1]);
    ck_assert_int_eq((int)read(pipes[0], &byte, 1), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    close(pipes[0]);
}
