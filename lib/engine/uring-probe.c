/*
 * What the kernel can do, found out by use.
 *
 * Each trial takes a pair of AF_UNIX sockets or a pipe and a few tiny buffers of one group, submits
 * one operation and looks at its completions. A kernel that lacks a feature answers -EINVAL, or
 * takes the flag and ignores it, or, for bundles of some releases, gives buffers out of order: all
 * differ in the bytes that arrive.
 *
 * A trial does what the library will do, the fruitless case included: every receive is armed before
 * there is anything, and finds nothing again between the writes. What it has not taken must then
 * lie in the kernel's ring as it was put there: some releases leave a receive's limit in the entry
 * at which it looked in vain, and the next receive of whatever socket is deceived.
 *
 * Every operation is final before its trial returns, since the buffers lie on our stack and heap.
 */
#include "engine/uring-probe.h"
#include "base/pipe-signal.h"
#include "engine/uring-compat.h"
#include "engine/uring-trial.h"

#include <Ring/FastRing.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum
{
    TRIAL_CAP = 8, /* less than a buffer */
    /* of the ring, as sockets bound their receives */
    TRIAL_SHARE = TRIAL_BUFFERS / 4 * TRIAL_LENGTH,
    TRIAL_FAR = 1 << 20,
};

static void provideAll(struct FastTrial* trial)
{
    for (int id = 0; id < TRIAL_BUFFERS; id++)
        io_uring_buf_ring_add(trial->buffers, trial->memory[id], TRIAL_LENGTH, (uint16_t)id,
                              TRIAL_BUFFERS - 1, id);
    io_uring_buf_ring_advance(trial->buffers, TRIAL_BUFFERS);
}

static void startReceive(struct FastTrial* trial, uint16_t priority, uint32_t each, int32_t cap)
{
    struct io_uring_sqe* entry = FastTrialStart(trial);
    io_uring_prep_recv(entry, trial->pair[0], NULL, each, MSG_NOSIGNAL);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = TRIAL_GROUP;
    entry->ioprio = priority;
    entry->splice_fd_in = cap; /* optlen of kernel 6.17 */
}

/* Whether what the kernel has not taken lies in its ring as it was put there. */
static bool entriesAreIntact(const struct FastTrial* trial)
{
    const struct io_uring_buf* entries = (const struct io_uring_buf*)trial->buffers;
    for (int id = trial->next; id < TRIAL_BUFFERS; id++)
        if (entries[id].addr != (uintptr_t)trial->memory[id] || entries[id].len != TRIAL_LENGTH ||
            entries[id].bid != id)
            return false;
    return true;
}

/* Checks the bytes of one completion, buffer after buffer; returns how many, or -1. */
static int checkBytes(struct FastTrial* trial, const struct io_uring_cqe* completion,
                      uint8_t expected)
{
    if (completion->res <= 0 || !(completion->flags & IORING_CQE_F_BUFFER))
        return -1;
    if (completion->flags >> IORING_CQE_BUFFER_SHIFT != trial->next)
        return -1;
    for (int offset = 0; offset < completion->res; offset++, expected++) {
        int place = trial->next + offset / TRIAL_LENGTH;
        if (place >= TRIAL_BUFFERS || trial->memory[place][offset % TRIAL_LENGTH] != expected)
            return -1;
    }
    trial->next = (uint16_t)(trial->next + (completion->res + TRIAL_LENGTH - 1) / TRIAL_LENGTH);
    return completion->res;
}

/* Takes in what a write brought; restarts a receive that ended, but for the last byte. */
static bool receiveSome(struct FastTrial* trial, uint16_t priority, size_t* received, size_t until)
{
    while (*received < until) {
        struct io_uring_cqe completion;
        if (!FastTrialNext(trial, &completion))
            return false;
        int count = checkBytes(trial, &completion, (uint8_t)*received);
        if (count < 0)
            return false;
        *received += (size_t)count;
        if (!trial->inFlight && *received < (size_t)TRIAL_BUFFERS * TRIAL_LENGTH)
            startReceive(trial, priority, 0, 0);
    }
    return true;
}

