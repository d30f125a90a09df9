/*
 * A target: what is done with an input. libFuzzer calls it with what it makes, and replay.c with
 * what is in files.
 */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Aborts where something is wrong. FUZZ_VERBOSE in the environment has it tell what it does.
 * Returns 0, as libFuzzer wants it. */
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif
