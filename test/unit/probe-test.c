/*
 * The trials of a kernel's features, before kernels that lack one, say that they have it and don't,
 * or have it with a fault that was seen: between the trials and an engine that has all stands a
 * layer that changes entries, completions and buffers. Each fault takes its feature away, and no
 * other.
 */
#include "engine/epoll.h"
#include "engine/soft.h"
#include "engine/uring-compat.h"
#include "engine/uring-open.h"
#include "engine/uring-probe.h"
#include "pairs.h"
#include "suite.h"

#include <Ring/FastRing.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum
{
    ENTRIES = 64,
    BYTES = 16, /* of a buffer of the trials' */
    CAP = 8,    /* less than that */
};

#define MULTISHOT FASTRING_FEATURE_RECEIVE_MULTISHOT
#define BUNDLE    FASTRING_FEATURE_RECEIVE_BUNDLE
#define CAPS      FASTRING_FEATURE_RECEIVE_CAP
#define READS     FASTRING_FEATURE_READ_MULTISHOT
#define REPORT    FASTRING_FEATURE_ZERO_COPY_REPORT
#define SILENT    FASTRING_FEATURE_WRITE_NO_SIGNAL
#define ACCEPTS   FASTRING_FEATURE_ACCEPT_MULTISHOT
#define AT_ONCE   FASTRING_FEATURE_ACCEPT_AT_ONCE

/* ---- the layer ---- */

static struct FastEngine* engine;
static struct FastEngineFunctions functions;
static const struct FastEngineFunctions* below;
static struct io_uring_buf* ring; /* of the group that is tried */
static struct io_uring_sqe last;  /* the newest entry, as it was submitted */
static unsigned seen;             /* completions, of this entry */
static int registration;          /* what the next ones give; 0: as below */

/* What is wrong with it; each may be NULL. */
static struct
{
    void (*entry)(struct io_uring_sqe* entry);
    void (*completion)(struct io_uring_cqe* completion);
    void (*enter)(void); /* after each */
} fault;

static void lookAtEntries(void)
{
    for (unsigned left = FastEngineReserved(engine); left > 0; left--) {
        unsigned place = (engine->submission.tail - left) & engine->submission.mask;
        last = engine->submission.entries[place];
        seen = 0;
        if (fault.entry != NULL)
            fault.entry(&engine->submission.entries[place]);
    }
}

static void lookAtCompletions(unsigned from)
{
    for (unsigned place = from; place != *engine->completion.tail; place++) {
        if (fault.completion != NULL)
            fault.completion(&engine->completion.entries[place & engine->completion.mask]);
        seen++;
    }
}

static int enter(struct FastEngine* self, int64_t timeout, const sigset_t* mask)
{
    unsigned before = *self->completion.tail;
    lookAtEntries();
    int result = below->enter(self, timeout, mask);
    lookAtCompletions(before);
    if (fault.enter != NULL)
        fault.enter();
    return result;
}

static int registerBuffers(struct FastEngine* self, uint16_t group, void* memory, uint32_t count)
{
    ring = memory;
    return registration != 0 ? registration : below->registerBuffers(self, group, memory, count);
}

static struct FastEngine* openBelow(bool uring)
{
    struct FastEngine* result = NULL;
    struct FastSystem* system = NULL;
    if (uring) {
        ck_assert_int_eq(FastUringOpen(&result, ENTRIES, 0), 0);
        return result;
    }
    ck_assert_int_eq(FastEpollOpen(&system), 0);
    ck_assert_int_eq(FastSoftOpen(&result, system, ENTRIES, 0), 0);
    return result;
}

static void openEngine(bool uring)
{
    engine = openBelow(uring);
    below = engine->functions;
    functions = *below;
    functions.enter = enter;
    functions.registerBuffers = registerBuffers;
    engine->functions = &functions;
    memset(&fault, 0, sizeof(fault));
    memset(&last, 0, sizeof(last));
    registration = 0;
}

static void closeEngine(void)
{
    below->close(engine);
    below->destroy(engine);
}

static void openSoft(void)
{
    openEngine(false);
}

AREA(probe, "probe", .open = openSoft, .close = closeEngine);

/* Of a fresh engine like the case's, with the fault that is set. */
static int64_t found(void)
{
    bool uring = strcmp(engine->functions->name, "io_uring") == 0;
    __typeof__(fault) kept = fault;
    int given = registration;
    closeEngine();
    openEngine(uring);
    fault = kept;
    registration = given;
    return FastEngineTry(engine);
}

