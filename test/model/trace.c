/* The trace of a run. */
#include "model.h"

#include <stdarg.h>

struct Report* report;

/* ---- the trace ------------------------------------------------------------------------------- */

static const char* const names[FACT_COUNT] = {
    "world", "in", "out", "err", "hup", "taken", "unread", "reacted", "own",
    "peer", "peer end", "transmit", "receive", "call", "accept", "client", "watch", "event",
    "timeout", "flush", "raw", "raw more", "end",
};

const char* nameFact(enum Fact fact)
{
    return (fact < FACT_COUNT) ? names[fact] : "?";
}

void note(enum Fact fact, unsigned who, int64_t value)
{
    ck_assert_msg(report->entries < REPORT_ENTRIES, "the trace is full");
    report->trace[report->entries++] = (struct Entry){
        .step = report->step,
        .fact = (uint16_t)fact,
        .who = (uint16_t)who,
        .value = value,
    };
    if (world.verbose)
        fprintf(stderr, "    %s %u: %lld\n", nameFact(fact), who, (long long)value);
}

void notePlace(unsigned place)
{
    if (report->step < REPORT_STEPS)
        report->places[report->step] = (uint8_t)(place + 1);
}

void say(const char* format, ...)
{
    va_list arguments;

    world.acted = true;
    if (!world.verbose)
        return;
    fprintf(stderr, "  %u ", report->step);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}
