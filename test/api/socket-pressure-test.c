/* Back-pressure and shortage: the marks, the ring's limit, pauses, and providers that are too
 * small. Whether the loop spins is seen by counting turns and completions, not by clocks. */
#include "fixture.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

SCENE_AREA(pressure, "pressure");

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
            runTurns(scene.ring, 5);
            refused++;
            continue;
        }
        refused = 0;
        sent += (uint64_t)result;
    }
    runIdle(scene.ring);
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
CASE(pressure, stopsAtHighMark)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        uint64_t total = 4000000;
        uint64_t sent = 0;
        uint64_t taken = 0;
        uint64_t most = 0;
        int pieces = 0;
        openPair(kinds[index]);
        setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 100000);
        setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_LOW, 20000);
        while (taken < total) {
            if (typeKind(kinds[index]) == SOCK_STREAM) {
                sent += stuff(scene.peer, sent, total - sent);
            } else {
                static uint8_t record[2000];
                int refused = 0;
                while ((sent < total) && (refused < 10)) {
                    fillPattern(record, sizeof(record), sent);
                    if (send(scene.peer, record, sizeof(record), MSG_DONTWAIT) < 0) {
                        refused++;
                        runTurns(scene.ring, 5);
                    } else {
                        sent += sizeof(record);
                    }
                }
                runIdle(scene.ring);
            }
            if (GetFastSocketInboundLength(scene.ours.socket) > most)
                most = GetFastSocketInboundLength(scene.ours.socket);
            taken = takeAll(&scene.ours, taken);
            ck_assert_int_lt(++pieces, 10000);
        }
        /* One batch may pass the mark: what one turn takes from the kernel. */
        ck_assert_uint_ge(most, 100000);
        ck_assert_uint_le(most, 100000 + 64 * 4096);
        ck_assert_uint_ge(readSocket(scene.ours.socket).receivePauses, 1);
        ck_assert_uint_eq(readSocket(scene.ours.socket).receivedBytes, total);
        closePair();
    }
}

/* §2.3 back-pressure: nobody reads, so memory stays under the high mark plus one batch, and the
 * loop backs off */
