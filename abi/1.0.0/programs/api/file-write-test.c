/* FASTSOCKET_MODE_FILE_IO: how files are written, and what their writers are spared. */
#include "files.h"

#include <liburing.h>
#include <pthread.h>
#include <signal.h>

enum
{
    MEBIBYTE = 1 << 20,
};

static struct Fixture fixture;
static struct Recorder recorder;
static int ends[2];
static volatile sig_atomic_t signals;

static void setUp(void)
{
    /* As a program that thinks of no signals: the default action would end it. */
    ck_assert_ptr_ne((void*)(uintptr_t)signal(SIGPIPE, SIG_DFL), (void*)(uintptr_t)SIG_ERR);
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

/* A pipe, or a FIFO, each blocking and not: four kinds. */
static void openPipe(int kind)
{
    int flags = kind & 1 ? O_NONBLOCK : 0;

    if (kind & 2)
        openFifo(ends, flags);
    else
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC | flags), 0);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, 0), 0); /* the reader of the tests waits */
}

struct Reader
{
    int handle;
    size_t size;
    bool good;
};

static void* readPattern(void* closure)
{
    struct Reader* reader = closure;
    char data[10000];
    uint64_t position = 0;

    reader->good = true;
    while (position < reader->size && reader->good) {
        ssize_t count = read(reader->handle, data, sizeof(data));
        reader->good = count > 0 && checkPattern(data, (size_t)count, position);
        position += (uint64_t)(count > 0 ? count : 0);
    }
    return NULL;
}

static void expectPattern(struct Recorder* writer, int handle, size_t size)
{
    struct Reader reader = {.handle = handle, .size = size};
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, readPattern, &reader), 0);
    waitDrained(writer);
    pthread_join(thread, NULL);
    ck_assert(reader.good);
}

/* §2.5 writes, §2.4 short count: much more than a pipe holds arrives whole and in order */
START_TEST(resumesShortWrites)
{
    for (int kind = 0; kind < 4; kind++) {
        openPipe(kind);
        openFile(&fixture, ends[1], &recorder);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.out, 1);
        transmitPattern(recorder.socket, 8 * MEBIBYTE, 0);
        expectPattern(&recorder, ends[0], 8 * MEBIBYTE);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.out, 2);
        ck_assert_uint_eq(readSocket(recorder.socket).sentBytes, 8 * MEBIBYTE);
        ReleaseFastSocket(recorder.socket);
        close(ends[0]);
    }
}
END_TEST

/* §2.5 writes: a full pipe is waited for, not tried again and again */
START_TEST(doesNotSpinWhenFull)
{
    for (int kind = 0; kind < 4; kind++) {
        uint64_t before = 0;

        openPipe(kind);
        openFile(&fixture, ends[1], &recorder);
        transmitPattern(recorder.socket, MEBIBYTE, 0);
        for (uint64_t length = MEBIBYTE + 1; GetFastSocketOutboundLength(recorder.socket) < length;) {
            length = GetFastSocketOutboundLength(recorder.socket);
            runIdle(fixture.ring);
        }
        before = readRing(fixture.ring).completions;
        runTurns(fixture.ring, 200);
        ck_assert_uint_le(readRing(fixture.ring).completions - before, 4);
        close(ends[0]);
        waitHangup(&recorder);
        ReleaseFastSocket(recorder.socket);
    }
}
END_TEST

/* §2.5 writes: a terminal that nobody reads doesn't stop the loop, nor those beside it */
START_TEST(goesOnBesideStoppedTerminal)
{
    struct Recorder echo = {0};
    int pair[2];

    openTerminal(ends, true);
    openFile(&fixture, ends[0], &recorder);
    transmitPattern(recorder.socket, MEBIBYTE, 0);
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &echo);
    for (int round = 0; round < 10; round++) {
        sendText(pair[1], "beside");
        receiveText(&echo, "beside");
        transmitText(echo.socket, "it");
        waitDrained(&echo);
        expectText(pair[1], "it");
    }
    ck_assert_uint_gt(GetFastSocketOutboundLength(recorder.socket), 0);
    expectPattern(&recorder, ends[1], MEBIBYTE);
    ReleaseFastSocket(echo.socket);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    close(ends[1]);
}
END_TEST

