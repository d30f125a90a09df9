#define _GNU_SOURCE
#include "fixture.h"

#include <dirent.h>
#include <endian.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <time.h>

enum
{
    BOUND_SECONDS = 60, /* of runUntil: bounds a hang, nothing else */
    STEP_MILLISECONDS = 100,
    IDLE_TURNS = 8,
    DEFAULT_BUFFERS = 64,
    DEFAULT_LENGTH = 4096,
};

/* ---- the ring ----------------------------------------------------------------------------------- */

int countDescriptors(void)
{
    DIR* directory = opendir("/proc/self/fd");
    int count = 0;

    ck_assert_ptr_nonnull(directory);
    for (struct dirent* entry = readdir(directory); entry != NULL; entry = readdir(directory))
        count += (entry->d_name[0] != '.');
    closedir(directory);
    return count - 1; /* the directory's own */
}

void fixtureOpen(struct Fixture* fixture, uint32_t length, uint16_t buffers, uint32_t bufferLength)
{
    fixture->descriptors = countDescriptors();
    fixture->ring = CreateFastRing(length);
    ck_assert_msg(fixture->ring != NULL, "CreateFastRing: %s", strerror(errno));
    fixture->inbound = CreateFastBufferPool(fixture->ring);
    fixture->outbound = CreateFastBufferPool(fixture->ring);
    ck_assert_ptr_nonnull(fixture->inbound);
    ck_assert_ptr_nonnull(fixture->outbound);
    fixture->provider = CreateFastRingBufferProvider(
        fixture->ring, 0, buffers ? buffers : DEFAULT_BUFFERS,
        bufferLength ? bufferLength : DEFAULT_LENGTH, AllocateRingFastBuffer, fixture->inbound);
    ck_assert_msg(fixture->provider != NULL, "CreateFastRingBufferProvider: %s", strerror(errno));
}

static bool isEmpty(void* closure)
{
    return readRing(closure).buffers == 0;
}

void fixtureClose(struct Fixture* fixture)
{
    if (fixture->ring != NULL) {
        ck_assert_msg(runUntil(fixture->ring, isNothingPending, fixture->ring),
                      "%zu sockets stay pending", GetFastRingPending(fixture->ring));
        ReleaseFastRingBufferProvider(fixture->provider, ReleaseRingFastBuffer);
        ck_assert_msg(runUntil(fixture->ring, isEmpty, fixture->ring), "%llu buffers stay live",
                      (unsigned long long)readRing(fixture->ring).buffers);
        ck_assert_uint_eq(readRing(fixture->ring).sockets, 0);
    } else {
        ReleaseFastRingBufferProvider(fixture->provider, ReleaseRingFastBuffer);
    }
    ReleaseFastBufferPool(fixture->inbound);
    ReleaseFastBufferPool(fixture->outbound);
    ReleaseFastRing(fixture->ring);
    memset(fixture, 0, offsetof(struct Fixture, descriptors));
    ck_assert_int_eq(countDescriptors(), fixture->descriptors);
}

