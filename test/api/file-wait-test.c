/*
 * FASTSOCKET_MODE_FILE_IO: nobody waits for a file whose peer does nothing, whatever the kernel
 * has: not the loop, not the files beside it, not the program's end. Each case runs as this kernel
 * would, and as an old one; and each with files that may be opened once more, and with files of
 * another user's, which may not.
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

static int ends[2]; /* the one that is read, the one that is written, of a terminal either */
static int thief; /* a reader of the same that doesn't wait, or -1 */
static bool ofAnother;

static void setUp(void)
{
    signal(SIGPIPE, SIG_DFL);
    ofAnother = false;
    openScene();
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
    closeScene();
}

AREA(fileWaitOldOfAnother, "file-wait-old-of-another", .open = setUpOldOfAnother,
     .close = tearDown);
AREA(fileWaitOfAnother, "file-wait-of-another", .open = setUpOfAnother, .close = tearDown,
     .again = &fileWaitOldOfAnotherArea);
AREA(fileWaitOld, "file-wait-old", .open = setUpOld, .close = tearDown,
     .again = &fileWaitOfAnotherArea);
AREA(fileWait, "file-wait", .open = setUp, .close = tearDown, .again = &fileWaitOldArea);

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
    openFile(&scene, ends[0], &scene.ours);
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
    openFile(&scene, ends[1], writer);
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
        waitInput(&scene.ours, 1);
        length += (size_t)ReceiveFastSocketData(scene.ours.socket, data + length,
                                                sizeof(data) - length - 1, 0);
    }
}

static void readBeside(enum Thing thing, void (*take)(void))
{
    openReader(thing);
    for (int round = 0; round < 300; round++) {
        writeText(ends[1], "a");
        runTurns(scene.ring, round % 4); /* a poll has reported it, or not, or it is read */
        take();
        runTurns(scene.ring, 2);
    }
    runIdle(scene.ring);
    while (GetFastSocketInboundLength(scene.ours.socket) > 0) {
        ReleaseFastBuffer(ReceiveFastSocketBuffer(scene.ours.socket));
        runIdle(scene.ring);
    }
    ck_assert_int_eq(scene.ours.hup, 0);
    closeThief();
    expectLast("mine");
    AbortFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    close(ends[1]);
}

/* §2.5 waiting: what another reader takes between poll and read is not waited for */
CASE(fileWait, goesOnWithoutStolenInput)
{
    for (enum Thing thing = 0; thing < THING_MASTER; thing++)
        readBeside(thing, steal);
}

/* §2.5 waiting: nor is what a terminal has flushed */
CASE(fileWait, goesOnWithoutFlushedInput)
{
    void (*const ways[])(void) = {flush, flushOther};

    for (int way = 0; way < 2; way++) {
        readBeside(THING_SLAVE, ways[way]);
        readBeside(THING_MASTER, ways[way]);
    }
}

/* §2.5 waiting: nor is more than there is, in any settings of the terminal */
CASE(fileWait, goesOnWithAnySettings)
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
            receiveText(&scene.ours, "typed");
            runTurns(scene.ring, 3);
            ck_assert_int_eq(scene.ours.hup, 0);
        }
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        close(ends[1]);
    }
}

/* §2.5 waiting, §2.1 ring released with live sockets: a read that came too late doesn't keep its
 * file, nor the ring */
CASE(fileWait, endsWhileReading)
{
    for (int round = 0; round < 16; round++) {
        openReader(round & 1 ? THING_MASTER : THING_SLAVE);
        closeThief();
        runTurns(scene.ring, 2);
        writeText(ends[1], "a");
        runTurns(scene.ring, round / 2 % 4);
        if (round & 1)
            flushOther();
        else
            flush();
        runTurns(scene.ring, 3);
        if (round == 15) {
            endRing();
            ck_assert_int_eq(scene.ours.hup, 1);
        }
        ReleaseFastSocket(scene.ours.socket);
        if (round < 15)
            waitFor(scene.ring, isNothingPending, scene.ring);
        close(ends[1]);
    }
}

/* §2.5 EOF, §2.5 waiting: each is read to its end */
CASE(fileWait, readsToTheEnd)
{
    for (enum Thing thing = 0; thing < THING_COUNT; thing++) {
        openReader(thing);
        closeThief();
        runTurns(scene.ring, 2);
        for (int round = 0; round < 20; round++) {
            writeText(ends[1], "some text");
            receiveText(&scene.ours, "some text");
        }
        close(ends[1]);
        waitHangup(&scene.ours);
        expectOrderlyEnd(&scene.ours);
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

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
        (void)WaitForFastRing(scene.ring, count > 0 ? 0 : 1, NULL);
    }
    ck_assert_uint_eq(position, size);
    waitDrained(writer);
}

