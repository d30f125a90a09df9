/*
 * The engine in user space, on the real system: receives of many that wait in line for a buffer.
 */
#include "soft-engine.h"

#include <stdlib.h>
#include <string.h>

enum
{
    SOCKETS = 16,
    MANY = 60,
};

static int ours[MANY];
static int peers[MANY];

static void openSockets(int count, int type)
{
    for (int index = 0; index < count; index++) {
        int two[2];
        pairUnix(two, type);
        ours[index] = two[0];
        peers[index] = two[1];
    }
}

static void closeSockets(int count)
{
    for (int index = 0; index < count; index++) {
        if (ours[index] >= 0)
            close(ours[index]);
        close(peers[index]);
    }
}

/* A receive of each, whose owner is the number of the socket, and 1 more. */
static void receiveFrom(int number)
{
    prepareMany((uint64_t)number + 1, ours[number], 0, 0, 0);
}

static void receiveAllFrom(int count)
{
    for (int number = 0; number < count; number++)
        receiveFrom(number);
}

/* One message to each. */
static void sendToAll(int count)
{
    for (int number = 0; number < count; number++)
        sendText(peers[number], "text");
}

/* There is a message for each of them, and one buffer, which the first has: the others stand in
 * line, and it stands before them, since it knows no better than that there may be more. */
static void makeLine(int count)
{
    openSockets(count, SOCK_STREAM);
    sendToAll(count);
    putBuffers(1);
    receiveAllFrom(count);
    enterOnce(0);
    ck_assert(FastEngineHasMore(engine));
}

static unsigned countCompletions(void)
{
    return *engine->completion.tail - *engine->completion.head;
}

/* The message of a socket, in the first buffer that was put last. */
static void expectTextOf(int number)
{
    expect((uint64_t)number + 1, 4, bufferFlags(0, true));
}

AREA(softLine, "soft-line", .open = setUp, .close = tearDown);

/* ---- being served ---- */

/* Who came first has the first buffer, and each enter gives what there is. */
CASE(softLine, isServedInOrder)
{
    makeLine(5);
    ck_assert_uint_eq(countCompletions(), 1);
    expectTextOf(0);
    putBuffers(1);
    enterOnce(0);
    ck_assert_uint_eq(countCompletions(), 1);
    expectTextOf(1);
    putBuffers(2);
    enterOnce(0);
    expectTextOf(2);
    expect(4, 4, bufferFlags(1, true));
    putBuffers(1);
    expectTextOf(4);
    expectQuiet();
    ck_assert(!FastEngineHasMore(engine));
    putBuffers(1);
    sendText(peers[3], "last");
    expectTextOf(3);
    closeSockets(5);
}

/* What is submitted finds what the line has left. */
CASE(softLine, isServedBeforeOthers)
{
    makeLine(2);
    expectTextOf(0);
    sendText(pair[0], "text");
    putBuffers(1);
    PREPARE(9, recv, pair[1], NULL, LENGTH, 0);
    last()->flags |= IOSQE_BUFFER_SELECT;
    last()->buf_group = GROUP;
    enterOnce(0);
    expectTextOf(1);
    expect(9, -ENOBUFS, 0);
    closeSockets(2);
}

/* A receive of one never waits for a buffer. */
CASE(softLine, isForReceivesOfMany)
{
    makeLine(2);
    PREPARE(9, recv, pair[1], NULL, LENGTH, 0);
    last()->flags |= IOSQE_BUFFER_SELECT;
    last()->buf_group = GROUP;
    enterOnce(0);
    expectTextOf(0);
    expect(9, -ENOBUFS, 0);
    closeSockets(2);
}

/* Messages, too. */
CASE(softLine, isForMessages)
{
    struct msghdr header = {0};
    const int length = (int)sizeof(struct io_uring_recvmsg_out) + 4;
    openSockets(3, SOCK_DGRAM);
    sendToAll(3);
    putBuffers(1);
    for (int number = 0; number < 3; number++) {
        PREPARE((uint64_t)number + 1, recvmsg_multishot, ours[number], &header, 0);
        last()->flags |= IOSQE_BUFFER_SELECT;
        last()->buf_group = GROUP;
    }
    for (int number = 0; number < 3; number++) {
        expect((uint64_t)number + 1, length, bufferFlags(0, true));
        ck_assert_uint_eq(countCompletions(), 0);
        putBuffers(1);
    }
    expectQuiet();
    closeSockets(3);
}

/* Sockets that always have more than there are buffers for have the same share each, and what is
 * told of the shortage takes nobody's turn. */
