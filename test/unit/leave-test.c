/*
 * Functions of users that never return: each kind is left by longjmp, and then the ring goes on as
 * if it had returned. Nothing is lost, nothing comes twice, and everything can be released.
 *
 * Without the fixture, which stands between a socket and its handler and would be left, too.
 */
#include "pairs.h"
#include "suite.h"

#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>
#include <Ring/FastSocket.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum
{
    MANY = 5,
    PATIENCE = 60, /* seconds, which bound a hang */
    STACK = 256 * 1024,
};

static struct FastRing* ring;
static struct FastBufferPool* pool;
static struct FastRingBufferProvider* provider;
static int calls;
static int leaving; /* the call that does not return; 0: all do */
static int left;
static jmp_buf outside;

static void openRing(void)
{
    ring = CreateFastRing(0);
    ck_assert_ptr_nonnull(ring);
    pool = CreateFastBufferPool(ring);
    provider = CreateFastRingBufferProvider(ring, 0, 16, 4096, AllocateRingFastBuffer, pool);
    ck_assert_ptr_nonnull(provider);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

static void closeRing(void)
{
    if (ring != NULL) {
        struct FastRingStatistics statistics;
        while (GetFastRingPending(ring) > 0)
            ck_assert_int_eq(WaitForFastRing(ring, 1000, NULL), 0);
        ck_assert_int_eq(GetFastRingStatistics(ring, &statistics, sizeof(statistics)), 0);
        ck_assert_uint_eq(statistics.sockets, 0);
        ReleaseFastRing(ring);
    }
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(pool);
}

AREA(leave, "leave", .open = openRing, .close = closeRing);

static void count(void)
{
    if (++calls != leaving)
        return;
    left++;
    longjmp(outside, 1);
}

/* One turn; false: a function has left it. */
__attribute__((noinline)) static bool turn(uint32_t interval)
{
    if (setjmp(outside) != 0)
        return false;
    ck_assert_int_eq(WaitForFastRing(ring, interval, NULL), 0);
    return true;
}

/* Until so many calls have come, and some turns more: no other comes. */
static void expectCalls(int expected)
{
    time_t end = time(NULL) + PATIENCE;
    while (calls < expected) {
        ck_assert_int_le(time(NULL), end);
        (void)turn(100);
    }
    for (int quiet = 0; quiet < 5; quiet++)
        (void)turn(0);
    ck_assert_int_eq(calls, expected);
    ck_assert_int_eq(left, leaving != 0);
}

/* ---- the services ---- */

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout, (void)closure;
    count();
}

/* §2.8 functions that don't return: timeouts that are due together */
CASE_ROUNDS(leave, timeouts, MANY)
{
    leaving = round + 1;
    for (int index = 0; index < MANY; index++)
        ck_assert_ptr_nonnull(SetFastRingTimeout(ring, NULL, 0, 0, onTimeout, NULL));
    expectCalls(MANY);
}

static void removeAndCount(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    RemoveFastRingTimeout(timeout);
    count();
}

CASE(leave, timeoutThatRemovesItself)
{
    leaving = 1;
    SetFastRingTimeout(ring, NULL, 1, FASTRING_TIMEOUT_REPEAT, removeAndCount, NULL);
    expectCalls(1);
}

CASE(leave, repeatingTimeoutGoesOn)
{
    leaving = 2;
    struct FastRingTimeout* timeout =
        SetFastRingTimeout(ring, NULL, 1, FASTRING_TIMEOUT_REPEAT, onTimeout, NULL);
    while (calls < 5)
        (void)turn(100);
    ck_assert_int_eq(left, 1);
    RemoveFastRingTimeout(timeout);
}

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event, (void)parameter, (void)closure;
    count();
}

/* §2.8 functions that don't return: events */
CASE_ROUNDS(leave, events, MANY)
{
    struct FastRingEvent* events[MANY];
    leaving = round + 1;
    for (int index = 0; index < MANY; index++) {
        events[index] = CreateFastRingEvent(ring, onEvent, NULL);
        ck_assert_int_eq(SubmitFastRingEvent(events[index], 1), 0);
    }
    expectCalls(MANY);
    ck_assert_int_eq(SubmitFastRingEvent(events[round], 1), 0);
    expectCalls(MANY + 1);
    for (int index = 0; index < MANY; index++)
        ReleaseFastRingEvent(events[index]);
}

