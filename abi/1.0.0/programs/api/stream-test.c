/* A socket as a FILE*: behaviour.md 2.7, row by row. */
#include "fixture.h"

#include <pthread.h>

static struct Fixture fixture;
static struct Recorder recorder;
static FILE* stream;
static int pair[2];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void openStream(enum Kind kind, int own)
{
    pairKind(kind, pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    runIdle(fixture.ring);
    stream = GetFastSocketStream(recorder.socket, own);
    ck_assert_ptr_nonnull(stream);
}

static void closeBoth(void)
{
    ck_assert_int_eq(fclose(stream), 0);
    ReleaseFastSocket(recorder.socket);
    if (pair[1] >= 0)
        close(pair[1]);
}

static void expectLine(const char* expected)
{
    char line[256] = "";
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), stream));
    ck_assert_str_eq(line, expected);
}

/* §2.7 mode, §2.7 write: reading and writing in turns keeps every line */
START_TEST(keepsLinesInTurns)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openStream(kinds[index], 0);
        sendText(pair[1], "one\ntwo\nthree\n");
        waitInput(&recorder, 14);
        expectLine("one\n");
        ck_assert_int_eq(fprintf(stream, "answer to %s\n", "one"), 14);
        expectLine("two\n");
        ck_assert_int_ge(fputs("answer to two\n", stream), 0);
        expectLine("three\n");
        ck_assert_int_eq((int)fwrite("end", 1, 3, stream), 3);
        waitDrained(&recorder);
        expectText(pair[1], "answer to one\nanswer to two\nend");
        closeBoth();
    }
}
END_TEST

/* §2.7 read, no data: −1, EAGAIN; ferror set, feof clear; a retry works without clearerr */
START_TEST(tellsNoDataYet)
{
    char line[64] = "";
    char* text = NULL;
    size_t size = 0;

    openStream(KIND_TCP, 0);
    errno = 0;
    ck_assert_ptr_null(fgets(line, sizeof(line), stream));
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_ne(ferror(stream), 0);
    ck_assert_int_eq(feof(stream), 0);
    sendText(pair[1], "late\n");
    waitInput(&recorder, 5);
    expectLine("late\n");
    /* getline() alone wants the error cleared. */
    ck_assert_int_eq(fgetc(stream), EOF);
    sendText(pair[1], "later\n");
    waitInput(&recorder, 6);
    clearerr(stream);
    ck_assert_int_eq((int)getline(&text, &size, stream), 6);
    ck_assert_str_eq(text, "later\n");
    free(text);
    closeBoth();
}
END_TEST

/* a part of a line is read in part, the rest later */
START_TEST(readsPartsOfLines)
{
    openStream(KIND_TCP, 0);
    sendText(pair[1], "half");
    waitInput(&recorder, 4);
    expectLine("half");
    sendText(pair[1], " and half\n");
    waitInput(&recorder, 10);
    expectLine(" and half\n");
    closeBoth();
}
END_TEST

/* §2.7 read at EOF: 0, also after what was left unread */
START_TEST(tellsEnd)
{
    char line[64] = "";

    openStream(KIND_TCP, 0);
    sendText(pair[1], "last\nrest");
    close(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    expectLine("last\n");
    expectLine("rest");
    ck_assert_ptr_null(fgets(line, sizeof(line), stream));
    ck_assert_int_ne(feof(stream), 0);
    ck_assert_int_eq(ferror(stream), 0);
    closeBoth();
}
END_TEST

/* §2.7 read at EOF, §2.7 write: a fatal error: −1 and its errno; write: EPIPE */
START_TEST(tellsFatalError)
{
    char byte = 0;

    openStream(KIND_TCP, 0);
    closeReset(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    errno = 0;
    ck_assert_int_eq((int)fread(&byte, 1, 1, stream), 0);
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_int_eq(feof(stream), 0);
    errno = 0;
    ck_assert_int_eq((int)fwrite("x", 1, 1, stream), 0);
    ck_assert_int_eq(errno, EPIPE);
    closeBoth();
}
END_TEST

/* §2.7 write: whole size or an error */
START_TEST(refusesAtLimit)
{
    static char data[5000];

    openStream(KIND_TCP, 0);
    setOption(recorder.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 4000);
    ck_assert_uint_eq(fwrite(data, 1, sizeof(data), stream), sizeof(data));
    errno = 0;
    ck_assert_uint_eq(fwrite(data, 1, 1, stream), 0);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), sizeof(data));
    closeBoth();
}
END_TEST

