/*
 * udp-echo: sends each datagram back to where it came from, on UDP or AF_UNIX datagram sockets.
 *
 *     cc udp-echo.c -o udp-echo $(pkg-config --cflags --libs fastsocket)
 *     ./udp-echo [ADDRESS [PORT]]               127.0.0.1 and 7000 by default; port 0 = any
 *     ./udp-echo unix:PATH
 *
 * See echo-server.c first. New here:
 *
 * - One socket serves everybody, so each datagram must come with its sender's address: the socket
 *   is made with a message header that tells how much room that takes.
 * - A received buffer then starts with that metadata, and the payload follows: we send the
 *   payload's part of the very same buffer.
 * - An error concerns one datagram, never the socket.
 */
#define _GNU_SOURCE
#include <Ring/FastSocket.h>

#include "plain-socket.h"

enum
{
    NAME_ROOM = sizeof(struct sockaddr_storage),
    BUFFER_COUNT = 64,
    BUFFER_LENGTH = 65536 + 256,     /* the largest datagram and its metadata */
    OUTBOUND_LIMIT = 8 * 1024 * 1024 /* bytes queued at which further datagrams are lost */
};

/* How a received buffer starts. liburing calls it struct io_uring_recvmsg_out and has helpers to
 * read it; it is simple enough to do without. */
struct Prefix
{
    uint32_t nameLength; /* as sent: may be more than there is room for */
    uint32_t controlLength;
    uint32_t payloadLength; /* as received */
    uint32_t flags;         /* MSG_TRUNC: the datagram was longer */
};

struct Server
{
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastSocket* socket;
    struct FastRingWatch* watch;
    int signalHandle;
    int signalCount;
};

/* Consumes the buffer. Returns 0 or a negative errno. */
static int answer(struct FastSocket* socket, struct FastBuffer* buffer)
{
    struct sockaddr_storage address;
    struct Prefix prefix;
    uint8_t* data = GetFastBufferData(buffer);
    size_t offset = sizeof(prefix) + NAME_ROOM; /* we asked for no control data */

    memcpy(&prefix, data, sizeof(prefix));
    memcpy(&address, data + sizeof(prefix), sizeof(address));

    /* An AF_UNIX sender that is bound to nothing has no address: nowhere to send. Part of a
     * datagram is no echo either. */
    if ((prefix.nameLength <= sizeof(sa_family_t)) || (prefix.nameLength > NAME_ROOM) ||
        (prefix.flags & MSG_TRUNC)) {
        ReleaseFastBuffer(buffer);
        return 0;
    }
    return TransmitFastSocketBuffer(socket, (struct sockaddr*)&address, prefix.nameLength, buffer,
                                    offset, prefix.payloadLength, 0);
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    struct FastBuffer* buffer;
    int result;

    switch (event) {
    case POLLIN:
        while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
            /* -EAGAIN: too much is queued, and datagrams may get lost. */
            result = answer(socket, buffer);
            if ((result < 0) && (result != -EAGAIN))
                fprintf(stderr, "transmit: %s\n", strerror(-result));
        }
        break;

    case POLLERR:
        /* A datagram could not be sent or was refused. Others can. */
        fprintf(stderr, "datagram: %s\n", strerror(parameter));
        break;

    default:
        /* POLLOUT: nobody waits for it. POLLHUP: only when the ring is released before the
         * socket. */
        break;
    }
}

/* What is queued still leaves, in the background: GetFastRingPending tells when. */
static void stopServer(struct Server* server)
{
    ReleaseFastSocket(server->socket);
    server->socket = NULL;
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
    struct msghdr message = {.msg_namelen = NAME_ROOM};

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

    server->socket = CreateFastSocket(server->ring, server->provider, server->pool, server->pool,
                                      handle, &message, 0, FASTSOCKET_MODE_REGULAR, 0,
                                      handleSocketEvent, server);
    return server->socket != NULL;
}

/* Is there something to do, or to be waited for? */
static bool isBusy(const struct Server* server)
{
    return (server->socket != NULL) || (GetFastRingPending(server->ring) > 0);
}

int main(int count, char** arguments)
{
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1";
    const char* port = (count > 2) ? arguments[2] : "7000";
    struct Server server = {0};
    int handle;
    int result = -1;

    handle = openSocket(address, port, SOCK_DGRAM);
    if (handle < 0)
        return 1;

    server.signalHandle = openSignals();
    if ((server.signalHandle < 0) || !openServer(&server, handle)) {
        perror("udp-echo");
        close(handle); /* the socket is made last: it has not taken it over */
    } else {
        printListening(handle, address);

        /* Options take effect before the first datagram: that comes with the first turn. */
        result = SetFastSocketOption(server.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT,
                                     OUTBOUND_LIMIT);
        while ((result == 0) && (server.signalCount < 2) && isBusy(&server))
            result = WaitForFastRing(server.ring, UINT32_MAX, NULL);
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
