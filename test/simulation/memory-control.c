#include "memory-control.h"

#include "memory-system.h"
#include "schedule.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

/* ---- names ---- */

socklen_t controlName(void* name, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };

    memcpy(name, &address, sizeof(address));
    return sizeof(address);
}

uint16_t controlPort(const void* name, socklen_t length)
{
    struct sockaddr_in address;

    if (name == NULL || length < sizeof(address))
        return 0;
    memcpy(&address, name, sizeof(address));
    return ntohs(address.sin_port);
}

/* ---- descriptors in control data ---- */

/* What has no room, in the message or among the descriptors, is closed. */
static void giveHandles(struct msghdr* message, struct MemoryExtra* extra)
{
    int numbers[MEMORY_RIGHTS];
    uint32_t count = 0;
    size_t room = message->msg_control != NULL ? message->msg_controllen : 0;

    for (uint32_t index = 0; index < extra->rights; index++) {
        bool fits = CMSG_LEN((count + 1) * sizeof(int)) <= room;
        int number = fits ? handleOpen(extra->files[index]) : -EMFILE;
        if (number >= 0)
            numbers[count++] = number;
        else
            memoryDrop(extra->files[index]);
    }
    if (count < extra->rights)
        message->msg_flags |= MSG_CTRUNC;
    message->msg_controllen = 0;
    if (count == 0)
        return;
    struct cmsghdr header = {
        .cmsg_level = SOL_SOCKET,
        .cmsg_type = SCM_RIGHTS,
        .cmsg_len = CMSG_LEN(count * sizeof(int)),
    };
    memcpy(message->msg_control, &header, sizeof(header));
    memcpy((uint8_t*)message->msg_control + CMSG_LEN(0), numbers, count * sizeof(int));
    size_t used = CMSG_SPACE(count * sizeof(int));
    message->msg_controllen = used < room ? used : room;
}

/* As the kernel goes through it, which CMSG_NXTHDR does not in every C library: the last entry need
 * not be filled up. NULL: there is none behind offset, which moves on. */
static const uint8_t* nextEntry(const struct msghdr* message, size_t* offset,
                                struct cmsghdr* entry)
{
    size_t size = message->msg_control != NULL ? message->msg_controllen : 0;

    if (*offset >= size || size - *offset < sizeof(*entry))
        return NULL;
    const uint8_t* place = (const uint8_t*)message->msg_control + *offset;
    memcpy(entry, place, sizeof(*entry));
    if (entry->cmsg_len < CMSG_LEN(0) || entry->cmsg_len > size - *offset)
        return NULL;
    *offset += CMSG_ALIGN(entry->cmsg_len);
    return place + CMSG_LEN(0);
}

/* UDP_SEGMENT: the length of the datagrams that one send is; 0: it is one. */
static size_t segmentOf(const struct msghdr* message)
{
    struct cmsghdr entry;
    const uint8_t* data;
    size_t offset = 0;
    uint16_t size = 0;

    while ((data = nextEntry(message, &offset, &entry)) != NULL)
        if (entry.cmsg_level == IPPROTO_UDP && entry.cmsg_type == UDP_SEGMENT &&
            entry.cmsg_len >= CMSG_LEN(sizeof(size)))
            memcpy(&size, data, sizeof(size));
    return size;
}

static int takeHandles(const struct msghdr* message, struct MemoryExtra* extra)
{
    struct cmsghdr entry;
    const uint8_t* data;
    size_t offset = 0;

    while ((data = nextEntry(message, &offset, &entry)) != NULL) {
        if (entry.cmsg_level != SOL_SOCKET || entry.cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (entry.cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < count; index++) {
            int number;
            memcpy(&number, data + index * sizeof(int), sizeof(int));
            struct MemoryFile* file = handleFile(number);
            if (file == NULL)
                return -EBADF;
            if (extra->rights == MEMORY_RIGHTS)
                wrong("a message with more descriptors than were given");
            extra->files[extra->rights++] = file;
        }
    }
    return 0;
}

/* ---- messages ---- */

ssize_t controlReceive(struct MemoryFile* file, struct msghdr* message, int flags)
{
    struct MemoryExtra extra;
    ssize_t result = memoryReceive(file, message->msg_iov, message->msg_iovlen, flags & MSG_PEEK,
                                   &extra);

    if (result < 0)
        return result;
    message->msg_flags = extra.cut ? MSG_TRUNC : 0;
    if (message->msg_name != NULL && file->kind == MEMORY_UDP && message->msg_namelen > 0) {
        struct sockaddr_in address;
        socklen_t length = controlName(&address, extra.port);
        memcpy(message->msg_name, &address,
               length < message->msg_namelen ? length : message->msg_namelen);
        message->msg_namelen = length;
    } else {
        message->msg_namelen = 0;
    }
    giveHandles(message, &extra);
    return flags & MSG_TRUNC && memoryIsMessages(file) ? (ssize_t)extra.size : result;
}

/* One datagram after the other, of bytes that lie anywhere. */
static ssize_t sendSegments(struct MemoryFile* file, const struct msghdr* message, size_t each,
                            const struct MemoryExtra* extra)
{
    static uint8_t data[MEMORY_BYTES];
    size_t size = 0;

    for (size_t index = 0; index < message->msg_iovlen; index++) {
        const struct iovec* vector = &message->msg_iov[index];
        if (size + vector->iov_len > sizeof(data))
            return -EMSGSIZE;
        memcpy(data + size, vector->iov_base, vector->iov_len);
        size += vector->iov_len;
    }
    for (size_t done = 0; done < size; done += each) {
        struct iovec vector = {data + done, size - done < each ? size - done : each};
        ssize_t result = memorySend(file, &vector, 1, extra);
        if (result < 0 && done == 0)
            return result;
    }
    return (ssize_t)size;
}

ssize_t controlSend(struct MemoryFile* file, const struct msghdr* message, int flags)
{
    struct MemoryExtra extra = {.port = controlPort(message->msg_name, message->msg_namelen)};
    int result = takeHandles(message, &extra);
    size_t segment = segmentOf(message);

    (void)flags;
    if (result < 0)
        return result;
    if (segment > 0)
        return sendSegments(file, message, segment, &extra);
    return memorySend(file, message->msg_iov, message->msg_iovlen, &extra);
}
