/*
 * The contender on libuv: input goes into one buffer, output is tried at once, and what isn't taken
 * is copied into a write request.
 *
 * -x queue  everything is a write request
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "server.h"

enum
{
    BACKLOG = 4096
};

struct Connection
{
    uv_tcp_t stream;
    struct Receipt* receipt;
    uint32_t writes; /* in flight */
    struct Push push;
};

struct Write
{
    uv_write_t request;
    struct Connection* connection;
    uint8_t data[];
};

static struct ServerOptions options;
static bool queues;
static char* piece;

static void pushMore(struct Connection* connection);

static void check(const char* what, int result)
{
    if (result < 0)
        die(what, result);
}

static void lendPiece(uv_handle_t* handle, size_t size, uv_buf_t* buffer)
{
    (void)handle;
    (void)size;
    *buffer = uv_buf_init(piece, options.length);
}

/* ---- writing ---- */

static void handleWritten(uv_write_t* request, int status)
{
    struct Write* write = (struct Write*)request;
    struct Connection* connection = write->connection;

    free(write);
    connection->writes--;
    if (status == 0)
        pushMore(connection);
}

static void queueWrite(struct Connection* connection, const uint8_t* data, size_t length)
{
    struct Write* write = allocateOrDie(sizeof *write + length);
    uv_buf_t buffer = uv_buf_init((char*)write->data, (unsigned)length);

    memcpy(write->data, data, length);
    write->connection = connection;
    connection->writes++;
    check("uv_write", uv_write(&write->request, (uv_stream_t*)&connection->stream, &buffer, 1,
                               handleWritten));
}

/* True if all of it has gone. */
static bool writeNow(struct Connection* connection, const uint8_t* data, size_t length)
{
    uv_buf_t buffer = uv_buf_init((char*)data, (unsigned)length);
    int written = queues ? 0 : uv_try_write((uv_stream_t*)&connection->stream, &buffer, 1);
    size_t done = (written > 0) ? (size_t)written : 0;

    if (done < length)
        queueWrite(connection, data + done, length - done);
    return done == length;
}

static void pushMore(struct Connection* connection)
{
    struct Push* push = &connection->push;
    uint32_t count = 0;

    if (connection->writes > 0)
        return;
    while ((push->left > 0) && (!queues || (count < push->burst))) {
        const uint8_t* message = nextMessage(push);
        count++;
        if (!writeNow(connection, message, push->size) && !queues)
            return;
    }
}

/* ---- events ---- */

static void handleClosed(uv_handle_t* handle)
{
    struct Connection* connection = (struct Connection*)handle;

    endPush(&connection->push);
    free(connection->receipt);
    free(connection);
}

static void closeConnection(struct Connection* connection)
{
    uv_os_fd_t handle;

    if (uv_fileno((uv_handle_t*)&connection->stream, &handle) == 0)
        sendReceipt(handle, connection->receipt);
    uv_close((uv_handle_t*)&connection->stream, handleClosed);
}

static void handleRead(uv_stream_t* stream, ssize_t length, const uv_buf_t* buffer)
{
    struct Connection* connection = (struct Connection*)stream;
    const uint8_t* data = (const uint8_t*)buffer->base;

    if (length < 0) {
        closeConnection(connection);
        return;
    }
    if (length == 0)
        return;
    if (options.mode == SERVER_ECHO) {
        writeNow(connection, data, (size_t)length);
    } else if (options.mode == SERVER_DISCARD) {
        noteReceived(connection->receipt, data, (size_t)length);
    } else if (options.mode == SERVER_PUSH) {
        beginPush(&connection->push, data, (size_t)length);
        pushMore(connection);
    }
}

static void handleConnection(uv_stream_t* listener, int status)
{
    struct Connection* connection = allocateOrDie(sizeof *connection);

    check("listen", status);
    memset(connection, 0, sizeof *connection);
    connection->receipt = createReceipt(&options);
    check("uv_tcp_init", uv_tcp_init(listener->loop, &connection->stream));
    check("uv_accept", uv_accept(listener, (uv_stream_t*)&connection->stream));
    check("uv_read_start", uv_read_start((uv_stream_t*)&connection->stream, lendPiece, handleRead));
}

static void handleDatagram(uv_udp_t* socket, ssize_t length, const uv_buf_t* buffer,
                           const struct sockaddr* from, unsigned flags)
{
    uv_buf_t answer = uv_buf_init(buffer->base, (unsigned)length);

    (void)flags;
    if ((length > 0) && (from != NULL))
        uv_udp_try_send(socket, &answer, 1, from);
}

int main(int count, char** arguments)
{
    static const char* const variants[] = {"queue", NULL};
    static uv_tcp_t listener;
    static uv_udp_t socket;
    uv_loop_t* loop = uv_default_loop();
    int handle;

    options = beginServer(count, arguments, variants);
    queues = isVariant(&options, "queue");
    piece = allocateOrDie(options.length);
    handle = openServer(&options);
    if (options.mode == SERVER_DATAGRAMS) {
        check("uv_udp_init", uv_udp_init(loop, &socket));
        check("uv_udp_open", uv_udp_open(&socket, handle));
        check("uv_udp_recv_start", uv_udp_recv_start(&socket, lendPiece, handleDatagram));
    } else {
        check("uv_tcp_init", uv_tcp_init(loop, &listener));
        check("uv_tcp_open", uv_tcp_open(&listener, handle));
        check("uv_listen", uv_listen((uv_stream_t*)&listener, BACKLOG, handleConnection));
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
