/*
 * The library's contender: input is taken in the buffers that the kernel filled, and read where it
 * lies; each reply is transmitted as it is made, and the library gathers them.
 *
 * -x copy  bodies are copied, too (the usual way)
 * -x held  bodies are handed over in buffers that the server keeps
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <liburing.h>

#include <Ring/FastSocket.h>

#include "place.h"
#include "service.h"

enum
{
    OUTBOUND_LIMIT = 1024 * 1024 /* bytes queued at which we stop reading */
};

struct Connection
{
    struct Session session;
    struct FastSocket* socket;
    bool paused;
    /* Of the datagram that is being answered. */
    struct sockaddr* address;
    socklen_t addressLength;
};

static struct Place place;
static bool isHeld;
static struct FastRing* ring;
static struct FastBufferPool* pool;
static struct FastRingBufferProvider* provider;

/* A failed transmit means an end that POLLHUP tells, or no memory: then there is no way on. */
static void check(int result)
{
    if (result == -ENOMEM)
        die("transmit", result);
}

void say(struct Session* session, const void* data, size_t size)
{
    struct Connection* connection = (struct Connection*)session;

    check(TransmitFastSocketData(connection->socket, connection->address,
                                 connection->addressLength, data, size, 0));
}

void sayBody(struct Session* session, const struct Body* body)
{
    struct Connection* connection = (struct Connection*)session;

    if (isHeld)
        check(TransmitFastSocketBuffer(connection->socket, NULL, 0,
                                       HoldFastBuffer(GetFastBuffer(body->data)), 0, body->size,
                                       0));
    else
        say(session, body->data, body->size);
}

void endSession(struct Session* session)
{
    session->ended = true;
}

uint8_t* makeBody(size_t size)
{
    return GetFastBufferData(AllocateFastBuffer(pool, size, 0));
}

/* What is queued is still sent. */
static void closeConnection(struct Connection* connection)
{
    ReleaseFastSocket(connection->socket);
    closeSession(&connection->session);
    free(connection);
}

static void takeInput(struct Connection* connection)
{
    struct FastBuffer* buffer;

    while (!connection->paused && !connection->session.ended &&
           ((buffer = ReceiveFastSocketBuffer(connection->socket)) != NULL)) {
        feedSession(&connection->session, GetFastBufferData(buffer), GetFastBufferLength(buffer));
        ReleaseFastBuffer(buffer);
        if ((GetFastSocketOutboundLength(connection->socket) >= OUTBOUND_LIMIT) &&
            (PauseFastSocket(connection->socket) == 0))
            connection->paused = true;
    }
}

static void handleStream(struct FastSocket* socket, int event, int parameter)
{
    struct Connection* connection = GetFastSocketClosure(socket);

    (void)parameter;
    if (event == POLLIN)
        takeInput(connection);
    if ((event == POLLOUT) && connection->paused) {
        connection->paused = false;
        ResumeFastSocket(socket);
    }
    if ((event == POLLHUP) || connection->session.ended)
        closeConnection(connection);
}

static void handleDatagrams(struct FastSocket* socket, int event, int parameter)
{
    struct Connection* connection = GetFastSocketClosure(socket);
    struct msghdr* header = GetFastSocketMessageHeader(socket);
    struct FastBuffer* buffer;

    (void)parameter;
    if (event != POLLIN)
        return;
    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        int length = (int)GetFastBufferLength(buffer);
        struct io_uring_recvmsg_out* out =
            io_uring_recvmsg_validate(GetFastBufferData(buffer), length, header);

        connection->address = io_uring_recvmsg_name(out);
        connection->addressLength = out->namelen;
        feedSession(&connection->session, io_uring_recvmsg_payload(out, header),
                    io_uring_recvmsg_payload_length(out, length, header));
        ReleaseFastBuffer(buffer);
    }
}

static void serve(int handle)
{
    struct msghdr header = {.msg_namelen = sizeof(struct sockaddr_in)};
    bool datagrams = place.service->datagrams;
    struct Connection* connection = allocateOrDie(sizeof(*connection));

    *connection = (struct Connection){0};
    connection->socket =
        CreateFastSocket(ring, provider, pool, pool, handle, datagrams ? &header : NULL, 0,
                         FASTSOCKET_MODE_REGULAR, 0, datagrams ? handleDatagrams : handleStream,
                         connection);
    if (connection->socket == NULL)
        die("socket", errno);
    openSession(&connection->session, place.service);
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    (void)closure;
    if (handle < 0)
        die("accept", handle);
    serve(handle);
}

int main(int count, char** arguments)
{
    static const char* const variants[] = {"copy", "held", NULL};
    int handle;
    int result;

    place = beginPlace(count, arguments, variants);
    isHeld = isPlaceVariant(&place, "held");
    ring = CreateFastRing(0);
    if (ring == NULL)
        die("ring", errno);
    pool = CreateFastBufferPool(ring);
    provider = CreateFastRingBufferProvider(ring, 0, (uint16_t)place.count, place.length,
                                            AllocateRingFastBuffer, pool);
    if ((pool == NULL) || (provider == NULL))
        die("buffers", errno);

    handle = openPlace(&place);
    if (place.service->datagrams)
        serve(handle);
    else if (CreateFastListener(ring, handle, 0, handleConnection, NULL) == NULL)
        die("listener", errno);
    while ((result = WaitForFastRing(ring, UINT32_MAX, NULL)) == 0)
        continue;
    die("wait", result);
}
