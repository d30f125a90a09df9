/*
 * The engine in user space, on the real system: operations as io_uring has them, entry by entry.
 */
#include "soft-engine.h"

#include "countdown.h"
#include "services.h"

#include <Ring/FastRing.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

AREA(soft, "soft", .open = setUp, .close = tearDown);

/* ---- the system ---- */

/* Its time is that of the ring's timeouts, which nobody sets. */
CASE(soft, hasTheClockThatNobodySets)
{
    struct FastSystem* system = NULL;
    ck_assert_int_eq(FastEpollOpen(&system), 0);
    int64_t before = nowNs();
    int64_t seen = system->functions->now(system);
    ck_assert_int_ge(seen, before);
    ck_assert_int_le(seen, nowNs());
    system->functions->end(system);
    system->functions->closeHandles(system);
    system->functions->destroy(system);
}

/* ---- operations ---- */

CASE(soft, refusesWhatItDoesNotKnow)
{
    PREPARE(1, nop);
    PREPARE(2, nop);
    last()->opcode = 200;
    PREPARE(3, openat, AT_FDCWD, "/dev/null", O_RDONLY, 0);
    enterOnce(0);
    expect(1, 0, 0);
    expect(2, -EOPNOTSUPP, 0);
    expect(3, -EOPNOTSUPP, 0);
}

/* What needs not wait is over when the enter is. */
CASE(soft, completesAtOnce)
{
    char text[8] = "";
    PREPARE(1, send, pair[0], "hello", 5, 0);
    PREPARE(2, recv, pair[1], text, sizeof(text), 0);
    enterOnce(0);
    ck_assert_ptr_nonnull(FastEnginePeek(engine));
    expect(1, 5, 0);
    expect(2, 5, 0);
    ck_assert_str_eq(text, "hello");
}

CASE(soft, waitsForInput)
{
    char text[8] = "";
    PREPARE(1, recv, pair[1], text, sizeof(text), 0);
    expectQuiet();
    sendText(pair[0], "late");
    expect(1, 4, 0);
}

/* All that was asked for, or the end. */
CASE(soft, receivesAll)
{
    char text[8] = "";
    PREPARE(1, recv, pair[1], text, 6, MSG_WAITALL);
    sendText(pair[0], "abc");
    expectQuiet();
    sendText(pair[0], "def");
    expect(1, 6, 0);
    ck_assert_str_eq(text, "abcdef");
    PREPARE(2, recv, pair[1], text, 6, MSG_WAITALL);
    sendText(pair[0], "gh");
    close(pair[0]);
    pair[0] = -1;
    expect(2, 2, 0);
}

/* A send of all goes on when there is room; canceled, it tells what it has sent. */
CASE(soft, sendsAllInPieces)
{
    static char data[1 << 20];
    static char seen[sizeof(data)];
    for (size_t index = 0; index < sizeof(data); index++)
        data[index] = (char)(index * 31 >> 5);
    struct iovec vector[2] = {{data, 1000}, {data + 1000, sizeof(data) - 1000}};
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = 2};
    PREPARE(1, sendmsg, pair[0], &message, MSG_WAITALL);
    enterOnce(0);
    memset(vector, 0, sizeof(vector)); /* is needed no more */
    memset(&message, 0, sizeof(message));
    size_t done = 0;
    while (done < sizeof(seen)) {
        ssize_t got = recv(pair[1], seen + done, sizeof(seen) - done, MSG_DONTWAIT);
        if (got > 0)
            done += (size_t)got;
        enterOnce(0);
    }
    expect(1, sizeof(data), 0);
    ck_assert_mem_eq(seen, data, sizeof(data));

    PREPARE(2, send, pair[0], data, sizeof(data), MSG_WAITALL);
    last()->flags |= IOSQE_IO_LINK;
    PREPARE(3, nop);
    expectQuiet();
    PREPARE(4, cancel64, 2, 0);
    bool ended[5] = {false};
    for (int count = 0; count < 3; count++) {
        struct Result result = take();
        ended[result.owner] = true;
        if (result.owner == 2)
            ck_assert(result.result > 0 && result.result < (int)sizeof(data));
        else
            ck_assert_int_eq(result.result, result.owner == 3 ? -ECANCELED : 0);
    }
    ck_assert(ended[2] && ended[3] && ended[4]);
}

