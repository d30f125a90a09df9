/* Check mode: what is wrong with a program ends it, with one line that says what. Each program is a
 * child of its own, since the environment is asked once. */
#define _GNU_SOURCE

#include "program.h"
#include "suite.h"

#include <malloc.h>

AREA(check, "check");

/* Another checker has been first: which calls it what it likes. */
static bool isSeen(const struct Result* result)
{
    return WIFEXITED(result->status) && WEXITSTATUS(result->status) != 0 &&
           strstr(result->text, "ERROR: AddressSanitizer") != NULL;
}

/* Some more words that are in the line are separated by «|». */
static void refuse(void (*program)(void), const char* words)
{
    char copy[SMALL * 4];
    char* rest = NULL;
    struct Result result = runProgram(program, "FASTSOCKET_CHECK", "1");

    if (isSeen(&result))
        return;
    ck_assert_msg(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT,
                  "status %x instead of: %s; it said: %s", (unsigned)result.status, words,
                  result.text);
    const char* end = strchr(result.text, '\n');
    ck_assert_msg(end != NULL && end[1] == '\0', "not a line: %s", result.text);
    ck_assert_int_eq(strncmp(result.text, "libfastsocket: check: ", 22), 0);
    (void)snprintf(copy, sizeof(copy), "%s", words);
    for (char* word = strtok_r(copy, "|", &rest); word != NULL; word = strtok_r(NULL, "|", &rest))
        ck_assert_msg(strstr(result.text, word) != NULL, "no «%s» in: %s", word, result.text);
}

static void allow(void (*program)(void), const char* mode)
{
    struct Result result = runProgram(program, "FASTSOCKET_CHECK", mode);

    ck_assert_msg(result.status == 0 && result.text[0] == '\0', "status %x: %s",
                  (unsigned)result.status, result.text);
}

static void ignoreWatch(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch, (void)result, (void)closure;
}

static struct FastRingWatch* makeWatch(void)
{
    int pair[2];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct FastRingWatch* watch = AddFastRingWatch(ring, pair[0], POLLIN, 0, ignoreWatch, NULL);
    need(watch != NULL);
    peer = pair[0];
    return watch;
}

static void ignoreRing(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event, (void)parameter, (void)closure;
}

static void ignoreSignal(struct FastRingSignal* received, int number, int code, int process,
                         int value, void* closure)
{
    (void)received, (void)number, (void)code, (void)process, (void)value, (void)closure;
}

static void ignoreConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener, (void)closure;
    if (handle >= 0)
        close(handle);
}

/* ---- released twice ---- */

static void releaseSocketTwice(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    ReleaseFastSocket(socket);
    ReleaseFastSocket(socket);
}

static void releaseClosedSocketTwice(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    ReleaseFastSocket(socket);
    close(peer);
    runUntilQuiet();
    AbortFastSocket(socket);
}

static void removeTimeoutTwice(void)
{
    makeRing();
    struct FastRingTimeout* timeout = makeTimeout(1000);
    RemoveFastRingTimeout(timeout);
    RemoveFastRingTimeout(timeout);
}

static void removeWatchTwice(void)
{
    makeRing();
    struct FastRingWatch* watch = makeWatch();
    RemoveFastRingWatch(watch);
    RemoveFastRingWatch(watch);
}

static void releaseEventTwice(void)
{
    makeRing();
    struct FastRingEvent* event = CreateFastRingEvent(ring, ignoreRing, NULL);
    ReleaseFastRingEvent(event);
    ReleaseFastRingEvent(event);
}

static void removeSignalTwice(void)
{
    makeRing();
    struct FastRingSignal* added = AddFastRingSignal(ring, SIGUSR1, ignoreSignal, NULL);
    RemoveFastRingSignal(added);
    RemoveFastRingSignal(added);
}

static void releaseListenerTwice(void)
{
    makeRing();
    struct FastListener* listener =
        ListenFastSocket(ring, "127.0.0.1:0", 0, ignoreConnection, NULL);
    need(listener != NULL);
    ReleaseFastListener(listener);
    ReleaseFastListener(listener);
}

