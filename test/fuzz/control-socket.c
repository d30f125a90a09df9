/*
 * A socket of the simulated kernel, of which each message that comes has control data, a length of
 * its name and flags that the input says. What the library hands out is compared with what came:
 * where a message lies, how long it is, and which descriptors are whose.
 */
#include "control-socket.h"

#include "kernel.h"
#include "memory-handle.h"
#include "pattern.h"
#include "schedule.h"

#include <Ring/FastSocket.h>
#include <errno.h>
#include <liburing.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

enum
{
    PLANS = 64,      /* messages on their way, and such as came and were not read */
    MESSAGES = 4096, /* of a stream, bytes that are either: each may come as one */
    STEPS = 60,
    BYTES = 900, /* of a message, at most */
    ROOM = 66 << 10,
    JOINED_ROOM = 256, /* what the library has for control data where none is asked for */
    NAME_MOST = sizeof(struct sockaddr_storage),
    SENT_HANDLES = MEMORY_RIGHTS,
};

/* What a message comes with. */
struct Plan
{
    struct Control control;
    uint64_t place;  /* in the pattern, of its bytes */
    uint32_t name;   /* its name's length, as it is told */
    uint32_t beyond; /* bytes that it had beside those that were sent, of one that is cut */
    int flags;
};

/* What came. */
struct Message
{
    uint64_t place; /* in the pattern */
    size_t stored;
    size_t real;
    size_t segment; /* of datagrams that were joined; 0: it is one */
    size_t read;    /* of these */
    struct io_uring_recvmsg_out header;
};

struct Queue
{
    uint32_t size;
    uint32_t first;
    uint32_t count;
};

static struct
{
    const struct FastSystemFunctions* below;
    struct FastSystemFunctions functions;
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    uint32_t length; /* of its buffers */
    struct FastSocket* socket;
    struct MemoryFile* peer;
    struct MemoryFile* passed; /* what descriptors that come are of */
    int handle;
    enum MemoryKind kind;
    bool headed;
    bool joins;
    bool paused;
    struct msghdr header;
    uint64_t written;
    uint64_t came;  /* of a stream */
    uint64_t taken; /* the same */
    struct Queue planned;
    struct Plan plans[PLANS];
    struct Queue unread;
    struct Message messages[MESSAGES];
} state;

static uint32_t push(struct Queue* queue)
{
    return (queue->first + queue->count++) % queue->size;
}

static uint32_t pop(struct Queue* queue)
{
    uint32_t place = queue->first;

    queue->first = (queue->first + 1) % queue->size;
    queue->count--;
    return place;
}

static bool isStream(void)
{
    return state.kind == MEMORY_LOCAL;
}

/* Where the kernel puts what the program does not see, nothing has descriptors. */
static bool passesHandles(void)
{
    return state.headed && !state.joins;
}

/* ---- the kernel's side ---- */

static size_t spaceOf(const struct msghdr* message)
{
    size_t size = 0;

    for (size_t index = 0; index < message->msg_iovlen; index++)
        size += message->msg_iov[index].iov_len;
    return size;
}

static size_t segmentOf(const struct msghdr* message)
{
    struct ControlRest rest = {.data = message->msg_control, .size = message->msg_controllen};
    struct ControlEntry entry;
    int segment = 0;

    while (takeControlEntry(&rest, &entry))
        if (entry.level == IPPROTO_UDP && entry.type == 104 && entry.size >= sizeof(int))
            segment = controlHandle(&entry, 0);
    return state.joins && segment > 0 ? (size_t)segment : 0;
}

/* A kernel fills no more than the room, and says of a name how long it was. */
static void fillMessage(struct msghdr* message, const struct Plan* plan)
{
    size_t room = message->msg_control != NULL ? message->msg_controllen : 0;
    size_t size = plan->control.size < room ? plan->control.size : room;

    if (size > 0)
        memcpy(message->msg_control, plan->control.bytes, size);
    if (passesHandles())
        installHandles(state.passed, message->msg_control, size);
    message->msg_controllen = size;
    message->msg_namelen = plan->name;
    message->msg_flags |= plan->flags;
}

