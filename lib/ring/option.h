/*
 * The options of a ring.
 */
#ifndef FASTSOCKET_RING_OPTION_H
#define FASTSOCKET_RING_OPTION_H

#include "ring/base.h"

/* At creation: every option has its default. */
void FastRingSetDefaults(struct FastRing* ring);

#endif
