/* The same passes for each contender, between readings of the process's CPU clock. */
#include "costs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../bench.h"

enum
{
    LIFE = 120, /* seconds */
    PENDING = 64,
    TIMERS_TOGETHER = 200000, /* in all passes: few timers are armed more often */
    LONGEST = 60000,      /* milliseconds of a timer that doesn't run out */
    SHORTEST = 10000,
    TURN_BOUND = 1000000
};

size_t expiredTimers;

void* makeObjects(size_t count, size_t size)
{
    void* objects = calloc(count, size);

    if (objects == NULL)
        die("memory", ENOMEM);
    return objects;
}

static uint64_t spent(void)
{
    struct timespec time;

    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) < 0)
        die("clock_gettime", errno);
    return ((uint64_t)time.tv_sec * 1000000000) + (uint64_t)time.tv_nsec;
}

/* ---- release ---- */

/* The other ends are another process's, which has descriptors and CPU time of its own. */
struct Peers
{
    int control; /* a byte there: go on; a byte back: done */
    int listener;
    size_t count;
};

static void giveWord(int control)
{
    if (write(control, "", 1) != 1)
        die("the other process is gone", errno);
}

static void awaitWord(int control)
{
    char word;

    if (read(control, &word, 1) != 1)
        die("the other process is gone", errno);
}

static int connectTo(const struct sockaddr_un* address, socklen_t length)
{
    int handle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if ((handle < 0) || (connect(handle, (const struct sockaddr*)address, length) < 0))
        die("connect", errno);
    return handle;
}

/* Each has heard of the end, and of nothing else. */
static noreturn void bePeers(const struct Peers* peers, const struct sockaddr_un* address,
                             socklen_t length)
{
    int* handles = makeObjects(peers->count, sizeof(*handles));
    char byte;

    for (size_t index = 0; index < peers->count; index++)
        handles[index] = connectTo(address, length);
    awaitWord(peers->control);
    for (size_t index = 0; index < peers->count; index++) {
        if (recv(handles[index], &byte, 1, MSG_DONTWAIT) != 0)
            die("a peer that heard of no end", errno);
        close(handles[index]);
    }
    giveWord(peers->control);
    exit(0);
}

static struct Peers startPeers(size_t count)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(address);
    struct Peers peers = {.count = count, .listener = socket(AF_UNIX, SOCK_STREAM, 0)};
    int pair[2];

    /* A name of the kernel's choice. */
    if ((peers.listener < 0) ||
        (bind(peers.listener, (struct sockaddr*)&address, sizeof(sa_family_t)) < 0) ||
        (getsockname(peers.listener, (struct sockaddr*)&address, &length) < 0) ||
        (listen(peers.listener, PENDING) < 0) ||
        (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0))
        die("listen", errno);
    peers.control = pair[1];
    switch (fork()) {
    case -1:
        die("fork", errno);
    case 0:
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        bePeers(&peers, &address, length);
    default:
        close(pair[1]);
        peers.control = pair[0];
    }
    return peers;
}

static void adoptAll(const struct Costs* contender, const struct Peers* peers)
{
    for (size_t index = 0; index < peers->count; index++) {
        int handle = accept4(peers->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (handle < 0)
            die("accept", errno);
        contender->adopt(index, handle);
    }
}

static void measureRelease(const struct Costs* contender, size_t count)
{
    struct Peers peers = startPeers(count);
    size_t turns = 1;
    uint64_t start;
    uint64_t called;

    contender->begin();
    adoptAll(contender, &peers);
    contender->runTurn(); /* receives are armed */
    start = spent();
    contender->release(count);
    called = spent();
    contender->runTurn();
    giveWord(peers.control);
    awaitWord(peers.control);
    for (; contender->countLeft() > 0; turns++) {
        contender->runTurn();
        if (turns == TURN_BOUND)
            die("sockets that don't close", 0);
    }
    printf("{\"cpu\": %.1f, \"call\": %.1f, \"turns\": %zu}\n",
           (double)(spent() - start) / (double)count, (double)(called - start) / (double)count,
           turns);
}

/* ---- timers ---- */

/* Times in an order of no kind, the same in every run. */
static uint32_t nextTime(void)
{
    static uint32_t number = 1;

    number = (number * 1664525) + 1013904223;
    return SHORTEST + ((number >> 8) % (LONGEST - SHORTEST));
}

static uint64_t runOut(const struct Costs* contender, size_t count)
{
    struct timespec pause = {.tv_nsec = 2000000};
    uint64_t begin;

    for (size_t index = 0; index < count; index++)
        contender->arm(index, 1);
    nanosleep(&pause, NULL);
    begin = spent();
    expiredTimers = 0;
    for (size_t turns = 0; expiredTimers < count; turns++)
        if ((contender->runTurn(), turns) == TURN_BOUND)
            die("timers that don't run out", 0);
    return spent() - begin;
}

static void measureTimers(const struct Costs* contender, size_t count)
{
    size_t passes = (count < TIMERS_TOGETHER) ? TIMERS_TOGETHER / count : 1;
    double all = (double)(passes * count);
    uint64_t arm = 0;
    uint64_t move = 0;
    uint64_t removal = 0;
    uint64_t expiry = 0;

    contender->begin();
    for (size_t pass = 0; pass < passes; pass++) {
        uint64_t start = spent();
        uint64_t armed;
        uint64_t moved;

        for (size_t index = 0; index < count; index++)
            contender->arm(index, nextTime());
        armed = spent();
        for (size_t index = 0; index < count; index++)
            contender->move(index, nextTime());
        moved = spent();
        for (size_t index = 0; index < count; index++)
            contender->removeTimer(index);
        removal += spent() - moved;
        move += moved - armed;
        arm += armed - start;
        expiry += runOut(contender, count);
    }
    printf("{\"cpu\": %.1f, \"arm\": %.1f, \"move\": %.1f, \"remove\": %.1f, \"expiry\": %.1f}\n",
           (double)(arm + move + removal + expiry) / all, (double)arm / all, (double)move / all,
           (double)removal / all, (double)expiry / all);
}

/* ---- the command line ---- */

static noreturn void explain(void)
{
    fputs("PROGRAM release|timers [-n COUNT] [-C CPU]\n", stderr);
    exit(2);
}

int runCosts(int count, char** arguments, const struct Costs* contender)
{
    size_t objects = 1000;
    int cpu = -1;
    int option;

    if (count < 2)
        explain();
    while ((option = getopt(count - 1, arguments + 1, "n:C:")) != -1) {
        switch (option) {
        case 'n': objects = numberOf(optarg); break;
        case 'C': cpu = (int)numberOf(optarg); break;
        default: explain();
        }
    }
    if (objects == 0)
        explain();
    beginProgram(cpu, LIFE);
    if (strcmp(arguments[1], "release") == 0)
        measureRelease(contender, objects);
    else if (strcmp(arguments[1], "timers") == 0)
        measureTimers(contender, objects);
    else
        explain();
    return 0;
}
