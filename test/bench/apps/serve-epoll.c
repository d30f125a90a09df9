/*
 * epoll's contender: what one read asked for is answered by one write, a large body from its own
 * memory; what the kernel doesn't take is kept, and written when there is room.
 *
 * -x gather  the usual way
 * -x each    each reply is written by itself
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "place.h"
#include "service.h"

enum
{
    BATCH = 256,
    INPUT = 64 * 1024,
    BODY_COPIED = 4 * 1024,      /* smaller bodies are gathered with the rest */
    OUTBOUND_LIMIT = 1024 * 1024 /* bytes kept at which we stop reading */
};

struct Connection
{
    struct Session session;
    int handle;
    uint32_t wanted; /* events */
    bool stuck;      /* what is kept waits for room */
    bool broken;
    bool queued;     /* in the list of those that have something to write */
    LIST_ENTRY(Connection)
    unsent; /* or closed */
    size_t outSize;
    size_t outRoom;
    char* out;
    struct sockaddr_in address; /* of the datagram that is being answered */
};

static struct Place place;
static bool writesEach;
static int events;
static LIST_HEAD(ConnectionList, Connection) unsent = LIST_HEAD_INITIALIZER(unsent);
static struct ConnectionList closed = LIST_HEAD_INITIALIZER(closed);

/* ---- output ---- */

static void keep(struct Connection* connection, const void* data, size_t size)
{
    size_t room = (connection->outRoom > 0) ? connection->outRoom : 4096;

    while (room < connection->outSize + size)
        room *= 2;
    if (room > connection->outRoom) {
        connection->out = growOrDie(connection->out, room);
        connection->outRoom = room;
    }
    memcpy(connection->out + connection->outSize, data, size);
    connection->outSize += size;
}