/* §2.4 order: a failure cancels what is linked behind it, but not what is linked hard */
CASE(soft, breaksLinks)
{
    PREPARE(1, recv, -1, NULL, 0, 0);
    last()->flags |= IOSQE_IO_LINK;
    PREPARE(2, nop);
    last()->flags |= IOSQE_IO_LINK;
    PREPARE(3, nop);
    PREPARE(4, recv, -1, NULL, 0, 0);
    last()->flags |= IOSQE_IO_HARDLINK;
    PREPARE(5, nop);
    enterOnce(0);
    expect(1, -EBADF, 0);
    expect(2, -ECANCELED, 0);
    expect(3, -ECANCELED, 0);
    expect(4, -EBADF, 0);
    expect(5, 0, 0);
}

/* … and waits for what it is behind */
CASE(soft, keepsLinksInOrder)
{
    char text[8] = "";
    PREPARE(1, recv, pair[1], text, sizeof(text), 0);
    last()->flags |= IOSQE_IO_LINK;
    struct iovec vector = {"answer", 6};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    PREPARE(2, sendmsg, pair[1], &message, 0);
    expectQuiet();
    vector = (struct iovec){0};
    sendText(pair[0], "ask");
    expect(1, 3, 0);
    expect(2, 6, 0);
    expectText(pair[0], "answer");
}

CASE(soft, cancels)
{
    char text[8];
    PREPARE(1, recv, pair[1], text, sizeof(text), 0);
    PREPARE(2, cancel64, 1, 0);
    enterOnce(0);
    struct Result first = take();
    struct Result second = take();
    ck_assert_int_eq(first.owner == 1 ? first.result : second.result, -ECANCELED);
    ck_assert_int_eq(first.owner == 2 ? first.result : second.result, 0);
    PREPARE(3, cancel64, 1, 0);
    expect(3, -ENOENT, 0);
    PREPARE(4, poll_add, pair[1], POLLIN);
    PREPARE(5, poll_add, pair[1], POLLIN);
    PREPARE(6, cancel_fd, pair[1], IORING_ASYNC_CANCEL_ALL);
    int count = 0;
    for (int index = 0; index < 3; index++)
        count += take().result == -ECANCELED;
    ck_assert_int_eq(count, 2);
    sendText(pair[0], "x");
    expectQuiet();
}

/* Those that go on with a duplicate are found by the number that they were submitted with, and not
 * by the duplicate's, which may become somebody's. */
CASE(soft, cancelsByTheNumberSubmitted)
{
    char text[8];
    PREPARE(1, recv, pair[1], text, sizeof(text), 0);
    engine->functions->hold(engine, last());
    expectQuiet();
    int next = dup(pair[1]);
    for (int number = pair[1] + 1; number <= next; number++) {
        if (fcntl(number, F_GETFD) < 0)
            continue;
        PREPARE(2, cancel_fd, number, IORING_ASYNC_CANCEL_ALL);
        expect(2, 0, 0);
    }
    expectQuiet();
    PREPARE(3, poll_add, pair[1], POLLIN);
    PREPARE(4, cancel_fd, pair[1], IORING_ASYNC_CANCEL_ALL);
    int canceled = 0;
    for (int index = 0; index < 3; index++) {
        struct Result result = take();
        canceled += result.owner != 4 && result.result == -ECANCELED;
        ck_assert_int_eq(result.result, result.owner == 4 ? 2 : -ECANCELED);
    }
    ck_assert_int_eq(canceled, 2);
    close(next);
    PREPARE(5, cancel_fd, next, 0);
    expect(5, -EBADF, 0);
    sendText(pair[0], "x");
    expectQuiet();
}

/* ---- descriptors ---- */

