/* Ring/FastSocket.h: messages with metadata, files, operations, the stream of the C library, listeners, statistics. */
#include "scene.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum
{
    NAME_ROOM = 128,
    CONTROL_ROOM = 64,
};

/* ---- datagrams with their metadata ---- */

void useMessageSocket(void)
{
    struct scene scene;
    struct msghdr room = { .msg_namelen = NAME_ROOM, .msg_controllen = CONTROL_ROOM };
    sceneOpen(&scene, SOCK_DGRAM, &room);
    struct msghdr* header = GetFastSocketMessageHeader(scene.socket);
    CHECK(header != NULL && header != &room);
    CHECK(header->msg_namelen == NAME_ROOM && header->msg_controllen == CONTROL_ROOM);
    CHECK(header->msg_name == NULL && header->msg_iovlen == 0 && header->msg_flags == 0);
    CHECK(ShutdownFastSocket(scene.socket) == -EOPNOTSUPP);
    CHECK_ERROR(GetFastSocketStream(scene.socket, 0), EINVAL);

    sceneSend(&scene, "datagram");
    runUntil(scene.ring, &scene.inputs, 1);
    CHECK(scene.input == 8 && GetFastSocketInboundLength(scene.socket) == 8);
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.socket);
    CHECK(buffer != NULL);
    uint32_t lengths[4];
    memcpy(lengths, GetFastBufferData(buffer), sizeof(lengths));
    CHECK(lengths[1] == 0 && lengths[2] == 8 && lengths[3] == 0);
    const uint8_t* payload = GetFastBufferData(buffer) + 16 + NAME_ROOM + CONTROL_ROOM;
    CHECK(GetFastBufferLength(buffer) == 16 + NAME_ROOM + CONTROL_ROOM + 8);
    CHECK(memcmp(payload, "datagram", 8) == 0);
    ReleaseFastBuffer(buffer);

    char data[4];
    sceneSend(&scene, "excess");
    runUntil(scene.ring, &scene.inputs, 2);
    CHECK(ReceiveFastSocketData(scene.socket, data, sizeof(data), MSG_PEEK | MSG_TRUNC) == 6);
    CHECK(ReceiveFastSocketData(scene.socket, data, sizeof(data), 0) == 4 && memcmp(data, "exce", 4) == 0);
    CHECK(ReceiveFastSocketData(scene.socket, data, sizeof(data), 0) == 0);

    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "reply", 5, 0) == 0);
    sceneExpect(&scene, "reply");
    sceneEnd(&scene);
}

/* ---- descriptors in control data ---- */

void usePassing(void)
{
    struct scene scene;
    sceneOpen(&scene, SOCK_STREAM, NULL);
    int ends[2];
    CHECK(pipe(ends) == 0);
    union
    {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { .room = { 0 } };
    struct iovec piece = { .iov_base = "d", .iov_len = 1 };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.header), &ends[1], sizeof(int));
    CHECK(TransmitFastSocketMessage(scene.socket, &message, 0) == 0);
    CHECK(close(ends[1]) == 0); /* a duplicate is on its way */
    char byte = 0;
    piece.iov_base = &byte;
    memset(&control, 0, sizeof(control));
    ssize_t size = -1;
    for (int turn = 0; turn < 200 && size < 0; ++turn) {
        CHECK(WaitForFastRing(scene.ring, 10, NULL) == 0);
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        size = recvmsg(scene.peer, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    }
    int handle = -1;
    CHECK(size == 1 && byte == 'd' && control.header.cmsg_type == SCM_RIGHTS);
    memcpy(&handle, CMSG_DATA(&control.header), sizeof(int));
    CHECK(write(handle, "p", 1) == 1 && read(ends[0], &byte, 1) == 1 && byte == 'p');
    close(handle);
    close(ends[0]);
    sceneEnd(&scene);
}

/* ---- files ---- */

