/* FASTSOCKET_MODE_FILE_IO: what may be opened, and how it is read. */
#include "files.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

enum
{
    MEBIBYTE = 1 << 20,
};

static struct Fixture fixture;
static struct Recorder recorder;
static struct Recorder other;
static int ends[2];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void refuse(int error, int handle, struct msghdr* message, int mode)
{
    int before = fcntl(handle, F_GETFD);

    errno = 0;
    ck_assert_ptr_null(CreateFastSocket(fixture.ring, fixture.provider, fixture.inbound,
                                        fixture.outbound, handle, message, 0, mode, 0, recordEvent,
                                        &recorder));
    ck_assert_int_eq(errno, error);
    ck_assert_int_eq(fcntl(handle, F_GETFD), before);
}

static void* writePattern(void* closure)
{
    int handle = *(int*)closure;
    char* data = malloc(8 * MEBIBYTE);

    ck_assert_ptr_nonnull(data);
    fillPattern(data, 8 * MEBIBYTE, 0);
    writeAll(handle, data, 8 * MEBIBYTE);
    free(data);
    close(handle);
    return NULL;
}

static void takeInput(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)parameter;
    if (event == POLLIN)
        *(uint64_t*)self->closure = takePattern(socket, *(uint64_t*)self->closure);
}

/* Reads 8 MiB that another thread writes. */
static void readMuch(void)
{
    uint64_t position = 0;
    pthread_t thread;

    recorder.then = takeInput;
    recorder.closure = &position;
    openFile(&fixture, ends[0], &recorder);
    ck_assert_int_eq(pthread_create(&thread, NULL, writePattern, &ends[1]), 0);
    waitHangup(&recorder);
    expectOrderlyEnd(&recorder);
    ck_assert_uint_eq(position, 8 * MEBIBYTE);
    pthread_join(thread, NULL);
    ReleaseFastSocket(recorder.socket);
}

/* §2.5 kinds, §2.5 EOF: a pipe, blocking or not, is read to its end */
START_TEST(readsPipe)
{
    const int flags[] = {0, O_NONBLOCK};

    for (size_t index = 0; index < sizeof(flags) / sizeof(flags[0]); index++) {
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        ck_assert_int_eq(fcntl(ends[0], F_SETFL, flags[index]), 0);
        readMuch();
    }
}
END_TEST

/* §2.5 kinds: so is a FIFO */
START_TEST(readsFifo)
{
    openFifo(ends, 0);
    readMuch();
    openFifo(ends, 0);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    readMuch();
}
END_TEST

/* §2.5 EOF: a FIFO that nobody has opened for writing yet is not at its end */
START_TEST(awaitsWriterOfFifo)
{
    const int flags[] = {0, O_NONBLOCK};
    char directory[] = "/tmp/fastsocket-fifo-XXXXXX";
    char path[sizeof(directory) + 8];

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/fifo", directory);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    for (size_t index = 0; index < sizeof(flags) / sizeof(flags[0]); index++) {
        ends[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        ck_assert_int_eq(fcntl(ends[0], F_SETFL, flags[index]), 0);
        openFile(&fixture, ends[0], &recorder);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.hup, 0);
        ends[1] = open(path, O_WRONLY | O_CLOEXEC);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.hup, 0);
        writeText(ends[1], "at last");
        receiveText(&recorder, "at last");
        ck_assert_int_eq(recorder.hup, 0);
        close(ends[1]);
        waitHangup(&recorder);
        expectOrderlyEnd(&recorder);
        ReleaseFastSocket(recorder.socket);
    }
    unlink(path);
    rmdir(directory);
}
END_TEST

/* §2.5 kinds: a regular file, until its end */
START_TEST(readsRegularFile)
{
    uint64_t position = 0;
    char* data = malloc(3 * MEBIBYTE);

    ck_assert_ptr_nonnull(data);
    fillPattern(data, 3 * MEBIBYTE, 0);
    ends[0] = openTemporary();
    writeAll(ends[0], data, 3 * MEBIBYTE);
    free(data);
    ck_assert_int_eq((int)lseek(ends[0], 0, SEEK_SET), 0);
    recorder.then = takeInput;
    recorder.closure = &position;
    openFile(&fixture, ends[0], &recorder);
    waitHangup(&recorder);
    expectOrderlyEnd(&recorder);
    ck_assert_uint_eq(position, 3 * MEBIBYTE);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.5 kinds: from where its position is; an empty rest is the end at once */
START_TEST(readsFromPosition)
{
    for (int offset = 6; offset <= 11; offset += 5) {
        ends[0] = openTemporary();
        writeText(ends[0], "hello world");
        ck_assert_int_eq((int)lseek(ends[0], offset, SEEK_SET), offset);
        openFile(&fixture, ends[0], &recorder);
        waitHangup(&recorder);
        expectOrderlyEnd(&recorder);
        if (offset == 6)
            receiveText(&recorder, "world");
        ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 0);
        ReleaseFastSocket(recorder.socket);
    }
}
END_TEST