static void noteMessage(const struct msghdr* message, uint64_t place, size_t size, size_t space)
{
    struct Message* note = &state.messages[push(&state.unread)];

    *note = (struct Message){
        .place = place,
        .stored = size < space ? size : space,
        .real = size,
        .segment = segmentOf(message),
        .header =
            {
                .namelen = message->msg_namelen,
                .controllen = (uint32_t)message->msg_controllen,
                .flags = (uint32_t)message->msg_flags,
            },
    };
    if (note->segment >= note->real)
        note->segment = 0;
}

static ssize_t receiveMessage(struct FastSystem* system, int handle, struct msghdr* message,
                              int flags)
{
    static const struct Plan plain;
    size_t room = message->msg_controllen;
    size_t space = spaceOf(message);

    ssize_t result = state.below->receiveMessage(system, handle, message, flags);
    if (result <= 0 || handle != state.handle)
        return result;
    size_t size = (size_t)result;
    const struct Plan* plan = state.planned.count > 0 ? &state.plans[pop(&state.planned)] : &plain;
    message->msg_controllen = room;
    fillMessage(message, plan);
    if (size > space)
        size += plan->beyond;
    if (state.socket != NULL)
        noteMessage(message, isStream() ? state.came : plan->place, size, space);
    state.came += size;
    return (ssize_t)size;
}

/* The library's duplicates are open until they were sent. */
static ssize_t sendMessage(struct FastSystem* system, int handle, const struct msghdr* message,
                           int flags)
{
    ssize_t result = state.below->sendMessage(system, handle, message, flags);

    if (result == -EBADF)
        wrong("a message is sent with a descriptor that is closed");
    return result;
}

/* ---- the peer ---- */

static int drawFlags(struct Chance* chance)
{
    static const int flags[] = {0, MSG_CTRUNC, MSG_TRUNC, MSG_ERRQUEUE, MSG_EOR, MSG_OOB};
    uint32_t which = draw(chance, 8);

    return which < 6 ? flags[which] : (int)draw(chance, UINT32_MAX);
}

/* Each byte of a stream may come as a message of its own, where a buffer has little room. */
static bool hasPlace(void)
{
    if (isStream() && state.written - state.taken + BYTES > MESSAGES)
        return false;
    return isStream() ? state.planned.count < PLANS
                      : state.planned.count + state.unread.count < PLANS;
}

static void writePlanned(struct Chance* chance)
{
    static uint8_t data[BYTES];
    struct iovec vector = {data, 1 + draw(chance, BYTES)};
    uint32_t before = state.peer->peer->queue.count;

    if (!hasPlace())
        return;
    struct Plan* plan = &state.plans[(state.planned.first + state.planned.count) % PLANS];
    drawControl(&plan->control, CONTROL_MOST, chance);
    plan->place = state.written;
    plan->name = draw(chance, NAME_MOST + 1);
    plan->beyond = draw(chance, 2) == 0 ? draw(chance, UINT16_MAX) : 0;
    plan->flags = drawFlags(chance);
    fillPattern(data, vector.iov_len, state.written);
    ssize_t result = memorySend(state.peer, &vector, 1, NULL);
    tell("%zu bytes are sent, with %zu of control data: %zd", vector.iov_len, plan->control.size,
         result);
    if (result <= 0)
        return;
    state.written += (uint64_t)result;
    if (state.peer->peer->queue.count > before && (state.headed || !isStream()))
        (void)push(&state.planned); /* not lost, nor behind others */
}

static void readAsPeer(void)
{
    static uint8_t data[MEMORY_BYTES];
    struct iovec vector = {data, sizeof(data)};
    struct MemoryExtra extra;

    while (memoryReceive(state.peer, &vector, 1, false, &extra) >= 0 && extra.size > 0)
        for (uint32_t index = 0; index < extra.rights; index++)
            memoryDrop(extra.files[index]);
}

/* ---- the reader ---- */

struct Piece
{
    uint64_t place;
    size_t stored;
    size_t real;
    bool last;
};

static struct Piece firstPiece(void)
{
    const struct Message* message = &state.messages[state.unread.first];
    size_t stored = message->stored - message->read;
    size_t real = message->real - message->read;
    size_t segment = message->segment > 0 ? message->segment : SIZE_MAX;

    return (struct Piece){
        .place = message->place + message->read,
        .stored = stored < segment ? stored : segment,
        .real = real < segment ? real : segment,
        .last = stored <= segment,
    };
}

