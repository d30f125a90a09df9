/*
 * How the programs of the bench begin and end, and their sockets. Every one ends by itself: by an
 * alarm, and with the program that started it.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum
{
    BACKLOG = 4096,
    DATAGRAM_ROOM = 4 * 1024 * 1024
};

noreturn void die(const char* what, int error)
{
    if (error < 0)
        error = -error;
    if (error != 0)
        fprintf(stderr, "%s: %s\n", what, strerror(error));
    else
        fprintf(stderr, "%s\n", what);
    exit(1);
}

static void pin(int cpu)
{
    cpu_set_t set;

    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        die("sched_setaffinity", errno);
}

void beginProgram(int cpu, unsigned life)
{
    struct rlimit limit;

    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(life);
    pin(cpu);
    /* Keeps other work of the machine out of the figures, where that is allowed. */
    setpriority(PRIO_PROCESS, 0, -20);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

uint64_t numberOf(const char* text)
{
    char* end;
    unsigned long long value = strtoull(text, &end, 0);

    if ((*text == '\0') || (*end != '\0')) {
        fprintf(stderr, "%s is no number\n", text);
        exit(2);
    }
    return value;
}

void* allocateOrDie(size_t size)
{
    return growOrDie(NULL, size);
}

void* growOrDie(void* data, size_t size)
{
    void* grown = realloc(data, size);

    if (grown == NULL)
        die("memory", ENOMEM);
    return grown;
}

uint64_t timeNow(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return ((uint64_t)time.tv_sec * 1000000000) + (uint64_t)time.tv_nsec;
}

struct sockaddr_in addressOf(uint32_t host, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(host),
                                  .sin_port = htons(port)};

    return address;
}

void tuneStream(int handle)
{
    int one = 1;

    setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(handle, IPPROTO_TCP, TCP_CONGESTION, "cubic", sizeof "cubic" - 1);
}

void tuneDatagrams(int handle)
{
    int room = DATAGRAM_ROOM;

    setsockopt(handle, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(handle, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

void makeNonblocking(int handle)
{
    int flags = fcntl(handle, F_GETFL);

    if ((flags < 0) || (fcntl(handle, F_SETFL, flags | O_NONBLOCK) < 0))
        die("fcntl", errno);
}

static int openBound(int type, uint16_t port)
{
    struct sockaddr_in address = addressOf(INADDR_LOOPBACK, port);
    int one = 1;
    int handle = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    if (handle < 0)
        die("socket", errno);
    if (type == SOCK_STREAM)
        setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(handle, (struct sockaddr*)&address, sizeof address) < 0)
        die("bind", errno);
    return handle;
}

int openListener(uint16_t port)
{
    int handle = openBound(SOCK_STREAM, port);

    tuneStream(handle);
    if (listen(handle, BACKLOG) < 0)
        die("listen", errno);
    return handle;
}

int openDatagrams(uint16_t port)
{
    int handle = openBound(SOCK_DGRAM, port);

    tuneDatagrams(handle);
    return handle;
}

uint16_t portOf(int handle)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;

    if (getsockname(handle, (struct sockaddr*)&address, &length) < 0)
        die("getsockname", errno);
    return ntohs(address.sin_port);
}