static void releaseDescriptorTwice(void)
{
    makeRing();
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, NULL, NULL);
    ReleaseFastRingDescriptor(descriptor);
    ReleaseFastRingDescriptor(descriptor);
}

static void releaseBufferTwice(void)
{
    makeRing();
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    struct FastBuffer* buffer = AllocateFastBuffer(pool, SMALL, 0);
    ReleaseFastBuffer(buffer);
    ReleaseFastBuffer(buffer);
}

static void releaseBufferOfNoRingTwice(void)
{
    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    struct FastBuffer* buffer = AllocateFastBuffer(pool, LARGE, 0);
    ReleaseFastBuffer(buffer);
    ReleaseFastBuffer(buffer);
}

static void releaseWrappedBufferTwice(void)
{
    static char memory[SMALL];
    makeRing();
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    struct FastBuffer* buffer = WrapFastBuffer(pool, memory, sizeof(memory), NULL, NULL);
    ReleaseFastBuffer(buffer);
    ReleaseFastBuffer(buffer);
}

static void releaseSentBuffer(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    struct FastBuffer* buffer = AllocateFastBuffer(pool, SMALL, 0);
    need(TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, SMALL, 0) == 0);
    runUntilQuiet();
    ReleaseFastBuffer(buffer);
}

static void releasePoolTwice(void)
{
    makeRing();
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    ReleaseFastBufferPool(pool);
    ReleaseFastBufferPool(pool);
}

static void releaseProviderTwice(void)
{
    makeRing();
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    struct FastRingBufferProvider* provider =
        CreateFastRingBufferProvider(ring, 0, 2, SMALL, AllocateRingFastBuffer, pool);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
}

static void releaseRingTwice(void)
{
    makeRing();
    ReleaseFastRing(ring);
    ReleaseFastRing(ring);
}

/* §3.3 double release: of whatever can be released, and says by which calls */
CASE(check, refusesDoubleReleases)
{
    refuse(releaseSocketTwice, "double release: socket 0x|: ReleaseFastSocket, called from |"
                               "; released before by ReleaseFastSocket, called from |"
                               "; made by OpenFastSocket, called from |check-test+0x");
    refuse(releaseClosedSocketTwice, "double release: socket|: AbortFastSocket|"
                                     "released before by ReleaseFastSocket");
    refuse(removeTimeoutTwice, "double release: timeout|made by SetFastRingTimeout");
    refuse(removeWatchTwice, "double release: watch|made by AddFastRingWatch");
    refuse(releaseEventTwice, "double release: event");
    refuse(removeSignalTwice, "double release: signal");
    refuse(releaseListenerTwice, "double release: listener");
    refuse(releaseDescriptorTwice, "double release: descriptor");
    refuse(releasePoolTwice, "double release: pool");
    refuse(releaseProviderTwice, "double release: provider");
    refuse(releaseRingTwice, "double release: ring|released before by ReleaseFastRing");
}

/* §3.3 double release: a buffer's, also of one that was handed over */
CASE(check, refusesDoubleReleasesOfBuffers)
{
    refuse(releaseBufferTwice, "double release: buffer 0x|check-test+0x");
    refuse(releaseBufferOfNoRingTwice, "double release: buffer 0x");
    refuse(releaseWrappedBufferTwice, "double release: buffer 0x");
    refuse(releaseSentBuffer, "double release: buffer 0x|released before by ");
}

/* ---- used after that ---- */

static void useSocket(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    ReleaseFastSocket(socket);
    (void)GetFastSocketInboundLength(socket);
}

static void transmitOnSocket(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    ReleaseFastSocket(socket);
    close(peer);
    runUntilQuiet();
    (void)TransmitFastSocketData(socket, NULL, 0, "x", 1, 0);
}

static void setFiredTimeout(void)
{
    makeRing();
    struct FastRingTimeout* timeout = makeTimeout(0);
    for (int turn = 0; turn < 2; turn++)
        need(WaitForFastRing(ring, 1, NULL) == 0);
    (void)SetFastRingTimeout(ring, timeout, 1, 0, NULL, NULL);
}