static void shareEqually(int count)
{
    static const char much[100 * LENGTH];
    int served[SOCKETS] = {0};
    int told = 0;
    const int rounds = 10;
    openSockets(SOCKETS, SOCK_STREAM);
    for (int number = 0; number < SOCKETS; number++)
        sendAll(peers[number], much, sizeof(much));
    putBuffers(count);
    receiveAllFrom(SOCKETS);
    enterOnce(0);
    for (int pass = 0; pass < rounds * SOCKETS; pass++) {
        int taken = 0;
        while (FastEnginePeek(engine) != NULL) {
            struct Result result = take();
            int number = (int)result.owner - 1;
            if (result.result == -ENOBUFS) {
                told++;
                receiveFrom(number);
                continue;
            }
            ck_assert_int_eq(result.result, LENGTH);
            served[number]++;
            taken++;
        }
        ck_assert_int_eq(taken, count);
        putBuffers(taken);
        enterOnce(0);
    }
    for (int number = 0; number < SOCKETS; number++)
        ck_assert_int_le(abs(served[number] - rounds * count), count);
    ck_assert_int_gt(told, 0);
    ck_assert_int_le(told, rounds * SOCKETS);
    closeSockets(SOCKETS);
}

CASE(softLine, sharesOneBufferEqually)
{
    shareEqually(1);
}

CASE(softLine, sharesFewBuffersEqually)
{
    shareEqually(4);
}

/* What changes while it stands in line is told afterwards. */
CASE(softLine, missesNoEdge)
{
    makeLine(2);
    sendText(peers[1], "more"); /* nobody waits for it, in the enter that finds it */
    for (int count = 0; count < 3; count++)
        enterOnce(0);
    expectTextOf(0);
    putBuffers(2);
    expect(2, 8, bufferFlags(0, true));
    expectQuiet();
    sendText(peers[1], "text");
    expect(2, 4, bufferFlags(1, true));
    putBuffers(1);
    ck_assert_int_eq(shutdown(peers[1], SHUT_WR), 0);
    expect(2, 0, 0);
    closeSockets(2);
}

/* A descriptor may be closed by the owner of an operation that was held. */
CASE(softLine, outlivesItsNumber)
{
    openSockets(2, SOCK_STREAM);
    sendToAll(2);
    putBuffers(1);
    receiveFrom(0);
    receiveFrom(1);
    engine->functions->hold(engine, last());
    enterOnce(0);
    close(ours[1]);
    ours[1] = -1;
    expectTextOf(0);
    putBuffers(1);
    expectTextOf(1);
    closeSockets(2);
}

/* ---- being told ---- */

/* Of those who have waited one an enter learns that buffers lack, and who comes again is last. */
CASE(softLine, tellsOneAnEnter)
{
    bool served[5] = {false};
    int told = -1;
    openSockets(5, SOCK_STREAM);
    putBuffers(1);
    receiveAllFrom(5);
    expectQuiet();
    sendToAll(5);
    enterOnce(WAIT_NS);
    ck_assert_uint_eq(countCompletions(), 2);
    struct Result result = take();
    ck_assert_int_eq(result.result, 4);
    served[result.owner - 1] = true;
    result = take();
    ck_assert_int_eq(result.result, -ENOBUFS);
    ck_assert_uint_eq(result.flags, 0);
    told = (int)result.owner - 1;
    receiveFrom(told);
    for (int count = 0; count < 4; count++) {
        putBuffers(1);
        enterOnce(0);
        ck_assert_uint_eq(countCompletions(), 1); /* who was just submitted is not told again */
        result = take();
        ck_assert_int_eq(result.result, 4);
        ck_assert(!served[result.owner - 1]);
        served[result.owner - 1] = true;
    }
    ck_assert_int_eq((int)result.owner - 1, told);
    closeSockets(5);
}

/* Nobody waits in silence for what nobody gives: an enter that may wait for ever tells all. */
CASE(softLine, tellsAllWhenNoneComesBack)
{
    makeLine(4);
    expectTextOf(0);
    enterOnce(-1);
    ck_assert_uint_eq(countCompletions(), 3);
    for (int number = 1; number < 4; number++)
        expect((uint64_t)number + 1, -ENOBUFS, 0);
    ck_assert(!FastEngineHasMore(engine));
    expectQuiet();
    putBuffers(1); /* who wants no more than its end, or more input, waits on */
    sendText(peers[0], "text");
    expectTextOf(0);
    closeSockets(4);
}

/* As long as the owner has not seen what was filled; whatever else it has not seen. */
CASE(softLine, waitsForItsOwnerAlone)
{
    makeLine(2);
    PREPARE(9, nop);
    for (int count = 0; count < 3; count++)
        enterOnce(0);
    ck_assert_uint_eq(countCompletions(), 2);
    ck_assert(FastEngineHasMore(engine));
    expectTextOf(0);
    enterOnce(0);
    ck_assert_uint_eq(countCompletions(), 2);
    expect(9, 0, 0);
    expect(2, -ENOBUFS, 0);
    expectQuiet();
    closeSockets(2);
}

