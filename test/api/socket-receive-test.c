/* Receiving. Messages with control data have a file of their own. */
#include "fixture.h"

#include <liburing.h>

SCENE_AREA(receive, "receive");

static int receive(void* data, size_t size, int flags)
{
    return (int)ReceiveFastSocketData(scene.ours.socket, data, size, flags);
}

/* §2.3 ReceiveFastSocketData(size 0 or NULL), §2.3 MSG_DONTWAIT, MSG_NOSIGNAL: size 0 or NULL;
 * flags */
CASE(receive, refusesBadArguments)
{
    const int refused[] = {MSG_OOB, MSG_ERRQUEUE, MSG_CMSG_CLOEXEC,
                           MSG_DONTROUTE, MSG_MORE, 1 << 30};
    char data[8];

    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "data");
    waitInput(&scene.ours, 4);
    ck_assert_int_eq(receive(NULL, 1, 0), -EINVAL);
    ck_assert_int_eq(receive(data, 0, 0), -EINVAL);
    ck_assert_int_eq(receive(data, 1, MSG_TRUNC), -EINVAL);
    for (size_t index = 0; index < sizeof(refused) / sizeof(refused[0]); index++)
        ck_assert_int_eq(receive(data, 1, refused[index]), -EINVAL);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 4);
    receiveText(&scene.ours, "data");
}

/* §2.3 nothing queued, connection fine, §2.3 MSG_DONTWAIT, MSG_NOSIGNAL: no effect; nothing
 * queued: 0 */
CASE(receive, ignoresHarmlessFlags)
{
    char data[8];

    openPair(KIND_UNIX_STREAM);
    ck_assert_int_eq(receive(data, 8, 0), 0);
    ck_assert_int_eq(receive(data, 8, MSG_DONTWAIT), 0);
    ck_assert_int_eq(receive(data, 8, MSG_PEEK), 0);
    sendText(scene.peer, "ab");
    waitInput(&scene.ours, 2);
    ck_assert_int_eq(receive(data, 1, MSG_DONTWAIT), 1);
    ck_assert_int_eq(receive(data, 1, MSG_NOSIGNAL | MSG_DONTWAIT), 1);
    ck_assert_int_eq(receive(data, 8, 0), 0);
}

/* §2.3 stream: over the borders of buffers */
CASE(receive, readsOverBorders)
{
    uint8_t data[10000];

    reopenScene(.buffers = 8, .bufferLength = 128);
    openPair(KIND_TCP);
    fillPattern(data, sizeof(data), 0);
    sendAll(scene.peer, data, sizeof(data));
    for (size_t position = 0, size = 1; position < sizeof(data);
         position += size, size = (size * 7 + 3) % 1000 + 1) {
        uint8_t piece[1001];
        if (size > sizeof(data) - position)
            size = sizeof(data) - position;
        waitInput(&scene.ours, size);
        ck_assert_int_eq(receive(piece, size, 0), (int)size);
        ck_assert(checkPattern(piece, size, position));
    }
    ck_assert_uint_eq(readSocket(scene.ours.socket).receivedBytes, sizeof(data));
}

/* §2.3 datagram: one for each call, excess dropped */
CASE(receive, readsOneDatagram)
{
    const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};
    char data[64] = "";

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPair(kinds[index]);
        sendText(scene.peer, "first message");
        sendText(scene.peer, "second");
        sendText(scene.peer, "third one");
        waitInput(&scene.ours, 28);
        ck_assert_int_eq(receive(data, 5, 0), 5);
        ck_assert_int_eq(memcmp(data, "first", 5), 0);
        ck_assert_int_eq(receive(data, sizeof(data), 0), 6);
        ck_assert_int_eq(memcmp(data, "second", 6), 0);
        ck_assert_int_eq(receive(data, 5, MSG_TRUNC), 9);
        ck_assert_int_eq(memcmp(data, "third", 5), 0);
        ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
        ck_assert_int_eq(receive(data, 5, 0), 0);
        closePair();
    }
}

