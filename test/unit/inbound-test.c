/* The queue of what was received, alone: filling, reading, and when it is full. */
#include "fixture.h"
#include "socket/inbound.h"

enum
{
    ROOM = 4096,     /* of a provider's buffer */
    FILL = ROOM / 8, /* room that is worth a copy of a part */
    HEADROOM = 16,
    CHUNKS = 64,
    HIGH = 100000,
    LOW = 40000,
    TURN = 60000,
    MEMORY = ROOM + 64, /* of a chunk, footprint */
};

static struct FastBufferPool* pool;
static struct FastInboundRules rules;
static struct FastInboundQueue queue = {.rules = &rules};
static uint8_t bytes[CHUNKS * ROOM];
static uint8_t target[CHUNKS * ROOM];

static void setUp(void)
{
    for (size_t index = 0; index < sizeof(bytes); index++)
        bytes[index] = (uint8_t)(index * 31 + (index >> 8));
    pool = FastPoolCreate(NULL);
    ck_assert_ptr_nonnull(pool);
    rules = FastInboundMakeRules(FAST_INBOUND_BYTES, 0);
}

static void popAll(void)
{
    while (queue.first != NULL)
        ReleaseFastBuffer(FastInboundPop(&queue));
    ck_assert_uint_eq(queue.length, 0);
    ck_assert_uint_eq(queue.footprint, 0);
    ck_assert_uint_eq(queue.offset, 0);
    ck_assert_ptr_null(queue.last);
}

static void tearDown(void)
{
    popAll();
    ck_assert_uint_eq(FastPoolBuffers(pool), 0);
    FastPoolDrop(pool);
}

AREA(inbound, "inbound", .open = setUp, .close = tearDown);

/* A chunk of so many payload bytes, of the pattern from a position on. */
static struct FastBuffer* push(size_t length, size_t position)
{
    struct FastBuffer* chunk = FastPoolAllocate(pool, ROOM);
    ck_assert_ptr_nonnull(chunk);
    FastBufferSetLength(chunk, rules.headroom + length);
    memcpy(FastInboundPayload(&queue, chunk), bytes + position, length);
    FastInboundPush(&queue, chunk);
    return chunk;
}

static void pushMany(int count, size_t length)
{
    for (int index = 0; index < count; index++)
        push(length, 0);
}

static void useLayout(uint8_t layout, uint32_t headroom)
{
    popAll();
    rules = FastInboundMakeRules(layout, headroom);
    rules.high = HIGH;
    rules.low = LOW;
    rules.turnLimit = TURN;
}

static size_t fill(size_t length, size_t position)
{
    return FastInboundFill(&queue, bytes + position, length);
}

/* ---- the marks that are documented ---- */

CASE(inbound, beginsWithTheMarksAsDocumented)
{
    rules = FastInboundMakeRules(FAST_INBOUND_MESSAGES, HEADROOM);
    ck_assert_uint_eq(rules.high, 1 << 20);
    ck_assert_uint_eq(rules.low, 256 << 10);
    ck_assert_uint_eq(rules.turnLimit, 256 << 10);
    ck_assert_uint_eq(rules.headroom, HEADROOM);
    ck_assert_int_eq(rules.layout, FAST_INBOUND_MESSAGES);
}

/* ---- filling ---- */

CASE(inbound, fillsBehindOlderBytes)
{
    struct FastBuffer* chunk = push(100, 0);
    ck_assert_uint_eq(fill(50, 100), 50);
    ck_assert_uint_eq(queue.length, 150);
    ck_assert_uint_eq(FastBufferLength(chunk), 150);
    ck_assert_ptr_eq(queue.last, chunk);
    ck_assert_mem_eq(FastBufferData(chunk), bytes, 150);
}

/* What FastInboundFill would copy nothing of. */
CASE(inbound, takesFullChunksWhereNoneIsFilled)
{
    ck_assert(FastInboundTakesFull(&queue, ROOM));
    push(100, 0);
    ck_assert(!FastInboundTakesFull(&queue, ROOM));
    ck_assert_uint_eq(fill(ROOM - 100, 100), ROOM - 100);
    ck_assert(FastInboundTakesFull(&queue, ROOM));
    push(ROOM - 1, 0); /* not worth it */
    ck_assert(FastInboundTakesFull(&queue, ROOM));
    useLayout(FAST_INBOUND_PACKETS, 0);
    ck_assert(!FastInboundTakesFull(&queue, ROOM));
}

CASE(inbound, fillsNothingWithoutOlderBytes)
{
    ck_assert_uint_eq(fill(50, 0), 0);
    ck_assert_uint_eq(queue.length, 0);
}

