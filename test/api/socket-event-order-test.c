/* When events come, and in which order. */
#include "fixture.h"

SCENE_AREA(event, "event");

static void callsThatTellNothing(void)
{
    int events = scene.ours.events;
    FILE* stream = NULL;
    char byte = 0;

    (void)TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0);
    ck_assert_int_eq(scene.ours.events, events);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(scene.ours.events, events);
    (void)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0);
    ck_assert_int_eq(scene.ours.events, events);
    ReleaseFastBuffer(ReceiveFastSocketBuffer(scene.ours.socket));
    ck_assert_int_eq(scene.ours.events, events);
    stream = GetFastSocketStream(scene.ours.socket, 0);
    ck_assert_ptr_nonnull(stream);
    (void)fputs("y", stream);
    (void)fgetc(stream);
    ck_assert_int_eq(fclose(stream), 0);
    ck_assert_int_eq(scene.ours.events, events);
}

/* §2.1 when callbacks run: inside a wait and in no other call, whatever there is to be reported */
CASE(event, tellsInTurnsOnly)
{
    for (int reset = 0; reset < 2; reset++) {
        int events = 0;
        pairTcp(scene.pair);
        sendText(scene.peer, "waits already");
        openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
        ck_assert_int_eq(scene.ours.events, 0);
        callsThatTellNothing();
        waitInput(&scene.ours, 13);
        events = scene.ours.events;
        ck_assert_int_gt(events, 0);
        sendText(scene.peer, "more");
        callsThatTellNothing();
        if (reset)
            resetPeer();
        else
            ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
        callsThatTellNothing();
        waitHangup(&scene.ours);
        callsThatTellNothing();
        events = scene.ours.events;
        ReleaseFastSocket(scene.ours.socket);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.events, events);
        closePeer();
    }
}

static void expectOneBit(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)socket;
    (void)parameter;
    (void)self;
    ck_assert_msg(event == POLLIN || event == POLLOUT || event == POLLERR || event == POLLHUP,
                  "event 0x%x", (unsigned)event);
}

/* §2.1 event argument: one bit for each call, also for what is there to be reported at once */
CASE(event, tellsOneBitAtATime)
{
    scene.ours.then = expectOneBit;
    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    scene.ours.events = 0;
    scene.ours.out = 0;
    sendText(scene.peer, "all of it");
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    transmitText(scene.ours.socket, "at once");
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 3);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.out, 1);
    ck_assert_int_eq(scene.ours.hup, 1);
    scene.ours.then = NULL;
}

/* §2.1 event argument: also for a failure, which is two events */
CASE(event, tellsOneBitOfAFailure)
{
    scene.ours.then = expectOneBit;
    openPair(KIND_TCP);
    runIdle(scene.ring);
    resetPeer();
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.hup, 1);
    scene.ours.then = NULL;
}

/* §2.1 order, §2.1 data and RST together: input, then the error, then the hang-up, and nothing
 * more */
CASE(event, tellsInOrder)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 1);
    sendText(scene.peer, "last words");
    resetPeer();
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 4);
    ck_assert_int_eq(scene.ours.order[1], POLLIN);
    ck_assert_int_eq(scene.ours.order[2], POLLERR);
    ck_assert_int_eq(scene.ours.order[3], POLLHUP);
    expectFailure(&scene.ours, ECONNRESET);
}

static uint64_t drained;

static void drain(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    static uint8_t data[4096];
    ssize_t size = 0;

    (void)parameter;
    ck_assert_int_eq(self->err, event == POLLERR || event == POLLHUP);
    while (event == POLLIN && (size = ReceiveFastSocketData(socket, data, sizeof(data), 0)) > 0)
        drained += (uint64_t)size;
}

/* §2.1 order: what was received before the end is reported before a send error that came first */
CASE(event, tellsInputBeforeSendError)
{
    static char data[65536];
    uint64_t sent = 0;
    ssize_t size = 0;

    scene.ours.then = drain;
    drained = 0;
    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_TURN_LIMIT, 4096);
    runIdle(scene.ring);
    while ((size = send(scene.peer, data, sizeof(data), MSG_DONTWAIT)) > 0)
        sent += (uint64_t)size;
    ck_assert_uint_gt(sent, 65536);
    /* What is still on its way would be lost by the reset: the kernel's loss, not ours. */
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    closePeer();
    for (int count = 0; count < 3; count++) {
        (void)TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0);
        runTurns(scene.ring, 1);
    }
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_uint_gt(drained, 65536);
}
