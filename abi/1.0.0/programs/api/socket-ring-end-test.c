/* A ring that is released before its sockets: POLLHUP with ECANCELED, then shells. */
#include "fixture.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/un.h>

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

/* Ends the ring; provider and pools stay, as shells. */
static void endRing(void)
{
    ReleaseFastRing(fixture.ring);
    fixture.ring = NULL;
}

static void expectShell(struct FastSocket* socket)
{
    struct FastSocketStatistics statistics;
    struct iovec vector = {"x", 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    uint64_t value = 7;
    char byte = 0;

    ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, "x", 1, 0), -EPIPE);
    ck_assert_int_eq(TransmitFastSocketMessage(socket, &message, 0), -EPIPE);
    ck_assert_int_eq((int)ReceiveFastSocketData(socket, &byte, 1, 0), -ECANCELED);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(socket));
    ck_assert_int_eq(errno, ECANCELED);
    ck_assert_int_eq(ShutdownFastSocket(socket), -ECANCELED);
    ck_assert_int_eq(PauseFastSocket(socket), -ECANCELED);
    ck_assert_int_eq(ResumeFastSocket(socket), -ECANCELED);
    ck_assert_int_eq(SetFastSocketHandler(socket, NULL, NULL), -ECANCELED);
    ck_assert_int_eq(SetFastSocketOption(socket, FASTSOCKET_OPTION_INBOUND_HIGH, 1000), -ECANCELED);
    ck_assert_int_eq(GetFastSocketOption(socket, FASTSOCKET_OPTION_INBOUND_HIGH, &value),
                     -ECANCELED);
    ck_assert_uint_eq(value, 7);
    ck_assert_int_eq(GetFastSocketStatistics(socket, &statistics, sizeof(statistics)), -ECANCELED);
    ck_assert_int_eq(GetFastSocketHandle(socket), -ECANCELED);
}

/* §2.1 ring released with live sockets: every kind, before and after its first turn */
START_TEST(tellsEverySocket)
{
    for (enum Kind kind = 0; kind < KIND_COUNT; kind++) {
        for (int turns = 0; turns < 3; turns++) {
            struct Fixture other;
            if (!hasKind(kind))
                continue;
            fixtureOpen(&other, 0, 0, 0);
            pairKind(kind, pair);
            openRecorded(&other, pair[0], NULL, 0, &recorder);
            if (turns > 0)
                runTurns(other.ring, turns);
            else
                ck_assert_int_eq(WaitForFastRing(other.ring, 0, NULL), 0);
            ReleaseFastRing(other.ring);
            other.ring = NULL;
            ck_assert_int_eq(recorder.hup, 1);
            ck_assert_int_eq(recorder.lastHangup, ECANCELED);
            ck_assert_int_eq(recorder.err, 0);
            expectShell(recorder.socket);
            ReleaseFastSocket(recorder.socket);
            close(pair[1]);
            fixtureClose(&other);
        }
    }
}
END_TEST