/* §2.5 kinds: character devices: /dev/null ends at once, /dev/zero never does and is held at the mark */
START_TEST(readsDevices)
{
    uint8_t bytes[64];
    uint8_t zeros[64] = {0};
    uint64_t high = 64 * 1024;

    openFile(&fixture, open("/dev/null", O_RDWR | O_CLOEXEC), &recorder);
    waitHangup(&recorder);
    expectOrderlyEnd(&recorder);
    transmitText(recorder.socket, "into the void");
    waitDrained(&recorder);
    ReleaseFastSocket(recorder.socket);

    openFile(&fixture, open("/dev/zero", O_RDONLY | O_CLOEXEC), &recorder);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, high);
    waitInput(&recorder, high);
    runIdle(fixture.ring);
    ck_assert_uint_lt(GetFastSocketInboundLength(recorder.socket), 3 * high);
    for (size_t total = 0; total < 10 * high; total += sizeof(bytes)) {
        waitInput(&recorder, sizeof(bytes));
        memset(bytes, 1, sizeof(bytes));
        ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, bytes, sizeof(bytes), 0),
                         sizeof(bytes));
        ck_assert_mem_eq(bytes, zeros, sizeof(bytes));
    }
    ReleaseFastSocket(recorder.socket);

    openFile(&fixture, open("/dev/urandom", O_RDONLY | O_CLOEXEC), &recorder);
    waitInput(&recorder, 100);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.5 kinds, §2.5 EOF: an eventfd gives eight bytes each time */
START_TEST(readsEventfd)
{
    const int flags[] = {0, EFD_NONBLOCK};

    for (size_t index = 0; index < sizeof(flags) / sizeof(flags[0]); index++) {
        ends[0] = eventfd(0, EFD_CLOEXEC | flags[index]);
        ends[1] = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
        openFile(&fixture, ends[0], &recorder);
        for (uint64_t count = 1; count < 20; count++) {
            uint64_t value = 0;
            writeAll(ends[1], &count, sizeof(count));
            waitInput(&recorder, sizeof(value));
            ck_assert_int_eq(recorder.parameterIn, sizeof(value));
            ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, &value, sizeof(value), 0),
                             sizeof(value));
            ck_assert_uint_eq(value, count);
        }
        ck_assert_int_eq(recorder.in, 19);
        ReleaseFastSocket(recorder.socket);
        close(ends[1]);
    }
}
END_TEST

/* §2.5 kinds, §2.5 writes: counts written to an eventfd are not lost by gathering */
START_TEST(writesEventfd)
{
    const uint64_t counts[] = {3, 4, 5};
    uint64_t sum = 0;

    ends[0] = eventfd(0, EFD_CLOEXEC);
    ends[1] = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    openFile(&fixture, ends[0], &recorder);
    PauseFastSocket(recorder.socket); /* it would read what it writes */
    for (size_t index = 0; index < 3; index++)
        ck_assert_int_eq(
            TransmitFastSocketData(recorder.socket, NULL, 0, &counts[index], sizeof(uint64_t), 0), 0);
    waitDrained(&recorder);
    readAll(ends[1], &sum, sizeof(sum));
    ck_assert_uint_eq(sum, 12);
    ReleaseFastSocket(recorder.socket);
    close(ends[1]);
}
END_TEST