/* Writes of one, three and four buffers' size, all of which must come back in order. */
static bool receivesInOrder(struct FastTrial* trial, uint16_t priority)
{
    static const size_t writes[] = {TRIAL_LENGTH, (size_t)3 * TRIAL_LENGTH,
                                    (size_t)4 * TRIAL_LENGTH};
    uint8_t bytes[TRIAL_BUFFERS * TRIAL_LENGTH];
    for (size_t index = 0; index < sizeof(bytes); index++)
        bytes[index] = (uint8_t)index;
    if (!FastTrialOpenPair(trial))
        return false;
    startReceive(trial, priority, 0, 0);

    bool good = FastTrialFindsNothing(trial);
    size_t sent = 0;
    size_t received = 0;
    for (size_t index = 0; good && index < sizeof(writes) / sizeof(writes[0]); index++) {
        ssize_t size = send(trial->pair[1], bytes + sent, writes[index], MSG_NOSIGNAL);
        sent += writes[index];
        good = size == (ssize_t)writes[index] && receiveSome(trial, priority, &received, sent) &&
               entriesAreIntact(trial);
    }
    return good;
}

/* One completion of a receive that goes on afterwards, or not. */
static bool receiveOnce(struct FastTrial* trial, uint8_t expected, int count, bool more)
{
    struct io_uring_cqe completion;
    return FastTrialNext(trial, &completion) &&
           checkBytes(trial, &completion, expected) == count && trial->inFlight == more;
}

/*
 * A cap of less than a buffer: the receive finds nothing, goes on after less than the cap, finds
 * nothing again, and ends with the cap. With bundles, if there are any, since that is how they are
 * used: together they have left the cap in the ring (6.17 to 7.0.4), or ended every receive at once
 * (7.3).
 */
static bool capEnds(struct FastTrial* trial, uint32_t each)
{
    static const uint8_t bytes[TRIAL_CAP] = {0, 1, 2, 3, 4, 5, 6, 7};
    const uint8_t half = TRIAL_CAP / 2;
    if (!FastTrialOpenPair(trial))
        return false;
    startReceive(trial, trial->priority, each, TRIAL_CAP);
    return FastTrialFindsNothing(trial) && entriesAreIntact(trial) &&
           send(trial->pair[1], bytes, half, MSG_NOSIGNAL) == half &&
           receiveOnce(trial, 0, half,
                       true) &&
           FastTrialFindsNothing(trial) && entriesAreIntact(trial) &&
           send(trial->pair[1], bytes + half, half, MSG_NOSIGNAL) == half &&
           receiveOnce(trial, half, half, false);
}

/* A cap far away ends nothing, whatever little comes: some kernels end a bundle's receive early. */
static bool capWaits(struct FastTrial* trial)
{
    static const uint8_t bytes[] = {0, 1, 2, 3};
    bool good = FastTrialOpenPair(trial);
    if (good)
        startReceive(trial, trial->priority, TRIAL_SHARE, TRIAL_FAR);
    for (uint8_t index = 0; good && index < sizeof(bytes); index++)
        good = FastTrialFindsNothing(trial) &&
               send(trial->pair[1], &bytes[index], 1, MSG_NOSIGNAL) == 1 &&
               receiveOnce(trial, index, 1, true) && entriesAreIntact(trial);
    return good;
}

/* Two writes to a pipe, apart, and its end. */
static bool readsMultishot(struct FastTrial* trial)
{
    struct io_uring_cqe completion;
    if (!FastTrialOpenPipe(trial))
        return false;
    struct io_uring_sqe* entry = FastTrialStart(trial);
    io_uring_prep_read(entry, trial->pair[0], NULL, 0, UINT64_MAX);
    entry->opcode = FAST_URING_OP_READ_MULTISHOT;
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = TRIAL_GROUP;
    bool good = FastTrialFindsNothing(trial) && write(trial->pair[1], "\0", 1) == 1 &&
                receiveOnce(trial, 0, 1,
                            true) &&
                FastTrialFindsNothing(trial) && entriesAreIntact(trial) &&
                write(trial->pair[1], "\1", 1) == 1 && receiveOnce(trial, 1, 1, true);
    FastTrialCloseEnd(trial, 1);
    return good && FastTrialNext(trial, &completion) && completion.res == 0 && !trial->inFlight;
}

