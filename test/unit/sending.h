/*
 * A socket on a ring without a kernel, for tests of its sends: each is looked at as it enters, and
 * answered by the test. The descriptors are real, and nothing is sent on them. Programs that use it
 * are linked with --wrap of FastRingScratch and AllocateFastBuffer.
 */
#ifndef TEST_SENDING_H
#define TEST_SENDING_H

#include "fixture.h"
#include "engine/uring-compat.h"
#include "memory/provider.h"
#include "ring/life.h"
#include "simulated.h"
#include "socket/flight.h"
#include "socket/item.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>

enum
{
    BUFFERS = 4,
    LENGTH = 4096,
    LARGE = 24 << 10, /* worth a send without a copy */
    SMALL = 100,
    SENDS = 256,
    PARTS = 16,
    CHAIN = 64,     /* messages in flight at once */
    BACKOFF = 64,   /* sends without zero copy */
    MAX_COPIED = 8, /* in a row, until zero copy is given up */
};

/* ---- memory ---- */

static struct Countdown scratch;
static struct Countdown loans;

FAILING_CALL(&scratch, NULL, void*, FastRingScratch, (struct FastRing* ring, size_t size),
             (ring, size))

FAILING_CALL(&loans, NULL, struct FastBuffer*, AllocateFastBuffer,
             (struct FastBufferPool* pool, size_t size, int option), (pool, size, option))

/* ---- the kernel ---- */

/* One send, as it entered. */
struct Sent
{
    uint64_t owner;
    struct iovec parts[PARTS];
    size_t count; /* of parts */
    size_t bytes;
    int flags;
    uint16_t priority;
    uint8_t opcode;
    bool linked; /* to the next */
    socklen_t nameLength;
    size_t controlLength;
    uint16_t segment; /* that it is to be cut at; 0: not at all */
    uint16_t port;    /* of IPv4 or IPv6 */
};

static struct FastRing* ring;
static struct Simulated kernel;
static struct Sent sends[SENDS];
static unsigned sendCount;
static bool holdsCancels;
static uint64_t canceler; /* a cancellation that is held */

static inline void addParts(struct Sent* sent, const struct iovec* vector, size_t count)
{
    ck_assert_uint_le(count, PARTS);
    sent->count = count;
    for (size_t index = 0; index < count; index++) {
        sent->parts[index] = vector[index];
        sent->bytes += vector[index].iov_len;
    }
}

/* Memory that others get as soon as an enter is over. */
static inline bool isScratch(const void* memory)
{
    const uint8_t* byte = memory;
    return byte >= ring->scratch.memory && byte < ring->scratch.memory + FAST_RING_SCRATCH;
}

/* Header, vector and name are read as it enters; control data whenever the kernel tries to send. */
static inline void addHeader(struct Sent* sent, const struct msghdr* header)
{
    const struct sockaddr_in* address = header->msg_name; /* IPv6 has its port in the same place */
    struct cmsghdr* control = CMSG_FIRSTHDR(header);
    ck_assert(!isScratch(header->msg_control));
    addParts(sent, header->msg_iov, header->msg_iovlen);
    sent->nameLength = header->msg_namelen;
    sent->controlLength = header->msg_controllen;
    if (sent->nameLength >= sizeof(*address))
        sent->port = ntohs(address->sin_port);
    if (control != NULL && control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_SEGMENT)
        memcpy(&sent->segment, CMSG_DATA(control), sizeof(sent->segment));
}

static inline void addSend(const struct io_uring_sqe* entry)
{
    struct Sent* sent = &sends[sendCount++];
    const struct iovec single = {.iov_base = (void*)(uintptr_t)entry->addr, .iov_len = entry->len};
    const struct msghdr* header = (const struct msghdr*)(uintptr_t)entry->addr;
    ck_assert_uint_le(sendCount, SENDS);
    *sent = (struct Sent){
        .owner = entry->user_data,
        .flags = (int)entry->msg_flags,
        .priority = entry->ioprio,
        .opcode = entry->opcode,
        .linked = entry->flags & IOSQE_IO_LINK,
    };
    if (entry->opcode == IORING_OP_SEND || entry->opcode == IORING_OP_SEND_ZC) {
        addParts(sent, &single, 1);
        return;
    }
    addHeader(sent, header);
}

/* To a file, which kernels may import the vector of once more in a thread of theirs. */
static inline void addWrite(const struct io_uring_sqe* entry)
{
    struct Sent* sent = &sends[sendCount++];
    const struct iovec* vector = (const struct iovec*)(uintptr_t)entry->addr;
    ck_assert_uint_le(sendCount, SENDS);
    ck_assert(!isScratch(vector));
    *sent = (struct Sent){.owner = entry->user_data, .opcode = entry->opcode};
    addParts(sent, vector, entry->len);
}

static inline bool onEnter(struct Simulated* unused, const struct io_uring_sqe* entry)
{
    (void)unused;
    switch (entry->opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG_ZC:
        addSend(entry);
        return true;
    case IORING_OP_WRITEV:
        addWrite(entry);
        return true;
    case IORING_OP_NOP:
        simulatedComplete(&kernel, entry->user_data, 0, 0);
        return true;
    case IORING_OP_ASYNC_CANCEL:
        canceler = holdsCancels ? entry->user_data : 0;
        return holdsCancels;
    default:
        return false;
    }
}

