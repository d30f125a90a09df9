/*
 * Blocks of memory, and lists of free ones.
 *
 * A block is a header of 64 bytes, then the data. Blocks come in classes: of 2^n bytes of data up
 * to 2 MiB, four to a doubling up to 64 MiB, so that an odd size wastes little; larger ones are cut
 * to measure and never kept. From 32 KiB on they are mapped one by one, because only then does
 * their memory really return to the system.
 *
 * Each list remembers the least number of blocks that it had in a period. Those lay unused at the
 * bottom all the while: whatever the program did in that time, it did without them. So what it
 * needs again and again is never taken off by the decay, and what it needed once goes by halves.
 *
 * The data of a block is poisoned from the moment it comes from the system; who hands it out lifts
 * that for as many bytes as were asked for.
 */
#include "memory/pool-store.h"
#include "base/check.h"
#include "base/poison.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum
{
    STORE_MAPPED = 32 << 10,
    STORE_BYTES_AS_BLOCK = 4096, /* so many cost as much time to be given back as one block */
};

/* ---- blocks, from the system and back ---- */

static size_t pageSize(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

uint32_t FastBlockLargeClass(size_t size)
{
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(size - 1);
    uint32_t quarter = (uint32_t)((size - 1) >> (exponent - 2)) & 3;
    uint32_t kind = POOL_DOUBLING + 4 * (exponent - (POOL_SHIFT + POOL_DOUBLING - 1)) + quarter;
    return kind < POOL_CLASSES ? kind : (uint32_t)POOL_LOOSE;
}

static size_t capacityOf(size_t size, uint32_t kind)
{
    if (kind < POOL_DOUBLING)
        return (size_t)1 << (kind + POOL_SHIFT);
    if (kind == POOL_LOOSE)
        return size;
    uint32_t above = kind - POOL_DOUBLING;
    return (size_t)(5 + above % 4) << (POOL_SHIFT + POOL_DOUBLING - 3 + above / 4);
}

struct FastBuffer* FastBlockTake(size_t size, uint32_t kind)
{
    size_t capacity = capacityOf(size, kind);
    size_t footprint = sizeof(struct FastBuffer) + capacity;
    struct FastBuffer* buffer;

    if (capacity >= STORE_MAPPED && !FastCheckRuns()) {
        footprint = (footprint + pageSize() - 1) & ~(pageSize() - 1);
        buffer = mmap(NULL, footprint, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (buffer == MAP_FAILED)
            return NULL;
    } else {
        buffer = aligned_alloc(alignof(struct FastBuffer), footprint);
        if (buffer == NULL)
            return NULL;
    }
    buffer->next = NULL;
    buffer->footprint = footprint;
    buffer->kind = kind;
    buffer->wrapped = false;
    FastPoison(buffer + 1, footprint - sizeof(*buffer));
    return buffer;
}

/* Whatever is done with it comes to the rare way of wrapped buffers, which looks closely. */
static void bury(struct FastBuffer* buffer, size_t footprint)
{
    FastCheckBury(buffer, footprint, sizeof(*buffer));
    atomic_init(&buffer->references, 1);
    buffer->wrapped = true;
    FastCheckSeal(buffer);
}

void FastBlockGive(struct FastBuffer* buffer)
{
    size_t footprint = buffer->footprint;

    FastUnpoison(buffer, footprint);
    if (FastCheckRuns()) {
        bury(buffer, footprint);
        return;
    }
    if (footprint < STORE_MAPPED) {
        free(buffer);
        return;
    }
    if (munmap(buffer, footprint) < 0) {
        /* UNTESTED: it can fail where it would split a mapping and the process has no more to
         * spare. Then only the addresses stay taken. */
        (void)madvise(buffer, footprint, MADV_DONTNEED);
    }
}

/* ---- what is free, and too much ---- */

static void popToChain(struct FastPoolStore* store, uint32_t kind, struct FastBuffer** chain)
{
    struct FastBuffer* buffer = FastStorePop(store, kind);

    buffer->next = *chain;
    *chain = buffer;
}

static size_t listBytes(const struct FastPoolClass* list)
{
    return list->first != NULL ? list->count * list->first->footprint : 0;
}

static uint32_t fattestClass(const struct FastPoolStore* store)
{
    uint32_t fattest = 0;
    for (uint32_t kind = 1; kind < POOL_CLASSES; kind++)
        if (listBytes(&store->classes[kind]) > listBytes(&store->classes[fattest]))
            fattest = kind;
    return fattest;
}

void FastStoreEmpty(struct FastPoolStore* store, struct FastBuffer** chain)
{
    for (uint32_t kind = 0; kind < POOL_CLASSES; kind++)
        while (store->classes[kind].first != NULL)
            popToChain(store, kind, chain);
}

void FastStoreShed(struct FastPoolStore* store, size_t most, struct FastBuffer** chain)
{
    while (FastStoreFree(store) > most)
        popToChain(store, fattestClass(store), chain);
}

void FastStoreBeginPeriod(struct FastPoolStore* store)
{
    for (uint32_t kind = 0; kind < POOL_CLASSES; kind++) {
        struct FastPoolClass* list = &store->classes[kind];
        list->due = (list->low + 1) / 2;
        list->low = list->count;
    }
}

static size_t costOf(const struct FastPoolClass* list)
{
    return 1 + list->first->footprint / STORE_BYTES_AS_BLOCK;
}

bool FastStoreDecay(struct FastPoolStore* store, size_t floor, size_t* budget,
                    struct FastBuffer** chain)
{
    for (uint32_t kind = POOL_CLASSES; kind-- > 0;) {
        struct FastPoolClass* list = &store->classes[kind];
        for (; list->due > 0 && list->low > 0 && FastStoreFree(store) > floor; list->due--) {
            if (*budget == 0)
                return false;
            *budget -= costOf(list) < *budget ? costOf(list) : *budget;
            popToChain(store, kind, chain);
        }
        list->due = 0;
    }
    return true;
}
