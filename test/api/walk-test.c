/* WalkFastRing: which sockets are seen, and what its function may do. */
#include "records.h"
#include "services.h"

#include <setjmp.h>

enum
{
    SOCKETS = 5,
    ENOUGH = 7, /* what a function returns that has seen enough */
};

SCENE_AREA(walk, "walk");

static struct Recorder recorders[SOCKETS];
static int peers[SOCKETS];
static struct FastSocket* seen[SOCKETS * SOCKETS];
static int calls;

static void openAll(void)
{
    for (int index = 0; index < SOCKETS; index++)
        peers[index] = openBeside(KIND_UNIX_STREAM, &recorders[index]);
    calls = 0;
}

static void releaseOne(int index)
{
    ReleaseFastSocket(recorders[index].socket);
    recorders[index].socket = NULL;
}

static void closeAll(void)
{
    for (int index = 0; index < SOCKETS; index++) {
        releaseOne(index);
        close(peers[index]);
    }
}

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout, (void)closure;
}

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event, (void)parameter, (void)closure;
}

static int note(struct FastSocket* socket, void* closure)
{
    (void)closure;
    ck_assert_int_lt(calls, SOCKETS * SOCKETS);
    seen[calls++] = socket;
    return 0;
}

/* All of ours are seen, those made last first, but for one. */
static void expectAllBut(int left)
{
    int next = 0;

    for (int index = SOCKETS - 1; index >= 0; index--)
        if (index != left)
            ck_assert_ptr_eq(seen[next++], recorders[index].socket);
    ck_assert_int_eq(calls, next);
}

/* §3.2 walk: each socket once, the youngest first, before the first turn and behind it */
CASE(walk, seesEachOnce)
{
    openAll();
    ck_assert_int_eq(WalkFastRing(scene.ring, note, NULL), 0);
    expectAllBut(-1);
    runTurns(scene.ring, 3);
    calls = 0;
    ck_assert_int_eq(WalkFastRing(scene.ring, note, NULL), 0);
    expectAllBut(-1);
    closeAll();
}

CASE(walk, seesNothingElse)
{
    struct FastRingTimeout* timeout =
        SetFastRingTimeout(scene.ring, NULL, 100000, 0, onTimeout, NULL);

    calls = 0;
    ck_assert_int_eq(WalkFastRing(scene.ring, note, NULL), 0);
    ck_assert_int_eq(calls, 0);
    RemoveFastRingTimeout(timeout);
}

/* §3.2 walk of released ones: they are left out as long as the library works on them */
CASE(walk, leavesOutReleased)
{
    openAll();
    runTurns(scene.ring, 2);
    struct FastSocket* released = recorders[2].socket;
    ReleaseFastSocket(released);
    ck_assert_int_eq(WalkFastRing(scene.ring, note, NULL), 0);
    expectAllBut(2);
    recorders[2].socket = NULL;
    closeAll();
}

static int releaseItself(struct FastSocket* socket, void* closure)
{
    struct Recorder* recorder = GetFastSocketClosure(socket);

    (void)note(socket, closure);
    ck_assert_ptr_eq(recorder->socket, socket);
    if (calls % 2 == 0)
        ReleaseFastSocket(socket);
    else
        AbortFastSocket(socket);
    recorder->socket = NULL;
    return 0;
}

static int releaseOthers(struct FastSocket* socket, void* closure)
{
    (void)note(socket, closure);
    for (int index = 0; index < SOCKETS; index++)
        if (recorders[index].socket != socket)
            releaseOne(index);
    return 0;
}

/* §3.2 walk that releases: this socket and others, which are not seen any more */
CASE(walk, mayRelease)
{
    openAll();
    ck_assert_int_eq(WalkFastRing(scene.ring, releaseItself, NULL), 0);
    ck_assert_int_eq(calls, SOCKETS);
    closeAll();
    openAll();
    runTurns(scene.ring, 2);
    ck_assert_int_eq(WalkFastRing(scene.ring, releaseOthers, NULL), 0);
    ck_assert_int_eq(calls, 1);
    ck_assert_ptr_eq(seen[0], recorders[SOCKETS - 1].socket);
    closeAll();
}

static struct Recorder another;
static int anotherPeer;

static int makeAnother(struct FastSocket* socket, void* closure)
{
    (void)note(socket, closure);
    if (calls == 2)
        anotherPeer = openBeside(KIND_TCP, &another);
    return 0;
}

/* §3.2 walk that makes: what is made in it is not seen by it */
CASE(walk, doesNotSeeNewOnes)
{
    openAll();
    ck_assert_int_eq(WalkFastRing(scene.ring, makeAnother, NULL), 0);
    expectAllBut(-1);
    calls = 0;
    ck_assert_int_eq(WalkFastRing(scene.ring, note, NULL), 0);
    ck_assert_int_eq(calls, SOCKETS + 1);
    ck_assert_ptr_eq(seen[0], another.socket);
    ReleaseFastSocket(another.socket);
    close(anotherPeer);
    closeAll();
}

static int stopAtThird(struct FastSocket* socket, void* closure)
{
    (void)note(socket, closure);
    return calls == 3 ? ENOUGH : 0;
}

