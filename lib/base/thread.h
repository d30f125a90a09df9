/*
 * Which thread this is, and whether its process is a forked one.
 */
#ifndef FASTSOCKET_THREAD_H
#define FASTSOCKET_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A number of the calling thread's own, from 1, never given twice. Neither pthread_self() nor the
 * address of a thread-local variable would do: both may come back in a thread that starts after
 * another has exited. */
uint64_t FastThreadNumber(void);

/* What no other thread has that runs at the same time; pthread_self() without the call, where the
 * compiler knows how. */
static inline uintptr_t FastThreadSelf(void)
{
#if __has_builtin(__builtin_thread_pointer)
    return (uintptr_t)__builtin_thread_pointer();
#else
    return (uintptr_t)pthread_self();
#endif
}

/*
 * By which a thread is recognized in few instructions. self is FastThreadSelf() while that can't be
 * another thread's: it is taken away when the thread ends. Without it the number tells, which costs
 * a call for thread-local memory.
 */
struct FastThreadMark
{
    _Atomic uintptr_t self; /* 0: ask the number */
    uint64_t number;        /* 0: no thread's */
    struct FastThreadMark* next;
    struct FastThreadMark* previous;
};

/* Zeroed memory becomes the calling thread's. */
void FastThreadSetMark(struct FastThreadMark* mark);

/* In the same thread, before the memory goes; needless when the thread has ended. */
void FastThreadClearMark(struct FastThreadMark* mark);

/* The calling thread is the mark's. true is certain, false is to be asked again by
 * FastThreadHasNumber. Any thread, at any time. */
static inline bool FastThreadIsSelf(const struct FastThreadMark* mark)
{
    return atomic_load_explicit(&mark->self, memory_order_relaxed) == FastThreadSelf();
}

/* The calling thread is the mark's. Any thread that has seen what followed the setting. */
bool FastThreadHasNumber(const struct FastThreadMark* mark);

/*
 * A thread's sign of life, that others can look for. The kernel itself takes it away when the
 * thread ends, however it ends, and before anybody who joins it goes on; its number is seen as
 * living for a while longer (and that of the first thread of a process for as long as the others
 * run).
 */
struct FastThreadLife
{
    pthread_mutex_t mutex; /* a robust one, held */
};

/* Prepares the memory; the life begins before anybody looks. */
void FastThreadMakeLife(struct FastThreadLife* life);

/* The life is the calling thread's. */
void FastThreadBeginLife(struct FastThreadLife* life);

/* In the same thread, before the memory goes. */
void FastThreadEndLife(struct FastThreadLife* life);

/* In another thread: the life began, and its thread has ended since. */
bool FastThreadHasDied(struct FastThreadLife* life);

/* When it has ended, or never began. */
void FastThreadDestroyLife(struct FastThreadLife* life);

/* Of memory that forked children find empty: the largest page that there is. */
#if defined(__x86_64__) || defined(__i386__)
#define FAST_FORK_PAGE 4096
#else
#define FAST_FORK_PAGE 65536
#endif

struct FastForkPage
{
    _Alignas(FAST_FORK_PAGE) _Atomic uint64_t number;
};

/* What FastForkCount tells, alone in its page; written by forks alone. */
extern struct FastForkPage FastForkPage __attribute__((visibility("hidden")));

/* A number of this process's, from the first watch on: one that was noted before a fork is not the
 * child's. Any thread, async-signal-safe. */
static inline uint64_t FastForkCount(void)
{
    return atomic_load_explicit(&FastForkPage.number, memory_order_relaxed);
}

/* Locks a mutex that there is since the process had been born of so many forks. false: it is taken,
 * and not waited for: wait is false, or this is a forked child, where the thread that has it may
 * not be. Any thread. */
static inline bool FastForkLock(pthread_mutex_t* lock, uint64_t forks, bool wait)
{
    bool waits = wait && forks == FastForkCount();
    return (waits ? pthread_mutex_lock(lock) : pthread_mutex_trylock(lock)) == 0;
}

/* Destroys such a mutex, in the process that made it: in a forked child it may be locked by a
 * thread that is not there, and is left as it is. */
static inline void FastForkDestroyLock(pthread_mutex_t* lock, uint64_t forks)
{
    if (forks == FastForkCount())
        (void)pthread_mutex_destroy(lock);
}

/* A descriptor that a forked child doesn't know of, and would keep open: closed in the child at
 * once. */
void FastForkHide(int handle);

/* Closes a descriptor that was hidden so. */
void FastForkClose(int handle);

/* Before a number is noted: from now on forks are seen. */
void FastForkWatch(void);

#endif
