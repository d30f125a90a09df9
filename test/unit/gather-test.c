/* The queue of what is to be sent, alone: which bytes go out together, and how. */
#include "outbound-queue.h"

AREA(gather, "gather", .open = openQueue, .close = closeQueue);

/* ---- kinds of bytes ---- */

static const int kindFlags[] = {MSG_EOR, MSG_OOB, MSG_CONFIRM, MSG_DONTROUTE, MSG_ZEROCOPY};

enum
{
    KIND_FLAGS = sizeof(kindFlags) / sizeof(kindFlags[0]),
};

/* Bytes with such a flag are not mixed with others, in memory or in a send. */
CASE_ROUNDS(gather, keepsKindsApart, KIND_FLAGS)
{
    int flag = kindFlags[round];
    int flags = 0;
    copy(10, 0);
    copy(20, flag);
    copy(30, 0);
    ck_assert_uint_eq(countItems(), 3);
    expectItem(queue.first, 10, 1, 0);
    expectItem(queue.first->next, 20, 1, flag);
    ck_assert_uint_eq(gather(false, &flags), 10);
    ck_assert_int_eq(flags, 0);
    consume(10);
    ck_assert_uint_eq(gather(false, &flags), 20);
    ck_assert_int_eq(flags, flag);
    consume(20);
    ck_assert_uint_eq(gather(false, &flags), 30);
    ck_assert_int_eq(flags, 0);
}

/* The mark of a record or an urgent byte belongs to one message; the others to all of a send. */
CASE_ROUNDS(gather, joinsTheSameKind, KIND_FLAGS)
{
    int flag = kindFlags[round];
    bool single = flag & (MSG_OOB | MSG_EOR);
    int flags = 0;
    copy(10, flag);
    copy(20, flag);
    ck_assert_uint_eq(countItems(), single ? 2 : 1);
    appendItem(FAST_ITEM_BYTES, 30, flag);
    ck_assert_uint_eq(gather(false, &flags), single ? 10 : 60);
    ck_assert_int_eq(flags, flag);
}

CASE(gather, keepsNoOtherFlags)
{
    copy(10, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL | MSG_MORE);
    expectItem(queue.first, 10, 1, MSG_MORE);
    ck_assert_int_eq(FastItemFlags(-1), MSG_MORE | FAST_ITEM_KIND_FLAGS);
}

/* What was queued last says whether more follows. */
CASE(gather, takesMoreFromTheLast)
{
    int flags = 0;
    copy(10, MSG_MORE);
    (void)gather(false, &flags);
    ck_assert_int_eq(flags, MSG_MORE);
    copy(10, 0);
    ck_assert_uint_eq(countItems(), 1);
    (void)gather(false, &flags);
    ck_assert_int_eq(flags, 0);
    copy(10, MSG_MORE);
    (void)gather(false, &flags);
    ck_assert_int_eq(flags, MSG_MORE);
}

/* ---- markers ---- */

CASE(gather, leavesMarkersForNoBytes)
{
    int flags = 0;
    copy(10, 0);
    copy(0, 0);
    copy(20, 0);
    ck_assert_uint_eq(countItems(), 3);
    ck_assert_uint_eq(queue.first->next->kind, FAST_ITEM_MARKER);
    ck_assert_uint_eq(queue.length, 30);
    ck_assert_uint_eq(gather(false, &flags), 10);
    consume(10);
    ck_assert_uint_eq(queue.first->kind, FAST_ITEM_MARKER);
    ck_assert_uint_eq(FastOutboundCountGather(&queue), 0);
    FastItemFree(FastOutboundPop(&queue));
    ck_assert_uint_eq(gather(false, &flags), 20);
}

/* ---- gathering ---- */

CASE(gather, gathersNothingOfNothing)
{
    ck_assert_uint_eq(FastOutboundCountGather(&queue), 0);
}

/* Bytes that follow at once ask for MSG_MORE where that joins packets. */
CASE(gather, corksWhileBytesFollow)
{
    int flags = 0;
    copy(10, 0);
    (void)gather(true, &flags);
    ck_assert_int_eq(flags, 0);
    copy(10, MSG_OOB);
    (void)gather(true, &flags);
    ck_assert_int_eq(flags, MSG_MORE);
    (void)gather(false, &flags);
    ck_assert_int_eq(flags, 0);
    consume(10);
    appendItem(FAST_ITEM_BARRIER, 0, 0);
    (void)gather(true, &flags);
    ck_assert_int_eq(flags, MSG_OOB);
    queue.last->kind = FAST_ITEM_MARKER; /* which tearDown frees as such */
}