/* The same descriptor in two operations, and each hears what it waits for. */
CASE(soft, servesTwoOnOneDescriptor)
{
    static char much[1 << 20];
    char text[8];
    while (send(pair[1], much, sizeof(much), MSG_DONTWAIT) > 0)
        continue;
    PREPARE(1, recv, pair[1], text, sizeof(text), 0);
    PREPARE(2, poll_add, pair[1], POLLOUT);
    PREPARE(3, poll_multishot, pair[1], POLLIN);
    expectQuiet();
    while (recv(pair[0], much, sizeof(much), MSG_DONTWAIT) > 0)
        continue;
    struct Result room = take();
    ck_assert_uint_eq(room.owner, 2);
    ck_assert(room.result & POLLOUT);
    expectQuiet();
    sendText(pair[0], "in");
    bool received = false;
    bool polled = false;
    for (int count = 0; count < 2; count++) {
        struct Result result = take();
        received |= result.owner == 1 && result.result == 2;
        polled |= result.owner == 3 && result.result & POLLIN && result.flags & IORING_CQE_F_MORE;
    }
    ck_assert(received && polled);
}

/* An operation that was marked goes on when its number is closed, and given to another file. */
CASE(soft, outlivesItsNumber)
{
    char text[8] = "";
    char other[8] = "";
    int number = fcntl(pair[1], F_DUPFD_CLOEXEC, 100);
    int others[2];
    PREPARE(1, recv, number, text, sizeof(text), 0);
    engine->functions->hold(engine, last());
    expectQuiet();
    pairStream(others);
    ck_assert_int_eq(dup2(others[1], number), number); /* closes the first */
    PREPARE(2, recv, number, other, sizeof(other), 0);
    expectQuiet();
    sendText(others[0], "other");
    expect(2, 5, 0);
    sendText(pair[0], "first");
    expect(1, 5, 0);
    ck_assert_str_eq(text, "first");
    ck_assert_str_eq(other, "other");
    close(number);
    close(others[0]);
    close(others[1]);
}

/* A number that was closed under a poll, against the rules, and given to another file: that is
 * heard, also while somebody else has the first. */
CASE(soft, findsAnotherFileUnderANumber)
{
    for (int round = 0; round < 2; round++) {
        char text[8] = "";
        int first[2];
        int second[2];
        pairStream(first);
        int number = first[1];
        int copy = round == 1 ? dup(number) : -1;
        PREPARE(1, poll_add, number, POLLIN);
        expectQuiet();
        pairStream(second);
        ck_assert_int_eq(dup2(second[1], number), number); /* closes the first */
        PREPARE(2, recv, number, text, sizeof(text), 0);
        expectQuiet();
        sendText(second[0], "new");
        struct Result result = take();
        while (result.owner != 2)
            result = take();
        ck_assert_int_eq(result.result, 3);
        PREPARE(3, cancel64, 1, 0);
        do
            result = take();
        while (result.owner != 3);
        while (FastEnginePeek(engine) != NULL)
            (void)take();
        close(first[0]);
        close(number);
        close(second[1]);
        close(second[0]);
        if (copy >= 0)
            close(copy);
    }
}

/* What epoll refuses is always ready. */
CASE(soft, pollsRegularFiles)
{
    char name[] = "/tmp/fastsocket-soft-XXXXXX";
    int handle = mkstemp(name);
    ck_assert_int_ge(handle, 0);
    unlink(name);
    PREPARE(1, poll_add, handle, POLLIN | POLLOUT);
    expect(1, POLLIN | POLLOUT, 0);
    PREPARE(2, poll_multishot, handle, POLLIN);
    expect(2, POLLIN, 0);
    PREPARE(3, poll_add, handle, POLLPRI);
    expect(3, -EINVAL, 0);
    PREPARE(4, poll_multishot, handle, POLLPRI);
    expect(4, -EINVAL, 0);
    PREPARE(5, cancel64, 4, 0);
    expect(5, -ENOENT, 0);
    PREPARE(6, write, handle, "text", 4, 0);
    expect(6, 4, 0);
    char text[8] = "";
    PREPARE(7, read, handle, text, sizeof(text), 0);
    expect(7, 4, 0);
    close(handle);
}

