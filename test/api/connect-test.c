/* ConnectFastSocket: every form, and the end in each state. */
#include "services.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>

enum
{
    MANY = 1000,
};

static struct FastRing* ring;
static struct Recorder ours;
static struct FastListener* listener;
static char address[FASTSOCKET_ADDRESS_SIZE]; /* of the listener */
static int accepted;
static int lastHandle;
static int descriptors;

static void openRing(void)
{
    descriptors = countDescriptors();
    ring = CreateFastRing(64);
    ck_assert_ptr_nonnull(ring);
    memset(&ours, 0, sizeof(ours));
    ours.lastHangup = -1;
    listener = NULL;
    accepted = 0;
    lastHandle = -1;
}

static void closeRing(void)
{
    if (lastHandle >= 0)
        close(lastHandle);
    ReleaseFastSocket(ours.socket);
    ReleaseFastListener(listener);
    ReleaseFastRing(ring);
    ck_assert_int_eq(countDescriptors(), descriptors);
}

AREA(connect, "connect", .open = openRing, .close = closeRing);

static void take(struct FastListener* which, int handle, void* closure)
{
    (void)which;
    (void)closure;
    ck_assert_int_ge(handle, 0);
    if (lastHandle >= 0)
        close(lastHandle);
    lastHandle = handle;
    accepted++;
}

/* Writes where it listens, as it is to be connected to. */
static void nameListener(const char* word)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    size_t front = strlen(word);

    strcpy(address, word);
    ck_assert_int_eq(
        getsockname(GetFastListenerHandle(listener), (struct sockaddr*)&name, &length), 0);
    ck_assert_int_eq(FormatFastAddress((struct sockaddr*)&name, length, address + front,
                                       sizeof(address) - front),
                     0);
}

static void listenAt(const char* text)
{
    listener = ListenFastSocket(ring, text, 0, take, NULL);
    ck_assert_msg(listener != NULL, "ListenFastSocket(\"%s\"): %s", text, strerror(errno));
    nameListener(strncmp(text, "mptcp:", 6) == 0 ? "mptcp:" : "");
}

static void connectTo(const char* text)
{
    ours.socket = ConnectFastSocket(ring, text, 0, recordEvent, &ours);
    ck_assert_msg(ours.socket != NULL, "ConnectFastSocket(\"%s\"): %s", text, strerror(errno));
}

static void waitConnected(void)
{
    waitFor(ring, isWritable, &ours);
    ck_assert_int_eq(ours.order[0], POLLOUT);
    ck_assert_int_ge(GetFastSocketHandle(ours.socket), 0);
}

/* What the peer has got, while the ring runs. */
static void takeBytes(char* data, size_t size)
{
    for (size_t count = 0; count < size;) {
        ssize_t result = recv(lastHandle, data + count, size - count, MSG_DONTWAIT);
        ck_assert(result > 0 || (result < 0 && errno == EAGAIN));
        if (result > 0)
            count += (size_t)result;
        else
            (void)WaitForFastRing(ring, 10, NULL);
    }
}

static void expectAtPeer(const char* text)
{
    char data[64] = "";

    ck_assert_uint_lt(strlen(text), sizeof(data));
    takeBytes(data, strlen(text));
    ck_assert_str_eq(data, text);
}

/* Both ways, and what it says of itself. */
static void expectServed(void)
{
    char text[FASTSOCKET_ADDRESS_SIZE];

    waitConnected();
    waitCount(ring, &accepted, 1);
    transmitText(ours.socket, "there");
    waitDrained(&ours);
    expectText(lastHandle, "there");
    sendText(lastHandle, "and back");
    receiveText(&ours, "and back");
    ck_assert_int_eq(GetFastSocketAddress(ours.socket, 1, text, sizeof(text)), 0);
    ck_assert_str_eq(text, address);
    ck_assert_int_eq(GetFastSocketError(ours.socket), 0);
    ck_assert_ptr_null(GetFastSocketErrorText(ours.socket));
    ck_assert_int_eq(fcntl(GetFastSocketHandle(ours.socket), F_GETFD), FD_CLOEXEC);
}

static void expectFailed(int error)
{
    waitHangup(&ours);
    expectFailure(&ours, error);
    ck_assert_int_eq(ours.out, 0);
    ck_assert_int_eq(ours.in, 0);
    ck_assert_int_eq(GetFastSocketError(ours.socket), error);
    ck_assert_str_eq(GetFastSocketErrorText(ours.socket), strerrordesc_np(error));
    ck_assert_int_eq(GetFastSocketHandle(ours.socket), -ENOTCONN);
    ck_assert_int_eq(TransmitFastSocketData(ours.socket, NULL, 0, "x", 1, 0), -EPIPE);
}

