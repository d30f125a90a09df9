/*
 * What completions say of a provider's buffers.
 *
 * Good path: a completion names a slot that is published, and a length that fits it; of a bundle,
 * also the slots that were put behind it. A socket takes them at once (provider-slots.c). A user's
 * own operation claims them, and its user advances each: puts the same buffer back, or another one.
 *
 * Failures: the completion can't be true: the slots are put back, as far as the kernel says that it
 * has taken them. Nobody hears of a claim, or it brings no bytes: it goes back by itself.
 */
#include "memory/provider-claim.h"
#include "engine/uring-compat.h"

#include <errno.h>

/* ---- what a completion can't say ---- */

bool FastProviderIsBundlePossible(const struct FastRingBufferProvider* provider, uint16_t id,
                                  size_t length)
{
    size_t most = provider->length;
    int next = id;
    while (next >= 0) {
        size_t room = FastProviderRoom(provider, (uint16_t)next);
        if (length <= room)
            return room > 0;
        if (room < most)
            return false; /* the kernel fills each before it goes to the next */
        length -= most;
        next = FastProviderNext(provider, (uint16_t)next);
    }
    return false;
}

/* How many slots from this one on the kernel has taken from its ring, so that they may be put
 * back; where it can't say, those that the caller believes. */
static uint32_t takenFrom(const struct FastRingBufferProvider* provider, uint16_t id,
                          uint32_t believed)
{
    struct FastEngine* engine = provider->engine;
    int head = engine->functions->countTakenBuffers(engine, provider->group.id);
    if (head < 0)
        return believed;
    uint16_t taken = (uint16_t)((uint32_t)head - provider->slots[id].sequence);
    return taken <= provider->count ? taken : 0;
}

/* By what the entries have room for, which may be less than what the buffers have. */
void FastProviderReject(struct FastRingBufferProvider* provider, uint16_t id, size_t length,
                        bool bundle)
{
    int slot = FastProviderRoom(provider, id) > 0 ? id : -1;
    uint32_t taken = slot >= 0 ? takenFrom(provider, id, 1) : 0;
    for (uint32_t index = 0; index < taken && slot >= 0; index++) {
        size_t room = FastProviderRoom(provider, (uint16_t)slot);
        bool more = bundle && length > room && room > 0;
        length -= length < room ? length : room;
        int next = more ? FastProviderNext(provider, (uint16_t)slot) : -1;
        FastProviderReturn(provider, (uint16_t)slot);
        slot = next;
    }
}

/* ---- completions of users' own operations ---- */

/* By which put a slot was published when it was filled: odd, and so never 0. */
static uint64_t stampOf(const struct FastRingBufferProvider* provider, uint16_t id)
{
    return (uint64_t)provider->slots[id].sequence << 1 | 1;
}

uint64_t FastProviderClaim(struct FastRingGroup* group, uint16_t id, size_t length, bool bundle)
{
    struct FastRingBufferProvider* provider =
        FAST_CONTAINER(group, struct FastRingBufferProvider, group);
    if (!FastProviderIsPossible(provider, id, length, bundle)) {
        FastProviderReject(provider, id, length, bundle);
        return 0;
    }
    struct FastProviderSlots slots = FastProviderSlotsOf(provider, id, length, bundle);
    while (FastProviderNextSlot(&slots)) {
        provider->slots[slots.id].claimed = true;
        provider->available--;
    }
    return stampOf(provider, id);
}

void FastProviderUnclaim(struct FastRingGroup* group, uint16_t id, size_t length, bool bundle)
{
    struct FastRingBufferProvider* provider =
        FAST_CONTAINER(group, struct FastRingBufferProvider, group);
    struct FastProviderSlots slots = FastProviderSlotsOf(provider, id, length, bundle);
    if (id >= provider->group.endBuffer)
        return;
    while (FastProviderNextSlot(&slots) && provider->slots[slots.id].claimed)
        FastProviderReturn(provider, slots.id);
}

/* ---- for the user's own operations ---- */

/* What they take is nothing that we can foresee. */
void FastProviderFillGroup(struct FastRingGroup* group)
{
    struct FastRingBufferProvider* provider =
        FAST_CONTAINER(group, struct FastRingBufferProvider, group);
    FastProviderWantAll(provider);
    FastProviderFillSoon(provider);
}

uint16_t GetFastRingBufferGroup(struct FastRingBufferProvider* provider)
{
    if (provider == NULL)
        return 0;
    if (FastRingCheckCreate(provider->ring) == 0)
        FastProviderFillGroup(&provider->group);
    return provider->group.id;
}

void PrepareFastRingBuffer(struct FastRingBufferProvider* provider, struct io_uring_sqe* submission)
{
    if (provider == NULL || submission == NULL ||
        FastRingCheckOf(provider->ring, provider) == -EPERM)
        return;
    submission->flags |= IOSQE_BUFFER_SELECT;
    submission->buf_group = GetFastRingBufferGroup(provider);
    if (submission->opcode == IORING_OP_RECV)
        submission->ioprio &= (uint16_t)~FAST_URING_RECVSEND_BUNDLE;
}

static int bufferOf(const struct FastRingBufferProvider* provider,
                    const struct io_uring_cqe* completion)
{
    if (provider == NULL || completion == NULL || !(completion->flags & IORING_CQE_F_BUFFER))
        return -EINVAL;
    uint32_t id = completion->flags >> IORING_CQE_BUFFER_SHIFT;
    return FastProviderPeek(provider, (uint16_t)id) != NULL ? (int)id : -EINVAL;
}

/* Whether the completion is the one that the buffer was claimed for, and it was not advanced
 * since. One that its user has made up of result and flags can't say. */
static bool isClaimed(const struct FastRingBufferProvider* provider, uint16_t id,
                      const struct io_uring_cqe* completion)
{
    return provider->slots[id].claimed &&
           (completion->user_data == 0 || completion->user_data == stampOf(provider, id));
}

uint8_t* GetFastRingBuffer(struct FastRingBufferProvider* provider, struct io_uring_cqe* completion)
{
    int id = bufferOf(provider, completion);
    if (id < 0 || !isClaimed(provider, (uint16_t)id, completion))
        return NULL;
    if (completion->res > 0)
        FastProviderFilled(provider, (uint16_t)id, (size_t)completion->res);
    return provider->slots[id].buffer;
}

int AdvanceFastRingBuffer(struct FastRingBufferProvider* provider, struct io_uring_cqe* completion,
                          CreateRingBufferFunction function, void* closure)
{
    int id = bufferOf(provider, completion);
    if (id < 0)
        return id;
    int result = FastRingCheckOf(provider->ring, provider);
    if (result < 0)
        return result;
    if (!isClaimed(provider, (uint16_t)id, completion))
        return -EINVAL; /* it was advanced already, or went back by itself */
    if (function == NULL) {
        FastProviderReturn(provider, (uint16_t)id);
        return 0;
    }
    void* buffer = function(provider->length, closure);
    FastProviderReplace(provider, (uint16_t)id, buffer);
    return buffer != NULL ? 0 : -ENOMEM;
}
