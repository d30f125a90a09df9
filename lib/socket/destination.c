/*
 * Which datagrams go to the same destination.
 *
 * Good path: each datagram knows the one before it, and the one behind it, to the same destination.
 * Only these are kept in order; between destinations the kernel may send as it likes. The last one
 * to each stands in a table, which is made when there are two destinations for the first time: a
 * connected socket never has one. It grows with the destinations, up to a bound. Who is answered
 * may choose his address: where it stands there depends on where the table lies, which he can't
 * know.
 *
 * What is no such datagram (a piece of a corked one, an operation of the user's, an address of an
 * unknown family) keeps its place between all that is queued: it begins a new epoch, and nothing
 * behind it belongs together with what stands before it. So does a datagram without an address
 * among those with one, as it may go to the same place.
 *
 * Failures: without memory for the table a datagram keeps the order of the queue. Without memory
 * for a larger one the search takes longer.
 */
#include "socket/destination.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum
{
    DESTINATION_BUCKETS = 64, /* at first; powers of two */
    DESTINATION_MAX_BUCKETS = 16 << 10,
    DESTINATION_GROWTH = 4,     /* times as many */
    DESTINATION_MAX_STEPS = 16, /* of a search, in a table that could be larger */
};

/* ---- addresses ---- */

static void readInternet4(struct FastDestination* destination, const void* name)
{
    struct sockaddr_in address;
    memcpy(&address, name, sizeof(address)); /* the user's memory may lie anywhere */
    destination->address[10] = 0xff;
    destination->address[11] = 0xff;
    memcpy(destination->address + 12, &address.sin_addr, sizeof(address.sin_addr));
    destination->port = address.sin_port;
}

static void readInternet6(struct FastDestination* destination, const void* name)
{
    struct sockaddr_in6 address;
    memcpy(&address, name, sizeof(address));
    memcpy(destination->address, &address.sin6_addr, sizeof(address.sin6_addr));
    destination->port = address.sin6_port;
}

/* By meaning, not by bytes: what a program leaves in the padding says nothing of where it sends. */
static bool readName(struct FastDestination* destination, const void* name, socklen_t length)
{
    sa_family_t family;
    *destination = (struct FastDestination){.named = length > 0};
    if (length == 0)
        return true;
    memcpy(&family, name, sizeof(family));
    if (family == AF_INET && length >= sizeof(struct sockaddr_in))
        readInternet4(destination, name);
    else if (family == AF_INET6 && length >= sizeof(struct sockaddr_in6))
        readInternet6(destination, name);
    else
        return false;
    return true;
}

static bool isSame(const struct FastDestination* one, const struct FastDestination* other)
{
    return one->port == other->port && memcmp(one->address, other->address, 16) == 0 &&
           one->named == other->named;
}

/* ---- the table ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static struct FastMessage** bucketOf(const struct FastOutboundQueue* queue,
                                     const struct FastDestination* destination)
{
    uint64_t words[2];
    memcpy(words, destination->address, sizeof(words));
    uint64_t hash = mix((uintptr_t)queue->buckets, words[0]);
    hash = mix(mix(hash, words[1]), destination->port);
    return &queue->buckets[hash & (queue->bucketCount - 1)];
}

static void insert(const struct FastOutboundQueue* queue, struct FastMessage* message)
{
    struct FastMessage** bucket = bucketOf(queue, &message->destination);
    message->next = *bucket;
    message->place = bucket;
    if (message->next != NULL)
        message->next->place = &message->next;
    *bucket = message;
}

/* Its follower stands there now. */
static void leaveTable(struct FastMessage* message)
{
    if (message->place == NULL)
        return;
    *message->place = message->next;
    if (message->next != NULL)
        message->next->place = message->place;
    message->place = NULL;
}

/* Of so many buckets, with what stands in the one before. */
static bool replaceTable(struct FastOutboundQueue* queue, uint32_t count)
{
    struct FastMessage** before = queue->buckets;
    struct FastMessage** buckets = calloc(count, sizeof(struct FastMessage*));
    uint32_t countBefore = queue->bucketCount;
    if (buckets == NULL)
        return false;
    queue->buckets = buckets;
    queue->bucketCount = count;
    for (uint32_t index = 0; index < countBefore; index++)
        for (struct FastMessage* message = before[index]; message != NULL;) {
            struct FastMessage* next = message->next;
            insert(queue, message);
            message = next;
        }
    free(before);
    return true;
}

/* Until now all went to one destination, that of the last one. */
static bool makeTable(struct FastOutboundQueue* queue, struct FastMessage* last)
{
    if (queue->buckets != NULL)
        return true;
    if (!replaceTable(queue, DESTINATION_BUCKETS))
        return false;
    insert(queue, last);
    return true;
}

/* What an epoch has left there is never found again. */
static struct FastMessage* lookUp(struct FastOutboundQueue* queue,
                                  const struct FastDestination* destination)
{
    struct FastMessage* message = *bucketOf(queue, destination);
    uint32_t steps = 0;
    while (message != NULL &&
           (message->epoch != queue->epoch || !isSame(&message->destination, destination))) {
        struct FastMessage* next = message->next;
        if (message->epoch != queue->epoch)
            leaveTable(message);
        else
            steps++;
        message = next;
    }
    if (steps > DESTINATION_MAX_STEPS && queue->bucketCount < DESTINATION_MAX_BUCKETS)
        (void)replaceTable(queue, queue->bucketCount * DESTINATION_GROWTH);
    return message;
}

/* ---- the order ---- */

/* The last item of the queue, if it is in the order of its destination. */
static struct FastMessage* lastOrdered(const struct FastOutboundQueue* queue)
{
    struct FastItem* last = queue->last;
    return last != NULL && last->order == FAST_ORDER_DESTINATION ? FastItemMessage(last) : NULL;
}

bool FastDestinationFind(struct FastOutboundQueue* queue, const void* name, socklen_t length,
                         struct FastDestination* destination, struct FastMessage** last)
{
    struct FastMessage* before = lastOrdered(queue);
    *last = NULL;
    if (!readName(destination, name, length))
        return false;
    if (before == NULL)
        return true; /* nothing is queued, or a new epoch has begun */
    if (isSame(&before->destination, destination)) {
        *last = before;
        return true;
    }
    if (before->destination.named != destination->named || !makeTable(queue, before))
        return false;
    *last = lookUp(queue, destination);
    return true;
}

void FastDestinationAppend(struct FastOutboundQueue* queue, struct FastMessage* message,
                           const struct FastDestination* destination, struct FastMessage* last)
{
    message->item.order = FAST_ORDER_DESTINATION;
    message->destination = *destination;
    message->epoch = queue->epoch;
    if (last != NULL) {
        leaveTable(last);
        last->behind = message;
        message->ahead = last;
    }
    if (queue->buckets != NULL && destination->named)
        insert(queue, message);
    FastOutboundAppend(queue, &message->item);
}

void FastDestinationInsert(struct FastOutboundQueue* queue, struct FastMessage* message,
                           struct FastMessage* before)
{
    message->item.order = FAST_ORDER_DESTINATION;
    message->destination = before->destination;
    message->epoch = before->epoch;
    message->ahead = before;
    message->behind = before->behind;
    if (message->behind != NULL)
        message->behind->ahead = message;
    before->behind = message;
    if (before->place != NULL) {
        leaveTable(before);
        insert(queue, message);
    }
    FastOutboundInsert(queue, &message->item, &before->item);
}

bool FastDestinationIsFirst(const struct FastMessage* message)
{
    return message->ahead == NULL || message->ahead->item.state == FAST_ITEM_DONE;
}
