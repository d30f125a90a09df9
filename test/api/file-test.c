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

static struct Recorder other;
static int ends[2];

SCENE_AREA(file, "file");

static void refuse(int error, int handle, struct msghdr* message, int mode)
{
    int before = fcntl(handle, F_GETFD);

    errno = 0;
    ck_assert_ptr_null(CreateFastSocket(scene.ring, scene.provider, scene.inbound,
                                        scene.outbound, handle, message, 0, mode, 0, recordEvent,
                                        &scene.ours));
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

    scene.ours.then = takeInput;
    scene.ours.closure = &position;
    openFile(&scene, ends[0], &scene.ours);
    ck_assert_int_eq(pthread_create(&thread, NULL, writePattern, &ends[1]), 0);
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
    ck_assert_uint_eq(position, 8 * MEBIBYTE);
    pthread_join(thread, NULL);
    ReleaseFastSocket(scene.ours.socket);
}

/* §2.5 kinds, §2.5 EOF: a pipe, blocking or not, is read to its end */
CASE(file, readsPipe)
{
    const int flags[] = {0, O_NONBLOCK};

    for (size_t index = 0; index < sizeof(flags) / sizeof(flags[0]); index++) {
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        ck_assert_int_eq(fcntl(ends[0], F_SETFL, flags[index]), 0);
        readMuch();
    }
}

/* §2.5 kinds: so is a FIFO */
CASE(file, readsFifo)
{
    openFifo(ends, 0);
    readMuch();
    openFifo(ends, 0);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    readMuch();
}

/* §2.5 EOF: a FIFO that nobody has opened for writing yet is not at its end */
CASE(file, awaitsWriterOfFifo)
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
        openFile(&scene, ends[0], &scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.hup, 0);
        ends[1] = open(path, O_WRONLY | O_CLOEXEC);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.hup, 0);
        writeText(ends[1], "at last");
        receiveText(&scene.ours, "at last");
        ck_assert_int_eq(scene.ours.hup, 0);
        close(ends[1]);
        waitHangup(&scene.ours);
        expectOrderlyEnd(&scene.ours);
        ReleaseFastSocket(scene.ours.socket);
    }
    unlink(path);
    rmdir(directory);
}

/* §2.5 kinds: a regular file, until its end */
CASE(file, readsRegularFile)
{
    uint64_t position = 0;
    char* data = malloc(3 * MEBIBYTE);

    ck_assert_ptr_nonnull(data);
    fillPattern(data, 3 * MEBIBYTE, 0);
    ends[0] = openTemporary();
    writeAll(ends[0], data, 3 * MEBIBYTE);
    free(data);
    ck_assert_int_eq((int)lseek(ends[0], 0, SEEK_SET), 0);
    scene.ours.then = takeInput;
    scene.ours.closure = &position;
    openFile(&scene, ends[0], &scene.ours);
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
    ck_assert_uint_eq(position, 3 * MEBIBYTE);
}

/* §2.5 kinds: from where its position is; an empty rest is the end at once */
CASE(file, readsFromPosition)
{
    for (int offset = 6; offset <= 11; offset += 5) {
        ends[0] = openTemporary();
        writeText(ends[0], "hello world");
        ck_assert_int_eq((int)lseek(ends[0], offset, SEEK_SET), offset);
        openFile(&scene, ends[0], &scene.ours);
        waitHangup(&scene.ours);
        expectOrderlyEnd(&scene.ours);
        if (offset == 6)
            receiveText(&scene.ours, "world");
        ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
        ReleaseFastSocket(scene.ours.socket);
    }
}

/* §2.5 kinds: character devices: /dev/null ends at once, /dev/zero never does and is held at the
 * mark */
