/*
 * Filled buffers on their way from the kernel to the queue.
 *
 * Good path: a completion names filled buffers of the provider; each is replaced at once by one of
 * the socket's pool and queued. What fits behind older bytes is copied there, and its buffer goes
 * back.
 *
 * Failures: no memory for a replacement: the provider leaves the slot vacant for a while. What is
 * discarded may have descriptors in its control data, which are closed.
 */
#include "socket/intake.h"

#include "socket/control.h"

#include <string.h>

/* A copy of a message in a buffer of its own size, where that saves memory; or NULL. */
static struct FastBuffer* shrink(struct FastSocket* socket, const uint8_t* data, size_t length)
{
    struct FastInbound* inbound = &socket->inbound;
    if (!FastInboundIsRoomy(&inbound->queue, length,
                            FastProviderLength(FastSocketProvider(socket))))
        return NULL;
    struct FastBuffer* chunk = FastPoolAllocate(FastSocketInboundPool(socket), length);
    if (chunk == NULL)
        return NULL;
    memcpy(FastBufferData(chunk), data, length);
    *FastBufferNote(chunk) = *FastBufferNote(FastBufferOf((void*)(uintptr_t)data));
    return chunk;
}

static inline void push(struct FastSocket* socket, struct FastBuffer* chunk, size_t length)
{
    FastBufferSetLength(chunk, length);
    FastInboundPush(&socket->inbound.queue, chunk);
}

/* ---- in ---- */

/* Without memory the slot stays vacant; the provider fills it later. */
static inline void replace(const struct FastCommon* common, uint16_t id)
{
    FastProviderReplace(common->provider, id, FastIntakeMakeNext(common));
}

/* A rest that found no room behind older bytes keeps its buffer. */
static void takeSlot(struct FastSocket* socket, uint16_t id, size_t length)
{
    struct FastInbound* inbound = &socket->inbound;
    struct FastRingBufferProvider* provider = FastSocketProvider(socket);
    uint8_t* data = FastProviderPeek(provider, id);
    FastIntakeCount(socket, length - inbound->queue.rules->headroom, 1);
    size_t copied = FastInboundFill(&inbound->queue, data, length);
    if (copied == length && copied > 0) {
        FastProviderReturn(provider, id);
        return;
    }
    if (copied > 0)
        memmove(data, data + copied, length - copied);
    struct FastBuffer* chunk = shrink(socket, data, length);
    if (chunk != NULL)
        FastProviderReturn(provider, id);
    else {
        chunk = FastBufferOf(data);
        replace(FastSocketCommon(socket), id);
    }
    push(socket, chunk, length - copied);
}

/* Of a bundle, the slots to come that are full and are queued as they are. What they have in
 * common is done once for all: a large bundle of small buffers costs few steps a buffer. */
static void takeFull(struct FastSocket* socket, struct FastProviderSlots* slots)
{
    struct FastInbound* inbound = &socket->inbound;
    const struct FastCommon* common = FastSocketCommon(socket);
    struct FastRingBufferProvider* provider = common->provider;
    size_t length = FastProviderLength(provider);
    uint32_t number = 0;
    uint32_t vacant = 0;
    if (slots->left < length || !FastInboundTakesFull(&inbound->queue, length))
        return;
    while (slots->left >= length && FastProviderNextSlot(slots)) {
        uint8_t* data = FastProviderPeek(provider, slots->id);
        void* next = FastIntakeMakeNext(common);
        FastProviderFilled(provider, slots->id, length);
        FastProviderReplaceOne(provider, slots->id, next);
        push(socket, FastBufferOf(data), length);
        number++;
        vacant += next == NULL;
    }
    FastProviderEndReplacing(provider, number, vacant);
    FastIntakeCount(socket, number * length, number);
}

/* Descriptors in control data that nobody takes would stay open for ever. */
static void closePassed(const struct FastSocket* socket, struct FastBuffer* chunk)
{
    const struct msghdr* header = FastSocketHeader(socket);
    if (header == NULL || header->msg_controllen == 0)
        return;
    const struct io_uring_recvmsg_out* out = (const struct io_uring_recvmsg_out*)FastBufferData(
        chunk);
    const uint8_t* control = (const uint8_t*)(out + 1) + header->msg_namelen;
    size_t size = out->controllen < header->msg_controllen ? out->controllen
                                                           : header->msg_controllen;
    FastControlCloseReceived(control, size);
}

static void discardSlot(struct FastSocket* socket, uint16_t id, size_t length)
{
    struct FastBuffer* chunk = FastBufferOf(FastProviderPeek(FastSocketProvider(socket), id));
    FastBufferSetLength(chunk, length);
    closePassed(socket, chunk);
    FastProviderReturn(FastSocketProvider(socket), id);
}

