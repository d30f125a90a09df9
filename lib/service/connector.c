/*
 * Making a connection, as RFC 8305 has it.
 *
 * Good path: a name is looked up by a thread of the resolver's. Its addresses are put in order,
 * families in turn, IPv6 first. The first is tried; if nothing is known of it after 250 ms, the
 * next one is tried beside it, and so on. The first that is connected is handed to the owner; the
 * others are canceled and closed.
 *
 * Failures: an attempt that fails starts the next at once. When the last one has failed, its errno
 * is the connector's. A failure of the resolver has its own words beside the errno.
 *
 * It is given up, or the ring ends: the query is forgotten, the attempts in flight are canceled,
 * and their descriptors closed with their last completions, or with the ring.
 *
 * References: the owner's, until he has been told or gives up; one for each attempt and each
 * cancellation in flight, and for the queued task.
 */
#include "service/connector.h"

#include "base/dump.h"
#include "ring/armed.h"
#include "service/resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
    CONNECTOR_DELAY_MS = 250, /* «Connection Attempt Delay» */
    CONNECTOR_MOST = 64,      /* addresses: who has more is not there */
};

struct attempt
{
    struct FastArmed connect;
    struct FastConnector* connector;
    int handle; /* -1: not begun, or over */
    socklen_t length;
    struct sockaddr_storage name;
};

struct FastConnector
{
    struct FastRing* ring;
    struct FastRingMember member;
    FastConnectorFunction function; /* NULL: the owner has been told, or has given up */
    void* closure;
    struct FastTask prepare;
    struct FastTimer timer;  /* set while an attempt is in flight and another waits */
    struct FastQuery* query; /* NULL: none */
    enum FastAddressScheme scheme;
    unsigned references;
    unsigned count;   /* of the attempts that there may be */
    unsigned begun;   /* of these */
    unsigned running; /* of these */
    int error;        /* of the last that has failed */
    bool ending;      /* the ring is */
    struct attempt* attempts;
};

static const struct FastArmedFunctions connectFunctions;

static void startNext(struct FastConnector* connector);

/* ---- references and what is wanted ---- */

static void dropConnector(struct FastConnector* connector)
{
    if (--connector->references > 0)
        return;
    FastRingUnlink(connector->ring, &connector->member);
    FastRingDrop(connector->ring);
    free(connector->attempts);
    free(connector);
}

static bool isWanted(const struct FastConnector* connector)
{
    return connector->function != NULL && !connector->ending;
}

/* Has the task bring what is in flight in line with that. */
static void defer(struct FastConnector* connector)
{
    if (FastTaskIsQueued(&connector->prepare))
        return;
    connector->references++;
    FastRingDefer(connector->ring, &connector->prepare);
}

static void closeAttempt(struct attempt* attempt)
{
    FastRingForgetHandle(attempt->connector->ring, attempt->handle);
    close(attempt->handle);
    attempt->handle = -1;
}

/* Nothing more is begun; what is in flight is canceled. */
static void giveUp(struct FastConnector* connector)
{
    FastRingStopTimer(connector->ring, &connector->timer);
    FastResolverForget(&connector->query);
    if (connector->running > 0)
        defer(connector);
}

/* The owner hears of it, and of nothing more. */
static void finish(struct FastConnector* connector, int result, const char* text)
{
    FastConnectorFunction function = connector->function;
    connector->function = NULL;
    giveUp(connector);
    function(connector->closure, result, text);
    dropConnector(connector);
}

/* ---- attempts ---- */

static struct FastConnector* ownerOf(struct FastArmed* armed)
{
    return FAST_CONTAINER(armed, struct attempt, connect)->connector;
}

static bool prepareConnect(struct FastArmed* armed)
{
    struct attempt* attempt = FAST_CONTAINER(armed, struct attempt, connect);
    struct io_uring_sqe* entry = FastArmedReserve(attempt->connector->ring, armed);
    if (entry == NULL)
        return false;
    io_uring_prep_connect(entry, attempt->handle, (struct sockaddr*)&attempt->name,
                          attempt->length);
    return true;
}

/* A cancellation that has missed is made again by the task. */
static void onCanceled(struct FastArmed* armed, int result)
{
    (void)result;
    if (FastArmedIsInFlight(armed))
        defer(ownerOf(armed));
}

static void holdOwner(struct FastArmed* armed)
{
    ownerOf(armed)->references++;
}

