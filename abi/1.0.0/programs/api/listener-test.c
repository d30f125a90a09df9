/* Listeners: accepting, shortage of descriptors, release at every moment. */
#include "services.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/un.h>

enum
{
    MANY = 300,
};

static struct Fixture fixture;
static struct FastListener* listener;
static struct sockaddr_storage address;
static socklen_t length;
static int accepted;
static int failures;
static int lastFailure;
static int lastHandle;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void setUpSingle(void)
{
    setenv("FASTSOCKET_FEATURES_OFF", "0x100", 1); /* FASTRING_FEATURE_ACCEPT_MULTISHOT */
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

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
        internet->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
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
    listener = CreateFastListener(fixture.ring, handle, flags, function, &accepted);
    ck_assert_msg(listener != NULL, "CreateFastListener: %s", strerror(errno));
}

static void expectClosed(int handle)
{
    ck_assert_int_eq(fcntl(handle, F_GETFD), -1);
    ck_assert_int_eq(errno, EBADF);
}

/* ---- accepting: each with multishot and without ---- */

START_TEST(acceptsTcp)
{
    openListener(listenAt(AF_INET, SOCK_STREAM), 0, take);
    for (int index = 1; index <= 3; index++) {
        int client = dial(SOCK_STREAM);
        waitCount(fixture.ring, &accepted, index);
        ck_assert_int_eq(fcntl(lastHandle, F_GETFL) & O_NONBLOCK, 0);
        sendText(client, "hello");
        expectText(lastHandle, "hello");
        close(client);
        expectEnd(lastHandle);
        close(lastHandle);
    }
    ReleaseFastListener(listener);
}
END_TEST

START_TEST(acceptsUnixAndSeqpacket)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
    for (int index = 0; index < 2; index++) {
        accepted = 0;
        openListener(listenAt(AF_UNIX, types[index]), SOCK_NONBLOCK | SOCK_CLOEXEC, take);
        int client = dial(types[index]);
        waitCount(fixture.ring, &accepted, 1);
        ck_assert(fcntl(lastHandle, F_GETFL) & O_NONBLOCK);
        sendText(lastHandle, "x");
        expectText(client, "x");
        close(lastHandle);
        close(client);
        ReleaseFastListener(listener);
    }
}
END_TEST

/* More than a turn handles, all waiting at once. */
START_TEST(acceptsMany)
{
    static int clients[MANY];
    int handle = listenAt(AF_INET, SOCK_STREAM);
    ck_assert_int_eq(SetFastRingOption(fixture.ring, FASTRING_OPTION_TURN_LIMIT, 16), 0);
    for (int index = 0; index < MANY; index++)
        clients[index] = dial(SOCK_STREAM);
    openListener(handle, 0, takeAndClose);
    waitCount(fixture.ring, &accepted, MANY);
    for (int index = 0; index < MANY; index++)
        close(clients[index]);
    runIdle(fixture.ring);
    ck_assert_int_eq(accepted, MANY);
    ck_assert_int_eq(failures, 0);
    ReleaseFastListener(listener);
}
END_TEST

static void serve(struct FastListener* which, int handle, void* closure)
{
    static struct Recorder recorder;
    take(which, handle, closure);
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    transmitText(recorder.socket, "welcome");
    ReleaseFastSocket(recorder.socket);
}

START_TEST(makesSocketsInside)
{
    openListener(listenAt(AF_INET, SOCK_STREAM), 0, serve);
    for (int index = 1; index <= 3; index++) {
        int client = dial(SOCK_STREAM);
        waitCount(fixture.ring, &accepted, index);
        runIdle(fixture.ring);
        expectText(client, "welcome");
        close(client);
    }
    ReleaseFastListener(listener);
}
END_TEST

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
    ck_assert_ptr_nonnull(SetFastRingTimeout(fixture.ring, NULL, milliseconds, 0, noteRest, NULL));
    waitCount(fixture.ring, &rested, 1);
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

