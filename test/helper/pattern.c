#include "pattern.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* Every eight bytes are a hash of their place: a byte that is missing or doubled shifts the
 * rest. */
static uint64_t patternBlock(uint64_t block)
{
    return (block ^ (block >> 7)) * UINT64_C(0x9E3779B97F4A7C15);
}

uint8_t patternAt(uint64_t position)
{
    return (uint8_t)(patternBlock(position >> 3) >> (8 * (position & 7)));
}

void fillPattern(void* data, size_t size, uint64_t position)
{
    uint8_t* bytes = data;
    size_t index = 0;

    for (; (index < size) && (((position + index) & 7) != 0); index++)
        bytes[index] = patternAt(position + index);
    for (; index + 8 <= size; index += 8) {
        uint64_t block = htole64(patternBlock((position + index) >> 3));
        memcpy(bytes + index, &block, 8);
    }
    for (; index < size; index++)
        bytes[index] = patternAt(position + index);
}

bool checkPattern(const void* data, size_t size, uint64_t position)
{
    const uint8_t* bytes = data;
    size_t index = 0;

    for (; (index < size) && (((position + index) & 7) != 0); index++) {
        if (bytes[index] != patternAt(position + index))
            return false;
    }
    for (; index + 8 <= size; index += 8) {
        uint64_t block = htole64(patternBlock((position + index) >> 3));
        if (memcmp(bytes + index, &block, 8) != 0)
            return false;
    }
    for (; index < size; index++) {
        if (bytes[index] != patternAt(position + index))
            return false;
    }
    return true;
}
