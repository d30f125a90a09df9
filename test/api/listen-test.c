/* ListenFastSocket, and listeners that pause. */
#include "services.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct FastListener* listener;
static int accepted;
static int lastHandle;
static int failures;
static char directory[] = "/tmp/fastsocket-listen-XXXXXX";
static char path[64];
static char local[128]; /* the same as an address */

static void openPlace(void)
{
    openScene();
    strcpy(directory + strlen(directory) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/name", directory);
    snprintf(local, sizeof(local), "unix:%s", path);
    listener = NULL;
    accepted = 0;
    failures = 0;
    lastHandle = -1;
}

static void closePlace(void)
{
    ReleaseFastListener(listener);
    unlink(path);
    ck_assert_int_eq(rmdir(directory), 0);
    closeScene();
}

AREA(listen, "listen", .open = openPlace, .close = closePlace);

static void take(struct FastListener* which, int handle, void* closure)
{
    (void)which;
    ck_assert_ptr_eq(closure, &accepted);
    if (handle < 0) {
        failures++;
        return;
    }
    ck_assert_int_eq(fcntl(handle, F_GETFD), FD_CLOEXEC);
    accepted++;
    lastHandle = handle;
}

static void takeAndClose(struct FastListener* which, int handle, void* closure)
{
    take(which, handle, closure);
    ck_assert_int_ge(handle, 0);
    close(handle);
}

static struct FastListener* listenAs(const char* address, int flags)
{
    return ListenFastSocket(scene.ring, address, flags, take, &accepted);
}

static void listenAt(const char* address, int flags)
{
    listener = listenAs(address, flags);
    ck_assert_msg(listener != NULL, "ListenFastSocket(\"%s\"): %s", address, strerror(errno));
}

static socklen_t findAddress(struct FastListener* which, struct sockaddr_storage* address)
{
    socklen_t length = sizeof(*address);
    int handle = GetFastListenerHandle(which);

    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)address, &length), 0);
    return length;
}

static unsigned findPort(struct FastListener* which)
{
    struct sockaddr_storage address;

    findAddress(which, &address);
    return ntohs(((struct sockaddr_in*)&address)->sin_port); /* IPv6 has it there, too */
}

static int dialAddress(const struct sockaddr_storage* address, socklen_t length)
{
    int handle = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(handle, 0);
    if (connect(handle, (const struct sockaddr*)address, length) == 0)
        return handle;
    close(handle);
    return -1;
}

static int dial(const char* text)
{
    struct sockaddr_storage address;
    socklen_t length = 0;

    ck_assert_int_eq(ParseFastAddress(text, &address, &length), 0);
    return dialAddress(&address, length);
}

/* A connection goes through, both ways. */
static void expectServed(int client)
{
    int before = accepted;

    ck_assert_int_ge(client, 0);
    waitCount(scene.ring, &accepted, before + 1);
    sendText(client, "there");
    expectText(lastHandle, "there");
    sendText(lastHandle, "back");
    expectText(client, "back");
    close(client);
    close(lastHandle);
}

static int dialListener(void)
{
    struct sockaddr_storage address;
    socklen_t length = findAddress(listener, &address);

    return dialAddress(&address, length);
}

/* ---- addresses ---- */

/* §3.1 listen: at numeric addresses of the internet, with a port that the kernel chooses */
CASE(listen, acceptsAtAddresses)
{
    int on = 0;
    socklen_t length = sizeof(on);

    listenAt("127.0.0.1:0", 0);
    ck_assert_int_eq(
        getsockopt(GetFastListenerHandle(listener), SOL_SOCKET, SO_REUSEADDR, &on, &length), 0);
    ck_assert_int_eq(on, 1);
    ck_assert_int_eq(fcntl(GetFastListenerHandle(listener), F_GETFD), FD_CLOEXEC);
    expectServed(dialListener());
    ReleaseFastListener(listener);
    listener = NULL;
    if (!hasKind(KIND_TCP6))
        return;
    listenAt("[::1]:0", 0);
    expectServed(dialListener());
}

