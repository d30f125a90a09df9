/* Signals: who hears of them, and what becomes of the mask. */
#include "services.h"

#include <signal.h>
#include <sys/wait.h>

enum
{
    CHILDREN = 40,
};

static int calls;
static int lastCode;
static int lastProcess;
static int lastValue;
static struct FastRingSignal* signals[8];

SCENE_AREA(signal, "signal");

static bool isBlocked(int number)
{
    sigset_t mask;
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    return sigismember(&mask, number) > 0;
}

static void count(struct FastRingSignal* signal, int number, int code, int process, int value,
                  void* closure)
{
    ck_assert_ptr_nonnull(signal);
    ck_assert_int_eq(number, (int)(intptr_t)closure);
    calls++;
    lastCode = code;
    lastProcess = process;
    lastValue = value;
}

static void never(struct FastRingSignal* signal, int number, int code, int process, int value,
                  void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value, (void)closure;
    ck_abort_msg("called");
}

static struct FastRingSignal* add(struct FastRing* ring, int number, HandleFastRingSignal function)
{
    struct FastRingSignal* signal =
        AddFastRingSignal(ring, number, function, (void*)(intptr_t)number);
    ck_assert_ptr_nonnull(signal);
    return signal;
}

/* §2.8 signals: of the process and of the thread, with who has sent them */
CASE(signal, tellsWhatCame)
{
    signals[0] = add(scene.ring, SIGUSR1, count);
    runTurns(scene.ring, 2);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
    ck_assert_int_eq(calls, 0);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastCode, SI_USER);
    ck_assert_int_eq(lastProcess, getpid());
    ck_assert_int_eq(lastValue, 0);
    ck_assert_int_eq(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = -7}), 0);
    waitCount(scene.ring, &calls, 2);
    ck_assert_int_eq(lastCode, SI_QUEUE);
    ck_assert_int_eq(lastValue, -7);
    ck_assert_int_eq(pthread_kill(pthread_self(), SIGUSR1), 0);
    waitCount(scene.ring, &calls, 3);
    ck_assert_int_eq(lastCode, SI_TKILL);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 3);
    RemoveFastRingSignal(signals[0]);
}

static void* killLater(void* closure)
{
    (void)closure;
    ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
    return NULL;
}

CASE(signal, endsAnEndlessWait)
{
    pthread_t thread;
    signals[0] = add(scene.ring, SIGTERM, count);
    runTurns(scene.ring, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, killLater, NULL), 0);
    while (calls == 0)
        ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
    pthread_join(thread, NULL);
    RemoveFastRingSignal(signals[0]);
}

CASE(signal, comesBeforeTheFirstWait)
{
    signals[0] = add(scene.ring, SIGUSR1, count);
    raise(SIGUSR1);
    waitCount(scene.ring, &calls, 1);
    RemoveFastRingSignal(signals[0]);
}

/* The mask of a wait takes the place of the thread's, and would let it in. */
CASE(signal, isNotLetInByAMask)
{
    sigset_t none;
    sigemptyset(&none);
    signals[0] = add(scene.ring, SIGUSR1, count);
    runTurns(scene.ring, 2);
    raise(SIGUSR1);
    while (calls == 0)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1000, &none), 0);
    RemoveFastRingSignal(signals[0]);
}

/* ---- children ---- */

static int ended;

static void reap(struct FastRingSignal* signal, int number, int code, int process, int value,
                 void* closure)
{
    int status;
    pid_t child;
    (void)signal, (void)process, (void)value, (void)closure;
    ck_assert_int_eq(number, SIGCHLD);
    ck_assert_int_eq(code, CLD_EXITED);
    calls++;
    while ((child = waitpid(-1, &status, WNOHANG)) > 0) {
        ck_assert(WIFEXITED(status));
        ended++;
    }
}

/* §2.8 signals: children that end together */
CASE(signal, reapsBurstsOfChildren)
{
    signals[0] = add(scene.ring, SIGCHLD, reap);
    runTurns(scene.ring, 1);
    for (int index = 0; index < CHILDREN; index++) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0)
            _exit(index);
    }
    waitCount(scene.ring, &ended, CHILDREN);
    ck_assert_int_ge(calls, 1);
    RemoveFastRingSignal(signals[0]);
}

CASE(signal, tellsAChildsStatus)
{
    int status;
    signals[0] = add(scene.ring, SIGCHLD, count);
    runTurns(scene.ring, 1);
    pid_t child = fork();
    if (child == 0)
        _exit(42);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(lastCode, CLD_EXITED);
    ck_assert_int_eq(lastProcess, child);
    ck_assert_int_eq(lastValue, 42);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    RemoveFastRingSignal(signals[0]);
}

/* ---- several ---- */

