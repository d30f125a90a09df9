/* Records that a send which doesn't wait would cut: those of vsock. Where the machine has no vsock
 * between its own sockets, a socket of AF_UNIX that says it is one stands for it: it cuts nothing,
 * but shows how it is sent to. */
/* As the library is compiled, whose calls have other names where a time_t may have 32 bits. */
#define _TIME_BITS 64
#include "services.h"

#include <fcntl.h>
#include <liburing.h>
#include <linux/vm_sockets.h>
#include <sys/syscall.h>

enum
{
    RECORDS = 200,
    MOST = 6000,       /* bytes of a record */
    VSOCK_ROOM = 8192, /* of the peer's; some records have no room beside others */
    RELEASE_MS = 50,
    LONG_MS = 60000, /* bounds a hang only */
};

static int disguised = -1; /* the socket that says it is of vsock */
static bool lies;          /* it says that there is room, too */
static int tries;          /* sends to it that would not have waited */

/* These stand before the C library's for the library too. */

int getsockopt(int handle, int level, int option, void* value, socklen_t* length)
{
    if (disguised >= 0 && level == SOL_SOCKET && option == SO_DOMAIN) {
        *(int*)value = AF_VSOCK;
        return 0;
    }
    return (int)syscall(SYS_getsockopt, handle, level, option, value, length);
}

int poll(struct pollfd* states, nfds_t count, int timeout)
{
    struct pollfd first = {.fd = -1};
    memcpy(&first, states, count > 0 ? sizeof(first) : 0);
    int result = (int)syscall(SYS_poll, states, count, timeout);
    if (!lies || first.fd != disguised || first.events != POLLOUT)
        return result;
    states->revents |= POLLOUT;
    return 1;
}

static void noteTry(int handle, int flags)
{
    if (handle == disguised && flags & MSG_DONTWAIT)
        __atomic_add_fetch(&tries, 1, __ATOMIC_RELAXED);
}

ssize_t sendmsg(int handle, const struct msghdr* message, int flags)
{
    noteTry(handle, flags);
    return syscall(SYS_sendmsg, handle, message, flags);
}

ssize_t send(int handle, const void* data, size_t size, int flags)
{
    noteTry(handle, flags);
    return syscall(SYS_sendto, handle, data, size, flags, NULL, 0);
}

/* ---- pairs ---- */

static void setUp(void)
{
    openScene();
    disguised = -1;
    lies = false;
    tries = 0;
}

static void tearDown(void)
{
    closeScene();
    disguised = -1;
}

AREA(whole, "whole", .open = setUp, .close = tearDown);

static void makeNonblocking(int handle, bool nonblocking)
{
    int flags = fcntl(handle, F_GETFL);
    ck_assert_int_eq(fcntl(handle, F_SETFL, nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK),
                     0);
}

static bool isNonblocking(void)
{
    return fcntl(scene.handle, F_GETFL) & O_NONBLOCK;
}

static void openOurs(int handle, bool nonblocking)
{
    scene.handle = handle;
    makeNonblocking(handle, nonblocking);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    waitFor(scene.ring, isWritable, &scene.ours);
}

static void openDisguised(bool nonblocking)
{
    int pair[2];
    int small = MOST; /* doubled by the kernel: room for one, and little more */
    pairUnix(pair, SOCK_SEQPACKET);
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    disguised = pair[0];
    scene.peer = pair[1];
    openOurs(pair[0], nonblocking);
}

/* Both ends on this machine; the peer has little room. */
static void openVsock(bool nonblocking)
{
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK,
        .svm_cid = VMADDR_CID_ANY,
        .svm_port = VMADDR_PORT_ANY,
    };
    socklen_t length = sizeof(address);
    uint64_t room = VSOCK_ROOM;
    int listener = socket(AF_VSOCK, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int handle = socket(AF_VSOCK, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(setsockopt(listener, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &room, sizeof(room)),
                     0);
    ck_assert_int_eq(bind(listener, (struct sockaddr*)&address, length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr*)&address, &length), 0);
    address.svm_cid = VMADDR_CID_LOCAL;
    int result = 0;
    do /* a ring's work interrupts its wait */
        result = connect(handle, (struct sockaddr*)&address, length);
    while (result < 0 && errno == EINTR);
    ck_assert(result == 0 || errno == EISCONN);
    scene.peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(scene.peer, 0);
    close(listener);
    openOurs(handle, nonblocking);
}

