/* Much data: whole, in order, through the smallest socket buffers and past readers that stall. */
#include "fixture.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

enum
{
    BLOCK = 16 << 20, /* the period of what large tests send */
    READ = 1 << 20,
};

/* Bytes that go at once: a gigabyte. The thread sanitizer takes a minute and a half for those, and
 * sees no more in them than in fewer. */
#if defined(__SANITIZE_THREAD__)
#define AT_ONCE ((size_t)128 << 20)
#else
#define AT_ONCE ((size_t)1 << 30)
#endif

AREA(bulk, "bulk", .open = openScene, .close = closeScene, .timeout = 600);

/* A thread with plain system calls: the peer. */
struct Reader
{
    pthread_t thread;
    int handle;
    uint64_t period;  /* 0: none */
    int stall;        /* stops reading now and then until the ring's thread has run some turns */
    const int* turns; /* counted by the ring's thread */
    uint64_t received;
    bool good;
    int ended;
};

static void* readAll(void* closure)
{
    struct Reader* reader = closure;
    uint8_t* data = malloc(READ);
    ssize_t size = 0;

    reader->good = (data != NULL);
    while (reader->good && ((size = recv(reader->handle, data, READ, 0)) > 0)) {
        uint64_t done = 0;
        while (done < (uint64_t)size) {
            uint64_t position = reader->received + done;
            uint64_t piece = (uint64_t)size - done;
            if (reader->period != 0) {
                position %= reader->period;
                if (piece > reader->period - position)
                    piece = reader->period - position;
            }
            reader->good = reader->good && checkPattern(data + done, piece, position);
            done += piece;
        }
        reader->received += (uint64_t)size;
        if ((reader->stall != 0) && (reader->received % 7 == 0)) {
            int until = __atomic_load_n(reader->turns, __ATOMIC_ACQUIRE) + reader->stall;
            while (__atomic_load_n(reader->turns, __ATOMIC_ACQUIRE) < until)
                sched_yield();
        }
    }
    reader->good = reader->good && (size == 0);
    free(data);
    __atomic_store_n(&reader->ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void startReader(struct Reader* reader)
{
    ck_assert_int_eq(pthread_create(&reader->thread, NULL, readAll, reader), 0);
}

static void joinReader(struct Reader* reader, uint64_t expected)
{
    ck_assert_int_eq(pthread_join(reader->thread, NULL), 0);
    ck_assert_uint_eq(reader->received, expected);
    ck_assert(reader->good);
}

/* A region whose every BLOCK bytes are the same memory: much to send, little to keep. */
static uint8_t* mapRepeated(size_t size)
{
    int file = memfd_create("block", MFD_CLOEXEC);
    uint8_t* region = NULL;

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(ftruncate(file, BLOCK), 0);
    region = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(region, MAP_FAILED);
    for (size_t offset = 0; offset < size; offset += BLOCK)
        ck_assert_ptr_ne(
            mmap(region + offset, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0),
            MAP_FAILED);
    close(file);
    fillPattern(region, BLOCK, 0);
    return region;
}

/* One transmit of so many bytes, with SO_SNDBUF at its minimum. */
static void sendAtOnce(enum Kind kind, int mode, size_t size, bool small)
{
    struct Reader reader = {.period = BLOCK};
    uint8_t* region = mapRepeated(size);

    pairKind(kind, scene.pair);
    if (small)
        ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)),
                         0);
    /* With so little in flight the pace is that of acknowledgements, and bbr adds its own. */
    (void)setsockopt(scene.handle, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    openRecorded(&scene, scene.handle, NULL, mode, &scene.ours);
    waitCount(scene.ring, &scene.ours.out, 1);
    reader.handle = scene.peer;
    startReader(&reader);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, region, size, 0), 0);
    munmap(region, size);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes +
                          GetFastSocketOutboundLength(scene.ours.socket),
                      size);
    /* Much takes long on a busy machine: as long as something moves, wait on. */
    while (scene.ours.out < 2) {
        size_t before = GetFastSocketOutboundLength(scene.ours.socket);
        for (int turn = 0; (turn < 100000) && (scene.ours.out < 2); turn++)
            ck_assert_int_eq(WaitForFastRing(scene.ring, 100, NULL), 0);
        ck_assert_msg((scene.ours.out == 2) ||
                          (GetFastSocketOutboundLength(scene.ours.socket) < before),
                      "nothing moves");
    }
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, size);
    ck_assert_int_eq(scene.ours.err, 0);
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isPositive, &reader.ended);
    joinReader(&reader, size);
    closePeer();
}

/* §2.4 short count: 16 MiB in one call, with the smallest send buffer */
CASE(bulk, sends16MiB)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};
    const int modes[] = {FASTSOCKET_MODE_REGULAR, FASTSOCKET_MODE_ZERO_COPY,
                         FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK};

    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        for (size_t mode = 0; mode < sizeof(modes) / sizeof(modes[0]); mode++)
            sendAtOnce(kinds[kind], modes[mode], 16 << 20, true);
    }
}

/* 1 GiB in one call, the most there is, with the smallest send buffer */
CASE(bulk, sends1GiB)
{
    struct sysinfo machine;

    ck_assert_int_eq(sysinfo(&machine), 0);
    if ((uint64_t)(machine.freeram + machine.bufferram) * machine.mem_unit < ((uint64_t)3 << 29))
        skipTest("not enough memory for a message of 1 GiB");
    sendAtOnce(KIND_TCP, FASTSOCKET_MODE_REGULAR, AT_ONCE, true);
    sendAtOnce(KIND_UNIX_STREAM, FASTSOCKET_MODE_REGULAR, AT_ONCE, true);
}