static void expectBothFamilies(const char* text)
{
    char address[128];

    listenAt(text, 0);
    snprintf(address, sizeof(address), "127.0.0.1:%u", findPort(listener));
    expectServed(dial(address));
    if (hasKind(KIND_TCP6)) {
        snprintf(address, sizeof(address), "[::1]:%u", findPort(listener));
        expectServed(dial(address));
    }
    ReleaseFastListener(listener);
    listener = NULL;
}

/* §3.1 listen: any address is those of IPv6 and IPv4 */
CASE(listen, acceptsAtAnyAddress)
{
    expectBothFamilies(":0");
    expectBothFamilies("*:0");
}

/* §3.1 listen: IPv6 alone, where the flag says so */
CASE(listen, leavesOutIpv4)
{
    char address[128];

    if (!hasKind(KIND_TCP6))
        skipTest("there is no IPv6");
    listenAt(":0", FASTLISTENER_ONLY_V6);
    snprintf(address, sizeof(address), "127.0.0.1:%u", findPort(listener));
    ck_assert_int_eq(dial(address), -1);
    snprintf(address, sizeof(address), "[::1]:%u", findPort(listener));
    expectServed(dial(address));
}

/* §3.1 listen: several share a port that all have asked to share, and no other */
CASE(listen, sharesPorts)
{
    struct FastListener* other = NULL;
    char address[128];

    listenAt("127.0.0.1:0", FASTLISTENER_REUSE_PORT);
    snprintf(address, sizeof(address), "127.0.0.1:%u", findPort(listener));
    refuses(EADDRINUSE, listenAs(address, 0));
    other = listenAs(address, FASTLISTENER_REUSE_PORT);
    ck_assert_ptr_nonnull(other);
    ReleaseFastListener(other);
}

/* §3.1 listen: at a name, too */
CASE(listen, acceptsAtNames)
{
    listener = listenAs("localhost:0", 0);
    if (listener == NULL && errno == ENOENT)
        skipTest("localhost has no address here");
    ck_assert_ptr_nonnull(listener);
    expectServed(dialListener());
    refuses(ENOENT, listenAs("localhost:no-such-service", 0));
}

/* §3.1 listen: at an abstract name */
CASE(listen, acceptsAtAbstractNames)
{
    char address[128];

    snprintf(address, sizeof(address), "unix:@%s", path);
    listenAt(address, 0);
    expectServed(dial(address));
    refuses(EADDRINUSE, listenAs(address, 0));
    refuses(EADDRINUSE, listenAs(address, FASTLISTENER_REPLACE));
}

/* §3.1 listen: MPTCP, where there is some */
CASE(listen, acceptsMptcp)
{
    int handle = socket(AF_INET, SOCK_STREAM, 262);

    if (handle < 0)
        skipTest("there is no MPTCP");
    close(handle);
    listenAt("mptcp:127.0.0.1:0", 0);
    expectServed(dialListener());
}

/* ---- paths ---- */

static bool exists(void)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

/* §3.1 listener path: removed at the release */
CASE(listen, removesItsPath)
{
    listenAt(local, 0);
    expectServed(dial(local));
    ReleaseFastListener(listener);
    listener = NULL;
    ck_assert(!exists());
}

/* §3.1 listener path: removed with the ring */
CASE(listen, removesItsPathWithTheRing)
{
    listenAt(local, 0);
    endRing();
    ck_assert(!exists());
    ck_assert_int_eq(GetFastListenerHandle(listener), -ECANCELED);
}

/* §3.1 listener path: not if it leads to something else by then */
CASE(listen, leavesOthersPaths)
{
    struct FastListener* other = NULL;

    listenAt(local, 0);
    ck_assert_int_eq(unlink(path), 0);
    other = listenAs(local, 0);
    ck_assert_ptr_nonnull(other);
    ReleaseFastListener(listener);
    listener = other;
    ck_assert(exists());
    expectServed(dial(local));
    ck_assert_int_eq(unlink(path), 0);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ReleaseFastListener(listener);
    listener = NULL;
    ck_assert(exists());
}

