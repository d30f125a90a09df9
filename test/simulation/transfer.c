/* What goes over a link, in both directions, at both ends. */
#include "world.h"

#include "memory-control.h"
#include "memory-system.h"
#include "pattern.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/socket.h>

enum
{
    PIECE = 4096,
    MOST_BYTES = 48 << 10,
    KEPT = 4,
};

/* Where the bytes of a direction begin. */
static uint64_t placeIn(const struct Link* link)
{
    return (uint64_t)link->number << 40;
}

static uint64_t placeOut(const struct Link* link)
{
    return (uint64_t)link->number << 40 | UINT64_C(1) << 39;
}

static bool isStream(const struct Link* link)
{
    return link->automaton.type == SOCK_STREAM;
}

/* Of messages; those that come in have others. */
static uint32_t numberOut(const struct Link* link)
{
    return link->number | 1 << 20;
}

/* ---- our input ---- */

static void takeBytes(struct Link* link, const uint8_t* data, size_t size)
{
    if (!checkPattern(data, size, placeIn(link) + link->taken))
        wrong("link %u: the bytes behind %llu are wrong", link->number,
              (unsigned long long)link->taken);
    link->taken += size;
}

static size_t roomOf(const struct Link* link)
{
    size_t headroom = link->headed ? 16 + 16 + 32 : 16;
    return world.providers[link->provider].length - headroom;
}

static void takeMessage(struct Link* link, const uint8_t* data, size_t size)
{
    checkMessage(&link->in, link->number, data, size, roomOf(link), false);
    link->taken++;
}

static ssize_t checkReceive(const struct Link* link, ssize_t result)
{
    if (result < 0 && result != -GetFastSocketError(link->socket))
        wrong("link %u: ReceiveFastSocketData gives %zd", link->number, result);
    return result;
}

static bool takeSomeBytes(struct Link* link, size_t most)
{
    static uint8_t data[PIECE];
    size_t size = most < PIECE ? most : PIECE;
    ssize_t result = checkReceive(link, ReceiveFastSocketData(link->socket, data, size, 0));

    if (result <= 0)
        return false;
    takeBytes(link, data, (size_t)result);
    return true;
}

/* Empty ones are told from none by their number. */
static bool takeOneMessage(struct Link* link)
{
    static uint8_t data[PIECE];
    struct FastSocketStatistics statistics;

    if (GetFastSocketStatistics(link->socket, &statistics, sizeof(statistics)) < 0 ||
        statistics.receivedMessages == link->taken)
        return false;
    ssize_t result = checkReceive(link, ReceiveFastSocketData(link->socket, data, PIECE, 0));
    if (result < 0)
        return false;
    takeMessage(link, data, (size_t)result);
    return true;
}

void takeInput(struct Link* link, size_t most)
{
    uint64_t before = link->taken;

    while (link->socket != NULL && link->taken - before < most)
        if (isStream(link) ? !takeSomeBytes(link, most - (size_t)(link->taken - before))
                           : !takeOneMessage(link))
            break;
}

void peekInput(struct Link* link, size_t size)
{
    static uint8_t data[PIECE];

    if (link->socket == NULL || !isStream(link))
        return;
    size = size < PIECE ? size : PIECE;
    ssize_t result =
        checkReceive(link, ReceiveFastSocketData(link->socket, data, size, MSG_PEEK));
    if (result > 0 && !checkPattern(data, (size_t)result, placeIn(link) + link->taken))
        wrong("link %u: the bytes that are peeked at are wrong", link->number);
}

/* What has ended, or failed, gives what is left. */
void takeWhole(struct Link* link, size_t size)
{
    static uint8_t data[PIECE];
    size_t unread = GetFastSocketInboundLength(link->socket);

    if (link->socket == NULL || !isStream(link))
        return;
    ssize_t result =
        checkReceive(link, ReceiveFastSocketData(link->socket, data, size, MSG_WAITALL));
    bool ends = link->peerEnded || link->broken != 0 || link->peer == NULL;
    if (result > 0 && (size_t)result != size && !(ends && (size_t)result == unread))
        wrong("link %u: of %zu bytes that are to be whole %zd come", link->number, size, result);
    if (result > 0)
        takeBytes(link, data, (size_t)result);
}

/* ---- buffers ---- */

struct Kept
{
    struct FastBuffer* buffer; /* NULL: none */
    const uint8_t* data;
    size_t size;
    uint64_t place;
};

static struct Kept keptBuffers[KEPT];

