/* Datagrams that the kernel joins on their way in (UDP_GRO): the program reads them one by one.
 * Their sender joins them too (UDP_SEGMENT), so that loopback keeps them together. */
#include "fixture.h"
#include "network.h"

#include <liburing.h>
#include <linux/net_tstamp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

SCENE_AREA_OF(joined, "joined", .buffers = 64, .bufferLength = 65536 + 512);

enum
{
    SOURCES = 2,
    DATAGRAMS = 1000,
    LARGEST = 1452,
    AT_ONCE = 40, /* joined by a sender at most, to be less than 64 KiB */
    FORMS = 3,    /* as data, as buffers, as buffers with their sender */
};

static int sources[SOURCES];
static uint16_t ports[SOURCES];
static uint32_t sent[SOURCES];
static uint32_t received[SOURCES];

/* ---- datagrams that say what they are ---- */

/* By number, so that the receiver knows it, too: runs of one size. */
static size_t sizeOf(uint32_t source, uint32_t number)
{
    static const size_t sizes[] = {LARGEST, 8, 100, 1000, 9, 512};
    size_t size = sizes[(number / AT_ONCE + source) % (sizeof(sizes) / sizeof(sizes[0]))];
    return number % AT_ONCE == AT_ONCE - 1 && size > 8 ? size - 1 : size; /* the last is shorter */
}

static void fill(uint8_t* data, size_t size, uint32_t source, uint32_t number)
{
    for (size_t index = 0; index < size; index++)
        data[index] = (uint8_t)(source * 7 + number * 31 + index);
    memcpy(data, &source, sizeof(source));
    memcpy(data + sizeof(source), &number, sizeof(number));
}

/* What a source sends becomes datagrams of this size; 0: one. */
static void setSegment(uint32_t source, int size)
{
    ck_assert_int_eq(setsockopt(sources[source], IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
}

/* The next run of one source, of so many datagrams. */
static void sendRun(uint32_t source, uint32_t count)
{
    uint8_t data[AT_ONCE * LARGEST];
    size_t size = 0;
    int segment = (int)sizeOf(source, sent[source]);
    for (uint32_t number = 0; number < count; number++) {
        size_t length = sizeOf(source, sent[source]);
        fill(data + size, length, source, sent[source]++);
        size += length;
    }
    setSegment(source, segment);
    ck_assert_int_eq(send(sources[source], data, size, 0), (ssize_t)size);
}

static void checkDatagram(const uint8_t* data, size_t size)
{
    uint8_t wanted[LARGEST];
    uint32_t source;
    ck_assert_uint_ge(size, 8);
    memcpy(&source, data, sizeof(source));
    ck_assert_uint_lt(source, SOURCES);
    uint32_t number = received[source]++;
    ck_assert_uint_eq(size, sizeOf(source, number));
    fill(wanted, size, source, number);
    ck_assert_mem_eq(data, wanted, size);
}

/* ---- the sockets ---- */

static bool joins(int handle)
{
    int on = 0;
    socklen_t length = sizeof(on);
    return setsockopt(handle, IPPROTO_UDP, UDP_GRO, &(int){1}, sizeof(on)) == 0 &&
           getsockopt(handle, IPPROTO_UDP, UDP_GRO, &on, &length) == 0 && on == 1;
}

/* Tried, since a kernel may know the option, and have loopback take apart what is to be joined. */
static bool arriveJoined(int handle)
{
    enum
    {
        PART = 8,
    };
    uint8_t data[2 * PART] = {0};
    setSegment(0, PART);
    ck_assert_int_eq(send(sources[0], data, sizeof(data), 0), sizeof(data));
    setSegment(0, 0);
    ssize_t first = recv(handle, data, sizeof(data), 0);
    if (first == PART)
        ck_assert_int_eq(recv(handle, data, sizeof(data), 0), PART);
    return first == sizeof(data);
}

#define JOINED_SKIP "the kernel joins no datagrams on loopback (UDP_GRO)"

static uint16_t portOf(const struct sockaddr_storage* address)
{
    return ((const struct sockaddr_in*)address)->sin_port; /* IPv6 has it in the same place */
}

static void closeSources(void)
{
    for (uint32_t source = 0; source < SOURCES; source++)
        close(sources[source]);
}

/* Not yet ours. -1: the kernel joins none. */
static int openSources(int family)
{
    struct sockaddr_in6 address6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct sockaddr_in address4 = loopbackAddress();
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = family == AF_INET ? sizeof(address4) : sizeof(address6);
    int handle = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(&address, family == AF_INET ? (void*)&address4 : (void*)&address6, length);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&address, length), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)&address, &length), 0);
    if (!joins(handle)) {
        close(handle);
        return -1;
    }
    for (uint32_t source = 0; source < SOURCES; source++) {
        struct sockaddr_storage own;
        socklen_t ownLength = sizeof(own);
        sources[source] = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(sources[source], (struct sockaddr*)&address, length), 0);
        ck_assert_int_eq(getsockname(sources[source], (struct sockaddr*)&own, &ownLength), 0);
        ports[source] = portOf(&own);
    }
    if (arriveJoined(handle))
        return handle;
    closeSources();
    close(handle);
    return -1;
}