/* §2.5 writes, §2.5 waiting: a peer that is slow stops nobody, and gets all in the end */
CASE(fileWait, waitsForRoom)
{
    for (enum Thing thing = 0; thing < THING_COUNT; thing++) {
        uint64_t before = 0;

        openWriter(thing, &scene.ours);
        transmitPattern(scene.ours.socket, LONG, 0);
        transmitPattern(scene.ours.socket, 10, LONG);
        for (uint64_t length = MEBIBYTE; GetFastSocketOutboundLength(scene.ours.socket) < length;) {
            length = GetFastSocketOutboundLength(scene.ours.socket);
            for (int turn = 0; turn < 5; turn++)
                (void)WaitForFastRing(scene.ring, 5, NULL);
            runIdle(scene.ring);
        }
        ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
        before = readRing(scene.ring).completions;
        runTurns(scene.ring, 200);
        ck_assert_msg(readRing(scene.ring).completions - before <= 60, "thing %d: %d completions",
                      thing, (int)(readRing(scene.ring).completions - before));
        expectAll(&scene.ours, LONG + 10);
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        close(ends[0]);
    }
}

/* Reads until so much has come. */
static void expectBytes(size_t size)
{
    static char data[65536];
    size_t position = 0;

    for (int idle = 0; position < size && idle < 60000; idle++) {
        ssize_t count = read(ends[0], data, sizeof(data));
        if (count > 0) {
            position += (size_t)count;
            idle = 0;
        }
        (void)WaitForFastRing(scene.ring, count > 0 ? 0 : 1, NULL);
    }
    ck_assert_uint_eq(position, size);
}

/* §2.5 waiting: a terminal that makes two bytes of a line's end has room for less than it says */
CASE(fileWait, waitsForRoomOfLines)
{
    static char lines[LONG / 16];
    struct termios settings;

    memset(lines, '\n', sizeof(lines));
    openWriter(THING_SLAVE, &scene.ours);
    ck_assert_int_eq(tcgetattr(ends[1], &settings), 0);
    settings.c_oflag |= OPOST | ONLCR;
    ck_assert_int_eq(tcsetattr(ends[1], TCSANOW, &settings), 0);
    for (int count = 0; count < 16; count++)
        ck_assert_int_eq(
            TransmitFastSocketData(scene.ours.socket, NULL, 0, lines, sizeof(lines), 0), 0);
    for (size_t length = SIZE_MAX; GetFastSocketOutboundLength(scene.ours.socket) < length;) {
        length = GetFastSocketOutboundLength(scene.ours.socket);
        for (int turn = 0; turn < 5; turn++)
            (void)WaitForFastRing(scene.ring, 5, NULL);
        runIdle(scene.ring);
    }
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
    expectBytes(2 * 16 * sizeof(lines));
    waitDrained(&scene.ours);
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    close(ends[0]);
}

static bool isFull(void* closure)
{
    struct pollfd state = {.fd = *(int*)closure, .events = POLLOUT};

    return poll(&state, 1, 0) == 0;
}

/* §2.5 SIGPIPE: the reader goes while a write waits for room; and any later turn is as harmless */
CASE(fileWait, survivesBreakWhileWaiting)
{
    for (enum Thing thing = THING_PIPE; thing <= THING_FIFO_NONBLOCK; thing++) {
        openWriter(thing, &scene.ours);
        transmitPattern(scene.ours.socket, MEBIBYTE, 0);
        waitFor(scene.ring, isFull, &ends[1]);
        for (int turn = 0; turn < 10; turn++) /* the next write is under way */
            ck_assert_int_eq(WaitForFastRing(scene.ring, 5, NULL), 0);
        close(ends[0]);
        waitHangup(&scene.ours);
        expectFailure(&scene.ours, EPIPE);
        runTurns(scene.ring, 10);
        ReleaseFastSocket(scene.ours.socket);
    }
}

/* §2.5 writes: the packets of a pipe in packet mode stay apart, also when the mode is set later */
CASE(fileWait, writesPackets)
{
    char data[64];

    for (int late = 0; late < 2; late++) {
        openWriter(THING_PIPE, &scene.ours);
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        close(ends[0]);
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC | (late ? 0 : O_DIRECT)), 0);
        openFile(&scene, ends[1], &scene.ours);
        if (late) {
            transmitText(scene.ours.socket, "stream");
            waitDrained(&scene.ours);
            ck_assert_int_eq((int)read(ends[0], data, sizeof(data)), 6);
            ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_DIRECT), 0);
        }
        for (int index = 0; index < 3; index++) {
            transmitText(scene.ours.socket, "packet");
            if (late)
                waitDrained(&scene.ours);
        }
        waitDrained(&scene.ours);
        for (int index = 0; index < 3; index++)
            ck_assert_int_eq((int)read(ends[0], data, sizeof(data)), 6);
        ReleaseFastSocket(scene.ours.socket);
        close(ends[0]);
    }
}

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
    openScene();
    for (int index = 0; index < CROWD; index++) {
        openWriter(thing, &stuck[index]);
        peers[index] = ends[0];
        transmitPattern(stuck[index].socket, MEBIBYTE, 0);
    }
    runIdle(scene.ring);
    openWriter(thing, &scene.ours);
    transmitPattern(scene.ours.socket, LONG, 0);
    expectAll(&scene.ours, LONG);
    ReleaseFastSocket(scene.ours.socket);
    close(ends[0]);
    for (int index = 0; index < CROWD; index++) {
        ck_assert_uint_gt(GetFastSocketOutboundLength(stuck[index].socket), 0);
        AbortFastSocket(stuck[index].socket);
    }
    waitFor(scene.ring, isNothingPending, scene.ring);
    for (int index = 0; index < CROWD; index++)
        close(peers[index]);
    closeScene();
}