void useFiles(void)
{
    struct scene scene;
    sceneOpen(&scene, SOCK_STREAM, NULL);
    int in[2], out[2];
    char data[8];
    int mode = FASTSOCKET_MODE_FILE_IO;
    CHECK(pipe(in) == 0 && pipe(out) == 0);
    CHECK_ERROR(CreateFastSocket(scene.ring, scene.provider, scene.pool, scene.pool, in[0], NULL, 0,
                                 mode | FASTSOCKET_MODE_ZERO_COPY, 0, NULL, NULL), EINVAL);
    struct FastSocket* reader = CreateFastSocket(scene.ring, scene.provider, scene.pool, NULL, in[0], NULL, 0, mode, 0, NULL, NULL);
    struct FastSocket* writer = CreateFastSocket(scene.ring, NULL, NULL, scene.pool, out[1], NULL, 0, mode, 0, NULL, NULL);
    CHECK(reader != NULL && writer != NULL);
    CHECK((fcntl(in[0], F_GETFD) & FD_CLOEXEC) == 0);
    CHECK(ReceiveFastSocketData(writer, data, sizeof(data), 0) == -EBADF);
    CHECK(ShutdownFastSocket(writer) == -EOPNOTSUPP);
    CHECK(write(in[1], "read", 4) == 4);
    CHECK(TransmitFastSocketData(writer, NULL, 0, "written", 7, 0) == 0);
    for (int turn = 0; GetFastSocketInboundLength(reader) < 4 || GetFastSocketOutboundLength(writer) > 0; ++turn) {
        CHECK(turn < 200);
        CHECK(WaitForFastRing(scene.ring, 10, NULL) == 0);
    }
    CHECK(ReceiveFastSocketData(reader, data, sizeof(data), 0) == 4 && memcmp(data, "read", 4) == 0);
    CHECK(read(out[0], data, sizeof(data)) == 7 && memcmp(data, "written", 7) == 0);
    ReleaseFastSocket(reader);
    ReleaseFastSocket(writer);
    close(in[1]);
    close(out[0]);
    sceneEnd(&scene);
    CHECK(!isOpen(in[0]) && !isOpen(out[1]));
}

/* ---- operations in the order of the transmits ---- */

static int completions;

static int onNop(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    CHECK(completion != NULL && completion->res == 0 && reason == FASTRING_REASON_COMPLETE);
    completions++;
    return 0;
}

static struct FastRingDescriptor* makeOperation(struct scene* scene, int opcode, struct FastBuffer* buffer)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene->ring, onNop, NULL);
    CHECK(descriptor != NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    entry->opcode = (uint8_t)opcode;
    entry->fd = scene->handle;
    if (buffer != NULL) {
        entry->addr = (uintptr_t)GetFastBufferData(buffer);
        entry->len = (uint32_t)GetFastBufferLength(buffer);
    }
    return descriptor;
}

void useSocketOperations(void)
{
    struct scene scene;
    sceneOpen(&scene, SOCK_STREAM, NULL);
    runTurns(scene.ring, 2);
    completions = 0;
    struct FastBuffer* buffer = AllocateFastBuffer(scene.pool, 6, 0);
    CHECK(buffer != NULL);
    memcpy(GetFastBufferData(buffer), "second", 6);
    CHECK(SetFastBufferLength(buffer, 6) == 0);
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "first ", 6, 0) == 0);
    CHECK(TransmitFastSocketDescriptor(scene.socket, makeOperation(&scene, IORING_OP_NOP, NULL), NULL) == 0);
    CHECK(TransmitFastSocketDescriptor(scene.socket, makeOperation(&scene, IORING_OP_SEND, buffer), buffer) == 0);
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, " third", 6, 0) == 0);
    sceneExpect(&scene, "first second third");
    runUntil(scene.ring, &completions, 1); /* the send's own function is not called */

    CHECK(TransmitFastSocketDescriptor(scene.socket, NULL, NULL) == -EINVAL);
    CHECK(TransmitFastSocketDescriptor(scene.socket, makeOperation(&scene, IORING_OP_READ, NULL), NULL) == -EINVAL);

    struct FastRing* other = openRing();
    CHECK(other != NULL);
    struct FastRingDescriptor* foreign = AllocateFastRingDescriptor(other, NULL, NULL);
    CHECK(foreign != NULL);
    CHECK(TransmitFastSocketDescriptor(scene.socket, foreign, NULL) == -EXDEV);
    CHECK(GetFastRingDescriptorRing(foreign) == other);
    ReleaseFastRingDescriptor(foreign);
    ReleaseFastRing(other);
    sceneEnd(&scene);
}

