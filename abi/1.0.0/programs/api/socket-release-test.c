/* The end of a socket: behaviour.md 2.6, step by step. */
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void openKind(enum Kind kind)
{
    pairKind(kind, pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
}

static void release(void)
{
    ReleaseFastSocket(recorder.socket);
    recorder.socket = NULL;
}

/* Reads the pattern until the end while the ring runs; returns the bytes, fails at anything else. */
static uint64_t readToEnd(int handle)
{
    static uint8_t data[65536];
    uint64_t checked = 0;
    ssize_t size = 0;

    while ((size = recv(handle, data, sizeof(data), MSG_DONTWAIT)) != 0) {
        if (size < 0) {
            ck_assert_msg(errno == EAGAIN, "%s after %llu bytes", strerror(errno),
                          (unsigned long long)checked);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)size, checked));
        checked += (uint64_t)size;
    }
    return checked;
}

/* As long as the peer stays, its error or end must come. Returns errno, 0 = the end. */
static int readToError(int handle)
{
    static uint8_t data[65536];
    ssize_t size = 0;

    for (;;) {
        size = recv(handle, data, sizeof(data), MSG_DONTWAIT);
        if (size == 0)
            return 0;
        if ((size < 0) && (errno != EAGAIN))
            return errno;
        if (size < 0)
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
    }
}

/* §2.6 GetFastRingPending, §2.6 shutdown and close: counted as pending until closed, then
 * really closed */
START_TEST(closesInBackground)
{
    for (enum Kind kind = 0; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        openKind(kind);
        runIdle(fixture.ring);
        release();
        ck_assert_uint_eq(GetFastRingPending(fixture.ring), 1);
        ck_assert_uint_eq(readRing(fixture.ring).sockets, 1);
        ck_assert_int_ge(fcntl(pair[0], F_GETFD), 0);
        close(pair[1]);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_int_eq(fcntl(pair[0], F_GETFD), -1);
        ck_assert_uint_eq(readRing(fixture.ring).sockets, 0);
    }
}
END_TEST

/* before the first turn */
START_TEST(closesUnstarted)
{
    openKind(KIND_TCP);
    transmitPattern(recorder.socket, 1000, 0);
    release();
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    ck_assert_uint_eq(readToEnd(pair[1]), 1000);
    close(pair[1]);
}
END_TEST

static void refuseEvent(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)socket;
    (void)parameter;
    (void)self;
    ck_abort_msg("event %d after the release", event);
}

/* §2.1 local close, §2.6 mark released: no callback ever, the closure is not touched */
START_TEST(isSilent)
{
    struct Recorder* gone = calloc(1, sizeof(*gone));

    pairTcp(pair);
    ck_assert_ptr_nonnull(gone);
    gone->then = refuseEvent;
    openRecorded(&fixture, pair[0], NULL, 0, gone);
    sendText(pair[1], "unread");
    transmitText(gone->socket, "sent");
    ReleaseFastSocket(gone->socket);
    memset(gone, 0xff, sizeof(*gone));
    free(gone);
    sendText(pair[1], "more");
    runIdle(fixture.ring);
    expectText(pair[1], "sent");
    close(pair[1]);
    runIdle(fixture.ring);
}
END_TEST

/* §2.6 connect pending: cancelled and closed within the turn */
START_TEST(closesPendingConnect)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int listener = listenTcp(&address, &length);
    int first = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(listen(listener, 0), 0);
    ck_assert_int_eq(connect(first, (struct sockaddr*)&address, length), 0);
    for (int abort = 0; abort < 2; abort++) {
        int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), -1);
        ck_assert_int_eq(errno, EINPROGRESS);
        openRecorded(&fixture, handle, NULL, 0, &recorder);
        transmitText(recorder.socket, "never sent");
        runIdle(fixture.ring);
        if (abort)
            AbortFastSocket(recorder.socket);
        else
            release();
        for (int turn = 0; (turn < 3) && (GetFastRingPending(fixture.ring) > 0); turn++)
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 0, NULL), 0);
        ck_assert_uint_eq(GetFastRingPending(fixture.ring), 0);
        ck_assert_int_eq(fcntl(handle, F_GETFD), -1);
    }
    close(first);
    close(listener);
}
END_TEST

