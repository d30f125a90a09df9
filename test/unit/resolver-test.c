/* Names of ConnectFastSocket: getaddrinfo is the case's own. */
#include "fixture.h"
#include "network.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <net/route.h>
#include <pthread.h>
#include <sys/wait.h>

#include "base/thread.h"

enum
{
    MOST = 8,
};

static struct FastRing* ring;
static struct Recorder ours;
static int descriptors;

/* What the wrapped getaddrinfo answers, and what it has seen. */
static struct
{
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool hangs;
    int result;
    struct sockaddr_storage names[MOST];
    int count;
    int asked;
    int inside;
    int mostInside;
    int lists; /* given and not freed */
    bool blocksSignals;
    bool isElsewhere;
    char host[64];
    char service[64];
    int type;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static pthread_t ringThread;

/* The linker makes these names. NOLINTBEGIN(bugprone-reserved-identifier): reserved for it. */
int __wrap_getaddrinfo(const char* host, const char* service, const struct addrinfo* hints,
                       struct addrinfo** list);
void __wrap_freeaddrinfo(struct addrinfo* list);
/* NOLINTEND(bugprone-reserved-identifier): no more of them. */

static void noteQuestion(const char* host, const char* service, const struct addrinfo* hints)
{
    sigset_t mask;

    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    names.blocksSignals = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGUSR1) == 1;
    names.isElsewhere = !pthread_equal(pthread_self(), ringThread);
    snprintf(names.host, sizeof(names.host), "%s", host != NULL ? host : "(none)");
    snprintf(names.service, sizeof(names.service), "%s", service);
    names.type = hints->ai_socktype;
    names.asked++;
    names.inside++;
    if (names.inside > names.mostInside)
        names.mostInside = names.inside;
    (void)pthread_cond_broadcast(&names.change);
}

static struct addrinfo* makeList(void)
{
    struct addrinfo* list = NULL;

    for (int index = names.count - 1; index >= 0; index--) {
        struct addrinfo* entry = calloc(1, sizeof(*entry) + sizeof(struct sockaddr_storage));
        entry->ai_family = names.names[index].ss_family;
        entry->ai_addr = (struct sockaddr*)(entry + 1);
        entry->ai_addrlen = entry->ai_family == AF_INET ? sizeof(struct sockaddr_in)
                                                        : sizeof(struct sockaddr_in6);
        memcpy(entry->ai_addr, &names.names[index], entry->ai_addrlen);
        entry->ai_next = list;
        list = entry;
    }
    return list;
}

int __wrap_getaddrinfo(const char* host, const char* service, const struct addrinfo* hints,
                       struct addrinfo** list)
{
    int result = 0;

    pthread_mutex_lock(&names.lock);
    noteQuestion(host, service, hints);
    while (names.hangs)
        (void)pthread_cond_wait(&names.change, &names.lock);
    names.inside--;
    result = names.result;
    *list = result == 0 ? makeList() : NULL;
    names.lists += *list != NULL;
    (void)pthread_cond_broadcast(&names.change);
    pthread_mutex_unlock(&names.lock);
    return result;
}

void __wrap_freeaddrinfo(struct addrinfo* list)
{
    pthread_mutex_lock(&names.lock);
    names.lists--;
    (void)pthread_cond_broadcast(&names.change);
    pthread_mutex_unlock(&names.lock);
    while (list != NULL) {
        struct addrinfo* next = list->ai_next;
        free(list);
        list = next;
    }
}

static struct Countdown threads;

FAILING_CALL(&threads, EAGAIN, int, pthread_create,
             (pthread_t * thread, const pthread_attr_t* attributes, void* (*function)(void*),
              void* closure),
             (thread, attributes, function, closure))

static void setHanging(bool hangs)
{
    pthread_mutex_lock(&names.lock);
    names.hangs = hangs;
    (void)pthread_cond_broadcast(&names.change);
    pthread_mutex_unlock(&names.lock);
}

/* Waits until so many are asked, altogether. */
static void waitAsked(int count)
{
    pthread_mutex_lock(&names.lock);
    while (names.asked < count)
        (void)pthread_cond_wait(&names.change, &names.lock);
    pthread_mutex_unlock(&names.lock);
}

