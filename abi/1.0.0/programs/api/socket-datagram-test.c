/* Datagrams: what is theirs alone in behaviour.md 2.1 to 2.4. A datagram socket never dies of a
 * datagram. */
#include "fixture.h"

#include <liburing.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 256, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void openKind(enum Kind kind)
{
    pairKind(kind, pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    waitCount(fixture.ring, &recorder.out, 1);
}

static void release(void)
{
    ReleaseFastSocket(recorder.socket);
    if (pair[1] >= 0)
        close(pair[1]);
}

static int bindLoopback(struct sockaddr_in* address)
{
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(*address);

    memset(address, 0, sizeof(*address));
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)address, length), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)address, &length), 0);
    return handle;
}

/* Both directions work. */
static void expectAlive(void)
{
    transmitText(recorder.socket, "alive?");
    waitDrained(&recorder);
    expectText(pair[1], "alive?");
    sendText(pair[1], "alive!");
    receiveText(&recorder, "alive!");
    ck_assert_int_eq(recorder.hup, 0);
    ck_assert_int_eq(GetFastSocketError(recorder.socket), 0);
}

/* §2.4 address: copied, one for each datagram */
START_TEST(sendsToAddresses)
{
    struct sockaddr_in addresses[3];
    struct sockaddr_in scratch;
    int peers[3];

    openRecorded(&fixture, socket(AF_INET, SOCK_DGRAM, 0), NULL, 0, &recorder);
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
            ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), 0);
        } else {
            ck_assert_int_eq(TransmitFastSocketData(recorder.socket, (struct sockaddr*)&scratch,
                                                    sizeof(scratch), text, strlen(text), 0),
                             0);
        }
        memset(&scratch, 0, sizeof(scratch));
    }
    waitDrained(&recorder);
    for (int round = 0; round < 30; round++) {
        char text[16];
        snprintf(text, sizeof(text), "round %d", round);
        expectText(peers[round % 3], text);
    }
    for (int index = 0; index < 3; index++)
        close(peers[index]);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

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
START_TEST(answersToSender)
{
    struct msghdr message = {.msg_namelen = sizeof(struct sockaddr_in6)};
    struct sockaddr_in address;
    struct sockaddr_in unused;
    int server = bindLoopback(&address);
    int clients[4];

    recorder.then = answer;
    openRecorded(&fixture, server, &message, 0, &recorder);
    for (int index = 0; index < 4; index++) {
        clients[index] = bindLoopback(&unused);
        ck_assert_int_eq(connect(clients[index], (struct sockaddr*)&address, sizeof(address)), 0);
    }
    for (int round = 0; round < 40; round++) {
        char text[16];
        snprintf(text, sizeof(text), "ask %d", round);
        sendText(clients[round % 4], text);
        waitCount(fixture.ring, &recorder.in, round + 1);
        waitDrained(&recorder);
        expectText(clients[round % 4], text);
    }
    for (int index = 0; index < 4; index++)
        close(clients[index]);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.4 order: that of the calls, also when the receiver is slow */
START_TEST(keepsOrder)
{
    uint32_t expected = 0;

    openKind(KIND_UNIX_DATAGRAM);
    for (uint32_t index = 0; index < 2000; index++)
        ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, &index, sizeof(index), 0),
                         0);
    while (expected < 2000) {
        uint32_t got = 0;
        if (recv(pair[1], &got, sizeof(got), MSG_DONTWAIT) < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert_uint_eq(got, expected);
        expected++;
    }
    waitDrained(&recorder);
    ck_assert_int_eq(recorder.err, 0);
    release();
}
END_TEST

/* §2.4 empty: sends an empty datagram, by each call */
START_TEST(sendsEmptyDatagrams)
{
    const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM};
    char byte = 0;

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        struct msghdr message = {0};
        openKind(kinds[index]);
        ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, NULL, 0, 0), 0);
        ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), 0);
        ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, NULL, 0,
                                                  AllocateFastBuffer(fixture.outbound, 0, 0), 0, 0,
                                                  0),
                         0);
        transmitText(recorder.socket, "x");
        waitDrained(&recorder);
        runIdle(fixture.ring);
        for (int count = 0; count < 3; count++)
            ck_assert_int_eq((int)recv(pair[1], &byte, 1, 0), 0);
        ck_assert_int_eq((int)recv(pair[1], &byte, 1, 0), 1);
        expectAlive();
        release();
    }
}
END_TEST

