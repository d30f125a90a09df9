/* Listeners: accepting, shortage of descriptors, release at every moment. */
#include "services.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/un.h>

enum
{
    MANY = 300,
    TURN = 256, /* completions, by default */
};

static struct FastListener* listener;
static struct sockaddr_storage address;
static socklen_t length;
static int accepted;
static int failures;
static int lastFailure;
static int lastHandle;

SCENE_AREA(listener, "listener");

static void take(struct FastListener* which, int handle, void* closure)
{
    ck_assert_ptr_eq(which, listener);
    ck_assert_ptr_eq(closure, &accepted);
    if (handle < 0) {
        failures++;
        lastFailure = handle;
        return;
    }
    accepted++;
    lastHandle = handle;
    ck_assert_int_eq(fcntl(handle, F_GETFD), FD_CLOEXEC);
}

static void takeAndClose(struct FastListener* which, int handle, void* closure)
{
    take(which, handle, closure);
    if (handle >= 0)
        close(handle);
}

static void countAndClose(struct FastListener* which, int handle, void* closure)
{
    (void)which;
    ck_assert_int_ge(handle, 0);
    (*(int*)closure)++;
    close(handle);
}

static void never(struct FastListener* which, int handle, void* closure)
{
    (void)which;
    (void)closure;
    ck_abort_msg("called with %d", handle);
}

static int listenAt(int family, int type)
{
    int handle = socket(family, type, 0);

    ck_assert_int_ge(handle, 0);
    memset(&address, 0, sizeof(address));
    if (family == AF_INET) {
        struct sockaddr_in* internet = (struct sockaddr_in*)&address;
        internet->sin_family = AF_INET;
        internet->sin_addr.s_addr = ownLoopback();
        length = sizeof(*internet);
    } else {
        address.ss_family = AF_UNIX;
        length = sizeof(sa_family_t); /* the kernel picks an abstract name */
    }
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&address, length), 0);
    ck_assert_int_eq(listen(handle, 4096), 0);
    length = sizeof(address);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)&address, &length), 0);
    return handle;
}

static int dial(int type)
{
    int handle = socket(address.ss_family, type, 0);

    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), 0);
    return handle;
}

static void openListener(int handle, int flags, HandleFastListenerEvent function)
{
    listener = CreateFastListener(scene.ring, handle, flags, function, &accepted);
    ck_assert_msg(listener != NULL, "CreateFastListener: %s", strerror(errno));
}

static void expectClosed(int handle)
{
    ck_assert_int_eq(fcntl(handle, F_GETFD), -1);
    ck_assert_int_eq(errno, EBADF);
}

/* ---- accepting ---- */

CASE(listener, acceptsTcp)
{
    openListener(listenAt(AF_INET, SOCK_STREAM), 0, take);
    for (int index = 1; index <= 3; index++) {
        int client = dial(SOCK_STREAM);
        waitCount(scene.ring, &accepted, index);
        ck_assert_int_eq(fcntl(lastHandle, F_GETFL) & O_NONBLOCK, 0);
        sendText(client, "hello");
        expectText(lastHandle, "hello");
        close(client);
        expectEnd(lastHandle);
        close(lastHandle);
    }
    ReleaseFastListener(listener);
}

CASE(listener, acceptsUnixAndSeqpacket)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
    for (int index = 0; index < 2; index++) {
        accepted = 0;
        openListener(listenAt(AF_UNIX, types[index]), SOCK_NONBLOCK | SOCK_CLOEXEC, take);
        int client = dial(types[index]);
        waitCount(scene.ring, &accepted, 1);
        ck_assert(fcntl(lastHandle, F_GETFL) & O_NONBLOCK);
        sendText(lastHandle, "x");
        expectText(client, "x");
        close(lastHandle);
        close(client);
        ReleaseFastListener(listener);
    }
}

/* More than a turn handles, all waiting at once. */
CASE(listener, acceptsMany)
{
    static int clients[MANY];
    int handle = listenAt(AF_INET, SOCK_STREAM);
    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_TURN_LIMIT, 16), 0);
    for (int index = 0; index < MANY; index++)
        clients[index] = dial(SOCK_STREAM);
    openListener(handle, 0, takeAndClose);
    waitCount(scene.ring, &accepted, MANY);
    for (int index = 0; index < MANY; index++)
        close(clients[index]);
    runIdle(scene.ring);
    ck_assert_int_eq(accepted, MANY);
    ck_assert_int_eq(failures, 0);
    ReleaseFastListener(listener);
}

