/* Transmitting: behaviour.md 2.4, row by row. Descriptors, buffers, datagrams and control data have
 * files of their own. */
#include "fixture.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>

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

static int transmit(const void* data, size_t size, int flags)
{
    return TransmitFastSocketData(recorder.socket, NULL, 0, data, size, flags);
}

static int transmitVectors(struct iovec* vectors, size_t count, int flags)
{
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};

    return TransmitFastSocketMessage(recorder.socket, &message, flags);
}

/* §2.4 -EINVAL, §2.4 flags (send): pointers, addresses, flags; nothing is queued */
START_TEST(refusesBadArguments)
{
    const int refused[] = {MSG_PEEK, MSG_TRUNC, MSG_ERRQUEUE, MSG_FASTOPEN,
                           MSG_CMSG_CLOEXEC, MSG_CTRUNC, 1 << 24};
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    struct iovec vector = {NULL, 5};
    struct msghdr message = {.msg_iov = NULL, .msg_iovlen = 1};

    openKind(KIND_UNIX_STREAM);
    ck_assert_int_eq(transmit(NULL, 1, 0), -EINVAL);
    for (size_t index = 0; index < sizeof(refused) / sizeof(refused[0]); index++) {
        ck_assert_int_eq(transmit("x", 1, refused[index]), -EINVAL);
        vector.iov_base = "x";
        vector.iov_len = 1;
        ck_assert_int_eq(transmitVectors(&vector, 1, refused[index]), -EINVAL);
    }
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, (struct sockaddr*)&address,
                                            sizeof(address) + 1, "x", 1, 0),
                     -EINVAL);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, NULL, 16, "x", 1, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, NULL, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EINVAL);
    vector.iov_base = NULL;
    vector.iov_len = 5;
    ck_assert_int_eq(transmitVectors(&vector, 1, 0), -EINVAL);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    runIdle(fixture.ring);
    expectNothing(pair[1]);
    transmitText(recorder.socket, "fine");
    waitDrained(&recorder);
    expectText(pair[1], "fine");
    release();
}
END_TEST

/* §2.4 -EMSGSIZE: more than 1 GiB, before anything is read */
START_TEST(refusesHugeMessages)
{
    struct iovec vectors[3] = {{"a", (size_t)1 << 30}, {"b", 1}, {"c", SIZE_MAX}};

    openKind(KIND_TCP);
    ck_assert_int_eq(transmit("x", ((size_t)1 << 30) + 1, 0), -EMSGSIZE);
    ck_assert_int_eq(transmit("x", SIZE_MAX, 0), -EMSGSIZE);
    ck_assert_int_eq(transmitVectors(vectors, 2, 0), -EMSGSIZE);
    ck_assert_int_eq(transmitVectors(vectors, 3, 0), -EMSGSIZE);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    release();
}
END_TEST

/* §2.4 address: on a connected stream -EISCONN; NULL and 0 are none */
START_TEST(refusesAddressOnStream)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct iovec vector = {"x", 1};
    struct msghdr message = {
        .msg_name = &address, .msg_namelen = sizeof(address), .msg_iov = &vector, .msg_iovlen = 1};

    openKind(KIND_TCP);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, (struct sockaddr*)&address,
                                            sizeof(address), "x", 1, 0),
                     -EISCONN);
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EISCONN);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    message.msg_namelen = 0;
    message.msg_name = NULL;
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), 0);
    waitDrained(&recorder);
    expectText(pair[1], "x");
    release();
}
END_TEST

/* §2.4 return 0: accepted and copied; nothing enters the kernel before the turn */
START_TEST(copiesData)
{
    char data[6] = "first";
    struct iovec vectors[2] = {{data, 3}, {data + 3, 2}};

    openKind(KIND_UNIX_STREAM);
    runIdle(fixture.ring);
    ck_assert_int_eq(transmit(data, 5, 0), 0);
    ck_assert_int_eq(transmitVectors(vectors, 2, 0), 0);
    memset(data, '?', sizeof(data));
    memset(vectors, 0, sizeof(vectors));
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 10);
    ck_assert_uint_eq(GetFastRingPending(fixture.ring), 1);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), 0);
    expectNothing(pair[1]);
    waitDrained(&recorder);
    ck_assert_uint_eq(GetFastRingPending(fixture.ring), 0);
    expectText(pair[1], "firstfirst");
    ck_assert_uint_eq(readSocket(recorder.socket).sentBytes, 10);
    ck_assert_uint_ge(readSocket(recorder.socket).sentOperations, 1);
    release();
}
END_TEST

