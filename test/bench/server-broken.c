/*
 * Servers that are wrong, each in one way and once, after some thousand bytes have gone well: the
 * load must refuse them. Those that do nothing wrong (no -x) it must accept.
 *
 * -x flip    one bit of one byte is another
 * -x drop    64 bytes, or a datagram, are not sent
 * -x double  64 bytes, or a datagram, are sent twice
 * -x cross   what came from one connection or source goes to another
 * -x swap    two times 64 bytes are sent in the other order
 * -x silent  nothing is sent any more
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
    PIECE = 65536,
    MESSAGE = 64,
    GOOD = 100 * MESSAGE, /* bytes that go well */
    CONNECTIONS = 64
};

static struct ServerOptions options;
static uint64_t done;
static bool wasWrong;
static struct pollfd handles[CONNECTIONS];
static struct Push pushes[CONNECTIONS];
static uint64_t received[CONNECTIONS];
static int count;

/* Whether it is time to be wrong in this way; only once, but for silence. */
static bool isWrong(const char* way)
{
    if ((done < GOOD) || wasWrong || !isVariant(&options, way))
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

/* Sends what belongs to a connection, and is wrong when it is time for that. */
static void sendWrongly(int number, uint8_t* data, size_t length)
{
    int handle = handles[number].fd;

    done += length;
    if (isWrong("silent"))
        return;
    if (isWrong("flip"))
        data[length / 2] ^= 0x10;
    if ((length >= MESSAGE) && isWrong("double"))
        sendAll(handle, data, MESSAGE);
    if ((length >= MESSAGE) && isWrong("drop")) {
        data += MESSAGE;
        length -= MESSAGE;
    }
    if ((length >= 2 * MESSAGE) && isWrong("swap"))
        swapMessages(data);
    if ((count > 2) && isWrong("cross"))
        handle = handles[(number == 1) ? 2 : 1].fd;
    sendAll(handle, data, length);
}

static void pushAll(int number, uint8_t* piece, size_t length)
{
    struct Push* push = &pushes[number];

    beginPush(push, piece, length);
    push->burst = PIECE / push->size;
    while ((length = nextBurst(push, piece)) > 0)
        sendWrongly(number, piece, length);
}

static void readStream(int number)
{
    static uint8_t piece[PIECE];
    ssize_t length = recv(handles[number].fd, piece, sizeof piece, 0);

    if (length > 0)
        received[number] += (uint64_t)length;
    if ((length > 0) && (options.mode == SERVER_ECHO))
        sendWrongly(number, piece, (size_t)length);
    else if ((length > 0) && (options.mode == SERVER_PUSH))
        pushAll(number, piece, (size_t)length);
    if (length > 0)
        return;
    if (options.mode == SERVER_DISCARD) {
        received[number] -= isVariant(&options, "drop") ? 1 : 0;
        send(handles[number].fd, &received[number], sizeof received[number], MSG_NOSIGNAL);
    }
    close(handles[number].fd);
    handles[number].fd = -1;
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

static void acceptOne(int listener)
{
    int handle = accept(listener, NULL, NULL);

    if ((handle < 0) || (count == CONNECTIONS))
        die("accept", errno);
    handles[count++] = (struct pollfd){.fd = handle, .events = POLLIN};
}

int main(int argumentCount, char** arguments)
{
    static const char* const variants[] = {"flip", "drop", "double", "cross", "swap", "silent",
                                           NULL};

    options = beginServer(argumentCount, arguments, variants);
    handles[count++] = (struct pollfd){.fd = openServer(&options), .events = POLLIN};
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