/* §2.6 flush: what is queued is sent, to a slow reader too */
START_TEST(flushesToSlowReader)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openKind(kinds[index]);
        ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
        for (uint64_t part = 0; part < 40; part++)
            transmitPattern(recorder.socket, 50000, part * 50000);
        release();
        runIdle(fixture.ring);
        ck_assert_uint_eq(GetFastRingPending(fixture.ring), 1);
        ck_assert_uint_eq(readToEnd(pair[1]), 2000000);
        close(pair[1]);
    }
}
END_TEST

/* §2.6 flush: queued messages of every kind */
START_TEST(flushesMessages)
{
    for (enum Kind kind = 0; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        openKind(kind);
        for (int count = 0; count < 5; count++)
            transmitText(recorder.socket, "queued");
        release();
        for (int count = 0; count < 5; count++) {
            struct pollfd readable = {.fd = pair[1], .events = POLLIN};
            while (poll(&readable, 1, 0) == 0)
                ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            expectText(pair[1], "queued");
        }
        close(pair[1]);
    }
}
END_TEST

/* §2.6 flush: a peer that writes before it reads still gets what is flushed */
START_TEST(flushesToWritingPeer)
{
    static uint8_t data[65536];
    uint64_t received = 0;
    uint64_t written = 0;
    const uint64_t total = 8000000;

    openKind(KIND_UNIX_STREAM);
    setOption(recorder.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 240000);
    transmitPattern(recorder.socket, total, 0);
    release();
    while (written < 2000000) {
        ssize_t size = send(pair[1], data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
        ck_assert(size > 0 || errno == EAGAIN);
        written += size > 0 ? (uint64_t)size : 0;
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
    }
    while (received < total) {
        ssize_t size = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (size > 0) {
            ck_assert(checkPattern(data, (size_t)size, received));
            received += (uint64_t)size;
        } else {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
        }
    }
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}
END_TEST

/* §2.6 flush: what a stuck reader finds at last is the beginning, in order */
START_TEST(flushesRecordsInOrder)
{
    static char record[300];
    ssize_t size = 0;
    int count = 0;

    openKind(KIND_UNIX_SEQPACKET);
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    setOption(recorder.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 20);
    for (int index = 0; index < 100; index++) {
        snprintf(record, sizeof(record), "%d", index);
        ck_assert_int_eq(
            TransmitFastSocketData(recorder.socket, NULL, 0, record, sizeof(record), 0), 0);
    }
    release();
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    while ((size = recv(pair[1], record, sizeof(record), MSG_DONTWAIT)) > 0)
        ck_assert_int_eq(atoi(record), count++);
    ck_assert_int_gt(count, 0);
    close(pair[1]);
}
END_TEST

/* §2.6 flush: bounded; then reset */
START_TEST(givesUpOnStuckReader)
{
    const uint64_t timeouts[] = {0, 1, 50};

    for (size_t index = 0; index < sizeof(timeouts) / sizeof(timeouts[0]); index++) {
        openKind(KIND_TCP);
        transmitPattern(recorder.socket, 30000000, 0);
        runIdle(fixture.ring);
        setOption(recorder.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, timeouts[index]);
        release();
        if (timeouts[index] == 0)
            runIdle(fixture.ring);
        else
            waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_uint_eq(GetFastRingPending(fixture.ring), 0);
        ck_assert_int_eq(readToError(pair[1]), ECONNRESET);
        close(pair[1]);
    }
}
END_TEST

/* §2.6 drain: unread input must not destroy what the peer has not yet read (F19) */
START_TEST(sparesSentDataFromUnreadInput)
{
    static char noise[20000];

    openKind(KIND_TCP);
    runIdle(fixture.ring);
    sendAll(pair[1], noise, sizeof(noise));
    waitInput(&recorder, 1);
    transmitPattern(recorder.socket, 100000, 0);
    release();
    runIdle(fixture.ring);
    sendAll(pair[1], noise, 1000);
    runIdle(fixture.ring);
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    ck_assert_uint_eq(readToEnd(pair[1]), 100000);
    close(pair[1]);
}
END_TEST

/* §2.6 drain: so for input beyond the high mark, and behind a pause */
START_TEST(sparesSentDataFromPause)
{
    static char noise[200000];
    ssize_t sent = 0;

    openKind(KIND_TCP);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 1000);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    sent = send(pair[1], noise, sizeof(noise), MSG_DONTWAIT);
    ck_assert_int_gt((int)sent, 0);
    runIdle(fixture.ring);
    transmitPattern(recorder.socket, 100000, 0);
    release();
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    ck_assert_uint_eq(readToEnd(pair[1]), 100000);
    close(pair[1]);
}
END_TEST