CASE(pressure, boundsMemoryWhenNobodyReads)
{
    struct FastRingStatistics before;
    struct FastRingStatistics after;
    const uint64_t high = 1 << 20; /* the default */
    const uint64_t batch = 256 * 1024 + 64 * 4096;
    uint64_t sent = 0;

    openPair(KIND_TCP);
    runIdle(scene.ring);
    before = readRing(scene.ring);
    sent = stuff(scene.peer, 0, (uint64_t)64 << 20);
    ck_assert_uint_lt(sent, (uint64_t)64 << 20);
    after = readRing(scene.ring);
    ck_assert_uint_ge(GetFastSocketInboundLength(scene.ours.socket), high);
    ck_assert_uint_le(GetFastSocketInboundLength(scene.ours.socket), high + batch);
    ck_assert_uint_le(after.inboundLength, high + batch);
    /* Buffers are longer than what they hold, and the pool keeps some in reserve. */
    ck_assert_uint_le(after.bufferBytes - before.bufferBytes, 4 * (high + batch));
    for (int turn = 0; turn < 30; turn++) {
        ck_assert_int_eq(WaitForFastRing(scene.ring, 5, NULL), 0);
        (void)send(scene.peer, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    ck_assert_uint_le(readRing(scene.ring).completions - after.completions, 30);
    ck_assert_uint_le(readRing(scene.ring).inboundLength, high + batch);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
    AbortFastSocket(scene.ours.socket);
}

/* Bytes to a reader who takes after each turn what that has brought. */
static uint64_t feed(uint64_t position, uint64_t size)
{
    static uint8_t data[32 << 10];
    uint64_t end = position + size;
    for (uint64_t taken = position; taken < end; taken = takeAll(&scene.ours, taken)) {
        fillPattern(data, sizeof(data), position);
        ssize_t sent = position < end ? send(scene.peer, data, sizeof(data), MSG_DONTWAIT) : 0;
        position += sent > 0 ? (uint64_t)sent : 0;
        runTurns(scene.ring, 1);
    }
    return position;
}

/* §2.3 back-pressure: a receive doesn't end at the mark for a reader who keeps up, again and again:
 * what has come meanwhile was taken */
CASE(pressure, armsOnceForWhoKeepsUp)
{
    const uint64_t high = 1 << 20; /* the default */
    openPair(KIND_TCP);
    uint64_t position = feed(0, 2 * high);
    uint64_t before = readRing(scene.ring).submissions;
    (void)feed(position, 8 * high);
    ck_assert_uint_le(readRing(scene.ring).submissions - before, 3);
    ck_assert_uint_eq(readSocket(scene.ours.socket).receivePauses, 0);
    AbortFastSocket(scene.ours.socket);
}

/* §2.3 back-pressure: a reader who has kept up, and stops to, is held to the mark like others; what
 * was on its way is told, and nothing is lost */
CASE(pressure, stopsWhoHasKeptUp)
{
    const uint64_t high = 1 << 20; /* the default */
    const uint64_t batch = 256 * 1024 + 64 * 4096;
    openPair(KIND_TCP);
    uint64_t position = feed(0, 2 * high);
    uint64_t sent = stuff(scene.peer, position, (uint64_t)64 << 20);
    ck_assert_uint_lt(sent, (uint64_t)64 << 20);
    ck_assert_uint_ge(GetFastSocketInboundLength(scene.ours.socket), high);
    ck_assert_uint_le(GetFastSocketInboundLength(scene.ours.socket), high + batch);
    ck_assert_uint_ge(readSocket(scene.ours.socket).receivePauses, 1);
    for (uint64_t taken = position; taken < position + sent;) {
        taken = takeAll(&scene.ours, taken);
        runTurns(scene.ring, 1);
    }
    AbortFastSocket(scene.ours.socket);
}

/* §2.3 back-pressure: a reader who takes one chunk at a time of much that has come at once passes
 * the mark downwards without a pause */
CASE(pressure, takesChunksBelowTheMark)
{
    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 64 << 10);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_LOW, 16 << 10);
    uint64_t sent = stuff(scene.peer, 0, 1 << 20);
    uint64_t taken = 0;
    while (taken < sent) {
        struct FastBuffer* chunk = ReceiveFastSocketBuffer(scene.ours.socket);
        if (chunk == NULL) {
            runTurns(scene.ring, 1);
            continue;
        }
        ck_assert(checkPattern(GetFastBufferData(chunk), GetFastBufferLength(chunk), taken));
        taken += GetFastBufferLength(chunk);
        ReleaseFastBuffer(chunk);
    }
    ck_assert_uint_ge(readSocket(scene.ours.socket).receivePauses, 1);
    AbortFastSocket(scene.ours.socket);
}

/* §2.3 MSG_WAITALL: between the marks, who waits for all does not read before, so receiving
 * goes on */
CASE(pressure, satisfiesWaitAllBetweenMarks)
{
    static uint8_t frame[60000];
    uint64_t sent = 0;
    uint64_t taken = 0;
    const uint64_t total = 10 * sizeof(frame);

    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 100000);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_LOW, 20000);
    sent = stuff(scene.peer, 0, total);
    ck_assert_uint_ge(GetFastSocketInboundLength(scene.ours.socket), 100000);
    for (int round = 0; taken < total; round++) {
        ssize_t size = ReceiveFastSocketData(scene.ours.socket, frame, sizeof(frame), MSG_WAITALL);
        if (size > 0) {
            ck_assert_int_eq(size, sizeof(frame));
            ck_assert(checkPattern(frame, sizeof(frame), taken));
            taken += sizeof(frame);
        } else {
            ck_assert_int_eq(size, 0);
            if (sent < total)
                sent += stuff(scene.peer, sent, total - sent);
            runIdle(scene.ring);
        }
        ck_assert_int_lt(round, 10000);
    }
}

/* §2.3 back-pressure, §2.3 MSG_WAITALL: once it was satisfied, the memory of small messages counts
 * again */
