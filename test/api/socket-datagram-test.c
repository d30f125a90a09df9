/* Datagrams: what is theirs alone. A datagram socket never dies of a
 * datagram. */
#include "fixture.h"

#include <liburing.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

SCENE_AREA_OF(datagram, "datagram", .buffers = 256);

static void openKind(enum Kind kind)
{
    openPair(kind);
    waitCount(scene.ring, &scene.ours.out, 1);
}

static int bindLoopback(struct sockaddr_in* address)
{
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(*address);

    memset(address, 0, sizeof(*address));
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = ownLoopback();
    ck_assert_int_eq(bind(handle, (struct sockaddr*)address, length), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)address, &length), 0);
    return handle;
}

/* Both directions work. */
static void expectAlive(void)
{
    transmitText(scene.ours.socket, "alive?");
    waitDrained(&scene.ours);
    expectText(scene.peer, "alive?");
    sendText(scene.peer, "alive!");
    receiveText(&scene.ours, "alive!");
    ck_assert_int_eq(scene.ours.hup, 0);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), 0);
}

/* §2.4 address: copied, one for each datagram */
CASE(datagram, sendsToAddresses)
{
    struct sockaddr_in addresses[3];
    struct sockaddr_in scratch;
    int peers[3];

    openRecorded(&scene, socket(AF_INET, SOCK_DGRAM, 0), NULL, 0, &scene.ours);
    for (int index = 0; index < 3; index++)
        peers[index] = bindLoopback(&addresses[index]);
    for (int round = 0; round < 30; round++) {
        char text[16];
        int index = round % 3;
        snprintf(text, sizeof(text), "round %d", round);
        scratch = addresses[index];
        if (round & 1) {
            struct iovec vector = {text, strlen(text)};
            struct msghdr message = {.msg_name = &scratch,
                                     .msg_namelen = sizeof(scratch),
                                     .msg_iov = &vector,
                                     .msg_iovlen = 1};
            ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), 0);
        } else {
            ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&scratch,
                                                    sizeof(scratch), text, strlen(text), 0),
                             0);
        }
        memset(&scratch, 0, sizeof(scratch));
    }
    waitDrained(&scene.ours);
    for (int round = 0; round < 30; round++) {
        char text[16];
        snprintf(text, sizeof(text), "round %d", round);
        expectText(peers[round % 3], text);
    }
    for (int index = 0; index < 3; index++)
        close(peers[index]);
}

static void answer(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    struct msghdr* header = GetFastSocketMessageHeader(socket);
    struct FastBuffer* buffer = NULL;

    (void)parameter;
    (void)self;
    if (event != POLLIN)
        return;
    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        struct io_uring_recvmsg_out* out = io_uring_recvmsg_validate(
            GetFastBufferData(buffer), (int)GetFastBufferLength(buffer), header);
        size_t size = 0;
        uint8_t* payload = NULL;
        ck_assert_ptr_nonnull(out);
        payload = io_uring_recvmsg_payload(out, header);
        size = io_uring_recvmsg_payload_length(out, (int)GetFastBufferLength(buffer), header);
        ck_assert_int_eq(
            TransmitFastSocketBuffer(socket, io_uring_recvmsg_name(out), out->namelen, buffer,
                                     (size_t)(payload - GetFastBufferData(buffer)), size, 0),
            0);
    }
}

/* §2.4 address, §2.4 TransmitFastSocketBuffer: the answer goes to where the question came from:
 * with the received name, inside the buffer sent */
CASE(datagram, answersToSender)
{
    struct msghdr message = {.msg_namelen = sizeof(struct sockaddr_in6)};
    struct sockaddr_in address;
    struct sockaddr_in unused;
    int server = bindLoopback(&address);
    int clients[4];

    scene.ours.then = answer;
    openRecorded(&scene, server, &message, 0, &scene.ours);
    for (int index = 0; index < 4; index++) {
        clients[index] = bindLoopback(&unused);
        ck_assert_int_eq(connect(clients[index], (struct sockaddr*)&address, sizeof(address)), 0);
    }
    for (int round = 0; round < 40; round++) {
        char text[16];
        snprintf(text, sizeof(text), "ask %d", round);
        sendText(clients[round % 4], text);
        waitCount(scene.ring, &scene.ours.in, round + 1);
        waitDrained(&scene.ours);
        expectText(clients[round % 4], text);
    }
    for (int index = 0; index < 4; index++)
        close(clients[index]);
}