/* a burst leaves in few operations, not one for each call */
START_TEST(gathersBurst)
{
    openKind(KIND_TCP);
    runIdle(fixture.ring);
    for (uint64_t index = 0; index < 100; index++)
        transmitPattern(recorder.socket, 10, index * 10);
    waitDrained(&recorder);
    ck_assert_uint_le(readSocket(recorder.socket).sentOperations, 4);
    release();
}
END_TEST

/* messages of many vectors, empty ones among them */
START_TEST(takesManyVectors)
{
    enum
    {
        VECTORS = 3000,
    };
    static struct iovec vectors[VECTORS];
    static uint8_t data[VECTORS];
    static uint8_t back[VECTORS];
    size_t total = 0;

    openKind(KIND_UNIX_STREAM);
    fillPattern(data, sizeof(data), 0);
    for (int index = 0; index < VECTORS; index++) {
        vectors[index].iov_base = (index % 3 == 0) ? NULL : data + total;
        vectors[index].iov_len = (index % 3 == 0) ? 0 : 1;
        total += vectors[index].iov_len;
    }
    ck_assert_int_eq(transmitVectors(vectors, VECTORS, 0), 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), total);
    waitDrained(&recorder);
    receiveAll(pair[1], back, total);
    ck_assert(checkPattern(back, total, 0));
    release();
}
END_TEST

/* §2.4 empty: sends nothing on a stream, in the form of a message too */
START_TEST(sendsNothingForEmpty)
{
    openKind(KIND_TCP);
    waitCount(fixture.ring, &recorder.out, 1);
    ck_assert_int_eq(transmitVectors(NULL, 0, 0), 0);
    waitCount(fixture.ring, &recorder.out, 2);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 2);
    expectNothing(pair[1]);
    release();
}
END_TEST

/* §2.4 order, §2.4 short count: strictly that of the calls, whatever the sizes, with small
 * socket buffers and short counts */
START_TEST(keepsOrder)
{
    static uint8_t data[4096];
    uint64_t sent = 0;
    uint64_t checked = 0;
    unsigned seed = 1;

    openKind(KIND_TCP);
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){2048}, sizeof(int)), 0);
    for (int round = 0; round < 400; round++) {
        size_t size = (size_t)rand_r(&seed) % 20000;
        transmitPattern(recorder.socket, size, sent);
        sent += size;
        if (round % 7 == 0)
            runTurns(fixture.ring, 1);
    }
    while (checked < sent) {
        ssize_t size = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (size < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)size, checked));
        checked += (uint64_t)size;
    }
    waitDrained(&recorder);
    ck_assert_uint_eq(readSocket(recorder.socket).sentBytes, sent);
    expectNothing(pair[1]);
    release();
}
END_TEST

/* §2.4 flags (send): those that pass or have no effect */
START_TEST(takesFlags)
{
    const int accepted[] = {MSG_CONFIRM, MSG_DONTROUTE, MSG_ZEROCOPY, MSG_NOSIGNAL,
                            MSG_WAITALL, MSG_DONTWAIT, MSG_EOR};

    openKind(KIND_TCP);
    for (size_t index = 0; index < sizeof(accepted) / sizeof(accepted[0]); index++) {
        struct iovec vector = {"two", 3};
        ck_assert_int_eq(transmit("one", 3, accepted[index]), 0);
        ck_assert_int_eq(transmitVectors(&vector, 1, accepted[index]), 0);
        waitDrained(&recorder);
        expectText(pair[1], "onetwo");
    }
    ck_assert_int_eq(recorder.err, 0);
    release();
}
END_TEST

/* §2.4 flags (send): MSG_MORE holds back until more comes, MSG_EOR with a seqpacket */
START_TEST(passesMore)
{
    openKind(KIND_TCP);
    ck_assert_int_eq(transmit("he", 2, MSG_MORE), 0);
    waitDrained(&recorder);
    ck_assert_int_eq(transmit("llo", 3, 0), 0);
    waitDrained(&recorder);
    expectText(pair[1], "hello");
    release();
    openKind(KIND_UDP); /* which holds back for ever */
    ck_assert_int_eq(transmit("he", 2, MSG_MORE), 0);
    waitDrained(&recorder);
    runIdle(fixture.ring);
    expectNothing(pair[1]);
    ck_assert_int_eq(transmit("llo", 3, 0), 0);
    waitDrained(&recorder);
    expectText(pair[1], "hello");
    expectNothing(pair[1]);
    release();
    openKind(KIND_UNIX_SEQPACKET);
    ck_assert_int_eq(transmit("record", 6, MSG_EOR), 0);
    waitDrained(&recorder);
    expectText(pair[1], "record");
    release();
}
END_TEST