/* §2.6 drain: a peer that never ends is not waited for for ever */
START_TEST(boundsWaitForEnd)
{
    openKind(KIND_TCP);
    runIdle(fixture.ring);
    release();
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ck_assert_int_eq(fcntl(pair[0], F_GETFD), -1);
    expectEnd(pair[1]);
    close(pair[1]);
}
END_TEST

/* §2.6 shutdown and close: a linger that the user set must not block the loop at the close */
START_TEST(doesNotLinger)
{
    openKind(KIND_TCP);
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &(struct linger){1, 30000},
                                sizeof(struct linger)),
                     0);
    ck_assert_int_eq(setsockopt(pair[1], SOL_SOCKET, SO_RCVBUF, &(int){1}, sizeof(int)), 0);
    transmitPattern(recorder.socket, 30000, 0);
    waitDrained(&recorder);
    release();
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ck_assert_uint_eq(readToEnd(pair[1]), 30000);
    close(pair[1]);
}
END_TEST

/* A child that has a copy of the descriptor, and lives until hold is closed. */
static pid_t forkHolder(int* hold)
{
    int pipes[2];
    char byte = 0;
    pid_t child = 0;

    ck_assert_int_eq(pipe(pipes), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(pipes[1]);
        close(pair[1]);
        _exit((read(pipes[0], &byte, 1) == 0) ? 0 : 1);
    }
    close(pipes[0]);
    *hold = pipes[1];
    return child;
}

static void endHolder(pid_t child, int hold)
{
    int status = 0;

    close(hold);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
}

