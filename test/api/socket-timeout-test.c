/*
 * Timeouts of sockets as their users see them, on real connections: what becomes of one that is
 * over, and that none is early. How late one may be is seen in test/unit/timing-test.c, on a clock
 * of its own.
 */
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <time.h>

enum
{
    SHORT = 60,       /* milliseconds */
    PERIOD = 2000,
    LONG = 3600000,   /* never in a test */
    FIRST = FASTSOCKET_OPTION_CONNECT_TIMEOUT,
    LAST = FASTSOCKET_OPTION_OUTBOUND_LOW,
};

SCENE_AREA(timeouts, "timeouts");

static int64_t milliseconds(void)
{
    struct timespec now;

    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t get(int option)
{
    uint64_t value = UINT64_MAX;

    ck_assert_int_eq(GetFastSocketOption(scene.ours.socket, option, &value), 0);
    return value;
}

static int set(int option, uint64_t value)
{
    return SetFastSocketOption(scene.ours.socket, option, value);
}

/* What the peer does not take fills what the kernel has room for. */
static void fillUp(void)
{
    for (uint64_t part = 0; part < 64; part++)
        transmitPattern(scene.ours.socket, 256 << 10, part * (256 << 10));
}

/* A connection that nobody answers: the backlog is full. */
static int connectToNobody(int* listener, int* first)
{
    struct sockaddr_storage address;
    socklen_t length = 0;

    *listener = listenTcp(&address, &length);
    *first = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(listen(*listener, 0), 0);
    ck_assert_int_eq(connect(*first, (struct sockaddr*)&address, length), 0);
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), -1);
    ck_assert_int_eq(errno, EINPROGRESS);
    return handle;
}

/* The failure comes, and not before its time; its text says which it was. */
static void expectTimeout(int64_t since, int64_t after, const char* name)
{
    waitHangup(&scene.ours);
    ck_assert_int_ge(milliseconds() - since, after);
    expectFailure(&scene.ours, ETIMEDOUT);
    ck_assert_ptr_nonnull(strstr(GetFastSocketErrorText(scene.ours.socket), name));
}

/* §2.9 timeout setting: defaults, values, getters */
CASE(timeouts, keepValues)
{
    static const uint64_t defaults[] = {0, 0, 0, 1000, 0};

    openPair(KIND_TCP);
    for (int option = FIRST; option <= LAST; option++) {
        ck_assert_uint_eq(get(option), defaults[option - FIRST]);
        ck_assert_int_eq(set(option, 1000000 + (uint64_t)option), 0);
    }
    for (int option = FIRST; option <= LAST; option++)
        ck_assert_uint_eq(get(option), 1000000 + (uint64_t)option);
    for (int option = FIRST; option <= LAST; option++)
        ck_assert_int_eq(set(option, 0), 0);
    for (int option = FIRST; option <= LAST; option++)
        ck_assert_uint_eq(get(option), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, 0);
}

/* §2.9 timeout setting: what is negative or absurd is refused, and the old value stays */
CASE(timeouts, refuseAbsurdValues)
{
    const uint64_t tebi = UINT64_C(1) << 40;
    const uint64_t most[] = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, tebi};

    openPair(KIND_UNIX_STREAM);
    for (int option = FIRST; option <= LAST; option++) {
        uint64_t before = get(option);
        ck_assert_int_eq(set(option, (uint64_t)-1), -EINVAL);
        ck_assert_int_eq(set(option, most[option - FIRST] + 1), -EINVAL);
        ck_assert_uint_eq(get(option), before);
        ck_assert_int_eq(set(option, most[option - FIRST]), 0);
        ck_assert_uint_eq(get(option), most[option - FIRST]);
    }
}

/* §2.9 timeout setting: in any state */
CASE(timeouts, areSetInAnyState)
{
    openPair(KIND_TCP);
    resetPeer();
    waitHangup(&scene.ours);
    for (int option = FIRST; option <= LAST; option++)
        ck_assert_int_eq(set(option, SHORT), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.hup, 1);
    endRing();
    ck_assert_int_eq(set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 1), -ECANCELED);
    reopenScene(.kind = KIND_TCP);
    ReleaseFastSocket(NULL);
    ck_assert_int_eq(SetFastSocketOption(NULL, FASTSOCKET_OPTION_IDLE_TIMEOUT, 1), -EINVAL);
}

