/*
 * To be run under valgrind: what the kernel has written counts as written, and what it has not
 * does not.
 */
#include "fixture.h"

#include <liburing.h>
#include <netinet/in.h>
#include <valgrind/memcheck.h>

enum
{
    BUFFERS = 8,
    LENGTH = 512,
    WHOLE = 3 * LENGTH + 5,
};

static uint8_t data[WHOLE];

static bool isWritten(const void* memory, size_t length)
{
    uint8_t bits[WHOLE + LENGTH];
    ck_assert_uint_le(length, sizeof(bits));
    ck_assert_int_eq(VALGRIND_GET_VBITS(memory, bits, length), 1);
    for (size_t index = 0; index < length; index++) {
        if (bits[index] != 0)
            return false;
    }
    return true;
}

static void setUp(void)
{
    ck_assert_msg(RUNNING_ON_VALGRIND, "to be run under valgrind");
    sceneOpen(&scene, (struct SceneOptions){.buffers = BUFFERS, .bufferLength = LENGTH});
}

AREA(memory, "memory", .open = setUp, .close = closeScene);

static void forget(void)
{
    VALGRIND_MAKE_MEM_UNDEFINED(data, sizeof(data));
    ck_assert(!isWritten(data, 1));
}

/* §2.8 valgrind: received bytes are, those behind them are not */
CASE(memory, knowsWhatAStreamReceived)
{
    openPairWith(.kind = KIND_UNIX_STREAM, .mode = FASTSOCKET_MODE_REGULAR);
    sendText(scene.peer, "hello");
    waitInput(&scene.ours, 5);
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.ours.socket);
    ck_assert(isWritten(GetFastBufferData(buffer), 5));
    ck_assert(!isWritten(GetFastBufferData(buffer) + 5, 1));
    ReleaseFastBuffer(buffer);
}

/* §2.8 valgrind: each buffer of a bundle */
CASE(memory, knowsEveryBuffer)
{
    uint8_t sent[WHOLE];

    pairStream(scene.pair);
    fillPattern(sent, sizeof(sent), 0);
    sendAll(scene.peer, sent, sizeof(sent));
    openRecorded(&scene, scene.handle, NULL, FASTSOCKET_MODE_REGULAR, &scene.ours);
    waitInput(&scene.ours, sizeof(sent));
    forget();
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0), WHOLE);
    ck_assert(isWritten(data, sizeof(data)));
    ck_assert(checkPattern(data, sizeof(data), 0));
}

/* §2.8 valgrind: the kernel's header, the name and the bytes of a datagram */
CASE(memory, knowsAMessage)
{
    struct msghdr message = {.msg_namelen = sizeof(struct sockaddr_storage), .msg_controllen = 64};
    size_t before = sizeof(struct io_uring_recvmsg_out) + message.msg_namelen +
                    message.msg_controllen;

    openPairWith(.kind = KIND_UDP, .mode = FASTSOCKET_MODE_REGULAR, .message = &message);
    sendText(scene.peer, "hello");
    waitInput(&scene.ours, 1);
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.ours.socket);
    ck_assert(isWritten(GetFastBufferData(buffer),
                        sizeof(struct io_uring_recvmsg_out) + sizeof(struct sockaddr_in)));
    ck_assert(isWritten(GetFastBufferData(buffer) + before, 5));
    ck_assert(!isWritten(GetFastBufferData(buffer) + before + 5, 1));
    ReleaseFastBuffer(buffer);
}

static int completed;

static int noteCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                          int reason)
{
    (void)reason;
    ck_assert_ptr_nonnull(completion);
    ck_assert_int_eq(completion->res, 5);
    if (completion->flags & IORING_CQE_F_BUFFER) {
        struct FastRingBufferProvider* provider = GetFastRingDescriptorClosure(descriptor);
        const uint8_t* bytes = GetFastRingBuffer(provider, completion);
        ck_assert(isWritten(bytes, 5));
        ck_assert(!isWritten(bytes + 5, 1));
        ck_assert_int_eq(AdvanceFastRingBuffer(provider, completion, NULL, NULL), 0);
    }
    completed++;
    return 1;
}

static void runDescriptor(struct FastRingDescriptor* descriptor)
{
    completed = 0;
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    sendText(scene.peer, "hello");
    waitCount(scene.ring, &completed, 1);
}

/* §2.8 valgrind: what a program's own reads and receives have brought */
CASE(memory, knowsRawOperations)
{
    pairStream(scene.pair);
    struct FastRingDescriptor* descriptor =
        AllocateFastRingDescriptor(scene.ring, noteCompletion, scene.provider);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);

    forget();
    io_uring_prep_read(entry, scene.handle, data, sizeof(data), 0);
    runDescriptor(descriptor);
    ck_assert(isWritten(data, 5));
    ck_assert(!isWritten(data + 5, 1));
    forget();
    io_uring_prep_recv(entry, scene.handle, data, sizeof(data), 0);
    runDescriptor(descriptor);
    ck_assert(isWritten(data, 5));
    ck_assert(!isWritten(data + 5, 1));
    io_uring_prep_recv(entry, scene.handle, NULL, 0, 0);
    PrepareFastRingBuffer(scene.provider, entry);
    runDescriptor(descriptor);
    ReleaseFastRingDescriptor(descriptor);
    close(scene.handle);
}
