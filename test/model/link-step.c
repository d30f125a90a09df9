/* The steps on links. */
#define MODEL_USES_LIBURING
#include "link.h"

#include <liburing.h>

enum
{
    MESSAGES_QUEUED = 60,
    BYTES_UDP = 60000,
    BYTES_QUEUED = 3 << 20,
    BYTES_SMALL = 60000,
    TURNS_QUEUED = 60, /* that input may take */
};

int modelPrepareSend(struct FastRingDescriptor* descriptor, int handle, void* data, size_t size,
                     bool file);

/* An operation of the library's user that a socket sends. */
int modelPrepareSend(struct FastRingDescriptor* descriptor, int handle, void* data, size_t size,
                     bool file)
{
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);

    if (file)
        io_uring_prep_write(entry, handle, data, (unsigned)size, (uint64_t)-1);
    else
        io_uring_prep_send(entry, handle, data, size, 0);
    return 0;
}

/* ---- making and ending ----------------------------------------------------------------------- */

static bool isArmed(const struct Link* link)
{
    return (link->ends[0].reaction.action != ACTION_NONE) ||
           (link->ends[1].reaction.action != ACTION_NONE);
}

/* What is left of a former link in this place. */
static void clearLink(struct Link* link)
{
    if (!link->used)
        return;
    if (isArmed(link) && (link->dirty || world.turned))
        synchronize();
    for (int side = 0; side < 2; side++) {
        struct End* end = &link->ends[side];
        end->allowance = ENDLESS;
        if (isUsable(end))
            letGoInOrder(end);
    }
    link->touched = true;
    link->clearing = true; /* a racy link's ends are not waited for otherwise */
    synchronize(); /* in any case: what is left depends on what a racy link's ends have heard */
    link->clearing = false;
    for (int side = 0; side < 2; side++)
        ck_assert_int_lt(link->ends[side].handle, 0);
    link->used = false;
}

static void stepMake(struct Link* link, struct Chance* chance)
{
    struct Making making = {
        .kind = (enum ModelKind)draw(chance, MODEL_KINDS),
        .both = oneIn(chance, 4),
        .headed = oneIn(chance, 4),
        .small = oneIn(chance, 6),
        .silent = oneIn(chance, 10),
        .byBuffer = oneIn(chance, 2),
        .limit = oneIn(chance, 4) ? 1 + draw(chance, 4) : 0,
        .pool = oneIn(chance, 3),
    };

    if (oneIn(chance, 4))
        making.mode |= FASTSOCKET_MODE_ZERO_COPY;
    if (oneIn(chance, 4))
        making.mode |= FASTSOCKET_MODE_AUTO_CORK;
    if ((making.kind == MODEL_PIPE_IN) || (making.kind == MODEL_PIPE_OUT)) {
        making.both = false;
        making.headed = false;
        making.mode = 0;
    }
    if (making.kind == MODEL_UDP)
        making.small = false;
    if (world.pools[making.pool].length < 256)
        making.headed = false;
    clearLink(link);
    say("link %u: %s%s%s%s%s, mode %x, limit %u, pool %d", (unsigned)(link - links) * 2,
        nameModelKind(making.kind), making.both ? ", both ends" : "",
        making.headed ? ", with headers" : "", making.small ? ", small" : "",
        making.silent ? ", silent" : "", making.mode, making.limit, making.pool);
    makeLink(link, &making);
}

/* Two things at once may come in either order: mostly the first is waited for. */
static void waitBefore(struct Link* link, struct Chance* chance)
{
    if (!link->dirty && !world.turned)
        return;
    if (isArmed(link) || !oneIn(chance, 4))
        synchronize();
    else
        makeRacy(link);
}

/* A plain end of a pipe is closed with its output: when that was depends on the other. */
static bool isPlainOpen(const struct End* end)
{
    return (end->handle >= 0) && !end->gone && !(isPipe(end->link) && end->shut);
}

