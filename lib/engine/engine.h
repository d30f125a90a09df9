/*
 * The one seam to the kernel.
 *
 * Everything above speaks of submission and completion entries in the kernel's own formats. An
 * engine keeps both in arrays in memory; reserving an entry, looking at completions and advancing
 * are the same for every engine and stand here, inline. The rest goes through the table of
 * functions: one indirect call a turn.
 *
 * What an entry points to beside data buffers, address and control data (message headers, io
 * vectors, timespecs) is read during the enter that submits it, and need not live longer.
 */
#ifndef FASTSOCKET_ENGINE_H
#define FASTSOCKET_ENGINE_H

#include <liburing.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct FastEngine;

struct FastEngineFunctions
{
    const char* name; /* for programs that ask */

    /*
     * Submits every reserved entry, then waits until a completion is there, timeout nanoseconds
     * have passed (0 = don't wait, negative = no limit) or a signal has come.
     *
     * Returns 0 (completions, or time is up), -EINTR, -EAGAIN, -EBUSY or -ENOMEM (nothing or not
     * all was submitted, try again after reaping), or another negative errno: the engine is dead
     * (-EEXIST: the thread that used it first has exited). The first call ties the engine to the
     * calling thread.
     */
    int (*enter)(struct FastEngine* engine, int64_t timeout, const sigset_t* mask);

    /* A buffer ring of entries (a power of two) in page-aligned memory. Returns 0 or negative
     * errno. */
    int (*registerBuffers)(struct FastEngine* engine, uint16_t group, void* memory,
                           uint32_t entries);
    void (*unregisterBuffers)(struct FastEngine* engine, uint16_t group);

    /* Entries that were taken from a buffer ring so far, modulo 65536; negative errno if nobody
     * knows. */
    int (*countTakenBuffers)(struct FastEngine* engine, uint16_t group);

    /* Has waits look into the queues of network devices for so long before they sleep; 0: not. Only
     * with FASTRING_FEATURE_NAPI, without which it may be NULL. Returns 0 or negative errno. */
    int (*setBusyPoll)(struct FastEngine* engine, uint32_t microseconds, bool prefer);

    /* The descriptor of a reserved entry may be closed while the operation is in flight, which
     * goes on all the same. NULL: that is so of every entry. */
    void (*hold)(struct FastEngine* engine, const struct io_uring_sqe* submission);

    /* A descriptor on which nothing is in flight is about to be closed, while others may have its
     * file, and go on with it: it is to be let go of before. NULL: that needs nothing. */
    void (*forget)(struct FastEngine* engine, int handle);

    /* Fills an entry (but for user_data) that completes once after a wake, even an earlier one. */
    void (*prepareWake)(struct FastEngine* engine, struct io_uring_sqe* submission);

    /* Any thread, async-signal-safe; harmless after close. */
    void (*wake)(struct FastEngine* engine);

    /* A descriptor that polls readable when an enter would find completions, for a foreign loop.
     * Made at the first call; negative errno if that fails. */
    int (*getHandle)(struct FastEngine* engine);

    /* Makes the handle readable, if it was ever asked for: there is something to be done. In the
     * engine's thread. May be NULL where there is no handle. */
    void (*showHandle)(struct FastEngine* engine);

    /* Makes the handle unreadable after a turn, if it was ever asked for. What comes from now on
     * makes it readable; what came before shows in FastEngineHasMore. */
    void (*clearHandle)(struct FastEngine* engine);

    /* System calls that the engine has made so far. NULL: one an enter. */
    uint64_t (*countCalls)(const struct FastEngine* engine);

    /* ends every operation; no completion comes any more */
    void (*close)(struct FastEngine* engine);
    /* after close, and no thread is in wake: gives up its descriptors, the memory may be leaked */
    void (*closeHandles)(struct FastEngine* engine);
    void (*destroy)(struct FastEngine* engine); /* after close: frees the engine */
};

struct FastEngine
{
    const struct FastEngineFunctions* functions;
    uint64_t features; /* FASTRING_FEATURE_* */
    bool embedded;     /* getHandle was called: call showHandle and clearHandle */
    bool idle;         /* set by enter: it found nothing to run, whatever IORING_SQ_TASKRUN says */
    /* counted by enter: what a completion tells of was given to the kernel before the last */
    uint32_t enters;
    /* An enter is to be made then, though the handle says nothing: nanoseconds, CLOCK_MONOTONIC; 0:
     * never. Enters that wait know it by themselves. */
    int64_t due;
    /* Every completion is made inside an enter of the thread's: it knows nothing of what was given
     * to the kernel after that began. */
    bool inside;
    bool alert;   /* a receive in flight hears of all that a poll of the same file would */
    bool checked; /* valgrind watches: see checker.h */
    bool listens; /* and wants to hear what the kernel writes */

