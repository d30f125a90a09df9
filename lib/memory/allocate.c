/*
 * Buffers, as users and the units above see them.
 *
 * Good path: the pool's own thread takes a block from the list of its class, and puts it back
 * there; these few steps stand here and in headers, in one piece. Everything else is a call: an
 * empty list, a store that has grown too large, what other threads have returned (pool-own.c), and
 * all that other threads do (pool-foreign.c).
 *
 * A wrapped buffer is a small block with what is to be told to its user in the place of data. Its
 * memory is given back behind all else, since the user's function may do what it likes. Where a
 * reference of the library's own was the last, which may be in the midst of anything, a task of the
 * owner's does it.
 *
 * A public function asks once which thread it is in. The units above, which know that they are in
 * the thread of the pool's ring, need not.
 */
#include "base/check.h"
#include "base/place.h"
#include "base/poison.h"
#include "memory/pool.h"
#include "memory/pool-state.h"
#include "memory/wrap.h"

#include <errno.h>

static const size_t sizeLimit = (size_t)1 << 30;

static struct FastBuffer* fail(int error)
{
    errno = error;
    return NULL;
}

/* ---- allocation ---- */

static struct FastBuffer* takeOwn(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    struct FastBuffer* buffer = FastStorePop(&pool->own.store, kind);

    if (buffer == NULL)
        buffer = FastPoolFetchOwn(pool, size, kind);
    if (buffer != NULL)
        pool->own.buffers++;
    return buffer;
}

static inline void begin(struct FastBuffer* buffer, size_t size)
{
    buffer->size = size;
    buffer->length = 0;
    atomic_store_explicit(&buffer->references, 1, memory_order_relaxed);
}

/* isOwn: the calling thread is the pool's own; then the pool is open. */
__attribute__((noinline)) static struct FastBuffer* allocate(struct FastBufferPool* pool,
                                                             size_t size, bool isOwn)
{
    if (FastCheckRuns())
        FastCheckAlive(pool);
    if (size > sizeLimit)
        return fail(EMSGSIZE);
    if (!isOwn && FastPoolIsClosed(pool))
        return fail(ECANCELED);
    uint32_t kind = FastBlockClass(size);
    struct FastBuffer* buffer =
        isOwn ? takeOwn(pool, size, kind) : FastPoolAllocateShared(pool, size, kind);
    if (buffer == NULL) {
        atomic_store_explicit(&pool->wanted, true, memory_order_release);
        return fail(ENOMEM);
    }
    FastUnpoison(buffer + 1, size);
    begin(buffer, size);
    if (FastCheckRuns())
        FastCheckMade(buffer, "buffer", pool->owner);
    return buffer;
}

struct FastBuffer* FastPoolAllocateAnyhow(struct FastBufferPool* pool, size_t size)
{
    return allocate(pool, size, FastPoolIsAdopted(pool));
}

struct FastBuffer* AllocateFastBuffer(struct FastBufferPool* pool, size_t size, int option)
{
    if (pool == NULL || option != 0)
        return fail(EINVAL);
    bool isOwn = FastPoolIsOwn(pool);
    struct FastBuffer* buffer = isOwn ? FastPoolTakeQuickly(pool, size) : NULL;
    if (buffer != NULL)
        return buffer;
    buffer = allocate(pool, size, isOwn);
    FastPlaceStay();
    return buffer;
}

/* ---- holding and releasing ---- */

struct FastBuffer* HoldFastBuffer(struct FastBuffer* buffer)
{
    if (buffer != NULL)
        atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
    return buffer;
}

/* A count of 1 is ours, and nobody else can raise it: no read-modify-write is needed. */
static inline bool dropReference(struct FastBuffer* buffer)
{
    return atomic_load_explicit(&buffer->references, memory_order_acquire) == 1 ||
           atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) == 1;
}

/* Not inline, as all that is no part of the short ways: they would save registers for it. */
__attribute__((noinline)) static void release(struct FastBufferPool* pool,
                                              struct FastBuffer* buffer, bool isOwn)
{
    FastPoison(buffer + 1, buffer->footprint - sizeof(*buffer));
    if (FastCheckRuns()) {
        FastCheckReleased(buffer, "buffer");
        buffer->kind = POOL_LOOSE; /* it goes to the quarantine, and to nobody else */
    }
    if (isOwn)
        FastPoolReleaseOwn(pool, buffer);
    else
        FastPoolReleaseForeign(pool, buffer);
}

/* Nobody knows yet which thread this is. */
__attribute__((noinline)) static void releaseAnywhere(struct FastBuffer* buffer)
{
    struct FastBufferPool* pool = buffer->pool;
    bool isOwn = FastPoolIsOwn(pool);

    if (!isOwn || !FastPoolGiveQuickly(pool, buffer))
        release(pool, buffer, isOwn);
}

/* ---- wrapped ones ---- */

/* What is in the quarantine seems to be wrapped (pool-store.c): to be looked at, and to be given
 * back. */
