/*
 * Descriptors, and who waits for them.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_NODE_H
#define FASTSOCKET_ENGINE_SOFT_NODE_H

#include "engine/soft-state.h"

#include <poll.h>

/* The node of a descriptor; NULL without memory, or for a negative number. */
struct FastSoftNode* FastSoftNode(struct FastSoft* soft, int handle);

/* The same, if there is one already. */
static inline struct FastSoftNode* FastSoftKnownNode(const struct FastSoft* soft, int handle)
{
    uint32_t chunk = (uint32_t)handle / FAST_SOFT_CHUNK;
    if (chunk >= soft->nodes.count || soft->nodes.chunks[chunk] == NULL)
        return NULL; /* also of a negative number */
    return &soft->nodes.chunks[chunk][(uint32_t)handle % FAST_SOFT_CHUNK];
}

/*
 * Lets an operation that is in no place wait for its descriptor: it is queued when what it waits
 * for, POLLERR or POLLHUP comes. Returns 0, or a negative errno: it waits for nothing (-EPERM: the
 * descriptor is always ready).
 */
int FastSoftPark(struct FastSoft* soft, struct FastSoftOperation* operation);

/* What may be closed by its owner while it is in flight goes on with duplicates. Returns the
 * descriptor that it waits for, or a negative errno: there is none, or no number for a duplicate,
 * and it can't go on. */
int FastSoftOwnHandle(struct FastSoft* soft, struct FastSoftOperation* operation);

/* Out of the circle of its descriptor. */
void FastSoftUnpark(struct FastSoft* soft, struct FastSoftOperation* operation);

/* Queues who has waited for it. */
void FastSoftHandleEvent(struct FastSoft* soft, const struct FastSystemEvent* event);

/* The number is given up: what is known of it belongs to nobody. */
void FastSoftForget(struct FastSoft* soft, int handle);

/* A receive has brought less than it had room for: true if there may be more all the same. */
bool FastSoftMayHaveMore(struct FastSoft* soft, const struct FastSoftOperation* operation);

/* Whether a watched descriptor is a socket of datagrams, where an empty one is no end. */
bool FastSoftHasDatagrams(struct FastSoft* soft, const struct FastSoftOperation* operation);

/* Fewer messages have come than there was room for: true if there may be an error all the same. */
bool FastSoftMayFail(const struct FastSoft* soft, const struct FastSoftOperation* operation);

/* A receive has found nothing: input has not ended, and has no error. */
void FastSoftNoteNothing(struct FastSoft* soft, const struct FastSoftOperation* operation);

/* At the engine's end. */
void FastSoftFreeNodes(struct FastSoft* soft);

/* By opcode; 0: FastSoftEventsOf knows. */
extern const uint16_t FastSoftEvents[UINT8_MAX + 1] __attribute__((visibility("hidden")));

/* A splice waits for what it reads from, or for room. */
static inline bool FastSoftSplicesIn(const struct FastSoftOperation* operation)
{
    return operation->opcode == IORING_OP_SPLICE && !(operation->state & FAST_SOFT_STARTED);
}

/* POLL* bits that an operation waits for. */
static inline uint32_t FastSoftEventsOf(const struct FastSoftOperation* operation)
{
    uint32_t events = FastSoftEvents[operation->opcode];
    if (events != 0)
        return events;
    if (operation->opcode == IORING_OP_SPLICE)
        return FastSoftSplicesIn(operation) ? POLLIN : POLLOUT;
    return (operation->options & UINT16_MAX) | POLLRDHUP;
}

/* The descriptor that it waits for. */
static inline int FastSoftHandleOf(const struct FastSoftOperation* operation)
{
    return FastSoftSplicesIn(operation) ? operation->extra : operation->handle;
}

#endif
