/*
 * The engine on io_uring, through liburing.
 *
 * Good path: open tries the best set of set-up flags that the kernel takes, maps the rings, makes the
 * submission array an identity (or has none) so that an entry's place is its index, and finds out the
 * rest of the features by trying. The ring starts disabled, so that any thread may prepare it; the
 * first enter enables it and so ties it to the thread that waits.
 *
 * Failures: memory refused (RLIMIT_MEMLOCK, kernels that charge rings to it): half the entries, down
 * to 64. io_uring refused (seccomp, sysctl), or one of its three system calls: EPERM or ENOSYS to
 * the caller. An enter that is refused for a while (EAGAIN, EBUSY, ENOMEM) leaves what was not
 * consumed in the array for the next one.
 */
#include "base/checker.h"
#include "engine/uring.h"
#include "base/handle.h"
#include "engine/uring-compat.h"

#include <Ring/FastRing.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What our own signals of a foreign loop's handle count, to be told from the kernel's, which count one. */
#define ENGINE_OWN_SIGNAL (UINT64_C(1) << 32)

enum
{
    ENGINE_LEAST_LENGTH = 64, /* halving stops here */
    ENGINE_MOST_COMPLETIONS = 65536,
    ENGINE_COMPLETIONS_PER_ENTRY = 16, /* multishot operations complete often; overflow ends them */
    NANOSECONDS = 1000000000,
};

struct uringEngine
{
    struct FastEngine base;
    struct io_uring ring;
    unsigned enterFlags;
    bool enabled;
    atomic_int wakeHandle; /* eventfd, open until destroy, so that a late wake can't hit a foreign descriptor */
    uint64_t wakeValue;
    bool deaf; /* the handle could not be registered anew */
    atomic_int notifyHandle; /* eventfd that the kernel signals for a foreign loop; negative: none */
};

static atomic_uint_fast64_t masked;
static atomic_bool maskKnown;

void FastEngineMask(uint64_t features)
{
    atomic_store(&masked, features);
    atomic_store(&maskKnown, true);
}

static uint64_t maskedFeatures(void)
{
    if (!atomic_load(&maskKnown)) {
        const char* text = secure_getenv("FASTSOCKET_FEATURES_OFF");
        FastEngineMask(text != NULL ? strtoull(text, NULL, 0) : 0);
    }
    return atomic_load(&masked);
}

static struct uringEngine* uring(struct FastEngine* engine)
{
    return (struct uringEngine*)engine;
}

/* ---- the table ---- */

