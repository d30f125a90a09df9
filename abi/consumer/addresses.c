/* Ring/FastSocket.h: addresses as text, and sockets and listeners that are made of them. */
#include "consumer.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void useAddresses(void)
{
    static const char* const texts[] = { "192.0.2.1:80", "[2001:db8::1]:443", "unix:/run/name", "unix:@name", "unix:", "vsock:2:*" };
    struct sockaddr_storage address;
    socklen_t length;
    char text[FASTSOCKET_ADDRESS_SIZE];
    for (size_t index = 0; index < sizeof(texts) / sizeof(*texts); ++index) {
        CHECK(ParseFastAddress(texts[index], &address, &length) == 0);
        CHECK(FormatFastAddress((struct sockaddr*)&address, length, text, sizeof(text)) == 0);
        CHECK(strcmp(text, texts[index]) == 0);
        CHECK(FormatFastAddress((struct sockaddr*)&address, length, text, strlen(text)) == -ENOSPC);
    }
    CHECK(ParseFastAddress("udp:192.0.2.1:53", &address, &length) == 0 && address.ss_family == AF_INET);
    CHECK(ParseFastAddress("*:80", &address, &length) == 0 && address.ss_family == AF_INET6);
    CHECK(ParseFastAddress("example.org:80", &address, &length) == -EINVAL);
    CHECK(ParseFastAddress("192.0.2.1:65536", &address, &length) == -EINVAL);
    CHECK(ParseFastAddress(NULL, &address, &length) == -EINVAL);
    CHECK(FormatFastAddress(NULL, 0, text, sizeof(text)) == -EINVAL);
}

struct meeting
{
    struct FastListener* listener;
    int count;
    int handle;
    int outputs, inputs, errors, hangups;
    int error;
};

static void onMeeting(struct FastListener* listener, int handle, void* closure)
{
    struct meeting* meeting = closure;
    CHECK(listener == meeting->listener);
    CHECK(handle >= 0);
    meeting->handle = handle;
    meeting->count++;
}

static void onEvent(struct FastSocket* socket, int event, int parameter)
{
    struct meeting* meeting = GetFastSocketClosure(socket);
    CHECK(event != POLLIN || meeting->outputs > 0);
    meeting->outputs += event == POLLOUT;
    meeting->inputs += event == POLLIN;
    meeting->errors += event == POLLERR;
    meeting->hangups += event == POLLHUP;
    if (event == POLLERR)
        meeting->error = parameter;
}

static void listenAndPause(struct FastRing* ring, struct meeting* meeting, char* text, size_t size)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    CHECK_ERROR(ListenFastSocket(ring, "127.0.0.1", 0, onMeeting, meeting), EINVAL);
    CHECK_ERROR(ListenFastSocket(ring, "127.0.0.1:0", 8, onMeeting, meeting), EINVAL);
    CHECK_ERROR(ListenFastSocket(ring, "udp:127.0.0.1:0", 0, onMeeting, meeting), EOPNOTSUPP);
    meeting->listener = ListenFastSocket(ring, "127.0.0.1:0", FASTLISTENER_ONLY_V6 | FASTLISTENER_REPLACE, onMeeting, meeting);
    CHECK(meeting->listener != NULL);
    int handle = GetFastListenerHandle(meeting->listener);
    CHECK(isOpen(handle) && getsockname(handle, (struct sockaddr*)&address, &length) == 0);
    CHECK(FormatFastAddress((struct sockaddr*)&address, length, text, size) == 0);
    CHECK(PauseFastListener(meeting->listener) == 0 && PauseFastListener(NULL) == -EINVAL);
    CHECK(ResumeFastListener(NULL) == -EINVAL && GetFastListenerHandle(NULL) == -EINVAL);
}

static void connectAndTalk(struct FastRing* ring, struct meeting* meeting, const char* text)
{
    char data[FASTSOCKET_ADDRESS_SIZE];
    struct FastSocket* socket = ConnectFastSocket(ring, text, 0, onEvent, meeting);
    CHECK(socket != NULL && GetFastSocketErrorText(socket) == NULL);
    CHECK(GetFastSocketHandle(socket) == -ENOTCONN);
    CHECK(GetFastSocketAddress(socket, 1, data, sizeof(data)) == -ENOTCONN);
    CHECK(TransmitFastSocketData(socket, NULL, 0, "hello", 5, 0) == 0);
    runUntil(ring, &meeting->outputs, 2); /* connected, and sent */
    CHECK(meeting->count == 0);
    CHECK(ResumeFastListener(meeting->listener) == 0);
    runUntil(ring, &meeting->count, 1);
    CHECK(recv(meeting->handle, data, sizeof(data), MSG_DONTWAIT) == 5 && memcmp(data, "hello", 5) == 0);
    CHECK(GetFastSocketAddress(socket, 1, data, sizeof(data)) == 0 && strcmp(data, text) == 0);
    CHECK(GetFastSocketAddress(socket, 0, data, 3) == -ENOSPC);
    close(meeting->handle);
    runUntil(ring, &meeting->hangups, 1);
    CHECK(meeting->errors == 0);
    ReleaseFastSocket(socket);
}

void useConnections(void)
{
    struct FastRing* ring = openRing();
    CHECK(ring != NULL);
    struct meeting meeting = { .handle = -1 };
    char text[FASTSOCKET_ADDRESS_SIZE];
    int pair[2];
    CHECK(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_COUNT, 16) == 0);
    CHECK(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_LENGTH, 4096) == 0);
    listenAndPause(ring, &meeting, text, sizeof(text));
    connectAndTalk(ring, &meeting, text);
    ReleaseFastListener(meeting.listener);
    CHECK(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_COUNT, 32) == -EBUSY);

    struct meeting failure = { .handle = -1 };
    struct FastSocket* refused = ConnectFastSocket(ring, text, 0, onEvent, &failure);
    CHECK(refused != NULL);
    runUntil(ring, &failure.hangups, 1);
    CHECK(failure.errors == 1 && failure.outputs == 0 && failure.error == ECONNREFUSED);
    CHECK(GetFastSocketError(refused) == ECONNREFUSED && GetFastSocketErrorText(refused) != NULL);
    ReleaseFastSocket(refused);
    CHECK_ERROR(ConnectFastSocket(ring, "127.0.0.1", 0, onEvent, NULL), EINVAL);
    CHECK_ERROR(ConnectFastSocket(ring, "*:80", 0, onEvent, NULL), EINVAL);

    struct meeting opened = { .handle = -1 };
    makePair(SOCK_STREAM, pair);
    CHECK_ERROR(OpenFastSocket(ring, -1, 0, onEvent, NULL), EBADF);
    struct FastSocket* socket = OpenFastSocket(ring, pair[0], 0, onEvent, &opened);
    CHECK(socket != NULL && GetFastSocketHandle(socket) == pair[0]);
    runUntil(ring, &opened.outputs, 1);
    CHECK(send(pair[1], "x", 1, 0) == 1);
    runUntil(ring, &opened.inputs, 1);
    CHECK(ReceiveFastSocketData(socket, text, 1, 0) == 1);
    ReleaseFastSocket(socket);
    close(pair[1]);
    for (int turn = 0; turn < 200 && GetFastRingPending(ring) > 0; ++turn)
        CHECK(WaitForFastRing(ring, 20, NULL) == 0);
    ReleaseFastRing(ring);
}
