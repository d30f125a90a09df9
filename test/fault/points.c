/*
 * The calls of the library that fail, and the loop over them. A pointer that the library has not
 * given back is found by its place in a tree.
 */
#include "points.h"

#include "between.h"
#include "engine/uring-compat.h"
#include "load.h"
#include "ring/state.h"

#include <liburing.h>
#include <pthread.h>
#include <search.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

enum
{
    CHANCES = 150,        /* runs in which everything fails now and then */
    REFUSALS = 8,         /* after so many … */
    RESPITE = 100,        /* … so many calls succeed */
    MOST_POINTS = 100000, /* bounds a scenario that never ends */
    MOST_REFUSALS = 1000, /* of the test's calls in one run */
};

static struct Countdown memory;
static struct Countdown enters;
static struct Countdown registrations;
static struct Countdown operations;
static struct Countdown calls;

/* What fails: a number of calls in a row, with an errno where there is a choice. */
static const struct Row
{
    const char* name;
    struct Countdown* countdown;
    int count;
    int error;
    bool always; /* in the short form, too */
} rows[] = {
    {"allocations", &memory, 1, ENOMEM, true},
    {"allocations, 4 in a row", &memory, 4, ENOMEM, false},
    {"enters, EINTR", &enters, 1, EINTR, true},
    {"enters, EAGAIN", &enters, 1, EAGAIN, false},
    {"enters, EBUSY, 4 in a row", &enters, 4, EBUSY, false},
    {"enters, ENOMEM, 4 in a row", &enters, 4, ENOMEM, false},
    {"other calls to the engine", &registrations, 1, ENOMEM, true},
    {"operations", &operations, 1, ENOMEM, true},
    {"operations, 4 in a row", &operations, 4, ENOMEM, false},
    {"system calls", &calls, 1, ENOMEM, true},
};

enum
{
    ROWS = sizeof(rows) / sizeof(rows[0]),
};

static const struct Row* playing;
static int refusals;       /* of the test's calls in this run */
static atomic_bool failed; /* a call of the library's, in this run */

/* Beside a row: each call of all kinds fails so often, or each n-th of the row's. */
static struct
{
    int perMille;
    int every;
    unsigned seed;
    int respite; /* calls that don't: a creation needs many in a row */
} more;

