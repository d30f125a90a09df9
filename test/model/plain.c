/*
 * Ends of links that are plain descriptors: written and read by system calls that don't wait.
 *
 * What such an end has to say is queued in the model, and goes out while there is room; what it may
 * read is an amount, too. So neither depends on how much a full socket takes. When the library's
 * end was released, a plain end reads to the end, looks whether all has come, and closes.
 */
#include "link.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum
{
    SMALL_BUFFER = 4608,
    SMALL_TCP = 16384, /* with less each segment waits for a delayed answer */
    PIECE = 65536,
};

bool signalExpected;

static struct
{
    int handle;
    struct sockaddr_in address;
    uint32_t source; /* addresses that clients come from: ports of one would run out */
} listening = {.handle = -1};

/* ---- descriptors ----------------------------------------------------------------------------- */

/* An address of the loopback that no other process has: those who try whether a port of 127.0.0.1
 * refuses them, since a listener has gone, must not come to ours. */
static in_addr_t aloneAddress(void)
{
    return htonl((127U << 24) | (1U << 23) | (uint32_t)getpid());
}

int listenAlone(struct sockaddr_storage* address, socklen_t* length)
{
    struct sockaddr_in* name = (struct sockaddr_in*)address;
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;

    ck_assert_int_ge(handle, 0);
    memset(address, 0, sizeof(*address));
    name->sin_family = AF_INET;
    name->sin_addr.s_addr = aloneAddress();
    *length = sizeof(*name);
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)address, *length), 0);
    ck_assert_int_eq(listen(handle, 128), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)address, length), 0);
    return handle;
}

