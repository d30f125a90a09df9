/*
 * Streams by hand-written io_uring: a multishot accept, a multishot receive on each connection into
 * buffers that all share, and one send in flight on each. What a turn brought leaves by one send at
 * its end: copied (the usual way), or gathered from the receive buffers themselves.
 */
#include "raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
    OUTPUT_ROOM = 16384,
    VECTORS = 64
};

/* Bytes to be sent. Those that were free last are used first, since they are in the cache. */
struct Output
{
    struct Output* next;
    size_t room;
    size_t length;
    uint8_t data[];
};

/* Receive buffers to be sent from, first come, first served. */
struct Gather
{
    uint32_t count;
    uint32_t sending; /* of these, in the send in flight */
    uint32_t room;
    struct iovec* vectors;
    uint16_t* buffers;
    struct msghdr header;
};

struct Connection
{
    struct Operation receive;
    struct Operation send;
    int handle;
    bool marked; /* for the end of the turn */
    bool ended;  /* the peer has */
    struct Connection* next;
    struct Receipt* receipt;
    struct Output* queued;
    struct Output* sending;
    struct Gather* gather;
    struct RawPush* push;
};

static const struct ServerOptions* given;
static enum ServerMode mode;
static bool gathers;
static bool bundle;
static enum RawPushWay pushWay;
static struct Output* spare;
static struct Connection* marked;

/* ---- output ---- */

static struct Output* takeOutput(size_t room)
{
    struct Output* output = spare;

    if (output != NULL) {
        spare = output->next;
    } else {
        output = allocateOrDie(sizeof *output + OUTPUT_ROOM);
        output->room = OUTPUT_ROOM;
    }
    output->length = 0;
    if (output->room < room) {
        output = growOrDie(output, sizeof *output + room);
        output->room = room;
    }
    return output;
}

static void returnOutput(struct Output* output)
{
    output->next = spare;
    spare = output;
}

static void appendOutput(struct Connection* connection, const uint8_t* data, size_t length)
{
    struct Output* output = connection->queued;

    if (output == NULL)
        output = takeOutput(length);
    if (output->length + length > output->room) {
        output->room = (output->length + length) * 2;
        output = growOrDie(output, sizeof *output + output->room);
    }
    memcpy(output->data + output->length, data, length);
    output->length += length;
    connection->queued = output;
}