static void dropPiece(const struct Piece* piece)
{
    if (piece->last)
        (void)pop(&state.unread);
    else
        state.messages[state.unread.first].read += piece->stored;
}

static void dropBytes(size_t size)
{
    state.taken += size;
    while (size > 0 && state.headed) {
        struct Message* message = &state.messages[state.unread.first];
        size_t left = message->stored - message->read;
        if (size < left) {
            message->read += size;
            return;
        }
        size -= left;
        (void)pop(&state.unread);
    }
}

static void checkBytes(const uint8_t* data, size_t size, uint64_t place)
{
    if (!checkPattern(data, size, place))
        wrong("%zu bytes from %llu on are others", size, (unsigned long long)place);
}

static void readStream(uint8_t* data, size_t size, bool peeks)
{
    size_t unread = GetFastSocketInboundLength(state.socket);
    size_t expected = unread < size ? unread : size;
    ssize_t result = ReceiveFastSocketData(state.socket, data, size, peeks ? MSG_PEEK : 0);

    if (result != (ssize_t)expected)
        wrong("a read of %zu gives %zd, with %zu unread", size, result, unread);
    checkBytes(data, expected, state.taken);
    if (!peeks)
        dropBytes(expected);
}

static void readMessage(uint8_t* data, size_t size, bool peeks, bool tells)
{
    struct Piece piece = firstPiece();
    size_t count = piece.stored < size ? piece.stored : size;
    int flags = (peeks ? MSG_PEEK : 0) | (tells ? MSG_TRUNC : 0);
    ssize_t result = ReceiveFastSocketData(state.socket, data, size, flags);

    if (result != (ssize_t)(tells ? piece.real : count))
        wrong("a read of %zu gives %zd, of a message of %zu, %zu of which are there", size, result,
              piece.real, piece.stored);
    checkBytes(data, count, piece.place);
    if (!peeks)
        dropPiece(&piece);
}

/* ---- buffers ---- */

static void closeTaken(uint8_t* data, size_t size)
{
    struct ControlRest rest = {.data = data, .size = size};
    struct ControlEntry entry;

    while (takeControlEntry(&rest, &entry))
        for (size_t index = 0; index < controlHandles(&entry, SCM_RIGHTS, SCM_PIDFD); index++) {
            int handle = controlHandle(&entry, index);
            if (handle >= 0 && handleClose(handle) < 0)
                wrong("descriptor %d of a buffer that was taken is closed", handle);
        }
}

static void checkHeader(const struct io_uring_recvmsg_out* header, const struct Piece* piece)
{
    const struct io_uring_recvmsg_out* expected = &state.messages[state.unread.first].header;
    uint32_t flags = expected->flags;
    uint32_t mask = state.joins ? ~(uint32_t)(MSG_TRUNC | MSG_CTRUNC) : UINT32_MAX;

    if (header->namelen != expected->namelen || (header->flags & mask) != (flags & mask))
        wrong("a header has a name of %u and flags %x, not %u and %x", header->namelen,
              header->flags, expected->namelen, flags);
    if (header->controllen != (state.joins ? 0 : expected->controllen))
        wrong("a header has %u bytes of control data", header->controllen);
    if (header->payloadlen != piece->stored)
        wrong("a header has %u bytes of payload, not %zu", header->payloadlen, piece->stored);
}

static void checkBuffer(struct FastBuffer* buffer, const struct Piece* piece)
{
    uint8_t* data = GetFastBufferData(buffer);
    struct io_uring_recvmsg_out header;
    size_t front = 0;

    if (state.headed)
        front = sizeof(header) + state.header.msg_namelen + state.header.msg_controllen;
    if (GetFastBufferLength(buffer) != front + piece->stored)
        wrong("a buffer has %zu bytes, not %zu", GetFastBufferLength(buffer),
              front + piece->stored);
    checkBytes(data + front, piece->stored, piece->place);
    if (!state.headed)
        return;
    memcpy(&header, data, sizeof(header));
    checkHeader(&header, piece);
    if (passesHandles())
        closeTaken(data + sizeof(header) + state.header.msg_namelen, header.controllen);
}

/* Without headers nobody knows where one receive has ended. */
static void checkChunk(struct FastBuffer* buffer)
{
    size_t length = GetFastBufferLength(buffer);

    checkBytes(GetFastBufferData(buffer), length, state.taken);
    dropBytes(length);
}