static struct FastWrap* wrapOf(struct FastBuffer* buffer)
{
    if (FastCheckRuns())
        FastCheckAlive(buffer);
    return FastWrapOf(buffer);
}

static struct FastWrap* wrapToEnd(struct FastBuffer* buffer)
{
    if (FastCheckRuns())
        FastCheckReleasable(buffer);
    return FastWrapOf(buffer);
}

/* Nobody holds it any more. */
static void endWrap(struct FastBuffer* buffer)
{
    struct FastWrap wrap = *wrapToEnd(buffer);

    buffer->wrapped = false;
    buffer->shared = wrap.shared;
    releaseAnywhere(buffer);
    if (wrap.function != NULL)
        wrap.function(wrap.data, wrap.size, wrap.closure);
}

static bool runWrap(struct FastTask* task)
{
    endWrap((struct FastBuffer*)task - 1); /* the first of what lies behind the header */
    return true;
}

/* Out of line, as the other rare ways. */
__attribute__((noinline)) static void endWrapLater(struct FastBuffer* buffer)
{
    struct FastWrap* wrap = wrapToEnd(buffer);
    struct FastPoolOwner* owner = buffer->pool->owner;

    if (owner == NULL || owner->later == NULL || !owner->later(owner, &wrap->task))
        endWrap(buffer);
}

struct FastBuffer* WrapFastBuffer(struct FastBufferPool* pool, void* data, size_t size,
                                  ReleaseFastMemory function, void* closure)
{
    if (data == NULL)
        return fail(EINVAL);
    if (size > sizeLimit)
        return fail(EMSGSIZE);
    struct FastBuffer* buffer = AllocateFastBuffer(pool, sizeof(struct FastWrap), 0);
    if (buffer == NULL)
        return NULL;
    *FastWrapOf(buffer) = (struct FastWrap){
        .task.function = runWrap,
        .data = data,
        .size = size,
        .function = function,
        .closure = closure,
        .shared = buffer->shared,
    };
    buffer->size = 0;
    buffer->length = size;
    buffer->shared = true;
    buffer->wrapped = true;
    return buffer;
}

/* ---- releasing ---- */

void FastPoolReleaseAnyhow(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (!dropReference(buffer))
        return;
    if (buffer->wrapped)
        endWrapLater(buffer);
    else if (buffer->pool == pool && FastPoolIsAdopted(pool))
        release(pool, buffer, true);
    else
        releaseAnywhere(buffer);
}

void FastBufferDrop(struct FastBuffer* buffer)
{
    if (buffer == NULL || !dropReference(buffer))
        return;
    if (buffer->wrapped)
        endWrapLater(buffer);
    else
        releaseAnywhere(buffer);
}

void ReleaseFastBuffer(struct FastBuffer* buffer)
{
    if (buffer == NULL || !dropReference(buffer))
        return;
    if (buffer->wrapped)
        endWrap(buffer);
    else
        releaseAnywhere(buffer);
}

/* ---- looking ---- */

/* Not inline, as what is rare. */
__attribute__((noinline)) static void* wrappedData(struct FastBuffer* buffer)
{
    return wrapOf(buffer)->data;
}

__attribute__((noinline)) static size_t wrappedSize(struct FastBuffer* buffer)
{
    return wrapOf(buffer)->size;
}

struct FastBuffer* GetFastBuffer(void* data)
{
    return data != NULL ? FastBufferOf(data) : NULL;
}

uint8_t* GetFastBufferData(struct FastBuffer* buffer)
{
    if (buffer == NULL)
        return NULL;
    return buffer->wrapped ? wrappedData(buffer) : FastBufferData(buffer);
}

size_t GetFastBufferLength(struct FastBuffer* buffer)
{
    return buffer != NULL ? buffer->length : 0;
}

int SetFastBufferLength(struct FastBuffer* buffer, size_t length)
{
    if (buffer == NULL || length > GetFastBufferSize(buffer))
        return -EINVAL;
    buffer->length = length;
    return 0;
}

size_t GetFastBufferSize(struct FastBuffer* buffer)
{
    if (buffer == NULL)
        return 0;
    return buffer->wrapped ? wrappedSize(buffer) : FastBufferSize(buffer);
}

/* ---- for providers ---- */

/* By this the function is recognized, whatever its caller knows it by. */
static _Thread_local struct
{
    void* data;
    const void* closure;
} made;

const void* FastPoolTakeMade(const void* closure)
{
    const void* data = made.closure == closure ? made.data : NULL;

    made.data = NULL;
    return data;
}

void* AllocateRingFastBuffer(size_t size, void* closure)
{
    struct FastBuffer* buffer = AllocateFastBuffer(closure, size, 0);

    if (buffer == NULL)
        return NULL;
    made.data = FastBufferContent(buffer);
    made.closure = closure;
    return made.data;
}

void ReleaseRingFastBuffer(void* buffer)
{
    ReleaseFastBuffer(GetFastBuffer(buffer));
}
