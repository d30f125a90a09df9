/*
 * Sockets, when the n-th call for memory, to the engine or to the system fails, for each n: calls
 * say so and can be made again, and what was accepted arrives, once and in order.
 */
#include "place.h"

#include <netinet/in.h>
#include <netinet/udp.h>

enum
{
    INPUT = 60000,
    DATAGRAMS = 24,
    DATAGRAM = 300,
    KEPT = 8,
};

AREA(points, "points-socket", .timeout = 600);

static void playStream(const char* name, void (*scenario)(int kind), int round)
{
    static const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    playPoints(name, nameKind(kinds[round]), scenario, (int)kinds[round]);
}

static void playMessages(const char* name, void (*scenario)(int kind), int round)
{
    static const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

    playPoints(name, nameKind(kinds[round]), scenario, (int)kinds[round]);
}

enum
{
    KINDS = 2,
    MESSAGE_KINDS = 3,
};

static void sendPattern(int handle, size_t size)
{
    static uint8_t data[INPUT];

    ck_assert_uint_le(size, sizeof(data));
    fillPattern(data, size, 0);
    sendAll(handle, data, size);
}

/* ---- receiving ---- */

/* By both calls, in turns; some chunks are kept, so that the provider needs others. */
static uint64_t takeSome(uint64_t position, struct FastBuffer** kept, int* count)
{
    uint8_t data[700];
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.ours.socket);
    ssize_t size = 0;

    if (buffer == NULL)
        return position;
    ck_assert(checkPattern(GetFastBufferData(buffer), GetFastBufferLength(buffer), position));
    position += GetFastBufferLength(buffer);
    if (*count < KEPT)
        kept[(*count)++] = buffer;
    else
        ReleaseFastBuffer(buffer);
    size = ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0);
    ck_assert_int_ge(size, 0);
    ck_assert(checkPattern(data, (size_t)size, position));
    return position + (uint64_t)size;
}

static void receiveStream(int kind)
{
    struct FastBuffer* kept[KEPT];
    uint64_t position = 0;
    int count = 0;

    openPlace((struct SceneOptions){.buffers = 8, .bufferLength = 1024});
    openActors((enum Kind)kind, NULL, 0);
    DONE(SetFastSocketOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 20000));
    sendPattern(scene.peer, INPUT);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    while (position < INPUT) {
        waitInput(&scene.ours, 1);
        position = takeSome(position, kept, &count);
    }
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
    while (count > 0)
        ReleaseFastBuffer(kept[--count]);
    closeScene();
}

/* bytes: all of them, over the high mark, with chunks that are kept */
CASE_ROUNDS(points, receiveStream_, KINDS)
{
    playStream("receive", receiveStream, round);
}

static void receiveMessages(int kind)
{
    uint8_t data[DATAGRAM];
    uint64_t position = 0;

    openPlace((struct SceneOptions){.buffers = 4, .bufferLength = 1024});
    openActors((enum Kind)kind, NULL, 0);
    for (int number = 0; number < DATAGRAMS; number++) {
        if (number % 8 == 0) /* a full receiver would keep us waiting */
            runTurns(scene.ring, 3);
        fillPattern(data, sizeof(data), (uint64_t)number * sizeof(data));
        sendAll(scene.peer, data, sizeof(data));
    }
    while (position < DATAGRAMS * DATAGRAM) {
        waitInput(&scene.ours, 1);
        ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0),
                         (ssize_t)sizeof(data));
        ck_assert(checkPattern(data, sizeof(data), position));
        position += sizeof(data);
    }
    ck_assert_int_eq(scene.ours.err, 0);
    closeScene();
}

/* messages: none is lost */
CASE_ROUNDS(points, receiveMessages_, MESSAGE_KINDS)
{
    playMessages("receive", receiveMessages, round);
}

/* Four sockets and one buffer: they wait for it, and for memory. */
static void receiveStarved(int kind)
{
    static struct Recorder others[3];
    static int peers[3];
    uint8_t data[2000];

    openPlace((struct SceneOptions){.buffers = 1, .bufferLength = 256});
    openActors((enum Kind)kind, NULL, 0);
    for (int index = 0; index < 3; index++) {
        int pair[2];
        pairKind((enum Kind)kind, pair);
        openActor(pair[0], NULL, 0, &others[index]);
        peers[index] = pair[1];
        sendPattern(peers[index], sizeof(data));
    }
    sendPattern(scene.peer, sizeof(data));
    for (int index = 0; index < 4; index++) {
        struct Recorder* recorder = index < 3 ? &others[index] : &scene.ours;
        waitInput(recorder, sizeof(data));
        ck_assert_int_eq(ReceiveFastSocketData(recorder->socket, data, sizeof(data), 0),
                         (ssize_t)sizeof(data));
        ck_assert(checkPattern(data, sizeof(data), 0));
    }
    for (int index = 0; index < 3; index++) {
        ReleaseFastSocket(others[index].socket);
        close(peers[index]);
    }
    closeScene();
}