/* §2.4 flags (send): MSG_OOB is an operation of its own, in its place */
START_TEST(passesUrgentData)
{
    openKind(KIND_TCP);
    ck_assert_int_eq(setsockopt(pair[1], SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int)), 0);
    ck_assert_int_eq(transmit("abc", 3, 0), 0);
    ck_assert_int_eq(transmit("!", 1, MSG_OOB), 0);
    ck_assert_int_eq(transmit("def", 3, 0), 0);
    waitDrained(&recorder);
    expectText(pair[1], "abc");
    ck_assert_int_eq(sockatmark(pair[1]), 1);
    expectText(pair[1], "!def");
    release();
    openKind(KIND_UDP);
    ck_assert_int_eq(transmit("!", 1, MSG_OOB), -EINVAL);
    release();
}
END_TEST

/* §2.4 -EPIPE: after our own shutdown, with everything before it sent */
START_TEST(refusesAfterShutdown)
{
    struct iovec vector = {"x", 1};
    struct FastBuffer* buffer = NULL;

    for (int kind = 0; kind < 2; kind++) {
        openKind(kind ? KIND_UNIX_SEQPACKET : KIND_TCP);
        transmitText(recorder.socket, "last");
        ck_assert_int_eq(ShutdownFastSocket(recorder.socket), 0);
        ck_assert_int_eq(ShutdownFastSocket(recorder.socket), 0);
        ck_assert_int_eq(transmit("x", 1, 0), -EPIPE);
        ck_assert_int_eq(transmitVectors(&vector, 1, 0), -EPIPE);
        buffer = AllocateFastBuffer(fixture.outbound, 10, 0);
        ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, NULL, 0, buffer, 0, 1, 0),
                         -EPIPE);
        waitDrained(&recorder);
        runIdle(fixture.ring);
        expectText(pair[1], "last");
        expectEnd(pair[1]);
        ck_assert_int_eq(ShutdownFastSocket(recorder.socket), 0);
        sendText(pair[1], "answer");
        receiveText(&recorder, "answer");
        close(pair[1]);
        pair[1] = -1;
        waitHangup(&recorder);
        ck_assert_int_eq(recorder.lastHangup, 0);
        ck_assert_int_eq(recorder.err, 0);
        release();
    }
}
END_TEST

START_TEST(refusesShutdownOfDatagrams)
{
    openKind(KIND_UDP);
    ck_assert_int_eq(ShutdownFastSocket(recorder.socket), -EOPNOTSUPP);
    transmitText(recorder.socket, "fine");
    waitDrained(&recorder);
    expectText(pair[1], "fine");
    release();
}
END_TEST

/* shutdown of much queued output */
START_TEST(shutsDownAfterQueue)
{
    static uint8_t data[65536];
    uint64_t checked = 0;
    ssize_t size = 0;

    openKind(KIND_TCP);
    transmitPattern(recorder.socket, 4000000, 0);
    ck_assert_int_eq(ShutdownFastSocket(recorder.socket), 0);
    while ((size = recv(pair[1], data, sizeof(data), MSG_DONTWAIT)) != 0) {
        if (size < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)size, checked));
        checked += (uint64_t)size;
    }
    ck_assert_uint_eq(checked, 4000000);
    release();
}
END_TEST

/* Bytes of address space in use. */
static size_t addressSpace(void)
{
    FILE* file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lu", &pages), 1);
    (void)fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* §2.4 -ENOMEM: no memory for all of it, and nothing of it is queued or kept */
START_TEST(refusesWithoutMemory)
{
    const size_t size = 300 << 20;
    uint8_t* data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct iovec vector = {data, size};
    struct rlimit before;
    struct rlimit tight;
    uint64_t held = 0;
    int results[2];

    ck_assert_ptr_ne(data, MAP_FAILED);
    openKind(KIND_TCP);
    transmitText(recorder.socket, "before ");
    held = readRing(fixture.ring).buffers;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = addressSpace() + (64 << 20);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &tight), 0);
    results[0] = transmit(data, size, 0);
    results[1] = transmitVectors(&vector, 1, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_int_eq(results[0], -ENOMEM);
    ck_assert_int_eq(results[1], -ENOMEM);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 7);
    ck_assert_uint_eq(readRing(fixture.ring).buffers, held);
    transmitText(recorder.socket, "behind");
    waitDrained(&recorder);
    expectText(pair[1], "before behind");
    expectNothing(pair[1]);
    ck_assert_int_eq(recorder.err + recorder.hup, 0);
    munmap(data, size);
    release();
}
END_TEST

