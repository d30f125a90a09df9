/*
 * What the headers of 1.0.0 promise, or what programs plainly rely on, and none of its own programs
 * asks for: time, threads, some errors and effects, the process around the library. Written for 1.1.0, of what 1.0.0 had.
 *
 * Where time matters, something else of a known length runs beside: which of the two comes first
 * doesn't depend on how busy the machine is, but for a stall that is longer than their difference; so
 * there are several tries.
 */
#include "fixture.h"

#include <fcntl.h>
#include <locale.h>
#include <netinet/in.h>
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

static struct Fixture fixture;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

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
        struct FastRingEvent* event = CreateFastRingEvent(fixture.ring, onLate, &race);
        pthread_t thread;
        runTurns(fixture.ring, 1);
        start(&race);
        ck_assert_int_eq(pthread_create(&thread, NULL, sleepAndSubmit, event), 0);
        waitCount(fixture.ring, &race.late, 1);
        bool first = race.first && race.soon >= count;
        pthread_join(thread, NULL);
        stop(&race);
        ReleaseFastRingEvent(event);
        runTurns(fixture.ring, 2);
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
    timeout = SetFastRingTimeout(fixture.ring, NULL, SOON_MS, 0, onSoon, race);
}

/* a timeout of 150 ms comes before 1200 ms are over */
START_TEST(onceInTime)
{
    ck_assert(comesFirst(startOnce, stopNothing, 1));
}
END_TEST

static void startRepeating(struct Race* race)
{
    timeout = SetFastRingTimeout(fixture.ring, NULL, SOON_MS, FASTRING_TIMEOUT_REPEAT, onSoon, race);
}

/* a repeating one comes again and again meanwhile, and waits its interval each time */
START_TEST(repeatsInTime)
{
    ck_assert(comesFirst(startRepeating, stopTimeout, 3));
}
END_TEST

static void startPrecise(struct Race* race)
{
    const struct timespec interval = {0, SOON_MS * 1000000L};
    timeout = SetFastRingPreciseTimeout(fixture.ring, NULL, &interval, 0, onSoon, race);
}

START_TEST(preciseInTime)
{
    ck_assert(comesFirst(startPrecise, stopNothing, 1));
}
END_TEST

static void startUpdated(struct Race* race)
{
    timeout = SetFastRingTimeout(fixture.ring, NULL, 100000, 0, onSoon, race);
    ck_assert_ptr_eq(SetFastRingTimeout(fixture.ring, timeout, SOON_MS, 0, NULL, NULL), timeout);
}

/* what is set again runs from then */
START_TEST(updatedInTime)
{
    ck_assert(comesFirst(startUpdated, stopNothing, 1));
}
END_TEST

/* no timeout comes before its time */
START_TEST(neverEarly)
{
    for (int interval = 1; interval <= 64; interval *= 4) {
        struct Race race = {0};
        const struct timespec precise = {0, interval * 1000000L};
        int64_t start = now();
        SetFastRingTimeout(fixture.ring, NULL, interval, 0, onSoon, &race);
        waitCount(fixture.ring, &race.soon, 1);
        ck_assert_int_ge(now() - start, interval * INT64_C(1000000));
        race.soon = 0;
        start = now();
        SetFastRingPreciseTimeout(fixture.ring, NULL, &precise, 0, onSoon, &race);
        waitCount(fixture.ring, &race.soon, 1);
        ck_assert_int_ge(now() - start, interval * INT64_C(1000000));
    }
}
END_TEST

/* a released socket whose peer reads nothing is given up after its timeout */
static struct Race* released;
static int peer;

static void onFlush(void* closure, int reason)
{
    (void)closure;
    if (reason != FASTRING_REASON_COMPLETE || released == NULL)
        return;
    if (released->soon == 0 && GetFastRingPending(fixture.ring) == 0) {
        released->soon = 1;
        released->first = released->late == 0;
    } else if (released->soon == 0)
        SetFastRingFlushHandler(fixture.ring, onFlush, NULL);
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
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    setOption(recorder.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, SOON_MS);
    transmitPattern(recorder.socket, 8 << 20, 0);
    ReleaseFastSocket(recorder.socket);
    timeout = SetFastRingTimeout(fixture.ring, NULL, 10, FASTRING_TIMEOUT_REPEAT, onTick, NULL);
    SetFastRingFlushHandler(fixture.ring, onFlush, NULL);
}