CASE(file, readsDevices)
{
    uint8_t bytes[64];
    uint8_t zeros[64] = {0};
    uint64_t high = 64 * 1024;

    openFile(&scene, open("/dev/null", O_RDWR | O_CLOEXEC), &scene.ours);
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
    transmitText(scene.ours.socket, "into the void");
    waitDrained(&scene.ours);
    ReleaseFastSocket(scene.ours.socket);

    openFile(&scene, open("/dev/zero", O_RDONLY | O_CLOEXEC), &scene.ours);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, high);
    waitInput(&scene.ours, high);
    runIdle(scene.ring);
    ck_assert_uint_lt(GetFastSocketInboundLength(scene.ours.socket), 3 * high);
    for (size_t total = 0; total < 10 * high; total += sizeof(bytes)) {
        waitInput(&scene.ours, sizeof(bytes));
        memset(bytes, 1, sizeof(bytes));
        ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, bytes, sizeof(bytes), 0),
                         sizeof(bytes));
        ck_assert_mem_eq(bytes, zeros, sizeof(bytes));
    }
    ReleaseFastSocket(scene.ours.socket);

    openFile(&scene, open("/dev/urandom", O_RDONLY | O_CLOEXEC), &scene.ours);
    waitInput(&scene.ours, 100);
}

/* §2.5 kinds, §2.5 EOF: an eventfd gives eight bytes each time */
CASE(file, readsEventfd)
{
    const int flags[] = {0, EFD_NONBLOCK};

    for (size_t index = 0; index < sizeof(flags) / sizeof(flags[0]); index++) {
        ends[0] = eventfd(0, EFD_CLOEXEC | flags[index]);
        ends[1] = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
        openFile(&scene, ends[0], &scene.ours);
        for (uint64_t count = 1; count < 20; count++) {
            uint64_t value = 0;
            writeAll(ends[1], &count, sizeof(count));
            waitInput(&scene.ours, sizeof(value));
            ck_assert_int_eq(scene.ours.parameterIn, sizeof(value));
            ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, &value, sizeof(value), 0),
                             sizeof(value));
            ck_assert_uint_eq(value, count);
        }
        ck_assert_int_eq(scene.ours.in, 19);
        ReleaseFastSocket(scene.ours.socket);
        close(ends[1]);
    }
}

/* §2.5 kinds, §2.5 writes: counts written to an eventfd are not lost by gathering */
CASE(file, writesEventfd)
{
    const uint64_t counts[] = {3, 4, 5};
    uint64_t sum = 0;

    ends[0] = eventfd(0, EFD_CLOEXEC);
    ends[1] = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    openFile(&scene, ends[0], &scene.ours);
    PauseFastSocket(scene.ours.socket); /* it would read what it writes */
    for (size_t index = 0; index < 3; index++)
        ck_assert_int_eq(
            TransmitFastSocketData(scene.ours.socket, NULL, 0, &counts[index], sizeof(uint64_t), 0),
            0);
    waitDrained(&scene.ours);
    readAll(ends[1], &sum, sizeof(sum));
    ck_assert_uint_eq(sum, 12);
    ReleaseFastSocket(scene.ours.socket);
    close(ends[1]);
}

/* §2.5 kinds: a timerfd */
CASE(file, readsTimerfd)
{
    struct itimerspec once = {.it_value = {.tv_nsec = 1000000}};
    uint64_t expirations = 0;

    ends[0] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    ck_assert_int_eq(timerfd_settime(ends[0], 0, &once, NULL), 0);
    openFile(&scene, ends[0], &scene.ours);
    waitInput(&scene.ours, sizeof(expirations));
    ck_assert_int_eq(
        ReceiveFastSocketData(scene.ours.socket, &expirations, sizeof(expirations), 0),
        sizeof(expirations));
    ck_assert_uint_eq(expirations, 1);
}

/* §2.5 kinds: a signalfd */
CASE(file, readsSignalfd)
{
    struct signalfd_siginfo information;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    openFile(&scene, signalfd(-1, &set, SFD_CLOEXEC), &scene.ours);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
        waitInput(&scene.ours, sizeof(information));
        ck_assert_int_eq(
            ReceiveFastSocketData(scene.ours.socket, &information, sizeof(information), 0),
            sizeof(information));
        ck_assert_uint_eq(information.ssi_signo, SIGUSR1);
    }
}

