/* The queue of what is to be sent, alone: how bytes are put into items, and taken off. */
#include "outbound-queue.h"

AREA(outbound, "outbound", .open = openQueue, .close = closeQueue);

/* ---- copying ---- */

CASE(outbound, growsTheLastItem)
{
    copy(10, 0);
    copy(20, 0);
    ck_assert_uint_eq(countItems(), 1);
    expectItem(queue.first, 30, 2, 0);
    ck_assert_uint_eq(queue.first->room, PIECE - 30);
    ck_assert_uint_eq(FastPoolBuffers(pool), 1);
    expectBytes();
}

/* A message ends in the piece that has its last byte, and counts there alone. */
CASE(outbound, fillsAPieceBeforeTheNext)
{
    copy(PIECE - 4, 0);
    copy(100, 0);
    ck_assert_uint_eq(countItems(), 2);
    expectItem(queue.first, PIECE, 1, 0);
    ck_assert_uint_eq(queue.first->room, 0);
    expectItem(queue.last, 96, 1, 0);
    expectBytes();
}

CASE(outbound, fillsAPieceExactly)
{
    copy(PIECE, 0);
    copy(1, 0);
    ck_assert_uint_eq(countItems(), 2);
    expectItem(queue.first, PIECE, 1, 0);
    expectItem(queue.last, 1, 1, 0);
    expectBytes();
}

/* A long message is cut; its pieces but the last count as no message. */
CASE(outbound, cutsLongMessages)
{
    copy(600 << 10, MSG_MORE);
    ck_assert_uint_eq(countItems(), 3);
    expectItem(queue.first, LARGE_PIECE, 0, MSG_MORE);
    expectItem(queue.first->next, LARGE_PIECE, 0, MSG_MORE);
    expectItem(queue.last, (600 << 10) - 2 * LARGE_PIECE, 1, MSG_MORE);
    expectBytes();
}

/* The more is queued, the larger are the pieces, up to a limit. */
CASE(outbound, makesLargerPiecesOfBursts)
{
    size_t last = 0;
    for (int count = 0; count < 2000; count++) {
        copy(1000, 0);
        const struct FastItem* item = queue.last;
        size_t size = item->length + item->room;
        ck_assert_uint_ge(size, last);
        last = size;
    }
    ck_assert_uint_eq(last, (64 << 10) - sizeof(struct FastItem));
    ck_assert_uint_lt(countItems(), 40);
    expectBytes();
}

CASE(outbound, copiesAcrossVectors)
{
    uint8_t target[12];
    const struct iovec vector[] = {
        {.iov_base = bytes, .iov_len = 5},
        {.iov_base = NULL, .iov_len = 0},
        {.iov_base = bytes + 5, .iov_len = 3},
        {.iov_base = bytes + 8, .iov_len = 100},
    };
    FastVectorCopy(target, vector, 0, 12);
    ck_assert_mem_eq(target, bytes, 12);
    FastVectorCopy(target, vector, 5, 12);
    ck_assert_mem_eq(target, bytes + 5, 12);
    FastVectorCopy(target, vector, 9, 1);
    ck_assert_int_eq(target[0], bytes[9]);
    ck_assert_int_eq(target[1], bytes[6]);
    copy(PIECE - 6, 0);
    const struct iovec parts[] = {
        {.iov_base = bytes + queued, .iov_len = 7},
        {.iov_base = bytes + queued + 7, .iov_len = 9},
    };
    ck_assert_int_eq(FastOutboundCopy(&queue, pool, parts, 16, 0), 0);
    queued += 16;
    ck_assert_uint_eq(countItems(), 2);
    expectBytes();
}

/* ---- taking off ---- */

CASE(outbound, consumesAcrossItems)
{
    for (int count = 0; count < 3; count++)
        appendItem(FAST_ITEM_BYTES, 10, 0);
    consume(4);
    ck_assert_uint_eq(queue.first->length, 6);
    consume(0);
    consume(12);
    ck_assert_uint_eq(countItems(), 2);
    ck_assert_uint_eq(queue.first->length, 4);
    ck_assert_uint_eq(FastPoolBuffers(pool), 2);
    consume(14);
    ck_assert_ptr_null(queue.first);
    ck_assert_ptr_null(queue.last);
    copy(10, 0);
    expectBytes();
}

/* What is in flight stays, in order; the others are the caller's, in order. */
CASE(outbound, takesIdleItemsOff)
{
    struct FastItem* items[5];
    for (int index = 0; index < 5; index++) {
        items[index] = appendItem(FAST_ITEM_BYTES, (size_t)index + 1, 0);
        if (index == 1 || index == 3)
            items[index]->state = FAST_ITEM_IN_FLIGHT;
    }
    items[2]->state = FAST_ITEM_DONE;
    queue.messages = 7;
    struct FastItem* idle = FastOutboundTakeIdle(&queue);
    ck_assert_ptr_eq(idle, items[0]);
    ck_assert_ptr_eq(idle->next, items[2]);
    ck_assert_ptr_eq(idle->next->next, items[4]);
    ck_assert_ptr_null(items[4]->next);
    ck_assert_ptr_eq(queue.first, items[1]);
    ck_assert_ptr_eq(queue.first->next, items[3]);
    ck_assert_ptr_eq(queue.last, items[3]);
    ck_assert_ptr_null(items[3]->next);
    ck_assert_uint_eq(queue.length, 2 + 4);
    ck_assert_uint_eq(queue.messages, 7);
    freeList(idle);
}

/* ---- no memory ---- */

static void expectRefused(size_t size, int call, size_t buffers)
{
    struct FastOutboundQueue before = queue;
    struct FastItem last = {.length = 0};
    if (queue.last != NULL)
        last = *queue.last;
    failCall(&poolMemory, call);
    ck_assert_int_eq(tryCopy(size, 0), -ENOMEM);
    ck_assert(!isFailureAwaited(&poolMemory));
    ck_assert_mem_eq(&queue, &before, sizeof(queue));
    if (queue.last != NULL)
        ck_assert_mem_eq(queue.last, &last, offsetof(struct FastItem, state));
    ck_assert_uint_eq(FastPoolBuffers(pool), buffers);
    expectBytes();
}

/* §2.4 -ENOMEM: nothing is half copied, whichever piece has no memory */
CASE(outbound, copiesNothingWithoutMemory)
{
    expectRefused(10, 1, 0);
    expectRefused(0, 1, 0);
    for (int call = 1; call <= 3; call++)
        expectRefused(600 << 10, call, 0);
    copy(PIECE - 4, MSG_MORE);
    expectRefused(10, 1, 1);
    expectRefused(0, 1, 1);
    for (int call = 1; call <= 3; call++)
        expectRefused(600 << 10, call, 1);
    copy(600 << 10, 0);
    expectBytes();
}
