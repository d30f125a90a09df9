/*
 * balancer: spreads TCP connections over several backends, of which some may be down.
 *
 *     cc balancer.c -o balancer $(pkg-config --cflags --libs fastsocket)
 *     ./balancer [-OPTION NUMBER]... LISTEN BACKEND...
 *     ./balancer -i 300000 :8000 one.example:80 two.example:80 unix:/run/three
 *
 * -c   milliseconds until a backend must be connected, 2000 by default
 * -k   between checks whether backends are up, 2000
 * -i   without a byte in either direction, until a connection is cut, 60000
 * -d   that connections may go on after SIGTERM, 10000
 * -m   connections at the same time, 400; more wait to be accepted
 *
 * Backends take turns. One that refuses, or is too slow to connect, is down: the client gets the next one
 * and doesn't notice, and nobody is sent there until a check has found it up again. Without any the
 * client is reset.
 *
 * See proxy.c first, which explains how two sockets feed each other. New here:
 *
 * - Nothing is taken from a client until its backend is connected: its socket begins in a pause. So
 *   what it says is still there for the next backend, if the first refuses.
 * - A check is a connection that ends as soon as it is there. The timeout for connecting bounds it.
 * - What breaks on one side is a reset on the other: nobody takes half a reply for a whole one.
 * - Draining: SIGTERM frees the port at once, so that a successor can have it, and who is connected may
 *   go on for a while. A second signal ends the process.
 * - At the limit the listener pauses: the kernel's backlog holds those who come.
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
    OUTBOUND_LIMIT = 256 * 1024,       /* bytes queued on one side at which the other is paused */
    OUTBOUND_LOW = OUTBOUND_LIMIT / 4, /* ... and those at which it goes on */
    INBOUND_HIGH = OUTBOUND_LIMIT      /* bytes unread, of what one turn may bring */
};

struct Backend
{
    struct Server* server;
    const char* address;
    struct FastSocket* check; /* NULL when none is under way */
    bool down;
};

/* One of the two ends of a tunnel. */
struct Side
{
    struct Tunnel* tunnel;
    struct Side* other;
    struct FastSocket* socket;
    bool ended; /* has reported the end of its input */
};

struct Tunnel
{
    LIST_ENTRY(Tunnel)
    link;
    struct Server* server;
    struct Side client;
    struct Side target;
    struct Backend* backend; /* where the target is, or shall be */
    size_t attempts;         /* to connect, begun */
    bool connected;
};

LIST_HEAD(TunnelList, Tunnel);

struct Server
{
    struct FastRing* ring;
    struct FastListener* listener; /* NULL when we have stopped */
    struct FastRingSignal* interrupt;
    struct FastRingSignal* terminate;
    struct FastRingTimeout* checks;
    struct FastRingTimeout* drain;
    bool overdue; /* the drain's time is over */
    struct Backend* backends;
    size_t backendCount;
    size_t next; /* backend whose turn it is */
    struct TunnelList tunnels;
    size_t tunnelCount, limit;
    int64_t connectTimeout, checkInterval, idleTimeout, drainTimeout; /* milliseconds */
    uint64_t served, failed;
};

/* ---- backends -------------------------------------------------------------------------------- */

/* Tells the log, too, when it changes. */
static void setDown(struct Backend* backend, bool down, const char* reason)
{
    if (backend->down != down)
        fprintf(stderr, "%s is %s: %s\n", backend->address, down ? "down" : "up", reason);
    backend->down = down;
}

/* Returns the next one in turn that is up, or NULL. */
static struct Backend* chooseBackend(struct Server* server)
{
    size_t step;

    for (step = 0; step < server->backendCount; step++) {
        struct Backend* backend = &server->backends[server->next];

        server->next = (server->next + 1) % server->backendCount;
        if (!backend->down)
            return backend;
    }
    return NULL;
}

/* What has failed because we lack descriptors or memory says nothing of the backend. */
static bool isOwnFault(int reason)
{
    return (reason == EMFILE) || (reason == ENFILE) || (reason == ENOMEM) || (reason == ENOBUFS);
}

static void endCheck(struct Backend* backend)
{
    ReleaseFastSocket(backend->check);
    backend->check = NULL;
}

static void handleCheck(struct FastSocket* socket, int event, int parameter)
{
    struct Backend* backend = GetFastSocketClosure(socket);

    switch (event) {
    case POLLOUT: /* the first one means that it is connected */
        setDown(backend, false, "connected");
        endCheck(backend);
        break;

    case POLLERR:
        if (!isOwnFault(parameter))
            setDown(backend, true, GetFastSocketErrorText(socket));
        endCheck(backend);
        break;

    case POLLHUP: /* the ring ends */
        endCheck(backend);
        break;

    default:
        break;
    }
}

