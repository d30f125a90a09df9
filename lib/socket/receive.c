/*
 * The inbound queue of a socket.
 *
 * Good path: one multishot receive is armed, of bundles on plain streams where the kernel has them.
 * Each completion names filled buffers of the provider; each is replaced at once by one of the
 * socket's pool and queued, and the user is told after the batch. On a stream, what arrives while
 * older bytes are unread is copied behind them, if there is room, and its buffer goes back: so a
 * slow reader of small writes holds little more memory than it has unread bytes. Where the kernel
 * knows byte caps, the receive ends by itself at the high mark.
 *
 * Layout of a chunk: plain streams have bytes alone. Everything else is received by recvmsg, whose
 * buffers start with struct io_uring_recvmsg_out, name and control data (headroom); without a message
 * header of the user's only the struct is there, and is stripped. A message's true length is kept as
 * the buffer's note.
 *
 * Failures: no buffers: the socket waits at the provider (netlink says ENOBUFS for lost messages too:
 * that is a datagram's error); the ring's limit: at the ring; the high mark
 * or the user's pause: the receive is cancelled, and what was on its way is kept. The receive ends
 * with an errno, or with zero: the end of input. Completions that lack IORING_CQE_F_MORE end the
 * receive whatever they say; only those of our own making are expected, one other is forgiven.
 */
#include "socket/state.h"
#include "engine/uring-compat.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum
{
    RECEIVE_HIGH = 1 << 20,
    RECEIVE_LOW = 256 << 10,
    RECEIVE_TURN_LIMIT = 256 << 10,
    RECEIVE_ROOMY_SHARE = 4, /* messages are put into buffers of their size when the queue's memory
                                reaches 1/4 of the high mark */
    RECEIVE_FILE_SHARE = 16, /* of a file's memory counts: its users may wait for bytes that come one by one */
    RECEIVE_RING_SHARE = 4,  /* a bundle takes 1/4 of the provider's buffers at most */
    RECEIVE_MOST_ERRORS = 16, /* in a row, without a rest */
    RECEIVE_FILL_SHARE = 8,  /* tail room of at least 1/8 of a buffer is filled by copying */
};

/* ---- chunks ---- */

uint8_t* FastChunkPayload(const struct FastSocketInbound* inbound, struct FastBuffer* chunk)
{
    return GetFastBufferData(chunk) + inbound->headroom;
}

size_t FastChunkLength(const struct FastSocketInbound* inbound, struct FastBuffer* chunk)
{
    return GetFastBufferLength(chunk) - inbound->headroom;
}

bool FastSocketHasMessages(const struct FastSocket* socket)
{
    return socket->kind != SOCKET_STREAM;
}

/* Descriptors in control data that nobody takes would stay open for ever. */
static void closePassedDescriptors(const struct FastSocketInbound* inbound, struct FastBuffer* chunk)
{
    if (inbound->header == NULL || inbound->header->msg_controllen == 0)
        return;
    const struct io_uring_recvmsg_out* out = (const struct io_uring_recvmsg_out*)GetFastBufferData(chunk);
    const uint8_t* control = (const uint8_t*)(out + 1) + inbound->header->msg_namelen;
    size_t left = out->controllen < inbound->header->msg_controllen ? out->controllen
                                                                    : inbound->header->msg_controllen;
    FastControlCloseHandles(control, left);
}

static void pushChunk(struct FastSocket* socket, struct FastBuffer* chunk)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    *FastBufferLink(chunk) = NULL;
    if (inbound->last != NULL)
        *FastBufferLink(inbound->last) = chunk;
    else
        inbound->first = chunk;
    inbound->last = chunk;
    inbound->footprint += FastBufferFootprint(chunk);
}

static void countIn(struct FastSocket* socket, size_t length)
{
    socket->inbound.length += length;
    socket->inbound.turnLength += length;
    socket->inbound.news = true;
    socket->statistics.receivedBytes += length;
    FastRingAddInbound(socket->ring, length);
}

void FastSocketCountOut(struct FastSocket* socket, size_t length)
{
    socket->inbound.length -= length;
    FastRingTakeInbound(socket->ring, length);
}

