/* A ring that is released before its sockets: POLLHUP with ECANCELED, then sockets that are
 * defunct. */
#include "fixture.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/un.h>

SCENE_AREA(ringEnd, "ringEnd");

/* What leaks on purpose ends before a leak checker looks. */
static void leave(void)
{
    _exit(0);
}

AREA(ringEndAlone, "ringEndAlone", .open = openScene, .close = leave);

static void expectDefunct(struct FastSocket* socket)
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
CASE(ringEnd, tellsEverySocket)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        for (int turns = 0; turns < 3; turns++) {
            struct Scene other;
            if (!hasKind(kind))
                continue;
            sceneOpen(&other, (struct SceneOptions){0});
            pairKind(kind, scene.pair);
            openRecorded(&other, scene.handle, NULL, 0, &scene.ours);
            if (turns > 0)
                runTurns(other.ring, turns);
            else
                ck_assert_int_eq(WaitForFastRing(other.ring, 0, NULL), 0);
            ReleaseFastRing(other.ring);
            other.ring = NULL;
            ck_assert_int_eq(scene.ours.hup, 1);
            ck_assert_int_eq(scene.ours.lastHangup, ECANCELED);
            ck_assert_int_eq(scene.ours.err, 0);
            expectDefunct(scene.ours.socket);
            closePair();
            sceneClose(&other);
        }
    }
}

/* a ring that never ran a turn */
CASE(ringEnd, endsUnstarted)
{
    openPair(KIND_TCP);
    transmitText(scene.ours.socket, "dropped");
    endRing();
    ck_assert_int_eq(scene.ours.hup, 1);
    ck_assert_int_eq(scene.ours.lastHangup, ECANCELED);
    expectDefunct(scene.ours.socket);
}

/* §2.1 ring released with live sockets, §2.1 POLLHUP: one that had its POLLHUP gets no second;
 * a paused one is reported all the same */
CASE(ringEnd, tellsOnce)
{
    struct Recorder paused = {0};
    struct Recorder failed = {0};
    int third[2];

    openPair(KIND_TCP);
    int more = openBeside(KIND_TCP, &paused);
    pairTcp(third);
    openRecorded(&scene, third[0], NULL, 0, &failed);
    closePeer();
    closeReset(third[1]);
    waitHangup(&scene.ours);
    waitHangup(&failed);
    ck_assert_int_eq(PauseFastSocket(paused.socket), 0);
    runIdle(scene.ring);
    endRing();
    ck_assert_int_eq(scene.ours.hup, 1);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    ck_assert_int_eq(failed.hup, 1);
    ck_assert_int_eq(failed.lastHangup, ECONNRESET);
    ck_assert_int_eq(paused.hup, 1);
    ck_assert_int_eq(paused.lastHangup, ECANCELED);
    ReleaseFastSocket(scene.ours.socket);
    ReleaseFastSocket(paused.socket);
    ReleaseFastSocket(failed.socket);
    close(more);
}

/* queued output is dropped, zero copy in flight and unread input end cleanly */
CASE(ringEnd, dropsQueues)
{
    struct Recorder zeroCopy = {0};
    int more[2];

    openPair(KIND_TCP);
    pairTcp(more);
    openRecorded(&scene, more[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &zeroCopy);
    sendText(scene.peer, "unread");
    waitInput(&scene.ours, 6);
    transmitPattern(scene.ours.socket, 20000000, 0);
    transmitPattern(zeroCopy.socket, 20000000, 0);
    runIdle(scene.ring);
    transmitPattern(scene.ours.socket, 100, 0);
    endRing();
    ck_assert_int_eq(scene.ours.lastHangup, ECANCELED);
    ck_assert_int_eq(zeroCopy.lastHangup, ECANCELED);
    ReleaseFastSocket(scene.ours.socket);
    ReleaseFastSocket(zeroCopy.socket);
    closePeer();
    close(more[1]);
}

/* the connection of a live socket ends with the ring, not with what is left of it */
CASE(ringEnd, endsConnection)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    endRing();
    expectEnd(scene.peer);
}

/* sockets released before, which still flush or wait, end with the ring */
CASE(ringEnd, endsReleasedSockets)
{
    openPair(KIND_TCP);
    transmitPattern(scene.ours.socket, 20000000, 0);
    runIdle(scene.ring);
    ReleaseFastSocket(scene.ours.socket);
    runIdle(scene.ring);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
    endRing();
}

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
CASE(ringEnd, releasesDuringEnd)
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
        pairStream(scene.pair);
        peers[index] = scene.peer;
        many[index].then = releaseAtHangup;
        many[index].closure = (index % 4 == 1)   ? &many[index + 1]
                              : (index % 4 == 3) ? &many[index - 1]
                                                 : NULL;
        openRecorded(&scene, scene.handle, NULL, 0, &many[index]);
    }
    runIdle(scene.ring);
    endRing();
    for (int index = 0; index < MANY; index++) {
        told += many[index].hup;
        ck_assert_ptr_null(many[index].socket);
        close(peers[index]);
    }
    ck_assert_int_ge(told, MANY / 2);
}

static void removeAtHangup(struct FastSocket* socket, int event, int parameter,
                           struct Recorder* self)
{
    struct FastRingTimeout** timeouts = self->closure;

    (void)socket;
    (void)parameter;
    for (int index = 0; (event == POLLHUP) && (index < 2); index++)
        ck_assert_ptr_null(SetFastRingTimeout(NULL, timeouts[index], -1, 0, NULL, NULL));
}

