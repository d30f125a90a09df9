/* Back-pressure and shortage: the marks, the ring's limit, pauses, and providers that are too small.
 * Whether the loop spins is seen by counting turns and completions, not by clocks. */
#include "fixture.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void reopen(uint16_t buffers, uint32_t length)
{
    fixtureClose(&fixture);
    fixtureOpen(&fixture, 0, buffers, length);
}

static void openKind(enum Kind kind)
{
    pairKind(kind, pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
}

static void release(void)
{
    ReleaseFastSocket(recorder.socket);
    if (pair[1] >= 0)
        close(pair[1]);
}

/* Sends as much as the peer takes, while the ring runs; returns the bytes. */
static uint64_t stuff(int handle, uint64_t position, uint64_t most)
{
    static uint8_t data[65536];
    uint64_t sent = 0;
    int refused = 0;

    while ((sent < most) && (refused < 20)) {
        size_t size = (most - sent < sizeof(data)) ? (size_t)(most - sent) : sizeof(data);
        ssize_t result = 0;
        fillPattern(data, size, position + sent);
        result = send(handle, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            runTurns(fixture.ring, 5);
            refused++;
            continue;
        }
        refused = 0;
        sent += (uint64_t)result;
    }
    runIdle(fixture.ring);
    return sent;
}

/* Takes all that is queued; returns the new position. */
static uint64_t takeAll(struct Recorder* from, uint64_t position)
{
    static uint8_t data[65536];
    ssize_t size = 0;

    while ((size = ReceiveFastSocketData(from->socket, data, sizeof(data), 0)) > 0) {
        ck_assert(checkPattern(data, (size_t)size, position));
        position += (uint64_t)size;
    }
    ck_assert_int_eq(size, 0);
    return position;
}

/* §2.3 back-pressure: at the high mark receiving stops, soon after; below the low one it goes
 * on, no loss */
START_TEST(stopsAtHighMark)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        uint64_t total = 4000000;
        uint64_t sent = 0;
        uint64_t taken = 0;
        uint64_t most = 0;
        int pieces = 0;
        openKind(kinds[index]);
        setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 100000);
        setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_LOW, 20000);
        while (taken < total) {
            if (typeKind(kinds[index]) == SOCK_STREAM) {
                sent += stuff(pair[1], sent, total - sent);
            } else {
                static uint8_t record[2000];
                int refused = 0;
                while ((sent < total) && (refused < 10)) {
                    fillPattern(record, sizeof(record), sent);
                    if (send(pair[1], record, sizeof(record), MSG_DONTWAIT) < 0) {
                        refused++;
                        runTurns(fixture.ring, 5);
                    } else {
                        sent += sizeof(record);
                    }
                }
                runIdle(fixture.ring);
            }
            if (GetFastSocketInboundLength(recorder.socket) > most)
                most = GetFastSocketInboundLength(recorder.socket);
            taken = takeAll(&recorder, taken);
            ck_assert_int_lt(++pieces, 10000);
        }
        /* One batch may pass the mark: what one turn takes from the kernel. */
        ck_assert_uint_ge(most, 100000);
        ck_assert_uint_le(most, 100000 + 64 * 4096);
        ck_assert_uint_ge(readSocket(recorder.socket).receivePauses, 1);
        ck_assert_uint_eq(readSocket(recorder.socket).receivedBytes, total);
        release();
    }
}
END_TEST

/* §2.3 back-pressure: nobody reads, so memory stays under the high mark plus one batch, and the
 * loop rests */