/* §2.9 idle timeout, §2.9 timeout in words: fatal on whatever has a connection */
CASE(timeouts, endIdleConnections)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPair(kinds[index]);
        int64_t since = milliseconds();
        ck_assert_int_eq(set(FASTSOCKET_OPTION_IDLE_TIMEOUT, SHORT), 0);
        expectTimeout(since, SHORT, "idle timeout");
        ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0), -EPIPE);
        closePair();
    }
}

/* §2.9 idle timeout: what is unread stays readable */
CASE(timeouts, keepInput)
{
    openPair(KIND_TCP);
    sendText(scene.peer, "unread");
    waitInput(&scene.ours, 6);
    int64_t since = milliseconds();
    ck_assert_int_eq(set(FASTSOCKET_OPTION_IDLE_TIMEOUT, SHORT), 0);
    expectTimeout(since, SHORT, "idle timeout");
    receiveText(&scene.ours, "unread");
}

/* §2.9 idle timeout: of a pipe, too */
CASE(timeouts, endIdlePipes)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    scene.handle = ends[0];
    scene.peer = ends[1];
    openRecorded(&scene, ends[0], NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
    int64_t since = milliseconds();
    ck_assert_int_eq(set(FASTSOCKET_OPTION_IDLE_TIMEOUT, SHORT), 0);
    expectTimeout(since, SHORT, "idle timeout");
}

/* §2.9 timeout of datagrams: the socket works on */
CASE(timeouts, tellDatagrams)
{
    openPair(KIND_UDP);
    int64_t since = milliseconds();
    ck_assert_int_eq(set(FASTSOCKET_OPTION_IDLE_TIMEOUT, SHORT), 0);
    waitFor(scene.ring, hasFailed, &scene.ours);
    ck_assert_int_ge(milliseconds() - since, SHORT);
    ck_assert_int_eq(scene.ours.lastError, ETIMEDOUT);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_IDLE_TIMEOUT, LONG), 0);
    transmitText(scene.ours.socket, "works");
    waitDrained(&scene.ours);
    expectText(scene.peer, "works");
    sendText(scene.peer, "on");
    receiveText(&scene.ours, "on");
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), 0);
}

/* §2.9 connect timeout: a connection that nobody answers */
CASE(timeouts, endConnecting)
{
    int listener = -1;
    int first = -1;
    int handle = connectToNobody(&listener, &first);

    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    int64_t since = milliseconds();
    ck_assert_int_eq(set(FASTSOCKET_OPTION_CONNECT_TIMEOUT, SHORT), 0);
    transmitText(scene.ours.socket, "never sent");
    expectTimeout(since, SHORT, "connect timeout");
    ck_assert_int_eq(scene.ours.out, 0);
    ReleaseFastSocket(scene.ours.socket);
    scene.ours.socket = NULL;
    waitFor(scene.ring, isNothingPending, scene.ring);
    close(first);
    close(listener);
}

/* §2.9 connect timeout: who is connected in time has no timeout */
CASE(timeouts, endWithTheConnection)
{
    openPair(KIND_TCP);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_CONNECT_TIMEOUT, 10), 0);
    transmitText(scene.ours.socket, "hello");
    waitDrained(&scene.ours);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_CONNECT_TIMEOUT, 10), 0);
    int64_t since = milliseconds();
    while (milliseconds() - since < 10 * SHORT)
        ck_assert_int_eq(WaitForFastRing(scene.ring, SHORT, NULL), 0);
    ck_assert_int_eq(scene.ours.err, 0);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

/* §2.9 transmit timeout: a peer that takes nothing */
CASE(timeouts, endTransmitting)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPair(kinds[index]);
        ck_assert_int_eq(set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, SHORT), 0);
        fillUp();
        int64_t since = milliseconds();
        expectTimeout(since, SHORT, "transmit timeout");
        ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
        closePair();
    }
}

/* One buffer, which is one send. */
static void transmitWhole(uint64_t size)
{
    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, (uint32_t)size, 0);

    ck_assert_ptr_nonnull(buffer);
    fillPattern(GetFastBufferData(buffer), size, 0);
    ck_assert_int_eq(
        TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, (uint32_t)size, 0), 0);
}