static int enableRing(struct uringEngine* engine)
{
    /* liburing 2.3 declares io_uring_enable_rings without exporting it. */
    int result = io_uring_register((unsigned)engine->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    engine->enabled = result == 0;
    return result;
}

static const struct FastEngineFunctions uringFunctions;

/* Whether an enter has left the queue as it was, although there should still be something to run. */
static bool bringsNothing(const struct uringEngine* engine, unsigned before)
{
    return __atomic_load_n(engine->ring.cq.ktail, __ATOMIC_ACQUIRE) == before &&
           __atomic_load_n(engine->base.completion.flags, __ATOMIC_ACQUIRE) & IORING_SQ_TASKRUN;
}

static int enter(struct FastEngine* base, int64_t timeout, const sigset_t* mask)
{
    struct uringEngine* engine = uring(base);
    if (!engine->enabled) {
        int result = enableRing(engine);
        if (result < 0)
            return result;
    }
    int waited;
    if (base->checked && timeout != 0 && FastEngineWaitChecked(base, &uringFunctions, timeout, mask, &waited))
        return waited;

    struct io_uring_sq* queue = &engine->ring.sq;
    __atomic_store_n(queue->ktail, base->submission.tail, __ATOMIC_RELEASE);
    unsigned count = FastEngineReserved(base);
    unsigned before = __atomic_load_n(engine->ring.cq.ktail, __ATOMIC_ACQUIRE);

    struct __kernel_timespec limit = {
        .tv_sec = timeout / NANOSECONDS,
        .tv_nsec = timeout % NANOSECONDS,
    };
    struct io_uring_getevents_arg argument = {
        .sigmask = (uintptr_t)mask,
        .sigmask_sz = _NSIG / 8,
        .ts = timeout > 0 ? (uintptr_t)&limit : 0,
    };
    int result = io_uring_enter2((unsigned)engine->ring.enter_ring_fd, count, timeout != 0 ? 1 : 0,
                                 engine->enterFlags, (sigset_t*)&argument, sizeof(argument));
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
    int result = io_uring_register((unsigned)uring(base)->ring.ring_fd, FAST_URING_REGISTER_PBUF_STATUS,
                                   &status, 1);
    return result < 0 ? result : (int)(status.head & UINT16_MAX);
}

static void prepareWake(struct FastEngine* base, struct io_uring_sqe* submission)
{
    struct uringEngine* engine = uring(base);
    uint64_t owner = submission->user_data;
    io_uring_prep_read(submission, atomic_load(&engine->wakeHandle), &engine->wakeValue,
                       sizeof(engine->wakeValue), 0);
    submission->user_data = owner;
}

static void signalHandle(int handle, uint64_t count)
{
    if (handle < 0)
        return;
    ssize_t result = write(handle, &count, sizeof(count));
    (void)result; /* the counters can't be full: they are read at every wake */
}

static void wake(struct FastEngine* base)
{
    int error = errno; /* a signal handler's caller must not see ours */
    struct uringEngine* engine = uring(base);
    signalHandle(atomic_load(&engine->wakeHandle), 1);
    signalHandle(atomic_load(&engine->notifyHandle), 1);
    errno = error;
}

/*
 * The handle for a foreign loop.
 *
 * A ring with deferred task work does not wake those who sleep in a poll of it: completions are made
 * only when its thread enters (6.18, seen with epoll and another thread's write; a poll that begins
 * later sees them). The kernel does signal an eventfd that is registered with the ring at the moment
 * work is deferred. One case needs help: when that work comes from a write to another eventfd, the
 * signal takes a way around by RCU, and takes it once for a registration; so it is registered anew
 * after each signal. Rings of other kinds poll as they should.
 */
static int registerNotify(struct uringEngine* engine, int handle)
{
    return io_uring_register((unsigned)engine->ring.ring_fd, IORING_REGISTER_EVENTFD, &handle, 1);
}

static int getHandle(struct FastEngine* base)
{
    struct uringEngine* engine = uring(base);
    int handle = atomic_load(&engine->notifyHandle);
    if (!(base->features & FASTRING_FEATURE_DEFER_TASKRUN))
        return engine->ring.ring_fd;
    if (handle >= 0)
        return handle;
    handle = FastHandleMove(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); /* one turn to begin with: work may be there */
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

static void quiet(struct FastEngine* base)
{
    struct uringEngine* engine = uring(base);
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
        signalHandle(handle, ENGINE_OWN_SIGNAL); /* what came while nobody listened, or may come; again next turn */
}

static void closeEngine(struct FastEngine* base)
{
    io_uring_queue_exit(&uring(base)->ring);
}

static void closeHandle(atomic_int* place)
{
    int handle = atomic_exchange(place, -1);
    if (handle >= 0)
        close(handle);
}

static void deafen(struct FastEngine* base)
{
    closeHandle(&uring(base)->notifyHandle);
    closeHandle(&uring(base)->wakeHandle);
}

static void destroyEngine(struct FastEngine* base)
{
    deafen(base);
    free(base);
}

static const struct FastEngineFunctions uringFunctions = {
    .enter = enter,
    .registerBuffers = registerBuffers,
    .unregisterBuffers = unregisterBuffers,
    .countTakenBuffers = countTakenBuffers,
    .prepareWake = prepareWake,
    .wake = wake,
    .getHandle = getHandle,
    .quiet = quiet,
    .close = closeEngine,
    .deafen = deafen,
    .destroy = destroyEngine,
};

/* ---- set-up ---- */

struct setup
{
    unsigned flags;
    uint64_t features;
};

/* Best first. Each starts disabled, see enter. */
static const struct setup setups[] = {
    {IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
         IORING_SETUP_TASKRUN_FLAG | FAST_URING_SETUP_NO_SQARRAY,
     FASTRING_FEATURE_SINGLE_ISSUER | FASTRING_FEATURE_DEFER_TASKRUN | FASTRING_FEATURE_NO_SQARRAY},
    {IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
         IORING_SETUP_TASKRUN_FLAG,
     FASTRING_FEATURE_SINGLE_ISSUER | FASTRING_FEATURE_DEFER_TASKRUN},
    {IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
     FASTRING_FEATURE_COOP_TASKRUN},
    {0, 0},
};

static int openRing(struct uringEngine* engine, uint32_t length, const struct setup* setup)
{
    uint32_t completions = length * ENGINE_COMPLETIONS_PER_ENTRY;
    struct io_uring_params parameters = {
        .flags = setup->flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = completions < ENGINE_MOST_COMPLETIONS ? completions : ENGINE_MOST_COMPLETIONS,
    };
    int handle = io_uring_setup(length, &parameters);
    if (handle < 0)
        return handle;
    handle = FastHandleMove(handle);
    if (handle < 0)
        return -errno;
    int result = io_uring_queue_mmap(handle, &parameters, &engine->ring);
    if (result < 0) {
        close(handle);
        return result;
    }
    /* liburing 2.3 does this in io_uring_queue_mmap; 2.9 leaves it to the caller, with handle 0. */
    engine->ring.ring_fd = handle;
    engine->ring.enter_ring_fd = handle;
    engine->ring.flags = parameters.flags;
    engine->ring.features = parameters.features;
    engine->base.features = setup->features;
    return 0;
}

static int openBestRing(struct uringEngine* engine, uint32_t length, uint64_t unwanted)
{
    int result = -EINVAL;
    for (size_t index = 0; index < sizeof(setups) / sizeof(setups[0]); index++) {
        if (setups[index].features & unwanted)
            continue;
        result = openRing(engine, length, &setups[index]);
        if (result != -EINVAL)
            break;
    }
    return result;
}

/* Entry i of the array is entry i of the queue, once and for all. */
static void makeIdentity(struct uringEngine* engine)
{
    if (engine->base.features & FASTRING_FEATURE_NO_SQARRAY)
        return;
    for (unsigned index = 0; index < *engine->ring.sq.kring_entries; index++)
        engine->ring.sq.array[index] = index;
}

static void exposeQueues(struct uringEngine* engine)
{
    struct FastEngine* base = &engine->base;
    struct io_uring* ring = &engine->ring;
    base->functions = &uringFunctions;
    base->submission.entries = ring->sq.sqes;
    base->submission.head = ring->sq.khead;
    base->submission.tail = *ring->sq.ktail;
    base->submission.mask = *ring->sq.kring_mask;
    base->completion.entries = ring->cq.cqes;
    base->completion.head = ring->cq.khead;
    base->completion.tail = ring->cq.ktail;
    base->completion.flags = ring->sq.kflags;
    base->completion.mask = *ring->cq.kring_mask;
}

static void findWaitFlags(struct uringEngine* engine, uint64_t unwanted)
{
    engine->enterFlags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (engine->ring.features & FAST_URING_FEAT_NO_IOWAIT && !(unwanted & FASTRING_FEATURE_NO_IOWAIT)) {
        engine->enterFlags |= FAST_URING_ENTER_NO_IOWAIT;
        engine->base.features |= FASTRING_FEATURE_NO_IOWAIT;
    }
}

static uint64_t probeOpcodes(struct uringEngine* engine)
{
    uint64_t features = 0;
    struct io_uring_probe* probe = io_uring_get_probe_ring(&engine->ring);
    if (probe == NULL)
        return 0;
    if (io_uring_opcode_supported(probe, IORING_OP_SEND_ZC))
        features |= FASTRING_FEATURE_SEND_ZERO_COPY;
    if (io_uring_opcode_supported(probe, IORING_OP_SENDMSG_ZC))
        features |= FASTRING_FEATURE_SENDMSG_ZERO_COPY;
    if (io_uring_opcode_supported(probe, FAST_URING_OP_READ_MULTISHOT))
        features |= FASTRING_FEATURE_READ_MULTISHOT;
    io_uring_free_probe(probe);
    return features;
}

static bool isRefused(int result)
{
    return result == -EPERM || result == -ENOSYS || result == -EACCES;
}

/*
 * A filter of system calls may let the set-up pass and refuse the rest: told when the ring is made, not by the
 * first wait. Neither call here can succeed: the ring is disabled yet, and has no eventfd.
 */
static int findRefusal(const struct uringEngine* engine)
{
    unsigned handle = (unsigned)engine->ring.ring_fd;
    int result = io_uring_enter(handle, 0, 0, 0, NULL);
    if (isRefused(result))
        return result;
    result = io_uring_register(handle, IORING_UNREGISTER_EVENTFD, NULL, 0);
    return isRefused(result) ? result : 0;
}

/* What an engine has in itself; the features that only use shows are added by FastEngineOpen. */
static int openEngine(struct uringEngine** result, uint32_t length, uint64_t unwanted)
{
    struct uringEngine* engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return -ENOMEM;

    atomic_init(&engine->notifyHandle, -1);
    int error = openBestRing(engine, length, unwanted);
    while (error == -ENOMEM && length > ENGINE_LEAST_LENGTH) {
        length /= 2;
        error = openBestRing(engine, length, unwanted);
    }
    if (error < 0)
        goto failed;

    error = findRefusal(engine);
    if (error == 0) {
        atomic_init(&engine->wakeHandle, FastHandleMove(eventfd(0, EFD_CLOEXEC)));
        error = atomic_load(&engine->wakeHandle) < 0 ? -errno : 0;
    }
    if (error < 0) {
        io_uring_queue_exit(&engine->ring);
        goto failed;
    }
    makeIdentity(engine);
    exposeQueues(engine);
    findWaitFlags(engine, unwanted);
    engine->base.features |= probeOpcodes(engine) & ~unwanted;
    engine->base.checked = FastCheckerRuns();
    /* cppcheck-suppress knownConditionTrueFalse ; it sees the build without valgrind's headers */
    if (engine->base.checked)
        (void)getHandle(&engine->base); /* now, so that waiting opens no descriptor in a program's midst */
    *result = engine;
    return 0;

failed:
    assert(error < 0); /* else the caller would use what it was not given */
    free(engine);
    return error;
}

/*
 * The kernel does not change while we run: tried once in a process, on a small ring of its own.
 * Returns false when trying is not possible now.
 */
static bool findFeatures(uint64_t* features)
{
    static atomic_uint_fast64_t known;
    static atomic_bool isKnown;

    if (!atomic_load(&isKnown)) {
        struct uringEngine* engine;
        if (openEngine(&engine, 8, 0) < 0)
            return false;
        int64_t found = FastEngineTry(&engine->base);
        closeEngine(&engine->base);
        destroyEngine(&engine->base);
        if (found < 0)
            return false;
        atomic_store(&known, (uint64_t)found);
        atomic_store(&isKnown, true);
    }
    *features = atomic_load(&known);
    return true;
}

int FastEngineOpen(struct FastEngine** result, uint32_t length)
{
    uint64_t unwanted = maskedFeatures();
    uint64_t found = FASTRING_FEATURE_RECEIVE_MULTISHOT;
    if (findFeatures(&found) && !(found & FASTRING_FEATURE_RECEIVE_MULTISHOT))
        return -ENOSYS; /* older than 6.0: what everything above is built on is missing */
    struct uringEngine* engine;
    int error = openEngine(&engine, length, unwanted);
    if (error < 0)
        return error;
    engine->base.features &= found | ~FASTRING_FEATURE_READ_MULTISHOT; /* the kernel says so, and use doesn't */
    engine->base.features |= found & ~unwanted;
    *result = &engine->base;
    return 0;
}
