/*
 * The world of the counted programs, see counted.h.
 */
#include "counted.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct World world;

enum
{
    CLOCKS = 16,
};

/* ---- time ---- */

static int64_t passed; /* nanoseconds */

typedef int (*GetTime)(clockid_t, struct timespec*);

/* In the C library's place. A clock stands where it was when it was read first, and goes on when it
 * is to: a busy machine, or valgrind, makes no second pass in which a peer says nothing. */
int clock_gettime(clockid_t clock, struct timespec* now)
{
    static GetTime real; /* ISO C knows no functions behind void* */
    static struct timespec first[CLOCKS];
    static bool read[CLOCKS];
    NEED(clock >= 0 && clock < CLOCKS);
    if (real == NULL)
        real = __extension__(GetTime) dlsym(RTLD_NEXT, "clock_gettime");
    if (!read[clock])
        NEED(real(clock, &first[clock]) == 0);
    read[clock] = true;
    int64_t nanoseconds = first[clock].tv_nsec + passed;
    now->tv_sec = first[clock].tv_sec + nanoseconds / 1000000000;
    now->tv_nsec = nanoseconds % 1000000000;
    return 0;
}

void passTime(int64_t nanoseconds)
{
    passed += nanoseconds;
}

/* ---- the world ---- */

static int listener = -1;

void need(bool holds, const char* file, int line, const char* condition)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: %s does not hold, errno %d\n", file, line, condition, errno);
    exit(1);
}

/* A call that the compiler can't do without. */
__attribute__((noinline)) void mark(void)
{
    __asm__ volatile("");
}

void openWorld(size_t count, uint16_t buffers, uint32_t length)
{
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    world.ring = CreateFastRing(4096);
    NEED(world.ring != NULL);
    /* All completions of a round in one turn, so that how many turns there are is no accident. */
    NEED(SetFastRingOption(world.ring, FASTRING_OPTION_TURN_LIMIT, 65536) == 0);
    world.pool = CreateFastBufferPool(world.ring);
    NEED(world.pool != NULL);
    world.provider = CreateFastRingBufferProvider(world.ring, 0, buffers, length,
                                                  AllocateRingFastBuffer, world.pool);
    NEED(world.provider != NULL);
    world.connections = calloc(count, sizeof(struct Connection));
    NEED(world.connections != NULL);
}

static struct sockaddr_in listenOnce(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t length = sizeof(address);
    if (listener < 0) {
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        NEED(listener >= 0);
        NEED(bind(listener, (struct sockaddr*)&address, length) == 0);
        NEED(listen(listener, 64) == 0);
    }
    NEED(getsockname(listener, (struct sockaddr*)&address, &length) == 0);
    return address;
}

void connectPair(int* handle, int* client)
{
    struct sockaddr_in address = listenOnce();
    struct linger linger = {.l_onoff = 1}; /* a reset at the end: no port waits for its time */
    struct timeval limit = {.tv_sec = TURN_MS / 1000};
    int yes = 1;
    *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    NEED(*client >= 0);
    NEED(connect(*client, (struct sockaddr*)&address, sizeof(address)) == 0);
    *handle = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    NEED(*handle >= 0);
    NEED(setsockopt(*client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    NEED(setsockopt(*client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    NEED(setsockopt(*client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0);
    NEED(setsockopt(*handle, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0);
}

void addConnection(int handle, int client, HandleFastSocketEvent function, struct msghdr* message)
{
    struct Connection* connection = &world.connections[world.count++];
    *connection = (struct Connection){.handle = handle, .client = client};
    beginCalls();
    connection->socket =
        CreateFastSocket(world.ring, world.provider, world.pool, world.pool, handle, message, 0,
                         FASTSOCKET_MODE_REGULAR, 0, function, connection);
    endCalls();
    NEED(connection->socket != NULL);
}

void connectAll(size_t count, HandleFastSocketEvent function)
{
    while (world.count < count) {
        int handle, client;
        connectPair(&handle, &client);
        addConnection(handle, client, function, NULL);
        noteTransmit(&world.connections[world.count - 1]); /* the first POLLOUT */
    }
    runUntil(0);
}

void noteTransmit(struct Connection* connection)
{
    if (!connection->sending)
        world.waiting++;
    connection->sending = true;
}

void noteSent(struct Connection* connection)
{
    if (connection->sending)
        world.waiting--;
    connection->sending = false;
}

void awaitInput(void)
{
    for (size_t index = 0; index < world.count; index++) {
        struct pollfd entry = {.fd = world.connections[index].handle, .events = POLLIN};
        NEED(poll(&entry, 1, TURN_MS) == 1);
    }
}

void runTurn(uint32_t interval)
{
    beginCalls();
    int result = WaitForFastRing(world.ring, interval, NULL);
    endCalls();
    NEED(result == 0);
}

void runUntil(uint64_t messages)
{
    while (world.messages < messages || world.waiting > 0)
        runTurn(TURN_MS);
}

void writeAll(int handle, const void* data, size_t size)
{
    NEED(send(handle, data, size, MSG_NOSIGNAL) == (ssize_t)size);
}

void readAll(int handle, void* data, size_t size)
{
    NEED(recv(handle, data, size, MSG_WAITALL) == (ssize_t)size);
}

void beginCalls(void)
{
    (void)prctl(COUNTED_CALL, CALLS_BEGIN, 0, 0, 0);
}

void endCalls(void)
{
    (void)prctl(COUNTED_CALL, CALLS_END, 0, 0, 0);
}

void printCalls(void)
{
    (void)prctl(COUNTED_CALL, CALLS_PRINT, 0, 0, 0);
}

struct Tally tallyNow(void)
{
    struct rusage usage;
    struct Tally tally = {.messages = world.messages, .memory = memoryNow()};
    NEED(getrusage(RUSAGE_SELF, &usage) == 0);
    tally.faults = (uint64_t)usage.ru_minflt;
    NEED(GetFastRingStatistics(world.ring, &tally.ring, sizeof(tally.ring)) == 0);
    return tally;
}

#define BETWEEN(name) (unsigned long long)(to->name - from->name)

void printTally(const char* part, const struct Tally* from, const struct Tally* to)
{
    printf("part %s messages %llu turns %llu enters %llu submissions %llu completions %llu "
           "allocations %llu mappings %llu faults %llu\n",
           part, BETWEEN(messages), BETWEEN(ring.turns), BETWEEN(ring.systemCalls),
           BETWEEN(ring.submissions), BETWEEN(ring.completions), BETWEEN(memory.allocations),
           BETWEEN(memory.mappings), BETWEEN(faults));
    fflush(stdout); /* before what calls.c prints */
}
