#include "control-data.h"

#include "memory-handle.h"

#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

enum
{
    ENTRY_DATA = 40,
    ALIGNMENT = sizeof(size_t),
};

/* What a kernel may say to a program, and the other way round. */
static const int kinds[][2] = {
    {SOL_SOCKET, SCM_RIGHTS},
    {SOL_SOCKET, SCM_RIGHTS},
    {SOL_SOCKET, SCM_PIDFD},
    {SOL_SOCKET, SCM_CREDENTIALS},
    {SOL_SOCKET, SO_TIMESTAMP},
    {SOL_SOCKET, SO_TIMESTAMPING},
    {SOL_SOCKET, SO_RXQ_OVFL},
    {IPPROTO_UDP, 103 /* UDP_SEGMENT */},
    {IPPROTO_UDP, 104 /* UDP_GRO */},
    {IPPROTO_UDP, 104},
    {IPPROTO_IP, IP_RECVERR},
    {IPPROTO_IPV6, IPV6_RECVERR},
    {282 /* SOL_TLS */, 2 /* TLS_GET_RECORD_TYPE */},
};

enum
{
    KINDS = sizeof(kinds) / sizeof(kinds[0]),
};

/* ---- making it ---- */

static size_t drawWord(struct Chance* chance)
{
    size_t word = 0;

    for (size_t index = 0; index < sizeof(word); index++)
        word = word << 8 | draw(chance, UINT8_MAX + 1);
    return word;
}

/* Mostly what is true. */
static size_t drawLength(size_t right, struct Chance* chance)
{
    switch (draw(chance, 16)) {
    case 0:
        return drawWord(chance);
    case 1:
        return SIZE_MAX - draw(chance, 2 * ALIGNMENT);
    case 2:
        return draw(chance, (uint32_t)CMSG_LEN(0) + ALIGNMENT);
    case 3:
        return right + draw(chance, 4 * ALIGNMENT);
    case 4:
        return right - draw(chance, (uint32_t)right);
    default:
        return right;
    }
}

static int drawNumber(struct Chance* chance)
{
    return draw(chance, 2) == 0 ? (int)draw(chance, UINT32_MAX) : (int)draw(chance, UINT8_MAX + 1);
}

static void drawHeader(struct cmsghdr* header, size_t size, struct Chance* chance)
{
    uint32_t kind = draw(chance, KINDS + 1);
    bool known = kind < KINDS;

    header->cmsg_len = drawLength(CMSG_LEN(size), chance);
    header->cmsg_level = known ? kinds[kind][0] : drawNumber(chance);
    header->cmsg_type = known ? kinds[kind][1] : drawNumber(chance);
}

/* Cut where there is no more room. */
static void append(struct Control* control, size_t most, const void* data, size_t size)
{
    size_t room = most - control->size;
    size_t count = size < room ? size : room;

    memcpy(control->bytes + control->size, data, count);
    control->size += count;
}

/* Few bytes say all of it: small numbers, or such as descriptors of the simulation have. */
static void drawData(uint8_t* data, size_t size, struct Chance* chance)
{
    uint32_t form = draw(chance, 3);
    uint32_t number = draw(chance, UINT8_MAX + 1);

    if (form == 1)
        number = HANDLE_FIRST + number % HANDLES;
    for (size_t index = 0; index < size; index++) {
        size_t shift = index % sizeof(int) * CHAR_BIT;
        data[index] = form == 2 ? (uint8_t)draw(chance, UINT8_MAX + 1) : (uint8_t)(number >> shift);
    }
}

static void appendEntry(struct Control* control, size_t most, struct Chance* chance)
{
    uint8_t data[ENTRY_DATA + ALIGNMENT] = {0};
    size_t size = draw(chance, ENTRY_DATA + 1);
    struct cmsghdr header;

    drawHeader(&header, size, chance);
    drawData(data, size, chance);
    append(control, most, &header, sizeof(header));
    append(control, most, data, CMSG_SPACE(size) - CMSG_LEN(0));
}

void drawControl(struct Control* control, size_t most, struct Chance* chance)
{
    uint32_t entries = draw(chance, 8);

    if (most > CONTROL_MOST)
        most = CONTROL_MOST;
    control->size = 0;
    for (; entries > 0 && control->size < most; entries--)
        appendEntry(control, most, chance);
    size_t cut = draw(chance, 4) == 0 ? draw(chance, 3 * ALIGNMENT) : 0;
    control->size -= cut < control->size ? cut : control->size;
}

/* ---- reading it ---- */

bool takeControlEntry(struct ControlRest* rest, struct ControlEntry* entry)
{
    struct cmsghdr header;

    if (rest->broken || rest->size < sizeof(header))
        return false;
    memcpy(&header, rest->data, sizeof(header));
    rest->broken = header.cmsg_len < CMSG_LEN(0) || header.cmsg_len > rest->size;
    if (rest->broken)
        return false;
    *entry = (struct ControlEntry){
        .level = header.cmsg_level,
        .type = header.cmsg_type,
        .size = header.cmsg_len - CMSG_LEN(0),
        .data = rest->data + CMSG_LEN(0),
    };
    size_t step = (header.cmsg_len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (step > rest->size)
        step = rest->size;
    rest->data += step;
    rest->size -= step;
    return true;
}

size_t controlHandles(const struct ControlEntry* entry, int type, int other)
{
    bool has = entry->level == SOL_SOCKET &&
               (entry->type == type || (other != 0 && entry->type == other));
    return has ? entry->size / sizeof(int) : 0;
}

int controlHandle(const struct ControlEntry* entry, size_t index)
{
    int handle;

    memcpy(&handle, entry->data + index * sizeof(int), sizeof(handle));
    return handle;
}

void setControlHandle(const struct ControlEntry* entry, size_t index, int handle)
{
    memcpy(entry->data + index * sizeof(int), &handle, sizeof(handle));
}
