#include "memory-file.h"

#include "schedule.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum
{
    ROOM_PART = 3, /* of the capacity: as much must be free before a wait for room ends */
};

void (*memoryWakes)(struct MemoryFile* file, uint32_t events);

static struct MemoryFile files[MEMORY_FILES];
static uint8_t store[MEMORY_FILES][MEMORY_BYTES];
static uint32_t used; /* those from here on were never used */

/* ---- files ---- */

void memoryBegin(void)
{
    memset(files, 0, used * sizeof(files[0]));
    used = 0;
}

uint32_t memoryCountFiles(void)
{
    uint32_t count = 0;

    for (uint32_t index = 0; index < used; index++)
        count += files[index].kind != MEMORY_NONE;
    return count;
}

struct MemoryFile* memoryOpen(enum MemoryKind kind, uint32_t capacity)
{
    uint32_t index = 0;

    while (index < MEMORY_FILES && files[index].kind != MEMORY_NONE)
        index++;
    if (index == MEMORY_FILES)
        wrong("the simulation has too many files");
    if (index >= used)
        used = index + 1;
    files[index] = (struct MemoryFile){
        .kind = kind,
        .references = 1,
        .capacity = capacity,
        .reads = true,
        .writes = true,
        .bytes = store[index],
    };
    return &files[index];
}

void memoryJoin(struct MemoryFile* one, struct MemoryFile* other)
{
    one->peer = other;
    other->peer = one;
}

void memoryHold(struct MemoryFile* file)
{
    file->references++;
}

bool memoryIsMessages(const struct MemoryFile* file)
{
    return file->kind == MEMORY_RECORDS || file->kind == MEMORY_LOCAL_DATAGRAMS ||
           file->kind == MEMORY_UDP;
}

bool memoryIsConnection(const struct MemoryFile* file)
{
    return file->kind == MEMORY_TCP || file->kind == MEMORY_LOCAL || file->kind == MEMORY_RECORDS;
}

bool memoryIsDatagrams(const struct MemoryFile* file)
{
    return file->kind == MEMORY_LOCAL_DATAGRAMS || file->kind == MEMORY_UDP;
}

struct MemoryFile* memoryFindPort(uint16_t port)
{
    for (uint32_t index = 0; index < used; index++)
        if (files[index].kind == MEMORY_UDP && files[index].port == port)
            return &files[index];
    return NULL;
}

/* ---- the end ---- */

void memoryDropPiece(struct MemoryFile* file)
{
    struct MemoryPiece* piece = &file->queue.pieces[file->queue.first];

    for (uint32_t index = 0; index < piece->rights; index++)
        memoryDrop(piece->files[index]);
    piece->rights = 0;
    file->queue.start = (file->queue.start + piece->size) % MEMORY_BYTES;
    file->queue.length -= piece->size;
    file->queue.first = (file->queue.first + 1) % MEMORY_PIECES;
    file->queue.count--;
}

static void dropQueue(struct MemoryFile* file)
{
    while (file->queue.count > 0)
        memoryDropPiece(file);
}

