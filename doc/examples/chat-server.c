/*
 * chat-server: each line that one client sends goes to all others. A first program of one's own.
 *     cc chat-server.c -o chat-server $(pkg-config --cflags --libs fastsocket)
 *     ./chat-server [ADDRESS [MILLISECONDS]]    127.0.0.1:0 (any port) and ten minutes by default
 *
 * Back-pressure: while one client doesn't take its lines, those who talk are paused. Timeouts: who neither
 * says nor hears anything for so long has to go, and so has who doesn't take his lines: nobody waits for ever.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
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
    size_t length;
    char line[LINE_ROOM];
};
static LIST_HEAD(, Client) clients = LIST_HEAD_INITIALIZER(clients);
static struct FastListener* server;
static struct FastRingSignal* signals[2];
static int patience = 600000;

static void balance(struct Client* talker)
{
    struct Client* client;
    int full = 0;
    LIST_FOREACH(client, &clients, link) full = full || GetFastSocketOutboundLength(client->socket) >= OUTBOUND_LIMIT;
    LIST_FOREACH(client, &clients, link)
        if (!full)
            ResumeFastSocket(client->socket);
    if (full && talker != NULL)
        PauseFastSocket(talker->socket);
}

static void dismiss(struct Client* client)
{
    ReleaseFastSocket(client->socket); /* sends what is queued, in the background */
    LIST_REMOVE(client, link);
    free(client);
    balance(NULL); /* perhaps this is whom all have waited for */
}

static void handleEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Client *to, *from = GetFastSocketClosure(socket);
    ssize_t count;
    (void)parameter;
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

static void handleConnection(struct FastListener* listener, int handle, void* ring)
{
    struct Client* client = handle >= 0 ? calloc(1, sizeof(*client)) : NULL;
    (void)listener;
    if (client == NULL || (client->socket = OpenFastSocket(ring, handle, FASTSOCKET_MODE_REGULAR, handleEvent, client)) == NULL) {
        free(client), close(handle);
        return;
    }
    SetFastSocketOption(client->socket, FASTSOCKET_OPTION_IDLE_TIMEOUT, patience);
    SetFastSocketOption(client->socket, FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, patience);
    TransmitFastSocketData(client->socket, NULL, 0, "welcome\n", 8, 0);
    LIST_INSERT_HEAD(&clients, client, link);
}

static void removeSignals(void)
{
    for (int index = 0; index < 2; ++index)
        RemoveFastRingSignal(signals[index]), signals[index] = NULL;
}

static void handleSignal(struct FastRingSignal* signal, int number, int code, int process, int value, void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value, (void)closure;
    ReleaseFastListener(server), server = NULL;
    while (!LIST_EMPTY(&clients)) dismiss(LIST_FIRST(&clients));
    removeSignals(); /* a second one ends us at once */
}

int main(int count, char** arguments)
{
    struct FastRing* ring = CreateFastRing(0);
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    char text[FASTSOCKET_ADDRESS_SIZE];
    int result = 0;
    patience = count > 2 ? atoi(arguments[2]) : patience;
    if ((signals[0] = AddFastRingSignal(ring, SIGINT, handleSignal, NULL)) == NULL || (signals[1] = AddFastRingSignal(ring, SIGTERM, handleSignal, NULL)) == NULL ||
        (server = ListenFastSocket(ring, count > 1 ? arguments[1] : "127.0.0.1:0", 0, handleConnection, ring)) == NULL)
        result = -errno, perror("chat-server");
    else if (getsockname(GetFastListenerHandle(server), (struct sockaddr*)&name, &length) == 0 && FormatFastAddress((struct sockaddr*)&name, length, text, sizeof(text)) == 0)
        printf("listening on %s\n", text), fflush(stdout);
    while (result == 0 && (server != NULL || GetFastRingPending(ring) > 0)) result = WaitForFastRing(ring, UINT32_MAX, NULL);
    removeSignals();
    ReleaseFastRing(ring);
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
