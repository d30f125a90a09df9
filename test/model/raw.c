/*
 * Raw operations: receives, sends, polls, accepts, reads and writes on descriptors of the program's
 * own, several at a time on the same one; with cancellations, with descriptors of operations that
 * are let go while in flight, with numbers that are closed and used again meanwhile.
 *
 * Promised: an operation is over once, with what a system call would give; what it does not bring
 * is still there for the next. Left out:
 * - whether a cancellation or what it cancels comes first, when both are on their way: after such a
 *   race what is left is read by the program;
 * - into how many completions the bytes of a receive of many fall, and whether it ends as its last
 *   buffer is full or when it would need the next (kernels differ): it is submitted again;
 * - how much of a send without MSG_WAITALL goes out at once, as a large write on TCP is one;
 * - how much finds room while the peer doesn't read (TCP's grows with time): so what a large send,
 *   or a poll for room, tells is written when the peer has read;
 * - how often a poll of many reports, and what of that it has told before;
 * - what a poll sees of what something else takes away that is submitted in the same turn.
 */
#define MODEL_USES_LIBURING
#include "model.h"

#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

enum
{
    PAIRS = 4,
    OPERATIONS = 6, /* of a pair, in flight */
    ROOM = 4096,
    MOST = 20000, /* bytes on their way to an operation */
    LARGE = 1 << 20,
    CERTAIN = 16384, /* bytes that find room in any case */
    GROUP_BUFFERS = 4,
    GROUP_LENGTH = 256,
    PLACES = 80, /* of notePlace */
};

enum PairKind
{
    PAIR_UNIX,
    PAIR_TCP,
    PAIR_SEQPACKET,
    PAIR_PIPE, /* its reading end is worked on */
    PAIR_PIPE_OUT,
    PAIR_LISTENING,
    PAIR_KINDS,
};

enum Work
{
    WORK_NONE,
    WORK_RECEIVE,
    WORK_RECEIVE_ALL, /* MSG_WAITALL */
    WORK_RECEIVE_MESSAGE,
    WORK_RECEIVE_MANY, /* multishot, into buffers of a group */
    WORK_READ,
    WORK_READ_VECTOR,
    WORK_SEND,
    WORK_SEND_MESSAGE,
    WORK_WRITE,
    WORK_POLL,
    WORK_POLL_MANY,
    WORK_ACCEPT,
    WORK_ACCEPT_MANY,
    WORK_NOP,
};

struct Pair;

struct Operation
{
    struct Pair* pair;
    struct FastRingDescriptor* descriptor;
    enum Work work;
    uint32_t size;
    uint32_t mask;
    uint8_t* data;
    struct iovec vectors[2];
    struct msghdr message;
    bool inFlight;
    bool racy;  /* a cancellation may or may not come too late */
    bool canceled;
    bool again; /* its function submits it again, once */
    /* Since the last write. */
    bool over;
    int result;
    int bits;
    int told; /* of them before */
    uint64_t bytes;
    int count;
};

struct Pair
{
    enum PairKind kind;
    bool used;
    int handle; /* worked on, -1: closed by the program */
    int peer;
    uint32_t serial;
    uint64_t sent;     /* by the peer */
    uint64_t taken;    /* of these, by operations and the program */
    uint64_t written;  /* by operations */
    uint64_t read;     /* of these, by the peer */
    uint64_t offered;  /* bytes of sends that may be on their way */
    bool deaf;         /* the peer doesn't read */
    bool full;         /* at the last write it was, and there may have been no room */
    bool ended;        /* the peer has ended its output */
    bool gone;         /* the peer is closed */
    bool loose;        /* what operations gave is not certain in this epoch */
    bool lost;         /* nobody can read what such an operation has left, or not */
    bool dirty;
    bool changed; /* the peer has sent or ended in this epoch */
    bool active;  /* a step or a completion was about it in this epoch */
    int connecting;    /* clients that nobody has accepted yet */
    struct Operation operations[OPERATIONS];
    struct sockaddr_storage address;
    socklen_t length;
};

static struct Pair pairs[PAIRS];
static uint32_t serials;
static struct FastRingBufferProvider* group;

/* ---- bytes ----------------------------------------------------------------------------------- */

static uint64_t baseOf(const struct Pair* pair, bool peer)
{
    return ((uint64_t)1 << 63) | ((uint64_t)(pair->serial * 2 + peer) << 36);
}

static bool isReader(enum Work work)
{
    return (work >= WORK_RECEIVE) && (work <= WORK_READ_VECTOR);
}

static bool isWriter(enum Work work)
{
    return (work >= WORK_SEND) && (work <= WORK_WRITE);
}