static bool fails(struct Countdown* countdown)
{
    bool result = countdownFails(countdown);

    if (more.perMille > 0)
        result = rand_r(&more.seed) % 1000 < more.perMille;
    if ((more.every > 0) && (countdown == playing->countdown))
        result = countCalls(countdown) % more.every == 0;
    if (more.respite > 0) {
        more.respite--;
        result = false;
    }
    if (result)
        atomic_store(&failed, true);
    return result;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the library has threads, too */
static void* live;                                       /* a tree of what the library has */
static int liveCount;
static size_t mapped; /* bytes */

static int compare(const void* one, const void* other)
{
    return ((uintptr_t)one > (uintptr_t)other) - ((uintptr_t)one < (uintptr_t)other);
}

static void* keep(void* data)
{
    if (data == NULL)
        return NULL;
    pthread_mutex_lock(&lock);
    ck_assert_ptr_nonnull(tsearch(data, &live, compare));
    liveCount++;
    pthread_mutex_unlock(&lock);
    return data;
}

static void drop(void* data)
{
    if (data == NULL)
        return;
    pthread_mutex_lock(&lock);
    ck_assert_msg(tdelete(data, &live, compare) != NULL, "freed, and never allocated");
    liveCount--;
    pthread_mutex_unlock(&lock);
}

/* What objcopy has the library call. */
void* pointsMalloc(size_t size);
void* pointsCalloc(size_t count, size_t size);
void* pointsRealloc(void* data, size_t size);
void* pointsAlignedAlloc(size_t alignment, size_t size);
void pointsFree(void* data);
void* pointsMap(void* address, size_t size, int access, int flags, int handle, off_t offset);
void* pointsMapLarge(void* address, size_t size, int access, int flags, int handle, off_t offset);
int pointsUnmap(void* address, size_t size);

static bool lacksMemory(void)
{
    if (!fails(&memory))
        return false;
    errno = ENOMEM;
    return true;
}

void* pointsMalloc(size_t size)
{
    return lacksMemory() ? NULL : keep(malloc(size));
}

void* pointsCalloc(size_t count, size_t size)
{
    return lacksMemory() ? NULL : keep(calloc(count, size));
}

void* pointsRealloc(void* data, size_t size)
{
    void* result = NULL;

    if (lacksMemory())
        return NULL;
    drop(data);
    result = realloc(data, size);
    ck_assert_ptr_nonnull(result);
    return keep(result);
}

void* pointsAlignedAlloc(size_t alignment, size_t size)
{
    return lacksMemory() ? NULL : keep(aligned_alloc(alignment, size));
}

void pointsFree(void* data)
{
    drop(data);
    free(data);
}

void* pointsMap(void* address, size_t size, int access, int flags, int handle, off_t offset)
{
    void* result = NULL;

    if (lacksMemory())
        return MAP_FAILED;
    result = mmap(address, size, access, flags, handle, offset);
    if (result != MAP_FAILED)
        mapped += size;
    return result;
}

/* Where offsets have 64 bits it has another name. */
void* pointsMapLarge(void* address, size_t size, int access, int flags, int handle, off_t offset)
{
    return pointsMap(address, size, access, flags, handle, offset);
}

int pointsUnmap(void* address, size_t size)
{
    mapped -= size;
    return munmap(address, size);
}

/* ---- system calls ---------------------------------------------------------------------------- */

int pointsSetup(unsigned entries, struct io_uring_params* parameters);
int pointsQueueMap(int handle, struct io_uring_params* parameters, struct io_uring* ring);
int pointsRegister(unsigned handle, unsigned what, const void* data, unsigned count);
int pointsEventfd(unsigned count, int flags);
int pointsEpollCreate(int flags);
int pointsEpollControl(int epoll, int operation, int handle, struct epoll_event* event);

/* What takes away, or only asks, needs no memory. */
int pointsSetup(unsigned entries, struct io_uring_params* parameters)
{
    return fails(&calls) ? -ENOMEM : io_uring_setup(entries, parameters);
}

int pointsQueueMap(int handle, struct io_uring_params* parameters, struct io_uring* ring)
{
    return fails(&calls) ? -ENOMEM : io_uring_queue_mmap(handle, parameters, ring);
}

int pointsRegister(unsigned handle, unsigned what, const void* data, unsigned count)
{
    bool allocates = what == IORING_REGISTER_PBUF_RING || what == IORING_REGISTER_EVENTFD ||
                     what == IORING_REGISTER_PROBE;

    if (allocates && fails(&calls))
        return -ENOMEM;
    return io_uring_register(handle, what, data, count);
}

static bool lacksNumbers(void)
{
    if (!fails(&calls))
        return false;
    errno = EMFILE;
    return true;
}

int pointsEventfd(unsigned count, int flags)
{
    return lacksNumbers() ? -1 : eventfd(count, flags);
}

int pointsEpollCreate(int flags)
{
    return lacksNumbers() ? -1 : epoll_create1(flags);
}

int pointsEpollControl(int epoll, int operation, int handle, struct epoll_event* event)
{
    if (operation == EPOLL_CTL_ADD && fails(&calls)) {
        errno = ENOMEM;
        return -1;
    }
    return epoll_ctl(epoll, operation, handle, event);
}

/* ---- the engine ------------------------------------------------------------------------------ */

/* Of its table these fail. A wake, showHandle and clearHandle have nobody to tell (where they call
 * the system, that fails above); unregisterBuffers, hold, forget and what closes take away; the
 * kernel needs no memory for setBusyPoll, and where it has that it takes the values that the
 * option has. */

static struct
{
    struct FastEngineFunctions functions;
    const struct FastEngineFunctions* below;
} engine;

static int refuseEnter(void)
{
    static const int errors[] = {EINTR, EAGAIN, EBUSY, ENOMEM};

    if (!fails(&enters))
        return 0;
    return more.perMille > 0 ? -errors[rand_r(&more.seed) % 4] : -playing->error;
}

static int registerBuffers(struct FastEngine* self, uint16_t group, void* data, uint32_t entries)
{
    if (fails(&registrations))
        return -ENOMEM;
    return engine.below->registerBuffers(self, group, data, entries);
}

/* A kernel that doesn't know. */
static int countTakenBuffers(struct FastEngine* self, uint16_t group)
{
    if (fails(&registrations))
        return -EINVAL;
    return engine.below->countTakenBuffers(self, group);
}

static int getHandle(struct FastEngine* self)
{
    if (fails(&registrations))
        return -EMFILE;
    return engine.below->getHandle(self);
}

/* What may wait in the kernel, or has a copy of a message there, needs memory for it. What takes
 * away (cancellations, close, shutdown) does not, nor what only completes. */
static bool needsMemory(uint8_t opcode)
{
    switch (opcode) {
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_ACCEPT:
    case IORING_OP_CONNECT:
    case IORING_OP_POLL_ADD:
    case IORING_OP_READ:
    case FAST_URING_OP_READ_MULTISHOT:
    case IORING_OP_WRITE:
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
        return true;
    default:
        return false;
    }
}

/* What is linked behind it is canceled. */
static void refuseOperation(struct io_uring_sqe* entry)
{
    if (needsMemory(entry->opcode) && (entry->user_data != 0) && fails(&operations))
        betweenAnswer(entry, -ENOMEM, 0);
}

void plantPoints(struct FastRing* ring)
{
    struct FastEngine* self = ring->engine;

    if ((more.perMille == 0) && (playing->countdown != &enters) &&
        (playing->countdown != &registrations) && (playing->countdown != &operations))
        return;
    betweenPut(self, (struct Between){.refuse = refuseEnter, .look = refuseOperation});
    engine.below = self->functions;
    engine.functions = *self->functions;
    engine.functions.registerBuffers = registerBuffers;
    engine.functions.countTakenBuffers = countTakenBuffers;
    engine.functions.getHandle = getHandle;
    self->functions = &engine.functions;
}

/* ---- playing --------------------------------------------------------------------------------- */

bool hasPointFailed(void)
{
    return atomic_load(&failed);
}

bool wasRefused(bool failed, int error)
{
    if (!failed)
        return false;
    ck_assert_msg(hasPointFailed(), "refused without a failure: %s", strerror(error));
    ck_assert_msg((error == ENOMEM) || (error == EMFILE), "refused: %s", strerror(error));
    ck_assert_int_lt(++refusals, MOST_REFUSALS);
    if (((more.perMille > 0) || (more.every > 0)) && (refusals % REFUSALS == 0))
        more.respite = RESPITE;
    return true;
}

bool wasRefusedByErrno(bool failed)
{
    return wasRefused(failed, errno);
}

/* A number of 0: no call fails because of its place. */
static void failFrom(const struct Row* row, int number)
{
    forgetCalls(row->countdown);
    if (number == 0)
        return;
    atomic_store(&row->countdown->first, number);
    atomic_store(&row->countdown->last, number + row->count - 1);
}

/* The calls that a run made; the ones from a number on failed. */
static int playOnce(const struct Row* row, int number, void (*scenario)(int variant), int variant)
{
    int descriptors = countDescriptors();
    int blocks = liveCount;
    size_t bytes = mapped;
    int count = 0;

    playing = row;
    refusals = 0;
    more.respite = 0;
    atomic_store(&failed, false);
    failFrom(row, number);
    scenario(variant);
    count = countCalls(row->countdown);
    forgetCalls(row->countdown);
    ck_assert_msg(liveCount == blocks, "%s, %d: %d blocks of memory are left", row->name, number,
                  liveCount - blocks);
    ck_assert_msg(mapped == bytes, "%s, %d: mappings are left", row->name, number);
    ck_assert_msg(countDescriptors() == descriptors, "%s, %d: descriptors are left", row->name,
                  number);
    return count;
}

static int playEachPoint(const struct Row* row, void (*scenario)(int variant), int variant)
{
    int number = 1;

    while (playOnce(row, number, scenario, variant) >= number)
        ck_assert_int_lt(++number, MOST_POINTS);
    return number - 1;
}

/* Every n-th call for memory. */
static void playPeriods(void (*scenario)(int variant), int variant)
{
    static const int periods[] = {2, 3, 5, 10, 50, 200, 500};

    for (size_t index = 0; index < sizeof(periods) / sizeof(periods[0]); index++) {
        more.every = periods[index];
        playOnce(&rows[0], 0, scenario, variant);
    }
    more.every = 0;
}

/* Everything fails now and then. */
static void playChances(void (*scenario)(int variant), int variant)
{
    static const int chances[] = {20, 100, 300};

    for (unsigned round = 0; round < CHANCES; round++) {
        more.seed = round + 1;
        more.perMille = chances[round % 3];
        playOnce(&rows[0], 0, scenario, variant);
    }
    more.perMille = 0;
}

void playPoints(const char* name, const char* kind, void (*scenario)(int variant), int variant)
{
    waitsForMemory = false; /* a refusal is what this is about */
    for (int index = 0; index < ROWS; index++) {
        if (rows[index].always || isLong())
            tell("%s (%s): %d points of %s", name, kind,
                 playEachPoint(&rows[index], scenario, variant), rows[index].name);
    }
    if (isLong()) {
        playPeriods(scenario, variant);
        playChances(scenario, variant);
    }
}