/* §2.5 kinds: a socket works in this mode as without it */
CASE(file, takesSockets)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET, KIND_UNIX_DATAGRAM,
                               KIND_UDP};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        pairKind(kinds[index], ends);
        openFile(&scene, ends[0], &scene.ours);
        sendText(ends[1], "question");
        receiveText(&scene.ours, "question");
        transmitText(scene.ours.socket, "answer");
        waitDrained(&scene.ours);
        expectText(ends[1], "answer");
        ReleaseFastSocket(scene.ours.socket);
        close(ends[1]);
    }
    pairTcp(ends);
    openFile(&scene, ends[0], &scene.ours);
    close(ends[1]);
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
}

/* §2.5 EOF: a terminal's line, its end of file, and its settings are left alone */
CASE(file, readsTerminal)
{
    struct termios before = {0};
    struct termios after = {0};

    openTerminal(ends, false);
    ck_assert_int_eq(tcgetattr(ends[1], &before), 0);
    openFile(&scene, ends[0], &scene.ours);
    for (int round = 0; round < 10; round++) {
        writeText(ends[1], "a line\n");
        receiveText(&scene.ours, "a line\n");
    }
    transmitText(scene.ours.socket, "an answer");
    waitDrained(&scene.ours);
    expectRead(ends[1], "an answer");
    ck_assert_int_eq(scene.ours.hup, 0);
    writeText(ends[1], "\004"); /* ^D */
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
    transmitText(scene.ours.socket, "still here");
    waitDrained(&scene.ours);
    expectRead(ends[1], "still here");
    ck_assert_int_eq(tcgetattr(ends[1], &after), 0);
    ck_assert_mem_eq(&before, &after, sizeof(before));
    ReleaseFastSocket(scene.ours.socket);
    close(ends[1]);
}

/* §2.5 EOF: a terminal whose reads may return with nothing has not ended for that */
CASE(file, readsWithoutMinimum)
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
    openFile(&scene, ends[0], &scene.ours);
    for (int round = 0; round < 200; round++) {
        /* Sometimes the poll has reported what the other reader takes then. */
        writeText(ends[1], "a");
        runTurns(scene.ring, round % 3);
        (void)!read(thief, &byte, 1);
        runTurns(scene.ring, 2);
        ck_assert_int_eq(scene.ours.hup, 0);
    }
    while (GetFastSocketInboundLength(scene.ours.socket) > 0)
        ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 1);
    writeText(ends[1], "mine");
    receiveText(&scene.ours, "mine");
    close(thief);
    close(ends[1]);
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
}

/* §2.5 EOF: the hang-up of a terminal, idle or behind input, at either side, blocking or not */
CASE(file, hearsHangup)
{
    const int flags[] = {0, O_NONBLOCK};

    for (int round = 0; round < 8; round++) {
        int side = round & 1;
        bool input = round & 2;
        openTerminal(ends, true);
        ck_assert_int_eq(fcntl(ends[side], F_SETFL, flags[round >> 2]), 0);
        openFile(&scene, ends[side], &scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.hup, 0);
        if (input && side == 1)
            /* a terminal that is hung up drops its own unread input */
            writeText(ends[0], "last words");
        close(ends[1 - side]);
        waitHangup(&scene.ours);
        expectOrderlyEnd(&scene.ours);
        if (input && side == 1)
            receiveText(&scene.ours, "last words");
        ReleaseFastSocket(scene.ours.socket);
    }
}