/* And until all answers are freed, and nobody is asked any more. */
static void waitFreed(void)
{
    pthread_mutex_lock(&names.lock);
    while (names.inside > 0 || names.lists > 0)
        (void)pthread_cond_wait(&names.change, &names.lock);
    pthread_mutex_unlock(&names.lock);
}

static void openRing(void)
{
    descriptors = countDescriptors();
    ringThread = pthread_self();
    ring = CreateFastRing(64);
    ck_assert_ptr_nonnull(ring);
    memset(&ours, 0, sizeof(ours));
    ours.lastHangup = -1;
}

static void closeRing(void)
{
    ReleaseFastSocket(ours.socket);
    ReleaseFastRing(ring);
    setHanging(false);
    waitFreed();
    ck_assert_int_eq(countDescriptors(), descriptors);
}

AREA(resolver, "resolver", .open = openRing, .close = closeRing);

static void connectTo(const char* text)
{
    ours.socket = ConnectFastSocket(ring, text, 0, recordEvent, &ours);
    ck_assert_msg(ours.socket != NULL, "ConnectFastSocket: %s", strerror(errno));
}

static struct sockaddr_storage* addName(int family)
{
    struct sockaddr_storage* name = &names.names[names.count++];
    struct sockaddr_in* four = (struct sockaddr_in*)name;
    struct sockaddr_in6* six = (struct sockaddr_in6*)name;

    memset(name, 0, sizeof(*name));
    name->ss_family = (sa_family_t)family;
    if (family == AF_INET)
        four->sin_addr.s_addr = ownLoopback();
    else
        six->sin6_addr = in6addr_loopback;
    return name;
}

static socklen_t sizeOf(const struct sockaddr_storage* name)
{
    return name->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* One more address that a name has, where a socket listens with this backlog. */
static int addListener(int family, int backlog)
{
    struct sockaddr_storage* name = addName(family);
    socklen_t length = sizeOf(name);
    int handle = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(handle, (struct sockaddr*)name, length), 0);
    ck_assert_int_eq(listen(handle, backlog), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)name, &length), 0);
    return handle;
}

/* One where nobody listens. */
static void addClosed(int family)
{
    close(addListener(family, 1));
}

struct dead
{
    int handle;
    int clients[2];
};

/* One that answers nobody: its backlog is full. */
static struct dead addDead(int family)
{
    struct dead dead = {.handle = addListener(family, 0)};
    const struct sockaddr_storage* name = &names.names[names.count - 1];

    for (int index = 0; index < 2; index++) {
        dead.clients[index] = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(dead.clients[index], (const struct sockaddr*)name, sizeOf(name));
    }
    return dead;
}

static void closeDead(const struct dead* dead)
{
    close(dead->clients[0]);
    close(dead->clients[1]);
    close(dead->handle);
}

static void expectPeer(int family)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);

    waitFor(ring, isWritable, &ours);
    ck_assert_int_eq(
        getpeername(GetFastSocketHandle(ours.socket), (struct sockaddr*)&name, &length), 0);
    ck_assert_int_eq(name.ss_family, family);
    ck_assert_int_eq(ours.err, 0);
}

/* ---- answers ---- */

/* §3.1 resolver: asked on another thread, which hears of no signal */
CASE(resolver, asksElsewhere)
{
    int handle = addListener(AF_INET, 5);

    connectTo("some.host:some-service");
    expectPeer(AF_INET);
    ck_assert_str_eq(names.host, "some.host");
    ck_assert_str_eq(names.service, "some-service");
    ck_assert_int_eq(names.type, SOCK_STREAM);
    ck_assert(names.isElsewhere);
    ck_assert(names.blocksSignals);
    close(handle);
}