/* AF_UNIX can't do zero copy: a kernel that knows the report flag says so, an older one -EINVAL. */
static bool knowsReport(struct FastTrial* trial)
{
    struct io_uring_cqe completion;
    if (!FastTrialOpenPair(trial))
        return false;
    struct io_uring_sqe* entry = FastTrialStart(trial);
    io_uring_prep_send_zc(entry, trial->pair[1], "a", 1, MSG_NOSIGNAL,
                          FAST_URING_SEND_ZC_REPORT_USAGE);
    return FastTrialNext(trial, &completion) &&
           (completion.res == -EOPNOTSUPP || completion.res == 1);
}

/* A write to a pipe without a reader raises no SIGPIPE; an older kernel doesn't know the flag. */
static bool writesWithoutSignal(struct FastTrial* trial)
{
    struct FastPipeSignal guard;
    struct io_uring_cqe completion;
    if (!FastTrialOpenPipe(trial))
        return false;
    FastTrialCloseEnd(trial, 0);
    struct io_uring_sqe* entry = FastTrialStart(trial);
    io_uring_prep_write(entry, trial->pair[1], "a", 1, UINT64_MAX);
    entry->rw_flags = FAST_RWF_NOSIGNAL;
    FastPipeSignalBlock(&guard);
    bool broken = FastTrialNext(trial, &completion) && completion.res == -EPIPE;
    return !FastPipeSignalRestore(&guard) && broken;
}

