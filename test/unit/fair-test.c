/*
 * Connections that share a provider, on a kernel whose receives take all that they can get as they
 * enter (before Linux 6.8 nothing bounds a receive that goes on): one always has more than there is
 * room for, and echoes it; the others have a message now and then, and find no buffer.
 */
#include "fixture.h"
#include "ring/life.h"
#include "simulated.h"

#include <Ring/FastSocket.h>

enum
{
    BUFFERS = 8,
    LENGTH = 65536, /* so that the provider has all of them from the start */
    SIZE = 1000,    /* bytes in each */
    QUIET = 3,
    ROUNDS = 50,
    TURNS = 20, /* until who is quiet has had his message */
};

static struct Simulated kernel;
static struct FastRing* ring;
static struct FastBufferPool* pool;
static struct FastRingBufferProvider* provider;

/* The first floods. */
static struct Connection
{
    struct FastSocket* socket;
    int peer;
    int messages; /* that wait in the kernel */
    int received;
} connections[1 + QUIET];

static struct Connection* connectionOf(int handle)
{
    for (int index = 0; index <= QUIET; index++)
        if (connections[index].socket != NULL &&
            GetFastSocketHandle(connections[index].socket) == handle)
            return &connections[index];
    return NULL;
}

static bool ends; /* a receive with the last buffer, and not for the lack of one */

/* Takes what it can; it is over when it finds no buffer. */
static void receive(struct Connection* connection, uint64_t owner, uint16_t group)
{
    bool floods = connection == connections;
    const struct io_uring_buf* buffer = NULL;
    const struct io_uring_buf* next = NULL;
    uint32_t more = IORING_CQE_F_MORE;
    if (floods || connection->messages > 0)
        next = simulatedTakeBuffer(&kernel, group);
    while ((buffer = next) != NULL) {
        connection->messages--;
        next = floods || connection->messages > 0 ? simulatedTakeBuffer(&kernel, group) : NULL;
        more = floods && ends && next == NULL ? 0 : IORING_CQE_F_MORE;
        simulatedComplete(&kernel, owner, SIZE,
                          more | IORING_CQE_F_BUFFER |
                              (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT);
    }
    if (more != 0 && (floods || connection->messages > 0))
        simulatedComplete(&kernel, owner, -ENOBUFS, 0);
}

/* What was sent is gone at once. */
static bool onEnter(struct Simulated* unused, const struct io_uring_sqe* entry)
{
    (void)unused;
    struct Connection* connection = connectionOf(entry->fd);
    switch (entry->opcode) {
    case IORING_OP_RECV:
        if (connection != NULL)
            receive(connection, entry->user_data, entry->buf_group);
        return true;
    case IORING_OP_SEND:
        simulatedComplete(&kernel, entry->user_data, (int32_t)entry->len, 0);
        return true;
    case IORING_OP_SENDMSG: {
        const struct msghdr* header = (const struct msghdr*)(uintptr_t)entry->addr;
        size_t size = 0;
        for (size_t index = 0; index < header->msg_iovlen; index++)
            size += header->msg_iov[index].iov_len;
        simulatedComplete(&kernel, entry->user_data, (int32_t)size, 0);
        return true;
    }
    default:
        return false;
    }
}

static void echo(struct FastSocket* socket, int event, int parameter)
{
    char data[SIZE];
    ssize_t size;

    (void)parameter;
    if (event != POLLIN)
        return;
    while ((size = ReceiveFastSocketData(socket, data, sizeof(data), 0)) > 0) {
        connectionOf(GetFastSocketHandle(socket))->received += (int)size;
        ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, data, (size_t)size, 0), 0);
    }
}

static void setUp(void)
{
    memset(connections, 0, sizeof(connections));
    ring = FastRingCreateOn(simulatedOpen(&kernel));
    ck_assert_ptr_nonnull(ring);
    kernel.enter = onEnter;
    pool = CreateFastBufferPool(ring);
    provider = CreateFastRingBufferProvider(ring, 0, BUFFERS, LENGTH, AllocateRingFastBuffer,
                                            pool);
    ck_assert_ptr_nonnull(provider);
    for (int index = 0; index <= QUIET; index++) {
        int pair[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        connections[index].peer = pair[1];
        connections[index].socket = CreateFastSocket(ring, provider, pool, pool, pair[0], NULL, 0,
                                                     0, 0, echo, NULL);
        ck_assert_ptr_nonnull(connections[index].socket);
    }
}

static void tearDown(void)
{
    for (int index = 0; index <= QUIET; index++) {
        AbortFastSocket(connections[index].socket);
        close(connections[index].peer);
    }
    for (int turn = 0; turn < TURNS && GetFastRingPending(ring) > 0; turn++)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(pool);
    ReleaseFastRing(ring);
    ck_assert(kernel.destroyed);
}

AREA(fair, "fair", .open = setUp, .close = tearDown);

/* A message comes: who waits in the kernel is tried behind all that has entered. */
static void say(struct Connection* connection)
{
    connection->messages++;
    for (unsigned place = 0; place < kernel.inFlightCount; place++) {
        struct io_uring_sqe entry = kernel.inFlight[place];
        if (entry.opcode == IORING_OP_RECV && connectionOf(entry.fd) == connection) {
            receive(connection, entry.user_data, entry.buf_group);
            return;
        }
    }
}

/* §2.1 starvation, §2.3 who waits for buffers: who floods, and sends as well, keeps nobody from
 * having his message, whether he ends for the lack of buffers or with the last of them */
CASE_ROUNDS(fair, floodLeavesBuffersToOthers, 2)
{
    ends = round == 1;
    for (int message = 0; message < ROUNDS; message++) {
        struct Connection* quiet = &connections[1 + message % QUIET];
        int before = quiet->received;
        int turns = 0;
        say(quiet);
        while (quiet->received == before && turns++ < TURNS)
            ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
        ck_assert_msg(turns <= TURNS, "message %d never came", message);
    }
    ck_assert_int_gt(connections[0].received, ROUNDS * SIZE);
}
