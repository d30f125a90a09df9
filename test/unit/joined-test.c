/*
 * Datagrams that a kernel has joined (UDP_GRO): what is asked of it, and how they are taken apart.
 * The descriptor is real, for its option; the kernel that receives is the test's.
 */
#include "fixture.h"
#include "memory/pool.h"
#include "memory/provider.h"
#include "ring/life.h"
#include "simulated.h"
#include "socket/core.h"
#include "socket/joined.h"

#include <liburing.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum
{
    BUFFERS = 8,
    LENGTH = 66 << 10,
    SIZE = 100, /* of a datagram */
    FORMS = 4,  /* ways to read */
    NAME = sizeof(struct sockaddr_in),
    PORT = 4711,
};

static struct Countdown memory;

FAILING_CALL(&memory, NULL, struct FastBuffer*, FastPoolAllocateAnyhow,
             (struct FastBufferPool* pool, size_t size), (pool, size))

static struct Simulated kernel;
static struct FastRing* ring;
static struct FastBufferPool* pool;
static struct FastRingBufferProvider* provider;
static struct FastSocket* self;
static struct msghdr asked; /* of the kernel, by the receive in flight */
static int inputs;          /* POLLIN events */
static int unread;          /* that the last one told */
static void (*then)(void);  /* at each POLLIN */
static uint32_t written;    /* bytes that the kernel has received */
static uint32_t taken;      /* of them, the first that was not read */

/* Other control data, before the size. */
static int otherLevel = SOL_SOCKET;
static int otherType = SO_TIMESTAMP;
static bool hides; /* the kernel stores nothing of what it has received */

static void onEvent(struct FastSocket* socket, int event, int parameter)
{
    (void)socket;
    if (event != POLLIN)
        return;
    inputs++;
    unread = parameter;
    if (then != NULL)
        then();
}

static bool onEnter(struct Simulated* unused, const struct io_uring_sqe* entry)
{
    (void)unused;
    if (entry->opcode == IORING_OP_RECVMSG)
        asked = *(const struct msghdr*)(uintptr_t)entry->addr;
    return false;
}

