/*
 * The pool's own: blocks of memory, and lists of free ones. Knows no threads: who calls holds the
 * lock that guards a store, or is the only one to use it.
 */
#ifndef FASTSOCKET_POOL_STORE_H
#define FASTSOCKET_POOL_STORE_H

#include "memory/buffer.h"

enum
{
    POOL_SHIFT = 8,                       /* the smallest class: 256 bytes */
    POOL_DOUBLING = 14,                   /* classes of powers of two, the largest 2 MiB */
    POOL_CLASSES = POOL_DOUBLING + 4 * 5, /* then four to a doubling, the largest 64 MiB */
    POOL_LOOSE = POOL_CLASSES,            /* the class of blocks cut to measure, never kept */
};

struct FastPoolClass
{
    struct FastBuffer* first;
    uint32_t count;
    uint32_t low; /* the least count in this period: so many have not been needed */
    uint32_t due; /* to be given back, unless they are needed yet */
};

struct FastPoolStore
{
    _Atomic size_t free;                            /* bytes on the lists; other threads may look */
    struct FastPoolClass classes[POOL_CLASSES + 1]; /* the last, of loose blocks, stays empty */
};

/* The class of blocks that size bytes fit into, above 2 MiB; POOL_LOOSE: none. */
uint32_t FastBlockLargeClass(size_t size);

/* The largest size of a class that is a power of two. */
#define FAST_BLOCK_SMALL ((size_t)1 << (POOL_SHIFT + POOL_DOUBLING - 1))

/* The class up to there. */
static inline uint32_t FastBlockSmallClass(size_t size)
{
    if (size <= (size_t)1 << POOL_SHIFT)
        return 0;
    return 64 - POOL_SHIFT - (uint32_t)__builtin_clzll(size - 1);
}

/* The same of any size. */
static inline uint32_t FastBlockClass(size_t size)
{
    return size <= FAST_BLOCK_SMALL ? FastBlockSmallClass(size) : FastBlockLargeClass(size);
}

/* A block from the system, its data poisoned; NULL: no memory. */
struct FastBuffer* FastBlockTake(size_t size, uint32_t kind);

/* Back to the system. */
void FastBlockGive(struct FastBuffer* buffer);

/* What follows adds the blocks that it takes off to a chain. */

/* Takes all. */
void FastStoreEmpty(struct FastPoolStore* store, struct FastBuffer** chain);

/* Takes blocks off until so many bytes are left, from the class with most to give, so that one
 * which is in steady use beside a burst keeps its blocks. */
void FastStoreShed(struct FastPoolStore* store, size_t most, struct FastBuffer** chain);

/* Begins a period: half of what was not needed in the last one becomes due. */
void FastStoreBeginPeriod(struct FastPoolStore* store);

/* Takes off what is due, but leaves as many bytes as floor says. Returns false when more is due,
 * since *budget blocks or their like in bytes, which is lowered, are spent. */
bool FastStoreDecay(struct FastPoolStore* store, size_t floor, size_t* budget,
                    struct FastBuffer** chain);

/* Bytes on the lists. */
static inline size_t FastStoreFree(const struct FastPoolStore* store)
{
    return atomic_load_explicit(&store->free, memory_order_relaxed);
}

/* Has one writer at a time, so it needs no read-modify-write. */
static inline void FastStoreSetFree(struct FastPoolStore* store, size_t bytes)
{
    atomic_store_explicit(&store->free, bytes, memory_order_relaxed);
}

/* A free block of the class; NULL: none. */
static inline struct FastBuffer* FastStorePop(struct FastPoolStore* store, uint32_t kind)
{
    struct FastPoolClass* list = &store->classes[kind];
    struct FastBuffer* buffer = list->first;

    if (buffer == NULL)
        return NULL;
    list->first = buffer->next;
    list->count--;
    if (list->low > list->count)
        list->low = list->count;
    FastStoreSetFree(store, FastStoreFree(store) - buffer->footprint);
    return buffer;
}

/* Not for loose ones. */
static inline void FastStorePush(struct FastPoolStore* store, struct FastBuffer* buffer)
{
    struct FastPoolClass* list = &store->classes[buffer->kind];

    buffer->next = list->first;
    list->first = buffer;
    list->count++;
    FastStoreSetFree(store, FastStoreFree(store) + buffer->footprint);
}

#endif
