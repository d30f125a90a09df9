/*
 * workers: what is received is worked on by a pool of threads, and the answers are sent by the loop.
 *
 *     cc workers.c -o workers $(pkg-config --cflags --libs fastsocket)
 *     ./workers [ADDRESS [PORT [THREADS]]]      127.0.0.1, 7000 and 4 by default; port 0 = any
 *
 * Sends back whatever it receives in hexadecimal, which stands for any work that takes too long for
 * the loop. See echo-server.c first. New here:
 *
 * - Sockets belong to the ring's thread; buffers don't. A received buffer is handed to a worker, which
 *   reads it, makes another one for the answer, and releases the first.
 * - Workers never touch a socket. They leave the answer in a list and submit an event, whose function
 *   runs on the ring's thread and transmits.
 * - Workers end in any order: each connection keeps its jobs in the order of its input, and answers go
 *   out from the front.
 * - A connection that is broken lives until the last of its jobs is back.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <Ring/FastSocket.h>

#include "plain-socket.h"

enum
{
    MOST_WORKERS = 64,
    BUFFER_COUNT = 256,
    BUFFER_LENGTH = 16 * 1024,
    JOB_LIMIT = 16,             /* jobs of a connection at which we stop reading from it */
    OUTBOUND_LIMIT = 512 * 1024 /* the same for bytes queued */
};

struct Job
{
    STAILQ_ENTRY(Job)
    connectionLink; /* the ring's thread only */
    STAILQ_ENTRY(Job)
    link; /* waiting or done: under the lock */
    struct Connection* connection;
    struct FastBuffer* input;  /* the worker's */
    struct FastBuffer* answer; /* NULL if there was no memory */
    bool done;                 /* the ring's thread only */
};

STAILQ_HEAD(JobQueue, Job);

struct Connection
{
    LIST_ENTRY(Connection)
    link;
    struct Server* server;
    struct FastSocket* socket; /* NULL when broken */
    struct JobQueue jobs;
    int jobCount;
    bool paused;
    bool ended; /* no more input: the last answer is the end */
};

LIST_HEAD(ConnectionList, Connection);

struct Server
{
    struct FastRing* ring;
    struct FastBufferPool* inbound;
    struct FastBufferPool* outbound;
    struct FastRingBufferProvider* provider;
    struct FastListener* listener;
    struct FastRingWatch* watch;
    struct FastRingEvent* event;
    struct ConnectionList connections;
    int signalHandle;
    int signalCount;

    /* What threads share. */
    pthread_mutex_t lock;
    pthread_cond_t condition;
    struct JobQueue waiting;
    struct JobQueue done;
    bool stopping;
    pthread_t threads[MOST_WORKERS];
    int threadCount;
};

/* ---- the workers' side ---------------------------------------------------------------------- */

/* The work: two digits for each byte. Any thread may allocate, and release. */
static struct FastBuffer* convert(struct FastBufferPool* pool, struct FastBuffer* input)
{
    static const char digits[] = "0123456789abcdef";
    size_t length = GetFastBufferLength(input);
    struct FastBuffer* answer = AllocateFastBuffer(pool, 2 * length, 0);
    const uint8_t* source = GetFastBufferData(input);
    uint8_t* target;

    if (answer == NULL)
        return NULL;
    target = GetFastBufferData(answer);
    for (size_t index = 0; index < length; index++) {
        *target++ = (uint8_t)digits[source[index] >> 4];
        *target++ = (uint8_t)digits[source[index] & 15];
    }
    SetFastBufferLength(answer, 2 * length);
    return answer;
}

