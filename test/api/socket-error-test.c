/* Whose an errno is: the kernel tells that of an earlier datagram to whatever comes next. */
#include "network.h"

#include <liburing.h>

enum
{
    MANY = 20,
    REFUSED_FOR_ALL = 13, /* ICMP_PKT_FILTERED */
};

static struct sockaddr_in ours;
static struct sockaddr_in live;
static struct sockaddr_in dead;

SCENE_AREA(error, "error");

/* A socket of ours that hears of what its datagrams to the dead met, and a healthy peer. */
static void openUdp(bool connected)
{
    int handle = bindUdp(&ours);
    int on = 1;

    scene.peer = bindUdp(&live);
    dead = loopbackAddress();
    dead.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 8);
    dead.sin_port = htons(9);
    if (connected)
        ck_assert_int_eq(connect(handle, (struct sockaddr*)&live, sizeof(live)), 0);
    else
        ck_assert_int_eq(setsockopt(handle, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)), 0);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    waitCount(scene.ring, &scene.ours.out, 1);
}

/* The loopback has delivered what was sent. */
static void expectArrived(const char* text)
{
    char data[16] = "";

    ck_assert_int_eq(recv(scene.peer, data, sizeof(data) - 1, MSG_DONTWAIT), (ssize_t)strlen(text));
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

    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket,
                                            address != NULL ? (struct sockaddr*)&copy : NULL,
                                            address != NULL ? sizeof(copy) : 0, data, size, flags),
                     0);
}

/* §2.1 POLLERR non-fatal (datagram), §2.4 earlier error: whatever the errno, connected or not,
 * it is reported once, and the datagram that met it arrives, once */
CASE(error, survivesEarlierErrors)
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
        openUdp(rows[row].connected);
        for (int count = 1; count <= MANY; count++) {
            leaveError(rows[row].connected, rows[row].code);
            transmitTo(rows[row].connected ? NULL : &live, "victim", 6, 0);
            waitDrained(&scene.ours);
            waitCount(scene.ring, &scene.ours.err, count);
            expectArrived("victim");
            expectNothing(scene.peer);
            ck_assert_int_eq(scene.ours.err, count);
            ck_assert_int_eq(scene.ours.lastError, rows[row].error);
        }
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.err, MANY);
        ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
        closePair();
    }
}

/* To the dead, and behind it to each of some others: what the first meets is there before they have
 * all gone. */
static void transmitBehindDead(const struct sockaddr_in* others, int count)
{
    transmitTo(&dead, "nobody", 6, 0);
    for (int index = 0; index < count; index++)
        transmitTo(&others[index], "behind", 6, 0);
    waitDrained(&scene.ours);
}

/* §2.1 POLLERR non-fatal (datagram), §2.4 earlier error: of the same turn, whose datagrams have
 * different destinations, few or many: it is reported, and each of the others arrives, once */
CASE(error, reportsErrorOfTheSameTurn)
{
    struct sockaddr_in others[MANY];
    int handles[MANY];
    char data[16];

    openUdp(false);
    for (int index = 0; index < MANY; index++)
        handles[index] = bindUdp(&others[index]);
    for (int count = 1; count <= MANY; count++) {
        transmitBehindDead(others, count);
        waitCount(scene.ring, &scene.ours.err, count);
        ck_assert_int_eq(scene.ours.lastError, ECONNREFUSED);
        for (int index = 0; index < count; index++) {
            ck_assert_int_eq(recv(handles[index], data, sizeof(data), MSG_DONTWAIT), 6);
            expectNothing(handles[index]);
        }
    }
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, MANY);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
    for (int index = 0; index < MANY; index++)
        close(handles[index]);
}

/* §2.4 earlier error, §2.4 order: what is queued behind the one that met it arrives behind it */
CASE(error, keepsOrderBehindEarlierError)
{
    char text[16];

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openUdp(false);
    for (int count = 0; count < MANY; count++) {
        leaveError(false, ICMP_HOST_UNREACH);
        for (int number = 0; number < MANY; number++) {
            snprintf(text, sizeof(text), "%d", number);
            transmitTo(&live, text, strlen(text), 0);
        }
        waitDrained(&scene.ours);
        for (int number = 0; number < MANY; number++) {
            snprintf(text, sizeof(text), "%d", number);
            expectArrived(text);
        }
        expectNothing(scene.peer);
    }
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
}

