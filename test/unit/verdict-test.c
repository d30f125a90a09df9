/*
 * What each kind of socket makes of what the kernel says: completions of receives and results of
 * sends, and their verdicts. No descriptor is real, neither are the ring's engine and the system's
 * answers.
 */
#include "verdict-rows.h"
#include "ring/life.h"
#include "simulated.h"
#include "socket/intake.h"
#include "socket/kind-datagram.h"
#include "socket/kind-file.h"
#include "socket/kind-record.h"
#include "socket/kind-stream.h"

#include <fcntl.h>

enum
{
    COUNT = 4,
    LENGTH = 256,
    GROUP = 7,
    HANDLE = 1 << 20, /* nobody's: who asks the system itself hears nothing */
    BACKOFF = 64,     /* sends without zero copy */
    STORED = 5,
    REAL = 500,
};

static struct Countdown memory;

FAILING_CALL(&memory, NULL, void*, AllocateRingFastBuffer, (size_t size, void* closure),
             (size, closure))

/* ---- the socket ---- */

static struct Simulated kernel;
static struct FastRing* ring;
static struct FastBufferPool* pool;
static struct FastRingBufferProvider* provider;
static struct FastSocket* self;
static struct FastMessage message;
static int peer = -1; /* of what stands for a file of our own */
static uint32_t seen; /* a bit for each verdict */

static bool doNothing(struct FastRingWorker* worker)
{
    (void)worker;
    return true;
}

static const struct FastRingMemberFunctions idle = {.work = {doNothing, doNothing, doNothing}};

/* Flights of theirs carry bytes, not messages. */
static bool isBytes(const struct FastKind* kind)
{
    return kind == &FastKindStream || kind == &FastKindFile;
}

static void openFile(const struct Row* row)
{
    struct FastFileSocket* file = FastFile(self);
    int ends[2];
    file->form = row->form;
    file->result = row->written;
    if (row->input == NULL)
        return;
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_eq(write(ends[1], row->input, strlen(row->input)), strlen(row->input));
    if (row->form == FAST_FILE_RELAY) {
        file->relay[0] = ends[0];
        file->relay[1] = ends[1];
        return;
    }
    file->own = ends[0];
    peer = ends[1];
    if (row->closed)
        close(peer);
}

static void openInbound(const struct FastKind* kind, const struct Row* row)
{
    struct FastInbound* inbound = &self->inbound;
    bool plain = row->bytes || kind == &FastKindFile;
    const struct FastCommon common = {
        .inbound = FastInboundMakeRules(plain ? FAST_INBOUND_BYTES : FAST_INBOUND_MESSAGES,
                                        plain ? 0 : HEADER),
        .kind = kind,
        .provider = provider,
        .inboundPool = pool,
    };
    ck_assert_int_eq(FastSocketShare(self, &common), 0);
    inbound->discard = row->discard;
    inbound->stops = row->stops;
    inbound->receive.mark = row->shortage == MANY_PUT ? 0 : FastProviderMark(provider);
    if (row->shortage == NONE_THERE)
        for (uint16_t id = 0; id < COUNT; id++) {
            ReleaseRingFastBuffer(FastProviderPeek(provider, id));
            FastProviderReplace(provider, id, NULL);
        }
}

static void openSocket(const struct FastKind* kind, const struct Row* row)
{
    ring = FastRingCreateOn(simulatedOpen(&kernel));
    ck_assert_ptr_nonnull(ring);
    pool = CreateFastBufferPool(ring);
    provider = CreateFastRingBufferProvider(ring, GROUP, COUNT, LENGTH, AllocateRingFastBuffer,
                                            pool);
    ck_assert_ptr_nonnull(provider);
    self = calloc(1, kind->size);
    self->ring = ring;
    self->handle = HANDLE;
    self->traits = row->traits;
    self->references = 1;
    self->worker.member.functions = &idle;
    simulated = (struct SimulatedSystem){0};
    openInbound(kind, row);
    const struct FastFinding finding = {.largest = row->largest, .fileState = row->state};
    if (kind->initialize != NULL)
        ck_assert_int_eq(kind->initialize(self, &finding), 0);
    if (kind == &FastKindFile)
        openFile(row);
    ck_assert_int_eq(FastSocketMakeOutbound(self), 0);
    simulated = row->system;
}

