/*
 * Links, as the model sees them.
 *
 * Promised, and so in the trace or a goal that each synchronization waits for: every byte once and
 * in order; POLLIN when something new came; one POLLOUT when all that was transmitted has gone;
 * POLLERR and POLLHUP once, with their errno; what is unread; what a transmit gives.
 *
 * Not promised, and so left out:
 * - how often POLLIN comes, and with how much: pieces depend on when the kernel is asked;
 * - what comes to one that is paused: input on its way is kept, which of it is on its way depends
 *   on the moment. All of it is certain again after the resume, end and errors included;
 * - where exactly a receive stops at the high mark, so also when a slow reader hears of the end;
 *   certain again when no more is unread than the low mark says;
 * - how much a full socket takes, so also POLLOUT while much is unread at the other end;
 * - what a reset or an abort destroys on its way, and what is still to be received when a send
 *   meets the end while nothing is received;
 * - whether a large transmit to a peer that is gone, or one without a copy, gives EPIPE or
 *   ECONNRESET: of a send that is cut short only the connection's state tells; so also of a reset
 *   that meets a send which waits for room on AF_UNIX, where the kernel (6.18) gives the count of
 *   what went before, the errno is gone, and no state is left, and on TCP behind the peer's end,
 *   where the errno is EPIPE, and the state says ECONNRESET, as does the errno once our own end of
 *   output is with the system;
 * - when a send that waits for room hears that its peer is gone, if nothing else tells of that, as
 *   in a pause: behind the end of input io_uring has a thread wait;
 * - what two things that happen at once do to each other (data and a reset, an end and a transmit):
 *   either order is right. Mostly such steps wait until all is quiet; where they don't, the link is
 *   racy from then on, and only the rules that hold in any case are watched: order of bytes, the
 *   automaton of events, the end of all.
 */
#include "link.h"

#include <netinet/in.h>

enum
{
    TURN_SHARE = 256 << 10, /* memory of messages that doesn't count for the marks */
    KEPT = 16,
    NAME_ROOM = 128,
    CONTROL_ROOM = 32,
    RECEIVE_HEADER = 16,
};

struct Link links[LINKS];
uint8_t scratch[SCRATCH];
bool keeps;

struct Kept
{
    struct FastBuffer* buffer;
    const void* data;
    size_t size;
    uint64_t position;
};

static struct Kept kept[KEPT];
static uint32_t serials;
static bool reaches; /* a handler may release an end of another link */

const char* nameModelKind(enum ModelKind kind)
{
    static const char* const names[MODEL_KINDS] = {
        "TCP", "UNIX", "seqpacket", "UNIX datagram", "UDP", "pipe in", "pipe out",
    };
    return names[kind];
}

/* ---- what is certain ------------------------------------------------------------------------- */

bool isUsable(const struct End* end)
{
    return end->ours && !end->gone && (end->socket != NULL);
}

static bool isStarved(const struct End* end)
{
    return (world.starved & (1U << (end->pool - world.pools))) != 0;
}

bool isCertain(const struct End* end)
{
    return !end->link->racy && !end->paused && !end->stopped && !end->lossy && !isStarved(end);
}

static bool fitsBehind(const struct End* end, uint64_t taken, uint64_t takenBytes)
{
    uint64_t bytes = end->queuedBytes - takenBytes;

    if (end->queued == taken)
        return true;
    if (end->echoes || end->echoed) /* in who knows how many pieces */
        return false;
    if (end->link->small)
        return (bytes <= 1000) && (end->pieces <= 1);
    if (isPipe(end->link))
        return (bytes <= 4096) && (end->pieces <= 8);
    return (bytes <= 16384) && (end->pieces <= 8);
}

bool fits(const struct End* end)
{
    return fitsBehind(end, end->other->taken, end->other->takenBytes);
}

bool hasFitted(const struct End* end)
{
    return fitsBehind(end, end->other->knownTaken, end->other->knownBytes);
}

static bool isOutSound(const struct End* end)
{
    return !end->link->racy && !end->other->gone && (end->fatal == 0) && !end->broken &&
           !end->resetKnown;
}

bool isOutCertain(const struct End* end)
{
    return isOutSound(end) && (hasFitted(end) || (end->other->ours && isCertain(end->other)));
}

/* The same as of now: what is waited for, which is more than what is certain to have come. */
static bool isOutDue(const struct End* end)
{
    return isOutSound(end) && (fits(end) || (end->other->ours && isCertain(end->other)));
}

