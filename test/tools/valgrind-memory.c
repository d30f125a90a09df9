/*
 * To be run under valgrind: what the kernel has written counts as written, and what it has not
 * does not.
 */
#include "fixture.h"

#include <liburing.h>
#include <netinet/in.h>
#include <valgrind/memcheck.h>

enum
{
    BUFFERS = 8,
    LENGTH = 512,
    WHOLE = 3 * LENGTH + 5,
};

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];
static uint8_t data[WHOLE];

static bool isWritten(const void* memory, size_t length)
{
    uint8_t bits[WHOLE + LENGTH];
    ck_assert_uint_le(length, sizeof(bits));
    ck_assert_int_eq(VALGRIND_GET_VBITS(memory, bits, length), 1);
    for (size_t index = 0; index < length; index++) {
        if (bits[index] != 0)
            return false;
    }
    return true;
}

static void setUp(void)
{
    ck_assert_msg(RUNNING_ON_VALGRIND, "to be run under valgrind");
    fixtureOpen(&fixture, 0, BUFFERS, LENGTH);
}

static void tearDown(void)
{
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    fixtureClose(&fixture);
}

static void forget(void)
{
    VALGRIND_MAKE_MEM_UNDEFINED(data, sizeof(data));
    ck_assert(!isWritten(data, 1));
}

/* §2.8 valgrind: received bytes are, those behind them are not */
START_TEST(knowsWhatAStreamReceived)
{
    pairStream(pair);
    openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_REGULAR, &recorder);
    sendText(pair[1], "hello");
    waitInput(&recorder, 5);
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(recorder.socket);
    ck_assert(isWritten(GetFastBufferData(buffer), 5));
    ck_assert(!isWritten(GetFastBufferData(buffer) + 5, 1));
    ReleaseFastBuffer(buffer);
}
END_TEST

/* §2.8 valgrind: each buffer of a bundle */
START_TEST(knowsEveryBuffer)
{
    uint8_t sent[WHOLE];

    pairStream(pair);
    fillPattern(sent, sizeof(sent), 0);
    sendAll(pair[1], sent, sizeof(sent));
    openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_REGULAR, &recorder);
    waitInput(&recorder, sizeof(sent));
    forget();
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, data, sizeof(data), 0), WHOLE);
    ck_assert(isWritten(data, sizeof(data)));
    ck_assert(checkPattern(data, sizeof(data), 0));
}
END_TEST

/* §2.8 valgrind: the kernel's header, the name and the bytes of a datagram */
START_TEST(knowsAMessage)
{
    struct msghdr message = {.msg_namelen = sizeof(struct sockaddr_storage), .msg_controllen = 64};
    size_t before = sizeof(struct io_uring_recvmsg_out) + message.msg_namelen +
                    message.msg_controllen;

    pairUdp(pair);
    openRecorded(&fixture, pair[0], &message, FASTSOCKET_MODE_REGULAR, &recorder);
    sendText(pair[1], "hello");
    waitInput(&recorder, 1);
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(recorder.socket);
    ck_assert(isWritten(GetFastBufferData(buffer),
                        sizeof(struct io_uring_recvmsg_out) + sizeof(struct sockaddr_in)));
    ck_assert(isWritten(GetFastBufferData(buffer) + before, 5));
    ck_assert(!isWritten(GetFastBufferData(buffer) + before + 5, 1));
    ReleaseFastBuffer(buffer);
}
END_TEST

static int completed;

static int noteCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                          int reason)
{
    (void)reason;
    ck_assert_ptr_nonnull(completion);
    ck_assert_int_eq(completion->res, 5);
    if (completion->flags & IORING_CQE_F_BUFFER) {
        struct FastRingBufferProvider* provider = GetFastRingDescriptorClosure(descriptor);
        const uint8_t* bytes = GetFastRingBuffer(provider, completion);
        ck_assert(isWritten(bytes, 5));
        ck_assert(!isWritten(bytes + 5, 1));
        ck_assert_int_eq(AdvanceFastRingBuffer(provider, completion, NULL, NULL), 0);
    }
    completed++;
    return 1;
}

static void runDescriptor(struct FastRingDescriptor* descriptor)
{
    completed = 0;
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    sendText(pair[1], "hello");
    waitCount(fixture.ring, &completed, 1);
}

/* §2.8 valgrind: what a program's own reads and receives have brought */
START_TEST(knowsRawOperations)
{
    pairStream(pair);
    struct FastRingDescriptor* descriptor =
        AllocateFastRingDescriptor(fixture.ring, noteCompletion, fixture.provider);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);

    forget();
    io_uring_prep_read(entry, pair[0], data, sizeof(data), 0);
    runDescriptor(descriptor);
    ck_assert(isWritten(data, 5));
    ck_assert(!isWritten(data + 5, 1));
    forget();
    io_uring_prep_recv(entry, pair[0], data, sizeof(data), 0);
    runDescriptor(descriptor);
    ck_assert(isWritten(data, 5));
    ck_assert(!isWritten(data + 5, 1));
    io_uring_prep_recv(entry, pair[0], NULL, 0, 0);
    PrepareFastRingBuffer(fixture.provider, entry);
    runDescriptor(descriptor);
    ReleaseFastRingDescriptor(descriptor);
    close(pair[0]);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("valgrind");
    TCase* area = tcase_create("memory");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, knowsWhatAStreamReceived);
    tcase_add_test(area, knowsEveryBuffer);
    tcase_add_test(area, knowsAMessage);
    tcase_add_test(area, knowsRawOperations);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
