/*
 * What every test of the public API shares: a ring to work on, socket pairs, a recorder of events,
 * and a runner that prints TAP.
 *
 * Linking with this helper puts a layer between the test and the library (ld --wrap, see
 * meson.build): each handler given to CreateFastSocket or SetFastSocketHandler runs behind the
 * automaton of automaton.h, whether the test knows it or not, and fails the test at the first event
 * that breaks a rule.
 */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>
#include <Ring/FastSocket.h>

/* ---- running ----------------------------------------------------------------------------------- */

/* Runs a suite in fork mode, prints TAP ("area/promise"), returns 0 or 1 for main. An argument of
 * the program is a name filter: only tests whose name contains it run. Frees the suite. */
int runSuite(Suite* suite);

/* Ends the running test as skipped; the line lets runSuite find it. */
#define skipTest(reason)                        \
    do {                                        \
        mark_point();                           \
        noteSkip(__FILE__, __LINE__, (reason)); \
        return;                                 \
    } while (0)

void noteSkip(const char* file, int line, const char* reason);
bool isSelected(const char* name);

#undef tcase_add_test
#define tcase_add_test(tcase, test) \
    (isSelected((test)->name) ? _tcase_add_test((tcase), (test), 0, 0, 0, 1) : (void)0)

/* ---- the ring ---------------------------------------------------------------------------------- */

/* A ring with provider and pools. */
struct Fixture
{
    struct FastRing* ring;
    struct FastRingBufferProvider* provider;
    struct FastBufferPool* inbound;
    struct FastBufferPool* outbound;
    int descriptors; /* open before fixtureOpen */
};

/* length as in CreateFastRing, buffers and bufferLength those of the provider; 0 = defaults: automatic
 * ring, 64 buffers of 4096 bytes. */
void fixtureOpen(struct Fixture* fixture, uint32_t length, uint16_t buffers, uint32_t bufferLength);

/* Runs the ring until nothing is pending, releases all, and checks that no buffer is live and that the
 * same number of descriptors is open as before fixtureOpen. Members that the test released itself are
 * set to NULL by it, and skipped. */
void fixtureClose(struct Fixture* fixture);

/* Entries of /proc/self/fd. */
int countDescriptors(void);

typedef bool (*Condition)(void* closure);

/* Runs turns until the condition holds; false after 60 seconds without it, which only bounds a hang. */
bool runUntil(struct FastRing* ring, Condition condition, void* closure);

/* Conditions of runUntil. */
bool isPositive(void* closure);       /* int: is above 0 */
bool isNothingPending(void* closure); /* struct FastRing: GetFastRingPending is 0 */

/* Turns that don't wait. */
void runTurns(struct FastRing* ring, int turns);

/* Runs until several turns in a row handle no completion and no work is queued. */
void runIdle(struct FastRing* ring);

/* Tells the recorder that a socket is about to be released by fclose on its stream. */
void noteRelease(struct FastSocket* socket);

struct FastRingStatistics readRing(struct FastRing* ring);
struct FastSocketStatistics readSocket(struct FastSocket* socket);

/* ---- sockets ------------------------------------------------------------------------------------ */

/* A socket's closure: counts its events, and may do something at each. All zero at first. */
struct Recorder
{
    int in;
    int out;
    int err;
    int hup;
    int parameterIn; /* of the last POLLIN */
    int lastError;   /* parameter of the last POLLERR, 0 = none */
    int lastHangup;  /* parameter of POLLHUP, -1 = none (after openRecorded) */
    int events;      /* all together */
    uint64_t turn;   /* of the last event */
    int order[32];   /* the first events */
    struct FastSocket* socket;
    void (*then)(struct FastSocket* socket, int event, int parameter, struct Recorder* recorder);
    void* closure;
};

/* Keeps what the recorder saw. */
void recordEvent(struct FastSocket* socket, int event, int parameter);

/* Creates a socket whose closure is recorder, and fails the test if it can't. Of the recorder, then and
 * closure are kept and all else is zeroed. */
struct FastSocket* openRecorded(struct Fixture* fixture, int handle, struct msghdr* message, int mode, struct Recorder* recorder);

bool hasInput(void* closure);   /* struct Recorder: GetFastSocketInboundLength is above 0 */
bool hasHungUp(void* closure);  /* struct Recorder: POLLHUP came */
bool hasFailed(void* closure);  /* struct Recorder: POLLERR came */
bool hasDrained(void* closure); /* struct Recorder: nothing is queued for output */
bool isWritable(void* closure); /* struct Recorder: POLLOUT came */

/* Run the recorder's ring, and fail the test if it doesn't come to that. */
void waitFor(struct FastRing* ring, Condition condition, void* closure);
void waitCount(struct FastRing* ring, const int* count, int atLeast);
void waitInput(struct Recorder* recorder, size_t bytes); /* unread bytes, at least */
void waitDrained(struct Recorder* recorder);
void waitHangup(struct Recorder* recorder);

/* Short forms that fail the test if the call fails. */
void transmitText(struct FastSocket* socket, const char* text);
void transmitPattern(struct FastSocket* socket, size_t size, uint64_t position); /* by TransmitFastSocketData */
void receiveText(struct Recorder* recorder, const char* text);                   /* waits for that many bytes */
void sendText(int handle, const char* text);
void expectText(int handle, const char* text); /* blocks */
void expectNothing(int handle);
void expectEnd(int handle); /* blocks until the end of input */
void setOption(struct FastSocket* socket, int option, uint64_t value);

/* Tests wait for memory that their user's other rings still have: the kernel counts it for a user, and
 * gives it back some time after a ring's end. False where a test is about the lack of it. */
extern bool waitsForMemory;

/* Number of the running turn on this thread, also between turns. */
uint64_t currentTurn(void);

enum Kind
{
    KIND_TCP,
    KIND_TCP6,
    KIND_UDP,
    KIND_UDP6,
    KIND_UNIX_STREAM,
    KIND_UNIX_DATAGRAM,
    KIND_UNIX_SEQPACKET,
    KIND_COUNT,
};

const char* nameKind(enum Kind kind);
int typeKind(enum Kind kind);               /* SOCK_* */
bool hasKind(enum Kind kind);               /* false: the machine has no IPv6 */
void pairKind(enum Kind kind, int pair[2]); /* two connected blocking sockets */
void pairStream(int pair[2]);               /* AF_UNIX stream */
void pairUnix(int pair[2], int type);
void pairTcp(int pair[2]); /* over loopback */
void pairUdp(int pair[2]);

int listenTcp(struct sockaddr_storage* address, socklen_t* length); /* on 127.0.0.1 */
void sendAll(int handle, const void* data, size_t size);
void receiveAll(int handle, void* data, size_t size);
void closeReset(int handle); /* closes with a TCP reset */

/* Byte at a position of an endless pattern without short periods. */
uint8_t patternAt(uint64_t position);
void fillPattern(void* data, size_t size, uint64_t position);
bool checkPattern(const void* data, size_t size, uint64_t position);

#endif