void memoryDie(struct MemoryFile* file, int error)
{
    file->closed = true;
    file->inputEnded = true;
    file->outputEnded = true;
    file->connecting = false;
    if (error != 0)
        file->error = error;
    memoryWakes(file, POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
}

/* What has not arrived yet is destroyed with the connection. Here all has arrived at once, and what
 * the peer has not read stands for it. */
void memoryReset(struct MemoryFile* file)
{
    struct MemoryFile* peer = file->peer;

    memoryDie(file, 0);
    if (peer == NULL || peer->closed)
        return;
    if (peer->fragile)
        dropQueue(peer);
    memoryDie(peer, ECONNRESET);
}

void memoryBreak(struct MemoryFile* file, int error)
{
    struct MemoryFile* peer = file->peer;

    memoryDie(file, error);
    if (peer != NULL && !peer->closed)
        memoryDie(peer, ECONNRESET);
}

static void endOutput(struct MemoryFile* file)
{
    file->outputEnded = true;
    if (file->peer == NULL)
        return;
    file->peer->inputEnded = true;
    memoryWakes(file->peer, POLLIN | POLLRDHUP | (file->peer->outputEnded ? POLLHUP : 0));
}

/* AF_UNIX: the other end is told with the close, and by an errno if something was unread. */
static void closeLocal(struct MemoryFile* file)
{
    struct MemoryFile* peer = file->peer;
    bool unread = file->queue.count > 0;

    if (peer != NULL && !peer->closed)
        memoryDie(peer, unread ? ECONNRESET : 0);
}

static void closePipe(struct MemoryFile* file)
{
    struct MemoryFile* peer = file->peer;

    if (peer == NULL)
        return;
    peer->closed = true;
    peer->inputEnded = true;
    peer->outputEnded = true;
    memoryWakes(peer, POLLIN | POLLHUP | POLLERR | POLLOUT);
}

static void closeFile(struct MemoryFile* file)
{
    if (file->kind == MEMORY_TCP && (file->queue.length > 0 || file->lingersNot))
        memoryReset(file);
    else if (file->kind == MEMORY_TCP)
        endOutput(file);
    else if (file->kind == MEMORY_PIPE)
        closePipe(file);
    else if (memoryIsConnection(file))
        closeLocal(file);
    if (file->peer != NULL)
        file->peer->peer = NULL;
    dropQueue(file);
    while (file->backlog.count > 0)
        memoryDrop(file->backlog.files[--file->backlog.count]);
    file->kind = MEMORY_NONE;
}

void memoryDrop(struct MemoryFile* file)
{
    if (file->references == 0)
        wrong("a file is closed that was closed already");
    if (--file->references == 0)
        closeFile(file);
}

int memoryShutdown(struct MemoryFile* file, int how)
{
    if (file->closed || (memoryIsConnection(file) && file->peer == NULL && file->inputEnded))
        return file->closed ? -ENOTCONN : 0;
    if (how != SHUT_WR) {
        file->inputEnded = true;
        memoryWakes(file, POLLIN | POLLRDHUP);
    }
    if (how != SHUT_RD)
        endOutput(file);
    if (file->inputEnded && file->outputEnded)
        memoryWakes(file, POLLHUP);
    return 0;
}

int memoryTakeError(struct MemoryFile* file)
{
    int error = file->error;

    file->error = 0;
    return error;
}

/* ---- looking ---- */

bool memoryHasPlace(const struct MemoryFile* file)
{
    return file->queue.length <= file->capacity - file->capacity / ROOM_PART;
}

static bool hasRoom(const struct MemoryFile* file)
{
    const struct MemoryFile* target = file->peer;

    if (file->outputEnded || target == NULL || file->kind == MEMORY_UDP)
        return !file->connecting && !file->unconnected;
    if (target->queue.count >= MEMORY_PIECES - 1)
        return false;
    return !file->connecting &&
           memoryHasPlace(target);
}

static uint32_t lookAtPipe(const struct MemoryFile* file)
{
    if (file->reads)
        return (file->queue.count > 0 ? POLLIN : 0) | (file->closed ? POLLHUP : 0);
    return (hasRoom(file) ? POLLOUT : 0) | (file->closed ? POLLERR : 0);
}

uint32_t memoryLook(const struct MemoryFile* file)
{
    uint32_t events = 0;

    if (file->kind == MEMORY_PIPE)
        return lookAtPipe(file);
    if (file->kind == MEMORY_EVENT)
        return POLLOUT | (file->counter > 0 ? POLLIN : 0);
    if (file->kind == MEMORY_LISTENER)
        return (file->backlog.count > 0 ? POLLIN : 0) |
               (file->inputEnded ? POLLIN | POLLRDHUP | POLLHUP : 0);
    if (file->queue.count > 0 || file->inputEnded)
        events |= POLLIN;
    if (file->inputEnded)
        events |= POLLRDHUP;
    if (hasRoom(file))
        events |= POLLOUT;
    if (file->closed || (file->inputEnded && file->outputEnded))
        events |= POLLHUP;
    if (file->error != 0 || file->errorQueue)
        events |= POLLERR;
    return events;
}