/* What waits for room may go when it likes, and an error of a datagram that nobody received may
 * come some milliseconds behind what met it. */
bool mayComeAnyTime(const struct End* end, int event)
{
    if (event == POLLERR)
        return !isConnection(end->link) && end->other->gone;
    return (event == POLLOUT) && !isOutCertain(end);
}

uint64_t pendingOf(const struct End* end)
{
    return end->other->queued - end->taken;
}

static uint64_t bytesOf(const struct End* end, uint64_t from, uint64_t to)
{
    uint64_t bytes = 0;

    if (!hasMessages(end->link))
        return to - from;
    for (; from < to; from++)
        bytes += end->sizes[from % SIZES];
    return bytes;
}

/* Whether so many units more may be too much for the marks: messages, and what is kept apart, count
 * with their memory. */
static bool exceeds(const struct End* end, uint64_t bytes, uint64_t pieces, uint64_t mark)
{
    uint64_t memory = 0;
    uint64_t share = (end->high < TURN_SHARE) ? end->high : TURN_SHARE;

    if (hasMessages(end->link) || end->headed || isPipe(end->link))
        memory = (pieces * 2 + bytes / (end->pool->length - end->header) + 2) *
                 (end->pool->length + 64);
    return (bytes >= mark) || (memory >= mark + share);
}

/* So many pieces, at most, have these bytes of its. */
static uint64_t piecesOf(const struct End* end, uint64_t bytes)
{
    if (end->echoes || end->echoed) /* in who knows how many */
        return bytes;
    return (bytes == 0) ? 0 : end->pieces;
}

void considerMarks(struct End* end)
{
    uint64_t bytes = end->other->queuedBytes - end->knownBytes;

    if (!end->ours || !exceeds(end, bytes, piecesOf(end->other, bytes), end->high))
        return;
    end->stopped = true;
    if ((end->reaction.event == POLLHUP) || (end->reaction.event == POLLERR))
        end->reaction.action = ACTION_NONE;
}

/* Whether a handler has done something is not the same on all engines once a turn has run: so what
 * it may do is kept as of the last synchronization. */
void noteReactive(void)
{
    reaches = false;
    for (int index = 0; index < LINKS; index++) {
        struct Link* link = &links[index];
        link->reactive = false;
        for (int side = 0; link->used && (side < 2); side++) {
            const struct End* end = &link->ends[side];
            link->reactive |= (end->reaction.action != ACTION_NONE) || end->echoes;
            reaches |= end->reaction.action == ACTION_RELEASE_OTHER;
        }
    }
}

bool isReactive(const struct Link* link)
{
    return link->reactive || reaches;
}

void makeRacy(struct Link* link)
{
    say("link %u is racy", (unsigned)(link - links));
    link->racy = true;
    for (int side = 0; side < 2; side++)
        link->ends[side].reaction.action = ACTION_NONE;
}

/* ---- buffers that are kept ------------------------------------------------------------------- */

void dropKept(uint32_t index)
{
    struct Kept* row = &kept[index % KEPT];

    if (row->buffer == NULL)
        return;
    ck_assert_msg(checkPattern(row->data, row->size, row->position),
                  "a buffer that the program has was written to");
    ReleaseFastBuffer(row->buffer);
    row->buffer = NULL;
}

void keepBuffer(struct FastBuffer* buffer, const void* data, size_t size, uint64_t position)
{
    static uint32_t next;

    if (!keeps) {
        ReleaseFastBuffer(buffer);
        return;
    }
    next++;
    dropKept(next);
    kept[next % KEPT] = (struct Kept){buffer, data, size, position};
}

/* ---- input ----------------------------------------------------------------------------------- */

size_t sizeOfNext(const struct End* end)
{
    return end->other->sizes[end->taken % SIZES];
}

void checkInput(struct End* end, const void* data, size_t size, size_t whole)
{
    uint64_t position = baseOf(end->other) + end->takenBytes;

    ck_assert_msg(end->taken < end->other->queued, "link %u: input that nobody has sent",
                  whoIs(end));
    ck_assert_msg(checkPattern(data, size, position), "link %u: wrong bytes behind %llu",
                  whoIs(end), (unsigned long long)end->taken);
    end->taken += hasMessages(end->link) ? 1 : size;
    end->takenBytes += whole;
    world.progress++;
    ck_assert_msg(end->taken <= end->other->queued, "link %u: more than was sent", whoIs(end));
}

