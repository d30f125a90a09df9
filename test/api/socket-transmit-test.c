/* Transmitting. Descriptors, buffers, datagrams and control data have
 * files of their own. */
#include "fixture.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>

SCENE_AREA(transmit, "transmit");

static int transmit(const void* data, size_t size, int flags)
{
    return TransmitFastSocketData(scene.ours.socket, NULL, 0, data, size, flags);
}

static int transmitVectors(struct iovec* vectors, size_t count, int flags)
{
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};

    return TransmitFastSocketMessage(scene.ours.socket, &message, flags);
}

/* §2.4 -EINVAL, §2.4 flags (send): pointers, addresses, flags; nothing is queued */
CASE(transmit, refusesBadArguments)
{
    const int refused[] = {MSG_PEEK, MSG_TRUNC, MSG_ERRQUEUE, MSG_FASTOPEN,
                           MSG_CMSG_CLOEXEC, MSG_CTRUNC, 1 << 24};
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    struct iovec vector = {NULL, 5};
    struct msghdr message = {.msg_iov = NULL, .msg_iovlen = 1};

    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(transmit(NULL, 1, 0), -EINVAL);
    for (size_t index = 0; index < sizeof(refused) / sizeof(refused[0]); index++) {
        ck_assert_int_eq(transmit("x", 1, refused[index]), -EINVAL);
        vector.iov_base = "x";
        vector.iov_len = 1;
        ck_assert_int_eq(transmitVectors(&vector, 1, refused[index]), -EINVAL);
    }
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&address,
                                            sizeof(address) + 1, "x", 1, 0),
                     -EINVAL);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 16, "x", 1, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, NULL, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), -EINVAL);
    vector.iov_base = NULL;
    vector.iov_len = 5;
    ck_assert_int_eq(transmitVectors(&vector, 1, 0), -EINVAL);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
    runIdle(scene.ring);
    expectNothing(scene.peer);
    transmitText(scene.ours.socket, "fine");
    waitDrained(&scene.ours);
    expectText(scene.peer, "fine");
}

/* §2.4 -EMSGSIZE: more than 1 GiB, before anything is read */
CASE(transmit, refusesHugeMessages)
{
    struct iovec vectors[3] = {{"a", (size_t)1 << 30}, {"b", 1}, {"c", SIZE_MAX}};

    openPair(KIND_TCP);
    ck_assert_int_eq(transmit("x", ((size_t)1 << 30) + 1, 0), -EMSGSIZE);
    ck_assert_int_eq(transmit("x", SIZE_MAX, 0), -EMSGSIZE);
    ck_assert_int_eq(transmitVectors(vectors, 2, 0), -EMSGSIZE);
    ck_assert_int_eq(transmitVectors(vectors, 3, 0), -EMSGSIZE);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
}

/* §2.4 address: on a connected stream -EISCONN; NULL and 0 are none */
CASE(transmit, refusesAddressOnStream)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct iovec vector = {"x", 1};
    struct msghdr message = {
        .msg_name = &address, .msg_namelen = sizeof(address), .msg_iov = &vector, .msg_iovlen = 1};

    openPair(KIND_TCP);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&address,
                                            sizeof(address), "x", 1, 0),
                     -EISCONN);
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), -EISCONN);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
    message.msg_namelen = 0;
    message.msg_name = NULL;
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), 0);
    waitDrained(&scene.ours);
    expectText(scene.peer, "x");
}

/* §2.4 return 0: accepted and copied; nothing enters the kernel before the turn */
CASE(transmit, copiesData)
{
    char data[6] = "first";
    struct iovec vectors[2] = {{data, 3}, {data + 3, 2}};

    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    ck_assert_int_eq(transmit(data, 5, 0), 0);
    ck_assert_int_eq(transmitVectors(vectors, 2, 0), 0);
    memset(data, '?', sizeof(data));
    memset(vectors, 0, sizeof(vectors));
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 10);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), 0);
    expectNothing(scene.peer);
    waitDrained(&scene.ours);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 0);
    expectText(scene.peer, "firstfirst");
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, 10);
    ck_assert_uint_ge(readSocket(scene.ours.socket).sentOperations, 1);
}

