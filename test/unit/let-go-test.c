/*
 * What is let go of when, on a kernel that answers as the case says: an engine between the ring and
 * the kernel changes submissions, holds completions back, and refuses to be entered.
 */
#include "between.h"
#include "files.h"
#include "ring/state.h"

#include <fcntl.h>
#include <netinet/in.h>

enum
{
    PATIENCE = 16, /* failures in a row before a listener backs off */
};

/* ---- the engine between ---- */

static struct
{
    bool refuses;   /* every enter, by EBUSY */
    bool trips;     /* from the next completion on */
    int opcode;     /* of operations that may not run */
    int result;     /* what these complete with instead */
    struct Countdown answers;
    int count;      /* of operations of that kind, run or not */
    int linked;     /* opcode of the last entry with something linked behind it; -1: none */
    bool isBehind;  /* the next entry is linked to the last */
    bool holds;     /* what comes of the one behind */
    uint64_t trail; /* its owner */
} between;

static int refuse(void)
{
    between.isBehind = false; /* a chain ends with its enter */
    return between.refuses ? -EBUSY : 0;
}

static void look(struct io_uring_sqe* entry)
{
    if (between.isBehind) {
        ck_assert_int_eq(entry->opcode, IORING_OP_NOP);
        between.trail = entry->user_data;
    }
    between.isBehind = entry->flags & IOSQE_IO_LINK;
    if (between.isBehind)
        between.linked = entry->opcode;
    if (entry->opcode != between.opcode)
        return;
    between.count++;
    if (countdownFails(&between.answers))
        betweenAnswer(entry, between.result, 0);
}

static void pass(struct Completion completion)
{
    if (between.holds && completion.user_data == between.trail)
        betweenHold(completion);
    else
        betweenDeliver(completion);
    between.refuses = between.trips;
}

static void setUp(void)
{
    openScene();
    memset(&between, 0, sizeof(between));
    between.opcode = -1;
    between.linked = -1;
    betweenPut(scene.ring->engine,
               (struct Between){.refuse = refuse, .look = look, .pass = pass});
}

static void tearDown(void)
{
    failNoCall(&between.answers);
    closeScene();
}

AREA(letGo, "let-go", .open = setUp, .close = tearDown, .timeout = 120);

/* ---- listeners ---- */

static struct sockaddr_storage address;
static socklen_t length;
static struct FastListener* listener;
static int accepted;
static int failures;
static int lastFailure;

static void onConnection(struct FastListener* which, int handle, void* closure)
{
    ck_assert_ptr_eq(which, listener);
    ck_assert_ptr_null(closure);
    if (handle >= 0) {
        ck_assert_int_gt(handle, 2); /* and not what another operation gave */
        close(handle);
        accepted++;
        return;
    }
    failures++;
    lastFailure = -handle;
}

static int openListener(void)
{
    int handle = listenTcp(&address, &length);
    accepted = 0;
    failures = 0;
    listener = CreateFastListener(scene.ring, handle, 0, onConnection, NULL);
    ck_assert_ptr_nonnull(listener);
    runIdle(scene.ring);
    return handle;
}

static int dial(void)
{
    int handle = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), 0);
    return handle;
}

static void failAccepts(int error, int times)
{
    between.opcode = IORING_OP_ACCEPT;
    between.result = -error;
    failCalls(&between.answers, times);
    between.count = 0;
}

static bool isEverythingTried(void* closure)
{
    (void)closure;
    return !isFailureAwaited(&between.answers);
}

/* What accept(2) tells of a connection that has failed already, of a firewall, and of other
 * kernels. */
static const int passing[] = {
    EPERM,        EACCES,    EPROTO,          ENOPROTOOPT,  EOPNOTSUPP,      ENETDOWN,
    ENETUNREACH,  ENETRESET, ENONET,          EHOSTDOWN,    EHOSTUNREACH,    ETIMEDOUT,
    ECONNABORTED, EAGAIN,    ECONNRESET,      ECONNREFUSED, ENOSR,           EPIPE,
    EINTR,        EIO,       ESOCKTNOSUPPORT, ECANCELED,    EPROTONOSUPPORT,
};

