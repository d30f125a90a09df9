/* Ring/FastBuffer.h */
#include "consumer.h"

#include <string.h>

static void usePool(struct FastBufferPool* pool)
{
    CHECK_ERROR(AllocateFastBuffer(NULL, 100, 0), EINVAL);
    CHECK_ERROR(AllocateFastBuffer(pool, 100, 1), EINVAL);
    CHECK_ERROR(AllocateFastBuffer(pool, ((size_t)1 << 30) + 1, 0), EMSGSIZE);

    struct FastBuffer* empty = AllocateFastBuffer(pool, 0, 0);
    CHECK(empty != NULL);
    CHECK(GetFastBufferSize(empty) == 0);
    CHECK(SetFastBufferLength(empty, 0) == 0);
    CHECK(SetFastBufferLength(empty, 1) == -EINVAL);
    ReleaseFastBuffer(empty);

    struct FastBuffer* buffer = AllocateFastBuffer(pool, 100, 0);
    CHECK(buffer != NULL);
    CHECK(GetFastBufferSize(buffer) == 100);
    CHECK(GetFastBufferLength(buffer) == 0);
    uint8_t* data = GetFastBufferData(buffer);
    CHECK(data != NULL && (uintptr_t)data % 64 == 0);
    CHECK(GetFastBuffer(data) == buffer);
    memset(data, 7, 100);
    CHECK(SetFastBufferLength(buffer, 100) == 0);
    CHECK(GetFastBufferLength(buffer) == 100);
    CHECK(SetFastBufferLength(buffer, 101) == -EINVAL);
    CHECK(GetFastBufferLength(buffer) == 100);

    CHECK(HoldFastBuffer(buffer) == buffer);
    ReleaseFastBuffer(buffer);
    CHECK(data[0] == 7 && data[99] == 7);
    CHECK(GetFastBufferLength(buffer) == 100);
    ReleaseFastBuffer(buffer);
}

static void useRingBuffers(struct FastBufferPool* pool)
{
    CHECK_ERROR(AllocateRingFastBuffer(4096, NULL), EINVAL);
    void* data = AllocateRingFastBuffer(4096, pool);
    CHECK(data != NULL);
    CHECK(GetFastBufferSize(GetFastBuffer(data)) == 4096);
    ReleaseRingFastBuffer(data);
    ReleaseRingFastBuffer(NULL);
}

static void onMemory(void* data, size_t size, void* closure)
{
    int* count = closure;
    CHECK(data != NULL && size == 100);
    ++*count;
}

static void useMemory(struct FastBufferPool* pool)
{
    char bytes[100];
    int count = 0;
    CHECK_ERROR(WrapFastBuffer(NULL, bytes, 100, onMemory, &count), EINVAL);
    CHECK_ERROR(WrapFastBuffer(pool, NULL, 100, onMemory, &count), EINVAL);
    CHECK_ERROR(WrapFastBuffer(pool, bytes, ((size_t)1 << 30) + 1, onMemory, &count), EMSGSIZE);
    struct FastBuffer* buffer = WrapFastBuffer(pool, bytes, 100, onMemory, &count);
    CHECK(buffer != NULL);
    CHECK(GetFastBufferData(buffer) == (uint8_t*)bytes);
    CHECK(GetFastBufferSize(buffer) == 100 && GetFastBufferLength(buffer) == 100);
    CHECK(HoldFastBuffer(buffer) == buffer);
    ReleaseFastBuffer(buffer);
    CHECK(count == 0);
    ReleaseFastBuffer(buffer);
    CHECK(count == 1);
}

static void useNothing(void)
{
    CHECK(HoldFastBuffer(NULL) == NULL);
    ReleaseFastBuffer(NULL);
    CHECK(GetFastBuffer(NULL) == NULL);
    CHECK(GetFastBufferData(NULL) == NULL);
    CHECK(GetFastBufferLength(NULL) == 0);
    CHECK(GetFastBufferSize(NULL) == 0);
    CHECK(SetFastBufferLength(NULL, 0) == -EINVAL);
    ReleaseFastBufferPool(NULL);
}

void useBuffers(void)
{
    useNothing();

    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    CHECK(pool != NULL);
    usePool(pool);
    useMemory(pool);
    useRingBuffers(pool);
    struct FastBuffer* last = AllocateFastBuffer(pool, 50, 0);
    CHECK(last != NULL);
    ReleaseFastBufferPool(pool);
    memset(GetFastBufferData(last), 1, 50);
    ReleaseFastBuffer(last);

    struct FastRing* ring = openRing();
    CHECK(ring != NULL);
    pool = CreateFastBufferPool(ring);
    CHECK(pool != NULL);
    usePool(pool);
    useMemory(pool);
    useRingBuffers(pool);
    ReleaseFastRing(ring);
    CHECK_ERROR(AllocateFastBuffer(pool, 1, 0), ECANCELED);
    ReleaseFastBufferPool(pool);
}
