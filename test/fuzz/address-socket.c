/*
 * Sockets of the simulated kernel that send to any address: bytes of all families and of none, in
 * memory of exactly their length, and lengths that none has. What is refused is compared with what
 * the header says; what is accepted goes out once, to the address that it was given, and in the
 * order of its destination.
 */
#include "address-socket.h"

#include "kernel.h"
#include "memory-file.h"
#include "memory-handle.h"
#include "pattern.h"
#include "schedule.h"

#include <Ring/FastSocket.h>
#include <errno.h>
#include <liburing.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum
{
    SENDS = 64,
    STEPS = 60,
    SIZE_LEAST = sizeof(uint32_t), /* its number */
    SIZE_MOST = 300,
    NAME_MOST = sizeof(struct sockaddr_storage),
    QUIET_TURNS = 2000,
};

/* A length, and as many bytes of it as there are. */
struct Name
{
    bool none; /* NULL */
    socklen_t length;
    uint8_t bytes[NAME_MOST];
};

/* Where a name says that it is, for the order. */
struct Place
{
    bool known;
    bool named;
    uint8_t address[16];
    in_port_t port;
};

struct Send
{
    struct Name name;
    struct Place place;
    size_t size;
    bool accepted;
    bool tried;
    bool sent;
};

static struct
{
    const struct FastSystemFunctions* below;
    struct FastSystemFunctions functions;
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastSocket* socket;
    struct MemoryFile* peer;
    int handle;
    enum MemoryKind kind;
    uint32_t count;
    struct Send sends[SENDS];
} state;

/* ---- names ---- */

/* Of a few destinations, so that some are alike. */
static void drawInternet4(struct Name* name, struct Chance* chance)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = (in_port_t)draw(chance, 3),
        .sin_addr.s_addr = draw(chance, 3),
    };

    memset(address.sin_zero, (int)draw(chance, 2), sizeof(address.sin_zero));
    memcpy(name->bytes, &address, sizeof(address));
    name->length = sizeof(address);
}

static void drawInternet6(struct Name* name, struct Chance* chance)
{
    struct sockaddr_in6 address = {
        .sin6_family = AF_INET6,
        .sin6_port = (in_port_t)draw(chance, 3),
        .sin6_flowinfo = draw(chance, 2),
    };

    address.sin6_addr.s6_addr[12] = (uint8_t)draw(chance, 3);
    if (draw(chance, 2) == 0)
        memset(address.sin6_addr.s6_addr + 10, UINT8_MAX, 2); /* one of version 4 */
    memcpy(name->bytes, &address, sizeof(address));
    name->length = sizeof(address);
}

static void drawOther(struct Name* name, struct Chance* chance)
{
    struct sockaddr_un address = {.sun_family = (sa_family_t)draw(chance, UINT16_MAX)};

    if (draw(chance, 2) == 0)
        address.sun_family = AF_UNIX;
    address.sun_path[0] = (char)draw(chance, UINT8_MAX + 1);
    address.sun_path[1] = 'x';
    memcpy(name->bytes, &address, sizeof(address));
    name->length = draw(chance, NAME_MOST + 1);
}

static socklen_t drawLength(socklen_t right, struct Chance* chance)
{
    static const socklen_t lengths[] = {
        0, 1, 2, 3, 15, 16, 17, 27, 28, 29, 110, 127, 128, 129, 256, 65535, 65536,
        INT_MAX, (socklen_t)INT_MAX + 1, UINT32_MAX - 1, UINT32_MAX};

    if (draw(chance, 3) > 0)
        return right;
    return lengths[draw(chance, sizeof(lengths) / sizeof(lengths[0]))];
}

static void drawName(struct Name* name, struct Chance* chance)
{
    memset(name, 0, sizeof(*name));
    switch (draw(chance, 6)) {
    case 0:
        name->none = true;
        break;
    case 1:
        drawOther(name, chance);
        break;
    case 2:
    case 3:
        drawInternet6(name, chance);
        break;
    default:
        drawInternet4(name, chance);
        break;
    }
    name->length = drawLength(name->length, chance);
}

static struct Place placeOf(const struct Name* name)
{
    struct Place place = {.named = !name->none && name->length > 0};
    sa_family_t family;

