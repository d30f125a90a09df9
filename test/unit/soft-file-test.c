/*
 * The engine in user space and files of which a poll knows too little: it says that there is input,
 * or room, and a call that may wait does so all the same.
 */
#include "soft-engine.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum
{
    LINE = 8,
    MUCH = 64000, /* whole lines */
    LEAST = 10,   /* characters that a read of a terminal waits for */
    LONG = 255,   /* tenths of a second that it waits for the next one: longer than a test may */
    ROOM = 3,
};

static char lines[MUCH];
static int pipes[2];
static int ends[2]; /* of a terminal: a program's, a person's */

static void openFiles(void)
{
    engine = openEngine(ENTRIES);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    ends[0] = ends[1] = -1;
    for (int index = 0; index < MUCH; index++)
        lines[index] = index % LINE == LINE - 1 ? '\n' : 'a';
}

static void closeFiles(void)
{
    closeEngine();
    for (int index = 0; index < 2; index++) {
        close(pipes[index]);
        if (ends[index] >= 0)
            close(ends[index]);
    }
}

/* A loop that waits is found by the time that a case has. */
AREA(softFile, "soft-file", .open = openFiles, .close = closeFiles, .timeout = 20);

static void expectBlocking(int handle)
{
    ck_assert(!(fcntl(handle, F_GETFL) & O_NONBLOCK));
}

static void openTerminal(struct termios* settings)
{
    pairTerminal(ends, O_NONBLOCK);
    ck_assert_int_eq(tcgetattr(ends[0], settings), 0);
}

/* ---- counters ---- */

/* One that could be read has room for less than is added. */
CASE(softFile, addsToAFullCounter)
{
    uint64_t value = UINT64_MAX - 1 - ROOM;
    uint64_t more = ROOM + 2;
    int counter = eventfd(0, EFD_CLOEXEC);
    ck_assert_int_ge(counter, 0);
    ck_assert_int_eq(write(counter, &value, sizeof(value)), sizeof(value));
    PREPARE(1, write, counter, &more, sizeof(more), (uint64_t)-1);
    expectQuiet();
    expectBlocking(counter);
    ck_assert_int_eq(read(counter, &value, sizeof(value)), sizeof(value));
    ck_assert_uint_eq(value, UINT64_MAX - 1 - ROOM);
    expect(1, sizeof(more), 0);
    ck_assert_int_eq(read(counter, &value, sizeof(value)), sizeof(value));
    ck_assert_uint_eq(value, more);
    expectBlocking(counter);
    close(counter);
}

/* ---- output of terminals ---- */

/* For each line's end two bytes go out. */
static void openCooked(void)
{
    struct termios settings;
    openTerminal(&settings);
    settings.c_oflag |= OPOST | ONLCR;
    settings.c_lflag &= ~(tcflag_t)ECHO;
    ck_assert_int_eq(tcsetattr(ends[0], TCSANOW, &settings), 0);
}

/* What has come out since the last time. */
static size_t drain(void)
{
    char seen[4096];
    size_t sum = 0;
    ssize_t count;
    while ((count = read(ends[1], seen, sizeof(seen))) > 0)
        sum += (size_t)count;
    return sum;
}

/* Prepares the write, or what stands for one, of what begins at position. */
typedef void Writer(size_t position);

static void writeLines(size_t position)
{
    PREPARE(1, write, ends[0], lines + position, MUCH - (unsigned)position, (uint64_t)-1);
}

static void spliceLines(size_t position)
{
    struct pollfd state = {.fd = pipes[0], .events = POLLIN};
    if (poll(&state, 1, 0) == 0) {
        size_t size = MUCH - position < PIPE_BUF ? MUCH - position : PIPE_BUF;
        ck_assert_int_eq(write(pipes[1], lines + position, size), (ssize_t)size);
    }
    PREPARE(1, splice, pipes[0], -1, ends[0], -1, PIPE_BUF, 0);
}

/* All lines go out, though nobody reads them before the terminal is full. */
static void expectAllLines(Writer* prepare)
{
    size_t position = 0;
    size_t seen = 0;
    bool reads = false;
    openCooked();
    prepare(position);
    for (int wait = 0; position < MUCH; wait++) {
        ck_assert_int_lt(wait, MUCH);
        if (reads)
            seen += drain();
        enterOnce(reads ? WAIT_NS : 0);
        expectBlocking(ends[0]);
        if (FastEnginePeek(engine) == NULL) {
            reads = reads || wait > LINE;
            continue;
        }
        struct Result result = take();
        ck_assert_int_gt(result.result, 0);
        position += (size_t)result.result;
        if (position < MUCH)
            prepare(position);
    }
    ck_assert(reads); /* it was full */
    for (int wait = 0; seen < MUCH + MUCH / LINE; wait++) {
        ck_assert_int_lt(wait, PATIENCE);
        struct pollfd state = {.fd = ends[1], .events = POLLIN};
        ck_assert_int_eq(poll(&state, 1, PATIENCE), 1);
        seen += drain();
    }
    ck_assert_uint_eq(seen, MUCH + MUCH / LINE);
}

