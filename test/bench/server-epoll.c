/*
 * The contender on epoll: edge-triggered, sends at once, keeps what the kernel doesn't take until
 * the connection is writable.
 *
 * -x each    pushes each message by a send of its own, without a copy (usual: a burst by one send)
 * -x batch   datagrams are received and sent in batches (usual: one by one)
 */
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum
{
    EVENTS = 256,
    BATCH = 64,
    DATAGRAM = 2048
};

struct Connection
{
    int handle;
    struct Receipt* receipt;
    uint8_t* out; /* what the kernel has not taken, from sent to length */
    size_t room;
    size_t length;
    size_t sent;
    struct Push* push;
};

static struct ServerOptions options;
static bool pushesEach;
static uint8_t* piece;

/* Sends bytes from a place; returns how many the kernel took. */
static size_t sendSome(int handle, const uint8_t* data, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t sent = send(handle, data + done, length - done, MSG_NOSIGNAL);
        if (sent < 0)
            break;
        done += (size_t)sent;
    }
    return done;
}

static void keep(struct Connection* connection, const uint8_t* data, size_t length)
{
    if (connection->length + length > connection->room) {
        connection->room = (connection->length + length) * 2;
        connection->out = growOrDie(connection->out, connection->room);
    }
    memcpy(connection->out + connection->length, data, length);
    connection->length += length;
}

/* True if nothing is left. */
static bool flushKept(struct Connection* connection)
{
    connection->sent += sendSome(connection->handle, connection->out + connection->sent,
                                 connection->length - connection->sent);
    if (connection->sent < connection->length)
        return false;
    connection->sent = connection->length = 0;
    return true;
}

static void sendOrKeep(struct Connection* connection, const uint8_t* data, size_t length)
{
    size_t sent = (connection->length == 0) ? sendSome(connection->handle, data, length) : 0;

    if (sent < length)
        keep(connection, data + sent, length - sent);
}

static void pushMore(struct Connection* connection)
{
    struct Push* push = connection->push;

    while ((push->left > 0) && flushKept(connection)) {
        if (pushesEach) {
            const uint8_t* message = nextMessage(push);
            sendOrKeep(connection, message, push->size);
            continue;
        }
        if (connection->room < (size_t)push->burst * push->size) {
            connection->room = (size_t)push->burst * push->size;
            connection->out = growOrDie(connection->out, connection->room);
        }
        connection->length = nextBurst(push, connection->out);
    }
    flushKept(connection);
}

static void dropConnection(struct Connection* connection)
{
    sendReceipt(connection->handle, connection->receipt);
    close(connection->handle);
    if (connection->push != NULL)
        endPush(connection->push);
    free(connection->push);
    free(connection->receipt);
    free(connection->out);
    free(connection);
}

static void takeInput(struct Connection* connection, size_t length)
{
    if (options.mode == SERVER_ECHO) {
        sendOrKeep(connection, piece, length);
    } else if (options.mode == SERVER_DISCARD) {
        noteReceived(connection->receipt, piece, length);
    } else if (options.mode == SERVER_PUSH) {
        if (connection->push == NULL) {
            connection->push = allocateOrDie(sizeof *connection->push);
            *connection->push = (struct Push){0};
        }
        beginPush(connection->push, piece, length);
        pushMore(connection);
    }
}

/* A piece that isn't full was the last one, unless the end may be right behind it. */
static void readConnection(struct Connection* connection, bool ended)
{
    ssize_t length;

    do {
        length = recv(connection->handle, piece, options.length, 0);
        if ((length < 0) && (errno == EAGAIN))
            return;
        if (length <= 0) {
            dropConnection(connection);
            return;
        }
        takeInput(connection, (size_t)length);
    } while (ended || ((size_t)length == options.length));
}

static void handleEvent(struct Connection* connection, uint32_t events)
{
    if ((events & EPOLLOUT) != 0) {
        if (connection->push != NULL)
            pushMore(connection);
        else if (connection->length > 0)
            flushKept(connection);
    }
    if ((events & ~(uint32_t)EPOLLOUT) != 0)
        readConnection(connection, (events & EPOLLRDHUP) != 0);
}

static void acceptAll(int poll, int listener)
{
    int handle;

    while ((handle = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct Connection* connection = allocateOrDie(sizeof *connection);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = connection};
        *connection = (struct Connection){.handle = handle, .receipt = createReceipt(&options)};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, handle, &event) < 0)
            die("epoll_ctl", errno);
    }
}

static noreturn void serveStreams(int listener)
{
    struct epoll_event events[EVENTS] = {{.events = EPOLLIN}};
    int poll = epoll_create1(EPOLL_CLOEXEC);

    makeNonblocking(listener);
    if (epoll_ctl(poll, EPOLL_CTL_ADD, listener, &events[0]) < 0)
        die("epoll_ctl", errno);
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                acceptAll(poll, listener);
            else
                handleEvent(events[i].data.ptr, events[i].events);
        }
    }
}

/* ---- datagrams ---- */

static bool echoOne(int handle)
{
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(handle, piece, options.length, 0, (struct sockaddr*)&from, &size);

    if (length < 0)
        return false;
    sendto(handle, piece, (size_t)length, 0, (struct sockaddr*)&from, size);
    return true;
}

static bool echoBatch(int handle)
{
    static uint8_t memory[BATCH][DATAGRAM];
    static struct sockaddr_in from[BATCH];
    struct mmsghdr batch[BATCH];
    struct iovec vectors[BATCH];
    int count;

    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){memory[i], DATAGRAM};
        batch[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                           .msg_namelen = sizeof from[i],
                                           .msg_iov = &vectors[i],
                                           .msg_iovlen = 1};
    }
    count = recvmmsg(handle, batch, BATCH, 0, NULL);
    if (count <= 0)
        return false;
    for (int i = 0; i < count; i++)
        vectors[i].iov_len = batch[i].msg_len;
    sendmmsg(handle, batch, (unsigned)count, 0);
    return count == BATCH;
}

static noreturn void serveDatagrams(int handle)
{
    struct epoll_event event = {.events = EPOLLIN};
    bool (*echo)(int) = isVariant(&options, "batch") ? echoBatch : echoOne;
    int poll = epoll_create1(EPOLL_CLOEXEC);

    makeNonblocking(handle);
    if (epoll_ctl(poll, EPOLL_CTL_ADD, handle, &event) < 0)
        die("epoll_ctl", errno);
    for (;;) {
        epoll_wait(poll, &event, 1, -1);
        while (echo(handle))
            continue;
    }
}

int main(int count, char** arguments)
{
    static const char* const variants[] = {"each", "batch", NULL};
    int handle;

    options = beginServer(count, arguments, variants);
    pushesEach = isVariant(&options, "each");
    piece = allocateOrDie(options.length);
    handle = openServer(&options);
    if (options.mode == SERVER_DATAGRAMS)
        serveDatagrams(handle);
    serveStreams(handle);
}
