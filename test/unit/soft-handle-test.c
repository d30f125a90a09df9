/*
 * The engine in user space and its descriptors: what would keep a loop waiting, what is closed
 * while an operation is in flight, what has no number left, and what somebody else goes on with.
 */
#include "pairs.h"
#include "soft-engine.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

enum
{
    NUMBER = 100, /* of descriptors that are closed and given again */
    MUCH = 1 << 18,
};

static char much[MUCH];
static int pipes[2]; /* blocking */

static void openHandles(void)
{
    engine = openEngine(ENTRIES);
    pairTcp(pair);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
}

static void closeHandles(void)
{
    closeEngine();
    for (int index = 0; index < 2; index++) {
        close(pair[index]);
        close(pipes[index]);
    }
}

AREA(handle, "soft-handle", .open = openHandles, .close = closeHandles);

static void prepareSplice(uint64_t owner, int from, int to, unsigned size)
{
    PREPARE(owner, splice, from, -1, to, -1, size, 0);
}

static void hold(void)
{
    engine->functions->hold(engine, last());
}

/* Without a change of the description that the case is about. What the other side still takes in
 * makes room again for a while. */
static void fillSocket(int handle)
{
    for (int full = 0; full < 4; full++) {
        while (send(handle, much, sizeof(much), MSG_DONTWAIT) > 0)
            full = 0;
        poll(&(struct pollfd){.fd = handle, .events = POLLOUT}, 1, 20);
    }
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
    for (int count = 0; count < 4; count++)
        enterOnce(0);
    if (FastEnginePeek(engine) != NULL) { /* 5.10 adds it to the last piece that waits */
        expect(1, 4, 0);
        skipTest("the kernel splices into a full socket");
    }
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
    struct termios settings;
    pairTerminal(ends, 0);
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

/* ---- numbers that are closed, and given again ---- */

static int moveTo(int handle, int number)
{
    ck_assert_int_eq(dup3(handle, number, O_CLOEXEC), number); /* closes what was there */
    return number;
}

/* A splice keeps the file that it waits for, and the other one. */
CASE(handle, spliceOutlivesItsNumbers)
{
    int others[2];
    int targets[2];
    ck_assert_int_eq(pipe2(others, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(targets, O_CLOEXEC), 0);
    int from = moveTo(pipes[0], NUMBER);
    int to = moveTo(targets[1], NUMBER + 1);
    prepareSplice(1, from, to, 100);
    hold();
    expectQuiet();
    (void)moveTo(others[0], from);
    (void)moveTo(others[1], to);
    putText(others[1], "other");
    expectQuiet();
    putText(pipes[1], "own");
    expect(1, 3, 0);
    expectInPipe(targets[0], "own");
    expectInPipe(others[0], "other");
    close(from);
    close(to);
    for (int index = 0; index < 2; index++) {
        close(others[index]);
        close(targets[index]);
    }
}

/* An entry that is queued behind others has its file, too; a close means the number itself. */
CASE(handle, queuedOnesKeepTheirFile)
{
    char text[8] = "";
    int others[2];
    pairTcp(others);
    int number = moveTo(pair[1], NUMBER);
    int closed = moveTo(pair[1], NUMBER + 1);
    unsigned room = engine->completion.mask + 1;
    sendText(pair[0], "own");
    for (unsigned count = 0; count < room; count++) {
        if (FastEngineRoom(engine) == 0)
            enterOnce(0);
        PREPARE(9, nop);
    }
    enterOnce(0);
    PREPARE(1, recv, number, text, sizeof(text), 0);
    hold();
    PREPARE(2, close, closed);
    hold();
    enterOnce(0); /* there is no room for their completions */
    (void)moveTo(others[1], number);
    for (unsigned count = 0; count < room; count++)
        expect(9, 0, 0);
    expect(1, 3, 0);
    expect(2, 0, 0);
    ck_assert_str_eq(text, "own");
    ck_assert_int_lt(fcntl(closed, F_GETFD), 0);
    close(number);
    close(others[0]);
    close(others[1]);
}

/* ---- no number left ---- */

static struct rlimit usual;

/* From now on no call opens another. */
static void takeAllNumbers(void)
{
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
    int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
    ck_assert_int_ge(lowest, 0);
    close(lowest);
    struct rlimit none = {.rlim_cur = (rlim_t)lowest, .rlim_max = usual.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void giveNumbersBack(void)
{
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
}

/* What would wait without a file of its own ends, with what it has done if that is something; what
 * needs not wait does not notice. */
CASE(handle, endsWithoutANumber)
{
    char text[8] = "";
    takeAllNumbers();
    PREPARE(1, recv, pair[1], text, sizeof(text), 0);
    hold();
    expect(1, -EMFILE, 0);
    prepareSplice(2, pipes[0], pair[1], 10);
    hold();
    expect(2, -EMFILE, 0);
    PREPARE(3, poll_add, pair[1], POLLIN);
    hold();
    expect(3, -EMFILE, 0);
    sendText(pair[0], "abc");
    PREPARE(4, recv, pair[1], text, 6, MSG_WAITALL);
    hold();
    expect(4, 3, 0);
    ck_assert_str_eq(text, "abc");
    sendText(pair[0], "def");
    PREPARE(5, recv, pair[1], text, sizeof(text), 0);
    hold();
    expect(5, 3, 0);
    giveNumbersBack();
    PREPARE(6, recv, pair[1], text, sizeof(text), 0);
    hold();
    expectQuiet();
    sendText(pair[0], "again");
    expect(6, 5, 0);
}

/* Queued behind others it can't be told yet, and ends so when there is room. */
CASE(handle, endsQueuedWithoutANumber)
{
    char text[8] = "";
    unsigned room = engine->completion.mask + 1;
    sendText(pair[0], "abc");
    for (unsigned count = 0; count < room; count++) {
        if (FastEngineRoom(engine) == 0)
            enterOnce(0);
        PREPARE(9, nop);
    }
    enterOnce(0);
    takeAllNumbers();
    PREPARE(1, recv, pair[1], text, sizeof(text), 0);
    hold();
    PREPARE(2, nop);
    hold();
    PREPARE(3, cancel64, 77, 0);
    hold();
    enterOnce(0);
    for (unsigned count = 0; count < room; count++)
        expect(9, 0, 0);
    expect(1, -EMFILE, 0);
    expect(2, 0, 0);
    expect(3, -ENOENT, 0);
    giveNumbersBack();
    expectText(pair[1], "abc");
}

/* ---- numbers that are given up while others have the file ---- */

static bool isWoken(void)
{
    struct pollfd state = {.fd = engine->functions->getHandle(engine), .events = POLLIN};
    return poll(&state, 1, 0) > 0;
}

/* Waited for, forgotten, closed; the file goes on elsewhere, and nobody hears of it. */
CASE(handle, forgetsWhatOthersHave)
{
    char text[8] = "";
    int others[2];
    int number = moveTo(pair[1], NUMBER);
    pairTcp(others);
    PREPARE(1, recv, number, text, sizeof(text), 0);
    expectQuiet();
    PREPARE(2, poll_add, number, POLLIN);
    expectQuiet();
    PREPARE(3, cancel64, 1, 0);
    ck_assert_int_eq(take().result + take().result, -ECANCELED);
    FastEngineForget(engine, number); /* somebody waits yet */
    sendText(pair[0], "polled");
    expect(2, POLLIN, 0);
    FastEngineForget(engine, number);
    close(number);
    for (int count = 0; count < 3; count++) {
        sendText(pair[0], "others'");
        ck_assert(!isWoken());
    }
    (void)moveTo(others[1], number);
    PREPARE(4, recv, number, text, sizeof(text), 0);
    expectQuiet();
    sendText(pair[0], "others'");
    ck_assert(!isWoken());
    sendText(others[0], "new");
    expect(4, 3, 0);
    close(number);
    close(others[0]);
    close(others[1]);
}

/* ---- polls of one descriptor ---- */

/* One that wants to hear of changes hears of nothing else, whatever the other is armed for, and
 * whichever came first. */
CASE(handle, pollsBesideEachOther)
{
    for (int round = 0; round < 2; round++) {
        PREPARE(round == 0 ? 1 : 2, poll_add, pair[1], POLLIN);
        if (round == 1)
            last()->len = IORING_POLL_ADD_MULTI;
        expectQuiet();
        PREPARE(round == 0 ? 2 : 1, poll_add, pair[1], POLLIN);
        if (round == 0)
            last()->len = IORING_POLL_ADD_MULTI;
        expectQuiet();
        sendText(pair[0], "x");
        struct Result first = take();
        struct Result second = take();
        ck_assert_uint_eq(first.owner + second.owner, 3);
        ck_assert(first.result & second.result & POLLIN);
        for (int count = 0; count < 5; count++) {
            PREPARE(3, poll_add, pair[1], POLLIN);
            expect(3, POLLIN, 0);
            PREPARE(4, poll_add, pair[1], POLLOUT);
            expect(4, POLLOUT, 0);
            expectQuiet();
        }
        sendText(pair[0], "y");
        expect(2, POLLIN, IORING_CQE_F_MORE);
        expectQuiet();
        PREPARE(5, cancel64, 2, 0);
        ck_assert_int_eq(take().result + take().result, -ECANCELED);
        expectText(pair[1], "xy");
    }
}

/* A cancellation by descriptor finds both. */
CASE(handle, cancelsPollsBesideEachOther)
{
    PREPARE(1, poll_multishot, pair[1], POLLIN);
    PREPARE(2, poll_add, pair[1], POLLIN);
    expectQuiet();
    PREPARE(3, cancel_fd, pair[1], IORING_ASYNC_CANCEL_ALL);
    int sum = 0;
    for (int count = 0; count < 3; count++) {
        struct Result result = take();
        sum += result.owner == 3 ? result.result : result.result == -ECANCELED;
    }
    ck_assert_int_eq(sum, 4);
}

/* Without a number for a second registration both are told. */
CASE(handle, pollsTogetherWithoutANumber)
{
    PREPARE(1, poll_multishot, pair[1], POLLIN);
    expectQuiet();
    takeAllNumbers();
    PREPARE(2, poll_add, pair[1], POLLIN);
    expectQuiet();
    sendText(pair[0], "x");
    ck_assert_uint_eq(take().owner + take().owner, 3);
    giveNumbersBack();
}