static void takeBuffer(void)
{
    bool plain = isStream() && !state.headed;
    struct Piece piece = plain ? (struct Piece){.last = true} : firstPiece();
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(state.socket);

    if (buffer == NULL && (errno != ENOMEM || run->calm))
        wrong("a buffer is not to be had: %s", strerror(errno));
    if (buffer == NULL)
        return;
    if (plain)
        checkChunk(buffer);
    else
        checkBuffer(buffer, &piece);
    ReleaseFastBuffer(buffer);
    if (!isStream())
        dropPiece(&piece);
    else if (!plain)
        dropBytes(piece.stored);
}

/* In memory of exactly the size. */
static void readOne(struct Chance* chance)
{
    uint32_t form = draw(chance, 6);
    size_t size = 1 + draw(chance, form == 0 ? 16 : 2 * BYTES);

    if (GetFastSocketInboundLength(state.socket) == 0)
        return;
    tell("%zu bytes are unread, read in form %u", GetFastSocketInboundLength(state.socket), form);
    if (form > 3) {
        takeBuffer();
        return;
    }
    uint8_t* data = makeBlock(size);
    if (isStream())
        readStream(data, size, form == 1);
    else
        readMessage(data, size, form == 1, form == 2);
    free(data);
}

/* ---- the sender ---- */

/* As the kernel would say of what is passed on; 0 or an errno. */
static int expectedOf(uint8_t* data, size_t size)
{
    struct ControlRest rest = {.data = data, .size = size};
    struct ControlEntry entry;

    while (takeControlEntry(&rest, &entry))
        for (size_t index = 0; index < controlHandles(&entry, SCM_RIGHTS, 0); index++)
            if (handleFile(controlHandle(&entry, index)) == NULL)
                return -EBADF;
    return rest.broken ? -EINVAL : 0;
}

/* Lengths that are no one's are refused unread. */
static void transmitAbsurd(struct msghdr* message, struct Chance* chance)
{
    static const size_t sizes[] = {65537, INT_MAX, UINT32_MAX, SIZE_MAX, SIZE_MAX / 2, 1};
    uint32_t which = draw(chance, 6);

    message->msg_controllen = sizes[which];
    if (which == 5)
        message->msg_control = NULL;
    int result = TransmitFastSocketMessage(state.socket, message, 0);
    if (result != -EINVAL)
        wrong("control data of %zu bytes gives %d", message->msg_controllen, result);
}

static void transmit(struct Chance* chance)
{
    static struct Control control;
    uint8_t data[] = {1, 2, 3};
    struct iovec vector = {data, sizeof(data)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes};

    if (draw(chance, 8) == 0) {
        transmitAbsurd(&message, chance);
        return;
    }
    drawControl(&control, CONTROL_MOST, chance);
    offerHandles(state.passed, control.bytes, control.size, SENT_HANDLES, chance);
    message.msg_controllen = control.size;
    int expected = expectedOf(control.bytes, control.size);
    int result = TransmitFastSocketMessage(state.socket, &message, 0);
    tell("%zu bytes of control data are transmitted: %d", control.size, result);
    bool lacks = !run->calm && (result == -ENOMEM || result == -EMFILE);
    if (result != expected && !lacks)
        wrong("a transmit with %zu bytes of control data gives %d, not %d", control.size, result,
              expected);
    withdrawHandles(control.bytes, control.size);
}

/* ---- the socket ---- */

static void openFiles(struct Chance* chance)
{
    static const enum MemoryKind kinds[] = {
        MEMORY_UDP,
        MEMORY_UDP,
        MEMORY_LOCAL_DATAGRAMS,
        MEMORY_RECORDS,
        MEMORY_LOCAL,
    };
    uint32_t which = draw(chance, 5);
    struct MemoryFile* ours = memoryOpen(kinds[which], MEMORY_BYTES / 2);

    state.kind = kinds[which];
    state.joins = which == 0;
    ours->joins = state.joins;
    state.peer = memoryOpen(state.kind, MEMORY_BYTES / 2);
    memoryJoin(ours, state.peer);
    ours->port = 1000;
    state.peer->port = 1001;
    state.handle = handleOpen(ours);
    state.passed = memoryOpen(MEMORY_EVENT, 8);
}

