/*
 * The pool's own: blocks of memory, and lists of free ones. Knows no threads: who calls holds the lock
 * that guards a store, or is the only one to use it.
 */
#ifndef FASTSOCKET_POOL_STORE_H
#define FASTSOCKET_POOL_STORE_H

#include "memory/pool.h"

#include <stdalign.h>
#include <stdatomic.h>

enum
{
    POOL_SHIFT = 8,                       /* the smallest class: 256 bytes */
    POOL_DOUBLING = 14,                   /* classes of powers of two, the largest 2 MiB */
    POOL_CLASSES = POOL_DOUBLING + 4 * 5, /* then four to a doubling, the largest 64 MiB */
    POOL_LOOSE = POOL_CLASSES,            /* the class of blocks cut to measure, never kept */
};

struct FastBuffer
{
    alignas(64) struct FastBufferPool* pool;
    struct FastBuffer* next; /* on a free list or the stack of returned ones; in use: its holder's */
    size_t size;             /* as asked for */
    size_t length;
    size_t footprint; /* bytes from the system */
    _Atomic uint32_t references;
    uint32_t kind;
    uint64_t note; /* its holder's */
    bool shared;   /* its home is the store that is shared by threads */
};

_Static_assert(sizeof(struct FastBuffer) == 64, "data begins 64 bytes behind the header");

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

uint32_t FastBlockClass(size_t size);
struct FastBuffer* FastBlockTake(size_t size, uint32_t kind); /* from the system, its data poisoned; NULL: no memory */
void FastBlockGive(struct FastBuffer* buffer);                /* to the system */

/* What follows adds the blocks that it takes off to a chain. */

void FastStoreEmpty(struct FastPoolStore* store, struct FastBuffer** chain);

/* Takes blocks off until so many bytes are left, from the class with most to give, so that one which is
 * in steady use beside a burst keeps its blocks. */
void FastStoreShed(struct FastPoolStore* store, size_t most, struct FastBuffer** chain);

/* Begins a period: half of what was not needed in the last one becomes due. */
void FastStoreBeginPeriod(struct FastPoolStore* store);

/* Takes off what is due, but leaves as many bytes as floor says. Returns false when more is due, since
 * *budget blocks or their like in bytes, which is lowered, are spent. */
bool FastStoreDecay(struct FastPoolStore* store, size_t floor, size_t* budget, struct FastBuffer** chain);

static inline size_t FastStoreFree(const struct FastPoolStore* store)
{
    return atomic_load_explicit(&store->free, memory_order_relaxed);
}

/* Has one writer at a time, so it needs no read-modify-write. */
static inline void FastStoreSetFree(struct FastPoolStore* store, size_t bytes)
{
    atomic_store_explicit(&store->free, bytes, memory_order_relaxed);
}

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
