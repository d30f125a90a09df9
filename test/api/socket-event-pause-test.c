/* What a pause keeps, and what it lets through. */
#include "fixture.h"

#include <sys/ioctl.h>

SCENE_AREA(event, "event");

/* §2.1 user pause: no POLLIN, bytes in flight are kept and reported on resume */
CASE(event, keepsInputOfPause)
{
    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    sendText(scene.peer, "in flight");
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    sendText(scene.peer, " and later");
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    receiveText(&scene.ours, "in flight and later");
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    sendText(scene.peer, "next");
    receiveText(&scene.ours, "next");
}

/* §2.1 user pause: no more is read, the peer feels it */
CASE(event, pauseStopsReceiving)
{
    char block[4096] = "";
    size_t before = 0;
    int queued = 0;

    openPair(KIND_TCP);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    before = GetFastSocketInboundLength(scene.ours.socket);
    ck_assert_uint_eq(before, 0);
    for (int index = 0; index < 16; index++)
        sendAll(scene.peer, block, sizeof(block));
    runIdle(scene.ring);
    ck_assert_int_eq(ioctl(scene.handle, FIONREAD, &queued), 0);
    ck_assert_int_eq(scene.ours.in, 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
    ck_assert_int_eq(queued, 16 * sizeof(block));
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitInput(&scene.ours, 16 * sizeof(block));
}

/* §2.1 user pause, §2.8 nothing to do: what comes in a pause wakes no loop, once it was seen that
 * nobody waits for it */
CASE(event, restsInPause)
{
    const enum Kind kinds[] = {KIND_UNIX_STREAM, KIND_UNIX_DATAGRAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPair(kinds[index]);
        struct pollfd state = {.fd = GetFastRingHandle(scene.ring), .events = POLLIN};
        runIdle(scene.ring);
        ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
        runIdle(scene.ring);
        sendText(scene.peer, "first");
        runIdle(scene.ring);
        for (int round = 0; round < 5; round++) {
            sendText(scene.peer, "more");
            ck_assert_int_eq(poll(&state, 1, 0), 0);
            ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
        }
        ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
        waitInput(&scene.ours, 5 + 5 * 4);
        closePair();
    }
}

/* §2.1 paused socket: the end behind the pause is reported after resume */
CASE(event, holdsEndOfPause)
{
    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    sendText(scene.peer, "behind");
    closePeer();
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in + scene.ours.hup + scene.ours.err, 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    receiveText(&scene.ours, "behind");
}

/* §2.1 paused socket: a reset that came behind the end, while it was paused, is told, too */
CASE(event, holdsResetBehindEndOfPause)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    transmitText(scene.ours.socket, "unread");
    waitDrained(&scene.ours);
    closePeer();
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.hup + scene.ours.err, 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitFor(scene.ring, hasFailed, &scene.ours);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.lastError, EPIPE);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.hup, 1);
}

static void answerAndPause(struct FastSocket* socket, int event, int parameter,
                           struct Recorder* seen)
{
    (void)parameter;
    if ((event == POLLIN) && (seen->in == 1)) {
        ck_assert_int_eq(PauseFastSocket(socket), 0);
        transmitText(socket, "answer");
    } else if (event == POLLOUT) {
        ck_assert_int_eq(ResumeFastSocket(socket), 0);
    }
}

/* §2.1 paused socket: input comes before the end also when the handler of POLLOUT resumes */
CASE(event, tellsInputBeforeEndOfPause)
{
    scene.ours.then = answerAndPause;
    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "question");
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.order[0], POLLIN);
    ck_assert_int_eq(scene.ours.order[1], POLLOUT);
    ck_assert_int_eq(scene.ours.order[2], POLLIN);
    ck_assert_int_eq(scene.ours.order[3], POLLHUP);
    receiveText(&scene.ours, "question");
    closePair();
    scene.ours.then = NULL;
}

/* §2.1 paused socket: so is a reset behind the pause */
CASE(event, holdsResetOfPause)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    sendText(scene.peer, "behind");
    resetPeer();
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in + scene.ours.hup + scene.ours.err, 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    expectFailure(&scene.ours, ECONNRESET);
    receiveText(&scene.ours, "behind");
}

/* §2.1 paused socket: a fatal send error is reported at once, queued input kept */
CASE(event, tellsSendErrorInPause)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    sendText(scene.peer, "kept");
    waitInput(&scene.ours, 4);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    resetPeer();
    (void)TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    expectFailure(&scene.ours, ECONNRESET);
    receiveText(&scene.ours, "kept");
}

/* §2.1 paused socket, §2.1 POLLHUP: behind a failure a resume tells nothing, though there is unread
 * input */
CASE(event, tellsNothingBehindFailure)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    sendText(scene.peer, "kept");
    waitInput(&scene.ours, 4);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    resetPeer();
    (void)TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    expectFailure(&scene.ours, ECONNRESET);
    int events = scene.ours.events;
    (void)ResumeFastSocket(scene.ours.socket);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, events);
    receiveText(&scene.ours, "kept");
}