CASE(pressure, boundsMemoryBehindWaitAll)
{
    enum
    {
        HIGH = 16000,
        PIECES = 3000,
    };
    static uint8_t data[HIGH];
    struct msghdr message = {.msg_namelen = 64, .msg_controllen = 64};
    int reads = 0;

    openPairWith(.kind = KIND_TCP, .message = &message);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, HIGH);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, HIGH, MSG_WAITALL), 0);
    fillPattern(data, HIGH, 0);
    sendAll(scene.peer, data, HIGH);
    waitInput(&scene.ours, HIGH);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, HIGH, MSG_WAITALL), HIGH);
    ck_assert(checkPattern(data, HIGH, 0));
    for (int count = 0; count < PIECES; count++) {
        sendText(scene.peer, "x");
        runTurns(scene.ring, 2);
    }
    runIdle(scene.ring);
    ck_assert_uint_lt(GetFastSocketInboundLength(scene.ours.socket), PIECES / 2);
    while (reads < PIECES) {
        waitInput(&scene.ours, 1);
        ssize_t size = ReceiveFastSocketData(scene.ours.socket, data, HIGH, 0);
        ck_assert_int_gt(size, 0);
        reads += (int)size;
    }
    ck_assert_int_eq(reads, PIECES);
}

/* … and at the ring's limit, as long as there is room below it */
CASE(pressure, satisfiesWaitAllBelowLimit)
{
    static uint8_t data[90000];

    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_INBOUND_LIMIT, 100000), 0);
    openPair(KIND_UNIX_STREAM);
    (void)stuff(scene.peer, 0, 300000);
    ck_assert_uint_ge(GetFastSocketInboundLength(scene.ours.socket), 100000);
    while (GetFastSocketInboundLength(scene.ours.socket) > 80000)
        ck_assert_int_gt(ReceiveFastSocketData(scene.ours.socket, data, 1000, 0), 0);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), MSG_WAITALL), 0);
    waitInput(&scene.ours, sizeof(data));
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), MSG_WAITALL),
                     sizeof(data));
    AbortFastSocket(scene.ours.socket);
}

/* a raised mark, of the socket or the ring, restarts what had stopped */
CASE(pressure, goesOnWhenMarksAreRaised)
{
    const uint64_t total = 8000000; /* far more than one receive can bring */
    uint64_t sent = 0;
    size_t held = 0;

    openPair(KIND_UNIX_STREAM);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 50000);
    sent = stuff(scene.peer, 0, total);
    held = GetFastSocketInboundLength(scene.ours.socket);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, held + 10000);
    waitInput(&scene.ours, held + 1);

    held = GetFastSocketInboundLength(scene.ours.socket);
    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_INBOUND_LIMIT, held), 0);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, total);
    sent += stuff(scene.peer, sent, total - sent);
    ck_assert_uint_lt(sent, total);
    held = GetFastSocketInboundLength(scene.ours.socket);
    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_INBOUND_LIMIT, held + held / 10),
                     0);
    waitInput(&scene.ours, held + 1);
    AbortFastSocket(scene.ours.socket);
}

/* nobody reads the smallest datagrams, which hold far more memory than bytes */
CASE(pressure, boundsMemoryOfTinyDatagrams)
{
    const uint64_t high = 1 << 20; /* the default */
    const uint64_t batch = 256 * 1024 + 64 * 4096;
    struct FastRingStatistics before;

    openPair(KIND_UDP);
    runIdle(scene.ring);
    before = readRing(scene.ring);
    for (int round = 0; round < 20000; round++) {
        (void)send(scene.peer, "x", 1, MSG_DONTWAIT);
        if (round % 16 == 0)
            runTurns(scene.ring, 1);
    }
    runIdle(scene.ring);
    ck_assert_uint_ge(readSocket(scene.ours.socket).receivePauses, 1);
    ck_assert_uint_ge(readRing(scene.ring).bufferBytes - before.bufferBytes, high / 2);
    ck_assert_uint_le(readRing(scene.ring).bufferBytes - before.bufferBytes, high + batch);
}

