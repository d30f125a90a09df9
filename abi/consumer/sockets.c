/* Ring/FastSocket.h: sockets of streams: life, receiving, transmitting, questions, errors, shells. */
#include "scene.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum
{
    UNKNOWN_OPTION = 0x7fffffff,
};

/* ---- receiving and transmitting ---- */

static void receive(struct scene* scene)
{
    char data[64];
    CHECK(ReceiveFastSocketData(scene->socket, data, sizeof(data), 0) == 0);
    CHECK_ERROR(ReceiveFastSocketBuffer(scene->socket), EAGAIN);
    sceneSend(scene, "hello world");
    runUntil(scene->ring, &scene->inputs, 1);
    CHECK(scene->input == 11);
    CHECK(GetFastSocketInboundLength(scene->socket) == 11);
    struct FastRingStatistics statistics;
    CHECK(GetFastRingStatistics(scene->ring, &statistics, sizeof(statistics)) == 0);
    CHECK(statistics.inboundLength == 11 && statistics.sockets == 1);
    CHECK(ReceiveFastSocketData(scene->socket, data, 5, MSG_PEEK) == 5 && memcmp(data, "hello", 5) == 0);
    CHECK(ReceiveFastSocketData(scene->socket, data, 6, 0) == 6 && memcmp(data, "hello ", 6) == 0);
    CHECK(ReceiveFastSocketData(scene->socket, data, 6, MSG_WAITALL) == 0);
    CHECK(ReceiveFastSocketData(scene->socket, data, 0, 0) == -EINVAL);
    CHECK(ReceiveFastSocketData(scene->socket, NULL, 1, 0) == -EINVAL);
    CHECK(ReceiveFastSocketData(scene->socket, data, 1, MSG_OOB) == -EINVAL);
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene->socket);
    CHECK(buffer != NULL && GetFastBufferLength(buffer) == 5);
    CHECK(memcmp(GetFastBufferData(buffer), "world", 5) == 0);
    ReleaseFastBuffer(buffer);
    CHECK(GetFastSocketInboundLength(scene->socket) == 0);
}

static void transmit(struct scene* scene)
{
    runUntil(scene->ring, &scene->outputs, 1); /* writable for the first time */
    CHECK(scene->output == 0);
    CHECK(TransmitFastSocketData(scene->socket, NULL, 0, "one ", 4, 0) == 0);
    CHECK(GetFastSocketOutboundLength(scene->socket) == 4);
    CHECK(GetFastRingPending(scene->ring) == 1);
    struct iovec pieces[] = { { .iov_base = "two ", .iov_len = 4 }, { .iov_base = "three ", .iov_len = 6 } };
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };
    CHECK(TransmitFastSocketMessage(scene->socket, &message, MSG_MORE) == 0);
    struct FastBuffer* buffer = AllocateFastBuffer(scene->pool, 100, 0);
    CHECK(buffer != NULL);
    memcpy(GetFastBufferData(buffer), "__four__", 8);
    HoldFastBuffer(buffer);
    CHECK(TransmitFastSocketBuffer(scene->socket, NULL, 0, buffer, 2, 4, 0) == 0);
    CHECK(GetFastSocketOutboundLength(scene->socket) == 18);
    CHECK(TransmitFastSocketBuffer(scene->socket, NULL, 0, buffer, 90, 11, 0) == -EINVAL);
    CHECK(TransmitFastSocketBuffer(scene->socket, NULL, 0, NULL, 0, 0, 0) == -EINVAL);
    sceneExpect(scene, "one two three four");
    runUntil(scene->ring, &scene->outputs, 2);
    CHECK(GetFastSocketOutboundLength(scene->socket) == 0 && GetFastRingPending(scene->ring) == 0);

    CHECK(TransmitFastSocketData(scene->socket, NULL, 0, NULL, 1, 0) == -EINVAL);
    CHECK(TransmitFastSocketData(scene->socket, NULL, 0, "x", 1, MSG_PEEK) == -EINVAL);
    CHECK(TransmitFastSocketData(scene->socket, NULL, 0, "x", ((size_t)1 << 30) + 1, 0) == -EMSGSIZE);
    CHECK(TransmitFastSocketMessage(scene->socket, NULL, 0) == -EINVAL);
    struct sockaddr address = { .sa_family = AF_UNIX };
    CHECK(TransmitFastSocketData(scene->socket, &address, sizeof(address), "x", 1, 0) == -EISCONN);
}