    memcpy(&family, name->bytes, sizeof(family));
    place.known = !place.named;
    if (place.known)
        return place;
    if (family == AF_INET && name->length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in address;
        memcpy(&address, name->bytes, sizeof(address));
        place.known = true;
        memset(place.address + 10, UINT8_MAX, 2);
        memcpy(place.address + 12, &address.sin_addr, 4);
        place.port = address.sin_port;
    } else if (family == AF_INET6 && name->length >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 address;
        memcpy(&address, name->bytes, sizeof(address));
        place.known = true;
        memcpy(place.address, &address.sin6_addr, 16);
        place.port = address.sin6_port;
    }
    return place;
}

/* Whether what is sent to one keeps the order of what is sent to the other. */
static bool isOrdered(const struct Place* one, const struct Place* other)
{
    bool apart = state.kind == MEMORY_UDP && one->known && other->known &&
                 one->named == other->named;

    return !apart || (one->port == other->port &&
                      memcmp(one->address, other->address, sizeof(one->address)) == 0);
}

/* ---- the kernel's side ---- */

/* As the kernel says of an address of UDP. */
static int judge(const struct msghdr* message)
{
    sa_family_t family;

    if (state.kind != MEMORY_UDP || message->msg_namelen == 0)
        return 0;
    if (message->msg_namelen < sizeof(struct sockaddr_in))
        return -EINVAL;
    memcpy(&family, message->msg_name, sizeof(family));
    return family == AF_INET || family == AF_INET6 ? 0 : -EAFNOSUPPORT;
}

static void checkName(const struct Send* send, const struct msghdr* message)
{
    const struct Name* name = &send->name;
    socklen_t length = name->none ? 0 : name->length;

    if (message->msg_namelen != length ||
        (length > 0 && memcmp(message->msg_name, name->bytes, length) != 0))
        wrong("a message goes to an address of %u bytes, not of %u, or to another",
              message->msg_namelen, length);
}

static void checkOrder(const struct Send* send)
{
    for (const struct Send* before = state.sends; before < send; before++)
        if (before->accepted && !before->tried && isOrdered(&before->place, &send->place))
            wrong("message %d goes before message %d", (int)(send - state.sends),
                  (int)(before - state.sends));
}

static void noteSend(const uint8_t* data, size_t size, const struct msghdr* message, int result)
{
    uint32_t number = UINT32_MAX;

    if (size >= SIZE_LEAST)
        memcpy(&number, data, sizeof(number));
    if (number >= state.count)
        wrong("%zu bytes are sent that nobody has given", size);
    struct Send* send = &state.sends[number];
    if (!send->accepted || send->sent)
        wrong("message %u is sent that was not accepted, or once more", number);
    if (size != send->size || !checkPattern(data + SIZE_LEAST, size - SIZE_LEAST, number * 1000))
        wrong("message %u has %zu bytes, not %zu, or others", number, size, send->size);
    checkName(send, message);
    checkOrder(send);
    send->tried = true;
    send->sent = result >= 0;
}

static size_t segmentOf(const struct msghdr* message)
{
    struct cmsghdr header;
    uint16_t segment;

    if (message->msg_control == NULL || message->msg_controllen == 0)
        return SIZE_MAX;
    memcpy(&header, message->msg_control, sizeof(header));
    if (header.cmsg_level != IPPROTO_UDP || header.cmsg_type != UDP_SEGMENT)
        wrong("control data that nobody has given");
    memcpy(&segment, (const uint8_t*)message->msg_control + CMSG_LEN(0), sizeof(segment));
    return segment;
}

/* What was tried and not sent is tried again, or is lost: the errno was its own. */
static ssize_t sendMessage(struct FastSystem* system, int handle, const struct msghdr* message,
                           int flags)
{
    static uint8_t data[1 << 17];
    size_t segment = segmentOf(message);
    size_t size = 0;

    if (handle != state.handle)
        return state.below->sendMessage(system, handle, message, flags);
    if (happens(FAULT_ERRNO)) {
        memoryWakes(handleFile(handle), POLLOUT);
        return -EAGAIN;
    }
    int result = judge(message);
    for (size_t index = 0; index < message->msg_iovlen; index++) {
        if (message->msg_iov[index].iov_len > 0)
            memcpy(data + size, message->msg_iov[index].iov_base, message->msg_iov[index].iov_len);
        size += message->msg_iov[index].iov_len;
    }
    for (size_t done = 0; done < size; done += segment < size - done ? segment : size - done)
        noteSend(data + done, segment < size - done ? segment : size - done, message, result);
    return result < 0 ? result : (ssize_t)size;
}

