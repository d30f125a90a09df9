/*
 * An engine between a ring and its engine, for tests of the inside: it looks at each entry on its
 * way to the kernel and at each completion on its way back, and may change them, answer itself, or
 * keep a completion for later. One at a time.
 */
#ifndef TEST_BETWEEN_H
#define TEST_BETWEEN_H

#include "engine/engine.h"

/* An io_uring_cqe without what may follow it. */
struct Completion
{
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};

/* What a test does there; each may be NULL. */
struct Between
{
    /* Before each enter: a negative errno is what the enter gives, and nothing enters; 0: go on. */
    int (*refuse)(void);

    /* Each entry that is about to enter, in order. It comes again if the kernel doesn't take it. */
    void (*look)(struct io_uring_sqe* entry);

    /* Each completion, in order, answers among them; without it they are delivered. */
    void (*pass)(struct Completion completion);
};

/* Puts it before an engine, until that is destroyed. What it held for another one is forgotten. */
void betweenPut(struct FastEngine* engine, struct Between between);

/* From now on the engine's flags (IORING_SQ_TASKRUN, say) stand there, for itself as well. */
void betweenSetFlags(struct FastEngine* engine, const unsigned* flags);

/* From look: the entry is not run, but completes with this. If the flags have IORING_CQE_F_MORE,
 * the notification of a send without copy follows. */
void betweenAnswer(struct io_uring_sqe* entry, int32_t result, uint32_t flags);

/* To the ring, which finds it after the enter or, called from outside of one, in its next turn. */
void betweenDeliver(struct Completion completion);

/* Keeps a completion until betweenRelease, which delivers all that are held. The last comes first:
 * they may come in any order. */
void betweenHold(struct Completion completion);
int betweenHeld(void);
void betweenRelease(void);

#endif
