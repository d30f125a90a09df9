/*
 * The library at its main job: an echo server and its clients over loopback, in one process, each
 * on a ring and a thread of its own.
 *
 *     demo [SECONDS [CONNECTIONS]]
 *
 * Every connection sends messages of mixed sizes, 1 B to 1 MiB, one after the other, with a bounded
 * number of bytes on their way, and compares what comes back byte by byte with what it must be: a
 * pattern that depends on the connection and on the position. When the time is over, the clients
 * wait for what is still on its way, end their output, and expect the end of input at exactly that
 * place.
 *
 * Ends with status 0 if every byte came back in its place, nothing failed and nothing was left
 * over.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

enum
{
    SECONDS = 3,
    CONNECTIONS = 200,
    BUFFER_COUNT = 512,
    BUFFER_LENGTH = 16 * 1024,
    MESSAGE_LIMIT = 1024 * 1024,
    WINDOW = 256 * 1024,         /* bytes of a connection on their way beyond one message */
    OUTBOUND_LIMIT = 512 * 1024, /* bytes queued at which the server pauses a connection */
    STALL = 60000,               /* milliseconds without a byte after which the run has failed */
    REFUSED = 77                 /* exit status: this system allows no io_uring */
};

/* One end of the demo: a ring and what lives on it. */
struct Party
{
    struct FastRing* ring;
    struct FastBufferPool* inbound;
    struct FastBufferPool* outbound;
    struct FastRingBufferProvider* provider;
};

struct Server
{
    struct Party party;
    struct FastListener* listener;
    struct FastRingEvent* event;      /* rung by the client when all is over */
    struct FastRingTimeout* patience; /* with connections that should have ended by then */
    size_t connections;
    bool stopped;
    bool failed;
};

/* A connection of the server. */
struct Echo
{
    struct Server* server;
    struct FastSocket* socket;
    bool paused;
};

struct Client
{
    struct Party party;
    struct FastRingTimeout* end;
    struct FastRingTimeout* stall;
    struct Flow* flows;
    size_t count;
    size_t live; /* flows that have not seen the end of input */
    bool ending; /* no new messages */
    bool failed;
    uint64_t seen; /* bytes received when the stall timeout was last armed */
    uint64_t messages;
    uint64_t bytes; /* received and compared */
};

/* A connection of the client. */
struct Flow
{
    struct Client* client;
    struct FastSocket* socket;
    uint64_t number;
    uint64_t random;
    uint64_t sent;
    uint64_t received;
    size_t next; /* size of the next message */
    bool shut;
};

static const struct
{
    uint64_t bit;
    const char* name;
} features[] = {
    {FASTRING_FEATURE_SINGLE_ISSUER, "SINGLE_ISSUER"},
    {FASTRING_FEATURE_DEFER_TASKRUN, "DEFER_TASKRUN"},
    {FASTRING_FEATURE_COOP_TASKRUN, "COOP_TASKRUN"},
    {FASTRING_FEATURE_NO_SQARRAY, "NO_SQARRAY"},
    {FASTRING_FEATURE_NO_IOWAIT, "NO_IOWAIT"},
    {FASTRING_FEATURE_RECEIVE_MULTISHOT, "RECEIVE_MULTISHOT"},
    {FASTRING_FEATURE_RECEIVE_BUNDLE, "RECEIVE_BUNDLE"},
    {FASTRING_FEATURE_RECEIVE_CAP, "RECEIVE_CAP"},
    {FASTRING_FEATURE_ACCEPT_MULTISHOT, "ACCEPT_MULTISHOT"},
    {FASTRING_FEATURE_SEND_ZERO_COPY, "SEND_ZERO_COPY"},
    {FASTRING_FEATURE_SENDMSG_ZERO_COPY, "SENDMSG_ZERO_COPY"},
    {FASTRING_FEATURE_ZERO_COPY_REPORT, "ZERO_COPY_REPORT"},
    {FASTRING_FEATURE_READ_MULTISHOT, "READ_MULTISHOT"},
    {FASTRING_FEATURE_WRITE_NO_SIGNAL, "WRITE_NO_SIGNAL"},
    {FASTRING_FEATURE_NAPI, "NAPI"},
    {FASTRING_FEATURE_MINIMUM_WAIT, "MINIMUM_WAIT"},
    {FASTRING_FEATURE_ACCEPT_AT_ONCE, "ACCEPT_AT_ONCE"},
};

static bool complain(const char* format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "demo: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    return false;
}