/* §2.8 accept errors: of one connection; the next is accepted, and nothing reported */
CASE(letGo, connectionErrorsDontEndAListener)
{
    openListener();
    for (size_t index = 0; index < sizeof(passing) / sizeof(passing[0]); index++) {
        failAccepts(passing[index], 1);
        int client = dial();
        waitCount(scene.ring, &accepted, (int)index + 1);
        ck_assert(!isFailureAwaited(&between.answers));
        ck_assert_int_eq(failures, 0);
        close(client);
    }
    ReleaseFastListener(listener);
}

/* §2.8 accept errors: after a long row it backs off; nobody hears of it, and nothing ends */
CASE(letGo, manyConnectionErrorsRest)
{
    openListener();
    for (size_t index = 0; index < sizeof(passing) / sizeof(passing[0]); index += 4) {
        failAccepts(passing[index], 2 * PATIENCE + 3);
        int client = dial();
        int before = accepted;
        int backoffs = 0;
        while (accepted == before) {
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1000, NULL), 0);
            backoffs += between.count % PATIENCE == 0 && GetFastRingInterval(scene.ring) > 0;
        }
        ck_assert_int_ge(backoffs, 2);
        ck_assert_int_eq(between.count, 2 * PATIENCE + 4);
        ck_assert_int_eq(failures, 0);
        close(client);
    }
    ReleaseFastListener(listener);
}

/* §2.8 accept errors: but a socket that is none, or doesn't listen, is reported, and is the end */
CASE(letGo, listenersOwnErrorsAreFinal)
{
    static const int final[] = {EBADF, EINVAL, ENOTSOCK, EFAULT, ENOSYS};
    for (size_t index = 0; index < sizeof(final) / sizeof(final[0]); index++) {
        openListener();
        failAccepts(final[index], 1);
        int client = dial();
        waitCount(scene.ring, &failures, 1);
        ck_assert_int_eq(lastFailure, final[index]);
        runIdle(scene.ring);
        ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
        ck_assert_int_eq(between.count, 1);
        ck_assert_int_eq(failures, 1);
        ReleaseFastListener(listener);
        close(client);
    }
}

/* §2.8 accept errors: an errno that may be a connection's, of a socket that listens no more */
CASE(letGo, deafSocketIsFinal)
{
    int handle = openListener();
    failAccepts(EOPNOTSUPP, 1000);
    shutdown(handle, SHUT_RD);
    waitCount(scene.ring, &failures, 1);
    ck_assert_int_eq(lastFailure, EOPNOTSUPP);
    ck_assert_int_le(between.count, PATIENCE);
    runIdle(scene.ring);
    ck_assert_int_eq(failures, 1);
    ReleaseFastListener(listener);
}

/* §2.8 accept errors: a connection that somebody else has taken is not waited for, and costs no
 * spin */
CASE(letGo, stolenConnectionsRest)
{
    openListener();
    ReleaseFastListener(listener);
    runIdle(scene.ring);
    between.opcode = IORING_OP_POLL_ADD;
    between.result = POLLIN;
    failCalls(&between.answers, 3 * PATIENCE);
    openListener();
    waitFor(scene.ring, isEverythingTried, NULL);
    between.opcode = IORING_OP_ACCEPT;
    int client = dial();
    waitCount(scene.ring, &accepted, 1);
    ck_assert_int_eq(failures, 0);
    close(client);
    ReleaseFastListener(listener);
    runIdle(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).operations, 0);
}

/* ---- a kernel that takes nothing ---- */

static void never(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    (void)closure;
    ck_abort_msg("called with %d", result);
}

