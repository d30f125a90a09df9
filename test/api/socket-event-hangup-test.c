/* POLLHUP(0): the end of input, and the life of a connection behind it. */
#include "fixture.h"

#include <linux/net_tstamp.h>
#include <netinet/in.h>

SCENE_AREA(event, "event");

/* §2.1 POLLHUP, §2.1 queued input at POLLHUP, §2.3 nothing queued after orderly EOF: the
 * orderly end, after all data, once; receiving then gives 0 */
CASE(event, tellsEnd)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        char byte = 0;
        openPair(kinds[index]);
        runIdle(scene.ring);
        sendText(scene.peer, "the end");
        closePeer();
        waitHangup(&scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.hup, 1);
        ck_assert_int_eq(scene.ours.lastHangup, 0);
        ck_assert_int_eq(scene.ours.err, 0);
        ck_assert_int_eq(scene.ours.in, 1);
        ck_assert_int_eq(GetFastSocketError(scene.ours.socket), 0);
        receiveText(&scene.ours, "the end");
        ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 0);
        ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 0);
        closePair();
    }
}

/* §2.1 POLLHUP: the end of a connection that said nothing */
CASE(event, tellsEndWithoutData)
{
    openPair(KIND_TCP);
    closePeer();
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 0);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
}

/* §2.1 half-close, §2.4 after POLLHUP(0): sending goes on after POLLHUP(0); a later reset is
 * reported by POLLERR alone */
CASE(event, sendsAfterHalfClose)
{
    int drains = 0;

    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    drains = scene.ours.out;
    transmitText(scene.ours.socket, "still talking");
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, drains + 1);
    expectText(scene.peer, "still talking");
    resetPeer();
    waitCount(scene.ring, &scene.ours.err, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.hup, 1);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), scene.ours.lastError);
    ck_assert_msg((scene.ours.lastError == EPIPE) || (scene.ours.lastError == ECONNRESET), "%d",
                  scene.ours.lastError);
}

/* §2.1 half-close: the poll that waits for a reset must not spin on RDHUP */
CASE(event, restsAfterHalfClose)
{
    uint64_t completions = 0;

    openPair(KIND_TCP);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    completions = readRing(scene.ring).completions;
    for (int turn = 0; turn < 50; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    ck_assert_uint_le(readRing(scene.ring).completions - completions, 2);
}

/* §2.1 half-close: both ways, then a reset */
CASE(event, survivesResetAfterBothEnds)
{
    openPair(KIND_TCP);
    transmitText(scene.ours.socket, "unread");
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
    resetPeer();
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.hup, 1);
    ck_assert_int_le(scene.ours.err, 1);
}

/* §2.1 half-close: what the user finds in the error queue is no end */
CASE(event, survivesErrorQueue)
{
    const int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;

    openPair(KIND_TCP);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)),
                     0);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    for (int count = 0; count < 3; count++) {
        transmitText(scene.ours.socket, "still");
        waitDrained(&scene.ours);
        runIdle(scene.ring);
        expectText(scene.peer, "still");
    }
    ck_assert_int_eq(scene.ours.err, 0);
}

/* §2.1 local close: the user's own shutdown(2) of the handle */
CASE(event, tellsLocalShutdown)
{
    for (int how = 0; how < 2; how++) {
        openPair(KIND_TCP);
        runIdle(scene.ring);
        ck_assert_int_eq(
            shutdown(GetFastSocketHandle(scene.ours.socket), how ? SHUT_RDWR : SHUT_RD), 0);
        waitHangup(&scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.lastHangup, 0);
        ck_assert_int_eq(scene.ours.err, 0);
        closePair();
    }
}
