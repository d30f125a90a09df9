/*
 * libuv's contender: replies to what one read gave are gathered, and written at once by
 * uv_try_write, with a large body in its own memory beside them; only what the kernel doesn't take
 * is queued by uv_write.
 *
 * -x gather  the usual way
 * -x each    each reply is written by itself
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "place.h"
#include "service.h"

enum
{
    READ_SIZE = 64 * 1024,
    BODY_COPIED = 4 * 1024,        /* smaller bodies are gathered with the rest */
    OUTBOUND_LIMIT = 1024 * 1024   /* bytes queued at which we stop reading */
};

struct Connection
{
    struct Session session;
    uv_tcp_t stream;
    bool paused;
    bool broken;
    LIST_ENTRY(Connection)
    unsent;          /* in the list of those that have gathered something */
    size_t outSize;
    size_t outRoom;
    char* out;
    const struct sockaddr* address; /* of the datagram that is being answered */
};

struct Write
{
    uv_write_t request;
    char data[];
};

static struct Place place;
static bool writesEach;
static uv_loop_t* loop;
static uv_udp_t datagramSocket;
static LIST_HEAD(, Connection) unsent = LIST_HEAD_INITIALIZER(unsent);
static char input[READ_SIZE];

/* ---- output ---- */

static void handleClosed(uv_handle_t* handle)
{
    struct Connection* connection = handle->data;

    closeSession(&connection->session);
    free(connection->out);
    free(connection);
}

static void closeConnection(struct Connection* connection)
{
    uv_handle_t* handle = (uv_handle_t*)&connection->stream;

    connection->session.ended = true;
    if (uv_is_closing(handle))
        return;
    if (connection->outSize > 0)
        LIST_REMOVE(connection, unsent);
    connection->outSize = 0;
    uv_close(handle, handleClosed);
}

static void handleRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer);
static void giveMemory(uv_handle_t* handle, size_t size, uv_buf_t* buffer);

static void closeIfSent(struct Connection* connection)
{
    uv_stream_t* stream = (uv_stream_t*)&connection->stream;
    bool isSent = (connection->outSize == 0) && (uv_stream_get_write_queue_size(stream) == 0);

    if (connection->broken || (connection->session.ended && isSent))
        closeConnection(connection);
}

static void handleWritten(uv_write_t* request, int status)
{
    struct Connection* connection = request->handle->data;
    uv_stream_t* stream = request->handle;

    free(request);
    if (status != 0)
        connection->broken = true;
    if (connection->paused && (uv_stream_get_write_queue_size(stream) == 0)) {
        connection->paused = false;
        uv_read_start(stream, giveMemory, handleRead);
    }
    closeIfSent(connection);
}

/* Queues what the kernel didn't take: the gathered part is copied, the body stays where it is. */
static void queueRest(struct Connection* connection, uv_buf_t* parts, size_t skip)
{
    size_t head = (skip < parts[0].len) ? parts[0].len - skip : 0;
    size_t bodySkip = (skip > parts[0].len) ? skip - parts[0].len : 0;
    struct Write* write = allocateOrDie(sizeof(*write) + head);
    uv_buf_t rest[2];

    memcpy(write->data, parts[0].base + parts[0].len - head, head);
    rest[0] = uv_buf_init(write->data, (unsigned)head);
    rest[1] = uv_buf_init(parts[1].base + bodySkip, (unsigned)(parts[1].len - bodySkip));
    if (uv_write(&write->request, (uv_stream_t*)&connection->stream, rest, 2, handleWritten) != 0) {
        free(write);
        connection->broken = true;
    }
}

/* Writes what is gathered, and a body behind it, which may be empty. */
static void flush(struct Connection* connection, uint8_t* body, size_t size)
{
    uv_buf_t parts[2] = {uv_buf_init(connection->out, (unsigned)connection->outSize),
                         uv_buf_init((char*)body, (unsigned)size)};
    uv_stream_t* stream = (uv_stream_t*)&connection->stream;
    size_t total = connection->outSize + size;
    int written = uv_try_write(stream, parts, (size > 0) ? 2 : 1);

    if (connection->outSize > 0)
        LIST_REMOVE(connection, unsent);
    connection->outSize = 0;
    if ((written < 0) && (written != UV_EAGAIN))
        connection->broken = true;
    else if ((written < 0) || ((size_t)written < total))
        queueRest(connection, parts, (written < 0) ? 0 : (size_t)written);
}

