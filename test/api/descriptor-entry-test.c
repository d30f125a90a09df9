/*
 * Raw operations whose results io_uring decides by more than the system call that they stand for:
 * each case says what the kernel gives, and holds on every engine.
 */
#include "services.h"

#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/un.h>

enum
{
    RESULTS = 8,
};

static int pair[2];
static char input[64];

/* What has become of the operation that was prepared last. */
static struct
{
    struct FastRingDescriptor* descriptor;
    int count;
    int results[RESULTS];
    uint32_t flags[RESULTS];
    bool over;
} seen;

static void setUp(void)
{
    openScene();
    pairTcp(pair);
}

static void tearDown(void)
{
    close(pair[0]);
    close(pair[1]);
    closeScene();
}

AREA(entry, "descriptor-entry", .open = setUp, .close = tearDown);

static int note(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    ck_assert_ptr_eq(descriptor, seen.descriptor);
    ck_assert_int_lt(seen.count, RESULTS);
    seen.results[seen.count] = completion->res;
    seen.flags[seen.count++] = completion->flags;
    seen.over = reason == FASTRING_REASON_COMPLETE;
    return !seen.over;
}

/* An entry for io_uring_prep_*; what was prepared before is over. */
static struct io_uring_sqe* prepare(void)
{
    memset(&seen, 0, sizeof(seen));
    seen.descriptor = AllocateFastRingDescriptor(scene.ring, note, NULL);
    ck_assert_ptr_nonnull(seen.descriptor);
    return GetFastRingDescriptorSubmission(seen.descriptor);
}

static bool isOver(void* closure)
{
    (void)closure;
    return seen.over;
}

static void begin(void)
{
    ck_assert_int_eq(SubmitFastRingDescriptor(seen.descriptor), 0);
}

/* Submitted, it has nothing to tell. */
static void beginToWait(void)
{
    begin();
    runIdle(scene.ring);
    ck_assert_int_eq(seen.count, 0);
}

/* Its one result, when it is over. */
static void expectResult(int result)
{
    waitFor(scene.ring, isOver, NULL);
    ck_assert_int_eq(seen.count, 1);
    ck_assert_int_eq(seen.results[0], result);
}

static void run(int result)
{
    begin();
    expectResult(result);
}

/* Of one that waits. */
static void cancel(int result)
{
    ck_assert_int_eq(CancelFastRingDescriptor(seen.descriptor), 0);
    expectResult(result);
}

/* ---- connects ---- */

enum
{
    CLIENTS = 4, /* so many fill a backlog of none */
};

static struct
{
    struct sockaddr_storage address;
    socklen_t length;
    int listener;
    int clients[CLIENTS];
    int handle; /* of the case's */
} busy;

