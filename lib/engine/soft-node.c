/*
 * Descriptors, and who waits for them.
 *
 * A descriptor is watched from the first time that somebody waits for it, by edges, and for what is
 * waited for. It stays watched while nobody waits, so that the next to do so costs nothing; what
 * comes then and nobody wants is no more watched for.
 *
 * An edge is reported once. It can't be lost: an operation tries before it waits, and whatever
 * becomes ready after its last try is an edge that the next wait finds. Where the last try has not
 * shown that nothing is there, or was no try, the system is asked to look at once.
 *
 * A number may be closed and given to another file without our hearing of it: of what waits for
 * something else than a poll it is known that it is not (its owner keeps it open). In any other
 * case the system is told to watch it, and says whether it knows this file by this number. It then
 * tells what holds once more, which is avoided for what sends: that comes again and again, and
 * would have others told of what they know.
 */
#include "engine/soft-node.h"
#include "engine/soft-operation.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

/* What tells of more than that there is something to be read. */
#define NODE_LASTING (POLLRDHUP | POLLHUP | POLLERR | POLLPRI)

/* What a receive waits for. */
#define NODE_INPUT (POLLIN | POLLRDHUP | POLLPRI)

/* ---- the table ---- */

static bool growTable(struct FastSoft* soft, uint32_t chunk)
{
    if (chunk < soft->nodes.count)
        return true;
    uint32_t count = soft->nodes.count > 0 ? soft->nodes.count : 1;
    while (count <= chunk)
        count *= 2;
    struct FastSoftNode** chunks =
        realloc(soft->nodes.chunks, count * sizeof(struct FastSoftNode*));
    if (chunks == NULL)
        return false;
    for (uint32_t index = soft->nodes.count; index < count; index++)
        chunks[index] = NULL;
    soft->nodes.chunks = chunks;
    soft->nodes.count = count;
    return true;
}

struct FastSoftNode* FastSoftNode(struct FastSoft* soft, int handle)
{
    struct FastSoftNode* node = FastSoftKnownNode(soft, handle);
    uint32_t chunk = (uint32_t)handle / FAST_SOFT_CHUNK;
    if (node != NULL || handle < 0 || !growTable(soft, chunk))
        return node;
    soft->nodes.chunks[chunk] = calloc(FAST_SOFT_CHUNK, sizeof(struct FastSoftNode));
    return FastSoftKnownNode(soft, handle);
}

void FastSoftFreeNodes(struct FastSoft* soft)
{
    for (uint32_t index = 0; index < soft->nodes.count; index++)
        free(soft->nodes.chunks[index]);
    free(soft->nodes.chunks);
    soft->nodes.chunks = NULL;
    soft->nodes.count = 0;
}

/* ---- who waits ---- */

static void append(const struct FastSoft* soft, struct FastSoftNode* node,
                   struct FastSoftOperation* operation)
{
    operation->place = FAST_SOFT_WAITING;
    operation->next = operation->self;
    if (node->last != 0) {
        struct FastSoftOperation* former = FastSoftAt(soft, node->last);
        operation->next = former->next;
        former->next = operation->self;
    }
    node->last = operation->self;
}

static void takeOut(const struct FastSoft* soft, struct FastSoftNode* node,
                    struct FastSoftOperation* operation)
{
    struct FastSoftOperation* before = FastSoftAt(soft, node->last);
    operation->place = FAST_SOFT_NOWHERE;
    while (before->next != operation->self)
        before = FastSoftAt(soft, before->next);
    before->next = operation->next;
    if (before == operation)
        node->last = 0;
    else if (node->last == operation->self)
        node->last = before->self;
}

/* ---- what is waited for ---- */

/* What most wait for is in a table; splices turn around, and polls say it themselves. */
const uint16_t FastSoftEvents[UINT8_MAX + 1] = {
    [IORING_OP_SEND] = POLLOUT,
    [IORING_OP_SENDMSG] = POLLOUT,
    [IORING_OP_SEND_ZC] = POLLOUT,
    [IORING_OP_SENDMSG_ZC] = POLLOUT,
    [IORING_OP_WRITE] = POLLOUT,
    [IORING_OP_WRITEV] = POLLOUT,
    [IORING_OP_CONNECT] = POLLOUT,
    [IORING_OP_ACCEPT] = POLLIN,
    [IORING_OP_RECV] = NODE_INPUT,
    [IORING_OP_RECVMSG] = NODE_INPUT,
    [IORING_OP_READ] = NODE_INPUT,
    [IORING_OP_READV] = NODE_INPUT,
};

