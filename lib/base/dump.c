/*
 * Lines about objects.
 *
 * Good path: pairs are added to a line in memory, which is written whole.
 *
 * Failures: the stream's are kept, the first one, and nothing is written any more. A line that is
 * too long ends before the pair that has no room.
 */
#include "base/dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum
{
    DUMP_TEXT = 1024,   /* bytes of a value */
    DUMP_ESCAPED = 4,   /* bytes of \xHH */
    DUMP_END = 2,       /* of the line: its last character, and the zero */
    DUMP_FIRST = 0x21,  /* of those that can be seen */
    DUMP_BEHIND = 0x7f, /* them */
};

/* All of it, or nothing. */
__attribute__((format(printf, 2, 3))) static void add(struct FastDump* dump, const char* format,
                                                      ...)
{
    va_list arguments;
    size_t room = sizeof(dump->line) - DUMP_END - dump->length;
    va_start(arguments, format);
    int length = vsnprintf(dump->line + dump->length, room, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < room)
        dump->length += (size_t)length;
}

void FastDumpOpen(struct FastDump* dump, FILE* stream)
{
    dump->stream = stream;
    dump->error = 0;
    dump->length = 0;
}

/* A function of the program's need not set errno. */
static void noteError(struct FastDump* dump)
{
    dump->error = errno > 0 ? -errno : -EIO;
}

int FastDumpClose(struct FastDump* dump)
{
    errno = 0;
    if (dump->error == 0 && fflush(dump->stream) != 0)
        noteError(dump);
    return dump->error;
}

void FastDumpBegin(struct FastDump* dump, const char* kind, const void* object)
{
    dump->length = 0;
    add(dump, "%s 0x%" PRIxPTR, kind, (uintptr_t)object);
}

void FastDumpEnd(struct FastDump* dump)
{
    if (dump->error < 0)
        return;
    dump->line[dump->length++] = '\n';
    errno = 0;
    if (fwrite(dump->line, 1, dump->length, dump->stream) < dump->length)
        noteError(dump);
}

static bool isPlain(unsigned char character)
{
    return character >= DUMP_FIRST && character < DUMP_BEHIND && character != '\\';
}

void FastDumpText(struct FastDump* dump, const char* key, const char* text)
{
    char value[DUMP_TEXT] = "-";
    size_t length = 0;
    for (; text != NULL && *text != '\0' && length + DUMP_ESCAPED < sizeof(value); text++) {
        unsigned char character = (unsigned char)*text;
        if (isPlain(character))
            value[length++] = *text;
        else
            length += (size_t)snprintf(value + length, sizeof(value) - length, "\\x%02x",
                                       character);
        value[length] = '\0';
    }
    add(dump, " %s %s", key, value);
}

void FastDumpYes(struct FastDump* dump, const char* key, bool yes)
{
    add(dump, " %s %s", key, yes ? "yes" : "no");
}

void FastDumpNumber(struct FastDump* dump, const char* key, uint64_t number)
{
    add(dump, " %s %" PRIu64, key, number);
}

void FastDumpSigned(struct FastDump* dump, const char* key, int64_t number)
{
    add(dump, " %s %" PRId64, key, number);
}

void FastDumpObject(struct FastDump* dump, const char* key, const void* object)
{
    if (object == NULL)
        FastDumpText(dump, key, NULL);
    else
        add(dump, " %s 0x%" PRIxPTR, key, (uintptr_t)object);
}

void FastDumpWords(struct FastDump* dump, const char* key, uint64_t bits,
                   const struct FastDumpWord* words, size_t count, const char* otherwise)
{
    char value[DUMP_TEXT] = "";
    size_t length = 0;
    for (size_t index = 0; index < count; index++) {
        if (!(bits & words[index].bit))
            continue;
        size_t room = sizeof(value) - length;
        int added = snprintf(value + length, room, "%s%s", length > 0 ? "," : "",
                             words[index].word);
        if (added < 0 || (size_t)added >= room)
            break;
        length += (size_t)added;
    }
    FastDumpText(dump, key, length > 0 ? value : otherwise);
}
