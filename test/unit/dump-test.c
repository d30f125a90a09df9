/* Lines about objects: what is in them, and that they need no memory. */
#include <Ring/FastRing.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/dump.h"
#include "countdown.h"
#include "suite.h"

enum
{
    SIZE = 65536,
    MANY = 2000,
};

static struct Countdown memory;
static char written[SIZE];

FAILING_CALL(&memory, NULL, void*, malloc, (size_t size), (size))
FAILING_CALL(&memory, NULL, void*, calloc, (size_t count, size_t size), (count, size))
FAILING_CALL(&memory, NULL, void*, realloc, (void* old, size_t size), (old, size))
FAILING_CALL(&memory, NULL, void*, aligned_alloc, (size_t alignment, size_t size),
             (alignment, size))

static FILE* stream;
static struct FastDump dump;

static void openStream(void)
{
    memset(written, 0, sizeof(written));
    stream = fmemopen(written, sizeof(written), "w");
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(setvbuf(stream, NULL, _IONBF, 0), 0);
    FastDumpOpen(&dump, stream);
}

static void closeStream(void)
{
    ck_assert_int_eq(fclose(stream), 0);
}

AREA(dump, "dump", .open = openStream, .close = closeStream);

/* §3.2 dump of a ring: pairs of words, whatever is in them */
CASE(dump, writesPairs)
{
    static const struct FastDumpWord words[] = {{1, "one"}, {2, "two"}, {4, "four"}};

    FastDumpBegin(&dump, "kind", (void*)(uintptr_t)0x1234);
    FastDumpNumber(&dump, "number", UINT64_MAX);
    FastDumpSigned(&dump, "signed", INT64_MIN);
    FastDumpYes(&dump, "yes", true);
    FastDumpYes(&dump, "no", false);
    FastDumpObject(&dump, "object", (void*)(uintptr_t)0xabc);
    FastDumpObject(&dump, "none", NULL);
    FastDumpText(&dump, "null", NULL);
    FastDumpText(&dump, "empty", "");
    FastDumpText(&dump, "odd", "a b\t\\\n\x7f\xff");
    FastDumpWords(&dump, "words", 5, words, 3, "nothing");
    FastDumpWords(&dump, "nothing", 8, words, 3, "nothing");
    FastDumpEnd(&dump);
    ck_assert_int_eq(FastDumpClose(&dump), 0);
    ck_assert_str_eq(written, "kind 0x1234 number 18446744073709551615 signed -9223372036854775808 "
                              "yes yes no no object 0xabc none - null - empty - "
                              "odd a\\x20b\\x09\\x5c\\x0a\\x7f\\xff words one,four "
                              "nothing nothing\n");
}

/* A line ends before what it has no room for: each key keeps its value. */
CASE(dump, endsLongLines)
{
    char text[MANY];

    memset(text, ' ', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    FastDumpBegin(&dump, "long", &dump);
    for (int index = 0; index < 8; index++)
        FastDumpText(&dump, "text", text);
    FastDumpNumber(&dump, "last", 1);
    FastDumpEnd(&dump);
    ck_assert_int_eq(FastDumpClose(&dump), 0);
    size_t length = strlen(written);
    ck_assert_int_le(length, FAST_DUMP_LINE);
    ck_assert_int_gt(length, FAST_DUMP_LINE / 2);
    ck_assert_int_eq(written[length - 1], '\n');
    ck_assert_ptr_eq(strchr(written, '\n'), written + length - 1);
    int blanks = 0;
    for (const char* place = written; *place != '\0'; place++)
        blanks += *place == ' ';
    ck_assert_int_eq(blanks % 2, 1);
}

static int tries;

static ssize_t refuseWrite(void* closure, const char* data, size_t size)
{
    (void)closure, (void)data, (void)size;
    errno = ++tries == 1 ? EPIPE : ENOSPC;
    return 0;
}

/* §3.2 dump refused: the first error is told, and nothing is written after it */
CASE(dump, keepsTheFirstError)
{
    FILE* failing = fopencookie(NULL, "w", (cookie_io_functions_t){.write = refuseWrite});

    ck_assert_int_eq(setvbuf(failing, NULL, _IONBF, 0), 0);
    FastDumpOpen(&dump, failing);
    for (int line = 0; line < 3; line++) {
        FastDumpBegin(&dump, "line", &dump);
        FastDumpEnd(&dump);
    }
    ck_assert_int_eq(FastDumpClose(&dump), -EPIPE);
    ck_assert_int_eq(tries, 1);
    fclose(failing);
}

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout, (void)closure;
}

static int seeNothing(struct FastSocket* socket, void* closure)
{
    (void)socket, (void)closure;
    return 1;
}

/* §3.2 dump without memory, §3.2 walk: neither asks for any */
CASE(dump, needsNoMemory)
{
    struct FastRing* ring = CreateFastRing(0);

    ck_assert_ptr_nonnull(ring);
    struct FastRingTimeout* timeout = SetFastRingTimeout(ring, NULL, 100000, 0, onTimeout, NULL);
    ck_assert_ptr_nonnull(timeout);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    forgetCalls(&memory);
    failEveryCall(&memory);
    int result = DumpFastRing(ring, stream);
    int walked = WalkFastRing(ring, seeNothing, NULL);
    int asked = countCalls(&memory);
    failNoCall(&memory);
    ck_assert_int_eq(result, 0);
    ck_assert_int_eq(walked, 0);
    ck_assert_int_eq(asked, 0);
    ck_assert_ptr_nonnull(strstr(written, "\ntimeout 0x"));
    RemoveFastRingTimeout(timeout);
    ReleaseFastRing(ring);
}