/* §2.5 EOF: a terminal that is only written tells its hang-up too */
CASE(file, hearsHangupOfWriter)
{
    int writer = -1;

    openTerminal(ends, true);
    writer = open(ttyname(ends[0]), O_WRONLY | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(writer, 0);
    close(ends[0]);
    openFile(&scene, writer, &scene.ours);
    transmitText(scene.ours.socket, "written");
    waitDrained(&scene.ours);
    expectRead(ends[1], "written");
    ck_assert_int_eq(scene.ours.hup, 0);
    close(ends[1]);
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
    transmitText(scene.ours.socket, "too late");
    waitFor(scene.ring, hasFailed, &scene.ours);
    ck_assert_int_eq(scene.ours.lastError, EIO);
    ck_assert_int_eq(scene.ours.hup, 1);
}

/* §2.5 EOF: while paused, a terminal's hang-up waits for the resume */
CASE(file, hearsHangupAfterResume)
{
    openTerminal(ends, true);
    openFile(&scene, ends[0], &scene.ours);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    close(ends[1]);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.hup, 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
}

/* A session's leader whose terminal another job has, for a while. */
static void readInBackground(void)
{
    struct Scene own;
    uint64_t before = 0;
    pid_t job = 0;

    sceneOpen(&own, (struct SceneOptions){0});
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
    openFile(&own, ends[0], &scene.ours);
    writeText(ends[1], "typed\n");
    before = readRing(own.ring).completions;
    for (int turn = 0; turn < 10; turn++)
        WaitForFastRing(own.ring, 10, NULL);
    ck_assert_uint_lt(readRing(own.ring).completions - before, 50);
    ck_assert_int_eq(scene.ours.in + scene.ours.err + scene.ours.hup, 0);
    ck_assert_int_eq(tcsetpgrp(ends[0], getpgrp()), 0);
    receiveText(&scene.ours, "typed\n");
    kill(job, SIGKILL);
    waitpid(job, NULL, 0);
    ReleaseFastSocket(scene.ours.socket);
    waitFor(own.ring, isNothingPending, own.ring);
    close(ends[1]);
    sceneClose(&own);
}

/* §2.5 kinds: a job in the background gets nothing of what is typed, and is no worse off for it */
CASE(file, awaitsForeground)
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

/* §2.5 EOF: reads that are cancelled or fail give their buffers back: none is missing in the end */
CASE(file, keepsBuffers)
{
    reopenScene(.buffers = 2);
    for (int round = 0; round < 12; round++) {
        openTerminal(ends, true);
        openFile(&scene, ends[1], &scene.ours);
        runIdle(scene.ring);
        for (int cancel = 0; cancel < 3; cancel++) {
            PauseFastSocket(scene.ours.socket);
            runIdle(scene.ring);
            ResumeFastSocket(scene.ours.socket);
            runIdle(scene.ring);
        }
        close(ends[0]);
        waitHangup(&scene.ours);
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        ends[0] = openTemporary();
        openFile(&scene, ends[0], &scene.ours);
        waitHangup(&scene.ours);
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_uint_eq(readRing(scene.ring).providedBuffers, 2);
    }
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    readMuch();
}

/* §2.5 kinds: one buffer serves several pipes, and an idle terminal beside them doesn't keep it */
CASE(file, sharesBuffers)
{
    struct Recorder recorders[5] = {0};
    int terminal[2];
    int writers[5];

    reopenScene(.buffers = 1, .bufferLength = 64);
    openTerminal(terminal, true);
    openFile(&scene, terminal[0], &scene.ours);
    runIdle(scene.ring);
    for (int index = 0; index < 5; index++) {
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        openFile(&scene, ends[0], &recorders[index]);
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
    receiveText(&scene.ours, "at last");
    ReleaseFastSocket(scene.ours.socket);
    close(terminal[1]);
}

/* §2.5 direction: what is read only is not written, and gives no POLLOUT */
CASE(file, refusesWritingToReader)
{
    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, 10, 0);
    struct iovec vector = {.iov_base = "text", .iov_len = 4};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    openFile(&scene, ends[0], &scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 0);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "text", 4, 0), -EBADF);
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), -EBADF);
    ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, 4, 0), -EBADF);
    ck_assert_int_eq(
        TransmitFastSocketDescriptor(scene.ours.socket,
                                     AllocateFastRingDescriptor(scene.ring, NULL, NULL), NULL),
        -EBADF);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
    close(ends[1]);
}

/* §2.5 direction, §2.2 ring, provider, inbound: what is written only needs no provider and is
 * not read */
