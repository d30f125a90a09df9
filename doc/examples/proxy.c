/*
 * proxy: passes TCP connections on to another address.
 *
 *     cc proxy.c -o proxy $(pkg-config --cflags --libs fastsocket)
 *     ./proxy TARGET [ADDRESS]                  listens at 127.0.0.1:7001 by default
 *
 * Both are as for ConnectFastSocket and ListenFastSocket: example.org:80, [::1]:80, unix:PATH …
 *
 * See echo-server.c first. New here:
 *
 * - Connecting: ConnectFastSocket returns at once. It looks the name up, tries all addresses, and
 *   meanwhile queues what is transmitted. POLLERR tells when all has failed, or took too long.
 * - Two sockets feed each other. A buffer received from one is handed over to the other as it is.
 * - Back-pressure: when one side doesn't take what we send, we pause the other; its kernel buffers
 *   fill up, TCP's window closes, and the sender has to wait. So memory stays bounded. We go on
 *   when a quarter of the limit is left (OUTBOUND_LOW), so that the line doesn't run dry.
 * - The end of input on one side becomes the end of output on the other, and the way back stays
 *   open.
 * - When one side breaks, the other still gets all that came before, and then the end of output.
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
    OUTBOUND_LIMIT = 512 * 1024,       /* bytes queued on one side at which the other is paused */
    OUTBOUND_LOW = OUTBOUND_LIMIT / 4, /* ... and those at which it goes on */
    CONNECT_TIMEOUT = 10 * 1000,       /* milliseconds */
    TRANSMIT_TIMEOUT = 120 * 1000      /* milliseconds in which a side takes nothing of ours */
};

/* One of the two ends of a tunnel. */
struct Side
{
    struct Tunnel* tunnel;
    struct Side* other;
    struct FastSocket* socket;
    bool connected; /* has reported POLLOUT */
    bool ended;     /* has reported the end of its input */
};

struct Tunnel
{
    LIST_ENTRY(Tunnel)
    link;
    struct Side client;
    struct Side target;
};

LIST_HEAD(TunnelList, Tunnel);

struct Server
{
    struct FastRing* ring;
    struct FastListener* listener; /* NULL when we have stopped */
    struct FastRingSignal* interrupt;
    struct FastRingSignal* terminate;
    struct TunnelList tunnels;
    const char* target;
};

/* Small writes should leave at once, since the library gathers what belongs together. It is of TCP, and
 * a mere hint: elsewhere it fails, and harms not. */
static void setNoDelay(int handle)
{
    int yes = 1;

    (void)!setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
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

/* What has come is passed on before the sockets are released; these then send what is queued, end
 * the connection and close in the background. A side that is broken takes nothing more. */
static void closeTunnel(struct Tunnel* tunnel)
{
    passOn(&tunnel->client, SIZE_MAX);
    passOn(&tunnel->target, SIZE_MAX);
    ReleaseFastSocket(tunnel->client.socket);
    ReleaseFastSocket(tunnel->target.socket);
    LIST_REMOVE(tunnel, link);
    free(tunnel);
}

static void handleInput(struct Side* side)
{
    int result = passOn(side, OUTBOUND_LIMIT);

    /* -EPIPE: the other side is broken, and its POLLERR will tell soon. */
    if ((result < 0) && (result != -EPIPE)) {
        fprintf(stderr, "transmit: %s\n", strerror(-result));
        closeTunnel(side->tunnel);
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

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Side* side = GetFastSocketClosure(socket);

    switch (event) {
    case POLLIN:
        handleInput(side);
        break;

    case POLLOUT:
        if (!side->connected)
            setNoDelay(GetFastSocketHandle(socket));
        side->connected = true;

        /* Little is queued on this side: the other may go on. Harmless if it was not paused. */
        ResumeFastSocket(side->other->socket);
        break;

    case POLLHUP:
        if (parameter == 0)
            handleEnd(side);
        else
            closeTunnel(side->tunnel); /* the ring ends under us */
        break;

    case POLLERR:
        /* POLLHUP follows, but not if it came before: a side that has ended its output can still
         * fail to take ours. So this is the place to act on errors. */
        if (side == &side->tunnel->target)
            fprintf(stderr, "target: %s\n", GetFastSocketErrorText(socket));
        closeTunnel(side->tunnel);
        break;
    }
}

/* Says what both sides have in common. The options are known, and the values in their range, so that
 * these calls can't fail. */
static void setSide(struct Side* side, struct Side* other, struct Tunnel* tunnel)
{
    side->tunnel = tunnel;
    side->other = other;
    SetFastSocketOption(side->socket, FASTSOCKET_OPTION_OUTBOUND_LOW, OUTBOUND_LOW);
    SetFastSocketOption(side->socket, FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, TRANSMIT_TIMEOUT);
}

/* Returns false with errno; the handle is the caller's then. */
static bool openTunnel(struct Server* server, int handle)
{
    struct Tunnel* tunnel = calloc(1, sizeof(*tunnel));

    if (tunnel == NULL)
        return false;
    tunnel->target.socket = ConnectFastSocket(server->ring, server->target, FASTSOCKET_MODE_REGULAR,
                                              handleSocketEvent, &tunnel->target);
    if (tunnel->target.socket != NULL)
        tunnel->client.socket = OpenFastSocket(server->ring, handle, FASTSOCKET_MODE_REGULAR,
                                               handleSocketEvent, &tunnel->client);
    if (tunnel->client.socket == NULL) {
        int reason = errno;

        AbortFastSocket(tunnel->target.socket); /* NULL does nothing */
        free(tunnel);
        errno = reason;
        return false;
    }
    setSide(&tunnel->client, &tunnel->target, tunnel);
    setSide(&tunnel->target, &tunnel->client, tunnel);
    SetFastSocketOption(tunnel->target.socket, FASTSOCKET_OPTION_CONNECT_TIMEOUT, CONNECT_TIMEOUT);
    LIST_INSERT_HEAD(&server->tunnels, tunnel, link);
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

/* What is queued still leaves, in the background: GetFastRingPending tells when. A second signal
 * ends the process at once. */
static void stopServer(struct Server* server)
{
    ReleaseFastListener(server->listener);
    RemoveFastRingSignal(server->interrupt);
    RemoveFastRingSignal(server->terminate);
    server->listener = NULL;
    server->interrupt = server->terminate = NULL;
    while (!LIST_EMPTY(&server->tunnels))
        closeTunnel(LIST_FIRST(&server->tunnels));
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
    const char* address = (count > 2) ? arguments[2] : "127.0.0.1:7001";
    struct Server server = {0};
    int result = -1;

    if (count < 2) {
        fprintf(stderr, "usage: %s TARGET [ADDRESS]\n", arguments[0]);
        return 2;
    }
    server.target = arguments[1];
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
    }

    stopServer(&server); /* again, in case the loop ended otherwise */
    ReleaseFastRing(server.ring);
    return (result == 0) ? 0 : 1;
}
