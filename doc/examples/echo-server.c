/*
 * echo-server: sends back whatever it receives.
 *
 *     cc echo-server.c -o echo-server $(pkg-config --cflags --libs fastsocket)
 *     ./echo-server [ADDRESS]                   127.0.0.1:7000 by default; port 0 is any
 *
 * ADDRESS is as for ListenFastSocket: *:7000, [::1]:7000, localhost:7000, unix:PATH …
 *
 * Start here if you have never seen the library. What there is to see, from main() upwards:
 *
 * - A ring is the event loop. It is made first and released last.
 * - A listener hands us each new connection as a plain descriptor; a socket takes it over.
 * - A socket tells its handler of events, named as in poll(2).
 * - Input is taken as whole buffers and the very same buffers are handed over for output: the data
 *   is never copied by this program. The buffers are the ring's own.
 * - Nobody makes us keep unlimited output: when a peer sends without reading, we pause. And nobody
 *   keeps us waiting for ever: timeouts end connections on which nothing goes on.
 * - A signal is an event like any other, and calls a function inside the loop.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

enum
{
    OUTBOUND_LIMIT = 1024 * 1024, /* bytes queued at which we stop reading from a connection */
    IDLE_TIMEOUT = 600 * 1000,    /* milliseconds without a byte either way */
    TRANSMIT_TIMEOUT = 60 * 1000  /* milliseconds in which the peer takes nothing of our output */
};

struct Connection
{
    LIST_ENTRY(Connection)
    link;
    struct FastSocket* socket;
};

LIST_HEAD(ConnectionList, Connection);

struct Server
{
    struct FastRing* ring;
    struct FastListener* listener; /* NULL when we have stopped */
    struct FastRingSignal* interrupt;
    struct FastRingSignal* terminate;
    struct ConnectionList connections;
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
    if (GetFastSocketOutboundLength(socket) >= OUTBOUND_LIMIT)
        PauseFastSocket(socket);
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    (void)parameter;
    switch (event) {
    case POLLIN:
        /* Told once for new input: take all of it. */
        echo(GetFastSocketClosure(socket));
        break;

    case POLLOUT:
        /* The kernel has accepted all that was queued. Harmless if we have not paused. */
        ResumeFastSocket(socket);
        break;

    case POLLHUP:
        /* The peer has ended its output and we have seen all of it, or (after POLLERR) the
         * connection is broken. Either way there is nothing left to do but to send what is
         * queued. */
        closeConnection(GetFastSocketClosure(socket));
        break;

    default:
        /* POLLERR: POLLHUP follows. */
        break;
    }
}

/* Makes a socket of a descriptor, which stays the caller's if that fails. Returns false with errno. */
static bool openConnection(struct Server* server, int handle)
{
    struct Connection* connection = calloc(1, sizeof(*connection));

    if (connection == NULL)
        return false;
    connection->socket = OpenFastSocket(server->ring, handle, FASTSOCKET_MODE_REGULAR,
                                        handleSocketEvent, connection);
    if (connection->socket == NULL) {
        free(connection);
        return false;
    }
    LIST_INSERT_HEAD(&server->connections, connection, link);

    /* These can't fail: the options are known, and the values in their range. */
    SetFastSocketOption(connection->socket, FASTSOCKET_OPTION_IDLE_TIMEOUT, IDLE_TIMEOUT);
    SetFastSocketOption(connection->socket, FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, TRANSMIT_TIMEOUT);
    return true;
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    if (handle < 0) {
        /* Without descriptors or memory: the listener waits and tries again. Other errors come
         * only to those who shut its socket down. */
        fprintf(stderr, "accept: %s\n", strerror(-handle));
    } else if (!openConnection(closure, handle)) {
        perror("new connection");
        close(handle); /* still ours: the socket takes it over only on success */
    }
}

/* What is queued still leaves, in the background: GetFastRingPending tells when. Signals are no
 * longer ours: a second one ends the process at once. */
static void stopServer(struct Server* server)
{
    ReleaseFastListener(server->listener);
    RemoveFastRingSignal(server->interrupt);
    RemoveFastRingSignal(server->terminate);
    server->listener = NULL;
    server->interrupt = server->terminate = NULL;
    while (!LIST_EMPTY(&server->connections))
        closeConnection(LIST_FIRST(&server->connections));
}

static void handleSignal(struct FastRingSignal* signal, int number, int code, int process, int value,
                         void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value;
    stopServer(closure);
}

/* Makes all that lives on a ring. Returns false with errno; main() releases what was made. */
static bool openServer(struct Server* server, const char* address)
{
    server->ring = CreateFastRing(0);
    if (server->ring == NULL)
        return false;
    server->interrupt = AddFastRingSignal(server->ring, SIGINT, handleSignal, server);
    server->terminate = AddFastRingSignal(server->ring, SIGTERM, handleSignal, server);
    if ((server->interrupt == NULL) || (server->terminate == NULL))
        return false;
    server->listener = ListenFastSocket(server->ring, address, 0, handleConnection, server);
    return server->listener != NULL;
}

/* Small writes should leave at once, since the library gathers what belongs together: connections
 * have this from their listener. It is of TCP, and a mere hint: elsewhere it fails, and harms not. */
static void setNoDelay(int handle)
{
    int yes = 1;

    (void)!setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/* Tells the user, or a program that started us with port 0, where we listen. */
static void printAddress(struct FastListener* listener)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    char text[FASTSOCKET_ADDRESS_SIZE];

    if ((getsockname(GetFastListenerHandle(listener), (struct sockaddr*)&name, &length) == 0) &&
        (FormatFastAddress((struct sockaddr*)&name, length, text, sizeof(text)) == 0))
        printf("listening on %s\n", text);
    fflush(stdout);
}

int main(int count, char** arguments)
{
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1:7000";
    struct Server server = {0};
    int result = -1;

    if (!openServer(&server, address)) {
        perror(address);
    } else {
        setNoDelay(GetFastListenerHandle(server.listener));
        printAddress(server.listener);

        /* Each call is one turn of the loop: handlers run inside. Once we stop listening we go on
         * until what was queued has left. */
        do
            result = WaitForFastRing(server.ring, UINT32_MAX, NULL);
        while ((result == 0) &&
               ((server.listener != NULL) || (GetFastRingPending(server.ring) > 0)));
        if (result < 0)
            fprintf(stderr, "ring: %s\n", strerror(-result));
    }

    stopServer(&server); /* again, in case the loop ended otherwise */
    ReleaseFastRing(server.ring);
    return (result == 0) ? 0 : 1;
}