/* §2.4 earlier error: what is the datagram's own is reported once, and counted once */
CASE(error, tellsOwnErrorOnce)
{
    struct sockaddr_in all = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x7fffffff)};

    openUdp(false);
    transmitTo(&all, "nobody", 6, 0); /* the broadcast address, which takes a permission */
    transmitTo(&live, "behind", 6, 0);
    waitDrained(&scene.ours);
    expectArrived("behind");
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, EACCES);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 1);
}

/* §2.4 earlier error: an earlier one and the datagram's own are both told, and one has failed */
CASE(error, tellsEarlierAndOwnError)
{
    struct sockaddr_in all = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x7fffffff)};

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openUdp(false);
    leaveError(false, ICMP_HOST_UNREACH);
    transmitTo(&all, "nobody", 6, 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, 2);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 1);
}

static void leaveAnother(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)socket, (void)parameter, (void)self;
    if (event == POLLIN)
        leaveError(false, ICMP_HOST_UNREACH);
}

/* §2.4 earlier error: another that comes before the datagram is sent again is no proof against
 * it */
CASE(error, survivesErrorsInBetween)
{
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openUdp(false);
    scene.ours.then = leaveAnother;
    ck_assert_int_eq(sendto(scene.peer, "hi", 2, 0, (struct sockaddr*)&ours, sizeof(ours)), 2);
    leaveError(false, ICMP_HOST_UNREACH);
    transmitTo(&live, "victim", 6, 0); /* fails in the turn that tells of the input */
    waitDrained(&scene.ours);
    expectArrived("victim");
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
}

/* §2.4 earlier error: a piece of a datagram whose beginning went with it is not sent as a
 * datagram */
CASE(error, sendsNoPieceAlone)
{
    static char data[60000];

    openUdp(false);
    transmitTo(&live, data, sizeof(data), MSG_MORE);
    transmitTo(&live, data, 6000, 0); /* together more than a datagram holds */
    transmitTo(&live, "next", 4, 0);
    waitDrained(&scene.ours);
    waitCount(scene.ring, &scene.ours.err, 1);
    expectArrived("next");
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, EMSGSIZE);
}

/* §2.4 earlier error, §2.4 ZERO_COPY choice: one that reads like zero copy's refusal does not
 * end it */
CASE(error, keepsZeroCopyBehindEarlierError)
{
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    if (!(GetFastRingFeatures(scene.ring) & FASTRING_FEATURE_SENDMSG_ZERO_COPY))
        skipTest("zero copy is needed");
    openUdp(false);
    leaveError(false, ICMP_SR_FAILED);
    transmitTo(&live, "victim", 6, MSG_ZEROCOPY);
    waitDrained(&scene.ours);
    expectArrived("victim");
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.lastError, EOPNOTSUPP);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentZeroCopy, 1);
}

/* §2.4 earlier error: a splice of the user's own is made again too */
CASE(error, splicesBehindEarlierError)
{
    int pipes[2];
    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, 1, 0);
    struct FastRingDescriptor* descriptor = NULL;

    if (!enterNetwork()) {
        ReleaseFastBuffer(buffer);
        skipTest(NETWORK_SKIP);
    }
    openUdp(true);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0); /* or the receive hears of it first */
    runIdle(scene.ring);
    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq(write(pipes[1], "victim", 6), 6);
    descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1,
                         GetFastSocketHandle(scene.ours.socket), -1, 6, 0);
    leaveError(true, REFUSED_FOR_ALL);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
    waitDrained(&scene.ours);
    expectArrived("victim");
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, EHOSTUNREACH);
    close(pipes[0]);
    close(pipes[1]);
}

/* §2.4 earlier error: AF_UNIX has them too, when a peer has let go and thrown away what it had */
CASE(error, survivesEarlierErrorOfLocalPeer)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    char text[16];

    openPair(KIND_UNIX_DATAGRAM);
    transmitText(scene.ours.socket, "lost");
    waitDrained(&scene.ours);
    ck_assert_int_eq(connect(scene.peer, &nobody, sizeof(nobody)), 0);
    transmitText(scene.ours.socket, "victim");
    waitDrained(&scene.ours);
    ck_assert_int_eq(recv(scene.peer, text, sizeof(text), MSG_DONTWAIT), 6);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, ECONNRESET);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
}

/* §2.4 earlier error: AF_UNIX tells a peer that is gone once, as what it is */
CASE(error, tellsRefusalOfLocalPeer)
{
    openPair(KIND_UNIX_DATAGRAM);
    waitCount(scene.ring, &scene.ours.out, 1);
    closePeer();
    transmitText(scene.ours.socket, "nobody");
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, ECONNREFUSED);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 1);
}