/* A part of what came is copied only where the room is worth it; all of it always. */
CASE(inbound, fillsRoomThatIsWorthIt)
{
    push(ROOM - FILL, 0);
    ck_assert_uint_eq(fill(FILL + 1, ROOM - FILL), FILL);
    ck_assert_uint_eq(fill(1, 0), 0);
    popAll();
    push(ROOM - FILL + 1, 0);
    ck_assert_uint_eq(fill(FILL, ROOM - FILL + 1), 0);
    ck_assert_uint_eq(fill(FILL - 1, ROOM - FILL + 1), FILL - 1);
    ck_assert_mem_eq(FastBufferData(queue.last), bytes, ROOM);
    ck_assert_uint_eq(queue.length, ROOM);
}

/* … and behind the last chunk alone. */
CASE(inbound, fillsTheLastChunk)
{
    push(100, 0);
    struct FastBuffer* last = push(ROOM - 10, 100);
    ck_assert_uint_eq(fill(10, ROOM + 90), 10);
    ck_assert_uint_eq(FastBufferLength(last), ROOM);
    ck_assert_uint_eq(fill(10, 0), 0);
    ck_assert_uint_eq(FastBufferLength(queue.first), 100);
}

CASE(inbound, keepsBordersThatMeanSomething)
{
    useLayout(FAST_INBOUND_PACKETS, 0);
    push(10, 0);
    ck_assert_uint_eq(fill(10, 10), 0);
    useLayout(FAST_INBOUND_MESSAGES, HEADROOM);
    push(10, 0);
    ck_assert_uint_eq(fill(10, 10), 0);
    ck_assert_uint_eq(queue.length, 10);
}

/* ---- pushing and popping ---- */

CASE(inbound, keepsTheOrder)
{
    struct FastBuffer* chunks[3];
    for (int index = 0; index < 3; index++)
        chunks[index] = push((size_t)index + 10, 0);
    ck_assert_uint_eq(queue.length, 33);
    ck_assert_uint_eq(queue.footprint, 3 * FastBufferFootprint(chunks[0]));
    for (int index = 0; index < 3; index++) {
        struct FastBuffer* chunk = FastInboundPop(&queue);
        ck_assert_ptr_eq(chunk, chunks[index]);
        ck_assert_ptr_null(*FastBufferLink(chunk));
        ReleaseFastBuffer(chunk);
    }
    push(10, 0);
    ck_assert_ptr_eq(queue.first, queue.last);
}

/* What was read of the first chunk counts no more, and not against the next one either. */
CASE(inbound, popsWhatIsUnread)
{
    push(100, 0);
    push(50, 100);
    queue.offset = 30;
    queue.length -= 30;
    ReleaseFastBuffer(FastInboundPop(&queue));
    ck_assert_uint_eq(queue.length, 50);
    ck_assert_uint_eq(queue.offset, 0);
}

CASE(inbound, findsPayloadBehindItsHeader)
{
    useLayout(FAST_INBOUND_MESSAGES, HEADROOM);
    struct FastBuffer* chunk = push(100, 0);
    ck_assert_ptr_eq(FastInboundPayload(&queue, chunk), FastBufferData(chunk) + HEADROOM);
    ck_assert_uint_eq(FastInboundPayloadLength(&queue, chunk), 100);
    ck_assert_uint_eq(queue.length, 100);
}

/* ---- copying out ---- */

static void expectCopied(size_t size, size_t expected, size_t position)
{
    memset(target, 0, sizeof(target));
    ck_assert_uint_eq(FastInboundCopy(&queue, target, size), expected);
    ck_assert_mem_eq(target, bytes + position, expected);
    ck_assert_int_eq(target[expected], 0);
}

CASE(inbound, copiesAcrossChunks)
{
    bool headers[] = {false, true};
    for (int index = 0; index < 2; index++) {
        useLayout(FAST_INBOUND_BYTES, headers[index] ? HEADROOM : 0);
        ck_assert_uint_eq(FastInboundCopy(&queue, target, 10), 0);
        push(100, 0);
        push(0, 100);
        push(50, 100);
        expectCopied(99, 99, 0);
        expectCopied(120, 120, 0);
        expectCopied(1000, 150, 0);
        expectCopied(0, 0, 0);
        queue.offset = 40;
        queue.length -= 40;
        expectCopied(10, 10, 40);
        expectCopied(1000, 110, 40);
        ck_assert_uint_eq(queue.length, 110); /* nothing is taken off */
        ck_assert_uint_eq(queue.offset, 40);
    }
}

/* ---- the marks ---- */

static void expectFull(bool full, bool before)
{
    ck_assert_int_eq(FastInboundIsFull(&queue, before), full);
}

