/*
 * lines: talks to a server line by line, with the functions of <stdio.h>.
 *
 *     cc lines.c -o lines $(pkg-config --cflags --libs fastsocket)
 *     ./lines ADDRESS                           sends the standard input
 *     ./lines ADDRESS LINE...                   sends these lines
 *
 * ADDRESS is as for ConnectFastSocket: example.org:7, [::1]:7000, unix:PATH … What the server says is
 * printed in whole lines, until it ends the connection.
 *
 * See echo-server.c first. New here:
 *
 * - A socket as a FILE*: getline reads from its input queue, fprintf and fwrite add to its output
 *   queue. Nothing waits, and small writes leave together when the turn ends.
 * - ConnectFastSocket does all of connecting. What is written before that is done is queued.
 * - "No data yet" is EAGAIN, and a line that has come in part is read in part: we keep the part.
 * - The standard input is no socket of ours, so a watch tells when it can be read.
 * - When the server takes nothing, we stop reading our own input, so that memory stays bounded.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

enum
{
    INPUT_LENGTH = 16 * 1024,    /* bytes of the standard input that are read at once */
    CONNECT_TIMEOUT = 30 * 1000, /* milliseconds */
    OUTBOUND_LIMIT = 256 * 1024, /* bytes queued at which we stop reading the standard input */
    LINE_LIMIT = 1024 * 1024     /* bytes of a line at which we print it although it goes on */
};

struct Client
{
    struct FastRing* ring;
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

    (void)parameter;
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
        fprintf(stderr, "connection: %s\n", GetFastSocketErrorText(socket));
        client->failed = true;
        closeClient(client);
        break;

    case POLLHUP:
        /* The server has said all, and POLLIN has reported it. The last line may lack its end. */
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
    char data[INPUT_LENGTH];
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

/* Makes all that lives on a ring. Returns false with errno; main() releases what was made. */
static bool openClient(struct Client* client, const char* address)
{
    client->ring = CreateFastRing(0);
    if (client->ring == NULL)
        return false;
    client->socket = ConnectFastSocket(client->ring, address, FASTSOCKET_MODE_REGULAR,
                                       handleSocketEvent, client);
    if (client->socket == NULL)
        return false;
    SetFastSocketOption(client->socket, FASTSOCKET_OPTION_CONNECT_TIMEOUT, CONNECT_TIMEOUT);
    client->stream = GetFastSocketStream(client->socket, 1);
    if (client->stream == NULL)
        AbortFastSocket(client->socket);
    return client->stream != NULL;
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
    int result = -1;

    if (count < 2) {
        fprintf(stderr, "usage: %s ADDRESS [LINE...]\n", arguments[0]);
        return 2;
    }

    if (!openClient(&client, arguments[1]) || !startOutput(&client, arguments + 2)) {
        perror(arguments[1]);
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
    ReleaseFastRing(client.ring);
    free(client.line);
    return ((result == 0) && !client.failed) ? 0 : 1;
}
