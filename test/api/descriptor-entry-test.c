/*
 * Raw operations whose results io_uring decides by more than the system call that they stand for:
 * each case says what the kernel gives, and holds on every engine.
 */
#include "services.h"

#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum
{
    RESULTS = 8,
};

static int pair[2];
static char input[64] __attribute__((unused));

/* What has become of the operation that was prepared last. */
static struct
{
    struct FastRingDescriptor* descriptor;
    int count;
    int results[RESULTS];
    uint32_t flags[RESULTS];
    bool over;
} seen;

static void setUp(void)
{
    openScene();
    pairTcp(pair);
}

static void tearDown(void)
{
    close(pair[0]);
    close(pair[1]);
    closeScene();
}

AREA(entry, "descriptor-entry", .open = setUp, .close = tearDown);

static int note(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    ck_assert_ptr_eq(descriptor, seen.descriptor);
    ck_assert_int_lt(seen.count, RESULTS);
    seen.results[seen.count] = completion->res;
    seen.flags[seen.count++] = completion->flags;
    seen.over = reason == FASTRING_REASON_COMPLETE;
    return !seen.over;
}

/* An entry for io_uring_prep_*; what was prepared before is over. */
static struct io_uring_sqe* prepare(void)
{
    memset(&seen, 0, sizeof(seen));
    seen.descriptor = AllocateFastRingDescriptor(scene.ring, note, NULL);
    ck_assert_ptr_nonnull(seen.descriptor);
    return GetFastRingDescriptorSubmission(seen.descriptor);
}

static bool isOver(void* closure)
{
    (void)closure;
    return seen.over;
}

static void begin(void)
{
    ck_assert_int_eq(SubmitFastRingDescriptor(seen.descriptor), 0);
}

/* Submitted, it has nothing to tell. */
static void beginToWait(void)
{
    begin();
    runIdle(scene.ring);
    ck_assert_int_eq(seen.count, 0);
}

/* Its one result, when it is over. */
static void expectResult(int result)
{
    waitFor(scene.ring, isOver, NULL);
    ck_assert_int_eq(seen.count, 1);
    ck_assert_int_eq(seen.results[0], result);
}

static void run(int result)
{
    begin();
    expectResult(result);
}

/* Of one that waits. */
static void cancel(int result)
{
    ck_assert_int_eq(CancelFastRingDescriptor(seen.descriptor), 0);
    expectResult(result);
}

/* ---- connects ---- */

enum
{
    CLIENTS = 4, /* so many fill a backlog of none */
};

static struct
{
    struct sockaddr_storage address;
    socklen_t length;
    int listener;
    int clients[CLIENTS];
    int handle; /* of the case's */
} busy;

/* A listener that answers nobody: who connects has to wait. */
static void openBusy(void)
{
    busy.listener = listenTcp(&busy.address, &busy.length);
    ck_assert_int_eq(listen(busy.listener, 0), 0);
    for (int index = 0; index < CLIENTS; index++) {
        busy.clients[index] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(busy.clients[index], (struct sockaddr*)&busy.address, busy.length);
    }
    busy.handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void closeBusy(void)
{
    for (int index = 0; index < CLIENTS; index++)
        close(busy.clients[index]);
    close(busy.listener);
    close(busy.handle);
}

static void prepareConnect(int handle)
{
    io_uring_prep_connect(prepare(), handle, (struct sockaddr*)&busy.address, busy.length);
}

static int stateOf(int handle)
{
    struct tcp_info info;
    socklen_t length = sizeof(info);
    ck_assert_int_eq(getsockopt(handle, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return info.tcpi_state;
}

/* It is not begun anew. */
CASE(entry, connectFailsWhereItIsShutDown)
{
    openBusy();
    prepareConnect(busy.handle);
    beginToWait();
    ck_assert_int_eq(shutdown(busy.handle, SHUT_RDWR), 0);
    expectResult(-ECONNRESET);
    ck_assert_int_eq(stateOf(busy.handle), TCP_CLOSE);
    closeBusy();
}

CASE(entry, connectOfTheProgramsIsItsOwn)
{
    openBusy();
    prepareConnect(busy.clients[CLIENTS - 1]);
    run(-EALREADY);
    closeBusy();
}

/* A cancellation doesn't end what the system has begun. */
CASE(entry, connectGoesOnWithoutItsOperation)
{
    openBusy();
    prepareConnect(busy.handle);
    beginToWait();
    cancel(-ECANCELED);
    prepareConnect(busy.handle);
    run(-EALREADY);
    closeBusy();
}
