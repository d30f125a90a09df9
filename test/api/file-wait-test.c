/*
 * FASTSOCKET_MODE_FILE_IO: nobody waits for a file whose peer does nothing, whatever the kernel has: not the
 * loop, not the files beside it, not the program's end. Each case runs as this kernel would, and as an old
 * one; and each with files that may be opened once more, and with files of another user's, which may not.
 */
#include "files.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum
{
    MEBIBYTE = 1 << 20,
    NOBODY = 54321, /* a user who has no process, and no file */
    CROWD = 50,
    PROCESSES = 20, /* fewer */
    LONG = 262144,
};

/* What is opened: the first four as openPipe in file-write-test.c. */
enum Thing
{
    THING_PIPE,
    THING_PIPE_NONBLOCK,
    THING_FIFO,
    THING_FIFO_NONBLOCK,
    THING_SLAVE,
    THING_MASTER,
    THING_COUNT,
};

static struct Fixture fixture;
static struct Recorder recorder;
static int ends[2]; /* the one that is read, the one that is written, of a terminal either */
static int thief; /* a reader of the same that doesn't wait, or -1 */
static bool ofAnother;

static void setUp(void)
{
    signal(SIGPIPE, SIG_DFL);
    ofAnother = false;
    fixtureOpen(&fixture, 0, 0, 0);
}

static void setUpOld(void)
{
    setenv("FASTSOCKET_FEATURES_OFF", "0xffffffff", 1);
    setUp();
}

static void setUpOfAnother(void)
{
    setUp();
    ofAnother = geteuid() == 0;
}

static void setUpOldOfAnother(void)
{
    setUpOld();
    ofAnother = geteuid() == 0;
}

static void tearDown(void)
{
    if (ofAnother)
        (void)!seteuid(0);
    fixtureClose(&fixture);
}

static void closeThief(void)
{
    if (thief >= 0)
        close(thief);
    thief = -1;
}

static int openThief(enum Thing thing)
{
    char path[64];

    if (thing == THING_MASTER)
        return -1; /* there is one description of it alone */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    return open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Opens both ends, as a user who is another than the one that goes on. */
static void openThing(enum Thing thing)
{
    int flags = thing == THING_PIPE_NONBLOCK || thing == THING_FIFO_NONBLOCK ? O_NONBLOCK : 0;

    if (ofAnother)
        ck_assert_int_eq(seteuid(0), 0);
    if (thing >= THING_SLAVE)
        openTerminal(ends, true);
    else if (thing >= THING_FIFO)
        openFifo(ends, flags);
    else
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC | flags), 0);
    thief = openThief(thing);
    if (ofAnother)
        ck_assert_int_eq(seteuid(NOBODY), 0);
}

/* ends[0] becomes the side that is read, ends[1] its peer. */
static void openReader(enum Thing thing)
{
    openThing(thing);
    if (thing == THING_MASTER) {
        int slave = ends[0];
        ends[0] = ends[1];
        ends[1] = slave;
    }
    openFile(&fixture, ends[0], &recorder);
}

/* ends[1] becomes the side that is written, ends[0] its peer. */
static void openWriter(enum Thing thing, struct Recorder* writer)
{
    openThing(thing);
    if (thing == THING_SLAVE) {
        int master = ends[1];
        ends[1] = ends[0];
        ends[0] = master;
    }
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    closeThief();
    openFile(&fixture, ends[1], writer);
}

/* ---- reading ---- */

/* Somebody else's reading, which never waits. */
static void steal(void)
{
    char data[64];

    (void)!read(thief, data, sizeof(data));
}

static void flush(void)
{
    (void)tcflush(ends[0], TCIFLUSH);
}

static void flushOther(void)
{
    (void)tcflush(ends[1], TCOFLUSH);
}

/* What was written last comes last. */
static void expectLast(const char* text)
{
    char data[4096] = "";
    size_t length = 0;

    writeText(ends[1], text);
    while (length < strlen(text) || strcmp(data + length - strlen(text), text) != 0) {
        waitInput(&recorder, 1);
        length += (size_t)ReceiveFastSocketData(recorder.socket, data + length, sizeof(data) - length - 1, 0);
    }
}