/* ---- the pattern ----------------------------------------------------------------------------- */

/* SplitMix64's finish: every bit of the input changes half of the output. */
static uint64_t mix(uint64_t value)
{
    value += UINT64_C(0x9E3779B97F4A7C15);
    value = (value ^ (value >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
    return value ^ (value >> 31);
}

/* Writes the bytes of a connection's stream from position on. */
static void fillPattern(uint64_t number, uint64_t position, uint8_t* data, size_t size)
{
    uint64_t word;
    size_t skip;
    size_t part;

    while (size > 0) {
        word = mix((number << 40) ^ (position / sizeof(word)));
        skip = position % sizeof(word);
        part = sizeof(word) - skip;
        if (part > size)
            part = size;
        memcpy(data, (uint8_t*)&word + skip, part);
        data += part;
        size -= part;
        position += part;
    }
}

static bool comparePattern(uint64_t number, uint64_t position, const uint8_t* data, size_t size)
{
    uint8_t expected[4096];
    size_t part;

    for (; size > 0; size -= part) {
        part = (size < sizeof(expected)) ? size : sizeof(expected);
        fillPattern(number, position, expected, part);
        if (memcmp(expected, data, part) != 0)
            return false;
        data += part;
        position += part;
    }
    return true;
}

/* Every order of magnitude is as likely as any other; both ends of the range do occur. */
static size_t drawSize(uint64_t* random)
{
    size_t top;

    *random = mix(*random);
    top = (size_t)1 << (*random % 21);
    return (*random & 0x700000) ? top - (size_t)((*random >> 32) % ((top + 1) / 2)) : top;
}

/* ---- a ring and what it needs ---------------------------------------------------------------- */

static bool openParty(struct Party* party)
{
    party->ring = CreateFastRing(0);
    if (party->ring == NULL)
        return false;
    party->inbound = CreateFastBufferPool(party->ring);
    party->outbound = CreateFastBufferPool(party->ring);
    if ((party->inbound == NULL) || (party->outbound == NULL))
        return false;
    party->provider = CreateFastRingBufferProvider(party->ring, 0, BUFFER_COUNT, BUFFER_LENGTH,
                                                   AllocateRingFastBuffer, party->inbound);
    return party->provider != NULL;
}

/* Returns whether nothing was left over: no socket, and no buffer but the provider's own. */
static bool closeParty(struct Party* party, const char* name)
{
    struct FastRingStatistics statistics = {0};
    bool clean = true;
    int result = 0;

    if (party->ring == NULL)
        return false;
    while ((result == 0) && (GetFastRingPending(party->ring) > 0))
        result = WaitForFastRing(party->ring, 1000, NULL);
    ReleaseFastRingBufferProvider(party->provider, ReleaseRingFastBuffer);
    /* Zero copy: the kernel may hold buffers for a little while after it has taken their bytes. */
    for (int turn = 0; (result == 0) && (turn < 1000); turn++) {
        result = GetFastRingStatistics(party->ring, &statistics, sizeof(statistics));
        if ((statistics.buffers == 0) && (statistics.sockets == 0))
            break;
        if (result == 0)
            result = WaitForFastRing(party->ring, 10, NULL);
    }
    if ((result < 0) || (statistics.buffers > 0) || (statistics.sockets > 0))
        clean = complain("%s left %llu buffers and %llu sockets, result %d", name,
                         (unsigned long long)statistics.buffers,
                         (unsigned long long)statistics.sockets, result);
    ReleaseFastBufferPool(party->inbound);
    ReleaseFastBufferPool(party->outbound);
    ReleaseFastRing(party->ring);
    return clean;
}

static struct FastSocket* openPartySocket(struct Party* party, int handle, size_t number,
                                          HandleFastSocketEvent function, void* closure)
{
    static const int modes[] = {
        FASTSOCKET_MODE_REGULAR,
        FASTSOCKET_MODE_ZERO_COPY,
        FASTSOCKET_MODE_AUTO_CORK,
        FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK,
    };
    int yes = 1;

    setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    return CreateFastSocket(party->ring, party->provider, party->inbound, party->outbound, handle,
                            NULL, 0, modes[number % 4], 0, function, closure);
}

/* ---- the server: echoes without copying ------------------------------------------------------ */

/* Only the first failure is worth a line: it makes others. */
static void failServer(struct Server* server, const char* text, int reason)
{
    if (!server->failed)
        complain("server: %s: %s", text, strerror(reason));
    server->failed = true;
}

static void closeEcho(struct Echo* echo)
{
    echo->server->connections--;
    ReleaseFastSocket(echo->socket);
    free(echo);
}

/* The buffer goes back as it came. */
static int echoBuffer(struct FastSocket* socket, struct FastBuffer* buffer)
{
    size_t length = GetFastBufferLength(buffer);

    return TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, length, 0);
}

static void handleEchoEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Echo* echo = GetFastSocketClosure(socket);
    struct FastBuffer* buffer;
    int result = 0;

    switch (event) {
    case POLLIN:
        while ((result == 0) && ((buffer = ReceiveFastSocketBuffer(socket)) != NULL))
            result = echoBuffer(socket, buffer);
        if (result < 0)
            failServer(echo->server, "transmit", -result);
        if ((GetFastSocketOutboundLength(socket) >= OUTBOUND_LIMIT) &&
            (PauseFastSocket(socket) == 0))
            echo->paused = true;
        break;

    case POLLOUT:
        if (echo->paused) {
            echo->paused = false;
            ResumeFastSocket(socket);
        }
        break;

    case POLLERR:
        failServer(echo->server, "connection", parameter);
        break;

    case POLLHUP:
        closeEcho(echo);
        break;
    }
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Server* server = closure;
    struct Echo* echo;

    (void)listener;
    if (handle < 0) {
        failServer(server, "accept", -handle);
        return;
    }
    echo = calloc(1, sizeof(*echo));
    if (echo != NULL) {
        echo->server = server;
        echo->socket = openPartySocket(&server->party, handle, server->connections, handleEchoEvent,
                                       echo);
    }
    if ((echo == NULL) || (echo->socket == NULL)) {
        failServer(server, "socket", errno);
        free(echo);
        close(handle);
        return;
    }
    server->connections++;
}