/* ---- what is transmitted ---- */

/* As Ring/FastSocket.h says. What an operation has no address for, it has none of. */
static int expectedOf(const struct Name* name, bool operation)
{
    if (name->none)
        return name->length == 0 || operation ? 0 : -EINVAL;
    if (name->length > NAME_MOST || name->length == 1)
        return -EINVAL;
    return name->length == 0 || state.kind != MEMORY_RECORDS ? 0 : -EISCONN;
}

/* No longer than it is, or than there are bytes of it. */
static size_t memoryOf(const struct Name* name)
{
    return name->length <= NAME_MOST ? name->length : 1;
}

static struct sockaddr* copyName(const struct Name* name, uint8_t** block)
{
    size_t size = memoryOf(name);

    *block = makeBlock(size);
    memcpy(*block, name->bytes, size);
    return name->none ? NULL : (struct sockaddr*)(uintptr_t)*block;
}

static int transmitMessage(struct sockaddr* address, const struct Send* send, uint8_t* data)
{
    size_t first = send->size / 3;
    struct iovec vector[] = {{data, first}, {data + first, send->size - first}};
    struct msghdr message = {
        .msg_name = address,
        .msg_namelen = send->name.length,
        .msg_iov = vector,
        .msg_iovlen = 2,
    };

    return TransmitFastSocketMessage(state.socket, &message, 0);
}

static int transmitBuffer(const struct sockaddr* address, const struct Send* send,
                          const uint8_t* data)
{
    struct FastBuffer* buffer = AllocateFastBuffer(state.pool, send->size, 0);

    if (buffer == NULL)
        return -ENOMEM;
    memcpy(GetFastBufferData(buffer), data, send->size);
    return TransmitFastSocketBuffer(state.socket, address, send->name.length, buffer, 0,
                                    send->size, 0);
}

/* What an operation points to lies in its buffer. */
struct Parts
{
    struct msghdr header;
    struct iovec vector;
    uint8_t name[NAME_MOST];
    uint8_t data[SIZE_MOST];
};

static void prepareSend(struct io_uring_sqe* entry, struct Parts* parts, const struct Send* send,
                        bool message)
{
    void* name = send->name.none ? NULL : parts->name;

    memcpy(parts->name, send->name.bytes, sizeof(parts->name));
    parts->vector = (struct iovec){parts->data, send->size};
    parts->header = (struct msghdr){
        .msg_name = name,
        .msg_namelen = send->name.length,
        .msg_iov = &parts->vector,
        .msg_iovlen = 1,
    };
    if (message) {
        io_uring_prep_sendmsg(entry, state.handle, &parts->header, 0);
        return;
    }
    io_uring_prep_send(entry, state.handle, parts->data, send->size, 0);
    entry->addr2 = (uintptr_t)name;
    entry->addr_len = (uint16_t)send->name.length;
}

static int transmitOperation(const struct Send* send, const uint8_t* data, bool message)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(state.ring, NULL, NULL);
    struct FastBuffer* buffer = AllocateFastBuffer(state.pool, sizeof(struct Parts), 0);

    if (descriptor == NULL || buffer == NULL) {
        ReleaseFastRingDescriptor(descriptor);
        ReleaseFastBuffer(buffer);
        return -ENOMEM;
    }
    struct Parts* parts = (struct Parts*)(uintptr_t)GetFastBufferData(buffer);
    memcpy(parts->data, data, send->size);
    prepareSend(GetFastRingDescriptorSubmission(descriptor), parts, send, message);
    return TransmitFastSocketDescriptor(state.socket, descriptor, buffer);
}

static int transmitIn(uint32_t form, const struct Send* send, uint8_t* data)
{
    uint8_t* block;
    struct sockaddr* address = copyName(&send->name, &block);
    int result;

    switch (form) {
    case 0:
        result = transmitMessage(address, send, data);
        break;
    case 1:
        result = transmitBuffer(address, send, data);
        break;
    case 2:
    case 3:
        result = transmitOperation(send, data, form == 2);
        break;
    default:
        result = TransmitFastSocketData(state.socket, address, send->name.length, data,
                                        send->size, 0);
        break;
    }
    memset(block, UINT8_MAX, memoryOf(&send->name)); /* it is the caller's again */
    free(block);
    return result;
}

