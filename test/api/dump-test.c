/* DumpFastRing: every object has its line, and the line of a socket says why it stalls. */
#include "services.h"

#include <fcntl.h>
#include <liburing.h>
#include <signal.h>

enum
{
    LINES = 256,
    WORDS = 128,
    VALUE = 512,
    MUCH = 8 << 20, /* more than the kernel has room for */
    HIGH = 1000,
};

SCENE_AREA(dump, "dump");

static char* text; /* of the last dump; LINES at most */
static char* lines[LINES];
static int count;

static void dump(struct FastRing* ring)
{
    size_t size = 0;

    free(text);
    text = NULL;
    FILE* stream = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(DumpFastRing(ring, stream), 0);
    ck_assert_int_eq(fclose(stream), 0);
    count = 0;
    for (char* line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        ck_assert_int_lt(count, LINES);
        lines[count++] = line;
    }
}

/* The line of a kind about an object; NULL: about any. */
static const char* find(const char* kind, const void* object)
{
    char head[128];

    if (object != NULL)
        snprintf(head, sizeof(head), "%s 0x%zx ", kind, (size_t)object);
    else
        snprintf(head, sizeof(head), "%s ", kind);
    for (int index = 0; index < count; index++)
        if (strncmp(lines[index], head, strlen(head)) == 0)
            return lines[index];
    return NULL;
}

/* The value of a key, as awk would find it. */
static const char* valueIn(const char* line, const char* key)
{
    static char value[VALUE];
    char pattern[128];

    ck_assert_ptr_nonnull(line);
    snprintf(pattern, sizeof(pattern), " %s ", key);
    const char* place = strstr(line, pattern);
    ck_assert_msg(place != NULL, "no %s in: %s", key, line);
    place += strlen(pattern);
    snprintf(value, sizeof(value), "%.*s", (int)strcspn(place, " "), place);
    return value;
}

static void expectIn(const char* line, const char* key, const char* wanted)
{
    const char* value = valueIn(line, key);
    ck_assert_msg(strcmp(value, wanted) == 0, "%s is %s, not %s: %s", key, value, wanted, line);
}

static long long numberIn(const char* line, const char* key)
{
    char* end = NULL;
    long long number = strtoll(valueIn(line, key), &end, 10);
    ck_assert_msg(*end == '\0', "%s is no number: %s", key, line);
    return number;
}

/* What our socket's line says. */
static void expectOurs(const char* key, const char* wanted)
{
    expectIn(find("socket", scene.ours.socket), key, wanted);
}

/* ---- the form ---- */

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event, (void)parameter, (void)closure;
}

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout, (void)closure;
}

static void onWatch(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch, (void)result, (void)closure;
}

static void onSignal(struct FastRingSignal* signal, int number, int code, int process, int value,
                     void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value, (void)closure;
}

static void onConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener, (void)closure;
    close(handle);
}

static void expectPairs(const char* line)
{
    int blanks = 0;
    char last = ' ';

    for (; *line != '\0'; last = *line++) {
        blanks += *line == ' ';
        ck_assert_msg(*line != ' ' || last != ' ', "two blanks: %s", line);
        ck_assert(*line > 0x1f && *line < 0x7f);
    }
    ck_assert_int_eq(blanks % 2, 1);
    ck_assert_int_ne(last, ' ');
}

