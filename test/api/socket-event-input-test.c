/* POLLIN: what it says, and how often. */
#include "fixture.h"

SCENE_AREA(event, "event");

/* §2.1 POLLIN: all completions of a turn are merged */
CASE(event, mergesInput)
{
    openPair(KIND_UNIX_DATAGRAM);
    runIdle(scene.ring);
    for (int index = 0; index < 8; index++)
        sendText(scene.peer, "12345");
    waitInput(&scene.ours, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.parameterIn, 40);
}

/* §2.1 POLLIN: parameter is the payload, without headers of messages */
CASE(event, countsPayload)
{
    struct msghdr message = {.msg_namelen = 100, .msg_controllen = 100};

    openPairWith(.kind = KIND_UDP, .message = &message);
    sendText(scene.peer, "1234567");
    waitInput(&scene.ours, 7);
    ck_assert_int_eq(scene.ours.parameterIn, 7);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 7);
}

/* §2.1 POLLIN: 0 when nothing but empty datagrams is queued */
CASE(event, tellsEmptyDatagram)
{
    char byte = 0;

    openPair(KIND_UDP);
    ck_assert_int_eq(send(scene.peer, "", 0, 0), 0);
    waitCount(scene.ring, &scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.parameterIn, 0);
    ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 0);
    sendText(scene.peer, "x");
    receiveText(&scene.ours, "x");
    ck_assert_int_eq(scene.ours.hup, 0);
}

struct Other
{
    struct Recorder* first;
    struct Recorder* second;
};

static void drainBoth(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    struct Other* other = self->closure;
    char data[64];

    (void)socket;
    (void)parameter;
    if (event != POLLIN)
        return;
    while (ReceiveFastSocketData(other->first->socket, data, sizeof(data), 0) > 0)
        ;
    while (ReceiveFastSocketData(other->second->socket, data, sizeof(data), 0) > 0)
        ;
}

/* §2.1 POLLIN: not at all if an earlier callback of the turn has drained the queue */
CASE(event, dropsInputDrainedBefore)
{
    struct Recorder second = {0};
    struct Other other = {&scene.ours, &second};

    scene.ours.then = drainBoth;
    scene.ours.closure = &other;
    second.then = drainBoth;
    second.closure = &other;
    openPair(KIND_UNIX_STREAM);
    int more = openBeside(KIND_UNIX_STREAM, &second);
    runIdle(scene.ring);
    sendText(scene.peer, "first");
    sendText(more, "second");
    for (int turn = 0; (turn < 1000) && (scene.ours.in + second.in == 0); turn++)
        runTurns(scene.ring, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in + second.in, 1);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(second.socket), 0);
    closePair();
    ReleaseFastSocket(second.socket);
    close(more);
}

/* §2.1 POLLIN for unread data: an edge, with the full count when more comes */
CASE(event, tellsUnreadDataOnce)
{
    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "abc");
    waitInput(&scene.ours, 3);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 1);
    sendText(scene.peer, "de");
    waitInput(&scene.ours, 5);
    ck_assert_int_eq(scene.ours.in, 2);
    ck_assert_int_eq(scene.ours.parameterIn, 5);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 2);
}

/* §2.1 POLLIN for unread data: not with an event of another kind, that comes later */
CASE(event, tellsUnreadDataWithNothingElse)
{
    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "abc");
    waitInput(&scene.ours, 3);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 1);
    transmitText(scene.ours.socket, "answer");
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 2);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.in, 1);
}

/* §2.1 POLLIN for unread data: again on resume */
CASE(event, tellsUnreadDataOnResume)
{
    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "abc");
    waitInput(&scene.ours, 3);
    runIdle(scene.ring);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(scene.ours.in, 1);
    waitCount(scene.ring, &scene.ours.in, 2);
    ck_assert_int_eq(scene.ours.parameterIn, 3);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 2);
}

enum
{
    FLOOD = 300,
};

static struct Recorder many[FLOOD];
static int inTurn;
static int mostInTurn;
static uint64_t thisTurn;

static void countInTurn(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)socket;
    (void)parameter;
    (void)self;
    if (event != POLLIN)
        return;
    if (thisTurn != currentTurn())
        inTurn = 0;
    thisTurn = currentTurn();
    inTurn++;
    if (inTurn > mostInTurn)
        mostInTurn = inTurn;
}

/* §2.1 starvation: the ring handles no more than its limit of completions in a turn */
CASE(event, boundsTurn)
{
    int peers[FLOOD];
    int total = 0;

    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_TURN_LIMIT, 16), 0);
    for (int index = 0; index < FLOOD; index++) {
        pairUnix(scene.pair, SOCK_DGRAM);
        many[index].then = countInTurn;
        openRecorded(&scene, scene.handle, NULL, 0, &many[index]);
        peers[index] = scene.peer;
    }
    runIdle(scene.ring);
    for (int index = 0; index < FLOOD; index++)
        sendText(peers[index], "x");
    for (int index = 0; index < FLOOD; index++)
        waitInput(&many[index], 1);
    ck_assert_int_le(mostInTurn, 16);
    for (int index = 0; index < FLOOD; index++) {
        total += many[index].in;
        ReleaseFastSocket(many[index].socket);
        close(peers[index]);
    }
    ck_assert_int_eq(total, FLOOD);
}

/* §2.1 starvation: a flooding socket leaves turns to the others */
CASE(event, boundsSocketInTurn)
{
    struct Recorder quiet = {0};
    char block[65536] = "";
    uint64_t first = 0;

    openPair(KIND_UNIX_STREAM);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_TURN_LIMIT, 4096);
    int more = openBeside(KIND_UNIX_STREAM, &quiet);
    runIdle(scene.ring);
    sendAll(scene.peer, block, sizeof(block));
    sendText(more, "x");
    first = currentTurn();
    waitInput(&quiet, 1);
    ck_assert_uint_le(currentTurn() - first, 40);
    waitInput(&scene.ours, sizeof(block));
    ck_assert_int_ge(scene.ours.in, 2);
    closePair();
    ReleaseFastSocket(quiet.socket);
    close(more);
}
