/*
 * http-hello: a small HTTP/1.1 server that says hello.
 *
 *     cc http-hello.c -o http-hello $(pkg-config --cflags --libs fastsocket)
 *     ./http-hello [ADDRESS [PORT]]             127.0.0.1 and 8080 by default; port 0 = any
 *     curl http://127.0.0.1:8080/
 *
 * See echo-server.c first. New here:
 *
 * - Input is copied out of the socket's queue, because a request may come in any number of pieces
 *   and one piece may hold many requests (pipelining).
 * - A reply is copied in: all replies of a turn leave together, in one system call.
 * - A repeating timeout renews the Date field and ends idle connections.
 *
 * Requests have no use for a body here, so none is read: after a request that announces one, the
 * connection ends.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <strings.h>
#include <sys/queue.h>
#include <time.h>

#include <Ring/FastSocket.h>

#include "plain-socket.h"

enum
{
    BUFFER_COUNT = 256,
    BUFFER_LENGTH = 4 * 1024,
    REQUEST_LIMIT = 8 * 1024, /* bytes of a request line and its fields */
    REPLY_LIMIT = 1024,
    OUTBOUND_LIMIT = 256 * 1024, /* bytes queued at which we stop reading from a connection */
    TICK = 1000,                 /* milliseconds */
    IDLE_LIMIT = 60              /* ticks without a complete request */
};

struct Connection
{
    LIST_ENTRY(Connection)
    link;
    struct Server* server;
    struct FastSocket* socket;
    bool paused;
    int idle;
    size_t length;
    char data[REQUEST_LIMIT]; /* input up to the end of an incomplete request */
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
    struct FastRingTimeout* timeout;
    struct ConnectionList connections;
    int signalHandle;
    int signalCount;
    char date[64];
};

struct Request
{
    char* method;
    char* target;
    int minor; /* of the version: 1.0 or 1.1 and later */
    int hosts;
    bool keep;
    bool close;
    bool body;
};

/* ---- HTTP: nothing of the library in this part ----------------------------------------------- */

/* Returns the length of the first request's head, its blank line included; 0 = incomplete. */
static size_t findHead(const char* data, size_t length)
{
    const char* end = data + length;
    const char* line = data;

    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        line++;
        if ((end - line >= 1) && (line[0] == '\n'))
            return (size_t)(line + 1 - data);
        if ((end - line >= 2) && (line[0] == '\r') && (line[1] == '\n'))
            return (size_t)(line + 2 - data);
    }
    return 0;
}

/* Cuts the next line off the head, which may end in \r\n or \n. */
static char* takeLine(char** head)
{
    char* line = strsep(head, "\n");
    size_t length = strlen(line);

    if ((length > 0) && (line[length - 1] == '\r'))
        line[length - 1] = '\0';
    return line;
}

/* Is the word in a list that is separated by commas? */
static bool hasWord(const char* list, const char* word)
{
    size_t length;

    for (list += strspn(list, ", \t"); *list != '\0'; list += strspn(list, ", \t")) {
        length = strcspn(list, ", \t");
        if ((length == strlen(word)) && (strncasecmp(list, word, length) == 0))
            return true;
        list += length;
    }
    return false;
}

/* Returns 0, or the status to answer with. */
static int parseRequestLine(char* line, struct Request* request)
{
    request->method = strsep(&line, " ");
    request->target = strsep(&line, " ");
    if ((line == NULL) || (*request->method == '\0') || (*request->target == '\0') ||
        (strchr(line, ' ') != NULL))
        return 400;
    if ((strlen(line) != 8) || (strncmp(line, "HTTP/", 5) != 0) || (line[6] != '.'))
        return 400;
    if (line[5] != '1')
        return 505;
    request->minor = line[7] - '0';
    return ((request->minor >= 0) && (request->minor <= 9)) ? 0 : 400;
}

static int parseField(char* line, struct Request* request)
{
    static const char token[] =
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t length = strspn(line, token);
    char* value = line + length + 1;

    /* No space before the colon, nor at the start of a line: others would see other fields. */
    if ((length == 0) || (line[length] != ':'))
        return 400;
    line[length] = '\0';

    if (strcasecmp(line, "Host") == 0)
        request->hosts++;
    else if (strcasecmp(line, "Connection") == 0) {
        request->keep = request->keep || hasWord(value, "keep-alive");
        request->close = request->close || hasWord(value, "close");
    } else if (strcasecmp(line, "Content-Length") == 0)
        request->body = request->body || (strcmp(value + strspn(value, " \t"), "0") != 0);
    else if (strcasecmp(line, "Transfer-Encoding") == 0)
        request->body = true;
    return 0;
}