/* §3.2 dump of a ring: engine, features, options, statistics */
CASE(dump, tellsOfTheRing)
{
    uint64_t limit = 0;

    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_TURN_LIMIT, 77), 0);
    ck_assert_int_eq(GetFastRingOption(scene.ring, FASTRING_OPTION_INBOUND_LIMIT, &limit), 0);
    dump(scene.ring);
    expectIn(find("ring", scene.ring), "state", "new");
    runTurns(scene.ring, 3);
    dump(scene.ring);
    const char* line = find("ring", scene.ring);
    expectIn(line, "engine", GetFastRingEngine(scene.ring));
    expectIn(line, "state", "running");
    expectIn(line, "in-turn", "no");
    expectIn(line, "pending", "0");
    line = find("features", scene.ring);
    ck_assert_int_eq(numberIn(line, "bits"), (long long)GetFastRingFeatures(scene.ring));
    ck_assert_ptr_nonnull(strstr(line, "RECEIVE_MULTISHOT"));
    int names = 1; /* each bit has one */
    for (const char* place = valueIn(line, "names"); *place != '\0'; place++)
        names += *place == ',';
    ck_assert_int_eq(names, __builtin_popcountll(GetFastRingFeatures(scene.ring)));
    line = find("options", scene.ring);
    ck_assert_int_eq(numberIn(line, "TURN_LIMIT"), 77);
    ck_assert_int_eq(numberIn(line, "INBOUND_LIMIT"), (long long)limit);
    line = find("statistics", scene.ring);
    ck_assert_int_eq(numberIn(line, "turns"), (long long)readRing(scene.ring).turns);
    ck_assert_int_eq(numberIn(line, "sockets"), 0);
    for (int index = 0; index < count; index++)
        expectPairs(lines[index]);
}

/* §3.2 dump of services: provider, pool, timeout, watch, event, signal, listener, descriptor */
CASE(dump, tellsOfServices)
{
    struct FastRingTimeout* timeout =
        SetFastRingTimeout(scene.ring, NULL, 100000, FASTRING_TIMEOUT_REPEAT, onTimeout, NULL);
    struct FastRingEvent* event = CreateFastRingEvent(scene.ring, onEvent, NULL);
    struct FastListener* listener =
        ListenFastSocket(scene.ring, "127.0.0.1:0", 0, onConnection, NULL);
    struct FastRingSignal* signal = AddFastRingSignal(scene.ring, SIGUSR2, onSignal, NULL);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
    int pipes[2];
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    struct FastRingWatch* watch =
        AddFastRingWatch(scene.ring, pipes[0], POLLIN, FASTRING_WATCH_ONCE, onWatch, NULL);
    ck_assert(timeout != NULL && event != NULL && listener != NULL && signal != NULL &&
              descriptor != NULL && watch != NULL);
    ck_assert_int_eq(PauseFastListener(listener), 0);
    runTurns(scene.ring, 2);
    dump(scene.ring);

    const char* line = find("provider", scene.provider);
    ck_assert_int_eq(numberIn(line, "group"), GetFastRingBufferGroup(scene.provider));
    ck_assert_int_eq(numberIn(line, "count"), 64);
    ck_assert_int_eq(numberIn(line, "length"), 4096);
    ck_assert_int_eq(numberIn(line, "starved"), 0);
    ck_assert_ptr_nonnull(find("pool", scene.inbound));
    line = find("pool", scene.outbound);
    ck_assert_int_eq(numberIn(line, "buffers"), 0);
    line = find("timeout", timeout);
    expectIn(line, "state", "set");
    expectIn(line, "repeat-ms", "100000");
    ck_assert_int_gt(numberIn(line, "due-ms"), 10000);
    line = find("event", event);
    expectIn(line, "submitted", "no");
    line = find("watch", watch);
    ck_assert_int_eq(numberIn(line, "handle"), pipes[0]);
    expectIn(line, "state", "waiting");
    expectIn(line, "mask", "POLLIN");
    expectIn(line, "reports", "once");
    line = find("signal", signal);
    ck_assert_int_eq(numberIn(line, "number"), SIGUSR2);
    line = find("listener", listener);
    ck_assert_int_eq(numberIn(line, "handle"), GetFastListenerHandle(listener));
    expectIn(line, "state", "paused");
    ck_assert_ptr_nonnull(strstr(line, " local 127.0.0.1:"));
    line = find("descriptor", descriptor);
    expectIn(line, "state", "idle");
    expectIn(line, "in-flight", "no");
    for (int index = 0; index < count; index++)
        expectPairs(lines[index]);

    RemoveFastRingTimeout(timeout);
    ReleaseFastRingEvent(event);
    ReleaseFastListener(listener);
    RemoveFastRingSignal(signal);
    ReleaseFastRingDescriptor(descriptor);
    RemoveFastRingWatch(watch);
    close(pipes[0]);
    close(pipes[1]);
}

