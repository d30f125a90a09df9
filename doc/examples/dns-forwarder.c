/*
 * dns-forwarder: passes DNS queries on to the first of several servers that answers, by UDP.
 *
 *     cc dns-forwarder.c -o dns-forwarder $(pkg-config --cflags --libs fastsocket)
 *     ./dns-forwarder [-t MILLISECONDS] [-q QUERIES] LISTEN UPSTREAM...
 *     ./dns-forwarder 127.0.0.1:5300 192.0.2.1:53 [2001:db8::1]:53
 *     dig -p 5300 @127.0.0.1 example.org
 *
 * -t   for an answer, until the next upstream is asked, 1000 by default
 * -q   that may be open at the same time, 4096 by default
 *
 * All addresses are numeric: whom would a forwarder ask for names? Each upstream is asked twice at most;
 * then, or if too many queries are open, the client hears SERVFAIL, and can ask somebody else. What is
 * no query, or no answer to an open one, is dropped. Answers that are too long for UDP say so (TC), and
 * this is no server for the TCP that follows. It is for one address of this host: what is sent from *
 * may leave from another one than it was asked at.
 *
 * See udp-echo.c first. New here:
 *
 * - Each upstream has a connected socket (ConnectFastSocket, "udp:"): the kernel drops what comes from
 *   others, and tells by POLLERR that nobody listens there. We don't wait for the timeout then.
 * - Clients choose their numbers themselves, so that two may have the same. Upstream a query gets
 *   another one, by chance, that no open query has: a table of all numbers leads back to it. The number
 *   is changed in the received buffer, which is sent as it is, without a copy.
 * - A query's buffer is kept (HoldFastBuffer) to be sent again, and so is no memory but that.
 * - Each query has a timeout of the ring. Thousands of them cost little: they are a heap.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

enum
{
    NAME_ROOM = sizeof(struct sockaddr_storage),
    QUERY_BUFFERS = 256,
    QUERY_ROOM = 2048,   /* bytes of a query and its metadata */
    ANSWER_LIMIT = 4096, /* bytes: more than servers send by UDP */
    ANSWER_ROOM = ANSWER_LIMIT + 256,
    OUTBOUND_LIMIT = 8 * 1024 * 1024, /* bytes queued at which further answers are lost */
    SYSTEM_ROOM = 4 * 1024 * 1024,    /* bytes that the kernel should keep for us, if it may */
    ROUNDS = 2,                       /* how often each upstream is asked */
    ID_COUNT = 65536,
    RANDOM_COUNT = 128
};

/* A message of DNS: a header, of which we need little, and the question. */
enum
{
    HEADER_LENGTH = 12,
    FLAGS = 2,          /* where they are */
    QUESTION_COUNT = 4, /* 2 bytes */
    IS_ANSWER = 0x80,   /* of the first byte of the flags */
    OPERATION = 0x78,   /* 0 is a query */
    SERVER_FAILURE = 2, /* of the second byte, in the lowest four bits */
    LABEL_LIMIT = 63,   /* what is more would be a pointer */
    NAME_LIMIT = 255,   /* bytes, with the last label, which is empty */
    TYPE_AND_CLASS = 4,
    QUESTION_LIMIT = HEADER_LENGTH + NAME_LIMIT + TYPE_AND_CLASS
};

/* How a received buffer of the clients' socket starts: see udp-echo.c. */
struct Prefix
{
    uint32_t nameLength;
    uint32_t controlLength;
    uint32_t payloadLength;
    uint32_t flags;
};

struct Upstream
{
    struct Server* server;
    struct FastSocket* socket; /* NULL: it is made when it is next needed */
    bool connected;            /* has reported POLLOUT */
    char address[FASTSOCKET_ADDRESS_SIZE + 8];
};

/* One that is open: it was asked, and not answered. */
struct Query
{
    LIST_ENTRY(Query)
    link;
    struct Server* server;
    struct FastBuffer* buffer; /* as it came, but for the number */
    size_t offset;             /* of the message in it */
    size_t length;
    size_t questionEnd; /* bytes of header and question */
    struct sockaddr_storage client;
    socklen_t clientLength;
    uint16_t clientId; /* two bytes, in whatever order */
    uint16_t id;       /* ours */
    size_t first;      /* upstream that is asked first */
    size_t attempts;   /* begun */
    struct Upstream* upstream;
    struct FastRingTimeout* timeout;
};