/* Takes the first chunk off, whatever of it is unread. */
struct FastBuffer* FastSocketPopChunk(struct FastSocket* socket)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    struct FastBuffer* chunk = inbound->first;
    inbound->first = *FastBufferLink(chunk);
    if (inbound->first == NULL)
        inbound->last = NULL;
    *FastBufferLink(chunk) = NULL;
    inbound->footprint -= FastBufferFootprint(chunk);
    FastSocketCountOut(socket, FastChunkLength(inbound, chunk) - inbound->offset);
    inbound->offset = 0;
    return chunk;
}

void FastSocketDropChunk(struct FastSocket* socket)
{
    struct FastBuffer* chunk = FastSocketPopChunk(socket);
    closePassedDescriptors(&socket->inbound, chunk);
    ReleaseFastBuffer(chunk);
}

void FastSocketDropInput(struct FastSocket* socket)
{
    while (socket->inbound.first != NULL)
        FastSocketDropChunk(socket);
    socket->inbound.news = false;
}

/* ---- taking in what arrived ---- */

/* Copies new bytes of a plain stream behind unread ones; returns how many. */
static size_t fillTail(struct FastSocket* socket, const uint8_t* data, size_t length)
{
    struct FastBuffer* tail = socket->inbound.last;
    if (tail == NULL || socket->inbound.apart)
        return 0;
    size_t used = GetFastBufferLength(tail);
    size_t room = GetFastBufferSize(tail) - used;
    if (room < length && room < GetFastBufferSize(tail) / RECEIVE_FILL_SHARE)
        return 0;
    if (room > length)
        room = length;
    memcpy(GetFastBufferData(tail) + used, data, room);
    SetFastBufferLength(tail, used + room);
    return room;
}

/* A message in a buffer of its own size, when the queue holds much memory for its bytes; or NULL. */
static struct FastBuffer* shrinkMessage(struct FastSocket* socket, const uint8_t* data, size_t length)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    if (!inbound->apart || inbound->footprint < inbound->high / RECEIVE_ROOMY_SHARE ||
        length > FastProviderLength(inbound->provider) / 2)
        return NULL;
    struct FastBuffer* chunk = AllocateFastBuffer(inbound->pool, length, 0);
    if (chunk != NULL)
        memcpy(GetFastBufferData(chunk), data, length);
    return chunk;
}

/* Queues length bytes of a filled slot, and gives the kernel a buffer in its place. */
static void takeSlot(struct FastSocket* socket, uint16_t id, size_t length)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    struct FastRingBufferProvider* provider = inbound->provider;
    uint8_t* data = FastProviderPeek(provider, id);
    struct FastBuffer* chunk = GetFastBuffer(data);
    size_t payload = length - inbound->headroom;

    size_t copied = fillTail(socket, data, length);
    socket->statistics.receivedMessages++;
    countIn(socket, payload);
    if (copied == length && copied > 0) {
        FastProviderReturn(provider, id);
        return;
    }
    if (copied > 0)
        memmove(data, data + copied, length - copied);
    struct FastBuffer* small = shrinkMessage(socket, data, length);
    if (small != NULL) {
        chunk = small;
        FastProviderReturn(provider, id);
    } else
        FastProviderReplace(provider, id,
                            AllocateRingFastBuffer(FastProviderLength(provider), inbound->pool));
    SetFastBufferLength(chunk, length - copied);
    *FastBufferNote(chunk) = payload;
    pushChunk(socket, chunk);
}

/* The same for a buffer that did not come from the provider. */
static void takeBuffer(struct FastSocket* socket, uint8_t* data, size_t length)
{
    struct FastBuffer* chunk = GetFastBuffer(data);
    size_t copied = fillTail(socket, data, length);
    socket->statistics.receivedMessages++;
    countIn(socket, length);
    struct FastBuffer* small = copied < length ? shrinkMessage(socket, data, length) : NULL;
    if (copied == length || small != NULL)
        ReleaseFastBuffer(chunk);
    if (copied == length)
        return;
    if (small != NULL)
        chunk = small;
    else if (copied > 0)
        memmove(data, data + copied, length - copied);
    SetFastBufferLength(chunk, length - copied);
    *FastBufferNote(chunk) = length;
    pushChunk(socket, chunk);
}

/* A message's length beyond its buffer is told by the kernel (MSG_TRUNC among our flags); what the user
 * sees is the length that is there. */
