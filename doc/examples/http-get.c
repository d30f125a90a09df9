/*
 * http-get: fetches a page by HTTP and writes it to its standard output.
 *
 *     cc http-get.c -o http-get $(pkg-config --cflags --libs fastsocket)
 *     ./http-get [-c SECONDS] [-i SECONDS] [-t SECONDS] http://HOST[:PORT][/PATH]
 *
 * -c   until connected, 10 by default;     -i   without a byte from the server, 30 by default;
 * -t   for all of it, none by default
 *
 * The exit status is 0 for a whole page with a status of success; else, with a message,
 *
 *     1  another status (the page is written all the same)   2  wrong use
 *     3  the name wasn't found                               4  no address could be connected to
 *     5  one of the three timeouts                           6  the reply is none, or is cut off
 *     7  the output can't be written
 *
 * See lines.c and copy.c first. New here:
 *
 * - A name, all of its addresses, IPv6 and IPv4 tried in turn as RFC 8305 says: ConnectFastSocket does
 *   it. The request is queued at once, and leaves when the connection stands.
 * - Two timeouts are options of the socket, the third is one of the ring.
 * - Who doesn't take our output makes us pause, and a paused socket isn't idle: the server is not
 *   blamed for a slow reader.
 * - NotifyFastSocketTransmit tells when the last byte is written, or that it can't be.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

enum
{
    HEAD_LIMIT = 32 * 1024, /* bytes of the reply's first line and fields */
    REQUEST_LIMIT = 8 * 1024,
    FLUSH_TIMEOUT = 1000,     /* milliseconds */
    OUTPUT_LIMIT = 256 * 1024 /* bytes queued at which we take no more from the server */
};

enum Status
{
    STATUS_GOOD,
    STATUS_OTHER,
    STATUS_USAGE,
    STATUS_NAME,
    STATUS_CONNECT,
    STATUS_TIMEOUT,
    STATUS_REPLY,
    STATUS_OUTPUT
};

struct Get
{
    struct FastRing* ring;
    struct FastSocket* server; /* NULL when it has said all */
    struct FastSocket* output;
    struct FastRingTimeout* timeout;
    bool connected;
    bool inBody;
    bool done;
    enum Status status;
    long long rest; /* of the body; -1: it ends with the connection */
    size_t length;
    char head[HEAD_LIMIT + 1];
};

struct Location
{
    char host[256];    /* as the Host field has it, with the port if there was one */
    char address[272]; /* as ConnectFastSocket wants it, always with a port */
    const char* path;
};