void openListening(void)
{
    socklen_t length = sizeof(listening.address);
    const int on = 1;

    listening.handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(listening.handle, 0);
    listening.address = (struct sockaddr_in){.sin_family = AF_INET};
    listening.address.sin_addr.s_addr = aloneAddress();
    ck_assert_int_eq(setsockopt(listening.handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    ck_assert_int_eq(bind(listening.handle, (struct sockaddr*)&listening.address, length), 0);
    ck_assert_int_eq(listen(listening.handle, 8), 0);
    ck_assert_int_eq(
        getsockname(listening.handle, (struct sockaddr*)&listening.address, &length), 0);
    listening.source = ((uint32_t)getpid() << 8) & 0xffff00;
}

void closeListening(void)
{
    close(listening.handle);
}

static void shrinkBuffers(int handle, int size)
{
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
}

static void openTcp(const struct Making* making, int handles[2])
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    const int on = 1;
    const int segment = 1440; /* as of an Ethernet: larger ones wait for delayed answers */

    listening.source = (listening.source + 1) & 0xffffff;
    source.sin_addr.s_addr = htonl((127U << 24) | (listening.source | 0x10000));
    handles[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(handles[0], 0);
    if (making->small)
        shrinkBuffers(handles[0], SMALL_TCP);
    ck_assert_int_eq(setsockopt(handles[0], IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(int)), 0);
    ck_assert_int_eq(setsockopt(handles[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)), 0);
    ck_assert_int_eq(setsockopt(handles[0], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(int)), 0);
    ck_assert_int_eq(bind(handles[0], (struct sockaddr*)&source, sizeof(source)), 0);
    ck_assert_msg(connect(handles[0], (struct sockaddr*)&listening.address,
                          sizeof(listening.address)) == 0,
                  "connect: %s", strerror(errno));
    handles[1] = accept4(listening.handle, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(handles[1], 0);
    ck_assert_int_eq(setsockopt(handles[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)), 0);
    if (making->small)
        shrinkBuffers(handles[1], SMALL_TCP);
}

static void openPipe(enum ModelKind kind, int handles[2])
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    handles[0] = ends[kind == MODEL_PIPE_OUT];
    handles[1] = ends[kind == MODEL_PIPE_IN];
    ck_assert_int_eq(fcntl(handles[1], F_SETFL, O_NONBLOCK), 0);
}

void openPlain(struct Link* link, const struct Making* making, int handles[2])
{
    static const int types[] = {SOCK_STREAM, SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

    switch (link->kind) {
    case MODEL_TCP:
        openTcp(making, handles);
        return;
    case MODEL_UDP:
        pairUdp(handles);
        return;
    case MODEL_PIPE_IN:
    case MODEL_PIPE_OUT:
        openPipe(link->kind, handles);
        return;
    default:
        ck_assert_int_eq(socketpair(AF_UNIX, types[link->kind] | SOCK_CLOEXEC, 0, handles), 0);
        for (int side = 0; making->small && (side < 2); side++)
            shrinkBuffers(handles[side], SMALL_BUFFER);
    }
}

/* ---- output ---------------------------------------------------------------------------------- */

static ssize_t writePiece(struct End* end, size_t size)
{
    ssize_t result = 0;

    fillPattern(scratch, size, baseOf(end) + end->writtenBytes);
    signalExpected = true;
    if (isPipe(end->link))
        result = write(end->handle, scratch, size);
    else
        result = send(end->handle, scratch, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    signalExpected = false;
    return result;
}

/* Nobody is there who could take it. */
static void drop(struct End* end)
{
    ck_assert_msg(end->other->gone || end->link->racy || (end->other->fatal != 0),
                  "link %u: a plain end can't send: %s", whoIs(end), strerror(errno));
    end->written = end->queued;
}

static bool pumpOutput(struct End* end)
{
    bool moved = false;

    while (end->written < end->queued) {
        size_t size = PIECE;
        ssize_t result = 0;
        if (hasMessages(end->link))
            size = end->sizes[end->written % SIZES];
        else if (end->queued - end->written < size)
            size = (size_t)(end->queued - end->written);
        result = writePiece(end, size);
        if (result < 0) {
            if ((errno != EAGAIN) && (errno != ENOBUFS))
                drop(end);
            break;
        }
        end->written += hasMessages(end->link) ? 1 : (uint64_t)result;
        end->writtenBytes += (uint64_t)result;
        world.progress++;
        moved = true;
    }
    if (end->shut && !end->told && (end->written == end->queued)) {
        if (isPipe(end->link)) {
            close(end->handle);
            end->handle = -1;
        } else {
            (void)shutdown(end->handle, SHUT_WR);
        }
        end->told = true;
    }
    return moved;
}

/* ---- input ----------------------------------------------------------------------------------- */

static void meetEnd(struct End* end, int error)
{
    end->sawEnd = true;
    end->endError = error;
}

/* Returns whether there may be more. */
static bool readPiece(struct End* end)
{
    static uint8_t data[PIECE];
    uint64_t left = end->allowance - end->taken;
    size_t size = (hasMessages(end->link) || (left > PIECE)) ? PIECE : (size_t)left;
    ssize_t result = isPipe(end->link) ? read(end->handle, data, size)
                                       : recv(end->handle, data, size, MSG_DONTWAIT);

    if (result < 0) {
        if ((errno != EAGAIN) && isConnection(end->link))
            meetEnd(end, errno);
        return (errno == ECONNREFUSED) && !isConnection(end->link);
    }
    if ((result == 0) && isConnection(end->link)) {
        meetEnd(end, 0);
        return false;
    }
    if (hasMessages(end->link) && (end->taken < end->other->queued))
        ck_assert_uint_eq((size_t)result, sizeOfNext(end));
    checkInput(end, data, (size_t)result, (size_t)result);
    return true;
}

static bool isComplete(const struct End* end)
{
    return end->taken == end->other->queued;
}

/* The library's end was released: this one goes as it has met the end. */
static void follow(struct End* end)
{
    const struct End* other = end->other;
    bool over = end->sawEnd || !end->receives || other->dropped || (other->fatal != 0);

    if (!isConnection(end->link))
        over = isComplete(end) || other->dropped || end->link->racy;
    if (!over)
        return;
    if (end->sawEnd && !other->dropped && !end->link->racy && (other->fatal == 0) && !end->lossy)
        ck_assert_msg(isComplete(end), "link %u: the end comes behind %llu of %llu", whoIs(end),
                      (unsigned long long)end->taken, (unsigned long long)other->queued);
    close(end->handle);
    end->handle = -1;
}

/* There is something for it to do, or to come. Once it was let go it waits for the end. */
static bool isAwaited(const struct End* end)
{
    const struct End* other = end->other;
    bool comes = (end->taken < other->queued) || other->shut || other->gone || other->resetKnown ||
                 (other->fatal != 0) || end->link->racy;

    if (end->gone || (end->written < end->queued) || (end->shut && !end->told))
        return true;
    return end->receives && comes && !end->sawEnd && (end->taken < end->allowance);
}

bool pumpPlain(struct End* end, bool all)
{
    bool moved = false;
    bool more = end->receives;

    if (!all && !isAwaited(end))
        return false;
    if (!end->gone && end->sends)
        moved = pumpOutput(end);
    if (end->handle < 0)
        return true;
    while (more && !end->sawEnd && (end->taken < end->allowance))
        more = readPiece(end);
    if (end->gone)
        follow(end);
    return moved;
}

const char* missingPlain(struct End* end)
{
    const struct End* other = end->other;
    bool alive = !other->dropped && (other->fatal == 0) && !other->resetKnown;
    uint64_t target = (end->allowance < other->queued) ? end->allowance : other->queued;

    if (!end->receives || !alive || end->lossy)
        return NULL;
    if ((end->taken < target) && !other->broken)
        return "input of the plain end";
    if (!isConnection(end->link) || (end->allowance <= other->queued))
        return NULL;
    bool isDue = (other->shut || other->gone) && !end->sawEnd;
    return isDue ? "the end of the plain end's input" : NULL;
}

void writePlain(struct End* end)
{
    const struct End* other = end->other;

    if (end->link->racy || end->lossy || other->dropped || (other->fatal != 0) || other->broken ||
        other->resetKnown || !end->receives)
        return;
    note(FACT_PEER, whoIs(end), (int64_t)end->taken);
    if (end->sawEnd)
        note(FACT_PEER_END, whoIs(end), end->endError);
}

/* ---- the end --------------------------------------------------------------------------------- */

void closePlain(struct End* end, bool reset)
{
    struct Link* link = end->link;
    struct End* other = end->other;
    bool unread = end->receives && isConnection(link) && !end->sawEnd &&
                  (other->queued > end->taken);
    bool resets = isConnection(link) && !isPipe(link) &&
                  (unread || (reset && (link->kind == MODEL_TCP)));
    bool isOver = (link->kind == MODEL_TCP) && end->told && other->shut;
    bool destroys = resets && !isOver;

    /* A send that waits for room may have taken the errno; behind TCP's end of input that is EPIPE,
     * where the state of what was cut short says ECONNRESET. */
    if (resets && ((link->kind == MODEL_UNIX) || ((link->kind == MODEL_TCP) && end->told)))
        other->vague |= !hasFitted(other);
    if (resets && isOver)
        makeRacy(link); /* whether the other's connection is still there to hear of it */
    if (!isCertain(other) && !hasFitted(end))
        other->lossy = true; /* it may not have gone out */
    if (end->written < end->queued) {
        other->lossy = true;
        end->queued = end->written;
        end->queuedBytes = end->writtenBytes;
    }
    if (destroys && (link->kind == MODEL_TCP) && (!isCertain(other) || link->small || link->dirty))
        other->lossy = true;
    /* The system gives the error first, and the records only then. */
    if (destroys && (link->kind == MODEL_SEQPACKET) && (!isCertain(other) || link->dirty))
        other->lossy = true;
    if ((link->kind == MODEL_UNIX_DATAGRAM) && (!isCertain(other) || link->dirty))
        other->lossy = true;
    if (destroys && (link->kind == MODEL_TCP))
        closeReset(end->handle);
    else
        close(end->handle);
    end->handle = -1;
    leave(end);
    end->dropped = destroys;
    link->dirty = true;
    if (isConnection(link) && other->receives)
        other->endKnown = true;
    other->resetKnown |= destroys;
    if (isPipe(link) && unread)
        other->broken = true;
}