/* ---- reading ---- */

static void readData(void)
{
    uint8_t data[LARGEST + 1];
    uint8_t first[4];
    ssize_t count;
    while ((count = ReceiveFastSocketData(scene.ours.socket, first, sizeof(first),
                                          MSG_PEEK | MSG_TRUNC)) > 0) {
        ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0), count);
        ck_assert_mem_eq(data, first, sizeof(first));
        checkDatagram(data, (size_t)count);
    }
}

static void checkSender(struct FastBuffer* buffer, struct msghdr* template)
{
    int length = (int)GetFastBufferLength(buffer);
    struct io_uring_recvmsg_out* out =
        io_uring_recvmsg_validate(GetFastBufferData(buffer), length, template);
    ck_assert_ptr_nonnull(out);
    ck_assert_ptr_null(io_uring_recvmsg_cmsg_firsthdr(out, template));
    ck_assert_uint_eq(out->flags & (MSG_TRUNC | MSG_CTRUNC), 0);
    uint8_t* data = io_uring_recvmsg_payload(out, template);
    uint32_t source;
    memcpy(&source, data, sizeof(source));
    checkDatagram(data, io_uring_recvmsg_payload_length(out, length, template));
    ck_assert_uint_eq(portOf(io_uring_recvmsg_name(out)), ports[source]);
}

static void readBuffers(void)
{
    struct msghdr* template = GetFastSocketMessageHeader(scene.ours.socket);
    struct FastBuffer* buffer;
    while ((buffer = ReceiveFastSocketBuffer(scene.ours.socket)) != NULL) {
        if (template != NULL)
            checkSender(buffer, template);
        else
            checkDatagram(GetFastBufferData(buffer), GetFastBufferLength(buffer));
        ReleaseFastBuffer(buffer);
    }
}

static bool hasAll(void* closure)
{
    if (*(int*)closure == 0)
        readData();
    else
        readBuffers();
    return received[0] == sent[0] && received[1] == sent[1];
}

/* Both sources in turn, so many of each that the receive buffer holds them. */
static void exchange(int form)
{
    while (sent[0] < DATAGRAMS) {
        for (uint32_t source = 0; source < SOURCES; source++)
            sendRun(source, AT_ONCE);
        waitFor(scene.ring, hasAll, &form);
    }
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
}

/* §2.3 joined datagrams: of several sizes and two sources, each byte, in the order of its source */
CASE_ROUNDS(joined, areReadOneByOne, 2 * FORMS)
{
    struct msghdr header = {.msg_namelen = sizeof(struct sockaddr_storage)};
    int family = round < FORMS ? AF_INET : AF_INET6;
    if (family == AF_INET6 && !hasKind(KIND_TCP6))
        skipTest("the machine has no IPv6");
    int handle = openSources(family);
    if (handle < 0)
        skipTest(JOINED_SKIP);
    openRecorded(&scene, handle, round % FORMS == 2 ? &header : NULL, 0, &scene.ours);
    runIdle(scene.ring);
    uint64_t before = readRing(scene.ring).completions;
    exchange(round % FORMS);
    struct FastSocketStatistics statistics = readSocket(scene.ours.socket);
    ck_assert_uint_eq(statistics.receivedMessages, SOURCES * DATAGRAMS);
    ck_assert_uint_eq(statistics.receivedTruncated, 0);
    /* Nothing would be shown if they had come one by one. */
    ck_assert_uint_lt(readRing(scene.ring).completions - before, SOURCES * DATAGRAMS / 4);
    closeSources();
}

