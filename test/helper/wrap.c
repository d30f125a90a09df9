/*
 * The layer between the tests and the library: the linker sends each of these calls here first (ld
 * --wrap). It knows what is running on the thread, keeps an automaton for each socket, and puts a
 * handler of its own before the test's.
 */
#define _GNU_SOURCE
#include "wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>
#include <Ring/FastSocket.h>

#include "records.h"

enum
{
    MAX_TRIES = 3000, /* of 20 ms: a minute, which bounds a hang */
};

static __thread struct FastRing* ending; /* ReleaseFastRing was called inside the wait */

/* The linker makes these names. NOLINTBEGIN(bugprone-reserved-identifier): reserved for it, that
 * is. */
#define WRAPPED(type, name, ...)     \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

WRAPPED(struct FastRing*, CreateFastRing, uint32_t length);
WRAPPED(int, WaitForFastRing, struct FastRing* ring, uint32_t interval, sigset_t* mask);
WRAPPED(void, ReleaseFastRing, struct FastRing* ring);
WRAPPED(int, WalkFastRing, struct FastRing* ring, HandleFastRingWalk function, void* closure);
WRAPPED(struct FastSocket*, CreateFastSocket, struct FastRing* ring,
        struct FastRingBufferProvider* provider, struct FastBufferPool* inbound,
        struct FastBufferPool* outbound, int handle, struct msghdr* message, int flags, int mode,
        uint32_t limit, HandleFastSocketEvent function, void* closure);
WRAPPED(struct FastSocket*, OpenFastSocket, struct FastRing* ring, int handle, int mode,
        HandleFastSocketEvent function, void* closure);
WRAPPED(struct FastSocket*, ConnectFastSocket, struct FastRing* ring, const char* address, int mode,
        HandleFastSocketEvent function, void* closure);
WRAPPED(void, ReleaseFastSocket, struct FastSocket* socket);
WRAPPED(void, AbortFastSocket, struct FastSocket* socket);
WRAPPED(int, ShutdownFastSocket, struct FastSocket* socket);
WRAPPED(int, SetFastSocketHandler, struct FastSocket* socket, HandleFastSocketEvent function,
        void* closure);
WRAPPED(int, SetFastSocketOption, struct FastSocket* socket, int option, uint64_t value);
WRAPPED(ssize_t, ReceiveFastSocketData, struct FastSocket* socket, void* data, size_t size,
        int flags);
WRAPPED(struct FastBuffer*, ReceiveFastSocketBuffer, struct FastSocket* socket);
WRAPPED(int, PauseFastSocket, struct FastSocket* socket);
WRAPPED(int, ResumeFastSocket, struct FastSocket* socket);
WRAPPED(int, TransmitFastSocketData, struct FastSocket* socket, struct sockaddr* address,
        socklen_t length, const void* data, size_t size, int flags);
WRAPPED(int, TransmitFastSocketMessage, struct FastSocket* socket, struct msghdr* message,
        int flags);
WRAPPED(int, TransmitFastSocketBuffer, struct FastSocket* socket, const struct sockaddr* address,
        socklen_t length, struct FastBuffer* buffer, size_t offset, size_t size, int flags);
WRAPPED(int, TransmitFastSocketDescriptor, struct FastSocket* socket,
        struct FastRingDescriptor* descriptor, struct FastBuffer* buffer);
/* NOLINTEND(bugprone-reserved-identifier): what follows has names of its own. */

/* ---- rings ----------------------------------------------------------------------------------- */

bool waitsForMemory = true;

struct FastRing* __wrap_CreateFastRing(uint32_t length)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    struct FastRing* ring = __real_CreateFastRing(length);

    for (int tries = 0;
         (ring == NULL) && (errno == ENOMEM) && waitsForMemory && (tries < MAX_TRIES); tries++) {
        nanosleep(&pause, NULL);
        ring = __real_CreateFastRing(length);
    }
    /* One that was released behind its thread's end has told nobody, and had the same address. */
    if (ring != NULL)
        endRecords(ring, false);
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
        endRecords(ring, true);
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
        endRecords(ring, true);
}

/* Outside of a turn it runs the end of a ring that is released in it. */
int __wrap_WalkFastRing(struct FastRing* ring, HandleFastRingWalk function, void* closure)
{
    struct Running saved = running;

    if (running.context != AUTOMATON_OUTSIDE)
        return __real_WalkFastRing(ring, function, closure);
    beginTurn();
    ending = NULL;
    enter(AUTOMATON_WAIT, ring);
    int result = __real_WalkFastRing(ring, function, closure);
    running = saved;
    endTurn();
    if ((ending == ring) && (ring != NULL)) {
        ck_assert_int_eq(result, -ECANCELED);
        endRecords(ring, true);
        ending = NULL;
    }
    return result;
}

/* ---- events ---------------------------------------------------------------------------------- */

static struct AutomatonView viewSocket(struct FastSocket* socket, int event, int parameter)
{
    struct FastSocketStatistics statistics;
    struct AutomatonView view;

    memset(&view, 0, sizeof(view));
    memset(&statistics, 0, sizeof(statistics));
    view.event = event;
    view.parameter = parameter;
    view.context = running.context;
    view.turn = currentTurn();
    if (running.context == AUTOMATON_WAIT && (running.ring != GetFastSocketRing(socket)))
        view.context = AUTOMATON_OUTSIDE;
    view.thread = (IsFastRingThread(running.ring) == 1);
    view.ending = (ending != NULL);
    view.inbound = GetFastSocketInboundLength(socket);
    view.outbound = GetFastSocketOutboundLength(socket);
    (void)GetFastSocketOption(socket, FASTSOCKET_OPTION_OUTBOUND_LOW, &view.low);
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
    expectHangups((record->automaton.expected != 0) - (before != 0));