START_TEST(boundsMemoryWhenNobodyReads)
{
    struct FastRingStatistics before;
    struct FastRingStatistics after;
    const uint64_t high = 1 << 20; /* the default */
    const uint64_t batch = 256 * 1024 + 64 * 4096;
    uint64_t sent = 0;

    openKind(KIND_TCP);
    runIdle(fixture.ring);
    before = readRing(fixture.ring);
    sent = stuff(pair[1], 0, (uint64_t)64 << 20);
    ck_assert_uint_lt(sent, (uint64_t)64 << 20);
    after = readRing(fixture.ring);
    ck_assert_uint_ge(GetFastSocketInboundLength(recorder.socket), high);
    ck_assert_uint_le(GetFastSocketInboundLength(recorder.socket), high + batch);
    ck_assert_uint_le(after.inboundLength, high + batch);
    /* Buffers are longer than what they hold, and the pool keeps some in reserve. */
    ck_assert_uint_le(after.bufferBytes - before.bufferBytes, 4 * (high + batch));
    for (int turn = 0; turn < 30; turn++) {
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 5, NULL), 0);
        (void)send(pair[1], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    ck_assert_uint_le(readRing(fixture.ring).completions - after.completions, 30);
    ck_assert_uint_le(readRing(fixture.ring).inboundLength, high + batch);
    ck_assert_int_eq(recorder.err + recorder.hup, 0);
    AbortFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.3 MSG_WAITALL: between the marks, who waits for all does not read before, so receiving
 * goes on */
START_TEST(satisfiesWaitAllBetweenMarks)
{
    static uint8_t frame[60000];
    uint64_t sent = 0;
    uint64_t taken = 0;
    const uint64_t total = 10 * sizeof(frame);

    openKind(KIND_TCP);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 100000);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_LOW, 20000);
    sent = stuff(pair[1], 0, total);
    ck_assert_uint_ge(GetFastSocketInboundLength(recorder.socket), 100000);
    for (int round = 0; taken < total; round++) {
        ssize_t size = ReceiveFastSocketData(recorder.socket, frame, sizeof(frame), MSG_WAITALL);
        if (size > 0) {
            ck_assert_int_eq(size, sizeof(frame));
            ck_assert(checkPattern(frame, sizeof(frame), taken));
            taken += sizeof(frame);
        } else {
            ck_assert_int_eq(size, 0);
            if (sent < total)
                sent += stuff(pair[1], sent, total - sent);
            runIdle(fixture.ring);
        }
        ck_assert_int_lt(round, 10000);
    }
    release();
}
END_TEST

/* … and at the ring's limit, as long as there is room below it */
START_TEST(satisfiesWaitAllBelowLimit)
{
    static uint8_t data[90000];

    ck_assert_int_eq(SetFastRingOption(fixture.ring, FASTRING_OPTION_INBOUND_LIMIT, 100000), 0);
    openKind(KIND_UNIX_STREAM);
    (void)stuff(pair[1], 0, 300000);
    ck_assert_uint_ge(GetFastSocketInboundLength(recorder.socket), 100000);
    while (GetFastSocketInboundLength(recorder.socket) > 80000)
        ck_assert_int_gt(ReceiveFastSocketData(recorder.socket, data, 1000, 0), 0);
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, data, sizeof(data), MSG_WAITALL), 0);
    waitInput(&recorder, sizeof(data));
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, data, sizeof(data), MSG_WAITALL), sizeof(data));
    AbortFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* a raised mark, of the socket or the ring, restarts what had stopped */
START_TEST(goesOnWhenMarksAreRaised)
{
    const uint64_t total = 8000000; /* far more than one receive can bring */
    uint64_t sent = 0;
    size_t held = 0;

    openKind(KIND_UNIX_STREAM);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 50000);
    sent = stuff(pair[1], 0, total);
    held = GetFastSocketInboundLength(recorder.socket);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, held + 10000);
    waitInput(&recorder, held + 1);

    held = GetFastSocketInboundLength(recorder.socket);
    ck_assert_int_eq(SetFastRingOption(fixture.ring, FASTRING_OPTION_INBOUND_LIMIT, held), 0);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, total);
    sent += stuff(pair[1], sent, total - sent);
    ck_assert_uint_lt(sent, total);
    held = GetFastSocketInboundLength(recorder.socket);
    ck_assert_int_eq(SetFastRingOption(fixture.ring, FASTRING_OPTION_INBOUND_LIMIT, held + held / 10),
                     0);
    waitInput(&recorder, held + 1);
    AbortFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* nobody reads the smallest datagrams, which hold far more memory than bytes */
