#include "kernel-memory.h"

#include "schedule.h"

#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, size)   ((void)(memory), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#endif

enum
{
    GROUPS = 8,
    GROUP_ENTRIES = 512,
    POISON = 0xdb,
    LONGEST = 1 << 17, /* of a buffer */
};

/* A buffer in the kernel's hands. */
struct Lent
{
    uint64_t address;
    uint32_t length;
    uint16_t id;
    uint64_t sum; /* of one that was taken */
};

struct Group
{
    struct io_uring_buf_ring* ring; /* NULL: none */
    uint32_t mask;
    uint16_t id;
    uint16_t head;                        /* those before were taken */
    uint16_t tail;                        /* those before are known */
    struct Lent published[GROUP_ENTRIES]; /* by place */
    struct Lent taken[GROUP_ENTRIES];     /* in the order of the ring */
    uint32_t takenCount;
};

static struct Group groups[GROUPS];
static GroupHead headOf;
static uint8_t poison[LONGEST];

/* ---- sums ---- */

static uint64_t add(uint64_t sum, const uint8_t* data, size_t size)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);

    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), data += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        sum = (sum ^ word) * factor;
        sum ^= sum >> 29;
    }
    for (; size > 0; size--)
        sum = (sum ^ *data++) * factor;
    return sum;
}

static uint64_t sumOf(const struct Lent* lent)
{
    return add(lent->id, (const uint8_t*)(uintptr_t)lent->address, lent->length);
}

/* ---- groups ---- */

void groupsBegin(GroupHead head)
{
    for (int index = 0; index < GROUPS; index++)
        groups[index].ring = NULL;
    headOf = head;
    if (poison[0] != POISON)
        memset(poison, POISON, sizeof(poison));
}

static struct Group* find(uint16_t id)
{
    for (int index = 0; index < GROUPS; index++)
        if (groups[index].ring != NULL && groups[index].id == id)
            return &groups[index];
    return NULL;
}

void groupAdd(uint16_t id, void* memory, uint32_t entries)
{
    int index = 0;

    while (index < GROUPS && groups[index].ring != NULL)
        index++;
    if (index == GROUPS || entries > GROUP_ENTRIES)
        wrong("the simulation has no room for a group");
    groups[index].ring = memory;
    groups[index].mask = entries - 1;
    groups[index].id = id;
    groups[index].head = 0;
    groups[index].tail = 0;
    groups[index].takenCount = 0;
}

static struct Lent* publishedAt(struct Group* group, uint16_t place)
{
    return &group->published[place & group->mask];
}

/* Between enters a sanitizer of addresses refuses whatever touches it. */
static void forbid(const struct Lent* lent)
{
    ASAN_POISON_MEMORY_REGION((void*)(uintptr_t)lent->address, lent->length);
}

static void allow(const struct Lent* lent)
{
    ASAN_UNPOISON_MEMORY_REGION((void*)(uintptr_t)lent->address, lent->length);
}

static void forEach(struct Group* group, void (*function)(const struct Lent* lent))
{
    for (uint16_t place = group->head; place != group->tail; place++)
        function(publishedAt(group, place));
    for (uint32_t index = 0; index < group->takenCount; index++)
        function(&group->taken[index]);
}

void groupRemove(uint16_t id)
{
    struct Group* group = find(id);

    forEach(group, allow);
    group->ring = NULL;
}

static bool has(struct Group* group, const struct Lent* lent)
{
    for (uint16_t place = group->head; place != group->tail; place++)
        if (publishedAt(group, place)->id == lent->id ||
            publishedAt(group, place)->address == lent->address)
            return true;
    for (uint32_t index = 0; index < group->takenCount; index++)
        if (group->taken[index].id == lent->id || group->taken[index].address == lent->address)
            return true;
    return false;
}

static void admit(struct Group* group)
{
    uint16_t tail = __atomic_load_n(&group->ring->tail, __ATOMIC_ACQUIRE);

    if ((uint16_t)(tail - group->head) > group->mask + 1)
        wrong("group %u: more buffers are put than there are places", group->id);
    for (; group->tail != tail; group->tail++) {
        const struct io_uring_buf* entry = &group->ring->bufs[group->tail & group->mask];
        struct Lent lent = {entry->addr, entry->len, entry->bid, 0};
        if (lent.address == 0 || lent.length == 0 || lent.length > LONGEST)
            wrong("group %u: buffer %u is none", group->id, lent.id);
        if (has(group, &lent))
            wrong("group %u: buffer %u is put while the kernel has it", group->id, lent.id);
        memset((void*)(uintptr_t)lent.address, POISON, lent.length);
        *publishedAt(group, group->tail) = lent;
    }
}

static void checkPublished(const struct Group* group, const struct Lent* lent, uint16_t place)
{
    const struct io_uring_buf* entry = &group->ring->bufs[place & group->mask];

    if (entry->addr != lent->address || entry->len != lent->length || entry->bid != lent->id)
        wrong("group %u: the entry of buffer %u was changed", group->id, lent->id);
    if (memcmp((const void*)(uintptr_t)lent->address, poison, lent->length) != 0)
        wrong("group %u: buffer %u was touched, which the kernel has", group->id, lent->id);
}