CASE_ROUNDS(points, receiveStarved_, KINDS)
{
    playStream("receive with one buffer", receiveStarved, round);
}

/* ---- transmitting ---- */

static uint64_t expectSent(uint64_t checked, uint64_t sent)
{
    expectPattern(scene.peer, sent - checked, checked);
    waitDrained(&scene.ours);
    return sent;
}

/* By all calls, small and large, one behind the other, and in one go where nothing is in flight. */
static void transmitBytes(enum Kind kind, int mode)
{
    static void (*const put[])(struct FastSocket*, size_t, uint64_t) = {
        putData, putMessage, putBuffer, putOperation};
    static const size_t sizes[] = {1, 100, 5000, 40000};
    uint64_t sent = 0;
    uint64_t checked = 0;

    openPlace((struct SceneOptions){.buffers = 4, .bufferLength = 1024});
    openActors(kind, NULL, mode);
    for (size_t size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++) {
        for (size_t call = 0; call < sizeof(put) / sizeof(put[0]); call++) {
            put[call](scene.ours.socket, sizes[size], sent);
            sent += sizes[size];
        }
        checked = expectSent(checked, sent);
    }
    putData(scene.ours.socket, 200000, sent);
    checked = expectSent(checked, sent + 200000);
    DONE(TransmitFastSocketData(scene.ours.socket, NULL, 0, NULL, 0, 0));
    DONE(ShutdownFastSocket(scene.ours.socket));
    waitCount(scene.ring, &scene.ours.out, 2);
    runIdle(scene.ring);
    expectEnd(scene.peer);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, checked);
    ck_assert_int_eq(scene.ours.err, 0);
    closeScene();
}

static void transmitStream(int kind)
{
    transmitBytes((enum Kind)kind, FASTSOCKET_MODE_REGULAR);
}

static void transmitUncopied(int kind)
{
    transmitBytes((enum Kind)kind, FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK);
}

/* bytes, by all calls: every one that was accepted, in order */
CASE_ROUNDS(points, transmitStream_, KINDS)
{
    playStream("transmit", transmitStream, round);
}

CASE(points, transmitUncopied_)
{
    playPoints("transmit without a copy", "TCP", transmitUncopied, KIND_TCP);
}

static void expectDatagram(int handle, size_t size, uint64_t position)
{
    static uint8_t data[65536];
    ssize_t length = 0;

    while ((length = recv(handle, data, sizeof(data), MSG_DONTWAIT)) < 0) {
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    }
    ck_assert_int_eq(length, (ssize_t)size);
    ck_assert(checkPattern(data, size, position));
}

static void transmitMessages(int kind)
{
    static void (*const put[])(struct FastSocket*, size_t, uint64_t) = {
        putData, putMessage, putBuffer, putOperation};
    uint64_t sent = 0;
    uint64_t checked = 0;

    openPlace((struct SceneOptions){.buffers = 4, .bufferLength = 1024});
    openActors((enum Kind)kind, NULL, 0);
    for (int number = 0; number < DATAGRAMS; number++) {
        size_t size = number % 8 < 5 ? DATAGRAM : 6000; /* equal ones may go together */
        put[(number / 3) % 4](scene.ours.socket, size, sent);
        sent += size;
        if (number % 8 < 7)
            continue;
        for (int back = 7; back >= 0; back--) {
            size = (number - back) % 8 < 5 ? DATAGRAM : 6000;
            expectDatagram(scene.peer, size, checked);
            checked += size;
        }
        waitDrained(&scene.ours);
    }
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
    ck_assert_int_eq(scene.ours.err, 0);
    closeScene();
}

/* messages, by all calls */
CASE_ROUNDS(points, transmitMessages_, MESSAGE_KINDS)
{
    playMessages("transmit", transmitMessages, round);
}

enum
{
    PEERS = 6,
    ROUNDS = 5,
};

static int bindPeer(struct sockaddr_in* address)
{
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(*address);

    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = ownLoopback()};
    ck_assert_int_eq(bind(handle, (struct sockaddr*)address, length), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)address, &length), 0);
    return handle;
}