static void transmit(struct Chance* chance)
{
    static uint8_t data[SIZE_MOST];
    struct Send* send = &state.sends[state.count];
    uint32_t form = draw(chance, 8);

    if (state.count == SENDS)
        return;
    memset(send, 0, sizeof(*send));
    drawName(&send->name, chance);
    if (form == 3)
        send->name.length = (uint16_t)send->name.length; /* the entry has no more bits */
    send->size = SIZE_LEAST + draw(chance, SIZE_MOST - SIZE_LEAST + 1);
    send->place = placeOf(&send->name);
    send->place.known &= form != 2 && form != 3; /* an operation keeps its place among all */
    memcpy(data, &state.count, sizeof(state.count));
    fillPattern(data + SIZE_LEAST, send->size - SIZE_LEAST, state.count * 1000);
    send->accepted = true;
    uint32_t number = state.count++;
    int expected = expectedOf(&send->name, form == 2 || form == 3);
    int result = transmitIn(form, send, data);
    tell("message %u of %zu bytes in form %u, with an address of %u%s: %d", number, send->size,
         form, send->name.length, send->name.none ? " (NULL)" : "", result);
    if (result != expected && (result != -ENOMEM || run->calm))
        wrong("a transmit with an address of %u bytes gives %d, not %d", send->name.length, result,
              expected);
    send->accepted = result == 0;
}

/* ---- the socket ---- */

static void openFiles(struct Chance* chance)
{
    static const enum MemoryKind kinds[] = {
        MEMORY_RECORDS,
        MEMORY_LOCAL_DATAGRAMS,
        MEMORY_UDP,
        MEMORY_UDP,
    };

    state.kind = kinds[draw(chance, 4)];
    struct MemoryFile* ours = memoryOpen(state.kind, MEMORY_BYTES / 2);
    state.peer = memoryOpen(state.kind, MEMORY_BYTES / 2);
    memoryJoin(ours, state.peer);
    state.handle = handleOpen(ours);
}

static void makeSocket(struct Chance* chance)
{
    uint32_t limit = draw(chance, 4);

    state.pool = CreateFastBufferPool(state.ring);
    if (state.pool == NULL)
        return;
    state.provider = CreateFastRingBufferProvider(state.ring, 0, 4, 256, AllocateRingFastBuffer,
                                                  state.pool);
    if (state.provider == NULL)
        return;
    state.socket = CreateFastSocket(state.ring, state.provider, state.pool, state.pool,
                                    state.handle, NULL, 0, 0, limit, NULL, NULL);
    if (state.socket == NULL && errno != ENOMEM)
        wrong("CreateFastSocket: %s", strerror(errno));
}

/* What was accepted is sent, or was tried and is not possible. */
static void awaitAll(void)
{
    becomeCalm();
    for (int turn = 0; GetFastSocketOutboundLength(state.socket) > 0; turn++) {
        if (turn == QUIET_TURNS)
            wrong("%zu bytes are never sent", GetFastSocketOutboundLength(state.socket));
        runTurns(state.ring, 1);
    }
    for (uint32_t index = 0; index < state.count; index++)
        if (state.sends[index].accepted && !state.sends[index].tried)
            wrong("message %u was never tried", index);
}

static void closeAll(struct Chance* chance)
{
    if (state.socket != NULL && draw(chance, 4) > 0)
        awaitAll();
    if (state.socket != NULL)
        ReleaseFastSocket(state.socket);
    else
        (void)handleClose(state.handle);
    memoryDrop(state.peer);
    ReleaseFastRingBufferProvider(state.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(state.pool);
    if (state.ring != NULL)
        closeRing(state.ring);
}

void sendToAddresses(struct Chance* chance)
{
    memset(&state, 0, sizeof(state));
    openFiles(chance);
    state.below = systemFunctions();
    state.functions = *state.below;
    state.functions.sendMessage = sendMessage;
    state.ring = openRing(&state.functions);
    if (state.ring != NULL)
        makeSocket(chance);
    for (uint32_t number = 1; number <= STEPS && state.socket != NULL && !scheduleIsOver();
         number++) {
        beginStep(number);
        if (draw(chance, 4) == 0)
            runTurns(state.ring, 1 + draw(chance, 3));
        else
            transmit(chance);
    }
    closeAll(chance);
}