static void onCall(struct FastRing* which, void* closure)
{
    (void)which;
    ck_assert_int_eq((int)(intptr_t)closure, calls);
    count();
}

/* §2.8 functions that don't return: posted calls keep their order */
CASE_ROUNDS(leave, posts, MANY)
{
    leaving = round + 1;
    for (intptr_t index = 0; index < MANY; index++)
        ck_assert_int_eq(PostFastRingCall(ring, onCall, (void*)index), 0);
    expectCalls(MANY);
}

static void onFlush(void* closure, int reason)
{
    (void)closure, (void)reason;
    count();
}

CASE_ROUNDS(leave, flushHandlers, MANY)
{
    leaving = round + 1;
    for (int index = 0; index < MANY; index++)
        ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, onFlush, NULL));
    expectCalls(MANY);
}

static void onWatch(struct FastRingWatch* watch, int result, void* closure)
{
    uint64_t value;
    (void)closure;
    ck_assert_int_eq(result, POLLIN);
    ck_assert_int_eq(read(GetFastRingWatchHandle(watch), &value, sizeof(value)), sizeof(value));
    count();
}

/* §2.8 functions that don't return: watches */
CASE_ROUNDS(leave, watches, 2)
{
    struct FastRingWatch* watches[MANY];
    int handles[MANY];
    leaving = 2;
    for (int index = 0; index < MANY; index++) {
        handles[index] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        watches[index] = AddFastRingWatch(ring, handles[index], POLLIN,
                                          round == 0 ? 0 : FASTRING_WATCH_EDGE, onWatch, NULL);
    }
    expectCalls(MANY);
    for (int index = 0; index < MANY; index++)
        ck_assert_int_eq(eventfd_write(handles[index], 1), 0);
    expectCalls(2 * MANY);
    for (int index = 0; index < MANY; index++) {
        RemoveFastRingWatch(watches[index]);
        close(handles[index]);
    }
}

static int onOperation(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                       int reason)
{
    (void)descriptor;
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    ck_assert_int_eq(completion->res, 0);
    count();
    return 1;
}

/* §2.8 functions that don't return: raw operations, which stay their users' */
CASE_ROUNDS(leave, operations, MANY)
{
    struct FastRingDescriptor* descriptors[MANY];
    leaving = round + 1;
    for (int index = 0; index < MANY; index++) {
        descriptors[index] = AllocateFastRingDescriptor(ring, onOperation, NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptors[index]));
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptors[index]), 0);
    }
    expectCalls(MANY);
    for (int index = 0; index < MANY; index++) {
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptors[index]), 0);
        ReleaseFastRingDescriptor(descriptors[index]);
    }
    expectCalls(MANY);
}

static void onSignal(struct FastRingSignal* which, int number, int code, int process, int value,
                     void* closure)
{
    (void)which, (void)code, (void)process, (void)value, (void)closure;
    ck_assert_int_eq(number, SIGUSR1);
    count();
}

/* §2.8 functions that don't return: signals, which the others hear of all the same */
CASE_ROUNDS(leave, signals, MANY)
{
    struct FastRingSignal* signals[MANY];
    leaving = round + 1;
    for (int index = 0; index < MANY; index++)
        signals[index] = AddFastRingSignal(ring, SIGUSR1, onSignal, NULL);
    raise(SIGUSR1);
    expectCalls(MANY);
    raise(SIGUSR1);
    expectCalls(2 * MANY);
    for (int index = 0; index < MANY; index++)
        RemoveFastRingSignal(signals[index]);
}

/* ---- listeners ---- */

static void onConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener, (void)closure;
    ck_assert_int_ge(handle, 0);
    close(handle);
    count();
}

