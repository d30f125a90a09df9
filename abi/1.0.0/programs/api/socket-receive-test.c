/* Receiving: behaviour.md 2.3, row by row. Messages with control data have a file of their own. */
#include "fixture.h"

#include <liburing.h>

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void reopen(uint16_t buffers, uint32_t length)
{
    fixtureClose(&fixture);
    fixtureOpen(&fixture, 0, buffers, length);
}

static void openKind(enum Kind kind)
{
    pairKind(kind, pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
}

static void release(void)
{
    ReleaseFastSocket(recorder.socket);
    if (pair[1] >= 0)
        close(pair[1]);
}

static int receive(void* data, size_t size, int flags)
{
    return (int)ReceiveFastSocketData(recorder.socket, data, size, flags);
}

/* §2.3 ReceiveFastSocketData(size 0 or NULL), §2.3 MSG_DONTWAIT, MSG_NOSIGNAL: size 0 or NULL;
 * flags */
START_TEST(refusesBadArguments)
{
    const int refused[] = {MSG_OOB, MSG_ERRQUEUE, MSG_CMSG_CLOEXEC,
                           MSG_DONTROUTE, MSG_MORE, 1 << 30};
    char data[8];

    openKind(KIND_UNIX_STREAM);
    sendText(pair[1], "data");
    waitInput(&recorder, 4);
    ck_assert_int_eq(receive(NULL, 1, 0), -EINVAL);
    ck_assert_int_eq(receive(data, 0, 0), -EINVAL);
    ck_assert_int_eq(receive(data, 1, MSG_TRUNC), -EINVAL);
    for (size_t index = 0; index < sizeof(refused) / sizeof(refused[0]); index++)
        ck_assert_int_eq(receive(data, 1, refused[index]), -EINVAL);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 4);
    receiveText(&recorder, "data");
    release();
}
END_TEST

/* §2.3 nothing queued, connection fine, §2.3 MSG_DONTWAIT, MSG_NOSIGNAL: no effect; nothing
 * queued: 0 */
START_TEST(ignoresHarmlessFlags)
{
    char data[8];

    openKind(KIND_UNIX_STREAM);
    ck_assert_int_eq(receive(data, 8, 0), 0);
    ck_assert_int_eq(receive(data, 8, MSG_DONTWAIT), 0);
    ck_assert_int_eq(receive(data, 8, MSG_PEEK), 0);
    sendText(pair[1], "ab");
    waitInput(&recorder, 2);
    ck_assert_int_eq(receive(data, 1, MSG_DONTWAIT), 1);
    ck_assert_int_eq(receive(data, 1, MSG_NOSIGNAL | MSG_DONTWAIT), 1);
    ck_assert_int_eq(receive(data, 8, 0), 0);
    release();
}
END_TEST

/* §2.3 stream: over the borders of buffers */
START_TEST(readsOverBorders)
{
    uint8_t data[10000];

    reopen(8, 128);
    openKind(KIND_TCP);
    fillPattern(data, sizeof(data), 0);
    sendAll(pair[1], data, sizeof(data));
    for (size_t position = 0, size = 1; position < sizeof(data);
         position += size, size = (size * 7 + 3) % 1000 + 1) {
        uint8_t piece[1001];
        if (size > sizeof(data) - position)
            size = sizeof(data) - position;
        waitInput(&recorder, size);
        ck_assert_int_eq(receive(piece, size, 0), (int)size);
        ck_assert(checkPattern(piece, size, position));
    }
    ck_assert_uint_eq(readSocket(recorder.socket).receivedBytes, sizeof(data));
    release();
}
END_TEST

/* §2.3 datagram: one for each call, excess dropped */
START_TEST(readsOneDatagram)
{
    const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};
    char data[64] = "";

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openKind(kinds[index]);
        sendText(pair[1], "first message");
        sendText(pair[1], "second");
        sendText(pair[1], "third one");
        waitInput(&recorder, 28);
        ck_assert_int_eq(receive(data, 5, 0), 5);
        ck_assert_int_eq(memcmp(data, "first", 5), 0);
        ck_assert_int_eq(receive(data, sizeof(data), 0), 6);
        ck_assert_int_eq(memcmp(data, "second", 6), 0);
        ck_assert_int_eq(receive(data, 5, MSG_TRUNC), 9);
        ck_assert_int_eq(memcmp(data, "third", 5), 0);
        ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 0);
        ck_assert_int_eq(receive(data, 5, 0), 0);
        release();
    }
}
END_TEST

