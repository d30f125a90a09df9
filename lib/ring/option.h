/*
 * The options of a ring.
 */
#ifndef FASTSOCKET_RING_OPTION_H
#define FASTSOCKET_RING_OPTION_H

#include "ring/base.h"

/* At creation: every option has its default. */
void FastRingSetDefaults(struct FastRing* ring);

/* The name of each option, from index 0 on, as it stands behind FASTRING_OPTION_, and its value;
 * NULL behind the last. */
const char* FastRingNameOption(const struct FastRing* ring, size_t index, uint64_t* value);

#endif
