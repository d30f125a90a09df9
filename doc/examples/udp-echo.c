/*
 * udp-echo: sends each datagram back to where it came from, on UDP or AF_UNIX datagram sockets.
 *
 *     cc udp-echo.c -o udp-echo $(pkg-config --cflags --libs fastsocket)
 *     ./udp-echo [ADDRESS]                      127.0.0.1:7000 by default; port 0 is any
 *
 * ADDRESS is numeric, as for ParseFastAddress: 127.0.0.1:7000, [::1]:7000, *:7000, unix:PATH.
 *
 * See echo-server.c first. New here:
 *
 * - One socket serves everybody, so each datagram must come with its sender's address: the socket
 *   is made with a message header that tells how much room that takes. And so it has a provider of
 *   its own, with buffers for the largest datagram.
 * - A received buffer then starts with that metadata, and the payload follows: we send the
 *   payload's part of the very same buffer.
 * - An error concerns one datagram, never the socket.
 * - Nobody listens, so that the descriptor is bound by plain calls. Its address is text all the same.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

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
    struct FastSocket* socket; /* NULL when we have stopped */
    struct FastRingSignal* interrupt;
    struct FastRingSignal* terminate;
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

/* What is queued still leaves, in the background: GetFastRingPending tells when. A second signal
 * ends the process at once. */
static void stopServer(struct Server* server)
{
    ReleaseFastSocket(server->socket);
    RemoveFastRingSignal(server->interrupt);
    RemoveFastRingSignal(server->terminate);
    server->socket = NULL;
    server->interrupt = server->terminate = NULL;
}

static void handleSignal(struct FastRingSignal* signal, int number, int code, int process, int value,
                         void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value;
    stopServer(closure);
}

/* Makes all that lives on a ring, of which the socket is the last: it has the descriptor on success
 * only. Returns false with errno; main() releases what was made. */
static bool openServer(struct Server* server, int handle)
{
    struct msghdr message = {.msg_namelen = NAME_ROOM};

    server->ring = CreateFastRing(0);
    if (server->ring == NULL)
        return false;
    server->interrupt = AddFastRingSignal(server->ring, SIGINT, handleSignal, server);
    server->terminate = AddFastRingSignal(server->ring, SIGTERM, handleSignal, server);
    server->pool = CreateFastBufferPool(server->ring);
    if ((server->interrupt == NULL) || (server->terminate == NULL) || (server->pool == NULL))
        return false;
    server->provider = CreateFastRingBufferProvider(server->ring, 0, BUFFER_COUNT, BUFFER_LENGTH,
                                                    AllocateRingFastBuffer, server->pool);
    if (server->provider == NULL)
        return false;
    server->socket = CreateFastSocket(server->ring, server->provider, server->pool, server->pool,
                                      handle, &message, 0, FASTSOCKET_MODE_REGULAR, 0,
                                      handleSocketEvent, server);
    return server->socket != NULL;
}

/* Returns a bound socket, or -1 with errno. name is what it is bound to, for removeName. */
static int bindSocket(const char* address, struct sockaddr_storage* name, socklen_t* length)
{
    int result = ParseFastAddress(address, name, length);
    int handle;

    if (result < 0) {
        errno = -result;
        return -1;
    }
    handle = socket(name->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (handle < 0)
        return -1;
    if (bind(handle, (struct sockaddr*)name, *length) < 0) {
        result = errno;
        close(handle);
        errno = result;
        return -1;
    }
    return handle;
}

/* What a socket of AF_UNIX leaves in the file system. An abstract name begins with a zero. */
static void removeName(const struct sockaddr_storage* name)
{
    const struct sockaddr_un* local = (const struct sockaddr_un*)name;

    if ((name->ss_family == AF_UNIX) && (local->sun_path[0] != '\0'))
        unlink(local->sun_path);
}

/* Tells the user, or a program that started us with port 0, where we are. */
static void printAddress(int handle)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    char text[FASTSOCKET_ADDRESS_SIZE];

    if ((getsockname(handle, (struct sockaddr*)&name, &length) == 0) &&
        (FormatFastAddress((struct sockaddr*)&name, length, text, sizeof(text)) == 0))
        printf("listening on %s\n", text);
    fflush(stdout);
}

int main(int count, char** arguments)
{
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1:7000";
    struct Server server = {0};
    struct sockaddr_storage name = {0};
    socklen_t length;
    int handle = bindSocket(address, &name, &length);
    int result = -1;

    if (handle < 0) {
        perror(address);
        return 1;
    }
    if (!openServer(&server, handle)) {
        perror("udp-echo");
        close(handle);
    } else {
        printAddress(handle);

        /* Options take effect before the first datagram: that comes with the first turn. */
        result = SetFastSocketOption(server.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT,
                                     OUTBOUND_LIMIT);
        while ((result == 0) && ((server.socket != NULL) || (GetFastRingPending(server.ring) > 0)))
            result = WaitForFastRing(server.ring, UINT32_MAX, NULL);
        if (result < 0)
            fprintf(stderr, "ring: %s\n", strerror(-result));
    }

    stopServer(&server); /* again, in case the loop ended otherwise */
    ReleaseFastRingBufferProvider(server.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(server.pool);
    ReleaseFastRing(server.ring);
    removeName(&name);
    return (result == 0) ? 0 : 1;
}