/* ---- every form ---- */

/* §3.1 connect: to each kind of address; POLLOUT tells that it is made */
CASE_ROUNDS(connect, reachesAddresses, 4)
{
    static const char* const places[] = {"127.0.0.1:0", "[::1]:0", "unix:@reachesAddresses",
                                         "mptcp:127.0.0.1:0"};
    int handle = round == 3 ? socket(AF_INET, SOCK_STREAM, 262) : -1;

    if (round == 1 && !hasKind(KIND_TCP6))
        skipTest("there is no IPv6");
    if (round == 3 && handle < 0)
        skipTest("there is no MPTCP");
    if (handle >= 0)
        close(handle);
    listenAt(places[round]);
    connectTo(address);
    ck_assert_int_eq(GetFastSocketHandle(ours.socket), -ENOTCONN);
    ck_assert_ptr_eq(GetFastSocketRing(ours.socket), ring);
    ck_assert_ptr_eq(GetFastSocketClosure(ours.socket), &ours);
    expectServed();
}

/* §3.1 connect: to a path */
CASE(connect, reachesPaths)
{
    char directory[] = "/tmp/fastsocket-connect-XXXXXX";
    char place[64];

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(place, sizeof(place), "unix:%s/name", directory);
    listenAt(place);
    connectTo(place);
    expectServed();
    ReleaseFastListener(listener);
    listener = NULL;
    ck_assert_int_eq(rmdir(directory), 0);
}

/* §3.1 connect: a socket of datagrams is connected when its peer is set */
CASE(connect, reachesDatagramSockets)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = ownLoopback()};
    socklen_t length = sizeof(name);
    char text[FASTSOCKET_ADDRESS_SIZE];
    int peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(peer, (struct sockaddr*)&name, length), 0);
    ck_assert_int_eq(getsockname(peer, (struct sockaddr*)&name, &length), 0);
    snprintf(address, sizeof(address), "udp:%s:%u", inet_ntoa(name.sin_addr),
             ntohs(name.sin_port));
    connectTo(address);
    transmitText(ours.socket, "early");
    transmitText(ours.socket, "and second");
    waitConnected();
    waitDrained(&ours);
    expectText(peer, "early");
    expectText(peer, "and second");
    ck_assert_int_eq(GetFastSocketAddress(ours.socket, 1, text, sizeof(text)), 0);
    ck_assert_str_eq(text, address);
    ck_assert_int_eq(GetFastSocketAddress(ours.socket, 0, text, sizeof(text)), 0);
    ck_assert_int_eq(strncmp(text, "udp:127.", 8), 0);
    length = sizeof(name);
    ck_assert_int_eq(
        getsockname(GetFastSocketHandle(ours.socket), (struct sockaddr*)&name, &length), 0);
    ck_assert_int_eq(sendto(peer, "back", 4, 0, (struct sockaddr*)&name, length), 4);
    receiveText(&ours, "back");
    close(peer);
}

/* §3.1 connect: to a name */
CASE(connect, reachesNames)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    char text[64];

    listener = ListenFastSocket(ring, ":0", 0, take, NULL);
    ck_assert_ptr_nonnull(listener);
    ck_assert_int_eq(
        getsockname(GetFastListenerHandle(listener), (struct sockaddr*)&name, &length), 0);
    snprintf(text, sizeof(text), "localhost:%u", ntohs(((struct sockaddr_in*)&name)->sin_port));
    connectTo(text);
    while (ours.events == 0)
        runTurns(ring, 1);
    if (ours.lastError == ENOENT || ours.lastError == EAGAIN)
        skipTest("localhost has no address here");
    waitConnected();
    waitCount(ring, &accepted, 1);
}

/* §3.1 connect: what is no service is told in words */
CASE(connect, tellsOfUnknownServices)
{
    connectTo("127.0.0.1:no-such-service");
    waitHangup(&ours);
    expectFailure(&ours, ENOENT);
    ck_assert_ptr_nonnull(GetFastSocketErrorText(ours.socket));
    ck_assert_str_ne(GetFastSocketErrorText(ours.socket), strerrordesc_np(ENOENT));
}