/* nobody reads datagrams: the same, and the kernel drops */
CASE(pressure, boundsMemoryOfDatagrams)
{
    static char data[1000];

    openPair(KIND_UDP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 50000);
    runIdle(scene.ring);
    for (int round = 0; round < 5000; round++) {
        (void)send(scene.peer, data, sizeof(data), MSG_DONTWAIT);
        if (round % 16 == 0)
            runTurns(scene.ring, 1);
    }
    runIdle(scene.ring);
    ck_assert_uint_ge(GetFastSocketInboundLength(scene.ours.socket), 50000);
    ck_assert_uint_le(GetFastSocketInboundLength(scene.ours.socket), 50000 + 64 * 4096);
    while (ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0) > 0)
        ;
    runIdle(scene.ring);
    while (GetFastSocketInboundLength(scene.ours.socket) > 0) {
        while (ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0) > 0)
            ;
        runIdle(scene.ring);
    }
    sendText(scene.peer, "alive");
    receiveText(&scene.ours, "alive");
}

/* §2.1 user pause, §2.3 back-pressure: the automatic pause is not the user's: ResumeFastSocket
 * clears only the latter, and does not let more in */
CASE(pressure, keepsPausesApart)
{
    size_t held = 0;

    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 10000);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_LOW, 5000);
    (void)stuff(scene.peer, 0, 8000000);
    held = GetFastSocketInboundLength(scene.ours.socket);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), held);

    /* The user's pause holds although the queue is empty. */
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    (void)takeAll(&scene.ours, 0);
    runIdle(scene.ring);
    held = GetFastSocketInboundLength(scene.ours.socket);
    runIdle(scene.ring);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), held);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    waitInput(&scene.ours, 1000);
    AbortFastSocket(scene.ours.socket);
}

/* Takes small pieces until no more than so many bytes are unread. */
static uint64_t takeDownTo(struct Recorder* from, size_t unread, uint64_t position)
{
    uint8_t data[1000];

    while (GetFastSocketInboundLength(from->socket) > unread) {
        ssize_t size = ReceiveFastSocketData(from->socket, data, sizeof(data), 0);
        ck_assert_int_gt((int)size, 0);
        ck_assert(checkPattern(data, (size_t)size, position));
        position += (uint64_t)size;
    }
    return position;
}

/* §2.3 back-pressure, §2.1 user pause: between the marks nothing comes, whether the reader resumes
 * or not; at the low one it goes on */
CASE(pressure, restsBetweenTheMarks)
{
    uint64_t position = 0;
    size_t held = 0;

    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 100000);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_LOW, 20000);
    (void)stuff(scene.peer, 0, 8000000);
    ck_assert_uint_ge(GetFastSocketInboundLength(scene.ours.socket), 100000);
    position = takeDownTo(&scene.ours, 60000, position);
    held = GetFastSocketInboundLength(scene.ours.socket);
    runIdle(scene.ring);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), held);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), held);
    position = takeDownTo(&scene.ours, 20000, position);
    waitInput(&scene.ours, 100000);
    (void)takeAll(&scene.ours, position);
    AbortFastSocket(scene.ours.socket);
}

/* §2.1 data and RST together: a reset behind much input comes after it: the kernel doesn't tell
 * a receive that is in flight when the reset came before the receive had reached the end of the
 * input */
CASE(pressure, tellsResetBehindInput)
{
    reopenScene(.buffers = 256, .bufferLength = 16384);
    for (uint64_t much = 300000; much < 2000000; much += 100000) {
        uint64_t taken = 0;
        uint64_t sent = 0;
        int waiting = 0;
        openPair(KIND_TCP);
        setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, (uint64_t)64 << 20);
        /* The kernel's buffer grows with what goes through it. */
        while (sent < 3000000) {
            sent += stuff(scene.peer, sent, 3000000 - sent);
            taken = takeAll(&scene.ours, taken);
        }
        ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
        runIdle(scene.ring);
        sent += stuff(scene.peer, sent, much);
        ck_assert_int_eq(ioctl(scene.handle, FIONREAD, &waiting), 0);
        resetPeer();
        ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
        waitHangup(&scene.ours);
        ck_assert_int_eq(scene.ours.lastError, ECONNRESET);
        ck_assert_int_eq(scene.ours.lastHangup, ECONNRESET);
        ck_assert_uint_ge(GetFastSocketInboundLength(scene.ours.socket), (uint64_t)waiting);
        closePair();
    }
}