    /* An enter that waits does so for more than one completion, but no longer than that. Only with
     * FASTRING_FEATURE_MINIMUM_WAIT. */
    struct
    {
        uint32_t microseconds; /* 0: it waits for one */
        uint32_t count;
    } minimum;

    struct
    {
        struct io_uring_sqe* entries;
        const unsigned* head; /* moved by the engine when it has consumed entries */
        unsigned tail;        /* ours; published by enter */
        unsigned mask;
    } submission;

    struct
    {
        struct io_uring_cqe* entries;
        unsigned* head;
        const unsigned* tail;
        const unsigned* flags; /* IORING_SQ_CQ_OVERFLOW, IORING_SQ_TASKRUN */
        unsigned mask;
    } completion;
};

/* Entries that can be reserved before the next enter. */
static inline unsigned FastEngineRoom(const struct FastEngine* engine)
{
    unsigned head = __atomic_load_n(engine->submission.head, __ATOMIC_ACQUIRE);
    return engine->submission.mask + 1 - (engine->submission.tail - head);
}

/* Reserves the next submission entry, zeroed; NULL when none is free before the next enter. */
static inline struct io_uring_sqe* FastEngineReserve(struct FastEngine* engine)
{
    unsigned head = __atomic_load_n(engine->submission.head, __ATOMIC_ACQUIRE);
    unsigned tail = engine->submission.tail;
    if (tail - head > engine->submission.mask)
        return NULL;
    engine->submission.tail = tail + 1;
    struct io_uring_sqe* entry = &engine->submission.entries[tail & engine->submission.mask];
    *entry = (struct io_uring_sqe){0};
    return entry;
}

/* What the entry is about may be closed while the operation is in flight. */
static inline void FastEngineHold(struct FastEngine* engine, const struct io_uring_sqe* entry)
{
    if (engine->functions->hold != NULL)
        engine->functions->hold(engine, entry);
}

/* The number of a descriptor is given up, and its file perhaps not. */
static inline void FastEngineForget(struct FastEngine* engine, int handle)
{
    if (engine->functions->forget != NULL)
        engine->functions->forget(engine, handle);
}

/* Entries reserved and not yet consumed. */
static inline unsigned FastEngineReserved(const struct FastEngine* engine)
{
    return engine->submission.tail - __atomic_load_n(engine->submission.head, __ATOMIC_ACQUIRE);
}

/* The oldest completion not yet advanced over, or NULL. */
static inline struct io_uring_cqe* FastEnginePeek(const struct FastEngine* engine)
{
    unsigned head = *engine->completion.head;
    if (head == __atomic_load_n(engine->completion.tail, __ATOMIC_ACQUIRE))
        return NULL;
    return &engine->completion.entries[head & engine->completion.mask];
}

/* Gives the oldest completion's place back to the kernel: what is needed of it is copied before. */
static inline void FastEngineAdvance(struct FastEngine* engine)
{
    __atomic_store_n(engine->completion.head, *engine->completion.head + 1, __ATOMIC_RELEASE);
}

/* The kernel keeps completions that had no place in the array; an enter brings them. */
static inline bool FastEngineOverflown(const struct FastEngine* engine)
{
    return __atomic_load_n(engine->completion.flags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW;
}

/* Completions that have a place in the array before any of those in it is advanced over. */
static inline unsigned FastEnginePlaces(const struct FastEngine* engine)
{
    unsigned tail = __atomic_load_n(engine->completion.tail, __ATOMIC_ACQUIRE);
    return engine->completion.mask + 1 - (tail - *engine->completion.head);
}

/* The kernel has said that there is work to be run in an enter; one that doesn't defer work says
 * nothing. */
static inline bool FastEngineHasWork(const struct FastEngine* engine)
{
    return __atomic_load_n(engine->completion.flags, __ATOMIC_ACQUIRE) & IORING_SQ_TASKRUN;
}

/*
 * An enter would find completions that are not in the array yet. IORING_SQ_TASKRUN may stay set
 * with nothing to run (7.2 and later, after a send that polls first): after an enter that brought
 * nothing it is not believed, until the kernel signals the handle, or the next enter.
 */
static inline bool FastEngineHasMore(const struct FastEngine* engine)
{
    unsigned flags = __atomic_load_n(engine->completion.flags, __ATOMIC_ACQUIRE);
    return flags & IORING_SQ_CQ_OVERFLOW || (flags & IORING_SQ_TASKRUN && !engine->idle);
}

#endif
