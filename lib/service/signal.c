/*
 * Signals.
 *
 * Good path: a ring has one signalfd for all of its numbers, and a watch on that. What can be read
 * is told by a task of the dispatch phase: to each who wants to hear of the number, of all rings of
 * the thread, since the kernel gives a signal to one reader alone. Who is added meanwhile hears
 * from the next signal on.
 *
 * One is told before the next is read: so what has not been told is still with the kernel.
 *
 * Where the telling has come to stands in the set, not on the stack, so that it goes on whatever a
 * function does: remove any, release another ring, or never return.
 *
 * A thread's sets form a list from the first wait of their rings on. The end of a ring takes its
 * set out, gives the mask back, and leaves the signals defunct. When the ring's thread has exited,
 * its list is gone with it.
 */
#include "service/signal-mask.h"

#include "base/dump.h"
#include "base/handle.h"
#include "ring/ring.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum
{
    SIGNAL_BATCH = 16, /* that are told in a turn */
};

struct FastRingSignal
{
    struct FastRing* ring;
    struct FastSignalSet* set; /* NULL: the ring is gone */
    struct FastRingSignal* next;
    struct FastRingSignal* previous;
    struct FastSignalThread* blocked; /* where the number is */
    uint64_t thread;                  /* the number of that one */
    uint64_t born;                    /* the round in which it was added */
    HandleFastRingSignal function;
    void* closure;
    int number;
};

/* Those of a ring. */
struct FastSignalSet
{
    struct FastRing* ring;
    struct FastRingMember member;
    struct FastRingStarter starter;
    struct FastTask tell;
    struct FastTask last;
    struct FastSignalThread* thread; /* whose list it is in; NULL: none */
    struct FastSignalSet* next;      /* of the thread's */
    struct FastRingSignal* first;
    struct FastRingSignal* final;
    struct FastRingWatch* watch;
    sigset_t numbers;
    int handle; /* signalfd; negative: none */

    struct
    {
        struct signalfd_siginfo info;
        struct FastSignalSet* set; /* NULL: all have heard of it */
        struct FastRingSignal* next;
        uint64_t round;
        bool begun;
    } told; /* the one that was read last, and where its telling has come to */
};

static void onStart(struct FastRingStarter* starter);

/* ---- telling ---- */

static void stand(struct FastSignalSet* set, struct FastSignalSet* in)
{
    set->told.set = in;
    set->told.next = in != NULL ? in->first : NULL;
}

/* The next one who wants to hear of the number; NULL: all have. */
static struct FastRingSignal* findListener(struct FastSignalSet* set, int number)
{
    while (set->told.set != NULL) {
        struct FastRingSignal* signal = set->told.next;
        if (signal == NULL) {
            stand(set, set->told.set->next);
            continue;
        }
        set->told.next = signal->next;
        if (signal->number == number && signal->born < set->told.round)
            return signal;
    }
    return NULL;
}

/* What concerns the program, of what the kernel says. */
static int valueOf(const struct signalfd_siginfo* info)
{
    int code = info->ssi_code;
    if (info->ssi_signo == SIGCHLD && code > 0)
        return info->ssi_status;
    return code == SI_QUEUE || code == SI_TIMER || code == SI_MESGQ ? info->ssi_int : 0;
}

static int processOf(const struct signalfd_siginfo* info)
{
    return info->ssi_code == SI_TIMER ? 0 : (int)info->ssi_pid;
}

/* A function did not return. */
static void goOn(void* closure)
{
    struct FastSignalSet* set = closure;
    FastRingNotify(set->ring, &set->tell);
}

/* false: there is none. */
static bool readNext(struct FastSignalSet* set)
{
    if (set->handle < 0 || read(set->handle, &set->told.info, sizeof(set->told.info)) <= 0)
        return false;
    set->told.begun = true;
    set->told.round = ++set->thread->rounds;
    stand(set, set->thread->sets);
    return true;
}

static void tellAll(struct FastSignalSet* set)
{
    const struct signalfd_siginfo* info = &set->told.info;
    int number = (int)info->ssi_signo;
    struct FastRingSignal* signal;
    while ((signal = findListener(set, number)) != NULL) {
        FastRingLeave(set->ring, goOn, set);
        signal->function(signal, number, info->ssi_code, processOf(info), valueOf(info),
                         signal->closure);
    }
    set->told.begun = false;
}

/* What is left has the watch called again. */
static bool runTell(struct FastTask* task)
{
    struct FastSignalSet* set = FAST_CONTAINER(task, struct FastSignalSet, tell);
    if (set->thread == NULL)
        onStart(&set->starter);
    for (int count = 0; count < SIGNAL_BATCH && set->thread != NULL; count++) {
        if (!set->told.begun && !readNext(set))
            break;
        tellAll(set);
    }
    return true;
}