static void readBeside(enum Thing thing, void (*take)(void))
{
    openReader(thing);
    for (int round = 0; round < 300; round++) {
        writeText(ends[1], "a");
        runTurns(fixture.ring, round % 4); /* a poll has told of it, or not, or it is read */
        take();
        runTurns(fixture.ring, 2);
    }
    runIdle(fixture.ring);
    while (GetFastSocketInboundLength(recorder.socket) > 0) {
        ReleaseFastBuffer(ReceiveFastSocketBuffer(recorder.socket));
        runIdle(fixture.ring);
    }
    ck_assert_int_eq(recorder.hup, 0);
    closeThief();
    expectLast("mine");
    AbortFastSocket(recorder.socket);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    close(ends[1]);
}

/* §2.5 waiting: what another reader takes between poll and read is not waited for */
START_TEST(goesOnWithoutStolenInput)
{
    for (enum Thing thing = 0; thing < THING_MASTER; thing++)
        readBeside(thing, steal);
}
END_TEST

/* §2.5 waiting: nor is what a terminal has flushed */
START_TEST(goesOnWithoutFlushedInput)
{
    void (*const ways[])(void) = {flush, flushOther};

    for (int way = 0; way < 2; way++) {
        readBeside(THING_SLAVE, ways[way]);
        readBeside(THING_MASTER, ways[way]);
    }
}
END_TEST

/* §2.5 waiting: nor is more than there is, in any settings of the terminal */
START_TEST(goesOnWithAnySettings)
{
    const cc_t settings[][2] = {{0, 0}, {0, 5}, {1, 5}, {5, 0}, {5, 5}};

    for (size_t index = 0; index < sizeof(settings) / sizeof(settings[0]); index++) {
        struct termios terminal;
        openReader(THING_SLAVE);
        closeThief();
        ck_assert_int_eq(tcgetattr(ends[0], &terminal), 0);
        terminal.c_cc[VMIN] = settings[index][0];
        terminal.c_cc[VTIME] = settings[index][1];
        ck_assert_int_eq(tcsetattr(ends[0], TCSANOW, &terminal), 0);
        for (int round = 0; round < 20; round++) {
            writeText(ends[1], "typed");
            receiveText(&recorder, "typed");
            runTurns(fixture.ring, 3);
            ck_assert_int_eq(recorder.hup, 0);
        }
        ReleaseFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        close(ends[1]);
    }
}
END_TEST

/* §2.5 waiting, §2.1 ring released with live sockets: a read that came too late doesn't keep its file, nor the
 * ring */
START_TEST(endsWhileReading)
{
    for (int round = 0; round < 16; round++) {
        openReader(round & 1 ? THING_MASTER : THING_SLAVE);
        closeThief();
        runTurns(fixture.ring, 2);
        writeText(ends[1], "a");
        runTurns(fixture.ring, round / 2 % 4);
        if (round & 1)
            flushOther();
        else
            flush();
        runTurns(fixture.ring, 3);
        if (round == 15) {
            ReleaseFastRing(fixture.ring);
            fixture.ring = NULL;
            ck_assert_int_eq(recorder.hup, 1);
        }
        ReleaseFastSocket(recorder.socket);
        if (round < 15)
            waitFor(fixture.ring, isNothingPending, fixture.ring);
        close(ends[1]);
    }
}
END_TEST

/* §2.5 EOF, §2.5 waiting: each is read to its end */
START_TEST(readsToTheEnd)
{
    for (enum Thing thing = 0; thing < THING_COUNT; thing++) {
        openReader(thing);
        closeThief();
        runTurns(fixture.ring, 2);
        for (int round = 0; round < 20; round++) {
            writeText(ends[1], "some text");
            receiveText(&recorder, "some text");
        }
        close(ends[1]);
        waitHangup(&recorder);
        expectOrderlyEnd(&recorder);
        ReleaseFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
    }
}
END_TEST

/* ---- writing ---- */