static void pauseAndResume(struct scene* scene)
{
    int inputs = scene->inputs;
    char byte;
    CHECK(PauseFastSocket(scene->socket) == 0);
    sceneSend(scene, "p");
    runTurns(scene->ring, 4);
    CHECK(scene->inputs == inputs);
    CHECK(ResumeFastSocket(scene->socket) == 0);
    runUntil(scene->ring, &scene->inputs, inputs + 1);
    CHECK(ReceiveFastSocketData(scene->socket, &byte, 1, MSG_WAITALL) == 1 && byte == 'p');
}

static int told;

static void onOtherEvent(struct FastSocket* socket, int event, int parameter)
{
    CHECK(GetFastSocketClosure(socket) == &told && event == POLLIN && parameter == 1);
    told++;
}

static void handOver(struct scene* scene)
{
    char byte;
    int inputs = scene->inputs;
    told = 0;
    CHECK(SetFastSocketHandler(scene->socket, onOtherEvent, &told) == 0);
    CHECK(GetFastSocketClosure(scene->socket) == &told);
    sceneSend(scene, "h");
    runUntil(scene->ring, &told, 1);
    CHECK(scene->inputs == inputs);
    CHECK(SetFastSocketHandler(scene->socket, sceneEvent, scene) == 0);
    CHECK(ReceiveFastSocketData(scene->socket, &byte, 1, 0) == 1 && byte == 'h');
}

/* ---- since 1.1 ---- */

static int notices;
static int notice;

static void onNotice(struct FastSocket* socket, int result, void* closure)
{
    CHECK(socket != NULL && closure == &notices);
    notice = result;
    notices++;
}

static void notify(struct scene* scene)
{
    notices = 0;
    CHECK(NotifyFastSocketTransmit(NULL, onNotice, &notices) == -EINVAL);
    CHECK(NotifyFastSocketTransmit(scene->socket, NULL, &notices) == -EINVAL);
    CHECK(NotifyFastSocketTransmit(scene->socket, onNotice, &notices) == 0);
    CHECK(notices == 0);
    runUntil(scene->ring, &notices, 1);
    CHECK(notice == 0);
    CHECK(TransmitFastSocketData(scene->socket, NULL, 0, "note", 4, 0) == 0);
    CHECK(NotifyFastSocketTransmit(scene->socket, onNotice, &notices) == 0);
    runUntil(scene->ring, &notices, 2);
    CHECK(notice == 0 && GetFastSocketOutboundLength(scene->socket) == 0);
    sceneExpect(scene, "note");
}

static void shutDown(struct scene* scene)
{
    char byte;
    CHECK(TransmitFastSocketData(scene->socket, NULL, 0, "bye", 3, 0) == 0);
    CHECK(ShutdownFastSocket(scene->socket) == 0);
    CHECK(ShutdownFastSocket(scene->socket) == 0);
    CHECK(TransmitFastSocketData(scene->socket, NULL, 0, "x", 1, 0) == -EPIPE);
    sceneExpect(scene, "bye");
    ssize_t end = -1;
    for (int turn = 0; turn < 200 && end < 0; ++turn) {
        CHECK(WaitForFastRing(scene->ring, 10, NULL) == 0);
        end = recv(scene->peer, &byte, 1, MSG_DONTWAIT);
    }
    CHECK(end == 0);
    sceneSend(scene, "tail");
    CHECK(shutdown(scene->peer, SHUT_WR) == 0);
    runUntil(scene->ring, &scene->hangups, 1);
    CHECK(scene->hangup == 0 && scene->errors == 0);
    char data[8];
    CHECK(ReceiveFastSocketData(scene->socket, data, sizeof(data), MSG_WAITALL) == 4);
    CHECK(ReceiveFastSocketData(scene->socket, data, sizeof(data), 0) == 0);
}

void useStreamSocket(void)
{
    struct scene scene;
    sceneOpen(&scene, SOCK_STREAM, NULL);
    CHECK((fcntl(scene.handle, F_GETFD) & FD_CLOEXEC) != 0);
    transmit(&scene);
    receive(&scene);
    pauseAndResume(&scene);
    handOver(&scene);
    notify(&scene);
    shutDown(&scene);
    sceneEnd(&scene);
}

/* ---- questions, options ---- */

static void useOption(struct FastSocket* socket, int option, uint64_t initial, uint64_t next)
{
    uint64_t value = 54321;
    CHECK(GetFastSocketOption(socket, option, &value) == 0 && value == initial);
    CHECK(SetFastSocketOption(socket, option, next) == 0);
    CHECK(GetFastSocketOption(socket, option, &value) == 0 && value == next);
    CHECK(SetFastSocketOption(socket, option, (UINT64_C(1) << 40) + 1) == -EINVAL);
    CHECK(GetFastSocketOption(socket, option, &value) == 0 && value == next);
    CHECK(SetFastSocketOption(socket, option, initial) == 0);
}

