/* Whose an errno is: the kernel tells that of an earlier datagram to whatever comes next. */
#include "network.h"

#include <liburing.h>

enum
{
    MANY = 20,
    REFUSED_FOR_ALL = 13, /* ICMP_PKT_FILTERED */
};

static struct Fixture fixture;
static struct Recorder recorder;
static struct sockaddr_in ours;
static struct sockaddr_in live;
static struct sockaddr_in dead;
static int peer;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

/* A socket of ours that hears of what its datagrams to the dead met, and a healthy peer. */
static void openPair(bool connected)
{
    int handle = bindUdp(&ours);
    int on = 1;

    peer = bindUdp(&live);
    dead = loopbackAddress();
    dead.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 8);
    dead.sin_port = htons(9);
    if (connected)
        ck_assert_int_eq(connect(handle, (struct sockaddr*)&live, sizeof(live)), 0);
    else
        ck_assert_int_eq(setsockopt(handle, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)), 0);
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    waitCount(fixture.ring, &recorder.out, 1);
}

static void closePair(void)
{
    ReleaseFastSocket(recorder.socket);
    close(peer);
}

/* The loopback has delivered what was sent. */
static void expectArrived(const char* text)
{
    char data[16] = "";

    ck_assert_int_eq(recv(peer, data, sizeof(data) - 1, MSG_DONTWAIT), (ssize_t)strlen(text));
    ck_assert_str_eq(data, text);
}

/* An ICMP error waits in the socket: about the peer, or about the dead. */
static void leaveError(bool connected, int code)
{
    sendUnreachable(&ours, connected ? &live : &dead, code);
}

static void transmitTo(const struct sockaddr_in* address, const void* data, size_t size, int flags)
{
    struct sockaddr_in copy = address != NULL ? *address : (struct sockaddr_in){0};

    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, address != NULL ? (struct sockaddr*)&copy : NULL,
                                            address != NULL ? sizeof(copy) : 0, data, size, flags),
                     0);
}

/* §2.1 POLLERR non-fatal (datagram), §2.4 earlier error: whatever the errno, connected or not, it is told
 * once, and the datagram that met it arrives, once */
START_TEST(survivesEarlierErrors)
{
    static const struct
    {
        int code;
        int error;
        bool connected;
    } rows[] = {
        {ICMP_PORT_UNREACH, ECONNREFUSED, true},
        {ICMP_PORT_UNREACH, ECONNREFUSED, false},
        {ICMP_HOST_UNREACH, EHOSTUNREACH, false},
        {ICMP_NET_UNREACH, ENETUNREACH, false},
        {REFUSED_FOR_ALL, EHOSTUNREACH, true},
        {REFUSED_FOR_ALL, EHOSTUNREACH, false},
        {ICMP_PROT_UNREACH, ENOPROTOOPT, true},
        {ICMP_SR_FAILED, EOPNOTSUPP, false},
        {ICMP_HOST_ISOLATED, ENONET, true},
        {ICMP_FRAG_NEEDED, EMSGSIZE, true},
        {ICMP_FRAG_NEEDED, EMSGSIZE, false},
    };

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        openPair(rows[row].connected);
        for (int count = 1; count <= MANY; count++) {
            leaveError(rows[row].connected, rows[row].code);
            transmitTo(rows[row].connected ? NULL : &live, "victim", 6, 0);
            waitDrained(&recorder);
            waitCount(fixture.ring, &recorder.err, count);
            expectArrived("victim");
            expectNothing(peer);
            ck_assert_int_eq(recorder.err, count);
            ck_assert_int_eq(recorder.lastError, rows[row].error);
        }
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.err, MANY);
        ck_assert_uint_eq(readSocket(recorder.socket).failedMessages, 0);
        closePair();
    }
}
END_TEST

/* §2.4 earlier error, §2.4 order: what is queued behind the one that met it arrives behind it */
START_TEST(keepsOrderBehindEarlierError)
{
    char text[16];

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openPair(false);
    for (int count = 0; count < MANY; count++) {
        leaveError(false, ICMP_HOST_UNREACH);
        for (int number = 0; number < MANY; number++) {
            snprintf(text, sizeof(text), "%d", number);
            transmitTo(&live, text, strlen(text), 0);
        }
        waitDrained(&recorder);
        for (int number = 0; number < MANY; number++) {
            snprintf(text, sizeof(text), "%d", number);
            expectArrived(text);
        }
        expectNothing(peer);
    }
    ck_assert_uint_eq(readSocket(recorder.socket).failedMessages, 0);
    closePair();
}
END_TEST

/* §2.4 earlier error: what is the datagram's own is told once, and counted once */
START_TEST(tellsOwnErrorOnce)
{
    struct sockaddr_in all = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x7fffffff)};

    openPair(false);
    transmitTo(&all, "nobody", 6, 0); /* the broadcast address, which takes a permission */
    transmitTo(&live, "behind", 6, 0);
    waitDrained(&recorder);
    expectArrived("behind");
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.lastError, EACCES);
    ck_assert_uint_eq(readSocket(recorder.socket).failedMessages, 1);
    closePair();
}
END_TEST