static void expectAll(struct Recorder* writer, uint64_t size)
{
    static char data[65536];
    uint64_t position = 0;

    for (int idle = 0; position < size && idle < 60000; idle++) {
        ssize_t count = read(ends[0], data, sizeof(data));
        if (count > 0) {
            ck_assert(checkPattern(data, (size_t)count, position));
            position += (uint64_t)count;
            idle = 0;
        }
        (void)WaitForFastRing(fixture.ring, count > 0 ? 0 : 1, NULL);
    }
    ck_assert_uint_eq(position, size);
    waitDrained(writer);
}

/* §2.5 writes, §2.5 waiting: a peer that is slow stops nobody, and gets all in the end */
START_TEST(waitsForRoom)
{
    for (enum Thing thing = 0; thing < THING_COUNT; thing++) {
        uint64_t before = 0;

        openWriter(thing, &recorder);
        transmitPattern(recorder.socket, LONG, 0);
        transmitPattern(recorder.socket, 10, LONG);
        for (uint64_t length = MEBIBYTE; GetFastSocketOutboundLength(recorder.socket) < length;) {
            length = GetFastSocketOutboundLength(recorder.socket);
            for (int turn = 0; turn < 5; turn++)
                (void)WaitForFastRing(fixture.ring, 5, NULL);
            runIdle(fixture.ring);
        }
        ck_assert_uint_gt(GetFastSocketOutboundLength(recorder.socket), 0);
        before = readRing(fixture.ring).completions;
        runTurns(fixture.ring, 200);
        ck_assert_msg(readRing(fixture.ring).completions - before <= 60, "thing %d: %d completions", thing,
                      (int)(readRing(fixture.ring).completions - before));
        expectAll(&recorder, LONG + 10);
        ReleaseFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        close(ends[0]);
    }
}
END_TEST

static bool isFull(void* closure)
{
    struct pollfd state = {.fd = *(int*)closure, .events = POLLOUT};

    return poll(&state, 1, 0) == 0;
}

/* §2.5 SIGPIPE: the reader goes while a write waits for room; and any later turn is as harmless */
START_TEST(survivesBreakWhileWaiting)
{
    for (enum Thing thing = THING_PIPE; thing <= THING_FIFO_NONBLOCK; thing++) {
        openWriter(thing, &recorder);
        transmitPattern(recorder.socket, MEBIBYTE, 0);
        waitFor(fixture.ring, isFull, &ends[1]);
        for (int turn = 0; turn < 10; turn++) /* the next write is under way */
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 5, NULL), 0);
        close(ends[0]);
        waitHangup(&recorder);
        expectFailure(&recorder, EPIPE);
        runTurns(fixture.ring, 10);
        ReleaseFastSocket(recorder.socket);
    }
}
END_TEST

/* §2.5 writes: the packets of a pipe in packet mode stay apart, also when the mode is set later */
START_TEST(writesPackets)
{
    char data[64];

    for (int late = 0; late < 2; late++) {
        openWriter(THING_PIPE, &recorder);
        ReleaseFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        close(ends[0]);
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC | (late ? 0 : O_DIRECT)), 0);
        openFile(&fixture, ends[1], &recorder);
        if (late) {
            transmitText(recorder.socket, "stream");
            waitDrained(&recorder);
            ck_assert_int_eq((int)read(ends[0], data, sizeof(data)), 6);
            ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_DIRECT), 0);
        }
        for (int index = 0; index < 3; index++) {
            transmitText(recorder.socket, "packet");
            if (late)
                waitDrained(&recorder);
        }
        waitDrained(&recorder);
        for (int index = 0; index < 3; index++)
            ck_assert_int_eq((int)read(ends[0], data, sizeof(data)), 6);
        ReleaseFastSocket(recorder.socket);
        close(ends[0]);
    }
}
END_TEST

/* ---- beside others ---- */