/* §2.3 back-pressure: the end behind a full queue comes when there is room again */
CASE(pressure, tellsEndBehindHighMark)
{
    uint64_t sent = 0;
    uint64_t taken = 0;

    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 10000);
    sent = stuff(scene.peer, 0, 1000000);
    closePeer();
    runIdle(scene.ring);
    while (scene.ours.hup == 0) {
        taken = takeAll(&scene.ours, taken);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 100, NULL), 0);
    }
    taken = takeAll(&scene.ours, taken);
    ck_assert_uint_eq(taken, sent);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
}

/* raising the high mark lets a stopped socket go on */
CASE(pressure, goesOnWhenMarkRises)
{
    size_t held = 0;

    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 10000);
    (void)stuff(scene.peer, 0, 3000000);
    held = GetFastSocketInboundLength(scene.ours.socket);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 1000000);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_LOW, 900000);
    waitInput(&scene.ours, held + 1);
    AbortFastSocket(scene.ours.socket);
}

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
    struct Scene scarce = scene;
    int peers[SOCKETS];
    const uint64_t total = 100000;
    bool all = false;

    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_INBOUND_LIMIT, 40000), 0);
    scarce.provider = CreateFastRingBufferProvider(scene.ring, 0, 2, 4096, AllocateRingFastBuffer,
                                                   scene.inbound);
    ck_assert_ptr_nonnull(scarce.provider);
    for (int index = 0; index < SOCKETS; index++) {
        pairStream(scene.pair);
        peers[index] = scene.peer;
        openRecorded(&scarce, scene.handle, NULL, 0, &recorders[index]);
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
            runTurns(scene.ring, 1);
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
        runIdle(scene.ring);
        ck_assert_int_lt(round, 10000);
    }
    for (int index = 0; index < SOCKETS; index++) {
        ReleaseFastSocket(recorders[index].socket);
        close(peers[index]);
    }
    ReleaseFastRingBufferProvider(scarce.provider, ReleaseRingFastBuffer);
    waitFor(scene.ring, isNothingPending, scene.ring);
}

CASE(pressure, survivesLimitAndShortage)
{
    for (unsigned seed = 1; seed <= 40; seed++)
        playScarcity(seed);
}

/* §2.3 back-pressure: the ring's limit holds for all sockets together; none is denied its first
 * buffer; all goes on afterwards */
CASE(pressure, obeysRingLimit)
{
    static struct Recorder recorders[SOCKETS];
    static uint64_t taken[SOCKETS];
    static uint64_t sent[SOCKETS];
    int peers[SOCKETS];
    uint64_t limit = 65536;
    bool all = false;

    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_INBOUND_LIMIT, limit), 0);
    for (int index = 0; index < SOCKETS; index++) {
        pairStream(scene.pair);
        peers[index] = scene.peer;
        openRecorded(&scene, scene.handle, NULL, 0, &recorders[index]);
    }
    runIdle(scene.ring);
    for (int index = 0; index < SOCKETS; index++)
        sent[index] = stuff(peers[index], 0, 100000);
    runIdle(scene.ring);
    for (int index = 0; index < SOCKETS; index++)
        ck_assert_uint_gt(GetFastSocketInboundLength(recorders[index].socket), 0);
    ck_assert_uint_le(readRing(scene.ring).inboundLength, limit + 64 * 4096 + SOCKETS * 4096);
    for (int round = 0; !all; round++) {
        all = true;
        for (int index = 0; index < SOCKETS; index++) {
            taken[index] = takeAll(&recorders[index], taken[index]);
            if (sent[index] < 100000)
                sent[index] += stuff(peers[index], sent[index], 100000 - sent[index]);
            all = all && (taken[index] == 100000);
        }
        runIdle(scene.ring);
        ck_assert_int_lt(round, 100000);
    }
    for (int index = 0; index < SOCKETS; index++) {
        ReleaseFastSocket(recorders[index].socket);
        close(peers[index]);
    }
}

/* §2.3 back-pressure: at the ring's limit a socket that has read all of its own gets its next
 * buffer, though others hold all there is room for */