static void handlePatience(struct FastRingTimeout* timeout, void* closure)
{
    struct Server* server = closure;

    (void)timeout; /* it goes after this call: it fires only once */
    server->patience = NULL;
    server->connections = 0;
    failServer(server, "ends of connections", ETIMEDOUT);
}

static void handleStop(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    struct Server* server = closure;

    (void)event;
    (void)parameter;
    server->stopped = true;
    ReleaseFastListener(server->listener);
    server->listener = NULL;
    server->patience =
        SetFastRingTimeout(server->party.ring, NULL, STALL, 0, handlePatience, server);
    if (server->patience == NULL)
        failServer(server, "timeout", errno);
}

static void* runServer(void* closure)
{
    struct Server* server = closure;
    int result = 0;

    /* The clients have seen the end of all connections when they ring: those that are still here
     * have it in their queues. */
    while ((result == 0) && (!server->stopped || (server->connections > 0)))
        result = WaitForFastRing(server->party.ring, UINT32_MAX, NULL);
    if (result < 0)
        failServer(server, "ring", -result);
    ReleaseFastListener(server->listener);
    if (server->patience != NULL)
        SetFastRingTimeout(NULL, server->patience, -1, 0, NULL, NULL);
    if (!closeParty(&server->party, "server"))
        server->failed = true;
    return NULL;
}

/* ---- the clients ----------------------------------------------------------------------------- */

static void failFlow(struct Flow* flow, const char* text, int reason)
{
    if (!flow->client->failed)
        complain("connection %llu, byte %llu of %llu: %s%s%s", (unsigned long long)flow->number,
                 (unsigned long long)flow->received, (unsigned long long)flow->sent, text,
                 (reason != 0) ? ": " : "", (reason != 0) ? strerror(reason) : "");
    flow->client->failed = true;
}

/* Sends messages as long as the window is open; the last one may reach beyond it. */
static void sendMessages(struct Flow* flow)
{
    struct FastBuffer* buffer;
    int result = 0;

    while ((result == 0) && !flow->client->ending && (flow->sent - flow->received < WINDOW)) {
        buffer = AllocateFastBuffer(flow->client->party.outbound, flow->next, 0);
        if (buffer == NULL) {
            failFlow(flow, "buffer", errno);
            return;
        }
        fillPattern(flow->number, flow->sent, GetFastBufferData(buffer), flow->next);
        /* Half of the messages are copied, half handed over. */
        if (flow->random & 0x80000000) {
            result = TransmitFastSocketBuffer(flow->socket, NULL, 0, buffer, 0, flow->next, 0);
        } else {
            result = TransmitFastSocketData(flow->socket, NULL, 0, GetFastBufferData(buffer),
                                            flow->next, 0);
            ReleaseFastBuffer(buffer);
        }
        flow->sent += flow->next;
        flow->next = drawSize(&flow->random);
        flow->client->messages++;
    }

    if ((result == 0) && flow->client->ending && !flow->shut) {
        flow->shut = true;
        result = ShutdownFastSocket(flow->socket);
    }
    if (result < 0)
        failFlow(flow, "transmit", -result);
}

