/*
 * Connections as such: how they are made; idle, what each costs a server in memory; churn, what it
 * costs to have one for a single echo.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum
{
    ADDRESSES = 100,     /* of loopback, each with ports of its own */
    REST = 300 * 1000000 /* nanoseconds in which an idle server may tidy up */
};

static void bindToOne(int handle, uint32_t number)
{
    struct sockaddr_in from = addressOf(INADDR_LOOPBACK + (number % ADDRESSES), 0);
    int one = 1;

    setsockopt(handle, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(handle, (struct sockaddr*)&from, sizeof from) < 0)
        die("bind", errno);
}

static int openSocket(const struct LoadOptions* options, int type)
{
    struct timeval patience = {.tv_sec = options->patience};
    int handle = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    if (handle < 0)
        die("socket", errno);
    setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(handle, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return handle;
}

static void connectTo(int handle, uint16_t port)
{
    struct sockaddr_in address = addressOf(INADDR_LOOPBACK, port);

    if (connect(handle, (struct sockaddr*)&address, sizeof address) < 0)
        die("connect", errno);
}

int dialStream(const struct LoadOptions* options, uint32_t number)
{
    int handle = openSocket(options, SOCK_STREAM);

    bindToOne(handle, number);
    tuneStream(handle);
    connectTo(handle, options->port);
    return handle;
}

int dialDatagrams(const struct LoadOptions* options)
{
    int handle = openSocket(options, SOCK_DGRAM);

    tuneDatagrams(handle);
    connectTo(handle, options->port);
    return handle;
}

/* ---- one echo ---- */

static void sendOne(const struct LoadOptions* options, int handle, uint32_t number)
{
    static uint8_t data[MESSAGE_LONGEST];

    fillMessage(data, options->size, number, 0);
    if (send(handle, data, options->size, MSG_NOSIGNAL) != (ssize_t)options->size)
        die("send", errno);
}

static void receiveOne(const struct LoadOptions* options, int handle, uint32_t number)
{
    static uint8_t data[MESSAGE_LONGEST];
    struct MessageReader reader = {.size = options->size, .connection = number};

    while (reader.next == 0) {
        ssize_t length = recv(handle, data, options->size - reader.offset, 0);
        if ((length < 0) && (errno == EAGAIN))
            giveUp(number);
        if (length <= 0)
            die("the server gave no echo", (length < 0) ? errno : 0);
        readMessages(&reader, data, (size_t)length);
    }
}

/* To the server this is a close; here it is seen what comes until the server's own end. */
static void endOne(int handle)
{
    if (shutdown(handle, SHUT_WR) < 0)
        die("shutdown", errno);
}

static void closeOne(int handle, uint32_t number)
{
    uint8_t byte;
    ssize_t length = recv(handle, &byte, 1, 0);

    if ((length < 0) && (errno == EAGAIN))
        giveUp(number);
    if (length < 0)
        die("the server gave no end", errno);
    if (length > 0)
        refuse("more than the echo", number, 1);
    close(handle);
}

/* ---- idle ---- */

static void rest(void)
{
    struct timespec time = {.tv_nsec = REST};

    nanosleep(&time, NULL);
}

static void openIdle(const struct LoadOptions* options, int* handles, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        handles[i] = dialStream(options, i);
        sendOne(options, handles[i], i);
        receiveOne(options, handles[i], i);
    }
    rest();
}

/* «memory» is all that the connections brought; «slope» leaves out what the first tenth of them
 * brought, which is where a server touches its receive buffers for the first time. */
void loadIdle(const struct LoadOptions* options)
{
    uint32_t few = options->connections / 10;
    uint64_t none = residentBytes(options->server);
    uint64_t some;
    uint64_t all;
    static int* handles; /* kept for checkers of memory */

    handles = allocateOrDie(options->connections * sizeof *handles);
    openIdle(options, handles, 0, few);
    some = residentBytes(options->server);
    openIdle(options, handles, few, options->connections);
    all = residentBytes(options->server);
    printf("{\"memory\": %.1f, \"slope\": %.1f, \"connections\": %u, \"resident\": %llu}\n",
           ((double)all - (double)none) / options->connections,
           ((double)all - (double)some) / (options->connections - few), options->connections,
           (unsigned long long)all);
    for (uint32_t i = 0; i < options->connections; i++)
        endOne(handles[i]);
    for (uint32_t i = 0; i < options->connections; i++)
        closeOne(handles[i], i);
}

/* ---- churn ---- */

static void haveOnce(struct Measure* measure, int* handles, uint32_t round)
{
    const struct LoadOptions* options = measure->options;
    uint32_t count = options->connections;

    for (uint32_t i = 0; i < count; i++) {
        handles[i] = dialStream(options, (round * count) + i);
        sendOne(options, handles[i], i);
    }
    for (uint32_t i = 0; i < count; i++) {
        receiveOne(options, handles[i], i);
        endOne(handles[i]);
        measure->messages++;
    }
}

static void closeAll(const int* handles, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        closeOne(handles[i], i);
}

/* The server's ends of a round are looked for when the next one is over: they are there by then,
 * so that nobody waits for them. */
void loadChurn(const struct LoadOptions* options)
{
    static struct Measure measure;
    static int* handles; /* of two rounds; kept for checkers of memory */
    uint32_t count = options->connections;
    uint32_t round = 0;

    handles = allocateOrDie(2 * count * sizeof *handles);
    beginMeasure(&measure, options);
    while (measureGoesOn(&measure)) {
        haveOnce(&measure, handles + ((round % 2) * count), round);
        round++;
        if (round > 1)
            closeAll(handles + ((round % 2) * count), count);
    }
    reportMeasure(&measure);
    closeAll(handles + (((round + 1) % 2) * count), count);
}