/* §2.8 functions that don't return: listeners */
CASE_ROUNDS(leave, listeners, MANY)
{
    struct sockaddr_storage address;
    socklen_t length;
    int peers[MANY];
    int handle = listenTcp(&address, &length);
    struct FastListener* listener = CreateFastListener(ring, handle, 0, onConnection, NULL);
    ck_assert_ptr_nonnull(listener);
    leaving = round + 1;
    for (int index = 0; index < MANY; index++) {
        peers[index] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(peers[index], (struct sockaddr*)&address, length), 0);
    }
    expectCalls(MANY);
    ReleaseFastListener(listener);
    for (int index = 0; index < MANY; index++)
        close(peers[index]);
}

/* ---- sockets ---- */

struct Self
{
    struct FastSocket* socket;
    int peer;
    int events[4]; /* POLLIN, POLLOUT, POLLERR, POLLHUP */
};

static int leavingEvent; /* counts, and is left; 0: none does */

static void onSocket(struct FastSocket* socket, int event, int parameter)
{
    struct Self* self = GetFastSocketClosure(socket);
    (void)parameter;
    self->events[event == POLLIN ? 0 : event == POLLOUT ? 1 : event == POLLERR ? 2 : 3]++;
    if (event & leavingEvent)
        count();
}

static void openSocket(struct Self* self)
{
    int pair[2];
    pairTcp(pair);
    memset(self, 0, sizeof(*self));
    self->peer = pair[1];
    self->socket = CreateFastSocket(ring, provider, pool, pool, pair[0], NULL, 0, 0, 0, onSocket,
                                    self);
    ck_assert_ptr_nonnull(self->socket);
}

static void closeSocket(struct Self* self)
{
    ReleaseFastSocket(self->socket);
    if (self->peer >= 0)
        close(self->peer);
}

static void expectEvents(const struct Self* self, int in, int out, int err, int hup)
{
    ck_assert_int_eq(self->events[0], in);
    ck_assert_int_eq(self->events[1], out);
    ck_assert_int_eq(self->events[2], err);
    ck_assert_int_eq(self->events[3], hup);
}

/* §2.8 functions that don't return: of sockets that have input together each is told once */
CASE_ROUNDS(leave, input, MANY)
{
    struct Self sockets[MANY];
    char bytes[8];
    for (int index = 0; index < MANY; index++)
        openSocket(&sockets[index]);
    expectCalls(0);
    leavingEvent = POLLIN;
    leaving = round + 1;
    for (int index = 0; index < MANY; index++)
        sendText(sockets[index].peer, "input");
    expectCalls(MANY);
    for (int index = 0; index < MANY; index++) {
        expectEvents(&sockets[index], 1, 1, 0, 0);
        ck_assert_int_eq(ReceiveFastSocketData(sockets[index].socket, bytes, 8, 0), 5);
        sendText(sockets[index].peer, "more");
    }
    expectCalls(2 * MANY);
    for (int index = 0; index < MANY; index++) {
        ck_assert_int_eq(ReceiveFastSocketData(sockets[index].socket, bytes, 8, 0), 4);
        closeSocket(&sockets[index]);
    }
}

/* §2.8 functions that don't return: input, output and the end in one turn */
CASE(leave, outputAndEnd)
{
    struct Self self;
    openSocket(&self);
    expectCalls(0);
    leavingEvent = POLLIN | POLLOUT | POLLHUP;
    for (int number = 1; number <= 3; number++) {
        calls = left = 0;
        memset(self.events, 0, sizeof(self.events));
        leaving = number;
        sendText(self.peer, "input");
        ck_assert_int_eq(TransmitFastSocketData(self.socket, NULL, 0, "output", 6, 0), 0);
        if (number == 3) {
            shutdown(self.peer, SHUT_WR);
            expectCalls(3);
            expectEvents(&self, 1, 1, 0, 1);
        } else {
            expectCalls(2);
            expectEvents(&self, 1, 1, 0, 0);
        }
        expectText(self.peer, "output");
    }
    closeSocket(&self);
}

