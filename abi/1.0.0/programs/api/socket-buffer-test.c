/* TransmitFastSocketBuffer, and buffers that leave the ring's thread: behaviour.md 2.3 and 2.4. */
#include "fixture.h"

#include <netinet/in.h>
#include <pthread.h>

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void openKind(enum Kind kind)
{
    pairKind(kind, pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
}

static void release(void)
{
    ReleaseFastSocket(recorder.socket);
    if (pair[1] >= 0)
        close(pair[1]);
}

static struct FastBuffer* makeBuffer(size_t size, uint64_t position)
{
    struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, size, 0);

    ck_assert_ptr_nonnull(buffer);
    fillPattern(GetFastBufferData(buffer), size, position);
    return buffer;
}

static int transmit(struct FastBuffer* buffer, size_t offset, size_t size)
{
    return TransmitFastSocketBuffer(recorder.socket, NULL, 0, buffer, offset, size, 0);
}

static uint64_t heldBuffers(void)
{
    return readRing(fixture.ring).buffers;
}

static void expectPattern(int handle, uint64_t size, uint64_t position)
{
    static uint8_t data[65536];
    uint64_t checked = 0;

    while (checked < size) {
        size_t most = (size - checked < sizeof(data)) ? (size_t)(size - checked) : sizeof(data);
        ssize_t length = recv(handle, data, most, MSG_DONTWAIT);
        if (length < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert_int_gt(length, 0);
        ck_assert(checkPattern(data, (size_t)length, position + checked));
        checked += (uint64_t)length;
    }
    ck_assert_uint_eq(checked, size);
}

/* §2.4 TransmitFastSocketBuffer: sends size bytes from offset, small and large */
START_TEST(sendsPart)
{
    const size_t sizes[] = {1, 100, 4095, 4096, 4097, 16384, 1000000};

    openKind(KIND_TCP);
    for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
        ck_assert_int_eq(transmit(makeBuffer(sizes[index] + 50, 0), 33, sizes[index]), 0);
        ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), sizes[index]);
        expectPattern(pair[1], sizes[index], 33);
        waitDrained(&recorder);
        expectNothing(pair[1]);
    }
    release();
}
END_TEST

/* §2.4 TransmitFastSocketBuffer: large ones are queued as they are and gathered, small ones copied */
START_TEST(gathersLargeCopiesSmall)
{
    enum
    {
        MANY = 50,
    };
    uint64_t held = 0;
    uint64_t operations = 0;

    openKind(KIND_TCP);
    runIdle(fixture.ring);
    held = heldBuffers();
    for (uint64_t index = 0; index < MANY; index++)
        ck_assert_int_eq(transmit(makeBuffer(5000, index * 5000), 0, 5000), 0);
    ck_assert_uint_ge(heldBuffers(), held + MANY);
    expectPattern(pair[1], MANY * 5000, 0);
    waitDrained(&recorder);
    operations = readSocket(recorder.socket).sentOperations;
    ck_assert_uint_le(operations, 6); /* short counts */
    runIdle(fixture.ring);
    ck_assert_uint_eq(heldBuffers(), held);
    for (uint64_t index = 0; index < MANY; index++)
        ck_assert_int_eq(transmit(makeBuffer(200, index * 200), 0, 200), 0);
    ck_assert_uint_le(heldBuffers(), held + 8);
    expectPattern(pair[1], MANY * 200, 0);
    waitDrained(&recorder);
    ck_assert_uint_le(readSocket(recorder.socket).sentOperations - operations, 2);
    release();
}
END_TEST

/* §2.4 TransmitFastSocketBuffer, §2.4 -EINVAL: the buffer's length does not matter, its size
 * does */
START_TEST(checksRange)
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

    openKind(KIND_TCP);
    held = heldBuffers();
    for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
        int result = transmit(makeBuffer(100, 0), bad[index][0], bad[index][1]);
        ck_assert_msg((result == -EINVAL) || (result == -EMSGSIZE), "%d", result);
        ck_assert_uint_eq(heldBuffers(), held);
    }
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    ck_assert_int_eq(transmit(makeBuffer(100, 0), 0, 100), 0);
    expectPattern(pair[1], 100, 0);
    release();
}
END_TEST