/* §2.8 file let go: what has not entered the kernel never does, whatever has the number by then */
CASE(letGo, withdrawsWhatHasNotEntered)
{
    int pair[2];
    int other[2];
    pairStream(pair);
    runIdle(scene.ring);
    struct FastRingWatch* watch = AddFastRingWatch(scene.ring, pair[0], POLLIN, 0, never, NULL);
    between.refuses = true;
    runTurns(scene.ring, 1);
    ck_assert_uint_eq(FastEngineReserved(scene.ring->engine), 1);
    RemoveFastRingWatch(watch);
    close(pair[0]);
    expectEnd(pair[1]);
    pairStream(other); /* has the number now */
    sendText(other[1], "x");
    between.refuses = false;
    between.opcode = IORING_OP_POLL_ADD;
    runIdle(scene.ring);
    ck_assert_int_eq(between.count, 0);
    ck_assert_uint_eq(readRing(scene.ring).operations, 0);
    close(pair[1]);
    close(other[0]);
    close(other[1]);
}

/* §2.8 file let go: as soon as the kernel takes something again, if it took nothing */
CASE(letGo, removedWhileTheKernelRefuses)
{
    int pair[2];
    pairStream(pair);
    struct FastRingWatch* watch = AddFastRingWatch(scene.ring, pair[0], POLLIN, 0, never, NULL);
    runTurns(scene.ring, 2);
    between.refuses = true;
    RemoveFastRingWatch(watch);
    close(pair[0]);
    between.refuses = false;
    runIdle(scene.ring);
    expectEnd(pair[1]);
    ck_assert_uint_eq(readRing(scene.ring).operations, 0);
    close(pair[1]);
}

/* An accept that could not enter is no connection. */
CASE(letGo, acceptsOnceTheKernelTakesSomething)
{
    openListener();
    between.opcode = IORING_OP_ACCEPT;
    between.trips = true; /* the poll completes, and then nothing is taken */
    int client = dial();
    while (!between.refuses)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 10, NULL), 0);
    runTurns(scene.ring, 2);
    ck_assert_int_eq(accepted, 0);
    ck_assert_int_eq(between.count, 0);
    between.trips = false;
    between.refuses = false;
    waitCount(scene.ring, &accepted, 1);
    ck_assert_int_eq(failures, 0);
    close(client);
    ReleaseFastListener(listener);
}

/* ---- a thread of the kernel's ---- */

static void expectHeld(int handle)
{
    between.holds = true;
    ReleaseFastSocket(scene.ours.socket);
    for (int turn = 0; turn < 1000 && betweenHeld() == 0; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 10, NULL), 0);
    ck_assert_int_eq(betweenHeld(), 1);
    for (int turn = 0; turn < 5; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
    ck_assert_int_ge(fcntl(handle, F_GETFD), 0);
    between.holds = false;
    betweenRelease();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq(fcntl(handle, F_GETFD), -1);
}

/* §2.6 GetFastRingPending: counts a file until what follows its last write has begun, since a
 * thread of the kernel's may have it until then */
CASE(letGo, writtenFileIsPendingUntilItIsLetGo)
{
    int handle = openTemporary();
    openRecorded(&scene, handle, NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
    runIdle(scene.ring);
    transmitText(scene.ours.socket, "text");
    expectHeld(handle);
    ck_assert(between.linked == IORING_OP_WRITE || between.linked == IORING_OP_WRITEV);
}

/* §2.6 GetFastRingPending: … or its last read */
CASE(letGo, readFileIsPendingUntilItIsLetGo)
{
    int handle = openTemporary();
    ck_assert_int_eq(write(handle, "text", 4), 4);
    ck_assert_int_eq(lseek(handle, 0, SEEK_SET), 0);
    between.holds = true;
    openRecorded(&scene, handle, NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
    receiveText(&scene.ours, "text");
    ck_assert_int_eq(between.linked, IORING_OP_READ);
    expectHeld(handle);
}

/* §2.6 GetFastRingPending: … and a socket that was spliced to */
CASE(letGo, splicedSocketIsPendingUntilItIsLetGo)
{
    int pair[2];
    int pipes[2];
    pairStream(pair);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    ck_assert_int_eq(write(pipes[1], "text", 4), 4);
    openRecorded(&scene, pair[0], NULL, 0, &scene.ours);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
    io_uring_prep_splice(GetFastRingDescriptorSubmission(descriptor), pipes[0], -1, pair[0], -1, 4,
                         0);
    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, 1, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, buffer), 0);
    shutdown(pair[1], SHUT_WR);
    expectHeld(pair[0]);
    ck_assert_int_eq(between.linked, IORING_OP_SPLICE);
    expectText(pair[1], "text");
    close(pair[1]);
    close(pipes[0]);
    close(pipes[1]);
}