/* a ring that never ran a turn */
START_TEST(endsUnstarted)
{
    openKind(KIND_TCP);
    transmitText(recorder.socket, "dropped");
    endRing();
    ck_assert_int_eq(recorder.hup, 1);
    ck_assert_int_eq(recorder.lastHangup, ECANCELED);
    expectShell(recorder.socket);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.1 ring released with live sockets, §2.1 POLLHUP: one that had its POLLHUP gets no second;
 * a paused one is told all the same */
START_TEST(tellsOnce)
{
    struct Recorder paused = {0};
    struct Recorder failed = {0};
    int more[2];
    int third[2];

    openKind(KIND_TCP);
    pairTcp(more);
    openRecorded(&fixture, more[0], NULL, 0, &paused);
    pairTcp(third);
    openRecorded(&fixture, third[0], NULL, 0, &failed);
    close(pair[1]);
    closeReset(third[1]);
    waitHangup(&recorder);
    waitHangup(&failed);
    ck_assert_int_eq(PauseFastSocket(paused.socket), 0);
    runIdle(fixture.ring);
    endRing();
    ck_assert_int_eq(recorder.hup, 1);
    ck_assert_int_eq(recorder.lastHangup, 0);
    ck_assert_int_eq(failed.hup, 1);
    ck_assert_int_eq(failed.lastHangup, ECONNRESET);
    ck_assert_int_eq(paused.hup, 1);
    ck_assert_int_eq(paused.lastHangup, ECANCELED);
    ReleaseFastSocket(recorder.socket);
    ReleaseFastSocket(paused.socket);
    ReleaseFastSocket(failed.socket);
    close(more[1]);
}
END_TEST

/* queued output is dropped, zero copy in flight and unread input end cleanly */
START_TEST(dropsQueues)
{
    struct Recorder zeroCopy = {0};
    int more[2];

    openKind(KIND_TCP);
    pairTcp(more);
    openRecorded(&fixture, more[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &zeroCopy);
    sendText(pair[1], "unread");
    waitInput(&recorder, 6);
    transmitPattern(recorder.socket, 20000000, 0);
    transmitPattern(zeroCopy.socket, 20000000, 0);
    runIdle(fixture.ring);
    transmitPattern(recorder.socket, 100, 0);
    endRing();
    ck_assert_int_eq(recorder.lastHangup, ECANCELED);
    ck_assert_int_eq(zeroCopy.lastHangup, ECANCELED);
    ReleaseFastSocket(recorder.socket);
    ReleaseFastSocket(zeroCopy.socket);
    close(pair[1]);
    close(more[1]);
}
END_TEST

/* the connection of a live socket ends with the ring, not with its shell */
START_TEST(endsConnection)
{
    openKind(KIND_TCP);
    runIdle(fixture.ring);
    endRing();
    expectEnd(pair[1]);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* sockets released before, which still flush or wait, end with the ring */
START_TEST(endsReleasedSockets)
{
    openKind(KIND_TCP);
    transmitPattern(recorder.socket, 20000000, 0);
    runIdle(fixture.ring);
    ReleaseFastSocket(recorder.socket);
    runIdle(fixture.ring);
    ck_assert_uint_eq(GetFastRingPending(fixture.ring), 1);
    endRing();
    close(pair[1]);
}
END_TEST

static void releaseAtHangup(struct FastSocket* socket, int event, int parameter,
                            struct Recorder* self)
{
    struct Recorder* other = self->closure;

    (void)socket;
    (void)parameter;
    if (event != POLLHUP)
        return;
    if (other != NULL) {
        ReleaseFastSocket(other->socket);
        other->socket = NULL;
    }
    ReleaseFastSocket(self->socket);
    self->socket = NULL;
}

/* §2.1 ring released with live sockets: handlers may call Release during the end, of their own
 * socket and of the next one */
START_TEST(releasesDuringEnd)
{
    enum
    {
        MANY = 20,
    };
    struct Recorder many[MANY];
    int peers[MANY];
    int told = 0;

    memset(many, 0, sizeof(many));
    for (int index = 0; index < MANY; index++) {
        pairStream(pair);
        peers[index] = pair[1];
        many[index].then = releaseAtHangup;
        many[index].closure = (index % 4 == 1)   ? &many[index + 1]
                              : (index % 4 == 3) ? &many[index - 1]
                                                 : NULL;
        openRecorded(&fixture, pair[0], NULL, 0, &many[index]);
    }
    runIdle(fixture.ring);
    endRing();
    for (int index = 0; index < MANY; index++) {
        told += many[index].hup;
        ck_assert_ptr_null(many[index].socket);
        close(peers[index]);
    }
    ck_assert_int_ge(told, MANY / 2);
}
END_TEST

static void endInside(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)parameter;
    if (event == *(int*)self->closure)
        ReleaseFastRing(GetFastSocketRing(socket));
}

static bool turnEnds(void)
{
    return WaitForFastRing(fixture.ring, 100, NULL) == -ECANCELED;
}

/* §2.1 re-entrancy, §2.8 -ECANCELED: ring released inside each event: takes effect at the end
 * of the turn, which returns -ECANCELED */
START_TEST(endsInsideEvent)
{
    const int events[] = {POLLIN, POLLOUT, POLLERR, POLLHUP};

    for (size_t index = 0; index < sizeof(events) / sizeof(events[0]); index++) {
        int event = events[index];
        struct Recorder other = {0};
        int more[2];
        int turns = 0;
        fixtureClose(&fixture);
        fixtureOpen(&fixture, 0, 0, 0);
        recorder.then = endInside;
        recorder.closure = &event;
        openKind(KIND_TCP);
        pairStream(more);
        openRecorded(&fixture, more[0], NULL, 0, &other);
        if (event == POLLIN)
            sendText(pair[1], "x");
        if ((event == POLLERR) || (event == POLLHUP))
            closeReset(pair[1]);
        for (turns = 0; !turnEnds(); turns++)
            ck_assert_int_lt(turns, 600);
        fixture.ring = NULL;
        ck_assert_int_eq(recorder.hup, 1);
        ck_assert_int_eq(other.lastHangup, ECANCELED);
        ReleaseFastSocket(recorder.socket);
        ReleaseFastSocket(other.socket);
        if ((event != POLLERR) && (event != POLLHUP))
            close(pair[1]);
        close(more[1]);
    }
}
END_TEST

/* §2.1 ring released with live sockets: shells: every call but Release fails, however often */
START_TEST(leavesShells)
{
    struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, 10, 0);

    ck_assert_ptr_nonnull(buffer);
    openKind(KIND_UNIX_STREAM);
    runIdle(fixture.ring);
    endRing();
    expectShell(recorder.socket);
    expectShell(recorder.socket);
    ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, NULL, 0, buffer, 0, 10, 0), -EPIPE);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, NULL, NULL), -EINVAL);
    ck_assert_ptr_eq(GetFastSocketClosure(recorder.socket), &recorder);
    ck_assert_ptr_null(AllocateFastBuffer(fixture.outbound, 10, 0));
    ck_assert_int_eq(errno, ECANCELED);
    AbortFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* with the ring, provider and pools released in every order */
