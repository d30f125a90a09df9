/*
 * The engine in user space, on the real system, entry by entry: for tests that put nothing above
 * it. One at a time is «engine».
 */
#ifndef TEST_SOFT_ENGINE_H
#define TEST_SOFT_ENGINE_H

#include "engine/epoll.h"
#include "engine/soft.h"
#include "suite.h"

#include <errno.h>

enum
{
    PATIENCE = 1000, /* waits; bounds a hang only */
    WAIT_NS = 20 * 1000 * 1000,
};

static struct FastEngine* engine;

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

#endif
