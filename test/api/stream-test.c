/* A socket as a FILE*. */
#include "fixture.h"

#include <pthread.h>

static FILE* stream;

SCENE_AREA(stream, "stream");

static void openStream(enum Kind kind, int own)
{
    openPair(kind);
    runIdle(scene.ring);
    stream = GetFastSocketStream(scene.ours.socket, own);
    ck_assert_ptr_nonnull(stream);
}

static void closeBoth(void)
{
    ck_assert_int_eq(fclose(stream), 0);
    ReleaseFastSocket(scene.ours.socket);
    closePeer();
}

static void expectLine(const char* expected)
{
    char line[256] = "";
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), stream));
    ck_assert_str_eq(line, expected);
}

/* §2.7 mode, §2.7 write: reading and writing in turns keeps every line */
CASE(stream, keepsLinesInTurns)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openStream(kinds[index], 0);
        sendText(scene.peer, "one\ntwo\nthree\n");
        waitInput(&scene.ours, 14);
        expectLine("one\n");
        ck_assert_int_eq(fprintf(stream, "answer to %s\n", "one"), 14);
        expectLine("two\n");
        ck_assert_int_ge(fputs("answer to two\n", stream), 0);
        expectLine("three\n");
        ck_assert_int_eq((int)fwrite("end", 1, 3, stream), 3);
        waitDrained(&scene.ours);
        expectText(scene.peer, "answer to one\nanswer to two\nend");
        closeBoth();
    }
}

/* §2.7 read, no data: −1, EAGAIN; ferror set, feof clear; a retry works without clearerr */
CASE(stream, tellsNoDataYet)
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
    sendText(scene.peer, "late\n");
    waitInput(&scene.ours, 5);
    expectLine("late\n");
    /* getline() alone wants the error cleared. */
    ck_assert_int_eq(fgetc(stream), EOF);
    sendText(scene.peer, "later\n");
    waitInput(&scene.ours, 6);
    clearerr(stream);
    ck_assert_int_eq((int)getline(&text, &size, stream), 6);
    ck_assert_str_eq(text, "later\n");
    free(text);
    closeBoth();
}

/* a part of a line is read in part, the rest later */
CASE(stream, readsPartsOfLines)
{
    openStream(KIND_TCP, 0);
    sendText(scene.peer, "half");
    waitInput(&scene.ours, 4);
    expectLine("half");
    sendText(scene.peer, " and half\n");
    waitInput(&scene.ours, 10);
    expectLine(" and half\n");
    closeBoth();
}

/* §2.7 read at EOF: 0, also after what was left unread */
CASE(stream, tellsEnd)
{
    char line[64] = "";

    openStream(KIND_TCP, 0);
    sendText(scene.peer, "last\nrest");
    closePeer();
    waitHangup(&scene.ours);
    expectLine("last\n");
    expectLine("rest");
    ck_assert_ptr_null(fgets(line, sizeof(line), stream));
    ck_assert_int_ne(feof(stream), 0);
    ck_assert_int_eq(ferror(stream), 0);
    closeBoth();
}

/* §2.7 read at EOF, §2.7 write: a fatal error: −1 and its errno; write: EPIPE */
CASE(stream, tellsFatalError)
{
    char byte = 0;

    openStream(KIND_TCP, 0);
    resetPeer();
    waitHangup(&scene.ours);
    errno = 0;
    ck_assert_int_eq((int)fread(&byte, 1, 1, stream), 0);
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_int_eq(feof(stream), 0);
    errno = 0;
    ck_assert_int_eq((int)fwrite("x", 1, 1, stream), 0);
    ck_assert_int_eq(errno, EPIPE);
    closeBoth();
}

/* §2.7 write: whole size or an error */
CASE(stream, refusesAtLimit)
{
    static char data[5000];

    openStream(KIND_TCP, 0);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 4000);
    ck_assert_uint_eq(fwrite(data, 1, sizeof(data), stream), sizeof(data));
    errno = 0;
    ck_assert_uint_eq(fwrite(data, 1, 1, stream), 0);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), sizeof(data));
    closeBoth();
}

/* §2.7 mode: coalescing happens in the send queue: many small writes are one operation */
CASE(stream, gathersWrites)
{
    uint64_t before = 0;

    openStream(KIND_TCP, 0);
    before = readSocket(scene.ours.socket).sentOperations;
    for (int index = 0; index < 1000; index++)
        ck_assert_int_eq(fprintf(stream, "line %03d\n", index), 9);
    waitDrained(&scene.ours);
    ck_assert_uint_le(readSocket(scene.ours.socket).sentOperations - before, 2);
    for (int index = 0; index < 1000; index++) {
        char line[16] = "";
        snprintf(line, sizeof(line), "line %03d\n", index);
        expectText(scene.peer, line);
    }
    closeBoth();
}

/* getline and fread over the borders of chunks */
CASE(stream, readsMuch)
{
    static uint8_t data[100000];
    static uint8_t got[100000];
    char* line = NULL;
    size_t size = 0;

    openStream(KIND_UNIX_STREAM, 0);
    fillPattern(data, sizeof(data), 0);
    memset(data, 'a', 20000);
    data[20000] = '\n';
    sendAll(scene.peer, data, sizeof(data));
    waitInput(&scene.ours, sizeof(data));
    ck_assert_int_eq((int)getline(&line, &size, stream), 20001);
    ck_assert_int_eq(memcmp(line, data, 20001), 0);
    ck_assert_uint_eq(fread(got, 1, sizeof(data) - 20001, stream), sizeof(data) - 20001);
    ck_assert_int_eq(memcmp(got, data + 20001, sizeof(data) - 20001), 0);
    free(line);
    closeBoth();
}

