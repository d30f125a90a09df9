/* The end of a socket, step by step. */
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

SCENE_AREA(release, "release");

/* Reads the pattern until the end while the ring runs; returns the bytes, fails at anything
 * else. */
static uint64_t readToEnd(int handle)
{
    static uint8_t data[65536];
    uint64_t checked = 0;
    ssize_t size = 0;

    while ((size = recv(handle, data, sizeof(data), MSG_DONTWAIT)) != 0) {
        if (size < 0) {
            ck_assert_msg(errno == EAGAIN, "%s after %llu bytes", strerror(errno),
                          (unsigned long long)checked);
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
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
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    }
}

/* §2.6 GetFastRingPending, §2.6 shutdown and close: counted as pending until closed, then
 * really closed */
CASE(release, closesInBackground)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        openPair(kind);
        runIdle(scene.ring);
        ReleaseFastSocket(scene.ours.socket);
        ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
        ck_assert_uint_eq(readRing(scene.ring).sockets, 1);
        ck_assert_int_ge(fcntl(scene.handle, F_GETFD), 0);
        closePeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(fcntl(scene.handle, F_GETFD), -1);
        ck_assert_uint_eq(readRing(scene.ring).sockets, 0);
    }
}

/* before the first turn */
CASE(release, closesUnstarted)
{
    openPair(KIND_TCP);
    transmitPattern(scene.ours.socket, 1000, 0);
    ReleaseFastSocket(scene.ours.socket);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    ck_assert_uint_eq(readToEnd(scene.peer), 1000);
    closePeer();
}

static void refuseEvent(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)socket;
    (void)parameter;
    (void)self;
    ck_abort_msg("event %d after the release", event);
}

/* §2.1 local close, §2.6 mark released: no callback ever, the closure is not touched */
CASE(release, isSilent)
{
    struct Recorder* gone = calloc(1, sizeof(*gone));

    pairTcp(scene.pair);
    ck_assert_ptr_nonnull(gone);
    gone->then = refuseEvent;
    openRecorded(&scene, scene.handle, NULL, 0, gone);
    sendText(scene.peer, "unread");
    transmitText(gone->socket, "sent");
    ReleaseFastSocket(gone->socket);
    memset(gone, 0xff, sizeof(*gone));
    free(gone);
    sendText(scene.peer, "more");
    runIdle(scene.ring);
    expectText(scene.peer, "sent");
    closePeer();
    runIdle(scene.ring);
}

/* §2.6 connect pending: cancelled and closed within the turn */
CASE(release, closesPendingConnect)
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
        openRecorded(&scene, handle, NULL, 0, &scene.ours);
        transmitText(scene.ours.socket, "never sent");
        runIdle(scene.ring);
        if (abort)
            AbortFastSocket(scene.ours.socket);
        else
            ReleaseFastSocket(scene.ours.socket);
        for (int turn = 0; (turn < 3) && (GetFastRingPending(scene.ring) > 0); turn++)
            ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
        ck_assert_uint_eq(GetFastRingPending(scene.ring), 0);
        ck_assert_int_eq(fcntl(handle, F_GETFD), -1);
    }
    close(first);
    close(listener);
}

/* §2.6 flush: what is queued is sent, to a slow reader too */
CASE(release, flushesToSlowReader)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPair(kinds[index]);
        ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)),
                         0);
        for (uint64_t part = 0; part < 40; part++)
            transmitPattern(scene.ours.socket, 50000, part * 50000);
        ReleaseFastSocket(scene.ours.socket);
        runIdle(scene.ring);
        ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
        ck_assert_uint_eq(readToEnd(scene.peer), 2000000);
        closePeer();
    }
}

/* §2.6 flush: queued messages of every kind */
CASE(release, flushesMessages)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        openPair(kind);
        for (int count = 0; count < 5; count++)
            transmitText(scene.ours.socket, "queued");
        ReleaseFastSocket(scene.ours.socket);
        for (int count = 0; count < 5; count++) {
            struct pollfd readable = {.fd = scene.peer, .events = POLLIN};
            while (poll(&readable, 1, 0) == 0)
                ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
            expectText(scene.peer, "queued");
        }
        closePeer();
    }
}

