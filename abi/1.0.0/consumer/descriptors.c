/* Ring/FastRing.h: raw operations, and a provider's buffers with them. */
#include "consumer.h"

#include <linux/io_uring.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct operation
{
    struct FastRingDescriptor* descriptor;
    struct FastRingBufferProvider* provider;
    struct FastBufferPool* pool; /* of the buffer that goes in the place of the received one; or NULL */
    char text[16];
    void* taken; /* with a pool: the received one */
    int result;
    int reason;
    int count;
    int kept; /* times the handler keeps the descriptor */
};

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    struct operation* operation = GetFastRingDescriptorClosure(descriptor);
    CHECK(descriptor == operation->descriptor);
    operation->count++;
    operation->reason = reason;
    if (reason == FASTRING_REASON_RELEASED) {
        CHECK(completion == NULL);
        return 0;
    }
    operation->result = completion->res;
    if (operation->provider != NULL && completion->res > 0) {
        uint8_t* data = GetFastRingBuffer(operation->provider, completion);
        CHECK(data != NULL);
        memcpy(operation->text, data, (size_t)completion->res);
        if (operation->pool == NULL) {
            CHECK(AdvanceFastRingBuffer(operation->provider, completion, NULL, NULL) == 0);
        } else {
            CHECK(AdvanceFastRingBuffer(operation->provider, completion, AllocateRingFastBuffer, operation->pool) == 0);
            operation->taken = data;
        }
    }
    return operation->count <= operation->kept;
}

static void receive(struct operation* operation, int handle)
{
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(operation->descriptor);
    memset(entry, 0, sizeof(*entry));
    entry->opcode = IORING_OP_RECV;
    entry->fd = handle;
    PrepareFastRingBuffer(operation->provider, entry);
    CHECK(SubmitFastRingDescriptor(operation->descriptor) == 0);
}

static void useNothing(struct FastRing* ring)
{
    size_t size = 7;
    CHECK_ERROR(AllocateFastRingDescriptor(NULL, onCompletion, NULL), EINVAL);
    CHECK(GetFastRingDescriptorSubmission(NULL) == NULL);
    CHECK(GetFastRingDescriptorClosure(NULL) == NULL);
    CHECK(GetFastRingDescriptorRing(NULL) == NULL);
    CHECK(GetFastRingDescriptorData(NULL, &size) == NULL);
    CHECK(SubmitFastRingDescriptor(NULL) == -EINVAL);
    CHECK(CancelFastRingDescriptor(NULL) == -EINVAL);
    ReleaseFastRingDescriptor(NULL);
    CHECK(WaitForFastRing(ring, 0, NULL) == 0);
}

void useDescriptors(void)
{
    struct FastRing* ring = openRing();
    CHECK(ring != NULL);
    useNothing(ring);

    struct operation nop = { .result = 99, .reason = -1, .kept = 1 };
    nop.descriptor = AllocateFastRingDescriptor(ring, onCompletion, &nop);
    CHECK(nop.descriptor != NULL);
    CHECK(GetFastRingDescriptorClosure(nop.descriptor) == &nop);
    CHECK(GetFastRingDescriptorRing(nop.descriptor) == ring);
    size_t size = 0;
    void* data = GetFastRingDescriptorData(nop.descriptor, &size);
    CHECK(data != NULL && size >= 256 && (uintptr_t)data % 16 == 0);
    CHECK(GetFastRingDescriptorData(nop.descriptor, NULL) == data);
    memset(data, 1, size);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(nop.descriptor);
    struct io_uring_sqe zero = { 0 };
    CHECK(entry != NULL && memcmp(entry, &zero, sizeof(zero)) == 0);
    CHECK(CancelFastRingDescriptor(nop.descriptor) == -ENOENT);
    entry->opcode = IORING_OP_NOP;
    entry->flags = IOSQE_IO_LINK;
    CHECK(SubmitFastRingDescriptor(nop.descriptor) == -EINVAL);
    entry->flags = 0;
    CHECK(SubmitFastRingDescriptor(nop.descriptor) == 0);
    CHECK(SubmitFastRingDescriptor(nop.descriptor) == -EBUSY);
    runUntil(ring, &nop.count, 1);
    CHECK(nop.result == 0 && nop.reason == FASTRING_REASON_COMPLETE);
    CHECK(GetFastRingDescriptorSubmission(nop.descriptor) == entry && entry->opcode == IORING_OP_NOP);
    CHECK(SubmitFastRingDescriptor(nop.descriptor) == 0); /* kept; now the handler lets it go */
    runUntil(ring, &nop.count, 2);

    /* Cancelled: told. Released in flight: not told. */
    int ends[2];
    CHECK(pipe(ends) == 0);
    char byte;
    struct operation read = { .kept = 1 };
    read.descriptor = AllocateFastRingDescriptor(ring, onCompletion, &read);
    CHECK(read.descriptor != NULL);
    entry = GetFastRingDescriptorSubmission(read.descriptor);
    entry->opcode = IORING_OP_READ;
    entry->fd = ends[0];
    entry->addr = (uintptr_t)&byte;
    entry->len = 1;
    entry->off = UINT64_MAX;
    CHECK(SubmitFastRingDescriptor(read.descriptor) == 0);
    runTurns(ring, 2);
    CHECK(read.count == 0);
    CHECK(CancelFastRingDescriptor(read.descriptor) == 0);
    runUntil(ring, &read.count, 1);
    CHECK(read.result == -ECANCELED || read.result == -EINTR);
    CHECK(SubmitFastRingDescriptor(read.descriptor) == 0);
    runTurns(ring, 2);
    ReleaseFastRingDescriptor(read.descriptor);
    runTurns(ring, 4);
    CHECK(read.count == 1);

    /* In flight when the ring goes: told, with another reason. */
    struct operation last = { .reason = -1 };
    last.descriptor = AllocateFastRingDescriptor(ring, onCompletion, &last);
    CHECK(last.descriptor != NULL);
    entry = GetFastRingDescriptorSubmission(last.descriptor);
    entry->opcode = IORING_OP_POLL_ADD;
    entry->fd = ends[0];
    entry->poll32_events = 1;
    CHECK(SubmitFastRingDescriptor(last.descriptor) == 0);
    runTurns(ring, 2);
    struct FastRingDescriptor* shell = AllocateFastRingDescriptor(ring, onCompletion, NULL);
    CHECK(shell != NULL);
    ReleaseFastRing(ring);
    CHECK(last.count >= 1 && last.reason == FASTRING_REASON_RELEASED);
    CHECK(SubmitFastRingDescriptor(shell) == -ECANCELED);
    ReleaseFastRingDescriptor(shell);
    close(ends[0]);
    close(ends[1]);
}