CASE(file, opensWriterWithoutProvider)
{
    char byte = 0;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_ptr_null(CreateFastSocket(scene.ring, NULL, NULL, NULL, ends[1], NULL, 0,
                                        FASTSOCKET_MODE_FILE_IO, 0, recordEvent, &scene.ours));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(CreateFastSocket(scene.ring, NULL, NULL, scene.outbound, ends[0], NULL, 0,
                                        FASTSOCKET_MODE_FILE_IO, 0, recordEvent, &scene.ours));
    ck_assert_int_eq(errno, EINVAL);
    scene.ours.socket = CreateFastSocket(scene.ring, NULL, NULL, scene.outbound, ends[1], NULL, 0,
                                       FASTSOCKET_MODE_FILE_IO, 0, recordEvent, &scene.ours);
    ck_assert_ptr_nonnull(scene.ours.socket);
    transmitText(scene.ours.socket, "text");
    waitDrained(&scene.ours);
    expectRead(ends[0], "text");
    runIdle(scene.ring);
    ck_assert_int_ge(scene.ours.out, 1);
    ck_assert_int_eq(scene.ours.hup, 0);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), -EBADF);
    errno = 0;
    ck_assert_ptr_null(ReceiveFastSocketBuffer(scene.ours.socket));
    ck_assert_int_eq(errno, EBADF);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq((int)read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

/* §2.2 mode, §2.2 returns: what FILE_IO refuses */
CASE(file, refusesBadHandles)
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

/* §2.2 handle, §2.5 kinds: FD_CLOEXEC and O_NONBLOCK are left alone */
CASE(file, leavesFlagsAlone)
{
    ck_assert_int_eq(pipe(ends), 0);
    openFile(&scene, ends[0], &scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(fcntl(ends[0], F_GETFD), 0);
    ck_assert_int_eq(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    ReleaseFastSocket(scene.ours.socket);
    close(ends[1]);
    pairTcp(ends);
    ck_assert_int_eq(fcntl(ends[0], F_SETFD, 0), 0);
    openFile(&scene, ends[0], &scene.ours);
    ck_assert_int_eq(fcntl(ends[0], F_GETFD), 0);
    ReleaseFastSocket(scene.ours.socket);
    close(ends[1]);
}

/* §2.3 back-pressure: a file that is not read stops at its mark, and is lost by no byte */
CASE(file, stopsAtMark)
{
    uint64_t position = 0;
    pthread_t thread;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    openFile(&scene, ends[0], &scene.ours);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 100000);
    ck_assert_int_eq(pthread_create(&thread, NULL, writePattern, &ends[1]), 0);
    while (scene.ours.hup == 0) {
        ck_assert_int_eq(WaitForFastRing(scene.ring, 10, NULL), 0);
        ck_assert_uint_lt(GetFastSocketInboundLength(scene.ours.socket), 100000 + MEBIBYTE);
        if (GetFastSocketInboundLength(scene.ours.socket) >= 100000) {
            runIdle(scene.ring);
            position = takePattern(scene.ours.socket, position);
        }
    }
    position = takePattern(scene.ours.socket, position);
    ck_assert_uint_eq(position, 8 * MEBIBYTE);
    ck_assert_uint_gt(readSocket(scene.ours.socket).receivePauses, 0);
    pthread_join(thread, NULL);
}

/* §2.6 mark released: what is unread at the release stays for others who have the file open */
CASE(file, leavesRestToOthers)
{
    int reader = -1;

    for (int round = 0; round < 2; round++) {
        if (round == 0)
            ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        else
            openTerminal(ends, true);
        reader = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
        openFile(&scene, ends[0], &scene.ours);
        runIdle(scene.ring);
        writeText(ends[1], "mine");
        receiveText(&scene.ours, "mine");
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        writeText(ends[1], "yours");
        runIdle(scene.ring);
        expectRead(reader, "yours");
        close(reader);
        close(ends[1]);
    }
}

static bool isWritten(void* closure)
{
    char data[4096];

    while (read(ends[1], data, sizeof(data)) > 0)
        continue;
    return isNothingPending(closure);
}

/* §2.6 mark released: nor is a byte read while a release still writes */
CASE(file, leavesRestWhileFlushing)
{
    int reader = -1;

    openTerminal(ends, true);
    reader = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    openFile(&scene, ends[0], &scene.ours);
    PauseFastSocket(scene.ours.socket);
    runIdle(scene.ring);
    transmitPattern(scene.ours.socket, MEBIBYTE, 0);
    ReleaseFastSocket(scene.ours.socket);
    runIdle(scene.ring);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
    writeText(ends[1], "yours");
    runIdle(scene.ring);
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    waitFor(scene.ring, isWritten, scene.ring);
    expectRead(reader, "yours");
    close(reader);
    close(ends[1]);
}

/* §2.1 ring released with live sockets: files hear of it, with reads, writes and polls in flight */
CASE(file, endsWithRing)
{
    int pipes[2];

    openTerminal(ends, true);
    openFile(&scene, ends[0], &scene.ours);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    openFile(&scene, pipes[1], &other);
    transmitPattern(scene.ours.socket, MEBIBYTE, 0); /* more than either takes */
    transmitPattern(other.socket, MEBIBYTE, 0);
    runIdle(scene.ring);
    endRing();
    ck_assert_int_eq(scene.ours.lastHangup, ECANCELED);
    ck_assert_int_eq(other.lastHangup, ECANCELED);
    ck_assert_int_eq(TransmitFastSocketData(other.socket, NULL, 0, "x", 1, 0), -EPIPE);
    ReleaseFastSocket(scene.ours.socket);
    ReleaseFastSocket(other.socket);
    close(ends[1]);
    close(pipes[0]);
}

static void releaseAtOnce(struct FastSocket* socket, int event, int parameter,
                          struct Recorder* self)
{
    (void)event, (void)parameter, (void)self;
    ReleaseFastSocket(socket);
}

/* §2.1 release inside a callback: a file may be released in any of its events */
CASE(file, releasesInsideHandler)
{
    for (int event = 0; event < 3; event++) {
        memset(&scene.ours, 0, sizeof(scene.ours));
        scene.ours.then = releaseAtOnce;
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        openFile(&scene, ends[event == 2], &scene.ours);
        if (event == 0)
            writeText(ends[1], "input");
        if (event == 1)
            close(ends[1]);
        waitCount(scene.ring, &scene.ours.events, 1);
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(scene.ours.events, 1);
        if (event != 1)
            close(ends[event == 0]);
        else
            continue;
    }
}

/* §2.7 mode, §2.7 read at EOF: a terminal as a FILE* */
CASE(file, readsTerminalAsStream)
{
    char line[64] = "";
    FILE* stream = NULL;

    openTerminal(ends, false);
    openFile(&scene, ends[0], &scene.ours);
    stream = GetFastSocketStream(scene.ours.socket, 1);
    ck_assert_ptr_nonnull(stream);
    for (int round = 0; round < 3; round++) {
        writeText(ends[1], "typed\n");
        waitInput(&scene.ours, 6);
        ck_assert_ptr_nonnull(fgets(line, sizeof(line), stream));
        ck_assert_str_eq(line, "typed\n");
        ck_assert_int_gt(fprintf(stream, "%d", round), 0);
        waitDrained(&scene.ours);
        expectRead(ends[1], (const char*[]){"0", "1", "2"}[round]);
    }
    writeText(ends[1], "\004");
    waitHangup(&scene.ours);
    ck_assert_ptr_null(fgets(line, sizeof(line), stream));
    ck_assert_int_ne(feof(stream), 0);
    noteRelease(scene.ours.socket);
    fclose(stream);
    close(ends[1]);
}

/* An operation of a file and what is linked behind it have room in every ring. */
CASE(file, worksOnTheSmallestRing)
{
    struct FastRing* ring = CreateFastRing(1);
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    struct FastRingBufferProvider* provider =
        CreateFastRingBufferProvider(ring, 0, 4, 4096, AllocateRingFastBuffer, pool);
    char data[8];

    ck_assert_int_eq(pipe(ends), 0);
    struct FastSocket* reader = CreateFastSocket(ring, provider, pool, NULL, ends[0], NULL, 0,
                                                 FASTSOCKET_MODE_FILE_IO, 0, NULL, NULL);
    struct FastSocket* writer = CreateFastSocket(ring, NULL, NULL, pool, ends[1], NULL, 0,
                                                 FASTSOCKET_MODE_FILE_IO, 0, NULL, NULL);
    ck_assert_int_eq(TransmitFastSocketData(writer, NULL, 0, "small", 5, 0), 0);
    for (int turn = 0; turn < 100 && GetFastSocketInboundLength(reader) < 5; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 10, NULL), 0);
    ck_assert_int_eq(ReceiveFastSocketData(reader, data, sizeof(data), 0), 5);
    ReleaseFastSocket(reader);
    ReleaseFastSocket(writer);
    ReleaseFastRing(ring);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(pool);
}
