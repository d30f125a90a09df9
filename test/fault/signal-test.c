/* Signals: many, stops, and forks, while data goes both ways. */
#include "load.h"
#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

AREA(signals, "signals", .timeout = 1800);

enum
{
    CHUNK = 30000,
};

/* What is sent one way and the other, both checked. */
struct Traffic
{
    uint64_t sent;     /* by us */
    uint64_t echoed;   /* that the peer has had */
    uint64_t returned; /* that the peer has sent */
    uint64_t taken;    /* that we have had */
};

static struct Traffic traffic;

static void runPeer(void)
{
    static uint8_t data[CHUNK];
    ssize_t size = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);

    if (size > 0) {
        ck_assert(checkPattern(data, (size_t)size, traffic.echoed));
        traffic.echoed += (uint64_t)size;
    }
    if (traffic.returned >= traffic.echoed)
        return;
    size = (ssize_t)(traffic.echoed - traffic.returned);
    if (size > CHUNK)
        size = CHUNK;
    fillPattern(data, (size_t)size, traffic.returned);
    size = send(scene.peer, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size > 0)
        traffic.returned += (uint64_t)size;
}

/* A turn, and what else happens in it. */
static void step(uint64_t total)
{
    if ((traffic.sent < total) && (GetFastSocketOutboundLength(scene.ours.socket) < 4 * CHUNK)) {
        transmitPattern(scene.ours.socket, CHUNK, traffic.sent);
        traffic.sent += CHUNK;
    }
    ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    runPeer();
    traffic.taken = takePattern(scene.ours.socket, traffic.taken);
}

static void exchange(uint64_t total)
{
    while (traffic.taken < total)
        step(total);
    ck_assert_uint_eq(traffic.taken, total);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
}

static void openTraffic(enum Kind kind)
{
    memset(&traffic, 0, sizeof(traffic));
    openScene();
    openPair(kind);
}

static void closeTraffic(void)
{
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    closeScene();
}

/* ---- many ---- */

static volatile sig_atomic_t alarms;

static void countAlarm(int number)
{
    (void)number;
    alarms++;
}

static void setAlarm(long microseconds)
{
    struct itimerspec times = {.it_interval.tv_nsec = microseconds * 1000,
                               .it_value.tv_nsec = microseconds * 1000};
    static timer_t timer;
    static bool made;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};

    if (!made)
        ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    made = true;
    ck_assert_int_eq(timer_settime(timer, 0, &times, NULL), 0);
}

/* §2.8 signal: ten thousand a second, with system calls that are restarted and without */
CASE_ROUNDS(signals, tenThousandASecond, 2)
{
    struct sigaction action = {.sa_handler = countAlarm,
                               .sa_flags = round == 0 ? 0 : SA_RESTART};
    uint64_t total = (uint64_t)loadOf(100, 30000) * CHUNK;
    double start = secondsNow(CLOCK_MONOTONIC);

    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    openTraffic(KIND_TCP);
    setAlarm(100);
    exchange(total);
    while (alarms < 100) /* however fast it was */
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    setAlarm(0);
    start = secondsNow(CLOCK_MONOTONIC) - start;
    tell("signals: %d in %.1f s, %llu bytes both ways", (int)alarms, start,
         (unsigned long long)total);
    closeTraffic();
}

/* ---- stops ---- */

static void* stopAgain(void* closure)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    pid_t parent = getppid();

    (void)closure;
    for (int64_t count = loadOf(50, 2000); count > 0; count--) {
        kill(parent, SIGSTOP);
        nanosleep(&pause, NULL);
        kill(parent, SIGCONT);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static bool hasEnded(pid_t child)
{
    int status = 0;

    return waitpid(child, &status, WNOHANG) == child;
}

/* §2.8 signal: the process is stopped and goes on, again and again */
CASE(signals, stopsAndGoesOn)
{
    uint64_t total = 0;
    pid_t child = fork();

    if (child == 0) {
        stopAgain(NULL);
        _exit(0);
    }
    openTraffic(KIND_TCP);
    while (!hasEnded(child))
        step(total += CHUNK);
    exchange(total = traffic.sent);
    tell("stops: %lld, %llu bytes both ways", (long long)loadOf(50, 2000),
         (unsigned long long)total);
    closeTraffic();
}

/* ---- forks ---- */

/* What a child does that was forked in the midst of all that: nothing, or it uses what it has
 * inherited as it may (which is refused), or it becomes another program. */
static void liveAsChild(int round)
{
    if (round % 4 == 1) {
        if (WaitForFastRing(scene.ring, 0, NULL) != -EPERM)
            _exit(1);
        if (TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0) != -EPERM)
            _exit(2);
    }
    if (round % 4 == 2)
        execl("/bin/true", "true", (char*)NULL);
    if (round % 4 == 3)
        raise(SIGKILL);
    _exit(0);
}

static void runChild(int round, int* failed)
{
    int status = 0;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        liveAsChild(round);
    if (round % 8 < 4) { /* it is there for some turns */
        for (int turn = 0; (turn < 3) && (traffic.sent > 0); turn++)
            step(traffic.sent);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    *failed += WIFEXITED(status) && (WEXITSTATUS(status) != 0);
}

/* §2.6 shutdown and close: children that are forked while the ring is busy, at any moment: they
 * take nothing, send nothing, and keep nothing open */
CASE_ROUNDS(signals, forksWhileBusy, 2)
{
    int64_t count = loadOf(40, 2000);
    int failed = 0;
    uint64_t total = 0;

    openTraffic(round == 0 ? KIND_TCP : KIND_UNIX_STREAM);
    for (int number = 0; number < count; number++) {
        for (int turn = number % 5; turn > 0; turn--)
            step(total += CHUNK);
        runChild(number, &failed);
    }
    exchange(total = traffic.sent);
    ck_assert_int_eq(failed, 0);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
    tell("forks: %lld, %llu bytes both ways", (long long)count, (unsigned long long)total);
    closeTraffic();
}