/* ---- a stream of the C library ---- */

void useSocketStream(void)
{
    struct scene scene;
    sceneOpen(&scene, SOCK_STREAM, NULL);
    FILE* stream = GetFastSocketStream(scene.socket, 0);
    CHECK(stream != NULL && fileno(stream) == -1);
    char line[32];
    CHECK(fgets(line, sizeof(line), stream) == NULL && ferror(stream) && !feof(stream));
    clearerr(stream);
    sceneSend(&scene, "a line\n");
    runUntil(scene.ring, &scene.inputs, 1);
    CHECK(fgets(line, sizeof(line), stream) == line && strcmp(line, "a line\n") == 0);
    CHECK(fprintf(stream, "%d bottles\n", 99) == 11 && fflush(stream) == 0);
    sceneExpect(&scene, "99 bottles\n");
    CHECK(fclose(stream) == 0);
    CHECK(GetFastSocketHandle(scene.socket) == scene.handle);

    /* One that owns the socket. */
    stream = GetFastSocketStream(scene.socket, 1);
    CHECK(stream != NULL);
    CHECK_ERROR(GetFastSocketStream(scene.socket, 1), EBUSY);
    CHECK(fclose(stream) == 0);
    CHECK(GetFastRingPending(scene.ring) == 1);
    CHECK(close(scene.peer) == 0);
    scene.peer = -1;
    for (int turn = 0; GetFastRingPending(scene.ring) > 0; ++turn) {
        CHECK(turn < 200);
        CHECK(WaitForFastRing(scene.ring, 50, NULL) == 0);
    }
    CHECK(!isOpen(scene.handle));
    sceneClose(&scene);
}

/* ---- a listener ---- */

struct reception
{
    struct FastListener* listener;
    int handle;
    int count;
};

static void onConnection(struct FastListener* listener, int handle, void* closure)
{
    struct reception* reception = closure;
    CHECK(listener == reception->listener);
    reception->handle = handle;
    reception->count++;
}

void useListener(void)
{
    struct FastRing* ring = openRing();
    CHECK(ring != NULL);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int handle = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(handle, (struct sockaddr*)&address, length) == 0);
    struct reception reception = { NULL, -1, 0 };
    CHECK_ERROR(CreateFastListener(ring, handle, 0, onConnection, NULL), EINVAL); /* not listening */
    CHECK(listen(handle, 8) == 0);
    CHECK_ERROR(CreateFastListener(ring, handle, 0, NULL, NULL), EINVAL);
    CHECK_ERROR(CreateFastListener(ring, handle, 1, onConnection, NULL), EINVAL);
    CHECK_ERROR(CreateFastListener(ring, -1, 0, onConnection, NULL), EBADF);
    CHECK_ERROR(CreateFastListener(NULL, handle, 0, onConnection, NULL), EINVAL);
    reception.listener = CreateFastListener(ring, handle, SOCK_NONBLOCK, onConnection, &reception);
    CHECK(reception.listener != NULL);
    CHECK(getsockname(handle, (struct sockaddr*)&address, &length) == 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(client, (struct sockaddr*)&address, length) == 0);
    runUntil(ring, &reception.count, 1);
    CHECK(reception.handle >= 0 && isOpen(reception.handle));
    CHECK((fcntl(reception.handle, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(reception.handle, F_GETFL) & O_NONBLOCK) != 0);
    CHECK(send(client, "x", 1, 0) == 1);
    close(client);
    close(reception.handle);
    ReleaseFastListener(reception.listener);
    ReleaseFastListener(NULL);
    for (int turn = 0; turn < 200 && isOpen(handle); ++turn)
        CHECK(WaitForFastRing(ring, 5, NULL) == 0);
    CHECK(!isOpen(handle));
    ReleaseFastRing(ring);
}