/* Whether somebody waits whose descriptor is certainly open. */
static bool isTrusted(const struct FastSoft* soft, const struct FastSoftNode* node)
{
    uint32_t number = node->last;
    if (number == 0)
        return false;
    do {
        const struct FastSoftOperation* operation = FastSoftAt(soft, number);
        if (operation->opcode != IORING_OP_POLL_ADD)
            return true;
        number = operation->next;
    } while (number != node->last);
    return false;
}

static uint32_t wantedOf(const struct FastSoft* soft, const struct FastSoftNode* node)
{
    uint32_t wanted = 0;
    uint32_t number = node->last;
    if (number == 0)
        return 0;
    do {
        const struct FastSoftOperation* operation = FastSoftAt(soft, number);
        wanted |= FastSoftEventsOf(operation);
        number = operation->next;
    } while (number != node->last);
    return wanted;
}

/* ---- watching ---- */

static uint64_t tokenOf(const struct FastSoftNode* node, int handle)
{
    return (uint64_t)node->generation << 32 | (uint32_t)handle;
}

/* The file is another one than that whose watch is known. */
static void becomeAnother(struct FastSoft* soft, struct FastSoftNode* node)
{
    node->generation = ++soft->nodes.generation;
    node->lasting = 0;
    node->watched = 0;
}

/* With a token of its own, so that what still comes of the former file is known as such. */
static int watch(struct FastSoft* soft, struct FastSoftNode* node, int handle, uint32_t events)
{
    struct FastSystem* system = soft->system;
    bool fresh = !(node->lasting & FAST_SOFT_NODE_WATCHED);
    if (fresh)
        becomeAnother(soft, node);
    int result =
        system->functions->watch(system, handle, events, tokenOf(node, handle), fresh);
    if (result == 1 && !fresh) {
        becomeAnother(soft, node);
        result = system->functions->watch(system, handle, events, tokenOf(node, handle), false);
    }
    if (result < 0) {
        node->lasting &= (uint8_t)~FAST_SOFT_NODE_WATCHED;
        return result;
    }
    node->watched = (uint16_t)events;
    node->lasting |= FAST_SOFT_NODE_WATCHED;
    return 0;
}

/* It was free a moment ago: what is known of it is over. */
static void noteNewNumber(const struct FastSoft* soft, int handle)
{
    struct FastSoftNode* node = FastSoftKnownNode(soft, handle);
    if (node != NULL && node->last == 0)
        node->lasting &= (uint8_t)~FAST_SOFT_NODE_WATCHED;
}

/* Puts a duplicate in a number's place. What is stored goes on by its number. */
static int own(struct FastSoft* soft, struct FastSoftOperation* operation, int32_t* number,
               enum FastSoftState owned)
{
    int handle = soft->system->functions->duplicate(soft->system, *number);
    if (handle < 0)
        return handle == -EOPNOTSUPP ? 0 : handle;
    *number = handle;
    operation->state |= (uint16_t)owned;
    noteNewNumber(soft, handle);
    return 0;
}

static int ownHandle(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    int submitted = operation->handle;
    int result = own(soft, operation, &operation->handle, FAST_SOFT_OWN);
    if (!(operation->state & FAST_SOFT_OWN))
        return result;
    if (operation->opcode == IORING_OP_POLL_ADD)
        operation->done = (uint32_t)submitted;
    else
        operation->number = submitted;
    return 0;
}

/* Without a number for it there is no going on: closed, and given to another file, the number that
 * was submitted would have the operation read or write that. */
int FastSoftOwnHandle(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    int result = 0;
    if (operation->state & FAST_SOFT_HELD) {
        if (!(operation->state & FAST_SOFT_OWN))
            result = ownHandle(soft, operation);
        if (result == 0 && operation->opcode == IORING_OP_SPLICE &&
            !(operation->state & FAST_SOFT_OWN_SOURCE))
            result = own(soft, operation, &operation->extra, FAST_SOFT_OWN_SOURCE);
    }
    if (result < 0)
        return result;
    int handle = FastSoftHandleOf(operation);
    return handle >= 0 ? handle : -EBADF;
}

