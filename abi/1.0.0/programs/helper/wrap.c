/*
 * The layer between the tests and the library: the linker sends each of these calls here first (ld
 * --wrap). It knows what is running on the thread, keeps an automaton for each socket, and puts a
 * handler of its own before the test's.
 */
#define _GNU_SOURCE
#include "automaton.h"
#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

enum
{
    BUCKETS = 4096,
    MOST_TRIES = 3000, /* of 20 ms: a minute, which bounds a hang */
};

struct Record
{
    struct Record* next;
    struct FastSocket* socket;
    struct FastRing* ring;
    struct Automaton automaton;
    HandleFastSocketEvent function; /* the test's */
    bool outbound;                  /* can be sent to, and has a pool to send from */
    bool moved;                     /* the handler was NULL for a while: events may have been missed */
};

/* What runs on this thread. A handler runs inside a wait, a call inside a handler: each is saved by
 * the next. */
struct Running
{
    enum AutomatonContext context;
    struct FastRing* ring;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct Record* records[BUCKETS];
static uint64_t turns;

static __thread struct Running running;
static __thread uint64_t turn;
static __thread struct FastRing* ending; /* ReleaseFastRing was called inside the wait */
static __thread int expected;            /* sockets whose POLLHUP must come in this turn */

/* The linker makes these names. NOLINTBEGIN(bugprone-reserved-identifier): reserved for it, that is. */
struct FastRing* __real_CreateFastRing(uint32_t length);
int __real_WaitForFastRing(struct FastRing* ring, uint32_t interval, sigset_t* mask);
void __real_ReleaseFastRing(struct FastRing* ring);
struct FastSocket* __real_CreateFastSocket(struct FastRing* ring, struct FastRingBufferProvider* provider, struct FastBufferPool* inbound, struct FastBufferPool* outbound, int handle, struct msghdr* message, int flags, int mode, uint32_t limit, HandleFastSocketEvent function, void* closure);
void __real_ReleaseFastSocket(struct FastSocket* socket);
void __real_AbortFastSocket(struct FastSocket* socket);
int __real_ShutdownFastSocket(struct FastSocket* socket);
int __real_SetFastSocketHandler(struct FastSocket* socket, HandleFastSocketEvent function, void* closure);
int __real_SetFastSocketOption(struct FastSocket* socket, int option, uint64_t value);
ssize_t __real_ReceiveFastSocketData(struct FastSocket* socket, void* data, size_t size, int flags);
struct FastBuffer* __real_ReceiveFastSocketBuffer(struct FastSocket* socket);
int __real_PauseFastSocket(struct FastSocket* socket);
int __real_ResumeFastSocket(struct FastSocket* socket);
int __real_TransmitFastSocketData(struct FastSocket* socket, struct sockaddr* address, socklen_t length, const void* data, size_t size, int flags);
int __real_TransmitFastSocketMessage(struct FastSocket* socket, struct msghdr* message, int flags);
int __real_TransmitFastSocketBuffer(struct FastSocket* socket, const struct sockaddr* address, socklen_t length, struct FastBuffer* buffer, size_t offset, size_t size, int flags);
int __real_TransmitFastSocketDescriptor(struct FastSocket* socket, struct FastRingDescriptor* descriptor, struct FastBuffer* buffer);

struct FastRing* __wrap_CreateFastRing(uint32_t length);
int __wrap_WaitForFastRing(struct FastRing* ring, uint32_t interval, sigset_t* mask);
void __wrap_ReleaseFastRing(struct FastRing* ring);
struct FastSocket* __wrap_CreateFastSocket(struct FastRing* ring, struct FastRingBufferProvider* provider, struct FastBufferPool* inbound, struct FastBufferPool* outbound, int handle, struct msghdr* message, int flags, int mode, uint32_t limit, HandleFastSocketEvent function, void* closure);
void __wrap_ReleaseFastSocket(struct FastSocket* socket);
void __wrap_AbortFastSocket(struct FastSocket* socket);
int __wrap_ShutdownFastSocket(struct FastSocket* socket);
int __wrap_SetFastSocketHandler(struct FastSocket* socket, HandleFastSocketEvent function, void* closure);
int __wrap_SetFastSocketOption(struct FastSocket* socket, int option, uint64_t value);
ssize_t __wrap_ReceiveFastSocketData(struct FastSocket* socket, void* data, size_t size, int flags);
struct FastBuffer* __wrap_ReceiveFastSocketBuffer(struct FastSocket* socket);
int __wrap_PauseFastSocket(struct FastSocket* socket);
int __wrap_ResumeFastSocket(struct FastSocket* socket);
int __wrap_TransmitFastSocketData(struct FastSocket* socket, struct sockaddr* address, socklen_t length, const void* data, size_t size, int flags);
int __wrap_TransmitFastSocketMessage(struct FastSocket* socket, struct msghdr* message, int flags);
int __wrap_TransmitFastSocketBuffer(struct FastSocket* socket, const struct sockaddr* address, socklen_t length, struct FastBuffer* buffer, size_t offset, size_t size, int flags);
int __wrap_TransmitFastSocketDescriptor(struct FastSocket* socket, struct FastRingDescriptor* descriptor, struct FastBuffer* buffer);
/* NOLINTEND(bugprone-reserved-identifier): what follows has names of its own. */

/* ---- records ------------------------------------------------------------------------------------ */

static struct Record** bucketOf(struct FastSocket* socket)
{
    return &records[((uintptr_t)socket >> 6) % BUCKETS];
}

static struct Record* findRecord(struct FastSocket* socket)
{
    struct Record* record = NULL;

