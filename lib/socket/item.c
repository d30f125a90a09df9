/*
 * Items and messages: made in pool buffers, advanced over what was accepted, freed.
 */
#include "socket/item.h"

#include "service/operation.h"
#include "socket/control.h"

#include <stdlib.h>
#include <string.h>

/* One allocation for both: the bytes lie behind what describes them. */
struct FastItem* FastItemMake(struct FastBufferPool* pool, uint8_t kind, size_t size)
{
    struct FastBuffer* home = FastPoolAllocate(pool, sizeof(struct FastItem) + size);
    return home != NULL ? FastItemPlace(home, kind, size) : NULL;
}

struct FastMessage* FastMessageMake(struct FastBufferPool* pool, uint8_t kind, size_t size)
{
    struct FastBuffer* home = FastPoolAllocate(pool, sizeof(struct FastMessage) + size);
    if (home == NULL)
        return NULL;
    struct FastMessage* message = (struct FastMessage*)FastBufferData(home);
    *message = (struct FastMessage){
        .item.home = home,
        .item.payload = home,
        .item.data = (uint8_t*)(message + 1),
        .item.kind = kind,
        .item.messages = 1,
        .together = 1,
        .position = UINT64_MAX, /* the file's own, and sockets have none */
    };
    return message;
}

static bool isMessage(const struct FastItem* item)
{
    return item->kind != FAST_ITEM_BYTES && item->kind != FAST_ITEM_MARKER;
}

/* Out of the order of its destination, wherever it stood there. */
static void leaveOrder(struct FastMessage* message)
{
    if (message->place != NULL) {
        *message->place = message->next;
        if (message->next != NULL)
            message->next->place = message->place;
    }
    if (message->ahead != NULL)
        message->ahead->behind = NULL;
    if (message->behind != NULL)
        message->behind->ahead = NULL;
}

static void freeMessage(struct FastMessage* message)
{
    leaveOrder(message);
    FastMessageCloseRights(message);
    free(message->vector);
    if (message->descriptor != NULL)
        FastDescriptorDiscard(message->descriptor);
}

void FastItemFree(struct FastItem* item)
{
    struct FastBuffer* home = item->home;
    struct FastBuffer* payload = item->payload;
    if (isMessage(item))
        freeMessage(FastItemMessage(item));
    if (payload != home)
        FastBufferDrop(payload);
    /* Last: the item lies in it. */
    FastPoolRelease(FastBufferHome(home), home);
}

/* The others speak of the call (MSG_DONTWAIT), or every send has them (MSG_NOSIGNAL). */
int FastItemFlags(int flags)
{
    return flags & (MSG_MORE | FAST_ITEM_KIND_FLAGS);
}

/* ---- progress ---- */

/* In our copy: the user's vector is not ours to change. An empty part is passed over, too. */
static void advanceVector(struct FastMessage* message, size_t count)
{
    while (message->vectorFirst < message->vectorCount) {
        struct iovec* part = &message->vector[message->vectorFirst];
        size_t taken = part->iov_len < count ? part->iov_len : count;
        part->iov_base = (uint8_t*)part->iov_base + taken;
        part->iov_len -= taken;
        count -= taken;
        if (part->iov_len > 0)
            break;
        message->vectorFirst++;
    }
}

void FastItemAdvance(struct FastItem* item, size_t count)
{
    item->length -= count;
    if (!isMessage(item)) {
        item->data += count;
        return;
    }
    struct FastMessage* message = FastItemMessage(item);
    if (message->position != UINT64_MAX)
        message->position += count;
    if (message->vector == NULL)
        item->data += count;
    else
        advanceVector(message, count);
}

size_t FastMessageLength(const struct FastMessage* message, uint32_t count)
{
    return count < message->item.messages ? (size_t)count * message->segment
                                          : message->item.length;
}

void FastMessageShorten(struct FastMessage* message, size_t bytes)
{
    FastItemAdvance(&message->item, bytes);
    message->item.messages -= (uint32_t)(bytes / message->segment);
    message->doubt = 0;
    message->doubts = 0;
    message->tries = 0;
}

/* ---- parts of a message ---- */

/* The caller may close its own as soon as the call returns; the kernel reads them later. */
int FastMessageOwnRights(struct FastMessage* message)
{
    int result = FastControlDuplicateRights(message->control, message->controlLength);
    message->ownsRights = result == 0;
    return result;
}

void FastMessageCloseRights(struct FastMessage* message)
{
    if (message->ownsRights)
        FastControlCloseRights(message->control, message->controlLength);
    message->ownsRights = false;
}

size_t FastMessageCountVectors(const struct FastMessage* message)
{
    return message->vector != NULL ? message->vectorCount - message->vectorFirst : 1;
}

struct iovec* FastMessageVector(const struct FastMessage* message)
{
    return message->vector != NULL ? message->vector + message->vectorFirst : NULL;
}