CASE(softFile, writesLinesIntoATerminal)
{
    expectAllLines(writeLines);
}

CASE(softFile, splicesLinesIntoATerminal)
{
    expectAllLines(spliceLines);
}

/* ---- input of terminals ---- */

/* A read would have so much, or wait for long after what it has. */
static void openWaiting(void)
{
    struct termios settings;
    openTerminal(&settings);
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = LEAST;
    settings.c_cc[VTIME] = LONG;
    ck_assert_int_eq(tcsetattr(ends[0], TCSANOW, &settings), 0);
}

CASE(softFile, readsATerminalThatWaits)
{
    char seen[2 * LEAST] = "";
    openWaiting();
    PREPARE(1, read, ends[0], seen, sizeof(seen), (uint64_t)-1);
    expectQuiet();
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    expect(1, 3, 0);
    ck_assert_str_eq(seen, "abc");
    expectBlocking(ends[0]);
}

CASE(softFile, splicesFromATerminalThatWaits)
{
    char seen[2 * LEAST] = "";
    openWaiting();
    PREPARE(1, splice, ends[0], -1, pipes[1], -1, sizeof(seen), 0);
    expectQuiet();
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    expect(1, 3, 0);
    ck_assert_int_eq(read(pipes[0], seen, sizeof(seen)), 3);
    ck_assert_str_eq(seen, "abc");
    expectBlocking(ends[0]);
}

/* ---- what the kernel makes ---- */

static const char* const rooms[] = {"trace_pipe", "trace_marker"};

/* The reading and the writing end of a trace of our own: a regular file whose read waits for what
 * is to come. In a place that nobody else sees; removed when tracing is. false: none is to be had
 * here. */
static bool openTrace(char* place, char* room, size_t size)
{
    char path[128];
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tracefs", place, "tracefs", 0, NULL) < 0)
        return false;
    snprintf(room, size, "%s/instances/fastsocket-%d", place, (int)getpid());
    if (mkdir(room, 0700) < 0) {
        umount(place);
        return false;
    }
    for (int index = 0; index < 2; index++) {
        snprintf(path, sizeof(path), "%s/%s", room, rooms[index]);
        ends[index] = open(path, (index == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
        ck_assert_int_ge(ends[index], 0);
    }
    return true;
}

CASE(softFile, readsWhatTheKernelMakes)
{
    char place[] = "/tmp/fastsocket-trace-XXXXXX";
    char room[64];
    char seen[256] = "";
    struct stat status;
    ck_assert_ptr_nonnull(mkdtemp(place));
    bool opened = openTrace(place, room, sizeof(room));
    if (opened) {
        ck_assert_int_eq(fstat(ends[0], &status), 0);
        ck_assert(S_ISREG(status.st_mode));
        PREPARE(1, read, ends[0], seen, sizeof(seen) - 1, (uint64_t)-1);
        expectQuiet();
        expectBlocking(ends[0]);
        ck_assert_int_eq(write(ends[1], "told", 4), 4);
        ck_assert_int_gt(take().result, 0);
        ck_assert_ptr_nonnull(strstr(seen, "told"));
        for (int index = 0; index < 2; index++) {
            close(ends[index]);
            ends[index] = -1;
        }
        ck_assert_int_eq(rmdir(room), 0);
        umount(place);
    }
    rmdir(place);
    if (!opened)
        skipTest("tracing can't be mounted here");
}

static uint64_t callsOfARead(int handle)
{
    char byte;
    uint64_t before = engine->functions->countCalls(engine);
    ck_assert_int_ge(handle, 0);
    PREPARE(1, read, handle, &byte, 1, 0);
    while (FastEnginePeek(engine) == NULL)
        enterOnce(0);
    ck_assert_int_ge(take().result, 0);
    return engine->functions->countCalls(engine) - before;
}

/* Nobody looks for that in what is stored. */
CASE(softFile, takesFewCallsForWhatIsStored)
{
    int stored = memfd_create("stored", MFD_CLOEXEC);
    int made = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(write(stored, "x", 1), 1);
    ck_assert_uint_le(callsOfARead(stored), 3); /* what it is, the read, perhaps a wait */
    ck_assert_uint_gt(callsOfARead(made), 4);
    close(stored);
    close(made);
}