LIST_HEAD(QueryList, Query);

struct Server
{
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastSocket* socket; /* the clients'; NULL when we have stopped */
    struct FastRingSignal* interrupt;
    struct FastRingSignal* terminate;
    struct Upstream* upstreams;
    size_t upstreamCount;
    size_t preferred; /* the upstream that answers, as far as we know */
    int patience;     /* milliseconds */
    size_t limit;     /* open queries */
    size_t open;
    struct QueryList queries;
    struct Query* byId[ID_COUNT];
    uint16_t random[RANDOM_COUNT];
    size_t randomLeft;
    uint64_t answered, failed, dropped;
};

/* ---- messages -------------------------------------------------------------------------------- */

/* Returns the bytes of header and question, or 0 if there isn't exactly one, and whole. */
static size_t findQuestionEnd(const uint8_t* message, size_t length)
{
    size_t at = HEADER_LENGTH;

    if ((length < HEADER_LENGTH) || (message[QUESTION_COUNT] != 0) ||
        (message[QUESTION_COUNT + 1] != 1))
        return 0;
    while ((at < length) && (message[at] != 0)) {
        if (message[at] > LABEL_LIMIT)
            return 0;
        at += 1 + message[at];
    }
    at += 1 + TYPE_AND_CLASS;
    return ((at <= length) && (at <= QUESTION_LIMIT)) ? at : 0;
}

static bool isQuery(const uint8_t* message, size_t length)
{
    return (findQuestionEnd(message, length) > 0) && !(message[FLAGS] & (IS_ANSWER | OPERATION));
}

/* Whether it is the answer to what we have asked. The number alone would be easy to guess, and an old
 * answer may come when another query has its number. */
static bool isAnswer(const uint8_t* message, size_t length, const struct Query* query)
{
    const uint8_t* asked = GetFastBufferData(query->buffer);

    asked += query->offset;
    return (message[FLAGS] & IS_ANSWER) &&
           (findQuestionEnd(message, length) == query->questionEnd) &&
           (memcmp(message + HEADER_LENGTH, asked + HEADER_LENGTH,
                   query->questionEnd - HEADER_LENGTH) == 0);
}

/* Answers a query, of which header and question are given, that nobody has answered. The queue is
 * bounded, and what finds no room is lost, as any datagram may be. */
static void sendFailure(struct Server* server, const uint8_t* question, size_t length,
                        uint16_t clientId, struct sockaddr_storage* client, socklen_t clientLength)
{
    uint8_t message[QUESTION_LIMIT];

    memcpy(message, question, length);
    memcpy(message, &clientId, sizeof(clientId));
    message[FLAGS] |= IS_ANSWER;
    message[FLAGS + 1] = SERVER_FAILURE;
    memset(message + QUESTION_COUNT + 2, 0, HEADER_LENGTH - QUESTION_COUNT - 2);
    TransmitFastSocketData(server->socket, (struct sockaddr*)client, clientLength, message, length,
                           0);
    server->failed++;
}

/* ---- open queries ---------------------------------------------------------------------------- */

/* Who can foresee the number can send a false answer in time: so it comes by chance. (The port should,
 * too: a real resolver takes another one for each query.) Less than half of the numbers are taken.
 * Returns false if there is no chance to be had. */
static bool chooseId(struct Server* server, uint16_t* id)
{
    do {
        if (server->randomLeft == 0) {
            if (getrandom(server->random, sizeof(server->random), 0) != sizeof(server->random))
                return false;
            server->randomLeft = RANDOM_COUNT;
        }
        *id = server->random[--server->randomLeft];
    } while (server->byId[*id] != NULL);
    return true;
}

static void closeQuery(struct Query* query)
{
    struct Server* server = query->server;

    RemoveFastRingTimeout(query->timeout);
    ReleaseFastBuffer(query->buffer); /* what is still queued of it has references of its own */
    server->byId[query->id] = NULL;
    server->open--;
    LIST_REMOVE(query, link);
    free(query);
}

static void giveUp(struct Query* query)
{
    const uint8_t* message = GetFastBufferData(query->buffer);

    sendFailure(query->server, message + query->offset, query->questionEnd, query->clientId,
                &query->client, query->clientLength);
    closeQuery(query);
}

static void handleUpstream(struct FastSocket* socket, int event, int parameter);

