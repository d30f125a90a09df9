/* Bytes and messages, from one file that is memory to the other. */
#include "memory-file.h"

#include "schedule.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* ---- bytes ---- */

static void copyIn(struct MemoryFile* file, const struct iovec* vector, size_t size)
{
    uint32_t place = (file->queue.start + file->queue.length) % MEMORY_BYTES;

    file->queue.length += (uint32_t)size;
    for (; size > 0; vector++) {
        const uint8_t* data = vector->iov_base;
        size_t count = vector->iov_len < size ? vector->iov_len : size;
        size_t before = count < MEMORY_BYTES - place ? count : MEMORY_BYTES - place;
        if (before > 0)
            memcpy(file->bytes + place, data, before);
        if (count > before)
            memcpy(file->bytes, data + before, count - before);
        place = (uint32_t)(place + count) % MEMORY_BYTES;
        size -= count;
    }
}

static void copyOut(const struct MemoryFile* file, uint32_t offset, const struct iovec* vector,
                    size_t skip, size_t size)
{
    uint32_t place = (file->queue.start + offset) % MEMORY_BYTES;

    for (; size > 0; vector++) {
        if (skip >= vector->iov_len) {
            skip -= vector->iov_len;
            continue;
        }
        uint8_t* data = (uint8_t*)vector->iov_base + skip;
        size_t count = vector->iov_len - skip < size ? vector->iov_len - skip : size;
        size_t before = count < MEMORY_BYTES - place ? count : MEMORY_BYTES - place;
        memcpy(data, file->bytes + place, before);
        memcpy(data + before, file->bytes, count - before);
        place = (uint32_t)(place + count) % MEMORY_BYTES;
        size -= count;
        skip = 0;
    }
}

static size_t sizeOf(const struct iovec* vector, size_t count)
{
    size_t size = 0;

    for (size_t index = 0; index < count; index++)
        size += vector[index].iov_len;
    return size;
}

/* ---- receiving ---- */

static void giveRights(struct MemoryPiece* piece, bool peek, struct MemoryExtra* extra)
{
    if (extra == NULL || peek)
        return;
    extra->rights = piece->rights;
    for (uint32_t index = 0; index < piece->rights; index++)
        extra->files[index] = piece->files[index];
    piece->rights = 0;
}

static void onRoom(struct MemoryFile* file)
{
    if (file->peer != NULL && memoryHasPlace(file))
        memoryWakes(file->peer, POLLOUT);
}

static ssize_t receiveMessage(struct MemoryFile* file, const struct iovec* vector, size_t size,
                              bool peek, struct MemoryExtra* extra)
{
    struct MemoryPiece* piece = &file->queue.pieces[file->queue.first];
    size_t count = piece->size < size ? piece->size : size;

    copyOut(file, 0, vector, 0, count);
    if (extra != NULL) {
        extra->size = piece->size;
        extra->cut = piece->size > size;
        extra->port = piece->port;
    }
    giveRights(piece, peek, extra);
    if (!peek) {
        memoryDropPiece(file);
        onRoom(file);
    }
    return (ssize_t)count;
}

/* Bytes that came with files begin a receive of their own. */
static ssize_t receiveBytes(struct MemoryFile* file, const struct iovec* vector, size_t size,
                            bool peek, struct MemoryExtra* extra)
{
    size_t done = 0;
    uint32_t offset = 0;
    uint32_t index = file->queue.first;

    for (uint32_t left = file->queue.count; left > 0 && done < size; left--) {
        struct MemoryPiece* piece = &file->queue.pieces[index];
        size_t count = piece->size < size - done ? piece->size : size - done;
        if (done > 0 && piece->rights > 0)
            break;
        giveRights(piece, peek, extra);
        copyOut(file, offset, vector, done, count);
        done += count;
        if (peek) {
            offset += piece->size;
            index = (index + 1) % MEMORY_PIECES;
        } else if (count == piece->size) {
            memoryDropPiece(file);
            index = file->queue.first;
        } else {
            piece->size -= (uint32_t)count;
            file->queue.start = (file->queue.start + (uint32_t)count) % MEMORY_BYTES;
            file->queue.length -= (uint32_t)count;
        }
    }
    if (extra != NULL)
        extra->size = done;
    if (!peek)
        onRoom(file);
    return (ssize_t)done;
}

/* Nothing is there. */
static ssize_t receiveNothing(struct MemoryFile* file)
{
    if (file->error != 0)
        return -memoryTakeError(file);
    return file->inputEnded ? 0 : -EAGAIN;
}

