/* What a descriptor's end promises: once a call has given it up, nobody in the kernel keeps its file. */
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

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];
static int calls;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
    calls = 0;
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

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
START_TEST(removedWatchKeepsNothing)
{
    static const uint32_t flags[] = {0, FASTRING_WATCH_ONCE, FASTRING_WATCH_EDGE};
    for (int kind = 0; kind < 4; kind++) {
        for (int index = 0; index < 3; index++) {
            for (int turns = 0; turns < 4; turns++) {
                uint32_t mask = openWatched(kind);
                struct FastRingWatch* watch =
                    AddFastRingWatch(fixture.ring, pair[0], mask, flags[index], onWatch, NULL);
                ck_assert_ptr_nonnull(watch);
                runTurns(fixture.ring, turns);
                RemoveFastRingWatch(watch);
                expectEndOfWatched(kind);
            }
        }
    }
    ck_assert_int_eq(calls, 0);
    runIdle(fixture.ring);
    ck_assert_uint_eq(readRing(fixture.ring).operations, 0);
}
END_TEST

/* §2.8 file let go: … and while its cancellation is on the way already */
START_TEST(updatedWatchKeepsNothingOnceRemoved)
{
    for (int before = 0; before < 3; before++) {
        for (int after = 0; after < 3; after++) {
            pairStream(pair);
            struct FastRingWatch* watch = AddFastRingWatch(fixture.ring, pair[0], POLLIN, 0, onWatch, NULL);
            runTurns(fixture.ring, before);
            ck_assert_int_eq(UpdateFastRingWatch(watch, after == 2 ? 0 : POLLPRI), 0);
            runTurns(fixture.ring, after);
            RemoveFastRingWatch(watch);
            expectEndOfWatched(0);
        }
    }
}
END_TEST

static void removeInside(struct FastRingWatch* watch, int result, void* closure)
{
    (void)closure;
    ck_assert_int_eq(result, POLLIN);
    RemoveFastRingWatch(watch);
    calls++;
    expectEndOfWatched(0);
}

/* §2.8 file let go: inside the function */
START_TEST(watchRemovedInsideKeepsNothing)
{
    static const uint32_t flags[] = {0, FASTRING_WATCH_ONCE, FASTRING_WATCH_EDGE};
    for (int index = 0; index < 3; index++) {
        pairStream(pair);
        ck_assert_ptr_nonnull(AddFastRingWatch(fixture.ring, pair[0], POLLIN, flags[index], removeInside, NULL));
        runTurns(fixture.ring, 2);
        sendText(pair[1], "x");
        waitCount(fixture.ring, &calls, index + 1);
    }
}
END_TEST

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
START_TEST(watchesRemovedTogetherKeepNothing)
{
    for (int index = 0; index < 20; index++) {
        pairStream(ends[index]);
        others[index] = AddFastRingWatch(fixture.ring, ends[index][0], POLLIN, 0, removeAll, NULL);
        ck_assert_ptr_nonnull(others[index]);
    }
    runTurns(fixture.ring, 2);
    for (int index = 0; index < 20; index += 2)
        sendText(ends[index][1], "x");
    waitCount(fixture.ring, &calls, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
}
END_TEST

/* §2.8 file let go: who waits for a child that reads to the end of its input does not wait for ever */
START_TEST(childHearsTheEnd)
{
    pairStream(pair);
    struct FastRingWatch* watch = AddFastRingWatch(fixture.ring, pair[0], POLLIN, 0, onWatch, NULL);
    runTurns(fixture.ring, 2);
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
END_TEST

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
START_TEST(releasedListenerFreesItsPort)
{
    int handle;
    accepted = 0;
    ck_assert_int_eq(listenAgain(true, &handle), 0);
    for (int turns = 0; turns < 4; turns++) {
        struct FastListener* own = CreateFastListener(fixture.ring, handle, 0, onConnection, NULL);
        ck_assert_ptr_nonnull(own);
        runTurns(fixture.ring, turns);
        ReleaseFastListener(own);
        ck_assert_int_eq(fcntl(handle, F_GETFD), -1);
        ck_assert_int_eq(listenAgain(false, &handle), 0);
    }
    close(handle);
    runIdle(fixture.ring);
    ck_assert_uint_eq(readRing(fixture.ring).operations, 0);
}
END_TEST

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
START_TEST(listenerReleasedInsideFreesItsPort)
{
    int handle;
    int again = -1;
    accepted = 0;
    ck_assert_int_eq(listenAgain(true, &handle), 0);
    ck_assert_ptr_nonnull(CreateFastListener(fixture.ring, handle, 0, releaseInside, &again));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(client, (struct sockaddr*)&address, length), 0);
    waitCount(fixture.ring, &accepted, 1);
    close(client);
    close(again);
}
END_TEST

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
        listener = CreateFastListener(fixture.ring, fcntl(spare, F_DUPFD_CLOEXEC, 0), 0, takeSome, handles);
        ck_assert_ptr_nonnull(listener);
        waitCount(fixture.ring, &accepted, most < CLIENTS ? most : CLIENTS);
        runIdle(fixture.ring);
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

/* §2.8 backlog: who was not told of yet waits there when the listener is released in its function */
START_TEST(releasedListenerLeavesTheBacklog)
{
    expectBacklogIsKept(0);
    expectBacklogIsKept(O_NONBLOCK);
}
END_TEST

/* §2.8 backlog: … or between turns */
START_TEST(listenerReleasedBetweenTurnsLeavesTheBacklog)
{
    int clients[CLIENTS];
    int handle = listenTcp(&address, &length);
    int spare = fcntl(handle, F_DUPFD_CLOEXEC, 0);
    listener = CreateFastListener(fixture.ring, handle, 0, onConnection, NULL);
    runTurns(fixture.ring, 2);
    for (int index = 0; index < CLIENTS; index++) {
        clients[index] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(clients[index], (struct sockaddr*)&address, length), 0);
    }
    ReleaseFastListener(listener);
    runIdle(fixture.ring);
    for (int index = 0; index < CLIENTS; index++) {
        int taken = accept(spare, NULL, NULL);
        ck_assert_int_ge(taken, 0);
        close(taken);
        close(clients[index]);
    }
    close(spare);
}
END_TEST