/* §2.4 order: that of the calls, also when the receiver is slow */
CASE(datagram, keepsOrder)
{
    uint32_t expected = 0;

    openKind(KIND_UNIX_DATAGRAM);
    for (uint32_t index = 0; index < 2000; index++)
        ck_assert_int_eq(
            TransmitFastSocketData(scene.ours.socket, NULL, 0, &index, sizeof(index), 0), 0);
    while (expected < 2000) {
        uint32_t got = 0;
        if (recv(scene.peer, &got, sizeof(got), MSG_DONTWAIT) < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
            continue;
        }
        ck_assert_uint_eq(got, expected);
        expected++;
    }
    waitDrained(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 0);
}

/* §2.4 empty: sends an empty datagram, by each call */
CASE(datagram, sendsEmptyDatagrams)
{
    const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM};
    char byte = 0;

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        struct msghdr message = {0};
        openKind(kinds[index]);
        ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, NULL, 0, 0), 0);
        ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), 0);
        ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                                  AllocateFastBuffer(scene.outbound, 0, 0), 0, 0,
                                                  0),
                         0);
        transmitText(scene.ours.socket, "x");
        waitDrained(&scene.ours);
        runIdle(scene.ring);
        for (int count = 0; count < 3; count++)
            ck_assert_int_eq((int)recv(scene.peer, &byte, 1, 0), 0);
        ck_assert_int_eq((int)recv(scene.peer, &byte, 1, 0), 1);
        expectAlive();
        closePair();
    }
}

/* Takes the empty datagrams that are queued; returns how many. */
static int takeEmpty(void)
{
    struct FastBuffer* buffer = NULL;
    int count = 0;

    while ((buffer = ReceiveFastSocketBuffer(scene.ours.socket)) != NULL) {
        ck_assert_uint_eq(GetFastBufferLength(buffer), 0);
        ReleaseFastBuffer(buffer);
        count++;
    }
    return count;
}

/* §2.3 empty datagram: a flood of them is delivered and ends nothing */
CASE(datagram, survivesEmptyFlood)
{
    char byte = 0;
    int taken = 0;

    openKind(KIND_UNIX_DATAGRAM);
    for (int index = 0; index < 1000; index++) {
        while (send(scene.peer, "", 0, MSG_DONTWAIT) < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            runTurns(scene.ring, 1);
            taken += takeEmpty();
        }
    }
    while (taken < 1000) {
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
        taken += takeEmpty();
    }
    ck_assert_uint_eq(readSocket(scene.ours.socket).receivedMessages, 1000);
    ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 0);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(scene.ours.socket));
    expectAlive();
}

/* §2.4 -EMSGSIZE: more than any datagram can hold */
CASE(datagram, refusesOversize)
{
    static char data[70000];

    openKind(KIND_UDP);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, 65536, 0), -EMSGSIZE);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, sizeof(data), 0),
                     -EMSGSIZE);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, 65507, 0), 0);
    waitDrained(&scene.ours);
    ck_assert_int_eq((int)recv(scene.peer, data, sizeof(data), 0), 65507);
    ck_assert_int_eq(scene.ours.err, 0);
    expectAlive();
}

/* The send buffer shrinks after the transmits were accepted: the kernel refuses the large ones. */
static void shrink(void)
{
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
}

/* §2.1 POLLERR non-fatal (datagram): an oversize datagram fails alone: those before and behind
 * it arrive */
CASE(datagram, failsAlone)
{
    static char data[20000];

    openKind(KIND_UNIX_DATAGRAM);
    transmitText(scene.ours.socket, "before");
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, sizeof(data), 0), 0);
    transmitText(scene.ours.socket, "behind");
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, sizeof(data), 0), 0);
    transmitText(scene.ours.socket, "last");
    shrink();
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_ge(scene.ours.err, 1);
    ck_assert_int_le(scene.ours.err, 2);
    ck_assert_int_eq(scene.ours.lastError, EMSGSIZE);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 2);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, 16);
    expectText(scene.peer, "before");
    expectText(scene.peer, "behind");
    expectText(scene.peer, "last");
    /* From now on the size is known, and refused at once. */
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, sizeof(data), 0),
                     -EMSGSIZE);
    expectAlive();
}