/* Takes the empty datagrams that are queued; returns how many. */
static int takeEmpty(void)
{
    struct FastBuffer* buffer = NULL;
    int count = 0;

    while ((buffer = ReceiveFastSocketBuffer(recorder.socket)) != NULL) {
        ck_assert_uint_eq(GetFastBufferLength(buffer), 0);
        ReleaseFastBuffer(buffer);
        count++;
    }
    return count;
}

/* §2.3 empty datagram: a flood of them is delivered and ends nothing */
START_TEST(survivesEmptyFlood)
{
    char byte = 0;
    int taken = 0;

    openKind(KIND_UNIX_DATAGRAM);
    for (int index = 0; index < 1000; index++) {
        while (send(pair[1], "", 0, MSG_DONTWAIT) < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            runTurns(fixture.ring, 1);
            taken += takeEmpty();
        }
    }
    while (taken < 1000) {
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
        taken += takeEmpty();
    }
    ck_assert_uint_eq(readSocket(recorder.socket).receivedMessages, 1000);
    ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, &byte, 1, 0), 0);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(recorder.socket));
    expectAlive();
    release();
}
END_TEST

/* §2.4 -EMSGSIZE: more than any datagram can hold */
START_TEST(refusesOversize)
{
    static char data[70000];

    openKind(KIND_UDP);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, data, 65536, 0), -EMSGSIZE);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, data, sizeof(data), 0),
                     -EMSGSIZE);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, data, 65507, 0), 0);
    waitDrained(&recorder);
    ck_assert_int_eq((int)recv(pair[1], data, sizeof(data), 0), 65507);
    ck_assert_int_eq(recorder.err, 0);
    expectAlive();
    release();
}
END_TEST

/* The send buffer shrinks after the transmits were accepted: the kernel refuses the large ones. */
static void shrink(void)
{
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
}

/* §2.1 POLLERR non-fatal (datagram): an oversize datagram fails alone: those before and behind
 * it arrive */
START_TEST(failsAlone)
{
    static char data[20000];

    openKind(KIND_UNIX_DATAGRAM);
    transmitText(recorder.socket, "before");
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, data, sizeof(data), 0), 0);
    transmitText(recorder.socket, "behind");
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, data, sizeof(data), 0), 0);
    transmitText(recorder.socket, "last");
    shrink();
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_ge(recorder.err, 1);
    ck_assert_int_le(recorder.err, 2);
    ck_assert_int_eq(recorder.lastError, EMSGSIZE);
    ck_assert_uint_eq(readSocket(recorder.socket).failedMessages, 2);
    ck_assert_uint_eq(readSocket(recorder.socket).sentBytes, 16);
    expectText(pair[1], "before");
    expectText(pair[1], "behind");
    expectText(pair[1], "last");
    /* From now on the size is known, and refused at once. */
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, data, sizeof(data), 0),
                     -EMSGSIZE);
    expectAlive();
    release();
}
END_TEST

/* §2.3 SEQPACKET: empty records in front of others are all delivered, also before the end */
START_TEST(keepsEmptyRecordsBeforeEnd)
{
    for (int armed = 0; armed < 2; armed++) {
        char byte = 0;
        openKind(KIND_UNIX_SEQPACKET);
        if (armed)
            runIdle(fixture.ring);
        sendText(pair[1], "a");
        ck_assert_int_eq(send(pair[1], "", 0, 0), 0);
        ck_assert_int_eq(send(pair[1], "", 0, 0), 0);
        sendText(pair[1], "b");
        close(pair[1]);
        pair[1] = -1;
        waitHangup(&recorder);
        ck_assert_uint_eq(readSocket(recorder.socket).receivedMessages, 4);
        ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, &byte, 1, 0), 1);
        ck_assert_int_eq(byte, 'a');
        ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, &byte, 1, 0), 0);
        ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, &byte, 1, 0), 0);
        ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, &byte, 1, 0), 1);
        ck_assert_int_eq(byte, 'b');
        release();
    }
}
END_TEST

/* §2.4 order: an error of an earlier datagram, told to the first of a burst, does not put it
 * behind the others */