static void dropOwner(struct FastArmed* armed)
{
    dropConnector(ownerOf(armed));
}

static const struct FastArmedFunctions connectFunctions = {
    .prepare = prepareConnect,
    .canceled = onCanceled,
    .hold = holdOwner,
    .drop = dropOwner,
};

static void endAttempt(struct attempt* attempt, int result)
{
    struct FastConnector* connector = attempt->connector;
    int handle = attempt->handle;
    connector->running--;
    if (!isWanted(connector) || result < 0) {
        closeAttempt(attempt);
        connector->error = -result;
        if (isWanted(connector))
            startNext(connector);
        return;
    }
    attempt->handle = -1;
    finish(connector, handle, NULL);
}

static void onConnect(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct attempt* attempt = FAST_CONTAINER(operation, struct attempt, connect.operation);
    struct FastConnector* connector = attempt->connector;
    if (FastArmedTakeOther(connector->ring, &attempt->connect, &connectFunctions, completion))
        return;
    (void)FastArmedComplete(&attempt->connect, completion);
    endAttempt(attempt, completion->res);
    dropConnector(connector);
}

static bool openAttempt(struct attempt* attempt)
{
    struct FastConnector* connector = attempt->connector;
    int handle = FastAddressOpen(connector->scheme, attempt->name.ss_family, 0);
    if (handle < 0)
        connector->error = -handle;
    attempt->handle = handle < 0 ? -1 : handle;
    return handle >= 0;
}

static void startNext(struct FastConnector* connector)
{
    FastRingStopTimer(connector->ring, &connector->timer);
    while (connector->begun < connector->count) {
        if (!openAttempt(&connector->attempts[connector->begun++]))
            continue;
        connector->running++;
        if (connector->begun < connector->count)
            FastRingSetTimer(connector->ring, &connector->timer,
                             (int64_t)CONNECTOR_DELAY_MS * FAST_MILLISECOND);
        defer(connector);
        return;
    }
    if (connector->running == 0)
        finish(connector, -connector->error, NULL);
}

static void onTimer(struct FastTimer* timer)
{
    startNext(FAST_CONTAINER(timer, struct FastConnector, timer));
}

/* false: the queue is full. */
static bool reconcile(struct FastConnector* connector)
{
    for (unsigned index = 0; index < connector->begun; index++) {
        struct attempt* attempt = &connector->attempts[index];
        bool wanted = isWanted(connector) && attempt->handle >= 0;
        if (!FastArmedUpdate(connector->ring, &attempt->connect, &connectFunctions, wanted, false))
            return false;
        /* What never entered the kernel has no completion to be closed by. */
        if (attempt->handle >= 0 && FastArmedIsIdle(&attempt->connect)) {
            connector->running--;
            closeAttempt(attempt);
        }
    }
    return true;
}

/* The first one is begun here, so that nothing fails inside the call that starts it all. */
static bool runPrepare(struct FastTask* task)
{
    struct FastConnector* connector = FAST_CONTAINER(task, struct FastConnector, prepare);
    if (connector->begun == 0 && connector->count > 0 && isWanted(connector))
        startNext(connector);
    if (!reconcile(connector) && !FastTaskIsQueued(task))
        return false;
    dropConnector(connector); /* queued again meanwhile, the task has another reference */
    return true;
}

/* ---- addresses ---- */

static void addAttempt(struct FastConnector* connector, const void* name, socklen_t length)
{
    struct attempt* attempt = &connector->attempts[connector->count++];
    FastArmedInitialize(&attempt->connect, onConnect);
    attempt->connector = connector;
    attempt->handle = -1;
    attempt->length = length;
    memcpy(&attempt->name, name, length);
}

static bool makeAttempts(struct FastConnector* connector, size_t most)
{
    connector->attempts = calloc(most, sizeof(*connector->attempts));
    return connector->attempts != NULL;
}

/* The first from one on that is of IPv6, or is not. */
static const struct addrinfo* find(const struct addrinfo* list, bool six)
{
    while (list != NULL && (list->ai_family == AF_INET6) != six)
        list = list->ai_next;
    return list;
}

