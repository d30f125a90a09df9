/*
 * proxy: passes TCP connections on to another address.
 *
 *     cc proxy.c -o proxy $(pkg-config --cflags --libs fastsocket)
 *     ./proxy TARGET-ADDRESS TARGET-PORT [ADDRESS [PORT]]
 *
 * Either address may be unix:PATH (its port is ignored, yet must be given for the target).
 *
 * See echo-server.c first. New here:
 *
 * - Connecting: a plain non-blocking connect(2) is begun, and the socket takes the descriptor over
 *   while that goes on. What is transmitted meanwhile is queued; POLLERR tells when it failed.
 * - Two sockets feed each other. A buffer received from one is handed over to the other as it is.
 * - Back-pressure: when one side doesn't take what we send, we pause the other; its kernel buffers
 *   fill up, TCP's window closes, and the sender has to wait. So memory stays bounded.
 * - The end of input on one side becomes the end of output on the other, and the way back stays
 *   open.
 * - When one side breaks, the other still gets all that came before, and then the end of output.
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
    OUTBOUND_LIMIT = 512 * 1024 /* bytes queued on one side at which the other is paused */
};

/* One of the two ends of a tunnel. */
struct Side
{
    struct Tunnel* tunnel;
    struct Side* other;
    struct FastSocket* socket;
    bool paused; /* because the other side has too much queued */
    bool ended;  /* has told the end of its input */
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
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastListener* listener;
    struct FastRingWatch* watch;
    struct TunnelList tunnels;
    int signalHandle;
    int signalCount;
    struct sockaddr_storage target;
    socklen_t targetLength;
};

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
    if ((GetFastSocketOutboundLength(side->other->socket) >= OUTBOUND_LIMIT) &&
        (PauseFastSocket(side->socket) == 0))
        side->paused = true;
}

/* The side has sent all that was queued: the other may go on. */
static void handleDrain(struct Side* side)
{
    if (side->other->paused) {
        side->other->paused = false;
        ResumeFastSocket(side->other->socket);
    }
}

/* The side's input is over, and all of it was told by POLLIN. */
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
        handleDrain(side);
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
        closeTunnel(side->tunnel);
        break;
    }
}

/* Begins to connect. Returns a descriptor, or -1 with errno. */
static int connectTarget(struct Server* server)
{
    int handle = socket(server->target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int reason;

    if (handle < 0)
        return -1;
    setNoDelay(handle);
    if ((connect(handle, (struct sockaddr*)&server->target, server->targetLength) < 0) &&
        (errno != EINPROGRESS)) {
        reason = errno;
        close(handle);
        errno = reason;
        return -1;
    }
    return handle;
}

/* Makes the socket of a side from a descriptor, which is consumed, or from -1. Returns false with
 * errno. */
static bool openSide(struct Server* server, struct Side* side, struct Side* other,
                     struct Tunnel* tunnel, int handle)
{
    int reason;

    if (handle < 0)
        return false;
    side->tunnel = tunnel;
    side->other = other;
    side->socket = CreateFastSocket(server->ring, server->provider, server->pool, server->pool,
                                    handle, NULL, 0, FASTSOCKET_MODE_REGULAR, 0, handleSocketEvent,
                                    side);
    if (side->socket == NULL) {
        reason = errno;
        close(handle); /* still ours: the socket takes it over only on success */
        errno = reason;
    }
    return side->socket != NULL;
}

static void openTunnel(struct Server* server, int handle)
{
    struct Tunnel* tunnel = calloc(1, sizeof(*tunnel));

    setNoDelay(handle);
    if (tunnel == NULL) {
        perror("tunnel");
        close(handle);
        return;
    }
    if (!openSide(server, &tunnel->client, &tunnel->target, tunnel, handle) ||
        !openSide(server, &tunnel->target, &tunnel->client, tunnel, connectTarget(server))) {
        perror("tunnel");
        AbortFastSocket(tunnel->client.socket); /* the client sees a reset, or NULL does nothing */
        free(tunnel);
        return;
    }
    LIST_INSERT_HEAD(&server->tunnels, tunnel, link);
}

/* What is queued still leaves, in the background: GetFastRingPending tells when. */
static void stopServer(struct Server* server)
{
    ReleaseFastListener(server->listener);
    server->listener = NULL;
    while (!LIST_EMPTY(&server->tunnels))
        closeTunnel(LIST_FIRST(&server->tunnels));
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Server* server = closure;

    (void)listener;
    if (handle >= 0) {
        openTunnel(server, handle);
        return;
    }

    fprintf(stderr, "accept: %s\n", strerror(-handle));
    /* For want of descriptors or memory the listener rests and tries again. Anything else is the
     * end of it, and the end of us. */
    if (!isShortage(-handle))
        stopServer(server);
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

    server->pool = CreateFastBufferPool(server->ring);
    if (server->pool == NULL)
        return false;

    server->provider = CreateFastRingBufferProvider(server->ring, 0, BUFFER_COUNT, BUFFER_LENGTH,
                                                    AllocateRingFastBuffer, server->pool);
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
    const char* address = (count > 3) ? arguments[3] : "127.0.0.1";
    const char* port = (count > 4) ? arguments[4] : "7001";
    struct Server server = {0};
    int handle;
    int result;

    if (count < 3) {
        fprintf(stderr, "usage: %s TARGET-ADDRESS TARGET-PORT [ADDRESS [PORT]]\n", arguments[0]);
        return 2;
    }
    result = findAddress(arguments[1], arguments[2], SOCK_STREAM, &server.target,
                         &server.targetLength);
    if (result < 0)
        return 1;
    handle = openSocket(address, port, SOCK_STREAM);
    if (handle < 0)
        return 1;

    result = -1;
    server.signalHandle = openSignals();
    if ((server.signalHandle < 0) || !openServer(&server, handle)) {
        perror("proxy");
        close(handle); /* the listener is made last: it has not taken it over */
    } else {
        printListening(handle, address);

        do
            result = WaitForFastRing(server.ring, UINT32_MAX, NULL);
        while ((result == 0) && (server.signalCount < 2) && isBusy(&server));
        if (result < 0)
            fprintf(stderr, "ring: %s\n", strerror(-result));
    }

    stopServer(&server); /* again, in case the loop ended otherwise */
    RemoveFastRingWatch(server.watch);
    ReleaseFastRingBufferProvider(server.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(server.pool);
    ReleaseFastRing(server.ring);
    if (server.signalHandle >= 0)
        close(server.signalHandle);
    removeAddress(address);
    return ((result == 0) && (server.signalCount > 0)) ? 0 : 1;
}