START_TEST(endsInAnyOrder)
{
    for (int order = 0; order < 24; order++) {
        int rest = order;
        int left[4] = {0, 1, 2, 3};
        struct Fixture own;
        fixtureOpen(&own, 0, 8, 1024);
        pairTcp(pair);
        openRecorded(&own, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &recorder);
        runTurns(own.ring, 2);
        transmitPattern(recorder.socket, 100000, 0);
        sendText(pair[1], "unread");
        runTurns(own.ring, order % 3);
        for (int count = 4; count > 0; count--) {
            int which = rest % count;
            int choice = left[which];
            rest /= count;
            left[which] = left[count - 1];
            switch (choice) {
            case 0:
                ReleaseFastRing(own.ring);
                own.ring = NULL;
                break;
            case 1:
                ReleaseFastRingBufferProvider(own.provider, ReleaseRingFastBuffer);
                own.provider = NULL;
                break;
            case 2:
                ReleaseFastBufferPool(own.inbound);
                own.inbound = NULL;
                break;
            case 3:
                ReleaseFastSocket(recorder.socket);
                break;
            }
        }
        close(pair[1]);
        fixtureClose(&own);
    }
}
END_TEST

static void* runTurnAndExit(void* closure)
{
    struct Fixture* own = closure;

    runTurns(own->ring, 2);
    return NULL;
}

/* §2.8 thread exited: when the ring's thread is gone, anyone may release the ring, nothing is
 * delivered, no crash */
START_TEST(endsAfterThread)
{
    pthread_t thread;

    openKind(KIND_UNIX_STREAM);
    ck_assert_int_eq(pthread_create(&thread, NULL, runTurnAndExit, &fixture), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(recorder.hup, 0);
    endRing();
    ck_assert_int_eq(recorder.hup, 0);
    close(pair[1]);
    /* What the kernel may still own is leaked rather than freed: leave without counting it. */
    fixture.descriptors = -1;
}
END_TEST

/* §2.1 ring released with live sockets: one that waits to try again keeps nothing of the ring */
START_TEST(endsWhileTryingAgain)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(sa_family_t) + (socklen_t)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "fastsocket-end-%d", (int)getpid()) + 1;

    pair[0] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    pair[1] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(pair[1], (struct sockaddr*)&address, length), 0);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    for (int index = 0; index < 5000; index++) /* more than any queue takes; nobody reads */
        ck_assert_int_eq(TransmitFastSocketData(recorder.socket, (struct sockaddr*)&address, length, "x", 1, 0), 0);
    runIdle(fixture.ring);
    ck_assert_uint_gt(GetFastSocketOutboundLength(recorder.socket), 0);
    endRing();
    ck_assert_int_eq(recorder.lastHangup, ECANCELED);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

static void leave(void)
{
    _exit(0);
}

int main(void)
{
    Suite* suite = suite_create("socket-ring-end");
    TCase* area = tcase_create("ringEnd");
    TCase* alone = tcase_create("ringEndAlone");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, tellsEverySocket);
    tcase_add_test(area, endsUnstarted);
    tcase_add_test(area, tellsOnce);
    tcase_add_test(area, dropsQueues);
    tcase_add_test(area, endsConnection);
    tcase_add_test(area, endsReleasedSockets);
    tcase_add_test(area, releasesDuringEnd);
    tcase_add_test(area, endsInsideEvent);
    tcase_add_test(area, leavesShells);
    tcase_add_test(area, endsInAnyOrder);
    tcase_add_test(area, endsWhileTryingAgain);
    suite_add_tcase(suite, area);
    /* Leaks on purpose: ends before a leak checker looks. */
    tcase_add_checked_fixture(alone, setUp, leave);
    tcase_add_test(alone, endsAfterThread);
    suite_add_tcase(suite, alone);
    return runSuite(suite);
}
