/* What a user transmits, in all ways that there are. */
#include "world.h"

#include "memory-control.h"
#include "memory-handle.h"
#include "pattern.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/socket.h>

enum
{
    MOST_BYTES = 48 << 10,
};

static int checkTransmit(const struct Link* link, int result)
{
    bool over = link->broken != 0 || link->peer == NULL || link->shut || link->fatal != 0;
    bool allowed = result == 0 || ((result == -ENOMEM || result == -EMFILE) && !run->calm) ||
                   (result == -EINVAL && !link->sends) || (result == -EPIPE && over) ||
                   (result == -EAGAIN && link->limited);

    if (!allowed)
        wrong("link %u: a transmit gives %d", link->number, result);
    return result;
}

static int transmitBuffer(struct Link* link, const uint8_t* data, size_t size)
{
    size_t offset = size % 7;
    struct FastBuffer* buffer = AllocateFastBuffer(world.outbound, size + offset, 0);

    if (buffer == NULL)
        return -ENOMEM;
    memcpy(GetFastBufferData(buffer) + offset, data, size);
    return TransmitFastSocketBuffer(link->socket, NULL, 0, buffer, offset, size, 0);
}

/* Their descriptors are closed at once: the library has its own. */
static int transmitFiles(struct Link* link, struct msghdr* message, uint32_t count)
{
    struct MemoryFile* files[MEMORY_RIGHTS];
    int handles[MEMORY_RIGHTS];
    union
    {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(handles))];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(count * sizeof(int))}};
    int result = -EMFILE;

    (void)openPassed(files, count);
    for (uint32_t index = 0; index < count; index++)
        handles[index] = handleOpen(files[index]);
    memcpy(CMSG_DATA(&control.header), handles, count * sizeof(int));
    message->msg_control = &control;
    message->msg_controllen = CMSG_SPACE(count * sizeof(int));
    if (handles[count - 1] >= 0)
        result = TransmitFastSocketMessage(link->socket, message, 0);
    for (uint32_t index = 0; index < count; index++)
        if (handles[index] < 0)
            memoryDrop(files[index]);
        else
            (void)handleClose(handles[index]);
    return result;
}

static int transmitMessage(struct Link* link, struct Chance* chance, uint8_t* data, size_t size)
{
    size_t first = size / 3;
    struct iovec vector[] = {{data, first}, {data + first, 0}, {data + first, size - first}};
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = 3};

    if (linkPassesFiles(link) && size > 0 && oneIn(chance, 2))
        return transmitFiles(link, &message, 1 + draw(chance, MEMORY_RIGHTS));
    return TransmitFastSocketMessage(link->socket, &message, 0);
}

/* With the address of one of those that there are, or without. */
static socklen_t addressOf(const struct Link* link, const struct Messages* messages,
                           struct Chance* chance, struct sockaddr_storage* address)
{
    if (messages == &link->outSecond)
        return controlName(address, link->second->port);
    if (link->kind == MEMORY_UDP && link->peer != NULL && oneIn(chance, 2))
        return controlName(address, link->peer->port);
    return 0;
}

static int transmitData(struct Link* link, struct Chance* chance, const uint8_t* data, size_t size,
                        const struct Messages* messages)
{
    struct sockaddr_storage address;
    int flags = linkIsStream(link) && oneIn(chance, 8) ? MSG_MORE : 0;
    socklen_t length = addressOf(link, messages, chance, &address);

    return TransmitFastSocketData(link->socket, length > 0 ? (struct sockaddr*)&address : NULL,
                                  length, data, size, flags);
}

static int transmit(struct Link* link, struct Chance* chance, uint8_t* data, size_t size,
                    const struct Messages* messages)
{
    if (messages == &link->outSecond)
        return transmitData(link, chance, data, size, messages);
    switch (draw(chance, 4)) {
    case 0:
        return transmitBuffer(link, data, size);
    case 1:
        return transmitMessage(link, chance, data, size);
    default:
        return transmitData(link, chance, data, size, messages);
    }
}

int transmitOf(struct Link* link, struct Chance* chance, size_t size)
{
    static uint8_t data[MOST_BYTES];
    bool isSecond = link->second != NULL && oneIn(chance, 2);
    struct Messages* messages = isSecond ? &link->outSecond : &link->out;

    if (link->socket == NULL)
        return -EINVAL;
    if (linkIsStream(link)) {
        size = size < MOST_BYTES ? size : MOST_BYTES;
        fillPattern(data, size, linkPlaceOut(link) + link->accepted);
    } else {
        size = makeMessage(data, messages, linkNumberOut(link) + isSecond * SECOND,
                           size % (MESSAGE_MOST + 1));
    }
    int result = transmit(link, chance, data, size, messages);
    tell("link %u: transmit of %zu gives %d", link->number, size, result);
    if (result == 0 && linkIsStream(link))
        link->accepted += size;
    if (result < 0 && !linkIsStream(link))
        dropMessage(messages);
    noticeTransmit(link);
    return checkTransmit(link, result);
}

/* ---- operations in the order of the others ---- */

static int onOwn(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    struct Link* link = GetFastRingDescriptorClosure(descriptor);

    (void)completion;
    if (link->own == 0 || reason == FASTRING_REASON_INCOMPLETE)
        wrong("link %u: an operation of its own ends that was not transmitted", link->number);
    link->own--;
    return 0;
}

static void transmitBarrier(struct Link* link, struct FastRingDescriptor* descriptor)
{
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    link->own++;
    int result = checkTransmit(link, TransmitFastSocketDescriptor(link->socket, descriptor, NULL));
    link->own -= result != 0;
}

static void transmitSend(struct Link* link, struct FastRingDescriptor* descriptor, size_t size)
{
    struct FastBuffer* buffer = AllocateFastBuffer(world.outbound, size, 0);

    if (buffer == NULL) {
        ReleaseFastRingDescriptor(descriptor);
        return;
    }
    fillPattern(GetFastBufferData(buffer), size, linkPlaceOut(link) + link->accepted);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    void* data = GetFastBufferData(buffer);
    if (link->kind == MEMORY_PIPE)
        io_uring_prep_write(entry, link->handle, data, (unsigned)size, UINT64_MAX);
    else
        io_uring_prep_send(entry, link->handle, data, size, 0);
    int result =
        checkTransmit(link, TransmitFastSocketDescriptor(link->socket, descriptor, buffer));
    if (result == 0)
        link->accepted += size;
}

void transmitOperation(struct Link* link, struct Chance* chance, size_t size)
{
    bool barrier = !linkIsStream(link) || oneIn(chance, 2);

    if (link->socket == NULL)
        return;
    struct FastRingDescriptor* descriptor =
        AllocateFastRingDescriptor(world.ring, barrier ? onOwn : NULL, link);
    if (descriptor == NULL)
        return;
    tell("link %u: an operation of its own%s", link->number, barrier ? ", without bytes" : "");
    if (barrier)
        transmitBarrier(link, descriptor);
    else
        transmitSend(link, descriptor, size + 1);
}
