/*
 * Connections in user space: accepted, made and ended.
 */
#include "engine/soft-code.h"

#include "engine/soft-fetch.h"
#include "engine/soft-look.h"
#include "engine/soft-node.h"
#include "engine/uring-compat.h"

#include <errno.h>
#include <poll.h>

enum
{
    ACCEPT_ROUNDS = 32, /* of one operation in a pass */
};

/* Says whether there is another, to who has asked for what doesn't wait. */
static enum FastSoftOutcome finishOne(struct FastSoft* soft, struct FastSoftOperation* operation,
                                      int result)
{
    struct FastSystem* system = soft->system;
    bool another = operation->priority & FAST_URING_ACCEPT_DONTWAIT &&
                   system->functions->look(system, operation->handle, POLLIN | POLLRDHUP) != 0;
    return FastSoftFinish(soft, operation, result, another ? IORING_CQE_F_SOCK_NONEMPTY : 0);
}

enum FastSoftOutcome FastSoftAccept(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    struct FastSystem* system = soft->system;
    bool many = operation->priority & IORING_ACCEPT_MULTISHOT;
    if (operation->extra != 0)
        return FastSoftFinish(soft, operation, -ENXIO, 0); /* a table's place: there is none */
    for (int round = 0; round < ACCEPT_ROUNDS && FastSoftRoom(soft) > 1; round++) {
        int result = system->functions->accept(
            system, operation->handle, (struct sockaddr*)(uintptr_t)operation->address,
            (socklen_t*)(uintptr_t)operation->offset, (int)operation->options);
        if (result == -EAGAIN && !(operation->priority & FAST_URING_ACCEPT_DONTWAIT)) {
            operation->state |= FAST_SOFT_DRAINED;
            return FAST_SOFT_WAIT;
        }
        if (result < 0)
            return FastSoftFinish(soft, operation, result, 0);
        if (!many)
            return finishOne(soft, operation, result);
        FastSoftPost(soft, operation->owner, result, IORING_CQE_F_MORE);
    }
    return FAST_SOFT_MORE;
}

/* A call like the first would connect once more where the first has failed, or was shut down: what
 * the socket says of that comes before. Returns false where it says nothing. */
static bool hasFailed(struct FastSoft* soft, const struct FastSoftOperation* operation, int* error)
{
    struct FastSystem* system = soft->system;
    if (!(system->functions->look(system, operation->handle, 0) & POLLERR))
        return false;
    *error = system->functions->takeError(system, operation->handle);
    return true;
}

static int connectOnce(struct FastSoft* soft, const struct FastSoftOperation* operation)
{
    return soft->system->functions->connect(
        soft->system, operation->handle, (const struct sockaddr*)(uintptr_t)operation->address,
        (socklen_t)operation->offset);
}

/* Called again when the socket is writable, it says how it went. One that somebody else has begun
 * is his: -EALREADY. */
enum FastSoftOutcome FastSoftConnect(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    bool started = operation->state & FAST_SOFT_STARTED;
    int result;
    if (started && hasFailed(soft, operation, &result))
        return FastSoftFinish(soft, operation, result, 0);
    result = connectOnce(soft, operation);
    /* That an earlier one has failed, which was told of, and takes away with it. */
    if (result == -ECONNABORTED)
        result = connectOnce(soft, operation);
    if (result == FAST_SYSTEM_LATER) { /* a listener whose backlog is full */
        if (FastSoftIsElsewhere((const void*)(uintptr_t)operation->address,
                                (socklen_t)operation->offset))
            return FAST_SOFT_LOOK;
        result = -EAGAIN;
    }
    if (result == -EINPROGRESS || (started && result == -EALREADY)) {
        operation->state |= FAST_SOFT_STARTED;
        return FAST_SOFT_WAIT;
    }
    if (started && result == -EISCONN)
        result = 0;
    return FastSoftFinish(soft, operation, FastSoftBlame(soft, operation, result), 0);
}

enum FastSoftOutcome FastSoftShutdown(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    int result = soft->system->functions->shutdown(soft->system, operation->handle,
                                                   (int)operation->length);
    return FastSoftFinish(soft, operation, result, 0);
}

enum FastSoftOutcome FastSoftClose(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    if (operation->extra != 0)
        return FastSoftFinish(soft, operation, -ENXIO, 0); /* a table's place: there is none */
    FastSoftForget(soft, operation->handle);
    int result = soft->system->functions->close(soft->system, operation->handle);
    return FastSoftFinish(soft, operation, result, 0);
}
