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

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

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
    struct FastListener* listener; /* NULL when it has stopped */
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
        /* A failure is reported by POLLERR and POLLHUP. */
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
    RemoveFastRingTimeout(announcer->timeout);
    announcer->timeout = NULL;
    ReleaseFastListener(announcer->listener);
    announcer->listener = NULL;
    while (!LIST_EMPTY(&announcer->clients))
        dismissClient(LIST_FIRST(&announcer->clients));
}

/* Makes a socket of a descriptor, which stays the caller's if that fails. Returns false with errno. */
static inline bool addClient(struct Announcer* announcer, int handle)
{
    struct AnnounceClient* client = calloc(1, sizeof(*client));

    if (client == NULL)
        return false;
    client->socket = OpenFastSocket(announcer->ring, handle, FASTSOCKET_MODE_REGULAR,
                                    handleClientEvent, client);
    if (client->socket == NULL) {
        free(client);
        return false;
    }
    LIST_INSERT_HEAD(&announcer->clients, client, link);
    TransmitFastSocketData(client->socket, NULL, 0, "welcome\n", 8, 0);
    return true;
}

static inline void handleClient(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    if (handle < 0) {
        /* Without descriptors or memory: the listener waits and tries again. */
        fprintf(stderr, "accept: %s\n", strerror(-handle));
    } else if (!addClient(closure, handle)) {
        perror("new connection");
        close(handle);
    }
}

/* Listens at an address; period is in milliseconds. Returns false with errno; releaseAnnouncer is needed
 * in either case. */
static inline bool openAnnouncer(struct Announcer* announcer, const char* address, int period)
{
    announcer->ring = CreateFastRing(0);
    if (announcer->ring == NULL)
        return false;
    announcer->timeout = SetFastRingTimeout(announcer->ring, NULL, period, FASTRING_TIMEOUT_REPEAT,
                                            handleTick, announcer);
    if (announcer->timeout == NULL)
        return false;
    announcer->listener = ListenFastSocket(announcer->ring, address, 0, handleClient, announcer);
    return announcer->listener != NULL;
}

/* Tells the user, or a program that started us with port 0, where we listen. */
static inline void printAddress(struct FastListener* listener)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    char text[FASTSOCKET_ADDRESS_SIZE];

    if ((getsockname(GetFastListenerHandle(listener), (struct sockaddr*)&name, &length) == 0) &&
        (FormatFastAddress((struct sockaddr*)&name, length, text, sizeof(text)) == 0))
        printf("listening on %s\n", text);
    fflush(stdout);
}

/* Is there something to do, or to be waited for? */
static inline bool isAnnouncerBusy(const struct Announcer* announcer)
{
    return (announcer->listener != NULL) || (GetFastRingPending(announcer->ring) > 0);
}

static inline void releaseAnnouncer(struct Announcer* announcer)
{
    stopAnnouncer(announcer);
    ReleaseFastRing(announcer->ring);
}

#endif
