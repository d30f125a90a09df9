/*
 * An engine without a kernel, for tests of the inside: arrays in plain memory, and a test that says
 * what becomes of each entry. Needs no fixture, opens nothing and never sleeps.
 *
 *     static struct Simulated kernel;
 *     struct FastRing* ring = FastRingCreateOn(simulatedOpen(&kernel));
 *
 * What the test says nothing about behaves as a kernel would: a cancellation ends its target with
 * -ECANCELED, or finds none; a wake completes; all else stays in flight until simulatedComplete.
 */
#ifndef TEST_SIMULATED_H
#define TEST_SIMULATED_H

#include "engine/engine.h"

enum
{
    SIMULATED_ENTRIES = 64,      /* powers of two */
    SIMULATED_COMPLETIONS = 256,
    SIMULATED_FLIGHT = 256,      /* operations in flight at a time */
    SIMULATED_GROUPS = 8,
};

struct SimulatedGroup
{
    struct io_uring_buf* entries; /* NULL: not registered */
    uint32_t count;
    uint16_t id;
    uint16_t head; /* entries taken, modulo 65536 */
};

struct Simulated
{
    struct FastEngine base;

    /* Set after simulatedOpen; each may be NULL. */

    /* Before each enter: a negative errno is what the enter gives, and nothing enters; 0: go on. */
    int (*refuse)(struct Simulated* kernel);

    /* Each entry that enters, in order, in flight already: it may be completed at once. true:
     * that was all; false: what would become of it without this function. */
    bool (*enter)(struct Simulated* kernel, const struct io_uring_sqe* entry);

    int registration; /* what registerBuffers gives, 0 at first */
    int polling;      /* what setBusyPoll gives, 0 at first */

    /* To be read. */
    unsigned entered; /* entries so far */
    int64_t timeout;  /* of the last enter */
    unsigned polls;   /* calls of setBusyPoll so far, and what the last one said */
    uint32_t pollMicroseconds;
    bool pollPrefers;
    bool closed;
    bool destroyed; /* the ring is gone: the memory is the test's again */

    /* Its own. */
    struct io_uring_sqe entries[SIMULATED_ENTRIES];
    /* struct io_uring_cqe, which C lets nobody make an array of */
    uint64_t completions[SIMULATED_COMPLETIONS][2];
    struct io_uring_sqe inFlight[SIMULATED_FLIGHT];
    unsigned inFlightCount;
    struct SimulatedGroup groups[SIMULATED_GROUPS];
    unsigned submissionHead;
    unsigned completionHead;
    unsigned completionTail;
    unsigned flags;
    atomic_bool woken;
};

/* Makes an engine, with no features but multishot receives, for FastRingCreateOn. */
struct FastEngine* simulatedOpen(struct Simulated* kernel);

/* The operation in flight that belongs to owner (its user_data), or NULL. */
const struct io_uring_sqe* simulatedFind(const struct Simulated* kernel, uint64_t owner);

/* The oldest operation in flight with this opcode, or NULL. */
const struct io_uring_sqe* simulatedFindCode(const struct Simulated* kernel, uint8_t opcode);

/* A completion of owner's operation, which is over unless flags have IORING_CQE_F_MORE. */
void simulatedComplete(struct Simulated* kernel, uint64_t owner, int32_t result, uint32_t flags);

/* Takes the next buffer of a registered group, as a receive does; NULL when it has none. */
const struct io_uring_buf* simulatedTakeBuffer(struct Simulated* kernel, uint16_t group);

#endif