/* §2.3 SEQPACKET: empty records in front of others are all delivered, also before the end */
CASE(datagram, keepsEmptyRecordsBeforeEnd)
{
    for (int armed = 0; armed < 2; armed++) {
        char byte = 0;
        openKind(KIND_UNIX_SEQPACKET);
        if (armed)
            runIdle(scene.ring);
        sendText(scene.peer, "a");
        ck_assert_int_eq(send(scene.peer, "", 0, 0), 0);
        ck_assert_int_eq(send(scene.peer, "", 0, 0), 0);
        sendText(scene.peer, "b");
        closePeer();
        waitHangup(&scene.ours);
        ck_assert_uint_eq(readSocket(scene.ours.socket).receivedMessages, 4);
        ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 1);
        ck_assert_int_eq(byte, 'a');
        ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 0);
        ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 0);
        ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 1);
        ck_assert_int_eq(byte, 'b');
        closePair();
    }
}

/* §2.4 order: an error of an earlier datagram, reported to the first of a burst, does not put it
 * behind the others */
CASE(datagram, keepsOrderBehindRefusal)
{
    struct sockaddr_in address;
    int peer = bindLoopback(&address);
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[8] = "";

    close(peer);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, sizeof(address)), 0);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    transmitText(scene.ours.socket, "refused");
    runIdle(scene.ring);
    peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(peer, (struct sockaddr*)&address, sizeof(address)), 0);
    for (int index = 0; index < 5; index++) {
        snprintf(text, sizeof(text), "%d", index);
        transmitText(scene.ours.socket, text);
    }
    runIdle(scene.ring);
    for (int index = 0; index < 5; index++) {
        snprintf(text, sizeof(text), "%d", index);
        expectText(peer, text);
    }
    close(peer);
    scene.peer = -1;
}

/* §2.4 -EMSGSIZE: a record that can't be sent is refused by the call */
CASE(datagram, failsRecordAlone)
{
    static char data[20000];

    openPair(KIND_UNIX_SEQPACKET);
    transmitText(scene.ours.socket, "before");
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, sizeof(data), 0),
                     -EMSGSIZE);
    transmitText(scene.ours.socket, "behind");
    waitDrained(&scene.ours);
    expectText(scene.peer, "before");
    expectText(scene.peer, "behind");
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
}

/* §2.1 POLLERR non-fatal (datagram): failures of one turn and errno are one POLLERR (the
 * automaton counts), and none is lost count of */
CASE(datagram, mergesFailures)
{
    static char data[20000];

    openKind(KIND_UNIX_DATAGRAM);
    for (int index = 0; index < 10; index++)
        ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, sizeof(data), 0),
                         0);
    shrink();
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_ge(scene.ours.err, 1);
    ck_assert_int_le(scene.ours.err, 10);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 10);
    ck_assert_int_ge(scene.ours.out, 2);
    expectAlive();
}

/* §2.1 POLLERR non-fatal (datagram): a peer that went away: ECONNREFUSED, and the socket may
 * talk to others */
CASE(datagram, survivesClosedPeer)
{
    openKind(KIND_UNIX_DATAGRAM);
    closePeer();
    transmitText(scene.ours.socket, "hello?");
    waitCount(scene.ring, &scene.ours.err, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.hup, 0);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), 0);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "again", 5, 0), 0);
    waitCount(scene.ring, &scene.ours.err, 2);
}

/* §2.1 POLLERR non-fatal (datagram): refusals while datagrams come in from elsewhere: nothing
 * that arrived is lost */
CASE(datagram, receivesDuringRefusals)
{
    struct sockaddr_in own;
    struct sockaddr_in nobody;
    int handle = bindLoopback(&own);
    int gone = bindLoopback(&nobody);
    char text[16] = "";

    close(gone);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    scene.peer = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(connect(scene.peer, (struct sockaddr*)&own, sizeof(own)), 0);
    ck_assert_int_eq(setsockopt(handle, IPPROTO_IP, IP_RECVERR, &(int){0}, sizeof(int)), 0);
    for (int round = 0; round < 100; round++) {
        ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&nobody,
                                                sizeof(nobody), "x", 1, 0),
                         0);
        snprintf(text, sizeof(text), "%05d", round);
        sendText(scene.peer, text);
        receiveText(&scene.ours, text);
    }
    ck_assert_int_eq(scene.ours.hup, 0);
}