/* §2.3 datagram, §2.3 MSG_PEEK: MSG_TRUNC with MSG_PEEK asks for the length */
CASE(receive, peeksDatagram)
{
    char data[64] = "";

    openPair(KIND_UDP);
    sendText(scene.peer, "message");
    waitInput(&scene.ours, 7);
    ck_assert_int_eq(receive(data, 1, MSG_PEEK | MSG_TRUNC), 7);
    ck_assert_int_eq(receive(data, 3, MSG_PEEK), 3);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 7);
    ck_assert_int_eq(receive(data, sizeof(data), 0), 7);
}

/* §2.3 datagram, §2.3 empty datagram, §2.3 ReceiveFastSocketBuffer: consumed, 0 */
CASE(receive, readsEmptyDatagram)
{
    char data[8] = "";
    struct FastBuffer* buffer = NULL;

    openPair(KIND_UDP);
    ck_assert_int_eq(send(scene.peer, "", 0, 0), 0);
    sendText(scene.peer, "full");
    ck_assert_int_eq(send(scene.peer, "", 0, 0), 0);
    waitInput(&scene.ours, 4);
    runIdle(scene.ring);
    ck_assert_int_eq(receive(data, sizeof(data), 0), 0);
    ck_assert_int_eq(receive(data, sizeof(data), 0), 4);
    buffer = ReceiveFastSocketBuffer(scene.ours.socket);
    ck_assert_ptr_nonnull(buffer);
    ck_assert_uint_eq(GetFastBufferLength(buffer), 0);
    ReleaseFastBuffer(buffer);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(scene.ours.socket));
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(readSocket(scene.ours.socket).receivedMessages, 3);
}

/* §2.3 SEQPACKET: an empty record is no end; the end is */
CASE(receive, tellsEmptyRecordFromEnd)
{
    char data[8] = "";

    openPair(KIND_UNIX_SEQPACKET);
    runIdle(scene.ring);
    ck_assert_int_eq(send(scene.peer, "", 0, 0), 0);
    waitCount(scene.ring, &scene.ours.in, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.hup, 0);
    ck_assert_int_eq(scene.ours.parameterIn, 0);
    sendText(scene.peer, "more");
    waitInput(&scene.ours, 4);
    ck_assert_int_eq(receive(data, sizeof(data), 0), 0);
    ck_assert_int_eq(receive(data, sizeof(data), 0), 4);
    closePeer();
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.lastHangup, 0);
}

/* §2.3 MSG_WAITALL, §2.3 MSG_PEEK: all or nothing while more can come */
CASE(receive, waitsForAll)
{
    char data[16] = "";

    openPair(KIND_TCP);
    sendText(scene.peer, "12345");
    waitInput(&scene.ours, 5);
    ck_assert_int_eq(receive(data, 10, MSG_WAITALL), 0);
    ck_assert_int_eq(receive(data, 10, MSG_WAITALL | MSG_PEEK), 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 5);
    sendText(scene.peer, "67890x");
    waitInput(&scene.ours, 11);
    ck_assert_int_eq(receive(data, 10, MSG_WAITALL | MSG_PEEK), 10);
    ck_assert_int_eq(receive(data, 10, MSG_WAITALL), 10);
    ck_assert_str_eq(data, "1234567890");
}

/* §2.3 MSG_WAITALL, §2.3 nothing queued after orderly EOF: after the end or an error, what is
 * left */
CASE(receive, waitsForAllUntilEnd)
{
    char data[16] = "";

    for (int reset = 0; reset < 2; reset++) {
        openPair(KIND_TCP);
        runIdle(scene.ring);
        sendText(scene.peer, "rest");
        waitInput(&scene.ours, 4);
        ck_assert_int_eq(receive(data, 10, MSG_WAITALL), 0);
        if (reset)
            resetPeer();
        else
            closePeer();
        waitHangup(&scene.ours);
        ck_assert_int_eq(receive(data, 10, MSG_WAITALL), 4);
        ck_assert_int_eq(receive(data, 10, MSG_WAITALL), reset ? -ECONNRESET : 0);
        ck_assert_int_eq(receive(data, 10, 0), reset ? -ECONNRESET : 0);
        closePair();
    }
}

