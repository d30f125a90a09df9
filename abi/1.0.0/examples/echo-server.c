/*
 * echo-server: sends back whatever it receives, on TCP or AF_UNIX stream connections.
 *
 *     cc echo-server.c -o echo-server $(pkg-config --cflags --libs fastsocket)
 *     ./echo-server [ADDRESS [PORT]]            127.0.0.1 and 7000 by default; port 0 = any
 *     ./echo-server unix:PATH
 *
 * Start here if you have never seen the library. What there is to see, from main() upwards:
 *
 * - A ring is the event loop. It is made first and released last.
 * - The kernel receives into the buffers of a provider, which all connections share. A buffer that
 *   holds data is ours until we give it back; the provider replaces it from a pool.
 * - A listener hands us each new connection as a plain descriptor; a socket takes it over.
 * - A socket tells its handler of events, named as in poll(2).
 * - Input is taken as whole buffers and the very same buffers are handed over for output: the data
 *   is never copied by this program.
 * - Nobody makes us keep unlimited output: when a peer sends without reading, we pause.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/queue.h>

#include <Ring/FastSocket.h>

#include "plain-socket.h"

enum
{
    BUFFER_COUNT = 256,
    BUFFER_LENGTH = 16 * 1024,
    OUTBOUND_LIMIT = 1024 * 1024 /* bytes queued at which we stop reading from a connection */
};

struct Connection
{
    LIST_ENTRY(Connection)
    link;
    struct FastSocket* socket;
    bool paused;
};

LIST_HEAD(ConnectionList, Connection);

struct Server
{
    struct FastRing* ring;
    struct FastBufferPool* inbound;
    struct FastBufferPool* outbound;
    struct FastRingBufferProvider* provider;
    struct FastListener* listener;
    struct FastRingWatch* watch;
    struct ConnectionList connections;
    int signalHandle;
    int signalCount;
};

/* The socket still sends what is queued and closes then. Its handler isn't called again, so that
 * the memory may go now. */
static void closeConnection(struct Connection* connection)
{
    ReleaseFastSocket(connection->socket);
    LIST_REMOVE(connection, link);
    free(connection);
}

/* The socket drops what is queued and resets the connection. */
static void abortConnection(struct Connection* connection)
{
    AbortFastSocket(connection->socket);
    LIST_REMOVE(connection, link);
    free(connection);
}

static void echo(struct Connection* connection)
{
    struct FastSocket* socket = connection->socket;
    struct FastBuffer* buffer;
    int result = 0;

    while ((result == 0) && ((buffer = ReceiveFastSocketBuffer(socket)) != NULL)) {
        size_t length = GetFastBufferLength(buffer);
        result = TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, length, 0);
    }

    /* -EPIPE: the connection is broken, and POLLHUP will tell soon. */
    if ((result < 0) && (result != -EPIPE)) {
        fprintf(stderr, "transmit: %s\n", strerror(-result));
        abortConnection(connection);
        return;
    }

    if ((GetFastSocketOutboundLength(socket) >= OUTBOUND_LIMIT) && (PauseFastSocket(socket) == 0))
        connection->paused = true;
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Connection* connection = GetFastSocketClosure(socket);

    (void)parameter;
    switch (event) {
    case POLLIN:
        /* Told once for new input: take all of it. */
        echo(connection);
        break;

    case POLLOUT:
        /* The kernel has accepted all that was queued. */
        if (connection->paused) {
            connection->paused = false;
            ResumeFastSocket(socket);
        }
        break;

    case POLLHUP:
        /* The peer has ended its output and we have seen all of it, or (after POLLERR) the
         * connection is broken. Either way there is nothing left to do but to send what is
         * queued. */
        closeConnection(connection);
        break;

    default:
        /* POLLERR: POLLHUP follows. */
        break;
    }
}

