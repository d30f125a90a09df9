/* Changing the handler, and calling the library inside it. */
#include "fixture.h"

SCENE_AREA(event, "event");

static struct Recorder next;

static void handOver(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)parameter;
    (void)self;
    if (event == POLLIN)
        ck_assert_int_eq(SetFastSocketHandler(socket, recordEvent, &next), 0);
}

/* §2.2 function, §2.2 closure: SetFastSocketHandler, from the next event on, inside and outside
 * of an event */
CASE(event, changesHandler)
{
    next.lastHangup = -1;
    scene.ours.then = handOver;
    openPair(KIND_UNIX_STREAM);
    waitCount(scene.ring, &scene.ours.out, 1);
    sendText(scene.peer, "first");
    receiveText(&scene.ours, "first");
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_ptr_eq(GetFastSocketClosure(scene.ours.socket), &next);
    sendText(scene.peer, "second");
    receiveText(&scene.ours, "second");
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(next.in, 1);
    ck_assert_int_eq(SetFastSocketHandler(scene.ours.socket, NULL, NULL), 0);
    sendText(scene.peer, "third");
    receiveText(&scene.ours, "third");
    closePeer();
    runIdle(scene.ring);
    ck_assert_int_eq(next.in + next.hup, 1);
}

/* Three layers of a protocol: a line of greeting, the data behind it, and whoever comes last. */
static struct Recorder greeting;
static struct Recorder body;
static struct Recorder rest;

static void readGreeting(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    char line[6] = "";

    (void)self;
    if ((event != POLLIN) || (parameter < (int)sizeof(line)))
        return;
    ck_assert_int_eq((int)ReceiveFastSocketData(socket, line, sizeof(line), 0), (int)sizeof(line));
    ck_assert_int_eq(memcmp(line, "HELLO\n", sizeof(line)), 0);
    ck_assert_int_eq(SetFastSocketHandler(socket, recordEvent, &body), 0);
    ck_assert_int_eq(ResumeFastSocket(socket), 0); /* what is left is reported to the next layer */
    transmitText(socket, "welcome");
}

static void readBody(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    char data[8] = "";

    (void)parameter;
    (void)self;
    if (event != POLLIN)
        return;
    ck_assert_int_eq((int)ReceiveFastSocketData(socket, data, 4, 0), 4);
    ck_assert_str_eq(data, "body");
    ck_assert_int_eq(SetFastSocketHandler(socket, recordEvent, &rest), 0);
}

/* §2.2 function, §2.2 closure: between layers of a protocol, each hears of its own and of
 * nothing else */
CASE(event, handsOverBetweenLayers)
{
    for (int reset = 0; reset < 2; reset++) {
        struct Recorder fresh = {.lastHangup = -1};
        greeting = body = rest = fresh;
        greeting.then = readGreeting;
        body.then = readBody;
        pairTcp(scene.pair);
        openRecorded(&scene, scene.handle, NULL, 0, &greeting);
        scene.ours.socket = greeting.socket;
        waitCount(scene.ring, &greeting.out, 1);
        sendText(scene.peer, "HELL");
        waitInput(&greeting, 4);
        runIdle(scene.ring);
        sendText(scene.peer, "O\nbody, and more");
        waitCount(scene.ring, &body.in, 1);
        ck_assert_int_eq(body.parameterIn, 14);
        runIdle(scene.ring);
        expectText(scene.peer, "welcome");
        /* The drain of what the first layer sent is the second's or the third's to hear. */
        ck_assert_int_eq(body.out + rest.out, 1);
        ck_assert_int_eq(greeting.in, 2);
        ck_assert_int_eq(greeting.out, 1);
        if (reset) {
            resetPeer();
        } else {
            closePeer();
        }
        waitFor(scene.ring, hasHungUp, &rest);
        runIdle(scene.ring);
        ck_assert_int_eq(greeting.err + greeting.hup + body.err + body.hup, 0);
        ck_assert_int_eq(rest.err, reset);
        ck_assert_int_eq(rest.hup, 1);
        ck_assert_int_eq(body.in, 1);
        ck_assert_ptr_eq(GetFastSocketClosure(scene.ours.socket), &rest);
        closePair();
    }
}

static void waitInside(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)event;
    (void)parameter;
    *(int*)self->closure = WaitForFastRing(GetFastSocketRing(socket), 0, NULL);
}

/* §2.1 re-entrancy: no turn inside a turn */
CASE(event, refusesNestedTurn)
{
    int result = 1;

    scene.ours.then = waitInside;
    scene.ours.closure = &result;
    openPair(KIND_UNIX_STREAM);
    waitCount(scene.ring, &scene.ours.out, 1);
    ck_assert_int_eq(result, -EBUSY);
}

static void callEverything(struct FastSocket* socket, int event, int parameter,
                           struct Recorder* self)
{
    struct FastBuffer* buffer = NULL;
    char byte = 0;

    (void)parameter;
    (void)event;
    (void)self;
    (void)ReceiveFastSocketData(socket, &byte, 1, 0);
    (void)ReceiveFastSocketData(socket, &byte, 1, MSG_PEEK);
    ck_assert_int_eq(PauseFastSocket(socket), 0);
    ck_assert_int_eq(ResumeFastSocket(socket), 0);
    setOption(socket, FASTSOCKET_OPTION_INBOUND_HIGH, 65536);
    (void)TransmitFastSocketData(socket, NULL, 0, "echo", 4, 0);
    buffer = ReceiveFastSocketBuffer(socket);
    if (buffer != NULL)
        (void)TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, GetFastBufferLength(buffer), 0);
    (void)ShutdownFastSocket(socket);
}

/* §2.1 re-entrancy: any other call, in every event */
CASE(event, allowsCallsInside)
{
    for (int reset = 0; reset < 2; reset++) {
        scene.ours.then = callEverything;
        openPair(KIND_TCP);
        sendText(scene.peer, "some input");
        runIdle(scene.ring);
        if (reset) {
            resetPeer();
            runIdle(scene.ring);
        } else {
            closePeer();
            waitHangup(&scene.ours);
        }
        closePair();
    }
}