START_TEST(boundsMemoryOfTinyDatagrams)
{
    const uint64_t high = 1 << 20; /* the default */
    const uint64_t batch = 256 * 1024 + 64 * 4096;
    struct FastRingStatistics before;

    openKind(KIND_UDP);
    runIdle(fixture.ring);
    before = readRing(fixture.ring);
    for (int round = 0; round < 20000; round++) {
        (void)send(pair[1], "x", 1, MSG_DONTWAIT);
        if (round % 16 == 0)
            runTurns(fixture.ring, 1);
    }
    runIdle(fixture.ring);
    ck_assert_uint_ge(readSocket(recorder.socket).receivePauses, 1);
    ck_assert_uint_ge(readRing(fixture.ring).bufferBytes - before.bufferBytes, high / 2);
    ck_assert_uint_le(readRing(fixture.ring).bufferBytes - before.bufferBytes, high + batch);
    release();
}
END_TEST

/* nobody reads datagrams: the same, and the kernel drops */
START_TEST(boundsMemoryOfDatagrams)
{
    static char data[1000];

    openKind(KIND_UDP);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 50000);
    runIdle(fixture.ring);
    for (int round = 0; round < 5000; round++) {
        (void)send(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (round % 16 == 0)
            runTurns(fixture.ring, 1);
    }
    runIdle(fixture.ring);
    ck_assert_uint_ge(GetFastSocketInboundLength(recorder.socket), 50000);
    ck_assert_uint_le(GetFastSocketInboundLength(recorder.socket), 50000 + 64 * 4096);
    while (ReceiveFastSocketData(recorder.socket, data, sizeof(data), 0) > 0)
        ;
    runIdle(fixture.ring);
    while (GetFastSocketInboundLength(recorder.socket) > 0) {
        while (ReceiveFastSocketData(recorder.socket, data, sizeof(data), 0) > 0)
            ;
        runIdle(fixture.ring);
    }
    sendText(pair[1], "alive");
    receiveText(&recorder, "alive");
    release();
}
END_TEST

/* §2.1 user pause, §2.3 back-pressure: the automatic pause is not the user's: ResumeFastSocket
 * clears only the latter, and does not let more in */
START_TEST(keepsPausesApart)
{
    size_t held = 0;

    openKind(KIND_TCP);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 10000);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_LOW, 5000);
    (void)stuff(pair[1], 0, 8000000);
    held = GetFastSocketInboundLength(recorder.socket);
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    runIdle(fixture.ring);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), held);

    /* The user's pause holds although the queue is empty. */
    ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
    (void)takeAll(&recorder, 0);
    runIdle(fixture.ring);
    held = GetFastSocketInboundLength(recorder.socket);
    runIdle(fixture.ring);
    ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), held);
    ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
    waitInput(&recorder, 1000);
    AbortFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.1 data and RST together: a reset behind much input comes after it: the kernel doesn't tell
 * a receive that is in flight when the reset came before the receive had reached the end of the
 * input */
START_TEST(tellsResetBehindInput)
{
    reopen(256, 16384);
    for (uint64_t much = 300000; much < 2000000; much += 100000) {
        uint64_t taken = 0;
        uint64_t sent = 0;
        int waiting = 0;
        openKind(KIND_TCP);
        setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, (uint64_t)64 << 20);
        /* The kernel's buffer grows with what goes through it. */
        while (sent < 3000000) {
            sent += stuff(pair[1], sent, 3000000 - sent);
            taken = takeAll(&recorder, taken);
        }
        ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
        runIdle(fixture.ring);
        sent += stuff(pair[1], sent, much);
        ck_assert_int_eq(ioctl(pair[0], FIONREAD, &waiting), 0);
        closeReset(pair[1]);
        pair[1] = -1;
        ck_assert_int_eq(ResumeFastSocket(recorder.socket), 0);
        waitHangup(&recorder);
        ck_assert_int_eq(recorder.lastError, ECONNRESET);
        ck_assert_int_eq(recorder.lastHangup, ECONNRESET);
        ck_assert_uint_ge(GetFastSocketInboundLength(recorder.socket), (uint64_t)waiting);
        release();
    }
}
END_TEST