/* §2.1 starvation: as many connections as there may be, a turn has no more of them than it has of
 * completions */
CASE(listener, leavesOthersTheirTurn)
{
    static int clients[MANY];
    int before = 0;
    int handle = listenAt(AF_INET, SOCK_STREAM);

    for (int index = 0; index < MANY; index++)
        clients[index] = dial(SOCK_STREAM);
    openListener(handle, 0, takeAndClose);
    while (accepted < MANY) {
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1000, NULL), 0);
        ck_assert_int_le(accepted - before, TURN);
        before = accepted;
    }
    for (int index = 0; index < MANY; index++)
        close(clients[index]);
    ReleaseFastListener(listener);
}

static void serve(struct FastListener* which, int handle, void* closure)
{
    static struct Recorder recorder;
    take(which, handle, closure);
    openRecorded(&scene, handle, NULL, 0, &recorder);
    transmitText(recorder.socket, "welcome");
    ReleaseFastSocket(recorder.socket);
}

CASE(listener, makesSocketsInside)
{
    openListener(listenAt(AF_INET, SOCK_STREAM), 0, serve);
    for (int index = 1; index <= 3; index++) {
        int client = dial(SOCK_STREAM);
        waitCount(scene.ring, &accepted, index);
        runIdle(scene.ring);
        expectText(client, "welcome");
        close(client);
    }
    ReleaseFastListener(listener);
}

/* ---- shortage ---- */

static int rested;

static void noteRest(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
    rested++;
}

static void rest(int64_t milliseconds)
{
    rested = 0;
    ck_assert_ptr_nonnull(SetFastRingTimeout(scene.ring, NULL, milliseconds, 0, noteRest, NULL));
    waitCount(scene.ring, &rested, 1);
}

enum
{
    SPARE = 64,
};

static int spares[SPARE];

/* The kernel reads the limit when an accept is armed, so that it must be low before. */
static void lowerLimit(void)
{
    struct rlimit limit;
    int probe = dup(0);

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)(probe + SPARE / 2);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(probe);
}

static void takeAllNumbers(void)
{
    for (int index = 0; index < SPARE; index++)
        spares[index] = dup(0);
    ck_assert_int_eq(dup(0), -1);
    ck_assert_int_eq(errno, EMFILE);
}

static void giveNumbersBack(void)
{
    for (int index = 0; index < SPARE; index++) {
        if (spares[index] >= 0)
            close(spares[index]);
    }
}

CASE(listener, recoversFromShortage)
{
    lowerLimit();
    openListener(listenAt(AF_INET, SOCK_STREAM), 0, takeAndClose);
    runIdle(scene.ring);
    for (int episode = 1; episode <= 2; episode++) {
        int clients[2] = {socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0)};
        takeAllNumbers();
        for (int index = 0; index < 2; index++)
            ck_assert_int_eq(connect(clients[index], (struct sockaddr*)&address, length), 0);
        waitCount(scene.ring, &failures, episode);
        ck_assert_int_eq(lastFailure, -EMFILE);
        uint64_t completions = readRing(scene.ring).completions;
        rest(350);
        ck_assert_int_eq(failures, episode); /* reported once, though tried several times */
        ck_assert_uint_le(readRing(scene.ring).completions - completions, 20);
        ck_assert_int_eq(accepted, 2 * episode - 2);
        giveNumbersBack();
        waitCount(scene.ring, &accepted, 2 * episode);
        ck_assert_int_eq(failures, episode);
        for (int index = 0; index < 2; index++)
            close(clients[index]);
    }
    ReleaseFastListener(listener);
}

CASE(listener, isReleasedWhileResting)
{
    lowerLimit();
    openListener(listenAt(AF_INET, SOCK_STREAM), 0, take);
    runIdle(scene.ring);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    takeAllNumbers();
    ck_assert_int_eq(connect(client, (struct sockaddr*)&address, length), 0);
    waitCount(scene.ring, &failures, 1);
    ReleaseFastListener(listener);
    giveNumbersBack();
    runIdle(scene.ring);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
    ck_assert_int_eq(accepted, 0);
    close(client);
}

/* ---- other failures ---- */

