/*
 * A kernel that completes once more what is over: the last completion of an operation, which lacks
 * IORING_CQE_F_MORE, comes twice. The second one is nobody's, and changes nothing but a count.
 */
#include "between.h"
#include "fixture.h"
#include "ring/state.h"

#include <liburing.h>
#include <netinet/in.h>

/* ---- the engine between ---- */

enum
{
    OWNERS = 256,
};

static struct
{
    uint8_t opcode; /* of operations whose last completion comes twice */
    uint8_t other;
    uint64_t owners[OWNERS];
    int count;
    int doubled;
} between;

static void look(struct io_uring_sqe* entry)
{
    if (entry->opcode != between.opcode && entry->opcode != between.other)
        return;
    between.owners[between.count++ % OWNERS] = entry->user_data;
}

static bool isWanted(uint64_t owner)
{
    for (int index = 0; index < OWNERS; index++)
        if (between.owners[index] == owner)
            return owner != 0;
    return false;
}

static void pass(struct Completion completion)
{
    betweenDeliver(completion);
    if (completion.flags & IORING_CQE_F_MORE || !isWanted(completion.user_data))
        return;
    between.doubled++;
    completion.flags &= ~(uint32_t)IORING_CQE_F_BUFFER; /* which the first has brought */
    if (completion.res > 0)
        completion.res = 0;
    betweenDeliver(completion);
}

static void setUp(void)
{
    openScene();
    memset(&between, 0, sizeof(between));
    betweenPut(scene.ring->engine, (struct Between){.look = look, .pass = pass});
}

static void tearDown(void)
{
    closeScene();
}

AREA(stray, "stray", .open = setUp, .close = tearDown);

/* All is as it was, and each of them counted. */
static void expectPassedOver(void)
{
    ck_assert_int_gt(between.doubled, 0);
    ck_assert_uint_eq(readRing(scene.ring).invalidCompletions, (uint64_t)between.doubled);
}

/* ---- sockets ---- */

static const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET, KIND_UDP,
                                  KIND_UNIX_DATAGRAM};

enum
{
    KINDS = sizeof(kinds) / sizeof(kinds[0]),
};

/* From now on each comes once: the owner of what comes last may be gone when it comes again. */
static void comeOnce(void)
{
    between.opcode = IORING_OP_LAST;
    between.other = IORING_OP_LAST;
    memset(between.owners, 0, sizeof(between.owners));
}

/* A ring that is still sound. */
static void expectWorks(enum Kind kind)
{
    openPair(kind);
    sendText(scene.peer, "question");
    receiveText(&scene.ours, "question");
    transmitText(scene.ours.socket, "answer");
    waitDrained(&scene.ours);
    expectText(scene.peer, "answer");
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.3 impossible completions: of a receive, at a pause, at the end, and at a release */
CASE_ROUNDS(stray, receives, KINDS)
{
    between.opcode = IORING_OP_RECV;
    between.other = IORING_OP_RECVMSG;
    openPair(kinds[round]);
    sendText(scene.peer, "input");
    receiveText(&scene.ours, "input");
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
    sendText(scene.peer, "more");
    receiveText(&scene.ours, "more");
    if (typeKind(kinds[round]) != SOCK_DGRAM) {
        ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
        waitHangup(&scene.ours);
        expectOrderlyEnd(&scene.ours);
    }
    ck_assert_int_eq(scene.ours.err, 0);
    runIdle(scene.ring);
    expectPassedOver();
    comeOnce();
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    expectWorks(kinds[round]);
}

/* §2.3 impossible completions: of a socket's poll, which ends with the connection */
CASE(stray, polls)
{
    between.opcode = IORING_OP_POLL_ADD;
    between.other = IORING_OP_POLL_ADD;
    openPair(KIND_TCP);
    sendText(scene.peer, "input");
    receiveText(&scene.ours, "input");
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitHangup(&scene.ours);
    expectOrderlyEnd(&scene.ours);
    resetPeer();
    waitFor(scene.ring, hasFailed, &scene.ours);
    runIdle(scene.ring);
    expectPassedOver();
    comeOnce();
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    expectWorks(KIND_TCP);
}

/* ---- services ---- */

static int reports;

static void onWatch(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    (void)closure;
    ck_assert_int_eq(result, POLLIN);
    reports++;
}

/* §2.3 impossible completions: of a watch */
CASE(stray, watches)
{
    struct FastRingWatch* watch = NULL;
    char text[4];

    between.opcode = IORING_OP_POLL_ADD;
    between.other = IORING_OP_POLL_ADD;
    pairStream(scene.pair);
    watch = AddFastRingWatch(scene.ring, scene.handle, POLLIN, FASTRING_WATCH_ONCE, onWatch, NULL);
    ck_assert_ptr_nonnull(watch);
    sendText(scene.peer, "now");
    waitCount(scene.ring, &reports, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(reports, 1);
    expectPassedOver();
    comeOnce();
    ck_assert_int_eq(recv(scene.handle, text, sizeof(text), 0), 3);
    ck_assert_int_eq(UpdateFastRingWatch(watch, POLLIN), 0);
    sendText(scene.peer, "again");
    waitCount(scene.ring, &reports, 2);
    RemoveFastRingWatch(watch);
    runIdle(scene.ring);
    close(scene.handle);
    closePeer();
}

static int accepted;

static void onConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    (void)closure;
    ck_assert_int_ge(handle, 0);
    close(handle);
    accepted++;
}

/* §2.3 impossible completions: of a listener's poll */
CASE(stray, listens)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int handle = listenTcp(&address, &length);
    struct FastListener* listener = NULL;

    between.opcode = IORING_OP_POLL_ADD;
    between.other = IORING_OP_POLL_ADD;
    listener = CreateFastListener(scene.ring, handle, 0, onConnection, NULL);
    ck_assert_ptr_nonnull(listener);
    for (int round = 1; round <= 3; round++) {
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(client, (struct sockaddr*)&address, length), 0);
        waitCount(scene.ring, &accepted, round);
        close(client);
    }
    runIdle(scene.ring);
    ck_assert_int_eq(accepted, 3);
    expectPassedOver();
    comeOnce();
    ReleaseFastListener(listener);
}

static int completions;

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                        int reason)
{
    (void)descriptor;
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    ck_assert_int_eq(completion->res, 0);
    completions++;
    return 1;
}

/* §2.3 impossible completions: of an operation of the user's */
CASE(stray, operations)
{
    struct FastRingDescriptor* descriptor =
        AllocateFastRingDescriptor(scene.ring, onCompletion, NULL);

    between.opcode = IORING_OP_NOP;
    between.other = IORING_OP_NOP;
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    for (int round = 1; round <= 3; round++) {
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
        runTurns(scene.ring, 3);
        ck_assert_int_eq(completions, round);
    }
    expectPassedOver();
    ReleaseFastRingDescriptor(descriptor);
}