/* §2.6 flush: a peer that writes before it reads still gets what is flushed */
CASE(release, flushesToWritingPeer)
{
    static uint8_t data[65536];
    uint64_t received = 0;
    uint64_t written = 0;
    const uint64_t total = 8000000;

    openPair(KIND_UNIX_STREAM);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 240000);
    transmitPattern(scene.ours.socket, total, 0);
    ReleaseFastSocket(scene.ours.socket);
    while (written < 2000000) {
        ssize_t size = send(scene.peer, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
        ck_assert(size > 0 || errno == EAGAIN);
        written += size > 0 ? (uint64_t)size : 0;
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    }
    while (received < total) {
        ssize_t size = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);
        if (size > 0) {
            ck_assert(checkPattern(data, (size_t)size, received));
            received += (uint64_t)size;
        } else {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
        }
    }
    closePeer();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.6 flush: what a stuck reader finds at last is the beginning, in order */
CASE(release, flushesRecordsInOrder)
{
    static char record[300];
    ssize_t size = 0;
    int count = 0;

    openPair(KIND_UNIX_SEQPACKET);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 20);
    for (int index = 0; index < 100; index++) {
        snprintf(record, sizeof(record), "%d", index);
        ck_assert_int_eq(
            TransmitFastSocketData(scene.ours.socket, NULL, 0, record, sizeof(record), 0), 0);
    }
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    while ((size = recv(scene.peer, record, sizeof(record), MSG_DONTWAIT)) > 0)
        ck_assert_int_eq(atoi(record), count++);
    ck_assert_int_gt(count, 0);
    closePeer();
}

/* §2.6 flush: bounded; then reset */
CASE(release, givesUpOnStuckReader)
{
    const uint64_t timeouts[] = {0, 1, 50};

    for (size_t index = 0; index < sizeof(timeouts) / sizeof(timeouts[0]); index++) {
        openPair(KIND_TCP);
        transmitPattern(scene.ours.socket, 30000000, 0);
        runIdle(scene.ring);
        setOption(scene.ours.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, timeouts[index]);
        ReleaseFastSocket(scene.ours.socket);
        if (timeouts[index] == 0)
            runIdle(scene.ring);
        else
            waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_uint_eq(GetFastRingPending(scene.ring), 0);
        ck_assert_int_eq(readToError(scene.peer), ECONNRESET);
        closePeer();
    }
}

/* §2.6 drain: unread input must not destroy what the peer has not yet read (F19) */
CASE(release, sparesSentDataFromUnreadInput)
{
    static char noise[20000];

    openPair(KIND_TCP);
    runIdle(scene.ring);
    sendAll(scene.peer, noise, sizeof(noise));
    waitInput(&scene.ours, 1);
    transmitPattern(scene.ours.socket, 100000, 0);
    ReleaseFastSocket(scene.ours.socket);
    runIdle(scene.ring);
    sendAll(scene.peer, noise, 1000);
    runIdle(scene.ring);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    ck_assert_uint_eq(readToEnd(scene.peer), 100000);
    closePeer();
}

/* §2.6 drain: so for input beyond the high mark, and behind a pause */
CASE(release, sparesSentDataFromPause)
{
    static char noise[200000];
    ssize_t sent = 0;

    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 1000);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    sent = send(scene.peer, noise, sizeof(noise), MSG_DONTWAIT);
    ck_assert_int_gt((int)sent, 0);
    runIdle(scene.ring);
    transmitPattern(scene.ours.socket, 100000, 0);
    ReleaseFastSocket(scene.ours.socket);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    ck_assert_uint_eq(readToEnd(scene.peer), 100000);
    closePeer();
}

/* §2.6 drain: the end of output is told at once, and not when the peer's end was waited for */
CASE(release, tellsTheEndFirst)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};
    char byte = 0;

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPair(kinds[index]);
        runIdle(scene.ring);
        ReleaseFastSocket(scene.ours.socket);
        runTurns(scene.ring, 10);
        ck_assert_int_eq((int)recv(scene.peer, &byte, 1, MSG_DONTWAIT), 0);
        closePeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* §2.6 drain: a peer that never ends is not waited for for ever */
CASE(release, boundsWaitForEnd)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq(fcntl(scene.handle, F_GETFD), -1);
    expectEnd(scene.peer);
    closePeer();
}

