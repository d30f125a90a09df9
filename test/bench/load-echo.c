/*
 * TCP echo: on each connection some messages are outstanding, and each answer is followed by the
 * next message. What one readiness brought is answered by one send.
 */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum
{
    EVENTS = 256,
    PIECE = 256 * 1024,
    WAIT = 100 /* milliseconds, so that the end is never far */
};

struct Connection
{
    struct MessageReader reader;
    int handle;
    uint64_t sequence; /* of the next message */
    uint8_t* out;      /* what the kernel has not taken yet, from sent to length */
    size_t length;
    size_t sent;
    uint64_t* begin; /* when each outstanding message was made, by its number */
};

static uint8_t piece[PIECE];

static void flushConnection(struct Connection* connection)
{
    while (connection->sent < connection->length) {
        ssize_t sent = send(connection->handle, connection->out + connection->sent,
                            connection->length - connection->sent, MSG_NOSIGNAL);
        if ((sent < 0) && (errno == EAGAIN))
            return;
        if (sent < 0)
            die("send", errno);
        connection->sent += (size_t)sent;
    }
    connection->sent = connection->length = 0;
}

/* Adds messages to what is to be sent: never more than are allowed to be outstanding. */
static void addMessages(struct Connection* connection, const struct LoadOptions* options,
                        uint64_t count)
{
    uint64_t now = timeNow();

    memmove(connection->out, connection->out + connection->sent,
            connection->length - connection->sent);
    connection->length -= connection->sent;
    connection->sent = 0;
    for (; count > 0; count--) {
        fillMessage(connection->out + connection->length, options->size,
                    connection->reader.connection, connection->sequence);
        connection->length += options->size;
        connection->begin[connection->sequence % options->depth] = now;
        connection->sequence++;
    }
}

static void takeAnswers(struct Connection* connection, struct Measure* measure, size_t length)
{
    uint32_t depth = measure->options->depth;
    uint64_t first = connection->reader.next;
    uint64_t count = readMessages(&connection->reader, piece, length);
    uint64_t now = timeNow();

    if (connection->reader.next > connection->sequence)
        refuse("an answer without a message", connection->reader.connection, first);
    for (uint64_t i = 0; i < count; i++)
        recordAnswer(measure, now - connection->begin[(first + i) % depth]);
    measure->messages += count;
    addMessages(connection, measure->options, count);
}

static void readConnection(struct Connection* connection, struct Measure* measure)
{
    ssize_t length;

    do {
        length = recv(connection->handle, piece, sizeof piece, 0);
        if ((length < 0) && (errno == EAGAIN))
            break;
        if (length <= 0)
            die("the server has closed a connection", (length < 0) ? errno : 0);
        takeAnswers(connection, measure, (size_t)length);
    } while (length == sizeof piece);
    flushConnection(connection);
}

static struct Connection* openConnections(const struct LoadOptions* options, int poll)
{
    struct Connection* connections = allocateOrDie(options->connections * sizeof *connections);

    for (uint32_t i = 0; i < options->connections; i++) {
        struct Connection* connection = &connections[i];
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                    .data.ptr = connection};
        *connection = (struct Connection){
            .reader = {.size = options->size, .connection = i},
            .handle = dialStream(options, i),
            .out = allocateOrDie(options->depth * options->size),
            .begin = allocateOrDie(options->depth * sizeof *connection->begin)};
        makeNonblocking(connection->handle);
        if (epoll_ctl(poll, EPOLL_CTL_ADD, connection->handle, &event) < 0)
            die("epoll_ctl", errno);
    }
    return connections;
}

void loadEcho(const struct LoadOptions* options)
{
    static struct Measure measure;
    struct epoll_event events[EVENTS];
    static struct Connection* connections; /* kept for checkers of memory */
    int poll = epoll_create1(EPOLL_CLOEXEC);

    connections = openConnections(options, poll);
    beginMeasure(&measure, options);
    for (uint32_t i = 0; i < options->connections; i++) {
        addMessages(&connections[i], options, options->depth);
        flushConnection(&connections[i]);
    }
    while (measureGoesOn(&measure)) {
        int count = epoll_wait(poll, events, EVENTS, WAIT);
        for (int i = 0; i < count; i++) {
            struct Connection* connection = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) != 0)
                flushConnection(connection);
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
                readConnection(connection, &measure);
        }
    }
    reportMeasure(&measure);
}
