/*
 * shard: a ring in each of several threads, all serving the same port.
 *
 *     cc shard.c -o shard $(pkg-config --cflags --libs fastsocket)
 *     ./shard [ADDRESS [PORT [THREADS]]]        127.0.0.1, 7000 and 4 by default; port 0 = any
 *
 * Says "shard NUMBER" to each connection and then sends back whatever it receives. See echo-server.c
 * first. New here:
 *
 * - A ring belongs to one thread, and so does all that lives on it. Nothing is shared by the threads
 *   of this program, so that there is nothing to lock.
 * - Each thread has a listening socket of its own on the same port (SO_REUSEPORT): the kernel spreads
 *   the connections.
 * - Everything is made by the main thread and handed over: a ring belongs to the first thread that
 *   waits for it.
 * - An event is the one thing that another thread may touch: the main thread ends the others by it.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <Ring/FastSocket.h>

#include "plain-socket.h"

enum
{
    MOST_SHARDS = 64,
    BUFFER_COUNT = 128,
    BUFFER_LENGTH = 16 * 1024,
    OUTBOUND_LIMIT = 1024 * 1024 /* bytes queued at which we stop reading from a connection */
};

struct Connection
{
    LIST_ENTRY(Connection)
    link;
    struct FastSocket* socket;
};

LIST_HEAD(ConnectionList, Connection);

struct Shard
{
    int number;
    int result;
    bool running;
    pthread_t thread;
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastListener* listener;
    struct FastRingEvent* event;
    struct ConnectionList connections;
};

static void closeConnection(struct Connection* connection)
{
    ReleaseFastSocket(connection->socket);
    LIST_REMOVE(connection, link);
    free(connection);
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    struct FastBuffer* buffer;

    (void)parameter;
    switch (event) {
    case POLLIN:
        /* A failure is told by POLLERR and POLLHUP. */
        while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL)
            TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, GetFastBufferLength(buffer), 0);
        if (GetFastSocketOutboundLength(socket) >= OUTBOUND_LIMIT)
            PauseFastSocket(socket);
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

static void stopShard(struct Shard* shard)
{
    ReleaseFastListener(shard->listener);
    shard->listener = NULL;
    while (!LIST_EMPTY(&shard->connections))
        closeConnection(LIST_FIRST(&shard->connections));
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Shard* shard = closure;
    struct Connection* connection;
    char text[32];
    int length;

    (void)listener;
    if (handle < 0) {
        fprintf(stderr, "accept: %s\n", strerror(-handle));
        if (!isShortage(-handle))
            stopShard(shard);
        return;
    }

    setNoDelay(handle);
    connection = calloc(1, sizeof(*connection));
    if (connection != NULL)
        connection->socket = CreateFastSocket(shard->ring, shard->provider, shard->pool, shard->pool,
                                              handle, NULL, 0, FASTSOCKET_MODE_REGULAR, 0,
                                              handleSocketEvent, connection);
    if ((connection == NULL) || (connection->socket == NULL)) {
        perror("new connection");
        free(connection);
        close(handle);
        return;
    }
    LIST_INSERT_HEAD(&shard->connections, connection, link);
    length = snprintf(text, sizeof(text), "shard %d\n", shard->number);
    TransmitFastSocketData(connection->socket, NULL, 0, text, (size_t)length, 0);
}

/* Runs on the shard's thread, although the main thread has submitted the event. */
static void handleEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    struct Shard* shard = closure;

    (void)event;
    (void)parameter;
    stopShard(shard);
}