/* §2.5 kinds: a timerfd */
START_TEST(readsTimerfd)
{
    struct itimerspec once = {.it_value = {.tv_nsec = 1000000}};
    uint64_t expirations = 0;

    ends[0] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    ck_assert_int_eq(timerfd_settime(ends[0], 0, &once, NULL), 0);
    openFile(&fixture, ends[0], &recorder);
    waitInput(&recorder, sizeof(expirations));
    ck_assert_int_eq(
        ReceiveFastSocketData(recorder.socket, &expirations, sizeof(expirations), 0),
        sizeof(expirations));
    ck_assert_uint_eq(expirations, 1);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.5 kinds: a signalfd */
START_TEST(readsSignalfd)
{
    struct signalfd_siginfo information;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    openFile(&fixture, signalfd(-1, &set, SFD_CLOEXEC), &recorder);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
        waitInput(&recorder, sizeof(information));
        ck_assert_int_eq(
            ReceiveFastSocketData(recorder.socket, &information, sizeof(information), 0),
            sizeof(information));
        ck_assert_uint_eq(information.ssi_signo, SIGUSR1);
    }
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.5 kinds: a socket works in this mode as without it */
START_TEST(takesSockets)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET, KIND_UNIX_DATAGRAM, KIND_UDP};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        pairKind(kinds[index], ends);
        openFile(&fixture, ends[0], &recorder);
        sendText(ends[1], "question");
        receiveText(&recorder, "question");
        transmitText(recorder.socket, "answer");
        waitDrained(&recorder);
        expectText(ends[1], "answer");
        ReleaseFastSocket(recorder.socket);
        close(ends[1]);
    }
    pairTcp(ends);
    openFile(&fixture, ends[0], &recorder);
    close(ends[1]);
    waitHangup(&recorder);
    expectOrderlyEnd(&recorder);
    ck_assert_int_eq(ShutdownFastSocket(recorder.socket), 0);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.5 EOF: a terminal's line, its end of file, and its settings are left alone */
START_TEST(readsTerminal)
{
    struct termios before = {0};
    struct termios after = {0};

    openTerminal(ends, false);
    ck_assert_int_eq(tcgetattr(ends[1], &before), 0);
    openFile(&fixture, ends[0], &recorder);
    for (int round = 0; round < 10; round++) {
        writeText(ends[1], "a line\n");
        receiveText(&recorder, "a line\n");
    }
    transmitText(recorder.socket, "an answer");
    waitDrained(&recorder);
    expectRead(ends[1], "an answer");
    ck_assert_int_eq(recorder.hup, 0);
    writeText(ends[1], "\004"); /* ^D */
    waitHangup(&recorder);
    expectOrderlyEnd(&recorder);
    transmitText(recorder.socket, "still here");
    waitDrained(&recorder);
    expectRead(ends[1], "still here");
    ck_assert_int_eq(tcgetattr(ends[1], &after), 0);
    ck_assert_mem_eq(&before, &after, sizeof(before));
    ReleaseFastSocket(recorder.socket);
    close(ends[1]);
}
END_TEST

/* §2.5 EOF: a terminal whose reads may return with nothing has not ended for that */
START_TEST(readsWithoutMinimum)
{
    struct termios settings;
    char byte = 0;
    int thief = -1;

    openTerminal(ends, true);
    ck_assert_int_eq(tcgetattr(ends[0], &settings), 0);
    settings.c_cc[VMIN] = 0;
    settings.c_cc[VTIME] = 0;
    ck_assert_int_eq(tcsetattr(ends[0], TCSANOW, &settings), 0);
    thief = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    openFile(&fixture, ends[0], &recorder);
    for (int round = 0; round < 200; round++) {
        /* Sometimes the poll has told of what the other reader takes then. */
        writeText(ends[1], "a");
        runTurns(fixture.ring, round % 3);
        (void)!read(thief, &byte, 1);
        runTurns(fixture.ring, 2);
        ck_assert_int_eq(recorder.hup, 0);
    }
    while (GetFastSocketInboundLength(recorder.socket) > 0)
        ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, &byte, 1, 0), 1);
    writeText(ends[1], "mine");
    receiveText(&recorder, "mine");
    close(thief);
    close(ends[1]);
    waitHangup(&recorder);
    expectOrderlyEnd(&recorder);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.5 EOF: the hang-up of a terminal, idle or behind input, at either side, blocking or not */
START_TEST(hearsHangup)
{
    const int flags[] = {0, O_NONBLOCK};

    for (int round = 0; round < 8; round++) {
        int side = round & 1;
        bool input = round & 2;
        openTerminal(ends, true);
        ck_assert_int_eq(fcntl(ends[side], F_SETFL, flags[round >> 2]), 0);
        openFile(&fixture, ends[side], &recorder);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.hup, 0);
        if (input && side == 1)
            writeText(ends[0], "last words"); /* a terminal that is hung up drops its own unread input */
        close(ends[1 - side]);
        waitHangup(&recorder);
        expectOrderlyEnd(&recorder);
        if (input && side == 1)
            receiveText(&recorder, "last words");
        ReleaseFastSocket(recorder.socket);
    }
}
END_TEST

