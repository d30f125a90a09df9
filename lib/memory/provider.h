/*
 * What sockets call of the kernel's buffer rings.
 */
#ifndef FASTSOCKET_PROVIDER_H
#define FASTSOCKET_PROVIDER_H

#include "memory/provider-claim.h"
#include "memory/provider-slots.h"
#include "memory/provider-wait.h"

/*
 * Where a provider's memory comes from, kept alive for as long as the provider refills itself from
 * it. The unit that has such sources names them by the function that makes buffers of them, and
 * recognizes what it has made: a program may know that function by another address than the library
 * does. The provider itself knows nothing of what closure is. There is one kind; setting it again
 * does nothing.
 */
struct FastProviderSource
{
    CreateRingBufferFunction function;
    void (*hold)(void* closure);
    void (*drop)(void* closure);
    /* Whether this thread may drop it. NULL: any may. */
    bool (*suits)(const void* closure);
    /* What the function has made last in this thread, told once; NULL: nothing, or not of closure.
     * NULL itself: that function is known by its address alone. */
    const void* (*takeMade)(const void* closure);
};

void FastProviderSetSource(const struct FastProviderSource* source); /* any thread */

/* Its ring. */
static inline struct FastRing* FastProviderRing(const struct FastRingBufferProvider* provider)
{
    return provider->ring;
}

/* The number of its slots. */
static inline uint32_t FastProviderCount(const struct FastRingBufferProvider* provider)
{
    return provider->count;
}

/* The length of each buffer. */
static inline uint32_t FastProviderLength(const struct FastRingBufferProvider* provider)
{
    return provider->length;
}

/* Whether its buffers are those of the known source. */
static inline bool FastProviderHasSource(const struct FastRingBufferProvider* provider)
{
    return provider->source != NULL;
}

#endif
