/* Chance, and the trace of a run. */
#include "model.h"

#include <stdarg.h>

struct Report* report;

/* ---- chance ---------------------------------------------------------------------------------- */

/* SplitMix64: every state is as good as any other. */
static uint64_t mix(uint64_t value)
{
    value += UINT64_C(0x9E3779B97F4A7C15);
    value = (value ^ (value >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
    return value ^ (value >> 31);
}

struct Chance chanceOf(uint64_t seed, uint64_t number)
{
    return (struct Chance){mix(mix(seed) + number)};
}

uint32_t draw(struct Chance* chance, uint32_t below)
{
    uint64_t value = mix(chance->state);

    chance->state += UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(((value >> 32) * below) >> 32);
}

bool oneIn(struct Chance* chance, uint32_t often)
{
    return draw(chance, often) == 0;
}

/* As many of each order of magnitude. */
size_t drawSize(struct Chance* chance, size_t most)
{
    unsigned bits = 0;
    size_t size = 0;

    while ((most >> bits) > 0)
        bits++;
    size = (size_t)draw(chance, UINT32_MAX) & (((size_t)1 << draw(chance, bits + 1)) - 1);
    return (size > most) ? most : size;
}

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