static void expectWithout(int64_t all, int64_t features)
{
    int64_t now = found();
    ck_assert_msg(now == (all & ~features), "%llx instead of %llx without %llx",
                  (unsigned long long)now, (unsigned long long)all, (unsigned long long)features);
    ck_assert_msg((all & features) == features, "%llx has not all of %llx",
                  (unsigned long long)all, (unsigned long long)features);
}

/* ---- what entries are ---- */

static bool isReceive(void)
{
    return last.opcode == IORING_OP_RECV;
}

static bool isBundle(void)
{
    return isReceive() && last.ioprio & FAST_URING_RECVSEND_BUNDLE;
}

static bool isCapped(void)
{
    return isReceive() && last.splice_fd_in > 0;
}

static bool isAtOnce(void)
{
    return last.opcode == IORING_OP_ACCEPT && last.ioprio & FAST_URING_ACCEPT_DONTWAIT;
}

static bool isAcceptOfMany(void)
{
    return last.opcode == IORING_OP_ACCEPT && last.ioprio & IORING_ACCEPT_MULTISHOT;
}

static bool isPlainBundle(void)
{
    return isBundle() && !isCapped();
}

/* ---- kernels that don't know it ---- */

static bool (*isUnknown)(void);

static void refuse(struct io_uring_sqe* entry)
{
    if (isUnknown())
        *entry = (struct io_uring_sqe){.opcode = IORING_OP_NOP, .user_data = entry->user_data};
}

/* As kernels answer what they don't know. */
static void tellRefusal(struct io_uring_cqe* completion)
{
    if (isUnknown())
        completion->res = -EINVAL;
}

static bool isReport(void)
{
    return last.opcode == IORING_OP_SEND_ZC;
}

static bool isWrite(void)
{
    return last.opcode == IORING_OP_WRITE;
}

/* Entries that are refused, and the features that hang on them: caps are tried with bundles only
 * where there are any. Writes to pipes that don't wait are the kernel's, which may have none. */
CASE(probe, missesWhatIsRefused)
{
    static const struct
    {
        bool (*isUnknown)(void);
        int64_t features;
    } rows[] = {
        {isReceive, MULTISHOT | BUNDLE | CAPS}, {isBundle, BUNDLE}, {isCapped, CAPS},
        {isReport, REPORT},                     {isWrite, SILENT},  {isAcceptOfMany, ACCEPTS},
        {isAtOnce, AT_ONCE},
    };
    int64_t all = found();
    fault.entry = refuse;
    fault.completion = tellRefusal;
    for (size_t index = 0; index < sizeof(rows) / sizeof(rows[0]); index++) {
        if (rows[index].features == SILENT && !(all & SILENT))
            continue;
        isUnknown = rows[index].isUnknown;
        expectWithout(all, rows[index].features);
    }
}

/* A flag that is taken and ignored: the receive ends, or is not ended, the accept waits. */
static uint16_t ignoredFlag;
static uint8_t ignoredCode;

static void ignoreFlag(struct io_uring_sqe* entry)
{
    if (entry->opcode == ignoredCode)
        entry->ioprio &= (uint16_t)~ignoredFlag;
}

static void ignoreCap(struct io_uring_sqe* entry)
{
    if (isReceive())
        entry->splice_fd_in = 0;
}

CASE(probe, missesWhatIsIgnored)
{
    int64_t all = found();
    fault.entry = ignoreFlag;
    ignoredCode = IORING_OP_RECV;
    ignoredFlag = IORING_RECV_MULTISHOT;
    expectWithout(all, CAPS); /* what ends after each receive is made again, and works */
    ignoredCode = IORING_OP_ACCEPT;
    ignoredFlag = IORING_ACCEPT_MULTISHOT;
    expectWithout(all, ACCEPTS);
    ignoredFlag = FAST_URING_ACCEPT_DONTWAIT;
    expectWithout(all, AT_ONCE);
    fault.entry = ignoreCap;
    expectWithout(all, CAPS);
}

/* ---- kernels that do it wrong ---- */

static bool (*isWrong)(void);

/* Out of order, as bundles of some releases are. */
static void swapBuffers(struct io_uring_cqe* completion)
{
    if (isWrong() && completion->flags & IORING_CQE_F_BUFFER)
        completion->flags ^= 1U << IORING_CQE_BUFFER_SHIFT;
}

static void hideBuffer(struct io_uring_cqe* completion)
{
    if (isWrong())
        completion->flags &= ~(uint32_t)IORING_CQE_F_BUFFER;
}

/* Other bytes than were sent. */
static void spoilBytes(struct io_uring_cqe* completion)
{
    if (isWrong() && completion->flags & IORING_CQE_F_BUFFER && completion->res > 0) {
        uint32_t id = completion->flags >> IORING_CQE_BUFFER_SHIFT;
        uint8_t* bytes = (uint8_t*)(uintptr_t)ring[id].addr;
        bytes[completion->res % BYTES == 0 ? BYTES - 1 : completion->res % BYTES - 1] ^= 0x80;
    }
}