static void ignoreTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
}

/* §2.1 ring released with live sockets: a handler may also remove what hears of the end next, and
 * ends at once */
CASE(ringEnd, removesDuringEnd)
{
    struct FastRingTimeout* timeouts[2];
    struct Recorder second = {.then = removeAtHangup, .closure = timeouts};
    int more = -1;

    openPair(KIND_UNIX_STREAM);
    for (int index = 0; index < 2; index++) {
        timeouts[index] = SetFastRingTimeout(scene.ring, NULL, 100000, 0, ignoreTimeout, NULL);
        ck_assert_ptr_nonnull(timeouts[index]);
    }
    more = openBeside(KIND_UNIX_STREAM, &second);
    runIdle(scene.ring);
    endRing();
    ck_assert_int_eq(second.lastHangup, ECANCELED);
    ck_assert_int_eq(scene.ours.lastHangup, ECANCELED);
    ReleaseFastSocket(second.socket);
    close(more);
}

static void endInside(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)parameter;
    if (event == *(int*)self->closure)
        ReleaseFastRing(GetFastSocketRing(socket));
}

static bool turnEnds(void)
{
    return WaitForFastRing(scene.ring, 100, NULL) == -ECANCELED;
}

/* §2.1 re-entrancy, §2.8 -ECANCELED: ring released inside each event: takes effect at the end
 * of the turn, which returns -ECANCELED */
CASE(ringEnd, endsInsideEvent)
{
    const int events[] = {POLLIN, POLLOUT, POLLERR, POLLHUP};

    for (size_t index = 0; index < sizeof(events) / sizeof(events[0]); index++) {
        int event = events[index];
        struct Recorder other = {0};
        int turns = 0;
        reopenScene(0);
        scene.ours.then = endInside;
        scene.ours.closure = &event;
        openPair(KIND_TCP);
        int more = openBeside(KIND_UNIX_STREAM, &other);
        if (event == POLLIN)
            sendText(scene.peer, "x");
        if ((event == POLLERR) || (event == POLLHUP))
            resetPeer();
        for (turns = 0; !turnEnds(); turns++)
            ck_assert_int_lt(turns, 600);
        scene.ring = NULL;
        ck_assert_int_eq(scene.ours.hup, 1);
        ck_assert_int_eq(other.lastHangup, ECANCELED);
        ReleaseFastSocket(scene.ours.socket);
        ReleaseFastSocket(other.socket);
        if ((event != POLLERR) && (event != POLLHUP))
            closePeer();
        close(more);
    }
}

/* §2.1 ring released with live sockets: defunct: every call but Release fails, however often */
CASE(ringEnd, leavesShells)
{
    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, 10, 0);

    ck_assert_ptr_nonnull(buffer);
    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    endRing();
    expectDefunct(scene.ours.socket);
    expectDefunct(scene.ours.socket);
    ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, 10, 0),
                     -EPIPE);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, NULL, NULL), -EINVAL);
    ck_assert_ptr_eq(GetFastSocketClosure(scene.ours.socket), &scene.ours);
    ck_assert_ptr_null(AllocateFastBuffer(scene.outbound, 10, 0));
    ck_assert_int_eq(errno, ECANCELED);
    AbortFastSocket(scene.ours.socket);
}

/* with the ring, provider and pools released in every order */
CASE(ringEnd, endsInAnyOrder)
{
    for (int order = 0; order < 24; order++) {
        int rest = order;
        int left[4] = {0, 1, 2, 3};
        struct Scene own;
        sceneOpen(&own, (struct SceneOptions){.buffers = 8, .bufferLength = 1024});
        pairTcp(scene.pair);
        openRecorded(&own, scene.handle, NULL, FASTSOCKET_MODE_ZERO_COPY, &scene.ours);
        runTurns(own.ring, 2);
        transmitPattern(scene.ours.socket, 100000, 0);
        sendText(scene.peer, "unread");
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
                ReleaseFastSocket(scene.ours.socket);
                break;
            }
        }
        closePeer();
        sceneClose(&own);
    }
}

static void* runTurnAndExit(void* closure)
{
    struct Scene* own = closure;

    runTurns(own->ring, 2);
    return NULL;
}

/* §2.8 thread exited: when the ring's thread is gone, anyone may release the ring, nothing is
 * delivered, no crash */
CASE(ringEndAlone, endsAfterThread)
{
    pthread_t thread;

    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(pthread_create(&thread, NULL, runTurnAndExit, &scene), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(scene.ours.hup, 0);
    endRing();
    ck_assert_int_eq(scene.ours.hup, 0);
    closePeer();
    /* What the kernel may still own is leaked rather than freed: leave without counting it. */
    scene.descriptors = -1;
}

/* §2.1 ring released with live sockets: one that waits to try again keeps nothing of the ring */
CASE(ringEnd, endsWhileTryingAgain)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(sa_family_t) +
                       (socklen_t)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
                                           "fastsocket-end-%d", (int)getpid()) +
                       1;

    scene.handle = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    scene.peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(scene.peer, (struct sockaddr*)&address, length), 0);
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    for (int index = 0; index < 5000; index++) /* more than any queue takes; nobody reads */
        ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&address,
                                                length, "x", 1, 0),
                         0);
    runIdle(scene.ring);
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
    endRing();
    ck_assert_int_eq(scene.ours.lastHangup, ECANCELED);
}