/* A listening socket with a name that the kernel picks, outside of the file system. */
static bool listenSomewhere(struct FastTrial* trial, struct sockaddr_un* name, socklen_t* length)
{
    FastTrialCloseEnds(trial);
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    trial->pair[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return trial->pair[0] >= 0 &&
           bind(trial->pair[0], (struct sockaddr*)name, sizeof(name->sun_family)) == 0 &&
           listen(trial->pair[0], 1) == 0 &&
           getsockname(trial->pair[0], (struct sockaddr*)name, length) == 0;
}

static bool connectTo(struct FastTrial* trial, const struct sockaddr_un* name, socklen_t length)
{
    FastTrialCloseEnd(trial, 1);
    trial->pair[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return trial->pair[1] >= 0 &&
           connect(trial->pair[1], (const struct sockaddr*)name, length) == 0;
}

/* One connection, accepted by an operation that goes on. */
static bool acceptOne(struct FastTrial* trial, const struct sockaddr_un* name, socklen_t length)
{
    struct io_uring_cqe completion;
    if (!connectTo(trial, name, length) || !FastTrialNext(trial, &completion) ||
        completion.res < 0)
        return false;
    bool connected = send(completion.res, "a", 1, MSG_NOSIGNAL) == 1 &&
                     recv(trial->pair[1], &completion, 1, MSG_DONTWAIT) == 1;
    close(completion.res);
    return connected && trial->inFlight;
}

/* Where it can't be tried, nothing is known: of use to programs alone. */
static bool acceptsMultishot(struct FastTrial* trial)
{
    struct sockaddr_un name;
    socklen_t length = sizeof(name);
    if (!listenSomewhere(trial, &name, &length))
        return true;
    io_uring_prep_multishot_accept(FastTrialStart(trial), trial->pair[0], NULL, NULL, SOCK_CLOEXEC);
    return FastTrialFindsNothing(trial) && acceptOne(trial, &name, length) &&
           acceptOne(trial, &name, length);
}

/* The result of an accept that does not wait. */
static int acceptAtOnce(struct FastTrial* trial)
{
    struct io_uring_cqe completion;
    struct io_uring_sqe* entry = FastTrialStart(trial);
    io_uring_prep_accept(entry, trial->pair[0], NULL, NULL, SOCK_CLOEXEC);
    entry->ioprio |= FAST_URING_ACCEPT_DONTWAIT;
    return FastTrialNext(trial, &completion) ? completion.res : -ETIME;
}

/* Of no connection, and of one. Where it can't be tried it is not used. */
static bool acceptsAtOnce(struct FastTrial* trial)
{
    struct sockaddr_un name;
    socklen_t length = sizeof(name);
    if (!listenSomewhere(trial, &name, &length) || acceptAtOnce(trial) != -EAGAIN ||
        !connectTo(trial, &name, length))
        return false;
    int handle = acceptAtOnce(trial);
    return handle >= 0 && close(handle) == 0;
}

static bool multishotWorks(struct FastTrial* trial)
{
    return receivesInOrder(trial, IORING_RECV_MULTISHOT);
}

static bool bundlesWork(struct FastTrial* trial)
{
    return receivesInOrder(trial, IORING_RECV_MULTISHOT | FAST_URING_RECVSEND_BUNDLE);
}

/* A bound of each receive that is more than a buffer, and one that is less. */
static bool capsWork(struct FastTrial* trial)
{
    return capEnds(trial, TRIAL_SHARE);
}

static bool smallBoundsWork(struct FastTrial* trial)
{
    return capEnds(trial, TRIAL_CAP / 2);
}

/* A fresh group for each trial, so that none is misled by the buffers of the one before. */
static bool inFreshGroup(struct FastTrial* trial, bool (*function)(struct FastTrial* trial))
{
    memset(trial->buffers, 0, sizeof(struct io_uring_buf) * TRIAL_BUFFERS);
    io_uring_buf_ring_init(trial->buffers);
    int result = trial->engine->functions->registerBuffers(trial->engine, TRIAL_GROUP,
                                                           trial->buffers, TRIAL_BUFFERS);
    if (result == -ENOMEM || result == -EAGAIN)
        trial->error = -result;
    if (result < 0)
        return false;
    provideAll(trial);
    trial->next = 0;
    bool works = function(trial);
    FastTrialEnd(trial);
    trial->engine->functions->unregisterBuffers(trial->engine, TRIAL_GROUP);
    return works;
}

static int64_t tryReceives(struct FastTrial* trial)
{
    int64_t features = 0;
    trial->priority = IORING_RECV_MULTISHOT;
    if (inFreshGroup(trial, multishotWorks))
        features |= FASTRING_FEATURE_RECEIVE_MULTISHOT;
    if (inFreshGroup(trial, bundlesWork)) {
        features |= FASTRING_FEATURE_RECEIVE_BUNDLE;
        trial->priority |= FAST_URING_RECVSEND_BUNDLE;
    }
    if (inFreshGroup(trial, capsWork) && inFreshGroup(trial, smallBoundsWork) &&
        inFreshGroup(trial, capWaits))
        features |= FASTRING_FEATURE_RECEIVE_CAP;
    if (trial->engine->features & FASTRING_FEATURE_READ_MULTISHOT &&
        inFreshGroup(trial, readsMultishot))
        features |= FASTRING_FEATURE_READ_MULTISHOT;
    return features;
}

static int64_t tryOthers(struct FastTrial* trial)
{
    int64_t features = 0;
    if (knowsReport(trial))
        features |= FASTRING_FEATURE_ZERO_COPY_REPORT;
    FastTrialEnd(trial);
    if (writesWithoutSignal(trial))
        features |= FASTRING_FEATURE_WRITE_NO_SIGNAL;
    FastTrialEnd(trial);
    if (acceptsMultishot(trial))
        features |= FASTRING_FEATURE_ACCEPT_MULTISHOT;
    FastTrialEnd(trial);
    if (acceptsAtOnce(trial))
        features |= FASTRING_FEATURE_ACCEPT_AT_ONCE;
    FastTrialEnd(trial);
    return features;
}

int64_t FastEngineTry(struct FastEngine* engine)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    struct FastTrial trial = {.engine = engine, .pair = {-1, -1}};
    void* page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -ENOMEM;
    trial.buffers = page;
    int64_t features = tryReceives(&trial);
    if (trial.error == 0)
        features |= tryOthers(&trial);
    FastTrialCloseEnds(&trial);
    munmap(page, size);
    return trial.error != 0 ? -trial.error : features;
}