static void useNoSocket(void)
{
    uint64_t value = 9;
    char byte;
    struct FastSocketStatistics statistics;
    ReleaseFastSocket(NULL);
    AbortFastSocket(NULL);
    CHECK(ShutdownFastSocket(NULL) == -EINVAL);
    CHECK(SetFastSocketHandler(NULL, sceneEvent, NULL) == -EINVAL);
    CHECK(ReceiveFastSocketData(NULL, &byte, 1, 0) == -EINVAL);
    CHECK_ERROR(ReceiveFastSocketBuffer(NULL), EINVAL);
    CHECK(PauseFastSocket(NULL) == -EINVAL);
    CHECK(ResumeFastSocket(NULL) == -EINVAL);
    CHECK(TransmitFastSocketData(NULL, NULL, 0, "x", 1, 0) == -EINVAL);
    CHECK(TransmitFastSocketDescriptor(NULL, NULL, NULL) == -EINVAL);
    CHECK(GetFastSocketClosure(NULL) == NULL);
    CHECK(GetFastSocketHandle(NULL) == -EINVAL);
    CHECK(GetFastSocketRing(NULL) == NULL);
    CHECK(SetFastSocketOption(NULL, FASTSOCKET_OPTION_TURN_LIMIT, 1) == -EINVAL);
    CHECK(GetFastSocketOption(NULL, FASTSOCKET_OPTION_TURN_LIMIT, &value) == -EINVAL && value == 9);
    CHECK(GetFastSocketStatistics(NULL, &statistics, sizeof(statistics)) == -EINVAL);
    CHECK_ERROR(GetFastSocketStream(NULL, 0), EINVAL);
}

static void askElsewhere(void* closure)
{
    struct FastSocket* socket = closure;
    char byte;
    CHECK(TransmitFastSocketData(socket, NULL, 0, "x", 1, 0) == -EPERM);
    CHECK(ReceiveFastSocketData(socket, &byte, 1, 0) == -EPERM);
    CHECK_ERROR(ReceiveFastSocketBuffer(socket), EPERM);
    CHECK(ShutdownFastSocket(socket) == -EPERM);
    CHECK(PauseFastSocket(socket) == -EPERM);
    CHECK(SetFastSocketOption(socket, FASTSOCKET_OPTION_TURN_LIMIT, 1) == -EPERM);
}

static void refuseArguments(struct scene* scene)
{
    struct FastRing* ring = scene->ring;
    struct FastBufferPool* pool = scene->pool;
    struct FastRingBufferProvider* provider = scene->provider;
    int handles[2];
    makePair(SOCK_STREAM, handles);
    int handle = handles[0];
    CHECK_ERROR(CreateFastSocket(NULL, provider, pool, pool, handle, NULL, 0, 0, 0, sceneEvent, NULL), EINVAL);
    CHECK_ERROR(CreateFastSocket(ring, NULL, pool, pool, handle, NULL, 0, 0, 0, sceneEvent, NULL), EINVAL);
    CHECK_ERROR(CreateFastSocket(ring, provider, NULL, pool, handle, NULL, 0, 0, 0, sceneEvent, NULL), EINVAL);
    CHECK_ERROR(CreateFastSocket(ring, provider, pool, pool, -1, NULL, 0, 0, 0, sceneEvent, NULL), EBADF);
    CHECK_ERROR(CreateFastSocket(ring, provider, pool, pool, handle, NULL, MSG_PEEK, 0, 0, sceneEvent, NULL), EINVAL);
    CHECK_ERROR(CreateFastSocket(ring, provider, pool, pool, handle, NULL, 0, 0x40000000, 0, sceneEvent, NULL), EINVAL);
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK_ERROR(CreateFastSocket(ring, provider, pool, pool, ends[0], NULL, 0, 0, 0, sceneEvent, NULL), ENOTSOCK);
    int lonely = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERROR(CreateFastSocket(ring, provider, pool, pool, lonely, NULL, 0, 0, 0, sceneEvent, NULL), ENOTCONN);
    CHECK(isOpen(handle) && isOpen(ends[0]) && isOpen(lonely));
    close(lonely);
    close(ends[0]);
    close(ends[1]);

    /* All that can be asked for at once; no pool to copy into. */
    int mode = FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK;
    struct FastSocket* silent = CreateFastSocket(ring, provider, pool, NULL, handle, NULL, MSG_CMSG_CLOEXEC | MSG_NOSIGNAL, mode, 1, NULL, NULL);
    CHECK(silent != NULL);
    CHECK(TransmitFastSocketData(silent, NULL, 0, "x", 1, 0) == -EINVAL);
    AbortFastSocket(silent);
    close(handles[1]);
}