/* §2.4 order: random sizes over all transmit calls, read by one who stalls: byte-exact */
CASE(bulk, mixesCallsAndSizes)
{
    const int modes[] = {FASTSOCKET_MODE_REGULAR, FASTSOCKET_MODE_ZERO_COPY,
                         FASTSOCKET_MODE_AUTO_CORK,
                         FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK};

    for (size_t index = 0; index < sizeof(modes) / sizeof(modes[0]); index++) {
        int turns = 0;
        struct Reader reader = {.stall = 3, .turns = &turns};
        unsigned seed = 42 + (unsigned)index;
        uint64_t sent = 0;
        pairTcp(scene.pair);
        ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){8192}, sizeof(int)),
                         0);
        openRecorded(&scene, scene.handle, NULL, modes[index], &scene.ours);
        reader.handle = scene.peer;
        startReader(&reader);
        for (int round = 0; round < 300; round++) {
            size_t size = (size_t)rand_r(&seed) % ((round % 3) ? 300000 : 300);
            struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, size, 0);
            struct iovec vectors[3];
            struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 3};
            uint8_t* data = GetFastBufferData(buffer);
            fillPattern(data, size, sent);
            vectors[0] = (struct iovec){data, size / 2};
            vectors[1] = (struct iovec){NULL, 0};
            vectors[2] = (struct iovec){data + size / 2, size - size / 2};
            switch (rand_r(&seed) % 3) {
            case 0:
                ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, data, size, 0),
                                 0);
                ReleaseFastBuffer(buffer);
                break;
            case 1:
                ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), 0);
                ReleaseFastBuffer(buffer);
                break;
            default:
                ck_assert_int_eq(
                    TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, size, 0), 0);
                break;
            }
            sent += size;
            for (int count = rand_r(&seed) % 4; count > 0; count--) {
                runTurns(scene.ring, 1);
                __atomic_add_fetch(&turns, 1, __ATOMIC_RELEASE);
            }
        }
        ck_assert_int_eq(ShutdownFastSocket(scene.ours.socket), 0);
        while (__atomic_load_n(&reader.ended, __ATOMIC_ACQUIRE) == 0) {
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
            __atomic_add_fetch(&turns, 1, __ATOMIC_RELEASE);
        }
        joinReader(&reader, sent);
        ck_assert_int_eq(scene.ours.err, 0);
        closePair();
    }
}

struct Writer
{
    pthread_t thread;
    int handle;
    uint64_t size;
    unsigned seed;
};

static void* writeAll(void* closure)
{
    struct Writer* writer = closure;
    uint8_t* data = malloc(READ);

    for (uint64_t sent = 0; (data != NULL) && (sent < writer->size);) {
        size_t size = (size_t)rand_r(&writer->seed) % READ + 1;
        size_t done = 0;
        if (size > writer->size - sent)
            size = (size_t)(writer->size - sent);
        fillPattern(data, size, sent);
        while (done < size) {
            ssize_t result = send(writer->handle, data + done, size - done, MSG_NOSIGNAL);
            if (result <= 0)
                return NULL;
            done += (size_t)result;
        }
        sent += size;
    }
    shutdown(writer->handle, SHUT_WR);
    free(data);
    return NULL;
}

static uint64_t taken;
static uint64_t choice;

static void takeMixed(struct FastSocket* socket, int event, int parameter, struct Recorder* self)
{
    static uint8_t data[READ];
    struct FastBuffer* buffer = NULL;
    ssize_t size = 0;

    (void)parameter;
    (void)self;
    if (event != POLLIN)
        return;
    while (GetFastSocketInboundLength(socket) > 0) {
        if (choice++ % 3 == 0) {
            buffer = ReceiveFastSocketBuffer(socket);
            ck_assert_ptr_nonnull(buffer);
            ck_assert(checkPattern(GetFastBufferData(buffer), GetFastBufferLength(buffer), taken));
            taken += GetFastBufferLength(buffer);
            ReleaseFastBuffer(buffer);
        } else {
            size = ReceiveFastSocketData(socket, data, (choice % 2) ? 777 : sizeof(data), 0);
            ck_assert_int_gt(size, 0);
            ck_assert(checkPattern(data, (size_t)size, taken));
            taken += (uint64_t)size;
        }
    }
}

/* receiving much, with buffers of several sizes, by both calls: byte-exact order */
CASE(bulk, receivesMuch)
{
    const struct
    {
        enum Kind kind;
        uint16_t buffers;
        uint32_t length;
    } cases[] = {
        {KIND_TCP, 64, 4096},
        {KIND_TCP, 4, 100},
        {KIND_TCP, 256, 65536},
        {KIND_TCP, 1, 64},
        {KIND_UNIX_STREAM, 64, 4096},
        {KIND_UNIX_STREAM, 2, 1000},
    };

    for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
        struct Writer writer = {.size = (cases[index].length < 2000) ? 4 << 20 : 64 << 20,
                                .seed = 7};
        reopenScene(.buffers = cases[index].buffers, .bufferLength = cases[index].length);
        taken = 0;
        scene.ours.then = takeMixed;
        openPair(cases[index].kind);
        writer.handle = scene.peer;
        ck_assert_int_eq(pthread_create(&writer.thread, NULL, writeAll, &writer), 0);
        waitHangup(&scene.ours);
        ck_assert_int_eq(pthread_join(writer.thread, NULL), 0);
        ck_assert_uint_eq(taken, writer.size);
        ck_assert_int_eq(scene.ours.lastHangup, 0);
        ck_assert_uint_eq(readSocket(scene.ours.socket).receivedBytes, writer.size);
        closePair();
    }
}