static void onReadable(struct FastRingWatch* watch, int result, void* closure)
{
    struct FastSignalSet* set = closure;
    (void)watch, (void)result;
    FastRingNotify(set->ring, &set->tell);
}

/* ---- lists ---- */

/* Those who are about to tell it pass it by. */
static void forgetSignal(const struct FastRingSignal* signal)
{
    struct FastSignalThread* thread = signal->set->thread;
    struct FastSignalSet* set = thread != NULL ? thread->sets : NULL;
    for (; set != NULL; set = set->next)
        if (set->told.next == signal)
            set->told.next = signal->next;
}

static void unlinkSignal(struct FastRingSignal* signal)
{
    struct FastSignalSet* set = signal->set;
    forgetSignal(signal);
    if (signal->previous != NULL)
        signal->previous->next = signal->next;
    else
        set->first = signal->next;
    if (signal->next != NULL)
        signal->next->previous = signal->previous;
    else
        set->final = signal->previous;
}

static void linkSignal(struct FastRingSignal* signal)
{
    struct FastSignalSet* set = signal->set;
    signal->previous = set->final;
    if (set->final != NULL)
        set->final->next = signal;
    else
        set->first = signal;
    set->final = signal;
}

static void linkSet(struct FastSignalSet* set, struct FastSignalThread* thread)
{
    struct FastSignalSet** place = &thread->sets;
    while (*place != NULL)
        place = &(*place)->next;
    *place = set;
    set->thread = thread;
}

static void unlinkSet(struct FastSignalSet* set)
{
    struct FastSignalSet** place = &set->thread->sets;
    for (struct FastSignalSet* other = set->thread->sets; other != NULL; other = other->next)
        if (other->told.set == set)
            stand(other, set->next);
    while (*place != set)
        place = &(*place)->next;
    *place = set->next;
    set->thread = NULL;
}

/* ---- the signalfd ---- */

static bool isWanted(const struct FastSignalSet* set, int number)
{
    for (const struct FastRingSignal* signal = set->first; signal != NULL; signal = signal->next)
        if (signal->number == number)
            return true;
    return false;
}

static void closeHandle(struct FastSignalSet* set)
{
    RemoveFastRingWatch(set->watch);
    set->watch = NULL;
    if (set->handle >= 0)
        close(set->handle);
    set->handle = -1;
}

static int openHandle(struct FastSignalSet* set)
{
    int handle = FastHandleMove(signalfd(-1, &set->numbers, SFD_CLOEXEC | SFD_NONBLOCK));
    if (handle < 0)
        return -errno;
    set->watch = AddFastRingWatch(set->ring, handle, POLLIN, 0, onReadable, set);
    if (set->watch == NULL) {
        int result = -errno;
        close(handle);
        return result;
    }
    set->handle = handle;
    return 0;
}

static int addNumber(struct FastSignalSet* set, int number)
{
    (void)sigaddset(&set->numbers, number);
    if (set->handle < 0)
        return openHandle(set);
    return signalfd(set->handle, &set->numbers, 0) < 0 ? -errno : 0;
}

static void dropNumber(struct FastSignalSet* set, int number)
{
    if (isWanted(set, number))
        return;
    (void)sigdelset(&set->numbers, number);
    if (set->first == NULL)
        closeHandle(set);
    else
        (void)signalfd(set->handle, &set->numbers, 0);
}

/* ---- the set of a ring ---- */

/* The ring has become another thread's than that which has added the signal. */
static void adopt(struct FastRingSignal* signal, struct FastSignalThread* thread)
{
    FastSignalDrop(signal->blocked);
    signal->blocked = FastSignalHold(thread);
    signal->thread = FastThreadNumber();
    FastSignalBlock(thread, signal->number);
}

/* The first wait. Without memory for the thread's record it is tried again when there is something
 * to tell. */
static void onStart(struct FastRingStarter* starter)
{
    struct FastSignalSet* set = FAST_CONTAINER(starter, struct FastSignalSet, starter);
    struct FastSignalThread* thread = FastSignalFindThread();
    if (thread == NULL)
        return;
    linkSet(set, FastSignalHold(thread));
    for (struct FastRingSignal* signal = set->first; signal != NULL; signal = signal->next) {
        signal->born = thread->rounds;
        if (signal->blocked != thread)
            adopt(signal, thread);
    }
}

static bool runLast(struct FastTask* task)
{
    struct FastSignalSet* set = FAST_CONTAINER(task, struct FastSignalSet, last);
    closeHandle(set);
    FastRingDrop(set->ring);
    free(set);
    return true;
}

