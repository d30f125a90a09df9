/*
 * Many connections at once: churn, full queues of both directions, and one that floods beside many
 * that are quiet.
 */
#include "load.h"
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum
{
    MANY = 10000,
    PAIRS = 300,          /* at least, of which both ends are ours */
    SPARE = 200,          /* descriptors beside the connections */
    MESSAGE = 64,         /* bytes */
    MESSAGES = 4,         /* to each at a time */
    BOUND_SECONDS = 1200, /* of a client's wait: a hang */
    /* Of the server, until it has answered who asks beside a flood: some, and what it makes of them
     * until the kernel has passed the question on, and has let the thread for that run. */
    MOST_TURNS = 1000,
};

AREA(crowd, "crowd", .timeout = 3600);

/* ---- a server of ours, and a process with clients -------------------------------------------- */

static struct
{
    struct FastListener* listener;
    struct sockaddr_storage address;
    socklen_t length;
    uint64_t accepted;
    uint64_t messages;
    uint64_t failures;
    int open;
    int most;
    uint64_t quiet; /* connections that come first, and whose answers are noted */
    pid_t clients;
    int status;
    bool ended;
} server;

/* What the server tells its clients' process. */
static struct
{
    uint64_t turns;    /* that are over */
    uint64_t answered; /* in which one of the quiet connections was answered last */
    uint64_t flooded;  /* bytes of the others */
} * shown;

static void leave(struct Recorder* recorder)
{
    ReleaseFastSocket(recorder->socket);
    server.open--;
    free(recorder);
}

static void show(uint64_t* place, uint64_t value)
{
    if (shown != NULL)
        __atomic_store_n(place, value, __ATOMIC_RELEASE);
}

static void echoAll(struct FastSocket* socket, bool quiet)
{
    char data[4096];
    ssize_t size = 0;

    while ((size = ReceiveFastSocketData(socket, data, sizeof(data), 0)) > 0) {
        server.messages++;
        if (quiet)
            show(&shown->answered, readRing(scene.ring).turns);
        else
            show(&shown->flooded, shown->flooded + (uint64_t)size);
        if (TransmitFastSocketData(socket, NULL, 0, data, (size_t)size, 0) == -EPIPE)
            return;
    }
}

static void serveConnection(struct FastSocket* socket, int event, int parameter,
                            struct Recorder* recorder)
{
    (void)parameter;
    switch (event) {
    case POLLIN:
        echoAll(socket, recorder->closure != NULL);
        break;
    case POLLERR:
        server.failures++;
        break;
    case POLLHUP:
        leave(recorder);
        break;
    }
}

static void acceptConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Recorder* recorder = calloc(1, sizeof(*recorder));

    (void)listener;
    (void)closure;
    ck_assert_msg(handle >= 0, "accept: %s", strerror(-handle));
    ck_assert_ptr_nonnull(recorder);
    recorder->then = serveConnection;
    recorder->closure = server.accepted < server.quiet ? &server : NULL;
    openRecorded(&scene, handle, NULL, 0, recorder);
    server.accepted++;
    server.open++;
    if (server.open > server.most)
        server.most = server.open;
}

static bool haveClientsEnded(void* closure)
{
    (void)closure;
    if (!server.ended && (waitpid(server.clients, &server.status, WNOHANG) == server.clients))
        server.ended = true;
    return server.ended && (server.open == 0);
}

/* Runs a function with clients in a process of its own, which has no ring. */
static void startClients(int (*clients)(void))
{
    memset(&server, 0, sizeof(server));
    server.length = sizeof(server.address);
    int handle = listenTcp(&server.address, &server.length);

    ck_assert_int_eq(listen(handle, 4096), 0);
    server.clients = fork();
    ck_assert_int_ge(server.clients, 0);
    if (server.clients == 0) {
        close(handle);
        _exit(clients());
    }
    sceneOpen(&scene, (struct SceneOptions){.buffers = 256, .bufferLength = 2048});
    server.listener = CreateFastListener(scene.ring, handle, 0, acceptConnection, NULL);
    ck_assert_ptr_nonnull(server.listener);
}