static void closeSocket(void)
{
    FastIntakeDropAll(self);
    if (FastSocketKind(self)->close != NULL)
        FastSocketKind(self)->close(self);
    if (peer >= 0)
        close(peer);
    peer = -1;
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ck_assert_uint_eq(FastPoolBuffers(pool), 0);
    ReleaseFastBufferPool(pool);
    FastSocketDropOutbound(self); /* the ring keeps it for another socket */
    FastRingHold(ring); /* the socket has tasks in its queues, and asks how it ended */
    ReleaseFastRing(ring);
    FastSocketFree(self);
    FastRingDrop(ring);
}

/* ---- asking for a verdict ---- */

static struct FastAnswer receiveOf(const struct Row* row)
{
    struct io_uring_recvmsg_out* out = FastProviderPeek(provider, 0);
    const struct io_uring_cqe completion = {.res = row->result, .flags = row->flags};
    if (out != NULL)
        *out = (struct io_uring_recvmsg_out){.controllen = row->control, .flags = row->told};
    if (row->starved)
        failEveryCall(&memory);
    struct FastAnswer answer = FastSocketKind(self)->classifyReceive(self, &completion);
    failNoCall(&memory);
    return answer;
}

static struct FastAnswer sendOf(const struct Row* row)
{
    struct FastFlight flight = {
        .socket = self,
        .message = isBytes(FastSocketKind(self)) ? NULL : &message,
        .count = 1,
    };
    static uint64_t loan;
    message = (struct FastMessage){
        .nameLength = row->named ? sizeof(struct sockaddr_storage) : 0,
        .tries = row->tries,
        .doubts = row->doubts,
        .doubt = row->doubt,
    };
    if (row->loan)
        flight.loan = (struct FastLoan*)&loan;
    self->outbound->room = row->room;
    self->outbound->corked = row->corked;
    return FastSocketKind(self)->classifySend(self, &flight, row->result);
}

static bool hasValue(enum FastVerdict verdict, bool sends)
{
    return verdict == FAST_VERDICT_FAIL || verdict == FAST_VERDICT_FAIL_ONE ||
           verdict == FAST_VERDICT_RECORD || (sends && verdict == FAST_VERDICT_DATA);
}

static void checkRow(const struct FastKind* kind, const struct Row* row, bool sends, size_t number)
{
    openSocket(kind, row);
    struct FastAnswer answer = sends ? sendOf(row) : receiveOf(row);
    ck_assert_msg(answer.verdict == row->verdict, "row %zu (%d): verdict %d, not %d", number,
                  row->result, answer.verdict, row->verdict);
    if (hasValue(answer.verdict, sends))
        ck_assert_msg(answer.value == row->value, "row %zu (%d): value %d, not %d", number,
                      row->result, answer.value, row->value);
    ck_assert_msg(self->traits == (row->traits & ~row->losesTraits), "row %zu (%d): traits %x",
                  number, row->result, self->traits);
    if (kind == &FastKindFile) {
        uint16_t state = (uint16_t)((row->state | row->gains) & ~row->loses);
        ck_assert_msg(FastFile(self)->state == state, "row %zu (%d): state %x, not %x", number,
                      row->result, FastFile(self)->state, state);
    }
    ck_assert_int_eq(simulated.passes, row->system.passes); /* as it was before */
    seen |= 1U << answer.verdict;
    closeSocket();
}

#define CHECK(kind, rows, sends)                                               \
    for (size_t number = 0; number < sizeof(rows) / sizeof(rows[0]); number++) \
    checkRow(&(kind), &(rows)[number], sends, number)