START_TEST(keepsOrderBehindRefusal)
{
    struct sockaddr_in address;
    int peer = bindLoopback(&address);
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[8] = "";

    close(peer);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, sizeof(address)), 0);
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    transmitText(recorder.socket, "refused");
    runIdle(fixture.ring);
    peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(peer, (struct sockaddr*)&address, sizeof(address)), 0);
    for (int index = 0; index < 5; index++) {
        snprintf(text, sizeof(text), "%d", index);
        transmitText(recorder.socket, text);
    }
    runIdle(fixture.ring);
    for (int index = 0; index < 5; index++) {
        snprintf(text, sizeof(text), "%d", index);
        expectText(peer, text);
    }
    close(peer);
    pair[1] = -1;
    release();
}
END_TEST

/* §2.4 -EMSGSIZE: a record that can't be sent is refused by the call */
START_TEST(failsRecordAlone)
{
    static char data[20000];

    pairUnix(pair, SOCK_SEQPACKET);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    transmitText(recorder.socket, "before");
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, data, sizeof(data), 0),
                     -EMSGSIZE);
    transmitText(recorder.socket, "behind");
    waitDrained(&recorder);
    expectText(pair[1], "before");
    expectText(pair[1], "behind");
    ck_assert_int_eq(recorder.err + recorder.hup, 0);
    release();
}
END_TEST

/* §2.1 POLLERR non-fatal (datagram): failures of one turn and errno are one POLLERR (the
 * automaton counts), and none is lost count of */
START_TEST(mergesFailures)
{
    static char data[20000];

    openKind(KIND_UNIX_DATAGRAM);
    for (int index = 0; index < 10; index++)
        ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, data, sizeof(data), 0),
                         0);
    shrink();
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_ge(recorder.err, 1);
    ck_assert_int_le(recorder.err, 10);
    ck_assert_uint_eq(readSocket(recorder.socket).failedMessages, 10);
    ck_assert_int_ge(recorder.out, 2);
    expectAlive();
    release();
}
END_TEST

/* §2.1 POLLERR non-fatal (datagram): a peer that went away: ECONNREFUSED, and the socket may
 * talk to others */
START_TEST(survivesClosedPeer)
{
    openKind(KIND_UNIX_DATAGRAM);
    close(pair[1]);
    pair[1] = -1;
    transmitText(recorder.socket, "hello?");
    waitCount(fixture.ring, &recorder.err, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.hup, 0);
    ck_assert_int_eq(GetFastSocketError(recorder.socket), 0);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 0, "again", 5, 0), 0);
    waitCount(fixture.ring, &recorder.err, 2);
    release();
}
END_TEST

/* §2.1 POLLERR non-fatal (datagram): refusals while datagrams come in from elsewhere: nothing
 * that arrived is lost */
START_TEST(receivesDuringRefusals)
{
    struct sockaddr_in own;
    struct sockaddr_in nobody;
    int handle = bindLoopback(&own);
    int gone = bindLoopback(&nobody);
    char text[16] = "";

    close(gone);
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    pair[1] = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(connect(pair[1], (struct sockaddr*)&own, sizeof(own)), 0);
    ck_assert_int_eq(setsockopt(handle, IPPROTO_IP, IP_RECVERR, &(int){0}, sizeof(int)), 0);
    for (int round = 0; round < 100; round++) {
        ck_assert_int_eq(TransmitFastSocketData(recorder.socket, (struct sockaddr*)&nobody,
                                                sizeof(nobody), "x", 1, 0),
                         0);
        snprintf(text, sizeof(text), "%05d", round);
        sendText(pair[1], text);
        receiveText(&recorder, text);
    }
    ck_assert_int_eq(recorder.hup, 0);
    release();
}
END_TEST

/* §2.1 POLLERR non-fatal (datagram): connected, refused, and received at the same time */
START_TEST(receivesAfterRefusal)
{
    struct sockaddr_in mine;
    struct sockaddr_in theirs;
    int handle = bindLoopback(&mine);
    int peer = bindLoopback(&theirs);

    ck_assert_int_eq(connect(handle, (struct sockaddr*)&theirs, sizeof(theirs)), 0);
    close(peer);
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    for (int round = 0; round < 20; round++) {
        transmitText(recorder.socket, "refused");
        waitCount(fixture.ring, &recorder.err, round + 1);
        ck_assert_int_eq(recorder.lastError, ECONNREFUSED);
        peer = socket(AF_INET, SOCK_DGRAM, 0);
        ck_assert_int_eq(bind(peer, (struct sockaddr*)&theirs, sizeof(theirs)), 0);
        ck_assert_int_eq(sendto(peer, "hello", 5, 0, (struct sockaddr*)&mine, sizeof(mine)), 5);
        receiveText(&recorder, "hello");
        close(peer);
        runIdle(fixture.ring);
    }
    pair[1] = -1;
    release();
}
END_TEST

