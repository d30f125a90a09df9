/*
 * A buffer's header, and what others may do with it: inside the library these take the place of the
 * public functions, whose checks and calls cost more than what they do.
 *
 * The members are the pool's; the others use the functions.
 */
#ifndef FASTSOCKET_BUFFER_H
#define FASTSOCKET_BUFFER_H

#include <Ring/FastBuffer.h>
#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

struct FastBuffer
{
    alignas(64) struct FastBufferPool* pool;
    struct FastBuffer* next; /* on a free list or the stack of returned ones, else its holder's */
    size_t size;             /* as asked for */
    size_t length;           /* never more than the size */
    size_t footprint;        /* bytes from the system */
    _Atomic uint32_t references;
    uint32_t kind; /* its class, see pool-store.h */
    uint64_t note; /* its holder's */
    bool shared;   /* its home is the store that is shared by threads */
    bool wrapped;  /* its data is elsewhere: wrap.h; it is shared then, and takes no short way */
};

_Static_assert(sizeof(struct FastBuffer) == 64, "data begins 64 bytes behind the header");

/* The buffer whose data begins there. */
static inline struct FastBuffer* FastBufferOf(void* data)
{
    return (struct FastBuffer*)data - 1;
}

/* The pool that it came from. */
static inline struct FastBufferPool* FastBufferHome(const struct FastBuffer* buffer)
{
    return buffer->pool;
}

/* Where its data begins; of one that was allocated. */
static inline uint8_t* FastBufferData(struct FastBuffer* buffer)
{
    return (uint8_t*)(buffer + 1);
}

/* Bytes of data that it has. */
static inline size_t FastBufferLength(const struct FastBuffer* buffer)
{
    return buffer->length;
}

/* Bytes of data that it has room for. */
static inline size_t FastBufferSize(const struct FastBuffer* buffer)
{
    return buffer->size;
}

/* length is at most the size. */
static inline void FastBufferSetLength(struct FastBuffer* buffer, size_t length)
{
    assert(length <= buffer->size);
    buffer->length = length;
}

/* Bytes of memory that it takes, for accounting. */
static inline size_t FastBufferFootprint(const struct FastBuffer* buffer)
{
    return buffer->footprint;
}

/* Room in the header for who holds the buffer alone: a link for its queue. Undefined after
 * allocation. */
static inline struct FastBuffer** FastBufferLink(struct FastBuffer* buffer)
{
    return &buffer->next;
}

/* The same for a number. */
static inline uint64_t* FastBufferNote(struct FastBuffer* buffer)
{
    return &buffer->note;
}

#endif