static void stepEnd(struct End* end, bool hard, struct Chance* chance)
{
    if (!isUsable(end) && !isPlainOpen(end))
        return;
    waitBefore(end->link, chance);
    if (isUsable(end)) {
        say("link %u: %s", whoIs(end), hard ? "abort" : "release");
        letGo(end, hard);
    } else if (isPlainOpen(end)) {
        say("link %u: %s", whoIs(end), hard ? "reset" : "close");
        closePlain(end, hard);
    }
}

/* ---- output ---------------------------------------------------------------------------------- */

static bool hasRoom(const struct End* end, size_t size)
{
    uint64_t units = end->queued - end->other->knownTaken;
    uint64_t bytes = end->queuedBytes - end->other->knownBytes;
    uint64_t most = end->link->small ? BYTES_SMALL : BYTES_QUEUED;

    if (end->other->ours && (most > end->other->pool->length * TURNS_QUEUED))
        most = end->other->pool->length * TURNS_QUEUED;
    if (end->other->ours && (most > end->other->turnLimit * TURNS_QUEUED))
        most = end->other->turnLimit * TURNS_QUEUED;
    if (!hasMessages(end->link))
        return bytes + size <= most;
    if (units >= MESSAGES_QUEUED)
        return false;
    return (end->link->kind != MODEL_UDP) || (bytes + size + units * 1280 <= BYTES_UDP);
}

static size_t sizeFor(const struct End* end, struct Chance* chance)
{
    size_t size = 0;

    if (hasMessages(end->link)) {
        size = drawSize(chance, end->link->small ? 1000 : 9000);
        return ((size == 0) && (end->link->kind == MODEL_SEQPACKET)) ? 1 : size;
    }
    if (oneIn(chance, 70))
        return draw(chance, 2 << 20);
    return drawSize(chance, oneIn(chance, 11) ? 300000 : 8000);
}

static void stepTransmit(struct End* end, struct Chance* chance)
{
    size_t size = sizeFor(end, chance);
    uint32_t how = draw(chance, 4);
    uint32_t times = oneIn(chance, 5) ? 1 + draw(chance, 6) : 1;

    if (!end->sends || !hasRoom(end, size * times))
        return;
    if (isUsable(end) && end->other->gone && end->other->ours)
        return;
    if (isUsable(end) && end->other->gone && (end->link->dirty || world.turned))
        waitBefore(end->link, chance);
    if (isUsable(end)) {
        bool certain = isCertain(end) && !world.turned && (end->wasCertain || end->fatal != 0);
        end->link->dirty = true;
        for (; times > 0; times--) {
            int result = transmit(end, size, how);
            say("link %u: transmit %zu, %u: %d", whoIs(end), size, how, result);
            if (certain)
                note(FACT_TRANSMIT, whoIs(end), result);
        }
    } else if ((end->handle >= 0) && !end->gone && !end->shut && !end->other->gone) {
        say("link %u: %u times %zu", whoIs(end), times, size);
        end->link->dirty = true;
        for (; times > 0; times--) {
            if (size > 0 || hasMessages(end->link))
                addQueued(end, size);
            (void)pumpPlain(end, false);
        }
    }
}

static void stepShut(struct End* end, struct Chance* chance)
{
    int result = 0;

    if (end->shut || !end->sends)
        return;
    if (isUsable(end)) {
        waitBefore(end->link, chance);
        if (!isUsable(end))
            return;
        end->link->dirty = true;
        result = ShutdownFastSocket(end->socket);
        say("link %u: shutdown: %d", whoIs(end), result);
        bool certain = !end->link->racy && (!end->other->gone || isCertain(end));
        if (certain)
            note(FACT_CALL, whoIs(end), result);
        if ((result != 0) && (certain || (result != -EPIPE)))
            return; /* else its output is over in either case */
        end->shut = true;
        if (end->other->ours)
            end->other->endKnown = true;
    } else if ((end->handle >= 0) && !end->gone && isConnection(end->link)) {
        say("link %u: end of output", whoIs(end));
        end->shut = true;
        end->link->dirty = true;
        end->other->endKnown = true;
    }
}

/* ---- input ----------------------------------------------------------------------------------- */