/* §2.4 TransmitFastSocketBuffer: consumes one reference in every case */
START_TEST(consumesOnError)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    uint64_t held = 0;

    openKind(KIND_TCP);
    held = heldBuffers();
    ck_assert_int_eq(transmit(NULL, 0, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketBuffer(NULL, NULL, 0, makeBuffer(10, 0), 0, 10, 0), -EINVAL);
    ck_assert_uint_eq(heldBuffers(), held);
    ck_assert_int_eq(
        TransmitFastSocketBuffer(recorder.socket, NULL, 0, makeBuffer(10, 0), 0, 10, MSG_PEEK),
        -EINVAL);
    ck_assert_uint_eq(heldBuffers(), held);
    ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, (struct sockaddr*)&address,
                                              sizeof(struct sockaddr_in), makeBuffer(10, 0), 0, 10,
                                              0),
                     -EISCONN);
    ck_assert_uint_eq(heldBuffers(), held);
    ck_assert_int_eq(TransmitFastSocketBuffer(recorder.socket, (struct sockaddr*)&address,
                                              sizeof(address) + 1, makeBuffer(10, 0), 0, 10, 0),
                     -EINVAL);
    ck_assert_uint_eq(heldBuffers(), held);
    closeReset(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    ck_assert_int_eq(transmit(makeBuffer(10, 0), 0, 10), -EPIPE);
    ck_assert_uint_le(heldBuffers(), held);
    release();
}
END_TEST

/* §2.4 TransmitFastSocketBuffer: released when sent; the caller may hold it and send it again,
 * to several sockets */