/* A user who may have few processes, and threads, has many files whose peers do nothing. */
static void serveBeside(enum Thing thing, bool old)
{
    const struct rlimit limit = {PROCESSES, PROCESSES};
    static struct Recorder stuck[CROWD];
    int peers[CROWD];

    if (old)
        setenv("FASTSOCKET_FEATURES_OFF", "0xffffffff", 1);
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &limit), 0);
    ck_assert_int_eq(setresgid(NOBODY, NOBODY, NOBODY), 0);
    if (!ofAnother)
        ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
    else
        ck_assert_int_eq(setresuid(NOBODY, NOBODY, 0), 0);
    fixtureOpen(&fixture, 0, 0, 0);
    for (int index = 0; index < CROWD; index++) {
        openWriter(thing, &stuck[index]);
        peers[index] = ends[0];
        transmitPattern(stuck[index].socket, MEBIBYTE, 0);
    }
    runIdle(fixture.ring);
    openWriter(thing, &recorder);
    transmitPattern(recorder.socket, LONG, 0);
    expectAll(&recorder, LONG);
    ReleaseFastSocket(recorder.socket);
    close(ends[0]);
    for (int index = 0; index < CROWD; index++) {
        ck_assert_uint_gt(GetFastSocketOutboundLength(stuck[index].socket), 0);
        AbortFastSocket(stuck[index].socket);
    }
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    for (int index = 0; index < CROWD; index++)
        close(peers[index]);
    fixtureClose(&fixture);
}

static void expectServed(bool old)
{
    for (enum Thing thing = 0; thing < THING_COUNT; thing++) {
        int status = -1;
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0) {
            serveBeside(thing, old);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(status == 0, "thing %d, %s: %#x", thing, old ? "old" : "new", status);
    }
}

static void openNothing(void)
{
}

/* §2.5 waiting: those whose peers do nothing take nothing from the others, neither threads nor turns */
START_TEST(servesBesideTheStuck)
{
    if (geteuid() != 0)
        skipTest("only root has a user without processes");
    expectServed(false);
    expectServed(true);
}
END_TEST

/* §2.5 waiting: … also if their files can't be opened once more */
START_TEST(servesBesideTheStuckOfAnother)
{
    if (geteuid() != 0)
        skipTest("only root has a user without processes");
    ofAnother = true;
    expectServed(false);
    expectServed(true);
    ofAnother = false;
}
END_TEST

/* ---- a job in the background ---- */

static int jobStatus;

/* A session's leader, whose terminal another job has, writes and reads it nevertheless. */
static void useInBackground(void)
{
    struct termios settings;
    pid_t job = 0;

    alarm(60);
    openTerminal(ends, true);
    ck_assert_int_eq(tcgetattr(ends[0], &settings), 0);
    settings.c_lflag |= TOSTOP;
    ck_assert_int_eq(tcsetattr(ends[0], TCSANOW, &settings), 0);
    ck_assert_int_ge(setsid(), 0);
    ck_assert_int_eq(ioctl(ends[0], TIOCSCTTY, 0), 0);
    signal(SIGHUP, SIG_IGN);
    job = fork();
    if (job == 0) { /* in the background, with the actions of a program that thinks of no signals */
        struct Fixture own;
        ck_assert_int_eq(setpgid(0, 0), 0);
        if (ofAnother)
            ck_assert_int_eq(seteuid(NOBODY), 0);
        memset(&recorder, 0, sizeof(recorder));
        fixtureOpen(&own, 0, 0, 0);
        openFile(&own, fcntl(ends[0], F_DUPFD_CLOEXEC, 0), &recorder);
        transmitText(recorder.socket, "written");
        waitDrained(&recorder);
        writeText(ends[1], "typed");
        for (int turn = 0; turn < 10; turn++)
            WaitForFastRing(own.ring, 10, NULL);
        ck_assert_int_eq(recorder.in + recorder.err + recorder.hup, 0);
        ReleaseFastSocket(recorder.socket);
        fixtureClose(&own);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(job, &jobStatus, WUNTRACED), job);
    if (jobStatus != 0) {
        kill(job, SIGKILL);
        _exit(1);
    }
    expectRead(ends[1], "written");
    _exit(0);
}