/* Whether an edge that has come since the last look would be known, and of this file. */
static bool isCertain(const struct FastSoft* soft, const struct FastSoftNode* node,
                      const struct FastSoftOperation* operation)
{
    if (operation->state & FAST_SOFT_WAITED)
        return true;
    if (operation->opcode == IORING_OP_POLL_ADD || !(operation->state & FAST_SOFT_DRAINED))
        return false;
    bool sends = FastSoftEventsOf(operation) == POLLOUT;
    return sends ? node->last != 0 : isTrusted(soft, node);
}

/* Whether it hears of changes. */
static bool isEdge(const struct FastSoftOperation* operation)
{
    return operation->opcode == IORING_OP_POLL_ADD && operation->length & IORING_POLL_ADD_MULTI;
}

/* Whether another poll waits for the descriptor, and one of the two hears of changes: to watch it
 * for the one once more would have the other told of what it knows. */
static bool hasRival(const struct FastSoft* soft, int handle,
                     const struct FastSoftOperation* operation)
{
    const struct FastSoftNode* node = FastSoftKnownNode(soft, handle);
    if (operation->opcode != IORING_OP_POLL_ADD || node == NULL || node->last == 0)
        return false;
    uint32_t number = node->last;
    do {
        const struct FastSoftOperation* other = FastSoftAt(soft, number);
        if (other->opcode == IORING_OP_POLL_ADD && (isEdge(other) || isEdge(operation)))
            return true;
        number = other->next;
    } while (number != node->last);
    return false;
}

/* Beside a rival. What holds is told at once, and returned; 0: it is to wait, by a duplicate that
 * is watched for it alone. Without a number for one they share, and the rival hears too much. */
static uint32_t pollApart(struct FastSoft* soft, struct FastSoftOperation* operation, int handle)
{
    uint32_t wanted = FastSoftEventsOf(operation);
    uint32_t events =
        isEdge(operation) ? 0 : soft->system->functions->look(soft->system, handle, wanted);
    events &= wanted | POLLERR | POLLHUP;
    if (events != 0)
        (void)FastSoftFinish(soft, operation, (int)events, 0);
    else if (!(operation->state & FAST_SOFT_OWN))
        (void)ownHandle(soft, operation);
    return events;
}

/* For the first time, or where the descriptor is not watched for it. */
static int parkWatched(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    int handle = FastSoftOwnHandle(soft, operation);
    if (hasRival(soft, handle, operation)) {
        if (pollApart(soft, operation, handle) != 0)
            return 0;
        handle = operation->handle;
    }
    struct FastSoftNode* node = FastSoftNode(soft, handle);
    uint32_t events = FastSoftEventsOf(operation);
    if (node == NULL)
        return handle < 0 ? handle : -ENOMEM;
    if ((node->watched & events) != events || !isCertain(soft, node, operation)) {
        /* What was watched for wakes who hears of changes as well. */
        uint32_t kept = isEdge(operation) ? 0 : node->watched;
        int result = watch(soft, node, handle, wantedOf(soft, node) | kept | events);
        if (result < 0)
            return result;
    }
    operation->state |= FAST_SOFT_WAITED;
    append(soft, node, operation);
    return 0;
}

int FastSoftPark(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->state & FAST_SOFT_WAITED) {
        struct FastSoftNode* node = FastSoftKnownNode(soft, FastSoftHandleOf(operation));
        uint32_t events = FastSoftEventsOf(operation);
        if (node != NULL && (node->watched & events) == events) {
            append(soft, node, operation);
            return 0;
        }
    }
    return parkWatched(soft, operation);
}

void FastSoftUnpark(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    takeOut(soft, FastSoftKnownNode(soft, FastSoftHandleOf(operation)), operation);
}

void FastSoftForget(struct FastSoft* soft, int handle)
{
    struct FastSoftNode* node = FastSoftKnownNode(soft, handle);
    if (node == NULL || !(node->lasting & FAST_SOFT_NODE_WATCHED))
        return;
    soft->system->functions->unwatch(soft->system, handle);
    becomeAnother(soft, node);
}