static void stopRelease(struct Race* race)
{
    released = NULL;
    stopTimeout(race);
    close(peer);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}

START_TEST(releaseInTime)
{
    ck_assert(comesFirst(startRelease, stopRelease, 1));
}
END_TEST

/* a foreign loop is told no more than what is left */
START_TEST(intervalOfTimeouts)
{
    struct Race race = {0};
    runIdle(fixture.ring);
    timeout = SetFastRingTimeout(fixture.ring, NULL, SOON_MS, 0, onSoon, &race);
    runTurns(fixture.ring, 1);
    int interval = GetFastRingInterval(fixture.ring);
    ck_assert_int_ge(interval, 0);
    ck_assert_int_le(interval, SOON_MS);
    waitCount(fixture.ring, &race.soon, 1);
}
END_TEST

/* ---- threads ---- */

static pthread_t here;
static int elsewhere;
static int calls;

static void note(void)
{
    calls++;
    elsewhere += pthread_equal(pthread_self(), here) ? 0 : 1;
}

static void noteSocket(struct FastSocket* socket, int event, int parameter, struct Recorder* recorder)
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
START_TEST(callsInTheRingsThread)
{
    struct Recorder recorder = {.then = noteSocket};
    int pair[2], pipes[2];
    here = pthread_self();
    pairStream(pair);
    ck_assert_int_eq(pipe(pipes), 0);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    struct FastRingEvent* event = CreateFastRingEvent(fixture.ring, noteEvent, NULL);
    struct FastRingWatch* watch =
        AddFastRingWatch(fixture.ring, pipes[1], POLLOUT, FASTRING_WATCH_ONCE, noteWatch, NULL);
    SetFastRingTimeout(fixture.ring, NULL, 1, 0, noteTimeout, NULL);
    SetFastRingFlushHandler(fixture.ring, noteFlush, NULL);
    ck_assert_int_eq(SubmitFastRingEvent(event, 1), 0);
    sendText(pair[1], "input");
    transmitText(recorder.socket, "output");
    /* a timeout, an event, a watch, a flush handler, input, output */
    waitCount(fixture.ring, &calls, 6);
    ck_assert_int_eq(elsewhere, 0);
    RemoveFastRingWatch(watch);
    ReleaseFastRingEvent(event);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    close(pipes[0]);
    close(pipes[1]);
}
END_TEST

static void* holdAndRelease(void* closure)
{
    for (int round = 0; round < ROUNDS; round++) {
        HoldFastBuffer(closure);
        ReleaseFastBuffer(closure);
    }
    return NULL;
}

/* references are counted right, whichever threads hold them */
START_TEST(countsReferencesOfAllThreads)
{
    pthread_t threads[3];
    runTurns(fixture.ring, 1);
    uint64_t before = readRing(fixture.ring).buffers;
    struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, 100, 0);
    for (int round = 0; round < 5; round++) {
        for (int index = 0; index < 3; index++)
            ck_assert_int_eq(pthread_create(&threads[index], NULL, holdAndRelease, buffer), 0);
        holdAndRelease(buffer);
        for (int index = 0; index < 3; index++)
            pthread_join(threads[index], NULL);
        ck_assert_uint_eq(readRing(fixture.ring).buffers, before + 1);
    }
    ReleaseFastBuffer(buffer);
    ck_assert_uint_eq(readRing(fixture.ring).buffers, before);
}
END_TEST

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
    struct Fixture own;
    fixtureOpen(&own, 0, 0, 0);
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
    fixtureClose(&own);
}