/* Of each thread of the program's; the C library puts it on the thread's stack. */
static _Thread_local char local[4 << 20];

/* §3.1 connect: names are looked up, however much memory each thread has */
CASE(connect, reachesNamesWithLargeThreads)
{
    memset(local, 1, sizeof(local));
    connectTo("127.0.0.1:no-such-service");
    waitHangup(&ours);
    expectFailure(&ours, ENOENT);
}

/* ---- before it is connected ---- */

/* §3.1 connect early: what is transmitted waits, and goes then in its order */
CASE(connect, queuesMeanwhile)
{
    struct FastBuffer* buffer = NULL;
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    const size_t large = 100000;
    char* data = malloc(large);

    listenAt("127.0.0.1:0");
    connectTo(address);
    transmitText(ours.socket, "one ");
    buffer = AllocateFastBuffer(pool, 4, 0);
    memcpy(GetFastBufferData(buffer), "two ", 4);
    ck_assert_int_eq(TransmitFastSocketBuffer(ours.socket, NULL, 0, buffer, 0, 4, 0), 0);
    transmitPattern(ours.socket, large, 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(ours.socket), 8 + large);
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    waitConnected();
    waitCount(ring, &accepted, 1);
    expectAtPeer("one two ");
    takeBytes(data, large);
    ck_assert(checkPattern(data, large, 0));
    free(data);
    waitDrained(&ours);
    ck_assert_int_eq(ours.order[0], POLLOUT);
    ReleaseFastBufferPool(pool);
}

static void sendAtOnce(struct FastListener* which, int handle, void* closure)
{
    take(which, handle, closure);
    sendText(handle, "the peer speaks first");
}

/* §3.1 connect: POLLOUT comes before POLLIN, also where there is something queued */
CASE_ROUNDS(connect, tellsItFirst, 2)
{
    listener = ListenFastSocket(ring, "unix:@tellsItFirst", 0, sendAtOnce, NULL);
    ck_assert_ptr_nonnull(listener);
    connectTo("unix:@tellsItFirst");
    if (round == 1)
        transmitPattern(ours.socket, 4 << 20, 0); /* more than a socket takes */
    receiveText(&ours, "the peer speaks first");
    ck_assert_int_eq(ours.order[0], POLLOUT);
    ck_assert_int_eq(ours.order[1], POLLIN);
    AbortFastSocket(ours.socket);
    ours.socket = NULL;
}

/* §3.1 connect early: settings and questions are answered as ever */
CASE(connect, answersMeanwhile)
{
    uint64_t value = 0;
    char text[FASTSOCKET_ADDRESS_SIZE];
    struct FastSocketStatistics statistics;

    listenAt("127.0.0.1:0");
    connectTo(address);
    setOption(ours.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 4);
    ck_assert_int_eq(GetFastSocketOption(ours.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, &value),
                     0);
    ck_assert_uint_eq(value, 30000);
    transmitText(ours.socket, "12345");
    ck_assert_int_eq(TransmitFastSocketData(ours.socket, NULL, 0, "6", 1, 0), -EAGAIN);
    ck_assert_int_eq(GetFastSocketHandle(ours.socket), -ENOTCONN);
    ck_assert_int_eq(GetFastSocketAddress(ours.socket, 0, text, sizeof(text)), -ENOTCONN);
    ck_assert_int_eq(GetFastSocketAddress(ours.socket, 1, text, sizeof(text)), -ENOTCONN);
    ck_assert_int_eq(
        GetFastSocketStatistics(ours.socket, &statistics, sizeof(statistics)), 0);
    ck_assert_int_eq(ReceiveFastSocketData(ours.socket, text, 1, 0), 0);
    ck_assert_int_eq(GetFastSocketError(ours.socket), 0);
    ck_assert_int_eq(PauseFastSocket(ours.socket), 0);
    ck_assert_int_eq(ShutdownFastSocket(ours.socket), 0);
    ck_assert_int_eq(TransmitFastSocketData(ours.socket, NULL, 0, "6", 1, 0), -EPIPE);
    waitConnected();
    waitCount(ring, &accepted, 1);
    expectAtPeer("12345");
    runIdle(ring);
    expectEnd(lastHandle);
    sendText(lastHandle, "x");
    runIdle(ring);
    ck_assert_int_eq(ours.in, 0);
    ck_assert_int_eq(ResumeFastSocket(ours.socket), 0);
    receiveText(&ours, "x");
}

/* ---- failures ---- */