/* A listener that answers nobody: who connects has to wait. */
static void openBusy(void)
{
    busy.listener = listenTcp(&busy.address, &busy.length);
    ck_assert_int_eq(listen(busy.listener, 0), 0);
    for (int index = 0; index < CLIENTS; index++) {
        busy.clients[index] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(busy.clients[index], (struct sockaddr*)&busy.address, busy.length);
    }
    busy.handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void closeBusy(void)
{
    for (int index = 0; index < CLIENTS; index++)
        close(busy.clients[index]);
    close(busy.listener);
    close(busy.handle);
}

static void prepareConnect(int handle)
{
    io_uring_prep_connect(prepare(), handle, (struct sockaddr*)&busy.address, busy.length);
}

static int stateOf(int handle)
{
    struct tcp_info info;
    socklen_t length = sizeof(info);
    ck_assert_int_eq(getsockopt(handle, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return info.tcpi_state;
}

/* It is not begun anew. */
CASE(entry, connectFailsWhereItIsShutDown)
{
    openBusy();
    prepareConnect(busy.handle);
    beginToWait();
    ck_assert_int_eq(shutdown(busy.handle, SHUT_RDWR), 0);
    expectResult(-ECONNRESET);
    ck_assert_int_eq(stateOf(busy.handle), TCP_CLOSE);
    closeBusy();
}

CASE(entry, connectOfTheProgramsIsItsOwn)
{
    openBusy();
    prepareConnect(busy.clients[CLIENTS - 1]);
    run(-EALREADY);
    closeBusy();
}

/* A cancellation doesn't end what the system has begun. */
CASE(entry, connectGoesOnWithoutItsOperation)
{
    openBusy();
    prepareConnect(busy.handle);
    beginToWait();
    cancel(-ECANCELED);
    prepareConnect(busy.handle);
    run(-EALREADY);
    closeBusy();
}

/* §2.8 raw operation: that one was refused is told once, and says nothing of the next */
CASE(entry, connectIsTriedAgain)
{
    const int on = 1;
    busy.listener = listenTcp(&busy.address, &busy.length);
    close(busy.listener);
    busy.handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int round = 0; round < 2; round++) {
        prepareConnect(busy.handle);
        run(-ECONNREFUSED);
    }
    busy.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(busy.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    ck_assert_int_eq(bind(busy.listener, (struct sockaddr*)&busy.address, busy.length), 0);
    ck_assert_int_eq(listen(busy.listener, 1), 0);
    prepareConnect(busy.handle);
    run(0);
    prepareConnect(busy.handle);
    run(-EISCONN);
    close(busy.listener);
    close(busy.handle);
}

/* §2.8 raw operation: a full backlog is an answer to a socket that is a non-blocking one, and makes
 * others wait */
CASE(entry, connectFindsTheBacklogFull)
{
    struct sockaddr_un* address = (struct sockaddr_un*)&busy.address;
    int handles[4];
    busy.address.ss_family = AF_UNIX;
    busy.length = sizeof(sa_family_t);
    busy.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(busy.listener, (struct sockaddr*)address, busy.length), 0);
    busy.length = sizeof(busy.address);
    ck_assert_int_eq(getsockname(busy.listener, (struct sockaddr*)address, &busy.length), 0);
    ck_assert_int_eq(listen(busy.listener, 0), 0);
    for (int index = 0; index < 3; index++) {
        handles[index] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        prepareConnect(handles[index]);
        if (index == 0)
            run(0);
        else
            fcntl(handles[index], F_SETFL, index == 1 ? O_NONBLOCK : 0);
        if (index == 1)
            run(-EAGAIN);
    }
    beginToWait();
    handles[3] = accept(busy.listener, NULL, NULL);
    expectResult(0);
    for (int index = 0; index < 4; index++)
        close(handles[index]);
    close(busy.listener);
}

/* ---- what it can't have ---- */

/* §2.8 raw operation: a limit below the numbers that are the library's own is a limit */
CASE(entry, noNumberIsLeft)
{
    struct rlimit usual;
    getrlimit(RLIMIT_NOFILE, &usual);
    struct rlimit none = {.rlim_cur = 3, .rlim_max = usual.rlim_max};
    io_uring_prep_recv(prepare(), pair[1], input, sizeof(input), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    begin();
    runIdle(scene.ring);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
    if (runsOnUring(scene.ring)) {
        sendText(pair[0], "x");
        expectResult(1);
    } else {
        expectResult(-EMFILE);
    }
}

static int noteResult(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                      int reason)
{
    int* result = GetFastRingDescriptorClosure(descriptor);
    (void)reason;
    *result = completion->res;
    return 0;
}

enum
{
    TOGETHER = 6,
    PENDING = 1, /* no result of a send of two bytes */
};

static bool isSent(void* closure)
{
    const int* results = closure;
    int over = 0;
    for (int index = 0; index < TOGETHER; index++)
        over += results[index] != PENDING;
    return over == TOGETHER;
}

/* §2.8 bad addresses: of what goes by one call, the one that has it fails */
CASE(entry, oneOfManyIsNowhere)
{
    struct iovec vector = {.iov_base = input, .iov_len = 2};
    struct msghdr good = {.msg_iov = &vector, .msg_iovlen = 1};
    struct msghdr worse = {.msg_iov = (struct iovec*)16, .msg_iovlen = 1};
    struct msghdr* messages[TOGETHER] = {&good, &good, NULL, &worse, (struct msghdr*)16, &good};
    int results[TOGETHER];
    for (int index = 0; index < TOGETHER; index++) {
        struct FastRingDescriptor* descriptor =
            AllocateFastRingDescriptor(scene.ring, noteResult, &results[index]);
        results[index] = PENDING;
        io_uring_prep_sendmsg(GetFastRingDescriptorSubmission(descriptor), pair[0],
                              messages[index], 0);
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    }
    waitFor(scene.ring, isSent, results);
    for (int index = 0; index < TOGETHER; index++)
        ck_assert_int_eq(results[index], messages[index] == &good ? 2 : -EFAULT);
}

/* ---- receives that are to be whole ---- */

static void reopenPair(enum Kind kind)
{
    close(pair[0]);
    close(pair[1]);
    pairKind(kind, pair);
}

/* A datagram is all that a receive gets, however much there is room for. */
CASE(entry, wholeDatagramsAreNotJoined)
{
    static const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM};
    struct iovec vector = {.iov_base = input, .iov_len = sizeof(input)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        reopenPair(kinds[index]);
        sendText(pair[0], "first");
        sendText(pair[0], "next");
        io_uring_prep_recv(prepare(), pair[1], input, sizeof(input), MSG_WAITALL);
        run(5);
        io_uring_prep_recvmsg(prepare(), pair[1], &message, MSG_WAITALL);
        run(4);
    }
}

/* The records of such a socket are joined, as io_uring does it. */
CASE(entry, wholeRecordsAreJoined)
{
    reopenPair(KIND_UNIX_SEQPACKET);
    io_uring_prep_recv(prepare(), pair[1], input, 8, MSG_WAITALL);
    sendText(pair[0], "first");
    beginToWait();
    sendText(pair[0], "rec");
    expectResult(8);
}

static struct iovec parts[3];

static struct msghdr inParts(void)
{
    parts[0] = (struct iovec){.iov_base = input, .iov_len = 4};
    parts[1] = (struct iovec){.iov_base = input + 20, .iov_len = 0};
    parts[2] = (struct iovec){.iov_base = input + 10, .iov_len = 6};
    return (struct msghdr){.msg_iov = parts, .msg_iovlen = 3};
}

CASE(entry, wholeMessageComesInParts)
{
    struct msghdr message = inParts();
    io_uring_prep_recvmsg(prepare(), pair[1], &message, MSG_WAITALL);
    beginToWait();
    sendText(pair[0], "12345");
    runIdle(scene.ring);
    sendText(pair[0], "6789");
    runIdle(scene.ring);
    ck_assert_int_eq(seen.count, 0);
    sendText(pair[0], "0more");
    expectResult(10);
    ck_assert_int_eq(memcmp(input, "1234", 4), 0);
    ck_assert_int_eq(memcmp(input + 10, "567890", 6), 0);
    ck_assert_ptr_eq(message.msg_iov, parts); /* as the caller has left it */
    ck_assert_uint_eq(parts[2].iov_len, 6);
    expectText(pair[1], "more");
}

CASE(entry, partOfAWholeMessageIsItsResult)
{
    struct msghdr message = inParts();
    io_uring_prep_recvmsg(prepare(), pair[1], &message, MSG_WAITALL);
    sendText(pair[0], "12345");
    beginToWait();
    cancel(5);
    message = inParts();
    io_uring_prep_recvmsg(prepare(), pair[1], &message, MSG_WAITALL);
    sendText(pair[0], "123");
    beginToWait();
    shutdown(pair[0], SHUT_WR);
    expectResult(3);
}

CASE(entry, wholeMessageFillsABuffer)
{
    struct iovec vector = {.iov_base = NULL, .iov_len = 8};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    struct io_uring_sqe* submission = prepare();
    io_uring_prep_recvmsg(submission, pair[1], &message, MSG_WAITALL);
    submission->flags |= IOSQE_BUFFER_SELECT;
    submission->buf_group = GetFastRingBufferGroup(scene.provider);
    sendText(pair[0], "abc");
    beginToWait();
    sendText(pair[0], "defghi");
    expectResult(8);
    ck_assert_uint_ne(seen.flags[0] & IORING_CQE_F_BUFFER, 0);
    expectText(pair[1], "i");
}

/* Control data belongs to the bytes that it came with: nothing is waited for. */
CASE(entry, messageWithControlDataIsNotMadeWhole)
{
    char control[64];
    struct msghdr message = inParts();
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    io_uring_prep_recvmsg(prepare(), pair[1], &message, MSG_WAITALL);
    sendText(pair[0], "12345");
    run(5);
}

/* ---- files ---- */

CASE(entry, nothingIsReadAtOnce)
{
    struct iovec vectors[2] = {{.iov_base = input}, {.iov_base = input}};
    io_uring_prep_read(prepare(), pair[1], input, 0, 0);
    run(0);
    io_uring_prep_readv(prepare(), pair[1], vectors, 2, 0);
    run(0);
    io_uring_prep_readv(prepare(), pair[1], vectors, 0, 0);
    run(0);
}

static int openStored(void)
{
    char path[] = "/tmp/fastsocket-entry-XXXXXX";
    int handle = mkstemp(path);
    ck_assert_int_ge(handle, 0);
    unlink(path);
    return handle;
}

/* It is ready for ever: nothing more is to be heard of it. */
CASE(entry, pollOfAFileIsOverAtOnce)
{
    int file = openStored();
    io_uring_prep_poll_add(prepare(), file, POLLIN);
    run(POLLIN);
    io_uring_prep_poll_multishot(prepare(), file, POLLIN | POLLOUT);
    run(POLLIN | POLLOUT);
    ck_assert_uint_eq(seen.flags[0] & IORING_CQE_F_MORE, 0);
    io_uring_prep_poll_add(prepare(), file, POLLPRI);
    run(-EINVAL);
    io_uring_prep_poll_multishot(prepare(), file, POLLPRI);
    run(-EINVAL);
    close(file);
}

static void expectBuffer(bool any)
{
    ck_assert_int_eq((seen.flags[0] & IORING_CQE_F_BUFFER) != 0, any);
}

/* One vector says how much, and the end of input takes a buffer as well. */
CASE(entry, readsIntoABuffer)
{
    struct iovec vectors[2] = {{.iov_len = 3}, {.iov_len = 3}};
    for (int count = 1; count <= 2; count++) {
        struct io_uring_sqe* submission = prepare();
        io_uring_prep_readv(submission, pair[1], vectors, (unsigned)count, 0);
        submission->flags |= IOSQE_BUFFER_SELECT;
        submission->buf_group = GetFastRingBufferGroup(scene.provider);
        if (count == 1)
            sendText(pair[0], "abcd");
        run(count == 1 ? 3 : -EINVAL);
        expectBuffer(count == 1);
    }
    expectText(pair[1], "d");
    shutdown(pair[0], SHUT_WR);
    struct io_uring_sqe* submission = prepare();
    io_uring_prep_read(submission, pair[1], NULL, 3, 0);
    submission->flags |= IOSQE_BUFFER_SELECT;
    submission->buf_group = GetFastRingBufferGroup(scene.provider);
    run(0);
    expectBuffer(true);
}

/* ---- entries that are refused as they are ---- */

enum Field
{
    FIELD_FLAGS,
    FIELD_PRIORITY,
    FIELD_OFFSET,
    FIELD_ADDRESS,
    FIELD_LENGTH,
    FIELD_OPTIONS,
    FIELD_BUFFER,
    FIELD_PERSONALITY,
    FIELD_SOURCE,
};

static void set(struct io_uring_sqe* submission, enum Field field, uint32_t value)
{
    switch (field) {
    case FIELD_FLAGS:
        submission->flags |= (uint8_t)value;
        break;
    case FIELD_PRIORITY:
        submission->ioprio |= (uint16_t)value;
        break;
    case FIELD_OFFSET:
        submission->off = value;
        break;
    case FIELD_ADDRESS:
        submission->addr = value;
        break;
    case FIELD_LENGTH:
        submission->len = value;
        break;
    case FIELD_OPTIONS:
        submission->rw_flags = (int)value;
        break;
    case FIELD_BUFFER:
        submission->buf_index = (uint16_t)value;
        break;
    case FIELD_PERSONALITY:
        submission->personality = (uint16_t)value;
        break;
    default:
        submission->splice_fd_in = (int)value;
    }
}

static char byte[1] = "b";
static struct iovec one = {.iov_base = byte, .iov_len = 1};
static struct msghdr oneMessage = {.msg_iov = &one, .msg_iovlen = 1};

/* One that would do something to the pair at once. */
static struct io_uring_sqe* prepareCode(uint8_t opcode)
{
    struct io_uring_sqe* submission = prepare();
    int handle = pair[0];
    switch (opcode) {
    case IORING_OP_NOP:
        io_uring_prep_nop(submission);
        break;
    case IORING_OP_READ:
        io_uring_prep_read(submission, handle, input, 1, 0);
        break;
    case IORING_OP_READV:
        io_uring_prep_readv(submission, handle, &one, 1, 0);
        break;
    case IORING_OP_WRITE:
        io_uring_prep_write(submission, handle, byte, 1, 0);
        break;
    case IORING_OP_WRITEV:
        io_uring_prep_writev(submission, handle, &one, 1, 0);
        break;
    case IORING_OP_RECV:
        io_uring_prep_recv(submission, handle, input, 1, 0);
        break;
    case IORING_OP_RECVMSG:
        io_uring_prep_recvmsg(submission, handle, &oneMessage, 0);
        break;
    case IORING_OP_SEND:
        io_uring_prep_send(submission, handle, byte, 1, 0);
        break;
    case IORING_OP_SENDMSG:
        io_uring_prep_sendmsg(submission, handle, &oneMessage, 0);
        break;
    case IORING_OP_SEND_ZC:
        io_uring_prep_send_zc(submission, handle, byte, 1, 0, 0);
        break;
    case IORING_OP_SENDMSG_ZC:
        io_uring_prep_sendmsg_zc(submission, handle, &oneMessage, 0);
        break;
    case IORING_OP_POLL_ADD:
        io_uring_prep_poll_add(submission, handle, POLLOUT);
        break;
    case IORING_OP_POLL_REMOVE:
        io_uring_prep_poll_remove(submission, 77);
        break;
    case IORING_OP_ASYNC_CANCEL:
        io_uring_prep_cancel64(submission, 77, 0);
        break;
    case IORING_OP_ACCEPT:
        io_uring_prep_accept(submission, handle, NULL, NULL, 0);
        break;
    case IORING_OP_CONNECT:
        io_uring_prep_connect(submission, handle, NULL, 0);
        break;
    case IORING_OP_SHUTDOWN:
        io_uring_prep_shutdown(submission, handle, SHUT_RDWR);
        break;
    case IORING_OP_SPLICE:
        io_uring_prep_splice(submission, handle, -1, handle, -1, 1, 0);
        break;
    default:
        ck_assert_uint_eq(opcode, IORING_OP_CLOSE);
        io_uring_prep_close(submission, handle);
    }
    return submission;
}

static const struct Refusal
{
    uint8_t opcode;
    uint8_t field;
    uint32_t value;
    int result;
} refusals[] = {
    {IORING_OP_NOP, FIELD_PRIORITY, 5, -EINVAL},
    {IORING_OP_NOP, FIELD_OPTIONS, 1U << 30, -EINVAL},
    {IORING_OP_NOP, FIELD_FLAGS, IOSQE_BUFFER_SELECT, -EOPNOTSUPP},
    {IORING_OP_READ, FIELD_OPTIONS, 1U << 30, -EOPNOTSUPP},
    {IORING_OP_READV, FIELD_OPTIONS, 1U << 14, -EOPNOTSUPP},
    {IORING_OP_WRITE, FIELD_OPTIONS, 1U << 30, -EOPNOTSUPP},
    {IORING_OP_WRITE, FIELD_FLAGS, IOSQE_BUFFER_SELECT, -EOPNOTSUPP},
    {IORING_OP_WRITEV, FIELD_OPTIONS, 1U << 30, -EOPNOTSUPP},
    {IORING_OP_WRITEV, FIELD_FLAGS, IOSQE_BUFFER_SELECT, -EOPNOTSUPP},
    {IORING_OP_SPLICE, FIELD_PRIORITY, 1, -EINVAL},
    {IORING_OP_SPLICE, FIELD_FLAGS, IOSQE_BUFFER_SELECT, -EOPNOTSUPP},
    {IORING_OP_RECV, FIELD_PRIORITY, 1U << 9, -EINVAL},
    {IORING_OP_RECV, FIELD_OFFSET, 1, -EINVAL},
    {IORING_OP_RECV, FIELD_SOURCE, 8, -EINVAL},
    {IORING_OP_RECV, FIELD_LENGTH, 3U << 30, -EINVAL},
    {IORING_OP_RECV, FIELD_PRIORITY, IORING_RECV_MULTISHOT, -EINVAL},
    {IORING_OP_RECVMSG, FIELD_PRIORITY, 1U << 9, -EINVAL},
    {IORING_OP_RECVMSG, FIELD_OFFSET, 1, -EINVAL},
    {IORING_OP_RECVMSG, FIELD_LENGTH, 3U << 30, -EINVAL},
    {IORING_OP_RECVMSG, FIELD_SOURCE, 8, -EINVAL},
    {IORING_OP_RECVMSG, FIELD_PRIORITY, IORING_RECV_MULTISHOT, -EINVAL},
    {IORING_OP_SEND, FIELD_PRIORITY, 1U << 9, -EINVAL},
    {IORING_OP_SEND, FIELD_LENGTH, 3U << 30, -EINVAL},
    {IORING_OP_SENDMSG, FIELD_PRIORITY, 1U << 9, -EINVAL},
    {IORING_OP_SENDMSG, FIELD_OFFSET, 3, -EINVAL},
    {IORING_OP_SENDMSG, FIELD_LENGTH, 3U << 30, -EINVAL},
    {IORING_OP_SENDMSG, FIELD_SOURCE, 3, -EINVAL},
    {IORING_OP_SENDMSG, FIELD_FLAGS, IOSQE_BUFFER_SELECT, -EOPNOTSUPP},
    {IORING_OP_SEND_ZC, FIELD_PRIORITY, 1U << 9, -EINVAL},
    {IORING_OP_SEND_ZC, FIELD_FLAGS, IOSQE_BUFFER_SELECT, -EOPNOTSUPP},
    {IORING_OP_SENDMSG_ZC, FIELD_PRIORITY, 1U << 9, -EINVAL},
    {IORING_OP_SENDMSG_ZC, FIELD_OFFSET, 1, -EINVAL},
    {IORING_OP_POLL_ADD, FIELD_PRIORITY, 1, -EINVAL},
    {IORING_OP_POLL_ADD, FIELD_OFFSET, 1, -EINVAL},
    {IORING_OP_POLL_ADD, FIELD_ADDRESS, 1, -EINVAL},
    {IORING_OP_POLL_ADD, FIELD_LENGTH, 1U << 12, -EINVAL},
    {IORING_OP_POLL_ADD, FIELD_LENGTH, IORING_POLL_ADD_LEVEL, -EINVAL},
    {IORING_OP_POLL_ADD, FIELD_BUFFER, 1, -EINVAL},
    {IORING_OP_POLL_REMOVE, FIELD_OFFSET, 64, -EINVAL},
    {IORING_OP_POLL_REMOVE, FIELD_LENGTH, 64, -EINVAL},
    {IORING_OP_POLL_REMOVE, FIELD_OPTIONS, 64, -EINVAL},
    {IORING_OP_POLL_REMOVE, FIELD_BUFFER, 1, -EINVAL},
    {IORING_OP_POLL_REMOVE, FIELD_SOURCE, 1, -EINVAL},
    {IORING_OP_ASYNC_CANCEL, FIELD_OFFSET, 1, -EINVAL},
    {IORING_OP_ASYNC_CANCEL, FIELD_SOURCE, 1, -EINVAL},
    {IORING_OP_ASYNC_CANCEL, FIELD_OPTIONS, 1U << 20, -EINVAL},
    {IORING_OP_ASYNC_CANCEL, FIELD_OPTIONS, IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ANY,
     -EINVAL},
    {IORING_OP_ACCEPT, FIELD_PRIORITY, 1U << 6, -EINVAL},
    {IORING_OP_ACCEPT, FIELD_LENGTH, 1, -EINVAL},
    {IORING_OP_ACCEPT, FIELD_BUFFER, 1, -EINVAL},
    {IORING_OP_ACCEPT, FIELD_FLAGS, IOSQE_BUFFER_SELECT, -EOPNOTSUPP},
    {IORING_OP_CONNECT, FIELD_PRIORITY, 1, -EINVAL},
    {IORING_OP_CONNECT, FIELD_LENGTH, 3, -EINVAL},
    {IORING_OP_CONNECT, FIELD_OPTIONS, 3, -EINVAL},
    {IORING_OP_CONNECT, FIELD_BUFFER, 3, -EINVAL},
    {IORING_OP_CONNECT, FIELD_SOURCE, 3, -EINVAL},
    {IORING_OP_SHUTDOWN, FIELD_PRIORITY, 5, -EINVAL},
    {IORING_OP_SHUTDOWN, FIELD_OFFSET, 5, -EINVAL},
    {IORING_OP_SHUTDOWN, FIELD_ADDRESS, 5, -EINVAL},
    {IORING_OP_SHUTDOWN, FIELD_OPTIONS, 5, -EINVAL},
    {IORING_OP_SHUTDOWN, FIELD_BUFFER, 5, -EINVAL},
    {IORING_OP_SHUTDOWN, FIELD_SOURCE, 5, -EINVAL},
    {IORING_OP_CLOSE, FIELD_PRIORITY, 5, -EINVAL},
    {IORING_OP_CLOSE, FIELD_OFFSET, 5, -EINVAL},
    {IORING_OP_CLOSE, FIELD_ADDRESS, 5, -EINVAL},
    {IORING_OP_CLOSE, FIELD_LENGTH, 5, -EINVAL},
    {IORING_OP_CLOSE, FIELD_OPTIONS, 5, -EINVAL},
    {IORING_OP_CLOSE, FIELD_BUFFER, 5, -EINVAL},
};

enum
{
    REFUSALS = sizeof(refusals) / sizeof(refusals[0]),
};

/* The kernel may have made a notification of a send without a copy before it looks at the entry. */
static bool mayNotify(uint8_t opcode)
{
    return opcode == IORING_OP_SEND_ZC || opcode == IORING_OP_SENDMSG_ZC;
}

static void expectRefusal(const struct Refusal* row)
{
    int most = mayNotify(row->opcode) ? 2 : 1;
    set(prepareCode(row->opcode), row->field, row->value);
    begin();
    bool over = runUntil(scene.ring, isOver, NULL);
    ck_assert_msg(over && seen.count <= most && seen.results[0] == row->result,
                  "opcode %d, field %d, value %x: %d completions, result %d", row->opcode,
                  row->field, row->value, seen.count, seen.results[0]);
}

/* Lengths that no int has, which the first kernels 6.18 wait for. */
static bool isRefusedLately(const struct Refusal* row)
{
    return row->field == FIELD_LENGTH && row->value == 3U << 30;
}

/* Nothing is done by any. The rows are those of Linux 6.18, and of the engine on epoll anywhere. */
CASE(entry, oddEntriesAreRefused)
{
    uint64_t features = GetFastRingFeatures(scene.ring);
    if (runsOnUring(scene.ring) && !(features & FASTRING_FEATURE_WRITE_NO_SIGNAL))
        skipTest("kernels before 6.18 refuse less");
    for (int index = 0; index < REFUSALS; index++)
        if (!runsOnUring(scene.ring) || !isRefusedLately(&refusals[index]))
            expectRefusal(&refusals[index]);
    expectNothing(pair[1]);
    sendText(pair[0], "alive");
    expectText(pair[1], "alive");
}

CASE(entry, flagsOfAllAreKnown)
{
    for (int index = 0; index < REFUSALS; index++) {
        uint8_t opcode = refusals[index].opcode;
        expectRefusal(&(struct Refusal){opcode, FIELD_FLAGS, 1U << 7, -EINVAL});
        expectRefusal(&(struct Refusal){opcode, FIELD_PERSONALITY, 7, -EINVAL});
    }
    expectNothing(pair[1]);
}

/* A receive of many into buffers, of which none is to be full. */
CASE(entry, receiveOfManyIsNotWhole)
{
    for (int round = 0; round < 2; round++) {
        struct io_uring_sqe* submission = prepareCode(round == 0 ? IORING_OP_RECV
                                                                 : IORING_OP_RECVMSG);
        submission->ioprio |= IORING_RECV_MULTISHOT;
        submission->msg_flags = MSG_WAITALL;
        submission->flags |= IOSQE_BUFFER_SELECT;
        submission->buf_group = GetFastRingBufferGroup(scene.provider);
        run(-EINVAL);
    }
}
