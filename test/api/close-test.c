/* What a descriptor's end promises: once a call has given it up, nobody in the kernel keeps its
 * file. */
#include "services.h"

#include <Ring/FastBuffer.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <sys/wait.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0x2000
#endif

enum
{
    CLIENTS = 16,
    PROGRAMS = 400,
};

static int pair[2];
static int calls;

static void setUp(void)
{
    openScene();
    calls = 0;
}

AREA(close, "close", .open = setUp, .close = closeScene, .timeout = 120);

/* Hears of the end without a turn of the ring; the bound is for a hang alone. */
static void expectHangup(int peer)
{
    struct pollfd state = {.fd = peer, .events = POLLIN | POLLRDHUP};
    ck_assert_int_gt(poll(&state, 1, 10000), 0);
    ck_assert(state.revents & (POLLHUP | POLLRDHUP | POLLERR));
    close(peer);
}

/* ---- watches ---- */

/* Our end, which is watched for what does not come, and the peer's. */
static uint32_t openWatched(int kind)
{
    switch (kind) {
    case 0:
        pairStream(pair);
        return POLLIN;
    case 1:
        pairTcp(pair);
        return POLLIN;
    case 2: /* what holds already is not asked for: a poll waits that speaks of changes only */
        pairStream(pair);
        ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
        return POLLPRI;
    default:
        ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
        return POLLIN;
    }
}

static void onWatch(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    (void)result;
    (void)closure;
    calls++;
}

/* A pipe's reader is gone for the writer. */
static void expectEndOfWatched(int kind)
{
    close(pair[0]);
    if (kind != 3) {
        expectHangup(pair[1]);
        return;
    }
    struct pollfd state = {.fd = pair[1], .events = POLLOUT};
    ck_assert_int_eq(poll(&state, 1, 0), 1);
    ck_assert(state.revents & POLLERR);
    close(pair[1]);
}

/* §2.8 file let go: a removed watch's, whatever was in flight */
CASE(close, removedWatchKeepsNothing)
{
    static const uint32_t flags[] = {0, FASTRING_WATCH_ONCE, FASTRING_WATCH_EDGE};
    for (int kind = 0; kind < 4; kind++) {
        for (int index = 0; index < 3; index++) {
            for (int turns = 0; turns < 4; turns++) {
                uint32_t mask = openWatched(kind);
                struct FastRingWatch* watch =
                    AddFastRingWatch(scene.ring, pair[0], mask, flags[index], onWatch, NULL);
                ck_assert_ptr_nonnull(watch);
                runTurns(scene.ring, turns);
                RemoveFastRingWatch(watch);
                expectEndOfWatched(kind);
            }
        }
    }
    ck_assert_int_eq(calls, 0);
    runIdle(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).operations, 0);
}

/* §2.8 file let go: … and while its cancellation is on the way already */
CASE(close, updatedWatchKeepsNothingOnceRemoved)
{
    for (int before = 0; before < 3; before++) {
        for (int after = 0; after < 3; after++) {
            pairStream(pair);
            struct FastRingWatch* watch = AddFastRingWatch(scene.ring, pair[0], POLLIN, 0, onWatch,
                                                           NULL);
            runTurns(scene.ring, before);
            ck_assert_int_eq(UpdateFastRingWatch(watch, after == 2 ? 0 : POLLPRI), 0);
            runTurns(scene.ring, after);
            RemoveFastRingWatch(watch);
            expectEndOfWatched(0);
        }
    }
}

static void removeInside(struct FastRingWatch* watch, int result, void* closure)
{
    (void)closure;
    ck_assert_int_eq(result, POLLIN);
    RemoveFastRingWatch(watch);
    calls++;
    expectEndOfWatched(0);
}

/* §2.8 file let go: inside the function */
CASE(close, watchRemovedInsideKeepsNothing)
{
    static const uint32_t flags[] = {0, FASTRING_WATCH_ONCE, FASTRING_WATCH_EDGE};
    for (int index = 0; index < 3; index++) {
        pairStream(pair);
        ck_assert_ptr_nonnull(
            AddFastRingWatch(scene.ring, pair[0], POLLIN, flags[index], removeInside, NULL));
        runTurns(scene.ring, 2);
        sendText(pair[1], "x");
        waitCount(scene.ring, &calls, index + 1);
    }
}

static struct FastRingWatch* others[20];
static int ends[20][2];

static void removeAll(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    (void)result;
    (void)closure;
    calls++;
    for (int index = 0; index < 20; index++) {
        RemoveFastRingWatch(others[index]);
        close(ends[index][0]);
        expectHangup(ends[index][1]);
    }
}