CASE(pressure, servesTheEmptyAtTheLimit)
{
    struct Recorder second = {0};
    const uint64_t limit = 65536;
    uint64_t taken = 0;
    int more = -1;

    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_INBOUND_LIMIT, limit), 0);
    openPair(KIND_TCP);
    more = openBeside(KIND_TCP, &second);
    (void)stuff(scene.peer, 0, 8000000);
    ck_assert_uint_ge(readRing(scene.ring).inboundLength, limit);
    (void)stuff(more, 0, 200000);
    for (int round = 0; round < 4; round++) {
        waitInput(&second, 1);
        runIdle(scene.ring);
        taken = takeAll(&second, taken);
        ck_assert_uint_ge(readRing(scene.ring).inboundLength, limit);
    }
    AbortFastSocket(scene.ours.socket);
    AbortFastSocket(second.socket);
    close(more);
}

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

enum
{
    MANY = 1000,
};

static struct Recorder recorders[MANY];
static int peers[MANY];

static void openMany(void)
{
    finished = 0;
    for (int index = 0; index < MANY; index++) {
        int two[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, two) != 0)
            ck_abort_msg("%s", strerror(errno));
        peers[index] = two[1];
        recorders[index].then = countWhole;
        openRecorded(&scene, two[0], NULL, 0, &recorders[index]);
    }
    runIdle(scene.ring);
}

static void closeMany(void)
{
    for (int index = 0; index < MANY; index++) {
        ReleaseFastSocket(recorders[index].socket);
        close(peers[index]);
    }
}

/* 1 000 bytes to each, before the ring runs again, until all have them. */
static void sendToMany(void)
{
    char data[1000];

    finished = 0;
    fillPattern(data, sizeof(data), 0);
    for (int index = 0; index < MANY; index++)
        sendAll(peers[index], data, sizeof(data));
    waitCount(scene.ring, &finished, MANY);
    runIdle(scene.ring);
}