/* What a process leaves that has not removed its path. */
static void leaveStale(int type)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int handle = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(ParseFastAddress(local, &address, &length), 0);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&address, length), 0);
    if (type == SOCK_STREAM)
        ck_assert_int_eq(listen(handle, 1), 0);
    close(handle);
}

/* §3.1 listener path: one that nobody listens at is taken over, if the flag says so */
CASE(listen, replacesStalePaths)
{
    leaveStale(SOCK_STREAM);
    refuses(EADDRINUSE, listenAs(local, 0));
    listenAt(local, FASTLISTENER_REPLACE);
    expectServed(dial(local));
    refuses(EADDRINUSE, listenAs(local, FASTLISTENER_REPLACE));
    waitCount(scene.ring, &accepted, 2); /* that was the question */
    close(lastHandle);
    expectServed(dial(local));
}

/* §3.1 listener path: what somebody listens at stays, also where his backlog is full */
CASE(listen, doesNotReplaceBusyPaths)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int handle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int clients[2];

    ck_assert_int_eq(ParseFastAddress(local, &address, &length), 0);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&address, length), 0);
    ck_assert_int_eq(listen(handle, 0), 0);
    refuses(EADDRINUSE, listenAs(local, FASTLISTENER_REPLACE));
    close(accept(handle, NULL, NULL)); /* that was the question */
    clients[0] = dial(local);
    ck_assert_int_ge(clients[0], 0);
    clients[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(clients[1], (struct sockaddr*)&address, length), -1);
    ck_assert_int_eq(errno, EAGAIN);
    refuses(EADDRINUSE, listenAs(local, FASTLISTENER_REPLACE));
    ck_assert(exists());
    close(clients[0]);
    close(clients[1]);
    close(handle);
}

/* §3.1 listener path: nor is anything replaced that is no socket */
CASE(listen, doesNotReplaceFiles)
{
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    refuses(EADDRINUSE, listenAs(local, FASTLISTENER_REPLACE));
    ck_assert(exists());
}

/* §3.1 listen refused: nothing is left */
CASE(listen, refusesOthers)
{
    refuses(EINVAL, ListenFastSocket(NULL, ":0", 0, take, &accepted));
    refuses(EINVAL, listenAs(NULL, 0));
    refuses(EINVAL, ListenFastSocket(scene.ring, ":0", 0, NULL, &accepted));
    refuses(EINVAL, listenAs(":0", 8));
    refuses(EINVAL, listenAs(":0", -1));
    refuses(EINVAL, listenAs("host", 0));
    refuses(EINVAL, listenAs("unix:", 0));
    refuses(EINVAL, listenAs("127.0.0.1:65536", 0));
    refuses(EOPNOTSUPP, listenAs("udp:127.0.0.1:0", 0));
    refuses(ENODEV, listenAs("[fe80::1%nosuchone]:0", 0));
    refuses(ENOENT, listenAs("unix:/nowhere/at/all", 0));
    refuses(EADDRNOTAVAIL, listenAs("192.0.2.1:0", 0));
}

static void* listenElsewhere(void* closure)
{
    (void)closure;
    refuses(EPERM, listenAs(":0", 0));
    ck_assert_int_eq(PauseFastListener(listener), -EPERM);
    ck_assert_int_eq(ResumeFastListener(listener), -EPERM);
    ck_assert_int_eq(GetFastListenerHandle(listener), -EPERM);
    return NULL;
}

/* §3.1 listen refused: in another thread, and after the ring */
CASE(listen, isTheRingsThreads)
{
    listenAt("127.0.0.1:0", 0);
    runTurns(scene.ring, 1);
    inThread(listenElsewhere, NULL);
    ck_assert_int_eq(PauseFastListener(NULL), -EINVAL);
    ck_assert_int_eq(ResumeFastListener(NULL), -EINVAL);
    ck_assert_int_eq(GetFastListenerHandle(NULL), -EINVAL);
    endRing();
    ck_assert_int_eq(PauseFastListener(listener), -ECANCELED);
    ck_assert_int_eq(ResumeFastListener(listener), -ECANCELED);
}

/* ---- pauses ---- */

