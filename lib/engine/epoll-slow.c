/*
 * What may take as long as somebody else likes, each on a thread of its own.
 *
 * The server of a FUSE file system is a process like others: what it keeps waiting must not be the
 * loop. Nor must the peer of a socket whose records only a send that waits sends whole. Such
 * descriptors are few, so a thread is made for each operation, which needs no pool of them and no
 * bound on how many may be stuck.
 *
 * The thread has all signals blocked. It owns the job until that is over, and a share of what all
 * have in common, so that an engine may end before.
 *
 * Failures: no thread, no memory, no descriptor: of a file the caller does it himself, and waits; a
 * send is refused. What a send waits for may never come: a shutdown of its socket ends it.
 */
#include "engine/epoll-slow.h"

#include "base/detached.h"
#include "base/handle.h"
#include "base/missing.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum
{
    SLOW_STACK = 64 << 10, /* bytes: it makes one call */
};

struct job
{
    struct job* next;
    struct FastEpollSlow* slow;
    struct FastSystemSlow work;
    ssize_t result;
    struct iovec vector[];
};

struct FastEpollSlow
{
    pthread_mutex_t lock;
    struct job* finished;
    int handle; /* eventfd; signaled when one is over; -1: nobody takes results any more */
    atomic_uint references;
};

/* ---- what all have in common ---- */

static struct FastEpollSlow* make(int epoll, uint64_t token)
{
    struct FastEpollSlow* slow = calloc(1, sizeof(*slow));
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = token};
    if (slow == NULL)
        return NULL;
    slow->handle = FastHandleMove(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (slow->handle < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, slow->handle, &event) < 0) {
        if (slow->handle >= 0)
            close(slow->handle);
        free(slow);
        return NULL;
    }
    pthread_mutex_init(&slow->lock, NULL);
    atomic_init(&slow->references, 1);
    return slow;
}

static void drop(struct FastEpollSlow* slow)
{
    if (atomic_fetch_sub(&slow->references, 1) != 1)
        return;
    pthread_mutex_destroy(&slow->lock);
    free(slow);
}

void FastEpollQuietSlow(struct FastEpollSlow* slow)
{
    uint64_t value;
    ssize_t result = read(slow->handle, &value, sizeof(value));
    (void)result; /* nothing, where somebody was faster */
}

bool FastEpollTakeSlow(struct FastEpollSlow* slow, void** closure, ssize_t* result)
{
    pthread_mutex_lock(&slow->lock);
    struct job* job = slow->finished;
    if (job != NULL)
        slow->finished = job->next;
    pthread_mutex_unlock(&slow->lock);
    if (job == NULL)
        return false;
    *closure = job->work.closure;
    *result = job->result;
    free(job);
    return true;
}

void FastEpollEndSlow(struct FastEpollSlow* slow)
{
    void* closure;
    ssize_t result;
    if (slow == NULL)
        return;
    pthread_mutex_lock(&slow->lock);
    close(slow->handle);
    slow->handle = -1;
    pthread_mutex_unlock(&slow->lock);
    while (FastEpollTakeSlow(slow, &closure, &result))
        continue;
    drop(slow);
}

/* ---- the thread ---- */

static ssize_t work(struct job* job)
{
    const struct FastSystemSlow* work = &job->work;
    const struct msghdr message = {.msg_iov = job->vector, .msg_iovlen = work->count};
    int count = (int)work->count;
    switch (work->work) {
    case FAST_SYSTEM_READS:
        return preadv2(work->handle, job->vector, count, work->offset, work->flags);
    case FAST_SYSTEM_WRITES:
        return pwritev2(work->handle, job->vector, count, work->offset, work->flags);
    default:
        return sendmsg(work->handle, &message, work->flags | MSG_NOSIGNAL);
    }
}

/* Where nobody takes it any more, the job is at its end here. */
static void report(struct FastEpollSlow* slow, struct job* job)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&slow->lock);
    if (slow->handle >= 0) {
        job->next = slow->finished;
        slow->finished = job;
        job = NULL;
        ssize_t written = write(slow->handle, &one, sizeof(one));
        (void)written; /* it can't be full */
    }
    pthread_mutex_unlock(&slow->lock);
    free(job);
}

static void* run(void* argument)
{
    struct job* job = argument;
    struct FastEpollSlow* slow = job->slow;
    ssize_t result = work(job);
    job->result = result < 0 ? -errno : result;
    report(slow, job);
    drop(slow);
    return NULL;
}

static int startThread(struct job* job)
{
    size_t stack = SLOW_STACK > PTHREAD_STACK_MIN ? SLOW_STACK : PTHREAD_STACK_MIN;
    return FastDetachedStart(run, job, stack);
}

int FastEpollBeginSlow(struct FastEpollSlow** slow, int epoll, uint64_t token,
                       const struct FastSystemSlow* work)
{
    if (*slow == NULL)
        *slow = make(epoll, token);
    struct job* job = malloc(sizeof(*job) + work->count * sizeof(job->vector[0]));
    if (*slow == NULL || job == NULL) {
        free(job);
        return -ENOMEM;
    }
    job->slow = *slow;
    job->work = *work;
    memcpy(job->vector, work->vector, work->count * sizeof(job->vector[0]));
    atomic_fetch_add(&(*slow)->references, 1);
    int result = startThread(job);
    if (result < 0) {
        atomic_fetch_sub(&(*slow)->references, 1);
        free(job);
    }
    return result;
}
