/* Raw operations that find no room at somebody else's: a socket to which they send by its address,
 * or to whose backlog they connect. No poll of their own socket tells when there is some. */
#include "services.h"

#include <liburing.h>
#include <sys/un.h>

enum
{
    MANY = 60,
    TEXT = 5,
    LONG_MS = 20000, /* bounds a hang only */
};

struct Name
{
    struct sockaddr_un name;
    socklen_t length;
};

/* A send, with all that its entry points to. */
struct Send
{
    struct FastRingDescriptor* descriptor;
    char text[16];
    struct iovec vector;
    struct msghdr message;
};

static struct Name address;
static int peer;   /* has the address */
static int ours;   /* sends to it, or connects */
static int filler; /* has filled it up */
static int calls;
static int results[MANY + 1]; /* by number of the call */

static void bindAnywhere(int handle)
{
    address.name.sun_family = AF_UNIX;
    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&address.name, sizeof(sa_family_t)), 0);
    address.length = sizeof(address.name);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)&address.name, &address.length), 0);
}

static struct sockaddr* name(void)
{
    return (struct sockaddr*)&address.name;
}

/* Somebody else's datagrams, so that taking them tells nothing to our own socket. */
static void fill(void)
{
    while (sendto(filler, "full", 4, MSG_DONTWAIT, name(), address.length) == 4)
        continue;
    ck_assert_int_eq(errno, EAGAIN);
}

static void setUp(void)
{
    openScene();
    calls = 0;
    peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ours = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    filler = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bindAnywhere(peer);
    fill();
}

static void tearDown(void)
{
    close(peer);
    close(ours);
    close(filler);
    closeScene();
}

AREA(full, "descriptorFull", .open = setUp, .close = tearDown);

static int count(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    ck_assert_int_lt(calls, MANY);
    results[calls++] = completion->res;
    return 0;
}

/* ---- sends ---- */

enum Way
{
    BY_SEND,
    BY_MESSAGE,
    CONNECTED_SEND,
    CONNECTED_MESSAGE,
    CONNECTED_WRITE,
    WAYS,
};

static void prepare(struct Send* send, enum Way way)
{
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(send->descriptor);
    send->vector = (struct iovec){send->text, TEXT};
    send->message = (struct msghdr){.msg_iov = &send->vector, .msg_iovlen = 1};
    switch (way) {
    case BY_SEND:
        io_uring_prep_send(entry, ours, send->text, TEXT, 0);
        entry->addr2 = (uintptr_t)name();
        entry->addr_len = (uint16_t)address.length;
        break;
    case BY_MESSAGE:
        send->message.msg_name = name();
        send->message.msg_namelen = address.length;
        /* fall through */
    case CONNECTED_MESSAGE:
        io_uring_prep_sendmsg(entry, ours, &send->message, 0);
        break;
    case CONNECTED_SEND:
        io_uring_prep_send(entry, ours, send->text, TEXT, 0);
        break;
    default:
        io_uring_prep_write(entry, ours, send->text, TEXT, 0);
        break;
    }
}

static void submit(struct Send* send, int number, enum Way way)
{
    snprintf(send->text, sizeof(send->text), "m%04d", number);
    send->descriptor = AllocateFastRingDescriptor(scene.ring, count, NULL);
    ck_assert_ptr_nonnull(send->descriptor);
    prepare(send, way);
    ck_assert_int_eq(SubmitFastRingDescriptor(send->descriptor), 0);
}

static void connectIfItIs(enum Way way)
{
    if (way >= CONNECTED_SEND)
        ck_assert_int_eq(connect(ours, name(), address.length), 0);
}

/* The next datagram that the filler has not sent, or false: there is none now. On io_uring the
 * kernel itself may send an empty one in its place (6.18). */
static bool takeOne(char text[TEXT + 1])
{
    ssize_t length = 0;
    do {
        memset(text, 0, TEXT + 1);
        length = recv(peer, text, TEXT, MSG_DONTWAIT);
    } while (length == 4);
    ck_assert(length == TEXT || length < 0 || (length == 0 && runsOnUring(scene.ring)));
    return length >= 0;
}

static void expectSent(int result)
{
    ck_assert(result == TEXT || (result == 0 && runsOnUring(scene.ring)));
}

/* With io_uring a thread of the kernel's may wait in the call by now, which a cancellation does not
 * reach (6.18). */
#define returnOnUring()          \
    if (runsOnUring(scene.ring)) \
    return

