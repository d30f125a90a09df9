/*
 * A queue of what is to be sent, for the tests of it: its bytes are a pattern, and each step looks
 * whether they are all there, in order. Programs that use it are linked with
 * --wrap=FastPoolAllocateAnyhow.
 */
#ifndef TEST_OUTBOUND_QUEUE_H
#define TEST_OUTBOUND_QUEUE_H

#include "fixture.h"
#include "socket/outbound.h"

enum
{
    MUCH = 3 << 20,
    PIECE = 8192 - sizeof(struct FastItem), /* memory of the first copy */
    LARGE_PIECE = (256 << 10) - sizeof(struct FastItem),
    MAX_GATHER = 1 << 20,
    MAX_VECTOR = 1024,
};

/* ---- memory ---- */

static struct Countdown poolMemory;

FAILING_CALL(&poolMemory, NULL, struct FastBuffer*, FastPoolAllocateAnyhow,
             (struct FastBufferPool* pool, size_t size), (pool, size))

/* ---- the queue ---- */

static struct FastBufferPool* pool;
static struct FastOutboundQueue queue;
static uint8_t bytes[MUCH];
static size_t queued;   /* of bytes, so many were copied */
static size_t consumed; /* and so many taken off */
static struct iovec gathered[MAX_VECTOR];

static inline void openQueue(void)
{
    for (size_t index = 0; index < MUCH; index++)
        bytes[index] = (uint8_t)(index * 31 + (index >> 8) + (index >> 16));
    pool = FastPoolCreate(NULL);
    ck_assert_ptr_nonnull(pool);
}

static inline void freeList(struct FastItem* item)
{
    while (item != NULL) {
        struct FastItem* next = item->next;
        FastItemFree(item);
        item = next;
    }
}

static inline void closeQueue(void)
{
    freeList(queue.first);
    ck_assert_uint_eq(FastPoolBuffers(pool), 0);
    FastPoolDrop(pool);
}

static inline int tryCopy(size_t size, int flags)
{
    const struct iovec vector = {.iov_base = bytes + queued, .iov_len = size};
    ck_assert_uint_le(queued + size, MUCH);
    return FastOutboundCopy(&queue, pool, &vector, size, flags);
}

static inline void copy(size_t size, int flags)
{
    ck_assert_int_eq(tryCopy(size, flags), 0);
    queued += size;
}

static inline size_t countItems(void)
{
    size_t count = 0;
    for (const struct FastItem* item = queue.first; item != NULL; item = item->next)
        count++;
    return count;
}

static inline void expectItem(const struct FastItem* item, size_t length, uint32_t messages,
                              int flags)
{
    ck_assert_ptr_nonnull(item);
    ck_assert_uint_eq(item->length, length);
    ck_assert_uint_eq(item->messages, messages);
    ck_assert_int_eq(item->flags, flags);
}

/* The whole queue has exactly the bytes that were copied and not consumed. */
static inline void expectBytes(void)
{
    size_t position = consumed;
    for (const struct FastItem* item = queue.first; item != NULL; item = item->next) {
        ck_assert_mem_eq(item->data, bytes + position, item->length);
        position += item->length;
    }
    ck_assert_uint_eq(position, queued);
    ck_assert_uint_eq(queue.length, queued - consumed);
}

static inline size_t gather(bool corks, int* flags)
{
    size_t count = FastOutboundCountGather(&queue);
    size_t size = FastOutboundGather(&queue, gathered, count, corks, flags);
    size_t position = consumed;
    for (size_t index = 0; index < count; index++) {
        ck_assert_mem_eq(gathered[index].iov_base, bytes + position, gathered[index].iov_len);
        position += gathered[index].iov_len;
    }
    ck_assert_uint_eq(position - consumed, size);
    return size;
}

static inline void consume(size_t size)
{
    FastOutboundConsume(&queue, size);
    consumed += size;
    expectBytes();
}

/* An item without room behind its bytes, like a buffer that was handed over. */
static inline struct FastItem* appendItem(uint8_t kind, size_t size, int flags)
{
    struct FastItem* item = FastItemMake(pool, kind, size);
    ck_assert_ptr_nonnull(item);
    memcpy(item->data, bytes + queued, size);
    item->room = 0;
    item->length = size;
    item->flags = flags;
    queued += size;
    FastOutboundAppend(&queue, item);
    return item;
}

#endif
