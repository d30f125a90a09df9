/* POLLOUT: when it comes, and how often. */
#include "fixture.h"

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