START_TEST(sendsHeldBufferAgain)
{
    struct FastBuffer* buffer = makeBuffer(100000, 0);
    struct Recorder second = {0};
    uint64_t held = 0;
    int more[2];

    openKind(KIND_TCP);
    pairTcp(more);
    openRecorded(&fixture, more[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &second);
    held = heldBuffers();
    for (int round = 0; round < 5; round++) {
        ck_assert_int_eq(transmit(HoldFastBuffer(buffer), 0, 100000), 0);
        ck_assert_int_eq(
            TransmitFastSocketBuffer(second.socket, NULL, 0, HoldFastBuffer(buffer), 0, 100000, 0),
            0);
        expectPattern(pair[1], 100000, 0);
        expectPattern(more[1], 100000, 0);
    }
    runIdle(fixture.ring);
    ck_assert_uint_eq(heldBuffers(), held);
    ck_assert(checkPattern(GetFastBufferData(buffer), 100000, 0));
    ReleaseFastBuffer(buffer);
    ReleaseFastSocket(second.socket);
    close(more[1]);
    release();
}
END_TEST

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
START_TEST(passesReceivedOn)
{
    struct Recorder second = {0};
    static uint8_t data[30000];
    int more[2];
    uint64_t position = 0;

    recorder.then = passOn;
    recorder.closure = &second;
    second.then = passOn;
    second.closure = &recorder;
    openKind(KIND_TCP);
    pairTcp(more);
    openRecorded(&fixture, more[0], NULL, 0, &second);
    for (int round = 0; round < 50; round++) {
        size_t size = (size_t)(round * 611) % sizeof(data) + 1;
        fillPattern(data, size, position);
        sendAll(pair[1], data, size);
        expectPattern(more[1], size, position);
        sendAll(more[1], data, size);
        expectPattern(pair[1], size, position);
        position += size;
    }
    ReleaseFastSocket(second.socket);
    close(more[1]);
    release();
}
END_TEST

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
START_TEST(workerKeepsBuffers)
{
    struct Shelf shelf = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .good = true};
    static uint8_t data[8192];
    pthread_t worker;
    uint64_t sent = 0;
    uint64_t taken = 0;

    fixtureClose(&fixture);
    fixtureOpen(&fixture, 0, 4, 512);
    openKind(KIND_UNIX_STREAM);
    ck_assert_int_eq(pthread_create(&worker, NULL, readShelf, &shelf), 0);
    for (int round = 0; round < 200; round++) {
        struct FastBuffer* buffer = NULL;
        fillPattern(data, sizeof(data), sent);
        sendAll(pair[1], data, sizeof(data));
        sent += sizeof(data);
        while (taken < sent) {
            waitInput(&recorder, 1);
            buffer = ReceiveFastSocketBuffer(recorder.socket);
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
    release();
}
END_TEST

static void* fillBuffers(void* closure)
{
    struct FastBuffer** buffers = closure;

    for (int index = 0; index < 100; index++) {
        buffers[index] = AllocateFastBuffer(fixture.outbound, 1000 + (size_t)index, 0);
        if (buffers[index] != NULL)
            fillPattern(GetFastBufferData(buffers[index]), 1000 + (size_t)index, (uint64_t)index);
    }
    return NULL;
}

/* buffers made in another thread are sent by the ring's */
START_TEST(sendsBuffersOfWorker)
{
    struct FastBuffer* buffers[100] = {0};
    pthread_t worker;

    openKind(KIND_TCP);
    runTurns(fixture.ring, 1);
    ck_assert_int_eq(pthread_create(&worker, NULL, fillBuffers, buffers), 0);
    ck_assert_int_eq(pthread_join(worker, NULL), 0);
    for (int index = 0; index < 100; index++) {
        ck_assert_ptr_nonnull(buffers[index]);
        ck_assert_int_eq(transmit(buffers[index], 0, 1000 + (size_t)index), 0);
    }
    for (int index = 0; index < 100; index++)
        expectPattern(pair[1], 1000 + (uint64_t)index, (uint64_t)index);
    release();
}
END_TEST

/* buffers outlive socket, provider, pools and ring */
START_TEST(outlivesEverything)
{
    struct FastBuffer* received = NULL;
    struct FastBuffer* made = NULL;

    openKind(KIND_UNIX_STREAM);
    sendText(pair[1], "kept to the end");
    waitInput(&recorder, 15);
    received = ReceiveFastSocketBuffer(recorder.socket);
    made = makeBuffer(3000, 0);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ReleaseFastRingBufferProvider(fixture.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(fixture.inbound);
    ReleaseFastBufferPool(fixture.outbound);
    ReleaseFastRing(fixture.ring);
    fixture.provider = NULL;
    fixture.inbound = NULL;
    fixture.outbound = NULL;
    fixture.ring = NULL;
    ck_assert_ptr_nonnull(received);
    ck_assert_uint_eq(GetFastBufferLength(received), 15);
    ck_assert_int_eq(memcmp(GetFastBufferData(received), "kept to the end", 15), 0);
    ck_assert(checkPattern(GetFastBufferData(made), 3000, 0));
    ReleaseFastBuffer(received);
    ReleaseFastBuffer(made);
}
END_TEST

/* zero copy keeps a buffer until its notification: its memory is not another's meanwhile */
START_TEST(keepsMemoryOfZeroCopy)
{
    uint64_t sent = 0;
    uint64_t checked = 0;
    static uint8_t data[65536];

    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &recorder);
    for (int round = 0; round < 40; round++) {
        ck_assert_int_eq(transmit(makeBuffer(50000, sent), 0, 50000), 0);
        sent += 50000;
        runTurns(fixture.ring, 3);
    }
    while (checked < sent) {
        ssize_t length = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (length < 0) {
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)length, checked));
        checked += (uint64_t)length;
    }
    release();
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-buffer");
    TCase* area = tcase_create("socketBuffer");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, sendsPart);
    tcase_add_test(area, gathersLargeCopiesSmall);
    tcase_add_test(area, checksRange);
    tcase_add_test(area, consumesOnError);
    tcase_add_test(area, sendsHeldBufferAgain);
    tcase_add_test(area, passesReceivedOn);
    tcase_add_test(area, workerKeepsBuffers);
    tcase_add_test(area, sendsBuffersOfWorker);
    tcase_add_test(area, outlivesEverything);
    tcase_add_test(area, keepsMemoryOfZeroCopy);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
