/* TransmitFastSocketBuffer, and buffers that leave the ring's thread. */
#include "fixture.h"

#include <netinet/in.h>
#include <pthread.h>

SCENE_AREA(socketBuffer, "socketBuffer");

static int transmit(struct FastBuffer* buffer, size_t offset, size_t size)
{
    return TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, offset, size, 0);
}

/* §2.4 TransmitFastSocketBuffer: sends size bytes from offset, small and large */
CASE(socketBuffer, sendsPart)
{
    const size_t sizes[] = {1, 100, 4095, 4096, 4097, 16384, 1000000};

    openPair(KIND_TCP);
    for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
        ck_assert_int_eq(transmit(makePattern(sizes[index] + 50, 0), 33, sizes[index]), 0);
        ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), sizes[index]);
        expectPattern(scene.peer, sizes[index], 33);
        waitDrained(&scene.ours);
        expectNothing(scene.peer);
    }
}

/* §2.4 TransmitFastSocketBuffer: large ones are queued as they are and gathered, small ones
 * copied */
CASE(socketBuffer, gathersLargeCopiesSmall)
{
    enum
    {
        MANY = 50,
    };
    uint64_t held = 0;
    uint64_t operations = 0;

    openPair(KIND_TCP);
    runIdle(scene.ring);
    held = liveBuffers();
    for (uint64_t index = 0; index < MANY; index++)
        ck_assert_int_eq(transmit(makePattern(5000, index * 5000), 0, 5000), 0);
    ck_assert_uint_ge(liveBuffers(), held + MANY);
    expectPattern(scene.peer, MANY * 5000, 0);
    waitDrained(&scene.ours);
    operations = readSocket(scene.ours.socket).sentOperations;
    ck_assert_uint_le(operations, 6); /* short counts */
    runIdle(scene.ring);
    ck_assert_uint_eq(liveBuffers(), held);
    for (uint64_t index = 0; index < MANY; index++)
        ck_assert_int_eq(transmit(makePattern(200, index * 200), 0, 200), 0);
    ck_assert_uint_le(liveBuffers(), held + 8);
    expectPattern(scene.peer, MANY * 200, 0);
    waitDrained(&scene.ours);
    ck_assert_uint_le(readSocket(scene.ours.socket).sentOperations - operations, 2);
}

/* §2.4 TransmitFastSocketBuffer, §2.4 -EINVAL: the buffer's length does not matter, its size
 * does */
CASE(socketBuffer, checksRange)
{
    const size_t bad[][2] = {{0, 101},
                             {101, 0},
                             {100, 1},
                             {1, 100},
                             {SIZE_MAX, 1},
                             {1, SIZE_MAX},
                             {SIZE_MAX, SIZE_MAX},
                             {SIZE_MAX - 50, 60}};
    uint64_t held = 0;

    openPair(KIND_TCP);
    held = liveBuffers();
    for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
        int result = transmit(makePattern(100, 0), bad[index][0], bad[index][1]);
        ck_assert_msg((result == -EINVAL) || (result == -EMSGSIZE), "%d", result);
        ck_assert_uint_eq(liveBuffers(), held);
    }
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
    ck_assert_int_eq(transmit(makePattern(100, 0), 0, 100), 0);
    expectPattern(scene.peer, 100, 0);
}

/* §2.4 TransmitFastSocketBuffer: consumes one reference in every case */
CASE(socketBuffer, consumesOnError)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    uint64_t held = 0;

    openPair(KIND_TCP);
    held = liveBuffers();
    ck_assert_int_eq(transmit(NULL, 0, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketBuffer(NULL, NULL, 0, makePattern(10, 0), 0, 10, 0),
                     -EINVAL);
    ck_assert_uint_eq(liveBuffers(), held);
    ck_assert_int_eq(
        TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, makePattern(10, 0), 0, 10, MSG_PEEK),
        -EINVAL);
    ck_assert_uint_eq(liveBuffers(), held);
    ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, (struct sockaddr*)&address,
                                              sizeof(struct sockaddr_in), makePattern(10, 0), 0, 10,
                                              0),
                     -EISCONN);
    ck_assert_uint_eq(liveBuffers(), held);
    ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, (struct sockaddr*)&address,
                                              sizeof(address) + 1, makePattern(10, 0), 0, 10, 0),
                     -EINVAL);
    ck_assert_uint_eq(liveBuffers(), held);
    resetPeer();
    waitHangup(&scene.ours);
    ck_assert_int_eq(transmit(makePattern(10, 0), 0, 10), -EPIPE);
    ck_assert_uint_le(liveBuffers(), held);
}

