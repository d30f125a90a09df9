/*
 * Files that answer as few do: an engine between the ring and the kernel changes what reads and
 * cancellations give.
 */
#include "files.h"
#include "between.h"
#include "ring/state.h"

#include <fcntl.h>
#include <sys/eventfd.h>

static int counter; /* an eventfd, readable */

/* ---- the engine between ---- */

static struct
{
    int answer;      /* of reads, instead of running them; 0: they run */
    int answers;     /* so many of them */
    bool late;       /* the answer waits for a cancellation, which then finds nothing */
    uint64_t reader; /* a read that is answered */
    uint64_t cancel; /* a cancellation that is */
    int reads;
} between;

static void look(struct io_uring_sqe* entry)
{
    /* The ring has a read of its own, into its own memory. */
    if (entry->opcode == IORING_OP_READ && entry->flags & IOSQE_BUFFER_SELECT) {
        between.reads++;
        if (between.answers > 0) {
            between.answers--;
            between.reader = entry->user_data;
            betweenAnswer(entry, between.answer, 0);
        }
    } else if (entry->opcode == IORING_OP_ASYNC_CANCEL && between.late &&
               entry->addr == between.reader) {
        between.cancel = entry->user_data;
        betweenAnswer(entry, -ENOENT, 0);
    }
}

static void pass(struct Completion completion)
{
    if (completion.user_data == between.reader && between.reader != 0) {
        if (between.late) {
            betweenHold(completion);
            return;
        }
        between.reader = 0;
    } else if (completion.user_data == between.cancel && between.cancel != 0) {
        betweenRelease();
        between.reader = 0;
        between.cancel = 0;
        between.late = false;
    }
    betweenDeliver(completion);
}

/* ---- memory ---- */

static struct Countdown poolMemory; /* what pools get */

FAILING_CALL(&poolMemory, NULL, void*, aligned_alloc, (size_t alignment, size_t size),
             (alignment, size))

/* ---- cases ---- */

static void setUp(void)
{
    uint64_t one = 1;

    openScene();
    memset(&between, 0, sizeof(between));
    betweenPut(scene.ring->engine, (struct Between){.look = look, .pass = pass});
    counter = eventfd(0, EFD_CLOEXEC);
    ck_assert_int_eq((int)write(counter, &one, sizeof(one)), sizeof(one));
    scene.ours.socket = openRecorded(&scene, counter, NULL, FASTSOCKET_MODE_FILE_IO, &scene.ours);
}

static void tearDown(void)
{
    between.answers = 0;
    closeScene();
}

AREA(fileAnswer, "file-answer", .open = setUp, .close = tearDown);

/* §2.5 own errors: a read that the file itself cancels, as a timer whose clock was set, is reported
 * the first time */
CASE(fileAnswer, tellsCancellationByTheFile)
{
    between.answer = -ECANCELED;
    between.answers = 1;
    waitHangup(&scene.ours);
    expectFailure(&scene.ours, ECANCELED);
}

/* §2.5 own errors: … also when a pause came too late to be the reason */
CASE(fileAnswer, tellsCancellationBesideOurs)
{
    between.answer = -ECANCELED;
    between.answers = 1;
    between.late = true;
    runTurns(scene.ring, 3);
    ck_assert_uint_ne(between.reader, 0);
    ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
    waitHangup(&scene.ours);
    expectFailure(&scene.ours, ECANCELED);
}

/* §2.5 own errors: what we cancel ourselves is no error of the file's, however often */
CASE(fileAnswer, tellsNoCancellationOfOurs)
{
    uint64_t value = 0;

    waitInput(&scene.ours, sizeof(value));
    for (int round = 0; round < 50; round++) {
        ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
        runTurns(scene.ring, round % 4);
        ck_assert_int_eq(ResumeFastSocket(scene.ours.socket), 0);
        runTurns(scene.ring, round % 3);
    }
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
    ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &value, sizeof(value), 0),
                     sizeof(value));
    ck_assert_uint_eq(value, 1);
}

/* §2.5 kinds: a device that polls readable and has nothing all the same is not asked over and
 * over, and what it has in the end is read */
CASE(fileAnswer, restsWithoutData)
{
    int backoffs = 0;

    between.answer = -EAGAIN;
    between.answers = 20;
    while (between.answers > 0) {
        uint64_t before = readRing(scene.ring).completions;
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1000, NULL), 0);
        backoffs += readRing(scene.ring).completions == before; /* only time has passed */
    }
    ck_assert_int_ge(backoffs, 15); /* the first read has not been polled for */
    waitInput(&scene.ours, sizeof(uint64_t));
    ck_assert_int_eq(between.reads, 21);
}

/* §2.5 waiting, §2.3 buffers and provider: without memory a terminal and its master rest, lose
 * nothing, and go on when there is some */
CASE(fileAnswer, readsTerminalWithoutMemory)
{
    struct Recorder typist = {0};
    struct FastBuffer* hoard[4096];
    int ends[2];
    int count = 0;

    for (int side = 0; side < 2; side++) {
        int backoffs = 0;

        openTerminal(ends, true);
        openRecorded(&scene, ends[side], NULL, FASTSOCKET_MODE_FILE_IO, &typist);
        runIdle(scene.ring);
        failEveryCall(&poolMemory);
        for (count = 0; count < 4096; count++) {
            hoard[count] = AllocateFastBuffer(scene.inbound, 4096, 0);
            if (hoard[count] == NULL)
                break;
        }
        ck_assert_int_lt(count, 4096);
        writeText(ends[1 - side], "typed");
        for (int turn = 0; turn < 40; turn++) {
            uint64_t before = readRing(scene.ring).completions;
            ck_assert_int_eq(WaitForFastRing(scene.ring, 5, NULL), 0);
            backoffs += readRing(scene.ring).completions == before;
        }
        ck_assert_int_eq(typist.in + typist.err + typist.hup, 0);
        ck_assert_int_ge(backoffs, 10);
        failNoCall(&poolMemory);
        while (count > 0)
            ReleaseFastBuffer(hoard[--count]);
        receiveText(&typist, "typed");
        ReleaseFastSocket(typist.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        close(ends[1 - side]);
    }
}
