/* What watches may be asked for: all that poll(2) knows, with the same answers. */
#include "services.h"

#include <fcntl.h>

enum
{
    READ_MASK = POLLIN | POLLRDNORM,
    TROUBLE = POLLERR | POLLHUP,
};

static const uint32_t allFlags[] = {0, FASTRING_WATCH_ONCE, FASTRING_WATCH_EDGE};

/* Each bit that poll(2) knows. */
static const uint32_t bits[] = {
    POLLIN,     POLLPRI,    POLLOUT,    POLLERR, POLLHUP,   POLLNVAL,
    POLLRDNORM, POLLRDBAND, POLLWRNORM, POLLWRBAND, POLLMSG, POLLRDHUP,
};

static int pair[2];
static int calls;
static int lastResult;

static void setUp(void)
{
    openScene();
    calls = 0;
}

static void tearDown(void)
{
    close(pair[0]);
    close(pair[1]);
    closeScene();
}

AREA(watchMask, "watch-mask", .open = setUp, .close = tearDown, .timeout = 120);

static void count(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    (void)closure;
    calls++;
    lastResult = result;
}

static struct FastRingWatch* add(int handle, uint32_t mask, uint32_t flags)
{
    struct FastRingWatch* watch = AddFastRingWatch(scene.ring, handle, mask, flags, count, NULL);
    ck_assert_msg(watch != NULL, "%#x: %s", mask, strerror(errno));
    calls = 0;
    return watch;
}

static int askPoll(int handle, uint32_t mask)
{
    struct pollfd state = {.fd = handle, .events = (short)mask};
    ck_assert_int_ge(poll(&state, 1, 0), 0);
    return state.revents;
}

/* Adds, and updates to, each mask in turn; either hears what poll(2) says, or nothing. */
static void expectAsPoll(int handle, uint32_t mask)
{
    int expected = askPoll(handle, mask);
    for (int index = 0; index < 3; index++) {
        for (int updated = 0; updated < 2; updated++) {
            struct FastRingWatch* watch = add(handle, updated ? 0 : mask, allFlags[index]);
            if (updated) {
                runTurns(scene.ring, 1);
                ck_assert_int_eq(UpdateFastRingWatch(watch, mask), 0);
            }
            if (expected != 0) {
                waitCount(scene.ring, &calls, 1);
                ck_assert_msg(lastResult == expected, "%#x: %#x instead of %#x", mask, lastResult,
                              expected);
            } else {
                runIdle(scene.ring);
                ck_assert_int_eq(calls, 0);
            }
            RemoveFastRingWatch(watch);
        }
    }
}

static void expectAllAsPoll(int handle)
{
    for (size_t index = 0; index < sizeof(bits) / sizeof(bits[0]); index++) {
        expectAsPoll(handle, bits[index]);
        expectAsPoll(handle, bits[index] | POLLRDNORM | POLLWRBAND);
    }
}

/* §2.8 watch mask: of a quiet socket, and of one with input */
CASE(watchMask, socketsAnswerAsPollDoes)
{
    static const enum Kind kinds[] = {KIND_TCP, KIND_UDP, KIND_UNIX_STREAM, KIND_UNIX_DATAGRAM};
    pair[0] = pair[1] = -1;
    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        close(pair[0]);
        close(pair[1]);
        pairKind(kinds[index], pair);
        expectAllAsPoll(pair[0]);
        sendText(pair[1], "x");
        ck_assert_int_eq(askPoll(pair[0], READ_MASK), READ_MASK);
        expectAllAsPoll(pair[0]);
    }
}

/* §2.8 watch mask: of one with urgent data, one that is half closed, and one that is reset */
CASE(watchMask, troubledSocketsAnswerAsPollDoes)
{
    pairTcp(pair);
    ck_assert_int_eq(send(pair[1], "x", 1, MSG_OOB), 1);
    ck_assert(askPoll(pair[0], POLLPRI));
    expectAllAsPoll(pair[0]);
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    expectAllAsPoll(pair[0]);
    closeReset(pair[1]);
    pair[1] = -1;
    ck_assert(askPoll(pair[0], 0) & POLLERR);
    expectAllAsPoll(pair[0]);
}