/* What is queued still leaves, in the background: GetFastRingPending tells when. */
static void stopServer(struct Server* server)
{
    ReleaseFastListener(server->listener);
    server->listener = NULL;
    while (!LIST_EMPTY(&server->connections))
        closeConnection(LIST_FIRST(&server->connections));
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Server* server = closure;
    struct Connection* connection;

    (void)listener;
    if (handle < 0) {
        fprintf(stderr, "accept: %s\n", strerror(-handle));
        /* For want of descriptors or memory the listener rests and tries again. Anything else is
         * the end of it, and the end of us. */
        if (!isShortage(-handle))
            stopServer(server);
        return;
    }

    setNoDelay(handle);
    connection = calloc(1, sizeof(*connection));
    if (connection != NULL)
        connection->socket = CreateFastSocket(server->ring, server->provider, server->inbound,
                                              server->outbound, handle, NULL, 0,
                                              FASTSOCKET_MODE_REGULAR, 0, handleSocketEvent,
                                              connection);
    if ((connection == NULL) || (connection->socket == NULL)) {
        perror("new connection");
        free(connection);
        close(handle); /* still ours: the socket takes it over only on success */
        return;
    }
    LIST_INSERT_HEAD(&server->connections, connection, link);
}

/* The first signal ends the service in an orderly way, a second one at once (see main). */
static void handleSignal(struct FastRingWatch* watch, int result, void* closure)
{
    struct Server* server = closure;

    (void)watch;
    (void)result;
    if (readSignal(server->signalHandle) == 0)
        return;
    server->signalCount++;
    stopServer(server);
}

/* Makes all that lives on a ring. Returns false with errno; main() releases what was made. */
static bool openServer(struct Server* server, int handle)
{
    server->ring = CreateFastRing(0);
    if (server->ring == NULL)
        return false;

    server->inbound = CreateFastBufferPool(server->ring);
    server->outbound = CreateFastBufferPool(server->ring);
    if ((server->inbound == NULL) || (server->outbound == NULL))
        return false;

    server->provider = CreateFastRingBufferProvider(server->ring, 0, BUFFER_COUNT, BUFFER_LENGTH,
                                                    AllocateRingFastBuffer, server->inbound);
    if (server->provider == NULL)
        return false;

    server->watch = AddFastRingWatch(server->ring, server->signalHandle, POLLIN, 0, handleSignal,
                                     server);
    if (server->watch == NULL)
        return false;

    server->listener = CreateFastListener(server->ring, handle, 0, handleConnection, server);
    return server->listener != NULL;
}

/* Is there something to do, or to be waited for? */
static bool isBusy(const struct Server* server)
{
    return (server->listener != NULL) || (GetFastRingPending(server->ring) > 0);
}

int main(int count, char** arguments)
{
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1";
    const char* port = (count > 2) ? arguments[2] : "7000";
    struct Server server = {0};
    int handle;
    int result = -1;

    handle = openSocket(address, port, SOCK_STREAM);
    if (handle < 0)
        return 1;

    server.signalHandle = openSignals();
    if ((server.signalHandle < 0) || !openServer(&server, handle)) {
        perror("echo-server");
        close(handle); /* the listener is made last: it has not taken it over */
    } else {
        printListening(handle, address);

        /* Each call is one turn of the loop: handlers run inside. Once we stop listening we go on
         * until what was queued has left. */
        do
            result = WaitForFastRing(server.ring, UINT32_MAX, NULL);
        while ((result == 0) && (server.signalCount < 2) && isBusy(&server));
        if (result < 0)
            fprintf(stderr, "ring: %s\n", strerror(-result));
    }

    stopServer(&server); /* again, in case the loop ended otherwise */
    RemoveFastRingWatch(server.watch);
    ReleaseFastRingBufferProvider(server.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(server.inbound);
    ReleaseFastBufferPool(server.outbound);
    ReleaseFastRing(server.ring);
    if (server.signalHandle >= 0)
        close(server.signalHandle);
    removeAddress(address);
    return ((result == 0) && (server.signalCount > 0)) ? 0 : 1;
}