/* §2.3 back-pressure: the end behind a full queue comes when there is room again */
START_TEST(tellsEndBehindHighMark)
{
    uint64_t sent = 0;
    uint64_t taken = 0;

    openKind(KIND_TCP);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 10000);
    sent = stuff(pair[1], 0, 1000000);
    close(pair[1]);
    pair[1] = -1;
    runIdle(fixture.ring);
    while (recorder.hup == 0) {
        taken = takeAll(&recorder, taken);
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 100, NULL), 0);
    }
    taken = takeAll(&recorder, taken);
    ck_assert_uint_eq(taken, sent);
    ck_assert_int_eq(recorder.lastHangup, 0);
    release();
}
END_TEST

/* raising the high mark lets a stopped socket go on */
START_TEST(goesOnWhenMarkRises)
{
    size_t held = 0;

    openKind(KIND_TCP);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 10000);
    (void)stuff(pair[1], 0, 3000000);
    held = GetFastSocketInboundLength(recorder.socket);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 1000000);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_LOW, 900000);
    waitInput(&recorder, held + 1);
    AbortFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

enum
{
    SOCKETS = 20,
};

/* the ring's limit and a provider of two buffers at once, with pauses: nobody waits for ever */
/* As much as the kernel takes, without a turn of the ring. */
static uint64_t sendSome(int handle, uint64_t position, uint64_t end)
{
    static uint8_t data[16384];
    uint64_t start = position;

    while (position < end) {
        size_t size = end - position < sizeof(data) ? (size_t)(end - position) : sizeof(data);
        fillPattern(data, size, position);
        ssize_t result = send(handle, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result <= 0)
            break;
        position += (uint64_t)result;
    }
    return position - start;
}

static void playScarcity(unsigned seed)
{
    struct Recorder recorders[SOCKETS] = {{0}};
    uint64_t taken[SOCKETS] = {0};
    uint64_t sent[SOCKETS] = {0};
    struct Fixture scarce = fixture;
    int peers[SOCKETS];
    const uint64_t total = 100000;
    bool all = false;

    ck_assert_int_eq(SetFastRingOption(fixture.ring, FASTRING_OPTION_INBOUND_LIMIT, 40000), 0);
    scarce.provider = CreateFastRingBufferProvider(fixture.ring, 0, 2, 4096, AllocateRingFastBuffer,
                                                   fixture.inbound);
    ck_assert_ptr_nonnull(scarce.provider);
    for (int index = 0; index < SOCKETS; index++) {
        pairStream(pair);
        peers[index] = pair[1];
        openRecorded(&scarce, pair[0], NULL, 0, &recorders[index]);
    }
    for (int step = 0; step < 3000; step++) {
        int index = rand_r(&seed) % SOCKETS;
        switch (rand_r(&seed) % 8) {
        case 0:
        case 5:
            sent[index] += sendSome(peers[index], sent[index], total);
            break;
        case 1:
            ck_assert_int_eq(PauseFastSocket(recorders[index].socket), 0);
            break;
        case 2:
            ck_assert_int_eq(ResumeFastSocket(recorders[index].socket), 0);
            break;
        case 3:
            taken[index] = takeAll(&recorders[index], taken[index]);
            break;
        default:
            runTurns(fixture.ring, 1);
            break;
        }
    }
    for (int index = 0; index < SOCKETS; index++)
        ck_assert_int_eq(ResumeFastSocket(recorders[index].socket), 0);
    for (int round = 0; !all; round++) {
        all = true;
        for (int index = 0; index < SOCKETS; index++) {
            taken[index] = takeAll(&recorders[index], taken[index]);
            if (sent[index] < total)
                sent[index] += stuff(peers[index], sent[index], total - sent[index]);
            all = all && (taken[index] == total);
        }
        runIdle(fixture.ring);
        ck_assert_int_lt(round, 10000);
    }
    for (int index = 0; index < SOCKETS; index++) {
        ReleaseFastSocket(recorders[index].socket);
        close(peers[index]);
    }
    ReleaseFastRingBufferProvider(scarce.provider, ReleaseRingFastBuffer);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}