/* §2.6 shutdown and close: a linger that the user set must not block the loop at the close */
CASE(release, doesNotLinger)
{
    openPair(KIND_TCP);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_LINGER, &(struct linger){1, 30000},
                                sizeof(struct linger)),
                     0);
    ck_assert_int_eq(setsockopt(scene.peer, SOL_SOCKET, SO_RCVBUF, &(int){1}, sizeof(int)), 0);
    transmitPattern(scene.ours.socket, 30000, 0);
    waitDrained(&scene.ours);
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_uint_eq(readToEnd(scene.peer), 30000);
    closePeer();
}

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
        closePeer();
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

/* §2.6 shutdown and close: a forked child with a copy of the descriptor does not keep the
 * connection (F18) */
CASE(release, endsConnectionOfForkedCopy)
{
    for (size_t index = 0; index < sizeof(connected) / sizeof(connected[0]); index++) {
        int hold = -1;
        pid_t child = 0;
        openPair(connected[index]);
        child = forkHolder(&hold);
        transmitText(scene.ours.socket, "bye");
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        expectText(scene.peer, "bye");
        ck_assert_int_eq(readToError(scene.peer), 0);
        closePeer();
        endHolder(child, hold);
    }
}

/* §2.6 AbortFastSocket, §2.6 shutdown and close: nor does one keep it when it is aborted */
CASE(release, resetsConnectionOfForkedCopy)
{
    for (size_t index = 0; index < sizeof(connected) / sizeof(connected[0]); index++) {
        int hold = -1;
        pid_t child = 0;
        openPair(connected[index]);
        child = forkHolder(&hold);
        runIdle(scene.ring);
        AbortFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(readToError(scene.peer), connected[index] == KIND_TCP ? ECONNRESET : 0);
        closePeer();
        endHolder(child, hold);
    }
}

/* §2.6 flush, §2.6 shutdown and close: nor when the flush gives up */
CASE(release, givesUpConnectionOfForkedCopy)
{
    for (size_t index = 0; index < sizeof(connected) / sizeof(connected[0]); index++) {
        int hold = -1;
        pid_t child = 0;
        openPair(connected[index]);
        setOption(scene.ours.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 1);
        for (int count = 0; count < 300; count++)
            transmitPattern(scene.ours.socket, 50000, 0);
        runIdle(scene.ring);
        child = forkHolder(&hold);
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(readToError(scene.peer), connected[index] == KIND_TCP ? ECONNRESET : 0);
        closePeer();
        endHolder(child, hold);
    }
}

/* Whatever the peer sends is refused. */
static void expectRefusal(int peer)
{
    static const uint8_t data[1000];
    ssize_t result = 0;

    for (int count = 0; result >= 0 && count < 1000; count++) {
        result = send(peer, data, sizeof(data), MSG_NOSIGNAL);
        usleep(1000); /* the refusal is on its way */
    }
    ck_assert_int_lt(result, 0);
    ck_assert(errno == EPIPE || errno == ECONNRESET);
}

/* §2.6 shutdown and close: whoever has ended first, a copy of the descriptor keeps nothing */
CASE(release, endsConnectionOfCopy)
{
    for (int round = 0; round < 3; round++) {
        openPair(KIND_TCP);
        int copy = dup(GetFastSocketHandle(scene.ours.socket));
        if (round == 0) {
            ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
            waitFor(scene.ring, hasHungUp, &scene.ours);
        } else if (round == 1)
            ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
        runIdle(scene.ring);
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring); /* it gives the peer a second */
        ck_assert_int_eq(readToError(scene.peer), 0);
        if (round > 0)
            expectRefusal(scene.peer);
        closePeer();
        close(copy);
    }
}

/* A socket of ours with a number that is free; its peer is returned. */
static int openAs(int number, enum Kind kind, struct Recorder* recorder)
{
    int ends[2];
    pairKind(kind, ends);
    if (ends[0] != number) {
        ck_assert_int_lt(fcntl(number, F_GETFD), 0);
        ck_assert_int_eq(dup3(ends[0], number, O_CLOEXEC), number);
        close(ends[0]);
    }
    (void)openRecorded(&scene, number, NULL, 0, recorder);
    return ends[1];
}

