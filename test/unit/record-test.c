/*
 * TLS by the kernel, without one that has it: an engine between the ring and the kernel answers as its
 * sockets do, and getsockopt says that the socket is one.
 */
#include "between.h"
#include "fixture.h"
#include "ring/state.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

enum
{
    MUCH = 1 << 20,
};

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

/* ---- the engine between ---- */

static struct
{
    bool tls;      /* sends that wait for all are refused */
    int refusal;   /* with this */
    uint32_t most; /* bytes that a send takes */
    int receives;  /* receives that end at once … */
    int error;     /* … with this */
    int waiting;   /* sends that waited for all */
    int others;    /* and those that didn't */
    int armed;     /* receives */
    int controls;  /* sends with control data */
} between;

static void lookAtSend(struct io_uring_sqe* entry)
{
    bool waits = entry->msg_flags & MSG_WAITALL;

    between.waiting += waits;
    between.others += !waits;
    if (entry->opcode == IORING_OP_SENDMSG)
        between.controls += ((struct msghdr*)(uintptr_t)entry->addr)->msg_controllen > 0;
    if (waits && between.tls)
        betweenAnswer(entry, -between.refusal, 0);
    else if (between.most > 0 && entry->opcode == IORING_OP_SEND && entry->len > between.most)
        entry->len = between.most;
    else if (between.most > 0 && entry->opcode == IORING_OP_SENDMSG) {
        struct iovec* first = ((struct msghdr*)(uintptr_t)entry->addr)->msg_iov;
        ((struct msghdr*)(uintptr_t)entry->addr)->msg_iovlen = 1;
        if (first->iov_len > between.most)
            first->iov_len = between.most;
    }
}

static void look(struct io_uring_sqe* entry)
{
    if (entry->opcode == IORING_OP_SEND || entry->opcode == IORING_OP_SENDMSG)
        lookAtSend(entry);
    if (entry->opcode != IORING_OP_RECV && entry->opcode != IORING_OP_RECVMSG)
        return;
    between.armed++;
    if (between.receives > 0) {
        between.receives--;
        betweenAnswer(entry, -between.error, 0);
    }
}

static bool hasUlp; /* what the kernel is asked for says "tls" */

int __real_getsockopt(int handle, int level, int option, void* value, socklen_t* length);
int __wrap_getsockopt(int handle, int level, int option, void* value, socklen_t* length);

int __wrap_getsockopt(int handle, int level, int option, void* value, socklen_t* length)
{
    if (level != IPPROTO_TCP || option != TCP_ULP || !hasUlp)
        return __real_getsockopt(handle, level, option, value, length);
    memcpy(value, "tls", 4);
    *length = 4;
    return 0;
}

/* ---- what the cases share ---- */

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
    memset(&between, 0, sizeof(between));
    betweenPut(fixture.ring->engine, (struct Between){.look = look});
    hasUlp = true;
}

static void tearDown(void)
{
    between.receives = 0;
    fixtureClose(&fixture);
}

static void release(void)
{
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}

static void expectPattern(uint64_t size)
{
    static uint8_t data[65536];

    for (uint64_t checked = 0; checked < size;) {
        ssize_t count = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (count < 0) {
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert_int_gt(count, 0);
        ck_assert(checkPattern(data, (size_t)count, checked));
        checked += (uint64_t)count;
    }
}

/* ---- sending ---- */

/* §2.4 kernel TLS, §2.4 short count: a send that is refused for MSG_WAITALL is made without, from then on */
START_TEST(sendsWithoutWaitingForAll)
{
    const int refusals[] = {EOPNOTSUPP, EINVAL};

    for (size_t index = 0; index < sizeof(refusals) / sizeof(refusals[0]); index++) {
        between.tls = true;
        between.refusal = refusals[index];
        between.most = 10000;
        between.waiting = 0;
        between.others = 0;
        pairTcp(pair);
        openRecorded(&fixture, pair[0], NULL, 0, &recorder);
        transmitPattern(recorder.socket, MUCH, 0);
        expectPattern(MUCH);
        waitDrained(&recorder);
        ck_assert_int_eq(between.waiting, 1);
        ck_assert_int_gt(between.others, MUCH / 10000);
        ck_assert_int_eq(recorder.err, 0);
        release();
    }
}
END_TEST

/* §2.4 kernel TLS: a socket that takes it keeps it */
START_TEST(waitsForAllElsewhere)
{
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    transmitPattern(recorder.socket, MUCH, 0);
    expectPattern(MUCH);
    ck_assert_int_gt(between.waiting, 0);
    ck_assert_int_eq(between.others, 0);
    release();
}
END_TEST

/* §2.4 kernel TLS, §2.4 Message control data: each piece of a record of another type says so */
START_TEST(keepsTypeOfRecord)
{
    union
    {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(1)];
    } control = {.header = {.cmsg_level = SOL_TLS, .cmsg_type = 1, .cmsg_len = CMSG_LEN(1)}};
    static uint8_t data[5000];
    struct iovec vector = {.iov_base = data, .iov_len = sizeof(data)};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };

    between.most = 1000;
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), 0);
    expectPattern(sizeof(data));
    waitDrained(&recorder);
    ck_assert_int_eq(between.controls, 5);
    release();
}
END_TEST