static void takeMessage(struct FastSocket* socket, uint16_t id, size_t length)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    struct io_uring_recvmsg_out* out = FastProviderPeek(inbound->provider, id);
    size_t real = out->payloadlen;
    size_t stored = length - inbound->headroom;
    if (out->flags & MSG_TRUNC && (real > stored || !socket->tellsLength))
        socket->statistics.receivedTruncated++;
    out->payloadlen = (uint32_t)stored;
    takeSlot(socket, id, length);
    *FastBufferNote(inbound->last) = real > stored ? real : stored;
}

static void discardSlot(struct FastSocket* socket, uint16_t id, size_t length)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    struct FastBuffer* chunk = GetFastBuffer(FastProviderPeek(inbound->provider, id));
    SetFastBufferLength(chunk, length);
    closePassedDescriptors(inbound, chunk);
    FastProviderReturn(inbound->provider, id);
}

/* The slots of one completion, in the kernel's order. */
static void takeCompletion(struct FastSocket* socket, uint16_t id, size_t total)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    size_t most = FastProviderLength(inbound->provider);
    int slot = id;
    while (total > 0 && slot >= 0) {
        size_t length = total < most ? total : most;
        total -= length;
        /* Asked before this slot is put back, which gives it a new place in the order. */
        int next = total > 0 ? FastProviderNext(inbound->provider, (uint16_t)slot) : -1;
        if (next >= 0)
            FastProviderFilled(inbound->provider, (uint16_t)next, total);
        if (inbound->discard)
            discardSlot(socket, (uint16_t)slot, length);
        else if (FastSocketHasMessages(socket))
            takeMessage(socket, (uint16_t)slot, length);
        else
            takeSlot(socket, (uint16_t)slot, length);
        slot = next;
    }
}

/* A completion that can't be true: its bytes, wherever they are, are nobody's. Nor are, of a connection, those
 * behind them, which may be in the queue already. */
static void refuseCompletion(struct FastSocket* socket, uint16_t id, size_t length)
{
    FastProviderReject(socket->inbound.provider, id, length, socket->inbound.bundle);
    FastRingDistrust(socket->ring);
    if (socket->kind == SOCKET_DATAGRAM)
        FastSocketFailDatagram(socket, EIO);
    else {
        socket->inbound.discard = true;
        FastSocketFailInput(socket, EIO);
    }
}

/* ---- ends of the receive ---- */

void FastSocketEndInput(struct FastSocket* socket)
{
    socket->inbound.ended = true;
    socket->poll.wanted = !socket->file; /* to hear of a later reset */
    FastSocketNotify(socket);
}

void FastSocketFailInput(struct FastSocket* socket, int error)
{
    socket->inbound.ended = true;
    FastSocketFail(socket, error);
    FastSocketNotify(socket);
}

/* Control data, or word of some that had no room, comes with a record and never with the end. */
static bool bringsControl(const struct io_uring_recvmsg_out* out)
{
    return out->controllen > 0 || out->flags & MSG_CTRUNC;
}

/* What comes again at once. Of kinds that can receive for certain EOPNOTSUPP is an earlier datagram's. */
static bool isLasting(const struct FastSocket* socket, int error)
{
    bool receives = socket->largest > 0 || socket->local;
    return error == EBADF || error == EFAULT || error == ENOTSOCK || (error == EOPNOTSUPP && !receives);
}

/* One datagram's error, told at once. A socket that gives nothing but errors (some must be bound before
 * they receive) is asked for the next one after a while only. */
static void failReceive(struct FastSocket* socket, int error)
{
    FastSocketFailDatagram(socket, error);
    if (socket->inbound.errors < RECEIVE_MOST_ERRORS) {
        socket->inbound.errors++;
        return;
    }
    socket->inbound.resting = true;
    FastSocketRetryLater(socket);
}

static void onReceiveError(struct FastSocket* socket, int error)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    switch (error) {
    case ENOBUFS:
        if (FastSocketLostMessages(socket))
            break;
        socket->statistics.receiveStarvations++;
        FastRingCountStarvation(socket->ring);
        if (inbound->limited)
            return; /* waits for the ring's limit; armed after that, it finds out again */
        inbound->starved = true;
        FastProviderWait(inbound->provider, &inbound->waiter, inbound->mark);
        return;
    case EINTR:
        return;
    case EAGAIN:
    case ENOMEM: /* the kernel's own, for the request */
        inbound->resting = true;
        FastSocketRetryLater(socket);
        return;
    case ECANCELED:
        inbound->doubted = FastFileCancelsItself(socket) && inbound->canceled && !inbound->caught;
        if (inbound->canceled)
            return;
        if (!inbound->forgiven && !FastFileCancelsItself(socket)) {
            inbound->forgiven = true;
            return;
        }
        break;
    default:
        if (FastSocketStopsAtRecord(socket, error))
            return;
        break;
    }
    if (socket->kind == SOCKET_DATAGRAM && !isLasting(socket, error) && error != ECANCELED)
        failReceive(socket, error);
    else
        FastSocketFailInput(socket, error);
}