/* ---- sockets ---- */

/* §3.2 dump of a socket: kind, both addresses, its state while nothing happens */
CASE(dump, tellsOfASocket)
{
    char address[FASTSOCKET_ADDRESS_SIZE];

    openPair(KIND_TCP);
    runTurns(scene.ring, 3);
    dump(scene.ring);
    expectOurs("kind", "stream");
    ck_assert_int_eq(numberIn(find("socket", scene.ours.socket), "handle"), scene.handle);
    ck_assert_int_eq(GetFastSocketAddress(scene.ours.socket, 0, address, sizeof(address)), 0);
    expectOurs("local", address);
    ck_assert_int_eq(GetFastSocketAddress(scene.ours.socket, 1, address, sizeof(address)), 0);
    expectOurs("peer", address);
    expectOurs("state", "open");
    expectOurs("receive", "waiting");
    expectOurs("send", "idle");
    expectOurs("input-ago-turns", "-");
    expectOurs("released", "no");
    ck_assert_int_ge(numberIn(find("socket", scene.ours.socket), "input-ago-ms"), 0);
    expectPairs(find("socket", scene.ours.socket));
    sendText(scene.peer, "input");
    waitInput(&scene.ours, 5);
    dump(scene.ring);
    expectOurs("input", "5");
    expectOurs("received", "5");
    ck_assert_int_ge(numberIn(find("socket", scene.ours.socket), "input-ago-turns"), 0);
}

CASE(dump, tellsOfEachKind)
{
    static const char* const kinds[KIND_COUNT] = {
        [KIND_TCP] = "stream",
        [KIND_TCP6] = "stream",
        [KIND_UDP] = "datagrams",
        [KIND_UDP6] = "datagrams",
        [KIND_UNIX_STREAM] = "stream",
        [KIND_UNIX_DATAGRAM] = "datagrams",
        [KIND_UNIX_SEQPACKET] = "records",
    };

    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        openPair(kind);
        runTurns(scene.ring, 2);
        dump(scene.ring);
        expectOurs("kind", kinds[kind]);
        expectOurs("state", "open");
        expectPairs(find("socket", scene.ours.socket));
        closePair();
    }
}

/* What is in a path does not part the words of a line. */
CASE(dump, hidesBlanks)
{
    char address[128];

    snprintf(address, sizeof(address), "unix:@two words %d\n", getpid());
    struct FastListener* listener = ListenFastSocket(scene.ring, address, 0, onConnection, NULL);
    ck_assert_ptr_nonnull(listener);
    dump(scene.ring);
    expectPairs(find("listener", listener));
    ck_assert_ptr_nonnull(strstr(find("listener", listener), " unix:@two\\x20words\\x20"));
    ReleaseFastListener(listener);
}

/* ---- why it does not receive ---- */

/* §3.2 dump of a stalled receive: paused, at the high mark, starved, ended, not connected */
CASE(dump, saysWhyNothingIsReceived)
{
    openPair(KIND_TCP);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    dump(scene.ring);
    expectOurs("receive", "paused");
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, HIGH);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    runTurns(scene.ring, 2);
    for (int part = 0; part < HIGH; part += 50)
        sendText(scene.peer, "01234567890123456789012345678901234567890123456789");
    waitInput(&scene.ours, HIGH);
    runTurns(scene.ring, 2);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    dump(scene.ring);
    expectOurs("receive", "paused,high-mark");
    ck_assert_int_ge(numberIn(find("socket", scene.ours.socket), "input"), HIGH);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    char data[2 * HIGH];
    while (ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0) > 0)
        continue;
    shutdown(scene.peer, SHUT_WR);
    waitHangup(&scene.ours);
    dump(scene.ring);
    expectOurs("receive", "ended");
    expectOurs("state", "half-closed");
    ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
    runTurns(scene.ring, 2);
    dump(scene.ring);
    expectOurs("state", "ended");
}

static struct io_uring_cqe kept;