/* §2.7 mode: coalescing happens in the send queue: many small writes are one operation */
START_TEST(gathersWrites)
{
    uint64_t before = 0;

    openStream(KIND_TCP, 0);
    before = readSocket(recorder.socket).sentOperations;
    for (int index = 0; index < 1000; index++)
        ck_assert_int_eq(fprintf(stream, "line %03d\n", index), 9);
    waitDrained(&recorder);
    ck_assert_uint_le(readSocket(recorder.socket).sentOperations - before, 2);
    for (int index = 0; index < 1000; index++) {
        char line[16] = "";
        snprintf(line, sizeof(line), "line %03d\n", index);
        expectText(pair[1], line);
    }
    closeBoth();
}
END_TEST

/* getline and fread over the borders of chunks */
START_TEST(readsMuch)
{
    static uint8_t data[100000];
    static uint8_t got[100000];
    char* line = NULL;
    size_t size = 0;

    openStream(KIND_UNIX_STREAM, 0);
    fillPattern(data, sizeof(data), 0);
    memset(data, 'a', 20000);
    data[20000] = '\n';
    sendAll(pair[1], data, sizeof(data));
    waitInput(&recorder, sizeof(data));
    ck_assert_int_eq((int)getline(&line, &size, stream), 20001);
    ck_assert_int_eq(memcmp(line, data, 20001), 0);
    ck_assert_uint_eq(fread(got, 1, sizeof(data) - 20001, stream), sizeof(data) - 20001);
    ck_assert_int_eq(memcmp(got, data + 20001, sizeof(data) - 20001), 0);
    free(line);
    closeBoth();
}
END_TEST

/* §2.7 fclose own≠0: flush, release */
START_TEST(fcloseReleasesOwned)
{
    openStream(KIND_TCP, 1);
    ck_assert_int_gt(fprintf(stream, "farewell"), 0);
    noteRelease(recorder.socket);
    ck_assert_int_eq(fclose(stream), 0);
    recorder.socket = NULL;
    runIdle(fixture.ring);
    expectText(pair[1], "farewell");
    expectEnd(pair[1]);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}
END_TEST

/* §2.7 fclose own=0: the socket stays */
START_TEST(fcloseLeavesOthers)
{
    openStream(KIND_TCP, 0);
    ck_assert_int_eq(fclose(stream), 0);
    transmitText(recorder.socket, "still");
    waitDrained(&recorder);
    expectText(pair[1], "still");
    stream = GetFastSocketStream(recorder.socket, 0);
    closeBoth();
}
END_TEST

/* §2.7 fclose own=0: Release before fclose is safe: later I/O fails with EPIPE */
START_TEST(survivesReleaseBeforeFclose)
{
    for (int own = 0; own < 2; own++) {
        char byte = 0;
        openStream(KIND_TCP, own);
        sendText(pair[1], "unread");
        waitInput(&recorder, 6);
        ReleaseFastSocket(recorder.socket);
        for (int round = 0; round < 2; round++) {
            errno = 0;
            ck_assert_uint_eq(fread(&byte, 1, 1, stream), 0);
            ck_assert_int_eq(errno, EPIPE);
            errno = 0;
            ck_assert_uint_eq(fwrite("x", 1, 1, stream), 0);
            ck_assert_int_eq(errno, EPIPE);
            close(pair[1]);
            waitFor(fixture.ring, isNothingPending, fixture.ring);
        }
        ck_assert_int_eq(fclose(stream), 0);
    }
}
END_TEST

/* §2.7 fclose own=0, §2.7 fclose own≠0: the ring, then the socket, then the stream: a shell is released
 * once, and the stream fails with EPIPE from then on */