/* §3.1 resolver: what has no name asks nobody; a service of a numeric host asks for that */
CASE(resolver, asksForNamesAlone)
{
    int handle = addListener(AF_INET, 5);
    char text[FASTSOCKET_ADDRESS_SIZE];

    ck_assert_int_eq(FormatFastAddress((struct sockaddr*)&names.names[0],
                                       sizeof(struct sockaddr_in), text, sizeof(text)),
                     0);
    connectTo(text);
    expectPeer(AF_INET);
    ck_assert_int_eq(names.asked, 0);
    ReleaseFastSocket(ours.socket);
    ours.out = 0;
    connectTo("udp:[::1]:https");
    expectPeer(AF_INET);
    ck_assert_int_eq(names.asked, 1);
    ck_assert_str_eq(names.host, "::1");
    ck_assert_int_eq(names.type, SOCK_DGRAM);
    close(handle);
}

static void expectWords(int result, int error)
{
    names.result = result;
    memset(&ours, 0, sizeof(ours));
    ours.lastHangup = -1;
    connectTo("some.host:80");
    transmitText(ours.socket, "lost");
    waitHangup(&ours);
    expectFailure(&ours, error);
    ck_assert_str_eq(GetFastSocketErrorText(ours.socket), gai_strerror(result));
    ReleaseFastSocket(ours.socket);
    ours.socket = NULL;
}

/* §3.1 resolver failed: an errno for each failure, and its own words */
CASE(resolver, tellsOfFailures)
{
    expectWords(EAI_NONAME, ENOENT);
    expectWords(EAI_NODATA, ENOENT);
    expectWords(EAI_SERVICE, ENOENT);
    expectWords(EAI_AGAIN, EAGAIN);
    expectWords(EAI_FAIL, EHOSTUNREACH);
    expectWords(EAI_FAMILY, EAFNOSUPPORT);
    expectWords(EAI_MEMORY, ENOMEM);
}

/* §3.1 resolver failed: a name without any address */
CASE(resolver, tellsOfNothing)
{
    names.result = 0;
    names.count = 0;
    connectTo("some.host:80");
    waitHangup(&ours);
    expectFailure(&ours, EADDRNOTAVAIL);
}

/* §3.1 resolver failed: without a thread there is no socket */
CASE(resolver, needsAThread)
{
    failCall(&threads, 1);
    errno = 0;
    ck_assert_ptr_null(ConnectFastSocket(ring, "some.host:80", 0, recordEvent, &ours));
    ck_assert_int_eq(errno, EAGAIN);
    failNoCall(&threads);
    ck_assert_int_eq(names.asked, 0);
}

/* ---- several addresses ---- */

/* §3.1 addresses in turn: one that refuses starts the next at once */
CASE_ROUNDS(resolver, goesOnBehindRefusals, 3)
{
    int handle = -1;

    for (int index = 0; index < round + 1; index++)
        addClosed(AF_INET);
    handle = addListener(AF_INET, 5);
    connectTo("some.host:80");
    expectPeer(AF_INET);
    close(handle);
}

/* §3.1 addresses in turn: the last one's errno is told when all have failed */
CASE(resolver, tellsOfTheLast)
{
    addClosed(AF_INET);
    addClosed(AF_INET);
    connectTo("some.host:80");
    waitHangup(&ours);
    expectFailure(&ours, ECONNREFUSED);
    ck_assert_str_eq(GetFastSocketErrorText(ours.socket), strerrordesc_np(ECONNREFUSED));
}

/* §3.1 addresses in turn: IPv6 first, though it comes last */
CASE(resolver, beginsWithIpv6)
{
    int four = addListener(AF_INET, 5);
    int another = addListener(AF_INET, 5);
    int six = -1;

    if (!hasKind(KIND_TCP6)) {
        close(four);
        close(another);
        skipTest("there is no IPv6");
    }
    six = addListener(AF_INET6, 5);
    connectTo("some.host:80");
    expectPeer(AF_INET6);
    close(four);
    close(another);
    close(six);
}

/* §3.1 addresses in turn: beside one that doesn't answer the next is tried; families take turns */
CASE_ROUNDS(resolver, goesOnBesideTheDead, 2)
{
    int first = round == 0 && hasKind(KIND_TCP6) ? AF_INET6 : AF_INET;
    struct dead dead = addDead(first);
    int handle = addListener(AF_INET, 5);

    connectTo("some.host:80");
    transmitText(ours.socket, "there");
    expectPeer(AF_INET);
    waitDrained(&ours);
    runIdle(ring);
    ck_assert_int_eq(ours.out, 2); /* connected, and drained */
    closeDead(&dead);
    close(handle);
}

