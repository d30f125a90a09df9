/*
 * What the kernel can do, found out by use.
 *
 * Each trial takes a pair of AF_UNIX sockets and a few tiny buffers of one group, submits one
 * operation and looks at its completions. A kernel that lacks a feature answers -EINVAL, or takes the
 * flag and ignores it, or, for bundles of some releases, gives buffers out of order: all are told
 * apart by the bytes that arrive. Every operation is final before its trial returns, since the
 * buffers lie on our stack and heap.
 */
#include "engine-uring.h"
#include "uring-compat.h"

#include <Ring/FastRing.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum
{
    TRIAL_GROUP = 1,
    TRIAL_BUFFERS = 8,
    TRIAL_LENGTH = 16, /* bytes in a buffer */
    TRIAL_TURNS = 64,  /* enters before a trial gives up */
};

struct trial
{
    struct FastEngine* engine;
    struct io_uring_buf_ring* buffers;
    uint8_t memory[TRIAL_BUFFERS][TRIAL_LENGTH];
    int pair[2];
    int error;     /* why something could not be tried: says nothing of the kernel */
    uint16_t next; /* id of the buffer that the kernel takes next, if it keeps the order */
};

/* One completion of one operation; false when none comes although asked for long enough. */
static bool nextCompletion(struct trial* trial, struct io_uring_cqe* completion)
{
    for (int turn = 0; turn < TRIAL_TURNS; turn++) {
        const struct io_uring_cqe* entry = FastEnginePeek(trial->engine);
        if (entry != NULL) {
            *completion = *entry;
            FastEngineAdvance(trial->engine);
            return true;
        }
        if (trial->engine->functions->enter(trial->engine, 0, NULL) == -EEXIST)
            return false;
    }
    return false;
}

/* Reads completions until the operation is final: its sockets are shut down, so it ends by itself. */
static void endOperation(struct trial* trial)
{
    struct io_uring_cqe completion = {.flags = IORING_CQE_F_MORE};
    shutdown(trial->pair[0], SHUT_RDWR);
    shutdown(trial->pair[1], SHUT_RDWR);
    while (completion.flags & IORING_CQE_F_MORE) {
        if (!nextCompletion(trial, &completion))
            break;
    }
}

static bool renewPair(struct trial* trial)
{
    if (trial->pair[0] >= 0) {
        close(trial->pair[0]);
        close(trial->pair[1]);
        trial->pair[0] = -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, trial->pair) == 0)
        return true;
    trial->error = errno;
    trial->pair[0] = -1;
    return false;
}

static void provideAll(struct trial* trial)
{
    for (int id = 0; id < TRIAL_BUFFERS; id++)
        io_uring_buf_ring_add(trial->buffers, trial->memory[id], TRIAL_LENGTH, (uint16_t)id,
                              TRIAL_BUFFERS - 1, id);
    io_uring_buf_ring_advance(trial->buffers, TRIAL_BUFFERS);
}

static void startReceive(struct trial* trial, uint16_t priority, int32_t cap)
{
    struct io_uring_sqe* entry = FastEngineReserve(trial->engine);
    io_uring_prep_recv(entry, trial->pair[0], NULL, 0, MSG_NOSIGNAL);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = TRIAL_GROUP;
    entry->ioprio = priority;
    entry->splice_fd_in = cap; /* optlen of kernel 6.17 */
}

/* Checks the bytes of one completion, buffer after buffer; returns how many, or -1. */
static int checkBytes(struct trial* trial, const struct io_uring_cqe* completion, uint8_t expected)
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

/* Takes in what a write brought; restarts a receive that ended. *over: it ended with the last byte. */
static bool receiveSome(struct trial* trial, uint16_t priority, size_t* received, size_t until, bool* over)
{
    while (*received < until) {
        struct io_uring_cqe completion;
        if (!nextCompletion(trial, &completion))
            return false;
        int count = checkBytes(trial, &completion, (uint8_t)*received);
        *over = !(completion.flags & IORING_CQE_F_MORE);
        if (count < 0)
            return false;
        *received += (size_t)count;
        if (*over && *received < (size_t)TRIAL_BUFFERS * TRIAL_LENGTH) {
            startReceive(trial, priority, 0);
            *over = false;
        }
    }
    return true;
}