    enter(AUTOMATON_HANDLER, saved.ring);
    if (event == POLLERR)
        probeTransmit(socket, record);
    if (record->function != NULL)
        /* may release the socket, and the record with it */
        record->function(socket, event, parameter);
    running = saved;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* As which of stream, seqpacket and datagram socket a descriptor behaves; a file is a stream. */
static int findType(int handle)
{
    int type = SOCK_STREAM;
    int protocol = 0;
    socklen_t length = sizeof(type);

    if (getsockopt(handle, SOL_SOCKET, SO_TYPE, &type, &length) < 0)
        return SOCK_STREAM;
    (void)getsockopt(handle, SOL_SOCKET, SO_PROTOCOL, &protocol, &length);
    if (protocol == IPPROTO_SCTP)
        return (type == SOCK_STREAM) ? SOCK_SEQPACKET : SOCK_DGRAM;
    return ((type == SOCK_RAW) || (type == SOCK_RDM)) ? SOCK_DGRAM : type;
}

static struct Record* openRecord(struct FastRing* ring, struct FastSocket* socket,
                                 HandleFastSocketEvent function, int type)
{
    struct Record* record = calloc(1, sizeof(*record));

    ck_assert_ptr_nonnull(record);
    record->socket = socket;
    record->ring = ring;
    record->function = function;
    record->moved = (function == NULL);
    automatonOpen(&record->automaton, type);
    addRecord(record);
    return record;
}

struct FastSocket* __wrap_CreateFastSocket(
    struct FastRing* ring, struct FastRingBufferProvider* provider, struct FastBufferPool* inbound,
    struct FastBufferPool* outbound, int handle, struct msghdr* message, int flags, int mode,
    uint32_t limit, HandleFastSocketEvent function, void* closure)
{
    struct Running saved = enter(AUTOMATON_CALL, ring);
    struct Record* record = NULL;
    struct FastSocket* socket = NULL;
    int type = findType(handle);

    errno = 0;
    socket = __real_CreateFastSocket(ring, provider, inbound, outbound, handle, message, flags,
                                     mode, limit, (function != NULL) ? checkedEvent : NULL,
                                     closure);
    running = saved;
    if (socket == NULL)
        return NULL;

    record = openRecord(ring, socket, function, type);
    record->outbound = (outbound != NULL) && ((fcntl(handle, F_GETFL) & O_ACCMODE) != O_RDONLY);
    return socket;
}

struct FastSocket* __wrap_OpenFastSocket(struct FastRing* ring, int handle, int mode,
                                         HandleFastSocketEvent function, void* closure)
{
    struct Running saved = enter(AUTOMATON_CALL, ring);
    struct FastSocket* socket = NULL;
    int type = findType(handle);

    errno = 0;
    socket = __real_OpenFastSocket(ring, handle, mode, (function != NULL) ? checkedEvent : NULL,
                                   closure);
    running = saved;
    if (socket != NULL)
        openRecord(ring, socket, function, type)->outbound =
            (fcntl(handle, F_GETFL) & O_ACCMODE) != O_RDONLY;
    return socket;
}

struct FastSocket* __wrap_ConnectFastSocket(struct FastRing* ring, const char* address, int mode,
                                            HandleFastSocketEvent function, void* closure)
{
    struct Running saved = enter(AUTOMATON_CALL, ring);
    struct FastSocket* socket = NULL;
    struct Record* record = NULL;

    errno = 0;
    socket = __real_ConnectFastSocket(ring, address, mode, (function != NULL) ? checkedEvent : NULL,
                                      closure);
    running = saved;
    if (socket == NULL)
        return NULL;

    record = openRecord(ring, socket, function,
                        (strncmp(address, "udp:", 4) == 0) ? SOCK_DGRAM : SOCK_STREAM);
    record->outbound = true;
    automatonConnect(&record->automaton);
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

int __wrap_SetFastSocketHandler(struct FastSocket* socket, HandleFastSocketEvent function,
                                void* closure)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    struct Record* record = findRecord(socket);
    int result = __real_SetFastSocketHandler(socket, (function != NULL) ? checkedEvent : NULL,
                                             closure);

    running = saved;
    if ((record == NULL) || (result != 0))
        return result;
    record->function = function;
    if (function == NULL) {
        record->moved = true;
        expectHangups(-(record->automaton.expected != 0));
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

int __wrap_TransmitFastSocketData(struct FastSocket* socket, struct sockaddr* address,
                                  socklen_t length, const void* data, size_t size, int flags)
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

int __wrap_TransmitFastSocketBuffer(struct FastSocket* socket, const struct sockaddr* address,
                                    socklen_t length, struct FastBuffer* buffer, size_t offset,
                                    size_t size, int flags)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    int result = __real_TransmitFastSocketBuffer(socket, address, length, buffer, offset, size,
                                                 flags);

    running = saved;
    return result;
}

int __wrap_TransmitFastSocketDescriptor(struct FastSocket* socket,
                                        struct FastRingDescriptor* descriptor,
                                        struct FastBuffer* buffer)
{
    struct Running saved = enter(AUTOMATON_CALL, running.ring);
    int result = __real_TransmitFastSocketDescriptor(socket, descriptor, buffer);

    running = saved;
    return result;
}