/* §2.4 order: Data, Message and Buffer in any mixture keep the order of the calls */
START_TEST(keepsOrder)
{
    const size_t sizes[] = {1, 700, 5000, 100000, 64, 300000, 3};
    uint64_t position = 0;

    openPipe(0);
    openFile(&fixture, ends[1], &recorder);
    for (int round = 0; round < 60; round++) {
        size_t size = sizes[round % 7];
        struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, size, 0);
        fillPattern(GetFastBufferData(buffer), size, position);
        if (round % 3 == 0)
            ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, NULL, 0, HoldFastBuffer(buffer), 0, size, 0), 0);
        else if (round % 3 == 1)
            ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, GetFastBufferData(buffer), size,
                                                    round & 1 ? MSG_MORE : MSG_NOSIGNAL),
                             0);
        else {
            struct iovec parts[2] = {
                {.iov_base = GetFastBufferData(buffer), .iov_len = size / 2},
                {.iov_base = GetFastBufferData(buffer) + size / 2, .iov_len = size - size / 2},
            };
            struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
            ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), 0);
        }
        ReleaseFastBuffer(buffer);
        position += size;
    }
    expectPattern(&recorder, ends[0], position);
    ReleaseFastSocket(recorder.socket);
    close(ends[0]);
}
END_TEST

/* §2.2 limit: a message of several pieces is kept apart from the one before it, too */
START_TEST(keepsLongMessagesApart)
{
    struct FastSocket* socket = NULL;
    char* data = calloc(1, MEBIBYTE);

    ck_assert_ptr_nonnull(data);
    openPipe(0);
    socket = CreateFastSocket(fixture.ring, fixture.provider, fixture.inbound, fixture.outbound, ends[1], NULL, 0,
                              FASTSOCKET_MODE_FILE_IO, 1, NULL, NULL);
    ck_assert_ptr_nonnull(socket);
    ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, data, 3, 0), 0);
    ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, data, MEBIBYTE, 0), 0);
    runIdle(fixture.ring); /* what a pipe holds */
    ck_assert_uint_eq(readSocket(socket).sentOperations, 2);
    AbortFastSocket(socket);
    close(ends[0]);
    free(data);
}
END_TEST

/* §2.5 writes: many small transmits become few writes, and one POLLOUT */
START_TEST(gathersWrites)
{
    openPipe(0);
    openFile(&fixture, ends[1], &recorder);
    runIdle(fixture.ring);
    for (uint64_t index = 0; index < 1000; index++)
        transmitPattern(recorder.socket, 10, index * 10);
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 2);
    ck_assert_uint_le(readSocket(recorder.socket).sentOperations, 4);
    expectPattern(&recorder, ends[0], 10000);
    ReleaseFastSocket(recorder.socket);
    close(ends[0]);
}
END_TEST

/* §2.5 kinds, §2.5 writes: a regular file is written behind its position, by three at once in order */
START_TEST(writesRegularFile)
{
    struct Reader reader = {.size = 3 * MEBIBYTE};

    ends[0] = openTemporary();
    reader.handle = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    writeText(ends[0], "head ");
    openFile(&fixture, ends[0], &recorder);
    PauseFastSocket(recorder.socket); /* one position for both */
    for (uint64_t piece = 0; piece < 3; piece++)
        transmitPattern(recorder.socket, MEBIBYTE, piece * MEBIBYTE);
    waitDrained(&recorder);
    ReleaseFastSocket(recorder.socket);
    ck_assert_int_eq((int)lseek(reader.handle, 5, SEEK_SET), 5);
    (void)readPattern(&reader);
    ck_assert(reader.good);
    close(reader.handle);
}
END_TEST

/* §2.4 return 0: a full device is POLLERR with ENOSPC, and what is queued behind is dropped */
START_TEST(tellsFullDevice)
{
    int handle = open("/dev/full", O_WRONLY | O_CLOEXEC);

    ck_assert_int_ge(handle, 0);
    openFile(&fixture, handle, &recorder);
    transmitPattern(recorder.socket, 100, 0);
    waitHangup(&recorder);
    expectFailure(&recorder, ENOSPC);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 100);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "x", 1, 0), -EPIPE);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.4 empty: a flush marker gives one POLLOUT */