/* ---- users' own operations ---- */

static int result;
static int told;

static int onRead(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                  int reason)
{
    (void)descriptor;
    (void)reason;
    result = completion->res;
    told++;
    return 1;
}

static void cancelBeforeItEnters(struct FastRingDescriptor* descriptor)
{
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    between.refuses = true;
    (void)WaitForFastRing(scene.ring, 0, NULL);
    between.refuses = false;
    told = 0;
    ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
}

/* §2.6 result of a cancel: what has not entered the kernel when it is canceled never does, so that
 * its file may be closed, and the number be another's */
CASE(letGo, canceledBeforeItEntersNothingHappens)
{
    char data[8];
    int ours[2];
    int others[2];
    ck_assert_int_eq(pipe2(ours, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(others, O_CLOEXEC), 0);
    ck_assert_int_eq(write(others[1], "text", 4), 4);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, onRead, NULL);
    io_uring_prep_read(GetFastRingDescriptorSubmission(descriptor), ours[0], data, sizeof(data),
                       0);
    cancelBeforeItEnters(descriptor);
    ck_assert_int_eq(dup2(others[0], ours[0]), ours[0]);
    waitCount(scene.ring, &told, 1);
    ck_assert_int_eq(result, -ECANCELED);
    ck_assert_int_eq(read(others[0], data, sizeof(data)), 4);
    ck_assert_int_eq(write(others[1], "again", 5), 5);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    waitCount(scene.ring, &told, 2); /* a thread of the kernel's may read */
    ck_assert_int_eq(result, 5);
    ReleaseFastRingDescriptor(descriptor);
    for (int end = 0; end < 2; end++) {
        close(ours[end]);
        close(others[end]);
    }
}

/* … and says nothing of what the descriptor is used for next. */
CASE(letGo, canceledBeforeItEntersIsForgotten)
{
    int pair[2];
    pairStream(pair);
    openRecorded(&scene, pair[0], NULL, 0, &scene.ours);
    runIdle(scene.ring);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, onRead, NULL);
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    cancelBeforeItEnters(descriptor);
    waitCount(scene.ring, &told, 1);
    ck_assert_int_eq(result, -ECANCELED);
    ck_assert_int_eq(TransmitFastSocketDescriptor(scene.ours.socket, descriptor, NULL), 0);
    waitCount(scene.ring, &told, 2);
    ck_assert_int_eq(result, 0);
    ReleaseFastRingDescriptor(descriptor);
    close(pair[1]);
}

/* A send is the loop's own: nothing is added to it. */
CASE(letGo, sendsAndPipesHaveNothingBehind)
{
    int pair[2];
    pairStream(pair);
    openRecorded(&scene, pair[0], NULL, 0, &scene.ours);
    transmitText(scene.ours.socket, "x");
    runIdle(scene.ring);
    AbortFastSocket(scene.ours.socket);
    close(pair[1]);
    ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
    openRecorded(&scene, pair[1], NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
    transmitText(scene.ours.socket, "x");
    waitDrained(&scene.ours);
    ReleaseFastSocket(scene.ours.socket);
    runIdle(scene.ring);
    ck_assert_int_eq(between.linked, -1);
    close(pair[0]);
}
