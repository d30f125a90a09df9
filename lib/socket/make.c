/*
 * What the ring calls of a socket.
 */
#include "socket/make.h"

#include "socket/dispatch.h"
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

const struct FastRingMemberFunctions FastMakeFunctions = {
    .end = FastReleaseEndMember,
    .close = FastReleaseCloseMember,
    .throttle = throttleMember,
    .count = countMember,
    .goOn = FastDispatchGoOn,
    .kind = "socket",
    .offset = offsetof(struct FastSocket, worker.member),
    .work =
        {
            [FAST_RING_PREPARE - 1] = FastPrepareRun,
            [FAST_RING_DISPATCH - 1] = FastDispatchRun,
            [FAST_RING_RETRY - 1] = FastSocketRetry,
        },
};