START_TEST(marksWithNothing)
{
    openPipe(0);
    openFile(&fixture, ends[1], &recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, NULL, 0, 0), 0);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 2);
    ReleaseFastSocket(recorder.socket);
    close(ends[0]);
}
END_TEST

/* ---- SIGPIPE: its default action is in force in each of these ---- */

/* §2.5 SIGPIPE: a pipe without a reader is POLLERR(EPIPE) and POLLHUP(EPIPE), and the process lives */
START_TEST(survivesBrokenPipe)
{
    for (int kind = 0; kind < 4; kind++) {
        openPipe(kind);
        openFile(&fixture, ends[1], &recorder);
        runIdle(fixture.ring);
        close(ends[0]);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.err, 0); /* a FIFO may get another reader: only a write tells */
        transmitText(recorder.socket, "nobody reads this");
        waitHangup(&recorder);
        expectFailure(&recorder, EPIPE);
        ReleaseFastSocket(recorder.socket);
    }
}
END_TEST

/* §2.5 SIGPIPE: nor does it die of a write that waits when the reader goes */
START_TEST(survivesBreakWhileWaiting)
{
    for (int kind = 0; kind < 4; kind++) {
        openPipe(kind);
        openFile(&fixture, ends[1], &recorder);
        transmitPattern(recorder.socket, MEBIBYTE, 0);
        runIdle(fixture.ring);
        ck_assert_uint_gt(GetFastSocketOutboundLength(recorder.socket), 0);
        close(ends[0]);
        waitHangup(&recorder);
        expectFailure(&recorder, EPIPE);
        ReleaseFastSocket(recorder.socket);
    }
}
END_TEST

static struct FastRingDescriptor* prepare(void)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, NULL, NULL);

    ck_assert_ptr_nonnull(descriptor);
    return descriptor;
}

/* §2.5 SIGPIPE: the user's own WRITE, WRITEV and SPLICE raise none either, on pipes and on sockets */
START_TEST(survivesOwnOperations)
{
    for (int round = 0; round < 6; round++) {
        struct FastRingDescriptor* descriptor = prepare();
        struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
        struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, 64, 0);
        struct iovec* vector = (struct iovec*)GetFastBufferData(buffer);
        int source[2] = {-1, -1};
        int writer = -1;

        if (round < 3)
            openPipe(0);
        else
            pairStream(ends);
        writer = ends[1];
        *vector = (struct iovec){.iov_base = vector, .iov_len = 16};
        if (round % 3 == 0)
            io_uring_prep_write(entry, writer, vector, 16, 0);
        else if (round % 3 == 1)
            io_uring_prep_writev(entry, writer, vector, 1, 0);
        else {
            ck_assert_int_eq(pipe2(source, O_CLOEXEC), 0);
            writeText(source[1], "spliced");
            io_uring_prep_splice(entry, source[0], -1, writer, -1, 7, 0);
        }
        openFile(&fixture, writer, &recorder);
        close(ends[0]);
        ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
        waitFor(fixture.ring, hasFailed, &recorder);
        ck_assert_int_eq(recorder.lastError, EPIPE);
        ReleaseFastSocket(recorder.socket);
        if (source[0] >= 0) {
            close(source[0]);
            close(source[1]);
        }
    }
}
END_TEST

static void countSignal(int number)
{
    (void)number;
    signals++;
}

/* §2.5 SIGPIPE: the program's handler isn't called, its mask and a signal of its own stay as they were; also
 * where the loop waits with a mask that lets everything in */
START_TEST(leavesSignalsAlone)
{
    sigset_t pipeOnly;
    sigset_t none;
    sigset_t mask;
    struct timespec now = {0};

    sigemptyset(&none);
    sigemptyset(&pipeOnly);
    sigaddset(&pipeOnly, SIGPIPE);
    signal(SIGPIPE, countSignal);
    for (int blocked = 0; blocked < 2; blocked++) {
        openPipe(0);
        openFile(&fixture, ends[1], &recorder);
        close(ends[0]);
        ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, blocked ? &pipeOnly : &none, NULL), 0);
        if (blocked)
            ck_assert_int_eq(raise(SIGPIPE), 0); /* the program's own, waiting */
        transmitText(recorder.socket, "text");
        while (recorder.hup == 0)
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 100, blocked ? NULL : &none), 0);
        ck_assert_int_eq(signals, 0);
        ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
        ck_assert_int_eq(sigismember(&mask, SIGPIPE), blocked);
        ck_assert_int_eq(sigpending(&mask), 0);
        ck_assert_int_eq(sigismember(&mask, SIGPIPE), blocked);
        if (blocked)
            ck_assert_int_eq(sigtimedwait(&pipeOnly, NULL, &now), SIGPIPE);
        ck_assert_int_eq(sigtimedwait(&pipeOnly, NULL, &now), -1);
        ReleaseFastSocket(recorder.socket);
    }
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    ck_assert_int_eq(raise(SIGPIPE), 0); /* and it still reaches the program */
    ck_assert_int_eq(signals, 1);
}
END_TEST

