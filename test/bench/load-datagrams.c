/*
 * UDP echo: each source has some datagrams outstanding. They may come back in any order, but each
 * once; what doesn't come within a while is lost, and others take its place.
 */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum
{
    BATCH = 64,
    LONGEST = 65536,
    WAIT = 20,                 /* milliseconds */
    LOST_AFTER = 300 * 1000000 /* nanoseconds without an answer of a source */
};

/* A datagram that is outstanding. */
struct Slot
{
    uint64_t sequence;
    uint64_t begin;
};

struct Source
{
    uint32_t number;
    int handle;
    uint64_t sequence; /* of the next datagram */
    uint64_t oldest;   /* what is older is lost, and late if it comes all the same */
    uint64_t progress; /* when something was sent or came last */
    uint32_t free;     /* slots to be filled: the last ones */
    struct Slot* slots;
};

static uint8_t memory[BATCH][LONGEST];

static struct mmsghdr* prepareBatch(size_t size)
{
    static struct mmsghdr batch[BATCH];
    static struct iovec vectors[BATCH];

    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){memory[i], size};
        batch[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    return batch;
}

/* Sends as many datagrams as there are free slots. */
static void fillSource(struct Source* source, const struct LoadOptions* options)
{
    uint64_t now = timeNow();

    while (source->free > 0) {
        unsigned count = (source->free < BATCH) ? source->free : BATCH;
        struct mmsghdr* batch = prepareBatch(options->size);
        int sent;
        for (unsigned i = 0; i < count; i++)
            fillMessage(memory[i], options->size, source->number, source->sequence + i);
        sent = sendmmsg(source->handle, batch, count, MSG_NOSIGNAL);
        if ((sent < 0) && (errno == EAGAIN))
            return;
        if (sent <= 0)
            die("sendmmsg", errno);
        for (int i = 0; i < sent; i++) {
            source->slots[options->depth - source->free] = (struct Slot){source->sequence++, now};
            source->free--;
        }
        source->progress = now;
    }
}

static void takeDatagram(struct Source* source, struct Measure* measure, const uint8_t* data,
                         size_t length)
{
    uint64_t sequence = (length >= MESSAGE_HEADER) ? sequenceOf(data) : 0;
    uint32_t used = measure->options->depth - source->free;

    if (length != measure->options->size)
        refuse("another length", source->number, sequence);
    if (!checkMessage(data, length, source->number, sequence))
        refuse("another datagram", source->number, sequence);
    if (sequence < source->oldest)
        return;
    for (uint32_t i = 0; i < used; i++) {
        if (source->slots[i].sequence == sequence) {
            recordAnswer(measure, timeNow() - source->slots[i].begin);
            source->slots[i] = source->slots[used - 1];
            source->free++;
            measure->messages++;
            return;
        }
    }
    refuse("an answer without a datagram", source->number, sequence);
}

static void readSource(struct Source* source, struct Measure* measure)
{
    int count;

    do {
        struct mmsghdr* batch = prepareBatch(LONGEST);
        count = recvmmsg(source->handle, batch, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++)
            takeDatagram(source, measure, memory[i], batch[i].msg_len);
    } while (count == BATCH);
    fillSource(source, measure->options);
}

static void giveUpLost(struct Source* source, struct Measure* measure, uint64_t now)
{
    if (now - source->progress < LOST_AFTER)
        return;
    measure->lost += measure->options->depth - source->free;
    source->oldest = source->sequence;
    source->free = measure->options->depth;
    fillSource(source, measure->options);
}

static struct Source* openSources(const struct LoadOptions* options, int poll)
{
    struct Source* sources = allocateOrDie(options->connections * sizeof *sources);

    for (uint32_t i = 0; i < options->connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &sources[i]};
        sources[i] = (struct Source){.number = i,
                                     .handle = dialDatagrams(options),
                                     .free = options->depth,
                                     .slots = allocateOrDie(options->depth * sizeof(struct Slot))};
        makeNonblocking(sources[i].handle);
        if (epoll_ctl(poll, EPOLL_CTL_ADD, sources[i].handle, &event) < 0)
            die("epoll_ctl", errno);
    }
    return sources;
}

void loadDatagrams(const struct LoadOptions* options)
{
    static struct Measure measure;
    struct epoll_event events[BATCH];
    uint64_t looked = 0;
    static struct Source* sources; /* kept for checkers of memory */
    int poll = epoll_create1(EPOLL_CLOEXEC);

    sources = openSources(options, poll);
    beginMeasure(&measure, options);
    for (uint32_t i = 0; i < options->connections; i++)
        fillSource(&sources[i], options);
    while (measureGoesOn(&measure)) {
        int count = epoll_wait(poll, events, BATCH, WAIT);
        uint64_t now;
        for (int i = 0; i < count; i++)
            readSource(events[i].data.ptr, &measure);
        now = timeNow();
        if (now - looked > LOST_AFTER / 4) {
            looked = now;
            for (uint32_t i = 0; i < options->connections; i++)
                giveUpLost(&sources[i], &measure, now);
        }
    }
    reportMeasure(&measure);
}
