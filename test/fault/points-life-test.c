/*
 * Beginnings and ends, when the n-th call for memory, to the engine or to the system fails: rings,
 * listeners, connections, streams of the C library, releases, and the end of a ring with all that
 * is on it.
 */
#include "place.h"
#include "files.h"

#include <liburing.h>
#include <netinet/in.h>

AREA(points, "points-life", .timeout = 600);

static const struct SceneOptions few = {.buffers = 4, .bufferLength = 1024};

/* ---- rings ---- */

static void openAndClose(int turns)
{
    openPlace(few);
    runTurns(scene.ring, turns);
    closeScene();
}

/* a ring with its provider and pools, that is used or not */
CASE_ROUNDS(points, openAndClose_, 2)
{
    playPoints("a ring", round == 0 ? "unused" : "used", openAndClose, round * 3);
}

/* ---- connections ---- */

enum
{
    CLIENTS = 4,
};

static struct
{
    struct Recorder recorders[CLIENTS];
    int clients[CLIENTS];
    int accepted;
} server;

static void echo(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    char data[64];
    ssize_t size = 0;

    (void)parameter;
    (void)self;
    if (event != POLLIN)
        return;
    while ((size = ReceiveFastSocketData(socket, data, sizeof(data), 0)) > 0)
        DONE(TransmitFastSocketData(socket, NULL, 0, data, (size_t)size, 0));
}

static void serve(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    (void)closure;
    if (handle < 0) { /* reported, and it goes on */
        ck_assert_int_eq(handle, -ENOMEM);
        ck_assert(hasPointFailed());
        return;
    }
    ck_assert_int_lt(server.accepted, CLIENTS);
    server.recorders[server.accepted].then = echo;
    openActor(handle, NULL, 0, &server.recorders[server.accepted]);
    server.accepted++;
}

static void expectEcho(int handle, const char* text)
{
    char data[64] = "";
    ssize_t size = 0;

    while ((size = recv(handle, data, sizeof(data) - 1, MSG_DONTWAIT)) < 0) {
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    }
    ck_assert_int_eq(size, (ssize_t)strlen(text));
    ck_assert_str_eq(data, text);
}

static void acceptAndEcho(int unused)
{
    struct sockaddr_storage address;
    struct FastListener* listener = NULL;
    socklen_t length = sizeof(address);
    int handle = -1;

    (void)unused;
    memset(&server, 0, sizeof(server));
    openPlace(few);
    handle = listenTcp(&address, &length);
    MADE(listener, CreateFastListener(scene.ring, handle, 0, serve, NULL));
    for (int index = 0; index < CLIENTS; index++) {
        server.clients[index] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(server.clients[index], (struct sockaddr*)&address, length), 0);
        sendText(server.clients[index], "hello");
    }
    for (int index = 0; index < CLIENTS; index++)
        expectEcho(server.clients[index], "hello");
    ck_assert_int_eq(server.accepted, CLIENTS);
    ReleaseFastListener(listener);
    for (int index = 0; index < CLIENTS; index++) {
        close(server.clients[index]);
        ReleaseFastSocket(server.recorders[index].socket);
    }
    closeScene();
}

/* a listener, and connections that it hands over */
CASE(points, acceptAndEcho_)
{
    playPoints("listener", "TCP", acceptAndEcho, 0);
}

static int beginConnect(const struct sockaddr_storage* address, socklen_t length)
{
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    ck_assert_int_ge(handle, 0);
    if (connect(handle, (const struct sockaddr*)address, length) < 0)
        ck_assert_int_eq(errno, EINPROGRESS);
    return handle;
}

/* One that is accepted, and one that is refused. */
static void connectTwice(int unused)
{
    struct Recorder refused = {0};
    struct sockaddr_storage address;
    struct sockaddr_storage closed;
    socklen_t length = sizeof(address);
    int handle = -1;

    (void)unused;
    openPlace(few);
    handle = listenTcp(&address, &length);
    close(listenTcp(&closed, &length));
    openActor(beginConnect(&address, length), NULL, 0, &scene.ours);
    openActor(beginConnect(&closed, length), NULL, 0, &refused);
    putData(scene.ours.socket, 5000, 0);
    scene.peer = accept4(handle, NULL, NULL, SOCK_CLOEXEC);
    expectPattern(scene.peer, 5000, 0);
    waitCount(scene.ring, &scene.ours.out, 1);
    sendText(scene.peer, "welcome");
    receiveText(&scene.ours, "welcome");
    waitHangup(&refused);
    expectFailure(&refused, ECONNREFUSED);
    ReleaseFastSocket(refused.socket);
    close(handle);
    closeScene();
}

