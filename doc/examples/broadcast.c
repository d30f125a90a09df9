/*
 * broadcast: what comes from the standard input goes to every client. A stream of prices, of log lines,
 * of measurements.
 *
 *     cc broadcast.c -o broadcast $(pkg-config --cflags --libs fastsocket)
 *     ./broadcast [ADDRESS [BYTES [MILLISECONDS]]]      127.0.0.1:7002, 1 MiB and 10 s by default
 *     ncat 127.0.0.1 7002
 *
 * A client that has more than so many bytes unsent is evicted, and so is one that takes nothing for so
 * long: the fast ones don't wait for the slow ones, and memory stays bounded. Each gets the stream from
 * its first byte after it came, without a gap, until it ends or is evicted.
 *
 * See echo-server.c and copy.c first. New here:
 *
 * - One counted buffer goes to a thousand clients: each transmit gets a reference of its own
 *   (HoldFastBuffer), and the memory is given back when the last client has it. It is never copied. (The
 *   library itself copies pieces that are smaller than a reference is worth.)
 * - Clients are released while others are told of in the same turn. What is queued for one that has gone
 *   holds no buffer any more.
 * - The input is read no faster than it can be told: it is paused while nobody is there, so that a
 *   client that comes first misses nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

struct Client
{
    LIST_ENTRY(Client)
    link;
    struct Server* server;
    struct FastSocket* socket;
};

LIST_HEAD(ClientList, Client);

struct Server
{
    struct FastRing* ring;
    struct FastSocket* input;      /* NULL when it has ended */
    struct FastListener* listener; /* NULL when we have stopped */
    struct FastRingSignal* interrupt;
    struct FastRingSignal* terminate;
    struct ClientList clients;
    size_t limit;    /* bytes unsent */
    int patience;    /* milliseconds */
    uint64_t served; /* clients */
    uint64_t evicted;
};

/* The input goes on while somebody hears it. */
static void balance(struct Server* server)
{
    if (server->input == NULL)
        return;
    if (LIST_EMPTY(&server->clients))
        PauseFastSocket(server->input);
    else
        ResumeFastSocket(server->input);
}

static void forget(struct Client* client)
{
    struct Server* server = client->server;

    LIST_REMOVE(client, link);
    free(client);
    balance(server);
}

/* Drops what is queued, and with it the references; the client sees a reset, and knows of the gap. */
static void evict(struct Client* client)
{
    client->server->evicted++;
    AbortFastSocket(client->socket);
    forget(client);
}

/* Sends what is queued, and ends the connection. */
static void dismiss(struct Client* client)
{
    ReleaseFastSocket(client->socket);
    forget(client);
}

static void handleClient(struct FastSocket* socket, int event, int parameter)
{
    struct Client* client = GetFastSocketClosure(socket);
    struct FastBuffer* buffer;

    switch (event) {
    case POLLIN:
        /* Clients have nothing to say. */
        while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL)
            ReleaseFastBuffer(buffer);
        break;

    case POLLERR:
        /* Also when it has taken nothing for too long. */
        if (parameter == ETIMEDOUT)
            evict(client);
        else
            dismiss(client);
        break;

    case POLLHUP:
        /* It may have ended its output only, as ncat does at the end of its input: it still hears. */
        if (parameter != 0)
            dismiss(client);
        break;

    default:
        break;
    }
}

/* Gives each client a reference of the buffer, and ours back. */
static void tell(struct Server* server, struct FastBuffer* buffer)
{
    size_t size = GetFastBufferLength(buffer);
    struct Client* client;
    struct Client* next;

    for (client = LIST_FIRST(&server->clients); client != NULL; client = next) {
        int result;

        next = LIST_NEXT(client, link);
        result = TransmitFastSocketBuffer(client->socket, NULL, 0, HoldFastBuffer(buffer), 0, size, 0);
        /* -EAGAIN: the limit is reached. -EPIPE: it has failed, and its POLLERR tells. */
        if ((result < 0) && (result != -EPIPE))
            evict(client);
    }
    ReleaseFastBuffer(buffer);
}

static void stopServer(struct Server* server);

