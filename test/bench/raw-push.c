/*
 * A push by hand-written io_uring. Usual: a burst is written together and leaves by one send.
 * Tried: the same, by send(2), as long as the connection takes it; only what it has no room for is
 * left to the ring. Linked: each message has a place and a send of its own, one linked to the
 * other, and only its header is written; for messages that are too long to copy.
 */
#include "raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum
{
    LINKED_MOST = 1024
};

struct RawPush
{
    struct Operation send;
    struct Push push;
    int handle;
    enum RawPushWay way;
    uint32_t sending; /* sends in flight */
    size_t room;
    uint8_t* data; /* of a burst */
    uint32_t filledSize;
};

static void makeRoom(struct RawPush* push)
{
    size_t room = (size_t)push->push.burst * push->push.size;

    if (room > push->room) {
        push->data = growOrDie(push->data, room);
        push->room = room;
        push->filledSize = 0;
    }
    if ((push->way != RAW_PUSH_LINKED) || (push->filledSize == push->push.size))
        return;
    for (uint32_t i = 0; i < push->push.burst; i++)
        fillFixedMessage(push->data + ((size_t)i * push->push.size), push->push.size);
    push->filledSize = push->push.size;
}

static void sendPart(struct RawPush* push, const uint8_t* data, size_t length, bool more)
{
    struct io_uring_sqe* entry = takeEntry();

    io_uring_prep_send(entry, push->handle, data, length, MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data(entry, &push->send);
    if (more)
        entry->flags |= IOSQE_IO_LINK;
    push->sending++;
}

static void sendLinked(struct RawPush* push)
{
    uint64_t left = push->push.left;
    uint32_t count = (left < push->push.burst) ? (uint32_t)left : push->push.burst;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t* message = push->data + ((size_t)i * push->push.size);
        stampMessage(message, 0, push->push.sequence++);
        sendPart(push, message, push->push.size, i + 1 < count);
    }
    push->push.left -= count;
}

static void sendTried(struct RawPush* push)
{
    while (push->push.left > 0) {
        size_t length = nextBurst(&push->push, push->data);
        ssize_t sent = send(push->handle, push->data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if ((sent < 0) && (errno != EAGAIN))
            push->push.left = 0;
        else if ((size_t)sent != length) {
            size_t done = (sent < 0) ? 0 : (size_t)sent;
            sendPart(push, push->data + done, length - done, false);
            return;
        }
    }
}

static void sendBurst(struct RawPush* push)
{
    if (push->push.left == 0)
        return;
    if (push->way == RAW_PUSH_LINKED)
        sendLinked(push);
    else if (push->way == RAW_PUSH_TRIED)
        sendTried(push);
    else
        sendPart(push, push->data, nextBurst(&push->push, push->data), false);
}

static void completePart(void* owner, const struct io_uring_cqe* completion)
{
    struct RawPush* push = owner;

    if ((completion->res < 0) && (completion->res != -ECANCELED) && (completion->res != -EPIPE) &&
        (completion->res != -ECONNRESET))
        die("send", completion->res);
    if (completion->res < 0)
        push->push.left = 0;
    push->sending--;
    if (push->sending > 0)
        return;
    if (push->handle < 0) {
        endPush(&push->push);
        free(push->data);
        free(push);
        return;
    }
    sendBurst(push);
}

struct RawPush* createRawPush(int handle, enum RawPushWay way)
{
    struct RawPush* push = allocateOrDie(sizeof *push);

    *push = (struct RawPush){.send = {completePart, push}, .handle = handle, .way = way};
    return push;
}

void takeRawRequest(struct RawPush* push, const void* data, size_t length)
{
    beginPush(&push->push, data, length);
    if ((push->way == RAW_PUSH_LINKED) && (push->push.burst > LINKED_MOST))
        die("a burst that is too long to link", E2BIG);
    makeRoom(push);
    sendBurst(push);
}

/* What is in flight still ends, and frees it then. */
void releaseRawPush(struct RawPush* push)
{
    if (push == NULL)
        return;
    push->handle = -1;
    push->push.left = 0;
    if (push->sending > 0)
        return;
    endPush(&push->push);
    free(push->data);
    free(push);
}