/* §2.1 POLLERR non-fatal (datagram), §2.4 -EINVAL: bad addresses fail alone */
START_TEST(survivesBadAddresses)
{
    struct sockaddr_in address;
    struct sockaddr_in zero = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in broadcast = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = INADDR_BROADCAST};
    int before = 0;

    pair[1] = bindLoopback(&address);
    openRecorded(&fixture, socket(AF_INET, SOCK_DGRAM, 0), NULL, 0, &recorder);
    waitCount(fixture.ring, &recorder.out, 1);
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
        before = recorder.err;
        result = TransmitFastSocketData(recorder.socket, to, length, "lost", 4, 0);
        if (result == 0)
            waitCount(fixture.ring, &recorder.err, before + 1);
        else
            ck_assert_int_eq(result, -EINVAL);
        ck_assert_int_eq(TransmitFastSocketData(recorder.socket, (struct sockaddr*)&address,
                                                sizeof(address), "fine", 4, 0),
                         0);
        waitDrained(&recorder);
        expectText(pair[1], "fine");
    }
    ck_assert_int_eq(recorder.hup, 0);
    release();
}
END_TEST

/* AF_UNIX: a peer's full queue is waited for, without spinning; nothing is lost, nothing overtakes. With
 * a name for each datagram, or connected; in both the peer is not connected to us. */
static void waitForQueue(bool connected)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct sockaddr* to = connected ? NULL : (struct sockaddr*)&address;
    socklen_t length = sizeof(sa_family_t);
    uint64_t completions = 0;
    char text[16] = "";
    int handle = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    pair[1] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(pair[1], (struct sockaddr*)&address, length), 0);
    length = sizeof(address);
    ck_assert_int_eq(getsockname(pair[1], (struct sockaddr*)&address, &length), 0);
    if (connected) {
        ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), 0);
        length = 0;
    }
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    for (int index = 0; index < 1000; index++) {
        snprintf(text, sizeof(text), "%06d", index);
        ck_assert_int_eq(TransmitFastSocketData(recorder.socket, to, length, text, 6, 0), 0);
    }
    runTurns(fixture.ring, 50);
    ck_assert_uint_gt(GetFastSocketOutboundLength(recorder.socket), 0);
    completions = readRing(fixture.ring).completions;
    for (int turn = 0; turn < 20; turn++)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 5, NULL), 0);
    ck_assert_uint_le(readRing(fixture.ring).completions - completions, 200);
    for (int index = 0; index < 1000; index++) {
        struct pollfd readable = {.fd = pair[1], .events = POLLIN};
        snprintf(text, sizeof(text), "%06d", index);
        while (poll(&readable, 1, 0) == 0)
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
        expectText(pair[1], text);
    }
    waitDrained(&recorder);
    ck_assert_int_eq(recorder.err, 0);
    release();
}

/* §2.4 transient send results: a full AF_UNIX queue is waited for, a name for each datagram */
START_TEST(waitsForFullQueue)
{
    waitForQueue(false);
}
END_TEST

/* §2.4 transient send results: a full AF_UNIX queue is waited for, connected */
START_TEST(waitsForFullConnectedQueue)
{
    waitForQueue(true);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-datagram");
    TCase* area = tcase_create("datagram");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, sendsToAddresses);
    tcase_add_test(area, answersToSender);
    tcase_add_test(area, keepsOrder);
    tcase_add_test(area, sendsEmptyDatagrams);
    tcase_add_test(area, survivesEmptyFlood);
    tcase_add_test(area, refusesOversize);
    tcase_add_test(area, failsAlone);
    tcase_add_test(area, failsRecordAlone);
    tcase_add_test(area, keepsEmptyRecordsBeforeEnd);
    tcase_add_test(area, keepsOrderBehindRefusal);
    tcase_add_test(area, mergesFailures);
    tcase_add_test(area, survivesClosedPeer);
    tcase_add_test(area, receivesDuringRefusals);
    tcase_add_test(area, receivesAfterRefusal);
    tcase_add_test(area, survivesBadAddresses);
    tcase_add_test(area, waitsForFullQueue);
    tcase_add_test(area, waitsForFullConnectedQueue);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