/* Options that put control data before the size leave room for it. */
CASE_ROUNDS(joined, comeApartBesideOtherOptions, 2)
{
    const struct
    {
        int level;
        int option;
        int value;
    } options[] = {
        {SOL_SOCKET, SO_TIMESTAMP, 1},
        {SOL_SOCKET, SO_TIMESTAMPING,
         SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_SOFTWARE |
             SOF_TIMESTAMPING_RAW_HARDWARE | SOF_TIMESTAMPING_OPT_PKTINFO},
        {SOL_SOCKET, SO_RXQ_OVFL, 1},
        {SOL_SOCKET, 75, 1}, /* SO_RCVMARK */
        {SOL_SOCKET, 82, 1}, /* SO_RCVPRIORITY */
        {SOL_SOCKET, SO_WIFI_STATUS, 1},
        {IPPROTO_IP, IP_PKTINFO, 1},
        {IPPROTO_IP, IP_RECVTOS, 1},
        {IPPROTO_IP, IP_RECVTTL, 1},
        {IPPROTO_IP, IP_RECVORIGDSTADDR, 1},
    };
    int handle = openSources(AF_INET);
    if (handle < 0)
        skipTest(JOINED_SKIP);
    for (size_t index = 0; index < sizeof(options) / sizeof(options[0]); index++)
        (void)setsockopt(handle, options[index].level, options[index].option,
                         &options[index].value, sizeof(int)); /* as far as the kernel has them */
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    exchange(round);
    closeSources();
}

/* §2.3 joined datagrams: where a buffer does not hold all that may be joined, it holds what it did
 * with version 1.0: datagrams up to its length less 16, whole, and joined ones in one */
CASE(joined, areLeftJoinedInSmallBuffers)
{
    enum
    {
        SPACE = 4096,
    };
    uint8_t data[SPACE];
    reopenScene(.buffers = 64, .bufferLength = SPACE);
    int handle = openSources(AF_INET);
    if (handle < 0)
        skipTest(JOINED_SKIP);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    ck_assert_int_eq(send(sources[0], data, SPACE - 16, 0), SPACE - 16);
    waitInput(&scene.ours, SPACE - 16);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, SPACE, MSG_TRUNC), SPACE - 16);
    sendRun(0, 2);
    waitInput(&scene.ours, LARGEST);
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.ours.socket);
    ck_assert_uint_eq(GetFastBufferLength(buffer), 2 * LARGEST);
    checkDatagram(GetFastBufferData(buffer), LARGEST);
    checkDatagram(GetFastBufferData(buffer) + LARGEST, LARGEST);
    ReleaseFastBuffer(buffer);
    struct FastSocketStatistics statistics = readSocket(scene.ours.socket);
    ck_assert_uint_eq(statistics.receivedMessages, 2);
    ck_assert_uint_eq(statistics.receivedTruncated, 0);
    closeSources();
}

/* A buffer of the last one is a datagram like any other: it may be kept, sent on, and released
 * last. */
CASE(joined, goOnByThemselves)
{
    struct FastBuffer* kept[AT_ONCE];
    uint32_t count = 0;
    int handle = openSources(AF_INET);
    if (handle < 0)
        skipTest(JOINED_SKIP);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    sendRun(0, AT_ONCE);
    while (count < AT_ONCE) {
        waitInput(&scene.ours, 1);
        while ((kept[count] = ReceiveFastSocketBuffer(scene.ours.socket)) != NULL)
            if (++count == AT_ONCE)
                break;
    }
    for (uint32_t number = 0; number < AT_ONCE; number++)
        checkDatagram(GetFastBufferData(kept[number]), GetFastBufferLength(kept[number]));
    for (uint32_t number = AT_ONCE; number-- > 0;)
        ReleaseFastBuffer(kept[number]);
    closeSources();
}

/* A release between two of them leaves nothing behind. */
CASE_ROUNDS(joined, mayBeLeft, 2)
{
    uint8_t data[LARGEST];
    int handle = openSources(AF_INET);
    if (handle < 0)
        skipTest(JOINED_SKIP);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    sendRun(0, AT_ONCE);
    waitInput(&scene.ours, 2 * LARGEST);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0), LARGEST);
    if (round == 0)
        ReleaseFastSocket(scene.ours.socket);
    else
        AbortFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    closeSources();
}