static int made, released;

static void* makeBuffer(size_t length, void* closure)
{
    CHECK(length == 4096);
    made++;
    return AllocateRingFastBuffer(length, closure);
}

static void releaseBuffer(void* buffer)
{
    CHECK(buffer != NULL);
    released++;
    ReleaseRingFastBuffer(buffer);
}

void useProvider(void)
{
    struct FastRing* ring = openRing();
    CHECK(ring != NULL);
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    CHECK(pool != NULL);
    CHECK_ERROR(CreateFastRingBufferProvider(NULL, 0, 4, 4096, makeBuffer, pool), EINVAL);
    CHECK_ERROR(CreateFastRingBufferProvider(ring, 0, 4, 63, makeBuffer, pool), EINVAL);
    CHECK_ERROR(CreateFastRingBufferProvider(ring, 0, 4, 4096, NULL, pool), EINVAL);
    CHECK_ERROR(CreateFastRingBufferProvider(ring, 0, 32769, 4096, makeBuffer, pool), EINVAL);
    made = released = 0;
    struct FastRingBufferProvider* provider = CreateFastRingBufferProvider(ring, 77, 3, 4096, makeBuffer, pool);
    CHECK(provider != NULL);
    CHECK(made == 4); /* rounded up */
    CHECK(GetFastRingBufferGroup(provider) == 77);
    CHECK(GetFastRingBufferGroup(NULL) == 0);
    CHECK_ERROR(CreateFastRingBufferProvider(ring, 77, 4, 4096, makeBuffer, pool), EEXIST);
    CHECK(made == 4);
    CHECK(GetFastRingBuffer(provider, NULL) == NULL);
    struct io_uring_cqe none = { 0 };
    CHECK(GetFastRingBuffer(provider, &none) == NULL);
    CHECK(AdvanceFastRingBuffer(provider, &none, NULL, NULL) == -EINVAL);
    CHECK(AdvanceFastRingBuffer(NULL, &none, NULL, NULL) == -EINVAL);

    int handles[2];
    makePair(SOCK_STREAM, handles);
    struct operation operation = { .provider = provider, .kept = 1 };
    operation.descriptor = AllocateFastRingDescriptor(ring, onCompletion, &operation);
    CHECK(operation.descriptor != NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(operation.descriptor);
    PrepareFastRingBuffer(provider, entry);
    CHECK((entry->flags & IOSQE_BUFFER_SELECT) != 0 && entry->buf_group == 77);
    CHECK(send(handles[1], "first", 5, 0) == 5);
    receive(&operation, handles[0]);
    runUntil(ring, &operation.count, 1);
    CHECK(operation.result == 5 && memcmp(operation.text, "first", 5) == 0);
    CHECK(made == 4);
    operation.pool = pool;
    CHECK(send(handles[1], "second", 6, 0) == 6);
    receive(&operation, handles[0]);
    runUntil(ring, &operation.count, 2);
    CHECK(operation.result == 6 && memcmp(operation.taken, "second", 6) == 0);
    ReleaseRingFastBuffer(operation.taken);

    struct FastRingStatistics statistics;
    CHECK(GetFastRingStatistics(ring, &statistics, sizeof(statistics)) == 0);
    CHECK(statistics.providedBuffers == 4);
    ReleaseFastRingBufferProvider(provider, releaseBuffer);
    ReleaseFastRingBufferProvider(NULL, releaseBuffer);
    runTurns(ring, 2);
    CHECK(released == 4);

    struct FastRingBufferProvider* automatic = CreateFastRingBufferProvider(ring, 0, 1, 64, AllocateRingFastBuffer, pool);
    CHECK(automatic != NULL && GetFastRingBufferGroup(automatic) != 0);
    ReleaseFastRing(ring);
    ReleaseFastRingBufferProvider(automatic, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(pool);
    close(handles[0]);
    close(handles[1]);
}