/* What it takes is gone for others. */
static bool takesAway(enum Work work)
{
    return isReader(work) || (work == WORK_ACCEPT) || (work == WORK_ACCEPT_MANY);
}

static bool isPoll(enum Work work)
{
    return (work == WORK_POLL) || (work == WORK_POLL_MANY);
}

static bool mayBeFull(const struct Pair* pair)
{
    return pair->full || (pair->deaf && (pair->offered > CERTAIN));
}

static void touch(struct Pair* pair)
{
    pair->dirty = true;
    pair->active = true;
}

/* What it has told is written, or belongs to nobody any more. */
static void forgetTold(struct Operation* operation)
{
    operation->over = false;
    operation->result = 0;
    operation->bits = 0;
    operation->bytes = 0;
    operation->count = 0;
}

/* In flight, or what it has told is not written yet. */
static bool isBusy(const struct Operation* operation)
{
    return operation->inFlight || operation->over;
}

/* The peer does something. A cancellation of this epoch may only enter when the submission queue
 * has room for it, behind an enter in which its target meets that; and whether a turn has brought
 * the end already is not the same on both engines. */
static void change(struct Pair* pair)
{
    for (int index = 0; index < OPERATIONS; index++) {
        struct Operation* operation = &pair->operations[index];
        if (!operation->canceled || !isBusy(operation))
            continue;
        operation->racy = true;
        pair->loose |= takesAway(operation->work);
    }
    pair->changed = true;
    touch(pair);
}

/* What no step has touched is as it was when all was quiet. */
static bool isLookedAt(const struct Pair* pair)
{
    return pair->active || world.thorough;
}

/* Whether it may be over or not. */
static bool isUncertain(const struct Operation* operation)
{
    bool needsRoom = isWriter(operation->work) ||
                     (isPoll(operation->work) && (operation->mask & POLLOUT));

    return needsRoom && mayBeFull(operation->pair);
}

static void takeBytes(struct Pair* pair, const void* data, size_t size)
{
    ck_assert_msg(pair->taken + size <= pair->sent, "pair %u: more than was sent",
                  (unsigned)(pair - pairs));
    ck_assert_msg(checkPattern(data, size, baseOf(pair, true) + pair->taken),
                  "pair %u: wrong bytes behind %llu", (unsigned)(pair - pairs),
                  (unsigned long long)pair->taken);
    pair->taken += size;
    world.progress++;
}

/* ---- completions ----------------------------------------------------------------------------- */

static void completeReader(struct Operation* operation, struct io_uring_cqe* completion)
{
    int result = completion->res;

    if (result <= 0)
        return;
    operation->bytes += (uint64_t)result;
    if (operation->work == WORK_RECEIVE_MANY) {
        uint8_t* data = GetFastRingBuffer(group, completion);
        ck_assert_ptr_nonnull(data);
        takeBytes(operation->pair, data, (size_t)result);
        ck_assert_int_eq(AdvanceFastRingBuffer(group, completion, NULL, NULL), 0);
        return;
    }
    takeBytes(operation->pair, operation->data, (size_t)result);
}

static void completeOther(struct Operation* operation, int result)
{
    if (isWriter(operation->work) && (result > 0))
        operation->pair->written += (uint64_t)result;
    if (isPoll(operation->work) && (result > 0))
        operation->bits |= result;
    if (((operation->work == WORK_ACCEPT) || (operation->work == WORK_ACCEPT_MANY)) &&
        (result >= 0)) {
        close(result);
        ck_assert_int_gt(operation->pair->connecting, 0);
        operation->pair->connecting--;
    }
}

static void submit(struct Operation* operation);

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                        int reason)
{
    struct Operation* operation = GetFastRingDescriptorClosure(descriptor);

    if (reason == FASTRING_REASON_RELEASED) {
        operation->inFlight = false;
        return 1;
    }
    ck_assert_msg(operation->descriptor == descriptor, "an operation that was let go is told of");
    ck_assert_msg(operation->inFlight, "an operation is told of that is over");
    if (world.verbose)
        fprintf(stderr, "      pair %u, operation %d: %d, %d\n",
                (unsigned)(operation->pair - pairs), operation->work, completion->res, reason);
    operation->count++;
    operation->pair->active = true;
    if (isReader(operation->work))
        completeReader(operation, completion);
    else
        completeOther(operation, completion->res);
    if (reason == FASTRING_REASON_INCOMPLETE)
        return 1;
    operation->inFlight = false;
    /* Out of buffers it goes on, unless it is to end: the cancellation has met the one before. */
    if ((completion->res == -ENOBUFS) && !operation->canceled) {
        operation->count--;
        submit(operation);
        return 1;
    }
    operation->over = true;
    operation->result = completion->res;
    return 1;
}