START_TEST(recoversFromShortage)
{
    lowerLimit();
    openListener(listenAt(AF_INET, SOCK_STREAM), 0, takeAndClose);
    runIdle(fixture.ring);
    for (int episode = 1; episode <= 2; episode++) {
        int clients[2] = {socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0)};
        takeAllNumbers();
        for (int index = 0; index < 2; index++)
            ck_assert_int_eq(connect(clients[index], (struct sockaddr*)&address, length), 0);
        waitCount(fixture.ring, &failures, episode);
        ck_assert_int_eq(lastFailure, -EMFILE);
        uint64_t completions = readRing(fixture.ring).completions;
        rest(350);
        ck_assert_int_eq(failures, episode); /* told once, though tried several times */
        ck_assert_uint_le(readRing(fixture.ring).completions - completions, 20);
        ck_assert_int_eq(accepted, 2 * episode - 2);
        giveNumbersBack();
        waitCount(fixture.ring, &accepted, 2 * episode);
        ck_assert_int_eq(failures, episode);
        for (int index = 0; index < 2; index++)
            close(clients[index]);
    }
    ReleaseFastListener(listener);
}
END_TEST

START_TEST(isReleasedWhileResting)
{
    lowerLimit();
    openListener(listenAt(AF_INET, SOCK_STREAM), 0, take);
    runIdle(fixture.ring);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    takeAllNumbers();
    ck_assert_int_eq(connect(client, (struct sockaddr*)&address, length), 0);
    waitCount(fixture.ring, &failures, 1);
    ReleaseFastListener(listener);
    giveNumbersBack();
    runIdle(fixture.ring);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
    ck_assert_int_eq(accepted, 0);
    close(client);
}
END_TEST

/* ---- other failures ---- */

START_TEST(shutDownIsFinal)
{
    int handle = listenAt(AF_INET, SOCK_STREAM);
    openListener(handle, 0, take);
    runIdle(fixture.ring);
    shutdown(handle, SHUT_RD);
    waitCount(fixture.ring, &failures, 1);
    ck_assert_int_eq(lastFailure, -EINVAL);
    rest(250);
    ck_assert_int_eq(failures, 1);
    ReleaseFastListener(listener);
    runIdle(fixture.ring);
    expectClosed(handle);
}
END_TEST

/* A client that gives up before it is accepted harms nobody. */
START_TEST(outlivesAbortedConnections)
{
    int handle = listenAt(AF_INET, SOCK_STREAM);
    for (int index = 0; index < 20; index++)
        closeReset(dial(SOCK_STREAM));
    openListener(handle, 0, takeAndClose);
    runIdle(fixture.ring);
    int before = accepted;
    int client = dial(SOCK_STREAM);
    waitCount(fixture.ring, &accepted, before + 1);
    ck_assert_int_eq(failures, 0);
    close(client);
    ReleaseFastListener(listener);
}
END_TEST

/* ---- release ---- */

START_TEST(releasedAtAnyTime)
{
    ReleaseFastListener(NULL);
    for (int turns = 0; turns < 4; turns++) {
        int handle = listenAt(AF_INET, SOCK_STREAM);
        openListener(handle, 0, never);
        runTurns(fixture.ring, turns);
        ReleaseFastListener(listener);
        runIdle(fixture.ring);
        expectClosed(handle);
        int client = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(client, (struct sockaddr*)&address, length), -1);
        ck_assert_int_eq(errno, ECONNREFUSED);
        close(client);
    }
    ck_assert_uint_eq(readRing(fixture.ring).operations, 0);
}
END_TEST

/* They were accepted already, and are closed: the peer hears the end. */
START_TEST(closesWhatComesAfterRelease)
{
    int clients[10];

    openListener(listenAt(AF_INET, SOCK_STREAM), 0, never);
    runTurns(fixture.ring, 2);
    for (int index = 0; index < 10; index++)
        clients[index] = dial(SOCK_STREAM);
    ReleaseFastListener(listener);
    runIdle(fixture.ring);
    for (int index = 0; index < 10; index++) {
        char byte;
        ssize_t result = recv(clients[index], &byte, 1, 0);
        ck_assert(result == 0 || (result < 0 && errno == ECONNRESET));
        close(clients[index]);
    }
}
END_TEST

static void takeAndRelease(struct FastListener* which, int handle, void* closure)
{
    takeAndClose(which, handle, closure);
    ReleaseFastListener(which);
}