/* How much of a message finds room in a buffer. */
static size_t storedOf(const struct End* end, size_t size)
{
    size_t room = end->pool->length - end->header;

    return (size < room) ? size : room;
}

/* The payload of a buffer that was received with a header. */
static uint8_t* payloadOf(const struct End* end, struct FastBuffer* buffer, size_t* size)
{
    uint8_t* data = GetFastBufferData(buffer);
    uint32_t lengths[4];

    *size = GetFastBufferLength(buffer);
    if (!end->headed)
        return data;
    ck_assert_uint_ge(*size, end->header);
    memcpy(lengths, data, sizeof(lengths));
    *size -= end->header;
    ck_assert_uint_eq(lengths[2], *size);
    return data + end->header;
}

static size_t takeBuffer(struct End* end)
{
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(end->socket);
    uint64_t position = baseOf(end->other) + end->takenBytes;
    size_t size = 0;
    size_t whole = 0;
    const uint8_t* data = NULL;

    if (buffer == NULL)
        return 0;
    data = payloadOf(end, buffer, &size);
    whole = size;
    if (hasMessages(end->link)) {
        ck_assert_msg(end->taken < end->other->queued, "a message that nobody has sent");
        whole = sizeOfNext(end);
        ck_assert_uint_eq(size, storedOf(end, whole));
    }
    checkInput(end, data, size, whole);
    keepBuffer(buffer, data, size, position);
    return hasMessages(end->link) ? 1 : size;
}

static size_t takeData(struct End* end, uint64_t most)
{
    static uint8_t data[65536];
    size_t size = (most < sizeof(data)) ? (size_t)most : sizeof(data);
    ssize_t result = ReceiveFastSocketData(end->socket, data, size, 0);

    if (result < 0) {
        ck_assert_msg((end->fatal != 0) || end->silent || end->link->racy || end->resetKnown ||
                          end->broken,
                      "link %u: a receive gives %zd", whoIs(end), result);
        return 0;
    }
    if (result > 0)
        checkInput(end, data, (size_t)result, (size_t)result);
    return (size_t)result;
}

void consume(struct End* end)
{
    uint64_t before = end->taken;
    uint64_t bytes = end->takenBytes;
    size_t size = 1;

    if (!end->receives)
        return;
    while ((size > 0) && (end->taken < end->allowance)) {
        bool buffers = hasMessages(end->link) || (end->byBuffer && (end->allowance == ENDLESS));
        size = buffers ? takeBuffer(end) : takeData(end, end->allowance - end->taken);
    }
    if (end->echoes && (end->taken > before) && !end->shut) {
        end->loose = true;
        end->echoed = true;
        end->link->dirty = true; /* of a step's read it is on its way */
        (void)transmit(end, (size_t)(end->takenBytes - bytes), 0);
    }
}

/* ---- output ---------------------------------------------------------------------------------- */

void addQueued(struct End* end, size_t size)
{
    if (hasMessages(end->link)) {
        end->sizes[end->queued % SIZES] = (uint32_t)size;
        end->queued++;
    } else {
        end->queued += size;
    }
    end->queuedBytes += size;
    end->pieces++;
    if ((end->reaction.event == POLLOUT) && !hasFitted(end))
        end->reaction.action = ACTION_NONE;
    considerMarks(end->other);
}

static int ownDone(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                   int reason)
{
    (void)completion;
    (void)descriptor;
    (void)reason;
    return 0;
}

static int transmitBuffer(struct End* end, size_t size, size_t offset)
{
    struct FastBuffer* buffer = AllocateFastBuffer(world.outbound, size + offset, 0);

    ck_assert_ptr_nonnull(buffer);
    memcpy(GetFastBufferData(buffer) + offset, scratch, size);
    return TransmitFastSocketBuffer(end->socket, NULL, 0, buffer, offset, size, 0);
}

static int transmitMessage(struct End* end, size_t size)
{
    size_t third = size / 3;
    struct iovec vectors[] = {
        {.iov_base = scratch, .iov_len = third},
        {.iov_base = scratch + third, .iov_len = 0},
        {.iov_base = scratch + third, .iov_len = size - third},
    };
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 3};

    return TransmitFastSocketMessage(end->socket, &message, 0);
}

int modelPrepareSend(struct FastRingDescriptor* descriptor, int handle, void* data, size_t size,
                     bool file);