/* §2.8 file let go: many at once, with completions of theirs on the way */
CASE(close, watchesRemovedTogetherKeepNothing)
{
    for (int index = 0; index < 20; index++) {
        pairStream(ends[index]);
        others[index] = AddFastRingWatch(scene.ring, ends[index][0], POLLIN, 0, removeAll, NULL);
        ck_assert_ptr_nonnull(others[index]);
    }
    runTurns(scene.ring, 2);
    for (int index = 0; index < 20; index += 2)
        sendText(ends[index][1], "x");
    waitCount(scene.ring, &calls, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
}

/* §2.8 file let go: who waits for a child that reads to the end of its input does not wait for
 * ever */
CASE(close, childHearsTheEnd)
{
    pairStream(pair);
    struct FastRingWatch* watch = AddFastRingWatch(scene.ring, pair[0], POLLIN, 0, onWatch, NULL);
    runTurns(scene.ring, 2);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        char byte;
        close(pair[0]);
        alarm(20); /* ends a child that waits for ever */
        _exit(read(pair[1], &byte, 1) == 0 ? 0 : 1);
    }
    close(pair[1]);
    RemoveFastRingWatch(watch);
    close(pair[0]);
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* ---- listeners ---- */

static struct sockaddr_storage address;
static socklen_t length;
static struct FastListener* listener;
static int accepted;
static int most;

/* Listens where the last one did, or anywhere: 0 or an errno. */
static int listenAgain(bool anywhere, int* handle)
{
    int on = 1;
    if (anywhere) {
        *handle = listenTcp(&address, &length);
        return 0;
    }
    *handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(*handle, 0);
    /* Connections of the former one may be left, but no listening socket. */
    setsockopt(*handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(*handle, (struct sockaddr*)&address, length) == 0 && listen(*handle, 4096) == 0)
        return 0;
    return errno;
}

static void onConnection(struct FastListener* which, int handle, void* closure)
{
    (void)which;
    (void)closure;
    ck_assert_int_ge(handle, 0);
    close(handle);
    accepted++;
}

/* §2.8 port free: on return */
CASE(close, releasedListenerFreesItsPort)
{
    int handle;
    accepted = 0;
    ck_assert_int_eq(listenAgain(true, &handle), 0);
    for (int turns = 0; turns < 4; turns++) {
        struct FastListener* own = CreateFastListener(scene.ring, handle, 0, onConnection, NULL);
        ck_assert_ptr_nonnull(own);
        runTurns(scene.ring, turns);
        ReleaseFastListener(own);
        ck_assert_int_eq(fcntl(handle, F_GETFD), -1);
        ck_assert_int_eq(listenAgain(false, &handle), 0);
    }
    close(handle);
    runIdle(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).operations, 0);
}

static void releaseInside(struct FastListener* which, int handle, void* closure)
{
    int* again = closure;
    ck_assert_int_ge(handle, 0);
    close(handle);
    ReleaseFastListener(which);
    ck_assert_int_eq(listenAgain(false, again), 0);
    accepted++;
}

/* §2.8 port free: inside the function */
CASE(close, listenerReleasedInsideFreesItsPort)
{
    int handle;
    int again = -1;
    accepted = 0;
    ck_assert_int_eq(listenAgain(true, &handle), 0);
    ck_assert_ptr_nonnull(CreateFastListener(scene.ring, handle, 0, releaseInside, &again));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(client, (struct sockaddr*)&address, length), 0);
    waitCount(scene.ring, &accepted, 1);
    close(client);
    close(again);
}

static void takeSome(struct FastListener* which, int handle, void* closure)
{
    int* handles = closure;
    ck_assert_int_ge(handle, 0);
    handles[accepted++] = handle;
    if (accepted == most) {
        ReleaseFastListener(which);
        listener = NULL;
    }
}

static void expectBacklogIsKept(int flags)
{
    int clients[CLIENTS];
    int handles[CLIENTS];
    int handle = listenTcp(&address, &length);
    int spare = fcntl(handle, F_DUPFD_CLOEXEC, 0);
    ck_assert_int_eq(fcntl(handle, F_SETFL, flags), 0);
    for (int index = 0; index < CLIENTS; index++) {
        clients[index] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(clients[index], (struct sockaddr*)&address, length), 0);
    }
    accepted = 0;
    for (most = 3; most < CLIENTS + 3; most += 3) {
        listener = CreateFastListener(scene.ring, fcntl(spare, F_DUPFD_CLOEXEC, 0), 0, takeSome,
                                      handles);
        ck_assert_ptr_nonnull(listener);
        waitCount(scene.ring, &accepted, most < CLIENTS ? most : CLIENTS);
        runIdle(scene.ring);
        ck_assert_int_eq(accepted, most < CLIENTS ? most : CLIENTS);
    }
    for (int index = 0; index < CLIENTS; index++) {
        expectNothing(clients[index]); /* nobody was turned away */
        close(clients[index]);
        close(handles[index]);
    }
    ReleaseFastListener(listener);
    close(handle);
    close(spare);
}

/* §2.8 backlog: who was not told of yet waits there when the listener is released in its
 * function */
CASE(close, releasedListenerLeavesTheBacklog)
{
    expectBacklogIsKept(0);
    expectBacklogIsKept(O_NONBLOCK);
}