/* §2.3 datagram, §2.3 MSG_PEEK: MSG_TRUNC with MSG_PEEK asks for the length */
START_TEST(peeksDatagram)
{
    char data[64] = "";

    openKind(KIND_UDP);
    sendText(pair[1], "message");
    waitInput(&recorder, 7);
    ck_assert_int_eq(receive(data, 1, MSG_PEEK | MSG_TRUNC), 7);
    ck_assert_int_eq(receive(data, 3, MSG_PEEK), 3);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 7);
    ck_assert_int_eq(receive(data, sizeof(data), 0), 7);
    release();
}
END_TEST

/* §2.3 datagram, §2.3 empty datagram, §2.3 ReceiveFastSocketBuffer: consumed, 0 */
START_TEST(readsEmptyDatagram)
{
    char data[8] = "";
    struct FastBuffer* buffer = NULL;

    openKind(KIND_UDP);
    ck_assert_int_eq(send(pair[1], "", 0, 0), 0);
    sendText(pair[1], "full");
    ck_assert_int_eq(send(pair[1], "", 0, 0), 0);
    waitInput(&recorder, 4);
    runIdle(fixture.ring);
    ck_assert_int_eq(receive(data, sizeof(data), 0), 0);
    ck_assert_int_eq(receive(data, sizeof(data), 0), 4);
    buffer = ReceiveFastSocketBuffer(recorder.socket);
    ck_assert_ptr_nonnull(buffer);
    ck_assert_uint_eq(GetFastBufferLength(buffer), 0);
    ReleaseFastBuffer(buffer);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(recorder.socket));
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(readSocket(recorder.socket).receivedMessages, 3);
    release();
}
END_TEST

/* §2.3 SEQPACKET: an empty record is no end; the end is */
START_TEST(tellsEmptyRecordFromEnd)
{
    char data[8] = "";

    openKind(KIND_UNIX_SEQPACKET);
    runIdle(fixture.ring);
    ck_assert_int_eq(send(pair[1], "", 0, 0), 0);
    waitCount(fixture.ring, &recorder.in, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.hup, 0);
    ck_assert_int_eq(recorder.parameterIn, 0);
    sendText(pair[1], "more");
    waitInput(&recorder, 4);
    ck_assert_int_eq(receive(data, sizeof(data), 0), 0);
    ck_assert_int_eq(receive(data, sizeof(data), 0), 4);
    close(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.lastHangup, 0);
    release();
}
END_TEST

/* §2.3 MSG_WAITALL, §2.3 MSG_PEEK: all or nothing while more can come */
START_TEST(waitsForAll)
{
    char data[16] = "";

    openKind(KIND_TCP);
    sendText(pair[1], "12345");
    waitInput(&recorder, 5);
    ck_assert_int_eq(receive(data, 10, MSG_WAITALL), 0);
    ck_assert_int_eq(receive(data, 10, MSG_WAITALL | MSG_PEEK), 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 5);
    sendText(pair[1], "67890x");
    waitInput(&recorder, 11);
    ck_assert_int_eq(receive(data, 10, MSG_WAITALL | MSG_PEEK), 10);
    ck_assert_int_eq(receive(data, 10, MSG_WAITALL), 10);
    ck_assert_str_eq(data, "1234567890");
    release();
}
END_TEST

/* §2.3 MSG_WAITALL, §2.3 nothing queued after orderly EOF: after the end or an error, what is
 * left */
START_TEST(waitsForAllUntilEnd)
{
    char data[16] = "";

    for (int reset = 0; reset < 2; reset++) {
        openKind(KIND_TCP);
        runIdle(fixture.ring);
        sendText(pair[1], "rest");
        waitInput(&recorder, 4);
        ck_assert_int_eq(receive(data, 10, MSG_WAITALL), 0);
        if (reset)
            closeReset(pair[1]);
        else
            close(pair[1]);
        pair[1] = -1;
        waitHangup(&recorder);
        ck_assert_int_eq(receive(data, 10, MSG_WAITALL), 4);
        ck_assert_int_eq(receive(data, 10, MSG_WAITALL), reset ? -ECONNRESET : 0);
        ck_assert_int_eq(receive(data, 10, 0), reset ? -ECONNRESET : 0);
        release();
    }
}
END_TEST

