/*
 * The engine on io_uring: what it does while it runs, through liburing.
 *
 * The first enter enables the ring and so ties it to the thread that waits. An enter that is
 * refused for a while (EAGAIN, EBUSY, ENOMEM) leaves what was not consumed in the array for the
 * next one.
 */
#include "engine/uring.h"
#include "engine/uring-checked.h"
#include "engine/uring-compat.h"
#include "base/cancel.h"
#include "base/handle.h"

#include <Ring/FastRing.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What our own signals of a foreign loop's handle count, so that they differ from the
 * kernel's, which count one. */
#define ENGINE_OWN_SIGNAL (UINT64_C(1) << 32)

enum
{
    NANOSECONDS = 1000000000,
    NANOSECONDS_IN_MICROSECOND = 1000,
    ENGINE_LONG_SECONDS = 24 * 3600,
};

static struct FastUring* uring(struct FastEngine* engine)
{
    return (struct FastUring*)engine;
}

/* ---- the table ---- */

static int enableRing(struct FastUring* engine)
{
    /* liburing 2.3 declares io_uring_enable_rings without exporting it. */
    int result = io_uring_register((unsigned)engine->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
                                   NULL, 0);
    engine->enabled = result == 0;
    return result;
}

/* Whether an enter has left the queue as it was, although there should still be something to
 * run. */
static bool bringsNothing(const struct FastUring* engine, unsigned before)
{
    return __atomic_load_n(engine->ring.cq.ktail, __ATOMIC_ACQUIRE) == before &&
           __atomic_load_n(engine->base.completion.flags, __ATOMIC_ACQUIRE) & IORING_SQ_TASKRUN;
}

/* Microseconds to wait for more than one completion: no longer than the whole wait. */
static uint32_t minimumWait(const struct FastEngine* base, int64_t timeout)
{
    uint32_t minimum = base->minimum.microseconds;
    if (timeout >= 0 && timeout / NANOSECONDS_IN_MICROSECOND < minimum)
        minimum = (uint32_t)(timeout / NANOSECONDS_IN_MICROSECOND);
    return minimum;
}

static int enter(struct FastEngine* base, int64_t timeout, const sigset_t* mask)
{
    struct FastUring* engine = uring(base);
    if (!engine->enabled) {
        int result = enableRing(engine);
        if (result < 0)
            return result;
    }
    int waited;
    if (base->checked && timeout != 0 &&
        FastEngineWaitChecked(base, &FastUringFunctions, timeout, mask, &waited))
        return waited;

    struct io_uring_sq* queue = &engine->ring.sq;
    __atomic_store_n(queue->ktail, base->submission.tail, __ATOMIC_RELEASE);
    unsigned count = FastEngineReserved(base);
    unsigned before = __atomic_load_n(engine->ring.cq.ktail, __ATOMIC_ACQUIRE);

    struct __kernel_timespec limit = {
        .tv_sec = timeout / NANOSECONDS,
        .tv_nsec = timeout % NANOSECONDS,
    };
    uint32_t minimum = minimumWait(base, timeout);
    /* Without any limit the kernel ends the wait with the minimum, also if nothing is there. */
    if (minimum > 0 && timeout < 0)
        limit = (struct __kernel_timespec){.tv_sec = ENGINE_LONG_SECONDS};
    struct FastUringWait argument = {
        .mask = (uintptr_t)mask,
        .maskSize = _NSIG / 8,
        .minimum = minimum,
        .limit = timeout > 0 || minimum > 0 ? (uintptr_t)&limit : 0,
    };
    unsigned wanted = minimum > 0 ? base->minimum.count : timeout != 0;
    int former = timeout != 0 ? FastCancelAllow() : -1;
    int result = io_uring_enter2((unsigned)engine->ring.enter_ring_fd, count, wanted,
                                 engine->enterFlags, (sigset_t*)&argument, sizeof(argument));
    FastCancelRefuse(former);
    base->enters++;
    base->idle = bringsNothing(engine, before);
    return result >= 0 || result == -ETIME ? 0 : result;
}

static int registerBuffers(struct FastEngine* base, uint16_t group, void* memory, uint32_t entries)
{
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)memory,
        .ring_entries = entries,
        .bgid = group,
    };
    return io_uring_register((unsigned)uring(base)->ring.ring_fd, IORING_REGISTER_PBUF_RING,
                             &registration, 1);
}

static void unregisterBuffers(struct FastEngine* base, uint16_t group)
{
    struct io_uring_buf_reg registration = {.bgid = group};
    (void)io_uring_register((unsigned)uring(base)->ring.ring_fd, IORING_UNREGISTER_PBUF_RING,
                            &registration, 1);
}

static int countTakenBuffers(struct FastEngine* base, uint16_t group)
{
    struct FastUringBufferStatus status = {.group = group};
    int result = io_uring_register((unsigned)uring(base)->ring.ring_fd,
                                   FAST_URING_REGISTER_PBUF_STATUS, &status, 1);
    return result < 0 ? result : (int)(status.head & UINT16_MAX);
}

