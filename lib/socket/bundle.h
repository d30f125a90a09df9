/*
 * Whether one receive of a stream may fill several buffers.
 */
#ifndef FASTSOCKET_SOCKET_BUNDLE_H
#define FASTSOCKET_SOCKET_BUNDLE_H

#include "socket/core.h"

/* A completion with bytes is about to be taken: what it says for or against bundles. true: the
 * receive in flight had better be armed again, in the other form. A piece of a buffer says nothing
 * while single buffers are what has paid (isPlain of receive.c). */
bool FastBundleWeigh(struct FastSocket* socket, const struct io_uring_cqe* completion);

/* A receive is being armed: the bytes that each bundle may bring; 0: it is to fill single
 * buffers. */
uint64_t FastBundleBegin(struct FastSocket* socket);

#endif