static int transmitOwn(struct End* end, size_t size)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(world.ring, ownDone, NULL);
    struct FastBuffer* buffer = AllocateFastBuffer(world.outbound, size, 0);

    ck_assert_ptr_nonnull(descriptor);
    ck_assert_ptr_nonnull(buffer);
    memcpy(GetFastBufferData(buffer), scratch, size);
    modelPrepareSend(descriptor, GetFastSocketHandle(end->socket), GetFastBufferData(buffer), size,
                     isPipe(end->link));
    return TransmitFastSocketDescriptor(end->socket, descriptor, buffer);
}

static bool mayRefuse(const struct End* end)
{
    return end->shut || (end->fatal != 0) || end->other->gone || end->link->racy || end->endKnown;
}

/* The other end is gone: an error follows. Where the end of input is still to be told, the two
 * meet, and either may be told first. One of ours that was released takes what comes, and drops
 * it, for as long as it lingers: until then there is no error. */
static void meetGone(struct End* end)
{
    if (isConnection(end->link) && end->other->ours && !end->other->dropped) {
        makeRacy(end->link);
        return;
    }
    end->broken = true;
    if (end->reaction.event == POLLOUT)
        end->reaction.action = ACTION_NONE;
    end->vague |= end->zeroCopy || !hasFitted(end);
    bool knows = isCertain(end) && (end->hungUp || end->silent);
    if (isConnection(end->link) && end->receives && !knows)
        makeRacy(end->link);
}

int transmit(struct End* end, size_t size, uint32_t how)
{
    int result = 0;

    fillPattern(scratch, size, baseOf(end) + end->queuedBytes);
    if ((how == 1) && (size > 0))
        result = transmitBuffer(end, size, size % 100);
    else if (how == 2)
        result = transmitMessage(end, size);
    else if ((how == 3) && (size > 0))
        result = transmitOwn(end, size);
    else
        result = TransmitFastSocketData(end->socket, NULL, 0, scratch, size, 0);
    if (result != 0) {
        ck_assert_msg((result == -EPIPE) && mayRefuse(end), "link %u: a transmit of %zu gives %d",
                      whoIs(end), size, result);
        /* Refused or taken: that depends on when a thread of the kernel's has had its turn. */
        if (end->other->gone && isConnection(end->link) && !isCertain(end))
            makeRacy(end->link);
        return result;
    }
    ck_assert_msg(!end->shut && (end->fatal == 0 || !isConnection(end->link)),
                  "link %u: a transmit behind the end is taken", whoIs(end));
    addQueued(end, size);
    end->owed = true;
    if (end->other->gone && ((size > 0) || hasMessages(end->link)))
        meetGone(end);
    return 0;
}

/* ---- the end of an end ----------------------------------------------------------------------- */

/* The other end of ours hears of it. */
static void tellOther(struct End* end, bool abort)
{
    struct End* other = end->other;

    /* Its next transmit empties its queue in the system. */
    if ((end->link->kind == MODEL_UNIX_DATAGRAM) &&
        (!isCertain(other) || end->link->dirty || world.turned))
        other->lossy = true;
    if (!isUsable(other) || !isConnection(end->link))
        return;
    if (other->sends && !other->receives)
        return;
    other->endKnown = true;
    if (!abort)
        return;
    if ((end->link->kind == MODEL_TCP) && end->shut && other->shut) {
        /* The end of either may be behind what has not gone out, or what nobody has taken. */
        if ((end->queued != other->knownTaken) || (other->queued != end->knownTaken))
            makeRacy(end->link);
        return; /* both have ended it: nobody is there to be reset */
    }
    if ((end->link->kind == MODEL_UNIX) || ((end->link->kind == MODEL_TCP) && end->shut))
        other->vague |= !hasFitted(other); /* as where a plain end closes */
    if (end->link->kind == MODEL_TCP)
        other->resetKnown = true;
    else if (!isCertain(end))
        makeRacy(end->link);
    if (!isCertain(other) || end->link->dirty || world.turned)
        other->lossy = true;
}

void leave(struct End* end)
{
    struct End* other = end->other;

    end->gone = true;
    if (mayComeAnyTime(other, other->reaction.event))
        other->reaction.action = ACTION_NONE;
}

void letGo(struct End* end, bool abort)
{
    struct FastSocket* socket = end->socket;

    tellOther(end, abort);
    if (!end->other->ours)
        leave(end->other);
    leave(end);
    end->dropped = abort;
    end->socket = NULL;
    end->reaction.action = ACTION_NONE;
    end->link->dirty = true;
    end->link->touched = true;
    if (abort)
        AbortFastSocket(socket);
    else
        ReleaseFastSocket(socket);
}

