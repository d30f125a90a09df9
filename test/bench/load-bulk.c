/*
 * One way: sink asks a server to push messages, again and again, and compares them; source writes
 * in bulk to a server that discards, and compares its receipt.
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
        if ((length < 0) && (errno == EAGAIN))
            giveUp(measure->messages);
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

static void compareReceipt(int handle, const struct Receipt* sent)
{
    struct Receipt got;
    ssize_t length;

    if (shutdown(handle, SHUT_WR) < 0)
        die("shutdown", errno);
    length = recv(handle, &got, sizeof got, MSG_WAITALL);
    if ((length < 0) && (errno == EAGAIN))
        giveUp(0);
    if (length != sizeof got)
        die("the server gave no receipt", (length < 0) ? errno : 0);
    if ((got.count != sent->count) || (got.most != sent->most) || (got.sum != sent->sum)) {
        fprintf(stderr, "wrong data: %llu bytes were received of %llu, the sum is %s\n",
                (unsigned long long)got.count, (unsigned long long)sent->count,
                (got.sum == sent->sum) ? "the same" : "another");
        exit(3);
    }
}

/* Writes one message, or what the kernel takes of it. No two are the same. */
static size_t writeMore(int handle, uint8_t* data, size_t offset, struct Measure* measure,
                        struct Receipt* receipt)
{
    size_t size = measure->options->size;
    ssize_t length = send(handle, data + offset, size - offset, MSG_NOSIGNAL);

    if ((length < 0) && (errno == EAGAIN))
        giveUp(measure->messages);
    if (length <= 0)
        die("send", errno);
    noteReceived(receipt, data + offset, (size_t)length);
    offset += (size_t)length;
    if (offset < size)
        return offset;
    measure->messages++;
    stampMessage(data, 0, measure->messages);
    return 0;
}

void loadSource(const struct LoadOptions* options)
{
    static struct Measure measure;
    static uint8_t* data; /* kept for checkers of memory */
    struct Receipt receipt;
    size_t offset = 0;
    int handle = dialStream(options, 0);

    data = allocateOrDie(options->size);
    fillMessage(data, options->size, 0, 0);
    beginReceipt(&receipt, options->summed);
    beginMeasure(&measure, options);
    do {
        offset = writeMore(handle, data, offset, &measure, &receipt);
    } while (measureGoesOn(&measure));
    reportMeasure(&measure);
    compareReceipt(handle, &receipt);
}