/* A thread. Jobs that still wait when the server stops stay where they are. */
static void* runWorker(void* closure)
{
    struct Server* server = closure;
    struct Job* job;

    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        job = STAILQ_FIRST(&server->waiting);
        if (job == NULL) {
            pthread_cond_wait(&server->condition, &server->lock);
            continue;
        }
        STAILQ_REMOVE_HEAD(&server->waiting, link);
        pthread_mutex_unlock(&server->lock);

        job->answer = convert(server->outbound, job->input);
        ReleaseFastBuffer(job->input);
        job->input = NULL;

        pthread_mutex_lock(&server->lock);
        STAILQ_INSERT_TAIL(&server->done, job, link);
        /* Submits may merge: the function takes all that is done. */
        SubmitFastRingEvent(server->event, 0);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

/* ---- the ring's side ------------------------------------------------------------------------ */

/* Ends a connection's socket now, and the connection itself when no worker has a job of it. */
static void closeConnection(struct Connection* connection)
{
    ReleaseFastSocket(connection->socket);
    connection->socket = NULL;
    if (connection->jobCount > 0)
        return;
    LIST_REMOVE(connection, link);
    free(connection);
}

static void freeJob(struct Job* job)
{
    STAILQ_REMOVE_HEAD(&job->connection->jobs, connectionLink);
    job->connection->jobCount--;
    ReleaseFastBuffer(job->input);
    ReleaseFastBuffer(job->answer);
    free(job);
}

/* Reading goes on when there is room for more jobs and more output. */
static void balance(struct Connection* connection)
{
    bool full = (connection->jobCount >= JOB_LIMIT) ||
                (GetFastSocketOutboundLength(connection->socket) >= OUTBOUND_LIMIT);

    if (connection->ended)
        return;
    if (full && !connection->paused)
        connection->paused = PauseFastSocket(connection->socket) == 0;
    else if (!full && connection->paused)
        connection->paused = ResumeFastSocket(connection->socket) != 0;
}

/* Sends what is done at the front. The connection may be gone afterwards. */
static void sendAnswers(struct Connection* connection)
{
    struct Job* job;

    while (((job = STAILQ_FIRST(&connection->jobs)) != NULL) && job->done) {
        if ((connection->socket != NULL) && (job->answer == NULL)) {
            /* A hole in the answers would be worse than their end. */
            AbortFastSocket(connection->socket);
            connection->socket = NULL;
        }
        if (connection->socket != NULL) {
            TransmitFastSocketBuffer(connection->socket, NULL, 0, job->answer, 0,
                                     GetFastBufferLength(job->answer), 0);
            job->answer = NULL; /* consumed in every case */
        }
        freeJob(job);
    }

    if ((connection->jobCount == 0) && (connection->ended || (connection->socket == NULL)))
        closeConnection(connection);
    else if (connection->socket != NULL)
        balance(connection);
}

/* Runs on the ring's thread after workers have submitted the event. */
static void handleDone(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    struct Server* server = closure;
    struct JobQueue done = STAILQ_HEAD_INITIALIZER(done);
    struct Job* job;

    (void)event;
    (void)parameter;
    pthread_mutex_lock(&server->lock);
    STAILQ_CONCAT(&done, &server->done);
    pthread_mutex_unlock(&server->lock);

    while ((job = STAILQ_FIRST(&done)) != NULL) {
        STAILQ_REMOVE_HEAD(&done, link);
        job->done = true;
        sendAnswers(job->connection); /* frees none that is in the list still: those aren't done */
    }
}

/* Takes all input, and gives it to the workers. Returns false for want of memory. */
static bool postJobs(struct Connection* connection)
{
    struct Server* server = connection->server;
    struct FastBuffer* buffer;

    while ((buffer = ReceiveFastSocketBuffer(connection->socket)) != NULL) {
        struct Job* job = calloc(1, sizeof(*job));

        if (job == NULL) {
            ReleaseFastBuffer(buffer);
            return false;
        }
        job->connection = connection;
        job->input = buffer;
        connection->jobCount++;
        STAILQ_INSERT_TAIL(&connection->jobs, job, connectionLink);

        pthread_mutex_lock(&server->lock);
        STAILQ_INSERT_TAIL(&server->waiting, job, link);
        pthread_cond_signal(&server->condition);
        pthread_mutex_unlock(&server->lock);
    }
    return true;
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Connection* connection = GetFastSocketClosure(socket);

    switch (event) {
    case POLLIN:
        if (postJobs(connection))
            balance(connection);
        else
            closeConnection(connection);
        break;

    case POLLOUT:
        balance(connection);
        break;

    case POLLHUP:
        /* The end of input still has answers to come; a broken connection has none. */
        connection->ended = true;
        if ((parameter != 0) || (connection->jobCount == 0))
            closeConnection(connection);
        break;

    default:
        break;
    }
}

/* Takes no more input. The answers to what we have are still sent. */
static void stopServer(struct Server* server)
{
    struct Connection* connection = LIST_FIRST(&server->connections);

    ReleaseFastListener(server->listener);
    server->listener = NULL;
    while (connection != NULL) {
        struct Connection* next = LIST_NEXT(connection, link);

        connection->ended = true;
        if (connection->jobCount == 0)
            closeConnection(connection);
        else if ((connection->socket != NULL) && !connection->paused)
            connection->paused = PauseFastSocket(connection->socket) == 0;
        connection = next;
    }
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Server* server = closure;
    struct Connection* connection;

    (void)listener;
    if (handle < 0) {
        fprintf(stderr, "accept: %s\n", strerror(-handle));
        if (!isShortage(-handle))
            stopServer(server);
        return;
    }

    setNoDelay(handle);
    connection = calloc(1, sizeof(*connection));
    if (connection != NULL)
        connection->socket = CreateFastSocket(server->ring, server->provider, server->inbound,
                                              server->outbound, handle, NULL, 0,
                                              FASTSOCKET_MODE_REGULAR, 0, handleSocketEvent,
                                              connection);
    if ((connection == NULL) || (connection->socket == NULL)) {
        perror("new connection");
        free(connection);
        close(handle);
        return;
    }
    connection->server = server;
    STAILQ_INIT(&connection->jobs);
    LIST_INSERT_HEAD(&server->connections, connection, link);
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

/* Makes all that lives on a ring, and the threads. Returns false with errno; main() releases what was
 * made. */
static bool openServer(struct Server* server, int handle, int threadCount)
{
    server->ring = CreateFastRing(0);
    if (server->ring == NULL)
        return false;

    server->inbound = CreateFastBufferPool(server->ring);
    server->outbound = CreateFastBufferPool(server->ring);
    if ((server->inbound == NULL) || (server->outbound == NULL))
        return false;

    server->provider = CreateFastRingBufferProvider(server->ring, 0, BUFFER_COUNT, BUFFER_LENGTH,
                                                    AllocateRingFastBuffer, server->inbound);
    server->event = CreateFastRingEvent(server->ring, handleDone, server);
    if ((server->provider == NULL) || (server->event == NULL))
        return false;

    server->watch = AddFastRingWatch(server->ring, server->signalHandle, POLLIN, 0, handleSignal,
                                     server);
    if (server->watch == NULL)
        return false;

    while (server->threadCount < threadCount) {
        errno = pthread_create(&server->threads[server->threadCount], NULL, runWorker, server);
        if (errno != 0)
            return false;
        server->threadCount++;
    }

    server->listener = CreateFastListener(server->ring, handle, 0, handleConnection, server);
    return server->listener != NULL;
}

/* Is there something to do, or to be waited for? */
static bool isBusy(const struct Server* server)
{
    return (server->listener != NULL) || !LIST_EMPTY(&server->connections) ||
           (GetFastRingPending(server->ring) > 0);
}

/* After this no worker submits the event, and what they had not begun is dropped. */
static void releaseWorkers(struct Server* server)
{
    struct Connection* connection;

    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_broadcast(&server->condition);
    pthread_mutex_unlock(&server->lock);
    for (int index = 0; index < server->threadCount; index++)
        pthread_join(server->threads[index], NULL);

    while ((connection = LIST_FIRST(&server->connections)) != NULL) {
        while (!STAILQ_EMPTY(&connection->jobs))
            freeJob(STAILQ_FIRST(&connection->jobs));
        closeConnection(connection);
    }
}

int main(int count, char** arguments)
{
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1";
    const char* port = (count > 2) ? arguments[2] : "7000";
    int threadCount = (count > 3) ? atoi(arguments[3]) : 4;
    struct Server server = {.lock = PTHREAD_MUTEX_INITIALIZER, .condition = PTHREAD_COND_INITIALIZER};
    int handle;
    int result = -1;

    if ((threadCount < 1) || (threadCount > MOST_WORKERS)) {
        fprintf(stderr, "usage: workers [ADDRESS [PORT [THREADS]]]\n");
        return 1;
    }
    STAILQ_INIT(&server.waiting);
    STAILQ_INIT(&server.done);
    handle = openSocket(address, port, SOCK_STREAM);
    if (handle < 0)
        return 1;

    /* Signals are blocked here, before there are threads that could get them. */
    server.signalHandle = openSignals();
    if ((server.signalHandle < 0) || !openServer(&server, handle, threadCount)) {
        perror("workers");
        close(handle);
    } else {
        printListening(handle, address);
        do
            result = WaitForFastRing(server.ring, UINT32_MAX, NULL);
        while ((result == 0) && (server.signalCount < 2) && isBusy(&server));
        if (result < 0)
            fprintf(stderr, "ring: %s\n", strerror(-result));
    }

    stopServer(&server);
    releaseWorkers(&server);
    ReleaseFastRingEvent(server.event);
    RemoveFastRingWatch(server.watch);
    ReleaseFastRingBufferProvider(server.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(server.inbound);
    ReleaseFastBufferPool(server.outbound);
    ReleaseFastRing(server.ring);
    if (server.signalHandle >= 0)
        close(server.signalHandle);
    removeAddress(address);
    return ((result == 0) && (server.signalCount > 0)) ? 0 : 1;
}
