/*
 * What sockets cost that do nothing: their memory, and the instructions that make and release them.
 *
 * usage: sockets idle COUNT      bytes of each: just made; and when all have echoed at once, and
 *                                there was nothing to do for a while
 *        sockets release COUNT   parts for callgrind: making them, an echo of each, and releasing
 *                                them all at once; and the system calls of the first and the last
 *        sockets accept COUNT    the system calls of connections that come one by one to a
 *                                listener, which makes a socket of each
 */
#include "counted.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum
{
    BUFFERS = 64, /* so that the first connections use each */
    LENGTH = 2048,
    TOGETHER = 64,    /* connections that talk in a turn, however many there are */
    SPARE = 64,       /* descriptors that are no connection's */
    REST_TURNS = 200, /* with nothing to do */
    REST_NS = 100000000,
};

/* ---- connections ---- */

static void rest(void)
{
    for (int turn = 0; turn < REST_TURNS; turn++) {
        passTime(REST_NS);
        runTurn(0);
    }
}

static uint8_t data[SMALL];

static void echo(struct FastSocket* socket, int event, int parameter)
{
    (void)parameter;
    struct Connection* connection = GetFastSocketClosure(socket);
    if (event == POLLOUT)
        noteSent(connection);
    if (event != POLLIN)
        return;
    ssize_t size = ReceiveFastSocketData(socket, data, sizeof(data), 0);
    NEED(size == SMALL);
    NEED(TransmitFastSocketData(socket, NULL, 0, data, (size_t)size, 0) == 0);
    noteTransmit(connection);
    world.messages++;
}

/* Each connection of a range echoes once, so many at a time. */
static void echoOnce(size_t from, size_t to, size_t together)
{
    for (; from < to; from += together) {
        size_t end = from + together < to ? from + together : to;
        for (size_t index = from; index < end; index++)
            writeAll(world.connections[index].client, data, SMALL);
        runUntil(world.messages + (end - from));
        for (size_t index = from; index < end; index++)
            readAll(world.connections[index].client, data, SMALL);
    }
}

/* What the descriptors allow, two a connection. */
static size_t atMost(size_t count)
{
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    size_t most = (size_t)(limit.rlim_max - SPARE) / 2;
    return count < most ? count : most;
}

/* The first connections bring memory that all share, and don't count. */
static void runIdle(size_t count)
{
    size_t all = atMost(count + TOGETHER);
    openWorld(all, BUFFERS, LENGTH);
    connectAll(TOGETHER, echo);
    for (int round = 0; round < 4; round++)
        echoOnce(0, TOGETHER, TOGETHER);
    rest();
    count = all - TOGETHER;
    int64_t before = memoryNow().bytes;
    connectAll(all, echo);
    int64_t made = memoryNow().bytes;
    echoOnce(TOGETHER, all, all);
    rest();
    int64_t echoed = memoryNow().bytes;
    printf("part idle count %zu made %lld echoed %lld\n", count, (long long)(made - before),
           (long long)(echoed - before));
}

/* Their peers close when they hear of the end. */
static void endClients(void)
{
    for (size_t index = 0; index < world.count; index++) {
        struct Connection* connection = &world.connections[index];
        if (connection->client >= 0 && recv(connection->client, data, SMALL, MSG_DONTWAIT) == 0) {
            close(connection->client);
            connection->client = -1;
        }
    }
}

/* What has been counted since the last time. */
static void printPart(const char* name)
{
    printf("part %s\n", name);
    fflush(stdout); /* before what calls.c prints */
    printCalls();
}

static void runRelease(size_t count)
{
    openWorld(count, BUFFERS, LENGTH);
    mark();
    connectAll(count, echo);
    mark();
    printPart("make");
    echoOnce(0, count, TOGETHER);
    printPart("echo");
    mark();
    beginCalls();
    for (size_t index = 0; index < count; index++)
        ReleaseFastSocket(world.connections[index].socket);
    endCalls();
    while (GetFastRingPending(world.ring) > 0) {
        runTurn(1);
        endClients();
    }
    mark();
    printPart("release");
}

/* ---- a listener ---- */

static void takeConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)closure;
    NEED(listener != NULL && handle >= 0);
    struct Connection* connection = &world.connections[world.count++];
    *connection = (struct Connection){.handle = handle};
    connection->socket =
        CreateFastSocket(world.ring, world.provider, world.pool, world.pool, handle, NULL, 0,
                         FASTSOCKET_MODE_REGULAR, 0, echo, connection);
    NEED(connection->socket != NULL);
    world.messages++;
}

static int listenAnywhere(struct sockaddr_in* address)
{
    socklen_t length = sizeof(*address);
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    NEED(handle >= 0 && bind(handle, (struct sockaddr*)address, length) == 0);
    NEED(listen(handle, 1) == 0);
    NEED(getsockname(handle, (struct sockaddr*)address, &length) == 0);
    return handle;
}

static void runAccept(size_t count)
{
    struct sockaddr_in address;
    openWorld(count, BUFFERS, LENGTH);
    int handle = listenAnywhere(&address);
    NEED(CreateFastListener(world.ring, handle, 0, takeConnection, NULL) != NULL);
    runTurn(0);
    runTurn(0);
    printPart("start");
    for (size_t index = 0; index < count; index++) {
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        NEED(client >= 0 && connect(client, (struct sockaddr*)&address, sizeof(address)) == 0);
        runUntil(world.messages + 1);
    }
    printPart("accept");
}

int main(int argc, char** argv)
{
    NEED(argc == 3);
    size_t count = strtoul(argv[2], NULL, 10);
    if (strcmp(argv[1], "idle") == 0)
        runIdle(count);
    else if (strcmp(argv[1], "accept") == 0)
        runAccept(count);
    else
        runRelease(count);
    return 0;
}
