/*
 * Whether one receive of a stream may fill several buffers.
 */
#ifndef FASTSOCKET_SOCKET_BUNDLE_H
#define FASTSOCKET_SOCKET_BUNDLE_H

#include "socket/core.h"

/* A completion with bytes says nothing for or against bundles: a piece of a buffer, and single
 * buffers are what has paid. */
static inline bool FastBundleIsUsual(const struct FastSocket* socket,
                                     const struct io_uring_cqe* completion)
{
    const struct FastInbound* inbound = &socket->inbound;
    return inbound->receive.form == FAST_RECEIVE_MULTISHOT && inbound->contrary == 0 &&
           (uint32_t)completion->res < FastProviderLength(FastSocketProvider(socket));
}

/* What FastBundleWeigh does where that is not clear at a glance. */
bool FastBundleConsider(struct FastSocket* socket, const struct io_uring_cqe* completion);

/* A completion with bytes is about to be taken: what it says for or against bundles. true: the
 * receive in flight had better be armed again, in the other form. */
static inline bool FastBundleWeigh(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    return !FastBundleIsUsual(socket, completion) && FastBundleConsider(socket, completion);
}

/* A receive is being armed: the bytes that each bundle may bring; 0: it is to fill single
 * buffers. */
uint64_t FastBundleBegin(struct FastSocket* socket);

#endif
