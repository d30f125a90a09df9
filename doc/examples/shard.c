/*
 * shard: a ring in each of several threads, all serving the same port.
 *
 *     cc shard.c -o shard $(pkg-config --cflags --libs fastsocket)
 *     ./shard [ADDRESS [THREADS]]               127.0.0.1:7000 and 4 by default; port 0 is any
 *
 * Says "shard NUMBER" to each connection and then sends back whatever it receives. See echo-server.c
 * first. New here:
 *
 * - A ring belongs to one thread, and so does all that lives on it. Nothing is shared by the threads
 *   of this program, so that there is nothing to lock.
 * - Each thread has a listening socket of its own on the same port (FASTLISTENER_REUSE_PORT): the
 *   kernel spreads the connections.
 * - Everything is made by the main thread and handed over: a ring belongs to the first thread that
 *   waits for it. When that thread has exited, any other may release it.
 * - An event is the one thing that another thread may touch: the main thread ends the others by it.
 *   (And every thread may have a ring call a function, by PostFastRingCall. But that needs memory, and
 *   an end should not.)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

enum
{
    MOST_SHARDS = 64,
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
    struct FastListener* listener; /* NULL when it has stopped */
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
        /* A failure is reported by POLLERR and POLLHUP. */
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

/* Returns false with errno; the handle is the caller's then. */
static bool openConnection(struct Shard* shard, int handle)
{
    struct Connection* connection = calloc(1, sizeof(*connection));
    char text[32];
    int length;

    if (connection == NULL)
        return false;
    connection->socket = OpenFastSocket(shard->ring, handle, FASTSOCKET_MODE_REGULAR,
                                        handleSocketEvent, connection);
    if (connection->socket == NULL) {
        free(connection);
        return false;
    }
    LIST_INSERT_HEAD(&shard->connections, connection, link);
    length = snprintf(text, sizeof(text), "shard %d\n", shard->number);
    TransmitFastSocketData(connection->socket, NULL, 0, text, (size_t)length, 0);
    return true;
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    if (handle < 0) {
        /* Without descriptors or memory: the listener waits and tries again. */
        fprintf(stderr, "accept: %s\n", strerror(-handle));
    } else if (!openConnection(closure, handle)) {
        perror("new connection");
        close(handle);
    }
}

/* Runs on the shard's thread, although the main thread has submitted the event. */
static void handleStop(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event;
    (void)parameter;
    stopShard(closure);
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
    stopShard(shard); /* again, in case the loop ended otherwise */

    /* All shards or none: in case we end unasked, the main thread is to know. It releases
     * the ring when we have exited. */
    kill(getpid(), SIGTERM);
    return NULL;
}

/* Small writes should leave at once, since the library gathers what belongs together: connections
 * have this from their listener. It is of TCP, and a mere hint: elsewhere it fails, and harms not. */
static void setNoDelay(int handle)
{
    int yes = 1;

    (void)!setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/* Makes all that a shard needs but its thread. Returns false with errno; releaseShard is needed in
 * either case. */
static bool openShard(struct Shard* shard, const char* address)
{
    shard->ring = CreateFastRing(0);
    if (shard->ring == NULL)
        return false;
    shard->event = CreateFastRingEvent(shard->ring, handleStop, shard);
    if (shard->event == NULL)
        return false;
    shard->listener = ListenFastSocket(shard->ring, address, FASTLISTENER_REUSE_PORT,
                                       handleConnection, shard);
    if (shard->listener == NULL)
        return false;
    setNoDelay(GetFastListenerHandle(shard->listener));
    return true;
}

/* Ends a shard whose thread was told to end, or has never run. */
static void releaseShard(struct Shard* shard)
{
    if (shard->running)
        pthread_join(shard->thread, NULL);
    else
        stopShard(shard);
    ReleaseFastRingEvent(shard->event);
    ReleaseFastRing(shard->ring);
}

/* With port 0 the first shard has got one, which the others are to share. Returns false with errno. */
static bool getAddress(struct FastListener* listener, char* text, size_t size)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    int result;

    if (getsockname(GetFastListenerHandle(listener), (struct sockaddr*)&name, &length) < 0)
        return false;
    result = FormatFastAddress((struct sockaddr*)&name, length, text, size);
    errno = -result;
    return result == 0;
}

/* Makes all shards, and only then starts the first thread. Returns false with errno. */
static bool startShards(struct Shard* shards, int shardCount, const char* address)
{
    char text[FASTSOCKET_ADDRESS_SIZE];

    for (int index = 0; index < shardCount; index++) {
        shards[index].number = index;
        if (!openShard(&shards[index], (index == 0) ? address : text))
            return false;
        if ((index == 0) && !getAddress(shards[0].listener, text, sizeof(text)))
            return false;
    }
    printf("listening on %s\n", text);
    fflush(stdout);

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
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1:7000";
    int shardCount = (count > 2) ? atoi(arguments[2]) : 4;
    static struct Shard shards[MOST_SHARDS];
    sigset_t signals;
    bool started;
    int number = 0;
    int result = 0;

    if ((shardCount < 1) || (shardCount > MOST_SHARDS) || (strncmp(address, "unix:", 5) == 0)) {
        fprintf(stderr, "usage: shard [ADDRESS [THREADS]]\n");
        return 1;
    }

    /* Blocked before there are threads: they inherit it, and only sigwait takes a signal. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    started = startShards(shards, shardCount, address);
    if (started)
        sigwait(&signals, &number);
    else
        perror(address);

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
