/*
 * The life of a ring.
 *
 * Good path: created on any thread, started by the first wait, released on its thread. The release
 * tells the members that the ring ends, so that they tell their users and cancel what is in flight;
 * runs the loop until every operation is final; closes the members, which become defunct; closes
 * the engine. The memory stays until the last of them is released.
 *
 * A function of the user's may leave the turn that calls it, or the end, without a return: by
 * longjmp, or an exception. The next wait, or release, finds that the frame of the former is gone,
 * has done what should have followed the call, and goes on.
 *
 * Failures: released inside a callback: done when the turn ends. The ring's thread has exited: the
 * kernel refuses every call, so nothing can be reaped; members close what they can and leak what
 * the kernel may still write to.
 */
#include "ring/life.h"
#include "base/cause.h"
#include "base/place.h"
#include "base/trace.h"
#include "engine/open.h"
#include "ring/call.h"
#include "ring/flusher.h"
#include "ring/misuse.h"
#include "ring/option.h"
#include "ring/shared.h"
#include "ring/spare.h"
#include "ring/timers.h"
#include "ring/trace.h"
#include "ring/turn.h"

#include <stdlib.h>

enum
{
    RING_DEFAULT_LENGTH = 256,
    /* an operation of a file and what is linked behind it (FAST_TRAILED) go together */
    RING_MIN_LENGTH = 2,
    RING_MAX_LENGTH = 32768,
};

/* ---- creation ---- */

static struct FastRing* makeRing(struct FastEngine* engine)
{
    struct FastRing* ring = calloc(1, sizeof(*ring));
    if (ring == NULL)
        return NULL;
    ring->scratch.memory = malloc(FAST_RING_SCRATCH);
    if (ring->scratch.memory == NULL) {
        free(ring);
        return NULL;
    }
    ring->engine = engine;
    ring->tcpHandle = -1;
    FastThreadMakeLife(&ring->life);
    atomic_init(&ring->references, 1);
    FastForkWatch();
    ring->forks = FastForkCount();
    FastCheckBegin();
    FastTraceBegin();
    ring->opened = FastCheckRuns() || FastTraceRuns() ? FAST_RING_SHUT : ring->forks;
    FastRingSetOutside(ring, false);
    if (FastCheckRuns())
        FastCheckMade(ring, "ring", NULL);
    FastRingSetDefaults(ring);
    FastRingPrepareMemory(ring);
    FastRingPrepareCalls(ring);
    FastRingPrepareLastly(ring);
    return ring;
}

struct FastRing* FastRingCreateOn(struct FastEngine* engine)
{
    struct FastRing* ring = makeRing(engine);
    if (ring == NULL) {
        engine->functions->close(engine);
        engine->functions->destroy(engine);
        errno = ENOMEM;
        FastCauseSay("there is not enough memory (ENOMEM) for the ring itself: free some");
    }
    return ring;
}

const char* GetFastRingCreateError(void)
{
    return FastCauseGet();
}

static int checkLength(uint32_t length)
{
    if (length <= RING_MAX_LENGTH)
        return 0;
    FastCauseSay("the length %u is more than %d: give the number of entries that are submitted at "
                 "once, or 0 to leave it to the library; it bounds nothing else",
                 length, RING_MAX_LENGTH);
    return -EINVAL;
}

struct FastRing* CreateFastRing(uint32_t length)
{
    struct FastEngine* engine;
    FastCauseForget();
    int result = checkLength(length);
    if (length == 0)
        length = RING_DEFAULT_LENGTH;
    else if (length < RING_MIN_LENGTH)
        length = RING_MIN_LENGTH;
    if (result == 0)
        result = FastEngineOpen(&engine, FastRingRoundUp(length));
    if (result < 0) {
        errno = -result;
        return NULL;
    }
    return FastRingCreateOn(engine);
}

/* ---- running ---- */

/* The calling thread becomes the ring's. */
static void start(struct FastRing* ring)
{
    FastThreadSetMark(&ring->owner);
    FastThreadBeginLife(&ring->life);
    atomic_store(&ring->state, RING_RUNNING);
    FastRingArmCalls(ring);
    while (ring->starters != NULL) {
        struct FastRingStarter* starter = ring->starters;
        ring->starters = starter->next;
        starter->function(starter);
    }
}

/* ---- release ---- */

/* Whether the thread that the ring belongs to is no more: its end has canceled what it had in the
 * kernel. */
static bool ownerIsGone(struct FastRing* ring)
{
    return !FastRingIsOwned(ring) && FastThreadHasDied(&ring->life);
}

static void endMembers(struct FastRing* ring)
{
    while (ring->nextToEnd != NULL) {
        struct FastRingMember* member = ring->nextToEnd;
        ring->nextToEnd = member->next;
        if (member->functions->end != NULL)
            member->functions->end(member);
    }
}

static void closeMembers(struct FastRing* ring, bool orderly)
{
    while (ring->members != NULL) {
        struct FastRingMember* member = ring->members;
        const struct FastRingMemberFunctions* functions = member->functions;
        FastRingUnlink(ring, member);
        functions->close(member, orderly);
    }
}