static void receiveEcho(struct Flow* flow)
{
    struct FastBuffer* buffer;
    size_t length;

    while ((buffer = ReceiveFastSocketBuffer(flow->socket)) != NULL) {
        length = GetFastBufferLength(buffer);
        if (length > flow->sent - flow->received)
            failFlow(flow, "more came back than was sent", 0);
        else if (!comparePattern(flow->number, flow->received, GetFastBufferData(buffer), length))
            failFlow(flow, "wrong bytes", 0);
        flow->received += length;
        flow->client->bytes += length;
        ReleaseFastBuffer(buffer);
    }
}

static void handleFlowEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Flow* flow = GetFastSocketClosure(socket);

    switch (event) {
    case POLLIN:
        receiveEcho(flow);
        sendMessages(flow);
        break;

    case POLLOUT:
        sendMessages(flow);
        break;

    case POLLERR:
        failFlow(flow, "connection failed", parameter);
        break;

    case POLLHUP:
        if (!flow->shut || (flow->received != flow->sent))
            failFlow(flow, "connection ended early", parameter);
        ReleaseFastSocket(socket);
        flow->socket = NULL;
        flow->client->live--;
        break;
    }
}

static void handleTime(struct FastRingTimeout* timeout, void* closure)
{
    struct Client* client = closure;

    (void)timeout; /* it goes after this call: it fires only once */
    client->end = NULL;
    client->ending = true;
    for (size_t index = 0; index < client->count; index++) {
        if (client->flows[index].socket != NULL)
            sendMessages(&client->flows[index]);
    }
}

static void handleStall(struct FastRingTimeout* timeout, void* closure)
{
    struct Client* client = closure;

    (void)timeout;
    if (client->bytes == client->seen)
        client->failed = !complain("nothing came back for %d s", STALL / 1000);
    client->seen = client->bytes;
}

static bool openFlow(struct Client* client, size_t number, const struct sockaddr_in* address)
{
    struct Flow* flow = &client->flows[number];
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    flow->client = client;
    flow->number = number;
    flow->random = mix(number + 1);
    flow->next = drawSize(&flow->random);
    if (handle < 0)
        return complain("socket: %s", strerror(errno));
    if ((connect(handle, (const struct sockaddr*)address, sizeof(*address)) == 0) ||
        (errno == EINPROGRESS))
        flow->socket = openPartySocket(&client->party, handle, number, handleFlowEvent, flow);
    if (flow->socket == NULL) {
        complain("connect: %s", strerror(errno));
        close(handle);
        return false;
    }
    client->live++;
    return true;
}

/* Returns whether everything went well. */
static bool runClient(struct Client* client, const struct sockaddr_in* address, int64_t interval)
{
    int result = 0;

    client->end = SetFastRingTimeout(client->party.ring, NULL, interval, 0, handleTime, client);
    client->stall = SetFastRingTimeout(client->party.ring, NULL, STALL, FASTRING_TIMEOUT_REPEAT,
                                       handleStall, client);
    client->failed = (client->end == NULL) || (client->stall == NULL);
    for (size_t index = 0; (index < client->count) && !client->failed; index++)
        client->failed = !openFlow(client, index, address);

    while ((result == 0) && !client->failed && (client->live > 0))
        result = WaitForFastRing(client->party.ring, UINT32_MAX, NULL);
    if (result < 0)
        client->failed = !complain("client: ring: %s", strerror(-result));

    for (size_t index = 0; index < client->count; index++)
        AbortFastSocket(client->flows[index].socket); /* none are left if all went well */
    if (client->end != NULL)
        SetFastRingTimeout(NULL, client->end, -1, 0, NULL, NULL);
    if (client->stall != NULL)
        SetFastRingTimeout(NULL, client->stall, -1, 0, NULL, NULL);
    return !client->failed;
}

/* ---- main ------------------------------------------------------------------------------------ */

