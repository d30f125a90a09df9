/*
 * Who waits to hear that everything that was queued before has left: NotifyFastSocketTransmit.
 */
#ifndef FASTSOCKET_SOCKET_NOTICE_H
#define FASTSOCKET_SOCKET_NOTICE_H

#include "socket/core.h"

enum
{
    FAST_NOTICE_FAILED = -1, /* an error: the socket's, as it is when the user is called */
};

/* What FastNoticeAccept does where it has to. */
void FastNoticePass(struct FastSocket* socket);

/* After items were taken off the queue in good order: whoever has waited for them is to be
 * called. */
static inline void FastNoticeAccept(struct FastSocket* socket)
{
    if (socket->outbound->queue.noted > 0)
        FastNoticePass(socket);
}

/* A message in the queue will not be sent, or a part of it: so hears the first who waits for it. */
void FastNoticeLose(struct FastSocket* socket, const struct FastItem* item, int error);

/* What FastNoticeEnd does where somebody waits. */
void FastNoticeEndAll(struct FastSocket* socket, int error);

/* Nobody is to wait any longer: all are to be called with this error. */
static inline void FastNoticeEnd(struct FastSocket* socket, int error)
{
    if (socket->outbound != NULL && socket->outbound->notices.waiting != NULL)
        FastNoticeEndAll(socket, error);
}

/* Whether somebody is to be called. The outbound side is there. */
bool FastNoticeIsOver(const struct FastSocket* socket);

/* Calls those that are to be called, and not those that become so meanwhile. Only where users may
 * be called; the outbound side is there. */
void FastNoticeCall(struct FastSocket* socket);

/* Forgets all, at the end: no user is called any more. The outbound side is there. */
void FastNoticeForget(struct FastSocket* socket);

#endif
