#include "chance.h"

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
    return (struct Chance){.state = mix(mix(seed) + number)};
}

struct Chance chanceOfBytes(struct ChanceBytes* bytes, bool fromBack)
{
    return (struct Chance){.bytes = bytes, .fromBack = fromBack};
}

/* As many bytes as the number may need. */
static uint32_t drawBytes(struct ChanceBytes* bytes, bool fromBack, uint32_t below)
{
    uint64_t value = 0;

    for (uint32_t most = below - 1; most > 0; most >>= 8) {
        if (bytes->first == bytes->end)
            return below - 1;
        value = value << 8 | (fromBack ? *--bytes->end : *bytes->first++);
    }
    return (uint32_t)(value % below);
}

uint32_t draw(struct Chance* chance, uint32_t below)
{
    if (chance->bytes != NULL)
        return drawBytes(chance->bytes, chance->fromBack, below);
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
    size = draw(chance, UINT32_MAX); /* first, with each compiler */
    size &= ((size_t)1 << draw(chance, bits + 1)) - 1;
    return (size > most) ? most : size;
}
