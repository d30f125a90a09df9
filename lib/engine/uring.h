/*
 * The engine on io_uring, for those who open it and try it.
 */
#ifndef FASTSOCKET_ENGINE_URING_H
#define FASTSOCKET_ENGINE_URING_H

#include "engine/engine.h"

struct FastUring
{
    struct FastEngine base;
    struct io_uring ring;
    unsigned enterFlags;
    bool enabled;
    /* eventfd, open until destroy, so that a late wake can't hit a foreign descriptor */
    atomic_int wakeHandle;
    uint64_t wakeValue;
    bool deaf;  /* the handle could not be registered again */
    bool shown; /* it is readable by our own signal, and not cleared since */
    /* eventfd that the kernel signals for a foreign loop; negative: none */
    atomic_int notifyHandle;
};

/* Of an engine that is set up. */
extern const struct FastEngineFunctions FastUringFunctions __attribute__((visibility("hidden")));

/*
 * liburing maps and unmaps queues by system calls that the thread sanitizer doesn't see: to it they
 * are still those of a ring that another thread had in the same place, and every use is a race. The
 * kernel orders the two, which these say: between a thread's call of the one and another's of the
 * other lies all that has been done with what was unmapped.
 */
#ifdef __has_feature /* clang's; gcc defines __SANITIZE_THREAD__ */
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1 /* NOLINT(bugprone-reserved-identifier): gcc's name */
#endif
#endif

#ifdef __SANITIZE_THREAD__
/* NOLINTBEGIN(bugprone-reserved-identifier): the names are the runtime's. */
void __tsan_acquire(void* address);
void __tsan_release(void* address);
/* NOLINTEND(bugprone-reserved-identifier): no more of them. */
#endif

/* The queues have just been mapped. */
static inline void FastUringNoteMapped(void)
{
#ifdef __SANITIZE_THREAD__
    __tsan_acquire((void*)&FastUringFunctions);
#endif
}

/* Unmaps them, and closes the ring. */
static inline void FastUringUnmap(struct FastUring* engine)
{
#ifdef __SANITIZE_THREAD__
    __tsan_release((void*)&FastUringFunctions);
#endif
    io_uring_queue_exit(&engine->ring);
}

#endif