START_TEST(survivesReleaseOfShell)
{
    for (int own = 0; own < 2; own++) {
        char byte = 0;
        openStream(KIND_TCP, own);
        ReleaseFastRing(fixture.ring);
        errno = 0;
        ck_assert_ptr_null(GetFastSocketStream(recorder.socket, 0));
        ck_assert_int_eq(errno, ECANCELED);
        ReleaseFastSocket(recorder.socket);
        errno = 0;
        ck_assert_uint_eq(fread(&byte, 1, 1, stream), 0);
        ck_assert_int_eq(errno, EPIPE);
        errno = 0;
        ck_assert_uint_eq(fwrite("x", 1, 1, stream), 0);
        ck_assert_int_eq(errno, EPIPE);
        ck_assert_int_eq(fclose(stream), 0);
        close(pair[1]);
        fixture.ring = NULL;
        fixtureClose(&fixture);
        fixtureOpen(&fixture, 0, 0, 0);
    }
}
END_TEST

/* §2.7 second stream on one socket: allowed, own only once */
START_TEST(letsOneOwn)
{
    FILE* second = NULL;

    openStream(KIND_TCP, 1);
    second = GetFastSocketStream(recorder.socket, 0);
    ck_assert_ptr_nonnull(second);
    errno = 0;
    ck_assert_ptr_null(GetFastSocketStream(recorder.socket, 1));
    ck_assert_int_eq(errno, EBUSY);
    ck_assert_int_gt(fprintf(stream, "one "), 0);
    ck_assert_int_gt(fprintf(second, "two"), 0);
    waitDrained(&recorder);
    expectText(pair[1], "one two");
    ck_assert_int_eq(fclose(second), 0);
    noteRelease(recorder.socket);
    ck_assert_int_eq(fclose(stream), 0);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}
END_TEST

/* §2.7 NULL socket, §2.7 read in datagram mode, §2.7 fileno(): NULL socket, datagram mode,
 * fileno */
START_TEST(refusesOthers)
{
    const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

    errno = 0;
    ck_assert_ptr_null(GetFastSocketStream(NULL, 0));
    ck_assert_int_eq(errno, EINVAL);
    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        pairKind(kinds[index], pair);
        openRecorded(&fixture, pair[0], NULL, 0, &recorder);
        errno = 0;
        ck_assert_ptr_null(GetFastSocketStream(recorder.socket, 0));
        ck_assert_int_eq(errno, EINVAL);
        ReleaseFastSocket(recorder.socket);
        close(pair[1]);
    }
    openStream(KIND_TCP, 0);
    ck_assert_int_eq(fileno(stream), -1);
    closeBoth();
}
END_TEST

static void* tryElsewhere(void* closure)
{
    (void)closure;
    errno = 0;
    ck_assert_ptr_null(GetFastSocketStream(recorder.socket, 0));
    ck_assert_int_eq(errno, EPERM);
    return NULL;
}

START_TEST(refusesOtherThreads)
{
    pthread_t thread;

    openStream(KIND_TCP, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, tryElsewhere, NULL), 0);
    pthread_join(thread, NULL);
    closeBoth();
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("stream");
    TCase* area = tcase_create("stream");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, keepsLinesInTurns);
    tcase_add_test(area, tellsNoDataYet);
    tcase_add_test(area, readsPartsOfLines);
    tcase_add_test(area, tellsEnd);
    tcase_add_test(area, tellsFatalError);
    tcase_add_test(area, refusesAtLimit);
    tcase_add_test(area, gathersWrites);
    tcase_add_test(area, readsMuch);
    tcase_add_test(area, fcloseReleasesOwned);
    tcase_add_test(area, fcloseLeavesOthers);
    tcase_add_test(area, survivesReleaseBeforeFclose);
    tcase_add_test(area, survivesReleaseOfShell);
    tcase_add_test(area, letsOneOwn);
    tcase_add_test(area, refusesOthers);
    tcase_add_test(area, refusesOtherThreads);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