/* Pipes, whatever O_NONBLOCK says, and nobody's flags are changed. */
CASE(soft, readsAndWritesPipes)
{
    static char data[1 << 18];
    int ends[2];
    char text[8] = "";
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    PREPARE(1, read, ends[0], text, sizeof(text), (uint64_t)-1);
    expectQuiet();
    PREPARE(2, write, ends[1], "pipe", 4, (uint64_t)-1);
    struct Result first = take();
    struct Result second = take();
    ck_assert_int_eq(first.result + second.result, 8);
    ck_assert_str_eq(text, "pipe");
    PREPARE(3, write, ends[1], data, sizeof(data), (uint64_t)-1);
    struct Result part = take();
    ck_assert(part.owner == 3 && part.result > 0 && part.result < (int)sizeof(data));
    while (write(ends[1], "x", fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0 ? 1 : 0) == 1)
        continue;
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
    PREPARE(4, write, ends[1], "y", 1, (uint64_t)-1);
    expectQuiet();
    ck_assert(!(fcntl(ends[1], F_GETFL) & O_NONBLOCK));
    ck_assert_int_gt((int)read(ends[0], data, sizeof(data)), 0);
    expect(4, 1, 0);
    close(ends[0]);
    PREPARE(5, write, ends[1], "z", 1, (uint64_t)-1);
    expect(5, -EPIPE, 0); /* and no signal */
    close(ends[1]);
}

/* There is no table of files: such a close is not one of the descriptor 0. */
CASE(soft, refusesPlacesOfATable)
{
    PREPARE(1, close_direct, 0);
    expect(1, -ENXIO, 0);
    ck_assert_int_ge(fcntl(0, F_GETFD), 0);
    PREPARE(2, accept_direct, pair[0], NULL, NULL, 0, 0);
    expect(2, -ENXIO, 0);
}

/* It becomes a non-blocking one, and stays so; who connects does so for the call alone. */
CASE(soft, acceptsFromABlockingListener)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int listener = listenTcp(&address, &length);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    PREPARE(1, multishot_accept, listener, NULL, NULL, SOCK_CLOEXEC);
    expectQuiet();
    ck_assert(fcntl(listener, F_GETFL) & O_NONBLOCK);
    PREPARE(2, connect, client, (struct sockaddr*)&address, length);
    struct Result connected = take();
    struct Result accepted = take();
    if (accepted.owner == 2) {
        struct Result swap = connected;
        connected = accepted;
        accepted = swap;
    }
    ck_assert(connected.owner == 2 && connected.result == 0);
    ck_assert(accepted.owner == 1 && accepted.result >= 0);
    ck_assert(accepted.flags & IORING_CQE_F_MORE);
    ck_assert(fcntl(listener, F_GETFL) & O_NONBLOCK);
    ck_assert(!(fcntl(client, F_GETFL) & O_NONBLOCK));
    close(accepted.result);
    close(listener);
    PREPARE(3, connect, client, (struct sockaddr*)&address, length);
    expect(3, -EISCONN, 0);
    close(client);
}

/* ---- buffers ---- */

/* One buffer after the other, until there is none for what has come. */
CASE(soft, fillsBuffers)
{
    char data[LENGTH + 10] = "";
    prepareMany(1, pair[1], 0, 0, 0);
    expect(1, -ENOBUFS, 0); /* without looking */
    putBuffers(3);
    prepareMany(2, pair[1], 0, 0, 0);
    expectQuiet();
    ck_assert_int_eq((int)send(pair[0], data, sizeof(data), 0), sizeof(data));
    expect(2, LENGTH, bufferFlags(0, true));
    expect(2, 10, bufferFlags(1, true));
    expectQuiet();
    sendText(pair[0], "third");
    expect(2, 5, bufferFlags(2, true));
    expectQuiet();
    ck_assert_int_eq(engine->functions->countTakenBuffers(engine, GROUP), 3);
    sendText(pair[0], "kept");
    expect(2, -ENOBUFS, 0);
    putBuffers(1);
    prepareMany(3, pair[1], 0, 0, 0);
    expect(3, 4, bufferFlags(0, true));
    expectQuiet();
    ck_assert_int_eq(shutdown(pair[0], SHUT_WR), 0);
    expect(3, -ENOBUFS, 0); /* of the end, too, it is told with a buffer alone */
}

