/*
 * How an engine on io_uring is opened.
 *
 * Good path: tries the best set of set-up flags that the kernel takes, maps the rings, makes the
 * submission array an identity (or has none) so that an entry's place is its index, and finds out
 * the rest of the features by trying. The ring starts disabled, so that any thread may prepare it.
 *
 * Failures: memory refused (RLIMIT_MEMLOCK, kernels that charge rings to it): half the entries,
 * down to 64. io_uring refused (seccomp, sysctl), or one of its three system calls: EPERM or ENOSYS
 * to the caller.
 */
#include "engine/uring-open.h"
#include "base/checker.h"
#include "base/handle.h"
#include "engine/uring-compat.h"
#include "engine/uring-probe.h"
#include "engine/uring.h"

#include <Ring/FastRing.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum
{
    ENGINE_MIN_LENGTH = 64, /* halving stops here */
    ENGINE_MAX_COMPLETIONS = 65536,
    ENGINE_COMPLETIONS_PER_ENTRY = 16, /* multishot operations complete often; overflow ends them */
    ENGINE_TRIAL_LENGTH = 8,
};

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

/* Before Linux 6.3, by which time it had this feature, a thread of the kernel's made completions
 * itself even of deferred work. */
static bool isInside(const struct FastUring* engine)
{
    return engine->base.features & FASTRING_FEATURE_DEFER_TASKRUN &&
           engine->ring.features & FAST_URING_FEAT_REG_REG_RING;
}