static void expectShutDownIsFinal(int handle, int how)
{
    failures = 0;
    openListener(handle, 0, take);
    runIdle(scene.ring);
    shutdown(handle, how);
    waitCount(scene.ring, &failures, 1);
    ck_assert_int_eq(lastFailure, -EINVAL);
    rest(250);
    ck_assert_int_eq(failures, 1);
    ReleaseFastListener(listener);
    runIdle(scene.ring);
    expectClosed(handle);
}

CASE(listener, shutDownIsFinal)
{
    expectShutDownIsFinal(listenAt(AF_INET, SOCK_STREAM), SHUT_RD);
    expectShutDownIsFinal(listenAt(AF_INET, SOCK_STREAM), SHUT_RDWR);
}

/* The system tells it only to who waits in the accept: to others there seems to be nothing. */
CASE(listener, shutDownIsFinalOfLocalSockets)
{
    expectShutDownIsFinal(listenAt(AF_UNIX, SOCK_STREAM), SHUT_RD);
    expectShutDownIsFinal(listenAt(AF_UNIX, SOCK_STREAM), SHUT_RDWR);
    expectShutDownIsFinal(listenAt(AF_UNIX, SOCK_SEQPACKET), SHUT_RD);
}

CASE(listener, shutDownIsFinalOfWhatDoesNotWait)
{
    static const int families[] = {AF_INET, AF_UNIX};
    for (int index = 0; index < 2; index++) {
        int handle = listenAt(families[index], SOCK_STREAM);
        ck_assert_int_eq(fcntl(handle, F_SETFL, O_NONBLOCK), 0);
        expectShutDownIsFinal(handle, SHUT_RD);
    }
}

/* Not one a turn: some systems' accept tells of TCP's backlog alone. */
CASE(listener, acceptsManyInATurn)
{
    static const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};
    int clients[50];

    for (int kind = 0; kind < 2; kind++) {
        accepted = 0;
        int handle = listenAt(kinds[kind] == KIND_TCP ? AF_INET : AF_UNIX, SOCK_STREAM);
        for (int index = 0; index < 50; index++)
            clients[index] = dial(SOCK_STREAM);
        openListener(handle, 0, takeAndClose);
        uint64_t first = currentTurn();
        waitCount(scene.ring, &accepted, 50);
        ck_assert_uint_le(currentTurn() - first, 10);
        for (int index = 0; index < 50; index++)
            close(clients[index]);
        ReleaseFastListener(listener);
        runIdle(scene.ring);
    }
}

/* Of two that share a socket both hear of each connection, and one gets it: the other does not take
 * that for a failure of its own, after a row of which it would rest for a while. */
CASE(listener, doesNotRestWhereOthersAreFaster)
{
    struct FastRing* ring = CreateFastRing(0);
    int handle = listenAt(AF_INET, SOCK_STREAM);
    int taken = 0;
    struct FastListener* slower = CreateFastListener(ring, dup(handle), 0, countAndClose, &taken);

    openListener(handle, 0, takeAndClose);
    for (int index = 1; index <= 40; index++) {
        runTurns(ring, 2);
        runTurns(scene.ring, 2);
        int client = dial(SOCK_STREAM);
        waitCount(scene.ring, &accepted, index);
        runTurns(ring, 2);
        ck_assert_int_eq(GetFastRingInterval(ring), -1);
        close(client);
    }
    ck_assert_int_eq(taken, 0);
    ReleaseFastListener(slower);
    ReleaseFastListener(listener);
    ReleaseFastRing(ring);
}

/* A client that gives up before it is accepted harms nobody. */
CASE(listener, outlivesAbortedConnections)
{
    int handle = listenAt(AF_INET, SOCK_STREAM);
    for (int index = 0; index < 20; index++)
        closeReset(dial(SOCK_STREAM));
    openListener(handle, 0, takeAndClose);
    runIdle(scene.ring);
    int before = accepted;
    int client = dial(SOCK_STREAM);
    waitCount(scene.ring, &accepted, before + 1);
    ck_assert_int_eq(failures, 0);
    close(client);
    ReleaseFastListener(listener);
}

/* ---- sockets made inside ---- */

static struct Recorder other;

/* What has taken the number of a connection since is looked at like any other. */
static void takeAnother(struct FastListener* which, int handle, void* closure)
{
    int pair[2];

    (void)which;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    ck_assert_int_eq(dup2(pair[0], handle), handle);
    close(pair[0]);
    *(int*)closure = pair[1];
    openRecorded(&scene, handle, NULL, 0, &other);
    accepted++;
}