/* Returns false with errno if it can't even be tried. */
static bool beginCheck(struct Backend* backend)
{
    struct Server* server = backend->server;

    if (backend->check != NULL)
        return true; /* from last time: its own timeout ends it */
    backend->check = ConnectFastSocket(server->ring, backend->address, FASTSOCKET_MODE_REGULAR,
                                       handleCheck, backend);
    if (backend->check == NULL)
        return false;
    SetFastSocketOption(backend->check, FASTSOCKET_OPTION_CONNECT_TIMEOUT,
                        (uint64_t)server->connectTimeout);
    return true;
}

static void handleChecks(struct FastRingTimeout* timeout, void* closure)
{
    struct Server* server = closure;
    size_t index;

    (void)timeout;
    for (index = 0; index < server->backendCount; index++)
        if (!beginCheck(&server->backends[index]))
            perror("check"); /* memory: the next time will come */
}

/* ---- tunnels --------------------------------------------------------------------------------- */

/* Small writes should leave at once, since the library gathers what belongs together. It is of TCP, and
 * a mere hint: elsewhere it fails, and harms not. */
static void setNoDelay(int handle)
{
    int yes = 1;

    (void)!setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/* The sockets are released already. */
static void forgetTunnel(struct Tunnel* tunnel)
{
    struct Server* server = tunnel->server;

    LIST_REMOVE(tunnel, link);
    free(tunnel);
    if (server->tunnelCount-- == server->limit)
        ResumeFastListener(server->listener); /* NULL, when we have stopped, is an error and no more */
}

/* Both directions have ended in good order. What is queued is still sent, in the background. */
static void closeTunnel(struct Tunnel* tunnel)
{
    ReleaseFastSocket(tunnel->client.socket);
    ReleaseFastSocket(tunnel->target.socket);
    forgetTunnel(tunnel);
}

/* Drops what is queued. Both sides see a reset. */
static void cutTunnel(struct Tunnel* tunnel)
{
    AbortFastSocket(tunnel->client.socket);
    AbortFastSocket(tunnel->target.socket); /* NULL does nothing */
    forgetTunnel(tunnel);
}

/* Hands input of a side over to the other, until that has size bytes queued. Returns 0 or a
 * negative errno; -EPIPE: the other side is broken. */
static int passOn(struct Side* side, size_t size)
{
    struct FastSocket* sink = side->other->socket;
    struct FastBuffer* buffer;
    int result = 0;

    while ((result == 0) && (GetFastSocketOutboundLength(sink) < size) &&
           ((buffer = ReceiveFastSocketBuffer(side->socket)) != NULL)) {
        size_t length = GetFastBufferLength(buffer);
        result = TransmitFastSocketBuffer(sink, NULL, 0, buffer, 0, length, 0);
    }
    return result;
}

/* The target has no input before it is connected, and the client is paused until then. */
static void handleInput(struct Side* side)
{
    int result = passOn(side, OUTBOUND_LIMIT);

    /* -EPIPE: the other side is broken, and its POLLERR will tell soon. */
    if ((result < 0) && (result != -EPIPE)) {
        fprintf(stderr, "transmit: %s\n", strerror(-result));
        cutTunnel(side->tunnel);
        return;
    }

    /* What is left unread stays in the queue, and ResumeFastSocket tells of it again. */
    if (GetFastSocketOutboundLength(side->other->socket) >= OUTBOUND_LIMIT)
        PauseFastSocket(side->socket);
}

/* The side's input is over, and all of it was reported by POLLIN. */
static void handleEnd(struct Side* side)
{
    side->ended = true;
    if (side->other->ended)
        closeTunnel(side->tunnel);
    else
        ShutdownFastSocket(side->other->socket); /* after what is queued */
}

/* A side that had ended its input before it broke has said all that it had to: the other gets that,
 * and an end. (Servers that don't read a request to its end do so.) */
static void handleBreak(struct Side* side)
{
    struct Tunnel* tunnel = side->tunnel;

    if (!side->ended) {
        cutTunnel(tunnel);
    } else {
        passOn(side, SIZE_MAX);
        closeTunnel(tunnel);
    }
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter);

/* Begins to connect to the backend whose turn it is. Each gets one chance. Returns false if there is
 * none, or no memory. */
static bool seekBackend(struct Tunnel* tunnel)
{
    struct Server* server = tunnel->server;

    tunnel->backend = chooseBackend(server);
    if ((tunnel->backend == NULL) || (tunnel->attempts++ == server->backendCount))
        return false;
    tunnel->target.socket = ConnectFastSocket(server->ring, tunnel->backend->address,
                                              FASTSOCKET_MODE_REGULAR, handleSocketEvent,
                                              &tunnel->target);
    if (tunnel->target.socket == NULL)
        return false;
    SetFastSocketOption(tunnel->target.socket, FASTSOCKET_OPTION_CONNECT_TIMEOUT,
                        (uint64_t)server->connectTimeout);
    return true;
}

/* The backend can't be connected to. Nothing was sent there, so another one will do. */
static void leaveBackend(struct Tunnel* tunnel, int reason)
{
    bool ours = isOwnFault(reason);

    if (!ours)
        setDown(tunnel->backend, true, GetFastSocketErrorText(tunnel->target.socket));
    ReleaseFastSocket(tunnel->target.socket);
    tunnel->target.socket = NULL;
    if (ours || !seekBackend(tunnel)) {
        tunnel->server->failed++;
        cutTunnel(tunnel);
    }
}

/* The options are known, and the values in their range, so that these calls can't fail. What is paused
 * is not idle: two sides that both send and take nothing, and so are both paused, are found out by the
 * timeout for transmitting. */
static void setSide(struct Side* side)
{
    uint64_t idle = (uint64_t)side->tunnel->server->idleTimeout;

    SetFastSocketOption(side->socket, FASTSOCKET_OPTION_OUTBOUND_LOW, OUTBOUND_LOW);
    SetFastSocketOption(side->socket, FASTSOCKET_OPTION_INBOUND_HIGH, INBOUND_HIGH);
    SetFastSocketOption(side->socket, FASTSOCKET_OPTION_IDLE_TIMEOUT, idle);
    SetFastSocketOption(side->socket, FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, idle);
}

/* Only now the client is heard. Its time without a byte begins, too: none passes in a pause. */
static void handleConnected(struct Tunnel* tunnel)
{
    tunnel->connected = true;
    setNoDelay(GetFastSocketHandle(tunnel->target.socket));
    setSide(&tunnel->target);
    ResumeFastSocket(tunnel->client.socket);
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Side* side = GetFastSocketClosure(socket);
    struct Tunnel* tunnel = side->tunnel;

    switch (event) {
    case POLLIN:
        handleInput(side);
        break;

    case POLLOUT:
        /* Little is queued on this side: the other may go on. Harmless if it was not paused. */
        if (tunnel->connected)
            ResumeFastSocket(side->other->socket);
        else if (side == &tunnel->target)
            handleConnected(tunnel);
        break;

    case POLLHUP:
        if (parameter == 0)
            handleEnd(side);
        else
            cutTunnel(tunnel); /* the ring ends under us */
        break;

    case POLLERR:
        /* POLLHUP follows, but not if it came before: so this is the place to act on errors. ETIMEDOUT,
         * once connected, says that nothing has come or gone for too long. */
        if ((side == &tunnel->target) && !tunnel->connected)
            leaveBackend(tunnel, parameter);
        else
            handleBreak(side);
        break;

    default:
        break;
    }
}

/* Returns false with errno; the handle is the caller's then. A client for whom there is no backend is
 * taken, and cut. */
static bool openTunnel(struct Server* server, int handle)
{
    struct Tunnel* tunnel = calloc(1, sizeof(*tunnel));

    if (tunnel == NULL)
        return false;
    tunnel->client.socket = OpenFastSocket(server->ring, handle, FASTSOCKET_MODE_REGULAR,
                                           handleSocketEvent, &tunnel->client);
    if (tunnel->client.socket == NULL) {
        free(tunnel);
        return false;
    }
    tunnel->server = server;
    tunnel->client.tunnel = tunnel->target.tunnel = tunnel;
    tunnel->client.other = &tunnel->target;
    tunnel->target.other = &tunnel->client;
    setNoDelay(handle);
    setSide(&tunnel->client);
    PauseFastSocket(tunnel->client.socket); /* before its first byte */
    LIST_INSERT_HEAD(&server->tunnels, tunnel, link);
    if (++server->tunnelCount == server->limit)
        PauseFastListener(server->listener);
    server->served++;
    if (!seekBackend(tunnel)) {
        server->failed++;
        cutTunnel(tunnel);
    }
    return true;
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    if (handle < 0) {
        /* Without descriptors or memory: the listener waits and tries again. */
        fprintf(stderr, "accept: %s\n", strerror(-handle));
    } else if (!openTunnel(closure, handle)) {
        perror("tunnel");
        close(handle); /* still ours: the socket takes it over only on success */
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Takes nobody any more. The port is free when this returns. */
static void stopListening(struct Server* server)
{
    size_t index;

    ReleaseFastListener(server->listener);
    RemoveFastRingSignal(server->interrupt);
    RemoveFastRingSignal(server->terminate);
    RemoveFastRingTimeout(server->checks);
    server->listener = NULL;
    server->interrupt = server->terminate = NULL;
    server->checks = NULL;
    for (index = 0; index < server->backendCount; index++)
        endCheck(&server->backends[index]);
}

/* Cuts who is still connected. */
static void stopServer(struct Server* server)
{
    stopListening(server);
    RemoveFastRingTimeout(server->drain);
    server->drain = NULL;
    while (!LIST_EMPTY(&server->tunnels))
        cutTunnel(LIST_FIRST(&server->tunnels));
}

static void handleDrain(struct FastRingTimeout* timeout, void* closure)
{
    struct Server* server = closure;

    (void)timeout;
    server->overdue = true;
    stopServer(server);
}

/* A second signal ends the process at once. Without a timeout for the drain there is no drain. */
static void handleSignal(struct FastRingSignal* signal, int number, int code, int process, int value,
                         void* closure)
{
    struct Server* server = closure;

    (void)signal, (void)number, (void)code, (void)process, (void)value;
    stopListening(server);
    server->drain = SetFastRingTimeout(server->ring, NULL, server->drainTimeout, 0, handleDrain,
                                       server);
    if (server->drain == NULL)
        stopServer(server);
}

/* Makes all that lives on a ring. Returns false with errno, and in what the address that is wrong; main()
 * releases what was made. */
static bool openServer(struct Server* server, const char* address, const char** what)
{
    size_t index;

    *what = "balancer";
    server->ring = CreateFastRing(0);
    if (server->ring == NULL)
        return false;
    server->interrupt = AddFastRingSignal(server->ring, SIGINT, handleSignal, server);
    server->terminate = AddFastRingSignal(server->ring, SIGTERM, handleSignal, server);
    server->checks = SetFastRingTimeout(server->ring, NULL, server->checkInterval,
                                        FASTRING_TIMEOUT_REPEAT, handleChecks, server);
    if ((server->interrupt == NULL) || (server->terminate == NULL) || (server->checks == NULL))
        return false;
    for (index = 0; index < server->backendCount; index++) {
        *what = server->backends[index].address;
        if (!beginCheck(&server->backends[index]))
            return false;
    }
    *what = address;
    server->listener = ListenFastSocket(server->ring, address, 0, handleConnection, server);
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

/* Returns false if there is something wrong with the options, or nothing behind them. */
static bool readArguments(struct Server* server, int count, char** arguments)
{
    int option, index;

    while ((option = getopt(count, arguments, "c:k:i:d:m:")) != -1) {
        long number = (option == '?') ? 0 : strtol(optarg, NULL, 10);

        if (number < 1)
            return false;
        switch (option) {
        case 'c':
            server->connectTimeout = number;
            break;
        case 'k':
            server->checkInterval = number;
            break;
        case 'i':
            server->idleTimeout = number;
            break;
        case 'd':
            server->drainTimeout = number;
            break;
        default:
            server->limit = (size_t)number;
            break;
        }
    }
    if (count - optind < 2)
        return false;
    server->backends = calloc((size_t)(count - optind), sizeof(*server->backends));
    if (server->backends == NULL)
        return false;
    for (index = optind + 1; index < count; index++) {
        struct Backend* backend = &server->backends[server->backendCount++];

        backend->server = server;
        backend->address = arguments[index];
    }
    return true;
}

/* Until it is stopped, and all have gone or been sent what they are to get, or time is over. Returns 0 or
 * a negative errno. */
static int runServer(struct Server* server)
{
    int result = 0;

    while ((result == 0) && !server->overdue &&
           ((server->listener != NULL) || !LIST_EMPTY(&server->tunnels) ||
            (GetFastRingPending(server->ring) > 0)))
        result = WaitForFastRing(server->ring, UINT32_MAX, NULL);
    if (result < 0)
        fprintf(stderr, "ring: %s\n", strerror(-result));
    printf("%llu connections, %llu without a backend\n", (unsigned long long)server->served,
           (unsigned long long)server->failed);
    return result;
}

int main(int count, char** arguments)
{
    struct Server server = {
        .connectTimeout = 2000,
        .checkInterval = 2000,
        .idleTimeout = 60000,
        .drainTimeout = 10000,
        .limit = 400,
    };
    const char* what;
    int result = -1;

    if (!readArguments(&server, count, arguments)) {
        fprintf(stderr,
                "usage: %s [-c MILLISECONDS] [-k MILLISECONDS] [-i MILLISECONDS] [-d MILLISECONDS] "
                "[-m CONNECTIONS] LISTEN BACKEND...\n",
                arguments[0]);
        free(server.backends);
        return 2;
    }
    if (!openServer(&server, arguments[optind], &what)) {
        perror(what);
    } else {
        printAddress(server.listener);
        result = runServer(&server);
    }

    stopServer(&server); /* again, in case the loop ended otherwise */
    ReleaseFastRing(server.ring);
    free(server.backends);
    return (result == 0) ? 0 : 1;
}