static int openRing(struct FastUring* engine, uint32_t length, const struct setup* setup)
{
    uint32_t completions = length * ENGINE_COMPLETIONS_PER_ENTRY;
    struct io_uring_params parameters = {
        .flags = setup->flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = completions < ENGINE_MAX_COMPLETIONS ? completions : ENGINE_MAX_COMPLETIONS,
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
    FastUringNoteMapped();
    /* liburing 2.3 does this in io_uring_queue_mmap; 2.9 leaves it to the caller, with handle 0. */
    engine->ring.ring_fd = handle;
    engine->ring.enter_ring_fd = handle;
    engine->ring.flags = parameters.flags;
    engine->ring.features = parameters.features;
    engine->base.features = setup->features;
    engine->base.inside = isInside(engine);
    return 0;
}

static int openBestRing(struct FastUring* engine, uint32_t length, uint64_t hidden)
{
    for (size_t index = 0; index < sizeof(setups) / sizeof(setups[0]); index++) {
        if (setups[index].features & hidden)
            continue;
        int result = openRing(engine, length, &setups[index]);
        if (result != -EINVAL)
            return result;
    }
    return -ENOSYS; /* not even a ring that starts disabled: older than 5.10 */
}

/* Entry i of the array is entry i of the queue, once and for all. */
static void makeIdentity(struct FastUring* engine)
{
    if (engine->base.features & FASTRING_FEATURE_NO_SQARRAY)
        return;
    for (unsigned index = 0; index < *engine->ring.sq.kring_entries; index++)
        engine->ring.sq.array[index] = index;
}

static void exposeQueues(struct FastUring* engine)
{
    struct FastEngine* base = &engine->base;
    struct io_uring* ring = &engine->ring;
    base->functions = &FastUringFunctions;
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

static void findWaitFlags(struct FastUring* engine, uint64_t hidden)
{
    engine->enterFlags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (engine->ring.features & FAST_URING_FEAT_NO_IOWAIT &&
        !(hidden & FASTRING_FEATURE_NO_IOWAIT)) {
        engine->enterFlags |= FAST_URING_ENTER_NO_IOWAIT;
        engine->base.features |= FASTRING_FEATURE_NO_IOWAIT;
    }
}

/* To give up what was never asked for succeeds where it can be asked for. */
static void findWaits(struct FastUring* engine, uint64_t hidden)
{
    uint64_t features = 0;
    if (FastUringFunctions.setBusyPoll(&engine->base, 0, false) == 0)
        features |= FASTRING_FEATURE_NAPI;
    if (engine->ring.features & FAST_URING_FEAT_MIN_TIMEOUT)
        features |= FASTRING_FEATURE_MINIMUM_WAIT;
    engine->base.features |= features & ~hidden;
}

static bool isSupported(const struct io_uring_probe* probe, unsigned opcode)
{
    return opcode < probe->ops_len && probe->ops[opcode].flags & IO_URING_OP_SUPPORTED;
}

/* Adds what opcodes there are to the engine's features. */
static int probeOpcodes(struct FastUring* engine, uint64_t hidden)
{
    enum
    {
        LENGTH = 256, /* as many as an opcode can name */
    };
    uint64_t room[(sizeof(struct io_uring_probe) + LENGTH * sizeof(struct io_uring_probe_op)) /
                  sizeof(uint64_t)] = {0};
    struct io_uring_probe* probe = (struct io_uring_probe*)room;
    int result = io_uring_register((unsigned)engine->ring.ring_fd, IORING_REGISTER_PROBE, probe,
                                   LENGTH);
    if (result < 0) /* invalid: older than 5.6, or a filter that says so */
        return result == -EINVAL ? -ENOSYS : result;
    uint64_t features = 0;
    if (isSupported(probe, IORING_OP_SEND_ZC))
        features |= FASTRING_FEATURE_SEND_ZERO_COPY;
    if (isSupported(probe, IORING_OP_SENDMSG_ZC))
        features |= FASTRING_FEATURE_SENDMSG_ZERO_COPY;
    if (isSupported(probe, FAST_URING_OP_READ_MULTISHOT))
        features |= FASTRING_FEATURE_READ_MULTISHOT;
    engine->base.features |= features & ~hidden;
    return 0;
}

static bool isRefused(int result)
{
    return result == -EPERM || result == -ENOSYS || result == -EACCES;
}

/*
 * A filter of system calls may let the set-up pass and refuse the rest: reported when the ring is
 * made, not by the first wait. Without a ring neither call here can succeed. Nor is one made for
 * them: some milliseconds after the end of a ring the kernel interrupts what its thread waits for.
 */
static int findRefusal(void)
{
    const unsigned none = UINT32_MAX;
    int result = io_uring_enter(none, 0, 0, 0, NULL);
    if (isRefused(result))
        return result;
    result = io_uring_register(none, IORING_UNREGISTER_EVENTFD, NULL, 0);
    return isRefused(result) ? result : 0;
}

/* What an engine has in itself; the features that only use shows are added by FastUringOpen. */
static int openEngine(struct FastUring** result, uint32_t length, uint64_t hidden)
{
    struct FastUring* engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return -ENOMEM;

    atomic_init(&engine->notifyHandle, -1);
    int error = openBestRing(engine, length, hidden);
    while (error == -ENOMEM && length > ENGINE_MIN_LENGTH) {
        length /= 2;
        error = openBestRing(engine, length, hidden);
    }
    if (error < 0)
        goto failed;
    error = probeOpcodes(engine, hidden);
    if (error < 0)
        goto unmap;
    atomic_init(&engine->wakeHandle, FastHandleMove(eventfd(0, EFD_CLOEXEC)));
    if (atomic_load(&engine->wakeHandle) < 0) {
        error = -errno;
        goto unmap;
    }
    makeIdentity(engine);
    exposeQueues(engine);
    findWaitFlags(engine, hidden);
    findWaits(engine, hidden);
    engine->base.checked = FastCheckerRuns();
    engine->base.listens = FastCheckerListens();
    /* cppcheck-suppress knownConditionTrueFalse ; it sees the build without valgrind's headers */
    if (engine->base.checked)
        /* now, so that waiting opens no descriptor in a program's midst */
        (void)FastUringFunctions.getHandle(&engine->base);
    *result = engine;
    return 0;

unmap:
    FastUringUnmap(engine);
failed:
    assert(error < 0); /* else the caller would use what it was not given */
    free(engine);
    return error;
}

/* Of memory or descriptors: passes, and says nothing about the kernel. */
static bool isWant(int64_t result)
{
    return result == -ENOMEM || result == -EAGAIN || result == -ENOBUFS || result == -EMFILE ||
           result == -ENFILE;
}

/*
 * The kernel does not change while we run: tried once in a process, on a small ring of its own.
 * Where the system keeps the trial from its sockets, what the opcodes tell is taken: SEND_ZC came
 * with 6.0, as the receives did that go on.
 */
static int findFeatures(uint64_t* features)
{
    static atomic_uint_fast64_t known;
    static atomic_bool isKnown;

    if (atomic_load(&isKnown)) {
        *features = atomic_load(&known);
        return 0;
    }
    struct FastUring* engine;
    int error = openEngine(&engine, ENGINE_TRIAL_LENGTH, 0);
    if (error < 0)
        return error;
    int64_t found = FastEngineTry(&engine->base);
    bool isRecent = engine->base.features & FASTRING_FEATURE_SEND_ZERO_COPY;
    FastUringFunctions.close(&engine->base);
    FastUringFunctions.destroy(&engine->base);
    if (isWant(found))
        return (int)found;
    if (found >= 0) {
        atomic_store(&known, (uint64_t)found);
        atomic_store(&isKnown, true);
        *features = (uint64_t)found;
    }
    else
        *features = isRecent ? FASTRING_FEATURE_RECEIVE_MULTISHOT : 0;
    return 0;
}

int FastUringOpen(struct FastEngine** result, uint32_t length, uint64_t hidden)
{
    uint64_t found = 0;
    int error = findRefusal();
    if (error == 0)
        error = findFeatures(&found);
    if (error < 0)
        return error;
    if (!(found & FASTRING_FEATURE_RECEIVE_MULTISHOT))
        return -ENOSYS; /* older than 6.0: what everything above is built on is missing */
    struct FastUring* engine;
    error = openEngine(&engine, length, hidden);
    if (error < 0)
        return error;
    /* the kernel says so, and use doesn't */
    engine->base.features &= found | ~FASTRING_FEATURE_READ_MULTISHOT;
    engine->base.features |= found & ~hidden;
    *result = &engine->base;
    return 0;
}
