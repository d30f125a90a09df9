/* Anything may be removed inside any event, and nothing is delivered for it afterwards. */
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>

static struct Fixture fixture;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static const int events[] = {POLLIN, POLLOUT, POLLERR, POLLHUP};

enum Act
{
    ACT_RELEASE,
    ACT_ABORT,
    ACT_SHUTDOWN,
    ACT_PAUSE,
    ACT_PAUSE_RESUME,
    ACT_HANDLER,
    ACT_NO_HANDLER,
    ACT_REPLACE, /* abort, and a new socket at once */
    ACT_COUNT,
};

struct Scene
{
    int event;
    enum Act act;
    struct Recorder* victim;
    int peer; /* of a socket that ACT_REPLACE made */
    bool done;
    struct Recorder spare;
};

static void act(struct Scene* scene)
{
    struct Recorder* victim = scene->victim;
    int pair[2];

    switch (scene->act) {
    case ACT_RELEASE:
        ReleaseFastSocket(victim->socket);
        victim->socket = NULL;
        break;
    case ACT_ABORT:
        AbortFastSocket(victim->socket);
        victim->socket = NULL;
        break;
    case ACT_SHUTDOWN:
        (void)ShutdownFastSocket(victim->socket);
        break;
    case ACT_PAUSE:
        ck_assert_int_eq(PauseFastSocket(victim->socket), 0);
        break;
    case ACT_PAUSE_RESUME:
        ck_assert_int_eq(PauseFastSocket(victim->socket), 0);
        ck_assert_int_eq(ResumeFastSocket(victim->socket), 0);
        break;
    case ACT_HANDLER:
        ck_assert_int_eq(SetFastSocketHandler(victim->socket, recordEvent, &scene->spare), 0);
        break;
    case ACT_NO_HANDLER:
        ck_assert_int_eq(SetFastSocketHandler(victim->socket, NULL, NULL), 0);
        break;
    default:
        AbortFastSocket(victim->socket);
        victim->socket = NULL;
        pairStream(pair);
        openRecorded(&fixture, pair[0], NULL, 0, &scene->spare);
        transmitText(scene->spare.socket, "replacement");
        scene->peer = pair[1];
        break;
    }
}

static void actOnce(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    struct Scene* scene = self->closure;

    (void)socket;
    (void)parameter;
    if ((event != scene->event) || scene->done)
        return;
    scene->done = true;
    act(scene);
}

/* Brings all four events, so far as the socket lives to see them. */
static void play(int event, enum Act what, bool other)
{
    struct Scene scene = {.event = event, .act = what, .peer = -1};
    struct Recorder actor = {.then = actOnce, .closure = &scene};
    struct Recorder bystander = {0};
    int first[2];
    int second[2];

    scene.spare.lastHangup = -1;
    scene.victim = other ? &bystander : &actor;
    pairTcp(first);
    pairTcp(second);
    openRecorded(&fixture, first[0], NULL, 0, &actor);
    openRecorded(&fixture, second[0], NULL, 0, &bystander);
    sendText(first[1], "input");
    sendText(second[1], "input");
    runIdle(fixture.ring);
    if (actor.socket != NULL)
        (void)TransmitFastSocketData(actor.socket, NULL, 0, "output", 6, 0);
    if (bystander.socket != NULL)
        (void)TransmitFastSocketData(bystander.socket, NULL, 0, "output", 6, 0);
    /* The connection may be gone by now. */
    (void)send(first[1], "more", 4, MSG_NOSIGNAL);
    (void)send(second[1], "more", 4, MSG_NOSIGNAL);
    /* Both end together, so that events of both wait in the same turn. */
    closeReset(first[1]);
    closeReset(second[1]);
    runIdle(fixture.ring);
    ck_assert_msg(scene.done, "event %d never came", event);
    if (scene.peer >= 0) {
        expectText(scene.peer, "replacement");
        sendText(scene.peer, "works");
        receiveText(&scene.spare, "works");
        ck_assert_int_eq(scene.spare.hup + scene.spare.err, 0);
        ReleaseFastSocket(scene.spare.socket);
        close(scene.peer);
    }
    ReleaseFastSocket(actor.socket);
    ReleaseFastSocket(bystander.socket);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}