/* What takes its time must not keep the bytes before it back. */
CASE(gather, takesMoreBackBeforeOthers)
{
    const uint8_t kinds[] = {FAST_ITEM_SPLICE, FAST_ITEM_BARRIER, FAST_ITEM_MARKER};
    int flags = 0;
    copy(10, MSG_MORE);
    struct FastItem* next = appendItem(FAST_ITEM_MARKER, 0, 0);
    for (size_t index = 0; index < sizeof(kinds); index++) {
        next->kind = kinds[index];
        (void)gather(true, &flags);
        ck_assert_int_eq(flags, 0);
    }
    next->kind = FAST_ITEM_MESSAGE;
    (void)gather(false, &flags);
    ck_assert_int_eq(flags, MSG_MORE);
    next->kind = FAST_ITEM_MARKER;
}

/* A gather ends at a message, which has an operation of its own. */
CASE(gather, gathersBytesAlone)
{
    int flags = 0;
    copy(10, 0);
    appendItem(FAST_ITEM_BYTES, 10, 0);
    struct FastItem* next = appendItem(FAST_ITEM_MARKER, 0, 0);
    next->kind = FAST_ITEM_MESSAGE;
    ck_assert_uint_eq(FastOutboundCountGather(&queue), 2);
    ck_assert_uint_eq(gather(false, &flags), 20);
    next->kind = FAST_ITEM_MARKER;
}

CASE(gather, boundsBytesOfASend)
{
    int flags = 0;
    copy(MUCH, 0);
    ck_assert_uint_eq(FastOutboundCountGather(&queue), MAX_GATHER / LARGE_PIECE + 1);
    ck_assert_uint_eq(gather(false, &flags), MAX_GATHER);
    ck_assert_int_eq(flags, 0);
    (void)gather(true, &flags);
    ck_assert_int_eq(flags, MSG_MORE);
    for (size_t left = MUCH; left > 0; left -= MAX_GATHER) {
        ck_assert_uint_eq(gather(false, &flags), MAX_GATHER);
        consume(MAX_GATHER);
    }
    ck_assert_ptr_null(queue.first);
}

/* The last item may be cut too: then more follows, though nothing stands behind it. */
CASE(gather, cutsALargeItem)
{
    int flags = 0;
    appendItem(FAST_ITEM_BYTES, MAX_GATHER + 1, 0);
    ck_assert_uint_eq(FastOutboundCountGather(&queue), 1);
    ck_assert_uint_eq(gather(true, &flags), MAX_GATHER);
    ck_assert_int_eq(flags, MSG_MORE);
    consume(MAX_GATHER);
    ck_assert_uint_eq(gather(true, &flags), 1);
    ck_assert_int_eq(flags, 0);
}

CASE(gather, boundsVectorsOfASend)
{
    int flags = 0;
    for (int count = 0; count < MAX_VECTOR + 10; count++)
        appendItem(FAST_ITEM_BYTES, 1, 0);
    ck_assert_uint_eq(FastOutboundCountGather(&queue), MAX_VECTOR);
    ck_assert_uint_eq(gather(false, &flags), MAX_VECTOR);
    consume(MAX_VECTOR);
    ck_assert_uint_eq(FastOutboundCountGather(&queue), 10);
}

/* ---- the limit of messages ---- */

CASE(gather, putsNoMoreMessagesTogether)
{
    int flags = 0;
    queue.messages = 2;
    for (int count = 0; count < 5; count++)
        copy(10, 0);
    ck_assert_uint_eq(countItems(), 3);
    for (int left = 50; left > 0; left -= 20) {
        size_t size = left < 20 ? 10 : 20;
        ck_assert_uint_eq(gather(false, &flags), size);
        consume(size);
    }
}

/* … also of what was not copied into the same memory. */
CASE(gather, gathersNoMoreMessages)
{
    int flags = 0;
    queue.messages = 3;
    for (int count = 0; count < 4; count++)
        appendItem(FAST_ITEM_BYTES, 10, 0);
    ck_assert_uint_eq(gather(false, &flags), 30);
    queue.first->next->messages = 3;
    ck_assert_uint_eq(gather(false, &flags), 10);
}

/* A long message in several pieces goes together, and nothing behind it. */
CASE(gather, countsALongMessageOnce)
{
    int flags = 0;
    queue.messages = 1;
    copy(300 << 10, 0);
    copy(10, 0);
    ck_assert_uint_eq(countItems(), 3);
    ck_assert_uint_eq(gather(false, &flags), 300 << 10);
    consume(300 << 10);
    ck_assert_uint_eq(gather(false, &flags), 10);
}

/* … nor do its first pieces, which count nothing, go with what is in front of it. */
CASE(gather, beginsALongMessageAlone)
{
    int flags = 0;
    queue.messages = 1;
    copy(10, 0);
    copy(300 << 10, 0);
    ck_assert_uint_eq(gather(false, &flags), 10);
    consume(10);
    ck_assert_uint_eq(gather(false, &flags), 300 << 10);
}