static int keep(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor, (void)reason;
    if (completion != NULL)
        kept = *completion;
    return 0;
}

static bool isStarved(void* closure)
{
    dump(scene.ring);
    return strcmp(valueIn(find("socket", closure), "receive"), "starved") == 0;
}

/* The only buffer is one that an operation of the program's has filled, and that it keeps. */
CASE(dump, saysThatItStarves)
{
    int pair[2];

    reopenScene(.buffers = 1);
    pairStream(pair);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, keep, NULL);
    struct io_uring_sqe* submission = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv(submission, pair[0], NULL, 0, 0);
    PrepareFastRingBuffer(scene.provider, submission);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    sendText(pair[1], "kept");
    waitFor(scene.ring, isPositive, &kept.res);
    openPair(KIND_TCP);
    sendText(scene.peer, "late");
    waitFor(scene.ring, isStarved, scene.ours.socket);
    ck_assert_int_eq(numberIn(find("provider", scene.provider), "starved"), 1);
    ck_assert_int_eq(numberIn(find("provider", scene.provider), "available"), 0);
    ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, &kept, NULL, NULL), 0);
    waitInput(&scene.ours, 4);
    close(pair[0]);
    close(pair[1]);
}

/* ---- why it does not send ---- */

/* §3.2 dump of a stalled send: the kernel takes no more, or there is no connection */
CASE(dump, saysWhyNothingIsSent)
{
    openPair(KIND_TCP);
    transmitPattern(scene.ours.socket, MUCH, 0);
    dump(scene.ring);
    const char* line = find("socket", scene.ours.socket);
    ck_assert_int_gt(numberIn(line, "output"), 0);
    runIdle(scene.ring);
    dump(scene.ring);
    line = find("socket", scene.ours.socket);
    ck_assert_int_gt(numberIn(line, "output"), 0);
    ck_assert_int_gt(numberIn(line, "kernel-output"), 0);
    expectIn(line, "send", "in-flight");
    expectIn(find("ring", scene.ring), "pending", "1");
}

/* §3.2 dump of a connection that is sought: and what looks for it */
CASE(dump, saysThatItSeeks)
{
    struct Recorder recorder = {.lastHangup = -1};
    struct FastRing* ring = CreateFastRing(0);
    struct sockaddr_storage address;
    socklen_t length = 0;
    char peer[FASTSOCKET_ADDRESS_SIZE];
    int listener = listenTcp(&address, &length);

    ck_assert_int_eq(FormatFastAddress((struct sockaddr*)&address, length, peer, sizeof(peer)), 0);
    recorder.socket = ConnectFastSocket(ring, peer, 0, recordEvent, &recorder);
    ck_assert_ptr_nonnull(recorder.socket);
    dump(ring);
    ck_assert_ptr_nonnull(find("own-buffers", ring));
    const char* line = find("socket", recorder.socket);
    expectIn(line, "state", "seeking");
    expectIn(line, "handle", "-1");
    expectIn(line, "local", "-");
    expectIn(line, "receive", "connecting");
    expectPairs(line);
    line = find("connector", NULL);
    expectIn(line, "state", "connecting");
    expectIn(line, "addresses", "1");
    waitFor(ring, isWritable, &recorder);
    dump(ring);
    line = find("socket", recorder.socket);
    expectIn(line, "state", "open");
    expectIn(line, "peer", peer);
    ck_assert_ptr_null(find("connector", NULL));
    ReleaseFastSocket(recorder.socket);
    ReleaseFastRing(ring);
    close(listener);
}

/* §3.2 dump of a released socket: until it is closed */
CASE(dump, tellsOfReleased)
{
    openPair(KIND_TCP);
    runTurns(scene.ring, 2);
    transmitPattern(scene.ours.socket, MUCH, 0);
    struct FastSocket* socket = scene.ours.socket;
    ReleaseFastSocket(socket);
    scene.ours.socket = NULL;
    runTurns(scene.ring, 2);
    dump(scene.ring);
    expectIn(find("socket", socket), "state", "flushing");
    expectIn(find("socket", socket), "released", "yes");
    expectIn(find("socket", socket), "send", "in-flight");
}