/* a burst leaves in few operations, not one for each call */
CASE(transmit, gathersBurst)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    for (uint64_t index = 0; index < 100; index++)
        transmitPattern(scene.ours.socket, 10, index * 10);
    waitDrained(&scene.ours);
    ck_assert_uint_le(readSocket(scene.ours.socket).sentOperations, 4);
}

/* messages of many vectors, empty ones among them */
CASE(transmit, takesManyVectors)
{
    enum
    {
        VECTORS = 3000,
    };
    static struct iovec vectors[VECTORS];
    static uint8_t data[VECTORS];
    static uint8_t back[VECTORS];
    size_t total = 0;

    openPair(KIND_UNIX_STREAM);
    fillPattern(data, sizeof(data), 0);
    for (int index = 0; index < VECTORS; index++) {
        vectors[index].iov_base = (index % 3 == 0) ? NULL : data + total;
        vectors[index].iov_len = (index % 3 == 0) ? 0 : 1;
        total += vectors[index].iov_len;
    }
    ck_assert_int_eq(transmitVectors(vectors, VECTORS, 0), 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), total);
    waitDrained(&scene.ours);
    receiveAll(scene.peer, back, total);
    ck_assert(checkPattern(back, total, 0));
}

/* §2.4 empty: sends nothing on a stream, in the form of a message too */
CASE(transmit, sendsNothingForEmpty)
{
    openPair(KIND_TCP);
    waitCount(scene.ring, &scene.ours.out, 1);
    ck_assert_int_eq(transmitVectors(NULL, 0, 0), 0);
    waitCount(scene.ring, &scene.ours.out, 2);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 2);
    expectNothing(scene.peer);
}

/* §2.4 order, §2.4 short count: strictly that of the calls, whatever the sizes, with small
 * socket buffers and short counts */
CASE(transmit, keepsOrder)
{
    uint64_t sent = 0;
    unsigned seed = 1;

    openPair(KIND_TCP);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){2048}, sizeof(int)), 0);
    for (int round = 0; round < 400; round++) {
        size_t size = (size_t)rand_r(&seed) % 20000;
        transmitPattern(scene.ours.socket, size, sent);
        sent += size;
        if (round % 7 == 0)
            runTurns(scene.ring, 1);
    }
    expectPattern(scene.peer, sent, 0);
    waitDrained(&scene.ours);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, sent);
    expectNothing(scene.peer);
}

/* §2.4 flags (send): those that pass or have no effect */
CASE(transmit, takesFlags)
{
    const int accepted[] = {MSG_CONFIRM, MSG_DONTROUTE, MSG_ZEROCOPY, MSG_NOSIGNAL,
                            MSG_WAITALL, MSG_DONTWAIT, MSG_EOR};

    openPair(KIND_TCP);
    for (size_t index = 0; index < sizeof(accepted) / sizeof(accepted[0]); index++) {
        struct iovec vector = {"two", 3};
        ck_assert_int_eq(transmit("one", 3, accepted[index]), 0);
        ck_assert_int_eq(transmitVectors(&vector, 1, accepted[index]), 0);
        waitDrained(&scene.ours);
        expectText(scene.peer, "onetwo");
    }
    ck_assert_int_eq(scene.ours.err, 0);
}