/* Two released datagram sockets that have filled each other wait until their time is over. */
void letGoInOrder(struct End* end)
{
    const struct End* other = end->other;
    bool waits = (end->link->kind == MODEL_UNIX_DATAGRAM) && (end->queued > other->taken);

    letGo(end, other->ours && other->gone && waits);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void react(struct End* end)
{
    enum Action action = end->reaction.action;
    uint32_t argument = end->reaction.argument;
    struct End* other = NULL;

    end->reaction.action = ACTION_NONE;
    end->reacted = (int)action;
    end->loose = true;
    switch (action) {
    case ACTION_RELEASE:
    case ACTION_ABORT:
        makeRacy(end->link);
        letGo(end, action == ACTION_ABORT);
        break;
    case ACTION_PAUSE:
        ck_assert_int_eq(PauseFastSocket(end->socket), 0);
        end->paused = true;
        end->floor = 0;
        break;
    case ACTION_TRANSMIT:
        /* An empty record would pass for the end. */
        if (end->sends && !end->shut)
            (void)transmit(end, (argument % 5000) | (end->link->kind == MODEL_SEQPACKET),
                           argument % 4);
        break;
    case ACTION_ECHO:
        end->echoes = end->sends && !end->other->echoes && !hasMessages(end->link);
        break;
    case ACTION_RELEASE_OTHER:
        other = &links[argument % LINKS].ends[0];
        if ((other->link != end->link) && (other->link != NULL) && !other->link->claimed &&
            isUsable(other)) {
            makeRacy(other->link);
            letGo(other, argument % 3 == 0);
        }
        break;
    default:
        break;
    }
}

/* A send has met it: what the system still has is not received. Behind a resume it may have been
 * told before, on the other engine. */
static void becomeFatal(struct End* end, int error)
{
    end->fatal = error;
    if (end->receives && (end->paused || end->stopped || end->resumed))
        end->lossy = true;
}

static void keepEvent(struct End* end, int event, int parameter)
{
    switch (event) {
    case POLLIN:
        end->in++;
        break;
    case POLLOUT:
        end->out++;
        end->owed = false;
        break;
    case POLLERR:
        if (end->errorCount < ERRORS)
            end->errors[end->errorCount++] = parameter;
        if (isConnection(end->link))
            becomeFatal(end, parameter);
        break;
    default:
        end->hup = parameter;
        end->hungUp = true;
    }
}

static void handle(struct FastSocket* socket, int event, int parameter, int which)
{
    struct End* end = GetFastSocketClosure(socket);

    ck_assert_msg(end->socket == socket, "an event of a socket that was released");
    ck_assert_msg(end->handler == which, "an event goes to a handler that was replaced");
    if (world.verbose)
        fprintf(stderr, "      event of %u: %d, %d\n", whoIs(end), event, parameter);
    keepEvent(end, event, parameter);
    end->link->touched = true;
    if (world.ending)
        return;
    if ((end->reaction.action != ACTION_NONE) && (end->reaction.event == event))
        react(end);
    if ((event == POLLIN) && (end->socket == socket) && !end->paused)
        consume(end);
}

static void handleFirst(struct FastSocket* socket, int event, int parameter)
{
    handle(socket, event, parameter, 0);
}

static void handleSecond(struct FastSocket* socket, int event, int parameter)
{
    handle(socket, event, parameter, 1);
}

const HandleFastSocketEvent handlers[2] = {handleFirst, handleSecond};

/* ---- making ---------------------------------------------------------------------------------- */

static void prepareEnd(struct Link* link, int side, const struct Making* making)
{
    struct End* end = &link->ends[side];

    *end = (struct End){
        .link = link,
        .other = &link->ends[1 - side],
        .handle = -1,
        .ours = (side == 0) || making->both,
        .sends = !isPipe(link) || ((link->kind == MODEL_PIPE_OUT) == (side == 0)),
        .receives = !isPipe(link) || ((link->kind == MODEL_PIPE_IN) == (side == 0)),
        .allowance = ENDLESS,
        .pool = &world.pools[making->pool],
        .headed = making->headed,
        .byBuffer = making->byBuffer,
        .silent = making->silent && (side == 0),
        .zeroCopy = (making->mode & FASTSOCKET_MODE_ZERO_COPY) != 0,
        .hup = -1,
        .turnLimit = TURN_SHARE,
        .high = 1 << 20,
        .low = 256 << 10,
        .wasCertain = true,
        .outWasCertain = true,
    };
    if (making->headed)
        end->header = RECEIVE_HEADER + NAME_ROOM + CONTROL_ROOM;
    else if (hasMessages(link))
        end->header = RECEIVE_HEADER;
}

static void openEnd(struct End* end, const struct Making* making, int handle)
{
    struct msghdr message = {.msg_namelen = NAME_ROOM, .msg_controllen = CONTROL_ROOM};
    int mode = making->mode | (isPipe(end->link) ? FASTSOCKET_MODE_FILE_IO : 0);

    end->socket = CreateFastSocket(world.ring, end->pool->provider, world.inbound, world.outbound,
                                   handle, making->headed ? &message : NULL, 0, mode, making->limit,
                                   end->silent ? NULL : handlers[0], end);
    ck_assert_msg(end->socket != NULL, "CreateFastSocket: %s", strerror(errno));
    end->owed = end->sends && !end->silent;
}

void adoptLink(struct Link* link, const struct Making* making, int handles[2])
{
    *link = (struct Link){
        .kind = making->kind,
        .serial = ++serials,
        .used = true,
        .dirty = true,
        .touched = true,
        .small = making->small,
    };
    for (int side = 0; side < 2; side++)
        prepareEnd(link, side, making);
    for (int side = 0; side < 2; side++) {
        if (link->ends[side].ours)
            openEnd(&link->ends[side], making, handles[side]);
        else
            link->ends[side].handle = handles[side];
    }
}

void makeLink(struct Link* link, const struct Making* making)
{
    int handles[2];

    link->kind = making->kind;
    openPlain(link, making, handles);
    adoptLink(link, making, handles);
}

/* ---- the part -------------------------------------------------------------------------------- */

static void openLinks(struct Chance* chance)
{
    (void)chance;
    memset(links, 0, sizeof(links));
    serials = 0;
    reaches = false;
    keeps = false;
    openListening();
}

/* Returns whether it has done something. */
static bool beginEnd(struct End* end)
{
    const struct End* other = end->other;
    uint64_t last = (end->allowance < other->queued) ? end->allowance : other->queued;
    uint64_t before = end->taken;
    uint64_t bytes = 0;
    bool acts = false;

    if (!isUsable(end))
        return false;
    if (end->silent && (end->fatal == 0) && (GetFastSocketError(end->socket) > 0))
        becomeFatal(end, GetFastSocketError(end->socket));
    if (other->gone && other->ours) { /* it lingers for a second: nothing may depend on that */
        end->allowance = ENDLESS;
        last = other->queued;
        end->echoes = false;
        if (end->paused) {
            ck_assert_int_eq(ResumeFastSocket(end->socket), 0);
            end->paused = false;
            end->resumed = true;
            acts = true;
        }
        consume(end);
    }
    if (end->paused)
        return acts;
    if (last < end->taken)
        last = end->taken;
    bytes = bytesOf(other, last, other->queued);
    if (!exceeds(end, bytes, piecesOf(other, bytes), end->low + 1))
        end->stopped = false;
    return acts || (end->taken != before);
}

static bool beginLinks(void)
{
    bool acts = false;

    for (int index = 0; index < LINKS; index++) {
        if (links[index].used) {
            acts |= beginEnd(&links[index].ends[0]);
            acts |= beginEnd(&links[index].ends[1]);
        }
    }
    return acts;
}

static bool pumpLinks(bool all)
{
    bool moved = false;

    for (int index = 0; index < LINKS; index++) {
        bool looks = links[index].used && (links[index].touched || world.thorough);
        for (int side = 0; looks && (side < 2); side++) {
            struct End* end = &links[index].ends[side];
            uint64_t before = end->taken;
            if (isUsable(end) && end->silent && !end->paused)
                consume(end);
            else if (end->handle >= 0)
                moved |= pumpPlain(end, all);
            moved |= end->taken != before;
        }
    }
    return moved;
}

static const char* missingInput(struct End* end)
{
    uint64_t target = (end->allowance < end->other->queued) ? end->allowance : end->other->queued;
    size_t unread = GetFastSocketInboundLength(end->socket);

    if (unread != end->unread)
        world.progress++;
    end->unread = unread;

    if (!end->receives || end->paused || end->lossy || isStarved(end))
        return NULL;
    if (end->taken < target)
        return "input";
    if (end->stopped)
        return NULL;
    if ((unread != end->other->queuedBytes - end->takenBytes) && !hasMessages(end->link))
        return "input in the queue";
    if (end->endKnown && !end->hungUp && !end->silent)
        return "POLLHUP";
    if (end->resetKnown && (end->fatal == 0) && !end->silent)
        return "POLLERR of a reset";
    if (end->broken && (end->fatal == 0) && (end->errorCount == 0) && !end->silent)
        return "POLLERR of a transmit";
    return NULL;
}

static const char* missingOutput(const struct End* end)
{
    size_t length = GetFastSocketOutboundLength(end->socket);

    bool fails = !isConnection(end->link) && end->other->gone;

    if ((isOutDue(end) || fails) && (length > 0))
        return "output";
    if (hasMessages(end->link) && !isOutDue(end))
        return NULL; /* no bytes are no proof that no message waits */
    if (end->owed && !end->silent && (length == 0) && (end->fatal == 0) && !end->broken &&
        !end->resetKnown && !end->other->gone)
        return "POLLOUT";
    return NULL;
}

static const char* missingEnd(struct End* end)
{
    const char* missing = NULL;

    if (end->link->clearing && (end->handle >= 0))
        return "the end of a plain end";
    if (end->link->racy)
        return NULL;
    if (end->handle >= 0)
        return missingPlain(end);
    if (!isUsable(end))
        return NULL;
    missing = missingInput(end);
    return (missing != NULL) ? missing : missingOutput(end);
}

/* Sockets that may be there: those in use, and released ones that wait for their peers. */
static uint64_t expectedSockets(void)
{
    uint64_t count = 0;

    for (int index = 0; index < LINKS; index++) {
        const struct Link* link = &links[index];
        bool over = true;
        for (int side = 0; link->used && (side < 2); side++) {
            const struct End* end = &link->ends[side];
            over = over && end->gone && (end->handle < 0);
        }
        for (int side = 0; link->used && !over && (side < 2); side++)
            count += link->ends[side].ours;
    }
    return count;
}

static const char* missingLinks(void)
{
    static char text[400];

    for (int index = 0; index < LINKS; index++) {
        for (int side = 0; links[index].used && (side < 2); side++) {
            struct End* end = &links[index].ends[side];
            const char* missing = missingEnd(end);
            if (missing == NULL)
                continue;
            snprintf(text, sizeof(text),
                     "link %u (%s): %s does not come; taken %llu, wanted %llu, sent %llu, unread "
                     "%zu, unsent %zu, racy %d, stopped %d, other gone %d",
                     whoIs(end), nameModelKind(links[index].kind), missing,
                     (unsigned long long)end->taken, (unsigned long long)end->allowance,
                     (unsigned long long)end->other->queued,
                     isUsable(end) ? GetFastSocketInboundLength(end->socket) : 0,
                     isUsable(end) ? GetFastSocketOutboundLength(end->socket) : 0,
                     links[index].racy, end->stopped, end->other->gone);
            return text;
        }
    }
    if (!world.ending && (readRing(world.ring).sockets > expectedSockets())) {
        snprintf(text, sizeof(text), "%llu sockets are there, %llu too many",
                 (unsigned long long)readRing(world.ring).sockets,
                 (unsigned long long)(readRing(world.ring).sockets - expectedSockets()));
        return text;
    }
    return NULL;
}

/* ---- what is written ------------------------------------------------------------------------- */

static int compareErrors(const void* first, const void* second)
{
    return *(const int*)first - *(const int*)second;
}

/* Of datagrams to a peer that is gone the first is refused, and those behind it have no peer: which
 * was the first depends on whether one has waited for room. */
static int errorOf(const struct End* end, int error)
{
    if (!end->vague)
        return error;
    if (!isConnection(end->link) && (error == ENOTCONN))
        return ECONNREFUSED;
    return (error == EPIPE) ? ECONNRESET : error;
}

/* Errors of datagrams: each once, since those of a turn are merged; and not those that come some
 * milliseconds later, since a socket that has nothing but errors is received from more seldom. */
static void writeErrors(struct End* end)
{
    if (!isConnection(end->link) && end->other->gone && !end->broken)
        end->errorCount = 0;
    for (int index = 0; index < end->errorCount; index++)
        end->errors[index] = errorOf(end, end->errors[index]);
    qsort(end->errors, (size_t)end->errorCount, sizeof(end->errors[0]), compareErrors);
    for (int index = 0; index < end->errorCount; index++) {
        if ((index == 0) || (end->errors[index] != end->errors[index - 1]))
            note(FACT_ERR, whoIs(end), end->errors[index]);
    }
    end->errorCount = 0;
}

static void writeInput(struct End* end)
{
    if (end->wasCertain && !end->silent)
        note(FACT_IN, whoIs(end), end->in > 0);
    end->in = 0;
    writeErrors(end);
    if (end->hup >= 0)
        note(FACT_HUP, whoIs(end), errorOf(end, end->hup));
    end->hup = -1;
    note(FACT_TAKEN, whoIs(end), (int64_t)end->taken);
    note(FACT_UNREAD, whoIs(end), (int64_t)GetFastSocketInboundLength(end->socket));
}

/* What one that echoes has sent behind a pause depends on what came before it. */
static void writeOutput(struct End* end)
{
    bool exact = end->outWasCertain && !end->loose && !world.turned;

    if (!end->silent && !(end->echoes && end->resumed))
        note(FACT_OUT, whoIs(end), exact ? end->out : (end->out > 0));
    end->out = 0;
}

/* How much one has taken that was paused in a turn's wake depends on the turn. */
static void learnTaken(struct End* end)
{
    if (end->ours && !isCertain(end))
        return;
    end->knownTaken = end->taken;
    end->knownBytes = end->takenBytes;
}

static void writeEnd(struct End* end)
{
    if (end->reacted != 0)
        note(FACT_REACTED, whoIs(end), end->reacted);
    end->reacted = 0;
    if (!isUsable(end)) {
        if (end->handle >= 0)
            writePlain(end);
        return;
    }
    if (isCertain(end))
        writeInput(end);
    if (isOutCertain(end))
        writeOutput(end);
    if (!isCertain(end) || mayComeAnyTime(end, end->reaction.event))
        end->reaction.action = ACTION_NONE;
    end->wasCertain = isCertain(end);
    end->outWasCertain = isOutCertain(end);
    end->resumed = false;
    end->loose = end->echoes;
    if (end->broken && !isConnection(end->link))
        end->broken = false;
}

/* A released end of ours waits a second for the other, which must go before. */
static void letFollow(struct Link* link)
{
    for (int side = 0; side < 2; side++) {
        struct End* end = &link->ends[side];
        if (isUsable(end) && end->other->ours && end->other->gone)
            letGoInOrder(end);
    }
}

static void writeLinks(void)
{
    for (int index = 0; index < LINKS; index++) {
        struct Link* link = &links[index];
        if (!link->used)
            continue;
        for (int side = 0; side < 2; side++)
            learnTaken(&link->ends[side]);
        for (int side = 0; side < 2; side++)
            writeEnd(&link->ends[side]);
        for (int side = 0; side < 2; side++) {
            if (link->ends[side].queued != link->ends[1 - side].knownTaken)
                continue;
            link->ends[side].pieces = 0;
            link->ends[side].echoed = false;
        }
        link->dirty = false;
        link->touched = false;
        letFollow(link);
    }
    noteReactive();
}

static void finishLinks(void)
{
    for (int index = 0; index < LINKS; index++) {
        for (int side = 0; links[index].used && (side < 2); side++) {
            struct End* end = &links[index].ends[side];
            end->allowance = ENDLESS;
            if (isUsable(end))
                letGoInOrder(end);
        }
        links[index].touched = true;
    }
}

static void closeLinks(void)
{
    for (uint32_t index = 0; index < KEPT; index++)
        dropKept(index);
    for (int index = 0; index < LINKS; index++) {
        for (int side = 0; links[index].used && (side < 2); side++) {
            struct End* end = &links[index].ends[side];
            if (isUsable(end)) {
                ck_assert_msg(end->silent || end->hungUp, "link %u: no POLLHUP as the ring ends",
                              whoIs(end));
                ReleaseFastSocket(end->socket);
            }
            if (end->handle >= 0)
                close(end->handle);
        }
        links[index].used = false;
    }
    closeListening();
}

const struct Part linkPart = {
    .open = openLinks,
    .begin = beginLinks,
    .pump = pumpLinks,
    .missing = missingLinks,
    .write = writeLinks,
    .finish = finishLinks,
    .close = closeLinks,
};
