/* What the tests of check mode and traces share: programs that are children of the test, since the
 * environment is asked once in a process. */
#ifndef TEST_PROGRAM_H
#define TEST_PROGRAM_H

#include <Ring/FastSocket.h>
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum
{
    LINE = 8192,
    SMALL = 100,
    MANY = 20000,
    LARGE = 1 << 20,
};

/* ---- programs ---- */

struct Result
{
    int status;
    char text[LINE]; /* of the standard error */
};

/* Runs a function as a program that ends well when it returns, with this in its environment (NULL:
 * nothing). */
static inline struct Result runProgram(void (*program)(void), const char* name,
                                       const char* value)
{
    struct Result result = {.status = 0};
    size_t length = 0;
    ssize_t count;
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        (void)unsetenv("FASTSOCKET_CHECK");
        (void)unsetenv("FASTSOCKET_TRACE");
        if (value != NULL)
            (void)setenv(name, value, 1);
        program();
        _exit(0);
    }
    ck_assert_int_gt(child, 0);
    close(ends[1]);
    while ((count = read(ends[0], result.text + length, LINE - 1 - length)) > 0)
        length += (size_t)count;
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &result.status, 0), child);
    return result;
}

/* ---- what programs make ---- */

static struct FastRing* ring;
static int peer; /* of the last socket */

static inline void need(bool holds)
{
    if (!holds)
        _exit(99);
}

static inline void makeRing(void)
{
    ring = CreateFastRing(0);
    need(ring != NULL && WaitForFastRing(ring, 0, NULL) == 0);
}

static inline void ignoreEvent(struct FastSocket* socket, int event, int parameter)
{
    (void)socket, (void)event, (void)parameter;
}

static inline struct FastSocket* makeSocket(void)
{
    int pair[2];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    peer = pair[1];
    struct FastSocket* socket = OpenFastSocket(ring, pair[0], 0, ignoreEvent, NULL);
    need(socket != NULL && WaitForFastRing(ring, 0, NULL) == 0);
    return socket;
}

static inline void ignoreTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout, (void)closure;
}

static inline struct FastRingTimeout* makeTimeout(int64_t interval)
{
    struct FastRingTimeout* timeout =
        SetFastRingTimeout(ring, NULL, interval, 0, ignoreTimeout, NULL);
    need(timeout != NULL);
    return timeout;
}

static inline void runUntilQuiet(void)
{
    while (GetFastRingPending(ring) > 0)
        need(WaitForFastRing(ring, 1000, NULL) == 0);
}

#endif