static void peek(struct End* end, struct Chance* chance)
{
    static uint8_t data[4096];
    size_t size = 1 + draw(chance, sizeof(data));
    ssize_t result = ReceiveFastSocketData(end->socket, data, size, MSG_PEEK);

    if ((result > 0) && !hasMessages(end->link))
        ck_assert(checkPattern(data, (size_t)result, baseOf(end->other) + end->takenBytes));
}

/* All or nothing. */
static void takeWhole(struct End* end, struct Chance* chance)
{
    static uint8_t data[8192];
    size_t size = 1 + draw(chance, sizeof(data) - 1);
    ssize_t result = 0;

    if ((size >= end->high) || (end->allowance - end->taken < size))
        return;
    result = ReceiveFastSocketData(end->socket, data, size, MSG_WAITALL);
    say("link %u: all of %zu: %zd", whoIs(end), size, result);
    if (result <= 0)
        return;
    ck_assert((result == (ssize_t)size) || end->hungUp || (end->fatal != 0) || end->endKnown ||
              end->silent || end->link->racy);
    checkInput(end, data, (size_t)result, (size_t)result);
}

static void stepRead(struct End* end, struct Chance* chance)
{
    uint32_t what = draw(chance, 8);
    uint64_t amount = hasMessages(end->link) ? draw(chance, 4) : drawSize(chance, 100000);

    if (!end->receives || end->gone || (!isUsable(end) && (end->handle < 0)))
        return;
    if ((what == 0) || ((what > 3) && (end->allowance == ENDLESS))) { /* from what it has now */
        if (world.turned || end->link->touched) /* a plain end may be on its way through much */
            synchronize();
        if (end->ours && !(isCertain(end) && end->wasCertain))
            return;
    }
    say("link %u: read %u, %llu", whoIs(end), what, (unsigned long long)amount);
    if (what == 0)
        end->allowance = end->taken;
    else if (what <= 3)
        end->allowance = ENDLESS;
    else if (end->allowance == ENDLESS)
        end->allowance = end->taken + amount;
    else
        end->allowance += amount;
    if (isUsable(end) && !end->paused) {
        if (what == 7)
            peek(end, chance);
        if ((what == 6) && !hasMessages(end->link))
            takeWhole(end, chance);
        consume(end);
    } else if (isUsable(end) && (end->floor > 0) && !hasMessages(end->link) && !end->headed) {
        static uint8_t data[4096];
        size_t size = (end->floor < sizeof(data)) ? (size_t)end->floor : sizeof(data);
        ssize_t result = ReceiveFastSocketData(end->socket, data, size, 0);
        ck_assert_int_eq(result, (ssize_t)size);
        checkInput(end, data, size, size);
        end->floor -= size;
        if (end->allowance < end->taken)
            end->allowance = end->taken;
    }
}

static void stepPause(struct End* end, struct Chance* chance)
{
    if (!isUsable(end))
        return;
    if (end->paused) {
        say("link %u: resume", whoIs(end));
        ck_assert_int_eq(ResumeFastSocket(end->socket), 0);
        end->paused = false;
        end->resumed = true;
        end->link->dirty = true; /* what was kept outside is still on its way */
        if (end->fatal != 0) /* nothing is told any more */
            consume(end);
        return;
    }
    if (end->other->gone && end->other->ours)
        return;
    if (end->link->dirty || world.turned) {
        if ((end->reaction.action != ACTION_NONE) || end->echoes || !oneIn(chance, 4))
            synchronize();
        if (!isUsable(end))
            return;
    }
    /* An error that is on its way may be told before the pause, or while it lasts. */
    if ((end->link->dirty || world.turned) && (end->broken || end->resetKnown) && end->receives)
        end->lossy = true;
    say("link %u: pause", whoIs(end));
    end->reaction.action = ACTION_NONE;
    ck_assert_int_eq(PauseFastSocket(end->socket), 0);
    end->floor = (!end->link->dirty && !world.turned && isCertain(end)) ? pendingOf(end) : 0;
    end->paused = true;
}

/* ---- settings -------------------------------------------------------------------------------- */