static void beginTurn(struct FastSocketInbound* inbound, uint64_t turn)
{
    if (inbound->turn == turn)
        return;
    inbound->turn = turn;
    inbound->turnLength = 0;
}

static void onReceiveData(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    uint16_t id = (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
    size_t length = (size_t)completion->res;
    bool empty = length == inbound->headroom;
    void* data = FastProviderPeek(inbound->provider, id);

    inbound->forgiven = false;
    inbound->errors = 0;
    if (length < inbound->headroom ||
        !FastProviderIsPossible(inbound->provider, id, length, inbound->bundle)) {
        refuseCompletion(socket, id, length);
        return;
    }
    FastProviderFilled(inbound->provider, id, length);
    if (empty && (socket->kind == SOCKET_STREAM ||
                  (socket->kind == SOCKET_RECORD && !bringsControl(data) && FastSocketRecordsHaveEnded(socket)))) {
        FastProviderReturn(inbound->provider, id);
        FastSocketEndInput(socket);
        return;
    }
    beginTurn(inbound, FastRingTurn(socket->ring));
    takeCompletion(socket, id, length);
    inbound->renew = inbound->renew || inbound->ending; /* the end is behind this, and may be missed */
    if (inbound->turnLength >= inbound->turnLimit)
        FastRingYield(socket->ring); /* the answers first, and the others */
    FastSocketNotify(socket);
}

void FastSocketTakeInput(struct FastSocket* socket, void* data, size_t length)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    inbound->forgiven = false;
    beginTurn(inbound, FastRingTurn(socket->ring));
    takeBuffer(socket, data, length);
    if (inbound->turnLength >= inbound->turnLimit)
        FastRingYield(socket->ring);
    FastSocketNotify(socket);
}

/* A read that fails, or reads nothing, may have taken a buffer all the same. */
static void returnUnused(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    uint16_t id = (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
    if (completion->flags & IORING_CQE_F_BUFFER)
        FastProviderReject(socket->inbound.provider, id, 0, false);
}

static void onReceive(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastSocket* socket = FAST_CONTAINER(operation, struct FastSocket, inbound.operation);
    bool over = !(completion->flags & IORING_CQE_F_MORE);
    if (over)
        socket->inbound.armed = false;
    if (completion->res < 0 || (completion->res == 0 && socket->file))
        returnUnused(socket, completion);
    if (socket->file && FastSocketTakeRead(socket, completion))
        (void)0;
    else if (completion->res < 0)
        onReceiveError(socket, -completion->res);
    else if (completion->flags & IORING_CQE_F_BUFFER)
        onReceiveData(socket, completion);
    else if (socket->kind == SOCKET_DATAGRAM || (socket->kind == SOCKET_RECORD && !FastSocketRecordsHaveEnded(socket)))
        (void)0; /* nothing was delivered, and a datagram socket has no end */
    else
        FastSocketEndInput(socket);
    if (over) {
        FastSocketDefer(socket);
        FastSocketDrop(socket);
    }
}

static void onReceiveCancel(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastSocket* socket = FAST_CONTAINER(operation, struct FastSocket, inbound.cancel);
    socket->inbound.canceling = false;
    if (completion->res != -ENOENT)
        socket->inbound.caught = true;
    else if (socket->inbound.doubted && socket->stage == SOCKET_LIVE)
        FastSocketFailInput(socket, ECANCELED); /* it was over before, by itself */
    socket->inbound.doubted = false;
    socket->inbound.unmoved = FastSocketCancelRests(socket, completion);
    FastSocketDefer(socket);
    FastSocketDrop(socket);
}

/* Buffers, or room below the ring's limit, are there again. */
static void onServed(struct FastWaiter* waiter)
{
    struct FastSocket* socket = FAST_CONTAINER(waiter, struct FastSocket, inbound.waiter);
    socket->inbound.starved = false;
    socket->inbound.limited = false;
    FastSocketDefer(socket);
}

/* ---- arming ---- */

/* Messages and packets count with the memory that they hold beyond one turn's share, if that is more
 * than their bytes: many small ones hold far more. A waiting MSG_WAITALL is never kept from its bytes by memory
 * alone. */
static size_t levelOf(const struct FastSocketInbound* inbound)
{
    uint64_t share = inbound->turnLimit < inbound->high ? inbound->turnLimit : inbound->high;
    if (!inbound->apart || inbound->length < inbound->wanted || inbound->footprint < share)
        return inbound->length;
    size_t memory = inbound->footprint - (size_t)share;
    if (inbound->headroom == 0)
        memory /= RECEIVE_FILE_SHARE;
    return memory > inbound->length ? memory : inbound->length;
}

/* Stops at the high mark, goes on at the low one. */
static void updateFull(struct FastSocket* socket)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    size_t level = levelOf(inbound);
    if (inbound->length < inbound->wanted) {
        inbound->full = false; /* who waits for all of them does not read before */
        return;
    }
    if (!inbound->full && level >= inbound->high && inbound->first != NULL) {
        inbound->full = true;
        socket->statistics.receivePauses++;
    } else if (inbound->full && (level <= inbound->low || inbound->first == NULL))
        inbound->full = false;
}