/* Room for name and control data, or none; sometimes more than there can be. */
static void drawHeader(struct Chance* chance)
{
    state.headed = draw(chance, 4) > 0;
    state.header = (struct msghdr){.msg_namelen = draw(chance, 3) * 8};
    if (draw(chance, 4) == 0)
        state.header.msg_namelen = draw(chance, NAME_MOST + 1);
    if (!state.joins)
        state.header.msg_controllen = draw(chance, CONTROL_MOST);
    if (draw(chance, 32) == 0)
        state.header.msg_namelen = 2 * UINT16_MAX + draw(chance, INT_MAX);
    if (draw(chance, 32) == 0 && !state.joins)
        state.header.msg_controllen = SIZE_MAX - draw(chance, UINT32_MAX);
}

static bool isPossible(void)
{
    const struct msghdr* header = &state.header;

    if (!state.headed)
        return true;
    return header->msg_namelen < state.length && header->msg_controllen < state.length &&
           sizeof(struct io_uring_recvmsg_out) + header->msg_namelen + header->msg_controllen <
               state.length;
}

static void makeSocket(struct Chance* chance)
{
    static const uint32_t lengths[] = {96, 256, 700, 2000};
    uint16_t count = (uint16_t)(1U << draw(chance, 4));

    state.length = state.joins ? ROOM : lengths[draw(chance, 4)];
    drawHeader(chance);
    state.provider = CreateFastRingBufferProvider(state.ring, 0, count, state.length,
                                                  AllocateRingFastBuffer, state.pool);
    if (state.provider == NULL)
        return;
    state.socket = CreateFastSocket(state.ring, state.provider, state.pool, state.pool,
                                    state.handle, state.headed ? &state.header : NULL, 0, 0, 0,
                                    NULL, NULL);
    tell("kind %d, header %d of %u and %zu, buffers of %u: %s", state.kind, state.headed,
         state.header.msg_namelen, state.header.msg_controllen, state.length,
         state.socket != NULL ? "a socket" : strerror(errno));
    if (state.socket != NULL && !isPossible())
        wrong("a header that has no room in a buffer is taken");
    if (state.socket == NULL && errno != (isPossible() ? ENOMEM : EINVAL) && errno != ENOMEM)
        wrong("CreateFastSocket: %s", strerror(errno));
}

static void step(struct Chance* chance)
{
    switch (draw(chance, 10)) {
    case 0:
        if (state.paused ? ResumeFastSocket(state.socket) == 0
                         : PauseFastSocket(state.socket) == 0)
            state.paused = !state.paused;
        break;
    case 1:
        (void)SetFastSocketOption(state.socket, FASTSOCKET_OPTION_INBOUND_HIGH,
                                  1 + draw(chance, UINT16_MAX));
        break;
    case 2:
        readAsPeer();
        break;
    case 3:
    case 4:
        transmit(chance);
        break;
    case 5:
        runTurns(state.ring, 1 + draw(chance, 3));
        break;
    case 6:
    case 7:
        readOne(chance);
        break;
    default:
        writePlanned(chance);
        break;
    }
}

/* What was not read goes with the socket, and so does what was not sent. */
static void closeAll(struct Chance* chance)
{
    struct FastSocket* socket = state.socket;

    state.socket = NULL;
    if (socket != NULL && draw(chance, 2) == 0)
        AbortFastSocket(socket);
    else if (socket != NULL)
        ReleaseFastSocket(socket);
    else
        (void)handleClose(state.handle);
    readAsPeer();
    memoryDrop(state.peer);
    memoryDrop(state.passed);
    ReleaseFastRingBufferProvider(state.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(state.pool);
    if (state.ring != NULL)
        closeRing(state.ring);
}

void useSocket(struct Chance* chance)
{
    memset(&state, 0, sizeof(state));
    state.planned.size = PLANS;
    state.unread.size = MESSAGES;
    openFiles(chance);
    state.below = systemFunctions();
    state.functions = *state.below;
    state.functions.receiveMessage = receiveMessage;
    state.functions.sendMessage = sendMessage;
    state.ring = openRing(&state.functions);
    if (state.ring != NULL)
        state.pool = CreateFastBufferPool(state.ring);
    if (state.pool != NULL)
        makeSocket(chance);
    for (uint32_t number = 1; number <= STEPS && state.socket != NULL && !scheduleIsOver();
         number++) {
        beginStep(number);
        step(chance);
    }
    closeAll(chance);
}