static void updateWatch(void)
{
    makeRing();
    struct FastRingWatch* watch = makeWatch();
    RemoveFastRingWatch(watch);
    (void)UpdateFastRingWatch(watch, POLLOUT);
}

static void submitEvent(void)
{
    makeRing();
    struct FastRingEvent* event = CreateFastRingEvent(ring, ignoreRing, NULL);
    ReleaseFastRingEvent(event);
    (void)SubmitFastRingEvent(event, 1);
}

static void submitDescriptor(void)
{
    makeRing();
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, NULL, NULL);
    ReleaseFastRingDescriptor(descriptor);
    (void)SubmitFastRingDescriptor(descriptor);
}

static void readBuffer(void)
{
    makeRing();
    struct FastBuffer* buffer = AllocateFastBuffer(CreateFastBufferPool(ring), SMALL, 0);
    ReleaseFastBuffer(buffer);
    (void)GetFastBufferData(buffer);
}

static void sendBuffer(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    struct FastBuffer* buffer = AllocateFastBuffer(CreateFastBufferPool(ring), SMALL, 0);
    ReleaseFastBuffer(buffer);
    (void)TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, SMALL, 0);
}

static void allocateOfPool(void)
{
    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    ReleaseFastBufferPool(pool);
    (void)AllocateFastBuffer(pool, SMALL, 0);
}

static void useRing(void)
{
    struct FastRingStatistics statistics;
    makeRing();
    ReleaseFastRing(ring);
    (void)GetFastRingStatistics(ring, &statistics, sizeof(statistics));
}

/* §3.3 use after release: by any call that looks at the state of what it is given */
CASE(check, refusesUses)
{
    refuse(useSocket, "use after release: socket|GetFastSocketInboundLength|"
                      "released before by ReleaseFastSocket");
    refuse(transmitOnSocket, "use after release: socket|released before by ReleaseFastSocket");
    refuse(setFiredTimeout, "use after release: timeout|: SetFastRingTimeout|"
                            "released before by WaitForFastRing");
    refuse(updateWatch, "use after release: watch|released before by RemoveFastRingWatch");
    refuse(submitEvent, "use after release: event|released before by ReleaseFastRingEvent");
    refuse(submitDescriptor, "use after release: descriptor");
    refuse(readBuffer, "use after release: buffer");
    refuse(sendBuffer, "use after release: buffer|released before by");
    refuse(allocateOfPool, "use after release: pool|AllocateFastBuffer");
    refuse(useRing, "use after release: ring|released before by ReleaseFastRing");
}

/* ---- in other threads ---- */

static void* releaseSocket(void* socket)
{
    ReleaseFastSocket(socket);
    return NULL;
}

static void* removeTimeout(void* timeout)
{
    RemoveFastRingTimeout(timeout);
    return NULL;
}

static void* releaseRing(void* object)
{
    ReleaseFastRing(object);
    return NULL;
}

static void* releaseBuffer(void* buffer)
{
    ReleaseFastBuffer(buffer);
    return NULL;
}

static void elsewhere(void* (*function)(void*), void* object)
{
    pthread_t thread;
    need(pthread_create(&thread, NULL, function, object) == 0 && pthread_join(thread, NULL) == 0);
}

static void releaseSocketElsewhere(void)
{
    makeRing();
    elsewhere(releaseSocket, makeSocket());
}

static void removeTimeoutElsewhere(void)
{
    makeRing();
    elsewhere(removeTimeout, makeTimeout(1000));
}

static void releaseRingElsewhere(void)
{
    makeRing();
    elsewhere(releaseRing, ring);
}

static void releaseBufferElsewhere(void)
{
    makeRing();
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    elsewhere(releaseBuffer, AllocateFastBuffer(pool, SMALL, 0));
    ReleaseFastBufferPool(pool);
    ReleaseFastRing(ring);
}

static void releaseInAChild(void)
{
    int status;
    makeRing();
    struct FastSocket* socket = makeSocket();
    pid_t child = fork();
    if (child == 0) {
        ReleaseFastSocket(socket);
        ReleaseFastRing(ring);
        _exit(0);
    }
    need(waitpid(child, &status, 0) == child && status == 0);
    ReleaseFastSocket(socket);
    ReleaseFastRing(ring);
}