/* ---- timeouts ---- */

/* §3.2 dump of timeouts: what they are set to, and how long each has run */
CASE(dump, tellsOfTimeouts)
{
    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_LINGER_TIMEOUT, 1234);
    runTurns(scene.ring, 2);
    dump(scene.ring);
    expectOurs("idle-timeout", "0");
    expectOurs("idle-ms", "-");
    expectOurs("linger-timeout", "1234");
    setOption(scene.ours.socket, FASTSOCKET_OPTION_IDLE_TIMEOUT, 3600000);
    dump(scene.ring);
    expectOurs("idle-timeout", "3600000");
    expectOurs("transmit-timeout", "0");
    ck_assert_int_ge(numberIn(find("socket", scene.ours.socket), "idle-ms"), 0);
}

/* ---- anywhere ---- */

static int dumps;

static void dumpInEvent(struct FastSocket* socket, int event, int parameter,
                        struct Recorder* recorder)
{
    (void)event, (void)parameter, (void)recorder;
    dump(scene.ring);
    expectIn(find("ring", scene.ring), "in-turn", "yes");
    ck_assert_ptr_nonnull(find("socket", socket));
    dumps++;
}

/* §3.2 dump anywhere: in callbacks, and while the ring ends */
CASE(dump, worksInCallbacks)
{
    scene.ours.then = dumpInEvent;
    openPair(KIND_TCP);
    sendText(scene.peer, "input");
    waitInput(&scene.ours, 5);
    ck_assert_int_ge(dumps, 2);
    dumps = 0;
    struct FastRing* ring = scene.ring;
    releaseParts();
    ReleaseFastRing(ring);
    ck_assert_int_eq(dumps, 1);
    expectIn(find("ring", ring), "state", "ending");
    scene.ring = NULL;
}

CASE(dump, goesIntoASocketsStream)
{
    char data[65536];

    openPair(KIND_TCP);
    FILE* stream = GetFastSocketStream(scene.ours.socket, 0);
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(DumpFastRing(scene.ring, stream), 0);
    waitDrained(&scene.ours);
    ck_assert_int_eq(fclose(stream), 0);
    ssize_t size = recv(scene.peer, data, sizeof(data) - 1, 0);
    ck_assert_int_gt(size, 0);
    data[size] = '\0';
    ck_assert_int_eq(strncmp(data, "ring 0x", 7), 0);
}

/* ---- refused ---- */

static void* dumpElsewhere(void* closure)
{
    ck_assert_int_eq(DumpFastRing(scene.ring, closure), -EPERM);
    return NULL;
}

static ssize_t writeNothing(void* closure, const char* data, size_t size)
{
    (void)closure, (void)data, (void)size;
    errno = 0;
    return 0;
}

/* §3.2 dump refused: NULL, another thread, what is gone, a stream that fails */
CASE(dump, isRefused)
{
    cookie_io_functions_t silent = {.write = writeNothing};

    ck_assert_int_eq(DumpFastRing(NULL, stderr), -EINVAL);
    ck_assert_int_eq(DumpFastRing(scene.ring, NULL), -EINVAL);
    runTurns(scene.ring, 1);
    (void)inThread(dumpElsewhere, stderr);
    FILE* full = fopen("/dev/full", "we");
    ck_assert_ptr_nonnull(full);
    ck_assert_int_eq(DumpFastRing(scene.ring, full), -ENOSPC);
    fclose(full);
    FILE* odd = fopencookie(NULL, "w", silent);
    ck_assert_int_eq(setvbuf(odd, NULL, _IONBF, 0), 0);
    ck_assert_int_eq(DumpFastRing(scene.ring, odd), -EIO);
    fclose(odd);
    struct FastRingEvent* event = CreateFastRingEvent(scene.ring, onEvent, NULL);
    struct FastRing* ring = scene.ring;
    endRing();
    ck_assert_int_eq(DumpFastRing(ring, stderr), -ECANCELED);
    ReleaseFastRingEvent(event);
}
