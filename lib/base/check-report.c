/*
 * One line for a misuse, written at once, so that lines of other threads and processes don't mix
 * with it, and then abort(3): so that a debugger, or a core file, shows the call.
 */
#include "base/check-report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum
{
    REPORT_LENGTH = 4096,
    REPORT_PLACE = 1024,
};

struct Line
{
    char text[REPORT_LENGTH];
    size_t length;
};

/* What finds no room is cut off: the words come first, the places last. */
__attribute__((format(printf, 2, 3))) static void add(struct Line* line, const char* format, ...)
{
    va_list arguments;
    size_t room = sizeof(line->text) - 1 - line->length; /* the last is for the line's end */
    va_start(arguments, format);
    int count = vsnprintf(line->text + line->length, room, format, arguments);
    va_end(arguments);
    if (count > 0)
        line->length += (size_t)count < room ? (size_t)count : room - 1;
}

/* Where nothing is known nothing is said. */
static void addPlace(struct Line* line, const char* word, const struct FastPlace* place)
{
    char text[REPORT_PLACE];
    if (place->inside == NULL && place->outside == NULL)
        return;
    FastPlaceWrite(place, text, sizeof(text));
    add(line, "%s%s", word, text);
}

_Noreturn static void finish(struct Line* line)
{
    line->text[line->length++] = '\n';
    /* nobody could be told of a failure */
    ssize_t written = write(STDERR_FILENO, line->text, line->length);
    (void)written;
    abort();
}

static const char* const texts[] = {
    [FAST_MISUSE_DOUBLE] = "double release",
    [FAST_MISUSE_USE] = "use after release",
    [FAST_MISUSE_THREAD] = "release from another thread",
    [FAST_MISUSE_CLOSED] = "descriptor closed by somebody else",
    [FAST_MISUSE_REPLACED] = "descriptor closed by somebody else, and another file's now",
    [FAST_MISUSE_WRITTEN] = "written to after release",
};

_Noreturn void FastCheckReport(enum FastMisuse misuse, const struct FastCheckRecord* record,
                               const struct FastPlace* place)
{
    struct Line line = {.length = 0};
    add(&line, "libfastsocket: check: %s: %s %p", texts[misuse], record->kind,
        (void*)~record->object);
    if (misuse == FAST_MISUSE_CLOSED || misuse == FAST_MISUSE_REPLACED)
        add(&line, ", descriptor %d", record->handle);
    if (place != NULL)
        addPlace(&line, ": ", place);
    if (record->released)
        addPlace(&line, "; released before by ", &record->release);
    addPlace(&line, "; made by ", &record->made);
    finish(&line);
}

_Noreturn void FastCheckReportLeft(const struct FastCheckRecord* record, size_t count)
{
    struct Line line = {.length = 0};
    struct FastPlace place = FastPlaceFind();
    add(&line, "libfastsocket: check: left when the ring ends: %zu %s%s, one is %p", count,
        record->kind, count > 1 ? "s" : "", (void*)~record->object);
    addPlace(&line, ": ", &place);
    addPlace(&line, "; made by ", &record->made);
    finish(&line);
}