/* ---- statistics ---- */

static void readStatistics(struct scene* scene)
{
    struct
    {
        struct FastSocketStatistics known;
        uint8_t beyond[64];
    } socket;
    memset(&socket, 0xff, sizeof(socket));
    CHECK(GetFastSocketStatistics(scene->socket, &socket.known, sizeof(socket.known)) == 0);
    CHECK(socket.beyond[0] == 0xff);
    CHECK(socket.known.receivedBytes == 7 && socket.known.receivedMessages == 2);
    CHECK(socket.known.receivedTruncated == 0 && socket.known.receiveStarvations == 0 && socket.known.receivePauses == 0);
    CHECK(socket.known.sentBytes == 9 && socket.known.sentOperations == 1);
    CHECK(socket.known.sentZeroCopy == 0 && socket.known.copiedZeroCopy == 0);
    CHECK(socket.known.failedMessages == 0 && socket.known.droppedBytes == 0);
    CHECK(GetFastSocketStatistics(scene->socket, NULL, sizeof(socket.known)) == -EINVAL);

    uint64_t part[2] = { 1, 1 };
    CHECK(GetFastSocketStatistics(scene->socket, (struct FastSocketStatistics*)part, sizeof(part[0])) == 0);
    CHECK(part[0] == 7 && part[1] == 1);
}

static void readRingStatistics(struct scene* scene, struct FastBuffer* held)
{
    struct
    {
        struct FastRingStatistics known;
        uint8_t beyond[1024];
    } ring;
    (void)held;
    memset(&ring, 0xff, sizeof(ring));
    CHECK(GetFastRingStatistics(scene->ring, &ring.known, sizeof(ring)) == 0);
    CHECK(ring.beyond[sizeof(ring.beyond) - 1] == 0);
    struct FastRingStatistics known = ring.known;
    CHECK(known.turns >= 4 && known.systemCalls >= 1 && known.submissions >= 2 && known.completions >= 2);
    CHECK(known.overflows == 0 && known.wakes == 0 && known.starvations == 0);
    CHECK(known.operations >= 1 && known.operations < 8);
    CHECK(known.sockets == 1 && known.inboundLength == 0);
    CHECK(known.buffers == known.providedBuffers + 1);
    CHECK(known.providedBuffers == 8 && known.bufferBytes >= 9 * 4096);
    CHECK(GetFastRingStatistics(scene->ring, NULL, sizeof(known)) == -EINVAL);
    CHECK(GetFastRingStatistics(NULL, &known, sizeof(known)) == -EINVAL);

    uint64_t part[2] = { 0, 1 };
    CHECK(GetFastRingStatistics(scene->ring, (struct FastRingStatistics*)part, sizeof(part[0])) == 0);
    CHECK(part[0] == known.turns && part[1] == 1);
}

void useStatistics(void)
{
    struct scene scene;
    char data[8];
    sceneOpen(&scene, SOCK_STREAM, NULL);
    runUntil(scene.ring, &scene.outputs, 1);
    sceneSend(&scene, "abcd");
    runUntil(scene.ring, &scene.inputs, 1);
    CHECK(ReceiveFastSocketData(scene.socket, data, sizeof(data), 0) == 4);
    sceneSend(&scene, "efg");
    runUntil(scene.ring, &scene.inputs, 2);
    struct FastBuffer* held = ReceiveFastSocketBuffer(scene.socket);
    CHECK(held != NULL);
    CHECK(TransmitFastSocketData(scene.socket, NULL, 0, "ninebytes", 9, 0) == 0);
    sceneExpect(&scene, "ninebytes");
    runUntil(scene.ring, &scene.outputs, 2);
    readStatistics(&scene);
    readRingStatistics(&scene, held);
    ReleaseFastBuffer(held);
    sceneEnd(&scene);
}