/* §2.4 -EAGAIN: at the outbound limit, and POLLOUT follows */
START_TEST(refusesAtLimit)
{
    static char data[1000];
    struct FastBuffer* buffer = NULL;
    int accepted = 0;
    int result = 0;

    openKind(KIND_UNIX_STREAM);
    setOption(recorder.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 5000);
    waitCount(fixture.ring, &recorder.out, 1);
    for (accepted = 0; (result = transmit(data, sizeof(data), 0)) == 0; accepted++)
        ck_assert_int_lt(accepted, 10);
    ck_assert_int_eq(result, -EAGAIN);
    ck_assert_int_eq(accepted, 5);
    buffer = AllocateFastBuffer(fixture.outbound, 10, 0);
    ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, NULL, 0, buffer, 0, 10, 0), -EAGAIN);
    waitCount(fixture.ring, &recorder.out, 2);
    ck_assert_int_eq(transmit(data, sizeof(data), 0), 0);
    waitDrained(&recorder);
    setOption(recorder.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 0);
    for (int index = 0; index < 20; index++)
        ck_assert_int_eq(transmit(data, sizeof(data), 0), 0);
    waitDrained(&recorder);
    ck_assert_uint_eq(readSocket(recorder.socket).sentBytes, 26000);
    release();
}
END_TEST

static void echo(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    char data[4096];
    ssize_t size = 0;

    (void)parameter;
    (void)self;
    if (event != POLLIN)
        return;
    while ((size = ReceiveFastSocketData(socket, data, sizeof(data), 0)) > 0)
        ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, data, (size_t)size, 0), 0);
}

/* transmits inside handlers leave with the same turn's flush, or the next */
START_TEST(sendsFromHandler)
{
    recorder.then = echo;
    openKind(KIND_TCP);
    for (int round = 0; round < 100; round++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "round %d", round);
        sendText(pair[1], expected);
        waitCount(fixture.ring, &recorder.in, round + 1);
        waitDrained(&recorder);
        expectText(pair[1], expected);
    }
    release();
}
END_TEST

/* AUTO_CORK: nothing is left corked at the end of a turn; the caller's own MSG_MORE is passed on */
START_TEST(leavesNothingCorked)
{
    static uint8_t data[8192];

    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_AUTO_CORK, &recorder);
    for (uint64_t round = 0; round < 50; round++) {
        for (uint64_t index = 0; index < 3000; index++)
            transmitPattern(recorder.socket, 2, round * 6000 + index * 2);
        waitDrained(&recorder);
        receiveAll(pair[1], data, 6000);
        ck_assert(checkPattern(data, 6000, round * 6000));
    }
    release();
}
END_TEST

/* §2.4 ZERO_COPY choice, §2.4 flags (send): asked for by the call alone, with the mode off */
START_TEST(takesZeroCopyForCall)
{
    static uint8_t data[100000];

    openKind(KIND_TCP);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(transmit(data, sizeof(data), MSG_ZEROCOPY), 0);
    memset(data, 0, sizeof(data));
    for (size_t position = 0; position < sizeof(data);) {
        ssize_t size = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (size < 0) {
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)size, position));
        position += (size_t)size;
    }
    if (GetFastRingFeatures(fixture.ring) & FASTRING_FEATURE_SEND_ZERO_COPY)
        ck_assert_uint_ge(readSocket(recorder.socket).sentZeroCopy, 1);
    release();
}
END_TEST

/* §2.4 ZERO_COPY choice: below the threshold no zero copy, from it on yes */
START_TEST(obeysThreshold)
{
    uint64_t needed = FASTRING_FEATURE_SEND_ZERO_COPY | FASTRING_FEATURE_SENDMSG_ZERO_COPY;

    if ((GetFastRingFeatures(fixture.ring) & needed) != needed)
        skipTest("the kernel has no zero copy");
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &recorder);
    setOption(recorder.socket, FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD, 1000);
    transmitPattern(recorder.socket, 999, 0);
    waitDrained(&recorder);
    ck_assert_uint_eq(readSocket(recorder.socket).sentZeroCopy, 0);
    transmitPattern(recorder.socket, 1000, 999);
    waitDrained(&recorder);
    ck_assert_uint_eq(readSocket(recorder.socket).sentZeroCopy, 1);
    ck_assert_uint_eq(readSocket(recorder.socket).sentBytes, 1999);
    release();
}
END_TEST

static bool hasCopied(void* closure)
{
    return readSocket(((struct Recorder*)closure)->socket).copiedZeroCopy >= 1;
}

