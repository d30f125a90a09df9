/*
 * Who waits for what was transmitted: called once each, in order, not before the bytes have left,
 * and within the next turn of a release. Nothing here is drawn: it is asked for with some
 * transmits.
 */
#include "world.h"

#include <errno.h>
#include <string.h>

enum
{
    EACH = 3,  /* transmit, one is asked for; and now and then two */
    BITS = 16, /* of a closure: which one of its link's */
};

static uintptr_t nameOf(const struct Link* link, uint32_t number)
{
    return (uintptr_t)link->number << BITS | (number & ((1U << BITS) - 1));
}

static struct Link* linkOf(uintptr_t name)
{
    for (int index = 0; index < LINKS; index++)
        if (world.links[index].used && world.links[index].number == name >> BITS)
            return &world.links[index];
    wrong("a notice of a link that never was");
    return NULL;
}

/* An error is told only where there is one. */
static bool isAllowed(const struct Link* link, int result)
{
    if (result == 0)
        return true;
    if (result == ECANCELED)
        return link->released || world.ending;
    return link->automaton.type == SOCK_DGRAM || linkIsOver(link) || link->fatal != 0;
}

static void onNotice(struct FastSocket* socket, int result, void* closure)
{
    uintptr_t name = (uintptr_t)closure;
    struct Link* link = linkOf(name);

    if (world.context != AUTOMATON_WAIT && world.context != AUTOMATON_END)
        wrong("a notice is called from nowhere");
    if (name != nameOf(link, link->notices.called))
        wrong("link %u: a notice is called out of its turn", link->number);
    if (link->socket != NULL && link->socket != socket)
        wrong("link %u: a notice of another socket", link->number);
    if (!isAllowed(link, result))
        wrong("link %u: a notice with %d", link->number, result);
    uint64_t place = link->notices.places[link->notices.called++ % NOTICES];
    tell("link %u: notice of %llu bytes, %d", link->number, (unsigned long long)place, result);
    if (result == 0 && link->socket != NULL && linkIsStream(link) &&
        linkStatistics(socket).sentBytes < place)
        wrong("link %u: a notice before its bytes have left", link->number);
}

static void ask(struct Link* link)
{
    uint32_t number = link->notices.asked;
    uint64_t place = linkIsStream(link) ? link->accepted : 0;

    if (number - link->notices.called == NOTICES)
        return;
    int result = NotifyFastSocketTransmit(link->socket, onNotice, (void*)nameOf(link, number));
    if (result == 0)
        link->notices.places[link->notices.asked++ % NOTICES] = place;
    else if (!(result == -ENOMEM && !run->calm) && !(result == -ECANCELED && world.ending) &&
             !(result == -EPIPE && (link->broken != 0 || link->peer == NULL || link->fatal != 0)))
        wrong("link %u: NotifyFastSocketTransmit gives %d", link->number, result);
}

void noticeTransmit(struct Link* link)
{
    uint32_t count = link->notices.transmits++;

    if (count % EACH == 0)
        ask(link);
    if (count % (EACH * EACH) == 0)
        ask(link);
}

void checkNotices(const struct Link* link)
{
    bool over = world.ring == NULL || (link->released && link->notices.turn < world.turn);

    if (over && link->notices.called != link->notices.asked)
        wrong("link %u: %u notices are never called", link->number,
              link->notices.asked - link->notices.called);
}

const char* missingNotice(const struct Link* link)
{
    bool waits = link->notices.called != link->notices.asked;

    return waits && link->socket != NULL && GetFastSocketOutboundLength(link->socket) == 0
               ? "a notice"
               : NULL;
}
