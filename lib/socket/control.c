/*
 * Descriptors in control data.
 *
 * In what is queued for sending (SCM_RIGHTS) they are duplicated when the message is queued, since the
 * caller may close its own at once, and closed when it was sent or will not be. In what was received,
 * and nobody takes, they are closed: SCM_RIGHTS brings the sender's, SCM_PIDFD makes one for the
 * sender's process. Linux has no other control messages that carry something to be given back.
 */
#include "socket/item.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum
{
    CONTROL_MOST_RIGHTS = 253, /* the kernel's SCM_MAX_FD */
};

/* Walks the descriptors in control data; each may be changed in place. Stops at the first error. */
static int eachRight(struct FastItem* item, int (*function)(int* handle, void* closure), void* closure)
{
    struct msghdr message = {.msg_control = item->control, .msg_controllen = item->controlLength};
    for (struct cmsghdr* entry = CMSG_FIRSTHDR(&message); entry != NULL;
         entry = CMSG_NXTHDR(&message, entry)) {
        size_t left = item->controlLength - (size_t)((uint8_t*)entry - (uint8_t*)item->control);
        if (entry->cmsg_len < CMSG_LEN(0) || entry->cmsg_len > left)
            return -EINVAL; /* nothing beyond the copy is ours to read or to close */
        if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t offset = 0; offset + sizeof(int) <= entry->cmsg_len - CMSG_LEN(0); offset += sizeof(int)) {
            int handle;
            memcpy(&handle, CMSG_DATA(entry) + offset, sizeof(handle));
            int result = function(&handle, closure);
            if (result < 0)
                return result;
            memcpy(CMSG_DATA(entry) + offset, &handle, sizeof(handle));
        }
    }
    return 0;
}

struct rights
{
    int handles[CONTROL_MOST_RIGHTS];
    size_t count;
};

static int checkRight(int* handle, void* closure)
{
    struct rights* rights = closure;
    if (rights->count++ == CONTROL_MOST_RIGHTS)
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

void FastItemCloseRights(struct FastItem* item)
{
    if (item->ownsRights)
        (void)eachRight(item, closeRight, NULL);
    item->ownsRights = false;
}

/* Duplicates the descriptors in copied control data, in place. On failure none is left open. All are
 * looked at before the first is duplicated, since a duplicate may take the number of a closed one. */
int FastItemDuplicateRights(struct FastItem* item)
{
    struct rights rights = {.count = 0};
    int result = eachRight(item, checkRight, &rights);
    if (result < 0)
        return result;
    rights.count = 0;
    result = eachRight(item, duplicateRight, &rights);
    while (result < 0 && rights.count > 0)
        close(rights.handles[--rights.count]);
    item->ownsRights = result == 0;
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

void FastControlCloseHandles(const uint8_t* control, size_t size)
{
    struct cmsghdr entry;
    while (size >= sizeof(entry)) {
        memcpy(&entry, control, sizeof(entry)); /* behind a name of any length nothing is aligned */
        if (entry.cmsg_len < CMSG_LEN(0) || entry.cmsg_len > size)
            return;
        if (entry.cmsg_level == SOL_SOCKET && (entry.cmsg_type == SCM_RIGHTS || entry.cmsg_type == SCM_PIDFD))
            closeHandles(control + CMSG_LEN(0), entry.cmsg_len - CMSG_LEN(0));
        size_t step = CMSG_ALIGN(entry.cmsg_len) < size ? CMSG_ALIGN(entry.cmsg_len) : size;
        control += step;
        size -= step;
    }
}
