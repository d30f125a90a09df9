/*
 * TLS by the kernel, without one that has it: an engine between the ring and the kernel answers as
 * its sockets do, and getsockopt says that the socket is one.
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
    PART = 1 << 14,
};

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
    openScene();
    memset(&between, 0, sizeof(between));
    betweenPut(scene.ring->engine, (struct Between){.look = look});
    hasUlp = true;
}

static void tearDown(void)
{
    between.receives = 0;
    closeScene();
}

AREA(record, "record", .open = setUp, .close = tearDown);

static void release(void)
{
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* ---- sending ---- */

/* In parts of which none is large: all of it is sent by the ring. */
static void transmitInParts(void)
{
    for (uint64_t part = 0; part < MUCH / PART; part++)
        transmitPattern(scene.ours.socket, PART, part * PART);
}

/* §2.4 kernel TLS, §2.4 short count: a send that is refused for MSG_WAITALL is made without,
 * from then on */
CASE(record, sendsWithoutWaitingForAll)
{
    const int refusals[] = {EOPNOTSUPP, EINVAL};

    for (size_t index = 0; index < sizeof(refusals) / sizeof(refusals[0]); index++) {
        between.tls = true;
        between.refusal = refusals[index];
        between.most = 10000;
        between.waiting = 0;
        between.others = 0;
        openPair(KIND_TCP);
        transmitInParts();
        expectPattern(scene.peer, MUCH, 0);
        waitDrained(&scene.ours);
        ck_assert_int_eq(between.waiting, 1);
        ck_assert_int_gt(between.others, MUCH / 10000);
        ck_assert_int_eq(scene.ours.err, 0);
        release();
    }
}

/* §2.4 kernel TLS: a socket that takes it keeps it */
CASE(record, waitsForAllElsewhere)
{
    openPair(KIND_TCP);
    transmitInParts();
    expectPattern(scene.peer, MUCH, 0);
    ck_assert_int_gt(between.waiting, 0);
    ck_assert_int_eq(between.others, 0);
    release();
}

/* §2.4 kernel TLS, §2.4 Message control data: each piece of a record of another type says so */
CASE(record, keepsTypeOfRecord)
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
    openPair(KIND_TCP);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), 0);
    expectPattern(scene.peer, sizeof(data), 0);
    waitDrained(&scene.ours);
    ck_assert_int_eq(between.controls, 5);
    release();
}

/* ---- receiving ---- */

static void openStopped(int error)
{
    pairTcp(scene.pair);
    between.error = error;
    between.receives = 1;
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
}

/* §2.3 kernel TLS: a record that only its user can read is reported once, backs off, and is no
 * end */
CASE(record, tellsRecordAndGoesOn)
{
    const int errors[] = {EIO, EKEYEXPIRED};

    for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
        openStopped(errors[index]);
        waitCount(scene.ring, &scene.ours.err, 1);
        sendText(scene.peer, "record");
        between.armed = 0;
        runIdle(scene.ring);
        ck_assert_int_eq(between.armed, 0);
        ck_assert_int_eq(scene.ours.err, 1);
        ck_assert_int_eq(scene.ours.lastError, errors[index]);
        ck_assert_int_eq(GetFastSocketError(scene.ours.socket), 0);
        transmitText(scene.ours.socket, "works");
        waitDrained(&scene.ours);
        expectText(scene.peer, "works");
        expectText(GetFastSocketHandle(scene.ours.socket), "record"); /* its user reads it */
        sendText(scene.peer, "data");
        ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
        receiveText(&scene.ours, "data");
        ck_assert_int_eq(scene.ours.err, 1);
        ck_assert_int_eq(scene.ours.hup, 0);
        release();
    }
}

static void pauseAtFirst(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)parameter, (void)self;
    if (event == POLLOUT)
        ck_assert_int_eq(PauseFastSocket(socket), 0);
}

/* §2.3 kernel TLS, §2.1 user pause: not while the socket is paused; met again, it is reported */
CASE(record, tellsRecordAfterPause)
{
    scene.ours.then = pauseAtFirst;
    openStopped(EIO);
    runIdle(scene.ring);
    ck_assert_int_eq(between.receives, 0);
    ck_assert_int_eq(scene.ours.err, 0);
    between.receives = 1;
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitCount(scene.ring, &scene.ours.err, 1);
    scene.ours.then = NULL;
    release();
}

/* §2.3 kernel TLS: the errno of a socket without it is the end */
CASE(record, failsElsewhere)
{
    hasUlp = false;
    openStopped(EIO);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), EIO);
    release();
}

/* §2.3 kernel TLS, §2.1 send error first: an error behind a record that nobody reads is reported */
CASE(record, failsBehindRecord)
{
    openStopped(EIO);
    waitCount(scene.ring, &scene.ours.err, 1);
    resetPeer();
    transmitText(scene.ours.socket, "nobody");
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 2);
    ck_assert_int_eq(scene.ours.lastError, ECONNRESET);
}

/* §2.3 kernel TLS, §2.6 drain: a released socket discards records like anything else: its close
 * is no reset */
CASE(record, discardsRecordOfReleased)
{
    char byte = 0;

    openStopped(EIO);
    waitCount(scene.ring, &scene.ours.err, 1);
    between.receives = 1;
    sendText(scene.peer, "record");
    ReleaseFastSocket(scene.ours.socket);
    runTurns(scene.ring, 20);
    expectEnd(scene.peer);
    ck_assert_int_eq(between.receives, 0);
    /* or the close would be a reset */
    ck_assert_int_eq(recv(scene.handle, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitFor(scene.ring, isNothingPending, scene.ring);
    expectEnd(scene.peer);
}