/* The thread: from its first wait on, the ring is its own. */
static void* runShard(void* closure)
{
    struct Shard* shard = closure;

    do
        shard->result = WaitForFastRing(shard->ring, UINT32_MAX, NULL);
    while ((shard->result == 0) &&
           ((shard->listener != NULL) || (GetFastRingPending(shard->ring) > 0)));
    if (shard->result < 0)
        fprintf(stderr, "ring %d: %s\n", shard->number, strerror(-shard->result));

    /* The ring goes on its own thread. Its event stays behind as a shell that the main thread may
     * still submit, to no effect. */
    stopShard(shard);
    ReleaseFastRingBufferProvider(shard->provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(shard->pool);
    ReleaseFastRing(shard->ring);

    /* All shards or none: in case we end unasked, the main thread is to know. */
    kill(getpid(), SIGTERM);
    return NULL;
}

/* Returns a listening socket that shares its address with others of its kind, or -1 with errno. */
static int openShared(const struct sockaddr_storage* address, socklen_t length)
{
    int handle = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;
    int reason;

    if (handle < 0)
        return -1;
    if ((setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0) &&
        (setsockopt(handle, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) == 0) &&
        (bind(handle, (const struct sockaddr*)address, length) == 0) &&
        (listen(handle, SOMAXCONN) == 0))
        return handle;
    reason = errno;
    close(handle);
    errno = reason;
    return -1;
}

/* Makes all that a shard needs but its thread, and takes the handle over on success. Returns false
 * with errno; releaseShard is needed in either case. */
static bool openShard(struct Shard* shard, int handle)
{
    shard->ring = CreateFastRing(0);
    if (shard->ring == NULL)
        return false;

    shard->pool = CreateFastBufferPool(shard->ring);
    if (shard->pool == NULL)
        return false;

    shard->provider = CreateFastRingBufferProvider(shard->ring, 0, BUFFER_COUNT, BUFFER_LENGTH,
                                                   AllocateRingFastBuffer, shard->pool);
    if (shard->provider == NULL)
        return false;

    shard->event = CreateFastRingEvent(shard->ring, handleEvent, shard);
    if (shard->event == NULL)
        return false;

    shard->listener = CreateFastListener(shard->ring, handle, 0, handleConnection, shard);
    return shard->listener != NULL;
}

/* Ends a shard's thread, or what was made for one that has never run. */
static void releaseShard(struct Shard* shard)
{
    if (shard->running) {
        pthread_join(shard->thread, NULL);
    } else {
        stopShard(shard);
        ReleaseFastRingBufferProvider(shard->provider, ReleaseRingFastBuffer);
        ReleaseFastBufferPool(shard->pool);
        ReleaseFastRing(shard->ring);
    }
    ReleaseFastRingEvent(shard->event);
}

/* Makes all shards, and only then starts the first thread. Returns false with errno. */
static bool startShards(struct Shard* shards, int shardCount, struct sockaddr_storage* address,
                        socklen_t length, const char* name)
{
    for (int index = 0; index < shardCount; index++) {
        int handle = openShared(address, length);

        shards[index].number = index;
        if ((handle < 0) || !openShard(&shards[index], handle)) {
            if (handle >= 0)
                close(handle);
            return false;
        }
        /* With port 0, the first one tells the others which it is. */
        if ((index == 0) && (getsockname(handle, (struct sockaddr*)address, &length) < 0))
            return false;
        if (index == shardCount - 1)
            printListening(handle, name);
    }

    for (int index = 0; index < shardCount; index++) {
        errno = pthread_create(&shards[index].thread, NULL, runShard, &shards[index]);
        if (errno != 0)
            return false;
        shards[index].running = true;
    }
    return true;
}

int main(int count, char** arguments)
{
    const char* name = (count > 1) ? arguments[1] : "127.0.0.1";
    const char* port = (count > 2) ? arguments[2] : "7000";
    int shardCount = (count > 3) ? atoi(arguments[3]) : 4;
    static struct Shard shards[MOST_SHARDS];
    struct sockaddr_storage address;
    socklen_t length;
    sigset_t signals;
    bool started;
    int number = 0;
    int result = 0;

    if ((shardCount < 1) || (shardCount > MOST_SHARDS) || (getUnixPath(name) != NULL)) {
        fprintf(stderr, "usage: shard [ADDRESS [PORT [THREADS]]]\n");
        return 1;
    }
    if (findAddress(name, port, SOCK_STREAM, &address, &length) < 0)
        return 1;

    /* Blocked before there are threads: they inherit it, and only sigwait takes a signal. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    started = startShards(shards, shardCount, &address, length, name);
    if (started)
        sigwait(&signals, &number);
    else
        perror("shard");

    for (int index = 0; index < shardCount; index++)
        if (shards[index].running)
            SubmitFastRingEvent(shards[index].event, 0);
    for (int index = 0; index < shardCount; index++) {
        releaseShard(&shards[index]);
        if (shards[index].result < 0)
            result = shards[index].result;
    }
    return (started && (result == 0)) ? 0 : 1;
}