/* §2.4 ZC adaptivity: loopback always copies, and is given up after some tries */
START_TEST(givesUpZeroCopyThatCopies)
{
    static uint8_t data[32768];
    uint64_t needed = FASTRING_FEATURE_SEND_ZERO_COPY | FASTRING_FEATURE_ZERO_COPY_REPORT;
    uint64_t before = 0;

    if ((GetFastRingFeatures(fixture.ring) & needed) != needed)
        skipTest("the kernel does not tell when zero copy copied");
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &recorder);
    for (int round = 0; round < 40; round++) {
        transmitPattern(recorder.socket, sizeof(data), 0);
        waitDrained(&recorder);
        receiveAll(pair[1], data, sizeof(data));
        ck_assert(checkPattern(data, sizeof(data), 0));
        runIdle(fixture.ring);
        if (round == 20)
            before = readSocket(recorder.socket).sentZeroCopy;
    }
    waitFor(fixture.ring, hasCopied, &recorder);
    ck_assert_uint_gt(before, 0);
    ck_assert_uint_eq(readSocket(recorder.socket).sentZeroCopy, before);
    release();
}
END_TEST

/* §2.4 ZC results: without locked memory the same goes out by copying, all of it */
START_TEST(copiesWithoutLockedMemory)
{
    static uint8_t data[65536];
    struct rlimit limit = {1 << 20, 1 << 20};
    uint64_t checked = 0;

    fixtureClose(&fixture);
    /* The limit does not hold for root. The ring, too, is charged to whom it belongs. */
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0); /* else /proc/self is root's */
    fixtureOpen(&fixture, 0, 16, 4096);
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &recorder);
    for (uint64_t part = 0; part < 8; part++)
        transmitPattern(recorder.socket, 2 << 20, part * (2 << 20));
    while (checked < (16 << 20)) {
        ssize_t size = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (size < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)size, checked));
        checked += (uint64_t)size;
    }
    waitDrained(&recorder);
    ck_assert_int_eq(recorder.err, 0);
    release();
}
END_TEST

/* §2.4 -EPIPE, §2.1 POLLERR fatal (stream): the first errno of a dead connection, whatever the
 * size of what was queued */
START_TEST(failsAfterReset)
{
    const size_t sizes[] = {1, 100, 10000, 1000000};

    for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
        openKind(KIND_TCP);
        runIdle(fixture.ring);
        transmitPattern(recorder.socket, sizes[index], 0);
        closeReset(pair[1]);
        pair[1] = -1;
        waitHangup(&recorder);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.lastError, ECONNRESET);
        ck_assert_int_eq(transmit("x", 1, 0), -EPIPE);
        release();
    }
}
END_TEST

/* §2.4 flags (send): a closed AF_UNIX peer: EPIPE told by events, no signal */
START_TEST(raisesNoSignal)
{
    openKind(KIND_UNIX_STREAM);
    runIdle(fixture.ring);
    ck_assert_int_eq(shutdown(pair[1], SHUT_RD), 0);
    transmitText(recorder.socket, "nobody reads");
    waitCount(fixture.ring, &recorder.err, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.lastError, EPIPE);
    ck_assert_int_eq(recorder.lastHangup, EPIPE);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 12);
    release();
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-transmit");
    TCase* area = tcase_create("transmit");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, refusesBadArguments);
    tcase_add_test(area, refusesHugeMessages);
    tcase_add_test(area, refusesWithoutMemory);
    tcase_add_test(area, refusesAddressOnStream);
    tcase_add_test(area, copiesData);
    tcase_add_test(area, gathersBurst);
    tcase_add_test(area, takesManyVectors);
    tcase_add_test(area, sendsNothingForEmpty);
    tcase_add_test(area, keepsOrder);
    tcase_add_test(area, takesFlags);
    tcase_add_test(area, passesMore);
    tcase_add_test(area, passesUrgentData);
    tcase_add_test(area, refusesAfterShutdown);
    tcase_add_test(area, refusesShutdownOfDatagrams);
    tcase_add_test(area, shutsDownAfterQueue);
    tcase_add_test(area, refusesAtLimit);
    tcase_add_test(area, sendsFromHandler);
    tcase_add_test(area, leavesNothingCorked);
    tcase_add_test(area, takesZeroCopyForCall);
    tcase_add_test(area, obeysThreshold);
    tcase_add_test(area, givesUpZeroCopyThatCopies);
    tcase_add_test(area, copiesWithoutLockedMemory);
    tcase_add_test(area, failsAfterReset);
    tcase_add_test(area, raisesNoSignal);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