static void stepOption(struct End* end, struct Chance* chance)
{
    static const uint64_t highs[] = {1, 100, 5000, 65536, 1 << 20};
    static const uint64_t turns[] = {1, 3000, 256 << 10};
    uint64_t high = highs[draw(chance, 5)];

    if (!isUsable(end))
        return;
    if (oneIn(chance, 3)) {
        uint64_t limit = turns[draw(chance, 3)];
        if (hasMessages(end->link) || end->headed || isPipe(end->link))
            return;
        say("link %u: turn limit %llu", whoIs(end), (unsigned long long)limit);
        ck_assert_int_eq(SetFastSocketOption(end->socket, FASTSOCKET_OPTION_TURN_LIMIT, limit), 0);
        end->turnLimit = limit;
        return;
    }
    if (oneIn(chance, 4)) {
        uint64_t threshold = oneIn(chance, 2) ? 1 : 16384;
        say("link %u: zero copy from %llu", whoIs(end), (unsigned long long)threshold);
        ck_assert_int_eq(SetFastSocketOption(
                             end->socket, FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD, threshold), 0);
        return;
    }
    if (end->reaction.action != ACTION_NONE)
        return;
    if (world.turned)
        synchronize();
    if (!isUsable(end))
        return;
    say("link %u: high mark %llu", whoIs(end), (unsigned long long)high);
    ck_assert_int_eq(SetFastSocketOption(end->socket, FASTSOCKET_OPTION_INBOUND_HIGH, high), 0);
    ck_assert_int_eq(GetFastSocketOption(end->socket, FASTSOCKET_OPTION_INBOUND_HIGH, &end->high),
                     0);
    ck_assert_int_eq(GetFastSocketOption(end->socket, FASTSOCKET_OPTION_INBOUND_LOW, &end->low), 0);
    ck_assert_uint_eq(end->high, high);
    if (end->other->queued > end->knownTaken)
        end->stopped = true;
}

/* Who acts on another link is alone in doing anything: of two the order would matter. */
static bool mayArm(enum Action action)
{
    for (int index = 0; index < LINKS; index++) {
        for (int side = 0; links[index].used && (side < 2); side++) {
            enum Action armed = links[index].ends[side].reaction.action;
            if ((armed == ACTION_RELEASE_OTHER) ||
                ((armed != ACTION_NONE) && (action == ACTION_RELEASE_OTHER)))
                return false;
        }
    }
    return true;
}

static void stepReaction(struct End* end, struct Chance* chance)
{
    static const int events[] = {POLLIN, POLLIN, POLLOUT, POLLERR, POLLHUP};
    enum Action action = (enum Action)draw(chance, ACTION_COUNT);
    int event = 0;

    if (world.turned)
        synchronize();
    if (!isUsable(end) || end->silent || isArmed(end->link) || !mayArm(action))
        return;
    if (end->link->dirty || world.turned)
        synchronize();
    if (!isUsable(end) || !isCertain(end))
        return;
    event = events[draw(chance, 5)];
    /* What comes in the same turn as another event is not certain. */
    if ((action == ACTION_ECHO) || end->echoes)
        event = POLLIN;
    if (mayComeAnyTime(end, event))
        return;
    end->reaction.event = event;
    end->reaction.action = action;
    end->reaction.argument = draw(chance, 1 << 20);
    noteReactive();
    say("link %u: at event %d action %d, %u", whoIs(end), end->reaction.event,
        end->reaction.action, end->reaction.argument);
}

static void stepHandler(struct End* end, struct Chance* chance)
{
    if (!isUsable(end) || end->silent)
        return;
    say("link %u: other handler", whoIs(end));
    end->handler = (int)draw(chance, 2);
    ck_assert_int_eq(SetFastSocketHandler(end->socket, handlers[end->handler], end), 0);
}