/* ---- events ---- */

/* Queues one that has waited for it, or has it wait on; returns which. */
static bool wake(struct FastSoft* soft, struct FastSoftNode* node,
                 struct FastSoftOperation* operation, uint32_t events)
{
    if (!(events & (FastSoftEventsOf(operation) | POLLERR | POLLHUP))) {
        append(soft, node, operation);
        return false;
    }
    if (operation->opcode == IORING_OP_POLL_ADD)
        operation->extra |= (int32_t)events;
    FastSoftEnqueue(soft, operation);
    return true;
}

/* Returns whether anybody has waited for it. */
static bool wakeWaiting(struct FastSoft* soft, struct FastSoftNode* node, uint32_t events)
{
    uint32_t last = node->last;
    if (last == 0)
        return false;
    uint32_t number = FastSoftAt(soft, last)->next;
    bool any = false;
    node->last = 0;
    while (number != last) {
        struct FastSoftOperation* operation = FastSoftAt(soft, number);
        number = operation->next;
        any |= wake(soft, node, operation, events);
    }
    return wake(soft, node, FastSoftAt(soft, last), events) || any;
}

/* Is no more watched for what only wakes us for nothing. */
static void tame(struct FastSoft* soft, struct FastSoftNode* node, int handle)
{
    uint32_t wanted = wantedOf(soft, node);
    if ((node->watched & ~wanted) == 0)
        return;
    if (wanted != 0)
        (void)watch(soft, node, handle, wanted);
    else
        FastSoftForget(soft, handle);
}

void FastSoftHandleEvent(struct FastSoft* soft, const struct FastSystemEvent* event)
{
    int handle = (int)(uint32_t)event->token;
    struct FastSoftNode* node = FastSoftKnownNode(soft, handle);
    if (node == NULL || node->generation != event->token >> 32 ||
        !(node->lasting & FAST_SOFT_NODE_WATCHED))
        return; /* of a file that had this number before */
    if (event->events & NODE_LASTING)
        node->lasting |= FAST_SOFT_NODE_ENDED;
    if (!wakeWaiting(soft, node, event->events))
        tame(soft, node, handle);
}

static void askKind(struct FastSoft* soft, struct FastSoftNode* node, int handle)
{
    enum FastSystemKind kind = soft->system->functions->kind(soft->system, handle);
    node->lasting |= FAST_SOFT_NODE_ASKED;
    if (kind == FAST_SYSTEM_TCP)
        node->lasting |= FAST_SOFT_NODE_BYTES;
    else if (kind == FAST_SYSTEM_DATAGRAMS)
        node->lasting |= FAST_SOFT_NODE_DATAGRAMS;
}

/* Asked for the second time that it matters: who reads but once is not asked for. */
bool FastSoftMayHaveMore(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    struct FastSoftNode* node = FastSoftKnownNode(soft, operation->handle);
    if (FastSoftMayFail(soft, operation))
        return true;
    if (!(node->lasting & FAST_SOFT_NODE_ASKED) && node->lasting & FAST_SOFT_NODE_SHORT)
        askKind(soft, node, operation->handle);
    node->lasting |= FAST_SOFT_NODE_SHORT;
    return !(node->lasting & FAST_SOFT_NODE_BYTES);
}

bool FastSoftHasDatagrams(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    struct FastSoftNode* node = FastSoftKnownNode(soft, operation->handle);
    if (node == NULL || !(operation->state & FAST_SOFT_WAITED))
        return false;
    if (!(node->lasting & FAST_SOFT_NODE_ASKED))
        askKind(soft, node, operation->handle);
    return node->lasting & FAST_SOFT_NODE_DATAGRAMS;
}

bool FastSoftMayFail(const struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    const struct FastSoftNode* node = FastSoftKnownNode(soft, operation->handle);
    return node == NULL || !(operation->state & FAST_SOFT_WAITED) ||
           node->lasting & FAST_SOFT_NODE_ENDED;
}

void FastSoftNoteNothing(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    struct FastSoftNode* node = FastSoftKnownNode(soft, operation->handle);
    if (node != NULL)
        node->lasting &= (uint8_t)~FAST_SOFT_NODE_ENDED;
}
