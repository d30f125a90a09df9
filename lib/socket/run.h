/*
 * Runs: several datagrams to one destination, queued as one item and sent by one operation.
 */
#ifndef FASTSOCKET_SOCKET_RUN_H
#define FASTSOCKET_SOCKET_RUN_H

#include "socket/kind-message.h"

#include <netinet/in.h>
#include <string.h>

enum
{
    FAST_RUN_MAX_BYTES = 65000, /* of a run: what IPv4 with options has room for */
};

/* append of UDP: behind what is queued for the same destination, or as a message of its own. */
int FastRunAppend(struct FastSocket* socket, const struct FastParts* parts, int flags);

/* Whether one more of a size, with these flags of its item, may go with those of a run that have
 * the same destination. A shorter one ends it: the kernel cuts at equal distances. */
static inline bool FastRunHasRoom(const struct FastMessage* run, size_t size, int flags)
{
    const struct FastItem* item = &run->item;
    return item->room >= size && item->state == FAST_ITEM_QUEUED && size <= run->segment &&
           run->together > item->messages && item->length + size <= FAST_RUN_MAX_BYTES &&
           item->flags == flags;
}

/* Its place, where it is already as far as the queue knows. */
static inline void* FastRunExtend(struct FastOutboundQueue* queue, struct FastMessage* run,
                                  size_t size)
{
    struct FastItem* item = &run->item;
    void* place = item->data + item->length;
    item->length += size;
    item->room = size == run->segment ? item->room - (uint32_t)size : 0;
    item->messages++;
    queue->length += size;
    return place;
}

/* Whether a run goes to an address that is written in the same bytes. Those of other families
 * aren't compared, which would need a call: they are taken for another one. */
static inline bool FastRunIsNamed(const struct FastMessage* run, const void* name, socklen_t length)
{
    if (run->nameLength != length)
        return false;
    if (length == sizeof(struct sockaddr_in))
        return name != NULL && memcmp(run->name, name, sizeof(struct sockaddr_in)) == 0;
    if (length == sizeof(struct sockaddr_in6))
        return name != NULL && memcmp(run->name, name, sizeof(struct sockaddr_in6)) == 0;
    return length == 0;
}

/* What FastRunAppend comes to with a datagram without flags that goes where the last one in the
 * queue goes, and is no larger: a place for its bytes, which are there already as far as the queue
 * knows. NULL: nothing is done. */
static inline void* FastRunJoin(struct FastOutboundQueue* queue, const void* name,
                                socklen_t length, size_t size)
{
    struct FastItem* last = queue->last;
    if (last == NULL || last->order != FAST_ORDER_DESTINATION || size == 0)
        return NULL;
    struct FastMessage* run = FastItemMessage(last);
    return FastRunHasRoom(run, size, 0) && FastRunIsNamed(run, name, length)
               ? FastRunExtend(queue, run, size)
               : NULL;
}

/* startSend of UDP: whatever is queued, as far as its order allows. before: called for each
 * message. */
bool FastRunStart(struct FastSocket* socket, FastMessageFunction before);

/* Whether a send had several datagrams. */
bool FastRunIsJoined(const struct FastFlight* flight);

/* Whether an errno may say that datagrams can't be joined. Others are a datagram's, or its
 * destination's: ICMP brings EOPNOTSUPP and ENOPROTOOPT. */
bool FastRunIsRefusal(int error);

/* Several datagrams together were refused for certain: they go out one by one, which tells whether
 * it was the joining, and otherwise whose the errno is. */
void FastRunSplit(struct FastSocket* socket, struct FastMessage* message, int error);

/* A datagram was sent: if several together were refused before, it was the joining. */
void FastRunAccept(struct FastSocket* socket, struct FastMessage* message);

#endif