/* §2.4 flags (send): MSG_MORE holds back until more comes, MSG_EOR with a seqpacket */
CASE(transmit, passesMore)
{
    openPair(KIND_TCP);
    ck_assert_int_eq(transmit("he", 2, MSG_MORE), 0);
    waitDrained(&scene.ours);
    ck_assert_int_eq(transmit("llo", 3, 0), 0);
    waitDrained(&scene.ours);
    expectText(scene.peer, "hello");
    closePair();
    openPair(KIND_UDP); /* which holds back for ever */
    ck_assert_int_eq(transmit("he", 2, MSG_MORE), 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    expectNothing(scene.peer);
    ck_assert_int_eq(transmit("llo", 3, 0), 0);
    waitDrained(&scene.ours);
    expectText(scene.peer, "hello");
    expectNothing(scene.peer);
    closePair();
    openPair(KIND_UNIX_SEQPACKET);
    ck_assert_int_eq(transmit("record", 6, MSG_EOR), 0);
    waitDrained(&scene.ours);
    expectText(scene.peer, "record");
}

/* §2.4 flags (send): MSG_OOB is an operation of its own, in its place */
CASE(transmit, passesUrgentData)
{
    openPair(KIND_TCP);
    ck_assert_int_eq(setsockopt(scene.peer, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int)), 0);
    ck_assert_int_eq(transmit("abc", 3, 0), 0);
    ck_assert_int_eq(transmit("!", 1, MSG_OOB), 0);
    ck_assert_int_eq(transmit("def", 3, 0), 0);
    waitDrained(&scene.ours);
    expectText(scene.peer, "abc");
    ck_assert_int_eq(sockatmark(scene.peer), 1);
    expectText(scene.peer, "!def");
    closePair();
    openPair(KIND_UDP);
    ck_assert_int_eq(transmit("!", 1, MSG_OOB), -EINVAL);
}

/* §2.4 -EPIPE: after our own shutdown, with everything before it sent */
CASE(transmit, refusesAfterShutdown)
{
    struct iovec vector = {"x", 1};
    struct FastBuffer* buffer = NULL;

    for (int kind = 0; kind < 2; kind++) {
        openPair(kind ? KIND_UNIX_SEQPACKET : KIND_TCP);
        transmitText(scene.ours.socket, "last");
        ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
        ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
        ck_assert_int_eq(transmit("x", 1, 0), -EPIPE);
        ck_assert_int_eq(transmitVectors(&vector, 1, 0), -EPIPE);
        buffer = AllocateFastBuffer(scene.outbound, 10, 0);
        ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, 1, 0),
                         -EPIPE);
        waitDrained(&scene.ours);
        runIdle(scene.ring);
        expectText(scene.peer, "last");
        expectEnd(scene.peer);
        ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
        sendText(scene.peer, "answer");
        receiveText(&scene.ours, "answer");
        closePeer();
        waitHangup(&scene.ours);
        ck_assert_int_eq(scene.ours.lastHangup, 0);
        ck_assert_int_eq(scene.ours.err, 0);
        closePair();
    }
}

/* §2.4 -EPIPE, §2.4 -EINVAL: behind what is queued, on a ring that runs, and by any of the ways */
CASE(transmit, refusesBehindQueue)
{
    static char data[100000];
    struct sockaddr_in address = {.sin_family = AF_INET};

    openPair(KIND_TCP);
    runIdle(scene.ring);
    transmitText(scene.ours.socket, "queued");
    ck_assert_int_eq(transmit(NULL, 1, 0), -EINVAL);
    ck_assert_int_eq(transmit(NULL, sizeof(data), 0), -EINVAL);
    ck_assert_int_eq(transmit("x", 1, MSG_PEEK), -EINVAL);
    ck_assert_int_eq(transmit(data, SIZE_MAX, 0), -EMSGSIZE);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 1, "x", 1, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&address,
                                            sizeof(address), "x", 1, 0),
                     -EISCONN);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 6);
    ck_assert_int_eq(transmit(NULL, 0, 0), 0);
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    ck_assert_int_eq(transmit("x", 1, 0), -EPIPE);
    ck_assert_int_eq(transmit(data, sizeof(data), 0), -EPIPE);
    waitDrained(&scene.ours);
    expectText(scene.peer, "queued");
    runIdle(scene.ring);
    expectEnd(scene.peer);
}

CASE(transmit, refusesShutdownOfDatagrams)
{
    openPair(KIND_UDP);
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), -EOPNOTSUPP);
    transmitText(scene.ours.socket, "fine");
    waitDrained(&scene.ours);
    expectText(scene.peer, "fine");
}