/* How much a limit of what is queued lets in, while nothing leaves: it is set and taken back. */
static void stepLimit(struct End* end, struct Chance* chance)
{
    size_t size = 1 + draw(chance, 3000);
    int count = 0;
    int result = 0;

    if (!isUsable(end) || !end->sends || end->shut || !isCertain(end) || hasMessages(end->link) ||
        (end->other->gone))
        return;
    if (end->link->dirty || world.turned)
        synchronize();
    if (!isUsable(end) || !isOutCertain(end) || !end->outWasCertain || end->other->gone)
        return;
    ck_assert_int_eq(SetFastSocketOption(end->socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 8000), 0);
    fillPattern(scratch, size, baseOf(end) + end->queuedBytes);
    while (result == 0) {
        fillPattern(scratch, size, baseOf(end) + end->queuedBytes);
        result = TransmitFastSocketData(end->socket, NULL, 0, scratch, size, 0);
        if (result == 0) {
            addQueued(end, size);
            end->owed = true;
            count++;
        }
    }
    ck_assert_int_eq(result, -EAGAIN);
    ck_assert_int_eq(SetFastSocketOption(end->socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 0), 0);
    say("link %u: %d times %zu up to the limit", whoIs(end), count, size);
    note(FACT_CALL, whoIs(end), count);
    end->link->dirty = true;
}

static void setEcho(struct End* end, bool on)
{
    say("link %u: %s", whoIs(end), on ? "echoes" : "echoes no more");
    end->echoes = on;
    if (on && (end->reaction.event != POLLIN)) /* input of the same turn has it transmit, or not */
        end->reaction.action = ACTION_NONE;
    noteReactive();
}

/* ---- choice ---------------------------------------------------------------------------------- */

enum Choice
{
    CHOICE_TRANSMIT = 55, /* of a hundred: what is below */
    CHOICE_READ = 72,
    CHOICE_PAUSE = 80,
    CHOICE_SHUT = 83,
    CHOICE_END = 87,
    CHOICE_REACTION = 91,
    CHOICE_OPTION = 94,
    CHOICE_HANDLER = 96,
    CHOICE_LIMIT = 98,
};

/* Whether the end is one to which that can be done. */
static bool suits(const struct End* end, uint32_t what)
{
    if (end->gone)
        return false;
    if (what < CHOICE_TRANSMIT)
        return end->sends;
    if (what < CHOICE_READ)
        return end->receives;
    if (what < CHOICE_PAUSE)
        return end->ours;
    if (what < CHOICE_SHUT)
        return end->sends;
    return (what < CHOICE_END) || end->ours;
}

static void stepUsed(struct Link* link, struct End* end, uint32_t what, struct Chance* chance)
{
    if (!suits(end, what))
        end = end->other;
    if (what < CHOICE_TRANSMIT)
        stepTransmit(end, chance);
    else if (what < CHOICE_READ)
        stepRead(end, chance);
    else if (what < CHOICE_PAUSE)
        stepPause(end, chance);
    else if (what < CHOICE_SHUT)
        stepShut(end, chance);
    else if (what < CHOICE_END)
        stepEnd(end, oneIn(chance, 3), chance);
    else if (what < CHOICE_REACTION)
        stepReaction(end, chance);
    else if (what < CHOICE_OPTION)
        stepOption(end, chance);
    else if (what < CHOICE_HANDLER)
        stepHandler(end, chance);
    else if (what < CHOICE_LIMIT)
        stepLimit(end, chance);
    else if (isUsable(end) && !hasMessages(link) && end->sends && end->receives &&
             isCertain(end) && !end->other->echoes && !world.turned && !link->dirty)
        setEcho(end, !end->echoes);
}

/* Nothing can be done to it any more. */
static bool isOver(const struct Link* link)
{
    return link->ends[0].gone && link->ends[1].gone;
}

void stepLink(struct Chance* chance)
{
    struct Link* link = &links[draw(chance, LINKS)];
    struct End* end = &link->ends[draw(chance, 2)];
    uint32_t what = draw(chance, 100);

    notePlace((unsigned)(link - links));
    if (oneIn(chance, 40)) {
        keeps = !keeps;
        dropKept(draw(chance, 16));
    }
    if (link->claimed)
        return;
    if (world.turned && isReactive(link)) /* or a new one, which what comes of others may reach */
        synchronize();
    if (!link->used || (what < 3) || isOver(link))
        stepMake(link, chance);
    else
        stepUsed(link, end, what, chance);
    link->touched = true; /* quiet may have come in between */
}