static int openListener(struct sockaddr_in* address)
{
    socklen_t length = sizeof(*address);
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if ((handle >= 0) &&
        ((bind(handle, (struct sockaddr*)address, length) < 0) || (listen(handle, SOMAXCONN) < 0) ||
         (getsockname(handle, (struct sockaddr*)address, &length) < 0))) {
        close(handle);
        handle = -1;
    }
    return handle;
}

/* Two descriptors a connection, and some to spare. */
static size_t limitConnections(size_t count)
{
    struct rlimit limit;
    size_t most;

    if ((getrlimit(RLIMIT_NOFILE, &limit) < 0) || (limit.rlim_cur > 1000000))
        return count;
    most = (limit.rlim_cur > 64) ? (size_t)(limit.rlim_cur - 48) / 2 : 8;
    return (count < most) ? count : most;
}

static void printReport(const struct Client* client, double seconds, uint64_t bits)
{
    double mebibytes = (double)client->bytes / (1024 * 1024);

    printf("messages  %llu of 1 B to %d KiB on %zu connections\n",
           (unsigned long long)client->messages, MESSAGE_LIMIT / 1024, client->count);
    printf("bytes     %llu (%.0f MiB) sent, echoed and compared\n",
           (unsigned long long)client->bytes, mebibytes);
    printf("rate      %.0f MiB/s and %.0f messages/s there and back, in %.2f s\n",
           mebibytes / seconds, (double)client->messages / seconds, seconds);
    printf("features ");
    for (size_t index = 0; index < sizeof(features) / sizeof(features[0]); index++) {
        if (bits & features[index].bit)
            printf(" %s", features[index].name);
    }
    printf("%s\n", (bits == 0) ? " none" : "");
}

static double getTime(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool isRefusal(long result)
{
    return (result < 0) && ((errno == EPERM) || (errno == ENOSYS) || (errno == EACCES));
}

/* Asks the kernel itself: a fault of the library must not pass for a refusal. Each call may be
 * refused alone. */
static bool isRefused(void)
{
    struct io_uring_params parameters = {0};
    int handle = (int)syscall(SYS_io_uring_setup, 1, &parameters);
    bool refused =
        isRefusal(handle) || isRefusal(syscall(SYS_io_uring_enter, handle, 0, 0, 0, NULL, 0)) ||
        isRefusal(syscall(SYS_io_uring_register, handle, IORING_UNREGISTER_EVENTFD, NULL, 0));

    if (handle >= 0)
        close(handle);
    return refused;
}

int main(int count, char** arguments)
{
    long seconds = (count > 1) ? strtol(arguments[1], NULL, 10) : SECONDS;
    long connections = (count > 2) ? strtol(arguments[2], NULL, 10) : CONNECTIONS;
    struct Server server = {0};
    struct Client client = {0};
    struct sockaddr_in address;
    pthread_t thread;
    uint64_t bits;
    double start;
    int handle;
    int result;

    if ((seconds < 0) || (seconds > 86400) || (connections < 1) || (connections > 100000)) {
        fprintf(stderr, "usage: demo [SECONDS [CONNECTIONS]]\n");
        return 2;
    }
    client.count = limitConnections((size_t)connections);
    client.flows = calloc(client.count, sizeof(*client.flows));
    handle = openListener(&address);

    /* The server's ring is made here and run in another thread. */
    if ((client.flows == NULL) || (handle < 0) || !openParty(&client.party) ||
        !openParty(&server.party) ||
        ((server.event = CreateFastRingEvent(server.party.ring, handleStop, &server)) == NULL) ||
        ((server.listener = CreateFastListener(server.party.ring, handle, 0, handleConnection,
                                               &server)) == NULL)) {
        complain("start: %s", strerror(errno));
        return isRefused() ? REFUSED : 1;
    }
    result = pthread_create(&thread, NULL, runServer, &server);
    if (result != 0) {
        complain("thread: %s", strerror(result));
        return 1;
    }

    bits = GetFastRingFeatures(client.party.ring);
    start = getTime();
    if (runClient(&client, &address, seconds * 1000))
        printReport(&client, getTime() - start, bits);
    /* First the client's ring: it still has to end the connections of a run that failed, and the
     * server waits for that. */
    if (!closeParty(&client.party, "client"))
        client.failed = true;
    SubmitFastRingEvent(server.event, 0);
    pthread_join(thread, NULL);
    ReleaseFastRingEvent(server.event);
    free(client.flows);
    return (client.failed || server.failed) ? 1 : 0;
}
