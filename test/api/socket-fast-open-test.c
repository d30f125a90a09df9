/* TCP Fast Open: connect() returns at once, and the SYN waits for the first bytes. */
#include "network.h"

#include <netinet/tcp.h>

#ifndef TCP_FASTOPEN_CONNECT
#define TCP_FASTOPEN_CONNECT 30
#endif

#define FAST_OPEN "/proc/sys/net/ipv4/tcp_fastopen"

static struct Fixture fixture;
static struct Recorder recorder;
static int listener;
static struct sockaddr_storage address;
static socklen_t length;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static int state(int handle)
{
    struct tcp_info information = {0};
    socklen_t size = sizeof(information);

    ck_assert_int_eq(getsockopt(handle, IPPROTO_TCP, TCP_INFO, &information, &size), 0);
    return information.tcpi_state;
}

/* A connection that waits for its first bytes. It may send them with the SYN; if not allowed any more when
 * they come, they wait for its answer. */
static bool openDeferred(int flags)
{
    int on = 1;
    int handle = -1;

    length = sizeof(address);
    if (!enterNetwork())
        return false;
    writeSetting(FAST_OPEN, "5"); /* no cookie is needed */
    listener = listenTcp(&address, &length);
    handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    ck_assert_int_eq(setsockopt(handle, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)), 0);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), 0);
    ck_assert_int_eq(state(handle), TCP_SYN_SENT);
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    return true;
}

static int acceptOne(void)
{
    int handle = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    ck_assert_int_ge(handle, 0);
    return handle;
}

static void expectEcho(void)
{
    int handle = -1;

    transmitText(recorder.socket, "hello");
    waitDrained(&recorder);
    handle = acceptOne();
    expectText(handle, "hello");
    sendText(handle, "hello");
    receiveText(&recorder, "hello");
    ck_assert_int_eq(recorder.err, 0);
    ck_assert_int_eq(recorder.hup, 0);
    ReleaseFastSocket(recorder.socket);
    close(handle);
    close(listener);
}

/* §2.2 fast open: the program is told that it may write, and what it writes connects */
START_TEST(connectsWithTheFirstBytes)
{
    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(fixture.ring, &recorder.out, 1);
    expectEcho();
}
END_TEST

/* §2.2 fast open, §2.4 transient send results: bytes that may not go with the SYN after all go behind its answer */
START_TEST(sendsBehindTheConnect)
{
    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(fixture.ring, &recorder.out, 1);
    writeSetting(FAST_OPEN, "1");
    expectEcho();
}
END_TEST

/* §2.2 fast open: the same of a blocking socket */
START_TEST(sendsBehindTheConnectBlocking)
{
    if (!openDeferred(0))
        skipTest(NETWORK_SKIP);
    waitCount(fixture.ring, &recorder.out, 1);
    writeSetting(FAST_OPEN, "1");
    expectEcho();
}
END_TEST

/* §2.2 fast open, §2.6 flush: what a released socket has queued connects, and is sent */
START_TEST(flushesBehindTheConnect)
{
    int handle = -1;

    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(fixture.ring, &recorder.out, 1);
    writeSetting(FAST_OPEN, "1");
    transmitText(recorder.socket, "hello");
    ReleaseFastSocket(recorder.socket);
    for (int wait = 0; wait < 1000 && handle < 0; wait++) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 10, NULL), 0);
        if (poll(&ready, 1, 0) > 0)
            handle = acceptOne();
    }
    ck_assert_int_ge(handle, 0);
    runTurns(fixture.ring, 20);
    expectText(handle, "hello");
    expectEnd(handle);
    close(handle);
    close(listener);
}
END_TEST

/* §2.2 fast open, §2.1 connect failure: a refusal is told when the first bytes have met it */
START_TEST(tellsRefusal)
{
    const char* const settings[] = {"5", "1"};

    for (size_t index = 0; index < sizeof(settings) / sizeof(settings[0]); index++) {
        if (!openDeferred(SOCK_NONBLOCK))
            skipTest(NETWORK_SKIP);
        close(listener);
        waitCount(fixture.ring, &recorder.out, 1);
        writeSetting(FAST_OPEN, settings[index]);
        transmitText(recorder.socket, "hello");
        waitHangup(&recorder);
        ck_assert_int_eq(recorder.err, 1);
        ck_assert_int_eq(recorder.lastError, ECONNREFUSED);
        ReleaseFastSocket(recorder.socket);
    }
}
END_TEST

/* §2.2 fast open: the end of output without any bytes connects too, and is told */
START_TEST(shutsDownWithoutBytes)
{
    int handle = -1;

    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(fixture.ring, &recorder.out, 1);
    ck_assert_int_eq(ShutdownFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    handle = acceptOne();
    expectEnd(handle);
    sendText(handle, "hello");
    receiveText(&recorder, "hello");
    ck_assert_int_eq(recorder.err, 0);
    ReleaseFastSocket(recorder.socket);
    close(handle);
    close(listener);
}
END_TEST

/* §2.2 fast open, §2.6 GetFastRingPending: one that was never written to is released like others */
START_TEST(isReleasedUnconnected)
{
    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(fixture.ring, &recorder.out, 1);
    ReleaseFastSocket(recorder.socket);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    close(listener);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-fast-open");
    TCase* area = tcase_create("fast-open");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, connectsWithTheFirstBytes);
    tcase_add_test(area, sendsBehindTheConnect);
    tcase_add_test(area, sendsBehindTheConnectBlocking);
    tcase_add_test(area, flushesBehindTheConnect);
    tcase_add_test(area, tellsRefusal);
    tcase_add_test(area, shutsDownWithoutBytes);
    tcase_add_test(area, isReleasedUnconnected);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