/* More than there is in all buffers. */
static void exaggerate(struct io_uring_cqe* completion)
{
    if (isWrong() && completion->res > 0)
        completion->res += 8 * BYTES;
}

/* An error; what it has opened is nobody's. */
static void answerError(struct io_uring_cqe* completion)
{
    if (!isWrong())
        return;
    if (last.opcode == IORING_OP_ACCEPT && completion->res >= 0)
        close(completion->res);
    completion->res = -EIO;
}

/* Of buffers, bytes and results. */
CASE(probe, missesWhatIsWrong)
{
    static void (*const faults[])(struct io_uring_cqe * completion) = {swapBuffers, hideBuffer,
                                                                       spoilBytes, exaggerate};
    int64_t all = found();
    for (size_t index = 0; index < sizeof(faults) / sizeof(faults[0]); index++) {
        fault.completion = faults[index];
        isWrong = isReceive;
        expectWithout(all, MULTISHOT | BUNDLE | CAPS);
        isWrong = isPlainBundle;
        expectWithout(all, BUNDLE);
        isWrong = isCapped;
        expectWithout(all, CAPS);
    }
    fault.completion = answerError;
    isWrong = isAcceptOfMany;
    expectWithout(all, ACCEPTS);
    isWrong = isReport;
    expectWithout(all, REPORT);
}

/* A receive's limit is left in the entry at which it looked in vain (6.17 to 7.0.4). */
static void leaveCap(void)
{
    if (!isCapped() || ring == NULL)
        return;
    for (int id = 0; id < 8; id++)
        if (ring[id].len > CAP)
            ring[id].len = CAP;
}

/* The first receive ends all (7.3). */
static void endAtFirst(struct io_uring_sqe* entry)
{
    if (!isCapped())
        return;
    entry->ioprio = 0;
    entry->splice_fd_in = 0;
}

CASE(probe, missesCapsThatSpoilOthers)
{
    int64_t all = found();
    fault.enter = leaveCap;
    expectWithout(all, CAPS);
    fault.enter = NULL;
    fault.entry = endAtFirst;
    expectWithout(all, CAPS);
}

/* ---- where it can't be tried ---- */

/* No group of buffers: for lack of memory nothing is known; refused, nothing receives by one. */
CASE(probe, needsBuffers)
{
    int64_t all = found();
    registration = -ENOMEM;
    ck_assert_int_eq(found(), -ENOMEM);
    registration = -EAGAIN;
    ck_assert_int_eq(found(), -EAGAIN);
    registration = -EINVAL;
    expectWithout(all, MULTISHOT | BUNDLE | CAPS);
}

static int countOpen(void)
{
    DIR* directory = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* With few descriptors nothing is known, or less than all, but nothing that isn't so; and none is
 * left open. */
CASE(probe, needsDescriptors)
{
    struct rlimit limit;
    int64_t all = found();
    int before = countOpen();
    int known = 0;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(STDOUT_FILENO);
    close(next);
    for (int free = 0; free < 6; free++) {
        struct rlimit few = {(rlim_t)next + (rlim_t)free, limit.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        int64_t result = FastEngineTry(engine);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        ck_assert_msg(result == -EMFILE || (result & ~all) == 0, "%lld", (long long)result);
        ck_assert(free >= 2 || result == -EMFILE);
        known += result == all;
        ck_assert_int_eq(countOpen(), before);
    }
    ck_assert_int_gt(known, 0);
}

/* ---- on io_uring ---- */

static void openUring(void)
{
    if (reasonAgainstUring() == NULL)
        openEngine(true);
}

static void closeUring(void)
{
    if (reasonAgainstUring() == NULL)
        closeEngine();
}

AREA(uringProbe, "probe-uring", .open = openUring, .close = closeUring);

static bool isReadOfMany(void)
{
    return last.opcode == FAST_URING_OP_READ_MULTISHOT;
}

/* Reads of many, which the other engine doesn't have. */
CASE(uringProbe, missesReads)
{
    needUring();
    int64_t all = found();
    if (!(all & READS))
        skipTest("the kernel has no reads that go on");
    isUnknown = isReadOfMany;
    fault.entry = refuse;
    fault.completion = tellRefusal;
    expectWithout(all, READS);
    fault.entry = NULL;
    isWrong = isReadOfMany;
    fault.completion = hideBuffer;
    expectWithout(all, READS);
    fault.completion = swapBuffers;
    expectWithout(all, READS);
    fault.completion = answerError;
    expectWithout(all, READS);
}