/* One that could not be connected to, since no route leads there, is tried again when it is needed. */
static bool openUpstream(struct Upstream* upstream)
{
    if (upstream->socket == NULL)
        upstream->socket = ConnectFastSocket(upstream->server->ring, upstream->address,
                                             FASTSOCKET_MODE_REGULAR, handleUpstream, upstream);
    return upstream->socket != NULL;
}

static void handleTimeout(struct FastRingTimeout* timeout, void* closure);

/* Asks the next upstream, or gives up. The query may be gone behind it. What can't be sent counts as
 * lost on its way: there is the timeout for it. */
static void ask(struct Query* query)
{
    struct Server* server = query->server;
    struct FastRingTimeout* timeout;

    if (query->attempts == ROUNDS * server->upstreamCount) {
        giveUp(query);
        return;
    }
    query->upstream = &server->upstreams[(query->first + query->attempts) % server->upstreamCount];
    query->attempts++;
    if (openUpstream(query->upstream))
        TransmitFastSocketBuffer(query->upstream->socket, NULL, 0, HoldFastBuffer(query->buffer),
                                 query->offset, query->length, 0);
    timeout = SetFastRingTimeout(server->ring, query->timeout, server->patience, 0, handleTimeout,
                                 query);
    if (timeout == NULL)
        giveUp(query);
    else
        query->timeout = timeout;
}

/* New queries begin elsewhere from now on, so that not each of them waits for one that is dead. */
static void askAnother(struct Query* query)
{
    struct Server* server = query->server;

    if (query->upstream == &server->upstreams[server->preferred])
        server->preferred = (server->preferred + 1) % server->upstreamCount;
    ask(query);
}

/* It is set again inside itself, and so lives on; or it is removed with the query. */
static void handleTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    askAnother(closure);
}

/* ---- upstreams ------------------------------------------------------------------------------- */

/* Consumes the buffer. An answer is taken from whichever upstream: one that is late is still one. */
static void takeAnswer(struct Server* server, struct FastBuffer* buffer)
{
    uint8_t* message = GetFastBufferData(buffer);
    size_t length = GetFastBufferLength(buffer);
    struct Query* query = NULL;
    uint16_t id;

    /* What is longer may have been cut. */
    if ((length >= HEADER_LENGTH) && (length <= ANSWER_LIMIT)) {
        memcpy(&id, message, sizeof(id));
        query = server->byId[id];
    }
    if ((query == NULL) || !isAnswer(message, length, query)) {
        server->dropped++;
        ReleaseFastBuffer(buffer);
        return;
    }
    memcpy(message, &query->clientId, sizeof(query->clientId));
    TransmitFastSocketBuffer(server->socket, (struct sockaddr*)&query->client, query->clientLength,
                             buffer, 0, length, 0);
    server->answered++;
    closeQuery(query);
}

/* Nobody is there, or no way leads there. Which datagram that was about isn't told: it is about all. */
static void leaveUpstream(struct Upstream* upstream)
{
    struct Query* query;
    struct Query* next;

    for (query = LIST_FIRST(&upstream->server->queries); query != NULL; query = next) {
        next = LIST_NEXT(query, link);
        if (query->upstream == upstream)
            askAnother(query);
    }
}