/* §2.5 EOF: a terminal that is only written tells its hang-up too */
START_TEST(hearsHangupOfWriter)
{
    int writer = -1;

    openTerminal(ends, true);
    writer = open(ttyname(ends[0]), O_WRONLY | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(writer, 0);
    close(ends[0]);
    openFile(&fixture, writer, &recorder);
    transmitText(recorder.socket, "written");
    waitDrained(&recorder);
    expectRead(ends[1], "written");
    ck_assert_int_eq(recorder.hup, 0);
    close(ends[1]);
    waitHangup(&recorder);
    expectOrderlyEnd(&recorder);
    transmitText(recorder.socket, "too late");
    waitFor(fixture.ring, hasFailed, &recorder);
    ck_assert_int_eq(recorder.lastError, EIO);
    ck_assert_int_eq(recorder.hup, 1);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.5 EOF: while paused, a terminal's hang-up waits for the resume */
START_TEST(hearsHangupAfterResume)
{
    openTerminal(ends, true);
    openFile(&fixture, ends[0], &recorder);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    close(ends[1]);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.hup, 0);
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    waitHangup(&recorder);
    expectOrderlyEnd(&recorder);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* A session's leader whose terminal another job has, for a while. */
static void readInBackground(void)
{
    struct Fixture own;
    uint64_t before = 0;
    pid_t job = 0;

    fixtureOpen(&own, 0, 0, 0);
    openTerminal(ends, false);
    ck_assert_int_ge(setsid(), 0);
    ck_assert_int_eq(ioctl(ends[0], TIOCSCTTY, 0), 0);
    signal(SIGTTOU, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    job = fork();
    if (job == 0)
        for (;;)
            pause();
    ck_assert_int_eq(setpgid(job, job), 0);
    ck_assert_int_eq(tcsetpgrp(ends[0], job), 0);
    openFile(&own, ends[0], &recorder);
    writeText(ends[1], "typed\n");
    before = readRing(own.ring).completions;
    for (int turn = 0; turn < 10; turn++)
        WaitForFastRing(own.ring, 10, NULL);
    ck_assert_uint_lt(readRing(own.ring).completions - before, 50);
    ck_assert_int_eq(recorder.in + recorder.err + recorder.hup, 0);
    ck_assert_int_eq(tcsetpgrp(ends[0], getpgrp()), 0);
    receiveText(&recorder, "typed\n");
    kill(job, SIGKILL);
    waitpid(job, NULL, 0);
    ReleaseFastSocket(recorder.socket);
    waitFor(own.ring, isNothingPending, own.ring);
    close(ends[1]);
    fixtureClose(&own);
}

/* §2.5 kinds: a device that polls readable and has nothing all the same is not asked over and over */
START_TEST(restsWithoutData)
{
    int handle = open("/dev/hwrng", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (handle < 0)
        skipTest("no /dev/hwrng");
    openFile(&fixture, handle, &recorder);
    waitCount(fixture.ring, &recorder.in, 20);
    ck_assert_uint_lt(readRing(fixture.ring).completions, 400);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.5 kinds: a job in the background gets nothing of what is typed, and is no worse off for it */
START_TEST(awaitsForeground)
{
    int status = -1;
    pid_t leader = fork();

    ck_assert_int_ge(leader, 0);
    if (leader == 0) {
        readInBackground();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(leader, &status, 0), leader);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* §2.5 EOF: reads that are cancelled or fail give their buffers back: none is missing in the end */
START_TEST(keepsBuffers)
{
    fixtureClose(&fixture);
    fixtureOpen(&fixture, 0, 2, 0);
    for (int round = 0; round < 12; round++) {
        openTerminal(ends, true);
        openFile(&fixture, ends[1], &recorder);
        runIdle(fixture.ring);
        for (int cancel = 0; cancel < 3; cancel++) {
            PauseFastSocket(recorder.socket);
            runIdle(fixture.ring);
            ResumeFastSocket(recorder.socket);
            runIdle(fixture.ring);
        }
        close(ends[0]);
        waitHangup(&recorder);
        ReleaseFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ends[0] = openTemporary();
        openFile(&fixture, ends[0], &recorder);
        waitHangup(&recorder);
        ReleaseFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_uint_eq(readRing(fixture.ring).providedBuffers, 2);
    }
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    readMuch();
}
END_TEST

/* §2.5 kinds: one buffer serves several pipes, and an idle terminal beside them doesn't keep it */
START_TEST(sharesBuffers)
{
    struct Recorder recorders[5] = {0};
    int terminal[2];
    int writers[5];

    fixtureClose(&fixture);
    fixtureOpen(&fixture, 0, 1, 64);
    openTerminal(terminal, true);
    openFile(&fixture, terminal[0], &recorder);
    runIdle(fixture.ring);
    for (int index = 0; index < 5; index++) {
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        openFile(&fixture, ends[0], &recorders[index]);
        writers[index] = ends[1];
    }
    for (int round = 0; round < 20; round++) {
        for (int index = 0; index < 5; index++)
            writeText(writers[index], "some text");
        for (int index = 0; index < 5; index++)
            receiveText(&recorders[index], "some text");
    }
    for (int index = 0; index < 5; index++) {
        close(writers[index]);
        waitHangup(&recorders[index]);
        expectOrderlyEnd(&recorders[index]);
        ReleaseFastSocket(recorders[index].socket);
    }
    writeText(terminal[1], "at last");
    receiveText(&recorder, "at last");
    ReleaseFastSocket(recorder.socket);
    close(terminal[1]);
}
END_TEST

/* §2.5 direction: what is read only is not written, and gives no POLLOUT */
START_TEST(refusesWritingToReader)
{
    struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, 10, 0);
    struct iovec vector = {.iov_base = "text", .iov_len = 4};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    openFile(&fixture, ends[0], &recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 0);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "text", 4, 0), -EBADF);
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EBADF);
    ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, NULL, 0, buffer, 0, 4, 0), -EBADF);
    ck_assert_int_eq(
        TransmitFastSocketDescriptor(recorder.socket,
                                     AllocateFastRingDescriptor(fixture.ring, NULL, NULL), NULL),
        -EBADF);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    close(ends[1]);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.5 direction, §2.2 ring, provider, inbound: what is written only needs no provider and is not read */
START_TEST(opensWriterWithoutProvider)
{
    char byte = 0;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_ptr_null(CreateFastSocket(fixture.ring, NULL, NULL, NULL, ends[1], NULL, 0,
                                        FASTSOCKET_MODE_FILE_IO, 0, recordEvent, &recorder));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(CreateFastSocket(fixture.ring, NULL, NULL, fixture.outbound, ends[0], NULL, 0,
                                        FASTSOCKET_MODE_FILE_IO, 0, recordEvent, &recorder));
    ck_assert_int_eq(errno, EINVAL);
    recorder.socket = CreateFastSocket(fixture.ring, NULL, NULL, fixture.outbound, ends[1], NULL, 0,
                                       FASTSOCKET_MODE_FILE_IO, 0, recordEvent, &recorder);
    ck_assert_ptr_nonnull(recorder.socket);
    transmitText(recorder.socket, "text");
    waitDrained(&recorder);
    expectRead(ends[0], "text");
    runIdle(fixture.ring);
    ck_assert_int_ge(recorder.out, 1);
    ck_assert_int_eq(recorder.hup, 0);
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, &byte, 1, 0), -EBADF);
    errno = 0;
    ck_assert_ptr_null(ReceiveFastSocketBuffer(recorder.socket));
    ck_assert_int_eq(errno, EBADF);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    ReleaseFastSocket(recorder.socket);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ck_assert_int_eq((int)read(ends[0], &byte, 1), 0);
    close(ends[0]);
}
END_TEST