/* ---- submitting ------------------------------------------------------------------------------ */

static void prepareReader(struct Operation* operation, struct io_uring_sqe* entry)
{
    const struct Pair* pair = operation->pair;
    uint32_t half = operation->size / 2;

    operation->vectors[0] = (struct iovec){operation->data, half};
    operation->vectors[1] = (struct iovec){operation->data + half, operation->size - half};
    operation->message = (struct msghdr){.msg_iov = operation->vectors, .msg_iovlen = 2};
    switch (operation->work) {
    case WORK_RECEIVE:
        io_uring_prep_recv(entry, pair->handle, operation->data, operation->size, 0);
        break;
    case WORK_RECEIVE_ALL:
        io_uring_prep_recv(entry, pair->handle, operation->data, operation->size, MSG_WAITALL);
        break;
    case WORK_RECEIVE_MESSAGE:
        io_uring_prep_recvmsg(entry, pair->handle, &operation->message, 0);
        break;
    case WORK_RECEIVE_MANY:
        io_uring_prep_recv_multishot(entry, pair->handle, NULL, 0, 0);
        PrepareFastRingBuffer(group, entry);
        break;
    case WORK_READ:
        io_uring_prep_read(entry, pair->handle, operation->data, operation->size, (uint64_t)-1);
        break;
    default:
        io_uring_prep_readv(entry, pair->handle, operation->vectors, 2, (uint64_t)-1);
    }
}

static void prepareWriter(struct Operation* operation, struct io_uring_sqe* entry)
{
    const struct Pair* pair = operation->pair;
    uint32_t half = operation->size / 2;

    fillPattern(operation->data, operation->size, baseOf(pair, false) + pair->written);
    operation->vectors[0] = (struct iovec){operation->data, half};
    operation->vectors[1] = (struct iovec){operation->data + half, operation->size - half};
    operation->message = (struct msghdr){.msg_iov = operation->vectors, .msg_iovlen = 2};
    if (operation->work == WORK_SEND)
        io_uring_prep_send(entry, pair->handle, operation->data, operation->size,
                           MSG_NOSIGNAL | MSG_WAITALL);
    else if (operation->work == WORK_SEND_MESSAGE)
        io_uring_prep_sendmsg(entry, pair->handle, &operation->message,
                              MSG_NOSIGNAL | MSG_WAITALL);
    else
        io_uring_prep_write(entry, pair->handle, operation->data, operation->size, (uint64_t)-1);
}

static void prepareOther(struct Operation* operation, struct io_uring_sqe* entry)
{
    const struct Pair* pair = operation->pair;

    switch (operation->work) {
    case WORK_POLL:
        io_uring_prep_poll_add(entry, pair->handle, operation->mask);
        break;
    case WORK_POLL_MANY:
        io_uring_prep_poll_multishot(entry, pair->handle, operation->mask);
        break;
    case WORK_ACCEPT:
        io_uring_prep_accept(entry, pair->handle, NULL, NULL, SOCK_CLOEXEC);
        break;
    case WORK_ACCEPT_MANY:
        io_uring_prep_multishot_accept(entry, pair->handle, NULL, NULL, SOCK_CLOEXEC);
        break;
    default:
        io_uring_prep_nop(entry);
    }
}

static void submit(struct Operation* operation)
{
    struct io_uring_sqe* entry = NULL;

    if (operation->descriptor == NULL)
        operation->descriptor = AllocateFastRingDescriptor(world.ring, onCompletion, operation);
    ck_assert_ptr_nonnull(operation->descriptor);
    entry = GetFastRingDescriptorSubmission(operation->descriptor);
    memset(entry, 0, sizeof(*entry));
    if (isReader(operation->work))
        prepareReader(operation, entry);
    else if (isWriter(operation->work))
        prepareWriter(operation, entry);
    else
        prepareOther(operation, entry);
    ck_assert_int_eq(SubmitFastRingDescriptor(operation->descriptor), 0);
    operation->inFlight = true;
    touch(operation->pair);
}

/* ---- which ----------------------------------------------------------------------------------- */

static enum Work drawReader(const struct Pair* pair, struct Chance* chance)
{
    static const enum Work ofSockets[] = {WORK_RECEIVE, WORK_RECEIVE_ALL, WORK_RECEIVE_MESSAGE,
                                          WORK_RECEIVE_MANY, WORK_READ, WORK_READ_VECTOR};

    if (pair->kind == PAIR_PIPE)
        return oneIn(chance, 2) ? WORK_READ : WORK_READ_VECTOR;
    if (pair->kind == PAIR_SEQPACKET)
        return oneIn(chance, 2) ? WORK_RECEIVE : WORK_RECEIVE_MESSAGE;
    return ofSockets[draw(chance, 6)];
}