/* Bursts of datagrams should find room while we do something else. It is a mere hint. */
static void setSystemRoom(int handle)
{
    int size = SYSTEM_ROOM;

    (void)!setsockopt(handle, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void handleUpstream(struct FastSocket* socket, int event, int parameter)
{
    struct Upstream* upstream = GetFastSocketClosure(socket);
    struct FastBuffer* buffer;

    (void)parameter;
    switch (event) {
    case POLLIN:
        while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL)
            takeAnswer(upstream->server, buffer);
        break;

    case POLLOUT:
        if (!upstream->connected)
            setSystemRoom(GetFastSocketHandle(socket));
        upstream->connected = true;
        break;

    case POLLERR:
        leaveUpstream(upstream);
        break;

    case POLLHUP:
        /* A socket of datagrams has no end, but that it could not be connected, or that the ring is
         * released. */
        ReleaseFastSocket(socket);
        upstream->socket = NULL;
        upstream->connected = false;
        break;

    default:
        break;
    }
}

/* ---- clients --------------------------------------------------------------------------------- */

/* Takes the buffer over, on success only. The message's number becomes ours. */
static struct Query* openQuery(struct Server* server, struct FastBuffer* buffer, size_t offset,
                               size_t length)
{
    struct Query* query = calloc(1, sizeof(*query));
    uint8_t* message = (uint8_t*)GetFastBufferData(buffer) + offset;

    if ((query == NULL) || !chooseId(server, &query->id)) {
        free(query);
        return NULL;
    }
    memcpy(&query->clientId, message, sizeof(query->clientId));
    memcpy(message, &query->id, sizeof(query->id));
    query->server = server;
    query->buffer = buffer;
    query->offset = offset;
    query->length = length;
    query->questionEnd = findQuestionEnd(message, length);
    query->first = server->preferred;
    server->byId[query->id] = query;
    server->open++;
    LIST_INSERT_HEAD(&server->queries, query, link);
    return query;
}

/* Consumes the buffer. */
static void takeQuery(struct Server* server, struct FastBuffer* buffer)
{
    uint8_t* data = GetFastBufferData(buffer);
    size_t offset = sizeof(struct Prefix) + NAME_ROOM; /* we asked for no control data */
    struct sockaddr_storage client;
    struct Prefix prefix;
    struct Query* query = NULL;

    memcpy(&prefix, data, sizeof(prefix));
    memcpy(&client, data + sizeof(prefix), sizeof(client));
    if ((prefix.nameLength > NAME_ROOM) || (prefix.flags & MSG_TRUNC) ||
        !isQuery(data + offset, prefix.payloadLength)) {
        server->dropped++;
        ReleaseFastBuffer(buffer);
        return;
    }
    if (server->open < server->limit)
        query = openQuery(server, buffer, offset, prefix.payloadLength);
    if (query == NULL) {
        uint16_t id;

        memcpy(&id, data + offset, sizeof(id));
        sendFailure(server, data + offset, findQuestionEnd(data + offset, prefix.payloadLength), id,
                    &client, prefix.nameLength);
        ReleaseFastBuffer(buffer);
        return;
    }
    query->client = client;
    query->clientLength = prefix.nameLength;
    ask(query);
}

/* POLLERR tells of clients that have gone, which is none of our business, and may be frequent. */
static void handleClients(struct FastSocket* socket, int event, int parameter)
{
    struct FastBuffer* buffer;

    (void)parameter;
    if (event != POLLIN)
        return;
    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL)
        takeQuery(GetFastSocketClosure(socket), buffer);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Answers that are queued still leave; what is open is left, and its clients ask again elsewhere. A
 * second signal ends the process at once. */
static void stopServer(struct Server* server)
{
    size_t index;

    while (!LIST_EMPTY(&server->queries))
        closeQuery(LIST_FIRST(&server->queries));
    for (index = 0; index < server->upstreamCount; index++) {
        ReleaseFastSocket(server->upstreams[index].socket);
        server->upstreams[index].socket = NULL;
    }
    ReleaseFastSocket(server->socket);
    RemoveFastRingSignal(server->interrupt);
    RemoveFastRingSignal(server->terminate);
    server->socket = NULL;
    server->interrupt = server->terminate = NULL;
}

static void handleSignal(struct FastRingSignal* signal, int number, int code, int process, int value,
                         void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value;
    stopServer(closure);
}

/* Makes all that lives on a ring, of which the clients' socket is the last: it has the descriptor on
 * success only. Returns false with errno; main() releases what was made. */
static bool openServer(struct Server* server, int handle)
{
    struct msghdr message = {.msg_namelen = NAME_ROOM};
    size_t index;

    server->ring = CreateFastRing(0);
    if (server->ring == NULL)
        return false;
    SetFastRingOption(server->ring, FASTRING_OPTION_BUFFER_LENGTH, ANSWER_ROOM);
    server->interrupt = AddFastRingSignal(server->ring, SIGINT, handleSignal, server);
    server->terminate = AddFastRingSignal(server->ring, SIGTERM, handleSignal, server);
    server->pool = CreateFastBufferPool(server->ring);
    if ((server->interrupt == NULL) || (server->terminate == NULL) || (server->pool == NULL))
        return false;
    server->provider = CreateFastRingBufferProvider(server->ring, 0, QUERY_BUFFERS, QUERY_ROOM,
                                                    AllocateRingFastBuffer, server->pool);
    if (server->provider == NULL)
        return false;
    for (index = 0; index < server->upstreamCount; index++)
        if (!openUpstream(&server->upstreams[index]))
            return false;
    server->socket = CreateFastSocket(server->ring, server->provider, server->pool, server->pool,
                                      handle, &message, 0, FASTSOCKET_MODE_REGULAR, 0,
                                      handleClients, server);
    return (server->socket != NULL) &&
           (SetFastSocketOption(server->socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT,
                                OUTBOUND_LIMIT) == 0);
}

/* Returns a bound socket, or -1 with errno. */
static int bindSocket(const char* address)
{
    struct sockaddr_storage name;
    socklen_t length;
    int result = ParseFastAddress(address, &name, &length);
    int handle;

    if (result < 0) {
        errno = -result;
        return -1;
    }
    if ((name.ss_family != AF_INET) && (name.ss_family != AF_INET6)) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    handle = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (handle < 0)
        return -1;
    if (bind(handle, (struct sockaddr*)&name, length) < 0) {
        result = errno;
        close(handle);
        errno = result;
        return -1;
    }
    setSystemRoom(handle);
    return handle;
}

/* Tells the user, or a program that started us with port 0, where we are. */
static void printAddress(int handle)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    char text[FASTSOCKET_ADDRESS_SIZE];

    if ((getsockname(handle, (struct sockaddr*)&name, &length) == 0) &&
        (FormatFastAddress((struct sockaddr*)&name, length, text, sizeof(text)) == 0))
        printf("listening on %s\n", text);
    fflush(stdout);
}