CASE(listener, handsOverNumbersNotKinds)
{
    int client = -1;
    char text[8];
    listener = CreateFastListener(scene.ring, listenAt(AF_INET, SOCK_STREAM), 0, takeAnother,
                                  &client);
    int peer = dial(SOCK_STREAM);
    waitCount(scene.ring, &accepted, 1);
    sendText(client, "one");
    sendText(client, "two");
    waitInput(&other, 6);
    ck_assert_int_eq(ReceiveFastSocketData(other.socket, text, sizeof(text), 0), 3);
    ReleaseFastSocket(other.socket);
    close(peer);
    close(client);
    ReleaseFastListener(listener);
}

/* ---- release ---- */

CASE(listener, releasedAtAnyTime)
{
    ReleaseFastListener(NULL);
    for (int turns = 0; turns < 4; turns++) {
        int handle = listenAt(AF_INET, SOCK_STREAM);
        openListener(handle, 0, never);
        runTurns(scene.ring, turns);
        ReleaseFastListener(listener);
        runIdle(scene.ring);
        expectClosed(handle);
        int client = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(client, (struct sockaddr*)&address, length), -1);
        ck_assert_int_eq(errno, ECONNREFUSED);
        close(client);
    }
    ck_assert_uint_eq(readRing(scene.ring).operations, 0);
}

/* They were accepted already, and are closed: the peer hears the end. */
CASE(listener, closesWhatComesAfterRelease)
{
    int clients[10];

    openListener(listenAt(AF_INET, SOCK_STREAM), 0, never);
    runTurns(scene.ring, 2);
    for (int index = 0; index < 10; index++)
        clients[index] = dial(SOCK_STREAM);
    ReleaseFastListener(listener);
    runIdle(scene.ring);
    for (int index = 0; index < 10; index++) {
        char byte;
        ssize_t result = recv(clients[index], &byte, 1, 0);
        ck_assert(result == 0 || (result < 0 && errno == ECONNRESET));
        close(clients[index]);
    }
}

static void takeAndRelease(struct FastListener* which, int handle, void* closure)
{
    takeAndClose(which, handle, closure);
    ReleaseFastListener(which);
}

