/* Calls that other threads post: each once, in the order of posting, whatever the ring does. */
#include "services.h"

#include <stdatomic.h>
#include <sys/wait.h>

enum
{
    THREADS = 8,
    POSTS = 5000,
};

static int calls;
static pthread_t home; /* the ring's thread */

static void openPosts(void)
{
    openScene();
    home = pthread_self();
}

AREA(post, "post", .open = openPosts, .close = closeScene);

/* closure: the number of the call, from 0. */
static void count(struct FastRing* ring, void* closure)
{
    ck_assert_ptr_eq(ring, scene.ring);
    ck_assert_int_eq((int)(intptr_t)closure, calls);
    ck_assert(pthread_equal(pthread_self(), home));
    calls++;
}

static void post(HandleFastRingCall function, intptr_t number)
{
    ck_assert_int_eq(PostFastRingCall(scene.ring, function, (void*)number), 0);
}

/* As many as the closure says. */
static void* postMany(void* closure)
{
    for (intptr_t number = 0; number < (intptr_t)closure; number++)
        post(count, number);
    return NULL;
}

/* §2.8 posted calls: in order, and in the ring's thread */
CASE(post, comesFromAnotherThread)
{
    runTurns(scene.ring, 2);
    inThread(postMany, (void*)100);
    ck_assert_int_eq(calls, 0);
    waitCount(scene.ring, &calls, 100);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 100);
}

/* §2.8 wake of posts: those of others that come together */
CASE(post, oneWakeIsEnough)
{
    runTurns(scene.ring, 2);
    uint64_t before = readRing(scene.ring).wakes;
    inThread(postMany, (void*)100);
    waitCount(scene.ring, &calls, 100);
    runIdle(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).wakes, before + 1);
}

/* §2.8 wake of posts: the ring's own thread needs none, and does not sleep */
CASE(post, ownThreadNeedsNoWake)
{
    runTurns(scene.ring, 2);
    uint64_t before = readRing(scene.ring).wakes;
    postMany((void*)10);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), 0);
    ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(calls, 10);
    runIdle(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).wakes, before);
}

CASE(post, isKeptBeforeTheFirstWait)
{
    inThread(postMany, (void*)10);
    waitCount(scene.ring, &calls, 10);
}

/* Of the ring's thread and of others, in one order. */
CASE(post, ownAndOtherThreadsKeepTheOrder)
{
    runTurns(scene.ring, 2);
    post(count, 0);
    inThread(postMany, 0);
    post(count, 1);
    waitCount(scene.ring, &calls, 2);
    ck_assert_int_eq(calls, 2);
}

/* ---- inside its function ---- */

static void postAgain(struct FastRing* ring, void* closure)
{
    calls++;
    int result = PostFastRingCall(ring, postAgain, closure);
    ck_assert(result == 0 || (result == -ECANCELED && calls > 20));
}

CASE(post, oneThatPostsAgainDoesNotHoldTheLoop)
{
    runTurns(scene.ring, 2);
    post(postAgain, 0);
    for (int turn = 1; turn <= 20; turn++) {
        runTurns(scene.ring, 1);
        ck_assert_int_eq(calls, turn);
    }
    reopenScene(.ringLength = 0); /* whose end refuses what would go on for ever */
}

CASE(post, turnsHaveABound)
{
    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_TURN_LIMIT, 7), 0);
    runTurns(scene.ring, 2);
    postMany((void*)20);
    runTurns(scene.ring, 1);
    ck_assert_int_eq(calls, 7);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), 0);
    runTurns(scene.ring, 1);
    ck_assert_int_eq(calls, 14);
    waitCount(scene.ring, &calls, 20);
}

static void releaseRing(struct FastRing* ring, void* closure)
{
    (void)closure;
    calls++;
    ReleaseFastRing(ring);
}

static void* postRelease(void* closure)
{
    ck_assert_int_eq(PostFastRingCall(closure, releaseRing, NULL), 0);
    return NULL;
}

/* Nothing is kept that would keep the ring: the poster may be on its way back yet. */
CASE_ROUNDS(post, releasesTheRingInside, 20)
{
    pthread_t thread;
    struct FastRing* ring = CreateFastRing(0);
    ck_assert_ptr_nonnull(ring);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, postRelease, ring), 0);
    while (WaitForFastRing(ring, UINT32_MAX, NULL) == 0)
        continue;
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* ---- many threads ---- */

static int lastOf[THREADS];

struct Poster
{
    int thread;
    int number;
};

static void note(struct FastRing* ring, void* closure)
{
    struct Poster* poster = closure;
    ck_assert_ptr_eq(ring, scene.ring);
    ck_assert(pthread_equal(pthread_self(), home));
    ck_assert_int_eq(poster->number, ++lastOf[poster->thread]);
    free(poster);
    calls++;
}

/* Returns how many were taken in: all, or those before the first refusal. Without ck_assert, whose
 * messages threads mix up. */
static void* postNumbered(void* closure)
{
    intptr_t number = 1;
    for (; number <= POSTS; number++) {
        struct Poster* poster = malloc(sizeof(*poster));
        if (poster == NULL)
            abort();
        *poster = (struct Poster){.thread = (int)(intptr_t)closure, .number = (int)number};
        int result = PostFastRingCall(scene.ring, note, poster);
        if (result == 0)
            continue;
        if (result != -ECANCELED)
            abort();
        free(poster);
        break;
    }
    return (void*)(number - 1);
}