/* More than there is room for completions. */
CASE(softLine, tellsAllAsThereIsRoom)
{
    closeEngine();
    engine = openEngine(2);
    ck_assert_uint_lt(engine->completion.mask + 1, MANY);
    ck_assert_int_eq(engine->functions->registerBuffers(engine, GROUP, buffers, BUFFERS), 0);
    openSockets(MANY, SOCK_STREAM);
    sendToAll(MANY);
    putBuffers(1);
    for (int number = 0; number < MANY; number++) {
        receiveFrom(number);
        if (FastEngineRoom(engine) == 0)
            enterOnce(0);
    }
    expectTextOf(0);
    enterOnce(0);
    ck_assert_uint_lt(countCompletions(), MANY - 1);
    ck_assert(FastEngineHasMore(engine));
    for (int number = 1; number < MANY; number++)
        expect((uint64_t)number + 1, -ENOBUFS, 0);
    expectQuiet();
    closeSockets(MANY);
}

/* ---- being taken out ---- */

/* By owner and by descriptor: the first, the last, one between; others keep their places. */
CASE(softLine, isLeftByCancellation)
{
    makeLine(6);
    PREPARE(11, cancel64, 1, 0);
    PREPARE(12, cancel64, 4, 0);
    PREPARE(13, cancel_fd, ours[5], 0);
    enterOnce(0);
    expectTextOf(0);
    for (uint64_t owner = 11; owner <= 13; owner++)
        expect(owner, 0, 0);
    expect(1, -ECANCELED, 0);
    expect(4, -ECANCELED, 0);
    expect(6, -ECANCELED, 0);
    PREPARE(14, cancel64, 4, 0);
    putBuffers(1);
    enterOnce(0);
    expect(14, -ENOENT, 0);
    expectTextOf(1);
    putBuffers(1);
    expectTextOf(2);
    putBuffers(1);
    expectTextOf(4);
    expectQuiet();
    closeSockets(6);
}

CASE(softLine, isLeftByAll)
{
    makeLine(4);
    PREPARE(11, cancel64, 0, IORING_ASYNC_CANCEL_ANY); /* as with IORING_ASYNC_CANCEL_ALL */
    enterOnce(0);
    expectTextOf(0);
    expect(11, 4, 0);
    unsigned long owners = 0;
    for (int count = 0; count < 4; count++) {
        struct Result result = take();
        ck_assert_int_eq(result.result, -ECANCELED);
        owners |= 1UL << result.owner;
    }
    ck_assert_uint_eq(owners, 0x1e);
    expectQuiet();
    ck_assert(!FastEngineHasMore(engine));
    closeSockets(4);
}

/* There are no more buffers of that number. */
CASE(softLine, endsWithItsGroup)
{
    makeLine(3);
    engine->functions->unregisterBuffers(engine, GROUP);
    enterOnce(0);
    expectTextOf(0);
    expect(2, -ENOBUFS, 0);
    expect(3, -ENOBUFS, 0);
    expectQuiet();
    closeSockets(3);
}

/* But another ring has the number by then. */
CASE(softLine, goesOnWithAnotherGroup)
{
    makeLine(3);
    engine->functions->unregisterBuffers(engine, GROUP);
    memset(buffers, 0, BUFFERS * sizeof(struct io_uring_buf));
    ck_assert_int_eq(engine->functions->registerBuffers(engine, GROUP, buffers, BUFFERS), 0);
    putBuffers(2);
    enterOnce(0);
    expectTextOf(0);
    expectTextOf(1);
    expect(3, 4, bufferFlags(1, true));
    expectQuiet();
    closeSockets(3);
}

/* One group's line is not another's, and a group may go while others have lines. */
CASE(softLine, isItsGroupsAlone)
{
    struct io_uring_buf_ring* other = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf),
                                           PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                                           0);
    const int mask = io_uring_buf_ring_mask(BUFFERS);
    char place[LENGTH];
    int third[2];
    ck_assert_ptr_ne(other, MAP_FAILED);
    ck_assert_int_eq(engine->functions->registerBuffers(engine, GROUP + 1, other, BUFFERS), 0);
    makeLine(2);
    pairStream(third);
    sendText(pair[0], "text");
    sendText(third[0], "text");
    io_uring_buf_ring_add(other, place, LENGTH, 0, mask, 0);
    io_uring_buf_ring_advance(other, 1);
    prepareMany(8, pair[1], 0, 0, 0);
    last()->buf_group = GROUP + 1;
    prepareMany(9, third[1], 0, 0, 0);
    last()->buf_group = GROUP + 1;
    enterOnce(0);
    engine->functions->unregisterBuffers(engine, GROUP);
    enterOnce(0);
    expectTextOf(0);
    expect(8, 4, bufferFlags(0, true));
    expect(2, -ENOBUFS, 0);
    ck_assert_uint_eq(countCompletions(), 0);
    io_uring_buf_ring_add(other, place, LENGTH, 0, mask, 0);
    io_uring_buf_ring_advance(other, 1);
    expect(9, 4, bufferFlags(0, true));
    expectQuiet();
    closeSockets(2);
    close(third[0]);
    close(third[1]);
    munmap(other, BUFFERS * sizeof(struct io_uring_buf));
}

/* The engine's end: nothing is left. */
CASE(softLine, endsWithTheEngine)
{
    makeLine(5);
    closeSockets(5);
}