/* One socket, several destinations, which it keeps apart. */
static void transmitToMany(int unused)
{
    struct sockaddr_in addresses[PEERS + 1];
    int peers[PEERS];
    uint8_t data[DATAGRAM];

    (void)unused;
    openPlace((struct SceneOptions){.buffers = 4, .bufferLength = 1024});
    openActor(bindPeer(&addresses[PEERS]), NULL, 0, &scene.ours);
    for (int index = 0; index < PEERS; index++)
        peers[index] = bindPeer(&addresses[index]);
    for (int number = 0; number < PEERS * ROUNDS; number++) {
        fillPattern(data, sizeof(data), (uint64_t)number);
        DONE(TransmitFastSocketData(scene.ours.socket,
                                    (struct sockaddr*)&addresses[number % PEERS],
                                    sizeof(addresses[0]), data, sizeof(data), 0));
    }
    for (int number = 0; number < PEERS * ROUNDS; number++)
        expectDatagram(peers[number % PEERS], DATAGRAM, (uint64_t)number);
    waitDrained(&scene.ours);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
    for (int index = 0; index < PEERS; index++)
        close(peers[index]);
    closeScene();
}

CASE(points, transmitToMany_)
{
    playPoints("transmit to many", "UDP", transmitToMany, 0);
}

/* ---- metadata ---- */

static void addRights(struct msghdr* message, void* control, size_t size, int handle)
{
    struct cmsghdr* header = control;

    message->msg_control = control;
    message->msg_controllen = size;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &handle, sizeof(handle));
}

union Control
{
    char space[CMSG_SPACE(sizeof(int))];
    struct cmsghdr header;
};

static void expectRights(void)
{
    union Control control;
    char byte = 0;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    int handle = -1;

    ck_assert_int_eq(recvmsg(scene.peer, &message, MSG_CMSG_CLOEXEC), 1);
    ck_assert_uint_eq(message.msg_controllen, sizeof(control));
    memcpy(&handle, CMSG_DATA(&control.header), sizeof(handle));
    ck_assert_int_eq(close(handle), 0);
}

/* Descriptors both ways: those that come are in input that is skipped. */
static void passDescriptors(int kind)
{
    struct msghdr room = {.msg_controllen = CMSG_SPACE(sizeof(int))};
    union Control control = {.space = {0}};
    char byte = 'x';
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    openPlace((struct SceneOptions){.buffers = 4, .bufferLength = 1024});
    openActors((enum Kind)kind, &room, 0);
    addRights(&message, &control, sizeof(control), STDIN_FILENO);
    for (int number = 0; number < 3; number++) {
        DONE(TransmitFastSocketMessage(scene.ours.socket, &message, 0));
        waitDrained(&scene.ours);
        expectRights();
        ck_assert_int_eq(sendmsg(scene.peer, &message, 0), 1);
        waitInput(&scene.ours, 1);
        if (number > 0) /* the first is dropped with the socket */
            ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 1);
    }
    closeScene();
}

CASE_ROUNDS(points, passDescriptors_, 3)
{
    const enum Kind kinds[] = {KIND_UNIX_STREAM, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

    playPoints("descriptors", nameKind(kinds[round]), passDescriptors, (int)kinds[round]);
}

/* Datagrams that the kernel joins are taken apart, by a copy where they are taken as buffers. */
static void receiveJoined(int unused)
{
    uint8_t data[DATAGRAM];
    int one = 1;
    int size = DATAGRAM;

    (void)unused;
    openPlace((struct SceneOptions){.buffers = 4, .bufferLength = 66 << 10});
    pairUdp(scene.pair);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_UDP, UDP_GRO, &one, sizeof(one)), 0);
    ck_assert_int_eq(setsockopt(scene.peer, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
    openActor(scene.handle, NULL, 0, &scene.ours);
    sendPattern(scene.peer, (size_t)10 * DATAGRAM);
    waitInput(&scene.ours, (size_t)10 * DATAGRAM);
    for (int number = 0; number < 10; number++) {
        struct FastBuffer* buffer = NULL;
        if (number % 3 == 2) {
            ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0), size);
            ck_assert(checkPattern(data, sizeof(data), (uint64_t)number * DATAGRAM));
            continue;
        }
        MADE(buffer, ReceiveFastSocketBuffer(scene.ours.socket));
        ck_assert_uint_eq(GetFastBufferLength(buffer), DATAGRAM);
        ck_assert(checkPattern(GetFastBufferData(buffer), DATAGRAM, (uint64_t)number * DATAGRAM));
        ReleaseFastBuffer(buffer);
    }
    closeScene();
}

CASE(points, receiveJoined_)
{
    playPoints("receive what is joined", "UDP", receiveJoined, 0);
}
