/*
 * Control data: descriptors, and what is read of it.
 *
 * In what is queued for sending (SCM_RIGHTS) they are duplicated when the message is queued, since
 * the caller may close its own at once, and closed when it was sent or will not be. In what was
 * received, and nobody takes, they are closed: SCM_RIGHTS brings the sender's, SCM_PIDFD makes one
 * for the sender's process. Linux has no other control messages that carry something to be given
 * back.
 */
#include "socket/control.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum
{
    CONTROL_MAX_RIGHTS = 253, /* the kernel's SCM_MAX_FD */
};

/* What is left of control data. */
struct rest
{
    const uint8_t* data;
    size_t size;
};

/* The header of the next entry, and its data; NULL: what is left is none. As the kernel goes
 * through it: CMSG_NXTHDR of some C libraries (older glibc) does not see a last entry that is not
 * filled up to the alignment. */
static const uint8_t* takeEntry(struct rest* rest, struct cmsghdr* entry)
{
    if (rest->size < sizeof(*entry))
        return NULL;
    const uint8_t* start = rest->data;
    memcpy(entry, start, sizeof(*entry)); /* behind a name of any length nothing is aligned */
    if (entry->cmsg_len < CMSG_LEN(0) || entry->cmsg_len > rest->size)
        return NULL;
    size_t length = CMSG_ALIGN(entry->cmsg_len) < rest->size ? CMSG_ALIGN(entry->cmsg_len)
                                                             : rest->size;
    rest->data += length;
    rest->size -= length;
    return start + CMSG_LEN(0);
}

/* ---- what is sent ---- */

static int eachHandle(uint8_t* data, size_t size, int (*function)(int* handle, void* closure),
                      void* closure)
{
    for (size_t offset = 0; offset + sizeof(int) <= size; offset += sizeof(int)) {
        int handle;
        memcpy(&handle, data + offset, sizeof(handle));
        int result = function(&handle, closure);
        if (result < 0)
            return result;
        memcpy(data + offset, &handle, sizeof(handle));
    }
    return 0;
}

/* Walks the descriptors in control data; each may be changed in place. Stops at the first error. */
static int eachRight(void* control, size_t size, int (*function)(int* handle, void* closure),
                     void* closure)
{
    struct rest rest = {.data = control, .size = size};
    struct cmsghdr entry;
    const uint8_t* data;
    while ((data = takeEntry(&rest, &entry)) != NULL) {
        if (entry.cmsg_level != SOL_SOCKET || entry.cmsg_type != SCM_RIGHTS)
            continue;
        uint8_t* handles = (uint8_t*)control + (data - (const uint8_t*)control);
        int result = eachHandle(handles, entry.cmsg_len - CMSG_LEN(0), function, closure);
        if (result < 0)
            return result;
    }
    /* Nothing beyond what is an entry is ours to read or to close. */
    return rest.size < sizeof(entry) ? 0 : -EINVAL;
}

struct rights
{
    int handles[CONTROL_MAX_RIGHTS];
    size_t count;
};

static int checkRight(int* handle, void* closure)
{
    struct rights* rights = closure;
    if (rights->count++ == CONTROL_MAX_RIGHTS)
        return -EINVAL;
    return fcntl(*handle, F_GETFD) < 0 ? -EBADF : 0;
}

static int duplicateRight(int* handle, void* closure)
{
    struct rights* rights = closure;
    *handle = fcntl(*handle, F_DUPFD_CLOEXEC, 0);
    if (*handle < 0)
        return -errno;
    rights->handles[rights->count++] = *handle;
    return 0;
}

static int closeRight(int* handle, void* closure)
{
    (void)closure;
    close(*handle);
    return 0;
}

void FastControlCloseRights(void* control, size_t size)
{
    (void)eachRight(control, size, closeRight, NULL);
}

/* All are looked at before the first is duplicated, since a duplicate may take the number of a
 * closed one. */
int FastControlDuplicateRights(void* control, size_t size)
{
    struct rights rights = {.count = 0};
    int result = eachRight(control, size, checkRight, &rights);
    if (result < 0)
        return result;
    rights.count = 0;
    result = eachRight(control, size, duplicateRight, &rights);
    while (result < 0 && rights.count > 0)
        close(rights.handles[--rights.count]);
    return result;
}

/* ---- received ---- */

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04 /* newer than Debian 12's headers */
#endif

static void closeHandles(const uint8_t* data, size_t size)
{
    for (size_t offset = 0; offset + sizeof(int) <= size; offset += sizeof(int)) {
        int handle;
        memcpy(&handle, data + offset, sizeof(handle));
        if (handle >= 0) /* in SCM_PIDFD a negative number tells why there is none */
            close(handle);
    }
}

void FastControlCloseReceived(const void* control, size_t size)
{
    struct rest rest = {.data = control, .size = size};
    struct cmsghdr entry;
    const uint8_t* data;
    while ((data = takeEntry(&rest, &entry)) != NULL)
        if (entry.cmsg_level == SOL_SOCKET &&
            (entry.cmsg_type == SCM_RIGHTS || entry.cmsg_type == SCM_PIDFD))
            closeHandles(data, entry.cmsg_len - CMSG_LEN(0));
}

/* ---- joined datagrams ---- */

size_t FastControlFindSegment(const void* control, size_t size, bool* others)
{
    struct rest rest = {.data = control, .size = size};
    struct cmsghdr entry;
    const uint8_t* data;
    int segment = 0;
    while ((data = takeEntry(&rest, &entry)) != NULL)
        if (entry.cmsg_level == IPPROTO_UDP && entry.cmsg_type == UDP_GRO &&
            entry.cmsg_len >= CMSG_LEN(sizeof(segment)))
            memcpy(&segment, data, sizeof(segment));
        else
            *others = true;
    return segment > 0 ? (size_t)segment : 0;
}

/* ---- records ---- */

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

bool FastControlNamesRecord(const void* control, size_t size)
{
    struct cmsghdr first;
    if (size < sizeof(first))
        return false;
    memcpy(&first, control, sizeof(first));
    return first.cmsg_level == SOL_TLS;
}
