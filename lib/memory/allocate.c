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
    return buffer != NULL ? buffer : allocate(pool, size, isOwn);
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

/* Nobody holds it any more. */
static void endWrap(struct FastBuffer* buffer)
{
    struct FastWrap wrap = *FastWrapOf(buffer);

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
    struct FastPoolOwner* owner = buffer->pool->owner;

    if (owner == NULL || owner->later == NULL ||
        !owner->later(owner, &FastWrapOf(buffer)->task))
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

struct FastBuffer* GetFastBuffer(void* data)
{
    return data != NULL ? FastBufferOf(data) : NULL;
}

uint8_t* GetFastBufferData(struct FastBuffer* buffer)
{
    return buffer != NULL ? FastBufferContent(buffer) : NULL;
}

size_t GetFastBufferLength(struct FastBuffer* buffer)
{
    return buffer != NULL ? buffer->length : 0;
}

int SetFastBufferLength(struct FastBuffer* buffer, size_t length)
{
    if (buffer == NULL || length > FastBufferCapacity(buffer))
        return -EINVAL;
    buffer->length = length;
    return 0;
}

size_t GetFastBufferSize(struct FastBuffer* buffer)
{
    return buffer != NULL ? FastBufferCapacity(buffer) : 0;
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