/* §2.3 MSG_WAITALL: more than the high mark raises the marks */
START_TEST(waitsForMoreThanHighMark)
{
    static uint8_t data[100000];
    uint64_t high = 0;

    openKind(KIND_TCP);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 4096);
    ck_assert_int_eq(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){200000}, sizeof(int)), 0);
    fillPattern(data, sizeof(data), 0);
    runIdle(fixture.ring);
    sendAll(pair[1], data, 50000);
    waitInput(&recorder, 4096);
    runIdle(fixture.ring);
    ck_assert_int_eq(receive(data, sizeof(data), MSG_WAITALL), 0);
    ck_assert_int_eq(GetFastSocketOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, &high),
                     0);
    ck_assert_uint_ge(high, sizeof(data));
    waitInput(&recorder, 50000);
    sendAll(pair[1], data + 50000, 50000);
    waitInput(&recorder, sizeof(data));
    memset(data, 0, sizeof(data));
    ck_assert_int_eq(receive(data, sizeof(data), MSG_WAITALL), (int)sizeof(data));
    ck_assert(checkPattern(data, sizeof(data), 0));
    release();
}
END_TEST

/* §2.3 MSG_WAITALL: more than the ring's inbound limit can never come */
START_TEST(refusesMoreThanRingLimit)
{
    static char data[16384];

    openKind(KIND_TCP);
    ck_assert_int_eq(SetFastRingOption(fixture.ring, FASTRING_OPTION_INBOUND_LIMIT, 8192), 0);
    sendText(pair[1], "x");
    waitInput(&recorder, 1);
    ck_assert_int_eq(receive(data, 8193, MSG_WAITALL), -ENOBUFS);
    ck_assert_int_eq(receive(data, 8192, MSG_WAITALL), 0);
    receiveText(&recorder, "x");
    release();
}
END_TEST

/* §2.3 MSG_PEEK: copies without consuming, over borders too */
START_TEST(peeksStream)
{
    char data[1000];
    char again[1000];

    reopen(16, 128);
    openKind(KIND_UNIX_STREAM);
    fillPattern(data, sizeof(data), 0);
    sendAll(pair[1], data, sizeof(data));
    waitInput(&recorder, sizeof(data));
    memset(again, 0, sizeof(again));
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(receive(again, sizeof(again), MSG_PEEK), (int)sizeof(again));
        ck_assert(checkPattern(again, sizeof(again), 0));
    }
    ck_assert_int_eq(receive(again, 100, 0), 100);
    ck_assert_int_eq(receive(again, sizeof(again), MSG_PEEK), 900);
    ck_assert(checkPattern(again, 900, 100));
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 900);
    release();
}
END_TEST

/* §2.3 ReceiveFastSocketBuffer: one chunk; after a partial read the rest */
START_TEST(takesChunks)
{
    struct FastBuffer* buffer = NULL;
    char data[4] = "";

    openKind(KIND_UNIX_STREAM);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(recorder.socket));
    ck_assert_int_eq(errno, EAGAIN);
    sendText(pair[1], "0123456789");
    waitInput(&recorder, 10);
    ck_assert_int_eq(receive(data, 3, 0), 3);
    buffer = ReceiveFastSocketBuffer(recorder.socket);
    ck_assert_ptr_nonnull(buffer);
    ck_assert_uint_eq(GetFastBufferLength(buffer), 7);
    ck_assert_int_eq(memcmp(GetFastBufferData(buffer), "3456789", 7), 0);
    ck_assert_ptr_eq(GetFastBuffer(GetFastBufferData(buffer)), buffer);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 0);
    release();
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ck_assert_int_eq(memcmp(GetFastBufferData(buffer), "3456789", 7), 0);
    ReleaseFastBuffer(buffer);
}
END_TEST