static void playAll(enum Act what)
{
    for (int other = 0; other < 2; other++) {
        for (size_t index = 0; index < sizeof(events) / sizeof(events[0]); index++)
            play(events[index], what, other);
    }
}

/* §2.1 release inside a callback: the socket's own and another's, in every event */
START_TEST(releaseInsideHandler)
{
    playAll(ACT_RELEASE);
}
END_TEST

/* §2.1 release inside a callback: by abort */
START_TEST(abortInsideHandler)
{
    playAll(ACT_ABORT);
}
END_TEST

START_TEST(shutdownInsideHandler)
{
    playAll(ACT_SHUTDOWN);
}
END_TEST

START_TEST(pauseInsideHandler)
{
    playAll(ACT_PAUSE);
}
END_TEST

START_TEST(resumeInsideHandler)
{
    playAll(ACT_PAUSE_RESUME);
}
END_TEST

/* §2.2 function, §2.2 closure: changed inside every event */
START_TEST(changeHandlerInsideHandler)
{
    playAll(ACT_HANDLER);
}
END_TEST

/* §2.2 function: taken away inside every event */
START_TEST(removeHandlerInsideHandler)
{
    playAll(ACT_NO_HANDLER);
}
END_TEST

/* §2.1 release inside a callback: and a new socket made at once */
START_TEST(replaceInsideHandler)
{
    playAll(ACT_REPLACE);
}
END_TEST

/* The first owner of a number: busy in all ways that leave something on the way. */
static void openFirstOwner(struct Recorder* first, int round, int pair[2])
{
    static char data[100000];

    pairKind(round % 3 ? KIND_TCP : KIND_UNIX_STREAM, pair);
    openRecorded(&fixture, pair[0], NULL, round & 1 ? FASTSOCKET_MODE_ZERO_COPY : 0, first);
    runTurns(fixture.ring, round % 4);
    (void)send(pair[1], "old", 3, MSG_NOSIGNAL);
    ck_assert_int_eq(TransmitFastSocketData(first->socket, NULL, 0, data, sizeof(data), 0), 0);
    runTurns(fixture.ring, round % 3);
    (void)send(pair[1], "older", 5, MSG_NOSIGNAL);
    if (round % 5 == 0)
        (void)shutdown(pair[1], SHUT_WR);
    if (round % 7 == 0) {
        closeReset(pair[1]);
        pair[1] = -1;
    }
}

/* §2.6 shutdown and close: the number is free only when all is over, so that its next owner gets neither
 * bytes nor events of the last one */