/* The thread sanitizer takes two minutes for all of them, and as long for each: of those a pipe and
 * a FIFO have the same threads as the others. */
#if defined(__SANITIZE_THREAD__)
#define NEXT_THING 3
#else
#define NEXT_THING 1
#endif

static void expectServed(bool old)
{
    for (enum Thing thing = 0; thing < THING_COUNT; thing += NEXT_THING) {
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

/* Twelve processes with fifty files each: the bound is that of a hang also where others have a
 * shorter one. */
AREA(fileWaitCrowd, "file-wait-crowd", .timeout = 240);

/* §2.5 waiting: those whose peers do nothing take nothing from the others, neither threads nor
 * turns */
CASE(fileWaitCrowd, servesBesideTheStuck)
{
    if (geteuid() != 0)
        skipTest("only root has a user without processes");
    expectServed(false);
    expectServed(true);
}

/* §2.5 waiting: … also if their files can't be opened once more */
CASE(fileWaitCrowd, servesBesideTheStuckOfAnother)
{
    if (geteuid() != 0)
        skipTest("only root has a user without processes");
    ofAnother = true;
    expectServed(false);
    expectServed(true);
    ofAnother = false;
}

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
        struct Scene own;
        ck_assert_int_eq(setpgid(0, 0), 0);
        if (ofAnother)
            ck_assert_int_eq(seteuid(NOBODY), 0);
        memset(&scene.ours, 0, sizeof(scene.ours));
        sceneOpen(&own, (struct SceneOptions){0});
        openFile(&own, fcntl(ends[0], F_DUPFD_CLOEXEC, 0), &scene.ours);
        transmitText(scene.ours.socket, "written");
        waitDrained(&scene.ours);
        writeText(ends[1], "typed");
        for (int turn = 0; turn < 10; turn++)
            WaitForFastRing(own.ring, 10, NULL);
        ck_assert_int_eq(scene.ours.in + scene.ours.err + scene.ours.hup, 0);
        ReleaseFastSocket(scene.ours.socket);
        sceneClose(&own);
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
CASE(fileWait, worksInBackground)
{
    int status = -1;
    pid_t leader = fork();

    ck_assert_int_ge(leader, 0);
    if (leader == 0)
        useInBackground();
    ck_assert_int_eq(waitpid(leader, &status, 0), leader);
    ck_assert_int_eq(status, 0);
}

/* §2.5 kinds: what is opened besides is gone with the socket, and never a terminal's master */
CASE(fileWait, keepsNoDescriptor)
{
    for (enum Thing thing = 0; thing < THING_COUNT; thing++) {
        int before = countDescriptors();
        openWriter(thing, &scene.ours);
        transmitPattern(scene.ours.socket, MEBIBYTE, 0);
        runIdle(scene.ring);
        AbortFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        close(ends[0]);
        ck_assert_int_eq(countDescriptors(), before);
    }
}

/* §2.5 waiting: what the library opens for itself never takes the place of a standard descriptor */
CASE(fileWait, leavesStandardDescriptors)
{
    for (enum Thing thing = 0; thing < THING_COUNT; thing++) {
        openReader(thing);
        for (int handle = 0; handle <= STDERR_FILENO; handle++)
            close(handle);
        ck_assert_int_eq(write(ends[1], "word\n", 5), 5);
        waitInput(&scene.ours, 1);
        for (int handle = 0; handle <= STDERR_FILENO; handle++)
            ck_assert_int_eq(fcntl(handle, F_GETFD), -1);
        for (int handle = 0; handle <= STDERR_FILENO; handle++)
            ck_assert_int_eq(open("/dev/null", O_RDWR), handle);
        closeThief();
        AbortFastSocket(scene.ours.socket);
        close(ends[1]);
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* §2.5 waiting: a forked child that closes the descriptor it knows keeps nothing of the file */
CASE(fileWait, childKeepsNothing)
{
    int gate[2];
    char byte;

    openReader(THING_FIFO);
    ck_assert_int_eq(write(ends[1], "word\n", 5), 5);
    waitInput(&scene.ours, 1);
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
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(write(ends[1], "x", 1), -1);
    ck_assert_int_eq(errno, EPIPE);
    close(gate[1]);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    close(ends[1]);
}