/* §2.8 signals: everyone in the thread hears, on whichever ring */
CASE(signal, everyoneHears)
{
    struct FastRing* other = CreateFastRing(0);
    runTurns(scene.ring, 1);
    runTurns(other, 1);
    signals[0] = add(scene.ring, SIGUSR1, count);
    signals[1] = add(scene.ring, SIGUSR2, never);
    signals[2] = add(scene.ring, SIGUSR1, count);
    signals[3] = add(other, SIGUSR1, count);
    runTurns(scene.ring, 2);
    runTurns(other, 2);
    raise(SIGUSR1);
    waitCount(scene.ring, &calls, 3);
    raise(SIGUSR1);
    waitCount(other, &calls, 6);
    runIdle(scene.ring);
    runIdle(other);
    ck_assert_int_eq(calls, 6);
    RemoveFastRingSignal(signals[0]);
    RemoveFastRingSignal(signals[3]);
    raise(SIGUSR1);
    waitCount(scene.ring, &calls, 7);
    for (int index = 1; index < 3; index++)
        RemoveFastRingSignal(signals[index]);
    ReleaseFastRing(other);
}

static struct FastRing* another;

static void removeAll(struct FastRingSignal* signal, int number, int code, int process, int value,
                      void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value, (void)closure;
    calls++;
    for (int index = 0; index < 4; index++)
        RemoveFastRingSignal(signals[index]);
    ReleaseFastRing(another);
}

CASE(signal, oneRemovesAllInside)
{
    another = CreateFastRing(0);
    runTurns(scene.ring, 1);
    runTurns(another, 1);
    signals[0] = add(scene.ring, SIGUSR1, removeAll);
    signals[1] = add(scene.ring, SIGUSR1, never);
    signals[2] = add(another, SIGUSR1, never);
    signals[3] = add(another, SIGUSR2, never);
    raise(SIGUSR1);
    waitCount(scene.ring, &calls, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
    ck_assert(!isBlocked(SIGUSR1) && !isBlocked(SIGUSR2));
}

static void addAnother(struct FastRingSignal* signal, int number, int code, int process, int value,
                       void* closure)
{
    (void)code, (void)process, (void)value, (void)closure;
    calls++;
    RemoveFastRingSignal(signal);
    signals[0] = add(scene.ring, number, addAnother);
}

/* Who is added meanwhile hears from the next on. */
CASE(signal, oneThatAddsAnotherDoesNotHoldTheLoop)
{
    signals[0] = add(scene.ring, SIGUSR1, addAnother);
    runTurns(scene.ring, 1);
    for (int number = 1; number <= 3; number++) {
        raise(SIGUSR1);
        waitCount(scene.ring, &calls, number);
        runIdle(scene.ring);
        ck_assert_int_eq(calls, number);
    }
    RemoveFastRingSignal(signals[0]);
}

static void releaseRing(struct FastRingSignal* signal, int number, int code, int process, int value,
                        void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value, (void)closure;
    calls++;
    ReleaseFastRing(scene.ring);
}

CASE(signal, releasesTheRingInside)
{
    signals[0] = add(scene.ring, SIGUSR1, releaseRing);
    runTurns(scene.ring, 1);
    raise(SIGUSR1);
    waitRingEnd();
    ck_assert_int_eq(calls, 1);
    ck_assert(!isBlocked(SIGUSR1));
    RemoveFastRingSignal(signals[0]);
}

/* ---- what has not been told ---- */

/* Of two that come at once, the calls of a handler. The thread sanitizer calls it later, once for
 * each number. */
#if defined(__SANITIZE_THREAD__)
#define OF_TWO 1
#else
#define OF_TWO 2
#endif

static int handled;

static void handle(int number)
{
    (void)number;
    handled++;
}

static void removeTwo(struct FastRingSignal* signal, int number, int code, int process, int value,
                      void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value, (void)closure;
    calls++;
    for (int index = 0; index < 2; index++)
        RemoveFastRingSignal(signals[index]);
}

/* §2.8 signals: what came behind one whose function removes them does what it does without a
 * ring */
CASE(signal, leavesWhatItHasNotTold)
{
    const struct sigaction action = {.sa_handler = handle};
    ck_assert_int_eq(sigaction(SIGUSR2, &action, NULL), 0);
    ck_assert_int_eq(sigaction(SIGRTMIN, &action, NULL), 0);
    signals[0] = add(scene.ring, SIGUSR1, removeTwo);
    signals[1] = add(scene.ring, SIGUSR2, never);
    runTurns(scene.ring, 1);
    raise(SIGUSR1);
    raise(SIGUSR2);
    waitCount(scene.ring, &calls, 1);
    ck_assert_int_eq(handled, 1);

    signals[0] = add(scene.ring, SIGRTMIN, removeTwo);
    signals[1] = NULL;
    for (int index = 0; index < 3; index++)
        raise(SIGRTMIN);
    waitCount(scene.ring, &calls, 2);
    ck_assert_int_eq(handled, 1 + OF_TWO);
}

/* ---- the mask ---- */

/* §2.8 signal mask: as it was, when the last one is removed */
CASE(signal, leavesTheMaskAsItWas)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &mask, NULL), 0);
    signals[0] = add(scene.ring, SIGUSR1, count);
    signals[1] = add(scene.ring, SIGUSR1, count);
    signals[2] = add(scene.ring, SIGUSR2, count);
    ck_assert(isBlocked(SIGUSR1) && isBlocked(SIGUSR2));
    RemoveFastRingSignal(signals[1]);
    ck_assert(isBlocked(SIGUSR1));
    RemoveFastRingSignal(signals[0]);
    RemoveFastRingSignal(signals[2]);
    ck_assert(!isBlocked(SIGUSR1) && isBlocked(SIGUSR2));
    signals[0] = add(scene.ring, SIGUSR1, count);
    raise(SIGUSR1);
    waitCount(scene.ring, &calls, 1);
    RemoveFastRingSignal(signals[0]);
    ck_assert_int_eq(pthread_sigmask(SIG_UNBLOCK, &mask, NULL), 0);
}

