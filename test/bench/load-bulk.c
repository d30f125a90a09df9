/*
 * One way: sink asks a server to push messages, again and again, and compares them; source writes
 * in bulk to a server that counts, and compares the count.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum
{
    PIECE = 256 * 1024
};

/* ---- sink ---- */

static void askFor(const struct LoadOptions* options, int handle)
{
    struct PushRequest request = {.magic = PUSH_MAGIC,
                                  .size = (uint32_t)options->size,
                                  .burst = options->burst,
                                  .count = options->count};

    if (send(handle, &request, sizeof request, MSG_NOSIGNAL) != sizeof request)
        die("send", errno);
}

static bool takePush(struct Measure* measure, int handle)
{
    static uint8_t piece[PIECE];
    struct MessageReader reader = {.size = measure->options->size, .fixed = true};

    while (reader.next < measure->options->count) {
        ssize_t length = recv(handle, piece, sizeof piece, 0);
        if (length <= 0)
            die("the push has ended early", (length < 0) ? errno : 0);
        measure->messages += readMessages(&reader, piece, (size_t)length);
    }
    if ((reader.next > measure->options->count) || (reader.offset != 0))
        refuse("more than was asked for", 0, reader.next);
    return measureGoesOn(measure);
}

void loadSink(const struct LoadOptions* options)
{
    static struct Measure measure;
    int handle = dialStream(options, 0);

    beginMeasure(&measure, options);
    do {
        askFor(options, handle);
    } while (takePush(&measure, handle));
    reportMeasure(&measure);
}

/* ---- source ---- */

static void compareCount(int handle, uint64_t sent)
{
    uint64_t counted = 0;

    if (shutdown(handle, SHUT_WR) < 0)
        die("shutdown", errno);
    if (recv(handle, &counted, sizeof counted, MSG_WAITALL) != sizeof counted)
        die("the server gave no count", errno);
    if (counted != sent) {
        fprintf(stderr, "wrong data: %llu bytes were counted of %llu\n",
                (unsigned long long)counted, (unsigned long long)sent);
        exit(3);
    }
}

void loadSource(const struct LoadOptions* options)
{
    static struct Measure measure;
    static uint8_t* data; /* kept for checkers of memory */
    uint64_t sent = 0;
    int handle = dialStream(options, 0);

    data = allocateOrDie(options->size);
    fillMessage(data, options->size, 0, 0);
    beginMeasure(&measure, options);
    do {
        ssize_t length = send(handle, data, options->size, MSG_NOSIGNAL);
        if (length <= 0)
            die("send", errno);
        sent += (uint64_t)length;
        measure.messages = sent / options->size;
    } while (measureGoesOn(&measure));
    reportMeasure(&measure);
    compareCount(handle, sent);
}