/* Descriptors that came are ours. */
static void closeRights(const uint8_t* control, size_t size)
{
    struct cmsghdr header;

    if (size < sizeof(header))
        return;
    memcpy(&header, control, sizeof(header));
    for (size_t place = CMSG_LEN(0); place + sizeof(int) <= header.cmsg_len; place += sizeof(int)) {
        int handle;
        memcpy(&handle, control + place, sizeof(handle));
        if (handleClose(handle) < 0)
            wrong("descriptor %d was passed, and is not open", handle);
    }
}

/* One that is kept is as it was until it is dropped. */
static void keepOrDrop(struct Link* link, struct FastBuffer* buffer, const uint8_t* data,
                       size_t size, uint64_t place)
{
    struct Kept* kept = &keptBuffers[size % KEPT];

    if (kept->buffer != NULL || !isStream(link)) {
        ReleaseFastBuffer(buffer);
        return;
    }
    *kept = (struct Kept){buffer, data, size, place};
}

void keepNothing(void)
{
    memset(keptBuffers, 0, sizeof(keptBuffers));
}

void dropKept(struct Chance* chance)
{
    for (int index = 0; index < KEPT; index++) {
        struct Kept* kept = &keptBuffers[index];
        if (kept->buffer == NULL || (chance != NULL && oneIn(chance, 2)))
            continue;
        if (!checkPattern(kept->data, kept->size, kept->place))
            wrong("a buffer that the user has was changed");
        ReleaseFastBuffer(kept->buffer);
        kept->buffer = NULL;
    }
}

static void takeBuffer(struct Link* link, struct FastBuffer* buffer)
{
    uint64_t place = placeIn(link) + link->taken;
    const uint8_t* data = GetFastBufferData(buffer);
    size_t size = GetFastBufferLength(buffer);

    if (link->headed) {
        const struct msghdr* header = GetFastSocketMessageHeader(link->socket);
        struct io_uring_recvmsg_out out;
        size_t front = sizeof(out) + header->msg_namelen + header->msg_controllen;
        memcpy(&out, data, sizeof(out));
        closeRights(data + sizeof(out) + header->msg_namelen, out.controllen);
        if (size < front)
            wrong("link %u: a buffer of %zu bytes without its header", link->number, size);
        data += front;
        size -= front;
    }
    if (isStream(link))
        takeBytes(link, data, size);
    else
        takeMessage(link, data, size);
    keepOrDrop(link, buffer, data, size, place);
}

void takeBuffers(struct Link* link)
{
    struct FastBuffer* buffer;

    while ((buffer = ReceiveFastSocketBuffer(link->socket)) != NULL)
        takeBuffer(link, buffer);
    if (errno != EAGAIN && !(errno == ENOMEM && run->odds[FAULT_MEMORY] > 0))
        wrong("link %u: ReceiveFastSocketBuffer: %s", link->number, strerror(errno));
}

/* ---- our output ---- */

static int checkTransmit(const struct Link* link, int result)
{
    bool over = link->broken != 0 || link->peer == NULL || link->shut || link->fatal != 0;
    bool allowed = result == 0 || ((result == -ENOMEM || result == -EMFILE) && !run->calm) ||
                   (result == -EINVAL && !link->sends) || (result == -EPIPE && over);

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

static bool passesFiles(const struct Link* link)
{
    return link->kind != MEMORY_TCP && link->kind != MEMORY_UDP;
}

/* Files that nobody else has. */
static uint32_t openFiles(struct MemoryFile** files, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++)
        files[index] = memoryOpen(MEMORY_PIPE, 1);
    return count;
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

    (void)openFiles(files, count);
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

    if (passesFiles(link) && size > 0 && oneIn(chance, 2))
        return transmitFiles(link, &message, 1 + draw(chance, MEMORY_RIGHTS));
    return TransmitFastSocketMessage(link->socket, &message, 0);
}

/* With its address, or without: it is the same peer. */
static int transmitData(struct Link* link, struct Chance* chance, const uint8_t* data, size_t size)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int flags = isStream(link) && oneIn(chance, 8) ? MSG_MORE : 0;

    if (link->kind == MEMORY_UDP && link->peer != NULL && oneIn(chance, 2))
        length = controlName(&address, link->peer->port);
    return TransmitFastSocketData(link->socket, length > 0 ? (struct sockaddr*)&address : NULL,
                                  length, data, size, flags);
}

static int transmit(struct Link* link, struct Chance* chance, uint8_t* data, size_t size)
{
    switch (draw(chance, 4)) {
    case 0:
        return transmitBuffer(link, data, size);
    case 1:
        return transmitMessage(link, chance, data, size);
    default:
        return transmitData(link, chance, data, size);
    }
}