static void findClosedPort(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = ownLoopback()};
    socklen_t length = sizeof(name);
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(handle, (struct sockaddr*)&name, length), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)&name, &length), 0);
    snprintf(address, sizeof(address), "%s:%u", inet_ntoa(name.sin_addr), ntohs(name.sin_port));
    close(handle);
}

/* §3.1 connect failed: POLLERR with the errno, then POLLHUP, and nothing else */
CASE(connect, tellsOfRefusals)
{
    findClosedPort();
    connectTo(address);
    transmitText(ours.socket, "lost");
    expectFailed(ECONNREFUSED);
    ck_assert_uint_eq(GetFastSocketOutboundLength(ours.socket), 4);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
}

/* §3.1 connect failed: of a path that is not there */
CASE(connect, tellsOfMissingPaths)
{
    connectTo("unix:/nowhere/at/all");
    expectFailed(ENOENT);
}

/* §3.1 connect failed: of what can't be opened at all */
CASE(connect, tellsOfMissingFamilies)
{
    connectTo("vsock:4294967294:4294967294"); /* no such machine, or no such family */
    waitHangup(&ours);
    ck_assert_int_eq(ours.err, 1);
    ck_assert_int_ne(ours.lastError, 0);
    ck_assert_int_eq(ours.lastHangup, ours.lastError);
}

/* §3.1 connect failed: a datagram socket's, too, is final */
CASE(connect, tellsOfDatagramSockets)
{
    connectTo("udp:255.255.255.255:9"); /* takes SO_BROADCAST */
    waitHangup(&ours);
    expectFailure(&ours, ours.lastError);
    ck_assert_int_ne(GetFastSocketError(ours.socket), 0);
}

/* §3.1 connect refused: what says nothing is refused at once */
CASE(connect, refusesOthers)
{
    static const char* const wrong[] = {"", "host", ":80", "*:80", "udp::80", "unix:", "unix:@",
                                        "vsock:*:1", "127.0.0.1:65536", "127.0.0.1:+1", "a b:80"};

    for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++)
        refuses(EINVAL, ConnectFastSocket(ring, wrong[index], 0, recordEvent, &ours));
    refuses(EINVAL, ConnectFastSocket(ring, NULL, 0, recordEvent, &ours));
    refuses(EINVAL, ConnectFastSocket(NULL, "unix:@a", 0, recordEvent, &ours));
    refuses(EINVAL, ConnectFastSocket(ring, "unix:@a", 1, recordEvent, &ours));
    refuses(ENODEV, ConnectFastSocket(ring, "[fe80::1%nosuchone]:80", 0, recordEvent, &ours));
    ck_assert_uint_eq(readRing(ring).buffers, 0);
    ck_assert_ptr_null(GetFastSocketErrorText(NULL));
}

/* ---- the end, before it is connected ---- */

static bool isOver(void* closure)
{
    return GetFastRingPending(closure) == 0;
}

/* §3.1 connect ended: a release with nothing queued drops it */
CASE_ROUNDS(connect, isReleasedAtAnyTime, 4)
{
    listenAt("127.0.0.1:0");
    connectTo(address);
    runTurns(ring, round);
    ReleaseFastSocket(ours.socket);
    ours.socket = NULL;
    waitFor(ring, isOver, ring);
    runIdle(ring);
}

/* §3.1 connect ended: a release delivers what is queued */
CASE_ROUNDS(connect, isReleasedWithOutput, 3)
{
    listenAt(round == 2 ? "unix:@isReleasedWithOutput" : "127.0.0.1:0");
    connectTo(address);
    transmitText(ours.socket, "the last words");
    runTurns(ring, round == 1);
    ReleaseFastSocket(ours.socket);
    ours.socket = NULL;
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    waitCount(ring, &accepted, 1);
    expectAtPeer("the last words");
    runIdle(ring);
    expectEnd(lastHandle);
    close(lastHandle);
    lastHandle = -1;
    waitFor(ring, isOver, ring);
}

/* §3.1 connect ended: what can't be delivered is dropped, and the socket with it */
CASE(connect, isReleasedForNobody)
{
    findClosedPort();
    connectTo(address);
    transmitText(ours.socket, "lost");
    ReleaseFastSocket(ours.socket);
    ours.socket = NULL;
    waitFor(ring, isOver, ring);
}