START_TEST(releasesItself)
{
    int clients[10];
    int handle = listenAt(AF_INET, SOCK_STREAM);

    openListener(handle, 0, takeAndRelease);
    for (int index = 0; index < 10; index++)
        clients[index] = dial(SOCK_STREAM);
    waitCount(fixture.ring, &accepted, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(accepted, 1);
    expectClosed(handle);
    for (int index = 0; index < 10; index++)
        close(clients[index]);
}
END_TEST

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

START_TEST(releasesOthers)
{
    int clients[3];

    for (int index = 0; index < 3; index++) {
        int handle = listenAt(AF_INET, SOCK_STREAM);
        clients[index] = dial(SOCK_STREAM);
        listeners[index] = CreateFastListener(fixture.ring, handle, 0, releaseAll, NULL);
        ck_assert_ptr_nonnull(listeners[index]);
    }
    waitCount(fixture.ring, &accepted, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(accepted, 1);
    for (int index = 0; index < 3; index++)
        close(clients[index]);
}
END_TEST

START_TEST(endsWithTheRing)
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
END_TEST

static void releaseRing(struct FastListener* which, int handle, void* closure)
{
    takeAndClose(which, handle, closure);
    ReleaseFastRing(fixture.ring);
}

START_TEST(releasesTheRingInside)
{
    int result = 0;
    openListener(listenAt(AF_INET, SOCK_STREAM), 0, releaseRing);
    int client = dial(SOCK_STREAM);
    while (result == 0)
        result = WaitForFastRing(fixture.ring, 100, NULL);
    ck_assert_int_eq(result, -ECANCELED);
    fixture.ring = NULL;
    ReleaseFastListener(listener);
    close(client);
}
END_TEST

/* ---- bad input ---- */

static void* useInThread(void* closure)
{
    refuses(EPERM, CreateFastListener(fixture.ring, *(int*)closure, 0, never, NULL));
    ReleaseFastListener(listener); /* does nothing */
    return NULL;
}

START_TEST(refusesBadInput)
{
    int handle = listenAt(AF_INET, SOCK_STREAM);
    int plain = socket(AF_INET, SOCK_STREAM, 0);
    int datagram = socket(AF_INET, SOCK_DGRAM, 0);

    refuses(EINVAL, CreateFastListener(NULL, handle, 0, never, NULL));
    refuses(EINVAL, CreateFastListener(fixture.ring, handle, 0, NULL, NULL));
    refuses(EINVAL, CreateFastListener(fixture.ring, handle, 1, never, NULL));
    refuses(EINVAL, CreateFastListener(fixture.ring, plain, 0, never, NULL));
    refuses(EINVAL, CreateFastListener(fixture.ring, datagram, 0, never, NULL));
    refuses(EBADF, CreateFastListener(fixture.ring, -1, 0, never, NULL));
    refuses(EBADF, CreateFastListener(fixture.ring, 100000, 0, never, NULL));
    int file = open("/dev/null", O_RDONLY);
    refuses(ENOTSOCK, CreateFastListener(fixture.ring, file, 0, never, NULL));
    runTurns(fixture.ring, 2);
    ck_assert_int_ge(fcntl(handle, F_GETFD), 0); /* the caller's still */
    close(file);
    close(plain);
    close(datagram);

    openListener(handle, 0, takeAndClose);
    runTurns(fixture.ring, 1);
    inThread(useInThread, &handle);
    int client = dial(SOCK_STREAM);
    waitCount(fixture.ring, &accepted, 1);
    close(client);
    ReleaseFastListener(listener);
}
END_TEST

static TCase* createCase(const char* name, void (*start)(void))
{
    TCase* tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, start, tearDown);
    tcase_add_test(tcase, acceptsTcp);
    tcase_add_test(tcase, acceptsUnixAndSeqpacket);
    tcase_add_test(tcase, acceptsMany);
    tcase_add_test(tcase, makesSocketsInside);
    tcase_add_test(tcase, recoversFromShortage);
    tcase_add_test(tcase, isReleasedWhileResting);
    tcase_add_test(tcase, shutDownIsFinal);
    tcase_add_test(tcase, outlivesAbortedConnections);
    tcase_add_test(tcase, releasedAtAnyTime);
    tcase_add_test(tcase, closesWhatComesAfterRelease);
    tcase_add_test(tcase, releasesItself);
    tcase_add_test(tcase, releasesOthers);
    tcase_add_test(tcase, endsWithTheRing);
    tcase_add_test(tcase, releasesTheRingInside);
    tcase_add_test(tcase, refusesBadInput);
    return tcase;
}

int main(void)
{
    Suite* suite = suite_create("listener");

    suite_add_tcase(suite, createCase("listener", setUp));
    suite_add_tcase(suite, createCase("single", setUpSingle));
    return runSuite(suite);
}
