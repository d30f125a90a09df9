/*
 * The engine in user space and its descriptors: what would keep a loop waiting.
 */
#include "pairs.h"
#include "soft-engine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum
{
    ENTRIES = 64,
    MUCH = 1 << 18,
};

static char much[MUCH];
static int pair[2];
static int pipes[2]; /* blocking */

static void setUp(void)
{
    engine = openEngine(ENTRIES);
    pairTcp(pair);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
}

static void tearDown(void)
{
    closeEngine();
    for (int index = 0; index < 2; index++) {
        close(pair[index]);
        close(pipes[index]);
    }
}

AREA(handle, "soft-handle", .open = setUp, .close = tearDown);

static void prepareSplice(uint64_t owner, int from, int to, unsigned size)
{
    PREPARE(owner, splice, from, -1, to, -1, size, 0);
}

/* Without a change of the description that the case is about. */
static void fillSocket(int handle)
{
    while (send(handle, much, sizeof(much), MSG_DONTWAIT) > 0)
        continue;
}

static void putText(int handle, const char* text)
{
    ck_assert_int_eq((int)write(handle, text, strlen(text)), (int)strlen(text));
}

static void expectInPipe(int handle, const char* text)
{
    char seen[64] = "";
    ck_assert_int_eq((int)read(handle, seen, sizeof(seen) - 1), (int)strlen(text));
    ck_assert_str_eq(seen, text);
}

/* ---- splices that would wait ---- */

CASE(handle, splicesFromAnEmptySocket)
{
    prepareSplice(1, pair[1], pipes[1], 100);
    expectQuiet();
    sendText(pair[0], "late");
    expect(1, 4, 0);
    expectInPipe(pipes[0], "late");
}

CASE(handle, splicesIntoAFullSocket)
{
    fillSocket(pair[0]);
    putText(pipes[1], "text");
    prepareSplice(1, pipes[0], pair[0], 100);
    expectQuiet();
    while (recv(pair[1], much, sizeof(much), MSG_DONTWAIT) > 0)
        enterOnce(0);
    expect(1, 4, 0);
}

/* Whose flags are as they were: its other end may be anybody's. */
CASE(handle, splicesBetweenPipes)
{
    int others[2];
    ck_assert_int_eq(pipe2(others, O_CLOEXEC), 0);
    prepareSplice(1, pipes[0], others[1], 100);
    expectQuiet();
    ck_assert_int_eq(fcntl(others[1], F_SETPIPE_SZ, 4096), 4096);
    ck_assert_int_eq((int)write(others[1], much, 4096), 4096);
    putText(pipes[1], "text");
    expectQuiet();
    ck_assert_int_eq((int)read(others[0], much, 4096), 4096);
    expect(1, 4, 0);
    expectInPipe(others[0], "text");
    ck_assert(!(fcntl(pipes[0], F_GETFL) & O_NONBLOCK));
    ck_assert(!(fcntl(others[1], F_GETFL) & O_NONBLOCK));
    close(others[0]);
    close(others[1]);
}

/* A pseudo-terminal: ends[0] is a program's. */
static void openTerminal(int ends[2])
{
    char name[64];
    struct termios settings;
    ends[1] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(ends[1], 0);
    ck_assert_int_eq(grantpt(ends[1]), 0);
    ck_assert_int_eq(unlockpt(ends[1]), 0);
    ck_assert_int_eq(ptsname_r(ends[1], name, sizeof(name)), 0);
    ends[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(ends[0], 0);
    ck_assert_int_eq(tcgetattr(ends[0], &settings), 0);
    cfmakeraw(&settings);
    ck_assert_int_eq(tcsetattr(ends[0], TCSANOW, &settings), 0);
}

/* By a description of its own, so that the case's stays a blocking one. */
static void fillTerminal(int handle)
{
    char name[64];
    ck_assert_int_eq(ttyname_r(handle, name, sizeof(name)), 0);
    int filler = open(name, O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    ck_assert_int_ge(filler, 0);
    while (write(filler, much, 4096) > 0)
        continue;
    while (write(filler, much, 1) > 0)
        continue;
    close(filler);
}

/* Whether a splice of so much into a terminal that was just full is in flight; else *left is less.
 * Some room comes while the terminal moves what it has. */
static bool waitsForRoom(int terminal, int* left)
{
    fillTerminal(terminal);
    prepareSplice(1, pipes[0], terminal, (unsigned)*left);
    for (int count = 0; count < 4; count++)
        enterOnce(0);
    if (FastEnginePeek(engine) == NULL)
        return true;
    *left -= take().result;
    return false;
}

/* The flag that a splice has isn't looked at there: a full one is waited for, and one that has room
 * is given no more than that. */
CASE(handle, splicesIntoATerminal)
{
    int ends[2];
    int left = 1 << 16;
    openTerminal(ends);
    ck_assert_int_eq((int)write(pipes[1], much, 1 << 16), 1 << 16);
    while (!waitsForRoom(ends[0], &left))
        ck_assert_int_gt(left, 0);
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    for (int wait = 0; left > 0; wait++) {
        ck_assert_int_lt(wait, PATIENCE);
        while (read(ends[1], much, sizeof(much)) > 0)
            continue;
        struct Result result = take();
        ck_assert_int_gt(result.result, 0);
        left -= result.result;
        if (left > 0)
            prepareSplice(1, pipes[0], ends[0], (unsigned)left);
    }
    ck_assert(!(fcntl(ends[0], F_GETFL) & O_NONBLOCK));
    close(ends[0]);
    close(ends[1]);
}

/* Neither is a pipe: refused at once, though there is no input. */
CASE(handle, refusesASpliceWithoutAPipe)
{
    int ends[2];
    openTerminal(ends);
    prepareSplice(1, ends[0], pair[0], 100);
    expect(1, -EINVAL, 0);
    close(ends[0]);
    close(ends[1]);
}
