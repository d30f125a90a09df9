/* The other end of a socket: what it reads must be what was transmitted. */
#include "world.h"

#include "memory-file.h"
#include "pattern.h"

#include <sys/socket.h>

enum
{
    PIECE = 4096,
    MOST_BYTES = 48 << 10,
};

uint32_t openPassed(struct MemoryFile** files, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++)
        files[index] = memoryOpen(MEMORY_PIPE, 1);
    return count;
}

static void noteArrived(struct Link* link, const uint8_t* data, size_t size)
{
    if (!linkIsStream(link)) {
        bool loses = link->kind == MEMORY_UDP;
        checkMessage(&link->out, linkNumberOut(link), data, size, SIZE_MAX, loses);
        link->arrived++;
        return;
    }
    if (!checkPattern(data, size, linkPlaceOut(link) + link->arrived))
        wrong("link %u: the peer's bytes behind %llu are wrong", link->number,
              (unsigned long long)link->arrived);
    link->arrived += size;
}

static bool readOnce(struct Link* link, size_t most)
{
    static uint8_t data[PIECE];
    struct MemoryExtra extra;
    struct iovec vector = {data, most < PIECE && linkIsStream(link) ? most : PIECE};
    bool any = link->peer->queue.count > 0;
    ssize_t result = memoryReceive(link->peer, &vector, 1, false, &extra);

    for (uint32_t index = 0; index < extra.rights; index++)
        memoryDrop(extra.files[index]);
    if (result < 0 || !any)
        return false;
    noteArrived(link, data, (size_t)result);
    return true;
}

/* All that has come to the second destination. */
static void readAsSecond(struct Link* link)
{
    static uint8_t data[PIECE];
    struct iovec vector = {data, PIECE};

    while (link->second->queue.count > 0) {
        ssize_t result = memoryReceive(link->second, &vector, 1, false, NULL);
        if (result >= 0)
            checkMessage(&link->outSecond, linkNumberOut(link) + SECOND, data, (size_t)result,
                         SIZE_MAX, true);
    }
}

bool readAsPeer(struct Link* link, size_t most)
{
    uint64_t before = link->arrived;

    while (link->peer != NULL && link->arrived - before < most)
        if (!readOnce(link, most - (size_t)(link->arrived - before)))
            break;
    if (link->second != NULL)
        readAsSecond(link);
    return link->arrived != before;
}

/* With files, now and then. */
static ssize_t sendAsPeer(struct Link* link, const uint8_t* data, size_t size)
{
    struct MemoryExtra extra = {.rights = 0};
    struct iovec vector = {(void*)(uintptr_t)data, size};

    if (linkPassesFiles(link) && size % 3 == 1)
        extra.rights = openPassed(extra.files, 1 + (uint32_t)size % MEMORY_RIGHTS);
    ssize_t result = memorySend(link->peer, &vector, 1, &extra);
    for (uint32_t index = 0; index < extra.rights; index++)
        memoryDrop(extra.files[index]);
    return result;
}

static void writeBytes(struct Link* link, size_t size)
{
    static uint8_t data[MOST_BYTES];

    size = size < MOST_BYTES ? size : MOST_BYTES;
    fillPattern(data, size, linkPlaceIn(link) + link->written);
    ssize_t result = sendAsPeer(link, data, size);
    if (result > 0 && link->peer->peer != NULL)
        link->written += (size_t)result;
}

/* What has found no place is lost, by the network or by who sends it. */
static void writeMessage(struct Link* link, size_t size)
{
    static uint8_t data[MESSAGE_MOST];
    struct MemoryFile* ours = link->peer->peer;
    uint32_t before = ours != NULL ? ours->queue.count : 0;

    size = makeMessage(data, &link->in, link->number, size % (MESSAGE_MOST + 1));
    ssize_t result = sendAsPeer(link, data, size);
    if (result < 0 || ours == NULL || ours->queue.count == before)
        dropMessage(&link->in);
    else
        link->written++;
}

void writeAsPeer(struct Link* link, size_t size)
{
    bool over = link->peer == NULL || link->peerEnded || link->broken != 0;

    if (over || link->connecting || !link->peer->writes)
        return;
    tell("link %u: the peer writes %zu", link->number, size);
    if (linkIsStream(link))
        writeBytes(link, size);
    else
        writeMessage(link, size);
}