/* §3.1 paused listener: takes no more, and what waited is served after the resume */
CASE(listen, pauses)
{
    int clients[3];

    listener = ListenFastSocket(scene.ring, "127.0.0.1:0", 0, takeAndClose, &accepted);
    ck_assert_ptr_nonnull(listener);
    runIdle(scene.ring);
    ck_assert_int_eq(PauseFastListener(listener), 0);
    ck_assert_int_eq(PauseFastListener(listener), 0);
    for (int index = 0; index < 3; index++)
        clients[index] = dialListener();
    runIdle(scene.ring);
    ck_assert_int_eq(accepted, 0);
    ck_assert_int_eq(ResumeFastListener(listener), 0);
    ck_assert_int_eq(ResumeFastListener(listener), 0);
    ck_assert_int_eq(accepted, 0); /* not inside the call */
    for (int index = 0; index < 3; index++) {
        waitCount(scene.ring, &accepted, index + 1);
        close(clients[index]);
    }
}

/* §3.1 paused listener: leaves even one connection where it is */
CASE(listen, leavesTheBacklog)
{
    struct pollfd state = {.events = POLLIN};
    int client = -1;

    listener = ListenFastSocket(scene.ring, "127.0.0.1:0", 0, takeAndClose, &accepted);
    ck_assert_ptr_nonnull(listener);
    runIdle(scene.ring);
    ck_assert_int_eq(PauseFastListener(listener), 0);
    client = dialListener();
    runIdle(scene.ring);
    state.fd = GetFastListenerHandle(listener);
    ck_assert_int_eq(poll(&state, 1, 0), 1);
    ck_assert_int_eq(ResumeFastListener(listener), 0);
    waitCount(scene.ring, &accepted, 1);
    close(client);
}

static void takeOne(struct FastListener* which, int handle, void* closure)
{
    take(which, handle, closure);
    close(handle);
    ck_assert_int_eq(PauseFastListener(which), 0);
}

/* §3.1 paused listener: in its own function, with more in the backlog, it is given one at a time */
CASE(listen, pausesInside)
{
    int clients[20];

    listener = ListenFastSocket(scene.ring, local, 0, takeOne, &accepted);
    ck_assert_ptr_nonnull(listener);
    for (int index = 0; index < 20; index++)
        clients[index] = dial(local);
    for (int index = 0; index < 20; index++) {
        waitCount(scene.ring, &accepted, index + 1);
        runIdle(scene.ring);
        ck_assert_int_eq(accepted, index + 1);
        ck_assert_int_eq(ResumeFastListener(listener), 0);
    }
    for (int index = 0; index < 20; index++)
        close(clients[index]);
}

/* §3.1 paused listener: paused and resumed at any moment, it loses no connection and makes none */
CASE_ROUNDS(listen, losesNothing, 3)
{
    int clients[30];

    listener = ListenFastSocket(
        scene.ring, round == 0 ? local : round == 1 ? "127.0.0.1:0"
                                                    : "unix:@losesNothing",
        0,
        takeAndClose, &accepted);
    ck_assert_ptr_nonnull(listener);
    for (int index = 0; index < 30; index++) {
        clients[index] = dialListener();
        ck_assert_int_ge(clients[index], 0);
        ck_assert_int_eq(PauseFastListener(listener), 0);
        runTurns(scene.ring, index % 3);
        ck_assert_int_eq(ResumeFastListener(listener), 0);
        runTurns(scene.ring, index % 2);
    }
    waitCount(scene.ring, &accepted, 30);
    runIdle(scene.ring);
    ck_assert_int_eq(accepted, 30);
    for (int index = 0; index < 30; index++)
        close(clients[index]);
}

/* §3.1 paused listener: is released as any other */
CASE(listen, isReleasedPaused)
{
    int client = 0;

    listenAt(local, 0);
    client = dial(local);
    ck_assert_int_eq(PauseFastListener(listener), 0);
    runIdle(scene.ring);
    ReleaseFastListener(listener);
    listener = NULL;
    runIdle(scene.ring);
    ck_assert_int_eq(accepted, 0);
    close(client);
}
