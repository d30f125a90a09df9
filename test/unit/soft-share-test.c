/*
 * The engine in user space on the real system: who has more than a pass takes leaves room in it for
 * the others.
 */
#include "soft-engine.h"

enum
{
    MANY = 256,   /* buffers, each for one byte, or one message */
    AMOUNT = 100, /* bytes, or messages, of each of two */
    AT_MOST = 32, /* receives of one operation in a pass */
    OTHER = GROUP + 1,
    FRONT = sizeof(struct io_uring_recvmsg_out),
};

static struct io_uring_buf_ring* many;
static char places[MANY][FRONT + 1];
static int pairs[2][2];

static void openFlood(int type, int size)
{
    engine = openEngine(MANY);
    many = mmap(NULL, MANY * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(many, MAP_FAILED);
    ck_assert_int_eq(engine->functions->registerBuffers(engine, OTHER, many, MANY), 0);
    for (int index = 0; index < MANY; index++)
        io_uring_buf_ring_add(many, places[index], (unsigned)size, (unsigned short)index,
                              io_uring_buf_ring_mask(MANY), index);
    io_uring_buf_ring_advance(many, MANY);
    for (int which = 0; which < 2; which++)
        pairUnix(pairs[which], type);
}

static void closeFlood(void)
{
    closeEngine();
    munmap(many, MANY * sizeof(struct io_uring_buf));
    for (int which = 0; which < 2; which++) {
        close(pairs[which][0]);
        close(pairs[which][1]);
    }
}

static void selectBuffer(void)
{
    last()->flags |= IOSQE_BUFFER_SELECT;
    last()->buf_group = OTHER;
}

static void flood(void)
{
    for (int which = 0; which < 2; which++)
        for (int index = 0; index < AMOUNT; index++)
            ck_assert_int_eq((int)send(pairs[which][0], "x", 1, 0), 1);
}

/* Whoever comes first: the other one is next, long before all of the first. */
static void expectTurns(void)
{
    int counts[2] = {0};
    for (int index = 0; index < 2 * AT_MOST; index++) {
        struct Result seen = take();
        ck_assert_int_gt(seen.result, 0);
        counts[seen.owner]++;
    }
    ck_assert_int_eq(counts[0], AT_MOST);
    for (int index = 2 * AT_MOST; index < 2 * AMOUNT; index++)
        counts[take().owner]++;
    ck_assert_int_eq(counts[0], AMOUNT);
    ck_assert_int_eq(counts[1], AMOUNT);
}

AREA(softShare, "soft-share");

/* §2.3 burst on many sockets: receives of bytes */
CASE(softShare, isOfBytes)
{
    openFlood(SOCK_STREAM, 1);
    for (uint64_t which = 0; which < 2; which++) {
        PREPARE(which, recv_multishot, pairs[which][1], NULL, 0, 0);
        selectBuffer();
    }
    enterOnce(0);
    flood();
    expectTurns();
    closeFlood();
}

/* §2.3 burst on many sockets: receives of messages */
CASE(softShare, isOfMessages)
{
    struct msghdr header = {0};
    openFlood(SOCK_SEQPACKET, FRONT + 1);
    for (uint64_t which = 0; which < 2; which++) {
        PREPARE(which, recvmsg_multishot, pairs[which][1], &header, 0);
        selectBuffer();
    }
    enterOnce(0);
    flood();
    expectTurns();
    closeFlood();
}
