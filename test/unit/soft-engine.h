/*
 * The engine in user space on the real system, for tests that submit entries and take completions
 * one by one: with a pair of connected sockets, and a ring of buffers that is empty at first.
 */
#ifndef TEST_SOFT_ENGINE_H
#define TEST_SOFT_ENGINE_H

#include "engine/epoll.h"
#include "engine/soft.h"
#include "engine/uring-compat.h"
#include "pairs.h"
#include "suite.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

enum
{
    ENTRIES = 64,
    GROUP = 7,
    BUFFERS = 8,
    LENGTH = 64,
    PATIENCE = 1000, /* waits; bounds a hang only */
    WAIT_NS = 20 * 1000 * 1000,
};

static struct FastEngine* engine;
static int pair[2];
static struct io_uring_buf_ring* buffers;
static char memory[BUFFERS][LENGTH];

/* ---- running ---- */

struct Result
{
    uint64_t owner;
    int result;
    uint32_t flags;
};

static inline struct io_uring_sqe* reserve(uint64_t owner)
{
    struct io_uring_sqe* entry = FastEngineReserve(engine);
    ck_assert_ptr_nonnull(entry);
    entry->user_data = owner;
    return entry;
}

/* io_uring_prep_* clears what is set before it. */
#define PREPARE(owner, name, ...)                            \
    do {                                                     \
        struct io_uring_sqe* prepared = reserve(owner);      \
        io_uring_prep_##name(prepared, ##__VA_ARGS__);       \
        prepared->user_data = (owner);                       \
    } while (0)

static inline struct io_uring_sqe* last(void)
{
    return &engine->submission.entries[(engine->submission.tail - 1) & engine->submission.mask];
}

static inline void enterOnce(int64_t timeout)
{
    int result = engine->functions->enter(engine, timeout, NULL);
    ck_assert_msg(result == 0 || result == -EINTR, "%d", result);
}

/* The next completion; fails where none comes. */
static inline struct Result take(void)
{
    struct io_uring_cqe* completion = NULL;
    for (int wait = 0; (completion = FastEnginePeek(engine)) == NULL; wait++) {
        ck_assert_msg(wait < PATIENCE, "no completion comes");
        enterOnce(WAIT_NS);
    }
    struct Result result = {completion->user_data, completion->res, completion->flags};
    FastEngineAdvance(engine);
    return result;
}

static inline void expect(uint64_t owner, int result, uint32_t flags)
{
    struct Result seen = take();
    ck_assert_uint_eq(seen.owner, owner);
    ck_assert_int_eq(seen.result, result);
    ck_assert_uint_eq(seen.flags, flags);
}

/* Nothing has completed, and nothing does. */
static inline void expectQuiet(void)
{
    for (int count = 0; count < 4; count++)
        enterOnce(0);
    ck_assert_ptr_null(FastEnginePeek(engine));
}

/* ---- scenes ---- */

static inline void putBuffers(int count)
{
    int mask = io_uring_buf_ring_mask(BUFFERS);
    for (int index = 0; index < count; index++)
        io_uring_buf_ring_add(buffers, memory[index], LENGTH, (unsigned short)index, mask, index);
    io_uring_buf_ring_advance(buffers, count);
}

static inline struct FastEngine* openEngine(uint32_t length)
{
    struct FastEngine* result = NULL;
    struct FastSystem* system = NULL;
    ck_assert_int_eq(FastEpollOpen(&system), 0);
    ck_assert_int_eq(FastSoftOpen(&result, system, length, 0), 0);
    return result;
}

static inline void closeEngine(void)
{
    engine->functions->close(engine);
    engine->functions->destroy(engine);
}

static inline void setUp(void)
{
    engine = openEngine(ENTRIES);
    buffers = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(buffers, MAP_FAILED);
    ck_assert_int_eq(engine->functions->registerBuffers(engine, GROUP, buffers, BUFFERS), 0);
    pairStream(pair);
}

static inline void tearDown(void)
{
    closeEngine();
    munmap(buffers, BUFFERS * sizeof(struct io_uring_buf));
    close(pair[0]);
    close(pair[1]);
}

/* ---- receives of many ---- */

/* Into buffers of the ring: each receive brings so much, all together whole; 0: what comes. */
static inline void prepareMany(uint64_t owner, int handle, uint16_t priority, uint32_t each,
                               int whole)
{
    PREPARE(owner, recv_multishot, handle, NULL, 0, 0);
    last()->flags |= IOSQE_BUFFER_SELECT;
    last()->buf_group = GROUP;
    last()->ioprio |= priority;
    last()->len = each;
    last()->splice_fd_in = whole;
}

static inline uint32_t bufferFlags(uint32_t id, bool more)
{
    return IORING_CQE_F_BUFFER | id << IORING_CQE_BUFFER_SHIFT | (more ? IORING_CQE_F_MORE : 0);
}

#endif