/* connections that are being made at creation */
CASE(points, connectTwice_)
{
    playPoints("connect", "TCP", connectTwice, 0);
}

/* ---- streams of the C library ---- */

static void print(FILE* stream, const char* text)
{
    while (wasRefusedByErrno(fputs(text, stream) < 0))
        clearerr(stream);
}

static void converse(int kind)
{
    char line[64] = "";
    FILE* stream = NULL;

    openPlace(few);
    openActors((enum Kind)kind, NULL, 0);
    MADE(stream, GetFastSocketStream(scene.ours.socket, 1));
    for (int number = 0; number < 3; number++) {
        sendText(scene.peer, "question\n");
        waitInput(&scene.ours, 9);
        ck_assert_ptr_nonnull(fgets(line, sizeof(line), stream));
        ck_assert_str_eq(line, "question\n");
        print(stream, "answer\n");
        print(stream, "and more\n");
        waitDrained(&scene.ours);
        expectText(scene.peer, "answer\nand more\n");
    }
    print(stream, "last\n");
    ck_assert_int_eq(fclose(stream), 0);
    ck_assert_ptr_null(scene.ours.socket);
    expectEcho(scene.peer, "last\n");
    closeScene();
}

/* a stream that owns its socket */
CASE(points, converse_)
{
    playPoints("FILE", "TCP", converse, KIND_TCP);
}

/* ---- files ---- */

static void readAndWrite(int unused)
{
    struct Recorder writer = {0};
    char text[64] = "";
    int ends[2];

    (void)unused;
    openPlace(few);
    ck_assert_int_eq(pipe(ends), 0);
    openActor(ends[0], NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
    openActor(ends[1], NULL, FASTSOCKET_MODE_FILE_IO, &writer);
    putData(writer.socket, 20000, 0);
    for (uint64_t position = 0; position < 20000;) {
        waitInput(&scene.ours, 1);
        position = takePattern(scene.ours.socket, position);
    }
    ReleaseFastSocket(writer.socket);
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
    ReleaseFastSocket(scene.ours.socket);

    openTerminal(ends, false);
    openActor(ends[0], NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
    writeText(ends[1], "typed\n");
    receiveText(&scene.ours, "typed\n");
    DONE(TransmitFastSocketData(scene.ours.socket, NULL, 0, "shown", 5, 0));
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    readAll(ends[1], text, 5);
    ck_assert_str_eq(text, "shown");
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    close(ends[1]);
    closeScene();
}

/* a pipe by both ends, and a terminal */
CASE(points, readAndWrite_)
{
    playPoints("files", "pipe, terminal", readAndWrite, 0);
}

/* ---- releases ---- */

enum
{
    QUEUED = 40000,
};

/* A socket with much queued and a peer that has sent, before it has run or while it is sending. */
static void openBusy(enum Kind kind, int turns)
{
    int pair[2];

    pairKind(kind, pair);
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){8192}, sizeof(int)), 0);
    scene.pair[0] = pair[0];
    scene.pair[1] = pair[1];
    openActor(pair[0], NULL, 0, &scene.ours);
    sendText(pair[1], "unread");
    putBuffer(scene.ours.socket, QUEUED / 2, 0);
    putData(scene.ours.socket, QUEUED / 2, QUEUED / 2);
    runTurns(scene.ring, turns);
}

static void releaseBusy(int kind)
{
    for (int turns = 0; turns < 3; turns++) {
        openPlace(few);
        openBusy((enum Kind)kind, turns);
        ReleaseFastSocket(scene.ours.socket);
        expectPattern(scene.peer, QUEUED, 0);
        closePeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
        closeScene();
    }
}

static void abortBusy(int kind)
{
    for (int turns = 0; turns < 3; turns++) {
        openPlace(few);
        openBusy((enum Kind)kind, turns);
        AbortFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        closeScene();
    }
}