/* one buffer serves 1000 sockets: all data comes, and the work stays in proportion */
static void serveThousand(uint16_t buffers)
{
    struct FastRingStatistics before;
    struct FastRingStatistics after;

    raiseDescriptors(2 * MANY + 100);
    reopenScene(.buffers = buffers, .bufferLength = 512);
    openMany();
    before = readRing(scene.ring);

    /* Armed and idle: nothing happens at all. */
    for (int turn = 0; turn < 20; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    after = readRing(scene.ring);
    ck_assert_uint_le(after.completions - before.completions, 10);

    before = after;
    sendToMany();
    after = readRing(scene.ring);
    /* Two chunks for each; a starved receive costs another completion, and a little more. */
    ck_assert_uint_le(after.completions - before.completions, 20 * MANY);
    ck_assert_uint_le(after.turns - before.turns, 20 * MANY);
    ck_assert_uint_ge(after.starvations - before.starvations, 1);
    closeMany();
}

/* §2.3 one buffer: all input comes, and the work stays in proportion */
CASE(pressure, oneBufferServesThousand)
{
    serveThousand(1);
}

CASE(pressure, fourBuffersServeThousand)
{
    serveThousand(4);
}

enum
{
    FLOODED = 100,
    SHARE = 16 << 10,
};

static uint64_t shares[FLOODED];

static void takeShare(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    static uint8_t data[4096];
    ssize_t size = 0;

    (void)parameter;
    while (event == POLLIN && (size = ReceiveFastSocketData(socket, data, sizeof(data), 0)) > 0)
        shares[self - recorders] += (uint64_t)size;
}

static uint64_t leastShare(void)
{
    uint64_t least = shares[0];
    for (int index = 1; index < FLOODED; index++)
        least = shares[index] < least ? shares[index] : least;
    return least;
}

/* §2.3 who waits for buffers, §2.1 starvation: sockets that always have more than there are buffers
 * for have like shares */
CASE(pressure, floodsShareFewBuffers)
{
    static const uint8_t data[4096];
    int turns = 0;

    reopenScene(.buffers = 2, .bufferLength = 512);
    memset(shares, 0, sizeof(shares));
    for (int index = 0; index < FLOODED; index++) {
        int two[2];
        pairStream(two);
        peers[index] = two[1];
        recorders[index].then = takeShare;
        openRecorded(&scene, two[0], NULL, 0, &recorders[index]);
    }
    for (; leastShare() < SHARE; turns++) {
        ck_assert_int_lt(turns, 20 * FLOODED * SHARE / 512);
        for (int index = 0; index < FLOODED; index++)
            while (send(peers[index], data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
                continue;
        runTurns(scene.ring, 1);
    }
    for (int index = 0; index < FLOODED; index++) {
        ck_assert_uint_le(shares[index], 4 * SHARE);
        ReleaseFastSocket(recorders[index].socket);
        close(peers[index]);
    }
}

/* §2.3 buffers and provider: on epoll, where all that is known of a connection is memory of ours,
 * few of those who have to wait in a burst are told so; others stand in line */
CASE(pressure, fewAreToldInABurst)
{
    raiseDescriptors(2 * MANY + 100);
    reopenScene(.buffers = 64, .bufferLength = 1024);
    openMany();
    for (int round = 0; round < 3; round++) {
        struct FastRingStatistics before = readRing(scene.ring);
        sendToMany();
        struct FastRingStatistics after = readRing(scene.ring);
        if (runsOnUring(scene.ring))
            continue; /* the kernel tells each of them */
        ck_assert_uint_ge(after.starvations - before.starvations, 1);
        ck_assert_uint_le(after.starvations - before.starvations, MANY / 16);
        ck_assert_uint_le(after.completions - before.completions, MANY + MANY / 16 + 16);
    }
    closeMany();
}

/* §2.3 adaptive provider, §2.3 burst on many sockets: of large buffers that a pool can make few
 * wait for input; a burst on 1000 sockets gets more at once, without anybody starving */
CASE(pressure, growsForABurst)
{
    raiseDescriptors(2 * MANY + 100);
    reopenScene(.buffers = 1024, .bufferLength = 65536);
    openMany();
    ck_assert_uint_le(readRing(scene.ring).providedBuffers, 64);
    for (int round = 0; round < 3; round++) {
        struct FastRingStatistics before = readRing(scene.ring);
        sendToMany();
        struct FastRingStatistics after = readRing(scene.ring);
        ck_assert_uint_eq(after.starvations, 0);
        ck_assert_uint_le(after.completions - before.completions, 5 * MANY);
        ck_assert_uint_le(after.turns - before.turns, MANY);
        if (runsOnUring(scene.ring))
            ck_assert_uint_le(after.systemCalls - before.systemCalls, MANY);
    }
    for (int index = 0; index < MANY; index++)
        ck_assert_uint_eq(readSocket(recorders[index].socket).receiveStarvations, 0);
    closeMany();
}

/* §2.3 adaptive provider: what a burst of input needed goes again when less is needed for long, and
 * comes again */
CASE(pressure, ebbsAfterABurst)
{
    static uint8_t data[8 << 20];
    uint64_t most = 0;

    reopenScene(.buffers = 256, .bufferLength = 65536);
    openPair(KIND_TCP);
    for (int round = 0; round < 2; round++) {
        uint64_t sent = stuff(scene.peer, 0, sizeof(data));
        uint64_t taken = 0;
        while ((taken = takeAll(&scene.ours, taken)) < sizeof(data)) {
            uint64_t now = readRing(scene.ring).providedBuffers;
            most = now > most ? now : most;
            if (sent < sizeof(data))
                sent += stuff(scene.peer, sent, sizeof(data) - sent);
            runTurns(scene.ring, 1);
        }
        ck_assert_uint_gt(most, 4);
        for (int message = 0; message < 20000; message++) {
            sendText(scene.peer, "a little");
            receiveText(&scene.ours, "a little");
        }
        ck_assert_uint_eq(readRing(scene.ring).providedBuffers, 4);
    }
    ck_assert_uint_eq(readRing(scene.ring).starvations, 0);
}

/* §2.3 buffers and provider: no buffer while a program hoards: with the ring's limit reached the
 * loop backs off, and goes on at once */
CASE(pressure, restsWhileHoarded)
{
    struct FastRingStatistics before;
    struct FastBuffer* hoard[512];
    int count = 0;
    uint64_t sent = 0;
    uint64_t taken = 0;

    reopenScene(.buffers = 2, .bufferLength = 1024);
    openPair(KIND_TCP);
    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_INBOUND_LIMIT, 8192), 0);
    sent = stuff(scene.peer, 0, 200000);
    before = readRing(scene.ring);
    for (int turn = 0; turn < 20; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 2, NULL), 0);
    ck_assert_uint_le(readRing(scene.ring).completions - before.completions, 10);
    while (taken < sent) {
        waitInput(&scene.ours, 1);
        hoard[count] = ReceiveFastSocketBuffer(scene.ours.socket);
        ck_assert_ptr_nonnull(hoard[count]);
        ck_assert(checkPattern(GetFastBufferData(hoard[count]), GetFastBufferLength(hoard[count]),
                               taken));
        taken += GetFastBufferLength(hoard[count]);
        ck_assert_int_lt(++count, 512);
    }
    for (int index = 0; index < count; index++)
        ReleaseFastBuffer(hoard[index]);
}