/* §2.2 mode, §2.2 returns: what FILE_IO refuses */
START_TEST(refusesBadHandles)
{
    struct msghdr message = {.msg_namelen = 16};
    struct sockaddr_storage address;
    socklen_t length = 0;
    int handle = -1;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    refuse(ENOTSOCK, ends[0], NULL, 0);
    refuse(EINVAL, ends[0], NULL, FASTSOCKET_MODE_FILE_IO | FASTSOCKET_MODE_ZERO_COPY);
    refuse(EINVAL, ends[0], &message, FASTSOCKET_MODE_FILE_IO);
    refuse(EINVAL, ends[0], NULL, FASTSOCKET_MODE_FILE_IO | 1);
    close(ends[0]);
    refuse(EBADF, ends[0], NULL, FASTSOCKET_MODE_FILE_IO);
    refuse(EBADF, -1, NULL, FASTSOCKET_MODE_FILE_IO);
    close(ends[1]);
    handle = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    refuse(EOPNOTSUPP, handle, NULL, FASTSOCKET_MODE_FILE_IO);
    close(handle);
    handle = open("/", O_PATH | O_CLOEXEC);
    refuse(EBADF, handle, NULL, FASTSOCKET_MODE_FILE_IO);
    close(handle);
    handle = listenTcp(&address, &length);
    refuse(EOPNOTSUPP, handle, NULL, FASTSOCKET_MODE_FILE_IO);
    close(handle);
}
END_TEST