START_TEST(leavesNothingToTheNextOwner)
{
    for (int round = 0; round < 128; round++) {
        struct Recorder first = {0};
        struct Recorder second = {0};
        char data[16] = "";
        int old[2];
        int fresh[2];
        pairStream(fresh);
        openFirstOwner(&first, round, old);
        if (round % 2)
            setOption(first.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 0);
        if (round % 16 == 3) /* waits for its peer, for a second */
            ReleaseFastSocket(first.socket);
        else
            AbortFastSocket(first.socket);
        /* Taken at the first moment at which it is free. */
        for (int turn = 0; fcntl(old[0], F_GETFD) >= 0; turn++) {
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            ck_assert_int_lt(turn, 60000);
        }
        ck_assert_int_eq(fcntl(fresh[0], F_DUPFD_CLOEXEC, old[0]), old[0]);
        close(fresh[0]);
        openRecorded(&fixture, old[0], NULL, 0, &second);
        if (old[1] >= 0)
            (void)send(old[1], "oldest", 6, MSG_NOSIGNAL);
        sendText(fresh[1], "new");
        transmitText(second.socket, "answer");
        waitInput(&second, 3);
        waitDrained(&second);
        runIdle(fixture.ring);
        ck_assert_int_eq(second.in, 1);
        ck_assert_int_eq(second.out, 1);
        ck_assert_int_eq(second.err + second.hup, 0);
        ck_assert_int_eq((int)ReceiveFastSocketData(second.socket, data, sizeof(data), 0), 3);
        ck_assert_str_eq(data, "new");
        expectText(fresh[1], "answer");
        expectNothing(fresh[1]);
        if (old[1] >= 0)
            close(old[1]);
        close(fresh[1]);
        ReleaseFastSocket(second.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
    }
}
END_TEST

static void releaseEverything(struct FastSocket* socket, int event, int parameter,
                              struct Recorder* self)
{
    (void)socket;
    (void)event;
    (void)parameter;
    (void)self;
    ReleaseFastSocket(self->socket);
    self->socket = NULL;
    ReleaseFastRingBufferProvider(fixture.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(fixture.inbound);
    ReleaseFastBufferPool(fixture.outbound);
    fixture.provider = NULL;
    fixture.inbound = NULL;
    fixture.outbound = NULL;
}

/* provider and pools inside an event, in use by sockets that still flush */
START_TEST(releaseProviderInsideHandler)
{
    struct Recorder recorder = {.then = releaseEverything};
    struct Recorder other = {0};
    static uint8_t data[100000];
    int first[2];
    int second[2];

    pairTcp(first);
    pairTcp(second);
    openRecorded(&fixture, second[0], NULL, 0, &other);
    openRecorded(&fixture, first[0], NULL, 0, &recorder);
    transmitPattern(recorder.socket, sizeof(data), 0);
    sendText(first[1], "input");
    sendText(second[1], "input");
    runIdle(fixture.ring);
    ck_assert_ptr_null(fixture.provider);
    receiveText(&other, "input");
    sendText(second[1], "goes on");
    receiveText(&other, "goes on");
    for (size_t done = 0; done < sizeof(data);) {
        ssize_t size = recv(first[1], data, sizeof(data), MSG_DONTWAIT);
        if (size < 0) {
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)size, done));
        done += (size_t)size;
    }
    close(first[1]);
    ReleaseFastSocket(other.socket);
    close(second[1]);
}
END_TEST

/* ---- churn -------------------------------------------------------------------------------------- */

enum
{
    ACTORS = 40,
    ROUNDS = 6000,
};

struct Actor
{
    struct Recorder recorder; /* its socket NULL: none */
    int peer;                 /* -1: closed */
};

static struct Actor actors[ACTORS];
static unsigned seed;
static int created;

static int roll(int sides)
{
    return (int)((unsigned)rand_r(&seed) % (unsigned)sides);
}

static void churnEvent(struct FastSocket* socket, int event, int parameter, struct Recorder* self);

static void drop(struct Actor* actor)
{
    if (actor->recorder.socket == NULL)
        return;
    if (roll(2))
        ReleaseFastSocket(actor->recorder.socket);
    else
        AbortFastSocket(actor->recorder.socket);
    actor->recorder.socket = NULL;
    if (actor->peer >= 0)
        close(actor->peer);
    actor->peer = -1;
}

static void fill(struct Actor* actor)
{
    enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET,
                         KIND_UDP};
    int modes[] = {0, FASTSOCKET_MODE_ZERO_COPY, FASTSOCKET_MODE_AUTO_CORK};
    struct msghdr message = {.msg_namelen = 32, .msg_controllen = 32};
    int pair[2];

    if (actor->recorder.socket != NULL)
        return;
    pairKind(kinds[roll(5)], pair);
    actor->recorder.then = churnEvent;
    actor->recorder.closure = actor;
    openRecorded(&fixture, pair[0], roll(3) ? NULL : &message, modes[roll(3)], &actor->recorder);
    actor->peer = pair[1];
    created++;
    if (roll(3) == 0)
        setOption(actor->recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 2000);
    if (roll(3) == 0)
        setOption(actor->recorder.socket, FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD, 100);
}