/* ---- the socket ---- */

static struct FastBufferPool* inbound;
static struct FastBufferPool* outbound;
static struct FastRingBufferProvider* provider;
static struct FastSocket* self;
static int peer;
static int drained; /* POLLOUT events */
static int failed;  /* POLLERR events */
static int failure; /* errno of the last one */
static uint8_t bytes[1 << 20];
static size_t queued;

static inline void onEvent(struct FastSocket* socket, int event, int parameter)
{
    (void)socket;
    drained += (event & POLLOUT) != 0;
    failed += (event & POLLERR) != 0;
    if (event & POLLERR)
        failure = parameter;
}

static inline void run(void)
{
    for (int turn = 0; turn < 4; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

static inline void openSending(void)
{
    for (size_t index = 0; index < sizeof(bytes); index++)
        bytes[index] = (uint8_t)(index * 31 + (index >> 8));
    ring = FastRingCreateOn(simulatedOpen(&kernel));
    ck_assert_ptr_nonnull(ring);
    kernel.enter = onEnter;
    kernel.base.features |= FASTRING_FEATURE_SEND_ZERO_COPY | FASTRING_FEATURE_SENDMSG_ZERO_COPY |
                            FASTRING_FEATURE_ZERO_COPY_REPORT;
    inbound = CreateFastBufferPool(ring);
    outbound = CreateFastBufferPool(ring);
    provider = CreateFastRingBufferProvider(ring, 0, BUFFERS, LENGTH, AllocateRingFastBuffer,
                                            inbound);
    ck_assert_ptr_nonnull(provider);
}

/* What was not answered is canceled; then no memory is left. */
static inline void closeSending(void)
{
    holdsCancels = false;
    AbortFastSocket(self);
    for (int round = 0; round < 10 && GetFastRingPending(ring) > 0; round++)
        run();
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(inbound);
    ReleaseFastBufferPool(outbound);
    ReleaseFastRing(ring);
    if (peer >= 0)
        close(peer);
}

static inline void openSocket(int handle, int mode, uint32_t limit)
{
    self = CreateFastSocket(ring, provider, inbound, outbound, handle, NULL, 0, mode, limit,
                            onEvent, NULL);
    ck_assert_ptr_nonnull(self);
    run();
    drained = 0;
}

/* Of bytes. AF_UNIX has no sends without a copy; this one says it had. */
static inline void openStream(int mode)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    openSocket(pair[0], mode, 0);
    self->traits |= FAST_TRAIT_ZERO_COPIES;
}

static inline void openDatagram(int mode, uint32_t limit)
{
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(handle, 0);
    peer = -1;
    openSocket(handle, mode, limit);
}

/* A regular file without a name. */
static inline void openRegular(void)
{
    int handle = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_ge(handle, 0);
    peer = -1;
    openSocket(handle, FASTSOCKET_MODE_FILE_IO, 0);
}

static inline void transmit(size_t size, int flags)
{
    ck_assert_uint_le(queued + size, sizeof(bytes));
    ck_assert_int_eq(TransmitFastSocketData(self, NULL, 0, bytes + queued, size, flags), 0);
    queued += size;
}

/* A message with one int of control data. */
static inline void transmitControl(size_t size, int level, int type, int value)
{
    union
    {
        struct cmsghdr header;
        uint8_t space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = level,
                            .cmsg_type = type}};
    struct iovec vector = {.iov_base = bytes + queued, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    memcpy(CMSG_DATA(&control.header), &value, sizeof(value));
    ck_assert_int_eq(TransmitFastSocketMessage(self, &message, 0), 0);
    queued += size;
}

/* To be gathered from memory of its own. */
static inline void transmitBuffer(size_t size)
{
    struct FastBuffer* buffer = AllocateFastBuffer(outbound, size, 0);
    ck_assert_ptr_nonnull(buffer);
    memcpy(GetFastBufferData(buffer), bytes + queued, size);
    ck_assert_int_eq(TransmitFastSocketBuffer(self, NULL, 0, buffer, 0, size, 0), 0);
    queued += size;
}

static inline void complete(unsigned number, int result, uint32_t flags)
{
    simulatedComplete(&kernel, sends[number].owner, result, flags);
    run();
}

/* The last send that entered, of so many, has these bytes. */
static inline void expectSend(unsigned count, uint8_t opcode, size_t position, size_t size)
{
    ck_assert_uint_eq(sendCount, count);
    const struct Sent* sent = &sends[count - 1];
    ck_assert_uint_eq(sent->opcode, opcode);
    ck_assert_uint_eq(sent->bytes, size);
    for (size_t index = 0; index < sent->count; index++) {
        ck_assert_mem_eq(sent->parts[index].iov_base, bytes + position,
                         sent->parts[index].iov_len);
        position += sent->parts[index].iov_len;
    }
}

#endif