/* Writes what is kept, and a body behind it, which may be empty; keeps the rest. */
static void flush(struct Connection* connection, const uint8_t* body, size_t size)
{
    struct iovec parts[2] = {{connection->out, connection->outSize},
                             {(void*)(uintptr_t)body, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    size_t head = connection->outSize;
    size_t written;
    ssize_t result;

    if (connection->broken || connection->stuck)
        result = -1;
    else {
        result = sendmsg(connection->handle, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        connection->broken = (result < 0) && (errno != EAGAIN);
    }
    written = (result > 0) ? (size_t)result : 0;
    connection->stuck = written < head + size;
    connection->outSize = (written < head) ? head - written : 0;
    memmove(connection->out, connection->out + head - connection->outSize, connection->outSize);
    written -= (written < head) ? written : head;
    if (written < size)
        keep(connection, body + written, size - written);
}

static void enqueue(struct Connection* connection)
{
    if (!connection->queued)
        LIST_INSERT_HEAD(&unsent, connection, unsent);
    connection->queued = true;
}

void say(struct Session* session, const void* data, size_t size)
{
    struct Connection* connection = (struct Connection*)session;

    if (place.service->datagrams) {
        (void)sendto(connection->handle, data, size, MSG_DONTWAIT,
                     (struct sockaddr*)&connection->address, sizeof(connection->address));
        return;
    }
    keep(connection, data, size);
    if (writesEach)
        flush(connection, NULL, 0);
    enqueue(connection);
}

void sayBody(struct Session* session, const struct Body* body)
{
    if (body->size <= BODY_COPIED)
        say(session, body->data, body->size);
    else {
        flush((struct Connection*)session, body->data, body->size);
        enqueue((struct Connection*)session);
    }
}

void endSession(struct Session* session)
{
    session->ended = true;
    enqueue((struct Connection*)session);
}

uint8_t* makeBody(size_t size)
{
    return malloc((size > 0) ? size : 1);
}

/* ---- connections ---- */

static void watch(struct Connection* connection, uint32_t wanted, int operation)
{
    struct epoll_event event = {.events = wanted, .data.ptr = connection};

    if (epoll_ctl(events, operation, connection->handle, &event) < 0)
        die("epoll_ctl", errno);
    connection->wanted = wanted;
}

static struct Connection* makeConnection(int handle)
{
    struct Connection* connection = allocateOrDie(sizeof(*connection));

    *connection = (struct Connection){.handle = handle};
    openSession(&connection->session, place.service);
    watch(connection, EPOLLIN, EPOLL_CTL_ADD);
    return connection;
}

/* An event of the same batch may still name it. */
static void closeConnection(struct Connection* connection)
{
    close(connection->handle);
    connection->handle = -1;
    closeSession(&connection->session);
    LIST_INSERT_HEAD(&closed, connection, unsent);
}

static void freeClosed(void)
{
    struct Connection* connection;

    while ((connection = LIST_FIRST(&closed)) != NULL) {
        LIST_REMOVE(connection, unsent);
        free(connection->out);
        free(connection);
    }
}

/* Writes what there is, and says what is to be waited for. */
static void goOn(struct Connection* connection)
{
    bool ended = connection->session.ended;
    uint32_t wanted = connection->stuck ? EPOLLOUT : 0;

    LIST_REMOVE(connection, unsent);
    connection->queued = false;
    if ((connection->outSize > 0) && !connection->stuck) {
        flush(connection, NULL, 0);
        wanted = connection->stuck ? EPOLLOUT : 0;
    }
    if (connection->broken || (ended && (connection->outSize == 0))) {
        closeConnection(connection);
        return;
    }
    if (!ended && (connection->outSize < OUTBOUND_LIMIT))
        wanted |= EPOLLIN;
    if (wanted != connection->wanted)
        watch(connection, wanted, EPOLL_CTL_MOD);
}

static void goOnAll(void)
{
    struct Connection* connection;

    while ((connection = LIST_FIRST(&unsent)) != NULL)
        goOn(connection);
}

/* ---- input ---- */

static void takeInput(struct Connection* connection)
{
    static uint8_t data[INPUT];
    socklen_t length = sizeof(connection->address);
    ssize_t size = recvfrom(connection->handle, data, sizeof(data), MSG_DONTWAIT,
                            place.service->datagrams ? (struct sockaddr*)&connection->address
                                                     : NULL,
                            &length);

    if (size > 0)
        feedSession(&connection->session, data, (size_t)size);
    else if (!place.service->datagrams && ((size == 0) || (errno != EAGAIN))) {
        connection->broken = size < 0;
        endSession(&connection->session); /* what is kept is still written */
    }
}

static void handleEvents(struct Connection* connection, uint32_t what)
{
    if (connection->handle < 0)
        return;
    if (what & EPOLLOUT)
        connection->stuck = false;
    if (what & (EPOLLIN | EPOLLHUP | EPOLLERR))
        takeInput(connection);
    if (what & EPOLLOUT)
        enqueue(connection);
}

static void acceptOne(int listener)
{
    int handle = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (handle >= 0)
        makeConnection(handle);
    else if ((errno != EAGAIN) && (errno != ECONNABORTED))
        die("accept", errno);
}

int main(int count, char** arguments)
{
    static const char* const variants[] = {"gather", "each", NULL};
    struct epoll_event batch[BATCH];
    struct epoll_event listening = {.events = EPOLLIN}; /* its pointer is NULL */
    int handle;

    place = beginPlace(count, arguments, variants);
    writesEach = isPlaceVariant(&place, "each");
    events = epoll_create1(EPOLL_CLOEXEC);
    if (events < 0)
        die("epoll_create1", errno);
    handle = openPlace(&place);
    makeNonblocking(handle);
    if (place.service->datagrams)
        makeConnection(handle);
    else if (epoll_ctl(events, EPOLL_CTL_ADD, handle, &listening) < 0)
        die("epoll_ctl", errno);
    for (;;) {
        int number = epoll_wait(events, batch, BATCH, -1);

        for (int index = 0; index < number; index++) {
            if (batch[index].data.ptr == NULL)
                acceptOne(handle);
            else
                handleEvents(batch[index].data.ptr, batch[index].events);
            goOnAll();
        }
        freeClosed();
    }
}
