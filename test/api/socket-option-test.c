/* Options and statistics of sockets. */
#include "fixture.h"

SCENE_AREA_OF(option, "option", .kind = KIND_TCP);

static uint64_t get(int option)
{
    uint64_t value = UINT64_MAX;

    ck_assert_int_eq(GetFastSocketOption(scene.ours.socket, option, &value), 0);
    return value;
}

static int set(int option, uint64_t value)
{
    return SetFastSocketOption(scene.ours.socket, option, value);
}

CASE(option, hasDefaults)
{
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_INBOUND_HIGH), 1 << 20);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_INBOUND_LOW), 256 << 10);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_OUTBOUND_LIMIT), 0);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD), 16 << 10);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_RELEASE_TIMEOUT), 30000);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_TURN_LIMIT), 256 << 10);
}

CASE(option, keepsValues)
{
    const uint64_t values[] = {0, 5000, 1000, 7000, 9000, 11000, 13000};

    for (int option = 1; option <= 6; option++)
        ck_assert_int_eq(set(option, values[option]), 0);
    for (int option = 1; option <= 6; option++)
        ck_assert_uint_eq(get(option), values[option]);
}

/* unknown options: -ENOPROTOOPT, nothing written */
CASE(option, refusesUnknown)
{
    const int unknown[] = {0, -1, 12, 13, 1000, INT32_MAX, INT32_MIN};
    uint64_t value = 42;

    for (size_t index = 0; index < sizeof(unknown) / sizeof(unknown[0]); index++) {
        ck_assert_int_eq(set(unknown[index], 1), -ENOPROTOOPT);
        ck_assert_int_eq(GetFastSocketOption(scene.ours.socket, unknown[index], &value),
                         -ENOPROTOOPT);
    }
    ck_assert_uint_eq(value, 42);
    ck_assert_int_eq(GetFastSocketOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, NULL),
                     -EINVAL);
}

/* values out of range: -EINVAL, the old value stays */
CASE(option, refusesOutOfRange)
{
    const uint64_t tebi = UINT64_C(1) << 40;

    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_HIGH, 0), -EINVAL);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_TURN_LIMIT, 0), -EINVAL);
    for (int option = 1; option <= 6; option++) {
        uint64_t before = get(option);
        ck_assert_int_eq(set(option, UINT64_MAX), -EINVAL);
        ck_assert_int_eq(set(option, tebi + 1), -EINVAL);
        ck_assert_uint_eq(get(option), before);
    }
    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_HIGH, tebi), 0);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_INBOUND_HIGH), tebi);
}

/* the marks keep their order */
CASE(option, keepsMarksInOrder)
{
    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_HIGH, 1000), 0);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_INBOUND_LOW), 250);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_LOW, 1000), -EINVAL);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_LOW, 2000), -EINVAL);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_LOW, 999), 0);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_LOW, 0), 0);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_HIGH, 1), 0);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_INBOUND_HIGH), 1);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_INBOUND_LOW), 0);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_HIGH, 2000), 0);
}

/* options set before the first turn are in force before the first byte */
CASE(option, holdsForFirstByte)
{
    static char data[200000];
    ssize_t sent = 0;

    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_HIGH, 1), 0);
    sent = send(scene.peer, data, sizeof(data), MSG_DONTWAIT);
    ck_assert_int_gt((int)sent, 0);
    waitInput(&scene.ours, 1);
    runIdle(scene.ring);
    ck_assert_uint_le(GetFastSocketInboundLength(scene.ours.socket), 64 * 4096);
    ck_assert_uint_ge(readSocket(scene.ours.socket).receivePauses, 1);
}

/* statistics count what came and went */
CASE(option, countsTraffic)
{
    struct FastSocketStatistics statistics;
    char byte[32];

    sendText(scene.peer, "twelve bytes");
    waitInput(&scene.ours, 12);
    transmitText(scene.ours.socket, "seven b");
    transmitText(scene.ours.socket, "eight by");
    waitDrained(&scene.ours);
    ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, byte, sizeof(byte), 0), 12);
    statistics = readSocket(scene.ours.socket);
    ck_assert_uint_eq(statistics.receivedBytes, 12);
    ck_assert_uint_eq(statistics.receivedMessages, 1);
    ck_assert_uint_eq(statistics.receivedTruncated, 0);
    ck_assert_uint_eq(statistics.sentBytes, 15);
    ck_assert_uint_ge(statistics.sentOperations, 1);
    ck_assert_uint_eq(statistics.sentZeroCopy, 0);
    ck_assert_uint_eq(statistics.failedMessages, 0);
    ck_assert_uint_eq(statistics.droppedBytes, 0);
}

/* callers who know less or more fields */
CASE(option, fitsOtherSizes)
{
    struct
    {
        struct FastSocketStatistics known;
        uint64_t unknown[4];
    } large;
    struct FastSocketStatistics small;

    memset(&large, 0xff, sizeof(large));
    ck_assert_int_eq(GetFastSocketStatistics(scene.ours.socket, &large.known, sizeof(large)), 0);
    for (int index = 0; index < 4; index++)
        ck_assert_uint_eq(large.unknown[index], 0);
    memset(&small, 0xff, sizeof(small));
    ck_assert_int_eq(GetFastSocketStatistics(scene.ours.socket, &small, 16), 0);
    ck_assert_uint_eq(small.receivedMessages, 0);
    ck_assert_uint_eq(small.receivedTruncated, UINT64_MAX);
    ck_assert_int_eq(GetFastSocketStatistics(scene.ours.socket, &small, 0), 0);
    ck_assert_int_eq(GetFastSocketStatistics(scene.ours.socket, NULL, sizeof(small)), -EINVAL);
}