static const enum Kind connected[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

/* §2.6 shutdown and close: a forked child with a copy of the descriptor does not keep the connection (F18) */
START_TEST(endsConnectionOfForkedCopy)
{
    for (size_t index = 0; index < sizeof(connected) / sizeof(connected[0]); index++) {
        int hold = -1;
        pid_t child = 0;
        openKind(connected[index]);
        child = forkHolder(&hold);
        transmitText(recorder.socket, "bye");
        release();
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        expectText(pair[1], "bye");
        ck_assert_int_eq(readToError(pair[1]), 0);
        close(pair[1]);
        endHolder(child, hold);
    }
}
END_TEST

/* §2.6 AbortFastSocket, §2.6 shutdown and close: nor does one keep it when it is aborted */
START_TEST(resetsConnectionOfForkedCopy)
{
    for (size_t index = 0; index < sizeof(connected) / sizeof(connected[0]); index++) {
        int hold = -1;
        pid_t child = 0;
        openKind(connected[index]);
        child = forkHolder(&hold);
        runIdle(fixture.ring);
        AbortFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_int_eq(readToError(pair[1]), connected[index] == KIND_TCP ? ECONNRESET : 0);
        close(pair[1]);
        endHolder(child, hold);
    }
}
END_TEST

/* §2.6 flush, §2.6 shutdown and close: nor when the flush gives up */
START_TEST(givesUpConnectionOfForkedCopy)
{
    for (size_t index = 0; index < sizeof(connected) / sizeof(connected[0]); index++) {
        int hold = -1;
        pid_t child = 0;
        openKind(connected[index]);
        setOption(recorder.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 1);
        for (int count = 0; count < 300; count++)
            transmitPattern(recorder.socket, 50000, 0);
        runIdle(fixture.ring);
        child = forkHolder(&hold);
        release();
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_int_eq(readToError(pair[1]), connected[index] == KIND_TCP ? ECONNRESET : 0);
        close(pair[1]);
        endHolder(child, hold);
    }
}
END_TEST

static void runChild(int round)
{
    pid_t child = fork();
    int status = 0;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (round % 3 == 0)
            _exit(0);
        if (round % 3 == 1)
            (void)execl("/bin/true", "true", (char*)NULL);
        (void)raise(SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(round % 3 == 2 ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* §2.6 shutdown and close: children that exit, execute and are killed while the ring is busy take nothing
 * away and add no event; the peer hears the end at the release and not before */
START_TEST(survivesExitingChildren)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openKind(kinds[index]);
        waitCount(fixture.ring, &recorder.out, 1);
        for (int round = 0; round < 12; round++) {
            char text[16] = "";
            snprintf(text, sizeof(text), "round %d", round);
            sendText(pair[1], text);
            transmitText(recorder.socket, text);
            if (round & 1)
                runTurns(fixture.ring, 1);
            runChild(round);
            receiveText(&recorder, text);
            waitDrained(&recorder);
            runIdle(fixture.ring);
            expectText(pair[1], text);
            expectNothing(pair[1]);
            ck_assert_int_eq(recorder.in, round + 1);
            ck_assert_int_eq(recorder.out, round + 2);
            ck_assert_int_eq(recorder.err + recorder.hup, 0);
        }
        release();
        runIdle(fixture.ring);
        expectEnd(pair[1]);
        close(pair[1]);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
    }
}
END_TEST

/* after POLLHUP, after a fatal error, in a pause, when shut down */
START_TEST(closesInAnyState)
{
    for (int state = 0; state < 6; state++) {
        openKind(KIND_TCP);
        runIdle(fixture.ring);
        switch (state) {
        case 0:
            ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
            waitHangup(&recorder);
            break;
        case 1:
            closeReset(pair[1]);
            pair[1] = -1;
            waitHangup(&recorder);
            break;
        case 2:
            ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
            break;
        case 3:
            ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
            runIdle(fixture.ring);
            break;
        case 4:
            ck_assert_int_eq(ShutdownFastSocket(recorder.socket), 0);
            break;
        case 5:
            ck_assert_int_eq(ShutdownFastSocket(recorder.socket), 0);
            runIdle(fixture.ring);
            break;
        }
        release();
        if (pair[1] >= 0)
            close(pair[1]);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
    }
}
END_TEST

/* the peer resets a released socket that still flushes or waits */
START_TEST(survivesResetWhileFlushing)
{
    for (int flush = 0; flush < 2; flush++) {
        openKind(KIND_TCP);
        runIdle(fixture.ring);
        if (flush)
            transmitPattern(recorder.socket, 30000000, 0);
        release();
        runIdle(fixture.ring);
        closeReset(pair[1]);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
    }
}
END_TEST

/* §2.6 AbortFastSocket: drops all and resets */
START_TEST(abortsWithReset)
{
    for (int turns = 0; turns < 3; turns++) {
        openKind(KIND_TCP);
        runTurns(fixture.ring, turns);
        transmitPattern(recorder.socket, 30000000, 0);
        runTurns(fixture.ring, turns);
        AbortFastSocket(recorder.socket);
        ck_assert_int_eq(readToError(pair[1]), ECONNRESET);
        close(pair[1]);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
    }
}
END_TEST

/* §2.6 AbortFastSocket: every kind, after any turn */
START_TEST(abortsEveryKind)
{
    for (enum Kind kind = 0; kind < KIND_COUNT; kind++) {
        for (int turns = 0; turns < 3; turns++) {
            if (!hasKind(kind))
                continue;
            openKind(kind);
            runTurns(fixture.ring, turns);
            sendText(pair[1], "unread");
            transmitText(recorder.socket, "dropped or not");
            AbortFastSocket(recorder.socket);
            runIdle(fixture.ring);
            ck_assert_uint_eq(GetFastRingPending(fixture.ring), 0);
            ck_assert_int_eq(fcntl(pair[0], F_GETFD), -1);
            close(pair[1]);
        }
    }
}
END_TEST

/* §2.4 ZC and Release, §2.6 shutdown and close: the descriptor goes at once, buffers when the
 * kernel has done */
START_TEST(leavesBuffersToNotifications)
{
    uint64_t held = 0;

    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &recorder);
    held = readRing(fixture.ring).buffers;
    transmitPattern(recorder.socket, 200000, 0);
    waitDrained(&recorder);
    release();
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ck_assert_uint_eq(readToEnd(pair[1]), 200000);
    close(pair[1]);
    runIdle(fixture.ring);
    ck_assert_uint_eq(readRing(fixture.ring).buffers, held);
}
END_TEST

/* sockets that flush hold provider and pools as long as they need them */
START_TEST(outlivesProviderAndPools)
{
    openKind(KIND_TCP);
    transmitPattern(recorder.socket, 2000000, 0);
    ReleaseFastRingBufferProvider(fixture.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(fixture.inbound);
    ReleaseFastBufferPool(fixture.outbound);
    fixture.provider = NULL;
    fixture.inbound = NULL;
    fixture.outbound = NULL;
    runIdle(fixture.ring);
    transmitPattern(recorder.socket, 1000, 2000000);
    sendText(pair[1], "still received");
    receiveText(&recorder, "still received");
    release();
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    ck_assert_uint_eq(readToEnd(pair[1]), 2001000);
    close(pair[1]);
}
END_TEST

/* §2.6 submission queue full: many at once, more than the queue of the ring holds */
START_TEST(closesManyInOneTurn)
{
    enum
    {
        MANY = 400,
    };
    static struct Recorder recorders[MANY];
    static int peers[MANY];

    fixtureClose(&fixture);
    fixtureOpen(&fixture, 2, 16, 256);
    for (int index = 0; index < MANY; index++) {
        pairStream(pair);
        peers[index] = pair[1];
        openRecorded(&fixture, pair[0], NULL, 0, &recorders[index]);
    }
    runIdle(fixture.ring);
    for (int index = 0; index < MANY; index++) {
        transmitText(recorders[index].socket, "bye");
        ReleaseFastSocket(recorders[index].socket);
    }
    ck_assert_uint_eq(GetFastRingPending(fixture.ring), MANY);
    for (int index = 0; index < MANY; index++)
        ck_assert_int_eq(shutdown(peers[index], SHUT_WR), 0);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    for (int index = 0; index < MANY; index++) {
        expectText(peers[index], "bye");
        expectEnd(peers[index]);
        close(peers[index]);
    }
}
END_TEST

/* §2.6 GetFastRingPending: a program that waits without a limit until nothing is pending does
 * not hang */
START_TEST(wakesWhenNothingIsPending)
{
    for (enum Kind kind = 0; kind < KIND_COUNT; kind++) {
        for (int way = 0; way < 4; way++) {
            if (!hasKind(kind))
                continue;
            openKind(kind);
            if (way & 1)
                transmitText(recorder.socket, "bye");
            if (way & 2)
                runIdle(fixture.ring);
            if (way & 2)
                AbortFastSocket(recorder.socket);
            else
                release();
            close(pair[1]);
            while (GetFastRingPending(fixture.ring) > 0)
                ck_assert_int_eq(WaitForFastRing(fixture.ring, UINT32_MAX, NULL), 0);
        }
    }
}
END_TEST

static void* hammer(void* closure)
{
    int handle = *(int*)closure;

    sendAll(handle, "data", 4);
    closeReset(handle);
    return NULL;
}

/* release at the very moment when data and a reset come */
START_TEST(survivesRaces)
{
    for (int round = 0; round < 300; round++) {
        pthread_t thread;
        openKind(KIND_TCP);
        runTurns(fixture.ring, 2);
        ck_assert_int_eq(pthread_create(&thread, NULL, hammer, &pair[1]), 0);
        runTurns(fixture.ring, round % 5);
        if (round & 1)
            AbortFastSocket(recorder.socket);
        else
            release();
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
    }
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-release");
    TCase* area = tcase_create("release");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, closesInBackground);
    tcase_add_test(area, closesUnstarted);
    tcase_add_test(area, isSilent);
    tcase_add_test(area, closesPendingConnect);
    tcase_add_test(area, flushesToSlowReader);
    tcase_add_test(area, flushesMessages);
    tcase_add_test(area, givesUpOnStuckReader);
    tcase_add_test(area, flushesRecordsInOrder);
    tcase_add_test(area, flushesToWritingPeer);
    tcase_add_test(area, sparesSentDataFromUnreadInput);
    tcase_add_test(area, sparesSentDataFromPause);
    tcase_add_test(area, boundsWaitForEnd);
    tcase_add_test(area, doesNotLinger);
    tcase_add_test(area, endsConnectionOfForkedCopy);
    tcase_add_test(area, resetsConnectionOfForkedCopy);
    tcase_add_test(area, givesUpConnectionOfForkedCopy);
    tcase_add_test(area, survivesExitingChildren);
    tcase_add_test(area, closesInAnyState);
    tcase_add_test(area, survivesResetWhileFlushing);
    tcase_add_test(area, abortsWithReset);
    tcase_add_test(area, abortsEveryKind);
    tcase_add_test(area, leavesBuffersToNotifications);
    tcase_add_test(area, outlivesProviderAndPools);
    tcase_add_test(area, closesManyInOneTurn);
    tcase_add_test(area, wakesWhenNothingIsPending);
    tcase_add_test(area, survivesRaces);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