/* §3.2 walk that ends early: with what the function says */
CASE(walk, endsEarly)
{
    openAll();
    ck_assert_int_eq(WalkFastRing(scene.ring, stopAtThird, NULL), ENOUGH);
    ck_assert_int_eq(calls, 3);
    closeAll();
}

static int walkAgain(struct FastSocket* socket, void* closure)
{
    (void)socket;
    ck_assert_int_eq(WaitForFastRing(closure, 0, NULL), -EBUSY);
    ck_assert_int_eq(WalkFastRing(closure, note, NULL), 0);
    return 0;
}

/* §3.2 walk in a walk: each is whole, and no turn runs in either */
CASE(walk, mayWalkAgain)
{
    openAll();
    ck_assert_int_eq(WalkFastRing(scene.ring, walkAgain, scene.ring), 0);
    ck_assert_int_eq(calls, SOCKETS * SOCKETS);
    closeAll();
}

static void walkInTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    ck_assert_int_eq(WalkFastRing(scene.ring, releaseItself, closure), 0);
}

/* §3.2 walk: in a callback, too */
CASE(walk, worksInCallbacks)
{
    openAll();
    (void)SetFastRingTimeout(scene.ring, NULL, 0, 0, walkInTimeout, NULL);
    waitCount(scene.ring, &calls, SOCKETS);
    ck_assert_int_eq(calls, SOCKETS);
    closeAll();
}

static int releaseRing(struct FastSocket* socket, void* closure)
{
    (void)note(socket, NULL);
    if (calls == 1)
        ReleaseFastRing(closure);
    return 0;
}

static void walkAndRelease(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    ck_assert_int_eq(WalkFastRing(closure, releaseRing, closure), 0);
}

/* §3.2 walk that releases the ring: it ends behind the walk, or behind the turn */
CASE(walk, mayReleaseTheRing)
{
    openAll();
    runTurns(scene.ring, 2);
    releaseParts();
    ck_assert_int_eq(WalkFastRing(scene.ring, releaseRing, scene.ring), -ECANCELED);
    ck_assert_int_eq(calls, SOCKETS);
    for (int index = 0; index < SOCKETS; index++)
        ck_assert_int_eq(recorders[index].lastHangup, ECANCELED);
    scene.ring = NULL;
    closeAll();
}

CASE(walk, mayReleaseTheRingInATurn)
{
    openAll();
    (void)SetFastRingTimeout(scene.ring, NULL, 0, 0, walkAndRelease, scene.ring);
    releaseParts();
    waitRingEnd();
    ck_assert_int_eq(calls, SOCKETS);
    closeAll();
}

/* ---- left ---- */

static jmp_buf place;
static struct Running before; /* what the layer below the test knew */

/* false at first, and true where leave has come from. */
#define isLeft() (before = running, setjmp(place) != 0 ? (running = before, true) : false)

static int leave(struct FastSocket* socket, void* closure)
{
    (void)note(socket, closure);
    if (calls == 2)
        longjmp(place, 1);
    return 0;
}

static void walkAndLeave(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)WalkFastRing(scene.ring, leave, closure);
    ck_abort_msg("it was not left");
}

/* §3.2 walk that is left: outside of a turn and in one, the ring goes on */
CASE(walk, mayBeLeft)
{
    openAll();
    /* What is over and freed behind the last function of the turn before is not gone on with. */
    (void)SetFastRingTimeout(scene.ring, NULL, 0, 0, onTimeout, NULL);
    runTurns(scene.ring, 3);
    if (!isLeft())
        (void)WalkFastRing(scene.ring, leave, NULL);
    ck_assert_int_eq(calls, 2);
    calls = 0;
    ck_assert_int_eq(WalkFastRing(scene.ring, note, NULL), 0);
    expectAllBut(-1);
    runTurns(scene.ring, 2);
    sendText(peers[0], "on");
    receiveText(&recorders[0], "on");
    closeAll();
}

CASE(walk, mayBeLeftInATurn)
{
    openAll();
    runTurns(scene.ring, 2);
    (void)SetFastRingTimeout(scene.ring, NULL, 0, 0, walkAndLeave, NULL);
    if (!isLeft())
        runTurns(scene.ring, 1000);
    ck_assert_int_eq(calls, 2);
    calls = 0;
    ck_assert_int_eq(WalkFastRing(scene.ring, note, NULL), 0);
    expectAllBut(-1);
    sendText(peers[0], "on");
    receiveText(&recorders[0], "on");
    closeAll();
}

/* ---- refused ---- */

static void* walkElsewhere(void* closure)
{
    (void)closure;
    ck_assert_int_eq(WalkFastRing(scene.ring, note, NULL), -EPERM);
    return NULL;
}

/* §3.2 walk refused: NULL, another thread, and what is gone */
CASE(walk, isRefused)
{
    ck_assert_int_eq(WalkFastRing(NULL, note, NULL), -EINVAL);
    ck_assert_int_eq(WalkFastRing(scene.ring, NULL, NULL), -EINVAL);
    runTurns(scene.ring, 1);
    (void)inThread(walkElsewhere, NULL);
    struct FastRingEvent* event = CreateFastRingEvent(scene.ring, onEvent, NULL);
    struct FastRing* ring = scene.ring;
    endRing();
    ck_assert_int_eq(WalkFastRing(ring, note, NULL), -ECANCELED);
    ReleaseFastRingEvent(event);
}