/* It waits for as long as there is no room, and goes when there is some. */
CASE_ROUNDS(full, sendGoesWhenThereIsRoom, WAYS)
{
    struct Send send;
    char text[TEXT + 1];
    connectIfItIs((enum Way)round);
    submit(&send, 7, (enum Way)round);
    uint64_t before = readRing(scene.ring).systemCalls;
    for (int turn = 0; turn < 20; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 5, NULL), 0);
    ck_assert_int_eq(calls, 0);
    ck_assert_uint_le(readRing(scene.ring).systemCalls - before, 200); /* it doesn't spin */
    bool taken = takeOne(text); /* a thread of the kernel's may be so fast */
    waitCount(scene.ring, &calls, 1);
    expectSent(results[0]);
    ck_assert(taken || takeOne(text));
    if (!runsOnUring(scene.ring))
        ck_assert_str_eq(text, "m0007");
    ck_assert(!takeOne(text));
}

/* Many of them all go, and each once, while the room is always taken again. */
CASE_ROUNDS(full, everySendGoes, WAYS)
{
    struct Send sends[MANY];
    int seen[MANY] = {0};
    int taken = 0;
    char text[TEXT + 1];
    connectIfItIs((enum Way)round);
    for (int index = 0; index < MANY; index++)
        submit(&sends[index], index, (enum Way)round);
    runTurns(scene.ring, 3);
    int64_t end = nowNs() + (int64_t)LONG_MS * 1000000;
    while (taken < MANY) {
        ck_assert_msg(nowNs() < end, "%d of %d came", taken, MANY);
        while (takeOne(text)) {
            taken++;
            if (text[0] == 'm')
                seen[atoi(text + 1)]++;
        }
        for (int turn = 0; turn < 3; turn++)
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
        fill();
    }
    waitCount(scene.ring, &calls, MANY);
    for (int index = 0; index < MANY; index++) {
        expectSent(results[index]);
        ck_assert(seen[index] == 1 || runsOnUring(scene.ring));
    }
}