void FastSocketRetryLimit(struct FastSocket* socket)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    if (!inbound->limited || FastRingInboundIsFull(socket->ring))
        return;
    FastWaiterRemove(&inbound->waiter);
    inbound->limited = false;
}

static void updateLimited(struct FastSocket* socket)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    if (inbound->limited || inbound->first == NULL || !FastRingInboundIsFull(socket->ring))
        return;
    inbound->limited = true;
    socket->statistics.receivePauses++;
    FastWaiterRemove(&inbound->waiter); /* of the provider: both is too much to wait for at once */
    inbound->starved = false;
    FastRingWaitInbound(socket->ring, &inbound->waiter);
}

bool FastSocketWantsInput(const struct FastSocket* socket)
{
    const struct FastSocketInbound* inbound = &socket->inbound;
    if (!socket->readable || inbound->ended || inbound->resting || socket->stage >= SOCKET_CANCELING || socket->failureTold)
        return false;
    if (inbound->discard)
        return !inbound->starved && inbound->record == 0;
    /* TCP's receive may wait for the connection too; others refuse. */
    if (socket->stage != SOCKET_LIVE || (socket->connecting && !socket->tcp))
        return false;
    return !inbound->paused && !inbound->full && !inbound->limited && !inbound->starved && inbound->record == 0;
}

void FastSocketBalanceReceive(struct FastSocket* socket)
{
    if (socket->stage != SOCKET_LIVE || socket->shell)
        return;
    updateFull(socket);
    updateLimited(socket);
    /* A queue that was emptied must not wait for others: its first buffer is never denied. */
    if (socket->inbound.limited && socket->inbound.first == NULL) {
        FastWaiterRemove(&socket->inbound.waiter);
        socket->inbound.limited = false;
    }
    if (FastSocketWantsInput(socket) != socket->inbound.armed)
        FastSocketDefer(socket);
    if (FastSocketFailureIsDue(socket))
        FastSocketNotify(socket);
}

/* What one receive may take of the ring at most. The kernel ends a multishot receive of a bundle that
 * could take all that is left in the ring (6.17 and later), though it took a single buffer. */
static uint64_t bundleShare(const struct FastSocketInbound* inbound)
{
    return FastProviderCount(inbound->provider) / RECEIVE_RING_SHARE *
           (uint64_t)FastProviderLength(inbound->provider);
}

static bool receivesBundles(const struct FastSocket* socket)
{
    const struct FastSocketInbound* inbound = &socket->inbound;
    uint64_t features = FastRingEngine(socket->ring)->features;
    return socket->bundles && features & FASTRING_FEATURE_RECEIVE_BUNDLE && bundleShare(inbound) > 0 &&
           (features & FASTRING_FEATURE_RECEIVE_CAP || inbound->turnLimit >= RECEIVE_TURN_LIMIT);
}

/* A bundle takes whatever is there: it needs the kernel's bound of each receive, or a socket that does
 * not ask for less than what a bundle usually is. */
