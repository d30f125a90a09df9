/*
 * Buffers whose data is memory of the user's: what lies behind their header.
 */
#ifndef FASTSOCKET_WRAP_H
#define FASTSOCKET_WRAP_H

#include "memory/buffer.h"
#include "ring/task.h"

struct FastWrap
{
    struct FastTask task; /* gives the memory back where users may be called */
    void* data;
    size_t size; /* the header has none: nothing of it is copied by a short way */
    ReleaseFastMemory function; /* NULL: it stays */
    void* closure;
    bool shared; /* of the header, which says so of each that is wrapped */
};

/* That of a buffer which is wrapped. */
static inline struct FastWrap* FastWrapOf(struct FastBuffer* buffer)
{
    return (struct FastWrap*)(buffer + 1);
}

/* Where the data of a buffer begins, wrapped or not. */
static inline uint8_t* FastBufferContent(struct FastBuffer* buffer)
{
    return buffer->wrapped ? FastWrapOf(buffer)->data : FastBufferData(buffer);
}

/* Bytes of data that it has room for. */
static inline size_t FastBufferCapacity(struct FastBuffer* buffer)
{
    return buffer->wrapped ? FastWrapOf(buffer)->size : FastBufferSize(buffer);
}

#endif
