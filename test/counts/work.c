/*
 * Traffic that is counted: rounds of one kind, some to get warm, then as many as are asked for, and
 * then twice as many, so that what doesn't depend on their number cancels out.
 *
 * A round: the client writes to all connections; when all that has arrived, the server runs its
 * turns; when it has sent everything, the client reads it all.
 *
 * usage: work WORK CONNECTIONS ROUNDS
 */
#include "counted.h"

#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum
{
    WARM = 8,
    WARM_BURSTS = 40,
    BUFFERS = 1024,    /* of the provider */
    FEW_BUFFERS = 128, /* where there are few connections, so that it gets warm soon */
    FEW = 16,          /* these are many */
    MIDDLE = 16 * 1024,
    BODY = 256 * 1024,
    LARGE = 1024 * 1024,
};

static uint8_t sent[LARGE];
static uint8_t received[LARGE];

/* ---- the server ---- */

static struct Connection* connectionOf(struct FastSocket* socket)
{
    return GetFastSocketClosure(socket);
}

static void transmit(struct Connection* connection, const void* data, size_t size)
{
    NEED(TransmitFastSocketData(connection->socket, NULL, 0, data, size, 0) == 0);
    noteTransmit(connection);
}

static void handleSent(struct FastSocket* socket, int event, int parameter)
{
    (void)parameter;
    NEED(event == POLLOUT);
    noteSent(connectionOf(socket));
}

static void echoCopied(struct FastSocket* socket, int event, int parameter)
{
    static uint8_t data[MIDDLE];
    if (event != POLLIN) {
        handleSent(socket, event, parameter);
        return;
    }
    ssize_t size;
    while ((size = ReceiveFastSocketData(socket, data, sizeof(data), 0)) > 0) {
        transmit(connectionOf(socket), data, (size_t)size);
        world.messages++;
    }
}

static void echoHanded(struct FastSocket* socket, int event, int parameter)
{
    if (event != POLLIN) {
        handleSent(socket, event, parameter);
        return;
    }
    struct FastBuffer* buffer;
    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        NEED(TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, GetFastBufferLength(buffer),
                                      0) == 0);
        noteTransmit(connectionOf(socket));
        world.messages++;
    }
}

/* Each message by an operation of its own. */
static void echoByOperation(struct FastSocket* socket, int event, int parameter)
{
    if (event != POLLIN) {
        handleSent(socket, event, parameter);
        return;
    }
    struct FastBuffer* buffer;
    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        struct FastRingDescriptor* operation = AllocateFastRingDescriptor(world.ring, NULL, NULL);
        NEED(operation != NULL);
        io_uring_prep_send(GetFastRingDescriptorSubmission(operation), GetFastSocketHandle(socket),
                           GetFastBufferData(buffer), GetFastBufferLength(buffer), MSG_NOSIGNAL);
        NEED(TransmitFastSocketDescriptor(socket, operation, buffer) == 0);
        noteTransmit(connectionOf(socket));
        world.messages++;
    }
}

/* An answer to each small request, whose size is the work's. */
static size_t answer;

static void answerRequest(struct FastSocket* socket, int event, int parameter)
{
    uint8_t request[SMALL];
    if (event != POLLIN) {
        handleSent(socket, event, parameter);
        return;
    }
    NEED(ReceiveFastSocketData(socket, request, sizeof(request), 0) == SMALL);
    transmit(connectionOf(socket), sent, answer);
    world.messages++;
}

/* ---- rounds ---- */

static void readAndCheck(size_t size)
{
    for (size_t index = 0; index < world.count; index++) {
        memset(received, 0, size < SMALL ? size : SMALL);
        readAll(world.connections[index].client, received, size);
        NEED(memcmp(received, sent, size) == 0);
    }
}

static void echoRound(size_t size)
{
    for (size_t index = 0; index < world.count; index++)
        writeAll(world.connections[index].client, sent, size);
    awaitInput();
    runUntil(world.messages + world.count);
    readAndCheck(size);
}

static void echoSmall(void)
{
    echoRound(SMALL);
}

static void echoMiddle(void)
{
    echoRound(MIDDLE);
}

/* What the kernel has is waited for, however busy the machine is, so that how many turns there are
 * is no accident. For what the library has only turns help. */
static void readSent(struct Connection* connection)
{
    ssize_t got = 1;
    while (connection->left > 0 && got > 0) {
        bool isSent = GetFastSocketOutboundLength(connection->socket) == 0;
        got = recv(connection->client, received, sizeof(received), isSent ? 0 : MSG_DONTWAIT);
        NEED(got > 0 || !isSent);
        if (got > 0)
            connection->left -= (size_t)got;
    }
}

/* The client reads while the server sends: more than a connection holds. A turn doesn't wait long,
 * since the client may have to read first. */
static void drain(size_t size)
{
    size_t waiting = world.count;
    for (size_t index = 0; index < world.count; index++)
        world.connections[index].left = size;
    while (waiting > 0) {
        runTurn(1);
        waiting = 0;
        for (size_t index = 0; index < world.count; index++) {
            readSent(&world.connections[index]);
            waiting += world.connections[index].left > 0;
        }
    }
    runUntil(world.messages);
}

static void pauseTurns(void)
{
    for (int turn = 0; turn < 4; turn++)
        runTurn(0);
}

static void requestRound(void)
{
    for (size_t index = 0; index < world.count; index++)
        writeAll(world.connections[index].client, sent, SMALL);
    awaitInput();
    drain(answer);
    pauseTurns();
}