/* ---- what is refused ---- */

/* §2.5 Message: data only; names, control data, addresses and other flags are refused */
START_TEST(refusesMetadata)
{
    const int flags[] = {MSG_OOB, MSG_EOR, MSG_CONFIRM, MSG_DONTROUTE, MSG_ZEROCOPY, MSG_WAITALL,
                         MSG_DONTWAIT, MSG_PEEK, 1 << 30};
    struct sockaddr address = {.sa_family = AF_UNIX};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vector = {.iov_base = "text", .iov_len = 4};

    for (int round = 0; round < 2; round++) {
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
        struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, 10, 0);
        if (round == 0)
            openPipe(0);
        else
            pairStream(ends);
        openFile(&fixture, ends[1], &recorder);
        for (size_t index = 0; index < sizeof(flags) / sizeof(flags[0]); index++) {
            ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "text", 4, flags[index]), -EINVAL);
            ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, flags[index]), -EINVAL);
        }
        ck_assert_int_eq(TransmitFastSocketData(recorder.socket, &address, sizeof(address), "text", 4, 0), -EINVAL);
        ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, &address, sizeof(address), buffer, 0, 4, 0), -EINVAL);
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EINVAL);
        message.msg_control = NULL;
        message.msg_controllen = 0;
        message.msg_name = &address;
        message.msg_namelen = sizeof(address);
        ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EINVAL);
        ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
        if (round == 0)
            ck_assert_int_eq(ShutdownFastSocket(recorder.socket), -EOPNOTSUPP);
        ReleaseFastSocket(recorder.socket);
        close(ends[0]);
    }
}
END_TEST

/* §2.4 TransmitFastSocketDescriptor ownership: sends are no operations of a file's */
START_TEST(refusesSends)
{
    for (int round = 0; round < 3; round++) {
        struct FastRingDescriptor* descriptor = prepare();
        struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
        struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, 64, 0);
        struct msghdr message = {0};
        openPipe(0);
        if (round == 0)
            io_uring_prep_send(entry, ends[1], GetFastBufferData(buffer), 4, 0);
        else if (round == 1)
            io_uring_prep_sendmsg(entry, ends[1], &message, 0);
        else
            io_uring_prep_send_zc(entry, ends[1], GetFastBufferData(buffer), 4, 0, 0);
        openFile(&fixture, ends[1], &recorder);
        ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), -EINVAL);
        ReleaseFastSocket(recorder.socket);
        close(ends[0]);
    }
}
END_TEST

/* §2.4 descriptor short count: the user's writes resume, and go where they say in a regular file */
START_TEST(writesWhereTold)
{
    struct FastRingDescriptor* descriptor = prepare();
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, MEBIBYTE, 0);
    int reader = -1;

    ends[0] = openTemporary();
    reader = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    writeText(ends[0], "0123456789");
    openFile(&fixture, ends[0], &recorder);
    PauseFastSocket(recorder.socket);
    memcpy(GetFastBufferData(buffer), "abc", 3);
    io_uring_prep_write(entry, ends[0], GetFastBufferData(buffer), 3, 4);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
    transmitText(recorder.socket, "end");
    waitDrained(&recorder);
    ck_assert_int_eq((int)lseek(reader, 0, SEEK_SET), 0);
    expectRead(reader, "0123abc789end");
    close(reader);
    ReleaseFastSocket(recorder.socket);

    for (int many = 0; many < 2; many++) {
        struct iovec parts[3];
        openPipe(0);
        openFile(&fixture, ends[1], &recorder);
        descriptor = prepare();
        entry = GetFastRingDescriptorSubmission(descriptor);
        buffer = AllocateFastBuffer(fixture.outbound, MEBIBYTE, 0);
        fillPattern(GetFastBufferData(buffer), MEBIBYTE, 0);
        for (size_t index = 0; index < 3; index++)
            parts[index] = (struct iovec){
                .iov_base = GetFastBufferData(buffer) + index * 300000,
                .iov_len = index < 2 ? 300000 : MEBIBYTE - 600000,
            };
        if (many)
            io_uring_prep_writev(entry, ends[1], parts, 3, 0);
        else
            io_uring_prep_write(entry, ends[1], GetFastBufferData(buffer), MEBIBYTE, 0);
        ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
        expectPattern(&recorder, ends[0], MEBIBYTE);
        ReleaseFastSocket(recorder.socket);
        close(ends[0]);
    }
}
END_TEST