/* A bundle fills several; each receive and all together may be bounded. */
CASE(soft, fillsBundles)
{
    char data[3 * LENGTH] = "";
    putBuffers(BUFFERS);
    prepareMany(1, pair[1], FAST_URING_RECVSEND_BUNDLE, 0, 0);
    expectQuiet();
    ck_assert_int_eq((int)send(pair[0], data, sizeof(data) - 1, 0), sizeof(data) - 1);
    expect(1, sizeof(data) - 1, bufferFlags(0, true));
    PREPARE(2, cancel64, 1, 0);
    (void)take();
    (void)take();
    prepareMany(3, pair[1], FAST_URING_RECVSEND_BUNDLE, LENGTH + 1, LENGTH + 10);
    ck_assert_int_eq((int)send(pair[0], data, sizeof(data), 0), sizeof(data));
    expect(3, LENGTH + 1, bufferFlags(3, true));
    expect(3, 9, bufferFlags(5, false));
    ck_assert_int_eq(engine->functions->countTakenBuffers(engine, GROUP), 6);
}

/* Messages lie behind a header, with sender and control data, and say when they were longer. */
CASE(soft, receivesMessages)
{
    struct msghdr header = {.msg_namelen = 0, .msg_controllen = 0};
    char data[100] = "message";
    int datagrams[2];
    pairUnix(datagrams, SOCK_DGRAM);
    putBuffers(4);
    PREPARE(1, recvmsg_multishot, datagrams[1], &header, MSG_TRUNC);
    last()->flags |= IOSQE_BUFFER_SELECT;
    last()->buf_group = GROUP;
    expectQuiet();
    header.msg_namelen = 99; /* is read no more */
    ck_assert_int_eq((int)send(datagrams[0], data, 8, 0), 8);
    ck_assert_int_eq((int)send(datagrams[0], data, 100, 0), 100);
    const int front = sizeof(struct io_uring_recvmsg_out);
    expect(1, front + 8, bufferFlags(0, true));
    expect(1, LENGTH, bufferFlags(1, true));
    struct io_uring_recvmsg_out* seen = (struct io_uring_recvmsg_out*)memory[1];
    ck_assert_uint_eq(seen->payloadlen, 100);
    ck_assert(seen->flags & MSG_TRUNC);
    ck_assert_str_eq(memory[0] + front, "message");
    close(datagrams[0]);
    close(datagrams[1]);
}

/* Of those the first may meet the error of a datagram that was sent before: it has told it then. */
CASE(soft, tellsAnEarlierErrorToTheFirstOfThoseSentTogether)
{
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(nobody);
    struct iovec vector = {.iov_base = "x", .iov_len = 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    int closed = socket(AF_INET, SOCK_DGRAM, 0);
    int handle = socket(AF_INET, SOCK_DGRAM, 0);

    ck_assert_int_eq(bind(closed, (struct sockaddr*)&nobody, length), 0);
    ck_assert_int_eq(getsockname(closed, (struct sockaddr*)&nobody, &length), 0);
    close(closed);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&nobody, length), 0);
    ck_assert_int_eq(send(handle, "x", 1, 0), 1);
    PREPARE(1, sendmsg, handle, &message, 0);
    PREPARE(2, sendmsg, handle, &message, 0);
    expect(1, -ECONNREFUSED, 0);
    expect(2, 1, 0);
    close(handle);
}