static void boundReceive(struct FastSocket* socket, struct io_uring_sqe* entry)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    uint64_t each = inbound->turnLimit;
    inbound->bundle = receivesBundles(socket);
    if (inbound->bundle) {
        entry->ioprio |= FAST_URING_RECVSEND_BUNDLE;
        each = each < bundleShare(inbound) ? each : bundleShare(inbound);
    }
    if (!(FastRingEngine(socket->ring)->features & FASTRING_FEATURE_RECEIVE_CAP) || inbound->discard)
        return;
    uint64_t mark = inbound->high > inbound->wanted ? inbound->high : inbound->wanted;
    uint64_t left = mark > inbound->length ? mark - inbound->length : 1;
    entry->len = each < INT_MAX ? (uint32_t)each : 0;
    entry->splice_fd_in = left < INT_MAX ? (int)left : 0; /* optlen: bytes until the receive ends */
}

void FastSocketTightenReceive(struct FastSocket* socket)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    if (!inbound->armed || inbound->modest || inbound->headroom > 0)
        return;
    inbound->renew = true;
    FastSocketDefer(socket);
}

static bool arm(struct FastSocket* socket)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    struct msghdr* template = NULL;
    bool messages = inbound->headroom > 0;
    if (socket->file && FastRingRoom(socket->ring) < SOCKET_TRAILED)
        return false;
    if (messages) {
        template = FastRingScratch(socket->ring, sizeof(*template));
        if (template == NULL)
            return false;
        *template = (struct msghdr){0};
        if (inbound->header != NULL)
            *template = *inbound->header;
    }
    struct io_uring_sqe* entry = FastRingReserve(socket->ring, &inbound->operation);
    if (entry == NULL)
        return false;
    uint64_t owner = entry->user_data;
    inbound->modest = !messages && !inbound->discard && FastRingInboundIsFull(socket->ring);
    if (socket->file)
        FastSocketPrepareRead(socket, entry);
    else if (inbound->modest)
        io_uring_prep_recv(entry, socket->handle, NULL, FastProviderLength(inbound->provider),
                           inbound->flags);
    else if (messages)
        io_uring_prep_recvmsg_multishot(entry, socket->handle, template,
                                        (unsigned)inbound->flags | (socket->tellsLength ? MSG_TRUNC : 0));
    else
        io_uring_prep_recv_multishot(entry, socket->handle, NULL, 0, inbound->flags);
    entry->user_data = owner;
    if (!socket->file) {
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = GetFastRingBufferGroup(inbound->provider);
    }
    inbound->bundle = false;
    if (!socket->file && !messages && !inbound->modest)
        boundReceive(socket, entry);
    inbound->armed = true;
    inbound->mark = FastProviderMark(inbound->provider);
    inbound->canceled = false;
    inbound->caught = false;
    inbound->doubted = false;
    inbound->unmoved = false;
    inbound->renew = false; /* this one is what was asked for */
    FastSocketHold(socket);
    return true;
}

bool FastSocketStepReceive(struct FastSocket* socket)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    if (socket->shell)
        return true;
    if (socket->stage == SOCKET_LIVE) {
        updateFull(socket);
        updateLimited(socket);
    }
    bool wanted = FastSocketWantsInput(socket);
    if (inbound->armed && (!wanted || inbound->renew)) {
        if (inbound->unmoved)
            return true;
        bool made = FastSocketPrepareCancel(socket, &inbound->cancel, &inbound->operation, &inbound->canceling);
        inbound->canceled = inbound->canceled || made;
        return made;
    }
    if (wanted && !inbound->armed && !inbound->canceling)
        return arm(socket);
    return true;
}

void FastSocketInitializeReceive(struct FastSocket* socket)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    inbound->operation.function = onReceive;
    inbound->cancel.function = onReceiveCancel;
    inbound->waiter.function = onServed;
    inbound->high = RECEIVE_HIGH;
    inbound->low = RECEIVE_LOW;
    inbound->turnLimit = RECEIVE_TURN_LIMIT;
    if (inbound->header != NULL)
        inbound->headroom = (uint32_t)(sizeof(struct io_uring_recvmsg_out) +
                                       inbound->header->msg_namelen + inbound->header->msg_controllen);
    else if (FastSocketHasMessages(socket))
        inbound->headroom = sizeof(struct io_uring_recvmsg_out);
    inbound->apart = inbound->headroom > 0 || socket->packets;
}