/* How many of the peer's sends make the ring's handle readable. */
static int countWakes(enum Kind kind, int rounds)
{
    struct pollfd state = {.fd = GetFastRingHandle(scene.ring), .events = POLLIN};
    int count = 0;
    for (int round = 0; round < rounds; round++) {
        ssize_t sent = send(scene.peer, "x", 1, MSG_NOSIGNAL);
        ck_assert(sent == 1 || kind != KIND_UDP);
        count += poll(&state, 1, 0) > 0;
        runIdle(scene.ring);
    }
    return count;
}

/* §2.6 shutdown and close: what others do with a copy of the descriptor wakes nobody again and
 * again, and the number serves the next one */
CASE(release, hearsNothingOfACopy)
{
    static const enum Kind kinds[] = {KIND_UDP, KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_DATAGRAM};
    for (int index = 0; index < 4; index++) {
        openPair(kinds[index]);
        int number = scene.handle;
        int copy = dup(number);
        runIdle(scene.ring);
        (void)GetFastRingHandle(scene.ring);
        AbortFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        runIdle(scene.ring);
        ck_assert_int_le(countWakes(kinds[index], 50), kinds[index] == KIND_UDP ? 0 : 2);
        struct Recorder next = {0};
        int peer = openAs(number, kinds[index], &next);
        sendText(peer, "new");
        waitFor(scene.ring, hasInput, &next);
        ReleaseFastSocket(next.socket);
        close(peer);
        waitFor(scene.ring, isNothingPending, scene.ring);
        closePeer();
        close(copy);
    }
}

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

/* §2.6 shutdown and close: children that exit, execute and are killed while the ring is busy
 * take nothing away and add no event; the peer hears the end at the release and not before */
CASE(release, survivesExitingChildren)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPair(kinds[index]);
        waitCount(scene.ring, &scene.ours.out, 1);
        for (int round = 0; round < 12; round++) {
            char text[16] = "";
            snprintf(text, sizeof(text), "round %d", round);
            sendText(scene.peer, text);
            transmitText(scene.ours.socket, text);
            if (round & 1)
                runTurns(scene.ring, 1);
            runChild(round);
            receiveText(&scene.ours, text);
            waitDrained(&scene.ours);
            runIdle(scene.ring);
            expectText(scene.peer, text);
            expectNothing(scene.peer);
            ck_assert_int_eq(scene.ours.in, round + 1);
            ck_assert_int_eq(scene.ours.out, round + 2);
            ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
        }
        ReleaseFastSocket(scene.ours.socket);
        runIdle(scene.ring);
        expectEnd(scene.peer);
        closePeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* after POLLHUP, after a fatal error, in a pause, when shut down */
