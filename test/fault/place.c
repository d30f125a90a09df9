#include "place.h"

#include <liburing.h>
#include <time.h>

enum
{
    MOST = 1 << 20, /* bytes of a call */
};

/* An engine that was made after a failure knows what any other of its kind does. */
static void expectSameFeatures(void)
{
    static uint64_t known[2];
    bool isEpoll = strcmp(GetFastRingEngine(scene.ring), "epoll") == 0;
    uint64_t features = GetFastRingFeatures(scene.ring);

    if (known[isEpoll] == 0)
        known[isEpoll] = features;
    ck_assert_uint_eq(features, known[isEpoll]);
}

/* The kernel may lack memory for a ring by itself, for some time after another's end. */
static void openRing(uint32_t length)
{
    const struct timespec pause = {.tv_nsec = 20000000};

    do {
        errno = 0;
        scene.ring = CreateFastRing(length);
        if ((scene.ring == NULL) && (errno == ENOMEM) && !hasPointFailed())
            nanosleep(&pause, NULL);
        else if (!wasRefusedByErrno(scene.ring == NULL))
            break;
    } while (true);
    expectSameFeatures();
    plantPoints(scene.ring);
}

void openPlace(struct SceneOptions options)
{
    scene = (struct Scene){.pair = {-1, -1}, .descriptors = countDescriptors()};
    openRing(options.ringLength);
    MADE(scene.inbound, CreateFastBufferPool(scene.ring));
    MADE(scene.outbound, CreateFastBufferPool(scene.ring));
    MADE(scene.provider,
         CreateFastRingBufferProvider(scene.ring, 0, options.buffers, options.bufferLength,
                                      AllocateRingFastBuffer, scene.inbound));
}

void openActor(int handle, struct msghdr* message, int mode, struct Recorder* recorder)
{
    struct Recorder fresh = {
        .then = recorder->then, .closure = recorder->closure, .lastHangup = -1};

    *recorder = fresh;
    MADE(recorder->socket,
         CreateFastSocket(scene.ring, scene.provider, scene.inbound, scene.outbound, handle,
                          message, 0, mode, 0, recordEvent, recorder));
}

void openActors(enum Kind kind, struct msghdr* message, int mode)
{
    pairKind(kind, scene.pair);
    openActor(scene.handle, message, mode, &scene.ours);
}

static uint8_t* patternFrom(size_t size, uint64_t position)
{
    static uint8_t data[MOST];

    ck_assert_uint_le(size, sizeof(data));
    fillPattern(data, size, position);
    return data;
}

void putData(struct FastSocket* socket, size_t size, uint64_t position)
{
    DONE(TransmitFastSocketData(socket, NULL, 0, patternFrom(size, position), size, 0));
}

void putMessage(struct FastSocket* socket, size_t size, uint64_t position)
{
    uint8_t* data = patternFrom(size, position);
    struct iovec vectors[] = {
        {data, size / 3}, {NULL, 0}, {data + size / 3, size - size / 3}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 3};

    DONE(TransmitFastSocketMessage(socket, &message, 0));
}

static struct FastBuffer* makeBuffer(size_t size, uint64_t position)
{
    struct FastBuffer* buffer = NULL;

    MADE(buffer, AllocateFastBuffer(scene.outbound, size, 0));
    memcpy(GetFastBufferData(buffer), patternFrom(size, position), size);
    ck_assert_int_eq(SetFastBufferLength(buffer, size), 0);
    return buffer;
}

/* A refused one is consumed all the same. */
void putBuffer(struct FastSocket* socket, size_t size, uint64_t position)
{
    struct FastBuffer* buffer = makeBuffer(size, position);

    DONE(TransmitFastSocketBuffer(socket, NULL, 0, HoldFastBuffer(buffer), 0, size, 0));
    ReleaseFastBuffer(buffer);
}

static struct FastRingDescriptor* makeOperation(struct FastSocket* socket,
                                                struct FastBuffer* buffer)
{
    struct FastRingDescriptor* descriptor = NULL;

    MADE(descriptor, AllocateFastRingDescriptor(scene.ring, NULL, NULL));
    io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), GetFastSocketHandle(socket),
                       GetFastBufferData(buffer), GetFastBufferLength(buffer), 0);
    return descriptor;
}

void putOperation(struct FastSocket* socket, size_t size, uint64_t position)
{
    struct FastBuffer* buffer = makeBuffer(size, position);

    DONE(TransmitFastSocketDescriptor(socket, makeOperation(socket, buffer),
                                      HoldFastBuffer(buffer)));
    ReleaseFastBuffer(buffer);
}