CASE(inbound, stopsAtTheHighMarkUntilTheLowOne)
{
    useLayout(FAST_INBOUND_BYTES, 0);
    expectFull(false, false);
    expectFull(false, true);
    rules.high = 3 * 1000;
    rules.low = 1000;
    push(1000, 0);
    push(1000, 0);
    push(999, 0);
    expectFull(false, false);
    expectFull(true, true);
    ck_assert_uint_eq(fill(1, 0), 1);
    expectFull(true, false);
    ReleaseFastBuffer(FastInboundPop(&queue));
    expectFull(true, true);
    expectFull(false, false);
    queue.offset = 999;
    queue.length -= 999;
    expectFull(true, true);
    queue.offset = 1000;
    queue.length -= 1;
    expectFull(false, true);
}

/* A queue without a chunk is never full, whatever the marks are. */
CASE(inbound, isNotFullWhenItIsEmpty)
{
    rules.high = 0;
    rules.low = 0;
    expectFull(false, false);
    expectFull(false, true);
}

/* Who waits for so many bytes gets them. */
CASE(inbound, letsComeWhatIsWantedAtOnce)
{
    useLayout(FAST_INBOUND_PACKETS, 0);
    rules.high = 1000;
    rules.low = 500;
    queue.wanted = 2000;
    push(1999, 0);
    expectFull(false, false);
    expectFull(false, true);
    push(1, 0);
    expectFull(true, false);
    queue.wanted = 0;
    expectFull(true, false);
}

/* The memory of plain bytes doesn't count. */
CASE(inbound, countsBytesOfStreams)
{
    useLayout(FAST_INBOUND_BYTES, 0);
    pushMany(CHUNKS, 1);
    ck_assert_uint_gt(queue.footprint, HIGH + TURN);
    expectFull(false, false);
    expectFull(false, true);
}

/* Of messages the memory beyond a turn's share counts. */
CASE(inbound, countsMemoryOfMessages)
{
    const int full = (TURN + HIGH + MEMORY - 1) / MEMORY;
    const int emptied = (TURN + LOW) / MEMORY;
    useLayout(FAST_INBOUND_MESSAGES, HEADROOM);
    pushMany(full - 1, 1);
    ck_assert_uint_eq(queue.footprint, (size_t)(full - 1) * MEMORY);
    expectFull(false, false);
    push(1, 0);
    expectFull(true, false);
    for (int count = full; count > emptied; count--) {
        expectFull(true, true);
        ReleaseFastBuffer(FastInboundPop(&queue));
    }
    expectFull(false, true);
}

/* Below that share, and where it is more, their bytes count. */
CASE(inbound, countsBytesOfMessagesWhereTheyAreMore)
{
    useLayout(FAST_INBOUND_MESSAGES, HEADROOM);
    rules.turnLimit = UINT64_MAX; /* the high mark is the share then */
    rules.high = 20 * MEMORY;
    rules.low = 1;
    pushMany(39, 1);
    expectFull(false, false);
    push(1, 0);
    expectFull(true, false);
    useLayout(FAST_INBOUND_MESSAGES, HEADROOM);
    rules.high = 10 * 4000;
    pushMany(9, 4000);
    expectFull(false, false);
    push(4000, 0);
    ck_assert_uint_lt(queue.footprint, TURN);
    expectFull(true, false);
}

/* Of packets a sixteenth of that memory. */
CASE(inbound, countsASixteenthOfPackets)
{
    useLayout(FAST_INBOUND_PACKETS, 0);
    rules.turnLimit = 4 * MEMORY;
    rules.high = 2 * MEMORY; /* which is the share, since it is less */
    rules.low = MEMORY;
    pushMany(2 + 32 - 1, 1);
    expectFull(false, false);
    expectFull(true, true);
    push(1, 0);
    expectFull(true, false);
    rules.high = 8 * MEMORY;
    expectFull(false, false);
    for (int count = 34; count > 4 + 16; count--) {
        expectFull(true, true);
        ReleaseFastBuffer(FastInboundPop(&queue));
    }
    expectFull(false, true);
}

/* ---- buffers of their own size ---- */

/* Small messages are moved when the queue holds a quarter of the high mark in memory. */
CASE(inbound, isRoomyWithMuchMemory)
{
    useLayout(FAST_INBOUND_MESSAGES, HEADROOM);
    rules.high = 4 * 2 * MEMORY;
    push(1, 0);
    ck_assert(!FastInboundIsRoomy(&queue, 1, ROOM));
    push(1, 0);
    ck_assert(FastInboundIsRoomy(&queue, 1, ROOM));
    ck_assert(FastInboundIsRoomy(&queue, ROOM / 2, ROOM));
    ck_assert(!FastInboundIsRoomy(&queue, ROOM / 2 + 1, ROOM));
    rules.layout = FAST_INBOUND_PACKETS;
    ck_assert(FastInboundIsRoomy(&queue, ROOM / 2, ROOM));
    rules.layout = FAST_INBOUND_BYTES; /* which are put together instead */
    ck_assert(!FastInboundIsRoomy(&queue, 1, ROOM));
}