/* ---- cases ---- */

AREA(verdict, "verdict");

CASE(verdict, ofStreamsReceives)
{
    CHECK(FastKindStream, streamReceives, false);
}

CASE(verdict, ofRecordsReceives)
{
    CHECK(FastKindRecord, recordReceives, false);
}

CASE(verdict, ofDatagramsReceives)
{
    CHECK(FastKindDatagram, datagramReceives, false);
}

CASE(verdict, ofFilesReads)
{
    CHECK(FastKindFile, fileReceives, false);
}

CASE(verdict, ofStreamsSends)
{
    CHECK(FastKindStream, streamSends, true);
}

CASE(verdict, ofRecordsSends)
{
    CHECK(FastKindRecord, recordSends, true);
}

CASE(verdict, ofWholeRecordsSends)
{
    CHECK(FastKindWhole, wholeSends, true);
}

CASE(verdict, ofDatagramsSends)
{
    CHECK(FastKindDatagram, datagramSends, true);
}

CASE(verdict, ofFilesWrites)
{
    CHECK(FastKindFile, fileSends, true);
}

/* The tables have every verdict. */
CASE(verdict, occurs)
{
    seen = 0;
    CHECK(FastKindStream, streamReceives, false);
    CHECK(FastKindDatagram, datagramReceives, false);
    CHECK(FastKindFile, fileReceives, false);
    CHECK(FastKindStream, streamSends, true);
    CHECK(FastKindDatagram, datagramSends, true);
    ck_assert_uint_eq(seen, (1U << (FAST_VERDICT_FAIL_ONE + 1)) - 1);
}

/* ---- beside the verdict ---- */

static const struct FastKind* const messageKinds[] = {&FastKindRecord, &FastKindDatagram};

/* A message's true length is its buffer's note; what the user sees is what is there. */
CASE_ROUNDS(verdict, takesNoteOfTheTrueLength, 2)
{
    const struct Row told = {.traits = FAST_TRAIT_TELLS_LENGTH};
    const struct Row untold = {.traits = 0};
    openSocket(messageKinds[round], &told);
    struct io_uring_recvmsg_out* out = FastProviderPeek(provider, 0);
    const struct io_uring_cqe completion = {.res = HEADER + STORED, .flags = BUFFER};
    *out = (struct io_uring_recvmsg_out){.payloadlen = REAL, .flags = MSG_TRUNC};
    (void)FastSocketKind(self)->classifyReceive(self, &completion);
    ck_assert_uint_eq(*FastBufferNote(FastBufferOf(out)), REAL);
    ck_assert_uint_eq(out->payloadlen, STORED);
    ck_assert_uint_eq(self->extra->statistics.truncated, 1);
    /* A kernel that was asked for the length says MSG_TRUNC of all. */
    *out = (struct io_uring_recvmsg_out){.payloadlen = STORED, .flags = MSG_TRUNC};
    (void)FastSocketKind(self)->classifyReceive(self, &completion);
    ck_assert_uint_eq(*FastBufferNote(FastBufferOf(out)), STORED);
    ck_assert_uint_eq(self->extra->statistics.truncated, 1);
    closeSocket();
    openSocket(messageKinds[round], &untold);
    out = FastProviderPeek(provider, 0);
    *out = (struct io_uring_recvmsg_out){.payloadlen = STORED, .flags = MSG_TRUNC};
    (void)FastSocketKind(self)->classifyReceive(self, &completion);
    ck_assert_uint_eq(self->extra->statistics.truncated, 1);
    closeSocket();
}

static struct FastLoan* lent; /* of the next result's send */

static int result(int value)
{
    struct FastFlight flight = {
        .socket = self,
        .message = isBytes(FastSocketKind(self)) ? NULL : &message,
        .count = 1,
        .loan = lent,
    };
    return (int)FastSocketKind(self)->classifySend(self, &flight, value).verdict;
}

