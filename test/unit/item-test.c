/* Items and messages, alone: moved over what was accepted, and what they own. */
#include "fixture.h"
#include "socket/item.h"

#include <fcntl.h>
#include <sys/resource.h>

enum
{
    POSITION = 5000,
    MAX_RIGHTS = 253,
    ROOM = 64,
};

static struct FastBufferPool* pool;

static void setUp(void)
{
    pool = FastPoolCreate(NULL);
    ck_assert_ptr_nonnull(pool);
}

static void tearDown(void)
{
    ck_assert_uint_eq(FastPoolBuffers(pool), 0);
    FastPoolDrop(pool);
}

AREA(item, "item", .open = setUp, .close = tearDown);

/* ---- progress ---- */

CASE(item, advancesBytes)
{
    struct FastItem* item = FastItemMake(pool, FAST_ITEM_BYTES, ROOM);
    uint8_t* data = item->data;
    ck_assert_uint_eq(item->room, ROOM);
    item->length = 20;
    FastItemAdvance(item, 7);
    ck_assert_ptr_eq(item->data, data + 7);
    ck_assert_uint_eq(item->length, 13);
    FastItemFree(item);
}

CASE(item, advancesAMessage)
{
    struct FastMessage* message = FastMessageMake(pool, FAST_ITEM_MESSAGE, ROOM);
    uint8_t* data = message->item.data;
    message->item.length = 20;
    FastItemAdvance(&message->item, 7);
    ck_assert_ptr_eq(message->item.data, data + 7);
    ck_assert(message->position == UINT64_MAX); /* the file's own */
    ck_assert_uint_eq(FastMessageCountVectors(message), 1);
    ck_assert_ptr_null(FastMessageVector(message));
    FastItemFree(&message->item);
}

CASE(item, advancesVectorsAndPosition)
{
    uint8_t bytes[30];
    const struct iovec parts[] = {
        {.iov_base = bytes, .iov_len = 10},
        {.iov_base = bytes + 10, .iov_len = 0},
        {.iov_base = bytes + 10, .iov_len = 15},
        {.iov_base = bytes + 25, .iov_len = 5},
    };
    struct FastMessage* message = FastMessageMake(pool, FAST_ITEM_MESSAGE, 0);
    message->item.length = sizeof(bytes);
    message->position = POSITION;
    message->vector = malloc(sizeof(parts));
    memcpy(message->vector, parts, sizeof(parts));
    message->vectorCount = 4;
    FastItemAdvance(&message->item, 3);
    ck_assert_uint_eq(FastMessageCountVectors(message), 4);
    ck_assert_ptr_eq(message->vector[0].iov_base, bytes + 3);
    FastItemAdvance(&message->item, 7 + 6);
    ck_assert_uint_eq(FastMessageCountVectors(message), 2);
    const struct iovec* vector = FastMessageVector(message);
    ck_assert_ptr_eq(vector, message->vector + 2);
    ck_assert_ptr_eq(vector[0].iov_base, bytes + 16);
    ck_assert_uint_eq(vector[0].iov_len, 9);
    ck_assert_ptr_eq(vector[1].iov_base, bytes + 25);
    ck_assert_uint_eq(vector[1].iov_len, 5);
    ck_assert_uint_eq(message->item.length, 14);
    ck_assert_uint_eq(message->position, POSITION + 16);
    FastItemAdvance(&message->item, 14);
    ck_assert_uint_eq(FastMessageCountVectors(message), 0);
    ck_assert_uint_eq(message->position, POSITION + sizeof(bytes));
    FastItemFree(&message->item);
}

/* ---- what they own ---- */

/* The memory of a buffer that was handed over goes with its item. */
CASE(item, freesItsPayload)
{
    struct FastItem* item = FastItemMake(pool, FAST_ITEM_BYTES, 0);
    item->payload = AllocateFastBuffer(pool, 10, 0);
    ck_assert_uint_eq(FastPoolBuffers(pool), 2);
    struct FastBuffer* held = HoldFastBuffer(item->payload);
    FastItemFree(item);
    ck_assert_uint_eq(FastPoolBuffers(pool), 1);
    ReleaseFastBuffer(held);
}

/* Control data with so many descriptors of the same number. */
static struct FastMessage* makeRights(size_t count, int handle)
{
    size_t size = CMSG_SPACE(count * sizeof(int));
    struct FastMessage* message = FastMessageMake(pool, FAST_ITEM_MESSAGE, size);
    struct cmsghdr* header = (struct cmsghdr*)message->item.data;
    ck_assert_uint_eq((uintptr_t)header % _Alignof(struct cmsghdr), 0);
    memset(header, 0, size);
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    for (size_t index = 0; index < count; index++)
        memcpy(CMSG_DATA(header) + index * sizeof(int), &handle, sizeof(int));
    message->control = header;
    message->controlLength = (uint32_t)size;
    return message;
}

