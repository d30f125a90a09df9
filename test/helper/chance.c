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