/* One random thing to a random socket: what a careless program might do anywhere. */
static void stir(void)
{
    static char data[60000];
    struct Actor* actor = &actors[roll(ACTORS)];
    struct FastSocket* socket = actor->recorder.socket;
    struct FastBuffer* buffer = NULL;

    if (socket == NULL) {
        fill(actor);
        return;
    }
    switch (roll(16)) {
    case 0:
        drop(actor);
        break;
    case 1:
        drop(actor);
        fill(actor);
        break;
    case 2:
        (void)PauseFastSocket(socket);
        break;
    case 3:
        (void)ResumeFastSocket(socket);
        break;
    case 4:
        (void)ShutdownFastSocket(socket);
        break;
    case 5:
        (void)TransmitFastSocketData(socket, NULL, 0, data, (size_t)roll(sizeof(data)), 0);
        break;
    case 6:
        (void)TransmitFastSocketData(socket, NULL, 0, data, (size_t)roll(100), 0);
        break;
    case 7:
        buffer = AllocateFastBuffer(fixture.outbound, 10000, 0);
        (void)TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, (size_t)roll(10000), 0);
        break;
    case 8:
    case 9:
        while (ReceiveFastSocketData(socket, data, sizeof(data), 0) > 0)
            ;
        break;
    case 10:
        ReleaseFastBuffer(ReceiveFastSocketBuffer(socket));
        break;
    case 11:
        if (actor->peer >= 0)
            close(actor->peer);
        actor->peer = -1;
        break;
    case 12:
        if (actor->peer >= 0)
            closeReset(actor->peer);
        actor->peer = -1;
        break;
    case 13:
        if (actor->peer >= 0)
            (void)shutdown(actor->peer, SHUT_WR);
        break;
    default:
        if (actor->peer >= 0) {
            (void)send(actor->peer, data, (size_t)roll(20000), MSG_DONTWAIT | MSG_NOSIGNAL);
            (void)recv(actor->peer, data, sizeof(data), MSG_DONTWAIT);
        }
        break;
    }
}

static void churnEvent(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)parameter;
    (void)event;
    ck_assert_ptr_eq(self->socket, socket);
    for (int count = roll(3); count > 0; count--)
        stir();
}

static void churn(unsigned start, uint32_t length, uint16_t buffers)
{
    fixtureClose(&fixture);
    fixtureOpen(&fixture, length, buffers, 1024);
    seed = start;
    for (int index = 0; index < ACTORS; index++)
        actors[index].peer = -1;
    for (int round = 0; round < ROUNDS; round++) {
        stir();
        if (roll(3) == 0)
            runTurns(fixture.ring, 1);
    }
    for (int index = 0; index < ACTORS; index++) {
        if (actors[index].recorder.socket != NULL)
            AbortFastSocket(actors[index].recorder.socket);
        if (actors[index].peer >= 0)
            close(actors[index].peer);
        memset(&actors[index], 0, sizeof(actors[index]));
    }
    ck_assert_int_gt(created, 100);
}

/* §2.1 release inside a callback, §2.1 re-entrancy: everything at random, also inside events,
 * with seeds that are always the same */
START_TEST(churnsAtRandom)
{
    churn(1, 0, 64);
    churn(2, 2, 2);
    churn(3, 0, 1);
    churn(4, 4, 16);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-remove");
    TCase* area = tcase_create("socket");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, releaseInsideHandler);
    tcase_add_test(area, abortInsideHandler);
    tcase_add_test(area, shutdownInsideHandler);
    tcase_add_test(area, pauseInsideHandler);
    tcase_add_test(area, resumeInsideHandler);
    tcase_add_test(area, changeHandlerInsideHandler);
    tcase_add_test(area, removeHandlerInsideHandler);
    tcase_add_test(area, replaceInsideHandler);
    tcase_add_test(area, leavesNothingToTheNextOwner);
    tcase_add_test(area, releaseProviderInsideHandler);
    tcase_add_test(area, churnsAtRandom);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