static int rightOf(const struct FastMessage* message, size_t index)
{
    int handle;
    memcpy(&handle, CMSG_DATA((struct cmsghdr*)message->control) + index * sizeof(int),
           sizeof(int));
    return handle;
}

static bool isOpen(int handle)
{
    return fcntl(handle, F_GETFD) >= 0;
}

static int openNull(void)
{
    int handle = open("/dev/null", O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(handle, 0);
    return handle;
}

/* The lowest number that is free: the same before and after, if nothing was left open. */
static int lowestFree(void)
{
    int handle = openNull();
    close(handle);
    return handle;
}

CASE(item, duplicatesRights)
{
    int handle = openNull();
    struct FastMessage* message = makeRights(2, handle);
    ck_assert_int_eq(FastMessageOwnRights(message), 0);
    int first = rightOf(message, 0);
    int second = rightOf(message, 1);
    ck_assert_int_ne(first, handle);
    ck_assert_int_ne(second, handle);
    ck_assert_int_ne(first, second);
    close(handle);
    ck_assert(isOpen(first) && isOpen(second));
    ck_assert_int_eq(fcntl(first, F_GETFD), FD_CLOEXEC);
    FastMessageCloseRights(message);
    ck_assert(!isOpen(first) && !isOpen(second));
    ck_assert_int_eq(openNull(), handle);
    ck_assert_int_eq(openNull(), first); /* others' now */
    ck_assert_int_eq(openNull(), second);
    FastMessageCloseRights(message);
    FastItemFree(&message->item);
    ck_assert(isOpen(first) && isOpen(second));
    close(handle);
    close(first);
    close(second);
}

CASE(item, closesRightsAtItsEnd)
{
    int handle = openNull();
    struct FastMessage* message = makeRights(MAX_RIGHTS, handle);
    ck_assert_int_eq(FastMessageOwnRights(message), 0);
    int last = rightOf(message, MAX_RIGHTS - 1);
    ck_assert(isOpen(last));
    FastItemFree(&message->item);
    ck_assert(!isOpen(last));
    ck_assert(isOpen(handle));
    close(handle);
}

/* Descriptors that aren't ours stay open. */
CASE(item, closesNoRightsOfOthers)
{
    int handle = openNull();
    struct FastMessage* message = makeRights(1, handle);
    FastItemFree(&message->item);
    ck_assert(isOpen(handle));
    close(handle);
}

static void expectNotOwned(struct FastMessage* message, int error)
{
    int before = lowestFree();
    ck_assert_int_eq(FastMessageOwnRights(message), error);
    ck_assert(!message->ownsRights);
    FastItemFree(&message->item);
    ck_assert_int_eq(lowestFree(), before);
}

CASE(item, duplicatesNoneIfOneIsWrong)
{
    int handle = openNull();
    int closed = lowestFree();
    struct FastMessage* message = makeRights(2, handle);
    memcpy(CMSG_DATA((struct cmsghdr*)message->control) + sizeof(int), &closed, sizeof(int));
    expectNotOwned(message, -EBADF);
    expectNotOwned(makeRights(MAX_RIGHTS + 1, handle), -EINVAL);
    message = makeRights(1, handle);
    ((struct cmsghdr*)message->control)->cmsg_len = message->controlLength + 1;
    expectNotOwned(message, -EINVAL);
    ck_assert(isOpen(handle));
    close(handle);
}

/* … or when the numbers are used up. */
CASE(item, duplicatesNoneWithoutNumbers)
{
    struct rlimit before;
    int handle = openNull();
    struct FastMessage* message = makeRights(3, handle);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit few = {.rlim_cur = (rlim_t)lowestFree() + 2, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    expectNotOwned(message, -EMFILE);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(handle);
}

CASE(item, leavesOtherControlDataAlone)
{
    int handle = openNull();
    struct FastMessage* message = makeRights(1, handle);
    ((struct cmsghdr*)message->control)->cmsg_type = SCM_CREDENTIALS;
    ck_assert_int_eq(FastMessageOwnRights(message), 0);
    ck_assert_int_eq(rightOf(message, 0), handle);
    FastItemFree(&message->item);
    ck_assert(isOpen(handle));
    close(handle);
}