static void unblock(const struct FastRingSignal* signal)
{
    if (signal->thread == FastThreadNumber())
        FastSignalUnblock(signal->blocked, signal->number);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastSignalSet* set = FAST_CONTAINER(member, struct FastSignalSet, member);
    (void)orderly;
    while (set->first != NULL) {
        struct FastRingSignal* signal = set->first;
        unblock(signal);
        set->first = signal->next;
        signal->set = NULL;
    }
    FastRingSetSignals(set->ring, NULL, NULL);
    if (set->thread != NULL) {
        struct FastSignalThread* thread = set->thread;
        if (FastRingIsOwned(set->ring))
            unlinkSet(set);
        FastSignalDrop(thread);
    }
    FastRingNotifyAnyhow(set->ring, &set->last); /* when the watch, too, is defunct */
}

static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    const struct FastSignalSet* set = FAST_CONTAINER(member, const struct FastSignalSet, member);
    for (const struct FastRingSignal* signal = set->first; signal != NULL; signal = signal->next) {
        FastDumpBegin(dump, "signal", signal);
        FastDumpSigned(dump, "number", signal->number);
        FastDumpSigned(dump, "handle", set->handle);
        FastDumpEnd(dump);
    }
}

static const struct FastRingMemberFunctions memberFunctions = {.close = closeMember,
                                                               .dump = dumpMember};

static struct FastSignalSet* makeSet(struct FastRing* ring)
{
    struct FastSignalSet* set = calloc(1, sizeof(*set));
    if (set == NULL)
        return NULL;
    set->ring = ring;
    set->handle = -1;
    set->tell.function = runTell;
    set->last.function = runLast;
    set->starter.function = onStart;
    (void)sigemptyset(&set->numbers);
    FastRingLink(ring, &set->member, &memberFunctions);
    FastRingSetSignals(ring, set, &set->numbers);
    if (FastRingIsStarted(ring))
        onStart(&set->starter);
    else
        FastRingAddStarter(ring, &set->starter);
    return set;
}

static struct FastSignalSet* setOf(struct FastRing* ring)
{
    struct FastSignalSet* set = FastRingGetSignals(ring);
    return set != NULL ? set : makeSet(ring);
}

/* ---- what users call ---- */

static int checkArguments(const struct FastRing* ring, int number, HandleFastRingSignal function)
{
    sigset_t none;
    int result = FastRingCheckCreate(ring);
    if (result < 0)
        return result;
    (void)sigemptyset(&none);
    bool wrong = number == SIGKILL || number == SIGSTOP || number >= FAST_SIGNALS;
    /* The C library refuses its own. */
    return function == NULL || wrong || sigaddset(&none, number) < 0 ? -EINVAL : 0;
}

static int add(struct FastRingSignal* signal)
{
    signal->set = setOf(signal->ring);
    struct FastSignalThread* thread = FastSignalFindThread();
    if (signal->set == NULL || thread == NULL)
        return -ENOMEM;
    signal->blocked = FastSignalHold(thread);
    signal->thread = FastThreadNumber();
    signal->born = signal->blocked->rounds;
    FastSignalBlock(signal->blocked, signal->number);
    linkSignal(signal);
    int result = addNumber(signal->set, signal->number);
    if (result == 0)
        return 0;
    unlinkSignal(signal);
    dropNumber(signal->set, signal->number);
    FastSignalUnblock(thread, signal->number);
    FastSignalDrop(thread);
    return result;
}

struct FastRingSignal* AddFastRingSignal(struct FastRing* ring, int number,
                                         HandleFastRingSignal function, void* closure)
{
    int result = checkArguments(ring, number, function);
    struct FastRingSignal* signal = result == 0 ? calloc(1, sizeof(*signal)) : NULL;
    if (signal != NULL) {
        *signal = (struct FastRingSignal){
            .ring = ring, .number = number, .function = function, .closure = closure};
        result = add(signal);
    } else if (result == 0)
        result = -ENOMEM;
    if (result < 0) {
        free(signal);
        errno = -result;
        return NULL;
    }
    FastRingHold(ring);
    if (FastCheckRuns())
        FastCheckMade(signal, "signal", ring);
    return signal;
}

void RemoveFastRingSignal(struct FastRingSignal* signal)
{
    if (signal == NULL || FastRingCheckRelease(signal->ring, signal) == -EPERM)
        return;
    if (signal->set != NULL) {
        unlinkSignal(signal);
        dropNumber(signal->set, signal->number);
        unblock(signal);
    }
    FastSignalDrop(signal->blocked);
    FastRingDrop(signal->ring);
    FastRingBury(signal, sizeof(*signal), &signal->ring);
}