static enum Work drawWork(const struct Pair* pair, struct Chance* chance)
{
    uint32_t what = draw(chance, 10);

    if (what == 0)
        return WORK_NOP;
    if (what < 4)
        return oneIn(chance, 2) ? WORK_POLL : WORK_POLL_MANY;
    if (pair->kind == PAIR_LISTENING)
        return oneIn(chance, 2) ? WORK_ACCEPT : WORK_ACCEPT_MANY;
    if (pair->kind == PAIR_PIPE_OUT)
        return WORK_WRITE;
    if ((pair->kind == PAIR_PIPE) || (what < 8))
        return drawReader(pair, chance);
    return (enum Work)(WORK_SEND + draw(chance, (pair->kind == PAIR_SEQPACKET) ? 2 : 3));
}

/* One reader and one writer at a time: which of two gets what is not certain. */
static bool isTaken(const struct Pair* pair, enum Work work)
{
    for (int index = 0; index < OPERATIONS; index++) {
        const struct Operation* other = &pair->operations[index];
        bool accepts = (work >= WORK_ACCEPT) && (work <= WORK_ACCEPT_MANY) &&
                       (other->work >= WORK_ACCEPT) && (other->work <= WORK_ACCEPT_MANY);
        if (!isBusy(other))
            continue;
        if (accepts || (isReader(work) && isReader(other->work)) ||
            (isWriter(work) && isWriter(other->work)))
            return true;
    }
    return false;
}

static bool hasPoll(const struct Pair* pair)
{
    for (int index = 0; index < OPERATIONS; index++) {
        if (isBusy(&pair->operations[index]) && isPoll(pair->operations[index].work))
            return true;
    }
    return false;
}

static uint32_t sizeOf(enum Work work, const struct Pair* pair, struct Chance* chance)
{
    if (isWriter(work) && (pair->kind != PAIR_SEQPACKET) && oneIn(chance, 8))
        return 1 + draw(chance, LARGE);
    return 1 + (uint32_t)drawSize(chance, ROOM - 1);
}

static uint32_t maskOf(const struct Pair* pair, struct Chance* chance)
{
    if (pair->kind == PAIR_PIPE_OUT)
        return POLLOUT;
    if ((pair->kind == PAIR_PIPE) || (pair->kind == PAIR_LISTENING))
        return POLLIN;
    return oneIn(chance, 3) ? POLLOUT : oneIn(chance, 3) ? POLLRDHUP : POLLIN;
}

static void stepSubmit(struct Pair* pair, struct Chance* chance)
{
    enum Work work = drawWork(pair, chance);
    uint32_t size = sizeOf(work, pair, chance);
    uint32_t mask = maskOf(pair, chance);
    struct Operation* operation = NULL;

    if (mayBeOver() || (pair->dirty && isPoll(work)))
        synchronize();
    for (int index = 0; index < OPERATIONS; index++) {
        if (!isBusy(&pair->operations[index]))
            operation = &pair->operations[index];
    }
    if ((operation == NULL) || (pair->handle < 0) || isTaken(pair, work))
        return;
    if (isWriter(work) && pair->ended)
        return; /* io_uring has a thread wait there, which is canceled some time later */
    operation->pair = pair;
    operation->work = work;
    operation->size = size;
    operation->mask = mask;
    operation->racy = false;
    operation->canceled = false;
    operation->told = 0;
    free(operation->data);
    operation->data = malloc(size);
    ck_assert_ptr_nonnull(operation->data);
    if (isWriter(work))
        pair->offered += size;
    say("pair %u: operation %d, %u bytes, mask %x", (unsigned)(pair - pairs), work, size, mask);
    submit(operation);
}

/* ---- the peer -------------------------------------------------------------------------------- */

/* Whether the program or an operation has the file, so that the peer may write. */
static bool isHeld(const struct Pair* pair)
{
    if ((pair->handle < 0) && (pair->dirty || mayBeOver()))
        synchronize();
    for (int index = 0; index < OPERATIONS; index++) {
        const struct Operation* operation = &pair->operations[index];
        if (operation->inFlight && (operation->work != WORK_NOP) && !isUncertain(operation))
            return true;
    }
    return pair->handle >= 0;
}

/* Whether loopback has brought what the peer has done, as far as somebody can be asked: where the
 * program has no number any more, the peer knows what has been acknowledged. */
