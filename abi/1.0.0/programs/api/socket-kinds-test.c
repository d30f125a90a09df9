/* The matrix: each kind of socket, in each mode, by each transmit call; bytes arrive, borders of
 * messages stay. */
#include "fixture.h"

#include <liburing.h>
#include <netinet/in.h>

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

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

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 64, 65536);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static int transmit(enum Call call, size_t size, uint64_t position)
{
    struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, size, 0);
    uint8_t* data = GetFastBufferData(buffer);
    struct iovec vectors[2] = {{data, size / 2}, {data + size / 2, size - size / 2}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
    struct FastRingDescriptor* descriptor = NULL;
    int result = 0;

    ck_assert_ptr_nonnull(buffer);
    fillPattern(data, size, position);
    switch (call) {
    case CALL_DATA:
        result = TransmitFastSocketData(recorder.socket, NULL, 0, data, size, 0);
        ReleaseFastBuffer(buffer);
        return result;
    case CALL_MESSAGE:
        result = TransmitFastSocketMessage(recorder.socket, &message, 0);
        ReleaseFastBuffer(buffer);
        return result;
    case CALL_BUFFER:
        return TransmitFastSocketBuffer(recorder.socket, NULL, 0, buffer, 0, size, 0);
    default:
        descriptor = AllocateFastRingDescriptor(fixture.ring, NULL, NULL);
        ck_assert_ptr_nonnull(descriptor);
        io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), pair[0], data, size, 0);
        return TransmitFastSocketDescriptor(recorder.socket, descriptor, buffer);
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
        ssize_t result = recv(pair[1], data,
                              (typeKind(kind) == SOCK_STREAM) ? size - done : sizeof(data),
                              MSG_DONTWAIT);
        if (result < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
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
            pairKind(kind, pair);
            openRecorded(&fixture, pair[0], NULL, modes[mode], &recorder);
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
                waitDrained(&recorder);
            }
            expectNothing(pair[1]);
            ck_assert_int_eq(recorder.err + recorder.hup, 0);
            ck_assert_uint_eq(readSocket(recorder.socket).sentBytes, position);
            ReleaseFastSocket(recorder.socket);
            close(pair[1]);
        }
    }
}

START_TEST(sendsTcp)
{
    sendMatrix(KIND_TCP);
}
END_TEST

START_TEST(sendsTcp6)
{
    sendMatrix(KIND_TCP6);
}
END_TEST

START_TEST(sendsUdp)
{
    sendMatrix(KIND_UDP);
}
END_TEST

START_TEST(sendsUdp6)
{
    sendMatrix(KIND_UDP6);
}
END_TEST

START_TEST(sendsUnixStream)
{
    sendMatrix(KIND_UNIX_STREAM);
}
END_TEST

START_TEST(sendsUnixDatagram)
{
    sendMatrix(KIND_UNIX_DATAGRAM);
}
END_TEST

START_TEST(sendsUnixSeqpacket)
{
    sendMatrix(KIND_UNIX_SEQPACKET);
}
END_TEST

/* both ends on one ring, both receive forms, messages going round */
START_TEST(goesRound)
{
    for (enum Kind kind = 0; kind < KIND_COUNT; kind++) {
        for (int plain = 0; plain < 2; plain++) {
            struct msghdr message = {.msg_namelen = 128, .msg_controllen = 64};
            struct Recorder other = {0};
            uint64_t position = 0;
            if (!hasKind(kind))
                continue;
            pairKind(kind, pair);
            openRecorded(&fixture, pair[0], plain ? NULL : &message, 0, &recorder);
            openRecorded(&fixture, pair[1], plain ? NULL : &message, 0, &other);
            for (int index = 0; index < 12; index++) {
                static uint8_t data[65536];
                size_t size = sizeOf(index);
                ck_assert_int_eq(transmit(CALL_DATA, size, position), 0);
                waitInput(&other, size);
                ck_assert_int_eq(ReceiveFastSocketData(other.socket, data, sizeof(data), 0),
                                 (ssize_t)size);
                ck_assert(checkPattern(data, size, position));
                ck_assert_int_eq(TransmitFastSocketData(other.socket, NULL, 0, data, size, 0), 0);
                waitInput(&recorder, size);
                ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, data, sizeof(data), 0),
                                 (ssize_t)size);
                ck_assert(checkPattern(data, size, position));
                position += size;
            }
            ReleaseFastSocket(recorder.socket);
            ReleaseFastSocket(other.socket);
            waitFor(fixture.ring, isNothingPending, fixture.ring);
        }
    }
}
END_TEST

/* §2.4 AUTO_CORK: three AUTO_CORK datagrams arrive as three */
START_TEST(corksNoDatagrams)
{
    const enum Kind kinds[] = {KIND_UDP, KIND_UDP6, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        if (!hasKind(kinds[index]))
            continue;
        pairKind(kinds[index], pair);
        openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_AUTO_CORK, &recorder);
        transmitText(recorder.socket, "one");
        transmitText(recorder.socket, "two");
        transmitText(recorder.socket, "three");
        waitDrained(&recorder);
        for (int message = 0; message < 3; message++) {
            static const char* const texts[] = {"one", "two", "three"};
            char data[32] = "";
            ck_assert_int_eq(recv(pair[1], data, sizeof(data), 0), (ssize_t)strlen(texts[message]));
            ck_assert_str_eq(data, texts[message]);
        }
        ReleaseFastSocket(recorder.socket);
        close(pair[1]);
    }
}
END_TEST

/* §2.4 ZERO_COPY choice: on AF_UNIX it arrives, and zero copy is not tried again and again */
START_TEST(copiesForUnix)
{
    const enum Kind kinds[] = {KIND_UNIX_STREAM, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        pairKind(kinds[index], pair);
        openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &recorder);
        for (uint64_t round = 0; round < 10; round++) {
            ck_assert_int_eq(transmit(CALL_DATA, 50000, round), 0);
            expect(kinds[index], 50000, round);
        }
        waitDrained(&recorder);
        ck_assert_uint_eq(readSocket(recorder.socket).sentZeroCopy, 0);
        ck_assert_int_eq(recorder.err, 0);
        ReleaseFastSocket(recorder.socket);
        close(pair[1]);
    }
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-kinds");
    TCase* area = tcase_create("kinds");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, sendsTcp);
    tcase_add_test(area, sendsTcp6);
    tcase_add_test(area, sendsUdp);
    tcase_add_test(area, sendsUdp6);
    tcase_add_test(area, sendsUnixStream);
    tcase_add_test(area, sendsUnixDatagram);
    tcase_add_test(area, sendsUnixSeqpacket);
    tcase_add_test(area, goesRound);
    tcase_add_test(area, corksNoDatagrams);
    tcase_add_test(area, copiesForUnix);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