/* Reads options and upstreams. Returns false if there is something wrong with them. */
static bool readArguments(struct Server* server, int count, char** arguments)
{
    struct sockaddr_storage name;
    socklen_t length;
    int option;

    server->patience = 1000;
    server->limit = 4096;
    while ((option = getopt(count, arguments, "t:q:")) != -1) {
        if (option == 't')
            server->patience = atoi(optarg);
        else if (option == 'q')
            server->limit = strtoul(optarg, NULL, 10);
        else
            return false;
    }
    if ((count - optind < 2) || (server->patience < 1) || (server->limit > ID_COUNT / 2))
        return false;
    server->upstreams = calloc((size_t)(count - optind), sizeof(*server->upstreams));
    if (server->upstreams == NULL)
        return false;
    for (int index = optind + 1; index < count; index++) {
        struct Upstream* upstream = &server->upstreams[server->upstreamCount++];
        int size = snprintf(upstream->address, sizeof(upstream->address), "udp:%s",
                            arguments[index]);

        if (((size_t)size >= sizeof(upstream->address)) ||
            (ParseFastAddress(upstream->address, &name, &length) < 0)) {
            fprintf(stderr, "%s: not a numeric address\n", arguments[index]);
            return false;
        }
        upstream->server = server;
    }
    return true;
}

/* Until it is stopped, and what was queued has left. Returns 0 or a negative errno. */
static int runServer(struct Server* server)
{
    int result = 0;

    while ((result == 0) && ((server->socket != NULL) || (GetFastRingPending(server->ring) > 0)))
        result = WaitForFastRing(server->ring, UINT32_MAX, NULL);
    if (result < 0)
        fprintf(stderr, "ring: %s\n", strerror(-result));
    printf("%llu answered, %llu failed, %llu dropped\n", (unsigned long long)server->answered,
           (unsigned long long)server->failed, (unsigned long long)server->dropped);
    return result;
}

int main(int count, char** arguments)
{
    static struct Server server; /* too large for a stack */
    int result = -1;
    int handle;

    if (!readArguments(&server, count, arguments)) {
        fprintf(stderr, "usage: %s [-t MILLISECONDS] [-q QUERIES] LISTEN UPSTREAM...\n",
                arguments[0]);
        free(server.upstreams);
        return 2;
    }
    handle = bindSocket(arguments[optind]);
    if (handle < 0) {
        perror(arguments[optind]);
    } else if (!openServer(&server, handle)) {
        perror("dns-forwarder");
        if (server.socket == NULL)
            close(handle);
    } else {
        printAddress(handle);
        result = runServer(&server);
    }

    stopServer(&server); /* again, in case the loop ended otherwise */
    ReleaseFastRingBufferProvider(server.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(server.pool);
    ReleaseFastRing(server.ring);
    free(server.upstreams);
    return (result == 0) ? 0 : 1;
}