static int64_t secondsNow(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

bool runUntil(struct FastRing* ring, Condition condition, void* closure)
{
    int64_t end = secondsNow() + BOUND_SECONDS;

    while (!condition(closure)) {
        if (secondsNow() > end)
            return false;
        ck_assert_int_eq(WaitForFastRing(ring, STEP_MILLISECONDS, NULL), 0);
    }
    return true;
}

bool isPositive(void* closure)
{
    return __atomic_load_n((int*)closure, __ATOMIC_ACQUIRE) > 0;
}

bool isNothingPending(void* closure)
{
    return GetFastRingPending(closure) == 0;
}

void runTurns(struct FastRing* ring, int turns)
{
    for (; turns > 0; turns--)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

void runIdle(struct FastRing* ring)
{
    int64_t end = secondsNow() + BOUND_SECONDS;

    for (int quiet = 0; quiet < IDLE_TURNS;) {
        uint64_t before = readRing(ring).completions;
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
        quiet = ((readRing(ring).completions == before) && (GetFastRingInterval(ring) != 0))
                    ? quiet + 1
                    : 0;
        ck_assert_msg(secondsNow() <= end, "the ring never becomes idle");
    }
}

struct FastRingStatistics readRing(struct FastRing* ring)
{
    struct FastRingStatistics statistics;

    ck_assert_int_eq(GetFastRingStatistics(ring, &statistics, sizeof(statistics)), 0);
    return statistics;
}

struct FastSocketStatistics readSocket(struct FastSocket* socket)
{
    struct FastSocketStatistics statistics;

    ck_assert_int_eq(GetFastSocketStatistics(socket, &statistics, sizeof(statistics)), 0);
    return statistics;
}

/* ---- recorder ----------------------------------------------------------------------------------- */

void recordEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Recorder* recorder = GetFastSocketClosure(socket);

    switch (event) {
    case POLLIN:
        recorder->in++;
        recorder->parameterIn = parameter;
        break;
    case POLLOUT:
        recorder->out++;
        break;
    case POLLERR:
        recorder->err++;
        recorder->lastError = parameter;
        break;
    case POLLHUP:
        recorder->hup++;
        recorder->lastHangup = parameter;
        break;
    }
    if (recorder->events < (int)(sizeof(recorder->order) / sizeof(recorder->order[0])))
        recorder->order[recorder->events] = event;
    recorder->events++;
    recorder->turn = currentTurn();
    if (recorder->then != NULL)
        recorder->then(socket, event, parameter, recorder);
}

struct FastSocket* openRecorded(struct Fixture* fixture, int handle, struct msghdr* message,
                                int mode, struct Recorder* recorder)
{
    struct Recorder fresh = {
        .then = recorder->then, .closure = recorder->closure, .lastHangup = -1};

    *recorder = fresh;
    recorder->socket = CreateFastSocket(fixture->ring, fixture->provider, fixture->inbound,
                                        fixture->outbound, handle, message, 0, mode, 0, recordEvent,
                                        recorder);
    ck_assert_msg(recorder->socket != NULL, "CreateFastSocket: %s", strerror(errno));
    return recorder->socket;
}

bool hasInput(void* closure)
{
    return GetFastSocketInboundLength(((struct Recorder*)closure)->socket) > 0;
}

bool hasHungUp(void* closure)
{
    return ((struct Recorder*)closure)->hup > 0;
}

bool hasFailed(void* closure)
{
    return ((struct Recorder*)closure)->err > 0;
}

bool hasDrained(void* closure)
{
    return GetFastSocketOutboundLength(((struct Recorder*)closure)->socket) == 0;
}

bool isWritable(void* closure)
{
    return ((struct Recorder*)closure)->out > 0;
}

struct InputGoal
{
    struct FastSocket* socket;
    size_t bytes;
};

struct CountGoal
{
    const int* count;
    int atLeast;
};

static bool hasBytes(void* closure)
{
    struct InputGoal* goal = closure;

    return GetFastSocketInboundLength(goal->socket) >= goal->bytes;
}

static bool hasCount(void* closure)
{
    struct CountGoal* goal = closure;

    return __atomic_load_n(goal->count, __ATOMIC_ACQUIRE) >= goal->atLeast;
}

void waitFor(struct FastRing* ring, Condition condition, void* closure)
{
    ck_assert_msg(runUntil(ring, condition, closure), "what is waited for never comes");
}

void waitCount(struct FastRing* ring, const int* count, int atLeast)
{
    struct CountGoal goal = {count, atLeast};

    ck_assert_msg(runUntil(ring, hasCount, &goal), "%d of %d came", *count, atLeast);
}

void waitInput(struct Recorder* recorder, size_t bytes)
{
    struct InputGoal goal = {recorder->socket, bytes};

    ck_assert_msg(runUntil(GetFastSocketRing(recorder->socket), hasBytes, &goal),
                  "%zu of %zu bytes came", GetFastSocketInboundLength(recorder->socket), bytes);
}

void waitDrained(struct Recorder* recorder)
{
    waitFor(GetFastSocketRing(recorder->socket), hasDrained, recorder);
}

void waitHangup(struct Recorder* recorder)
{
    waitFor(GetFastSocketRing(recorder->socket), hasHungUp, recorder);
}

void transmitText(struct FastSocket* socket, const char* text)
{
    ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, text, strlen(text), 0), 0);
}