int transmitOf(struct Link* link, struct Chance* chance, size_t size)
{
    static uint8_t data[MOST_BYTES];

    if (link->socket == NULL)
        return -EINVAL;
    if (isStream(link)) {
        size = size < MOST_BYTES ? size : MOST_BYTES;
        fillPattern(data, size, placeOut(link) + link->accepted);
    } else {
        size = makeMessage(data, &link->out, numberOut(link), size % (MESSAGE_MOST + 1));
    }
    int result = transmit(link, chance, data, size);
    tell("link %u: transmit of %zu gives %d", link->number, size, result);
    if (result == 0 && isStream(link))
        link->accepted += size;
    if (result < 0 && !isStream(link))
        dropMessage(&link->out);
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
    fillPattern(GetFastBufferData(buffer), size, placeOut(link) + link->accepted);
    io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), link->handle,
                       GetFastBufferData(buffer), size, 0);
    int result =
        checkTransmit(link, TransmitFastSocketDescriptor(link->socket, descriptor, buffer));
    if (result == 0)
        link->accepted += size;
}

void transmitOperation(struct Link* link, struct Chance* chance, size_t size)
{
    bool barrier = !isStream(link) || oneIn(chance, 2);

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

/* ---- the peer ---- */

static void noteArrived(struct Link* link, const uint8_t* data, size_t size)
{
    if (!isStream(link)) {
        checkMessage(&link->out, numberOut(link), data, size, SIZE_MAX, link->kind == MEMORY_UDP);
        link->arrived++;
        return;
    }
    if (!checkPattern(data, size, placeOut(link) + link->arrived))
        wrong("link %u: the peer's bytes behind %llu are wrong", link->number,
              (unsigned long long)link->arrived);
    link->arrived += size;
}

static bool readOnce(struct Link* link, size_t most)
{
    static uint8_t data[PIECE];
    struct MemoryExtra extra;
    struct iovec vector = {data, most < PIECE && isStream(link) ? most : PIECE};
    bool any = link->peer->queue.count > 0;
    ssize_t result = memoryReceive(link->peer, &vector, 1, false, &extra);

    for (uint32_t index = 0; index < extra.rights; index++)
        memoryDrop(extra.files[index]);
    if (result < 0 || !any)
        return false;
    noteArrived(link, data, (size_t)result);
    return true;
}

bool readAsPeer(struct Link* link, size_t most)
{
    uint64_t before = link->arrived;

    while (link->peer != NULL && link->arrived - before < most)
        if (!readOnce(link, most - (size_t)(link->arrived - before)))
            break;
    return link->arrived != before;
}

/* With files, now and then. */
static ssize_t sendAsPeer(struct Link* link, const uint8_t* data, size_t size)
{
    struct MemoryExtra extra = {.rights = 0};
    struct iovec vector = {(void*)(uintptr_t)data, size};

    if (passesFiles(link) && size % 3 == 1)
        extra.rights = openFiles(extra.files, 1 + (uint32_t)size % MEMORY_RIGHTS);
    ssize_t result = memorySend(link->peer, &vector, 1, &extra);
    for (uint32_t index = 0; index < extra.rights; index++)
        memoryDrop(extra.files[index]);
    return result;
}

static void writeBytes(struct Link* link, size_t size)
{
    static uint8_t data[MOST_BYTES];

    size = size < MOST_BYTES ? size : MOST_BYTES;
    fillPattern(data, size, placeIn(link) + link->written);
    ssize_t result = sendAsPeer(link, data, size);
    if (result > 0 && link->peer->peer != NULL)
        link->written += (size_t)result;
}

/* What has found no place is lost, by the network or by who sends it. */
static void writeMessage(struct Link* link, size_t size)
{
    static uint8_t data[MESSAGE_MOST];
    struct MemoryFile* ours = link->peer->peer;
    uint32_t before = ours != NULL ? ours->queue.count : 0;

    size = makeMessage(data, &link->in, link->number, size % (MESSAGE_MOST + 1));
    ssize_t result = sendAsPeer(link, data, size);
    if (result < 0 || ours == NULL || ours->queue.count == before)
        dropMessage(&link->in);
    else
        link->written++;
}

void writeAsPeer(struct Link* link, size_t size)
{
    if (link->peer == NULL || link->peerEnded || link->broken != 0 || link->connecting)
        return;
    tell("link %u: the peer writes %zu", link->number, size);
    if (isStream(link))
        writeBytes(link, size);
    else
        writeMessage(link, size);
}
