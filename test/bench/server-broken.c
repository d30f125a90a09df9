/*
 * Servers that are wrong, each in one way and once, after some bytes have gone well (-g): the load
 * must refuse them. Those that do nothing wrong (no -x) it must accept.
 *
 * -x flip    one bit of one byte is another
 * -x drop    64 bytes, or a datagram, are lost
 * -x double  64 bytes, or a datagram, come twice
 * -x cross   what is one connection's or source's goes to another, or to nobody where there is none
 * -x swap    two times 64 bytes are in the other order
 * -x silent  nothing is sent any more
 *
 * An echo or a push is wrong in what is sent; what is discarded is received wrong.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

enum
{
    PIECE = MESSAGE_LONGEST,
    BURST = 65536, /* bytes of a push that are sent together, or one message */
    MESSAGE = 64,
    NOBODY = 0
};

struct Connection
{
    struct Push push;
    struct Receipt* receipt;
};

static struct ServerOptions options;
static uint64_t done;
static bool wasWrong;
/* The listener has the first place, where the others have their connection. */
static struct pollfd* handles;
static struct Connection* connections;
static int count;
static int room;

/* Whether it is time to be wrong in this way; only once, but for silence. */
static bool isWrong(const char* way)
{
    if ((done < options.good) || wasWrong || !isVariant(&options, way))
        return false;
    wasWrong = (strcmp(way, "silent") != 0);
    return true;
}

static void swapMessages(uint8_t* data)
{
    uint8_t first[MESSAGE];

    memcpy(first, data, MESSAGE);
    memcpy(data, data + MESSAGE, MESSAGE);
    memcpy(data + MESSAGE, first, MESSAGE);
}

static void sendAll(int handle, const uint8_t* data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(handle, data, length, MSG_NOSIGNAL);
        if (sent < 0)
            return;
        data += sent;
        length -= (size_t)sent;
    }
}

static void deliver(int number, const uint8_t* data, size_t length)
{
    if (number == NOBODY)
        return;
    if (options.mode == SERVER_DISCARD)
        noteReceived(connections[number].receipt, data, length);
    else
        sendAll(handles[number].fd, data, length);
}

static int otherThan(int number)
{
    if (count <= 2)
        return NOBODY;
    return (number == 1) ? 2 : 1;
}

/* Delivers what belongs to a connection, and is wrong when it is time for that. Echoes have others
 * that it may go to, once they are there. */
static void deliverWrongly(int number, uint8_t* data, size_t length)
{
    int other = otherThan(number);

    done += length;
    if (isWrong("silent"))
        return;
    if (isWrong("flip"))
        data[length / 2] ^= 0x10;
    if ((length >= MESSAGE) && isWrong("double"))
        deliver(number, data, MESSAGE);
    if ((length >= MESSAGE) && isWrong("drop")) {
        data += MESSAGE;
        length -= MESSAGE;
    }
    if ((length >= 2 * MESSAGE) && isWrong("swap"))
        swapMessages(data);
    if (((other != NOBODY) || (options.mode != SERVER_ECHO)) && isWrong("cross"))
        number = other;
    deliver(number, data, length);
}

static void pushAll(int number, uint8_t* piece, size_t length)
{
    struct Push* push = &connections[number].push;

    beginPush(push, piece, length);
    push->burst = (push->size < BURST) ? BURST / push->size : 1;
    while ((length = nextBurst(push, piece)) > 0)
        deliverWrongly(number, piece, length);
}

/* The last one takes its place. A silent server forgets it, and leaves it open. */
static void closeConnection(int number)
{
    struct Connection* connection = &connections[number];

    if (isWrong("silent")) {
        handles[number].fd = -1;
        return;
    }
    sendReceipt(handles[number].fd, connection->receipt);
    close(handles[number].fd);
    endPush(&connection->push);
    free(connection->receipt);
    count--;
    handles[number] = handles[count];
    connections[number] = connections[count];
}

static void readStream(int number)
{
    static uint8_t piece[PIECE];
    ssize_t length = recv(handles[number].fd, piece, sizeof piece, 0);

    if (length <= 0)
        closeConnection(number);
    else if (options.mode == SERVER_PUSH)
        pushAll(number, piece, (size_t)length);
    else
        deliverWrongly(number, piece, (size_t)length);
}

static void readDatagram(int handle)
{
    static uint8_t piece[PIECE];
    static struct sockaddr_in first;
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(handle, piece, sizeof piece, 0, (struct sockaddr*)&from, &size);

    if (length < 0)
        die("recvfrom", errno);
    done += (uint64_t)length;
    if (first.sin_port == 0)
        first = from;
    if (isWrong("silent") || isWrong("drop"))
        return;
    if (isWrong("flip"))
        piece[length / 2] ^= 0x10;
    if ((first.sin_port != from.sin_port) && isWrong("cross"))
        from = first;
    if (isWrong("double"))
        sendto(handle, piece, (size_t)length, 0, (struct sockaddr*)&from, size);
    sendto(handle, piece, (size_t)length, 0, (struct sockaddr*)&from, size);
}

static void addHandle(int handle)
{
    if (count == room) {
        room = (room + 32) * 2;
        handles = growOrDie(handles, (size_t)room * sizeof *handles);
        connections = growOrDie(connections, (size_t)room * sizeof *connections);
    }
    handles[count] = (struct pollfd){.fd = handle, .events = POLLIN};
    connections[count] = (struct Connection){.receipt = createReceipt(&options)};
    count++;
}

static void acceptOne(int listener)
{
    int handle = accept(listener, NULL, NULL);

    if (handle < 0)
        die("accept", errno);
    addHandle(handle);
}

int main(int argumentCount, char** arguments)
{
    static const char* const variants[] = {"flip", "drop", "double", "cross", "swap", "silent",
                                           NULL};

    options = beginServer(argumentCount, arguments, variants);
    addHandle(openServer(&options));
    while (poll(handles, (nfds_t)count, -1) > 0) {
        for (int i = count - 1; i > 0; i--) {
            if (handles[i].revents != 0)
                readStream(i);
        }
        if (handles[0].revents == 0)
            continue;
        if (options.mode == SERVER_DATAGRAMS)
            readDatagram(handles[0].fd);
        else
            acceptOne(handles[0].fd);
    }
    die("poll", errno);
}