/* what was accepted is sent after the release */
CASE_ROUNDS(points, releaseBusy_, 2)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    playPoints("release", nameKind(kinds[round]), releaseBusy, (int)kinds[round]);
}

CASE_ROUNDS(points, abortBusy_, 2)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    playPoints("abort", nameKind(kinds[round]), abortBusy, (int)kinds[round]);
}

/* ---- services ---- */

static struct
{
    int timeouts;
    int watches;
    int lostWatches;
    int events;
    int flushes;
    int operations;
    int cancellations;
} called;

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
    called.timeouts++;
}

static void onWatch(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    (void)closure;
    if (wasRefused(result < 0, -result)) {
        called.lostWatches++;
        return;
    }
    ck_assert_int_eq(result, POLLIN);
    called.watches++;
}

/* One that lacks memory says so, and is dead: then there is another. */
static void watchOnce(int handle)
{
    struct FastRingWatch* watch = NULL;
    int lost = -1;

    while (called.watches == 0) {
        if (lost != called.lostWatches) {
            RemoveFastRingWatch(watch);
            MADE(watch, AddFastRingWatch(scene.ring, handle, POLLIN, 0, onWatch, NULL));
            lost = called.lostWatches;
        }
        ck_assert_int_eq(WaitForFastRing(scene.ring, 100, NULL), 0);
    }
    RemoveFastRingWatch(watch);
}

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event;
    (void)closure;
    ck_assert_uint_eq(parameter, 7);
    called.events++;
}

static void onFlush(void* closure, int reason)
{
    (void)closure;
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    called.flushes++;
}

/* A buffer is passed on, and another one takes its place; the operation itself may lack memory. */
static int onReceive(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                     int reason)
{
    if (reason == FASTRING_REASON_RELEASED)
        return 0;
    if (completion->res == -ENOMEM || completion->res == -ENOBUFS) {
        ck_assert(hasPointFailed());
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
        return 1;
    }
    ck_assert_int_eq(completion->res, 5);
    uint8_t* data = GetFastRingBuffer(scene.provider, completion);
    ck_assert_mem_eq(data, "bytes", 5);
    /* Where there is no memory for another one, this one is ours all the same. */
    int result = AdvanceFastRingBuffer(scene.provider, completion, AllocateRingFastBuffer,
                                       scene.inbound);
    (void)wasRefused(result < 0, -result);
    ReleaseRingFastBuffer(data);
    called.operations++;
    return 1;
}

static int onPoll(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                  int reason)
{
    (void)descriptor;
    (void)reason;
    if (completion->res != -ENOMEM)
        ck_assert_int_eq(completion->res, -ECANCELED);
    called.cancellations++;
    return 0;
}

static void runOperations(int pair[2])
{
    struct FastRingDescriptor* receive = NULL;
    struct FastRingDescriptor* poll = NULL;
    struct io_uring_sqe* entry = NULL;

    MADE(receive, AllocateFastRingDescriptor(scene.ring, onReceive, NULL));
    entry = GetFastRingDescriptorSubmission(receive);
    io_uring_prep_recv(entry, pair[0], NULL, 5, 0);
    PrepareFastRingBuffer(scene.provider, entry);
    for (int number = 1; number <= 3; number++) {
        ck_assert_int_eq(SubmitFastRingDescriptor(receive), 0);
        sendText(pair[1], "bytes");
        waitCount(scene.ring, &called.operations, number);
    }
    ReleaseFastRingDescriptor(receive);
    MADE(poll, AllocateFastRingDescriptor(scene.ring, onPoll, NULL));
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(poll), pair[0], POLLIN);
    ck_assert_int_eq(SubmitFastRingDescriptor(poll), 0);
    runTurns(scene.ring, 2);
    if (called.cancellations == 0)
        (void)CancelFastRingDescriptor(poll);
    waitCount(scene.ring, &called.cancellations, 1);
}

