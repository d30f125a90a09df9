/* Options and statistics of sockets. */
#include "fixture.h"

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
}

static void tearDown(void)
{
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    fixtureClose(&fixture);
}

static uint64_t get(int option)
{
    uint64_t value = UINT64_MAX;

    ck_assert_int_eq(GetFastSocketOption(recorder.socket, option, &value), 0);
    return value;
}

static int set(int option, uint64_t value)
{
    return SetFastSocketOption(recorder.socket, option, value);
}

START_TEST(hasDefaults)
{
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_INBOUND_HIGH), 1 << 20);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_INBOUND_LOW), 256 << 10);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_OUTBOUND_LIMIT), 0);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD), 16 << 10);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_RELEASE_TIMEOUT), 30000);
    ck_assert_uint_eq(get(FASTSOCKET_OPTION_TURN_LIMIT), 256 << 10);
}
END_TEST

START_TEST(keepsValues)
{
    const uint64_t values[] = {0, 5000, 1000, 7000, 9000, 11000, 13000};

    for (int option = 1; option <= 6; option++)
        ck_assert_int_eq(set(option, values[option]), 0);
    for (int option = 1; option <= 6; option++)
        ck_assert_uint_eq(get(option), values[option]);
}
END_TEST

/* unknown options: -ENOPROTOOPT, nothing written */
START_TEST(refusesUnknown)
{
    const int unknown[] = {0, -1, 7, 8, 1000, INT32_MAX, INT32_MIN};
    uint64_t value = 42;

    for (size_t index = 0; index < sizeof(unknown) / sizeof(unknown[0]); index++) {
        ck_assert_int_eq(set(unknown[index], 1), -ENOPROTOOPT);
        ck_assert_int_eq(GetFastSocketOption(recorder.socket, unknown[index], &value),
                         -ENOPROTOOPT);
    }
    ck_assert_uint_eq(value, 42);
    ck_assert_int_eq(GetFastSocketOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, NULL),
                     -EINVAL);
}
END_TEST

/* values out of range: -EINVAL, the old value stays */
START_TEST(refusesOutOfRange)
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
END_TEST

/* the marks keep their order */
START_TEST(keepsMarksInOrder)
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
END_TEST

/* options set before the first turn are in force before the first byte */
START_TEST(holdsForFirstByte)
{
    static char data[200000];
    ssize_t sent = 0;

    ck_assert_int_eq(set(FASTSOCKET_OPTION_INBOUND_HIGH, 1), 0);
    sent = send(pair[1], data, sizeof(data), MSG_DONTWAIT);
    ck_assert_int_gt((int)sent, 0);
    waitInput(&recorder, 1);
    runIdle(fixture.ring);
    ck_assert_uint_le(GetFastSocketInboundLength(recorder.socket), 64 * 4096);
    ck_assert_uint_ge(readSocket(recorder.socket).receivePauses, 1);
}
END_TEST

/* statistics count what came and went */
START_TEST(countsTraffic)
{
    struct FastSocketStatistics statistics;
    char byte[32];

    sendText(pair[1], "twelve bytes");
    waitInput(&recorder, 12);
    transmitText(recorder.socket, "seven b");
    transmitText(recorder.socket, "eight by");
    waitDrained(&recorder);
    ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, byte, sizeof(byte), 0), 12);
    statistics = readSocket(recorder.socket);
    ck_assert_uint_eq(statistics.receivedBytes, 12);
    ck_assert_uint_eq(statistics.receivedMessages, 1);
    ck_assert_uint_eq(statistics.receivedTruncated, 0);
    ck_assert_uint_eq(statistics.sentBytes, 15);
    ck_assert_uint_ge(statistics.sentOperations, 1);
    ck_assert_uint_eq(statistics.sentZeroCopy, 0);
    ck_assert_uint_eq(statistics.failedMessages, 0);
    ck_assert_uint_eq(statistics.droppedBytes, 0);
}
END_TEST

/* callers who know less or more fields */
START_TEST(fitsOtherSizes)
{
    struct
    {
        struct FastSocketStatistics known;
        uint64_t unknown[4];
    } large;
    struct FastSocketStatistics small;

    memset(&large, 0xff, sizeof(large));
    ck_assert_int_eq(GetFastSocketStatistics(recorder.socket, &large.known, sizeof(large)), 0);
    for (int index = 0; index < 4; index++)
        ck_assert_uint_eq(large.unknown[index], 0);
    memset(&small, 0xff, sizeof(small));
    ck_assert_int_eq(GetFastSocketStatistics(recorder.socket, &small, 16), 0);
    ck_assert_uint_eq(small.receivedMessages, 0);
    ck_assert_uint_eq(small.receivedTruncated, UINT64_MAX);
    ck_assert_int_eq(GetFastSocketStatistics(recorder.socket, &small, 0), 0);
    ck_assert_int_eq(GetFastSocketStatistics(recorder.socket, NULL, sizeof(small)), -EINVAL);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-option");
    TCase* area = tcase_create("option");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, hasDefaults);
    tcase_add_test(area, keepsValues);
    tcase_add_test(area, refusesUnknown);
    tcase_add_test(area, refusesOutOfRange);
    tcase_add_test(area, keepsMarksInOrder);
    tcase_add_test(area, holdsForFirstByte);
    tcase_add_test(area, countsTraffic);
    tcase_add_test(area, fitsOtherSizes);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