/* §3.1 connect ended: an abort drops all */
CASE_ROUNDS(connect, isAbortedAtAnyTime, 4)
{
    listenAt("127.0.0.1:0");
    connectTo(address);
    transmitText(ours.socket, "lost");
    runTurns(ring, round);
    AbortFastSocket(ours.socket);
    ours.socket = NULL;
    waitFor(ring, isOver, ring);
    runIdle(ring);
}

/* §3.1 connect ended: the ring's end tells POLLHUP, and leaves nothing */
CASE_ROUNDS(connect, endsWithTheRing, 4)
{
    listenAt("127.0.0.1:0");
    connectTo(address);
    transmitText(ours.socket, "lost");
    runTurns(ring, round);
    ReleaseFastRing(ring);
    ck_assert_int_eq(ours.lastHangup, ECANCELED);
    ck_assert_int_eq(GetFastSocketHandle(ours.socket), -ECANCELED);
    ring = NULL;
}

/* A peer whose backlog is full answers nobody: the connection is neither made nor refused. */
static int fillBacklog(int clients[2])
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = ownLoopback()};
    socklen_t length = sizeof(name);
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(handle, (struct sockaddr*)&name, length), 0);
    ck_assert_int_eq(listen(handle, 0), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)&name, &length), 0);
    for (int index = 0; index < 2; index++) {
        clients[index] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(clients[index], (struct sockaddr*)&name, length);
    }
    snprintf(address, sizeof(address), "%s:%u", inet_ntoa(name.sin_addr), ntohs(name.sin_port));
    return handle;
}

/* §3.1 connect ended: in each way while an attempt gets no answer */
CASE_ROUNDS(connect, endsWithoutAnAnswer, 4)
{
    int clients[2];
    int handle = fillBacklog(clients);

    connectTo(address);
    if (round > 0)
        transmitText(ours.socket, "lost");
    if (round == 3)
        setOption(ours.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 20);
    runIdle(ring);
    ck_assert_int_eq(ours.events, 0);
    if (round == 1)
        AbortFastSocket(ours.socket);
    else if (round != 2)
        ReleaseFastSocket(ours.socket);
    if (round == 2) {
        ReleaseFastRing(ring);
        ring = NULL;
        ck_assert_int_eq(ours.lastHangup, ECANCELED);
    } else {
        ours.socket = NULL;
        waitFor(ring, isOver, ring);
    }
    close(clients[0]);
    close(clients[1]);
    close(handle);
}

/* ---- many ---- */

static void takeAndClose(struct FastListener* which, int handle, void* closure)
{
    (void)which;
    (void)closure;
    ck_assert_int_ge(handle, 0);
    accepted++;
    close(handle);
}

/* §2.9 connect timeout: an attempt that gets no answer is given up, and nobody is waited for;
 * §2.9 transmit timeout: nor is what is queued for it */
CASE_ROUNDS(connect, timesOut, 2)
{
    int clients[2];
    int handle = fillBacklog(clients);

    connectTo(address);
    if (round == 0)
        setOption(ours.socket, FASTSOCKET_OPTION_CONNECT_TIMEOUT, 50);
    else {
        transmitText(ours.socket, "lost");
        setOption(ours.socket, FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, 50);
    }
    waitHangup(&ours);
    expectFailure(&ours, ETIMEDOUT);
    ReleaseFastSocket(ours.socket);
    ours.socket = NULL;
    waitFor(ring, isOver, ring);
    close(clients[0]);
    close(clients[1]);
    close(handle);
}

/* §3.1 connect: more at once than a ring takes entries */
CASE(connect, makesManyAtOnce)
{
    static struct Recorder many[MANY];
    char place[] = "unix:@makesManyAtOnce";

    memset(many, 0, sizeof(many));
    listener = ListenFastSocket(ring, place, 0, takeAndClose, NULL);
    ck_assert_ptr_nonnull(listener);
    for (int index = 0; index < MANY; index++) {
        many[index].socket = ConnectFastSocket(ring, place, 0, recordEvent, &many[index]);
        ck_assert_ptr_nonnull(many[index].socket);
    }
    waitCount(ring, &accepted, MANY);
    for (int index = 0; index < MANY; index++) {
        waitFor(ring, isWritable, &many[index]);
        waitFor(ring, hasHungUp, &many[index]);
        ck_assert_int_eq(many[index].order[0], POLLOUT);
        ck_assert_int_eq(many[index].err, 0);
        ReleaseFastSocket(many[index].socket);
    }
    waitFor(ring, isOver, ring);
}