void FastIntakeSlots(struct FastSocket* socket, uint16_t id, size_t length)
{
    const struct FastInbound* inbound = &socket->inbound;
    bool bundle = inbound->receive.form == FAST_RECEIVE_BUNDLE;
    struct FastProviderSlots slots = FastProviderSlotsOf(FastSocketProvider(socket), id, length,
                                                         bundle);
    while (FastProviderNextSlot(&slots)) {
        FastProviderFilled(FastSocketProvider(socket), slots.id, slots.length);
        if (inbound->discard)
            discardSlot(socket, slots.id, slots.length);
        else {
            takeSlot(socket, slots.id, slots.length);
            takeFull(socket, &slots);
        }
    }
}

/* Nothing is amiss, as far as can be said before the message is looked at, and it need not be moved
 * to other memory. Nothing of bundles is asked: messages come in none. */
static inline bool isWhole(const struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    const struct FastInbound* inbound = &socket->inbound;
    const struct FastRingBufferProvider* provider = FastSocketProvider(socket);
    const uint32_t both = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
    return (completion->flags & both) == both &&
           completion->res >= (int)inbound->queue.rules->headroom &&
           inbound->end == FAST_INPUT_OPEN && !inbound->discard &&
           FastProviderIsPossible(provider,
                                  (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT),
                                  (size_t)completion->res, false) &&
           !FastInboundIsRoomy(&inbound->queue, (size_t)completion->res,
                               FastProviderLength(provider));
}

bool FastIntakeMessage(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    const struct FastCommon* common = FastSocketCommon(socket);
    uint16_t id = (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
    if (!isWhole(socket, completion))
        return false;
    size_t length = (size_t)completion->res;
    struct io_uring_recvmsg_out* out = FastProviderPeek(common->provider, id);
    FastProviderFilled(common->provider, id, length);
    if (out->flags & MSG_TRUNC)
        return false;
    FastIntakeNoteLength(out, length - common->inbound.headroom);
    FastIntakeExchange(common, id);
    push(socket, FastBufferOf(out), length);
    FastIntakeCount(socket, length - common->inbound.headroom, 1);
    return true;
}

void FastIntakeBuffer(struct FastSocket* socket, void* data, size_t length)
{
    struct FastBuffer* chunk = FastBufferOf(data);
    FastIntakeCount(socket, length, 1);
    size_t copied = FastInboundFill(&socket->inbound.queue, data, length);
    struct FastBuffer* small = copied < length ? shrink(socket, data, length) : NULL;
    if (copied == length || small != NULL)
        ReleaseFastBuffer(chunk);
    if (copied == length)
        return;
    if (small != NULL)
        chunk = small;
    else if (copied > 0)
        memmove(data, (uint8_t*)data + copied, length - copied);
    push(socket, chunk, length - copied);
}

/* ---- out ---- */

void FastIntakeDrop(struct FastSocket* socket)
{
    struct FastBuffer* chunk = FastIntakePop(socket);
    closePassed(socket, chunk);
    FastPoolRelease(FastSocketInboundPool(socket), chunk);
}

void FastIntakeDropAll(struct FastSocket* socket)
{
    while (socket->inbound.queue.first != NULL)
        FastIntakeDrop(socket);
    socket->notifyDue &= (uint8_t)~FAST_NOTIFY_INPUT;
}

void FastIntakeSkip(struct FastSocket* socket, size_t size)
{
    struct FastInboundQueue* queue = &socket->inbound.queue;
    queue->offset += (uint32_t)size;
    queue->length -= size;
    FastRingTakeInbound(socket->ring, size);
}

/* A chunk is dropped with its last byte, and not at the next read: its memory is wanted. */
static void consume(struct FastSocket* socket, size_t size)
{
    struct FastInboundQueue* queue = &socket->inbound.queue;
    while (size > 0) {
        size_t left = FastInboundPayloadLength(queue, queue->first) - queue->offset;
        if (size < left) {
            FastIntakeSkip(socket, size);
            return;
        }
        FastIntakeDrop(socket);
        size -= left;
    }
}

size_t FastIntakeRead(struct FastSocket* socket, uint8_t* data, size_t size)
{
    size_t count = FastInboundCopy(&socket->inbound.queue, data, size);
    consume(socket, count);
    return count;
}

size_t FastIntakeReadAll(struct FastSocket* socket, uint8_t* data)
{
    struct FastInbound* inbound = &socket->inbound;
    struct FastInboundQueue* queue = &inbound->queue;
    struct FastBuffer* chunk = queue->first;
    size_t length = queue->length;
    memcpy(data, FastBufferData(chunk) + queue->offset, length);
    FastInboundEmpty(queue);
    FastRingTakeInbound(socket->ring, length);
    FastPoolRelease(FastSocketInboundPool(socket), chunk);
    return length;
}
