/* POLLOUT: when it comes, and how often. */
#include "fixture.h"

#include <fcntl.h>

SCENE_AREA(event, "event");

/* §2.1 POLLOUT: (a) once when writable with an empty queue */
CASE(event, tellsFirstWritable)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        pairKind(kind, scene.pair);
        memset(&scene.ours, 0, sizeof(scene.ours));
        openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
        waitCount(scene.ring, &scene.ours.out, 1);
        runIdle(scene.ring);
        ck_assert_msg(scene.ours.out == 1, "%s", nameKind(kind));
        ck_assert_int_eq(scene.ours.events, 1);
        closePair();
    }
}

/* §2.1 POLLOUT: (a) only if the queue is empty; then (b) it is */
CASE(event, mergesFirstWritableAndDrain)
{
    openPair(KIND_TCP);
    transmitText(scene.ours.socket, "at once");
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 1);
    expectText(scene.peer, "at once");
}

/* §2.1 POLLOUT: (a) not while something is queued that the first turn had no room for */
CASE(event, tellsNothingWhileQueued)
{
    const size_t size = (size_t)16 << 20;

    openPair(KIND_UNIX_STREAM);
    transmitPattern(scene.ours.socket, size, 0);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 0);
    expectPattern(scene.peer, size, 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 1);
    ck_assert_int_eq(scene.ours.events, 1);
}

/* §2.1 POLLOUT: (b) each time the queue becomes empty */
CASE(event, tellsEachDrain)
{
    openPair(KIND_TCP);
    waitCount(scene.ring, &scene.ours.out, 1);
    for (int round = 0; round < 5; round++) {
        transmitText(scene.ours.socket, "drain");
        waitDrained(&scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.out, 2 + round);
        expectText(scene.peer, "drain");
    }
}

/* §2.1 POLLOUT during a burst of queueing: one for all of it */
CASE(event, tellsBurstOnce)
{
    openPair(KIND_UNIX_STREAM);
    waitCount(scene.ring, &scene.ours.out, 1);
    for (int index = 0; index < 500; index++)
        transmitText(scene.ours.socket, "x");
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 2);
}

/* §2.1 POLLOUT, §2.4 empty: an empty transmit is a flush marker */
CASE(event, tellsFlushMarker)
{
    openPair(KIND_UNIX_STREAM);
    waitCount(scene.ring, &scene.ours.out, 1);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, NULL, 0, 0), 0);
    ck_assert_int_eq(scene.ours.out, 1);
    waitCount(scene.ring, &scene.ours.out, 2);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 2);
    transmitText(scene.ours.socket, "data");
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "", 0, 0), 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 3);
    expectText(scene.peer, "data");
    expectNothing(scene.peer);
}

/* §2.1 POLLOUT: with zero copy at the first completion, not the notification */
CASE(event, tellsDrainBeforeNotification)
{
    openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_ZERO_COPY);
    waitCount(scene.ring, &scene.ours.out, 1);
    transmitPattern(scene.ours.socket, 65536, 0);
    waitCount(scene.ring, &scene.ours.out, 2);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
}

/* Turns until many in a row have submitted nothing: false if that doesn't come. */
static bool comesToRest(struct FastRing* ring)
{
    uint64_t before = readRing(ring).submissions;
    int rest = 0;
    for (int turn = 0; turn < 1000 && rest < 20; turn++) {
        ck_assert_int_eq(WaitForFastRing(ring, 1, NULL), 0);
        uint64_t now = readRing(ring).submissions;
        rest = now == before ? rest + 1 : 0;
        before = now;
    }
    return rest == 20;
}

/* §2.1 POLLOUT: waited for in peace, though each poll says that the peer has ended its output */
CASE(event, waitsForRoomBehindTheEndOfInput)
{
    static const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};
    const size_t size = 16 << 20; /* more than socket buffers hold */
    for (size_t index = 0; index < 2; index++) {
        openPair(kinds[index]);
        ck_assert_int_eq(fcntl(scene.handle, F_SETFL, O_NONBLOCK), 0);
        ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
        waitCount(scene.ring, &scene.ours.hup, 1);
        transmitPattern(scene.ours.socket, size, 0);
        ck_assert_msg(comesToRest(scene.ring), "%s", nameKind(kinds[index]));
        ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
        expectPattern(scene.peer, size, 0);
        waitDrained(&scene.ours);
        closePair();
    }
}