void useSocketQuestions(void)
{
    struct scene scene;
    useNoSocket();
    sceneOpen(&scene, SOCK_STREAM, NULL);
    refuseArguments(&scene);
    runTurns(scene.ring, 2);
    CHECK(GetFastSocketClosure(scene.socket) == &scene);
    CHECK(GetFastSocketHandle(scene.socket) == scene.handle);
    CHECK(GetFastSocketRing(scene.socket) == scene.ring);
    CHECK(GetFastSocketError(scene.socket) == 0);
    CHECK(GetFastSocketMessageHeader(scene.socket) == NULL);
    callElsewhere(askElsewhere, scene.socket);

    useOption(scene.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 1024 * 1024, 512 * 1024);
    useOption(scene.socket, FASTSOCKET_OPTION_INBOUND_LOW, 256 * 1024, 128 * 1024);
    useOption(scene.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 0, 10);
    useOption(scene.socket, FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD, 16 * 1024, 1);
    useOption(scene.socket, FASTSOCKET_OPTION_RELEASE_TIMEOUT, 30000, 0);
    useOption(scene.socket, FASTSOCKET_OPTION_TURN_LIMIT, 256 * 1024, 1);
    useOption(scene.socket, FASTSOCKET_OPTION_CONNECT_TIMEOUT, 0, 60000);
    useOption(scene.socket, FASTSOCKET_OPTION_IDLE_TIMEOUT, 0, 60000);
    useOption(scene.socket, FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, 0, 60000);
    useOption(scene.socket, FASTSOCKET_OPTION_LINGER_TIMEOUT, 1000, 0);
    useOption(scene.socket, FASTSOCKET_OPTION_OUTBOUND_LOW, 0, 10);
    uint64_t value = 5;
    CHECK(SetFastSocketOption(scene.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 0) == -EINVAL);
    CHECK(SetFastSocketOption(scene.socket, FASTSOCKET_OPTION_INBOUND_LOW, 1024 * 1024) == -EINVAL);
    CHECK(SetFastSocketOption(scene.socket, FASTSOCKET_OPTION_TURN_LIMIT, 0) == -EINVAL);
    CHECK(SetFastSocketOption(scene.socket, UNKNOWN_OPTION, 1) == -ENOPROTOOPT);
    CHECK(GetFastSocketOption(scene.socket, UNKNOWN_OPTION, &value) == -ENOPROTOOPT);
    CHECK(GetFastSocketOption(scene.socket, 0, &value) == -ENOPROTOOPT && value == 5);
    CHECK(GetFastSocketOption(scene.socket, FASTSOCKET_OPTION_INBOUND_LOW, NULL) == -EINVAL);
    CHECK(SetFastSocketOption(scene.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 100) == 0);
    CHECK(GetFastSocketOption(scene.socket, FASTSOCKET_OPTION_INBOUND_LOW, &value) == 0 && value == 25);

    /* Back-pressure. */
    CHECK(SetFastSocketOption(scene.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 4) == 0);
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "full", 4, 0) == 0);
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "x", 1, 0) == -EAGAIN);
    int outputs = scene.outputs;
    sceneExpect(&scene, "full");
    runUntil(scene.ring, &scene.outputs, outputs + 1);
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "x", 1, 0) == 0);
    sceneExpect(&scene, "x");
    sceneEnd(&scene);
}

/* ---- errors and shells ---- */

