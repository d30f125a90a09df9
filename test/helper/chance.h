/* Chance that can be had again: the same numbers for the same seed. */
#ifndef TEST_CHANCE_H
#define TEST_CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Chance
{
    uint64_t state;
};

/* Of one thing among those that a seed decides: what is drawn for one says nothing of another. */
struct Chance chanceOf(uint64_t seed, uint64_t number);

uint32_t draw(struct Chance* chance, uint32_t below); /* 0 to below - 1 */
bool oneIn(struct Chance* chance, uint32_t often);
size_t drawSize(struct Chance* chance, size_t most); /* 0 to most, mostly small */

#endif
