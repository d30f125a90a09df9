/*
 * What sockets call of the kernel's buffer rings.
 */
#ifndef FASTSOCKET_BUFFER_PROVIDER_H
#define FASTSOCKET_BUFFER_PROVIDER_H

#include "ring/ring.h"

/*
 * Keeps the source of a provider's memory alive for as long as the provider refills itself from it. The
 * unit that has such sources names them by the function that makes buffers of them; the provider itself
 * knows nothing of what closure is. There is one kind; setting it again does nothing.
 */
struct FastProviderKeeper
{
    CreateRingBufferFunction function;
    void (*hold)(void* closure);
    void (*drop)(void* closure);
};

void FastProviderSetKeeper(const struct FastProviderKeeper* keeper); /* any thread */

struct FastRing* FastProviderRing(const struct FastRingBufferProvider* provider);
uint32_t FastProviderCount(const struct FastRingBufferProvider* provider);
uint32_t FastProviderLength(const struct FastRingBufferProvider* provider);
bool FastProviderMakes(const struct FastRingBufferProvider* provider, CreateRingBufferFunction function);

void FastProviderHold(struct FastRingBufferProvider* provider);
void FastProviderDrop(struct FastRingBufferProvider* provider);

/* The id of the buffer that follows id in the kernel's order; negative if that is not known. */
int FastProviderNext(const struct FastRingBufferProvider* provider, uint16_t id);

/* The buffer of a slot that the kernel has filled; NULL if id is none. It stays the provider's until
 * Replace; Return gives it back to the kernel as it is. Every filled slot ends in one of the two. */
void* FastProviderPeek(const struct FastRingBufferProvider* provider, uint16_t id);
void FastProviderReturn(struct FastRingBufferProvider* provider, uint16_t id);
void FastProviderReplace(struct FastRingBufferProvider* provider, uint16_t id, void* buffer); /* NULL: the slot is refilled later */

/*
 * Whether the kernel can have filled a slot, and, if it is a bundle, those behind it, with length bytes
 * together: they are published, and still were when it was entered last, and their entries in its ring have
 * room for what lies in each. A kernel was seen to say otherwise, and its bytes are then not where they
 * seem to be.
 */
bool FastProviderIsPossible(const struct FastRingBufferProvider* provider, uint16_t id, size_t length, bool bundle);

/* Gives the slots of such a completion back to the kernel, as far as the entries tell which they are. */
void FastProviderReject(struct FastRingBufferProvider* provider, uint16_t id, size_t length, bool bundle);

/* A completion says that the kernel has written length bytes from the start of a slot's buffer, or all of
 * it: before anybody reads them, for checkers that can't see it. */
void FastProviderFilled(const struct FastRingBufferProvider* provider, uint16_t id, size_t length);

/* The puts so far: to be noted when a receive is armed. */
uint32_t FastProviderMark(const struct FastRingBufferProvider* provider);

/* The buffers that the kernel has, at most: put, and not yet seen taken. */
uint32_t FastProviderAvailable(const struct FastRingBufferProvider* provider);

/* A receive that was armed at mark ended for want of buffers: the waiter is served, first come first
 * served, when one has been put back since. FastWaiterRemove takes it back. */
void FastProviderWait(struct FastRingBufferProvider* provider, struct FastWaiter* waiter, uint32_t mark);

#endif
