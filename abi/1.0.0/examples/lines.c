/*
 * lines: talks to a server line by line, with the functions of <stdio.h>.
 *
 *     cc lines.c -o lines $(pkg-config --cflags --libs fastsocket)
 *     ./lines ADDRESS PORT                      sends the standard input
 *     ./lines ADDRESS PORT LINE...              sends these lines
 *
 * ADDRESS may be unix:PATH (the port is ignored, yet must be given). What the server says is printed in
 * whole lines, until it ends the connection.
 *
 * See echo-server.c first. New here:
 *
 * - A socket as a FILE*: getline reads from its input queue, fprintf and fwrite add to its output
 *   queue. Nothing waits, and small writes leave together when the turn ends.
 * - "No data yet" is EAGAIN, and a line that has come in part is read in part: we keep the part.
 * - The standard input is no socket of ours, so a watch tells when it can be read.
 * - When the server takes nothing, we stop reading our own input, so that memory stays bounded.
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include <Ring/FastSocket.h>

#include "plain-socket.h"

enum
{
    BUFFER_COUNT = 64,
    BUFFER_LENGTH = 16 * 1024,
    OUTBOUND_LIMIT = 256 * 1024, /* bytes queued at which we stop reading the standard input */
    LINE_LIMIT = 1024 * 1024     /* bytes of a line at which we print it although it goes on */
};

struct Client
{
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastRingWatch* watch; /* of the standard input; NULL when that is over */
    struct FastSocket* socket;
    FILE* stream; /* owns the socket; NULL when the conversation is over */
    char* line;   /* what has come of the next line */
    size_t length;
    bool paused;
    bool failed;
};

/* Adds a piece to the line; prints the line if it is whole. */
static void addPiece(struct Client* client, const char* piece, size_t length)
{
    char* line = realloc(client->line, client->length + length);

    if (line == NULL) {
        perror("line");
        exit(1);
    }
    memcpy(line + client->length, piece, length);
    client->line = line;
    client->length += length;
    if ((line[client->length - 1] == '\n') || (client->length >= LINE_LIMIT)) {
        fwrite(line, 1, client->length, stdout);
        client->length = 0;
    }
}

/* Reads until there is nothing more for now, or for ever: the events tell which. */
static void readLines(struct Client* client)
{
    char* piece = NULL;
    size_t size = 0;
    ssize_t length;

    clearerr(client->stream); /* getline gives nothing while the last "no data yet" is noted */
    while ((length = getline(&piece, &size, client->stream)) > 0)
        addPiece(client, piece, (size_t)length);
    free(piece);
    fflush(stdout);
}

/* Ends the conversation: the stream owns the socket, which still sends what is queued and closes. Its
 * handler isn't called again. */
static void closeClient(struct Client* client)
{
    RemoveFastRingWatch(client->watch);
    client->watch = NULL;
    if (client->stream != NULL)
        fclose(client->stream);
    client->stream = NULL;
    client->socket = NULL;
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Client* client = GetFastSocketClosure(socket);

    switch (event) {
    case POLLIN:
        readLines(client);
        break;

    case POLLOUT:
        /* The kernel has accepted all that was queued. */
        if (client->paused && (client->watch != NULL))
            UpdateFastRingWatch(client->watch, POLLIN);
        client->paused = false;
        break;

    case POLLERR:
        /* Also when connecting has failed. Act here: POLLHUP follows only if it didn't come before. */
        fprintf(stderr, "connection: %s\n", strerror(parameter));
        client->failed = true;
        closeClient(client);
        break;

    case POLLHUP:
        /* The server has said all, and POLLIN has told it. The last line may lack its end. */
        if (client->length > 0)
            addPiece(client, "\n", 1);
        fflush(stdout);
        closeClient(client);
        break;
    }
}

/* Our side has said all: the server hears the end after what is queued, and can still answer. */
static void endOutput(struct Client* client)
{
    RemoveFastRingWatch(client->watch);
    client->watch = NULL;
    ShutdownFastSocket(client->socket);
}

/* The standard input can be read without waiting. Not by way of stdin: what that has buffered, no watch
 * would tell of. */