static void useServices(int unused)
{
    struct FastRingTimeout* timeout = NULL;
    struct FastRingEvent* event = NULL;
    struct FastRingFlusher* flusher = NULL;
    int pair[2];

    (void)unused;
    memset(&called, 0, sizeof(called));
    openPlace(few);
    pairStream(pair);
    DONE(GetFastRingHandle(scene.ring));
    MADE(timeout,
         SetFastRingTimeout(scene.ring, NULL, 1, FASTRING_TIMEOUT_REPEAT, onTimeout, NULL));
    MADE(event, CreateFastRingEvent(scene.ring, onEvent, NULL));
    MADE(flusher, SetFastRingFlushHandler(scene.ring, onFlush, NULL));
    ck_assert_int_eq(SubmitFastRingEvent(event, 7), 0);
    sendText(pair[1], "x");
    watchOnce(pair[0]);
    waitCount(scene.ring, &called.timeouts, 2);
    waitCount(scene.ring, &called.events, 1);
    waitCount(scene.ring, &called.flushes, 1);
    expectText(pair[0], "x");
    runOperations(pair);
    ReleaseFastRingEvent(event);
    ck_assert_ptr_null(SetFastRingTimeout(scene.ring, timeout, -1, 0, NULL, NULL));
    close(pair[0]);
    close(pair[1]);
    closeScene();
}

/* timeouts, watches, events, flush handlers, raw operations */
CASE(points, useServices_)
{
    playPoints("services", "all", useServices, 0);
}

/* ---- the end of a ring ---- */

static int onEnd(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    if (reason == FASTRING_REASON_RELEASED)
        called.operations++;
    else
        ck_assert_int_eq(completion->res, -ENOMEM);
    return 0;
}

static void ignoreConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    (void)closure;
    ck_assert_int_lt(handle, 0);
}

static void ignoreWatch(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    (void)result;
    (void)closure;
}

static void ignoreFlush(void* closure, int reason)
{
    (void)reason;
    *(int*)closure += 1;
}

/* With a queue, with input, released, with operations and services. */
static void endAll(int turns)
{
    struct Recorder reader = {0};
    struct Recorder released = {0};
    struct sockaddr_storage address;
    struct FastRingTimeout* timeout = NULL;
    struct FastRingWatch* watch = NULL;
    struct FastRingEvent* event = NULL;
    struct FastRingFlusher* flusher = NULL;
    struct FastListener* listener = NULL;
    struct FastRingDescriptor* poll = NULL;
    socklen_t length = sizeof(address);
    int first[2];
    int second[2];
    int third[2];
    int flushes = 0;
    int handle = -1;

    memset(&called, 0, sizeof(called));
    openPlace(few);
    handle = listenTcp(&address, &length);
    openBusy(KIND_TCP, 0);
    pairStream(third);
    pairTcp(first);
    pairStream(second);
    openActor(first[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &reader);
    openActor(second[0], NULL, 0, &released);
    MADE(listener, CreateFastListener(scene.ring, handle, 0, ignoreConnection, NULL));
    MADE(timeout, SetFastRingTimeout(scene.ring, NULL, 60000, 0, onTimeout, NULL));
    MADE(watch, AddFastRingWatch(scene.ring, third[0], POLLIN, 0, ignoreWatch, NULL));
    MADE(event, CreateFastRingEvent(scene.ring, onEvent, NULL));
    MADE(poll, AllocateFastRingDescriptor(scene.ring, onEnd, NULL));
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(poll), third[0], POLLPRI);
    ck_assert_int_eq(SubmitFastRingDescriptor(poll), 0);
    putBuffer(reader.socket, 50000, 0);
    putData(released.socket, 50000, 0);
    sendText(first[1], "input");
    ReleaseFastSocket(released.socket);
    runTurns(scene.ring, turns);
    MADE(flusher, SetFastRingFlushHandler(scene.ring, ignoreFlush, &flushes));
    endRing();
    ck_assert_int_eq(scene.ours.lastHangup, ECANCELED);
    ck_assert_int_eq(reader.lastHangup, ECANCELED);
    ck_assert_int_eq(flushes, 1);
    ReleaseFastSocket(scene.ours.socket);
    scene.ours.socket = NULL;
    ReleaseFastSocket(reader.socket);
    ReleaseFastListener(listener);
    ck_assert_ptr_null(SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL));
    RemoveFastRingWatch(watch);
    ReleaseFastRingEvent(event);
    close(first[1]);
    close(second[1]);
    close(third[0]);
    close(third[1]);
    closeScene();
}

/* the end of a ring with all that can be on it */
CASE_ROUNDS(points, endAll_, 2)
{
    playPoints("the end of a ring", round == 0 ? "unused" : "used", endAll, round * 4);
}
