/* What a socket must have come to. */
#include "world.h"

#include "memory-system.h"

#include <sys/socket.h>

struct FastSocketStatistics linkStatistics(struct FastSocket* socket)
{
    struct FastSocketStatistics statistics = {0};

    (void)GetFastSocketStatistics(socket, &statistics, sizeof(statistics));
    return statistics;
}

static void checkInput(const struct Link* link)
{
    size_t unread = GetFastSocketInboundLength(link->socket);

    if (link->automaton.type == SOCK_STREAM && link->taken + unread > link->written)
        wrong("link %u: more bytes came than were sent", link->number);
}

static void checkOutput(const struct Link* link)
{
    size_t queued = GetFastSocketOutboundLength(link->socket);
    uint64_t gone = link->arrived + (link->peer != NULL ? link->peer->queue.length : 0);

    if (link->automaton.type != SOCK_STREAM || linkIsOver(link) || link->loses)
        return;
    if (gone > link->accepted)
        wrong("link %u: more bytes went than were given", link->number);
    if (gone + queued < link->accepted)
        wrong("link %u: %llu bytes of %llu went, and %zu are queued", link->number,
              (unsigned long long)gone, (unsigned long long)link->accepted, queued);
}

void checkLink(struct Link* link)
{
    /* The peer may wait for more than it will have: what is released is not waited for long. */
    if (link->released && timeNow() - link->releasedAt > INT64_C(500000000))
        link->loses = true;
    if (link->socket == NULL || world.ring == NULL)
        return;
    checkInput(link);
    checkOutput(link);
}

/* An empty record that is the very last one can't be told from the end. */
static bool lacksInput(const struct Link* link)
{
    uint32_t lacking = link->in.sent - link->in.expected;
    uint32_t last = (link->in.sent - 1) % MESSAGE_IDS;

    if (link->kind == MEMORY_RECORDS && link->peerEnded && lacking == 1)
        return link->in.sizes[last] > 0;
    return lacking > 0;
}

static uint64_t lackingOf(const struct Messages* messages)
{
    return messages->sent - messages->expected + messages->lost;
}

static uint64_t lostOf(const struct Link* link)
{
    return link->peer->lost + (link->second != NULL ? link->second->lost : 0);
}

/* Datagrams that could not be sent are counted, and those that the network loses. */
static const char* missingOfMessages(const struct Link* link)
{
    uint64_t lacking = lackingOf(&link->out) + lackingOf(&link->outSecond);

    if (!linkIsOver(link) && !link->released && lacksInput(link))
        return "a message from the peer";
    if (link->socket != NULL && link->disturbed != 0)
        return "word of an earlier error";
    if (linkIsOver(link) || link->loses || (link->kind == MEMORY_UDP && link->released))
        return NULL;
    if (link->kind == MEMORY_UDP)
        lacking -= lostOf(link) + linkStatistics(link->socket).failedMessages;
    return lacking != 0 ? "a message to the peer" : NULL;
}

static const char* missingOfStream(const struct Link* link)
{
    if (!linkIsOver(link) && !link->released && link->taken < link->written)
        return "input";
    if (!linkIsOver(link) && !link->loses && link->arrived < link->accepted)
        return "output";
    return NULL;
}

const char* missingOfLink(struct Link* link)
{
    /* A pipe's writer hears of its reader's end by the next write. */
    bool connection = link->automaton.type != SOCK_DGRAM && link->kind != MEMORY_PIPE;
    const char* missing = link->automaton.type == SOCK_STREAM
                              ? missingOfStream(link)
                              : missingOfMessages(link);

    if (missing == NULL && !linkIsOver(link) && link->socket != NULL && link->own > 0)
        missing = "the end of an operation of its own";
    if (missing == NULL && connection && link->socket != NULL && !link->hungUp &&
        (link->peerEnded || linkIsOver(link)))
        missing = "the end";
    return missing != NULL ? missing : missingNotice(link);
}
