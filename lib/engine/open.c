/*
 * Which engine a ring gets.
 *
 * io_uring, where the system lets us have it; else epoll, on which the same operations are run by
 * system calls. Whoever names one in the environment gets that one or none.
 */
#include "engine/open.h"

#include "base/cause.h"
#include "engine/epoll.h"
#include "engine/refusal.h"
#include "engine/soft.h"
#include "engine/uring-open.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What FASTSOCKET_FEATURES_OFF hides: asked at each opening, so that it holds for the engines that
 * follow. */
static uint64_t hiddenFeatures(void)
{
    const char* text = secure_getenv("FASTSOCKET_FEATURES_OFF");
    return text != NULL ? strtoull(text, NULL, 0) : 0;
}

/* The kernel may charge rings to a limit, which allows not even the smallest then. */
static bool isLimited(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

/* The smallest group of buffers, without which no socket receives, is charged to it, too: whether
 * the ring has left so much. */
static bool leavesRoom(struct FastEngine* engine)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void* memory = aligned_alloc(page, page);
    if (memory == NULL)
        return true; /* whoever needs some will hear of it */
    int result = engine->functions->registerBuffers(engine, 0, memory,
                                                    (uint32_t)(page / sizeof(struct io_uring_buf)));
    if (result == 0)
        engine->functions->unregisterBuffers(engine, 0);
    free(memory);
    return result != -ENOMEM;
}

static bool isRefused(int result)
{
    return result == -EPERM || result == -EACCES || result == -ENOSYS ||
           (result == -ENOMEM && isLimited());
}

static int openEpoll(struct FastEngine** result, uint32_t length, uint64_t hidden)
{
    struct FastSystem* system;
    int error = FastEpollOpen(&system);
    if (error == 0)
        error = FastSoftOpen(result, system, length, hidden);
    if (error < 0)
        FastRefusalSay(error, false);
    return error;
}

/* any: nobody has asked for this engine alone. */
static int openUring(struct FastEngine** result, uint32_t length, uint64_t hidden, bool any)
{
    int error = FastUringOpen(result, length, hidden);
    if (any && error == 0 && isLimited() && !leavesRoom(*result)) {
        (*result)->functions->close(*result);
        (*result)->functions->destroy(*result);
        error = -ENOMEM;
    }
    if (any && isRefused(error))
        return openEpoll(result, length, hidden);
    if (error < 0)
        FastRefusalSay(error, true);
    return error;
}

int FastEngineOpen(struct FastEngine** result, uint32_t length)
{
    const char* name = secure_getenv("FASTSOCKET_ENGINE");
    uint64_t hidden = hiddenFeatures();
    bool any = name == NULL || *name == '\0';
    if (!any && strcmp(name, "epoll") == 0)
        return openEpoll(result, length, hidden);
    if (any || strcmp(name, "io_uring") == 0)
        return openUring(result, length, hidden, any);
    FastCauseSay("FASTSOCKET_ENGINE in the environment is \"%.64s\", which names no engine: set it "
                 "to io_uring or epoll, or unset it; fastsocket-probe tells more",
                 name);
    return -EINVAL;
}