/* §2.4 TransmitFastSocketBuffer: released when sent; the caller may hold it and send it again,
 * to several sockets */
CASE(socketBuffer, sendsHeldBufferAgain)
{
    struct FastBuffer* buffer = makePattern(100000, 0);
    struct Recorder second = {0};
    uint64_t held = 0;
    int more[2];

    openPair(KIND_TCP);
    pairTcp(more);
    openRecorded(&scene, more[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &second);
    held = liveBuffers();
    for (int round = 0; round < 5; round++) {
        ck_assert_int_eq(transmit(HoldFastBuffer(buffer), 0, 100000), 0);
        ck_assert_int_eq(
            TransmitFastSocketBuffer(second.socket, NULL, 0, HoldFastBuffer(buffer), 0, 100000, 0),
            0);
        expectPattern(scene.peer, 100000, 0);
        expectPattern(more[1], 100000, 0);
    }
    runIdle(scene.ring);
    ck_assert_uint_eq(liveBuffers(), held);
    ck_assert(checkPattern(GetFastBufferData(buffer), 100000, 0));
    ReleaseFastBuffer(buffer);
    ReleaseFastSocket(second.socket);
    close(more[1]);
}

static void passOn(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    struct Recorder* other = self->closure;
    struct FastBuffer* buffer = NULL;

    (void)parameter;
    if (event != POLLIN)
        return;
    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL)
        ck_assert_int_eq(TransmitFastSocketBuffer(other->socket, NULL, 0, buffer, 0,
                                                  GetFastBufferLength(buffer), 0),
                         0);
}

/* received buffers are passed on without copying, both ways, in order */
CASE(socketBuffer, passesReceivedOn)
{
    struct Recorder second = {0};
    static uint8_t data[30000];
    uint64_t position = 0;

    scene.ours.then = passOn;
    scene.ours.closure = &second;
    second.then = passOn;
    second.closure = &scene.ours;
    openPair(KIND_TCP);
    int more = openBeside(KIND_TCP, &second);
    for (int round = 0; round < 50; round++) {
        size_t size = (size_t)(round * 611) % sizeof(data) + 1;
        fillPattern(data, size, position);
        sendAll(scene.peer, data, size);
        expectPattern(more, size, position);
        sendAll(more, data, size);
        expectPattern(scene.peer, size, position);
        position += size;
    }
    ReleaseFastSocket(second.socket);
    close(more);
}

struct Shelf
{
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct FastBuffer* first[64];
    int count;
    bool closed;
    uint64_t checked;
    bool good;
};

static void* readShelf(void* closure)
{
    struct Shelf* shelf = closure;

    for (;;) {
        struct FastBuffer* buffer = NULL;
        pthread_mutex_lock(&shelf->lock);
        while ((shelf->count == 0) && !shelf->closed)
            pthread_cond_wait(&shelf->changed, &shelf->lock);
        if (shelf->count == 0) {
            pthread_mutex_unlock(&shelf->lock);
            return NULL;
        }
        buffer = shelf->first[0];
        shelf->count--;
        memmove(shelf->first, shelf->first + 1, (size_t)shelf->count * sizeof(shelf->first[0]));
        pthread_cond_broadcast(&shelf->changed);
        pthread_mutex_unlock(&shelf->lock);
        shelf->good &= checkPattern(GetFastBufferData(buffer), GetFastBufferLength(buffer),
                                    shelf->checked);
        shelf->checked += GetFastBufferLength(buffer);
        ReleaseFastBuffer(HoldFastBuffer(buffer));
        ReleaseFastBuffer(buffer);
    }
}

/* §2.3 ReceiveFastSocketBuffer: a worker thread keeps received buffers and gives them back,
 * starved receives go on */