/* §2.3 MSG_WAITALL: more than the high mark raises the marks */
CASE(receive, waitsForMoreThanHighMark)
{
    static uint8_t data[100000];
    uint64_t high = 0;

    openPair(KIND_TCP);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 4096);
    ck_assert_int_eq(setsockopt(scene.peer, SOL_SOCKET, SO_SNDBUF, &(int){200000}, sizeof(int)), 0);
    fillPattern(data, sizeof(data), 0);
    runIdle(scene.ring);
    sendAll(scene.peer, data, 50000);
    waitInput(&scene.ours, 4096);
    runIdle(scene.ring);
    ck_assert_int_eq(receive(data, sizeof(data), MSG_WAITALL), 0);
    ck_assert_int_eq(GetFastSocketOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, &high),
                     0);
    ck_assert_uint_ge(high, sizeof(data));
    waitInput(&scene.ours, 50000);
    sendAll(scene.peer, data + 50000, 50000);
    waitInput(&scene.ours, sizeof(data));
    memset(data, 0, sizeof(data));
    ck_assert_int_eq(receive(data, sizeof(data), MSG_WAITALL), (int)sizeof(data));
    ck_assert(checkPattern(data, sizeof(data), 0));
}

/* §2.3 MSG_WAITALL: more than the ring's inbound limit can never come */
CASE(receive, refusesMoreThanRingLimit)
{
    static char data[16384];

    openPair(KIND_TCP);
    ck_assert_int_eq(SetFastRingOption(scene.ring, FASTRING_OPTION_INBOUND_LIMIT, 8192), 0);
    sendText(scene.peer, "x");
    waitInput(&scene.ours, 1);
    ck_assert_int_eq(receive(data, 8193, MSG_WAITALL), -ENOBUFS);
    ck_assert_int_eq(receive(data, 8192, MSG_WAITALL), 0);
    receiveText(&scene.ours, "x");
}

/* §2.3 MSG_PEEK: copies without consuming, over borders too */
CASE(receive, peeksStream)
{
    char data[1000];
    char again[1000];

    reopenScene(.buffers = 16, .bufferLength = 128);
    openPair(KIND_UNIX_STREAM);
    fillPattern(data, sizeof(data), 0);
    sendAll(scene.peer, data, sizeof(data));
    waitInput(&scene.ours, sizeof(data));
    memset(again, 0, sizeof(again));
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(receive(again, sizeof(again), MSG_PEEK), (int)sizeof(again));
        ck_assert(checkPattern(again, sizeof(again), 0));
    }
    ck_assert_int_eq(receive(again, 100, 0), 100);
    ck_assert_int_eq(receive(again, sizeof(again), MSG_PEEK), 900);
    ck_assert(checkPattern(again, 900, 100));
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 900);
}

/* §2.3 ReceiveFastSocketBuffer: one chunk; after a partial read the rest; unread no more */
CASE(receive, takesChunks)
{
    struct FastBuffer* buffer = NULL;
    char data[4] = "";

    openPair(KIND_UNIX_STREAM);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(scene.ours.socket));
    ck_assert_int_eq(errno, EAGAIN);
    sendText(scene.peer, "0123456789");
    waitInput(&scene.ours, 10);
    ck_assert_int_eq(receive(data, 3, 0), 3);
    buffer = ReceiveFastSocketBuffer(scene.ours.socket);
    ck_assert_ptr_nonnull(buffer);
    ck_assert_uint_eq(GetFastBufferLength(buffer), 7);
    ck_assert_int_eq(memcmp(GetFastBufferData(buffer), "3456789", 7), 0);
    ck_assert_ptr_eq(GetFastBuffer(GetFastBufferData(buffer)), buffer);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
    ck_assert_uint_eq(readRing(scene.ring).inboundLength, 0);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq(memcmp(GetFastBufferData(buffer), "3456789", 7), 0);
    ReleaseFastBuffer(buffer);
}