/* §3.3 release from another thread: is refused where it does nothing, but for forked children */
CASE(check, refusesOtherThreads)
{
    refuse(releaseSocketElsewhere, "release from another thread: socket|ReleaseFastSocket");
    refuse(removeTimeoutElsewhere, "release from another thread: timeout");
    refuse(releaseRingElsewhere, "release from another thread: ring");
    allow(releaseBufferElsewhere, "1");
    allow(releaseInAChild, "1");
}

/* ---- descriptors ---- */

static void closeOfSocket(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    close(GetFastSocketHandle(socket));
    ReleaseFastSocket(socket);
}

static void replaceOfSocket(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    int handle = GetFastSocketHandle(socket);
    ReleaseFastSocket(socket);
    need(dup2(peer, handle) == handle);
    close(peer);
    AbortFastSocket(makeSocket());
    for (int turn = 0; turn < MANY && GetFastRingPending(ring) > 0; turn++)
        need(WaitForFastRing(ring, 10, NULL) == 0);
}

static void closeOfWatch(void)
{
    makeRing();
    struct FastRingWatch* watch = makeWatch();
    close(GetFastRingWatchHandle(watch));
    RemoveFastRingWatch(watch);
}

static void closeOfListener(void)
{
    makeRing();
    struct FastListener* listener =
        ListenFastSocket(ring, "127.0.0.1:0", 0, ignoreConnection, NULL);
    close(GetFastListenerHandle(listener));
    ReleaseFastListener(listener);
}

/* §3.3 descriptor closed by somebody else: is found at the release, or the library's own close */
CASE(check, refusesClosedDescriptors)
{
    refuse(closeOfSocket, "descriptor closed by somebody else: socket|, descriptor |"
                          "ReleaseFastSocket");
    refuse(replaceOfSocket, "and another file's now: socket|WaitForFastRing");
    refuse(closeOfWatch, "descriptor closed by somebody else: watch|RemoveFastRingWatch");
    refuse(closeOfListener, "descriptor closed by somebody else: listener|ReleaseFastListener");
}

/* ---- left when the ring ends ---- */

static void leaveSockets(void)
{
    makeRing();
    (void)makeSocket();
    (void)makeSocket();
    ReleaseFastRing(ring);
}

static void leaveListener(void)
{
    makeRing();
    (void)ListenFastSocket(ring, "127.0.0.1:0", 0, ignoreConnection, NULL);
    ReleaseFastRing(ring);
}

static void leaveTimeout(void)
{
    makeRing();
    (void)makeTimeout(1000);
    ReleaseFastRing(ring);
}

static void leaveBuffer(void)
{
    makeRing();
    (void)AllocateFastBuffer(CreateFastBufferPool(ring), SMALL, 0);
    ReleaseFastRing(ring);
}

static void leaveReceivedBuffer(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    need(write(peer, "x", 1) == 1);
    while (GetFastSocketInboundLength(socket) == 0)
        need(WaitForFastRing(ring, 1000, NULL) == 0);
    need(ReceiveFastSocketBuffer(socket) != NULL);
    ReleaseFastSocket(socket);
    ReleaseFastRing(ring);
}

/* §3.3 sockets left: with their number, and who made one */
CASE(check, refusesSocketsThatAreLeft)
{
    refuse(leaveSockets, "left when the ring ends: 2 sockets|ReleaseFastRing|"
                         "made by OpenFastSocket");
    refuse(leaveListener, "left when the ring ends: 1 listener|made by ListenFastSocket");
}

/* §3.3 timeouts left: likewise */
CASE(check, refusesTimeoutsThatAreLeft)
{
    refuse(leaveTimeout, "left when the ring ends: 1 timeout|made by SetFastRingTimeout");
}

/* §3.3 buffers left: likewise, of the program's own and of what it has received */
CASE(check, refusesBuffersThatAreLeft)
{
    refuse(leaveBuffer, "left when the ring ends: 1 buffer|made by AllocateFastBuffer");
    refuse(leaveReceivedBuffer, "left when the ring ends: 1 buffer");
}