/* shutdown of much queued output */
CASE(transmit, shutsDownAfterQueue)
{
    static uint8_t data[65536];
    uint64_t checked = 0;
    ssize_t size = 0;

    openPair(KIND_TCP);
    transmitPattern(scene.ours.socket, 4000000, 0);
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    while ((size = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT)) != 0) {
        if (size < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)size, checked));
        checked += (uint64_t)size;
    }
    ck_assert_uint_eq(checked, 4000000);
}

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
CASE(transmit, refusesWithoutMemory)
{
    const size_t size = 300 << 20;
    uint8_t* data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct iovec vector = {data, size};
    struct rlimit before;
    struct rlimit tight;
    uint64_t held = 0;
    int results[2];

    ck_assert_ptr_ne(data, MAP_FAILED);
    openPair(KIND_TCP);
    transmitText(scene.ours.socket, "before ");
    held = readRing(scene.ring).buffers;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = addressSpace() + (64 << 20);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &tight), 0);
    results[0] = transmit(data, size, 0);
    results[1] = transmitVectors(&vector, 1, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_int_eq(results[0], -ENOMEM);
    ck_assert_int_eq(results[1], -ENOMEM);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 7);
    ck_assert_uint_eq(readRing(scene.ring).buffers, held);
    transmitText(scene.ours.socket, "behind");
    waitDrained(&scene.ours);
    expectText(scene.peer, "before behind");
    expectNothing(scene.peer);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
    munmap(data, size);
}

/* §2.4 -EAGAIN: at the outbound limit, and POLLOUT follows */
CASE(transmit, refusesAtLimit)
{
    static char data[1000];
    struct FastBuffer* buffer = NULL;
    int accepted = 0;
    int result = 0;

    openPair(KIND_UNIX_STREAM);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 5000);
    waitCount(scene.ring, &scene.ours.out, 1);
    for (accepted = 0; (result = transmit(data, sizeof(data), 0)) == 0; accepted++)
        ck_assert_int_lt(accepted, 10);
    ck_assert_int_eq(result, -EAGAIN);
    ck_assert_int_eq(accepted, 5);
    buffer = AllocateFastBuffer(scene.outbound, 10, 0);
    ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, 10, 0),
                     -EAGAIN);
    waitCount(scene.ring, &scene.ours.out, 2);
    ck_assert_int_eq(transmit(data, sizeof(data), 0), 0);
    waitDrained(&scene.ours);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 0);
    for (int index = 0; index < 20; index++)
        ck_assert_int_eq(transmit(data, sizeof(data), 0), 0);
    waitDrained(&scene.ours);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, 26000);
}

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
CASE(transmit, sendsFromHandler)
{
    scene.ours.then = echo;
    openPair(KIND_TCP);
    for (int round = 0; round < 100; round++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "round %d", round);
        sendText(scene.peer, expected);
        waitCount(scene.ring, &scene.ours.in, round + 1);
        waitDrained(&scene.ours);
        expectText(scene.peer, expected);
    }
}

/* AUTO_CORK: nothing is left corked at the end of a turn; the caller's own MSG_MORE is passed on */
CASE(transmit, leavesNothingCorked)
{
    static uint8_t data[8192];

    openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_AUTO_CORK);
    for (uint64_t round = 0; round < 50; round++) {
        for (uint64_t index = 0; index < 3000; index++)
            transmitPattern(scene.ours.socket, 2, round * 6000 + index * 2);
        waitDrained(&scene.ours);
        receiveAll(scene.peer, data, 6000);
        ck_assert(checkPattern(data, 6000, round * 6000));
    }
}

/* §2.4 ZERO_COPY choice, §2.4 flags (send): asked for by the call alone, with the mode off */
CASE(transmit, takesZeroCopyForCall)
{
    static uint8_t data[100000];

    openPair(KIND_TCP);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(transmit(data, sizeof(data), MSG_ZEROCOPY), 0);
    memset(data, 0, sizeof(data));
    expectPattern(scene.peer, sizeof(data), 0);
    if (GetFastRingFeatures(scene.ring) & FASTRING_FEATURE_SEND_ZERO_COPY)
        ck_assert_uint_ge(readSocket(scene.ours.socket).sentZeroCopy, 1);
}

