/*
 * Descriptors of files that are memory.
 *
 * One is watched by edges: a change of its file makes it ready, and a wait then tells what holds.
 */
#include "memory-handle.h"

#include "schedule.h"
#include "scheduler.h"

#include "engine/system.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

enum
{
    ALWAYS = POLLERR | POLLHUP,
};

struct Handle
{
    struct MemoryFile* file;
    bool watched;
    bool ready;
    uint32_t events;
    uint64_t token;
};

static struct Handle handles[HANDLES];
static int readyOrder[HANDLES]; /* handles that became ready, the first one first */
static int readyCount;

/* ---- descriptors ---- */

static struct Handle* find(int handle)
{
    if (!handleIsOurs(handle) || handles[handle - HANDLE_FIRST].file == NULL)
        return NULL;
    return &handles[handle - HANDLE_FIRST];
}

struct MemoryFile* handleFile(int handle)
{
    const struct Handle* found = find(handle);
    return found != NULL ? found->file : NULL;
}

int handleOpen(struct MemoryFile* file)
{
    int number = 0;

    while (number < HANDLES && handles[number].file != NULL)
        number++;
    if (number == HANDLES)
        return -EMFILE;
    handles[number] = (struct Handle){.file = file};
    return HANDLE_FIRST + number;
}

static void forgetReady(int number)
{
    int kept = 0;

    for (int index = 0; index < readyCount; index++)
        if (readyOrder[index] != number)
            readyOrder[kept++] = readyOrder[index];
    readyCount = kept;
}

int handleClose(int handle)
{
    struct Handle* found = find(handle);

    if (found == NULL)
        return -EBADF;
    struct MemoryFile* file = found->file;
    forgetReady(handle - HANDLE_FIRST);
    *found = (struct Handle){.file = NULL};
    memoryDrop(file);
    return 0;
}

int handleDuplicate(int handle)
{
    struct MemoryFile* file = handleFile(handle);

    if (file == NULL)
        return -EBADF;
    if (happens(FAULT_CALL))
        return -EMFILE;
    int number = handleOpen(file);
    if (number >= 0)
        memoryHold(file);
    return number;
}

uint32_t handleCount(void)
{
    uint32_t count = 0;

    for (int number = 0; number < HANDLES; number++)
        count += handles[number].file != NULL;
    return count;
}

/* ---- readiness ---- */

static void makeReady(int number)
{
    if (handles[number].ready)
        return;
    handles[number].ready = true;
    schedulerNoteWork();
    readyOrder[readyCount++] = number;
}

static void onWake(struct MemoryFile* file, uint32_t events)
{
    for (int number = 0; number < HANDLES; number++) {
        const struct Handle* handle = &handles[number];
        if (handle->file == file && handle->watched && events & (handle->events | ALWAYS))
            makeReady(number);
    }
}

bool memorySystemIsReady(void)
{
    return readyCount > 0;
}

int handleWatch(int handle, uint32_t events, uint64_t token)
{
    struct Handle* found = find(handle);

    if (found == NULL)
        return -EBADF;
    if (!found->watched && happens(FAULT_CALL))
        return -ENOMEM;
    int result = found->watched ? 0 : 1;
    found->watched = true;
    found->events = events;
    found->token = token;
    if (memoryLook(found->file) & (events | ALWAYS) || happens(FAULT_EDGE))
        makeReady(handle - HANDLE_FIRST);
    return result;
}

void handleUnwatch(int handle)
{
    struct Handle* found = find(handle);

    if (found == NULL)
        return;
    found->watched = false;
    found->ready = false;
    forgetReady(handle - HANDLE_FIRST);
}

/* What does not hold any more is not told. */
int handleTakeReady(struct FastSystemEvent* events, int room)
{
    int count = 0;

    while (readyCount > 0 && count < room) {
        int place = happens(FAULT_ORDER) ? (int)choose((uint32_t)readyCount) : 0;
        int number = readyOrder[place];
        struct Handle* handle = &handles[number];
        memmove(&readyOrder[place], &readyOrder[place + 1],
                (size_t)(--readyCount - place) * sizeof(readyOrder[0]));
        handle->ready = false;
        uint32_t holding = memoryLook(handle->file) & (handle->events | ALWAYS);
        if (holding != 0)
            events[count++] = (struct FastSystemEvent){handle->token, holding};
    }
    return count;
}

void handlesBegin(void)
{
    memoryWakes = onWake;
    memset(handles, 0, sizeof(handles));
    readyCount = 0;
}

/* ---- connections ---- */

int memoryAccept(struct MemoryFile* listener)
{
    if (listener->kind != MEMORY_LISTENER)
        return -EINVAL;
    if (listener->backlog.count == 0)
        return listener->inputEnded ? -EINVAL : -EAGAIN;
    struct MemoryFile* file = listener->backlog.files[0];
    int handle = handleOpen(file);
    if (handle < 0)
        return handle;
    memmove(&listener->backlog.files[0], &listener->backlog.files[1],
            --listener->backlog.count * sizeof(listener->backlog.files[0]));
    return handle;
}

struct MemoryFile* memoryConnect(struct MemoryFile* listener, enum MemoryKind kind,
                                 uint32_t capacity)
{
    if (listener->backlog.count == MEMORY_DEEPNESS || listener->inputEnded)
        return NULL;
    struct MemoryFile* ours = memoryOpen(kind, capacity);
    struct MemoryFile* peer = memoryOpen(kind, capacity);
    memoryJoin(ours, peer);
    listener->backlog.files[listener->backlog.count++] = ours;
    memoryWakes(listener, POLLIN);
    return peer;
}