/* §2.3 buffers and provider: what the user keeps is replaced at once */
START_TEST(replacesKeptBuffers)
{
    enum
    {
        KEPT = 100,
    };
    struct FastBuffer* kept[KEPT];

    reopen(2, 256);
    openKind(KIND_UNIX_DATAGRAM);
    for (int index = 0; index < KEPT; index++) {
        char data[200];
        fillPattern(data, sizeof(data), (uint64_t)index);
        ck_assert_int_eq(send(pair[1], data, sizeof(data), 0), sizeof(data));
        waitInput(&recorder, sizeof(data));
        kept[index] = ReceiveFastSocketBuffer(recorder.socket);
        ck_assert_ptr_nonnull(kept[index]);
    }
    ck_assert_uint_ge(readRing(fixture.ring).buffers, KEPT);
    for (int index = 0; index < KEPT; index++) {
        ck_assert_uint_eq(GetFastBufferLength(kept[index]), 200);
        ck_assert(checkPattern(GetFastBufferData(kept[index]), 200, (uint64_t)index));
        ReleaseFastBuffer(kept[index]);
    }
    release();
}
END_TEST

/* §2.3 truncation: plain datagrams are cut at length - 16, seen and counted */
START_TEST(countsTruncation)
{
    const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};
    char data[300];

    reopen(8, 256);
    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openKind(kinds[index]);
        fillPattern(data, sizeof(data), 0);
        ck_assert_int_eq(send(pair[1], data, 240, 0), 240);
        waitInput(&recorder, 240);
        ck_assert_int_eq(receive(data, sizeof(data), 0), 240);
        ck_assert_uint_eq(readSocket(recorder.socket).receivedTruncated, 0);
        ck_assert_int_eq(send(pair[1], data, sizeof(data), 0), sizeof(data));
        waitInput(&recorder, 1);
        ck_assert_int_eq(receive(data, sizeof(data), 0), 240);
        ck_assert(checkPattern(data, 240, 0));
        ck_assert_uint_eq(readSocket(recorder.socket).receivedTruncated, 1);
        sendText(pair[1], "next");
        receiveText(&recorder, "next");
        release();
    }
}
END_TEST

static bool receivedAll(void* closure)
{
    struct Recorder* self = closure;

    return readSocket(self->socket).receivedMessages >= 200;
}

/* -ENOBUFS: one buffer serves a burst, nothing is lost */
START_TEST(livesOnOneBuffer)
{
    uint8_t data[64];

    reopen(1, 64);
    openKind(KIND_UNIX_DATAGRAM);
    ck_assert_int_eq(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){1000000}, sizeof(int)), 0);
    for (int index = 0; index < 200; index++) {
        fillPattern(data, 40, (uint64_t)index * 40);
        while (send(pair[1], data, 40, MSG_DONTWAIT) < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            runTurns(fixture.ring, 1);
        }
    }
    waitFor(fixture.ring, receivedAll, &recorder);
    for (int index = 0; index < 200; index++) {
        ck_assert_int_eq(receive(data, sizeof(data), 0), 40);
        ck_assert(checkPattern(data, 40, (uint64_t)index * 40));
    }
    release();
}
END_TEST

static int takeShared(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                      int reason)
{
    int* count = GetFastRingDescriptorClosure(descriptor);
    uint8_t* data = NULL;

    if (reason == FASTRING_REASON_RELEASED)
        return 0;
    ck_assert_int_eq(completion->res, 4);
    data = GetFastRingBuffer(fixture.provider, completion);
    ck_assert_ptr_nonnull(data);
    ck_assert_int_eq(memcmp(data, "mine", 4), 0);
    ck_assert_int_eq(AdvanceFastRingBuffer(fixture.provider, completion, NULL, NULL), 0);
    (*count)++;
    return 1;
}

/* §2.3 bundles: completion order is not the buffers' order when a user's own receive has one of
 * them */