/* §2.5 kinds: it writes, gets nothing, and is not stopped, whatever the terminal's settings say */
START_TEST(worksInBackground)
{
    int status = -1;
    pid_t leader = fork();

    ck_assert_int_ge(leader, 0);
    if (leader == 0)
        useInBackground();
    ck_assert_int_eq(waitpid(leader, &status, 0), leader);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* §2.5 kinds: what is opened besides is gone with the socket, and never a terminal's master */
START_TEST(keepsNoDescriptor)
{
    for (enum Thing thing = 0; thing < THING_COUNT; thing++) {
        int before = countDescriptors();
        openWriter(thing, &recorder);
        transmitPattern(recorder.socket, MEBIBYTE, 0);
        runIdle(fixture.ring);
        AbortFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        close(ends[0]);
        ck_assert_int_eq(countDescriptors(), before);
    }
}
END_TEST

/* §2.5 waiting: what the library opens for itself never takes the place of a standard descriptor */
START_TEST(leavesStandardDescriptors)
{
    for (enum Thing thing = 0; thing < THING_COUNT; thing++) {
        openReader(thing);
        for (int handle = 0; handle <= STDERR_FILENO; handle++)
            close(handle);
        ck_assert_int_eq(write(ends[1], "word\n", 5), 5);
        waitInput(&recorder, 1);
        for (int handle = 0; handle <= STDERR_FILENO; handle++)
            ck_assert_int_eq(fcntl(handle, F_GETFD), -1);
        for (int handle = 0; handle <= STDERR_FILENO; handle++)
            ck_assert_int_eq(open("/dev/null", O_RDWR), handle);
        closeThief();
        AbortFastSocket(recorder.socket);
        close(ends[1]);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
    }
}
END_TEST

/* §2.5 waiting: a forked child that closes the descriptor it knows keeps nothing of the file */
START_TEST(childKeepsNothing)
{
    int gate[2];
    char byte;

    openReader(THING_FIFO);
    ck_assert_int_eq(write(ends[1], "word\n", 5), 5);
    waitInput(&recorder, 1);
    closeThief();
    pairStream(gate);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        close(gate[1]);
        sendText(gate[0], "closed");
        _exit(read(gate[0], &byte, 1) != 0); /* until the parent has looked */
    }
    ck_assert_int_gt(child, 0);
    close(gate[0]);
    expectText(gate[1], "closed");
    ReleaseFastSocket(recorder.socket);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(write(ends[1], "x", 1), -1);
    ck_assert_int_eq(errno, EPIPE);
    close(gate[1]);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    close(ends[1]);
}
END_TEST

static void addArea(Suite* suite, const char* name, void (*open)(void))
{
    TCase* area = tcase_create(name);

    tcase_add_checked_fixture(area, open, tearDown);
    tcase_add_test(area, goesOnWithoutStolenInput);
    tcase_add_test(area, goesOnWithoutFlushedInput);
    tcase_add_test(area, goesOnWithAnySettings);
    tcase_add_test(area, endsWhileReading);
    tcase_add_test(area, readsToTheEnd);
    tcase_add_test(area, waitsForRoom);
    tcase_add_test(area, survivesBreakWhileWaiting);
    tcase_add_test(area, writesPackets);
    tcase_add_test(area, worksInBackground);
    tcase_add_test(area, keepsNoDescriptor);
    tcase_add_test(area, leavesStandardDescriptors);
    tcase_add_test(area, childKeepsNothing);
    suite_add_tcase(suite, area);
}

int main(void)
{
    Suite* suite = suite_create("file-wait");
    TCase* crowd = tcase_create("file-wait-crowd");

    addArea(suite, "file-wait", setUp);
    addArea(suite, "file-wait-old", setUpOld);
    addArea(suite, "file-wait-of-another", setUpOfAnother);
    addArea(suite, "file-wait-old-of-another", setUpOldOfAnother);
    tcase_add_checked_fixture(crowd, openNothing, openNothing);
    tcase_add_test(crowd, servesBesideTheStuck);
    tcase_add_test(crowd, servesBesideTheStuckOfAnother);
    suite_add_tcase(suite, crowd);
    return runSuite(suite);
}