/* The first thing that fails is the one to tell of. */
static void fail(struct Get* get, enum Status status, const char* what, const char* reason)
{
    if (get->done)
        return;
    fprintf(stderr, "http-get: %s: %s\n", what, reason);
    get->status = status;
    get->done = true;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* The kernel has all of it, or never will. */
static void handleWritten(struct FastSocket* socket, int result, void* closure)
{
    struct Get* get = closure;

    (void)socket;
    if (result != 0)
        fail(get, STATUS_OUTPUT, "output", strerror(result));
    get->done = true;
}

/* The reply is whole: nothing is left but to see it written. */
static void finish(struct Get* get)
{
    int result = NotifyFastSocketTransmit(get->output, handleWritten, get);

    ReleaseFastSocket(get->server);
    get->server = NULL;
    if ((result < 0) && (result != -EPIPE)) /* -EPIPE: its POLLERR tells why */
        fail(get, STATUS_OUTPUT, "output", strerror(-result));
}

static void handleOutput(struct FastSocket* socket, int event, int parameter)
{
    struct Get* get = GetFastSocketClosure(socket);

    if (event == POLLERR)
        fail(get, STATUS_OUTPUT, "output", strerror(parameter));
    if ((event == POLLOUT) && (get->server != NULL))
        ResumeFastSocket(get->server); /* what is queued is told again */
}

/* ---- the reply ------------------------------------------------------------------------------- */

/* Returns the value of a field in the head, which ends with a zero; or NULL. */
static const char* findField(const char* head, const char* name)
{
    size_t length = strlen(name);
    const char* line = head;

    while ((line = strchr(line, '\n')) != NULL) {
        line++;
        if ((strncasecmp(line, name, length) == 0) && (line[length] == ':'))
            return line + length + 1 + strspn(line + length + 1, " \t");
    }
    return NULL;
}

/* Understands the head. Returns false if it isn't one. */
static bool parseHead(struct Get* get)
{
    const char* length = findField(get->head, "Content-Length");
    int code = 0;

    if ((sscanf(get->head, "HTTP/1.%*1[01] %3d", &code) != 1) || (code < 200) ||
        (findField(get->head, "Transfer-Encoding") != NULL)) /* a server must not, for HTTP/1.0 */
        return false;
    get->rest = -1;
    if (length != NULL) {
        char* end;

        errno = 0;
        get->rest = strtoll(length, &end, 10);
        if ((end == length) || (get->rest < 0) || (errno != 0) || (strchr("\r\n \t", *end) == NULL))
            return false;
    }
    if ((code == 204) || (code == 304))
        get->rest = 0;
    if (code > 299) {
        fprintf(stderr, "http-get: %.*s\n", (int)strcspn(get->head, "\r\n"), get->head);
        get->status = STATUS_OTHER;
    }
    return true;
}

/* Looks for the end of the head in what has come of it. What is behind is copied to the output. */
static void readHead(struct Get* get)
{
    ssize_t count;

    while (!get->inBody && !get->done) {
        char* end;
        size_t behind;

        count = ReceiveFastSocketData(get->server, get->head + get->length,
                                      HEAD_LIMIT - get->length, 0);
        if (count <= 0)
            return;
        get->length += (size_t)count;
        end = memmem(get->head, get->length, "\r\n\r\n", 4);
        if ((end == NULL) && (get->length == HEAD_LIMIT)) {
            fail(get, STATUS_REPLY, "reply", "too long a head");
        } else if (end != NULL) {
            behind = get->length - (size_t)(end + 4 - get->head);
            end[2] = '\0';
            if ((memchr(get->head, '\0', (size_t)(end - get->head)) != NULL) || !parseHead(get)) {
                fail(get, STATUS_REPLY, "reply", "not understood");
                return;
            }
            get->inBody = true;
            if ((get->rest >= 0) && ((long long)behind > get->rest))
                behind = (size_t)get->rest;
            get->rest -= (get->rest >= 0) ? (long long)behind : 0;
            TransmitFastSocketData(get->output, NULL, 0, end + 4, behind, 0);
        }
    }
}

/* Hands the body over, as far as the output takes it. Where that fails, its POLLERR tells. */
static void readBody(struct Get* get)
{
    struct FastBuffer* buffer;

    while ((get->rest != 0) && (GetFastSocketOutboundLength(get->output) < OUTPUT_LIMIT) &&
           ((buffer = ReceiveFastSocketBuffer(get->server)) != NULL)) {
        size_t size = GetFastBufferLength(buffer);

        if ((get->rest >= 0) && ((long long)size > get->rest))
            size = (size_t)get->rest;
        get->rest -= (get->rest >= 0) ? (long long)size : 0;
        TransmitFastSocketBuffer(get->output, NULL, 0, buffer, 0, size, 0);
    }
    if (get->rest == 0)
        finish(get);
    else if (GetFastSocketOutboundLength(get->output) >= OUTPUT_LIMIT)
        PauseFastSocket(get->server);
}

/* The connection has failed. Why and when tells the exit status. */
static void handleFailure(struct Get* get, int reason)
{
    const char* text = GetFastSocketErrorText(get->server);

    if (reason == ETIMEDOUT)
        fail(get, STATUS_TIMEOUT, get->connected ? "server" : "connecting", text);
    else if (get->connected)
        fail(get, STATUS_REPLY, "connection", text);
    else if ((reason == ENOENT) || (reason == EAGAIN))
        fail(get, STATUS_NAME, "name", text);
    else
        fail(get, STATUS_CONNECT, "connecting", text);
}

static void handleServer(struct FastSocket* socket, int event, int parameter)
{
    struct Get* get = GetFastSocketClosure(socket);

    switch (event) {
    case POLLIN:
        readHead(get);
        if (get->inBody && !get->done)
            readBody(get);
        break;

    case POLLOUT:
        get->connected = true;
        break;

    case POLLERR:
        handleFailure(get, parameter);
        break;

    case POLLHUP:
        /* All was read before: we pause when we don't read, and hear of the end after that. */
        if (get->inBody && (get->rest < 0))
            finish(get);
        else
            fail(get, STATUS_REPLY, "reply", "cut off");
        break;
    }
}

static void handleTimeout(struct FastRingTimeout* timeout, void* closure)
{
    struct Get* get = closure;

    (void)timeout;
    get->timeout = NULL;
    fail(get, STATUS_TIMEOUT, "all of it", "took too long");
}

/* ---- the program ----------------------------------------------------------------------------- */

/* Takes a URL apart. Returns false if it isn't one of ours. */
static bool parseLocation(const char* url, struct Location* location)
{
    size_t length;
    const char* port;

    if ((strncasecmp(url, "http://", 7) != 0) || (url[strcspn(url, "\r\n ")] != '\0'))
        return false;
    url += 7;
    length = strcspn(url, "/?#");
    if ((length == 0) || (length >= sizeof(location->host)) || (memchr(url, '@', length) != NULL))
        return false;
    memcpy(location->host, url, length);
    location->host[length] = '\0';
    location->path = url + length;

    /* The colons of [::1] are none of a port. */
    port = strrchr(location->host, ':');
    if ((port != NULL) && (strchr(port, ']') != NULL))
        port = NULL;
    snprintf(location->address, sizeof(location->address), "%s%s", location->host,
             (port == NULL) ? ":80" : "");
    return true;
}

/* Returns 0 or a negative errno. */
static int transmitRequest(struct Get* get, const struct Location* location)
{
    char request[REQUEST_LIMIT];
    int pathLength = (int)strcspn(location->path, "#");
    int length = snprintf(request, sizeof(request),
                          "GET %s%.*s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n",
                          (*location->path == '/') ? "" : "/", pathLength, location->path,
                          location->host);

    if (length >= (int)sizeof(request))
        return -EMSGSIZE;
    return TransmitFastSocketData(get->server, NULL, 0, request, (size_t)length, 0);
}

/* The library closes what it takes over: the standard output is others' too, so it gets a duplicate. A
 * terminal could be read there; we don't. Returns false with errno. */
static bool openOutput(struct Get* get)
{
    int handle = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    int reason;

    if (handle < 0)
        return false;
    get->output = OpenFastSocket(get->ring, handle, FASTSOCKET_MODE_FILE_IO, handleOutput, get);
    if (get->output == NULL) {
        reason = errno;
        close(handle);
        errno = reason;
        return false;
    }
    PauseFastSocket(get->output);
    return true;
}

/* Makes all that lives on a ring. A number of seconds below 0 is none. */
static void openGet(struct Get* get, const struct Location* location, const double* seconds)
{
    int result;

    get->ring = CreateFastRing(0);
    if (get->ring == NULL) {
        fail(get, STATUS_OUTPUT, "ring", strerror(errno));
        return;
    }
    if (!openOutput(get)) {
        fail(get, STATUS_OUTPUT, "output", strerror(errno));
        return;
    }
    get->server = ConnectFastSocket(get->ring, location->address, FASTSOCKET_MODE_REGULAR,
                                    handleServer, get);
    if (get->server == NULL) {
        fail(get, STATUS_CONNECT, location->address, strerror(errno));
        return;
    }
    SetFastSocketOption(get->server, FASTSOCKET_OPTION_CONNECT_TIMEOUT, (uint64_t)(seconds[0] * 1e3));
    SetFastSocketOption(get->server, FASTSOCKET_OPTION_IDLE_TIMEOUT, (uint64_t)(seconds[1] * 1e3));
    if (seconds[2] > 0)
        get->timeout = SetFastRingTimeout(get->ring, NULL, (int64_t)(seconds[2] * 1e3), 0,
                                          handleTimeout, get);
    if ((seconds[2] > 0) && (get->timeout == NULL))
        fail(get, STATUS_TIMEOUT, "timeout", strerror(errno));
    result = transmitRequest(get, location);
    if (result < 0)
        fail(get, STATUS_USAGE, "request", strerror(-result));
}

/* Reads the options. Returns the URL, or NULL. */
static const char* parseArguments(int count, char** arguments, double* seconds)
{
    static const char letters[] = "cit";
    int option;

    while ((option = getopt(count, arguments, "c:i:t:")) != -1) {
        char* end = NULL;
        const char* letter = (option == '?') ? NULL : strchr(letters, option);

        if (letter == NULL)
            return NULL;
        seconds[letter - letters] = strtod(optarg, &end);
        if ((end == optarg) || (*end != '\0') || !(seconds[letter - letters] > 0) ||
            !(seconds[letter - letters] < 1e6))
            return NULL;
    }
    return (optind == count - 1) ? arguments[optind] : NULL;
}

int main(int count, char** arguments)
{
    static struct Get get;
    struct Location location;
    double seconds[] = {10, 30, 0};
    const char* url = parseArguments(count, arguments, seconds);
    int result = 0;

    if ((url == NULL) || !parseLocation(url, &location)) {
        fprintf(stderr, "usage: %s [-c SECONDS] [-i SECONDS] [-t SECONDS] http://HOST[:PORT][/PATH]\n",
                arguments[0]);
        return STATUS_USAGE;
    }

    openGet(&get, &location, seconds);
    while ((result == 0) && !get.done)
        result = WaitForFastRing(get.ring, UINT32_MAX, NULL);
    if (result < 0)
        fail(&get, STATUS_REPLY, "ring", strerror(-result));

    RemoveFastRingTimeout(get.timeout);
    AbortFastSocket(get.server); /* NULL, if all went well */

    /* What has come of a page that failed is still written, if somebody takes it. */
    SetFastSocketOption(get.output, FASTSOCKET_OPTION_RELEASE_TIMEOUT, FLUSH_TIMEOUT);
    ReleaseFastSocket(get.output);
    while ((result == 0) && (GetFastRingPending(get.ring) > 0))
        result = WaitForFastRing(get.ring, UINT32_MAX, NULL);
    ReleaseFastRing(get.ring);
    return get.status;
}