static void handleInput(struct FastRingWatch* watch, int result, void* closure)
{
    struct Client* client = closure;
    char data[BUFFER_LENGTH];
    ssize_t length = (result < 0) ? 0 : read(STDIN_FILENO, data, sizeof(data));

    if ((length < 0) && ((errno == EAGAIN) || (errno == EINTR)))
        return;
    if (length <= 0) {
        endOutput(client);
        return;
    }

    /* All or nothing. It fails when the connection is broken, and POLLERR tells of that. */
    if (fwrite(data, 1, (size_t)length, client->stream) < (size_t)length)
        return;
    if (GetFastSocketOutboundLength(client->socket) >= OUTBOUND_LIMIT) {
        client->paused = true;
        UpdateFastRingWatch(watch, 0);
    }
}

/* Begins to connect, and hands the descriptor over to a socket. Returns false with errno. */
static bool openConnection(struct Client* client, const struct sockaddr_storage* address,
                           socklen_t length)
{
    int handle = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int reason;

    if (handle < 0)
        return false;
    if ((connect(handle, (const struct sockaddr*)address, length) == 0) || (errno == EINPROGRESS))
        client->socket = CreateFastSocket(client->ring, client->provider, client->pool,
                                          client->pool, handle, NULL, 0, FASTSOCKET_MODE_REGULAR, 0,
                                          handleSocketEvent, client);
    if (client->socket == NULL) {
        reason = errno;
        close(handle); /* still ours: the socket takes it over only on success */
        errno = reason;
        return false;
    }

    client->stream = GetFastSocketStream(client->socket, 1);
    if (client->stream == NULL)
        AbortFastSocket(client->socket);
    return client->stream != NULL;
}

/* Makes all that lives on a ring. Returns false with errno; main() releases what was made. */
static bool openClient(struct Client* client, const struct sockaddr_storage* address,
                       socklen_t length)
{
    client->ring = CreateFastRing(0);
    if (client->ring == NULL)
        return false;

    client->pool = CreateFastBufferPool(client->ring);
    if (client->pool == NULL)
        return false;

    client->provider = CreateFastRingBufferProvider(client->ring, 0, BUFFER_COUNT, BUFFER_LENGTH,
                                                    AllocateRingFastBuffer, client->pool);
    if (client->provider == NULL)
        return false;
    return openConnection(client, address, length);
}

/* What is said before the connection stands is queued. Returns false with errno. */
static bool startOutput(struct Client* client, char** lines)
{
    if (*lines == NULL) {
        client->watch = AddFastRingWatch(client->ring, STDIN_FILENO, POLLIN, 0, handleInput, client);
        return client->watch != NULL;
    }
    for (; *lines != NULL; ++lines)
        if ((fprintf(client->stream, "%s\n", *lines) < 0) && (errno != EPIPE))
            return false; /* EPIPE: connecting has failed already, and POLLERR will tell why */
    endOutput(client);
    return true;
}

int main(int count, char** arguments)
{
    struct Client client = {0};
    struct sockaddr_storage address;
    socklen_t length;
    int result = -1;

    if (count < 3) {
        fprintf(stderr, "usage: %s ADDRESS PORT [LINE...]\n", arguments[0]);
        return 2;
    }
    if (findAddress(arguments[1], arguments[2], SOCK_STREAM, &address, &length) < 0)
        return 1;

    if (!openClient(&client, &address, length) || !startOutput(&client, arguments + 3)) {
        perror("lines");
    } else {
        /* Until both have ended and what was queued has left. */
        do
            result = WaitForFastRing(client.ring, UINT32_MAX, NULL);
        while ((result == 0) &&
               ((client.stream != NULL) || (GetFastRingPending(client.ring) > 0)));
        if (result < 0)
            fprintf(stderr, "ring: %s\n", strerror(-result));
    }

    closeClient(&client); /* again, in case the loop ended otherwise */
    ReleaseFastRingBufferProvider(client.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(client.pool);
    ReleaseFastRing(client.ring);
    free(client.line);
    return ((result == 0) && !client.failed) ? 0 : 1;
}
