/*
 * What the parts of the raw contender share: one ring, its buffers, operations that know who is
 * told of their completions, and what is done once a turn.
 */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <liburing.h>

#include "server.h"

/* Newer than liburing 2.3. */
#ifndef IORING_RECVSEND_BUNDLE
#define IORING_RECVSEND_BUNDLE (1U << 4)
#endif
#ifndef IORING_FEAT_RECVSEND_BUNDLE
#define IORING_FEAT_RECVSEND_BUNDLE (1U << 14)
#endif

/* ---- ring ---- */

/* In flight; the completion's user_data is its address. */
struct Operation
{
    void (*complete)(void* owner, const struct io_uring_cqe* completion);
    void* owner;
};

void openRing(const struct ServerOptions* options);

/* An entry to be prepared, and given its operation as data. */
struct io_uring_sqe* takeEntry(void);

/* Runs for ever. What is called at the end of each turn sends what the turn brought. */
noreturn void runRing(void (*endTurn)(void));

/* ---- receive buffers, in the ring's only group ---- */

enum
{
    BUFFER_GROUP = 1
};

void openBuffers(const struct ServerOptions* options);

/* Has a receive take its buffers from the group. */
void useBuffers(struct io_uring_sqe* entry, bool bundle);

/* The number of the buffer that a completion filled first. */
unsigned bufferOf(const struct io_uring_cqe* completion);
uint8_t* bufferData(unsigned buffer);

/* The one that the kernel takes after this: a bundle goes on there. */
unsigned bufferBehind(unsigned buffer);

/* Gives a buffer back to the kernel, at the end of the turn. */
void returnBuffer(unsigned buffer);

/* Has an operation's function called without a completion (NULL) once there are buffers again. */
void waitForBuffers(struct Operation* operation);

/* ---- the parts ---- */

void serveStreams(int listener, const struct ServerOptions* options);
void serveDatagrams(int handle, const struct ServerOptions* options);

/* How a burst leaves: see raw-push.c. */
enum RawPushWay
{
    RAW_PUSH_USUAL,
    RAW_PUSH_TRIED,
    RAW_PUSH_LINKED
};

/* One push after the other on one connection. */
struct RawPush;
struct RawPush* createRawPush(int handle, enum RawPushWay way);
void takeRawRequest(struct RawPush* push, const void* data, size_t length);
void releaseRawPush(struct RawPush* push);

#endif