/* §3.1 addresses in turn: those that lose are closed */
CASE(resolver, closesTheOthers)
{
    struct dead dead = addDead(AF_INET);
    struct dead second = addDead(AF_INET);
    int handle = addListener(AF_INET, 5);
    int before = countDescriptors();

    connectTo("some.host:80");
    expectPeer(AF_INET);
    waitFreed();
    runIdle(ring);
    ck_assert_int_eq(countDescriptors(), before + 1);
    closeDead(&dead);
    closeDead(&second);
    close(handle);
}

/* §3.1 addresses in turn: any of them may be of a family that there isn't */
CASE(resolver, passesWhatCantBeOpened)
{
    int handle = -1;

    addName(AF_INET6)->ss_family = AF_MAX + 1;
    handle = addListener(AF_INET, 5);
    connectTo("some.host:80");
    expectPeer(AF_INET);
    close(handle);
}

/* A network of IPv6 whose packets go nowhere: they come back by the loopback, and are nobody's. */
static bool enterDesert(void)
{
    struct in6_rtmsg route = {.rtmsg_dst_len = 32, .rtmsg_metric = 1, .rtmsg_flags = RTF_UP};
    int handle = -1;
    bool added = false;

    if (!enterNetwork())
        return false;
    ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::", &route.rtmsg_dst), 1);
    route.rtmsg_ifindex = (int)if_nametoindex("lo");
    handle = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    added = handle >= 0 && ioctl(handle, SIOCADDRT, &route) == 0;
    close(handle);
    return added;
}

/* §3.1 addresses in turn: IPv6 leads nowhere, IPv4 works */
CASE(resolver, survivesDeadIpv6)
{
    int handle = -1;
    struct sockaddr_in6* six = NULL;

    if (!enterDesert())
        skipTest(NETWORK_SKIP);
    six = (struct sockaddr_in6*)addName(AF_INET6);
    ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::2", &six->sin6_addr), 1);
    six->sin6_port = htons(80);
    handle = addListener(AF_INET, 5);
    connectTo("some.host:80");
    expectPeer(AF_INET);
    close(handle);
}

/* §3.1 addresses in turn: none of them leads anywhere */
CASE(resolver, toldOfAnUnreachableNetwork)
{
    struct sockaddr_in* four = NULL;

    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    for (int index = 1; index < 4; index++) {
        four = (struct sockaddr_in*)addName(AF_INET);
        four->sin_addr.s_addr = htonl(0xc0000200 + (unsigned)index);
        four->sin_port = htons(80);
    }
    connectTo("some.host:80");
    waitHangup(&ours);
    expectFailure(&ours, ENETUNREACH);
}

/* ---- the end, while somebody is asked ---- */

/* §3.1 resolver hangs: a release, an abort and the ring's end don't wait for it */
CASE_ROUNDS(resolver, isLeftAlone, 4)
{
    int handle = addListener(AF_INET, 5);

    setHanging(true);
    connectTo("some.host:80");
    waitAsked(1);
    if (round == 1)
        transmitText(ours.socket, "lost");
    runTurns(ring, 2);
    if (round == 0)
        ReleaseFastSocket(ours.socket);
    else if (round == 1)
        AbortFastSocket(ours.socket);
    if (round < 2) {
        ours.socket = NULL;
        waitFor(ring, isNothingPending, ring);
    }
    if (round < 3) {
        ReleaseFastRing(ring);
        ring = NULL;
        ck_assert_int_eq(ours.lastHangup, round == 2 ? ECANCELED : -1);
    }
    ck_assert_int_eq(names.inside, 1);
    setHanging(false);
    if (round == 3)
        expectPeer(AF_INET);
    close(handle);
}