static bool lacksVsock(void)
{
    int handle = access("/sys/module/vsock_loopback", F_OK) == 0
                     ? socket(AF_VSOCK, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
                     : -1;
    if (handle >= 0)
        close(handle);
    return handle < 0;
}

#define skipWithoutVsock() \
    if (lacksVsock())      \
    skipTest("no vsock loopback with records")

/* ---- records ---- */

static size_t sizeOf(int index)
{
    return 1 + (size_t)(index * 1237 % MOST);
}

/* A user's own operation, of several parts. */
static int refuseCall(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                      int reason)
{
    (void)descriptor;
    (void)completion;
    (void)reason;
    ck_abort_msg("the function of a data descriptor was called");
    return 0;
}

static void transmitParts(size_t size, uint64_t position)
{
    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, (uint32_t)size, 0);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, refuseCall,
                                                                       NULL);
    struct msghdr* message = GetFastRingDescriptorData(descriptor, NULL);
    struct iovec* vectors = (struct iovec*)(message + 1);
    uint8_t* data = GetFastBufferData(buffer);
    fillPattern(data, size, position);
    vectors[0] = (struct iovec){data, size / 3};
    vectors[1] = (struct iovec){data + size / 3, size - size / 3};
    *message = (struct msghdr){.msg_iov = vectors, .msg_iovlen = 2};
    io_uring_prep_sendmsg(GetFastRingDescriptorSubmission(descriptor), scene.handle, message, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
}

static void transmitRecord(int index)
{
    if (index % 5 == 0)
        transmitParts(sizeOf(index), (uint64_t)index * 7);
    else
        transmitPattern(scene.ours.socket, sizeOf(index), (uint64_t)index * 7);
}

/* The next one, if it is there: false if not. */
static bool takeRecord(int index)
{
    static uint8_t data[2 * MOST];
    ssize_t length = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);
    if (length < 0) {
        ck_assert_int_eq(errno, EAGAIN);
        return false;
    }
    ck_assert_msg((size_t)length == sizeOf(index), "record %d has %zd bytes, and not %zu", index,
                  length, sizeOf(index));
    ck_assert(checkPattern(data, (size_t)length, (uint64_t)index * 7));
    return true;
}

/* Many, in order, while the peer reads some now and then. */
static void exchange(bool nonblocking)
{
    int64_t end = nowNs() + (int64_t)LONG_MS * 1000000;
    int taken = 0;
    for (int index = 0; index < RECORDS; index++)
        transmitRecord(index);
    for (int turn = 0; taken < RECORDS; turn++) {
        ck_assert_msg(nowNs() < end, "%d of %d came", taken, RECORDS);
        ck_assert_int_eq(scene.ours.err, 0);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
        for (int most = turn % 4 == 0 ? turn % 3 : 0; most > 0 && taken < RECORDS; most--)
            taken += takeRecord(taken);
    }
    waitDrained(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 0);
    ck_assert_int_eq(isNonblocking(), nonblocking);
    ck_assert_int_eq(tries, 0);
}

/* §2.4 records whole: many, to a peer that reads slowly, whatever the descriptor's flags say */
CASE_ROUNDS(whole, keepsRecords, 2)
{
    openDisguised(round == 1);
    exchange(round == 1);
}

/* §2.4 records whole: the same of vsock itself, which cuts what it has no room for */
CASE_ROUNDS(whole, vsockKeepsRecords, 2)
{
    skipWithoutVsock();
    openVsock(round == 1);
    exchange(round == 1);
}

/* ---- the end, while a record waits ---- */

/* There is no room, and a record is on its way all the same. The first bytes of it may be gone. */
static int fill(void)
{
    static uint8_t data[MOST];
    int filled = 0;
    makeNonblocking(scene.handle, true);
    while (syscall(SYS_sendto, scene.handle, data, 1000, MSG_DONTWAIT, NULL, 0) == 1000)
        filled++;
    ck_assert_int_eq(errno, EAGAIN);
    makeNonblocking(scene.handle, false);
    return filled;
}

static void beginToWait(bool real)
{
    if (real) {
        openVsock(false);
        for (int index = 0; index < 10; index++)
            transmitPattern(scene.ours.socket, 3000, 0);
    } else {
        openDisguised(false);
        (void)fill();
        lies = true;
        transmitPattern(scene.ours.socket, 3000, 0);
    }
    for (int turn = 0; turn < 5; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 5, NULL), 0);
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
}

/* What has come is whole, and then there is the end. */
static void expectRest(size_t size)
{
    static uint8_t data[2 * MOST];
    ssize_t length = 0;
    while ((length = recv(scene.peer, data, sizeof(data), 0)) > 0)
        ck_assert_uint_eq((size_t)length, size);
    ck_assert(length == 0 || errno == ECONNRESET);
}

static void abortWaiting(bool real)
{
    beginToWait(real);
    AbortFastSocket(scene.ours.socket);
    scene.ours.socket = NULL;
    waitFor(scene.ring, isNothingPending, scene.ring);
    expectRest(real ? 3000 : 1000);
}

