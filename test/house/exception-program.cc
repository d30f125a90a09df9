/*
 * A program in C++ whose callbacks throw through the library: what it catches around the wait, and
 * that everything goes on behind it.
 */
#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>
#include <Ring/FastSocket.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

static int calls;
static int caught;

static void require(bool condition, const char* text)
{
    if (condition)
        return;
    std::fprintf(stderr, "not so: %s\n", text);
    std::exit(1);
}
#define REQUIRE(condition) require(condition, #condition)

/* Its destructors run, up to whoever catches. */
struct Guard
{
    int& count;
    ~Guard() { count++; }
};

static int unwound;

static void fail()
{
    Guard guard{unwound};
    calls++;
    throw std::runtime_error("out of a callback");
}

static void onTimeout(FastRingTimeout*, void*) { fail(); }
static void onCall(FastRing*, void*) { fail(); }
static void onEvent(FastRingEvent*, uint32_t, void*) { fail(); }
static void onFlush(void*, int) { fail(); }

static void onSocket(FastSocket* socket, int event, int)
{
    char bytes[16];
    if (event != POLLIN)
        return;
    REQUIRE(ReceiveFastSocketData(socket, bytes, sizeof(bytes), 0) == 5);
    fail();
}

static void turn(FastRing* ring)
{
    try {
        REQUIRE(WaitForFastRing(ring, 1000, nullptr) == 0);
    } catch (const std::runtime_error&) {
        caught++;
    }
}

static void expect(FastRing* ring, int expected)
{
    while (calls < expected)
        turn(ring);
    for (int quiet = 0; quiet < 3; quiet++)
        REQUIRE(WaitForFastRing(ring, 0, nullptr) == 0);
    REQUIRE(calls == expected && caught == expected && unwound == expected);
}

int main()
{
    int pair[2];
    FastRing* ring = CreateFastRing(0);
    REQUIRE(ring != nullptr);
    FastBufferPool* pool = CreateFastBufferPool(ring);
    FastRingBufferProvider* provider =
        CreateFastRingBufferProvider(ring, 0, 8, 4096, AllocateRingFastBuffer, pool);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    FastSocket* socket = CreateFastSocket(ring, provider, pool, pool, pair[0], nullptr, 0, 0, 0,
                                          onSocket, nullptr);
    FastRingEvent* event = CreateFastRingEvent(ring, onEvent, nullptr);
    REQUIRE(socket != nullptr && event != nullptr);
    for (int round = 1; round <= 3; round++) {
        REQUIRE(SetFastRingTimeout(ring, nullptr, 1, 0, onTimeout, nullptr) != nullptr);
        REQUIRE(PostFastRingCall(ring, onCall, nullptr) == 0);
        REQUIRE(PostFastRingCall(ring, onCall, nullptr) == 0);
        REQUIRE(SubmitFastRingEvent(event, 1) == 0);
        REQUIRE(SetFastRingFlushHandler(ring, onFlush, nullptr) != nullptr);
        REQUIRE(write(pair[1], "input", 5) == 5);
        expect(ring, 6 * round);
    }
    ReleaseFastRingEvent(event);
    ReleaseFastSocket(socket);
    close(pair[1]);
    while (GetFastRingPending(ring) > 0)
        REQUIRE(WaitForFastRing(ring, 1000, nullptr) == 0);
    ReleaseFastRing(ring);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(pool);
    return 0;
}