/* Canceled, it never goes; and nothing is left that would wake the ring. */
CASE_ROUNDS(full, sendIsCanceled, WAYS)
{
    struct Send send;
    char text[TEXT + 1];
    returnOnUring();
    connectIfItIs((enum Way)round);
    submit(&send, 1, (enum Way)round);
    runTurns(scene.ring, 5);
    ck_assert_int_eq(CancelFastRingDescriptor(send.descriptor), 0);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(results[0], -ECANCELED);
    ck_assert(!takeOne(text));
    runIdle(scene.ring);
    ck_assert(!takeOne(text));
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

/* The peer is gone: that is what it hears. */
CASE(full, sendHearsOfTheEnd)
{
    struct Send send;
    submit(&send, 1, BY_SEND);
    runTurns(scene.ring, 5);
    ck_assert_int_eq(calls, 0);
    close(peer);
    peer = -1;
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(results[0], -ECONNREFUSED);
}

/* Where it is our own queue that is full, an event tells: there is nothing to be looked at. */
CASE(full, sendWaitsForItsOwnQueue)
{
    static char data[2000];
    struct Send send;
    char text[TEXT + 1];
    int small = 1;
    ck_assert(!takeOne(text));
    ck_assert_int_eq(setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    while (sendto(ours, data, sizeof(data), MSG_DONTWAIT, name(), address.length) > 0)
        continue;
    ck_assert_int_eq(errno, EAGAIN);
    submit(&send, 1, BY_MESSAGE);
    runTurns(scene.ring, 5);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
    while (recv(peer, data, sizeof(data), MSG_DONTWAIT) == sizeof(data))
        continue;
    waitCount(scene.ring, &calls, 1);
    expectSent(results[0]);
}

/* Who asks not to wait doesn't. */
CASE(full, sendThatMustNotWaitFails)
{
    struct Send send = {.descriptor = AllocateFastRingDescriptor(scene.ring, count, NULL)};
    prepare(&send, BY_MESSAGE);
    GetFastRingDescriptorSubmission(send.descriptor)->msg_flags = MSG_DONTWAIT;
    ck_assert_int_eq(SubmitFastRingDescriptor(send.descriptor), 0);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(results[0], -EAGAIN);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

/* A ring that ends while it waits leaves nothing. */
static int onEnd(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    (void)completion;
    (void)reason;
    calls++;
    return 0;
}

CASE(full, sendEndsWithTheRing)
{
    returnOnUring();
    struct Send send = {.descriptor = AllocateFastRingDescriptor(scene.ring, onEnd, NULL)};
    char text[TEXT + 1];
    prepare(&send, BY_SEND);
    ck_assert_int_eq(SubmitFastRingDescriptor(send.descriptor), 0);
    runTurns(scene.ring, 5);
    ck_assert_int_eq(calls, 0);
    endRing();
    ck_assert_int_ge(calls, 1);
    ck_assert(!takeOne(text));
}

/* ---- who waits ---- */

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    *(bool*)closure = true;
}

/* A wait without a limit ends by itself. */
CASE(full, waitKnowsOfIt)
{
    struct Send send;
    char text[TEXT + 1];
    bool late = false;
    struct FastRingTimeout* timeout = SetFastRingTimeout(scene.ring, NULL, LONG_MS, 0, onTimeout,
                                                         &late);
    ck_assert_ptr_nonnull(timeout);
    submit(&send, 1, BY_SEND);
    runTurns(scene.ring, 5);
    (void)takeOne(text);
    while (calls == 0 && !late)
        ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
    ck_assert(!late);
    SetFastRingTimeout(scene.ring, timeout, -1, 0, NULL, NULL);
    expectSent(results[0]);
}

/* So does that of a foreign loop, which sleeps for no longer than it is told. */
CASE(full, foreignLoopKnowsOfIt)
{
    struct Send send;
    char text[TEXT + 1];
    struct pollfd state = {.fd = GetFastRingHandle(scene.ring), .events = POLLIN};
    submit(&send, 1, BY_SEND);
    runTurns(scene.ring, 5);
    (void)takeOne(text);
    while (calls == 0) {
        int interval = GetFastRingInterval(scene.ring);
        int ready = poll(&state, 1, interval >= 0 ? interval : LONG_MS);
        ck_assert_msg(ready > 0 || interval >= 0, "the loop would sleep for ever");
        ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
    }
    expectSent(results[0]);
    runIdle(scene.ring);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

/* ---- connections ---- */

enum
{
    BACKLOG = 1,
};

/* A listener whose backlog is full of plain clients. */
static void listenFull(int type, int clients[BACKLOG + 1])
{
    close(peer);
    close(ours);
    peer = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    ours = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    bindAnywhere(peer);
    ck_assert_int_eq(listen(peer, BACKLOG), 0);
    for (int index = 0; index <= BACKLOG; index++) {
        clients[index] = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ck_assert_int_eq(connect(clients[index], name(), address.length), 0);
    }
}

static void closeAll(int clients[BACKLOG + 1])
{
    for (int index = 0; index <= BACKLOG; index++)
        close(clients[index]);
}

static struct FastRingDescriptor* submitConnect(void)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, count, NULL);
    ck_assert_ptr_nonnull(descriptor);
    io_uring_prep_connect(GetFastRingDescriptorSubmission(descriptor), ours, name(),
                          address.length);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runTurns(scene.ring, 20);
    ck_assert_int_eq(calls, 0);
    return descriptor;
}

/* It is made when somebody is accepted. */
CASE_ROUNDS(full, connectWaitsForTheBacklog, 2)
{
    int clients[BACKLOG + 1];
    listenFull(round == 0 ? SOCK_STREAM : SOCK_SEQPACKET, clients);
    (void)submitConnect();
    int accepted = accept4(peer, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(accepted, 0);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(results[0], 0);
    for (int index = 0; index <= BACKLOG; index++) {
        close(accepted);
        accepted = accept4(peer, NULL, NULL, SOCK_CLOEXEC);
        ck_assert_int_ge(accepted, 0);
    }
    sendText(ours, "made");
    expectText(accepted, "made");
    close(accepted);
    closeAll(clients);
}

/* It fails when the listener ends. */
CASE(full, connectHearsOfTheEnd)
{
    int clients[BACKLOG + 1];
    listenFull(SOCK_STREAM, clients);
    (void)submitConnect();
    close(peer);
    peer = -1;
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(results[0], -ECONNREFUSED);
    closeAll(clients);
}

CASE(full, connectIsCanceled)
{
    int clients[BACKLOG + 1];
    returnOnUring();
    listenFull(SOCK_STREAM, clients);
    struct FastRingDescriptor* descriptor = submitConnect();
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(results[0], -ECANCELED);
    runIdle(scene.ring);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
    closeAll(clients);
}
