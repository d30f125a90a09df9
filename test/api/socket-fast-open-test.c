/* TCP Fast Open: connect() returns at once, and the SYN waits for the first bytes. */
#include "network.h"

#include <netinet/tcp.h>

#ifndef TCP_FASTOPEN_CONNECT
#define TCP_FASTOPEN_CONNECT 30
#endif

#define FAST_OPEN "/proc/sys/net/ipv4/tcp_fastopen"

static int listener;
static struct sockaddr_storage address;
static socklen_t length;

SCENE_AREA(fastOpen, "fast-open");

static int state(int handle)
{
    struct tcp_info information = {0};
    socklen_t size = sizeof(information);

    ck_assert_int_eq(getsockopt(handle, IPPROTO_TCP, TCP_INFO, &information, &size), 0);
    return information.tcpi_state;
}

/* A connection that waits for its first bytes. It may send them with the SYN; if not allowed any
 * more when they come, they wait for its answer. */
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
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
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

    transmitText(scene.ours.socket, "hello");
    waitDrained(&scene.ours);
    handle = acceptOne();
    expectText(handle, "hello");
    sendText(handle, "hello");
    receiveText(&scene.ours, "hello");
    ck_assert_int_eq(scene.ours.err, 0);
    ck_assert_int_eq(scene.ours.hup, 0);
    ReleaseFastSocket(scene.ours.socket);
    close(handle);
    close(listener);
}

/* §2.2 fast open: the program hears that it may write, and what it writes connects */
CASE(fastOpen, connectsWithTheFirstBytes)
{
    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(scene.ring, &scene.ours.out, 1);
    expectEcho();
}

/* §2.2 fast open, §2.4 order: much data is no exception; nothing of it is sent inside the call */
CASE(fastOpen, connectsWithMuchData)
{
    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(scene.ring, &scene.ours.out, 1);
    transmitPattern(scene.ours.socket, 1 << 20, 0);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, 0);
    ck_assert_int_eq(state(GetFastSocketHandle(scene.ours.socket)), TCP_SYN_SENT);
    runTurns(scene.ring, 1);
    scene.peer = acceptOne();
    expectPattern(scene.peer, 1 << 20, 0);
    ck_assert_int_eq(scene.ours.err, 0);
    close(listener);
}

/* §2.2 fast open, §2.4 transient send results: bytes that may not go with the SYN after all go
 * behind its answer */
CASE(fastOpen, sendsBehindTheConnect)
{
    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(scene.ring, &scene.ours.out, 1);
    writeSetting(FAST_OPEN, "1");
    expectEcho();
}

/* §2.2 fast open: the same of a blocking socket */
CASE(fastOpen, sendsBehindTheConnectBlocking)
{
    if (!openDeferred(0))
        skipTest(NETWORK_SKIP);
    waitCount(scene.ring, &scene.ours.out, 1);
    writeSetting(FAST_OPEN, "1");
    expectEcho();
}

/* §2.2 fast open, §2.6 flush: what a released socket has queued connects, and is sent */
CASE(fastOpen, flushesBehindTheConnect)
{
    int handle = -1;

    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(scene.ring, &scene.ours.out, 1);
    writeSetting(FAST_OPEN, "1");
    transmitText(scene.ours.socket, "hello");
    ReleaseFastSocket(scene.ours.socket);
    for (int wait = 0; wait < 1000 && handle < 0; wait++) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        ck_assert_int_eq(WaitForFastRing(scene.ring, 10, NULL), 0);
        if (poll(&ready, 1, 0) > 0)
            handle = acceptOne();
    }
    ck_assert_int_ge(handle, 0);
    runTurns(scene.ring, 20);
    expectText(handle, "hello");
    expectEnd(handle);
    close(handle);
    close(listener);
}

/* §2.2 fast open, §2.1 connect failure: a refusal is reported when the first bytes have met it */
CASE(fastOpen, tellsRefusal)
{
    const char* const settings[] = {"5", "1"};

    for (size_t index = 0; index < sizeof(settings) / sizeof(settings[0]); index++) {
        if (!openDeferred(SOCK_NONBLOCK))
            skipTest(NETWORK_SKIP);
        close(listener);
        waitCount(scene.ring, &scene.ours.out, 1);
        writeSetting(FAST_OPEN, settings[index]);
        transmitText(scene.ours.socket, "hello");
        waitHangup(&scene.ours);
        ck_assert_int_eq(scene.ours.err, 1);
        ck_assert_int_eq(scene.ours.lastError, ECONNREFUSED);
        ReleaseFastSocket(scene.ours.socket);
    }
}

/* §2.2 fast open: the end of output without any bytes connects too, and is reported */
CASE(fastOpen, shutsDownWithoutBytes)
{
    int handle = -1;

    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(scene.ring, &scene.ours.out, 1);
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    handle = acceptOne();
    expectEnd(handle);
    sendText(handle, "hello");
    receiveText(&scene.ours, "hello");
    ck_assert_int_eq(scene.ours.err, 0);
    ReleaseFastSocket(scene.ours.socket);
    close(handle);
    close(listener);
}

/* §2.2 fast open, §2.6 GetFastRingPending: one that was never written to is released like others */
CASE(fastOpen, isReleasedUnconnected)
{
    if (!openDeferred(SOCK_NONBLOCK))
        skipTest(NETWORK_SKIP);
    waitCount(scene.ring, &scene.ours.out, 1);
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    close(listener);
}