/* §2.4 ZERO_COPY choice: below the threshold no zero copy, from it on yes */
CASE(transmit, obeysThreshold)
{
    uint64_t needed = FASTRING_FEATURE_SEND_ZERO_COPY | FASTRING_FEATURE_SENDMSG_ZERO_COPY;

    if ((GetFastRingFeatures(scene.ring) & needed) != needed)
        skipTest("the kernel has no zero copy");
    openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_ZERO_COPY);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD, 1000);
    transmitPattern(scene.ours.socket, 999, 0);
    waitDrained(&scene.ours);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentZeroCopy, 0);
    transmitPattern(scene.ours.socket, 1000, 999);
    waitDrained(&scene.ours);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentZeroCopy, 1);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, 1999);
}

static bool hasCopied(void* closure)
{
    return readSocket(((struct Recorder*)closure)->socket).copiedZeroCopy >= 1;
}

/* §2.4 ZC adaptivity: loopback always copies, and is given up after some tries */
CASE(transmit, givesUpZeroCopyThatCopies)
{
    static uint8_t data[32768];
    uint64_t needed = FASTRING_FEATURE_SEND_ZERO_COPY | FASTRING_FEATURE_ZERO_COPY_REPORT;
    uint64_t before = 0;

    if ((GetFastRingFeatures(scene.ring) & needed) != needed)
        skipTest("the kernel does not tell when zero copy copied");
    openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_ZERO_COPY);
    for (int round = 0; round < 40; round++) {
        transmitPattern(scene.ours.socket, sizeof(data), 0);
        waitDrained(&scene.ours);
        receiveAll(scene.peer, data, sizeof(data));
        ck_assert(checkPattern(data, sizeof(data), 0));
        runIdle(scene.ring);
        if (round == 20)
            before = readSocket(scene.ours.socket).sentZeroCopy;
    }
    waitFor(scene.ring, hasCopied, &scene.ours);
    ck_assert_uint_gt(before, 0);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentZeroCopy, before);
}

/* §2.4 ZC results: without locked memory the same goes out by copying, all of it */
CASE(transmit, copiesWithoutLockedMemory)
{
    struct rlimit limit;

    closeScene();
    ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (limit.rlim_max > 1 << 20) /* an ordinary user can't raise it */
        limit.rlim_max = 1 << 20;
    limit.rlim_cur = limit.rlim_max;
    /* The limit does not hold for root. The ring, too, is charged to whom it belongs. */
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0); /* else /proc/self is root's */
    sceneOpen(&scene, (struct SceneOptions){.buffers = 16, .bufferLength = 4096});
    openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_ZERO_COPY);
    for (uint64_t part = 0; part < 8; part++)
        transmitPattern(scene.ours.socket, 2 << 20, part * (2 << 20));
    expectPattern(scene.peer, 16 << 20, 0);
    waitDrained(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 0);
}

/* §2.4 -EPIPE, §2.1 POLLERR fatal (stream): the first errno of a dead connection, whatever the
 * size of what was queued */
CASE(transmit, failsAfterReset)
{
    const size_t sizes[] = {1, 100, 10000, 1000000};

    for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
        openPair(KIND_TCP);
        runIdle(scene.ring);
        transmitPattern(scene.ours.socket, sizes[index], 0);
        resetPeer();
        waitHangup(&scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.lastError, ECONNRESET);
        ck_assert_int_eq(transmit("x", 1, 0), -EPIPE);
        closePair();
    }
}

/* §2.4 flags (send): a closed AF_UNIX peer: EPIPE reported by events, no signal */
CASE(transmit, raisesNoSignal)
{
    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_RD), 0);
    transmitText(scene.ours.socket, "nobody reads");
    waitCount(scene.ring, &scene.ours.err, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.lastError, EPIPE);
    ck_assert_int_eq(scene.ours.lastHangup, EPIPE);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 12);
}