START_TEST(survivesLimitAndShortage)
{
    for (unsigned seed = 1; seed <= 40; seed++)
        playScarcity(seed);
}
END_TEST

/* §2.3 back-pressure: the ring's limit holds for all sockets together; none is denied its first
 * buffer; all goes on afterwards */
START_TEST(obeysRingLimit)
{
    static struct Recorder recorders[SOCKETS];
    static uint64_t taken[SOCKETS];
    static uint64_t sent[SOCKETS];
    int peers[SOCKETS];
    uint64_t limit = 65536;
    bool all = false;

    ck_assert_int_eq(SetFastRingOption(fixture.ring, FASTRING_OPTION_INBOUND_LIMIT, limit), 0);
    for (int index = 0; index < SOCKETS; index++) {
        pairStream(pair);
        peers[index] = pair[1];
        openRecorded(&fixture, pair[0], NULL, 0, &recorders[index]);
    }
    runIdle(fixture.ring);
    for (int index = 0; index < SOCKETS; index++)
        sent[index] = stuff(peers[index], 0, 100000);
    runIdle(fixture.ring);
    for (int index = 0; index < SOCKETS; index++)
        ck_assert_uint_gt(GetFastSocketInboundLength(recorders[index].socket), 0);
    ck_assert_uint_le(readRing(fixture.ring).inboundLength, limit + 64 * 4096 + SOCKETS * 4096);
    for (int round = 0; !all; round++) {
        all = true;
        for (int index = 0; index < SOCKETS; index++) {
            taken[index] = takeAll(&recorders[index], taken[index]);
            if (sent[index] < 100000)
                sent[index] += stuff(peers[index], sent[index], 100000 - sent[index]);
            all = all && (taken[index] == 100000);
        }
        runIdle(fixture.ring);
        ck_assert_int_lt(round, 100000);
    }
    for (int index = 0; index < SOCKETS; index++) {
        ReleaseFastSocket(recorders[index].socket);
        close(peers[index]);
    }
}
END_TEST

static void raiseDescriptors(int needed)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < (rlim_t)needed) {
        limit.rlim_cur = (limit.rlim_max < (rlim_t)needed) ? limit.rlim_max : (rlim_t)needed;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
}

static int finished;

static void countWhole(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    (void)self;
    if ((event == POLLIN) && (parameter >= 1000)) {
        char data[1000];
        ck_assert_int_eq((int)ReceiveFastSocketData(socket, data, sizeof(data), MSG_WAITALL), 1000);
        ck_assert(checkPattern(data, sizeof(data), 0));
        finished++;
    }
}

/* one buffer serves 1000 sockets: all data comes, and the work stays in proportion */
static void serveThousand(uint16_t buffers)
{
    enum
    {
        MANY = 1000,
    };
    static struct Recorder recorders[MANY];
    static int peers[MANY];
    char data[1000];
    struct FastRingStatistics before;
    struct FastRingStatistics after;

    raiseDescriptors(2 * MANY + 100);
    reopen(buffers, 512);
    finished = 0;
    for (int index = 0; index < MANY; index++) {
        int two[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, two) != 0)
            ck_abort_msg("%s", strerror(errno));
        peers[index] = two[1];
        recorders[index].then = countWhole;
        openRecorded(&fixture, two[0], NULL, 0, &recorders[index]);
    }
    runIdle(fixture.ring);
    before = readRing(fixture.ring);

    /* Armed and idle: nothing happens at all. */
    for (int turn = 0; turn < 20; turn++)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
    after = readRing(fixture.ring);
    ck_assert_uint_le(after.completions - before.completions, 10);

    before = after;
    fillPattern(data, sizeof(data), 0);
    for (int index = 0; index < MANY; index++)
        sendAll(peers[index], data, sizeof(data));
    waitCount(fixture.ring, &finished, MANY);
    runIdle(fixture.ring);
    after = readRing(fixture.ring);
    /* Two chunks for each; a starved receive costs another completion, and a little more. */
    ck_assert_uint_le(after.completions - before.completions, 20 * MANY);
    ck_assert_uint_le(after.turns - before.turns, 20 * MANY);
    ck_assert_uint_ge(after.starvations - before.starvations, 1);
    for (int index = 0; index < MANY; index++) {
        ReleaseFastSocket(recorders[index].socket);
        close(peers[index]);
    }
}