/* §2.7 fclose own≠0: flush, release */
CASE(stream, fcloseReleasesOwned)
{
    openStream(KIND_TCP, 1);
    ck_assert_int_gt(fprintf(stream, "farewell"), 0);
    noteRelease(scene.ours.socket);
    ck_assert_int_eq(fclose(stream), 0);
    scene.ours.socket = NULL;
    runIdle(scene.ring);
    expectText(scene.peer, "farewell");
    expectEnd(scene.peer);
    closePeer();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.7 fclose own=0: the socket stays */
CASE(stream, fcloseLeavesOthers)
{
    openStream(KIND_TCP, 0);
    ck_assert_int_eq(fclose(stream), 0);
    transmitText(scene.ours.socket, "still");
    waitDrained(&scene.ours);
    expectText(scene.peer, "still");
    stream = GetFastSocketStream(scene.ours.socket, 0);
    closeBoth();
}

/* §2.7 fclose own=0: Release before fclose is safe: later I/O fails with EPIPE */
CASE(stream, survivesReleaseBeforeFclose)
{
    for (int own = 0; own < 2; own++) {
        char byte = 0;
        openStream(KIND_TCP, own);
        sendText(scene.peer, "unread");
        waitInput(&scene.ours, 6);
        ReleaseFastSocket(scene.ours.socket);
        for (int round = 0; round < 2; round++) {
            errno = 0;
            ck_assert_uint_eq(fread(&byte, 1, 1, stream), 0);
            ck_assert_int_eq(errno, EPIPE);
            errno = 0;
            ck_assert_uint_eq(fwrite("x", 1, 1, stream), 0);
            ck_assert_int_eq(errno, EPIPE);
            closePeer();
            waitFor(scene.ring, isNothingPending, scene.ring);
        }
        ck_assert_int_eq(fclose(stream), 0);
    }
}

/* §2.7 fclose own=0, §2.7 fclose own≠0: the ring, then the socket, then the stream: a defunct
 * socket is released once, and the stream fails with EPIPE from then on */
CASE(stream, survivesReleaseOfShell)
{
    for (int own = 0; own < 2; own++) {
        char byte = 0;
        openStream(KIND_TCP, own);
        ReleaseFastRing(scene.ring);
        errno = 0;
        ck_assert_ptr_null(GetFastSocketStream(scene.ours.socket, 0));
        ck_assert_int_eq(errno, ECANCELED);
        ReleaseFastSocket(scene.ours.socket);
        errno = 0;
        ck_assert_uint_eq(fread(&byte, 1, 1, stream), 0);
        ck_assert_int_eq(errno, EPIPE);
        errno = 0;
        ck_assert_uint_eq(fwrite("x", 1, 1, stream), 0);
        ck_assert_int_eq(errno, EPIPE);
        ck_assert_int_eq(fclose(stream), 0);
        closePeer();
        scene.ring = NULL;
        reopenScene(0);
    }
}

/* §2.7 second stream on one socket: allowed, own only once */
CASE(stream, letsOneOwn)
{
    FILE* second = NULL;

    openStream(KIND_TCP, 1);
    second = GetFastSocketStream(scene.ours.socket, 0);
    ck_assert_ptr_nonnull(second);
    errno = 0;
    ck_assert_ptr_null(GetFastSocketStream(scene.ours.socket, 1));
    ck_assert_int_eq(errno, EBUSY);
    ck_assert_int_gt(fprintf(stream, "one "), 0);
    ck_assert_int_gt(fprintf(second, "two"), 0);
    waitDrained(&scene.ours);
    expectText(scene.peer, "one two");
    ck_assert_int_eq(fclose(second), 0);
    noteRelease(scene.ours.socket);
    ck_assert_int_eq(fclose(stream), 0);
    closePeer();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* §2.7 NULL socket, §2.7 read in datagram mode, §2.7 fileno(): NULL socket, datagram mode,
 * fileno */
CASE(stream, refusesOthers)
{
    const enum Kind kinds[] = {KIND_UDP, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

    errno = 0;
    ck_assert_ptr_null(GetFastSocketStream(NULL, 0));
    ck_assert_int_eq(errno, EINVAL);
    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openPair(kinds[index]);
        errno = 0;
        ck_assert_ptr_null(GetFastSocketStream(scene.ours.socket, 0));
        ck_assert_int_eq(errno, EINVAL);
        closePair();
    }
    openStream(KIND_TCP, 0);
    ck_assert_int_eq(fileno(stream), -1);
    closeBoth();
}

static void* tryElsewhere(void* closure)
{
    (void)closure;
    errno = 0;
    ck_assert_ptr_null(GetFastSocketStream(scene.ours.socket, 0));
    ck_assert_int_eq(errno, EPERM);
    return NULL;
}

CASE(stream, refusesOtherThreads)
{
    pthread_t thread;

    openStream(KIND_TCP, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, tryElsewhere, NULL), 0);
    pthread_join(thread, NULL);
    closeBoth();
}
