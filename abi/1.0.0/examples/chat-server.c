/*
 * chat-server: each line that one client sends goes to all others. A first program of one's own.
 *     cc chat-server.c -o chat-server $(pkg-config --cflags --libs fastsocket)
 *     ./chat-server [PORT [MILLISECONDS]]       any free port and ten minutes by default
 *
 * Back-pressure: while one client doesn't take its lines, those who talk are paused. Idle timeout: who
 * says nothing and doesn't take its lines for so long has to go, and so nobody waits for ever.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>
#include <Ring/FastSocket.h>
enum { LINE_ROOM = 1024, OUTBOUND_LIMIT = 256 * 1024 };
struct Client
{
    LIST_ENTRY(Client) link;
    struct FastSocket* socket;
    struct FastRingTimeout* timeout;
    size_t length;
    char line[LINE_ROOM];
};
static LIST_HEAD(, Client) clients = LIST_HEAD_INITIALIZER(clients);
static struct FastRing* ring;
static struct FastBufferPool* pool;
static struct FastRingBufferProvider* provider;
static int idleTime = 600000;
static volatile sig_atomic_t stopped;
static void stop(int number) { stopped = number; }

static void balance(struct Client* talker)
{
    struct Client* client;
    int full = 0;
    LIST_FOREACH(client, &clients, link) full = full || GetFastSocketOutboundLength(client->socket) >= OUTBOUND_LIMIT;
    LIST_FOREACH(client, &clients, link)
        if (!full)
            ResumeFastSocket(client->socket);
    if (full && talker != NULL && PauseFastSocket(talker->socket) == 0) /* the slow one goes first */
        SetFastRingTimeout(ring, talker->timeout, 2 * (int64_t)idleTime, 0, NULL, NULL);
}

static void dismiss(struct Client* client)
{
    SetFastRingTimeout(NULL, client->timeout, -1, 0, NULL, NULL);
    ReleaseFastSocket(client->socket); /* sends what is queued, in the background */
    LIST_REMOVE(client, link);
    free(client);
    balance(NULL); /* perhaps this is whom all have waited for */
}

static void handleTimeout(struct FastRingTimeout* timeout, void* closure) { (void)timeout, dismiss(closure); }

static void handleEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Client *to, *from = GetFastSocketClosure(socket);
    ssize_t count;
    (void)parameter, SetFastRingTimeout(ring, from->timeout, idleTime, 0, NULL, NULL);
    while (event == POLLIN && (count = ReceiveFastSocketData(socket, from->line + from->length, LINE_ROOM - from->length, 0)) > 0) {
        from->length += count;
        char* last = memrchr(from->line, '\n', from->length); /* whole lines only, unless too long */
        size_t size = last ? (size_t)(last + 1 - from->line) : from->length == LINE_ROOM ? LINE_ROOM : 0;
        LIST_FOREACH(to, &clients, link)
            if (to != from && size > 0) /* where it fails, an event tells */
                TransmitFastSocketData(to->socket, NULL, 0, from->line, size, 0);
        memmove(from->line, from->line + size, from->length -= size);
    }
    if (event == POLLHUP)
        dismiss(from);
    else
        balance(event == POLLIN ? from : NULL);
}

static void handleConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Client* client = calloc(1, sizeof(*client));
    (void)listener, (void)closure;
    if (client == NULL || handle < 0 || (client->socket = CreateFastSocket(ring, provider, pool, pool, handle, NULL, 0, FASTSOCKET_MODE_REGULAR, 0, handleEvent, client)) == NULL) {
        free(client), close(handle);
        return;
    }
    SetFastSocketOption(client->socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, idleTime);
    client->timeout = SetFastRingTimeout(ring, NULL, idleTime, 0, handleTimeout, client);
    TransmitFastSocketData(client->socket, NULL, 0, "welcome\n", 8, 0);
    LIST_INSERT_HEAD(&clients, client, link);
}

int main(int count, char** arguments)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int one = 1, handle = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons(count > 1 ? atoi(arguments[1]) : 0);
    idleTime = count > 2 ? atoi(arguments[2]) : idleTime;
    if (handle < 0 || setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 || bind(handle, (struct sockaddr*)&address, length) < 0 || listen(handle, SOMAXCONN) < 0)
        return perror("listen"), EXIT_FAILURE;
    sigset_t blocked, during; /* signals come only while the ring waits, so that none is missed */
    sigfillset(&blocked), sigprocmask(SIG_BLOCK, &blocked, &during), signal(SIGINT, stop), signal(SIGTERM, stop);
    if ((ring = CreateFastRing(0)) == NULL)
        return perror("CreateFastRing"), EXIT_FAILURE;
    pool = CreateFastBufferPool(ring);
    provider = CreateFastRingBufferProvider(ring, 0, 256, 16384, AllocateRingFastBuffer, pool);
    struct FastListener* listener = CreateFastListener(ring, handle, 0, handleConnection, NULL);
    if (pool == NULL || provider == NULL || listener == NULL)
        return perror("libfastsocket"), EXIT_FAILURE;
    getsockname(handle, (struct sockaddr*)&address, &length);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port)), fflush(stdout);
    while (!stopped && WaitForFastRing(ring, UINT32_MAX, &during) == 0)
        ;
    ReleaseFastListener(listener);
    while (!LIST_EMPTY(&clients)) dismiss(LIST_FIRST(&clients));
    for (int turn = 0; turn < 100 && GetFastRingPending(ring) > 0; ++turn) WaitForFastRing(ring, 100, NULL);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer), ReleaseFastBufferPool(pool), ReleaseFastRing(ring);
    return stopped ? EXIT_SUCCESS : EXIT_FAILURE;
}