static void sendOutput(struct Connection* connection)
{
    struct io_uring_sqe* entry;

    if ((connection->sending != NULL) || (connection->queued == NULL))
        return;
    connection->sending = connection->queued;
    connection->queued = NULL;
    entry = takeEntry();
    io_uring_prep_send(entry, connection->handle, connection->sending->data,
                       connection->sending->length, MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data(entry, &connection->send);
}

/* ---- gathering ---- */

static void appendBuffer(struct Connection* connection, unsigned buffer, size_t length)
{
    struct Gather* gather = connection->gather;

    if (gather == NULL) {
        gather = connection->gather = allocateOrDie(sizeof *gather);
        *gather = (struct Gather){0};
    }
    if (gather->count == gather->room) {
        /* The kernel reads the vectors when the send is submitted, at the turn's end. */
        gather->room = (gather->room + 8) * 2;
        gather->vectors = growOrDie(gather->vectors, gather->room * sizeof *gather->vectors);
        gather->buffers = growOrDie(gather->buffers, gather->room * sizeof *gather->buffers);
    }
    gather->vectors[gather->count] = (struct iovec){bufferData(buffer), length};
    gather->buffers[gather->count] = (uint16_t)buffer;
    gather->count++;
}

static void sendGathered(struct Connection* connection)
{
    struct Gather* gather = connection->gather;
    struct io_uring_sqe* entry;

    if ((gather == NULL) || (gather->sending > 0) || (gather->count == 0))
        return;
    gather->sending = (gather->count < VECTORS) ? gather->count : VECTORS;
    gather->header = (struct msghdr){.msg_iov = gather->vectors, .msg_iovlen = gather->sending};
    entry = takeEntry();
    io_uring_prep_sendmsg(entry, connection->handle, &gather->header, MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data(entry, &connection->send);
}

static void returnGathered(struct Gather* gather)
{
    uint32_t left = gather->count - gather->sending;

    for (uint32_t i = 0; i < gather->sending; i++)
        returnBuffer(gather->buffers[i]);
    memmove(gather->vectors, gather->vectors + gather->sending, left * sizeof *gather->vectors);
    memmove(gather->buffers, gather->buffers + gather->sending, left * sizeof *gather->buffers);
    gather->count = left;
    gather->sending = 0;
}

/* ---- connections ---- */

static void mark(struct Connection* connection)
{
    if (connection->marked)
        return;
    connection->marked = true;
    connection->next = marked;
    marked = connection;
}

static bool hasOutput(const struct Connection* connection)
{
    return (connection->sending != NULL) || (connection->queued != NULL) ||
           ((connection->gather != NULL) && (connection->gather->count > 0));
}

static void closeConnection(struct Connection* connection)
{
    sendReceipt(connection->handle, connection->receipt);
    close(connection->handle);
    releaseRawPush(connection->push);
    if (connection->gather != NULL) {
        free(connection->gather->vectors);
        free(connection->gather->buffers);
    }
    free(connection->gather);
    free(connection->receipt);
    free(connection);
}

static void endTurn(void)
{
    while (marked != NULL) {
        struct Connection* connection = marked;
        marked = connection->next;
        connection->marked = false;
        if (gathers)
            sendGathered(connection);
        else
            sendOutput(connection);
        if (connection->ended && !hasOutput(connection))
            closeConnection(connection);
    }
}

static void dropOutput(struct Connection* connection)
{
    if (connection->queued != NULL)
        returnOutput(connection->queued);
    connection->queued = NULL;
    if (connection->gather != NULL) {
        connection->gather->sending = connection->gather->count;
        returnGathered(connection->gather);
    }
}

static void completeSend(void* owner, const struct io_uring_cqe* completion)
{
    struct Connection* connection = owner;

    if (gathers) {
        returnGathered(connection->gather);
    } else {
        returnOutput(connection->sending);
        connection->sending = NULL;
    }
    /* The receive, which is still in flight, tells the end. */
    if (completion->res < 0)
        dropOutput(connection);
    if (hasOutput(connection) || connection->ended)
        mark(connection);
}

static void takeInput(struct Connection* connection, unsigned buffer, size_t length)
{
    if ((mode == SERVER_ECHO) && gathers) {
        appendBuffer(connection, buffer, length);
        mark(connection);
        return;
    }
    if (mode == SERVER_ECHO) {
        appendOutput(connection, bufferData(buffer), length);
        mark(connection);
    } else if (mode == SERVER_PUSH) {
        if (connection->push == NULL)
            connection->push = createRawPush(connection->handle, pushWay);
        takeRawRequest(connection->push, bufferData(buffer), length);
    } else {
        noteReceived(connection->receipt, bufferData(buffer), length);
    }
    returnBuffer(buffer);
}

/* A bundle fills buffers one behind the other; without bundles there is one. */
static void takeAllInput(struct Connection* connection, unsigned buffer, size_t length,
                         size_t bufferLength)
{
    while (length > 0) {
        /* Looked up before this buffer gets another place. */
        unsigned behind = bufferBehind(buffer);
        size_t part = (length < bufferLength) ? length : bufferLength;
        takeInput(connection, buffer, part);
        length -= part;
        buffer = behind;
    }
}

static size_t receiveLength;

static void armReceive(struct Connection* connection)
{
    struct io_uring_sqe* entry = takeEntry();

    io_uring_prep_recv_multishot(entry, connection->handle, NULL, 0, 0);
    useBuffers(entry, bundle);
    io_uring_sqe_set_data(entry, &connection->receive);
}

static void completeReceive(void* owner, const struct io_uring_cqe* completion)
{
    struct Connection* connection = owner;

    if (completion == NULL) {
        armReceive(connection);
        return;
    }
    if (completion->res == -ENOBUFS) {
        waitForBuffers(&connection->receive);
        return;
    }
    if (completion->res <= 0) {
        connection->ended = true;
        mark(connection);
        return;
    }
    takeAllInput(connection, bufferOf(completion), (size_t)completion->res, receiveLength);
    if ((completion->flags & IORING_CQE_F_MORE) == 0)
        armReceive(connection);
}

static void completeAccept(void* owner, const struct io_uring_cqe* completion)
{
    struct Connection* connection = allocateOrDie(sizeof *connection);

    (void)owner;
    if (completion->res < 0)
        die("accept", completion->res);
    *connection = (struct Connection){.receive = {completeReceive, connection},
                                      .send = {completeSend, connection},
                                      .handle = completion->res,
                                      .receipt = createReceipt(given)};
    armReceive(connection);
}

void serveStreams(int listener, const struct ServerOptions* options)
{
    static struct Operation accepting = {.complete = completeAccept};
    struct io_uring_sqe* entry = takeEntry();

    given = options;
    mode = options->mode;
    receiveLength = options->length;
    gathers = isVariant(options, "gather") || isVariant(options, "gather-bundle");
    bundle = isVariant(options, "bundle") || isVariant(options, "gather-bundle");
    if (isVariant(options, "linked"))
        pushWay = RAW_PUSH_LINKED;
    else if (isVariant(options, "tried"))
        pushWay = RAW_PUSH_TRIED;
    io_uring_prep_multishot_accept(entry, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(entry, &accepting);
    runRing(endTurn);
}
