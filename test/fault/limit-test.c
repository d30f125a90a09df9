/* Limits of a process and of a user: descriptors, and memory that may be locked. */
#include "load.h"
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>

AREA(limit, "limit", .timeout = 1800);

/* ---- descriptors ---- */

enum
{
    CLIENTS = 40,
    NUMBERS = 256,
};

static struct
{
    int accepted[CLIENTS];
    int count;
    int failures;
} server;

static void take(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    (void)closure;
    if (handle < 0) {
        ck_assert_int_eq(handle, -EMFILE);
        server.failures++;
        return;
    }
    ck_assert_int_lt(server.count, CLIENTS);
    server.accepted[server.count++] = handle;
}

static int occupy(int* numbers)
{
    int count = 0;

    while ((count < NUMBERS) && ((numbers[count] = open("/dev/null", O_RDONLY)) >= 0))
        count++;
    ck_assert_int_eq(errno, EMFILE);
    return count;
}

/* no number is left while connections come: told once each time, no loop spins, and all are served
 * in the end */
CASE(limit, descriptorsRunOut)
{
    struct rlimit limit = {NUMBERS, NUMBERS};
    struct sockaddr_storage address;
    struct FastListener* listener = NULL;
    socklen_t length = sizeof(address);
    int64_t episodes = loadOf(3, 100);
    int numbers[NUMBERS];
    int clients[CLIENTS];

    openScene();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int handle = listenTcp(&address, &length);
    listener = CreateFastListener(scene.ring, handle, 0, take, NULL);
    ck_assert_ptr_nonnull(listener);
    runIdle(scene.ring);
    for (int64_t episode = 1; episode <= episodes; episode++) {
        int count = 0;
        memset(&server, 0, sizeof(server));
        for (int index = 0; index < CLIENTS; index++)
            clients[index] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        count = occupy(numbers);
        for (int index = 0; index < CLIENTS; index++)
            ck_assert_int_eq(connect(clients[index], (struct sockaddr*)&address, length), 0);
        waitCount(scene.ring, &server.failures, 1);
        uint64_t before = readRing(scene.ring).completions;
        runTurns(scene.ring, 50);
        ck_assert_uint_le(readRing(scene.ring).completions - before, 20);
        while (count > 0)
            close(numbers[--count]);
        waitCount(scene.ring, &server.count, CLIENTS);
        ck_assert_int_eq(server.failures, 1);
        for (int index = 0; index < CLIENTS; index++) {
            close(clients[index]);
            close(server.accepted[index]);
        }
    }
    tell("no descriptors: %lld times, %d connections each", (long long)episodes, CLIENTS);
    ReleaseFastListener(listener);
    closeScene();
}

/* ---- memory that may be locked ---- */

enum
{
    NOBODY = 65534,
    RINGS = 64,
    LARGE = 4 << 20,
};

/* From now on the case is an ordinary user's, who may look at his own descriptors; false: it can't
 * become one. */
static bool becomeNobody(rlim_t locked)
{
    struct rlimit limit = {locked, locked};

    return (setrlimit(RLIMIT_MEMLOCK, &limit) == 0) && (geteuid() == 0) &&
           (setuid(NOBODY) == 0) && (prctl(PR_SET_DUMPABLE, 1) == 0);
}

static const rlim_t limits[] = {64 << 10, 8 << 20};

/* many rings of an ordinary user: each works, with whatever engine there is memory for */
CASE_ROUNDS(limit, ringsOfAUser, 2)
{
    static struct Scene scenes[RINGS];
    int onUring = 0;

    if (!becomeNobody(limits[round]))
        skipTest("another user is needed, whom only root may become");
    for (int index = 0; index < RINGS; index++) {
        sceneOpen(&scenes[index],
                  (struct SceneOptions){.buffers = 8, .bufferLength = 1024, .kind = KIND_TCP});
        onUring += runsOnUring(scenes[index].ring);
    }
    for (int index = 0; index < RINGS; index++) {
        struct Scene* stage = &scenes[index];
        sendText(stage->peer, "question");
        receiveText(&stage->ours, "question");
        transmitText(stage->ours.socket, "answer");
        waitDrained(&stage->ours);
        expectText(stage->peer, "answer");
    }
    tell("%d rings with %llu kB: %d on io_uring", RINGS, (unsigned long long)limits[round] / 1024,
         onUring);
    for (int index = RINGS - 1; index >= 0; index--)
        sceneClose(&scenes[index]);
}

/* large messages without a copy, of which the kernel charges the user's limit: all arrive */
CASE_ROUNDS(limit, zeroCopyOfAUser, 2)
{
    int64_t count = loadOf(4, 250);

    if (!becomeNobody(limits[round]))
        skipTest("another user is needed, whom only root may become");
    openScene();
    openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_ZERO_COPY);
    for (int64_t number = 0; number < count; number++) {
        struct FastBuffer* buffer = makePattern(LARGE, (uint64_t)number * LARGE);
        ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, LARGE, 0),
                         0);
        expectPattern(scene.peer, LARGE, (uint64_t)number * LARGE);
    }
    waitDrained(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 0);
    tell("zero copy with %llu kB: %lld messages of 4 MiB, %llu sends without a copy",
         (unsigned long long)limits[round] / 1024, (long long)count,
         (unsigned long long)readSocket(scene.ours.socket).sentZeroCopy);
    closeScene();
}