/* ---- sockets ---- */

/* §2.6 GetFastRingPending: at 0 the peer has heard the end, also of a socket that was aborted, or closed as a
 * stream */
START_TEST(nothingPendingMeansNothingKept)
{
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (!hasKind((enum Kind)kind) || typeKind((enum Kind)kind) == SOCK_DGRAM)
            continue;
        for (int way = 0; way < 3; way++) {
            if (way == 2 && typeKind((enum Kind)kind) != SOCK_STREAM)
                continue;
            pairKind((enum Kind)kind, pair);
            openRecorded(&fixture, pair[0], NULL, 0, &recorder);
            FILE* stream = way == 2 ? GetFastSocketStream(recorder.socket, 1) : NULL;
            runIdle(fixture.ring);
            if (way == 0)
                ReleaseFastSocket(recorder.socket);
            else if (way == 1)
                AbortFastSocket(recorder.socket);
            else {
                noteRelease(recorder.socket);
                fclose(stream);
            }
            if (way != 1)
                shutdown(pair[1], SHUT_WR);
            waitFor(fixture.ring, isNothingPending, fixture.ring);
            expectHangup(pair[1]);
        }
    }
}
END_TEST

/* §2.6 GetFastRingPending: at 0 a program that was written can be executed */
START_TEST(writtenProgramCanBeExecuted)
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
        openRecorded(&fixture, handle, NULL, FASTSOCKET_MODE_FILE_IO, &recorder);
        transmitText(recorder.socket, text);
        ReleaseFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
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
END_TEST

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
START_TEST(completedDescriptorKeepsNothing)
{
    pairStream(pair);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, onRaw, NULL);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), pair[0], POLLIN);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runTurns(fixture.ring, 2);
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_int_eq(lastResult, -ECANCELED);
}
END_TEST

/* ---- the ring ---- */

/* §2.8 file let go: of everything that lives on a ring, when its release returns */
START_TEST(releasedRingKeepsNothing)
{
    int watched[2];
    int polled[2];
    int piped[2];
    struct FastRing* ring = CreateFastRing(0);
    struct Fixture parts = {.ring = ring};
    ck_assert_ptr_nonnull(ring);
    pairStream(watched);
    pairStream(polled);
    pairStream(pair);
    ck_assert_int_eq(pipe2(piped, O_CLOEXEC), 0);
    parts.inbound = parts.outbound = CreateFastBufferPool(ring);
    parts.provider = CreateFastRingBufferProvider(ring, 0, 8, 256, AllocateRingFastBuffer, parts.inbound);
    openRecorded(&parts, pair[0], NULL, 0, &recorder);
    struct FastSocket* socket = recorder.socket;
    openRecorded(&parts, piped[0], NULL, FASTSOCKET_MODE_FILE_IO, &recorder);
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
    ReleaseFastSocket(recorder.socket);
    RemoveFastRingWatch(watch);
    ReleaseFastListener(listener);
    ReleaseFastRingBufferProvider(parts.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(parts.inbound);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("close");
    TCase* tcase = tcase_create("close");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_test(tcase, removedWatchKeepsNothing);
    tcase_add_test(tcase, updatedWatchKeepsNothingOnceRemoved);
    tcase_add_test(tcase, watchRemovedInsideKeepsNothing);
    tcase_add_test(tcase, watchesRemovedTogetherKeepNothing);
    tcase_add_test(tcase, childHearsTheEnd);
    tcase_add_test(tcase, releasedListenerFreesItsPort);
    tcase_add_test(tcase, listenerReleasedInsideFreesItsPort);
    tcase_add_test(tcase, releasedListenerLeavesTheBacklog);
    tcase_add_test(tcase, listenerReleasedBetweenTurnsLeavesTheBacklog);
    tcase_add_test(tcase, nothingPendingMeansNothingKept);
    tcase_add_test(tcase, writtenProgramCanBeExecuted);
    tcase_add_test(tcase, completedDescriptorKeepsNothing);
    tcase_add_test(tcase, releasedRingKeepsNothing);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
