/*
 * The contender that this is about: the library, by its public functions alone.
 *
 * -x copy        input is read into memory and transmitted from there (the usual way)
 * -x buffer      the received buffers themselves are handed over
 * -x descriptor  the same, each with a prepared operation
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>

#include <Ring/FastSocket.h>

#include "server.h"

enum
{
    RING_LENGTH = 4096,
    COPY_LENGTH = 1024 * 1024
};

struct Connection
{
    struct Receipt* receipt;
    struct Push push;
};

static struct ServerOptions options;
static struct FastRing* ring;
static struct FastRingBufferProvider* provider;
static struct FastBufferPool* inbound;
static struct FastBufferPool* outbound;

/* ---- echo ---- */

static void echoByCopy(struct FastSocket* socket)
{
    static uint8_t data[COPY_LENGTH];
    ssize_t length;

    while ((length = ReceiveFastSocketData(socket, data, sizeof data, 0)) > 0) {
        if (TransmitFastSocketData(socket, NULL, 0, data, (size_t)length, 0) < 0)
            return;
    }
}

static void echoByBuffer(struct FastSocket* socket)
{
    struct FastBuffer* buffer;

    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        size_t length = GetFastBufferLength(buffer);
        if (TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, length, 0) < 0)
            return;
    }
}

static void echoByDescriptor(struct FastSocket* socket)
{
    struct FastBuffer* buffer;

    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, NULL, NULL);
        if (descriptor == NULL)
            die("AllocateFastRingDescriptor", errno);
        io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor),
                           GetFastSocketHandle(socket), GetFastBufferData(buffer),
                           GetFastBufferLength(buffer), MSG_NOSIGNAL);
        if (TransmitFastSocketDescriptor(socket, descriptor, buffer) < 0)
            return;
    }
}

static void (*echo)(struct FastSocket* socket) = echoByCopy;

/* ---- the other modes ---- */

static void discard(struct FastSocket* socket, struct Connection* connection)
{
    struct FastBuffer* buffer;

    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        noteReceived(connection->receipt, GetFastBufferData(buffer), GetFastBufferLength(buffer));
        ReleaseFastBuffer(buffer);
    }
}

static void pushBurst(struct FastSocket* socket, struct Push* push)
{
    const uint8_t* message;

    for (uint32_t i = 0; (i < push->burst) && ((message = nextMessage(push)) != NULL); i++) {
        int result = TransmitFastSocketData(socket, NULL, 0, message, push->size, 0);
        if (result < 0)
            die("TransmitFastSocketData", result);
    }
}

static void takeRequest(struct FastSocket* socket, struct Connection* connection)
{
    struct PushRequest request;
    ssize_t length = ReceiveFastSocketData(socket, &request, sizeof request, MSG_WAITALL);

    if (length <= 0)
        return;
    beginPush(&connection->push, &request, (size_t)length);
    pushBurst(socket, &connection->push);
}

/* A datagram's buffer begins with where it comes from. */
static void echoDatagrams(struct FastSocket* socket)
{
    struct msghdr* header = GetFastSocketMessageHeader(socket);
    bool copies = (echo == echoByCopy);
    struct FastBuffer* buffer;

    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        uint8_t* data = GetFastBufferData(buffer);
        int all = (int)GetFastBufferLength(buffer);
        struct io_uring_recvmsg_out* out = io_uring_recvmsg_validate(data, all, header);
        struct sockaddr* from = io_uring_recvmsg_name(out);
        uint8_t* payload = io_uring_recvmsg_payload(out, header);
        size_t length = io_uring_recvmsg_payload_length(out, all, header);
        if (copies) {
            TransmitFastSocketData(socket, from, out->namelen, payload, length, 0);
            ReleaseFastBuffer(buffer);
        } else {
            TransmitFastSocketBuffer(socket, from, out->namelen, buffer, (size_t)(payload - data),
                                     length, 0);
        }
    }
}

/* ---- events ---- */

static void takeInput(struct FastSocket* socket, struct Connection* connection)
{
    switch (options.mode) {
    case SERVER_ECHO:
        echo(socket);
        break;
    case SERVER_DISCARD:
        discard(socket, connection);
        break;
    case SERVER_PUSH:
        takeRequest(socket, connection);
        break;
    case SERVER_DATAGRAMS:
        echoDatagrams(socket);
        break;
    }
}

static void closeConnection(struct FastSocket* socket, struct Connection* connection)
{
    if (connection->receipt != NULL)
        TransmitFastSocketData(socket, NULL, 0, connection->receipt, sizeof *connection->receipt,
                               0);
    ReleaseFastSocket(socket);
    endPush(&connection->push);
    free(connection->receipt);
    free(connection);
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Connection* connection = GetFastSocketClosure(socket);

    (void)parameter;
    if (event == POLLIN)
        takeInput(socket, connection);
    else if ((event == POLLOUT) && (connection != NULL))
        pushBurst(socket, &connection->push);
    else if ((event == POLLHUP) && (connection != NULL))
        closeConnection(socket, connection);
}

static void serve(int handle, struct msghdr* message, struct Connection* connection)
{
    if (CreateFastSocket(ring, provider, inbound, outbound, handle, message, 0,
                         FASTSOCKET_MODE_REGULAR, 0, handleSocketEvent, connection) == NULL)
        die("CreateFastSocket", errno);
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Connection* connection = allocateOrDie(sizeof *connection);

    (void)listener;
    (void)closure;
    if (handle < 0)
        die("accept", handle);
    *connection = (struct Connection){.receipt = createReceipt(&options)};
    serve(handle, NULL, connection);
}

static void createRing(void)
{
    ring = CreateFastRing(RING_LENGTH);
    if (ring == NULL)
        die("CreateFastRing", errno);
    if (options.spin > 0)
        SetFastRingOption(ring, FASTRING_OPTION_SPIN, options.spin);
    inbound = CreateFastBufferPool(ring);
    outbound = CreateFastBufferPool(ring);
    provider = CreateFastRingBufferProvider(ring, 0, (uint16_t)options.count, options.length,
                                            AllocateRingFastBuffer, inbound);
    if ((inbound == NULL) || (outbound == NULL) || (provider == NULL))
        die("buffers", errno);
}

int main(int count, char** arguments)
{
    static const char* const variants[] = {"copy", "buffer", "descriptor", NULL};
    struct msghdr message = {.msg_namelen = sizeof(struct sockaddr_in)};
    int handle;
    int result;

    options = beginServer(count, arguments, variants);
    if (isVariant(&options, "buffer"))
        echo = echoByBuffer;
    else if (isVariant(&options, "descriptor"))
        echo = echoByDescriptor;
    createRing();
    handle = openServer(&options);
    if (options.mode == SERVER_DATAGRAMS)
        serve(handle, &message, NULL);
    else if (CreateFastListener(ring, handle, 0, handleConnection, NULL) == NULL)
        die("CreateFastListener", errno);
    while ((result = WaitForFastRing(ring, UINT32_MAX, NULL)) == 0)
        continue;
    die("WaitForFastRing", result);
}
