#include "consumer.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum
{
    SECONDS = 300,     /* bounds a hang, and nothing else */
    MOST_TURNS = 2000, /* of 50 ms at most */
};

static const char* chapter = "";

void check(bool condition, const char* text, const char* file, int line)
{
    if (condition)
        return;
    fprintf(stderr, "%s: does not hold: %s\n(%s:%d)\n", chapter, text, file, line);
    exit(EXIT_FAILURE);
}

void runUntil(struct FastRing* ring, const int* count, int value)
{
    for (int turn = 0; *count < value; ++turn) {
        CHECK(turn < MOST_TURNS);
        CHECK(WaitForFastRing(ring, 50, NULL) == 0);
    }
    CHECK(*count == value);
}

void runTurns(struct FastRing* ring, int turns)
{
    for (; turns > 0; --turns)
        CHECK(WaitForFastRing(ring, 0, NULL) == 0);
}

bool isOpen(int handle)
{
    return fcntl(handle, F_GETFD) >= 0;
}

void makePair(int type, int handles[2])
{
    CHECK(socketpair(AF_UNIX, type, 0, handles) == 0);
}

struct call
{
    void (*function)(void*);
    void* closure;
};

static void* runCall(void* argument)
{
    struct call* call = argument;
    call->function(call->closure);
    return NULL;
}

void callElsewhere(void (*function)(void*), void* closure)
{
    struct call call = { function, closure };
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, runCall, &call) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

void useVersion(void)
{
    /* The library may be newer than the program, not older. */
    int major, minor, patch;
    const char* version = GetFastSocketVersion();
    CHECK(sscanf(version, "%d.%d.%d", &major, &minor, &patch) == 3);
    CHECK(major == FASTSOCKET_VERSION_MAJOR);
    CHECK(minor > FASTSOCKET_VERSION_MINOR || (minor == FASTSOCKET_VERSION_MINOR && patch >= FASTSOCKET_VERSION_PATCH));
}

static const struct
{
    const char* name;
    void (*use)(void);
} chapters[] = {
    { "version", useVersion },
    { "buffers", useBuffers },
    { "ring", useRing },
    { "options", useOptions },
    { "timeouts", useTimeouts },
    { "watches", useWatches },
    { "events", useEvents },
    { "calls", useCalls },
    { "signals", useSignals },
    { "descriptors", useDescriptors },
    { "provider", useProvider },
    { "stream socket", useStreamSocket },
    { "socket questions", useSocketQuestions },
    { "socket errors", useSocketErrors },
    { "message socket", useMessageSocket },
    { "descriptors in messages", usePassing },
    { "files", useFiles },
    { "socket operations", useSocketOperations },
    { "stream", useSocketStream },
    { "listener", useListener },
    { "addresses", useAddresses },
    { "connections", useConnections },
    { "shells", useShells },
    { "statistics", useStatistics },
};

struct FastRing* openRing(void)
{
    const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
    struct FastRing* ring = CreateFastRing(0);
    for (int tries = 0; ring == NULL && errno == ENOMEM && tries < SECONDS * 10; ++tries) {
        nanosleep(&pause, NULL);
        ring = CreateFastRing(0);
    }
    return ring;
}

static int countOpen(void)
{
    int count = 0;
    for (int handle = 0; handle < 256; ++handle)
        count += isOpen(handle);
    return count;
}

int main(void)
{
    alarm(SECONDS);
    struct FastRing* ring = openRing();
    CHECK(ring != NULL); /* also where io_uring is refused */
    ReleaseFastRing(ring);

    for (size_t index = 0; index < sizeof(chapters) / sizeof(*chapters); ++index) {
        chapter = chapters[index].name;
        int before = countOpen();
        chapters[index].use();
        CHECK(countOpen() == before);
    }
    printf("%zu chapters hold\n", sizeof(chapters) / sizeof(*chapters));
    return EXIT_SUCCESS;
}