/* §2.4 earlier error: an earlier one and the datagram's own are both told, and one has failed */
START_TEST(tellsEarlierAndOwnError)
{
    struct sockaddr_in all = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x7fffffff)};

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openPair(false);
    leaveError(false, ICMP_HOST_UNREACH);
    transmitTo(&all, "nobody", 6, 0);
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.err, 2);
    ck_assert_uint_eq(readSocket(recorder.socket).failedMessages, 1);
    closePair();
}
END_TEST

static void leaveAnother(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)socket, (void)parameter, (void)self;
    if (event == POLLIN)
        leaveError(false, ICMP_HOST_UNREACH);
}

/* §2.4 earlier error: another that comes before the datagram is sent again is no proof against it */
START_TEST(survivesErrorsInBetween)
{
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openPair(false);
    recorder.then = leaveAnother;
    ck_assert_int_eq(sendto(peer, "hi", 2, 0, (struct sockaddr*)&ours, sizeof(ours)), 2);
    leaveError(false, ICMP_HOST_UNREACH);
    transmitTo(&live, "victim", 6, 0); /* fails in the turn that tells of the input */
    waitDrained(&recorder);
    expectArrived("victim");
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.in, 1);
    ck_assert_uint_eq(readSocket(recorder.socket).failedMessages, 0);
    closePair();
}
END_TEST

/* §2.4 earlier error: a piece of a datagram whose beginning went with it is not sent as a datagram */
START_TEST(sendsNoPieceAlone)
{
    static char data[60000];

    openPair(false);
    transmitTo(&live, data, sizeof(data), MSG_MORE);
    transmitTo(&live, data, 6000, 0); /* together more than a datagram holds */
    transmitTo(&live, "next", 4, 0);
    waitDrained(&recorder);
    waitCount(fixture.ring, &recorder.err, 1);
    expectArrived("next");
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.lastError, EMSGSIZE);
    closePair();
}
END_TEST

/* §2.4 earlier error, §2.4 ZERO_COPY choice: one that reads like zero copy's refusal does not end it */
START_TEST(keepsZeroCopyBehindEarlierError)
{
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    if (!(GetFastRingFeatures(fixture.ring) & FASTRING_FEATURE_SENDMSG_ZERO_COPY))
        skipTest("zero copy is needed");
    openPair(false);
    leaveError(false, ICMP_SR_FAILED);
    transmitTo(&live, "victim", 6, MSG_ZEROCOPY);
    waitDrained(&recorder);
    expectArrived("victim");
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.lastError, EOPNOTSUPP);
    ck_assert_uint_eq(readSocket(recorder.socket).sentZeroCopy, 1);
    closePair();
}
END_TEST

/* §2.4 earlier error: a splice of the user's own is made again too */
START_TEST(splicesBehindEarlierError)
{
    int pipes[2];
    struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, 1, 0);
    struct FastRingDescriptor* descriptor = NULL;

    if (!enterNetwork()) {
        ReleaseFastBuffer(buffer);
        skipTest(NETWORK_SKIP);
    }
    openPair(true);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0); /* or the receive hears of it first */
    runIdle(fixture.ring);
    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq(write(pipes[1], "victim", 6), 6);
    descriptor = AllocateFastRingDescriptor(fixture.ring, NULL, NULL);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1,
                         GetFastSocketHandle(recorder.socket), -1, 6, 0);
    leaveError(true, REFUSED_FOR_ALL);
    ck_assert_int_eq(TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer), 0);
    waitDrained(&recorder);
    expectArrived("victim");
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.lastError, EHOSTUNREACH);
    close(pipes[0]);
    close(pipes[1]);
    closePair();
}
END_TEST

/* §2.4 earlier error: AF_UNIX has them too, when a peer has let go and thrown away what it had */
START_TEST(survivesEarlierErrorOfLocalPeer)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    char text[16];
    int pair[2];

    pairUnix(pair, SOCK_DGRAM);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    transmitText(recorder.socket, "lost");
    waitDrained(&recorder);
    ck_assert_int_eq(connect(pair[1], &nobody, sizeof(nobody)), 0);
    transmitText(recorder.socket, "victim");
    waitDrained(&recorder);
    ck_assert_int_eq(recv(pair[1], text, sizeof(text), MSG_DONTWAIT), 6);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.lastError, ECONNRESET);
    ck_assert_uint_eq(readSocket(recorder.socket).failedMessages, 0);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.4 earlier error: AF_UNIX tells a peer that is gone once, as what it is */
START_TEST(tellsRefusalOfLocalPeer)
{
    int pair[2];

    pairUnix(pair, SOCK_DGRAM);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    waitCount(fixture.ring, &recorder.out, 1);
    close(pair[1]);
    transmitText(recorder.socket, "nobody");
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.lastError, ECONNREFUSED);
    ck_assert_uint_eq(readSocket(recorder.socket).failedMessages, 1);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-error");
    TCase* area = tcase_create("error");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, survivesEarlierErrors);
    tcase_add_test(area, keepsOrderBehindEarlierError);
    tcase_add_test(area, tellsOwnErrorOnce);
    tcase_add_test(area, tellsEarlierAndOwnError);
    tcase_add_test(area, survivesErrorsInBetween);
    tcase_add_test(area, sendsNoPieceAlone);
    tcase_add_test(area, keepsZeroCopyBehindEarlierError);
    tcase_add_test(area, splicesBehindEarlierError);
    tcase_add_test(area, survivesEarlierErrorOfLocalPeer);
    tcase_add_test(area, tellsRefusalOfLocalPeer);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