/* §2.2 handle, §2.5 kinds: FD_CLOEXEC and O_NONBLOCK are left alone */
START_TEST(leavesFlagsAlone)
{
    ck_assert_int_eq(pipe(ends), 0);
    openFile(&fixture, ends[0], &recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(fcntl(ends[0], F_GETFD), 0);
    ck_assert_int_eq(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    ReleaseFastSocket(recorder.socket);
    close(ends[1]);
    pairTcp(ends);
    ck_assert_int_eq(fcntl(ends[0], F_SETFD, 0), 0);
    openFile(&fixture, ends[0], &recorder);
    ck_assert_int_eq(fcntl(ends[0], F_GETFD), 0);
    ReleaseFastSocket(recorder.socket);
    close(ends[1]);
}
END_TEST

/* §2.3 back-pressure: a file that is not read stops at its mark, and is lost by no byte */
START_TEST(stopsAtMark)
{
    uint64_t position = 0;
    pthread_t thread;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    openFile(&fixture, ends[0], &recorder);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 100000);
    ck_assert_int_eq(pthread_create(&thread, NULL, writePattern, &ends[1]), 0);
    while (recorder.hup == 0) {
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 10, NULL), 0);
        ck_assert_uint_lt(GetFastSocketInboundLength(recorder.socket), 100000 + MEBIBYTE);
        if (GetFastSocketInboundLength(recorder.socket) >= 100000) {
            runIdle(fixture.ring);
            position = takePattern(recorder.socket, position);
        }
    }
    position = takePattern(recorder.socket, position);
    ck_assert_uint_eq(position, 8 * MEBIBYTE);
    ck_assert_uint_gt(readSocket(recorder.socket).receivePauses, 0);
    pthread_join(thread, NULL);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.6 mark released: what is unread at the release stays for others who have the file open */
START_TEST(leavesRestToOthers)
{
    int reader = -1;

    for (int round = 0; round < 2; round++) {
        if (round == 0)
            ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        else
            openTerminal(ends, true);
        reader = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
        openFile(&fixture, ends[0], &recorder);
        runIdle(fixture.ring);
        writeText(ends[1], "mine");
        receiveText(&recorder, "mine");
        ReleaseFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        writeText(ends[1], "yours");
        runIdle(fixture.ring);
        expectRead(reader, "yours");
        close(reader);
        close(ends[1]);
    }
}
END_TEST

static bool isWritten(void* closure)
{
    char data[4096];

    while (read(ends[1], data, sizeof(data)) > 0)
        continue;
    return isNothingPending(closure);
}

/* §2.6 mark released: nor is a byte read while a release still writes */
START_TEST(leavesRestWhileFlushing)
{
    int reader = -1;

    openTerminal(ends, true);
    reader = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    openFile(&fixture, ends[0], &recorder);
    PauseFastSocket(recorder.socket);
    runIdle(fixture.ring);
    transmitPattern(recorder.socket, MEBIBYTE, 0);
    ReleaseFastSocket(recorder.socket);
    runIdle(fixture.ring);
    ck_assert_uint_eq(GetFastRingPending(fixture.ring), 1);
    writeText(ends[1], "yours");
    runIdle(fixture.ring);
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    waitFor(fixture.ring, isWritten, fixture.ring);
    expectRead(reader, "yours");
    close(reader);
    close(ends[1]);
}
END_TEST