/* From here on the ring is memory for what outlives it. */
static void closeRing(struct FastRing* ring, bool orderly)
{
    ring->closing = true;
    ring->disorderly = !orderly;
    atomic_store(&ring->state, RING_ENDING);
    (void)FastRingCloseCalls(ring); /* nobody has run them if the ring's thread has exited */
    if (FastCheckRuns() && FastRingIsOwned(ring)) /* nobody else could have released them */
        FastRingCheckMembers(ring);
    closeMembers(ring, orderly);
    FastRingFreeSpares(ring);
    FastRingForgetShared(ring);
    FastRingTraceEnd(ring);
    if (FastRingIsOwned(ring))
        FastThreadEndLife(&ring->life);
    atomic_store(&ring->state, RING_RELEASED);
    ring->engine->functions->close(ring->engine);
    if (!orderly)
        /* what is leaked may hold the ring for ever */
        ring->engine->functions->closeHandles(ring->engine);
    FastRingRunLastly(ring);
    if (FastCheckRuns() && orderly)
        FastRingCheckBuffers(ring);
    FastRingDrop(ring);
}

static void beginEnd(struct FastRing* ring)
{
    if (!FastRingIsStarted(ring))
        start(ring);
    atomic_store(&ring->state, RING_ENDING);
    FastThreadClearMark(&ring->owner); /* from now on calls look at the state */
    ring->nextToEnd = ring->members;
}

/* What ReleaseFastRing does, on the ring's thread; again where a callback has left the last one. */
static void end(struct FastRing* ring)
{
    if (!FastRingIsEnding(ring))
        beginEnd(ring);
    ring->turn.running = true; /* a callback may not run the loop */
    endMembers(ring);
    FastRingRunFlushers(ring, FASTRING_REASON_RELEASED);
    FastRingDrain(ring);
    closeRing(ring, ring->statistics.operations == 0);
}

/* ---- a turn whose frame is gone ---- */

static inline void enterFrame(struct FastRing* ring, const char* place)
{
    ring->turn.running = true;
    FastFrameNote(&ring->turn.frame, place);
}

/* Whether the caller, whose frame is at place, may run the ring: no turn is running, nor has one
 * been left. */
static bool mayRun(struct FastRing* ring, const char* place)
{
    return !ring->turn.running || FastFrameIsGone(&ring->turn.frame, place);
}

/* Runs the end in the caller's frame, behind what a former one has left. */
static void endHere(struct FastRing* ring, const char* place)
{
    bool left = ring->turn.running;
    enterFrame(ring, place);
    if (left)
        FastRingGoOn(ring);
    end(ring);
}

static bool isOver(const struct FastRing* ring)
{
    if (!FastRingIsReleased(ring))
        return false;
    if (FastCheckRuns())
        FastCheckReleased(ring, "ring");
    return true;
}

/* An end that a callback has left is gone on with by another release. */
static int checkRelease(const struct FastRing* ring)
{
    return FastRingIsEnding(ring) ? FastRingCheck(ring) : FastRingCheckRelease(ring, ring);
}

void ReleaseFastRing(struct FastRing* ring)
{
    if (ring == NULL || isOver(ring) || FastRingIsForked(ring) || ring->disorderly)
        return;
    if (ownerIsGone(ring))
        closeRing(ring, false);
    else if (checkRelease(ring) < 0)
        return;
    else if (mayRun(ring, FAST_FRAME_PLACE))
        endHere(ring, FAST_FRAME_PLACE);
    else
        ring->turn.releaseWanted = true;
    FastPlaceStay();
}

/* ---- functions that are called in no turn ---- */

/* What a turn that was left has still to do stays noted. */
void FastRingBeginVisit(struct FastRing* ring, struct FastRingVisit* visit, const char* place)
{
    visit->outside = mayRun(ring, place);
    visit->left = ring->turn.running;
    visit->frame = ring->turn.frame;
    if (!visit->outside)
        return;
    if (!visit->left)
        FastRingLeave(ring, NULL, NULL);
    enterFrame(ring, place);
}

int FastRingEndVisit(struct FastRing* ring, const struct FastRingVisit* visit)
{
    if (!visit->outside)
        return 0;
    if (!visit->left && ring->turn.releaseWanted) {
        end(ring);
        return -ECANCELED;
    }
    ring->turn.running = visit->left;
    ring->turn.frame = visit->frame;
    return 0;
}

/* ---- the wait ---- */

/* An end that was left is what is wanted then, too. */
__attribute__((noinline)) static void goOnHere(struct FastRing* ring)
{
    FastRingGoOn(ring);
    if (FastRingIsEnding(ring))
        ring->turn.releaseWanted = true;
}

int WaitForFastRing(struct FastRing* ring, uint32_t interval, sigset_t* mask)
{
    int result = FastRingCheck(ring);
    if (result < 0)
        return result;
    if (!mayRun(ring, FAST_FRAME_PLACE))
        return -EBUSY;
    if (!FastRingIsStarted(ring))
        start(ring);

    bool left = ring->turn.running;
    enterFrame(ring, FAST_FRAME_PLACE);
    if (ring->turn.outside)
        FastRingSetOutside(ring, false);
    if (left)
        goOnHere(ring);
    if (!ring->turn.releaseWanted)
        result = FastRingRunTurn(ring, interval, mask);
    ring->turn.running = false;
    if (ring->turn.releaseWanted) {
        end(ring);
        result = -ECANCELED;
    }
    return result;
}
