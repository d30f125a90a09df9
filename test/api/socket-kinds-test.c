/* The matrix: each kind of socket, in each mode, by each transmit call; bytes arrive, borders of
 * messages stay. */
#include "fixture.h"

#include <liburing.h>
#include <netinet/in.h>

enum Call
{
    CALL_DATA,
    CALL_MESSAGE,
    CALL_BUFFER,
    CALL_DESCRIPTOR,
    CALL_COUNT,
};

static const int modes[] = {
    FASTSOCKET_MODE_REGULAR,
    FASTSOCKET_MODE_ZERO_COPY,
    FASTSOCKET_MODE_AUTO_CORK,
    FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK,
};

enum
{
    MODES = sizeof(modes) / sizeof(modes[0]),
};

SCENE_AREA_OF(kinds, "kinds", .bufferLength = 65536);

static int transmit(enum Call call, size_t size, uint64_t position)
{
    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, size, 0);
    uint8_t* data = GetFastBufferData(buffer);
    struct iovec vectors[2] = {{data, size / 2}, {data + size / 2, size - size / 2}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
    struct FastRingDescriptor* descriptor = NULL;
    int result = 0;

    ck_assert_ptr_nonnull(buffer);
    fillPattern(data, size, position);
    switch (call) {
    case CALL_DATA:
        result = TransmitFastSocketData(scene.ours.socket, NULL, 0, data, size, 0);
        ReleaseFastBuffer(buffer);
        return result;
    case CALL_MESSAGE:
        result = TransmitFastSocketMessage(scene.ours.socket, &message, 0);
        ReleaseFastBuffer(buffer);
        return result;
    case CALL_BUFFER:
        return TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, size, 0);
    default:
        descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
        ck_assert_ptr_nonnull(descriptor);
        io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), scene.handle, data, size,
                           0);
        return TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer);
    }
}

static size_t sizeOf(int index)
{
    static const size_t sizes[] = {1, 9, 100, 1400, 4096, 20000};

    return sizes[index % 6];
}

/* Receives one message, or the same number of bytes from a stream, while the ring runs. */
static void expect(enum Kind kind, size_t size, uint64_t position)
{
    static uint8_t data[65536];
    size_t done = 0;

    while (done < size) {
        ssize_t result = recv(scene.peer, data,
                              (typeKind(kind) == SOCK_STREAM) ? size - done : sizeof(data),
                              MSG_DONTWAIT);
        if (result < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
            continue;
        }
        if (typeKind(kind) != SOCK_STREAM)
            ck_assert_uint_eq((size_t)result, size);
        ck_assert(checkPattern(data, (size_t)result, position + done));
        done += (size_t)result;
    }
}

static void sendMatrix(enum Kind kind)
{
    if (!hasKind(kind))
        skipTest("no IPv6");
    for (int mode = 0; mode < MODES; mode++) {
        for (enum Call call = 0; call < CALL_COUNT; call++) {
            uint64_t position = 0;
            openPairWith(.kind = kind, .mode = modes[mode]);
            for (int burst = 0; burst < 4; burst++) {
                uint64_t start = position;
                for (int index = 0; index < 6; index++) {
                    ck_assert_int_eq(transmit(call, sizeOf(index + burst), position), 0);
                    position += sizeOf(index + burst);
                }
                for (int index = 0; index < 6; index++) {
                    expect(kind, sizeOf(index + burst), start);
                    start += sizeOf(index + burst);
                }
                waitDrained(&scene.ours);
            }
            expectNothing(scene.peer);
            ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
            ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, position);
            closePair();
        }
    }
}

CASE(kinds, sendsTcp)
{
    sendMatrix(KIND_TCP);
}

CASE(kinds, sendsTcp6)
{
    sendMatrix(KIND_TCP6);
}

CASE(kinds, sendsUdp)
{
    sendMatrix(KIND_UDP);
}

CASE(kinds, sendsUdp6)
{
    sendMatrix(KIND_UDP6);
}

CASE(kinds, sendsUnixStream)
{
    sendMatrix(KIND_UNIX_STREAM);
}

CASE(kinds, sendsUnixDatagram)
{
    sendMatrix(KIND_UNIX_DATAGRAM);
}

CASE(kinds, sendsUnixSeqpacket)
{
    sendMatrix(KIND_UNIX_SEQPACKET);
}

/* both ends on one ring, both receive forms, messages going round */
CASE(kinds, goesRound)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        for (int plain = 0; plain < 2; plain++) {
            struct msghdr message = {.msg_namelen = 128, .msg_controllen = 64};
            struct Recorder other = {0};
            uint64_t position = 0;
            if (!hasKind(kind))
                continue;
            openPairWith(.kind = kind, .message = plain ? NULL : &message);
            openRecorded(&scene, scene.peer, plain ? NULL : &message, 0, &other);
            for (int index = 0; index < 12; index++) {
                static uint8_t data[65536];
                size_t size = sizeOf(index);
                ck_assert_int_eq(transmit(CALL_DATA, size, position), 0);
                waitInput(&other, size);
                ck_assert_int_eq(ReceiveFastSocketData(other.socket, data, sizeof(data), 0),
                                 (ssize_t)size);
                ck_assert(checkPattern(data, size, position));
                ck_assert_int_eq(TransmitFastSocketData(other.socket, NULL, 0, data, size, 0), 0);
                waitInput(&scene.ours, size);
                ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0),
                                 (ssize_t)size);
                ck_assert(checkPattern(data, size, position));
                position += size;
            }
            ReleaseFastSocket(scene.ours.socket);
            ReleaseFastSocket(other.socket);
            waitFor(scene.ring, isNothingPending, scene.ring);
        }
    }
}

/* §2.4 AUTO_CORK: three AUTO_CORK datagrams arrive as three */
CASE(kinds, corksNoDatagrams)
{
    const enum Kind kinds[] = {KIND_UDP, KIND_UDP6, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        if (!hasKind(kinds[index]))
            continue;
        openPairWith(.kind = kinds[index], .mode = FASTSOCKET_MODE_AUTO_CORK);
        transmitText(scene.ours.socket, "one");
        transmitText(scene.ours.socket, "two");
        transmitText(scene.ours.socket, "three");
        waitDrained(&scene.ours);
        for (int message = 0; message < 3; message++) {
            static const char* const texts[] = {"one", "two", "three"};
            char data[32] = "";
            ck_assert_int_eq(recv(scene.peer, data, sizeof(data), 0),
                             (ssize_t)strlen(texts[message]));
            ck_assert_str_eq(data, texts[message]);
        }
        closePair();
    }
}

/* §2.4 ZERO_COPY choice: on AF_UNIX it arrives, and zero copy is not tried again and again */
CASE(kinds, copiesForUnix)
{
    const enum Kind kinds[] = {KIND_UNIX_STREAM, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPairWith(.kind = kinds[index], .mode = FASTSOCKET_MODE_ZERO_COPY);
        for (uint64_t round = 0; round < 10; round++) {
            ck_assert_int_eq(transmit(CALL_DATA, 50000, round), 0);
            expect(kinds[index], 50000, round);
        }
        waitDrained(&scene.ours);
        ck_assert_uint_eq(readSocket(scene.ours.socket).sentZeroCopy, 0);
        ck_assert_int_eq(scene.ours.err, 0);
        closePair();
    }
}