/* An errno that doesn't come again was an earlier datagram's; one that does is this one's. */
CASE(verdict, tellsWhoseAnErrnoWas)
{
    const struct Row row = {.traits = 0};
    openSocket(&FastKindDatagram, &row);
    message = (struct FastMessage){.doubt = 0};
    ck_assert_int_eq(result(-ECONNREFUSED), FAST_VERDICT_NOTHING);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), 0);
    ck_assert_uint_eq(self->outbound->burst, 1);
    ck_assert_int_eq(result(-EHOSTUNREACH), FAST_VERDICT_NOTHING);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), ECONNREFUSED);
    ck_assert_int_eq(result(STORED), FAST_VERDICT_DATA);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), EHOSTUNREACH);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), 0);
    message = (struct FastMessage){.doubt = 0};
    for (int count = 0; count < 3; count++)
        ck_assert_int_eq(result(-EMSGSIZE), FAST_VERDICT_NOTHING);
    ck_assert_int_eq(result(-EMSGSIZE), FAST_VERDICT_FAIL_ONE);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), 0); /* which the verdict tells */
    closeSocket();
}

/* One that only zero copy met is nobody's. */
CASE(verdict, forgetsTheErrnoOfZeroCopy)
{
    const struct Row row = {.traits = FAST_TRAIT_ZERO_COPIES};
    openSocket(&FastKindDatagram, &row);
    message = (struct FastMessage){.doubt = 0};
    lent = (struct FastLoan*)&message;
    for (int count = 0; count < 4; count++) {
        ck_assert_uint_ne(self->traits & FAST_TRAIT_ZERO_COPIES, 0);
        ck_assert_int_eq(result(-EOPNOTSUPP), FAST_VERDICT_NOTHING);
    }
    ck_assert_uint_eq(self->traits & FAST_TRAIT_ZERO_COPIES, 0);
    lent = NULL;
    ck_assert_int_eq(result(STORED), FAST_VERDICT_DATA);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), 0);
    closeSocket();
}

/* Each errno is kept once, whatever came, until it is taken. */
CASE(verdict, keepsErrnos)
{
    const struct Row row = {.traits = 0};
    openSocket(&FastKindDatagram, &row);
    FastSocketKind(self)->keepError(self, EHWPOISON);
    FastSocketKind(self)->keepError(self, EPERM);
    FastSocketKind(self)->keepError(self, EPERM);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), EPERM);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), EHWPOISON);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), 0);
    FastSocketKind(self)->keepError(self, 192);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), EPROTO);
    FastSocketKind(self)->keepError(self, -1);
    ck_assert_int_eq(FastSocketKind(self)->nextError(self), EPROTO);
    closeSocket();
}

/* After a lack of memory zero copy backs off. */
CASE(verdict, backsOffFromZeroCopy)
{
    const struct Row row = {.result = -ENOMEM, .loan = true};
    openSocket(&FastKindStream, &row);
    ck_assert_uint_eq(self->outbound->backoff, 0);
    (void)sendOf(&row);
    ck_assert_uint_eq(self->outbound->backoff, BACKOFF);
    closeSocket();
}

/* A part of what the relay holds stays there, and is read after a back-off. */
CASE(verdict, takesWhatTheRelayHeld)
{
    struct Row row = ROW(5, NOTHING, ONCE, .form = FAST_FILE_RELAY, .input = "bytes",
                         .starved = true);
    openSocket(&FastKindFile, &row);
    ck_assert_int_eq(receiveOf(&row).verdict, FAST_VERDICT_NOTHING);
    ck_assert_uint_ne(self->inbound.stops & FAST_STOP_BACKOFF, 0);
    row.starved = false;
    row.result = 0;
    ck_assert_int_eq(receiveOf(&row).verdict, FAST_VERDICT_TAKEN);
    ck_assert_uint_eq(self->inbound.queue.length, 5);
    ck_assert_mem_eq(FastBufferData(self->inbound.queue.first), "bytes", 5);
    closeSocket();
}