void useSocketErrors(void)
{
    struct scene scene;
    sceneOpen(&scene, SOCK_STREAM, NULL);
    runTurns(scene.ring, 2);
    CHECK(close(scene.peer) == 0);
    scene.peer = -1;
    runUntil(scene.ring, &scene.hangups, 1);
    CHECK(scene.hangup == 0);
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "lost", 4, 0) == 0);
    runUntil(scene.ring, &scene.errors, 1);
    CHECK(scene.error == EPIPE && GetFastSocketError(scene.socket) == EPIPE);
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "x", 1, 0) == -EPIPE);
    CHECK(ShutdownFastSocket(scene.socket) == -EPIPE);
    CHECK(GetFastSocketOutboundLength(scene.socket) == 4);
    char byte;
    CHECK(ReceiveFastSocketData(scene.socket, &byte, 1, 0) == -EPIPE);
    struct FastSocketStatistics statistics;
    CHECK(GetFastSocketStatistics(scene.socket, &statistics, sizeof(statistics)) == 0);
    CHECK(statistics.droppedBytes == 4 && statistics.sentBytes == 0);
    runTurns(scene.ring, 2);
    CHECK(scene.hangups == 1 && scene.errors == 1);
    sceneEnd(&scene);

    /* Idle for too long. */
    sceneOpen(&scene, SOCK_STREAM, NULL);
    CHECK(SetFastSocketOption(scene.socket, FASTSOCKET_OPTION_IDLE_TIMEOUT, 20) == 0);
    runUntil(scene.ring, &scene.hangups, 1);
    CHECK(scene.error == ETIMEDOUT && GetFastSocketError(scene.socket) == ETIMEDOUT);
    CHECK(NotifyFastSocketTransmit(scene.socket, onNotice, &notices) == -EPIPE);
    sceneEnd(&scene);

    /* Aborted: the peer sees the end, what was queued is gone. */
    sceneOpen(&scene, SOCK_STREAM, NULL);
    runTurns(scene.ring, 2);
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "never", 5, 0) == 0);
    notices = 0;
    CHECK(NotifyFastSocketTransmit(scene.socket, onNotice, &notices) == 0);
    AbortFastSocket(scene.socket);
    for (int turn = 0; turn < 200 && isOpen(scene.handle); ++turn)
        CHECK(WaitForFastRing(scene.ring, 10, NULL) == 0);
    CHECK(!isOpen(scene.handle));
    CHECK(recv(scene.peer, &byte, 1, MSG_DONTWAIT) == 0);
    CHECK(scene.hangups == 0 && scene.errors == 0);
    CHECK(notices == 1 && notice == ECANCELED);
    sceneClose(&scene);

    /* Released: what was queued arrives. */
    sceneOpen(&scene, SOCK_STREAM, NULL);
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "after", 5, 0) == 0);
    ReleaseFastSocket(scene.socket);
    CHECK(GetFastRingPending(scene.ring) == 1);
    sceneExpect(&scene, "after");
    CHECK(close(scene.peer) == 0);
    scene.peer = -1;
    for (int turn = 0; GetFastRingPending(scene.ring) > 0; ++turn) {
        CHECK(turn < 200);
        CHECK(WaitForFastRing(scene.ring, 50, NULL) == 0);
    }
    CHECK(!isOpen(scene.handle));
    CHECK(scene.inputs == 0 && scene.outputs == 0 && scene.hangups == 0);
    sceneClose(&scene);
}

void useShells(void)
{
    struct scene scene;
    sceneOpen(&scene, SOCK_STREAM, NULL);
    runTurns(scene.ring, 2);
    ReleaseFastRing(scene.ring);
    scene.ring = NULL;
    CHECK(scene.hangups == 1 && scene.hangup == ECANCELED);
    char byte;
    uint64_t value;
    struct FastSocketStatistics statistics;
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "x", 1, 0) == -EPIPE);
    CHECK(ReceiveFastSocketData(scene.socket, &byte, 1, 0) == -ECANCELED);
    CHECK_ERROR(ReceiveFastSocketBuffer(scene.socket), ECANCELED);
    CHECK(ShutdownFastSocket(scene.socket) == -ECANCELED);
    CHECK(SetFastSocketHandler(scene.socket, NULL, NULL) == -ECANCELED);
    CHECK(PauseFastSocket(scene.socket) == -ECANCELED);
    CHECK(ResumeFastSocket(scene.socket) == -ECANCELED);
    CHECK(GetFastSocketHandle(scene.socket) == -ECANCELED);
    CHECK(SetFastSocketOption(scene.socket, FASTSOCKET_OPTION_TURN_LIMIT, 1) == -ECANCELED);
    CHECK(GetFastSocketOption(scene.socket, FASTSOCKET_OPTION_TURN_LIMIT, &value) == -ECANCELED);
    CHECK(GetFastSocketStatistics(scene.socket, &statistics, sizeof(statistics)) == -ECANCELED);
    CHECK_ERROR(GetFastSocketStream(scene.socket, 0), ECANCELED);
    ReleaseFastSocket(scene.socket);
    CHECK(!isOpen(scene.handle));
    sceneClose(&scene);
}
