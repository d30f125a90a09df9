/*
 * Whether one receive of a stream may fill several buffers: a bundle.
 *
 * Good path: a bundle costs the kernel somewhat with each message, and saves much where there is
 * more than a buffer holds. So a socket begins with single buffers; after a run of them that were
 * too small the receive is armed again as one of bundles, and after a long run of bundles of one
 * buffer as it was before. Each change doubles what it takes to come to the next.
 *
 * Failures: the kernel has no bundles, or the provider no buffers for them: single ones it is. Also
 * for bytes that are thrown away, which are to take no more buffers from others.
 */
#include "socket/bundle.h"

enum
{
    BUNDLE_MANY = 4,        /* buffers that were too small, until bundles are tried */
    BUNDLE_FEW = 64,        /* bundles of one buffer, until there are none */
    BUNDLE_MAX_CHANGES = 8, /* that count */
    /* A turn limit below this asks for less than a bundle usually brings. */
    BUNDLE_MIN_LIMIT = 256 << 10,
    BUNDLE_MAX_SIZE = 1 << 20, /* where the turn limit lets it be */
    BUNDLE_RING_SHARE = 4, /* a bundle takes 1/4 of the provider's buffers at most */
};

/* ---- what is there for them ---- */

/* A bundle takes whatever is there. So either the kernel can bound each receive, or the socket's
 * turn limit is not below what a bundle usually brings. */
static bool isPossible(const struct FastSocket* socket)
{
    const struct FastInbound* inbound = &socket->inbound;
    uint64_t features = FastRingEngine(socket->ring)->features;
    return FastSocketHas(socket, FAST_TRAIT_BUNDLES) && !inbound->discard &&
           inbound->queue.rules->layout == FAST_INBOUND_BYTES &&
           features & FASTRING_FEATURE_RECEIVE_BUNDLE &&
           FastProviderCount(FastSocketProvider(socket)) >= BUNDLE_RING_SHARE &&
           (features & FASTRING_FEATURE_RECEIVE_CAP ||
            inbound->queue.rules->turnLimit >= BUNDLE_MIN_LIMIT);
}

/* Bytes that one may bring, where there are buffers enough. */
static uint64_t mostOf(const struct FastSocket* socket)
{
    uint64_t limit = socket->inbound.queue.rules->turnLimit;
    return limit < BUNDLE_MAX_SIZE ? limit : BUNDLE_MAX_SIZE;
}

/* Enough buffers for the largest. */
static void expect(const struct FastSocket* socket)
{
    uint64_t length = FastProviderLength(FastSocketProvider(socket));
    uint64_t number = (mostOf(socket) + length - 1) / length * BUNDLE_RING_SHARE;
    FastProviderExpect(FastSocketProvider(socket), (uint32_t)number);
    FastProviderFillSoon(FastSocketProvider(socket));
}

/* The kernel ends a multishot receive of a bundle that could take all that is left in the ring
 * (6.17 and later), though it took a single buffer. */
uint64_t FastBundleBegin(struct FastSocket* socket)
{
    const struct FastInbound* inbound = &socket->inbound;
    if (inbound->better != FAST_RECEIVE_BUNDLE || !isPossible(socket))
        return 0;
    expect(socket);
    uint64_t share = FastProviderFilledSlots(FastSocketProvider(socket)) / BUNDLE_RING_SHARE *
                     (uint64_t)FastProviderLength(FastSocketProvider(socket));
    return share < mostOf(socket) ? share : mostOf(socket);
}

/* ---- whether they pay ---- */

/* The other form were better. On a receive of single buffers the kernel says that there is more, or
 * another one has come in this turn. */
static bool isContrary(const struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    const struct FastInbound* inbound = &socket->inbound;
    uint32_t length = FastProviderLength(FastSocketProvider(socket));
    if (inbound->receive.form == FAST_RECEIVE_BUNDLE)
        return (uint32_t)completion->res <= length;
    return (uint32_t)completion->res >= length && inbound->receive.form == FAST_RECEIVE_MULTISHOT &&
           (completion->flags & IORING_CQE_F_SOCK_NONEMPTY ||
            inbound->turn == (uint32_t)FastRingTurn(socket->ring));
}

/* A run has come to its end. */
static bool change(struct FastSocket* socket)
{
    struct FastInbound* inbound = &socket->inbound;
    inbound->contrary = 0;
    inbound->better = FAST_RECEIVE_MULTISHOT;
    if (inbound->receive.form == FAST_RECEIVE_BUNDLE)
        return true;
    if (!isPossible(socket))
        return false;
    inbound->better = FAST_RECEIVE_BUNDLE;
    inbound->changes += inbound->changes < BUNDLE_MAX_CHANGES;
    return true;
}

bool FastBundleWeigh(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    struct FastInbound* inbound = &socket->inbound;
    if (inbound->rearm)
        return false; /* it has said so */
    if (!isContrary(socket, completion)) {
        inbound->contrary -= inbound->contrary > 0;
        return false;
    }
    int run = inbound->receive.form == FAST_RECEIVE_BUNDLE ? BUNDLE_FEW : BUNDLE_MANY;
    return ++inbound->contrary >= run << inbound->changes && change(socket);
}