static void pushSmall(void)
{
    for (size_t index = 0; index < world.count; index++) {
        for (int message = 0; message < BURST; message++) {
            beginCalls();
            transmit(&world.connections[index], sent, SMALL);
            endCalls();
            world.messages++;
        }
    }
    runUntil(world.messages);
    for (size_t index = 0; index < world.count; index++)
        readAll(world.connections[index].client, received, SMALL * BURST);
}

static void pushLarge(void)
{
    for (size_t index = 0; index < world.count; index++) {
        beginCalls();
        transmit(&world.connections[index], sent, LARGE);
        endCalls();
        world.messages++;
    }
    drain(LARGE);
    pauseTurns();
}

/* ---- datagrams ---- */

/* Room for the address of each. */
static struct msghdr header = {.msg_namelen = sizeof(struct sockaddr_in)};

static void answerDatagram(struct Connection* connection, struct FastBuffer* buffer)
{
    int length = (int)GetFastBufferLength(buffer);
    struct io_uring_recvmsg_out* out =
        io_uring_recvmsg_validate(GetFastBufferData(buffer), length, &header);
    NEED(out != NULL);
    NEED(io_uring_recvmsg_payload_length(out, length, &header) == SMALL);
    NEED(TransmitFastSocketData(connection->socket, io_uring_recvmsg_name(out), out->namelen,
                                io_uring_recvmsg_payload(out, &header), SMALL, 0) == 0);
    noteTransmit(connection);
    world.messages++;
}

static void echoDatagrams(struct FastSocket* socket, int event, int parameter)
{
    struct FastBuffer* buffer;
    if (event != POLLIN) {
        handleSent(socket, event, parameter);
        return;
    }
    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        answerDatagram(connectionOf(socket), buffer);
        ReleaseFastBuffer(buffer);
    }
}

static void datagramRound(void)
{
    int client = world.connections[0].client;
    for (int message = 0; message < BURST; message++)
        writeAll(client, sent, SMALL);
    awaitInput();
    runUntil(world.messages + BURST);
    for (int message = 0; message < BURST; message++)
        readAll(client, received, SMALL);
}

static int bindDatagrams(struct sockaddr_in* address)
{
    socklen_t length = sizeof(*address);
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    NEED(handle >= 0);
    NEED(bind(handle, (struct sockaddr*)address, length) == 0);
    NEED(getsockname(handle, (struct sockaddr*)address, &length) == 0);
    return handle;
}

static void connectDatagrams(size_t count, HandleFastSocketEvent function)
{
    struct sockaddr_in ours, theirs;
    struct timeval limit = {.tv_sec = TURN_MS / 1000};
    int handle = bindDatagrams(&ours);
    int client = bindDatagrams(&theirs);
    NEED(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    NEED(count == 1);
    NEED(connect(client, (struct sockaddr*)&ours, sizeof(ours)) == 0);
    addConnection(handle, client, function, &header);
    noteTransmit(&world.connections[0]);
    runUntil(0);
}

/* ---- the works ---- */

struct Work
{
    const char* name;
    void (*connect)(size_t count, HandleFastSocketEvent function);
    HandleFastSocketEvent handler;
    void (*round)(void);
    size_t answer;
};

static const struct Work works[] = {
    {"echo-copied", connectAll, echoCopied, echoSmall, 0},
    {"echo-handed", connectAll, echoHanded, echoSmall, 0},
    {"echo-operation", connectAll, echoByOperation, echoSmall, 0},
    {"echo-16k", connectAll, echoCopied, echoMiddle, 0},
    {"udp", connectDatagrams, echoDatagrams, datagramRound, 0},
    {"push", connectAll, handleSent, pushSmall, 0},
    {"body", connectAll, answerRequest, requestRound, BODY},
    {"large", connectAll, handleSent, pushLarge, 0},
};

static const struct Work* findWork(const char* name)
{
    for (size_t index = 0; index < sizeof(works) / sizeof(*works); index++) {
        if (strcmp(works[index].name, name) == 0)
            return &works[index];
    }
    NEED(!"a work of that name");
    return NULL;
}

/* Until the provider has used each of its buffers twice, which at first are made and touched. A
 * burst of datagrams needs one more than those before it even after that, once. */
static long warmRounds(const struct Work* work, long buffers)
{
    if (work->handler == handleSent)
        return WARM;
    if (work->connect == connectAll)
        return WARM + 2 * buffers / (long)world.count;
    return WARM + WARM_BURSTS;
}

/* Page faults of the first part are all since the start: memory that is touched ahead counts. */
static void runRounds(const char* part, const struct Work* work, long rounds)
{
    static bool started;
    mark();
    struct Tally from = tallyNow();
    if (!started)
        from.faults = 0;
    started = true;
    for (long round = 0; round < rounds; round++)
        work->round();
    struct Tally to = tallyNow();
    printTally(part, &from, &to);
    printCalls();
}

int main(int argc, char** argv)
{
    NEED(argc == 4);
    const struct Work* work = findWork(argv[1]);
    size_t count = strtoul(argv[2], NULL, 10);
    long rounds = strtol(argv[3], NULL, 10);
    for (size_t index = 0; index < sizeof(sent); index++)
        sent[index] = (uint8_t)(index * 7 + index / 251);
    memset(received, 1, sizeof(received));
    answer = work->answer;
    long buffers = count < FEW ? FEW_BUFFERS : BUFFERS;
    openWorld(count, (uint16_t)buffers, MIDDLE);
    work->connect(count, work->handler);
    runRounds("warm", work, warmRounds(work, buffers));
    runRounds("once", work, rounds);
    runRounds("twice", work, 2 * rounds);
    mark();
    return 0;
}