/* Takes a head apart, in place. Returns 0, or the status to answer with. */
static int parseRequest(char* head, size_t length, struct Request* request)
{
    char* line;
    int status;

    memset(request, 0, sizeof(*request));
    if (memchr(head, '\0', length) != NULL)
        return 400;
    head[length - 1] = '\0'; /* the last \n */

    status = parseRequestLine(takeLine(&head), request);
    while ((status == 0) && (head != NULL) && (*(line = takeLine(&head)) != '\0'))
        status = parseField(line, request);
    if ((status == 0) && ((request->hosts > 1) || ((request->minor > 0) && (request->hosts == 0))))
        status = 400;
    return status;
}

/* Returns the status of a request that is well formed. */
static int findPage(const struct Request* request)
{
    const char* path = request->target;

    if ((strcmp(request->method, "GET") != 0) && (strcmp(request->method, "HEAD") != 0))
        return 405;
    if (strncasecmp(path, "http://", 7) == 0) {
        path += 7;
        path += strcspn(path, "/?");
        if (*path != '/')
            return 200; /* the root, whether with a query or not */
    }
    return ((path[0] == '/') && ((path[1] == '\0') || (path[1] == '?'))) ? 200 : 404;
}

static const char* getReason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "HTTP Version Not Supported";
    }
}

/* ---- connections ----------------------------------------------------------------------------- */

/* The socket still sends what is queued and closes then. Its handler isn't called again, so that
 * the memory may go now. */
static void closeConnection(struct Connection* connection)
{
    ReleaseFastSocket(connection->socket);
    LIST_REMOVE(connection, link);
    free(connection);
}

/* Queues a reply. Returns whether the connection goes on. */
static bool reply(struct Connection* connection, const struct Request* request, int status,
                  bool keep)
{
    char data[REPLY_LIMIT];
    char body[64];
    const char* state = "";
    int bodyLength;
    int length;

    if (!keep)
        state = "Connection: close\r\n";
    else if (request->minor == 0)
        state = "Connection: keep-alive\r\n";

    if (status == 200)
        bodyLength = snprintf(body, sizeof(body), "Hello, world!\n");
    else
        bodyLength = snprintf(body, sizeof(body), "%d %s\n", status, getReason(status));

    length = snprintf(data, sizeof(data),
                      "HTTP/1.1 %d %s\r\n"
                      "Date: %s\r\n"
                      "%s%s"
                      "Content-Type: text/plain; charset=utf-8\r\n"
                      "Content-Length: %d\r\n"
                      "\r\n"
                      "%s",
                      status, getReason(status), connection->server->date, state,
                      (status == 405) ? "Allow: GET, HEAD\r\n" : "", bodyLength, body);

    /* HEAD: the same fields, no body. */
    if ((request->method != NULL) && (strcmp(request->method, "HEAD") == 0))
        length -= bodyLength;

    if (TransmitFastSocketData(connection->socket, NULL, 0, data, (size_t)length, 0) < 0)
        return false;
    return keep;
}

/* Answers a request whose head is complete. Returns whether the connection goes on. */
static bool answerRequest(struct Connection* connection, char* head, size_t length)
{
    struct Request request;
    int status = parseRequest(head, length, &request);
    bool keep;

    connection->idle = 0;
    if (status != 0)
        return reply(connection, &request, status, false);
    keep = !request.close && !request.body && ((request.minor > 0) || request.keep);
    return reply(connection, &request, findPage(&request), keep);
}

/* Answers all that is complete, and keeps the rest. Returns whether the connection goes on. */
static bool answerRequests(struct Connection* connection)
{
    static const struct Request none = {.minor = 1};
    char* data = connection->data;
    char* end = connection->data + connection->length;
    bool open = true;
    size_t length;

    while (open) {
        while ((data < end) && ((*data == '\r') || (*data == '\n')))
            data++; /* some clients send an empty line after a body */
        length = findHead(data, (size_t)(end - data));
        if (length == 0)
            break;
        open = answerRequest(connection, data, length);
        data += length;
    }

    connection->length = (size_t)(end - data);
    memmove(connection->data, data, connection->length);
    if (open && (connection->length == sizeof(connection->data)))
        open = reply(connection, &none, 431, false);
    return open;
}

static void readRequests(struct Connection* connection)
{
    struct FastSocket* socket = connection->socket;
    ssize_t size;

    /* Input that we leave in the queue is told again after ResumeFastSocket. */
    while (!connection->paused) {
        size = ReceiveFastSocketData(socket, connection->data + connection->length,
                                     sizeof(connection->data) - connection->length, 0);
        if (size <= 0)
            break; /* none left, or an error that POLLERR and POLLHUP tell */
        connection->length += (size_t)size;
        if (!answerRequests(connection)) {
            closeConnection(connection);
            return;
        }
        if ((GetFastSocketOutboundLength(socket) >= OUTBOUND_LIMIT) &&
            (PauseFastSocket(socket) == 0))
            connection->paused = true;
    }
}