START_TEST(oneBufferServesThousand)
{
    serveThousand(1);
}
END_TEST

START_TEST(fourBuffersServeThousand)
{
    serveThousand(4);
}
END_TEST

/* no buffer while a program hoards: with the ring's limit reached the loop rests, and goes on at once */
START_TEST(restsWhileHoarded)
{
    struct FastRingStatistics before;
    struct FastBuffer* hoard[512];
    int count = 0;
    uint64_t sent = 0;
    uint64_t taken = 0;

    reopen(2, 1024);
    openKind(KIND_TCP);
    ck_assert_int_eq(SetFastRingOption(fixture.ring, FASTRING_OPTION_INBOUND_LIMIT, 8192), 0);
    sent = stuff(pair[1], 0, 200000);
    before = readRing(fixture.ring);
    for (int turn = 0; turn < 20; turn++)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 2, NULL), 0);
    ck_assert_uint_le(readRing(fixture.ring).completions - before.completions, 10);
    while (taken < sent) {
        waitInput(&recorder, 1);
        hoard[count] = ReceiveFastSocketBuffer(recorder.socket);
        ck_assert_ptr_nonnull(hoard[count]);
        ck_assert(checkPattern(GetFastBufferData(hoard[count]), GetFastBufferLength(hoard[count]),
                               taken));
        taken += GetFastBufferLength(hoard[count]);
        ck_assert_int_lt(++count, 512);
    }
    for (int index = 0; index < count; index++)
        ReleaseFastBuffer(hoard[index]);
    release();
}
END_TEST

/* §2.8 overflow: more completions than the ring has room for: nothing is lost, everyone goes on receiving */
START_TEST(losesNothingByOverflow)
{
    enum
    {
        MANY = 300,
        ROUNDS = 4,
    };
    static struct Recorder recorders[MANY];
    static int peers[MANY];
    char text[16] = "";

    raiseDescriptors(2 * MANY + 100);
    fixtureClose(&fixture);
    fixtureOpen(&fixture, 1, 512, 256);
    for (int index = 0; index < MANY; index++) {
        pairKind(index % 2 ? KIND_UNIX_DATAGRAM : KIND_UNIX_STREAM, pair);
        peers[index] = pair[1];
        openRecorded(&fixture, pair[0], NULL, 0, &recorders[index]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        runIdle(fixture.ring);
        snprintf(text, sizeof(text), "round %d", round);
        for (int index = 0; index < MANY; index++)
            sendText(peers[index], text);
        for (int index = 0; index < MANY; index++)
            receiveText(&recorders[index], text);
    }
    ck_assert_uint_gt(readRing(fixture.ring).overflows, 0);
    for (int index = 0; index < MANY; index++) {
        ck_assert_int_eq(recorders[index].err + recorders[index].hup, 0);
        AbortFastSocket(recorders[index].socket);
        close(peers[index]);
    }
}
END_TEST

/* memory goes back after a burst */
START_TEST(returnsMemoryAfterBurst)
{
    uint64_t quiet = 0;
    uint64_t burst = 0;

    openKind(KIND_TCP);
    runIdle(fixture.ring);
    quiet = readRing(fixture.ring).bufferBytes;
    transmitPattern(recorder.socket, 64 << 20, 0);
    burst = readRing(fixture.ring).bufferBytes;
    ck_assert_uint_ge(burst, 64 << 20);
    AbortFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    runIdle(fixture.ring);
    ck_assert_uint_le(readRing(fixture.ring).bufferBytes, quiet + (16 << 20));
}
END_TEST

static bool isOverOutbound(struct FastSocket* socket)
{
    return GetFastSocketOutboundLength(socket) > 60000;
}

struct Relay
{
    struct Recorder* from;
    struct Recorder* to;
    size_t most;
};

static void relay(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    struct Relay* state = self->closure;
    struct FastBuffer* buffer = NULL;

    (void)parameter;
    if (socket == state->from->socket) {
        if (event != POLLIN)
            return;
        while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL)
            ck_assert_int_eq(TransmitFastSocketBuffer(state->to->socket, NULL, 0, buffer, 0,
                                                      GetFastBufferLength(buffer), 0),
                             0);
        if (GetFastSocketOutboundLength(state->to->socket) > state->most)
            state->most = GetFastSocketOutboundLength(state->to->socket);
        if (isOverOutbound(state->to->socket))
            ck_assert_int_eq(PauseFastSocket(socket), 0);
    } else if (event == POLLOUT) {
        ck_assert_int_eq(ResumeFastSocket(state->from->socket), 0);
    }
}