void transmitPattern(struct FastSocket* socket, size_t size, uint64_t position)
{
    void* data = malloc(size);

    ck_assert_ptr_nonnull(data);
    fillPattern(data, size, position);
    ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, data, size, 0), 0);
    free(data);
}

void receiveText(struct Recorder* recorder, const char* text)
{
    char data[256] = "";

    ck_assert_uint_lt(strlen(text), sizeof(data));
    waitInput(recorder, strlen(text));
    ck_assert_int_eq(ReceiveFastSocketData(recorder->socket, data, strlen(text), 0),
                     (ssize_t)strlen(text));
    ck_assert_str_eq(data, text);
}

void sendText(int handle, const char* text)
{
    ck_assert_int_eq(send(handle, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

void expectText(int handle, const char* text)
{
    char data[256] = "";

    ck_assert_uint_lt(strlen(text), sizeof(data));
    receiveAll(handle, data, strlen(text));
    ck_assert_str_eq(data, text);
}

void expectNothing(int handle)
{
    char byte = 0;

    ck_assert_int_eq(recv(handle, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
    ck_assert_int_eq(errno, EAGAIN);
}

void expectEnd(int handle)
{
    char byte = 0;

    ck_assert_int_eq(recv(handle, &byte, 1, 0), 0);
}

void setOption(struct FastSocket* socket, int option, uint64_t value)
{
    ck_assert_int_eq(SetFastSocketOption(socket, option, value), 0);
}

/* ---- pairs ---------------------------------------------------------------------------------------- */

const char* nameKind(enum Kind kind)
{
    static const char* const names[KIND_COUNT] = {
        "TCP",
        "TCP6",
        "UDP",
        "UDP6",
        "UNIX stream",
        "UNIX datagram",
        "UNIX seqpacket",
    };

    return names[kind];
}

int typeKind(enum Kind kind)
{
    switch (kind) {
    case KIND_UDP:
    case KIND_UDP6:
    case KIND_UNIX_DATAGRAM:
        return SOCK_DGRAM;
    case KIND_UNIX_SEQPACKET:
        return SOCK_SEQPACKET;
    default:
        return SOCK_STREAM;
    }
}

static int domainKind(enum Kind kind)
{
    switch (kind) {
    case KIND_TCP:
    case KIND_UDP:
        return AF_INET;
    case KIND_TCP6:
    case KIND_UDP6:
        return AF_INET6;
    default:
        return AF_UNIX;
    }
}

/* Many connections in a minute must not use up the ports by those that linger in TIME_WAIT. */
static void reuseAddress(int handle)
{
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
}

static int openLoopback(int domain, int type, struct sockaddr_storage* address, socklen_t* length)
{
    struct sockaddr_in* four = (struct sockaddr_in*)address;
    struct sockaddr_in6* six = (struct sockaddr_in6*)address;
    int handle = socket(domain, type | SOCK_CLOEXEC, 0);

    if (handle < 0)
        return -1;
    if (type == SOCK_STREAM)
        reuseAddress(handle);
    memset(address, 0, sizeof(*address));
    address->ss_family = (sa_family_t)domain;
    if (domain == AF_INET) {
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        *length = sizeof(*four);
    } else {
        six->sin6_addr = in6addr_loopback;
        *length = sizeof(*six);
    }
    if (bind(handle, (struct sockaddr*)address, *length) < 0) {
        close(handle);
        return -1;
    }
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)address, length), 0);
    return handle;
}

bool hasKind(enum Kind kind)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int handle = -1;

    if (domainKind(kind) != AF_INET6)
        return true;
    handle = openLoopback(AF_INET6, SOCK_DGRAM, &address, &length);
    if (handle >= 0)
        close(handle);
    return handle >= 0;
}

static void pairListening(int domain, int pair[2])
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int listener = openLoopback(domain, SOCK_STREAM, &address, &length);

    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    pair[0] = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(pair[0], 0);
    reuseAddress(pair[0]);
    /* Segments as of an Ethernet. With loopback's own of 64 KiB and a small send buffer, each waits for
     * a delayed acknowledgement: some 2 MB/s. */
    ck_assert_int_eq(setsockopt(pair[0], IPPROTO_TCP, TCP_MAXSEG, &(int){1440}, sizeof(int)), 0);
    ck_assert_int_eq(connect(pair[0], (struct sockaddr*)&address, length), 0);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(pair[1], 0);
    close(listener);
}