/* §2.8 overflow: more completions than the ring has room for: nothing is lost, everyone goes on
 * receiving */
CASE(pressure, losesNothingByOverflow)
{
    enum
    {
        MANY = 300,
        ROUNDS = 4,
        MESSAGES = 4,
    };
    static struct Recorder recorders[MANY];
    static int peers[MANY];
    char text[16] = "";

    raiseDescriptors(2 * MANY + 100);
    reopenScene(.ringLength = 1, .buffers = 512, .bufferLength = 256);
    for (int index = 0; index < MANY; index++) {
        pairKind(index % 2 ? KIND_UNIX_DATAGRAM : KIND_UNIX_STREAM, scene.pair);
        peers[index] = scene.peer;
        openRecorded(&scene, scene.handle, NULL, 0, &recorders[index]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        runIdle(scene.ring);
        snprintf(text, sizeof(text), "round %d", round);
        /* Several for each that the kernel looks at: it looks at some 32 in one enter. */
        for (int index = 0; index < MANY * MESSAGES; index++)
            sendText(peers[index % MANY], text);
        for (int index = 0; index < MANY * MESSAGES; index++)
            receiveText(&recorders[index % MANY], text);
    }
    ck_assert_uint_gt(readRing(scene.ring).overflows, 0);
    for (int index = 0; index < MANY; index++) {
        ck_assert_int_eq(recorders[index].err + recorders[index].hup, 0);
        AbortFastSocket(recorders[index].socket);
        close(peers[index]);
    }
}

/* memory goes back after a burst */
CASE(pressure, returnsMemoryAfterBurst)
{
    uint64_t quiet = 0;
    uint64_t burst = 0;

    openPair(KIND_TCP);
    runIdle(scene.ring);
    quiet = readRing(scene.ring).bufferBytes;
    transmitPattern(scene.ours.socket, 64 << 20, 0);
    burst = readRing(scene.ring).bufferBytes;
    ck_assert_uint_ge(burst, 64 << 20);
    AbortFastSocket(scene.ours.socket);
    closePeer();
    waitFor(scene.ring, isNothingPending, scene.ring);
    quiet += 16 << 20;
    waitFor(scene.ring, hasMemoryWithin, &quiet);
}

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
CASE(pressure, relaysWithPauses)
{
    struct Recorder second = {0};
    struct Relay state = {&scene.ours, &second, 0};
    static uint8_t data[65536];
    uint64_t sent = 0;
    uint64_t taken = 0;
    uint64_t total = 8000000;

    scene.ours.then = relay;
    scene.ours.closure = &state;
    second.then = relay;
    second.closure = &state;
    openPair(KIND_TCP);
    int more = openBeside(KIND_TCP, &second);
    while (taken < total) {
        ssize_t size = 0;
        if (sent < total) {
            size_t piece = (total - sent < sizeof(data)) ? (size_t)(total - sent) : sizeof(data);
            fillPattern(data, piece, sent);
            size = send(scene.peer, data, piece, MSG_DONTWAIT);
            sent += (size > 0) ? (uint64_t)size : 0;
        }
        runTurns(scene.ring, 2);
        size = recv(more, data, 20000, MSG_DONTWAIT);
        if (size > 0) {
            ck_assert(checkPattern(data, (size_t)size, taken));
            taken += (uint64_t)size;
        }
    }
    ck_assert_uint_le(state.most, 60000 + (1 << 20));
    ReleaseFastSocket(second.socket);
    close(more);
}