    pthread_mutex_lock(&lock);
    for (record = *bucketOf(socket); (record != NULL) && (record->socket != socket); record = record->next)
        ;
    pthread_mutex_unlock(&lock);
    return record;
}

static void addRecord(struct Record* record)
{
    pthread_mutex_lock(&lock);
    record->next = *bucketOf(record->socket);
    *bucketOf(record->socket) = record;
    pthread_mutex_unlock(&lock);
}

/* The memory of a released socket may soon be another's. */
static void dropRecord(struct FastSocket* socket)
{
    struct Record** link = NULL;

    pthread_mutex_lock(&lock);
    for (link = bucketOf(socket); (*link != NULL) && ((*link)->socket != socket); link = &(*link)->next)
        ;
    if (*link != NULL) {
        struct Record* record = *link;
        *link = record->next;
        if (record->automaton.expected != 0)
            expected--;
        free(record);
    }
    pthread_mutex_unlock(&lock);
}

static void breakRule(struct FastSocket* socket, int event, int parameter, const char* rule)
{
    ck_abort_msg("socket %p, event 0x%x, parameter %d, turn %llu: %s", (void*)socket, event, parameter,
                 (unsigned long long)turn, rule);
}

/* ---- what runs ------------------------------------------------------------------------------------ */

uint64_t currentTurn(void)
{
    return turn;
}

static struct Running enter(enum AutomatonContext context, struct FastRing* ring)
{
    struct Running saved = running;

    running.context = context;
    running.ring = ring;
    return saved;
}

static void beginTurn(void)
{
    turn = __atomic_add_fetch(&turns, 1, __ATOMIC_RELAXED);
    expected = 0;
}

static void endTurn(void)
{
    if (expected != 0)
        breakRule(NULL, POLLHUP, 0, "POLLHUP follows a fatal POLLERR in the same turn");
}

/* Sockets of a ring that ended have had their POLLHUP, if someone listened. */
static void endRing(struct FastRing* ring, bool delivered)
{
    pthread_mutex_lock(&lock);
    for (int index = 0; index < BUCKETS; index++) {
        for (struct Record* record = records[index]; record != NULL; record = record->next) {
            const char* rule = NULL;
            if (record->ring != ring)
                continue;
            if (delivered && (record->function != NULL) && !record->moved)
                rule = automatonRingEnd(&record->automaton);
            record->ring = NULL; /* another ring may get the same address */
            if (rule != NULL) {
                pthread_mutex_unlock(&lock);
                breakRule(record->socket, POLLHUP, 0, rule);
            }
        }
    }
    pthread_mutex_unlock(&lock);
}

bool waitsForMemory = true;

struct FastRing* __wrap_CreateFastRing(uint32_t length)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    struct FastRing* ring = __real_CreateFastRing(length);

    for (int tries = 0; (ring == NULL) && (errno == ENOMEM) && waitsForMemory && (tries < MOST_TRIES); tries++) {
        nanosleep(&pause, NULL);
        ring = __real_CreateFastRing(length);
    }
    return ring;
}