static void handleInput(struct FastSocket* socket, int event, int parameter)
{
    struct Server* server = GetFastSocketClosure(socket);
    struct FastBuffer* buffer;

    switch (event) {
    case POLLIN:
        while (!LIST_EMPTY(&server->clients) && ((buffer = ReceiveFastSocketBuffer(socket)) != NULL))
            tell(server, buffer);
        break;

    case POLLERR:
        fprintf(stderr, "input: %s\n", strerror(parameter));
        break;

    case POLLHUP:
        /* All was told: while nobody hears, we are paused, and the end waits behind that. */
        stopServer(server);
        break;

    default:
        break;
    }
}

/* Returns false with errno; the handle is the caller's then. */
static bool addClient(struct Server* server, int handle)
{
    struct Client* client = calloc(1, sizeof(*client));

    if (client == NULL)
        return false;
    client->server = server;
    client->socket = OpenFastSocket(server->ring, handle, FASTSOCKET_MODE_REGULAR, handleClient, client);
    if (client->socket == NULL) {
        free(client);
        return false;
    }
    SetFastSocketOption(client->socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, server->limit);
    SetFastSocketOption(client->socket, FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, (uint64_t)server->patience);
    LIST_INSERT_HEAD(&server->clients, client, link);
    server->served++;
    balance(server);
    return true;
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    if (handle < 0) {
        /* Without descriptors or memory: the listener waits and tries again. */
        fprintf(stderr, "accept: %s\n", strerror(-handle));
    } else if (!addClient(closure, handle)) {
        perror("new client");
        close(handle);
    }
}

/* What is queued still leaves, in the background, within each client's timeout. A second signal ends the
 * process at once. */
static void stopServer(struct Server* server)
{
    ReleaseFastListener(server->listener);
    RemoveFastRingSignal(server->interrupt);
    RemoveFastRingSignal(server->terminate);
    ReleaseFastSocket(server->input);
    server->listener = NULL;
    server->interrupt = server->terminate = NULL;
    server->input = NULL;
    while (!LIST_EMPTY(&server->clients))
        dismiss(LIST_FIRST(&server->clients));
}

static void handleSignal(struct FastRingSignal* signal, int number, int code, int process, int value,
                         void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value;
    stopServer(closure);
}

/* The library closes what it takes over: the standard input is others' too, so it gets a duplicate.
 * Returns false with errno. */
static bool openInput(struct Server* server)
{
    int handle = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    int reason;

    if (handle < 0)
        return false;
    server->input = OpenFastSocket(server->ring, handle, FASTSOCKET_MODE_FILE_IO, handleInput, server);
    if (server->input != NULL)
        return true;
    reason = errno;
    close(handle);
    errno = reason;
    return false;
}

/* Makes all that lives on a ring. Returns false with errno; main() releases what was made. */
static bool openServer(struct Server* server, const char* address)
{
    server->ring = CreateFastRing(0);
    if ((server->ring == NULL) || !openInput(server))
        return false;
    server->interrupt = AddFastRingSignal(server->ring, SIGINT, handleSignal, server);
    server->terminate = AddFastRingSignal(server->ring, SIGTERM, handleSignal, server);
    if ((server->interrupt == NULL) || (server->terminate == NULL))
        return false;
    server->listener = ListenFastSocket(server->ring, address, 0, handleConnection, server);
    balance(server); /* nobody is there yet */
    return server->listener != NULL;
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
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1:7002";
    struct Server server = {
        .limit = (count > 2) ? strtoul(arguments[2], NULL, 10) : 1024UL * 1024,
        .patience = (count > 3) ? atoi(arguments[3]) : 10000,
    };
    int result = -1;

    if (!openServer(&server, address)) {
        perror(address);
    } else {
        printAddress(server.listener);
        do
            result = WaitForFastRing(server.ring, UINT32_MAX, NULL);
        while ((result == 0) &&
               ((server.listener != NULL) || (GetFastRingPending(server.ring) > 0)));
        if (result < 0)
            fprintf(stderr, "ring: %s\n", strerror(-result));
        printf("%llu clients, %llu evicted\n", (unsigned long long)server.served,
               (unsigned long long)server.evicted);
    }

    stopServer(&server); /* again, in case the loop ended otherwise */
    ReleaseFastRing(server.ring);
    return (result == 0) ? 0 : 1;
}