CASE(release, closesInAnyState)
{
    for (int state = 0; state < 6; state++) {
        openPair(KIND_TCP);
        runIdle(scene.ring);
        switch (state) {
        case 0:
            ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
            waitHangup(&scene.ours);
            break;
        case 1:
            resetPeer();
            waitHangup(&scene.ours);
            break;
        case 2:
            ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
            break;
        case 3:
            ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
            runIdle(scene.ring);
            break;
        case 4:
            ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
            break;
        case 5:
            ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
            runIdle(scene.ring);
            break;
        }
        ReleaseFastSocket(scene.ours.socket);
        closePeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* the peer resets a released socket that still flushes or waits */
CASE(release, survivesResetWhileFlushing)
{
    for (int flush = 0; flush < 2; flush++) {
        openPair(KIND_TCP);
        runIdle(scene.ring);
        if (flush)
            transmitPattern(scene.ours.socket, 30000000, 0);
        ReleaseFastSocket(scene.ours.socket);
        runIdle(scene.ring);
        resetPeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* §2.6 AbortFastSocket: drops all and resets */
CASE(release, abortsWithReset)
{
    for (int turns = 0; turns < 3; turns++) {
        openPair(KIND_TCP);
        runTurns(scene.ring, turns);
        transmitPattern(scene.ours.socket, 30000000, 0);
        runTurns(scene.ring, turns);
        AbortFastSocket(scene.ours.socket);
        ck_assert_int_eq(readToError(scene.peer), ECONNRESET);
        closePeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* §2.6 AbortFastSocket: every kind, after any turn */
CASE(release, abortsEveryKind)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        for (int turns = 0; turns < 3; turns++) {
            if (!hasKind(kind))
                continue;
            openPair(kind);
            runTurns(scene.ring, turns);
            sendText(scene.peer, "unread");
            transmitText(scene.ours.socket, "dropped or not");
            AbortFastSocket(scene.ours.socket);
            runIdle(scene.ring);
            ck_assert_uint_eq(GetFastRingPending(scene.ring), 0);
            ck_assert_int_eq(fcntl(scene.handle, F_GETFD), -1);
            closePeer();
        }
    }
}

/* §2.4 ZC and Release, §2.6 shutdown and close: the descriptor goes at once, buffers when the
 * kernel has done */
CASE(release, leavesBuffersToNotifications)
{
    uint64_t held = 0;

    openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_ZERO_COPY);
    held = readRing(scene.ring).buffers;
    transmitPattern(scene.ours.socket, 200000, 0);
    waitDrained(&scene.ours);
    ReleaseFastSocket(scene.ours.socket);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_uint_eq(readToEnd(scene.peer), 200000);
    closePeer();
    runIdle(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).buffers, held);
}

/* sockets that flush hold provider and pools as long as they need them */
CASE(release, outlivesProviderAndPools)
{
    openPair(KIND_TCP);
    transmitPattern(scene.ours.socket, 2000000, 0);
    releaseParts();
    runIdle(scene.ring);
    transmitPattern(scene.ours.socket, 1000, 2000000);
    sendText(scene.peer, "still received");
    receiveText(&scene.ours, "still received");
    ReleaseFastSocket(scene.ours.socket);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    ck_assert_uint_eq(readToEnd(scene.peer), 2001000);
    closePeer();
}

/* §2.6 submission queue full: many at once, more than the queue of the ring holds */
CASE(release, closesManyInOneTurn)
{
    enum
    {
        MANY = 400,
    };
    static struct Recorder recorders[MANY];
    static int peers[MANY];

    reopenScene(.ringLength = 2, .buffers = 16, .bufferLength = 256);
    for (int index = 0; index < MANY; index++) {
        pairStream(scene.pair);
        peers[index] = scene.peer;
        openRecorded(&scene, scene.handle, NULL, 0, &recorders[index]);
    }
    runIdle(scene.ring);
    for (int index = 0; index < MANY; index++) {
        transmitText(recorders[index].socket, "bye");
        ReleaseFastSocket(recorders[index].socket);
    }
    ck_assert_uint_eq(GetFastRingPending(scene.ring), MANY);
    for (int index = 0; index < MANY; index++)
        ck_assert_int_eq(shutdown(peers[index], SHUT_WR), 0);
    waitFor(scene.ring, isNothingPending, scene.ring);
    for (int index = 0; index < MANY; index++) {
        expectText(peers[index], "bye");
        expectEnd(peers[index]);
        close(peers[index]);
    }
}

/* §2.6 GetFastRingPending: a program that waits without a limit until nothing is pending does
 * not hang */
CASE(release, wakesWhenNothingIsPending)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        for (int way = 0; way < 4; way++) {
            if (!hasKind(kind))
                continue;
            openPair(kind);
            if (way & 1)
                transmitText(scene.ours.socket, "bye");
            if (way & 2)
                runIdle(scene.ring);
            if (way & 2)
                AbortFastSocket(scene.ours.socket);
            else
                ReleaseFastSocket(scene.ours.socket);
            closePeer();
            while (GetFastRingPending(scene.ring) > 0)
                ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
        }
    }
}

static void* hammer(void* closure)
{
    int handle = *(int*)closure;

    sendAll(handle, "data", 4);
    closeReset(handle);
    return NULL;
}

/* release at the very moment when data and a reset come */
CASE(release, survivesRaces)
{
    for (int round = 0; round < 300; round++) {
        pthread_t thread;
        openPair(KIND_TCP);
        runTurns(scene.ring, 2);
        ck_assert_int_eq(pthread_create(&thread, NULL, hammer, &scene.peer), 0);
        runTurns(scene.ring, round % 5);
        if (round & 1)
            AbortFastSocket(scene.ours.socket);
        else
            ReleaseFastSocket(scene.ours.socket);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}
