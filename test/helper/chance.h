/* Chance that can be had again: the same numbers for the same seed. */
#ifndef TEST_CHANCE_H
#define TEST_CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that decide in the place of chance. What is drawn takes them one after the other: from the
 * front what one draws, and from the back what another one does, until they meet. */
struct ChanceBytes
{
    const uint8_t* first;
    const uint8_t* end;
};

struct Chance
{
    uint64_t state;
    struct ChanceBytes* bytes; /* NULL: chance */
    bool fromBack;
};

/* Of one thing among those that a seed decides: what is drawn for one says nothing of another. */
struct Chance chanceOf(uint64_t seed, uint64_t number);

/* Where they have ended, the greatest number of all is drawn: it mostly means what is ordinary. */
struct Chance chanceOfBytes(struct ChanceBytes* bytes, bool fromBack);

uint32_t draw(struct Chance* chance, uint32_t below); /* 0 to below - 1 */
bool oneIn(struct Chance* chance, uint32_t often);
size_t drawSize(struct Chance* chance, size_t most); /* 0 to most, mostly small */

#endif