/* §2.8 watch mask: of pipes, whole and broken */
CASE(watchMask, pipesAnswerAsPollDoes)
{
    ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
    expectAllAsPoll(pair[0]);
    expectAllAsPoll(pair[1]);
    ck_assert_int_eq(write(pair[1], "x", 1), 1);
    expectAllAsPoll(pair[0]);
    close(pair[0]);
    pair[0] = -1;
    ck_assert_int_eq(askPoll(pair[1], 0), POLLERR);
    expectAllAsPoll(pair[1]);
    close(pair[1]);
    ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
    close(pair[1]);
    pair[1] = -1;
    ck_assert_int_eq(askPoll(pair[0], 0), POLLHUP);
    expectAllAsPoll(pair[0]);
}

/* §2.8 watch mask: one for trouble alone is no paused one; it waits without a spin for what
 * comes later */
CASE(watchMask, waitsForTroubleAlone)
{
    for (int index = 0; index < 3; index++) {
        ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
        struct FastRingWatch* watch = add(pair[1], TROUBLE, allFlags[index]);
        runIdle(scene.ring); /* it is writable meanwhile */
        ck_assert_int_eq(calls, 0);
        ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
        close(pair[0]);
        waitCount(scene.ring, &calls, 1);
        ck_assert_int_eq(lastResult, POLLERR);
        RemoveFastRingWatch(watch);
        close(pair[1]);
        pair[0] = pair[1] = -1;
    }
}

/* §2.8 watch mask: reported again and again, once, or once for each change */
CASE(watchMask, normalBitsKeepTheirFlags)
{
    pairStream(pair);
    for (int index = 0; index < 3; index++) {
        struct FastRingWatch* watch = add(pair[0], POLLRDNORM, allFlags[index]);
        runIdle(scene.ring);
        ck_assert_int_eq(calls, 0);
        sendText(pair[1], "x");
        waitCount(scene.ring, &calls, 1);
        runTurns(scene.ring, 10);
        ck_assert_int_eq(lastResult, POLLRDNORM);
        if (index == 0)
            waitCount(scene.ring, &calls, 4);
        else
            ck_assert_int_eq(calls, 1);
        RemoveFastRingWatch(watch);
        expectText(pair[0], "x");
    }
}

static void sendUrgent(void)
{
    ck_assert_int_eq(send(pair[1], "!", 1, MSG_OOB), 1);
}

/* §2.8 urgent data: told of to who watches for that alone, and nothing else is */
CASE(watchMask, urgentDataAlone)
{
    for (int index = 0; index < 3; index++) {
        pairTcp(pair);
        struct FastRingWatch* watch = add(pair[0], POLLPRI, allFlags[index]);
        for (int round = 0; round < 3; round++) {
            sendText(pair[1], "plain");
            runIdle(scene.ring);
        }
        ck_assert_int_eq(calls, 0);
        sendUrgent();
        waitCount(scene.ring, &calls, 1);
        ck_assert_int_eq(lastResult, POLLPRI);
        RemoveFastRingWatch(watch);
        if (index < 2) {
            close(pair[0]);
            close(pair[1]);
        }
    }
}

/* §2.8 urgent data, §2.8 watch edge: beside input, which is told of as such */
CASE(watchMask, urgentDataBesideInput)
{
    pairTcp(pair);
    struct FastRingWatch* watch = add(pair[0], POLLIN | POLLPRI | POLLRDBAND, FASTRING_WATCH_EDGE);
    runIdle(scene.ring);
    sendText(pair[1], "plain");
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastResult, POLLIN);
    calls = 0;
    sendUrgent();
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastResult, POLLIN | POLLPRI);
    RemoveFastRingWatch(watch);
}

/* §2.8 watch mask: what poll(2) doesn't know */
CASE(watchMask, refusesOtherBits)
{
    pairStream(pair);
    struct FastRingWatch* watch = add(pair[0], POLLERR, 0);
    uint32_t known = 0;
    for (size_t index = 0; index < sizeof(bits) / sizeof(bits[0]); index++)
        known |= bits[index];
    for (int bit = 0; bit < 32; bit++) {
        uint32_t mask = UINT32_C(1) << bit;
        if (mask & known)
            continue;
        refuses(EINVAL, AddFastRingWatch(scene.ring, pair[0], mask, 0, count, NULL));
        refuses(EINVAL, AddFastRingWatch(scene.ring, pair[0], mask | POLLIN, 0, count, NULL));
        ck_assert_int_eq(UpdateFastRingWatch(watch, mask | POLLRDNORM), -EINVAL);
    }
    RemoveFastRingWatch(watch);
}
