/*
 * The provider and the pools that a ring has itself.
 *
 * Good path: made when the first socket asks for them, sized by the ring's options, which can't be
 * changed from then on. They are the ring's for as long as it lives: it closes its youngest members
 * first, so that sockets have let go of them before.
 *
 * Failures: what was made is given back, and the next socket tries again.
 */
#include "memory/ring-stock.h"

#include "base/dump.h"
#include "memory/ring-pool.h"

#include <Ring/FastBuffer.h>
#include <errno.h>
#include <stdlib.h>

/* Also in another thread, after the end of the ring's: so not by the exported functions. */
static void freeStock(struct FastRingStock* stock)
{
    if (stock->provider != NULL) {
        stock->provider->release = ReleaseRingFastBuffer;
        FastProviderDrop(stock->provider);
    }
    if (stock->inbound != NULL)
        FastPoolDrop(stock->inbound);
    if (stock->outbound != NULL)
        FastPoolDrop(stock->outbound);
    free(stock);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastRingStock* stock = FAST_CONTAINER(member, struct FastRingStock, member);
    struct FastRing* ring = stock->ring;
    (void)orderly; /* what the kernel may still write to is the provider's business */
    FastRingSetStock(ring, NULL);
    freeStock(stock);
    FastRingDrop(ring);
}

static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    const struct FastRingStock* stock = FAST_CONTAINER(member, const struct FastRingStock, member);
    FastDumpBegin(dump, "own-buffers", stock->ring);
    FastDumpObject(dump, "provider", stock->provider);
    FastDumpObject(dump, "inbound", stock->inbound);
    FastDumpObject(dump, "outbound", stock->outbound);
    FastDumpEnd(dump);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .close = closeMember,
    .dump = dumpMember,
};

static bool fill(struct FastRingStock* stock)
{
    struct FastRing* ring = stock->ring;
    stock->inbound = CreateFastBufferPool(ring);
    if (stock->inbound != NULL)
        stock->outbound = CreateFastBufferPool(ring);
    if (stock->outbound != NULL)
        stock->provider = CreateFastRingBufferProvider(
            ring, 0, FastRingBufferCount(ring), FastRingBufferLength(ring), AllocateRingFastBuffer,
            stock->inbound);
    return stock->provider != NULL;
}

const struct FastRingStock* FastRingStockGet(struct FastRing* ring)
{
    struct FastRingStock* stock = FastRingStock(ring);
    if (stock != NULL)
        return stock;
    stock = calloc(1, sizeof(*stock));
    if (stock == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    stock->ring = ring;
    if (!fill(stock)) {
        int error = errno;
        freeStock(stock);
        errno = error;
        return NULL;
    }
    FastRingLink(ring, &stock->member, &memberFunctions);
    FastRingSetStock(ring, stock);
    return stock;
}