/* Families in turn; of each the order stays, which is that of RFC 6724. */
static void addAll(struct FastConnector* connector, const struct addrinfo* list)
{
    const struct addrinfo* next[2] = {find(list, true), find(list, false)};
    for (int turn = 0; (next[0] != NULL || next[1] != NULL) && connector->count < CONNECTOR_MOST;
         turn = !turn) {
        const struct addrinfo* chosen = next[turn];
        if (chosen == NULL)
            continue;
        if (chosen->ai_addrlen <= sizeof(struct sockaddr_storage))
            addAttempt(connector, chosen->ai_addr, chosen->ai_addrlen);
        next[turn] = find(chosen->ai_next, turn == 0);
    }
}

static size_t lengthOf(const struct addrinfo* list)
{
    size_t length = 0;
    for (; list != NULL && length < CONNECTOR_MOST; list = list->ai_next)
        length++;
    return length;
}

static void onAnswer(void* closure, const struct FastAnswerOfNames* answer)
{
    struct FastConnector* connector = closure;
    if (answer->result != 0)
        finish(connector, -FastResolverErrno(answer->result, answer->error),
               answer->result != EAI_SYSTEM ? gai_strerror(answer->result) : NULL);
    else if (!makeAttempts(connector, lengthOf(answer->list)))
        finish(connector, -ENOMEM, NULL);
    else {
        addAll(connector, answer->list);
        startNext(connector);
    }
}

/* ---- what the ring calls ---- */

static void endMember(struct FastRingMember* member)
{
    struct FastConnector* connector = FAST_CONTAINER(member, struct FastConnector, member);
    connector->ending = true;
    giveUp(connector);
}

/* The kernel has copied what it was given. */
static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastConnector* connector = FAST_CONTAINER(member, struct FastConnector, member);
    (void)orderly;
    connector->ending = true;
    FastRingStopTimer(connector->ring, &connector->timer);
    FastResolverForget(&connector->query);
    for (unsigned index = 0; index < connector->begun; index++) {
        struct attempt* attempt = &connector->attempts[index];
        FastArmedForget(&attempt->connect);
        if (attempt->handle >= 0)
            closeAttempt(attempt);
    }
    connector->running = 0;
    connector->references = 1;
    if (connector->function == NULL)
        dropConnector(connector);
}

static const char* stateOf(const struct FastConnector* connector)
{
    if (!isWanted(connector))
        return "given-up";
    return connector->query != NULL ? "resolving" : "connecting";
}

static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    const struct FastConnector* connector =
        FAST_CONTAINER(member, const struct FastConnector, member);
    FastDumpBegin(dump, "connector", connector);
    FastDumpText(dump, "state", stateOf(connector));
    FastDumpNumber(dump, "addresses", connector->count);
    FastDumpNumber(dump, "begun", connector->begun);
    FastDumpNumber(dump, "running", connector->running);
    FastDumpSigned(dump, "error", connector->error);
    FastDumpEnd(dump);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .end = endMember,
    .close = closeMember,
    .dump = dumpMember,
};

/* ---- what the owner calls ---- */

static struct FastConnector* make(struct FastRing* ring, FastConnectorFunction function,
                                  void* closure, enum FastAddressScheme scheme)
{
    struct FastConnector* connector = calloc(1, sizeof(*connector));
    if (connector == NULL)
        return NULL;
    connector->ring = ring;
    connector->function = function;
    connector->closure = closure;
    connector->prepare.function = runPrepare;
    connector->timer.function = onTimer;
    connector->scheme = scheme;
    connector->references = 1;
    connector->error = EADDRNOTAVAIL; /* of a name without any address that can be tried */
    FastRingLink(ring, &connector->member, &memberFunctions);
    return connector;
}

static int begin(struct FastConnector* connector, const struct FastAddress* address)
{
    if (address->length == 0)
        return FastResolverAsk(connector->ring, address, onAnswer, connector, &connector->query);
    if (!makeAttempts(connector, 1))
        return -ENOMEM;
    addAttempt(connector, &address->name, address->length);
    defer(connector);
    return 0;
}

struct FastConnector* FastConnectorStart(struct FastRing* ring, const struct FastAddress* address,
                                         FastConnectorFunction function, void* closure)
{
    struct FastConnector* connector = make(ring, function, closure, address->scheme);
    int result = connector != NULL ? begin(connector, address) : -ENOMEM;
    if (result == 0)
        return connector;
    if (connector != NULL)
        dropConnector(connector);
    errno = -result;
    return NULL;
}

void FastConnectorStop(struct FastConnector* connector)
{
    connector->function = NULL;
    giveUp(connector);
    dropConnector(connector);
}