static void checkTaken(const struct Group* group, const struct Lent* lent)
{
    if (sumOf(lent) != lent->sum)
        wrong("group %u: buffer %u was touched before its completion", group->id, lent->id);
}

static void check(struct Group* group)
{
    for (uint16_t place = group->head; place != group->tail; place++)
        checkPublished(group, publishedAt(group, place), place);
    for (uint32_t index = 0; index < group->takenCount; index++)
        checkTaken(group, &group->taken[index]);
}

void groupsEnter(void)
{
    for (int index = 0; index < GROUPS; index++) {
        if (groups[index].ring == NULL)
            continue;
        forEach(&groups[index], allow);
        check(&groups[index]);
        admit(&groups[index]);
    }
}

static void noteTaken(struct Group* group)
{
    for (uint16_t head = headOf(group->id); group->head != head; group->head++) {
        if (group->head == group->tail)
            wrong("group %u: the engine takes what was not put", group->id);
        group->taken[group->takenCount++] = *publishedAt(group, group->head);
    }
    for (uint32_t index = 0; index < group->takenCount; index++)
        group->taken[index].sum = sumOf(&group->taken[index]);
}

void groupsEnd(void)
{
    for (int index = 0; index < GROUPS; index++) {
        if (groups[index].ring == NULL)
            continue;
        forEach(&groups[index], allow);
        check(&groups[index]);
        groups[index].ring = NULL;
    }
}

void groupsLeave(void)
{
    for (int index = 0; index < GROUPS; index++)
        if (groups[index].ring != NULL)
            noteTaken(&groups[index]);
}

void groupsForbid(void)
{
    for (int index = 0; index < GROUPS; index++)
        if (groups[index].ring != NULL)
            forEach(&groups[index], forbid);
}

/* A group that is gone was given up with all that it had. */
void groupGive(uint16_t id, uint16_t buffer, uint32_t bytes, bool bundle)
{
    struct Group* group = find(id);
    uint32_t first = 0;
    uint32_t last = 0;

    if (group == NULL)
        return;
    while (first < group->takenCount && group->taken[first].id != buffer)
        first++;
    if (first == group->takenCount)
        return; /* of a group before, which had this number */
    for (last = first; last < group->takenCount; last++) {
        checkTaken(group, &group->taken[last]);
        if (!bundle || bytes <= group->taken[last].length)
            break;
        bytes -= group->taken[last].length;
    }
    memmove(&group->taken[first], &group->taken[last + 1],
            (group->takenCount - last - 1) * sizeof(group->taken[0]));
    group->takenCount -= last - first + 1;
}

uint32_t groupAvailable(uint16_t id)
{
    const struct Group* group = find(id);
    return group != NULL ? (uint16_t)(group->tail - group->head) : 0;
}

uint32_t groupsCount(void)
{
    uint32_t count = 0;

    for (int index = 0; index < GROUPS; index++)
        if (groups[index].ring != NULL)
            count += (uint16_t)(groups[index].tail - groups[index].head) + groups[index].takenCount;
    return count;
}

/* ---- what is sent ---- */

static void guardPart(struct Guard* guard, const void* data, size_t size)
{
    if (guard->count == GUARD_VECTORS || size == 0)
        return;
    guard->vectors[guard->count++] = (struct iovec){(void*)(uintptr_t)data, size};
}

static uint64_t sumOfGuard(const struct Guard* guard)
{
    uint64_t sum = 1;

    for (uint32_t index = 0; index < guard->count; index++)
        sum = add(sum, guard->vectors[index].iov_base, guard->vectors[index].iov_len);
    return sum;
}

static void guardVectors(struct Guard* guard, const struct iovec* vector, size_t count)
{
    for (size_t index = 0; index < count; index++)
        guardPart(guard, vector[index].iov_base, vector[index].iov_len);
}

static void guardMessage(struct Guard* guard, const struct msghdr* message)
{
    guardPart(guard, message->msg_control, message->msg_controllen);
    guardVectors(guard, message->msg_iov, message->msg_iovlen);
}

void guardBegin(struct Guard* guard, const struct io_uring_sqe* entry)
{
    guard->count = 0;
    switch (entry->opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
    case IORING_OP_WRITE:
        guardPart(guard, (const void*)(uintptr_t)entry->addr, entry->len);
        break;
    case IORING_OP_WRITEV:
        guardVectors(guard, (const struct iovec*)(uintptr_t)entry->addr, entry->len);
        break;
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
        guardMessage(guard, (const struct msghdr*)(uintptr_t)entry->addr);
        break;
    default:
        break;
    }
    if (guard->count > 0)
        guard->sum = sumOfGuard(guard);
}

bool guardIsUntouched(const struct Guard* guard)
{
    return guard->count == 0 || sumOfGuard(guard) == guard->sum;
}