/* §2.1 ring released with live sockets: files hear of it, with reads, writes and polls in flight */
START_TEST(endsWithRing)
{
    int pipes[2];

    openTerminal(ends, true);
    openFile(&fixture, ends[0], &recorder);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    openFile(&fixture, pipes[1], &other);
    transmitPattern(recorder.socket, MEBIBYTE, 0); /* more than either takes */
    transmitPattern(other.socket, MEBIBYTE, 0);
    runIdle(fixture.ring);
    ReleaseFastRing(fixture.ring);
    fixture.ring = NULL;
    ck_assert_int_eq(recorder.lastHangup, ECANCELED);
    ck_assert_int_eq(other.lastHangup, ECANCELED);
    ck_assert_int_eq(TransmitFastSocketData(other.socket, NULL, 0, "x", 1, 0), -EPIPE);
    ReleaseFastSocket(recorder.socket);
    ReleaseFastSocket(other.socket);
    close(ends[1]);
    close(pipes[0]);
}
END_TEST

static void releaseAtOnce(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)event, (void)parameter, (void)self;
    ReleaseFastSocket(socket);
}

/* §2.1 release inside a callback: a file may be released in any of its events */
START_TEST(releasesInsideHandler)
{
    for (int event = 0; event < 3; event++) {
        memset(&recorder, 0, sizeof(recorder));
        recorder.then = releaseAtOnce;
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        openFile(&fixture, ends[event == 2], &recorder);
        if (event == 0)
            writeText(ends[1], "input");
        if (event == 1)
            close(ends[1]);
        waitCount(fixture.ring, &recorder.events, 1);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_int_eq(recorder.events, 1);
        if (event != 1)
            close(ends[event == 0]);
        else
            continue;
    }
}
END_TEST

/* §2.7 mode, §2.7 read at EOF: a terminal as a FILE* */
START_TEST(readsTerminalAsStream)
{
    char line[64] = "";
    FILE* stream = NULL;

    openTerminal(ends, false);
    openFile(&fixture, ends[0], &recorder);
    stream = GetFastSocketStream(recorder.socket, 1);
    ck_assert_ptr_nonnull(stream);
    for (int round = 0; round < 3; round++) {
        writeText(ends[1], "typed\n");
        waitInput(&recorder, 6);
        ck_assert_ptr_nonnull(fgets(line, sizeof(line), stream));
        ck_assert_str_eq(line, "typed\n");
        ck_assert_int_gt(fprintf(stream, "%d", round), 0);
        waitDrained(&recorder);
        expectRead(ends[1], (const char*[]){"0", "1", "2"}[round]);
    }
    writeText(ends[1], "\004");
    waitHangup(&recorder);
    ck_assert_ptr_null(fgets(line, sizeof(line), stream));
    ck_assert_int_ne(feof(stream), 0);
    noteRelease(recorder.socket);
    fclose(stream);
    close(ends[1]);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("file");
    TCase* area = tcase_create("file");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, readsPipe);
    tcase_add_test(area, readsFifo);
    tcase_add_test(area, awaitsWriterOfFifo);
    tcase_add_test(area, readsRegularFile);
    tcase_add_test(area, readsFromPosition);
    tcase_add_test(area, readsDevices);
    tcase_add_test(area, readsEventfd);
    tcase_add_test(area, writesEventfd);
    tcase_add_test(area, readsTimerfd);
    tcase_add_test(area, readsSignalfd);
    tcase_add_test(area, takesSockets);
    tcase_add_test(area, readsTerminal);
    tcase_add_test(area, readsWithoutMinimum);
    tcase_add_test(area, hearsHangup);
    tcase_add_test(area, hearsHangupOfWriter);
    tcase_add_test(area, hearsHangupAfterResume);
    tcase_add_test(area, restsWithoutData);
    tcase_add_test(area, awaitsForeground);
    tcase_add_test(area, keepsBuffers);
    tcase_add_test(area, sharesBuffers);
    tcase_add_test(area, refusesWritingToReader);
    tcase_add_test(area, opensWriterWithoutProvider);
    tcase_add_test(area, refusesBadHandles);
    tcase_add_test(area, leavesFlagsAlone);
    tcase_add_test(area, stopsAtMark);
    tcase_add_test(area, leavesRestToOthers);
    tcase_add_test(area, leavesRestWhileFlushing);
    tcase_add_test(area, endsWithRing);
    tcase_add_test(area, releasesInsideHandler);
    tcase_add_test(area, readsTerminalAsStream);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