static void flushAll(void)
{
    struct Connection* connection;

    while ((connection = LIST_FIRST(&unsent)) != NULL) {
        flush(connection, NULL, 0);
        closeIfSent(connection);
    }
}

void say(struct Session* session, const void* data, size_t size)
{
    struct Connection* connection = (struct Connection*)session;
    size_t room = (connection->outRoom > 0) ? connection->outRoom : 4096;

    if (connection->address != NULL) {
        uv_buf_t datagram = uv_buf_init((char*)data, (unsigned)size);

        uv_udp_try_send(&datagramSocket, &datagram, 1, connection->address);
        return;
    }
    while (room < connection->outSize + size)
        room *= 2;
    if (room > connection->outRoom) {
        connection->out = growOrDie(connection->out, room);
        connection->outRoom = room;
    }
    if ((connection->outSize == 0) && (size > 0))
        LIST_INSERT_HEAD(&unsent, connection, unsent);
    memcpy(connection->out + connection->outSize, data, size);
    connection->outSize += size;
    if (writesEach)
        flush(connection, NULL, 0);
}

void sayBody(struct Session* session, const struct Body* body)
{
    if (body->size <= BODY_COPIED)
        say(session, body->data, body->size);
    else
        flush((struct Connection*)session, body->data, body->size);
}

void endSession(struct Session* session)
{
    session->ended = true;
}

uint8_t* makeBody(size_t size)
{
    return malloc((size > 0) ? size : 1);
}

/* ---- input ---- */

static void giveMemory(uv_handle_t* handle, size_t size, uv_buf_t* buffer)
{
    (void)handle;
    (void)size;
    *buffer = uv_buf_init(input, sizeof(input));
}

static void handleRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer)
{
    struct Connection* connection = stream->data;

    if (size == 0)
        return;
    if (size < 0) {
        uv_read_stop(stream);
        connection->session.ended = true; /* what is queued is still sent */
        connection->broken = connection->broken || (size != UV_EOF);
    } else
        feedSession(&connection->session, (const uint8_t*)buffer->base, (size_t)size);
    flushAll();
    closeIfSent(connection);
    if (!connection->session.ended && (uv_stream_get_write_queue_size(stream) >= OUTBOUND_LIMIT)) {
        connection->paused = true;
        uv_read_stop(stream);
    }
}

static void handleDatagram(uv_udp_t* socket, ssize_t size, const uv_buf_t* buffer,
                           const struct sockaddr* address, unsigned flags)
{
    struct Connection* connection = socket->data;

    (void)flags;
    if ((size <= 0) || (address == NULL))
        return;
    connection->address = address;
    feedSession(&connection->session, (const uint8_t*)buffer->base, (size_t)size);
}

static struct Connection* makeConnection(void)
{
    struct Connection* connection = allocateOrDie(sizeof(*connection));

    *connection = (struct Connection){0};
    openSession(&connection->session, place.service);
    return connection;
}

static void handleConnection(uv_stream_t* listener, int status)
{
    struct Connection* connection;

    if (status < 0)
        die("accept", status);
    connection = makeConnection();
    connection->stream.data = connection;
    uv_tcp_init(loop, &connection->stream);
    if ((uv_accept(listener, (uv_stream_t*)&connection->stream) != 0) ||
        (uv_read_start((uv_stream_t*)&connection->stream, giveMemory, handleRead) != 0))
        closeConnection(connection);
}

int main(int count, char** arguments)
{
    static const char* const variants[] = {"gather", "each", NULL};
    static uv_tcp_t listener;
    int handle;

    place = beginPlace(count, arguments, variants);
    writesEach = isPlaceVariant(&place, "each");
    loop = uv_default_loop();
    handle = openPlace(&place);
    if (place.service->datagrams) {
        uv_udp_init(loop, &datagramSocket);
        uv_udp_open(&datagramSocket, handle);
        datagramSocket.data = makeConnection();
        uv_udp_recv_start(&datagramSocket, giveMemory, handleDatagram);
    } else {
        uv_tcp_init(loop, &listener);
        uv_tcp_open(&listener, handle);
        uv_listen((uv_stream_t*)&listener, 4096, handleConnection);
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