/* ---- written to ---- */

static void writeToBuffer(void)
{
    makeRing();
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    struct FastBuffer* buffer = AllocateFastBuffer(pool, SMALL, 0);
    uint8_t* data = GetFastBufferData(buffer);
    ReleaseFastBuffer(buffer);
    data[SMALL / 2]++;
    ReleaseFastBufferPool(pool);
    ReleaseFastRing(ring);
}

static void writeToBufferLongAgo(void)
{
    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    struct FastBuffer* buffer = AllocateFastBuffer(pool, SMALL, 0);
    uint8_t* data = GetFastBufferData(buffer);
    ReleaseFastBuffer(buffer);
    data[0] = 0;
    for (int count = 0; count < MANY; count++)
        ReleaseFastBuffer(AllocateFastBuffer(pool, SMALL, 0));
}

/* §3.3 written to after release: is found when a ring ends, or the memory leaves the quarantine */
CASE(check, refusesWritesToReleasedMemory)
{
    refuse(writeToBuffer, "written to after release: buffer|released before by");
    refuse(writeToBufferLongAgo, "written to after release: buffer|released before by");
}

/* ---- what is right ---- */

static void echo(struct FastSocket* socket, int event, int parameter)
{
    struct FastBuffer* buffer;
    (void)parameter;
    while (event == POLLIN && (buffer = ReceiveFastSocketBuffer(socket)) != NULL)
        need(TransmitFastSocketBuffer(socket, NULL, 0, buffer, 0, GetFastBufferLength(buffer),
                                      0) == 0);
}

static void behave(void)
{
    char text[LINE] = "";
    makeRing();
    struct FastSocket* socket = makeSocket();
    need(SetFastSocketHandler(socket, echo, NULL) == 0);
    for (int round = 0; round < SMALL; round++) {
        ssize_t count = 0;
        need(write(peer, text, LINE) == LINE);
        while (count < LINE) {
            need(WaitForFastRing(ring, 1000, NULL) == 0);
            ssize_t more = recv(peer, text, sizeof(text), MSG_DONTWAIT);
            count += more > 0 ? more : 0;
        }
        RemoveFastRingTimeout(makeTimeout(1000));
    }
    ReleaseFastSocket(socket);
    close(peer);
    runUntilQuiet();
    ReleaseFastRing(ring);
}

/* What a quarantine without a bound would keep, some times over. */
static void releaseMuch(void)
{
    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    for (int count = 0; count < SMALL; count++)
        ReleaseFastBuffer(AllocateFastBuffer(pool, LARGE, 0));
    need(mallinfo2().uordblks < 20u << 20);
    makeRing();
    for (int count = 0; count < MANY; count++)
        RemoveFastRingTimeout(makeTimeout(1000));
    need(mallinfo2().uordblks < 20u << 20);
}

static struct FastSocket* leftSocket;
static struct FastRingTimeout* leftTimeout;

static void* leaveAndExit(void* unused)
{
    makeRing();
    leftSocket = makeSocket();
    leftTimeout = makeTimeout(1000);
    return unused;
}

/* Before the ring no other thread could have released them. */
static void releaseForAThreadThatExited(void)
{
    elsewhere(leaveAndExit, NULL);
    ReleaseFastRing(ring);
    RemoveFastRingTimeout(leftTimeout);
    ReleaseFastSocket(leftSocket);
}

/* §3.3 quarantine: a program that does right hears nothing, and what is kept has a bound */
CASE(check, acceptsWhatIsRight)
{
    allow(behave, "1");
    allow(releaseForAThreadThatExited, "1");
    allow(releaseMuch, "1");
}

static void doWrong(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    (void)makeTimeout(1000);
    ReleaseFastSocket(socket);
    ReleaseFastSocket(socket);
    (void)GetFastSocketInboundLength(socket);
    elsewhere(releaseSocket, socket);
    ReleaseFastRing(ring);
}

/* §3.3 check mode off: nothing is refused */
CASE(check, refusesNothingUnasked)
{
    allow(doWrong, NULL);
    allow(doWrong, "");
    allow(doWrong, "0");
}
