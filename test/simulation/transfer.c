/* What a socket receives, and how its user takes it. */
#include "world.h"

#include "memory-handle.h"
#include "pattern.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/socket.h>

enum
{
    PIECE = 4096,
    KEPT = 4,
};

/* ---- our input ---- */

static void takeBytes(struct Link* link, const uint8_t* data, size_t size)
{
    if (!checkPattern(data, size, linkPlaceIn(link) + link->taken))
        wrong("link %u: the bytes behind %llu are wrong", link->number,
              (unsigned long long)link->taken);
    link->taken += size;
}

static size_t roomOf(const struct Link* link)
{
    size_t headroom = link->headed ? 16 + 16 + 32 : 16;
    return world.providers[link->provider].length - headroom;
}

static void takeMessage(struct Link* link, const uint8_t* data, size_t size)
{
    checkMessage(&link->in, link->number, data, size, roomOf(link), false);
    link->taken++;
}

static ssize_t checkReceive(const struct Link* link, ssize_t result)
{
    if (result < 0 && result != -GetFastSocketError(link->socket))
        wrong("link %u: ReceiveFastSocketData gives %zd", link->number, result);
    return result;
}

static bool takeSomeBytes(struct Link* link, size_t most)
{
    static uint8_t data[PIECE];
    size_t size = most < PIECE ? most : PIECE;
    ssize_t result = checkReceive(link, ReceiveFastSocketData(link->socket, data, size, 0));

    if (result <= 0)
        return false;
    takeBytes(link, data, (size_t)result);
    return true;
}

/* Empty ones are told from none by their number. */
static bool takeOneMessage(struct Link* link)
{
    static uint8_t data[PIECE];
    struct FastSocketStatistics statistics;

    if (GetFastSocketStatistics(link->socket, &statistics, sizeof(statistics)) < 0 ||
        statistics.receivedMessages == link->taken)
        return false;
    ssize_t result = checkReceive(link, ReceiveFastSocketData(link->socket, data, PIECE, 0));
    if (result < 0)
        return false;
    takeMessage(link, data, (size_t)result);
    return true;
}

void takeInput(struct Link* link, size_t most)
{
    uint64_t before = link->taken;

    while (linkReads(link) && link->taken - before < most)
        if (linkIsStream(link) ? !takeSomeBytes(link, most - (size_t)(link->taken - before))
                               : !takeOneMessage(link))
            break;
}

void peekInput(struct Link* link, size_t size)
{
    static uint8_t data[PIECE];

    if (!linkReads(link) || !linkIsStream(link))
        return;
    size = size < PIECE ? size : PIECE;
    ssize_t result =
        checkReceive(link, ReceiveFastSocketData(link->socket, data, size, MSG_PEEK));
    if (result > 0 && !checkPattern(data, (size_t)result, linkPlaceIn(link) + link->taken))
        wrong("link %u: the bytes that are peeked at are wrong", link->number);
}

/* What has ended, or failed, gives what is left. */
void takeWhole(struct Link* link, size_t size)
{
    static uint8_t data[PIECE];
    size_t unread = GetFastSocketInboundLength(link->socket);

    if (!linkReads(link) || !linkIsStream(link))
        return;
    ssize_t result =
        checkReceive(link, ReceiveFastSocketData(link->socket, data, size, MSG_WAITALL));
    bool ends = link->peerEnded || link->broken != 0 || link->peer == NULL;
    if (result > 0 && (size_t)result != size && !(ends && (size_t)result == unread))
        wrong("link %u: of %zu bytes that are to be whole %zd come", link->number, size, result);
    if (result > 0)
        takeBytes(link, data, (size_t)result);
}

/* ---- buffers ---- */

struct Kept
{
    struct FastBuffer* buffer; /* NULL: none */
    const uint8_t* data;
    size_t size;
    uint64_t place;
};

static struct Kept keptBuffers[KEPT];

/* Descriptors that came are ours. */
static void closeRights(const uint8_t* control, size_t size)
{
    struct cmsghdr header;

    if (size < sizeof(header))
        return;
    memcpy(&header, control, sizeof(header));
    for (size_t place = CMSG_LEN(0); place + sizeof(int) <= header.cmsg_len; place += sizeof(int)) {
        int handle;
        memcpy(&handle, control + place, sizeof(handle));
        if (handleClose(handle) < 0)
            wrong("descriptor %d was passed, and is not open", handle);
    }
}

/* One that is kept is as it was until it is dropped. */
static void keepOrDrop(struct Link* link, struct FastBuffer* buffer, const uint8_t* data,
                       size_t size, uint64_t place)
{
    struct Kept* kept = &keptBuffers[size % KEPT];

    if (kept->buffer != NULL || !linkIsStream(link)) {
        ReleaseFastBuffer(buffer);
        return;
    }
    *kept = (struct Kept){buffer, data, size, place};
}

void keepNothing(void)
{
    memset(keptBuffers, 0, sizeof(keptBuffers));
}

void dropKept(struct Chance* chance)
{
    for (int index = 0; index < KEPT; index++) {
        struct Kept* kept = &keptBuffers[index];
        if (kept->buffer == NULL || (chance != NULL && oneIn(chance, 2)))
            continue;
        if (!checkPattern(kept->data, kept->size, kept->place))
            wrong("a buffer that the user has was changed");
        ReleaseFastBuffer(kept->buffer);
        kept->buffer = NULL;
    }
}

static void takeBuffer(struct Link* link, struct FastBuffer* buffer)
{
    uint64_t place = linkPlaceIn(link) + link->taken;
    const uint8_t* data = GetFastBufferData(buffer);
    size_t size = GetFastBufferLength(buffer);

    if (link->headed) {
        const struct msghdr* header = GetFastSocketMessageHeader(link->socket);
        struct io_uring_recvmsg_out out;
        size_t front = sizeof(out) + header->msg_namelen + header->msg_controllen;
        memcpy(&out, data, sizeof(out));
        closeRights(data + sizeof(out) + header->msg_namelen, out.controllen);
        if (size < front)
            wrong("link %u: a buffer of %zu bytes without its header", link->number, size);
        data += front;
        size -= front;
    }
    if (linkIsStream(link))
        takeBytes(link, data, size);
    else
        takeMessage(link, data, size);
    keepOrDrop(link, buffer, data, size, place);
}

void takeBuffers(struct Link* link)
{
    struct FastBuffer* buffer;

    if (!linkReads(link))
        return;
    while ((buffer = ReceiveFastSocketBuffer(link->socket)) != NULL)
        takeBuffer(link, buffer);
    if (errno != EAGAIN && !(errno == ENOMEM && run->odds[FAULT_MEMORY] > 0))
        wrong("link %u: ReceiveFastSocketBuffer: %s", link->number, strerror(errno));
}
