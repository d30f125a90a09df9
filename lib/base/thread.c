/*
 * Numbers threads in the order in which they first ask, knows which have ended, and counts forks in
 * the children.
 */
#include "base/thread.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

uint64_t FastThreadNumber(void)
{
    static _Atomic uint64_t last;
    static _Thread_local uint64_t number;

    if (number == 0)
        number = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    return number;
}

/* ---- marks ---- */

static pthread_key_t marksKey;
static bool hasMarksKey;

/* A thread ends: its marks hang on a list of its own, and none may tell of the next with its
 * pthread_t. */
static void clearMarks(void* first)
{
    struct FastThreadMark* mark = first;
    while (mark != NULL) {
        struct FastThreadMark* next = mark->next;
        atomic_store_explicit(&mark->self, 0, memory_order_relaxed);
        mark->next = NULL;
        mark->previous = NULL;
        mark = next;
    }
}

static void makeMarksKey(void)
{
    hasMarksKey = pthread_key_create(&marksKey, clearMarks) == 0;
}

void FastThreadSetMark(struct FastThreadMark* mark)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, makeMarksKey);
    mark->number = FastThreadNumber();
    if (!hasMarksKey)
        return;
    mark->next = pthread_getspecific(marksKey);
    if (pthread_setspecific(marksKey, mark) != 0) {
        mark->next = NULL;
        return;
    }
    if (mark->next != NULL)
        mark->next->previous = mark;
    atomic_store_explicit(&mark->self, FastThreadSelf(), memory_order_relaxed);
}

void FastThreadClearMark(struct FastThreadMark* mark)
{
    if (atomic_exchange_explicit(&mark->self, 0, memory_order_relaxed) == 0)
        return; /* on no list */
    if (mark->previous != NULL)
        mark->previous->next = mark->next;
    else
        /* its memory is there since the mark was set */
        (void)pthread_setspecific(marksKey, mark->next);
    if (mark->next != NULL)
        mark->next->previous = mark->previous;
}

bool FastThreadHasNumber(const struct FastThreadMark* mark)
{
    return mark->number == FastThreadNumber();
}

/* ---- lives ---- */

void FastThreadMakeLife(struct FastThreadLife* life)
{
    pthread_mutexattr_t attributes;
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    (void)pthread_mutex_init(&life->mutex, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
}

void FastThreadBeginLife(struct FastThreadLife* life)
{
    (void)pthread_mutex_lock(&life->mutex); /* nobody else has it */
}

void FastThreadEndLife(struct FastThreadLife* life)
{
    (void)pthread_mutex_unlock(&life->mutex);
}

bool FastThreadHasDied(struct FastThreadLife* life)
{
    int result = pthread_mutex_trylock(&life->mutex);
    if (result == EBUSY || result == ENOTRECOVERABLE)
        return result == ENOTRECOVERABLE;
    /* Given up without being mended: it says the same to the next who asks. */
    (void)pthread_mutex_unlock(&life->mutex);
    return result == EOWNERDEAD;
}

void FastThreadDestroyLife(struct FastThreadLife* life)
{
    (void)pthread_mutex_destroy(&life->mutex);
}

/* ---- forks ---- */

struct FastForkPage FastForkPage;

/* The last number that was given, by this process or those that it was forked of. */
static uint64_t lastFork;

/* Descriptors that no forked child may keep, a bit each. Those beyond are kept, by children that
 * don't exec. */
enum
{
    FORK_HANDLES = 65536,
    FORK_BITS = 64,
};

static _Atomic uint64_t hidden[FORK_HANDLES / FORK_BITS];

void FastForkHide(int handle)
{
    if (handle < FORK_HANDLES)
        atomic_fetch_or(&hidden[handle / FORK_BITS], UINT64_C(1) << (handle % FORK_BITS));
}

void FastForkClose(int handle)
{
    if (handle < FORK_HANDLES)
        atomic_fetch_and(&hidden[handle / FORK_BITS], ~(UINT64_C(1) << (handle % FORK_BITS)));
    close(handle);
}

static void closeHidden(void)
{
    for (int word = 0; word < FORK_HANDLES / FORK_BITS; word++) {
        uint64_t bits = atomic_exchange(&hidden[word], 0);
        for (; bits != 0; bits &= bits - 1)
            close(word * FORK_BITS + __builtin_ctzll(bits));
    }
}

static void countFork(void)
{
    closeHidden();
    atomic_store_explicit(&FastForkPage.number, ++lastFork, memory_order_relaxed);
}

/* In a child the page is empty however it was forked: by _Fork(3) or clone(2), which call no
 * handler, or from outside a namespace of dlmopen(3), whose handlers nobody calls either. Kernels
 * that refuse this (before 4.14), and whoever plays one, leave it to the handler. */
static void watchForks(void)
{
    /* without memory for it, children are on their own */
    (void)pthread_atfork(NULL, NULL, countFork);
    if (sysconf(_SC_PAGESIZE) <= FAST_FORK_PAGE)
        (void)madvise(&FastForkPage, sizeof(FastForkPage), MADV_WIPEONFORK);
}

/* The first number, or that of a child that no handler has given one. */
static void beginCount(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    (void)pthread_mutex_lock(&lock); /* nobody forks in here, where a first ring is made */
    if (FastForkCount() == 0) {
        if (lastFork > 0)
            closeHidden();
        atomic_store_explicit(&FastForkPage.number, ++lastFork, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&lock);
}

void FastForkWatch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watchForks);
    if (FastForkCount() == 0)
        beginCount();
}