/* rings come and go, and the process is as it was */
START_TEST(leavesTheProcessAlone)
{
    static struct Around before, after;
    live(); /* what the C library and libcheck do at their first use */
    look(&before);
    live();
    look(&after);
    const char* what = compare(&before, &after);
    ck_assert_msg(what == NULL, "changed: %s", what);
}
END_TEST

/* likewise from the first ring on */
START_TEST(leavesTheProcessAloneAtFirst)
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
END_TEST

/* The program once more, before it does anything: nothing but constructors has run. */
static int tellStart(void)
{
    /* Those of faults are what sanitizers take. */
    static const int ordinary[] = {SIGPIPE, SIGTERM, SIGINT,  SIGHUP,  SIGQUIT, SIGCHLD,
                                   SIGALRM, SIGIO,   SIGUSR1, SIGUSR2, SIGURG,  SIGWINCH};
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

/* Everything as execve(2) leaves it. */
static void startAgain(int output)
{
    sigset_t none;
    for (int number = 1; number < 32; number++)
        (void)signal(number, SIG_DFL);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    umask(027);
    setenv("LATER_START", "1", 1);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execl("/proc/self/exe", "later-test", (char*)NULL);
    _exit(1);
}

/* being loaded does nothing to the process, and says nothing */
START_TEST(isLoadedQuietly)
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
END_TEST

/* and neither does a ring */
START_TEST(worksQuietly)
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
END_TEST

/* ---- errors ---- */

static void* createElsewhere(void* closure)
{
    int* error = closure;
    int pair[2];
    pairStream(pair);
    errno = 0;
    struct FastSocket* socket =
        CreateFastSocket(fixture.ring, fixture.provider, fixture.inbound, fixture.outbound, pair[0],
                         NULL, 0, 0, 0, recordEvent, NULL);
    *error = socket == NULL ? errno : 0;
    close(pair[0]);
    close(pair[1]);
    return NULL;
}

/* another thread than the ring's gets EPERM */
START_TEST(refusesOtherThreads)
{
    pthread_t thread;
    int error = 0;
    runTurns(fixture.ring, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, createElsewhere, &error), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(error, EPERM);
}
END_TEST

static void ignoreEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event, (void)parameter, (void)closure;
}

/* and so does a forked child with its parent's event */
START_TEST(refusesForkedChildren)
{
    int status = -1;
    struct FastRingEvent* event = CreateFastRingEvent(fixture.ring, ignoreEvent, NULL);
    runTurns(fixture.ring, 1);
    pid_t child = fork();
    if (child == 0)
        _exit(SubmitFastRingEvent(event, 1) == -EPERM ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ReleaseFastRingEvent(event);
}
END_TEST

/* what is open for reading only takes nothing */
START_TEST(refusesToWriteWhatIsRead)
{
    struct Recorder recorder = {0};
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    openRecorded(&fixture, pipes[0], NULL, FASTSOCKET_MODE_FILE_IO, &recorder);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "a", 1, 0), -EBADF);
    ReleaseFastSocket(recorder.socket);
    close(pipes[1]);
}
END_TEST

/* no datagram can hold that much */
START_TEST(refusesLongMessages)
{
    static char data[70000];
    struct iovec part = {data, sizeof(data)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct Recorder recorder = {0};
    int pair[2];
    pairUdp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EMSGSIZE);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

static void keepHandle(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    *(int*)closure = handle;
}

static bool hasHandle(void* closure)
{
    return *(int*)closure != -1;
}

/* a listener takes connections over IPv6 */
START_TEST(listensOnIpv6)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t length = sizeof(address);
    int accepted = -1;
    if (!hasKind(KIND_TCP6))
        skipTest("no IPv6");
    int handle = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&address, length), 0);
    ck_assert_int_eq(listen(handle, 8), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)&address, &length), 0);
    struct FastListener* listener = CreateFastListener(fixture.ring, handle, 0, keepHandle, &accepted);
    ck_assert_ptr_nonnull(listener);
    int client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(client, (struct sockaddr*)&address, length), 0);
    waitFor(fixture.ring, hasHandle, &accepted);
    ck_assert_int_ge(accepted, 0);
    ReleaseFastListener(listener);
    close(accepted);
    close(client);
}
END_TEST

