/*
 * What the examples of a ring inside a foreign loop serve: text is announced to all connections, each
 * connection gets a tick in fixed intervals, and what a client sends comes back to it.
 *
 * Nothing here knows which loop runs the ring. Three things must work in any: completions (input),
 * timeouts (ticks), and work that is queued while no turn runs (announcements come from the foreign
 * loop's own handlers).
 */
#ifndef ANNOUNCE_H
#define ANNOUNCE_H

#include <stdlib.h>
#include <sys/queue.h>

#include <Ring/FastSocket.h>

#include "plain-socket.h"

enum
{
    ANNOUNCE_LIMIT = 256 * 1024 /* bytes queued at which a client misses what is announced */
};

struct AnnounceClient
{
    LIST_ENTRY(AnnounceClient)
    link;
    struct FastSocket* socket;
};

struct Announcer
{
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastListener* listener;
    struct FastRingTimeout* timeout;
    LIST_HEAD(, AnnounceClient)
    clients;
};

static inline void dismissClient(struct AnnounceClient* client)
{
    ReleaseFastSocket(client->socket);
    LIST_REMOVE(client, link);
    free(client);
}

static inline void handleClientEvent(struct FastSocket* socket, int event, int parameter)
{
    struct FastBuffer* buffer;

    (void)parameter;
    switch (event) {
    case POLLIN:
        /* A failure is told by POLLERR and POLLHUP. */
        while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL)
            TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, GetFastBufferLength(buffer), 0);
        if (GetFastSocketOutboundLength(socket) >= ANNOUNCE_LIMIT)
            PauseFastSocket(socket);
        break;

    case POLLOUT:
        ResumeFastSocket(socket);
        break;

    case POLLHUP:
        dismissClient(GetFastSocketClosure(socket));
        break;

    default:
        break;
    }
}

/* May be called at any time on the ring's thread, also when no turn runs: it is work queued then, and
 * GetFastRingInterval gives 0. */
static inline void announce(struct Announcer* announcer, const char* text, size_t length)
{
    struct AnnounceClient* client;

    LIST_FOREACH(client, &announcer->clients, link)
        if (GetFastSocketOutboundLength(client->socket) < ANNOUNCE_LIMIT)
            TransmitFastSocketData(client->socket, NULL, 0, text, length, 0);
}

static inline void handleTick(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    announce(closure, "tick\n", 5);
}

static inline void stopAnnouncer(struct Announcer* announcer)
{
    SetFastRingTimeout(NULL, announcer->timeout, -1, 0, NULL, NULL);
    announcer->timeout = NULL;
    ReleaseFastListener(announcer->listener);
    announcer->listener = NULL;
    while (!LIST_EMPTY(&announcer->clients))
        dismissClient(LIST_FIRST(&announcer->clients));
}

static inline void handleClient(struct FastListener* listener, int handle, void* closure)
{
    struct Announcer* announcer = closure;
    struct AnnounceClient* client;

    (void)listener;
    if (handle < 0) {
        fprintf(stderr, "accept: %s\n", strerror(-handle));
        if (!isShortage(-handle))
            stopAnnouncer(announcer);
        return;
    }

    client = calloc(1, sizeof(*client));
    if (client != NULL)
        client->socket = CreateFastSocket(announcer->ring, announcer->provider, announcer->pool,
                                          announcer->pool, handle, NULL, 0,
                                          FASTSOCKET_MODE_REGULAR, 0, handleClientEvent, client);
    if ((client == NULL) || (client->socket == NULL)) {
        perror("new connection");
        free(client);
        close(handle);
        return;
    }
    LIST_INSERT_HEAD(&announcer->clients, client, link);
    TransmitFastSocketData(client->socket, NULL, 0, "welcome\n", 8, 0);
}

/* Listens on handle; period is in milliseconds. Returns false with errno, and handle is the caller's
 * still; releaseAnnouncer is needed in either case. */
static inline bool openAnnouncer(struct Announcer* announcer, int handle, int period)
{
    announcer->ring = CreateFastRing(0);
    if (announcer->ring == NULL)
        return false;

    announcer->pool = CreateFastBufferPool(announcer->ring);
    if (announcer->pool == NULL)
        return false;

    announcer->provider = CreateFastRingBufferProvider(announcer->ring, 0, 64, 16 * 1024,
                                                       AllocateRingFastBuffer, announcer->pool);
    if (announcer->provider == NULL)
        return false;

    announcer->timeout = SetFastRingTimeout(announcer->ring, NULL, period, FASTRING_TIMEOUT_REPEAT,
                                            handleTick, announcer);
    if (announcer->timeout == NULL)
        return false;

    announcer->listener = CreateFastListener(announcer->ring, handle, 0, handleClient, announcer);
    return announcer->listener != NULL;
}

/* Is there something to do, or to be waited for? */
static inline bool isAnnouncerBusy(const struct Announcer* announcer)
{
    return (announcer->listener != NULL) || (GetFastRingPending(announcer->ring) > 0);
}

static inline void releaseAnnouncer(struct Announcer* announcer)
{
    stopAnnouncer(announcer);
    ReleaseFastRingBufferProvider(announcer->provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(announcer->pool);
    ReleaseFastRing(announcer->ring);
}

#endif
