/*
 * The ring's part of a trace.
 *
 * Good path: entries are looked at behind each task that may have reserved some, and remembered by
 * their user_data, so that a completion can be told with its descriptor and opcode. Members that
 * can be looked at are compared, after a turn, with what they were after the one before. So nothing
 * that decides anything has to know of traces.
 *
 * Failures: without memory operations have no name, and members are not told of.
 */
#include "ring/trace.h"
#include "base/trace.h"

#include <stdlib.h>

enum
{
    TRACE_ROWS = 1024,
};

/* An operation in flight, or a member as it was. */
struct TraceItem
{
    struct TraceItem* next; /* of its row */
    uint64_t key;           /* user_data, or address */
    uint64_t round;         /* of a member: the turn in which it was last seen */
    int handle;
    const char* name; /* of the opcode; NULL: this is a member */
    struct FastLook look;
};

struct FastRingTrace
{
    struct TraceItem* rows[TRACE_ROWS];
    unsigned tail; /* of the entries that were told */
};

static const char* nameOf(uint8_t opcode)
{
    static const char* const names[] = {
        [IORING_OP_NOP] = "nop",
        [IORING_OP_READV] = "readv",
        [IORING_OP_WRITEV] = "writev",
        [IORING_OP_POLL_ADD] = "poll",
        [IORING_OP_POLL_REMOVE] = "poll-remove",
        [IORING_OP_SENDMSG] = "sendmsg",
        [IORING_OP_RECVMSG] = "recvmsg",
        [IORING_OP_ACCEPT] = "accept",
        [IORING_OP_ASYNC_CANCEL] = "cancel",
        [IORING_OP_CONNECT] = "connect",
        [IORING_OP_CLOSE] = "close",
        [IORING_OP_READ] = "read",
        [IORING_OP_WRITE] = "write",
        [IORING_OP_SEND] = "send",
        [IORING_OP_RECV] = "recv",
        [IORING_OP_SPLICE] = "splice",
        [IORING_OP_SHUTDOWN] = "shutdown",
        [IORING_OP_SEND_ZC] = "send-zero-copy",
        [IORING_OP_SENDMSG_ZC] = "sendmsg-zero-copy",
    };
    const char* name = opcode < sizeof(names) / sizeof(names[0]) ? names[opcode] : NULL;
    return name != NULL ? name : "other";
}

/* ---- what is remembered ---- */

static struct TraceItem** placeOf(struct FastRingTrace* trace, uint64_t key)
{
    struct TraceItem** place = &trace->rows[(key >> 4) % TRACE_ROWS];
    while (*place != NULL && (*place)->key != key)
        place = &(*place)->next;
    return place;
}

static void forget(struct TraceItem** place)
{
    struct TraceItem* item = *place;
    *place = item->next;
    free(item);
}

/* That of the key, made if there is none; NULL: no memory. */
static struct TraceItem* remember(struct FastRingTrace* trace, uint64_t key)
{
    struct TraceItem** place = placeOf(trace, key);
    if (*place == NULL) {
        *place = calloc(1, sizeof(**place));
        if (*place != NULL)
            (*place)->key = key;
    }
    return *place;
}

/* ---- entries and completions ---- */

void FastRingTraceTurn(struct FastRing* ring)
{
    if (ring->trace == NULL) {
        ring->trace = calloc(1, sizeof(*ring->trace));
        if (ring->trace != NULL)
            ring->trace->tail = ring->engine->submission.tail;
        ring->opened = FAST_RING_SHUT;
        FastRingSetOutside(ring, ring->turn.outside);
    }
    FastTraceTurn(ring, ring->statistics.turns);
}

void FastRingTraceEntries(struct FastRing* ring)
{
    struct FastRingTrace* trace = ring->trace;
    const struct FastEngine* engine = ring->engine;
    if (trace == NULL)
        return;
    if (engine->submission.tail - trace->tail > engine->submission.mask + 1)
        trace->tail = engine->submission.tail - engine->submission.mask - 1; /* others are gone */
    for (; trace->tail != engine->submission.tail; trace->tail++) {
        const struct io_uring_sqe* entry =
            &engine->submission.entries[trace->tail & engine->submission.mask];
        struct TraceItem* item = remember(trace, entry->user_data);
        FastTraceSubmit(ring, entry->fd, nameOf(entry->opcode), entry->user_data);
        if (item != NULL) {
            item->handle = entry->fd;
            item->name = nameOf(entry->opcode);
        }
    }
}

void FastRingTraceCompletion(struct FastRing* ring, const struct io_uring_cqe* completion)
{
    bool more = completion->flags & IORING_CQE_F_MORE;
    struct TraceItem** place =
        ring->trace != NULL ? placeOf(ring->trace, completion->user_data) : NULL;
    struct TraceItem* item = place != NULL ? *place : NULL;
    FastTraceComplete(ring, item != NULL ? item->handle : -1, item != NULL ? item->name : "other",
                      completion->user_data, completion->res, more);
    if (item != NULL && !more)
        forget(place);
}

/* ---- members ---- */

static void compare(struct TraceItem* item, const struct FastLook* now)
{
    uint64_t changed = item->look.bits ^ now->bits;
    for (int bit = 0; changed != 0; bit++, changed >>= 1)
        if (changed & 1)
            FastTraceDecide(now->object, now->handle, now->names[bit], now->bits >> bit & 1);
    for (int index = 0; index < FAST_LOOK_COUNTS; index++)
        if (now->counts[index] != item->look.counts[index] && now->countNames[index] != NULL)
            FastTraceDecide(now->object, now->handle, now->countNames[index], true);
}

static void lookAt(struct FastRing* ring, const struct FastRingMember* member)
{
    struct FastLook now = {.handle = -1};
    member->functions->look(member, &now);
    struct TraceItem* item = remember(ring->trace, (uintptr_t)now.object);
    if (item == NULL)
        return;
    if (item->round == 0)
        FastTraceDecide(now.object, now.handle, "made", true);
    compare(item, &now);
    item->look = now;
    item->round = ring->statistics.turns;
}

/* What was not seen is there no more. */
static void tellGone(struct FastRing* ring)
{
    for (int row = 0; row < TRACE_ROWS; row++) {
        struct TraceItem** place = &ring->trace->rows[row];
        while (*place != NULL)
            if ((*place)->name == NULL && (*place)->round != ring->statistics.turns) {
                FastTraceDecide((*place)->look.object, (*place)->look.handle, "closed", true);
                forget(place);
            } else
                place = &(*place)->next;
    }
}

void FastRingTraceMembers(struct FastRing* ring)
{
    if (ring->trace == NULL)
        return;
    for (const struct FastRingMember* member = ring->members; member != NULL; member = member->next)
        if (member->functions->look != NULL)
            lookAt(ring, member);
    tellGone(ring);
}

void FastRingTraceEnd(struct FastRing* ring)
{
    if (ring->trace == NULL)
        return;
    for (int row = 0; row < TRACE_ROWS; row++)
        while (ring->trace->rows[row] != NULL)
            forget(&ring->trace->rows[row]);
    free(ring->trace);
    ring->trace = NULL;
}