static bool hasArrived(const struct Pair* pair)
{
    bool closed = pair->handle < 0;
    bool listens = pair->kind == PAIR_LISTENING;
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);
    int count = 0;
    int asked = listens ? pair->handle : pair->peer;

    ck_assert_int_eq(getsockopt(asked, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    if (listens)
        return info.tcpi_unacked >= (uint32_t)pair->connecting; /* that is a listener's backlog */
    if (pair->ended)
        return info.tcpi_state != TCP_FIN_WAIT1;
    if (closed) {
        ck_assert_int_eq(ioctl(pair->peer, TIOCOUTQ, &count), 0);
        return count == 0;
    }
    ck_assert_int_eq(ioctl(pair->handle, FIONREAD, &count), 0);
    return (uint64_t)count >= pair->sent - pair->taken;
}

/* On a busy machine loopback is late with what a receive may ask for next, which would get what was
 * there before, or with what a poll is to tell. An operation in flight takes what comes, at any
 * time. */
static void awaitArrival(const struct Pair* pair)
{
    int64_t start = now();
    bool listens = pair->kind == PAIR_LISTENING;

    if (!listens && (pair->kind != PAIR_TCP))
        return;
    if ((pair->handle >= 0) && isTaken(pair, listens ? WORK_ACCEPT : WORK_RECEIVE))
        return;
    while (!hasArrived(pair)) {
        ck_assert_msg(now() - start < patience * INT64_C(1000000), "what was sent does not come");
        sched_yield();
    }
}

static void sendPeer(struct Pair* pair, struct Chance* chance)
{
    static uint8_t data[ROOM];
    size_t size = 1 + drawSize(chance, ROOM - 1);

    /* A receive that has begun may be over, or take this, too: also where the submission queue was
     * full in between, so that the ring has entered the kernel. */
    if (mayBeOver() || pair->changed)
        synchronize();
    if (!isHeld(pair))
        return;
    if (pair->ended || pair->gone || (pair->sent - pair->taken + size > MOST))
        return;
    if (pair->kind == PAIR_SEQPACKET && (pair->sent - pair->taken > 0))
        return; /* records that are cut would lose their ends */
    if (pair->kind == PAIR_SEQPACKET)
        size = 1;
    fillPattern(data, size, baseOf(pair, true) + pair->sent);
    say("pair %u: the peer sends %zu", (unsigned)(pair - pairs), size);
    ck_assert_int_eq(write(pair->peer, data, size), (ssize_t)size);
    pair->sent += size;
    awaitArrival(pair);
    change(pair);
}

static void endPeer(struct Pair* pair)
{
    if (pair->dirty || mayBeOver())
        synchronize();
    if (pair->ended || pair->gone || isTaken(pair, WORK_SEND))
        return;
    say("pair %u: the peer ends", (unsigned)(pair - pairs));
    if (pair->kind == PAIR_PIPE) {
        close(pair->peer);
        pair->peer = -1;
        pair->gone = true;
    } else {
        shutdown(pair->peer, SHUT_WR);
    }
    pair->ended = true;
    awaitArrival(pair);
    change(pair);
}

static void connectPeer(struct Pair* pair)
{
    int client = socket(pair->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if ((pair->handle >= 0) && (pair->connecting < 8)) {
        say("pair %u: a connection", (unsigned)(pair - pairs));
        ck_assert_int_eq(connect(client, (struct sockaddr*)&pair->address, pair->length), 0);
        pair->connecting++;
        awaitArrival(pair);
        change(pair);
    }
    close(client);
}

/* ---- taking back ----------------------------------------------------------------------------- */

static struct Operation* findBusy(struct Pair* pair, uint32_t which)
{
    for (int index = 0; index < OPERATIONS; index++) {
        struct Operation* operation = &pair->operations[(which + (uint32_t)index) % OPERATIONS];
        if (isBusy(operation))
            return operation;
    }
    return NULL;
}

static void stepCancel(struct Pair* pair, struct Chance* chance)
{
    uint32_t which = draw(chance, OPERATIONS);
    bool wait = !oneIn(chance, 3);
    struct Operation* operation = NULL;

    if (mayBeOver() || (pair->dirty && wait))
        synchronize();
    operation = findBusy(pair, which);
    if (operation == NULL)
        return;
    operation->racy = pair->dirty || isUncertain(operation);
    operation->canceled = true;
    world.canceling = true;
    pair->loose |= pair->dirty && takesAway(operation->work);
    touch(pair);
    say("pair %u: cancel operation %d%s", (unsigned)(pair - pairs), operation->work,
        operation->racy ? ", racy" : "");
    if (operation->inFlight)
        ck_assert_int_eq(CancelFastRingDescriptor(operation->descriptor), 0);
}

/* Its memory must last until it has ended. */
static void letOperationGo(struct Operation* operation)
{
    ReleaseFastRingDescriptor(operation->descriptor);
    operation->descriptor = NULL;
    operation->inFlight = false;
    forgetTold(operation);
}

static void stepRelease(struct Pair* pair, struct Chance* chance)
{
    uint32_t which = draw(chance, OPERATIONS);
    struct Operation* operation = NULL;

    if (mayBeOver() || pair->dirty)
        synchronize();
    operation = findBusy(pair, which);
    if ((operation == NULL) || isWriter(operation->work))
        return;
    if ((operation->work == WORK_RECEIVE_ALL) && (pair->sent > pair->taken))
        return; /* what it has would be gone */
    say("pair %u: let operation %d go", (unsigned)(pair - pairs), operation->work);
    letOperationGo(operation);
    touch(pair);
    synchronize();
}

/* ---- making and ending ----------------------------------------------------------------------- */

static void openHandles(struct Pair* pair)
{
    int handles[2] = {-1, -1};
    const int on = 1;

    switch (pair->kind) {
    case PAIR_UNIX:
        pairUnix(handles, SOCK_STREAM);
        break;
    case PAIR_SEQPACKET:
        pairUnix(handles, SOCK_SEQPACKET);
        break;
    case PAIR_TCP:
        pairTcp(handles);
        /* Small pieces must not wait until the one before is acknowledged. */
        ck_assert_int_eq(setsockopt(handles[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
        break;
    case PAIR_LISTENING:
        handles[0] = listenAlone(&pair->address, &pair->length);
        break;
    default:
        ck_assert_int_eq(pipe2(handles, O_CLOEXEC), 0);
        if (pair->kind == PAIR_PIPE_OUT) /* its peer reads */
            ck_assert_int_eq(fcntl(handles[0], F_SETFL, O_NONBLOCK), 0);
    }
    pair->handle = handles[pair->kind == PAIR_PIPE_OUT];
    pair->peer = handles[pair->kind != PAIR_PIPE_OUT];
}

static void releaseOperations(struct Pair* pair)
{
    pair->active = true;
    for (int index = 0; index < OPERATIONS; index++)
        letOperationGo(&pair->operations[index]);
}

/* What was in flight is over. */
static void freePair(struct Pair* pair)
{
    if (!pair->used)
        return;
    if (pair->handle >= 0)
        close(pair->handle);
    if (pair->peer >= 0)
        close(pair->peer);
    pair->handle = -1;
    pair->peer = -1;
    for (int index = 0; index < OPERATIONS; index++) {
        free(pair->operations[index].data);
        pair->operations[index].data = NULL;
    }
    pair->used = false;
}

static void stepMake(struct Pair* pair, struct Chance* chance)
{
    enum PairKind kind = (enum PairKind)draw(chance, PAIR_KINDS);

    if (pair->used) {
        synchronize();
        releaseOperations(pair);
        synchronize();
        freePair(pair);
    }
    *pair = (struct Pair){
        .kind = kind, .used = true, .serial = ++serials, .dirty = true, .active = true};
    openHandles(pair);
    say("pair %u: kind %d", (unsigned)(pair - pairs), kind);
}

/* A receive of many that meets no buffers, since others have them just then, is submitted again. */
static bool needsNumber(const struct Pair* pair)
{
    for (int index = 0; index < OPERATIONS; index++) {
        const struct Operation* operation = &pair->operations[index];
        if (operation->inFlight && (operation->work == WORK_RECEIVE_MANY))
            return true;
    }
    return false;
}

/* The program closes the number: what is in flight goes on all the same. */
static void stepClose(struct Pair* pair)
{
    if (pair->handle < 0)
        return;
    if (mayBeOver() || pair->dirty)
        synchronize();
    if (needsNumber(pair))
        return;
    say("pair %u: close the number", (unsigned)(pair - pairs));
    close(pair->handle);
    pair->handle = -1;
    touch(pair);
}

/* The program has closed it, and nothing is in flight. */
static bool isSpent(const struct Pair* pair)
{
    bool busy = false;

    for (int index = 0; index < OPERATIONS; index++)
        busy |= isBusy(&pair->operations[index]);
    return (pair->handle < 0) && !busy;
}

static void stepDeaf(struct Pair* pair)
{
    if (pair->kind == PAIR_LISTENING)
        return;
    pair->deaf = !pair->deaf;
    say("pair %u: the peer reads%s", (unsigned)(pair - pairs), pair->deaf ? " no more" : "");
}

void stepRaw(struct Chance* chance)
{
    struct Pair* pair = &pairs[draw(chance, PAIRS)];
    uint32_t what = draw(chance, 40);

    notePlace(PLACES + (unsigned)(pair - pairs));
    pair->active = true;
    if (pair->used && pair->dirty && hasPoll(pair))
        synchronize();
    if (!pair->used || (what == 0) || isSpent(pair))
        stepMake(pair, chance);
    else if (what < 16)
        stepSubmit(pair, chance);
    else if (what < 28)
        pair->kind == PAIR_LISTENING ? connectPeer(pair)
        : pair->kind == PAIR_PIPE_OUT ? (void)0
                                      : sendPeer(pair, chance);
    else if (what < 30)
        stepDeaf(pair);
    else if ((what == 30) && (pair->kind != PAIR_LISTENING) && (pair->kind != PAIR_PIPE_OUT))
        endPeer(pair);
    else if (what < 36)
        stepCancel(pair, chance);
    else if (what < 38)
        stepRelease(pair, chance);
    else if (what == 38)
        stepClose(pair);
    pair->active = true; /* quiet may have come in between */
}

/* ---- the part -------------------------------------------------------------------------------- */

static void openRaw(struct Chance* chance)
{
    (void)chance;
    memset(pairs, 0, sizeof(pairs));
    serials = 0;
    group = CreateFastRingBufferProvider(world.ring, 0, GROUP_BUFFERS, GROUP_LENGTH,
                                         AllocateRingFastBuffer, world.inbound);
    ck_assert_ptr_nonnull(group);
}

static bool beginRaw(void)
{
    return false;
}

/* Connections that operations have left, after a race that they may have lost. */
static void acceptLeft(struct Pair* pair)
{
    struct pollfd state = {.fd = pair->handle, .events = POLLIN};

    while (poll(&state, 1, 0) > 0) {
        int handle = accept4(pair->handle, NULL, NULL, SOCK_CLOEXEC);
        ck_assert_int_ge(handle, 0);
        close(handle);
    }
    pair->connecting = 0;
}

static void readPipe(struct Pair* pair)
{
    uint8_t data[ROOM];
    struct pollfd state = {.fd = pair->handle, .events = POLLIN};

    while ((poll(&state, 1, 0) > 0) && ((state.revents & POLLIN) != 0)) {
        ssize_t result = read(pair->handle, data, sizeof(data));
        if (result <= 0)
            return;
        takeBytes(pair, data, (size_t)result);
    }
}

/* And bytes. */
static void readLeft(struct Pair* pair)
{
    uint8_t data[ROOM];
    ssize_t result = 0;

    if (pair->handle < 0) {
        pair->lost = true;
        return;
    }
    if (pair->kind == PAIR_PIPE) {
        readPipe(pair);
        return;
    }
    if (pair->kind == PAIR_LISTENING) {
        acceptLeft(pair);
        return;
    }
    while ((result = recv(pair->handle, data, sizeof(data), MSG_DONTWAIT)) > 0)
        takeBytes(pair, data, (size_t)result);
}

/* Something has come for the peer, or may come. */
static bool isWritten(const struct Pair* pair)
{
    bool writes = pair->read < pair->written;

    for (int index = 0; index < OPERATIONS; index++)
        writes |= pair->operations[index].inFlight && isWriter(pair->operations[index].work);
    return writes;
}

static bool readPeer(struct Pair* pair)
{
    static uint8_t data[65536];
    bool moved = false;

    while (!pair->deaf && (pair->peer >= 0) && (pair->kind != PAIR_PIPE)) {
        ssize_t result = (pair->kind == PAIR_PIPE_OUT)
                             ? read(pair->peer, data, sizeof(data))
                             : recv(pair->peer, data, sizeof(data), MSG_DONTWAIT);
        if (result <= 0)
            break;
        ck_assert(checkPattern(data, (size_t)result, baseOf(pair, false) + pair->read));
        pair->read += (uint64_t)result;
        world.progress++;
        moved = true;
    }
    return moved;
}

static bool pumpRaw(bool all)
{
    bool moved = false;

    for (int index = 0; index < PAIRS; index++) {
        struct Pair* pair = &pairs[index];
        if (pair->used && isLookedAt(pair) && (all || isWritten(pair)))
            moved |= readPeer(pair);
    }
    return moved;
}

/* What a poll of many need not tell again. */
static int knownBits(const struct Operation* operation)
{
    return operation->told & ~(operation->pair->changed ? POLLIN : 0);
}

static const char* missingOperation(const struct Pair* pair, const struct Operation* operation)
{
    uint64_t there = pair->sent - pair->taken;

    if (!operation->inFlight)
        return NULL;
    if (isPoll(operation->work) && (pair->handle >= 0)) {
        struct pollfd state = {.fd = pair->handle, .events = (short)operation->mask};
        if ((poll(&state, 1, 0) > 0) && (state.revents & ~(operation->bits | knownBits(operation))))
            return "a poll does not tell what holds";
    }
    if (operation->canceled)
        return "a canceled operation does not end";
    if (operation->work == WORK_NOP)
        return "a NOP does not end";
    if (isReader(operation->work) && pair->ended)
        return "a receive does not end";
    if ((operation->work == WORK_RECEIVE_ALL) && (there >= operation->size))
        return "a receive of all does not end";
    if (isReader(operation->work) && (operation->work != WORK_RECEIVE_ALL) && (there > 0))
        return "a receive does not bring what is there";
    if (isWriter(operation->work) && !pair->deaf)
        return "a send does not end";
    if (((operation->work == WORK_ACCEPT) || (operation->work == WORK_ACCEPT_MANY)) &&
        (pair->connecting > 0))
        return "an accept does not end";
    return NULL;
}

static const char* missingRaw(void)
{
    static char text[200];

    for (int index = 0; index < PAIRS; index++) {
        bool looks = pairs[index].used && isLookedAt(&pairs[index]);
        for (int number = 0; looks && (number < OPERATIONS); number++) {
            const struct Operation* operation = &pairs[index].operations[number];
            const char* missing = missingOperation(&pairs[index], operation);
            if (missing == NULL)
                continue;
            snprintf(text, sizeof(text),
                     "pair %d (%d), operation %d of %u: %s; sent %llu, taken %llu",
                     index, pairs[index].kind, operation->work, operation->size, missing,
                     (unsigned long long)pairs[index].sent, (unsigned long long)pairs[index].taken);
            return text;
        }
    }
    return NULL;
}

/* What a poll of many has told for the first time, or what there was a reason for: with one change
 * it may tell again what else still holds. */
static int newBits(struct Operation* operation)
{
    int bits = operation->bits & (int)(operation->mask | POLLERR | POLLHUP);
    int known = knownBits(operation);

    operation->told |= bits;
    return (operation->work == WORK_POLL_MANY) ? bits & ~known : bits;
}

/* Its result is a count or an errno that is the same everywhere. */
static bool isExact(const struct Operation* operation)
{
    bool takesPart = (operation->work == WORK_WRITE) && (operation->size > CERTAIN) &&
                     (operation->pair->kind == PAIR_TCP);

    return (operation->work != WORK_ACCEPT) && !takesPart;
}

static void writeOperation(struct Operation* operation, unsigned who)
{
    int bits = (operation->count > 0) ? newBits(operation) : 0;
    bool many = (operation->work == WORK_RECEIVE_MANY) || (operation->work == WORK_ACCEPT_MANY);

    if (operation->racy)
        return;
    if (isPoll(operation->work)) {
        if (bits != 0)
            note(FACT_RAW_MORE, who, bits);
        if (operation->over && (operation->result < 0))
            note(FACT_RAW, who, operation->result);
        return;
    }
    if (many && (operation->count > 0))
        note(FACT_RAW_MORE, who, (int64_t)operation->bytes);
    if (operation->over && isExact(operation))
        note(FACT_RAW, who, operation->result);
    else if (operation->over)
        note(FACT_RAW, who, operation->result >= 0);
}

static void writePair(struct Pair* pair, unsigned who)
{
    bool reads = false;
    bool writes = false;

    pair->full = pair->deaf && (pair->offered > CERTAIN);
    for (int index = 0; index < OPERATIONS; index++) {
        struct Operation* operation = &pair->operations[index];
        writes |= operation->inFlight && isWriter(operation->work);
        if (isUncertain(operation) && !operation->canceled)
            continue;
        writeOperation(operation, who * OPERATIONS + (unsigned)index);
        forgetTold(operation);
        reads |= operation->inFlight && takesAway(operation->work);
    }
    if (!pair->deaf && !writes)
        pair->offered = 0;
    if (pair->loose && !reads)
        readLeft(pair);
    pair->loose = false;
    pair->changed = false;
    if (!pair->lost)
        note(FACT_RAW_MORE, 1000 + who, (int64_t)pair->taken);
    pair->dirty = false;
    pair->active = false;
}

static void writeRaw(void)
{
    for (int index = 0; index < PAIRS; index++) {
        if (pairs[index].used)
            writePair(&pairs[index], (unsigned)index);
    }
}

static void finishRaw(void)
{
    for (int index = 0; index < PAIRS; index++)
        releaseOperations(&pairs[index]);
}

static void closeRaw(void)
{
    for (int index = 0; index < PAIRS; index++) {
        releaseOperations(&pairs[index]);
        freePair(&pairs[index]);
    }
    ReleaseFastRingBufferProvider(group, ReleaseRingFastBuffer);
}

const struct Part rawPart = {
    .open = openRaw,
    .begin = beginRaw,
    .pump = pumpRaw,
    .missing = missingRaw,
    .write = writeRaw,
    .finish = finishRaw,
    .close = closeRaw,
};