static void run(void)
{
    for (int turn = 0; turn < 4; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

static void openJoined(void)
{
    then = NULL;
    ring = FastRingCreateOn(simulatedOpen(&kernel));
    kernel.enter = onEnter;
    pool = CreateFastBufferPool(ring);
    provider = CreateFastRingBufferProvider(ring, 0, BUFFERS, LENGTH, AllocateRingFastBuffer, pool);
    ck_assert_ptr_nonnull(provider);
    FastProviderExpect(provider, BUFFERS); /* the kernel may fill them all in one turn */
    FastProviderFillSoon(provider);
}

/* No buffer is left. */
static void closeJoined(void)
{
    AbortFastSocket(self);
    for (int round = 0; round < 10 && GetFastRingPending(ring) > 0; round++)
        run();
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ck_assert_uint_eq(FastPoolBuffers(pool), 0);
    ReleaseFastBufferPool(pool);
    ReleaseFastRing(ring);
}

AREA(joined, "joined", .open = openJoined, .close = closeJoined);

static int openDescriptor(int family, int on)
{
    int handle = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(setsockopt(handle, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)), 0);
    return handle;
}

static void openSocket(int on, struct msghdr* message)
{
    self = CreateFastSocket(ring, provider, pool, pool, openDescriptor(AF_INET, on), message, 0, 0,
                            0, onEvent, NULL);
    ck_assert_ptr_nonnull(self);
    run();
}

/* With a name where the form of reading shows one. */
static void openForm(int form)
{
    struct msghdr message = {.msg_namelen = NAME};
    openSocket(1, form == FORMS - 1 ? &message : NULL);
}

/* ---- the kernel's part ---- */

static void fill(uint8_t* data, size_t size, uint32_t place)
{
    for (size_t index = 0; index < size; index++)
        data[index] = (uint8_t)((place + index) * 31 + ((place + index) >> 8));
}

static size_t putControl(uint8_t* place, int level, int type, const void* data, size_t size)
{
    const struct cmsghdr header = {
        .cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(size)};
    memcpy(place, &header, sizeof(header));
    memcpy(place + CMSG_LEN(0), data, size);
    return CMSG_SPACE(size);
}

/* So many bytes, cut at segment where that is not 0, with other control data before where there is
 * some; what finds no room is lost. */
static void receiveWith(size_t size, int segment, const void* before, size_t beforeSize)
{
    const struct io_uring_sqe* entry = simulatedFindCode(&kernel, IORING_OP_RECVMSG);
    ck_assert_ptr_nonnull(entry);
    const struct io_uring_buf* buffer = simulatedTakeBuffer(&kernel, entry->buf_group);
    ck_assert_ptr_nonnull(buffer);
    uint8_t* data = (uint8_t*)(uintptr_t)buffer->addr;
    size_t headroom = sizeof(struct io_uring_recvmsg_out) + asked.msg_namelen +
                      asked.msg_controllen;
    size_t room = buffer->len - headroom;
    size_t stored = hides ? 0 : size < room ? size : room;
    uint8_t* control = data + sizeof(struct io_uring_recvmsg_out) + asked.msg_namelen;
    const struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct io_uring_recvmsg_out out = {
        .namelen = sizeof(name),
        .payloadlen = (uint32_t)size,
        .flags = stored < size ? MSG_TRUNC : 0,
    };
    memset(control, 0, asked.msg_controllen);
    if (asked.msg_namelen == sizeof(name))
        memcpy(data + sizeof(out), &name, sizeof(name));
    if (beforeSize > 0)
        out.controllen = (uint32_t)putControl(control, otherLevel, otherType, before, beforeSize);
    if (segment != 0)
        out.controllen += (uint32_t)putControl(control + out.controllen, IPPROTO_UDP, UDP_GRO,
                                               &segment, sizeof(segment));
    memcpy(data, &out, sizeof(out));
    fill(data + headroom, stored, written);
    written += (uint32_t)size;
    simulatedComplete(&kernel, entry->user_data, (int32_t)(headroom + stored),
                      IORING_CQE_F_BUFFER | IORING_CQE_F_MORE |
                          (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT);
}

static void receive(size_t size, int segment)
{
    receiveWith(size, segment, NULL, 0);
}

/* ---- the user's part ---- */

static void checkBytes(const uint8_t* data, size_t size)
{
    uint8_t wanted[LENGTH];
    fill(wanted, size, taken);
    ck_assert_mem_eq(data, wanted, size);
}

/* The next datagram is this long, and is what comes next; by data, by data in part, as a buffer, or
 * as a buffer with its sender. */
static void expect(int form, size_t size)
{
    uint8_t data[LENGTH];
    if (form < 2) {
        size_t part = form == 0 ? sizeof(data) : size / 2 + 1;
        size_t count = part < size ? part : size;
        ck_assert_int_eq(ReceiveFastSocketData(self, data, part, MSG_PEEK), (ssize_t)count);
        checkBytes(data, count);
        memset(data, 0, sizeof(data));
        ck_assert_int_eq(ReceiveFastSocketData(self, data, part, MSG_TRUNC), (ssize_t)size);
        checkBytes(data, count);
        taken += (uint32_t)size;
        return;
    }
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(self);
    ck_assert_ptr_nonnull(buffer);
    const struct msghdr* template = GetFastSocketMessageHeader(self);
    size_t headroom = template != NULL ? sizeof(struct io_uring_recvmsg_out) + NAME : 0;
    ck_assert_uint_eq(GetFastBufferLength(buffer), headroom + size);
    checkBytes(GetFastBufferData(buffer) + headroom, size);
    if (template != NULL) {
        const struct io_uring_recvmsg_out* out = (void*)GetFastBufferData(buffer);
        const struct sockaddr_in* name = (const void*)(out + 1);
        ck_assert_uint_eq(out->payloadlen, size);
        ck_assert_uint_eq(out->controllen, 0);
        ck_assert_uint_eq(out->flags, 0);
        ck_assert_uint_eq(out->namelen, NAME);
        ck_assert_int_eq(ntohs(name->sin_port), PORT);
    }
    taken += (uint32_t)size;
    ReleaseFastBuffer(buffer);
}

static void expectEmpty(void)
{
    struct FastRingStatistics statistics;
    uint8_t data[1];
    ck_assert_int_eq(GetFastRingStatistics(ring, &statistics, sizeof(statistics)), 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(self), 0);
    ck_assert_uint_eq(statistics.inboundLength, 0);
    ck_assert_int_eq(ReceiveFastSocketData(self, data, sizeof(data), 0), 0);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(self));
    ck_assert_int_eq(errno, EAGAIN);
}

static struct FastSocketStatistics statisticsOf(void)
{
    struct FastSocketStatistics statistics;
    ck_assert_int_eq(GetFastSocketStatistics(self, &statistics, sizeof(statistics)), 0);
    return statistics;
}

/* ---- what is asked for ---- */

CASE(joined, asksForRoomWhereTheOptionIsOn)
{
    openSocket(1, NULL);
    ck_assert_uint_eq(asked.msg_controllen, FAST_JOINED_ROOM);
    ck_assert_uint_eq(asked.msg_namelen, 0);
    ck_assert(FastSocketHas(self, FAST_TRAIT_JOINED));
}

CASE(joined, asksForNothingElsewhere)
{
    openSocket(0, NULL);
    ck_assert_uint_eq(asked.msg_controllen, 0);
    ck_assert(!FastSocketHas(self, FAST_TRAIT_JOINED));
}

CASE(joined, keepsTheTemplateOfTheUser)
{
    struct msghdr message = {.msg_namelen = NAME};
    openSocket(1, &message);
    ck_assert_uint_eq(asked.msg_namelen, NAME);
    ck_assert_uint_eq(asked.msg_controllen, FAST_JOINED_ROOM);
    ck_assert_uint_eq(GetFastSocketMessageHeader(self)->msg_namelen, NAME);
    ck_assert_uint_eq(GetFastSocketMessageHeader(self)->msg_controllen, 0);
}

/* Who has room for control data sees what the kernel says, and all that it has joined. */
CASE(joined, leavesControlDataToItsReader)
{
    struct msghdr message = {.msg_controllen = CMSG_SPACE(sizeof(int))};
    openSocket(1, &message);
    ck_assert_uint_eq(asked.msg_controllen, CMSG_SPACE(sizeof(int)));
    receive(3 * SIZE, SIZE);
    run();
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(self);
    const struct io_uring_recvmsg_out* out = (void*)GetFastBufferData(buffer);
    ck_assert_uint_eq(out->payloadlen, 3 * SIZE);
    ck_assert_uint_eq(out->controllen, CMSG_SPACE(sizeof(int)));
    ReleaseFastBuffer(buffer);
    ck_assert_uint_eq(statisticsOf().receivedMessages, 1);
}

/* With less room than what may be joined takes all is as with version 1.0. */
CASE_ROUNDS(joined, needRoomInTheBuffer, 2)
{
    struct msghdr message = {.msg_namelen = NAME};
    size_t length = sizeof(struct io_uring_recvmsg_out) + FAST_JOINED_ROOM + FAST_JOINED_MAX +
                    (round == 0 ? 0 : NAME);
    for (size_t less = 0; less < 2; less++) {
        struct FastRingBufferProvider* small = CreateFastRingBufferProvider(
            ring, 0, 1, (uint32_t)(length - less), AllocateRingFastBuffer, pool);
        struct FastSocket* socket =
            CreateFastSocket(ring, small, pool, pool, openDescriptor(AF_INET6, 1),
                             round == 0 ? NULL : &message, 0, 0, 0, NULL, NULL);
        ck_assert_ptr_nonnull(socket);
        ck_assert_int_eq(FastSocketHas(socket, FAST_TRAIT_JOINED), less == 0);
        run();
        ck_assert_uint_eq(asked.msg_controllen, less == 0 ? FAST_JOINED_ROOM : 0);
        ReleaseFastSocket(socket);
        run();
        ReleaseFastRingBufferProvider(small, ReleaseRingFastBuffer);
    }
    run();
}

/* ---- taken apart ---- */

/* §2.3 joined datagrams: of one size with a shorter last one, of one size, and alone among them */
CASE_ROUNDS(joined, comeApart, FORMS)
{
    openForm(round);
    receive(4 * SIZE + 1, SIZE);
    receive(SIZE - 1, 0);
    receive(2 * SIZE, SIZE);
    receive(SIZE, SIZE);
    receive(SIZE, 2 * SIZE);
    run();
    ck_assert_int_eq(inputs, 1);
    ck_assert_int_eq(unread, 9 * SIZE);
    for (int number = 0; number < 4; number++) {
        expect(round, SIZE);
        ck_assert_uint_eq(GetFastSocketInboundLength(self), (size_t)(8 - number) * SIZE);
    }
    expect(round, 1);
    expect(round, SIZE - 1);
    for (int number = 0; number < 4; number++)
        expect(round, SIZE);
    expectEmpty();
    ck_assert_uint_eq(statisticsOf().receivedMessages, 10);
    ck_assert_uint_eq(statisticsOf().receivedBytes, 9 * SIZE);
    ck_assert_uint_eq(statisticsOf().receivedTruncated, 0);
}

/* Ways to read may follow each other in the middle of a buffer. */
CASE(joined, comeApartHoweverTheyAreRead)
{
    openSocket(1, NULL);
    receive(9 * SIZE, SIZE);
    run();
    for (int number = 0; number < 9; number++)
        expect(number % 3, SIZE);
    expectEmpty();
}

/* An empty one is one, and takes nothing of the next. */
CASE_ROUNDS(joined, leaveEmptyOnesWhole, FORMS)
{
    openForm(round);
    receive(0, 0);
    receive(2 * SIZE, SIZE);
    receive(0, SIZE);
    run();
    expect(round, 0);
    expect(round, SIZE);
    expect(round, SIZE);
    expect(round, 0);
    expectEmpty();
    ck_assert_uint_eq(statisticsOf().receivedMessages, 4);
}

/* Other control data may stand before. Who has no room for any is told that some was lost. */
CASE_ROUNDS(joined, findTheirSizeBehindOthers, 2)
{
    const uint8_t before[200] = {0};
    struct msghdr message = {.msg_namelen = NAME};
    openSocket(1, &message);
    receiveWith(2 * SIZE, round == 0 ? SIZE : 0, before, sizeof(before));
    run();
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(self);
    const struct io_uring_recvmsg_out* out = (void*)GetFastBufferData(buffer);
    ck_assert_uint_eq(out->flags, MSG_CTRUNC);
    ck_assert_uint_eq(out->controllen, 0);
    ck_assert_uint_eq(out->payloadlen, round == 0 ? SIZE : 2 * SIZE);
    ck_assert_uint_eq(GetFastBufferLength(buffer), sizeof(*out) + NAME + out->payloadlen);
    ReleaseFastBuffer(buffer);
}

/* What says no size leaves one datagram. */
CASE_ROUNDS(joined, needASize, 4)
{
    openSocket(1, NULL);
    if (round % 2 == 1)
        otherLevel = IPPROTO_UDP;
    if (round >= 2)
        otherType = UDP_GRO;
    if (round == 0)
        receive(2 * SIZE, -SIZE);
    else
        receiveWith(2 * SIZE, 0, &(int){SIZE}, round == 3 ? 1 : sizeof(int));
    run();
    expect(2, 2 * SIZE);
    expectEmpty();
}

/* ---- cut short ---- */

/* Those that are there are whole, the one in which the buffer ended is a truncated one, and the
 * others are counted with it. */
CASE_ROUNDS(joined, areTruncatedOneByOne, 3)
{
    uint8_t data[LENGTH];
    size_t room = LENGTH - sizeof(struct io_uring_recvmsg_out) - FAST_JOINED_ROOM;
    size_t size = room / 4 + 10; /* three whole ones, and most of a fourth */
    openSocket(1, NULL);
    receive(5 * size + 1, (int)size);
    run();
    ck_assert_uint_eq(GetFastSocketInboundLength(self), room);
    for (int number = 0; number < 3; number++)
        expect(0, size);
    if (round == 0) {
        ck_assert_int_eq(ReceiveFastSocketData(self, data, sizeof(data), MSG_TRUNC), size);
        checkBytes(data, room - 3 * size);
    } else if (round == 1)
        ck_assert_int_eq(ReceiveFastSocketData(self, data, sizeof(data), 0), room - 3 * size);
    else {
        struct FastBuffer* buffer = ReceiveFastSocketBuffer(self);
        ck_assert_uint_eq(GetFastBufferLength(buffer), room - 3 * size);
        checkBytes(GetFastBufferData(buffer), room - 3 * size);
        ReleaseFastBuffer(buffer);
    }
    expectEmpty();
    ck_assert_uint_eq(statisticsOf().receivedMessages, 4);
    ck_assert_uint_eq(statisticsOf().receivedTruncated, 3);
}

CASE(joined, tellThatOneIsTruncated)
{
    struct msghdr message = {.msg_namelen = NAME};
    size_t room = LENGTH - sizeof(struct io_uring_recvmsg_out) - FAST_JOINED_ROOM - NAME;
    openSocket(1, &message);
    receive(2 * LENGTH, LENGTH / 2);
    run();
    for (int number = 0; number < 2; number++) {
        struct FastBuffer* buffer = ReceiveFastSocketBuffer(self);
        const struct io_uring_recvmsg_out* out = (void*)GetFastBufferData(buffer);
        ck_assert_uint_eq(out->flags, number == 0 ? 0 : MSG_TRUNC);
        ck_assert_uint_eq(out->payloadlen, number == 0 ? LENGTH / 2 : room - LENGTH / 2);
        ReleaseFastBuffer(buffer);
    }
    expectEmpty();
    ck_assert_uint_eq(statisticsOf().receivedTruncated, 3);
}

/* Nothing is counted of what a kernel says without having stored it. */
CASE(joined, mayBeMissing)
{
    openSocket(1, NULL);
    hides = true;
    receive(3 * SIZE, SIZE);
    run();
    hides = false;
    taken = written;
    ck_assert_uint_eq(statisticsOf().receivedMessages, 1);
    expect(2, 0);
    receive(2 * SIZE, SIZE);
    run();
    expect(0, SIZE);
    expect(2, SIZE);
    expectEmpty();
}

/* Where the buffer ends with a datagram, there is none in part. */
CASE(joined, mayEndWithTheBuffer)
{
    size_t room = LENGTH - sizeof(struct io_uring_recvmsg_out) - FAST_JOINED_ROOM;
    openSocket(1, NULL);
    receive(3 * room, (int)room / 2);
    run();
    expect(0, room / 2);
    expect(2, room / 2);
    expectEmpty();
    ck_assert_uint_eq(statisticsOf().receivedMessages, 2);
    ck_assert_uint_eq(statisticsOf().receivedTruncated, 4);
}

/* ---- between two of them ---- */

static void releaseBetween(void)
{
    expect(2, SIZE);
    ReleaseFastSocket(self);
    self = NULL;
}

CASE(joined, mayBeLeftByARelease)
{
    openSocket(1, NULL);
    then = releaseBetween;
    receive(5 * SIZE, SIZE);
    run();
    ck_assert_int_eq(inputs, 1);
    ck_assert_ptr_null(self);
}

static void pauseBetween(void)
{
    expect(0, SIZE);
    ck_assert_int_eq(PauseFastSocket(self), 0);
}

CASE(joined, mayBeLeftByAPause)
{
    openSocket(1, NULL);
    then = pauseBetween;
    receive(5 * SIZE, SIZE);
    run();
    ck_assert_ptr_null(simulatedFindCode(&kernel, IORING_OP_RECVMSG));
    ck_assert_uint_eq(GetFastSocketInboundLength(self), 4 * SIZE);
    then = NULL;
    ck_assert_int_eq(ResumeFastSocket(self), 0);
    run();
    ck_assert_int_eq(inputs, 2);
    ck_assert_int_eq(unread, 4 * SIZE);
    ck_assert_ptr_nonnull(simulatedFindCode(&kernel, IORING_OP_RECVMSG));
    for (int number = 0; number < 4; number++)
        expect(2, SIZE);
    expectEmpty();
}

/* What is left of them counts at the marks, and no more. */
CASE(joined, countAtTheMarks)
{
    openSocket(1, NULL);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_INBOUND_HIGH, 6 * SIZE), 0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_INBOUND_LOW, 2 * SIZE), 0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_TURN_LIMIT, 1 << 20), 0);
    receive(6 * SIZE, SIZE);
    run();
    ck_assert_ptr_null(simulatedFindCode(&kernel, IORING_OP_RECVMSG));
    ck_assert_uint_eq(statisticsOf().receivePauses, 1);
    for (int number = 0; number < 6; number++) {
        expect(number % 3, SIZE);
        run();
    }
    ck_assert_ptr_nonnull(simulatedFindCode(&kernel, IORING_OP_RECVMSG));
}

/* ---- no memory ---- */

static int failures;

static void readWithout(void)
{
    failEveryCall(&memory);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(self));
    ck_assert_int_eq(errno, ENOMEM);
    failNoCall(&memory);
    failures++;
    then = NULL;
}

/* Without memory for a copy the datagram stays, and is told again. */
CASE(joined, waitForMemory)
{
    openSocket(1, NULL);
    then = readWithout;
    receive(3 * SIZE, SIZE);
    run();
    ck_assert_int_eq(failures, 1);
    ck_assert_uint_eq(GetFastSocketInboundLength(self), 3 * SIZE);
    for (int turn = 0; turn < 10000000 && inputs < 2; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 1, NULL), 0);
    ck_assert_int_eq(inputs, 2);
    ck_assert_int_eq(unread, 3 * SIZE);
    for (int number = 0; number < 3; number++)
        expect(2, SIZE);
    expectEmpty();
}