ssize_t memoryReceive(struct MemoryFile* file, const struct iovec* vector, size_t count, bool peek,
                      struct MemoryExtra* extra)
{
    size_t size = sizeOf(vector, count);

    if (extra != NULL)
        *extra = (struct MemoryExtra){.rights = 0};
    if (memoryIsDatagrams(file) && file->error != 0)
        return -memoryTakeError(file);
    if (file->queue.count == 0)
        return receiveNothing(file);
    if (memoryIsMessages(file))
        return receiveMessage(file, vector, size, peek, extra);
    /* What a receive of TCP brings less than there was room for is all. */
    if (size > 1 && file->kind != MEMORY_TCP && happens(FAULT_SHORT))
        size = 1 + choose((uint32_t)size);
    return receiveBytes(file, vector, size, peek, extra);
}

/* ---- sending ---- */

/* Of UDP a destination of its own. */
static struct MemoryFile* targetOf(struct MemoryFile* file, const struct MemoryExtra* extra)
{
    if (extra == NULL || extra->port == 0)
        return file->peer;
    return memoryFindPort(extra->port);
}

static void append(struct MemoryFile* target, const struct MemoryFile* from,
                   const struct iovec* vector, size_t size, const struct MemoryExtra* extra)
{
    uint32_t last = (target->queue.first + target->queue.count - 1) % MEMORY_PIECES;
    bool joins = target->queue.count > 0 && !memoryIsMessages(target) &&
                 (extra == NULL || extra->rights == 0);

    copyIn(target, vector, size);
    if (joins) {
        target->queue.pieces[last].size += (uint32_t)size;
    } else {
        struct MemoryPiece* piece =
            &target->queue.pieces[(target->queue.first + target->queue.count++) % MEMORY_PIECES];
        *piece = (struct MemoryPiece){.size = (uint32_t)size, .port = from->port};
        for (uint32_t index = 0; extra != NULL && index < extra->rights; index++) {
            piece->files[piece->rights++] = extra->files[index];
            memoryHold(extra->files[index]);
        }
    }
    memoryWakes(target, POLLIN);
}

static ssize_t sendMessage(struct MemoryFile* file, const struct iovec* vector, size_t size,
                           const struct MemoryExtra* extra)
{
    struct MemoryFile* target = targetOf(file, extra);

    if (file->lasting != 0)
        return -file->lasting;
    if (size > file->capacity)
        return -EMSGSIZE;
    if (target == NULL && file->kind == MEMORY_UDP) {
        file->error = ECONNREFUSED; /* somebody answers that there is nobody */
        memoryWakes(file, POLLERR);
        return (ssize_t)size;
    }
    if (target == NULL || target->closed)
        return memoryIsDatagrams(file) ? -ECONNREFUSED : -EPIPE;
    bool full = target->queue.length + size > target->capacity ||
                target->queue.count >= MEMORY_PIECES;
    if (full && file->kind == MEMORY_UDP) {
        target->lost++;
        return (ssize_t)size; /* the network loses it */
    }
    if (full)
        return -EAGAIN;
    append(target, file, vector, size, extra);
    return (ssize_t)size;
}

static ssize_t sendBytes(struct MemoryFile* file, const struct iovec* vector, size_t size,
                         const struct MemoryExtra* extra)
{
    struct MemoryFile* target = file->peer;

    if (target == NULL || target->closed) {
        if (file->kind == MEMORY_TCP && !file->closed)
            memoryDie(file, ECONNRESET); /* the end that is gone answers so */
        return file->kind == MEMORY_TCP ? (ssize_t)size : -EPIPE;
    }
    size_t room = target->capacity > target->queue.length ? target->capacity - target->queue.length
                                                          : 0;
    if (size > 0 && (room == 0 || target->queue.count >= MEMORY_PIECES - 1))
        return -EAGAIN;
    if (size > room)
        size = room;
    if (size > 1 && happens(FAULT_SHORT))
        size = 1 + choose((uint32_t)size);
    if (size > 0)
        append(target, file, vector, size, extra);
    return (ssize_t)size;
}

ssize_t memorySend(struct MemoryFile* file, const struct iovec* vector, size_t count,
                   const struct MemoryExtra* extra)
{
    size_t size = sizeOf(vector, count);

    if (file->error != 0)
        return -memoryTakeError(file);
    if (file->outputEnded || !file->writes)
        return file->writes ? -EPIPE : -EBADF;
    if (file->connecting)
        return -EAGAIN;
    return memoryIsMessages(file) ? sendMessage(file, vector, size, extra)
                                  : sendBytes(file, vector, size, extra);
}