/* Messages of several operations go by one call, in order; what has no room tells so itself. */
CASE(soft, sendsTogether)
{
    int datagrams[2];
    char text[3] = "m0";
    pairUnix(datagrams, SOCK_DGRAM);
    struct iovec vectors[40];
    struct msghdr messages[40];
    char texts[40][3];
    for (int index = 0; index < 40; index++) {
        memcpy(texts[index], text, sizeof(text));
        texts[index][1] = (char)('0' + index);
        vectors[index] = (struct iovec){texts[index], 2};
        messages[index] = (struct msghdr){.msg_iov = &vectors[index], .msg_iovlen = 1};
        PREPARE((uint64_t)index + 1, sendmsg, datagrams[0], &messages[index], MSG_DONTWAIT);
    }
    enterOnce(0);
    int sent = 0;
    for (int index = 0; index < 40; index++) {
        struct Result result = take();
        ck_assert_uint_eq(result.owner, (uint64_t)index + 1);
        ck_assert(result.result == 2 || (result.result == -EAGAIN && sent > 0));
        sent += result.result == 2;
    }
    for (int index = 0; index < sent; index++) {
        char seen[3] = "";
        ck_assert_int_eq((int)recv(datagrams[1], seen, 2, MSG_DONTWAIT), 2);
        ck_assert_int_eq(seen[1], '0' + index);
    }
    ck_assert_int_lt((int)recv(datagrams[1], text, 2, MSG_DONTWAIT), 0);
    close(datagrams[0]);
    close(datagrams[1]);
}

/* A send without a copy is copied, and says so. */
CASE(soft, tellsThatItCopies)
{
    PREPARE(1, send_zc, pair[0], "zero", 4, 0, FAST_URING_SEND_ZC_REPORT_USAGE);
    expect(1, 4, IORING_CQE_F_MORE);
    expect(1, (int)FAST_URING_NOTIF_USAGE_ZC_COPIED, IORING_CQE_F_NOTIF);
    expectText(pair[1], "zero");
}

/* ---- bounds ---- */

/* More completions than there is room for: nothing is lost, and the flag says that more come. */
CASE(soft, waitsForRoom)
{
    enum
    {
        MANY = 200,
    };
    closeEngine();
    engine = openEngine(2);
    unsigned room = engine->completion.mask + 1;
    ck_assert_uint_lt(room, MANY);
    int given = 0;
    while (given < MANY) {
        if (FastEngineRoom(engine) == 0)
            enterOnce(0);
        given++;
        PREPARE((uint64_t)given, nop);
    }
    enterOnce(0);
    ck_assert(FastEngineOverflown(engine));
    ck_assert(FastEngineHasMore(engine));
    for (int index = 1; index <= MANY; index++)
        expect((uint64_t)index, 0, 0);
    enterOnce(0);
    ck_assert(!FastEngineHasMore(engine));
}

/* What is always busy lets others have their turn. */
CASE(soft, looksWhileItIsBusy)
{
    char text[8];
    PREPARE(1, recv, pair[1], text, sizeof(text), 0);
    expectQuiet();
    sendText(pair[0], "quiet");
    for (int count = 0; count < 2; count++) {
        PREPARE(2, nop);
        enterOnce(-1);
    }
    bool heard = false;
    while (FastEnginePeek(engine) != NULL)
        heard |= take().owner == 1;
    ck_assert(heard);
}

CASE(soft, isWoken)
{
    struct io_uring_sqe* entry = reserve(1);
    engine->functions->prepareWake(engine, entry);
    expectQuiet();
    struct pollfd state = {.fd = engine->functions->getHandle(engine), .events = POLLIN};
    ck_assert_int_eq(poll(&state, 1, 0), 0);
    engine->functions->wake(engine);
    engine->functions->wake(engine);
    ck_assert_int_eq(poll(&state, 1, 0), 1);
    expect(1, sizeof(uint64_t), 0);
    enterOnce(0);
    ck_assert_int_eq(poll(&state, 1, 0), 0);
}

/* ---- memory ---- */

static struct Countdown allocations;
static bool counting; /* what is allocated is the engine's */

static bool fails(void)
{
    return counting && countdownFails(&allocations);
}

void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size);
void* __real_malloc(size_t size);
void* __wrap_malloc(size_t size);
void* __real_realloc(void* old, size_t size);
void* __wrap_realloc(void* old, size_t size);

