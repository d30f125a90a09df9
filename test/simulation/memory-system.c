/*
 * The table of a system (engine/system.h), over files that are memory.
 *
 * A descriptor is watched by edges: a change of its file makes it ready, and a wait then tells what
 * holds. A wait for nothing passes the time; one without an end is interrupted, as by a signal.
 */
#include "memory-system.h"

#include "memory-control.h"
#include "schedule.h"

#include "engine/system.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

enum
{
    ALWAYS = POLLERR | POLLHUP,
    MESSAGES_TOGETHER = 64,
};

struct Handle
{
    struct MemoryFile* file;
    bool watched;
    bool ready;
    uint32_t events;
    uint64_t token;
};

static struct FastSystem base;
static struct Handle handles[HANDLES];
static int readyOrder[HANDLES]; /* handles that became ready, the first one first */
static int readyCount;
static int64_t now;
static int wakeNumber;

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

static uint32_t look(struct FastSystem* system, int handle, uint32_t events)
{
    const struct MemoryFile* file = handleFile(handle);

    (void)system;
    if (file == NULL)
        return POLLNVAL;
    return memoryLook(file) & (events | ALWAYS);
}

static int watch(struct FastSystem* system, int handle, uint32_t events, uint64_t token, bool fresh)
{
    struct Handle* found = find(handle);

    (void)system;
    (void)fresh;
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

static void unwatch(struct FastSystem* system, int handle)
{
    struct Handle* found = find(handle);

    (void)system;
    if (found == NULL)
        return;
    found->watched = false;
    found->ready = false;
    forgetReady(handle - HANDLE_FIRST);
}

/* What does not hold any more is not told. */
static int takeReady(struct FastSystemEvent* events, int room)
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

static int awaitEvents(struct FastSystem* system, struct FastSystemEvent* events, int room,
                       int64_t timeout, const sigset_t* mask)
{
    int count = takeReady(events, room);

    (void)system;
    (void)mask;
    if (count > 0 || timeout == 0)
        return count;
    if (timeout < 0)
        return -EINTR;
    if (happens(FAULT_CALL)) {
        timePass(timeout / 2);
        return -EINTR;
    }
    timePass(timeout);
    return 0;
}

/* ---- sockets ---- */

static struct MemoryFile* socketOf(int handle, int* error)
{
    struct MemoryFile* file = handleFile(handle);

    *error = 0;
    if (file == NULL)
        *error = -EBADF;
    else if (file->kind == MEMORY_PIPE || file->kind == MEMORY_EVENT)
        *error = -ENOTSOCK;
    return *error == 0 ? file : NULL;
}

static ssize_t receiveMessage(struct FastSystem* system, int handle, struct msghdr* message,
                              int flags)
{
    int error;
    struct MemoryFile* file = socketOf(handle, &error);

    (void)system;
    return file != NULL ? controlReceive(file, message, flags) : error;
}

static ssize_t receive(struct FastSystem* system, int handle, void* data, size_t size, int flags)
{
    struct iovec vector = {.iov_base = data, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    return receiveMessage(system, handle, &message, flags);
}

static int receiveMessages(struct FastSystem* system, int handle, struct mmsghdr* messages,
                           unsigned number, int flags)
{
    unsigned count = 0;

    while (count < number) {
        ssize_t result = receiveMessage(system, handle, &messages[count].msg_hdr, flags);
        if (result < 0)
            return count > 0 ? (int)count : (int)result;
        messages[count++].msg_len = (unsigned)result;
    }
    return (int)count;
}

static ssize_t sendMessage(struct FastSystem* system, int handle, const struct msghdr* message,
                           int flags)
{
    int error;
    struct MemoryFile* file = socketOf(handle, &error);

    (void)system;
    return file != NULL ? controlSend(file, message, flags) : error;
}

static ssize_t sendBytes(struct FastSystem* system, int handle, const void* data, size_t size,
                         int flags)
{
    struct iovec vector = {.iov_base = (void*)(uintptr_t)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    return sendMessage(system, handle, &message, flags);
}

static int sendMessages(struct FastSystem* system, int handle, struct mmsghdr* messages,
                        unsigned number, int flags)
{
    unsigned count = 0;

    while (count < number) {
        ssize_t result = sendMessage(system, handle, &messages[count].msg_hdr, flags);
        if (result < 0)
            return count > 0 ? (int)count : (int)result;
        messages[count++].msg_len = (unsigned)result;
    }
    return (int)count;
}

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
    onWake(listener, POLLIN);
    return peer;
}

static int acceptOne(struct FastSystem* system, int handle, struct sockaddr* address,
                     socklen_t* length, int flags)
{
    int error;
    struct MemoryFile* file = socketOf(handle, &error);

    (void)system;
    (void)address;
    (void)flags;
    if (length != NULL)
        *length = 0;
    return file != NULL ? memoryAccept(file) : error;
}

static int makeConnection(struct FastSystem* system, int handle, const struct sockaddr* address,
                          socklen_t length)
{
    int error;
    struct MemoryFile* file = socketOf(handle, &error);

    (void)system;
    (void)address;
    (void)length;
    if (file == NULL)
        return error;
    if (file->unconnected) {
        file->unconnected = false;
        file->connecting = true;
        return -EINPROGRESS;
    }
    if (file->connecting)
        return -EALREADY;
    return file->closed ? -ECONNREFUSED : -EISCONN;
}

static int endConnection(struct FastSystem* system, int handle, int how)
{
    int error;
    struct MemoryFile* file = socketOf(handle, &error);

    (void)system;
    return file != NULL ? memoryShutdown(file, how) : error;
}

static int takeError(struct FastSystem* system, int handle)
{
    int error;
    struct MemoryFile* file = socketOf(handle, &error);

    (void)system;
    return file != NULL ? -memoryTakeError(file) : error;
}

static enum FastSystemKind kindOf(struct FastSystem* system, int handle)
{
    const struct MemoryFile* file = handleFile(handle);

    (void)system;
    if (file != NULL && file->kind == MEMORY_TCP)
        return FAST_SYSTEM_TCP;
    if (file != NULL && (file->kind == MEMORY_UDP || file->kind == MEMORY_LOCAL_DATAGRAMS))
        return FAST_SYSTEM_DATAGRAMS;
    return FAST_SYSTEM_OTHER;
}

/* ---- files ---- */

static ssize_t readEvent(struct MemoryFile* file, const struct iovec* vector)
{
    if (file->counter == 0)
        return -EAGAIN;
    memcpy(vector->iov_base, &file->counter, sizeof(file->counter));
    file->counter = 0;
    return sizeof(file->counter);
}

static ssize_t readFile(struct FastSystem* system, int handle, const struct iovec* vector,
                        unsigned count, int64_t offset, int flags)
{
    struct MemoryFile* file = handleFile(handle);

    (void)system;
    (void)flags;
    if (file == NULL || !file->reads)
        return -EBADF;
    if (file->kind == MEMORY_EVENT)
        return readEvent(file, vector);
    if (offset >= 0)
        return -ESPIPE;
    return memoryReceive(file, vector, count, false, NULL);
}

static ssize_t writeFile(struct FastSystem* system, int handle, const struct iovec* vector,
                         unsigned count, int64_t offset, int flags)
{
    struct MemoryFile* file = handleFile(handle);

    (void)system;
    (void)flags;
    if (file == NULL || !file->writes)
        return -EBADF;
    if (offset >= 0)
        return -ESPIPE;
    return memorySend(file, vector, count, NULL);
}

static ssize_t move(struct FastSystem* system, int from, int64_t* fromOffset, int to,
                    int64_t* toOffset, size_t size, unsigned flags)
{
    (void)system;
    (void)from;
    (void)fromOffset;
    (void)to;
    (void)toOffset;
    (void)size;
    (void)flags;
    return -EINVAL;
}

static int closeHandle(struct FastSystem* system, int handle)
{
    (void)system;
    return handleClose(handle);
}

/* Nothing of memory is slow. */
static int beginSlow(struct FastSystem* system, const struct FastSystemSlow* work)
{
    (void)system;
    (void)work;
    return -EOPNOTSUPP;
}

static bool takeSlow(struct FastSystem* system, void** closure, ssize_t* result)
{
    (void)system;
    (void)closure;
    (void)result;
    return false;
}

static bool isOpen(struct FastSystem* system, int handle)
{
    (void)system;
    return handleFile(handle) != NULL;
}

static int duplicate(struct FastSystem* system, int handle)
{
    (void)system;
    return handleDuplicate(handle);
}

/* ---- time, and waking ---- */

int64_t timeNow(void)
{
    return now;
}

void timePass(int64_t nanoseconds)
{
    now += nanoseconds;
}

static int64_t nowOf(struct FastSystem* system)
{
    (void)system;
    return now;
}

static int wakeHandle(struct FastSystem* system)
{
    (void)system;
    return wakeNumber;
}

static void wake(struct FastSystem* system)
{
    struct MemoryFile* file = handleFile(wakeNumber);

    (void)system;
    if (file == NULL)
        return;
    file->counter++;
    onWake(file, POLLIN);
}

/* No foreign loop is simulated: it would poll, and that is the real system's. */
static int pollable(struct FastSystem* system)
{
    (void)system;
    return -ENOTSUP;
}

static void nothing(struct FastSystem* system)
{
    (void)system;
}

static void closeHandles(struct FastSystem* system)
{
    (void)system;
    (void)handleClose(wakeNumber);
    wakeNumber = -1;
}

static const struct FastSystemFunctions functions = {
    .receive = receive,
    .receiveMessage = receiveMessage,
    .receiveMessages = receiveMessages,
    .send = sendBytes,
    .sendMessage = sendMessage,
    .sendMessages = sendMessages,
    .accept = acceptOne,
    .connect = makeConnection,
    .shutdown = endConnection,
    .takeError = takeError,
    .kind = kindOf,
    .read = readFile,
    .write = writeFile,
    .splice = move,
    .close = closeHandle,
    .beginSlow = beginSlow,
    .takeSlow = takeSlow,
    .look = look,
    .isOpen = isOpen,
    .duplicate = duplicate,
    .watch = watch,
    .unwatch = unwatch,
    .wait = awaitEvents,
    .now = nowOf,
    .wakeHandle = wakeHandle,
    .wake = wake,
    .pollable = pollable,
    .end = nothing,
    .closeHandles = closeHandles,
    .destroy = closeHandles,
};

struct FastSystem* memorySystemBegin(void)
{
    memoryBegin();
    memoryWakes = onWake;
    memset(handles, 0, sizeof(handles));
    readyCount = 0;
    now = INT64_C(1000000000);
    base = (struct FastSystem){.functions = &functions};
    wakeNumber = handleOpen(memoryOpen(MEMORY_EVENT, 8));
    return &base;
}