static void pairLoopbackDatagrams(int domain, int pair[2])
{
    struct sockaddr_storage addresses[2];
    socklen_t length = 0;

    for (int index = 0; index < 2; index++) {
        pair[index] = openLoopback(domain, SOCK_DGRAM, &addresses[index], &length);
        ck_assert_int_ge(pair[index], 0);
    }
    for (int index = 0; index < 2; index++)
        ck_assert_int_eq(connect(pair[index], (struct sockaddr*)&addresses[1 - index], length), 0);
}

void pairUnix(int pair[2], int type)
{
    ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
}

void pairStream(int pair[2])
{
    pairUnix(pair, SOCK_STREAM);
}

void pairTcp(int pair[2])
{
    pairListening(AF_INET, pair);
}

void pairUdp(int pair[2])
{
    pairLoopbackDatagrams(AF_INET, pair);
}

void pairKind(enum Kind kind, int pair[2])
{
    if (domainKind(kind) == AF_UNIX) {
        pairUnix(pair, typeKind(kind));
    } else if (typeKind(kind) == SOCK_STREAM) {
        pairListening(domainKind(kind), pair);
    } else {
        pairLoopbackDatagrams(domainKind(kind), pair);
    }
}

int listenTcp(struct sockaddr_storage* address, socklen_t* length)
{
    int handle = openLoopback(AF_INET, SOCK_STREAM, address, length);

    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(listen(handle, 128), 0);
    return handle;
}

void sendAll(int handle, const void* data, size_t size)
{
    const uint8_t* bytes = data;

    while (size > 0) {
        ssize_t result = send(handle, bytes, size, MSG_NOSIGNAL);
        if ((result < 0) && (errno == EINTR))
            continue;
        ck_assert_msg(result > 0, "send: %s", strerror(errno));
        bytes += result;
        size -= (size_t)result;
    }
}

void receiveAll(int handle, void* data, size_t size)
{
    uint8_t* bytes = data;

    while (size > 0) {
        ssize_t result = recv(handle, bytes, size, 0);
        if ((result < 0) && (errno == EINTR))
            continue;
        ck_assert_msg(result > 0, "recv: %s", (result == 0) ? "end of input" : strerror(errno));
        bytes += result;
        size -= (size_t)result;
    }
}

void closeReset(int handle)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(handle);
}

/* ---- pattern -------------------------------------------------------------------------------------- */

/* Every eight bytes are a hash of their place: a byte that is missing or doubled shifts the rest. */
static uint64_t patternBlock(uint64_t block)
{
    return (block ^ (block >> 7)) * UINT64_C(0x9E3779B97F4A7C15);
}

uint8_t patternAt(uint64_t position)
{
    return (uint8_t)(patternBlock(position >> 3) >> (8 * (position & 7)));
}

void fillPattern(void* data, size_t size, uint64_t position)
{
    uint8_t* bytes = data;
    size_t index = 0;

    for (; (index < size) && (((position + index) & 7) != 0); index++)
        bytes[index] = patternAt(position + index);
    for (; index + 8 <= size; index += 8) {
        uint64_t block = htole64(patternBlock((position + index) >> 3));
        memcpy(bytes + index, &block, 8);
    }
    for (; index < size; index++)
        bytes[index] = patternAt(position + index);
}

bool checkPattern(const void* data, size_t size, uint64_t position)
{
    const uint8_t* bytes = data;
    size_t index = 0;

    for (; (index < size) && (((position + index) & 7) != 0); index++) {
        if (bytes[index] != patternAt(position + index))
            return false;
    }
    for (; index + 8 <= size; index += 8) {
        uint64_t block = htole64(patternBlock((position + index) >> 3));
        if (memcmp(bytes + index, &block, 8) != 0)
            return false;
    }
    for (; index < size; index++) {
        if (bytes[index] != patternAt(position + index))
            return false;
    }
    return true;
}
