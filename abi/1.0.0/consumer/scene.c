#include "scene.h"

#include <string.h>
#include <unistd.h>

enum
{
    BUFFERS = 8,
    BUFFER_LENGTH = 4096,
};

void sceneEvent(struct FastSocket* socket, int event, int parameter)
{
    struct scene* scene = GetFastSocketClosure(socket);
    CHECK(scene->socket == socket);
    switch (event) {
    case POLLIN:
        scene->inputs++;
        scene->input = parameter;
        break;
    case POLLOUT:
        scene->outputs++;
        scene->output = parameter;
        break;
    case POLLERR:
        scene->errors++;
        scene->error = parameter;
        break;
    case POLLHUP:
        scene->hangups++;
        scene->hangup = parameter;
        break;
    default:
        CHECK(event == POLLIN || event == POLLOUT || event == POLLERR || event == POLLHUP);
    }
}

void sceneOpen(struct scene* scene, int type, struct msghdr* message)
{
    int handles[2];
    memset(scene, 0, sizeof(*scene));
    scene->output = scene->hangup = -1;
    CHECK((scene->ring = openRing()) != NULL);
    CHECK((scene->pool = CreateFastBufferPool(scene->ring)) != NULL);
    scene->provider = CreateFastRingBufferProvider(scene->ring, 0, BUFFERS, BUFFER_LENGTH, AllocateRingFastBuffer, scene->pool);
    CHECK(scene->provider != NULL);
    makePair(type, handles);
    scene->handle = handles[0];
    scene->peer = handles[1];
    scene->socket = CreateFastSocket(scene->ring, scene->provider, scene->pool, scene->pool, scene->handle, message, 0,
                                     FASTSOCKET_MODE_REGULAR, 0, sceneEvent, scene);
    CHECK(scene->socket != NULL);
}

void sceneClose(struct scene* scene)
{
    if (scene->ring != NULL)
        ReleaseFastRing(scene->ring);
    ReleaseFastRingBufferProvider(scene->provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(scene->pool);
    if (scene->peer >= 0)
        CHECK(close(scene->peer) == 0);
}

void sceneEnd(struct scene* scene)
{
    ReleaseFastSocket(scene->socket);
    if (scene->peer >= 0) {
        CHECK(close(scene->peer) == 0);
        scene->peer = -1;
    }
    for (int turn = 0; GetFastRingPending(scene->ring) > 0; ++turn) {
        CHECK(turn < 200);
        CHECK(WaitForFastRing(scene->ring, 50, NULL) == 0);
    }
    CHECK(!isOpen(scene->handle));
    sceneClose(scene);
}

void sceneSend(struct scene* scene, const char* text)
{
    CHECK(send(scene->peer, text, strlen(text), 0) == (ssize_t)strlen(text));
}

void sceneExpect(struct scene* scene, const char* text)
{
    char found[256];
    size_t length = strlen(text), done = 0;
    for (int turn = 0; done < length; ++turn) {
        CHECK(turn < 200);
        CHECK(WaitForFastRing(scene->ring, 10, NULL) == 0);
        ssize_t result = recv(scene->peer, found + done, length - done, MSG_DONTWAIT);
        if (result > 0)
            done += (size_t)result;
        else
            CHECK(result < 0 && errno == EAGAIN);
    }
    CHECK(memcmp(found, text, length) == 0);
}