int __wrap_WaitForFastRing(struct FastRing* ring, uint32_t interval, sigset_t* mask)
{
    struct Running saved = running;
    int result = 0;

    if (running.context != AUTOMATON_OUTSIDE)
        return __real_WaitForFastRing(ring, interval, mask); /* nested: refused */

    beginTurn();
    ending = NULL;
    enter(AUTOMATON_WAIT, ring);
    result = __real_WaitForFastRing(ring, interval, mask);
    running = saved;
    endTurn();
    ck_assert_msg(result <= 0, "WaitForFastRing gave %d, which is positive", result);
    if ((ending == ring) && (ring != NULL)) {
        ck_assert_int_eq(result, -ECANCELED);
        endRing(ring, true);
        ending = NULL;
    }
    return result;
}

void __wrap_ReleaseFastRing(struct FastRing* ring)
{
    struct Running saved = running;
    bool own = IsFastRingThread(ring);

    if (running.context != AUTOMATON_OUTSIDE) {
        enter(AUTOMATON_CALL, ring);
        __real_ReleaseFastRing(ring);
        running = saved;
        if (own && (saved.ring == ring))
            ending = ring;
        return;
    }

    beginTurn();
    enter(AUTOMATON_END, ring);
    __real_ReleaseFastRing(ring);
    running = saved;
    endTurn();
    if (own)
        endRing(ring, true);
}

/* ---- events --------------------------------------------------------------------------------------- */

static struct AutomatonView viewSocket(struct FastSocket* socket, int event, int parameter)
{
    struct FastSocketStatistics statistics;
    struct AutomatonView view;

    memset(&view, 0, sizeof(view));
    memset(&statistics, 0, sizeof(statistics));
    view.event = event;
    view.parameter = parameter;
    view.context = running.context;
    view.turn = turn;
    if (running.context == AUTOMATON_WAIT && (running.ring != GetFastSocketRing(socket)))
        view.context = AUTOMATON_OUTSIDE;
    view.thread = (IsFastRingThread(running.ring) == 1);
    view.ending = (ending != NULL);
    view.inbound = GetFastSocketInboundLength(socket);
    view.outbound = GetFastSocketOutboundLength(socket);
    view.error = GetFastSocketError(socket);
    if (GetFastSocketStatistics(socket, &statistics, sizeof(statistics)) == 0)
        view.received = statistics.receivedMessages;
    return view;
}

/* From a fatal POLLERR on, every transmit is refused. */
static void probeTransmit(struct FastSocket* socket, struct Record* record)
{
    int result = 0;

    if ((record->automaton.fatal == 0) || !record->outbound)
        return;
    result = __real_TransmitFastSocketData(socket, NULL, 0, "x", 1, 0);
    if (result != -EPIPE)
        breakRule(socket, POLLERR, result, "a transmit after a fatal POLLERR gives -EPIPE");
}

static void checkedEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Record* record = findRecord(socket);
    struct Running saved = running;
    struct AutomatonView view;
    const char* rule = NULL;
    int before = 0;

    if (record == NULL) {
        breakRule(socket, event, parameter, "nothing comes after the release of the socket");
        return;
    }
    view = viewSocket(socket, event, parameter);
    before = record->automaton.expected;
    rule = automatonEvent(&record->automaton, &view);
    if (rule != NULL)
        breakRule(socket, event, parameter, rule);
    expected += (record->automaton.expected != 0) - (before != 0);

    enter(AUTOMATON_HANDLER, saved.ring);
    if (event == POLLERR)
        probeTransmit(socket, record);
    if (record->function != NULL)
        record->function(socket, event, parameter); /* may release the socket, and the record with it */
    running = saved;
}

/* ---- calls ------------------------------------------------------------------------------------------ */

struct FastSocket* __wrap_CreateFastSocket(struct FastRing* ring, struct FastRingBufferProvider* provider, struct FastBufferPool* inbound, struct FastBufferPool* outbound, int handle, struct msghdr* message, int flags, int mode, uint32_t limit, HandleFastSocketEvent function, void* closure)
{
    struct Running saved = enter(AUTOMATON_CALL, ring);
    struct Record* record = NULL;
    struct FastSocket* socket = NULL;
    int type = SOCK_STREAM; /* as which a file behaves */
    socklen_t length = sizeof(type);

    (void)getsockopt(handle, SOL_SOCKET, SO_TYPE, &type, &length);
    errno = 0;
    socket = __real_CreateFastSocket(ring, provider, inbound, outbound, handle, message, flags, mode, limit,
                                     (function != NULL) ? checkedEvent : NULL, closure);
    running = saved;
    if (socket == NULL)
        return NULL;

