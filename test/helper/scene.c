#include "scene.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "pattern.h"

enum
{
    DEFAULT_BUFFERS = 64,
    DEFAULT_LENGTH = 4096,
    CHUNK = 65536, /* bytes that expectPattern reads at once */
    STEP_MILLISECONDS = 100,
};

struct Scene scene = {.pair = {-1, -1}};

/* ---- the pair -------------------------------------------------------------------------------- */

struct FastSocket* openRecorded(struct Scene* stage, int handle, struct msghdr* message, int mode,
                                struct Recorder* recorder)
{
    struct Recorder fresh = {
        .then = recorder->then, .closure = recorder->closure, .lastHangup = -1};

    *recorder = fresh;
    recorder->socket = CreateFastSocket(stage->ring, stage->provider, stage->inbound,
                                        stage->outbound, handle, message, 0, mode, 0, recordEvent,
                                        recorder);
    ck_assert_msg(recorder->socket != NULL, "CreateFastSocket: %s", strerror(errno));
    return recorder->socket;
}

static void openPairOn(struct Scene* stage, const struct SceneOptions* options)
{
    pairKind(options->kind, stage->pair);
    openRecorded(stage, stage->handle, options->message, options->mode, &stage->ours);
}

static void closePeerOn(struct Scene* stage)
{
    if (stage->peer >= 0)
        close(stage->peer);
    stage->peer = -1;
}

static void closePairOn(struct Scene* stage)
{
    ReleaseFastSocket(stage->ours.socket);
    stage->ours.socket = NULL;
    closePeerOn(stage);
}

void openPair(enum Kind kind)
{
    openPairWith(.kind = kind);
}

void openPairAs(struct SceneOptions options)
{
    openPairOn(&scene, &options);
}

int openBeside(enum Kind kind, struct Recorder* recorder)
{
    int pair[2];

    pairKind(kind, pair);
    openRecorded(&scene, pair[0], NULL, 0, recorder);
    return pair[1];
}

void closePair(void)
{
    closePairOn(&scene);
}

void closePeer(void)
{
    closePeerOn(&scene);
}

void resetPeer(void)
{
    closeReset(scene.peer);
    scene.peer = -1;
}

void sceneForget(const struct FastSocket* socket)
{
    if (scene.ours.socket == socket)
        scene.ours.socket = NULL;
}

/* ---- all of it ------------------------------------------------------------------------------- */

void sceneOpen(struct Scene* stage, struct SceneOptions options)
{
    *stage = (struct Scene){.pair = {-1, -1}, .descriptors = countDescriptors()};
    stage->ring = CreateFastRing(options.ringLength);
    ck_assert_msg(stage->ring != NULL, "CreateFastRing: %s", strerror(errno));
    stage->inbound = CreateFastBufferPool(stage->ring);
    stage->outbound = CreateFastBufferPool(stage->ring);
    ck_assert_ptr_nonnull(stage->inbound);
    ck_assert_ptr_nonnull(stage->outbound);
    stage->provider = CreateFastRingBufferProvider(
        stage->ring, 0, options.buffers ? options.buffers : DEFAULT_BUFFERS,
        options.bufferLength ? options.bufferLength : DEFAULT_LENGTH, AllocateRingFastBuffer,
        stage->inbound);
    ck_assert_msg(stage->provider != NULL, "CreateFastRingBufferProvider: %s", strerror(errno));
    if (options.kind != KIND_NONE)
        openPairOn(stage, &options);
}

static bool isEmpty(void* closure)
{
    return readRing(closure).buffers == 0;
}

void sceneClose(struct Scene* stage)
{
    closePairOn(stage);
    if (stage->ring != NULL) {
        ck_assert_msg(runUntil(stage->ring, isNothingPending, stage->ring),
                      "%zu sockets stay pending", GetFastRingPending(stage->ring));
        ReleaseFastRingBufferProvider(stage->provider, ReleaseRingFastBuffer);
        ck_assert_msg(runUntil(stage->ring, isEmpty, stage->ring), "%llu buffers stay live",
                      (unsigned long long)readRing(stage->ring).buffers);
        ck_assert_uint_eq(readRing(stage->ring).sockets, 0);
    } else {
        ReleaseFastRingBufferProvider(stage->provider, ReleaseRingFastBuffer);
    }
    ReleaseFastBufferPool(stage->inbound);
    ReleaseFastBufferPool(stage->outbound);
    ReleaseFastRing(stage->ring);
    memset(stage, 0, offsetof(struct Scene, ours));
    ck_assert_int_eq(countDescriptors(), stage->descriptors);
}

void openScene(void)
{
    sceneOpen(&scene, (struct SceneOptions){0});
}

void closeScene(void)
{
    sceneClose(&scene);
}

void reopenSceneAs(struct SceneOptions options)
{
    sceneClose(&scene);
    sceneOpen(&scene, options);
}

void endRing(void)
{
    ReleaseFastRing(scene.ring);
    scene.ring = NULL;
}

void waitRingEnd(void)
{
    int result = 0;

    while (result == 0)
        result = WaitForFastRing(scene.ring, STEP_MILLISECONDS, NULL);
    ck_assert_int_eq(result, -ECANCELED);
    scene.ring = NULL;
}

void releaseParts(void)
{
    ReleaseFastRingBufferProvider(scene.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(scene.inbound);
    ReleaseFastBufferPool(scene.outbound);
    scene.provider = NULL;
    scene.inbound = NULL;
    scene.outbound = NULL;
}

/* ---- buffers and patterns -------------------------------------------------------------------- */

void expectPattern(int handle, uint64_t size, uint64_t position)
{
    static uint8_t data[CHUNK];
    struct iovec vector = {.iov_base = data};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    for (uint64_t checked = 0; checked < size;) {
        ssize_t length = 0;
        vector.iov_len = (size - checked < CHUNK) ? (size_t)(size - checked) : CHUNK;
        length = recvmsg(handle, &message, MSG_DONTWAIT);
        if (length < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
            continue;
        }
        ck_assert_int_gt(length, 0);
        ck_assert_int_eq(message.msg_flags & MSG_TRUNC, 0);
        ck_assert(checkPattern(data, (size_t)length, position + checked));
        checked += (uint64_t)length;
    }
}

struct FastBuffer* makePattern(size_t size, uint64_t position)
{
    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, size, 0);

    ck_assert_ptr_nonnull(buffer);
    fillPattern(GetFastBufferData(buffer), size, position);
    ck_assert_int_eq(SetFastBufferLength(buffer, size), 0);
    return buffer;
}

uint64_t liveBuffers(void)
{
    return readRing(scene.ring).buffers;
}

bool hasMemoryWithin(void* closure)
{
    return readRing(scene.ring).bufferBytes <= *(uint64_t*)closure;
}