/* a relay with pause and resume: bounded both ways, whole in the end */
START_TEST(relaysWithPauses)
{
    struct Recorder second = {0};
    struct Relay state = {&recorder, &second, 0};
    static uint8_t data[65536];
    uint64_t sent = 0;
    uint64_t taken = 0;
    uint64_t total = 8000000;
    int more[2];

    recorder.then = relay;
    recorder.closure = &state;
    second.then = relay;
    second.closure = &state;
    openKind(KIND_TCP);
    pairTcp(more);
    openRecorded(&fixture, more[0], NULL, 0, &second);
    while (taken < total) {
        ssize_t size = 0;
        if (sent < total) {
            size_t piece = (total - sent < sizeof(data)) ? (size_t)(total - sent) : sizeof(data);
            fillPattern(data, piece, sent);
            size = send(pair[1], data, piece, MSG_DONTWAIT);
            sent += (size > 0) ? (uint64_t)size : 0;
        }
        runTurns(fixture.ring, 2);
        size = recv(more[1], data, 20000, MSG_DONTWAIT);
        if (size > 0) {
            ck_assert(checkPattern(data, (size_t)size, taken));
            taken += (uint64_t)size;
        }
    }
    ck_assert_uint_le(state.most, 60000 + (1 << 20));
    ReleaseFastSocket(second.socket);
    close(more[1]);
    release();
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-pressure");
    TCase* area = tcase_create("pressure");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, stopsAtHighMark);
    tcase_add_test(area, boundsMemoryWhenNobodyReads);
    tcase_add_test(area, satisfiesWaitAllBetweenMarks);
    tcase_add_test(area, satisfiesWaitAllBelowLimit);
    tcase_add_test(area, goesOnWhenMarksAreRaised);
    tcase_add_test(area, boundsMemoryOfTinyDatagrams);
    tcase_add_test(area, boundsMemoryOfDatagrams);
    tcase_add_test(area, keepsPausesApart);
    tcase_add_test(area, tellsResetBehindInput);
    tcase_add_test(area, tellsEndBehindHighMark);
    tcase_add_test(area, goesOnWhenMarkRises);
    tcase_add_test(area, survivesLimitAndShortage);
    tcase_add_test(area, obeysRingLimit);
    tcase_add_test(area, oneBufferServesThousand);
    tcase_add_test(area, fourBuffersServeThousand);
    tcase_add_test(area, restsWhileHoarded);
    tcase_add_test(area, losesNothingByOverflow);
    tcase_add_test(area, returnsMemoryAfterBurst);
    tcase_add_test(area, relaysWithPauses);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
