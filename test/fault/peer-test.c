/* Peers that reset, end by halves, or are killed, at any moment. */
#include "load.h"
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

SCENE_AREA(peer, "peer");

enum
{
    QUIET = 6, /* turns in which nothing may come any more */
    MESSAGE = 2000,
};

/* Nothing is told behind the end, and what was queued is nobody's. */
static void expectSilence(uint64_t buffers)
{
    int events = scene.ours.events;

    runTurns(scene.ring, QUIET);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, events);
    ck_assert_int_eq(scene.ours.hup, 1);
    while (ReceiveFastSocketData(scene.ours.socket, (char[4096]){0}, 4096, 0) > 0)
        continue;
    ck_assert_uint_le(liveBuffers(), buffers);
}

/* ---- resets ---- */

/* So many messages queued, so much input before, and the reset after so many turns. */
static void reset(int queued, size_t input, int turns)
{
    static uint8_t data[100000];
    uint64_t before = 0;

    openPair(KIND_TCP);
    runIdle(scene.ring);
    before = liveBuffers();
    fillPattern(data, sizeof(data), 0);
    if (input > 0)
        sendAll(scene.peer, data, input);
    for (int number = 0; number < queued; number++)
        transmitPattern(scene.ours.socket, MESSAGE, (uint64_t)number * MESSAGE);
    runTurns(scene.ring, turns);
    resetPeer();
    waitHangup(&scene.ours);
    expectFailure(&scene.ours, ECONNRESET);
    if (scene.ours.in > 0) { /* what came before it is there, and told before */
        ck_assert_int_eq(scene.ours.order[scene.ours.events - 1], POLLHUP);
        ck_assert_int_eq(scene.ours.order[scene.ours.events - 2], POLLERR);
    }
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0), -EPIPE);
    (void)takePattern(scene.ours.socket, 0);
    expectSilence(before);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.1 data and RST together: a reset before, while and after data, with nothing, one and many
 * messages queued */
CASE(peer, resets)
{
    const int queued[] = {0, 1, 1000};
    const size_t inputs[] = {0, 1, 3000, 100000};
    int count = 0;

    for (int64_t again = loadOf(1, 50); again > 0; again--) {
        for (size_t index = 0; index < sizeof(queued) / sizeof(queued[0]); index++) {
            for (size_t input = 0; input < sizeof(inputs) / sizeof(inputs[0]); input++) {
                for (int turns = 0; turns < 4; turns++, count++)
                    reset(queued[index], inputs[input], turns);
            }
        }
    }
    tell("resets: %d", count);
}

/* ---- half-closes ---- */

/* §2.1 half-close: the peer's end, and ours, in both orders, and a reset behind them */
CASE(peer, halfCloses)
{
    for (int round = 0; round < loadOf(40, 4000); round++) {
        bool firstOurs = round & 1;
        bool resets = round & 2;
        openPair(KIND_TCP);
        runTurns(scene.ring, round % 5);
        if (firstOurs) {
            ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
            runIdle(scene.ring);
            expectEnd(scene.peer);
            sendText(scene.peer, "still");
            receiveText(&scene.ours, "still");
        }
        ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
        waitHangup(&scene.ours);
        expectOrderlyEnd(&scene.ours);
        if (!firstOurs) {
            transmitText(scene.ours.socket, "still");
            waitDrained(&scene.ours);
            if (!resets) {
                expectText(scene.peer, "still");
                ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
                runIdle(scene.ring);
                expectEnd(scene.peer);
            } else {
                resetPeer();
                waitFor(scene.ring, hasFailed, &scene.ours);
                ck_assert_int_eq(scene.ours.err, 1);
            }
        }
        runTurns(scene.ring, QUIET);
        ck_assert_int_eq(scene.ours.hup, 1);
        closePair();
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* ---- releases ---- */

/* What a peer does at an unknown moment of ours: data, then its end, of one form or another. */
struct Racer
{
    pthread_t thread;
    int handle;
    int how;
};

static void* race(void* closure)
{
    struct Racer* racer = closure;

    for (int count = racer->how % 4; count > 0; count--)
        (void)send(racer->handle, "data", 4, MSG_NOSIGNAL); /* we may be gone */
    if (racer->how % 3 == 0)
        closeReset(racer->handle);
    else if (racer->how % 3 == 1)
        close(racer->handle);
    else {
        (void)shutdown(racer->handle, SHUT_WR);
        close(racer->handle);
    }
    return NULL;
}

/* §2.6 result of a cancel: a release at the very moment when data, the end or a reset comes */
CASE(peer, races)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};
    int count = (int)loadOf(300, 30000);

    for (int round = 0; round < count; round++) {
        struct Racer racer = {.how = round / 3};
        openPair(kinds[round % 3]);
        runTurns(scene.ring, round % 4);
        if (round & 8)
            transmitText(scene.ours.socket, "output");
        racer.handle = scene.peer;
        scene.pair[1] = -1;
        ck_assert_int_eq(pthread_create(&racer.thread, NULL, race, &racer), 0);
        runTurns(scene.ring, round % 5);
        if (round & 1)
            AbortFastSocket(scene.ours.socket);
        else
            ReleaseFastSocket(scene.ours.socket);
        ck_assert_int_eq(pthread_join(racer.thread, NULL), 0);
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
    tell("races of a release: %d", count);
}

/* ---- kills ---- */

/* A process that echoes until it is killed. */
static pid_t startEcho(void)
{
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        char data[5000];
        close(scene.handle);
        for (;;) {
            ssize_t size = recv(scene.peer, data, sizeof(data), 0);
            if ((size <= 0) || (send(scene.peer, data, (size_t)size, MSG_NOSIGNAL) <= 0))
                _exit(0);
        }
    }
    return child;
}

static uint64_t returned;

static void sendMore(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)parameter;
    (void)self;
    if (event == POLLIN)
        returned = takePattern(socket, returned);
}

static bool isOver(void* closure)
{
    (void)closure;
    return scene.ours.hup > 0;
}

/* The end is orderly where the process had read all: then only what is sent shows that it is gone.
 */
static void kill9(enum Kind kind, int round)
{
    uint64_t sent = 0;
    pid_t child = 0;

    returned = 0;
    pairKind(kind, scene.pair);
    child = startEcho();
    close(scene.peer);
    scene.pair[1] = -1;
    scene.ours.then = sendMore;
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    for (int turn = 0; turn < round % 20; turn++, sent += MESSAGE) {
        transmitPattern(scene.ours.socket, MESSAGE, sent);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    }
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    waitFor(scene.ring, isOver, NULL);
    while (scene.ours.err == 0) {
        int result = TransmitFastSocketData(scene.ours.socket, NULL, 0, "more", 4, 0);
        ck_assert((result == 0) || (result == -EPIPE));
        ck_assert_int_eq(WaitForFastRing(scene.ring, 100, NULL), 0);
    }
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.hup, 1);
    ck_assert((scene.ours.lastError == ECONNRESET) || (scene.ours.lastError == EPIPE));
    ck_assert((scene.ours.lastHangup == 0) || (scene.ours.lastHangup == scene.ours.lastError));
    runTurns(scene.ring, QUIET);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 2);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.1 POLLERR fatal (stream): the process at the other end is killed, whatever it was doing */
CASE(peer, isKilled)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};
    int count = (int)loadOf(60, 2000);

    for (int round = 0; round < count; round++)
        kill9(kinds[round % 2], round / 2);
    tell("killed peers: %d", count);
}
