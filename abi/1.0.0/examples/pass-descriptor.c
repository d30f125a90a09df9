/*
 * pass-descriptor: receives and sends open descriptors (SCM_RIGHTS) on AF_UNIX stream connections.
 *
 *     cc pass-descriptor.c -o pass-descriptor $(pkg-config --cflags --libs fastsocket)
 *     ./pass-descriptor unix:PATH
 *
 * For each descriptor of a regular file that a client sends, it answers with the descriptor of a copy
 * in memory; for any other, with a reason alone. See echo-server.c and udp-echo.c first. New here:
 *
 * - Descriptors come in the control data of a message: the socket is made with a message header that
 *   tells how much room that takes, and a received buffer then starts with it.
 * - Who takes such a buffer owns the descriptors in it. In input that nobody takes, the library closes
 *   them.
 * - TransmitFastSocketMessage duplicates the descriptors in its control data at once, so that ours may
 *   be closed at once.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <Ring/FastSocket.h>

#include "plain-socket.h"

enum
{
    HANDLE_COUNT = 16, /* in one message; the kernel closes those that don't fit */
    CONTROL_ROOM = CMSG_SPACE(HANDLE_COUNT * sizeof(int)),
    COPY_LIMIT = 16 * 1024 * 1024, /* bytes */
    INBOUND_HIGH = 1024,           /* bytes of unread input: each may have a descriptor with it */
    BUFFER_COUNT = 64,
    BUFFER_LENGTH = 4096
};

/* How a received buffer starts: see udp-echo.c. */
struct Prefix
{
    uint32_t nameLength;
    uint32_t controlLength; /* as sent: may be more than there is room for */
    uint32_t payloadLength;
    uint32_t flags;
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
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastListener* listener;
    struct FastRingWatch* watch;
    struct ConnectionList connections;
    int signalHandle;
    int signalCount;
};

static void closeConnection(struct Connection* connection)
{
    ReleaseFastSocket(connection->socket);
    LIST_REMOVE(connection, link);
    free(connection);
}

