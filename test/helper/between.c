#include "between.h"
#include "fixture.h"

enum
{
    QUEUE = 4096,   /* completions between kernel and ring */
    ANSWERS = 1024, /* entries answered and not completed */
    HELD = 512,
};

/* Of an entry that is not run. */
struct Answer
{
    uint64_t owner; /* 0: none */
    int32_t result;
    uint32_t flags;
};

typedef __typeof__(((struct FastEngine*)NULL)->completion) Queue;

static struct
{
    struct Between hooks;
    struct FastEngineFunctions functions;
    const struct FastEngineFunctions* below;
    Queue kernel; /* which the engine below fills, whichever it is */
    Queue ours;   /* which the ring sees */
    struct Completion entries[QUEUE];
    unsigned head;
    unsigned tail;
    struct Answer answers[ANSWERS];
    struct Completion held[HELD];
    int heldCount;
} state;

/* The ring takes the queue for one of the kernel's. */
_Static_assert(sizeof(struct Completion) == sizeof(struct io_uring_cqe), "an io_uring_cqe");

/* ---- completions ---- */

void betweenDeliver(struct Completion completion)
{
    ck_assert_uint_lt(state.tail - state.head, QUEUE);
    state.entries[state.tail % QUEUE] = completion;
    __atomic_store_n(&state.tail, state.tail + 1, __ATOMIC_RELEASE);
}

void betweenHold(struct Completion completion)
{
    ck_assert_int_lt(state.heldCount, HELD);
    state.held[state.heldCount++] = completion;
}

int betweenHeld(void)
{
    return state.heldCount;
}

void betweenRelease(void)
{
    while (state.heldCount > 0)
        betweenDeliver(state.held[--state.heldCount]);
}

static void pass(struct Completion completion)
{
    if (state.hooks.pass != NULL)
        state.hooks.pass(completion);
    else
        betweenDeliver(completion);
}

/* ---- answers ---- */

static struct Answer* findAnswer(uint64_t owner)
{
    for (int index = 0; index < ANSWERS; index++)
        if (state.answers[index].owner == owner)
            return &state.answers[index];
    return NULL;
}

void betweenAnswer(struct io_uring_sqe* entry, int32_t result, uint32_t flags)
{
    struct Answer* answer = findAnswer(0);

    ck_assert_msg(answer != NULL, "too many operations");
    *answer = (struct Answer){entry->user_data, result, flags};
    /* One that fails, so that what is linked behind it is canceled; and one that doesn't. */
    *entry = (struct io_uring_sqe){
        .opcode = result < 0 ? IORING_OP_READ : IORING_OP_NOP,
        .flags = entry->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK),
        .fd = -1,
        .user_data = entry->user_data,
    };
}

static void passAnswer(struct Answer* answer)
{
    struct Answer copy = *answer;

    answer->owner = 0;
    pass((struct Completion){copy.owner, copy.result, copy.flags});
    if (copy.flags & IORING_CQE_F_MORE)
        pass((struct Completion){.user_data = copy.owner, .flags = IORING_CQE_F_NOTIF});
}

/* ---- the engine ---- */

static void lookAtEntries(const struct FastEngine* engine)
{
    unsigned head = __atomic_load_n(engine->submission.head, __ATOMIC_ACQUIRE);
    unsigned first = engine->submission.tail - FastEngineReserved(engine);

    ck_assert_uint_eq(first, head);
    if (state.hooks.look == NULL)
        return;
    for (unsigned place = first; place != engine->submission.tail; place++)
        state.hooks.look(&engine->submission.entries[place & engine->submission.mask]);
}

static void passCompletions(void)
{
    const Queue* kernel = &state.kernel;

    while (*kernel->head != __atomic_load_n(kernel->tail, __ATOMIC_ACQUIRE)) {
        const struct io_uring_cqe* entry = &kernel->entries[*kernel->head & kernel->mask];
        struct Completion copy = {entry->user_data, entry->res, entry->flags};
        struct Answer* answer = copy.user_data == 0 ? NULL : findAnswer(copy.user_data);
        __atomic_store_n(kernel->head, *kernel->head + 1, __ATOMIC_RELEASE);
        if (answer != NULL)
            passAnswer(answer);
        else
            pass(copy);
    }
}

static int enterBetween(struct FastEngine* engine, int64_t timeout, const sigset_t* mask)
{
    int result = state.hooks.refuse == NULL ? 0 : state.hooks.refuse();

    if (result != 0)
        return result;
    lookAtEntries(engine);
    engine->completion = state.kernel;
    result = state.below->enter(engine, timeout, mask);
    engine->completion = state.ours;
    passCompletions();
    return result;
}

static void destroyBelow(struct FastEngine* engine)
{
    engine->completion = state.kernel;
    state.below->destroy(engine);
}

void betweenPut(struct FastEngine* engine, struct Between between)
{
    memset(&state, 0, sizeof(state));
    state.hooks = between;
    state.functions = *engine->functions;
    state.functions.enter = enterBetween;
    state.functions.destroy = destroyBelow;
    state.below = engine->functions;
    state.kernel = engine->completion;
    state.ours = engine->completion;
    state.ours.entries = (struct io_uring_cqe*)state.entries;
    state.ours.head = &state.head;
    state.ours.tail = &state.tail;
    state.ours.mask = QUEUE - 1;
    engine->functions = &state.functions;
    engine->completion = state.ours;
}

void betweenSetFlags(struct FastEngine* engine, const unsigned* flags)
{
    state.kernel.flags = flags;
    state.ours.flags = flags;
    engine->completion.flags = flags;
}