START_TEST(sharesProviderWithOperations)
{
    struct FastRingDescriptor* descriptor = NULL;
    struct io_uring_sqe* submission = NULL;
    uint64_t position = 0;
    uint64_t checked = 0;
    int count = 0;
    int more[2];

    reopen(16, 128);
    openKind(KIND_TCP);
    pairStream(more);
    descriptor = AllocateFastRingDescriptor(fixture.ring, takeShared, &count);
    ck_assert_ptr_nonnull(descriptor);
    submission = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv(submission, more[0], NULL, 0, 0);
    PrepareFastRingBuffer(fixture.provider, submission);
    for (int round = 0; round < 50; round++) {
        uint8_t data[1000];
        size_t size = (size_t)(round * 37) % 900 + 1;
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
        runTurns(fixture.ring, 1);
        fillPattern(data, size, position);
        sendAll(pair[1], data, size / 2);
        sendText(more[1], "mine");
        sendAll(pair[1], data + size / 2, size - size / 2);
        position += size;
        waitInput(&recorder, size);
        waitCount(fixture.ring, &count, round + 1);
        ck_assert_int_eq(receive(data, sizeof(data), 0), (int)size);
        ck_assert(checkPattern(data, size, checked));
        checked += size;
    }
    ReleaseFastRingDescriptor(descriptor);
    close(more[0]);
    close(more[1]);
    release();
}
END_TEST

static void cancelByNumber(void)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, NULL, NULL);

    ck_assert_ptr_nonnull(descriptor);
    io_uring_prep_cancel_fd(GetFastRingDescriptorSubmission(descriptor), pair[0],
                            IORING_ASYNC_CANCEL_ALL);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runIdle(fixture.ring);
}

/* §2.3 -ECANCELED without our cancel: the user's, by number: armed again once; then an end,
 * never a loop */
START_TEST(survivesForeignCancel)
{
    openKind(KIND_TCP);
    runIdle(fixture.ring);
    cancelByNumber();
    sendText(pair[1], "still received");
    receiveText(&recorder, "still received");
    ck_assert_int_eq(recorder.err + recorder.hup, 0);
    for (int count = 0; count < 5; count++)
        cancelByNumber();
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(recorder.hup, 1);
    release();
}
END_TEST

/* §2.3 nothing queued after fatal error: that error, again and again (also for a buffer) */
START_TEST(repeatsError)
{
    char byte = 0;

    openKind(KIND_UNIX_STREAM);
    transmitText(recorder.socket, "unread");
    waitDrained(&recorder);
    close(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    for (int round = 0; round < 3; round++)
        ck_assert_int_eq(receive(&byte, 1, 0), -ECONNRESET);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(recorder.socket));
    release();
}
END_TEST

/* level of unread bytes: socket's and ring's */
START_TEST(countsUnread)
{
    char data[8];

    openKind(KIND_UNIX_STREAM);
    sendText(pair[1], "12345678");
    waitInput(&recorder, 8);
    ck_assert_uint_eq(readRing(fixture.ring).inboundLength, 8);
    ck_assert_int_eq(receive(data, 3, 0), 3);
    ck_assert_uint_eq(readRing(fixture.ring).inboundLength, 5);
    release();
    ck_assert_uint_eq(readRing(fixture.ring).inboundLength, 0);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-receive");
    TCase* area = tcase_create("receive");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, refusesBadArguments);
    tcase_add_test(area, ignoresHarmlessFlags);
    tcase_add_test(area, readsOverBorders);
    tcase_add_test(area, readsOneDatagram);
    tcase_add_test(area, peeksDatagram);
    tcase_add_test(area, readsEmptyDatagram);
    tcase_add_test(area, tellsEmptyRecordFromEnd);
    tcase_add_test(area, waitsForAll);
    tcase_add_test(area, waitsForAllUntilEnd);
    tcase_add_test(area, waitsForMoreThanHighMark);
    tcase_add_test(area, refusesMoreThanRingLimit);
    tcase_add_test(area, peeksStream);
    tcase_add_test(area, takesChunks);
    tcase_add_test(area, replacesKeptBuffers);
    tcase_add_test(area, countsTruncation);
    tcase_add_test(area, livesOnOneBuffer);
    tcase_add_test(area, sharesProviderWithOperations);
    tcase_add_test(area, survivesForeignCancel);
    tcase_add_test(area, repeatsError);
    tcase_add_test(area, countsUnread);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
