/*
 * The table of a system (engine/system.h), over files that are memory.
 *
 * A wait for nothing passes the time; one without an end is interrupted, as by a signal.
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
};

static struct FastSystem base;
static int64_t now;
static int wakeNumber;

/* ---- readiness ---- */

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
    (void)system;
    (void)fresh;
    return handleWatch(handle, events, token);
}

static void unwatch(struct FastSystem* system, int handle)
{
    (void)system;
    handleUnwatch(handle);
}

static int awaitEvents(struct FastSystem* system, struct FastSystemEvent* events, int room,
                       int64_t timeout, const sigset_t* mask)
{
    int count = handleTakeReady(events, room);

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
    return system->functions->receiveMessage(system, handle, &message, flags);
}

static int receiveMessages(struct FastSystem* system, int handle, struct mmsghdr* messages,
                           unsigned number, int flags)
{
    unsigned count = 0;

    while (count < number) {
        ssize_t result =
            system->functions->receiveMessage(system, handle, &messages[count].msg_hdr, flags);
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
    return system->functions->sendMessage(system, handle, &message, flags);
}

static int sendMessages(struct FastSystem* system, int handle, struct mmsghdr* messages,
                        unsigned number, int flags)
{
    unsigned count = 0;

    while (count < number) {
        ssize_t result =
            system->functions->sendMessage(system, handle, &messages[count].msg_hdr, flags);
        if (result < 0)
            return count > 0 ? (int)count : (int)result;
        messages[count++].msg_len = (unsigned)result;
    }
    return (int)count;
}

/* Some say so: whoever asks does the same in another way. */
static bool hearsErrors(struct FastSystem* system, int handle)
{
    (void)system;
    return handle % 2 != 0;
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
    memoryWakes(file, POLLIN);
}

/* No foreign loop is simulated: it would poll, and that is the real system's. */
static int pollable(struct FastSystem* system)
{
    (void)system;
    return -ENOTSUP;
}

static unsigned copyPieces(struct FastSystem* system, const struct iovec* to,
                           const struct iovec* from, unsigned count)
{
    unsigned done = 0;

    (void)system;
    for (; done < count && from[done].iov_base != NULL; done++)
        memcpy(to[done].iov_base, from[done].iov_base, from[done].iov_len);
    return done;
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
    .hearsErrors = hearsErrors,
    .read = readFile,
    .write = writeFile,
    .splice = move,
    .close = closeHandle,
    .beginSlow = beginSlow,
    .takeSlow = takeSlow,
    .look = look,
    .isOpen = isOpen,
    .copy = copyPieces,
    .duplicate = duplicate,
    .watch = watch,
    .unwatch = unwatch,
    .wait = awaitEvents,
    .now = nowOf,
    .wakeHandle = wakeHandle,
    .wake = wake,
    .pollable = pollable,
    .show = nothing,
    .end = nothing,
    .closeHandles = closeHandles,
    .destroy = closeHandles,
};

struct FastSystem* memorySystemBegin(void)
{
    memoryBegin();
    handlesBegin();
    now = INT64_C(1000000000);
    base = (struct FastSystem){.functions = &functions};
    wakeNumber = handleOpen(memoryOpen(MEMORY_EVENT, 8));
    return &base;
}