static void onNotice(struct FastSocket* socket, int result, void* closure)
{
    (void)socket;
    ck_assert_int_eq(result, 0);
    ck_assert_int_eq((int)(intptr_t)closure, calls);
    count();
}

/* §2.8 functions that don't return: who waits for what has left is called in order, each once */
CASE_ROUNDS(leave, notices, MANY)
{
    struct Self self;
    openSocket(&self);
    expectCalls(0);
    leaving = round + 1;
    for (intptr_t index = 0; index < MANY; index++)
        ck_assert_int_eq(NotifyFastSocketTransmit(self.socket, onNotice, (void*)index), 0);
    expectCalls(MANY);
    closeSocket(&self);
}

/* §2.8 functions that don't return: an error, and the end behind it */
CASE_ROUNDS(leave, failure, 2)
{
    struct Self self;
    openSocket(&self);
    expectCalls(0);
    leavingEvent = round == 0 ? POLLERR : POLLHUP;
    leaving = 1;
    closeReset(self.peer);
    self.peer = -1;
    expectCalls(1);
    expectEvents(&self, 0, 1, 1, 1);
    closeSocket(&self);
}

static void releaseAndLeave(struct FastSocket* socket, int event, int parameter)
{
    (void)event, (void)parameter;
    ReleaseFastSocket(socket);
    count();
}

CASE(leave, socketThatReleasesItself)
{
    struct Self self;
    openSocket(&self);
    ck_assert_int_eq(SetFastSocketHandler(self.socket, releaseAndLeave, &self), 0);
    leaving = 1;
    expectCalls(1);
    close(self.peer);
}

/* An operation in the order of a socket's sends, that completes or is dropped. */
static struct FastRingDescriptor* current; /* of the function that is called */

static int onBarrier(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                     int reason)
{
    (void)completion, (void)reason;
    struct FastRingDescriptor* before = current;
    current = descriptor;
    count();
    current = before; /* else it has been left */
    return 0;
}

CASE_ROUNDS(leave, operationsOfSockets, 2)
{
    struct Self self;
    openSocket(&self);
    expectCalls(0);
    leaving = 1;
    for (int index = 0; index < 3; index++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, onBarrier, NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        ck_assert_int_eq(TransmitFastSocketDescriptor(self.socket, descriptor, NULL), 0);
    }
    if (round == 1)
        AbortFastSocket(self.socket);
    expectCalls(3);
    ReleaseFastRingDescriptor(current); /* nobody has said that it is to be freed */
    if (round == 0)
        ReleaseFastSocket(self.socket);
    close(self.peer);
}

/* ---- buffers ---- */

static void onMemory(void* data, size_t size, void* closure)
{
    ck_assert_ptr_eq(data, closure);
    ck_assert_uint_gt(size, 0);
    count();
}

/* §2.8 functions that don't return: memory that is given back */
CASE_ROUNDS(leave, memory, 3)
{
    static char all[3][100000];
    struct Self self;
    size_t size = round == 0 ? 100 : sizeof(all[0]);
    openSocket(&self);
    expectCalls(0);
    leaving = 1;
    for (int index = 0; index < 3; index++) {
        char* bytes = all[index];
        struct FastBuffer* buffer = WrapFastBuffer(pool, bytes, size, onMemory, bytes);
        ck_assert_ptr_nonnull(buffer);
        if (round == 2) {
            if (setjmp(outside) == 0)
                ReleaseFastBuffer(buffer);
        } else
            ck_assert_int_eq(
                TransmitFastSocketBuffer(self.socket, NULL, 0, buffer, 0, size, 0), 0);
    }
    if (round < 2)
        AbortFastSocket(self.socket);
    else
        ReleaseFastSocket(self.socket);
    expectCalls(3);
    close(self.peer);
}

/* ---- the end ---- */

/* Releases the ring; false: a function has left the end. */
__attribute__((noinline)) static bool release(void)
{
    if (setjmp(outside) != 0)
        return false;
    ReleaseFastRing(ring);
    return true;
}

static void endRing(void)
{
    for (int tries = 0; !release(); tries++)
        ck_assert_int_lt(tries, 100);
    ring = NULL;
}