/* §2.8 backlog: … or between turns */
CASE(close, listenerReleasedBetweenTurnsLeavesTheBacklog)
{
    int clients[CLIENTS];
    int handle = listenTcp(&address, &length);
    int spare = fcntl(handle, F_DUPFD_CLOEXEC, 0);
    listener = CreateFastListener(scene.ring, handle, 0, onConnection, NULL);
    runTurns(scene.ring, 2);
    for (int index = 0; index < CLIENTS; index++) {
        clients[index] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(clients[index], (struct sockaddr*)&address, length), 0);
    }
    ReleaseFastListener(listener);
    runIdle(scene.ring);
    for (int index = 0; index < CLIENTS; index++) {
        int taken = accept(spare, NULL, NULL);
        ck_assert_int_ge(taken, 0);
        close(taken);
        close(clients[index]);
    }
    close(spare);
}

/* ---- sockets ---- */

/* §2.6 GetFastRingPending: at 0 the peer has heard the end, also of a socket that was aborted,
 * or closed as a stream */
CASE(close, nothingPendingMeansNothingKept)
{
    for (int kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        if (!hasKind((enum Kind)kind) || typeKind((enum Kind)kind) == SOCK_DGRAM)
            continue;
        for (int way = 0; way < 3; way++) {
            if (way == 2 && typeKind((enum Kind)kind) != SOCK_STREAM)
                continue;
            pairKind((enum Kind)kind, pair);
            openRecorded(&scene, pair[0], NULL, 0, &scene.ours);
            FILE* stream = way == 2 ? GetFastSocketStream(scene.ours.socket, 1) : NULL;
            runIdle(scene.ring);
            if (way == 0)
                ReleaseFastSocket(scene.ours.socket);
            else if (way == 1)
                AbortFastSocket(scene.ours.socket);
            else {
                noteRelease(scene.ours.socket);
                fclose(stream);
            }
            if (way != 1)
                shutdown(pair[1], SHUT_WR);
            waitFor(scene.ring, isNothingPending, scene.ring);
            expectHangup(pair[1]);
        }
    }
}

/* §2.6 GetFastRingPending: at 0 a program that was written can be executed */
CASE(close, writtenProgramCanBeExecuted)
{
    static const char text[] = "#!/nonexistent/interpreter\n";
    char path[] = "/tmp/fastsocket-exec-XXXXXX";
    int handle = mkstemp(path);
    ck_assert_int_ge(handle, 0);
    close(handle);
    for (int round = 0; round < PROGRAMS; round++) {
        unlink(path);
        handle = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
        ck_assert_int_ge(handle, 0);
        openRecorded(&scene, handle, NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
        transmitText(scene.ours.socket, text);
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        pid_t child = vfork();
        if (child == 0) {
            execl(path, path, (char*)NULL);
            _exit(errno == ENOENT ? 0 : errno);
        }
        int status = -1;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
    }
    unlink(path);
}

/* ---- raw operations ---- */

static int lastResult;

static int onRaw(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    if (reason == FASTRING_REASON_COMPLETE) {
        lastResult = completion->res;
        calls++;
        close(pair[0]);
        expectHangup(pair[1]);
    }
    return 0;
}

/* §2.8 file let go: a raw operation's by its last completion */
CASE(close, completedDescriptorKeepsNothing)
{
    pairStream(pair);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, onRaw, NULL);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), pair[0], POLLIN);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runTurns(scene.ring, 2);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastResult, -ECANCELED);
}

/* ---- the ring ---- */

/* §2.8 file let go: of everything that lives on a ring, when its release returns */
CASE(close, releasedRingKeepsNothing)
{
    int watched[2];
    int polled[2];
    int piped[2];
    struct FastRing* ring = CreateFastRing(0);
    struct Scene parts = {.ring = ring};
    ck_assert_ptr_nonnull(ring);
    pairStream(watched);
    pairStream(polled);
    pairStream(pair);
    ck_assert_int_eq(pipe2(piped, O_CLOEXEC), 0);
    parts.inbound = parts.outbound = CreateFastBufferPool(ring);
    parts.provider = CreateFastRingBufferProvider(ring, 0, 8, 256, AllocateRingFastBuffer,
                                                  parts.inbound);
    openRecorded(&parts, pair[0], NULL, 0, &scene.ours);
    struct FastSocket* socket = scene.ours.socket;
    openRecorded(&parts, piped[0], NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
    struct FastRingWatch* watch = AddFastRingWatch(ring, watched[0], POLLIN, 0, onWatch, NULL);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, NULL, NULL);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), polled[0], POLLIN);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    int handle = listenTcp(&address, &length);
    listener = CreateFastListener(ring, handle, 0, onConnection, NULL);
    runTurns(ring, 3);

    ReleaseFastRing(ring);
    expectHangup(pair[1]);
    close(watched[0]);
    expectHangup(watched[1]);
    close(polled[0]);
    expectHangup(polled[1]);
    struct pollfd state = {.fd = piped[1], .events = POLLOUT};
    ck_assert_int_eq(poll(&state, 1, 0), 1);
    ck_assert(state.revents & POLLERR);
    close(piped[1]);
    ck_assert_int_eq(listenAgain(false, &handle), 0);
    close(handle);

    ReleaseFastSocket(socket);
    ReleaseFastSocket(scene.ours.socket);
    RemoveFastRingWatch(watch);
    ReleaseFastListener(listener);
    ReleaseFastRingBufferProvider(parts.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(parts.inbound);
}
