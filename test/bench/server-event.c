/*
 * The contender on libevent: a bufferevent for each connection. Echoed input moves from its input
 * to its output without a copy. Datagrams have a plain event, since libevent has nothing for them.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server.h"

enum
{
    MOST_AT_ONCE = 256 * 1024 /* instead of 16 KiB, which libevent reads and writes by itself */
};

struct Connection
{
    struct Receipt* receipt;
    struct Push push;
};

static struct ServerOptions options;
static struct event_base* base;

static void pushBurst(struct bufferevent* stream, struct Push* push)
{
    const uint8_t* message;

    for (uint32_t i = 0; (i < push->burst) && ((message = nextMessage(push)) != NULL); i++)
        bufferevent_write(stream, message, push->size);
}

static void takeRequest(struct bufferevent* stream, struct Connection* connection)
{
    struct PushRequest request;
    struct evbuffer* input = bufferevent_get_input(stream);

    if (evbuffer_get_length(input) < sizeof request)
        return;
    evbuffer_remove(input, &request, sizeof request);
    beginPush(&connection->push, &request, sizeof request);
    pushBurst(stream, &connection->push);
}

/* What needn't be summed needn't be looked at. */
static void discard(struct evbuffer* input, struct Receipt* receipt)
{
    struct evbuffer_iovec part;

    while ((receipt->count < receipt->most) && (evbuffer_peek(input, -1, NULL, &part, 1) > 0)) {
        noteReceived(receipt, part.iov_base, part.iov_len);
        evbuffer_drain(input, part.iov_len);
    }
    receipt->count += evbuffer_get_length(input);
    evbuffer_drain(input, evbuffer_get_length(input));
}

static void handleRead(struct bufferevent* stream, void* closure)
{
    struct Connection* connection = closure;
    struct evbuffer* input = bufferevent_get_input(stream);

    if (options.mode == SERVER_ECHO) {
        evbuffer_add_buffer(bufferevent_get_output(stream), input);
    } else if (options.mode == SERVER_PUSH) {
        takeRequest(stream, connection);
    } else {
        discard(input, connection->receipt);
    }
}

/* All is written. */
static void handleWritten(struct bufferevent* stream, void* closure)
{
    struct Connection* connection = closure;

    pushBurst(stream, &connection->push);
}

static void handleEnd(struct bufferevent* stream, short what, void* closure)
{
    struct Connection* connection = closure;

    (void)what;
    sendReceipt(bufferevent_getfd(stream), connection->receipt);
    bufferevent_free(stream);
    endPush(&connection->push);
    free(connection->receipt);
    free(connection);
}

static void handleConnection(struct evconnlistener* listener, evutil_socket_t handle,
                             struct sockaddr* address, int length, void* closure)
{
    struct Connection* connection = allocateOrDie(sizeof *connection);
    struct bufferevent* stream = bufferevent_socket_new(base, handle, BEV_OPT_CLOSE_ON_FREE);

    (void)listener;
    (void)address;
    (void)length;
    (void)closure;
    if (stream == NULL)
        die("bufferevent_socket_new", ENOMEM);
    *connection = (struct Connection){.receipt = createReceipt(&options)};
    bufferevent_set_max_single_read(stream, MOST_AT_ONCE);
    bufferevent_set_max_single_write(stream, MOST_AT_ONCE);
    bufferevent_setcb(stream, handleRead, (options.mode == SERVER_PUSH) ? handleWritten : NULL,
                      handleEnd, connection);
    bufferevent_enable(stream, EV_READ | EV_WRITE);
}

static void handleDatagrams(evutil_socket_t handle, short what, void* closure)
{
    uint8_t* piece = closure;
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length;

    (void)what;
    while ((length = recvfrom(handle, piece, options.length, 0, (struct sockaddr*)&from, &size)) >=
           0)
        sendto(handle, piece, (size_t)length, 0, (struct sockaddr*)&from, size);
}

static void serveDatagrams(int handle)
{
    struct event* event = event_new(base, handle, EV_READ | EV_PERSIST, handleDatagrams,
                                    allocateOrDie(options.length));

    if ((event == NULL) || (event_add(event, NULL) < 0))
        die("event_add", EINVAL);
}

int main(int count, char** arguments)
{
    static const char* const variants[] = {NULL};
    int handle;

    options = beginServer(count, arguments, variants);
    base = event_base_new();
    handle = openServer(&options);
    makeNonblocking(handle);
    if (options.mode == SERVER_DATAGRAMS)
        serveDatagrams(handle);
    else if (evconnlistener_new(base, handleConnection, NULL, LEV_OPT_CLOSE_ON_FREE, 0, handle) ==
             NULL)
        die("evconnlistener_new", EINVAL);
    return event_base_dispatch(base);
}
