/*
 * What the ring calls of a socket.
 */
#include "socket/make.h"

#include "socket/dispatch.h"
#include "socket/look.h"
#include "socket/dump.h"
#include "socket/prepare.h"
#include "socket/release.h"

static void throttleMember(struct FastRingMember* member)
{
    FastReceiveThrottle(FAST_CONTAINER(member, struct FastSocket, worker.member));
}

static void countMember(const struct FastRingMember* member, struct FastRingStatistics* statistics)
{
    (void)member;
    statistics->sockets++;
}

/* What its user has released he may not touch any more. */
static int walkMember(struct FastRingMember* member, HandleFastRingWalk function, void* closure)
{
    struct FastSocket* socket = FAST_CONTAINER(member, struct FastSocket, worker.member);
    return socket->released ? 0 : function(socket, closure);
}

static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    FastSocketDump(FAST_CONTAINER(member, const struct FastSocket, worker.member), dump);
}

const struct FastRingMemberFunctions FastMakeFunctions = {
    .end = FastReleaseEndMember,
    .close = FastReleaseCloseMember,
    .throttle = throttleMember,
    .count = countMember,
    .dump = dumpMember,
    .walk = walkMember,
    .goOn = FastDispatchGoOn,
    .traced = FastDispatchRunTraced,
    .look = FastLookAtSocket,
    .kind = "socket",
    .offset = offsetof(struct FastSocket, worker.member),
    .work =
        {
            [FAST_RING_PREPARE - 1] = FastPrepareRun,
            [FAST_RING_DISPATCH - 1] = FastDispatchRun,
            [FAST_RING_RETRY - 1] = FastSocketRetry,
        },
};