void* __wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void* __wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void* __wrap_realloc(void* old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

/* One of each kind that needs memory to wait. */
static int countRound(void)
{
    char text[8];
    struct iovec vector = {text, sizeof(text)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    static char much[1 << 20];
    int sent = 0;
    while (send(pair[0], much, sizeof(much), MSG_DONTWAIT) > 0)
        continue;
    PREPARE(1, recv, pair[0], text, sizeof(text), 0);
    PREPARE(2, sendmsg, pair[0], &message, 0);
    PREPARE(3, poll_add, pair[0], POLLIN);
    counting = true;
    for (int tries = 0; FastEngineReserved(engine) > 0 && tries < 3; tries++)
        (void)engine->functions->enter(engine, 0, NULL);
    counting = false;
    while (FastEnginePeek(engine) != NULL) {
        ck_assert_int_eq(take().result, -ENOMEM);
        sent++;
    }
    return sent;
}

/* A datagram to an address whose socket is full of others'. Without memory to look at it again it
 * ends with ENOMEM; and nothing is left of the looks when it is over. */
CASE_ROUNDS(soft, looksWithoutMemory, 8)
{
    int handles[3]; /* of the full one, who has filled it, and ours */
    char text[8] = "late";
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(name);
    for (int index = 0; index < 3; index++)
        handles[index] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(handles[0], (struct sockaddr*)&name, sizeof(sa_family_t)), 0);
    ck_assert_int_eq(getsockname(handles[0], (struct sockaddr*)&name, &length), 0);
    while (sendto(handles[1], "x", 1, MSG_DONTWAIT, (struct sockaddr*)&name, length) == 1)
        continue;
    struct iovec vector = {text, 4};
    struct msghdr message = {
        .msg_name = &name, .msg_namelen = length, .msg_iov = &vector, .msg_iovlen = 1};
    PREPARE(1, sendmsg, handles[2], &message, 0);
    failCall(&allocations, round + 1);
    counting = true;
    for (int tries = 0; FastEngineReserved(engine) > 0 && tries < 3; tries++)
        (void)engine->functions->enter(engine, 0, NULL);
    counting = false;
    failNoCall(&allocations);
    bool waits = FastEnginePeek(engine) == NULL;
    ck_assert_int_eq(engine->due != 0, waits);
    if (waits)
        while (recv(handles[0], text, sizeof(text), MSG_DONTWAIT) == 1)
            continue;
    expect(1, waits ? 4 : -ENOMEM, 0);
    ck_assert_int_eq(engine->due, 0);
    for (int index = 0; index < 3; index++)
        close(handles[index]);
}

/* Without memory it ends with ENOMEM, or stays in the array: nothing is lost or crashes. */
/* Whoever waits without a limit would wait for what can't be submitted. */
CASE(soft, doesNotWaitForWhatIsNotSubmitted)
{
    struct FastEngine* first = engine;
    engine = openEngine(ENTRIES);
    PREPARE(1, poll_add, pair[0], POLLIN);
    failCall(&allocations, 1);
    counting = true;
    ck_assert_int_eq(engine->functions->enter(engine, -1, NULL), -ENOMEM);
    counting = false;
    failNoCall(&allocations);
    PREPARE(2, cancel64, 1, 0);
    int sum = take().result;
    ck_assert_int_eq(sum + take().result, -ECANCELED);
    closeEngine();
    engine = first;
}

CASE_ROUNDS(soft, livesWithoutMemory, 12)
{
    failCall(&allocations, round + 1);
    struct FastSystem* system = NULL;
    struct FastEngine* other = NULL;
    counting = true;
    int result = FastEpollOpen(&system);
    if (result == 0)
        result = FastSoftOpen(&other, system, ENTRIES, 0);
    counting = false;
    ck_assert(result == 0 || result == -ENOMEM);
    if (result == 0) {
        struct FastEngine* first = engine;
        engine = other;
        int ended = countRound();
        ck_assert_int_le(ended, 1);
        failNoCall(&allocations);
        for (int owner = 1; owner <= 3; owner++)
            PREPARE((uint64_t)owner + 10, cancel64, (uint64_t)owner, 0);
        int canceled = 0;
        for (int index = 0; index < 3 + 3 - ended; index++)
            canceled += take().result == -ECANCELED;
        ck_assert_int_eq(canceled + ended, 3);
        closeEngine();
        engine = first;
    }
    failNoCall(&allocations);
}