/* The peer takes what is due by now, if it is there. */
static uint64_t takeDue(uint64_t got, uint64_t due)
{
    static uint8_t data[4096];
    ssize_t size = 1;

    for (; got < due && size > 0; got += size > 0 ? (uint64_t)size : 0) {
        size = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);
        ck_assert(size <= 0 || checkPattern(data, (size_t)size, got));
    }
    return got;
}

/* A peer takes what it has in twice the time of the timeouts: several times in it the kernel has
 * room again. Returns the longest time in which nothing was taken, nor the ring run. */
static int64_t takeSlowly(void)
{
    const uint64_t whole = 2 << 20;
    uint64_t got = 0;
    int64_t longest = 0;

    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, PERIOD), 0);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_IDLE_TIMEOUT, PERIOD), 0);
    transmitWhole(whole);
    int64_t since = milliseconds();
    int64_t last = since;
    while (scene.ours.err == 0 && got < whole) {
        uint64_t due = whole * (uint64_t)(last - since) / (2 * PERIOD);
        got = takeDue(got, due < whole ? due : whole);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 10, NULL), 0);
        int64_t now = milliseconds();
        longest = now - last > longest ? now - last : longest;
        last = now;
    }
    return longest;
}

/* §2.9 transmit timeout: a peer that takes a little now and then is slow, not dead, however large
 * what is in flight. What a busy machine has kept from taking any says nothing. */
CASE(timeouts, letSlowPeersGetOn)
{
    int64_t longest = takeSlowly();

    for (int again = 0; scene.ours.err > 0 && longest > PERIOD / 2 && again < 20; again++) {
        closePair();
        longest = takeSlowly();
    }
    ck_assert_msg(scene.ours.err == 0, "an error after %d ms without a piece", (int)longest);
    closePair();
}

/* §2.9 transmit timeout of a release: to a peer that takes nothing */
CASE(timeouts, endAReleaseToADeadPeer)
{
    openPair(KIND_TCP);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, SHORT), 0);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_RELEASE_TIMEOUT, LONG), 0);
    fillUp();
    ReleaseFastSocket(scene.ours.socket);
    scene.ours.socket = NULL;
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.9 linger timeout: a peer that never ends is waited for as long as was set; then the file is
 * closed */
CASE(timeouts, linger)
{
    openPair(KIND_TCP);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_LINGER_TIMEOUT, SHORT), 0);
    runIdle(scene.ring);
    int64_t since = milliseconds();
    ReleaseFastSocket(scene.ours.socket);
    scene.ours.socket = NULL;
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_ge(milliseconds() - since, SHORT);
    closePair();

    openPair(KIND_TCP);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_LINGER_TIMEOUT, LONG), 0);
    runIdle(scene.ring);
    ReleaseFastSocket(scene.ours.socket);
    scene.ours.socket = NULL;
    runIdle(scene.ring);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
    closePeer();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.9 no timer: with the last socket that has a timeout it goes */
CASE(timeouts, needNoTimerWithoutSockets)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_IDLE_TIMEOUT, LONG), 0);
    ck_assert_int_gt(GetFastRingInterval(scene.ring), 0);
    AbortFastSocket(scene.ours.socket);
    scene.ours.socket = NULL;
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

/* ---- POLLOUT at the low mark ---- */

static void noteLength(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    uint64_t* most = self->closure;
    uint64_t length = GetFastSocketOutboundLength(socket);

    (void)parameter;
    if (event == POLLOUT && length > *most)
        *most = length;
}

/* §2.9 low mark of output: a program that waits for it goes on before the queue is empty */
CASE(timeouts, tellTheLowMark)
{
    const uint64_t low = 100000;
    uint64_t most = 0;

    scene.ours.then = noteLength;
    scene.ours.closure = &most;
    openPair(KIND_UNIX_STREAM);
    waitFor(scene.ring, isWritable, &scene.ours);
    ck_assert_int_eq(set(FASTSOCKET_OPTION_OUTBOUND_LOW, low), 0);
    int before = scene.ours.out;
    transmitPattern(scene.ours.socket, 1 << 20, 0);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, before);
    expectPattern(scene.peer, 1 << 20, 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, before + 1 + (most > 0));
    ck_assert_uint_le(most, low);
}