/* §3.1 resolver hangs: a release delivers what is queued when there is an answer at last */
CASE(resolver, deliversLate)
{
    int handle = addListener(AF_INET, 5);
    char data[8] = "";
    int peer = -1;

    setHanging(true);
    connectTo("some.host:80");
    transmitText(ours.socket, "late");
    waitAsked(1);
    ReleaseFastSocket(ours.socket);
    ours.socket = NULL;
    runTurns(ring, 3);
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    setHanging(false);
    ck_assert_int_eq(fcntl(handle, F_SETFL, O_NONBLOCK), 0);
    while ((peer = accept4(handle, NULL, NULL, SOCK_CLOEXEC)) < 0)
        (void)WaitForFastRing(ring, 10, NULL);
    while (recv(peer, data, sizeof(data), MSG_DONTWAIT) < 4)
        (void)WaitForFastRing(ring, 10, NULL);
    ck_assert_str_eq(data, "late");
    close(peer);
    waitFor(ring, isNothingPending, ring);
    close(handle);
}

/* §3.1 resolver: answers that come too late are freed; four are asked at once at most, and the
 * others in their turn */
CASE(resolver, isBounded)
{
    static struct Recorder many[20];
    int handle = addListener(AF_INET, 64);

    memset(many, 0, sizeof(many));
    setHanging(true);
    for (int index = 0; index < 20; index++) {
        many[index].socket = ConnectFastSocket(ring, "some.host:80", 0, recordEvent, &many[index]);
        ck_assert_ptr_nonnull(many[index].socket);
    }
    waitAsked(4);
    for (int index = 0; index < 20; index += 2) {
        AbortFastSocket(many[index].socket);
        many[index].socket = NULL;
    }
    runTurns(ring, 3);
    setHanging(false);
    for (int index = 1; index < 20; index += 2) {
        waitFor(ring, isWritable, &many[index]);
        ReleaseFastSocket(many[index].socket);
    }
    waitFreed();
    ck_assert_int_eq(names.mostInside, 4);
    ck_assert_int_le(names.asked, 14); /* nobody asks for what was given up in the line */
    close(handle);
}

static bool isAnswered(void* closure)
{
    (void)closure;
    pthread_mutex_lock(&names.lock);
    bool answered = names.asked > 0 && names.inside == 0;
    pthread_mutex_unlock(&names.lock);
    return answered;
}

/* §3.1 resolver: an answer that is on its way when the ring ends is freed */
CASE_ROUNDS(resolver, isFreedOnItsWay, 20)
{
    int handle = addListener(AF_INET, 5);

    connectTo("some.host:80");
    while (!isAnswered(NULL))
        sched_yield();
    if (round % 2 == 0) {
        AbortFastSocket(ours.socket);
        ours.socket = NULL;
    }
    ReleaseFastRing(ring);
    ring = NULL;
    waitFreed();
    ck_assert_int_eq(names.lists, 0);
    close(handle);
}

/* §3.1 resolver: a forked child has its own, whatever its parent was doing */
CASE(resolver, worksInForkedChildren)
{
#if defined(__SANITIZE_THREAD__)
    skipTest("the thread sanitizer allows no thread in a forked child of a process with any");
#else
    int handle = addListener(AF_INET, 5);
    int status = 0;
    pid_t child = 0;

    setHanging(true);
    for (int index = 0; index < 3; index++)
        AbortFastSocket(ConnectFastSocket(ring, "some.host:80", 0, NULL, NULL));
    connectTo("some.host:80");
    waitAsked(4); /* all threads that there may be */
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct Recorder mine = {0};
        struct FastRing* own = CreateFastRing(64);
        /* Those who wait at them are not there. */
        (void)pthread_mutex_init(&names.lock, NULL);
        (void)pthread_cond_init(&names.change, NULL);
        names.hangs = false;
        names.inside = 0;
        mine.socket = ConnectFastSocket(own, "some.host:80", 0, recordEvent, &mine);
        for (int turns = 0; mine.events == 0 && turns < 300; turns++)
            (void)WaitForFastRing(own, 100, NULL);
        _exit(mine.out == 1 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    setHanging(false);
    expectPeer(AF_INET);
    close(handle);
#endif
}

/* §3.1 resolver hangs: the process ends all the same */
CASE(resolver, doesNotKeepTheProcess)
{
    int status = 0;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct FastRing* own = CreateFastRing(64);
        setHanging(true);
        (void)ConnectFastSocket(own, "some.host:80", 0, NULL, NULL);
        waitAsked(1);
        exit(7);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 7);
}
