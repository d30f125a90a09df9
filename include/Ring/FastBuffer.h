/*
 * Ring/FastBuffer.h: reusable, counted buffers.
 *
 * A buffer starts with one reference, its creator's. HoldFastBuffer adds one, ReleaseFastBuffer
 * drops one; with the last the memory goes back to its pool, and from there to the system in the
 * seconds after a burst. Buffers may be held and released in any thread; their content is not
 * guarded against use by two threads at once.
 *
 * Errors: functions that return a pointer give NULL and set errno; the others return 0 or a
 * negative errno. Since 1.0.
 */
#ifndef RING_FASTBUFFER_H
#define RING_FASTBUFFER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

struct FastRing;
struct FastBuffer;
struct FastBufferPool;

/*
 * Creates a pool.
 *
 * ring       the ring whose thread uses the pool most, which then needs no locks; or NULL for a
 *            pool of its own, shared by all threads alike. What a ring's pool keeps free is bounded
 *            by FASTRING_OPTION_POOL_RESERVE. A pool without a ring keeps as much as is in use, or
 *            4 MiB, or what was missed within a second after it had been given back, at most 64
 *            MiB; without a clock it gives that back only when it is used.
 *
 * Ownership: the pool may be released before or after the ring and the sockets that use it.
 *            Released after the ring, it is defunct meanwhile: allocation fails with ECANCELED.
 * Thread:    the ring's; any, if ring is NULL.
 * Returns:   the pool, or NULL with ENOMEM, EPERM, ECANCELED.
 */
struct FastBufferPool* CreateFastBufferPool(struct FastRing* ring);

/*
 * Releases a pool, which may be NULL. Its memory goes with its last buffer.
 *
 * Thread:    the ring's; any, if it has none. No other thread may be allocating from it.
 */
void ReleaseFastBufferPool(struct FastBufferPool* pool);

/*
 * Allocates a buffer. Its content is undefined, its length 0.
 *
 * size       capacity in bytes, 0 to 1 GiB.
 * option     must be 0.
 *
 * Ownership: one reference, the caller's.
 * Thread:    any.
 * Returns:   the buffer, or NULL with EINVAL (pool, option), EMSGSIZE (size), ENOMEM, ECANCELED
 *            (the pool's ring is gone).
 */
struct FastBuffer* AllocateFastBuffer(struct FastBufferPool* pool, size_t size, int option);

/* Takes back what was wrapped. Since 1.1. */
typedef void (*ReleaseFastMemory)(void* data, size_t size, void* closure);

/*
 * Makes a buffer of memory that is the caller's: for TransmitFastSocketBuffer, which sends it
 * without a copy of the library's, and for whoever passes counted buffers on. Its length is size.
 *
 * The memory is given back when the last reference is dropped, by function, on the thread that
 * drops it: at once if that is a call of ReleaseFastBuffer by the program; inside a turn of the
 * ring, or its end, if it is the library, in the thread of the ring that the pool was made for
 * (what was sent is accepted, its zero copy is over, the socket has dropped it). With a pool that
 * has no ring, or that of another thread, the library calls it where it drops the reference: there
 * function may give memory back, and may not call what concerns a ring or socket.
 *
 * pool       as for AllocateFastBuffer; it has a small block for the buffer itself.
 * data       size bytes, from any address; whoever may read the buffer's data must be able to read
 *            there, and nobody writes to it but who has the buffer. Not NULL.
 * size       0 to 1 GiB.
 * function   may be NULL, for memory that stays.
 *
 * GetFastBufferData gives data, with whatever alignment it has; GetFastBuffer does not find such a
 * buffer by it.
 *
 * Ownership: one reference, the caller's. After a failure data is still the caller's, and function
 *            is not called.
 * Thread:    any.
 * Returns:   as AllocateFastBuffer, with EINVAL also for data.
 * Since:     1.1
 */
struct FastBuffer* WrapFastBuffer(struct FastBufferPool* pool, void* data, size_t size,
                                  ReleaseFastMemory function, void* closure);

/* Adds a reference and returns its argument, which may be NULL. Thread: any. */
struct FastBuffer* HoldFastBuffer(struct FastBuffer* buffer);

/* Drops a reference of a buffer, which may be NULL. Thread: any. */
void ReleaseFastBuffer(struct FastBuffer* buffer);

/* Returns the buffer whose GetFastBufferData() is data; NULL for NULL. Any other pointer, and data
 * of WrapFastBuffer's, is an error that can't be detected. Thread: any. */
struct FastBuffer* GetFastBuffer(void* data);

/* Returns the buffer's memory, 64-byte aligned, or what was wrapped; NULL for NULL. Thread: any. */
uint8_t* GetFastBufferData(struct FastBuffer* buffer);

/* Returns the bytes in use, from the start of the memory; 0 for NULL. Thread: any. */
size_t GetFastBufferLength(struct FastBuffer* buffer);

/* Sets the bytes in use. Returns 0, or -EINVAL (NULL, or length beyond the size). Thread: any. */
int SetFastBufferLength(struct FastBuffer* buffer, size_t length);

/* Returns the capacity in bytes, as asked for at allocation; 0 for NULL. Thread: any. */
size_t GetFastBufferSize(struct FastBuffer* buffer);

/*
 * A CreateRingBufferFunction (Ring/FastRing.h) that makes the provider's buffers FastBuffers, as
 * sockets need them.
 *
 * closure    the pool: of a ring of the same thread, or of none.
 *
 * Returns:   the memory of a new buffer, or NULL with errno as AllocateFastBuffer.
 */
void* AllocateRingFastBuffer(size_t size, void* closure);

/* A ReleaseRingBufferFunction: drops the reference of the buffer with this memory. NULL is
 * allowed. */
void ReleaseRingFastBuffer(void* buffer);

#ifdef __cplusplus
}
#endif

#endif