/* §2.1 POLLERR non-fatal (datagram): connected, refused, and received at the same time */
CASE(datagram, receivesAfterRefusal)
{
    struct sockaddr_in mine;
    struct sockaddr_in theirs;
    int handle = bindLoopback(&mine);
    int peer = bindLoopback(&theirs);

    ck_assert_int_eq(connect(handle, (struct sockaddr*)&theirs, sizeof(theirs)), 0);
    close(peer);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    for (int round = 0; round < 20; round++) {
        transmitText(scene.ours.socket, "refused");
        waitCount(scene.ring, &scene.ours.err, round + 1);
        ck_assert_int_eq(scene.ours.lastError, ECONNREFUSED);
        peer = socket(AF_INET, SOCK_DGRAM, 0);
        ck_assert_int_eq(bind(peer, (struct sockaddr*)&theirs, sizeof(theirs)), 0);
        ck_assert_int_eq(sendto(peer, "hello", 5, 0, (struct sockaddr*)&mine, sizeof(mine)), 5);
        receiveText(&scene.ours, "hello");
        close(peer);
        runIdle(scene.ring);
    }
    scene.peer = -1;
}

/* §2.1 POLLERR non-fatal (datagram), §2.4 -EINVAL: bad addresses fail alone */
CASE(datagram, survivesBadAddresses)
{
    struct sockaddr_in address;
    struct sockaddr_in zero = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in broadcast = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = INADDR_BROADCAST};
    int before = 0;

    scene.peer = bindLoopback(&address);
    openRecorded(&scene, socket(AF_INET, SOCK_DGRAM, 0), NULL, 0, &scene.ours);
    waitCount(scene.ring, &scene.ours.out, 1);
    for (int bad = 0; bad < 4; bad++) {
        struct sockaddr* to = (bad == 0)   ? (struct sockaddr*)&zero
                              : (bad == 1) ? (struct sockaddr*)&broadcast
                                           : NULL;
        socklen_t length = (to != NULL) ? sizeof(zero) : 0;
        int result = 0;
        if (bad == 3) {
            to = (struct sockaddr*)&address;
            length = 4; /* cut off */
        }
        before = scene.ours.err;
        result = TransmitFastSocketData(scene.ours.socket, to, length, "lost", 4, 0);
        if (result == 0)
            waitCount(scene.ring, &scene.ours.err, before + 1);
        else
            ck_assert_int_eq(result, -EINVAL);
        ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&address,
                                                sizeof(address), "fine", 4, 0),
                         0);
        waitDrained(&scene.ours);
        expectText(scene.peer, "fine");
    }
    ck_assert_int_eq(scene.ours.hup, 0);
}

/* AF_UNIX: a peer's full queue is waited for, without spinning; nothing is lost, nothing
 * overtakes. With a name for each datagram, or connected; in both the peer is not connected to
 * us. */
static void waitForQueue(bool connected)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct sockaddr* to = connected ? NULL : (struct sockaddr*)&address;
    socklen_t length = sizeof(sa_family_t);
    uint64_t completions = 0;
    char text[16] = "";
    int handle = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    scene.peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(scene.peer, (struct sockaddr*)&address, length), 0);
    length = sizeof(address);
    ck_assert_int_eq(getsockname(scene.peer, (struct sockaddr*)&address, &length), 0);
    if (connected) {
        ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), 0);
        length = 0;
    }
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    for (int index = 0; index < 1000; index++) {
        snprintf(text, sizeof(text), "%06d", index);
        ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, to, length, text, 6, 0), 0);
    }
    runTurns(scene.ring, 50);
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
    completions = readRing(scene.ring).completions;
    for (int turn = 0; turn < 20; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 5, NULL), 0);
    ck_assert_uint_le(readRing(scene.ring).completions - completions, 200);
    for (int index = 0; index < 1000; index++) {
        struct pollfd readable = {.fd = scene.peer, .events = POLLIN};
        snprintf(text, sizeof(text), "%06d", index);
        while (poll(&readable, 1, 0) == 0)
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
        expectText(scene.peer, text);
    }
    waitDrained(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 0);
    closePair();
}

/* §2.4 transient send results: a full AF_UNIX queue is waited for, a name for each datagram */
CASE(datagram, waitsForFullQueue)
{
    waitForQueue(false);
}

/* §2.4 transient send results: a full AF_UNIX queue is waited for, connected */
CASE(datagram, waitsForFullConnectedQueue)
{
    waitForQueue(true);
}