/* ---- effects ---- */

/* between the marks a socket that was full receives nothing, and below the low one it goes on */
START_TEST(waitsForTheLowMark)
{
    static char data[300000];
    struct Recorder recorder = {0};
    int pair[2];
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 65536);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_LOW, 1000);
    while (readSocket(recorder.socket).receivePauses == 0) {
        (void)!send(pair[1], data, sizeof(data), MSG_DONTWAIT);
        runTurns(fixture.ring, 1);
    }
    (void)!send(pair[1], data, sizeof(data), MSG_DONTWAIT);
    runIdle(fixture.ring);
    size_t length = GetFastSocketInboundLength(recorder.socket);
    ck_assert_uint_ge(length, 65536);
    ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, data, length - 30000, 0),
                     (int)(length - 30000));
    runIdle(fixture.ring);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 30000);
    ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, data, 29500, 0), 29500);
    waitInput(&recorder, 1000);
    AbortFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* urgent data arrives as such */
START_TEST(sendsUrgentData)
{
    struct Recorder recorder = {0};
    struct pollfd urgent = {.events = POLLPRI};
    char byte = 0;
    int pair[2];
    pairTcp(pair);
    urgent.fd = pair[1];
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "u", 1, MSG_OOB), 0);
    waitDrained(&recorder);
    ck_assert_int_eq(poll(&urgent, 1, 60000), 1);
    ck_assert_int_eq((int)recv(pair[1], &byte, 1, MSG_OOB), 1);
    ck_assert_int_eq(byte, 'u');
    AbortFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* a transmit of no bytes is a datagram, and on a stream one more POLLOUT */
START_TEST(sendsNothing)
{
    struct Recorder recorder = {0};
    struct pollfd input = {.events = POLLIN};
    char byte;
    int pair[2];
    pairUdp(pair);
    input.fd = pair[1];
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, NULL, 0, 0), 0);
    runIdle(fixture.ring);
    ck_assert_int_eq(poll(&input, 1, 60000), 1);
    ck_assert_int_eq((int)recv(pair[1], &byte, 1, 0), 0);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

static TCase* areaOf(Suite* suite, const char* name, bool withRing)
{
    TCase* area = tcase_create(name);
    tcase_set_timeout(area, 240);
    if (withRing)
        tcase_add_checked_fixture(area, setUp, tearDown);
    suite_add_tcase(suite, area);
    return area;
}

int main(void)
{
    if (getenv("LATER_START") != NULL)
        return tellStart();
    Suite* suite = suite_create("later");
    TCase* area = areaOf(suite, "time", true);
    tcase_add_test(area, onceInTime);
    tcase_add_test(area, repeatsInTime);
    tcase_add_test(area, preciseInTime);
    tcase_add_test(area, updatedInTime);
    tcase_add_test(area, neverEarly);
    tcase_add_test(area, releaseInTime);
    tcase_add_test(area, intervalOfTimeouts);
    area = areaOf(suite, "threads", true);
    tcase_add_test(area, callsInTheRingsThread);
    tcase_add_test(area, countsReferencesOfAllThreads);
    area = areaOf(suite, "errors", true);
    tcase_add_test(area, refusesOtherThreads);
    tcase_add_test(area, refusesForkedChildren);
    tcase_add_test(area, refusesToWriteWhatIsRead);
    tcase_add_test(area, refusesLongMessages);
    tcase_add_test(area, listensOnIpv6);
    area = areaOf(suite, "effects", true);
    tcase_add_test(area, waitsForTheLowMark);
    tcase_add_test(area, sendsUrgentData);
    tcase_add_test(area, sendsNothing);
    area = areaOf(suite, "process", false);
    tcase_add_test(area, leavesTheProcessAlone);
    tcase_add_test(area, leavesTheProcessAloneAtFirst);
    tcase_add_test(area, isLoadedQuietly);
    tcase_add_test(area, worksQuietly);
    return runSuite(suite);
}