/* ---- receiving ---- */

static void openStopped(int error)
{
    pairTcp(pair);
    between.error = error;
    between.receives = 1;
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
}

/* §2.3 kernel TLS: a record that only its user can read is told once, rests, and is no end */
START_TEST(tellsRecordAndGoesOn)
{
    const int errors[] = {EIO, EKEYEXPIRED};

    for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
        openStopped(errors[index]);
        waitCount(fixture.ring, &recorder.err, 1);
        sendText(pair[1], "record");
        between.armed = 0;
        runIdle(fixture.ring);
        ck_assert_int_eq(between.armed, 0);
        ck_assert_int_eq(recorder.err, 1);
        ck_assert_int_eq(recorder.lastError, errors[index]);
        ck_assert_int_eq(GetFastSocketError(recorder.socket), 0);
        transmitText(recorder.socket, "works");
        waitDrained(&recorder);
        expectText(pair[1], "works");
        expectText(GetFastSocketHandle(recorder.socket), "record"); /* its user reads it */
        sendText(pair[1], "data");
        ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
        receiveText(&recorder, "data");
        ck_assert_int_eq(recorder.err, 1);
        ck_assert_int_eq(recorder.hup, 0);
        release();
    }
}
END_TEST

static void pauseAtFirst(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)parameter, (void)self;
    if (event == POLLOUT)
        ck_assert_int_eq(PauseFastSocket(socket), 0);
}

/* §2.3 kernel TLS, §2.1 user pause: not while the socket is paused; met again, it is told */
START_TEST(tellsRecordAfterPause)
{
    recorder.then = pauseAtFirst;
    openStopped(EIO);
    runIdle(fixture.ring);
    ck_assert_int_eq(between.receives, 0);
    ck_assert_int_eq(recorder.err, 0);
    between.receives = 1;
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    waitCount(fixture.ring, &recorder.err, 1);
    recorder.then = NULL;
    release();
}
END_TEST

/* §2.3 kernel TLS: the errno of a socket without it is the end */
START_TEST(failsElsewhere)
{
    hasUlp = false;
    openStopped(EIO);
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.err, 1);
    ck_assert_int_eq(GetFastSocketError(recorder.socket), EIO);
    release();
}
END_TEST

/* §2.3 kernel TLS, §2.1 send error first: an error behind a record that nobody reads is told */
START_TEST(failsBehindRecord)
{
    openStopped(EIO);
    waitCount(fixture.ring, &recorder.err, 1);
    closeReset(pair[1]);
    transmitText(recorder.socket, "nobody");
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.err, 2);
    ck_assert_int_eq(recorder.lastError, ECONNRESET);
    ReleaseFastSocket(recorder.socket);
}
END_TEST

/* §2.3 kernel TLS, §2.6 drain: a released socket discards records like anything else: its close is no reset */
START_TEST(discardsRecordOfReleased)
{
    char byte = 0;

    openStopped(EIO);
    waitCount(fixture.ring, &recorder.err, 1);
    between.receives = 1;
    sendText(pair[1], "record");
    ReleaseFastSocket(recorder.socket);
    runTurns(fixture.ring, 20);
    expectEnd(pair[1]);
    ck_assert_int_eq(between.receives, 0);
    ck_assert_int_eq(recv(pair[0], &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1); /* or the close would be a reset */
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    expectEnd(pair[1]);
    close(pair[1]);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("record");
    TCase* area = tcase_create("record");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, sendsWithoutWaitingForAll);
    tcase_add_test(area, waitsForAllElsewhere);
    tcase_add_test(area, keepsTypeOfRecord);
    tcase_add_test(area, tellsRecordAndGoesOn);
    tcase_add_test(area, tellsRecordAfterPause);
    tcase_add_test(area, failsElsewhere);
    tcase_add_test(area, failsBehindRecord);
    tcase_add_test(area, discardsRecordOfReleased);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
