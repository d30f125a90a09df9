/* Bytes that tell their place: an endless pattern without short periods. */
#ifndef TEST_PATTERN_H
#define TEST_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The byte at a position. */
uint8_t patternAt(uint64_t position);

/* Writes the bytes from a position on. */
void fillPattern(void* data, size_t size, uint64_t position);

/* True if the bytes are those from a position on. */
bool checkPattern(const void* data, size_t size, uint64_t position);

#endif