/* Writes of one, three and four buffers' size, all of which must come back in order. */
static bool receivesInOrder(struct trial* trial, uint16_t priority)
{
    static const size_t writes[] = {TRIAL_LENGTH, (size_t)3 * TRIAL_LENGTH, (size_t)4 * TRIAL_LENGTH};
    uint8_t bytes[TRIAL_BUFFERS * TRIAL_LENGTH];
    for (size_t index = 0; index < sizeof(bytes); index++)
        bytes[index] = (uint8_t)index;
    if (!renewPair(trial))
        return false;
    trial->next = 0;
    startReceive(trial, priority, 0);

    bool good = true;
    bool over = false;
    size_t sent = 0;
    size_t received = 0;
    for (size_t index = 0; good && index < sizeof(writes) / sizeof(writes[0]); index++) {
        ssize_t size = send(trial->pair[1], bytes + sent, writes[index], MSG_NOSIGNAL);
        sent += writes[index];
        good = size == (ssize_t)writes[index] && receiveSome(trial, priority, &received, sent, &over);
    }
    if (!over)
        endOperation(trial);
    return good;
}

/* A cap of one byte ends the receive with its first completion. */
static bool capEnds(struct trial* trial)
{
    struct io_uring_cqe completion;
    if (!renewPair(trial) || send(trial->pair[1], "a", 1, MSG_NOSIGNAL) != 1)
        return false;
    startReceive(trial, IORING_RECV_MULTISHOT, 1);
    if (!nextCompletion(trial, &completion))
        return false;
    if (completion.flags & IORING_CQE_F_MORE)
        endOperation(trial);
    return completion.res == 1 && !(completion.flags & IORING_CQE_F_MORE);
}

/* AF_UNIX can't do zero copy: a kernel that knows the report flag says so, an older one -EINVAL. */
static bool knowsReport(struct trial* trial)
{
    struct io_uring_cqe completion;
    if (!renewPair(trial))
        return false;
    struct io_uring_sqe* entry = FastEngineReserve(trial->engine);
    io_uring_prep_send_zc(entry, trial->pair[1], "a", 1, MSG_NOSIGNAL,
                          FAST_URING_SEND_ZC_REPORT_USAGE);
    if (!nextCompletion(trial, &completion))
        return false;
    if (completion.flags & IORING_CQE_F_MORE)
        endOperation(trial);
    return completion.res == -EOPNOTSUPP || completion.res == 1;
}

/* A write that raises no SIGPIPE; an older kernel doesn't know the flag and says so. */
static bool writesWithoutSignal(struct trial* trial)
{
    struct io_uring_cqe completion;
    if (!renewPair(trial))
        return false;
    struct io_uring_sqe* entry = FastEngineReserve(trial->engine);
    io_uring_prep_write(entry, trial->pair[1], "a", 1, UINT64_MAX);
    entry->rw_flags = FAST_RWF_NOSIGNAL;
    return nextCompletion(trial, &completion) && completion.res == 1;
}

/* A fresh group for each trial, so that none is misled by the buffers of the one before. */
static bool inFreshGroup(struct trial* trial, bool (*function)(struct trial* trial))
{
    memset(trial->buffers, 0, sizeof(struct io_uring_buf) * TRIAL_BUFFERS);
    io_uring_buf_ring_init(trial->buffers);
    int result = trial->engine->functions->registerBuffers(trial->engine, TRIAL_GROUP, trial->buffers,
                                                           TRIAL_BUFFERS);
    if (result == -ENOMEM || result == -EAGAIN)
        trial->error = -result;
    if (result < 0)
        return false;
    provideAll(trial);
    bool works = function(trial);
    trial->engine->functions->unregisterBuffers(trial->engine, TRIAL_GROUP);
    return works;
}

static bool multishotWorks(struct trial* trial)
{
    return receivesInOrder(trial, IORING_RECV_MULTISHOT);
}

static bool bundlesWork(struct trial* trial)
{
    return receivesInOrder(trial, IORING_RECV_MULTISHOT | FAST_URING_RECVSEND_BUNDLE);
}

int64_t FastEngineTry(struct FastEngine* engine)
{
    int64_t features = FASTRING_FEATURE_ACCEPT_MULTISHOT; /* a listener falls back by itself */
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    struct trial trial = {.engine = engine, .pair = {-1, -1}};
    void* page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -ENOMEM;
    trial.buffers = page;
    if (!renewPair(&trial)) {
        features = -errno;
        goto done;
    }
    if (inFreshGroup(&trial, multishotWorks))
        features |= FASTRING_FEATURE_RECEIVE_MULTISHOT;
    if (inFreshGroup(&trial, bundlesWork))
        features |= FASTRING_FEATURE_RECEIVE_BUNDLE;
    if (inFreshGroup(&trial, capEnds))
        features |= FASTRING_FEATURE_RECEIVE_CAP;
    if (knowsReport(&trial))
        features |= FASTRING_FEATURE_ZERO_COPY_REPORT;
    if (writesWithoutSignal(&trial))
        features |= FASTRING_FEATURE_WRITE_NO_SIGNAL;
    if (trial.pair[0] >= 0) {
        close(trial.pair[0]);
        close(trial.pair[1]);
    }
    if (trial.error != 0)
        features = -trial.error;
done:
    munmap(page, size);
    return features;
}