/* §2.3 buffers and provider: what the user keeps is replaced at once */
CASE(receive, replacesKeptBuffers)
{
    enum
    {
        KEPT = 100,
    };
    struct FastBuffer* kept[KEPT];

    reopenScene(.buffers = 2, .bufferLength = 256);
    openPair(KIND_UNIX_DATAGRAM);
    for (int index = 0; index < KEPT; index++) {
        char data[200];
        fillPattern(data, sizeof(data), (uint64_t)index);
        ck_assert_int_eq(send(scene.peer, data, sizeof(data), 0), sizeof(data));
        waitInput(&scene.ours, sizeof(data));
        kept[index] = ReceiveFastSocketBuffer(scene.ours.socket);
        ck_assert_ptr_nonnull(kept[index]);
    }
    ck_assert_uint_ge(readRing(scene.ring).buffers, KEPT);
    for (int index = 0; index < KEPT; index++) {
        ck_assert_uint_eq(GetFastBufferLength(kept[index]), 200);
        ck_assert(checkPattern(GetFastBufferData(kept[index]), 200, (uint64_t)index));
        ReleaseFastBuffer(kept[index]);
    }
}

/* §2.3 truncation: plain datagrams are cut at length - 16, seen and counted */
CASE(receive, countsTruncation)
{
    const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};
    char data[300];

    reopenScene(.buffers = 8, .bufferLength = 256);
    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPair(kinds[index]);
        fillPattern(data, sizeof(data), 0);
        ck_assert_int_eq(send(scene.peer, data, 240, 0), 240);
        waitInput(&scene.ours, 240);
        ck_assert_int_eq(receive(data, sizeof(data), 0), 240);
        ck_assert_uint_eq(readSocket(scene.ours.socket).receivedTruncated, 0);
        ck_assert_int_eq(send(scene.peer, data, sizeof(data), 0), sizeof(data));
        waitInput(&scene.ours, 1);
        ck_assert_int_eq(receive(data, sizeof(data), 0), 240);
        ck_assert(checkPattern(data, 240, 0));
        ck_assert_uint_eq(readSocket(scene.ours.socket).receivedTruncated, 1);
        sendText(scene.peer, "next");
        receiveText(&scene.ours, "next");
        closePair();
    }
}

static bool receivedAll(void* closure)
{
    struct Recorder* self = closure;

    return readSocket(self->socket).receivedMessages >= 200;
}

/* -ENOBUFS: one buffer serves a burst, nothing is lost */
CASE(receive, livesOnOneBuffer)
{
    uint8_t data[64];

    reopenScene(.buffers = 1, .bufferLength = 64);
    openPair(KIND_UNIX_DATAGRAM);
    ck_assert_int_eq(setsockopt(scene.peer, SOL_SOCKET, SO_SNDBUF, &(int){1000000}, sizeof(int)),
                     0);
    for (int index = 0; index < 200; index++) {
        fillPattern(data, 40, (uint64_t)index * 40);
        while (send(scene.peer, data, 40, MSG_DONTWAIT) < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            runTurns(scene.ring, 1);
        }
    }
    waitFor(scene.ring, receivedAll, &scene.ours);
    for (int index = 0; index < 200; index++) {
        ck_assert_int_eq(receive(data, sizeof(data), 0), 40);
        ck_assert(checkPattern(data, 40, (uint64_t)index * 40));
    }
}

static int takeShared(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                      int reason)
{
    int* count = GetFastRingDescriptorClosure(descriptor);
    uint8_t* data = NULL;

    if (reason == FASTRING_REASON_RELEASED)
        return 0;
    ck_assert_int_eq(completion->res, 4);
    data = GetFastRingBuffer(scene.provider, completion);
    ck_assert_ptr_nonnull(data);
    ck_assert_int_eq(memcmp(data, "mine", 4), 0);
    ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, completion, NULL, NULL), 0);
    (*count)++;
    return 1;
}