static void startAll(pthread_t* threads)
{
    for (intptr_t index = 0; index < THREADS; index++)
        ck_assert_int_eq(
            pthread_create(&threads[index], NULL, postNumbered, (void*)index), 0);
}

static void expectAll(pthread_t* threads)
{
    for (int index = 0; index < THREADS; index++) {
        void* taken;
        ck_assert_int_eq(pthread_join(threads[index], &taken), 0);
        ck_assert_int_eq(lastOf[index], (int)(intptr_t)taken);
    }
}

/* §2.8 posted calls: of many threads, none is lost and none is called twice */
CASE(post, comeFromManyThreads)
{
    pthread_t threads[THREADS];
    startAll(threads);
    while (calls < THREADS * POSTS)
        ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
    expectAll(threads);
    ck_assert_int_eq(calls, THREADS * POSTS);
}

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event, (void)parameter, (void)closure;
}

/* §2.8 posted calls: what was taken in has run when the ring is gone, and nothing is taken in then
 */
CASE_ROUNDS(post, postersOutliveTheRing, 10)
{
    pthread_t threads[THREADS];
    struct FastRingEvent* keeper = CreateFastRingEvent(scene.ring, onEvent, NULL);
    ck_assert_ptr_nonnull(keeper);
    runTurns(scene.ring, 1);
    startAll(threads);
    waitCount(scene.ring, &calls, 1 + round * 300);
    struct FastRing* ring = scene.ring;
    ReleaseFastRing(ring);
    int before = calls;
    expectAll(threads);
    ck_assert_int_eq(calls, before);
    ck_assert_int_eq(PostFastRingCall(ring, count, NULL), -ECANCELED);
    ReleaseFastRingEvent(keeper);
    scene.ring = NULL;
}

/* What ends it is a call that may wait, as an assertion does. */
static void* postAndEnd(void* closure)
{
    (void)pthread_cancel(pthread_self());
    (void)PostFastRingCall(scene.ring, count, closure);
    pthread_testcancel();
    return closure;
}

/* §2.8 wake of posts: also by a thread that is about to end by pthread_cancel */
CASE(post, thoseWhoAreCanceledWakeIt)
{
    runTurns(scene.ring, 2);
    for (intptr_t number = 0; number < 2; number++) {
        ck_assert_ptr_eq(inThread(postAndEnd, (void*)number), PTHREAD_CANCELED);
        waitCount(scene.ring, &calls, (int)number + 1);
    }
}

/* ---- the end of the ring ---- */

CASE(post, runsAtTheEnd)
{
    runTurns(scene.ring, 1);
    inThread(postMany, (void*)10);
    struct FastRing* ring = scene.ring;
    ReleaseFastRing(ring);
    ck_assert_int_eq(calls, 10);
    scene.ring = NULL;
}

CASE(post, runsAtTheEndOfARingThatNeverRan)
{
    inThread(postMany, (void*)10);
    struct FastRing* ring = scene.ring;
    ReleaseFastRing(ring);
    ck_assert_int_eq(calls, 10);
    scene.ring = NULL;
}

static struct FastRingTimeout* timeout;

static void onTimeout(struct FastRingTimeout* which, void* closure)
{
    (void)which, (void)closure;
    ck_abort_msg("never");
}

static void useAndPost(struct FastRing* ring, void* closure)
{
    calls++;
    RemoveFastRingTimeout(timeout);
    timeout = NULL;
    if (scene.ours.socket != NULL)
        ReleaseFastSocket(scene.ours.socket);
    scene.ours.socket = NULL;
    int result = PostFastRingCall(ring, useAndPost, closure);
    ck_assert(result == 0 || result == -ECANCELED);
}

/* What the last calls queue is done, and they don't go on for ever. */
CASE(post, lastOnesMayUseTheRing)
{
    openPair(KIND_TCP);
    runTurns(scene.ring, 1);
    timeout = SetFastRingTimeout(scene.ring, NULL, 100000, 0, onTimeout, NULL);
    post(useAndPost, 0);
    ReleaseFastRing(scene.ring);
    ck_assert_int_ge(calls, 1);
    ck_assert_ptr_null(timeout);
    scene.ring = NULL;
}

static void* runAndPost(void* closure)
{
    home = pthread_self();
    ck_assert_int_eq(WaitForFastRing(closure, 0, NULL), 0);
    ck_assert_int_eq(PostFastRingCall(closure, count, (void*)0), 0);
    ck_assert_int_eq(PostFastRingCall(closure, count, (void*)1), 0);
    return NULL;
}

/* §2.8 posted calls: the ring's thread has exited, and who releases the ring runs them */
CASE(post, outlivesTheThread)
{
    inThread(runAndPost, scene.ring);
    home = pthread_self();
    ReleaseFastRing(scene.ring);
    ck_assert_int_eq(calls, 2);
    scene.ring = NULL;
}

/* ---- bad input ---- */

CASE(post, refusesBadInput)
{
    int status = -1;
    ck_assert_int_eq(PostFastRingCall(NULL, count, NULL), -EINVAL);
    ck_assert_int_eq(PostFastRingCall(scene.ring, NULL, NULL), -EINVAL);
    runTurns(scene.ring, 1);
    pid_t child = fork();
    if (child == 0)
        _exit(PostFastRingCall(scene.ring, count, NULL) == -EPERM ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