CASE(socketBuffer, workerKeepsBuffers)
{
    struct Shelf shelf = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .good = true};
    static uint8_t data[8192];
    pthread_t worker;
    uint64_t sent = 0;
    uint64_t taken = 0;

    reopenScene(.buffers = 4, .bufferLength = 512);
    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(pthread_create(&worker, NULL, readShelf, &shelf), 0);
    for (int round = 0; round < 200; round++) {
        struct FastBuffer* buffer = NULL;
        fillPattern(data, sizeof(data), sent);
        sendAll(scene.peer, data, sizeof(data));
        sent += sizeof(data);
        while (taken < sent) {
            waitInput(&scene.ours, 1);
            buffer = ReceiveFastSocketBuffer(scene.ours.socket);
            ck_assert_ptr_nonnull(buffer);
            taken += GetFastBufferLength(buffer);
            pthread_mutex_lock(&shelf.lock);
            while (shelf.count == 64)
                pthread_cond_wait(&shelf.changed, &shelf.lock);
            shelf.first[shelf.count++] = buffer;
            pthread_cond_broadcast(&shelf.changed);
            pthread_mutex_unlock(&shelf.lock);
        }
    }
    pthread_mutex_lock(&shelf.lock);
    shelf.closed = true;
    pthread_cond_broadcast(&shelf.changed);
    pthread_mutex_unlock(&shelf.lock);
    ck_assert_int_eq(pthread_join(worker, NULL), 0);
    ck_assert(shelf.good);
    ck_assert_uint_eq(shelf.checked, sent);
}

static void* fillBuffers(void* closure)
{
    struct FastBuffer** buffers = closure;

    for (int index = 0; index < 100; index++) {
        buffers[index] = AllocateFastBuffer(scene.outbound, 1000 + (size_t)index, 0);
        if (buffers[index] != NULL)
            fillPattern(GetFastBufferData(buffers[index]), 1000 + (size_t)index, (uint64_t)index);
    }
    return NULL;
}

/* buffers made in another thread are sent by the ring's */
CASE(socketBuffer, sendsBuffersOfWorker)
{
    struct FastBuffer* buffers[100] = {0};
    pthread_t worker;

    openPair(KIND_TCP);
    runTurns(scene.ring, 1);
    ck_assert_int_eq(pthread_create(&worker, NULL, fillBuffers, buffers), 0);
    ck_assert_int_eq(pthread_join(worker, NULL), 0);
    for (int index = 0; index < 100; index++) {
        ck_assert_ptr_nonnull(buffers[index]);
        ck_assert_int_eq(transmit(buffers[index], 0, 1000 + (size_t)index), 0);
    }
    for (int index = 0; index < 100; index++)
        expectPattern(scene.peer, 1000 + (uint64_t)index, (uint64_t)index);
}

/* buffers outlive socket, provider, pools and ring */
CASE(socketBuffer, outlivesEverything)
{
    struct FastBuffer* received = NULL;
    struct FastBuffer* made = NULL;

    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "kept to the end");
    waitInput(&scene.ours, 15);
    received = ReceiveFastSocketBuffer(scene.ours.socket);
    made = makePattern(3000, 0);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    releaseParts();
    endRing();
    ck_assert_ptr_nonnull(received);
    ck_assert_uint_eq(GetFastBufferLength(received), 15);
    ck_assert_int_eq(memcmp(GetFastBufferData(received), "kept to the end", 15), 0);
    ck_assert(checkPattern(GetFastBufferData(made), 3000, 0));
    ReleaseFastBuffer(received);
    ReleaseFastBuffer(made);
}

/* zero copy keeps a buffer until its notification: its memory is not another's meanwhile */
CASE(socketBuffer, keepsMemoryOfZeroCopy)
{
    uint64_t sent = 0;

    openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_ZERO_COPY);
    for (int round = 0; round < 40; round++) {
        ck_assert_int_eq(transmit(makePattern(50000, sent), 0, 50000), 0);
        sent += 50000;
        runTurns(scene.ring, 3);
    }
    expectPattern(scene.peer, sent, 0);
}
