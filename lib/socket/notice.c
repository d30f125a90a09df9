/*
 * Notices: calls to who waits for what he has queued.
 *
 * Good path: the item that was queued last is marked, and grows no more, so that what is queued
 * later is none of its. When marked items leave the queue, which counts them, as many groups of
 * notices are over, one behind the other; the dispatch task calls them. Nothing is done for items
 * that nobody waits for.
 *
 * Failures: the socket fails, is released, or its ring ends: all are over at once, whatever is
 * still in flight. A datagram that is lost on its own tells the first who waits for it.
 */
#include "socket/notice.h"

#include <errno.h>

/* It lies in a pool's buffer: no allocation of its own. */
struct FastNotice
{
    struct FastNotice* next;
    HandleFastSocketTransmit function;
    void* closure;
    struct FastBuffer* home;
    int result;  /* 0, an errno, or FAST_NOTICE_FAILED */
    bool shares; /* the item that the one before waits for */
};

static struct FastNotice* make(struct FastSocket* socket, HandleFastSocketTransmit function,
                               void* closure)
{
    struct FastBuffer* home = FastPoolAllocate(FastSocketPool(socket), sizeof(struct FastNotice));
    if (home == NULL)
        return NULL;
    struct FastNotice* notice = (struct FastNotice*)FastBufferData(home);
    *notice = (struct FastNotice){
        .function = function,
        .closure = closure,
        .home = home,
    };
    return notice;
}

static void append(struct FastNotices* notices, struct FastNotice* notice)
{
    if (notices->first == NULL)
        notices->first = notice;
    else
        notices->last->next = notice;
    notices->last = notice;
}

/* The first behind it that waits for another item; NULL: there is none. */
static struct FastNotice* nextGroup(const struct FastNotice* notice)
{
    struct FastNotice* next = notice->next;
    while (next != NULL && next->shares)
        next = next->next;
    return next;
}

static void notify(struct FastSocket* socket)
{
    FastSocketNotify(socket, FAST_NOTIFY_CALLS);
    FastSocketReconsiderOutbound(socket);
}

/* ---- what becomes of them ---- */

void FastNoticePass(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    struct FastNotices* notices = &outbound->notices;
    /* None waits where an error has come before: then items are only counted. */
    for (; outbound->queue.noted > 0; outbound->queue.noted--)
        if (notices->waiting != NULL)
            notices->waiting = nextGroup(notices->waiting);
    notify(socket);
}

void FastNoticeLose(struct FastSocket* socket, const struct FastItem* item, int error)
{
    struct FastOutbound* outbound = socket->outbound;
    struct FastNotice* notice = outbound->notices.waiting;
    for (const struct FastItem* before = outbound->queue.first; notice != NULL && before != item;
         before = before->next)
        if (before->noted)
            notice = nextGroup(notice);
    if (notice != NULL && notice->result == 0)
        notice->result = error;
}

void FastNoticeEndAll(struct FastSocket* socket, int error)
{
    struct FastNotices* notices = &socket->outbound->notices;
    for (struct FastNotice* notice = notices->waiting; notice != NULL; notice = notice->next)
        if (notice->result == 0)
            notice->result = error;
    notices->waiting = NULL;
    notify(socket);
}

/* ---- calling ---- */

bool FastNoticeIsOver(const struct FastSocket* socket)
{
    return socket->outbound->notices.first != socket->outbound->notices.waiting;
}

static uint32_t countOver(const struct FastNotices* notices)
{
    uint32_t count = 0;
    for (const struct FastNotice* notice = notices->first; notice != notices->waiting;
         notice = notice->next)
        count++;
    return count;
}

/* Each is freed before its user is called, who may do anything, and may leave: those behind it are
 * in the list then. What is over by what he does has its own round. */
void FastNoticeCall(struct FastSocket* socket)
{
    struct FastNotices* notices = &socket->outbound->notices;
    for (uint32_t count = countOver(notices); count > 0 && FastNoticeIsOver(socket); count--) {
        struct FastNotice call = *notices->first;
        notices->first = call.next;
        ReleaseFastBuffer(call.home);
        call.function(socket, call.result == FAST_NOTICE_FAILED ? socket->error : call.result,
                      call.closure);
    }
}

void FastNoticeForget(struct FastSocket* socket)
{
    struct FastNotices* notices = &socket->outbound->notices;
    while (notices->first != NULL) {
        struct FastNotice* notice = notices->first;
        notices->first = notice->next;
        ReleaseFastBuffer(notice->home);
    }
    notices->waiting = NULL;
}

/* ---- the exported function ---- */

static int check(const struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    if (FastRingIsEnding(socket->ring))
        return -ECANCELED;
    if (!FastSocketHas(socket, FAST_TRAIT_WRITABLE))
        return -EBADF;
    return FastSocketHasFailed(socket) ? -EPIPE : 0;
}

int NotifyFastSocketTransmit(struct FastSocket* socket, HandleFastSocketTransmit function,
                             void* closure)
{
    int result = check(socket);
    if (result == -EINVAL || result == -EPERM)
        return result;
    if (function == NULL)
        return -EINVAL;
    if (result == 0)
        result = FastSocketMakeOutbound(socket);
    if (result < 0)
        return result;
    struct FastNotice* notice = make(socket, function, closure);
    if (notice == NULL)
        return -ENOMEM;
    struct FastOutbound* outbound = socket->outbound;
    struct FastItem* item = outbound->queue.last;
    append(&outbound->notices, notice);
    if (item == NULL) {
        notify(socket);
        return 0;
    }
    notice->shares = item->noted;
    if (outbound->notices.waiting == NULL)
        outbound->notices.waiting = notice;
    item->noted = 1;
    item->room = 0; /* what comes later is not what he waits for */
    return 0;
}