/* §2.4 records whole: an abort waits for nothing */
CASE(whole, abortEndsAWait)
{
    abortWaiting(false);
}

CASE(whole, vsockAbortEndsAWait)
{
    skipWithoutVsock();
    abortWaiting(true);
}

static void releaseWaiting(bool real)
{
    beginToWait(real);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, RELEASE_MS);
    ReleaseFastSocket(scene.ours.socket);
    scene.ours.socket = NULL;
    waitFor(scene.ring, isNothingPending, scene.ring);
    expectRest(real ? 3000 : 1000);
}

/* §2.4 records whole: a release gives up in time */
CASE(whole, releaseGivesUp)
{
    releaseWaiting(false);
}

CASE(whole, vsockReleaseGivesUp)
{
    skipWithoutVsock();
    releaseWaiting(true);
}

static void endRingWaiting(bool real)
{
    beginToWait(real);
    int64_t begin = nowNs();
    endRing();
    ck_assert_int_eq(scene.ours.hup, 1);
    ck_assert_int_eq(scene.ours.lastHangup, ECANCELED);
    ck_assert_int_lt(nowNs() - begin, INT64_C(4000000000)); /* nothing was given up */
    expectRest(real ? 3000 : 1000);
}

/* §2.4 records whole: so does the ring's end */
CASE(whole, ringEndsAWait)
{
    endRingWaiting(false);
}

CASE(whole, vsockRingEndsAWait)
{
    skipWithoutVsock();
    endRingWaiting(true);
}

/* The peer ends: that is told, once, before or behind the end of input. */
static void endPeerWaiting(bool real)
{
    beginToWait(real);
    closePeer();
    waitFor(scene.ring, hasFailed, &scene.ours);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert(scene.ours.lastError == EPIPE || scene.ours.lastError == ECONNRESET);
}

/* §2.4 records whole: and that of its peer */
CASE(whole, peerEndsAWait)
{
    endPeerWaiting(false);
}

CASE(whole, vsockPeerEndsAWait)
{
    skipWithoutVsock();
    endPeerWaiting(true);
}

/* §2.4 records whole: what waits goes when there is room */
CASE(whole, goesWhenThereIsRoom)
{
    static uint8_t data[MOST];
    ssize_t length = 0;
    beginToWait(false);
    lies = false;
    while ((length = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT)) == 1000)
        continue;
    waitDrained(&scene.ours);
    if (length < 0)
        length = recv(scene.peer, data, sizeof(data), 0);
    ck_assert_int_eq(length, 3000);
    ck_assert(checkPattern(data, 3000, 0));
    ck_assert_int_eq(scene.ours.err, 0);
    ck_assert_int_eq(tries, 0);
}

/* ---- raw operations ---- */

static int lastResult;
static int calls;

static int count(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    (void)reason;
    lastResult = completion->res;
    calls++;
    return 0;
}

static struct FastRingDescriptor* sendRaw(int handle, void* data, size_t size)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, count, NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    calls = 0;
    io_uring_prep_send(entry, handle, data, size, 0);
    entry->flags |= IOSQE_ASYNC;
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    for (int turn = 0; turn < 5; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 5, NULL), 0);
    ck_assert_int_eq(calls, 0);
    return descriptor;
}

/* Canceled, a thread's send ends with the socket's output; the number may be closed before. */
CASE(whole, rawSendIsCanceled)
{
    static uint8_t data[2 * MOST];
    int pair[2];
    pairUnix(pair, SOCK_SEQPACKET);
    scene.handle = pair[0];
    disguised = pair[0];
    scene.peer = pair[1];
    (void)fill();
    struct FastRingDescriptor* descriptor = sendRaw(pair[0], data, 3000);
    close(pair[0]);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastResult, -ECANCELED);
    runIdle(scene.ring);
    expectRest(1000);
}

/* It goes whole when there is room. */
CASE(whole, rawSendGoes)
{
    static uint8_t data[2 * MOST];
    int pair[2];
    ssize_t length = 0;
    pairUnix(pair, SOCK_SEQPACKET);
    scene.handle = pair[0];
    disguised = pair[0];
    scene.peer = pair[1];
    (void)fill();
    fillPattern(data, 3000, 5);
    (void)sendRaw(pair[0], data, 3000);
    uint8_t seen[MOST];
    while ((length = recv(scene.peer, seen, sizeof(seen), MSG_DONTWAIT)) == 1000)
        continue;
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastResult, 3000);
    if (length < 0)
        length = recv(scene.peer, seen, sizeof(seen), 0);
    ck_assert_int_eq(length, 3000);
    ck_assert(checkPattern(seen, 3000, 5));
    close(pair[0]);
}