static void endServer(void)
{
    ck_assert_msg(WIFEXITED(server.status), "the clients were killed");
    ck_assert_int_eq(WEXITSTATUS(server.status), 0);
    ReleaseFastListener(server.listener);
    scene.descriptors--; /* that of the listening socket was open before the scene */
    closeScene();
}

/* ---- clients: system calls that wait, and the number of the line for what goes wrong ---- */

#define NEED(condition)                \
    do {                               \
        if (!(condition))              \
            return __LINE__ % 250 + 1; \
    } while (0)

static int dial(void)
{
    struct timeval bound = {.tv_sec = BOUND_SECONDS};
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (handle < 0)
        return -1;
    (void)setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
    (void)setsockopt(handle, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound));
    (void)setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(handle, (struct sockaddr*)&server.address, server.length) == 0)
        return handle;
    close(handle);
    return -1;
}

static void hangUp(int handle)
{
    struct linger linger = {.l_onoff = 1};

    (void)setsockopt(handle, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(handle);
}

static int takeAnswer(int handle, const uint8_t* data)
{
    uint8_t echo[MESSAGE];

    NEED(recv(handle, echo, sizeof(echo), MSG_WAITALL) == MESSAGE);
    NEED(memcmp(data, echo, sizeof(echo)) == 0);
    return 0;
}

static int exchange(int handle, uint64_t position)
{
    uint8_t data[MESSAGE];

    fillPattern(data, sizeof(data), position);
    NEED(send(handle, data, sizeof(data), MSG_NOSIGNAL) == MESSAGE);
    return takeAnswer(handle, data);
}

static int countOf(void)
{
    return (int)loadOf(300, MANY);
}

/* Connections come and go, each with a message or more; some end in order, others by a reset, some
 * with a message on its way. */
static int churn(void)
{
    static int handles[MANY];
    int count = countOf();
    unsigned seed = 1;
    int64_t steps = loadOf(2000, 1200000);

    memset(handles, 0, sizeof(handles));
    for (int index = 0; index < count; index++)
        NEED((handles[index] = dial()) >= 0);
    for (int64_t step = 0; step < steps; step++) {
        int* handle = &handles[rand_r(&seed) % count];
        NEED(exchange(*handle, (uint64_t)step) == 0);
        if (step % 5 == 4)
            NEED(send(*handle, "late", 4, MSG_NOSIGNAL) == 4);
        if (step % 2 == 0)
            hangUp(*handle);
        else
            close(*handle);
        NEED((*handle = dial()) >= 0);
    }
    for (int index = 0; index < count; index++)
        close(handles[index]);
    return 0;
}

/* §2.6 GetFastRingPending: connections by the thousand, come and gone: no descriptor, buffer or
 * memory is left */
CASE(crowd, churns)
{
    double start = secondsNow(CLOCK_MONOTONIC);
    long early = 0;
    int64_t expected = countOf() + loadOf(2000, 1200000);

    if (!allowDescriptors((rlim_t)countOf() + SPARE)) /* the clients are another process's */
        skipTest("as many descriptors are not allowed");
    startClients(churn);
    while (!haveClientsEnded(NULL)) {
        ck_assert_int_eq(WaitForFastRing(scene.ring, 100, NULL), 0);
        if ((early == 0) && ((int64_t)server.accepted > expected / 4))
            early = residentKb();
    }
    ck_assert_uint_eq(server.accepted, (uint64_t)expected);
    tell("churn: %llu connections, at most %d at once, %llu messages, %llu resets, %.0f s",
         (unsigned long long)server.accepted, server.most, (unsigned long long)server.messages,
         (unsigned long long)server.failures, secondsNow(CLOCK_MONOTONIC) - start);
    tell("memory: %ld kB after a quarter, %ld kB at the end", early, residentKb());
    endServer();
}

/* ---- one that floods ---- */

static int flooding; /* a descriptor */
static int flooded;  /* the flood is to end */

static void* flood(void* closure)
{
    static uint8_t data[65536];

    (void)closure;
    while (__atomic_load_n(&flooded, __ATOMIC_ACQUIRE) == 0) {
        (void)!send(flooding, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)!recv(flooding, data, sizeof(data), MSG_DONTWAIT);
    }
    return NULL;
}

/* One question, which is in the server's socket once it is sent: how many turns the server has made
 * until the one in which it answered, whatever time they took. */
static int ask(int handle, uint64_t position, uint64_t* turns)
{
    uint8_t data[MESSAGE];

    fillPattern(data, sizeof(data), position);
    NEED(send(handle, data, sizeof(data), MSG_NOSIGNAL) == MESSAGE);
    uint64_t asked = __atomic_load_n(&shown->turns, __ATOMIC_ACQUIRE);
    NEED(takeAnswer(handle, data) == 0);
    uint64_t answered = __atomic_load_n(&shown->answered, __ATOMIC_ACQUIRE);
    *turns = answered > asked ? answered - asked : 0;
    return 0;
}

static int compareTimes(const void* one, const void* other)
{
    double first = *(const double*)one;
    double second = *(const double*)other;

    return (first > second) - (first < second);
}

/* Messages on all in turns; tells the times of the answers, and the most of the server's turns. */
static int askAll(const int* handles, int count, int rounds, const char* when)
{
    static double times[1000000];
    uint64_t first = __atomic_load_n(&shown->turns, __ATOMIC_ACQUIRE);
    uint64_t before = __atomic_load_n(&shown->flooded, __ATOMIC_ACQUIRE);
    uint64_t most = 0;
    int asked = 0;

    for (int round = 0; round < rounds; round++) {
        for (int index = 0; index < count; index++) {
            double start = secondsNow(CLOCK_MONOTONIC);
            uint64_t turns = 0;
            NEED(ask(handles[index], (uint64_t)asked, &turns) == 0);
            times[asked++] = secondsNow(CLOCK_MONOTONIC) - start;
            most = turns > most ? turns : most;
        }
    }
    qsort(times, (size_t)asked, sizeof(times[0]), compareTimes);
    tell("%s: %d answers, half in %.0f us, 99 %% in %.0f us, all in %.0f us", when, asked,
         times[asked / 2] * 1e6, times[asked * 99LL / 100] * 1e6, times[asked - 1] * 1e6);
    tell("each at most %llu turns after its question; %.1f MB of others in %llu turns",
         (unsigned long long)most,
         (double)(__atomic_load_n(&shown->flooded, __ATOMIC_ACQUIRE) - before) / 1e6,
         (unsigned long long)(__atomic_load_n(&shown->turns, __ATOMIC_ACQUIRE) - first));
    NEED(most <= MOST_TURNS);
    return 0;
}

static int countQuiet(void)
{
    return (int)loadOf(50, 999);
}

static int askBesideFlood(void)
{
    static int handles[1000];
    int count = countQuiet();
    int rounds = (int)loadOf(4, 100);
    pthread_t thread;

    for (int index = 0; index < count; index++)
        NEED((handles[index] = dial()) >= 0);
    NEED((flooding = dial()) >= 0);
    NEED(askAll(handles, count, rounds, "quiet") == 0);
    NEED(pthread_create(&thread, NULL, flood, NULL) == 0);
    NEED(askAll(handles, count, rounds, "beside a flood") == 0);
    __atomic_store_n(&flooded, 1, __ATOMIC_RELEASE);
    NEED(pthread_join(thread, NULL) == 0);
    hangUp(flooding);
    for (int index = 0; index < count; index++)
        close(handles[index]);
    return 0;
}

/* §2.1 starvation: who floods keeps nobody else from his answers */
CASE(crowd, floods)
{
    if (!allowDescriptors((rlim_t)loadOf(300, 2500)))
        skipTest("as many descriptors are not allowed");
    shown = mmap(NULL, sizeof(*shown), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shown, MAP_FAILED);
    startClients(askBesideFlood);
    server.quiet = (uint64_t)countQuiet();
    while (!haveClientsEnded(NULL)) {
        ck_assert_int_eq(WaitForFastRing(scene.ring, 100, NULL), 0);
        show(&shown->turns, readRing(scene.ring).turns);
    }
    endServer();
    munmap(shown, sizeof(*shown));
    shown = NULL;
}

/* ---- queues that are too small ---- */

static struct Recorder recorders[MANY];
static int peers[MANY];

/* As many as wanted, or as the limit has room for. */
static int countPairs(void)
{
    struct rlimit limit;
    int count = countOf();

    (void)allowDescriptors((rlim_t)count * 2 + SPARE);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if ((rlim_t)count * 2 + SPARE > limit.rlim_cur)
        count = ((int)limit.rlim_cur - SPARE) / 2;
    return count;
}

static void openMany(int count, enum Kind odd)
{
    memset(recorders, 0, sizeof(recorders));
    for (int index = 0; index < count; index++) {
        int pair[2];
        pairKind(index % 2 ? odd : KIND_UNIX_STREAM, pair);
        peers[index] = pair[1];
        openRecorded(&scene, pair[0], NULL, 0, &recorders[index]);
    }
}

/* §2.8 overflow: each of many gets its messages, though there is room for few completions */
CASE(crowd, overflows)
{
    int count = countPairs();

    if (count < PAIRS)
        skipTest("as many descriptors are not allowed");
    sceneOpen(&scene, (struct SceneOptions){.ringLength = 1, .buffers = 512, .bufferLength = 256});
    openMany(count, KIND_UNIX_DATAGRAM);
    runIdle(scene.ring);
    for (int round = 0; round < 3; round++) {
        /* Several for each that the kernel looks at: it looks at some 32 in one enter. */
        for (int index = 0; index < count * MESSAGES; index++)
            sendText(peers[index % count], "message");
        for (int index = 0; index < count * MESSAGES; index++)
            receiveText(&recorders[index % count], "message");
    }
    ck_assert_uint_gt(readRing(scene.ring).overflows, 0);
    tell("overflow: %d sockets, %llu completions, %llu overflows", count,
         (unsigned long long)readRing(scene.ring).completions,
         (unsigned long long)readRing(scene.ring).overflows);
    for (int index = 0; index < count; index++) {
        ck_assert_int_eq(recorders[index].err + recorders[index].hup, 0);
        AbortFastSocket(recorders[index].socket);
        close(peers[index]);
    }
    closeScene();
}

/* §2.6 submission queue full: many transmits and many releases in one turn, through a queue of
 * two */
CASE(crowd, outnumbersTheQueue)
{
    int count = countPairs();
    char text[16] = "";

    if (count < PAIRS)
        skipTest("as many descriptors are not allowed");
    sceneOpen(&scene, (struct SceneOptions){.ringLength = 2, .buffers = 64, .bufferLength = 256});
    openMany(count, KIND_UNIX_STREAM);
    runIdle(scene.ring);
    for (int index = 0; index < count; index++) {
        snprintf(text, sizeof(text), "%08d", index);
        transmitText(recorders[index].socket, text);
        ReleaseFastSocket(recorders[index].socket);
    }
    ck_assert_uint_eq(GetFastRingPending(scene.ring), (size_t)count);
    runIdle(scene.ring);
    for (int index = 0; index < count; index++) {
        snprintf(text, sizeof(text), "%08d", index);
        expectText(peers[index], text);
        expectEnd(peers[index]);
        close(peers[index]);
    }
    waitFor(scene.ring, isNothingPending, scene.ring);
    tell("queue of 2: %d transmits and %d releases in a turn, %llu enters", count, count,
         (unsigned long long)readRing(scene.ring).systemCalls);
    closeScene();
}
