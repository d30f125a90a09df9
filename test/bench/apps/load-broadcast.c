/*
 * A room full of listeners: one of them speaks, and each line must reach everyone, in order, once,
 * and whole. Every byte is compared.
 *
 *     apps-load -p PORT -P PROCESS [-C CPU] [-c LISTENERS] [-d LINES OUTSTANDING] [-s BYTES]
 *               [-t SECONDS] [-w SECONDS OF WARM-UP] [-i SECONDS OF PATIENCE]
 *
 * A line is outstanding until everyone has it; those that may be said are said by one write. What
 * is counted are deliveries: a line to one listener.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../load.h"

enum
{
    LIFE = 120,   /* seconds */
    PATIENCE = 3, /* seconds without an answer */
    NUMBER = 16, /* digits that a line begins with */
    LONGEST = 4096,
    BATCH = 256,
    INPUT = 64 * 1024
};

struct Listener
{
    int handle;
    uint64_t next;  /* line */
    size_t offset;  /* bytes of it that have come */
};

struct Room
{
    struct LoadOptions options;
    struct Measure measure;
    struct Listener* listeners;
    int events;
    uint64_t said;
    uint64_t heard;   /* lines that everyone has */
    uint32_t* counts; /* of each line outstanding: who has it */
    uint64_t* times;  /* when it was said */
    char* lines;      /* their text, one behind the other */
};

/* ---- speaking ---- */

static char* lineOf(const struct Room* room, uint64_t number)
{
    return room->lines + ((number % room->options.depth) * room->options.size);
}

static void writeLine(const struct Room* room, uint64_t number)
{
    char* line = lineOf(room, number);
    size_t last = room->options.size - 1;
    char digits[NUMBER + 1];

    snprintf(digits, sizeof digits, "%0*llx", NUMBER, (unsigned long long)number);
    memcpy(line, digits, NUMBER);
    for (size_t i = NUMBER; i < last; i++)
        line[i] = (char)('a' + ((number + i) % 26));
    line[last] = '\n';
}

/* Says whatever may be said: up to where the lines' memory ends by one write, then the others. */
static void speak(struct Room* room)
{
    const struct LoadOptions* options = &room->options;

    while (room->said < room->heard + options->depth) {
        uint64_t first = room->said;
        size_t length = 0;

        do {
            writeLine(room, room->said);
            room->counts[room->said % options->depth] = 0;
            room->times[room->said % options->depth] = timeNow();
            room->said++;
            length += options->size;
        } while ((room->said < room->heard + options->depth) && (room->said % options->depth != 0));
        if (send(room->listeners[0].handle, lineOf(room, first), length, MSG_NOSIGNAL) !=
            (ssize_t)length)
            die("send", errno);
    }
}

/* ---- listening ---- */

static void countLine(struct Room* room, uint64_t number)
{
    size_t place = number % room->options.depth;

    room->measure.messages++;
    if (++room->counts[place] < room->options.connections)
        return;
    /* Everyone hears lines in order, so the first outstanding one is complete first. */
    recordAnswer(&room->measure, timeNow() - room->times[place]);
    room->heard++;
}

static void take(struct Room* room, struct Listener* listener, const char* data, size_t length)
{
    size_t size = room->options.size;

    while (length > 0) {
        size_t count = size - listener->offset;
        const char* line = lineOf(room, listener->next) + listener->offset;

        if (count > length)
            count = length;
        if ((listener->next >= room->said) || (memcmp(line, data, count) != 0))
            refuse("another line", (uint32_t)(listener - room->listeners), listener->next);
        data += count;
        length -= count;
        listener->offset += count;
        if (listener->offset == size) {
            listener->offset = 0;
            countLine(room, listener->next++);
        }
    }
}

static void hear(struct Room* room, struct Listener* listener)
{
    static char data[INPUT];
    ssize_t length = recv(listener->handle, data, sizeof data, MSG_DONTWAIT);

    if ((length < 0) && (errno == EAGAIN))
        return;
    if (length <= 0)
        die("the server has hung up", errno);
    take(room, listener, data, (size_t)length);
}

static void listenOnce(struct Room* room)
{
    struct epoll_event events[BATCH];
    int count = epoll_wait(room->events, events, BATCH, 100);

    for (int i = 0; i < count; i++)
        hear(room, events[i].data.ptr);
}

/* ---- the room ---- */

static void enter(struct Room* room)
{
    for (uint32_t i = 0; i < room->options.connections; i++) {
        struct Listener* listener = &room->listeners[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};

        listener->handle = dialStream(&room->options, i);
        if (epoll_ctl(room->events, EPOLL_CTL_ADD, listener->handle, &event) < 0)
            die("epoll_ctl", errno);
    }
}

/* Connections are accepted in the order in which they were made: when the last one has heard its
 * own word, all are there. */
static void awaitAll(const struct Room* room)
{
    const struct Listener* last = &room->listeners[room->options.connections - 1];
    char byte;

    if (send(last->handle, "\n", 1, MSG_NOSIGNAL) != 1)
        die("send", errno);
    for (uint32_t i = 0; i < room->options.connections; i++)
        if ((recv(room->listeners[i].handle, &byte, 1, 0) != 1) || (byte != '\n'))
            die("a listener heard nothing", errno);
}

static void readOptions(struct LoadOptions* options, int count, char** arguments)
{
    int cpu = -1;
    int option;

    while ((option = getopt(count, arguments, "p:P:C:c:d:s:t:w:i:")) != -1) {
        switch (option) {
        case 'p': options->port = (uint16_t)numberOf(optarg); break;
        case 'P': options->server = (pid_t)numberOf(optarg); break;
        case 'C': cpu = (int)numberOf(optarg); break;
        case 'i': options->patience = (uint32_t)numberOf(optarg); break;
        case 'c': options->connections = (uint32_t)numberOf(optarg); break;
        case 'd': options->depth = (uint32_t)numberOf(optarg); break;
        case 's': options->size = numberOf(optarg); break;
        case 't': options->seconds = strtod(optarg, NULL); break;
        case 'w': options->warm = strtod(optarg, NULL); break;
        default: exit(2);
        }
    }
    if ((options->connections == 0) || (options->depth == 0) || (options->size <= NUMBER) ||
        (options->size > LONGEST))
        die("arguments", EINVAL);
    beginProgram(cpu, LIFE);
}

int main(int count, char** arguments)
{
    static struct Room room = {
        .options = {.connections = 1000, .depth = 1, .size = 64, .patience = PATIENCE, .warm = 0.1,
                    .seconds = 0.5}};
    const struct LoadOptions* options = &room.options;

    readOptions(&room.options, count, arguments);
    room.listeners = allocateOrDie(options->connections * sizeof *room.listeners);
    memset(room.listeners, 0, options->connections * sizeof *room.listeners);
    room.counts = allocateOrDie(options->depth * sizeof *room.counts);
    room.times = allocateOrDie(options->depth * sizeof *room.times);
    room.lines = allocateOrDie(options->depth * options->size);
    room.events = epoll_create1(EPOLL_CLOEXEC);
    if (room.events < 0)
        die("epoll_create1", errno);
    enter(&room);
    awaitAll(&room);
    beginMeasure(&room.measure, options);
    while (measureGoesOn(&room.measure)) {
        speak(&room);
        listenOnce(&room);
    }
    reportMeasure(&room.measure);
    return 0;
}
