/* A blocking listening socket that rings of several threads and processes accept from: every
 * connection is answered, and no loop waits for another one's. */
#include "services.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum
{
    SERVERS = 4,
    LOOKS = 100,
    PATIENCE_MS = 20000, /* bounds a hang only */
};

/* In memory that forked processes share. */
struct Shared
{
    atomic_bool stop;
    atomic_uint turns[SERVERS];
    atomic_uint answers;
};

struct Server
{
    struct Shared* shared;
    int handle;
    int index;
};

static struct Shared* shared;
static struct Server servers[SERVERS];
static struct sockaddr_storage address;
static socklen_t length;
static int handle;

static void setUp(void)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    handle = listenTcp(&address, &length);
    ck_assert(!(fcntl(handle, F_GETFL) & O_NONBLOCK));
    for (int index = 0; index < SERVERS; index++)
        servers[index] = (struct Server){shared, handle, index};
}

static void tearDown(void)
{
    close(handle);
    munmap(shared, sizeof(*shared));
}

AREA(shared, "listener-shared", .open = setUp, .close = tearDown);

static void answer(struct FastListener* listener, int connection, void* closure)
{
    struct Server* server = closure;
    (void)listener;
    ck_assert_int_ge(connection, 0);
    sendText(connection, "x");
    close(connection);
    atomic_fetch_add(&server->shared->answers, 1);
}

/* A ring of its own, until it is told to stop. Runs in threads and in processes. */
static void* serve(void* closure)
{
    struct Server* server = closure;
    struct FastRing* ring = CreateFastRing(0);
    struct FastListener* listener =
        CreateFastListener(ring, fcntl(server->handle, F_DUPFD_CLOEXEC, 0), 0, answer, server);
    if (listener == NULL)
        abort();
    while (!atomic_load(&server->shared->stop)) {
        if (WaitForFastRing(ring, 1, NULL) < 0)
            abort();
        atomic_fetch_add(&server->shared->turns[server->index], 1);
    }
    ReleaseFastListener(listener);
    ReleaseFastRing(ring);
    return NULL;
}

/* Each loop goes round twice: the first round may have begun before. */
static bool areAlive(void)
{
    unsigned before[SERVERS];
    for (int index = 0; index < SERVERS; index++)
        before[index] = atomic_load(&shared->turns[index]);
    for (int index = 0; index < SERVERS; index++) {
        int64_t end = nowNs() + PATIENCE_MS * INT64_C(1000000);
        while (atomic_load(&shared->turns[index]) - before[index] < 2) {
            if (nowNs() > end)
                return false;
            usleep(100);
        }
    }
    return true;
}

static void connectMany(void)
{
    ck_assert(areAlive());
    for (unsigned look = 1; look <= LOOKS; look++) {
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(client, (struct sockaddr*)&address, length), 0);
        expectText(client, "x");
        expectEnd(client);
        close(client);
        ck_assert_msg(areAlive(), "a loop hangs after %u connections", look);
    }
    ck_assert_uint_eq(atomic_load(&shared->answers), LOOKS);
}

CASE(shared, byRingsOfThreads)
{
    pthread_t threads[SERVERS];
    for (int index = 0; index < SERVERS; index++)
        ck_assert_int_eq(pthread_create(&threads[index], NULL, serve, &servers[index]), 0);
    connectMany();
    atomic_store(&shared->stop, true);
    for (int index = 0; index < SERVERS; index++)
        ck_assert_int_eq(pthread_join(threads[index], NULL), 0);
}

CASE(shared, byRingsOfProcesses)
{
    pid_t children[SERVERS];
    for (int index = 0; index < SERVERS; index++) {
        children[index] = fork();
        ck_assert_int_ge(children[index], 0);
        if (children[index] == 0) {
            (void)serve(&servers[index]);
            _exit(0);
        }
    }
    connectMany();
    atomic_store(&shared->stop, true);
    for (int index = 0; index < SERVERS; index++) {
        int status = 0;
        ck_assert_int_eq(waitpid(children[index], &status, 0), children[index]);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}