CASE(listener, releasesItself)
{
    int clients[10];
    int handle = listenAt(AF_INET, SOCK_STREAM);

    openListener(handle, 0, takeAndRelease);
    for (int index = 0; index < 10; index++)
        clients[index] = dial(SOCK_STREAM);
    waitCount(scene.ring, &accepted, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(accepted, 1);
    expectClosed(handle);
    for (int index = 0; index < 10; index++)
        close(clients[index]);
}

static struct FastListener* listeners[3];

static void releaseAll(struct FastListener* which, int handle, void* closure)
{
    (void)which;
    (void)closure;
    accepted++;
    close(handle);
    for (int index = 0; index < 3; index++) {
        ReleaseFastListener(listeners[index]);
        listeners[index] = NULL;
    }
}

CASE(listener, releasesOthers)
{
    int clients[3];

    for (int index = 0; index < 3; index++) {
        int handle = listenAt(AF_INET, SOCK_STREAM);
        clients[index] = dial(SOCK_STREAM);
        listeners[index] = CreateFastListener(scene.ring, handle, 0, releaseAll, NULL);
        ck_assert_ptr_nonnull(listeners[index]);
    }
    waitCount(scene.ring, &accepted, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(accepted, 1);
    for (int index = 0; index < 3; index++)
        close(clients[index]);
}

CASE(listener, endsWithTheRing)
{
    for (int turns = 0; turns < 3; turns++) {
        struct FastRing* ring = CreateFastRing(8);
        int handle = listenAt(AF_INET, SOCK_STREAM);
        listener = CreateFastListener(ring, handle, 0, never, NULL);
        ck_assert_ptr_nonnull(listener);
        runTurns(ring, turns);
        int client = dial(SOCK_STREAM);
        ReleaseFastRing(ring);
        expectClosed(handle);
        char byte;
        ck_assert_int_le(recv(client, &byte, 1, 0), 0);
        close(client);
        ReleaseFastListener(listener);
    }
}

static void releaseRing(struct FastListener* which, int handle, void* closure)
{
    takeAndClose(which, handle, closure);
    ReleaseFastRing(scene.ring);
}

CASE(listener, releasesTheRingInside)
{
    openListener(listenAt(AF_INET, SOCK_STREAM), 0, releaseRing);
    int client = dial(SOCK_STREAM);
    waitRingEnd();
    ReleaseFastListener(listener);
    close(client);
}

/* ---- bad input ---- */

static void* useInThread(void* closure)
{
    refuses(EPERM, CreateFastListener(scene.ring, *(int*)closure, 0, never, NULL));
    ReleaseFastListener(listener); /* does nothing */
    return NULL;
}

CASE(listener, refusesBadInput)
{
    int handle = listenAt(AF_INET, SOCK_STREAM);
    int plain = socket(AF_INET, SOCK_STREAM, 0);
    int datagram = socket(AF_INET, SOCK_DGRAM, 0);

    refuses(EINVAL, CreateFastListener(NULL, handle, 0, never, NULL));
    refuses(EINVAL, CreateFastListener(scene.ring, handle, 0, NULL, NULL));
    refuses(EINVAL, CreateFastListener(scene.ring, handle, 1, never, NULL));
    refuses(EINVAL, CreateFastListener(scene.ring, plain, 0, never, NULL));
    refuses(EINVAL, CreateFastListener(scene.ring, datagram, 0, never, NULL));
    refuses(EBADF, CreateFastListener(scene.ring, -1, 0, never, NULL));
    refuses(EBADF, CreateFastListener(scene.ring, 100000, 0, never, NULL));
    int file = open("/dev/null", O_RDONLY);
    refuses(ENOTSOCK, CreateFastListener(scene.ring, file, 0, never, NULL));
    runTurns(scene.ring, 2);
    ck_assert_int_ge(fcntl(handle, F_GETFD), 0); /* the caller's still */
    close(file);
    close(plain);
    close(datagram);

    openListener(handle, 0, takeAndClose);
    runTurns(scene.ring, 1);
    inThread(useInThread, &handle);
    int client = dial(SOCK_STREAM);
    waitCount(scene.ring, &accepted, 1);
    close(client);
    ReleaseFastListener(listener);
}

/* Though the queue of completions has no room for those of the cancellations. */
CASE(listener, freesManyPorts)
{
    struct FastRing* ring = CreateFastRing(2);
    struct FastListener* listeners[MANY];
    struct sockaddr_storage addresses[MANY];

    for (int index = 0; index < MANY; index++) {
        listeners[index] = CreateFastListener(ring, listenAt(AF_INET, SOCK_STREAM), 0, never, NULL);
        ck_assert_ptr_nonnull(listeners[index]);
        addresses[index] = address;
    }
    runTurns(ring, 2);
    for (int index = 0; index < MANY; index++) {
        ReleaseFastListener(listeners[index]);
        int handle = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(bind(handle, (struct sockaddr*)&addresses[index], length), 0);
        close(handle);
    }
    ReleaseFastRing(ring);
}

/* Nor does a connection that others are to accept wake the ring of a released listener. */
CASE(listener, hearsNothingOfOthersConnections)
{
    int handle = listenAt(AF_INET, SOCK_STREAM);
    openListener(dup(handle), 0, never);
    runIdle(scene.ring);
    ReleaseFastListener(listener);
    runIdle(scene.ring);
    struct pollfd state = {.fd = GetFastRingHandle(scene.ring), .events = POLLIN};
    runIdle(scene.ring);
    for (int round = 0; round < 3; round++) {
        int client = dial(SOCK_STREAM);
        ck_assert_int_eq(poll(&state, 1, 0), 0);
        close(client);
    }
    close(handle);
}

/* The connection has woken one, which is released before it looks. */
CASE(listener, leavesConnectionsToWhoSharesTheSocket)
{
    struct FastRing* ring = CreateFastRing(0);
    int handle = listenAt(AF_INET, SOCK_STREAM);
    struct FastListener* first = CreateFastListener(ring, dup(handle), 0, never, NULL);

    runTurns(ring, 2);
    listener = CreateFastListener(scene.ring, handle, 0, takeAndClose, &accepted);
    runTurns(scene.ring, 2);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(client, (struct sockaddr*)&address, length), 0);
    usleep(10000);
    ReleaseFastListener(first);
    waitCount(scene.ring, &accepted, 1);
    close(client);
    ReleaseFastListener(listener);
    ReleaseFastRing(ring);
}