    record = calloc(1, sizeof(*record));
    ck_assert_ptr_nonnull(record);
    record->socket = socket;
    record->ring = ring;
    record->function = function;
    record->outbound = (outbound != NULL) && ((fcntl(handle, F_GETFL) & O_ACCMODE) != O_RDONLY);
    record->moved = (function == NULL);
    automatonOpen(&record->automaton, type);
    addRecord(record);
    return socket;
}

/* A call from another thread does nothing: the record stays. */
static bool isOwn(struct FastSocket* socket)
{
    struct Record* record = findRecord(socket);

    return (record != NULL) && ((record->ring == NULL) || IsFastRingThread(record->ring));
}

void __wrap_ReleaseFastSocket(struct FastSocket* socket)
{
    struct Running saved = running;

    if ((socket != NULL) && isOwn(socket))
        dropRecord(socket);
    enter(AUTOMATON_CALL, running.ring);
    __real_ReleaseFastSocket(socket);
    running = saved;
}

/* fclose releases inside the library, where no wrapping reaches. */
void noteRelease(struct FastSocket* socket)
{
    dropRecord(socket);
}

void __wrap_AbortFastSocket(struct FastSocket* socket)
{
    struct Running saved = running;

    if ((socket != NULL) && isOwn(socket))
        dropRecord(socket);
    enter(AUTOMATON_CALL, running.ring);
    __real_AbortFastSocket(socket);
    running = saved;
}

int __wrap_ShutdownFastSocket(struct FastSocket* socket)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    int result = __real_ShutdownFastSocket(socket);

    running = saved;
    return result;
}

int __wrap_SetFastSocketHandler(struct FastSocket* socket, HandleFastSocketEvent function, void* closure)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    struct Record* record = findRecord(socket);
    int result = __real_SetFastSocketHandler(socket, (function != NULL) ? checkedEvent : NULL, closure);

    running = saved;
    if ((record == NULL) || (result != 0))
        return result;
    record->function = function;
    if (function == NULL) {
        record->moved = true;
        expected -= (record->automaton.expected != 0);
        record->automaton.expected = 0;
    }
    return result;
}

int __wrap_SetFastSocketOption(struct FastSocket* socket, int option, uint64_t value)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    int result = __real_SetFastSocketOption(socket, option, value);

    running = saved;
    return result;
}

ssize_t __wrap_ReceiveFastSocketData(struct FastSocket* socket, void* data, size_t size, int flags)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    ssize_t result = __real_ReceiveFastSocketData(socket, data, size, flags);

    running = saved;
    return result;
}

struct FastBuffer* __wrap_ReceiveFastSocketBuffer(struct FastSocket* socket)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    struct FastBuffer* result = __real_ReceiveFastSocketBuffer(socket);

    running = saved;
    return result;
}

int __wrap_PauseFastSocket(struct FastSocket* socket)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    int result = __real_PauseFastSocket(socket);
    struct Record* record = findRecord(socket);

    running = saved;
    if ((record != NULL) && (result == 0))
        automatonPause(&record->automaton);
    return result;
}

int __wrap_ResumeFastSocket(struct FastSocket* socket)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    int result = __real_ResumeFastSocket(socket);
    struct Record* record = findRecord(socket);

    running = saved;
    if ((record != NULL) && (result == 0))
        automatonResume(&record->automaton);
    return result;
}

int __wrap_TransmitFastSocketData(struct FastSocket* socket, struct sockaddr* address, socklen_t length, const void* data, size_t size, int flags)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    int result = __real_TransmitFastSocketData(socket, address, length, data, size, flags);

    running = saved;
    return result;
}

int __wrap_TransmitFastSocketMessage(struct FastSocket* socket, struct msghdr* message, int flags)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    int result = __real_TransmitFastSocketMessage(socket, message, flags);

    running = saved;
    return result;
}

int __wrap_TransmitFastSocketBuffer(struct FastSocket* socket, const struct sockaddr* address, socklen_t length, struct FastBuffer* buffer, size_t offset, size_t size, int flags)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    int result = __real_TransmitFastSocketBuffer(socket, address, length, buffer, offset, size, flags);

    running = saved;
    return result;
}

int __wrap_TransmitFastSocketDescriptor(struct FastSocket* socket, struct FastRingDescriptor* descriptor, struct FastBuffer* buffer)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    int result = __real_TransmitFastSocketDescriptor(socket, descriptor, buffer);

    running = saved;
    return result;
}