/* ---- the end ---- */

/* §2.6 flush: a release writes what is queued, then closes, which the reader sees as the end */
START_TEST(flushesAtRelease)
{
    for (int kind = 0; kind < 4; kind++) {
        struct Reader reader = {.size = MEBIBYTE};
        pthread_t thread;
        char byte = 0;

        openPipe(kind);
        reader.handle = ends[0];
        openFile(&fixture, ends[1], &recorder);
        transmitPattern(recorder.socket, MEBIBYTE, 0);
        ReleaseFastSocket(recorder.socket);
        ck_assert_uint_eq(GetFastRingPending(fixture.ring), 1);
        ck_assert_int_eq(pthread_create(&thread, NULL, readPattern, &reader), 0);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        pthread_join(thread, NULL);
        ck_assert(reader.good);
        ck_assert_int_eq((int)read(ends[0], &byte, 1), 0);
        close(ends[0]);
    }
}
END_TEST

/* §2.6 flush: nobody reads: the release gives up after its timeout, an abort at once */
START_TEST(givesUpFlushing)
{
    for (int round = 0; round < 10; round++) {
        if (round < 8)
            openPipe(round & 3);
        else
            openTerminal(ends, true);
        openFile(&fixture, ends[round < 8], &recorder);
        transmitPattern(recorder.socket, MEBIBYTE, 0);
        runIdle(fixture.ring);
        ck_assert_uint_gt(GetFastSocketOutboundLength(recorder.socket), 0);
        setOption(recorder.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 1);
        if (round < 4 || round == 8)
            ReleaseFastSocket(recorder.socket);
        else
            AbortFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        close(ends[round >= 8]);
    }
}
END_TEST

/* §2.4 -EAGAIN: the outbound limit holds for files, and POLLOUT follows */
START_TEST(refusesAtLimit)
{
    openPipe(0);
    openFile(&fixture, ends[1], &recorder);
    setOption(recorder.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 100000);
    transmitPattern(recorder.socket, 400000, 0);
    runIdle(fixture.ring);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "x", 1, 0), -EAGAIN);
    expectPattern(&recorder, ends[0], 400000);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "x", 1, 0), 0);
    waitDrained(&recorder);
    ReleaseFastSocket(recorder.socket);
    close(ends[0]);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("file-write");
    TCase* area = tcase_create("file-write");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, resumesShortWrites);
    tcase_add_test(area, doesNotSpinWhenFull);
    tcase_add_test(area, goesOnBesideStoppedTerminal);
    tcase_add_test(area, keepsOrder);
    tcase_add_test(area, gathersWrites);
    tcase_add_test(area, keepsLongMessagesApart);
    tcase_add_test(area, writesRegularFile);
    tcase_add_test(area, tellsFullDevice);
    tcase_add_test(area, marksWithNothing);
    tcase_add_test(area, survivesBrokenPipe);
    tcase_add_test(area, survivesBreakWhileWaiting);
    tcase_add_test(area, survivesOwnOperations);
    tcase_add_test(area, leavesSignalsAlone);
    tcase_add_test(area, refusesMetadata);
    tcase_add_test(area, refusesSends);
    tcase_add_test(area, writesWhereTold);
    tcase_add_test(area, flushesAtRelease);
    tcase_add_test(area, givesUpFlushing);
    tcase_add_test(area, refusesAtLimit);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