/* §2.8 signal mask: the end of the ring gives it back */
CASE(signal, isAShellAfterTheRing)
{
    for (int turns = 0; turns < 3; turns++) {
        struct FastRing* ring = CreateFastRing(0);
        signals[0] = add(ring, SIGUSR1, never);
        signals[1] = add(ring, SIGUSR2, never);
        runTurns(ring, turns);
        ReleaseFastRing(ring);
        ck_assert(!isBlocked(SIGUSR1) && !isBlocked(SIGUSR2));
        RemoveFastRingSignal(signals[0]);
        RemoveFastRingSignal(signals[1]);
    }
}

static void* addAndExit(void* closure)
{
    ck_assert_int_eq(WaitForFastRing(closure, 0, NULL), 0);
    signals[0] = add(closure, SIGUSR1, never);
    runTurns(closure, 2);
    return NULL;
}

CASE(signal, outlivesTheThread)
{
    struct FastRing* ring = CreateFastRing(0);
    inThread(addAndExit, ring);
    ReleaseFastRing(ring);
    RemoveFastRingSignal(signals[0]);
    ck_assert(!isBlocked(SIGUSR1));
}

static void* runElsewhere(void* closure)
{
    ck_assert_int_eq(WaitForFastRing(closure, 0, NULL), 0);
    ck_assert(isBlocked(SIGUSR1));
    raise(SIGUSR1);
    waitCount(closure, &calls, 1);
    RemoveFastRingSignal(signals[0]);
    ReleaseFastRing(closure);
    return NULL;
}

/* A ring that becomes another thread's takes its signals along. */
CASE(signal, goesWithTheRing)
{
    struct FastRing* ring = CreateFastRing(0);
    signals[0] = add(ring, SIGUSR1, count);
    inThread(runElsewhere, ring);
    ck_assert_int_eq(calls, 1);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    ck_assert_int_eq(pthread_sigmask(SIG_UNBLOCK, &mask, NULL), 0);
}

/* ---- bad input ---- */

static void* useInThread(void* closure)
{
    (void)closure;
    refuses(EPERM, AddFastRingSignal(scene.ring, SIGUSR1, never, NULL));
    RemoveFastRingSignal(signals[0]); /* does nothing */
    return NULL;
}

/* §2.8 signals: numbers that can't be heard */
CASE(signal, refusesBadInput)
{
    static const int wrong[] = {0, -1, SIGKILL, SIGSTOP, 32, 33, 65, 1000, INT32_MAX, INT32_MIN};
    for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++)
        refuses(EINVAL, AddFastRingSignal(scene.ring, wrong[index], never, NULL));
    refuses(EINVAL, AddFastRingSignal(NULL, SIGUSR1, never, NULL));
    refuses(EINVAL, AddFastRingSignal(scene.ring, SIGUSR1, NULL, NULL));
    RemoveFastRingSignal(NULL);
    ck_assert(!isBlocked(SIGUSR1));
    signals[0] = add(scene.ring, SIGUSR1, count);
    signals[1] = add(scene.ring, 64, never);
    runTurns(scene.ring, 1);
    inThread(useInThread, NULL);
    raise(SIGUSR1);
    waitCount(scene.ring, &calls, 1);
    RemoveFastRingSignal(signals[0]);
    RemoveFastRingSignal(signals[1]);
}