static int onEnd(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor, (void)completion;
    if (reason == FASTRING_REASON_RELEASED)
        count();
    return 1;
}

/* §2.8 functions that don't return: the end of the ring, which the next release completes */
CASE_ROUNDS(leave, end, 2 * MANY)
{
    struct Self sockets[MANY];
    struct FastRingDescriptor* descriptors[MANY];
    for (int index = 0; index < MANY; index++) {
        openSocket(&sockets[index]);
        descriptors[index] = AllocateFastRingDescriptor(ring, onEnd, NULL);
        io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptors[index]),
                               sockets[index].peer, POLLPRI);
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptors[index]), 0);
    }
    expectCalls(0);
    leavingEvent = POLLHUP;
    leaving = round + 1;
    endRing();
    ck_assert_int_eq(calls, 2 * MANY);
    ck_assert_int_eq(left, 1);
    for (int index = 0; index < MANY; index++) {
        expectEvents(&sockets[index], 0, 1, 0, 1);
        closeSocket(&sockets[index]);
        ReleaseFastRingDescriptor(descriptors[index]);
    }
}

static void releaseRing(struct FastRing* which, void* closure)
{
    (void)closure;
    ReleaseFastRing(which);
    count();
}

/* §2.8 functions that don't return: one that has released the ring before */
CASE(leave, releaseInside)
{
    leaving = 1;
    ck_assert_int_eq(PostFastRingCall(ring, releaseRing, NULL), 0);
    ck_assert(!turn(0));
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), -ECANCELED);
    ring = NULL;
}

CASE(leave, releaseAfterwards)
{
    leaving = 1;
    ck_assert_int_eq(PostFastRingCall(ring, onCall, NULL), 0);
    ck_assert(!turn(0));
    endRing();
}

/* ---- where the next wait is ---- */

__attribute__((noinline)) static int waitDeeper(void)
{
    volatile char room[8192];
    for (size_t index = 0; index < sizeof(room); index++)
        room[index] = 1;
    int result = WaitForFastRing(ring, 0, NULL);
    room[0] = 0;
    return result;
}

/* Deeper than the former wait was, whose place has been used since. */
CASE(leave, nextWaitIsDeeper)
{
    leaving = 1;
    ck_assert_int_eq(PostFastRingCall(ring, onCall, (void*)0), 0);
    ck_assert(!turn(0));
    ck_assert_int_eq(waitDeeper(), 0);
    ck_assert_int_eq(PostFastRingCall(ring, onCall, (void*)1), 0);
    expectCalls(2);
}

static void waitInside(struct FastRing* which, void* closure)
{
    (void)closure;
    calls++;
    ck_assert_int_eq(WaitForFastRing(which, 0, NULL), -EBUSY);
    ck_assert_int_eq(waitDeeper(), -EBUSY);
}

/* §2.8 -EBUSY: the turn is still there, however deep the call is */
CASE(leave, nestedWaitIsRefused)
{
    ck_assert_int_eq(PostFastRingCall(ring, waitInside, NULL), 0);
    expectCalls(1);
}

static ucontext_t home, coroutine;

static void waitInCoroutine(void)
{
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), -EBUSY);
    calls++;
}

static void switchAway(struct FastRing* which, void* closure)
{
    (void)which, (void)closure;
    ck_assert_int_eq(swapcontext(&home, &coroutine), 0);
}

/* §2.8 -EBUSY: also on a stack of its own, which may lie anywhere */
CASE_ROUNDS(leave, nestedWaitInACoroutineIsRefused, 2)
{
    static char below[STACK];
    char* above = malloc(STACK);
    ck_assert_int_eq(getcontext(&coroutine), 0);
    coroutine.uc_stack.ss_sp = round == 0 ? below : above;
    coroutine.uc_stack.ss_size = STACK;
    coroutine.uc_link = &home;
    makecontext(&coroutine, waitInCoroutine, 0);
    ck_assert_int_eq(PostFastRingCall(ring, switchAway, NULL), 0);
    expectCalls(1);
    free(above);
}