static int setBusyPoll(struct FastEngine* base, uint32_t microseconds, bool prefer)
{
    struct FastUringBusyPoll poll = {.microseconds = microseconds, .prefer = prefer};
    return io_uring_register((unsigned)uring(base)->ring.ring_fd,
                             microseconds > 0 ? FAST_URING_REGISTER_NAPI
                                              : FAST_URING_UNREGISTER_NAPI,
                             &poll, 1);
}

static void prepareWake(struct FastEngine* base, struct io_uring_sqe* submission)
{
    struct FastUring* engine = uring(base);
    uint64_t owner = submission->user_data;
    io_uring_prep_read(submission, atomic_load(&engine->wakeHandle), &engine->wakeValue,
                       sizeof(engine->wakeValue), 0);
    submission->user_data = owner;
}

static void signalHandle(int handle, uint64_t count)
{
    if (handle >= 0) /* the counters can't be full: they are read at every wake */
        FastHandleCount(handle, count);
}

static void wake(struct FastEngine* base)
{
    int error = errno; /* a signal handler's caller must not see ours */
    struct FastUring* engine = uring(base);
    signalHandle(atomic_load(&engine->wakeHandle), 1);
    signalHandle(atomic_load(&engine->notifyHandle), 1);
    errno = error;
}

/*
 * The handle for a foreign loop.
 *
 * A ring with deferred task work does not wake those who sleep in a poll of it: completions are
 * made only when its thread enters (6.18, seen with epoll and another thread's write; a poll that
 * begins later sees them). The kernel does signal an eventfd that is registered with the ring at
 * the moment work is deferred. One case needs help: when that work comes from a write to another
 * eventfd, the signal takes a way around by RCU, and takes it once for a registration; so it is
 * registered again after each signal. Rings of other kinds poll as they should, but can't be made
 * readable by what the program has queued.
 */
static int registerNotify(struct FastUring* engine, int handle)
{
    return io_uring_register((unsigned)engine->ring.ring_fd, IORING_REGISTER_EVENTFD, &handle, 1);
}

static int getHandle(struct FastEngine* base)
{
    struct FastUring* engine = uring(base);
    int handle = atomic_load(&engine->notifyHandle);
    if (handle >= 0)
        return handle;
    /* one turn to begin with: work may be there */
    handle = FastHandleMove(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
    if (handle < 0)
        return -errno;
    int result = registerNotify(engine, handle);
    if (result < 0) {
        close(handle);
        return result;
    }
    atomic_store(&engine->notifyHandle, handle);
    base->embedded = true;
    return handle;
}

static void showHandle(struct FastEngine* base)
{
    struct FastUring* engine = uring(base);
    if (engine->shown)
        return;
    engine->shown = true;
    signalHandle(atomic_load(&engine->notifyHandle), ENGINE_OWN_SIGNAL);
}

static void clearHandle(struct FastEngine* base)
{
    struct FastUring* engine = uring(base);
    engine->shown = false;
    int handle = atomic_load(&engine->notifyHandle);
    uint64_t value;
    if (read(handle, &value, sizeof(value)) < 0)
        return;
    bool deaf = false;
    if (value % ENGINE_OWN_SIGNAL > 0 || engine->deaf) {
        base->idle = false; /* work may have come since the last enter */
        (void)io_uring_register((unsigned)engine->ring.ring_fd, IORING_UNREGISTER_EVENTFD, NULL, 0);
        deaf = registerNotify(engine, handle) < 0;
    }
    engine->deaf = deaf;
    if (deaf || FastEngineHasMore(base))
        /* what came while nobody listened, or may come; again next turn */
        showHandle(base);
}

static void closeEngine(struct FastEngine* base)
{
    FastUringUnmap(uring(base));
}

static void closeHandle(atomic_int* place)
{
    int handle = atomic_exchange(place, -1);
    if (handle >= 0)
        close(handle);
}

static void closeHandles(struct FastEngine* base)
{
    closeHandle(&uring(base)->notifyHandle);
    closeHandle(&uring(base)->wakeHandle);
}

static void destroyEngine(struct FastEngine* base)
{
    closeHandles(base);
    free(base);
}

const struct FastEngineFunctions FastUringFunctions = {
    .name = "io_uring",
    .enter = enter,
    .registerBuffers = registerBuffers,
    .unregisterBuffers = unregisterBuffers,
    .countTakenBuffers = countTakenBuffers,
    .setBusyPoll = setBusyPoll,
    .prepareWake = prepareWake,
    .wake = wake,
    .getHandle = getHandle,
    .showHandle = showHandle,
    .clearHandle = clearHandle,
    .close = closeEngine,
    .closeHandles = closeHandles,
    .destroy = destroyEngine,
};