static void handleSocketEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Connection* connection = GetFastSocketClosure(socket);

    (void)parameter;
    switch (event) {
    case POLLIN:
        readRequests(connection);
        break;

    case POLLOUT:
        if (connection->paused) {
            connection->paused = false;
            ResumeFastSocket(socket);
        }
        break;

    case POLLHUP:
        /* No more requests, and the replies to those that came are queued. */
        closeConnection(connection);
        break;

    default:
        /* POLLERR: POLLHUP follows. */
        break;
    }
}

/* ---- the server ------------------------------------------------------------------------------ */

/* What is queued still leaves, in the background: GetFastRingPending tells when. */
static void stopServer(struct Server* server)
{
    ReleaseFastListener(server->listener);
    server->listener = NULL;
    while (!LIST_EMPTY(&server->connections))
        closeConnection(LIST_FIRST(&server->connections));
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Server* server = closure;
    struct Connection* connection;

    (void)listener;
    if (handle < 0) {
        fprintf(stderr, "accept: %s\n", strerror(-handle));
        /* For want of descriptors or memory the listener rests and tries again. Anything else is
         * the end of it, and the end of us. */
        if (!isShortage(-handle))
            stopServer(server);
        return;
    }

    setNoDelay(handle);
    connection = calloc(1, sizeof(*connection));
    if (connection != NULL) {
        connection->server = server;
        connection->socket = CreateFastSocket(server->ring, server->provider, server->inbound,
                                              server->outbound, handle, NULL, 0,
                                              FASTSOCKET_MODE_REGULAR, 0, handleSocketEvent,
                                              connection);
    }
    if ((connection == NULL) || (connection->socket == NULL)) {
        perror("new connection");
        free(connection);
        close(handle); /* still ours: the socket takes it over only on success */
        return;
    }
    LIST_INSERT_HEAD(&server->connections, connection, link);
}

static void renewDate(struct Server* server)
{
    time_t now = time(NULL);
    struct tm fields;

    gmtime_r(&now, &fields);
    strftime(server->date, sizeof(server->date), "%a, %d %b %Y %H:%M:%S GMT", &fields);
}

static void handleTick(struct FastRingTimeout* timeout, void* closure)
{
    struct Server* server = closure;
    struct Connection* connection;
    struct Connection* next;

    (void)timeout;
    renewDate(server);
    for (connection = LIST_FIRST(&server->connections); connection != NULL; connection = next) {
        next = LIST_NEXT(connection, link);
        if (++connection->idle > IDLE_LIMIT)
            closeConnection(connection);
    }
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

/* Makes all that lives on a ring. Returns false with errno; main() releases what was made. */
static bool openServer(struct Server* server, int handle)
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
    if (server->provider == NULL)
        return false;

    server->watch = AddFastRingWatch(server->ring, server->signalHandle, POLLIN, 0, handleSignal,
                                     server);
    if (server->watch == NULL)
        return false;

    server->timeout = SetFastRingTimeout(server->ring, NULL, TICK, FASTRING_TIMEOUT_REPEAT,
                                         handleTick, server);
    if (server->timeout == NULL)
        return false;

    server->listener = CreateFastListener(server->ring, handle, 0, handleConnection, server);
    return server->listener != NULL;
}

/* Is there something to do, or to be waited for? */
static bool isBusy(const struct Server* server)
{
    return (server->listener != NULL) || (GetFastRingPending(server->ring) > 0);
}

int main(int count, char** arguments)
{
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1";
    const char* port = (count > 2) ? arguments[2] : "8080";
    struct Server server = {0};
    int handle;
    int result = -1;

    handle = openSocket(address, port, SOCK_STREAM);
    if (handle < 0)
        return 1;

    renewDate(&server);
    server.signalHandle = openSignals();
    if ((server.signalHandle < 0) || !openServer(&server, handle)) {
        perror("http-hello");
        close(handle); /* the listener is made last: it has not taken it over */
    } else {
        printListening(handle, address);

        do
            result = WaitForFastRing(server.ring, UINT32_MAX, NULL);
        while ((result == 0) && (server.signalCount < 2) && isBusy(&server));
        if (result < 0)
            fprintf(stderr, "ring: %s\n", strerror(-result));
    }

    stopServer(&server); /* again, in case the loop ended otherwise */
    if (server.timeout != NULL)
        SetFastRingTimeout(NULL, server.timeout, -1, 0, NULL, NULL);
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