/* §2.3 bundles: completion order is not the buffers' order when a user's own receive has one of
 * them */
CASE(receive, sharesProviderWithOperations)
{
    struct FastRingDescriptor* descriptor = NULL;
    struct io_uring_sqe* submission = NULL;
    uint64_t position = 0;
    uint64_t checked = 0;
    int count = 0;
    int more[2];

    reopenScene(.buffers = 16, .bufferLength = 128);
    openPair(KIND_TCP);
    pairStream(more);
    descriptor = AllocateFastRingDescriptor(scene.ring, takeShared, &count);
    ck_assert_ptr_nonnull(descriptor);
    submission = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv(submission, more[0], NULL, 0, 0);
    PrepareFastRingBuffer(scene.provider, submission);
    for (int round = 0; round < 50; round++) {
        uint8_t data[1000];
        size_t size = (size_t)(round * 37) % 900 + 1;
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
        runTurns(scene.ring, 1);
        fillPattern(data, size, position);
        sendAll(scene.peer, data, size / 2);
        sendText(more[1], "mine");
        sendAll(scene.peer, data + size / 2, size - size / 2);
        position += size;
        waitInput(&scene.ours, size);
        waitCount(scene.ring, &count, round + 1);
        ck_assert_int_eq(receive(data, sizeof(data), 0), (int)size);
        ck_assert(checkPattern(data, size, checked));
        checked += size;
    }
    ReleaseFastRingDescriptor(descriptor);
    close(more[0]);
    close(more[1]);
}

static void cancelByNumber(void)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);

    ck_assert_ptr_nonnull(descriptor);
    io_uring_prep_cancel_fd(GetFastRingDescriptorSubmission(descriptor), scene.handle,
                            IORING_ASYNC_CANCEL_ALL);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runIdle(scene.ring);
}

/* §2.3 -ECANCELED without our cancel: the user's, by number: armed again once; then an end,
 * never a loop */
CASE(receive, survivesForeignCancel)
{
    openPair(KIND_TCP);
    runIdle(scene.ring);
    cancelByNumber();
    sendText(scene.peer, "still received");
    receiveText(&scene.ours, "still received");
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
    for (int count = 0; count < 5; count++)
        cancelByNumber();
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.hup, 1);
}

/* §2.3 -ECANCELED without our cancel: as often as it comes, as long as something is received
 * between two of them */
CASE(receive, survivesForeignCancelsApart)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPair(kinds[index]);
        runIdle(scene.ring);
        for (int count = 0; count < 5; count++) {
            cancelByNumber();
            sendText(scene.peer, "between two");
            receiveText(&scene.ours, "between two");
            ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
        }
        closePair();
    }
}

/* §2.3 nothing queued after fatal error: that error, again and again (also for a buffer) */
CASE(receive, repeatsError)
{
    char byte = 0;

    openPair(KIND_UNIX_STREAM);
    transmitText(scene.ours.socket, "unread");
    waitDrained(&scene.ours);
    closePeer();
    waitHangup(&scene.ours);
    for (int round = 0; round < 3; round++)
        ck_assert_int_eq(receive(&byte, 1, 0), -ECONNRESET);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(scene.ours.socket));
}

/* §2.3 back-pressure: the level of unread bytes, the socket's and the ring's, which the limits are
 * about */
CASE(receive, countsUnread)
{
    char data[8];

    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "12345678");
    waitInput(&scene.ours, 8);
    ck_assert_uint_eq(readRing(scene.ring).inboundLength, 8);
    ck_assert_int_eq(receive(data, 3, 0), 3);
    ck_assert_uint_eq(readRing(scene.ring).inboundLength, 5);
    closePair();
    ck_assert_uint_eq(readRing(scene.ring).inboundLength, 0);
}