/* Returns a copy in memory, or a negative errno. Only regular files: others could make us wait. */
static int copyFile(int handle)
{
    struct stat status;
    off_t offset = 0;
    ssize_t count = 0;
    int copy;
    int result;

    if (fstat(handle, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    if (status.st_size > COPY_LIMIT)
        return -EFBIG;

    copy = memfd_create("copy", MFD_CLOEXEC);
    if (copy < 0)
        return -errno;
    while ((offset < COPY_LIMIT) &&
           ((count = sendfile(copy, handle, &offset, (size_t)(COPY_LIMIT - offset))) > 0))
        ;
    if ((count == 0) || (offset >= COPY_LIMIT))
        return copy;
    result = -errno;
    close(copy);
    return result;
}

/* Sends a text and, unless it is negative, a descriptor, which stays ours. */
static int transmitHandle(struct FastSocket* socket, const char* text, int handle)
{
    struct iovec vector = {.iov_base = (void*)text, .iov_len = strlen(text)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    union
    {
        struct cmsghdr header; /* for its alignment */
        uint8_t room[CMSG_SPACE(sizeof(int))];
    } control = {0};

    if (handle >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &handle, sizeof(int));
    }
    return TransmitFastSocketMessage(socket, &message, 0);
}

/* Consumes the handle. Returns 0 or a negative errno. */
static int answerHandle(struct FastSocket* socket, int handle)
{
    char text[128];
    int copy = copyFile(handle);
    int result;

    close(handle);
    snprintf(text, sizeof(text), "%s\n", (copy < 0) ? strerror(-copy) : "copy");
    result = transmitHandle(socket, text, copy);
    if (copy >= 0)
        close(copy);
    return result;
}

/* Answers each descriptor in a received buffer, and consumes all of them in any case. */
static int answerBuffer(struct FastSocket* socket, struct FastBuffer* buffer)
{
    uint8_t* data = GetFastBufferData(buffer);
    struct msghdr message = {.msg_control = data + sizeof(struct Prefix)};
    struct Prefix prefix;
    int result = 0;

    /* We asked for no name, so that control data follows at once. */
    memcpy(&prefix, data, sizeof(prefix));
    message.msg_controllen = (prefix.controlLength < CONTROL_ROOM) ? prefix.controlLength : CONTROL_ROOM;

    for (struct cmsghdr* entry = CMSG_FIRSTHDR(&message); entry != NULL;
         entry = CMSG_NXTHDR(&message, entry)) {
        if ((entry->cmsg_level != SOL_SOCKET) || (entry->cmsg_type != SCM_RIGHTS))
            continue;
        for (size_t offset = 0; offset + sizeof(int) <= entry->cmsg_len - CMSG_LEN(0);
             offset += sizeof(int)) {
            int handle;

            memcpy(&handle, CMSG_DATA(entry) + offset, sizeof(int));
            if (result == 0)
                result = answerHandle(socket, handle);
            else
                close(handle);
        }
    }
    if ((result == 0) && (prefix.flags & MSG_CTRUNC))
        result = transmitHandle(socket, "some were lost\n", -1);
    return result;
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    struct FastBuffer* buffer;
    int result = 0;

    (void)parameter;
    switch (event) {
    case POLLIN:
        while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
            int status = answerBuffer(socket, buffer);

            ReleaseFastBuffer(buffer);
            result = (result == 0) ? status : result;
        }
        /* Each answer in the queue keeps a descriptor open: take no more before they have left. */
        if (GetFastSocketOutboundLength(socket) > 0)
            PauseFastSocket(socket);
        if ((result < 0) && (result != -EPIPE)) {
            fprintf(stderr, "transmit: %s\n", strerror(-result));
            closeConnection(GetFastSocketClosure(socket));
        }
        break;

    case POLLOUT:
        ResumeFastSocket(socket);
        break;

    case POLLHUP:
        closeConnection(GetFastSocketClosure(socket));
        break;

    default:
        break;
    }
}

static void stopServer(struct Server* server)
{
    ReleaseFastListener(server->listener);
    server->listener = NULL;
    while (!LIST_EMPTY(&server->connections))
        closeConnection(LIST_FIRST(&server->connections));
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    struct msghdr room = {.msg_controllen = CONTROL_ROOM};
    struct Server* server = closure;
    struct Connection* connection;

    (void)listener;
    if (handle < 0) {
        fprintf(stderr, "accept: %s\n", strerror(-handle));
        if (!isShortage(-handle))
            stopServer(server);
        return;
    }

    /* MSG_CMSG_CLOEXEC: received descriptors are closed when we start another program. */
    connection = calloc(1, sizeof(*connection));
    if (connection != NULL)
        connection->socket = CreateFastSocket(server->ring, server->provider, server->pool,
                                              server->pool, handle, &room, MSG_CMSG_CLOEXEC,
                                              FASTSOCKET_MODE_REGULAR, 0, handleSocketEvent,
                                              connection);
    if ((connection == NULL) || (connection->socket == NULL)) {
        perror("new connection");
        free(connection);
        close(handle);
        return;
    }
    LIST_INSERT_HEAD(&server->connections, connection, link);
    SetFastSocketOption(connection->socket, FASTSOCKET_OPTION_INBOUND_HIGH, INBOUND_HIGH);
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
    struct Server server = {0};
    int handle;
    int result = -1;

    if ((count != 2) || (getUnixPath(arguments[1]) == NULL)) {
        fprintf(stderr, "usage: pass-descriptor unix:PATH\n");
        return 1;
    }
    handle = openSocket(arguments[1], "0", SOCK_STREAM);
    if (handle < 0)
        return 1;

    server.signalHandle = openSignals();
    if ((server.signalHandle < 0) || !openServer(&server, handle)) {
        perror("pass-descriptor");
        close(handle);
    } else {
        printListening(handle, arguments[1]);
        do
            result = WaitForFastRing(server.ring, UINT32_MAX, NULL);
        while ((result == 0) && (server.signalCount < 2) && isBusy(&server));
        if (result < 0)
            fprintf(stderr, "ring: %s\n", strerror(-result));
    }

    stopServer(&server);
    RemoveFastRingWatch(server.watch);
    ReleaseFastRingBufferProvider(server.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(server.pool);
    ReleaseFastRing(server.ring);
    if (server.signalHandle >= 0)
        close(server.signalHandle);
    removeAddress(arguments[1]);
    return ((result == 0) && (server.signalCount > 0)) ? 0 : 1;
}
